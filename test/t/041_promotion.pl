# test/t/041_promotion.pl
#	  Who may promote a server in managed mode, to which timeline, and what is cleared
#	  away before it starts.
#
# There is no supervisor here, and no room for the role worker: PG_LEADER_CONTROL is set by
# hand, and the worker and the sessions of test/modules/pg_leader_promotion stand in for it.
# Each standby is a cluster of one member, so that it soon has a lease.  Nobody opens the fence:
# what is written to a managed server is WAL without a commit.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgFacts;
use PgLeaderCluster;
use PostgreSQL::Test::Utils;
use Test::More;

use constant BURNT => "# not used by anybody\n";

# A file that the server has, whichever; nobody reads there.
$ENV{PG_LEADER_CONTROL} = '0';

my $base = PgFacts->first_image(q(
restart_after_crash = on
shared_preload_libraries = 'pg_leader_promotion, pg_leader'
max_worker_processes = 4
), q{CREATE EXTENSION pg_leader;
CREATE FUNCTION test_end() RETURNS text AS 'pg_leader_promotion', 'promotion_test_end' LANGUAGE C STRICT;
CREATE FUNCTION test_bytes(int, pg_lsn, pg_lsn) RETURNS text AS 'pg_leader_promotion', 'promotion_test_bytes' LANGUAGE C STRICT;
CREATE FUNCTION test_histories() RETURNS text AS 'pg_leader_promotion', 'promotion_test_histories' LANGUAGE C STRICT;
CREATE FUNCTION test_past() RETURNS text AS 'pg_leader_promotion', 'promotion_test_past' LANGUAGE C STRICT;
CREATE FUNCTION test_ask(int, int8, pg_lsn) RETURNS text AS 'pg_leader_promotion', 'promotion_test_ask' LANGUAGE C STRICT;
CREATE FUNCTION test_begin(int, int8) RETURNS void AS 'pg_leader_promotion', 'promotion_test_begin' LANGUAGE C STRICT;
CREATE FUNCTION test_archive() RETURNS bool AS 'pg_leader_promotion', 'promotion_test_archive' LANGUAGE C STRICT;
INSERT INTO told VALUES ('at first');});
my ($primary, $standby, $other) = map { PgFacts->new($_) } qw(primary standby other);
my %kept;

# member(SERVER): a cluster of its own, managed, from the next start on.
sub member
{
	my $server = shift;
	my $state = PostgreSQL::Test::Utils::tempdir('state');
	my $list = '0=127.0.0.1:' . PgLeaderCluster::free_udp_port();

	$server->append_conf('postgresql.conf', qq(
pg_leader.manage = on
pg_leader.fence_exempt_roles = '@{[ scalar getpwuid $< ]}'
pg_leader.node_id = 0
pg_leader.cluster = '$list'
pg_leader.state_directory = '$state'
));
	system_or_bail('pg_leader_state', '--new', "$state/node-0.state", '--node-id', 0, '--cluster', $list);
	return;
}

# standby_of(UPSTREAM, IMAGE): the standby runs, managed.
sub standby_of
{
	my ($upstream, $image) = @_;

	$standby->place($image // $kept{standby}, $upstream);
	member($standby);
	$standby->start;
	$standby->streams_from($upstream) if ref $upstream;
	return;
}

# does_not_start(NAME): a test.  Not by pg_ctl, which from 17 on takes a standby that ends
# right after its start, having been shut down before, for one with a recovery target.
sub does_not_start
{
	my $name = shift;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$standby->mark;
	isnt(system('timeout 60 postgres -D ' . $standby->data_dir . ' >>' . $standby->logfile . ' 2>&1'), 0, $name);
	return;
}

# emit(WORD): the standby, now a primary, writes WAL.
sub emit { my $word = shift; $standby->ask("SELECT pg_logical_emit_message(false, 'test', '$word')"); return; }

# other_follows(): a test that passes when the other one has what the standby writes now.
sub other_follows
{
	my $end;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	emit('to the other one');
	$end = PgFacts::position($standby->written);
	$other->caught_up($standby);
	cmp_ok(PgFacts::position($other->replayed), '>=', $end, 'the other one streams from it');
	return;
}

# leads(SERVER): the term of its lease, once it has one.
sub leads
{
	my $server = shift;

	return $server->until('it has a lease', sub { $server->ask('SELECT term FROM pg_leader_lease() WHERE remaining IS NOT NULL') });
}

# is_standby(): tests that pass when it starts again as the standby that it was.
sub is_standby
{
	my $upstream = shift;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok($standby->has('standby.signal'), 'standby.signal is there');
	ok(!$standby->has('promote'), 'and no "promote" file');
	$standby->start;
	is($standby->ask('SELECT pg_is_in_recovery()'), 't', 'it starts as a standby');
	$standby->streams_from($upstream);
	return;
}

# becomes(TIMELINE): a test that passes when it is primary on that one.
sub becomes
{
	my $timeline = shift;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$standby->until('it leaves recovery', sub { ($standby->try('SELECT pg_is_in_recovery()') // '') eq 'f' });
	is(hex substr($standby->ask('SELECT pg_walfile_name(pg_current_wal_lsn())'), 0, 8), $timeline, "it is primary on timeline $timeline");
	return;
}

$primary->place($base);
$primary->start;
$standby->place($base, $primary);
$standby->start;
$standby->streams_from($primary);
$standby->stop('fast');
$kept{standby} = $standby->image;

# ---- starts ----

subtest 'managed mode without a supervisor: the server does not start, and says why' => sub {
	$standby->place($kept{standby}, $primary);
	member($standby);
	{
		local %ENV = %ENV;
		delete $ENV{PG_LEADER_CONTROL};
		does_not_start('it does not start');
		$standby->says(qr/FATAL:  pg_leader\.manage is on, and this server was not started by pg_leader_supervisor\n[^\n]*HINT:  Start it with pg_leader_supervisor/);
		my ($out, $err) = run_command([ 'postgres', '-D', $standby->data_dir, '-C', 'shared_memory_size' ]);
		like($out, qr/^\d+$/, 'its settings can be asked for');
		$standby->append_conf('postgresql.conf', 'pg_leader.manage = off');
		ok($standby->start, 'with pg_leader.manage = off it starts');
		$standby->stop;
	}
};

subtest 'another library has the same resource manager: no start, whichever comes first' => sub {
	$standby->place($kept{standby}, $primary);
	member($standby);
	$standby->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_leader_facts, pg_leader'\npg_leader_facts.id = 151");
	does_not_start('pg_leader comes last: it does not start');
	$standby->says(qr/FATAL:  pg_leader: the resource manager id 151 is taken by "pg_leader_facts"\n[^\n]*HINT:  Remove that library/);
	$standby->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_leader, pg_leader_facts'");
	does_not_start('pg_leader comes first: it does not start');
	$standby->says(qr/FATAL:  failed to register custom resource manager "pg_leader_facts" with ID 151/);
	$standby->append_conf('postgresql.conf', 'pg_leader_facts.id = 150');
	ok($standby->start, 'with another id it starts');
	$standby->stop;
};

# ---- promotions by hand ----

subtest 'pg_promote() is refused, in a query and in a procedure, and nothing happens' => sub {
	standby_of($primary);
	foreach my $query ('SELECT pg_promote()', 'DO $$ BEGIN PERFORM pg_promote(false); END $$')
	{
		my ($code, undef, $error) = $standby->psql('postgres', "\\set VERBOSITY verbose\n$query");

		isnt($code, 0, "$query fails");
		like($error, qr/ERROR:  55000: pg_leader: this server is promoted by the election\nHINT:  [^\n]*pg_leader_transfer\(\)/, 'and says what to do');
	}
	$standby->streams_from($primary);
	is($standby->ask('SELECT test_past()'), 'wrote on 0, target 1', 'it has not written itself');
};

subtest 'pg_ctl promote with nobody authorised: the server ends, and comes back as a standby' => sub {
	system('pg_ctl', '-W', '-D', $standby->data_dir, 'promote');
	$standby->ended;
	$standby->says(qr/FATAL:  pg_leader: promotion refused: the election has not authorised it\n[^\n]*HINT:  The elected leader is promoted/);
	is($standby->histories, '', 'no timeline was made');
	is_standby($primary);
};

subtest 'a "promote" file that somebody has left' => sub {
	$standby->put('promote', '');
	kill 'USR1', $standby->get('postmaster.pid') =~ s/\n.*//rs;
	$standby->ended;
	$standby->says(qr/FATAL:  pg_leader: promotion refused: the election has not authorised it/);
	is_standby($primary);
	$standby->stop;
	$standby->put('promote', '');
	$standby->start;
	$standby->streams_from($primary);
	ok(!$standby->has('promote'), 'before a start: PostgreSQL removes it');
};

# ---- authorised ----

subtest 'what the role worker asks before it begins is what the startup process will ask' => sub {
	my $term = leads($standby);
	my $end = $standby->replayed;

	is($standby->ask("SELECT test_ask(5, $term, '$end')"), 'it goes on', 'in this term');
	is($standby->ask("SELECT test_ask(5, $term + 1, '$end')"), 'it was authorised in another term', 'of another term');
	is($standby->ask("SELECT test_ask(1, $term, '$end')"), 'there is a history file of the claimed timeline or a later one', 'of the timeline that it is on');
	is($standby->ask("SELECT test_ask(5000, $term, '$end')"), 'too many timeline ids would be passed over', 'far away');
	$standby->append_conf('postgresql.conf', 'pg_leader.candidate = off');
	$standby->reload;
	$standby->until('it has no lease', sub { $standby->ask('SELECT count(*) FROM pg_leader_lease() WHERE remaining IS NOT NULL') == 0 });
	is($standby->ask("SELECT test_ask(5, $term, '$end')"), 'there is no lease', 'without a lease');
	$standby->append_conf('postgresql.conf', 'pg_leader.candidate = on');
	$standby->reload;
};

subtest 'authorised in another term: the server ends, and comes back as a standby' => sub {
	my $term = leads($standby) + 1;

	$standby->try("SELECT test_begin(5, $term)");
	$standby->ended;
	$standby->says(qr/FATAL:  pg_leader: promotion refused: it was authorised in another term/);
	is_standby($primary);
};

subtest 'authorised: exactly the claim, and those below are burnt' => sub {
	my $term = leads($standby);

	$standby->mark;
	$standby->ask("SELECT test_begin(5, $term)");
	becomes(5);
	$standby->says(qr/LOG:  pg_leader: this server is promoted to timeline 5, as leader of term $term\n[^\n]*DETAIL:  3 timeline ids are passed over/);
	like($standby->ask('SELECT test_histories()'), qr{^2 burnt 0/0, 3 burnt 0/0, 4 burnt 0/0, 5 real [0-9A-F]+/[0-9A-F]+$}, 'the history files');
	ok(!$standby->has('promote'), 'no "promote" file is left');
	is($standby->ask('SELECT test_past()'), 'wrote on 0, target 5', 'before this start it has not written itself');
	$primary->stop('immediate');
	$other->place($kept{standby}, $standby);
	$other->start;
	other_follows();
	is($other->histories, '2 3 4 5', 'a standby has all of them');
	$other->stop;
};

# ---- what is in pg_wal ----

subtest 'the end of WAL and its bytes, with replay paused and across a fork' => sub {
	$other->start;
	other_follows();
	my $before = $other->replayed;
	$other->ask('SELECT pg_wal_replay_pause()');
	$other->until('replay is paused', sub { $other->ask('SELECT pg_get_wal_replay_pause_state()') eq 'paused' });
	emit("paused $_") foreach 1 .. 3;
	$standby->ask('SELECT pg_switch_wal()');
	emit('paused, in a segment of its own');
	my $end = $other->until('the end is what the primary has flushed', sub { my $at = $standby->flushed; $other->ask('SELECT test_end()') eq "5 $at" && $at });
	cmp_ok(PgFacts::position($other->replayed), '<', PgFacts::position($end), 'the end is what the primary has flushed, and not what is replayed');
	my ($fork) = $standby->get(PgFacts::history_name(5)) =~ /^1\t(\S+)/m;
	foreach my $range ("'$before', '$end'", "'$fork'::pg_lsn - 200, '$fork'::pg_lsn + 200")
	{
		my $bytes = $other->ask("SELECT md5(test_bytes(5, $range))");

		is($bytes, $standby->ask("SELECT md5(test_bytes(5, $range))"), "the bytes from $range are the same on both");
		isnt($bytes, '', 'and are there');
	}
	is($other->ask("SELECT test_bytes(5, '$end'::pg_lsn + 64 * 1024 * 1024, '$end'::pg_lsn + 64 * 1024 * 1024 + 8) IS NULL"), 't', 'bytes that are not there');
	$other->stop('immediate');
	$other->append_conf('postgresql.conf', "recovery_target_lsn = '$before'");
	$other->start;
	my ($timeline, $again) = split ' ', $other->ask('SELECT test_end()');
	is($timeline, 5, 'after a restart, with replay paused there, the timeline is the same');
	cmp_ok(PgFacts::position($again), '>=', PgFacts::position($end), 'and the end');
	cmp_ok(PgFacts::position($other->replayed), '<', PgFacts::position($end), 'which is not replayed');
	$other->stop('immediate');
	$other->append_conf('postgresql.conf', "restore_command = 'sleep 1; false'");
	$other->begin;
	$other->says(qr/LOG:  promotion test: WAL ends on timeline 5 at \Q$again\E, read before redo/);
	$other->stop('immediate');
	$other->append_conf('postgresql.conf', "restore_command = ''");
	unlink glob $other->path('pg_wal/00000*');
	$other->begin;

	# whichever timeline pg_control names, which hangs on what was flushed meanwhile
	$other->says(qr/LOG:  promotion test: there is no (history file of timeline 5 in pg_wal|WAL in pg_wal at [0-9A-F\/]+, where recovery has to begin)/);
	$other->stop('immediate');
};

subtest 'what pg_control says of a server that has written itself' => sub {
	$standby->restart;
	is($standby->ask('SELECT test_past()'), 'wrote on 5, target 5', 'stopped as a primary');
	$standby->crashes;
	is($standby->ask('SELECT test_past()'), 'wrote on 5, target 5', 'after a crash in place');
	$standby->stop;
	$kept{stopped} = $standby->image;
};

# ---- where nobody is asked ----

subtest 'where redo has not begun, the ids are burnt before the signal' => sub {
	$standby->put('standby.signal', '');
	$standby->append_conf('postgresql.conf', "primary_conninfo = ''");
	$standby->start;
	my $term = leads($standby);

	$standby->ask("SELECT test_begin(8, $term)");
	becomes(8);
	is($standby->times(qr/redo starts/), 0, 'redo has not begun');
	is($standby->histories, '2 3 4 5 6 7 8', 'the history files');
	$standby->stop('immediate');
};

# ---- before a start ----

subtest 'burnt files that are the newest are cleared away before a start' => sub {
	$primary->place($kept{stopped});
	$primary->append_conf('postgresql.conf', "pg_leader.manage = off\npg_leader.node_id = -1");
	$primary->start;
	$standby->place($kept{stopped}, $primary);
	$standby->put(PgFacts::history_name($_), BURNT) foreach 6, 7;
	$standby->start;
	$standby->says(qr/LOG:  pg_leader: removed the history file of timeline $_, which is the newest and was never used/) foreach 7, 6;
	is($standby->histories, '2 3 4 5', 'those below a real one stay');
	$standby->streams_from($primary);
	$standby->put(PgFacts::history_name(6), BURNT);
	$standby->crashes;
	is($standby->histories, '2 3 4 5', 'also after a crash in place');
	$standby->streams_from($primary);
	$standby->stop;
};

subtest 'and a timeline that begins before the checkpoint that recovery begins at, with its WAL' => sub {
	my $segment = 'pg_wal/000000060000000000000008';

	$standby->put(PgFacts::history_name(6), "5\t0/800000\tpassed by\n");
	$standby->put($segment, 'x' x 1024);
	$standby->start;
	$standby->says(qr/LOG:  pg_leader: removed the WAL of timeline 6/);
	$standby->says(qr/LOG:  pg_leader: removed the history file of timeline 6, which begins before the point that this server has reached/);
	is($standby->histories, '2 3 4 5', 'the history files');
	ok(!$standby->has($segment), 'its WAL is gone');
	$standby->streams_from($primary);
	$standby->stop;
};

# ---- the archive ----

subtest 'what the archive has of the ids is not burnt, and its claim is taken' => sub {
	my $archive = PostgreSQL::Test::Utils::tempdir('archive');

	standby_of($primary, $kept{stopped});
	$standby->append_conf('postgresql.conf', "restore_command = 'cp $archive/%f %p 2>/dev/null'");
	$standby->restart;
	$standby->streams_from($primary);
	append_to_file("$archive/00000009.history", "5\t0/1000000\tanother server's\n");
	my $term = leads($standby);
	$standby->try("SELECT test_begin(9, $term)");
	$standby->ended;
	$standby->says(qr/FATAL:  pg_leader: promotion refused: there is a history file of the claimed timeline or a later one/);
	unlink "$archive/00000009.history", $standby->path(PgFacts::history_name(9));

	append_to_file("$archive/00000007.history", "# of the archive\n");
	is_standby($primary);
	$term = leads($standby);
	$standby->ask("SELECT test_begin(9, $term)");
	becomes(9);
	is($standby->get(PgFacts::history_name(7)), "# of the archive\n", 'an id below it was taken from the archive');
	$standby->stop;
};

subtest 'burnt ids go into the archive from the highest down' => sub {
	my $archive = PostgreSQL::Test::Utils::tempdir('archive');

	standby_of($primary, $kept{stopped});
	$standby->append_conf('postgresql.conf', "archive_mode = on\narchive_command = 'test ! -e $archive/stop && cp %p $archive/%f && echo %f >>$archive/order'");
	$standby->restart;
	$standby->streams_from($primary);
	my $term = leads($standby);
	append_to_file("$archive/stop", '');
	$standby->ask("SELECT test_begin(9, $term)");
	becomes(9);
	is($standby->ask('SELECT test_archive()'), 't', 'there is something to do');
	is(join(' ', map { m{/([^/]+)$} } glob $standby->path('pg_wal/archive_status/*.history.ready')), '00000009.history.ready', 'the burnt ones wait for the one above');
	unlink "$archive/stop";
	$standby->until('all are archived', sub { $standby->ask('SELECT test_archive()') eq 'f' });
	is(join(' ', slurp_file("$archive/order") =~ /^0000000(\d)\.history/mg), '9 8 7 6', 'the order');
	$standby->stop;
};

$primary->stop;
done_testing();
