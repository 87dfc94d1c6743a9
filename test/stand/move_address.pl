#!/usr/bin/perl
# test/stand/move_address.pl
#	  script/examples/move_address.sh as pg_leader.notify_command: an address of the
#	  stand follows the leader, through sudo as doc/notify.md has it, and is never
#	  on two nodes where a server is there to take it away.
#
# A process looks at all nodes again and again and writes down who has the address.
# In the end the example's limit is shown as well: a supervisor that is killed leaves the
# address behind, until it starts again.  And the script by itself, when one of its runs
# overtakes another one.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Cwd qw(realpath);
use POSIX ();
use Stand;
use Test::More;
use Time::HiRes qw(sleep);

use constant LIMIT => 30;
use constant ADDRESS => '10.93.7.100';

my $top = realpath("$FindBin::RealBin/../..");
my $why = Stand::missing();
foreach my $program (qw(sudo arping))
{
	$why //= "no program $program" if system("type $program >/dev/null 2>&1") != 0;
}
plan skip_all => $why if defined $why;

my $user = $ENV{PGLD_USER} // 'postgres';
my $stand = Stand->new(nodes => 3);
my @all = $stand->ids;
my $script = "$stand->{dir}/move_address.sh";
my $watcher;

END { if ($watcher) { local $?; kill 'KILL', $watcher; waitpid($watcher, 0); } }

# As it is installed: root's, and in sudoers for the servers' user.  These files
# are this process's own: private_network gives it mounts of its own.
$stand->run('/bin/cp', "$top/script/examples/move_address.sh", $script);
chmod 0755, $script;
$stand->run('/bin/mount', '-t', 'tmpfs', '-o', 'mode=750', 'tmpfs', '/etc/sudoers.d');
open(my $rule, '>', '/etc/sudoers.d/pg_leader') or die $!;
print $rule "$user ALL=(root) NOPASSWD: $script\n";
close $rule;
chmod 0440, '/etc/sudoers.d/pg_leader';
mkdir '/run/pg_leader_address', 0700;
$stand->run('/bin/mount', '-t', 'tmpfs', '-o', 'mode=700', 'tmpfs', '/run/pg_leader_address');

# ---- who has the address ----

sub holders
{
	return grep { `ip -n pgldtest$_ -4 -o addr show to @{[ADDRESS]}` =~ /\S/ } @all;
}

# Writes a line, time and nodes, each time that it changes.
sub watch
{
	my $before = 'nothing';

	$watcher = fork() // die "fork: $!";
	return if $watcher;
	open(my $out, '>', "$stand->{dir}/watched") or POSIX::_exit(1);
	$out->autoflush(1);
	while (1)
	{
		my $now = join(' ', holders());
		print $out Chaos::now(), " [$now]\n" if $now ne $before;
		$before = $now;
		sleep(0.005);
	}
}

sub watched { return map { [ /^(\S+) \[(.*)\]$/ ] } split /\n/, Chaos::slurp("$stand->{dir}/watched"); }

sub wait_until_at
{
	my ($name, @ids) = @_;

	Chaos::eventually(LIMIT, sub { join(' ', holders()) eq "@ids" });
	is(join(' ', holders()), "@ids", $name);
	return;
}

# Is the node that a neighbour reaches under the address that one?
sub reached_at
{
	my ($from) = @_;
	my $text = `ip netns exec pgldtest$from arping -c 1 -w 2 -I eth0 @{[ADDRESS]} 2>&1`;
	my ($mac) = $text =~ /\[([0-9A-F:]+)\]/ or return "nobody: $text";

	foreach my $id (@all)
	{
		return $id if `ip -n pgldtest$id link show dev eth0` =~ /link\/ether \Q@{[lc $mac]}\E/;
	}
	return "unknown: $mac";
}

# ---- failovers ----

$stand->launch(1, @all);
$stand->supervise(@all);
foreach my $id (@all)
{
	defined $stand->query($id, $_) or die "node $id: $_" foreach
		"ALTER SYSTEM SET pg_leader.notify_command = 'sudo -n $script @{[ADDRESS]}/24 eth0 %e'",
		'SELECT pg_reload_conf()';
}
my ($leader, $term) = $stand->settled;
wait_until_at('the address is at the leader', $leader);
is(reached_at(($leader + 1) % 3), $leader, 'a neighbour reaches the leader under it');
watch();

sub failover
{
	my ($name, $what) = @_;
	my $old = $leader;
	my $began = Chaos::now();

	$what->($old);
	($leader, $term) = $stand->wait_for_leader_above($term, grep { $_ != $old } @all);
	isnt($leader, $old, "$name: another one leads");
	wait_until_at("$name: the address follows", $leader);
	my ($moved) = map { $_->[0] } grep { $_->[0] > $began && $_->[1] eq $leader } watched();
	my ($free) = map { $_->[0] } grep { $_->[0] > $began && $_->[1] eq '' } watched();
	# A server that has been stopped says nothing of its lease's end any more.
	my ($ended) = reverse grep { defined } map { $_->{lease_end} } eval { $stand->events($old) };
	return $old unless defined $moved && defined $free;
	diag(sprintf('%s: the old leader was without the address %s, the new one had it %.0f ms later', $name,
			defined $ended && $ended > $began ? sprintf('%.0f ms after its lease', 1000 * ($free - $ended)) :
			  sprintf('%.0f ms after the command', 1000 * ($free - $began)), 1000 * ($moved - $free)));
	return $old;
}

failover('hand-over', sub { $stand->ctl('transfer') });
my $cut = failover('leader cut off', sub {
	my ($old) = @_;
	$stand->ctl("disconnect $old $_ both") foreach grep { $_ != $old } @all;
});
$stand->ctl('brainjoin');
($leader, $term) = $stand->settled;
wait_until_at('whole again: the address is where it was', $leader);
my $stopped = failover('leader stopped', sub { $stand->ctl("stop $_[0]") });
$stand->supervise($stopped);
$stand->settled;
failover('postmaster killed', sub { kill 'KILL', $stand->postmaster($_[0]) });
$stand->settled; # its supervisor has started it again
failover('all of the server killed', sub { $stand->kill_nodes($_[0]) });

my @two = grep { $_->[1] =~ / / } watched();
is(scalar(@two), 0, 'the address was never on two nodes') or diag(join ', ', map { "$_->[0]: $_->[1]" } @two);
is(reached_at(($leader + 1) % 3), $leader, 'a neighbour reaches the new leader under it');

# ---- the limit: nobody is left to take it away ----

$stand->settled;
my $dead = $leader;
$stand->kill_supervisors($dead);
($leader, $term) = $stand->wait_for_leader_above($term, grep { $_ != $dead } @all);
wait_until_at('a supervisor that is killed leaves the address behind', sort($dead, $leader));
$stand->supervise($dead);
wait_until_at('and takes it away when it starts again', $leader);

# ---- outrun: a gained_lease that nobody can end, and lost_lease beside it ----

# start_run(ID, ARGUMENTS): the script on that node, its messages to a file.
sub start_run
{
	my ($id, @arguments) = @_;
	my $pid = fork() // die "fork: $!";

	return $pid if $pid;
	open(STDERR, '>', "$stand->{dir}/run_messages") or POSIX::_exit(126);
	exec('ip', 'netns', 'exec', "pgldtest$id", $script, @arguments) or POSIX::_exit(127);
}

# finish(PID): its exit status.
sub finish { waitpid($_[0], 0); return $? >> 8; }

sub run_messages { return Chaos::slurp("$stand->{dir}/run_messages"); }

my @on = (ADDRESS . '/24', 'eth0');
my ($namespace) = `ip netns exec pgldtest$dead stat -Lc %i /proc/self/ns/net` =~ /(\d+)/;
my $newest = "/run/pg_leader_address/${namespace}_eth0_@{[ADDRESS]}.newest";
unlink $newest;
my $gained = start_run($dead, '--probe', 5, @on, 'gained_lease');
Chaos::eventually(LIMIT, sub { -s $newest });
kill 'STOP', $gained; # else it may see at once that it is outrun, and end first
is(finish(start_run($dead, @on, 'lost_lease')), 0, 'lost_lease while a gained_lease asks for the address');
unlike(run_messages(), qr/holds the lock/, 'does not wait for it');
kill 'CONT', $gained;
is(finish($gained), 0, 'gained_lease, outrun');
is(join(' ', holders()), $leader, 'has not added the address');

is(finish(start_run($dead, '--probe', 1, @on, 'gained_lease')), 0, 'another host goes on answering: taken over');
like(run_messages(), qr/another host answers for @{[ADDRESS]}\/24, or arping failed; taken over all the same/, 'and it says so');
is(finish(start_run($dead, @on, 'lost_lease')), 0, 'given back');
is(join(' ', holders()), $leader, 'and is gone');

foreach my $wrong (['10.93.7.256/24', 'eth0', 'lost_lease'], ['10.93.7.100/33', 'eth0', 'lost_lease'],
	[@on, 'won'], ['10.93.7.100/24', '../net/eth0', 'lost_lease'], ['--probe', 6, @on, 'gained_lease'])
{
	is(finish(start_run($dead, @$wrong)), 2, "refused: @$wrong");
}

is_deeply([ $stand->unexpected_ends ], [], 'no server has ended by itself');
done_testing();
