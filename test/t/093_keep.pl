# test/t/093_keep.pl
#	  pg_leader_keep: the archive of a managed cluster has all of its WAL, whoever leads.
#
# Its leader is killed while clients write, with the archive behind the fork and ahead of it, within a
# segment and by several.  What is restored from one base backup of the beginning and the archive alone
# is compared with what clients were told.  WAL that the cluster does not go on from is kept aside and
# never served; what is missing stops a restore, and is said.
#
# Segments of 1 MB, and no WAL is kept but by slots.  KEEP_ROUNDS is how often the leader is killed while
# clients write, 3 times by default.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use File::Basename qw(basename);
use JSON::PP ();
use PgLeaderManaged;
use PgLeaderRebuilt;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use constant SEGMENT => 1 << 20;

PgLeaderCluster::template('--wal-segsize=1');
my $cluster = PgLeaderRebuilt->new('keep', 3, settings => { min_timeout => '300ms', max_timeout => '600ms' },
	conf => PgLeaderManaged::QUIET . "wal_keep_size = 0\nmax_wal_size = 16MB\nmax_slot_wal_keep_size = 400MB\nmax_connections = 20\n");
my $tmp = PostgreSQL::Test::Utils::tempdir;
my $dir = "$tmp/a0";
my $log = "$PostgreSQL::Test::Utils::tmp_check/log/093_keep_run.log";
my $me = (getpwuid $<)[0];
my ($primary, @standbys);
my $run;	 # the process
my $receiver;	 # PostgreSQL's own, beside it
my %told;	 # word => 1: acknowledged
my %gids;	 # name => { timeline, words }
my $restores = 0;
my $rounds = $ENV{KEEP_ROUNDS} // 3;

# ---- the program ----

# keep(VERB...): (exit status, standard output, standard error)
sub keep
{
	my ($out, $err) = ('', '');

	IPC::Run::run([ 'pg_leader_keep', '-A', $dir, @_ ], '<', \undef, '>', \$out, '2>', \$err);
	return ($? >> 8, $out, $err);
}

sub start_run
{
	$run = fork // die "fork: $!";
	return if $run != 0;
	open STDIN, '<', '/dev/null';
	open STDOUT, '>>', $log;
	open STDERR, '>&', \*STDOUT;
	exec 'pg_leader_keep', '-A', $dir, 'run' or POSIX::_exit(127);
}

# end_run(SIGNAL): its exit status, as waitpid() says it.
sub end_run
{
	kill shift, $run;
	waitpid $run, 0;
	$run = undef;
	return $?;
}

END
{
	my $exit_code = $?;

	foreach my $pid (grep { defined } $run, $receiver)
	{
		kill 'KILL', $pid;
		waitpid $pid, 0;
	}
	$? = $exit_code;
}

sub log_of_run { return -e $log ? slurp_file($log, shift // 0) : ''; }

# state_of_all(): { archive => {...}, proxy => {...}, members => { where => {...} }, status }
sub state_of_all
{
	my ($status, $out) = keep('get_state_all', '--json');
	my %state = (status => $status, members => {});

	foreach my $line (map { JSON::PP::decode_json($_) } split /\n/, $out)
	{
		if ($line->{kind} eq 'storage') { $state{members}{ $line->{where} } = $line; }
		else { $state{ $line->{kind} } = $line; }
	}
	return \%state;
}

sub where_is { my $id = shift; return '127.0.0.1:' . $cluster->server($id)->port; }
sub member_state { my ($state, $id) = @_; return $state->{members}{ where_is($id) }{state} // ''; }

sub number
{
	my ($high, $low) = (shift // '0/0') =~ m{^([0-9A-F]+)/([0-9A-F]+)$} or return 0;
	return (hex($high) << 32) + hex $low;
}

# ---- the cluster ----

sub learn_roles { ($primary, @standbys) = $cluster->wait_for_roles; return; }
sub flushed { my $id = shift; return $cluster->sql($id, 'SELECT pg_current_wal_flush_lsn()'); }
sub timeline { return hex substr $cluster->sql(shift, 'SELECT pg_walfile_name(pg_current_wal_lsn())') // '0' x 8, 0, 8; }

# catches_up(NAME): a test; the archive has all that the primary has flushed now.
sub catches_up
{
	my $name = shift;
	my $end = number(flushed($primary));

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$cluster->wait_until($name, sub { my $archive = state_of_all()->{archive}; return number($archive->{durable}) >= $end && $archive->{timeline} == timeline($primary); });
	return;
}

sub all_hold
{
	my $name = shift;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$cluster->wait_until($name, sub {
		my $state = state_of_all();
		return $state->{status} == 0 && member_state($state, $primary) eq 'Target' && !grep { member_state($state, $_) ne 'Holding' } @standbys;
	});
	return;
}

sub commit
{
	my @words = @_;
	my $out = $cluster->sql($primary, join '', map { "INSERT INTO told VALUES ('$_') RETURNING word;\n" } @words) // '';

	$told{$_} = 1 foreach split /\n/, $out;
	return scalar split /\n/, $out;
}

# write_wal(MB): a test; of it, nothing is kept on any server but for slots.
sub write_wal
{
	my $size = shift;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($cluster->sql($primary, "SELECT count(pg_logical_emit_message(false, '', repeat('x', 1000000))) FROM generate_series(1, $size)"), $size, "$size MB of WAL");
	commit("wal $size " . rand);
	$cluster->sql($primary, 'CHECKPOINT');
	$cluster->wait_for_replay($primary);
	$cluster->sql($_, 'CHECKPOINT') foreach grep { $cluster->is_running($_) } @standbys;
	return;
}

# Clients that write until their server is gone; what they were told is in their files.
sub start_writers
{
	my $name = shift;

	return map {
		my $file = "$PostgreSQL::Test::Utils::tmp_check/keep_writer_$_";
		my $writer = $_;

		open my $sql, '>', "$file.sql" or die "$file.sql: $!";
		print $sql map { "INSERT INTO told VALUES ('$name $writer $_') RETURNING word;\n" } 1 .. 10_000;
		close $sql;
		my $pid = fork // die "fork: $!";
		if ($pid == 0)
		{
			open STDOUT, '>', "$file.out";
			open STDERR, '>', '/dev/null';
			exec 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $cluster->server($primary)->connstr('postgres'), '-f', "$file.sql" or POSIX::_exit(127);
		}
		{ pid => $pid, out => "$file.out", name => $name };
	} 1 .. 2;
}

sub written { my $writer = shift; return unless -e $writer->{out}; return grep { /^\Q$writer->{name}\E \d+ \d+$/ } split /\n/, slurp_file($writer->{out}); }

sub end_writers
{
	foreach my $writer (@_)
	{
		waitpid $writer->{pid}, 0;
		$told{$_} = 1 foreach written($writer);
	}
	return;
}

# fails_over(NAME, CODE): tests; the primary is killed, CODE is called, and another one opens.
sub fails_over
{
	my ($name, $prepare) = @_;
	my $was = $primary;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$cluster->kill_all($was);
	$prepare->() if defined $prepare;
	$primary = $cluster->wait_for_primary("$name: another one is the primary");
	isnt($primary, $was, "$name: not the one that was killed");
	return $was;
}

# comes_back(ID): tests; with its slot, whatever was done with its data meanwhile.
sub comes_back
{
	my $id = shift;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$cluster->start($id);
	learn_roles();
	all_hold("node $id is back: all members hold what the archive lacks");
	return;
}

# ---- restoring ----

# take_gid(NAME): tests; a restore point that the archive has.
sub take_gid
{
	my $name = shift;
	my $lsn = $cluster->sql($primary, "SELECT pg_create_restore_point('$name')");

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(defined $lsn, "restore point $name");
	$cluster->sql($primary, 'SELECT pg_switch_wal()') if $name =~ /switched/;
	$gids{$name} = { timeline => timeline($primary), words => join "\n", sort split /\n/, $cluster->sql($primary, 'SELECT word FROM told') };
	$cluster->wait_until("the archive has $name", sub { number(state_of_all()->{archive}{durable}) >= number($lsn) });
	return;
}

# prepare_restore(NAME, TIMELINE): a directory with the base backup of the beginning, to be recovered up to there.
sub prepare_restore
{
	my ($name, $timeline) = @_;
	my $to = "$tmp/r" . ++$restores;

	PostgreSQL::Test::RecursiveCopy::copypath("$tmp/base", $to);
	chmod 0700, $to;
	open my $conf, '>', "$to/postgresql.conf" or die "$to: $!";
	print $conf <<"CONF";
restore_command = 'pg_leader_keep -A $dir get %f %p'
recovery_target_name = '$name'
recovery_target_timeline = '$timeline'
recovery_target_action = 'pause'
listen_addresses = ''
unix_socket_directories = '$tmp'
port = 5999
max_connections = 30
max_worker_processes = 16
max_wal_senders = 10
fsync = off
CONF
	close $conf;
	unlink "$to/postgresql.auto.conf";
	append_to_file("$to/recovery.signal", '');
	return $to;
}

# restore(NAME, TIMELINE): its words, undef if it does not get there; and its log.
sub restore
{
	my ($name, $timeline) = @_;
	my $to = prepare_restore($name, $timeline);
	my ($words, $started) = (undef, 0);

	$started = system('pg_ctl', '-s', '-w', '-t', '60', '-D', $to, '-l', "$to.log", 'start') == 0;
	if ($started)
	{
		my ($out, $err) = ('', '');
		my $end = PgLeaderCluster::clock_now() + 60e6;

		do
		{
			IPC::Run::run([ 'psql', '-XAtq', '-h', $tmp, '-p', 5999, '-d', 'postgres', '-c', 'SELECT pg_get_wal_replay_pause_state()' ], '>', \$out, '2>', \$err);
			Time::HiRes::usleep(20_000);
		} while ($out !~ /^paused/ && PgLeaderCluster::clock_now() < $end && -e "$to/postmaster.pid");
		IPC::Run::run([ 'psql', '-XAtq', '-h', $tmp, '-p', 5999, '-d', 'postgres', '-c', 'SELECT word FROM told' ], '>', \$words, '2>', \$err) or $words = undef
		  if $out =~ /^paused/;
		system('pg_ctl', '-s', '-w', '-m', 'immediate', '-D', $to, 'stop') if -e "$to/postmaster.pid";
	}
	my $said = slurp_file("$to.log");
	PostgreSQL::Test::Utils::system_log('rm', '-rf', $to);
	return (defined $words ? join("\n", sort split /\n/, $words) : undef, $said);
}

# is_restored(NAME): a test; what is restored is what the primary had.
sub is_restored
{
	my $name = shift;
	my ($words, $said) = restore($name, $gids{$name}{timeline});

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($words, $gids{$name}{words}, "$name is restored as it was") or diag($said);
	return;
}

# ---- init ----

$cluster->start_all;
learn_roles();
is($cluster->sql($primary, "CREATE ROLE keep LOGIN REPLICATION; GRANT pg_monitor TO keep; CREATE TABLE told (word text)"), '', 'a role for the archive');
foreach my $id ($cluster->ids)
{
	$cluster->server($id)->append_conf('pg_hba.conf', "host all keep 127.0.0.1/32 trust\nhost replication keep 127.0.0.1/32 trust");
	$cluster->signal($id, 'HUP');
}
my $members = 'host=' . join(',', map { '127.0.0.1' } $cluster->ids) . ' port=' . join(',', map { $cluster->server($_)->port } $cluster->ids);
my ($status, $out, $err);

($status, $out, $err) = keep('get_state_all');
is($status, 1, 'without an archive there is no state');
like($err, qr/error: there is no archive in .*\n.*hint: /, 'and it says what to do');
($status, $out, $err) = keep('init', "host=127.0.0.1 port=1");
is($status, 1, 'no archive without a member');
like($err, qr/error: no member answers\n.*hint: /, 'because none answers');
mkdir $dir;
append_to_file("$dir/somebodys", 'file');
($status, $out, $err) = keep('init', '--role=keep', $members);
is($status, 1, 'a directory that is not empty is refused');
like($err, qr/is not empty: there is "somebodys"\n.*hint: /, 'and named');
unlink "$dir/somebodys";
($status, $out, $err) = keep('init', '--role=keep', "$members options='-c datestyle=iso' sslmode=bad");
is($status, 1, 'a connection string that is wrong');
is_deeply([ glob "$dir/*" ], [], 'leaves nothing behind');
$cluster->wait_until('the role may connect to all', sub { ($status, $out, $err) = keep('init', '--role=keep', $members); return $status == 0 && $err eq '' || (system('rm', '-rf', glob "$dir/*") && 0); });
like($out, qr/^archive a0 in ".*" for the cluster \d+, with 3 members$/, 'an archive');
($status, $out, $err) = keep('init', '--role=keep', $members);
is($status, 1, 'not a second one in the same place');
like($err, qr/there is already an archive/, 'and it says so');

{
	my $stranger = PostgreSQL::Test::Cluster->new('stranger');
	my $port = $stranger->port;
	my $host = $stranger->host;

	$stranger->init(allows_streaming => 1);
	$stranger->start;
	$dir = "$tmp/both";
	($status, $out, $err) = keep('init', "host=$host,127.0.0.1 port=$port," . $cluster->server(0)->port . " user=$me");
	is($status, 1, 'no archive of two clusters');
	like($err, qr/are of different clusters: .*\n.*hint: /, 'and it says which members are');
	$dir = "$tmp/a0";
	$stranger->stop;
}

# ---- following ----

is(system('pg_basebackup', '-D', "$tmp/base", '-X', 'none', '-c', 'fast', '-d', $cluster->server($primary)->connstr('postgres'), '--no-manifest'), 0, 'a base backup of the beginning');
like(state_of_all()->{archive}{state}, qr/^SyncReady$/, 'an archive begins without a base backup');
is(state_of_all()->{proxy}{state}, 'Clear', 'and nobody receives');
start_run();
all_hold('all members hold what the archive lacks, and the primary is its source');
catches_up('the archive has what the primary has');
($status, $out, $err) = keep('run');
is($status, 1, 'no second one receives');
like($err, qr/error: another process \(\d+\) already does "run".*\n.*hint: /, 'and it says who does');
is(commit(map { "first $_" } 1 .. 10), 10, 'commits');
take_gid('first');
is_restored('first');
write_wal(5);
take_gid('second');
cmp_ok(scalar(my @complete = grep { m{/[0-9A-F]{24}$} } glob "$dir/wal/*/*"), '>=', 5, 'segments are complete');

# what is kept for it is not more than what it lacks
$cluster->wait_until('its slots are moved on all members', sub {
	my $end = number(flushed($primary));
	return !grep { my $at = $cluster->sql($_, q(SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = 'keep_a0')); !defined $at || $end - number($at) > 2 * SEGMENT } $cluster->ids;
});

# ---- the leader dies while clients write ----

# In turns: the archive follows as it can, is killed between, or lags, and gets what it lacks from the new primary.
foreach my $round (1 .. $rounds)
{
	take_gid("before_$round");
	my @writers = start_writers("round $round");
	my ($was, $began);

	$cluster->wait_until("round $round: the writers write", sub { !grep { written($_) < 20 } @writers });
	if ($round % 3 == 0)
	{
		kill 'STOP', $run;
		$cluster->wait_until("round $round: they go on while the archive does not", sub { !grep { written($_) < 60 } @writers });
	}
	$was = fails_over("round $round", sub { return if $round % 3 != 2; end_run('KILL'); start_run(); });
	kill 'CONT', $run;
	$began = PgLeaderCluster::clock_now();
	end_writers(@writers);
	catches_up("archives 6: round $round: the archive has what the new primary has");
	diag(sprintf 'round %d: %.1f s until the archive has all of the new leader\'s WAL, and says so', $round, (PgLeaderCluster::clock_now() - $began) / 1e6);
	is(commit("after round $round"), 1, "round $round: it goes on");
	take_gid("round_$round");
	comes_back($was);
}
foreach my $round (1 .. $rounds) { is_restored($_) foreach "before_$round", "round_$round"; }
my %last = map { $_ => 1 } split /\n/, $gids{"round_$rounds"}{words};
is_deeply([ grep { !$last{$_} } sort keys %told ], [], 'archives 1: all that was acknowledged is in the last one');

# ---- what PostgreSQL has for this ----

# pg_receivewal with all members as hosts and without a slot, beside the archive.
my $received = "$tmp/received";
my $receiver_log = "$PostgreSQL::Test::Utils::tmp_check/log/093_keep_receivewal.log";

sub start_receivewal
{
	my $hosts = 'host=' . join(',', map { '127.0.0.1' } $cluster->ids) . ' port=' . join(',', map { $cluster->server($_)->port } $cluster->ids);

	-d $received or mkdir $received or die "$received: $!";
	$receiver = fork // die "fork: $!";
	return if $receiver != 0;
	open STDIN, '<', '/dev/null';
	open STDOUT, '>>', $receiver_log;
	open STDERR, '>&', \*STDOUT;
	exec 'pg_receivewal', '-D', $received, '-d', "$hosts user=keep target_session_attrs=read-write", '--synchronous', '-s', 1 or POSIX::_exit(127);
}

sub end_receivewal
{
	return unless defined $receiver;
	kill 'KILL', $receiver;
	waitpid $receiver, 0;
	undef $receiver;
	return;
}

# ---- the archive is ahead of the fork ----

# ahead(NAME, MB): tests; what the standbys do not get, the archive gets.  The senders stand still, and not
# the receivers: those would find what the kernel has kept for them, once they go on.
sub ahead
{
	my ($name, $size) = @_;
	my @senders = split /\n/, $cluster->sql($primary, q(SELECT pid FROM pg_stat_replication WHERE application_name ~ '^pg_leader_[0-9]+$'));
	my ($was, $pid, $ahead, $old, $offset, $timeline);

	is(scalar @senders, 2, "$name: both standbys receive");
	take_gid("before_$name");
	kill 'STOP', @senders;
	$pid = fork // die "fork: $!";
	if ($pid == 0)
	{
		open STDERR, '>', '/dev/null';
		exec 'psql', '-XAtq', '-d', $cluster->server($primary)->connstr('postgres'), '-c', "INSERT INTO told VALUES ('abandoned $name')" or POSIX::_exit(127);
	}
	$cluster->wait_until("$name: a commit waits that no standby has", sub {
		($cluster->sql($primary, q(SELECT count(*) FROM pg_stat_activity WHERE query ~ '^INSERT INTO told' AND wait_event IS NOT NULL AND state = 'active')) // 0) > 0; });
	$cluster->sql($primary, "SELECT count(pg_logical_emit_message(false, '', repeat('x', 1000000))) FROM generate_series(1, $size)") if $size > 0;
	catches_up("$name: the archive has it");
	$ahead = number(state_of_all()->{archive}{durable});
	$timeline = timeline($primary);
	$offset = -s $log;
	$was = fails_over($name);
	waitpid $pid, 0;
	catches_up("archives 4: $name: the archive goes on, without what the cluster does not have");
	like(log_of_run($offset), qr/WARNING: .*cut the archive at /, "$name: and says so");
	is(commit("after $name"), 1, "$name: commits go on");
	take_gid("after_$name");

	($status, $out, $err) = keep('abandoned', '--json');
	my ($last) = grep { $_->{timeline} == $timeline } map { JSON::PP::decode_json($_) } split /\n/, $out;
	is($last->{commits}, 1, "$name: the commit that was never answered is listed") or diag("$out$err");
	cmp_ok(number($last->{from}), '<', $ahead, "$name: from the fork on");
	if ($size > 0)
	{
		my $file = sprintf '%08X00000000%08X', $timeline, number($last->{from}) / SEGMENT + 1;
		my $to = "$tmp/abandoned_segment";

		ok(-e "$last->{path}/$file", "$name: a segment behind the fork is kept aside");
		is((keep('get', $file, $to))[0], 1, "$name: and not served");
		ok(!-e $to, "$name: nothing is copied");
	}
	comes_back($was);
	is_restored("before_$name");
	is_restored("after_$name");
	unlike($gids{"after_$name"}{words}, qr/^abandoned \Q$name\E$/m, "$name: the cluster does not have it either");
	return;
}

# PostgreSQL's receiver keeps the commit that was abandoned where a restore would replay it, or receives
# nothing any more.
sub waldump_of { my ($o, $e) = ('', ''); IPC::Run::run([ 'pg_waldump', @_ ], '>', \$o, '2>', \$e); return $o; }

start_receivewal();
$cluster->wait_until('pg_receivewal receives', sub { glob "$received/*.partial" });
ahead('within', 0);
$cluster->wait_until('within: pg_receivewal follows', sub { glob sprintf "$received/%08X*", timeline($primary) });
{
	my $fork = (map { JSON::PP::decode_json($_) } split /\n/, (keep('abandoned', '--json'))[1])[-1];
	my $file = (sort glob sprintf "$received/%08X*", $fork->{timeline})[-1];

	ok(defined $file, 'within: it has WAL of the old timeline');
	my $bare = "$tmp/" . (basename($file) =~ s/\.partial$//r);
	is(system('cp', $file, $bare), 0, 'within: a copy of its last segment');
	like(waldump_of('-s', $fork->{from}, $bare), qr/COMMIT/, 'within: and it keeps the commit that the cluster has abandoned');
}
ahead('segments', 4);
$cluster->wait_until('segments: pg_receivewal receives nothing any more', sub {
	-e $receiver_log && slurp_file($receiver_log) =~ /requested starting point \S+ (?:is ahead|on timeline \d+ is not in this server's history)/; });
is_deeply([ glob sprintf "$received/%08X*", timeline($primary) ], [], 'segments: not even while the archive has all');
end_receivewal();

# ---- somebody else's timeline of the number that the cluster takes next ----

{
	my ($id) = @standbys;
	my $was = $primary;
	my $theirs;

	take_gid('before_by_hand');
	$cluster->stop($id);
	$cluster->run_by_hand($id, $cluster->directory($id), sub {
			system_or_bail('pg_ctl', '-s', '-D', $cluster->directory($id), '-w', 'promote');
			is($cluster->sql($id, q(INSERT INTO told VALUES ('by hand'))), '', 'a standby that somebody has promoted by hand takes commits');
			$theirs = timeline($id);
			is(commit('beside it'), 1, 'so does the cluster');
			catches_up('archives 8: the archive goes on with the cluster');
			isnt(member_state(state_of_all(), $id), 'Target', 'and takes nothing of the other one');
	});
	ok(!-e sprintf("$dir/wal/%08X", $theirs), 'of its timeline there is nothing');
	$cluster->kill_server($primary);
	learn_roles();
	is(timeline($primary), $theirs, 'the cluster takes a timeline of the same number');
	is(commit('on its own'), 1, 'and commits');
	catches_up('archives 9: the archive has that one');
	take_gid('own_timeline');
	$cluster->start($id);
	learn_roles();
	all_hold('who was promoted by hand is back: all members hold what the archive lacks');
	is_restored($_) foreach qw(before_by_hand own_timeline);
	unlike($gids{own_timeline}{words}, qr/^by hand$/m, 'archives 9: and nothing of the other one');
}

# ---- the archive is behind ----

($status, $out, $err) = keep('stop');
is($status, 0, 'receiving is stopped');
is(state_of_all()->{proxy}{state}, 'Stopped', 'and that can be seen');
write_wal(6);
{
	my $was = fails_over('behind');

	is(commit('after behind'), 1, 'commits go on');
	is((keep('start'))[0], 0, 'receiving goes on');
	catches_up('the archive gets what it lacked from the new primary');
	take_gid('after_behind');
	comes_back($was);
}

# ---- it is killed itself ----

is(end_run('KILL'), 9, 'the receiver is killed');
is(state_of_all()->{proxy}{state}, 'Clear', 'and that can be seen');
write_wal(3);
start_run();
catches_up('it goes on where it was');
take_gid('after_kill');
is_restored($_) foreach qw(after_behind after_kill);

# ---- a member that does not hold ----

is((keep('stop'))[0], 0, 'receiving is stopped again');
{
	my $one = $standbys[0];

	write_wal(4);
	is($cluster->sql($one, q(SELECT count(pg_drop_replication_slot('keep_a0')))), '1', "the slot on node $one is lost");
	$cluster->wait_until('it is made anew, and does not hold what the archive lacks', sub { member_state(state_of_all(), $one) eq 'Exposed' });
	is(state_of_all()->{status}, 1, 'which is not well');
	like((keep('get_state_all'))[1], qr/slot starts at .*, and the archive is at .*: not yet a source.*exposed: a failover now could leave a gap/s, 'and says why');
}
is((keep('start'))[0], 0, 'receiving goes on again');
all_hold('then all hold again');
catches_up('and the archive has all');

# ---- what is missing ----

{
	my (undef, $segment) = grep { m{/[0-9A-F]{24}$} } glob "$dir/wal/*/*";
	my ($file) = $segment =~ m{([^/]+)$};
	my $timeline = hex substr $file, 0, 8;
	my $to = "$tmp/segment";
	my ($words, $said);

	is((keep('get', $file, $to))[0], 0, 'a segment is served');
	is(-s $to, SEGMENT, 'whole');
	rename $segment, "$segment.away" or die "$segment: $!";
	is((keep('get', $file, $to))[0], 255, 'when it is missing, that is an error and not the end');
	is(state_of_all()->{archive}{state}, 'Gap', 'the state says that there is a hole');
	like(state_of_all()->{archive}{detail}, qr/hole: the segment at [0-9A-F\/]+ of timeline $timeline is missing/, 'archives 3: and where');
	($words, $said) = restore('after_kill', $gids{after_kill}{timeline});
	is($words, undef, 'archives 2: a restore over it does not end early');
	like($said, qr/FATAL: .*could not restore file "$file" from archive/, 'but fails');
	rename "$segment.away", $segment or die "$segment: $!";
	is(state_of_all()->{status}, 0, 'when it is back, all is well');
	is((keep('get', sprintf('%08X%08X%08X', timeline($primary), 1, 0), $to))[0], 1, 'what there never was is not there');
	is((keep('get', '0000FFFF.history', $to))[0], 1, 'nor is the history of a timeline that is not known');
	is((keep('get', sprintf('%08X.history', timeline($primary)), $to))[0], 0, 'archives 7: but the newest one is');
	is((keep('get', 'nonsense', $to))[0], 255, 'no name of WAL at all is an error');
	is((keep('get', $file, "$tmp/none/segment"))[0], 255, 'and so is a place that does not exist');
}

# ---- WAL that is gone ----

is((keep('stop'))[0], 0, 'receiving is stopped for long');
foreach my $id ($cluster->ids)
{
	$cluster->server($id)->append_conf('postgresql.conf', 'max_slot_wal_keep_size = 3MB');
	$cluster->signal($id, 'HUP');
}
$cluster->wait_until('no server keeps much', sub { !grep { ($cluster->sql($_, 'SHOW max_slot_wal_keep_size') // '') ne '3MB' } $cluster->ids });
write_wal(12) foreach 1 .. 2;
{
	my $before = state_of_all()->{archive};
	my $offset = -s $log;
	my $after;

	is((keep('start'))[0], 0, 'and goes on too late');
	$cluster->wait_until('the archive says that there is a gap', sub { $after = state_of_all()->{archive}; return $after->{state} eq 'Gap'; });
	like($after->{detail}, qr/gap from \Q$before->{durable}\E to \Q$after->{begin}\E: make a base backup/, 'and from where to where');
	like(log_of_run($offset), qr/ERROR: .*gap in the archive: WAL from \Q$before->{durable}\E on is gone.*\n.*HINT: /, 'so does the log');
	is(commit('after the gap'), 1, 'commits go on');
	catches_up('behind it the archive goes on');
	is(state_of_all()->{status}, 1, 'which is not well until there is a base backup');
	is((keep('get', sprintf('%08X%08X%08X', timeline($primary), 0, number($before->{durable}) / SEGMENT + 1), "$tmp/segment"))[0], 255, 'what is in the gap is missing, and not the end');
	is_restored('after_kill');
}
like(join(' ', grep { /^\S+ \w+ / } split /\n/, slurp_file("$dir/catalogue")), qr/ init .* begin .* segment .* timeline .* cut .* gap /, 'the catalogue has it all');
is(end_run('TERM'), 0, 'it ends upon a signal');
is_deeply([ glob "$dir/work/*" ], [], 'and leaves nothing half done');

# ---- no room ----

SKIP: {
	my $disk = $ENV{PG_LEADER_SMALL_WAL} // skip 'there is no file system that is soon full', 1;
	my ($filler, $offset);

	foreach my $id ($cluster->ids)
	{
		$cluster->server($id)->append_conf('postgresql.conf', 'max_slot_wal_keep_size = 400MB');
		$cluster->signal($id, 'HUP');
	}
	$cluster->wait_until('the servers keep WAL again', sub { !grep { ($cluster->sql($_, 'SHOW max_slot_wal_keep_size') // '') ne '400MB' } $cluster->ids });
	$dir = "$disk/b0";
	is((keep('init', '--role=keep', $members))[0], 0, 'an archive on a small disk');
	start_run();
	all_hold('it has its own slots');
	catches_up('and all WAL');
	open $filler, '>', "$disk/filler" or die "$disk: $!";
	1 while (syswrite($filler, 'x' x 65536) // 0) == 65536;
	truncate $filler, -300_000 + -s "$disk/filler";
	$offset = -s $log;
	write_wal(3);
	$cluster->wait_until('there is no room for more, and it says so', sub { log_of_run($offset) =~ /WARNING: .*could not make room for .*\n.*HINT: .*once there is room/ });
	like(state_of_all()->{proxy}{state} . state_of_all()->{proxy}{detail}, qr/^Waiting.*could not make room for /, 'so does the state');
	is(commit('no room'), 1, 'commits do not wait for it');
	unlink "$disk/filler";
	close $filler;
	catches_up('with room it goes on by itself');
	is(state_of_all()->{status}, 0, 'and all is well');
	is(end_run('TERM'), 0, 'it ends');
	PostgreSQL::Test::Utils::system_log('rm', '-rf', $dir);
}
unlike(log_of_run(), qr/PANIC|Assert|error in pg_leader_keep/, 'and was never at a loss');
$cluster->stop_all;
done_testing();
