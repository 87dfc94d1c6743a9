# test/chaos/Chaos.pm
#	  A cluster of real servers that can be killed, for the tests beside it.
#
# Servers are launched by script/nodelaunch.sh from a configuration of its own in
# a scratch directory.  Everything is known from what the servers say in SQL,
# what lies in their state files, and, as root, what crosses the loopback
# interface.  Kills only processes that it started, by pid.

package Chaos;

use strict;
use warnings;

use Cwd qw(realpath);
use File::Basename qw(dirname);
use File::Path qw(remove_tree);
use File::Temp qw(tempdir);
use IO::Socket::INET;
use POSIX qw(:sys_wait_h);
use Time::HiRes qw(clock_gettime sleep);

use constant CLOCK_BOOTTIME => 7;

# An interrupted test cleans up like one that ends.
$SIG{INT} = $SIG{TERM} = $SIG{HUP} = sub { exit 1; };

my $top = realpath(dirname(__FILE__) . '/../..');
my $user = $> == 0 ? ($ENV{PGLD_USER} // 'postgres') : undef;

sub now { return clock_gettime(CLOCK_BOOTTIME); }

# Waits for something that has to happen: what the condition returns once that is
# true, or nothing after so many seconds.
sub eventually
{
	my ($seconds, $condition) = @_;
	my $end = now() + $seconds;

	while (1)
	{
		my $value = $condition->();
		return $value if $value;
		return if now() > $end;
		sleep(0.005);
	}
}

# All of a file; nothing where there is none.
sub slurp
{
	my ($path) = @_;
	open(my $file, '<', $path) or return '';
	local $/;
	return <$file> // '';
}

# User and group that servers run as.
sub owner { return (getpwnam($user // (getpwuid($>))[0]))[ 2, 3 ]; }

# A port that nobody has, for "udp" or "tcp"; not kept, so take them late.
sub free_port
{
	my ($proto) = @_;
	my $socket = IO::Socket::INET->new(
		LocalAddr => '127.0.0.1',
		Proto => $proto,
		($proto eq 'tcp' ? (Listen => 1) : ())) or die "no free port: $@";

	return $socket->sockport;
}

# A row of TCP ports, as nodelaunch.sh wants them.
sub free_row
{
	my ($n) = @_;

	for (1 .. 100)
	{
		my $first = 20000 + int(rand(10000));
		my @held = map {
			IO::Socket::INET->new(
				LocalAddr => '127.0.0.1',
				LocalPort => $first + $_,
				Proto => 'tcp',
				Listen => 1)
		} 0 .. $n - 1;
		return $first unless grep { !defined } @held;
	}
	die 'no free row of ports';
}

# nodes: how many; log: log each message.
sub new
{
	my ($class, %options) = @_;
	my $n = $options{nodes};
	my $dir = tempdir('pg_leader_chaos_XXXXXX', TMPDIR => 1);
	my @udp = map { free_port('udp') } 1 .. $n;
	my $self = bless {
		n => $n,
		dir => $dir,
		config => "$dir/chaos.config",
		udp => \@udp,
		tcp => free_row($n),
		owner => $$,
	}, $class;

	chmod 0755, $dir;
	chown owner(), $dir;
	open(my $config, '>', $self->{config}) or die $!;
	print $config <<"TEXT";
N_NODES=$n
IPv4_CLUSTER="@{[join(', ', map { "127.0.0.1:$_" } @udp)]}"
CLUSTER_NAME=chaos
PGLD_DB_PATHNAME_PREFIX=$dir/node
PGLD_STATE_DIRECTORY=$dir/state
PGLD_SOCKET_DIRECTORY=$dir/sockets
PGLD_START_PORT=$self->{tcp}
PGLD_MANAGE=off
PGLD_USER=@{[$user // '']}
MIN_TIMEOUT=200
MAX_TIMEOUT=400
HEARTBEAT_TIMEOUT=50
ENABLE_LOG=off
TEXT
	close $config;
	chomp(my $bin = `\${PG_CONFIG:-pg_config} --bindir`);
	$self->{bin} = $bin;
	return $self;
}

sub ids { my ($self) = @_; return 0 .. $self->{n} - 1; }

# Launch nodes side by side.
sub launch
{
	my ($self, $new, @ids) = @_;
	my %launching;

	foreach my $id (@ids)
	{
		my $pid = fork() // die "fork: $!";
		if ($pid == 0)
		{
			open(STDOUT, '>', "$self->{dir}/launch$id.out");
			open(STDERR, '>&', \*STDOUT);
			exec("$top/script/nodelaunch.sh",
				'-c', $self->{config}, ($new ? '--new' : ()), $id)
			  or POSIX::_exit(127);
		}
		$launching{$pid} = $id;
	}
	while (my ($pid, $id) = each %launching)
	{
		waitpid($pid, 0);
		next if $? == 0;
		die "node $id was not launched:\n" . slurp("$self->{dir}/launch$id.out");
	}
	return;
}

# The postmaster's pid; its file stays where it was killed.  undef: it was never started,
# or has been stopped.
sub postmaster
{
	my ($self, $id) = @_;
	return slurp("$self->{dir}/node$id/postmaster.pid") =~ /\A(\d+)$/m ? $1 : undef;
}

# All processes of a node's server: those that stand in its directory.
sub pids
{
	my ($self, $id) = @_;
	return grep { (readlink("/proc/$_/cwd") // '') eq "$self->{dir}/node$id" && slurp("/proc/$_/comm") eq "postgres\n" }
	  map { s|.*/||r } glob '/proc/[0-9]*';
}

# SIGKILL for everything that the given nodes run.  Returns when it was sent, in
# seconds of the election's clock, after all of it has gone.
sub kill_nodes
{
	my ($self, @ids) = @_;
	my @pids = map { $self->pids($_) } @ids;

	# Postmasters last: a worker that sees its own go hands over at once, and
	# that is not what a machine does that loses its power.
	return kill_pids(reverse sort { $a <=> $b } @pids);
}

# The same for processes, in this order.
sub kill_pids
{
	my (@pids) = @_;
	my $at = now();

	kill 'KILL', @pids;
	# reaped as well, for a server takes a zombie's pid file seriously
	eventually(60, sub { !grep { kill(0, $_) } @pids }) or die "processes outlive SIGKILL";
	return $at;
}

# Rows of a query, each a reference to its columns; undef: no answer.
sub query
{
	my ($self, $id, $sql) = @_;
	my @command = (
		"$self->{bin}/psql", '-h', "$self->{dir}/sockets", '-p', $self->{tcp} + $id,
		'-U', 'postgres', '-d', 'postgres', '-XAtq', '-F', "\t", '-c', $sql);

	unshift @command, 'runuser', '-u', $user, '--' if defined $user;
	my $pid = open(my $pipe, '-|') // die "fork: $!";
	if ($pid == 0)
	{
		open(STDERR, '>', '/dev/null');
		exec(@command) or POSIX::_exit(127);
	}
	my @rows = map { chomp; [ split /\t/, $_, -1 ] } <$pipe>;
	close $pipe;
	return $? == 0 ? \@rows : undef;
}

# Until all of these nodes name the same leader in the same term, and it says that it
# holds a lease: (leader, term).
sub wait_for_leader
{
	my ($self, @ids) = @_;
	return $self->wait_for_leader_above(0, @ids);
}

# The same in a term above $term: the dead are named for a while.
sub wait_for_leader_above
{
	my ($self, $term, @ids) = @_;
	my $seen;
	my $agreed = eventually(60, sub {
			my (%views, %holds);
			foreach my $id (@ids)
			{
				my $rows = $self->query($id, 'SELECT term, leader_id, is_leader FROM pg_leader_status');
				my @view = defined $rows ? @{ $rows->[0] // [] } : ('down');
				$holds{$id} = 1 if ($view[2] // '') eq 't';
				$views{ join(' ', grep { defined } @view[ 0, 1 ]) } = 1;
			}
			my ($view, @others) = keys %views;
			$seen = join(', ', $view, @others) . '; leases: ' . join(' ', sort keys %holds);
			return !@others && $view =~ /^(\d+) (\d+)$/ && $1 > $term && $holds{$2} ? [ $2, $1 ] : undef;
		}) // die "no leader with a lease that all of @ids agree on within 60 s: $seen";

	return @$agreed;
}

# What a node's events say, added to $self->{leaders}: term -> who led it.
# Returns the events, oldest first: [boot time in s, term, role, leader].
sub read_events
{
	my ($self, $id) = @_;
	my $rows = $self->query($id,
		    'SELECT boot_time / 1e6, term, role, leader_id FROM pg_leader_events '
		  . 'ORDER BY boot_time') // die "node $id does not answer";

	foreach my $event (@$rows)
	{
		my (undef, $term, $role, $leader) = @$event;
		$self->{leaders}{$term}{$id} = 1 if $role eq 'leader';
		$self->{leaders}{$term}{$leader} = 1 if $leader ne '';
	}
	return $rows;
}

sub terms_with_two_leaders
{
	my ($self) = @_;
	return grep { keys %{ $self->{leaders}{$_} } > 1 } keys %{ $self->{leaders} };
}

# Term and vote in a node's state file.
sub state
{
	my ($self, $id) = @_;
	my $text = `$self->{bin}/pg_leader_state $self->{dir}/state/node-$id.state 2>&1`;
	my ($term) = $text =~ /^term: (\d+)$/m or die "node $id: $text";
	my ($vote) = $text =~ /^voted for: (\S+)$/m or die "node $id: $text";

	return ($term, $vote, $text);
}

# ---- what is on the wire ----

# A process that writes a line for each datagram between the members to a file.
# The offsets are those of raft/message.h.  Needs root.
sub capture
{
	my ($self) = @_;
	my %is_ours = map { $_ => 1 } @{ $self->{udp} };

	socket(my $wire, 17, 2, unpack('S', pack('n', 0x0800)))
	  or die "cannot capture: $!";
	setsockopt($wire, 1, 33, pack('i', 64 * 1024 * 1024));
	bind($wire, pack('S n i S C C a8', 17, 0x0800, loopback_index(), 0, 0, 0, ''))
	  or die "cannot capture on loopback: $!";
	$self->{wire_file} = "$self->{dir}/wire";
	my $pid = fork() // die "fork: $!";
	if ($pid)
	{
		$self->{wire_pid} = $pid;
		return;
	}

	open(my $out, '>', $self->{wire_file}) or POSIX::_exit(1);
	my $ended = 0;
	$SIG{TERM} = sub { $ended = 1; };
	while (!$ended)
	{
		my $from = recv($wire, my $packet, 2048, 0) // next;

		# Loopback shows each packet twice, going out (4) and coming in.
		next if (unpack('S n i S C C', $from))[4] == 4;
		my $ip = (unpack('C', $packet) & 15) * 4;
		next unless unpack('x9 C', $packet) == 17;
		my ($source, $target) = unpack("x$ip n n", $packet);
		next unless $is_ours{$source} && $is_ours{$target};
		my $at = $ip + 8;
		next unless length($packet) - $at == 264;
		my ($type, $flags, $sender, $receiver, $term, $asked) =
		  unpack("x$at x5 C x C x16 N N x48 Q> x8 Q>", $packet);
		print $out join(' ', $type, $flags, $sender, $receiver, $term, $asked), "\n";
	}

	# how many packets the kernel could not give us
	my $statistics = getsockopt($wire, 263, 6);
	print $out 'lost ', (unpack('I I', $statistics))[1], "\n";
	close $out;
	POSIX::_exit(0);
}

sub loopback_index
{
	open(my $file, '<', '/sys/class/net/lo/ifindex') or return 1;
	chomp(my $index = <$file>);
	return $index;
}

# Ends the capture.  Returns {votes}: node -> term -> {whom => times},
# {terms}: node -> highest term sent, {types}: type -> count, {lost}.
sub captured
{
	my ($self) = @_;
	my %seen = (lost => undef);

	kill 'TERM', $self->{wire_pid};
	waitpid($self->{wire_pid}, 0);
	delete $self->{wire_pid};
	open(my $file, '<', $self->{wire_file}) or die "no capture: $!";
	while (<$file>)
	{
		if (/^lost (\d+)$/) { $seen{lost} = $1; next; }
		my ($type, $flags, $sender, $receiver, $term, $asked) = split;
		$seen{types}{$type}++;
		$seen{terms}{$sender} = $term if $term > ($seen{terms}{$sender} // 0);
		$seen{votes}{$sender}{$term}{$sender}++ if $type == 6;
		$seen{votes}{$sender}{$asked}{$receiver}++ if $type == 7 && $flags & 4;
	}
	return \%seen;
}

sub DESTROY
{
	my ($self) = @_;

	return unless $self->{owner} == $$;
	local ($?, $@);
	kill 'TERM', $self->{wire_pid} if $self->{wire_pid};
	eval { $self->kill_nodes($self->ids); };
	remove_tree($self->{dir}) unless $ENV{PGLD_KEEP};
	return;
}

1;
