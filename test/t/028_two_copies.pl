# test/t/028_two_copies.pl
#	  The library lies in two places: shared_preload_libraries names one copy by its
#	  path, and $libdir has another.  Only the preloaded copy works; the other one says
#	  so, and the server runs on.

use strict;
use warnings;

use File::Copy qw(copy);
use File::Path qw(make_path);
use FindBin;
use lib $FindBin::RealBin;
use PgLeaderCluster;
use PostgreSQL::Test::Utils;
use Test::More;

# What bgw_library_name holds; since PostgreSQL 17 any path fits.
my $longest = 95;
my $cluster = PgLeaderCluster->new('copies', 1);
my $server = $cluster->server(0);
my $in_libdir = $server->config_data('--pkglibdir') . '/pg_leader.so';
my $elsewhere = PostgreSQL::Test::Utils::tempdir_short() . '/pg_leader.so';
my $far_away = PostgreSQL::Test::Utils::tempdir() . '/' . ('d' x 100) . '/pg_leader.so';
my $is_other = qr/ERROR:  this function is in another copy of the pg_leader library than the preloaded one\nHINT:  Set shared_preload_libraries to 'pg_leader'/;

sub copy_to
{
	my $path = shift;

	make_path($path =~ s{/[^/]*$}{}r);
	copy($in_libdir, $path) or die "could not copy the library to $path: $!";
	return $path;
}

# A start, or a restart, and what it adds to the log.
sub start_with
{
	my $libraries = shift;
	my $from = $cluster->log_size(0);

	$server->stop if $cluster->is_running(0);
	$server->append_conf('postgresql.conf', "shared_preload_libraries = '$libraries'");
	$server->start;
	return $from;
}

# The election's worker has this file of the library in memory, and no other.
sub uses_only
{
	my ($what, $path) = @_;
	my $worker;
	my %maps;

	$cluster->wait_until("$what: the worker runs", sub { $worker = $cluster->worker(0) });
	%maps = map { m{ (/\S*/pg_leader\.so)$} ? ($1 => 1) : () }
		split /\n/, PostgreSQL::Test::Utils::slurp_file("/proc/$worker/maps");
	is(join(' ', keys %maps), $path, "$what: the worker runs in the preloaded copy");
	return;
}

# ---- a path that fits ----

cmp_ok(length $elsewhere, '<=', $longest, 'the path is short enough for a background worker');
copy_to($elsewhere);
my $from = start_with($elsewhere);
uses_only('by path', $elsewhere);
like($cluster->failure(0, 'SELECT pg_leader_is_leader()'), $is_other, 'by path: functions of the copy in $libdir say what is wrong');
like($cluster->failure(0, 'SELECT * FROM pg_leader_status'), $is_other, 'by path: views do too');
unlike($cluster->failure(0, 'SELECT pg_leader_term()'), qr{/}, 'by path: where files are is not told to everyone');
like($cluster->log_of(0, $from), qr/DETAIL:  The preloaded copy is "\Q$elsewhere\E", that of the function is "\Q$in_libdir\E"/,
	'by path: the log names both files');
$server->safe_psql('postgres', qq(CREATE FUNCTION preloaded_is_leader() RETURNS bool AS '$elsewhere', 'pg_leader_is_leader' LANGUAGE C));
$cluster->wait_until('by path: the member leads, as the preloaded copy says',
	sub { ($cluster->sql(0, 'SELECT preloaded_is_leader()') // '') eq 't' });

# ---- a path that does not fit ----

SKIP:
{
	skip 'the library of a background worker may have any path', 1 if $server->pg_version >= 17;
	copy_to($far_away);
	$from = start_with($far_away);
	$cluster->wait_for_log(0, qr/WARNING:  pg_leader: this server does not take part in elections: its worker was started in another copy of the library/, $from);
	like($cluster->log_of(0, $from), qr/DETAIL:  The preloaded copy is "\Q$far_away\E", that of the worker is "\Q$in_libdir\E"\.\n[^\n]*HINT:  Set shared_preload_libraries/,
		'long path: the log names both files and says what to do');
	$cluster->wait_until('long path: no process of pg_leader is left', sub { !defined $cluster->titled(0, qr/\bpg_leader/) });

	# two seconds: twice the time after which a worker is started again
	$cluster->stays('long path: none is started again, and the server runs on', 2,
		sub { ($cluster->sql(0, 'SELECT 1') // '') eq '1' && !defined $cluster->titled(0, qr/\bpg_leader/) });
	is(scalar(my @said = $cluster->log_of(0, $from) =~ /another copy of the library/g), 1, 'long path: it is said once');
	unlike($cluster->log_of(0, $from), qr/terminated by signal|reinitializing/, 'long path: nothing has crashed');
}

# ---- both ----

$from = start_with("pg_leader, $elsewhere");
like($cluster->log_of(0, $from), qr/WARNING:  pg_leader: "\Q$elsewhere\E" is not used, because shared_preload_libraries has loaded another copy before\n/,
	'both named: the log says which one is not used');
$cluster->wait_for_leader('both named: the member leads');
$cluster->check_history;
done_testing();
