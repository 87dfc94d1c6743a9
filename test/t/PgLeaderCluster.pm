# test/t/PgLeaderCluster.pm
#	  A cluster of real servers on this machine, for the tests beside this file.
#
# Makes servers (copies of one template with the extension in it), starts, stops
# and kills them, and waits for what is to become of them.  Whatever a test does,
# this file keeps the books: who led which term, who held a lease when, what the
# state files said.  check_history() looks through them; every test ends with it.
#
# Nothing here knows how elections work.  Waiting is polling for a condition with
# a limit that is far above what a healthy machine needs; a limit that is hit
# ends the test.

package PgLeaderCluster;

use strict;
use warnings;

use Carp qw(croak);
use Cwd ();
use IO::Socket::INET;
use JSON::PP qw(decode_json);
use PgQuery qw(answer_of look_until pause_between_looks);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(clock_gettime usleep);

# Seconds that a condition may take to come true.
use constant LIMIT => 60;

# Linux's number of the clock that leases are measured in.
use constant CLOCK_BOOTTIME => 7;

# For tests in which a leader must keep its place: far above what a loaded
# machine holds a process up.
our %STEADY = (
	min_timeout => '1000ms',
	max_timeout => '2000ms',
	heartbeat_interval => '100ms');

my $template;
my @clusters;

# ---- making ----

# new(NAME, N, OPTION => VALUE...): N members, not started.
#
#	settings	{ name => value }: pg_leader.name of all members
#	cluster_name	pg_leader.cluster_name
#	blank		true: write no first state files
#	installations	{ id => directory }: PostgreSQL of a member's own, with bin in it
sub new
{
	my ($class, $name, $n, %options) = @_;
	my $self = bless {
		name => $name,
		settings => $options{settings} // {},
		cluster_name => $options{cluster_name},
		installations => $options{installations} // {},
		members => {},
		led => {},
		leases => {},
		faults => [],
	}, $class;

	push @clusters, $self;
	$self->add($_) foreach 0 .. $n - 1;
	$self->{list} = $self->list($self->ids);
	foreach my $id ($self->ids)
	{
		$self->create($id);
		$self->write_first_state($id) unless $options{blank};
	}
	return $self;
}

# The server that all others are copies of: the extension is created there.
# It is never part of a cluster and does not preload the library.  template(OPTION...): of
# initdb, if this is called before the first cluster is made.
sub template
{
	my @options = @_;

	return $template if defined $template;
	$template = PostgreSQL::Test::Cluster->new('template');
	$template->init(allows_streaming => 1, extra => \@options);
	$template->append_conf('postgresql.conf', qq(
log_statement = none
log_replication_commands = off
restart_after_crash = on
max_connections = 20
));
	$template->start;
	$template->safe_psql('postgres', 'CREATE EXTENSION pg_leader');
	$template->stop;
	$template->backup_fs_cold('template');
	return $template;
}

# A UDP port that nobody uses.
sub free_udp_port
{
	while (1)
	{
		my $port = PostgreSQL::Test::Cluster::get_free_port();
		my $socket = IO::Socket::INET->new(
			LocalAddr => '127.0.0.1', LocalPort => $port, Proto => 'udp');

		next unless $socket;
		$socket->close;
		return $port;
	}
}

# add(ID): a member that has a place and no server yet.
sub add
{
	my ($self, $id) = @_;
	my $directory = PostgreSQL::Test::Utils::tempdir("state_$self->{name}_$id");

	$self->{members}{$id} = {
		id => $id,
		port => free_udp_port(),
		state_directory => $directory,
		server => undef,
		remembered => undef,
	};
	return;
}

# create(ID, BACKUP-OF, BACKUP): its server, from the template or as a standby.
sub create
{
	my ($self, $id, $primary, $backup) = @_;
	my $member = $self->member($id);
	my $server = PostgreSQL::Test::Cluster->new("$self->{name}_$id",
		install_path => $self->{installations}{$id});

	if (defined $primary)
	{
		$server->init_from_backup($primary, $backup, has_streaming => 1);
	}
	else
	{
		$server->init_from_backup(template(), 'template');
	}
	$member->{server} = $server;
	$server->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_leader'");
	$self->set($id, node_id => $id, cluster => $self->{list},
		state_directory => $member->{state_directory});
	$self->set($id, cluster_name => $self->{cluster_name}) if defined $self->{cluster_name};
	$self->set($id, %{ $self->{settings} });
	return $server;
}

# set(ID, NAME => VALUE...): pg_leader.NAME, from the next start or reload on.
sub set
{
	my ($self, $id, %settings) = @_;

	$self->server($id)->append_conf('postgresql.conf', "pg_leader.$_ = '$settings{$_}'")
		foreach sort keys %settings;
	return;
}

sub write_first_state
{
	my ($self, $id, %options) = @_;
	my @command = ('pg_leader_state', '--new', $options{file} // $self->state_file($id),
		'--node-id', $options{node_id} // $id, '--cluster', $options{list} // $self->{list});
	my $cluster_name = $options{cluster_name} // $self->{cluster_name};

	push @command, '--cluster-name', $cluster_name if defined $cluster_name;
	PostgreSQL::Test::Utils::system_or_bail(@command);
	return;
}

# Node 0, which is there already, starts as a primary, and ids become standbys of it:
# one new cluster of them all.
sub start_with_standbys
{
	my ($self, @ids) = @_;

	$self->add($_) foreach @ids;
	$self->{list} = $self->list(0, @ids);
	$self->set(0, cluster => $self->{list});
	$self->write_first_state(0);
	$self->start(0);
	$self->server(0)->backup('base');
	foreach my $id (@ids)
	{
		$self->create($id, $self->server(0), 'base');
		$self->write_first_state($id);
	}
	$self->start(@ids);
	return;
}

# ---- looking up ----

sub ids
{
	my $self = shift;

	return sort { $a <=> $b } keys %{ $self->{members} };
}

sub member
{
	my ($self, $id) = @_;

	return $self->{members}{$id} // croak "there is no member $id";
}

sub server { my ($self, $id) = @_; return $self->member($id)->{server}; }

sub address { my ($self, $id) = @_; return '127.0.0.1:' . $self->member($id)->{port}; }

# list(ID...): the member list with these members.
sub list
{
	my ($self, @ids) = @_;

	return join ', ', map { "$_=" . $self->address($_) } @ids;
}

sub state_file
{
	my ($self, $id) = @_;

	return "$self->{members}{$id}{state_directory}/node-$id.state";
}

sub others
{
	my ($self, @ids) = @_;
	my %left_out = map { $_ => 1 } @ids;

	return grep { !$left_out{$_} } $self->ids;
}

sub is_running { my ($self, $id) = @_; return defined $self->server($id)->{_pid}; }

sub running { my $self = shift; return grep { $self->is_running($_) } $self->ids; }

# state(ID): what pg_leader_state prints of its state file, { name => value }.
sub state
{
	my ($self, $id) = @_;
	my ($out, $err);

	IPC::Run::run([ 'pg_leader_state', $self->state_file($id) ], '>', \$out, '2>', \$err);
	return { map { /^([^:]+): (.*)$/ ? ($1 => $2) : () } split /\n/, $out };
}

# ---- asking ----

# ask(ID, QUERY): psql's exit code, output and errors.  One that nobody answers may have ended
# before it is told the query: a broken pipe, which is no more than a failure here.
sub ask
{
	my ($self, $id, $query) = @_;
	my @said = eval { $self->server($id)->psql('postgres', $query) };

	return @said ? @said : (2, '', $@);
}

# sql(ID, QUERY): the result, undef if there was an error.
sub sql
{
	my ($self, $id, $query) = @_;

	return answer_of($self->server($id), $query);
}

# failure(ID, QUERY): what psql says about a query that must fail.
sub failure
{
	my ($self, $id, $query) = @_;
	my ($code, $out, $err) = $self->ask($id, $query);

	return $code == 0 ? "no error, but the result: $out" : $err;
}

# status(ID): the row of pg_leader_status, undef if the server does not answer.
sub status
{
	my ($self, $id) = @_;
	my $row = $self->sql($id, 'SELECT row_to_json(s) FROM pg_leader_status s');

	return defined $row && $row ne '' ? decode_json($row) : undef;
}

# peers(ID): the rows of pg_leader_peers, { node id => row }.
sub peers
{
	my ($self, $id) = @_;
	my $rows = $self->sql($id, 'SELECT json_agg(p) FROM pg_leader_peers p');

	return {} unless defined $rows && $rows ne '';
	return { map { $_->{node_id} => $_ } @{ decode_json($rows) } };
}

# reasons(ID): what has happened, in words, oldest first.
sub reasons
{
	my ($self, $id) = @_;

	return split /\n/, $self->sql($id, 'SELECT reason FROM pg_leader_events ORDER BY number') // '';
}

sub log_of
{
	my ($self, $id, $offset) = @_;
	my $file = $self->server($id)->logfile;

	return '' unless -e $file;
	return PostgreSQL::Test::Utils::slurp_file($file, $offset // 0);
}

sub log_size { my ($self, $id) = @_; return -s $self->server($id)->logfile // 0; }

# ---- starting and stopping ----

sub start
{
	my ($self, @ids) = @_;

	foreach my $id (@ids)
	{
		$self->compare_state($id);
		$self->server($id)->start;
	}
	return;
}

sub start_all { my $self = shift; $self->start($self->ids); return; }

# stop(ID, MODE): seconds that it took.
sub stop
{
	my ($self, $id, $mode) = @_;
	my $before;
	my $took;

	$self->remember($id);
	$before = clock_now();
	$self->server($id)->stop($mode // 'fast');
	$took = (clock_now() - $before) / 1e6;
	$self->compare_state($id);
	return $took;
}

sub stop_all
{
	my $self = shift;

	$self->stop($_, 'immediate') foreach $self->running;
	return;
}

sub restart
{
	my ($self, $id, $mode) = @_;

	$self->stop($id, $mode);
	$self->start($id);
	return;
}

# Process ids: the postmaster first, then its children.
sub processes
{
	my ($self, $id) = @_;
	my $postmaster = $self->server($id)->{_pid};

	return ($postmaster, grep { parent_of($_) == $postmaster } all_processes());
}

# titled(ID, PATTERN): the process of its server whose title matches.
sub titled
{
	my ($self, $id, $pattern) = @_;
	my ($postmaster, @children) = $self->processes($id);

	foreach my $pid (@children)
	{
		open my $file, '<', "/proc/$pid/cmdline" or next;
		my $line = <$file> // '';
		close $file;
		return $pid if $line =~ /^postgres: .*$pattern/;
	}
	return undef;
}

# The worker's process id.
sub worker { my ($self, $id) = @_; return $self->titled($id, qr/\bpg_leader: /); }

sub all_processes { return map { m{/(\d+)$} } glob '/proc/[0-9]*'; }

sub parent_of
{
	my $pid = shift;

	open my $file, '<', "/proc/$pid/stat" or return 0;
	my $line = <$file> // '';
	close $file;
	return $line =~ /^\d+ \(.*\) \S (\d+)/s ? $1 : 0;
}

# are_gone(PID...): none of them is there.  A process that is dead and that its
# new parent has not seen off yet still bars the way to a restart of its server.
sub are_gone { return !grep { -d "/proc/$_" } @_; }

# kill_all(ID...): every process of these servers, all at the same moment.
sub kill_all
{
	my ($self, @ids) = @_;
	my @pids;

	$self->remember($_) foreach @ids;

	# A postmaster that stands still starts no further children; a worker that
	# stands still does not see the postmaster die before its own turn.
	kill 'STOP', map { $self->server($_)->{_pid} } @ids;
	@pids = map { $self->processes($_) } @ids;
	kill 'STOP', @pids;
	kill 'KILL', @pids;
	$self->server($_)->{_pid} = undef foreach @ids;
	$self->wait_until("all processes of " . join(', ', @ids) . " are gone",
		sub { are_gone(@pids) });
	$self->compare_state($_) foreach @ids;
	return;
}

# kill_postmaster(ID): alone; returns its process id and those of the orphans.
sub kill_postmaster
{
	my ($self, $id) = @_;
	my ($postmaster, @children) = $self->processes($id);

	$self->remember($id);
	$self->server($id)->kill9;
	return ($postmaster, @children);
}

# ---- waiting ----

# The election's clock, in microseconds.
sub clock_now { return clock_gettime(CLOCK_BOOTTIME) * 1e6; }

# wait_until(NAME, CODE, SECONDS): a test that passes when CODE is true, and
# returns what it returned.  What follows would make no sense without it, so the
# test file ends otherwise.
sub wait_until
{
	my ($self, $name, $code, $seconds) = @_;
	my $result;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$result = look_until($code, $seconds // LIMIT);
	ok($result, $name);
	return $result if $result;
	diag($self->describe);
	die "gave up waiting: $name\n";
}

# stays(NAME, SECONDS, CODE): a test that passes when CODE is true all the time.
sub stays
{
	my ($self, $name, $seconds, $code) = @_;
	my $end = clock_now() + $seconds * 1e6;
	my $result;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	for (;;)
	{
		my $began = clock_now();

		last if !($result = $code->()) || clock_now() >= $end;
		pause_between_looks((clock_now() - $began) / 1e6, 1);
	}
	ok($result, $name) or diag($self->describe);
	return $result;
}

# agreed(ID...): (leader, term) if they all name the same one and it has the
# lease, else nothing.
sub agreed
{
	my ($self, @ids) = @_;
	my @leaders;
	my %views;

	foreach my $id (@ids)
	{
		my $status = $self->status($id);

		return unless $status && $status->{state} eq 'taking part' && defined $status->{leader_id};
		$views{"$status->{leader_id} $status->{term}"} = 1;
		push @leaders, $id if $status->{is_leader};
	}
	return unless keys %views == 1 && @leaders == 1;
	my ($leader, $term) = split / /, (keys %views)[0];
	return $leader == $leaders[0] ? ($leader, $term) : ();
}

# wait_for_leader(NAME, ID...): a test; returns (leader, term).
sub wait_for_leader
{
	my ($self, $name, @ids) = @_;
	my @found;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	@ids = $self->running unless @ids;
	$self->wait_until($name, sub { @found = $self->agreed(@ids); return @found > 0; });
	return @found;
}

# transfer(LEADER, [ID]): a test; the leader is asked to hand over, once it knows that there is one that can
# lead: what that one has just become it tells with its next answer, and after an election it is bound for a
# while.
sub transfer
{
	my ($self, $leader, $to) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return $self->wait_until("node $leader hands over" . (defined $to ? " to node $to" : ''), sub {
			($self->ask($leader, 'SELECT pg_leader_transfer(' . ($to // '') . ')'))[2] !~ /cannot lead|can lead|still bound|does not answer|is older than/;
	});
}

# leads(ID...): those that hold a lease at this moment.
sub leads
{
	my ($self, @ids) = @_;

	return grep { ($self->sql($_, 'SELECT pg_leader_is_leader()') // '') eq 't' } @ids;
}

sub wait_for_log
{
	my ($self, $id, $pattern, $offset) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return $self->wait_until("node $id logs " . ($pattern =~ s/^\(\?\^[a-z]*:(.*)\)$/$1/rs),
		sub { $self->log_of($id, $offset) =~ $pattern });
}

# What the members say of themselves, for whoever has to find out.
sub describe
{
	my $self = shift;
	my @lines;

	foreach my $id ($self->ids)
	{
		my $status = $self->is_running($id) ? $self->status($id) : undef;

		push @lines, "node $id: " . (!$status ? 'no answer' :
			join ', ', map { "$_=$status->{$_}" } grep { defined $status->{$_} }
				qw(state role term leader_id voted_for is_leader abstaining abstain_reason));
	}
	return join "\n", @lines;
}

# ---- the books ----

# remember(ID): write down what this member shows, before it forgets.
sub remember
{
	my ($self, $id) = @_;
	my $before = clock_now();
	my ($code, $out) = $self->ask($id, q(
		SELECT json_build_object('lease', (SELECT l.term FROM pg_leader_lease() l),
			'events', (SELECT json_agg(e ORDER BY number) FROM pg_leader_events e))));
	my ($shown, $open);

	return if $code != 0;
	$shown = decode_json($out);
	foreach my $event (@{ $shown->{events} // [] })
	{
		$self->{led}{ $event->{term} }{$id} = 1 if $event->{role} eq 'leader';
		$self->{led}{ $event->{term} }{ $event->{leader_id} } = 1 if defined $event->{leader_id};
		next unless defined $event->{lease_start};
		my $lease = $self->{leases}{"$id $event->{lease_start}"} //=
			{ id => $id, start => $event->{lease_start}, end => $event->{lease_start} };
		$lease->{end} = $event->{lease_end} if defined $event->{lease_end};
		$open = defined $event->{lease_end} ? undef : $lease;
	}

	# A lease that was good after this moment has lasted at least until it.
	$open->{end} = $before if $open && defined $shown->{lease} && $before > $open->{end};
	return;
}

# compare_state(ID): with what the state file said before.
sub compare_state
{
	my ($self, $id) = @_;
	my $member = $self->member($id);
	my $before = $member->{remembered};
	my $now;

	return unless -e $self->state_file($id);
	$now = $self->state($id);
	return unless defined $now->{term};
	$member->{remembered} = $now;
	return unless defined $before;
	push @{ $self->{faults} }, "node $id: term $before->{term}, then term $now->{term}"
		if $now->{term} < $before->{term};
	push @{ $self->{faults} },
		"node $id, term $now->{term}: vote $before->{'voted for'}, then vote $now->{'voted for'}"
		if $now->{term} == $before->{term} && $before->{'voted for'} ne 'none' &&
		$now->{'voted for'} ne 'unknown' && $before->{'voted for'} ne $now->{'voted for'};
	return;
}

# forget_state(ID): the test itself has done something to the state file.
sub forget_state { my ($self, $id) = @_; $self->member($id)->{remembered} = undef; return; }

# What the logs remember over all starts.
sub read_logs
{
	my $self = shift;

	foreach my $id (grep { defined $self->server($_) } $self->ids)
	{
		my $log = $self->log_of($id);

		$self->{led}{$2}{$1} = 1 while $log =~ /pg_leader: node (\d+) became leader in term (\d+)/g;
		$self->{led}{$2}{$1} = 1 while $log =~ /pg_leader: node \d+ follows node (\d+) in term (\d+)/g;
	}
	return;
}

# check_history(): never two leaders in a term, never two leases at a time, no
# term that fell, no vote that changed.
sub check_history
{
	my $self = shift;
	my @leases;
	my @two;
	my @overlaps;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$self->remember($_) foreach $self->running;
	$self->read_logs;
	$self->compare_state($_) foreach $self->ids;

	@two = map { "term $_: nodes " . join(', ', sort keys %{ $self->{led}{$_} }) }
		grep { keys %{ $self->{led}{$_} } > 1 } sort { $a <=> $b } keys %{ $self->{led} };
	@leases = sort { $a->{start} <=> $b->{start} } values %{ $self->{leases} };
	foreach my $i (0 .. $#leases)
	{
		foreach my $j ($i + 1 .. $#leases)
		{
			my ($first, $second) = @leases[ $i, $j ];

			push @overlaps, "node $first->{id} $first->{start} to $first->{end}, " .
				"node $second->{id} $second->{start} to $second->{end}"
				if $first->{id} != $second->{id} &&
					$second->{start} < $first->{end} && $first->{start} < $second->{end};
		}
	}
	is(join("\n", @two), '', "$self->{name}: no term had two leaders");
	is(join("\n", @overlaps), '', "$self->{name}: no two leases at one time");
	is(join("\n", @{ $self->{faults} }), '', "$self->{name}: no term fell, no vote changed");
	note("$self->{name}: " . keys(%{ $self->{led} }) . ' terms with a leader, ' . @leases . ' leases');
	return;
}

# The postmaster that runs in the data directory of a server, if there is one.
sub postmaster_of
{
	my $server = shift;
	my ($pid, $directory);

	open my $file, '<', $server->data_dir . '/postmaster.pid' or return undef;
	chomp($pid = <$file> // '');
	close $file;
	return undef unless $pid =~ /^\d+$/;
	$directory = readlink "/proc/$pid/cwd";
	return defined $directory && -d $directory && $directory eq Cwd::realpath($server->data_dir) ? $pid : undef;
}

# Nothing may run on after a test, however it ended: also a server of which the
# test has lost sight, or that did not start as it should.  This comes before
# PostgreSQL::Test::Cluster's own cleaning up, which gives up at the first that
# does not stop.
END
{
	my $exit_code = $?;
	my @servers = grep { defined } $template,
		map { my $c = $_; map { $c->server($_) } $c->ids } @clusters;
	my @pids = grep { defined } map { postmaster_of($_) } @servers;
	my $end = clock_now() + 10e6;

	kill 'QUIT', @pids;
	usleep(20_000) while !are_gone(@pids) && clock_now() < $end;
	$_->{_pid} = undef foreach @servers;
	$? = $exit_code;
}

1;
