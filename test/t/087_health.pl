# test/t/087_health.pl
#	  Managed servers that cannot serve any more, and do not end: a disk that hangs or is full, a
#	  postmaster that stands still.  Another one leads then, and all come back (scenario 87).
#
# The disk is that of pg_wal, by a library in all processes of a server (test/lib/disk.c).

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PgLeaderManaged;
use PgLeaderProtocol;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use constant TIMEOUT => 2; # pg_leader.health_timeout, seconds

my $dir = PostgreSQL::Test::Utils::tempdir;

plan skip_all => 'there is no C compiler' if system("cc -shared -fPIC -O1 -o '$dir/disk.so' '$FindBin::RealBin/../lib/disk.c' -ldl 2>&1") != 0;

my $cluster = PgLeaderManaged->new('health', 3, settings => { min_timeout => '300ms', max_timeout => '600ms', health_timeout => TIMEOUT . 's' },
	conf => PgLeaderManaged::QUIET . "wal_recycle = off\n");
my ($primary, @others);

# disk_is(ID, WHAT): good, hangs, full.
sub disk_is { my ($id, $what) = @_; open my $file, '>', "$dir/$id.new" or die; print $file $what; close $file; rename "$dir/$id.new", "$dir/$id" or die; return; }

sub start
{
	my $id = shift;

	local $ENV{PG_LEADER_TEST_DISK} = "$dir/$id";
	local $ENV{LD_PRELOAD} = join ' ', "$dir/disk.so", $ENV{LD_PRELOAD} // ();
	$cluster->start($id);
	return;
}

sub learn_roles { ($primary, @others) = $cluster->wait_for_roles; return; }

# takes_over(NAME, OLD): a test; one of the others is open; its id.
sub takes_over
{
	my ($name, $old) = @_;
	my $began = time;
	my $new;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$cluster->wait_until($name, sub { ($new) = grep { $cluster->role($_)->{is_open} } $cluster->others($old); return defined $new; });
	diag(sprintf '%s: after %.1f s', $name, time - $began);
	return $new;
}

# told(ID, N...): a test; these are there, and another commit is answered.
my $told = 0;
sub told
{
	my $id = shift;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($cluster->sql($id, 'SELECT count(*) FROM told'), $told, 'what was answered is there');
	commit($id);
	return;
}

sub commit
{
	my $id = shift;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($cluster->sql($id, 'INSERT INTO told VALUES (1)'), '', 'a commit is answered');
	$told++;
	return;
}

# fill(ID): segments are made, and it does not matter whether it lives through that.
sub fill
{
	my $id = shift;

	$cluster->sql($id, q(SELECT pg_logical_emit_message(false, 'x', 'y'); SELECT pg_switch_wal())) foreach 1 .. 4;
	return;
}

disk_is($_, 'good') foreach $cluster->ids;
start($_) foreach $cluster->ids;
learn_roles();
is($cluster->sql($primary, 'CREATE TABLE told (n int)'), '', 'a table');
commit($primary);

subtest 'a transaction that has written and waits is no disk that hangs' => sub {
	my $offset = $cluster->log_size($primary);
	my $session = PgLeaderProtocol->new($cluster->server($primary));

	$session->query('BEGIN; INSERT INTO told VALUES (1)')->send->gets('Z');
	$cluster->stays('nothing happens', 2 * TIMEOUT, sub { $cluster->role($primary)->{is_open} });
	unlike($cluster->log_of($primary, $offset), qr/not healthy/, 'nor is anything said');
	$session->close;
};

subtest 'frozen_postmaster: sessions go on, and another one leads' => sub {
	my $old = $primary;
	my $offset = $cluster->log_size($old);
	my $session = PgLeaderProtocol->new($cluster->server($old));
	my $new;

	kill 'STOP', $cluster->postmaster($old);
	$session->query('INSERT INTO told VALUES (1)')->send->gets('C');
	$told += () = $session->all('C');
	$new = takes_over('complaint 1: new connections hang, and another one is open', $old);
	$session->query('INSERT INTO told VALUES (-1)')->send->gets('C');
	is(scalar(() = $session->all('C')), 0, 'a session that is there commits nothing more');
	told($new);
	$cluster->wait_for_log($old, qr/WARNING:  pg_leader: this server is not healthy: a new connection gets no answer for pg_leader\.health_timeout/, $offset);
	$cluster->comes_back($old, $new);
	like($cluster->log_of($old, $offset), qr/killed \d+ processes of the server/, 'its supervisor has killed what was left');
	# What the session wrote may have been flushed before it was killed, and be rewound.
	unlike($cluster->log_of($old, $offset), qr/stopping the server for a clone/, 'and it was not cloned');
	learn_roles();
};

subtest 'a supervisor that stands still says nothing of its server, nor is a standby unhealthy that has started and waits' => sub {
	my %offset = map { $_ => $cluster->log_size($_) } $cluster->ids;

	$cluster->kill_server($others[0]); # it receives again what it has replayed, and nothing new
	$cluster->comes_back($others[0], $primary);
	$cluster->signal($primary, 'STOP');
	$cluster->stays('nothing happens', 2 * TIMEOUT, sub { $cluster->role($primary)->{is_open} });
	$cluster->signal($primary, 'CONT');
	$cluster->stays('nor once it goes on', 1, sub { $cluster->role($primary)->{is_open} });
	unlike($cluster->log_of($_, $offset{$_}), qr/not healthy/, "nor does node $_ say anything") foreach $cluster->ids;
};

subtest 'disk_hung: another one leads, and the old one is stopped' => sub {
	my $old = $primary;
	my $offset = $cluster->log_size($old);
	my $session = PgLeaderProtocol->new($cluster->server($old));
	my $new;

	disk_is($old, 'hangs');
	$session->query('INSERT INTO told VALUES (-1)')->send;
	$new = takes_over('complaint 19: its disk hangs, and another one is open', $old);
	told($new);
	$session->gets('C', 0.1);
	is(scalar(() = $session->all('C')), 0, 'the commit on the disk that hangs was not answered');
	$cluster->wait_for_log($old, qr/WARNING:  pg_leader: this server is not healthy: (?:WAL stays unflushed|its role worker has not got on)/, $offset);
	$cluster->wait_for_log($old, qr/restarting the server as a standby: another member leads/, $offset);
	disk_is($old, 'good');
	$cluster->comes_back($old, $new);
	learn_roles();
	like(join("\n", $cluster->reasons($new)), qr/hands over to this node/, 'it was handed over');
};

subtest 'disk_hung: who is the only one that could lead, stays' => sub {
	my $offset = $cluster->log_size($primary);
	my $session = PgLeaderProtocol->new($cluster->server($primary));

	$cluster->set_now($_, candidate => 'off') foreach @others;
	disk_is($primary, 'hangs');
	$session->query('INSERT INTO told VALUES (1)')->send;
	$cluster->wait_for_log($primary, qr/WARNING:  pg_leader: this server goes on leading although it is not healthy/, $offset);
	$cluster->stays('and leads', 1, sub { my $status = $cluster->status($others[0]); return $status && $status->{leader_id} == $primary; });
	disk_is($primary, 'good');
	$session->gets('C');
	is(scalar(() = $session->all('C')), 1, 'then the commit is answered');
	$told++;
	$cluster->wait_for_log($primary, qr/LOG:  pg_leader: this server is healthy again/, $offset);
	is(scalar(() = $cluster->log_of($primary, $offset) =~ /goes on leading although/g), 1, 'it is said once');
	$cluster->set_now($_, candidate => 'on') foreach @others;
	told($primary);
};

subtest 'wal_volume_full_on_standby: it confirms nothing more and says why, and commits go on' => sub {
	my $id = $others[0];
	my $offset = $cluster->log_size($id);

	disk_is($id, 'full');
	fill($primary);
	told($primary);
	$cluster->wait_for_log($id, qr/WARNING:  pg_leader: this server does not stand for election: its disk has no room for two segments of WAL/, $offset);
	like($cluster->log_of($id, $offset), qr/(?:could not write|No space left)/, 'PostgreSQL says so, too');
	like($cluster->role($id)->{reason_text}, qr/; it does not stand for election: its disk has no room/, 'and pg_leader_server');
	is($cluster->sql($primary, "SELECT count(*) FROM pg_stat_replication WHERE application_name = 'pg_leader_$id' AND flush_lsn >= pg_current_wal_flush_lsn()"), '0',
		'it has not confirmed what it has not got');
	told($primary);
	disk_is($id, 'good');
	$cluster->comes_back($id, $primary);
	unlike($cluster->log_of($id, $offset), qr/rewinding|cloned|cloning/, 'with room it goes on, and was not rebuilt');
	learn_roles();
};

subtest 'promotion_without_room: it does not stand, also if nobody else does' => sub {
	my ($other, $id) = @others; # what was said of the other one is not said again for a minute
	my $offset = $cluster->log_size($id);
	my $old = $primary;

	$cluster->set_now($other, candidate => 'off');
	disk_is($id, 'full');
	$cluster->wait_for_log($id, qr/does not stand for election: its disk has no room/, $offset);
	$cluster->signal($old, 'STOP');
	$cluster->kill_server($old);
	$cluster->stays('nobody leads', 2, sub { !$cluster->leads($id, $other) });
	disk_is($id, 'good');
	$cluster->wait_until('with room it leads', sub { $cluster->role($id)->{is_open} });
	$cluster->signal($old, 'CONT');
	$cluster->set_now($other, candidate => 'on');
	$cluster->comes_back($old, $id);
	learn_roles();
	told($primary);
};

subtest 'disk_full_on_primary: PostgreSQL ends, another one leads, and it comes back with room' => sub {
	my $old = $primary;
	my $offset = $cluster->log_size($old);
	my $new;

	disk_is($old, 'full');
	fill($old);
	$new = takes_over('complaint 18: its disk is full, and another one is open', $old);
	told($new);
	$cluster->wait_for_log($old, qr/does not stand for election: its disk has no room/, $offset);
	like($cluster->log_of($old, $offset), qr/PANIC:  could not write to file/, 'PostgreSQL says why it has ended');
	disk_is($old, 'good');
	$cluster->comes_back($old, $new);
	learn_roles();
	told($primary);
};

$cluster->check_timelines;
$cluster->check_history;
$cluster->stop_all;
done_testing();
