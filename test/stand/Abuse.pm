# test/stand/Abuse.pm
#	  A cluster on the stand, and a stranger in a namespace of his own who sends to
#	  the members' ports whatever he likes, with whatever source address.
#
# For abuse.pl and bench/abuse.  The stranger uses build/stand/flood.

package Abuse;

use strict;
use warnings;

use Cwd qw(realpath);
use File::Basename qw(dirname);
use FindBin;
use lib $FindBin::RealBin, dirname(__FILE__);

use POSIX ();
use Stand;
use Time::HiRes qw(sleep);

our @ISA = ('Stand');

my $top = realpath(dirname(__FILE__) . '/../..');

use constant {
	STRANGER => '10.93.7.250',
	PORT => 3500,
	NAMESPACE => 'pgldtest-stranger',
	CABLE => 'vpgldteststrang',
	TICKS => POSIX::sysconf(POSIX::_SC_CLK_TCK()),
};

# secret: with authentication; the rest is as of Stand.pm.
sub new
{
	my ($class, %options) = @_;
	my $self = Stand::new($class, nodes => $options{nodes} // 3);

	$self->{flood} = (grep { -x } "$top/build/stand/flood")[0] // die "build/stand/flood is missing; make -C test/stand\n";
	if ($options{secret})
	{
		my $secret = "$self->{dir}/secret";
		$self->run("$top/script/make_secret.sh", $secret);
		open(my $config, '>>', $self->{config}) or die $!;
		print $config "PGLD_SECRET_FILE=$secret\n";
		close $config;
		chown Chaos::owner(), $secret;
	}
	$self->make_stranger;
	$self->launch(1, $self->ids);
	return $self;
}

sub make_stranger
{
	my ($self) = @_;
	my @in = (qw(/sbin/ip -n), NAMESPACE);

	$self->remove_stranger;
	$self->{has_stranger} = 1;
	$self->run(qw(/sbin/ip netns add), NAMESPACE);
	$self->run(qw(/sbin/ip link add), CABLE, qw(type veth peer name eth0 netns), NAMESPACE);
	$self->run(qw(/sbin/ip link set), CABLE, qw(master bpgldtest up));
	$self->run(@in, qw(addr add), STRANGER . '/24', qw(dev eth0));
	$self->run(@in, qw(link set eth0 up));
	return;
}

sub remove_stranger
{
	my ($self) = @_;
	system('ip link del ' . CABLE . ' 2>/dev/null; ip netns del ' . NAMESPACE . ' 2>/dev/null');
	return;
}

sub address { my ($self, $id, $port) = @_; return '10.93.7.' . (10 + $id) . ':' . ($port // PORT); }

# Start a program in a namespace; what it said is returned by "finished".
sub begin
{
	my ($self, $namespace, @command) = @_;
	my $pid = open(my $pipe, '-|') // die "fork: $!";

	if ($pid == 0)
	{
		open(STDERR, '>&', \*STDOUT);
		exec('ip', 'netns', 'exec', $namespace, @command) or POSIX::_exit(127);
	}
	return { pid => $pid, pipe => $pipe, command => "@command" };
}

sub finished
{
	my ($self, $job) = @_;
	my $pipe = $job->{pipe};
	my $output = do { local $/ = undef; <$pipe> } // '';

	close $pipe;
	die "$job->{command}: $output" if $?;
	chomp $output;
	return $output;
}

# What node ID receives from the others, for so long, into a file; its name.
sub record
{
	my ($self, $id, $seconds, $name) = @_;
	my ($job, $file) = $self->begin_recording($id, $seconds, $name);

	$self->finished($job);
	return $file;
}

sub begin_recording
{
	my ($self, $id, $seconds, $name) = @_;
	my $file = "$self->{dir}/$name";

	return ($self->begin("pgldtest$id", $self->{flood}, 'record', $file, PORT, $seconds), $file);
}

# What the leader and a follower receive, recorded for each "kind": "old", before both
# members begin anew; "greeted", while the other one does; and "new", after that.
# Returns the leader, that follower, and {kind}{node}, the files.
sub recordings
{
	my ($self) = @_;
	my ($leader) = $self->settled;
	my ($follower) = grep { $_ != $leader } $self->ids;
	my %of;

	$of{old}{$_} = $self->record($_, 1, "old$_") foreach $leader, $follower;
	foreach my $id ($follower, $leader)
	{
		my $worker = $self->worker($id);
		my ($target) = grep { $_ != $id } $leader, $follower;
		my ($job, $recording) = $self->begin_recording($target, 3, "greeted$target");

		$of{greeted}{$target} = $recording;
		$self->expect_end('TERM', $id, $worker);
		kill 'TERM', $worker;
		sleep(2);
		$self->settled;
		$self->finished($job);
	}
	for (1 .. 10)
	{
		($leader) = $self->settled;
		last if exists $of{old}{$leader};
		$self->query($leader, "SELECT pg_leader_transfer($follower)");
	}
	($follower) = grep { $_ != $leader } sort keys %{ $of{old} };
	$of{new}{$_} = $self->record($_, 2, "new$_") foreach $leader, $follower;
	return ($leader, $follower, \%of);
}

# Which kind of these a mode sends, or makes its own datagrams of.
sub kind_for { my ($mode) = @_; return $mode eq 'greeted' ? 'greeted' : $mode =~ /earlier/ ? 'old' : 'new'; }

# Flood node ID: mode and file as of flood.c, source is ADDRESS:PORT.  With
# {flood_nice} set, the stranger's niceness: real ones do not share our processors.
sub flood
{
	my ($self, $mode, $file, $id, $port, $source, $rate, $seconds) = @_;
	my @nice = defined $self->{flood_nice} ? ('nice', '-n', $self->{flood_nice}) : ();

	return $self->begin(NAMESPACE, @nice, $self->{flood}, $mode, $file, $self->address($id, $port), $source,
		$rate, $seconds);
}

# How many a second a flood has reached.
sub rate_of
{
	my ($self, $job) = @_;
	my ($rate) = $self->finished($job) =~ /: (\d+) a second$/ or die "no rate";
	return $rate;
}

# Processor time of a process so far, in seconds.
sub processor_time
{
	my ($pid) = @_;

	my ($user, $system) = (split ' ', Chaos::slurp("/proc/$pid/stat") =~ s/^.*\) //r)[ 11, 12 ];

	return (($user // die "process $pid is gone") + $system) / TICKS;
}

# Memory that is a process's own, in kB.
sub memory
{
	my ($pid) = @_;

	return Chaos::slurp("/proc/$pid/status") =~ /^RssAnon:\s+(\d+) kB/m ? $1 : die "process $pid is gone";
}

sub log_lines
{
	my ($self, $id) = @_;

	my @lines = split /^/, Chaos::slurp("$self->{dir}/node$id.log");
	return scalar @lines;
}

# reason -> count, of a node
sub drops
{
	my ($self, $id) = @_;
	my $rows = $self->query($id, 'SELECT reason, count FROM pg_leader_stat_drops') // die "node $id does not answer";

	return map { $_->[0] => $_->[1] } @$rows;
}

# What each of all nodes says of the leader: "leader term", if all say the same.
sub who_leads
{
	my ($self) = @_;
	my %views;

	foreach my $id ($self->ids)
	{
		my $rows = $self->query($id, 'SELECT leader_id, term FROM pg_leader_status') // [ ['down'] ];
		$views{ join(' ', map { $_ // '' } @{ $rows->[0] }) } = 1;
	}
	return join(', ', sort keys %views);
}

sub DESTROY
{
	my ($self) = @_;

	return unless $self->{owner} == $$;
	{
		local ($?, $@);
		$self->remove_stranger if $self->{has_stranger};
	}
	$self->SUPER::DESTROY;
	return;
}

1;
