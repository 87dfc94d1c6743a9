# test/t/089_restart.pl
#	  Maintenance of single servers: a standby that is restarted, or cloned anew, at an operator's
#	  word; all standbys one after the other; and what is refused.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PgLeaderManaged;
use PostgreSQL::Test::Utils;
use Test::More;

my $cluster = PgLeaderManaged->new('restarted', 3, settings => {%PgLeaderCluster::STEADY});
my ($primary, $standby, $other);

# ctl(ARGUMENT...): (exit status, output, errors) of pg_leaderctl, which is told of the primary.
sub ctl
{
	my ($out, $err) = ('', '');

	IPC::Run::run([ 'pg_leaderctl', @_, '-h', '127.0.0.1', '-p', $cluster->server($primary)->port ], '>', \$out, '2>', \$err);
	return ($? >> 8, $out, $err);
}

# refused(NAME, PATTERN, ARGUMENT...): a test; it fails with these words, and nothing is done.
sub refused
{
	my ($name, $pattern, @arguments) = @_;
	my ($status, undef, $err) = ctl(@arguments);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($status, 1, $name);
	like($err, $pattern, "$name: in words");
	return;
}

# started(ID...): when they were.
sub started { return map { $cluster->sql($_, 'SELECT pg_postmaster_start_time()') } @_; }

$cluster->start_all;
($primary, $standby, $other) = $cluster->wait_for_roles;
$cluster->sql($primary, 'CREATE TABLE kept AS SELECT generate_series(1, 1000) AS i');
$cluster->wait_until('the primary knows where all listen', sub { (ctl('list'))[0] == 0 });

# ---- one ----

my @before = started($cluster->ids);

$cluster->server($standby)->append_conf('postgresql.conf', "max_files_per_process = 900\n");
is_deeply([ ctl('restart', $standby) ], [ 0, "Node $standby was restarted, and streams.\n", '' ], 'a standby is restarted');
is($cluster->sql($standby, 'SHOW max_files_per_process'), 900, 'with its new settings');
is((started($other))[0], $before[$other], 'the other one runs on');
is((started($primary))[0], $before[$primary], 'and so does the primary');
like($cluster->log_of($standby), qr/called pg_leader_restart\(\).*restarting the server as a standby: an operator has asked for a restart.*received fast shutdown request/s, 'fast, and the log says why');
refused('of nobody', qr/error: node 7 is not a member of the cluster\n.*hint: "pg_leaderctl list" shows the members/, 'restart', 7);
like($cluster->failure($primary, 'SELECT pg_leader_restart()'), qr/ERROR:  this server is the primary\nHINT:  Make another member the primary first/, 'in SQL, too');

# ---- all, the primary last, by a switchover ----

@before = started($cluster->ids);
my ($first, $second) = sort $standby, $other;
my ($status, $out, $err) = ctl('restart', '--rolling');

is($status, 0, 'a rolling restart') or diag($err);
like($out, qr/^Node $first was restarted, and streams\.\nNode $second was restarted, and streams\.\nNode [$standby$other] is the primary now, in the place of node $primary\.\nNode $primary was restarted, and streams\.\n\z/,
	'one standby after the other, and the primary last, by a switchover');
isnt((started($_))[0], $before[$_], "node $_ was restarted") foreach $cluster->ids;
is_deeply([ (ctl('restart', $primary))[0], $cluster->open_primary ], [ 0, $cluster->open_primary ], 'the old primary is a standby like others');
($primary, $standby, $other) = $cluster->wait_for_roles;
$cluster->wait_until('the primary knows where all listen', sub { (ctl('list'))[0] == 0 });
$cluster->stop($other);
@before = started($standby);
refused('not while one is away', qr/error: node $other does not answer: |the port of node $other is not known/, 'restart', '--rolling');
is_deeply([ started($standby) ], \@before, 'nobody is restarted');
$cluster->start($other);
$cluster->wait_for_followers('it is back', $primary);

# one that does not come back ends it
$cluster->server($standby)->append_conf('postgresql.conf', "shared_buffers = 'nonsense'\n");
refused('a standby that does not start', qr/error: node $standby does not stream within 3 s after its restart\n.*hint: Its log/, 'restart', $standby, '--wait', 3);
$cluster->server($standby)->append_conf('postgresql.conf', "shared_buffers = '16MB'\n");
$cluster->wait_for_followers('its supervisor goes on until it can be started', $primary);

# ---- a new copy ----

my $directory = $cluster->server($other)->data_dir;

append_to_file("$directory/base/stray", 'no file of the primary');
is_deeply([ (ctl('reinit', $other))[0, 2] ], [ 0, '' ], 'a standby is told to clone its data anew');
$cluster->wait_until('it does', sub { $cluster->log_of($other) =~ /stopping the server for a clone from node $primary: an operator has asked for a new copy/ });
$cluster->wait_until('and follows again', sub { !-e "$directory/base/stray" && ($cluster->sql($other, 'SELECT count(*) FROM kept') // 0) == 1000 && $cluster->follows($other, $primary) });

# The role worker sees nothing of what is between the end of one receiver and the next one at the gate.
my ($receiver, $role) = ($cluster->receiver($other), $cluster->role_worker($other));
my $offset = $cluster->log_size($other);

$cluster->sql($primary, 'INSERT INTO kept VALUES (0)');
$cluster->wait_for_replay($primary);
kill 'STOP', $receiver;
is_deeply([ (ctl('reinit', $other))[0, 2] ], [ 0, '' ], 'a standby that has received more since it compared is told to');
$cluster->wait_for_log($other, qr/order WAIT: an operator has asked for a new copy .* its WAL receiver has not ended yet/, $offset);
kill 'STOP', $role;
kill 'CONT', $receiver;
$cluster->wait_until('another receiver waits', sub { my $next = $cluster->receiver($other); return defined $next && $next != $receiver && $cluster->sql($other, q(SELECT count(*) FROM pg_stat_wal_receiver WHERE sender_port IS NOT NULL)); });
kill 'CONT', $role;
$cluster->wait_for_log($other, qr/stopping the server for a clone from node $primary: an operator has asked for a new copy/, $offset);
$cluster->wait_for_followers('and follows again', $primary);
refused('a new copy of the primary', qr/node $primary: this server is the primary\n.*hint: Only a standby clones/, 'reinit', $primary);
foreach ($cluster->ids)
{
	my $log = $cluster->log_of($_);
	my $complaints = () = $log =~ /\[unknown\] LOG:  could not receive data from client/g;
	my $starts = () = $log =~ /LOG:  starting PostgreSQL/g;

	# A connection that waits when the server is stopped is dropped.
	cmp_ok($complaints, '<=', $starts, "node $_ does not complain each time its supervisor looks");
}
$cluster->check_timelines;
$cluster->stop_all;
$cluster->check_history;
done_testing();
