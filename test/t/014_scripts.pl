# test/t/014_scripts.pl
#	  The scripts refuse a configuration that cannot work, and say so when a
#	  server runs whose member does not take part.  The election alone; with managed nodes
#	  it is 076_managed_nodes.pl.

use strict;
use warnings;

use FindBin;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes ();

my $scripts = "$FindBin::RealBin/../../script";
my $dir = PostgreSQL::Test::Utils::tempdir_short;
my $config = "$dir/test.config";
my ($tcp, $udp) = map { PostgreSQL::Test::Cluster::get_free_port() } 1 .. 2;
my %good = (
	N_NODES => 1,
	IPv4_CLUSTER => "127.0.0.1:$udp",
	CLUSTER_NAME => 'scripts',
	PGLD_DB_PATHNAME_PREFIX => "$dir/node",
	PGLD_STATE_DIRECTORY => "$dir/state",
	PGLD_SOCKET_DIRECTORY => "$dir/s",
	PGLD_START_PORT => $tcp,
	PGLD_USER => 'postgres',
	PGLD_MANAGE => 'off',
	MIN_TIMEOUT => 200,
	MAX_TIMEOUT => 400,
	HEARTBEAT_TIMEOUT => 50,
	ENABLE_LOG => 'off');
my $launched = 0;

sub write_config
{
	my ($more, %changed) = @_;
	my %values = (%good, %changed);
	open(my $file, '>', $config) or die "$config: $!";
	print $file map { "$_=\"$values{$_}\"\n" } sort keys %values;
	print $file "$more\n";
	close $file;
	return;
}

sub script
{
	my ($name, $status, $output, $errors, @arguments) = @_;
	my $script = shift @arguments;
	command_checks_all([ "$scripts/$script", '-c', $config, @arguments ],
		$status, [$output], [$errors], $name);
	return;
}

# a configuration that cannot work: refused, with the reason, and nothing launched
sub refused
{
	my ($reason, $more, %changed) = @_;
	write_config($more, %changed);
	script("refused: $reason", 2, qr/^$/, qr/^nodelaunch\.sh: .*\Q$reason\E/, 'nodelaunch.sh', '--new', 0);
	return;
}

refused('a command in it ends the shell', 'exit 0');
refused('a command in it fails', 'false');
refused('MIN_TIMEOUT must be a number from 5', '', MIN_TIMEOUT => 4);
refused('MAX_TIMEOUT must be a number from 6', '', MIN_TIMEOUT => '', MAX_TIMEOUT => 600001);
refused('HEARTBEAT_TIMEOUT must be a number from 1 to 60000', '', HEARTBEAT_TIMEOUT => 60001);
refused('MIN_TIMEOUT (400 ms) must be less than', '', MIN_TIMEOUT => 400);
refused('ends in a comma', '', IPv4_CLUSTER => '127.0.0.1:1,');
refused('is not an IPv4 address', '', IPv4_CLUSTER => '127.0.0.999:1');
refused('is not an IPv4 address', '', IPv4_CLUSTER => '127.1:1');
refused('is not the address of one member', '', IPv4_CLUSTER => '0.0.0.0:1');
refused('is not the address of one member', '', IPv4_CLUSTER => '239.0.0.1:1');
refused('the address Host:1 is there twice', '', N_NODES => 2, IPv4_CLUSTER => 'host:1, Host:1');
refused('all entries have an id, or none', '', N_NODES => 2, IPv4_CLUSTER => '0=a:1, b:1');
refused('node id 1 is there twice', '', N_NODES => 2, IPv4_CLUSTER => '1=a:1, 1=b:1');
refused('N_NODES is 2, but', '', N_NODES => 2);
refused('PGLD_MANAGE must be on or off', '', PGLD_MANAGE => 'maybe');
is_deeply([ glob "$dir/node* $dir/stat*" ], [], 'nothing was made');

# a place that is not ours: found out before anything is built
mkdir "$dir/closed", 0555;
write_config('', PGLD_DB_PATHNAME_PREFIX => "$dir/closed/quick/node");
script('quick start: no place for the nodes', 1, qr/^$/,
	qr/^quickstart\.sh: user \w+ cannot make files in \Q$dir\E\/closed\/quick\nhint: name another place/, 'quickstart.sh');

# a node
write_config('');
$launched = 1;
script('launched', 0, qr/^node 0: runs, port $tcp,/m, qr/^$/, 'nodelaunch.sh', '--new', 0);
script('watched', 0, qr/^node 0  \w+ .*term \d+  leader (0|-)  lease/, qr/^$/, 'watchpsql.sh', '--once', 0);
script('launched again', 0, qr/runs already/, qr/^$/, 'nodelaunch.sh', 0);
script('a half-typed command stops nothing', 2, qr/^$/, qr/NODE_ID is missing/, 'nodestop.sh');
script('still there', 0, qr/^node 0/, qr/^$/, 'watchpsql.sh', '--once', 0);

# killed: at once, when its process may not be reaped yet, it does not run
my ($postmaster) = split /\n/, slurp_file("$dir/node0/postmaster.pid");
kill 'KILL', $postmaster;
script('killed: does not run', 0, qr/^node 0: does not run$/, qr/^$/, 'nodestop.sh', 'ALL');
script('killed: no answer', 1, qr/^node 0: not reachable/, qr/^$/, 'watchpsql.sh', '--once', 0);
script('killed: launched', 0, qr/^node 0: runs, /m, qr/^$/, 'nodelaunch.sh', 0);

# The quick start's removal, with a "make" that only says that it was called: a library
# that the node above runs with stays.
sub quickstart_down
{
	my ($name, $output, $errors, $uninstalls) = @_;
	local $ENV{PATH} = "$dir/bin:$ENV{PATH}";

	mkdir $_ foreach "$dir/bin", "$dir/quick", "$dir/quick/state";
	unlink "$dir/made";
	append_to_file("$dir/quick/quickstart.note", "built=x\n");
	append_to_file("$dir/quick/state/node-0.events$_", 'x') foreach '', '.bad', '.bad.1', '.bad.9';
	append_to_file("$dir/bin/make", "#!/bin/sh\necho \"\$*\" >$dir/made\n") unless -e "$dir/bin/make";
	chmod 0755, "$dir/bin/make";
	write_config('', map { $_ => $good{$_} =~ s/^\Q$dir\E/$dir\/quick/r } grep { /PATHNAME|DIRECTORY/ } keys %good);
	script("quickstart --down: $name", 0, $output, $errors, 'quickstart.sh', '--down');
	is(-e "$dir/made" ? 1 : 0, $uninstalls, "quickstart --down: $name: uninstalled or not");
	ok(!-e "$dir/quick", "quickstart --down: $name: all else is gone");
	write_config('');
	return;
}
($postmaster) = split /\n/, slurp_file("$dir/node0/postmaster.pid");
quickstart_down('another server runs with the library', qr/removed the nodes' files/,
	qr/^quickstart\.sh: warning: the extension stays in .*: servers that .* run with it \(PIDs $postmaster\); "make uninstall"/, 0);

# a server that runs without taking part
sub damaged
{
	my ($name) = @_;
	my $out = qr/does not take part in elections: the state file ".*" is damaged/;
	script("damaged state file: $name", 1, qr/^node 0: runs/, $out, 'nodelaunch.sh', 0);
	return;
}

script('stopped', 0, qr/^node 0: stopped$/, qr/^$/, 'nodestop.sh', 0);
quickstart_down('nobody runs with the library', qr/^uninstalled pg_leader/m, qr/^$/, 1);
my $other = fork // die "fork: $!";
if ($other == 0)
{
	exec('sleep', 60) or POSIX::_exit(1);
}
append_to_file("$dir/node0/postmaster.pid", "$other\n");
script("killed, and its number is another process's: does not run", 0, qr/^node 0: does not run$/,
	qr/^$/, 'nodestop.sh', 0);
kill 'KILL', $other;
waitpid $other, 0;
is($?, 9, 'which goes on');
unlink "$dir/node0/postmaster.pid";
open(my $state, '+<:raw', "$dir/state/node-0.state") or die $!;
my $kept = do { local $/ = undef; <$state> };
foreach my $slot (0, 4096)
{
	seek $state, $slot + 20, 0;
	print $state 'damage';
}
close $state;
damaged('launched');
damaged('launched again');
script('damaged state file: watched', 0, qr/^node 0  not taking part: the state file .* is damaged/,
	qr/^$/, 'watchpsql.sh', '--once', 0);
script('stopped', 0, qr/^node 0: stopped$/, qr/^$/, 'nodestop.sh', 'ALL');
open($state, '>:raw', "$dir/state/node-0.state") or die $!;
print $state $kept;
close $state;

# a time that is not given is the module's default, and only the server knows it
write_config('', MIN_TIMEOUT => 600, MAX_TIMEOUT => '');
script('timeouts that contradict a default', 1, qr/^node 0: runs/,
	qr/does not take part in elections: the minimum timeout/, 'nodelaunch.sh', 0);
write_config('');
script('mended by a reload', 0, qr/settings have changed/, qr/^$/, 'nodelaunch.sh', 0);
script('stopped', 0, qr/^node 0: stopped$/, qr/^$/, 'nodestop.sh', 'ALL');

# a secret
my $secret = "$dir/secret";

sub make_secret
{
	my ($name, $status, $output, $errors, @arguments) = @_;
	command_checks_all([ "$scripts/make_secret.sh", @arguments ], $status, [$output], [$errors], "secret: $name");
	return;
}

make_secret('no file', 2, qr/^$/, qr/FILE is missing/);
make_secret('a bad key id', 2, qr/^$/, qr/from 1 to 255/, '-i', 256, $secret);
make_secret('nothing to add to', 1, qr/^$/, qr/is not a file that can be read/, '--add', $secret);
make_secret('written', 0, qr/^key 7 written to \Q$secret\E$/, qr/^$/, '-i', 7, $secret);
is((stat $secret)[2] & 07777, 0600, 'secret: closed to everybody else');
like(slurp_file($secret), qr/\A7 [0-9a-f]{64}\n\z/, 'secret: one line');
my $first_key = slurp_file($secret);
make_secret('not overwritten', 1, qr/^$/, qr/is there already/, $secret);
make_secret('no second key with one id', 1, qr/^$/, qr/has key id 7 already/, '--add', '-i', 7, $secret);
is(slurp_file($secret), $first_key, 'secret: as it was');
write_config('', PGLD_SECRET_FILE => 'secret');
script('a relative path of a secret', 2, qr/^$/, qr/PGLD_SECRET_FILE must be an absolute path/, 'nodelaunch.sh', 0);
write_config('', PGLD_SECRET_FILE => $secret);
script('launched with a secret', 0, qr/^node 0: runs, /m, qr/^$/, 'nodelaunch.sh', 0);
like(slurp_file("$dir/node0.log"), qr/signing datagrams with key 7, accepting no other/, 'the server uses it');
make_secret('added', 0, qr/^key 8 written/, qr/^$/, '--add', $secret);
like(slurp_file($secret), qr/\A\Q$first_key\E8 [0-9a-f]{64}\n\z/, 'secret: the second key is behind the first');
unlike(slurp_file($secret), qr/7 ([0-9a-f]{64})\n8 \g1/, 'secret: and another one');
is((stat $secret)[2] & 07777, 0600, 'secret: still closed');
make_secret('no third key', 1, qr/^$/, qr/holds two keys already/, '--add', $secret);
is_deeply([ glob "$secret*" ], [$secret], 'secret: nothing is left beside it');
chmod 0644, $secret;
script('stopped', 0, qr/^node 0: stopped$/, qr/^$/, 'nodestop.sh', 'ALL');
script('a secret that others can read', 1, qr/^node 0: runs/,
	qr/does not take part in elections: the secret file ".*" is open to others/, 'nodelaunch.sh', 0);
script('stopped', 0, qr/^node 0: stopped$/, qr/^$/, 'nodestop.sh', 'ALL');
write_config('');

# a node that has run and lost its state file is not new
rename "$dir/state/node-0.state", "$dir/kept.state" or die $!;
script('--new for a node that has run', 1, qr/^$/, qr/node 0 has been launched before.*\nhint: --new is for a member that has never run/,
	'nodelaunch.sh', '--new', 0);
ok(!-e "$dir/state/node-0.state", '--new for a node that has run: no state file is written');
rename "$dir/kept.state", "$dir/state/node-0.state" or die $!;

# a server without its own configuration is not given another one
rename "$dir/node0/postgresql.conf", "$dir/kept.conf" or die $!;
script('no postgresql.conf', 1, qr/^$/, qr/there is no .*postgresql\.conf/, 'nodelaunch.sh', 0);
ok(!-e "$dir/node0/postgresql.conf", 'no postgresql.conf: none is made up');
rename "$dir/kept.conf", "$dir/node0/postgresql.conf" or die $!;

# In the foreground it is a supervisor's, though it is not managed.
write_config('');
my $supervisor = fork // die "fork: $!";
if ($supervisor == 0)
{
	open STDIN, '<', '/dev/null';
	open STDOUT, '>>', "$dir/node0.log";
	open STDERR, '>&', \*STDOUT;
	exec "$scripts/nodelaunch.sh", '-c', $config, '--foreground', 0 or POSIX::_exit(127);
}
my $end = time + 60;
Time::HiRes::usleep(50_000) while system("$scripts/watchpsql.sh -c $config --once 0 >/dev/null 2>&1") != 0 && time < $end;
like(slurp_file("$dir/node0.log"), qr/pg_leader_supervisor: LOG:  started the server, process \d+\n/, 'in the foreground: it has a supervisor');
script('in the foreground: not stopped smart', 1, qr/^$/, qr/^nodestop\.sh: node 0 has a supervisor, which does not stop it smart\nhint: /, 'nodestop.sh', '-m', 'smart', 0);
script('in the foreground: stopped', 0, qr/^node 0: stopped$/, qr/^$/, 'nodestop.sh', 0);
waitpid $supervisor, 0;
is($?, 0, 'in the foreground: the supervisor has ended');

# The quick start of three nodes, as a package has installed it: there is nothing to build.
# It writes first state files when the cluster is created, and never again.
sub quickstart
{
	my ($name, $new, $errors) = @_;
	my $output = $new ? qr/^(node \d: wrote a first state file, .*\n){3}node 0: /m : qr/\A(?!.*wrote a first state file)/s;

	command_checks_all([ "$dir/packaged/script/quickstart.sh", '-c', $config ], 0, [ $output, qr/^2 .*:\d+$/m ],
		[$errors], "quickstart: $name");
	return;
}

system('mkdir', "$dir/packaged") == 0 && system('cp', '-r', $scripts, "$dir/packaged/script") == 0 or die;
my @udp = map { PostgreSQL::Test::Cluster::get_free_port() } 0 .. 2;
do { $tcp = PostgreSQL::Test::Cluster::get_free_port() }
  until 2 == grep { PostgreSQL::Test::Cluster::can_bind('127.0.0.1', $tcp + $_) } 1, 2;
system('rm', '-r', "$dir/node0", "$dir/state") == 0 or die;
%good = (%good, N_NODES => 3, IPv4_CLUSTER => join(', ', map { "127.0.0.1:$_" } @udp), PGLD_START_PORT => $tcp);
write_config('');
quickstart('a new cluster', 1, qr/^$/);
script('node 2 is stopped', 0, qr/^node 2: stopped$/, qr/^$/, 'nodestop.sh', 2);
system('rm', '-r', glob "$dir/node2 $dir/node2.log $dir/state/node-2.*") == 0 or die;
quickstart('a node has lost all its files while the others run', 0,
	qr/\Anodelaunch\.sh: warning: node 2 has no state file and was not launched with --new: it abstains/);
script('all nodes are stopped', 0, qr/^node 2: stopped$/m, qr/^$/, 'nodestop.sh', 'ALL');
system('rm', '-r', glob "$dir/node[012] $dir/state/*.state") == 0 or die;
quickstart('only the events are left', 0, qr/(?:node \d has no state file .*){3}/s);

done_testing();

END
{
	if ($launched)
	{
		my $status = $?;
		write_config('');
		system("$scripts/nodestop.sh -c $config -m immediate ALL >/dev/null 2>&1");
		$? = $status;
	}
}
