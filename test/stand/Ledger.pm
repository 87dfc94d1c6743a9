# test/stand/Ledger.pm
#	  What a managed server has on disk and in its log, for a history of commits.
#
# Called by tests whose clients are "ledger"; README.md has the grammar of the history.

package Ledger;

use strict;
use warnings;

use Fcntl qw(O_APPEND O_CREAT O_WRONLY);
use Time::HiRes qw(clock_gettime);
use Time::Local qw(timegm);

use constant HEADER => 'pg_leader commits 1';
use constant CLOCK_BOOTTIME => 7;

# Microseconds of the clock of all histories.
sub now { return int(clock_gettime(CLOCK_BOOTTIME) * 1e6); }

# put(FILE, [FIELD...]...): records, in one write, after a first line of their own.
sub put
{
	my ($path, @records) = @_;
	my $text = join '', map { join("\t", @$_) . "\n" } [HEADER], @records;

	sysopen(my $file, $path, O_WRONLY | O_APPEND | O_CREAT) or die "$path: $!\n";
	(syswrite($file, $text) // -1) == length $text or die "$path: $!\n";
	close $file or die "$path: $!\n";
	return;
}

sub slurp
{
	my ($path) = @_;
	my $text;

	# a server that is rebuilt removes files at any time
	open(my $file, '<', $path) or return;
	local $/ = undef;
	$text = <$file>;
	close $file;
	return $text;
}

# An LSN in bytes.
sub bytes
{
	my ($high, $low) = split m{/}, $_[0];

	return (hex($high) << 32) + hex $low;
}

# collect_histories(FILE, NODE, DATA DIRECTORY): the history files that are there; at any time.
sub collect_histories
{
	my ($path, $node, $data) = @_;
	my @records;

	foreach my $name (glob "$data/pg_wal/*.history")
	{
		my ($timeline) = $name =~ m{/([0-9A-F]{8})\.history$} or next;
		my $text = slurp($name) // next;
		my @steps = map { m{^\s*(\d+)\s+([0-9A-F]+/[0-9A-F]+)} ? "$1=" . bytes($2) : () } split /\n/, $text;

		push @records, [ 'history', $node, hex $timeline, @steps ? join(',', @steps) : 'burnt' ];
	}
	put($path, @records);
	return;
}

# Of a log from its beginning: promotions, and rebuilds with their times by this clock.
sub read_log
{
	my ($node, $text) = @_;
	my $offset = now() - int(clock_gettime(0) * 1e6);
	my $is_ordered = 0;
	my @records;

	foreach my $line (split /\n/, $text)
	{
		my ($year, $month, $day, $hour, $minute, $second, $ms, $words) =
		  $line =~ /^(\d+)-(\d+)-(\d+) (\d+):(\d+):(\d+)\.(\d{3}) UTC \[\d+\] (?:\S+ )?LOG:  (.*)/
		  or next;

		$is_ordered = 0 if $words =~ /^starting PostgreSQL /;
		$is_ordered = 1 if $words =~ /^pg_leader: order PROMOTE\b/;
		push @records, [ 'promotion', $node, $1, $is_ordered ? 'ordered' : 'hand' ] if $words =~ /^selected new timeline ID: (\d+)/;
		next if $words !~ /^(rewind|clon)ing the data directory /;
		push @records, [ 'rebuild', $node, timegm($second, $minute, $hour, $day, $month - 1, $year) * 1_000_000 + $ms * 1000 + $offset, $1 eq 'clon' ? 'clone' : 'rewind' ];
	}
	return @records;
}

# collect(FILE, NODE, DATA DIRECTORY, LOG): all of a node; once, at the end.  Its log has the
# time first ("%m [%p] "), in UTC.
sub collect
{
	my ($path, $node, $data, $log) = @_;
	my $control = slurp("$data/global/pg_control") // die "$data has no control file\n";

	collect_histories($path, $node, $data);
	put($path, [ 'system', $node, unpack('Q', $control) ], read_log($node, slurp($log) // die "$log: $!\n"));
	return;
}

1;
