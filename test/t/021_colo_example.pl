# test/t/021_colo_example.pl
#	  script/examples/colo_failover.pl against a monitor that speaks QMP as QEMU
#	  does, and run by pg_leader.notify_command: the elected side alone is told.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use IO::Socket::UNIX;
use JSON::PP;
use PgLeaderCluster;
use Test::More;
use Time::HiRes qw(time);

my $program = "$FindBin::RealBin/../../script/examples/colo_failover.pl";
my $directory = PostgreSQL::Test::Utils::tempdir_short();
my @monitors;
my $owner = $$;

END { if ($$ == $owner) { local $?; kill 'KILL', @monitors; waitpid($_, 0) foreach @monitors; } }

# A monitor at that socket that writes the commands it gets to SOCKET.got.
#
#	mode		of COLO
#	fails		a command that is refused
#	silent		a command that is not answered
#	greeting	instead of QMP's
sub monitor
{
	my ($name, %options) = @_;
	my $path = "$directory/$name";
	my $listener = IO::Socket::UNIX->new(Local => $path, Listen => 5) or die "$path: $!";
	my $pid = fork() // die "fork: $!";

	if ($pid)
	{
		push @monitors, $pid;
		close $listener;
		return $path;
	}
	$SIG{PIPE} = 'IGNORE';
	while (my $client = $listener->accept)
	{
		$client->autoflush(1);
		print $client $options{greeting} //
		  '{"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}}, "capabilities": ["oob"]}}', "\r\n";
		my $negotiated = 0;
		while (my $line = <$client>)
		{
			my $request = eval { decode_json($line) };
			my $command = $request->{execute} // '';
			my $answer = { return => {} };

			open(my $got, '>>', "$path.got") or die $!;
			print $got "$command\n";
			close $got;
			next if $command eq ($options{silent} // '');
			if (!$negotiated && $command ne 'qmp_capabilities')
			{
				$answer = { error => { class => 'CommandNotFound', desc => 'Expecting capabilities negotiation' } };
			}
			elsif ($command eq ($options{fails} // ''))
			{
				$answer = { error => { class => 'GenericError', desc => 'made to fail' } };
			}
			elsif ($command eq 'qmp_capabilities') { $negotiated = 1; }
			elsif ($command eq 'query-colo-status')
			{
				$answer = { return => { mode => $options{mode} // 'secondary', 'last-mode' => 'none', reason => 'none' } };
			}
			$answer->{id} = $request->{id} if exists $request->{id};
			# Events come at any time, also between a command and its answer.
			print $client '{"timestamp": {"seconds": 1, "microseconds": 0}, "event": "RESUME"}', "\r\n",
			  encode_json($answer), "\r\n";
		}
	}
	exit 0;
}

sub got
{
	my ($path) = @_;

	return '' unless -e "$path.got";
	return join ' ', split /\n/, PostgreSQL::Test::Utils::slurp_file("$path.got");
}

my ($out, $err);

sub run
{
	my (@arguments) = @_;

	IPC::Run::run([ $program, @arguments ], '<', \undef, '>', \$out, '2>', \$err);
	return $? >> 8;
}

# ---- by itself ----

my $all = 'qmp_capabilities query-colo-status x-colo-lost-heartbeat';
my $path = monitor('secondary');
is(run($path, 'lost_lease') . run($path, 'new_leader'), '00', 'events that are no reason to act');
is(got($path), '', 'nothing is sent for them');
is(run($path, 'gained_lease'), 0, 'gained_lease') or diag($err);
is($out, "the secondary side goes on alone\n", 'it says what it has done');
is(got($path), $all, 'the heartbeat is told as lost');

$path = monitor('primary', mode => 'primary');
is(run('--before', '{"execute": "nbd-server-stop"}', '--if', 'true', $path, 'heartbeat_lost'), 0, 'heartbeat_lost, elected');
is(got($path), 'qmp_capabilities query-colo-status nbd-server-stop x-colo-lost-heartbeat', 'what comes before is sent before');

$path = monitor('not_elected', mode => 'primary');
is(run('-t', '0.5', '--if', 'false', $path, 'heartbeat_lost'), 1, 'heartbeat_lost, not elected');
like($err, qr/^colo_failover.pl: not elected, or nothing is lost: "false" did not succeed in time$/, 'it says so');
is(got($path), 'qmp_capabilities query-colo-status', 'nothing is sent that would fail over');

# In time, or not at all: one that hangs, and one that succeeds too late.
$path = monitor('if_hangs');
my $began = time;
is(run('-t', '0.5', '--if', 'sleep 60; true', $path, 'heartbeat_lost'), 1, '--if hangs');
cmp_ok(time - $began, '<', 30, '--if hangs: it is not waited for');
like($err, qr/^colo_failover.pl: not elected, or nothing is lost: "sleep 60; true" did not succeed in time$/, '--if hangs: it says so');
is(run('-t', '0.5', '--if', 'sleep 0.52; true', $path, 'heartbeat_lost'), 1, '--if succeeds when the time is over');
unlike(got($path), qr/lost-heartbeat/, '--if hangs, or is late: nothing is sent that would fail over');

# What was true before the commands of --before must still be true after them.
$path = monitor('if_once');
my $once = "$directory/once";
is(run('--if', "test ! -e $once && : >$once", '--before', '{"execute": "nbd-server-stop"}', $path, 'heartbeat_lost'),
	1, '--if is true, and after --before not any more');
like($err, qr/^colo_failover.pl: not any more: .* failed after --before$/, 'it says so');
is(got($path), 'qmp_capabilities query-colo-status nbd-server-stop', 'nothing is sent that would fail over');

$path = monitor('none', mode => 'none');
is(run($path, 'gained_lease'), 0, 'no COLO: nothing to do');
unlike(got($path), qr/lost-heartbeat/, 'no COLO: nothing is sent');

$path = monitor('refuses', fails => 'x-colo-lost-heartbeat');
is(run($path, 'gained_lease'), 1, 'QEMU refuses');
is($err, "colo_failover.pl: x-colo-lost-heartbeat: made to fail\n", 'QEMU refuses: its reason');

$path = monitor('before_fails', fails => 'nbd-server-stop');
is(run('--before', '{"execute": "nbd-server-stop"}', $path, 'gained_lease'), 1, 'what comes before fails');
unlike(got($path), qr/lost-heartbeat/, 'what comes before fails: all ends there');

$path = monitor('silent', silent => 'query-colo-status');
is(run('-t', '0.5', $path, 'gained_lease'), 1, 'QEMU does not answer');
is($err, "colo_failover.pl: QEMU did not answer in time\n", 'QEMU does not answer: it says so');

$path = monitor('other', greeting => '220 some other service');
is(run($path, 'gained_lease'), 1, 'something else listens there');
like($err, qr/does not speak QMP: 220 some other service/, 'something else: it says so');
is(run("$directory/nobody", 'gained_lease'), 1, 'nobody listens there');

foreach my $wrong ([ qr/SOCKET and EVENT/, $path ], [ qr/there is no event "lost"/, $path, 'lost' ],
	[ qr/heartbeat_lost needs --if/, $path, 'heartbeat_lost' ], [ qr/-t must be above 0/, '-t', '0', $path, 'gained_lease' ],
	[ qr/is not a QMP command/, '--before', 'nonsense', $path, 'gained_lease' ],
	[ qr/Unknown option: x/, '-x', $path, 'gained_lease' ])
{
	my ($pattern, @arguments) = @$wrong;

	is(run(@arguments), 2, "exit status of: @arguments[0 .. $#arguments]");
	like($err, $pattern, 'and what is wrong');
}
is(run('--help'), 0, '--help');
like($out, qr/NAME.*SYNOPSIS.*EXIT STATUS/s, '--help explains');

# ---- as notify_command: two hosts and a third member that only votes ----

my $cluster = PgLeaderCluster->new('colo', 3, settings => { %PgLeaderCluster::STEADY });
my %socket;

foreach my $id (0, 1)
{
	$socket{$id} = monitor("node$id", mode => $id == 0 ? 'primary' : 'secondary');
	# The other side is lost when its server no longer is there: a test's way to know.
	$cluster->set($id, notify_command => "$program --if \"test -e $directory/lost\" -t 0.3 $socket{$id} %e");
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
