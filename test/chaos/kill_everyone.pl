#!/usr/bin/perl
# test/chaos/kill_everyone.pl
#	  SIGKILL for all servers at once, in the middle of elections: no term falls,
#	  and no vote is forgotten or given twice.
#
# What the state files hold is compared with what was sent, as captured on the
# loopback interface.  CHAOS_ROUNDS rounds (default 5) on CHAOS_NODES servers
# (default 5).  CHAOS_SEED repeats the waits of an earlier run.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Chaos;
use List::Util qw(max);
use Test::More;
use Time::HiRes qw(sleep);

plan skip_all => 'needs root to capture what is sent' if $> != 0;

my $rounds = $ENV{CHAOS_ROUNDS} // 5;
my $nodes = $ENV{CHAOS_NODES} // 5;
my $seed = srand($ENV{CHAOS_SEED} // time);
my $cluster = Chaos->new(nodes => $nodes);
my @all = $cluster->ids;
my %lowest = map { $_ => 0 } @all;	# the term of each state file, which never falls
my $in_election = 0;
my %voted;						# node -> term -> whom, over all rounds
my ($votes, $datagrams) = (0, 0);

# Until somebody has stored a term above this one, as who asks for votes does first.
sub asks_above
{
	my $term = shift;

	Chaos::eventually(60, sub { grep { ($cluster->state($_))[0] > $term } @all }) or die "nobody stood above term $term within 60 s";
	return;
}

diag("seed $seed");
foreach my $round (1 .. $rounds)
{
	my @bad;

	$cluster->capture;
	$cluster->launch($round == 1, @all);
	if ($round % 2 == 0)
	{
		# take the leader away, and the rest when they look for another one
		my ($leader, $term) = $cluster->wait_for_leader(@all);
		$cluster->kill_nodes($leader);
		asks_above($term);
		sleep(rand(0.1));
	}
	else
	{
		# while the first election after the start is under way, or just over
		asks_above(max(values %lowest));
		sleep(rand(0.2));
	}
	$cluster->kill_nodes(@all);

	my $sent = $cluster->captured;
	push @bad, "$sent->{lost} datagrams were not captured" if $sent->{lost} // 1;
	$datagrams += $_ foreach values %{ $sent->{types} };
	$in_election++ if ($sent->{types}{6} // 0) > 0;
	foreach my $id (@all)
	{
		my ($term, $vote, $text) = $cluster->state($id);

		push @bad, "node $id: term $term is below $lowest{$id} of an earlier round"
		  if $term < $lowest{$id};
		push @bad, "node $id: term $term is below $sent->{terms}{$id}, which it sent"
		  if $term < ($sent->{terms}{$id} // 0);
		push @bad, "node $id: state file is not good:\n$text"
		  unless $text =~ /^verdict: good$/m;
		$lowest{$id} = $term;

		while (my ($of, $whom) = each %{ $sent->{votes}{$id} })
		{
			$votes++;
			$voted{$id}{$of}{$_} = 1 foreach keys %$whom;
			push @bad, "node $id: voted twice in term $of: " . join(', ', keys %{ $voted{$id}{$of} })
			  if keys %{ $voted{$id}{$of} } > 1;
			push @bad, "node $id: voted for " . join(', ', keys %$whom)
			  . " in term $of, the state file says $vote"
			  if $of == $term && !$whom->{$vote};
		}
	}
	is(join("\n", @bad), '', "round $round: terms and votes are what was sent");
}
cmp_ok($in_election, '>=', $rounds / 2, 'the rounds did see elections');
diag(sprintf('%d rounds, %d with votes asked for; %d votes and %d datagrams seen; highest term %d',
		$rounds, $in_election, $votes, $datagrams,
		(sort { $b <=> $a } values %lowest)[0]));
done_testing();
