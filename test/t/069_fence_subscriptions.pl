# test/t/069_fence_subscriptions.pl
#	  A managed server subscribes: its publisher is told that a transaction is safe, and may throw
#	  it away, when enough members hold it, and not before.
#
# The subscription has two_phase = on, and synchronous_commit as PostgreSQL sets it: off.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PgLeaderManaged;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# How long a wait has to last to be one, seconds.
use constant A_WHILE => 1.5;

use constant SETTINGS => "max_prepared_transactions = 5\nwal_retrieve_retry_interval = 200ms\n";

my $publisher = PostgreSQL::Test::Cluster->new('publisher');
my $cluster = PgLeaderManaged->new('subscriber', 3, settings => { %PgLeaderCluster::STEADY, fence_wait => '300ms' }, conf => PgLeaderManaged::QUIET . SETTINGS);
my ($primary, @others);

# publish(STATEMENT...): where its WAL ends then.
sub publish
{
	$publisher->safe_psql('postgres', join(';', @_));
	return $publisher->safe_psql('postgres', 'SELECT pg_current_wal_flush_lsn()');
}

# is_told(LSN): that all up to there is safe.
sub is_told { my $lsn = shift; return $publisher->safe_psql('postgres', "SELECT confirmed_flush_lsn >= '$lsn' FROM pg_replication_slots") eq 't'; }

sub is_visible { my $word = shift; return $cluster->sql($primary, "SELECT count(*) FROM told WHERE word = '$word'"); }

sub applier { return $cluster->titled($primary, qr/\blogical replication (?:apply )?worker\b/); }

sub waits { return $cluster->sql($primary, 'SELECT wait_event FROM pg_stat_activity WHERE pid = ' . applier()) eq 'SyncRep'; }

$publisher->init(allows_streaming => 'logical');
$publisher->append_conf('postgresql.conf', SETTINGS);
$publisher->start;
publish('CREATE TABLE told (word text)', 'CREATE PUBLICATION told FOR TABLE told');
$cluster->start_all;
($primary, @others) = $cluster->wait_for_roles;
is($cluster->sql($primary, 'CREATE TABLE told (word text)'), '', 'a table');
is($cluster->sql($primary, q(CREATE SUBSCRIPTION told CONNECTION ') . $publisher->connstr . q( dbname=postgres' PUBLICATION told WITH (two_phase = on))), '', 'and a subscription');
$cluster->wait_until('it takes prepared transactions', sub { $cluster->sql($primary, 'SELECT subtwophasestate FROM pg_subscription') eq 'e' });

subtest 'COMMIT PREPARED: invisible, and the publisher is not told, before a quorum has it' => sub {
	my $prepared = publish('BEGIN', q(INSERT INTO told VALUES ('prepared')), q(PREPARE TRANSACTION 'prepared'));
	my ($committed, @frozen);

	$cluster->wait_until('it is prepared, and the publisher knows', sub { $cluster->sql($primary, 'SELECT count(*) FROM pg_prepared_xacts') == 1 && is_told($prepared) });
	@frozen = $cluster->receivers($primary);
	kill 'STOP', @frozen;
	is(scalar @frozen, 2, 'both receivers stand still');
	$committed = publish(q(COMMIT PREPARED 'prepared'));
	$cluster->wait_until('its commit waits', sub { waits() });
	$cluster->stays('it goes on waiting', A_WHILE, sub { waits() && !is_visible('prepared') && !is_told($committed) });
	kill 'CONT', @frozen;
	$cluster->wait_until('with copies the publisher is told', sub { is_told($committed) });
	is(is_visible('prepared'), 1, 'and the row is visible');
};

# PostgreSQL has its copy, and the fence has not: that member's worker stands still.
subtest 'a worker that is ended before it may tell: the next one does not tell either' => sub {
	my ($unbound, $behind) = @others;
	my @pids = ($cluster->worker($unbound), $cluster->receiver($behind));
	my ($committed, $pid);

	$cluster->set_now($_, candidate => 'off') foreach @others;
	kill 'STOP', @pids;
	$cluster->wait_until('the one is bound to nobody', sub { $cluster->sql($primary, "SELECT last_heard > '2500ms' FROM pg_leader_peers WHERE node_id = $unbound") eq 't' });
	$committed = publish(q(INSERT INTO told VALUES ('unbound')));
	$cluster->wait_until('it is PostgreSQL\'s to answer', sub { is_visible('unbound') });
	$cluster->stays('the publisher is not told', A_WHILE, sub { !is_told($committed) });
	$pid = applier();
	kill 'TERM', $pid;
	$cluster->wait_until('another worker has begun', sub { (applier() // $pid) != $pid });
	$cluster->stays('and does not tell', A_WHILE, sub { !is_told($committed) });
	kill 'CONT', @pids;
	$cluster->wait_until('then the publisher is told', sub { is_told($committed) });
	is(is_visible('unbound'), 1, 'and the row is there once');
};

is($cluster->sql($primary, 'DROP SUBSCRIPTION told'), '', 'the subscription ends');
$cluster->check_history;
$cluster->stop_all;
$publisher->stop;
done_testing();
