#!/usr/bin/perl
# test/stand/lost_address.pl
#	  A member's address leaves its machine while the member runs: it says so, sends
#	  nothing any more, and takes part again when the address is back.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Stand;
use Test::More;
use Time::HiRes qw(sleep);

use constant LIMIT => 30;

if (my $missing = Stand::missing()) { plan skip_all => $missing; }

my $stand = Stand->new(nodes => 3);
my @all = $stand->ids;

sub value { my ($id, $sql) = @_; my $rows = $stand->query($id, $sql) // return ''; return $rows->[0][0] // ''; }

# The condition comes true in time.
sub comes_true
{
	my ($what, $condition) = @_;
	my $end = Chaos::now() + LIMIT;
	my $is_true;

	sleep(0.02) until ($is_true = $condition->()) || Chaos::now() > $end;
	return ok($is_true, $what);
}

$stand->launch(1, @all);
my ($leader) = $stand->settled;
my $follower = ($leader + 1) % 3;

foreach my $node ($follower, $leader)
{
	my $what = $node == $leader ? 'the leader' : 'a follower';
	my @others = grep { $_ != $node } @all;
	my ($address) = `ip -n pgldtest$node -4 -o addr show dev eth0` =~ /inet ([0-9.]+)\//
	  or die "node $node has no address";
	my $worker = $stand->worker($node);

	$stand->expect_end('TERM', $node, $worker);
	$stand->run('/sbin/ip', '-n', "pgldtest$node", 'addr', 'del', "$address/24", 'dev', 'eth0');
	comes_true("$what: says that it does not take part, and why", sub {
		value($node, 'SELECT state FROM pg_leader_status') =~
		  /^not taking part: \Q$address\E:3500 is not an address of this machine/;
	});
	$stand->wait_for_leader(@others);
	is(value($node, 'SELECT pg_leader_is_leader()'), 'f', "$what: leads no more");

	$stand->run('/sbin/ip', '-n', "pgldtest$node", 'addr', 'add', "$address/24", 'dev', 'eth0');
	comes_true("$what: takes part when the address is back",
		sub { value($node, 'SELECT state FROM pg_leader_status') eq 'taking part' });
	$stand->settled;
	is(value($node, q{SELECT count(*) FROM pg_leader_events WHERE reason ~ 'the worker ended: .* is not an address of this machine any more'}),
		1, "$what: its events say so");
}
is(join('; ', $stand->unexpected_ends), '', 'nothing has crashed');
done_testing();
