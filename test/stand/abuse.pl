#!/usr/bin/perl
# test/stand/abuse.pl
#	  Floods of a member's port: whatever a stranger sends, with his own address or
#	  a member's, the leader and its term stay, nobody crashes, the log does not
#	  grow, the worker goes on sleeping, and the counters say what happened.
#
# IPv4 alone: the stand has nothing else, and flood.c writes IPv4's headers.
#
# ABUSE_SECONDS (2) and ABUSE_RATE (100000) make it longer or heavier; bench/abuse
# has the figures.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Abuse;
use Test::More;
use Time::HiRes qw(sleep);

my $seconds = $ENV{ABUSE_SECONDS} // 2;
my $rate = $ENV{ABUSE_RATE} // 100_000;

if (my $missing = Stand::missing()) { plan skip_all => $missing; }

# reasons of which there must be more after it, for a stranger and for a member's address
my %expected = (
	garbage => [ 'malformed', 'malformed' ],
	foreign => [ 'other cluster', 'other cluster' ],
	unsigned => [ 'wrong source address', 'not authenticated' ],
	badtag => [ 'wrong source address', 'bad tag' ],
	near => [ 'wrong source address', 'bad tag' ],
	greeting => [ 'wrong source address', 'bad tag' ],
	greeted => [ 'wrong source address', 'greeting repeated too soon' ],
	replay => [ 'wrong source address', 'replayed or far too late' ],
	'replay of an earlier start' => [ 'wrong source address', 'addressed to an earlier start' ]);

# The nodes' worker, log and counters before and after "code".
sub flooded
{
	my ($stand, $what, $node, $reason, $code) = @_;
	my $before_who = $stand->who_leads;
	my $worker = $stand->worker($node);
	my $lines = $stand->log_lines($node);
	my $memory = Abuse::memory($worker);
	my %before = $stand->drops($node);
	my $time = Abuse::processor_time($worker);
	my $began = Chaos::now();
	my $reached = $stand->rate_of($code->());
	my $share = 100 * (Abuse::processor_time($worker) - $time) / (Chaos::now() - $began);
	my %after = $stand->drops($node);

	like($before_who, qr/^\d+ \d+$/, "$what: all agree before");
	is($stand->who_leads, $before_who, "$what: same leader, same term");
	is($stand->worker($node), $worker, "$what: same worker");
	cmp_ok($after{$reason}, '>', $before{$reason}, "$what: \"$reason\" is counted");
	cmp_ok($stand->log_lines($node) - $lines, '<=', 24, "$what: the log grows by a few lines");
	cmp_ok(Abuse::memory($worker) - $memory, '<=', 1024, "$what: memory does not");

	# a bound that a busy machine does not break, and a worker without bounds does
	cmp_ok($share, '<', 60, "$what: the worker's time is bounded");
	diag(sprintf('%s: %d a second, worker %.0f %% of a core; %s', $what, $reached, $share,
		join(', ', map { my $n = $after{$_} - $before{$_}; $n > 0 ? "$_ $n" : () } sort keys %after)));
	return;
}

sub abuse
{
	my ($stand, $authentication) = @_;
	my ($leader, $follower, $recordings) = $stand->recordings;

	foreach my $mode (sort keys %expected)
	{
		next if $mode =~ /^(?:badtag|near|greeting)$/ && !$authentication;
		foreach my $as ('stranger', 'member')
		{
			# a member's address: one of a follower's against the leader, and the reverse
			my @pairs = $as eq 'stranger' ? ([ $leader, undef ]) : ([ $leader, $follower ], [ $follower, $leader ]);
			foreach my $pair (@pairs)
			{
				my ($target, $source) = @$pair;
				my $recording = $recordings->{ Abuse::kind_for($mode) }{$target};
				my $reason = $expected{$mode}[ $as eq 'member' ];
				$reason = 'addressed to an earlier start' if $mode eq 'unsigned' && $as eq 'member' && !$authentication;
				my $what = ($authentication ? 'with a secret' : 'without') . ", $mode, "
				  . (defined $source ? "as node $source" : 'as a stranger') . " to node $target"
				  . ($target == $leader ? ', the leader' : '');
				flooded($stand, $what, $target, $reason, sub {
					$stand->flood($mode =~ /^(\w+)/, $recording, $target, undef,
						defined $source ? $stand->address($source) : Abuse::STRANGER . ':3500',
						$rate, $seconds);
				});
			}
		}
	}

	# all is well again, and says so
	sleep(1);
	foreach my $id ($stand->ids)
	{
		is($stand->query($id, 'SELECT count(*) FROM pg_leader_peers WHERE NOT reachable')->[0][0], 0,
			"node $id reaches all others afterwards");
	}
	is(join('; ', $stand->unexpected_ends), '', 'nothing has crashed');
	return;
}

foreach my $authentication (0, 1)
{
	my $stand = Abuse->new(secret => $authentication);
	abuse($stand, $authentication);
}
done_testing();
