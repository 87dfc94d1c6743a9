# test/t/086_failover_slots.pl
#	  Logical slots that survive a failover (PostgreSQL 17 and later): PostgreSQL synchronizes
#	  them to the standbys, and what keeps it from that on a former primary is removed.  Before
#	  that none do, and nobody waits for them.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PgLeaderManaged;
use PostgreSQL::Test::Utils;
use Test::More;

my ($major) = `pg_config --version` =~ /PostgreSQL (\d+)/;
my $synchronizes = $major >= 17;
my $cluster = PgLeaderManaged->new('failover_slots', 3, settings => { min_timeout => '300ms', max_timeout => '600ms' },
	conf => PgLeaderManaged::QUIET . "wal_level = logical\nhot_standby_feedback = on\nwal_receiver_status_interval = 1s\nmax_slot_wal_keep_size = 1GB\n" .
	  ($synchronizes ? "sync_replication_slots = on\n" : ''));
my ($primary, $one, $other);

sub learn_roles { ($primary, $one, $other) = $cluster->wait_for_roles; return; }

# consume(): what a consumer gets, which moves its slot on.
sub consume { return $cluster->sql($primary, q(SELECT string_agg(data, ' ') FROM pg_logical_slot_get_changes('of_consumer', NULL, NULL) WHERE data LIKE 'table%')); }

sub missing { my $id = shift; return $cluster->sql($primary, "SELECT coalesce(pg_leader_slots_missing($id), 'nothing')") // 'no answer'; }

# A slot is complete on a standby once its consumer has moved on from where that began to copy it.
sub wait_until_ready
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	foreach my $id ($one, $other)
	{
		$cluster->wait_until("node $id has the slot", sub {
			$cluster->sql($primary, 'INSERT INTO told VALUES (0)');
			consume();
			return missing($id) eq 'nothing';
		}, 120);
		is($cluster->sql($id, q(SELECT ready::text || synced || failover FROM pg_leader_slots WHERE slot_name = 'of_consumer')), 'truetruetrue', 'and says so');
	}
	return;
}

$cluster->start_all;
learn_roles();
is($cluster->sql($primary, 'CREATE TABLE told (n int)'), '', 'a table');
is(missing($one), 'nothing', 'no slot, and so none that is missing');
like($cluster->failure($one, "SELECT pg_leader_slots_missing($other)"), qr/this server is not the primary of a managed cluster/, 'the primary knows');
like($cluster->failure($primary, "SELECT pg_leader_slots_missing($primary)"), qr/node $primary is not another member of the cluster/, 'of another one');

if (!$synchronizes)
{
	is($cluster->sql($primary, q(SELECT FROM pg_create_logical_replication_slot('of_consumer', 'test_decoding'))), '', 'a logical slot');
	is($cluster->sql($primary, q(SELECT kind, node_id IS NULL, failover, synced, ready IS NULL FROM pg_leader_slots WHERE slot_name = 'of_consumer')),
		'logical|t|f|f|t', 'it does not survive a failover');
	is(missing($one), 'nothing', 'so it is missed nowhere');
	is($cluster->sql($primary, "SELECT pg_leader_switchover($one, '30s', true)"), $one, 'and a switchover that waits for such slots does not wait for it');
	learn_roles();
	is($cluster->sql($primary, q(SELECT count(*) FROM pg_leader_slots WHERE kind = 'logical')), 0, 'the new primary has none');
	$cluster->check_timelines;
	$cluster->check_history;
	$cluster->stop_all;
	done_testing();
	exit;
}

is($cluster->sql($primary, q(SELECT FROM pg_create_logical_replication_slot('of_consumer', 'test_decoding', false, false, true))), '', 'a slot that is to survive');
wait_until_ready();
is($cluster->sql($primary, q(SELECT ready IS NULL AND failover AND NOT synced FROM pg_leader_slots WHERE slot_name = 'of_consumer')), 't', 'on the primary it is the original');

subtest 'it goes on after a failover, and what the old primary has of it does not stay' => sub {
	my $old = $primary;

	is($cluster->sql($primary, 'INSERT INTO told VALUES (1)'), '', 'a commit that nobody consumes');
	$cluster->wait_for_replay($primary);
	$cluster->signal($old, 'STOP'); # else it may be back, and elected, before anybody else is
	$cluster->kill_server($old);
	$cluster->wait_until('another one leads', sub { ($cluster->open_primary // $old) != $old });
	$cluster->signal($old, 'CONT');
	learn_roles();
	is($cluster->sql($primary, 'INSERT INTO told VALUES (2)'), '', 'a commit on the new primary');
	like(consume(), qr/n\[integer\]:1\b.*n\[integer\]:2\b/, 'both are consumed there');
	$cluster->wait_for_log($old, qr/the replication slot "of_consumer" was dropped/, 0) if $cluster->log_of($old) !~ /rewound/;
	wait_until_ready();
};

subtest 'and after a hand-over back' => sub {
	my $target = $one;

	$cluster->hand_over($target);
	learn_roles();
	is($cluster->sql($primary, 'INSERT INTO told VALUES (3)'), '', 'a commit');
	like(consume(), qr/n\[integer\]:3\b/, 'it is consumed');
	wait_until_ready();
};

subtest 'one that nobody else has stays on a former primary' => sub {
	my $old = $primary;
	my $target = $one;
	my $offset;

	is($cluster->sql($old, q(SELECT FROM pg_create_logical_replication_slot('of_nobody_else', 'test_decoding', false, false, true))), '', 'a slot that no standby has completely yet');
	$offset = $cluster->log_size($old);
	like(missing($target), qr/of_nobody_else/, 'so it would be missed');
	$cluster->hand_over($target);
	learn_roles();
	$cluster->wait_for_log($old, qr/WARNING:  pg_leader: the logical replication slot "of_nobody_else" is of this server's time as primary, and node $target has none of that name/, $offset);
	is($cluster->sql($old, q(SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'of_nobody_else')), 1, 'it is there');
	is($cluster->sql($old, q(SELECT FROM pg_drop_replication_slot('of_nobody_else'))), '', 'an operator drops it');
	wait_until_ready();
};

$cluster->check_timelines;
$cluster->check_history;
$cluster->stop_all;
done_testing();
