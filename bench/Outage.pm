# bench/Outage.pm
#	  What clients see of a cluster whose primary fails again and again: how long nobody commits,
#	  what is lost, and whether two servers ever answer commits at once.
#
# For bench/compare --until writable.  The cluster is one of BenchManaged.pm or of those made from
# it, on a stand.  One client names all servers and commits as fast as it can.  On each server a
# further one, which has a session there whatever that server is, tries to every PERIOD.  All of
# them are bench/writer, beside the nodes on the bridge, and reach every node whatever is cut.

package Outage;

use strict;
use warnings;

use BenchManaged;
use Chaos;
use List::Util qw(max min);
use Time::HiRes qw(sleep time);

# s that a system may take until another server takes commits, or until all is well again.
use constant PATIENCE => 180;

# us between two attempts of a session on one server; numbers of one client.
use constant { PERIOD => 10_000, BLOCK => 1_000_000_000_000 };

# What is done to the primary, and what undoes it.
my %faults = (
	kill => [ sub { $_[0]->kill_machine($_[1]) }, sub { $_[0]->start($_[1]) } ],
	isolate => [ sub { $_[0]{stand}->ctl("isolate $_[1]") }, sub { $_[0]{stand}->ctl('brainjoin') } ],
	freeze => [ sub { $_[0]->freeze_machine($_[1]) }, sub { $_[0]->thaw_machine($_[1]) } ],
	switchover => [ \&switch_over, sub { } ]);

our @FAULTS = qw(kill isolate freeze switchover);

# ---- of answers ----
# Each is [when it came, server, number, when the transaction was begun, timeline], times in s.

# The longest time without one, ms.
sub longest_gap
{
	my @times = sort { $a <=> $b } map { $_->[0] } @_;

	return 1000 * max(0, map { $times[$_] - $times[ $_ - 1 ] } 1 .. $#times);
}

# For how long, in ms, a server still answered what was begun on it after another one, on a later
# timeline, had answered already.  At least: an answer that came late may have been given in time.
# Where two servers are on one timeline, the later one is the one that began later to answer.
sub overlap
{
	my %reigns;
	my $longest = 0;

	foreach my $answer (@_)
	{
		my ($came, $server, undef, $begun, $timeline) = @$answer;
		my $reign = $reigns{"$timeline $server"} //= { server => $server, timeline => hex $timeline, first => $came, last => $begun };

		$reign->{first} = min($reign->{first}, $came);
		$reign->{last} = max($reign->{last}, $begun);
	}
	my @reigns = sort { $a->{timeline} <=> $b->{timeline} || $a->{first} <=> $b->{first} } values %reigns;
	foreach my $n (1 .. $#reigns)
	{
		$longest = max($longest, map { $_->{last} - $reigns[$n]{first} } grep { $_->{server} != $reigns[$n]{server} } @reigns[ 0 .. $n - 1 ]);
	}
	return 1000 * $longest;
}

# ---- clients ----

# Of a cluster that runs, with these programs of bench/.
sub new
{
	my ($class, $cluster, $bin) = @_;
	my $self = bless { cluster => $cluster, pids => [], rows => [] }, $class;
	my @ids = $cluster->ids;
	my $common = 'user=client dbname=postgres connect_timeout=2';
	my $all = 'host=' . join(',', map { $cluster->address($_) } @ids) . ' port=' . join(',', map { $cluster->{tcp} + $_ } @ids);

	$self->add_client($bin, "$all $common target_session_attrs=read-write", 0);
	$self->add_client($bin, 'host=' . $cluster->address($_) . " port=@{[ $cluster->{tcp} + $_ ]} $common options='-c default_transaction_read_only=off'", PERIOD)
	  foreach @ids;
	return $self;
}

sub add_client
{
	my ($self, $bin, $conninfo, $pause) = @_;
	my $number = @{ $self->{pids} };

	push @{ $self->{pids} }, $self->{cluster}->spawn("$self->{cluster}{dir}/ledger$number", "$bin/writer", $conninfo, $pause || 500, $pause, 1 + $number * BLOCK);
	return;
}

sub stop
{
	my ($self) = @_;
	my @pids = splice @{ $self->{pids} };

	kill 'TERM', @pids;
	waitpid($_, 0) foreach @pids;
	return;
}

# What that client was told since then.
sub told
{
	my ($self, $client, $since) = @_;
	my @told;

	open(my $file, '<', "$self->{cluster}{dir}/ledger$client") or return;
	seek $file, $self->{read}{$client} // 0, 0;
	while (my $line = <$file>)
	{
		# not libpq's warnings, and not half a line
		push @told, [ $2 / 1e6, $3 - $self->{cluster}{tcp}, $1, $4 / 1e6, $5 ] if $line =~ /^(\d+) (\d+) (\d+) (\d+) ([0-9A-F]{8})\n/ && $2 / 1e6 >= $since;
	}
	return @told;
}

# What comes later is read from here on.
sub skip
{
	my ($self) = @_;

	$self->{read}{$_} = -s "$self->{cluster}{dir}/ledger$_" foreach 0 .. $self->{cluster}{n};
	return;
}

# ---- rounds ----

# What was asked for may end the session that asked.
sub switch_over
{
	my ($cluster, $primary) = @_;

	eval { $cluster->switch_over($primary); 1 } or warn $@ =~ s/\n.*//sr . "\n";
	return;
}

sub wait_until
{
	my ($self, $what, $condition) = @_;

	Chaos::eventually(PATIENCE, sub { my $value = $condition->(); sleep(0.1) unless $value; return $value; })
	  or die "$what within @{[ PATIENCE ]} s\n" . $self->{cluster}->describe;
	return;
}

# The primary, once all the others stream from it and the client commits there.
sub wait_until_calm
{
	my ($self) = @_;
	my $primary;

	$self->wait_until('not all servers stream again', sub { defined($primary = $self->{cluster}->settled_primary) });
	my $since = time;
	$self->wait_until('the client does not commit', sub { grep { $_->[1] == $primary } $self->told(0, $since) });
	return $primary;
}

# One fault, from calm to calm.  The client's answers that come from another server end it; a
# second later it is undone.
sub round
{
	my ($self, $fault) = @_;
	my ($break, $mend) = @{ $faults{$fault} };
	my $cluster = $self->{cluster};

	$self->skip;
	my $primary = $self->wait_until_calm;
	my $began = time;
	sleep(1 + rand(1));
	my $at = time;
	$break->($cluster, $primary);
	$self->wait_until("after $fault, no other server takes commits", sub { grep { $_->[1] != $primary } $self->told(0, $at) });
	sleep(1);
	my $mended = time;
	$mend->($cluster, $primary);
	$self->wait_until_calm;
	my $back = time - $mended;
	sleep(1);

	my @all = map { $self->told($_, $began) } 0 .. $cluster->{n};
	return {
		fault => $fault,
		client => sprintf('%.0f', longest_gap($self->told(0, $began))),
		sessions => sprintf('%.0f', longest_gap(@all)),
		overlap => sprintf('%.1f', overlap(@all)),
		back => sprintf('%.1f', $back),
		acknowledged => scalar @all,
		told => [ map { $_->[2] } @all ],
		load => (split ' ', Chaos::slurp('/proc/loadavg'))[0],
	};
}

# How many of the numbers that clients were told of in each round are not there.
sub mark_lost
{
	my ($there, @rows) = @_;
	my %is_there = map { $_ => 1 } @$there;

	$_->{lost} = grep { !$is_there{$_} } @{ $_->{told} } foreach @rows;
	return;
}

# The same by what the last primary has: the server that the client was told of a commit by last.
sub count_lost
{
	my ($self, @rows) = @_;
	my $last = ($self->told(0, 0))[-1] // die "no server takes commits\n";

	$self->stop;
	# where a round has failed, it may be frozen
	$self->{cluster}->thaw_machine($last->[1]);
	mark_lost([ split /\n/, $self->{cluster}->query($last->[1], 'SELECT n FROM told') // die "node $last->[1] does not answer\n" ], @rows);
	return;
}

sub DESTROY
{
	my ($self) = @_;

	local ($?, $!);
	$self->stop if $self->{cluster}{owner} == $$;
	return;
}

1;
