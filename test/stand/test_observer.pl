#!/usr/bin/perl
# test/stand/test_observer.pl
#	  The observer on three real servers of this machine whose leader is killed:
#	  it keeps its rate, misses nothing, and check_history accepts what it wrote.
#
# Run by make check-observer.  Needs the extension installed in the PostgreSQL
# that PG_CONFIG names.  OBSERVER names the program.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../chaos";

use Chaos;
use Test::More;
use Time::HiRes qw(sleep);

my $here = $FindBin::RealBin;
my $observer = $ENV{OBSERVER} // "$here/../../build/stand/observer";
my $cluster = Chaos->new(nodes => 3);
my $history = "$cluster->{dir}/history";
my $told = "$cluster->{dir}/observer.err";

sub microseconds { return sprintf('%d', 1_000_000 * Chaos::now()); }

# What a second writer says, as whatever breaks things does.
sub say_to_history
{
	my (@fields) = @_;
	open(my $file, '>>', $history) or die $!;
	syswrite($file, join("\t", @fields) . "\n");
	close $file;
	return;
}

sub start_observer
{
	my (@options) = @_;
	my $pid = fork() // die "fork: $!";

	if ($pid == 0)
	{
		open(STDERR, '>>', $told);
		exec($observer, '--output', $history, '--socket-directory', "$cluster->{dir}/sockets",
			'--ports', join(',', map { $cluster->{tcp} + $_ } $cluster->ids), @options)
		  or POSIX::_exit(127);
	}
	return $pid;
}

sub end_observer
{
	my ($pid) = @_;
	kill 'TERM', $pid;
	waitpid($pid, 0);
	return $?;
}

my @all = $cluster->ids;
$cluster->launch(1, @all);
my ($leader, $term) = $cluster->wait_for_leader(@all);

my $pid = start_observer();
END { kill 'TERM', $pid if defined $pid; }
sleep(0.01) until -s $history;
say_to_history('limit', @$_)
  foreach ([ nodes => 3 ], [ heal_us => 5_000_000 ], [ min_rate => 500 ],
	[ min_timeout_us => 200_000 ], [ max_timeout_us => 400_000 ]);
say_to_history('phase', microseconds(), 'faults');
sleep(5);
say_to_history('fault', microseconds(), "kill $leader");
$cluster->kill_nodes($leader);
my ($new, $new_term) =
  $cluster->wait_for_leader_above($term, grep { $_ != $leader } @all);
sleep(2);
say_to_history('mend', microseconds(), "launch $leader");
$cluster->launch(0, $leader);
say_to_history('phase', microseconds(), 'calm');
sleep(6);
say_to_history('phase', microseconds(), 'end');
is(end_observer($pid), 0, 'the observer ends at SIGTERM');
undef $pid;
diag(Chaos::slurp($told));

my $before = -s $history;
my $again = start_observer();
waitpid($again, 0);
is($? >> 8, 1, 'it does not touch a history that is there');
is(-s $history, $before, 'not even by a byte');

my $verdict = `$here/check_history $history 2>&1`;
is($? >> 8, 0, 'check_history finds no violation') or diag($verdict);
diag($verdict);
my ($rate) = $verdict =~ /^samples +\d+, (\d+) a second/m;
cmp_ok($rate, '>=', 500, 'at least 500 samples a second');
like($verdict, qr/^faults +kill 1$/m, 'the other writer is heard');
my ($elections) = $verdict =~ /^elections +(\d+)/m;
cmp_ok($elections, '>=', 2, 'both elections were seen');

my $text = Chaos::slurp($history);
foreach ([ $leader, $term ], [ $new, $new_term ])
{
	my ($node, $of) = @$_;
	like($text, qr/^event\t$node\t\S+\t\d+\t\d+\t$of\tleader\t$node\t\d+\t-\t/m,
		"the event of node $node becoming leader of term $of is there");
	like($text, qr/^sample\t$node\t\d+\t\d+\t\S+\t\d+\tleader\t$of\t$node\tt\t$of\t\d+\tt$/m,
		'and samples of its lease');
}
like($text, qr/^unreachable\t$leader\t/m, 'the killed node is out of reach');

# The lives of a node that its samples are of, and numbers of its events, as told.
sub lives { my ($of, $node) = @_; my %seen = map { $_ => 1 } $of =~ /^sample\t$node\t\d+\t\d+\t(\d+)\t/mg; return sort keys %seen; }
sub numbers { my ($of, $node) = @_; return $of =~ /^event\t$node\t\d+\t(\d+)\t/mg; }

my @lives = lives($text, $leader);
is(@lives, 2, 'and comes back with another life');
my @numbers = numbers($text, $leader);
is(join(' ', @numbers), join(' ', 1 .. @numbers), 'in which the numbers of its events go on');
unlike($text, qr/^lost\t/m, 'no event is lost');

# A worker that is killed alone takes the shared memory with it, and not the server.
my ($worker) = grep { Chaos::slurp("/proc/$_/cmdline") =~ /: pg_leader: [-a-z]+[^,]*, term/ } $cluster->pids($new);
$pid = start_observer('--append');
sleep(1);
kill 'KILL', $worker;
sleep(3);
is(end_observer($pid), 0, 'a second observer adds to the history');
undef $pid;
my ($added) = substr(Chaos::slurp($history), $before);
@lives = lives($added, $new);
is(@lives, 2, 'a worker that is started anew is another life');
like($added, qr/^event\t$new\t$lives[0]\t[^\n]*\n(?:.*\n)*event\t$new\t$lives[1]\t/m, 'the events of both are told');
@numbers = numbers($added, $new);
is(join(' ', @numbers), join(' ', 1 .. @numbers), 'under numbers that go on');
$verdict = `$here/check_history $history 2>&1`;
is($? >> 8, 0, 'no violation either') or diag($verdict);
done_testing();
