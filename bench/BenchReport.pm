# bench/BenchReport.pm
#	  A run of trials, of one cluster or of several in turn, and what is printed of it.
#
# For bench/failover and bench/compare.

package BenchReport;

use strict;
use warnings;

use List::Util qw(max sum);

use Bench;
use BenchCluster;

# Trials that cannot begin because the cluster is not at rest are made up for, but not
# without end.
use constant RESTLESS_LIMIT => 50;

# options: of the command line; clusters: BenchCluster's, each with {heartbeat}, {min},
# {max}; dir: of all their files.
sub new
{
	my ($class, %self) = @_;
	my $self = bless { %self, rows => [], restless => {} }, $class;
	my $options = $self->{options};

	$self->{facts} = [
		[ program => "bench/$FindBin::Script" ],
		Bench::machine_facts($self->{dir}),
		[ fault => $options->{fault} ],
		[ nodes => $options->{nodes} ],
		(map { [ $_->{name} => $_->settings ] } @{ $self->{clusters} }),
		[ 'asked every' => "$options->{interval} us" ],
	];
	printf "%-12s %s\n", "$_->[0]:", $_->[1] foreach @{ $self->{facts} };
	return $self;
}

# ---- trials ----

sub start_jitter
{
	my ($self) = @_;
	my $pid = fork() // die "fork: $!";

	if ($pid == 0)
	{
		open(STDOUT, '>', "$self->{dir}/jitter.out") or POSIX::_exit(1);
		exec("$self->{dir}/bench/jitter", '--seconds', 1_000_000, '--directory', $self->{dir})
		  or POSIX::_exit(127);
	}
	$self->{jitter} = $pid;
	return;
}

sub end_jitter
{
	my ($self) = @_;
	my $pid = delete $self->{jitter} // return;

	kill 'TERM', $pid;
	waitpid($pid, 0);
	die "jitter has failed\n" if $?;
	open(my $file, '<', "$self->{dir}/jitter.out") or die $!;
	$self->{jitter_lines} = [<$file>];
	return;
}

# Each cluster has its turn in each round, and another one begins each time.
sub trials
{
	my ($self) = @_;
	my @clusters = @{ $self->{clusters} };
	my $options = $self->{options};

	$self->{file} = Bench::create_data($options->{output}, @{ $self->{facts} })
	  if defined $options->{output};
	$self->start_jitter if $options->{jitter};
	foreach my $trial (1 .. $options->{trials})
	{
		foreach my $cluster (@clusters)
		{
			my $row = $self->one_trial($cluster);

			$row->{trial} = $trial;
			push @{ $self->{rows} }, $row;
			print { $self->{file} } Bench::format_row($row) if $self->{file};
		}
		push @clusters, shift @clusters;
		print STDERR "\r$trial of $options->{trials}" if -t STDERR;
	}
	return;
}

# All trials, and what is to be said of them; of an interrupted run, too.  Returns the
# exit status.
sub run
{
	my ($self) = @_;
	my $error = '';

	eval
	{
		local @SIG{qw(INT TERM HUP)} = (sub { die "interrupted\n" }) x 3;
		$self->trials;
		1;
	} or $error = $@;
	print STDERR "\r" if -t STDERR;
	eval { $self->end_jitter; 1 } or $error ||= $@;
	foreach my $cluster (@{ $self->{clusters} })
	{
		eval { $cluster->{intervals} = [ $cluster->end_observer ]; 1 } or $error ||= $@;
	}
	$self->print_results if @{ $self->{rows} };
	print STDERR "$0: $error" if $error ne '';
	return $error eq '' ? 0 : 1;
}

sub one_trial
{
	my ($self, $cluster) = @_;

	while (sum(0, values %{ $self->{restless} }) < RESTLESS_LIMIT)
	{
		my $row = $cluster->trial($self->{options}{fault});

		return $row if $row;
		$self->{restless}{ $cluster->{name} }++;
	}
	die "the leader changes by itself all the time\nhint: the timeouts may be too short for this machine\n";
}

# ---- what is printed ----

sub values_of
{
	my ($self, $cluster, $column) = @_;
	return grep { defined } map { $_->{$column} }
	  grep { $_->{system} eq $cluster->{name} } @{ $self->{rows} };
}

sub print_definitions
{
	my ($self) = @_;
	my $asked = $self->{options}{fault} eq 'transfer' ? 'all members' : 'all survivors';

	print <<"TEXT";

failover: from the fault until $asked name the same new leader in a higher term
no lease: from the last sample in which the old leader held its lease, to the first in
          which the new one does; where the old one cannot be asked, from the fault on.
          Up to one sampling interval too long at each end
between the leases: from the end of the old leader's to the beginning of the new one's, by
          their own events (one clock for all: this machine's); less than 0 would be two
          at once
formula:  min + (max - min) / (survivors + 1) - heartbeat / 2, the mean until the first
          survivor's timer runs out; messages and saves come on top
TEXT
	return;
}

# A failure that nobody announces is noticed by a timer; for these there is a formula.
sub has_formula
{
	my ($self) = @_;
	return $self->{options}{fault} =~ /^(?:kill_all|isolate|sigstop)$/;
}

sub print_cluster
{
	my ($self, $cluster) = @_;
	my $failover = Bench::statistics($self->values_of($cluster, 'failover'));

	return if $failover->{n} == 0;
	my $split = grep { $_ > 1 } $self->values_of($cluster, 'terms');
	my @steps = ([ held => "to the old leader's last lease" ], [ pre_vote => 'to the first timeout' ], [ candidate => "to the winner's candidacy" ],
		[ leader => 'to its victory' ]);

	print "\n";
	Bench::print_heading(34);
	Bench::print_figures(34, "$cluster->{name}: failover", $failover);
	Bench::print_intervals(34, $self->values_of($cluster, 'failover'));
	Bench::print_figures(34, 'no lease', Bench::statistics($self->values_of($cluster, 'gap')))
	  if $cluster->{has_leases};
	if (my @between = $self->values_of($cluster, 'lease_gap'))
	{
		Bench::print_figures(34, 'between the leases', Bench::statistics(@between));
		Bench::print_intervals(34, @between);
	}
	foreach my $step (@steps)
	{
		my @values = $self->values_of($cluster, $step->[0]);
		Bench::print_figures(34, "  $step->[1]", Bench::statistics(@values)) if @values;
	}
	print "split elections (more than one term): $split of $failover->{n}\n";
	if ($self->has_formula)
	{
		my $formula = $cluster->formula;
		printf "formula: %.1f ms; mean / formula: %.3f (95 %% interval %.3f to %.3f)\n", $formula,
		  map { $_ / $formula } Bench::t_interval($self->values_of($cluster, 'failover'));
		$self->print_own_share($cluster);
	}
	printf "each node was sampled %s ms apart (median), %s ms (p99), %s ms (longest), %d times\n",
	  @{ $cluster->{intervals} }[ 1 .. 3, 0 ]
	  if $cluster->{intervals};
	return;
}

# What comes on top of the timers: from the first one that ran out to the new leader.
sub print_own_share
{
	my ($self, $cluster) = @_;
	my @rows = grep { $_->{system} eq $cluster->{name} && defined $_->{pre_vote} } @{ $self->{rows} };

	foreach my $of ([ 'one term' => grep { $_->{terms} == 1 } @rows ], [ 'more terms' => grep { $_->{terms} > 1 } @rows ])
	{
		my ($name, @of) = @$of;
		Bench::print_figures(34, "  from the first timeout, $name", Bench::statistics(map { $_->{failover} - $_->{pre_vote} } @of)) if @of;
	}
	return;
}

sub print_results
{
	my ($self) = @_;
	my @actions = map { $_->{action} } @{ $self->{rows} };

	$self->print_definitions;
	$self->print_cluster($_) foreach @{ $self->{clusters} };
	printf "the fault itself took %.2f ms on average, %.2f ms at most; it counts from its beginning\n",
	  sum(@actions) / @actions, max(@actions);
	$self->print_ratios(@{ $self->{clusters} }) if @{ $self->{clusters} } == 2;
	my @remarks = $self->remarks;
	print "\n", map { "$_\n" } @remarks;
	print { $self->{file} } map { "# $_\n" } @remarks if $self->{file};
	return;
}

# What else there is to know of the run, also in the data file.
sub remarks
{
	my ($self) = @_;
	my @remarks;

	foreach my $cluster (@{ $self->{clusters} })
	{
		my $calm = $cluster->{watched} // 0;

		push @remarks, sprintf('%s at rest: %.0f s between the trials, in which the term rose by %d that nobody had asked for; %d trials put off for that',
			$cluster->{name}, $calm, $cluster->{unwanted} // 0, $self->{restless}{ $cluster->{name} } // 0);
	}
	push @remarks, map { s/\s+/ /gr =~ s/^ | $//gr =~ s/^/the machine meanwhile: /r } @{ $self->{jitter_lines} // [] };
	return @remarks;
}

# How many times as long the second takes.
sub print_ratios
{
	my ($self, @clusters) = @_;
	my ($one, $other) = map { Bench::statistics($self->values_of($_, 'failover')) } @clusters;

	return unless $one->{n} > 0 && $other->{n} > 0;
	printf "\n%-40s" . ' %9s' x @Bench::FIGURES . "\n", 'ratio', @Bench::FIGURES;
	printf "%-40s" . ' %9.2f' x @Bench::FIGURES . "\n", "$clusters[1]{name} / $clusters[0]{name}: failover",
	  map { $other->{$_} / $one->{$_} } @Bench::FIGURES;
	my $intervals = Bench::ratio_intervals(map { [ $self->values_of($_, 'failover') ] } @clusters);
	printf "%-40s %s\n", '  95 % intervals', join(', ', map { sprintf('%s %.2f to %.2f', $_, @{ $intervals->{$_} }) } qw(mean median p95));
	return;
}

1;
