# test/t/075_more_members.pl
#	  Managed members that begin with nothing: all but one of a new cluster, a fourth one of a
#	  cluster that runs, and one that has lost both its data and its state file
#	  (members_join_empty).

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PgLeaderManaged;
use PostgreSQL::Test::Utils;
use Test::More;

my $cluster = PgLeaderManaged->new('more', 3, blank => 1, settings => { min_timeout => '300ms', max_timeout => '600ms' },
	conf => PgLeaderManaged::QUIET);
my ($primary, @others);
my $told = 0;

# empty(ID): nothing but its configuration is left.
sub empty
{
	my $id = shift;
	my $data = $cluster->server($id)->data_dir;
	my $conf = slurp_file("$data/postgresql.conf");

	system_or_bail('rm', '-rf', $data);
	mkdir $data, 0700 or die "$data: $!";
	append_to_file("$data/postgresql.conf", $conf);
	return;
}

sub commit_one
{
	$told++;
	is($cluster->sql($primary, "INSERT INTO told VALUES ($told)"), '', "commit $told");
	return;
}

# has_all(ID): a test; it follows, with what was told, and is who it was.
sub has_all
{
	my $id = shift;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$cluster->wait_until("node $id has all that was told", sub { ($cluster->sql($id, 'SELECT count(*) FROM told') // '') eq $told });
	is($cluster->sql($id, 'SHOW pg_leader.node_id'), $id, "node $id: its configuration is its own");
	return;
}

# Without state files: nobody votes before all have met.
empty($_) foreach 1, 2;
$cluster->start(1, 2);
$cluster->stays('as long as one has not been seen, nothing begins', 2, sub { !defined $cluster->postmaster(1) && !defined $cluster->postmaster(2) });
$cluster->start(0);
($primary, @others) = $cluster->wait_for_roles;
is($primary, 0, 'who has data is the primary');
is($cluster->sql($primary, 'CREATE TABLE told (n int)'), '', 'it takes commits');
commit_one();
has_all($_) foreach @others;

# A fourth one: each of the others gets the longer list, one by one, with a supervisor that is
# started again.
$cluster->add(3);
my $list = $cluster->{list} = $cluster->list(0 .. 3);
foreach my $id (0 .. 2)
{
	$cluster->set($id, cluster => $list);
	$cluster->stop($id);
	$cluster->start($id);
}
$cluster->create(3)->append_conf('postgresql.conf', PgLeaderManaged::QUIET);
empty(3);
my $offset = $cluster->log_size(3);
$cluster->start(3);
($primary, @others) = $cluster->wait_for_roles;
like($cluster->log_of(3, $offset), qr/is a copy of the leader's: cloned/, 'the fourth one was cloned');
$cluster->wait_until('the names are those of four', sub {
	($cluster->sql($primary, 'SHOW synchronous_standby_names') // '') eq 'ANY 1 ("pg_leader_0", "pg_leader_1", "pg_leader_2", "pg_leader_3")';
});
commit_one();
has_all(3);

# Replaced: neither data nor state file.
my $lost = $others[0];
$cluster->stop($lost);
empty($lost);
unlink glob $cluster->state_file($lost) =~ s/\.state$/.*/r;
$cluster->forget_state($lost);
$offset = $cluster->log_size($lost);
$cluster->start($lost);
$cluster->wait_until("node $lost follows", sub { $cluster->follows($lost, $primary) });
like($cluster->log_of($lost, $offset), qr/is a copy of the leader's: cloned/, 'it was cloned');
commit_one();
has_all($lost);

# And its vote is one: with it and another one there is a primary.
my ($silent) = grep { $_ != $lost && $_ != $primary } @others;
$cluster->stop($silent);
commit_one();

$cluster->check_timelines;
$cluster->check_history;
$cluster->stop_all;
done_testing();
