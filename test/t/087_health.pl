# test/t/087_health.pl
#	  Managed servers that cannot serve any more, and do not end: a disk that hangs or is full, a
#	  postmaster that stands still.  Another one leads then, and all come back (scenario 87).
#
# The disk is that of pg_wal, by a library in all processes of a server: while a file says so, each
# look at pg_wal waits, SIGKILL apart, or no new segment can be made.

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

append_to_file("$dir/disk.c", <<'C');
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static char
state(void)
{
	FILE *(*next)(const char *, const char *) = (FILE *(*)(const char *, const char *)) dlsym(RTLD_NEXT, "fopen");
	FILE *file = next(getenv("PG_LEADER_TEST_DISK"), "r");
	int what = file != NULL ? fgetc(file) : 'g';

	if (file != NULL)
		fclose(file);
	return (char) what;
}

/* true: there is no room. */
static int
look(const char *path)
{
	sigset_t all, before;
	int error = errno;
	char now;

	if (path == NULL || strstr(path, "pg_wal") == NULL || (now = state()) == 'g')
		return 0;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	for (; now == 'h'; now = state())
		nanosleep(&(struct timespec){0, 20000000}, NULL);
	sigprocmask(SIG_SETMASK, &before, NULL);
	errno = error;
	return now == 'f';
}

static int
look_at(int fd)
{
	char link[64], path[1024] = "";

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (readlink(link, path, sizeof(path) - 1) <= 0)
		return 0;
	return look(path) && strstr(path, "xlogtemp") != NULL;
}

#define NEXT(name) ((__typeof__(&name)) dlsym(RTLD_NEXT, #name))
#define OPEN(name) \
int name(const char *path, int flags, ...) \
{ \
	va_list more; \
	int mode; \
	va_start(more, flags); \
	mode = (flags & O_CREAT) ? va_arg(more, int) : 0; \
	va_end(more); \
	look(path); \
	return NEXT(name)(path, flags, mode); \
}
#define NO_ROOM(fd) if (look_at(fd)) { errno = ENOSPC; return -1; }

OPEN(open)
OPEN(open64)
DIR *opendir(const char *path) { look(path); return NEXT(opendir)(path); }
int stat(const char *path, struct stat *to) { look(path); return NEXT(stat)(path, to); }
int lstat(const char *path, struct stat *to) { look(path); return NEXT(lstat)(path, to); }
int fsync(int fd) { look_at(fd); return NEXT(fsync)(fd); }
int fdatasync(int fd) { look_at(fd); return NEXT(fdatasync)(fd); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { NO_ROOM(fd) return NEXT(pwrite)(fd, data, size, at); }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) { NO_ROOM(fd) return NEXT(pwrite64)(fd, data, size, at); }
ssize_t pwritev(int fd, const struct iovec *data, int n, off_t at) { NO_ROOM(fd) return NEXT(pwritev)(fd, data, n, at); }
ssize_t pwritev64(int fd, const struct iovec *data, int n, off64_t at) { NO_ROOM(fd) return NEXT(pwritev64)(fd, data, n, at); }
int posix_fallocate(int fd, off_t at, off_t size) { return look_at(fd) ? ENOSPC : NEXT(posix_fallocate)(fd, at, size); }

int
statvfs(const char *path, struct statvfs *to)
{
	int full = look(path);
	int result = NEXT(statvfs)(path, to);

	if (full)
		to->f_bavail = 0;
	return result;
}
C
plan skip_all => 'there is no C compiler' if system("cc -shared -fPIC -O1 -o '$dir/disk.so' '$dir/disk.c' -ldl 2>&1") != 0;

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
	$new = takes_over('another one is open', $old);
	told($new);
	$cluster->wait_for_log($old, qr/WARNING:  pg_leader: this server is not healthy: a new connection gets no answer for pg_leader\.health_timeout/, $offset);
	$cluster->comes_back($old, $new);
	like($cluster->log_of($old, $offset), qr/killed \d+ processes of the server/, 'its supervisor has killed what was left');
	unlike($cluster->log_of($old, $offset), qr/rewinding|cloned/, 'and it was not rebuilt');
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
	$new = takes_over('another one is open', $old);
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
	$new = takes_over('another one is open', $old);
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
