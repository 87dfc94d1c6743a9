# test/t/094_keep_restore.pl
#	  pg_leader_keep: every state that snapshot has named is restored as it was, whoever led then.
#
# The ledger has what clients were told before each snapshot; what is restored is compared with it, across
# two failovers, from one base backup.  full_backup, restore and drill are killed, and go on when they are
# called again; a standby is promoted in the middle of its backup.  What cannot be restored is refused
# in words that say why, and a drill finds a page that was damaged.  "run" makes drills by itself.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PgLeaderManaged;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

PgLeaderCluster::template('--wal-segsize=1', '--data-checksums');
my $cluster = PgLeaderManaged->new('keep', 3, settings => { min_timeout => '500ms', max_timeout => '1s' },
	conf => PgLeaderManaged::QUIET . "wal_keep_size = 0\nmax_slot_wal_keep_size = 400MB\n");

# short: it has the sockets of what is restored
my $dir = PostgreSQL::Test::Utils::tempdir_short . '/a0';
my $log = "$PostgreSQL::Test::Utils::tmp_check/log/094_keep_run.log";
my $me = (getpwuid $<)[0];
my ($primary, @standbys, $run, @killed);
my %ledger;    # gid => the words that clients were told before, in order
my @told;
my ($status, $out, $err);

# ---- the program ----

# keep(VERB...): (exit status, standard output, standard error)
sub keep
{
	my ($o, $e) = ('', '');

	IPC::Run::run([ 'pg_leader_keep', '-A', $dir, @_ ], '<', \undef, '>', \$o, '2>', \$e);
	chomp $o;
	return ($? >> 8, $o, $e);
}

# In the background; its process.
sub begin
{
	my ($to, @verb) = @_;
	my $pid = fork // die "fork: $!";

	return $pid if $pid != 0;
	open STDIN, '<', '/dev/null';
	open STDOUT, '>>', $to;
	open STDERR, '>&', \*STDOUT;
	exec 'pg_leader_keep', '-A', $dir, @verb or POSIX::_exit(127);
}

# succeeds(NAME, VERB...): a test; what it prints.
sub succeeds
{
	my ($name, @verb) = @_;
	my ($code, $o, $e) = keep(@verb);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is("$code $e", '0 ', $name);
	return $o;
}

# is_refused(NAME, PATTERN, VERB...): a test.
sub is_refused
{
	my ($name, $pattern, @verb) = @_;
	my ($code, $o, $e) = keep(@verb);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	like("$code $e", qr/\A1 .*error: $pattern/s, $name);
	return;
}

sub catalogue { return split /\n/, slurp_file("$dir/catalogue"); }
sub bases { return sort { $a <=> $b } map { m{/(\d+)$} } glob "$dir/base/*"; }

# What runs below the archive, but for "run".
sub processes_of
{
	my $path = shift;

	return grep { my $line = eval { slurp_file("/proc/$_/cmdline") } // ''; index($line, $path) >= 0 } map { m{/(\d+)$} } glob '/proc/[0-9]*';
}

END
{
	my $exit_code = $?;

	keep('del_restored', $_) foreach map { m{/r_(\d+)$} } glob "$dir/restored/r_*";
	if (defined $run)
	{
		kill 'KILL', $run;
		waitpid $run, 0;
	}
	$? = $exit_code;
}

# ---- the cluster ----

sub learn_roles { ($primary, @standbys) = $cluster->wait_for_roles; return; }

sub commit
{
	my $word = shift;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($cluster->sql($primary, "INSERT INTO told VALUES ('$word') RETURNING word"), $word, "committed: $word");
	push @told, $word;
	return;
}

# take_gid(LABEL): tests; a snapshot, with what was told before.
sub take_gid
{
	my $label = shift;
	my $gid;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	commit("before $label");
	$gid = succeeds("snapshot $label", 'snapshot', $label);
	like($gid, qr/^[1-9]\d*$/, 'prints a gid');
	$ledger{$gid} = [@told];
	commit("after $label");
	return $gid;
}

# ---- what is restored ----

sub path_of { return split /\n/, (keep('get_restored_path', shift))[1]; }

sub ask
{
	my ($gid, $query) = @_;
	my (undef, $conninfo) = path_of($gid);
	my ($o, $e) = ('', '');

	IPC::Run::run([ 'psql', '-XAtq', '-d', "$conninfo user=$me", '-c', $query ], '>', \$o, '2>', \$e);
	chomp $o;
	return $o . $e;
}

# is_as_told(GID, NAME, OPTION...): tests; it is restored, equals the ledger, and is removed.
sub is_as_told
{
	my ($gid, $name, @options) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(succeeds("$name is restored", 'restore', @options, $gid), $gid, 'and it says which it is');
	is(ask($gid, 'SELECT word FROM told ORDER BY ctid'), join("\n", @{ $ledger{$gid} }), "$name is what clients were told before it");
	is(ask($gid, 'SELECT pg_is_in_recovery(), pg_get_wal_replay_pause_state()'), 't|paused', 'read-only');
	succeeds("$name is removed", 'del_restored', $gid);
	ok(!-e "$dir/restored/r_$gid" && !processes_of("$dir/restored"), 'with all that it had');
	return;
}

# ---- before there is anything ----

$cluster->start_all;
learn_roles();
is($cluster->sql($primary, "CREATE ROLE keep LOGIN REPLICATION; GRANT pg_monitor, pg_checkpoint TO keep; CREATE TABLE told (word text)"), '', 'a role for the archive');
foreach my $id ($cluster->ids)
{
	$cluster->server($id)->append_conf('pg_hba.conf', "host all keep 127.0.0.1/32 trust\nhost replication keep 127.0.0.1/32 trust");
	$cluster->signal($id, 'HUP');
}
$cluster->wait_until('an archive', sub {
	($status, $out, $err) = keep('init', '--role=keep', 'host=' . join(',', map { '127.0.0.1' } $cluster->ids) . ' port=' . join(',', map { $cluster->server($_)->port } $cluster->ids));
	return $status == 0 && $err eq '' || (system('rm', '-rf', glob "$dir/*") && 0);
});
# none but those that are asked for, up to the end
append_to_file("$dir/keep.conf", "drill_hours = '0'\n");
is_refused('nothing is restored without a base backup', qr/restore needs a base backup/, 'restore', 'latest');
is_refused('nor is there a drill', qr/drill needs a base backup/, 'drill');
is_refused('the role has to be allowed to make restore points', qr/.*permission denied.*hint: GRANT EXECUTE ON FUNCTION pg_create_restore_point/s, 'snapshot');
$cluster->sql($primary, 'GRANT EXECUTE ON FUNCTION pg_create_restore_point(text) TO keep');
is_refused('no snapshot is one that the archive has not', qr/the archive has not got the WAL.*hint: Start "run"/s, 'snapshot', '--wait=1', 'nothing');
is(scalar(grep { / gid / } catalogue()), 0, 'and none is noted');

# ---- the first base backup ----

$run = begin($log, 'run');
$cluster->wait_until('WAL is received', sub { return (keep('get_state_all'))[1] =~ /proxy +Started/; });
commit('first');
my $base = succeeds('a base backup', 'full_backup');
like($base, qr/^[1-9]\d*$/, 'prints its gid');
$ledger{$base} = [@told];
like((grep { / base / } catalogue())[-1], qr/gid=$base .*member=127\.0\.0\.1:(?!@{[ $cluster->server($primary)->port ]} )\d+/, 'from a standby');
is_deeply([ grep { -e "$dir/base/$base/data/$_" } qw(postgresql.conf postgresql.auto.conf pg_hba.conf standby.signal recovery.signal backup_label pg_leader) ], [],
	'the data have nothing of that server');
ok(-e "$dir/base/$base/config/postgresql.conf", 'its configuration is beside them');
is_deeply([ glob "$dir/base/$base/data/pg_wal/0*" ], [], 'and WAL is in the archive alone');
like((keep('get_state_all'))[1], qr/archive +Archived .*not proven yet/, 'which nothing has proven yet');

# ---- states across failovers ----

my @gids = ($base, take_gid('one'));

# segments that are complete
foreach my $number (1 .. 3)
{
	commit("segment $number");
	$cluster->sql($primary, 'SELECT pg_switch_wal()');
}
push @gids, take_gid('two');

is_refused('a label is used once', qr/the label "one" is that of the state $gids[1]/, 'snapshot', 'one');
foreach my $round (1, 2)
{
	my $was = $primary;

	commit("last of round $round");
	$cluster->kill_all($was);
	$primary = $cluster->wait_for_primary("round $round: another one is the primary");
	push @gids, take_gid("failover$round");
	$cluster->start($was);
	learn_roles();
	push @gids, take_gid("back$round");
}
is_deeply([ sort { $a <=> $b } @gids ], \@gids, 'gids grow');
is_as_told($_, "state $_", $_ == $gids[1] ? '--method=copy' : ()) foreach reverse @gids;

# by its label, and beside others
is(succeeds('restored by its label', 'restore', 'two'), $gids[2], 'it is that one');
is(succeeds('and another one beside it', 'restore', 'back2'), $gids[-1], 'it is that one, too');
is(ask('two', 'SELECT count(*) FROM told'), scalar @{ $ledger{ $gids[2] } }, 'both serve');
is(succeeds('restored again', 'restore', 'two'), $gids[2], 'it is there already');
is(ask('two', q(SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM pg_settings WHERE name IN
	('shared_preload_libraries', 'archive_mode', 'primary_conninfo', 'synchronous_standby_names', 'listen_addresses', 'max_logical_replication_workers'))),
	'archive_mode=off listen_addresses= max_logical_replication_workers=0 primary_conninfo= shared_preload_libraries= synchronous_standby_names=', 'archives 13: it is nobody\'s twin');
like(ask('two', 'CREATE TABLE mine AS SELECT 1'), qr/read-only/, 'read-only');

# what somebody has made of it is gone on with
is(ask('two', 'SELECT pg_wal_replay_resume()'), '', 'somebody makes it read-write');
$cluster->wait_until('which it becomes', sub { return ask('two', 'SELECT pg_is_in_recovery()') eq 'f'; });
is(ask('two', 'CREATE TABLE mine AS SELECT 1'), '', 'and writes');
kill 'KILL', processes_of("$dir/restored/r_$gids[2]/data");
$cluster->wait_until('its server is killed', sub { return (keep('get_restored_path', 'two'))[0] == 1; });
is(succeeds('restored again', 'restore', 'two'), $gids[2], 'it is started again');
is(ask('two', 'SELECT count(*) FROM mine'), 1, 'with what was written');
succeeds("$_ is removed", 'del_restored', $_) foreach 'two', 'back2';

# the end, which is no restore point
commit('the last of all');
$cluster->wait_until('the archive has all', sub { return (keep('get_state_all', '--json'))[1] =~ /"durable": ?"(\S+?)"/ && $cluster->sql($primary, "SELECT pg_current_wal_flush_lsn() <= '$1'") eq 't'; });
my $last = succeeds('the end of WAL', 'restore', 'latest');
is(ask($last, 'SELECT word FROM told ORDER BY ctid'), join("\n", @told), 'archives 5: has the last commit, without a switch of WAL');
is(ask($last, 'SELECT pg_is_in_recovery()'), 't', 'and is read-only');
succeeds('it is removed', 'del_restored', $last);

# ---- killed, at whatever point ----

foreach my $verb ([ 'full_backup' ], [ 'restore', 'two' ], [ 'restore', '--method=copy', 'two' ], [ 'drill', 'two' ])
{
	foreach my $delay (50_000, 400_000, 1_000_000)
	{
		my $pid = begin("$log.killed", @$verb);

		usleep($delay);
		kill 'KILL', $pid;
		waitpid $pid, 0;
		$out = succeeds("@$verb after it was killed at $delay us", @$verb);
		next if $verb->[0] eq 'drill';
		$ledger{$out} //= [@told];
		succeeds('and removed', 'del_restored', 'two') if $verb->[0] eq 'restore';
		push @killed, $out if $verb->[0] eq 'full_backup';
	}
}
is_deeply([ glob("$dir/work/*"), glob("$dir/restored/*") ], [], 'nothing is left');
is_deeply([ processes_of("$dir/work"), processes_of("$dir/restored") ], [], 'and nothing runs');
is_as_told($killed[-1], 'what was backed up then');

# ---- a standby is promoted in the middle ----

my $slow = begin("$log.slow", 'full_backup', '--max-rate=4M');
$cluster->wait_until('a slow base backup is under way', sub { return -e join '/', $dir, 'work', 'full_backup/made/data/PG_VERSION'; });
my ($source) = grep { ($cluster->sql($_, q(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender' AND query ~ 'BASE_BACKUP')) // 0) > 0 } @standbys;
ok(defined $source, 'from a standby');
$cluster->hand_over($source);
waitpid $slow, 0;
is($?, 0, 'archives 10: which is promoted, and there is a base backup all the same');
learn_roles();
like(slurp_file("$log.slow"), qr/warning: pg_basebackup has failed: .*\n\d+\n\z/s, 'from another member');
$ledger{$1} = [@told] if slurp_file("$log.slow") =~ /^(\d+)\n\z/m;
is_as_told($1, 'it') if slurp_file("$log.slow") =~ /^(\d+)\n\z/m;

# ---- proof ----

append_to_file("$dir.good.sql", "SELECT count(*) FROM told;\n");
append_to_file("$dir.bad.sql", "SELECT 1 / (count(*) - count(*)) FROM told;\n");
like(succeeds('a drill of the newest state', 'drill'), qr/^proven: gid \d+, by \w+ of base \d+, checksums are right, in/, 'proves it');
like(succeeds('a drill with SQL', 'drill', "--sql=$dir.good.sql", 'two'), qr/^proven: gid $gids[2], .*SQL ended well/, 'proves that');
is_refused('SQL that fails', qr/psql has failed: .*division by zero/, 'drill', "--sql=$dir.bad.sql", 'two');
like((catalogue())[-1], qr/ drill gid=$gids[2] .*result=failed/, 'is no proof, and that is noted');
($status, $out) = keep('get_state_all');
like($out, qr/archive +Archived .*, the drill of gid $gids[2] has failed, \d+ s ago; proven: gid $gids[2], \d+ s ago/, 'which the state says first');
is($status, 1, 'and it is a failure');
like(succeeds('a drill that ends well', 'drill', 'two'), qr/^proven: gid $gids[2],/, 'proves it');
like(succeeds('all is well again', 'get_state_all'), qr/archive +Archived .*, proven: gid $gids[2], \d+ s ago/, 'and the state says so');
my $metrics = succeeds('the state as metrics', 'get_state_all', '--prometheus') . "\n";
IPC::Run::run([ 'promtool', 'check', 'metrics' ], '<', \$metrics, '>', \$out, '2>', \$err);
is($? . $err, 0, 'which Prometheus can read');
like($metrics, qr/^pg_leader_keep_$_$/m, "metric $_")
  foreach 'gap\{archive="a0"\} 0', 'exposed\{archive="a0"\} 0', 'streaming\{archive="a0"\} 1', 'archived\{archive="a0"\} 1', 'drill_failed\{archive="a0"\} 0',
  'proven_timestamp_seconds\{archive="a0"\} 1\d{9}', 'asked_timestamp_seconds\{archive="a0"\} 1\d{9}', 'lag_bytes\{archive="a0"\} \d+',
  'storage_holds\{archive="a0",storage="127\.0\.0\.1:\d+",state="Target"\} 1', 'storage_holds\{archive="a0",storage="127\.0\.0\.1:\d+",state="Holding"\} 1';
my %used = map { $_ => 1 } slurp_file("$FindBin::RealBin/../../config/prometheus/alerts.yaml") =~ /\b(pg_leader_keep_\w+)/g;
is_deeply([ grep { $metrics !~ /^$_\{/m } sort keys %used ], [], 'all that alerts use is there');
my $relation = $cluster->sql($primary, q(SELECT pg_relation_filepath('pg_proc')));
my ($newest) = (bases())[-1];
my $page = "$dir/base/$newest/data/$relation";
open my $file, '+<', $page or die "$page: $!";
seek $file, 8192 + 4000, 0;
read $file, my $before, 1;
seek $file, 8192 + 4000, 0;
print $file chr(ord($before) ^ 1);
close $file;
is_refused('a page of the base backup that is damaged', qr/pg_checksums has failed: .*checksum verification failed/, 'drill');
like((catalogue())[-1], qr/result=failed error=.*checksum/, 'is found');
rename "$dir/base/$newest", "$dir.$newest" or die $!;

# ---- what cannot be restored ----

is_refused('a gid that nobody knows', qr/the archive knows no gid or label "12345"/, 'restore', 12345);
is_refused('a label that nobody knows', qr/the archive knows no gid or label "nobody"/, 'drill', 'nobody');
is_refused('what is not restored has no path', qr/the state $gids[2] is not restored/, 'get_restored_path', 'two');
is_refused('and cannot be removed', qr/the state $gids[2] is not restored/, 'del_restored', 'two');
rename "$dir/base/$base", "$dir.$base" or die $!;
is_refused('a state that is older than all base backups', qr/the state $gids[1] is older than the oldest base backup, \d+/, 'restore', $gids[1]);
rename "$dir.$base", "$dir/base/$base" or die $!;
is(system('cp', '-a', "$dir/base/$base", "$dir/base/" . ($base - 8)), 0, 'a base backup that is not what it says');
($status, $out, $err) = keep('restore', 'one');
is("$status $out", "0 $gids[1]", 'keeps no other from being used');
like($err, qr/warning: the base backup \d+ is not used: somebody else has started a server/, 'and it says so');
is(system('rm', '-r', "$dir/base/" . ($base - 8)), 0, 'it is removed');
succeeds('the state is removed', 'del_restored', 'one');
my $timeline = (grep { / gid gid=$gids[1] / } catalogue())[0] =~ / timeline=(\d+)/ ? $1 : 0;
my $segment = sprintf '%s/wal/%08X/%08X%08X%08X', $dir, $timeline, $timeline, 0, $gids[1] / 1048576 + 1;
rename $segment, "$dir.segment" or die "$segment: $!";
rename "$dir/base/$_", "$dir.$_" foreach grep { $_ > $base } bases();
is_refused('a state behind WAL that is missing', qr/WAL is missing in the archive: segment/, 'restore', $gids[-1]);
is_refused('and the end of WAL', qr/WAL is missing in the archive: segment/, 'restore', 'latest');
is_refused('and a drill says so', qr/WAL is missing/, 'drill', $gids[-1]);
rename "$dir.segment", $segment or die $!;
is_as_told($gids[-1], 'when it is back, the state');
$cluster->sql($primary, "SET allow_in_place_tablespaces = on; CREATE TABLESPACE elsewhere LOCATION ''");
is_refused('tablespaces are not supported', qr/the cluster has tablespaces, .*: elsewhere/, 'full_backup');
$cluster->sql($primary, 'DROP TABLESPACE elsewhere');

# no room: work/ is a small disk
my $small = "mount -t tmpfs -o size=8m,mode=777 none $dir/work && exec unshare --user --map-user=$< --map-group=" . ($( + 0) . " pg_leader_keep -A $dir restore --method=copy two";
IPC::Run::run([ 'unshare', '--user', '--map-root-user', '--mount', 'sh', '-c', $small ], '>', \$out, '2>', \$err);
like($err, qr/error: there is no room to restore the state $gids[2] by copy: it takes \d+ MB, and 8 MB are free/, 'a disk without room');
is_deeply([ glob "$dir/restored/*" ], [], 'and nothing was made');

# ---- drills that nobody asks for ----

sub restart_run
{
	kill 'TERM', $run;
	waitpid $run, 0;
	$run = begin($log, 'run');
	$cluster->wait_until('WAL is received again', sub { return (keep('get_state_all'))[1] =~ /proxy +Started/; });
	return;
}

# what drills there were behind the first $n
sub drills_after { my $n = shift; my @all = grep { / drill / } catalogue(); splice @all, 0, $n; return @all; }

like(succeeds('a drill', 'drill', 'two'), qr/^proven: gid $gids[2],/, 'the last one has ended well');
sub drilling { return scalar(my @pids = processes_of("$dir/work" . '/drill')); }

my $n_drills = () = drills_after(0);
append_to_file("$dir/keep.conf", "drill_hours = '24'\ndrill_sql = '$dir.good.sql'\n");
restart_run();
$cluster->wait_until('"run" makes a drill', sub { return scalar(drills_after($n_drills)) == 1; });
like((drills_after($n_drills))[0], qr/ result=ok .*sql=ok/, 'which proves the newest state');
my $archived = (keep('get_state_all', '--json'))[1] =~ /"timeline": ?(\d+)/ ? $1 : 0;
like((drills_after($n_drills))[0], qr/ timeline=$archived /, 'on the newest timeline');
$cluster->kill_all($primary);
my $new = $cluster->wait_for_primary('another one is the primary');
$cluster->wait_until('and one after a failover', sub { return scalar(drills_after($n_drills)) == 2; });
like((drills_after($n_drills))[1], qr/ timeline=(?!$archived )\d+ .*result=ok/, 'which proves what came behind it');
$n_drills += 2;
append_to_file("$dir/keep.conf", "drill_sql = '$dir.slow.sql'\n");
append_to_file("$dir.slow.sql", "SELECT pg_sleep(600);\n");
$cluster->start($primary);
$primary = $new;
learn_roles();
succeeds('a base backup', 'full_backup');
restart_run();
$cluster->wait_until('one that takes long', sub { return drilling() > 0; });
kill 'KILL', $run;
waitpid $run, 0;
$cluster->wait_until('ends when "run" is killed', sub { return !drilling(); });
$run = begin($log, 'run');
$cluster->wait_until('and is made again by the next', sub { return drilling() > 0; });
kill 'TERM', $run;
waitpid $run, 0;
$run = undef;
$cluster->wait_until('it has ended with "run"', sub { return !drilling(); });
is(scalar(drills_after($n_drills)), 0, 'what was not finished proves nothing');
$cluster->stop_all;
done_testing();
