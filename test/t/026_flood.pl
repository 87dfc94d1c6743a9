# test/t/026_flood.pl
#	  A worker that its timer alone wakes reads what floods it: all of it, in time, and
#	  without waking up for nothing.
#
# Its peers are stopped, so nothing else has it look at its sockets.  What floods do to
# a leader and to SQL is the business of test/stand/abuse.pl.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use IO::Socket::INET;
use PgLeaderCluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $n = 300;
my $cluster = PgLeaderCluster->new('flood', 3);
$cluster->start_all;
$cluster->wait_for_leader('a leader');
$cluster->stop($_) foreach 1, 2;

my ($port) = $cluster->address(0) =~ /:(\d+)$/;
my $worker = $cluster->worker(0);
my $malformed = q{SELECT sum(count) FROM pg_leader_stat_drops WHERE reason = 'malformed'};
my $wakeups = 'SELECT wakeups FROM pg_stat_pg_leader';

sub flood
{
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Proto => 'udp') or die $@;
	my $before = $cluster->sql(0, $malformed);

	# more at once than are read at once
	send($socket, 'x' x 40, 0) // die $! foreach 1 .. $n;
	return $before;
}

sub all_read
{
	my ($before, $name) = @_;
	return ok($cluster->server(0)->poll_query_until('postgres', "SELECT ($malformed) = $before + $n"), $name);
}

all_read(flood(), "all $n datagrams of a flood are read");

# At intervals of 10 ms, for as long as it lasts; one that did not rest would wake up some
# 100,000 times a second.
my $woken = $cluster->sql(0, $wakeups);
my $before = flood();
sleep(1);
all_read($before, 'and of the next');
cmp_ok($cluster->sql(0, $wakeups) - $woken, '<', 5000, 'the worker rests in between, and when it is over');
is($cluster->worker(0), $worker, 'it is the same worker');

$cluster->stop_all;
done_testing();
