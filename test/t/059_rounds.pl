# test/t/059_rounds.pl
#	  Servers of a managed cluster are killed again and again: each timeline is created
#	  once, and all that was acknowledged is on all of them.
#
# A round: some commits, SIGKILL for all processes of the open primary, and at times of a
# standby, of two servers one after the other, or of the supervisor as well; then one primary
# is open again, and all others stream from it.
#
#	QUIET_ROUNDS	no commit is in flight at the kill; 6 by default
#	BUSY_ROUNDS		clients write all the time; 3 by default
#	ROUNDS_SEED		repeats the choices of an earlier run
#
# A killed primary may have flushed what no standby has.  Then its supervisor rebuilds it, which
# is counted.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use List::Util qw(max sum0);
use PgLeaderManaged;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

use constant {
	COMMITS => 3,		   # before a kill
	WRITERS => 2,		   # clients of a busy round
	STATEMENTS => 10_000,  # of such a client: more than it gets done
	PATIENCE => 120e6,	   # for one round, us
	LOOK_INTERVAL => 50e3, # us
};

my $quiet = $ENV{QUIET_ROUNDS} // 6;
my $busy = $ENV{BUSY_ROUNDS} // 3;
my $seed = srand($ENV{ROUNDS_SEED} // time);
my $cluster = PgLeaderManaged->new('rounds', 3, settings => { min_timeout => '300ms', max_timeout => '600ms' },
	conf => "max_connections = 20\n");
my %told;	# word => 1: acknowledged
my %killed; # what => times
my %rebuilt; # how and why => times
my @took;

# ---- commits ----

# Statements that tell their word once it is committed.
sub statements
{
	my ($prefix, $n) = @_;
	return join '', map { "INSERT INTO told VALUES ('$prefix $_') RETURNING word;\n" } 1 .. $n;
}

sub commit_some
{
	my ($primary, $round) = @_;
	my $out = $cluster->sql($primary, statements("round $round commit", COMMITS)) // '';

	$told{$_} = 1 foreach my @words = split /\n/, $out;
	return @words == COMMITS;
}

# Clients that write until their server is gone; what they were told is in their files.
sub start_writers
{
	my ($primary, $round) = @_;
	my $server = $cluster->server($primary);

	return map {
		my $file = "$PostgreSQL::Test::Utils::tmp_check/writer_$_";

		open my $sql, '>', "$file.sql" or die "$file.sql: $!";
		print $sql statements("round $round writer $_", STATEMENTS);
		close $sql;
		my $pid = fork // die "fork: $!";
		if ($pid == 0)
		{
			open STDOUT, '>', "$file.out";
			open STDERR, '>', '/dev/null';
			exec 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $server->connstr('postgres'), '-f', "$file.sql" or POSIX::_exit(127);
		}
		{ pid => $pid, out => "$file.out" };
	} 1 .. WRITERS;
}

sub end_writers
{
	foreach my $writer (@_)
	{
		kill 'TERM', $writer->{pid};
		waitpid $writer->{pid}, 0;
		$told{$_} = 1 foreach grep { /^round \d+ writer \d+ \d+$/ } split /\n/, slurp_file($writer->{out});
	}
	return;
}

# ---- kills ----

sub kill_one
{
	my ($id, $with_supervisor) = @_;
	my $supervisor = $cluster->supervisor($id);

	kill 'KILL', $supervisor if $with_supervisor;

	# it may just be between two starts
	eval { $cluster->kill_server($id); 1 } or $@ =~ /no server runs/ or die $@;
	return if !$with_supervisor;
	waitpid $supervisor, 0;
	$cluster->member($id)->{supervisor} = undef;
	return;
}

sub kill_some
{
	my ($primary) = @_;
	my @standbys = $cluster->others($primary);
	my $chance = rand;
	my $with_supervisor = rand() < 0.2;
	my @ids = $chance < 0.7 ? $primary : $chance < 0.8 ? $standbys[ rand @standbys ] : ($primary, $standbys[ rand @standbys ]);

	$killed{ @ids > 1 ? 'primary and standby' : $ids[0] == $primary ? 'primary' : 'standby' }++;
	$killed{'with their supervisors'}++ if $with_supervisor;
	foreach my $id (@ids)
	{
		kill_one($id, $with_supervisor);
		usleep(rand 1.5e6) if @ids > 1;
	}
	$cluster->start($_) foreach grep { !$cluster->is_running($_) } $cluster->ids;
	return;
}

# ---- until all is well ----

sub follows
{
	my ($id, $primary, $timeline) = @_;
	my $row = $cluster->sql($id, q(SELECT "order" || node_id, (SELECT status || received_tli FROM pg_stat_wal_receiver) FROM pg_leader_server)) // '';

	return $row eq "FOLLOW$primary|streaming$timeline";
}

# The open primary that all others follow; undef: not within the time.
sub wait_for_all
{
	my $end = PgLeaderCluster::clock_now() + PATIENCE;

	while (PgLeaderCluster::clock_now() < $end)
	{
		my $primary = $cluster->open_primary;
		my $timeline = defined $primary ? $cluster->role($primary)->{timeline} : undef;

		return $primary if defined $timeline && !grep { !follows($_, $primary, $timeline) } $cluster->others($primary);
		usleep(LOOK_INTERVAL);
	}
	return undef;
}

sub round
{
	my ($primary, $round, $is_busy) = @_;
	my $began;
	my $good = commit_some($primary, $round);
	my @writers = $is_busy ? start_writers($primary, $round) : ();

	usleep(rand($is_busy ? 1.5e6 : 0.2e6));
	$began = PgLeaderCluster::clock_now();
	kill_some($primary);
	end_writers(@writers);
	$primary = wait_for_all();
	push @took, (PgLeaderCluster::clock_now() - $began) / 1e6;
	return $primary if $good && defined $primary;
	diag($cluster->describe);
	die $good ? "round $round: no open primary that all others follow\n" : "round $round: the primary takes no commits\n";
}

# ---- what must be true at the end ----

sub count_rebuilds
{
	foreach my $log (map { $cluster->log_of($_) } $cluster->ids)
	{
		$rebuilt{"$1: $2"}++ while $log =~ /stopping the server for a (\w+) from node \d+: (.*)/g;
	}
	return;
}

sub check_contents
{
	my $primary = shift;
	my $words = $cluster->sql($primary, 'SELECT word FROM told ORDER BY word') // '';
	my %has = map { $_ => 1 } split /\n/, $words;
	my @lost = grep { !$has{$_} } sort keys %told;

	is(join(', ', @lost), '', 'all acknowledged rows are there');
	foreach my $id ($cluster->others($primary))
	{
		$cluster->wait_until("node $id has the same", sub { ($cluster->sql($id, 'SELECT word FROM told ORDER BY word') // '') eq $words });
	}
	return;
}

# ---- the test ----

my ($primary, @timelines);

note("seed $seed");
$cluster->start_all;
$primary = wait_for_all();
ok(defined $primary, 'three servers begin') or BAIL_OUT($cluster->describe);
is($cluster->sql($primary, 'CREATE TABLE told (word text)'), '', 'it takes commits');
$primary = round($primary, $_, $_ > $quiet) foreach 1 .. $quiet + $busy;
pass($quiet + $busy . ' rounds');
check_contents($primary);
$cluster->check_timelines;
$cluster->check_history;
count_rebuilds();
@timelines = map { $cluster->made($_) } $cluster->ids;
diag(sprintf '%d quiet and %d busy rounds: %d timelines, %d acknowledged rows, median %.1f s and at most %.1f s a round; killed: %s',
	$quiet, $busy, scalar @timelines, scalar keys %told, (sort { $a <=> $b } @took)[ @took / 2 ], max(@took),
	join ', ', map { "$_ $killed{$_}" } sort keys %killed);
diag(sum0(values %rebuilt) . ' rebuilds', map { "; $rebuilt{$_}: $_" } sort keys %rebuilt);
$cluster->stop_all;
done_testing();
