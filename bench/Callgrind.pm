# bench/Callgrind.pm
#	  What a file of valgrind's callgrind says of one library: how often it is called from
#	  outside, and how many instructions that takes.
#
# For bench/fence.

package Callgrind;

use strict;
use warnings;

# count(FILE, LIBRARY, FUNCTION...): {all, library, calls}: instructions of the process;
# those of the library, with what it calls; calls of the library from outside.  The
# functions are PostgreSQL's: what the library passes on to them is not its own.
sub count
{
	my ($path, $library, @passed_on) = @_;
	my %count = (all => 0, library => 0, calls => 0);
	my (%object, %function); # names are written once, "(7) name", and then "(7)"
	my ($here, $there, $called) = ('', '', '');

	open(my $file, '<', $path) or die "$path: $!\n";
	while (my $line = <$file>)
	{
		if ($line =~ /^(c?)ob=\((\d+)\)(?: (.*))?$/)
		{
			$object{$2} = $3 if defined $3;
			if ($1) { $there = $object{$2}; }
			else { $here = $object{$2}; }
		}
		elsif ($line =~ /^(c?)fn=\((\d+)\)(?: (.*))?$/)
		{
			$function{$2} = $3 if defined $3;
			if ($1) { $called = $function{$2}; }
			else { $there = $here; }
		}
		elsif ($line =~ /^calls=(\d+)/)
		{
			my $times = $1;
			my $cost = <$file> =~ /^\S+ (\d+)$/ ? $1 : die "$path, line $.: no cost of a call\n";

			add_call(\%count, $library, $here, $there, $times, $cost, scalar grep { $called eq $_ } @passed_on);
			$there = $here;
		}
		elsif ($line =~ /^totals: (\d+)$/) { $count{all} = $1; }
	}
	return \%count;
}

sub add_call
{
	my ($count, $library, $from, $to, $times, $cost, $is_passed_on) = @_;
	my ($from_it, $to_it) = map { m{(?:^|/)\Q$library\E$} ? 1 : 0 } $from, $to;

	if ($to_it && !$from_it)
	{
		$count->{calls} += $times;
		$count->{library} += $cost;
	}
	$count->{library} -= $cost if $from_it && $is_passed_on;
	return;
}

1;
