# bench/BenchServers.pm
#	  PostgreSQL servers with pg_leader on a test stand, as a cluster of
#	  BenchCluster.pm; and the stand itself, which BenchEtcd.pm puts its members
#	  onto, too.
#
# The servers are small, and idle but for the election: they write no data, and only
# the members' state files are made durable.

package BenchServers;

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../test/chaos", "$FindBin::RealBin/../test/stand";

use IO::Handle;
use IPC::Open2;
use POSIX ();
use Stand;
use Time::HiRes qw(sleep);

use Bench;
use BenchCluster;

our @ISA = ('BenchCluster');

my %faults = map { $_ => 1 } qw(kill_all kill_postmaster isolate graceful_stop transfer sigstop);

# Servers of a few MB that have nothing to do by themselves.
my @small = map { ('-c', $_) } (
	'shared_buffers=1MB', 'max_connections=20', 'wal_level=minimal', 'max_wal_senders=0',
	'max_parallel_workers=0', 'max_logical_replication_workers=0', 'autovacuum=off',
	'bgwriter_lru_maxpages=0', 'checkpoint_timeout=1d', 'track_activities=off', 'jit=off',
	'fsync=off', 'update_process_title=off');

# nodes, heartbeat, min, max, loss: as on the command line; interval: of samples, in us.
sub new
{
	my ($class, %options) = @_;
	my $reason = Stand::missing();

	die "$0: no test stand is possible here: $reason\nhint: script/install_deps.sh stand installs what it needs\n"
	  if defined $reason;
	my $self = bless {
		%options,
		name => 'pg_leader',
		n => $options{nodes},
		has_leases => 1,
		has_events => 1,

		# a restarted member is bound by its promise for min; then it has to hear, and
		# be heard
		calm => 2 * $options{max} + 100,
	}, $class;
	$self->{stand} = Stand->new(
		nodes => $options{nodes},
		settings => "MIN_TIMEOUT=$options{min}\nMAX_TIMEOUT=$options{max}\nHEARTBEAT_TIMEOUT=$options{heartbeat}\n");
	$self->{dir} = $self->{stand}{dir};
	($self->{uid}, $self->{gid}) = Chaos::owner();
	$self->build;
	return $self;
}

sub faults { return \%faults; }

sub settings
{
	my ($self) = @_;
	return "heartbeat $self->{heartbeat} ms, timeouts $self->{min}-$self->{max} ms; "
	  . Bench::first_line("$self->{stand}{bin}/postgres", '-V');
}

sub formula
{
	my ($self) = @_;
	return Bench::formula_mean(@{$self}{qw(min max heartbeat)}, $self->{n} - 1);
}

sub build
{
	my ($self) = @_;

	mkdir "$self->{dir}/bench";
	$self->{stand}->run('/usr/bin/env', 'make', '-s', '-C', "$Bench::top/bench",
		"BUILD=$self->{dir}/bench", "PG_CONFIG=$self->{stand}{bin}/pg_config");
	return;
}

# Make the nodes, and start them again with the small settings.
sub start
{
	my ($self) = @_;
	my $stand = $self->{stand};

	$stand->launch(1, $self->ids);
	$stand->settled($self->ids);
	$stand->ctl('stop', $self->ids);
	$self->start_node($_) foreach $self->ids;
	$self->start_observer("$self->{dir}/bench/observe", '--interval', $self->{interval},
		'--socket-directory', "$self->{dir}/sockets",
		'--ports', join(',', map { $stand->{tcp} + $_ } $self->ids));
	return;
}

# Words before a command that make it run in a node's namespace, as the servers' user.
sub in_node
{
	my ($self, $id) = @_;
	return $self->{stand}->in_node($id);
}

# Does not wait until it answers: settle() does.
sub start_node
{
	my ($self, $id) = @_;
	my $stand = $self->{stand};

	$stand->run('/usr/bin/env', '-C', '/', $self->in_node($id), "$stand->{bin}/pg_ctl", '-W', '-s',
		'-D', "$self->{dir}/node$id", '-l', "$self->{dir}/node$id.log",
		'-o', join(' ', @small), 'start');
	return;
}

# The postmaster comes last.
sub processes { my ($self, $id) = @_; return sort { $b <=> $a } $self->{stand}->pids($id); }

# ---- faults ----

sub prepare
{
	my ($self, $fault, $leader) = @_;

	$self->lose($self->{loss});
	return $self->prepare_cut($leader) if $fault eq 'isolate';
	return $self->prepare_transfer($leader) if $fault eq 'transfer';
	my $postmaster = $self->{stand}->postmaster($leader) // die "node $leader does not run\n";
	return sub { kill 'KILL', $postmaster } if $fault eq 'kill_postmaster';
	# what pg_ctl stop sends
	return sub { kill 'INT', $postmaster } if $fault eq 'graceful_stop';
	my @all = $self->processes($leader);
	return sub { kill 'STOP', @all } if $fault eq 'sigstop';
	# Stopped first: no process can act on the end of another.
	return sub { kill 'STOP', @all; kill 'KILL', @all };
}

# The rules are read and checked by then; only the last word is missing.
sub prepare_cut
{
	my ($self, $leader) = @_;
	my $pid = open(my $rules, '|-', 'ebtables-nft-restore', '--noflush') // die "ebtables: $!";

	$rules->autoflush(1);
	print $rules "*filter\n";
	foreach my $id (grep { $_ != $leader } $self->ids)
	{
		print $rules "-A pgld_bpgldtest -i vpgldtest$_->[0] -o vpgldtest$_->[1] -j DROP\n"
		  foreach [ $leader, $id ], [ $id, $leader ];
	}
	sleep(0.05);
	return sub {
		print $rules "COMMIT\n";
		close $rules or die "ebtables refused to cut the links\n";
	};
}

# A psql that is connected already, and only waits for the command.
sub prepare_transfer
{
	my ($self, $leader) = @_;
	my $stand = $self->{stand};
	my ($out, $in);
	my $pid = open2($out, $in, 'env', '-C', '/', $self->in_node($leader), "$stand->{bin}/psql", '-XqAt', '-h',
		"$self->{dir}/sockets", '-p', $stand->{tcp} + $leader, '-U', 'postgres', '-d', 'postgres');

	$in->autoflush(1);
	print $in "SELECT 'ready';\n";
	(<$out> // '') eq "ready\n" or die "psql does not answer\n";
	$self->{psql} = [ $pid, $in, $out ];
	# where packets are lost, nobody may be fit the first time
	my $times = $self->{loss} ? 20 : 1;
	return sub { print $in "SELECT pg_leader_transfer();\n" x $times };
}

sub end_transfer
{
	my ($self) = @_;
	my ($pid, $in, $out) = @{ delete $self->{psql} // return };

	close $in;
	my @said = <$out>;
	waitpid($pid, 0);
	return @said;
}

# So many per cent on every link, both ways.
sub lose
{
	my ($self, $percent) = @_;
	my @ids = $self->ids;

	return unless $self->{loss};
	foreach my $i (0 .. $#ids) { $self->{stand}->ctl('loss', $ids[$i], $_, $percent, 'both') foreach @ids[ $i + 1 .. $#ids ]; }
	return;
}

sub cancel
{
	my ($self) = @_;
	$self->lose(0);
	$self->end_transfer;
	return;
}

sub mend
{
	my ($self, $fault, $leader) = @_;

	$self->lose(0);
	if ($fault eq 'isolate') { $self->{stand}->ctl('brainjoin'); }
	elsif ($fault eq 'sigstop') { kill 'CONT', $self->processes($leader); }
	elsif ($fault eq 'transfer')
	{
		my @said = $self->end_transfer;
		die "pg_leader_transfer() says: @said\n" unless grep { /^\d+$/ } @said;
	}
	else
	{
		my $file = $self->{stand}->postmaster($leader) // 'none';
		Chaos::eventually(BenchCluster::PATIENCE, sub { !$self->processes($leader) && !-e "/proc/$file" })
		  or die "processes of node $leader do not end\n";
		$self->start_node($leader);
	}
	return;
}

1;
