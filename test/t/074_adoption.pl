# test/t/074_adoption.pl
#	  A primary with two standbys that nobody manages is taken over while clients write: the
#	  standbys first, which go on following it, and then itself.  Nothing is claimed before all
#	  members are managed, and nothing is lost.

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

# ---- a primary and two standbys ----

begin('adopted', 1, 2);
my $ledger = PostgreSQL::Test::Utils::tempdir() . '/ledger';
my $writer = start_writer($ledger);
my ($told, $outage, $primary);

$cluster->wait_until('a client writes', sub { -s $ledger });
foreach my $id (1, 2)
{
	take_over($id);
	$cluster->wait_until("node $id is managed, and follows as before", sub { is_left($id) });
	wait_for_streams(2);
}
$cluster->stays('it stays so', 3, sub { is_left(1) && is_left(2) });
nothing_is_claimed('nothing is claimed while the primary is not managed');

take_over(0);
$primary = $cluster->wait_for_primary('there is an open primary');
$cluster->wait_for_followers('both others follow it', $primary);
sleep 1;
($told, $outage) = stop_writer($writer, $ledger);
note(sprintf 'node %d is the primary; %d commits; longest time without one: %.2f s', $primary, scalar keys %$told, $outage);
cmp_ok($outage, '<', 30, 'the outage is short');
check_rows($primary, $told);
$cluster->check_timelines;
$cluster->check_history;
$cluster->stop_all;

# ---- in the wrong order, and with one that was promoted by hand ----

begin('disorder', 1, 2);
pg_ctl(2, 'promote');
$cluster->sql(2, 'CREATE TABLE mine AS SELECT generate_series(1, 1000)');
$cluster->sql(0, 'INSERT INTO told SELECT generate_series(101, 200)');
take_over(1);
take_over(0);
$cluster->wait_until('the primary is a managed standby now', sub { ($cluster->role(0)->{server} // '') eq 'standby' });
$cluster->stays('nobody is open while a second primary runs that is not managed', 3, sub { !defined $cluster->open_primary });
nothing_is_claimed('and nothing is claimed');
take_over(2);
$cluster->wait_until('all are managed standbys', sub { 3 == grep { ($cluster->role($_)->{server} // '') eq 'standby' } 0 .. 2 });
$cluster->stays('nobody is open while their data are on different timelines', 5, sub { !defined $cluster->open_primary });
nothing_is_claimed('and still nothing is claimed');
like(join('', map { $cluster->log_of($_) } 0 .. 2), qr/WARNING:  pg_leader: no primary yet: .* another timeline\n.*HINT:  "pg_leaderctl adopt" shows which/, 'the log says why');

# the operator gives up what it holds
$cluster->stop(2);
($primary) = $cluster->wait_for_leader('one of the others leads', 0, 1);
$cluster->sql($primary, 'SELECT pg_leader_admit()');
$primary = $cluster->wait_for_primary('there is an open primary');
isnt($primary, 2, 'not the one that was promoted by hand');
is($cluster->sql($primary, 'SELECT count(*) FROM told'), 200, 'with what the primary had');
$cluster->start(2);
$cluster->comes_back(2, $primary);
is($cluster->sql(2, q(SELECT to_regclass('mine') IS NULL)), 't', 'whose data are as those of the others again');
$cluster->stop_all;
done_testing();
