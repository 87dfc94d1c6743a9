# test/t/056_rebuilt_by_hand.pl
#	  A managed server whose data directory no longer fits because of what a person has done
#	  is cloned, and one whose directory a person has replaced follows.  One whose WAL ends
#	  just behind the beginning of a segment needs nothing of the sort.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PgLeaderManaged;
use PostgreSQL::Test::Utils;
use Test::More;

my $cluster = PgLeaderManaged->new('by_hand', 3, settings => { min_timeout => '300ms', max_timeout => '600ms' },
	conf => PgLeaderManaged::QUIET . "wal_keep_size = 0\n");
my ($primary, $odd, $offset);

# does(ID, ORDER): the reason, if that is its order.
sub does
{
	my ($id, $order) = @_;
	my $role = $cluster->role($id);

	return ($role->{order} // '') eq $order ? $role->{reason} : undef;
}

sub wait_for_order
{
	my ($name, $id, $order, $reason) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$cluster->wait_until($name, sub { (does($id, $order) // '') eq $reason });
	return;
}

sub has_what_was_committed
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($cluster->sql($odd, 'SELECT word FROM told'), 'meanwhile', 'with what was committed meanwhile');
	is($cluster->sql($odd, q(SELECT to_regclass('mine') IS NULL)), 't', 'and without what it had by itself');
	return;
}

$cluster->start_all;
$primary = $cluster->wait_for_primary('there is an open primary');
$cluster->wait_for_followers('the others follow it', $primary);
is($cluster->sql($primary, 'CREATE TABLE told (word text)'), '', 'it takes commits');

# ---- a segment that is gone ----

# It ends in the first bytes of a segment, and the primary has none before that any more.
($odd) = $cluster->others($primary);
$cluster->wait_for_replay($primary);
$cluster->sql($primary, q(SELECT pg_switch_wal(); SELECT pg_logical_emit_message(true, 'some', 'bytes')));
$cluster->wait_until('one of them has less of a segment than is compared', sub {
	my $end = $cluster->role($odd)->{wal_end};

	return 0 if $end ne $cluster->sql($primary, 'SELECT pg_current_wal_flush_lsn()');
	return 1 if hex(substr($end, -6)) > 0 && hex(substr($end, -6)) < 8192;

	# a page that was written for the first time since the last checkpoint
	$cluster->sql($primary, q(SELECT pg_switch_wal(); SELECT pg_logical_emit_message(true, 'some', 'bytes')));
	return 0;
});
my $segment = $cluster->sql($primary, 'SELECT pg_walfile_name(pg_current_wal_flush_lsn())');
$cluster->stop($odd);
$cluster->sql($primary, 'CHECKPOINT');
is($cluster->sql($primary, 'SELECT min(name) FROM pg_ls_waldir() WHERE length(name) = 24'), $segment, 'the primary has none before that');
$cluster->start($odd);
wait_for_order('it follows all the same', $odd, 'FOLLOW', 'compared');

# ---- the rest of a segment that has not come ----

# WAL ends with a switch of segments, and the padding after it was not received: the pages before
# the end are those of another use of the file.
$cluster->wait_for_followers('all follow', $primary);
$cluster->wait_for_replay($primary);
$cluster->sql($primary, q(SELECT pg_logical_emit_message(true, 'some', 'bytes'); SELECT pg_switch_wal()));
$cluster->wait_until('WAL ends where a segment does', sub { ($cluster->role($odd)->{wal_end} // '') =~ m{/[0-9A-F]+000000$} });
my $switched = $cluster->server($odd)->data_dir . '/pg_wal/' . $cluster->sql($primary, "SELECT pg_walfile_name('@{[ $cluster->role($odd)->{wal_end} ]}')");
$cluster->stop($odd);
open my $file, '+<:raw', $switched or die "$switched: $!";
seek $file, -300 * 8192, 2;
print $file 'of an earlier use ' x (300 * 8192 / 18);
close $file;
$cluster->start($odd);
wait_for_order('it follows all the same', $odd, 'FOLLOW', 'compared');
$cluster->wait_for_followers('and streams', $primary);

# ---- promoted by hand ----

my $server = $cluster->server($odd);
my $directory = $server->data_dir;
my $conf = slurp_file("$directory/postgresql.conf");

$cluster->stop($odd);
unlink "$directory/standby.signal" or die "standby.signal: $!";
system_or_bail('pg_ctl', '-D', $directory, '-w', '-l', $server->logfile, '-o',
	'-c pg_leader.manage=off -c pg_leader.node_id=-1 -c synchronous_standby_names=', 'start');
$cluster->sql($odd, "CREATE TABLE mine AS SELECT generate_series(1, 1000)");
system_or_bail('pg_ctl', '-D', $directory, '-w', '-m', 'fast', 'stop');
is($cluster->sql($primary, q(INSERT INTO told VALUES ('meanwhile'))), '', 'the others go on');

$offset = $cluster->log_size($odd);
$cluster->start($odd);
$cluster->comes_back($odd, $primary);
like($cluster->log_of($odd, $offset), qr/for a clone from node $primary: it holds WAL of a timeline that nobody has authorised\n.*is a copy of the leader's: cloned/s,
	'complaint 16: a server on a timeline that the leader does not have, promoted without the supervisor: it was cloned');
has_what_was_committed();
is(slurp_file("$directory/postgresql.conf"), $conf, 'with its own configuration');

# ---- replaced by hand ----

$cluster->stop($odd);
rename $directory, "$directory.old" or die "$directory: $!";
system_or_bail('pg_basebackup', '-d', $cluster->server($primary)->connstr, '-D', $directory, '-c', 'fast', '-X', 'stream');
unlink "$directory/postgresql.conf";
append_to_file("$directory/postgresql.conf", $conf);
$offset = $cluster->log_size($odd);
$cluster->start($odd);
wait_for_order('a base backup of the primary is in its place: it follows', $odd, 'FOLLOW', 'compared');
$cluster->wait_for_followers('and streams', $primary);
unlike($cluster->log_of($odd, $offset), qr/order (CLONE|REWIND)/, 'without a rebuild');
has_what_was_committed();

$cluster->kill_server($odd);
wait_for_order('killed and started again: it follows', $odd, 'FOLLOW', 'compared');

$cluster->stop_all;
done_testing();
