# test/t/077_adoption.pl
#	  A primary with two standbys that nobody manages is taken over while clients write: the
#	  standbys first, which go on following it, and then itself.  Nothing is claimed before all
#	  members are managed, and nothing is lost (existing_primary_with_standbys_is_adopted).

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use JSON::PP ();
use PgLeaderManaged;
use PostgreSQL::Test::Utils;
use Test::More;

my $cluster;

# ---- servers that nobody manages ----

# A primary, node 0, with 100 rows, and standbys that stream from it as pg_basebackup -R has
# written it.  The library is loaded everywhere, and elects.
sub begin
{
	my ($name, @standbys) = @_;
	my $primary;

	$cluster = PgLeaderManaged->new($name, 1, blank => 1, settings => { manage => 'off', min_timeout => '300ms', max_timeout => '600ms' });
	$cluster->add($_) foreach @standbys;
	$cluster->{list} = $cluster->list(0, @standbys);
	$cluster->set(0, cluster => $cluster->{list});
	$cluster->write_first_state(0);
	$primary = $cluster->server(0);
	start_by_hand(0);
	$cluster->sql(0, 'CREATE TABLE told (n int PRIMARY KEY); INSERT INTO told SELECT generate_series(1, 100)');
	foreach my $id (@standbys)
	{
		my $directory;

		$cluster->create($id);
		$directory = $cluster->server($id)->data_dir;
		rename "$directory/postgresql.conf", "$directory.conf" or die;
		system_or_bail('rm', '-r', $directory);
		system_or_bail('pg_basebackup', '-R', '-c', 'fast', '-d', $primary->connstr('postgres') . " host=127.0.0.1", '-D', $directory);
		rename "$directory.conf", "$directory/postgresql.conf" or die;
		$cluster->write_first_state($id);
		start_by_hand($id);
	}
	wait_for_streams(scalar @standbys);
	return;
}

sub pg_ctl
{
	my ($id, @arguments) = @_;
	my $server = $cluster->server($id);

	system_or_bail('pg_ctl', '-s', '-w', '-D', $server->data_dir, '-l', $server->logfile, @arguments);
	return;
}

sub start_by_hand { my $id = shift; pg_ctl($id, 'start'); return; }

sub wait_for_streams
{
	my $n = shift;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$cluster->wait_until("$n standbys stream from node 0", sub { ($cluster->sql(0, q(SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming')) // 0) == $n });
	return;
}

# take_over(ID...): it is stopped, and started by a supervisor with manage on.
sub take_over
{
	my $id = shift;

	pg_ctl($id, '-m', 'fast', 'stop');
	$cluster->set($id, manage => 'on');
	$cluster->start($id);
	return;
}

# ---- a client ----

# It commits one row after the other on whichever server takes writes, and writes down each that it was told of.
sub start_writer
{
	my $ledger = shift;
	my $hosts = join ',', map { '127.0.0.1' } $cluster->ids;
	my $ports = join ',', map { $cluster->server($_)->port } $cluster->ids;
	my $pid = fork // die "fork: $!";

	return $pid if $pid != 0;
	open my $told, '>', $ledger or POSIX::_exit(1);
	$told->autoflush(1);
	for (my $n = 101;; $n++)
	{
		my $done = 0;

		# an attempt of which nothing is known is not made again
		open STDERR, '>', '/dev/null';
		$done = system('psql', '-XAtq', '-d', "host=$hosts port=$ports dbname=postgres target_session_attrs=read-write connect_timeout=2",
			'-c', "INSERT INTO told VALUES ($n)") == 0;
		print $told PgLeaderCluster::clock_now(), " $n\n" if $done;
		POSIX::_exit(0) if -e "$ledger.end";
	}
}

# stop_writer(PID, LEDGER): ({ number => time }, longest time without a commit in s)
sub stop_writer
{
	my ($pid, $ledger) = @_;
	my %told;
	my ($before, $longest) = (undef, 0);

	append_to_file("$ledger.end", '');
	waitpid $pid, 0;
	foreach my $line (split /\n/, slurp_file($ledger))
	{
		my ($at, $n) = split / /, $line;

		$told{$n} = $at;
		$longest = $at - $before if defined $before && $at - $before > $longest;
		$before = $at;
	}
	return (\%told, $longest / 1e6);
}

sub check_rows
{
	my ($primary, $told) = @_;
	my %there = map { $_ => 1 } split /\n/, $cluster->sql($primary, 'SELECT n FROM told') // '';

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(join(' ', grep { !$there{$_} } 1 .. 100, sort { $a <=> $b } keys %$told), '', 'no acknowledged commit is lost');
	return;
}

# is_left(ID): it is managed, and goes on following as it did, even if it leads.
sub is_left
{
	my $id = shift;

	return 0 if ($cluster->sql($id, 'SELECT count(*) FROM pg_stat_wal_receiver') // 0) != 1;
	return ($cluster->role($id)->{reason} // '') =~ /^nothing_claimed(_yet)?$/;
}

sub nothing_is_claimed
{
	my $name = shift;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(join(' ', map { $cluster->state($_)->{'highest claimed timeline'} // 0 } $cluster->ids), '0 0 0', $name);
	return;
}

# adopt(): (exit status, output) of pg_leaderctl, which is told where all of them are.
sub adopt
{
	my ($out, $err) = ('', '');

	IPC::Run::run([ 'pg_leaderctl', 'adopt', '-h', join(',', map { '127.0.0.1' } $cluster->ids), '-p', join(',', map { $cluster->server($_)->port } $cluster->ids), @_ ],
		'>', \$out, '2>', \$err);
	note($out, $err);
	return ($? >> 8, $out . $err);
}

sub next_is
{
	my ($step, $id, $name) = @_;
	my $directory = $cluster->server($id)->data_dir;
	my ($status, $out) = adopt();

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($status, 0, "$name: exit status 0");
	like($out, qr/^Next is step $step, on the machine of node $id .*\n +psql -p \d+ -c 'ALTER SYSTEM SET pg_leader\.manage = on'\n +pg_ctl -D \Q$directory\E -m fast -w stop\n +pg_leader_supervisor -D \Q$directory\E\n/m, $name);
	is(scalar(() = $out =~ /^  \[x\] \d\. /mg), $step - 1, "$name: those before it are done");
	return;
}

# ---- a primary and two standbys ----

begin('adopted', 1, 2);
my $ledger = PostgreSQL::Test::Utils::tempdir() . '/ledger';
my $writer = start_writer($ledger);
my ($told, $outage, $primary);

$cluster->wait_until('a client writes', sub { -s $ledger });
next_is(3, 1, 'the first step that is left');
foreach my $id (1, 2)
{
	take_over($id);
	$cluster->wait_until("node $id is managed, and follows as before", sub { is_left($id) });
	wait_for_streams(2);
	next_is($id == 1 ? (4, 2) : (5, 0), "then, when node $id is managed");
}
$cluster->stays('it stays so', 3, sub { is_left(1) && is_left(2) });
nothing_is_claimed('nothing is claimed while the primary is not managed');

pg_ctl(0, '-m', 'fast', 'stop');
like((adopt())[1], qr/^Next is step 5, on the machine of node 0 .*\n    # its server is down: set .*\n    pg_leader_supervisor -D DATADIR\n/m, 'between the commands of the last step');
$cluster->set(0, manage => 'on');
$cluster->start(0);
$primary = $cluster->wait_for_primary('there is an open primary');
$cluster->wait_for_followers('both others follow it', $primary);
$cluster->wait_until('nothing is left to do', sub { my ($status, $out) = adopt(); return $status == 0 && $out =~ /Nothing is left to do/; });
($told, $outage) = stop_writer($writer, $ledger);
note(sprintf 'node %d is the primary; %d commits; longest time without one: %.2f s', $primary, scalar keys %$told, $outage);
cmp_ok($outage, '<', 30, 'the outage is short');
check_rows($primary, $told);
$cluster->check_timelines;
$cluster->check_history;
$cluster->stop_all;

# ---- what adopt finds ----

begin('findings', 1, 2);
$cluster->sql(0, 'CREATE ROLE replicator LOGIN; CREATE ROLE app LOGIN');
$cluster->server(0)->append_conf('postgresql.conf', "restore_command = 'false'\nsynchronous_standby_names = '*'");
$cluster->set(0, replication_conninfo => 'user=replicator');
$cluster->set(1, replication_conninfo => 'user=nobody_there');
$cluster->set(2, replication_conninfo => '');
$cluster->server(2)->append_conf('postgresql.conf', "wal_log_hints = off\ninclude_dir 'conf.d'");
mkdir $cluster->server(2)->data_dir . '/conf.d';
append_to_file($cluster->server(2)->data_dir . '/conf.d/own.conf', "work_mem = 5MB\n");
pg_ctl(2, '-m', 'fast', 'stop');
system('pg_checksums', '--disable', '-D', $cluster->server(2)->data_dir); # which fails where there are none
start_by_hand(2);
system_or_bail('pg_ctl', '-s', '-D', $cluster->server($_)->data_dir, 'reload') foreach 0, 1;
my ($found, $what);

$cluster->wait_until('a role that may not replicate', sub { ($found, $what) = adopt(); $what =~ /node 0: role "replicator" of pg_leader\.replication_conninfo has no REPLICATION/ });
is($found, 1, 'exit status 1');
like($what, qr/^To be corrected first:\n  node 0: remove restore_command: .*\n/m, 'a restore_command');
like($what, qr/^  node 1: there is no role "nobody_there" of /m, 'a role that is not there');
like($what, qr/^  node 2: set pg_leader\.replication_conninfo, with a user/m, 'no role');
like($what, qr/^Worth a look:\n(?:.*\n)*  node 0: synchronous_standby_names is set, and pg_leader replaces it/m, 'synchronous_standby_names');
like($what, qr/^  node 2: neither checksums nor wal_log_hints/m, 'what a rewind needs');
like($what, qr{^  node 2: move \S+/conf\.d/own\.conf out of the data directory}m, 'settings in a directory that a rebuild replaces');
unlike($what, qr/node [01]: move/, 'and not those of postgresql.auto.conf');
like($what, qr/^  \[ \] 2\. .*(?:\n.*)*Correct what is listed above, and call this again\.\Z/m, 'there is no next step');

# lines of pg_hba.conf: one is missing, one is met by an earlier one that rejects
my $user = (getpwuid $<)[0];

rename $cluster->server(0)->data_dir . '/pg_hba.conf', $cluster->server(0)->data_dir . '/pg_hba.conf.old';
append_to_file($cluster->server(0)->data_dir . '/pg_hba.conf', <<"TEXT");
local all all trust
host replication $user 127.0.0.0/8 trust
host all $user 127.0.0.1 255.255.255.255 trust
host replication replicator,$user 10.0.0.0/8 trust
host all +pg_monitor all reject
host all all 127.0.0.1/32 trust
TEXT
$cluster->sql(0, 'ALTER ROLE replicator REPLICATION; GRANT pg_monitor TO replicator');
($found, $what) = adopt();
foreach my $id (1, 2)
{
	like($what, qr/^  node 0: pg_hba\.conf does not let node $id in as "replicator", database "replication"$/m, "node $id: no line");
	like($what, qr/^  node 0: pg_hba\.conf does not let node $id in as "replicator", database "postgres": an earlier line rejects it$/m, "node $id: rejected");
}
like($what, qr{^Lines to add to pg_hba\.conf,.*\n  node 0:  host  replication  replicator  127\.0\.0\.1/32  scram-sha-256\n  node 0:  host  postgres     replicator  127\.0\.0\.1/32  scram-sha-256\n\n}m, 'with the lines to add');
like($what, qr/node 0: role "replicator" has not the rights that pg_rewind needs/, 'what a rewind needs');
$cluster->sql(0, 'REVOKE pg_monitor FROM replicator');
($found, $what) = adopt();
unlike($what, qr/does not let node \d in as "replicator", database "postgres"/, 'a line for a group of which it is no member');

# who may not see everything is told so; a standby that does not stream, and one that is down
rename $cluster->server(0)->data_dir . '/pg_hba.conf.old', $cluster->server(0)->data_dir . '/pg_hba.conf';
system_or_bail('pg_ctl', '-s', '-D', $cluster->server(0)->data_dir, 'reload');
$cluster->wait_until('a role that may see less', sub { ($found, $what) = adopt('-U', 'app'); $what =~ /node 0: pg_leader\.replication_conninfo and pg_hba\.conf are not visible: connect as a superuser/ });
$cluster->sql(2, q(ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port=1'; SELECT pg_reload_conf()));
pg_ctl(1, '-m', 'fast', 'stop');
$cluster->wait_until('one that does not stream', sub { ($found, $what) = adopt(); $what =~ /^  node 2: it does not stream/m });
like($what, qr/^  node 1: it does not answer: /m, 'one that is down');
pg_ctl($_, '-m', 'immediate', 'stop') foreach 0, 2;

# ---- in the wrong order, and with one that was promoted by hand ----

begin('disorder', 1, 2);
pg_ctl(2, 'promote');
{
	my ($status, $out) = adopt();

	is($status, 1, 'two primaries: exit status 1');
	like($out, qr/^To be corrected first:\n(?:.*\n)*  2 servers are primaries: only one of them has the data that count/m, 'and what is wrong');
}
$cluster->sql(2, 'CREATE TABLE mine AS SELECT generate_series(1, 1000)');
$cluster->sql(0, 'INSERT INTO told SELECT generate_series(101, 200)');
take_over(1);
take_over(0);
$cluster->wait_until('the primary is a managed standby now', sub { ($cluster->role(0)->{server} // '') eq 'standby' });
$cluster->stays('nobody is open while a second primary runs that is not managed', 3, sub { !defined $cluster->open_primary });
nothing_is_claimed('and nothing is claimed');

# and back: as before, with a standby that is managed
$cluster->stop(0);
$cluster->set(0, manage => 'off');
unlink $cluster->server(0)->data_dir . '/standby.signal' or die;
start_by_hand(0);
wait_for_streams(1);
is($cluster->sql(0, 'DELETE FROM told WHERE n = 200'), '', 'it is the primary as before');
take_over(0);
take_over(2);
$cluster->wait_until('all are managed standbys', sub { 3 == grep { ($cluster->role($_)->{server} // '') eq 'standby' } 0 .. 2 });
$cluster->stays('nobody is open while their data are on different timelines', 5, sub { !defined $cluster->open_primary });
nothing_is_claimed('and still nothing is claimed');
like(join('', map { $cluster->log_of($_) } 0 .. 2), qr/WARNING:  pg_leader: no primary yet: .* another timeline\n.*HINT:  "pg_leaderctl adopt" shows which/, 'the log says why');

like((adopt())[1], qr/^  node 2: it is on timeline 2, and node 0 on 1: one of them was promoted by hand/m, 'and so does adopt');

# the operator gives up what it holds
$cluster->stop(2);
($primary) = $cluster->wait_for_leader('one of the others leads', 0, 1);
$cluster->sql($primary, 'SELECT pg_leader_admit()');
$primary = $cluster->wait_for_primary('there is an open primary');
isnt($primary, 2, 'not the one that was promoted by hand');
is($cluster->sql($primary, 'SELECT count(*) FROM told'), 199, 'with what the primary had');
$cluster->start(2);
$cluster->comes_back(2, $primary);
is($cluster->sql(2, q(SELECT to_regclass('mine') IS NULL)), 't', 'whose data are as those of the others again');
$cluster->stop_all;
done_testing();
