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

use Getopt::Long qw(GetOptions :config no_ignore_case bundling);
use IO::Select;
use JSON::PP;
use POSIX ();
use Qmp;
use Shell;
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
                         side is gone.  If this side's QEMU ends while COLO runs,
                         --hand-over is run if this side is elected

    Before, it does what QEMU wants to be done first.  Secondary: the NBD server is
    stopped.  Primary: the connection to the other disk is broken, so that nothing
    waits for it, that disk and what compares packets are removed.

OPTIONS
    --gone COMMAND  the other side is gone if this shell command ends with exit status
                    1, as "ping -qn -c1 -W1 HOST" does for a host that does not answer.
                    0: it is there.  All else: unknown, and nothing is sent.  Of
                    several, one is enough.  It must be gone three times in a row; that
                    COLO has told watch that it has lost its peer counts as one of them
    --take COMMAND  run when all else holds: only if this shell command ends with exit
                    status 0.  It takes, on the third machine, what only one side can
                    have: the right to go on.  Without it, a side that was cut off and
                    is elected later would go on beside the other.  doc/colo.md has one
    --if COMMAND    only if this shell command ends with exit status 0, such as
                    "pg_leader_check -q -h HOST"; asked once more before QEMU is told.
                    Exit status 1 means that another one is elected
    --before JSON   a QMP command to send first, such as '{"execute": "nbd-server-stop"}',
                    in place of what is done by itself.  If one fails, all ends there
    -t SECONDS      give up after this time, 8 by default, whatever is being done;
                    commands that still run are killed.  --take is run in the first
                    three quarters of it only
    -i SECONDS      time between two looks of watch, 1 by default
    --hand-over COMMAND
                    of watch, such as "psql -c 'SELECT pg_leader_transfer(1)'"; run
                    again until it ends with exit status 0, another one is elected, or
                    QEMU is back
    --help          this text

EXIT STATUS
    0 failed over, or nothing to do; 1 not; 2 called wrongly
TEXT

# All connections to the other side, by their names in doc/colo.md.
my %to_other_side = map { $_ => 1 } 'block-node ' . Qmp::CLIENT, 'chardev mirror0', 'chardev compare1', 'migration ';

# So many answers in a row must say that the other side is gone.
use constant LOOKS => 3;

sub complain { print STDERR "colo_failover.pl: @_\n"; return; }

# What this side is once it has the right to go on, for from then on the other one cannot.
my $holds;

sub fail
{
	complain(defined $holds ? ("$holds:", @_) : @_);
	print STDERR 'hint: end the other QEMU for good and run this again here; only if COLO runs on instead, undo what --take did', "\n" if defined $holds;
	exit 1;
}

sub usage_error
{
	complain(@_);
	print STDERR "hint: colo_failover.pl --help says more\n";
	exit 2;
}

my ($if, $take, @gone, @before, $hand_over, $end);
my $seconds = 8;
my $interval = 1;
# What is to be said when the time is over.
our $late = 'QEMU did not answer in time';
# Why the conditions did not hold when they were asked last; undef: they have not been.
our $known;

# An alarm that comes while Perl ends finds no handler, and would be the exit status.
END { setitimer(ITIMER_REAL, 0); }

# ---- the conditions ----

# Why not to fail over; empty: nothing is against it.
sub why_not_elected
{
	return '' unless defined $if;
	my $why = "not elected: \"$if\" did not succeed in time";
	local $late = $known // $why;
	return Shell::run($if) == 0 ? '' : $why;
}

sub why_not_gone
{
	my @why;

	foreach my $command (@gone)
	{
		local $late = $known // "\"$command\" did not end in time";
		my $status = Shell::run($command);
		return '' if $status == 1 << 8;
		push @why, $status == 0 ? "\"$command\" succeeds" : "unknown: \"$command\" " . Shell::status_words($status);
	}
	return 'the other side is not gone: ' . join('; ', @why);
}

# That this side is elected, and the other one gone, may have been true for the other one
# before.  What only one of them can ever have decides.
sub why_may_not
{
	local $late = "\"$take\" did not end in time";
	my $status = Shell::run($take);

	return $status == 0 ? '' : "this side may not go on: \"$take\" " . Shell::status_words($status);
}

# ---- the failover ----

# Returns when the other side was gone LOOKS times in a row, of which so many answers have
# been given already, and this side is elected after that.  The right to go on is worth
# nothing without time to use it.
sub wait_for_conditions
{
	my ($answers) = @_;
	local $known;

	while (1)
	{
		my $why = why_not_elected();

		fail($why ne '' ? $why : $known // $late) if time > $end - $seconds / 4;
		if ($why eq '')
		{
			return if $answers >= LOOKS;
			$why = why_not_gone();
			$answers = $why eq '' ? $answers + 1 : 0;
			$why = "the other side was gone $answers times in a row; " . LOOKS . ' are wanted in time' if $why eq '';
		}
		$known = $why;
		local $late = $why;
		sleep(0.1) if $answers < LOOKS;
	}
}

# One at a time: notify_command and watch may come at once.  The lock is that of the
# socket's directory.
sub lock_directory
{
	my $directory = dirname($_[0]);

	sysopen(my $lock, $directory, O_RDONLY | O_DIRECTORY) or fail("$directory: $!");
	until (flock($lock, LOCK_EX | LOCK_NB))
	{
		fail('another colo_failover.pl did not end in time') if time >= $end;
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
	my ($path, $answers, $qmp) = @_;
	my $not_told = 'this side holds the right to go on, and was not told to';

	$end = time + $seconds;
	setitimer(ITIMER_REAL, $seconds);
	$qmp //= do { local $late = Qmp::no_greeting($path); Qmp->new($path, $end) };
	$qmp->set_end($end);
	my $lock = lock_directory($path);
	my ($mode, $last) = map { $_ // 'none' } @{ $qmp->execute('query-colo-status') }{ 'mode', 'last-mode' };
	fail("this guest has been failed over already: it was the $last, and goes on alone") if $mode eq 'none' && $last ne 'none';
	if ($mode ne 'primary' && $mode ne 'secondary')
	{
		print "COLO does not run: nothing to fail over\n";
		return;
	}
	# Only what has taken the right comes with all answers.
	$holds = $not_told if $answers >= LOOKS;
	wait_for_conditions($answers);
	my $why = why_may_not();
	fail($why) if $why ne '';
	$holds = $not_told;
	prepare($qmp, $mode);
	# Whether the other side is gone is no question any more: it cannot go on.
	$why = why_not_elected();
	fail($why) if $why ne '';
	fail('the time is over') if time >= $end;
	$holds = 'this side holds the right to go on, and QEMU has not confirmed that it does';
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

# In a process of its own, for its time limit, with the connection that is there: a QEMU
# that is stuck answers no other.  What it has started may hold its standard error open
# when it has ended.  Returns true if it has exit status 0.
sub fail_over_once
{
	my ($path, $answers, $qmp) = @_;
	my $parent = $$;

	pipe(my $read, my $write) or die "pipe: $!\n";
	$child = fork() // do { $child = 0; die "fork: $!\n" };
	if ($child == 0)
	{
		Shell::end_with_parent(POSIX::SIGTERM(), $parent);
		close $read;
		$is_watching = 0;
		open(STDERR, '>&', $write);
		eval { fail_over($path, $answers, $qmp); 1 } or do { chomp(my $words = $@); fail($words); };
		exit 0;
	}
	close $write;
	my $open = IO::Select->new($read);
	my ($words, $status) = ('');
	until (defined $status)
	{
		$status = $? if waitpid($child, POSIX::WNOHANG()) != 0;
		while ($open->count && $open->can_read(defined $status ? 0 : 0.1))
		{
			sysread($read, $words, 4096, length $words) or $open->remove($read);
		}
		sleep(0.1) unless defined $status || $open->count;
	}
	$child = 0;
	chomp $words;
	$words =~ s/^colo_failover\.pl: //;
	say_once($words);
	return $status == 0;
}

# This side's QEMU is no more: if the guest ran here, it runs nowhere until it is clear that
# the other side leads.
sub hand_over_leadership
{
	my ($state) = @_;
	my $status = in_limits(sub { Shell::run($if) });
	my $words;

	if ($status == 1 << 8) { $state->{ended} = 0; $words = 'not elected, so the other side can go on'; }
	elsif ($status != 0) { $words = "it is not known whether this side is elected: \"$if\" " . Shell::status_words($status); }
	elsif (!defined $hand_over) { $words = 'this host is elected: the other side may not go on. Hand over with pg_leader_transfer(), or use --hand-over'; }
	else
	{
		$status = in_limits(sub { Shell::run($hand_over) });
		$state->{ended} = 0 if $status == 0;
		$words = "this host was elected: \"$hand_over\" " . Shell::status_words($status);
	}
	say_once("QEMU has ended while COLO ran; $words");
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

# Asks while the alarm is set, again and again: each kills one command.
sub in_limits
{
	my ($question) = @_;

	setitimer(ITIMER_REAL, $seconds, $seconds);
	my $answer = eval { $question->() };
	setitimer(ITIMER_REAL, 0);
	return $answer // die $@;
}

# Makes a QEMU that is stuck answer again.  Empty, or why not.
sub free_qemu
{
	my ($state) = @_;

	return 'QEMU does not answer, and --before is in place of what would free it' if @before;
	my $why = in_limits(\&why_not_gone);
	$state->{looks} = 0 if $why ne '';
	$why ||= in_limits(\&why_may_not);
	return $why if $why ne '';
	$state->{qmp}->set_end(time + $seconds);
	return '' if eval { break_connections($state->{qmp}); 1 };
	chomp(my $words = $@);
	return "this side holds the right to go on, and QEMU cannot be freed: $words";
}

# True if COLO has just said that it has lost its peer.
sub take_events
{
	my ($state) = @_;
	my $has_exited = 0;

	foreach my $event ($state->{qmp}->events)
	{
		my $what = "$event->{event} " . ($event->{data}{reason} // '');

		$has_exited = 1 if $what eq 'COLO_EXIT error';
		$state->{told} = 1 if $what =~ /^SHUTDOWN (host-qmp-quit|guest-shutdown)$/;
	}
	$state->{exited} ||= $has_exited;
	return $has_exited;
}

# One look: true if the other side seems to be gone.  The last answer comes later, when
# it is acted on.
sub look
{
	my ($path, $state) = @_;
	my $qmp = $state->{qmp} //= Qmp->new($path, time + $seconds);

	if ($state->{ended}) { $state->{ended} = 0; say_once('QEMU is back'); }
	# Events, until it is time for the next look; at once if this is to confirm the last one.
	my $confirms = $state->{looks} && $state->{looks} < LOOKS - 1 && !$state->{exited};
	my $until = time + ($confirms ? 0 : $interval);
	until (take_events($state) || time >= $until)
	{
		$qmp->set_end(time + $seconds);
		$qmp->wait_until($until);
	}
	ask_mode($state);
	if ($state->{mode} !~ /^(primary|secondary)$/) { $state->{looks} = $state->{exited} = 0; return 0; }
	my $why = in_limits(\&why_not_gone);
	$state->{looks} = $why eq '' ? $state->{looks} + 1 : 0;
	say_once($why) if $state->{exited} && $why ne '';
	return $state->{looks} >= ($state->{exited} ? 1 : LOOKS - 1);
}

sub act
{
	my ($path, $state) = @_;
	my $answers = LOOKS - 1;
	my $why = in_limits(\&why_not_elected);

	if ($why eq '' && $state->{stuck}) { $answers = LOOKS; $why = free_qemu($state); }
	return say_once($why) if $why ne '';
	# What has been asked may be answered to that process.
	delete @{$state}{qw(asked stuck)};
	$state->{mode} = 'none' if fail_over_once($path, $answers, $state->{qmp});
	return;
}

# There is no connection to QEMU: it has ended, or it cannot be asked for another reason.
sub lose_connection
{
	my ($state, $words) = @_;

	eval { take_events($state) } if $state->{qmp};
	if ($state->{mode} ne 'none' && $words =~ /^(no QEMU at|QEMU has closed the connection|cannot write)/)
	{
		$state->{ended} = !$state->{told};
		say_once($state->{told} ? 'QEMU was told to end' : 'QEMU has ended while COLO ran');
		@{$state}{qw(mode told)} = ('none', 0);
	}
	elsif (!$state->{ended}) { say_once($words); }
	delete @{$state}{qw(qmp asked stuck exited)};
	$state->{looks} = 0;
	hand_over_leadership($state) if $state->{ended};
	return;
}

sub watch
{
	my ($path) = @_;
	my $state = { mode => 'none', looks => 0 };

	$| = 1;
	$is_watching = 1;
	while (1)
	{
		next if eval { act($path, $state) if look($path, $state); 1 };
		chomp(my $words = $@);
		# What cannot be run says nothing about QEMU.
		my $is_done = $words !~ /^(fork|pipe): / && eval { lose_connection($state, $words); 1 };
		say_once($words) unless $is_done;
		sleep($interval);
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
	Shell::end();
	fail($late) unless $is_watching;
};
# When this program ends, what it runs ends too.
foreach my $name (qw(HUP INT TERM))
{
	$SIG{$name} = sub {
		Shell::end();
		if ($child) { kill 'TERM', $child; waitpid($child, 0); }
		exit 0 if $is_watching; fail("ended by SIG$name");
	};
}
if ($event eq 'watch') { watch($path); }
eval { fail_over($path, 0); 1 } or do { chomp(my $words = $@); fail($words); };
