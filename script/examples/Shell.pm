# script/examples/Shell.pm
#	  Commands of the shell, one at a time, for the programs beside it.
#
# Each is the leader of a process group, so that it can be ended with what it has started,
# and ends when the program that runs it is killed.

package Shell;

use strict;
use warnings;

use POSIX ();

use constant PR_SET_PDEATHSIG => 1;

# The number of the system call prctl, by machine.
my %prctl = (x86_64 => 157, aarch64 => 167, riscv64 => 167, ppc64le => 171, s390x => 172);

# The shell that runs; 0: none.
my $shell = 0;

# In a new process: it gets this signal when its parent ends, however that ends.
sub end_with_parent
{
	my ($signal, $parent) = @_;
	my $number = $prctl{ (POSIX::uname())[4] } // return;

	syscall($number, PR_SET_PDEATHSIG, $signal, 0, 0, 0);
	POSIX::_exit(127) if getppid() != $parent;
	return;
}

# Runs it, and returns what became of it as $? has it.
sub run
{
	my ($command) = @_;
	my $parent = $$;

	$shell = fork() // die "fork: $!\n";
	if ($shell == 0)
	{
		setpgrp(0, 0);
		end_with_parent(POSIX::SIGKILL(), $parent);
		$SIG{$_} = 'DEFAULT' foreach qw(ALRM HUP INT PIPE TERM);
		open(STDIN, '<', '/dev/null') or POSIX::_exit(127);
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

# For handlers of signals: the one that runs, with all of its group.
sub end { kill 'KILL', -$shell, $shell if $shell; return; }

sub status_words
{
	my ($status) = @_;
	return $status & 127 ? 'was ended by signal ' . ($status & 127) : 'has exit status ' . ($status >> 8);
}

1;
