# test/t/061_fence_statements.pl
#	  What every kind of statement comes to on a primary whose fence is closed, and that it
#	  leaves nothing.
#
# All sessions are open before the fence closes, and all statements run at the same time.  The
# fence is closed by stopping the election workers: no lease is renewed, and nobody is elected.
# The table is printed: the statement, what its client got, and what others saw of it afterwards.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PgLeaderManaged;
use PgLeaderProtocol;
use Test::More;

# Milliseconds that a refused session waits for the fence.
use constant WAIT => 300;

my $cluster = PgLeaderManaged->new('fence', 3, settings => { %PgLeaderCluster::STEADY, fence_wait => WAIT . 'ms' }, conf => PgLeaderManaged::QUIET . q(
allow_in_place_tablespaces = on
max_connections = 200
max_prepared_transactions = 20
));

my @rows;

# What is sent at once: a query, or several, each a message.  %t is a table of the statement's own,
# with the row (1, 'old'); whatever it names begins with that, or is numbered with %n.
#
#	given	run by another session, with the fence open
#	before	run by this session, with the fence open: it holds a transaction, or settings
#	said	CommandCompletes and so on that come before the end
#	data	sent after the queries, for COPY
sub add
{
	my ($kind, $sql, %options) = @_;

	push @rows, { kind => $kind, number => 100 + @rows, sql => $sql, said => '', %options };
	return;
}

# Its commit is refused.
sub refused { return add('refused', @_); }

# It is not even begun: at its end it would be too late.
sub not_begun { return add('not begun', @_); }

# It is committed here by then, and not answered.
sub withheld { return add('withheld', @_); }

# It needs no transaction id, or is PostgreSQL's own error: nothing is held up.
sub passes { my ($sql, $said, %options) = @_; return add('passes', $sql, said => "$said Z(I)", %options); }

# ---- rows ----

refused(q(INSERT INTO %t VALUES (2, 'new')));
refused(q(UPDATE %t SET word = 'new'));
refused('DELETE FROM %t');
refused(q(MERGE INTO %t USING (VALUES (1)) v (id) ON %t.id = v.id WHEN MATCHED THEN UPDATE SET word = 'new'));
refused(q(INSERT INTO %t VALUES (2, 'new') RETURNING id), said => 'D(2)');
refused(q(WITH new AS (INSERT INTO %t VALUES (2, 'new') RETURNING id) SELECT id FROM new), said => 'D(2)');
refused(q(EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF) INSERT INTO %t VALUES (2, 'new')), said => 'D(Insert on %t (actual rows=0 loops=1)) D(  ->  Result (actual rows=1 loops=1))');
refused('EXECUTE write', before => q(PREPARE write AS INSERT INTO %t VALUES (2, 'new')));
refused('TRUNCATE %t');
refused('COPY %t FROM STDIN', data => "2\tnew\n", said => 'G');
refused(q(INSERT INTO %t VALUES (2, 'new')), before => 'SET synchronous_commit = off');
refused('SELECT id FROM %t FOR UPDATE', said => 'D(1)');
refused('SELECT id FROM %t FOR SHARE', said => 'D(1)');

# ---- transactions ----

refused([ 'BEGIN', q(INSERT INTO %t VALUES (2, 'new')), 'COMMIT' ], said => 'C(BEGIN) Z(T) C(INSERT 0 1) Z(T)');
refused('COMMIT', before => q(BEGIN; INSERT INTO %t VALUES (2, 'new')));
refused('COMMIT AND CHAIN', before => q(BEGIN; INSERT INTO %t VALUES (2, 'new')));
refused('END', before => q(BEGIN READ WRITE; DELETE FROM %t));
refused('COMMIT', before => q(BEGIN; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ WRITE; UPDATE %t SET word = 'new'));
refused('COMMIT', before => q(BEGIN; SAVEPOINT a; INSERT INTO %t VALUES (2, 'new'); RELEASE a));
refused('COMMIT', before => q(BEGIN; SAVEPOINT a; INSERT INTO %t VALUES (2, 'new'); ROLLBACK TO a));
refused('COMMIT', before => q(BEGIN; INSERT INTO %t VALUES (2, 'new'); SET LOCAL synchronous_commit = local));
refused(q(INSERT INTO %t VALUES (2, 'new'); DELETE FROM %t), said => 'C(INSERT 0 1)');
refused(q(BEGIN; INSERT INTO %t VALUES (2, 'new'); COMMIT; SELECT 1), said => 'C(BEGIN) C(INSERT 0 1)');
refused([ q(INSERT INTO %t VALUES (2, 'new')), q(INSERT INTO %t VALUES (3, 'new')) ]);
passes('ROLLBACK', 'C(ROLLBACK)', before => q(BEGIN; INSERT INTO %t VALUES (2, 'new')));
passes([ 'BEGIN', q(INSERT INTO %t VALUES (2, 'new')), 'SELECT 1 / 0', 'COMMIT' ], 'C(BEGIN) Z(T) C(INSERT 0 1) Z(T) E(ERROR 22012) Z(E) C(ROLLBACK)');

# ---- procedures ----

refused('CALL %t_twice()', given => q(CREATE PROCEDURE %t_twice() LANGUAGE plpgsql AS 'BEGIN FOR i IN 2 .. 3 LOOP INSERT INTO %t VALUES (i); COMMIT; END LOOP; END'));
refused(q(DO 'BEGIN FOR i IN 2 .. 3 LOOP INSERT INTO %t VALUES (i); COMMIT; END LOOP; END'));
refused(q(DO 'BEGIN INSERT INTO %t VALUES (2); BEGIN COMMIT; EXCEPTION WHEN OTHERS THEN NULL; END; END'));
refused(q(DO 'BEGIN BEGIN INSERT INTO %t VALUES (2); PERFORM 1 / 0; EXCEPTION WHEN division_by_zero THEN NULL; END; END'));
refused('SELECT %t_write()', said => 'D(2)', given => q(CREATE FUNCTION %t_write() RETURNS int LANGUAGE sql AS 'INSERT INTO %t VALUES (2) RETURNING id'));

# ---- two phases ----

refused(q(PREPARE TRANSACTION '%t'), before => q(BEGIN; INSERT INTO %t VALUES (2, 'new')));
refused(q(PREPARE TRANSACTION '%t'), before => 'BEGIN');
not_begun(q(COMMIT PREPARED '%t'), given => [ q(BEGIN; INSERT INTO %t VALUES (2, 'new')), q(PREPARE TRANSACTION '%t') ]);
not_begun(q(ROLLBACK PREPARED '%t'), given => [ q(BEGIN; INSERT INTO %t VALUES (2, 'new')), q(PREPARE TRANSACTION '%t') ]);

# ---- constraints and triggers at the end of the transaction ----

passes('COMMIT', 'E(ERROR 23503)', given => 'ALTER TABLE %t ADD other int REFERENCES %t (id) DEFERRABLE INITIALLY DEFERRED',
	before => q(BEGIN; INSERT INTO %t VALUES (2, 'new', 3)));
refused('COMMIT', given => [ q(CREATE FUNCTION %t_log() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO %t VALUES (9); RETURN NULL; END'),
		'CREATE CONSTRAINT TRIGGER %t_later AFTER UPDATE ON %t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION %t_log()' ],
	before => q(BEGIN; UPDATE %t SET word = 'new'));

# ---- databases and tablespaces ----

not_begun('CREATE DATABASE %t_new');
not_begun('DROP DATABASE %t_old', given => 'CREATE DATABASE %t_old');
not_begun('DROP DATABASE %t_old WITH (FORCE)', given => 'CREATE DATABASE %t_old');
not_begun('ALTER DATABASE %t_old SET TABLESPACE %t_space', given => [ 'CREATE DATABASE %t_old', q(CREATE TABLESPACE %t_space LOCATION '') ]);
not_begun('ALTER DATABASE %t_old CONNECTION LIMIT 3', given => 'CREATE DATABASE %t_old');
refused('ALTER DATABASE %t_old RENAME TO %t_new', given => 'CREATE DATABASE %t_old');
refused('ALTER DATABASE %t_old SET work_mem = 64', given => 'CREATE DATABASE %t_old');
not_begun(q(CREATE TABLESPACE %t_space LOCATION ''));
not_begun('DROP TABLESPACE %t_space', given => q(CREATE TABLESPACE %t_space LOCATION ''));
refused('ALTER TABLESPACE %t_space SET (seq_page_cost = 2)', given => q(CREATE TABLESPACE %t_space LOCATION ''));
refused('ALTER TABLE %t SET TABLESPACE %t_space', given => q(CREATE TABLESPACE %t_space LOCATION ''));

# ---- indexes and maintenance ----

refused('CREATE INDEX %t_word ON %t (word)');
not_begun('CREATE INDEX CONCURRENTLY %t_word ON %t (word)');
refused('DROP INDEX %t_word', given => 'CREATE INDEX %t_word ON %t (word)');
not_begun('DROP INDEX CONCURRENTLY %t_word', given => 'CREATE INDEX %t_word ON %t (word)');
not_begun('REINDEX TABLE %t');
not_begun('REINDEX TABLE CONCURRENTLY %t');
not_begun('REINDEX INDEX CONCURRENTLY %t_pkey');
not_begun('REINDEX DATABASE postgres');
not_begun('VACUUM %t');
not_begun('VACUUM FULL %t');
not_begun('ANALYZE %t');
not_begun('CLUSTER %t USING %t_pkey');
not_begun('ALTER TABLE %t_all DETACH PARTITION %t CONCURRENTLY', given => [ 'CREATE TABLE %t_all (LIKE %t) PARTITION BY LIST (id)', 'ALTER TABLE %t_all ATTACH PARTITION %t FOR VALUES IN (1)' ]);
refused('ALTER TABLE %t_all DETACH PARTITION %t', given => [ 'CREATE TABLE %t_all (LIKE %t) PARTITION BY LIST (id)', 'ALTER TABLE %t_all ATTACH PARTITION %t FOR VALUES IN (1)' ]);
refused('REFRESH MATERIALIZED VIEW %t_view', given => [ 'CREATE MATERIALIZED VIEW %t_view AS SELECT * FROM %t', 'DELETE FROM %t' ]);

# ---- definitions ----

refused('CREATE TABLE %t_new (id int)');
refused('CREATE TABLE %t_new AS SELECT * FROM %t');
refused('SELECT * INTO %t_new FROM %t');
refused('CREATE UNLOGGED TABLE %t_new (id int)');
refused('ALTER TABLE %t ADD other text');
refused('DROP TABLE %t');
refused('LOCK TABLE %t IN ACCESS EXCLUSIVE MODE; COMMIT', before => 'BEGIN', said => 'C(LOCK TABLE)');
refused('CREATE FUNCTION %t_new() RETURNS int LANGUAGE sql AS $$SELECT 1$$');
refused('CREATE ROLE %t_new');
refused('GRANT SELECT ON %t TO PUBLIC');
refused(q(COMMENT ON TABLE %t IS 'new'));
refused(q(ALTER TYPE %t_kind ADD VALUE 'new'), given => q(CREATE TYPE %t_kind AS ENUM ('old')));
refused('CREATE PUBLICATION %t_new FOR TABLE %t');
not_begun(q(CREATE SUBSCRIPTION %t_new CONNECTION 'dbname=postgres' PUBLICATION %t WITH (connect = false)));
not_begun('ALTER SUBSCRIPTION %t_old SET (streaming = on)', given => q(CREATE SUBSCRIPTION %t_old CONNECTION 'dbname=postgres' PUBLICATION %t WITH (connect = false)));
not_begun('DROP SUBSCRIPTION %t_old', given => [ q(CREATE SUBSCRIPTION %t_old CONNECTION 'dbname=postgres' PUBLICATION %t WITH (connect = false)), 'ALTER SUBSCRIPTION %t_old SET (slot_name = NONE)' ]);

# ---- temporary tables: PostgreSQL logs these commits like any other ----

refused('CREATE TEMP TABLE %t_new (id int)');
refused('INSERT INTO %t_temp VALUES (1)', before => 'CREATE TEMP TABLE %t_temp (id int)');

# ---- functions that write ----

refused(q(SELECT nextval('%t_numbers')), said => 'D(1)', given => 'CREATE SEQUENCE %t_numbers');
refused(q(SELECT setval('%t_numbers', 9)), said => 'D(9)', given => 'CREATE SEQUENCE %t_numbers');
refused('SELECT lo_create(%n)', said => 'D(%n)');
refused('SELECT lo_unlink(%n)', said => 'D(1)', given => 'SELECT lo_create(%n)');
refused('SELECT txid_current() > 0', said => 'D(t)');
refused(q(SELECT pg_logical_emit_message(true, 'test', '%t') > '0/0'), said => 'D(t)');
refused(q(SELECT pg_replication_origin_create('%t_new') > 0), said => 'D(t)');
refused(q(SELECT pg_replication_origin_drop('%t_old')), said => 'D()', given => q(SELECT pg_replication_origin_create('%t_old')));
refused('NOTIFY %t');
refused('COMMIT', given => q(SELECT pg_replication_origin_create('%t_old')), before => [ q(SELECT pg_replication_origin_session_setup('%t_old')), q(BEGIN; SELECT pg_replication_origin_xact_setup('0/1000', now()); INSERT INTO %t VALUES (2, 'new')) ]);

# ---- it gets its transaction id in the middle of the commit ----

withheld(q(SELECT pg_notify('%t', '')), said => 'D()');

# ---- what promises nothing that has to survive ----

passes('SELECT word FROM %t', 'D(old) C(SELECT 1)');
passes([ 'BEGIN READ ONLY', 'SELECT word FROM %t', 'COMMIT' ], 'C(BEGIN) Z(T) D(old) C(SELECT 1) Z(T) C(COMMIT)');
passes([ 'BEGIN', 'DECLARE c CURSOR FOR SELECT word FROM %t', 'FETCH c', 'COMMIT' ], 'C(BEGIN) Z(T) C(DECLARE CURSOR) Z(T) D(old) C(FETCH 1) Z(T) C(COMMIT)');
passes('COPY %t TO STDOUT', 'H d c C(COPY 1)');
passes(q(UPDATE %t SET word = 'new' WHERE id = 7), 'C(UPDATE 0)');
passes(q(INSERT INTO %t VALUES (1, 'new') ON CONFLICT DO NOTHING), 'C(INSERT 0 0)');
passes(q(SELECT nextval('%t_numbers')), 'D(2) C(SELECT 1)', given => 'CREATE SEQUENCE %t_numbers CACHE 5', before => q(SELECT nextval('%t_numbers')));
passes(q(SELECT pg_logical_emit_message(false, 'test', '%t') > '0/0'), 'D(t) C(SELECT 1)');
passes('CHECKPOINT', 'C(CHECKPOINT)');
passes(q(SELECT pg_switch_wal() > '0/0'), 'D(t) C(SELECT 1)');
passes(q(SELECT pg_create_restore_point('%t') > '0/0'), 'D(t) C(SELECT 1)');
passes(q(SELECT slot_name FROM pg_create_physical_replication_slot('%t')), 'D(%t) C(SELECT 1)');
passes('LISTEN %t', 'C(LISTEN)');
passes('UNLISTEN *', 'C(UNLISTEN)', before => 'LISTEN %t');
passes('SELECT pg_advisory_lock(%n)', 'D() C(SELECT 1)');
passes('SELECT pg_advisory_xact_lock(%n)', 'D() C(SELECT 1)');
passes('BEGIN; LOCK TABLE %t IN SHARE MODE; COMMIT', 'C(BEGIN) C(LOCK TABLE) C(COMMIT)');
passes('SET work_mem = 64', 'C(SET)');
passes('ALTER SYSTEM RESET work_mem', 'C(ALTER SYSTEM)');
passes('DISCARD ALL', 'C(DISCARD ALL)');

# ---- the test ----

# own(ROW, SQL): with the names of its own.
sub own
{
	my ($row, $text) = @_;

	return $text =~ s/%t/t$row->{number}/gr =~ s/%n/$row->{number}/gr;
}

# all(ROW, WHAT): the queries of it.
sub all { my ($row, $what) = @_; my $sql = $row->{$what} // []; return map { own($row, $_) } ref $sql ? @$sql : $sql; }

# Everything that could be left, a line each; objects are named after their statements.
my $picture = q(
SELECT json_agg(line ORDER BY line) FROM (
	SELECT concat_ws(' ', 'relation', relname, relkind, relpersistence, relfilenode, reltablespace, relacl, rows_of(c)) FROM pg_class c WHERE relnamespace = 'public'::regnamespace
	UNION ALL SELECT concat_ws(' ', 'column', attrelid::regclass, attname) FROM pg_attribute WHERE attrelid >= 16384 AND attnum > 0 AND attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
	UNION ALL SELECT concat_ws(' ', 'index', indexrelid::regclass, indisvalid, indisready, indisclustered) FROM pg_index WHERE indexrelid >= 16384
	UNION ALL SELECT concat_ws(' ', 'partition', inhrelid::regclass, inhdetachpending) FROM pg_inherits
	UNION ALL SELECT concat_ws(' ', 'database', datname, datconnlimit, dattablespace, setconfig) FROM pg_database d LEFT JOIN pg_db_role_setting ON setdatabase = d.oid
	UNION ALL SELECT concat_ws(' ', 'directory of database', datname, pg_ls_dir) FROM pg_ls_dir('base') LEFT JOIN pg_database ON oid::text = pg_ls_dir WHERE pg_ls_dir ~ '^[0-9]'
	UNION ALL SELECT concat_ws(' ', 'tablespace', spcname, spcoptions) FROM pg_tablespace
	UNION ALL SELECT concat_ws(' ', 'directory of tablespace', spcname, pg_ls_dir) FROM pg_ls_dir('pg_tblspc') LEFT JOIN pg_tablespace ON oid::text = pg_ls_dir
	UNION ALL SELECT concat_ws(' ', 'prepared transaction', gid) FROM pg_prepared_xacts
	UNION ALL SELECT concat_ws(' ', 'large object', 't' || oid) FROM pg_largeobject_metadata
	UNION ALL SELECT concat_ws(' ', 'function', proname) FROM pg_proc WHERE oid >= 16384
	UNION ALL SELECT concat_ws(' ', 'role', rolname) FROM pg_roles WHERE oid >= 16384
	UNION ALL SELECT concat_ws(' ', 'comment', objoid::regclass, description) FROM pg_description WHERE objoid >= 16384 AND classoid = 'pg_class'::regclass
	UNION ALL SELECT concat_ws(' ', 'label', enumtypid::regtype, enumlabel) FROM pg_enum WHERE oid >= 16384
	UNION ALL SELECT concat_ws(' ', 'publication', pubname) FROM pg_publication
	UNION ALL SELECT concat_ws(' ', 'subscription', subname, substream) FROM pg_subscription
	UNION ALL SELECT concat_ws(' ', 'origin', roname) FROM pg_replication_origin
) x (line));

# changes(BEFORE, NOW, [ROW]): the lines that came and went; those of this statement, or of none.
sub changes
{
	my ($before, $now, $row) = @_;
	my %was = map { ($_ => 1) } @{ JSON::PP::decode_json($before) };
	my %is = map { ($_ => 1) } @{ JSON::PP::decode_json($now) };
	my @lines = ((map { "+ $_" } grep { !$was{$_} } sort keys %is), (map { "- $_" } grep { !$is{$_} } sort keys %was));

	return join ', ', grep { defined $row ? /\bt$row->{number}/ : !/\bt1\d\d/ } @lines;
}

# make(PRIMARY): what the statements need, and their sessions.
sub make
{
	my $primary = shift;
	my $maker = PgLeaderProtocol->new($cluster->server($primary));

	$maker->do(q(CREATE FUNCTION rows_of(c pg_class) RETURNS text LANGUAGE plpgsql AS $$
		DECLARE result text;
		BEGIN
			IF c.relkind = 'r' THEN
				EXECUTE format('SELECT json_agg(t ORDER BY t::text) FROM %I t', c.relname) INTO result;
			END IF;
			RETURN result;
		END $$));
	foreach my $row (@rows)
	{
		$maker->do($_) foreach own($row, 'CREATE TABLE %t (id int PRIMARY KEY, word text)'), own($row, q(INSERT INTO %t VALUES (1, 'old'))), all($row, 'given');
		$row->{session} = PgLeaderProtocol->new($cluster->server($primary));
		$row->{session}->do($_) foreach all($row, 'before');
	}
	return;
}

# run(): all of them at once, until each is answered or has ended.
sub run
{
	foreach my $row (@rows)
	{
		$row->{session}->query($_) foreach all($row, 'sql');
		$row->{session}->copy_data($row->{data})->copy_done if defined $row->{data};
		$row->{session}->send;
	}
	ok(PgLeaderProtocol::answers(20, map { $_->{session} } @rows), 'each is answered, or has ended');
	return;
}

# What the client got, and must get.
sub got
{
	my $session = shift->{session};
	my ($why) = ($session->error->{M} // '') =~ /^pg_leader: ([^:]*)/;

	# EXPLAIN has 0.00 rows from PostgreSQL 18 on
	return $session->said('CDEGHZdc') =~ s/(rows=\d+)\.00/$1/gr . (defined $why ? ": $why" : '');
}

sub expected
{
	my $row = shift;
	my %ends = (
		refused => 'E(FATAL 57P01) EOF: nothing of this transaction was committed',
		'not begun' => 'E(FATAL 57P01) EOF: this command was not begun',
		withheld => 'E(FATAL 08007) EOF: whether this transaction is committed is not known',
		passes => '');

	return join ' ', grep { $_ ne '' } own($row, $row->{said}), $ends{ $row->{kind} };
}

sub kind { my $kind = shift; return grep { $_->{kind} eq $kind } @rows; }

# ---- the cluster ----

my ($primary, $observer, $before, $closed, $open, %counted, %details, @fast);

$cluster->start_all;
($primary) = $cluster->wait_for_roles;
make($primary);
$observer = PgLeaderProtocol->new($cluster->server($primary));
$before = $observer->value($picture);

kill 'STOP', map { $cluster->worker($_) } $cluster->ids;
$cluster->wait_until('the fence is closed', sub { $observer->value('SELECT is_open FROM pg_leader_fence') eq 'f' });
run();
$closed = $observer->value($picture);
is($observer->value(q(SELECT count(*) FROM pg_class WHERE relpersistence = 't')), 0, 'temporary tables have gone with their sessions');
$counted{$_} = $observer->value("SELECT $_ FROM pg_leader_fence") foreach qw(commits_refused commands_refused withheld);
kill 'CONT', map { $cluster->worker($_) } $cluster->ids;

$primary = $cluster->wait_for_primary('the fence of one is open again');
$open = $cluster->sql($primary, $picture);

foreach my $row (@rows)
{
	my $seen = join ', ', grep { $_ ne '' } changes($before, $closed, $row), changes($before, $open, $row);
	my ($sql) = join ' // ', all($row, 'before'), all($row, 'sql');

	$seen = 'nothing' if $seen eq '';
	diag("$sql | " . got($row) . " | $seen");
	is(got($row) . " | $seen", expected($row) . ' | nothing', "$row->{kind}: $sql");
}
is(changes($before, $closed), '', 'nothing else has changed while it was closed');
is(changes($before, $open), '', 'nor afterwards');
@fast = grep { $_->{session}->took < WAIT / 1000 } kind('refused'), kind('not begun');
is(join(', ', map { own($_, '%t') } @fast), '', 'who was refused has waited for the fence');
$details{ $_->{session}->error->{D} } = 1 foreach kind('refused'), kind('not begun');
is(join("\n", keys %details), 'This server does not answer commits now: its lease has run out: it does not hear from enough members.', 'and was told why');
is($counted{commits_refused}, scalar kind('refused'), 'commits that were refused are counted');
is($counted{commands_refused}, scalar kind('not begun'), 'and commands');
is($counted{withheld}, scalar kind('withheld'), 'and what was withheld');

# They were refused for the fence alone.
$observer = PgLeaderProtocol->new($cluster->server($primary));
is(join("\n", grep { !eval { $observer->do($_); 1 } } map { all($_, 'sql') } kind('not begun')), '', 'commands that were not begun are done now');

$cluster->stop_all;
done_testing();
