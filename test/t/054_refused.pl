# test/t/054_refused.pl
#	  Settings that managed mode refuses: the server says what to set, never stands for
#	  election or resigns, and nothing is changed.
#
# What the supervisor refuses before it starts a server is in 040_supervisor.pl.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PgLeaderManaged;
use PostgreSQL::Test::Utils;
use Test::More;

# A cluster of one elects itself at once, if it may.
my $cluster = PgLeaderManaged->new('refused', 1, settings => { min_timeout => '300ms', max_timeout => '600ms' },
	conf => PgLeaderManaged::QUIET);
my $server = $cluster->server(0);
my $data = $server->data_dir;
my $settings = slurp_file("$data/postgresql.conf");

# configure(LINES): these beside what it has begun with.
sub configure
{
	my $lines = shift;

	open my $file, '>', "$data/postgresql.conf" or die $!;
	print $file $settings, $lines;
	close $file or die $!;
	return;
}

# contents(): of all that a promotion or a follower would change.
sub contents
{
	my %is = map { $_ => slurp_file($_) } glob "$data/pg_wal/*.history $data/postgresql.auto.conf";

	return \%is;
}

# is_refused(NAME, LINES, SENTENCE): tests of a start with these settings.
sub is_refused
{
	my ($name, $lines, $sentence) = @_;

	subtest $name => sub {
		my $before = contents();
		my $offset = $cluster->log_size(0);

		configure($lines);
		$cluster->start(0);
		$cluster->wait_for_log(0, $sentence, $offset);
		$cluster->stays('it does not lead', 1.5, sub { $cluster->log_of(0, $offset) !~ /became leader|stands for election/ });
		is_deeply(contents(), $before, 'nothing is changed');
		unlike($cluster->log_of(0, $offset), qr/selected new timeline ID/, 'it is not promoted');
		$cluster->stop(0);
	};
	return;
}

# What PostgreSQL compares with the values of the server that wrote the WAL.
sub write_as_primary
{
	my $lines = shift;

	configure("pg_leader.manage = off\npg_leader.node_id = -1\nsynchronous_standby_names = ''\n$lines");
	unlink "$data/standby.signal";
	system_or_bail('pg_ctl', '-s', '-w', '-D', $data, '-l', $server->logfile, 'start');
	system_or_bail('pg_ctl', '-s', '-w', '-D', $data, '-m', 'fast', 'stop');
	return;
}

is_refused('hot_standby', 'hot_standby = off', qr/order REFUSE: .*set hot_standby = on/);
is_refused('fsync', 'fsync = off', qr/order REFUSE: .*set fsync = on/);
is_refused('full_page_writes', 'full_page_writes = off', qr/order REFUSE: .*set full_page_writes = on/);
is_refused('a recovery target', "recovery_target = 'immediate'", qr/order REFUSE: .*remove every recovery_target setting/);
is_refused('another target timeline', "recovery_target_timeline = 'current'", qr/order REFUSE: .*set recovery_target_timeline = latest/);
is_refused('a delay', "recovery_min_apply_delay = '1s'", qr/order REFUSE: .*set recovery_min_apply_delay = 0/);
is_refused('a restore_command', "restore_command = 'false'", qr/order REFUSE: .*remove restore_command/);
is_refused('another library has the resource manager', "shared_preload_libraries = 'pg_leader_facts, pg_leader'\npg_leader_facts.id = 151",
	qr/FATAL:  pg_leader: the resource manager id 151 is taken by "pg_leader_facts"\n.*HINT:  Remove that library/);
write_as_primary("max_wal_senders = 0\nmax_worker_processes = 1");
is_refused('wal_level', "max_wal_senders = 0\nwal_level = minimal", qr/order REFUSE: .*set wal_level = replica or logical/);
is_refused('max_wal_senders', 'max_wal_senders = 0', qr/order REFUSE: .*raise max_wal_senders/);
is_refused('max_worker_processes', 'max_worker_processes = 1',
	qr/WARNING:  pg_leader: there is no room for the background worker "pg_leader role"\n.*HINT:  Increase max_worker_processes/s);

subtest 'without any of them it leads; and with one of them no more' => sub {
	my ($offset, $timeline);

	configure('');
	$cluster->start(0);
	$cluster->wait_for_primary('it is the open primary');
	foreach my $case ([ 'fsync = off', 'set fsync = on' ], [ "restore_command = 'false'", 'remove restore_command' ])
	{
		my ($line, $say) = @$case;

		$timeline = $cluster->role(0)->{timeline};
		$offset = $cluster->log_size(0);
		configure($line);
		$cluster->signal(0, 'HUP');
		$cluster->wait_for_log(0, qr/order RESIGN: .*$say/, $offset);
		$cluster->wait_until("$line: it is not open", sub { defined $cluster->role(0)->{is_open} && !$cluster->role(0)->{is_open} });
		like($cluster->sql(0, "SELECT reason || ': ' || reason_text FROM pg_leader_fence"), qr/^refused: managed mode refuses this server: $say/, "$line: the fence says why");
		$cluster->stays("$line: and does not lead", 1.5, sub { !$cluster->leads(0) && !$cluster->role(0)->{is_open} });
		is(join(' ', $cluster->made(0, $offset)), '', "$line: it has made no timeline");
		configure('');
		$cluster->signal(0, 'HUP');
		$cluster->wait_for_primary("$line is gone: it is the open primary");
		cmp_ok($cluster->role(0)->{timeline}, '>=', $timeline, 'on that timeline or a later one');
	}
};

$cluster->check_timelines;
$cluster->check_history;
$cluster->stop_all;
done_testing();
