#!/usr/bin/perl
# test/stand/test_check_commits.pl
#	  check_commits on histories that are known to be good, bad or unusable.
#
# Run by make check.  Every file histories/*.commits is judged: good_* must be accepted,
# bad_* must be refused for exactly the reason given here, unusable_* must not be
# judged at all.  Needs no server.

use strict;
use warnings;

use FindBin;
use File::Temp qw(tempdir);
use Test::More;

my $here = $FindBin::RealBin;
my $scratch = tempdir(CLEANUP => 1);

sub on_both { my ($what) = @_; return map { qr/^$what on node $_\b/ } 0, 1; }

my $after_later = qr/^two-answer: timeline 2 answered a commit that was sent 500 us after timeline 3 had answered$/;
my $beyond_fork = qr/^diverged-stream: node 1 streams from node 0 on timeline 3: it holds timeline 2 up to 4900, which ends at 4000 there$/;
my $gone = qr/^seen-lost: client 1, row 3: missing on an open primary, and seen before$/;

# What each bad history is refused for: every violation, and no other.
my %wrong = (
	bad_lost_in_the_end => [ on_both('lost-commit: client 1, row 2: missing in the end') ],
	bad_lost_all_of_a_client => [ on_both('lost-commit: client 1, 2 rows, 1, 2: missing in the end') ],
	bad_lost_implied => [ on_both('lost-commit: client 1, 2 rows, 3, 4: missing in the end') ],
	bad_lost_on_one_node => [ qr/^lost-commit: client 1, row 1: missing in the end on node 1$/, qr/^contents-differ: client 1, row 1: / ],
	bad_lost_on_an_open_primary => [qr/^lost-commit: client 1, row 3: missing on an open primary$/],
	bad_lost_above_what_was_read => [qr/^lost-commit: client 1, row 2: missing on an open primary$/],
	bad_lost_of_lines_in_any_order => [qr/^lost-commit: client 1, row 1: missing on an open primary$/],
	bad_answer_sent_1_us_later => [qr/^two-answer: timeline 2 answered a commit that was sent 1 us after timeline 3 had answered$/],
	bad_answer_within_a_long_one => [$after_later],
	bad_answers_in_turns => [$after_later],
	bad_answer_two_timelines_later => [ qr/^two-answer: timeline 2 .* sent 500 us after timeline 4 /, qr/^two-answer: timeline 3 .* sent 2500 us after timeline 4 / ],
	bad_timeline_created_twice => [qr/^timeline-twice: timeline 2 was created by nodes 0 and 1$/],
	bad_timeline_created_twice_by_one => [qr/^timeline-twice: timeline 2 was created by nodes 0 and 0$/],
	bad_timeline_of_two => [qr/^timeline-twice: timeline 2: nodes 0 and 1 answered on it$/],
	bad_timeline_read_on_another => [qr/^timeline-twice: timeline 2: nodes 0 and 1 answered on it$/],
	bad_foreign_answers => [qr/^foreign-answers: timeline 2: node 0 answered on it, and was not ordered to create it$/],
	bad_histories_differ => [qr/^histories-differ: timeline 3: nodes 0 and 1 have different histories$/],
	bad_history_without_its_parent => [qr/^histories-differ: timeline 3: its history is not that of timeline 2, and its end$/],
	bad_two_systems => [qr/^histories-differ: nodes are of different systems$/],
	bad_seen_and_gone_in_the_end => [ on_both('seen-lost: client 1, row 3: missing in the end') ],
	bad_seen_of_a_killed_client => [ on_both('seen-lost: client 1, row 4: missing in the end') ],
	bad_seen_and_gone_on_the_next_primary => [$gone],
	bad_seen_and_gone_on_the_same_primary => [$gone],
	bad_seen_and_gone_in_the_last_rows => [$gone],
	bad_streams_beyond_the_fork => [$beyond_fork],
	bad_streams_before_its_rebuild => [$beyond_fork],
	bad_streams_off_a_lost_timeline => [qr/^diverged-stream: .* on timeline 4: it holds timeline 3 up to 4900, which is not in its history$/],
	bad_streams_from_an_earlier_timeline => [qr/^diverged-stream: .* on timeline 2: it holds timeline 3 up to 4900, which is not in its history$/],
	bad_holds_more_than_its_primary => [qr/^diverged-stream: .* on timeline 2: it holds timeline 2 up to 5001, which ends at 5000 there$/],
	bad_no_commit_in_calm => [qr/^no-primary: no commit until the phase ended$/],
	bad_commit_too_late_in_calm => [qr/^no-primary: no commit before 310000 us had passed$/],
	bad_not_followed => [qr/^not-followed: .* until the phase ends$/],
	bad_followed_too_late => [qr/^not-followed: .* before 1361000 us have passed$/],
	bad_contents_differ => [qr/^contents-differ: client 1, row 3: on one of nodes 0 and 1 only$/],
	bad_refused_there => [ map { qr/^refused-there: client 1, row 3: refused, and there on node $_$/ } 0, 1 ],
	bad_half_there => [ map { qr/^half-there: client 1: of rows 3 and 4 node $_ has one$/ } 0, 1 ],
	bad_row_never_sent => [ map { qr/^row-unknown: client 1, row 3: on node $_, and never sent$/ } 0, 1 ],
	bad_row_twice => [qr/^row-unknown: node 1 has rows of client 1 twice$/],
	bad_nothing => [ qr/^too-little: 0 acknowledged commits, /, qr/^too-little: 0 nodes with contents, / ],
	bad_nothing_acknowledged => [qr/^too-little: 0 acknowledged commits, and at least 1 were wanted$/],
	bad_no_contents => [qr/^too-little: 0 nodes with contents, and at least 1 were wanted$/],
	bad_contents_of_too_few_nodes => [qr/^too-little: 2 nodes with contents, and at least 3 were wanted$/],
	bad_contents_cut => [qr/^too-little: node 1: 2 rows were read of 3$/],
	bad_contents_without_end => [qr/^too-little: node 1: its contents do not end$/],
	bad_too_few_commits => [qr/^too-little: 2 acknowledged commits, and at least 3 were wanted$/],
	bad_too_few_timelines => [qr/^too-little: 1 timelines with commits, and at least 2 were wanted$/],
	bad_too_few_commits_in_calm => [qr/^too-little: 2 commits in a phase calm, and at least 3 were wanted$/],
	bad_seldom_open => [qr/^too-little: 7 % of calm with commits, and at least 80 were wanted$/],
	bad_faults_without_calm => [ qr/^too-little: after faults there is no phase calm$/, qr/^too-little: phases do not end$/ ],
	bad_calm_without_end => [qr/^too-little: phases do not end$/],
	bad_calm_without_limit => [qr/^too-little: there is a phase calm, and no limit heal_us$/],
	bad_limit_without_calm => [qr/^too-little: there is a limit heal_us or follow_us, and no phase calm$/],
	bad_follow_limit_without_nodes => [qr/^too-little: there is a limit follow_us, and no limit nodes$/]);

# Which line is to blame, and why.
my %malformed = (
	unusable_cut_off => qr/line 8 is malformed: it does not end$/m,
	unusable_without_last_newline => qr/line 7 is malformed: it does not end$/m,
	unusable_cut_line => qr/line 3 is malformed: no commit$/m,
	unusable_unknown_record => qr/line 8 is malformed: there is no such record$/m,
	unusable_sent_twice => qr/line 8 is malformed: client 1 sends row 2 twice$/m,
	unusable_backwards => qr/line 8 is malformed: it ends before it begins$/m,
	unusable_nobody_answered => qr/line 8 is malformed: who has answered\?$/m,
	unusable_range_backwards => qr/line 8 is malformed: a range ends before it begins$/m,
	unusable_read_below => qr/line 8 is malformed: a read shows row 1, which is not above 1$/m,
	unusable_contents_twice => qr/line 8 is malformed: contents of node 1 a second time$/m,
	unusable_unknown_limit => qr/line 8 is malformed: there is no limit "heal_ms"$/m,
	unusable_without_header => qr/line 1 is malformed: the first line is not "pg_leader commits 1"$/m);

# Exit status and everything printed.
sub judge
{
	my (@paths) = @_;
	my $text = `"$here/check_commits" @paths 2>&1`;
	return ($? >> 8, $text);
}

sub contents
{
	my ($path) = @_;
	open(my $file, '<', $path) or die "$path: $!";
	local $/;
	return scalar <$file>;
}

# A file with that text.
sub written
{
	my ($name, $text) = @_;
	open(my $file, '>', "$scratch/$name") or die $!;
	print $file $text;
	close $file or die $!;
	return "$scratch/$name";
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

foreach my $path (sort glob "$here/histories/*.commits")
{
	my ($name) = $path =~ m{([^/]+)\.commits$};

	if ($name =~ /^bad_/) { test_bad($name, $path); delete $wrong{$name}; next; }
	my ($status, $output) = judge($path);
	if ($name =~ /^good_/)
	{
		ok($status == 0 && $output =~ /^verdict: no violation$/m && $output !~ /uninitialized/, "$name is accepted")
		  or diag($output);
		next;
	}
	my $why = delete $malformed{$name};
	ok($status == 2 && defined $why && $output =~ $why, "$name is not judged") or diag($output);
}
is(join(' ', sort keys %wrong, keys %malformed), '', 'every history that is spoken of is there');

my $good = contents("$here/histories/good_failover.commits");
my ($status, $output) = judge("$here/histories/good_failover.commits");
like($output, qr/^commits +ok 6, refused 1, unknown 1$/m, 'figures: commits');
like($output, qr/^acknowledged +block 1, call 1, insert 2, probe 2, string 0$/m, 'figures: acknowledged');
like($output, qr/^errors +- 1, 57P03 1$/m, 'figures: errors');
like($output, qr/^timelines +2$/m, 'figures: timelines');
like($output, qr/^rows in the end +node 0 8, node 1 8, node 2 8$/m, 'figures: rows');
like($output, qr/^longest without +978\.0 ms, from 1032000 on$/m, 'figures: time without a commit');
like($output, qr/^calm to a commit +worst 310\.0 ms, median 110\.0 ms, of 2$/m, 'figures: calm to a commit');
like($output, qr/^calm to followed +worst 1361\.0 ms, median 161\.0 ms, of 2$/m, 'figures: calm to followed');
like($output, qr/^faults +kill 1$/m, 'figures: faults');

# Several files are one history.
my ($head, $commits) = $good =~ /^(.*?\n)(.*)$/s;
my @parts = map { my $n = $_; written("part$n", $head . join '', grep { length() % 3 == $n } split /^/, $commits) } 0 .. 2;
($status, $output) = judge(grep { !/part1/ } @parts);
is($status, 1, 'a part of a history is not all of it');
($status, $output) = judge(@parts);
like($output, qr/^commits +ok 6, refused 1, unknown 1$/m, 'three files are one history');
($status, $output) = judge(@parts, written('bad', "${head}rows\t0\t1\n"));
like($output, qr{^check_commits: \S+/bad: line 2 is malformed: no rows$}m, 'the file is named with the line');
($status, $output) = judge("$here/histories/good_smallest.commits", written('lost', "${head}commit\tinsert\t1\t3\t3\t1100000\t1110000\tok\t00000\t0\t2\t5\n"));
like($output, qr{^    \S+/lost: line 2: commit\tinsert\t1\t3\t3\t}m, 'and with what is lost');

is((judge(written('empty', '')))[0], 2, 'an empty file is unusable');
is((judge(written('other', "pg_leader history 1\n")))[0], 2, 'another history is unusable');
is((judge("$scratch/none"))[0], 2, 'so is a file that is not there');

# As many lines as four minutes give; one is lost in the middle.
my $rows = 200_000;
open(my $long, '>', "$scratch/long") or die $!;
print $long $head;
foreach my $i (1 .. $rows)
{
	my $t = 1_000_000 + 1000 * $i;

	printf $long "commit\tinsert\t1\t%d\t%d\t%d\t%d\tok\t00000\t0\t2\t5\n", $i, $i, $t, $t + 900;
	printf $long "read\t0\t1\t%d\t%d\t0\t2\t5\t%d\t%d-%d\n", $t + 950, $t + 990, $i - 200, $i - 199, $i if $i % 50 == 0 && $i > 200;
}
print $long "rows\t0\t1\t1-100000,100002-$rows\ncontents\t0\t300000000\t300000001\t199999\n";
close $long or die $!;
my $began = time;
($status, $output) = judge("$scratch/long");
is_deeply([ $output =~ /^violation: (.*)$/mg ], ['lost-commit: client 1, row 100001: missing in the end on node 0'], 'one lost commit of 200,000 is found');
cmp_ok(time - $began, '<', 60, 'within a minute');
done_testing();
