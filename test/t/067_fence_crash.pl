# test/t/067_fence_crash.pl
#	  The primary is killed while a commit is on its way to its answer: at each point where it can
#	  be held, another primary has all that was answered.
#
# What was not answered is there once its copies have come, and not if they have not.  The supervisor of the killed server waits until another one is the primary.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PgLeaderManaged;
use PgLeaderProtocol;
use Test::More;

# Nobody waits for so long here: what waits is held.
my $cluster = PgLeaderManaged->new('crash', 3, settings => { %PgLeaderCluster::STEADY, fence_wait => '60s' }, conf => PgLeaderManaged::QUIET);
my ($primary, $observer, @answered);
my $round = 0;

sub begin
{
	($primary) = $cluster->wait_for_roles;
	$observer = PgLeaderProtocol->new($cluster->server($primary));
	return;
}

sub senders { return map { $_->{values}[0] } $observer->do('SELECT pid FROM pg_stat_replication'); }

# wait_for(SQL, NAME): a test; the only row of it is true.
sub wait_for
{
	my ($sql, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$cluster->wait_until($name, sub { $observer->value($sql) eq 't' });
	return;
}

sub wait_for_copies { return wait_for(q(SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'SyncRep'), 'the commit waits for copies'); }

sub wait_for_closed { return wait_for('SELECT NOT is_open FROM pg_leader_fence', 'the fence is closed'); }

# commit(): two rows in one transaction, on the way.
sub commit
{
	my $session = PgLeaderProtocol->new($cluster->server($primary));

	return $session->query(join ';', map { "INSERT INTO told VALUES ('$round row $_')" } 1, 2)->send;
}

# Each gets a commit to its point, and returns its session and the processes that stand still and
# are not the primary's.  The number: are its rows there afterwards?
my @points = (
	[ 'before the commit, it waits for the fence', 0, sub {
		my @stopped = $cluster->workers;
		my $session = PgLeaderProtocol->new($cluster->server($primary));

		kill 'STOP', @stopped;
		wait_for_closed();
		$session->query("INSERT INTO told VALUES ('$round row 1'), ('$round row 2')")->send;
		wait_for('SELECT waiting = 1 FROM pg_leader_fence', 'it waits');
		return ($session, @stopped);
	} ],
	[ 'it waits for copies, which have not been sent', 0, sub {
		my @stopped = senders();

		kill 'STOP', @stopped;
		my $session = commit();
		wait_for_copies();
		return $session;
	} ],
	[ 'the copies have come, which the primary does not know', 1, sub {
		my @stopped = $cluster->receivers($primary);
		my @senders = senders();
		my ($session, $end);

		# what was sent arrives, and nobody reads that it has
		kill 'STOP', @stopped;
		$session = commit();
		wait_for_copies();
		$end = $observer->value('SELECT pg_current_wal_flush_lsn()');
		wait_for("SELECT bool_and(sent_lsn >= '$end') FROM pg_stat_replication", 'it is sent');
		kill 'STOP', @senders;
		kill 'CONT', @stopped;
		foreach my $id ($cluster->others($primary))
		{
			$cluster->wait_until("node $id has it", sub { $cluster->sql($id, "SELECT pg_last_wal_receive_lsn() >= '$end'") eq 't' });
		}
		wait_for_copies();
		return $session;
	} ],
	[ 'the copies have come, and the lease has ended: it waits for its answer', 1, sub {
		my @receivers = $cluster->receivers($primary);
		my @stopped = $cluster->workers;

		kill 'STOP', @receivers;
		my $session = commit();
		wait_for_copies();
		kill 'STOP', @stopped;
		wait_for_closed();
		kill 'CONT', @receivers;
		wait_for(q(SELECT count(*) = 0 FROM pg_stat_activity WHERE wait_event = 'SyncRep'), 'it has its copies');
		wait_for('SELECT waiting = 1 FROM pg_leader_fence', 'and waits');
		return ($session, @stopped);
	} ],
	[ 'it is answered', 1, sub {
		my $session = commit();

		PgLeaderProtocol::answers(20, $session);
		return $session;
	} ]);

# crash(WHERE, IS_THERE, HOLD): tests.
sub crash
{
	my ($where, $is_there, $hold) = @_;
	my $killed = $primary;
	my ($next, $rows, $session, @stopped);

	$round++;
	$observer->do("INSERT INTO told VALUES ('$round answered')");
	push @answered, "$round answered";
	($session, @stopped) = $hold->();
	push @answered, "$round row 1", "$round row 2" if $session->is_answered;
	is($session->is_answered ? 1 : 0, $where eq 'it is answered' ? 1 : 0, "$where: " . ($session->said('CEZ') || 'no answer'));

	$cluster->signal($killed, 'STOP');
	$cluster->kill_server($killed);
	kill 'CONT', @stopped;
	PgLeaderProtocol::answers(20, $session);
	is($session->is_answered ? 1 : 0, $where eq 'it is answered' ? 1 : 0, 'its client gets nothing more');
	$cluster->wait_until('another one is the open primary', sub { $next = $cluster->open_primary; defined $next && $next != $killed });
	$cluster->signal($killed, 'CONT');
	$cluster->comes_back($killed, $next);
	begin();

	$rows = $observer->value("SELECT count(*) FROM told WHERE word LIKE '$round row %'");
	is($rows, $is_there ? 2 : 0, $is_there ? 'the whole transaction is there' : 'nothing of it is there');
	return;
}

$cluster->start_all;
begin();
$observer->do('CREATE TABLE told (word text)');
crash(@$_) foreach @points;
is($observer->value('SELECT count(*) FROM told WHERE word IN (' . join(', ', map { "'$_'" } @answered) . ')'), scalar @answered, 'all that was answered is there');

$cluster->stop_all;
$cluster->check_timelines;
done_testing();
