# test/t/083_http.pl
#	  HTTP of the supervisors: paths and codes are Patroni's, in each state of a server, and
#	  strangers who send garbage, nothing, too much or too often disturb nobody.
#
# What each code rests on is in test/unit/test_primary_probe.c.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IO::Socket::INET;
use JSON::PP ();
use List::Util ();
use PgLeaderManaged;
use PostgreSQL::Test::Utils;
use Test::More;

my $cluster = PgLeaderManaged->new('http', 3, conf => "autovacuum = off\n");
my %port = map { $_ => PostgreSQL::Test::Cluster::get_free_port() } $cluster->ids;
my $tmp = PostgreSQL::Test::Utils::tempdir('http');
my ($primary, $standby, $other);

$cluster->set($_, http_listen => "127.0.0.1:$port{$_}") foreach $cluster->ids;

# connection(ID): to its HTTP port; undef: nobody listens there.
sub connection { return IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port{ shift() }, Proto => 'tcp', Timeout => 5); }

# answer_to(ID, TEXT): all that comes to that until the other side closes, undef if that is nothing.
sub answer_to
{
	my ($id, $text) = @_;
	my $socket = connection($id) or return undef;
	my $all = '';

	$socket->send($text, 0x4000);
	local $SIG{ALRM} = sub { die "no answer\n" };
	alarm 20;
	while (1)
	{
		my $n = $socket->sysread($all, 65536, length $all);
		last unless $n;
	}
	alarm 0;
	return $all ne '' ? $all : undef;
}

# ask(ID, PATH, METHOD): the status; and the body.
sub ask
{
	my ($id, $path, $method) = @_;
	my $said = answer_to($id, ($method // 'GET') . " $path HTTP/1.1\r\nHost: here\r\n\r\n") // return 0;
	my ($status, $length, $body) = $said =~ m{^HTTP/1\.1 (\d+) .*?\r\nContent-Length: (\d+)\r\n.*?\r\n\r\n(.*)\z}s or die "no HTTP: $said";

	die "length $length: $body" if $length != length $body;
	return wantarray ? ($status, $body) : $status;
}

# json(ID, PATH): what it says there.
sub json { my ($status, $body) = ask(@_); return JSON::PP::decode_json($body); }

# are(NAME, ID, PATH => STATUS...): a test.
sub are
{
	my ($name, $id, %expected) = @_;
	my %said = map { $_ => scalar ask($id, $_) } keys %expected;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is_deeply(\%said, \%expected, $name);
}

# all_are(STATUS, PATH...): of each.
sub all_are { my ($status, @paths) = @_; return map { $_ => $status } @paths; }

# flood(ID, N, SECONDS): so many processes ask without a pause; how often in all.
sub flood
{
	my ($id, $n, $seconds) = @_;
	my @pipes;

	foreach (1 .. $n)
	{
		my $pid = open(my $pipe, '-|') // die "fork: $!";

		if ($pid == 0)
		{
			my $end = PgLeaderCluster::clock_now() + $seconds * 1e6;
			my $asked = 0;

			while (PgLeaderCluster::clock_now() < $end) { $asked++ if ask($id, '/primary'); }
			print $asked;
			close STDOUT;
			POSIX::_exit(0);
		}
		push @pipes, $pipe;
	}
	return List::Util::sum(map { my $pipe = $_; <$pipe> } @pipes);
}

my @primary_paths = qw(/ /primary /read-write /master /leader);
my @replica_paths = ('/replica', '/sync', '/synchronous', '/quorum', '/replica?lag=1MB', '/replica?replication_state=streaming',
	'/replica?lag=16kB&replication_state=streaming');
my @always = qw(/liveness /patroni /cluster /metrics);

$cluster->start_all;
($primary, $standby, $other) = $cluster->wait_for_roles;
$cluster->wait_until("node $_ shows that by HTTP", sub { ask($_, '/readiness') == 200 }) foreach $cluster->ids;

subtest 'who is what' => sub {
	are('the primary', $primary, all_are(200, @primary_paths, @always, qw(/read-only /health /readiness /read-only-sync /read-only-quorum)),
		all_are(503, @replica_paths, '/async', '/standby-leader'));
	are('a standby', $standby, all_are(200, @replica_paths, @always, qw(/read-only /health /readiness /read-only-sync)),
		all_are(503, @primary_paths, '/async', '/standby-leader', '/replica?tag_zone=a'));
	are('what is wrong', $primary, '/nothing' => 404, '/replica?lag=much' => 400, '/switchover' => 405);
	is(ask($primary, '/switchover', 'POST'), 501, 'nothing is done by POST');
	like((ask($primary, '/switchover', 'POST'))[1], qr/pg_leaderctl/, 'and the answer says what does it');
	is(ask($primary, '/primary', 'POST'), 405, 'nor elsewhere');
	foreach my $method (qw(HEAD OPTIONS))
	{
		is_deeply([ ask($primary, '/primary', $method) ], [ 200, '' ], "$method: the status alone");
		is_deeply([ ask($standby, '/primary', $method) ], [ 503, '' ], "$method on a standby");
	}
};

subtest 'what they say' => sub {
	my ($term) = $cluster->sql($primary, 'SELECT pg_leader_term()');
	my $id = $cluster->sql($primary, 'SELECT system_identifier FROM pg_control_system()');
	my ($p, $s, $c) = (json($primary, '/patroni'), json($standby, '/replica'), json($primary, '/cluster'));
	my %members = map { $_->{name} => $_ } @{ $c->{members} };

	is_deeply([ @$p{qw(state role timeline database_system_identifier)} ], [ 'running', 'primary', $cluster->role($primary)->{timeline}, $id ], 'the primary');
	is_deeply([ sort map { $_->{application_name} } @{ $p->{replication} } ], [ sort map { "pg_leader_$_" } $standby, $other ], 'its standbys');
	like($p->{postmaster_start_time}, qr/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}\+00:00$/, 'when it was started');
	is_deeply([ @{ $p->{pg_leader} }{qw(node term leader order)} ], [ $primary, $term, $primary, 'OPEN' ], 'and what pg_leader knows');
	ok($p->{pg_leader}{is_open} && $p->{pg_leader}{lease_ms} > 0, 'that it is open');
	is_deeply([ @$s{qw(state role replication_state)} ], [ 'running', 'replica', 'streaming' ], 'a standby, which says the same at each path');
	ok($s->{xlog}{replayed_location} > 0 && !$s->{xlog}{paused}, 'where it is');
	is_deeply([ map { @{ $members{"pg_leader_$_"} }{qw(role state host port)} } $primary, $standby ],
		[ 'leader', 'running', '127.0.0.1', $cluster->server($primary)->port, 'replica', 'streaming', '127.0.0.1', $cluster->server($standby)->port ], 'all members');
	like($members{"pg_leader_$standby"}{lag}, qr/^\d+$/, 'how far they are behind');
	is(json($standby, '/cluster')->{members}[$primary]{role}, 'leader', 'a standby knows the leader, too');
	append_to_file("$tmp/metrics", (ask($standby, '/metrics'))[1]);
	command_ok([ 'sh', '-c', "promtool check metrics <$tmp/metrics" ], 'Prometheus can read the metrics');
	like((ask($primary, '/metrics'))[1], qr/^pg_leader_server_is_open\{cluster="[^"]+",node="$primary"\} 1$/m, 'metrics of the primary');
	like((ask($primary, '/metrics'))[1], qr/^pg_leader_server_at_risk\{cluster="[^"]+",node="$primary"\} 0$/m, 'nothing is at risk');
	like((ask($standby, '/metrics'))[1], qr/^pg_leader_server_without_primary_seconds\{cluster="[^"]+",node="$standby"\} 0$/m, 'a primary is known');
	like((ask($standby, '/metrics'))[1], qr/^pg_leader_server_lag_bytes\{cluster="[^"]+",node="$standby"\} \d+$/m, 'and of a standby');
};

subtest 'a lag is seen' => sub {
	$cluster->sql($standby, 'SELECT pg_wal_replay_pause()');
	$cluster->wait_until('replay is paused', sub { json($standby, '/patroni')->{xlog}{paused} });
	$cluster->sql($primary, 'SELECT pg_logical_emit_message(false, \'test\', repeat(\'x\', 100000)) FROM generate_series(1, 20)');
	$cluster->wait_until('it is more than 1 MB behind', sub { ask($standby, '/replica?lag=1MB') == 503 });
	are('what that means', $standby, '/replica' => 200, '/replica?lag=1GB' => 200, '/readiness' => 503, '/readiness?lag=1GB' => 200, '/readiness?mode=write' => 200);
	$cluster->sql($standby, 'SELECT pg_wal_replay_resume()');
	$cluster->wait_until('it catches up', sub { ask($standby, '/replica?lag=1MB') == 200 });
};

subtest 'without a lease' => sub {
	my $worker = $cluster->worker($primary);
	my $closed = 0;

	# nobody shows anything any more: what is on the board is older than the lease
	kill 'STOP', $worker;
	$cluster->wait_until('it is the primary no longer', sub { ask($primary, '/primary') == 503 });
	is($cluster->sql($primary, 'SELECT is_open FROM pg_leader_fence'), 'f', 'its fence is closed as well');
	are('nor by another name', $primary, all_are(503, @primary_paths, '/read-only', '/readiness'));
	$cluster->wait_until('another one is', sub { grep { ask($_, '/primary') == 200 } $standby, $other });
	is(ask($primary, '/primary'), 503, 'and the first is not');
	kill 'CONT', $worker;
	($primary, $standby, $other) = $cluster->wait_for_roles;
};

subtest 'while the server is down' => sub {
	my $log = $cluster->log_size($standby);
	my ($slowest, $said) = (0);

	$cluster->server($standby)->command_ok([ 'pg_ctl', '-D', $cluster->server($standby)->data_dir, '-m', 'fast', '-w', 'stop' ], 'somebody has stopped it');
	$cluster->wait_for_log($standby, qr/somebody has stopped the server/, $log);
	are('it is nothing', $standby, all_are(503, @primary_paths, @replica_paths, '/health', '/readiness', '/read-only'), all_are(200, @always));
	$said = json($standby, '/patroni');
	is_deeply([ @$said{qw(state role)} ], [ 'stopped', 'replica' ], 'and says so');
	is($said->{pg_leader}{leader}, $primary, 'its member knows the leader');
	like($said->{pg_leader}{reason}, qr/somebody has stopped the server/, 'and why it is down');
	foreach (1 .. 50)
	{
		my $before = PgLeaderCluster::clock_now();
		my $took;

		ask($standby, '/health');
		$took = PgLeaderCluster::clock_now() - $before;
		$slowest = $took if $took > $slowest;
	}
	note("the slowest of 50 answers while it is down took $slowest us");

	# its member is in the same process
	my $term = $cluster->sql($primary, 'SELECT pg_leader_term()');
	my $asked = flood($standby, 4, 2);
	note("it was asked $asked times in 2 s meanwhile");
	is($cluster->sql($primary, "SELECT reachable FROM pg_leader_peers WHERE node_id = $standby"), 't', 'its member is heard beside all these');
	is($cluster->sql($primary, 'SELECT pg_leader_term()'), $term, 'and the term is the same');
	$cluster->stop($standby);
	is(connection($standby), undef, 'without the supervisor nobody answers');
	$cluster->start($standby);
	$cluster->comes_back($standby, $primary);
};

subtest 'strangers' => sub {
	my $pid = $cluster->supervisor($primary);
	my (@idle, %answers);
	my $descriptors = sub { return scalar(() = glob "/proc/$pid/fd/*"); };
	my $before = $descriptors->();
	my ($term) = $cluster->sql($primary, 'SELECT pg_leader_term()');

	like(answer_to($primary, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03") // '', qr{^HTTP/1.1 400 }, 'TLS is refused');
	like(answer_to($primary, "GET /primary\r\n\r\n") // '', qr{^HTTP/1.1 400 }, 'so is HTTP/0.9');
	like(answer_to($primary, "GET / HTTP/1.1\r\nX: " . 'x' x 100000 . "\r\n\r\n") // 'HTTP/1.1 431 ', qr{^HTTP/1.1 431 }, 'so are long headers');
	is(() = answer_to($primary, "GET /primary HTTP/1.1\r\n\r\n" x 20) =~ m{HTTP/1.1 200}g, 1, 'of a pipeline the first one is answered');

	# more than there is room for, and they say nothing, or only a part
	push @idle, connection($primary) // die "connect: $!" foreach 1 .. 1000;
	$_->send("GET /prim", 0x4000) foreach @idle[ 0 .. 499 ];
	$answers{ ask($primary, '/primary') }++ foreach 1 .. 20;
	is_deeply(\%answers, { 200 => 20 }, 'beside 1,000 connections others are answered');
	cmp_ok($descriptors->() - $before, '<', 100, 'few of them are kept');
	is($cluster->sql($primary, 'SELECT pg_leader_term()'), $term, 'the leader is the same');
	$cluster->wait_until('those that say nothing are closed', sub { $descriptors->() - $before < 5 });
	@idle = ();
	is($cluster->supervisor($primary), $pid, 'the supervisor is the same');
	is($cluster->open_primary, $primary, 'and the primary');
};

subtest 'the setting' => sub {
	my $taken = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1, Proto => 'tcp') or die "listen: $!";
	my $at = $taken->sockport;
	my $log = $cluster->log_size($standby);

	like(($cluster->ask($standby, q(ALTER SYSTEM SET pg_leader.http_listen = 'localhost:8008')))[2],
		qr/"localhost:8008" is no address with a port.*HINT:  Write address:port/s, 'a wrong one is refused, with a hint');
	$cluster->set($standby, http_listen => "127.0.0.1:$at, 127.0.0.1:$port{$standby}");
	$cluster->sql($standby, 'SELECT pg_reload_conf()');
	$cluster->wait_for_log($standby, qr/could not listen at "127\.0\.0\.1:$at" for HTTP: Address already in use.*HINT:  Another program listens there/s, $log);
	is(ask($standby, '/replica'), 200, 'it answers at the other one');
	close $taken;
	$cluster->signal($standby, 'HUP');
	$cluster->wait_for_log($standby, qr/answering HTTP at 127\.0\.0\.1:$at$/m, $log);
	$cluster->set($standby, http_listen => '');
	$cluster->sql($standby, 'SELECT pg_reload_conf()');
	$cluster->wait_until('with an empty one it answers nowhere', sub { !defined connection($standby) });
	$cluster->set($standby, http_listen => '127.0.0.1');
	$log = $cluster->log_size($standby);
	$cluster->signal($standby, 'HUP');
	$cluster->wait_for_log($standby, qr/the settings stay as they were: invalid value for "pg_leader\.http_listen": "127\.0\.0\.1" is no address with a port/, $log);
	$cluster->stop($standby);
	$cluster->start($standby);
	$cluster->wait_until('with a wrong one the supervisor does not start', sub { !$cluster->is_running($standby) });
	like($cluster->log_of($standby, $log), qr/invalid value for "pg_leader\.http_listen".*HINT:  Write address:port/s, 'and says what to write');
	$cluster->set($standby, http_listen => "127.0.0.1:$port{$primary}");
	$cluster->start($standby);
	$cluster->comes_back($standby, $primary);
	like($cluster->log_of($standby, $log), qr/could not listen at "127\.0\.0\.1:$port{$primary}" for HTTP: Address already in use/, 'a port that is taken keeps no server from starting');
};

subtest 'the server of the primary is down: it is none any more' => sub {
	my $log = $cluster->log_size($primary);

	system_or_bail('pg_ctl', '-s', '-D', $cluster->server($primary)->data_dir, '-m', 'immediate', 'stop');
	$cluster->wait_for_log($primary, qr/somebody has stopped the server/, $log);
	are('it is nothing', $primary, all_are(503, @primary_paths, '/health'));
	$cluster->stop($primary);
	$cluster->start($primary);
	$cluster->wait_for_roles;
	$cluster->hand_over($primary);
};

# The checkpoint before a hand-over may take seconds, and until the fence is closed there is no other primary.
subtest 'its supervisor is told to stop: it is the primary until it hands over' => sub {
	my $checkpointer = $cluster->titled($primary, qr/\bcheckpointer\b/);
	my $log = $cluster->log_size($primary);

	kill 'STOP', $checkpointer;
	$cluster->signal($primary, 'TERM');
	$cluster->wait_for_log($primary, qr/the server hands over to another member first/, $log);
	is(ask($primary, '/primary'), 200, 'it takes commits');
	kill 'CONT', $checkpointer;
	$cluster->wait_until('it has stopped', sub { !$cluster->is_running($primary) });
	$cluster->wait_for_primary('another one is the primary');
	$cluster->start($primary);
	$cluster->wait_for_roles;
};

subtest 'where pg_leader only elects' => sub {
	my $elects = PgLeaderManaged->new('elects', 1, settings => { manage => 'off' });

	$port{elects} = PostgreSQL::Test::Cluster::get_free_port();
	$elects->set(0, http_listen => "127.0.0.1:$port{elects}");
	$elects->start(0);
	$elects->wait_until('the leader is one by HTTP', sub { defined connection('elects') && ask('elects', '/leader') == 200 });
	are('nobody knows whether it is a primary', 'elects', '/primary' => 503, '/replica' => 503, '/read-only' => 503, '/health' => 200, all_are(200, @always));
	kill 'STOP', $elects->worker(0);
	$elects->wait_until('without a lease there is none', sub { ask('elects', '/leader') == 503 });
	kill 'CONT', $elects->worker(0);
	$elects->stop_all;
};

$cluster->check_timelines;
$cluster->check_history;
$cluster->stop_all;
done_testing();
