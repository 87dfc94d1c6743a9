# test/t/073_rebuild_hindered.pl
#	  Rebuilds where something is in the way: the leader dies meanwhile, the directory cannot be
#	  exchanged for another one, a second supervisor is started, the data are another cluster's or
#	  of another major version, or the directory is none of PostgreSQL's.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PgLeaderRebuilt;
use PostgreSQL::Test::Utils;
use Test::More;

my $cluster = PgLeaderRebuilt->rebuilt('hindered');
my ($primary, @others);

sub learn_roles { ($primary, @others) = $cluster->wait_for_roles; return; }
sub commit_one { $cluster->commit_one($primary); return; }

# ends_well(ID): tests; all follow, and have what was answered and nothing else.
sub ends_well
{
	my $id = shift;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	learn_roles();
	$cluster->ends_well($id, $primary);
	return;
}

learn_roles();
is($cluster->sql($primary, q(CREATE TABLE told (n int); CREATE TABLE big AS SELECT repeat(md5(g::text), 30) AS filler FROM generate_series(1, 40000) g)), '', 'tables');
commit_one();
$cluster->set_now($_, clone_max_rate => 16_000) foreach $cluster->ids;

subtest 'the leader dies during a clone beside an intact directory (clone_source_changes)' => sub {
	my ($id, $other) = @others;
	my $offset = $cluster->log_size($id);
	my $old = $primary;

	$cluster->promote_by_hand($id, 'INSERT INTO told VALUES (-1)');
	$cluster->start($id);
	$cluster->wait_for_line('it is cloned', $id, $offset, qr/cloning the data directory/);
	ok(-d $cluster->directory($id) . '/base', 'beside what it had');
	$cluster->kill_member($old);
	$cluster->wait_until('another one leads', sub { $cluster->role($other)->{is_open} || $cluster->log_of($id, $offset) =~ /from node $other\n/ });
	$cluster->start($old);
	ends_well($id);
	like($cluster->log_of($id, $offset), qr/cloning the data directory "[^"]*" from node $old\n.*cloning the data directory "[^"]*" from node $other\n/s, 'from the old leader, and then from the new one');
};

subtest 'the leader dies when a clone is in place, and has WAL that nobody else has' => sub {
	my ($id, $other) = @others;
	my $old = $primary;
	my $offset = $cluster->log_size($id);
	my @receivers;

	$cluster->promote_by_hand($id, 'INSERT INTO told VALUES (-1)');
	@receivers = $cluster->receivers($old);
	kill 'STOP', @receivers;
	$cluster->sql($old, 'SET synchronous_commit = local; INSERT INTO told VALUES (-2)');
	$cluster->start($id);
	$cluster->wait_for_line('it is cloned', $id, $offset, qr/is a copy of the leader's: cloned/);
	$cluster->kill_member($old);
	kill 'TERM', @receivers;
	kill 'CONT', @receivers;
	$cluster->wait_until('it follows the other one, or leads', sub { $cluster->follows($id, $other) || $cluster->role($id)->{is_open} });
	$cluster->start($old);
	learn_roles();
	if (($cluster->sql($primary, 'SELECT count(*) FROM told WHERE n = -2') // '') ne '0')
	{
		note('the clone has become the leader with that row');
		$cluster->sql($primary, 'DELETE FROM told WHERE n = -2');
	}
	ends_well($id);
};

subtest 'the leader dies during a rewind (K8, source_dies_in_rewind)' => sub {
	my $id = $primary;
	my ($leader, $offset, $other);

	$cluster->write_alone($id, 'INSERT INTO told SELECT -g FROM generate_series(1, 50) g');
	learn_roles();
	$leader = $primary;
	($other) = grep { $_ != $id } @others;
	$cluster->sql($leader, 'CREATE TABLE more AS SELECT * FROM big');
	$offset = $cluster->log_size($id);
	$cluster->start($id);
	$cluster->wait_for_line('it is rewound', $id, $offset, qr/rewinding the data directory/);
	$cluster->kill_member($leader);
	$cluster->wait_until('another one leads', sub { $cluster->role($other)->{is_open} || $cluster->log_of($id, $offset) =~ /from node $other\n/ });
	$cluster->start($leader);
	ends_well($id);
	unlike($cluster->log_of($id, $offset), qr/rewinding the data directory (?:(?!is a copy of the leader).)*started the server/s, 'complaint 12: no server was started on a half');
	note($_) foreach $cluster->log_of($id, $offset) =~ /((?:rewinding|cloning) the data|is a copy of.*|started the server as)/g;
};

subtest 'its parent directory cannot be written' => sub {
	my ($id) = @others;
	my $parent = $cluster->directory($id) =~ s{/[^/]*$}{}r;
	my $conf = slurp_file($cluster->directory($id) . '/postgresql.conf');

	foreach my $how ('lost', 'promoted by hand', 'diverged')
	{
		my $offset;

		learn_roles();
		($id) = @others;
		if ($how eq 'lost') { $cluster->lose($id); }
		elsif ($how eq 'promoted by hand') { $cluster->promote_by_hand($id, 'INSERT INTO told VALUES (-1)'); }
		else { $id = $primary; $cluster->write_alone($id, 'INSERT INTO told VALUES (-3)'); learn_roles(); }
		$parent = $cluster->directory($id) =~ s{/[^/]*$}{}r;
		$conf = slurp_file($cluster->directory($id) . '/postgresql.conf');
		chmod 0555, $parent or die "$parent: $!";
		$offset = $cluster->log_size($id);
		$cluster->start($id);
		$cluster->wait_for_line("$how: cloned", $id, $offset, qr/is a copy of the leader's: cloned/);
		ends_well($id);
		chmod 0755, $parent;
		is(slurp_file($cluster->directory($id) . '/postgresql.conf'), $conf, 'its configuration is its own');
	}
};

subtest 'a second supervisor during a clone (two_supervisors)' => sub {
	my ($id) = @others;
	my $offset = $cluster->log_size($id);
	my ($out, $err);

	$cluster->lose($id);
	$cluster->start($id);
	$cluster->wait_for_line('it is cloned', $id, $offset, qr/cloning the data directory/);
	($out, $err) = run_command([ 'pg_leader_supervisor', '-D', $cluster->directory($id) ]);
	like($err, qr/another supervisor runs for node $id \(process @{[ $cluster->supervisor($id) ]}\)\n.*Stop the other one first/s, 'is refused');
	ends_well($id);
};

subtest 'data of another cluster, of another major version, and no data directory' => sub {
	my ($id) = @others;
	my $offset;
	my $directory = $cluster->directory($id);

	$cluster->stop($id);
	rename $directory, "$directory.good" or die;
	system_or_bail('initdb', '-D', $directory, '-A', 'trust', '-N');
	foreach my $file (qw(postgresql.conf postgresql.auto.conf pg_hba.conf))
	{
		unlink "$directory/$file";
		append_to_file("$directory/$file", slurp_file("$directory.good/$file"));
	}
	$offset = $cluster->log_size($id);
	$cluster->start($id);
	$cluster->wait_for_line('of another cluster', $id, $offset, qr/ERROR: +the server is not started: .*another/);
	$cluster->stays('nothing is cloned', 2, sub { $cluster->log_of($id, $offset) !~ /cloning/ });
	$cluster->stop($id);

	# as pg_control of another major is, to whoever reads it
	append_to_file("$directory/PG_VERSION.new", "12\n");
	rename "$directory/PG_VERSION.new", "$directory/PG_VERSION" or die;
	open my $file, '+<:raw', "$directory/global/pg_control" or die;
	seek $file, 8, 0;
	print $file pack 'L', 1201;
	close $file;
	$offset = $cluster->log_size($id);
	$cluster->start($id);
	$cluster->wait_for_line('of another major version', $id, $offset, qr/ERROR: .*"\Q$directory\E" is of PostgreSQL 12, and this program is of/);
	$cluster->stays('nothing is cloned', 2, sub { $cluster->log_of($id, $offset) !~ /cloning the/ });
	ok(-d "$directory/base/1", 'and all is there');
	$cluster->stop($id);

	# as where -D names the parent of somebody's directories
	mkdir "$directory.not" or die;
	rename "$directory/base", "$directory.not/dumps" or die;
	foreach my $file (qw(postgresql.conf postgresql.auto.conf pg_hba.conf)) { rename "$directory/$file", "$directory.not/$file" or die; }
	system_or_bail('rm', '-rf', $directory);
	rename "$directory.not", $directory or die;
	$offset = $cluster->log_size($id);
	$cluster->start($id);
	$cluster->wait_for_line('no data directory', $id, $offset, qr/ERROR: .*"\Q$directory\E" is no data directory of PostgreSQL, and not empty: it has a directory "dumps"\n.*HINT: +Correct -D/);
	$cluster->stays('nothing is cloned', 2, sub { $cluster->log_of($id, $offset) !~ /cloning the/ });
	ok(-d "$directory/dumps/1", 'and all is there');
	$cluster->stop($id);
	system_or_bail('rm', '-rf', $directory);
	rename "$directory.good", $directory or die;
	$cluster->start($id);
	ends_well($id);
};

$cluster->check_history;
$cluster->stop_all;
done_testing();
