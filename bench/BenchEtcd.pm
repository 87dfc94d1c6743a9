# bench/BenchEtcd.pm
#	  Members of etcd in the namespaces of a test stand, as a cluster of
#	  BenchCluster.pm.
#
# Who leads is known from what each member logs the moment it gets to know, before it
# saves what goes with it; to read that costs etcd nothing.  Asking it as often would:
# a status by its API takes many times what a sample in SQL does.  Its data are beside
# the state files of the servers that it is compared with, on the same disk.

package BenchEtcd;

use strict;
use warnings;

use POSIX ();
use Time::HiRes qw(sleep);

use Bench;
use BenchCluster;

our @ISA = ('BenchCluster');

my %faults = map { $_ => 1 } qw(kill_all isolate graceful_stop sigstop);

# servers: the BenchServers whose stand it is; heartbeat, election: ms, as etcd's
# --heartbeat-interval and --election-timeout.
sub new
{
	my ($class, %options) = @_;
	my $servers = $options{servers};
	my $self = bless {
		%options,
		name => 'etcd',
		n => $servers->{n},
		dir => "$servers->{dir}/etcd",
		calm => 3 * $options{election} + 100,
		owner => $$,
	}, $class;

	die "$0: no program etcd\nhint: apt-get install etcd-server\n"
	  if system('type etcd >/dev/null 2>&1') != 0;
	mkdir $self->{dir} or die "$self->{dir}: $!";
	chown $servers->{uid}, $servers->{gid}, $self->{dir};
	return $self;
}

sub faults { return \%faults; }

sub settings
{
	my ($self) = @_;
	return "heartbeat-interval $self->{heartbeat} ms, election-timeout $self->{election} ms, pre-vote "
	  . ($self->{pre_vote} ? 'true; ' : 'false; ') . Bench::first_line('etcd', '--version');
}

# It counts ticks of one heartbeat interval h.  The number of them is drawn from T/h
# to 2 T/h - 1, and the first is not a whole one but any part of it: so the time is
# drawn evenly from T - h to 2 T - h.
sub formula
{
	my ($self) = @_;
	my ($T, $h) = @{$self}{qw(election heartbeat)};

	return Bench::formula_mean($T - $h, 2 * $T - $h, $h, $self->{n} - 1);
}

sub start
{
	my ($self) = @_;

	$self->start_node($_) foreach $self->ids;
	$self->start_observer("$self->{servers}{dir}/bench/observe", '--interval', $self->{interval},
		'--logs', join(',', map { "$self->{dir}/$_.log" } $self->ids));
	return;
}

sub peer
{
	my ($id) = @_;
	return 'http://10.93.7.' . (10 + $id) . ':2380';
}

# At any moment of a heartbeat interval: a member's ticks are counted from its start, and
# members whose ticks coincide would split more votes than those of real machines.
sub start_node
{
	my ($self, $id) = @_;
	sleep(rand($self->{heartbeat} / 1e3));
	my @command = (
		'etcd', '--name', "n$id", '--data-dir', "$self->{dir}/$id",
		'--heartbeat-interval', $self->{heartbeat}, '--election-timeout', $self->{election},
		'--listen-peer-urls', peer($id), '--initial-advertise-peer-urls', peer($id),
		'--listen-client-urls', 'http://127.0.0.1:2379',
		'--advertise-client-urls', 'http://127.0.0.1:2379',
		'--initial-cluster', join(',', map { "n$_=" . peer($_) } $self->ids),
		'--logger=capnslog', '--pre-vote=' . ($self->{pre_vote} ? 'true' : 'false'));

	open(my $log, '>>', "$self->{dir}/$id.log") or die "$self->{dir}/$id.log: $!";
	my $pid = fork() // die "fork: $!";
	if ($pid == 0)
	{
		open(STDOUT, '>&', $log) && open(STDERR, '>&', $log) && chdir('/') or POSIX::_exit(127);
		exec($self->{servers}->in_node($id), @command) or POSIX::_exit(127);
	}
	$self->{pid}{$id} = $pid;
	return;
}

sub prepare
{
	my ($self, $fault, $leader) = @_;
	my $pid = $self->{pid}{$leader};

	return $self->{servers}->prepare_cut($leader) if $fault eq 'isolate';
	my %signals = (kill_all => 'KILL', graceful_stop => 'TERM', sigstop => 'STOP');
	return sub { kill $signals{$fault}, $pid };
}

sub mend
{
	my ($self, $fault, $leader) = @_;

	if ($fault eq 'isolate') { $self->{servers}{stand}->ctl('brainjoin'); }
	elsif ($fault eq 'sigstop') { kill 'CONT', $self->{pid}{$leader}; }
	else
	{
		$self->await_end($leader);
		# What it said before it ended holds no more.
		delete $self->{seen}{$leader};
		$self->start_node($leader);
	}
	return;
}

sub await_end
{
	my ($self, $id) = @_;

	Chaos::eventually(BenchCluster::PATIENCE, sub { waitpid($self->{pid}{$id}, POSIX::WNOHANG()) != 0 })
	  or die "etcd on node $id does not end\n";
	return;
}

# Those that are still there when something has failed.
sub DESTROY
{
	my ($self) = @_;

	return unless $self->{owner} == $$;
	local ($?, $!);
	kill 'KILL', values %{ $self->{pid} };
	waitpid($_, 0) foreach values %{ $self->{pid} };
	return;
}

1;
