#!/usr/bin/perl
# test/stand/partitions.pl
#	  Networks that are neither whole nor split in two: links that are cut one by
#	  one or in one direction, on five nodes.
#
# A leader that reaches a quorum in both directions stays, whatever the others
# try; one that does not is replaced in time.  STAND_SEED repeats the choices of
# an earlier run.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use List::Util qw(shuffle sum);
use Scenario;
use Test::More;

my $seed = srand($ENV{STAND_SEED} // time);
my $stand = Scenario->new(nodes => 5);
my @all = $stand->ids;

diag("seed $seed");

# What is sent from these nodes to that one is lost: commands.
sub deaf
{
	my ($id, @from) = @_;
	return map { "disconnect $_ $id" } @from;
}

# It did try to become leader, else that it could not would say nothing.
sub ok_asked
{
	my ($id, $since) = @_;
	ok(scalar(grep { $_->{role} eq 'pre-candidate' } $stand->since($since, $id)),
		"node $id asked whether it could win an election");
	return;
}

sub refused
{
	my (@ids) = @_;
	return sum(map { $stand->value($_, 'SELECT pre_votes_refused FROM pg_stat_pg_leader') } @ids);
}

# ---- one link of the leader's ----

foreach my $n (1 .. 4)
{
	$stand->scenario("leader_isolated_from_one_node, $n", sub {
		my ($leader, $term) = @_;
		my $other = ($leader + $n) % 5;
		my ($before, $done) = $stand->ctl("disconnect $leader $other both");

		Scenario::sleep_until($done + Scenario::WATCHED);
		$stand->ok_stays($leader, $term, $before);
		ok_asked($other, $before);
		$stand->heal;
		$stand->ok_stays($leader, $term, $before);
		return ("$leader-$other, leader $leader", $done);
	});
}

# ---- a core of three, and two who know one of it each ----

$stand->scenario('three_in_the_middle', sub {
	my ($leader, $term) = @_;
	my ($two, $three, $four, $five) = $stand->others($leader);
	my ($before, $done) = $stand->ctl_each("brainsplit $four ; $leader $three $five",
		"brainsplit $five ; $leader $two");

	Scenario::sleep_until($done + Scenario::WATCHED);
	$stand->ok_stays($leader, $term, $before);
	ok_asked($_, $before) foreach $four, $five;
	$stand->heal;
	$stand->ok_stays($leader, $term, $before);
	return ("$four-$two-$leader-$three-$five left, leader $leader", $done);
});

$stand->scenario('three_in_the_middle, one way', sub {
	my ($leader, $term) = @_;
	my ($two, $three, $four, $five) = $stand->others($leader);
	my ($before, $done) = $stand->ctl_each(deaf($four, $leader, $three, $five), deaf($five, $leader, $two, $four));
	my $refused = refused($leader, $two, $three);

	Scenario::sleep_until($done + Scenario::WATCHED);
	$stand->ok_stays($leader, $term, $before);
	ok_asked($_, $before) foreach $four, $five;
	cmp_ok(refused($leader, $two, $three), '>', $refused, 'they were heard, and refused');
	$stand->heal;
	$stand->ok_stays($leader, $term, $before);
	return ("$four hears only $two, $five only $three, leader $leader", $done);
});

$stand->scenario('three_in_the_middle, leader outside', sub {
	my ($leader, $term) = @_;
	my ($one, $two, $three, $five) = $stand->others($leader);
	# The leader is cut off last: until then it stays, however long the cutting takes.
	my (undef, $done) = $stand->ctl_each("brainsplit $five ; $one $two",
		"brainsplit $leader ; $one $three $five");
	my $new = $stand->ok_elects($term, $done, Scenario::RESIGNED_AND_ELECTED, $one, $two, $three);

	Scenario::sleep_until($new->{boot_time} + Scenario::WATCHED);
	$stand->ok_stays($new->{node}, $new->{term}, $new->{boot_time});
	$stand->ok_lease_ran_out($leader, $term, $done);
	return ("$leader-$two-$one-$three-$five left, leader $leader", $done);
});

# ---- a leader that has lost the majority, but not everyone ----

$stand->scenario('leader_at_the_edge', sub {
	my ($leader, $term) = @_;
	my ($near, $third, $fourth, $dead) = $stand->others($leader);

	$stand->kill_and_record($dead);
	my (undef, $done) = $stand->ctl("brainsplit $leader ; $third $fourth");
	my $new = $stand->ok_elects($term, $done, Scenario::RESIGNED_AND_ELECTED, $near, $third, $fourth);
	my ($lost) = grep { $_->{role} ne 'leader' } $stand->since($done, $leader);

	ok(defined $lost, 'the old leader has stepped down');
	$stand->ok_lease_ran_out($leader, $term, $done);
	Scenario::sleep_until($new->{boot_time} + Scenario::WATCHED);
	$stand->ok_stays($new->{node}, $new->{term}, $new->{boot_time});
	return ("leader $leader reaches only $near, $dead is dead", $done);
});

# ---- a ring ----

$stand->scenario('ring', sub {
	my ($leader, $term) = @_;
	my ($before, $done) = $stand->ctl_each('brainsplit 0 ; 2 3', 'brainsplit 1 ; 3 4', 'brainsplit 2 ; 4');

	Scenario::sleep_until($done + Scenario::WATCHED);
	$stand->ok_stays($leader, $term, $before);
	ok_asked(($leader + $_) % 5, $before) foreach 2, 3;

	# What is left is a row of four; the two inner ones reach a quorum.
	my @row = map { ($leader + $_) % 5 } 1 .. 4;
	(undef, $done) = $stand->ctl("isolate $leader");
	my $new = $stand->ok_elects($term, $done, Scenario::RESIGNED_AND_ELECTED, @row[ 1, 2 ]);
	Scenario::sleep_until($new->{boot_time} + Scenario::WATCHED);
	$stand->ok_stays($new->{node}, $new->{term}, $new->{boot_time});
	$stand->ok_lease_ran_out($leader, $term, $done);
	return ("0-1-2-3-4-0 left: stays; then leader $leader", $done);
});

# ---- one direction ----

$stand->scenario('talks_but_never_hears', sub {
	my ($leader, $term) = @_;
	my ($deaf, @others) = $stand->others($leader);
	my ($before, $done) = $stand->ctl_each(deaf($deaf, $leader, @others));
	my $refused = refused($leader, @others);

	Scenario::sleep_until($done + Scenario::WATCHED);
	$stand->ok_stays($leader, $term, $before);
	ok_asked($deaf, $before);
	cmp_ok(refused($leader, @others), '>', $refused, 'it was heard, and refused');
	$stand->heal;
	$stand->ok_stays($leader, $term, $before);
	return ("all to $deaf, leader $leader", $done);
});

$stand->scenario('leader_hears_nothing_but_is_heard', sub {
	my ($leader, $term) = @_;
	my @others = $stand->others($leader);
	my ($before, $done) = $stand->ctl_each(deaf($leader, @others));
	my $new = $stand->ok_elects($term, $done, Scenario::RESIGNED_AND_ELECTED, @others);
	my ($lost) = grep { $_->{reason} =~ /^lost quorum/ } $stand->since($before, $leader);

	ok(defined $lost && $lost->{boot_time} < $new->{boot_time}, 'the old leader gave up first, by itself');
	$stand->ok_lease_ran_out($leader, $term, $done);
	Scenario::sleep_until($new->{boot_time} + Scenario::WATCHED);
	$stand->ok_stays($new->{node}, $new->{term}, $new->{boot_time});
	return ("all to $leader, leader $leader", $done);
});

$stand->scenario('majority_not_heard_by_the_leader', sub {
	my ($leader, $term) = @_;
	my ($near, @majority) = $stand->others($leader);
	my (undef, $done) = $stand->ctl_each(deaf($leader, @majority));
	my $new = $stand->ok_elects($term, $done, Scenario::RESIGNED_AND_ELECTED, $near, @majority);

	isnt($new->{node}, $leader, 'it is another one');
	$stand->ok_lease_ran_out($leader, $term, $done);
	return ("@majority to $leader, leader $leader", $done);
});

$stand->scenario('leader_not_heard_by_the_majority', sub {
	my ($leader, $term) = @_;
	my ($near, @majority) = $stand->others($leader);
	my (undef, $done) = $stand->ctl_each(map { deaf($_, $leader) } @majority);
	my $new = $stand->ok_elects($term, $done, Scenario::RESIGNED_AND_ELECTED, @majority);

	isnt($new->{node}, $leader, 'it is another one');
	$stand->ok_lease_ran_out($leader, $term, $done);
	return ("$leader to @majority, leader $leader", $done);
});

# ---- many links, one by one ----

foreach my $round (1 .. 2)
{
	$stand->scenario("swizzle, round $round", sub {
		my ($leader, $term) = @_;
		my @links = map { my $one = $_; map { "$one $_" } $one + 1 .. $all[-1] } @all;
		my @clogged = map { int(rand(3)) ? "$_ both" : $_ } shuffle @links;

		diag('clogged: ' . join(', ', @clogged));
		$stand->ctl("disconnect $_") foreach @clogged;
		my (undef, $done) = $stand->ctl_each(map { "reconnect $_" } shuffle @clogged);
		Scenario::sleep_until($done + Scenario::ELECTED + Scenario::WATCHED);
		my ($last, $last_term) = $stand->settled;
		$stand->collect;
		my @late = grep { $_->{boot_time} > $done + Scenario::ELECTED } $stand->since($done);
		is(join(', ', map { "node $_->{node}: $_->{reason}" } @late), '',
			'all is settled in time after the last link was joined');
		$stand->ok_stays($last, $last_term, $done + Scenario::ELECTED);
		my @led = grep { $_->{role} eq 'leader' && $_->{term} > $term } $stand->since(0);
		return ('all links, one after the other', $done, scalar(@led) . ' new');
	});
}
$stand->finish;
