# test/t/042_upstream.pl
#	  What node/upstream.c learns of real servers: what they are, histories, bytes of WAL;
#	  that it says what they do not have, and that it waits for nobody longer than it may.
#
# test/lib/upstream_probe.c is it as a program.  Without pg_leader.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgFacts;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

# In ms: of a server that answers, and of one that does not.
use constant PATIENCE => 1000 * PgFacts::LIMIT;
use constant SHORT => 700;

# What a machine that is busy may take longer.
use constant GRACE => 5000;

my $root = "$FindBin::RealBin/../..";
my $probe = PostgreSQL::Test::Utils::tempdir('probe') . '/upstream_probe';
my ($include, $libraries) = map { qx(pg_config --$_) =~ s/\n$//r } qw(includedir libdir);

plan skip_all => 'there is no C compiler' if system('cc --version >/dev/null 2>&1') != 0;
system_or_bail('cc', '-std=gnu11', '-Wall', '-isystem', $include, '-o', $probe, "$root/test/lib/upstream_probe.c",
	(map { "$root/node/$_.c" } qw(upstream lineage words)), "-L$libraries", '-lpq');

my $base = PgFacts->first_image('wal_keep_size = 0', 'CREATE ROLE replicator LOGIN REPLICATION');
my ($primary, $standby) = map { PgFacts->new($_) } qw(primary standby);

# conninfo(SERVER): as a role that has nothing but REPLICATION.
sub conninfo { my $server = shift; return 'user=replicator host=' . $server->host . ' port=' . $server->port; }

# arguments(SERVER, { patience, stop }, QUESTION...)
sub arguments
{
	my ($server, $options, @questions) = @_;

	return ($probe, $options->{patience} // PATIENCE, $options->{stop} // 0, conninfo($server), @questions);
}

# answers(OUTPUT): a hash for each question: what it says, whether it is connected after it, and ms.
sub answers
{
	return map { /^(.*) (connected|closed) (\d+)$/ ? { says => $1, is => $2, ms => $3 } : die "what is \"$_\"?" } split /\n/, shift;
}

# asks(...): all of them on one connection, as long as it is there.
sub asks
{
	my ($out, $err);

	IPC::Run::run([ arguments(@_) ], '>', \$out, '2>', \$err) or die "the probe: $err";
	return answers($out);
}

# at(POSITION, MORE): "1/2A", so much further on.
sub at
{
	my ($position, $more) = @_;
	my $sum = PgFacts::position($position) + $more;

	return sprintf '%X/%X', $sum >> 32, $sum & 0xFFFFFFFF;
}

# wal_of(SERVER, TIMELINE, FROM, LENGTH): "LENGTH BYTES", read from its files.
sub wal_of
{
	my ($server, $timeline, $from, $length) = @_;
	my $position = PgFacts::position($from);
	my $bytes = '';

	while (length $bytes < $length)
	{
		my $name = sprintf 'pg_wal/%08X%08X%08X', $timeline, $position >> 32, ($position & 0xFFFFFFFF) >> 20;
		my $part = substr $server->get($name), $position % 2**20, $length - length $bytes;

		$bytes .= $part;
		$position += length $part;
	}
	return "$length " . unpack 'H*', $bytes;
}

# fill(MEGABYTES): so much WAL, in more than one segment, and no two parts of it alike.
sub fill
{
	my $megabytes = shift;

	$primary->ask(q(SELECT pg_logical_emit_message(true, 'fills', string_agg(md5(random()::text), '')) FROM generate_series(1, 32 * 1024)))
	  foreach 1 .. $megabytes;
	return;
}

# is_in_time(ANSWER, MS, WHAT)
sub is_in_time
{
	my ($answer, $ms, $what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	cmp_ok($answer->{ms}, '>=', $ms - 1, "$what: not before that");
	cmp_ok($answer->{ms}, '<', $ms + GRACE, "$what: and in time: $answer->{ms} ms");
	return;
}

$primary->place($base);
$primary->start;
$standby->place($base, $primary);
$standby->start;
$primary->ask("SELECT pg_create_physical_replication_slot('keeps', true)");
fill(4);
$standby->caught_up($primary);

my $system = $primary->control->{'Database system identifier'};
my $major = int($primary->ask('SHOW server_version_num') / 10000);

# ---- what it is ----

my ($answer) = asks($primary, {}, 'identify');

is($answer->{says}, "system $system timeline 1 flush " . $primary->flushed . " major $major control 1", 'a primary');
is($answer->{is}, 'connected', 'the connection is kept');
$standby->until('it has flushed all', sub { $standby->received eq $primary->flushed });
($answer) = asks($standby, {}, 'identify');
is($answer->{says}, "system $system timeline 1 flush " . $primary->flushed . " major $major in recovery control 1", 'a standby');

# ---- bytes ----

my $written = $primary->flushed;
my $begin = at($written, -3 * 2**20 - 4321);
my $over_the_end = at(sprintf('%X/%X', PgFacts::position($begin) >> 32, ((PgFacts::position($begin) >> 20) + 1 << 20) & 0xFFFFFFFF), -1001);
my @places = ([ $begin, 65536 ], [ $over_the_end, 2002 ], [ at($written, -1), 1 ], [ at($written, -65536), 65536 ]);

foreach my $server ($primary, $standby)
{
	my @read = asks($server, {}, map { "read=1,$_->[0]," . at(@$_) } @places);

	foreach my $i (0 .. $#places)
	{
		my ($from, $length) = @{ $places[$i] };

		ok($read[$i]{says} eq wal_of($server, 1, $from, $length), $server->name . ": $length bytes from $from are those of its file")
		  or diag(substr $read[$i]{says}, 0, 200);
		is($read[$i]{is}, 'connected', 'and the connection is kept');
	}
}
$primary->until('nothing stays of a connection that was ended',
	sub { $primary->ask(q(SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'pg_leader%')) == 0 });

# What is not there yet is waited for, but for what begins in the future.
($answer) = asks($primary, {}, 'read=1,' . at($written, 2**20) . ',' . at($written, 2**20 + 1));
like($answer->{says}, qr/^has not: .*is ahead of the WAL flush position/, 'WAL of the future: it does not have it');
($answer) = asks($primary, { patience => SHORT }, 'read=1,' . at($written, -100) . ',' . at($written, 60000));
like($answer->{says}, qr/^failed: could not read WAL of .*: there was no answer in time; If this persists/, 'a part of it is there: the rest is waited for');
is($answer->{is}, 'closed', 'then the connection is closed');
is_in_time($answer, SHORT, 'the rest of it');

# ---- histories and timelines ----

$standby->cut;
my $fork = $standby->replayed;
is($standby->promoted, 2, 'the standby is promoted');
my $history = $standby->get(PgFacts::history_name(2));
my @told = asks($standby, {}, 'identify', 'history=2', 'history=1', 'history=3',
	'read=1,' . at($fork, -2000) . ",$fork", 'read=2,' . at($fork, -2000) . ',' . at($fork, 30));

like($told[0]{says}, qr/^system $system timeline 2 flush \S+ major $major control 2$/, 'a promoted standby is a primary on timeline 2');
is($told[1]{says}, length($history) . ' ' . unpack('H*', $history), 'its history file');
is($told[2]{says}, '0 ', 'timeline 1 has none');
is($told[3]{says}, '0 ', 'nor has a timeline that does not exist');
ok($told[4]{says} eq wal_of($standby, 1, at($fork, -2000), 2000), 'WAL of timeline 1, up to the fork');
ok($told[5]{says} eq wal_of($standby, 2, at($fork, -2000), 2030), 'the segment of timeline 2 has the end of timeline 1')
  or diag(substr $told[5]{says}, 0, 200);
is(scalar(grep { $_->{is} ne 'connected' } @told), 0, 'all on one connection');

my @wrong = asks($standby, {}, 'read=1,' . at($fork, -100) . ',' . at($fork, 1), "read=1,$fork," . at($fork, 1),
	'read=1,' . at($fork, 1) . ',' . at($fork, 2), "read=7,$fork," . at($fork, 1), 'history=2');

like($wrong[0]{says}, qr/^has not: .*: its timeline ends before; $/, 'beyond the end of a timeline: it ends the copy');
like($wrong[1]{says}, qr/^has not: .*: its timeline ends before; $/, 'from the end of a timeline');
like($wrong[2]{says}, qr/^has not: .*is not in this server's history; $/, 'from behind the end of a timeline');
like($wrong[3]{says}, qr/^has not: .*timeline 7 is not in this server's history; $/, 'a timeline that it is not on');
is($wrong[4]{says}, $told[1]{says}, 'and it goes on answering');
is(scalar(grep { $_->{is} ne 'connected' } @wrong), 0, 'all on one connection');

# ---- WAL that is gone ----

$primary->ask("SELECT pg_drop_replication_slot('keeps')");
$primary->ask('SELECT pg_switch_wal()');
$primary->ask('CHECKPOINT');
my @gone = asks($primary, {}, "read=1,$begin," . at($begin, 10), 'identify');
like($gone[0]{says}, qr/^has not: .*requested WAL segment [0-9A-F]{24} has already been removed; $/, 'a segment that was removed');
is($gone[1]{says} =~ /^system $system /, 1, 'and it goes on answering');

# ---- servers that do not answer ----

my $out = '';
my $run = IPC::Run::start([ arguments($primary, { patience => SHORT }, 'identify', 'sleep=2000', 'identify') ], '>', \$out);
my $walsender = $primary->until('it is connected', sub {
	$run->pump_nb;
	return $out =~ /\n/ && $primary->ask(q(SELECT pid FROM pg_stat_activity WHERE application_name = 'pg_leader_7_check' AND datname = 'postgres' AND backend_type = 'walsender'));
});
kill 'STOP', $walsender;
$run->finish;
kill 'CONT', $walsender;
my @stopped = answers($out);
like($stopped[0]{says}, qr/^system/, 'a process that answers');
like($stopped[1]{says}, qr/^could not ask what it is of .*: there was no answer in time; /, 'and does not when it is stopped');
is_in_time($stopped[1], SHORT, 'a process that is stopped');

my $postmaster = $primary->get('postmaster.pid') =~ s/\n.*//rs;
kill 'STOP', $postmaster;
($answer) = asks($primary, { patience => SHORT }, 'identify');
like($answer->{says}, qr/^could not connect to .*: there was no answer in time; /, 'a postmaster that is stopped');
is_in_time($answer, SHORT, 'a postmaster that is stopped');
($answer) = asks($primary, { stop => SHORT }, 'identify');
like($answer->{says}, qr/^could not connect to .*: this was broken off; $/, 'broken off');
is_in_time($answer, SHORT, 'broken off');
kill 'CONT', $postmaster;

$run = IPC::Run::start([ arguments($primary, {}, 'identify', 'sleep=1500', 'identify', 'identify') ], '>', \($out = ''));
$primary->until('it is connected', sub { $run->pump_nb; return $out =~ /\n/ });
$primary->stop('fast');
$run->finish;
@stopped = answers($out);
is($stopped[1]{is}, 'closed', 'a server that was stopped: the connection is closed');
like($stopped[2]{says}, qr/^could not connect to .*; Check pg_leader\.replication_conninfo/, 'then there is nobody');
cmp_ok($stopped[2]{ms}, '<', GRACE, 'and that is said at once');

done_testing();
