# test/t/090_list_by_reload.pl
#	  Another member list by a reload, where pg_leader.manage is off: three members become
#	  five, and three again, while a session of each server goes on; what cannot be is
#	  refused, and the list before it stays in force.  Never are there two leaders.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgLeaderCluster;
use Test::More;

my $cluster = PgLeaderCluster->new('reloaded', 3);
my ($leader, $term, $new_term, %session, %begun, $offset);

sub refused { return $cluster->sql(shift, 'SELECT refused_settings FROM pg_leader_status') // ''; }

# reload(LIST, ID...): these get it.
sub reload
{
	my ($list, @ids) = @_;

	$cluster->set($_, cluster => $list) foreach @ids;
	$cluster->server($_)->reload foreach @ids;
	return;
}

# votes(N, ID...): they have a list of N, and all of them vote.
sub votes
{
	my ($n, @ids) = @_;

	return !grep { my $s = $cluster->status($_); !$s || $s->{abstaining} || $s->{members} != $n } @ids;
}

sub is_abstaining { my $s = $cluster->status(shift); return $s && $s->{abstaining}; }

# goes_on(WHAT, ID...): a test for each; the sessions that were there before.
sub goes_on
{
	my ($what, @ids) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	foreach my $id (@ids)
	{
		is($session{$id}->query_safe('INSERT INTO done VALUES (1); SELECT count(*) > 0 FROM done'), 't', "$what: the session of node $id goes on");
		is($cluster->sql($id, 'SELECT pg_postmaster_start_time()'), $begun{$id}, "$what: node $id was not restarted");
	}
	return;
}

# keeps(WHAT, ID, LIST, WORDS): a list that cannot be, in words, is not taken over.
sub keeps
{
	my ($what, $id, $list, $words) = @_;
	my $worker = $cluster->worker($id);
	my $from = $cluster->log_size($id);

	reload($list, $id);
	$cluster->wait_for_log($id, $words, $from);
	$cluster->wait_until("$what, node $id: shown", sub { refused($id) =~ /pg_leader\.cluster/ });
	is($cluster->worker($id), $worker, "$what, node $id: the worker goes on");
	ok(votes(3, $id), "$what, node $id: with the list of before");
	reload($cluster->{list}, $id);
	$cluster->wait_until("$what, node $id: corrected", sub { refused($id) !~ /pg_leader\.cluster/ });
	is($cluster->worker($id), $worker, "$what, node $id: with that it has nothing to do");
	return;
}

$cluster->start_all;
($leader, $term) = $cluster->wait_for_leader('three members: one leader');
foreach my $id (0 .. 2)
{
	$session{$id} = $cluster->server($id)->background_psql('postgres');
	$session{$id}->query_safe('CREATE TABLE done (n int)');
	$begun{$id} = $cluster->sql($id, 'SELECT pg_postmaster_start_time()');
}
is($cluster->sql(0, q(SELECT context FROM pg_settings WHERE name = 'pg_leader.cluster')), 'sighup', 'a reload changes the list');

# ---- refused ----

my $without = $cluster->list($cluster->others($leader));
my $follower = ($cluster->others($leader))[0];

foreach my $id ($leader, $follower)
{
	keeps('garbage', $id, '10.0.0.1', qr/invalid value for parameter "pg_leader\.cluster": "10\.0\.0\.1"[^\n]*\n[^\n]*DETAIL:  Invalid member list: entry 1 \("10\.0\.0\.1"\): the port is missing/);
	keeps('empty', $id, '', qr/WARNING:  pg_leader: the new member list is not usable, keeping the old one: pg_leader\.cluster is not set/);
}
keeps('without itself', $leader, $without,
	qr/WARNING:  pg_leader: the new member list is not usable, keeping the old one: pg_leader\.node_id is $leader, which is not in pg_leader\.cluster/);

# A list that goes with a secret file which is not there would keep the member out.
$cluster->set($follower, secret_file => '/nowhere/secret');
keeps('no secret', $follower, "$cluster->{list}, 5=127.0.0.1:1", qr/keeping the old one: the secret file that goes with it is not usable/);
$cluster->set($follower, secret_file => '');
reload(join(' , ', reverse split / *, */, $cluster->{list}), 0 .. 2);
$cluster->stays('another spelling, and nothing is another list', 1, sub { votes(3, 0 .. 2) });
is_deeply([ $cluster->wait_for_leader('refused: all agree') ], [ $leader, $term ], 'refused: same leader, same term');

# ---- three to five ----

my $three = $cluster->{list};
$cluster->add($_) foreach 3, 4;
my $five = $cluster->{list} = $cluster->list(0 .. 4);

$cluster->create($_) foreach 3, 4;

# The library refuses what cannot be when the server starts; a reload corrects it.
$cluster->set(4, cluster => '!');
$cluster->start(3, 4);
$cluster->wait_until('a list that cannot be at the start: no part', sub { my $s = $cluster->status(4); $s && $s->{state} =~ /^not taking part: refused settings: pg_leader\.cluster/ });
reload($five, 4);
$cluster->wait_until('and abstains, once it is corrected by a reload', sub { is_abstaining(4) });
is_deeply([ $cluster->wait_for_leader('the new ones wait: the others agree', 0 .. 2) ], [ $leader, $term ], 'the new ones wait: same leader, same term');

# One of them only: the others go on.
my $first = $cluster->others($leader, 3, 4) ? ($cluster->others($leader, 3, 4))[0] : 0;
reload($five, $first);
$cluster->wait_until("one has the longer list and abstains", sub { is_abstaining($first) });
$cluster->wait_for_leader('one has it: the others have a leader', grep { $_ != $first } 0 .. 2);
$offset = PgLeaderCluster::clock_now();
reload($five, grep { $_ != $first } 0 .. 2);
($leader, $new_term) = $cluster->wait_for_leader('all have it: one leader', 0 .. 4);
diag(sprintf('three to five: %.1f s until all agree', (PgLeaderCluster::clock_now() - $offset) / 1e6));
cmp_ok($new_term, '>', $term, 'three to five: the term goes on');
$cluster->wait_until('three to five: all vote', sub { votes(5, 0 .. 4) });
is($cluster->status($_)->{quorum}, 3, "three to five, node $_: three are a majority") foreach 0 .. 4;
goes_on('three to five', 0 .. 2);
$cluster->check_history;

# ---- five to three ----

$term = $new_term;
$cluster->kill_all(3, 4);
delete $cluster->{members}{$_} foreach 3, 4;
$cluster->{list} = $three;
$offset = PgLeaderCluster::clock_now();
reload($three, 0 .. 2);
$cluster->wait_until('two taken out: the others wait for the word of a person',
	sub { !grep { ($cluster->status($_) // {})->{abstain_waits_for} !~ /^pg_leader_admit\(\)/ } grep { is_abstaining($_) } 0 .. 2 and !grep { !is_abstaining($_) } 0 .. 2 });
$cluster->stays('two taken out: and nobody leads without it', 2, sub { !$cluster->leads(0 .. 2) });
$cluster->wait_until('they see each other with the same list', sub {
	!grep { my $p = $cluster->peers($_); grep { !$_->{reachable} || !$_->{list_matches} } grep { !$_->{is_self} } values %$p } 0 .. 2 });
is($cluster->sql($_, 'SELECT pg_leader_admit()'), '', "two taken out: pg_leader_admit() on node $_") foreach 0 .. 2;
($leader, $new_term) = $cluster->wait_for_leader('two taken out: one leader', 0 .. 2);
diag(sprintf('five to three: %.1f s until all agree', (PgLeaderCluster::clock_now() - $offset) / 1e6));
cmp_ok($new_term, '>', $term, 'two taken out: the term goes on');
$cluster->wait_until('two taken out: all vote', sub { votes(3, 0 .. 2) });
goes_on('five to three', 0 .. 2);
$_->quit foreach values %session;
$cluster->check_history;
done_testing();
