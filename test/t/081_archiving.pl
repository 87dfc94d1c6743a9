# test/t/081_archiving.pl
#	  With archive_mode = on: a member that was away during two promotions within one segment
#	  follows again without a clone, and nothing is archived twice or under another name.
#
# PostgreSQL renames the last segment of the timeline that it leaves to ".partial", and a
# walsender that is asked for an older timeline reads that segment from the file of the next one.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PgLeaderManaged;
use PostgreSQL::Test::Utils;
use Test::More;

my $archive = PostgreSQL::Test::Utils::tempdir;
my $cluster = PgLeaderManaged->new('archiving', 3, settings => { min_timeout => '300ms', max_timeout => '600ms' },
	conf => PgLeaderManaged::QUIET . "archive_mode = on\narchive_command = 'test ! -e $archive/%f && cp %p $archive/%f'\n");
$cluster->start($_) foreach $cluster->ids;
my ($primary, $one, $away) = $cluster->wait_for_roles;
my %offset = map { $_ => $cluster->log_size($_) } $cluster->ids;

sub commit { is($cluster->sql($primary, 'INSERT INTO told VALUES (1)'), '', 'a commit'); return; }

sub segment { return $cluster->sql($primary, 'SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 9)'); }

is($cluster->sql($primary, 'CREATE TABLE told (n int); SELECT pg_switch_wal() IS NOT NULL'), 't', 'a table, and a segment of its own');
commit();
$cluster->wait_for_replay($primary);
$cluster->stop($away);
commit();

my $segment = segment();
foreach my $next (my @to = ($one, $primary, $one))
{
	is($cluster->sql($primary, "SELECT pg_leader_switchover($next)"), $next, "node $next takes over");
	$primary = $next;
	$cluster->wait_for_primary('it is open once the other one follows');
	commit();
}
is(segment(), $segment, 'all of that was in one segment');
$cluster->start($away);
$cluster->wait_for_followers('who was away follows', $primary);
$cluster->wait_until('and has what was answered', sub { ($cluster->sql($away, 'SELECT count(*) FROM told') // 0) == 5 });
unlike($cluster->log_of($away, $offset{$away}), qr/stopping the server for a/, 'its data were not rebuilt');
is_deeply([ map { glob $cluster->server($_)->data_dir . '/pg_wal/*.partial' } $cluster->ids ], [], 'no segment was renamed');

# What is archived then can be read to its end.
is($cluster->sql($primary, 'SELECT pg_switch_wal() IS NOT NULL'), 't', 'the segment is full');
commit();
$cluster->wait_until('it is archived', sub { glob "$archive/*$segment" });
is($cluster->sql($primary, 'SELECT failed_count FROM pg_stat_archiver'), 0, 'at once, by the server that is the primary now');
is_deeply([ glob "$archive/*.partial" ], [], 'under no other name');
$cluster->check_timelines;
$cluster->stop_all;
$cluster->check_history;
done_testing();
