# test/stand/Stand.pm
#	  A cluster on a test stand of its own, for the tests beside it.
#
# A Chaos cluster (test/chaos/Chaos.pm) whose nodes live in network namespaces
# that script/test_stand/net_init.sh makes, and whose links script/test_stand/
# ctl.sh cuts: the tests use what users have.  Needs root, and is best run by
# test/run.sh, which gives each test a network and processes of its own; without
# it, what a killed test has left is taken down by the next one.

package Stand;

use strict;
use warnings;

use Cwd qw(realpath);
use File::Basename qw(dirname);
use FindBin;
use lib "$FindBin::RealBin/../chaos";

use Chaos;
use Time::HiRes qw(sleep);

our @ISA = ('Chaos');

my $top = realpath(dirname(__FILE__) . '/../..');

# Milliseconds, as Chaos.pm configures them.
use constant { MIN_TIMEOUT => 200, MAX_TIMEOUT => 400, HEARTBEAT => 50 };

# undef, or why there can be no stand here.
sub missing
{
	return 'not root' if $> != 0;
	foreach my $program (qw(ip nsenter ebtables-nft ebtables-nft-restore nft))
	{
		return "no program $program" if system("type $program >/dev/null 2>&1") != 0;
	}
	return undef;
}

# nodes: how many; settings: lines for the configuration, over those of Chaos.pm.
sub new
{
	my ($class, %options) = @_;
	my $self = Chaos::new($class, nodes => $options{nodes});

	open(my $config, '>>', $self->{config}) or die $!;
	print $config <<"TEXT", $options{settings} // '';
IPv4_CLUSTER=
NETWORK=10.93.7
MASK=24
PGLD_UDP_PORT=3500
NETNS_PREFIX=pgldtest
VETH_PREFIX=vpgldtest
BRIDGE_NAME=bpgldtest
TEXT
	close $config;
	$self->run('net_down.sh', '-c', $self->{config});
	$self->run('net_init.sh', '-c', $self->{config});
	$self->{up} = 1;
	return $self;
}

# One of the stand's scripts; dies with what it said when it fails.
sub run
{
	my ($self, $script, @arguments) = @_;
	my ($status, $output) = $self->try_run($script, @arguments);

	die "$script @arguments: exit status $status\n$output" if $status != 0;
	return $output;
}

# The same, for those that may fail: (exit status, what it said).
sub try_run
{
	my ($self, $script, @arguments) = @_;
	my $pid = open(my $pipe, '-|') // die "fork: $!";

	if ($pid == 0)
	{
		open(STDERR, '>&', \*STDOUT);
		exec("$top/script/test_stand/$script", @arguments) or POSIX::_exit(127);
	}
	local $/;
	my $output = <$pipe> // '';
	close $pipe;
	return ($? >> 8, $output);
}

# A command of ctl.sh.  Returns the election's clock, in seconds, before and
# after: what it does happens in between.
sub ctl
{
	my ($self, @words) = @_;
	my $before = Chaos::now();

	$self->run('ctl.sh', '--config', $self->{config}, '-c', "@words");
	return ($before, Chaos::now());
}

sub launch
{
	my ($self, undef, @ids) = @_;
	$self->ctl('start', @ids);
	return;
}

# The node that holds a lease, and its term, as soon as there is one among these
# that all of these follow; dies after 60 s.
sub settled
{
	my ($self, @ids) = @_;
	return $self->wait_for_leader(@ids ? @ids : $self->ids);
}

# All that a node's events say: references to hashes, oldest first; times in
# seconds of the election's clock, undef where there is none.
sub events
{
	my ($self, $id) = @_;
	my @names = qw(number boot_time term role leader_id lease_start lease_end reason);
	my $rows = $self->query($id,
		'SELECT number, boot_time, term, role, leader_id, lease_start, lease_end, reason '
		  . 'FROM pg_leader_events ORDER BY number') // die "node $id does not answer";
	my @events;

	foreach my $row (@$rows)
	{
		my %event;
		@event{@names} = map { $_ eq '' ? undef : $_ } @$row;
		foreach my $time (qw(boot_time lease_start lease_end))
		{
			$event{$time} /= 1e6 if defined $event{$time};
		}
		push @events, \%event;
	}
	return @events;
}

sub DESTROY
{
	my ($self) = @_;

	return unless $self->{owner} == $$;
	local ($?, $@);
	eval { $self->run('net_down.sh', '-c', $self->{config}) } if $self->{up};
	warn $@ if $@;
	$self->SUPER::DESTROY;
	return;
}

1;
