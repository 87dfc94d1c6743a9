# test/t/PgLeaderUpgrade.pm
#	  Other versions of pg_leader beside this one, for the tests of upgrades.
#
# Makes changed copies of the tree and builds them, makes PostgreSQL installations
# for single servers, installs one into the other, and has the servers watched while
# that goes on: by the test stand's observer, whose checker judges what it saw.

package PgLeaderUpgrade;

use strict;
use warnings;

use Carp qw(croak);
use Cwd ();
use FindBin;
use PgLeaderCluster;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

# The tree that is tested, built.
our $TREE = Cwd::realpath("$FindBin::RealBin/../..");

# Milliseconds without a leader that are less than any failover takes in a steady
# cluster: its min_timeout, less two heartbeats.
use constant NO_FAILOVER => 1000 - 2 * 100;

my $observer;

sub output_of
{
	my @command = @_;
	my ($out, $err);

	IPC::Run::run(\@command, '>', \$out, '2>', \$err) or die "@command: $err";
	chomp $out;
	return $out;
}

# The directory that everything of the PostgreSQL in PATH is in.
sub postgres
{
	my @top = split m{/}, output_of('pg_config', '--bindir');

	foreach my $what ('--sharedir', '--pkglibdir')
	{
		my $directory = output_of('pg_config', $what);

		pop @top while index("$directory/", join('/', @top) . '/') != 0;
	}
	return join '/', @top;
}

# Can installations be copied here?  The system's belong to somebody else.
sub is_possible { return -d postgres() && -w postgres() && postgres() ne ''; }

# build(NAME, CODE): a copy of the tree that CODE, called in it, has changed.
sub build
{
	my ($name, $change) = @_;
	my $tree = PostgreSQL::Test::Utils::tempdir("tree_$name");
	my $here = Cwd::getcwd();

	system_or_bail('cp', '-a', (grep { !m{/(\.git|build|tmp_check|results)$} } glob("$TREE/*")), $tree);
	chdir $tree or die "$tree: $!";
	$change->();
	chdir $here or die "$here: $!";
	make($tree, 'pg_config', 'all');
	return $tree;
}

sub make
{
	my ($tree, $pg_config, @targets) = @_;
	my ($out, $err);

	# With many words only when there is something to say.
	IPC::Run::run([ 'make', '-s', '-C', $tree, "PG_CONFIG=$pg_config", @targets ], '>', \$out, '2>', \$err)
	  or BAIL_OUT("make @targets in $tree: $out$err");
	return;
}

# installation(NAME): a PostgreSQL of one's own, without pg_leader; its programs are
# in bin of what is returned.
sub installation
{
	my $name = shift;
	my $copy = PostgreSQL::Test::Utils::tempdir("postgres_$name");
	my $top = postgres();
	my $bin = output_of('pg_config', '--bindir');

	# Hard links: programs find their files relative to themselves.
	system_or_bail('cp', '-al', glob("$top/*"), $copy);
	system_or_bail('find', $copy, '-name', 'pg_leader*', '-delete');
	return $copy . substr($bin, length $top) =~ s{/bin$}{}r;
}

sub install
{
	my ($tree, $installation) = @_;

	make($tree, "$installation/bin/pg_config", 'install');
	return;
}

sub slurp { return PostgreSQL::Test::Utils::slurp_file(@_); }

# edit(FILE, CODE): CODE changes $_, the contents, or there is nothing to change.
sub edit
{
	my ($file, $code) = @_;
	local $_ = slurp($file);
	my $before = $_;

	$code->();
	croak "$file is as it was" if $_ eq $before;
	unlink $file; # it may be another's as well
	append_to_file($file, $_);
	return;
}

# ---- watching ----

# watch(CLUSTER): from now on all its servers are asked what they are, and whether
# they hold a lease, as fast as they answer.
sub watch
{
	my ($cluster, %limits) = @_;
	my $history = PostgreSQL::Test::Utils::tempdir('history') . '/history';

	system_or_bail('make', '-s', '-C', "$TREE/test/stand", "$TREE/build/stand/observer", "BUILD=$TREE/build/stand");
	$observer = fork // die "fork: $!";
	if (!$observer)
	{
		open STDOUT, '>', "$history.log" or die $!;
		open STDERR, '>&', \*STDOUT or die $!;
		exec("$TREE/build/stand/observer", '--output', $history,
			'--socket-directory', $cluster->server(0)->host,
			'--ports', join(',', map { $cluster->server($_)->port } $cluster->ids),
			'--nodes', join(',', $cluster->ids),
			'--user', scalar(getpwuid($>)), '--rate', 300) or POSIX::_exit(127);
	}
	$cluster->wait_until('the observer watches', sub { -s $history && slurp($history) =~ /^sample/m });
	append_to_file($history, join('', map { "limit\t$_\t$limits{$_}\n" } sort keys %limits));
	return $history;
}

# record(HISTORY, RECORD, TEXT): what is done, at this moment.
sub record
{
	my ($history, $record, $text) = @_;

	append_to_file($history, sprintf("%s\t%d\t%s\n", $record, PgLeaderCluster::clock_now(), $text));
	return;
}

# restart(CLUSTER, HISTORY, ID, CODE): with what is installed for it by now; CODE is
# called while it is down.  Waits until it is back, and known to be so by the others.
sub restart
{
	my ($cluster, $history, $id, $while_down) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	record($history, 'fault', "restart $id");
	$cluster->stop($id);
	$while_down->() if $while_down;
	$cluster->start($id);
	wait_until_back($cluster, $id);
	record($history, 'mend', "restart $id");
	return;
}

sub wait_until_back
{
	my ($cluster, $id) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$cluster->wait_until("node $id is back: it takes part", sub {
		my $status = $cluster->status($id);
		$status && $status->{state} eq 'taking part' && !$status->{abstaining};
	});
	foreach my $other ($cluster->others($id))
	{
		$cluster->wait_until("node $id is back: node $other hears it",
			sub { my $peers = $cluster->peers($other); $peers->{$id} && $peers->{$id}{reachable} });
	}
	$cluster->wait_for_leader("node $id is back: all agree");
	return;
}

# transfer(CLUSTER, HISTORY, FROM, TO): a test; returns (leader, term).
sub transfer
{
	my ($cluster, $history, $from, $to) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	record($history, 'fault', "transfer $to from $from");
	is($cluster->sql($from, "SELECT pg_leader_transfer($to)"), $to, "node $from hands over to node $to");
	record($history, 'mend', "transfer $to from $from");
	return $cluster->wait_for_leader('after the hand-over: all agree');
}

# watched(HISTORY): the end, and a test that the checker is content.
sub watched
{
	my $history = shift;
	my ($out, $err);

	kill 'TERM', $observer;
	waitpid $observer, 0;
	is($? >> 8, 0, 'the observer has watched to the end');
	undef $observer;
	IPC::Run::run([ $^X, "$TREE/test/stand/check_history", $history ], '>', \$out, '2>&1');
	is($? >> 8, 0, 'what was seen is without fault: no two leases, no term with two leaders')
	  or diag($out);
	note($out);
	return;
}

# longest_without(HISTORY, FROM, UP TO): for how many milliseconds, between these
# moments, no answer of any server says that it leads: from the beginning of the last
# question that was answered so to the end of the next.
sub longest_without
{
	my ($history, $from, $to) = @_;
	my @led;
	my $longest = 0;
	my $last;

	foreach (split /\n/, slurp($history))
	{
		# node, t0, t1, life, boot, role, term, leader, is_leader
		my ($kind, $node, $asked, $answered, undef, undef, undef, undef, undef, $is_leader) = split /\t/;

		push @led, [ $asked, $answered ]
		  if $kind eq 'sample' && $is_leader eq 't' && $answered >= $from && $asked <= $to;
	}
	@led = sort { $a->[0] <=> $b->[0] } @led;
	return 'nobody led' unless @led;
	$last = $from;
	foreach my $sample (@led, [ $to, $to ])
	{
		$longest = $sample->[1] - $last if $sample->[1] - $last > $longest;
		$last = $sample->[0];
	}
	return $longest / 1000;
}

END
{
	if (defined $observer)
	{
		my $exit_code = $?;

		kill 'TERM', $observer;
		waitpid $observer, 0;
		$? = $exit_code;
	}
}

1;
