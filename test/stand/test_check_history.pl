#!/usr/bin/perl
# test/stand/test_check_history.pl
#	  check_history on histories that are known to be good, bad or unusable.
#
# Run by make check.  Every file in histories/ is judged: good_* must be accepted,
# bad_* must be refused for exactly the reason given here, unusable_* must not be
# judged at all.  Needs no server.

use strict;
use warnings;

use FindBin;
use File::Temp qw(tempdir);
use Test::More;

my $here = $FindBin::RealBin;
my $scratch = tempdir(CLEANUP => 1);

# What each bad history is refused for: every violation, and no other.
my %wrong = (
	bad_leases_overlap_by_1_us => [qr/^leases-overlap: for at least 1 us: node 0 .* and node 1 /],
	bad_lease_within_a_lease => [qr/^leases-overlap: for at least 1 us: /],
	bad_killed_known_by_samples => [qr/^leases-overlap: for at least 10 us: node 0 .*told until 155000\)/],
	bad_overlap_by_samples_alone => [qr/^leases-overlap: for at least 100 us: /],
	bad_sample_within_a_lease => [qr/^leases-overlap: /],
	bad_two_leaders_named => [qr/^two-leaders: term 7: nodes 2 and 3$/],
	bad_two_leaders_in_events => [qr/^two-leaders: term 7: nodes 0 and 1$/],
	bad_two_leaders_in_a_role => [qr/^two-leaders: term 7: nodes 0 and 1$/],
	bad_second_leader_heard => [qr/^two-leaders: term 7: nodes 0 and 1$/],
	bad_term_fell_in_samples => [qr/^term-fell: node 0: from 7 to 6$/],
	bad_term_fell_across_a_restart => [qr/^term-fell: node 0: from 7 to 6$/],
	bad_term_fell_below_an_event => [qr/^term-fell: node 0: from 7 to 6$/],
	bad_term_fell_before_a_wipe =>
	  [ qr/^term-fell: node 0: from 7 to 0$/, qr/^term-fell: node 0: from 7 to 0$/ ],
	bad_lease_of_a_follower => [qr/^lease-inconsistent: .*its role is follower$/],
	bad_leader_names_another =>
	  [ qr/^lease-inconsistent: .*names another leader$/, qr/^two-leaders: term 7: nodes 0 and 1$/ ],
	bad_leader_event_names_another => [qr/^lease-inconsistent: node 1 leads, and names another leader$/],
	bad_lease_of_another_term => [qr/^lease-inconsistent: .*its lease of term 6$/],
	bad_lease_without_time => [qr/^lease-inconsistent: .*a lease that is over$/],
	bad_lease_too_long => [qr/^lease-too-long: node 0 has a lease of 162637 us$/],
	bad_calm_nobody_named => [qr/^calm-gap: node 1 names no leader for more than 1000000 us$/],
	bad_calm_without_lease => [qr/^calm-gap: node 0 does not lead with a lease for more than 1000000 us$/],
	bad_calm_silent =>
	  [ qr/^calm-silent: nothing was heard of node 0 /, qr/^calm-silent: nothing was heard of node 1 / ],
	bad_calm_one_silent => [qr/^calm-silent: nothing was heard of node 1 for 3299800 us$/],
	bad_calm_out_of_reach => [qr/^calm-silent: node 1 is out of reach$/],
	bad_led_again_after_a_kill => [qr/^led-twice: node 0 led term 3, and again after it was started$/],
	bad_led_again_by_another_worker => [qr/^led-twice: node 0 led term 3, and again after it was started$/],
	bad_led_twice_in_events => [qr/^led-twice: node 0 led term 3, and later again$/],
	bad_led_twice_in_samples => [qr/^led-twice: node 0 led term 3, and later again$/],
	bad_overlap_after_stop_immediate => [qr/^leases-overlap: for at least 100 us: node 0 .*told until 155000\)/],
	bad_overlap_after_kill_backend => [qr/^leases-overlap: for at least 100 us: node 0 .*told until 155000\)/],
	bad_overlap_after_restart_by_kill => [qr/^leases-overlap: for at least 100 us: node 0 .*told until 155000\)/],
	bad_overlap_of_a_target => [qr/^leases-overlap: for at least 100 us: node 0 .*told until 155000\)/],
	bad_overlap_after_an_earlier_stop => [qr/^leases-overlap: for at least 100 us: node 0 .*told until 155000\)/],
	bad_one_node_too_slow => [qr/^too-little: .* of node 1 while it was within reach, and at least 6\.0 were wanted$/],
	bad_lease_after_its_end => [qr/^lease-inconsistent: .*after it ended$/],
	bad_lease_before_its_beginning => [qr/^lease-inconsistent: .*before it began$/],
	bad_led_twice => [qr/^led-twice: node 0 became leader of term 3 twice$/],
	bad_no_leader_after_calm => [qr/^calm-no-leader: .*within 1000 us$/],
	bad_leader_too_late_after_calm => [qr/^calm-no-leader: .*only after 1001 us$/],
	bad_one_node_is_silent_in_calm => [qr/^calm-no-leader: .*no sample of node 1$/],
	bad_calm_too_short => [qr/^calm-no-leader: .*the phase is shorter than 1000 us$/],
	bad_leader_changed_in_calm => [qr/^calm-changed: node 0 was leader of term 1; node 1 says node 1, term 2$/],
	bad_term_changed_in_calm => [qr/^calm-changed: .*no leader, term 2$/],
	bad_calm_without_end => [ qr/^too-little: a calm phase has no end$/, qr/^too-little: phases do not end$/ ],
	bad_calm_without_limit => [qr/^too-little: there is a phase calm, and no limit heal_us$/],
	bad_limit_without_calm => [qr/^too-little: there is a limit heal_us, and no phase calm$/],
	bad_faults_without_calm =>
	  [ qr/^too-little: after faults there is no phase calm$/, qr/^too-little: phases do not end$/ ],
	bad_too_few_samples => [qr/^too-little: 2 samples, and at least 3 were wanted$/],
	bad_too_slow => [qr/^too-little: 2 samples a second, and at least 500 were wanted$/],
	bad_node_never_sampled => [qr/^too-little: no samples of node 1$/],
	bad_node_not_observed => [qr/^too-little: 2 nodes were observed, and there are 3$/],
	bad_event_missing => [qr/^events-missing: node 0, life 100-1: 2 to 2$/],
	bad_event_missing_between_lives => [qr/^events-missing: node 0, life 8: 3 to 3$/],
	bad_led_again_in_the_next_boot => [qr/^led-twice: node 0 led term 3, and again after it was started$/],
	bad_killed_lease_told_in_the_next_life => [qr/^leases-overlap: for at least 50 us: node 0 .*told until 151100\)/],
	bad_events_out_of_order => [qr/^event-order: .*event 2 is older than the one before$/],
	bad_events_with_one_number => [qr/^event-order: .*two events have number 1$/],
	bad_lease_ends_twice => [qr/^event-order: .*two ends of one lease$/],
	bad_lease_ends_before_it_begins => [qr/^event-order: .*ends before it begins$/],
	bad_lease_told_before_it_begins => [qr/^event-order: .*tells of a lease before it begins$/]);

# Which line is to blame, and why.
my %malformed = (
	unusable_garbage => qr/line 3 is malformed: no sample$/m,
	unusable_unknown_record => qr/line 3 is malformed: there is no such record$/m,
	unusable_unknown_limit => qr/line 2 is malformed: there is no limit "heal_ms"$/m,
	unusable_backwards => qr/line 2 is malformed: it ends before it begins$/m,
	unusable_kill_of_nobody => qr/line 2 is malformed: kill which nodes\?/m);

# Exit status and everything printed.
sub judge
{
	my ($path) = @_;
	my $text = `"$here/check_history" "$path" 2>&1`;
	return ($? >> 8, $text);
}

sub contents
{
	my ($path) = @_;
	open(my $file, '<', $path) or die "$path: $!";
	local $/;
	return scalar <$file>;
}

# A history that is made of another one here.
sub judge_text
{
	my ($text) = @_;
	open(my $file, '>', "$scratch/history") or die $!;
	print $file $text;
	close $file or die $!;
	return judge("$scratch/history");
}

# Exactly the violations that are expected, each with the lines that prove it.
sub test_bad
{
	my ($name, $path) = @_;
	my ($status, $output) = judge($path);
	my @found = $output =~ /^violation: (.*)$/mg;
	my @expected = @{ $wrong{$name} // [] };
	my $fits = $status == 1 && @found && @found == @expected
	  && !grep { $found[$_] !~ $expected[$_] } 0 .. $#expected;
	my @lines = split /\n/, contents($path);
	my $proves = 1;

	while ($output =~ /^    line (\d+): (.*)$/mg)
	{
		$proves = 0 if $lines[ $1 - 1 ] ne $2;
	}
	ok($fits && $proves && $output =~ /^verdict: VIOLATED$/m, "$name is refused") or diag($output);
	return;
}

foreach my $path (sort glob "$here/histories/*.history")
{
	my ($name) = $path =~ m{([^/]+)\.history$};

	if ($name =~ /^bad_/) { test_bad($name, $path); delete $wrong{$name}; next; }
	my ($status, $output) = judge($path);
	if ($name =~ /^good_/)
	{
		ok($status == 0 && $output =~ /^verdict: no violation$/m, "$name is accepted")
		  or diag($output);
		next;
	}
	my $why = delete $malformed{$name};
	ok($status == 2 && defined $why && $output =~ $why, "$name is not judged") or diag($output);
}
is(join(' ', sort keys %wrong, keys %malformed), '', 'every history that is spoken of is there');

my $good = contents("$here/histories/good_killed_leader.history");
my ($status, $output) = judge_text($good);
like($output, qr/^samples +12, /m, 'figures: samples');
like($output, qr/^nodes +0: 3 samples, 1: 5 samples, 2: 4 samples$/m, 'figures: nodes');
like($output, qr/^lives +4, out of reach 1 times$/m, 'figures: lives');
like($output, qr/^events +9$/m, 'figures: events');
like($output, qr/^elections +2 /m, 'figures: elections');
like($output, qr/^longest without +550\.3 ms, from 1350200 on$/m, 'figures: time without a lease');
like($output, qr/^calm to stable +worst 30\.1 ms, median 30\.1 ms, of 1$/m, 'figures: calm to stable');
like($output, qr/^faults +kill 1$/m, 'figures: faults');

($status, $output) = judge_text($good . "sample\t0\t2100000\t21");
is($status, 0, 'an incomplete last line is tolerated');
like($output, qr/^note: line \d+ is incomplete/m, 'and noted');
($status, $output) = judge_text($good =~ s/observer\t2000100.*\n/sample\t0\t2100000\t21\n$&/r);
is($status, 2, 'the same line elsewhere is not');

($status, $output) = judge_text('');
is($status, 2, 'an empty file is unusable');
($status, $output) = judge_text("pg_leader history 2\n");
is($status, 2, 'another version is unusable');
($status, $output) = judge_text("pg_leader history 1\n");
is($status, 1, 'a history of nothing is too little');
($status, $output) = judge("$scratch/none");
is($status, 2, 'so is a file that is not there');

# As many samples as five minutes of observation give.
my $busy = $good;
foreach my $i (1 .. 200_000)
{
	my $t = 2_100_000 + 1600 * $i;
	$busy .= $i % 3 == 1
	  ? sprintf("sample\t1\t%d\t%d\t101-1000\t1\tleader\t2\t1\tt\t2\t150000\tt\n", $t, $t + 300)
	  : sprintf("sample\t%d\t%d\t%d\t%s\t1\tfollower\t2\t1\tf\t-\t-\tt\n", $i % 3, $t, $t + 300,
		$i % 3 ? '102-1000' : '103-500000');
}
my $began = time;
($status, $output) = judge_text($busy);
is($status, 0, 'a long history is judged');
cmp_ok(time - $began, '<', 60, 'within a minute');
done_testing();
