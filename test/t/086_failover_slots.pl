# test/t/086_failover_slots.pl
#	  Logical slots that survive a failover (PostgreSQL 17 and later): PostgreSQL synchronizes
#	  them to the standbys, and what keeps it from that on a former primary is removed.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PgLeaderManaged;
use PostgreSQL::Test::Utils;
use Test::More;

my ($major) = `pg_config --version` =~ /PostgreSQL (\d+)/;
plan skip_all => "PostgreSQL $major does not synchronize logical slots" if $major < 17;

my $cluster = PgLeaderManaged->new('failover_slots', 3, settings => { min_timeout => '300ms', max_timeout => '600ms' },
	conf => PgLeaderManaged::QUIET . "wal_level = logical\nhot_standby_feedback = on\nsync_replication_slots = on\nwal_receiver_status_interval = 1s\nmax_slot_wal_keep_size = 1GB\n");
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
is($cluster->sql($primary, q(SELECT FROM pg_create_logical_replication_slot('of_consumer', 'test_decoding', false, false, true))), '', 'a slot that is to survive');
wait_until_ready();
is($cluster->sql($primary, q(SELECT ready IS NULL AND failover AND NOT synced FROM pg_leader_slots WHERE slot_name = 'of_consumer')), 't', 'on the primary it is the original');

subtest 'it goes on after a failover, and what the old primary has of it does not stay' => sub {
	my $old = $primary;

	is($cluster->sql($primary, 'INSERT INTO told VALUES (1)'), '', 'a commit that nobody consumes');
	$cluster->wait_for_replay($primary);
	$cluster->kill_server($old);
	$cluster->wait_until('another one leads', sub { ($cluster->open_primary // $old) != $old });
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

$cluster->check_timelines;
$cluster->check_history;
$cluster->stop_all;
done_testing();
