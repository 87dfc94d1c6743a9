#!/usr/bin/perl
# test/stand/scenarios_three.pl
#	  Three nodes: one link broken, leases over partitions and restarts, a
#	  hand-over into a partition, a voter that has forgotten everything.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Scenario;
use Test::More;

my $stand = Scenario->new(nodes => 3);

$stand->scenario('one_link_broken', sub {
	my ($leader, $term) = @_;
	my ($near, $far) = $stand->others($leader);
	my ($before, $done) = $stand->ctl("disconnect $leader $far both");

	Scenario::sleep_until($done + Scenario::WATCHED);
	$stand->ok_stays($leader, $term, $before);
	ok(scalar(grep { $_->{role} eq 'pre-candidate' } $stand->since($before, $far)), "node $far wanted to lead");
	$stand->heal;
	$stand->ok_stays($leader, $term, $before);
	return ("$leader-$far, leader $leader", $done);
});

$stand->scenario('lease_after_partition', sub {
	my ($leader, $term) = @_;
	my @others = $stand->others($leader);
	my (undef, $done) = $stand->ctl("isolate $leader");
	my $new = $stand->ok_elects($term, $done, Scenario::ELECTED, @others);

	is($stand->value($leader, 'SELECT pg_leader_is_leader()'), 'f', 'the old leader has no lease then');
	Scenario::sleep_until($done + 2 * Scenario::MAX);
	$stand->heal;
	$stand->ok_lease_ran_out($leader, $term, $done);
	cmp_ok($stand->lease_end($leader, $term), '<', $new->{lease_start}, 'its lease was over before the new one began');
	my @again = grep { $_->{role} eq 'leader' && $_->{term} == $term } $stand->since($done, $leader);
	is(scalar @again, 0, 'nor did it lead its term again after the heal');
	$stand->ok_stays($new->{node}, $new->{term}, $new->{boot_time});
	return ("$leader, leader $leader", $done);
});

$stand->scenario('transfer_then_isolate_old_leader', sub {
	my ($leader, $term) = @_;
	my ($target) = $stand->others($leader);
	my $before = Chaos::now();

	is($stand->value($leader, "SELECT pg_leader_transfer($target)"), $target, "handed over to node $target");
	my (undef, $done) = $stand->ctl("isolate $leader");
	Scenario::sleep_until($done + 2 * Scenario::MAX);
	is($stand->value($leader, 'SELECT pg_leader_is_leader()'), 'f', 'the old leader, isolated, has no lease');
	$stand->collect;
	my $new = $stand->first_above($term);
	$stand->ok_stays($target, $new->{term}, $new->{boot_time});

	my ($gave_up) = grep { $_->{reason} =~ /^handed over to node $target/ } $stand->since($before, $leader);
	ok(defined $gave_up->{lease_end} && $gave_up->{lease_end} <= $gave_up->{boot_time},
		'it had given its lease up before it told the target');
	my @again = grep { $_->{role} eq 'leader' } $stand->since($gave_up->{boot_time}, $leader);
	is(scalar @again, 0, 'and did not lead again');
	return ("$leader, after it handed over to $target", $gave_up->{boot_time});
});

# The leader lives on the promises of one voter, the other's ran out long ago; the
# voter forgets what it promised, and the other one asks for its vote.  Promises
# are made long enough for a server to restart within the lease.
$stand->scenario('voter_restarts_inside_the_lease', sub {
	my ($leader, $term) = @_;
	my ($voter, $eager) = $stand->others($leader);
	my $promise_ms = 2000;
	my (undef, $done) = $stand->ctl("disconnect $leader $eager both");

	Scenario::sleep_until($done + 2 * Scenario::MAX);
	$stand->lengthen_lease($leader, $promise_ms);
	my $paused = $stand->worker($leader);
	kill 'STOP', $paused;
	my $killed = $stand->kill_workers($voter);
	my $started = $stand->wait_for_start($voter, $killed);
	$stand->wait_for_leader_above($term, $voter, $eager);
	kill 'CONT', $paused;
	$stand->lengthen_lease($leader, undef);
	$stand->heal;

	my ($first) = grep { $_->{reason} =~ /^voted for/ || $_->{role} ne 'follower' } $stand->since($started, $voter);
	my $new = $stand->first_above($term);
	my $end = $stand->lease_end($leader, $term);
	cmp_ok($started, '<', $end, 'the voter was back before the lease ended');
	cmp_ok($first->{boot_time}, '>=', $started + $promise_ms / 1000,
		'it neither voted nor stood while what it had promised could run');
	cmp_ok($end, '<', $new->{lease_start}, 'the leases are apart');
	diag(sprintf('the voter was back %.0f ms before the lease ended; its first vote came %.0f ms after its start',
			1000 * ($end - $started), 1000 * ($first->{boot_time} - $started)));
	return ("$leader-$eager; leader $leader paused, $voter restarted", $killed);
});

# What an abstaining member acknowledges must keep nobody in office.
$stand->scenario('minority_leader_and_a_wiped_voter', sub {
	my ($leader, $term) = @_;
	my ($wiped, $other) = $stand->others($leader);

	$stand->stop_and_record($wiped);
	$stand->wipe($wiped);

	# not to hear all others is what keeps it abstaining
	$stand->ctl("disconnect $wiped $other both");
	$stand->start_again($wiped);
	$stand->wait_for_value($wiped, 'SELECT abstaining FROM pg_leader_status WHERE leader_id IS NOT NULL', 't');
	is($stand->value($leader, 'SELECT role FROM pg_leader_status'), 'leader', 'it follows a leader that has a quorum');

	my (undef, $done) = $stand->ctl("disconnect $leader $other both");
	Scenario::sleep_until($done + Scenario::WATCHED);
	$stand->collect;
	$stand->ok_lease_ran_out($leader, $term, $done);
	foreach my $id ($stand->ids)
	{
		is($stand->value($id, "SELECT role = 'leader' OR is_leader FROM pg_leader_status"), 'f',
			"node $id does not lead");
	}
	is($stand->value($wiped, 'SELECT abstaining FROM pg_leader_status'), 't', "node $wiped abstains all the while");

	my (undef, $joined) = $stand->ctl('brainjoin');
	my $new = $stand->ok_elects($term, $joined, Scenario::RESIGNED_AND_ELECTED, $stand->ids);
	isnt($new->{node}, $wiped, 'with all links, one of those that remember leads');
	$stand->wait_for_value($wiped, 'SELECT abstaining FROM pg_leader_status', 'f');
	return ("$other; $wiped forgot its votes, leader $leader", undef, 'none');
});
$stand->finish;
