#!/usr/bin/perl
# test/stand/test_scenario_check.pl
#	  The check that follows every scenario, with records made by hand: one that
#	  finds nothing in a bad record would pass everything else as well.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Scenario;
use Test::More;

# An event from a few words: time, term, role, leader, start and end of a lease.
sub made_by_hand
{
	my %event;
	@event{qw(boot_time term role leader_id lease_start lease_end)} = @_;
	return { %event, number => 1, reason => 'made by hand' };
}

sub test_check
{
	my $e = \&made_by_hand;
	my $good = sub {
		return {
			0 => [
				{ events => [ $e->(1, 1, 'leader', 0, 1), $e->(5, 1, 'follower', undef, 1, 4) ], until => undef },
				{ events => [ $e->(7, 1, 'follower', undef), $e->(8, 2, 'follower', 1) ], until => undef } ],
			1 => [ { events => [ $e->(2, 1, 'follower', 0), $e->(4, 2, 'leader', 1, 4) ], until => 9 } ],
		};
	};
	my @bad = (
		[ 'term 1 after 2', sub { $_[0]{1}[0]{events}[0]{term} = 3 } ],
		[ 'term falls across a restart', sub { $_[0]{0}[0]{events}[1]{term} = 2 } ],
		[ 'two members lead a term', sub { $_[0]{0}[1]{events}[1] = $e->(8, 2, 'leader', 0) } ],
		[ 'another leader is named', sub { $_[0]{0}[1]{events}[1]{leader_id} = 3 } ],
		[ 'leases overlap by a microsecond', sub { $_[0]{0}[0]{events}[1]{lease_end} = 4.000001 } ],
		[ 'a lease within one that is not over',
			sub { push @{ $_[0]{0}[1]{events} }, $e->(8.5, 3, 'leader', 0, 8.5) } ],
		[ 'a killed leader held its lease too long',
			sub { pop @{ $_[0]{0}[0]{events} }; $_[0]{0}[0]{until} = 4.1 } ],
		[ 'a later lease is of the same term',
			sub { $_[0]{1}[0]{events}[1]{term} = 1; $_[0]{0}[1]{events}[1]{term} = 1 } ],
		[ 'somebody saw two leaders',
			sub { $_[0]{0}[1]{events}[0]{reason} = 'node 1 claims to lead a term that has another leader' } ]);

	is(join("\n", Scenario::problems_of($good->())), '', 'a good record is good');
	foreach my $case (@bad)
	{
		my ($what, $spoil) = @$case;
		my $record = $good->();
		$spoil->($record);
		isnt(join("\n", Scenario::problems_of($record)), '', "found: $what");
	}
	my $record = $good->();
	$record->{0}[1]{events}[0]{term} = 0;
	isnt(join("\n", Scenario::problems_of($record)), '', 'found: a term that is 0 after a restart');
	$record->{0}[1]{forgot} = 1;
	is(join("\n", Scenario::problems_of($record)), '', 'unless the node was made to forget it');
	done_testing();
	return;
}

test_check();
