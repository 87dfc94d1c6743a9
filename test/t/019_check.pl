# test/t/019_check.pl
#	  script/pg_leader_check: what its exit status says of each kind of server, in
#	  both forms of calling it, that it always comes back in time, and that nobody
#	  but a superuser can make it believe something else.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use IO::Socket::INET;
use PgLeaderCluster;
use Test::More;

my $check = "$FindBin::RealBin/../../script/pg_leader_check";
my $cluster = PgLeaderCluster->new('check', 3, settings => \%PgLeaderCluster::STEADY);
my ($leader, $term, $out, $err);

# run(ARGUMENT...): the exit status; $out and $err are what it said.
sub run
{
	my (@arguments) = @_;

	IPC::Run::run([ $check, @arguments ], '<', \undef, '>', \$out, '2>', \$err);
	return $? & 127 ? "signal " . ($? & 127) : $? >> 8;
}

# is_status(NAME, STATUS, PATTERN, ARGUMENT...)
sub is_status
{
	my ($name, $status, $pattern, @arguments) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(run(@arguments), $status, "$name: exit status $status") or diag("$out$err");
	like($out . $err, $pattern, "$name: what it says");
	return;
}

sub at
{
	my ($id) = @_;
	my $server = $cluster->server($id);
	return ('-h', $server->host, '-p', $server->port);
}

# As the user that made the template.
my $role = getpwuid($<);
$ENV{PGUSER} = $role;

$cluster->start_all;
($leader, $term) = $cluster->wait_for_leader('one leader');
my ($follower, $other) = $cluster->others($leader);

# ---- each kind of server ----

is_status('the leader', 0, qr/^node $leader is the leader in term $term$/, at($leader));
is_status('a follower', 1, qr/^node $follower follows node $leader in term $term$/, at($follower));
is(run('-q', at($leader)) . $out . $err, '0', 'quiet on the leader');
is(run('-q', at($follower)) . $out . $err, '1', 'quiet on a follower');
is_status('options', 0, qr/leader/, at($leader), '-d', 'postgres', '-U', $role, '-t', '2.5');
{
	local $ENV{PGHOST} = $cluster->server($leader)->host;
	local $ENV{PGPORT} = $cluster->server($leader)->port;
	is_status('the environment', 0, qr/^node $leader is the leader/);
}

# As HAProxy calls it, for a server on a Unix socket.
my $socket = $cluster->server($leader)->host . '/.s.PGSQL.' . $cluster->server($leader)->port;
{
	delete local $ENV{PGPORT};
	is_status("HAProxy's arguments", 0, qr/^$/, '', '5000', $socket, 'NOT_USED');
	is_status("options and HAProxy's arguments", 0, qr/^$/, '-U', $role, '-d', 'postgres', '', '5000', $socket, 'NOT_USED');
	is_status("options and HAProxy's arguments, no such role", 2, qr/^$/, '-U', 'nonesuch', '', '5000', $socket, 'NOT_USED');
	local $ENV{PGHOSTADDR} = '127.0.0.9';
	is_status("PGHOSTADDR beside HAProxy's arguments", 0, qr/^$/, '', '5000', $socket, 'NOT_USED');
	is_status('PGHOSTADDR beside -h', 0, qr/^node $leader is the leader/, at($leader));
}

# ---- whatever becomes of what it says ----

# HAProxy as a daemon starts it with all three closed.
foreach my $output ('<&-', '>&-', '2>&-', '<&- >&-', '<&- 2>&-', '>&- 2>&-', '<&- >&- 2>&-', '>/dev/full', '2>/dev/full', '>/dev/full 2>&1')
{
	my @sh = ('/bin/sh', '-c', 'exec "$@" ' . $output, 'sh', $check);
	my $status = sub { IPC::Run::run([ @sh, @_ ], '<', \undef, '>', \$out, '2>', \$err); return $? >> 8; };

	is($status->(at($leader)), 0, "with $output: the leader");
	is($status->(at($follower)), 1, "with $output: a follower");
	is($status->('', '5000', $socket, 'NOT_USED'), 0, "with $output: HAProxy's arguments");
	is($status->(at($leader), '-d', 'nonesuch'), 2, "with $output: no such database");
	is($status->('-x'), 4, "with $output: called wrongly");
}

# ---- nobody answers ----

my $free = PostgreSQL::Test::Cluster::get_free_port();
is_status('nobody there', 2, qr/^no answer: /, '-h', '127.0.0.1', '-p', $free);
is_status("nobody there, HAProxy's arguments", 2, qr/^$/, '10.0.0.1', '5000', '127.0.0.1', $free);
is_status('no such database', 2, qr/^no answer: .*database "nonesuch" does not exist/, at($leader), '-d', 'nonesuch');
is_status('no such role', 2, qr/^no answer: .*role "nonesuch" does not exist/, at($leader), '-U', 'nonesuch');
is_status('no extension', 2, qr/^the extension pg_leader is not in database "template1"; -d names another$/,
	at($leader), '-d', 'template1');
is_status('a database with all that has to be quoted', 2, qr/database "a'b\\c d=e" does not exist/,
	at($leader), '-d', q(a'b\c d=e));

# Who accepts connections and says nothing.
my $mute = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Proto => 'tcp', Listen => 5) or die $!;
my $before = PgLeaderCluster::clock_now();
is_status('a mute server', 2, qr/^no answer within 0\.5 s$/, '-h', '127.0.0.1', '-p', $mute->sockport, '-t', '0.5');
cmp_ok(PgLeaderCluster::clock_now() - $before, '<', 10e6, 'a mute server: in time');

# A server that stands still, connection and all.
my @processes = $cluster->processes($other);
kill 'STOP', @processes;
is_status('a server that stands still', 2, qr/^no answer within 1 s$/, at($other), '-t', '1');
kill 'CONT', @processes;

# ---- no leader ----

$cluster->stop($_, 'immediate') foreach $cluster->others($follower);
$cluster->wait_until('the member left over knows of no leader',
	sub { !defined $cluster->status($follower)->{leader_id} });
is_status('no majority', 3, qr/^node $follower knows of no leader with a lease, term \d+$/, at($follower));

$cluster->stop($follower);
$cluster->set($follower, node_id => 9);
$cluster->server($follower)->start;
$cluster->wait_until('it takes no part', sub { $cluster->status($follower)->{state} =~ /^not taking part/ });
is_status('a server that takes no part', 3, qr/^node 9: not taking part: .* not in pg_leader\.cluster$/, at($follower));
$cluster->stop($follower);
$cluster->set($follower, node_id => -1);
$cluster->server($follower)->start;
$cluster->wait_until('it has no id', sub { $cluster->status($follower)->{state} =~ /^not taking part/ });
is_status('a server without an id', 3, qr/^node id not set: not taking part/, at($follower));
$cluster->stop($follower);
$cluster->set($follower, node_id => $follower);
$cluster->start($cluster->ids);
($leader, $term) = $cluster->wait_for_leader('a leader again');
is_status('the leader then', 0, qr/^node $leader is the leader in term $term$/, at($leader));

# A role that may nothing but log in.
$cluster->server($leader)->safe_psql('postgres', 'CREATE ROLE nobody_special LOGIN');
is_status('a role without privileges', 0, qr/is the leader/, at($leader), '-U', 'nobody_special');

# ---- in a database that somebody else owns ----

# What that owner leaves behind comes before all else in the search path of who
# asks.  It would say that a follower leads, and run as the one who asks.
{
	my $server = $cluster->server($leader);

	$server->safe_psql('postgres', 'CREATE ROLE mallory LOGIN; CREATE DATABASE theirs OWNER mallory');
	$server->safe_psql('theirs', 'CREATE EXTENSION pg_leader SCHEMA public');
	my $run_as = sub { $server->safe_psql('theirs', $_[0], extra_params => [ '-U', 'mallory' ]) };
	$run_as->(qq(
		CREATE TABLE public.asked_by (who text);
		GRANT INSERT ON public.asked_by TO PUBLIC;));
	foreach my $schema ($role, 'nobody_special')
	{
		$run_as->(qq(
			CREATE SCHEMA "$schema";
			CREATE FUNCTION "$schema".caught() RETURNS bool LANGUAGE sql
				AS 'INSERT INTO public.asked_by VALUES (current_user); SELECT false';
			CREATE VIEW "$schema".pg_leader_status AS
				SELECT "$schema".caught() AS is_leader, 'leader'::text AS role, 1 AS leader_id, 1 AS node_id, 1 AS term,
					'taking part'::text AS state;
			CREATE VIEW "$schema".pg_extension AS SELECT 1::oid AS extnamespace, 'pg_leader'::name AS extname WHERE "$schema".caught();
			CREATE FUNCTION "$schema".differs(text, text) RETURNS bool LANGUAGE sql AS 'SELECT "$schema".caught()';
			CREATE OPERATOR "$schema".<> (LEFTARG = text, RIGHTARG = text, FUNCTION = "$schema".differs);
			CREATE FUNCTION "$schema".same(name, text) RETURNS bool LANGUAGE sql AS 'SELECT "$schema".caught()';
			CREATE OPERATOR "$schema".= (LEFTARG = name, RIGHTARG = text, FUNCTION = "$schema".same);
			GRANT USAGE ON SCHEMA "$schema" TO PUBLIC;
			GRANT SELECT ON ALL TABLES IN SCHEMA "$schema" TO PUBLIC;));
	}
	$run_as->(qq(ALTER DATABASE theirs SET search_path = "\$user", "$role", pg_catalog, public));
	foreach my $who ($role, 'nobody_special')
	{
		is($server->safe_psql('theirs', 'SELECT is_leader FROM pg_leader_status', extra_params => [ '-U', $who ]), 'f',
			"$who without care: deceived");
		is($run_as->('DELETE FROM public.asked_by RETURNING who'), $who, "$who without care: runs what is put there");
		is_status("$who in their database", 0, qr/^node $leader is the leader in term $term$/, at($leader), '-d', 'theirs', '-U', $who);
		is($run_as->('SELECT count(*) FROM public.asked_by'), '0', "$who: nothing of theirs was run");
	}

	# Where the extension is matters not, as long as it is the extension's.
	$server->safe_psql('theirs', 'CREATE SCHEMA "odd "" schema"; ALTER EXTENSION pg_leader SET SCHEMA "odd "" schema";'
		. 'GRANT USAGE ON SCHEMA "odd "" schema" TO PUBLIC');
	is_status('another schema', 0, qr/^node $leader is the leader/, at($leader), '-d', 'theirs', '-U', 'nobody_special');
	$server->safe_psql('theirs', 'DROP EXTENSION pg_leader');
	is_status('their view and no extension', 2, qr/^the extension pg_leader is not in database "theirs"/,
		at($leader), '-d', 'theirs');
}

# ---- called wrongly ----

foreach my $wrong (
	[ qr/there is no option -x/, '-x' ],
	[ qr/-h needs a value/, '-h' ],
	[ qr/-p needs a value/, '-p', '' ],
	[ qr/"0" is no port/, '-p', '0' ],
	[ qr/"65536" is no port/, '-p', '65536' ],
	[ qr/"x" is no port/, '-p', 'x' ],
	[ qr/-t needs a number of seconds/, '-t', 'soon' ],
	[ qr/-t must be from 0\.1 to 3600/, '-t', '0.05' ],
	[ qr/-t must be from 0\.1 to 3600/, '-t', '3601' ],
	[ qr/four arguments, as HAProxy gives them, or none, not 2/, 'one', 'two' ],
	[ qr/one server at a time/, '-h', '127.0.0.1,127.0.0.2' ],
	[ qr/one server at a time/, '', '5000', '127.0.0.1,127.0.0.2', '5432' ],
	[ qr/the server is named twice/, '-h', 'here', '', '', 'there', '5432' ])
{
	my ($pattern, @arguments) = @$wrong;

	is_status("@arguments", 4, $pattern, @arguments);
	is($out, '', "@arguments: nothing on standard output");
}
is(run('--help'), 0, '--help');
like($out, qr/NAME.*SYNOPSIS.*EXIT STATUS/s, '--help explains');

$cluster->check_history;
$cluster->stop_all;
done_testing();
