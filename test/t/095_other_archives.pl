# test/t/095_other_archives.pl
#	  A failover whose leader had not archived all, seen by pg_leader_keep and by pgBackRest.
#
# Both archive one managed cluster.  The leader's archiver lags, it is killed, and another one is
# promoted: with archive_mode = on nobody archives what the old leader had not.  pgBackRest's own
# checks find all well, and a restore ends at the hole without an error.  What is restored from
# pg_leader_keep has all that clients were told.
#
# Segments of 1 MB.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PgLeaderManaged;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

system('pgbackrest version >/dev/null 2>&1') == 0 or plan skip_all => 'pgbackrest is not installed';

PgLeaderCluster::template('--wal-segsize=1');
my $tmp = PostgreSQL::Test::Utils::tempdir_short;
my $dir = "$tmp/a0";
my $log = "$PostgreSQL::Test::Utils::tmp_check/log/095_keep_run.log";
my $me = (getpwuid $<)[0];
my ($primary, @standbys, $run, $status, $out, $err);

# each server has a configuration of pgBackRest, by its directory
my $push = "test ! -e $tmp/lags && pgbackrest --config=$tmp/\$(echo \$PWD | tr / _) --stanza=main archive-push %p";
my $cluster = PgLeaderManaged->new('other', 3, settings => { min_timeout => '500ms', max_timeout => '1s' },
	conf => PgLeaderManaged::QUIET . "wal_keep_size = 0\nmax_slot_wal_keep_size = 400MB\narchive_mode = on\narchive_command = '$push'\n");

sub keep
{
	my ($o, $e) = ('', '');

	IPC::Run::run([ 'pg_leader_keep', '-A', $dir, @_ ], '<', \undef, '>', \$o, '2>', \$e);
	chomp $o;
	return ($? >> 8, $o, $e);
}

sub configuration { return "$tmp/" . $cluster->server(shift)->data_dir =~ tr{/}{_}r; }

# backrest(ID, COMMAND...): as of that server.
sub backrest
{
	my ($id, @command) = @_;
	my ($o, $e) = ('', '');

	IPC::Run::run([ 'pgbackrest', '--config=' . configuration($id), '--stanza=main', @command ], '<', \undef, '>', \$o, '2>', \$e);
	return ($? >> 8, $o, $e);
}

sub configure_backrest
{
	mkdir "$tmp/$_" foreach qw(repo locks spool restored);
	foreach my $id ($cluster->ids)
	{
		my $server = $cluster->server($id);

		append_to_file(configuration($id), "[global]\nrepo1-path=$tmp/repo\nlock-path=$tmp/locks\nspool-path=$tmp/spool\nlog-level-file=off\nlog-level-console=warn\n"
			. "start-fast=y\narchive-timeout=20\n[main]\npg1-path=" . $server->data_dir . "\npg1-port=" . $server->port . "\npg1-socket-path=" . $server->host . "\n");
	}
	return;
}

sub commits
{
	my $n = shift;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	foreach (1 .. $n) { is($cluster->sql($primary, 'INSERT INTO told SELECT count(*) + 1 FROM told; SELECT pg_switch_wal() IS NOT NULL'), 't', 'a commit, and the next segment'); }
	return;
}

sub last_segment { return $cluster->sql($primary, q(SELECT last_archived_wal FROM pg_stat_archiver)) // ''; }

END
{
	my $exit_code = $?;

	if (defined $run)
	{
		kill 'KILL', $run;
		waitpid $run, 0;
	}
	$? = $exit_code;
}

# ---- two archives ----

configure_backrest();
$cluster->start_all;
($primary, @standbys) = $cluster->wait_for_roles;
is($cluster->sql($primary, 'CREATE ROLE keep LOGIN REPLICATION; GRANT pg_monitor, pg_checkpoint TO keep; CREATE TABLE told (n int)'), '', 'a role for the archive');
is($cluster->sql($primary, 'GRANT EXECUTE ON FUNCTION pg_create_restore_point(text) TO keep'), '', 'and what it may do');
foreach my $id ($cluster->ids)
{
	$cluster->server($id)->append_conf('pg_hba.conf', "host all keep 127.0.0.1/32 trust\nhost replication keep 127.0.0.1/32 trust");
	$cluster->signal($id, 'HUP');
}
$cluster->wait_until('an archive of pg_leader_keep', sub {
	($status, $out, $err) = keep('init', '--role=keep', 'host=' . join(',', map { '127.0.0.1' } $cluster->ids) . ' port=' . join(',', map { $cluster->server($_)->port } $cluster->ids));
	return $status == 0 && $err eq '' || (system('rm', '-rf', glob "$dir/*") && 0);
});
append_to_file("$dir/keep.conf", "drill_hours = '0'\n");
$run = fork // die "fork: $!";
if ($run == 0)
{
	open STDIN, '<', '/dev/null';
	open STDOUT, '>>', $log;
	open STDERR, '>&', \*STDOUT;
	exec 'pg_leader_keep', '-A', $dir, 'run' or POSIX::_exit(127);
}
$cluster->wait_until('which receives', sub { (keep('get_state_all'))[1] =~ /proxy +Started/; });
($status, $out, $err) = keep('full_backup');
is($status, 0, 'and has a base backup') or diag($err);
foreach my $command ([ 'stanza-create' ], [ 'check' ], [ 'backup', '--type=full' ])
{
	($status, $out, $err) = backrest($primary, @$command);
	is($status, 0, "pgBackRest: @$command") or diag("$out$err");
}

# ---- the leader's archiver lags, and it dies ----

commits(3);
$cluster->wait_until('all of that is archived', sub { last_segment() ge ($cluster->sql($primary, 'SELECT pg_walfile_name(pg_current_wal_lsn() - 1048576)') // '~'); });
append_to_file("$tmp/lags", '');
commits(3);
$cluster->wait_for_replay($primary);
$cluster->kill_all($primary);
my $was = $primary;
$primary = $cluster->wait_for_primary('another one is the primary');
unlink "$tmp/lags" or die $!;
commits(3);
$cluster->wait_until('which archives what it writes', sub { last_segment() ge ($cluster->sql($primary, 'SELECT pg_walfile_name(pg_current_wal_lsn() - 1048576)') // '~'); });
my $told = $cluster->sql($primary, 'SELECT count(*) FROM told');
is($told, 9, 'clients were told of nine commits');

# ---- what pgBackRest says ----

($status, $out, $err) = backrest($primary, 'check');
is($status, 0, 'archives 3: pgBackRest\'s check finds nothing wrong') or diag("$out$err");
($status, $out, $err) = backrest($primary, 'verify', '--output=text', '--verbose');
like("$status $out", qr/^0 .*status: ok.*total WAL checked.*\n +missing: 0,/s, 'nor does its verify: no WAL is missing') or diag("$out$err");
($status, $out, $err) = backrest($primary, 'info');
like("$status $out", qr/^0 .*status: ok/s, 'nor its info') or diag("$out$err");
($status, $out, $err) = backrest($primary, "--pg1-path=$tmp/restored", '--type=default', 'restore');
is($status, 0, 'it restores') or diag("$out$err");
my @settings = map { ('-c', $_) } 'shared_preload_libraries=', "unix_socket_directories=$tmp", 'listen_addresses=', 'port=5998', 'archive_mode=off', 'synchronous_standby_names=', 'primary_conninfo=', 'fsync=off';
my $server = fork // die "fork: $!";
if ($server == 0)
{
	open STDIN, '<', '/dev/null';
	open STDOUT, '>>', "$log.restored";
	open STDERR, '>&', \*STDOUT;
	exec 'postgres', '-D', "$tmp/restored", @settings or POSIX::_exit(127);
}
$cluster->wait_until('it opens, as if all were there', sub {
	IPC::Run::run([ 'psql', '-XAtq', '-h', $tmp, '-p', 5998, '-U', $me, '-d', 'postgres', '-c', 'SELECT count(*) FROM told WHERE NOT pg_is_in_recovery()' ], '>', \$out, '2>', \$err);
	return $? == 0 && $out =~ /^[1-9]/; });
chomp $out;
diag("restored by pgBackRest: $out of $told commits, and no error");
cmp_ok($out, '<', $told, 'archives 2: without commits that clients were told of');
unlike(slurp_file("$log.restored") =~ s/^.*(?:is starting up|is not yet accepting connections)$//mgr, qr/FATAL|PANIC|ERROR|WARNING/, 'and without an error');
kill 'QUIT', $server;
waitpid $server, 0;

# ---- what pg_leader_keep says ----

$cluster->wait_until('the archive of pg_leader_keep has all', sub { (keep('get_state_all', '--json'))[1] =~ /"durable": ?"(\S+?)"/ && $cluster->sql($primary, "SELECT pg_current_wal_flush_lsn() <= '$1'") eq 't'; });
like((keep('get_state_all'))[1], qr/archive +Archived .*no hole/, 'it has no hole');
($status, my $gid, $err) = keep('restore', 'latest');
is($status, 0, 'it restores') or diag($err);
IPC::Run::run([ 'psql', '-XAtq', '-U', $me, '-d', (split /\n/, (keep('get_restored_path', $gid))[1])[-1], '-c', 'SELECT count(*) FROM told' ], '>', \$out, '2>', \$err);
is($out, "$told\n", 'archives 2: all that clients were told of') or diag($err);
is((keep('del_restored', $gid))[0], 0, 'and that is removed');

kill 'TERM', $run;
waitpid $run, 0;
$run = undef;
$cluster->start($was);
$cluster->wait_for_roles;
$cluster->check_timelines;
$cluster->stop_all;
done_testing();
