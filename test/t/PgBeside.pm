# test/t/PgBeside.pm
#	  Programs beside the servers of a test: each runs until the test ends.

package PgBeside;

use strict;
use warnings;

use POSIX ();
use PostgreSQL::Test::Utils;

my @pids;

# run(LOG, COMMAND...): what it says is in that file.
sub run
{
	my ($log, @command) = @_;
	my $pid = fork // die "fork: $!";

	if ($pid == 0)
	{
		open STDOUT, '>>', $log;
		open STDERR, '>&', \*STDOUT;
		exec @command or POSIX::_exit(127);
	}
	push @pids, $pid;
	return;
}

# run_bouncer(DIRECTORY, PORT, DATABASES): PgBouncer, with its files in there; clients are "app",
# who may administrate it, too.  DATABASES are lines of that section.
sub run_bouncer
{
	my ($directory, $port, $databases) = @_;

	append_to_file("$directory/users.txt", qq("app" ""\n));
	append_to_file("$directory/pgbouncer.ini", "[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = $port\nunix_socket_dir =\n" .
		  "auth_type = trust\nauth_file = $directory/users.txt\nadmin_users = app\nserver_login_retry = 1\n" .
		  "server_check_delay = 0\nlogfile = $directory/pgbouncer.log\n[databases]\n$databases\n");
	run('/dev/null', 'pgbouncer', "$directory/pgbouncer.ini");
	return;
}

END
{
	my $exit_code = $?;

	kill 'KILL', @pids;
	waitpid $_, 0 foreach @pids;
	$? = $exit_code;
}

1;
