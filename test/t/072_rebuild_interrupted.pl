# test/t/072_rebuild_interrupted.pl
#	  A clone and a rewind that are killed at any moment: begun again, the member ends as a
#	  standby with the primary's data and its own configuration, nothing is left beside its
#	  directory, and no server is started on what is neither the old data nor the new.
#
# An argument is how many moments of each are tried ("prove ... :: 20").

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PgLeaderRebuilt;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $moments = shift // 3;
my $rows = $moments > 3 ? 150_000 : 60_000;

my $cluster = PgLeaderRebuilt->rebuilt('interrupted');
my ($primary, @others);
my @table;

sub learn_roles { ($primary, @others) = $cluster->wait_for_roles; return; }

sub contents { my $id = shift; return $cluster->sql($id, q(SELECT count(*), sum(hashtextextended(big::text, 0)) FROM big)) // ''; }

# ends_well(ID, OFFSET, OWN, WHOLE): tests.
sub ends_well
{
	my ($id, $offset, $own, $whole) = @_;
	my $log;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$cluster->wait_until('it streams', sub { $cluster->follows($id, $primary) });
	$log = $cluster->log_of($id, $offset);
	unlike($log, qr/(?:rewinding|cloning) the data directory (?:(?!is a copy of the leader).)*started the server/s, 'no server was started on a half') unless $whole;
	is_deeply($cluster->own_files($id), $own, 'its configuration is its own');
	like(slurp_file($cluster->directory($id) . '/postgresql.auto.conf'), qr/application_name=pg_leader_$id\b/, 'and so is its name');
	$cluster->wait_until_clean($id);
	learn_roles();
	$cluster->wait_until('its rows are the primary\'s', sub { contents($id) eq contents($primary) });
	return;
}

# ---- killing ----

# below(PID): all processes that it has started, and they.
sub below
{
	my $parent = shift;
	my @children = grep { PgLeaderCluster::parent_of($_) == $parent } PgLeaderCluster::all_processes();

	return map { ($_, below($_)) } @children;
}

sub command_of
{
	my $pid = shift;

	open my $file, '<', "/proc/$pid/cmdline" or return '';
	return (<$file> // '') =~ tr/\0/ /r;
}

# processes_of(ID, WHAT): one, or with "all of its name" the supervisor and what bears its name below it,
# the last that was started first.
sub processes_of
{
	my ($id, $what) = @_;
	my $supervisor = $cluster->supervisor($id);
	my $pattern = $what eq 'program' ? qr/^(pg_rewind|pg_basebackup) / : qr/ --job /;
	my @pids = $what eq 'supervisor' ? () : grep { command_of($_) =~ $pattern } below($supervisor);

	return $supervisor if $what eq 'supervisor';
	return (reverse(@pids), $supervisor) if $what eq 'all of its name';
	return grep { defined } $what eq 'guard' ? $pids[1] : $pids[0];
}

sub control_state
{
	my $id = shift;
	my ($out) = run_command([ 'pg_controldata', $cluster->directory($id) ]);

	return ($out =~ /^Database cluster state: +(.*)$/m ? $1 : 'no pg_control') . (-e $cluster->directory($id) . '/backup_label' ? ', backup_label' : '');
}

# interrupt(ID, OFFSET, WHAT, SECONDS): tests; so long after the work has begun that process is killed.
# Is the copy whole?
sub interrupt
{
	my ($id, $offset, $what, $seconds) = @_;
	my (@pids, $whole);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$cluster->wait_for_line('the work begins', $id, $offset, qr/(rewinding|cloning) the data directory/);
	usleep($seconds * 1e6);
	@pids = processes_of($id, $what);
	push @table, sprintf '%-10s %5.2f s %s', $what, $seconds, @pids ? '' : '(had ended)';
	kill 'KILL', @pids;
	return 0 if $what ne 'supervisor' && $what ne 'all of its name';
	$cluster->wait_until('its supervisor and its server are gone', sub { !$cluster->is_running($id) && !defined $cluster->postmaster($id) });
	usleep(20_000);
	$whole = -e $cluster->beside($id, 'copy') && slurp_file($cluster->beside($id, 'copy')) !~ /^boot /;
	$table[-1] .= control_state($id) . '; beside: ' . $cluster->leftovers($id);
	note($table[-1]);
	$cluster->start($id);
	return $whole;
}

# wait_until_over(ID, OFFSET): seconds from the beginning of the work to its end.
sub wait_until_over
{
	my ($id, $offset) = @_;
	my $began;

	$cluster->wait_for_line('the work begins', $id, $offset, qr/(rewinding|cloning) the data directory/);
	$began = PgLeaderCluster::clock_now();
	$cluster->wait_for_line('and ends', $id, $offset, qr/is a copy of the leader's/);
	return (PgLeaderCluster::clock_now() - $began) / 1e6;
}

# moments(SECONDS): as many as are tried, from the beginning to a little after the end.
sub moments { my $whole = shift; return map { $whole * ($_ + 0.5) / $moments * 1.1 } 0 .. $moments - 1; }

# ---- what makes a rebuild necessary ----

# diverge(): the primary has changed many rows that nobody has received, and was killed; another
# one has changed others.
sub diverge
{
	my $old = $primary;

	$cluster->write_alone($old, "UPDATE big SET filler = 'lost' || substr(filler, 5) WHERE id % 2 = 0");
	learn_roles();
	is($cluster->sql($primary, "UPDATE big SET filler = 'good' || substr(filler, 5) WHERE id % 2 = 1"), '', 'another one goes on');
	return $old;
}

learn_roles();
append_to_file($cluster->directory($_) . '/pg_hba.conf', "# of node $_\n") foreach $cluster->ids;
is($cluster->sql($primary, "CREATE TABLE big AS SELECT g AS id, repeat(md5(g::text), 10) AS filler FROM generate_series(1, $rows) g; ALTER TABLE big ADD PRIMARY KEY (id); CHECKPOINT"), '', 'a table');

subtest 'clone_killed_anywhere' => sub {
	my ($id) = @others;
	my $own = $cluster->own_files($id);
	my ($offset, $seconds);

	$cluster->lose($id);
	$cluster->set($id, clone_max_rate => $rows > 100_000 ? 30_000 : 20_000);
	$own = $cluster->own_files($id);
	$offset = $cluster->log_size($id);
	$cluster->start($id);
	$seconds = wait_until_over($id, $offset);
	ends_well($id, $offset, $own, 0);
	push @table, sprintf 'a clone takes %.2f s', $seconds;
	foreach my $what ('supervisor', 'job', 'guard', 'program')
	{
		foreach my $moment ($what eq 'supervisor' ? moments($seconds) : (moments($seconds))[$moments / 2])
		{
			my $whole;

			$cluster->lose($id);
			$offset = $cluster->log_size($id);
			$cluster->start($id);
			$whole = interrupt($id, $offset, $what, $moment);
			ends_well($id, $offset, $own, $whole);
		}
	}

	# of pg_basebackup a second process goes on, with the supervisor's lock
	$cluster->lose($id);
	$offset = $cluster->log_size($id);
	$cluster->start($id);
	interrupt($id, $offset, 'all of its name', $seconds / 2);
	ends_well($id, $offset, $own, 0);
	like($cluster->log_of($id, $offset), qr/killed process \d+, which a killed supervisor has left/, 'what was left did not stand in the way');
};

subtest 'rewind_killed_anywhere' => sub {
	my $id = diverge();
	my $own = $cluster->own_files($id);
	my $offset = $cluster->log_size($id);
	my $seconds;

	$cluster->start($id);
	$seconds = wait_until_over($id, $offset);
	ends_well($id, $offset, $own, 0);
	push @table, sprintf 'a rewind takes %.2f s', $seconds;
	foreach my $what ('supervisor', 'job', 'guard', 'program')
	{
		foreach my $moment ($what eq 'supervisor' ? moments($seconds) : (moments($seconds))[$moments / 2])
		{
			my $whole;

			$id = diverge();
			$own = $cluster->own_files($id);
			$offset = $cluster->log_size($id);
			$cluster->start($id);
			$whole = interrupt($id, $offset, $what, $moment);
			ends_well($id, $offset, $own, $whole);
			$table[-1] .= $cluster->log_of($id, $offset) =~ /cloning the data directory/ ? '; then cloned' : '; then rewound';
		}
	}
};

note($_) foreach @table;
$cluster->check_timelines;
$cluster->check_history;
$cluster->stop_all;
done_testing();
