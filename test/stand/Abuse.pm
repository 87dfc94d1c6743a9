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
		my ($uid, $gid) = (getpwnam($ENV{PGLD_USER} // 'postgres'))[ 2, 3 ];
		chown $uid, $gid, $secret;
	}
	$self->make_stranger;
	$self->launch(1, $self->ids);
	return $self;
}

sub must
{
	my (@command) = @_;
	system(@command) == 0 or die "\"@command\" failed\n";
	return;
}

sub make_stranger
{
	my ($self) = @_;

	$self->remove_stranger;
	must(qw(ip netns add), NAMESPACE);
	$self->{has_stranger} = 1;
	must(qw(ip link add), CABLE, qw(type veth peer name eth0 netns), NAMESPACE);
	must(qw(ip link set), CABLE, qw(master bpgldtest up));
	must(qw(ip -n), NAMESPACE, qw(addr add), STRANGER . '/24', qw(dev eth0));
	must(qw(ip -n), NAMESPACE, qw(link set eth0 up));
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

	open(my $file, '<', "/proc/$pid/stat") or die "process $pid is gone";
	my ($user, $system) = (split ' ', (<$file> =~ /^.*\) (.*)/)[0])[ 11, 12 ];
	return ($user + $system) / TICKS;
}

# Memory that is a process's own, in kB.
sub memory
{
	my ($pid) = @_;

	open(my $file, '<', "/proc/$pid/status") or die "process $pid is gone";
	while (<$file>) { return $1 if /^RssAnon:\s+(\d+) kB/; }
	die "process $pid does not say";
}

sub log_lines
{
	my ($self, $id) = @_;

	open(my $log, '<', "$self->{dir}/node$id.log") or die "node $id has no log: $!";
	my @lines = <$log>;
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
