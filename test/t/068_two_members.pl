# test/t/068_two_members.pl
#	  Two managed members: a commit needs both, and the log says so.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PgLeaderManaged;
use PostgreSQL::Test::Utils;
use Test::More;

my $cluster = PgLeaderManaged->new('two', 2, settings => { min_timeout => '300ms', max_timeout => '600ms', fence_wait => '500ms' },
	conf => PgLeaderManaged::QUIET);
my ($primary, $other);

sub fence { return $cluster->sql($primary, 'SELECT reason FROM pg_leader_fence') // ''; }

$cluster->start_all;
$primary = $cluster->wait_for_primary('one is the open primary');
($other) = $cluster->others($primary);
$cluster->wait_for_followers('the other one follows it', $primary);
like($cluster->log_of($_, 0), qr/WARNING:  pg_leader: with two members a commit needs both.*HINT:  Add a third member/s, "node $_ says what two members are")
  for $cluster->ids;
is($cluster->sql($primary, 'CREATE TABLE told (n int); INSERT INTO told VALUES (1)'), '', 'with both, commits are answered');

# The one that is left has every commit, and may not say so of another one.
$cluster->stop($other);
$cluster->wait_until('without the other one the fence is closed', sub { fence() =~ /^no_(lease|leader)$/ });
my ($status) = $cluster->server($primary)->psql('postgres', 'INSERT INTO told VALUES (2)');
isnt($status, 0, 'a commit is refused');
$cluster->start($other);
$primary = $cluster->wait_for_primary('with both, one is open again');
is($cluster->sql($primary, 'INSERT INTO told VALUES (3)'), '', 'and answers commits');
is($cluster->sql($primary, "SELECT string_agg(n::text, ' ' ORDER BY n) FROM told"), '1 3', 'what was refused is not there, what was answered is');

$cluster->check_timelines;
$cluster->check_history;
$cluster->stop_all;
done_testing();
