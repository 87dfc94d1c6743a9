# test/t/060_partial_record.pl
#	  A primary that dies in the middle of a record: its standbys hold the beginning of it, and
#	  go on without it and without a rebuild; and its own beginning of it counts as held, when it
#	  comes back and is needed.

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

# killed_in_a_record(ID...): tests; the primary is killed when these have a part of one.
sub killed_in_a_record
{
	my @others = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
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
	foreach my $id (@others)
	{
		$cluster->wait_until("node $id has a part of the record", sub {
			($cluster->sql($id, "SELECT pg_last_wal_receive_lsn() - '$begin'") // 0) > PART;
		});
	}
	$cluster->kill_server($primary);
	waitpid $client, 0;
	return;
}

my @others = $cluster->others($primary);

kill 'STOP', $cluster->supervisor($primary); # else it comes back
killed_in_a_record(@others);
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

# As if it had died when it was to make the next segment: recovery reads to the end of a file and
# asks the leader for what comes after, which the leader does not have.
my $kept = hex((split m{/}, $begin)[1]) >> 24;
my $wal = $server->data_dir . '/pg_wal';
my @later = grep { /^[0-9A-F]{24}\z/ && hex(substr $_, 16) > $kept + 1 } slurp_dir($wal);
my $timeline = $cluster->role($new)->{timeline};
my $too_much = '';
my $offset = $cluster->log_size($primary);

cmp_ok(unlink(map { "$wal/$_" } @later), '>', 0, 'its WAL ends with a segment, and in the record');
kill 'CONT', $cluster->supervisor($primary);
$cluster->wait_until("node $primary follows again", sub {
	my $own = $cluster->role($primary);

	$too_much = $own->{wal_end} if ($own->{timeline} // 0) == $timeline &&
		($cluster->sql($new, "SELECT pg_current_wal_flush_lsn() < '$own->{wal_end}'") // '') eq 't';
	return $cluster->follows($primary, $new);
});
unlike($cluster->log_of($primary, $offset), qr/order (CLONE|REWIND)/, 'without a rebuild');
is($too_much, '', 'and never said that it had WAL of the leader\'s timeline which that has not');

# One is away, so that the other two need each other.
$offset = $cluster->log_size($new);
$cluster->wait_for_followers('all follow', $new);
$cluster->stop($third);
($primary, $server) = ($new, $primary);
$cluster->sql($primary, 'INSERT INTO later VALUES (2)');
my @two = grep { $_ != $third && $_ != $primary } $cluster->ids;
killed_in_a_record(@two);
$cluster->wait_for_primary('one of the two is open again');
$cluster->wait_for_log($primary, qr/pg_leader: local WAL ends at/, $offset);
unlike($cluster->log_of($primary, $offset), qr/holds less WAL than it is known to have held/, 'what it had begun to write counts');
done_testing();
