# test/t/031_rejoin_facts.pl
#	  What becomes of a PostgreSQL server that comes back to a primary which was
#	  promoted meanwhile: started as it is, and after pg_rewind.
#
# The simulator has a model of this; each subtest is a row of the model, replayed
# on real servers, without pg_leader.  If one fails, PostgreSQL has changed or the
# model is wrong.  F is where the new timeline forks off, L the end of the WAL
# that the server which comes back has.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgFacts;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $base = PgFacts->first_image('', q{INSERT INTO told VALUES ('at first')});
my ($old, $new, $third) = map { PgFacts->new($_) } qw(old new third);

my $forked = qr/new timeline 2 forked off current database system timeline 1 before current recovery point/;
my $not_needed = qr/no rewind required/;

# What the receiver has written does not fit behind what was replayed.
my $no_record = qr/invalid record length at|incorrect prev-link|invalid magic number|unexpected pageaddr|invalid resource manager ID|incorrect resource manager data checksum/;

# ---- F ----

# Data directories as they were at some moment.
my %kept;
my $fork;

# fork_off(STANDBY...): "old" is a primary with these standbys, all with the same WAL, far
# from the end of a segment; here "new" hears the last of it.
sub fork_off
{
	my @others = @_;

	$old->place($base);
	$old->start;
	foreach my $standby ($new, @others)
	{
		$standby->place($base, $old);
		$standby->start;
	}
	$old->tell('before');
	$old->ask('SELECT pg_switch_wal()');
	$old->ask('CHECKPOINT');
	$_->caught_up($old) foreach $new, @others;
	$fork = $old->written;
	$new->cut;
	return;
}

# promote_new(): to timeline 2, at F.
sub promote_new
{
	die '"new" is on another timeline' unless $new->promoted == 2;
	die '"new" has forked off elsewhere' unless $new->get(PgFacts::history_name(2)) =~ /^1\t\Q$fork\E\t/m;
	$new->tell('after');
	return;
}

# ---- a primary that was stopped cleanly ----

fork_off();

subtest 'pg_control of a primary that was stopped cleanly: its checkpoint is the end of its WAL' => sub {
	is($old->control_state, 'in production', 'while it runs: "in production"');
	is($old->minimum_recovery_end, '0/0', 'no minimum recovery point');
	$old->stop('fast');
	$kept{stopped} = $old->image;
	is($old->control_state, 'shut down', 'fast stop: "shut down"');
	is($old->minimum_recovery_end, '0/0', 'fast stop: no minimum recovery point');
	is($old->control->{'Latest checkpoint location'}, $fork, 'fast stop: the checkpoint is its last record');
	is(PgFacts::position($old->end_of_wal(1, $fork)) - PgFacts::position($fork), 0x78, 'which is 0x78 bytes long');
};

promote_new();

subtest 'S2: stopped cleanly, its last checkpoint was not received: never follows' => sub {
	$old->place($kept{stopped}, $new);
	is(PgFacts::position($old->end_of_wal(1, $fork)) - PgFacts::position($fork), 0x78, 'L = F + 0x78, no commit is lost');
	$old->start;
	$old->never_streams_from($new, $forked);
	like($old->words, qr/^before$/m, 'it answers queries all the same');
	is($old->ask('SELECT pg_is_in_recovery()'), 't', 'as a standby');
};

subtest 'S2: pg_rewind mends it' => sub {
	$old->place($kept{stopped});
	$old->rewinds($new, 0, qr/servers diverged at WAL location \Q$fork\E on timeline 1/, 'stopped cleanly', '--no-ensure-shutdown');
	$old->configure($new);
	is($old->control_state, 'in archive recovery', 'pg_control afterwards: "in archive recovery"');
	ok($old->has('backup_label'), 'with a backup_label');
	is($old->control_timeline, 2, 'on the timeline of the source');
	is($old->minimum_recovery_end, $new->written, 'the minimum recovery point is where the source inserts');
	$old->start;
	$old->streams_from($new);
};

# ---- when pg_rewind cannot, or must not ----

subtest 'K1: neither checksums nor wal_log_hints: pg_rewind refuses' => sub {
	$old->place($kept{stopped});
	system_or_bail('pg_checksums', '--disable', '--no-sync', '-D', $old->data_dir);
	$old->rewinds($new, 1, qr/target server needs to use either data checksums or "wal_log_hints = on"/, 'no checksums', '--no-ensure-shutdown');
	is($old->control_state, 'shut down', 'nothing was changed');
};

subtest 'double run: a second pg_rewind before the first start spoils what the first one has made' => sub {
	$old->place($kept{stopped});
	$old->rewinds($new, 0, qr/Done!/, 'first');
	is($old->control_state, 'in archive recovery', 'the first leaves recovery to be done');
	$old->configure;
	$old->rewinds($new, 1, qr/target server must be shut down cleanly/, 'second, no recovery allowed', '--no-ensure-shutdown');
	is($old->control_state, 'in archive recovery', 'which has changed nothing');
	my $recovered_to = $new->written;
	$old->rewinds($new, 0, qr/source and target cluster are on the same timeline.*no rewind required/s, 'second');
	is($old->control_state, 'shut down', 'its recovery has ended on the timeline of the leader ...');
	is($old->control_timeline, 2, '... which is timeline 2 ...');
	cmp_ok(PgFacts::position($old->control->{'Latest checkpoint location'}), '>=', PgFacts::position($recovered_to), '... with a checkpoint that the leader does not have');
	# The WAL of the leader is the longer again.
	$new->tell("after the double run $_") foreach 1 .. 20;
	$old->configure($new);
	$old->start;
	$old->never_streams_from($new, $no_record);
};

# ---- pg_rewind that breaks off ----

# stalling_proxy(SERVER, BYTES): one that passes no more on after so many bytes of files.  The
# file "stalled" then is in the directory.
sub stalling_proxy
{
	my ($server, $bytes) = @_;
	my ($asked, $seen, $rest) = ('', 0, $bytes);

	return $server->proxy(sub {
		my ($directory, $is_client, $data) = @_;

		if ($is_client)
		{
			# The statement that fetches pieces of files: prepared once, then run.
			$asked = substr($asked, -30) . $data;
			$seen++ while $asked =~ s/fetch_chunks_stmt//;
		}
		elsif ($seen > 1 && ($rest -= length $data) < 0)
		{
			append_to_file("$directory/stalled", '');
			sleep 600;
		}
	});
}

# Much has to be copied.
$old->place($kept{stopped});
$old->start;
$old->ask(q{INSERT INTO told SELECT 'lost ' || repeat('x', 1000) || i FROM generate_series(1, 2000) i});
$old->stop('fast');
$kept{much} = $old->image;
$new->ask('CREATE TABLE more AS SELECT i, repeat(md5(i::text), 30) FROM generate_series(1, 2000) i');

# half_rewound(CODE): pg_rewind has got a part of what it needs; then CODE is called with
# IPC::Run's handle of it.  Returns its exit status.
sub half_rewound
{
	my $code = shift;
	my ($directory, $child) = stalling_proxy($new, 1_500_000);
	my $out = '';

	$old->place($kept{much});
	my $run = IPC::Run::start([ 'pg_rewind', '--no-sync', '--no-ensure-shutdown', '-D', $old->data_dir, '--source-server',
		"host=$directory port=" . $new->port . ' dbname=postgres' ], '>&', \$out);
	$new->until('pg_rewind has copied a part', sub { $run->pump_nb; -e "$directory/stalled" });
	$code->($run);
	PgFacts::end_proxy($child);
	$run->finish;
	print map { "# pg_rewind: $_\n" } split /\n/, $out;
	return $run->full_result;
}

sub is_half_rewound
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($old->control_state, 'shut down', 'pg_control is the old one: "shut down"');
	is($old->control_timeline, 1, 'on timeline 1');
	ok(!$old->has('backup_label'), 'there is no backup_label');
	return;
}

# pg_rewind asks for 1000 pieces at a time, and empties the files that it copies whole when it
# asks.  Here are so many of them, right behind the files of tables, that it does not come to the
# others of the database, to pg_hba.conf and to pg_wal.
my $database = $new->path('base/' . $new->ask(q{SELECT oid FROM pg_database WHERE datname = 'postgres'}));
my @filler = map { "$database/filler_$_" } 1 .. 1100;

append_to_file($_, 'x') foreach @filler;

subtest 'K8: the source is stopped while pg_rewind copies the first of many files: a mixture that starts' => sub {
	isnt(half_rewound(sub { $new->stop('immediate') }), 0, 'pg_rewind fails');
	$kept{half} = $old->image;
	is_half_rewound();
	$old->configure('');
	$old->start;
	is($old->ask('SELECT pg_is_in_recovery()'), 't', 'it starts as a standby and answers queries');
	like($old->words, qr/^lost x/m, 'with rows that were to go');
	$old->stop('immediate');
	$new->start;
	is($new->ask('SELECT timeline_id FROM pg_control_checkpoint()'), 2, 'the source comes back on its timeline');
};

unlink @filler;

subtest 'pg_rewind broke off at the first of many files: a second run mends it' => sub {
	$old->place($kept{half});
	$old->rewinds($new, 0, qr/Done!/, 'once more', '--no-ensure-shutdown');
	$old->configure($new);
	$old->start;
	$old->streams_from($new);
	is($old->ask('SELECT count(*) FROM more'), 2000, 'with all that the source has');
};

subtest 'pg_rewind is killed while it copies the first of few files: what it copies whole is empty, what is to go is gone' => sub {
	isnt(half_rewound(sub { $_[0]->signal('KILL') }), 0, 'pg_rewind is killed');
	is_half_rewound();
	is(-s $old->path('pg_hba.conf'), 0, 'pg_hba.conf is empty');
	is(-s $old->path('postgresql.conf'), 0, 'postgresql.conf is empty');
	is(-s $old->path(PgFacts::history_name(2)), 0, 'the history file of the source is empty');
	system_or_bail('cp', (map { "$kept{much}/$_" } 'pg_hba.conf', 'pg_ident.conf', 'postgresql.conf'), $old->data_dir);
	$old->configure;
	$old->rewinds($new, 1, qr/could not open file ".*\/pg_wal\/00000001\w+": No such file or directory.*could not read WAL record/s,
		'a second run cannot mend it', '--no-ensure-shutdown');
	$old->configure('');
	$old->begin;
	$old->says(qr/could not read from (?:log|WAL) segment 00000002/);
	$old->says(qr/waiting for WAL to become available/, 4);
	is($old->try('SELECT 1'), undef, 'and it does not come up, with its own settings put back');
	$old->stop('immediate');
};

# --no-sync leaves off before the only thing that comes after pg_control.
subtest 'pg_rewind is killed after it has written pg_control: it is done, but for the sync' => sub {
	$old->place($kept{much});
	$old->rewinds($new, 0, qr/Done!/, 'all but the sync', '--no-ensure-shutdown');
	is($old->control_state, 'in archive recovery', '"in archive recovery"');
	ok($old->has('backup_label'), 'with a backup_label');
	is($old->control_timeline, 2, 'on the timeline of the source');
	$old->configure($new);
	$old->start;
	$old->streams_from($new);
};

# ---- a stop that cannot end ----

subtest 'pg_control says "shut down" while the postmaster waits for a receiver that stands still' => sub {
	my ($receiver) = $old->receiver =~ /^(\d+) /;
	my $postmaster = $new->{_pid};

	kill 'STOP', $receiver;
	$new->tell('for a receiver that stands still');
	system_or_bail('pg_ctl', '-W', '-m', 'fast', '-D', $new->data_dir, 'stop');
	$new->until('pg_control says so', sub { $new->control_state eq 'shut down' });
	ok(kill(0, $postmaster) && -e $new->path('postmaster.pid'), 'the postmaster is there');
	$new->stop('immediate');
	is($new->control_state, 'shut down', 'an immediate stop then does no harm');
	kill 'CONT', $receiver;
	$old->stop('immediate');
};

subtest 'S1: stopped cleanly, its last checkpoint was received: follows as it is' => sub {
	fork_off();
	$new->follow($old);
	$new->until('it streams', sub { $new->receiver =~ / streaming / });
	$old->stop('fast');
	my $checkpoint = $old->control->{'Latest checkpoint location'};
	my $end = $old->end_of_wal(1, $checkpoint);

	$new->until('it has replayed the checkpoint', sub { $new->replayed eq $end });
	is($new->promoted, 2, 'the standby is promoted');
	like($new->get(PgFacts::history_name(2)), qr/^1\t\Q$end\E\t/m, 'F = L');
	$old->rewinds($new, 0, $not_needed, 'nothing to do', '--no-ensure-shutdown');
	$old->configure($new);
	$old->start;
	$old->streams_from($new);
};

# ---- a primary that was killed, and a standby that is ahead ----

my $end_of_third;

fork_off($third);
$third->ask('SELECT pg_wal_replay_pause()');
$third->until('replay is paused', sub { $third->ask('SELECT pg_get_wal_replay_pause_state()') eq 'paused' });

subtest 'pg_control of a primary that was killed: nothing says where its WAL ends' => sub {
	$kept{killed} = $old->image;
	$old->tell("lost $_") foreach 1 .. 50;
	$old->ask(q{INSERT INTO told SELECT 'gone ' || repeat('y', 1000) || i FROM generate_series(1, 300) i});
	$end_of_third = $old->flushed;
	$third->until('the receiver of "third" has it all', sub { $third->received eq $end_of_third });
	$old->kill_all;
	$kept{lost} = $old->image;
	is($old->control_state, 'in production', 'killed: "in production"');
	is($old->minimum_recovery_end, '0/0', 'killed: no minimum recovery point');

	$old->start;
	$old->tell('lost 51');
	$old->stop('immediate');
	is($old->control_state, 'in production', 'immediate stop: "in production"');
	is($old->minimum_recovery_end, '0/0', 'immediate stop: no minimum recovery point');
};

subtest 'pg_control of a standby: where it has replayed to, not what it has received' => sub {
	is($third->replayed, $fork, 'replay is paused at F');
	cmp_ok(PgFacts::position($third->received), '>', PgFacts::position($fork), 'WAL beyond F was received');
	$third->stop('fast');
	$kept{unreplayed} = $third->image;
	is($third->control_state, 'shut down in recovery', 'fast stop: "shut down in recovery"');
	is($third->minimum_recovery_end, $fork, 'fast stop: the minimum recovery point is the end of replay');

	$new->stop('fast');
	$kept{standby} = $new->image;
	$new->start;
	$new->kill_all;
	is($new->control_state, 'in archive recovery', 'killed: "in archive recovery"');
};

$new->start;
promote_new();

subtest 'S4: killed, all of its WAL was received: follows as it is' => sub {
	$old->place($kept{killed}, $new);
	is($old->end_of_wal(1, $old->control->{'Latest checkpoint location'}), $fork, 'L = F');
	$old->start;
	$old->streams_from($new);
	like($old->receiver, qr/ streaming 2$/, 'on timeline 2');
};

subtest 'S4: the recovery that pg_rewind runs writes WAL beyond F, so there is something to rewind' => sub {
	$old->place($kept{killed});
	$old->rewinds($new, 0, qr/servers diverged at WAL location \Q$fork\E on timeline 1/, 'killed');
	$old->configure($new);
	$old->start;
	$old->streams_from($new);
};

subtest 'S3: killed with commits that nobody has received: never follows, and shows them' => sub {
	$old->place($kept{lost}, $new);
	$old->start;
	$old->never_streams_from($new, $forked);
	is($old->ask(q{SELECT count(*) FROM told WHERE word LIKE 'lost %'}), 50, 'readers see the lost rows');
};

subtest 'S3: pg_rewind needs a clean end, which its own recovery makes, but not of a standby' => sub {
	$old->place($kept{lost}, $new);
	$old->rewinds($new, 1, qr/standby mode is not supported by single-user servers/, 'killed, with standby.signal');
	$old->rewinds($new, 1, qr/target server must be shut down cleanly/, 'killed, no recovery allowed', '--no-ensure-shutdown');
	is($old->control_state, 'in production', 'both have changed nothing');
	unlink $old->path('standby.signal');
	$old->rewinds($new, 0, qr/servers diverged at WAL location \Q$fork\E on timeline 1/, 'killed, without standby.signal');
	$old->configure($new);
	$old->start;
	$old->streams_from($new);
	is($old->ask(q{SELECT count(*) FROM told WHERE word LIKE 'lost %'}), 0, 'the lost rows are gone');
};

subtest 'S3: or it runs as a standby of nobody first, which writes nothing' => sub {
	$old->place($kept{lost}, '');
	my $end = $old->end_of_wal(1, $fork);

	$old->start;
	$old->until('it has replayed everything', sub { $old->replayed eq $end });
	$old->stop('fast');
	is($old->control_state, 'shut down in recovery', 'it was stopped cleanly');
	is($old->minimum_recovery_end, $end, 'the minimum recovery point is L');
	is($old->end_of_wal(1, $fork), $end, 'L is the same');
	$old->rewinds($new, 0, qr/servers diverged at WAL location \Q$fork\E on timeline 1/, 'with standby.signal', '--no-ensure-shutdown');
	$old->configure($new);
	$old->start;
	$old->streams_from($new);
};

subtest 'S6: a running standby that is ahead is made to follow: never does, and acknowledges commits before L that it does not have' => sub {
	$third->place($kept{unreplayed}, '');
	$third->start;
	$third->until('it has replayed beyond F', sub { $third->replayed eq $end_of_third });
	$new->ask(q{CREATE OR REPLACE FUNCTION look(name text) RETURNS text LANGUAGE plpgsql AS $$
		DECLARE
			seen text[] := '{}';
			now text;
			until timestamptz := clock_timestamp() + '30 s';
		BEGIN
			WHILE clock_timestamp() < until AND cardinality(seen) < 20 LOOP
				PERFORM pg_stat_clear_snapshot();
				SELECT format('%s %s %s', state, sync_state, flush_lsn) INTO now FROM pg_stat_replication
					WHERE application_name = name AND flush_lsn IS NOT NULL;
				IF found THEN
					seen := seen || now;
				END IF;
				PERFORM pg_sleep(0.005);
			END LOOP;
			RETURN (SELECT string_agg(DISTINCT s, ', ' ORDER BY s) FROM unnest(seen) s);
		END $$});
	$new->waits_for('ANY 1 (third)');
	$third->mark;
	# It reports L once when it begins, then every wal_receiver_status_interval.  That counts if
	# the sender has sent the little that there is by then, as over a network; on one machine
	# either can be the first.
	my ($directory, $child) = $new->proxy(sub { usleep(20_000) if $_[1]; });
	$third->follow("host=$directory port=" . $new->port);
	my $seen = $new->ask(q{SELECT look('third')});
	like($seen, qr/startup potential \Q$end_of_third\E/, 'the primary sees: startup, not counted, and L as its flushed position');
	is($seen =~ s/(?:startup potential|catchup potential|streaming quorum) \Q$end_of_third\E(?:, )?//gr, '', 'or streaming, and counted, for an instant, with that position');

	# Both wait for it as a synchronous standby.
	cmp_ok(PgFacts::position($new->flushed), '<', PgFacts::position($end_of_third) - 100_000, 'the primary has not come to L');
	$new->psql('postgres', q{INSERT INTO told VALUES ('acknowledged')}, timeout => PgFacts::LIMIT, timed_out => \my $timed_out);
	ok(!$timed_out, 'a commit before L is acknowledged, all the same');
	cmp_ok(PgFacts::position($new->flushed), '<', PgFacts::position($end_of_third), 'it was before L');
	ok(!$third->knows('acknowledged'), 'by a standby that does not have it');
	$new->ask(q{SET synchronous_commit = local; INSERT INTO told SELECT 'to L ' || repeat('z', 1000) || i FROM generate_series(1, 400) i});
	my ($run, $out) = $new->waiting_commit('after L');
	$new->mark;
	$new->until('the standby has come back some times', sub { $new->times(qr/third LOG: .*START_REPLICATION/) > 5 });
	is($new->waiting, 1, 'a commit beyond L waits');
	$new->ask(q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'});
	$run->finish;
	like($$out, qr/canceling wait for synchronous replication/, 'until it is canceled');
	$new->waits_for('');
	$third->never_streams_from($new, $forked);
	is($third->ask(q{SELECT count(*) FROM told WHERE word LIKE 'lost %'}), 50, 'readers see the lost rows');
	$third->stop('fast');
	PgFacts::end_proxy($child);
	is($third->minimum_recovery_end, $end_of_third, 'fast stop: the minimum recovery point is L');
	$third->rewinds($new, 0, qr/servers diverged at WAL location \Q$fork\E on timeline 1/, 'with standby.signal', '--no-ensure-shutdown');
	$third->configure($new);
	$third->start;
	$third->streams_from($new);
};

subtest 'S6b: lost WAL that was received and not replayed: pg_rewind does not see it' => sub {
	$third->place($kept{unreplayed}, $new);
	$third->rewinds($new, 0, $not_needed, 'lost WAL not replayed', '--no-ensure-shutdown');
	$third->start;
	$third->never_streams_from($new, $forked);
	is($third->ask(q{SELECT count(*) FROM told WHERE word LIKE 'lost %'}), 50, 'the start has replayed the lost WAL');
};

subtest 'S6b: the same with the history file of the leader: replays the lost WAL all the same, and never follows' => sub {
	$third->place($kept{unreplayed}, $new);
	$third->put(PgFacts::history_name(2), $new->get(PgFacts::history_name(2)));
	$third->start;
	$third->never_streams_from($new, $no_record);
	is($third->ask(q{SELECT count(*) FROM told WHERE word LIKE 'lost %'}), 50, 'the lost rows are shown');
};

subtest 'S6b: without the lost WAL, and with the history file of the leader, it follows' => sub {
	$third->place($kept{unreplayed}, $new);
	my $segment_size = 1024 * 1024;
	my $at = PgFacts::position($fork);
	my $name = sprintf 'pg_wal/%08X%08X%08X', 1, $at >> 32, ($at & 0xFFFFFFFF) / $segment_size;
	my $rest = $at % $segment_size;

	$third->put(PgFacts::history_name(2), $new->get(PgFacts::history_name(2)));
	$third->put($name, substr($third->get($name), 0, $rest) . "\0" x ($segment_size - $rest));
	foreach my $later (glob $third->path('pg_wal/00000001????????????????'))
	{
		unlink $later if $later gt $third->path($name);
	}
	is($third->end_of_wal(1, $third->control->{'Latest checkpoint location'}), $fork, 'now L = F');
	$third->start;
	$third->streams_from($new);
	is($third->ask(q{SELECT count(*) FROM told WHERE word LIKE 'lost %'}), 0, 'without the lost rows');
};

subtest 'K3: the WAL before F is gone: neither follows nor can be rewound' => sub {
	$old->place($kept{lost});
	$old->append_conf('postgresql.conf', 'wal_keep_size = 0');
	$old->start;
	my $segment = $old->ask("SELECT pg_walfile_name('$fork')");

	for (1 .. 20)
	{
		last unless $old->has("pg_wal/$segment");
		$old->ask($_) foreach q{INSERT INTO told VALUES ('lost much')}, 'SELECT pg_switch_wal()', 'CHECKPOINT';
	}
	$old->stop('fast');
	ok(!$old->has("pg_wal/$segment"), 'the segment with F is gone');
	$old->configure($new);
	$old->start;
	$old->never_streams_from($new, qr/requested starting point \S+ on timeline 1 is not in this server's history/);
	$old->stop('fast');
	$old->rewinds($new, 1, qr/could not open file ".*\Q$segment\E": No such file or directory.*could not find previous WAL record at/s, 'WAL is gone', '--no-ensure-shutdown');
};

# ---- a source without the segment of F ----

# A copy of "new" that was made later has no segment with F: pg_rewind leaves that of the target
# as it is, with what is behind F.
$new->place($kept{standby}, '');
$new->start;
promote_new();

my ($segment, $switch) = split /\|/, $new->ask(
	"SELECT substr(file_name, 9), '$fork'::pg_lsn - file_offset + 790528 FROM pg_walfile_name_offset('$fork')");
my $table = $new->ask(q{SELECT pg_relation_filepath('told')});

# switch_segment(SERVER): as pg_switch_wal() does, but the segment's last record begins at
# $switch, in the middle of a page.
sub switch_segment
{
	my $server = shift;
	my $fill = q{SELECT pg_logical_emit_message(false, '', repeat('x', (bytes - div(bytes, 8192) * 24)::int - %d))
		FROM (SELECT '%s'::pg_lsn - pg_current_wal_insert_lsn() AS bytes) b;};

	# Into that page first, then what is left: such a record has 54 bytes beside the text.
	$server->ask(sprintf $fill, 2000, $switch);
	my ($begin, $end) = split /\n/, $server->ask(sprintf("$fill SELECT pg_switch_wal()", 54, $switch));
	die "the last record is from $begin to $end" unless $begin eq $switch && PgFacts::position($end) == PgFacts::position($begin) + 24;
	return;
}

# rewound_without(): "old" is, from "third".
sub rewound_without
{
	my $own = $old->get("pg_wal/00000001$segment");

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$old->rewinds($third, 0, qr/servers diverged at WAL location \Q$fork\E on timeline 1.*Done!/s, 'from a source without the segment', '--no-ensure-shutdown');
	ok($old->get("pg_wal/00000001$segment") eq $own, 'the segment of the target has stayed as it was');
	unlike($old->get($table), qr/lost 52/, 'the lost rows are gone from the table');
	$old->configure($third);
	return;
}

# stays_inconsistent(): it has replayed what was lost, but does not show it.
sub stays_inconsistent
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($old->words, undef, 'it does not answer queries');
	like($old->log, qr/Consistent recovery state has not been yet reached/, 'because it has not come to the minimum recovery point');
	$old->stop('fast');
	like($old->get($table), qr/lost 52/, 'the lost rows are in the table again');
	return;
}

switch_segment($new);
$new->backup('later');
$new->tell('after the backup');
$third->place($new->backup_dir . '/later', '');
$third->start;
$old->place($kept{lost});
$old->start;
$old->tell('lost 52');
$old->stop('fast');
$kept{lost} = $old->image;

subtest 'K9: the source has the segment with F: pg_rewind mends it' => sub {
	ok($new->has("pg_wal/00000002$segment"), 'it is there');
	$old->place($kept{lost});
	$old->rewinds($new, 0, qr/servers diverged at WAL location \Q$fork\E on timeline 1/, 'from a source with the segment', '--no-ensure-shutdown');
	$old->configure($new);
	$old->start;
	$old->streams_from($new);
};

subtest 'K9: the source does not: pg_rewind succeeds, the start replays the lost WAL, and waits for ever' => sub {
	is($third->promoted, 3, 'the source is on timeline 3');
	is(join(' ', grep { $third->has("pg_wal/0000000$_$segment") } 1 .. 3), '', 'it has no such segment');
	$old->place($kept{lost});
	my $end = $old->end_of_wal(1, $fork);
	rewound_without();
	$old->begin;
	$old->says(qr/invalid record length at \Q$end\E/);
	$old->says(qr/requested WAL segment 00000002$segment has already been removed/, 4);
	stays_inconsistent();
};

subtest 'K9: the same from the directory of the source' => sub {
	$third->stop('fast');
	$old->place($kept{lost});
	rewound_without();
	$third->start;
};

subtest 'K9: the lost WAL goes to the end of the segment, and the source has the next one: does not fit' => sub {
	$old->place($kept{lost});
	$old->start;
	$old->ask('SELECT pg_switch_wal()');
	$old->stop('fast');
	rewound_without();
	$old->begin;
	$old->says(qr/record with incorrect prev-link \Q$switch\E/, 4);
	stays_inconsistent();
};

# The source's first checkpoint behind that segment comes before the minimum recovery point:
# without it, the segment would not have been removed, or would be in the backup.
subtest 'K9: the same, and it fits: PANIC at the first checkpoint on timeline 2' => sub {
	$old->place($kept{lost});
	$old->start;
	switch_segment($old);
	$old->stop('fast');
	rewound_without();
	for (1 .. 2)
	{
		$old->begin;
		$old->ended;
		like($old->log, qr/PANIC: .*unexpected timeline ID 2 \(should be 1\) in (?:online )?checkpoint record/, 'PANIC');
	}
};

# ---- before the first checkpoint on the new timeline ----

subtest 'before the first checkpoint after a promotion, pg_rewind of 15 takes the source for one of the old timeline' => sub {
	my $before_16 = $new->pg_version < 16;

	$new->place($kept{standby}, '');
	$new->start;
	my $checkpointer = $new->ask(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'});
	kill 'STOP', $checkpointer;
	$new->promote;
	is($new->control_timeline, 1, 'there was none on timeline 2');
	$old->place($kept{lost});
	$old->rewinds($new, 0, $before_16 ? qr/source and target cluster are on the same timeline.*no rewind required/s : qr/diverged.*Done!/s,
		'before it', '--no-ensure-shutdown');
	kill 'CONT', $checkpointer;
	$new->ask('CHECKPOINT');
	$old->place($kept{lost});
	$old->rewinds($new, 0, qr/diverged.*Done!/s, 'after it', '--no-ensure-shutdown');
	$old->configure($new);
	$old->start;
	$old->streams_from($new);
	$old->stop('immediate');
};

# ---- a history file of one's own ----

subtest 'S9: the history file of a promotion of its own that failed: never follows' => sub {
	$new->place($kept{standby}, '');
	$new->start;
	# A timeline that is never used, as the one of the other.
	$new->put(PgFacts::history_name(2), "# not used by anybody\n");
	is($new->promoted, 3, 'the leader went from timeline 1 to 3');
	$third->place($kept{standby}, $new);
	$third->put(PgFacts::history_name(2), "1\t$fork\tno recovery target specified\n");
	$third->start;
	$third->never_streams_from($new, qr/requested timeline 2 is not in this server's history/);
	cmp_ok($third->times(qr/new timeline 3 is not a child of database system timeline [12]/), '>', 0, 'the timeline of the leader is none for it');
	$third->stop('fast');
	$kept{misled} = $third->image;
};

subtest 'S9: with the history files of the leader, and with none, it follows' => sub {
	$third->place($kept{misled}, $new);
	$third->put(PgFacts::history_name($_), $new->get(PgFacts::history_name($_))) foreach 2, 3;
	$third->start;
	$third->streams_from($new);
	like($third->receiver, qr/ streaming 3$/, 'on timeline 3');

	$third->place($kept{misled}, $new);
	unlink map { $third->path(PgFacts::history_name($_)) } 2, 3;
	$third->start;
	$third->streams_from($new);
	like($third->receiver, qr/ streaming 3$/, 'on timeline 3');
};

# ---- two timelines of one number ----

# twin(SERVER, WORD...): it is promoted from F to timeline 2, and told this.
sub twin
{
	my ($server, @words) = @_;

	$server->place($kept{standby}, '');
	$server->start;
	die $server->name . ' is on another timeline' unless $server->promoted == 2;
	$server->tell($_) foreach @words;
	return $server->flushed;
}

# broken_off(SERVER): stopped without another record; an image, which has no signal yet.
sub broken_off
{
	my $server = shift;

	$server->stop('immediate');
	return $server->image;
}

my $other_end;

subtest 'S7a: two timelines 2 whose records have the same sizes: follows, and holds other rows' => sub {
	my $end = twin($new, 'aaaa');

	is(twin($third, 'bbbb'), $end, 'both end at the same byte');
	$kept{bbbb} = broken_off($third);
	is($new->get(PgFacts::history_name(2)), $third->get(PgFacts::history_name(2)), 'their history files are the same');
	$third->place($kept{bbbb}, $new);
	$third->start;
	$new->tell('later');
	$third->until('it gets what comes later', sub { $third->knows('later') });
	like($third->receiver, qr/ streaming 2$/, 'it streams');
	$third->caught_up($new);
	is($third->words, "at first\nbbbb\nbefore\nlater", 'it holds its own row');
	is($new->words, "aaaa\nat first\nbefore\nlater", 'the primary another one');
	$third->stop('fast');
	$third->rewinds($new, 0, qr/source and target cluster are on the same timeline.*no rewind required/s, 'the same timeline', '--no-ensure-shutdown');
	system_or_bail('pg_checksums', '--check', '-D', $third->data_dir);
	pass('and the checksums are good');
};

subtest 'S7c: two timelines 2, of other records, and the one that comes back is the shorter: never follows' => sub {
	my $end = twin($third, 'c' x 77);

	$kept{other} = broken_off($third);
	cmp_ok(PgFacts::position($end), '<', PgFacts::position($new->flushed), 'it is the shorter');
	$third->place($kept{other}, $new);
	$third->start;
	$third->never_streams_from($new, qr/(?:invalid record length at \S+: (?:wanted|expected at least) 24, got [1-9]|incorrect prev-link|invalid resource manager ID|incorrect resource manager data checksum)/);
	ok($third->knows('c' x 77), 'it holds its own row');
	$third->stop('fast');
	$third->rewinds($new, 0, qr/source and target cluster are on the same timeline.*no rewind required/s, 'the same timeline', '--no-ensure-shutdown');
};

subtest 'S7d: two timelines 2, and the one that comes back is longer: acknowledges commits that it does not have' => sub {
	my $end = twin($third, map { "mine $_" } 1 .. 200);

	cmp_ok(PgFacts::position($end), '>', PgFacts::position($new->flushed), 'it is longer');
	$kept{longer} = broken_off($third);
	$third->place($kept{longer}, $new);
	$third->start;
	$new->waits_for('ANY 1 (third)');
	$new->until('it counts as a synchronous standby', sub {
		$new->ask(q{SELECT state || ' ' || sync_state FROM pg_stat_replication WHERE application_name = 'third'}) eq 'streaming quorum' });
	$new->tell('acknowledged');
	pass('a commit returns');
	my ($flushed, $written) = split /\|/, $new->ask(q{SELECT flush_lsn, pg_current_wal_flush_lsn() FROM pg_stat_replication WHERE application_name = 'third'});
	is($flushed, $end, 'the flushed position that it reports is its own end');
	cmp_ok(PgFacts::position($flushed), '>', PgFacts::position($written), 'which is beyond the end of the primary');
	$third->until('it has replayed all of its own', sub { $third->replayed eq $end });
	ok(!$third->knows('acknowledged'), 'it does not have the row');
	ok($third->knows('mine 200'), 'but its own ones');
	$third->stop('fast');
	$third->rewinds($new, 0, qr/source and target cluster are on the same timeline.*no rewind required/s, 'the same timeline', '--no-ensure-shutdown');
};

done_testing();
