# test/t/020_prometheus.pl
#	  config/prometheus/queries.yaml in Debian's prometheus-postgres-exporter: what a
#	  scrape says agrees with what the servers say, and every column is exported.
#
# The alerts on it are tested by promtool, see test/prometheus/.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgLeaderCluster;
use POSIX ();
use Test::More;

my $queries = "$FindBin::RealBin/../../config/prometheus/queries.yaml";
my $alerts = "$FindBin::RealBin/../../config/prometheus/alerts.yaml";
my $cluster = PgLeaderCluster->new('prometheus', 3, settings => \%PgLeaderCluster::STEADY);
my (%exporter, %port, %errors);
my $owner = $$;

END { if ($$ == $owner) { local $?; kill 'KILL', values %exporter; waitpid($_, 0) foreach values %exporter; } }

# One for each server, connected as a role that may only log in.
sub start_exporter
{
	my ($id) = @_;
	my $server = $cluster->server($id);

	$port{$id} = PostgreSQL::Test::Cluster::get_free_port();
	$errors{$id} = PostgreSQL::Test::Utils::tempdir() . '/exporter.log';
	my $pid = fork() // die "fork: $!";
	if ($pid == 0)
	{
		open(STDOUT, '>', $errors{$id});
		open(STDERR, '>&', \*STDOUT);
		$ENV{DATA_SOURCE_NAME} = 'user=scraper dbname=postgres sslmode=disable host=' . $server->host . ' port=' . $server->port;
		exec('prometheus-postgres-exporter', "--web.listen-address=127.0.0.1:$port{$id}",
			'--disable-default-metrics', '--disable-settings-metrics', "--extend.query-path=$queries")
		  or POSIX::_exit(127);
	}
	$exporter{$id} = $pid;
	return;
}

# What it exports of ours: { name{labels} => value }; undef: no answer.
sub scrape
{
	my ($id) = @_;
	my ($out, $err);

	IPC::Run::run([ 'curl', '-sSf', '--noproxy', '*', '-m', '10', "http://127.0.0.1:$port{$id}/metrics" ], '>', \$out, '2>', \$err);
	return undef if $? != 0;
	my %found;
	foreach my $line (split /\n/, $out)
	{
		next unless $line =~ /^(pg_leader_\w+|pg_exporter_\w+)(?:\{(.*)\})? (\S+)$/;
		my ($name, $labels, $value) = ($1, $2 // '', $3);
		$labels = join ',', grep { !/^server=/ } split /,(?=\w+=")/, $labels;
		$found{ $name . ($labels ne '' ? "{$labels}" : '') } = $value;
	}
	return \%found;
}

$cluster->start_all;
my ($leader, $term) = $cluster->wait_for_leader('one leader');
foreach my $id ($cluster->ids)
{
	$cluster->server($id)->safe_psql('postgres', 'CREATE ROLE scraper LOGIN');
	start_exporter($id);
	$cluster->wait_until("the exporter of node $id answers", sub { defined scrape($id) });
}

# ---- what a scrape says ----

foreach my $id ($cluster->ids)
{
	my $said = scrape($id);
	my $leads = $id == $leader ? 1 : 0;
	my %expected = (taking_part => 1, is_leader => $leads, leader_known => 1, leader_id => $leader, term => $term,
		abstaining => 0, may_lead => 1, authentication => 0, node_id => $id, members => 3);

	foreach my $name (sort keys %expected)
	{
		is($said->{"pg_leader_$name"}, $expected{$name}, "node $id: pg_leader_$name");
	}
	my $remaining = $said->{pg_leader_lease_remaining_seconds};
	ok($leads ? $remaining > 0 && $remaining < 1 : $remaining == 0, "node $id: the rest of its lease");
	is($said->{pg_exporter_last_scrape_error}, 0, "node $id: no query failed");

	foreach my $peer ($cluster->others($id))
	{
		my $labels = 'address="' . $cluster->address($peer) . "\",peer=\"$peer\"";
		is($said->{"pg_leader_peer_other_list{$labels}"}, 0, "node $id: peer $peer has the same list");
		is($said->{"pg_leader_peer_other_version{$labels}"}, 0, "node $id: peer $peer has the same version");
		ok(exists $said->{"pg_leader_peer_round_trip_seconds{$labels}"}, "node $id: round trip to peer $peer");
		is($said->{"pg_leader_peer_reachable{$labels}"}, 1, "the leader reaches peer $peer") if $leads;
	}
	is($said->{pg_leader_stat_elections_won}, $cluster->sql($id, 'SELECT elections_won FROM pg_stat_pg_leader'),
		"node $id: elections won");
	foreach my $row (split /\n/, $cluster->sql($id, "SELECT dropped_by || '|' || reason FROM pg_leader_stat_drops"))
	{
		my ($by, $reason) = split /\|/, $row;
		my $name = "pg_leader_drop_datagrams{dropped_by=\"$by\",reason=\"$reason\"}";
		ok(exists $said->{$name}, "node $id: drops: $reason");
	}
	cmp_ok($said->{pg_leader_stat_datagrams_sent}, '>', 0, "node $id: datagrams sent");
}

# Counters go on, and are in the units that they are said to be in.
my $before = scrape($leader);
my ($saves, $time) = split /\|/, $cluster->sql($leader, 'SELECT saves, save_time FROM pg_stat_pg_leader');
is($before->{pg_leader_stat_saves}, $saves, 'saves');
cmp_ok(abs($before->{pg_leader_stat_save_seconds} - $time / 1000), '<', 1e-6, 'time of saves, in seconds');
$cluster->wait_until('counters grow', sub {
		scrape($leader)->{pg_leader_stat_datagrams_sent} > $before->{pg_leader_stat_datagrams_sent} });

# ---- every metric of the file is exported, and every one that alerts use is there ----

my ($prefix, %declared);
foreach my $line (split /\n/, PostgreSQL::Test::Utils::slurp_file($queries))
{
	$prefix = $1 if $line =~ /^(\w+):$/;
	next unless $line =~ /^    - (\w+):$/;
	my $column = $1;
	$declared{"${prefix}_$column"} = 1 unless $column =~ /^(?:peer|address|dropped_by|reason)$/;
}
my %exported = map { s/\{.*//r => 1 } keys %{ scrape($leader) };
is(join(' ', grep { !$exported{$_} } sort keys %declared), '', 'all that is declared is exported');
my %used = map { $_ => 1 } PostgreSQL::Test::Utils::slurp_file($alerts) =~ /\b(pg_leader_(?!status|peers|events|stat_drops\b|admit)\w+)/g;
my @unknown = grep { !exists $declared{$_} && !/^pg_leader_(?:max_|state)/ } sort keys %used;
is("@unknown", '', 'alerts use nothing else');

# ---- a failover, as it is seen from outside ----

$cluster->kill_all($leader);
my $old = $leader;
($leader, $term) = $cluster->wait_for_leader('another leader', $cluster->others($old));
$cluster->wait_until('the scrape of the new leader says so', sub {
		my $said = scrape($leader);
		$said->{pg_leader_is_leader} == 1 && $said->{pg_leader_term} == $term });
my $labels = 'address="' . $cluster->address($old) . "\",peer=\"$old\"";
$cluster->wait_until('and that the dead member is out of reach', sub {
		scrape($leader)->{"pg_leader_peer_reachable{$labels}"} == 0 });

# Nobody leads: no row is missing.
$cluster->stop($_, 'immediate') foreach grep { $_ != $leader } $cluster->running;
$cluster->wait_until('without a majority', sub {
		my $said = scrape($leader);
		$said->{pg_leader_is_leader} == 0 && $said->{pg_leader_leader_known} == 0 && $said->{pg_leader_leader_id} == -1 });

$cluster->check_history;
$cluster->stop_all;
done_testing();
