# test/t/071_rebuild.pl
#	  Servers whose data directory no longer fits are rebuilt by their supervisor: rewound
#	  where that is enough, else cloned; and a rebuild that is ended anywhere is gone on with.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PgLeaderManaged;
use PostgreSQL::Test::Utils;
use Test::More;

my $cluster = PgLeaderManaged->new('rebuild', 3, settings => { min_timeout => '300ms', max_timeout => '600ms', allow_local_commit => 'on' },
	conf => PgLeaderManaged::QUIET);
my ($primary, @others);
my $told = 0;

sub learn_roles { ($primary, @others) = $cluster->wait_for_roles; return; }

sub directory { my $id = shift; return $cluster->server($id)->data_dir; }

sub commit_one
{
	$told++;
	is($cluster->sql($primary, "INSERT INTO told VALUES ($told)"), '', "commit $told");
	return;
}

# all_equal(): a test; each server has what was answered, row by row, and nothing else.
sub all_equal
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$cluster->wait_for_replay($primary);
	my %said = map { ($cluster->sql($_, 'SELECT string_agg(n::text, chr(44) ORDER BY n) FROM told') => 1) } $cluster->ids;
	is(join(' | ', keys %said), join(',', 1 .. $told), 'all servers have what was answered, and nothing else');
	return;
}

# diverge(N): N commits of the primary that nobody else receives; it is killed, and not started.
sub diverge
{
	my $n = shift;
	my $old = $primary;
	my @receivers = $cluster->receivers($old);

	$cluster->wait_for_replay($old); # one that is just writing would go on to read what comes
	kill 'STOP', @receivers;
	is($cluster->sql($old, "SET synchronous_commit = local; INSERT INTO told SELECT -g FROM generate_series(1, $n) g"), '', "$n rows that nobody else has");
	$cluster->signal($old, 'KILL');
	$cluster->wait_until('its supervisor and its server are gone', sub { !$cluster->is_running($old) && !defined $cluster->postmaster($old) });

	# what is on its way to them they must not read either
	kill 'TERM', @receivers;
	kill 'CONT', @receivers;
	return $old;
}

sub leftovers { my $id = shift; return join ' ', map { s{.*/}{}r } glob(directory($id) . '.pg_leader*'), grep { -e } directory($id) . '/../leader-node-none'; }

$cluster->start_all;
learn_roles();
is($cluster->sql($primary, 'CREATE TABLE told (n int)'), '', 'a table');
commit_one();

subtest 'a killed primary that has more than the others (S3, unreceived_commits): rewound' => sub {
	my $old = diverge(50);
	my $offset = $cluster->log_size($old);
	my $conf = slurp_file(directory($old) . '/postgresql.conf');

	learn_roles();
	commit_one();
	$cluster->start($old);
	$cluster->wait_until('it streams again', sub { $cluster->follows($old, $primary) });
	like($cluster->log_of($old, $offset), qr/rewinding the data directory.*is a copy of the leader's: rewound/s, 'by a rewind');
	like($cluster->log_of($old, $offset), qr/what is thrown away is kept in ".*": WAL of timeline \d+ from .* with 1 commit from /, 'what it had alone is kept and described');
	is(slurp_file(directory($old) . '/postgresql.conf'), $conf, 'its configuration is its own');
	$cluster->wait_until('nothing lies beside its directory', sub { leftovers($old) eq '' });
	learn_roles();
	all_equal();
};

subtest 'its data are lost: cloned' => sub {
	my ($lost) = @others;
	my $offset = $cluster->log_size($lost);

	$cluster->stop($lost);
	system_or_bail('sh', '-c', "cd '@{[ directory($lost) ]}' && rm -rf base global pg_wal pg_xact PG_VERSION");
	$cluster->start($lost);
	$cluster->wait_until('it streams again', sub { $cluster->follows($lost, $primary) });
	like($cluster->log_of($lost, $offset), qr/cloning the data directory.*is a copy of the leader's: cloned/s, 'by a clone');
	$cluster->wait_until('nothing lies beside its directory', sub { leftovers($lost) eq '' });
	commit_one();
	all_equal();
};

$cluster->check_timelines;
$cluster->check_history;
$cluster->stop_all;
done_testing();
