# test/t/078_rejoin_matrix.pl
#	  Servers that come back, one situation after the other: what its supervisor does, that the
#	  server ends as a standby with the primary's rows and its own configuration, and that nothing
#	  that was acknowledged is lost (scenarios 69, 70, 79, 80 and 81).
#
# The rows S, A and K are those of 031_rejoin_facts.pl, which shows what PostgreSQL makes of them
# by itself.  Rows that are not here: S9 is in 052_ids.pl, K2 with another process's number in
# 040_supervisor.pl, K8 in 073_rebuild_hindered.pl.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IPC::Run ();
use PgLeaderRebuilt;
use POSIX qw(mkfifo);
use PostgreSQL::Test::Utils;
use Test::More;

my $cluster = PgLeaderRebuilt->rebuilt('matrix', "max_prepared_transactions = 10\n", min_timeout => '500ms', max_timeout => '1000ms');
my ($primary, @others);
my %older; # id => a copy of its data directory

sub learn_roles { ($primary, @others) = $cluster->wait_for_roles; return; }
sub commit_one { $cluster->commit_one($primary); return; }

# ---- what has to be the case afterwards ----

# done_for(ID, OFFSET): what its supervisor has done since then, and with which order.
sub done_for
{
	my ($id, $offset) = @_;

	return join(' ', $cluster->log_of($id, $offset) =~ /is a copy of the leader's: (\w+)/g) || 'followed';
}

# is_back(ID, HOW, OFFSET, OWN): tests; it has come back that way, with its own files as they were.
sub is_back
{
	my ($id, $how, $offset, $own) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$cluster->comes_back($id, $primary);
	learn_roles();
	like(done_for($id, $offset), qr/^(?:$how)$/, "it was $how");
	is_deeply($cluster->own_files($id), $own, 'its configuration is its own');
	like(slurp_file($cluster->directory($id) . '/postgresql.auto.conf'), qr/application_name=pg_leader_$id\b/, 'and so is its name');
	$cluster->ends_well($id, $primary);
	return;
}

# returns(ID, HOW): tests; it is started, and comes back that way: followed, rewound or cloned.
sub returns
{
	my ($id, $how) = @_;
	my ($offset, $own) = ($cluster->log_size($id), $cluster->own_files($id));

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$cluster->start($id);
	is_back($id, $how, $offset, $own);
	return;
}

# confirms_alone(ID, HOW): tests; it is started when nobody but it could confirm a commit, and that is
# answered only when it has come back.
sub confirms_alone
{
	my ($id, $how) = @_;
	my ($other) = $cluster->others($id, $primary);
	my @frozen = ($cluster->role_worker($other), $cluster->receiver($other));
	my ($offset, $own) = ($cluster->log_size($id), $cluster->own_files($id));
	my ($run, $out, $before);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	kill 'STOP', @frozen;
	$cluster->{told}++;
	$run = IPC::Run::start([ 'psql', '-XA', '-d', $cluster->server($primary)->connstr('postgres'), '-c', "INSERT INTO told VALUES ($cluster->{told})" ], '>&', \$out);
	$cluster->start($id);
	$cluster->wait_until('a commit is answered', sub {
		eval { $run->pump_nb; 1 } or $@ =~ /process ended prematurely/ or die $@;
		$before = done_for($id, $offset);
		return ($out // '') =~ /^INSERT 0 1$/m;
	});
	is($before, $how, "and not before it was $how");
	kill 'CONT', @frozen;
	$run->finish;
	is_back($id, $how, $offset, $own);
	return;
}

# shows(ID): does it show anybody what was lost?
sub shows
{
	my $id = shift;
	my ($out) = run_command([ 'psql', '-XAtq', '-U', 'app', '-d', $cluster->server($id)->connstr('postgres'), '-c', 'SELECT n FROM told WHERE n < 0' ]);

	return $out ne '';
}

# ---- primaries that come back ----

# stop_primary(): tests; it is stopped behind its supervisor's back, which would switch over, and another
# one goes on.
sub stop_primary
{
	my $old = $primary;
	my ($out);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	system_or_bail('pg_ctl', '-s', '-D', $cluster->server($old)->data_dir, '-m', 'fast', 'stop');
	is($cluster->stop($old), 0, 'its supervisor ends');
	($out) = run_command([ 'pg_controldata', $cluster->directory($old) ]);
	like($out, qr/^Database cluster state: +shut down$/m, 'a clean stop');
	return $old;
}

learn_roles();
is($cluster->sql($primary, 'CREATE TABLE told (n int); CREATE TABLE words (word text); CREATE ROLE app LOGIN; GRANT SELECT ON told TO app'), '', 'tables');
commit_one();

# Its last checkpoint, with which its WAL ends, is received or not: it hands over first, and then
# nobody receives from it any more.
subtest 'S1: stopped cleanly' => sub {
	my $old = stop_primary();

	learn_roles();
	commit_one();
	$older{$old} = $cluster->directory($old) . '.older';
	system_or_bail('cp', '-a', $cluster->directory($old), $older{$old});
	returns($old, 'followed|rewound');
};

subtest 'S2 (clean_stop_not_received): rewound' => sub {
	my @startups = map { $cluster->startup($_) } @others;
	my $old;

	kill 'STOP', @startups; # else they start receivers again at once
	kill 'TERM', $cluster->receivers($primary);
	$cluster->wait_until('nobody receives', sub { $cluster->sql($primary, q(SELECT count(*) FROM pg_stat_replication WHERE application_name ~ '^pg_leader_[0-9]+$')) eq '0' });
	$old = stop_primary();
	kill 'CONT', @startups;
	learn_roles();
	commit_one();
	returns($old, 'rewound');
};

subtest 'S4: killed, and nothing was unreceived: follows' => sub {
	my $old = $primary;

	$cluster->wait_for_replay($primary);
	$cluster->kill_member($old);
	learn_roles();
	commit_one();
	returns($old, 'followed');
};

subtest 'S5: frozen, another one is promoted, and then it is killed: follows' => sub {
	my $old = $primary;
	my @all = ($cluster->supervisor($old), $cluster->processes($old));

	$cluster->wait_for_replay($primary);
	kill 'STOP', @all;
	$cluster->wait_until('another one is the open primary', sub { grep { $cluster->role($_)->{is_open} } @others });
	kill 'KILL', @all;
	$cluster->wait_until('it is gone', sub { !$cluster->is_running($old) && !defined $cluster->postmaster($old) });
	learn_roles();
	commit_one();
	returns($old, 'followed');
};

# One prepared transaction is acknowledged, another one is not.
subtest 'complaint 15: S3, K2 and K5 (unreceived_commits, slots, unlogged tables): rewound' => sub {
	my $old = $primary;
	my $directory = $cluster->directory($old);

	is($cluster->sql($old, q(CREATE UNLOGGED TABLE unlogged AS SELECT 1 AS n; SELECT FROM pg_create_physical_replication_slot('mine', true);
		BEGIN; INSERT INTO words VALUES ('prepared'); PREPARE TRANSACTION 'kept')), '', 'a slot, an unlogged table, a prepared transaction');
	mkfifo("$directory/fifo", 0600) or die "fifo: $!";
	$cluster->write_alone($old, q(INSERT INTO told SELECT -g FROM generate_series(1, 50) g; BEGIN; INSERT INTO words VALUES ('lost'); PREPARE TRANSACTION 'lost'));
	IO::Socket::UNIX->new(Local => "$directory/socket", Listen => 1) or die "socket: $!";
	append_to_file("$directory/postmaster.pid", "@{[ (1 << 22) - 1 ]}\n$directory\n1\n");
	learn_roles();
	commit_one();
	returns($old, 'rewound');
	is($cluster->sql($primary, q(COMMIT PREPARED 'kept')), '', 'what was prepared can be committed');
	$cluster->wait_for_same('all have it, and nothing else', q(SELECT string_agg(word, ' ') FROM words));
	is($cluster->sql($old, 'SELECT word FROM words'), 'prepared', 'that row');
	is($cluster->sql($_, 'SELECT count(*) FROM pg_prepared_xacts'), '0', "node $_: no transaction is left prepared") foreach $cluster->ids;
	unlink "$directory/fifo", "$directory/socket";
};

# ---- standbys that have received what came to nothing ----

# beyond_the_fork(ID, REPLAYS, CODE): tests; it has WAL of the timeline before, from beyond its end.
sub beyond_the_fork
{
	my ($id, $replays, $code) = @_;
	my $timeline = $cluster->role($primary)->{timeline};
	my $old = $primary;

	local $Test::Builder::Level = $Test::Builder::Level + 1;

	# what it wrote later, that one would not have
	kill 'STOP', $cluster->titled($primary, qr/background writer/);
	$cluster->wait_for_replay($primary);
	$cluster->stop($id);
	$code->() if defined $code;
	$cluster->receive_more($id, 'INSERT INTO told SELECT -g FROM generate_series(1, 200) g');
	$cluster->run_by_hand($id, $cluster->directory($id), sub { is($cluster->sql($id, 'SELECT count(*) FROM told WHERE n < 0'), '200', 'it has replayed that') }) if $replays;
	$cluster->kill_server($old);
	$cluster->wait_until('there is another timeline', sub { my $now = $cluster->open_primary; defined $now && $cluster->role($now)->{timeline} > $timeline });
	learn_roles();
	commit_one();
	return;
}

subtest 'S6b (received_not_replayed): rewound, and nobody saw it' => sub {
	my ($id) = @others;
	my ($offset, $own, $shown) = ($cluster->log_size($id), undef, 0);

	beyond_the_fork($id, 0);
	$own = $cluster->own_files($id);
	$offset = $cluster->log_size($id);
	$cluster->start($id);
	$cluster->wait_until('it follows', sub { $shown ||= shows($id); $cluster->follows($id, $primary) });
	ok(!$shown, 'it has not shown what was lost');
	is_back($id, 'rewound', $offset, $own);
};

subtest 'S6 and A6: received and replayed: rewound, and confirms nothing before' => sub {
	my ($id) = @others;

	beyond_the_fork($id, 1);
	confirms_alone($id, 'rewound');
};

subtest 'K1 (no_checksums_no_hints): cloned' => sub {
	my ($id) = @others;
	my $directory = $cluster->directory($id);

	beyond_the_fork($id, 0, sub {
		system('pg_checksums', '--disable', '-D', $directory); # which fails where there are none
		$cluster->server($id)->append_conf('postgresql.conf', 'wal_log_hints = off');
	});
	returns($id, 'cloned');
	like($cluster->log_of($id), qr/for a clone from node \d: its WAL has diverged from the leader's, and it cannot be rewound/, 'since it cannot be rewound');
	$cluster->server($id)->append_conf('postgresql.conf', 'wal_log_hints = on');
	$cluster->stop($id);
	returns($id, 'followed');
};

subtest 'complaint 11: K3 (wal_recycled): cloned' => sub {
	my $old = $primary;

	$cluster->server($old)->append_conf('postgresql.conf', 'wal_keep_size = 0');
	$cluster->sql($old, 'SELECT pg_reload_conf()');
	$cluster->write_alone($old, 'INSERT INTO told VALUES (-1); SELECT FROM pg_switch_wal(); CHECKPOINT; INSERT INTO told VALUES (-2); SELECT FROM pg_switch_wal(); CHECKPOINT');
	$cluster->server($old)->append_conf('postgresql.conf', 'wal_keep_size = 256MB');
	learn_roles();
	commit_one();
	returns($old, 'cloned');
};

# ---- the same timeline ----

subtest 'A7 (standby_ahead_on_the_same_timeline): cloned, and confirms nothing before' => sub {
	my ($id) = @others;

	$cluster->wait_for_replay($primary);
	$cluster->stop($id);
	$cluster->receive_more($id, 'INSERT INTO told SELECT -g FROM generate_series(1, 200) g');
	confirms_alone($id, 'cloned');
};

subtest 'S7c: other records on the same timeline, and not as many: cloned' => sub {
	my ($id) = @others;

	$cluster->wait_for_replay($primary);
	$cluster->stop($id);
	$cluster->receive_more($id, "INSERT INTO told SELECT -1; INSERT INTO words VALUES ('@{[ 'c' x 77 ]}')");
	is($cluster->sql($primary, 'INSERT INTO told SELECT 0 FROM generate_series(1, 500); DELETE FROM told WHERE n = 0'), '', 'the others go on');
	confirms_alone($id, 'cloned');
};

# ---- one record that is another one ----

sub crc32c
{
	my $crc = 0xFFFFFFFF;

	foreach my $byte (unpack 'C*', shift)
	{
		$crc ^= $byte;
		$crc = $crc & 1 ? $crc >> 1 ^ 0x82F63B78 : $crc >> 1 foreach 1 .. 8;
	}
	return $crc ^ 0xFFFFFFFF;
}

# change_record(ID, LSN, FROM, TO): in its WAL, the first record of a heap from there on says something else, of
# the same length, and is sound.  False: it does not lie in one page.
sub change_record
{
	my ($id, $lsn, $from, $to) = @_;
	my $wal = $cluster->directory($id) . '/pg_wal';
	my $timeline = $cluster->role($primary)->{timeline};
	my ($out) = run_command([ 'pg_waldump', '-p', $wal, '-t', $timeline, '-s', $lsn, '-r', 'Heap' ]);
	my ($length, $high, $low) = $out =~ m{len \(rec/tot\): +\d+/ *(\d+),.* lsn: ([0-9A-F]+)/([0-9A-F]+),.*INSERT} or die $out;
	my $position = hex($low) % (16 << 20);
	my $file = sprintf '%s/%08X%08X%08X', $wal, $timeline, hex $high, hex($low) >> 24;
	my $record;

	return 0 if $position % 8192 + $length > 8192;
	open my $segment, '+<:raw', $file or die "$file: $!";
	seek $segment, $position, 0;
	read $segment, $record, $length;
	$record =~ s/$from/$to/ or die "the record does not say $from";
	substr $record, 20, 4, pack 'L', crc32c(substr($record, 24) . substr $record, 0, 20);
	seek $segment, $position, 0;
	print $segment $record;
	close $segment;
	return 1;
}

subtest 'S7a: another row in a record of the same length on the same timeline: cloned' => sub {
	my ($id) = @others;
	my ($lsn, $startup);

	for (;;)
	{
		commit_one(); # in whose page later ones are without an image of it
		is($cluster->sql($primary, q(INSERT INTO words VALUES ('first'))), '', 'a row');
		$cluster->wait_for_replay($primary);
		$startup = $cluster->startup($id);
		kill 'STOP', $startup;
		$lsn = $cluster->sql($primary, 'SELECT pg_current_wal_insert_lsn()');
		is($cluster->sql($primary, q(INSERT INTO words VALUES ('aaaaaaaa'))), '', 'another one');
		$cluster->wait_until('it is received', sub {
			$cluster->sql($primary, "SELECT flush_lsn >= pg_current_wal_insert_lsn() FROM pg_stat_replication WHERE application_name = 'pg_leader_$id'") eq 't' });
		$cluster->kill_member($id);
		last if change_record($id, $lsn, 'aaaaaaaa', 'bbbbbbbb');
		returns($id, 'followed');
	}
	returns($id, 'cloned');
	$cluster->wait_for_same('all have the same', q(SELECT string_agg(word, ' ' ORDER BY word) FROM words));
	unlike($cluster->sql($id, q(SELECT string_agg(word, ' ') FROM words)), qr/bbbb/, 'which is what was answered');
};

# ---- older copies ----

# put_back(ID): its data directory as it was then.
sub put_back
{
	my $id = shift;
	my $directory = $cluster->directory($id);

	system_or_bail('cp', $_, $older{$id}) foreach map { "$directory/$_" } qw(postgresql.conf pg_hba.conf);
	system_or_bail('rm', '-r', $directory);
	system_or_bail('cp', '-a', $older{$id}, $directory);
	return;
}

# What it was told last is on another one, too, which is down.
subtest 'A7p (primary_restarted_from_an_older_copy): does not lead or vote, and follows' => sub {
	my ($id) = keys %older;
	my ($less, $more, $own, $offset);

	$cluster->hand_over($id);
	learn_roles();
	($less, $more) = @others;
	$cluster->stop($less);
	commit_one() foreach 1 .. 3;
	$cluster->wait_until('it has noted that it holds that', sub {
		my ($held) = unpack 'x32 Q>', slurp_file($cluster->beside($id, 'held'));

		return $cluster->sql($id, sprintf q(SELECT '%X/%X' >= pg_current_wal_flush_lsn()), $held >> 32, $held & 0xFFFFFFFF) eq 't';
	});
	$cluster->signal($_, 'KILL') foreach $id, $more;
	$cluster->wait_until('both are down', sub { !grep { $cluster->is_running($_) || defined $cluster->postmaster($_) } $id, $more });
	put_back($id);
	$own = $cluster->own_files($id);
	$offset = $cluster->log_size($id);
	$cluster->start($id, $less);
	$cluster->wait_for_line('it says that it holds less', $id, $offset, qr/holds less/);
	$cluster->stays('nobody leads', 2, sub { !$cluster->leads($id, $less) });
	$cluster->start($more);
	learn_roles();
	is($primary, $more, 'the one that has all leads');
	is_back($id, 'followed|rewound|cloned', $offset, $own); # by what that copy is, and what is remembered of its timelines
};

# What it has forgotten, it learns from the others; a rebuild could be among that.
subtest 'state_restored_data_kept: does not vote, and is cloned' => sub {
	my ($id) = @others;
	my $state = $cluster->state_file($id) =~ s{/[^/]*$}{}r;
	my ($offset, $own);

	$cluster->stop($id);
	system_or_bail('cp', '-a', $state, "$state.older");
	returns($id, 'followed');
	$cluster->stop($id);
	commit_one();
	system_or_bail('rm', '-r', $state);
	rename "$state.older", $state or die;
	$cluster->forget_state($id);
	$offset = $cluster->log_size($id);
	$own = $cluster->own_files($id);
	$cluster->start($id);
	$cluster->wait_for_line('it does not vote', $id, $offset, qr/node $id abstains: another server has run with this node id, or the state file was lost/);
	$cluster->wait_for_line('it is cloned', $id, $offset, qr/is a copy of the leader's: cloned/);
	is_back($id, 'cloned', $offset, $own);
};

# ---- rewinds ----

# The supervisor dies when the rewind is done, and before that is on disk.
subtest 'double run (rewind_twice), and two_supervisors: a rewind that is done is not run again' => sub {
	my $id = $primary;
	my $conf = $cluster->directory($id) . '/postgresql.conf';
	my $copy = $cluster->beside($id, 'copy');
	my ($offset, $own, $supervisor, $boot, $err);

	$cluster->write_alone($id, 'INSERT INTO told SELECT -g FROM generate_series(1, 50) g');
	learn_roles();
	is($cluster->sql($primary, 'CREATE TABLE more AS SELECT g AS n FROM generate_series(1, 100000) g'), '', 'the others go on');
	$offset = $cluster->log_size($id);
	$own = $cluster->own_files($id);
	$cluster->start($id);
	$cluster->wait_for_line('it is rewound', $id, $offset, qr/rewinding the data directory/);
	$supervisor = $cluster->supervisor($id);
	$cluster->signal($id, 'STOP');
	$cluster->wait_until('in this boot of the machine', sub { ($boot = -e $copy ? slurp_file($copy) : '') =~ /^boot / });
	(undef, $err) = run_command([ 'pg_leader_supervisor', '-D', $cluster->directory($id) ]);
	like($err, qr/another supervisor runs for node $id \(process $supervisor\)\n.*Stop the other one first/s, 'a second supervisor is refused');
	$cluster->wait_until('the rewind is done', sub { slurp_file($copy) !~ /^boot / });
	unlike($cluster->log_of($id, $offset) =~ s/.*rewinding the data directory//sr, qr/started the server/, 'no server was started on it');
	$cluster->kill_member($id);
	unlink $copy or die;
	append_to_file($copy, $boot);
	$cluster->start($id);
	is_back($id, 'rewound', $offset, $own);
};

subtest 'config_outside_pgdata (K4): rewound' => sub {
	my $id = $primary;
	my $directory = $cluster->directory($id);
	my $configuration = PostgreSQL::Test::Utils::tempdir("conf_$id");
	my ($offset, $before);

	$cluster->write_alone($id, 'INSERT INTO told SELECT -g FROM generate_series(1, 50) g');
	learn_roles();
	commit_one();
	system_or_bail('mv', (map { "$directory/$_" } qw(postgresql.conf pg_hba.conf pg_ident.conf)), $configuration);
	system_or_bail('cp', "$configuration/postgresql.conf", "$configuration/before");
	append_to_file("$configuration/postgresql.conf", "data_directory = '$directory'\nhba_file = '$configuration/pg_hba.conf'\nident_file = '$configuration/pg_ident.conf'\n");
	$before = slurp_file("$configuration/postgresql.conf");
	$cluster->member($id)->{command} = [ 'pg_leader_supervisor', '-D', $configuration ];
	$offset = $cluster->log_size($id);
	$cluster->start($id);
	$cluster->comes_back($id, $primary);
	learn_roles();
	is(done_for($id, $offset), 'rewound', 'it was rewound');
	is(slurp_file("$configuration/postgresql.conf"), $before, 'its configuration is its own');
	is($cluster->sql($id, 'SHOW config_file'), "$configuration/postgresql.conf", 'and in use');
	$cluster->ends_well($id, $primary);
	$cluster->stop($id);
	$cluster->member($id)->{command} = undef;
	system_or_bail('mv', "$configuration/before", "$configuration/postgresql.conf");
	system_or_bail('cp', (map { "$configuration/$_" } qw(postgresql.conf pg_hba.conf pg_ident.conf)), $directory);
	returns($id, 'followed');
};

# ---- a password ----

my %passfiles = map { $_ => PostgreSQL::Test::Utils::tempdir("pass_$_") . '/file' } $cluster->ids;

sub set_password
{
	my ($id, $password) = @_;

	unlink $passfiles{$id};
	append_to_file($passfiles{$id}, "*:*:*:keeper:$password\n");
	chmod 0600, $passfiles{$id} or die;
	return;
}

sub ask_for_password
{
	is($cluster->sql($primary, q(CREATE ROLE keeper SUPERUSER REPLICATION LOGIN PASSWORD 'right')), '', 'a role');
	foreach my $id ($cluster->ids)
	{
		my $file = $cluster->directory($id) . '/pg_hba.conf';
		my $lines = slurp_file($file);

		unlink $file;
		append_to_file($file, "host all,replication keeper 127.0.0.1/32 scram-sha-256\n$lines");
		set_password($id, 'right');
		$cluster->set($id, fence_exempt_roles => (getpwuid $<)[0] . ', keeper', replication_conninfo => "user=keeper passfile=$passfiles{$id}");
		$cluster->signal($id, 'HUP');
	}
	return;
}

subtest 'a wrong password: it says so, and goes on when it is right' => sub {
	my $id = $primary;
	my $wrong = qr/password authentication failed for user "keeper".*\n.*HINT: +.*pg_leader\.replication_conninfo/;
	my ($offset, $own);

	ask_for_password();
	$cluster->write_alone($id, 'INSERT INTO told SELECT -g FROM generate_series(1, 50) g');
	learn_roles();
	commit_one();
	set_password($id, 'wrong');
	$offset = $cluster->log_size($id);
	$own = $cluster->own_files($id);
	$cluster->start($id);
	$cluster->wait_for_line('it cannot be compared', $id, $offset, qr/could not ask the leader, node $primary: .*$wrong/);
	commit_one();
	set_password($id, 'right');
	is_back($id, 'rewound', $offset, $own);

	($id) = @others;
	$own = $cluster->own_files($id);
	$cluster->lose($id);
	set_password($id, 'wrong');
	$offset = $cluster->log_size($id);
	$cluster->start($id);
	$cluster->wait_for_line('nor can it be cloned', $id, $offset, qr/ERROR: +the leader's server cannot be asked: .*$wrong/);
	commit_one();
	unlike($cluster->log_of($id, $offset), qr/cloning/, 'it was not tried');
	set_password($id, 'right');
	is_back($id, 'cloned', $offset, $own);
};

# ---- the first process of a container ----

subtest 'the same as process 1: a clone that is killed with its container is gone on with' => sub {
	my @container = qw(unshare --map-current-user --pid --fork --kill-child --mount-proc);
	my ($id) = @others;
	my ($offset, $own, $first);

	plan skip_all => 'this machine lets nobody but root make namespaces of processes' if system(@container, 'true') != 0;
	$own = $cluster->own_files($id);
	$cluster->lose($id);
	$cluster->member($id)->{command} = [ @container, 'pg_leader_supervisor', '-D', $cluster->directory($id) ];
	foreach my $ends (1, 0)
	{
		$offset = $cluster->log_size($id);
		$cluster->start($id);
		$cluster->wait_for_line('it is cloned', $id, $offset, qr/cloning the data directory/);
		($first) = grep { PgLeaderCluster::parent_of($_) == $cluster->supervisor($id) } PgLeaderCluster::all_processes();
		like(slurp_file("/proc/$first/status"), qr/^NSpid:.*\t1$/m, 'the supervisor is process 1');
		next unless $ends;
		kill 'KILL', $first;
		$cluster->wait_until('the container has ended', sub { !$cluster->is_running($id) });
	}
	is_back($id, 'cloned', $offset, $own);
	kill 'TERM', $first;
	$cluster->wait_until('it ends when it is told to', sub { !$cluster->is_running($id) });
	is($cluster->member($id)->{status}, 0, 'with exit status 0');
	$cluster->member($id)->{command} = undef;
	returns($id, 'followed');
};

$cluster->check_timelines;
$cluster->check_history;
$cluster->stop_all;
done_testing();
