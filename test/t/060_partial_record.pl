# test/t/060_partial_record.pl
#	  A primary that dies in the middle of a record: its standbys hold the beginning of it, and
#	  go on without it and without a rebuild.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PgLeaderManaged;
use PostgreSQL::Test::Utils;
use POSIX ();
use Test::More;

use constant {
	RECORD => 400_000_000, # bytes; more than can be written before it is killed
	PART => 20_000_000,	   # so many of them have come to each standby by then
};

my $cluster = PgLeaderManaged->new('partial', 3, settings => { min_timeout => '300ms', max_timeout => '600ms' },
	conf => PgLeaderManaged::QUIET . "wal_writer_delay = 10ms\nwal_writer_flush_after = 64kB\n");
my ($primary, $server, $begin, $new, $third);

$cluster->start($cluster->ids);
$primary = $cluster->wait_for_primary('a primary is open');
$cluster->wait_for_followers('the others follow it', $primary);
$cluster->wait_for_replay($primary);
$begin = $cluster->sql($primary, 'SELECT pg_current_wal_insert_lsn()');
$server = $cluster->server($primary);

my $client = fork // die "fork: $!";
if ($client == 0)
{
	open STDOUT, '>', '/dev/null';
	open STDERR, '>', '/dev/null';
	exec 'psql', '-X', '-h', $server->host, '-p', $server->port, '-d', 'postgres', '-c',
		"SELECT pg_logical_emit_message(false, 'test', repeat('x', " . RECORD . '))' or POSIX::_exit(127);
}
my @others = grep { $_ != $primary } $cluster->ids;

foreach my $id (@others)
{
	$cluster->wait_until("node $id has a part of the record", sub {
		($cluster->sql($id, "SELECT pg_last_wal_receive_lsn() - '$begin'") // 0) > PART;
	});
}
kill 'STOP', $cluster->supervisor($primary); # else it comes back
$cluster->kill_server($primary);
waitpid $client, 0;
foreach my $id (@others)
{
	my ($received, $replayed) = split /\|/, $cluster->sql($id, "SELECT pg_last_wal_receive_lsn() - '$begin', pg_last_wal_replay_lsn() - '$begin'");

	cmp_ok($received, '>', $replayed + PART / 2, "node $id holds a record that is not whole");
}
$cluster->wait_until('one of the two is open', sub { $new = $cluster->open_primary; return defined $new && $new != $primary; });
($third) = grep { $_ != $new } @others;
$cluster->wait_until('the other one streams from it', sub {
	($cluster->sql($new, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND application_name = 'pg_leader_$third'") // 0) == 1;
});
unlike($cluster->log_of($third), qr/order (CLONE|REWIND)/, 'without a rebuild');
$cluster->sql($new, 'CREATE TABLE later AS SELECT 1 AS x');
$cluster->wait_until('what is committed then is on it', sub { ($cluster->sql($third, 'SELECT x FROM later') // 0) == 1; });
kill 'CONT', $cluster->supervisor($primary);
done_testing();
