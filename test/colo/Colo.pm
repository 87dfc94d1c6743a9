# test/colo/Colo.pm
#	  Two QEMUs with one guest under COLO on a test stand, for the tests beside it.
#
# Nodes 0 and 1 of the stand are the hosts of the pair, node 2 only votes.  In each
# host's namespace a bridge joins its cable and the guest's network card.  This process
# is a client in the guest's network: links that ctl.sh cuts do not concern it.
#
# QEMU runs under TCG, for there need be no KVM.  README.md says what that means.

package Colo;

use strict;
use warnings;

use Cwd qw(realpath);
use File::Basename qw(dirname);
use File::Copy qw(copy);
use FindBin;
use lib "$FindBin::RealBin/../stand", "$FindBin::RealBin/../chaos", "$FindBin::RealBin/../../script/examples";

use Chaos;
use IO::Socket::INET;
use POSIX qw(:sys_wait_h);
use Qmp;
use Stand;
use Time::HiRes qw(sleep time);

our @ISA = ('Stand');

my $top = realpath(dirname(__FILE__) . '/../..');

use constant {
	GUEST => '10.93.7.50',
	CLIENT => '10.93.7.1/24',
	SECONDS_TO_BOOT => 120,

	# No multiple of 256 kB: see README.md.
	MEMORY => '98312k',
	MEMORY_WITH_POSTGRES => '262152k',
};
my @host = ('10.93.7.10', '10.93.7.11');
my @side = ('primary', 'secondary');

# What a QEMU has of monitors: one client each.
my @monitors = qw(test notify watch);

# undef, or why there can be no COLO here.
sub missing
{
	my $why = Stand::missing();

	return $why if defined $why;
	return 'no /dev/net/tun' unless -c '/dev/net/tun';
	foreach my $program (qw(qemu-system-x86_64 qemu-img ping pgrep debugfs e2fsck cc))
	{
		return "no program $program" if system("PATH=\$PATH:/sbin; type $program >/dev/null 2>&1") != 0;
	}
	return 'this QEMU has no COLO' if `qemu-system-x86_64 -object help` !~ /colo-compare/;
	return undef;
}

# The guest's files are made, or are taken from there; skips the test if they cannot be had.
sub guest_directory
{
	my (@options) = @_;
	my $directory = $ENV{COLO_GUEST} // "$ENV{TMPDIR}/colo_guest";

	mkdir $directory;
	my $output = `$top/test/colo/make_guest @options $directory 2>&1`;
	if ($? >> 8 == 77)
	{
		$output =~ s/\s+/ /g;
		Test::More::plan(skip_all => "no guest: $output");
	}
	die "make_guest: $output" if $? != 0;
	return $directory;
}

# guest: its directory; disk: the name of its disk there; memory.
sub new
{
	my ($class, %options) = @_;
	my $self = Stand::new($class, nodes => 3, settings => "MIN_TIMEOUT=500\nMAX_TIMEOUT=1000\nHEARTBEAT_TIMEOUT=100\n");

	$self->{guest} = $options{guest};
	$self->{disk} = $options{disk} // 'disk.raw';
	$self->{memory} = $options{memory} // MEMORY;
	$self->{run} = "$self->{dir}/colo";
	mkdir $self->{run} or die $!;
	$self->run('/usr/bin/cc', '-shared', '-fPIC', '-O2', '-o', "$self->{run}/tcg_shim.so", "$top/test/colo/tcg_shim.c", '-ldl');
	$self->join_guest($_) foreach 0, 1;
	$self->run(qw(ip addr add), CLIENT, qw(dev bpgldtest));
	$self->launch(1, $self->ids);
	$self->supervise(0, 1);
	$self->settings(2, 'pg_leader.candidate' => 'off');
	defined $self->query(2, 'CREATE TABLE colo (guest text PRIMARY KEY, side text NOT NULL)') or die 'no table';
	$self->install_notify($_) foreach 0, 1;
	return $self;
}

# A bridge in the host's namespace, with its cable and the guest's network card.
sub join_guest
{
	my ($self, $id) = @_;
	my @ip = ('ip', '-n', "pgldtest$id");

	$self->run(@ip, qw(link add br0 type bridge stp_state 0));
	$self->run(@ip, qw(addr flush dev eth0));
	$self->run(@ip, qw(link set eth0 master br0));
	$self->run(@ip, 'addr', 'add', "$host[$id]/24", qw(dev br0));
	$self->run(@ip, qw(link set br0 up));
	$self->run(@ip, qw(tuntap add tap0 mode tap));
	$self->run(@ip, qw(link set tap0 master br0 up));
	return;
}

sub settings
{
	my ($self, $id, %settings) = @_;

	while (my ($name, $value) = each %settings)
	{
		$value =~ s/'/''/g;
		defined $self->query($id, "ALTER SYSTEM SET $name = '$value'") or die "node $id: $name";
	}
	defined $self->query($id, 'SELECT pg_reload_conf()') or die "node $id";
	return;
}

# The other host is gone if it does not answer, and its QEMU is, if its process is not
# there: pgrep by ssh with hosts of their own.
sub gone
{
	my ($self, $id) = @_;
	my $other = 1 - $id;

	return ('--gone', "ping -qnc1 -W1 $host[$other]", '--gone', "pgrep -F $self->{run}/$side[$other].pid");
}

# On the third machine: whoever is first has it.  By a socket, for there is one file system.
sub witness { my ($self, @options) = @_; return "psql -XAtqh $self->{dir}/sockets -p @{[$self->{tcp} + 2]} -U postgres postgres @options"; }

sub take_command
{
	my ($self, $id) = @_;

	return $self->witness(qq(-c "INSERT INTO colo VALUES ('vm1', '$side[$id]') ON CONFLICT DO NOTHING" -c "SELECT side FROM colo WHERE guest = 'vm1'"))
	  . " | grep -qx $side[$id]";
}

sub failover_program { return "$top/script/examples/colo_failover.pl"; }

sub side { my ($self, $id) = @_; return $side[$id]; }

# Once more, by hand: exit status, and what it says.
sub fail_over
{
	my ($self, $id) = @_;
	return $self->try_run(failover_program(), '--gone', 'exit 1', '--take', 'false', "$self->{run}/$side[$id].notify", 'gained_lease');
}

sub install_notify
{
	my ($self, $id) = @_;
	my @gone = map { /^--/ ? $_ : "\"$_\"" } $self->gone($id);
	my $take = "$self->{dir}/take$id";

	open(my $script, '>', $take) or die $!;
	print $script "#!/bin/sh\n", $self->take_command($id), "\n";
	close $script;
	chmod 0755, $take;
	$self->settings($id, 'pg_leader.notify_command' => join(' ', failover_program(), @gone, '--take', $take, "$self->{run}/$side[$id].notify %e"));
	return;
}

# As it would run as a service: as the servers' user, in the host's namespace.
sub start_watch
{
	my ($self, $id) = @_;
	my ($socket, $port) = ("$self->{dir}/sockets", $self->{tcp} + $id);
	my $other = 1 - $id;

	$self->{watch}[$id] = $self->start_process("$self->{run}/$side[$id].watch_log", 'nsenter', "--net=/run/netns/pgldtest$id", '--',
		'runuser', '-u', $ENV{PGLD_USER} // 'postgres', '--', failover_program(), $self->gone($id), '--take', "$self->{dir}/take$id",
		'--if', "$top/script/pg_leader_check -q -h $socket -p $port -U postgres -d postgres",
		'--hand-over', "psql -XAtqh $socket -p $port -U postgres -c 'SELECT pg_leader_transfer($other)' postgres",
		"$self->{run}/$side[$id].watch", 'watch');
	return;
}

sub start_process
{
	my ($self, $log, @command) = @_;
	my $pid = fork() // die "fork: $!";

	if ($pid == 0)
	{
		open(STDIN, '<', '/dev/null');
		open(STDOUT, '>>', $log);
		open(STDERR, '>&', \*STDOUT);
		exec(@command) or POSIX::_exit(127);
	}
	return $pid;
}

# ---- QEMU ----

sub common_options
{
	my ($self, $id) = @_;
	my $base = "$self->{run}/$side[$id]";

	return words(<<"OPTIONS", map { "-qmp unix:$base.$_,server=on,wait=off" } @monitors), '-append', 'console=ttyS0 quiet nokaslr mitigations=off no_timer_check';
-name $side[$id] -nodefaults -no-user-config -machine pc,accel=tcg -cpu qemu64 -smp 1 -display none
-m $self->{memory} -kernel $self->{guest}/kernel -initrd $self->{guest}/initrd.gz
-serial file:$base.console -pidfile $base.pid
-netdev tap,id=hn0,ifname=tap0,script=no,downscript=no,vhost=off
-device virtio-net-pci,id=e0,netdev=hn0,mac=52:54:00:00:00:50
OPTIONS
}

# Options as one would type them.
sub words { return split ' ', join ' ', @_; }

sub primary_options
{
	my ($self) = @_;

	return ($self->common_options(0), words(<<"OPTIONS"));
-chardev socket,id=mirror0,host=0.0.0.0,port=9003,server=on,wait=off
-chardev socket,id=compare1,host=0.0.0.0,port=9004,server=on,wait=off
-chardev socket,id=compare0,host=127.0.0.1,port=9001,server=on,wait=off
-chardev socket,id=compare0-0,host=127.0.0.1,port=9001
-chardev socket,id=compare_out,host=127.0.0.1,port=9005,server=on,wait=off
-chardev socket,id=compare_out0,host=127.0.0.1,port=9005
-object filter-mirror,id=m0,netdev=hn0,queue=tx,outdev=mirror0,vnet_hdr_support=on
-object filter-redirector,id=redire0,netdev=hn0,queue=rx,indev=compare_out,vnet_hdr_support=on
-object filter-redirector,id=redire1,netdev=hn0,queue=rx,outdev=compare0,vnet_hdr_support=on
-object iothread,id=iothread1
-object colo-compare,id=comp0,primary_in=compare0-0,secondary_in=compare1,outdev=compare_out0,iothread=iothread1,vnet_hdr_support=on
-drive if=virtio,id=colo-disk0,driver=quorum,read-pattern=fifo,vote-threshold=1,children.0.driver=raw,children.0.file.filename=$self->{run}/primary.raw
-S
OPTIONS
}

sub secondary_options
{
	my ($self) = @_;
	my $run = $self->{run};

	return ($self->common_options(1), words(<<"OPTIONS"));
-chardev socket,id=red0,host=$host[0],port=9003,reconnect=1
-chardev socket,id=red1,host=$host[0],port=9004,reconnect=1
-object filter-redirector,id=f1,netdev=hn0,queue=tx,indev=red0,vnet_hdr_support=on
-object filter-redirector,id=f2,netdev=hn0,queue=rx,outdev=red1,vnet_hdr_support=on
-object filter-rewriter,id=rew0,netdev=hn0,queue=all,vnet_hdr_support=on
-drive if=none,id=parent0,driver=raw,file.filename=$run/secondary.raw
-drive if=none,id=childs0,driver=replication,mode=secondary,top-id=colo-disk0,file.driver=qcow2,file.file.filename=$run/active.qcow2,file.backing.driver=qcow2,file.backing.file.filename=$run/hidden.qcow2,file.backing.backing=parent0
-drive if=virtio,id=colo-disk0,driver=quorum,read-pattern=fifo,vote-threshold=1,children.0=childs0
-incoming tcp:0.0.0.0:9998
OPTIONS
}

sub start_qemu
{
	my ($self, $id) = @_;
	my $user = (Chaos::owner())[0];
	my $base = "$self->{run}/$side[$id]";

	$self->{qemu}[$id] = $self->start_process("$base.out", 'nsenter', "--net=/run/netns/pgldtest$id", '--',
		'env', "LD_PRELOAD=$self->{run}/tcg_shim.so", 'nice', '-n', '10', 'qemu-system-x86_64',
		$id == 0 ? $self->primary_options : $self->secondary_options);
	Chaos::eventually(30, sub { -S "$base.watch" && -e "$base.pid" }) or die "no QEMU: " . Chaos::slurp("$base.out");
	chown $user, -1, map { "$base.$_" } @monitors;
	chmod 0644, "$base.pid";
	$self->{qmp}[$id] = Qmp->new("$base.test", time + 30);
	return;
}

sub qmp
{
	my ($self, $id, $command, $arguments) = @_;

	$self->{qmp}[$id]->set_end(time + 10);
	return $self->{qmp}[$id]->execute($command, $arguments);
}

# As a machine that loses its power.
sub kill_qemu
{
	my ($self, $id) = @_;

	return unless $self->{qemu}[$id];
	kill 'KILL', $self->{qemu}[$id];
	waitpid($self->{qemu}[$id], 0);
	delete $self->{qemu}[$id];
	delete $self->{qmp}[$id];
	return;
}

# From no QEMU at all to COLO; what colo_start.pl said, both times.  Its options may be
# given.
sub up
{
	my ($self, @options) = @_;
	my $run = $self->{run};
	my $size = -s "$self->{guest}/$self->{disk}";
	my $said;

	# what killed QEMUs have left
	unlink map { glob("$run/*$_") } '.console', '.pid', '.out', '_log', map { ".$_" } @monitors;
	$self->run('/bin/cp', '--sparse=always', "$self->{guest}/$self->{disk}", "$run/primary.raw");
	$self->run(qw(qemu-img create -q -f qcow2), "$run/$_.qcow2", $size) foreach qw(active hidden);
	$self->start_qemu(0);
	$self->qmp(0, 'cont');
	Chaos::eventually(SECONDS_TO_BOOT, sub { Chaos::slurp("$run/primary.console") =~ /GUEST_READY/ })
	  or die 'the guest does not boot: ' . Chaos::slurp("$run/primary.console");
	$self->qmp(0, 'stop');
	$self->run('/bin/cp', '--sparse=always', "$run/primary.raw", "$run/secondary.raw");
	$self->start_qemu(1);
	# the monitors for tests are in use by this process
	delete $self->{qmp};
	foreach (1, 2)
	{
		$said = $self->run("$top/script/examples/colo_start.pl", @options, '--release', $self->witness('-c "DELETE FROM colo"'), "$run/primary.test", "$run/secondary.test", $host[1]);
		$self->{started} .= $said;
	}
	die "the second time it was not up: $said" unless $said eq "COLO runs already\n";
	$self->{qmp}[$_] = Qmp->new("$run/$side[$_].test", time + 10) foreach 0, 1;
	$self->start_watch($_) foreach 0, 1;
	return;
}

# All that a case has started is ended, so that the next one can begin; the hosts are whole.
sub down
{
	my ($self) = @_;

	foreach my $id (0, 1)
	{
		next unless my $pid = delete $self->{watch}[$id];
		kill 'TERM', $pid;
		waitpid($pid, 0);
	}
	$self->kill_qemu($_) foreach 0, 1;
	$self->ctl('flush');
	$self->run(qw(ip link set), "vpgldtest$_", 'up') foreach 0, 1;
	foreach my $id (grep { !$self->pids($_) } $self->ids) { $id < 2 ? $self->supervise($id) : $self->launch(0, $id); }
	$self->settled;
	return;
}

# "none", "primary", "secondary", or why it says nothing.
sub mode
{
	my ($self, $id) = @_;

	return 'dead' unless $self->{qemu}[$id];
	my $mode = eval { $self->qmp($id, 'query-colo-status')->{mode} } // "silent: $@";
	chomp $mode;
	return $mode;
}

# The same of a QEMU that may wait for the other host in a checkpoint: made to answer.
sub freed_mode
{
	my ($self, $id) = @_;

	return $self->mode($id) unless $self->mode($id) =~ /^silent/;
	my $qmp = $self->{qmp}[$id];
	$qmp->set_end(time + 10);
	my $instances = $qmp->execute_out_of_band('query-yank');
	$qmp->execute_out_of_band('yank', { instances => $instances }) if @$instances;
	my $mode;
	Chaos::eventually(60, sub { ($mode = $self->mode($id)) !~ /^silent/ });
	return $mode;
}

# What the node of a host has written since mark_logs was called.
sub mark_logs { my ($self) = @_; $self->{mark} = [ map { length $self->log_of($_) } 0, 1 ]; return; }

sub log_of { my ($self, $id) = @_; return Chaos::slurp("$self->{dir}/node$id.log"); }

sub watch_log { my ($self, $id) = @_; return Chaos::slurp("$self->{run}/$side[$id].watch_log"); }

sub new_log { my ($self, $id) = @_; return substr($self->log_of($id), $self->{mark}[$id]); }

sub unplug { my ($self, $id) = @_; $self->run(qw(ip link set), "vpgldtest$id", 'down'); return; }

# A host that is lost takes all of them along.
sub kill_nodes
{
	my ($self, @ids) = @_;

	$self->kill_supervisors(@ids);
	return $self->SUPER::kill_nodes(@ids);
}

# That node leads.
sub make_leader
{
	my ($self, $id) = @_;
	my ($leader, $term) = $self->settled;

	return if $leader == $id;
	$self->ctl('transfer', $id);
	($leader) = $self->wait_for_leader_above($term, $self->ids);
	die "node $leader leads, not $id" if $leader != $id;
	return;
}

# ---- the guest's services ----

# What comes back from a port of the guest until it closes; undef: nothing in time.
sub ask
{
	my ($port, $text, $seconds) = @_;
	my $answer = '';

	return eval {
		local $SIG{ALRM} = sub { die "late\n" };
		alarm $seconds;
		my $socket = IO::Socket::INET->new(PeerAddr => GUEST, PeerPort => $port, Proto => 'tcp', Timeout => $seconds) or die "no connection\n";
		print $socket $text;
		$socket->flush;
		while (sysread($socket, my $part, 65536)) { $answer .= $part; }
		alarm 0;
		$answer;
	} // do { alarm 0; undef };
}

# A line for the guest's disk.  True: it was answered.
sub put
{
	my ($self, $line, $seconds) = @_;

	$self->{asked}{$line} = 1;
	my $answer = ask(8, "$line\n", $seconds // 10) // '';
	return 0 unless $answer eq "ok $line\n";
	push @{ $self->{answered} }, $line;
	return 1;
}

# The lines that the guest has on its disk, as the guest sees it; none: no answer.
sub lines
{
	my ($self) = @_;
	my $answer = ask(80, "GET /log HTTP/1.0\r\n\r\n", 10) // return;

	return unless $answer =~ s/\A.*?\r?\n\r?\n//s;
	return split /\n/, $answer;
}

# Ends that QEMU, and returns the lines that are in its disk's file.
sub lines_on_disk
{
	my ($self, $id) = @_;
	my $disk = "$self->{run}/$side[$id].raw";

	$self->qmp($id, 'quit');
	waitpid($self->{qemu}[$id], 0);
	delete $self->{qemu}[$id];
	delete $self->{qmp}[$id];
	local $ENV{PATH} = "$ENV{PATH}:/sbin";
	copy($disk, "$disk.copy") or die $!;
	system("e2fsck -fy $disk.copy >/dev/null 2>&1");
	my @lines = split /\n/, `debugfs -R 'cat /log' $disk.copy 2>/dev/null`;
	unlink "$disk.copy";
	return @lines;
}

sub DESTROY
{
	my ($self) = @_;

	return unless $self->{owner} == $$;
	local ($?, $@);
	foreach my $pid (grep { defined } @{ $self->{qemu} // [] }, @{ $self->{watch} // [] })
	{
		kill 'KILL', $pid;
		waitpid($pid, 0);
	}
	$self->SUPER::DESTROY;
	return;
}

1;
