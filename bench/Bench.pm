# bench/Bench.pm
#	  What bench/failover, bench/compare and bench/plot share: figures, the
#	  formula, and the files with one line for each trial.  Percentiles are
#	  Measure.pm's as well.
#
# Knows nothing of servers; those are BenchCluster.pm's.

package Bench;

use strict;
use warnings;

use Cwd qw(realpath);
use File::Basename qw(dirname);
use List::Util qw(max min sum);
use POSIX qw(ceil floor setpgid strftime);

our $top = realpath(dirname(__FILE__) . '/..');

# Columns of a data file; times in ms after the fault, "-" where there is none.
our @COLUMNS = qw(system trial fault old new terms failover gap held lease_gap pre_vote candidate leader action);

# Perl's own exit status after "die" may be anything; 1 is what ours promise.
END { $? = 1 if $? > 2 && $? < 128 || $? == 255; }

# ---- the command line ----

# Prints what the calling program says of itself in $main::usage, and exits.
sub usage
{
	my ($status) = @_;

	print { $status == 0 ? \*STDOUT : \*STDERR } $main::usage;
	exit $status;
}

sub usage_error
{
	my ($what, $hint) = @_;
	print STDERR "$0: $what\n", defined $hint ? "hint: $hint\n" : '';
	exit 2;
}

# Settings that cannot work are told before anything is launched; the ranges are those
# of the server's settings.
sub check_numbers
{
	my ($options, %ranges) = @_;

	foreach my $name (sort keys %ranges)
	{
		my ($least, $most) = @{ $ranges{$name} };
		my $value = $options->{$name} // next;
		usage_error("--$name is a whole number from $least to $most, not \"$value\"")
		  if $value !~ /^\d{1,9}$/ || $value < $least || $value > $most;
	}
	return;
}

sub check_timeouts
{
	my ($options) = @_;
	usage_error("--min ($options->{min} ms) must be less than --max ($options->{max} ms)")
	  if $options->{min} >= $options->{max};
	usage_error("--heartbeat ($options->{heartbeat} ms) must be at most half of --min ($options->{min} ms)")
	  if 2 * $options->{heartbeat} > $options->{min};
	return;
}

# Where the data are to go, if anywhere: told before anything is launched, too.
sub check_output
{
	my ($options) = @_;
	my $path = $options->{output} // return;

	usage_error("$path exists already") if -e $path;
	usage_error('there is no directory "' . dirname($path) . '"') if !-d dirname($path);
	return;
}

# Run this program again in a network of its own, where nothing of it outlives it.
# This process stays and passes signals on: private_network ends with whoever has
# started it, and a shell that started a long run may leave.
sub go_private
{
	my (@arguments) = @_;

	return if delete $ENV{PGLD_BENCH_PRIVATE};
	die "$0: network namespaces need root\nhint: run it with sudo\n" if $> != 0;
	my $pid = fork() // die "$0: fork: $!\n";
	if ($pid == 0)
	{
		# A group of its own: a Ctrl-C comes from this process, once.
		setpgid(0, 0);
		$ENV{PGLD_BENCH_PRIVATE} = 'yes';
		exec("$top/test/stand/private_network", $^X, realpath($0), @arguments)
		  or POSIX::_exit(127);
	}
	foreach my $name (qw(INT TERM HUP))
	{
		next if ($SIG{$name} // '') eq 'IGNORE';
		$SIG{$name} = sub { kill $name, $pid };
	}
	1 while waitpid($pid, 0) != $pid;
	exit($? & 127 ? 128 + ($? & 127) : $? >> 8);
}

# ---- figures ----

# By nearest rank: the smallest value that is not below the given part of all.  They
# are sorted.
sub percentile
{
	my ($part, @sorted) = @_;
	return $sorted[ max(1, ceil($part * @sorted)) - 1 ];
}

# Of numbers: a reference to a hash with n, min, mean, median, p95, p99, max.
sub statistics
{
	my @sorted = sort { $a <=> $b } @_;
	return { n => 0 } unless @sorted;
	return {
		n => scalar @sorted,
		min => $sorted[0],
		mean => sum(@sorted) / @sorted,
		median => percentile(0.5, @sorted),
		p95 => percentile(0.95, @sorted),
		p99 => percentile(0.99, @sorted),
		max => $sorted[-1],
	};
}

our @FIGURES = qw(min mean median p95 p99 max);

# Student's t that 97.5 % of all stay below, by degrees of freedom.
my @t975 = (
	undef, 12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262,
	2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093,
	2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042);

sub t975
{
	my ($df) = @_;
	my $z = 1.959964;

	# beyond the table, its expansion in 1 / df is good to three digits
	return $t975[$df] // $z + ($z**3 + $z) / (4 * $df) + (5 * $z**5 + 16 * $z**3 + 3 * $z) / (96 * $df**2);
}

# The mean of values and its 95 % confidence interval after Student: (mean, low,
# high).  Of one value nothing is known: the interval is without end.
sub t_interval
{
	my @values = @_;
	my $mean = sum(@values) / @values;

	return ($mean, '-inf', 'inf') if @values < 2;
	my $variance = sum(map { ($_ - $mean)**2 } @values) / (@values - 1);
	my $half = t975(@values - 1) * sqrt($variance / @values);
	return ($mean, $mean - $half, $mean + $half);
}

# The 95 % confidence interval of a percentile, whatever the distribution: (low, high),
# values that are between so many others that the binomial distribution, here its
# normal approximation, gives it that chance.  undef where there are too few.
sub percentile_interval
{
	my ($part, @sorted) = @_;
	my $half = 1.959964 * sqrt(@sorted * $part * (1 - $part));
	my $low = floor(@sorted * $part - $half);
	my $high = ceil(@sorted * $part + $half) + 1;

	return map { $_ >= 1 && $_ <= @sorted ? $sorted[ $_ - 1 ] : undef } $low, $high;
}

# The 95 % confidence intervals of the second's figures over the first's: {figure =>
# [low, high]}, from 1,000 samples of as many values, drawn from those that there are.
# The same each time.
sub ratio_intervals
{
	my ($one, $other) = @_;
	my (%ratios, %interval);

	srand(1);
	foreach (1 .. 1000)
	{
		my ($below, $above) = map { my $of = $_; statistics(map { $of->[ rand @$of ] } @$of) } $one, $other;
		push @{ $ratios{$_} }, $above->{$_} / $below->{$_} foreach qw(mean median p95);
	}
	srand();
	foreach my $figure (keys %ratios)
	{
		my @sorted = sort { $a <=> $b } @{ $ratios{$figure} };
		$interval{$figure} = [ map { percentile($_, @sorted) } 0.025, 0.975 ];
	}
	return \%interval;
}

# Lines of a table: a name and the figures of it.
sub print_heading
{
	my ($width, @more) = @_;
	printf "%-${width}s %5s" . ' %9s' x (@FIGURES + @more) . "\n", 'ms', 'n', @FIGURES, @more;
	return;
}

sub print_figures
{
	my ($width, $name, $of) = @_;
	if ($of->{n} == 0)
	{
		printf "%-${width}s %5d\n", $name, 0;
		return;
	}
	printf "%-${width}s %5d" . ' %9.2f' x @FIGURES . "\n", $name, $of->{n}, @{$of}{@FIGURES};
	return;
}

# The line below it: how sure mean, median and 95th percentile are.
sub print_intervals
{
	my ($width, @values) = @_;
	my @sorted = sort { $a <=> $b } @values;
	my (undef, @mean) = t_interval(@values);
	my @text = map {
		my ($name, $low, $high) = @$_;
		sprintf('%s %s to %s', $name, map { defined $_ && !/inf/ ? sprintf('%.2f', $_) : '?' } $low, $high);
	} [ mean => @mean ], [ median => percentile_interval(0.5, @sorted) ], [ p95 => percentile_interval(0.95, @sorted) ];

	printf "%-${width}s       %s\n", '  95 % intervals', join(', ', @text);
	return;
}

# ---- the formula ----

# The leader is lost at any moment of a heartbeat interval h with the same chance,
# so its last heartbeat is h/2 old on average.  From then on each of s survivors
# waits for a time drawn evenly from [min, max]; the shortest of s such times is
# min + (max - min) / (s + 1) on average.  (Ongaro 2014, 9.3, has the case
# max = 2 min.)  Without what messages and saves take, which comes on top.
sub formula_mean
{
	my ($min, $max, $h, $s) = @_;
	return $min + ($max - $min) / ($s + 1) - $h / 2;
}

# The chance that somebody's timer has run out t ms after the fault.
sub formula_cdf
{
	my ($t, $min, $max, $h, $s) = @_;
	my $steps = 200;
	my $chance = 0;

	foreach my $i (1 .. $steps)
	{
		my $x = $t + $h * ($i - 0.5) / $steps;
		my $left = max(0, min(1, ($max - $x) / ($max - $min)));
		$chance += 1 - $left**$s;
	}
	return $chance / $steps;
}

# ---- data files ----

sub first_line
{
	my (@command) = @_;
	open(my $pipe, '-|', @command) or return 'unknown';
	my $line = <$pipe> // 'unknown';
	close $pipe;
	chomp $line;
	return $line;
}

# Of the tree that the programs are in; "-dirty" if it has been changed since.
sub commit
{
	my $line = first_line('sh', '-c', 'exec git -C "$1" describe --always --dirty 2>/dev/null', 'sh', $top);
	return $line eq 'unknown' ? '' : $line;
}

sub file_system
{
	my ($directory) = @_;
	open(my $df, '-|', 'df', '--output=fstype', $directory) or die "df: $!";
	my (undef, $type) = <$df>;
	close $df;
	chomp($type //= 'unknown');
	return $type;
}

# What the figures depend on besides the settings: [name, value]...  The directory is the
# one that states are kept in, if that matters.
sub machine_facts
{
	my ($directory) = @_;
	my $model = 'unknown';

	open(my $cpus, '<', '/proc/cpuinfo') or die "cpuinfo: $!";
	while (<$cpus>) { $model = $1 if /^model name\s*:\s*(.*?)\s*$/; }
	open(my $loads, '<', '/proc/loadavg') or die "loadavg: $!";
	my ($load) = split ' ', <$loads>;
	my $commit = commit();
	return (
		[ date => strftime('%Y-%m-%d %H:%M UTC', gmtime) ],
		[ machine => first_line('nproc') . " x $model, Linux " . first_line('uname', '-r') ],
		[ 'load before' => $load ],
		defined $directory ? [ 'state on' => file_system($directory) ] : (),
		$commit ne '' ? [ commit => $commit ] : (),
	);
}

# A file that is there already is somebody's result.
sub create_data
{
	my ($path, @facts) = @_;

	sysopen(my $file, $path, POSIX::O_WRONLY() | POSIX::O_CREAT() | POSIX::O_EXCL())
	  or die "$0: cannot create $path: $!\n";
	$file->autoflush(1);
	print $file "# pg_leader bench 1\n";
	print $file "# $_->[0]: $_->[1]\n" foreach @facts;
	print $file '# columns: ', join(' ', @COLUMNS), "\n";
	return $file;
}

sub format_row
{
	my ($row) = @_;
	return join("\t",
		map { my $v = $row->{$_}; !defined $v ? '-' : $v =~ /\.\d{3,}/ ? sprintf('%.3f', $v) : $v }
		  @COLUMNS) . "\n";
}

# The lines before its rows; the first says what kind of file it is.
sub head_of
{
	my ($path) = @_;

	open(my $file, '<', $path) or die "$0: $path: $!\n";
	return join('', grep { /^#/ } <$file>);
}

# The rows of a table of Measure.pm, as hashes.
sub read_table
{
	my ($path) = @_;

	open(my $file, '<', $path) or die "$0: $path: $!\n";
	my ($names, @rows) = map { chomp; [ split /\t/, $_, -1 ] } grep { !/^#/ } <$file>;
	return map {
		my %row;
		@row{@$names} = @$_;
		\%row;
	} @rows;
}

# ({name => value}, row...)
sub read_data
{
	my ($path) = @_;
	my (%facts, @rows, @columns);

	open(my $file, '<', $path) or die "$0: $path: $!\n";
	die "$0: $path is no data file of bench/: its first line is not \"# pg_leader bench 1\"\n"
	  if (<$file> // '') ne "# pg_leader bench 1\n";
	while (<$file>)
	{
		chomp;
		if (/^# ([^:]+): (.*)$/)
		{
			$facts{$1} = $2;
			@columns = split ' ', $2 if $1 eq 'columns';
			next;
		}
		my @fields = split /\t/, $_, -1;
		die "$0: $path, line $.: not a line with " . @columns . " columns\n" if @fields != @columns;
		my %row;
		@row{@columns} = map { $_ eq '-' ? undef : $_ } @fields;
		push @rows, \%row;
	}
	return (\%facts, @rows);
}

1;
