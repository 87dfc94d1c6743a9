# test/t/032_commit_facts.pl
#	  What PostgreSQL does with a commit that waits for standbys, at a crash after which the
#	  postmaster goes on, on a full disk, and when a server has an older copy of its data.
#
# The simulator has a model of this; each subtest is a row of the model, replayed
# on real servers, without pg_leader.  If one fails, PostgreSQL has changed or the
# model is wrong.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgFacts;
use PostgreSQL::Test::Utils;
use Test::More;

my $base = PgFacts->first_image(q(
restart_after_crash = on
), q{INSERT INTO told VALUES ('at first')});
my ($primary, $standby) = map { PgFacts->new($_) } qw(primary standby);

# begin(): a primary and a standby with the same WAL, far from the end of a segment.
sub begin
{
	$primary->place($base);
	$primary->start;
	$standby->place($base, $primary);
	$standby->start;
	$primary->ask($_) foreach 'SELECT pg_switch_wal()', 'CHECKPOINT';
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$standby->streams_from($primary);
	return;
}

# counted(N, NAME): so many walsenders of that name (the standby's) stream and count.
sub counted
{
	my ($n, $name) = @_;

	$name //= 'standby';
	$primary->until("$n of \"$name\" are counted", sub {
		$primary->ask("SELECT count(*) FROM pg_stat_replication WHERE application_name = '$name' AND state = 'streaming' AND sync_state = 'quorum'") == $n });
	return;
}

# confirmed(): the one walsender has heard that all is flushed.
sub confirmed
{
	$primary->until('all is confirmed', sub { $primary->ask('SELECT flush_lsn >= pg_current_wal_flush_lsn() FROM pg_stat_replication') eq 't' });
	return;
}

sub timeline { return hex substr $_[0]->ask('SELECT pg_walfile_name(pg_current_wal_lsn())'), 0, 8; }

# ---- a commit that waits ----

begin();

foreach my $case ([ 'cancelled', 'cancel', 0, qr/WARNING:  canceling wait for synchronous replication due to user request\n.*^INSERT 0 1$/ms ],
	[ 'terminated', 'terminate', 2, qr/WARNING:  canceling the wait for synchronous replication and terminating connection due to administrator command\n.*server closed the connection/ms ])
{
	my ($what, $function, $status, $said) = @$case;

	subtest "a wait that is $what: the row is visible, and " . ($status == 0 ? 'the client is told of success' : 'the client knows nothing') => sub {
		$primary->waits_for('ANY 1 (nobody)');
		my ($run, $out) = $primary->waiting_commit($what);
		ok(!$primary->knows($what), 'not visible while it waits');
		$primary->ask("SELECT pg_${function}_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
		$run->finish;
		is($run->result(0), $status, "psql's exit status");
		like($$out, $said, 'what the client is told');
		ok($primary->knows($what), 'it is visible afterwards');
		$primary->waits_for('');
	};
}

subtest 'two walsenders of one standby are counted as two standbys' => sub {
	my ($directory, $proxy) = $primary->proxy(sub { });

	$primary->waits_for('ANY 2 (standby)');
	$standby->follow("host=$directory port=" . $primary->port);
	$standby->until('it is connected through the proxy', sub { $standby->ask('SELECT sender_host FROM pg_stat_wal_receiver') eq $directory });
	counted(1);
	my ($run, $out) = $primary->waiting_commit('by one of two');
	confirmed();
	is($primary->waiting, 1, 'one is not enough');

	# What stands still does not close the connection behind it.
	kill 'STOP', $proxy;
	$standby->follow($primary);
	$run->finish;
	is($run->result(0), 0, 'the same standby by another connection is');
	counted(2);
	pass('both are counted');
	PgFacts::end_proxy($proxy);
	$primary->waits_for('');
	$standby->streams_from($primary);
};

subtest 'a clone that came up with the settings of a standby is counted as that one' => sub {
	my $clone = PgFacts->new('clone');

	$primary->waits_for('ANY 2 (standby)');
	$clone->place($standby->image);
	$clone->be_standby_of($primary->connstr . ' application_name=standby');
	$clone->start;
	counted(2);
	$standby->cut;
	my ($run) = $primary->waiting_commit('by one of its name');
	confirmed();
	is($primary->waiting, 1, 'one is not enough');
	$primary->waits_for('ANY 1 (standby)');
	$run->finish;
	is($run->result(0), 0, 'the clone alone is one standby');
	ok(!$standby->knows('by one of its name'), 'which is not the one of that name');
	$clone->stop('immediate');
	$primary->waits_for('');
	$standby->follow($primary);
	$standby->streams_from($primary);
};

subtest 'a pg_receivewal that bears the name of a standby is counted as that one' => sub {
	my $directory = PostgreSQL::Test::Utils::tempdir('files');
	my $receiver = IPC::Run::start([ 'pg_receivewal', '--no-loop', '--synchronous', '-D', $directory, '-d', $primary->connstr . ' application_name=archive' ], '>&', \my $out);

	$primary->waits_for('ANY 1 (archive)');
	counted(1, 'archive');
	$primary->tell('in a file');
	pass('a commit returns');
	$receiver->signal('INT');
	$receiver->finish;
	$primary->waits_for('');
};

subtest 'a standby of another cluster is refused by its own receiver' => sub {
	my $stranger = PgFacts->new('stranger');

	$stranger->init(allows_streaming => 1);
	$stranger->append_conf('postgresql.conf', 'wal_retrieve_retry_interval = 100ms');
	$stranger->start; # pg_control then has its settings
	$stranger->stop;
	$stranger->configure($primary);
	$primary->mark;
	$stranger->start;
	$stranger->says(qr/FATAL:  database system identifier differs between the primary and standby/, 3);
	is($stranger->ask('SELECT pg_is_in_recovery()'), 't', 'it goes on as a standby');
	cmp_ok($primary->times(qr/stranger LOG: .*IDENTIFY_SYSTEM/), '>=', 3, 'it has asked the primary who that is');
	is($primary->times(qr/stranger LOG: .*START_REPLICATION/), 0, 'and has asked for no WAL');
	$stranger->stop('immediate');
};

# ---- a crash after which the postmaster goes on ----

subtest 'restarted in place, a primary shows what was not answered, on the same timeline' => sub {
	$primary->waits_for('ANY 1 (nobody)');
	my ($run, $out) = $primary->waiting_commit('not answered');
	ok(!$primary->knows('not answered'), 'not visible while it waits');
	$primary->crashes;
	$run->finish;
	isnt($run->result(0), 0, 'the client was not answered');
	ok($primary->knows('not answered'), 'it is visible afterwards');
	is($primary->ask('SELECT pg_is_in_recovery()') . ' ' . timeline($primary), 'f 1', 'a primary on timeline 1');
	$primary->waits_for('');
	$standby->streams_from($primary);
};

subtest 'restarted in place, a standby replays what it has and streams on' => sub {
	$standby->crashes;
	cmp_ok($standby->times(qr/entering standby mode/), '==', 1, 'it begins as a standby anew');
	$standby->streams_from($primary);
};

subtest 'restarted in place, a primary that has a standby.signal by now is a standby' => sub {
	$primary->be_standby_of('');
	$primary->crashes;
	is($primary->ask('SELECT pg_is_in_recovery()'), 't', 'it is in recovery');
	ok($primary->knows('not answered'), 'with all of its WAL');
};

# ---- older copies ----

subtest 'an older copy of a standby streams on from the same primary' => sub {
	begin();
	my $older = $standby->image;

	$primary->tell('after the copy');
	$standby->caught_up($primary);
	$standby->kill_all;
	$standby->place($older, $primary);
	$standby->start;
	$standby->streams_from($primary);
	ok($standby->knows('after the copy'), 'with what it has lost meanwhile');
};

subtest 'A7p: an older copy of a primary, on its own timeline: a standby acknowledges commits that it does not have' => sub {
	my $older = $primary->image;

	$primary->ask(q{INSERT INTO told SELECT 'lost ' || i FROM generate_series(1, 200) i});
	$standby->caught_up($primary);
	my $end = $standby->replayed;
	$primary->kill_all;
	$primary->place($older);
	$primary->start;
	is(timeline($primary), 1, 'it goes on on timeline 1');
	ok(!$primary->knows('lost 200'), 'without what was written since');
	$primary->waits_for('ANY 1 (standby)');
	counted(1);
	$primary->tell('acknowledged');
	pass('a commit returns');
	cmp_ok(PgFacts::position($primary->flushed), '<', PgFacts::position($end), 'before the end of the standby');
	ok(!$standby->knows('acknowledged'), 'which does not have the row');
	ok($standby->knows('lost 200'), 'but what the primary has lost');
};

# ---- a full disk ----

SKIP:
{
	my $disk = $ENV{PG_LEADER_SMALL_WAL};
	my $no_room = qr/could not write to file "pg_wal\/xlogtemp\.\d+": No space left on device/;

	skip 'PG_LEADER_SMALL_WAL names no small file system', 3 unless defined $disk && -w $disk;

	# on_small_disk(SERVER): its WAL is there.
	my $on_small_disk = sub {
		my $server = shift;

		system_or_bail('rm', '-rf', "$disk/pg_wal");
		system_or_bail('cp', '-a', $server->path('pg_wal'), "$disk/pg_wal");
		system_or_bail('rm', '-r', $server->path('pg_wal'));
		symlink "$disk/pg_wal", $server->path('pg_wal') or die "symlink: $!";
	};

	my $fill = sub {
		open my $file, '>', "$disk/ballast" or die "$disk/ballast: $!";
		1 while syswrite $file, 'x' x 8192;
		close $file;
	};

	$standby->stop('immediate');
	$primary->place($base);
	$primary->start;
	$standby->place($base, $primary);
	$on_small_disk->($standby);
	$standby->start;

	subtest 'a standby whose disk is full loses its receiver, and answers queries' => sub {
		$standby->streams_from($primary);
		$fill->();

		# Until no segment is left that was made before.
		$standby->until('its disk is full', sub {
			$primary->ask('SELECT pg_switch_wal()');
			$primary->tell('segment after segment');
			my $end = PgFacts::position($primary->flushed);

			$standby->until('it has that, or no room', sub { $standby->times($no_room) > 0 || PgFacts::position($standby->received) >= $end });
			$standby->times($no_room) > 0;
		});
		$standby->never_streams_from($primary, $no_room);
		like($standby->words, qr/^at first$/m, 'it answers queries');
	};

	subtest 'its promotion ends the server, which is a standby still, and streams once there is room' => sub {
		system_or_bail('pg_ctl', '-W', '-D', $standby->data_dir, 'promote');
		$standby->ended;
		like($standby->log, qr/FATAL:  $no_room/, 'no room for the first segment of the new timeline');
		ok($standby->has('standby.signal'), 'standby.signal is there');
		is($standby->histories, '', 'there is no history file');
		is($standby->control_timeline, 1, 'pg_control is on timeline 1');
		unlink "$disk/ballast";
		$standby->start;
		$standby->streams_from($primary);
		$standby->stop('fast');
	};

	subtest 'a primary whose disk is full: PANIC; once there is room, it has all that was answered' => sub {
		my $answered = 0;

		$primary->place($base);
		$on_small_disk->($primary);
		$primary->append_conf('postgresql.conf', 'restart_after_crash = off');
		$primary->start;
		$fill->();
		for (1 .. 50)
		{
			last unless defined $primary->try("INSERT INTO told VALUES ('answered " . ($answered + 1) . "')");
			$answered++;
			last unless defined $primary->try('SELECT pg_switch_wal()');
		}
		$primary->ended;
		like($primary->log, qr/PANIC:  $no_room/, 'PANIC');
		is($primary->control_state, 'in production', 'pg_control says: "in production"');
		unlink "$disk/ballast";
		$primary->start;
		is($primary->ask(q{SELECT count(*) FROM told WHERE word LIKE 'answered %'}) >= $answered ? 1 : 0, 1, 'it comes back with all that was answered');
		is(timeline($primary), 1, 'on timeline 1');
		$primary->stop('immediate');
	};
}

done_testing();
