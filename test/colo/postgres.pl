#!/usr/bin/perl
# test/colo/postgres.pl
#	  PostgreSQL in a guest under QEMU's COLO, with pgbench from outside: the
#	  transactions that pgbench counted are there after a failover.
#
# Runs under TCG: a test of correctness, whose speed means nothing.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Colo;
use Test::More;
use Time::HiRes qw(sleep time);

use constant SECONDS => $ENV{COLO_PGBENCH_SECONDS} // 20;

my $why = Colo::missing();
plan skip_all => $why if defined $why;
my $colo = Colo->new(guest => Colo::guest_directory('--postgres'), disk => 'postgres.raw', memory => Colo::MEMORY_WITH_POSTGRES);
my @connection = ('-h', Colo::GUEST, '-U', 'postgres');

# Returns what the program printed, or undef if it failed or took too long.
sub run_program
{
	my ($seconds, $program, @arguments) = @_;
	my $pid = open(my $pipe, '-|') // die "fork: $!";

	if ($pid == 0)
	{
		open(STDERR, '>&', \*STDOUT);
		exec('timeout', $seconds, "$colo->{bin}/$program", @connection, @arguments) or POSIX::_exit(127);
	}
	local $/;
	my $output = <$pipe> // '';
	close $pipe;
	diag("$program: exit status ", $? >> 8, ": $output") if $? != 0 && $ENV{COLO_VERBOSE};
	return $? == 0 ? $output : undef;
}

sub sql
{
	my ($sql) = @_;
	my $answer = run_program(20, 'psql', '-XAtqc', $sql, 'postgres');

	chomp $answer if defined $answer;
	return $answer;
}

sub answer_of
{
	my ($sql) = @_;
	return Chaos::eventually(90, sub { my $answer = sql($sql); sleep(0.2) unless defined $answer; defined $answer ? "$answer " : undef });
}

# pgbench, and how many transactions it says were answered.
sub pgbench
{
	my ($clients) = @_;
	my $output = run_program(SECONDS + 60, 'pgbench', '-n', '-c', $clients, '-T', SECONDS, 'postgres') // '';
	my ($n) = $output =~ /^number of transactions actually processed: (\d+)/m;

	diag($output =~ /^(tps = .*)$/m ? "$clients clients: $n transactions, $1" : $output);
	return $n // 0;
}

$colo->{started} = '';
$colo->make_leader(0);
$colo->up;
is(answer_of('SELECT count(*) FROM pgbench_history'), '0 ', 'the server in the guest answers under COLO');
my $counted = pgbench(1) + pgbench(4);
cmp_ok($counted, '>', 0, 'pgbench works under COLO');
is(answer_of('SELECT count(*) FROM pgbench_history'), "$counted ", 'as many rows as pgbench counted');

my $began = time;
$colo->unplug(0);
$colo->kill_qemu(0);
$colo->kill_nodes(0);
my $rows = answer_of('SELECT count(*) FROM pgbench_history');
diag(sprintf 'after the loss of the primary\'s host psql was answered after %.1f s', time - $began);
is($rows, "$counted ", 'after the failover: the same');
is($colo->mode(1), 'none', 'the secondary went on alone');
is(answer_of('SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM pgbench_history)'), 't ', 'balances agree with the history');
my $more = pgbench(4);
is(answer_of('SELECT count(*) FROM pgbench_history'), ($counted + $more) . ' ', 'and goes on counting');
done_testing();
