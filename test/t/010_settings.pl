# test/t/010_settings.pl
#	  Settings that cannot work: the server starts all the same, one message with
#	  a hint says what is wrong, and the status says it too.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use IO::Socket::INET;
use PgLeaderCluster;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# One member, which would lead at once if its settings were good.
my $cluster = PgLeaderCluster->new('settings', 1);
my $address = $cluster->address(0);
my $port = $cluster->member(0)->{port};
my $conf = $cluster->server(0)->data_dir . '/postgresql.conf';
my $good = PostgreSQL::Test::Utils::slurp_file($conf);
my $offset;

# with(LINES): start the server with these besides the good ones, and with a
# first state file: another member list is on record as soon as it was tried.
sub with
{
	my $lines = shift;

	$cluster->stop(0) if $cluster->is_running(0);
	unlink $cluster->state_file(0), $cluster->state_file(0) =~ s/state$/events/r;
	$cluster->forget_state(0);
	$cluster->write_first_state(0);
	unlink $conf;
	PostgreSQL::Test::Utils::append_to_file($conf, "$good\n$lines\n");
	$offset = $cluster->log_size(0);
	$cluster->start(0);
	return;
}

# takes_no_part(WHAT, LINES, PATTERN, HINT)
sub takes_no_part
{
	my ($what, $lines, $pattern, $hint) = @_;
	my $message = qr/WARNING:  pg_leader: this server does not take part in elections: [^\n]*$pattern/;
	my $log;

	with($lines);
	$cluster->wait_until("$what: the server runs, its status says what is wrong",
		sub { my $s = $cluster->status(0); $s && $s->{state} =~ /^not taking part: .*$pattern/ });
	is($cluster->sql(0, 'SELECT term, leader_id, is_leader FROM pg_leader_status'), '||f', "$what: no term, no leader");
	$log = $cluster->log_of(0, $offset);
	is(scalar(() = $log =~ /$message/g), 1, "$what: one message in the log");
	like($log, qr/$message[^\n]*\n[^\n]*HINT:  [^\n]*$hint/, "$what: with a hint");
	unlike($log, qr/FATAL|PANIC|background worker "pg_leader" [^\n]*exited/, "$what: the worker does not end over it");
	return;
}

# refused(WHAT, LINES, NAME, DETAIL): a value that cannot be read at all is
# reported by the server, which goes on with the default.  The member does not.
sub refused
{
	my ($what, $lines, $name, $detail) = @_;

	takes_no_part($what, $lines, qr/refused settings: \Q$name\E/, qr/Correct the value and reload/);
	is($cluster->sql(0, 'SELECT refused_settings FROM pg_leader_status'), $name, "$what: named");
	like($cluster->log_of(0, $offset), qr/WARNING:  [^\n]*"\Q$name\E"/, "$what: refused");
	like($cluster->log_of(0, $offset), qr/(?:WARNING|DETAIL):  [^\n]*$detail/, "$what: and why");
	return;
}

# ---- what takes part in nothing ----

takes_no_part('no node_id', 'pg_leader.node_id = -1', qr/pg_leader\.node_id is not set/, qr/Set pg_leader\.node_id/);
is($cluster->sql(0, 'SELECT pg_leader_node_id() IS NULL'), 't', 'no node_id: pg_leader_node_id() is null');
is($cluster->sql(0, 'SELECT get_node_info()'), 'node id not set: not taking part', 'no node_id: get_node_info()');
takes_no_part('no cluster', "pg_leader.cluster = ''", qr/pg_leader\.cluster is not set/, qr/Set pg_leader\.node_id and pg_leader\.cluster/);
takes_no_part('node_id outside the list', 'pg_leader.node_id = 7', qr/node_id is 7, which is not in pg_leader\.cluster/, qr/numbered from 0 by position/);
takes_no_part('heartbeats too rare', 'pg_leader.heartbeat_interval = 101ms', qr/heartbeat interval must be at most half/, qr/reload or restart/);
takes_no_part('min above max', 'pg_leader.min_timeout = 500ms', qr/minimum timeout must be below the maximum/, qr/reload or restart/);
takes_no_part('min equals max', 'pg_leader.min_timeout = 400ms', qr/minimum timeout must be below the maximum/, qr/reload or restart/);
takes_no_part('no lease left', "pg_leader.min_timeout = 20ms\npg_leader.heartbeat_interval = 10ms\npg_leader.max_clock_drift = 0.5",
	qr/the lease would be shorter than the heartbeat interval/, qr/reload or restart/);

# Timeouts can be mended without a restart.
$cluster->stays('bad timeouts: still', 2, sub { $cluster->status(0)->{state} =~ /^not taking part/ });
is(scalar(() = $cluster->log_of(0, $offset) =~ /does not take part/g), 1, 'bad timeouts: still one message');
PostgreSQL::Test::Utils::append_to_file($conf, "pg_leader.min_timeout = 200ms\npg_leader.max_clock_drift = 0.1\n");
$cluster->server(0)->reload;
$cluster->wait_for_leader('bad timeouts: mended by a reload');

takes_no_part('address of another machine', "pg_leader.cluster = '192.0.2.1:$port'",
	qr/192\.0\.2\.1:$port is not an address of this machine/, qr/Check pg_leader\.node_id/);
takes_no_part('listen_address of another machine', "pg_leader.listen_address = '192.0.2.1'",
	qr/192\.0\.2\.1:$port is not an address of this machine/, qr/Check pg_leader\.node_id/);
takes_no_part('two kinds of addresses', "pg_leader.cluster = '$address, [::1]:$port'", qr/IPv4/, qr/one family/);

# ---- what cannot be read ----

foreach my $case (
	[ 'no port', "pg_leader.cluster = '127.0.0.1'", 'pg_leader.cluster', qr/the port is missing/ ],
	[ 'port 0', "pg_leader.cluster = '127.0.0.1:0'", 'pg_leader.cluster', qr/"0" is not a port/ ],
	[ 'port 65536', "pg_leader.cluster = '127.0.0.1:65536'", 'pg_leader.cluster', qr/"65536" is not a port/ ],
	[ 'negative port', "pg_leader.cluster = '127.0.0.1:-1'", 'pg_leader.cluster', qr/"-1" is not a port/ ],
	[ 'two members with one address', "pg_leader.cluster = '$address, $address'", 'pg_leader.cluster', qr/the address is already used by entry 1/ ],
	[ 'two members with one id', "pg_leader.cluster = '0=127.0.0.1:1111, 0=127.0.0.1:2222'", 'pg_leader.cluster', qr/id 0 is already used by entry 1/ ],
	[ 'ids on some', "pg_leader.cluster = '0=127.0.0.1:1111, 127.0.0.1:2222'", 'pg_leader.cluster', qr/this entry has no id, but entry 1 has one/ ],
	[ 'id out of range', "pg_leader.cluster = '64=127.0.0.1:1111'", 'pg_leader.cluster', qr/the id must be a number from 0 to 63/ ],
	[ 'no address', "pg_leader.cluster = '0.0.0.0:1111'", 'pg_leader.cluster', qr/is not the address of one member/ ],
	[ 'extra comma', "pg_leader.cluster = '$address,'", 'pg_leader.cluster', qr/the entry is empty/ ],
	[ 'garbage', "pg_leader.cluster = '!'", 'pg_leader.cluster', qr/the port is missing|cannot contain/ ])
{
	my ($what, $lines, $name, $detail) = @$case;

	refused($what, $lines, $name, $detail);
	like($cluster->log_of(0, $offset), qr/HINT:  \S/, "$what: with a hint");
}
foreach my $case (
	[ 'node_id too high', 'pg_leader.node_id = 64', 'pg_leader.node_id', qr/64 is outside the valid range/ ],
	[ 'empty cluster_name', "pg_leader.cluster_name = ''", 'pg_leader.cluster_name', qr/must not be empty/ ],
	[ 'listen_address with a port', "pg_leader.listen_address = '127.0.0.1:1'", 'pg_leader.listen_address', qr/neither an IPv4 nor an IPv6 address/ ],
	[ 'empty state_directory', "pg_leader.state_directory = ''", 'pg_leader.state_directory', qr/must not be empty/ ],
	[ 'min_timeout without end', 'pg_leader.min_timeout = 1h', 'pg_leader.min_timeout', qr/3600000 ms is outside the valid range/ ])
{
	refused(@$case);
}

# ---- every setting, refused at the start and at a reload ----

# What no value of a setting can be; those without a rule take any text.
my %bad = (
	node_id => 'none', cluster => 'nowhere', cluster_name => '', listen_address => 'everywhere', state_directory => '',
	candidate => 'none', min_timeout => '5 apples', max_timeout => '1h', heartbeat_interval => '0', max_clock_drift => '30%',
	log_messages => 'some', notify_command => 'x %z', notify_timeout => '-1', http_listen => 'localhost:80',
	manage => 'perhaps', clone_max_rate => '31', open_timeout => '999', health_timeout => '1h', allow_timeline_gap => 'wide',
	fence_wait => '-2', read_fence => '2', allow_local_commit => 'some', fence_exempt_roles => 'a, ,b');
my %any = map { $_ => 1 } qw(secret_file replication_conninfo);
with('');
$cluster->wait_for_leader('good settings');
my %reloaded = map { split /\|/ }
  split /\n/, $cluster->sql(0, "SELECT substr(name, 11), context = 'sighup' FROM pg_settings WHERE name LIKE 'pg\\_leader.%'");
is(join(' ', sort keys %reloaded), join(' ', sort keys %bad, keys %any), 'a bad value for every setting that refuses one');

my $term = $cluster->status(0)->{term};
foreach my $name (sort keys %bad)
{
	PostgreSQL::Test::Utils::append_to_file($conf, "pg_leader.$name = '$bad{$name}'\n");
	$offset = $cluster->log_size(0);
	$cluster->server(0)->reload;
	$cluster->wait_until("$name at a reload: it is shown",
		sub { $cluster->sql(0, 'SELECT refused_settings FROM pg_leader_status') eq "pg_leader.$name" });
	like($cluster->log_of(0, $offset), qr/WARNING:  pg_leader: refused settings keep the values that are in force: pg_leader\.$name\n/,
		"$name at a reload: in the log");
	unlink $conf;
	PostgreSQL::Test::Utils::append_to_file($conf, "$good\n");
	$cluster->server(0)->reload;
	$cluster->wait_until("$name at a reload: corrected", sub { $cluster->sql(0, 'SELECT refused_settings IS NULL FROM pg_leader_status') eq 't' });
}
is($cluster->status(0)->{term}, $term, 'settings refused at a reload: the member has gone on with those in force');
ok($cluster->status(0)->{is_leader}, 'settings refused at a reload: and leads');

foreach my $name (sort keys %bad)
{
	takes_no_part("$name at the start", "pg_leader.$name = '$bad{$name}'", qr/refused settings: pg_leader\.$name/, qr/Correct the value/);
	next unless $reloaded{$name} eq 't';
	unlink $conf;
	PostgreSQL::Test::Utils::append_to_file($conf, "$good\n");
	$cluster->server(0)->reload;
	$cluster->wait_for_leader("$name at the start: corrected, and reloaded");
}
takes_no_part('no setting of that name', 'pg_leader.candidat = off', qr/refused settings: pg_leader\.candidat\b/, qr/Correct the value/);

# A correction counts when PostgreSQL has taken it.
takes_no_part('a correction', 'pg_leader.candidate = offf', qr/refused settings: pg_leader\.candidate/, qr/Correct the value/);
foreach my $lines ("nothing_of_that_name = 1\npg_leader.candidate = off", "= =\npg_leader.candidate = off")
{
	unlink $conf;
	PostgreSQL::Test::Utils::append_to_file($conf, "$good\n$lines\n");
	$offset = $cluster->log_size(0);
	$cluster->server(0)->reload;
	$cluster->wait_for_log(0, qr/LOG:  configuration file "[^"]*" contains errors/, $offset);
	$cluster->stays("a correction beside an error of another kind: it does not count: $lines", 2,
		sub { $cluster->status(0)->{state} =~ /^not taking part: refused settings: pg_leader\.candidate/ });
}
unlink $conf;
PostgreSQL::Test::Utils::append_to_file($conf, "$good\npg_leader.candidate = off\n");
$cluster->server(0)->reload;
$cluster->wait_until('a correction: it counts', sub { $cluster->status(0)->{state} eq 'taking part' });
my $worker = $cluster->worker(0);
kill 'TERM', $worker;
$cluster->wait_until('a correction: also for the next worker',
	sub { my $next = $cluster->worker(0); $next && $next != $worker && $cluster->status(0)->{state} eq 'taking part' });

# Beside postgresql.conf.
$cluster->stop(0);
PostgreSQL::Test::Utils::append_to_file($cluster->server(0)->data_dir . '/postgresql.auto.conf', "pg_leader.candidate = 'perhaps'\n");
takes_no_part('in postgresql.auto.conf', '', qr/refused settings: pg_leader\.candidate/, qr/Correct the value/);
is($cluster->sql(0, 'ALTER SYSTEM RESET pg_leader.candidate; SELECT pg_reload_conf()'), 't', 'postgresql.auto.conf: corrected');
$cluster->wait_for_leader('in postgresql.auto.conf: corrected, and reloaded');

# ---- no room for the processes ----

# One is the launcher of logical replication.
foreach my $case ([ 2, 'recorder' ], [ 1, '', 'recorder' ])
{
	my ($room, @missing) = @$case;
	my $log;

	with("max_worker_processes = $room");
	$cluster->wait_until("max_worker_processes = $room: it is shown",
		sub { ($cluster->sql(0, 'SELECT refused_settings FROM pg_leader_status') // '') eq 'max_worker_processes' });
	$log = $cluster->log_of(0, $offset);
	foreach my $name (map { $_ eq '' ? 'pg_leader' : "pg_leader $_" } @missing)
	{
		like($log, qr/WARNING:  pg_leader: there is no room for the background worker "\Q$name\E"\n.*\n.*HINT:  Increase max_worker_processes/,
			"max_worker_processes = $room: $name");
	}
	if (@missing < 2) { $cluster->wait_for_leader("max_worker_processes = $room: elections need no more"); }
	else { is($cluster->status(0)->{state}, 'worker is not running', "max_worker_processes = $room: no worker") }
}

# ---- what goes away by itself ----

# The port is taken, and given back.
$cluster->stop(0);
my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Proto => 'udp')
	or die "port $port: $!";
takes_no_part('port taken', '', qr/the UDP port of \Q$address\E is taken/, qr/Another process listens there/);
$socket->close;
$cluster->wait_for_leader('port taken: given back, the member joins');
$cluster->check_history;
$cluster->stop(0);

# ---- names ----

# A look-up may take its time: the first message can be that it is under way.
my $unknown = "no-such-host.invalid:$port";
with("pg_leader.cluster = '$unknown'");
$cluster->wait_until('own name unknown: the status says so',
	sub { my $s = $cluster->status(0); $s && $s->{state} =~ /^not taking part: the name "no-such-host\.invalid" of this member cannot be resolved: \S/ });
$cluster->wait_for_log(0, qr/the name "no-such-host\.invalid" of this member cannot be resolved: [^\n]*\n[^\n]*HINT:  Make the name known to this machine/, $offset);
cmp_ok($cluster->stop(0), '<', 10, 'own name unknown: the server stops soon');

# A peer whose name is unknown is missing, and no more than that.
my $named = PgLeaderCluster->new('names', 3, settings => \%PgLeaderCluster::STEADY, blank => 1);
$named->{list} = '0=' . $named->address(0) . ', 1=' . $named->address(1) . ', 2=no-such-host.invalid:1111';
foreach my $id (0, 1)
{
	$named->set($id, cluster => $named->{list});
	$named->write_first_state($id);
}
$named->start(0, 1);
$named->wait_for_leader("a peer's name unknown: the others have a leader", 0, 1);
foreach my $id (0, 1)
{
	my $peer = $named->peers($id)->{2};

	is($peer->{resolved}, undef, "a peer's name unknown: node $id shows no address for it");
	is($peer->{address}, 'no-such-host.invalid:1111', "a peer's name unknown: node $id shows its entry");
	ok(!$peer->{reachable}, "a peer's name unknown: node $id does not reach it");
	$named->wait_until("a peer's name unknown: node $id counts what it cannot send",
		sub { $named->sql($id, 'SELECT unresolved > 0 FROM pg_stat_pg_leader') eq 't' });
}
$named->check_history;
$named->stop_all;

# A name that nobody else uses, whatever an earlier run has left behind.
sub name_of
{
	my ($members, $id) = @_;

	return "node-$id-of-" . $members->member($id)->{port} . '.invalid';
}

# A name that becomes known: for that, this file has to be what the resolver
# takes for /etc/hosts.
SKIP:
{
	my $hosts = $ENV{PG_LEADER_ETC_HOSTS};
	my ($before, $late);

	skip 'PG_LEADER_ETC_HOSTS names no file in place of /etc/hosts', 1
		unless defined $hosts && -w $hosts;

	$before = PostgreSQL::Test::Utils::slurp_file($hosts);
	$late = PgLeaderCluster->new('late', 3, blank => 1);
	$late->{list} = '0=' . $late->address(0) . ', '
		. join ', ', map { "$_=" . name_of($late, $_) . ':' . $late->member($_)->{port} } 1, 2;
	foreach my $id ($late->ids)
	{
		$late->set($id, cluster => $late->{list});
		$late->write_first_state($id);
	}
	$late->start_all;
	$late->wait_until('names unknown: two members cannot take part', sub {
		!grep { my $s = $late->status($_); !$s || $s->{state} !~ /^not taking part: the name/ } 1, 2;
	});
	$late->stays('names unknown: nobody leads', 2, sub { !$late->leads($late->ids) });

	PostgreSQL::Test::Utils::append_to_file($hosts, '127.0.0.1 ' . name_of($late, 1) . "\n");
	$late->wait_for_leader('one name known: the two have a leader', 0, 1);
	$late->wait_until('one name known: its address is shown',
		sub { ($late->peers(0)->{1}{resolved} // '') eq $late->address(1) });
	is($late->peers(0)->{2}{resolved}, undef, 'one name known: the other one is not');

	PostgreSQL::Test::Utils::append_to_file($hosts, '127.0.0.1 ' . name_of($late, 2) . "\n");
	$late->wait_for_leader('both names known: all have a leader', $late->ids);
	$late->check_history;
	$late->stop_all;
	open my $handle, '>', $hosts or die "$hosts: $!";
	print $handle $before;
	close $handle;
}

done_testing();
