# test/t/005_handover.pl
#	  Leadership that is given away: pg_leader_transfer(), a server that stops,
#	  a member that may no longer lead; and waiting for a leader.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgLeaderCluster;
use Test::More;

my $cluster = PgLeaderCluster->new('handover', 3, settings => \%PgLeaderCluster::STEADY);
my ($leader, $term, $old, $old_term, $target, $third, $address);

$cluster->start_all;
($leader, $term) = $cluster->wait_for_leader('one leader to begin with');

# ---- transfer ----

$target = ($cluster->others($leader))[0];
is($cluster->sql($leader, "SELECT pg_leader_transfer($target)"), $target, 'to a member that is named');
($old, $old_term) = ($leader, $term);
($leader, $term) = $cluster->wait_for_leader('named: all agree');
is($leader, $target, 'named: it leads');
cmp_ok($term, '>', $old_term, 'named: in a higher term');
ok((grep { $_ eq "handed over to node $target on request" } $cluster->reasons($old)),
	'named: the old leader has it on record');
ok((grep { $_ eq "node $old hands over to this node" } $cluster->reasons($target)),
	'named: so has the new one');

$old = $leader;
my $answer;
$cluster->wait_until('to nobody in particular: it is done', sub { defined($answer = $cluster->sql($old, 'SELECT pg_leader_transfer(NULL)')) });
($leader, $term) = $cluster->wait_for_leader('to nobody in particular: all agree');
isnt($leader, $old, 'to nobody in particular: another one leads');
is($answer, $leader, 'to nobody in particular: and was named');

like($cluster->failure($leader, "SELECT pg_leader_transfer($leader)"),
	qr/ERROR:  node $leader is this member, which is already the leader/, 'to itself');
like($cluster->failure($leader, 'SELECT pg_leader_transfer(63)'),
	qr/ERROR:  node 63 is not a member of the cluster\nHINT:  pg_leader_peers lists the members/,
	'to a node that there is not');
like($cluster->failure($leader, 'SELECT pg_leader_transfer(-1)'),
	qr/ERROR:  node -1 is not a member of the cluster/, 'to a negative id');
like($cluster->failure($leader, 'SELECT pg_leader_transfer(2147483647)'),
	qr/ERROR:  node 2147483647 is not a member of the cluster/, 'to the highest possible id');
$address = quotemeta $cluster->address($leader);
foreach my $id ($cluster->others($leader))
{
	like($cluster->failure($id, 'SELECT pg_leader_transfer()'),
		qr/ERROR:  this member is not the leader\nDETAIL:  Node $leader \($address\) leads in term $term\.\nHINT:  Call pg_leader_transfer\(\) on the leader/,
		"on follower $id: the error names the leader");
}
is_deeply([ $cluster->wait_for_leader('after all refusals: all agree') ], [ $leader, $term ],
	'after all refusals: same leader, same term');

($target, $third) = $cluster->others($leader);
$cluster->kill_all($target);
$cluster->wait_until("node $target has not been heard for long",
	sub { $cluster->sql($leader, "SELECT last_heard > '2s' FROM pg_leader_peers WHERE node_id = $target") eq 't' });
like($cluster->failure($leader, "SELECT pg_leader_transfer($target)"),
	qr/ERROR:  node $target does not answer\nHINT:  Choose another member/, 'to a dead member');
is($cluster->sql($leader, 'SELECT pg_leader_transfer()'), $third, 'to the best one, which is not the dead one');
$cluster->start($target);
$cluster->wait_for_leader('all are back', $cluster->ids);

# ---- a server that stops ----

foreach my $mode ('smart', 'fast', 'immediate')
{
	my ($offset, $took);

	($old, $old_term) = $cluster->wait_for_leader("$mode: one leader", $cluster->ids);
	$offset = $cluster->log_size($old);
	$took = $cluster->stop($old, $mode);
	cmp_ok($took, '<', 10, "$mode: the server has stopped soon");
	note("$mode: stopped in $took s");
	($leader, $term) = $cluster->wait_for_leader("$mode: the others have a leader");
	isnt($leader, $old, "$mode: it is another one");
	cmp_ok($term, '>', $old_term, "$mode: in a higher term");
	like($cluster->log_of($old, $offset), qr/handed over to node \d/, "$mode: handed over")
		if $mode ne 'immediate';
	$cluster->start($old);
}

# ---- a member that may not lead ----

($old, $old_term) = $cluster->wait_for_leader('candidate off: one leader', $cluster->ids);
$cluster->set($old, candidate => 'off');
$cluster->server($old)->reload;
$cluster->wait_until('candidate off: another one leads',
	sub { my @found = $cluster->agreed($cluster->ids); return @found && $found[0] != $old; });
($leader, $term) = $cluster->wait_for_leader('candidate off: all agree');
cmp_ok($term, '>', $old_term, 'candidate off: in a higher term');
$cluster->wait_until('candidate off: the leader knows',
	sub { my $peer = $cluster->peers($leader)->{$old}; $peer && !$peer->{may_lead} });
ok(!$cluster->status($old)->{may_lead}, 'candidate off: its status says so');
like($cluster->failure($leader, "SELECT pg_leader_transfer($old)"),
	qr/ERROR:  node $old cannot lead\nDETAIL:  .*pg_leader\.candidate is off/, 'candidate off: cannot be the target');

# The two that are left elect, and only one of them may lead.
my $stopped = $leader;
$third = ($cluster->others($old, $stopped))[0];
$cluster->stop($stopped);
($leader, $term) = $cluster->wait_for_leader('candidate off: the others have a leader');
is($leader, $third, 'candidate off: the one that may lead');
like($cluster->failure($leader, 'SELECT pg_leader_transfer()'),
	qr/ERROR:  no other member can lead\nHINT:  pg_leader_peers/, 'candidate off: nobody to hand over to');

# ---- waiting for a leader ----

foreach my $id ($old, $third)
{
	is($cluster->sql($id, 'SELECT pg_leader_wait_for_leader()'), $leader, "node $id waits for a leader that is there");
}
$cluster->set($third, candidate => 'off');
$cluster->server($third)->reload;
$cluster->wait_until('nobody may lead: nobody leads',
	sub { !grep { my $s = $cluster->status($_); !$s || defined $s->{leader_id} } $old, $third });
like($cluster->failure($old, "SELECT pg_leader_wait_for_leader('300ms')"),
	qr/ERROR:  timed out while waiting for a leader\nDETAIL:  This member is a follower in term \d+ and knows of no leader\.\nHINT:  pg_leader_peers/,
	'nobody may lead: waiting ends with an error');
$cluster->set($old, candidate => 'on');
$cluster->server($old)->reload;
is($cluster->sql($third, "SELECT pg_leader_wait_for_leader('60s')"), $old, 'candidate on: it leads again');
$cluster->start($stopped);
($leader, $term) = $cluster->wait_for_leader('all are back', $cluster->ids);

$cluster->check_history;

# ---- to a member that is still bound ----

# A member that restarts keeps the promise that it gave to the leader before, for
# min_timeout.  The request is tried again until then, 50 times a second.
$cluster = PgLeaderCluster->new('bound', 3,
	settings => { min_timeout => '4000ms', max_timeout => '5000ms', heartbeat_interval => '100ms' });
$cluster->start_all;
($old) = $cluster->wait_for_leader('bound: one leader to begin with');
($leader, $target) = $cluster->others($old);
$cluster->stop($target, 'immediate');
is($cluster->sql($old, "SELECT pg_leader_transfer($leader)"), $leader, 'bound: another one leads meanwhile');
$cluster->start($target);
$cluster->wait_until("bound: node $target is back",
	sub { $cluster->sql($leader, "SELECT reachable AND term = pg_leader_term() FROM pg_leader_peers WHERE node_id = $target") eq 't' });
my ($from, $answer_of, $to) = split /\n/, $cluster->sql($leader,
	"SELECT wakeups FROM pg_stat_pg_leader; SELECT pg_leader_transfer($target, '1 minute'); SELECT wakeups FROM pg_stat_pg_leader");
is($answer_of, $target, 'bound: it leads as soon as it may');
cmp_ok($to - $from, '<', 1000, 'bound: the worker is not asked again and again meanwhile');
note("wakeups: " . ($to - $from));
$cluster->check_history;
done_testing();
