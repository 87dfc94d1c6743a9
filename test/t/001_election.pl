# test/t/001_election.pl
#	  Clusters of 1, 3 and 5: one leader, known to all, and views that fit.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgLeaderCluster;
use Test::More;

sub check_views
{
	my ($cluster, $leader, $term, $n) = @_;

	foreach my $id ($cluster->ids)
	{
		my $what = "node $id of $n";
		my $status = $cluster->status($id);
		my $peers = $cluster->peers($id);

		is($status->{node_id}, $id, "$what: its id");
		is($status->{role}, $id == $leader ? 'leader' : 'follower', "$what: its role");
		is($status->{term}, $term, "$what: the term");
		is($status->{leader_address}, $cluster->address($leader), "$what: the leader's address");
		is($status->{members}, $n, "$what: number of members");
		is($status->{quorum}, int($n / 2) + 1, "$what: quorum");
		is($status->{boot}, 1, "$what: it was its first start");
		ok(!$status->{abstaining}, "$what: it does not abstain");
		ok(!$status->{authentication}, "$what: authentication is off by default");
		is($status->{state_file}, $cluster->state_file($id), "$what: where its state file is");
		is($status->{state_file_health}, 'ok', "$what: its state file is good");

		is($cluster->sql($id, 'SELECT pg_leader_node_id(), pg_leader_term(), pg_leader_leader_id()'),
			"$id|$term|$leader", "$what: the functions say the same");
		is($cluster->sql($id, 'SELECT pg_leader_is_leader()'), $id == $leader ? 't' : 'f',
			"$what: pg_leader_is_leader()");
		is($cluster->sql($id, 'SELECT l.term FROM pg_leader_lease() l'), $id == $leader ? $term : '',
			"$what: pg_leader_lease()");
		like($cluster->sql($id, 'SELECT get_node_info()'),
			qr/^node $id: (leader|follower), term $term, leader $leader$/, "$what: get_node_info()");

		is(join(',', sort { $a <=> $b } keys %$peers), join(',', $cluster->ids), "$what: its peers");
		foreach my $peer ($cluster->ids)
		{
			is($peers->{$peer}{address}, $cluster->address($peer), "$what: address of $peer");
			is($peers->{$peer}{resolved}, $cluster->address($peer), "$what: $peer is resolved");
			is(!!$peers->{$peer}{is_self}, $peer == $id, "$what: is $peer itself");
			is(!!$peers->{$peer}{is_leader}, $peer == $leader, "$what: is $peer the leader");
			ok($peers->{$peer}{reachable}, "$what: $peer is reachable");
		}
	}
	return;
}

foreach my $n (1, 3, 5)
{
	my $cluster = PgLeaderCluster->new("of_$n", $n, settings => \%PgLeaderCluster::STEADY);
	my ($leader, $term);
	my $votes = 0;

	$cluster->start_all;
	($leader, $term) = $cluster->wait_for_leader("$n members: one leader, and all name it");
	cmp_ok($term, '>=', 1, "$n members: the term has begun");

	# those who have not met yet need a moment more than the election
	foreach my $id ($cluster->ids)
	{
		$cluster->wait_until("node $id of $n has heard all others",
			sub { !grep { !$_->{reachable} } values %{ $cluster->peers($id) } });
	}
	check_views($cluster, $leader, $term, $n);

	$votes += ($cluster->status($_)->{voted_for} // -1) == $leader foreach $cluster->ids;
	cmp_ok($votes, '>=', int($n / 2) + 1, "$n members: a majority has voted for the leader");
	cmp_ok($cluster->sql($leader, 'SELECT elections_won FROM pg_stat_pg_leader'), '>=', 1,
		"$n members: the leader has won an election");
	is($cluster->sql($leader, "SELECT count(*) > 0 FROM pg_leader_events
			WHERE role = 'leader' AND term = $term AND lease_start IS NOT NULL"),
		't', "$n members: the lease is on record");
	$cluster->check_history;
	$cluster->stop_all;
}

done_testing();
