#!/usr/bin/perl
# test/stand/haproxy.pl
#	  A client that knows one address only, HAProxy's, and always gets the leader:
#	  through a planned hand-over, the death of the leader, and a leader cut off.
#
# The real HAProxy, as a daemon, with config/haproxy_election.cfg, of which addresses and
# paths are exchanged, and script/pg_leader_check; three real servers.  The client asks
# and writes on a new connection each time.  Its longest gap is printed; asserted
# is only that it is far below what would mean that something is stuck.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Cwd qw(realpath);
use POSIX ();
use Stand;
use Test::More;
use Time::HiRes qw(sleep);

# Nothing is expected to take that long, in s.
use constant LIMIT => 30;

my $top = realpath("$FindBin::RealBin/../..");
my $why = Stand::missing();
$why //= 'no haproxy' if system('type haproxy >/dev/null 2>&1') != 0;
plan skip_all => $why if defined $why;

my $stand = Stand->new(nodes => 3);
my @all = $stand->ids;
my $gateway = $stand->join_bridge;
my $port = 5000;
my $haproxy;

my $owner = $$;

END { if ($haproxy && $$ == $owner) { local $?; kill 'KILL', $haproxy; } }

# ---- the servers ----

$stand->launch(1, @all);
foreach my $id (@all)
{
	open(my $hba, '>>', "$stand->{dir}/node$id/pg_hba.conf") or die "pg_hba.conf: $!";
	print $hba "host all all $gateway/32 trust\n";
	close $hba;
	# one statement each: outside a transaction block, so to say
	defined $stand->query($id, $_) or die "node $id: $_" foreach
		'SELECT pg_reload_conf()',
		'CREATE TABLE written (at timestamptz DEFAULT clock_timestamp(), node int)',
		'CREATE ROLE checker LOGIN';
}
my ($leader, $term) = $stand->settled;

# ---- HAProxy, as the sample configures it ----

sub configure
{
	my ($text) = Chaos::slurp("$top/config/haproxy_election.cfg");

	$text =~ s{^\s*(?:user|group) haproxy\n}{}mg;
	$text =~ s{bind :5000}{bind $gateway:$port};
	$text =~ s{external-check command \K\S+}{$stand->{dir}/haproxy_check};
	$text =~ s{external-check path "}{external-check path "$stand->{bin}:};
	foreach my $id (@all)
	{
		my $at = $stand->{tcp} + $id;
		$text =~ s{server node$id \S+}{server node$id @{[ $stand->address($id) ]}:$at} or die "no server node$id in the sample";
	}
	open(my $file, '>', "$stand->{dir}/haproxy.cfg") or die $!;
	print $file $text;
	close $file;

	# The script in between, as the sample's comment has it.
	my ($between) = $text =~ /^# +(#!\/bin\/sh\n# +exec .*\n)/m or die 'no script in the sample';
	$between =~ s{^# +}{}mg;
	$between =~ s{/usr/local/bin/pg_leader_check}{'$top/script/pg_leader_check'} or die $between;
	open($file, '>', "$stand->{dir}/haproxy_check") or die $!;
	print $file $between;
	close $file;
	chmod 0755, "$stand->{dir}/haproxy_check";
	return;
}

configure();
my ($status, $output) = $stand->try_run('/usr/sbin/haproxy', '-c', '-f', "$top/config/haproxy_election.cfg");
is($status, 0, 'HAProxy accepts the sample as it is') or diag($output);

# As a daemon: it then closes standard input, output and error, for its checks, too.
my $pidfile = "$stand->{dir}/haproxy.pid";
($status, $output) = $stand->try_run('/usr/sbin/haproxy', '-D', '-p', $pidfile, '-f', "$stand->{dir}/haproxy.cfg");
is($status, 0, 'HAProxy starts') or diag($output);
$haproxy = Chaos::slurp($pidfile) =~ /^(\d+)\n\z/ ? $1 : die "$pidfile names no process";

# ---- the client ----

# One connection: the node that answered, whether it held a lease then, and whether
# it has written the row; undef if there was none.
sub ask
{
	my $pid = open(my $pipe, '-|') // die "fork: $!";
	if ($pid == 0)
	{
		open(STDERR, '>', '/dev/null');
		$ENV{PGCONNECT_TIMEOUT} = 2;
		exec('timeout', '0.5', "$stand->{bin}/psql", '-h', $gateway, '-p', $port, '-U', 'postgres', '-d', 'postgres',
			'-XAtq', '-F', ' ', '-c', 'INSERT INTO written (node) VALUES (pg_leader_node_id()) '
			  . 'RETURNING node, pg_leader_is_leader()') or POSIX::_exit(127);
	}
	my $line = <$pipe>;
	close $pipe;
	return undef unless $? == 0 && defined $line && $line =~ /^(\d+) ([tf])$/;
	return { node => $1, leads => $2 eq 't', at => Chaos::now() };
}

# Ask until so many answers in a row, ten by default, are as wanted.  Returns all
# answers.  No answer is none: a busy machine may take longer than the client.
sub ask_until
{
	my ($wanted, $name, $rows) = @_;
	my $end = Chaos::now() + LIMIT;
	my @answers;
	my $row = 0;

	$rows //= 10;
	while ($row < $rows && Chaos::now() < $end)
	{
		my $answer = ask();
		if (!defined $answer) { sleep(0.01); next; }
		push @answers, $answer;
		$row = $wanted->($answer) ? $row + 1 : 0;
	}
	is($row, $rows, $name);
	return @answers;
}

# The longest time without an answer from a leader, in s.
sub longest_gap
{
	my ($since, @answers) = @_;
	my $gap = 0;

	foreach my $answer (grep { $_->{leads} } @answers)
	{
		$gap = $answer->{at} - $since if $answer->{at} - $since > $gap;
		$since = $answer->{at};
	}
	return $gap;
}

# Do that while the client goes on asking, until another one has taken over.
sub failover
{
	my ($name, $what) = @_;
	my ($last) = reverse ask_until(sub { $_[0]{leads} }, "$name: the client is with a leader before", 1);
	my $old = $last->{node};
	my $doer = fork() // die "fork: $!";
	if ($doer == 0)
	{
		eval { $what->($old); 1 } or print STDERR $@;
		POSIX::_exit($@ eq '' ? 0 : 1);
	}
	my @answers = ask_until(sub { $_[0]{node} != $old && $_[0]{leads} }, "$name: the client gets to the new leader");
	my $gap = longest_gap($last->{at}, @answers);
	waitpid($doer, 0);
	is($?, 0, "$name: it was done");
	my @stray = grep { !$_->{leads} } @answers;

	cmp_ok($gap, '<', LIMIT, "$name: in time");
	$leader = $answers[-1]{node};
	diag(sprintf("%s: the client was without a leader for %.0f ms; %d of %d answers came from a server without a lease",
			$name, 1000 * $gap, scalar @stray, scalar @answers));
	return $old;
}

my $same = -1;
ask_until(sub {
	my ($answer) = @_;
	my $stays = $answer->{leads} && $answer->{node} == $same;

	$same = $answer->{node};
	return $stays;
}, 'the client gets to the leader, and to nobody else', 30);

failover('hand-over', sub { $stand->ctl('transfer'); });
my $killed = failover('leader killed', sub { $stand->kill_nodes($_[0]); });
$stand->launch(0, $killed);
$stand->settled;
failover('leader cut off from its peers, not from HAProxy', sub {
	my ($old) = @_;
	$stand->ctl("disconnect $old $_ both") foreach grep { $_ != $old } @all;
});
$stand->ctl('brainjoin');
($leader, $term) = $stand->settled;
ask_until(sub { $_[0]{leads} }, 'the client is with a leader when all is whole');

# Nobody: no majority, and so nobody to connect to.
$stand->kill_nodes(grep { $_ != $leader } @all);
my $end = Chaos::now() + LIMIT;
my $refused = 0;
while ($refused < 10 && Chaos::now() < $end) { $refused = defined ask() ? 0 : $refused + 1; }
is($refused, 10, 'without a majority nobody is offered');

is_deeply([ $stand->unexpected_ends ], [], 'no server has ended by itself');
done_testing();
