#!/usr/bin/perl
# test/stand/splits.pl
#	  Every split of five nodes into a majority and a minority, once with the
#	  leader among the few and once among the many.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Scenario;
use Test::More;

my $stand = Scenario->new(nodes => 5);
my @all = $stand->ids;
my @minorities = map { [$_] } @all;

foreach my $one (@all)
{
	push @minorities, map { [ $one, $_ ] } $one + 1 .. $all[-1];
}

foreach my $minority (@minorities)
{
	my @few = @$minority;
	my @many = $stand->others(@few);
	my $groups = "@few ; @many";

	$stand->let_lead($few[-1]);
	$stand->scenario("leader_in_minority, @few", sub {
		my ($leader, $term) = @_;
		my (undef, $done) = $stand->ctl("brainsplit $groups");
		my $new = $stand->ok_elects($term, $done, Scenario::ELECTED, @many);

		# check quorum has its say by then, and another timeout has passed
		Scenario::sleep_until($done + 2 * Scenario::MAX);
		foreach my $id (@few)
		{
			is($stand->value($id, 'SELECT pg_leader_is_leader()'), 'f', "node $id of the minority holds no lease");
		}
		$stand->collect;
		$stand->ok_lease_ran_out($leader, $term, $done);
		my @leases = grep { defined $_->{lease_start} && $_->{lease_start} > $done } $stand->since($done, @few);
		is(scalar @leases, 0, 'nor did one begin there');

		$stand->heal;
		my ($last, $last_term) = $stand->settled;
		cmp_ok($last_term, '<=', $new->{term} + 1, 'one change of term at most after the heal');
		return ("$groups, leader $leader", $done);
	});

	$stand->scenario("leader_in_majority, @many", sub {
		my ($leader, $term) = @_;
		my ($before, $done) = $stand->ctl("brainsplit $groups");

		Scenario::sleep_until($done + 2 * Scenario::MAX);
		$stand->ok_stays($leader, $term, $before);
		$stand->heal;
		$stand->ok_stays($leader, $term, $before);
		return ("$groups, leader $leader", $done);
	});
}
$stand->finish;
