# test/t/033_burnt_timelines.pl
#	  What burnt timelines do beyond the servers that stream: in an archive that is
#	  filled file by file, to a recovery from it, to pg_rewind, to standbys behind
#	  standbys.
#
# "Burnt" is a timeline that nobody ever uses: there is a history file of it, with a
# comment and no line.  A promotion passes over such timelines, see 030_promotion_facts.pl,
# which has the rest.  Everything here happens without pg_leader;
# test/modules/pg_leader_facts makes the files at the promotion and hands them to the
# archiver, all at once or one by one.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgFacts;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use constant BURNT => "# not used by anybody\n";

# It looks for its first record on the newest timeline that it knows of, alone.
my $no_checkpoint = 'died: could not locate required checkpoint record';
my $no_child = qr/new timeline 2 is not a child of database system timeline 1/;

my $base = PgFacts->first_image(q(
archive_mode = on
shared_preload_libraries = 'pg_leader_facts'
), q{CREATE FUNCTION archive(timeline int) RETURNS void AS 'pg_leader_facts', 'pg_leader_facts_archive' LANGUAGE C;
INSERT INTO told VALUES ('at first');});
my ($primary, $standby, $other, $cascade) = map { PgFacts->new($_) } qw(primary standby other cascade);

my (%kept, $backup);

# ---- an archive ----

# A directory, and the file "order" beside it: what came, one after the other.
sub new_archive { return PostgreSQL::Test::Utils::tempdir('archive') . '/files'; }

# archives(SERVER, ARCHIVE, EXISTING): from its next start or reload on.  What is there is
# never overwritten; with 'accepts', a history file that is there is as good as archived.
sub archives
{
	my ($server, $archive, $existing) = @_;
	my $accepts = defined $existing && $existing eq 'accepts' ? "case %f in *.history) test -e $archive/%f && exit 0;; esac; " : '';

	mkdir $archive;
	$server->append_conf('postgresql.conf',
		"archive_command = '${accepts}test ! -e $archive/%f && cp %p $archive.new && mv $archive.new $archive/%f && echo %f >>$archive.order'");
	return;
}

sub order { my $archive = shift; return -e "$archive.order" ? split /\n/, slurp_file("$archive.order") : (); }

# The timelines of the history files in a list of names.
sub timelines { return join ' ', map { /^([0-9A-F]{8})\.history$/ ? hex $1 : () } @_; }

sub history_in { my ($archive, $timeline) = @_; return sprintf '%s/%08X.history', $archive, $timeline; }

# is_archived(SERVER, TIMELINE): the archiver is through with its history file.
sub is_archived { my ($server, $timeline) = @_; return $server->has(PgFacts::history_name($timeline) =~ s{/}{/archive_status/}r . '.done'); }

sub is_ready { my ($server, $timeline) = @_; return $server->has(PgFacts::history_name($timeline) =~ s{/}{/archive_status/}r . '.ready'); }

# tell_and_archive(SERVER, ARCHIVE, WORD): a commit, until its segment is in the archive.
sub tell_and_archive
{
	my ($server, $archive, $word) = @_;

	$server->tell($word);
	my $segment = $server->ask('SELECT pg_walfile_name(pg_current_wal_lsn())');
	$server->ask('SELECT pg_switch_wal()');
	$server->until("$segment is archived", sub { grep { $_ eq $segment } order($archive) });
	return;
}

# promoted_past(ARCHIVE, FILES): "primary" with an archive is killed, "standby" is promoted to timeline 6
# and has burnt 2 to 5.  Its archiver knows of those if FILES is 'at once'.  A backup of before is $backup.
sub promoted_past
{
	my ($archive, $files) = @_;

	$primary->place($base);
	archives($primary, $archive);
	$primary->start;
	$backup = PostgreSQL::Test::Utils::tempdir('backup');
	system_or_bail('pg_basebackup', '--no-sync', '-c', 'fast', '-X', 'none', '-D', $backup, '-d', $primary->connstr('postgres'));
	$standby->place($backup, $primary);
	archives($standby, $archive);
	$standby->start;
	tell_and_archive($primary, $archive, 'timeline 1, archived');
	$primary->tell('timeline 1, its last segment');
	$standby->caught_up($primary);
	$standby->stop('fast');
	$kept{standby} = $standby->image;
	$standby->start;
	$standby->until('it streams', sub { $standby->receiver =~ / streaming / });
	$standby->caught_up($primary);
	$primary->kill_all;
	$standby->put('facts.claim', '6');
	$standby->put('facts.archive', '') if $files eq 'at once';
	is($standby->promoted, 6, 'promoted to timeline 6');
	is($standby->histories, '2 3 4 5 6', 'with 2 to 5 burnt');
	$standby->until('timeline 6 is archived', sub { is_archived($standby, 6) });
	return;
}

# ---- recoveries from it ----

# part_of(ARCHIVE, NUMBER): an archive as it was when so many files had come.
sub part_of
{
	my ($archive, $number) = @_;
	my $part = new_archive();
	my @files = order($archive);

	mkdir $part;
	system_or_bail('cp', '-a', "$archive/$_", $part) foreach @files[ 0 .. $number - 1 ];
	return $part;
}

# restores(SERVER, ARCHIVE, TARGET): from its next start on.  What the archive did not have is in a file beside it.
sub restores
{
	my ($server, $archive, $target) = @_;

	$server->append_conf('postgresql.conf', "archive_command = '/bin/true'");
	$server->append_conf('postgresql.conf', "restore_command = 'cp $archive/%f %p 2>/dev/null || { echo %f >>$archive.missing; false; }'");
	$server->append_conf('postgresql.conf', "recovery_target_timeline = '$target'");
	return;
}

# goes_on(SERVER, DONE): wait until DONE says so, or the server has ended.  What it died of, '' if it runs.
sub goes_on
{
	my ($server, $done) = @_;

	$server->until('it has recovered or ended', sub { ($server->log =~ /database system is shut down/ && !-e $server->path('postmaster.pid')) || $done->() });
	return '' if -e $server->path('postmaster.pid');
	$server->ended;
	my ($reason) = $server->log =~ /(?:FATAL|PANIC):  ((?!the database system is).*)/;
	# 16 and later say where.
	return ($reason // 'nothing') =~ s{ at [0-9A-F]+/[0-9A-F]+$}{}r;
}

# recovery(ARCHIVE, TARGET): a recovery of the backup to the end of this archive.  In words:
# the timeline that it ended on, and the last thing it knows; or what it died of.
sub recovery
{
	my ($archive, $target) = @_;

	$other->place($backup);
	restores($other, $archive, $target);
	$other->put('recovery.signal', '');
	$other->begin;
	my $died = goes_on($other, sub { ($other->try('SELECT pg_is_in_recovery()') // '') eq 'f' });
	return "died: $died" if $died ne '';
	my ($new) = $other->log =~ /selected new timeline ID: (\d+)/;
	my ($parent) = $other->get(PgFacts::history_name($new)) =~ /(?:^|\n)(\d+)\t[^\n]*\n*\z/;
	return "timeline $parent, " . last_word($other) . ", then $new";
}

# asks_in_vain(ARCHIVE, TIMES): the timeline of which a standby has asked for a segment so often, 0 if there
# is none.  After the second time it has all that there is.
sub asks_in_vain
{
	my ($archive, $times) = @_;
	my %asked;

	return 0 if !-e "$archive.missing";
	$asked{$_}++ foreach grep { /^[0-9A-F]{24}$/ } split /\n/, slurp_file("$archive.missing");
	my ($segment) = sort { $b cmp $a } grep { $asked{$_} >= $times } keys %asked;
	return defined $segment ? hex substr $segment, 0, 8 : 0;
}

# last_word(SERVER): what it was told last, in quotes.
sub last_word { my ($last) = $_[0]->ask('SELECT word FROM told') =~ /([^\n]*)\z/; return "\"$last\""; }

# standby_from(ARCHIVE): the same for a standby that begins with the backup, and goes on waiting.
sub standby_from
{
	my $archive = shift;

	$other->place($backup, '');
	restores($other, $archive, 'latest');
	$other->begin;
	my $died = goes_on($other, sub { asks_in_vain($archive, 4) && defined $other->try('SELECT 1') || asks_in_vain($archive, 20) });
	return "died: $died" if $died ne '';
	return 'timeline ' . asks_in_vain($archive, 4) . ', ' . (defined $other->try('SELECT 1') ? last_word($other) : 'does not come up');
}

# each_state(ARCHIVE): of each state of the archive from the promotion on: the files that came, and in
# words what becomes of a recovery and of a standby.
sub each_state
{
	my $archive = shift;
	my @files = order($archive);
	my ($first) = grep { $files[$_] =~ /history/ && $files[$_] !~ /backup/ } 0 .. $#files;
	my @states;

	foreach my $number ($first .. @files)
	{
		my %state = (
			timelines => timelines(@files[ 0 .. $number - 1 ]),
			last => $files[ $number - 1 ],
			recovery => recovery(part_of($archive, $number), 'latest'),
			standby => standby_from(part_of($archive, $number)));

		note("after $state{last} ($state{timelines}): recovery: $state{recovery}; standby: $state{standby}");
		push @states, \%state;
		$other->stop('immediate') if defined $other->{_pid};
	}
	return @states;
}

# adds(PART, ARCHIVE, NAME): the next file comes.
sub adds { my ($part, $archive, $name) = @_; system_or_bail('cp', '-a', "$archive/$name", "$part.new"); system_or_bail('mv', "$part.new", "$part/$name"); return; }

# grows(ARCHIVE): a standby runs while the archive is filled file by file, and is never restarted.
sub grows
{
	my $archive = shift;
	my @files = order($archive);
	my ($number) = grep { $files[$_] =~ /^[0-9A-F]+\.history$/ } 0 .. $#files;
	my $part = part_of($archive, $number);

	$other->place($backup, '');
	restores($other, $part, 'latest');
	$other->start;
	foreach my $name (@files[ $number .. $#files ])
	{
		adds($part, $archive, $name);
		unlink "$part.missing";
		# It asks for WAL of the same place again and again.
		$other->until("it has seen $name", sub { asks_in_vain($part, 4) });
	}
	$other->until('it has all', sub { $other->knows('timeline 6, the last') });
	is($other->words, $standby->words, 'a standby that runs goes on, through each state, and has all in the end');
	$other->stop('fast');
	return;
}

subtest 'all files ready at once: the archiver takes the lowest first' => sub {
	$kept{ascending} = new_archive();
	promoted_past($kept{ascending}, 'at once');
	tell_and_archive($standby, $kept{ascending}, 'timeline 6, the last');
	is(timelines(order($kept{ascending})), '2 3 4 5 6', 'the order in which they came');
};

subtest 'until the last of them has come, who begins with this archive does not come up' => sub {
	foreach my $state (each_state($kept{ascending}))
	{
		my ($newest) = $state->{timelines} =~ /(\d+)$/;
		my $when = "after $state->{last}";

		if (defined $newest && $newest != 6)
		{
			is($state->{recovery}, $no_checkpoint, "$when: a recovery dies");
			is($state->{standby}, "timeline $newest, does not come up", "$when: a standby asks for WAL of timeline $newest");
		}
		else
		{
			my $end = defined $newest ? 6 : 1;
			like($state->{recovery}, qr/^timeline $end, /, "$when: a recovery ends on timeline $end");
			like($state->{standby}, qr/^timeline $end, "/, "$when: so does a standby");
		}
	}
	grows($kept{ascending});
};

subtest 'the history of a timeline is there and its WAL is not: a recovery makes one whose ends fall, burnt or not' => sub {
	my $archive = $kept{ascending};
	my @files = order($archive);
	my ($number) = grep { $files[$_] eq '00000006.history' } 0 .. $#files;

	is(recovery(part_of($archive, $number + 1), 'latest'), 'timeline 6, "timeline 1, archived", then 7', 'to timeline 6, of which there is nothing');
	my ($fork, $end) = $other->get(PgFacts::history_name(7)) =~ /^1\t(\S+).*^6\t(\S+)/ms;
	cmp_ok(PgFacts::position($end), '<', PgFacts::position($fork), 'it leaves 6 before it has come to it');
};

subtest 'such a standby does not come up either when the archive is complete; the next start does' => sub {
	my $archive = $kept{ascending};
	my @files = order($archive);
	my ($number) = grep { $files[$_] eq '00000002.history' } 0 .. $#files;
	my $part = part_of($archive, $number + 1);

	$other->place($backup, '');
	restores($other, $part, 'latest');
	$other->begin;
	$other->until('it asks in vain', sub { asks_in_vain($part, 4) });
	adds($part, $archive, $_) foreach @files[ $number + 1 .. $#files ];
	unlink "$part.missing";
	$other->until('it asks in vain', sub { asks_in_vain($part, 10) });
	is(asks_in_vain($part, 10), 2, 'still for timeline 2');
	is($other->try('SELECT 1'), undef, 'and answers no query');
	$other->stop('immediate');
	$other->start;
	$other->until('it has all', sub { $other->knows('timeline 6, the last') });
	is($other->words, $standby->words, 'started again, it has all');
	$other->stop('immediate');
};

subtest 'a standby with WAL of its own does not come up either, in such a state' => sub {
	my $archive = $kept{ascending};
	my @files = order($archive);
	my ($number) = grep { $files[$_] eq '00000002.history' } 0 .. $#files;

	$other->place($kept{standby}, '');
	my $part = part_of($archive, $number + 1);
	restores($other, $part, 'latest');
	$other->begin;
	is(goes_on($other, sub { asks_in_vain($part, 20) }), '', 'it does not end');
	is(asks_in_vain($part, 20), 2, 'it asks for timeline 2');
	is($other->try('SELECT 1'), undef, 'and answers no query');
	$other->stop('immediate');
};

subtest 'ready one by one, the highest first' => sub {
	$kept{descending} = new_archive();
	promoted_past($kept{descending}, 'one by one');
	foreach my $timeline (5, 4, 3, 2)
	{
		tell_and_archive($standby, $kept{descending}, "timeline 6, before $timeline");
		ok(!is_ready($standby, $timeline) && !is_archived($standby, $timeline), "nobody has told the archiver of $timeline");
		$standby->ask("SELECT archive($timeline)");
		$standby->until("timeline $timeline is archived", sub { is_archived($standby, $timeline) });
	}
	tell_and_archive($standby, $kept{descending}, 'timeline 6, the last');
	is(timelines(order($kept{descending})), '6 5 4 3 2', 'the order in which they came');
	like(join(' ', order($kept{descending})), qr/ 00000006[0-9A-F]{16} .*00000002\.history/, 'and timeline 6 had WAL there before the last');
};

subtest 'each state of this archive is good' => sub {
	foreach my $state (each_state($kept{descending}))
	{
		my $end = $state->{timelines} =~ / 2$/ ? 6 : 1;
		my $then = $end == 6 ? 7 : 2;

		like($state->{recovery}, qr/^timeline $end, "timeline $end, .*", then $then$/, "after $state->{last}: a recovery ends on timeline $end, and makes $then");
		like($state->{standby}, qr/^timeline $end, "timeline $end, /, "after $state->{last}: a standby comes up on timeline $end");
	}
	grows($kept{descending});
};

subtest 'nor does a standby with WAL of its own mind any of them' => sub {
	my @files = order($kept{descending});
	my ($first) = grep { $files[$_] eq '00000006.history' } 0 .. $#files;

	foreach my $number (grep { $files[ $_ - 1 ] =~ /history$/ } $first + 1 .. @files)
	{
		my $part = part_of($kept{descending}, $number);
		my $complete = timelines(@files[ 0 .. $number - 1 ]) =~ / 2$/;

		$other->place($kept{standby}, '');
		restores($other, $part, 'latest');
		$other->start;
		$other->until('it has all that there is', sub { asks_in_vain($part, 4) });
		is(last_word($other), $complete ? '"timeline 6, before 2"' : '"timeline 1, its last segment"', "after $files[$number - 1]: what it has");
		is($other->times($no_child), 0, 'it has not heard of timeline 2') if !$complete;
		$other->stop('immediate');
	}
};

subtest 'recoveries to a timeline that is named, from an archive with all of them' => sub {
	like(recovery($kept{descending}, 'latest'), qr/^timeline 6, "timeline 6, the last", then 7$/, 'latest: past the burnt ones');
	like(recovery($kept{descending}, '6'), qr/^timeline 6, "timeline 6, the last", then 7$/, '6: the same');
	like(recovery($kept{descending}, 'current'), qr/^timeline 1, "timeline 1, archived", then 7$/, 'current: that of the backup, and then none of theirs');
	like(recovery($kept{descending}, '1'), qr/^timeline 1, "timeline 1, archived", then 7$/, '1: the same');
	is(recovery($kept{descending}, '4'), $no_checkpoint, '4, which is burnt: it dies');
	like(recovery($kept{descending}, '7'), qr/^died: recovery target timeline 7 does not exist/, '7, which there is not: it dies');
	like(recovery(part_of($kept{descending}, order($kept{descending}) - 3), '6'), qr/^timeline 6, "timeline 6, before 3", then 7$/, '6, while 2 is not there: it is found by its name');
};

# ---- an archive that has something else ----

subtest 'the archive has another file of a burnt timeline: an archiver that refuses it does nothing else' => sub {
	my $archive = new_archive();

	promoted_past($archive, 'one by one');
	append_to_file(history_in($archive, 4), "1\t0/1000\tof one who was never heard of again\n");
	$standby->ask('SELECT archive(4)');
	my $failed = sub { $standby->ask(q{SELECT failed_count FROM pg_stat_archiver WHERE last_failed_wal = '00000004.history'}) || 0 };
	$standby->until('the archiver fails', sub { $failed->() >= 2 });
	my $segment = $standby->ask('SELECT pg_walfile_name(pg_current_wal_lsn())');
	$standby->tell('timeline 6');
	$standby->ask('SELECT pg_switch_wal()');
	my $before = $failed->();
	$standby->until('it fails again', sub { $failed->() >= $before + 2 });
	ok(!(grep { $_ eq $segment } order($archive)), "$segment, which was finished meanwhile, does not come");
	ok($standby->has("pg_wal/archive_status/$segment.ready"), 'it is ready');
	is(recovery($archive, 'latest'), 'timeline 1, "timeline 1, archived", then 2', 'a recovery is as before');

	archives($standby, $archive, 'accepts');
	$standby->reload;
	$standby->until("$segment is archived", sub { grep { $_ eq $segment } order($archive) });
	ok(is_archived($standby, 4), 'an archive_command that accepts a history file that exists goes on');
	foreach my $timeline (5, 3, 2)
	{
		$standby->ask("SELECT archive($timeline)");
		$standby->until("timeline $timeline is archived", sub { is_archived($standby, $timeline) });
	}
	like(slurp_file(history_in($archive, 4)), qr/never heard of/, 'what was there stays there');
	is(recovery($archive, 'latest'), 'timeline 6, "timeline 6", then 7', 'and a recovery goes past that, too');
};

subtest 'a server that makes the ready file of a burnt timeline a done one sets such an archiver free' => sub {
	my $status = 'pg_wal/archive_status/00000004.history';

	archives($standby, my $archive = new_archive());
	append_to_file(history_in($archive, 4), "# another\n");
	$standby->reload;
	$standby->until('sessions see the setting', sub { index($standby->ask('SHOW archive_command'), $archive) >= 0 });
	$standby->ask('SELECT archive(4)');
	$standby->ask(q{SELECT pg_stat_reset_shared('archiver')});
	$standby->until('the archiver fails', sub { $standby->ask(q{SELECT count(*) FROM pg_stat_archiver WHERE last_failed_wal = '00000004.history'}) });
	rename $standby->path("$status.ready"), $standby->path("$status.done") or die "rename: $!";
	tell_and_archive($standby, $archive, 'after that');
	pass('the next segment comes');
};

subtest 'a standby with archive_mode = always archives them as they come, the lowest first' => sub {
	my $archive = new_archive();
	$other->place($kept{standby}, '');
	archives($other, $archive);
	$other->append_conf('postgresql.conf', 'archive_mode = always');
	$other->start;
	$other->follow($standby);
	$other->streams_from($standby);
	$other->until('timeline 6 is archived', sub { is_archived($other, 6) });
	is(timelines(order($archive)), '2 3 4 5 6', 'the order in which they came');
	$other->stop('fast');
};

subtest 'a standby with archive_mode = on takes what it received for archived, burnt or not' => sub {
	$other->place($kept{standby}, '');
	archives($other, my $archive = new_archive());
	$other->start;
	$other->follow($standby);
	$other->streams_from($standby);
	is(join(' ', grep { is_archived($other, $_) } 2 .. 9), '2 3 4 5 6', 'these are done');
	$other->put('facts.claim', '8');
	$standby->kill_all;
	is($other->promoted, 8, 'promoted to timeline 8');
	$other->until('timeline 8 is archived', sub { is_archived($other, 8) });
	tell_and_archive($other, $archive, 'timeline 8');
	is(timelines(order($archive)), '8', 'of the others it tells its archive nothing');
	foreach my $timeline (reverse 2 .. 7)
	{
		$other->ask("SELECT archive($timeline)");
		$other->until("timeline $timeline is archived", sub { !is_ready($other, $timeline) });
	}
	is(timelines(order($archive)), '8 7 6 5 4 3 2', 'until it is told to, which it does though they are done');
	$other->stop('immediate');
};

# ---- pg_rewind ----

# Two servers that stream, the first to the second.
sub two_of_them
{
	if (!$kept{primary})
	{
		$primary->place($base);
		$primary->start;
		$kept{plain} = PostgreSQL::Test::Utils::tempdir('backup');
		system_or_bail('pg_basebackup', '--no-sync', '-c', 'fast', '-D', $kept{plain}, '-d', $primary->connstr('postgres'));
		$primary->stop('fast');
		$kept{primary} = $primary->image;
	}
	$primary->place($kept{primary});
	$primary->start;
	$standby->place($kept{plain}, $primary);
	$standby->start;
	$standby->streams_from($primary);
	return;
}

# diverges(OLD, NEW, CLAIM): NEW is promoted while OLD goes on; then OLD is stopped.
sub diverges
{
	my ($old, $new, $claim) = @_;

	$new->caught_up($old);
	$new->cut;
	$old->tell("lost $_, before $claim") foreach 1 .. 100;
	$new->put('facts.claim', $claim);
	is($new->promoted, $claim, $new->name . " is promoted to timeline $claim");
	$new->tell("timeline $claim");
	$old->stop('fast');
	return;
}

# comes_back(OLD, NEW): after pg_rewind.
sub comes_back
{
	my ($old, $new) = @_;

	$old->configure($new);
	$old->start;
	$old->streams_from($new);
	is($old->ask(q{SELECT count(*) FROM told WHERE word LIKE 'lost %'}), 0, 'the rows that only it had are gone');
	return;
}

subtest 'pg_rewind goes past burnt timelines, from the first one and from one that had burnt some itself' => sub {
	two_of_them();
	diverges($primary, $standby, 6);
	$primary->rewinds($standby, 0, qr/servers diverged at WAL location \S+ on timeline 1.*Done!/s, '1 and 6', '--no-ensure-shutdown');
	comes_back($primary, $standby);
	is($primary->histories, '2 3 4 5 6', 'it has all the files');
	is(join(' ', grep { is_archived($primary, $_) } 2 .. 6), '', 'and takes none of them for archived');
	diverges($standby, $primary, 9);
	$standby->rewinds($primary, 0, qr/servers diverged at WAL location \S+ on timeline 6.*Done!/s, '6 and 9', '--no-ensure-shutdown');
	comes_back($standby, $primary);
	is($standby->histories, '2 3 4 5 6 7 8 9', 'it has all the files');
};

# ---- burnt here, and real there ----

# Timeline 5 of one who was cut off; the majority knows that 5 is taken, and not where it begins.
subtest 'a timeline that is burnt on the new one and real on the old one: pg_rewind mends it' => sub {
	two_of_them();
	foreach my $server ($other, $cascade)
	{
		$server->place($kept{plain}, $primary);
		$server->start;
		$server->streams_from($primary);
	}
	$_->caught_up($primary) foreach $standby, $other, $cascade;
	$_->cut foreach $standby, $other, $cascade;
	$primary->kill_all;
	$standby->put('facts.claim', '5');
	is($standby->promoted, 5, 'one is promoted to timeline 5');
	$standby->tell("lost $_") foreach 1 .. 100;
	$other->put('facts.claim', '6');
	is($other->promoted, 6, 'another one to timeline 6');
	$other->tell('timeline 6');
	is($other->get(PgFacts::history_name(5)), BURNT, 'which has burnt 5');
	$kept{real} = $standby->get(PgFacts::history_name(5));
	like($kept{real}, qr/^1\t/m, 'the first one has a real 5');
	$standby->stop('fast');
	$standby->rewinds($other, 0, qr/servers diverged at WAL location \S+ on timeline 1.*Done!/s, '5 and 6', '--no-ensure-shutdown');
	comes_back($standby, $other);
	is($standby->get(PgFacts::history_name(5)), BURNT, '5 is burnt on both');
};

subtest 'a standby that has heard of such a timeline, and has nothing of it, needs a restart' => sub {
	$cascade->put(PgFacts::history_name(5), $kept{real});
	$cascade->put(PgFacts::history_name($_), BURNT) foreach 2 .. 4;
	$cascade->says(qr/new target timeline is 5/);
	$cascade->follow($other);
	$cascade->never_streams_from($other, qr/new timeline 6 is not a child of database system timeline 1/);
	is($cascade->histories, '2 3 4 5 6', 'it has all the files');
	$cascade->stop('fast');
	$cascade->start;
	$cascade->streams_from($other);
	is($cascade->get(PgFacts::history_name(5)), $kept{real}, 'with a 5 that is real');
};

# ---- standbys behind standbys ----

subtest 'a standby behind a standby goes past burnt timelines by itself' => sub {
	two_of_them();
	$other->place($kept{plain}, $primary);
	$other->start;
	$other->streams_from($primary);
	$cascade->place($kept{plain}, $other);
	$cascade->start;
	$cascade->until('it streams', sub { $cascade->receiver =~ / streaming / });
	$cascade->streams_from($primary);
	$other->caught_up($primary);
	$standby->caught_up($primary);
	$primary->kill_all;
	$standby->put('facts.claim', '6');
	is($standby->promoted, 6, 'promoted to timeline 6');
	$other->follow($standby);
	$other->streams_from($standby);
	$cascade->streams_from($standby);
	is($cascade->histories, '2 3 4 5 6', 'it has all the files');
};

subtest 'both start with them, stopped or killed' => sub {
	foreach my $server ($other, $cascade)
	{
		$server->stop('fast');
		$server->start;
		$server->streams_from($standby);
		$server->kill_all;
		$server->start;
		$server->streams_from($standby);
	}
};

subtest 'a standby of timeline 1 cannot follow a clone, which has the last file alone, until the clone has the others' => sub {
	my $clone = PostgreSQL::Test::Utils::tempdir('backup');

	system_or_bail('pg_basebackup', '--no-sync', '-c', 'fast', '-D', $clone, '-d', $other->connstr('postgres'));
	$primary->place($clone, $standby);
	$primary->start;
	$primary->streams_from($standby);
	is($primary->histories, '6', 'a clone of a standby has the last file');
	$cascade->place($kept{plain}, $primary);
	$cascade->start;
	$cascade->never_streams_from($standby, qr/could not (?:receive timeline history file|open file "pg_wal\/00000002.history")/);
	$primary->put(PgFacts::history_name($_), BURNT) foreach 2 .. 5;
	$cascade->streams_from($standby);
};

subtest 'the same behind a clone that was promoted: it has burnt only what is above its timeline' => sub {
	unlink map { $primary->path(PgFacts::history_name($_)) } 2 .. 5;
	$cascade->place($kept{plain}, '');
	$cascade->start;
	$primary->caught_up($standby);
	$standby->kill_all;
	$primary->put('facts.claim', '9');
	is($primary->promoted, 9, 'promoted to timeline 9');
	is($primary->histories, '6 7 8 9', 'with 7 and 8 burnt');
	$cascade->follow($primary);
	$cascade->never_streams_from($primary, qr/could not receive timeline history file/);
	$primary->put(PgFacts::history_name($_), BURNT) foreach 2 .. 5;
	$cascade->until('it gets them', sub { $cascade->histories eq '2 3 4 5 6 7 8 9' });
	pass('when it has those below as well, the standby gets all');
};

# ---- promote, and no promotion ----

subtest 'a promote file that is left when rm_cleanup has refused: the next start takes it away' => sub {
	$other->place($kept{plain}, '');
	$other->append_conf('postgresql.conf', 'restart_after_crash = on');
	$other->start;
	$other->put('facts.refuse', '');
	my $session = IPC::Run::start([ 'psql', '-X', '-d', $other->connstr('postgres'), '-c', 'SELECT pg_sleep(600)' ], '>&', \my $out);
	$other->until('there is a session', sub { $session->pump_nb; $other->ask(q{SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)'}) });
	system_or_bail('pg_ctl', '-W', '-D', $other->data_dir, 'promote');
	$other->ended;
	$session->finish;
	like($out, qr/terminating connection|server closed the connection/, 'a session is ended');
	like($other->log, qr/shutting down due to startup process failure/, 'the server ends, also with restart_after_crash = on');
	ok(!$other->has('promote'), 'the promote file is gone');
	ok($other->has('standby.signal'), 'standby.signal is there');
	is($other->histories, '', 'no history file is');
	$other->put('promote', '');
	$other->start;
	is($other->ask('SELECT pg_is_in_recovery()'), 't', 'it starts as a standby');
	ok(!$other->has('promote'), 'which has taken another promote file away');
	is($other->times(qr/received promote request/), 0, 'and not obeyed it');
	unlink $other->path('facts.refuse');
};

subtest 'a promote file without a signal is obeyed at the next one that the postmaster gets from any process' => sub {
	$other->put('promote', '');
	$other->follow($primary);
	$other->until('it promotes', sub { $other->try('SELECT pg_is_in_recovery()') eq 'f' });
	like($other->log, qr/received promote request/, 'to start a receiver is enough');
	$other->stop('immediate');
};

subtest 'a restart in place does not take the promote file away, and obeys it' => sub {
	$other->place($kept{plain}, '');
	$other->append_conf('postgresql.conf', 'restart_after_crash = on');
	$other->start;
	$other->put('promote', '');
	$other->crashes;
	$other->until('it promotes', sub { ($other->try('SELECT pg_is_in_recovery()') // '') eq 'f' });
	like($other->log, qr/reinitializing.*received promote request/s, 'in this order');
};

done_testing();
