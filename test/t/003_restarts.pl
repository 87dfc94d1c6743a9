# test/t/003_restarts.pl
#	  What a restart may change: nothing, or one term; and what it may forget:
#	  nothing.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgLeaderCluster;
use Test::More;

# ---- one at a time ----

# Whether a leader keeps its place is asked here, so this cluster is a slow one.
my $cluster = PgLeaderCluster->new('restarts', 3, settings => \%PgLeaderCluster::STEADY);
my ($leader, $term, $new_leader, $new_term);

$cluster->start_all;
($leader, $term) = $cluster->wait_for_leader('one leader to begin with');

foreach my $id ($cluster->others($leader))
{
	foreach my $mode ('fast', 'immediate')
	{
		$cluster->restart($id, $mode);
		is_deeply([ $cluster->wait_for_leader("follower $id restarted ($mode): all agree") ],
			[ $leader, $term ], "follower $id restarted ($mode): same leader, same term");
	}
	$cluster->kill_all($id);
	$cluster->start($id);
	is_deeply([ $cluster->wait_for_leader("follower $id killed and restarted: all agree") ],
		[ $leader, $term ], "follower $id killed and restarted: same leader, same term");
}

# Until the one that was killed last is free of the promise that it found in its
# store, nobody can win without it: a hand-over of a leader that stops fails.
my ($last) = reverse $cluster->others($leader);
$cluster->wait_until(
	"follower $last is no longer bound by a promise of before its restart",
	sub {
		my $answer = $cluster->sql($last,
			"SELECT clock_timestamp() > max(at) + interval '$PgLeaderCluster::STEADY{min_timeout}' "
			  . "FROM pg_leader_events WHERE reason = 'started'");
		return defined $answer && $answer eq 't';
	});
$cluster->restart($leader);
($new_leader, $new_term) = $cluster->wait_for_leader('the leader restarted: all agree');
isnt($new_leader, $leader, 'the leader restarted: another one leads');
is($new_term, $term + 1, 'the leader restarted: one term higher');
$cluster->check_history;
$cluster->stop_all;

# ---- all at once ----

$cluster = PgLeaderCluster->new('all_killed', 3);
$cluster->start_all;
foreach my $round (1 .. 4)
{
	($leader, $term) = $cluster->wait_for_leader("round $round: one leader");

	# every other time in the middle of an election
	$cluster->kill_all($leader) if $round % 2 == 0;
	$cluster->kill_all($cluster->running);
	foreach my $id ($cluster->ids)
	{
		is($cluster->state($id)->{verdict}, 'good', "round $round: the state file of node $id is good");
	}

	# a follower may have heard of the term without a vote of its own in it
	cmp_ok((grep { $cluster->state($_)->{term} >= $term } $cluster->ids), '>=', 2,
		"round $round: a majority has term $term on disk");
	$cluster->start_all;
	($new_leader, $new_term) = $cluster->wait_for_leader("round $round: one leader after the restart");
	cmp_ok($new_term, '>', $term, "round $round: the term goes on");
}
$cluster->check_history;

# A vote is there after a restart, also while nobody else is.
$cluster->kill_all($cluster->running);
my %before = map { $_ => $cluster->state($_) } $cluster->ids;
foreach my $id ($cluster->ids)
{
	$cluster->start($id);
	$cluster->wait_until("node $id alone takes part",
		sub { my $s = $cluster->status($id); $s && $s->{state} eq 'taking part' });
	is($cluster->status($id)->{term}, $before{$id}{term}, "node $id alone: the term it had");
	is($cluster->status($id)->{voted_for} // 'none', $before{$id}{'voted for'}, "node $id alone: the vote it gave");
	$cluster->stop($id, 'immediate');
}
$cluster->check_history;
done_testing();
