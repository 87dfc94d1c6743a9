# test/t/PgQuery.pm
#	  Asks a server one thing, and how often that is done.
#
# Tests look at servers again and again, and looking took most of the processors' time, which
# servers need, too.  So there is no psql for each look, but DBD::Pg; and what takes long to
# come is looked for less often.

package PgQuery;

use strict;
use warnings;

use DBI;
use Exporter qw(import);
use Time::HiRes qw(CLOCK_MONOTONIC clock_gettime usleep);

our @EXPORT_OK = qw(answer_of look_until pause_between_looks);

# Values as psql shows them.  DBD::Pg would otherwise make Perl's of them.
my %AS_TEXT = (pg_bool_tf => 1, pg_enable_utf8 => 0, pg_expand_array => 0);

# answer_of(SERVER, QUERY): what "psql -XAtq" prints in its database postgres, undef if there was
# an error.  What may be more than one statement, or copies, is for psql.  A bytea is not shown
# as psql would.
sub answer_of
{
	my ($server, $query) = @_;
	my $answer;

	if ($query =~ /;\s*\S|^\s*(?:\\|copy\b)/i)
	{
		my ($code, $out) = eval { local $SIG{PIPE} = 'IGNORE'; $server->psql('postgres', $query) };

		# one that nobody lets in may have ended before it was told the query
		die $@ if $@ && $@ !~ /Broken pipe/;
		return defined $code && $code == 0 ? $out : undef;
	}
	eval {
		my $session = DBI->connect('dbi:Pg:host=' . $server->host . ';port=' . $server->port . ';dbname=postgres', '', '',
			{ RaiseError => 1, PrintError => 0, PrintWarn => 0, %AS_TEXT });
		my $statement = $session->prepare($query, { pg_direct => 1 });

		$statement->execute;
		$answer = $statement->{NUM_OF_FIELDS} ? text_of($statement->fetchall_arrayref) : '';
		$session->disconnect;
	};
	return $@ ? undef : $answer;
}

sub text_of { my $rows = shift; return join "\n", map { join '|', map { $_ // '' } @$_ } @$rows; }

# look_until(CODE, SECONDS): what CODE returns, once that is true or the time is over.
sub look_until
{
	my ($code, $limit) = @_;
	my $start = clock_gettime(CLOCK_MONOTONIC);

	for (;;)
	{
		my $began = clock_gettime(CLOCK_MONOTONIC);
		my $result = $code->();
		my $now = clock_gettime(CLOCK_MONOTONIC);

		return $result if $result || $now >= $start + $limit;
		pause_between_looks($now - $began, $began - $start);
	}
}

# pause_between_looks(TOOK, ELAPSED): seconds that the last look took, and all the waiting.  A look by
# a session takes half of the time at first, and a quarter after two seconds.  What is seen in
# files or processes is looked at every 20 ms.
sub pause_between_looks
{
	my ($took, $elapsed) = @_;
	my $pause = $took * (1 + ($elapsed < 2 ? $elapsed : 2));

	usleep(1e6 * ($pause > 0.02 ? $pause : 0.02));
	return;
}

1;
