# test/t/085_slots.pl
#	  Each managed server has a replication slot for each other one, so that whoever leads has
#	  the WAL that a member which was away lacks.
#
# Segments of 1 MB, and no WAL is kept but by slots.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PgLeaderManaged;
use PostgreSQL::Test::Utils;
use Test::More;

PgLeaderCluster::template('--wal-segsize=1');
my $cluster = PgLeaderManaged->new('slots', 3, settings => { min_timeout => '300ms', max_timeout => '600ms' },
	conf => PgLeaderManaged::QUIET . "wal_keep_size = 0\nmax_wal_size = 16MB\nmax_slot_wal_keep_size = 400MB\nhot_standby_feedback = on\nwal_receiver_status_interval = 1s\nmax_replication_slots = 6\n");
my ($primary, $one, $other);

sub learn_roles { ($primary, $one, $other) = $cluster->wait_for_roles; return; }

# slots(ID): "name active wal_status" of each, of which WAL is kept.
sub slots
{
	my $id = shift;

	return $cluster->sql($id, q(SELECT string_agg(concat_ws(' ', slot_name, CASE WHEN active THEN 'active' END, wal_status), ', ' ORDER BY slot_name) FROM pg_leader_slots WHERE kind = 'physical')) // '';
}

# expected(ID): of a server that is calm.
sub expected
{
	my $id = shift;
	my $active = $id == $primary ? ' active' : '';

	return join ', ', map { "pg_leader_$_$active reserved" } sort { $a <=> $b } $cluster->others($id);
}

sub wait_for_slots
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	foreach my $id (@_ ? @_ : $cluster->running)
	{
		$cluster->wait_until("node $id has the slots of the others", sub { slots($id) eq expected($id) });
	}
	return;
}

# kept(ID, FOR): bytes, -1 without a slot.
sub kept { my ($id, $for) = @_; return $cluster->sql($id, "SELECT coalesce(max(kept_bytes), -1) FROM pg_leader_slots WHERE node_id = $for") // -1; }

# drop_slots(ID, PATTERN): a test; those with such names.
sub drop_slots
{
	my ($id, $pattern) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	cmp_ok($cluster->sql($id, "SELECT count(pg_drop_replication_slot(slot_name)) FROM pg_replication_slots WHERE slot_name ~ '$pattern'"), '>', 0, "node $id: slots named $pattern are dropped");
	return;
}

# write_wal(MB): tests; of it, nothing is kept on any server but for slots.
sub write_wal
{
	my $size = shift;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($cluster->sql($primary, "SELECT count(pg_logical_emit_message(false, '', repeat('x', 1000000))) FROM generate_series(1, $size)"), $size, "$size MB of WAL");
	is($cluster->sql($primary, 'INSERT INTO told SELECT coalesce(max(n), 0) + 1 FROM told; CHECKPOINT'), '', 'a commit and a checkpoint');
	$cluster->wait_for_replay($primary);
	is($cluster->sql($_, 'CHECKPOINT'), '', "a restartpoint on node $_") foreach grep { $_ != $primary && $cluster->is_running($_) } $cluster->ids;
	return;
}

# comes_back(ID, HOW): tests; it follows, and was "cloned" or not.
sub comes_back
{
	my ($id, $how, $offset) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$cluster->comes_back($id, $primary);
	is($cluster->log_of($id, $offset) =~ /is a copy of the leader's: (\w+)/ ? $1 : 'followed', $how, "node $id was $how");
	learn_roles();
	$cluster->wait_for_replay($primary);
	is($cluster->sql($id, 'SELECT max(n) FROM told'), $cluster->sql($primary, 'SELECT max(n) FROM told'), 'it has what was committed');
	return;
}

$cluster->start_all;
learn_roles();
is($cluster->sql($primary, 'CREATE TABLE told (n int)'), '', 'a table');

subtest 'each has one for each other, and receivers use theirs' => sub {
	wait_for_slots();
	is($cluster->sql($_, 'SHOW primary_slot_name'), "pg_leader_$_", "node $_ receives with its own") foreach $one, $other;
	is($cluster->sql($primary, q(SELECT count(*) FROM pg_leader_slots WHERE ready AND node_id IS NOT NULL AND NOT failover AND NOT synced)), '2', 'they are ready');
	unlike($cluster->log_of($_), qr/max_slot_wal_keep_size is -1/, "node $_ has a limit") foreach $cluster->ids;
};

subtest 'standbys move those of the others, and hold no WAL for members that have it' => sub {
	write_wal(20);
	foreach my $id ($one, $other)
	{
		$cluster->wait_until("node $id holds little for the leader and for the other standby",
			sub { !grep { my $kept = kept($id, $_); $kept < 0 || $kept > 2e6 } $cluster->others($id) });
	}
};

subtest 'a standby that was away while 200 MB went by follows, after a failover, too' => sub {
	my $old = $primary;
	my $away = $one;
	my $offset;

	$cluster->stop($away);
	write_wal(200);
	cmp_ok(kept($_, $away), '>', 200e6, "node $_ has kept the WAL that it lacks") foreach $primary, $other;

	# its vote is needed, and its supervisor has it back sooner than an election may take
	$cluster->set($old, candidate => 'off');
	$cluster->kill_server($old);
	$cluster->wait_until('another one leads', sub { ($cluster->open_primary // $old) != $old });
	$primary = $cluster->open_primary;
	$cluster->set_now($old, candidate => 'on');
	$offset = $cluster->log_size($away);
	$cluster->start($away);
	comes_back($away, 'followed', $offset);
	wait_for_slots();
};

subtest 'rows that a standby holds are held by whoever leads only' => sub {
	my $old = $primary;

	$cluster->wait_until('the primary holds some', sub { ($cluster->sql($old, 'SELECT count(*) FROM pg_replication_slots WHERE xmin IS NOT NULL') // 0) == 2 });
	$cluster->hand_over($one);
	learn_roles();
	$cluster->wait_until('as a standby it holds none', sub { ($cluster->sql($old, 'SELECT count(*) FROM pg_replication_slots WHERE xmin IS NULL AND catalog_xmin IS NULL') // 0) == 2 });
	wait_for_slots();
};

subtest 'beyond max_slot_wal_keep_size it is cloned, and has a new slot' => sub {
	my $away = $other;
	my $offset;

	foreach my $id ($cluster->ids)
	{
		$cluster->server($id)->append_conf('postgresql.conf', 'max_slot_wal_keep_size = 40MB');
		$cluster->signal($id, 'HUP');
	}
	$cluster->stop($away);

	# so that its walsender finds it when it comes back
	kill 'STOP', $cluster->role_worker($primary);
	write_wal(20) foreach 1 .. 3; # the other one must not lag behind so far
	like(slots($primary), qr/pg_leader_$away lost/, 'complaint 20: it is lost, and holds no WAL any more');
	$offset = $cluster->log_size($away);
	$cluster->start($away);
	$cluster->wait_for_log($primary, qr/the replication slot "pg_leader_$away" was dropped\n.*the replication slot "pg_leader_$away" was made/, 0);
	kill 'CONT', $cluster->role_worker($primary);
	comes_back($away, 'cloned', $offset);
	wait_for_slots();
};

subtest 'what is not of a member is dropped, what others have made is left alone' => sub {
	is($cluster->sql($one, "SELECT count(pg_create_physical_replication_slot(name, true)) FROM unnest('{of_somebody,pg_leader_07,pg_leader_7,pg_leader_$one}'::text[]) name"), '4', 'four more, one with its own name');
	$cluster->wait_until('two stay', sub { ($cluster->sql($one, q(SELECT string_agg(slot_name, ' ' ORDER BY slot_name) FROM pg_replication_slots WHERE slot_name !~ '^pg_leader_[0-2]$')) // '') eq 'of_somebody pg_leader_07' });
	$cluster->wait_until('and not its own', sub { $cluster->sql($one, "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'pg_leader_$one'") eq '0' });
	drop_slots($one, 'of_somebody|pg_leader_07');
};

subtest 'a slot of a member is for its receiver alone' => sub {
	my $directory = PostgreSQL::Test::Utils::tempdir('wal');

	command_checks_all([ 'pg_receivewal', '--no-loop', '-D', $directory, '-S', "pg_leader_$other", '-d', $cluster->server($one)->connstr ],
		1, [qr/^/], [qr/^/], 'somebody who uses that of another standby is ended');
	like($cluster->log_of($one), qr/a walsender is ended: it uses the replication slot "pg_leader_$other", which is for a member/, 'and that is said');
	wait_for_slots();
};

subtest 'without a free slot a member is served without' => sub {
	my $away = $other;
	my $offset;

	$cluster->stop($away);
	$cluster->wait_until('nobody uses its slot', sub { slots($primary) =~ /pg_leader_$away reserved/ });
	kill 'STOP', $cluster->role_worker($primary);
	is($cluster->sql($primary, "SELECT FROM pg_drop_replication_slot('pg_leader_$away'); SELECT count(pg_create_physical_replication_slot('of_somebody_' || g)) FROM generate_series(1, 5) g"), '5', 'others have all slots');
	kill 'CONT', $cluster->role_worker($primary);
	$cluster->wait_for_log($primary, qr/there is no replication slot for node $away: all 6 are in use.*\n.*HINT:  Raise max_replication_slots/, 0);
	$offset = $cluster->log_size($away);
	$cluster->start($away);
	comes_back($away, 'followed', $offset);
	like($cluster->log_of($away, $offset), qr/goes on without the replication slot "pg_leader_$away": .*does not exist/, 'without one');
	drop_slots($primary, 'of_somebody');
	$cluster->wait_until('it gets its slot', sub { kept($primary, $away) >= 0 });
	write_wal(10);
	$cluster->wait_until('which is moved with what it has flushed', sub { my $kept = kept($primary, $away); $kept >= 0 && $kept < 2e6 });
	kill 'TERM', $cluster->receiver($away);
	wait_for_slots();
};

subtest 'what cannot be done is said, and tried again' => sub {
	my $directory = $cluster->server($one)->data_dir . '/pg_replslot';
	my $worker = $cluster->role_worker($one);

	kill 'STOP', $worker;
	is($cluster->sql($one, q(SELECT count(pg_create_physical_replication_slot('pg_leader_7', true)))), '1', 'a slot that is to go');
	chmod 0500, $directory or die "$directory: $!";
	kill 'CONT', $worker;
	$cluster->wait_for_log($one, qr/WARNING:  pg_leader: the replication slot "pg_leader_7" could not be made or dropped: could not rename file/, 0);
	chmod 0700, $directory or die "$directory: $!";
	wait_for_slots();
	is($cluster->role_worker($one), $worker, 'by the same process');

	$cluster->server($one)->append_conf('postgresql.conf', 'max_slot_wal_keep_size = -1');
	$cluster->signal($one, 'HUP');
	$cluster->wait_for_log($one, qr/WARNING:  pg_leader: max_slot_wal_keep_size is -1: .*\n.*HINT:  Set/, 0);
};

subtest 'slots that are not whole after a crash, or gone' => sub {
	my $old = $primary;

	drop_slots($one, '.');
	is($cluster->sql($one, "SELECT FROM pg_create_physical_replication_slot('pg_leader_$other')"), '', 'and has one that holds nothing');
	wait_for_slots();
	$cluster->signal($old, 'STOP'); # else it may be back, and elected, before anybody else is
	$cluster->kill_server($old);
	$cluster->wait_until('another one leads', sub { ($cluster->open_primary // $old) != $old });
	$cluster->signal($old, 'CONT');
	learn_roles();
	wait_for_slots();
};

$cluster->check_timelines;
$cluster->check_history;
$cluster->stop_all;
done_testing();
