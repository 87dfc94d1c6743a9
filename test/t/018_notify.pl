# test/t/018_notify.pl
#	  pg_leader.notify_command: what is told, in which order, and what becomes of
#	  commands that fail, hang, or are overtaken by events.
#
# The supervisor runs it: of servers of the election alone, in which a lease is all there is,
# and in the end of a managed one.
#
# The command is a script that appends a line to a file of its node, and does
# what a second file says: "hang", "ignore", "fail", "claim".

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgLeaderCluster;
use PgLeaderManaged;
use Test::More;
use Time::HiRes qw(usleep);

my $cluster = PgLeaderManaged->new('notify', 3, settings => { %PgLeaderCluster::STEADY, manage => 'off' });
my $directory = PostgreSQL::Test::Utils::tempdir('told');
my $script = "$directory/notify.sh";
my ($leader, $term, $old, $old_term);

# What a child of the server should not have inherited shows in /proc/self/fd:
# 0 to 2, the script, and the directory that "ls" reads.
PostgreSQL::Test::Utils::append_to_file($script, <<"SCRIPT");
#!/bin/bash
id=\$1; shift
case \$(cat "$directory/how.\$id" 2>/dev/null) in
	fail) printf '%s\\n' "\$*" >>"$directory/told.\$id"; exit 3 ;;
	hang) printf '%s\\n' "\$*" >>"$directory/told.\$id"; sleep 1000 & echo \$! >"$directory/pid.\$id"; wait ;;
	ignore) trap '' TERM; printf '%s\\n' "\$*" >>"$directory/told.\$id"
		echo \$\$ >"$directory/pid.\$id"; while :; do sleep 0.1; done ;;
	look) ls -l /proc/\$\$/fd >"$directory/fds.\$id"; cat /proc/self/status >"$directory/status.\$id"
		echo "on standard output"; cat | wc -c >"$directory/stdin.\$id"; pwd -P >"$directory/cwd.\$id"
		printf '%s\\n' "\$*" >>"$directory/told.\$id" ;;
	*) printf '%s\\n' "\$*" >>"$directory/told.\$id" ;;
esac
SCRIPT
chmod 0755, $script or die;

sub told
{
	my $id = shift;

	return () unless -e "$directory/told.$id";
	return split /\n/, PostgreSQL::Test::Utils::slurp_file("$directory/told.$id");
}

sub forget { unlink map { "$directory/told.$_" } $cluster->ids; return; }

sub how
{
	my ($id, $word) = @_;

	open my $file, '>', "$directory/how.$id" or die $!;
	print $file $word;
	close $file;
	return;
}

sub wait_for_told
{
	my ($name, $id, @lines) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$cluster->wait_until("$name: node $id was told as much", sub { told($id) >= @lines });
	is(join("\n", told($id)), join("\n", @lines), $name);
	return;
}

# command(ID, ARGUMENTS): the script with these arguments; each time another text,
# so that it has been told nothing.
my $changes = 0;

sub command
{
	my ($id, $arguments) = @_;

	$changes++;
	$cluster->set($id, notify_command => "CHANGE=$changes $script %n $arguments");
	reload($id);
	return;
}

sub reload { my $id = shift; $cluster->server($id)->reload; return; }

sub pid_of
{
	my $id = shift;
	my $file = "$directory/pid.$id";

	$cluster->wait_until("the command of node $id runs", sub { -s $file });
	chomp(my $pid = PostgreSQL::Test::Utils::slurp_file($file));
	unlink $file;
	return $pid;
}

# Lives it, or is it at least not a zombie?
sub lives
{
	my $pid = shift;

	open my $file, '<', "/proc/$pid/stat" or return 0;
	return (<$file> // '') !~ /^\d+ \(.*\) [ZX]/s;
}

# The process between the supervisor and the command.
sub guardian
{
	my $id = shift;

	return (grep { PgLeaderCluster::parent_of($_) == $cluster->supervisor($id) && PostgreSQL::Test::Utils::slurp_file("/proc/$_/comm") eq "pg_leader guard\n" }
		  PgLeaderCluster::all_processes())[0];
}

# What a line of the log begins with that is the supervisor's.
my $says = qr/pg_leader_supervisor: LOG:  /;

# ---- from the start on ----

foreach my $id ($cluster->ids)
{
	$cluster->set($id, notify_command => "$script %n %e %t %l %a 100%%");
}
$cluster->start_all;
($leader, $term) = $cluster->wait_for_leader('one leader to begin with');
ok(!-e $cluster->server($_)->data_dir . '/standby.signal', "node $_ is started as it is") foreach $cluster->ids;
my $address = $cluster->address($leader);

foreach my $id ($cluster->ids)
{
	my @told;

	$cluster->wait_until("node $id was told who leads", sub {
			@told = told($id);
			grep { / \Q$address\E 100%$/ } @told });
	like($told[0], qr/^lost_lease 0 (?:none none|\d \S+) 100%$/,
		"node $id was told first that it has no lease, of no term");
	is($told[-1], ($id == $leader ? 'gained_lease' : 'new_leader') . " $term $leader $address 100%",
		"node $id was told in the end what is");
	is(scalar(grep { /^gained_lease/ } @told), $id == $leader ? 1 : 0, "node $id: the leader alone was told of a lease");
}

# ---- a planned hand-over ----

forget();
($old, $old_term) = ($leader, $term);
my $target = ($cluster->others($leader))[0];
is($cluster->sql($leader, "SELECT pg_leader_transfer($target)"), $target, 'hand-over');
($leader, $term) = $cluster->wait_for_leader('hand-over: all agree');
$address = $cluster->address($leader);
wait_for_told('hand-over: the new leader', $leader, "gained_lease $term $leader $address 100%");
$cluster->wait_until('hand-over: the old leader was told both', sub { told($old) >= 2 });
like(join("\n", told($old)),
	qr/^lost_lease $old_term (?:none none|$leader \Q$address\E) 100%\nnew_leader $term $leader \Q$address\E 100%$/,
	'hand-over: the old leader, in this order');
my ($third) = $cluster->others($old, $leader);
wait_for_told('hand-over: the third', $third, "new_leader $term $leader $address 100%");

# ---- what a command gets, and what it does not ----

forget();
my $offset = $cluster->log_size($third);
how($third, 'look');
command($third, 'again %e');
wait_for_told('a new command is told what is', $third, 'again lost_lease', 'again new_leader');
is(PostgreSQL::Test::Utils::slurp_file("$directory/stdin.$third"), "0\n", 'its standard input is empty');
is(PostgreSQL::Test::Utils::slurp_file("$directory/cwd.$third"), Cwd::realpath($cluster->server($third)->data_dir) . "\n", 'it is in the data directory');
my @fds = PostgreSQL::Test::Utils::slurp_file("$directory/fds.$third") =~ / (\d+) -> /g;
is_deeply([ grep { $_ > 2 && $_ != 255 } @fds ], [], 'it inherits no file of the supervisor')
  or diag(PostgreSQL::Test::Utils::slurp_file("$directory/fds.$third"));
my $status = PostgreSQL::Test::Utils::slurp_file("$directory/status.$third");
like($status, qr/^SigBlk:\t0+$/m, 'no signal is blocked in it');
my ($ignored) = $status =~ /^SigIgn:\t([0-9a-f]+)$/m;
is(hex($ignored), 0, 'no signal is ignored in it');
$cluster->wait_for_log($third, qr/^on standard output$/m, $offset);
unlink "$directory/how.$third";

# ---- failures ----

forget();
$offset = $cluster->log_size($third);
how($third, 'fail');
command($third, 'fails %e');
wait_for_told('one that fails is told all the same', $third, 'fails lost_lease', 'fails new_leader');
$cluster->wait_for_log($third,
	qr/${says}notify_command failed for lost_lease in term 0: child process exited with exit code 3\n.*DETAIL:  The command was: CHANGE=\d+ \Q$script\E $third fails lost_lease/, $offset);
unlink "$directory/how.$third";

forget();
$cluster->set($third, notify_command => '/nonexistent/program %e');
reload($third);
$cluster->wait_for_log($third, qr/notify_command failed for lost_lease in term 0: command not found/, $offset);

$cluster->set($third, notify_command => 'kill -9 $$');
reload($third);
$cluster->wait_for_log($third, qr/notify_command failed for lost_lease in term 0: child process was terminated by signal 9/, $offset);

# It may lead below, when its failures are looked for, and ten a minute are logged: one that does not fail.
command($third, '%e');

# ---- the time limit ----

forget();
$offset = $cluster->log_size($old);
how($old, 'hang');
$cluster->set($old, notify_timeout => '300ms');
command($old, '%e');
my $pid = pid_of($old);
wait_for_told('one that hangs', $old, 'lost_lease', 'new_leader');
$cluster->wait_for_log($old,
	qr/notify_command failed for lost_lease in term \d+: child process was terminated by signal 15[^\n]*\n[^\n]*DETAIL:  It took longer than pg_leader.notify_timeout. The command was: /, $offset);
ok(!lives($pid), 'what it had started has gone with it');

how($old, 'ignore');
$cluster->wait_until('the command before has ended', sub {
		2 == (() = $cluster->log_of($old, $offset) =~ /notify_command failed/g) });
unlink "$directory/pid.$old";
forget();
command($old, 'ignores %e');
$pid = pid_of($old);
how($old, '');
wait_for_told('one that ignores SIGTERM', $old, 'ignores lost_lease', 'ignores new_leader');
ok(!lives($pid), 'SIGKILL has ended it before the next one began');
unlike($cluster->log_of($old, $offset), qr/cannot be terminated/, 'nothing that has been ended is taken for alive');
is(scalar(grep { /notify_command failed for lost_lease in term \d+: child process was terminated/ } split /\n/, $cluster->log_of($old, $offset)), 2,
	'and the log says so');

# ---- a command that hangs holds up nobody, and what it was told of can end ----

forget();
unlink "$directory/pid.$leader";
$offset = $cluster->log_size($leader);
how($leader, 'hang');
command($leader, '%e %t');
$pid = pid_of($leader);
is_deeply([ told($leader) ], ["gained_lease $term"], 'the leader\'s command hangs');
$cluster->stays('and the leader leads on', 3, sub { join(' ', $cluster->leads($leader)) eq $leader });
ok(lives($pid), 'the command runs on as long as it may');
how($leader, '');
($old, $old_term) = ($leader, $term);
$target = ($cluster->others($leader))[0];
is($cluster->sql($leader, "SELECT pg_leader_transfer($target)"), $target, 'it hands over');
($leader, $term) = $cluster->wait_for_leader('another one leads');
wait_for_told('a lease that ends also ends the command that was told of it', $old,
	"gained_lease $old_term", "lost_lease $old_term", "new_leader $term");
$cluster->wait_for_log($old, qr/DETAIL:  The lease that it was notified of has ended\. The command was: /, $offset);
ok(!lives($pid), 'it is gone');

# ---- changes that come and go while a command runs are left out ----

$third = ($cluster->others($leader))[0];
forget();
how($third, 'hang');
unlink "$directory/pid.$third";
$cluster->set($third, notify_timeout => '60s');
command($third, '%e %t');
$pid = pid_of($third);
foreach my $round (1 .. 4)
{
	my ($to) = grep { $_ != $third } $cluster->others($leader);

	$cluster->transfer($leader, $to);
	($leader, $term) = $cluster->wait_for_leader("hand-over $round beside a command that hangs");
}
how($third, '');
kill 'TERM', $pid;
$cluster->wait_until('the last state is told', sub { (told($third))[-1] eq "new_leader $term" });
is(scalar(told($third)), 2, 'and nothing in between');

# ---- the worker hangs, and its lease runs out ----

forget();
my $worker = $cluster->worker($leader);
($old, $old_term) = ($leader, $term);
unlink "$directory/how.$leader";
command($leader, '%e %t');
wait_for_told('before', $leader, "gained_lease $term");
kill 'STOP', $worker;
wait_for_told('a lease that runs out while the worker is stopped', $old,
	"gained_lease $old_term", "lost_lease $old_term");
kill 'CONT', $worker;
($leader, $term) = $cluster->wait_for_leader('after the worker was stopped');
$cluster->wait_until('and in the end it is told who leads', sub {
		(told($old))[-1] =~ /^(?:new_leader|gained_lease) $term$/ });

# ---- its guardian is killed: the command does not go on unguarded ----

forget();
$third = ($cluster->others($leader))[0];
how($third, 'hang');
unlink "$directory/pid.$third";
$cluster->set($third, notify_timeout => '60s');
$offset = $cluster->log_size($third);
command($third, '%e; :');
$pid = pid_of($third);
my $guardian = guardian($third);
how($third, '');
kill 'KILL', $guardian;
wait_for_told('a killed guardian', $third, 'lost_lease', 'new_leader');
ok(!lives($pid), 'what it guarded has gone with it');
$cluster->wait_for_log($third, qr/notify_command failed for lost_lease in term 0: child process was terminated by signal 9/, $offset);

# ---- the supervisor ends, and does not wait for long ----

# stop_of(ID): seconds from the supervisor's being told to stop to the command's end.
sub stop_of
{
	my ($id, $event) = @_;
	my $from = $cluster->log_size($id);
	my $clock = qr/^[-\d]+ (\d+):(\d+):([\d.]+)/m;

	is($cluster->stop($id), 0, "exit status of the supervisor that ends $event");
	my $log = $cluster->log_of($id, $from);
	my @asked = $log =~ /$clock[^\n]*received SIGTERM/;
	my @ended = $log =~ /$clock[^\n]*notify_command failed for $event[^\n]*\n[^\n]*DETAIL:  The supervisor is ending\./;
	return -1 unless @asked && @ended;
	my ($asked, $ended) = map { ($_->[0] * 60 + $_->[1]) * 60 + $_->[2] } \@asked, \@ended;
	return $ended < $asked ? $ended + 86400 - $asked : $ended - $asked;
}

forget();
how($third, 'hang');
unlink "$directory/pid.$third";
command($third, '%e');
$pid = pid_of($third);
my $took = stop_of($third, 'lost_lease in term 0');
ok($took >= 0 && $took < 4, 'a lost_lease that takes nothing back ends at once') or diag("after $took s");
ok(!lives($pid), 'it is gone');
how($third, '');
$cluster->start($third);

forget();
$cluster->set($leader, notify_timeout => '60s');
command($leader, '%e %t');
$cluster->wait_until('told of the lease', sub { ((told($leader))[-1] // '') eq "gained_lease $term" });
how($leader, 'hang');
unlink "$directory/pid.$leader";
$took = stop_of($leader, "lost_lease in term $term");
ok($took > 0 && $took < 30, 'one that does has its limit, too') or diag("after $took s");
$pid = pid_of($leader);
ok(!lives($pid), 'it is gone, too');
how($leader, '');
$cluster->start($leader);
($leader, $term) = $cluster->wait_for_leader('after a stop that waited');

# ---- a lease ends with its server, however that ends ----

# holds(): a command that is like no other before, whose lines end in $mark, was told of the
# leader's lease; it has left no lines.
my $mark;

sub holds
{
	($old, $old_term) = ($leader, $term) = $cluster->wait_for_leader('before');
	$mark = 'm' . ($changes + 1);
	command($leader, "%e %t $mark");
	$cluster->wait_until('before: told of the lease', sub { ((told($leader))[-1] // '') eq "gained_lease $term $mark" });
	forget();
	return;
}

sub first_is_lost
{
	my $name = shift;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$cluster->wait_until("$name: told", sub { told($old) >= 1 });
	return is((told($old))[0], "lost_lease $old_term $mark", "$name: of the lease's end");
}

# Of SIGTERM below.
holds();
$cluster->signal($old, 'QUIT');
$cluster->wait_until('SIGQUIT: the supervisor has ended', sub { !$cluster->is_running($old) });
is_deeply([ told($old) ], ["lost_lease $term $mark"], 'SIGQUIT: it tells of its lease\'s end before it is gone');
$cluster->start($old);

holds();
my $postmaster = $cluster->postmaster($old);
kill 'KILL', $postmaster;
first_is_lost('postmaster killed');
$cluster->wait_until('postmaster killed: the server is started again', sub { ($cluster->postmaster($old) // $postmaster) != $postmaster && $cluster->status($old) });

holds();
$offset = $cluster->log_size($old);
$cluster->kill_server($old);
first_is_lost('all of the server killed');
$cluster->wait_for_log($old, qr/the server was killed by signal 9, and is started again/, $offset);

# A crash that PostgreSQL itself recovers from.
holds();
is($cluster->sql($old, 'SHOW restart_after_crash'), 'on', 'crashes stay its own affair');
$postmaster = $cluster->postmaster($old);
kill 'KILL', $cluster->titled($old, qr/\bcheckpointer\b/);
first_is_lost('a crash');
$cluster->wait_until('a crash: the server is back', sub { $cluster->status($old) });
is($cluster->postmaster($old), $postmaster, 'a crash: with the same postmaster');

# With a command under way that was told of the lease.
holds();
how($old, 'hang');
unlink "$directory/pid.$old";
command($old, 'again %e %t');
$pid = pid_of($old);
how($old, '');
PostgreSQL::Test::Utils::system_or_bail('pg_ctl', '-s', '-D', $cluster->server($old)->data_dir, '-m', 'immediate', 'stop');
wait_for_told('an immediate stop', $old, "again gained_lease $old_term", "again lost_lease $old_term");
ok(!lives($pid), 'an immediate stop ends the command with it');

# ---- the supervisor is killed: what a command had started is gone with it ----

# Its server stays down, so there is no lease: another command is told just that.
forget();
how($old, 'hang');
unlink "$directory/pid.$old";
$cluster->set($old, notify_command => "$script %n %e %t; :");
$cluster->signal($old, 'HUP');
$pid = pid_of($old);
how($old, '');
$cluster->signal($old, 'KILL');
$cluster->wait_until('supervisor killed: the command is gone', sub { !lives($pid) });
$cluster->wait_until('supervisor killed: and it has ended', sub { !$cluster->is_running($old) });
forget();
$cluster->start($old);
$cluster->wait_until('supervisor killed: the next one tells', sub { told($old) >= 1 });
is((told($old))[0], 'lost_lease 0', 'supervisor killed: the next one begins with the end of whatever there was');

# ---- ten failures a minute are logged, and the rest counted ----

# That one has logged none yet.
$third = $old;
($leader) = $cluster->wait_for_leader('after a killed supervisor');
isnt($leader, $third, 'another one leads');
$offset = $cluster->log_size($third);
foreach my $n (1 .. 6) # two events each
{
	command($third, "loop$n %e; exit 7");
	$cluster->wait_until("failure $n of many", sub { grep { $_ eq "loop$n new_leader" } told($third) });
}
my $logged = () = $cluster->log_of($third, $offset) =~ /notify_command failed/g;
is($logged, 10, 'so many failures are logged in a minute');
my @last = $cluster->log_of($third, $offset) =~ /DETAIL:  Further failures are not logged for up to a minute\. The command was: /g;
is(scalar(@last), 1, 'the tenth says that no more will follow');

# ---- switched off ----

$cluster->set($_, notify_command => '') foreach $cluster->ids;
reload($_) foreach $cluster->ids;
$cluster->wait_until('switched off everywhere', sub {
		!grep { ($cluster->sql($_, 'SHOW pg_leader.notify_command') // 'x') ne '' } $cluster->ids });
usleep(200_000);
forget();
$cluster->transfer($leader);
($leader, $term) = $cluster->wait_for_leader('hand-over without a command');
is(join(' ', map { told($_) } $cluster->ids), '', 'nothing is told');

# ---- without a supervisor ----

my $alone = $cluster->server(0);
my $no_supervisor = qr/WARNING:  pg_leader\.notify_command is set, and is not run, because this server was not started by pg_leader_supervisor\n.*HINT:  Start the server with pg_leader_supervisor/;
$cluster->check_history;
$cluster->stop_all;
$cluster->set(0, notify_command => "$script %n %e");
$offset = $cluster->log_size(0);
$alone->start;
like($cluster->log_of(0, $offset), $no_supervisor, 'without a supervisor: it is said at the start');
$cluster->set(0, notify_command => "$script %n again");
$offset = $cluster->log_size(0);
$alone->reload;
$cluster->wait_for_log(0, $no_supervisor, $offset);
is(join(' ', told(0)), '', 'without a supervisor: nothing is told');
$alone->stop;

# ---- a managed server, which loses its lease with its process ----

my $managed = PgLeaderManaged->new('managed', 1, settings => { %PgLeaderCluster::STEADY, notify_command => "$script %n %e %t" });
forget();
$managed->start(0);
$managed->wait_until('managed: told of the lease', sub { ((told(0))[-1] // '') =~ /^gained_lease/ });
($term) = (told(0))[-1] =~ /(\d+)$/;
$managed->wait_until('managed: and it answers', sub { $managed->status(0) });
forget();
$managed->kill_server(0);
$managed->wait_until('managed, all of the server killed: told', sub { told(0) >= 2 });
my @told = told(0);
is($told[0], "lost_lease $term", 'managed, all of the server killed: of the lease\'s end');
like($told[1], qr/^gained_lease (?!$term$)\d+$/, 'managed, all of the server killed: it is started again, and leads in another term');
forget();
is($managed->stop(0), 0, 'managed: the supervisor is stopped');
is_deeply([ map { s/ \d+$//r } told(0) ], ['lost_lease'], 'managed: and tells of the lease\'s end before it ends');
done_testing();
