#!/usr/bin/perl
# test/chaos/kill_leader.pl
#	  SIGKILL for all processes of the leader, again and again: there is a new
#	  leader in time, never two in a term, and a restarted node disturbs nobody.
#
# CHAOS_ROUNDS rounds (default 5) on CHAOS_NODES servers (default 5).

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Chaos;
use List::Util qw(min max sum);
use Test::More;

my $rounds = $ENV{CHAOS_ROUNDS} // 5;
my $nodes = $ENV{CHAOS_NODES} // 5;
my $cluster = Chaos->new(nodes => $nodes);
my @all = $cluster->ids;
my (@first, @everyone);
my $disturbed = 0;

$cluster->launch(1, @all);
foreach my $round (1 .. $rounds)
{
	my ($leader, $term) = $cluster->wait_for_leader(@all);
	my @others = grep { $_ != $leader } @all;
	$cluster->read_events($_) foreach @all;

	my $killed = $cluster->kill_nodes($leader);
	my ($new, $new_term) = $cluster->wait_for_leader_above($term, @others);
	my (%named, $leads);
	foreach my $id (@others)
	{
		foreach my $event (@{ $cluster->read_events($id) })
		{
			my ($at, $of, $role, $who) = @$event;
			next unless $of == $new_term && $who eq $new;
			$named{$id} //= $at;
			$leads //= $at if $role eq 'leader';
		}
	}
	push @first, 1000 * ($leads - $killed);
	push @everyone, 1000 * (max(values %named) - $killed);

	$cluster->launch(0, $leader);
	my ($still, $still_term) = $cluster->wait_for_leader(@all);
	$disturbed++ if $still != $new || $still_term != $new_term;
	cmp_ok($new_term, '>', $term,
		sprintf('round %d: node %d leads in term %d, %.0f ms after node %d was killed',
			$round, $new, $new_term, $first[-1], $leader));
}
$cluster->read_events($_) foreach @all;

my @double = $cluster->terms_with_two_leaders;
is("@double", '', 'no term had two leaders');
is($disturbed, 0, 'no restart changed term or leader');

foreach ([ 'until the new leader leads', @first ], [ 'until every survivor names it', @everyone ])
{
	my ($what, @ms) = @$_;
	@ms = sort { $a <=> $b } @ms;
	diag(sprintf('%s, ms: min %.0f, median %.0f, p95 %.0f, max %.0f, mean %.0f (%d rounds)',
			$what, $ms[0], $ms[ $#ms / 2 ], $ms[ $#ms * 0.95 ], $ms[-1],
			sum(@ms) / @ms, scalar @ms));
}
diag(sprintf('terms seen: %d, with two leaders: %d; restarts that disturbed: %d',
		scalar keys %{ $cluster->{leaders} }, scalar @double, $disturbed));
done_testing();
