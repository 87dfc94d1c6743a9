# test/t/009_member_list.pl
#	  Another member list, server by server: members appended are taken over once
#	  all members have the list; a member taken out or replaced needs the
#	  operator's word; never are there two leaders, or a leader by two lists.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgLeaderCluster;
use Test::More;

my $cluster = PgLeaderCluster->new('lists', 3);
my ($leader, $term, $new_term, $old_list, $new_list);

sub is_abstaining
{
	my $id = shift;
	my $status = $cluster->status($id);

	return $status && $status->{abstaining} && $status->{abstain_reason} eq 'the member list has changed';
}

# nobody_yet(WHAT, ID...): these abstain, and nobody leads, for some time.
sub nobody_yet
{
	my ($what, @ids) = @_;

	$cluster->wait_until("$what: they abstain and have no leader",
		sub { !grep { !is_abstaining($_) || defined $cluster->status($_)->{leader_id} } @ids });
	$cluster->stays("$what: and stay like this without pg_leader_admit()", 3,
		sub { !$cluster->leads($cluster->running) && !grep { !is_abstaining($_) } @ids });
	like($cluster->status($_)->{abstain_waits_for}, qr/^pg_leader_admit\(\)/, "$what: node $_ says what it waits for")
		foreach @ids;
	return;
}

$cluster->start_all;
($leader, $term) = $cluster->wait_for_leader('three members: one leader');

# ---- three to five, one server at a time ----

$old_list = $cluster->{list};
$cluster->add($_) foreach 3, 4;
$new_list = $cluster->{list} = $cluster->list(0 .. 4);
foreach my $id (0, 1)
{
	$cluster->set($id, cluster => $new_list);
	$cluster->restart($id);
	$cluster->wait_until("node $id has the longer list and abstains", sub { is_abstaining($id) });
	is($cluster->status($id)->{members}, 5, "node $id counts five members");

	# with the first one changed, the two others go on; with two, nobody can
	if ($id == 0)
	{
		$cluster->wait_for_leader('one of three has the longer list: the others have a leader', 1, 2);
		$cluster->wait_until('its list is seen to be another one', sub { my $p = $cluster->peers(1)->{0}; $p && $p->{reachable} && !$p->{list_matches} });
		$cluster->wait_for_log(1, qr/pg_leader: node 0 has a different member list/);
	}
}
$cluster->wait_until('two of three have the longer list: nobody leads', sub { !$cluster->leads(0, 1, 2) });

# The new ones have never run.  They come blank, as the cluster is not new.
$cluster->create($_) foreach 3, 4;
$cluster->start(3, 4);
$cluster->wait_until('four of five have the list: the new ones abstain',
	sub { !grep { my $s = $cluster->status($_); !$s || !$s->{abstaining} } 3, 4 });
$cluster->stays('four of five have the list: nobody leads', 3, sub { !$cluster->leads(0 .. 4) });
$cluster->set(2, cluster => $new_list);
$cluster->restart(2);
($leader, $new_term) = $cluster->wait_for_leader('all five have the list: one leader', 0 .. 4);
cmp_ok($new_term, '>', $term, 'all five: the term goes on');
foreach my $id (0 .. 4)
{
	$cluster->wait_until("node $id votes", sub { !$cluster->status($id)->{abstaining} });
	is($cluster->status($id)->{members} . ' ' . $cluster->status($id)->{quorum}, '5 3', "node $id: three of five are a majority");
}

# It holds after a restart, and a majority of the five is one.
$cluster->kill_all(0 .. 4);
$cluster->start(2, 3, 4);
($leader, $term) = $cluster->wait_for_leader('three of five, two of them new: one leader', 2, 3, 4);
$cluster->start(0, 1);
($leader, $term) = $cluster->wait_for_leader('all five are back', 0 .. 4);
$cluster->check_history;

# ---- a member taken out ----

$cluster->kill_all(4);
delete $cluster->{members}{4};
$new_list = $cluster->{list} = $cluster->list(0 .. 3);
foreach my $id (0 .. 3)
{
	$cluster->set($id, cluster => $new_list);
	$cluster->stop($id);
}
$cluster->start(0 .. 3);
nobody_yet('one taken out', 0 .. 3);
foreach my $id (0 .. 3)
{
	is($cluster->sql($id, 'SELECT pg_leader_admit()'), '', "one taken out: pg_leader_admit() on node $id");
}
($leader, $new_term) = $cluster->wait_for_leader('one taken out: one leader', 0 .. 3);
cmp_ok($new_term, '>', $term, 'one taken out: the term goes on');
$cluster->wait_until("one taken out: node $_ votes", sub { !$cluster->status($_)->{abstaining} }) foreach 0 .. 3;
$cluster->check_history;

# ---- a member replaced ----

# Node 3 gives its id to a new server at another address.
$term = $new_term;
$cluster->kill_all(3);
delete $cluster->{members}{3};
$cluster->add(3);
$new_list = $cluster->{list} = $cluster->list(0 .. 3);
foreach my $id (0 .. 2)
{
	$cluster->set($id, cluster => $new_list);
	$cluster->stop($id);
}
$cluster->{name} = 'replaced';
$cluster->create(3);
$cluster->start(0 .. 3);
nobody_yet('one replaced', 0 .. 2);
foreach my $id (0 .. 2)
{
	is($cluster->sql($id, 'SELECT pg_leader_admit()'), '', "one replaced: pg_leader_admit() on node $id");
}
($leader, $new_term) = $cluster->wait_for_leader('one replaced: one leader', 0 .. 3);
cmp_ok($new_term, '>', $term, 'one replaced: the term goes on');

# The new one has an answer from everyone, and needs nobody's word.
$cluster->wait_until("one replaced: node $_ votes", sub { !$cluster->status($_)->{abstaining} }) foreach 0 .. 3;
$cluster->check_history;

# ---- the same list, written in another way ----

$cluster->{list} = join ' , ', map { "$_ = " . $cluster->address($_) } 3, 1, 0, 2;
($leader, $term) = $cluster->wait_for_leader('before another spelling: one leader', 0 .. 3);
my $follower = ($cluster->others($leader))[0];
$cluster->set($follower, cluster => $cluster->{list});
$cluster->restart($follower);
ok(!$cluster->status($follower)->{abstaining}, 'another spelling: it does not abstain');
$cluster->wait_for_leader('another spelling: all agree', 0 .. 3);
$cluster->check_history;
done_testing();
