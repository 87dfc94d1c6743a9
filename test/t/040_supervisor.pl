# test/t/040_supervisor.pl
#	  pg_leader_supervisor with a server that says nothing over the control channel: the
#	  library is not loaded.  It starts the server as a standby, again after a crash, stops
#	  it when it is told to, leaves it down when somebody else has stopped it, and leaves
#	  no process behind.  What cannot be is refused in words.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgSupervisor;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $program = 'pg_leader_supervisor';
my $work = PostgreSQL::Test::Utils::tempdir('supervisor');
my $state = "$work/state";
my $server = PostgreSQL::Test::Cluster->new('supervised');
my $data = $server->data_dir;
my $log = "$work/log";
my $list = join ', ', map { '127.0.0.1:' . free_port() } 0 .. 2;

supervised($server, $log);

# refused(NAME, PATTERN, ARGUMENTS...): exit status 1, and that sentence and hint.
sub refused
{
	my ($name, $pattern, @arguments) = @_;

	command_checks_all([ $program, @arguments ], 1, [qr/^$/], [$pattern], $name);
	return;
}

sub configure { $server->append_conf('postgresql.conf', shift); return; }

# ---- arguments, and what is refused ----

program_help_ok($program);
program_version_ok($program);
program_options_handling_ok($program);
command_like([ $program, '-h' ], qr/^Usage:$/m, '-h is --help, as in the scripts');
command_checks_all([$program], 2, [qr/^$/], [qr/no data directory was given \(-D\)/], 'no directory');
command_checks_all([ $program, '-D', $data, '-c', 'port' ], 2, [qr/^$/], [qr/-c needs a setting, NAME=VALUE/], 'no setting');
command_checks_all([ $program, '-D', $data, 'port' ], 2, [qr/^$/], [qr/options of postgres come behind "--"/], 'an option of nobody');

# Without a postgresql.conf, settings are those of the command line alone.
refused('a directory whose parent is not there',
	qr/ERROR:  could not open the data directory "$work\/none\/data".*HINT:  Its parent directory has to exist/s, '-D', "$work/none/data");
refused('a directory that is not there', qr/LOG:  created the data directory "$work\/none".*ERROR:  pg_leader\.manage is off/s, '-D', "$work/none");
refused('an empty directory', qr/^[^\n]*ERROR:  pg_leader\.manage is off.*HINT:  Set pg_leader\.manage = on/s, '-D', "$work/none");

$server->init(allows_streaming => 1);
configure(qq(
max_connections = 20
log_line_prefix = '%m [%p] '
));
refused('neither managed nor a member', qr/ERROR:  pg_leader\.cluster is not set.*HINT:  Set pg_leader\.node_id/s, '-D', $data);
refused('nonsense', qr/ERROR:  invalid value for "pg_leader\.manage": "perhaps"/, '-D', $data, '-c', 'pg_leader.manage=perhaps');
configure("pg_leader.manage = on\n");
refused('no member', qr/ERROR:  pg_leader\.cluster is not set/, '-D', $data);
configure("pg_leader.cluster = '$list'\n");
refused('no number', qr/ERROR:  pg_leader\.node_id is not set/, '-D', $data);
refused('a member of another list', qr/ERROR:  pg_leader\.node_id is 7, which is not in pg_leader\.cluster/, '-D', $data, '-c', 'pg_leader.node_id=7');
configure("pg_leader.node_id = 0\n");
refused('the default state directory', qr/ERROR:  the state directory "$data\/pg_leader" is inside the data directory.*HINT:  Set pg_leader\.state_directory/s,
	'-D', $data);
symlink "$data/pg_wal", "$work/link" or die;
refused('a state directory that a link leads to', qr/is inside the data directory/,
	'-D', $data, '-c', "pg_leader.state_directory=$work/link/state");
configure("pg_leader.state_directory = '$state'\n");
refused('a command that cannot be', qr/ERROR:  invalid value for "pg_leader\.notify_command": it has an unknown placeholder "%x".*HINT:  There are %e/s, '-D', $data, '-c', 'pg_leader.notify_command=x %x');
refused('timeouts that do not go together', qr/ERROR:  .*timeout/, '-D', $data, '-c', 'pg_leader.max_timeout=0.1s');
refused('a list that cannot be', qr/ERROR:  .*HINT:/s, '-D', $data, '--', '-c', 'pg_leader.cluster=127.0.0.1');
system_or_bail('pg_leader_state', '--new', "$state/node-0.state", '--node-id', 0, '--cluster', $list);

# A server that somebody else has started.
$server->start;
refused('a server that runs', qr/ERROR:  a server that no supervisor has started runs in "$data" \(process \d+\).*HINT:  Stop it first/s,
	'-D', $data);
$server->stop;
ok(!-e "$data/standby.signal", 'nothing was changed for those that were refused');

# ---- a start ----

append_to_file("$data/promote", '');
my $supervisor = start_and_wait('a start', '-c', 'work_mem=1234kB', '--', '-c', 'maintenance_work_mem=2345kB');

ok(-e "$data/standby.signal", 'there is a standby.signal');
ok(!-e "$data/promote", 'the "promote" file is gone');
like(log_from(0), qr/WARNING:  removed ".*promote"/, 'which is said');
is(parent_of(postmaster()), $supervisor, 'the postmaster is its child');
is($server->safe_psql('postgres', 'SHOW restart_after_crash'), 'off', 'crashes are its affair');
is($server->safe_psql('postgres', 'SHOW work_mem'), '1234kB', '-c is passed on');
is($server->safe_psql('postgres', 'SHOW maintenance_work_mem'), '2345kB', 'and what stands behind "--"');
like(slurp_file('/proc/' . postmaster() . '/environ'), qr/\0PG_LEADER_CONTROL=\d+\0/, 'the server has a control channel');
refused('a second supervisor', qr/ERROR:  another supervisor runs for node 0 \(process $supervisor\).*HINT:  A member has one/s, '-D', $data);
refused('a second supervisor with another state directory', qr/ERROR:  another supervisor \(process $supervisor\) runs a server in "$data".*HINT:  A data directory has one/s,
	'-D', $data, '-c', "pg_leader.state_directory=$work/other_state");
ok(answers(), 'the server of the first goes on');
is(parent_of(postmaster()), $supervisor, 'and is still its child');

# ---- crashes ----

# What the server was is over before it is started again, and no process is left of it.
sub starts_again
{
	my ($name, $said, $code) = @_;
	my @before = processes();
	my $offset = -s $log;

	$code->();
	wait_for_log("$name: it is said", $said, $offset);
	wait_for_log("$name: it is started again", qr/started the server as a standby/, $offset);
	ok(are_gone(@before), "$name: nothing is left of the server before");
	wait_until("$name: it answers", \&answers);
	isnt(postmaster(), $before[0], "$name: it is another postmaster");
	return;
}

starts_again('kill -9 of the postmaster', qr/killed by signal 9, and is started again/, sub { kill 'KILL', postmaster() });
starts_again('kill -9 of a child', qr/ended with exit status 1, and is started again/, sub { kill 'KILL', titled(qr/checkpointer/) });

# Orphans that do not end by themselves: one stands still.
starts_again('kill -9 of the postmaster, and a process that hangs', qr/killed \d+ processes of the server/,
	sub {
		my $hangs = titled(qr/background writer/);

		kill 'STOP', $hangs;
		kill 'KILL', postmaster();
		wait_until('kill -9 of the postmaster, and a process that hangs: that is its child then', sub { parent_of($hangs) == $supervisor });
	});

# A configuration that cannot be read: the member stays where it is until it can be.
sub boot_counter { return (run_command([ 'pg_leader_state', "$state/node-0.state" ]))[0] =~ /^boot counter: (\d+)$/m ? $1 : -1; }

my $configuration = slurp_file("$data/postgresql.conf");
my $offset = -s $log;
configure("this is nonsense\n");
kill 'KILL', postmaster();
wait_for_log('a broken configuration: it is said', qr/ERROR:  the server is not started: could not read the settings.*HINT:  Correct the configuration/s, $offset);
my $boots = boot_counter();
usleep(2_500_000);
my @said = log_from($offset) =~ /the server is not started/g;
is(@said, 1, 'a broken configuration: it is said once');
is(boot_counter(), $boots, 'a broken configuration: the member is not started again and again');
open my $file, '>', "$data/postgresql.conf" or die;
print $file $configuration;
close $file;
wait_until('a corrected configuration: the server is started', \&answers);

# ---- its own end ----

my @before = processes();

$offset = -s $log;
kill 'TERM', $supervisor;
is(exit_of($supervisor), 0, 'SIGTERM: exit status 0');
ok(are_gone(@before), 'SIGTERM: nothing is left of the server');
like(log_from($offset), qr/received fast shutdown request/, 'SIGTERM: a fast stop');
unlike(log_from($offset), qr/ERROR|killed/, 'SIGTERM: without trouble');

$supervisor = start_and_wait('another start');
@before = processes();
kill 'KILL', $supervisor;
is(exit_of($supervisor), 256 + 9, 'kill -9 of the supervisor');
wait_until('kill -9 of the supervisor: nothing is left of the server', sub { are_gone(@before) });

# Started again at once, and what the other one has left obeys no signal.
$supervisor = start_and_wait('after that');
@before = processes();
$offset = -s $log;
kill 'STOP', postmaster();
kill 'KILL', $supervisor;
exit_of($supervisor);
$supervisor = start_and_wait('a postmaster that hangs was left');
like(log_from($offset), qr/waiting for processes of "$data" that a killed supervisor has left.*killed \d+ processes/s, 'it is said');
ok(are_gone(@before), 'and it is gone');
@before = processes();
$offset = -s $log;
kill 'STOP', titled(qr/background writer/), postmaster();
kill 'KILL', postmaster(), $supervisor;
exit_of($supervisor);
$supervisor = start_and_wait('a process without a postmaster was left');
like(log_from($offset), qr/waiting for processes of "$data" that a killed supervisor has left.*killed 1 processes/s, 'it is said');
ok(are_gone(@before), 'and it is gone');

@before = processes();
$offset = -s $log;
kill 'INT', $supervisor;
is(exit_of($supervisor), 0, 'SIGINT: exit status 0');
ok(are_gone(@before), 'SIGINT: nothing is left of the server');

$supervisor = start_and_wait('once more');
$offset = -s $log;
kill 'HUP', $supervisor;
wait_for_log('SIGHUP: it is passed on', qr/received SIGHUP, reloading configuration files/, $offset);
like(log_from($offset), qr/settings were read again/, 'SIGHUP: and obeyed');
$server->append_conf('postgresql.conf', "pg_leader.max_clock_drift = 7\n");
$offset = -s $log;
kill 'HUP', $supervisor;
wait_for_log('SIGHUP: what is wrong is said', qr/the settings stay as they were: invalid value for "pg_leader\.max_clock_drift"/, $offset);
$server->append_conf('postgresql.conf', "pg_leader.max_clock_drift = 0.1\n");

# As while pg_rewind runs.
mkdir "$data.pg_leader_own" or die;
$offset = -s $log;
kill 'HUP', $supervisor;
wait_for_log('SIGHUP during a rewind: no setting is read', qr/the settings stay as they were: the configuration in "$data" may be the leader's/, $offset);
rmdir "$data.pg_leader_own" or die;

# A fast stop that takes too long for somebody.
@before = processes();
$offset = -s $log;
kill 'STOP', titled(qr/background writer/);
kill 'TERM', $supervisor;
wait_for_log('SIGTERM, and a process hangs: a fast stop', qr/received fast shutdown request/, $offset);
usleep(500_000);
is(kill(0, $supervisor), 1, 'SIGTERM, and a process hangs: it is waited for');
kill 'QUIT', $supervisor;
is(exit_of($supervisor), 0, 'and SIGQUIT: exit status 0');
ok(are_gone(@before), 'and SIGQUIT: nothing is left of the server');
like(log_from($offset), qr/received immediate shutdown request/, 'and SIGQUIT: an immediate stop');
$supervisor = start_and_wait('and again');

# A postmaster that stands still obeys no signal.
@before = processes();
$offset = -s $log;
kill 'STOP', postmaster();
kill 'QUIT', $supervisor;
is(exit_of($supervisor), 0, 'SIGQUIT, and the postmaster hangs: exit status 0');
ok(are_gone(@before), 'SIGQUIT, and the postmaster hangs: nothing is left of the server');
like(log_from($offset), qr/killed \d+ processes of the server/, 'SIGQUIT, and the postmaster hangs: it is said');

# ---- somebody stops the server ----

foreach my $mode ('smart', 'fast', 'immediate')
{
	$supervisor = start_and_wait("before pg_ctl stop -m $mode");
	$offset = -s $log;
	system_or_bail('pg_ctl', '-D', $data, '-m', $mode, 'stop');
	wait_for_log("pg_ctl stop -m $mode: it says how to start it again",
		qr/somebody has stopped the server, and it stays down\n.*HINT:  Stop this supervisor and start it again/, $offset);
	usleep(3_000_000);
	ok(!-e "$data/postmaster.pid", "pg_ctl stop -m $mode: it stays down");
	is(kill(0, $supervisor), 1, "pg_ctl stop -m $mode: its supervisor stays");
	kill 'TERM', $supervisor;
	is(exit_of($supervisor), 0, "pg_ctl stop -m $mode: and ends when it is told to");
}

# ---- directories that cannot be used ----

rename "$data/global/pg_control", "$work/pg_control" or die;
$offset = -s $log;
$supervisor = start();
wait_for_log('without pg_control: nobody leads from whom it could be cloned',
	qr/the server is not started: it has no data that may be used, and no promoted leader can be reached to clone from/, $offset);
ok(!-e "$data/postmaster.pid", 'without pg_control: no server is started');
rename "$work/pg_control", "$data/global/pg_control" or die;
wait_until('with pg_control again: it is started', \&answers);
kill 'TERM', $supervisor;
is(exit_of($supervisor), 0, 'and stopped');

# The number in postmaster.pid is that of another process.
append_to_file("$data/postmaster.pid", "$$\n$data\n1\n");
$offset = -s $log;
$supervisor = start_and_wait('an innocent process in postmaster.pid');
like(log_from($offset), qr/removing ".*postmaster\.pid": process $$/, 'it is said');
kill 'TERM', $supervisor;
is(exit_of($supervisor), 0, 'and stopped');

done_testing();
