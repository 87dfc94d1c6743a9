#!/usr/bin/perl
# test/stand/scripts.pl
#	  What people rely on in net_init.sh, net_down.sh, ctl.sh and monitor.sh: they
#	  make and remove what is theirs alone, refuse what cannot work, and cut what
#	  they say they cut.
#
# Run by test/run.sh through private_network, as root.  Elections are only looked
# at here; the tests beside this one judge them.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Cwd qw(realpath);
use File::Temp ();
use IPC::Open2;
use IO::Select;
use POSIX ();
use Stand;
use Test::More;
use Time::HiRes qw(sleep);

my $scripts = realpath("$FindBin::RealBin/../../script/test_stand");
my $why = Stand::missing();
plan skip_all => $why if defined $why;

$ENV{TERM} = 'xterm';
delete $ENV{NO_COLOR};
my $bare = world();
my $stand = Stand->new(nodes => 3);
my $dir = $stand->{dir};
my $config = $stand->{config};
my @all = $stand->ids;
$ENV{HOME} = $dir;

# ---- running things ----

# (exit status, standard output and standard error together)
sub run { return Stand->try_run(@_); }

sub must { return Stand->run(@_); }

# A process of ours that goes on, until "end"; its pid.
sub start
{
	my (@command) = @_;
	my $pid = fork // die "fork: $!";

	if ($pid == 0) { exec(@command) or POSIX::_exit(127); }
	return $pid;
}

sub end { kill 'KILL', $_[0]; waitpid $_[0], 0; return; }

sub slurp { return Chaos::slurp(@_); }

sub eventually { return Chaos::eventually(30, @_); }

sub node_pids { return $stand->pids(@_); }

sub spew
{
	my ($file, @text) = @_;
	open(my $out, '>', "$dir/$file") or die "$file: $!";
	print $out @text;
	close $out;
	return "$dir/$file";
}

# A script does what it should: its exit status, and what it says.
sub script
{
	my ($name, $status, $says, $script, @arguments) = @_;
	my ($got, $output) = run("$scripts/$script", @arguments);
	my $good = $got == $status && $output =~ $says;

	ok($good, $name) or diag("$script @arguments: exit status $got, expected $status\n$output");
	return $output;
}

# The same with a command of ctl.sh
sub ctl
{
	my ($name, $status, $says, @words) = @_;
	return script($name, $status, $says, 'ctl.sh', '--config', $config, @words);
}

# A script refuses, in one line and perhaps a hint, and changes nothing.
sub refused
{
	my ($name, $status, $says, @command) = @_;
	my $before = world();
	my ($got, $output) = run(@command);
	my $good = $got == $status && $output =~ $says
	  && $output =~ /\A[a-z_]+\.sh: [^\n]+\n(hint: [^\n]+\n)?\z/;

	ok($good, "refused: $name")
	  or diag("@command: exit status $got, expected $status\n$output");
	is(world(), $before, "refused: $name: nothing is changed");
	return;
}

# A configuration like the stand's, with some values changed.
sub config_with
{
	my (%changed) = @_;
	return spew('changed.config', ". $config\n", map { "$_='$changed{$_}'\n" } sort keys %changed);
}

# All that a stand is made of, and what is beside it, as text that can be compared.
sub world
{
	my $text = '';

	foreach my $namespace ('', map { s|.*/||r } sort glob '/run/netns/*')
	{
		my @in = $namespace eq '' ? () : ('-n', $namespace);
		my (undef, $links) = run('ip', @in, '-o', 'link', 'show');
		my (undef, $addresses) = run('ip', @in, '-4', '-o', 'addr', 'show');
		$links = join('', sort map {
			my ($name, $flags, $master) = /^\d+: ([^:\@]+)\S* <(.*?)>(?:.* (master \S+))?/;
			join(' ', $name, ($flags =~ /\bUP\b/ ? 'up' : 'down'), $master // 'free') . "\n"
		} split /^/, $links);
		$addresses =~ s/^\d+: //mg;
		$text .= "[$namespace]\n$links$addresses";
	}
	$text .= (run('ebtables-nft', '-L'))[1];
	return $text . join(' ', map { s|.*/||r } sort glob '/run/pg_leader_stand/*');
}

# The letter of each process of a node: T is stopped.
sub node_states
{
	my ($id) = @_;
	return join '', map { slurp("/proc/$_/stat") =~ /\) (\S)/ ? $1 : '' } node_pids($id);
}

# ---- datagrams ----

# A program of its own, for it has to be in the node's namespace.
my $receive = <<'PERL';
use IO::Socket::IP;
$| = 1;
my ($family) = @ARGV;
my $socket = IO::Socket::IP->new(LocalHost => $family == 4 ? '0.0.0.0' : '::',
	LocalPort => 7000, Proto => 'udp', V6Only => 1) or die $@;
print "ready\n";
while (defined recv($socket, my $data, 100, 0)) { print "$data\n" }
PERL

my $send = <<'PERL';
use IO::Socket::IP;
my ($address, $count) = @ARGV;
my $socket = IO::Socket::IP->new(PeerHost => $address, PeerPort => 7000, Proto => 'udp') or die $@;
send($socket, $_, 0) // die $! foreach 1 .. $count;
PERL

sub namespace { return "pgldtest$_[0]"; }

sub address
{
	my ($id, $family) = @_;
	return '10.93.7.' . (10 + $id) if $family == 4;

	my $text;
	eventually(sub {
		$text = must('ip', '-n', namespace($id), '-6', '-o', 'addr', 'show', 'dev', 'eth0', 'scope', 'link');
		return $text =~ /inet6 fe80/ && $text !~ /tentative/;
	}) or die "node $id has no address: $text";
	return $text =~ /inet6 (\S+)\// ? "$1%eth0" : die $text;
}

# How many datagrams of so many get from one node to another.  Returns as soon as
# all are there; else after half a second in which none came.
sub received
{
	my ($from, $to, $family, $count) = @_;
	my $got = 0;
	my $address = address($to, $family);

	address($from, $family);
	my $pid = open(my $in, '-|', 'nsenter', '--net=/run/netns/' . namespace($to),
		'perl', '-e', $receive, $family) // die "fork: $!";
	<$in>;
	must('nsenter', '--net=/run/netns/' . namespace($from), 'perl', '-e', $send, $address, $count);
	my $select = IO::Select->new($in);
	while ($got < $count && $select->can_read(0.5))
	{
		last unless sysread($in, my $data, 65536);
		$got += ($data =~ tr/\n//);
	}
	kill 'KILL', $pid;
	close $in;
	return $got;
}

# What gets through, as text: "0>1:4 0>1:6 ..." for each pair and family.
sub reach
{
	my (@pairs) = @_;
	my @found;

	foreach my $pair (@pairs)
	{
		my ($from, $to) = split />/, $pair;
		foreach my $family (4, 6)
		{
			my $got = received($from, $to, $family, 20);
			push @found, "$pair:$family" . ($got == 20 ? '' : "($got)") if $got > 0;
		}
	}
	return join ' ', @found;
}

sub flush_neighbours
{
	must('ip', '-n', namespace($_), 'neigh', 'flush', 'all') foreach @all;
	return;
}

# ---- a terminal ----

# terminal(COMMAND): on a pseudo-terminal; then say() and expect().
sub terminal
{
	my ($rows, $columns, $command) = @_;
	my $pid = open2(my $out, my $in, 'script', '-qec', "stty rows $rows cols $columns; $command", '/dev/null');
	return { pid => $pid, out => $out, in => $in, seen => '' };
}

sub type_in
{
	my ($terminal, $text) = @_;
	syswrite($terminal->{in}, $text);
	return;
}

# What appears up to and with the pattern; dies after 30 s without it.
sub expect
{
	my ($terminal, $pattern) = @_;
	my $select = IO::Select->new($terminal->{out});

	while ($terminal->{seen} !~ /\A(.*?$pattern)/s)
	{
		my $data = '';
		$select->can_read(30) && sysread($terminal->{out}, $data, 65536)
		  or die "waiting for $pattern, got: $terminal->{seen}";
		$terminal->{seen} .= $data;
	}
	$terminal->{seen} =~ s/\A(.*?$pattern)//s;
	return $1;
}

# What is typed, and what has to appear then, in turn; the last that appeared.
sub converse
{
	my ($terminal, @turns) = @_;
	my $seen;

	while (my ($text, $pattern) = splice @turns, 0, 2)
	{
		type_in($terminal, $text);
		$seen = expect($terminal, $pattern);
	}
	return $seen;
}

# All the rest, and the exit status.
sub finish
{
	my ($terminal) = @_;
	my $rest = $terminal->{seen};

	while (sysread($terminal->{out}, my $data, 65536)) { $rest .= $data; }
	close $terminal->{in};
	waitpid($terminal->{pid}, 0);
	return ($? >> 8, $rest);
}

# ---- net_init.sh ----

my $made = world();
script('a second net_init.sh says that all is there', 0, qr/\Athe stand is up already: 3 namespaces/,
	'net_init.sh', '-c', $config);
$stand->ctl('disconnect 0 1');
$stand->ctl('loss 1 2 30');
my $cut = world();
my $inside = start('nsenter', '--net=/run/netns/' . namespace(1), 'sleep', '100');
script('net_init.sh is content with a stand in use', 0, qr/up already/, 'net_init.sh', '-c', $config);
is(world(), $cut, 'net_init.sh keeps the cuts');
like(must('ip', 'netns', 'exec', namespace(2), 'nft', 'list', 'ruleset'), qr/< 30 .*from 1: 30 %/, 'net_init.sh keeps the losses');
ok(kill(0, $inside), 'net_init.sh keeps what runs inside');
end($inside);
$stand->ctl('flush');

my @init = ("$scripts/net_init.sh", '-c');
refused('fewer nodes than the stand has', 1, qr/knows nothing of.*net_down\.sh/s, @init, config_with(N_NODES => 2));
refused('another network under the same names', 1, qr/was made with the network 10\.93\.7\.0/, @init, config_with(NETWORK => '10.93.8'));
refused('other namespaces on the same bridge', 1, qr/has the namespace pgldtest0, which .* knows nothing of.*net_down\.sh/s, @init, config_with(NETNS_PREFIX => 'pgldoth'));
refused('other cables on the same bridge', 1, qr/has the link vpgldtest0, which .* knows nothing of/, @init, config_with(VETH_PREFIX => 'vpgldoth'));
script('a mask is a decimal number', 0, qr/up already/, 'net_init.sh', '-c', config_with(MASK => '024'));
refused('a mask that is too short', 2, qr/MASK must be a number from 8 to 24/, @init, config_with(MASK => '07'));

# Somebody's rule comes first, and a second copy of the stand's.
must(qw(ebtables-nft -I FORWARD -p 0x4321 -j ACCEPT));
must(qw(ebtables-nft -A FORWARD -j pgld_bpgldtest));
refused('a command when cuts would cut nothing', 1, qr/not the first in ebtables' FORWARD.*\nhint: .*net_init\.sh .*mends it/,
	"$scripts/ctl.sh", '--config', $config, 'disconnect 0 1');
must(@init, $config);
like(must(qw(ebtables-nft -L FORWARD)), qr/\n-j pgld_bpgldtest\n-p 0x4321 -j ACCEPT\s*\z/, "net_init.sh puts the stand's rule first, once");
must(qw(ebtables-nft -D FORWARD -p 0x4321 -j ACCEPT));
is(world(), $made, 'and all else stays');

my %other = (NETNS_PREFIX => 'pgldoth', VETH_PREFIX => 'vpgldoth', BRIDGE_NAME => 'bpgldoth', NETWORK => '10.93.9');
my @foreign = (
	[ 'an interface with the name of a cable', [qw(ip link add vpgldoth1 type bridge)], [qw(ip link del vpgldoth1)], 'VETH_PREFIX' ],
	[ 'an interface with the name of the bridge', [qw(ip link add bpgldoth type bridge)], [qw(ip link del bpgldoth)], 'BRIDGE_NAME' ],
	[ 'a namespace with the name of a node', [qw(ip netns add pgldoth2)], [qw(ip netns del pgldoth2)], 'NETNS_PREFIX' ],
	[ 'a chain with the name of the bridge', [qw(ebtables-nft -N pgld_bpgldoth)], [qw(ebtables-nft -X pgld_bpgldoth)], 'BRIDGE_NAME' ]);
foreach my $foreign (@foreign)
{
	my ($name, $make, $remove, $setting) = @$foreign;
	must(@$make);
	refused("$name, somebody's", 1, qr/has not made\nhint: change $setting/, @init, config_with(%other));
	must(@$remove);
}
must(qw(ip addr add 10.93.9.200/32 dev lo));
refused('an address of this machine in the network', 1, qr/this machine has the address 10\.93\.9\.200/, @init, config_with(%other));
must(qw(ip addr del 10.93.9.200/32 dev lo));
refused("another stand's network", 1, qr/bpgldtest has the network 10\.93\.7\.0\/24 already/, @init, config_with(%other, NETWORK => '10.93.7'));
refused('an IPv4_CLUSTER elsewhere than NETWORK', 2, qr/gets the address 10\.93\.9\.10, but IPv4_CLUSTER says 10\.1\.1\.1/,
	@init, config_with(%other, IPv4_CLUSTER => '10.1.1.1:1, 10.1.1.2:1, 10.1.1.3:1'));
foreach my $name (qw(NETNS_PREFIX VETH_PREFIX BRIDGE_NAME))
{
	refused("$name \"$_\"", 2, qr/$name must be/, @init, config_with(%other, $name => $_))
	  foreach ('', 'abcdefghij', 'a/b', 'a b', '-a', '9a', 'a%d', "a;b");
}
refused('a bridge with the name of a cable', 2, qr/also the name of a node's cable/, @init, config_with(%other, BRIDGE_NAME => 'vpgldoth1'));
refused("a bridge called $_", 2, qr/means something else/, @init, config_with(%other, BRIDGE_NAME => $_)) foreach qw(all default);
foreach my $name (qw(mark FORWARD))
{
	my $before = world();
	my $file = config_with(%other, BRIDGE_NAME => $name);

	must(@init, $file);
	script("a bridge called $name: links are cut", 0, qr/is cut/, 'ctl.sh', '--config', $file, 'disconnect 0 1');
	like(must('ebtables-nft', '-L', "pgld_$name"), qr/-i vpgldoth0 -o vpgldoth1 -j DROP/, 'by its chain');
	script('beside it, the first stand is whole', 0, qr/up already/, 'net_init.sh', '-c', $config);
	must("$scripts/net_down.sh", '-c', $file);
	is(world(), $before, 'and nothing of it is left');
}
refused('a missing configuration', 2, qr/there is no configuration file/, @init, "$dir/none");
refused('an argument', 2, qr/no argument is needed/, "$scripts/net_init.sh", 'all');
foreach my $script (qw(net_init.sh net_down.sh monitor.sh))
{
	refused("$script without root", 1, qr/need root/, qw(setpriv --reuid=postgres --regid=postgres --clear-groups),
		"$scripts/$script", '-c', $config);
}
refused('ctl.sh without root', 1, qr/need root/, qw(setpriv --reuid=postgres --regid=postgres --clear-groups),
	"$scripts/ctl.sh", '--config', $config, 'status');

mkdir "$dir/bin" or die $!;
foreach my $program (map { glob "$_/*" } split /:/, $ENV{PATH})
{
	my $name = $program =~ s|.*/||r;
	symlink $program, "$dir/bin/$name" if $name !~ /^ebtables/;
}
refused('no ebtables-nft', 1, qr/ebtables-nft was not found\nhint: .*install.* iptables/, 'env', "PATH=$dir/bin",
	@init, config_with(%other));

# ---- a stand that is half there ----

my @damages = (
	[ 'a namespace', qw(ip netns del pgldtest1) ],
	[ 'a cable', qw(ip link del vpgldtest0) ],
	[ 'the bridge', qw(ip link del bpgldtest) ],
	[ 'the chain', 'sh', '-c', 'ebtables-nft -D FORWARD -j pgld_bpgldtest; ebtables-nft -F pgld_bpgldtest; ebtables-nft -X pgld_bpgldtest' ],
	[ 'the hook of the chain', qw(ebtables-nft -D FORWARD -j pgld_bpgldtest) ],
	[ 'an address', qw(ip -4 -n pgldtest2 addr flush dev eth0) ],
	[ 'an interface that is up', qw(ip link set vpgldtest2 down) ],
	[ 'a cable in the bridge', qw(ip link set vpgldtest2 nomaster) ]);
foreach my $damage (@damages)
{
	my ($name, @command) = @$damage;
	must(@command);
	isnt(world(), $made, "without $name the stand is not whole");
	script("net_init.sh mends a stand that has lost $name", 0, qr/the stand is up/, 'net_init.sh', '-c', $config);
	is(world(), $made, "and then it is as before it lost $name");
}
is(reach('0>1', '1>2', '2>0'), '0>1:4 0>1:6 1>2:4 1>2:6 2>0:4 2>0:6', 'datagrams pass a mended stand');

script('net_init.sh makes what is missing when N_NODES grew', 0, qr/the stand is up: 4 namespaces/, 'net_init.sh', '-c', config_with(N_NODES => 4));
script('net_down.sh removes nodes that its configuration does not have', 0, qr/the stand is down/, 'net_down.sh', '-c', $config);
is(world(), $bare, 'net_down.sh leaves nothing');
script('net_down.sh without a stand is content', 0, qr/there is no stand/, 'net_down.sh', '-c', $config);

# Somebody takes names that the stand had.
must("$scripts/net_init.sh", '-c', $config);
must(@$_) foreach [qw(ip netns del pgldtest1)], [qw(ip link del vpgldtest0)], [qw(ip netns add pgldtest1)], [qw(ip link add vpgldtest0 type bridge)];
$inside = start('nsenter', '--net=/run/netns/pgldtest1', 'sleep', '100');
ok(eventually(sub { (readlink("/proc/$inside/ns/net") // '') ne readlink('/proc/self/ns/net') }), "a process runs in somebody's namespace");
refused("a name that was the stand's", 1, qr/already an interface vpgldtest0, which the test stand has not made/, "$scripts/net_init.sh", '-c', $config);
script('net_down.sh leaves what has got a name of the stand', 0,
	qr/link vpgldtest0 is no longer the one.*namespace pgldtest1 is no longer the one.*the stand is down/s, 'net_down.sh', '-c', $config);
ok(kill(0, $inside) && -e '/run/netns/pgldtest1', 'with what runs in it');
end($inside);
must(@$_) foreach [qw(ip netns del pgldtest1)], [qw(ip link del vpgldtest0)];
is(world(), $bare, 'and all else is gone');

# net_init.sh is killed at each call of a program that changes something
mkdir "$dir/killer" or die $!;
foreach my $program (qw(ip ebtables-nft-restore mv))
{
	chomp(my $real = must('sh', '-c', "command -v $program"));
	spew("killer/$program", <<"TEXT");
#!/bin/sh
n=\$((\$(cat $dir/killer/count) + 1))
echo \$n >$dir/killer/count
[ \$n -ne \$(cat $dir/killer/when) ] || { kill -KILL \$(cat $dir/killer/pid); exit 1; }
exec $real "\$@"
TEXT
	chmod 0755, "$dir/killer/$program";
}

my $two = config_with(N_NODES => 2);
sub init_killed_at
{
	my ($when) = @_;
	spew('killer/when', $when);
	spew('killer/count', 0);
	return run('sh', '-c', "echo \$\$ >$dir/killer/pid; PATH=$dir/killer:\$PATH exec $scripts/net_init.sh -c $two");
}
my ($status, $output) = init_killed_at(0);
is($status, 0, 'net_init.sh runs with programs that can kill it');
my $whole = world();
chomp(my $calls = slurp("$dir/killer/count"));
must("$scripts/net_down.sh", '-c', $two);
my ($not_killed, $not_mended, $not_removed, $partial) = (0, 0, 0, 0);
foreach my $when (1 .. $calls)
{
	($status) = init_killed_at($when);
	$not_killed++ if $status != 137;
	$partial++ if world() ne $whole && world() ne $bare;
	# one is mended, the next one taken down half-made
	if ($when % 2)
	{
		($status, $output) = run("$scripts/net_init.sh", '-c', $two);
		if ($status != 0 || world() ne $whole) { $not_mended++; diag("killed at $when: $output", world()); }
	}
	($status, $output) = run("$scripts/net_down.sh", '-c', $two);
	if ($status != 0 || world() ne $bare) { $not_removed++; diag("killed at $when: $output", world()); }
}
cmp_ok($calls, '>', 15, "net_init.sh can be killed at $calls places");
is($not_killed, 0, 'it was killed at each of them');
cmp_ok($partial, '>', 5, "$partial of them left a part of a stand");
is($not_mended, 0, 'a second net_init.sh makes a whole stand of each');
is($not_removed, 0, 'net_down.sh removes each');

# ---- ctl.sh: words ----

my @ctl = ("$scripts/ctl.sh", '--config', $config);
foreach my $command ('start', 'stop', 'kill 0', 'pause 0', 'resume', 'disconnect 0 1', 'reconnect 0 1', 'isolate 0',
	'brainsplit 0 ; 1', 'brainjoin', 'loss 0 1 5', 'flush', 'transfer', 'status', 'statistics')
{
	refused("$command without a stand", 1, qr/the stand is not up\nhint: .*net_init\.sh --?c(onfig)? \Q$config\E makes it/, @ctl, $command);
}
refused('monitor.sh without a stand', 1, qr/the stand is not up\nhint: .*net_init\.sh/, "$scripts/monitor.sh", '-c', $config);
must("$scripts/net_init.sh", '-c', $config);
ctl('help works', 0, qr/^brainsplit .*^IDs are/ms, 'help');
like((run("$scripts/$_", '--help'))[1], qr/^NAME\n.*^SYNOPSIS\n.*^EXIT STATUS\n/ms, "$_ --help explains it")
  foreach qw(net_init.sh net_down.sh ctl.sh monitor.sh);

my @wrong = (
	[ 'disc 0 1', 'no command "disc"', 'disconnect' ],
	[ 'fly', 'no command "fly"', 'help' ],
	[ 'DISCONNECT 0 1', 'no command', 'help' ],
	[ 'disconnect', 'two nodes are needed', '0 1 both' ],
	[ 'disconnect 0', 'two nodes are needed', '0 1 both' ],
	[ 'disconnect 0 1 2', 'two nodes are needed', '0 1 both' ],
	[ 'disconnect 0 0', 'no link to itself', 'two' ],
	[ 'd 0 3', 'there is no node 3', '0 1 2' ],
	[ 'd 0 one', '"one" is no node id', '0 1 2' ],
	[ 'r 0 -1', '"-1" is no node id', '0 1 2' ],
	[ 'reconnect 0', 'two nodes are needed', '0 1 both' ],
	[ 'isolate', 'isolate takes one node', '0 1 2' ],
	[ 'isolate 0 1', 'isolate takes one node', '0 1 2' ],
	[ 'isolate 9', 'there is no node 9', '0 1 2' ],
	[ 'brainsplit', 'two groups', '0 ; 1 2' ],
	[ 'brainsplit 0 1', 'two groups', 'quotes' ],
	[ 'brainsplit 0 1 ;', 'no node in it', '0 ; 1 2' ],
	[ 'b 0 ; 1 ; 0', 'node 0 is in two groups', 'name each node once' ],
	[ 'b 0 ; 7', 'there is no node 7', '0 1 2' ],
	[ 'brainjoin 0', 'takes no argument', 'help' ],
	[ 'flush 0', 'takes no argument', 'help' ],
	[ 'status 0', 'takes no argument', 'help' ],
	[ 'stat 0', 'takes no argument', 'help' ],
	[ 'loss 0 1', 'percentage', '0 1 30' ],
	[ 'loss 0 1 101', 'no percentage', '0 to 100' ],
	[ 'loss 0 1 -1', 'no percentage', '0 to 100' ],
	[ 'loss 0 1 half', 'no percentage', '0 to 100' ],
	[ 'loss 0 1 5 6', 'two nodes are needed', 'both' ],
	[ 'kill', 'which node', 'ALL' ],
	[ 'pause', 'which node', 'ALL' ],
	[ 'kill 5', 'there is no node 5', '0 1 2' ],
	[ 'pause x', 'is no node id', '0 1 2' ],
	[ 'resume 5', 'there is no node 5', '0 1 2' ],
	[ 'start 5', 'there is no node 5', '0 1 2' ],
	[ 'stop quickly', 'is no node id', '0 1 2' ],
	[ 'transfer 5', 'there is no node 5', '0 1 2' ],
	[ 'transfer 0 1', 'one node, or none', 'help' ]);
foreach my $wrong (@wrong)
{
	my ($command, $says, $hint) = @$wrong;
	refused("\"$command\"", 2, qr/\Q$says\E.*\nhint: .*\Q$hint\E/, @ctl, $command);
}
mkdir "$dir/glob" or die $!;
symlink '/dev/null', "$dir/glob/1" or die $!;
refused('a pattern that fits a file', 2, qr/"\*" is no node id/, 'env', '-C', "$dir/glob", @ctl, $_) foreach 'kill *', 'b 0 ; *';
refused('an empty command', 2, qr/a command is empty/, @ctl, $_) foreach '', ' ';
refused('an unknown option', 2, qr/there is no option -x/, @ctl, '-x');
refused('-c without a command', 2, qr/-c needs a value/, @ctl, '-c');
refused('commands from two places', 2, qr/not from both\nhint: .*--config/, @ctl, '-c', 'help', 'help');
refused('a configuration in the place of a command', 2, qr/no command ".*"\nhint: .*--config/, @ctl, '-c', $config);
refused('a file and a command', 2, qr/not from several/, @ctl, '-f', $config, 'help');
refused('a file that is not there', 2, qr/not a file that can be read/, @ctl, '-f', "$dir/none");

sub cuts
{
	my $rules = must('ebtables-nft', '-L', 'pgld_bpgldtest');
	return join ' ', sort map { /-i vpgldtest(\d) -o vpgldtest(\d) -j DROP/ ? "$1>$2" : () } split /^/, $rules;
}

# What each of them cuts, one after another: cuts add up.
my @cutting = (
	[ 'disconnect 0 1', '0>1' ],
	[ 'd 0 1', '0>1' ],
	[ 'd 2 1 both', '0>1 1>2 2>1' ],
	[ 'reconnect 2 1', '0>1 1>2' ],
	[ 'r 1 2 both', '0>1' ],
	[ 'isolate 2', '0>1 0>2 1>2 2>0 2>1' ],
	[ 'brainjoin', '' ],
	[ 'brainsplit 0, 1;2', '0>2 1>2 2>0 2>1' ],
	[ 'bj', '' ],
	[ 'b 0 ; 1 ; 2', '0>1 0>2 1>0 1>2 2>0 2>1' ],
	[ 'f', '' ],
	[ 'b 00;02', '0>2 2>0' ],
	[ 'flush', '' ]);
foreach my $cutting (@cutting)
{
	my ($command, $expected) = @$cutting;
	must(@ctl, $command);
	is(cuts(), $expected, "\"$command\": cut is " . ($expected || 'nothing'));
}

# Several at a time
my @links = map { my $one = $_; map { "$one $_" } grep { $_ != $one } @all } @all;
sub side_by_side
{
	my ($command) = @_;
	return must('sh', '-c', join(' & ', map { "@ctl " . sprintf($command, $_) } @links) . ' & wait');
}
side_by_side('disconnect %s');
is(cuts(), '0>1 0>2 1>0 1>2 2>0 2>1', 'several ctl.sh at a time cut what they say, once');
side_by_side('loss %s 7');
is(scalar(() = must(@ctl, 'statistics') =~ /: 7 % lost/g), 6, 'and lose it');
must(qw(ebtables-nft -A pgld_bpgldtest -i vpgldtest0 -o vpgldtest1 -j DROP));
must(@ctl, 'reconnect', '0', '1');
is(cuts(), '0>2 1>0 1>2 2>0 2>1', 'reconnect removes all copies of a rule');
side_by_side('reconnect %s');
is(cuts(), '', 'several ctl.sh at a time join what they say');
must(@ctl, 'flush');

must(@ctl, 'disconnect', '0', '1');
is(cuts(), '0>1', 'a command can be words of their own');
must(@ctl, '-c', 'reconnect 0 1', '-c', 'd 1 2');
is(cuts(), '1>2', '-c twice: both, in that order');
($status) = run(@ctl, '-c', 'isolate 9', '-c', 'flush');
is("$status " . cuts(), '2 1>2', '-c twice: the second is not done when the first fails');
spew('commands', "# comment\n\n  flush   # and more\nd 0 1\nreconnect 9 9\nflush\n");
($status, $output) = run(@ctl, '-f', "$dir/commands");
is("$status " . cuts(), '2 0>1', '-f: commands up to the first that fails');
like($output, qr/no node 9.*^ctl\.sh: \Q$dir\E\/commands, line 5: this failed, and the rest was not done$/ms, '-f: it says which one');
($status, $output) = run('sh', '-c', "printf 'd 1 0\\nd 2 0' | $scripts/ctl.sh --config $config");
is("$status " . cuts(), '0 0>1 1>0 2>0', 'a pipe: all commands, also a last line without an end');
($status, $output) = run('sh', '-c', "printf 'flush\\nexit\\nd 2 0\\n' | $scripts/ctl.sh --config $config -f -");
is("$status " . cuts(), '0 ', '"exit" ends it before the commands that follow');
($status, $output) = run('sh', '-c', "printf 'bj\\nfly\\n' | $scripts/ctl.sh --config $config");
like("$status $output", qr/^2 .*^ctl\.sh: standard input, line 2: this failed/ms, 'a pipe: it says which one failed');
must(@ctl, '-c', 'isolate 0', '-c', 'loss 1 2 7');
$output = ctl('status with cuts and losses', 0, qr/^\s+0\s+x +x$/m, 'status');
like($output, qr/^\s+1 +x +7$/m, 'and the loss is in it');
unlike($output, qr/\e/, 'no colours in a pipe');
like($output, qr/^node +server.*^0 +absent$/ms, 'a node that was never started is absent');
ctl('statistics show rules and losses', 0, qr/-i vpgldtest0 -o vpgldtest1 -j DROP , pcnt = \d+.*from 1 to 2: 7 % lost/s, 'stat');
must(@ctl, 'flush');

# ---- ctl.sh: what gets through ----

my $everything = '0>1:4 0>1:6 1>0:4 1>0:6 1>2:4 1>2:6';
is(reach('0>1', '1>0', '1>2'), $everything, 'uncut, all datagrams get through');
$stand->ctl('disconnect 0 1');
flush_neighbours();
is(reach('0>1'), '', 'a one-way cut: nothing gets through in that direction');
is(reach('1>0', '1>2'), '1>0:4 1>0:6 1>2:4 1>2:6', 'a one-way cut: all in the other, and to others');
flush_neighbours();
is(reach('1>0', '0>1'), '1>0:4 1>0:6', 'a one-way cut: the same when no neighbour is known');
$stand->ctl('reconnect 0 1');
is(reach('0>1', '1>0', '1>2'), $everything, 'reconnected, all get through again');
$stand->ctl('disconnect 0 1 both');
is(reach('0>1', '1>0', '0>2'), '0>2:4 0>2:6', 'cut both ways: nothing in either direction');
$stand->ctl('reconnect 1 0');
is(reach('0>1', '1>0'), '1>0:4 1>0:6', 'one of two cuts joined');
$stand->ctl('flush');

$stand->ctl('loss 0 1 100');
flush_neighbours();
is(reach('0>1', '1>0', '2>1'), '1>0:4 1>0:6 2>1:4 2>1:6', 'loss 100: all is lost in that direction only');
$stand->ctl('loss 0 1 50');
foreach my $family (4, 6)
{
	my $got = received(0, 1, $family, 100);
	ok($got > 0 && $got < 100, "loss 50: some of the datagrams over IPv$family are lost ($got of 100 came)");
}
$stand->ctl('loss 0 1 0');
is(received(0, 1, 4, 100), 100, 'loss 0: none is lost');

must(qw(ebtables-nft -A FORWARD -p 0x1234 -j DROP));
must(qw(ip netns exec pgldtest1 nft), 'add table inet foreign');
my $unharmed = world();
$stand->ctl($_) foreach 'isolate 1', 'loss 0 1 5 both', 'flush';
is(world(), $unharmed, 'flush leaves the rules of others in FORWARD');
like(must(qw(ip netns exec pgldtest1 nft list ruleset)), qr/\Atable inet foreign \{\n\}\n\z/, "and others' tables in a namespace");

# ---- ctl.sh: nodes ----

# Half-way is when the database cluster of node 1 is being made, and when its
# server is being started.
my %halfway = (
	initdb => sub { -d "$dir/node1.initdb" },
	launch => sub { -e "$dir/node1/postmaster.pid" });
my %interrupt = (
	'Ctrl-C' => sub { kill 'INT', -$_[0] },
	SIGTERM => sub { kill 'TERM', $_[0] },
	SIGKILL => sub { kill 'KILL', $_[0] });

sub launchers
{
	return grep { slurp("/proc/$_/cmdline") =~ m{nodelaunch\.sh.*\Q$config\E|pg_ctl.*\Q$dir\E|initdb.*\Q$dir\E} }
	  map { s|.*/||r } glob '/proc/[0-9]*';
}

foreach my $point (sort keys %halfway)
{
	foreach my $way (sort keys %interrupt)
	{
		my $pid = fork // die "fork: $!";
		if ($pid == 0)
		{
			setpgrp;
			open(STDOUT, '>', "$dir/interrupted.out");
			open(STDERR, '>&', \*STDOUT);
			exec(@ctl, 'start') or POSIX::_exit(127);
		}
		my $reached = eventually($halfway{$point});
		$interrupt{$way}->($pid);
		waitpid $pid, 0;
		my $broken = $? != 0;
		ok($reached && $broken, "start is interrupted by $way at $point") or diag($?, slurp("$dir/interrupted.out"));
		is(join(' ', launchers()), '', "after $way at $point nothing goes on in the background") if $way ne 'SIGKILL';
		script("a second start mends one interrupted by $way at $point", 0, qr/\A(node \d: [^\n]+\n)+\z/,
			'ctl.sh', '--config', $config, 'start');
		my ($leader) = eval { $stand->settled };
		ok(defined $leader && !glob("$dir/*.initdb"), 'and all nodes follow one leader') or diag($@);
		script('stopped, and their files removed', 0, qr/files are removed/, 'net_down.sh', '-c', $config, '--remove-nodes');
		must("$scripts/net_init.sh", '-c', $config);
	}
}

mkdir "$dir/glob/it's" or die $!;
{
	local $ENV{TMPDIR} = "$dir/glob/it's";
	ctl('start launches all nodes', 0, qr/^node 0: runs, .*^node 1: runs, .*^node 2: runs, /ms, 'start');
}
is(join(' ', glob "$dir/glob/it\\'s/*"), '', 'and leaves no files in TMPDIR, whatever that is called');
foreach my $id (@all)
{
	my $namespace = 'net:[' . (stat '/run/netns/' . namespace($id))[1] . ']';
	my @outside = grep { readlink("/proc/$_/ns/net") ne $namespace } node_pids($id);
	ok(node_pids($id) > 3 && !@outside, "all processes of node $id are in its namespace");
}
ctl('start is content with nodes that run', 0, qr/^node 0: runs already.*^node 2: runs already/ms, 'st');
$stand->settled;

ctl('pause', 0, qr/\Anode 0: paused\nnode 2: paused\n\z/, 'pause 0,2');
like(node_states($_), qr/^T{4,}$/, "each process of paused node $_ is stopped") foreach 0, 2;
unlike(node_states(1), qr/T/, 'none of another node is');
ctl('status shows who is paused', 0, qr/^0 +paused\n1 +up .*\n2 +paused$/m, 's');
ctl('start says that a paused node is paused', 0, qr/\Anode 0: runs, but is paused; "resume 0"/, 'start 0');
ctl('resume', 0, qr/\Anode 0: resumed\nnode 1: is not paused\nnode 2: resumed\n\z/, 'resume');
unlike(node_states($_), qr/T/, "no process of resumed node $_ is stopped") foreach 0, 2;
$stand->settled;

must(@ctl, 'pause 1');
ctl('stop stops a paused node', 0, qr/\Anode 1: stopped\n\z/, 'stop immediate 1');
is(node_states(1), '', 'no process of a stopped node is left');
like(node_states(0), qr/^[^T]{4,}$/, 'those of others are');
ctl('stop of a stopped node is content', 0, qr/\Anode 1: does not run\n\z/, 'sp 1');
ctl('kill', 0, qr/\Anode 1: does not run\nnode 0: killed\n\z/, 'kill 0 1');
is(node_states(0), '', 'no process of a killed node is left');
must(@ctl, 'pause 2');
ctl('kill kills a paused node', 0, qr/\Anode 2: killed\n\z/, 'kill 2');
is(node_states(2), '', 'no process of it is left');
ctl('pause of a killed node says so', 0, qr/\Anode 2: does not run\n\z/, 'pause 2');
ctl('status shows who is down', 0, qr/^0 +down\n1 +down\n2 +down$/m, 'status');
ctl('start after all were killed', 0, qr/^node 2: runs, /m, 'start', 'ALL');

my ($leader) = $stand->settled;
my $heir = ($leader + 1) % 3;
ctl('transfer to a node', 0, qr/\Anode $leader has handed over to node $heir\n\z/, 'transfer', $heir);
is(($stand->settled)[0], $heir, 'and that one leads');
ctl('transfer to the best', 0, qr/\Anode $heir has handed over to node [^$heir]\n\z/, 'transfer');
($leader) = $stand->settled;
refused('to hand over to the leader itself', 1, qr/did not hand over/, @ctl, 'transfer', $leader);
$stand->ctl('brainsplit 0 ; 1 ; 2');
ok(eventually(sub { !grep { $stand->query($_, 'SELECT pg_leader_is_leader()')->[0][0] eq 't' } @all }), 'split into three, nobody has a lease');
refused('transfer without a leader', 1, qr/there is no leader.*\nhint: "status"/, @ctl, 'transfer');
$stand->ctl('brainjoin');
$stand->settled;

# ---- ctl.sh at a terminal ----

my $terminal = terminal(24, 80, "$scripts/ctl.sh --config $config");
my $prompt = qr/stand> /;
like(expect($terminal, $prompt), qr/3 nodes: 0 1 2\..*"help"/, 'at a terminal it says where one is');
converse($terminal, "reco\t" => qr/reconnect /, "0 \t" => qr/both 0 1 2/, "1\t\n" => qr/the link from 0 to 1 is whole/);
pass('the tab key completes a command, and lists what can follow');
like(converse($terminal, "sta\t" => qr/start status statistics/, "tu\t\n" => qr/all links are whole/), qr/\e\[32m\d +up +leader/,
	'of several commands it completes what they share; colours');
expect($terminal, $prompt);
converse($terminal, "resume A\t\n" => qr/node 2: is not paused/, '' => $prompt);
pass('the tab key completes ALL');
converse($terminal, 'kill AL' => qr/kill AL/, "\x03" => $prompt, "nonsense\n" => qr/there is no command "nonsense"/);
pass('Ctrl-C gives up the line, and neither ends the shell nor keeps the text');
converse($terminal, '' => $prompt, "isolate 1\n" => qr/node 1 is cut off/, '' => $prompt);
type_in($terminal, "exit\n");
($status) = finish($terminal);
is("$status " . cuts(), '0 0>1 1>0 1>2 2>1', 'a wrong command does not end it, exit does');
like(node_states($_), qr/^[^T]{4,}$/, "node $_ runs on after exit") foreach @all;
like(slurp("$dir/.pg_leader_stand_history"), qr/^reconnect 0 1 *\n.*^nonsense\nisolate 1\nexit\n/ms, 'what was typed is in the history file');
unlike(slurp("$dir/.pg_leader_stand_history"), qr/kill/, 'what was given up is not');
$terminal = terminal(24, 80, "$scripts/ctl.sh --config $config");
converse($terminal, '' => $prompt, "\e[A\e[A" => qr/isolate 1/, "\x03" => $prompt);
type_in($terminal, "\x04");
is((finish($terminal))[0], 0, 'the history comes back in the next one, and Ctrl-D ends it');

# ---- monitor.sh ----

sub monitor { my ($name, $says, @more) = @_; return script($name, 0, $says, 'monitor.sh', '-c', $config, @more); }

must(@ctl, '-c', 'flush');
($leader, my $term) = $stand->settled;
my $other = ($leader + 1) % 3;
$output = monitor('monitor.sh shows who holds the lease in which term', qr/\A\d\d:\d\d:\d\d  node $leader holds the lease in term $term\n/, '--once');
like($output, qr/^$leader +up +leader +$term +$leader +\d+ ms +\S+ \S+ ago: a majority/m, 'monitor.sh shows the leader');
like($output, qr/^$other +up +follower +$term +$leader +- +\S+ \S+ ago: node $leader leads/m, 'and a follower');
like($output, qr/^all links are whole$/m, 'and that no link is cut');
unlike($output, qr/\e/, 'and no colours in a pipe');
my $socket = "$dir/sockets/.s.PGSQL." . ($stand->{tcp} + $other);
rename $socket, "$socket.away" or die $!;
monitor('monitor.sh shows why a node does not answer', qr/^$other +up +does not answer +No such file or directory$/m, '--once');
rename "$socket.away", $socket or die $!;
must(@ctl, '-c', 'disconnect 0 1', '-c', 'loss 1 2 7', '-c', "pause $other");
$output = monitor('monitor.sh shows a paused node', qr/^$other +paused$/m, '--once');
like($output, qr/^ +0 +x +\.\n +1 +\. +7\n +2 +\. +\. +$/m, 'and cuts and losses');
must(@ctl, '-c', "resume $other", '-c', 'kill 0 1 2');
monitor('monitor.sh says that there is no leader', qr/\A\S+  no leader\n\n.*\n0 +down\n1 +down\n2 +down\n/, '--once');
must(@ctl, '-c', 'flush', '-c', 'start');
# However long a picture takes
my $watching = open(my $watched, '-|', "$scripts/monitor.sh", '-c', $config, '-i', '0.2') // die "fork: $!";
my $pictures = qr/(?:\A|\n\n)\d\d:\d\d:\d\d  /;
$output = '';
while ((() = $output =~ /$pictures/g) < 3)
{
	IO::Select->new($watched)->can_read(30) && sysread($watched, $output, 65536, length $output) or last;
}
kill 'TERM', $watching;
close $watched;
cmp_ok(scalar(() = $output =~ /$pictures/g), '>', 2, 'elsewhere than on a terminal pictures follow each other')
  or diag($output);
unlike($output, qr/\e/, 'without anything that only a terminal understands');
refused("-i $_", 2, qr/needs a number of seconds above 0/, "$scripts/monitor.sh", '-c', $config, '-i', $_) foreach qw(0 0.0 -1 x 1e3);
refused('-i without a number', 2, qr/-i needs a value/, "$scripts/monitor.sh", '-c', $config, '-i');
refused('monitor.sh and an argument', 2, qr/no argument is needed/, "$scripts/monitor.sh", '-c', $config, '0');

# Pictures on a terminal of that size, as lists of lines, and all that was written.
sub pictures
{
	my ($rows, $columns, $file) = @_;
	my $terminal = terminal($rows, $columns, "$scripts/monitor.sh -c $file -i 0.2");
	my $text = join '', map { expect($terminal, qr/\e\[J/) } 1 .. 3;

	type_in($terminal, 'q');
	my ($status, $rest) = finish($terminal);
	my @pictures = map { s/\e\[[0-9?]*[a-zA-Z]//gr } grep { /ago|absent|down|up/ } split /\e\[H/, $text;
	return ($status, $text . $rest, map { [ split /[\r\n]+/, $_ ] } @pictures);
}

# Rows are counted by what moves to the next one.
sub fits
{
	my ($rows, $columns, $text) = @_;
	foreach my $picture (grep { /ago|absent/ } split /\e\[H/, $text)
	{
		$picture =~ s/\e\[\?1049l.*//s;
		return 0 if ($picture =~ tr/\n//) >= $rows;
		$picture =~ s/\e\[[0-9?]*[a-zA-Z]//g;
		return 0 if grep { length(s/[\r\n]//gr) > $columns } split /\n/, $picture;
	}
	return 1;
}

must(@ctl, '-c', 'isolate 0', '-c', 'loss 1 2 50');
($status, my $text, my @pictures) = pictures(24, 80, $config);
is($status, 0, '"q" ends monitor.sh');
ok(fits(24, 80, $text), 'its pictures fit a terminal of 24 rows and 80 columns') or diag(explain(\@pictures));
like($text, qr/\A\e\[\?1049h\e\[\?25l/, 'it takes another screen and hides the cursor');
like($text, qr/\e\[\?25h.*\e\[\?1049l\z/, 'and gives both back');
is(scalar(() = $text =~ /\e\[2J/g), 1, 'it erases the screen only once');
like($text, qr/\e\[31m   x/, 'a cut link is red');
is(scalar(@{ $pictures[0] }), 9, 'three nodes and their links are all in the picture');
($status, $text, @pictures) = pictures(7, 40, $config);
ok(fits(7, 40, $text), 'its pictures fit a terminal of 7 rows and 40 columns') or diag(explain(\@pictures));
like(join("\n", @{ $pictures[1] }), qr/\n\.\.\. \d+ more lines do not fit\z/, 'and it says that something is left out');
must("$scripts/net_init.sh", '-c', config_with(N_NODES => 9));
($status, $text, @pictures) = pictures(24, 80, config_with(N_NODES => 9));
ok(fits(24, 80, $text), 'nine nodes fit 24 rows and 80 columns') or diag(explain(\@pictures));
like(join("\n", @{ $pictures[1] }), qr/\n +8( +\.){8}\s*\z/, 'with all their links');
foreach my $signal (qw(INT TERM))
{
	my $terminal = terminal(24, 80, "sh -c 'echo \$\$ >$dir/monitor.pid; exec $scripts/monitor.sh -c $config'");
	expect($terminal, qr/\e\[J/);
	chomp(my $pid = slurp("$dir/monitor.pid"));
	kill $signal, $pid;
	my ($ended, $rest) = finish($terminal);
	like($rest, qr/\e\[\?25h.*\e\[\?1049l\z/, "SIG$signal gives screen and cursor back");
}

# ---- net_down.sh ----

my %mine = (bridge => [qw(ip link add bforeign type bridge)], namespace => [qw(ip netns add foreign)],
	chain => [qw(ebtables-nft -N foreign)], rule => [qw(ebtables-nft -A FORWARD -j foreign)]);
must(@{ $mine{$_} }) foreach sort keys %mine;
$inside = start('nsenter', '--net=/run/netns/' . namespace(1), 'sh', '-c', 'trap "" TERM INT HUP; sleep 100');
ok(eventually(sub { (readlink("/proc/$inside/ns/net") // '') ne readlink('/proc/self/ns/net') }), 'a process of somebody is in a namespace');
must(@ctl, '-c', 'kill 0', '-c', 'pause 1');

# What looks like a server of node 0, and is not on the stand.
must('cp', '-L', '/bin/sleep', "$dir/postgres");
my $elsewhere = start('env', '-C', "$dir/node0", "$dir/postgres", '600');
ok(eventually(sub { grep { $_ == $elsewhere } node_pids(0) }), 'a server of node 0 runs elsewhere');
refused('--remove-nodes while a server runs elsewhere', 1, qr/node 0 runs, and not on this stand/, "$scripts/net_down.sh", '-c', $config, '--remove-nodes');
{
	local $ENV{PG_CONFIG} = '/nonexistent';
	$output = script('net_down.sh stops all, also without PostgreSQL, and says what is gone', 0, qr/^the stand is down/m,
		'net_down.sh', '-c', config_with(N_NODES => 9));
}
like($output, qr/^node $_: stopped$/m, "it stopped node $_") foreach 1, 2;
like($output, qr/node 0 runs, and not on this stand: it is left alone/, 'a server that runs elsewhere it leaves alone');
ok(kill(0, $elsewhere), 'so that runs on');
end($elsewhere);
unlink "$dir/postgres";
is(join('', map { node_states($_) } @all), '', 'no server is left, and no part of one');
waitpid $inside, 0;
is($? & 127, 9, 'nor the process inside');
my $left = world();
like($left, qr/^bforeign down free$/m, 'the bridge of somebody else is left');
like($left, qr/^\[foreign\]$/m, 'and his namespace');
like($left, qr/^-p 0x1234 -j DROP\n-j foreign\n/m, 'and his rules in FORWARD');
like($left, qr/^Bridge chain: foreign,/m, 'and his chain');
unlike($left, qr/pgldtest/, 'nothing of the stand is');
ok(-e "$dir/node0/PG_VERSION" && -e "$dir/state/node-0.state", "the nodes' files stay");
script('a second net_down.sh is content', 0, qr/there is no stand/, 'net_down.sh', '-c', $config);
is(world(), $left, 'and changes nothing');
rename "$dir/state/.stand", "$dir/mark" or die $!;
refused('--remove-nodes without a stand that launched them', 1, qr/node 0 has files, but no stand has launched it/, "$scripts/net_down.sh", '-c', $config, '--remove-nodes');
ok(-e "$dir/node0/PG_VERSION" && -e "$dir/state/node-0.state", 'their files stay');
rename "$dir/mark", "$dir/state/.stand" or die $!;
script('--remove-nodes removes them, also when N_NODES is smaller now', 0, qr/the nodes' files are removed/, 'net_down.sh', '-c', config_with(N_NODES => 1), '--remove-nodes');
is(join(' ', grep { !/interrupted|changed|commands|killer|monitor|glob$|bin$|chaos/ } glob("$dir/*")), '', 'all of them');
script('--remove-nodes a second time removes nothing', 0, qr/there are no files of nodes/, 'net_down.sh', '-c', $config, '--remove-nodes');
# With records that no other stand is in, and no test's own file
($status, $output) = run('unshare', '-m', 'sh', '-ec', "
	mount -t tmpfs tmpfs /run/pg_leader_stand
	$scripts/net_init.sh -c $config >$dir/changed.log
	$scripts/ctl.sh --config $config flush >$dir/changed.log
	ls -A /run/pg_leader_stand | tr '\n' ' '
	$scripts/net_down.sh -c $config >$dir/changed.log
	ls -A /run/pg_leader_stand");
is("$status $output", '0 .links .lock bpgldtest ', 'no lock is left where there is no stand');

# ---- pg_leader_state, which only here is called by root ----

my $roots = File::Temp::tempdir(CLEANUP => 1);
($status, $output) = run('pg_leader_state', '--new', "$roots/node-0.state", '--node-id', 0, '--cluster', '127.0.0.1:1');
is($status, 0, 'pg_leader_state --new as root writes the file');
like($output, qr/warning: the file is owned by root, .*\n.*hint: .*chown/, 'and warns that no server can use it');

# ---- private_network ----

# What it says until it ends, and its status, when one does that after it was ready.
sub private
{
	my ($program, $what) = @_;
	my $pid = open(my $out, '-|', "$FindBin::RealBin/private_network", 'perl', '-e', $program) // die "fork: $!";

	<$out>;
	$what->($pid);
	local $/;
	my $text = <$out> // '';
	close $out;
	return (($? & 127 ? 128 + ($? & 127) : $? >> 8) . " $text");
}

# The pipe is at its end only when nobody is left who could write.
my $ready = 'system("sleep 300 &"); $| = 1; print "ready\n"; ';
my $began = Chaos::now();
is(private($ready . 'exit 7', sub { }), '7 ', 'private_network ends with the status of its command, and ends what that left');
is(private("\$SIG{TERM} = sub { print 'cleaned up'; exit 3 }; $ready sleep 300", sub { kill 'TERM', $_[0] }), '3 cleaned up',
	'SIGTERM ends the command, which can clean up');
is(private("$ready sleep 300", sub { kill 'INT', $_[0] }), '130 ', 'SIGINT does');
is(private("$ready sleep 300", sub { kill 'KILL', $_[0] }), '137 ', 'SIGKILL ends all');
cmp_ok(Chaos::now() - $began, '<', 60, 'soon');
is(private("\$SIG{TERM} = 'IGNORE'; $ready sleep 1 while 1", sub { kill 'TERM', $_[0] }), '143 ', 'SIGTERM ends also a command that ignores it');
my $program = q(system("sleep 300 &"); $| = 1; $SIG{TERM} = sub { print "cleaned up"; exit }; open(my $f, ">", $ARGV[0]); sleep 300);
(undef, $output) = run('sh', '-c', "$FindBin::RealBin/private_network perl -e '$program' $dir/glob/ready & until [ -e $dir/glob/ready ]; do sleep 0.1; done; kill -KILL \$\$");
like($output, qr/\Acleaned up\z/, 'so does the death of who started it');

done_testing();
