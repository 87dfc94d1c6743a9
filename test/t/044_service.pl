# test/t/044_service.pl
#	  pg_leader_supervisor under a service manager that wants to be told of it (systemd:
#	  READY, STATUS, WATCHDOG, ...), which is a socket of this test here, and as the first
#	  process of a container.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use IO::Select;
use IO::Socket::UNIX;
use PgSupervisor;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use constant WATCHDOG => 0.6;

my $work = PostgreSQL::Test::Utils::tempdir_short();
my $server = PostgreSQL::Test::Cluster->new('service');
my $data = $server->data_dir;
my $log = "$work/log";
my ($manager, $supervisor, $offset);

supervised($server, $log);
make_member("$work/state");

# ---- what the manager hears ----

sub listen_on
{
	$manager = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => shift) or die "socket: $!";
	return;
}

# told(SECONDS, PATTERN): the messages that come in that time, or until that one has come.
sub told
{
	my ($seconds, $pattern) = @_;
	my $select = IO::Select->new($manager);
	my $end = time + $seconds;
	my @messages;

	while ((my $left = $end - time) > 0)
	{
		next unless $select->can_read($left);
		$manager->recv(my $message, 4096);
		push @messages, $message;
		last if defined $pattern && $message =~ $pattern;
	}
	return @messages;
}

# What has come so far counts for nothing.
sub forget
{
	my $select = IO::Select->new($manager);

	$manager->recv(my $message, 4096) while $select->can_read(0);
	return;
}

# is_told(NAME, PATTERN...): they come, in this order, with others between; all that came.
sub is_told
{
	my ($name, @patterns) = @_;
	my @all;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	foreach my $pattern (@patterns)
	{
		my @messages = told(60, $pattern);

		push @all, @messages;
		like($messages[-1] // '', $pattern, $name);
	}
	return @all;
}

sub environment_of
{
	my $pid = shift;

	return grep { /^(?:NOTIFY_SOCKET|WATCHDOG_USEC|WATCHDOG_PID|PG_LEADER_CONTROL)=/ } split /\0/, slurp_file("/proc/$pid/environ");
}

# ---- a socket in the file system, and a watchdog ----

listen_on("$work/notify");
{
	local $ENV{NOTIFY_SOCKET} = "$work/notify";
	local $ENV{WATCHDOG_USEC} = WATCHDOG * 1e6;
	$supervisor = start_and_wait('a start');
}
my $postmaster = postmaster();
my @told = is_told('a start', qr/^READY=1$/, qr/^STATUS=the server runs, and was started as a standby, process $postmaster$/);
is_deeply([ grep { !/^(?:READY|STATUS|WATCHDOG)=/ } @told ], [], 'a start: and nothing that is wrong');
is_deeply([ map { s/=.*//r } environment_of($postmaster) ], ['PG_LEADER_CONTROL'], 'the server is told nothing of the manager');
is(scalar environment_of($supervisor), 2, 'as its supervisor was');
forget();
my $beats = grep { $_ eq 'WATCHDOG=1' } told(5 * WATCHDOG);
cmp_ok($beats, '>=', 6, 'the watchdog is answered more than once in its time');
cmp_ok($beats, '<=', 11, 'and no more than twice');

kill 'HUP', $supervisor;
is_told('a reload', qr/^RELOADING=1\nMONOTONIC_USEC=\d+$/, qr/^READY=1$/);
kill 'KILL', $postmaster;
is_told('kill -9 of the postmaster', qr/^STATUS=the server runs, and was started as a standby, process (?!$postmaster$)\d+$/);
wait_until('kill -9 of the postmaster: it answers again', \&answers);

system_or_bail('pg_ctl', '-s', '-D', $data, '-m', 'fast', 'stop');
is_told('pg_ctl stop', qr/^STATUS=somebody has stopped the server, and it stays down$/);
my @more = told(3);
is_deeply([ grep { $_ ne 'WATCHDOG=1' } @more ], [], 'pg_ctl stop: it is said once');
cmp_ok(scalar @more, '>=', 6, 'pg_ctl stop: the watchdog is still answered');
kill 'TERM', $supervisor;
is_told('SIGTERM', qr/^STOPPING=1$/);
is(exit_of($supervisor), 0, 'SIGTERM: exit status 0');

# ---- a server that cannot start; a socket with another kind of name; a watchdog of others ----

my $name = "pg_leader_test_$$";

listen_on("\0$name");
rename "$data/global/pg_control", "$work/pg_control" or die;
{
	local $ENV{NOTIFY_SOCKET} = "\@$name";
	local $ENV{WATCHDOG_USEC} = WATCHDOG * 1e6;
	local $ENV{WATCHDOG_PID} = $$;
	$supervisor = start();
}
is_told('without pg_control', qr/^READY=1$/, qr/^STATUS=the server is not started: it has no data that may be used/);
rename "$work/pg_control", "$data/global/pg_control" or die;
@told = is_told('with pg_control again', qr/^STATUS=the server runs, /);
wait_until('with pg_control again: it answers', \&answers);
is_deeply([ grep { /^WATCHDOG/ } @told, told(2 * WATCHDOG) ], [], 'the watchdog of another process is not answered');
is_deeply([ map { s/=.*//r } environment_of(postmaster()) ], ['PG_LEADER_CONTROL'], 'nor is the server told of it');
kill 'TERM', $supervisor;
is_told('SIGTERM', qr/^STOPPING=1$/, qr/^STATUS=the server is being stopped$/);
is(exit_of($supervisor), 0, 'SIGTERM: exit status 0');

# ---- a manager that cannot be told ----

foreach ([ 'an address of another kind', 'vsock:2:1234', qr/WARNING:  ignoring NOTIFY_SOCKET "vsock:2:1234"/ ],
	[ 'nobody there', "$work/nobody", qr/WARNING:  could not tell the service manager \(NOTIFY_SOCKET\): No such file/ ])
{
	my ($what, $socket, $said) = @$_;

	local $ENV{NOTIFY_SOCKET} = $socket;
	$offset = -s $log;
	$supervisor = start_and_wait($what);
	my @said = log_from($offset) =~ /$said/g;
	is(@said, 1, "$what: it is said once");
	kill 'TERM', $supervisor;
	is(exit_of($supervisor), 0, "$what: and ended");
}

# ---- the first process of a container ----

my @container = qw(unshare --map-current-user --pid --fork --kill-child --mount-proc);

# A process that is not waited for stays in there, too.
sub is_reaped
{
	my ($what, @pids) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return wait_until($what, sub { !grep { -e "/proc/$_" } @pids });
}

# first_process(PID): of the container that was started as that process; the supervisor.
sub first_process { return (children_of(shift))[0]; }

# The postmaster and its children, by their numbers outside of the container.
sub contained
{
	my ($pid) = children_of(shift);

	return ($pid, children_of($pid));
}

SKIP:
{
	skip('this machine lets nobody but root make namespaces of processes', 1) if system(@container, 'true') != 0;
	append_to_file("$work/contained", "#!/bin/sh\nexec @container pg_leader_supervisor \"\$@\"\n");
	chmod 0755, "$work/contained";
	supervised($server, $log, "$work/contained");

	my $container = start_and_wait('as process 1');
	my $first = first_process($container);
	like(slurp_file("/proc/$first/status"), qr/^NSpid:.*\t1$/m, 'as process 1: it is that');

	# whose parent has ended
	$server->safe_psql('postgres', q{COPY (SELECT 1) TO PROGRAM 'cat >/dev/null; exec >/dev/null 2>&1; sleep 2 & sleep 0.1'});
	my ($orphan) = grep { slurp_file("/proc/$_/cmdline") eq "sleep\0002\0" } children_of($first);
	ok($orphan, 'as process 1: an orphan is its child') and is_reaped('as process 1: which it reaps', $orphan);

	my @before = contained($first);
	$offset = -s $log;
	kill 'KILL', $before[0];
	wait_for_log('as process 1, kill -9 of the postmaster: it is started again', qr/started the server as a standby/, $offset);
	is_reaped('as process 1, kill -9 of the postmaster: what it leaves is reaped', @before);
	wait_until('as process 1, kill -9 of the postmaster: it answers', \&answers);

	# its postmaster.pid names a process that there is in the next one, too
	@before = contained($first);
	kill 'KILL', $first;
	exit_of($container);
	is_reaped('a container that is killed: nothing is left', $first, @before);
	$container = start_and_wait('a container that is killed, and started again');
	$first = first_process($container);
	@before = contained($first);
	kill 'TERM', $first;
	is(exit_of($container), 0, 'as process 1, SIGTERM: exit status 0');
	is_reaped('as process 1, SIGTERM: nothing is left', $first, @before);
	like(log_from($offset), qr/received fast shutdown request.*the server has stopped.*ended$/s, 'as process 1, SIGTERM: a fast stop');
}

done_testing();
