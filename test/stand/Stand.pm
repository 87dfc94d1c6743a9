# test/stand/Stand.pm
#	  A cluster on a test stand of its own, for the tests beside it.
#
# A Chaos cluster (test/chaos/Chaos.pm) whose nodes live in network namespaces
# that script/test_stand/net_init.sh makes, and whose links script/test_stand/
# ctl.sh cuts: the tests use what users have.  Needs root, and is best run by
# test/run.sh, which gives each test a network and processes of its own; without
# it, what a killed test has left is taken down by the next one.

package Stand;

use strict;
use warnings;

use Cwd qw(realpath);
use Fcntl qw(:flock O_APPEND O_CREAT O_RDWR O_WRONLY);
use File::Basename qw(dirname);
use File::Path qw(make_path);
use FindBin;
use lib "$FindBin::RealBin/../chaos";

use Chaos;
use POSIX ();
use Time::HiRes qw(sleep);

our @ISA = ('Chaos');

my $top = realpath(dirname(__FILE__) . '/../..');

# Beside the record of what net_init.sh has made, and not taken for one of those.
my $owner_file = '/run/pg_leader_stand/.owner-bpgldtest';

# The first three parts of the nodes' addresses.
use constant NETWORK => '10.93.7';

# Milliseconds, as Chaos.pm configures them.
use constant { MIN_TIMEOUT => 200, MAX_TIMEOUT => 400, HEARTBEAT => 50 };

# undef, or why there can be no stand here.
sub missing
{
	return 'not root' if $> != 0;
	foreach my $program (qw(ip nsenter ebtables-nft ebtables-nft-restore nft))
	{
		return "no program $program" if system("type $program >/dev/null 2>&1") != 0;
	}
	return undef;
}

# nodes: how many; settings: lines for the configuration, over those of Chaos.pm.
sub new
{
	my ($class, %options) = @_;
	my $lock = take_stand($owner_file);
	my $self = Chaos::new($class, nodes => $options{nodes});

	$self->{lock} = $lock;
	open(my $config, '>>', $self->{config}) or die $!;
	print $config <<"TEXT", $options{settings} // '';
IPv4_CLUSTER=
NETWORK=@{[ NETWORK ]}
MASK=24
PGLD_UDP_PORT=3500
NETNS_PREFIX=pgldtest
VETH_PREFIX=vpgldtest
BRIDGE_NAME=bpgldtest
TEXT
	close $config;
	$self->run('net_down.sh', '-c', $self->{config});
	$self->run('net_init.sh', '-c', $self->{config});
	$self->{up} = 1;
	return $self;
}

# All stands of one network have the same names, so that there is one at a time,
# and making ours takes down what is there.  Dies if that is the stand of a test
# which lives.  The lock ends with whoever holds it.
sub take_stand
{
	my ($path) = @_;

	make_path(dirname($path));
	sysopen(my $lock, $path, O_RDWR | O_CREAT) or die "$path: $!\n";
	if (!flock($lock, LOCK_EX | LOCK_NB))
	{
		my $owner = <$lock> // '?';
		chomp $owner;
		die "process $owner has a stand in this network; private_network gives another one\n";
	}
	truncate($lock, 0);
	syswrite($lock, "$$\n");
	return $lock;
}

# One of the stand's scripts, or any other program; dies with what it said when it fails.
sub run
{
	my ($self, $script, @arguments) = @_;
	my ($status, $output) = $self->try_run($script, @arguments);

	die "$script @arguments: exit status $status\n$output" if $status != 0;
	return $output;
}

# The same, for those that may fail: (exit status, what it said).  The status is
# what a shell makes of it: 128 and the signal, if one ended it.
sub try_run
{
	my ($self, $script, @arguments) = @_;
	my $pid = open(my $pipe, '-|') // die "fork: $!";

	if ($pid == 0)
	{
		open(STDIN, '<', '/dev/null');
		open(STDERR, '>&', \*STDOUT);
		exec(-x "$top/script/test_stand/$script" ? "$top/script/test_stand/$script" : $script, @arguments)
		  or POSIX::_exit(127);
	}
	local $/;
	my $output = <$pipe> // '';
	close $pipe;
	return ($? & 127 ? 128 + ($? & 127) : $? >> 8, $output);
}

# A command of ctl.sh.  Returns the election's clock, in seconds, before and
# after: what it does happens in between.
sub ctl
{
	my ($self, @words) = @_;
	my $before = Chaos::now();

	$self->run('ctl.sh', '--config', $self->{config}, '-c', "@words");
	return ($before, Chaos::now());
}

sub address { my ($self, $id) = @_; return NETWORK . '.' . (10 + $id); }

# The test gets a place of its own on the bridge, for clients: it reaches every node, whatever
# is cut.  Returns its address.
sub join_bridge
{
	my ($self) = @_;

	$self->run('ip', 'addr', 'add', NETWORK . '.1/24', 'dev', 'bpgldtest');
	return NETWORK . '.1';
}

# Words before a command that root runs: it runs in a node's namespace, as the servers' user.
sub in_node
{
	my ($self, $id) = @_;
	my ($uid, $gid) = Chaos::owner();

	return ('nsenter', "--net=/run/netns/pgldtest$id", "--setuid=$uid", "--setgid=$gid", '--');
}

sub launch
{
	my ($self, undef, @ids) = @_;
	$self->ctl('start', @ids);
	return;
}

# Start them by supervisors, which run pg_leader.notify_command; those that run are stopped
# before.  ctl.sh stops them as all others.
sub supervise
{
	my ($self, @ids) = @_;
	my @running = grep { $self->pids($_) } @ids;

	$self->ctl('stop', @running) if @running;
	foreach my $id (@ids)
	{
		waitpid($self->{supervisor}{$id}, 0) if $self->{supervisor}{$id};
		my $pid = fork() // die "fork: $!";

		if ($pid == 0)
		{
			open(STDIN, '<', '/dev/null');
			open(STDOUT, '>>', "$self->{dir}/node$id.log");
			open(STDERR, '>&', \*STDOUT);
			exec('nsenter', "--net=/run/netns/pgldtest$id", '--', "$top/script/nodelaunch.sh", '-c', $self->{config}, '--foreground', $id)
			  or POSIX::_exit(127);
		}
		$self->{supervisor}{$id} = $pid;
	}
	foreach my $id (@ids)
	{
		Chaos::eventually(60, sub { defined $self->query($id, 'SELECT 1') }) or die "node $id does not answer";
	}
	return;
}

# SIGKILL for supervisors.  Their servers end by the kernel's SIGQUIT.
sub kill_supervisors
{
	my ($self, @ids) = @_;

	foreach my $id (@ids)
	{
		my $pid = delete $self->{supervisor}{$id} // next;

		kill 'KILL', $pid;
		waitpid($pid, 0);
	}
	return;
}

# The node that holds a lease, and its term, as soon as there is one among these
# that all of these follow; dies after 60 s.
sub settled
{
	my ($self, @ids) = @_;
	return $self->wait_for_leader(@ids ? @ids : $self->ids);
}

# ---- processes ----

# Pids of a node's processes whose titles match.
sub titled
{
	my ($self, $id, $title) = @_;
	return grep { Chaos::slurp("/proc/$_/cmdline") =~ $title } $self->pids($id);
}

# The processes that are the member of a node: one, or none for a moment.
sub workers
{
	my ($self, $id) = @_;
	return $self->titled($id, qr/^postgres: pg_leader chaos \d+: pg_leader: /);
}

sub worker
{
	my ($self, $id) = @_;
	my @pids = $self->workers($id);

	die "node $id has " . @pids . " workers\n" if @pids != 1;
	return $pids[0];
}

# ---- the end of processes ----

# Stop all processes of nodes: from then on none of them acts on anything, so that
# they can be killed one after the other as if at once.  Returns them, [node, pid].
sub freeze
{
	my ($self, @ids) = @_;
	my @found;

	# A postmaster that has been told to stop runs until it is its turn, and may
	# start another process until then.
	Chaos::eventually(60, sub {
			@found = map { my $id = $_; map { [ $id, $_ ] } $self->pids($id) } @ids;
			my @going_on = map { $_->[1] } grep { goes_on($_->[1]) } @found;
			kill 'STOP', @going_on;
			return !@going_on;
		}) or die "processes of @ids go on in spite of SIGSTOP";
	return @found;
}

sub goes_on
{
	my ($pid) = @_;

	return Chaos::slurp("/proc/$pid/stat") =~ /^.*\) [^TtZX] /;
}

# SIGKILL for processes that "freeze" has returned.  Returns when it was sent, after
# all of them have gone.
sub kill_frozen
{
	my ($self, @found) = @_;

	$self->expect_end('KILL', $_->[0], $_->[1]) foreach @found;
	return Chaos::kill_pids(map { $_->[1] } @found);
}

# As Chaos.pm's, but nobody can act on another's death.
sub kill_nodes
{
	my ($self, @ids) = @_;
	return $self->kill_frozen($self->freeze(@ids));
}

# A process of a node's is about to end by our doing, and its server will say so:
# KILL and TERM are signals, "save" makes it unable to save its state.  In a file,
# because nemesis does such things in processes of their own.
sub expect_end
{
	my ($self, $how, $id, @pids) = @_;

	sysopen(my $file, "$self->{dir}/expected", O_WRONLY | O_APPEND | O_CREAT) or die "expected: $!";
	syswrite($file, join('', map { "$how $id $_\n" } @pids)) // die "expected: $!";
	close $file;
	return;
}

# What all servers' logs say of ends that nothing here has caused.
sub unexpected_ends
{
	my ($self) = @_;
	my (%expected, @found);

	foreach (split /\n/, Chaos::slurp("$self->{dir}/expected")) { $expected{$2}{"$1 $3"} = 1 if /^(\w+) (\d+) (\d+)$/; }
	foreach my $id ($self->ids)
	{
		my @lines = split /^/, Chaos::slurp("$self->{dir}/node$id.log");
		push @found, "node $id has no log" unless @lines;
		push @found, map { "node $id: $_" } suspicious_lines($expected{$id} // {}, @lines);
	}
	return @found;
}

# Lines of one server's log that should not be there; expected: {"how pid" => 1}.
# A server that was told to stop ends its own workers, and says so of each.
sub suspicious_lines
{
	my ($expected, @lines) = @_;
	my $stops = 0;
	my @found;

	foreach my $line (@lines)
	{
		chomp $line;
		$stops = 1 if $line =~ /LOG:  received (?:smart|fast|immediate) shutdown request/;
		$stops = 0 if $line =~ /LOG:  starting PostgreSQL /;
		my ($pid) = $line =~ /\(PID (\d+)\)/ ? $1 : $line =~ /\[(\d+)\]/;
		my %may_be = map { ($_ => defined $pid && $expected->{"$_ $pid"}) } qw(KILL TERM save);

		next unless $line =~ /assertion failed:|PANIC:|TRAP:|terminated by signal|exited with exit code|could not save/;
		next if $line =~ /was terminated by signal 9\b/ && $may_be{KILL};
		next if $line =~ /exited with exit code 1$/ && ($stops || $may_be{TERM} || $may_be{save});
		next if $line =~ /could not save/ && $may_be{save};
		next if $line =~ /LOG:  notify_command failed for /; # no process of the server's
		push @found, $line;
	}
	return @found;
}

# All that a node's events say: references to hashes, oldest first; times in
# seconds of the election's clock, undef where there is none.
sub events
{
	my ($self, $id) = @_;
	my @names = qw(number boot boot_time term role leader_id lease_start lease_end reason);
	my $rows = $self->query($id,
		'SELECT number, boot, boot_time, term, role, leader_id, lease_start, lease_end, reason '
		  . 'FROM pg_leader_events ORDER BY number') // die "node $id does not answer";
	my @events;

	foreach my $row (@$rows)
	{
		my %event;
		@event{@names} = map { $_ eq '' ? undef : $_ } @$row;
		foreach my $time (qw(boot_time lease_start lease_end))
		{
			$event{$time} /= 1e6 if defined $event{$time};
		}
		push @events, \%event;
	}
	return @events;
}

sub DESTROY
{
	my ($self) = @_;

	return unless $self->{owner} == $$;
	local ($?, $@);
	$self->kill_supervisors(keys %{ $self->{supervisor} // {} });
	eval { $self->run('net_down.sh', '-c', $self->{config}) } if $self->{up};
	warn $@ if $@;
	close delete $self->{lock} if $self->{lock};
	$self->SUPER::DESTROY;
	return;
}

1;
