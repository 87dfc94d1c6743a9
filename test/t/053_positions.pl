# test/t/053_positions.pl
#	  What a standby holds after a restart, and what is elected by it: never less than it
#	  has confirmed, and a newer timeline before a longer one (scenarios 65, 66 and 70).

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PgLeaderManaged;
use PostgreSQL::Test::Utils;
use Test::More;

my $cluster = PgLeaderManaged->new('positions', 3, settings => { min_timeout => '300ms', max_timeout => '600ms' },
	conf => PgLeaderManaged::QUIET);
my ($primary, $one, $other);
my $told = 0;

sub learn_roles
{
	$primary = $cluster->wait_for_primary('one is the open primary');
	($one, $other) = sort { $cluster->is_running($b) <=> $cluster->is_running($a) } $cluster->others($primary);
	$cluster->wait_for_followers('the others that run follow it', $primary);
	return;
}

# commit_one(): with a number of its own.
sub commit_one { $told++; is($cluster->sql($primary, "INSERT INTO told VALUES ($told)"), '', "commit $told"); return; }

sub all_is_there
{
	is($cluster->sql($primary, 'SELECT count(*), count(DISTINCT n) FROM told'), "$told|$told", 'all commits are there, and no other');
	return;
}

# end(ID): stop its supervisor at once.
sub end
{
	my $id = shift;

	$cluster->signal($id, 'QUIT');
	$cluster->wait_until("node $id is down", sub { !$cluster->is_running($id) });
	return;
}

# lsn(TEXT): as a number.
sub lsn { my ($high, $low) = split m{/}, shift; return hex($high) * 2**32 + hex $low; }

# read_end(ID, OFFSET): what it has read of its WAL since then, in its log.
sub read_end
{
	my ($id, $offset) = @_;

	$cluster->wait_for_log($id, qr/local WAL ends at/, $offset);
	return $cluster->log_of($id, $offset) =~ m{pg_leader: local WAL ends at (\S+) on timeline (\d+)};
}

$cluster->start_all;
learn_roles();
is($cluster->sql($primary, 'CREATE TABLE told (n int)'), '', 'a table');
commit_one();

subtest 'a restarted standby holds all that it has confirmed, also what it has not replayed' => sub {
	my ($confirmed, $replayed, $offset, $end, $startup);
	my $killed;

	$cluster->wait_for_replay($primary);
	$cluster->stop($other);
	$cluster->sql($one, 'SELECT pg_wal_replay_pause()');
	$cluster->wait_until('replay is paused', sub { $cluster->sql($one, 'SELECT pg_get_wal_replay_pause_state()') eq 'paused' });
	commit_one() foreach 1 .. 3;
	$cluster->sql($primary, 'SELECT pg_switch_wal()');
	commit_one() foreach 1 .. 3;
	($confirmed, $replayed) = split /\|/, $cluster->sql($primary, "SELECT flush_lsn, replay_lsn FROM pg_stat_replication WHERE application_name = 'pg_leader_$one'");
	cmp_ok(lsn($replayed), '<', lsn($confirmed), 'it has not replayed what it has confirmed');

	# the startup process stands still from its beginning on, so nothing is replayed
	$killed = $one;
	$offset = $cluster->log_size($killed);
	$cluster->kill_server($killed);
	$cluster->wait_until('it is started again', sub { $cluster->log_of($killed, $offset) =~ /started the server as a standby/ });
	$cluster->wait_until('with a startup process', sub { $startup = $cluster->startup($killed) });
	kill 'STOP', $startup;
	($end) = read_end($killed, $offset);
	cmp_ok(lsn($end), '>=', lsn($confirmed), 'what it has read reaches to what it has confirmed');
	kill 'CONT', $startup;
	learn_roles(); # it may lead now: the primary had no quorum meanwhile
	cmp_ok(lsn($cluster->role($killed)->{wal_end}), '>=', lsn($confirmed), 'and so does what it shows');
	commit_one();
};

subtest 'a standby that has less does not win while a longer one lives' => sub {
	my ($old, $longer, $other_one) = ($primary, $one, $other);
	my $offset = $cluster->log_size($other);

	end($primary);
	$cluster->kill_server($longer);
	$cluster->start($other_one);
	learn_roles();
	is($primary, $longer, 'the longer one leads');
	unlike($cluster->log_of($other_one, $offset), qr/became leader/, 'the other one has not led');
	all_is_there();
	commit_one();
	$cluster->start($old);
	learn_roles();
	all_is_there();
};

subtest 'a newer timeline before a longer one' => sub {
	my $old = $primary;
	my ($offset, $longer, $newer, $standby);

	$cluster->wait_for_replay($primary);
	$cluster->stop($_) foreach $one, $other;

	# no commit: the fence is closed
	is($cluster->sql($old, q(SELECT count(pg_logical_emit_message(false, 'test', repeat('x', 100))) FROM generate_series(1, 20000); SELECT pg_switch_wal() IS NULL)),
		"20000\nf", 'WAL that no other has');
	$longer = $cluster->sql($old, 'SELECT pg_current_wal_flush_lsn()');
	end($old);
	$cluster->start($one, $other);
	learn_roles();
	commit_one();
	$newer = $primary;
	($standby) = grep { $_ != $old } $one, $other;
	cmp_ok(lsn($cluster->role($newer)->{wal_end}), '<', lsn($longer), 'the newer timeline is shorter');
	$cluster->wait_for_replay($newer);
	end($newer);
	$offset = $cluster->log_size($old);
	$cluster->start($old);
	$cluster->wait_until('the standby on the newer one leads', sub { join(' ', $cluster->leads($old, $standby)) eq $standby });
	$cluster->wait_until('the other one is rebuilt: with this copy there is an open primary', sub { $primary = $cluster->open_primary; defined $primary });
	my ($before) = $cluster->log_of($old, $offset) =~ /^(.*)is a copy of the leader's/s;
	unlike($before, qr/became leader/, 'it has not led before');
	like($before, qr/stopping the server for a (rewind|clone) from node $standby: its WAL has diverged/, 'its WAL had diverged');
	all_is_there();
	$cluster->start($newer);
	learn_roles();
};

subtest 'a directory that was replaced by an older copy (data_restored_state_kept)' => sub {
	my $old = $primary;
	my $data = $cluster->server($one)->data_dir;
	my $restored = $one;
	my $offset;

	$cluster->stop($one);
	system_or_bail('cp', '-a', $data, "$data.older");
	$cluster->start($one);
	learn_roles();
	commit_one() foreach 1 .. 3;
	$cluster->wait_for_replay($primary);
	sleep 2; # it is noted once a second
	$cluster->stop($restored);
	end($old);
	system_or_bail('rm', '-rf', $data);
	system_or_bail('mv', "$data.older", $data);
	$offset = $cluster->log_size($restored);
	$cluster->start($restored);
	read_end($restored, $offset);
	$cluster->wait_until('it answers', sub { defined $cluster->role($restored)->{reason} });
	$cluster->stays('it does not vote: nobody leads', 3, sub { !$cluster->leads($one, $other) });
	like($cluster->log_of($restored, $offset), qr/holds less/, 'and says so');
	note(join "\n", $cluster->reasons($restored));
	note($cluster->describe);
	$cluster->start($old);
	learn_roles();
	all_is_there();
	commit_one();
	$cluster->wait_for_replay($primary);
	if ($primary != $restored)
	{
		my ($rest) = grep { $_ != $restored && $_ != $primary } $cluster->ids;
		end($primary);
		$cluster->wait_until('it votes again', sub { $cluster->leads($restored, $rest) });
		$cluster->start(grep { !$cluster->is_running($_) } $cluster->ids);
		learn_roles();
		all_is_there();
	}
};

subtest 'a state file that was lost, with the data kept: they are not used' => sub {
	my ($lost, $rest, $old) = ($one, $other, $primary);
	my $offset = $cluster->log_size($lost);

	$cluster->stop($lost);
	unlink $cluster->state_file($lost) or die;
	$cluster->forget_state($lost);
	commit_one();
	end($old);
	$cluster->start($lost);
	$cluster->wait_for_log($lost, qr/abstains from elections: no state file was found/, $offset);
	$cluster->stays('it does not vote: nobody leads', 2, sub { !$cluster->leads($lost, $rest) });
	$cluster->start($old);
	$primary = $cluster->wait_for_primary('with a member that votes there is an open primary');
	isnt($primary, $lost, 'which is another one');
	learn_roles();
	$cluster->wait_for_log($lost, qr/is a copy of the leader's: cloned.*the rebuild of its data is over/s, $offset);
	all_is_there();

	# its own vote is needed now
	end($rest == $primary ? $old : $rest);
	end($primary);
	$cluster->start($rest);
	learn_roles();
	all_is_there();
};

$cluster->check_timelines;
$cluster->check_history;
$cluster->stop_all;
done_testing();
