# test/t/021_colo_example.pl
#	  script/examples/colo_failover.pl and colo_start.pl against a monitor that speaks
#	  QMP as QEMU does, and the former run by pg_leader.notify_command: the elected side
#	  alone is told.  test/colo has real QEMUs.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../../script/examples";
use IO::Socket::UNIX;
use JSON::PP;
use PgLeaderCluster;
use PgLeaderManaged;
use Qmp;
use Test::More;
use Time::HiRes qw(time);

my $program = "$FindBin::RealBin/../../script/examples/colo_failover.pl";
my $directory = PostgreSQL::Test::Utils::tempdir_short();
my @monitors;
my $owner = $$;

# What QEMU returns where it is not {}.
my %returns = (map({ ($_ => []) } qw(query-block-exports query-yank query-named-block-nodes qom-list)),
	'x-debug-query-block-graph' => { nodes => [], edges => [] },
	'human-monitor-command' => '', 'query-status' => { status => 'running' }, 'query-migrate' => {});

END { if ($$ == $owner) { local $?; kill 'KILL', @monitors; waitpid($_, 0) foreach @monitors; } }

# A monitor at that socket that writes the commands it gets to SOCKET.got.
#
#	mode		of COLO
#	fails		a command that is refused
#	words		what is said then
#	fails_once	a command that is refused the first time
#	silent		a command that is not answered
#	greeting	instead of QMP's
#	answers		command => what it returns
#	events		what is sent after a client has negotiated
#	stuck_after	so many questions for the state of COLO it answers what is out of
#				band alone, until connections are broken
#	ends_after	so many questions for the state of COLO it ends
#	last_words	what is sent then
#	last		mode that COLO had; x-colo-lost-heartbeat sets it
sub monitor
{
	my ($name, %options) = @_;
	my $path = "$directory/$name";
	unlink $path;
	my $listener = IO::Socket::UNIX->new(Local => $path, Listen => 5) or die "$path: $!";
	my $pid = fork() // die "fork: $!";

	if ($pid)
	{
		push @monitors, $pid;
		close $listener;
		return $path;
	}
	$SIG{PIPE} = 'IGNORE';
	my ($asked, $stuck) = (0, 0);
	while (my $client = $listener->accept)
	{
		$client->autoflush(1);
		print $client $options{greeting} //
		  '{"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}}, "capabilities": ["oob"]}}', "\r\n";
		my $negotiated = 0;
		while (my $line = <$client>)
		{
			my $request = eval { decode_json($line) };
			my $command = $request->{execute} // $request->{'exec-oob'} // '';
			my $answer = { return => {} };

			note_command("$path.got", $request);
			$stuck = 1 if $command eq 'query-colo-status' && defined $options{stuck_after} && $asked >= $options{stuck_after};
			if ($command eq 'yank' && $command ne ($options{fails_once} // '')) { $stuck = 0; delete $options{stuck_after}; }
			next if $stuck && !exists $request->{'exec-oob'};
			if ($command eq 'query-colo-status' && ++$asked > ($options{ends_after} // 1000))
			{
				print $client $options{last_words}, "\r\n" if $options{last_words};
				exit 0;
			}
			next if $command eq ($options{silent} // '');
			if (!$negotiated && $command ne 'qmp_capabilities')
			{
				$answer = { error => { class => 'CommandNotFound', desc => 'Expecting capabilities negotiation' } };
			}
			elsif ($command eq ($options{fails} // '') || $command eq ($options{fails_once} // ''))
			{
				delete $options{fails_once};
				$answer = { error => { class => 'GenericError', desc => $options{words} // 'made to fail' } };
			}
			elsif ($command eq 'qmp_capabilities')
			{
				$negotiated = 1;
				print $client encode_json($_), "\r\n" foreach @{ $options{events} // [] };
			}
			elsif (my $return = $options{answers}{$command} // $returns{$command}) { $answer = { return => $return }; }
			elsif ($command eq 'query-colo-status')
			{
				$answer = { return => { mode => $options{mode} // 'secondary', 'last-mode' => $options{last} // 'none', reason => 'none' } };
			}
			elsif ($command eq 'x-colo-lost-heartbeat') { @options{qw(mode last)} = ('none', $options{mode} // 'secondary'); }
			$answer->{id} = $request->{id} if exists $request->{id};
			# Events come at any time, also between a command and its answer.
			print $client '{"timestamp": {"seconds": 1, "microseconds": 0}, "event": "RESUME"}', "\r\n",
			  encode_json($answer), "\r\n";
		}
	}
	exit 0;
}

# The command and what it is about, a line each.
sub note_command
{
	my ($file, $request) = @_;
	my $arguments = $request->{arguments} // {};
	my ($about) = grep { defined && !ref } map { $arguments->{$_} } qw(id child node-name node device command-line uri);

	open(my $got, '>>', $file) or die $!;
	print $got join(':', grep { defined } $request->{execute} // $request->{'exec-oob'}, $about), "\n";
	close $got;
	return;
}

sub got
{
	my ($path) = @_;

	return '' unless -e "$path.got";
	return join ' ', split /\n/, PostgreSQL::Test::Utils::slurp_file("$path.got");
}

# How many lines a file of ours has.
sub lines_in
{
	my ($name) = @_;

	return -e "$directory/$name" ? scalar(split /^/, PostgreSQL::Test::Utils::slurp_file("$directory/$name")) : 0;
}

my ($out, $err);
my $names = 0;

sub run
{
	my (@arguments) = @_;

	IPC::Run::run([ $program, @arguments ], '<', \undef, '>', \$out, '2>', \$err);
	return $? >> 8;
}

# ---- by itself ----

my $gone = '--gone=exit 1';
my $take = '--take=exit 0';
my $begin = 'qmp_capabilities query-colo-status';
my $all = "$begin query-block-exports x-colo-lost-heartbeat";
my $path = monitor('secondary');
is(run($path, 'lost_lease') . run($path, 'new_leader'), '00', 'events that are no reason to act');
is(got($path), '', 'nothing is sent for them');
is(run($take, $gone, $path, 'gained_lease'), 0, 'gained_lease') or diag($err);
is($out, "the secondary side goes on alone\n", 'it says what it has done');
is(got($path), $all, 'the heartbeat is told as lost');

$path = monitor('exports', answers => { 'query-block-exports' => [ { id => 'parent0' } ] });
is(run($take, $gone, $path, 'gained_lease'), 0, 'a secondary that exports its disk');
is(got($path), "$begin query-block-exports nbd-server-stop x-colo-lost-heartbeat", 'the server for that is stopped first');

# What a primary has, and what of it is removed, in that order.
my %primary = (
	'query-yank' => [ { type => 'block-node', 'node-name' => 'nbd0' }, { type => 'block-node', 'node-name' => 'other' }, { type => 'migration' } ],
	'x-debug-query-block-graph' => {
		nodes => [ { id => 1, name => '#block1' }, { id => 2, name => 'replication0' }, { id => 3, name => 'nbd0' } ],
		edges => [ { parent => 1, child => 2, name => 'children.1' }, { parent => 2, child => 3, name => 'file' } ] },
	'query-named-block-nodes' => [ { 'node-name' => 'replication0' }, { 'node-name' => 'nbd0' } ],
	'qom-list' => [ { name => 'type', type => 'string' }, { name => 'redire0', type => 'child<filter-redirector>' },
		{ name => 'comp0', type => 'child<colo-compare>' }, { name => 'm0', type => 'child<filter-mirror>' },
		{ name => 'iothread1', type => 'child<iothread>' } ]);
$path = monitor('primary', mode => 'primary', answers => \%primary);
is(run($take, $gone, '--if', 'true', $path, 'heartbeat_lost'), 0, 'heartbeat_lost, elected') or diag($err);
is(got($path), "$begin query-yank yank x-debug-query-block-graph x-blockdev-change:children.1 query-named-block-nodes "
	  . 'blockdev-del:replication0 qom-list object-del:comp0 object-del:m0 object-del:redire0 x-colo-lost-heartbeat',
	'the connection is broken before the disk is removed, and the rest after it');

$path = monitor('primary2', mode => 'primary', answers => \%primary);
is(run($take, $gone, '--if', 'true', '--before', '{"execute": "nbd-server-stop"}', $path, 'heartbeat_lost'), 0, '--before');
is(got($path), "$begin nbd-server-stop x-colo-lost-heartbeat", '--before is in place of all that');

$path = monitor('not_elected', mode => 'primary');
is(run($take, $gone, '-t', '0.5', '--if', 'false', $path, 'heartbeat_lost'), 1, 'heartbeat_lost, not elected');
is($err, qq(colo_failover.pl: not elected: "false" did not succeed in time\n), 'it says so');
is(got($path), $begin, 'nothing is sent that would fail over');

# Only exit status 1 means that the other side is gone.
$path = monitor('not_gone');
foreach my $case ([ 'exit 0', '"exit 0" succeeds' ], [ 'exit 2', 'unknown: "exit 2" has exit status 2' ],
	[ 'no_such_program', 'unknown: "no_such_program" has exit status 127' ],
	[ 'kill -TERM $$', 'unknown: "kill -TERM $$" was ended by signal 15' ])
{
	my ($command, $words) = @$case;

	is(run($take, '--gone', $command, '-t', '2', $path, 'gained_lease'), 1, "--gone '$command'");
	like($err, qr/^colo_failover.pl: the other side is not gone: \Q$words\E\n\z/m, "--gone '$command': it says why");
}
unlike(got($path), qr/lost-heartbeat/, 'nothing is sent that would fail over');
my $second = "if test -e $directory/asked; then sleep 60; fi; : >$directory/asked";
is(run($take, '--gone', $second, '-t', '3', $path, 'gained_lease'), 1, 'the time ends while it is asked once more');
like($err, qr/the other side is not gone: .* succeeds$/, 'what the first answer was is said');
is(run($take, '--gone', 'exit 0', '--gone', 'exit 1', $path, 'gained_lease'), 0, 'of several, one is enough') or diag($err);

# In time, or not at all: one that hangs, and one that succeeds too late.
$path = monitor('if_hangs');
my $began = time;
is(run($take, $gone, '-t', '0.5', '--if', 'sleep 60; true', $path, 'heartbeat_lost'), 1, '--if hangs');
cmp_ok(time - $began, '<', 30, '--if hangs: it is not waited for');
like($err, qr/^colo_failover.pl: not elected: "sleep 60; true" did not succeed in time$/, '--if hangs: it says so');
is(run($take, $gone, '-t', '0.5', '--if', 'sleep 0.52; true', $path, 'heartbeat_lost'), 1, '--if succeeds when the time is over');
is(run($take, '--gone', 'sleep 60', '-t', '0.5', $path, 'gained_lease'), 1, '--gone hangs');
is($err, qq(colo_failover.pl: "sleep 60" did not end in time\n), '--gone hangs: it says so');
unlike(got($path), qr/lost-heartbeat/, 'what hangs, or is late: nothing is sent that would fail over');

# Elected, and the other side gone: but that one may have gone on before.
$path = monitor('taken', mode => 'primary', answers => \%primary);
is(run($gone, '--take', 'exit 3', $path, 'gained_lease'), 1, 'the other side has gone on');
is($err, qq(colo_failover.pl: this side may not go on: "exit 3" has exit status 3\n), 'it says so');
is(got($path), $begin, 'nothing is touched, and nothing is sent');
$path = monitor('not_yet_taken');
run('--gone', 'true', '-t', '0.5', '--take', ": >$directory/took", $path, 'gained_lease');
run($gone, '--if', 'false', '-t', '0.5', '--take', ": >$directory/took", $path, 'heartbeat_lost');
ok(!-e "$directory/took", 'nothing is taken while a condition does not hold');

# Three answers in a row, and no fewer; then the other side may be there again.
$path = monitor('gone_three');
is(run('--gone', "echo >>$directory/three; exit 1", '--take', "cp $directory/three $directory/three_taken", $path, 'gained_lease'), 0, 'gone three times');
is(lines_in('three_taken'), 3, 'it is asked three times before the right is taken');
is(lines_in('three'), 3, 'and not after that');
# Two times gone, and then there.
my $twice = 'n=$(cat DIR/twice 2>/dev/null); echo $((n + 1)) >DIR/twice; test $((n % 3)) -eq 2 || exit 1';
$twice =~ s/DIR/$directory/g;
$path = monitor('gone_twice');
is(run('--gone', $twice, '-t', '3', '--take', ": >$directory/twice_took", $path, 'gained_lease'), 1, 'gone two times in a row, again and again');
cmp_ok(PostgreSQL::Test::Utils::slurp_file("$directory/twice"), '>', 5, 'it is asked again');
ok(!-e "$directory/twice_took", 'two times are too few: nothing is taken');
like($err, qr/the other side (is not gone|was gone [12] times in a row; 3 are wanted)/, 'it says so');
$path = monitor('there_again');
is(run('--gone', "test ! -e $directory/there_took || exit 0; exit 1", '--take', ": >$directory/there_took", $path, 'gained_lease'), 0,
	'there again when the right is taken: goes on') or diag($err);
$path = monitor('little_time');
is(run('--gone', 'sleep 0.95; exit 1', '-t', '4', '--take', ": >$directory/little_took", $path, 'gained_lease'), 1, 'gone when little time is left');
ok(!-e "$directory/little_took", 'little time is left: nothing is taken');
like($err, qr/the other side was gone \d times in a row; 3 are wanted in time$/, 'it says so');

# Once it is taken, what keeps this side from being told is said, with what to do.
my $holds = 'this side holds the right to go on, and was not told to';
my $hint = 'hint: end the other QEMU for good and run this again here; only if COLO runs on instead, undo what --take did';
my $took = "$directory/took";
$path = monitor('if_before_take');
is(run($gone, '--take', ": >$took", '--if', "test ! -e $took", '--before', '{"execute": "nbd-server-stop"}', $path, 'heartbeat_lost'),
	1, '--if is true, and after --before not any more');
like($err, qr/^colo_failover.pl: $holds: not elected: .*\n$hint\n\z/, 'what the state is then, and what to do');
is(got($path), "$begin nbd-server-stop", 'nothing is sent that would fail over');
unlink $took;
$path = monitor('take_late', silent => 'query-block-exports');
is(run($gone, $take, '-t', '1.5', $path, 'gained_lease'), 1, 'the time ends after the right was taken');
like($err, qr/^colo_failover.pl: $holds: QEMU did not answer in time\n$hint\n\z/, 'that is said, too');
# The clock counts, also if no alarm comes.
$path = monitor('no_alarm');
IPC::Run::run([ $^X, '-MPOSIX=:signal_h', '-e', 'sigprocmask(SIG_BLOCK, POSIX::SigSet->new(SIGALRM)); exec @ARGV', $program, $gone, '-t', '2', '--take', ": >$took",
	'--if', "test ! -e $took || sleep 2.5", $path, 'heartbeat_lost' ], '<', \undef, '>', \$out, '2>', \$err);
is($err, "colo_failover.pl: $holds: the time is over\n$hint\n", 'the time is over when this side would be told');
unlike(got($path), qr/lost-heartbeat/, 'the time is over: nothing is sent that would fail over');
unlink $took;

# One that was ended has not said yes.
$path = monitor('signalled');
is(run($gone, '--take', 'kill -TERM $$', $path, 'gained_lease'), 1, '--take is ended by a signal');
like($err, qr/this side may not go on: .* was ended by signal 15$/, 'it says so');
is(run($gone, $take, '-t', '1', '--if', 'kill -TERM $$', $path, 'heartbeat_lost'), 1, '--if is ended by a signal');
unlike(got($path), qr/lost-heartbeat/, 'ended by a signal: nothing is sent that would fail over');

# Nothing to read, and nothing that outlives the program.
$path = monitor('reads');
IPC::Run::run([ $program, $gone, '--take', 'test -z "$(cat)"', $path, 'gained_lease' ], '<', \"text\n", '>', \$out, '2>', \$err);
is($out, "the secondary side goes on alone\n", 'a command cannot read what the program could');

# True if that file's process is no more.
sub has_ended
{
	my ($file) = @_;
	my $end = time + 20;

	while (time < $end)
	{
		return 1 if !kill 0, PostgreSQL::Test::Utils::slurp_file($file);
		Time::HiRes::sleep(0.05);
	}
	return 0;
}

sub wait_for_file { my $end = time + 60; until (-s $_[0]) { return 0 if time > $end; Time::HiRes::sleep(0.05); } return 1; }

foreach my $case ([ 'gained_lease' ], [ 'watch', '-i', '0.1', '--if', 'true' ])
{
	my ($event, @options) = @$case;
	my $pid = "$directory/killed_$event.pid";

	$path = monitor("killed_$event");
	my $run = IPC::Run::start([ $program, $gone, @options, '--take', "echo \$\$ >$pid; sleep 600 2>/dev/null; true", $path, $event ], '<', \undef, '>', \$out, '2>', \$err);
	ok(wait_for_file($pid), "$event: killed while the right is being taken");
	$run->signal('KILL');
	# Not after finish(), which would wait for the command itself.
	ok(has_ended($pid), "$event, killed: its command ends, too") or kill 'KILL', PostgreSQL::Test::Utils::slurp_file($pid);
	$run->finish;
}

# Two at once, as notify_command and watch: one after the other.
my @both = map { IPC::Run::start([ $program, $gone, '--take', "echo begin >>$directory/both; sleep 0.5; echo end >>$directory/both", monitor("both$_"), 'gained_lease' ],
	'<', \undef, '>', \my $o, '2>', \my $e) } 0, 1;
$_->finish foreach @both;
is(PostgreSQL::Test::Utils::slurp_file("$directory/both"), "begin\nend\nbegin\nend\n", 'two at once: one after the other');

$path = monitor('none', mode => 'none');
is(run($take, $gone, $path, 'gained_lease'), 0, 'no COLO: nothing to do');
unlike(got($path), qr/lost-heartbeat/, 'no COLO: nothing is sent');

$path = monitor('already', mode => 'none', last => 'secondary');
is(run($take, $gone, $path, 'gained_lease'), 1, 'failed over already');
is($err, "colo_failover.pl: this guest has been failed over already: it was the secondary, and goes on alone\n", 'failed over already: it says so');
unlike(got($path), qr/lost-heartbeat/, 'failed over already: nothing is sent');

$path = monitor('refuses', fails => 'x-colo-lost-heartbeat');
is(run($take, $gone, $path, 'gained_lease'), 1, 'QEMU refuses');
is($err, "colo_failover.pl: this side holds the right to go on, and QEMU has not confirmed that it does: x-colo-lost-heartbeat: made to fail\n$hint\n",
	'QEMU refuses: its reason');

$path = monitor('before_fails', fails => 'nbd-server-stop');
is(run($take, $gone, '--before', '{"execute": "nbd-server-stop"}', $path, 'gained_lease'), 1, 'what comes before fails');
unlike(got($path), qr/lost-heartbeat/, 'what comes before fails: all ends there');

# The human monitor has no errors, only text.
$path = monitor('text', answers => { 'human-monitor-command' => "Error: Node 'x' not found\r\n" });
is(run($take, $gone, '--before', '{"execute": "human-monitor-command", "arguments": {"command-line": "drive_del x"}}', $path, 'gained_lease'),
	1, 'a command of the human monitor fails');
is($err, "colo_failover.pl: $holds: drive_del x: Error: Node 'x' not found\n$hint\n", 'its text is the error');
unlike(got($path), qr/lost-heartbeat/, 'its text is the error: all ends there');

$path = monitor('silent', silent => 'query-colo-status');
is(run($take, $gone, '-t', '0.5', $path, 'gained_lease'), 1, 'QEMU does not answer');
is($err, "colo_failover.pl: QEMU did not answer in time\n", 'QEMU does not answer: it says so');

# A monitor answers one client at a time.
my $first = IO::Socket::UNIX->new(Peer => monitor('in_use')) or die $!;
is(run($take, $gone, '-t', '0.5', "$directory/in_use", 'gained_lease'), 1, 'a monitor that has a client already');
like($err, qr/^colo_failover.pl: \S+in_use does not answer: no QMP monitor, or in use by another client$/, 'it says so');
close $first;

$path = monitor('other', greeting => '220 some other service');
is(run($take, $gone, $path, 'gained_lease'), 1, 'something else listens there');
like($err, qr/does not speak QMP: 220 some other service/, 'something else: it says so');
is(run($take, $gone, "$directory/nobody", 'gained_lease'), 1, 'nobody listens there');
like($err, qr/^colo_failover.pl: no QEMU at \S+nobody: No such file or directory$/, 'nobody: it says so');
is(run($take, $gone, "$directory/" . 'x' x 120, 'gained_lease'), 1, 'a path that no socket can have');
like($err, qr/^colo_failover.pl: the path of the socket is too long/, 'it says so');

foreach my $wrong ([ qr/SOCKET and an event/, $path ], [ qr/there is no event "lost"/, $path, 'lost' ],
	[ qr/gained_lease needs --gone/, $take, $path, 'gained_lease' ],
	[ qr/gained_lease needs --take/, $gone, $path, 'gained_lease' ], [ qr/heartbeat_lost needs --if/, $gone, $take, $path, 'heartbeat_lost' ],
	[ qr/watch needs --if/, $gone, $take, $path, 'watch' ], [ qr/--hand-over is for watch/, $gone, $take, '--hand-over', 'true', $path, 'gained_lease' ],
	[ qr/a command is empty/, $gone, '--take', '', $path, 'gained_lease' ],
	[ qr/a command is empty/, $gone, $take, '--if', ' ', $path, 'gained_lease' ],
	[ qr/begins with "!"/, $take, '--gone', '! ping -c1 x', $path, 'gained_lease' ],
	[ qr/begins with "!": a program that is missing would count/, $gone, $take, '--if', '! ping -c1 x', $path, 'gained_lease' ],
	[ qr/-t must be above 0/, '-t', '0', $path, 'gained_lease' ], [ qr/-i must be above 0/, '-i', '0', $path, 'gained_lease' ],
	[ qr/is not a QMP command/, '--before', 'nonsense', $path, 'gained_lease' ],
	[ qr/Unknown option: x/, '-x', $path, 'gained_lease' ])
{
	my ($pattern, @arguments) = @$wrong;

	is(run(@arguments), 2, "exit status of: @arguments[0 .. $#arguments]");
	like($err, $pattern, 'and what is wrong');
}
is(run('--help'), 0, '--help');
like($out, qr/NAME.*SYNOPSIS.*EXIT STATUS/s, '--help explains');

# An answer that comes while another one is waited for is kept.
my $qmp = Qmp->new(monitor('two_answers'), time + 20);
my $id = $qmp->ask('execute', 'query-status');
$qmp->execute_out_of_band('query-yank');
is(eval { $qmp->answer($id, 'query-status')->{status} }, 'running', 'two answers: the first one is kept');

# ---- watch ----

# Starts it, waits for what it says, ends it; its exit status and all that it said.
sub watched
{
	my ($pattern, @arguments) = @_;
	my $log = "$directory/watch.log";
	my $seconds = $arguments[0] =~ /^\d+$/ ? shift @arguments : 60;

	unlink $log;
	my $watch = IPC::Run::start([ $program, '-i', '0.1', '-t', '3', $take, @arguments, 'watch' ], '<', \undef, '>', $log, '2>&1');
	my $end = time + $seconds;
	until (ref $pattern eq 'CODE' ? $pattern->() : -e $log && PostgreSQL::Test::Utils::slurp_file($log) =~ $pattern) { last if time > $end; Time::HiRes::sleep(0.05); }
	$watch->signal('TERM');
	$watch->finish;
	return ($watch->result(0), PostgreSQL::Test::Utils::slurp_file($log));
}

my $exit = { event => 'COLO_EXIT', data => { mode => 'secondary', reason => 'error' }, timestamp => { seconds => 1, microseconds => 0 } };
$path = monitor('watch_event', events => [$exit]);
my ($status, $said) = watched(qr/goes on alone/, '--if', 'true', $gone, $path);
is($status, 0, 'watch: ends well when it is told to');
like(got($path), qr/x-colo-lost-heartbeat/, 'watch: COLO says that it has lost its peer');
# How often the other side was asked for before the right is taken.
foreach my $case ([ 'COLO says nothing', 3 ], [ 'COLO has lost its peer', 2, events => [$exit] ])
{
	my ($name, $n, @options) = @$case;

	unlink "$directory/asked";
	$path = monitor("watch_gone$n", @options);
	($status, $said) = watched(sub { (() = got($path) =~ /query-colo-status/g) > 8 }, '--if', 'true', '--gone', "echo >>$directory/asked; exit 1",
		'--take', "cp $directory/asked $directory/asked_then", $path);
	is(lines_in('asked_then'), $n, "watch: $name: so many times gone");
	is(scalar(() = got($path) =~ /lost-heartbeat/g), 1, "watch: $name: told, and once");
	is(scalar(() = $said =~ /alone/g), 1, "watch: $name: said once") or diag($said);
}
$path = monitor('watch_not_elected', events => [$exit]);
($status, $said) = watched(qr/not elected/, '--if', 'false', $gone, $path);
unlike(got($path), qr/lost-heartbeat/, 'watch: not elected, and nothing is sent');
$path = monitor('watch_alive', events => [$exit]);
($status, $said) = watched(qr/not gone/, '--if', 'true', '--gone', 'true', $path);
unlike(got($path), qr/lost-heartbeat/, 'watch: not gone, and nothing is sent');
# A host that answers every other time is not gone, whatever COLO says.
foreach my $case ([ 'flaps', 12 ], [ 'flaps_exited', 6, events => [$exit] ])
{
	my ($name, $n, @options) = @$case;

	unlink "$directory/flap";
	($status, $said) = watched(qr/QEMU has ended/, '--if', 'true', '--gone', "if test -e $directory/flap; then rm $directory/flap; exit 1; else : >$directory/flap; fi",
		monitor($name, ends_after => $n, @options));
	unlike(got("$directory/$name"), qr/lost-heartbeat/, "watch: $name: there, gone, there: nothing is sent");
}

# A QEMU that waits for a lost host hears two commands only.
foreach my $mode ('primary', 'secondary')
{
	$path = monitor("watch_stuck_$mode", mode => $mode, stuck_after => 2, answers => { 'query-yank' => $primary{'query-yank'} });
	($status, $said) = watched(qr/goes on alone/, '--if', 'true', $gone, $path);
	like($said, qr/does not answer while COLO runs.*goes on alone/s, "watch: $mode is stuck, and freed");
}
# No connection is broken unless all conditions hold, stuck or not.
foreach my $case ([ 'not elected', qr/not elected/, $gone, '--if', 'false' ], [ 'not gone', qr/never/, '--gone', 'true', '--if', 'true' ],
	[ 'may not', qr/may not go on/, $gone, '--if', 'true', '--take', 'false' ])
{
	my ($name, $words, @options) = @$case;

	foreach my $stuck (undef, 1)
	{
		(my $socket = "yank $name " . ($stuck // '')) =~ s/\W+/_/g;
		$path = monitor($socket, mode => 'primary', stuck_after => $stuck, answers => \%primary);
		($status, $said) = watched($words, $name eq 'not gone' ? 4 : 20, @options, $path);
		like($said, $words, "watch: $name: it says so") if $name ne 'not gone';
		unlike(got($path), qr/yank|lost-heartbeat/, "watch: $name: no connection is broken" . ($stuck ? ' of one that is stuck' : ''));
	}
}
# The one connection that a stuck QEMU hears is kept.
$path = monitor('stuck_refuses', mode => 'primary', stuck_after => 2, fails_once => 'yank', answers => { 'query-yank' => $primary{'query-yank'} });
($status, $said) = watched(qr/goes on alone/, '--if', 'true', $gone, $path);
like($said, qr/holds the right to go on, and QEMU cannot be freed: yank: made to fail.*goes on alone/s, 'watch: QEMU cannot be freed: tried again') or diag($said);
$path = monitor('stuck_before', mode => 'primary', stuck_after => 2);
($status, $said) = watched(sub { lines_in('stuck_looks') > 6 }, '--if', 'true', '--gone', "echo >>$directory/stuck_looks; exit 1", '--before', '{"execute": "stop"}',
	'--take', ": >$directory/stuck_took", $path);
like($said, qr/QEMU does not answer, and --before is in place of what would free it/, 'watch: stuck, with --before: it says so');
is(scalar(() = got($path) =~ /qmp_capabilities/g), 1, 'watch: stuck, with --before: the connection is kept');
ok(!-e "$directory/stuck_took", 'watch: stuck, with --before: nothing is taken');

# The other side is there again when it is asked the third time.
$path = monitor('stuck_there', mode => 'primary', stuck_after => 1);
($status, $said) = watched(sub { lines_in('stuck_there_looks') > 4 }, '--if', 'true', '--take', ": >$directory/stuck_there_took",
	'--gone', "echo >>$directory/stuck_there_looks; test \$(wc -l <$directory/stuck_there_looks) -ge 3 || exit 1", $path);
cmp_ok(lines_in('stuck_there_looks'), '>', 4, 'watch: stuck, and the other side is there again: it goes on to look');
ok(!-e "$directory/stuck_there_took", 'watch: stuck, and the other side is there again: nothing is taken');
unlike(got($path), qr/yank/, 'watch: stuck, and the other side is there again: nothing is broken');

# It does not spin, and what it has started ends with it, or is not waited for.
$path = monitor('watch_spins', events => [$exit]);
($status, $said) = watched(qr/never/, 2, '--if', 'true', '--gone', "echo >>$directory/spins; true", $path);
cmp_ok(lines_in('spins'), '<', 60, 'watch: it waits between its looks');
$path = monitor('watch_ended');
($status, $said) = watched(sub { -e "$directory/taking" }, '--if', 'true', $gone, '--take', ": >$directory/taking; sleep 2", $path);
ok(-e "$directory/taking", 'watch: ended while the right is being taken');
Time::HiRes::sleep(2.5);
unlike(got($path), qr/lost-heartbeat/, 'watch: ended while the right is being taken: nothing is sent later');
$path = monitor('watch_left');
($status, $said) = watched(sub { lines_in('left') > 1 }, 30, '--if', 'true', $gone, '--take', "echo >>$directory/left; sleep 300 & exit 1", $path);
cmp_ok(lines_in('left'), '>', 1, 'watch: what is left of a command is not waited for');

# This side's QEMU ends: the third question after mode was known.
my $ended = qr/QEMU has ended while COLO ran/;
foreach my $case ([ 'elected', [ '--if', 'true' ], qr/this host is elected: the other side may not go on\. Hand over/ ],
	[ 'elected, with a command', [ '--if', 'true', '--hand-over', "echo handed >$directory/handed" ], qr/was elected: "echo handed[^"]*" has exit status 0/ ],
	[ 'not elected', [ '--if', 'false' ], qr/not elected, so the other side can go on/ ])
{
	my ($name, $options, $words) = @$case;

	(my $socket = "ends $name") =~ s/\W+/_/g;
	$path = monitor($socket, mode => 'primary', ends_after => 3);
	($status, $said) = watched($words, @$options, '--gone', 'true', $path);
	like($said, $words, "watch: QEMU ends, $name");
}
ok(-e "$directory/handed", 'watch: the command was run');

# Until it is clear who goes on; each outcome is said once.
my @told = (event => 'SHUTDOWN', data => { guest => JSON::PP::false, reason => 'host-qmp-quit' }, timestamp => { seconds => 1, microseconds => 0 });
foreach my $case ([ 'told', events => [ {@told} ], ends_after => 3 ], [ 'told at last', last_words => encode_json({@told}), ends_after => 3 ])
{
	my ($name, @options) = @$case;

	(my $socket = "ends $name") =~ s/\W+/_/g;
	$path = monitor($socket, mode => 'primary', @options);
	($status, $said) = watched(qr/told to end.*no QEMU/s, '--if', 'true', '--hand-over', ": >$directory/handed_told", '--gone', 'true', $path);
	like($said, qr/^colo_failover.pl: QEMU was told to end$/m, "watch: QEMU was $name to end");
	ok(!-e "$directory/handed_told", "watch: QEMU was $name to end: nothing is handed over");
}
# The third time --if knows it, the third time --hand-over works.
my $third = 'echo >>DIR/third; test $(wc -l <DIR/third) -ge 3';
(my $knows = "$third || exit 2") =~ s/DIR\/third/$directory\/knows/g;
(my $works = $third) =~ s/DIR\/third/$directory\/works/g;
$path = monitor('ends_third', mode => 'primary', ends_after => 3);
($status, $said) = watched(qr/has exit status 0.*no QEMU/s, '--if', $knows, '--hand-over', $works, '--gone', 'true', $path);
like($said, qr/\A[^\n]*QEMU has ended while COLO ran\n[^\n]*not known whether this side is elected: [^\n]* has exit status 2\n[^\n]*was elected: [^\n]* has exit status 1\n[^\n]*was elected: [^\n]* has exit status 0\n[^\n]*no QEMU at/,
	'watch: handed over once --if is known and the command works, each outcome said once');
is(lines_in('works'), 3, 'watch: handed over: the command is not run again');
$path = monitor('ends_other', mode => 'primary', ends_after => 3);
($status, $said) = watched(qr/other side can go on.*no QEMU/s, '--if', "echo >>$directory/other_asked; exit 1", '--hand-over', ": >$directory/handed_other", '--gone', 'true', $path);
is(lines_in('other_asked'), 1, 'watch: another one is elected: asked once');
ok(!-e "$directory/handed_other", 'watch: another one is elected: nothing is handed over');
# It ends when the failover asks it, or when there is no connection.
foreach my $last_words (undef, 'no QMP')
{
	$path = monitor('ends_between', mode => 'primary', ends_after => 2, last_words => $last_words);
	($status, $said) = watched(qr/was elected/, 20, '--if', 'true', '--hand-over', 'true', $last_words ? ('--gone', 'true') : $gone, $path);
	like($said, qr/QEMU has ended while COLO ran; this host was elected/, 'watch: QEMU ends ' . ($last_words ? 'while there is no connection' : 'in the failover'));
}
# One that has gone on alone may end.
$path = monitor('ends_alone', mode => 'primary', ends_after => 3);
($status, $said) = watched(qr/no QEMU/, '--if', 'true', $gone, $path);
like($said, qr/the primary side goes on alone\n[^\n]*QEMU has closed the connection\n[^\n]*no QEMU/, 'watch: QEMU ends after a failover');
$path = monitor('ends_back', mode => 'primary', ends_after => 3);
my $new_path;
($status, $said) = watched(
	sub {
		my $log = "$directory/watch.log";
		my $text = -e $log ? PostgreSQL::Test::Utils::slurp_file($log) : '';
		$new_path //= monitor('ends_back', mode => 'none') if $text =~ /was elected/;
		return $text =~ /QEMU is back/;
	}, '--if', 'true', '--hand-over', "echo >>$directory/back; false", '--gone', 'true', $path);
like($said, qr/QEMU is back/, 'watch: QEMU is back');

# What cannot be run ends nothing.  The limit does not hold for root.
SKIP:
{
	skip 'root has no limit of processes', 4 if $> == 0;
	$path = monitor('no_fork');
	my $watch = IPC::Run::start([ 'bash', '-c', 'ulimit -u 1; exec "$@"', 'bash', $program, '-i', '0.1', $take, $gone, '--if', 'true', $path, 'watch' ],
		'<', \undef, '>', \$out, '2>', \$err);
	my $end = time + 60;
	$watch->pump_nb, Time::HiRes::sleep(0.05) until $err =~ /\n/ || time > $end;
	$end = time + 1;
	$watch->pump_nb, Time::HiRes::sleep(0.05) until time > $end;
	$watch->signal('TERM');
	$watch->finish;
	is($watch->result(0), 0, 'watch: no process can be started: it goes on');
	like($err, qr/\Acolo_failover.pl: fork: [^\n]*\n\z/, 'watch: no process can be started: said once');
	cmp_ok(scalar(() = got($path) =~ /query-colo-status/g), '>', 2, 'watch: no process can be started: it goes on to ask');
	is(scalar(() = got($path) =~ /qmp_capabilities/g), 1, 'watch: no process can be started: the connection is kept');
}

# ---- bringing it up ----

my $start = "$FindBin::RealBin/../../script/examples/colo_start.pl";

sub start
{
	my $has_release = grep { /^--(no-)?release/ } @_;

	IPC::Run::run([ $start, $has_release ? () : '--no-release', @_ ], '<', \undef, '>', \$out, '2>', \$err);
	return $? >> 8;
}

my %new = ('query-status' => { status => 'paused' });
my %waiting = ('query-status' => { status => 'inmigrate' });
my $secondary = monitor('start_s', mode => 'none', answers => \%waiting);
$path = monitor('start_p', mode => 'none', answers => \%new);
is(start('-t', '2', $path, $secondary, '10.0.0.12'), 1, 'COLO does not begin to run');
is($err, "colo_start.pl: COLO does not run after 2 s; the migration is \"none\"\nhint: run this again to go on waiting\n", 'it says so');
like(got($secondary), qr/nbd-server-start nbd-server-add:parent0/, 'the secondary exports its disk');
like(got($path), qr/blockdev-add:replication0.* x-blockdev-change:replication0 migrate-set-capabilities migrate-set-parameters migrate:tcp:10.0.0.12:9998/,
	'the primary has it as a second copy, and migrates');

$secondary = monitor('release_s', mode => 'none', answers => \%waiting);
$path = monitor('release_p', mode => 'none', answers => \%new);
is(start('--release', 'exit 1', $path, $secondary, '10.0.0.12'), 1, '--release fails');
like($err, qr/^colo_start.pl: "exit 1" has exit status 1\nhint: nothing was migrated/, 'it says so');
unlike(got($path), qr/migrate:/, 'and nothing is migrated');
$secondary = monitor('release_hangs_s', mode => 'none', answers => \%waiting);
$path = monitor('release_hangs_p', mode => 'none', answers => \%new);
is(start('-t', '5', '--release', "sleep 60 2>/dev/null & echo \$! >$directory/release.pid; wait", $path, $secondary, '10.0.0.12'), 1, '--release hangs');
like($err, qr/^colo_start.pl: ".*" did not end in time\nhint: nothing was migrated/, '--release hangs: it says so');
ok(has_ended("$directory/release.pid"), '--release hangs: what it has started is ended');

# What was begun is gone on with, and what is not as this run wants it is refused.
$secondary = monitor('under_way_s', mode => 'none', answers => \%waiting);
$path = monitor('under_way_p', mode => 'none', answers => { %new, 'query-migrate' => { status => 'active' } });
is(start('-t', '2', $path, $secondary, '10.0.0.12'), 1, 'a migration is under way');
is($out, "primary: migrates already\n", 'it says so');
unlike(got($path) . got($secondary), qr/nbd|migrate:|blockdev/, 'and nothing is done but waiting');
my $copy = { 'node-name' => 'replication0', file => 'json:{}' };
foreach my $case ([ 'the same', 'nbd://10.0.0.12:9999/parent0', qr/the migration is "none"/ ],
	[ 'another host', 'nbd://10.0.0.11:9999/parent0', qr{replication0 from an earlier run, connected to nbd://10.0.0.11:9999/parent0, not to nbd://10.0.0.12:9999/parent0\nhint: } ],
	[ 'another port', 'nbd://10.0.0.12:9990/parent0', qr/from an earlier run/ ], [ 'another disk', 'nbd://10.0.0.12:9999/parent1', qr/from an earlier run/ ])
{
	my ($name, $address, $words) = @$case;

	(my $socket = "copy $name") =~ s/\W+/_/g;
	$secondary = monitor("${socket}_s", mode => 'none', answers => \%waiting);
	$path = monitor("${socket}_p", mode => 'none', answers => { %new, 'query-named-block-nodes' => [ $copy, { 'node-name' => 'nbd0', file => $address } ] });
	is(start('-t', '2', $path, $secondary, '10.0.0.12'), 1, "a copy from an earlier run, $name");
	like($err, $words, "a copy from an earlier run, $name: it says so");
}

$secondary = monitor('runs_s', mode => 'secondary');
$path = monitor('runs_p', mode => 'primary');
is(start('--release', ": >$directory/released", $path, $secondary, '10.0.0.12'), 0, 'COLO runs already');
ok(!-e "$directory/released", 'nothing is given back while it runs');
is($out, "COLO runs already\n", 'it says so');
unlike(got($path) . got($secondary), qr/nbd|migrate |blockdev/, 'and nothing is done');

foreach my $wrong ([ qr/the primary's guest is running, so the disks can differ\nhint: send "stop", copy the disk/, { mode => 'none' }, { mode => 'none', answers => \%waiting } ],
	[ qr/the secondary does not wait for a guest, it is "running"/, { mode => 'none', answers => \%new }, { mode => 'none' } ],
	[ qr/the sockets are swapped: COLO runs/, { mode => 'secondary' }, { mode => 'none', answers => \%waiting } ],
	[ qr/the sockets are swapped: COLO runs/, { mode => 'none', answers => \%new }, { mode => 'primary' } ],
	[ qr/the sockets are swapped: the first QEMU waits for a guest, as a secondary does, and the second one is "paused"\nhint: PRIMARY_SOCKET comes first/,
		{ mode => 'none', answers => \%waiting }, { mode => 'none', answers => \%new } ],
	[ qr/both QEMUs wait for a guest: neither is a primary\nhint: /, { mode => 'none', answers => \%waiting }, { mode => 'none', answers => \%waiting } ],
	[ qr/the primary is in COLO, but not with this secondary, which waits for a guest\nhint: /, { mode => 'primary', answers => { 'query-migrate' => { status => 'colo' } } },
		{ mode => 'none', answers => \%waiting } ],
	[ qr/the secondary has gone on alone\nhint: end the primary/, { mode => 'primary', answers => { 'query-migrate' => { status => 'colo' } } },
		{ mode => 'none', last => 'secondary', answers => { 'query-migrate' => { status => 'completed' } } } ],
	[ qr/the secondary has an NBD server already, perhaps at another port\nhint: send "nbd-server-stop"/, { mode => 'none', answers => \%new },
		{ mode => 'none', answers => \%waiting, fails => 'nbd-server-start', words => 'NBD server already running' } ],
	[ qr/the primary has been through a failover already/, { mode => 'none', last => 'primary' }, { mode => 'none', answers => \%waiting } ],
	[ qr/nbd-server-add: made to fail/, { mode => 'none', answers => \%new }, { mode => 'none', answers => \%waiting, fails => 'nbd-server-add' } ],
	[ qr/blockdev-add: made to fail\nhint: if an earlier run had another --nbd-port/, { mode => 'none', answers => \%new, fails => 'blockdev-add' }, { mode => 'none', answers => \%waiting } ],
	[ qr/the migration has ended, "failed": no route\nhint: end the secondary/, { mode => 'none', answers => { %new, 'query-migrate' => { status => 'failed', 'error-desc' => 'no route' } } },
		{ mode => 'none', answers => \%waiting } ])
{
	my ($pattern, $p, $s) = @$wrong;
	my $n = ++$names;

	is(start('-t', '5', monitor("p$n", %$p), monitor("s$n", %$s), '10.0.0.12'), 1, "exit status where $pattern");
	like($err, $pattern, 'and what is wrong');
	unlike(got("$directory/p$n"), qr/migrate:/, 'it does not migrate') unless $pattern =~ /migration/;
}
foreach my $wrong ([ qr/PRIMARY_SOCKET, SECONDARY_SOCKET and SECONDARY_HOST/, 'a', 'b' ], [ qr/the two sockets are the same/, 'a', 'a', 'h' ],
	[ qr/--release COMMAND, or --no-release/, '--release', 'true', '--no-release', 'a', 'b', 'h' ], [ qr/--release: the command is empty/, '--release', ' ', 'a', 'b', 'h' ],
	[ qr/--nbd-port: 70000 is no port/, '--nbd-port', 70000, 'a', 'b', 'h' ], [ qr/-t must be above 0/, '-t', 0, 'a', 'b', 'h' ])
{
	my ($pattern, @arguments) = @$wrong;

	is(start(@arguments), 2, "exit status of: @arguments");
	like($err, $pattern, 'and what is wrong');
}
IPC::Run::run([ $start, 'a', 'b', 'h' ], '<', \undef, '>', \$out, '2>', \$err);
like($err, qr/--release COMMAND, or --no-release if nothing has to be given back/, 'neither --release nor --no-release');
is(start('--help'), 0, 'colo_start.pl --help');
like($out, qr/NAME.*SYNOPSIS.*EXIT STATUS/s, 'colo_start.pl --help explains');

# ---- as notify_command: two hosts and a third member that only votes ----

my $cluster = PgLeaderManaged->new('colo', 3, settings => { %PgLeaderCluster::STEADY, manage => 'off' });
my %socket;

foreach my $id (0, 1)
{
	$socket{$id} = monitor("node$id", mode => $id == 0 ? 'primary' : 'secondary');
	# The other side is lost when its server no longer is there: a test's way to know.
	$cluster->set($id, notify_command => "$program --gone \"test ! -e $directory/lost\" --take true -t 3 $socket{$id} %e");
}
$cluster->set(2, candidate => 'off');
$cluster->start_all;
my ($leader, $term) = $cluster->wait_for_leader('one leader');
my $other = 1 - $leader;

is($cluster->sql($leader, "SELECT pg_leader_transfer($other)"), $other, 'a planned hand-over');
$cluster->wait_for_leader('after the hand-over');
($leader, $other) = ($other, $leader);
$cluster->wait_for_log($leader, qr/notify_command failed for gained_lease/);
unlike(got($socket{0}) . got($socket{1}), qr/lost-heartbeat/, 'nobody is told to go on alone: nothing is lost');

$cluster->kill_all($leader);
PostgreSQL::Test::Utils::append_to_file("$directory/lost", '');
$cluster->wait_until('the elected side is told', sub { got($socket{$other}) =~ /x-colo-lost-heartbeat/ });
unlike(got($socket{$leader}), qr/lost-heartbeat/, 'and no other');
is(scalar(() = got($socket{$other}) =~ /x-colo-lost-heartbeat/g), 1, 'once');

$cluster->check_history;
$cluster->stop_all;
done_testing();
