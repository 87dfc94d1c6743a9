# test/t/PgLeaderManaged.pm
#	  A cluster of managed servers: each is run by its supervisor.
#
# As PgLeaderCluster.pm, but that a member is started by starting pg_leader_supervisor, and
# what runs is the supervisor and, below it, PostgreSQL.  With the setting manage => 'off' it
# is the election alone.  All servers are copies of one
# template, so they are one system.  Every file in which a server says something is its log.

package PgLeaderManaged;

use strict;
use warnings;

use parent -norequire, 'PgLeaderCluster';

use POSIX ();
use PgLeaderCluster;
use PostgreSQL::Test::Utils;
use Test::More;

# For conf, where all WAL is to be written by the test.
use constant QUIET => qq(
autovacuum = off
bgwriter_delay = 10s
checkpoint_timeout = 1h
);

my @clusters;

# new(NAME, N, OPTION => VALUE...): as there.  Also:
#
#	conf	lines for postgresql.conf of all members
sub new
{
	my ($class, $name, $n, %options) = @_;
	my $self;

	$options{settings} = {
		manage => 'on', fence_exempt_roles => (getpwuid $<)[0],
		replication_conninfo => 'user=' . (getpwuid $<)[0],
		%{ $options{settings} // {} } };
	$self = $class->SUPER::new($name, $n, %options);
	push @clusters, $self;
	$self->server($_)->append_conf('postgresql.conf', $options{conf}) foreach defined $options{conf} ? $self->ids : ();
	return $self;
}

sub create
{
	my ($self, $id, @from) = @_;
	my $server = $self->SUPER::create($id, @from);

	# what is tested rests on what is on disk
	$server->append_conf('postgresql.conf', qq(
fsync = on
listen_addresses = '127.0.0.1'
max_connections = 30
max_wal_senders = 10
max_worker_processes = 16
log_checkpoints = off
wal_keep_size = 64MB
max_slot_wal_keep_size = 1GB
recovery_init_sync_method = syncfs
));
	return $server;
}

# ---- starting and stopping ----

# supervisor(ID): its process; undef: it does not run.
sub supervisor { my ($self, $id) = @_; return $self->member($id)->{supervisor}; }

sub is_running
{
	my ($self, $id) = @_;
	my $pid = $self->supervisor($id);

	return 0 unless defined $pid;
	return 1 if waitpid($pid, POSIX::WNOHANG()) == 0;
	$self->member($id)->{status} = $?;
	$self->member($id)->{supervisor} = undef;
	return 0;
}

# start(ID...): by its supervisor, or whatever command the member has instead.
sub start
{
	my ($self, @ids) = @_;

	foreach my $id (@ids)
	{
		my $server = $self->server($id);
		my @command = @{ $self->member($id)->{command} // [ 'pg_leader_supervisor', '-D', $server->data_dir ] };
		my $pid;

		$self->compare_state($id);
		$pid = fork // die "fork: $!";
		if ($pid == 0)
		{
			open STDIN, '<', '/dev/null';
			open STDOUT, '>>', $server->logfile;
			open STDERR, '>&', \*STDOUT;
			exec @command or POSIX::_exit(127);
		}
		$self->member($id)->{supervisor} = $pid;
	}
	return;
}

# set_now(ID, NAME => VALUE): a test; pg_leader.NAME, in force.
sub set_now
{
	my ($self, $id, $name, $value) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$self->set($id, $name => $value);
	$self->signal($id, 'HUP');
	$self->wait_until("node $id: pg_leader.$name is $value", sub { ($self->sql($id, "SHOW pg_leader.$name") // '') eq $value });
	return;
}

# signal(ID, NAME): to its supervisor.
sub signal { my ($self, $id, $name) = @_; kill $name, $self->supervisor($id); return; }

# stop(ID): by its supervisor; its exit status.
sub stop
{
	my ($self, $id) = @_;

	$self->remember($id);
	$self->signal($id, 'TERM');
	$self->wait_until("the supervisor of node $id has ended", sub { !$self->is_running($id) });
	return $self->member($id)->{status};
}

sub stop_all
{
	my $self = shift;
	my @ids = $self->running;

	$self->signal($_, 'TERM') foreach @ids;
	$self->wait_until('all supervisors have ended', sub { !$self->running });
	return;
}

sub postmaster { my ($self, $id) = @_; return PgLeaderCluster::postmaster_of($self->server($id)); }

# processes(ID): those of PostgreSQL, the postmaster first.
sub processes
{
	my ($self, $id) = @_;
	my $postmaster = $self->postmaster($id) // return ();

	return ($postmaster, grep { PgLeaderCluster::parent_of($_) == $postmaster } PgLeaderCluster::all_processes());
}

sub titled
{
	my ($self, $id, $pattern) = @_;

	return defined $self->postmaster($id) ? $self->SUPER::titled($id, $pattern) : undef;
}

# Its startup process and WAL receiver, and the workers of the election and of the role.
sub startup { my ($self, $id) = @_; return $self->titled($id, qr/\bstartup\b/); }
sub receiver { my ($self, $id) = @_; return $self->titled($id, qr/\bwalreceiver\b/); }
sub worker { my ($self, $id) = @_; return $self->titled($id, qr/\bpg_leader: (?!role|recorder)/); }
sub role_worker { my ($self, $id) = @_; return $self->titled($id, qr/\bpg_leader: role/); }

# All election workers; and the receivers of those that follow: receivers(PRIMARY).
sub workers { my $self = shift; return map { $self->worker($_) } $self->ids; }
sub receivers { my ($self, $primary) = @_; return map { $self->receiver($_) // () } $self->others($primary); }

# kill_server(ID): PostgreSQL alone, all of it at once.
sub kill_server
{
	my ($self, $id) = @_;
	my $postmaster = $self->postmaster($id) // die "node $id: no server runs\n";
	my @pids;

	kill 'STOP', $postmaster;
	@pids = $self->processes($id);
	kill 'STOP', @pids;
	kill 'KILL', @pids;
	return;
}

# kill_all(ID...): that, and its supervisor, as if the machine were gone.
sub kill_all
{
	my ($self, @ids) = @_;

	foreach my $id (@ids)
	{
		my ($supervisor, $postmaster) = ($self->supervisor($id), $self->postmaster($id));
		my @pids;

		$self->remember($id);
		kill 'STOP', $supervisor, $postmaster;
		@pids = ($supervisor, $self->processes($id));
		kill 'STOP', @pids;
		kill 'KILL', @pids;
		$self->wait_until("node $id: nothing is left", sub { !$self->is_running($id) && PgLeaderCluster::are_gone(@pids) });
		$self->compare_state($id);
	}
	return;
}

# ---- what they are ----

# role(ID): the row of pg_leader_server; {} if it does not answer.
sub role
{
	my ($self, $id) = @_;
	my $row = $self->sql($id, 'SELECT row_to_json(s) FROM pg_leader_server s');

	return defined $row && $row ne '' ? JSON::PP::decode_json($row) : {};
}

# open_primary(): the id of the only one that is open, undef if there is none.
sub open_primary
{
	my $self = shift;
	my @open = grep { $self->role($_)->{is_open} } $self->running;

	return @open == 1 ? $open[0] : undef;
}

# wait_for_primary(NAME): a test; its id.
sub wait_for_primary
{
	my ($self, $name) = @_;
	my $id;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$self->wait_until($name, sub { $id = $self->open_primary; return defined $id; });
	return $id;
}

# wait_for_roles(): tests; (PRIMARY, the other two), once it is open and all that run follow it.
sub wait_for_roles
{
	my $self = shift;
	my $primary;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$primary = $self->wait_for_primary('one is the open primary');
	$self->wait_for_followers('the others that run follow it', $primary);
	return ($primary, $self->others($primary));
}

# wait_for_followers(NAME, PRIMARY): a test; all others that run stream from it.
sub wait_for_followers
{
	my ($self, $name, $primary) = @_;
	my $n = grep { $_ != $primary } $self->running;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$self->wait_until($name, sub {
		my $streaming = $self->sql($primary, q(SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND application_name ~ '^pg_leader_[0-9]+$'));
		return defined $streaming && $streaming == $n;
	});
	return;
}

# hand_over(ID): a test; it is the open primary.
sub hand_over
{
	my ($self, $id) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$self->wait_until("node $id is the open primary", sub {
		my $primary = $self->open_primary;

		return 0 unless defined $primary;
		$self->sql($primary, "SELECT pg_leader_transfer($id)") if $primary != $id;
		return $primary == $id;
	});
	return;
}

# follows(ID, PRIMARY): does it stream from it?
sub follows
{
	my ($self, $id, $primary) = @_;

	return ($self->sql($primary, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND application_name = 'pg_leader_$id'") // 0) > 0;
}

# comes_back(ID, PRIMARY): a test; it follows, whatever its supervisor has to do for that.
sub comes_back
{
	my ($self, $id, $primary) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$self->wait_until("node $id follows again", sub { $self->follows($id, $primary) });
	return;
}

# wait_for_replay(PRIMARY): a test; all that it has written is replayed by those that stream,
# and sessions write no more: there is nothing left for them to prune.
sub wait_for_replay
{
	my ($self, $primary) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$self->sql($primary, 'VACUUM');
	$self->wait_until("all have replayed what node $primary has written", sub {
		my $all = $self->sql($primary, q(SELECT bool_and(replay_lsn = pg_current_wal_insert_lsn()) AND pg_current_wal_flush_lsn() = pg_current_wal_insert_lsn() FROM pg_stat_replication));
		return defined $all && $all eq 't';
	});
	return;
}

# was_opened(ID, OFFSET): in its log since then, has it opened?
sub was_opened { my ($self, $id, $offset) = @_; return $self->log_of($id, $offset) =~ /pg_leader: order OPEN/; }

# ---- timelines ----

# made(ID, OFFSET): the timelines that its promotions have made since then.
sub made { my ($self, $id, $offset) = @_; return $self->log_of($id, $offset) =~ /selected new timeline ID: (\d+)/g; }

# histories(ID): what its history files say, { timeline => text }; '' for one that is burnt.
sub histories
{
	my ($self, $id) = @_;
	my %said;

	foreach my $file (glob $self->server($id)->data_dir . '/pg_wal/*.history')
	{
		my ($name) = $file =~ m{([0-9A-F]{8})\.history$} or next;
		my $text = PostgreSQL::Test::Utils::slurp_file($file);

		$said{ hex $name } = $text =~ /^\d/m ? $text : '';
	}
	return \%said;
}

# put_history(ID, TIMELINE, TEXT): into its pg_wal, whole; without TEXT a burnt one.
sub put_history
{
	my ($self, $id, $timeline, $text) = @_;
	my $file = $self->server($id)->data_dir . sprintf '/pg_wal/%08X.history', $timeline;

	PostgreSQL::Test::Utils::append_to_file("$file.new", $text // "# not used by anybody\n");
	rename "$file.new", $file or die "$file: $!";
	return;
}

# check_timelines([ID, TIMELINE]...): tests; no timeline was made twice, by whomever, and
# nobody has another history of one.  Those that were made by hand are left out.
sub check_timelines
{
	my ($self, @by_hand) = @_;
	my %left_out = map { ("@$_" => 1) } @by_hand;
	my (%makers, %histories, @twice, @differ);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	foreach my $id ($self->ids)
	{
		my $histories = $self->histories($id);

		push @{ $makers{$_} }, $id foreach grep { !$left_out{"$id $_"} } $self->made($id);
		$histories{$_}{ $histories->{$_} } = 1 foreach grep { $histories->{$_} ne '' && !$left_out{"$id $_"} } keys %$histories;
	}
	@twice = map { "$_ by nodes " . join ', ', @{ $makers{$_} } } grep { @{ $makers{$_} } > 1 } sort { $a <=> $b } keys %makers;
	@differ = grep { keys %{ $histories{$_} } > 1 } sort { $a <=> $b } keys %histories;
	is(join("\n", @twice), '', "$self->{name}: no timeline was made twice");
	is("@differ", '', "$self->{name}: all nodes have the same history of each timeline");
	note("$self->{name}: timelines " . join(' ', map { "$_ (node $makers{$_}[0])" } sort { $a <=> $b } keys %makers));
	return;
}

sub describe
{
	my $self = shift;
	my @lines = $self->SUPER::describe;

	foreach my $id ($self->ids)
	{
		my $role = $self->role($id);

		push @lines, "node $id: " . join ', ', map { "$_=$role->{$_}" } grep { defined $role->{$_} } sort keys %$role;
		push @lines, map { "    $_" } grep { defined } (split /\n/, $self->log_of($id))[-12 .. -1];
	}
	return join "\n", @lines;
}

# Supervisors first: what they run ends with them.
END
{
	my $exit_code = $?;
	my @pids = grep { defined } map { my $c = $_; map { $c->supervisor($_) } $c->ids } @clusters;
	my $end = PgLeaderCluster::clock_now() + 10e6;

	kill 'QUIT', @pids;
	while (PgLeaderCluster::clock_now() < $end && grep { waitpid($_, POSIX::WNOHANG()) == 0 } @pids)
	{
		Time::HiRes::usleep(20_000);
	}
	kill 'KILL', grep { waitpid($_, POSIX::WNOHANG()) == 0 } @pids;
	$? = $exit_code;
}

1;
