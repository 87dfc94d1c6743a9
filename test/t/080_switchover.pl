# test/t/080_switchover.pl
#	  A planned switchover: done or given up within its bound, and it says which; nothing that
#	  was answered is lost, and the old primary follows without a rebuild (scenario 85).
#
# pg_leader_switchover() and the stop of the primary's supervisor.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PgLeaderManaged;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

use constant CLIENTS => 10;

my $cluster = PgLeaderManaged->new('switchover', 3, settings => { min_timeout => '500ms', max_timeout => '1s' }, conf => <<'CONF');
autovacuum = off
wal_level = logical
archive_mode = on
archive_command = 'true'
max_connections = 60
CONF
my $directory = PostgreSQL::Test::Utils::tempdir('ledger');
my ($primary, $one, $other);
my ($offset, $load);

sub learn_roles { ($primary, $one, $other) = $cluster->wait_for_roles; return; }

sub timeline { my $id = shift; return $cluster->role($id)->{timeline}; }

# switch_over(ARGUMENTS): (what the function returned or '', its error, seconds), called on the primary.
sub switch_over
{
	my $arguments = shift;
	my $begun = time;
	my ($code, $out, $error) = $cluster->ask($primary, "SELECT pg_leader_switchover($arguments)");

	return ($out, $error, time - $begun);
}

# is_refused(ARGUMENTS, PATTERN, NAME): tests; nothing has changed.
sub is_refused
{
	my ($arguments, $pattern, $name) = @_;
	my ($out, $error, $took) = switch_over($arguments);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	like($error, $pattern, $name);

	# the answer goes out in the turn at whose end the fence opens again
	$cluster->wait_until('the primary is the same', sub { ($cluster->open_primary // -1) == $primary });
	is($cluster->sql($primary, 'INSERT INTO told VALUES (-1, 0)'), '', 'and takes commits');
	return $took;
}

# follows_unharmed(ID): tests; it was the primary, follows the new one, and nothing was rebuilt.
sub follows_unharmed
{
	my $id = shift;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$cluster->wait_for_followers("all follow node $primary", $primary);
	unlike($cluster->log_of($id, $offset), qr/stopping the server for a (?:rewind|clone)/, "node $id was not rebuilt");
	return;
}

# ---- load, and what it was told ----

append_to_file("$directory/insert.sql", "\\set n :n + 1\nINSERT INTO told VALUES (:client_id, :n);\n");

sub start_load
{
	my $name = shift;

	$load = { name => $name, out => '' };
	$cluster->sql($primary, 'TRUNCATE told');
	$load->{run} = IPC::Run::start([ 'pgbench', '-n', '-c', CLIENTS, '-T', 600, '-D', 'n=0', '-U', 'app', '-f', "$directory/insert.sql",
			'--log', "--log-prefix=$directory/$name", '-h', $cluster->server($primary)->host, '-p', $cluster->server($primary)->port, 'postgres' ],
		'>&', \$load->{out});
	$cluster->wait_until("$name: the clients write", sub { ($cluster->sql($primary, 'SELECT count(*) > 300 FROM told') // '') eq 't' });
	return;
}

# check_load(ID): tests; the clients have lost their sessions, and that node has all that they were told.
sub check_load
{
	my $id = shift;
	my (%told, %has, @lost);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$load->{run}->finish;
	foreach my $file (glob "$directory/$load->{name}.*")
	{
		my $lines = slurp_file($file);

		$told{$1}++ while $lines =~ /^(\d+) /mg;
	}
	%has = map { $_ => 1 } split /\n/, $cluster->sql($id, 'SELECT client, n FROM told') // '';
	@lost = grep { !$has{$_} } map { my $client = $_; map { "$client|$_" } 1 .. $told{$client} } sort keys %told;
	is(keys %told, CLIENTS, "$load->{name}: each client was answered");
	is("@lost", '', "node $id has all that was answered");
	is(() = $cluster->log_of($primary, $offset) =~ /the answer to a commit is withheld/g, 0, 'and no answer was withheld');
	return;
}

$cluster->start_all;
learn_roles();
is($cluster->sql($primary, 'CREATE TABLE told (client int, n int); CREATE ROLE app LOGIN; GRANT ALL ON told TO app; CREATE ROLE nobody LOGIN'), '', 'a table');

subtest 'what makes no sense is refused' => sub {
	my $error = $cluster->failure($one, 'SELECT pg_leader_switchover()');

	like($error, qr/ERROR:  this server is not the primary\nDETAIL:  Node $primary \(.*\) leads in term \d+\.\nHINT:  Call pg_leader_switchover\(\) on the primary, or use "pg_leaderctl switchover"\./, 'a standby');
	is_refused(17, qr/ERROR:  node 17 is not a member of the cluster\nHINT:  pg_leader_peers/, 'an unknown node');
	is_refused(-1, qr/ERROR:  node -1 is not a member of the cluster/, 'a negative one');
	is_refused($primary, qr/ERROR:  node $primary is this member, which is already the leader/, 'itself');
	is_refused("$one, NULL", qr/ERROR:  the time to wait must not be null/, 'no time');
	is_refused("$one, '-1s'", qr/ERROR:  cannot wait for a negative time/, 'a negative time');
	is_refused("$one, '0'", qr/ERROR:  the switchover to node $one was given up: (?:the checkpoint took too long|commits are still waiting for standbys)\n.*DETAIL:  It had come to the step "(?:checkpoint|drain)"\. This server is the primary as before\.\nHINT:/s, 'no time at all');
	like($cluster->failure($primary, "BEGIN; INSERT INTO told VALUES (-1, 1); SELECT pg_leader_switchover($one)"),
		qr/ERROR:  pg_leader_switchover\(\) cannot be called in a transaction that has written something/, 'among writes');
	like($cluster->failure($primary, "SET ROLE nobody; SELECT pg_leader_switchover($one)"), qr/ERROR:  permission denied for function pg_leader_switchover/, 'by anybody');
};

subtest 'switchover_under_load' => sub {
	my ($out, $error, $took);

	for my $number (1 .. 3)
	{
		my $timeline = timeline($primary);

		$offset = $cluster->log_size($primary);
		start_load("load$number");
		($out, $error, $took) = switch_over($number == 3 ? 'NULL' : $one);
		is($error, '', 'no error');
		like($out, $number == 3 ? qr/^(?:$one|$other)$/ : qr/^$one$/, 'it says who leads') or return;
		cmp_ok($took, '<', 20, 'in time');
		is($cluster->wait_for_primary('there is an open primary'), $out, 'which is that one');
		cmp_ok($timeline, '<', timeline($out), 'on a new timeline');
		check_load($out);
		my $old = $primary;
		learn_roles();
		follows_unharmed($old);
	}
};

# ctl(ARGUMENT...): (exit status, output, errors) of pg_leaderctl switchover, which is told of one standby.
sub ctl
{
	my ($out, $err) = ('', '');

	IPC::Run::run([ 'pg_leaderctl', 'switchover', @_, '-h', '127.0.0.1', '-p', $cluster->server($one)->port ], '>', \$out, '2>', \$err);
	return ($? >> 8, $out, $err);
}

subtest 'by pg_leaderctl' => sub {
	my $old = $primary;
	my $new = $one;

	$cluster->wait_until('the members are found', sub { IPC::Run::run([ 'pg_leaderctl', 'list', '-h', '127.0.0.1', '-p', $cluster->server($one)->port ], '>', \my $out, '2>', \my $err) });
	like((ctl(17))[2], qr/error: node $primary: node 17 is not a member of the cluster/, 'an unknown node is refused');
	like((ctl('--slots'))[2], qr/error: node $primary: a switchover that waits for logical slots needs a target/, 'slots of nobody, too');
	$offset = $cluster->log_size($old);
	is_deeply([ ctl($new) ], [ 0, "Node $new is the primary now, in the place of node $old, which comes back as a standby.\n", '' ], 'it is done, and says so');
	learn_roles();
	is($primary, $new, 'it is');
	follows_unharmed($old);
};

subtest 'target_too_slow: given up, and the primary goes on' => sub {
	my $receiver = $cluster->receiver($one);
	my $took;

	kill 'STOP', $receiver;
	$took = is_refused("$one, '4s'", qr/ERROR:  the switchover to node $one was given up: the target has not caught up in time\n.*DETAIL:  It had come to the step "catch up"\. This server is the primary as before\./s, 'it says so');
	kill 'CONT', $receiver;
	cmp_ok($took, '<', 10, 'in time');
};

# begin_to_wait(): a test; a switchover to one whose WAL receiver stands still: (its session, a reference
# to its errors, the receiver).
sub begin_to_wait
{
	my $receiver = $cluster->receiver($one);
	my $error = '';
	my $run;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	kill 'STOP', $receiver;
	$offset = $cluster->log_size($primary);
	$run = IPC::Run::start([ 'psql', '-XAtqc', "SELECT pg_leader_switchover($one, '60s')", '-h', $cluster->server($primary)->host, '-p', $cluster->server($primary)->port, 'postgres' ],
		'>', \my $out, '2>', \$error);
	$cluster->wait_for_log($primary, qr/switchover to node $one: catch up/, $offset);
	return ($run, \$error, $receiver);
}

subtest 'another one during that, and it is cancelled' => sub {
	my ($run, $error, $receiver) = begin_to_wait();
	like((switch_over($other))[1], qr/ERROR:  another switchover is under way/, 'a second one is refused');
	$cluster->sql($primary, q(SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query ~ 'switchover' AND pid <> pg_backend_pid()));
	$run->finish;
	like($$error, qr/ERROR:  canceling statement due to user request/, 'the first one is cancelled');
	$cluster->wait_for_log($primary, qr/switchover to node $one given up in the step "catch up": it was cancelled/, $offset);
	kill 'CONT', $receiver;
	$cluster->wait_until('and commits go on', sub { ($cluster->sql($primary, 'INSERT INTO told VALUES (-1, 2)') // 'not') eq '' });
	is($cluster->open_primary, $primary, 'on the same primary');
};

subtest 'role_worker_stands_still: the session does not wait for ever' => sub {
	my $worker = $cluster->role_worker($primary);

	kill 'STOP', $worker;
	$offset = $cluster->log_size($primary);
	like((switch_over("$one, '0'"))[1], qr/ERROR:  the role worker of pg_leader has not said in time what has come of the switchover\nDETAIL:/, 'an error');
	kill 'CONT', $worker;
	$cluster->wait_for_log($primary, qr/switchover to node $one given up in the step "checkpoint": it was cancelled/, $offset);
	is($cluster->open_primary, $primary, 'and the primary is the same');
};

subtest 'target_dies_in_it' => sub {
	my ($run, $error, $receiver) = begin_to_wait();
	$cluster->kill_all($one);
	$run->finish;
	like($$error, qr/ERROR:  the switchover to node $one was given up: the target is not heard, or may not lead\n/, 'it says so');
	$cluster->wait_until('the primary is the same', sub { ($cluster->open_primary // -1) == $primary });
	like((switch_over("$one"))[1], qr/ERROR:  no switchover: the target is not heard, or may not lead\nHINT:  pg_leader_peers/, 'and to one that is down, none begins');
	$cluster->start($one);
	$cluster->comes_back($one, $primary);
};

# A session writes once the other one leads, and goes on until the server is stopped.
use constant WRITES_LATE => <<'SQL';
DO $$
BEGIN
	PERFORM count(*) FROM told;
	LOOP
		EXIT WHEN (SELECT leader_id IS DISTINCT FROM node_id FROM pg_leader_status);
		PERFORM pg_sleep(0.01);
	END LOOP;
	INSERT INTO told SELECT -3, g FROM generate_series(1, 20000) g;
	PERFORM pg_sleep(60);
END
$$
SQL

subtest 'nothing is flushed once the target was told, however late the server is stopped' => sub {
	my $old = $primary;
	my $supervisor = $cluster->supervisor($old);
	my ($out, $error, $writes);

	$writes = IPC::Run::start([ 'psql', '-XAtqc', WRITES_LATE, '-h', $cluster->server($old)->host, '-p', $cluster->server($old)->port, 'postgres' ], '>&', \my $said);
	$cluster->wait_until('it waits', sub { ($cluster->sql($old, q(SELECT wait_event FROM pg_stat_activity WHERE query ~ '^DO')) // '') eq 'PgSleep' });
	$offset = $cluster->log_size($old);
	kill 'STOP', $supervisor;
	($out, $error) = switch_over($one);
	is($out, $one, 'it is done') or diag($error);
	usleep(1_000_000); # the WAL writer comes by five times
	kill 'CONT', $supervisor;
	$writes->finish;
	learn_roles();
	is($primary, $out, 'it is the primary');
	follows_unharmed($old);
};

subtest 'archiver_hangs, logical_walsender_hangs' => sub {
	my $port = $cluster->server($primary)->port;
	my $host = $cluster->server($primary)->host;
	my ($out, $error, $took, $hangs);

	is($cluster->sql($primary, q(SELECT count(*) FROM pg_create_logical_replication_slot('hangs', 'test_decoding'))), 1, 'a logical slot');
	$hangs = IPC::Run::start([ 'pg_recvlogical', '-h', $host, '-p', $port, '-d', 'postgres', '-S', 'hangs', '--start', '-f', "$directory/decoded" ], '2>', \my $said);
	$cluster->wait_until('it is read', sub { ($cluster->sql($primary, q(SELECT active FROM pg_replication_slots WHERE slot_name = 'hangs')) // '') eq 't' });
	kill 'STOP', $hangs->{KIDS}[0]{PID};
	$cluster->server($primary)->append_conf('postgresql.conf', "archive_command = 'exec sleep 600'");
	$cluster->sql($primary, 'SELECT pg_reload_conf()');
	$cluster->sql($primary, q(INSERT INTO told SELECT -2, g FROM generate_series(1, 20000) g; SELECT pg_switch_wal()));
	$offset = $cluster->log_size($primary);
	($out, $error, $took) = switch_over($one);
	is($error, '', 'no error');
	is($out, $one, 'complaint 21: archiver and walsender hang, and it is done');
	cmp_ok($took, '<', 20, 'in time');
	$hangs->kill_kill;
	my $old = $primary;
	learn_roles();
	is($primary, $out, 'it is the primary');
	follows_unharmed($old);
	$cluster->server($old)->append_conf('postgresql.conf', "archive_command = 'true'");
	$cluster->signal($old, 'HUP');
};

subtest 'the stop of its supervisor is one, too' => sub {
	my $old = $primary;

	$offset = $cluster->log_size($old);
	start_load('stop');
	is($cluster->stop($old), 0, 'its exit status');
	my $next = $cluster->wait_for_primary('there is another primary');
	check_load($next);
	like($cluster->log_of($old, $offset), qr/switchover to node $next: stop\n/, 'it has handed over') or diag($cluster->log_of($old, $offset));
	$cluster->start($old);
	learn_roles();
	follows_unharmed($old);
};

$cluster->check_timelines;
$cluster->check_history;
$cluster->stop_all;
done_testing();
