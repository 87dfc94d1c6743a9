# test/t/063_fence_waits.pl
#	  A commit that waits for its copies, or for the fence, is answered with success when it
#	  is safe, and not before (scenarios 71, 72, 75 and 76).
#
# Copies are kept away by stopping WAL receivers, and the fence is closed by stopping election
# workers.  What ends a wait in PostgreSQL is tried on servers without pg_leader first: each
# answers with success, and shows a row that no standby has.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PgFacts;
use PgLeaderManaged;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

# How long a wait has to last to be one, seconds.
use constant A_WHILE => 0.7;

use constant GIVEN => q(
CREATE TABLE told (word text);
CREATE ROLE app LOGIN;
GRANT ALL ON told TO app;
CREATE PROCEDURE tell(word text) LANGUAGE plpgsql AS 'BEGIN INSERT INTO told VALUES (word); COMMIT; END';
);

# What ends the synchronous wait of a commit of the row '%w', and the command tags of a success.
#
#	given	with all copies there
#	act		done to the waiting process
#	stock	psql's exit status without pg_leader; 0 if the success is answered
#	ends	the session ends
my @cases = (
	{ name => 'a cancel', act => 'cancel', sql => [q(INSERT INTO told VALUES ('%w'))], tag => 'INSERT 0 1' },
	{ name => 'a cancel of COMMIT', act => 'cancel', sql => [ 'BEGIN', q(INSERT INTO told VALUES ('%w')), 'COMMIT' ], tag => 'COMMIT' },
	{ name => 'a termination', act => 'terminate', sql => [q(INSERT INTO told VALUES ('%w'))], tag => 'INSERT 0 1', stock => 2, ends => 1 },
	{ name => 'statement_timeout in CALL', sql => [ 'SET statement_timeout = 200', q(CALL tell('%w')) ], tag => 'CALL' },
	{ name => 'statement_timeout in DO', sql => [ 'SET statement_timeout = 200', q(DO 'BEGIN INSERT INTO told VALUES (''%w''); COMMIT; END') ], tag => 'DO' },
	{ name => 'a cancel of PREPARE TRANSACTION', act => 'cancel', sql => [ 'BEGIN', q(INSERT INTO told VALUES ('%w')), q(PREPARE TRANSACTION '%w') ], tag => 'PREPARE TRANSACTION', hidden => 1 },
	{ name => 'a cancel of COMMIT PREPARED', act => 'cancel', given => q(SET SESSION AUTHORIZATION app; BEGIN; INSERT INTO told VALUES ('%w'); PREPARE TRANSACTION '%w'), sql => [q(COMMIT PREPARED '%w')], tag => 'COMMIT PREPARED' },
	{ name => 'synchronous_commit = off', sql => [ 'SET synchronous_commit = off', q(INSERT INTO told VALUES ('%w')) ], tag => 'INSERT 0 1' },
	{ name => 'synchronous_commit = local', sql => [ 'BEGIN', 'SET LOCAL synchronous_commit = local', q(INSERT INTO told VALUES ('%w')), 'COMMIT' ], tag => 'COMMIT' });

my $word = 'row000';

# ---- sessions ----

# session(SERVER, NAME, STATEMENT...): of the role "app", by psql.
sub session
{
	my ($server, $name, @statements) = @_;
	my $session = { name => $name, in => '', out => '', server => $server };

	$session->{run} = IPC::Run::start([ 'psql', '-XA', '-v', 'ON_ERROR_STOP=1', '-v', 'VERBOSITY=verbose', '-d', $server->connstr('postgres') . " user=app application_name='$name'", '-f', '-' ],
		'<', \$session->{in}, '>&', \$session->{out}, IPC::Run::timeout(180));
	query($session, @statements);
	return $session;
}

sub query
{
	my ($session, @statements) = @_;

	$session->{in} .= "$_;\n" foreach @statements;
	pump($session);
	return;
}

# open_session(SERVER, NAME, STATEMENT...): it has done these.
sub open_session
{
	my ($server, $name, @statements) = @_;
	my $session = session($server, $name, @statements, q(SELECT 'is open'));

	$server->{cluster}->wait_until("session \"$name\" is open", sub { said($session, qr/^is open$/m) });
	$session->{out} = '';
	return $session;
}

# Take what psql has said; it may have ended.
sub pump
{
	my $session = shift;

	eval { $session->{run}->pump_nb; 1 } or $@ =~ /process ended prematurely/ or die $@;
	return;
}

sub said { my ($session, $pattern) = @_; pump($session); return $session->{out} =~ $pattern; }

sub has_ended { my $session = shift; pump($session); return !$session->{run}->pumpable; }

# finish(SESSION): psql's exit status.
sub finish
{
	my $session = shift;

	$session->{run}->finish;
	return $session->{run}->result(0);
}

# activity(SESSION, WHAT): of pg_stat_activity; '' if its process is gone.
sub activity
{
	my ($session, $what) = @_;

	return $session->{server}->safe_psql('postgres', "SELECT $what FROM pg_stat_activity WHERE application_name = '$session->{name}'");
}

sub waits { return activity($_[0], 'wait_event') eq 'SyncRep'; }

sub is_visible { my ($server, $word) = @_; return $server->safe_psql('postgres', "SELECT count(*) FROM told WHERE word = '$word'"); }

# begin_case(SERVER, CASE, FREEZE): its session, once its commit may be waiting.
sub begin_case
{
	my ($server, $case, $freeze) = @_;
	my @sql = map { s/%w/$word/gr } @{ $case->{sql} };

	$server->safe_psql('postgres', $case->{given} =~ s/%w/$word/gr) if defined $case->{given};
	$freeze->();
	return session($server, $case->{name}, @sql);
}

sub act
{
	my ($session, $case) = @_;

	activity($session, "pg_$case->{act}_backend(pid)") if defined $case->{act};
	return;
}

# ---- without pg_leader ----

subtest 'without pg_leader each of these is answered, and no standby has it' => sub {
	my $base = PgFacts->first_image("max_prepared_transactions = 5\n", GIVEN =~ s/^CREATE TABLE.*?$//mr);
	my ($primary, $standby) = map { PgFacts->new($_) } qw(primary standby);
	my $receiver;

	$primary->place($base);
	$primary->start;
	$standby->place($base, $primary);
	$standby->start;
	$standby->caught_up($primary);
	$primary->waits_for('ANY 1 (standby)');
	($receiver) = $standby->receiver =~ /^(\d+)/;
	foreach my $case (@cases)
	{
		my ($session, $status);

		$word++;
		$session = begin_case($primary, $case, sub { kill 'STOP', $receiver });
		$primary->until("$case->{name}: a commit waits", sub { waits($session) }) if defined $case->{act};
		act($session, $case);
		$status = defined $case->{stock} ? finish($session) : do { $primary->until("$case->{name}: it is answered", sub { said($session, qr/^$case->{tag}$/m) }); finish($session) };
		is($status, $case->{stock} // 0, "$case->{name}: psql's exit status");
		is(is_visible($primary, $word), 1, "$case->{name}: the row is visible") unless $case->{hidden};
		is($standby->knows($word), '', "$case->{name}: the standby does not have it");
		kill 'CONT', $receiver;
		$standby->caught_up($primary);
	}
	$_->stop('immediate') foreach $standby, $primary;
};

# ---- with it ----

my $cluster = PgLeaderManaged->new('waits', 3, settings => { %PgLeaderCluster::STEADY, fence_wait => '20s' },
	conf => PgLeaderManaged::QUIET . "max_prepared_transactions = 5\n");
my ($primary, @others, $server);

sub learn_roles
{
	($primary, @others) = $cluster->wait_for_roles;
	$server = $cluster->server($primary);
	$server->{cluster} = $cluster;
	return;
}

sub freeze { my @pids = $cluster->receivers($primary); kill 'STOP', @pids; return @pids; }

# fence(WHAT): of pg_leader_fence of the primary.
sub fence { return $cluster->sql($primary, "SELECT $_[0] FROM pg_leader_fence"); }

# close_fence(): tests; nobody renews a lease, and nobody is elected.  Returns whom to continue.
sub close_fence
{
	my @pids = map { $cluster->worker($_) } $primary, @others;

	kill 'STOP', @pids;
	$cluster->wait_until('the lease runs out', sub { fence('is_open') eq 'f' });
	is(fence('reason'), 'no_lease', 'which is the reason');
	return @pids;
}

sub open_fence
{
	kill 'CONT', @_;
	$cluster->wait_until('the fence is open', sub { fence('is_open') eq 't' });
	return;
}

# keep_leader(VALUE): nobody else may stand for election; or everybody.
sub keep_leader { my $keeps = shift; $cluster->set_now($_, candidate => $keeps ? 'off' : 'on') foreach @others; return; }

$cluster->start_all;
learn_roles();
is($cluster->sql($primary, GIVEN), '', 'a table');

foreach my $case (@cases, { name => 'synchronous_commit = remote_write', sql => [ 'SET synchronous_commit = remote_write', q(INSERT INTO told VALUES ('%w')) ], tag => 'INSERT 0 1' })
{
	subtest "$case->{name}: no success before a quorum has it" => sub {
		my ($session, @frozen);

		$word++;
		$session = begin_case($server, $case, sub { @frozen = freeze() });
		is(scalar @frozen, 2, 'both receivers stand still');
		$cluster->wait_until('the commit waits', sub { waits($session) });
		act($session, $case);
		$cluster->wait_until('the client is cut off', sub { has_ended($session) }, 5) if $case->{ends};
		$cluster->stays('complaint 4: it goes on waiting, and its row is invisible', A_WHILE, sub {
			waits($session) && is_visible($server, $word) == 0 && !said($session, qr/^$case->{tag}$/m) });
		kill 'CONT', @frozen;
		if ($case->{ends})
		{
			$cluster->wait_until('the process ends', sub { activity($session, 'pid') eq '' });
			is(finish($session), 2, "psql's exit status");
			like($session->{out}, qr/server closed the connection/, 'it knows nothing');
			unlike($session->{out}, qr/^$case->{tag}$/m, 'there was no success');
		}
		else
		{
			$cluster->wait_until('with copies it is answered', sub { said($session, qr/^$case->{tag}$/m) });
			is(finish($session), 0, "psql's exit status");
		}
		is(is_visible($server, $word), 1, 'the row is visible') unless $case->{hidden};
		$cluster->sql($primary, "ROLLBACK PREPARED '$word'") if $case->{hidden};
	};
}

subtest 'a client that is killed: its row is invisible until a quorum has it' => sub {
	my @frozen = freeze();
	my $session;

	$word++;
	$session = session($server, 'killed', "INSERT INTO told VALUES ('$word')");
	$cluster->wait_until('the commit waits', sub { waits($session) });
	$session->{run}->kill_kill;
	$cluster->stays('it goes on waiting, and its row is invisible', A_WHILE, sub { waits($session) && is_visible($server, $word) == 0 });
	kill 'CONT', @frozen;
	$cluster->wait_until('the process ends', sub { activity($session, 'pid') eq '' });
	is(is_visible($server, $word), 1, 'the row is visible');
};

subtest 'allow_local_commit: who asks for it does not wait for copies' => sub {
	my @frozen;

	$cluster->set_now($primary, allow_local_commit => 'on');
	@frozen = freeze();
	foreach my $value (qw(off local))
	{
		my $session = session($server, "local $value", "SET synchronous_commit = $value", "INSERT INTO told VALUES ('$value')");

		$cluster->wait_until("$value: it is answered", sub { said($session, qr/^INSERT 0 1$/m) });
		is(is_visible($server, $value), 1, "$value: the row is visible");
		finish($session);
	}
	my $session = session($server, 'not local', q(INSERT INTO told VALUES ('on')));
	$cluster->wait_until('on: the commit waits', sub { waits($session) });
	$cluster->stays('it goes on waiting', A_WHILE, sub { waits($session) });
	kill 'CONT', @frozen;
	$cluster->wait_until('with copies it is answered', sub { said($session, qr/^INSERT 0 1$/m) });
	finish($session);
	$cluster->set_now($primary, allow_local_commit => 'off');
};

subtest 'PREPARE TRANSACTION of a transaction that wrote nothing: PostgreSQL has its copy, and the fence has not' => sub {
	my ($unbound, $behind) = @others;
	my @pids = ($cluster->worker($unbound), $cluster->receiver($behind));
	my ($row, $empty);

	keep_leader(1);
	kill 'STOP', @pids;
	$cluster->wait_until('the one is bound to nobody', sub { $cluster->sql($primary, "SELECT last_heard > '2500ms' FROM pg_leader_peers WHERE node_id = $unbound") eq 't' });
	$row = session($server, 'row', q(INSERT INTO told VALUES ('unbound')));
	$cluster->wait_until('a commit is PostgreSQL\'s to answer', sub { is_visible($server, 'unbound') });
	$empty = session($server, 'empty', 'BEGIN', q(PREPARE TRANSACTION 'empty'));
	$cluster->wait_until('it is prepared', sub { $cluster->sql($primary, 'SELECT gid FROM pg_prepared_xacts') eq 'empty' });
	$cluster->stays('neither is answered', A_WHILE, sub { !said($row, qr/^INSERT/m) && !said($empty, qr/^PREPARE/m) });
	kill 'CONT', @pids;
	$cluster->wait_until('then both are', sub { said($row, qr/^INSERT 0 1$/m) && said($empty, qr/^PREPARE TRANSACTION$/m) });
	is(finish($_), 0, "psql's exit status") foreach $row, $empty;
	$cluster->sql($primary, q(ROLLBACK PREPARED 'empty'));
	keep_leader(0);
};

subtest 'COMMIT PREPARED that fails after a savepoint: the session can be cancelled as before' => sub {
	my $session = session($server, 'savepoint', '\set ON_ERROR_STOP 0 \\\\ BEGIN', 'SAVEPOINT a', q(COMMIT PREPARED 'none'), 'ROLLBACK TO a', 'SELECT pg_sleep(100)');

	$cluster->wait_until('it sleeps', sub { activity($session, 'wait_event') eq 'PgSleep' });
	is(fence('waiting'), 0, 'nothing waits for the fence');
	activity($session, 'pg_cancel_backend(pid)');
	$cluster->wait_until('it is cancelled', sub { said($session, qr/canceling statement due to user request/) });
	like($session->{out}, qr/COMMIT PREPARED cannot run inside a transaction block/, 'after that error');
	finish($session);
};

# ---- the lease is lost, for a while ----

subtest 'the lease is lost for less than fence_wait: all commits wait and succeed' => sub {
	my ($waited, $withheld, $refused) = split /\|/, fence('waited, withheld, commits_refused');
	my $term = fence('term');
	my (%sessions, @frozen, @pids, $closed_at);

	keep_leader(1);
	$sessions{begun} = open_session($server, 'begun', 'BEGIN', q(INSERT INTO told VALUES ('begun')));
	$sessions{$_} = open_session($server, $_) foreach qw(new procedure);
	@frozen = freeze();
	$sessions{copies} = session($server, 'copies', q(INSERT INTO told VALUES ('copies')));
	$cluster->wait_until('one commit waits for copies', sub { waits($sessions{copies}) });
	$closed_at = time;
	@pids = close_fence();
	query($sessions{begun}, 'COMMIT');
	query($sessions{new}, q(INSERT INTO told VALUES ('new')));
	query($sessions{procedure}, q(CALL tell('procedure')));
	$cluster->wait_until('all of them wait', sub { fence('waiting') == 4 });
	kill 'CONT', @frozen;
	$cluster->wait_until('one has its copies, and waits for the lease', sub { !waits($sessions{copies}) });
	$cluster->stays('nothing is answered', 1, sub { !grep { said($_, qr/^(?:INSERT 0 1|COMMIT|CALL)$/m) || has_ended($_) } values %sessions });
	open_fence(@pids);
	cmp_ok(time - $closed_at, '<', 20, 'all of that took less than fence_wait');
	foreach my $name (sort keys %sessions)
	{
		$cluster->wait_until("\"$name\" is answered", sub { said($sessions{$name}, qr/^(?:INSERT 0 1|COMMIT|CALL)$/m) });
		query($sessions{$name}, q(INSERT INTO told VALUES ('again')));
		is(finish($sessions{$name}), 0, 'and its session goes on');
		is(is_visible($server, $name), 1, 'its row is visible');
	}
	is($cluster->open_primary, $primary, 'the primary is the same');
	is(fence('waiting'), 0, 'nothing waits');
	is(fence('withheld, commits_refused'), "$withheld|$refused", 'nothing is withheld or refused');
	cmp_ok(fence('waited'), '>=', $waited + 3, 'the waits are counted');
	note("term $term, then " . fence('term'));
	keep_leader(0);
};

subtest 'the lease is lost for longer: who waits for copies is cut off, and its row is invisible' => sub {
	my $withheld = fence('withheld');
	my ($session, @frozen, @pids);

	keep_leader(1);
	$cluster->set_now($primary, fence_wait => '300ms');
	@frozen = freeze();
	$session = session($server, 'cut off', q(INSERT INTO told VALUES ('cut off')));
	$cluster->wait_until('its commit waits', sub { waits($session) });
	@pids = close_fence();
	$cluster->wait_until('the client is cut off', sub { has_ended($session) }, 10);
	isnt(finish($session), 0, "psql's exit status");
	unlike($session->{out}, qr/^INSERT 0 1$/m, 'there was no success');
	$cluster->stays('the process waits, and its row is invisible', A_WHILE, sub { waits($session) && is_visible($server, 'cut off') == 0 });
	kill 'CONT', @frozen;
	$cluster->wait_until('with copies it ends', sub { activity($session, 'pid') eq '' });
	is(is_visible($server, 'cut off'), 1, 'the row is visible');
	is(fence('withheld'), $withheld + 1, 'the answer was withheld');
	open_fence(@pids);
	$cluster->set_now($primary, fence_wait => '20s');
	keep_leader(0);
};

subtest 'read_fence: a read that ends with the fence closed is an error' => sub {
	my ($on, $off, $kept, $standby, $exempt, @pids);
	my $refused = fence('reads_refused');

	keep_leader(1);
	$on = open_session($server, 'on');
	$exempt = open_session($server, 'exempt');
	$cluster->set_now($primary, fence_wait => '300ms');
	$off = open_session($server, 'off');
	@pids = close_fence();
	query($off, q(SELECT 'read ' || count(*) FROM told));
	$cluster->wait_until('off: it is read', sub { said($off, qr/^read \d+$/m) });
	$cluster->set_now($primary, read_fence => 'on');
	query($on, q(SELECT 'read'));
	$cluster->wait_until('on: the session ends', sub { has_ended($on) });
	like($on->{out}, qr/FATAL:  57P01: pg_leader: what this transaction has read may be out of date/, 'and is told why');
	is($cluster->sql($primary, 'SELECT 1'), 1, 'on: an exempt role reads');
	is(fence('reads_refused'), $refused + 1, 'it is counted');
	$standby = session($cluster->server($others[0]), 'standby', q(SELECT 'read'));
	is(finish($standby), 0, 'a standby has no fence');
	open_fence(@pids);
	query($off, q(SELECT 'read again'));
	$cluster->wait_until('on, and the fence is open: it is read', sub { said($off, qr/^read again$/m) });
	is(finish($_), 0, 'the session has not ended') foreach $off, $exempt;
	$cluster->set_now($primary, read_fence => 'off', fence_wait => '20s');
	keep_leader(0);
};

# ---- who is elected without copies ----

subtest 'a new leader that nobody receives from: not open, and no commit begins' => sub {
	my ($next, $behind, $failure, $old) = (@others, undef, $primary);
	my $receiver = $cluster->receiver($behind);

	# the one has all, the other lacks the last commit: it will vote for the one
	kill 'STOP', $receiver;
	is($cluster->sql($old, q(INSERT INTO told VALUES ('by one'))), '', 'a commit that one other member has');
	$cluster->set_now($_, fence_wait => '300ms') foreach @others;
	$cluster->signal($old, 'STOP');
	$cluster->kill_server($old);
	$cluster->wait_until('another one is primary, and waits for a copy', sub { ($cluster->role($next)->{reason} // '') eq 'no_quorum' });
	is($cluster->sql($next, 'SELECT is_open, reason, term IS NULL FROM pg_leader_fence'), 'f|not_opened|t', 'its fence is closed');
	like($cluster->failure($next, q(BEGIN READ WRITE; INSERT INTO told VALUES ('too soon'); COMMIT)),
		qr/FATAL:  pg_leader: nothing of this transaction was committed.*it leads and is not open yet/s, 'a commit is refused');
	$failure = session($cluster->server($next), 'early', q(SELECT 1));
	isnt(finish($failure), 0, 'a session of an ordinary role');
	like($failure->{out}, qr/FATAL:  pg_leader: this server does not accept connections now/, 'is refused');
	kill 'CONT', $receiver;
	$cluster->wait_until('with a copy it is open', sub { $cluster->role($next)->{is_open} });
	is($cluster->sql($next, q(SELECT string_agg(word, ' ') FROM told WHERE word IN ('by one', 'too soon'))), 'by one', 'what was committed is there, and what was refused is not');
	$cluster->signal($old, 'CONT');
	learn_roles();
	$cluster->set_now($_, fence_wait => '20s') foreach $cluster->ids;
};

# ---- the server is stopped ----

foreach my $how (qw(supervisor pg_ctl))
{
	subtest "a fast stop by $how while a commit waits: it is not answered, and the server stops" => sub {
		my $old = $primary;
		my ($began, $session, @frozen);

		# PostgreSQL waits for those who receive, too, as long as they are taken for alive
		$server->append_conf('postgresql.conf', "wal_sender_timeout = 2s\n");
		$server->reload;
		$cluster->wait_until('the setting is in force', sub { $cluster->sql($old, 'SHOW wal_sender_timeout') eq '2s' });
		@frozen = freeze();
		$session = session($server, 'stopped', "INSERT INTO told VALUES ('by $how')");
		$cluster->wait_until('its commit waits', sub { waits($session) });
		$began = time;
		if ($how eq 'pg_ctl') { system_log('pg_ctl', '-W', '-D', $server->data_dir, '-m', 'fast', 'stop'); }
		else { $cluster->signal($old, 'TERM'); }
		$cluster->wait_until('the client is cut off', sub { has_ended($session) }, 10);
		isnt(finish($session), 0, "psql's exit status");
		unlike($session->{out}, qr/^INSERT 0 1$/m, 'there was no success');
		$cluster->wait_until('the server has stopped', sub { !defined $cluster->postmaster($old) }, 20);
		note(sprintf 'after %.1f s', time - $began);
		kill 'CONT', @frozen;
		if ($how eq 'pg_ctl') { $cluster->stop($old); }
		else { $cluster->wait_until('and the supervisor', sub { !$cluster->is_running($old) }); }
		$primary = $cluster->wait_for_primary('another one is open');
		$cluster->start($old);
		$cluster->comes_back($old, $primary);
		learn_roles();
	};
}

$cluster->check_timelines;
$cluster->check_history;
$cluster->stop_all;
done_testing();
