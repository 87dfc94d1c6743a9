#!/usr/bin/perl
#
# test/mutants/run.pl
#	  Plants one bug at a time, and sees whether the tests notice.
#
# Each *.patch here is a small bug in raft/, node/, primary/ or keep/.  The patched tree is a copy;
# the real one is never touched.  A mutant is killed when a unit test, a transcript
# or the simulator fails on it.  A mutant that survives, a patch that no longer
# applies and a mutant that does not compile are failures.  See README.md.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(basename dirname);
use File::Temp qw(tempdir);
use Getopt::Long qw(:config no_auto_abbrev no_ignore_case);
use IO::Handle;
use IO::Select;
use Time::HiRes qw(time);

my $USAGE = <<'TEXT';
NAME
    run.pl - plant one bug at a time, and see whether the tests notice

SYNOPSIS
    run.pl [--unit-only | --sim-only] [--share K/N] [--jobs N] [--random N] [--from SEED] [NAME...]
    run.pl --table FILE [--servers] [--jobs N] [--random N] [--from SEED] [NAME...]

DESCRIPTION
    Without names, all mutants.  TAP on standard output, a line for each mutant;
    then a table of what killed which, and how long that took.  The simulator is
    asked about what the unit tests let live, if test/sim is there.

    With --table each mutant goes through the unit tests, the scenarios and the random
    runs, whatever has killed it before, and FILE gets a line for it.  Mutants that
    have a line in FILE already are left out, so an interrupted call can go on.

OPTIONS
    --unit-only   unit tests and transcripts alone
    --sim-only    the simulator alone, to see what it finds without them
    --share K/N   every N-th mutant alone, from the K-th on; of the others, whether the patch
                  applies
    --jobs N      mutants at a time (2)
    --random N    random runs of the simulator before it gives up (300)
    --from SEED   the first of them (1)
    --timeout S   seconds for one program; one that takes longer counts as a kill (120)
    --table FILE  what in the unit tests, the scenarios and the random runs kills each first
    --servers     only the mutants whose random runs have servers: rules 12 and up
    --list        names, rules, and what each breaks
    --help        this text

EXIT STATUS
    0 all were killed, 1 at least one was not, 2 called wrongly
TEXT

my $HERE = abs_path(dirname(__FILE__));
my $ROOT = abs_path("$HERE/../..");
my %option = (jobs => 2, random => 300, from => 1, timeout => 120);
my $work;       # where the copies are
my @workers;    # process ids
my $main_pid = $$;

sub usage_error
{
	my ($text) = @_;
	print STDERR "run.pl: $text\nTry run.pl --help.\n";
	exit 2;
}

sub slurp
{
	my ($path) = @_;
	open(my $in, '<', $path) or die "$path: $!\n";
	local $/ = undef;
	return scalar <$in>;
}

# The first line of a patch says what it breaks.
sub headline
{
	my ($name) = @_;
	my ($line) = slurp("$HERE/$name.patch") =~ /\A([^\n]+)/;
	return $line;
}

# Which rule it weakens: "16", "5, 11", a word, or "-".
sub rule
{
	my ($name) = @_;
	return slurp("$HERE/$name.patch") =~ /^Rules?: (.+)/m ? $1 : '-';
}

# The election alone knows nothing of rules 12 and up, nor of what else is about data.
sub needs_servers
{
	my ($name) = @_;
	my $rule = rule($name);
	return $rule =~ /^(\d+)/ ? $1 >= 12 : $rule !~ /^(?:-|greeting)$/;
}

# Run a command with a limit.  Its status as of system(), and what it printed;
# 124 << 8 when it took too long, as timeout(1) says it.
sub run
{
	my ($directory, @command) = @_;
	my $pid = open(my $from, '-|');
	die "fork: $!\n" unless defined $pid;
	if ($pid == 0)
	{
		chdir $directory or die "$directory: $!\n";
		open(STDERR, '>&', \*STDOUT);
		$ENV{CMOCKA_MESSAGE_OUTPUT} = 'TAP';
		exec('timeout', '-k', '5', $option{timeout}, @command) or exit 127;
	}
	my $output = do { local $/ = undef; <$from> };
	close $from;
	return ($?, $output // '');
}

# ---- one copy of the tree, and what runs in it ----

sub make_copy
{
	my ($tree) = @_;
	my @parts = grep { -e "$ROOT/$_" } qw(raft node primary tools keep supervisor test/lib test/unit test/sim);
	mkdir $tree or die "$tree: $!\n";
	chdir $ROOT or die "$ROOT: $!\n";
	my $status = system('cp', '-p', '-r', '--parents', '-t', $tree, '--', @parts);
	die "could not copy the tree\n" if $status != 0;

	# Objects that a build has left beside the sources are no part of it.
	unlink glob("$tree/{raft,node,primary,keep,supervisor}/*.{o,bc}");
	return;
}

sub make
{
	my ($tree, $part, @targets) = @_;
	return run("$tree/test/$part", 'make', '-s', "BUILD=$tree/build/$part", 'SANITIZE=', @targets);
}

# Programs most likely to notice come first; all of them are run in the end.
sub unit_programs
{
	my ($tree, $patched) = @_;
	my @programs = map { basename($_, '.c') } sort glob("$tree/test/unit/test_*.c");
	my ($folder, $subject) = $patched =~ m{(\w+)/(\w+)\.[ch]$};
	my %place = ("test_${folder}_$subject" => 0, "test_$subject" => 0);
	my $first = $folder =~ /^(?:primary|keep)$/ ? qr/^test_${folder}_/ : qr/^test_raft_/;
	my %order = map { $_ => $place{$_} // ($_ =~ $first ? 1 : 2) } @programs;
	return sort { $order{$a} <=> $order{$b} || $a cmp $b } @programs;
}

# What a program's output says about its failure, in a few words.
sub reason
{
	my ($program, $status, $output) = @_;
	my $by = $program =~ s/^test_//r;

	return "$by: took too long" if $status >> 8 == 124 || $status >> 8 == 137;
	return "$by: $1" if $output =~ /^not ok \d+ - (\S+)/m;
	return "$by: assert($1)" if $output =~ /Assertion `(.*?)' failed/;
	return "$by: " . ($status & 127 ? 'signal ' . ($status & 127) : 'status ' . ($status >> 8));
}

# What killed it, '' if nothing did, or an error: "! ...".
sub try_unit
{
	my ($tree, $patched) = @_;

	foreach my $program (unit_programs($tree, $patched))
	{
		my ($built, $errors) = make($tree, 'unit', "$tree/build/unit/$program");
		return "! does not compile: " . ($errors =~ /error: (.*)/ ? $1 : 'make failed') if $built != 0;
		my ($status, $output) = run("$tree/test/unit", "$tree/build/unit/$program");
		return 'unit ' . reason($program, $status, $output) if $status != 0;
	}
	my ($status, $output) = make($tree, 'unit', 'check-transcripts');
	return '' if $status == 0;
	return "unit transcript: $1" if $output =~ /^not ok \d+ - transcript (\S+)/m;
	return '! the transcripts could not be run';
}

# Which scenario or seed failed first, on what, and in which step.
sub sim_reason
{
	my ($status, $output) = @_;
	my ($scenario) = $output =~ /^not ok \d+ - (.*\S)/m;
	my ($seed) = $output =~ /\bseed (\d+) fails/;
	my ($letter, $step, $promise) = $output =~ /\binvariant (\w) broken in step (\d+)(?: at \d+ us: (\w\d): )?/;
	my $where = defined $seed ? "seed $seed" : $scenario;

	return 'random runs: too quiet' if !defined $seed && $output =~ /too quiet/;
	return reason('simulator', $status, $output) unless defined $where;
	return $where . (defined $step ? ': ' . ($promise // $letter) . " in step $step" : '');
}

# '', what the simulator's first failure was, or an error.
sub try_sim
{
	my ($tree, @call) = @_;
	my ($built, $errors) = make($tree, 'sim', 'all');
	return "! does not compile: " . ($errors =~ /error: (.*)/ ? $1 : 'make failed') if $built != 0;

	my ($status, $output) = run("$tree/test/sim", "$tree/build/sim/sim", @call);
	return '' if $status == 0;
	return '! the simulator was called wrongly' if $status >> 8 == 2;
	return 'sim ' . sim_reason($status, $output);
}

# What the unit tests, the scenarios and the random runs say, as far as they were asked:
# up to the first that kills it, or, for a table, all three.
sub try_all
{
	my ($tree, $patched, @servers) = @_;
	my @random = ('--random', $option{random}, '--from', $option{from});
	my @calls = ([ '--scenario', 'all' ], map { $_ ? [ '--servers', @random ] : [@random] } @servers);
	my @found;

	@calls = () if $option{'unit-only'} || !-d "$tree/test/sim";
	@found = try_unit($tree, $patched) unless $option{'sim-only'};
	foreach my $call (@calls)
	{
		last if grep { /^!/ || ($_ ne '' && !$option{table}) } @found;
		push @found, try_sim($tree, @$call);
	}
	return @found;
}

sub try_mutant
{
	my ($tree, $name) = @_;
	my $patch = "$HERE/$name.patch";
	my @files = slurp($patch) =~ m{^\+\+\+ b/(\S+)}mg;
	my @found;

	return '! names no file' unless @files;
	my ($status) = run($tree, 'patch', '-p1', '-s', '-f', '-F1', '--no-backup-if-mismatch', '-i', $patch);
	@found = $status == 0 ? try_all($tree, $files[0], needs_servers($name)) : '! does not apply any more';

	# Back to what it was.  The new time of the file makes "make" look again.
	foreach my $file (@files)
	{
		system('cp', '--', "$ROOT/$file", "$tree/$file") == 0 or die "could not restore $file\n";
		unlink "$tree/$file.rej", "$tree/$file.orig";
	}
	return @found;
}

# ---- the workers ----

# Tries its share of the names and writes lines: name, seconds and what was found.
sub work
{
	my ($number, $out, @names) = @_;
	my $tree = "$work/$number";

	setpgrp(0, 0);
	$out->autoflush(1);
	make_copy($tree);
	if ($number == 0)
	{
		my @found = grep { $_ ne '' } try_all($tree, 'raft/raft.c', 0, 1);
		print $out join("\t", '', 0, @found), "\n";
		exit 1 if @found;
	}
	foreach my $name (@names)
	{
		my $started = time;
		my @found = map { s/\s+/ /gr } try_mutant($tree, $name);
		print $out join("\t", $name, sprintf('%.1f', time - $started), @found), "\n";
	}
	exit 0;
}

sub start_workers
{
	my (@names) = @_;
	my $select = IO::Select->new;
	my $jobs = $option{jobs} < @names ? $option{jobs} : @names;

	foreach my $number (0 .. $jobs - 1)
	{
		my @share = map { $names[$_] } grep { $_ % $jobs == $number } 0 .. $#names;
		pipe(my $in, my $out) or die "pipe: $!\n";
		my $pid = fork // die "fork: $!\n";
		if ($pid == 0)
		{
			close $in;
			work($number, $out, @share);
		}
		close $out;
		push @workers, $pid;
		$select->add($in);
	}
	return $select;
}

sub stop_workers
{
	return if $$ != $main_pid;
	kill 'TERM', map { -$_ } @workers;
	waitpid $_, 0 foreach @workers;
	@workers = ();
	return;
}

# ---- the table ----

# The number of runs is part of it: a table is not continued with another one.
sub table_header
{
	my $seeds = sprintf 'seed of %d to %d', $option{from}, $option{from} + $option{random} - 1;
	return [ 'rule', 'mutant', 'unit test', 'scenario', 'breaks', 'step', $seeds, 'breaks', 'step' ];
}

# The lines that FILE has, without the first one.
sub read_table
{
	return unless -s $option{table};
	my ($header, @rows) = map { [ split /\t/, $_, -1 ] } split /\n/, slurp($option{table});
	usage_error("$option{table} is a table of other runs") if "@$header" ne "@{table_header()}";
	return @rows;
}

sub write_rows
{
	my ($mode, $path, @rows) = @_;
	open(my $out, $mode, $path) or die "$path: $!\n";
	print $out join("\t", @$_), "\n" foreach @rows;
	close $out or die "$path: $!\n";
	return;
}

# "sim seed 7: D1 in step 815" becomes 7, D1, 815.
sub table_row
{
	my ($name, $unit, @sim) = @_;
	my @row = (rule($name), $name, $unit =~ s/^unit //r || '-');

	foreach my $text (@sim)
	{
		my ($where, $breaks, $step) = $text =~ /^sim (?:seed )?(.*?)(?:: (\w+) in step (\d+))?$/;
		push @row, $where // '-', $breaks // '-', $step // '-';
	}
	return \@row;
}

sub add_to_table
{
	my ($name, @found) = @_;
	return if grep { /^!/ } @found;
	write_rows('>>', $option{table}, -s $option{table} ? () : table_header(), table_row($name, @found));
	return;
}

# By number; what has none comes last.
sub by_rule
{
	my ($x, $y) = map { $_->[0] =~ /^(\d+)/ ? $1 : $_->[0] eq '-' ? 1001 : 1000 } $a, $b;
	return $x <=> $y || $a->[0] cmp $b->[0] || $a->[1] cmp $b->[1];
}

# Sorts FILE, and prints it in columns.
sub finish_table
{
	my @rows = (table_header(), sort by_rule read_table());
	my @widths;

	write_rows('>', "$option{table}.new", @rows);
	rename "$option{table}.new", $option{table} or die "$option{table}: $!\n";
	foreach my $column (0 .. $#{$rows[0]})
	{
		($widths[$column]) = sort { $b <=> $a } map { length $_->[$column] } @rows;
	}
	print "#\n";
	foreach my $row (@rows)
	{
		print '# ', join('  ', map { sprintf '%-*s', $widths[$_], $row->[$_] } 0 .. $#widths) =~ s/ +$//r, "\n";
	}
	return;
}

# ---- what is printed ----

sub report
{
	my ($results, $seconds) = @_;
	my ($width) = sort { $b <=> $a } map { length $_->[0] } @$results;

	print "#\n# mutants and what killed them\n#\n";
	foreach my $result (sort { $a->[0] cmp $b->[0] } @$results)
	{
		printf "# %-*s  %6.1f s  %s\n", $width, $result->[0], $result->[1],
		  $result->[2] eq '' ? 'SURVIVED' : $result->[2];
	}
	printf "#\n# %d mutants, %d killed, %.0f s\n", scalar @$results,
	  scalar(grep { $_->[2] =~ /^[us]/ } @$results), $seconds;
	return;
}

sub collect
{
	my ($select, $expected) = @_;
	my @results;

	while (my @ready = $select->can_read)
	{
		foreach my $in (@ready)
		{
			my $line = readline $in;
			if (!defined $line)
			{
				$select->remove($in);
				next;
			}
			chomp $line;
			my ($name, $seconds, @found) = split /\t/, $line, -1;
			my $killer = (grep { $_ ne '' } @found)[0] // '';
			if ($name eq '')
			{
				next if $killer eq '';
				print "Bail out! The tests fail without any mutant: $killer\n";
				stop_workers();
				exit 1;
			}
			push @results, [ $name, $seconds, $killer ];
			add_to_table($name, @found) if defined $option{table};
			my $killed = $killer =~ /^(?:unit|sim) /;
			printf "%sok %d - %s%s\n", $killed ? '' : 'not ', scalar @results, $name,
			  $killed ? '' : $killer eq '' ? ' survived' : ' ' . $killer =~ s/^! //r;
			print "# $1\n" if !$killed && headline($name) =~ /(.*)/;
		}
	}
	printf "not ok %d - a worker has died\n", @results + 1 if @results < $expected;
	return @results;
}

sub chosen_names
{
	my @all = map { basename($_, '.patch') } sort glob("$HERE/*.patch");
	my %is_known = map { $_ => 1 } @all;

	foreach my $name (@ARGV)
	{
		usage_error("there is no mutant \"$name\" here") unless $is_known{$name};
	}
	my @chosen = @ARGV ? @ARGV : @all;
	return $option{servers} ? grep { needs_servers($_) } @chosen : @chosen;
}

# Of those whose turn it is not; the results as those of others.
sub look_at_patches
{
	my @results;

	foreach my $name (@_)
	{
		my ($status) = run($ROOT, 'patch', '-p1', '-s', '-f', '-F1', '--dry-run', '-i', "$HERE/$name.patch");
		push @results, [ $name, 0, '! does not apply any more' ] if $status != 0;
		print "not ok - $name does not apply any more\n" if $status != 0;
	}
	return @results;
}

GetOptions(\%option, 'share=s', 'unit-only', 'sim-only', 'jobs=i', 'random=i', 'from=i', 'timeout=i',
	'table=s', 'servers', 'list', 'help')
  or usage_error('wrong options');
if ($option{help})
{
	print $USAGE;
	exit 0;
}
usage_error('--unit-only or --sim-only, not both') if $option{'unit-only'} && $option{'sim-only'};
usage_error('--table wants all the tests')
  if defined $option{table} && ($option{'unit-only'} || $option{'sim-only'});
usage_error('--sim-only and --table need test/sim')
  if ($option{'sim-only'} || defined $option{table}) && !-d "$ROOT/test/sim";
foreach my $name (qw(jobs random timeout))
{
	usage_error("--$name must be above zero") if $option{$name} < 1;
}

my @names = chosen_names();
my @others;
if (defined $option{share})
{
	my ($k, $n) = $option{share} =~ m{^([1-9]\d{0,3})/([1-9]\d{0,3})$} or usage_error('--share is K/N, such as 1/3');

	usage_error("--share $option{share}: there are $n") if $k > $n;
	@others = map { $names[$_] } grep { $_ % $n != $k - 1 } 0 .. $#names;
	@names = map { $names[$_] } grep { $_ % $n == $k - 1 } 0 .. $#names;
	print "# share $option{share}\n";
}
if ($option{list})
{
	printf "%-36s %-10s %s\n", $_, rule($_), headline($_) foreach @names;
	exit 0;
}
if (defined $option{table})
{
	my %is_done = map { $_->[1] => 1 } read_table();
	@names = grep { !$is_done{$_} } @names;
}

my $started = time;
STDOUT->autoflush(1);
$work = tempdir('pg_leader_mutants.XXXXXX', TMPDIR => 1, CLEANUP => 1);
$SIG{INT} = $SIG{TERM} = $SIG{HUP} = sub { exit 1 };
END { my $status = $?; stop_workers(); $? = $status; }

my @results = look_at_patches(@others);
printf "1..%d\n", @names + @results;
push @results, collect(start_workers(@names), scalar @names);
report(\@results, time - $started) if @results && !defined $option{table};
finish_table() if defined $option{table} && -s $option{table};
exit(@results >= @names && !grep({ $_->[2] !~ /^(?:unit|sim) / } @results) ? 0 : 1);
