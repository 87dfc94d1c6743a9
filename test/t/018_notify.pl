# test/t/018_notify.pl
#	  pg_leader.notify_command: what is told, in which order, and what becomes of
#	  commands that fail, hang, or are overtaken by events.
#
# The command is a script that appends a line to a file of its node, and does
# what a second file says: "hang", "ignore", "fail", "claim".

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgLeaderCluster;
use Test::More;
use Time::HiRes qw(usleep);

my $cluster = PgLeaderCluster->new('notify', 3, settings => \%PgLeaderCluster::STEADY);
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
		echo "on standard output"; cat | wc -c >"$directory/stdin.\$id"
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

sub notifier { return $cluster->titled(shift, qr/\bpg_leader notify\b/); }

# ---- from the start on ----

foreach my $id ($cluster->ids)
{
	$cluster->set($id, notify_command => "$script %n %e %t %l %a 100%%");
}
$cluster->start_all;
($leader, $term) = $cluster->wait_for_leader('one leader to begin with');
my $address = $cluster->address($leader);

foreach my $id ($cluster->ids)
{
	my @told;

	isnt(notifier($id), undef, "node $id has a process for it");
	isnt(notifier($id), $cluster->worker($id), "node $id: which is not taken for the worker");
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

# ---- what a command gets from the server, and what it does not ----

forget();
my $offset = $cluster->log_size($third);
how($third, 'look');
command($third, 'again %e');
wait_for_told('a new command is told what is', $third, 'again lost_lease', 'again new_leader');
is(PostgreSQL::Test::Utils::slurp_file("$directory/stdin.$third"), "0\n", 'its standard input is empty');
my @fds = PostgreSQL::Test::Utils::slurp_file("$directory/fds.$third") =~ / (\d+) -> /g;
is_deeply([ grep { $_ > 2 && $_ != 255 } @fds ], [], 'it inherits no file of the server')
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
	qr/LOG:  pg_leader: notify_command failed for lost_lease in term 0: child process exited with exit code 3\n.*DETAIL:  The command was: CHANGE=\d+ \Q$script\E $third fails lost_lease/, $offset);
unlink "$directory/how.$third";

forget();
$cluster->set($third, notify_command => '/nonexistent/program %e');
reload($third);
$cluster->wait_for_log($third, qr/notify_command failed for lost_lease in term 0: command not found/, $offset);

$cluster->set($third, notify_command => 'kill -9 $$');
reload($third);
$cluster->wait_for_log($third, qr/notify_command failed for lost_lease in term 0: child process was terminated by signal 9/, $offset);

# Ten a minute are logged, and the rest counted.
foreach my $n (1 .. 12)
{
	command($third, "loop$n %e; exit 7");
	$cluster->wait_until("failure $n of many", sub { grep { $_ eq "loop$n new_leader" } told($third) });
}
my $logged = () = $cluster->log_of($third, $offset) =~ /notify_command failed/g;
is($logged, 10, 'so many failures are logged in a minute');
my @last = $cluster->log_of($third, $offset) =~ /DETAIL:  The command was: ([^\n]*)\n\s+Further failures are not logged for up to a minute\./g;
is(scalar(@last), 1, 'the tenth says that no more will follow');

# This node may lead below, when its failures are looked for: a command that does
# not fail, and another process, which counts anew.
command($third, '%e');
my $silenced = notifier($third);
kill 'TERM', $silenced;
$cluster->wait_until('a process that logs failures again', sub { (notifier($third) // $silenced) != $silenced });

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
unlike($cluster->log_of($old, $offset), qr/cannot be ended/, 'nothing that has been ended is taken for alive');
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

	$cluster->sql($leader, "SELECT pg_leader_transfer($to)");
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

# ---- it is ended and starts again by itself ----

forget();
($old, $old_term) = ($leader, $term);
unlink "$directory/how.$leader";
command($leader, '%e %t');
wait_for_told('before', $leader, "gained_lease $term");
$pid = notifier($leader);
kill 'TERM', $pid;
$cluster->wait_until('another process for notifications', sub { (notifier($leader) // $pid) != $pid });
wait_for_told('it is told again what is, and nothing false before', $leader,
	"gained_lease $term", "gained_lease $term");
is_deeply([ $cluster->wait_for_leader('all agree') ], [ $leader, $term ], 'the election took no notice');

# ---- it is killed, and the next one knows nothing of the command ----

forget();
how($leader, 'hang');
unlink "$directory/pid.$leader";
$cluster->set($leader, notify_timeout => '60s');
command($leader, '%e %t; :');
$pid = pid_of($leader);
my $killed = notifier($leader);
how($leader, '');
kill 'KILL', $killed;
$cluster->wait_until('killed: what a command had started is gone with it', sub { !lives($pid) });
$cluster->wait_until('killed: another process for notifications', sub { (notifier($leader) // $killed) != $killed });
($leader, $term) = $cluster->wait_for_leader('after the crash');

# The guardian alone: the command does not go on unguarded, and the next is told.
forget();
$third = ($cluster->others($leader))[0];
how($third, 'hang');
unlink "$directory/pid.$third";
$cluster->set($third, notify_timeout => '60s');
$offset = $cluster->log_size($third);
command($third, '%e; :');
$pid = pid_of($third);
my ($guardian) = grep { PgLeaderCluster::parent_of($_) == notifier($third) } PgLeaderCluster::all_processes();
how($third, '');
kill 'KILL', $guardian;
wait_for_told('a killed guardian', $third, 'lost_lease', 'new_leader');
ok(!lives($pid), 'what it guarded has gone with it');
$cluster->wait_for_log($third, qr/notify_command failed for lost_lease in term 0: child process was terminated by signal 9/, $offset);

# ---- shutting down does not wait for long ----

# stop_of(ID): seconds from the server's being told to stop to the command's end.
sub stop_of
{
	my ($id, $event) = @_;
	my $from = $cluster->log_size($id);
	my $clock = qr/^[-\d]+ (\d+):(\d+):([\d.]+)/m;

	$cluster->stop($id, 'fast');
	my $log = $cluster->log_of($id, $from);
	my @asked = $log =~ /$clock[^\n]*received fast shutdown request/;
	my @ended = $log =~ /$clock[^\n]*notify_command failed for $event[^\n]*\n[^\n]*DETAIL:  The server is shutting down/;
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

# ---- shutting down, crashing ----

forget();
command($leader, '%e %t');
$cluster->wait_until('before a stop: told of the lease', sub { ((told($leader))[-1] // '') eq "gained_lease $term" });
forget();
$cluster->stop($leader, 'fast');
is_deeply([ told($leader) ], ["lost_lease $term"], 'a server that stops tells of its lease\'s end before it is gone');
$cluster->start($leader);
($leader, $term) = $cluster->wait_for_leader('after a stop');

forget();
command($leader, '%e %t');
$cluster->wait_until('before: told of the lease', sub { ((told($leader))[-1] // '') eq "gained_lease $term" });
forget();
my ($postmaster, @orphans) = $cluster->kill_postmaster($leader);
$cluster->wait_until('killed postmaster: all its processes are gone', sub { PgLeaderCluster::are_gone($postmaster, @orphans) });
wait_for_told('killed postmaster: the end of the lease is told', $leader, "lost_lease $term");
$old = $leader;
$cluster->start($old);
($leader, $term) = $cluster->wait_for_leader('after a killed postmaster');

forget();
how($leader, 'hang');
unlink "$directory/pid.$leader";
$cluster->set($leader, notify_timeout => '60s');
command($leader, '%e %t');
$pid = pid_of($leader);
$cluster->stop($leader, 'immediate');
ok(!lives($pid), 'an immediate shutdown ends the command with it');
how($leader, '');
forget();
$old = $leader;
$cluster->start($old);
$cluster->wait_until('after it: told at once', sub { told($old) >= 1 });
like((told($old))[0], qr/^lost_lease /, 'that there is no lease');
($leader, $term) = $cluster->wait_for_leader('after an immediate shutdown');

# ---- switched off ----

$cluster->set($_, notify_command => '') foreach $cluster->ids;
reload($_) foreach $cluster->ids;
$cluster->wait_until('switched off everywhere', sub {
		!grep { ($cluster->sql($_, 'SHOW pg_leader.notify_command') // 'x') ne '' } $cluster->ids });
usleep(200_000);
forget();
$cluster->sql($leader, 'SELECT pg_leader_transfer()');
($leader, $term) = $cluster->wait_for_leader('hand-over without a command');
is(join(' ', map { told($_) } $cluster->ids), '', 'nothing is told');

$cluster->check_history;
$cluster->stop_all;
done_testing();
