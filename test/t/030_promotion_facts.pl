# test/t/030_promotion_facts.pl
#	  What PostgreSQL does when a standby is promoted: which timeline it chooses,
#	  what history files do to standbys, how the receiver of WAL is stopped, and what
#	  the positions mean that a standby shows.
#
# The simulator has a model of this; each subtest is a row of the model, replayed
# on real servers, without pg_leader.  If one fails, PostgreSQL has changed or the
# model is wrong.  "Burnt" is a timeline that nobody ever uses: there is a history file
# of it, with a comment and no line.  test/modules/pg_leader_facts looks
# into the startup process and the receiver.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgFacts;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use constant BURNT => "# not used by anybody\n";

my $base = PgFacts->first_image(q(
shared_preload_libraries = 'pg_leader_facts'
), q{CREATE FUNCTION receiver(OUT state text, OUT pid int, OUT start pg_lsn, OUT start_timeline int, OUT flushed pg_lsn, OUT timeline int)
	AS 'pg_leader_facts', 'pg_leader_facts_receiver' LANGUAGE C;
INSERT INTO told VALUES ('at first');});
my ($primary, $standby, $other) = map { PgFacts->new($_) } qw(primary standby other);

my %kept;

# shared(SERVER, COLUMNS): what its receiver has in shared memory.
sub shared
{
	my ($server, $columns) = @_;

	return $server->ask("SELECT concat_ws(' ', $columns) FROM receiver()");
}

# segment_of(POSITION): where its segment begins.
sub segment_of
{
	my $at = PgFacts::position($_[0]);

	return sprintf '%X/%X', $at >> 32, ($at & 0xFFFFFFFF) & ~(1024 * 1024 - 1);
}

# A primary with a standby; the standby as it was then, stopped, and after more WAL.
$primary->place($base);
$primary->start;
$standby->place($base, $primary);
$standby->start;
$primary->tell('before');
$primary->ask('SELECT pg_switch_wal()');
$primary->tell('in a segment of its own');
$standby->caught_up($primary);
$standby->stop('fast');
$kept{standby} = $standby->image;

# ---- 1.3: what a history file does to a standby that is not promoted ----

# with_history(CONTENTS, TIMELINE): the standby runs; this is now its newest history file, that of
# timeline 2 if not said otherwise, and the receiver breaks off.
sub with_history
{
	my ($contents, $newest) = @_;

	$newest //= 2;
	$standby->place($kept{standby}, $primary);
	$standby->start;
	$standby->until('it streams', sub { $standby->receiver =~ / streaming / });
	$standby->put(PgFacts::history_name($newest), $contents);
	$standby->mark;
	kill 'TERM', $standby->ask('SELECT pid FROM pg_stat_wal_receiver');
	return;
}

foreach my $case ([ 'with a comment only', BURNT ], [ 'that is empty', '' ])
{
	my ($what, $contents) = @$case;

	subtest "1.3: a newest history file $what: a running standby goes on, one that starts does not come up" => sub {
		with_history($contents);
		$standby->says(qr/new timeline 2 is not a child of database system timeline 1/);
		$standby->streams_from($primary);
		$standby->stop('fast');
		$standby->begin;
		$standby->says(qr/unexpected timeline ID 1 in (?:log|WAL) segment/, 4);
		is($standby->times(qr/ready to accept read-only connections/), 0, 'it does not come up');
		is($standby->try('SELECT 1'), undef, 'it answers no query');
		is($standby->times(qr/FATAL:  (?!the database system is|terminating walreceiver)/), 0, 'and does not end');
		$standby->stop('immediate');
	};
}

subtest '1.3: a newest history file that forks off where the standby is: it is stuck, running or started' => sub {
	my $end = $primary->flushed;

	with_history("1\t$end\tburnt\n");
	$standby->says(qr/new target timeline is 2/);
	$standby->says(qr/highest timeline 1 of the primary is behind recovery timeline 2/, 4);
	$primary->tell('not for a stuck standby');
	ok(!$standby->knows('not for a stuck standby'), 'it does not get what the primary writes');
	$standby->stop('fast');
	$standby->start;
	$standby->says(qr/highest timeline 1 of the primary is behind recovery timeline 2/, 4);
	ok(!$standby->knows('not for a stuck standby'), 'nor after a restart');
};

subtest '1.3: a newest history file that forked off long ago: a running standby goes on, one that starts ends' => sub {
	with_history("1\t0/1000\tburnt\n");
	$standby->says(qr/new timeline 2 forked off current database system timeline 1 before current recovery point/);
	$standby->streams_from($primary);
	$standby->stop('fast');
	$standby->begin;
	$standby->ended;
	$standby->says(qr/FATAL:  requested timeline 2 is not a child of this server's history/);
};

subtest '1.3: a newest history file that cannot be read: the standby dies, running or started' => sub {
	with_history("garbage\n");
	$standby->ended;
	$standby->says(qr/FATAL:  syntax error in history file: garbage/);
	$standby->begin;
	$standby->ended;
	$standby->says(qr/FATAL:  syntax error in history file: garbage/);
};

subtest '1.3: a history file behind a gap is not seen' => sub {
	with_history("garbage\n", 3);
	$standby->streams_from($primary);
	$standby->stop('fast');
	$standby->start;
	$standby->streams_from($primary);
	is($standby->times(qr/FATAL|timeline 3/), 0, 'nothing is said of it');
};

# ---- 1.1: the timeline that a promotion chooses ----

# promoted_with(TIMELINE...): the timeline of a standby that has burnt these.
sub promoted_with
{
	my @burnt = @_;

	$standby->place($kept{standby}, '');
	$standby->start;
	$standby->put(PgFacts::history_name($_), BURNT) foreach @burnt;
	return $standby->promoted;
}

subtest '1.1: a promotion takes the timeline after the newest that it knows of, asking one after the other' => sub {
	is(promoted_with(), 2, 'none is known: 2');
	like($standby->get(PgFacts::history_name(2)), qr/^1\t/m, 'its history file says that it comes from timeline 1');
	is(promoted_with(2, 3, 4, 5), 6, '2 to 5 are known: 6');
	is($standby->get(PgFacts::history_name(6)) =~ s/\t.*//rs, '1', 'which comes from timeline 1 all the same');
	is(promoted_with(3, 4), 2, '3 and 4 are known, and 2 is not: 2, for nobody asks beyond a gap');
};

subtest '1.1: a promotion asks the archive as well' => sub {
	my $archive = PostgreSQL::Test::Utils::tempdir('archive');

	$standby->place($kept{standby}, '');
	$standby->append_conf('postgresql.conf', "restore_command = 'cp $archive/%f %p 2>/dev/null'");
	$standby->start;
	# It has asked at its start as well, and would not have come up.
	append_to_file("$archive/0000000$_.history", BURNT) foreach 2, 3;
	is($standby->promoted, 4, '2 and 3 are in the archive: 4');
};

# ---- what the receiver says ----

subtest 'a library can hold back what the receiver says: WAL comes in, is flushed and replayed, and is not acknowledged' => sub {
	$standby->place($kept{standby}, $primary);
	$standby->start;
	$standby->streams_from($primary);
	$primary->waits_for('*');
	$primary->until('it waits for the standby', sub { $primary->ask('SELECT sync_state FROM pg_stat_replication') =~ /sync|quorum/ });
	$primary->tell('acknowledged');
	$standby->put('facts.silent', '');
	my $before = $primary->ask('SELECT flush_lsn FROM pg_stat_replication');
	my ($run) = $primary->waiting_commit('held back');
	$standby->until('the standby has it', sub { $standby->knows('held back') });
	cmp_ok(PgFacts::position($standby->received), '>', PgFacts::position($before), 'flushed there, beyond what it has said');
	is($primary->ask('SELECT flush_lsn FROM pg_stat_replication'), $before, 'the primary has not heard of it');
	ok(!$primary->knows('held back'), 'and shows the row to nobody');
	cmp_ok($standby->times(qr/facts: a reply is held back/), '>', 0, 'there were replies');
	unlink $standby->path('facts.silent');
	$primary->ask('CHECKPOINT'); # some WAL, and so a reply
	$run->finish;
	ok($primary->knows('held back'), 'let go, the next reply ends the wait');
	$primary->waits_for('');
	$standby->stop('fast');
};

# ---- 1.2: rm_cleanup ----

subtest '1.2: rm_cleanup is called after the last record and before the timeline is chosen: what it burns is left out' => sub {
	$standby->place($kept{standby}, $primary);
	$standby->start;
	$other->place($kept{standby}, $primary);
	$other->start;
	$standby->streams_from($primary);
	$other->caught_up($primary);
	my $end = $primary->flushed;
	is($standby->times(qr/facts: rm_startup/), 1, 'rm_startup was called, once');
	$primary->kill_all;
	$kept{primary} = $primary->image;
	$standby->put('facts.claim', '5');
	is($standby->histories, '', 'there is no history file before');
	is($standby->promoted, 5, 'the timeline is the one that was claimed');
	is($standby->histories, '2 3 4 5', 'with a file for each below it');
	like($standby->log, qr/facts: rm_cleanup after \Q$end\E on timeline 1, target 1, archive recovery 1\n.*facts: rm_cleanup made 3 history files\n.*selected new timeline ID: 5\n/s, 'in this order, at the end of replay');
	like($standby->get(PgFacts::history_name(5)), qr/^1\t\Q$end\E\t/m, 'which is where the new timeline forks off');
};

# ---- 1.4: standbys and burnt timelines ----

subtest '1.4: a running standby that is re-pointed goes past burnt timelines' => sub {
	$other->mark;
	$other->follow($standby);
	$other->streams_from($standby);
	$other->says(qr/fetching timeline history file for timeline $_ from primary server/) foreach 2 .. 5;
	$other->says(qr/new target timeline is 5/);
	is($other->histories, '2 3 4 5', 'it has all the files');
};

subtest '1.4: and starts with them' => sub {
	$other->stop('fast');
	$other->start;
	$other->streams_from($standby);
	$other->kill_all;
	$other->start;
	$other->streams_from($standby);
};

subtest '1.4: the old primary, killed, follows past burnt timelines' => sub {
	$primary->place($kept{primary}, $standby);
	$primary->start;
	$primary->streams_from($standby);
	is($primary->histories, '2 3 4 5', 'it has all the files');
	$primary->stop('immediate');
};

subtest '1.4: a base backup has the last history file alone, and follows' => sub {
	my $backup = PostgreSQL::Test::Utils::tempdir('backup');

	system_or_bail('pg_basebackup', '--no-sync', '-c', 'fast', '-D', $backup, '-d', $standby->connstr('postgres'));
	$other->place($backup, $standby);
	is($other->histories, '5', 'the files that it has');
	$other->start;
	$other->streams_from($standby);
};

# ---- 1.2, the edges ----

subtest '1.2: where nothing is replayed, rm_startup and rm_cleanup are not called: the claim is not obeyed' => sub {
	$primary->place($base, '');
	$primary->put('facts.claim', '4');
	$primary->start;
	is($primary->promoted, 2, 'a cleanly stopped primary, as a standby of nobody, promoted: 2 and not 4');
	is($primary->times(qr/redo is not required/), 1, 'redo was not required');
	is($primary->times(qr/facts: rm_/), 0, 'neither was called');
};

subtest '1.2: rm_cleanup is called at the end of the recovery of a primary that crashed' => sub {
	$primary->tell('something to replay');
	$primary->stop('immediate');
	$primary->start;
	like($primary->log, qr/facts: rm_startup\n.*facts: rm_cleanup after \S+ on timeline 2, target 2, archive recovery 0\n/s, 'no archive recovery');
};

subtest '1.2: rm_cleanup that refuses: the server ends, and is a standby still' => sub {
	$other->stop('immediate');
	$other->place($kept{standby}, '');
	$other->start;
	$other->put('facts.refuse', '');
	my $end = $other->replayed;
	system_or_bail('pg_ctl', '-W', '-D', $other->data_dir, 'promote');
	$other->ended;
	like($other->log, qr/FATAL:  facts: rm_cleanup refuses\n.*startup process \(PID \d+\) exited with exit code 1\n.*database system is shut down/s, 'the startup process ends, and the server with it');
	is($other->times(qr/selected new timeline ID/), 0, 'no timeline was chosen');
	is($other->histories, '', 'there is no history file');
	ok($other->has('standby.signal'), 'standby.signal is there');
	is($other->control_state, 'in archive recovery', 'pg_control says: "in archive recovery"');
	is($other->control_timeline, 1, 'on timeline 1');
	unlink $other->path('facts.refuse');
	$other->start;
	is($other->ask('SELECT pg_is_in_recovery()'), 't', 'it starts as a standby');
	is($other->replayed, $end, 'with the same WAL');
	is($other->promoted, 2, 'and can be promoted then');
};

subtest '1.2: a hook refuses pg_promote() before anything is done, however it is called' => sub {
	$other->stop('immediate');
	$other->place($kept{standby}, '');
	$other->start;
	$other->put('facts.nobody', '');
	foreach my $sql ('SELECT pg_promote()', 'DO $$ BEGIN PERFORM pg_promote(false); END $$', 'PREPARE p AS SELECT pg_promote(); EXECUTE p',
		'SELECT word FROM told WHERE pg_promote(false, 1)', 'EXPLAIN ANALYZE SELECT pg_promote()')
	{
		my ($code, $out, $err) = $other->psql('postgres', $sql);
		like($err, qr/ERROR:  facts: nobody may promote/, $sql);
	}
	ok(!$other->has('promote'), 'there is no signal file');
	is($other->times(qr/received promote request/), 0, 'nobody was asked to promote');
	unlink $other->path('facts.nobody');
	is($other->promoted, 2, 'allowed again, it promotes');
};

subtest '1.3: burnt files that are the newest are swept before the startup process reads them, at a restart in place as well' => sub {
	$other->stop('immediate');
	$other->place($kept{standby}, '');
	$other->append_conf('postgresql.conf', 'restart_after_crash = on');
	$other->put('facts.sweep', '');
	$other->put(PgFacts::history_name($_), "# not used by anybody\n") foreach 2 .. 4;
	$other->mark;
	$other->start;
	is($other->ask('SELECT pg_is_in_recovery()'), 't', 'it starts');
	is($other->histories, '', 'the files are gone');
	$other->put(PgFacts::history_name($_), '') foreach 2, 3;
	$other->crashes;
	like($other->log, qr/facts: swept timeline 3\n.*facts: swept timeline 2\n.*database system was interrupted/s, 'swept before the startup process begins');
	is($other->histories, '', 'gone again');
	is($other->promoted, 2, 'the next timeline is the first');
};

# ---- 1.5: one timeline of two ----

subtest '1.5: two timelines of one number: a standby that goes from one to the other acknowledges and does not replay' => sub {
	foreach my $server ($primary, $other)
	{
		$server->place($kept{standby}, '');
		$server->start;
		is($server->promoted, 2, $server->name . ' is on timeline 2');
	}
	$standby->place($kept{standby}, $primary);
	$standby->start;
	$primary->tell("first $_") foreach 1 .. 5;
	$standby->streams_from($primary);
	$standby->caught_up($primary);
	my $stuck = $standby->replayed;

	$other->tell('second ' . 'x' x $_) foreach 1 .. 30;
	cmp_ok(PgFacts::position($other->flushed), '>', PgFacts::position($stuck), 'the second one has more WAL');
	$standby->mark;
	$standby->follow($other);
	$standby->says(qr/started streaming WAL from primary at \S+ on timeline 2/);
	$standby->says(qr/invalid record length at \S+: (?:wanted|expected at least) 24, got [1-9]|incorrect prev-link|invalid resource manager ID|incorrect resource manager data checksum/, 2);
	my $end = $other->flushed;
	$standby->until('the receiver has flushed all that the second one has', sub { shared($standby, 'flushed') eq $end });
	pass('it has flushed, and so acknowledged, what the second one has written');
	is($standby->replayed, $stuck, 'and has replayed nothing of it');
	ok($standby->knows('first 5') && !$standby->knows('second x'), 'it shows the rows of the first');
	$other->stop('fast');
	$other->rewinds($primary, 0, qr/source and target cluster are on the same timeline.*no rewind required/s, 'of one of them', '--no-ensure-shutdown');
};

# ---- 3: stopping the receiver ----

# The facts of the receiver's end need a streaming standby.
sub streaming
{
	$primary->place($kept{primary});
	$primary->start;
	$standby->place($kept{standby}, $primary);
	$standby->append_conf('postgresql.conf', "wal_retrieve_retry_interval = '1s'");
	$standby->start;
	$standby->streams_from($primary);
	return;
}

subtest '3: an empty primary_conninfo and a reload stop the receiver for good' => sub {
	streaming();
	$standby->follow('');
	$standby->until('it has stopped', sub { shared($standby, 'state, pid') eq 'stopped 0' });
	pass('it stops');
	my ($flushed, $timeline) = split ' ', shared($standby, 'flushed, timeline');
	is("$flushed $timeline", $primary->flushed . ' 1', 'position and timeline keep their values');
	$standby->follow($primary);
	$standby->streams_from($primary);
};

subtest '3: a receiver that is ended by SIGTERM comes back' => sub {
	my ($pid) = split ' ', $standby->receiver;

	kill 'TERM', $pid;
	$standby->until('it is gone', sub { shared($standby, 'pid') ne $pid });
	$standby->until('another one streams', sub { $standby->receiver =~ / streaming / });
	isnt(shared($standby, 'pid'), $pid, 'there is another one');
	$standby->streams_from($primary);
};

subtest '3: while replay is paused, a reload does not stop the receiver; SIGTERM does, and it does not come back' => sub {
	my ($pid) = split ' ', $standby->receiver;

	$standby->ask('SELECT pg_wal_replay_pause()');
	$standby->until('replay is paused', sub { $standby->ask('SELECT pg_get_wal_replay_pause_state()') eq 'paused' });
	$standby->follow('');
	$standby->until('sessions see the setting', sub { $standby->ask('SHOW primary_conninfo') eq '' });
	# The tick of a paused startup process is 1 s.
	for my $second (1 .. 3)
	{
		my $until = time + 1;

		$standby->until('a second', sub { time > $until });
		$primary->tell("while paused $second");
		my $end = $primary->flushed;
		$standby->until('it has flushed that', sub { shared($standby, 'flushed') eq $end });
	}
	is(shared($standby, 'state, pid'), "streaming $pid", 'after 3 s it is there, receives, flushes');
	ok(!$standby->knows('while paused 1'), 'which is not replayed');

	$standby->follow($primary);
	kill 'TERM', $pid;
	$standby->until('it has stopped', sub { shared($standby, 'state, pid') eq 'stopped 0' });
	my $until = time + 3;
	my $came_back = 0;
	$standby->until('three seconds', sub { $came_back ||= shared($standby, 'pid') != 0; time > $until });
	ok(!$came_back, 'SIGTERM: gone, and for 3 s not back');
	$standby->ask('SELECT pg_wal_replay_resume()');
	$standby->streams_from($primary);
};

# ---- 4: positions ----

subtest '4: on a new timeline the position is the begin of the segment at first, and has the new label' => sub {
	streaming();
	$other->place($kept{standby}, $primary);
	$other->start;
	$primary->tell('to both');
	$_->caught_up($primary) foreach $standby, $other;
	my $fork = $primary->flushed;

	$primary->kill_all;
	isnt(segment_of($fork), $fork, 'the fork is inside a segment');
	is(shared($standby, 'flushed, timeline'), "$fork 1", 'before: the end, on timeline 1');
	is($other->promoted, 2, 'another standby is promoted');
	# A primary that accepts nobody any more: the standby learns of the timeline, and no byte of it.
	$standby->put(PgFacts::history_name(2), $other->get(PgFacts::history_name(2)));
	$standby->says(qr/new target timeline is 2/);
	$standby->until('its receiver has tried timeline 2', sub { shared($standby, 'start_timeline') eq '2' });
	is(shared($standby, 'flushed, timeline'), segment_of($fork) . ' 2', 'the begin of the segment, on timeline 2, of which it has nothing');
	is($standby->replayed, $fork, 'while it has more');
	$standby->follow($other);
	$standby->streams_from($other);
	is(shared($standby, 'flushed, timeline'), $other->flushed . ' 2', 'when it streams, the end');
};

subtest '4: after a restart, when streaming was asked for in vain, the position is the begin of the segment' => sub {
	my $end = $standby->replayed;

	$other->stop('immediate');
	$standby->stop('fast');
	$standby->start;
	$standby->until('its receiver has tried', sub { shared($standby, 'start_timeline') eq '2' });
	is(shared($standby, 'flushed'), segment_of($end), 'the begin of the segment');
	is($standby->replayed, $end, 'while it has more');
};

subtest '4: after a restart with delayed replay the position is nothing, and streaming is not asked for' => sub {
	streaming();
	$standby->append_conf('postgresql.conf', "recovery_min_apply_delay = '1h'");
	$standby->reload;
	$standby->until('sessions see the setting', sub { $standby->ask('SHOW recovery_min_apply_delay') eq '1h' });
	my $replayed = $standby->replayed;
	$primary->waits_for('ANY 1 (standby)');
	$primary->until('the standby is a synchronous one', sub { $primary->ask('SELECT sync_state FROM pg_stat_replication') eq 'quorum' });
	$primary->tell('acknowledged');
	my $acknowledged = $primary->flushed;
	$standby->until('it has flushed the commit', sub { PgFacts::position(shared($standby, 'flushed')) >= PgFacts::position($acknowledged) });
	pass('a commit was acknowledged');
	$standby->stop('fast');
	$standby->start;
	$standby->until('it has replayed as far as the delay lets it', sub { PgFacts::position($standby->replayed) >= PgFacts::position($replayed) });
	is(shared($standby, 'state, pid, flushed, timeline'), 'stopped 0 0/0 0', 'no receiver, flushed 0/0');
	my $until = time + 3;
	my $asked = 0;
	$standby->until('three retries', sub { $asked ||= shared($standby, 'start') ne '0/0'; time > $until });
	ok(!$asked, 'for 3 s it does not ask for streaming');
	is($primary->ask('SELECT count(*) FROM pg_stat_replication'), 0, 'the primary sees no standby');
	cmp_ok(PgFacts::position($standby->replayed), '<', PgFacts::position($acknowledged), 'and what was acknowledged is not replayed');
	$primary->waits_for('');
	$standby->append_conf('postgresql.conf', 'recovery_min_apply_delay = 0');
	$standby->reload;
	$standby->until('the commit appears', sub { $standby->knows('acknowledged') });
	$standby->streams_from($primary);
};

done_testing();
