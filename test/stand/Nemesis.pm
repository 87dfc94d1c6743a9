# test/stand/Nemesis.pm
#	  What can be done to a cluster, and in which order: the plan of test/stand/
#	  nemesis, and each kind of fault in it.
#
# A plan is made of nothing but a seed, the number of nodes and the time: the same
# three, the same plan.  An intent in it says what kind of fault begins when, how
# long it lasts, and in which order nodes are considered for it; "leader" puts
# whoever leads at that moment first.  Whom it really hits, and whether it can be
# done at all, is thus decided in the run.
#
# Nothing here waits, forks or keeps the time: the program does.  What breaks
# things are closures, for the program to run in processes of their own.

package Nemesis;

use strict;
use warnings;

use Chaos;
use List::Util qw(min shuffle);
use Time::HiRes qw(sleep);

# Milliseconds; what a reload may set.  The checker's limits are the longest.
use constant { MIN_TIMEOUT_LOW => 150, MIN_TIMEOUT_HIGH => 300, MAX_TIMEOUT_HIGH => 600 };

# A server that was made to crash answers again after so many seconds.
use constant RECOVERY_LIMIT => 30;

# kind -> what it is done to ("links", or nodes by "process" or "setting"), how
# long it lasts in seconds, and how to do it; how many nodes there must be; and how
# often it comes up compared with others: more often what hits but now and then.
my %kinds = (
	cut_one_way => { lane => 'links', hold => [ 0.5, 6 ], make => \&cut_one_way },
	cut => { lane => 'links', hold => [ 0.5, 6 ], make => \&cut },
	isolate => { lane => 'links', hold => [ 0.5, 5 ], make => \&isolate },
	deaf => { lane => 'links', hold => [ 0.5, 5 ], make => \&deaf },
	mute => { lane => 'links', hold => [ 0.5, 5 ], make => \&mute },
	split_in_two => { lane => 'links', hold => [ 0.5, 5 ], make => \&split_in_two },
	split_in_three => { lane => 'links', hold => [ 0.5, 3 ], make => \&split_in_three },
	ring => { lane => 'links', hold => [ 0.5, 5 ], make => \&ring, nodes => 4 },
	bridge => { lane => 'links', hold => [ 0.5, 5 ], make => \&bridge },
	edges => { lane => 'links', hold => [ 0.5, 5 ], make => \&edges, nodes => 5 },
	loss_one_way => { lane => 'links', hold => [ 1, 8 ], make => \&loss_one_way },
	loss => { lane => 'links', hold => [ 1, 8 ], make => \&loss },
	loss_around => { lane => 'links', hold => [ 1, 8 ], make => \&loss_around },
	pause => { lane => 'process', hold => [ 0.1, 3 ], make => \&pause },
	pause_several => { lane => 'process', hold => [ 0.3, 2 ], make => \&pause_several, crowd => 1, weight => 2 },
	pause_and_kill => { lane => 'process', hold => [ 0.1, 2 ], make => \&pause_and_kill },
	pause_worker => { lane => 'process', hold => [ 0.1, 3 ], make => \&pause_worker },
	end_worker => { lane => 'process', hold => [ 0, 0 ], make => \&end_worker },
	kill => { lane => 'process', hold => [ 0, 2 ], make => \&kill_all },
	kill_postmaster => { lane => 'process', hold => [ 0, 2 ], make => \&kill_postmaster },
	kill_worker => { lane => 'process', hold => [ 0, 0 ], make => \&kill_worker, crowd => 1, weight => 2 },
	kill_backend => { lane => 'process', hold => [ 0, 0 ], make => \&kill_backend },
	stop_fast => { lane => 'process', hold => [ 0, 2 ], make => \&stop_fast },
	stop_smart => { lane => 'process', hold => [ 0, 2 ], make => \&stop_smart },
	stop_immediate => { lane => 'process', hold => [ 0, 2 ], make => \&stop_immediate },
	restart => { lane => 'process', hold => [ 0, 1 ], make => \&restart, crowd => 1 },
	wipe => { lane => 'process', hold => [ 0, 2 ], make => \&wipe, once => 1 },
	transfer => { lane => 'setting', hold => [ 0, 0 ], make => \&transfer, of_leader => 1 },
	transfer_to => { lane => 'setting', hold => [ 0, 0 ], make => \&transfer_to, of_leader => 1 },
	transfer_with_loss => { lane => 'links', hold => [ 0, 1 ], make => \&transfer_with_loss, of_leader => 1,
		weight => 3 },
	candidate_off => { lane => 'setting', hold => [ 1, 5 ], make => \&candidate_off },
	timeouts => { lane => 'setting', hold => [ 0, 0 ], make => \&timeouts });

# Those that a cluster of so many nodes can have.
sub kinds
{
	my ($nodes) = @_;
	return sort grep { $nodes >= ($kinds{$_}{nodes} // 0) } keys %kinds;
}

sub kind { my ($name) = @_; return $kinds{$name}; }

# ---- the plan ----

sub between
{
	my ($low, $high) = @_;
	return $low + rand($high - $low);
}

# Rounds until the time is used up: {seconds, reckless, intents}.  In a reckless
# round more than a minority may be down at a time.
sub plan
{
	my (%options) = @_;
	my $left = $options{seconds};
	my (@rounds, @deck);

	srand($options{seed});
	while ($left > 0)
	{
		my $seconds = between(10, 20);
		my @intents;

		for (my $at = between(0.1, 0.5); $at < $seconds; $at += between(0.2, 1.3))
		{
			# so that each kind comes up, in an order of its own
			@deck = shuffle(map { ($_) x ($kinds{$_}{weight} // 1) } kinds($options{nodes})) unless @deck;
			push @intents, intent(shift @deck, $at, $options{nodes});
		}
		push @rounds, { seconds => $seconds, reckless => rand() < 1 / 3, intents => \@intents };
		$left -= $seconds;
	}
	return @rounds;
}

sub intent
{
	my ($kind, $at, $nodes) = @_;
	return {
		kind => $kind,
		at => $at,
		hold => between(@{ $kinds{$kind}{hold} }),
		leader => rand() < 0.5,
		order => [ shuffle(0 .. $nodes - 1) ],
		dice => [ map { rand() } 1 .. 4 ] };
}

sub describe_intent
{
	my ($intent) = @_;
	return sprintf('%6.2f s  %-14s for %.2f s  %s%s  dice %s', $intent->{at}, $intent->{kind},
		$intent->{hold}, $intent->{leader} ? 'leader, ' : '', join(' ', @{ $intent->{order} }),
		join(' ', map { sprintf '%.3f', $_ } @{ $intent->{dice} }));
}

# ---- links ----

# A fault of links: what ctl.sh is told, and the directions [from, to] that are
# cut, or the links that lose packets and the commands that undo it.

sub both_ways { return map { ([ @$_ ], [ $_->[1], $_->[0] ]) } @_; }

sub cut_one_way
{
	my ($one, $another) = @{ $_[1]{order} };
	return { text => "from $one to $another", commands => ["disconnect $one $another"],
		cuts => [ [ $one, $another ] ] };
}

sub cut
{
	my ($one, $another) = @{ $_[1]{order} };
	return { text => "$one $another", commands => ["disconnect $one $another both"],
		cuts => [ both_ways([ $one, $another ]) ] };
}

sub isolate
{
	my ($one, @others) = @{ $_[1]{order} };
	return { text => $one, commands => ["isolate $one"],
		cuts => [ both_ways(map { [ $one, $_ ] } @others) ] };
}

# It hears nobody, and is heard.
sub deaf
{
	my ($one, @others) = @{ $_[1]{order} };
	return { text => $one, commands => [ map { "disconnect $_ $one" } @others ],
		cuts => [ map { [ $_, $one ] } @others ] };
}

# It hears all, and is heard by nobody.
sub mute
{
	my ($one, @others) = @{ $_[1]{order} };
	return { text => $one, commands => [ map { "disconnect $one $_" } @others ],
		cuts => [ map { [ $one, $_ ] } @others ] };
}

sub split_into
{
	my (@groups) = @_;
	my $text = join(' ; ', map { join(' ', @$_) } @groups);
	my @cuts;

	foreach my $one (@groups)
	{
		foreach my $another (grep { $_ != $one } @groups)
		{
			foreach my $from (@$one) { push @cuts, map { [ $from, $_ ] } @$another; }
		}
	}
	return { text => $text, commands => ["brainsplit $text"], cuts => \@cuts };
}

# The first is in the smaller part.
sub split_in_two
{
	my @order = @{ $_[1]{order} };
	my $small = 1 + int($_[1]{dice}[0] * int((@order - 1) / 2));
	return split_into([ @order[ 0 .. $small - 1 ] ], [ @order[ $small .. $#order ] ]);
}

sub split_in_three
{
	my @order = @{ $_[1]{order} };
	my $third = int((@order + 1) / 3);
	return split_into([ @order[ 0 .. $third - 1 ] ], [ @order[ $third .. 2 * $third - 1 ] ],
		[ @order[ 2 * $third .. $#order ] ]);
}

sub cut_pairs
{
	my ($text, @pairs) = @_;
	return { text => $text, commands => [ map { "disconnect @$_ both" } @pairs ],
		cuts => [ both_ways(@pairs) ] };
}

# Each has links to its two neighbours and to nobody else.
sub ring
{
	my @order = @{ $_[1]{order} };
	my @pairs;

	foreach my $i (0 .. $#order)
	{
		push @pairs, map { [ @order[ $i, $_ ] ] }
		  grep { $_ - $i > 1 && !($i == 0 && $_ == $#order) } $i + 1 .. $#order;
	}
	return cut_pairs("@order", @pairs);
}

# Two halves that only the first one is in touch with.
sub bridge
{
	my ($middle, @others) = @{ $_[1]{order} };
	my $half = int(@others / 2);
	my $fault = split_into([ @others[ 0 .. $half - 1 ] ], [ @others[ $half .. $#others ] ]);

	$fault->{text} .= " over $middle";
	return $fault;
}

# Three in the middle, and two at the edge that reach only one of them each.
sub edges
{
	my ($first, $second, $third, @edge) = @{ $_[1]{order} };
	my @pairs = ([ $edge[0], $first ], [ $edge[0], $third ], [ $edge[1], $first ],
		[ $edge[1], $second ], [@edge]);
	return cut_pairs("$edge[0] at $second, $edge[1] at $third", @pairs);
}

sub lossy
{
	my ($text, $percent, @links) = @_;
	return { text => "$text $percent %", losses => \@links,
		commands => [ map { my ($link, $both) = /^(\S+ \S+)(.*)$/; "loss $link $percent$both" } @links ],
		undo => [ map { my ($link, $both) = /^(\S+ \S+)(.*)$/; "loss $link 0$both" } @links ] };
}

sub percentage { my ($intent) = @_; return 5 + int($intent->{dice}[0] * 56); }

sub loss_one_way
{
	my ($one, $another) = @{ $_[1]{order} };
	return lossy("from $one to $another", percentage($_[1]), "$one $another");
}

sub loss
{
	my ($one, $another) = @{ $_[1]{order} };
	return lossy("$one $another", percentage($_[1]), "$one $another both");
}

sub loss_around
{
	my ($one, @others) = @{ $_[1]{order} };
	return lossy($one, percentage($_[1]), map { "$one $_ both" } @others);
}

# ---- processes ----

sub postmaster
{
	my ($stand, $id) = @_;
	my $pid = $stand->postmaster($id);

	die "node $id has no postmaster\n" unless defined $pid && kill(0, $pid);
	return $pid;
}

sub signal
{
	my ($stand, $id, $signal, $pid) = @_;

	$stand->expect_end($signal, $id, $pid) if $signal =~ /^(?:KILL|TERM)$/;
	kill($signal, $pid) == 1 or die "node $id: SIG$signal to $pid: $!\n";
	return;
}

# SIGKILL for all processes of these nodes.  The moment counts: clients were told
# that a lease holds on.  So it is not ctl.sh that does it, but this.
sub kill_at_once
{
	my ($stand, $record, @ids) = @_;
	my @pids = $stand->freeze(@ids);

	$record->("kill @ids");
	$stand->kill_frozen(@pids);
	return;
}

# Until the server answers, and its member takes part; another worker than that.
sub wait_until_back
{
	my ($stand, $id, $worker) = @_;
	my $state;

	return if Chaos::eventually(RECOVERY_LIMIT, sub {
			my ($now) = $stand->workers($id);
			return 0 if !defined $now || $now == $worker;
			my $rows = $stand->query($id, 'SELECT state FROM pg_leader_status');
			$state = defined $rows ? $rows->[0][0] : undef;
			return ($state // '') eq 'taking part';
		});
	die "node $id is not back within " . RECOVERY_LIMIT . ' s: ' . ($state // 'no answer') . "\n";
}

sub pause
{
	my ($self, $intent) = @_;
	my ($id) = @{ $intent->{order} };
	return { text => $id, nodes => [$id],
		begin => sub { my ($stand) = @_; $stand->ctl('pause', $id) },
		end => sub { my ($stand) = @_; $stand->ctl('resume', $id) } };
}

# Some of those that can be had, and the first ones in the order as a rule.
sub several
{
	my ($self, $intent, $least) = @_;
	my @order = @{ $intent->{order} };
	my $n = min(scalar @order, $least + int($intent->{dice}[1] * (@order - $least + 1)));
	return grep { $self->{is_free}->($_) } @order[ 0 .. $n - 1 ];
}

# Resumed in the same instant, by pid, all their timers have run out: several stand.
sub pause_several
{
	my ($self, $intent) = @_;
	my @ids = several($self, $intent, 2);

	return undef if @ids < 2;
	return { text => "@ids", nodes => \@ids,
		begin => sub { my ($stand) = @_; $stand->ctl('pause', @ids) },
		end => sub {
			my ($stand) = @_;
			my @pids = map { $stand->pids($_) } @ids;
			kill('CONT', @pids) == @pids or die "@ids: SIGCONT: $!\n";
		} };
}

# What was queued while it was paused is never answered.
sub pause_and_kill
{
	my ($self, $intent) = @_;
	my ($id) = @{ $intent->{order} };
	return { text => $id, nodes => [$id],
		begin => sub { my ($stand) = @_; $stand->ctl('pause', $id) },
		end => sub {
			my ($stand, $record) = @_;
			kill_at_once($stand, $record, $id);
			$stand->ctl('start', $id);
		} };
}

sub pause_worker
{
	my ($self, $intent) = @_;
	my ($id) = @{ $intent->{order} };
	return { text => $id, nodes => [$id],
		begin => sub { my ($stand) = @_; signal($stand, $id, 'STOP', $stand->worker($id)) },
		end => sub { my ($stand) = @_; signal($stand, $id, 'CONT', $stand->worker($id)) } };
}

# Its server lives on and starts it again.
sub end_worker
{
	my ($self, $intent) = @_;
	my ($id) = @{ $intent->{order} };
	return { text => $id, nodes => [$id],
		begin => sub {
			my ($stand) = @_;
			my $worker = $stand->worker($id);
			signal($stand, $id, 'TERM', $worker);
			wait_until_back($stand, $id, $worker);
		} };
}

sub kill_all
{
	my ($self, $intent) = @_;
	my ($id) = @{ $intent->{order} };
	return { text => $id, nodes => [$id], writes_record => 1,
		begin => sub { my ($stand, $record) = @_; kill_at_once($stand, $record, $id) },
		end => sub { my ($stand) = @_; $stand->ctl('start', $id) } };
}

sub kill_postmaster
{
	my ($self, $intent) = @_;
	my ($id) = @{ $intent->{order} };
	return { text => $id, nodes => [$id],
		begin => sub { my ($stand) = @_; signal($stand, $id, 'KILL', postmaster($stand, $id)) },
		end => sub { my ($stand) = @_; $stand->ctl('start', $id) } };
}

# The postmasters then restart everything, some of them within a promise.
sub kill_worker
{
	my ($self, $intent) = @_;
	my @ids = several($self, $intent, 1);

	return undef unless @ids;
	return { text => "@ids", nodes => \@ids, writes_record => 1,
		begin => sub {
			my ($stand, $record) = @_;
			my %worker = map { ($_ => $stand->worker($_)) } @ids;
			$record->();
			signal($stand, $_, 'KILL', $worker{$_}) foreach @ids;
			wait_until_back($stand, $_, $worker{$_}) foreach @ids;
		} };
}

# The same, by way of a client's process: the observer's, if it has one there.
sub kill_backend
{
	my ($self, $intent) = @_;
	my ($id) = @{ $intent->{order} };
	return { text => $id, nodes => [$id],
		begin => sub {
			my ($stand) = @_;
			my $worker = $stand->worker($id);
			my @backends = $stand->titled($id, qr/\[local\]/);
			@backends = $stand->titled($id, qr/: background writer/) unless @backends;
			die "node $id has no process to kill\n" unless @backends;
			signal($stand, $id, 'KILL', $backends[0]);
			wait_until_back($stand, $id, $worker);
		} };
}

sub stopped
{
	my ($id, $begin) = @_;
	return { text => $id, nodes => [$id], begin => $begin,
		end => sub { my ($stand) = @_; $stand->ctl('start', $id) } };
}

sub stop_fast
{
	my ($id) = @{ $_[1]{order} };
	return stopped($id, sub { my ($stand) = @_; $stand->ctl('stop fast', $id) });
}

sub stop_immediate
{
	my ($id) = @{ $_[1]{order} };
	return stopped($id, sub { my ($stand) = @_; $stand->ctl('stop immediate', $id) });
}

# The observer stays connected, so that a smart stop does not end by itself.
sub stop_smart
{
	my ($self, $intent) = @_;
	my ($id) = @{ $intent->{order} };
	my $patience = 0.2 + 2 * $intent->{dice}[0];

	return stopped($id, sub {
			my ($stand) = @_;
			my $pid = fork() // die "fork: $!";
			if ($pid == 0)
			{
				my ($status, $output) =
				  $stand->try_run('ctl.sh', '--config', $stand->{config}, '-c', "stop smart $id");

				# the fast one may have overtaken it
				$status = 0 if $output =~ /^\S+ node $id could not be stopped/m;
				print $output;
				POSIX::_exit($status);
			}
			sleep($patience);
			$stand->ctl('stop fast', $id);
			waitpid($pid, 0);
			die "node $id: the smart stop failed\n" if $? != 0;
		});
}

# Several at the same time, all of them even.  Killed, they cannot give their leases
# away, so that the record must not say that they may have: it says "kill" alone.
sub restart
{
	my ($self, $intent) = @_;
	my $how = ('kill', 'stop fast', 'stop immediate')[ int(3 * $intent->{dice}[0]) ];
	my @ids = several($self, $intent, 2);

	return undef if @ids < 2;
	return { text => "@ids by $how", nodes => \@ids, writes_record => $how eq 'kill',
		begin => sub {
			my ($stand, $record) = @_;
			if ($how eq 'kill') { kill_at_once($stand, $record, @ids); }
			else { $stand->ctl($how, @ids); }
		},
		end => sub { my ($stand) = @_; $stand->ctl('start', @ids) } };
}

# One at a time: it abstains until every other member has answered it, and so can
# break no promise, whatever the others do meanwhile (rule 11).  Of two that have
# lost their state each would wait for the other's word, which is worth nothing.
sub wipe
{
	my ($self, $intent) = @_;
	my ($id) = @{ $intent->{order} };
	my $how = $intent->{dice}[0] < 0.5 ? 'kill' : 'stop fast';

	return { text => $id, nodes => [$id], writes_record => 1,
		begin => sub {
			my ($stand, $record) = @_;
			my $file = "$stand->{dir}/state/node-$id.state";
			if ($how eq 'kill') { kill_at_once($stand, $record, $id); }
			else { $stand->ctl($how, $id); }
			$record->();
			unlink($file) == 1 or die "could not remove $file: $!\n";
		},
		end => sub { my ($stand) = @_; $stand->ctl('start', $id) } };
}

# ---- requests and settings ----

sub statements
{
	my ($stand, $id, @statements) = @_;
	foreach my $statement (@statements, 'SELECT pg_reload_conf()')
	{
		defined $stand->query($id, $statement) or die "node $id: $statement: no success\n";
	}
	return;
}

# What a leader, or ctl.sh, may answer to a request to hand over when others break
# things at the same time.
my $REFUSED = join('|',
	'this member is not the leader',
	'node \d is this member, which is already the leader',
	'node \d does not answer',
	'node \d cannot lead',
	'node \d is still bound by a promise to an earlier leader',
	'the members that could lead are still bound by a promise to an earlier leader',
	'no other member can lead');

# It did, or there is no telling.
my $TRIED = join('|',
	'the hand-over failed, and this member was elected again',
	'timed out while waiting for the new leader');

# Its member is paused or starts again, or it has been killed or stopped.
my $GONE = join('|',
	'the worker of pg_leader did not answer in time',
	'this server does not take part in elections',
	'psql: error: connection to server .* failed: ',
	'(?:FATAL: *)?terminating connection due to (?:administrator command|unexpected postmaster exit)',
	'(?:WARNING: *)?terminating connection due to immediate shutdown command',
	'(?:WARNING: *)?terminating connection because of crash of another server process',
	'server closed the connection unexpectedly',
	'(?:psql: error: )?connection to server was lost');

# Is that what ctl.sh says when nothing is wrong with it, nor with the server?
sub is_known_refusal
{
	my ($output) = @_;
	return $output =~ /^ctl\.sh: there is no leader to hand over$/m
	  || $output =~ /^ctl\.sh: node \d did not hand over: (?:$REFUSED|$TRIED|$GONE)/m;
}

# Refused where the leader is another one by now, or the target is not fit: that
# is no failure of ours.
sub hand_over
{
	my ($stand, @words) = @_;
	my ($status, $output) =
	  $stand->try_run('ctl.sh', '--config', $stand->{config}, '-c', join(' ', 'transfer', @words));

	die "transfer @words: exit status $status\n$output"
	  if $status > 1 || ($status == 1 && !is_known_refusal($output));
	return;
}

sub transfer
{
	my ($self, $intent) = @_;
	my ($leader) = @{ $intent->{order} };
	return { text => $leader, nodes => [$leader], begin => sub { my ($stand) = @_; hand_over($stand) } };
}

sub transfer_to
{
	my ($self, $intent) = @_;
	my ($leader, $target) = @{ $intent->{order} };
	return { text => "$target from $leader", nodes => [$leader],
		begin => sub { my ($stand) = @_; hand_over($stand, $target) } };
}

# The old leader is slow to learn that there is another one.
sub transfer_with_loss
{
	my ($self, $intent) = @_;
	my ($leader, @others) = @{ $intent->{order} };
	my $fault = lossy($leader, 75, map { "$_ $leader" } @others);

	$fault->{then} = sub { my ($stand) = @_; hand_over($stand) };
	return $fault;
}

sub candidate_off
{
	my ($self, $intent) = @_;
	my ($id) = @{ $intent->{order} };
	return { text => $id, nodes => [$id],
		begin => sub { my ($stand) = @_; statements($stand, $id, 'ALTER SYSTEM SET pg_leader.candidate = off') },
		end => sub { my ($stand) = @_; statements($stand, $id, 'ALTER SYSTEM RESET pg_leader.candidate') } };
}

# On some nodes or on all; they stay like that until the round is over.
sub timeouts
{
	my ($self, $intent) = @_;
	my @dice = @{ $intent->{dice} };
	my @ids = grep { $self->{is_free}->($_) }
	  @{ $intent->{order} }[ 0 .. int($dice[2] * @{ $intent->{order} }) ];
	my $min = MIN_TIMEOUT_LOW + int($dice[0] * (MIN_TIMEOUT_HIGH - MIN_TIMEOUT_LOW + 1));
	my $max = $min + 100 + int($dice[1] * (MAX_TIMEOUT_HIGH - $min - 99));

	return undef unless @ids;
	return { text => "@ids to $min and $max ms", nodes => \@ids,
		begin => sub {
			my ($stand) = @_;
			statements($stand, $_, "ALTER SYSTEM SET pg_leader.min_timeout = $min",
				"ALTER SYSTEM SET pg_leader.max_timeout = $max")
			  foreach @ids;
		} };
}

# A wiped member that has met all others votes again.
sub must_not_abstain
{
	my ($stand, $id) = @_;
	my $rows = $stand->query($id, 'SELECT abstaining, abstain_reason, abstain_waits_for FROM pg_leader_status')
	  // die "node $id does not answer\n";
	die "node $id still abstains: @{ $rows->[0] }[1, 2]\n" if $rows->[0][0] ne 'f';
	return;
}

# As it was configured.
sub reset_settings
{
	my ($stand, $id) = @_;
	statements($stand, $id, map { "ALTER SYSTEM RESET pg_leader.$_" } qw(candidate min_timeout max_timeout));
	return;
}

1;
