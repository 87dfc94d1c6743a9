# test/stand/ManagedFaults.pm
#	  What can be done to a managed cluster: the plan of test/stand/managed_nemesis, and each
#	  kind of fault in it.
#
# A plan is made of nothing but a seed, the number of nodes and how many rounds, as that of
# Nemesis.pm is, of which the kinds that cut links are taken.
#
# A kind is a function of a stand (ManagedStand.pm) and an intent.  It runs in a process of its
# own, does what it is named after, waits as long as the intent says, and undoes it.  What it
# returns is true if it was done; false: it was not possible now, as where a node that is wanted
# does not run.  Whoever was killed is started again by the program.

package ManagedFaults;

use strict;
use warnings;

use BenchManaged;
use Chaos;
use IO::Socket::INET;
use List::Util qw(shuffle);
use ManagedStand;
use Nemesis;
use POSIX ();
use Time::HiRes qw(sleep);

# s; what a fault waits for that has to happen first, such as the beginning of a clone.
use constant WAIT => 8;

my @layers = qw(datagrams streaming both);

# kind => how long it lasts in s, and how to do it.  of_leader: it needs one.  once: in a round.
my %kinds = (
	(map { ($_ => { hold => [ 0.3, 3 ], do => \&links }) } grep { Nemesis::kind($_)->{lane} eq 'links' && $_ ne 'transfer_with_loss' } Nemesis::kinds(5)),
	(map { ("stop_$_" => { hold => [ 0.5, 10, ManagedStand::LEASE ], do => \&stop }) } qw(postmaster worker role supervisor all)),
	(map { ("kill_$_" => { hold => [ 0, 1 ], do => \&kill_it }) } qw(postmaster worker role supervisor server all clients)),
	end_supervisor => { hold => [ 0, 0 ], do => sub { return signal(@_, 'TERM', 'supervisor') } },
	pg_ctl_stop => { hold => [ 0.2, 1.5 ], do => \&pg_ctl_stop },
	cancel_storm => { hold => [ 0.3, 1.5 ], do => sub { return storm(@_, 'INT') } },
	terminate_storm => { hold => [ 0.2, 1 ], do => sub { return storm(@_, 'TERM') } },
	disk_full => { hold => [ 0.5, 3 ], do => \&disk_full },
	disk_slow => { hold => [ 1, 4 ], do => sub { return wal_disk(@_, 'slow') } },
	disk_hung => { hold => [ 0.3, 3 ], do => sub { return wal_disk(@_, 'hung') } },
	archive_hangs => { hold => [ 1, 4 ], do => \&archive_hangs },
	replay_paused => { hold => [ 0.5, 3 ], do => \&replay_paused },
	connections_used_up => { hold => [ 0.5, 2 ], do => \&connections_used_up, of_leader => 1 },
	restart_before_failover => { hold => [ 0, 0.3 ], do => \&restart_before_failover, of_leader => 1 },
	killed_in_rewind => { hold => [ 0, 0.3 ], do => \&killed_in_rewind, of_leader => 1 },
	killed_in_clone => { hold => [ 0, 0.4 ], do => \&killed_in_clone, of_leader => 1 },
	killed_in_promotion => { hold => [ 0, 0.08 ], do => \&killed_in_promotion, of_leader => 1 },
	killed_in_switchover => { hold => [ 0, 0.25 ], do => \&killed_in_switchover, of_leader => 1 },
	two_failovers => { hold => [ 0, 0.3 ], do => \&two_failovers, of_leader => 1 },
	all_down => { hold => [ 0, 0 ], do => \&all_down },
	pg_promote => { hold => [ 0, 0 ], do => \&pg_promote },
	promote_file => { hold => [ 0, 0 ], do => \&promote_file },
	switchover => { hold => [ 0, 0 ], do => \&switchover, of_leader => 1 },
	pause => { hold => [ 0.5, 2 ], do => \&pause, of_leader => 1 },
	reinit => { hold => [ 0, 0 ], do => \&reinit },
	restart => { hold => [ 0, 0 ], do => \&restart },
	wipe => { hold => [ 0, 0 ], do => \&wipe, once => 1 });

sub kinds { my ($nodes) = @_; return sort grep { $nodes >= ((Nemesis::kind($_) // {})->{nodes} // 0) } keys %kinds; }

sub kind { my ($name) = @_; return $kinds{$name}; }

sub cuts { my ($name) = @_; return $kinds{$name}{do} == \&links; }

sub layers { return @layers; }

# ---- the plan ----

# Rounds of one to four faults, some of which begin at the same time.  whole: the next one begins
# only once all nodes follow again.
sub plan
{
	my (%options) = @_;
	my (@rounds, @deck);

	srand($options{seed});
	for (1 .. $options{rounds})
	{
		my @intents;
		my $at = 0;

		foreach (1 .. 1 + int(rand(4)))
		{
			@deck = shuffle(@{ $options{kinds} }) unless @deck;
			push @intents, intent(shift @deck, $at, $options{nodes});
			$at += rand() < 0.3 ? 0 : Nemesis::between(0.05, 1);
		}
		push @rounds, { whole => rand() < 0.5, intents => \@intents };
	}
	return @rounds;
}

sub intent
{
	my ($kind, $at, $nodes) = @_;
	my ($least, $most, $unit) = @{ $kinds{$kind}{hold} };

	return {
		kind => $kind,
		at => $at,
		hold => Nemesis::between($least, $most) * ($unit // 1),
		leader => $kinds{$kind}{of_leader} || rand() < 0.5,
		order => [ shuffle(0 .. $nodes - 1) ],
		layer => $layers[ int(rand(@layers)) ],
		dice => [ map { rand() } 1 .. 4 ] };
}

# ---- links ----

sub links
{
	my ($stand, $intent) = @_;
	my $fault = Nemesis::kind($intent->{kind})->{make}->({}, $intent);
	my @links = (@{ $fault->{cuts} // [] }, map { lossy($_, $intent) } @{ $fault->{losses} // [] });

	$stand->cut_links($$, $intent->{layer}, @links);
	sleep($intent->{hold});
	$stand->mend_links($$);
	return 1;
}

sub lossy
{
	my ($link, $intent) = @_;
	my ($from, $to, $both) = split / /, $link;
	my $percent = Nemesis::percentage($intent);

	return ([ $from, $to, $percent ], defined $both ? [ $to, $from, $percent ] : ());
}

# ---- processes ----

sub stop
{
	my ($stand, $intent) = @_;
	my ($what) = $intent->{kind} =~ /^stop_(.*)/;
	my @pids = $stand->named($intent->{order}[0], $what) or return 0;

	kill 'STOP', @pids;
	sleep($intent->{hold});
	kill 'CONT', reverse @pids;
	return 1;
}

sub kill_it
{
	my ($stand, $intent) = @_;
	my ($what) = $intent->{kind} =~ /^kill_(.*)/;

	return $what eq 'clients' ? kill_one($stand, $intent) : $stand->kill_at_once($what, $intent->{order}[0]);
}

# A session of a client, which PostgreSQL takes for a crash.
sub kill_one
{
	my ($stand, $intent) = @_;
	my ($pid) = $stand->named($intent->{order}[0], 'clients') or return 0;

	return kill 'KILL', $pid;
}

sub signal
{
	my ($stand, $intent, $signal, $what) = @_;
	return kill $signal, $stand->named($intent->{order}[0], $what);
}

# It stays down until its supervisor is stopped and started again.
sub pg_ctl_stop
{
	my ($stand, $intent) = @_;
	my ($id) = @{ $intent->{order} };

	signal($stand, $intent, (qw(TERM INT QUIT))[ int(3 * $intent->{dice}[0]) ], 'postmaster') or return 0;
	sleep($intent->{hold});
	kill 'TERM', $stand->named($id, 'supervisor');
	return 1;
}

# Of all clients' sessions, whatever they are doing.
sub storm
{
	my ($stand, $intent, $signal) = @_;
	my $end = Chaos::now() + $intent->{hold};
	my $done = 0;

	while (Chaos::now() < $end)
	{
		$done += kill $signal, map { $stand->named($_, 'clients') } $stand->ids;
		sleep(0.04);
	}
	return $done;
}

# ---- disks, and other things that run out ----

# Of all data, or of the WAL alone.
sub disk_full
{
	my ($stand, $intent) = @_;
	my ($id) = @{ $intent->{order} };

	return wal_disk($stand, $intent, 'full') if $intent->{dice}[0] < 0.5;
	$stand->fill_disk($id);
	sleep($intent->{hold});
	$stand->empty_disk($id);
	return 1;
}

sub wal_disk
{
	my ($stand, $intent, $what) = @_;
	my ($id) = @{ $intent->{order} };

	$stand->wal_disk_is($id, $what);
	sleep($intent->{hold});
	$stand->wal_disk_is($id, 'good');
	return 1;
}

# What a server that is stopped then waits for, as by a hand-over.
sub archive_hangs
{
	my ($stand, $intent) = @_;
	my ($id) = @{ $intent->{order} };

	BenchManaged::append("$stand->{dir}/archive_hangs$id", '');
	$stand->query($id, 'SELECT pg_switch_wal() WHERE NOT pg_is_in_recovery()');
	sleep($intent->{hold} / 2);
	$stand->query($id, 'SELECT pg_leader_switchover() WHERE NOT pg_is_in_recovery()') if $intent->{dice}[0] < 0.5;
	sleep($intent->{hold} / 2);
	unlink "$stand->{dir}/archive_hangs$id";
	return 1;
}

sub replay_paused
{
	my ($stand, $intent) = @_;
	my $id = standby($intent);

	defined $stand->query($id, 'SELECT pg_wal_replay_pause()') or return 0;
	sleep($intent->{hold});
	$stand->query($id, 'SELECT pg_wal_replay_resume() WHERE pg_is_in_recovery()');
	return 1;
}

# One who does not lead, as far as anyone can know.
sub standby { my ($intent) = @_; return (grep { $_ != ($intent->{primary} // -1) } @{ $intent->{order} })[0]; }

# What an operator asks a server for, once it lets him in.
sub asked
{
	my ($stand, $id, $sql) = @_;
	return Chaos::eventually(WAIT, sub { defined $stand->query($id, $sql) });
}

# Sessions that do nothing, as many as there may be.
sub connections_used_up
{
	my ($stand, $intent) = @_;
	my ($id) = @{ $intent->{order} };
	my $hello = pack('N', 196608) . "user\0client\0database\0postgres\0\0";
	my @sessions;

	for (1 .. ManagedStand::CONNECTIONS)
	{
		my $session = IO::Socket::INET->new(PeerAddr => $stand->address($id), PeerPort => $stand->{tcp} + $id, Timeout => 1) or last;

		$session->print(pack('N', length($hello) + 4) . $hello);
		$session->flush;
		push @sessions, $session;
	}
	sleep($intent->{hold}) if @sessions;
	return @sessions >= ManagedStand::CONNECTIONS / 2;
}

# ---- failovers ----

sub restart_before_failover
{
	my ($stand, $intent) = @_;
	my ($leader, $standby) = @{ $intent->{order} };

	if ($intent->{dice}[0] < 0.5) { $stand->kill_at_once('server', $standby) or return 0; }
	else { asked($stand, $standby, 'SELECT pg_leader_restart()') or return 0; }
	sleep($intent->{hold});
	return $stand->kill_at_once('all', $leader);
}

# Kill the node that does that, once one of these logs says so.
sub killed_when
{
	my ($stand, $intent, $pattern, $offsets, @ids) = @_;
	my $id = $stand->wait_for_log(WAIT, $pattern, $offsets, @ids) // return 0;

	sleep($intent->{hold});
	return $stand->kill_at_once($intent->{dice}[1] < 0.5 ? 'server' : 'all', $id);
}

# The old leader, killed, has WAL that nobody else has; the new one is its source.  Until there is
# one, no streaming: the kernel goes on sending what a killed server has written.
sub killed_in_rewind
{
	my ($stand, $intent) = @_;
	my ($leader, @others) = @{ $intent->{order} };
	my $offsets = $stand->log_sizes;

	$stand->cut_links($$, 'streaming', map { ([ $leader, $_ ], [ $_, $leader ]) } @others);
	sleep(0.1);
	$stand->kill_at_once('server', $leader);
	my $source = $stand->wait_for_log(WAIT, qr/pg_leader: order OPEN/, $offsets, @others);
	$stand->mend_links($$);
	return 0 unless defined $source && defined $stand->wait_for_log(WAIT, qr/stopping the server for a rewind/, $offsets, $leader);
	sleep($intent->{hold});
	return $stand->kill_at_once($intent->{dice}[1] < 0.5 ? 'server' : 'all', $source);
}

sub killed_in_clone
{
	my ($stand, $intent) = @_;
	my ($leader, $standby) = @{ $intent->{order} };
	my $offsets = $stand->log_sizes;

	asked($stand, $standby, 'SELECT pg_leader_reinit()') or return 0;
	defined $stand->wait_for_log(WAIT, qr/stopping the server for a clone/, $offsets, $standby) or return 0;
	sleep($intent->{hold});
	return $stand->kill_at_once($intent->{dice}[1] < 0.5 ? 'server' : 'all', $leader);
}

sub killed_in_promotion
{
	my ($stand, $intent) = @_;
	my ($leader, @others) = @{ $intent->{order} };
	my $offsets = $stand->log_sizes;

	$stand->kill_at_once('all', $leader) or return 0;
	return killed_when($stand, $intent, qr/pg_leader: order (?:CLAIM|PROMOTE)/, $offsets, @others);
}

# The leader, or the one that is to be it.
sub killed_in_switchover
{
	my ($stand, $intent) = @_;
	my ($leader, $target) = @{ $intent->{order} };
	my $request = fork() // die "fork: $!\n";

	if ($request == 0) { POSIX::_exit(defined $stand->query($leader, "SELECT pg_leader_switchover($target)", 10) ? 0 : 1); }
	sleep($intent->{hold});
	my $done = $stand->kill_at_once('all', $intent->{dice}[0] < 0.5 ? $leader : $target);
	waitpid($request, 0);
	return $done;
}

# The second as soon as it is open, or a little later.
sub two_failovers
{
	my ($stand, $intent) = @_;
	my ($leader, @others) = @{ $intent->{order} };
	my $offsets = $stand->log_sizes;

	$stand->kill_at_once('server', $leader) or return 0;
	return killed_when($stand, $intent, qr/pg_leader: order OPEN/, $offsets, @others);
}

sub all_down { my ($stand) = @_; return $stand->kill_at_once('all', $stand->ids); }

# ---- what operators do ----

# It is refused.
sub pg_promote
{
	my ($stand, $intent) = @_;
	my $id = standby($intent);

	return 0 if ($stand->query($id, 'SELECT pg_is_in_recovery()') // '') ne 't';
	$stand->query($id, 'SELECT pg_promote(false)');
	return 1;
}

# What "pg_ctl promote" does.
sub promote_file
{
	my ($stand, $intent) = @_;
	my $id = standby($intent);
	my ($postmaster) = $stand->named($id, 'postmaster') or return 0;
	my $file = $stand->data($id) . '/promote';

	open(my $to, '>', $file) or return 0;
	close $to;
	chown Chaos::owner(), $file;
	return kill 'USR1', $postmaster;
}

sub switchover
{
	my ($stand, $intent) = @_;
	my ($leader, $target) = @{ $intent->{order} };
	my $offsets = $stand->log_sizes;

	$stand->query($leader, 'SELECT pg_leader_switchover(' . ($intent->{dice}[0] < 0.5 ? $target : 'NULL') . ')', 10);
	return ManagedStand::log_since($stand->log_path($leader), $offsets->{$leader}) =~ /pg_leader: switchover to node \d+ begins/;
}

# Resumed by the program, once it can be.
sub pause
{
	my ($stand, $intent) = @_;

	defined $stand->query($intent->{order}[0], "SELECT pg_leader_pause('2s')") or return 0;
	sleep($intent->{hold});
	return 1;
}

sub reinit { my ($stand, $intent) = @_; return asked($stand, standby($intent), 'SELECT pg_leader_reinit()'); }

sub restart { my ($stand, $intent) = @_; return asked($stand, standby($intent), 'SELECT pg_leader_restart()'); }

# The state file is lost, and its data must not be used.
sub wipe
{
	my ($stand, $intent) = @_;
	my ($id) = @{ $intent->{order} };

	$stand->kill_at_once('all', $id) or return 0;
	Chaos::eventually(WAIT, sub { !kill(0, $stand->named($id, 'all')) });
	return unlink "$stand->{dir}/state$id/node-$id.state";
}

1;
