# test/t/076_managed_nodes.pl
#	  The scripts with managed nodes: from nothing to a primary and two standbys, a primary
#	  that is killed, a node that has lost everything, one that was never there, and back
#	  (cluster_is_created).

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PgLeaderCluster;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $scripts = "$FindBin::RealBin/../../script";
my $dir = PostgreSQL::Test::Utils::tempdir_short;
my $config = "$dir/test.config";
my @udp = map { PostgreSQL::Test::Cluster::get_free_port() } 0 .. 2;
my ($tcp, $http);

# three of each
do { $tcp = PostgreSQL::Test::Cluster::get_free_port() }
  until 5 == grep { PostgreSQL::Test::Cluster::can_bind('127.0.0.1', $tcp + $_) } 1 .. 5;
$http = $tcp + 3;

append_to_file($config, <<"TEXT");
N_NODES=3
IPv4_CLUSTER="@{[ join ', ', map { "127.0.0.1:$_" } @udp ]}"
CLUSTER_NAME=managed
PGLD_DB_PATHNAME_PREFIX=$dir/n/node
PGLD_STATE_DIRECTORY=$dir/n/state
PGLD_SOCKET_DIRECTORY=$dir/n/s
PGLD_START_PORT=$tcp
PGLD_HTTP_PORT=$http
PGLD_USER=postgres
MIN_TIMEOUT=300
MAX_TIMEOUT=600
HEARTBEAT_TIMEOUT=50
TEXT

sub script
{
	my ($name, $status, $output, $errors, $script, @arguments) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	command_checks_all([ "$scripts/$script", '-c', $config, @arguments ], $status, [$output], [$errors], $name);
	return;
}

# As a package has installed it: there is nothing to build.
sub quickstart
{
	my ($name, $output, @arguments) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	command_checks_all([ "$dir/packaged/script/quickstart.sh", '-c', $config, @arguments ], 0, [$output], [qr/^$/], $name);
	return;
}

# sql(QUERY): of whoever takes commits, as the quick start tells clients to.
sub sql
{
	my $query = shift;
	my ($out, $err) = ('', '');
	my $done = IPC::Run::run(
		[ 'psql', '-XAtq', '-d', 'host=127.0.0.1,127.0.0.1,127.0.0.1 port=' . join(',', map { $tcp + $_ } 0 .. 2) . " user=postgres dbname=postgres passfile=$dir/n/passfile target_session_attrs=read-write connect_timeout=5" ],
		'<', \$query, '>', \$out, '2>', \$err);

	chomp $out;
	return $done ? $out : undef;
}

sub wait_until
{
	my ($name, $condition) = @_;
	my $end = PgLeaderCluster::clock_now() + 60e6;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	Time::HiRes::usleep(50_000) until $condition->() || PgLeaderCluster::clock_now() > $end;
	return ok($condition->(), $name);
}

# on(ID, QUERY): of that node.
sub on
{
	my ($id, $query) = @_;
	my ($out, $err) = ('', '');

	IPC::Run::run([ 'psql', '-XAtq', '-h', "$dir/n/s", '-p', $tcp + $id, '-U', 'postgres', '-d', 'postgres', '-c', $query ], '>', \$out, '2>', \$err);
	chomp $out;
	return $out;
}

system('mkdir', "$dir/packaged") == 0 && system('cp', '-r', $scripts, "$dir/packaged/script") == 0 or die;

quickstart('from nothing', qr/\Apg_leader is installed.*\nnode 0: wrote.*\n(?:.*\n)*node 0: creating a database cluster.*\n(?:.*\n)*node 2: begins without data.*\nwaiting for a primary and 2 standbys\n\n(?:.*\n)* +[012] \| \S+ +\| primary \| open for commits /);
is(sql('CREATE TABLE told (n int); INSERT INTO told VALUES (1); SELECT count(*) FROM told'), 1, 'it takes commits');
quickstart('once more: there is nothing to do', qr/\A(?:pg_leader is installed.*\n)(?:node \d: runs already, port \d+\n){3}waiting for a primary/);
is(scalar(grep { system("curl -sfo '$dir/said' --noproxy '*' http://127.0.0.1:@{[ $http + $_ ]}/primary") == 0 } 0 .. 2), 1, 'one of them is the primary by HTTP');
is(scalar(grep { on($_, 'SELECT system_identifier FROM pg_control_system()') eq on(0, 'SELECT system_identifier FROM pg_control_system()') } 0 .. 2), 3, 'they are one system');
is(join(' ', map { on($_, 'SHOW pg_leader.node_id') } 0 .. 2), '0 1 2', 'each with its own id');
is(on(1, q(SELECT count(*) FROM pg_extension WHERE extname = 'pg_leader')), 1, 'with the extension');

# the primary is killed, with all that it runs
my ($primary) = grep { on($_, 'SELECT is_open FROM pg_leader_server') eq 't' } 0 .. 2;
my ($postmaster) = split /\n/, slurp_file("$dir/n/node$primary/postmaster.pid");
kill 'KILL', $postmaster;
wait_until('another one takes commits', sub { (sql('INSERT INTO told VALUES (2); SELECT count(DISTINCT n) FROM told') // '') eq '2' });
wait_until('and the killed one follows', sub { on($primary, q(SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming')) eq '1' });
script('watched', 0, qr/^node $primary  follower .* standby follow  timeline \d+  WAL [0-9A-F]+\/[0-9A-F]+$/, qr/^$/, 'watchpsql.sh', '--once', $primary);

# a node has lost everything; and is launched as if nothing had been
my $lost = $primary;
script('a node is stopped', 0, qr/^node $lost: stopped$/, qr/^$/, 'nodestop.sh', $lost);
script('and once more', 0, qr/^node $lost: does not run$/, qr/^$/, 'nodestop.sh', $lost);
system('rm', '-r', glob "$dir/n/node$lost* $dir/n/state/node-$lost.*") == 0 or die;
script('all its files are gone: it joins again', 0, qr/^node $lost: begins without data/m, qr/node $lost has no state file/, 'nodelaunch.sh', $lost);
wait_until('and follows', sub { on($lost, q(SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming')) eq '1' });
is(on($lost, 'SELECT count(DISTINCT n) FROM told'), 2, 'with all that was told');
script('smart is refused', 2, qr/^$/, qr/a managed node is not stopped smart/, 'nodestop.sh', '-m', 'smart', $lost);

quickstart('taken down', qr/^node 0: stopped\nnode 1: stopped\nnode 2: stopped\n(?:.*\n)*removed the nodes' files/m, '--down');
ok(!-e "$dir/n", 'nothing is left');

done_testing();

END
{
	my $status = $?;
	system("$scripts/nodestop.sh -c $config -m immediate ALL >/dev/null 2>&1");
	$? = $status;
}
