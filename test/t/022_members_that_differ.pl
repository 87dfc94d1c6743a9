# test/t/022_members_that_differ.pl
#	  A member that differs (cluster name, member list, node id, version, key) is
#	  counted, named in the log once a minute at most and in pg_leader_peers, and
#	  makes no majority; and who goes by a member's name is named as well.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use IO::Select;
use IO::Socket::INET;
use PgLeaderCluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $cluster = PgLeaderCluster->new('differ', 3);
my ($leader, $other, $odd, $term, $offset);

# what node NODE says is wrong with node ABOUT; '' if nothing is
sub problem
{
	my ($node, $about) = @_;
	my $peers = $cluster->peers($node) or return '';

	return $peers->{$about}{problem} // '';
}

sub dropped
{
	my ($node, $reason) = @_;

	return $cluster->sql($node, "SELECT sum(count) FROM pg_leader_stat_drops WHERE reason = '$reason'");
}

sub all_well
{
	my $what = shift;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$cluster->wait_for_leader("$what: all agree");
	foreach my $node ($cluster->ids)
	{
		$cluster->wait_until("$what: no problem on node $node, and it votes", sub {
			my $status = $cluster->status($node);
			$status && !$status->{abstaining} && !grep { problem($node, $_) ne '' } $cluster->ids;
		});
	}
	($leader, $term) = $cluster->agreed($cluster->ids);
	($other, $odd) = $cluster->others($leader);
	$offset = $cluster->log_size($leader);
	return;
}

# The leader names the odd one in these words, its log has said so once, and the
# two others have the leader that they had.
sub named
{
	my ($what, $words, $reason, $line) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$cluster->wait_until("$what: the leader says so", sub { problem($leader, $odd) =~ $words });
	$cluster->wait_until("$what: it is counted", sub { dropped($leader, $reason) > 2 }) if defined $reason;
	is(scalar(() = $cluster->log_of($leader, $offset) =~ /$line/g), 1, "$what: one line in the log");
	is_deeply([ $cluster->agreed($leader, $other) ], [ $leader, $term ], "$what: the others keep their leader");
	is(problem($leader, $other), '', "$what: nothing is said of the third");
	return;
}

# restart_odd(NAME => VALUE...): with these settings.
sub restart_odd
{
	my (%settings) = @_;

	$cluster->stop($odd) if $cluster->is_running($odd);
	$cluster->set($odd, %settings);
	$cluster->start($odd);
	return;
}

$cluster->start_all;
all_well('before');

# ---- another cluster's name ----

restart_odd(cluster_name => 'another', state_directory => PostgreSQL::Test::Utils::tempdir('another'));
named('another name', qr/^it has a different pg_leader\.cluster_name$/, 'other cluster',
	qr/dropped a datagram from the address of node $odd: other cluster/);
$cluster->wait_until('another name: the odd one says the same of the leader',
	sub { problem($odd, $leader) =~ /^it has a different pg_leader\.cluster_name\b/ });
restart_odd(cluster_name => 'pg_leader', state_directory => $cluster->member($odd)->{state_directory});
all_well('the same name');

# ---- another list, and no majority by it ----

my $list = "$cluster->{list}, 3=127.0.0.1:" . PgLeaderCluster::free_udp_port();
restart_odd(cluster => $list);
named('another list', qr/^it has a different member list$/, undef, qr/node $odd has a different member list/);
$cluster->wait_until('another list: it follows, and so it is heard',
	sub { my $peers = $cluster->peers($leader); $peers && $peers->{$odd}{reachable} && !$peers->{$odd}{list_matches} });
$cluster->stop($other);
$cluster->wait_until('another list: the leader and the odd one are no majority', sub { !$cluster->leads($leader, $odd) });
$cluster->stays('another list: nor later', 2, sub { !$cluster->leads($leader, $odd) });
$cluster->start($other);
restart_odd(cluster => $cluster->{list});
all_well('the same list');

# ---- one node id on two machines, with the same state ----

my ($port) = $cluster->address($odd) =~ /:(\d+)$/;
my $copy = PgLeaderCluster->new('copy', 1, blank => 1);
PostgreSQL::Test::Utils::system_or_bail('cp', $cluster->state_file($odd), $copy->member(0)->{state_directory});
$copy->set(0, node_id => $odd, cluster => $cluster->{list}, listen_address => '127.0.0.2');
$copy->start(0);
named('a copy elsewhere', qr/^127\.0\.0\.2:$port uses the node id of this member$/, 'wrong source address',
	qr/dropped a datagram that names node $odd: wrong source address/);
$copy->stays('a copy elsewhere: it never leads', 2, sub { !$copy->leads(0) });
is_deeply([ $cluster->agreed($cluster->ids) ], [ $leader, $term ], 'a copy elsewhere: the real one goes on');
$copy->stop(0);
all_well('without the copy');

# ---- what no server of this version says ----

my $boot = $cluster->status($odd)->{boot};
$cluster->stop($odd);
my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Proto => 'udp') or die $@;
my $elsewhere = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Proto => 'udp') or die $@;
my ($leader_port) = $cluster->address($leader) =~ /:(\d+)$/;
my $target = sockaddr_in($leader_port, inet_aton('127.0.0.1'));

# A datagram of the leader's, turned round: what the odd one would answer.
sub answer
{
	my $datagram;

	IO::Select->new($socket)->can_read(5) or die 'the leader is silent';
	do { recv($socket, $datagram, 1024, 0) // die $! } while (IO::Select->new($socket)->can_read(0));
	my ($from, $to, $start) = unpack 'x24 N N a16', $datagram;
	substr($datagram, 5, 1) = "\x03";               # greeting confirmation
	substr($datagram, 7, 1) = "\0";
	substr($datagram, 24, 8) = pack 'N N', $to, $from;
	substr($datagram, 32, 16) = pack 'Q> Q>', $boot, 4711;
	substr($datagram, 48, 16) = $start;
	substr($datagram, 64, 8) = pack 'Q>', 1_000_000;
	substr($datagram, 88) = ("\0" x 48) . ("\xff" x 8) . ("\0" x (length($datagram) - 144));
	return $datagram;
}

foreach my $case (
	[ 'another version', qr/^it uses protocol version 9, this member version 1\b/, 'other version', 4 => "\x09" ],
	[ 'a key', qr/\bit authenticates its datagrams, and this member has no key/, 'unknown key', 6 => "\x05" ],
	[ 'the id of another', qr/\bit identifies itself as node $other\b/, 'wrong source address', 24 => pack 'N', $other ],
	[ 'the id of the leader', qr/\bit identifies itself as node $leader, which is this node/, 'wrong source address', 24 => pack 'N', $leader ],
	[ 'an id of nobody', qr/\bit identifies itself as a node that is not in the member list/, 'unknown node', 24 => pack 'N', 9 ],
	[ 'for another', qr/\bit addresses this member as node $other\b/, 'unknown node', 28 => pack 'N', $other ],
	[ 'a twin', qr/\btwo servers run with the node id of this member/, 'duplicate node id' ])
{
	my ($what, $words, $reason, $at, $bytes) = @$case;
	my $before = dropped($leader, $reason);

	$cluster->wait_until("$what: the leader says so", sub {
		my $datagram = answer();
		substr($datagram, $at, length $bytes) = $bytes if defined $at;
		send($socket, $datagram, 0, $target) // die $!;
		problem($leader, $odd) =~ $words;
	});
	cmp_ok(dropped($leader, $reason), '>', $before, "$what: it is counted");
	ok($cluster->peers($leader)->{$odd}{version_mismatch}, "$what: version_mismatch says so as well")
	  if $reason eq 'other version';
	is_deeply([ $cluster->agreed($leader, $other) ], [ $leader, $term ], "$what: the others keep their leader");
}

# ---- somebody who is no member, while the member is heard ----

my $answer = answer();
close $socket;
$cluster->start($odd);
all_well('the odd one is back');
$cluster->wait_until('a stranger in its name: the leader says from where', sub {
	my $datagram = "PGLD\x01\x01" . ("\0" x (length($answer) - 6));

	substr($datagram, 8, 8) = substr($answer, 8, 8);
	substr($datagram, 24, 8) = pack 'N N', $odd, $leader;
	send($elsewhere, $datagram, 0, $target) // die $!;
	problem($leader, $odd) eq '127.0.0.1:' . $elsewhere->sockport . ' uses the node id of this member';
});
is_deeply([ $cluster->agreed($cluster->ids) ], [ $leader, $term ], 'a stranger in its name: same leader, same term');
all_well('after all');

$cluster->check_history;
done_testing();
