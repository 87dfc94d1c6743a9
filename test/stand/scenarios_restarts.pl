#!/usr/bin/perl
# test/stand/scenarios_restarts.pl
#	  Five nodes whose members stop, are killed or paused, start alone or all at
#	  once, or come back with a term of their own.
#
# Single processes are paused and killed by pid.  A worker that is killed takes its
# server down, which starts again at once; a worker that gives up starts alone.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Scenario;
use Test::More;
use Time::HiRes qw(sleep);

my $stand = Scenario->new(nodes => 5);
my @all = $stand->ids;

# The others have got the leader's heartbeats but not read them when it restarts;
# what they acknowledge then is for a leader that is no more.
$stand->scenario('leader_restarts_in_its_term', sub {
	my ($leader, $term) = @_;
	my @others = map { $stand->worker($_) } $stand->others($leader);

	kill 'STOP', @others;
	sleep(3 * Stand::HEARTBEAT / 1000);
	my $killed = $stand->kill_workers($leader);
	my $started = $stand->wait_for_start($leader, $killed);
	is($stand->value($leader, 'SELECT term FROM pg_leader_status'), $term, 'it is back in the term that it led');
	kill 'CONT', @others;
	my $resumed = Chaos::now();

	my (undef, $new_term) = $stand->wait_for_leader_above($term, @all);
	$stand->collect;
	my @leads = grep { ($_->{role} eq 'leader' || defined $_->{lease_start}) && $_->{term} <= $term }
	  $stand->since($started - 0.001, $leader);
	is(scalar @leads, 0, 'it never led that term again');
	cmp_ok($stand->value($leader, "SELECT sum(count) FROM pg_leader_stat_drops WHERE reason = 'addressed to an earlier start'"),
		'>', 0, 'what was meant for its earlier start did arrive');
	return ("leader $leader killed, others paused", $resumed);
});

$stand->scenario('leader_paused', sub {
	my ($leader, $term) = @_;
	my $session = $stand->session($leader);
	my (undef, $done) = $stand->ctl("pause $leader");

	$stand->{paused}{$leader} = 1;
	$stand->ok_elects($term, $done, Scenario::ELECTED, $stand->others($leader));

	# The question waits for it, so nothing of it has run before it is asked.
	$session->tell("SELECT pg_leader_is_leader() || ' ' || coalesce((pg_leader_lease()).term, 0)");
	$stand->ctl("resume $leader");
	delete $stand->{paused}{$leader};
	is($session->hear, 'false 0', 'resumed and asked at once, it holds no lease');
	return ("leader $leader paused", $done);
});

# The backends of a server whose member stands still answer all the while.
$stand->scenario('leader_paused, worker only', sub {
	my ($leader, $term) = @_;
	my $worker = $stand->worker($leader);
	my ($asked, $last_true, $answers) = (0, 0, 0);

	my $done = Chaos::now();
	kill 'STOP', $worker;
	while ($asked < $done + 2 * Scenario::MAX)
	{
		$asked = Chaos::now();
		$last_true = $asked if $stand->value($leader, 'SELECT pg_leader_is_leader()') eq 't';
		$answers++;
		sleep(0.001);
	}
	my $new = $stand->ok_elects($term, $done, Scenario::ELECTED, $stand->others($leader));
	kill 'CONT', $worker;
	cmp_ok($last_true, '>', 0, 'it held a lease when it was paused');
	cmp_ok($last_true, '<=', $new->{lease_start}, "the last of $answers answers that it leads came before the next lease");
	cmp_ok($last_true, '<=', $done + Scenario::LEASE, 'and no later than a lease after the pause');
	return ("worker of leader $leader paused", $done);
});

# Who was asked to stand is leader without having waited for any timeout.
sub ok_handed_over
{
	my ($leader, $term, $since) = @_;

	$stand->wait_for_leader_above($term, $stand->others($leader));
	$stand->collect($stand->others($leader));
	my @events = $stand->since($since, $stand->others($leader));
	my ($asked) = grep { $_->{reason} eq "node $leader hands over to this node" } @events;
	my ($leads) = grep { $_->{role} eq 'leader' } @events;

	ok(defined $asked && $asked->{node} == $leads->{node}, 'the new leader was asked to stand by the old one');
	is($leads->{term}, $term + 1, 'and leads the next term');
	is(join(', ', grep { /^no (heartbeat|leader)/ } map { $_->{reason} } @events), '', 'nobody waited for a timeout');
	my $took = defined $asked ? $leads->{boot_time} - $asked->{boot_time} : 'inf';
	cmp_ok($took, '<', Scenario::PROMISE, 'sooner than any timeout');
	return sprintf('%.1f', 1000 * $took);
}

$stand->scenario('graceful_stop', sub {
	my ($leader, $term) = @_;
	my ($before) = $stand->stop_and_record($leader);

	return ("leader $leader stopped", $before, ok_handed_over($leader, $term, $before));
});

$stand->scenario('postmaster_killed', sub {
	my ($leader, $term) = @_;

	open(my $file, '<', "$stand->{dir}/node$leader/postmaster.pid") or die $!;
	my ($postmaster) = <$file> =~ /^(\d+)$/ or die 'no pid';
	$stand->collect($leader);
	my $killed = Chaos::now();
	kill 'KILL', $postmaster;
	$stand->lease_held_until($leader, $killed);
	$stand->{down}{$leader} = 1;
	ok_handed_over($leader, $term, $killed);
	return ("postmaster of leader $leader killed", $killed);
});

# ---- a member that is ahead ----

sub crc32c
{
	my ($bytes) = @_;
	my $crc = 0xFFFFFFFF;

	foreach my $byte (unpack('C*', $bytes))
	{
		$crc ^= $byte;
		$crc = $crc & 1 ? $crc >> 1 ^ 0x82F63B78 : $crc >> 1 for 1 .. 8;
	}
	return $crc ^ 0xFFFFFFFF;
}

# Write what a member of a stopped node saves when it stands in a later term, into
# the older of the two slots (doc/protocol.md).
sub save_candidacy
{
	my ($id, $term) = @_;

	open(my $file, '+<:raw', "$stand->{dir}/state/node-$id.state") or die $!;
	read($file, my $image, 8192) == 8192 or die 'a short state file';
	my @slots = map { substr($image, $_, 256) } 0, 4096;
	my @numbers = map { unpack('x24 Q>', $_) } @slots;
	my $newer = $numbers[1] > $numbers[0] ? 1 : 0;
	my $slot = $slots[$newer];

	substr($slot, 24, 8) = pack('Q>', $numbers[$newer] + 1);
	substr($slot, 40, 12) = pack('Q> N', $term, $id);
	substr($slot, 252, 4) = pack('N', crc32c(substr($slot, 0, 252)));
	seek($file, $newer ? 0 : 4096, 0);
	print $file $slot;
	close $file or die $!;
	my ($saved, $vote) = $stand->state($id);
	die "node $id: term $saved, vote $vote" if $saved != $term || $vote ne $id;
	return;
}

$stand->scenario('member_comes_back_ahead', sub {
	my ($leader, $term) = @_;
	my ($ahead) = $stand->others($leader);

	$stand->stop_and_record($ahead);
	save_candidacy($ahead, $term + 5);
	my $begun = Chaos::now();
	$stand->start_again($ahead);
	my ($new, $new_term) = $stand->wait_for_leader_above($term, @all);
	$stand->collect;
	is("$new $new_term", "$leader " . ($term + 6), 'the leader stays, one term above that of the member');
	my @led = grep { $_->{role} eq 'leader' && $_->{term} > $term } $stand->since($begun);
	is(scalar @led, 1, 'after one change of term');
	my @waited = grep { /^no (heartbeat|leader)/ } map { $_->{reason} } $stand->since($begun, $stand->others($ahead));
	is(join(', ', @waited), '', 'nobody waited for a timeout');
	my $gap = 1000 * ($led[0]{boot_time} - ($stand->lease_end($leader, $term) // 0));
	return ("$ahead back in term " . ($term + 5) . ", leader $leader", $begun, sprintf('%.1f', $gap));
});

# ---- all at once ----

# A worker that was told to end is started again a second later to the
# millisecond.  The leader is told last, so that nobody is left to hand over to.
foreach my $round (1 .. 3)
{
	$stand->scenario("started_in_the_same_instant, round $round", sub {
		my ($leader, $term) = @_;
		my $ended = Chaos::now();

		$stand->end_workers($stand->others($leader), $leader);
		my @started = sort { $a <=> $b } map { $stand->wait_for_start($_, $ended) } @all;
		$stand->ok_elects($term, $started[2], Scenario::ELECTED, @all);
		my $lost = grep { $_->{reason} =~ /^no majority/ } $stand->since($ended);

		diag(sprintf('started within %.0f ms of each other; %d candidacies were lost',
				1000 * ($started[-1] - $started[0]), $lost));
		return ('all workers ended', $started[2]);
	});
}

# All timers have run out before any member may run again, so that all of them
# stand; only what each draws by itself for the next time lets one be first.
$stand->scenario('started_in_the_same_instant, all stand', sub {
	my ($leader, $term) = @_;
	my $ended = Chaos::now();

	$stand->end_workers($stand->others($leader), $leader);
	$stand->wait_for_start($_, $ended) foreach @all;
	my @workers = map { $stand->worker($_) } @all;
	kill 'STOP', @workers;
	sleep(2 * Scenario::MAX);
	my $resumed = Chaos::now();
	kill 'CONT', @workers;
	$stand->ok_elects($term, $resumed, Scenario::RESIGNED_AND_ELECTED, @all);
	my @stood = grep { $_->{role} eq 'candidate' } $stand->since($resumed);
	my $last = Scenario::max(map { $_->{boot_time} } grep { $_->{role} eq 'leader' } $stand->since($resumed));

	diag(sprintf('%d candidacies in %.0f ms', scalar @stood, 1000 * ($last - $resumed)));
	return ('all workers ended, and paused', $resumed);
});

# A save that fails ends the worker, and nothing else.  Promises are made long
# enough for the lease to outlast the second until the next worker starts.
$stand->scenario('worker_restarts_alone', sub {
	my ($leader, $term) = @_;
	my $worker = $stand->worker($leader);

	$stand->lengthen_lease($leader, 3000);
	my $session = $stand->session($leader);
	my $begun = Chaos::now();
	$stand->limit_file_size($leader, $worker, 0);

	my ($asked, $last_true, $holds_until);
	my $ask = sub {
		$asked = Chaos::now();
		$session->tell('SELECT extract(epoch FROM remaining) FROM pg_leader_lease()');
		my $remaining = $session->hear // die 'the session has ended';
		($last_true, $holds_until) = ($asked, $asked + $remaining) if $remaining ne '';
	};

	# once before it has to save a longer promise, and then until it is back
	$ask->();
	$stand->value($leader, "ALTER SYSTEM SET pg_leader.min_timeout = '3100ms'");
	$stand->value($leader, 'SELECT pg_reload_conf()');
	while ($asked < $begun + 1.5)
	{
		$ask->();
		sleep(0.001);
	}
	$stand->wait_for_start($leader, $begun);
	$stand->lengthen_lease($leader, undef);
	$stand->collect($leader);

	my ($ended, $started) = grep { $_->{reason} =~ /^(the worker ended: |started$)/ } $stand->since($begun, $leader);
	like($ended->{reason}, qr/^the worker ended: an error/, 'the worker ended, and the session was not disturbed');
	ok(defined $started, 'it started again');
	cmp_ok($last_true, '<=', $ended->{boot_time}, 'nobody was told of a lease from then on');
	cmp_ok($holds_until, '>', $started->{boot_time}, 'though it would have outlasted the start of the next worker');
	return ("worker of leader $leader ended by itself", $ended->{boot_time});
});

$stand->finish;
