# test/t/066_fence_frozen.pl
#	  A primary that loses the leadership under load: it answers no commit any more, and what
#	  it had answered is not lost (scenario 71).
#
# It is frozen, long enough for another one to be elected, and then goes on; it hands the
# leadership over; its supervisor is stopped.
#
# Clients of pgbench insert (client, n), n = 1, 2, ...; its log has a line for each transaction
# that was answered, so a client with k lines was told of its rows 1 to k.  Half of the
# transactions ask for synchronous_commit = off.  Then the same in calm.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use List::Util qw(sum0);
use PgLeaderManaged;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

use constant {
	CLIENTS => 20,
	LEASE => 2,		  # max_timeout, seconds
	BEFORE => 3,	  # seconds of load before the freeze
	ALONE => 0.2,	  # seconds
	CALM => 10,		  # seconds
	AT_LEAST => 99.9, # per cent of the commits in calm that are answered
};

my $cluster = PgLeaderManaged->new('frozen', 3, settings => { %PgLeaderCluster::STEADY }, conf => "max_connections = 50\n");
my $directory = PostgreSQL::Test::Utils::tempdir('ledger');
my %scripts = (
	plain => 'INSERT INTO told VALUES (:client_id, :n);',
	off => "BEGIN;\nSET LOCAL synchronous_commit = off;\nINSERT INTO told VALUES (:client_id, :n);\nCOMMIT;");

append_to_file("$directory/$_.sql", "\\set n :n + 1\n$scripts{$_}\n") foreach keys %scripts;

# start_load(ID, NAME, SECONDS): clients of that server.
sub start_load
{
	my ($id, $name, $seconds) = @_;
	my $load = { name => $name, out => '', offset => $cluster->log_size($id), id => $id };

	is($cluster->sql($id, 'TRUNCATE told'), '', "$name: an empty table");
	$load->{run} = IPC::Run::start([ 'pgbench', '-n', '-c', CLIENTS, '-j', 2, '-T', $seconds, '-D', 'n=0', '-U', 'app',
			(map { ('-f', "$directory/$_.sql") } sort keys %scripts), '--log', "--log-prefix=$directory/$name",
			'-h', $cluster->server($id)->host, '-p', $cluster->server($id)->port, 'postgres' ],
		'>&', \$load->{out});
	return $load;
}

# start_loss(ID, NAME): tests; load that lasts until the server ends its sessions.
sub start_loss
{
	my ($id, $name) = @_;
	my $load = start_load($id, $name, 600);

	$cluster->wait_until('the clients write', sub { ($cluster->sql($id, 'SELECT count(*) > 1000 FROM told') // '') eq 't' });
	usleep(BEFORE * 1e6);
	return $load;
}

# end_load(LOAD): what was answered, { client => [time of each] }; its clients have ended.
sub end_load
{
	my $load = shift;

	$load->{run}->finish;
	$load->{status} = $load->{run}->result(0);
	$load->{answered} = {};
	foreach my $file (glob "$directory/$load->{name}.*")
	{
		my $lines = slurp_file($file);

		push @{ $load->{answered}{$1} }, $2 + $3 / 1e6 while $lines =~ /^(\d+) \d+ \d+ \d+ (\d+) (\d+)/mg;
	}
	$load->{acknowledged} = sum0(map { scalar @$_ } values %{ $load->{answered} });
	$load->{withheld} = () = $cluster->log_of($load->{id}, $load->{offset}) =~ /the answer to a commit is withheld/g;
	$load->{unanswered} = () = $load->{out} =~ /^pgbench: error: client \d+/mg;
	return $load->{answered};
}

# lost(LOAD, ID): rows that were answered and that node does not have.
sub lost
{
	my ($load, $id) = @_;
	my %has = map { $_ => 1 } split /\n/, $cluster->sql($id, 'SELECT client, n FROM told') // '';

	return grep { !$has{$_} } map { my $client = $_; map { "$client|$_" } 1 .. @{ $load->{answered}{$client} } } sort keys %{ $load->{answered} };
}

# check_loss(LOAD): tests; it has ended, another one is the primary, and lacks nothing.  Its id.
sub check_loss
{
	my $load = shift;
	my ($next, @lost);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	isnt($load->{status}, 0, 'the clients have lost their sessions');
	is(keys %{ $load->{answered} }, CLIENTS, 'each of them was answered before');
	$next = $cluster->wait_for_primary('there is an open primary');
	isnt($next, $load->{id}, 'which is another one');
	@lost = lost($load, $next);
	is(join(' ', @lost), '', 'it has all that was answered');
	diag(sprintf '%s: %d acknowledged, %d withheld, %d lost', $load->{name}, $load->{acknowledged}, $load->{withheld}, scalar @lost);
	return $next;
}

# freeze(ID): all of its processes.  Its sessions are the first to stand still, and the first to
# go on: walsenders still let their commits go, and nobody else keeps them from an answer.
sub freeze
{
	my $id = shift;
	my @sessions = split /\n/, $cluster->sql($id, q(SELECT pid FROM pg_stat_activity WHERE usename = 'app'));
	my @first = ($cluster->supervisor($id), $cluster->postmaster($id));
	my @pids;

	kill 'STOP', @sessions;
	usleep(ALONE * 1e6);
	kill 'STOP', @first;
	@pids = (@first, $cluster->processes($id));
	kill 'STOP', @pids;
	return (\@sessions, \@pids);
}

sub go_on
{
	my ($sessions, $all) = @_;

	kill 'CONT', @$sessions;
	usleep(ALONE * 1e6);
	kill 'CONT', @$all;
	return;
}

$cluster->start_all;
my ($old) = $cluster->wait_for_roles;
is($cluster->sql($old, 'CREATE TABLE told (client int, n int); CREATE ROLE app LOGIN; GRANT ALL ON told TO app'), '', 'a table');

subtest 'the primary is frozen for twice its lease' => sub {
	my $load = start_loss($old, 'frozen');
	my ($continued, @late, @frozen);

	@frozen = freeze($old);
	usleep(2 * LEASE * 1e6);
	$continued = time;
	go_on(@frozen);
	@late = grep { $_ > $continued } map { @$_ } values %{ end_load($load) };
	is(scalar @late, 0, 'complaint 2: nothing is answered once it goes on');
	$cluster->comes_back($old, check_loss($load));
};

subtest 'the leadership is handed over' => sub {
	my ($primary, $target) = $cluster->wait_for_roles;
	my $load = start_loss($primary, 'transfer');

	# Refused as long as the target has not told that it has the last commit, which is so most of the
	# time; the server may be stopped before it answers.
	$cluster->wait_until('to a member that is named', sub {
		$cluster->sql($primary, qq(
			DO \$\$ BEGIN
				FOR i IN 1 .. 100 LOOP
					BEGIN
						PERFORM pg_leader_transfer($target);
						EXIT;
					EXCEPTION WHEN object_not_in_prerequisite_state THEN PERFORM pg_sleep(0.01);
					END;
				END LOOP;
			END \$\$));
		return !$cluster->leads($primary);
	});
	end_load($load);
	$cluster->comes_back($primary, check_loss($load));
};

subtest 'the supervisor is stopped' => sub {
	my ($primary) = $cluster->wait_for_roles;
	my $load = start_loss($primary, 'stop');
	my $next;

	is($cluster->stop($primary), 0, 'its exit status');
	end_load($load);
	$next = check_loss($load);
	$cluster->start($primary);
	$cluster->comes_back($primary, $next);
};

subtest 'in calm' => sub {
	my ($primary) = $cluster->wait_for_roles;
	my $load = start_load($primary, 'calm', CALM);
	my (@lost, $share);

	end_load($load);
	@lost = lost($load, $primary);
	$share = 100 * $load->{acknowledged} / ($load->{acknowledged} + $load->{unanswered});
	cmp_ok($share, '>=', AT_LEAST, 'commits are answered, per cent');
	is($load->{withheld}, 0, 'nothing is withheld');
	is($cluster->sql($primary, 'SELECT withheld, commits_refused FROM pg_leader_fence'), '0|0', 'nor refused');
	is($load->{status}, 0, "pgbench's exit status") or diag($load->{out});
	is(scalar @lost, 0, 'nothing is lost');
	diag(sprintf '%d acknowledged (%.2f per cent), %d withheld, %d lost', $load->{acknowledged}, $share, $load->{withheld}, scalar @lost);
};

$cluster->check_timelines;
$cluster->check_history;
$cluster->stop_all;
done_testing();
