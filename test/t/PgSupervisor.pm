# test/t/PgSupervisor.pm
#	  pg_leader_supervisor in the background, for the tests beside this file: starting it,
#	  waiting for what it says, and looking at the processes of its server.
#
# One server for each test file, which supervised() names.  Waiting is polling with a
# limit; one that is hit ends the test.

package PgSupervisor;

use strict;
use warnings;

use Exporter 'import';
use IO::Socket::INET;
use PgQuery qw(answer_of look_until);
use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

use constant LIMIT => 60;

our @EXPORT = qw(supervised make_member free_port parent_of children_of are_gone postmaster processes titled
  wait_until answers log_from wait_for_log start start_and_wait exit_of);

my ($server, $log, $program, @supervisors);

# supervised(SERVER, LOG, PROGRAM): whose supervisor it is, where what both say goes, and
# which program it is.
sub supervised
{
	($server, $log, $program) = @_;
	$program //= 'pg_leader_supervisor';
	return;
}

# make_member(STATE): initdb; it is node 0 of three, and this its state directory.
sub make_member
{
	my $state = shift;
	my $list = join ', ', map { '127.0.0.1:' . free_port() } 0 .. 2;

	$server->init(allows_streaming => 1);
	$server->append_conf('postgresql.conf', qq(
max_connections = 100
log_line_prefix = '%m [%p] '
pg_leader.manage = on
pg_leader.cluster = '$list'
pg_leader.node_id = 0
pg_leader.state_directory = '$state'
));
	system_or_bail('pg_leader_state', '--new', "$state/node-0.state", '--node-id', 0, '--cluster', $list);
	return;
}

# A UDP port that nobody uses.
sub free_port
{
	my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Proto => 'udp') or die "no port: $!";

	return $socket->sockport;
}

# ---- processes ----

sub parent_of
{
	my $pid = shift;

	open my $file, '<', "/proc/$pid/stat" or return 0;
	my $line = <$file> // '';
	close $file;
	return $line =~ /^\d+ \(.*\) [^ZX] (\d+)/s ? $1 : 0;
}

sub children_of
{
	my $parent = shift;

	return grep { parent_of($_) == $parent } map { m{/(\d+)$} } glob '/proc/[0-9]*';
}

# Is none of them left?  A process that is killed closes its files, which is what the
# supervisor goes by, a moment before it is gone.
sub are_gone
{
	my @pids = @_;
	my $end = time + 2;

	usleep(10_000) while (@pids = grep { parent_of($_) } @pids) && time < $end;
	return !@pids;
}

sub postmaster
{
	my $pid = (split /\n/, slurp_file($server->data_dir . '/postmaster.pid'))[0];

	return $pid;
}

# All processes of the server, the postmaster first.
sub processes { my $pid = postmaster(); return ($pid, children_of($pid)); }

sub titled
{
	my ($pattern) = @_;

	foreach my $pid (children_of(postmaster()))
	{
		return $pid if slurp_file("/proc/$pid/cmdline") =~ $pattern;
	}
	die "no process is called $pattern";
}

# ---- waiting ----

sub wait_until
{
	my ($name, $code) = @_;
	my $result;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$result = look_until($code, LIMIT);
	ok($result, $name);
	return if $result;
	diag(slurp_file($log));
	die "gave up waiting: $name\n";
}

sub answers
{
	return (answer_of($server, 'SELECT pg_is_in_recovery()') // '') eq 't';
}

sub log_from { return slurp_file($log, shift // 0); }

sub wait_for_log
{
	my ($name, $pattern, $offset) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return wait_until($name, sub { log_from($offset) =~ $pattern });
}

# ---- supervisors ----

# start(ARGUMENTS...): in the background; its process id.
sub start
{
	my @arguments = @_;
	my $pid = fork // die "fork: $!";

	if (!$pid)
	{
		open STDERR, '>>', $log or die "$log: $!";
		open STDOUT, '>&', \*STDERR or die;
		open STDIN, '<', '/dev/null' or die;
		exec $program, '-D', $server->data_dir, @arguments or exit 126;
	}
	push @supervisors, $pid;
	return $pid;
}

sub start_and_wait
{
	my ($name, @arguments) = @_;
	my $pid = start(@arguments);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	wait_until("$name: the server answers, as a standby", \&answers);
	return $pid;
}

# exit_of(PID): its exit status, 256 and more for a signal.
sub exit_of
{
	my $pid = shift;
	my $end = time + LIMIT;
	my $done;

	usleep(20_000) while !($done = waitpid $pid, POSIX::WNOHANG()) && time < $end;
	return -1 unless $done == $pid;
	@supervisors = grep { $_ != $pid } @supervisors;
	return $? & 127 ? 256 + ($? & 127) : $? >> 8;
}

END
{
	my $exit_code = $?;

	kill 'QUIT', @supervisors;
	exit_of($_) foreach @supervisors;
	kill 'KILL', @supervisors;
	$? = $exit_code;
}

1;
