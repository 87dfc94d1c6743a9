# test/t/020_prometheus.pl
#	  config/prometheus/queries.yaml in Debian's prometheus-postgres-exporter: what a
#	  scrape says agrees with what the servers say, every column is exported, and
#	  nothing that somebody else has put into the database is asked.
#
# The alerts on it are tested by promtool, see test/prometheus/.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgLeaderCluster;
use PgLeaderManaged;
use POSIX ();
use Test::More;

my $queries = "$FindBin::RealBin/../../config/prometheus/queries.yaml";
my $operations = "$FindBin::RealBin/../../doc/operations.md";
my $alerts = "$FindBin::RealBin/../../config/prometheus/alerts.yaml";
my $cluster = PgLeaderCluster->new('prometheus', 3, settings => \%PgLeaderCluster::STEADY);
my (%exporter, %port, %errors);
my $owner = $$;

END { if ($$ == $owner) { local $?; kill 'KILL', values %exporter; waitpid($_, 0) foreach values %exporter; } }

# One for each server, connected as doc/operations.md says; by default as a role
# that may only log in, and to the server with that id.
sub start_exporter
{
	my ($id, $role, $database, $server) = @_;

	$server //= $cluster->server($id);

	$port{$id} = PostgreSQL::Test::Cluster::get_free_port();
	$errors{$id} = PostgreSQL::Test::Utils::tempdir() . '/exporter.log';
	my $pid = fork() // die "fork: $!";
	if ($pid == 0)
	{
		open(STDOUT, '>', $errors{$id});
		open(STDERR, '>&', \*STDOUT);
		$ENV{DATA_SOURCE_NAME} = source_name($role, $database) . ' port=' . $server->port;
		$ENV{DATA_SOURCE_NAME} =~ s/host=\K\S+/$server->host/e;
		exec('prometheus-postgres-exporter', "--web.listen-address=127.0.0.1:$port{$id}",
			'--disable-default-metrics', '--disable-settings-metrics', "--extend.query-path=$queries")
		  or POSIX::_exit(127);
	}
	$exporter{$id} = $pid;
	return;
}

# The documented data source name, for that role and database.
sub source_name
{
	my ($role, $database) = @_;
	my ($name) = PostgreSQL::Test::Utils::slurp_file($operations) =~ /^ +DATA_SOURCE_NAME='(.*)'$/m or die 'not documented';

	$role //= 'scraper';
	$database //= 'postgres';
	$name =~ s/user=\K\S+/$role/ or die $name;
	$name =~ s/dbname=\K\S+/$database/ or die $name;
	return $name;
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
		abstaining => 0, may_lead => 1, paused => 0, authentication => 0, node_id => $id, members => 3,
		server_at_risk => 0, server_without_primary_seconds => 'NaN', server_lag_bytes => 'NaN', server_rewinds => 0, server_clones => 0,
		fence_is_open => -1, map { ("fence_$_" => 0) } qw(waiting waited withheld commits_refused commands_refused reads_refused logins_refused));

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
my %used = map { $_ => 1 } PostgreSQL::Test::Utils::slurp_file($alerts) =~ /\b(pg_leader_(?!status|peers|events|stat_drops\b|admit|server\b|fence\b)\w+)/g;
my @unknown = grep { !exists $declared{$_} && !/^pg_leader_(?:max_|state|keep)/ } sort keys %used;
is("@unknown", '', 'alerts use nothing else, but for those of an archive, which 094 looks at');

# ---- in a database that somebody else owns ----

# As above, and as a superuser, who has most to lose: the owner of the database has
# filled the schemas that come first, and those that come last, with what fits better.
{
	my $server = $cluster->server($leader);
	my $superuser = getpwuid($<);
	my $run_as = sub { $server->safe_psql('theirs', $_[0], extra_params => [ '-U', 'mallory' ]) };

	$server->safe_psql('postgres', 'CREATE ROLE mallory LOGIN; CREATE DATABASE theirs OWNER mallory');
	$server->safe_psql('theirs', 'CREATE EXTENSION pg_leader SCHEMA public');
	$run_as->(qq(
		CREATE TABLE public.asked_by (who text);
		GRANT INSERT ON public.asked_by TO PUBLIC;
		CREATE FUNCTION public.caught() RETURNS int LANGUAGE sql
			AS 'INSERT INTO public.asked_by VALUES (current_user); SELECT 77';
		CREATE FUNCTION public.divided(float8, int4) RETURNS float8 LANGUAGE sql AS 'SELECT public.caught()::float8';
		CREATE OPERATOR public./ (LEFTARG = float8, RIGHTARG = int4, FUNCTION = public.divided);
		CREATE FUNCTION public.to_jsonb(public.pg_stat_pg_leader) RETURNS jsonb LANGUAGE sql
			AS 'SELECT pg_catalog.jsonb_build_object(''late_wakeups'', public.caught())';));
	foreach my $schema ($superuser, 'scraper')
	{
		$run_as->(qq(
			CREATE SCHEMA "$schema";
			CREATE VIEW "$schema".pg_leader_status AS
				SELECT 'taking part'::text AS state, true AS is_leader, 77 AS leader_id, public.caught() AS term,
					'1 s'::interval AS lease_remaining, false AS abstaining, true AS may_lead, false AS paused, false AS authentication,
					77 AS node_id, 77 AS members;
			GRANT USAGE ON SCHEMA "$schema" TO PUBLIC;
			GRANT SELECT ON ALL TABLES IN SCHEMA "$schema" TO PUBLIC;));
	}
	foreach my $who ($superuser, 'scraper')
	{
		is($server->safe_psql('theirs', 'SELECT node_id FROM pg_leader_status', extra_params => [ '-U', $who ]), 77,
			"$who without care: deceived");
		$run_as->('DELETE FROM public.asked_by');
		kill 'KILL', $exporter{$leader};
		waitpid($exporter{$leader}, 0);
		start_exporter($leader, $who, 'theirs');
		$cluster->wait_until("the exporter of $who answers", sub { defined scrape($leader) });
		my $said = scrape($leader);
		is($said->{pg_leader_node_id}, $leader, "$who: the extension's own view");
		is($said->{pg_leader_stat_late_wakeups}, $cluster->sql($leader, 'SELECT late_wakeups FROM pg_stat_pg_leader'),
			"$who: the real number");
		is($said->{pg_exporter_last_scrape_error}, 0, "$who: no query failed");
		is($run_as->('SELECT count(*) FROM public.asked_by'), '0', "$who: nothing of theirs was run");
	}
	kill 'KILL', $exporter{$leader};
	waitpid($exporter{$leader}, 0);
	start_exporter($leader);
	$cluster->wait_until("the exporter of node $leader answers again", sub { defined scrape($leader) });
}

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

# ---- the fence of a managed server ----

# scrape_fence(): what it exports of the fence, by columns.
sub scrape_fence
{
	my $said = scrape('managed') // return {};

	return { map { /^pg_leader_fence_(\w+)$/ ? ($1 => $said->{$_}) : () } keys %$said };
}

# One member, which leads as long as its election worker runs.
my $managed = PgLeaderManaged->new('managed', 1);
$managed->set(0, fence_exempt_roles => (getpwuid $<)[0] . ', scraper');
$managed->start_all;
$managed->wait_for_primary('managed: it is open');
$managed->sql(0, 'CREATE ROLE scraper LOGIN; CREATE ROLE app LOGIN; CREATE TABLE told (word text)');
start_exporter('managed', 'scraper', 'postgres', $managed->server(0));
$managed->wait_until('managed: the exporter answers', sub { (scrape_fence()->{is_open} // '') eq '1' });
is_deeply([ @{ scrape_fence() }{qw(waiting withheld commits_refused commands_refused logins_refused)} ], [ (0) x 5 ], 'managed: nothing was refused');
my $said = scrape('managed');
is_deeply([ map { $said->{"pg_leader_server_$_"} } qw(at_risk without_primary_seconds lag_bytes rewinds clones) ], [ 1, 0, 'NaN', 0, 0 ], 'managed: one member is at risk');
my $worker = $managed->worker(0);
kill 'STOP', $worker;
$managed->wait_until('managed: the fence is closed', sub { (scrape_fence()->{is_open} // '') eq '0' });
foreach (1 .. 3)
{
	$managed->server(0)->psql('postgres', "SET default_transaction_read_only = off; INSERT INTO told VALUES ('refused')");
}
$managed->server(0)->psql('postgres', 'VACUUM told') foreach 1 .. 2;
eval { local $SIG{PIPE} = 'IGNORE'; $managed->server(0)->psql('postgres', 'SELECT 1', extra_params => [ '-U', 'app' ]) };
is_deeply([ @{ scrape_fence() }{qw(commits_refused commands_refused logins_refused)} ], [ 3, 2, 1 ], 'managed: what was refused is counted');
kill 'CONT', $worker;
$managed->wait_until('managed: it is open again', sub { (scrape_fence()->{is_open} // '') eq '1' });
$managed->stop_all;
done_testing();
