# test/t/065_fence_walsenders.pl
#	  Which walsenders are members', what they count for, and who may log in (scenarios 68
#	  and 69).
#
# Commits are kept from their copies by stopping both WAL receivers.  Then a client that speaks
# the replication protocol takes the place of one: whatever it says was flushed is answered
# to a commit, or not.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PgLeaderManaged;
use PgLeaderProtocol;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

# How long a wait has to last to be one, seconds.
use constant A_WHILE => 0.7;

my $user = getpwuid $<;
my $cluster = PgLeaderManaged->new('senders', 3, settings => { %PgLeaderCluster::STEADY, fence_wait => '300ms', fence_exempt_roles => 'other, admin' },
	conf => PgLeaderManaged::QUIET);
my ($primary, $one, $other, $server);
my $told = 0;

# ---- a client of the protocol ----

# connect_to(SERVER, PARAMETERS): it is ready for queries, or was refused.  host: of the client,
# '' for a socket in the file system.
sub connect_to
{
	my ($to, %parameters) = @_;
	my $from = delete $parameters{host} // '127.0.0.1';

	return PgLeaderProtocol->new($to, $from eq '' ? () : (host => '127.0.0.1', from => $from), parameters => \%parameters);
}

# member(ID, PARAMETERS): as that member's receiver would connect to the primary.
sub member
{
	my ($id, %parameters) = @_;

	return connect_to($server, user => $user, replication => 'true', application_name => "pg_leader_$id", options => "-c pg_leader.receiver=$id", %parameters);
}

# stream(CLIENT, LSN): it receives from there.
sub stream
{
	my ($client, $lsn) = @_;

	$client->query("START_REPLICATION PHYSICAL $lsn TIMELINE " . $cluster->role($primary)->{timeline})->send->gets('EW');
	is(($client->all('EW'))[0]{type}, 'W', 'it may receive');
	return;
}

# report(CLIENT, LSN): all up to there is flushed.
sub report
{
	my ($client, $lsn) = @_;
	my $position = pack 'NN', map { hex } split m{/}, $lsn;

	$client->copy_data("r$position$position$position" . "\0" x 9)->send;
	return;
}

# has_ended(NAME, CLIENT): a test; the server closes the connection.  Returns after how long.
sub has_ended
{
	my ($name, $client) = @_;
	my $began = time;

	ok($client->gets('', 30) && $client->has_ended, $name);
	return time - $began;
}

# ---- commits ----

sub lsn { my $what = shift; return $cluster->sql($primary, "SELECT pg_current_wal_flush_lsn()" . ($what // '')); }

sub freeze { my @pids = $cluster->receivers($primary); kill 'STOP', @pids; is(scalar @pids, 2, 'both receivers stand still'); return @pids; }

# commit(): one that waits for copies: psql's handle.
sub commit
{
	my $commit = { out => '', told => ++$told };

	$commit->{run} = IPC::Run::start([ 'psql', '-XA', '-d', $server->connstr('postgres') . " application_name=commit_$told", '-c', "INSERT INTO told VALUES ($told)" ], '>&', \$commit->{out});
	$cluster->wait_until("commit $told waits", sub { commit_waits_for($commit) eq 'SyncRep' });
	return $commit;
}

sub commit_waits_for { my $commit = shift; return $cluster->sql($primary, "SELECT wait_event FROM pg_stat_activity WHERE application_name = 'commit_$commit->{told}'") // ''; }

sub is_answered { my $commit = shift; eval { $commit->{run}->pump_nb; 1 } or $@ =~ /process ended prematurely/ or die $@; return $commit->{out} =~ /^INSERT 0 1$/m; }

sub is_not_answered
{
	my ($name, $commit) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$cluster->stays($name, A_WHILE, sub { !is_answered($commit) });
	return;
}

# thaw(COMMIT, PID...): tests; with the receivers it is answered.
sub thaw
{
	my ($commit, @frozen) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	kill 'CONT', @frozen;
	$cluster->wait_until('with copies the commit is answered', sub { is_answered($commit) });
	$commit->{run}->finish;
	$cluster->wait_for_followers('both are received from', $primary);
	return;
}

# hold_role_worker(CODE): without it nobody ends a walsender, but for newer ones.
sub hold_role_worker
{
	my $code = shift;
	my $pid = $cluster->role_worker($primary);

	kill 'STOP', $pid;
	$code->();
	kill 'CONT', $pid;
	return;
}

sub learn_roles
{
	($primary, $one, $other) = $cluster->wait_for_roles;
	$server = $cluster->server($primary);
	return;
}

# code(NODE, ROLE): with what it is refused, 'welcome' if it is not.
sub code
{
	my ($id, $role, %parameters) = @_;

	return connect_to($cluster->server($id), user => $role, database => 'postgres', %parameters)->error->{C} // 'welcome';
}

# ---- names ----

append_to_file($cluster->server($_)->data_dir . '/pg_hba.conf', "host replication all 127.0.0.0/8 trust\n") foreach $cluster->ids;
$cluster->start_all;
learn_roles();
is($cluster->sql($primary, 'CREATE TABLE told (n int); CREATE ROLE app LOGIN; CREATE ROLE admin LOGIN; GRANT ALL ON told TO app, admin'), '', 'a table, and roles');

subtest 'only a member\'s own receiver may bear its name' => sub {
	my $refused = $cluster->sql($primary, 'SELECT logins_refused FROM pg_leader_fence');
	my @cases = (
		[ 'no receiver\'s mark', qr/it is not a WAL receiver of a managed server/, options => '' ],
		[ 'the mark of another member', qr/it is not a WAL receiver/, options => "-c pg_leader.receiver=$other" ],
		[ 'more than the mark', qr/it is not a WAL receiver/, options => "-c pg_leader.receiver=$one -c work_mem=64" ],
		[ 'the name in capitals, which PostgreSQL takes for it', qr/it is not a WAL receiver/, application_name => "PG_LEADER_$one", options => '' ],
		[ 'another address', qr/from 127\.0\.0\.3 may not .* it does not come from that member's address/, host => '127.0.0.3' ],
		[ 'a socket in the file system', qr/it does not come from that member's address/, host => '' ],
		[ 'the name of the primary itself', qr/it does not come from that member's address/, application_name => "pg_leader_$primary", options => "-c pg_leader.receiver=$primary" ],
		(map { [ "the name in the options: $_", qr/the options set application_name/, application_name => 'nobody', options => $_ ] }
			"-c application_name=pg_leader_$one", "-capplication_name=pg_leader_$one", "--application_name=pg_leader_$one",
			"--application-name=pg_leader_$one", "-c APPLICATION_NAME=pg_leader_$one", "-c appli\\cation_name=pg_leader_$one"),
		[ 'application_name in capitals', qr/the options set application_name/, application_name => 'nobody', Application_Name => "pg_leader_$one", options => '' ]);

	foreach (@cases)
	{
		my ($name, $error, %parameters) = @$_;
		my $client = member($one, %parameters);

		is($client->error->{C}, '28000', $name);
		like($client->error->{M} // '', $error, 'and why');
	}
	is($cluster->sql($primary, 'SELECT logins_refused FROM pg_leader_fence'), $refused + @cases, 'they are counted');
	is(member($one, application_name => $_, options => '')->error->{C}, undef, "\"$_\" is no member's") foreach "pg_leader_${one}_clone", 'pg_leader_7', "pg_leader_0$one", 'nobody';
	command_checks_all([ 'pg_receivewal', '--no-loop', '-D', $PostgreSQL::Test::Utils::tmp_check, '-d', $server->connstr . " application_name=pg_leader_$one" ],
		1, [qr/^$/], [qr/FATAL:  pg_leader: a connection from \S+ may not replicate as "pg_leader_$one"/], 'pg_receivewal');
	is(code($primary, 'app', application_name => "pg_leader_$one"), 'welcome', 'a session that does not replicate');
};

subtest 'a server that does not lead serves no member' => sub {
	my $began = time;
	my $client = connect_to($cluster->server($one), user => $user, replication => 'true', application_name => "pg_leader_$other", options => "-c pg_leader.receiver=$other");

	is($client->error->{C}, '57P03', 'it is refused');
	like($client->error->{M}, qr/node $other is not served now/, 'and why');
	cmp_ok(time - $began, '>=', 1, 'after a second');
};

# ---- one walsender of a member ----

sub rows { return $cluster->sql($primary, "SELECT string_agg(pid::text, ' ') FROM pg_stat_replication WHERE application_name = 'pg_leader_$one'") // ''; }

subtest 'a member has one walsender: the newest' => sub {
	my $before = rows();
	my ($client, $genuine, @frozen);

	like($before, qr/^\d+$/, 'there is one');
	kill 'TERM', $cluster->receiver($one);
	$cluster->wait_until('its receiver begins anew: there is another one', sub { rows() =~ /^\d+$/ && rows() ne $before });

	# the older one is of a receiver that stands still
	@frozen = freeze();
	$genuine = rows();
	hold_role_worker(sub {
		$client = member($one);
		is($client->error->{C}, undef, 'it connects once more');
		unlike(rows(), qr/\b$genuine\b/, 'the older one has ended before it is served');
	});
	stream($client, lsn());
	$cluster->wait_until('that is the only one', sub { rows() =~ /^\d+$/ && rows() ne $genuine });
	ok(PgLeaderCluster::are_gone($genuine), 'the older one has ended');
	kill 'CONT', @frozen;
	has_ended('its receiver comes back: the client\'s is the older one now, and ends', $client);
	$cluster->wait_for_followers('both are received from', $primary);
	like(rows(), qr/^\d+$/, 'there is one');
};

# ---- what is counted ----

subtest 'what a member has flushed is counted' => sub {
	my @frozen = freeze();
	my $from = lsn();
	my $commit = commit();
	my $client = member($one);

	stream($client, $from);
	is_not_answered('it has not said anything', $commit);
	report($client, lsn());
	$cluster->wait_until('it has, and the commit is answered', sub { is_answered($commit) });
	thaw($commit, @frozen);
};

subtest 'names that are not quite a member\'s are not counted' => sub {
	my @frozen = freeze();
	my $commit = commit();

	foreach my $name ("pg_leader_${one}_clone", "pg_leader_${one}_check", "pg_leader_0$one", 'pg_leader_7', 'nobody')
	{
		my $client = member($one, application_name => $name, options => '');

		stream($client, lsn());
		report($client, lsn());
		is_not_answered("\"$name\"", $commit);
		is($cluster->sql($primary, "SELECT sync_state FROM pg_stat_replication WHERE application_name = '$name'"), 'async', 'nor by PostgreSQL');
		$client->close;
	}
	thaw($commit, @frozen);
};

subtest 'who takes a member\'s name later is not counted, and ends' => sub {
	my @frozen = freeze();
	my $offset = $cluster->log_size($primary);
	my $commit = commit();
	my $client = connect_to($server, user => $user, database => 'postgres', replication => 'database', application_name => 'nobody');

	hold_role_worker(sub {
		$client->query("SET application_name = 'pg_leader_$one'")->send->gets('EZ');
		is(($client->all('EZ'))[0]{type}, 'Z', 'PostgreSQL lets it');
		stream($client, lsn());
		$cluster->wait_until('PostgreSQL believes it', sub { report($client, lsn()); commit_waits_for($commit) ne 'SyncRep' });
		is_not_answered('it is not counted', $commit);
	});
	cmp_ok(has_ended('it is ended', $client), '<', 3, 'and soon');
	$cluster->wait_for_log($primary, qr/WARNING:  pg_leader: a walsender is ended: it has taken the name of a member/, $offset);
	thaw($commit, @frozen);
};

subtest 'who has flushed more than there is has diverged (standby_ahead_on_the_same_timeline): not counted, and ended' => sub {
	my @frozen = freeze();
	my $offset = $cluster->log_size($primary);
	my $commit = commit();
	my $client = member($one);

	stream($client, lsn());
	hold_role_worker(sub {
		$cluster->wait_until('PostgreSQL believes it', sub { report($client, lsn(' + 1000000')); commit_waits_for($commit) ne 'SyncRep' });
		is_not_answered('it is not counted', $commit);
	});
	cmp_ok(has_ended('it is ended', $client), '<', 3, 'and soon');
	$cluster->wait_for_log($primary, qr/WARNING:  pg_leader: the walsender of node $one is ended: it has flushed WAL up to .*\n.*DETAIL:  That server's WAL has diverged/, $offset);
	thaw($commit, @frozen);
};

is($cluster->sql($primary, 'SELECT count(*), count(DISTINCT n) FROM told'), "$told|$told", 'all commits are there, once');

# ---- who may log in ----

subtest 'a primary whose fence is closed' => sub {
	my @pids = $cluster->workers;
	my $began;

	is(code($primary, $_), 'welcome', "open: \"$_\" logs in") foreach 'app', 'admin', $user;
	is($cluster->sql($primary, 'SHOW default_transaction_read_only'), 'off', 'and may write');
	kill 'STOP', @pids;
	$cluster->wait_until('the fence is closed', sub { $cluster->sql($primary, 'SELECT is_open FROM pg_leader_fence') eq 'f' });
	$began = time;
	is(code($primary, 'app'), '57P03', 'an ordinary role is refused');
	cmp_ok(time - $began, '>=', 0.3, 'after pg_leader.fence_wait: it leads, and may open soon');
	is(code($primary, $_), 'welcome', "\"$_\" is exempt") foreach 'admin', $user;
	is($cluster->sql($primary, 'SHOW default_transaction_read_only'), 'on', 'and reads');
	like($cluster->failure($primary, 'INSERT INTO told VALUES (0)'), qr/ERROR:  cannot execute INSERT in a read-only transaction/, 'what it writes is an error');
	like($cluster->failure($primary, 'BEGIN READ WRITE; INSERT INTO told VALUES (0); COMMIT'), qr/FATAL:  pg_leader: nothing of this transaction was committed/, 'or refused as everybody\'s');
	kill 'CONT', @pids;
	learn_roles();
	is(code($primary, 'app'), 'welcome', 'open again');
};

subtest 'a standby that has not been compared with a leader' => sub {
	my $standby = $one;
	my @pids;

	$cluster->set_now($standby, candidate => 'off');
	$cluster->stop($standby);
	@pids = map { $cluster->worker($_) } $primary, $other;
	kill 'STOP', @pids;
	$cluster->start($standby);
	$cluster->wait_until('it answers, and has no leader', sub { ($cluster->role($standby)->{reason} // '') eq 'no_leader' });
	is(code($standby, 'app'), '57P03', 'an ordinary role is refused');
	like(connect_to($cluster->server($standby), user => 'app', database => 'postgres')->error->{M}, qr/its data have not been compared with the leader's since its start/, 'and is told why');
	is(code($standby, 'admin'), 'welcome', 'an exempt role is not');
	kill 'CONT', @pids;
	($primary) = $cluster->wait_for_roles;
	isnt($primary, $standby, 'it follows another one');
	is(code($standby, 'app'), 'welcome', 'the role logs in');

	# what was compared stays so
	@pids = map { $cluster->worker($_) } $cluster->others($standby);
	kill 'STOP', @pids;
	$cluster->wait_until('it has no leader again', sub { ($cluster->role($standby)->{reason} // '') eq 'no_leader' });
	is(code($standby, 'app'), 'welcome', 'the role logs in all the same');
	kill 'CONT', @pids;
	$cluster->wait_for_roles;
};

$cluster->check_history;
$cluster->stop_all;
done_testing();
