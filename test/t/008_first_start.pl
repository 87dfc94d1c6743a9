# test/t/008_first_start.pl
#	  A first start without first state files: nobody can tell these members from
#	  members that have lost their votes, so all must be there, or the operator
#	  must say that the rest will never come.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgLeaderCluster;
use Test::More;

my ($cluster, $leader, $term);

sub is_waiting
{
	my $status = $cluster->status(shift);

	return $status && $status->{state} eq 'taking part' && $status->{abstaining} &&
		$status->{abstain_reason} eq 'no state file was found, so one was created' &&
		!defined $status->{leader_id};
}

# ---- the missing member comes ----

$cluster = PgLeaderCluster->new('blank', 3, blank => 1);
$cluster->start(0, 1);
foreach my $id (0, 1)
{
	$cluster->wait_until("node $id abstains", sub { is_waiting($id) });
	is($cluster->status($id)->{state_file_health}, 'was missing at start', "node $id: the state file was missing");
	like($cluster->log_of($id), qr/WARNING:  pg_leader: node $id [^\n]*: no state file was found, so one was created\n[^\n]*HINT:  \S/,
		"node $id says so in its log");
}
foreach my $id (0, 1)
{
	$cluster->wait_until("node $id has heard the other one, and says whom it waits for",
		sub { ($cluster->status($id)->{abstain_waits_for} // '') =~ /^the answers.* of nodes? 2$/ });
}
$cluster->stays('two of three blank members: nobody elects', 3, sub { is_waiting(0) && is_waiting(1) });
like($cluster->failure(0, "SELECT pg_leader_wait_for_leader('100ms')"),
	qr/ERROR:  timed out while waiting for a leader/, 'and waiting for a leader ends with an error');
$cluster->start(2);
($leader, $term) = $cluster->wait_for_leader('the third comes: one leader');
foreach my $id ($cluster->ids)
{
	$cluster->wait_until("node $id stopped abstaining", sub { !$cluster->status($id)->{abstaining} });
}
$cluster->check_history;

# A restart is no first start any more.
$cluster->kill_all($cluster->running);
is($cluster->state($_)->{abstaining}, 'no', "node $_: the state file says that it votes") foreach $cluster->ids;
$cluster->start(0, 1);
$cluster->wait_for_leader('two of three that have been there before: one leader');
$cluster->check_history;
$cluster->stop_all;

# ---- pg_leader_admit() ----

$cluster = PgLeaderCluster->new('admitted', 3, blank => 1, settings => \%PgLeaderCluster::STEADY);
$cluster->start(0, 1);
$cluster->wait_until("node $_ abstains", sub { is_waiting($_) }) foreach 0, 1;
is($cluster->sql(0, 'SELECT pg_leader_admit()'), '', 'the word for node 0');
$cluster->wait_until('node 0 stopped abstaining', sub { !$cluster->status(0)->{abstaining} });
$cluster->stays('one vote of three: nobody elects', 2, sub { !$cluster->leads(0, 1) && is_waiting(1) });
is($cluster->sql(1, 'SELECT pg_leader_admit()'), '', 'the word for node 1');
($leader, $term) = $cluster->wait_for_leader('two votes of three: one leader');
foreach my $id (0, 1)
{
	like($cluster->log_of($id), qr/role "\w+" called pg_leader_admit\(\)/, "node $id logs who gave the word");
	like($cluster->failure($id, 'SELECT pg_leader_admit()'),
		qr/ERROR:  this member does not abstain\nHINT:  /, "node $id: once is enough");
}

# The third comes late, and finds its way by itself.
$cluster->start(2);
is(($cluster->wait_for_leader('the third comes late: all agree'))[0], $leader, 'the third comes late: same leader');
$cluster->wait_until('the third comes late: it stopped abstaining', sub { !$cluster->status(2)->{abstaining} });
$cluster->check_history;

# ---- a cluster of one ----

$cluster->stop_all;
$cluster = PgLeaderCluster->new('blank_alone', 1, blank => 1);
$cluster->start(0);
$cluster->wait_until('alone and blank: it abstains', sub { is_waiting(0) });
$cluster->stays('alone and blank: it does not lead', 2, sub { is_waiting(0) });
is($cluster->status(0)->{abstain_waits_for}, 'pg_leader_admit()', 'alone and blank: it says what it waits for');
is($cluster->sql(0, 'SELECT pg_leader_admit()'), '', 'alone and blank: the word');
$cluster->wait_for_leader('alone and blank: it leads');
$cluster->check_history;
done_testing();
