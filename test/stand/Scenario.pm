# test/stand/Scenario.pm
#	  What the scenarios on the stand share: one cluster through a file, the record
#	  of everything that its nodes have said, and the check of that record, for the
#	  most part by check_history.
#
# For partitions.pl, splits.pl and scenarios_*.pl; test_scenario_check.pl tests the
# check by itself.
#
# The check allows no slack in time: all servers and the test read one clock.

package Scenario;

use strict;
use warnings;

use File::Temp ();
use FindBin;
use lib $FindBin::RealBin;

use IO::Handle;
use IPC::Open2;
use List::Util qw(max);
use Stand;
use Test::More;
use Time::HiRes qw(sleep);

our @ISA = ('Stand');

use constant {
	MAX => Stand::MAX_TIMEOUT / 1000,
	PROMISE => Stand::MIN_TIMEOUT / 1000,

	# How long a lease can outlive the sending of the heartbeat that it rests on.
	LEASE => Stand::MIN_TIMEOUT / 1000 * 0.9 / 1.1 - 0.001,

	# A majority that is rid of its leader has another one within this, in s.
	ELECTED => 3 * Stand::MAX_TIMEOUT / 1000,

	# The same where the old leader goes on being heard until it gives up.
	RESIGNED_AND_ELECTED => 5 * Stand::MAX_TIMEOUT / 1000,

	# So long is watched whether a leader stays.
	WATCHED => 3 * Stand::MAX_TIMEOUT / 1000,
};

# ---- the check, which knows nothing of servers ----

# A record is a reference to a hash: node -> list of its lives, each a hash with
# {boot}, {events}: as of Stand::events, {until}: when a lease that its events do not
# end was last known to hold, undef: it was not, {forgot}: it began without the node's
# state file, so its terms are no later ones, {goes_on}: the node has been asked
# late enough for a lease that does not hold to be over in its events.  Returns
# what is wrong, in words: check_history's, and of what it does not look at.
sub problems_of
{
	my ($record) = @_;
	my $file = File::Temp->new;

	print $file "pg_leader history 1\n", map { my $id = $_; map { history_of($id, $_) } @{ $record->{$id} } } sort keys %$record;
	close $file;
	my @said = `'$^X' '$FindBin::RealBin/check_history' '$file' 2>&1`;
	die "check_history: @said" if $? >> 8 > 1;

	# a record has few samples, and that is no fault of it
	return ((map { /^violation: (?!too-little:)(.*)/ ? $1 : () } @said), leases_without_end($record), leases_of_old_terms($record));
}

# A life in the words of a history.  A lease that was known to hold is a sample.
sub history_of
{
	my ($id, $life) = @_;
	my $us = sub { return defined $_[0] ? sprintf('%.0f', 1e6 * $_[0]) : '-' };
	my @lines = map { [ 'event', $id, $life->{boot}, $_->{number}, $us->($_->{boot_time}), $_->{term}, $_->{role},
			$_->{leader_id} // '-', $us->($_->{lease_start}), $us->($_->{lease_end}), $_->{reason} ] } @{ $life->{events} };
	my ($held) = reverse grep { !$_->{over} } leases_of({ $id => [$life] });

	unshift @lines, [ 'fault', $lines[0][4] - 1, "wipe $id" ] if $life->{forgot};
	push @lines, [ 'sample', $id, ($us->($life->{until})) x 2, ($life->{boot}) x 2, 'leader', $held->{term}, $id, 't', '-', '-', 't' ]
	  if $held && defined $life->{until};
	return map { join("\t", @$_) . "\n" } @lines;
}

# Such a lease would count as one of no length, which overlaps with nothing.
sub leases_without_end
{
	my ($record) = @_;
	my @bad;

	foreach my $id (sort keys %$record)
	{
		foreach my $life (@{ $record->{$id} })
		{
			my @leases = leases_of({ $id => [$life] });
			my $last = pop @leases // next;
			push @leases, $last if $life->{goes_on} && !defined $life->{until};
			push @bad, map { sprintf('node %s holds its lease of term %d from %.6f no more, and its end is not on record',
					$id, $_->{term}, $_->{start}) } grep { !$_->{over} } @leases;
		}
	}
	return @bad;
}

# All leases of a record, by their start: {node, term, start, end, over}; end is
# undef for one that is not known to have held for any time, over that it is not.
sub leases_of
{
	my ($record) = @_;
	my @leases;

	foreach my $id (keys %$record)
	{
		foreach my $life (@{ $record->{$id} })
		{
			my %of;
			foreach my $event (grep { defined $_->{lease_start} } @{ $life->{events} })
			{
				my $lease = $of{ $event->{lease_start} } //=
				  { node => $id, term => $event->{term}, start => $event->{lease_start} };
				$lease->{end} = $event->{lease_end} // $lease->{end};
				$lease->{over} = defined $event->{lease_end};
			}
			$_->{end} //= $life->{until} foreach values %of;
			push @leases, values %of;
		}
	}
	return sort { $a->{start} <=> $b->{start} } @leases;
}

# A later one is of a higher term.
sub leases_of_old_terms
{
	my ($record) = @_;
	my @leases = leases_of($record);

	return map { "node $leases[$_]{node} holds a lease of term $leases[$_]{term} after one of $leases[ $_ - 1 ]{term}" }
	  grep { $leases[$_]{term} <= $leases[ $_ - 1 ]{term} } 1 .. $#leases;
}

# ---- a cluster, and all that its nodes have said ----

sub new
{
	my ($class, %options) = @_;
	my $missing = Stand::missing();

	plan(skip_all => $missing) if defined $missing;
	my $self = Stand::new($class, %options);
	$self->{record} = { map { $_ => [] } $self->ids };
	$self->{down} = {};
	$self->{paused} = {};
	$self->{rows} = [];
	$self->{user} = getpwnam($ENV{PGLD_USER} // 'postgres') // die 'no user postgres';
	$self->launch(1, $self->ids);
	$self->settled($self->ids);
	return $self;
}

# Several commands of ctl.sh one after the other; returns as ctl does.
sub ctl_each
{
	my ($self, @commands) = @_;
	my $before = Chaos::now();

	$self->run('ctl.sh', '--config', $self->{config}, map { ('-c', $_) } @commands);
	return ($before, Chaos::now());
}

# Those that can be asked.
sub running
{
	my ($self) = @_;
	return grep { !$self->{down}{$_} && !$self->{paused}{$_} } $self->ids;
}

# All but these.
sub others
{
	my ($self, @ids) = @_;
	my %is_one = map { $_ => 1 } @ids;
	return grep { !$is_one{$_} } $self->ids;
}

# Put what nodes say on record.  Events of another boot of the member are of another
# life.  They outlive it: what nobody had seen of one when it was killed comes with
# the next.
sub collect
{
	my ($self, @ids) = @_;

	foreach my $id (@ids ? @ids : $self->running)
	{
		my @events = $self->events($id);

		# What is not over in the events and held now, held all the time since.
		my $asked = Chaos::now();
		my ($boot, $holds) =
		  split /,/, $self->value($id, "SELECT concat(boot, ',', is_leader) FROM pg_leader_status");
		my $lives = $self->{record}{$id};

		# A life that was seen at rest may have gone on, or not.
		delete $lives->[-1]{goes_on} if @$lives;
		foreach my $event (@events)
		{
			push @$lives, { boot => $event->{boot}, forgot => delete $self->{forgot}{$id}, events => [] }
			  if !@$lives || $event->{boot} > $lives->[-1]{boot};
			my ($life) = grep { $_->{boot} == $event->{boot} } @$lives;
			push @{ $life->{events} }, $event
			  if !@{ $life->{events} } || $event->{number} > $life->{events}[-1]{number};
		}

		# Of a life that is over, somebody else knows until when its lease held.
		$lives->[-1]{until} = $holds eq 't' ? $asked : undef
		  if ($boot // '') ne '' && $boot == $lives->[-1]{boot};
	}
	return;
}

# The same of nodes that are at rest: what holds no lease has an end of its last one
# on record, or gets it within the time after which a leader without one gives up.
sub collect_at_rest
{
	my ($self, @ids) = @_;

	foreach my $id (@ids)
	{
		my $end = Chaos::now() + RESIGNED_AND_ELECTED;
		my $life;
		while (1)
		{
			$self->collect($id);
			$life = $self->{record}{$id}[-1];
			my ($last) = reverse leases_of({ $id => [$life] });
			last if !defined $last || $last->{over} || defined $life->{until} || Chaos::now() > $end;
			sleep(0.01);
		}
		$life->{goes_on} = 1;
	}
	return;
}

# A leader's lease that ended with its server held until then.
sub lease_held_until
{
	my ($self, $id, $time) = @_;
	my $life = $self->{record}{$id}[-1];

	$life->{until} = $time if defined $life->{until};
	return;
}

# SIGKILL for nodes, with what they have said on record.  Returns when.
sub kill_and_record
{
	my ($self, @ids) = @_;

	$self->collect(@ids);
	my $at = $self->kill_nodes(@ids);
	$self->lease_held_until($_, $at) foreach @ids;
	$self->{down}{$_} = 1 foreach @ids;
	return $at;
}

sub stop_and_record
{
	my ($self, @ids) = @_;

	$self->collect(@ids);
	$self->{down}{$_} = 1 foreach @ids;
	return $self->ctl('stop', @ids);
}

# Take a stopped node's state file away.
sub wipe
{
	my ($self, $id) = @_;

	unlink("$self->{dir}/state/node-$id.state") or die "node $id: no state file: $!";
	$self->{forgot}{$id} = 1;
	return;
}

sub start_again
{
	my ($self, @ids) = @_;

	$self->ctl('start', @ids);
	delete $self->{down}{$_} foreach @ids;
	return;
}

# Events on record after a moment, of these nodes or all, oldest first; {node}
# says whose.
sub since
{
	my ($self, $time, @ids) = @_;
	my @found;

	foreach my $id (@ids ? @ids : $self->ids)
	{
		push @found, map { { %$_, node => $id } }
		  grep { $_->{boot_time} > $time } map { @{ $_->{events} } } @{ $self->{record}{$id} };
	}
	return sort { $a->{boot_time} <=> $b->{boot_time} } @found;
}

# The first that became leader above a term: its event, or undef.
sub first_above
{
	my ($self, $term) = @_;
	my ($event) = grep { $_->{role} eq 'leader' && $_->{term} > $term } $self->since(0);
	return $event;
}

# When a node's lease of a term ended, undef: it has not, or there was none.
sub lease_end
{
	my ($self, $id, $term) = @_;
	my ($lease) = grep { $_->{node} == $id && $_->{term} == $term } leases_of($self->{record});

	return defined $lease && $lease->{over} ? $lease->{end} : undef;
}

# ---- asking ----

sub value
{
	my ($self, $id, $sql) = @_;
	my $rows = $self->query($id, $sql) // die "node $id does not answer";
	return $rows->[0][0] // '';
}

# A session that is there before it is needed.
sub session
{
	my ($self, $id) = @_;
	my @command = ("$self->{bin}/psql", '-h', "$self->{dir}/sockets", '-p', $self->{tcp} + $id,
		'-U', 'postgres', '-d', 'postgres', '-XAtq', '-F', "\t");
	my $pid = open2(my $out, my $in, 'setpriv', "--reuid=$self->{user}", '--clear-groups', '--',
		'sh', '-c', 'exec "$@" 2>&1', 'sh', @command);
	my $session = bless { in => $in, out => $out, pid => $pid }, 'Scenario::Session';

	$session->tell('SELECT 1');
	return defined $session->hear ? $session : undef;
}

# As Chaos.pm's, over a session to each node that is kept: many questions are
# asked.  undef: no answer.
sub query
{
	my ($self, $id, $sql) = @_;
	my $kept = $self->{asked}{$id};

	for my $session ($kept, undef)
	{
		my $asked = $session // $self->session($id) // next;

		$self->{asked}{$id} = $asked;
		$asked->tell($sql);
		my $text = $asked->hear;
		if (!defined $text)
		{
			# its server has ended since
			delete $self->{asked}{$id};
			next;
		}
		return undef if $asked->{failed};
		return [ map { [ split /\t/, $_, -1 ] } split /\n/, $text ];
	}
	return undef;
}

# Change a leader's timeouts, and with them the promises that it asks for, until
# its lease shows it; without a time: as they were.
sub lengthen_lease
{
	my ($self, $id, $ms) = @_;
	my %setting = ('pg_leader.max_timeout' => 2 * ($ms // 0), 'pg_leader.min_timeout' => $ms // 0);

	foreach my $name (sort keys %setting)
	{
		$self->value($id, defined $ms
			? "ALTER SYSTEM SET $name = '$setting{$name}ms'" : "ALTER SYSTEM RESET $name");
	}
	$self->value($id, 'SELECT pg_reload_conf()');
	return unless defined $ms;
	$self->wait_for_value($id,
		'SELECT lease_remaining > min_timeout / 2 AND min_timeout = '
		  . "'${ms}ms' FROM pg_leader_status", 't');
	return;
}

# From now on a process of a node's cannot write to files beyond that size.  As
# the server's user, for root may lack the right to do that to others.
sub limit_file_size
{
	my ($self, $id, $pid, $bytes) = @_;
	my ($uid, $gid) = Chaos::owner();
	my @command = ('setpriv', "--reuid=$uid", "--regid=$gid", '--clear-groups', '--',
		'prlimit', '--pid', $pid, "--fsize=$bytes");

	$self->expect_end('save', $id, $pid);
	system(@command) == 0 or die "@command: exit status " . ($? >> 8);
	return;
}

# SIGTERM for workers, one after the other: their servers start them again.
sub end_workers
{
	my ($self, @ids) = @_;
	my @workers = map { $self->worker($_) } @ids;

	$self->expect_end('TERM', $ids[$_], $workers[$_]) foreach 0 .. $#ids;
	kill 'TERM', $_ foreach @workers;
	return;
}

# SIGKILL for a worker makes its server start all its processes anew: a new life.
# Returns when it was sent.
sub kill_workers
{
	my ($self, @ids) = @_;
	my @workers = map { $self->worker($_) } @ids;

	$self->collect(@ids);
	$self->expect_end('KILL', $ids[$_], $workers[$_]) foreach 0 .. $#ids;
	my $at = Chaos::now();
	kill 'KILL', @workers;
	$self->lease_held_until($_, $at) foreach @ids;
	return $at;
}

# Until a node says that it is in a life that began after a moment.
sub wait_for_start
{
	my ($self, $id, $time) = @_;
	return Chaos::eventually(20, sub {
			my $rows = $self->query($id, "SELECT max(boot_time) FROM pg_leader_events WHERE reason = 'started'") // return;
			my $began = ($rows->[0][0] || 0) / 1e6;
			return $began > $time ? $began : undef;
		}) // die "node $id did not start within 20 s";
}

# Until a query of one value gives it.
sub wait_for_value
{
	my ($self, $id, $sql, $wanted) = @_;
	my $value;

	Chaos::eventually(20, sub {
			my $rows = $self->query($id, $sql);
			$value = defined $rows ? $rows->[0][0] // '' : 'no answer';
			return $value eq $wanted;
		}) or die "node $id: $sql: is $value, not $wanted, after 20 s";
	return;
}

sub sleep_until
{
	my ($time) = @_;
	sleep(max(0, $time - Chaos::now()));
	return;
}

# Hand over to that node, if it does not lead; returns the term.
sub let_lead
{
	my ($self, $id) = @_;
	my ($leader, $term) = $self->settled;

	return $term if $leader == $id;
	$self->value($leader, "SELECT pg_leader_transfer($id)");
	($leader, $term) = $self->settled;
	die "node $leader leads instead of $id" if $leader != $id;
	return $term;
}

# ---- a scenario ----

# A test of that name: from a settled cluster with all links to a settled cluster
# with all links, and then the check of all that was said since the beginning;
# what an earlier scenario was blamed for is not told again.
# The code gets leader and term, and returns what it cut and when that was done,
# or, as the third, what to write for the time to the new leader.
sub scenario
{
	my ($self, $name, $code) = @_;
	my ($cut, $done, $shown, $from);

	my $passed = subtest $name => sub {
		my $leader;
		($leader, $from) = $self->settled;
		$self->collect;
		$self->{healed} = 0;
		my $ok = eval { ($cut, $done, $shown) = $code->($leader, $from); 1 };
		if (!$ok)
		{
			fail('the scenario was gone through');
			diag($@);
			$self->ctl_each('resume', 'start');
			$self->{down} = {};
			$self->{paused} = {};
		}
		$self->heal unless $self->{healed};
		my @new = grep { !$self->{told}{$_}++ } problems_of($self->{record});
		is(join("\n", @new), '',
			'one lease at a time, one leader in a term, no term falls');
	};
	my $new = defined $from ? $self->first_above($from) : undef;
	push @{ $self->{rows} }, [ $name, $cut // '?',
		$shown // (!defined $new || !defined $done ? 'stays' : sprintf('%.0f', 1000 * ($new->{boot_time} - $done))),
		$passed ? 'ok' : 'NOT OK' ];
	return;
}

sub heal
{
	my ($self) = @_;
	my @down = sort keys %{ $self->{down} };

	$self->ctl('brainjoin');
	$self->start_again(@down) if @down;
	$self->settled;
	$self->collect_at_rest($self->ids);
	$self->{healed} = 1;
	return;
}

# The table, with the time from the end of the cut to the new leader, and the end
# of the test.
sub finish
{
	my ($self) = @_;
	my @rows = ([ 'scenario', 'what was cut or done', 'ms', 'result' ], @{ $self->{rows} });
	my @width = map { my $column = $_; max(map { length $_->[$column] } @rows) } 0 .. 2;

	diag(sprintf("%-$width[0]s  %-$width[1]s  %$width[2]s  %s", @$_)) foreach @rows;
	is(join("\n", $self->unexpected_ends), '', 'no process of any server ended but by what was done to it');
	done_testing();
	return;
}

# ---- what most of them expect ----

# The leader has led on, alone, in its term, with one lease, since that moment (B).
sub ok_stays
{
	my ($self, $leader, $term, $since) = @_;

	$self->collect;
	my @leads = map { "node $_->{node} in term $_->{term}" }
	  grep { $_->{role} eq 'leader' || $_->{term} > $term } $self->since($since);
	is(join(', ', @leads), '', 'nobody became leader, and no term began');
	my @leases = grep { $_->{node} == $leader && $_->{term} == $term } leases_of($self->{record});
	is(scalar(grep { !$_->{over} } @leases) . ' of ' . scalar @leases, '1 of 1',
		"node $leader has one lease of term $term, which has not ended");
	is($self->value($leader, "SELECT role || ' ' || term || ' ' || is_leader FROM pg_leader_status"),
		"leader $term true", "node $leader leads on in term $term");
	return;
}

# One of these has become leader above the term within so many seconds of a cut
# that was done at that moment (L).  Waits for them to agree; returns its event.
sub ok_elects
{
	my ($self, $term, $done, $within, @ids) = @_;

	$self->wait_for_leader_above($term, @ids);
	$self->collect;
	my $event = $self->first_above($term);

	ok(scalar(grep { $_ == $event->{node} } @ids), "the new leader, node $event->{node}, is one of @ids");
	cmp_ok($event->{boot_time} - $done, '<=', $within, "it leads within $within s");
	return $event;
}

# The lease that a node had in a term when it was cut off was over in time (X).
# What its events say of it is complete when check quorum has had its say.
sub ok_lease_ran_out
{
	my ($self, $id, $term, $done) = @_;

	sleep_until($done + 2 * MAX);
	$self->collect($id);
	my $end = $self->lease_end($id, $term);
	ok(defined $end, "the lease of node $id in term $term is over") || return;
	cmp_ok($end, '<=', $done + LEASE, 'no later than a lease after the cut');
	return;
}

sub DESTROY
{
	my ($self) = @_;

	return unless $self->{owner} == $$;
	local ($?, $@);
	delete $self->{asked};
	$self->SUPER::DESTROY;
	return;
}

# ---- a session with a server ----

package Scenario::Session;

# What is told before the server can read it waits for it.
sub tell
{
	my ($session, $sql) = @_;
	local $SIG{PIPE} = 'IGNORE';

	print { $session->{in} } "$sql;\n\\echo END :ERROR\n";
	$session->{in}->flush;
	return;
}

# The answer, errors included, which set {failed}; undef: the session has ended.
sub hear
{
	my ($session) = @_;
	my $text = '';

	while (defined(my $line = readline $session->{out}))
	{
		if ($line =~ /^END (true|false)$/)
		{
			chomp $text;
			$session->{failed} = $1 eq 'true';
			return $text;
		}
		$text .= $line;
	}
	return undef;
}

sub DESTROY
{
	my ($session) = @_;

	local ($?, $SIG{PIPE}) = ($?, 'IGNORE');
	close $session->{in};
	close $session->{out};
	waitpid($session->{pid}, 0);
	return;
}

1;
