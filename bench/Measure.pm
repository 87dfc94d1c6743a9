# bench/Measure.pm
#	  What the measuring tools share: figures and their intervals, what /proc says of
#	  a process, and files of results.
#
# Used by bench/overhead, bench/calm and bench/scale.  Starts nothing, and changes
# nothing but the file of results that it is told to write.

package Measure;

use strict;
use warnings;

use Bench ();
use Exporter qw(import);
use File::Basename qw(dirname);
use File::Path qw(make_path);
use List::Util qw(sum);
use POSIX ();

our @EXPORT_OK = qw(build cpu finish_table fit give_up machine mean median memory member_of_port percentile
  processor_count processors ratio_interval run_time_waited server_cpu set_timings
  t_interval table timings writes);

# ---- figures ----

sub mean { return sum(@_) / @_; }

sub median { return percentile(0.5, @_); }

# Of values in any order, by nearest rank.
sub percentile
{
	my ($part, @values) = @_;
	return Bench::percentile($part, sort { $a <=> $b } @values);
}

# See Bench.pm.
*t_interval = \&Bench::t_interval;

# Of ratios: the same over their logarithms, so that a ratio and its inverse count
# alike.  (geometric mean, low, high)
sub ratio_interval
{
	my ($mean, $low, $high) = t_interval(map { log($_) } @_);

	return (exp($mean), $low eq '-inf' ? 0 : exp($low), $high eq 'inf' ? 'inf' : exp($high));
}

# The straight line nearest to points [x, y]: (where it begins, its slope, the part of
# y's variance that it explains).
sub fit
{
	my @points = @_;
	my $x = mean(map { $_->[0] } @points);
	my $y = mean(map { $_->[1] } @points);
	my $sxx = sum(map { ($_->[0] - $x)**2 } @points);
	my $sxy = sum(map { ($_->[0] - $x) * ($_->[1] - $y) } @points);
	my $syy = sum(map { ($_->[1] - $y)**2 } @points);

	return ($y, 0, 0) if $sxx == 0 || $syy == 0;
	return ($y - $x * $sxy / $sxx, $sxy / $sxx, $sxy**2 / ($sxx * $syy));
}

# ---- processes ----

sub first_line
{
	my ($path) = @_;
	open(my $file, '<', $path) or die "cannot read $path: $!\n";
	my $line = <$file> // die "$path is empty\n";
	chomp $line;
	return $line;
}

# Seconds that a process has spent on a processor; /proc/PID/schedstat counts
# nanoseconds.
sub cpu
{
	my ($pid) = @_;
	return (split ' ', first_line("/proc/$pid/schedstat"))[0] / 1e9;
}

# (seconds that it was ready to run and did not, times that it ran)
sub run_time_waited
{
	my ($pid) = @_;
	my (undef, $waited, $times) = split ' ', first_line("/proc/$pid/schedstat");
	return ($waited / 1e9, $times);
}

# Seconds that a server has spent on processors since its start: its postmaster and
# what that has reaped, and those of its processes that live.  $pids->() names them.
sub server_cpu
{
	my ($pids) = @_;
	my $hz = POSIX::sysconf(POSIX::_SC_CLK_TCK());

	# until none of them has ended meanwhile, and moved from one account to the other
	foreach (1 .. 100)
	{
		my %stat = map { $_ => stat_of($_) } $pids->();
		my ($postmaster) = grep { defined $stat{$_} && !exists $stat{ $stat{$_}[0] } } keys %stat;
		next if !defined $postmaster || grep { !defined } values %stat;
		my $after = stat_of($postmaster);
		next if !defined $after || "@$after[ 3, 4 ]" ne "@{ $stat{$postmaster} }[ 3, 4 ]";
		return sum(map({ @$_[ 1, 2 ] } values %stat), @$after[ 3, 4 ]) / $hz;
	}
	die "the processes of the server do not hold still\n";
}

# [parent, utime, stime, cutime, cstime]; undef if it has ended.
sub stat_of
{
	my ($pid) = @_;
	my $line = eval { first_line("/proc/$pid/stat") } // return undef;

	# counted from behind the name, which may be anything
	return [ (split ' ', $line =~ s/.*\) //r)[ 1, 11 .. 14 ] ];
}

# kB of a process in those lines of /proc/PID/smaps_rollup.
sub memory
{
	my ($pid, $names) = @_;
	open(my $file, '<', "/proc/$pid/smaps_rollup")
	  or die "cannot read /proc/$pid/smaps_rollup: $!\n";
	my @kb = map { /^(?:$names):\s+(\d+) kB/ ? $1 : () } <$file>;
	die "no $names in /proc/$pid/smaps_rollup\n" unless @kb;
	return sum(@kb);
}

# "0-3,5", or undef if it has ended.
sub allowed_processors
{
	my ($pid) = @_;
	open(my $file, '<', "/proc/$pid/status") or return undef;
	return (map { /^Cpus_allowed_list:\s+(\S+)/ ? $1 : () } <$file>)[0];
}

# Those that this process may run on.
sub processor_count
{
	chomp(my $count = `nproc`);
	return $count;
}

# (seconds that all processors were busy, seconds in all), since the machine started
sub processors
{
	my (undef, @ticks) = split ' ', first_line('/proc/stat');
	my $all = sum(@ticks[ 0 .. 7 ]);
	my $hz = POSIX::sysconf(POSIX::_SC_CLK_TCK());
	return (($all - $ticks[3] - $ticks[4]) / $hz, $all / $hz);
}

# Which of these processes has a UDP socket on that port: a server's worker, however
# its title reads.
sub member_of_port
{
	my ($port, @pids) = @_;
	my $wanted = sprintf('%04X', $port);
	my %is_inode;

	foreach my $table ('/proc/net/udp', '/proc/net/udp6')
	{
		open(my $file, '<', $table) or next;
		while (my $line = <$file>)
		{
			my @columns = split ' ', $line;
			$is_inode{"socket:[$columns[9]]"} = 1 if $columns[1] =~ /:$wanted$/;
		}
	}
	foreach my $pid (@pids)
	{
		return $pid if grep { $is_inode{ readlink($_) // '' } } glob "/proc/$pid/fd/*";
	}
	die "no process has UDP port $port\n";
}

# ---- system calls ----

# What may change a file, whatever that file is.
my $may_write = qr/^(?:
	write|pwrite64|writev|pwritev2?|sendfile|splice|copy_file_range|io_submit|io_uring_enter|
	fsync|fdatasync|sync|syncfs|sync_file_range|msync|
	truncate|ftruncate|fallocate|creat|mknod(?:at)?|
	rename(?:at2?)?|link(?:at)?|symlink(?:at)?|unlink(?:at)?|mkdir(?:at)?|rmdir|
	chmod|fchmod(?:at)?|chown|fchown(?:at)?|lchown|utimensat|setxattr|fsetxattr)$/x;

# From lines of "strace -f -o": ({name => times}, [lines that may change a file]).
# A file that is opened for reading is none of them.
sub writes
{
	my (%calls, @writes);

	foreach (@_)
	{
		# the second half of a call that another process came between
		next if /<\.\.\. \w+ resumed>/;
		my ($name, $arguments) = /^(?:\d+ +)?(\w+)\((.*)/ or next;
		$calls{$name}++;
		push @writes, $_
		  if $name =~ $may_write
		  || $name =~ /^open(?:at2?)?$/ && $arguments =~ /O_(?:WRONLY|RDWR|CREAT|TRUNC|APPEND)/;
	}
	return (\%calls, \@writes);
}

# ---- tools and results ----

# "PROGRAM: words", and status 2.
sub give_up
{
	my ($program, @words) = @_;
	print STDERR "$program: @words\nhint: $program --help says more\n";
	exit 2;
}

# What dies has not measured: status 1, whatever perl makes of it.  The last thing
# that happens, since what is compiled later ends before.
END { $? = 1 if $? > 2; }

# "HEARTBEAT/MIN-MAX", all in ms, taken apart; undef: the member would refuse that.
sub timings
{
	my ($text) = @_;

	return unless $text =~ m{^(\d{1,6})/(\d{1,6})-(\d{1,6})$}
	  && $1 >= 1 && 2 * $1 <= $2 && $2 >= 5 && $2 < $3 && $3 <= 600_000;
	return { heartbeat => $1, min => $2, max => $3, name => $text };
}

# For the next launch of servers of Chaos.pm: of two lines, the later one counts.
sub set_timings
{
	my ($cluster, $timings) = @_;

	open(my $config, '>>', $cluster->{config}) or die "$cluster->{config}: $!\n";
	print $config "MIN_TIMEOUT=$timings->{min}\nMAX_TIMEOUT=$timings->{max}\n"
	  . "HEARTBEAT_TIMEOUT=$timings->{heartbeat}\n";
	close $config or die "$cluster->{config}: $!\n";
	return;
}

# Compile programs of bench/Makefile into a directory.
sub build
{
	my ($directory, @targets) = @_;
	my $here = dirname(__FILE__);

	system('make', '-s', '-C', $here, "BUILD=$directory",
		map { "$directory/$_" } @targets) == 0
	  or die "the programs of bench/ cannot be built\n";
	return;
}

# What a result depends on besides the program, and the server in that directory if there
# is one: a list of "name: value".
sub machine
{
	my ($bin) = @_;
	my $version = $bin eq '' ? '' : `'$bin/postgres' --version`;

	chomp($version);
	return (map({ "$_->[0]: $_->[1]" } Bench::machine_facts()), $version ne '' ? "server: $version" : ());
}

# table(path, title, [comments], [columns]): a file of results, tab-separated under
# "#" lines.  Returns what adds a row, which is on disk when that returns: in
# "path.new", which takes the place of "path" with finish_table(path).  So what is
# interrupted keeps the rows that it had, and an earlier result as well.
sub table
{
	my ($path, $title, $comments, $columns) = @_;

	make_path(dirname($path));
	open(my $file, '>', "$path.new") or die "cannot write $path.new: $!\n";
	print $file map { "# $_\n" } $title, @$comments;
	print $file join("\t", @$columns), "\n";
	$file->flush;
	return sub {
		my (%row) = @_;
		print $file join("\t", map { $row{$_} // '-' } @$columns), "\n";
		$file->flush;
		return;
	};
}

sub finish_table
{
	my ($path) = @_;

	rename("$path.new", $path) or die "cannot write $path: $!\n";
	print "written: $path\n";
	return;
}

1;
