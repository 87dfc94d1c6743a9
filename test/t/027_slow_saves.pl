# test/t/027_slow_saves.pl
#	  A disk that syncs slowly: the log, the events and a warning name the save, and
#	  not a late wake-up or a network that lost nothing.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgLeaderCluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir;

# ---- fdatasync() of state files takes as many milliseconds as a file says ----

my $source = "$dir/slow.c";
append_to_file($source, <<'C');
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int
fdatasync(int fd)
{
	int (*next)(int) = (int (*)(int)) dlsym(RTLD_NEXT, "fdatasync");
	char link[64], path[1024] = "";
	int ms = 0;
	FILE *file = fopen(getenv("SLOW_SAVES"), "r");

	if (file != NULL)
	{
		if (fscanf(file, "%d", &ms) != 1)
			ms = 0;
		fclose(file);
	}
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (ms > 0 && readlink(link, path, sizeof(path) - 1) > 0 && strstr(path, ".state") != NULL)
		nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, NULL);
	return next(fd);
}
C
plan skip_all => 'there is no C compiler' if system("cc -shared -fPIC -o '$dir/slow.so' '$source' -ldl 2>&1") != 0;

sub saves_take { my $ms = shift; open my $file, '>', "$dir/ms" or die; print $file $ms; close $file; return; }

saves_take(0);
$ENV{SLOW_SAVES} = "$dir/ms";
my $cluster = PgLeaderCluster->new('slow', 3, settings => \%PgLeaderCluster::STEADY);
{
	local $ENV{LD_PRELOAD} = join ' ', "$dir/slow.so", $ENV{LD_PRELOAD} // ();
	$cluster->start_all;
}
my ($leader, $term) = $cluster->wait_for_leader('one leader to begin with');
my @others = $cluster->others($leader);
my %offset = map { $_ => $cluster->log_size($_) } $cluster->ids;
my $warning = qr/WARNING:  pg_leader: saving term and vote took \d+ ms\n/;

foreach my $id ($cluster->ids)
{
	unlike($cluster->log_of($id), $warning, "node $id: quick saves are no news");
}

# ---- longer than an election may take ----

# A candidate's timeout is over before its own vote is saved, and a voter's before it
# has answered.
my $late = qr/(?:; this worker woke up \d{1,3} ms late)?/; # the machine may be busy as well
my $saved = qr/(?:no majority of votes|heard no leader|no heartbeat)[^;]*$late; saving term and vote took 2[5-9]\d\d ms$/m;
saves_take(2500);
$cluster->stop($leader, 'immediate');
foreach my $id (@others)
{
	my $directory = quotemeta $cluster->member($id)->{state_directory};

	$cluster->wait_until("node $id: the events name the save, and nothing else", sub { grep { /^$saved/ } $cluster->reasons($id) });
	$cluster->wait_for_log($id, qr/LOG:  pg_leader: node $id [^\n]*: $saved/m, $offset{$id});
	$cluster->wait_for_log($id, $warning, $offset{$id});
	like($cluster->log_of($id, $offset{$id}), qr/WARNING:  pg_leader: saving term and vote took 2[5-9]\d\d ms\n[^\n]*DETAIL:  Elections wait for two saves, and pg_leader\.min_timeout is 1000 ms\. Slow saves since the last warning: \d+\.\n[^\n]*HINT:  Put pg_leader\.state_directory \("$directory"\) on a disk that syncs faster/,
		"node $id: a warning, with the timeout that it must fit into, and with the directory");
	unlike($cluster->log_of($id, $offset{$id}), qr/woke up \d{4,} ms late/, "node $id: nothing is said of late wake-ups");
}

# ---- and quick again ----

saves_take(0);
($leader, $term) = $cluster->wait_for_leader('quick again: one leader', @others);
$cluster->stays('quick again: it stays', 3, sub { my @found = $cluster->agreed(@others); return @found && $found[0] == $leader });
my $from = $cluster->sql($leader, 'SELECT max(number) FROM pg_leader_events');
my ($follower) = grep { $_ != $leader } @others;
kill 'STOP', $cluster->worker($follower);
$cluster->wait_until('quick again: nobody answers', sub { grep { /^lost quorum/ } $cluster->reasons($leader) });
kill 'CONT', $cluster->worker($follower);
is(scalar(grep { /; saving/ } split /\n/, $cluster->sql($leader, "SELECT reason FROM pg_leader_events WHERE number > $from")),
	0, 'quick again: an earlier save is no cause of what happens later');

$cluster->check_history;
done_testing();
