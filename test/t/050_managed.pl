# test/t/050_managed.pl
#	  The elected leader becomes the primary, and the others follow it.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PgLeaderManaged;
use PostgreSQL::Test::Utils;
use Test::More;

my $cluster = PgLeaderManaged->new('managed', 3, settings => { min_timeout => '300ms', max_timeout => '600ms' });
my ($primary, $next);

# The first claim needs all three.
$cluster->start_all;
$primary = $cluster->wait_for_primary('three copies of one server: one of them is an open primary');
$cluster->wait_for_followers('the others stream from it', $primary);
is($cluster->role($primary)->{timeline}, 2, 'it is on the first timeline that was claimed');
is($cluster->sql($primary, 'SHOW synchronous_standby_names'), 'ANY 1 ("pg_leader_0", "pg_leader_1", "pg_leader_2")', 'commits wait for one of the others');
is($cluster->sql($primary, 'CREATE TABLE told (word text); INSERT INTO told VALUES (\'one\')'), '', 'it takes commits');

# A killed primary.  Its supervisor has it back sooner than an election may take, and then it
# may be elected itself: so the supervisor stands still until another one is.
$cluster->signal($primary, 'STOP');
$cluster->kill_server($primary);
$cluster->wait_until('another one is the open primary', sub { $next = $cluster->open_primary; defined $next && $next != $primary });
$cluster->signal($primary, 'CONT');
$cluster->wait_for_followers('the killed one follows it', $next);
is($cluster->sql($next, 'SELECT string_agg(word, \' \') FROM told'), 'one', 'what was committed is there');

$cluster->stop_all;
done_testing();
