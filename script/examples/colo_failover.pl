#!/usr/bin/perl
# script/examples/colo_failover.pl
#	  Tell a virtual machine that runs under QEMU's COLO to go on alone, on the
#	  elected side only: an example for pg_leader.notify_command.
#
# Speaks QMP with QEMU's monitor socket; needs Perl and nothing else.  What it
# sends cannot be taken back, so whatever is not as expected means: send nothing,
# say so, exit status 1.  doc/notify.md says how it fits together.

use strict;
use warnings;

use Getopt::Long qw(GetOptions :config no_ignore_case bundling);
use IO::Select;
use IO::Socket::UNIX;
use JSON::PP;
use POSIX ();
use Time::HiRes qw(setitimer sleep time ITIMER_REAL);

my $usage = <<'TEXT';
NAME
    colo_failover.pl - fail over a virtual machine under COLO, if this side is elected

SYNOPSIS
    colo_failover.pl [--if COMMAND] [--before JSON]... [-t SECONDS] SOCKET EVENT

DESCRIPTION
    Connects to the QMP monitor that listens on the Unix socket SOCKET, asks for the
    state of COLO, and if this side is primary or secondary sends
    x-colo-lost-heartbeat.  Does nothing if COLO does not run.

    EVENT is one of
        gained_lease     this side was elected: fail over.  Use --if with a command
                         that finds out whether the other side's machine is lost,
                         for a planned hand-over is told as gained_lease as well
        heartbeat_lost   COLO has lost its peer: fail over if this side is elected.
                         --if must be given, with a command that finds out, such as
                         "pg_leader_check -q -h HOST"
        lost_lease, new_leader
                         nothing is done

OPTIONS
    --if COMMAND    fail over only if this shell command ends with exit status 0; it
                    is run again until it does, or the time is over
    --before JSON   a QMP command to send before, such as
                    '{"execute": "nbd-server-stop"}'; if one fails, all ends there.
                    After these, --if must be true once more
    -t SECONDS      give up after this time, 5 by default, whatever is being done;
                    what --if has started is killed
    --help          this text

EXIT STATUS
    0 failed over, or nothing to do; 1 not; 2 called wrongly
TEXT

my ($socket, $end);
# What is to be said when the time is over.
our $late = 'QEMU did not answer in time';
my $buffer = '';
my $json = JSON::PP->new->canonical;

sub fail { print STDERR "colo_failover.pl: @_\n"; exit 1; }

sub usage_error
{
	print STDERR "colo_failover.pl: @_\nhint: colo_failover.pl --help says more\n";
	exit 2;
}

# The next object that QEMU sends; one a line.
sub receive
{
	my $select = IO::Select->new($socket);

	while ($buffer !~ /\n/)
	{
		my $rest = $end - time;
		fail($late) if $rest <= 0 || !$select->can_read($rest);
		sysread($socket, $buffer, 65536, length $buffer) or fail('QEMU has closed the connection');
		fail('QEMU sends no end') if length $buffer > 1 << 20;
	}
	$buffer =~ s/^([^\n]*)\n//;
	my $object = eval { $json->decode($1) };
	fail("QEMU does not speak QMP: $1") unless ref $object eq 'HASH';
	return $object;
}

# Returns what the command returns; its id tells its answer from events.
my $id = 0;

sub execute
{
	my ($command) = @_;

	$command->{id} = ++$id;
	print {$socket} $json->encode($command), "\n" or fail("cannot write to QEMU: $!");
	while (1)
	{
		my $answer = receive();
		next if exists $answer->{event} || ($answer->{id} // '') ne $id;
		fail("$command->{execute}: $answer->{error}{desc}") if exists $answer->{error};
		return $answer->{return};
	}
}

# The shell that runs, leader of a process group of its own; 0: none.
my $shell = 0;

sub kill_shell { kill 'KILL', -$shell, $shell if $shell; return; }

# Did the shell command succeed, and in time?  The alarm ends one that hangs.
sub is_true
{
	my ($command) = @_;
	local $late = too_late($command);

	$shell = fork() // fail("fork: $!");
	if ($shell == 0)
	{
		setpgrp(0, 0);
		$SIG{$_} = 'DEFAULT' foreach qw(ALRM HUP INT PIPE TERM);
		exec('/bin/sh', '-c', $command) or POSIX::_exit(127);
	}
	setpgrp($shell, $shell);
	waitpid($shell, 0);
	my $status = $?;
	$shell = 0;
	return $status == 0;
}

sub in_time { return time < $end; }

sub too_late { return "not elected, or nothing is lost: \"$_[0]\" did not succeed in time"; }

# Run the shell command until it succeeds.
sub wait_for
{
	my ($command) = @_;
	local $late = too_late($command);

	until (is_true($command) && in_time())
	{
		fail($late) unless in_time();
		sleep(0.1);
	}
	return;
}

my ($if, @before, $help);
my $seconds = 5;
$SIG{__WARN__} = sub { chomp(my $text = shift); usage_error($text); };
GetOptions('if=s' => \$if, 'before=s' => \@before, 't=f' => \$seconds, 'help' => \$help);
delete $SIG{__WARN__};
if ($help) { print $usage; exit 0; }
usage_error('SOCKET and EVENT, not ' . @ARGV . ' arguments') if @ARGV != 2;
usage_error('-t must be above 0') if $seconds <= 0;
my ($path, $event) = @ARGV;
foreach my $text (@before)
{
	my $command = eval { $json->decode($text) };
	usage_error("--before: \"$text\" is not a QMP command")
	  unless ref $command eq 'HASH' && exists $command->{execute};
	$text = $command;
}
exit 0 if $event eq 'lost_lease' || $event eq 'new_leader';
usage_error("there is no event \"$event\"") unless $event eq 'gained_lease' || $event eq 'heartbeat_lost';
usage_error('heartbeat_lost needs --if COMMAND') if $event eq 'heartbeat_lost' && !defined $if;

$end = time + $seconds;
$SIG{ALRM} = sub {
	kill_shell();
	fail($late);
};
# When this program ends, what it runs ends too.
foreach my $name (qw(HUP INT TERM))
{
	$SIG{$name} = sub { kill_shell(); fail("ended by SIG$name"); };
}
setitimer(ITIMER_REAL, $seconds);
# A write to a QEMU that has gone is an error, not the end.
$SIG{PIPE} = 'IGNORE';
$socket = IO::Socket::UNIX->new(Peer => $path) or fail("no QEMU at $path: $!");
$socket->autoflush(1);
fail("no QMP monitor at $path") unless exists receive()->{QMP};
execute({ execute => 'qmp_capabilities' });
my $mode = execute({ execute => 'query-colo-status' })->{mode} // 'none';
if ($mode ne 'primary' && $mode ne 'secondary')
{
	print "COLO does not run: nothing to fail over\n";
	exit 0;
}
# Last, so that it is true when it is acted on.
wait_for($if) if defined $if;
if (@before)
{
	execute($_) foreach @before;
	fail("not any more: \"$if\" failed after --before") if defined $if && !is_true($if);
}
fail('not done in time; nothing is told to go on') unless in_time();
execute({ execute => 'x-colo-lost-heartbeat' });
print "the $mode side goes on alone\n";
