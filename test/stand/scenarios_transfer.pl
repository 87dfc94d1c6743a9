#!/usr/bin/perl
# test/stand/scenarios_transfer.pl
#	  Five nodes: leadership handed over to those that cannot take it.
#
# A transfer is refused and changes nothing, or somebody leads in a later term in
# time.  Positions are all equal in this version, so none is refused for its data.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Scenario;
use Test::More;
use Time::HiRes qw(sleep);

my $stand = Scenario->new(nodes => 5);
my @all = $stand->ids;

# Ask for a transfer to a node that the leader knows to be unfit.
sub ok_refused
{
	my ($leader, $term, $target, $why) = @_;
	my $session = $stand->session($leader);
	my $before = Chaos::now();

	$session->tell("SELECT pg_leader_transfer($target, '2s')");
	like($session->hear, qr/^ERROR: .*$why/s, 'the transfer is refused');
	sleep(Scenario::MAX);
	$stand->ok_stays($leader, $term, $before);
	return;
}

$stand->scenario('transfer_to_dead_or_stale_node, dead', sub {
	my ($leader, $term) = @_;
	my ($dead) = $stand->others($leader);

	$stand->kill_and_record($dead);
	$stand->wait_for_value($leader,
		"SELECT last_heard > '400ms' FROM pg_leader_peers WHERE node_id = $dead", 't');
	ok_refused($leader, $term, $dead, "node $dead does not answer");
	return ("$dead dead, leader $leader", undef);
});

# Asked before its silence can tell: as a rule the leader hands over, and the
# others elect; if it was too late it refuses.
$stand->scenario('transfer_to_dead_or_stale_node, just died', sub {
	my ($leader, $term) = @_;
	my ($dead) = $stand->others($leader);
	my $session = $stand->session($leader);
	my @pids = reverse sort { $a <=> $b } $stand->pids($dead);

	$stand->collect($dead);
	$stand->expect_end('KILL', $dead, @pids);
	my $killed = Chaos::now();
	kill 'KILL', @pids;
	$session->tell("SELECT pg_leader_transfer($dead, '2s')");
	$stand->{down}{$dead} = 1;
	my $answer = $session->hear;
	$stand->collect;
	my ($gave_up) = grep { $_->{reason} =~ /^handed over to node $dead/ } $stand->since($killed, $leader);

	if (!defined $gave_up)
	{
		like($answer, qr/^ERROR: .*node $dead does not answer/, 'the transfer is refused');
		Scenario::sleep_until($killed + Scenario::WATCHED);
		$stand->ok_stays($leader, $term, $killed);
		return ("$dead just died, leader $leader", undef);
	}
	isnt($answer, $dead, 'the leader does not say that the dead one leads');
	my $new = $stand->ok_elects($term, $gave_up->{boot_time}, Scenario::ELECTED, $stand->others($dead));
	cmp_ok($gave_up->{lease_end}, '<=', $gave_up->{boot_time}, 'the old lease was over at once');
	return ("$dead just died, leader $leader", $gave_up->{boot_time});
});

$stand->scenario('transfer_to_dead_or_stale_node, barred', sub {
	my ($leader, $term) = @_;
	my ($barred) = $stand->others($leader);
	my $seen = "SELECT may_lead FROM pg_leader_peers WHERE node_id = $barred";

	$stand->value($barred, 'ALTER SYSTEM SET pg_leader.candidate = off');
	$stand->value($barred, 'SELECT pg_reload_conf()');
	$stand->wait_for_value($leader, $seen, 'f');
	ok_refused($leader, $term, $barred, "node $barred cannot lead");
	$stand->value($barred, 'ALTER SYSTEM RESET pg_leader.candidate');
	$stand->value($barred, 'SELECT pg_reload_conf()');
	$stand->wait_for_value($leader, $seen, 't');
	return ("$barred may not lead, leader $leader", undef);
});

$stand->scenario('transfer_to_dead_or_stale_node, abstains', sub {
	my ($leader, $term) = @_;
	my ($wiped, $unheard) = $stand->others($leader);
	my $seen = "SELECT abstaining FROM pg_leader_peers WHERE node_id = $wiped";

	$stand->stop_and_record($wiped);
	$stand->wipe($wiped);
	$stand->ctl("disconnect $wiped $unheard both");
	$stand->start_again($wiped);
	$stand->wait_for_value($leader, $seen, 't');
	ok_refused($leader, $term, $wiped, "node $wiped cannot lead");
	$stand->ctl('brainjoin');
	$stand->wait_for_value($wiped, 'SELECT abstaining FROM pg_leader_status', 'f');
	return ("$wiped forgot its votes, leader $leader", undef);
});

# The hand-over is read when another one leads already.
$stand->scenario('transfer_target_paused', sub {
	my ($leader, $term) = @_;
	my ($target) = $stand->others($leader);
	my $worker = $stand->worker($target);
	my $session = $stand->session($leader);
	my $paused = Chaos::now();

	kill 'STOP', $worker;
	$session->tell("SELECT pg_leader_transfer($target, '2s')");
	my $answer = $session->hear;
	$stand->settled($stand->others($target));
	$stand->collect($stand->others($target));
	my ($gave_up) = grep { $_->{reason} =~ /^handed over to node $target/ } $stand->since($paused, $leader);
	ok(defined $gave_up, 'the leader handed over') || diag($answer);
	my $new = $stand->ok_elects($term, $gave_up->{boot_time}, Scenario::ELECTED, $stand->others($target));

	my $resumed = Chaos::now();
	kill 'CONT', $worker;
	$stand->settled;
	Scenario::sleep_until($resumed + 2 * Scenario::MAX);
	$stand->ok_stays($new->{node}, $new->{term}, $new->{boot_time});
	diag("node $target, resumed: $_->{role} in term $_->{term}, $_->{reason}") foreach $stand->since($resumed, $target);
	return ("$target paused, leader $leader", $gave_up->{boot_time});
});
$stand->finish;
