# test/t/057_no_room.pl
#	  Rebuilds on a disk that is too small for them: the data that are there stay as long as they
#	  are of use, no server is started on a half, and with room the rebuild goes on.
#
# test/run.sh makes such a disk, where it may.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PgLeaderRebuilt;
use PostgreSQL::Test::Utils;
use Test::More;

my $disk = $ENV{PG_LEADER_SMALL_DATA};

plan skip_all => 'no small disk: PG_LEADER_SMALL_DATA' unless defined $disk;

use constant MB => 1 << 20;

my $cluster = PgLeaderRebuilt->rebuilt('no_room', "wal_keep_size = 128MB\n");
my ($primary, @others);

sub learn_roles { ($primary, @others) = $cluster->wait_for_roles; return; }
sub commit_one { $cluster->commit_one($primary); return; }

# add_to(ID, BYTES): so much more is copied from it.
sub add_to
{
	my ($id, $bytes) = @_;

	system_or_bail('fallocate', '-l', $bytes, $cluster->directory($id) . "/large_$bytes");
	return;
}

# leave(BYTES): of the disk no more is free.
sub leave
{
	my $bytes = shift;
	my ($out) = run_command([ 'df', '--output=avail', '-B1', $disk ]);
	my ($free) = $out =~ /(\d+)/;

	cmp_ok($free, '>', $bytes, 'there is more room at first');
	system_or_bail('fallocate', '-l', $free - $bytes, "$disk/other");
	return;
}

# goes_on(ID, OFFSET): tests; with room it does, and ends well.
sub goes_on
{
	my ($id, $offset, $own) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	unlink "$disk/other" or die;
	$cluster->stop($id); # else it tries again after a pause
	$cluster->start($id);
	$cluster->comes_back($id, $primary);
	like($cluster->log_of($id, $offset), qr/is a copy of the leader's: cloned/, 'with room it is cloned');
	is_deeply($cluster->own_files($id), $own, 'its configuration is its own');
	learn_roles();
	$cluster->ends_well($id, $primary);
	$cluster->wait_until('and nothing is left beside it', sub { join(' ', map { s{.*/}{}r } glob "$disk/*") eq 'data' });
	return;
}

learn_roles();
is($cluster->sql($primary, 'CREATE TABLE told (n int)'), '', 'a table');
commit_one();

my ($id) = @others;
my $directory = $cluster->directory($id);
my ($offset, $own);

$cluster->stop($id);
system_or_bail('mv', $directory, "$disk/data");
symlink "$disk/data", $directory or die;
$cluster->member($id)->{command} = [ 'pg_leader_supervisor', '-D', "$disk/data" ];
$cluster->start($id);
learn_roles();

subtest 'no_room_for_a_clone: the old data stay' => sub {
	add_to($_, 64 * MB) foreach $cluster->others($id);
	$cluster->promote_by_hand($id, 'INSERT INTO told VALUES (-1)');
	$cluster->set($id, clone_max_rate => 20_000); # how much there is to copy, pg_basebackup says after a second
	leave(48 * MB);
	$offset = $cluster->log_size($id);
	$own = $cluster->own_files($id);
	$cluster->start($id);
	$cluster->wait_for_line('it says so', $id, $offset, qr/ERROR: +the clone has failed: there is no room for a clone of \d+ MB in "[^"]*": \d+ MB are free\n.*HINT: +Make room there/);
	ok(-e "$directory/PG_VERSION" && -d "$directory/base/1" && -e "$directory/global/pg_control", 'complaint 13: the clone has failed, and the old data are there');
	is_deeply($cluster->own_files($id), $own, 'and so is its configuration');
	$cluster->set($id, clone_max_rate => 0);
	$own = $cluster->own_files($id);
	commit_one();
	goes_on($id, $offset, $own);
};

# There is room for its WAL, which is looked at before, and not for what the leader has besides.
subtest 'disk_full_in_rewind: not started, and cloned' => sub {
	$cluster->hand_over($id);
	learn_roles();
	$cluster->write_alone($id, 'INSERT INTO told SELECT -g FROM generate_series(1, 50) g');
	learn_roles();
	add_to($primary, 128 * MB);
	leave(80 * MB);
	$offset = $cluster->log_size($id);
	$own = $cluster->own_files($id);
	$cluster->start($id);
	$cluster->wait_for_line('it says so', $id, $offset, qr/ERROR: +the rewind has failed: pg_rewind has failed: .*No space left on device.*\n.*HINT: +Make room there/);
	$cluster->wait_for_line('nor is there room for a clone', $id, $offset, qr/ERROR: +the clone has failed: .*(?:no room|No space)/);
	unlike($cluster->log_of($id, $offset) =~ s/.*rewinding the data directory//sr, qr/started the server/, 'no server was started on a half');
	commit_one();
	goes_on($id, $offset, $own);
};

$cluster->check_timelines;
$cluster->check_history;
$cluster->stop_all;
done_testing();
