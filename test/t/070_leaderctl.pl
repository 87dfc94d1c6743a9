# test/t/070_leaderctl.pl
#	  pg_leaderctl: the members and their events from any one of them, in words that are true
#	  while members stand still, are down, refuse, or cannot be found; and in bounded time.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IO::Pty ();
use JSON::PP ();
use PgLeaderManaged;
use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;

my $limit = PgLeaderCluster::LIMIT();
my $cluster = PgLeaderManaged->new('managed', 3, settings => {%PgLeaderCluster::STEADY});
my ($primary, $standby, $other, $next);

program_help_ok('pg_leaderctl');
program_version_ok('pg_leaderctl');
program_options_handling_ok('pg_leaderctl');

# at(SERVER): the options that name it.
sub at { my $server = shift; return ('-h', '127.0.0.1', '-p', $server->port); }

# run_it(ARGUMENT...): (exit status, output, errors).
sub run_it
{
	my @arguments = @_;
	my ($out, $err) = ('', '');

	IPC::Run::run([ 'pg_leaderctl', @arguments ], '>', \$out, '2>', \$err);
	return ($? >> 8, $out, $err);
}

# objects(ARGUMENT...): (exit status, { node => object of list }).
sub objects
{
	my ($status, $out) = run_it('list', '--format', 'json', @_);

	return ($status, { map { $_->{node} => $_ } map { JSON::PP::decode_json($_) } split /\n/, $out });
}

# member(ID, ARGUMENT...): its object.
sub member { my ($id, @arguments) = @_; return (objects(@arguments))[1]{$id} // {}; }

sub refused
{
	my ($pattern, $name, @arguments) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	command_checks_all([ 'pg_leaderctl', @arguments ], 2, [qr/^$/], [$pattern], $name);
	return;
}

# ---- called wrongly ----

refused(qr/no command given\n.*hint: The commands are list, events, watch, adopt, switchover, pause, resume, reinit and restart/s, 'no command');
refused(qr/no such command/, 'another command', 'promote');
refused(qr/too many arguments\n.*hint: Put a connection string into quotes/s, 'a connection string without quotes', 'list', 'host=a', 'port=1');
refused(qr/two connections/, 'two connections', 'list', '-d', 'host=a', 'host=b');
refused(qr/the connection string is wrong: invalid connection option "hots"\n.*hint: Write it as for psql/s, 'a wrong connection string', 'list', 'hots=a');
refused(qr/3 hosts and 2 ports/, 'hosts without ports', 'list', '-h', 'a,b,c', '-p', '1,2');
refused(qr/"65536" is no port/, 'no port', 'list', '-p', 65536);
refused(qr/--timeout is a number of seconds/, 'no time', 'list', '-t', 'long');
refused(qr/--interval goes with watch/, 'an interval without watch', 'list', '-i', 1);
refused(qr/list shows no events/, 'a list of events', 'list', '-n', 3);
refused(qr/--events is a number/, 'no events', 'events', '-n', 0);
refused(qr/watch has no --format/, 'watch in JSON', 'watch', '--format', 'json');
refused(qr/adopt has no --interval, --format or --events/, 'adopt in JSON', 'adopt', '--format', 'json');
refused(qr/name the NODE, by its id\n.*hint: "pg_leaderctl list" shows/s, 'a restart of nobody', 'restart');
refused(qr/name the NODE/, 'a new copy of nobody', 'reinit', 'host=a');
refused(qr/there is no such node id/, 'no node id', 'restart', 64);
refused(qr/--rolling goes with restart/, 'a rolling reinit', 'reinit', '--rolling', 1);
refused(qr/--wait goes with commands that change something/, 'a list that waits', 'list', '--wait', 1);
refused(qr/--wait is a number of seconds/, 'no time to wait', 'pause', '--wait', 'long');
refused(qr/commands that change something have no --interval/, 'a pause in JSON', 'pause', '--format', 'json');
refused(qr/too many arguments/, 'a pause of a node', 'pause', 'host=a', 1);
refused(qr/there is no such format/, 'another format', 'list', '--format', 'yaml');
command_checks_all([ 'pg_leaderctl', 'list', 'service=none' ], 1, [qr/^$/],
	[qr/definition of service "none" not found/], 'a service that is not there');

# ---- managed: all is well ----

$cluster->start_all;
($primary, $standby, $other) = $cluster->wait_for_roles;

# A standby may not know where the other one listens; the primary does.
my @from_standby = at($cluster->server($standby));

command_checks_all([ 'pg_leaderctl', 'list', @from_standby, 'template1' ], 1, [qr/^$/],
	[qr/the extension pg_leader is not in database "template1"\n.*hint: CREATE EXTENSION pg_leader there/s], 'a database without the extension');
my ($status, $list, $errors);
$cluster->wait_until('all members are found from a standby, all is well, and nothing is at risk', sub {
		($status, $list, $errors) = run_it('list', @from_standby);
		return $status == 0 && $list !~ /at risk|without/;
});
is($errors, '', 'no errors');
like($list, qr/^Cluster "pg_leader": node $primary is the primary, and open for commits\. 3 of 3 members answer\.\n/, 'the list says who is open');
like($list, qr/^ +$primary \| 127\.0\.0\.1:\d+ \| primary \| open for commits +\| +2 \| +- \| - +\| +\d+ ms$/m, 'the primary, with its lease');
foreach my $id ($standby, $other)
{
	like($list, qr/^ +$id \| 127\.0\.0\.1:\d+ \| standby \| streaming from node $primary \| +2 \| +\d+(?:\.\d)? [kM]?B(?:, [0-9.]+ s)? \| quorum \| +-$/m, "node $id follows, and counts for commits");
}
is((run_it('list', 'host=127.0.0.1 dbname=postgres port=' . $cluster->server($other)->port))[0], 0, 'the same from a connection string');
is((run_it('list', '-h', '127.0.0.1,127.0.0.1', '-p', '1,' . $cluster->server($primary)->port))[0], 0, 'one of the hosts may be down');

# a role without privileges sees all but how the standbys stream
$cluster->sql($primary, 'CREATE ROLE app LOGIN; CREATE ROLE monitor LOGIN IN ROLE pg_monitor');
$cluster->wait_for_replay($primary);
($status, my $objects) = objects(@from_standby, '-U', 'app');
is($status, 0, 'a role without privileges');
is($objects->{$other}{sync}, '?', 'to which pg_stat_replication does not say all');
is($objects->{$other}{state}, "streaming from node $primary", 'but the views do');
is(member($other, @from_standby, '-U', 'monitor')->{sync}, 'quorum', 'to one with those of pg_monitor it does');

# lag
$cluster->sql($standby, 'SELECT pg_wal_replay_pause()');
$cluster->sql($primary, 'CREATE TABLE written AS SELECT generate_series(1, 10000) AS i');
$cluster->wait_until('lag is seen', sub { (member($standby, @from_standby)->{lag_bytes} // 0) > 300_000 });
$objects = (objects(@from_standby))[1];
like($objects->{$standby}{state}, qr/, replay paused$/, 'and why');
cmp_ok($objects->{$standby}{lag_seconds}, '>=', 0, 'in seconds, too');
like((run_it('list', @from_standby))[1], qr/\| [0-9.]+ [kM]B, [0-9.]+ s \|/, 'with units');
$cluster->sql($standby, 'SELECT pg_wal_replay_resume()');

# events
my ($code, $out) = run_it('events', @from_standby, '-n', 1000, '--format', 'json');
my @events = map { JSON::PP::decode_json($_) } split /\n/, $out;
my @at = map { $_->{at} } @events;

is($code, 0, 'events of all members');
is_deeply(\@at, [ sort @at ], 'by time');
is_deeply([ sort keys %{ { map { $_->{node} => 1 } @events } } ], [ 0, 1, 2 ], 'of each');
is(scalar(grep { $_->{node} == $primary && $_->{reason} =~ /^OPEN, after/ } @events), 1, 'with their reasons');
($code, $out) = run_it('events', @from_standby, '-n', 2);
like($out, qr/^ at +\| node \| term \| role +\| leader \| reason *\n[-+]+\n(?: \d{4}-[^\n]+\n){2}\z/, 'a table, and as many as are wanted');

# ---- at risk ----

# at_risk(): the line of the list; ''.
sub at_risk { return (run_it('list', @from_standby))[1] =~ /^at risk: (.*)$/m ? $1 : ''; }

$cluster->set($_, candidate => 'off') foreach $standby, $other;
$cluster->sql($_, 'SELECT pg_reload_conf()') foreach $standby, $other;
$cluster->wait_until('nobody could take over', sub { at_risk() eq 'a failure of the primary stops commits: no other member that holds the newest WAL may lead' });
is((objects(@from_standby))[0], 0, 'which is nothing that is wrong');
is(member($primary, @from_standby)->{at_risk}, at_risk(), 'in JSON, too');
$cluster->set($standby, candidate => 'on');
$cluster->sql($standby, 'SELECT pg_reload_conf()');
$cluster->wait_until('one could', sub { at_risk() eq '' });
$cluster->set($other, candidate => 'on');
$cluster->sql($other, 'SELECT pg_reload_conf()');

# ---- watch on a terminal ----

my $screen = '';
my ($pty, $watching);

# on_terminal(ROWS, COLUMNS, ARGUMENT...): "watch" begins on a terminal of that size.
sub on_terminal
{
	my ($rows, $columns, @arguments) = @_;

	$screen = '';
	$pty = IO::Pty->new;
	$pty->slave->set_winsize($rows, $columns);
	$watching = fork() // die "fork: $!";
	if ($watching == 0)
	{
		$pty->make_slave_controlling_terminal;
		POSIX::dup2(fileno($pty->slave), $_) foreach 0 .. 2;
		exec('pg_leaderctl', 'watch', @from_standby, '-i', '0.2', @arguments) or POSIX::_exit(127);
	}
	$pty->blocking(0);
	return;
}

sub see { while (sysread($pty, my $more, 65536)) { $screen .= $more; } return $screen; }

# last_frame(): what stands between the last two beginnings of a frame, by lines.
sub last_frame
{
	my @frames = split /\033\[H/, see();

	return @frames < 3 ? () : split /\r?\n/, $frames[-2];
}

sub is_on_screen
{
	my ($name, $pattern) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$cluster->wait_until($name, sub { join("\n", last_frame()) =~ $pattern });
	return;
}

# ends(KEY, STATUS, NAME): that key ends it, with that status of waitpid().
sub ends
{
	my ($key, $status, $name) = @_;
	my $termios = POSIX::Termios->new;

	syswrite($pty, $key);
	waitpid($watching, 0);
	is($?, $status, "$name ends it");
	like(see(), qr/\033\[J\033\[\?25h\033\[\?1049l\z/, 'the screen is as before');
	$termios->getattr(fileno $pty->slave);
	ok($termios->getlflag & POSIX::ECHO(), 'and so are the keys');
	return;
}

local $ENV{TERM} = 'xterm';
on_terminal(16, 100);
is_on_screen('a frame', qr/every 0\.2 s; q: end.*Cluster .*reason/s);
like($screen, qr/^\033\[\?1049h\033\[\?25l\033\[H/, 'on the second screen');
my @frame = map { s/\033\[[0-9]*[A-Za-z]//gr } last_frame();
is_deeply([ grep { length $_ > 99 } @frame ], [], 'no line is wider than the terminal');
is(scalar @frame, 16, 'and it is filled, by events');
like(join("\n", @frame), qr/^ \d{4}-.{92}>$/m, 'what is cut off is marked');
$screen = '';
$cluster->sql($standby, 'SELECT pg_wal_replay_pause()');
is_on_screen('what has changed', qr/replay paused/);
like($screen, qr/\| standby \|\033\[1m streaming from node $primary, replay paused *\033\[0m\|/, 'is bold');
$cluster->sql($standby, 'SELECT pg_wal_replay_resume()');
$pty->slave->set_winsize(7, 200);
is_on_screen('another size', qr/\(\d+ more lines\)/);
is(scalar(my @smaller = last_frame()), 7, 'is seen at once');
ends('q', 0, 'q');
on_terminal(30, 120);
is_on_screen('again', qr/Cluster/);
ends("\003", POSIX::SIGINT(), 'Ctrl+C');
{
	local $ENV{TERM} = 'dumb';

	on_terminal(30, 120);
	$cluster->wait_until('a terminal that can do nothing', sub { see() =~ /every.*every/s });
	unlike($screen, qr/\033/, 'gets no codes');
	kill 'TERM', $watching;
	waitpid($watching, 0);
}

# ---- a member that stands still, and one whose server is down ----

my $postmaster = $cluster->postmaster($other);
my $before = PgLeaderCluster::clock_now();

kill 'STOP', $postmaster;
($status, $objects) = objects(@from_standby, '-t', 1);
my $took = (PgLeaderCluster::clock_now() - $before) / 1e6;
kill 'CONT', $postmaster;

is($status, 1, 'a server that stands still: exit status 1');
is($objects->{$other}{state}, 'no answer', 'it is shown');
like($objects->{$other}{problems}[0], qr/^no answer within 1 s; node \d heard it [0-9.]+ s ago$/, 'with what the others know');
is($objects->{$primary}{state}, 'open for commits', 'the others as before');
cmp_ok($took, '<', 10, 'it does not hold the list up');

system_or_bail('pg_ctl', '-D', $cluster->server($other)->data_dir, '-m', 'fast', '-w', 'stop');
$cluster->wait_until('a server that is down, under a member that runs', sub { (member($other, @from_standby)->{state} // '') eq 'server is down' });
($code, $out, $errors) = run_it('events', @from_standby);
is($code, 1, 'its events are missing');
like($errors, qr/warning: events of node $other are missing: no connection: .*; node \d heard it [0-9.]+ s ago, without a PostgreSQL that runs/, 'and it is said why');
$cluster->stop($other);
$cluster->wait_until('a member less', sub { at_risk() eq "one more failure stops commits: 2 of 3 members acknowledge the leader, and 2 have to; not node $other" });
$cluster->start($other);
$cluster->wait_for_followers('it is back', $primary);

# slow enough to be seen
$cluster->set($other, clone_max_rate => '4096');
$cluster->stop($other);
system_or_bail('sh', '-c', "cd '" . $cluster->server($other)->data_dir . "' && rm -rf base global pg_wal pg_xact PG_VERSION");
$cluster->start($other);
$cluster->wait_until('a member without data is seen being rebuilt', sub { (member($other, @from_standby)->{state} // '') eq 'being rebuilt' });
$cluster->wait_for_followers('it is back again', $primary);

# ---- watch: told of the primary alone, it goes on without it ----

$screen = '';
my $watch = IPC::Run::start([ 'pg_leaderctl', 'watch', at($cluster->server($primary)), '-i', '0.2', '-t', 1, '-n', 3 ],
	'>', \$screen, '2>&1', IPC::Run::timeout(3 * $limit));

sub shows
{
	my ($name, $pattern) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$screen = '';
	$cluster->wait_until($name, sub { $watch->pump_nb; $screen =~ $pattern });
	return;
}

shows('watch shows list and events', qr/every 0\.2 s\n\nCluster .* node $primary is the primary.*?\n at +\| node .*?\n [-+]*(?:[^\n]+\n){4}/s);
$cluster->signal($primary, 'STOP');
$cluster->kill_server($primary);
$cluster->wait_until('another primary', sub { $next = $cluster->open_primary; defined $next && $next != $primary });
shows('watch shows it', qr/Cluster "pg_leader": node $next is the primary, and open for commits\. 2 of 3/);
unlike($screen, qr/\033/, 'without control characters, where there is no terminal');
shows('and who is down', qr/^ +$primary \| 127\.0\.0\.1:\d+ \| - +\| down or cut off/m);
$watch->kill_kill;
$cluster->signal($primary, 'CONT');
$cluster->comes_back($primary, $next, 0);

# ---- nobody is open ----

$cluster->stop($_) foreach $cluster->others($next);
$cluster->wait_until('no quorum: the primary says why it is closed', sub {
	my $it = member($next, at($cluster->server($next)));

	return ($it->{state} // '') eq 'closed for commits' && $it->{problems}[0] eq 'no leader is known';
});
($status, $list) = run_it('list', at($cluster->server($next)));
is($status, 1, 'no primary is open: exit status 1');
like($list, qr/: no primary is open for commits\. 1 of 3 members answer\..*^node $next: no leader is known$/ms, 'and why');
$cluster->wait_until('for how long', sub { (run_it('list', at($cluster->server($next))))[1] =~ /^without an open primary: for \d+ s$/m });
command_checks_all([ 'pg_leaderctl', 'list', at($cluster->server($next)), '-U', 'app' ], 1, [qr/^$/],
	[qr/it refuses the connection: pg_leader: this server does not accept connections now.*hint: Connect as a role of pg_leader\.fence_exempt_roles/s], 'who may not log in is told what to do');
$cluster->stop_all;
command_checks_all([ 'pg_leaderctl', 'list', '-h', '127.0.0.1,127.0.0.1', '-p', join(',', map { $cluster->server($_)->port } 0, 1) ], 1, [qr/^$/],
	[qr/no member of the cluster answers\n(?:.*127\.0\.0\.1, port \d+: no connection: .*\n){2}.*hint: Name a server that runs/], 'nobody answers');

# ---- the election alone ----

my $elected = PgLeaderCluster->new('elected', 3, settings => {%PgLeaderCluster::STEADY}, cluster_name => 'elected');
my ($leader, @all);

$elected->server($_)->append_conf('postgresql.conf', "listen_addresses = '127.0.0.1'") foreach $elected->ids;
$elected->start_all;
($leader) = $elected->wait_for_leader('a leader without managed mode');
@all = ('-h', join(',', ('127.0.0.1') x 3), '-p', join(',', map { $elected->server($_)->port } $elected->ids));
$elected->wait_until('all is well', sub { (run_it('list', @all))[0] == 0 });
like((run_it('list', @all))[1], qr/^Cluster "elected", election only: node $leader leads\. 3 of 3 members answer\.\n.*^ +$leader \| 127\.0\.0\.1:\d+ \| leader +\| primary \|.*\d+ ms$/ms, 'who leads');
($status, $list) = run_it('list', at($elected->server($leader)));
is($status, 1, 'ports of others are not known: exit status 1');
like($list, qr/^ +\d \| 127\.0\.0\.1 +\| - +\| port not known .*^node \d: the port of its PostgreSQL is not known; node $leader heard it .*Name all servers: -h/ms, 'what to do');
$elected->stop(($leader + 1) % 3);
($status, $list) = run_it('list', @all);
like($list, qr/^127\.0\.0\.1, port \d+: no connection: /m, 'which of the named servers does not answer');
$elected->check_history;
$elected->stop_all;
done_testing();
