#!/usr/bin/perl
# script/examples/colo_failover.pl
#	  Tell a virtual machine that runs under QEMU's COLO to go on alone, on the
#	  elected side only: an example for pg_leader.notify_command.
#
# Speaks QMP with QEMU's monitor socket; needs Perl and nothing else.  What it
# sends cannot be taken back, so whatever is not as expected means: send nothing,
# say so, exit status 1.  doc/colo.md says how it fits together.

use strict;
use warnings;

use Fcntl qw(:flock O_DIRECTORY O_RDONLY);
use File::Basename qw(dirname);
use FindBin;
use lib $FindBin::RealBin;

use IO::Select;
use Getopt::Long qw(GetOptions :config no_ignore_case bundling);
use JSON::PP;
use POSIX ();
use Qmp;
use Time::HiRes qw(setitimer sleep time ITIMER_REAL);

my $usage = <<'TEXT';
NAME
    colo_failover.pl - fail over a virtual machine under COLO, if this side is elected

SYNOPSIS
    colo_failover.pl --gone COMMAND... --take COMMAND [OPTION...] SOCKET gained_lease
    colo_failover.pl --gone COMMAND... --take COMMAND --if COMMAND [OPTION...] SOCKET
                     heartbeat_lost | watch

DESCRIPTION
    Connects to the QMP monitor that listens on the Unix socket SOCKET, asks for the
    state of COLO, and if this side is primary or secondary, and the other one is
    gone, sends x-colo-lost-heartbeat.  Does nothing if COLO does not run; that the
    guest has been failed over already is an error.

    The last argument is an event:
        gained_lease     this side was elected, perhaps only because leadership was
                         handed over: fail over if the other side is gone
        heartbeat_lost   COLO has lost its peer: fail over if the other side is gone
                         and this side is elected, which --if finds out
        lost_lease, new_leader
                         nothing is done
        watch            runs until it is ended, and does what heartbeat_lost does
                         when COLO says that it has lost its peer, or when the other
                         side is gone three times in a row.  If this side's QEMU ends
                         while COLO runs, --hand-over is run if this side is elected

    Before, it does what QEMU wants to be done first.  Secondary: the NBD server is
    stopped.  Primary: the connection to the other disk is broken, so that nothing
    waits for it, that disk and what compares packets are removed.

OPTIONS
    --gone COMMAND  the other side is gone if this shell command ends with exit status
                    1, as "ping -qn -c3 -W1 HOST" does for a host that does not answer.
                    0: it is there.  All else: unknown, and nothing is sent.  Of several, one is
                    enough.  It is run again until the other side is gone, or the time
                    is over
    --take COMMAND  run when all else holds: only if this shell command ends with exit
                    status 0.  It takes, on the third machine, what only one side can
                    have: the right to go on.  Without it, a side that was cut off and
                    is elected later would go on beside the other.  doc/colo.md has one
    --if COMMAND    only if this shell command ends with exit status 0, such as
                    "pg_leader_check -q -h HOST"; run again in the same way
    --before JSON   a QMP command to send first, such as '{"execute": "nbd-server-stop"}',
                    in place of what is done by itself.  If one fails, all ends there
    -t SECONDS      give up after this time, 5 by default, whatever is being done;
                    commands that still run are killed
    -i SECONDS      time between two looks of watch, 1 by default
    --hand-over COMMAND
                    of watch, such as "psql -c 'SELECT pg_leader_transfer(1)'"
    --help          this text

    --gone and --if must hold once more after what comes first.

EXIT STATUS
    0 failed over, or nothing to do; 1 not; 2 called wrongly
TEXT

# All connections to the other side, by their names in doc/colo.md.
my %to_other_side = map { $_ => 1 } 'block-node ' . Qmp::CLIENT, 'chardev mirror0', 'chardev compare1', 'migration ';

# So many looks of watch must agree that the other side is gone.
use constant LOOKS => 3;

sub complain { print STDERR "colo_failover.pl: @_\n"; return; }

sub fail { complain(@_); exit 1; }

sub usage_error
{
	complain(@_);
	print STDERR "hint: colo_failover.pl --help says more\n";
	exit 2;
}

my ($if, $take, @gone, @before, $hand_over, $end);
my $seconds = 5;
my $interval = 1;
# What is to be said when the time is over.
our $late = 'QEMU did not answer in time';
# Why the conditions did not hold when they were asked last; undef: they have not been.
our $known;

# ---- commands of the shell ----

# The shell that runs, leader of a process group of its own; 0: none.
my $shell = 0;

sub kill_shell { kill 'KILL', -$shell, $shell if $shell; return; }

# Runs it, and returns what became of it as $? has it.  The alarm ends one that hangs.
sub run_shell
{
	my ($command) = @_;

	$shell = fork() // fail("fork: $!");
	if ($shell == 0)
	{
		setpgrp(0, 0);
		$SIG{$_} = 'DEFAULT' foreach qw(ALRM HUP INT PIPE TERM);
		# Its exit status is what counts; its errors are for the log.
		open(STDOUT, '>', '/dev/null') or POSIX::_exit(127);
		exec('/bin/sh', '-c', $command) or POSIX::_exit(127);
	}
	setpgrp($shell, $shell);
	waitpid($shell, 0);
	my $status = $?;
	$shell = 0;
	return $status;
}

sub status_words
{
	my ($status) = @_;
	return $status & 127 ? 'was ended by signal ' . ($status & 127) : 'has exit status ' . ($status >> 8);
}

# Why not to fail over; empty: nothing is against it.
sub why_not_elected
{
	return '' unless defined $if;
	my $why = "not elected: \"$if\" did not succeed in time";
	local $late = $known // $why;
	return run_shell($if) == 0 ? '' : $why;
}

sub why_not_gone
{
	my @why;

	foreach my $command (@gone)
	{
		local $late = $known // "\"$command\" did not end in time";
		my $status = run_shell($command);
		return '' if $status == 1 << 8;
		push @why, $status == 0 ? "\"$command\" succeeds" : "unknown: \"$command\" " . status_words($status);
	}
	return 'the other side is not gone: ' . join('; ', @why);
}

sub why_not { return why_not_elected() || why_not_gone(); }

# ---- the failover ----

sub in_time { return time < $end; }

# Run the conditions until they hold.
sub wait_for_conditions
{
	local $known;
	while (1)
	{
		my $why = why_not();

		last if $why eq '' && in_time();
		fail($why ne '' ? $why : $late) unless in_time();
		$known = $why;
		local $late = $why;
		sleep(0.1);
	}
	return;
}

# That this side is elected, and the other one gone, may have been true for the other one
# before.  What only one of them can ever have decides.
sub take
{
	local $late = "\"$take\" did not end in time";
	my $status = run_shell($take);

	fail("this side may not go on: \"$take\" " . status_words($status)) if $status != 0;
	return;
}

# One at a time: notify_command and watch may come at once.  The lock is that of the
# socket's directory.
sub lock_directory
{
	my $directory = dirname($_[0]);

	sysopen(my $lock, $directory, O_RDONLY | O_DIRECTORY) or fail("$directory: $!");
	until (flock($lock, LOCK_EX | LOCK_NB))
	{
		fail('another colo_failover.pl did not end in time') unless in_time();
		sleep(0.05);
	}
	return $lock;
}

sub prepare_secondary
{
	my ($qmp) = @_;

	$qmp->execute('nbd-server-stop') if @{ $qmp->execute('query-block-exports') };
	return;
}

# What waits for an answer of a host that is lost waits for many minutes, and QEMU, guest
# and monitors included, waits with it: a primary when it sends a checkpoint or removes the
# disk, a secondary in the middle of a checkpoint.  These two commands are heard all the
# same.
sub break_connections
{
	my ($qmp) = @_;
	my @instances = grep { $to_other_side{ "$_->{type} " . ($_->{'node-name'} // $_->{id} // '') } }
	  @{ $qmp->execute_out_of_band('query-yank') };

	$qmp->execute_out_of_band('yank', { instances => \@instances }) if @instances;
	return;
}

sub prepare_primary
{
	my ($qmp) = @_;

	break_connections($qmp);
	$qmp->execute('x-blockdev-change', { parent => $_->{parent}, child => $_->{name} }) foreach $qmp->copies;
	$qmp->execute('blockdev-del', { 'node-name' => Qmp::REPLICATION }) if $qmp->has_copy;
	my @objects = @{ $qmp->execute('qom-list', { path => '/objects' }) };
	foreach my $type (qw(colo-compare filter-mirror filter-redirector))
	{
		$qmp->execute('object-del', { id => $_->{name} }) foreach grep { $_->{type} eq "child<$type>" } @objects;
	}
	return;
}

sub prepare
{
	my ($qmp, $mode) = @_;

	if (@before) { $qmp->execute($_->{execute}, $_->{arguments}) foreach @before; }
	elsif ($mode eq 'primary') { prepare_primary($qmp); }
	else { prepare_secondary($qmp); }
	return;
}

sub fail_over
{
	my ($path) = @_;

	$end = time + $seconds;
	setitimer(ITIMER_REAL, $seconds);
	my $qmp = do { local $late = Qmp::no_greeting($path); Qmp->new($path, $end) };
	my $lock = lock_directory($path);
	my ($mode, $last) = map { $_ // 'none' } @{ $qmp->execute('query-colo-status') }{ 'mode', 'last-mode' };
	fail("this guest has been failed over already: it was the $last, and goes on alone") if $mode eq 'none' && $last ne 'none';
	if ($mode ne 'primary' && $mode ne 'secondary')
	{
		print "COLO does not run: nothing to fail over\n";
		return;
	}
	# Last, so that it is true when it is acted on.
	wait_for_conditions();
	take();
	prepare($qmp, $mode);
	my $why = why_not();
	fail("not any more: $why") if $why ne '';
	fail('not done in time; nothing is told to go on') unless in_time();
	$qmp->execute('x-colo-lost-heartbeat');
	print "the $mode side goes on alone\n";
	return;
}

# ---- watch ----

# Then a command that takes too long is killed, and no more.
my $is_watching = 0;

# Says it unless it has just been said.
my $said = '';

sub say_once
{
	my ($text) = @_;

	complain($text) if $text ne '' && $text ne $said;
	$said = $text;
	return;
}

# The process that fails over for watch; 0: none.
my $child = 0;

# In a process of its own, because a monitor has one client, and for its time limit.  What
# it has started may hold its standard error open when it has ended.
sub fail_over_once
{
	my ($path) = @_;
	pipe(my $read, my $write) or die "pipe: $!\n";
	$child = fork() // die "fork: $!\n";
	if ($child == 0)
	{
		close $read;
		$is_watching = 0;
		open(STDERR, '>&', $write);
		eval { fail_over($path); 1 } or do { chomp(my $words = $@); fail($words); };
		exit 0;
	}
	close $write;
	my $words = '';
	my $ended = 0;
	while (1)
	{
		my $is_over = $ended;
		sysread($read, $words, 4096, length $words) or last while IO::Select->new($read)->can_read($ended ? 0 : 0.1);
		last if $is_over;
		$ended = waitpid($child, POSIX::WNOHANG()) != 0;
	}
	$child = 0;
	chomp $words;
	$words =~ s/^colo_failover\.pl: //;
	say_once($words);
	return;
}

# This side's QEMU is no more: if the guest ran here, it runs nowhere.
sub qemu_has_ended
{
	my ($was_told) = @_;

	return say_once('QEMU was told to end') if $was_told;
	say_once('QEMU has ended while COLO ran');
	if (in_limits(\&why_not_elected)) { say_once("QEMU has ended while COLO ran; not elected, so the other side can go on"); }
	elsif (!defined $hand_over)
	{
		say_once('QEMU has ended while COLO ran, and this host is elected: the other side may not go on. '
			  . 'Hand over with pg_leader_transfer(), or use --hand-over');
	}
	else
	{
		my $status = in_limits(sub { run_shell($hand_over) });
		say_once("QEMU has ended while COLO ran, and this host was elected: \"$hand_over\" " . status_words($status));
	}
	return;
}

# Sets the mode of COLO, and whether QEMU is stuck: then the mode is as it was.
sub ask_mode
{
	my ($state) = @_;

	$state->{qmp}->set_end(time + ($state->{stuck} ? 0.2 : $seconds < 2 ? $seconds : 2));
	my $qmp = $state->{qmp};
	my $mode = eval {
		$state->{asked} //= $qmp->ask('execute', 'query-colo-status');
		$qmp->answer($state->{asked}, 'query-colo-status')->{mode} // 'none';
	};
	delete $state->{asked} if defined $mode;
	die $@ unless defined $mode || (Qmp::is_late($@) && $state->{mode} ne 'none');
	say_once('QEMU does not answer while COLO runs') if !defined $mode && !$state->{stuck};
	$state->{stuck} = !defined $mode;
	$state->{mode} = $mode if defined $mode;
	return;
}

# Asks the conditions while the alarm is set, again and again: each kills one command.
sub in_limits
{
	my ($conditions) = @_;

	setitimer(ITIMER_REAL, $seconds, $seconds);
	my $why = $conditions->();
	setitimer(ITIMER_REAL, 0);
	return $why;
}

# A QEMU that is stuck answers no new connection, so this one, which is there, makes it
# answer again.
sub free_qemu
{
	my ($state) = @_;

	return if @before;
	$state->{qmp}->set_end(time + $seconds);
	eval { break_connections($state->{qmp}); 1 } or do { chomp(my $words = $@); say_once($words); };
	return;
}

# One look: true if the other side seems to be gone.
sub look
{
	my ($path, $state) = @_;
	my $qmp = $state->{qmp} //= Qmp->new($path, time + $seconds);

	# Events, until it is time for the next look; at once if this is to confirm the last one.
	my $confirms = $state->{looks} && $state->{looks} < LOOKS && !$state->{exited};
	my $until = time + ($confirms ? 0 : $interval);
	while (time < $until)
	{
		$qmp->set_end(time + $seconds);
		$qmp->wait_until($until);
		foreach my $event ($qmp->events)
		{
			$state->{exited} = 1 if $event->{event} eq 'COLO_EXIT' && ($event->{data}{reason} // '') eq 'error';
			$state->{told} = 1 if $event->{event} eq 'SHUTDOWN' && ($event->{data}{reason} // '') =~ /^(host-qmp-quit|guest-shutdown)$/;
		}
		last if $state->{exited} && !$state->{looks};
	}
	ask_mode($state);
	if ($state->{mode} !~ /^(primary|secondary)$/) { $state->{looks} = $state->{exited} = 0; return 0; }
	my $why = in_limits(\&why_not_gone);
	$state->{looks} = $why eq '' || $state->{exited} ? $state->{looks} + 1 : 0;
	return $state->{exited} || $state->{looks} >= LOOKS;
}

sub watch
{
	my ($path) = @_;
	my $state = { mode => 'none', looks => 0 };

	$| = 1;
	$is_watching = 1;
	while (1)
	{
		my $is_lost = eval { look($path, $state) };

		if (!defined $is_lost)
		{
			chomp(my $words = $@);
			if ($state->{mode} ne 'none' && $words =~ /has closed the connection|cannot write/) { qemu_has_ended($state->{told}); }
			else { say_once($words); }
			$state = { mode => 'none', looks => 0 };
			sleep($interval);
			next;
		}
		next unless $is_lost;
		my $why = in_limits(\&why_not);
		if ($why eq '' && $state->{stuck} && in_limits(sub { run_shell($take) }) != 0) { $why = "this side may not go on: \"$take\" failed"; }
		if ($why ne '') { say_once($why); next; }
		free_qemu($state) if $state->{stuck};
		delete @{$state}{qw(qmp asked stuck)};
		fail_over_once($path);
	}
}

# ---- main ----

my $help;
$SIG{__WARN__} = sub { chomp(my $text = shift); usage_error($text); };
GetOptions('if=s' => \$if, 'take=s' => \$take, 'gone=s' => \@gone, 'before=s' => \@before, 'hand-over=s' => \$hand_over, 't=f' => \$seconds, 'i=f' => \$interval, 'help' => \$help);
delete $SIG{__WARN__};
if ($help) { print $usage; exit 0; }
usage_error('SOCKET and an event, not ' . @ARGV . ' arguments') if @ARGV != 2;
usage_error('-t must be above 0') if $seconds <= 0;
usage_error('-i must be above 0') if $interval <= 0;
my ($path, $event) = @ARGV;
foreach my $text (@before)
{
	my $command = eval { JSON::PP->new->decode($text) };
	usage_error("--before: \"$text\" is not a QMP command")
	  unless ref $command eq 'HASH' && exists $command->{execute};
	$text = $command;
}
exit 0 if $event eq 'lost_lease' || $event eq 'new_leader';
usage_error("there is no event \"$event\"") unless $event =~ /^(gained_lease|heartbeat_lost|watch)$/;
usage_error("$event needs --gone COMMAND") if !@gone;
usage_error("$event needs --take COMMAND") if !defined $take;
usage_error("$event needs --if COMMAND") if $event ne 'gained_lease' && !defined $if;
usage_error('--hand-over is for watch') if defined $hand_over && $event ne 'watch';
# Nothing is a command that succeeds, and "!" makes a success of a program that is missing,
# and exit status 1 of one that succeeds.
foreach my $command ($take, @gone, defined $if ? $if : (), defined $hand_over ? $hand_over : ())
{
	usage_error('a command is empty') unless $command =~ /\S/;
	usage_error("\"$command\" begins with \"!\": a program that is missing would count, too") if $command =~ /^\s*!/;
}

$SIG{ALRM} = sub {
	kill_shell();
	fail($late) unless $is_watching;
};
# When this program ends, what it runs ends too.
foreach my $name (qw(HUP INT TERM))
{
	$SIG{$name} = sub {
		kill_shell();
		if ($child) { kill 'TERM', $child; waitpid($child, 0); }
		exit 0 if $is_watching; fail("ended by SIG$name");
	};
}
if ($event eq 'watch') { watch($path); }
eval { fail_over($path); 1 } or do { chomp(my $words = $@); fail($words); };
