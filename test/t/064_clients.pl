# test/t/064_clients.pl
#	  What clients see of a managed cluster: libpq with several hosts, psql, pgbench,
#	  PgBouncer and node-postgres go on to the open primary, and what one of them was
#	  told of is there.
#
# doc/clients.md says the same to users.  Clients log in as "app", which is exempt from
# nothing.  PgBouncer goes where its configuration says, so this file rewrites that, as a
# DBA's script would.  What becomes of a commit in every other state of a server is not
# looked at here.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PgBeside;
use PgLeaderManaged;
use PostgreSQL::Test::Utils;
use Test::More;

use constant ATTRS => qw(any read-write read-only primary standby prefer-standby);

$ENV{PATH} = "$ENV{PATH}:/usr/sbin";
$ENV{NODE_PATH} = join ':', '/usr/share/nodejs', '/usr/lib/node_modules', '/usr/local/lib/node_modules';
plan skip_all => 'PgBouncer, Node.js or node-postgres is missing: script/install_deps.sh test'
  if system('{ pgbouncer --version && node -e \'require("pg")\'; } >/dev/null 2>&1') != 0;

my $cluster = PgLeaderManaged->new('clients', 3, settings => { min_timeout => '300ms', max_timeout => '600ms' },
	conf => "autovacuum = off\n");
my $tmp = PostgreSQL::Test::Utils::tempdir('clients');
my $bouncer_port = PostgreSQL::Test::Cluster::get_free_port();
my ($primary, $one, $other);

# ---- libpq and psql ----

# conninfo(ATTRS, ID...): of those nodes, in this order; for_exempt(): of the role that is
# exempt.
sub conninfo
{
	my ($attrs, @ids) = @_;

	return 'host=' . join(',', map { '127.0.0.1' } @ids) . ' port=' . join(',', map { $cluster->server($_)->port } @ids) .
	  " dbname=postgres user=app connect_timeout=10 target_session_attrs=$attrs";
}

sub for_exempt { return conninfo(@_) =~ s/user=app/'user=' . (getpwuid $<)[0]/er; }

# psql(CONNINFO, QUERY): its exit code, output and errors.
sub psql
{
	my ($conninfo, $query) = @_;
	my ($out, $err);

	IPC::Run::run([ 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-d', $conninfo, '-c', $query ], '<', \'', '>', \$out, '2>', \$err,
		IPC::Run::timeout(60));
	chomp $out;
	return ($? >> 8, $out, $err);
}

# session(CONNINFO, OPTION...): a psql that stays; its input, output and errors are written
# and read by the test.
sub session
{
	my ($conninfo, @options) = @_;
	my $self = { in => '', out => '', err => '' };

	$self->{run} = IPC::Run::start([ 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-d', $conninfo, @options ],
		'<', \$self->{in}, '>', \$self->{out}, '2>', \$self->{err}, IPC::Run::timeout(60));
	return $self;
}

# answer(SESSION, TEXT): what it says to that.
sub answer
{
	my ($self, $text) = @_;

	$self->{out} = '';
	$self->{in} .= "$text\n\\echo said\n";
	$self->{run}->pump until $self->{out} =~ /^said$/m;
	return $self->{out} =~ s/^said\n//mr;
}

# end_of(SESSION, TEXT): its exit code, when it is told that, and nothing more.
sub end_of
{
	my ($self, $text) = @_;

	$self->{in} .= "$text\n" if defined $text;
	$self->{run}->finish;
	return $self->{run}->result(0);
}

# lands_at(ATTRS, ID...): the id, or what libpq says.
sub lands_at
{
	my ($code, $out, $err) = psql(conninfo(@_), 'SHOW port');

	return $err if $code != 0;
	return (grep { $cluster->server($_)->port eq $out } $cluster->ids)[0];
}

# land(NAME, ORDER, ATTRS => ID...): tests.
sub land
{
	my ($name, $order, %expected) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(lands_at($_, @$order), $expected{$_}, "$name: $_") foreach ATTRS;
	return;
}

# ---- pgbench ----

my %protocols = (
	simple => [ '-M', 'simple' ],
	extended => [ '-M', 'extended' ],
	prepared => [ '-M', 'prepared' ],
	pipeline => [ '-M', 'extended' ]);

# start_pgbench(NAME, CONNINFO, OPTION...): two clients; it writes numbers until it is cut off.
sub start_pgbench
{
	my ($name, $conninfo, @options) = @_;
	my $insert = "INSERT INTO told VALUES ('$name', :client_id, :n);\n";
	my $self = { name => $name, prefix => "$tmp/$name", err => '', out => '' };

	append_to_file("$tmp/$name.sql", "\\set n :n + 1\n" .
		  ($name eq 'pipeline' ? "\\startpipeline\n${insert}SELECT 1;\n\\endpipeline\n" : $insert));
	$self->{run} = IPC::Run::start([ 'pgbench', '-n', '-c', '2', '-T', '60', '-R', '100', '-D', 'n=0', '-l',
			"--log-prefix=$self->{prefix}", '-f', "$tmp/$name.sql", @options, $conninfo ],
		'>', \$self->{out}, '2>', \$self->{err}, IPC::Run::timeout(90));
	return $self;
}

# end_pgbench(SELF): tests; it was cut off, and what it was told of is there.
sub end_pgbench
{
	my $self = shift;
	my $name = $self->{name};
	my ($log) = glob "$self->{prefix}.*[0-9]";
	my ($processed, %told);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$self->{run}->finish;
	is($self->{run}->result(0), 2, "pgbench $name: its exit code says that it was cut off") or diag("$self->{out}\n$self->{err}");
	($processed) = $self->{out} =~ /number of transactions actually processed: (\d+)/;
	$told{$_}++ foreach slurp_file($log) =~ /^(\d+) /mg;
	is($told{0} + $told{1}, $processed, "pgbench $name: its log has all $processed");
	foreach my $client (0, 1)
	{
		my ($rows, $max) = split /\|/, $cluster->sql($primary, "SELECT count(DISTINCT n), max(n) FROM told WHERE name = '$name' AND client = $client");

		ok($rows == $max && ($max == $told{$client} || $max == $told{$client} + 1),
			"pgbench $name: all that client $client was told of is there, and at most one more")
		  or diag("told $told{$client}, rows $rows, last $max");
	}
	return;
}

# ---- PgBouncer ----

sub point_bouncer_at
{
	my $port = $cluster->server(shift)->port;

	unlink "$tmp/databases.ini";
	append_to_file("$tmp/databases.ini", "session = host=127.0.0.1 port=$port dbname=postgres pool_mode=session\n" .
		  "transaction = host=127.0.0.1 port=$port dbname=postgres pool_mode=transaction\n");
	return;
}

sub start_bouncer
{
	point_bouncer_at($primary);
	PgBeside::run_bouncer($tmp, $bouncer_port, "%include $tmp/databases.ini");
	$cluster->wait_until('PgBouncer answers', sub { (psql(bouncer('session'), 'SELECT 1'))[0] == 0 });
	return;
}

sub bouncer { my $database = shift; return "host=127.0.0.1 port=$bouncer_port user=app dbname=$database"; }

# bouncer_servers(): the ports to which it has connections.
sub bouncer_servers
{
	my ($code, $out, $err) = psql(bouncer('pgbouncer'), "\\pset tuples_only off\nSHOW SERVERS");
	my ($names, @rows) = map { [ split /\|/ ] } split /\n/, $out;
	my ($port) = grep { $names->[$_] eq 'port' } 0 .. $#$names;

	die $err if $code != 0;
	return map { $_->[$port] } @rows;
}

# ---- node-postgres ----

# start_pool(NAME, SERVER:PORT/DATABASE...): test/t/pool.js, which writes until it is to end.
sub start_pool
{
	my ($name, @servers) = @_;
	my $self = { name => $name, in => '', file => "$tmp/pool_$name" };

	$self->{run} = IPC::Run::start([ 'node', "$FindBin::RealBin/pool.js", $name, @servers ],
		'<', \$self->{in}, '>', $self->{file}, '2>&1', IPC::Run::timeout(90));
	return $self;
}

sub told_of { my $self = shift; my @told = slurp_file($self->{file}) =~ /^told (\d+)$/mg; return @told; }
sub failures_of { my $self = shift; return grep { !/^told / } split /\n/, slurp_file($self->{file}); }

# goes_on(SELF): a test; it is told of further keys.
sub goes_on
{
	my $self = shift;
	my $before = told_of($self);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return $cluster->wait_until("node-postgres $self->{name} writes", sub { told_of($self) >= $before + 10 });
}

# end_pool(SELF): tests; it ends well, and all keys that it was told of are there.
sub end_pool
{
	my $self = shift;
	my (%rows, @missing);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$self->{run}->finish;
	is($self->{run}->result(0), 0, "node-postgres $self->{name}: ends") or diag(join "\n", failures_of($self));
	%rows = map { $_ => 1 } split /\n/, $cluster->sql($primary, "SELECT n FROM keyed WHERE client = '$self->{name}'");
	@missing = grep { !$rows{$_} } told_of($self);
	is("@missing", '', "node-postgres $self->{name}: all " . scalar(told_of($self)) . ' keys that it was told of are there');
	return;
}

# ---- the tests ----

my @protocols = qw(simple extended prepared pipeline);

# others_take_over(ID): tests; another one than that is the open primary.
sub others_take_over
{
	my $old = shift;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$cluster->wait_until('another one is the open primary', sub {
		($primary) = grep { $_ != $old && $cluster->role($_)->{is_open} } $cluster->running;
		return defined $primary;
	});
	($one, $other) = ($cluster->others($old, $primary), $old);
	return;
}

# pool_servers(ID...): for start_pool().
sub pool_servers { return map { '127.0.0.1:' . $cluster->server($_)->port . '/postgres' } @_; }

$cluster->start_all;
($primary, $one, $other) = $cluster->wait_for_roles;
is($cluster->sql($primary, q(
	CREATE ROLE app LOGIN;
	CREATE TABLE told (name text, client int, n int);
	CREATE TABLE keyed (client text, n int, times int NOT NULL DEFAULT 1, PRIMARY KEY (client, n));
	GRANT ALL ON told, keyed TO app;)), '', 'a role that is exempt from nothing, and tables');
$cluster->wait_for_replay($primary);
start_bouncer();

subtest 'libpq with all hosts: where a session lands' => sub {
	land('primary first', [ $primary, $one, $other ], any => $primary, 'read-write' => $primary, 'read-only' => $one,
		primary => $primary, standby => $one, 'prefer-standby' => $one);
	land('primary last', [ $one, $other, $primary ], any => $one, 'read-write' => $primary, 'read-only' => $one,
		primary => $primary, standby => $one, 'prefer-standby' => $one);
	my ($code, $out, $err) = psql(conninfo('any', $one), q(INSERT INTO told VALUES ('standby', 0, 0)));
	is($code, 1, 'a standby takes no writes: psql fails');
	like($err, qr/^ERROR:  25006: /, 'with 25006');
};

subtest 'the primary is killed: pgbench in four protocols, PgBouncer, node-postgres' => sub {
	my $old = $primary;
	my $all = conninfo('read-write', $cluster->ids);
	my @writers = ((map { start_pgbench($_, $all, @{ $protocols{$_} }) } @protocols),
		start_pgbench('bouncer', bouncer('session'), '-M', 'extended'));
	my @pools = (start_pool('hosts', pool_servers($cluster->ids)),
		start_pool('session', "127.0.0.1:$bouncer_port/session"),
		start_pool('transaction', "127.0.0.1:$bouncer_port/transaction"));

	goes_on($_) foreach @pools;
	$cluster->wait_until('pgbench writes, all five of them', sub {
		($cluster->sql($old, 'SELECT count(*) FROM (SELECT FROM told GROUP BY name HAVING count(*) > 10) t') // 0) == @writers });

	# its supervisor has it back sooner than others are elected
	$cluster->signal($old, 'STOP');
	$cluster->kill_server($old);
	others_take_over($old);
	point_bouncer_at($primary);
	is((psql(bouncer('pgbouncer'), 'RELOAD'))[0], 0, 'PgBouncer is told');
	end_pgbench($_) foreach @writers;
	goes_on($_) foreach @pools;
	end_pool($_) foreach @pools;
	is_deeply([ grep { $_ != $cluster->server($primary)->port } bouncer_servers() ], [], 'PgBouncer has no connection to the old primary');
	$cluster->signal($old, 'CONT');
	$cluster->comes_back($old, $primary);
};

subtest 'the fence of the primary is closed, and another one is open' => sub {
	my $closed = $primary;
	my $worker = $cluster->worker($closed);
	my @pools = (start_pool('closed', pool_servers($cluster->ids)), start_pool('closed_bouncer', "127.0.0.1:$bouncer_port/session"));
	my $direct = session(conninfo('read-write', $cluster->ids));
	my %bounced = map { ($_ => session(bouncer($_))) } qw(session transaction);
	my $idle = session(bouncer('transaction'));
	my ($code, $out, $err);

	answer($direct, "BEGIN; INSERT INTO told VALUES ('refused', 0, 1);");
	answer($bounced{$_}, "INSERT INTO told VALUES ('$_', 0, 1);") foreach sort keys %bounced;
	answer($idle, "INSERT INTO told VALUES ('idle', 0, 1);");
	goes_on($_) foreach @pools;

	# it neither hears nor says anything any more: its lease runs out, and others elect
	kill 'STOP', $worker;
	others_take_over($closed);
	land('the closed one first', [ $closed, $primary, $one ], any => $primary, 'read-write' => $primary, 'read-only' => $one,
		primary => $primary, standby => $one, 'prefer-standby' => $one);
	($code, $out, $err) = psql(conninfo('any', $closed), 'SELECT 1');
	is($code, 2, 'the closed one alone: psql cannot log in');
	like($err, qr/FATAL:  pg_leader: this server does not accept connections now: .*lease has run out/, 'and says why');

	foreach ([ 'any', $closed, 'on' ], [ 'primary', $closed, 'on' ], [ 'read-write', $primary, 'off' ])
	{
		my ($attrs, $id, $read_only) = @$_;

		($code, $out, $err) = psql(for_exempt($attrs, $closed, $primary), 'SHOW port; SHOW transaction_read_only');
		is($out, $cluster->server($id)->port . "\n$read_only", "an exempt role, $attrs: where it lands, and whether it is read-only there");
	}

	is(answer($direct, 'SELECT 1;'), "1\n", 'a session that is open there goes on reading');
	is(end_of($direct, 'COMMIT;'), 2, 'a commit there: psql ends with 2');
	like($direct->{err}, qr/^FATAL:  57P01: pg_leader: nothing of this transaction was committed$/m, 'and says that it was refused');
	foreach (sort keys %bounced)
	{
		is(end_of($bounced{$_}, "INSERT INTO told VALUES ('refused', 0, 2);"), 2, "through PgBouncer, $_: psql ends with 2");
		like($bounced{$_}{err}, qr/^FATAL:  57P01: pg_leader: nothing of this transaction was committed$/m, 'and says that it was refused');
	}

	point_bouncer_at($primary);
	is((psql(bouncer('pgbouncer'), 'RELOAD'))[0], 0, 'PgBouncer is told');
	$cluster->wait_until("through PgBouncer, $_: a new session writes", sub {
		(psql(bouncer($_), "INSERT INTO told VALUES ('$_', 0, 2)"))[0] == 0 }) foreach sort keys %bounced;
	is(answer($idle, "INSERT INTO told VALUES ('idle', 0, 2) RETURNING n;"), "2\n", 'a session that was idle meanwhile goes on');
	is_deeply([ grep { $_ != $cluster->server($primary)->port } bouncer_servers() ], [], 'PgBouncer has no connection to the closed one');
	goes_on($_) foreach @pools;
	end_pool($_) foreach @pools;
	is(end_of($idle), 0, 'it ends');

	kill 'CONT', $worker;
	$cluster->comes_back($closed, $primary);
	is($cluster->sql($primary, q(SELECT count(*) FROM told WHERE name = 'refused')), 0, 'what was refused is not there');
	is($cluster->sql($primary, q(SELECT name, n FROM told WHERE name IN ('idle', 'session', 'transaction') ORDER BY name, n)),
		"idle|1\nidle|2\nsession|1\nsession|2\ntransaction|1\ntransaction|2", 'what was acknowledged is');
};

subtest 'a commit whose fate is not known' => sub {
	my @receivers = $cluster->receivers($primary);
	my @workers = $cluster->workers;
	my $standby_first = [ $one, $other, $primary ];
	my (%sessions, $code, $out, $err);

	# longer than it takes to look here
	$cluster->set_now($_, fence_wait => '3s') foreach $cluster->ids;
	kill 'STOP', @receivers;
	$sessions{$_} = session(conninfo('read-write', $cluster->ids), '-c', "INSERT INTO told VALUES ('$_', 0, 1)") foreach qw(cut withheld);
	$cluster->wait_until('two commits wait for copies', sub {
		$cluster->sql($primary, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query ~ '(cut|withheld)'") == 2 });

	is($cluster->sql($primary, q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query ~ 'cut')), 't', 'one is terminated');
	is(end_of($sessions{cut}), 2, 'psql ends with 2');
	like($sessions{cut}{err}, qr/^server closed the connection unexpectedly$/m, 'and says no more than that');

	kill 'STOP', @workers;
	$cluster->wait_until('the fence is closed', sub { ($cluster->sql($primary, 'SELECT is_open FROM pg_leader_fence') // '') eq 'f' });
	kill 'CONT', @receivers;
	is(end_of($sessions{withheld}), 2, 'the answer to the other one is withheld: psql ends with 2');
	like($sessions{withheld}{err}, qr/^FATAL:  08007: pg_leader: whether this transaction is committed is not known$/m, 'and says what is not known');

	is(lands_at($_, @$standby_first), $one, "nobody is open: $_") foreach qw(any read-only standby prefer-standby);
	foreach my $attrs (qw(read-write primary))
	{
		($code, $out, $err) = psql(conninfo($attrs, @$standby_first), 'SELECT 1');
		is($code, 2, "nobody is open: $attrs: psql cannot log in");
		like($err, qr/(session is read-only|server is in hot standby mode).*FATAL:  pg_leader: this server does not accept connections now: /s, 'and says why not, for each');
	}

	# both are on a standby, so whoever leads has them
	kill 'CONT', @workers;
	$primary = $cluster->wait_for_primary('one is open again');
	$cluster->comes_back($_, $primary) foreach $cluster->others($primary);
	is($cluster->sql($primary, q(SELECT name FROM told WHERE name IN ('cut', 'withheld') ORDER BY name)), "cut\nwithheld", 'both are committed');
};

$cluster->check_timelines;
$cluster->check_history;
$cluster->stop_all;
done_testing();
