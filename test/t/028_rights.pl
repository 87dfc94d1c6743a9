# test/t/028_rights.pl
#	  Who may do what with SQL.  Each sentence of the documents about rights is in
#	  the table below, with what is tried to see whether it is true; a sentence
#	  that is not in there fails the test.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgLeaderCluster;
use PgLeaderManaged;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = "$FindBin::RealBin/../..";
my $cluster = PgLeaderCluster->new('rights', 1, settings => \%PgLeaderCluster::STEADY);
my $server = $cluster->server(0);
my $key_file = $cluster->member(0)->{state_directory} . '/keys';
my $address = $cluster->address(0);

PostgreSQL::Test::Utils::append_to_file($key_file, '1 ' . '0123456789abcdef' x 4 . "\n");
chmod 0600, $key_file or die "$key_file: $!";
$cluster->set(0, secret_file => $key_file);
$cluster->start_all;
$cluster->wait_for_leader('a cluster of one');

$server->safe_psql('postgres', q{
	CREATE ROLE plain LOGIN;
	CREATE ROLE monitor LOGIN IN ROLE pg_monitor;
	CREATE ROLE files LOGIN IN ROLE pg_read_server_files;
	CREATE ROLE operator LOGIN;
	GRANT EXECUTE ON FUNCTION pg_leader_transfer(int4, interval), pg_leader_switchover(int4, interval, bool), pg_leader_admit(), pg_stat_pg_leader_reset() TO operator;
	GRANT EXECUTE ON FUNCTION pg_leader_pause(interval), pg_leader_resume(interval), pg_leader_reinit(), pg_leader_restart(), pg_leader_trust_data(pg_lsn) TO operator;
	GRANT ALTER SYSTEM ON PARAMETER pg_leader.notify_command, pg_leader.log_messages TO operator;
	CREATE ROLE super LOGIN SUPERUSER;
	CREATE ROLE replicator LOGIN REPLICATION});
$server->safe_psql('postgres', $_) foreach rewind_grants();
$server->safe_psql('postgres', 'CREATE DATABASE other');

# rewind_grants(): as security.md says.
sub rewind_grants
{
	return slurp_file("$top/doc/security.md") =~ /^    (GRANT EXECUTE ON FUNCTION pg_catalog\.pg_ls_dir.*? TO replicator;)$/ms;
}

# What is tried: [role, query, a pattern for what it answers or is refused with].
my $denied = qr/^ERROR:  permission denied/;
my $path = qr/^\Q$key_file\E$/;
my $state = qr/^\Q@{[ $cluster->state_file(0) ]}\E$/;
my $read_key = "CREATE TEMP TABLE lines (line text); COPY lines FROM '$key_file'; SELECT line FROM lines";
my @looks = map { "SELECT * FROM $_" } qw(pg_leader_status pg_leader_peers pg_leader_events pg_stat_pg_leader
	pg_leader_server pg_leader_fence pg_leader_stat_messages pg_leader_stat_drops pg_leader_stat_times pg_leader_stat_histogram),
	'pg_leader_lease()', 'pg_leader_wait_for_leader()', 'get_node_info()', 'pg_leader_node_id()', 'pg_leader_term()',
	'pg_leader_leader_id()', 'pg_leader_is_leader()', '(SELECT count(*) FROM pg_leader_stat_peers) AS peers', '(SELECT count(*) FROM pg_leader_slots) AS slots';
my @everyone = map { my $role = $_; map { [ $role, $_, qr/^(?!ERROR)./ ] } @looks } qw(plain monitor super);
my @switchover = (
	[ 'plain', 'SELECT pg_leader_switchover()', $denied ], [ 'monitor', 'SELECT pg_leader_switchover()', $denied ],
	map { [ $_, 'SELECT pg_leader_switchover()', qr/pg_leader\.manage is off/ ] } qw(operator super));
my @transfer = (
	[ 'plain', 'SELECT pg_leader_transfer()', $denied ], [ 'monitor', 'SELECT pg_leader_transfer()', $denied ],
	map { [ $_, 'SELECT pg_leader_transfer()', qr/no other member can lead/ ] } qw(operator super));
my @pause = map { my $query = "SELECT pg_leader_$_()"; ([ 'plain', $query, $denied ], [ 'monitor', $query, $denied ],
		map { [ $_, $query, qr/pg_leader\.manage is off/ ] } qw(operator super)) } qw(pause resume);
my @restart = map { my $query = "SELECT pg_leader_$_()"; ([ 'plain', $query, $denied ], [ 'monitor', $query, $denied ],
		map { [ $_, $query, qr/this server is not managed/ ] } qw(operator super)) } qw(reinit restart);
my @admit = (
	[ 'plain', 'SELECT pg_leader_admit()', $denied ], [ 'monitor', 'SELECT pg_leader_admit()', $denied ],
	map { [ $_, 'SELECT pg_leader_admit()', qr/does not abstain/ ] } qw(operator super));
my $trust = q(SELECT pg_leader_trust_data('0/1'));
my @trust = (
	[ 'plain', $trust, $denied ], [ 'monitor', $trust, $denied ],
	map { [ $_, $trust, qr/this server is not managed/ ] } qw(operator super));
my @missing = (
	[ 'plain', 'SELECT pg_leader_slots_missing(1)', $denied ], [ 'monitor', 'SELECT pg_leader_slots_missing(1)', $denied ],
	[ 'super', 'SELECT pg_leader_slots_missing(1)', qr/not the primary of a managed cluster/ ]);
my @reset = (
	[ 'plain', 'SELECT pg_stat_pg_leader_reset()', $denied ], [ 'monitor', 'SELECT pg_stat_pg_leader_reset()', $denied ],
	map { [ $_, 'SELECT pg_stat_pg_leader_reset()', qr/^$/ ] } qw(operator super));
my @state_file = (
	[ 'plain', 'SELECT state_file FROM pg_leader_status', qr/^$/ ],
	map { [ $_, 'SELECT state_file FROM pg_leader_status', $state ] } qw(monitor super));
my @settings_paths = (
	(map { [ 'plain', "SHOW pg_leader.$_", qr/^ERROR:  .*pg_read_all_settings|^ERROR:  permission denied/s ] }
		qw(secret_file state_directory replication_conninfo)),
	[ 'plain', "SELECT count(*) FROM pg_settings WHERE name IN ('pg_leader.secret_file', 'pg_leader.state_directory')", qr/^0$/ ],
	(map { [ $_, 'SHOW pg_leader.secret_file', $path ] } qw(monitor super)),
	[ 'monitor', 'SHOW pg_leader.state_directory', qr{^/} ]);
my @change = (
	[ 'plain', "ALTER SYSTEM SET pg_leader.log_messages = off", $denied ],
	[ 'monitor', "ALTER SYSTEM SET pg_leader.log_messages = off", $denied ],
	[ 'plain', "SET pg_leader.log_messages = off", qr/cannot be changed now/ ],
	[ 'operator', "ALTER SYSTEM SET pg_leader.log_messages = off", qr/^$/ ],
	[ 'super', "ALTER SYSTEM RESET pg_leader.log_messages", qr/^$/ ]);
my @notify = (
	[ 'plain', "ALTER SYSTEM SET pg_leader.notify_command = ''", $denied ],
	[ 'operator', "ALTER SYSTEM SET pg_leader.notify_command = ''", qr/^$/ ],
	[ 'super', "ALTER SYSTEM RESET pg_leader.notify_command", qr/^$/ ]);
my @key = (
	[ 'plain', $read_key, qr/^ERROR:  permission denied|^ERROR:  must be superuser/ ],
	[ 'monitor', $read_key, qr/^ERROR:  permission denied|^ERROR:  must be superuser/ ],
	[ 'files', $read_key, qr/^1 0123/ ], [ 'super', $read_key, qr/^1 0123/ ]);
my @rewind = map { my $query = $_; ([ 'plain', $query, $denied ], map { [ $_, $query, qr/^\d+$/ ] } qw(replicator super)) }
	"SELECT count(*) FROM pg_ls_dir('.', true, false)", "SELECT size FROM pg_stat_file('PG_VERSION', true)",
	"SELECT length(pg_read_binary_file('PG_VERSION'))", "SELECT length(pg_read_binary_file('PG_VERSION', 0, 2, true))";
my @create = (
	[ 'plain', "\\c other\nCREATE EXTENSION pg_leader", $denied ],
	[ 'super', 'CREATE EXTENSION IF NOT EXISTS pg_leader', qr/^$/ ]);
my @revoke = (
	[ 'super', 'REVOKE EXECUTE ON FUNCTION pg_leader_term() FROM PUBLIC', qr/^$/ ],
	[ 'plain', 'SELECT pg_leader_term()', $denied ],
	[ 'super', 'GRANT EXECUTE ON FUNCTION pg_leader_term() TO PUBLIC', qr/^$/ ],
	[ 'plain', 'SELECT pg_leader_term()', qr/^\d+$/ ]);

# Which document, a sentence of it or the beginning of a row, and what is tried.
my @claims = (
	[ 'reference.md', 'Functions marked * need a [privilege](#who-may-do-what).', @transfer, @switchover, @admit, @trust, @missing, @reset ],
	[ 'reference.md', 'Everyone may read them, on standbys too.', @everyone ],
	[ 'reference.md', '| `state` | `text` |' ], # tried when the member takes no part
	[ 'reference.md', '| `state_file` | `text` | its path; shown to superusers and members of `pg_read_all_settings` |', @state_file ],
	[ 'reference.md', 'The privileges of PUBLIC are granted when it is created, and can be revoked.', @revoke ],
	[ 'reference.md', '| all functions without a *, all views | everyone | |', @everyone ],
	[ 'reference.md', '| `pg_leader_switchover(int4, interval, bool)` | superusers |', @switchover ],
	[ 'reference.md', '| `pg_leader_transfer(int4, interval)` | superusers |', @transfer ],
	[ 'reference.md', '| `pg_leader_pause(interval)`, `pg_leader_resume(interval)` | superusers |', @pause ],
	[ 'reference.md', '| `pg_leader_reinit()`, `pg_leader_restart()` | superusers |', @restart ],
	[ 'reference.md', '| `pg_leader_admit()` | superusers |', @admit ],
	[ 'reference.md', '| `pg_leader_trust_data(pg_lsn)` | superusers |', @trust ],
	[ 'reference.md', '| `pg_leader_slots_missing(int4)` | superusers |', @missing ],
	[ 'reference.md', '| `pg_stat_pg_leader_reset()` | superusers |', @reset ],
	[ 'reference.md', '| paths: `pg_leader_status.state_file`,', @state_file, @settings_paths ],
	[ 'reference.md', '| changing a setting | superusers,', @change, @notify ],
	[ 'reference.md', '`CREATE EXTENSION pg_leader` needs a superuser.', @create ],
	[ 'reference.md', '| `sync` | `sync_state` of the primary\'s `pg_stat_replication`:' ], # tried in 070_leaderctl.pl
	[ 'operations.md', 'Connect as a role with the privileges of `pg_monitor`,' ], # the same
	[ 'managed.md', 'Name all servers, for their ports are not known to each other yet,' ], # tried in 077_adoption.pl
	[ 'reference.md', '| `adopt` | for [a running primary and its standbys]' ], # the same
	[ 'keep.md', 'GRANT pg_monitor TO keep;`, which `pg_hba.conf` of all members lets into' ], # tried in 093_keep.pl
	[ 'keep.md', 'Besides `REPLICATION` and `pg_monitor`, the role needs' ], # tried in 094_keep_restore.pl
	[ 'keep.md', 'that user may be any role, without a password' ], # the same
	[ 'security.md', '| everyone | see who leads,', @everyone, @settings_paths, @transfer, @switchover, @admit, @reset, @change, @notify ],
	[ 'security.md', '| `pg_read_all_settings` (so `pg_monitor`) | also see the paths', @state_file, @settings_paths ],
	[ 'security.md', '| who was granted EXECUTE on `pg_leader_transfer()` or `pg_leader_switchover()` |', @transfer, @switchover ],
	[ 'security.md', '| who was granted EXECUTE on `pg_leader_pause()`,', @pause, @restart ],
	[ 'security.md', '| who was granted EXECUTE on `pg_leader_admit()` |', @admit ],
	[ 'security.md', '| who was granted EXECUTE on `pg_leader_trust_data()` |', @trust ],
	[ 'security.md', '| who was granted ALTER SYSTEM on `pg_leader.notify_command` |', @notify ],
	[ 'security.md', '| `pg_read_server_files` | read every file', @key ],
	[ 'security.md', '| superusers | everything: read the key', @key, @change, @notify ],
	[ 'security.md', 'and in the database `postgres`, if the role is no superuser,', @rewind ],
	[ 'security.md', 'Superuser is more than it needs.', @rewind ],
	[ 'managed.md', '- a role in `pg_leader.replication_conninfo` that is a superuser,', @rewind ],
	[ 'notify.md', 'The setting is readable by everyone:', [ 'plain', 'SHOW pg_leader.notify_command', qr/^$/ ] ],
	[ 'operations.md', 'Any role that may log in will do.', @everyone ],
	[ 'operations.md', 'Create one for it, because by default it connects as the superuser `postgres`.' ],
	[ 'operations.md', '`dbname` is the database with the extension, one that only superusers own;' ],
	[ 'operations.md', 'Everyone may read them, on standbys too.', @everyone ]);

my $about_rights = qr/superuser|(?:everyone|everybody) (?:may|can|\|)|(?:by|to) every(?:one|body)\b|\| everyone|pg_monitor|pg_read_|\bGRANT\b(?!S)|was granted|any role|PUBLIC|\[(?:right|privilege)\]/i;

# units(TEXT): its sentences, and the rows of its tables; no commands.
sub units
{
	my ($text) = @_;
	my @units;

	$text =~ s/^```.*?^```$//msg;
	$text =~ s/^    .*$//mg;
	foreach my $paragraph (split /\n\s*\n/, $text)
	{
		push @units, $paragraph =~ /^(\|.*)$/mg;
		$paragraph =~ s/^\|.*$//mg;
		push @units, split /(?<=[.:;!?]) /, $paragraph =~ s/\s+/ /gr;
	}
	return @units;
}

# attempt(ROLE, QUERY): what psql says, of errors the first line.
sub attempt
{
	my ($role, $query) = @_;
	my ($code, $out, $err) = $server->psql('postgres', $query, extra_params => [ '-q', '-U', $role ]);

	return $code == 0 ? $out : $err =~ s/^psql:[^ ]* //r;
}

# ---- every sentence is in the table, and every one in the table is true ----

foreach my $file (glob "$top/README.md $top/doc/*.md")
{
	my ($name) = $file =~ m{([^/]+)$};
	my @sentences = map { $_->[1] } grep { $_->[0] eq $name } @claims;
	my @units = units(PostgreSQL::Test::Utils::slurp_file($file));

	foreach my $unit (grep { /$about_rights/ } @units)
	{
		ok(scalar(grep { index($unit, $_) >= 0 } @sentences), "$name: this is tried: " . substr($unit, 0, 100));
	}
	foreach my $sentence (@sentences)
	{
		ok(scalar(grep { index($_, $sentence) >= 0 } @units), "$name says: $sentence");
	}
}
is_deeply([ grep { /$about_rights/ } split /\n/, $server->safe_psql('postgres', q{
	SELECT d.description FROM pg_description d JOIN pg_depend m ON m.classid = d.classoid AND m.objid = d.objoid
	JOIN pg_extension e ON m.refobjid = e.oid WHERE e.extname = 'pg_leader'}) ], [], 'the COMMENTs say nothing about rights');

my %tried;

foreach my $claim (@claims)
{
	my ($file, $sentence, @attempts) = @$claim;

	foreach (@attempts)
	{
		my ($role, $query, $expected) = @$_;
		my $answer = attempt($role, $query);

		# the same attempt proves several sentences
		next if $tried{"$role $query"}++ && $answer =~ $expected;
		like($answer, $expected, "$file, $sentence: $role: " . substr($query, 0, 80));
	}
}

# ---- a member that takes no part: the reason names a file, or it does not ----

# out(SETTING, VALUE): the server is started so that its member takes no part.
sub out
{
	my ($name, $value) = @_;

	$cluster->stop(0);
	$cluster->set(0, $name => $value);
	$cluster->start(0);
	$cluster->wait_until("$name is wrong: the member takes no part", sub { ($cluster->status(0) // {})->{state} =~ /^not taking part/ });
	return;
}

my @reasons = ('SELECT state FROM pg_leader_status', 'SELECT pg_leader_wait_for_leader(\'0\')');

foreach my $case ([ 'secret_file', '/no/such/file' ], [ 'state_directory', '/no/such/directory' ])
{
	my ($name, $value) = @$case;

	out($name, $value);
	foreach my $query (@reasons)
	{
		unlike(attempt('plain', $query), qr{/}, "$name is wrong: plain is not told where files are: $query");
		like(attempt('plain', $query), qr/not tak(?:ing|e) part.*the reason names a file/s, "$name is wrong: but that it is about one: $query");
		like(attempt($_, $query), qr{/no/such}, "$name is wrong: $_ is told: $query") foreach qw(monitor super);
	}
	$cluster->set(0, $name => $name eq 'secret_file' ? $key_file : $cluster->member(0)->{state_directory});
}
out('node_id', '7');
like(attempt('plain', $_), qr/pg_leader\.node_id is 7, which is not in pg_leader\.cluster/, "a reason without a path is for all: $_")
	foreach @reasons;
$cluster->set(0, node_id => 0);
$cluster->stop_all;

# The fence says it to everyone, too.
my $managed = PgLeaderManaged->new('managed', 1);
my $directory = $managed->member(0)->{state_directory};

$managed->set(0, fence_exempt_roles => (getpwuid $<)[0] . ', plain');
$managed->start_all;
$managed->wait_for_primary('managed: it is open');
$managed->sql(0, 'CREATE ROLE plain LOGIN');
$server = $managed->server(0);
rename $directory, "$directory.away" or die "$directory: $!";
PostgreSQL::Test::Utils::append_to_file($directory, "no directory\n");
kill 'TERM', $managed->worker(0);
$managed->wait_until('managed: the member takes no part, and says why',
	sub { ($managed->sql(0, 'SELECT state FROM pg_leader_status') // '') =~ m{^not taking part: .*/} });
is(attempt('plain', 'SELECT reason_text FROM pg_leader_fence'),
	'this server takes no part in the election: the reason names a file, and is in the log', 'managed: the fence does not tell where files are');
unlink $directory;
rename "$directory.away", $directory or die "$directory: $!";
$managed->stop_all;
done_testing();
