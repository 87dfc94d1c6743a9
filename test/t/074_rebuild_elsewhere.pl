# test/t/074_rebuild_elsewhere.pl
#	  Rebuilds where the leader lets nobody in, where two timelines have the same number, and
#	  where tablespaces and WAL lie outside the data directory, or WAL on a mount point in it.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use POSIX ();

use PgLeaderRebuilt;
use PostgreSQL::Test::Utils;
use Test::More;

my $cluster = PgLeaderRebuilt->rebuilt('elsewhere');
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

# set_hba(LINES): before all others, of the primary.
my $hba;
sub set_hba
{
	my $lines = shift;
	my $file = $cluster->directory($primary) . '/pg_hba.conf';

	$hba //= slurp_file($file);
	append_to_file("$file.new", "$lines$hba");
	rename "$file.new", $file or die;
	$cluster->sql($primary, 'SELECT pg_reload_conf()');
	return;
}

subtest 'the leader lets nobody in' => sub {
	my ($id) = @others;
	my $offset;

	$cluster->lose($id);

	# the members have two, and there is one more
	is($cluster->sql($primary, q(SELECT count(pg_create_physical_replication_slot('of_somebody_' || g)) FROM generate_series(1, current_setting('max_replication_slots')::int - 3) g)), '7', 'somebody else has all other slots but one');
	set_hba("host postgres all all reject\n");
	$offset = $cluster->log_size($id);
	$cluster->start($id);
	$cluster->wait_for_line('for the database', $id, $offset, qr/ERROR: +the leader's server cannot be asked: .*pg_hba\.conf rejects/);
	set_hba("host replication all all reject\n");
	$cluster->wait_for_line('for replication', $id, $offset, qr/ERROR: +the clone has failed: pg_basebackup has failed: .*pg_hba\.conf rejects replication.*\n.*HINT: .*pg_hba\.conf of all members/);
	set_hba('');
	ends_well($id);
	$cluster->sql($primary, q(SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name ~ '^of_somebody'));
};

# Both have made a timeline of the same number: PostgreSQL itself would stream.
subtest 'promoted by hand, while another one is promoted to the same timeline' => sub {
	my ($id) = @others;
	my $old = $primary;
	my $offset;

	$cluster->promote_by_hand($id, 'INSERT INTO told VALUES (-1)');
	$cluster->kill_server($old);
	learn_roles();
	is(join(' ', sort { $a <=> $b } keys %{ $cluster->histories($id) }), join(' ', sort { $a <=> $b } keys %{ $cluster->histories($primary) }), 'the timelines have the same numbers');
	$offset = $cluster->log_size($id);
	$cluster->start($id);
	ends_well($id);
	like($cluster->log_of($id, $offset), qr/stopping the server for a clone .*is a copy of the leader's: cloned/s, 'it was cloned');
	unlike($cluster->log_of($id, $offset) =~ s/is a copy of the leader's.*//sr, qr/started streaming WAL/, 'complaint 10: and received nothing before');
};

subtest 'WAL elsewhere' => sub {
	my ($id) = @others;
	my $place = PostgreSQL::Test::Utils::tempdir('wal');

	$cluster->stop($id);
	system_or_bail('sh', '-c', "mv '@{[ $cluster->directory($id) ]}/pg_wal' '$place/of_$id' && ln -s '$place/of_$id' '@{[ $cluster->directory($id) ]}/pg_wal'");
	$cluster->start($id);
	ends_well($id);
	foreach my $wal ("of_$id.pg_leader_${id}_1", "of_$id")
	{
		my $offset;

		$cluster->promote_by_hand($id, 'INSERT INTO told VALUES (-1)');
		$offset = $cluster->log_size($id);
		$cluster->start($id);
		$cluster->wait_for_line('it is cloned', $id, $offset, qr/is a copy of the leader's: cloned/);
		ends_well($id);
		is(join(' ', map { s{.*/}{}r } glob "$place/*"), $wal, 'WAL is beside where it was, and nowhere else');
		ok(-l $cluster->directory($id) . '/pg_wal', 'by a link');
	}
};

# On one machine all have the same path, so no standby can replay the creation.
subtest 'tablespaces (K5)' => sub {
	my $place = PostgreSQL::Test::Utils::tempdir('spaces');
	my ($id) = @others;
	my $offset;

	foreach my $other (@others)
	{
		$offset = $cluster->log_size($other);
		system_or_bail('pg_ctl', '-D', $cluster->directory($other), '-w', '-m', 'fast', 'stop');
		$cluster->wait_for_line("node $other stays down", $other, $offset, qr/it stays down/);
	}
	mkdir "$place/space" or die;
	{
		local $ENV{PGOPTIONS} = '-c synchronous_commit=local';

		is($cluster->sql($primary, "CREATE TABLESPACE space LOCATION '$place/space'"), '', 'a tablespace');
		is($cluster->sql($primary, 'CREATE TABLE in_space TABLESPACE space AS SELECT * FROM big'), '', 'a table in it');
	}

	# one after the other: those that have lost their data do not vote
	foreach my $other (@others)
	{
		$cluster->lose($other);
		$offset = $cluster->log_size($other);
		$cluster->start($other);
		$cluster->wait_until('the tablespace is on its way', sub { glob "$place/space.pg_leader_*/PG_*/*" }) if $other == $id;
		$cluster->kill_member($other) if $other == $id;
		$cluster->start($other) if $other == $id;
		$cluster->wait_until('it streams', sub { $cluster->follows($other, $primary) });
	}
	ends_well($id);
	is(join(' ', map { s{.*/}{}r } glob "$place/*"), join(' ', 'space', map { "space.pg_leader_${_}_1" } sort @others), 'each has one directory for it, and what was interrupted is gone');
	is($cluster->sql($_, 'SELECT count(*) FROM in_space'), '40000', "node $_: all rows are there") foreach $cluster->ids;

	# as after CREATE TABLESPACE on one machine, or of a copy of the primary's directory
	$cluster->lose($id);
	my ($link) = glob $cluster->directory($id) . '/pg_tblspc/*';
	unlink $link or die;
	symlink "$place/space", $link or die;
	symlink "$place/not_ours", $cluster->directory($id) . '.pg_leader_clone' or die;
	mkdir "$place/not_ours" or die;
	append_to_file("$place/not_ours/file", 'of somebody');
	$cluster->start($id);
	ends_well($id);
	ok(scalar(my @files = glob "$place/space/PG_*/*/*"), "the primary's tablespace is not removed with a directory that has a link to it");
	ok(-e "$place/not_ours/file", 'nor what a link beside the directory leads to');

	# the primary is rewound
	my $places = join(' ', glob "$place/*");
	$id = $primary;
	$cluster->write_alone($id, 'INSERT INTO told VALUES (-1); DELETE FROM in_space');
	learn_roles();
	is($cluster->sql($primary, 'INSERT INTO in_space SELECT * FROM big LIMIT 100'), '', 'and another one goes on');
	$offset = $cluster->log_size($id);
	$cluster->start($id);
	ends_well($id);
	like($cluster->log_of($id, $offset), qr/is a copy of the leader's: rewound/, 'the primary that was killed is rewound');
	is($cluster->sql($_, 'SELECT count(*) FROM in_space'), '40100', "node $_: all rows are there") foreach $cluster->ids;
	is(join(' ', glob "$place/*"), $places, 'in the same directories');
};

# What it is started in has a file system of its own there.
subtest 'WAL on a mount point' => sub {
	my ($id) = grep { !-l $cluster->directory($_) . '/pg_wal' } @others;
	my $bin = PostgreSQL::Test::Utils::tempdir('bin');
	my $mount = (POSIX::uname())[4] eq 'x86_64' ? 165 : 40;
	my ($program) = grep { -x } map { "$_/pg_leader_supervisor" } split /:/, $ENV{PATH};
	my $offset;

	append_to_file("$bin/pg_leader_supervisor", qq(#!/bin/sh
exec unshare --map-current-user --keep-caps --mount perl -e '
	my (\$type, \$wal) = ("tmpfs", "\$ARGV[2]/pg_wal");
	syscall($mount, \$type, \$wal, \$type, 0, 0) == 0 or die "mount: \$!";
	exec \@ARGV' $program "\$@"
));
	chmod 0755, "$bin/pg_leader_supervisor" or die;
	$cluster->lose($id);
	$offset = $cluster->log_size($id);
	{
		local $ENV{PATH} = "$bin:$ENV{PATH}";

		$cluster->start($id);
		$cluster->wait_for_line('it is refused', $id, $offset, qr/ERROR: +the clone has failed: ".*pg_wal" is a mount point, which a clone cannot take the place of\n.*HINT: +Mount/);
	}
	is($cluster->leftovers($id) =~ s/\S*\.service//r, '', 'and nothing is copied');
	$cluster->stop($id);
	$cluster->start($id);
	ends_well($id);
};

$cluster->check_history;
$cluster->stop_all;
done_testing();
