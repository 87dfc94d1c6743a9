# bench/BenchCluster.pm
#	  A cluster whose leader is made to fail again and again, while observe.c watches
#	  how long it takes until there is another one.
#
# Base of BenchServers.pm and BenchEtcd.pm, which know how to start, break and mend
# their members.  They provide:
#
#	  {name}, {n}, {heartbeat}, {calm}		calm: ms of rest before each trial
#	  faults()								the names of those that they can do
#	  prepare(FAULT, LEADER)				all that takes time; returns a function that
#											does it
#	  mend(FAULT, LEADER)					afterwards
#
# All times are seconds of the clock of the election, but for those of trial().

package BenchCluster;

use strict;
use warnings;

use IO::Handle;
use IPC::Open2;
use List::Util qw(max);
use Time::HiRes qw(clock_gettime sleep);

use constant CLOCK_BOOTTIME => 7;

# Nobody waits longer than this for anything, in seconds.
use constant PATIENCE => 60;

sub now { return clock_gettime(CLOCK_BOOTTIME); }

sub ids { my ($self) = @_; return 0 .. $self->{n} - 1; }

# ---- the observer ----

sub start_observer
{
	my ($self, @command) = @_;

	$self->{seen} = {};
	$self->{text} = '';
	$self->{observer} = open2($self->{answers}, $self->{commands}, @command);
	$self->{commands}->autoflush(1);
	$self->await('slow');
	return;
}

# The intervals that it reached: (how many, median, 99th percentile, longest), in ms.
sub end_observer
{
	my ($self) = @_;

	close $self->{commands};
	my $line = $self->await('intervals');
	waitpid(delete $self->{observer}, 0);
	return ($line->[1], map { $_ / 1e3 } @{$line}[ 2 .. 4 ]);
}

# The next line that it writes, as a reference to its fields; undef: none until then.
sub next_line
{
	my ($self, $until) = @_;
	my $end;

	while (($end = index($self->{text}, "\n")) < 0)
	{
		my $bits = '';
		my $left = $until - now();
		vec($bits, fileno($self->{answers}), 1) = 1;
		return if $left <= 0 || !select($bits, undef, undef, $left);
		sysread($self->{answers}, $self->{text}, 65536, length $self->{text})
		  or die "the observer has ended\n";
	}
	my $line = substr($self->{text}, 0, $end + 1, '');
	chomp $line;
	my @fields = map { $_ eq '-' ? undef : $_ } split /\t/, $line, -1;
	$self->take(@fields);
	return \@fields;
}

# What the nodes say, in {seen}: term, leader, has_lease, and of this term and leader
# when it was first seen (named_at) and when a lease was (leased_at).
sub take
{
	my ($self, $what, $id, @rest) = @_;

	if ($what eq 'state')
	{
		my (undef, $t1, $term, $leader, $has_lease, $held) = @rest;
		my $node = $self->{seen}{$id} //= { term => -1 };
		my $is_same = $node->{term} == $term && ($node->{leader} // '') eq ($leader // '');

		$node->{named_at} = $t1 / 1e6 unless $is_same;
		delete $node->{leased_at} unless $is_same;
		$node->{leased_at} //= $t1 / 1e6 if $has_lease;
		$self->{held}{$id} = $held / 1e6 if defined $held;
		@{$node}{qw(term leader has_lease)} = ($term, $leader, $has_lease);
	}
	elsif ($what eq 'gone')
	{
		delete $self->{seen}{$id};
		$self->{held}{$id} = $rest[1] / 1e6 if defined $rest[1];
	}
	return;
}

# Lines until one that begins with that word.
sub await
{
	my ($self, $word) = @_;
	my $end = now() + PATIENCE;

	while (my $line = $self->next_line($end))
	{
		return $line if $line->[0] eq $word;
	}
	die "the observer does not say \"$word\"\n";
}

sub tell_observer
{
	my ($self, $command) = @_;
	my ($word) = split ' ', $command;

	print { $self->{commands} } "$command\n";
	$self->await($word);
	return;
}

# (node, term) of the leader if all these name it in one term, and it has a lease.
sub leader_of
{
	my ($self, @ids) = @_;
	my @seen = map { $self->{seen}{$_} // return } @ids;
	my ($leader) = grep { $self->{seen}{$_}{has_lease} } @ids;

	return unless defined $leader && defined $seen[0]{leader};
	foreach my $node (@seen)
	{
		return if $node->{term} != $seen[0]{term} || ($node->{leader} // '') ne $seen[0]{leader};
	}
	return $self->{seen}{$leader}{leader} eq $seen[0]{leader} ? ($leader, $seen[0]{term}) : ();
}

sub describe
{
	my ($self) = @_;
	return join('; ', map {
		my $node = $self->{seen}{$_};
		"node $_ " . ($node
			? "in term $node->{term} names " . ($node->{leader} // 'nobody') . ($node->{has_lease} ? ', has a lease' : '')
			: 'is not there')
	} $self->ids);
}

# Until all name one leader and nothing has changed for as long as a trial must be
# apart from what was before: (node, term).
sub settle
{
	my ($self) = @_;
	my $end = now() + PATIENCE;
	my ($since, $of) = (0, '');
	my ($began, $first_term);

	while ((my $now = now()) < $end)
	{
		my ($leader, $term) = $self->leader_of($self->ids);
		my $view = defined $leader ? "$leader $term" : '';

		($since, $of) = ($now, $view) if $view ne $of;
		($began, $first_term) = ($now, $term) if $view ne '' && !defined $began;
		if ($view ne '' && $now >= $since + $self->{calm} / 1e3)
		{
			$self->add_rest($now - $began, $term - $first_term);
			return ($leader, $term);
		}
		$self->next_line($view ne '' ? $since + $self->{calm} / 1e3 : $end);
	}
	die "$self->{name}: no leader that all agree on within " . PATIENCE . ' s: ' . $self->describe . "\n";
}

# Time in which nothing was done to the cluster once all had named a leader, and by how
# much its term rose all the same.
sub add_rest
{
	my ($self, $seconds, $terms) = @_;

	$self->{watched} += $seconds;
	$self->{unwanted} += $terms;
	return;
}

# ---- a trial ----

# Who is asked who leads: a leader that only hands over is asked, too.
sub survivors
{
	my ($self, $fault, $leader) = @_;
	return grep { $fault eq 'transfer' || $_ != $leader } $self->ids;
}

# Look on at full rate for a while, so that the moment of the fault has nothing to do
# with what was before.  false: the leader has changed meanwhile.
sub wait_at_random
{
	my ($self, $leader, $term) = @_;
	my $began = now();
	my $end = $began + 0.02 + rand(max(0.02, 5 * $self->{heartbeat} / 1e3));

	while (now() < $end) { $self->next_line($end); }
	my ($still, $still_term) = $self->leader_of($self->ids);
	$self->add_rest($end - $began, defined $still_term ? $still_term - $term : 0);
	return defined $still && $still == $leader && $still_term == $term;
}

# Make the leader fail once, and wait for the next one.  Returns a row of the data
# file, see Bench.pm; undef: the cluster was not at rest, and nothing was done.
sub trial
{
	my ($self, $fault) = @_;
	my ($leader, $term) = @{ delete $self->{settled} // [ $self->settle ] };
	my $act = $self->prepare($fault, $leader);
	my (%row, $at);

	$self->tell_observer('fast');
	if ($self->wait_at_random($leader, $term))
	{
		delete $self->{held};
		$at = now();
		$act->();
		my $acted = now();
		%row = (system => $self->{name}, fault => $fault, old => $leader,
			action => 1e3 * ($acted - $at));
		$self->wait_for_next($fault, $leader, $term, $at, \%row);
		$self->add_steps($at, $leader, \%row);
	}
	$self->tell_observer('slow');
	if (!defined $at)
	{
		$self->cancel;
		return;
	}
	$self->mend($fault, $leader);
	$self->add_lease_gap($at, $term, \%row) if $self->{has_events};
	return \%row;
}

# Between the leases, as their holders know it: the old leader's journal tells it once
# that server is back.  Where it was killed, nobody knows when its lease ended.
sub add_lease_gap
{
	my ($self, $at, $old_term, $row) = @_;
	my ($end, $start);

	return if $row->{fault} !~ /^(?:graceful_stop|kill_postmaster|transfer)$/;
	$self->{settled} = [ $self->settle ];
	foreach my $event ($self->events_since($at - 60))
	{
		my (undef, $id, undef, $term, undef, undef, $lease_start, $lease_end) = @$event;

		$end = $lease_end / 1e6 if $id == $row->{old} && defined $lease_end && $lease_end / 1e6 >= $at - 1;
		$start //= $lease_start / 1e6 if $id == $row->{new} && defined $lease_start && $term > $old_term && !defined $lease_end;
	}
	$row->{lease_gap} = 1e3 * ($start - $end) if defined $start && defined $end;
	return;
}

# What the members say of themselves since then: the fields of each line.
sub events_since
{
	my ($self, $at) = @_;
	my $end = now() + PATIENCE;
	my ($line, @events);

	print { $self->{commands} } sprintf("events %d\n", 1e6 * $at);
	while (($line = $self->next_line($end)) && $line->[0] ne 'events')
	{
		push @events, $line if $line->[0] eq 'event';
	}
	die "the observer does not tell events\n" unless $line;
	return @events;
}

# What was prepared is not wanted after all.
sub cancel { return; }

sub wait_for_next
{
	my ($self, $fault, $old, $term, $at, $row) = @_;
	my @survivors = $self->survivors($fault, $old);
	my $end = now() + PATIENCE;
	my ($new, $new_term);

	while (!(($new, $new_term) = $self->leader_of(@survivors)) || $new_term <= $term)
	{
		$self->next_line($end)
		  // die "$self->{name}: no other leader within " . PATIENCE . " s after $fault: " . $self->describe . "\n";
	}

	# what the old leader's end of the line has to say may come a moment later
	my $soon = now() + 0.01;
	while ($self->next_line($soon)) { }
	$row->{new} = $new;
	$row->{terms} = $new_term - $term;
	$row->{failover} = 1e3 * (max(map { $self->{seen}{$_}{named_at} } @survivors) - $at);
	if ($self->{has_leases})
	{
		my $held = $self->{held}{$old} // $at;
		$row->{held} = 1e3 * ($held - $at);
		$row->{gap} = 1e3 * ($self->{seen}{$new}{leased_at} - $held);
	}
	return;
}

# What the members themselves say, if they can: first timeout, candidacy, victory.
sub add_steps
{
	my ($self, $at, $old, $row) = @_;

	return unless $self->{has_events};
	my (%first, %of_winner);
	foreach my $event ($self->events_since($at))
	{
		my (undef, $id, $time, undef, $role) = @$event;
		my $ms = 1e3 * ($time / 1e6 - $at);
		$first{$role} = $ms if !defined $first{$role} || $ms < $first{$role};
		$of_winner{$role} = $ms if $id == $row->{new};
	}
	@{$row}{qw(pre_vote candidate leader)} =
	  ($first{'pre-candidate'}, @of_winner{qw(candidate leader)});
	return;
}

1;
