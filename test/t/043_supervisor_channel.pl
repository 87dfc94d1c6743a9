# test/t/043_supervisor_channel.pl
#	  What pg_leader_supervisor does when the role worker tells it something: here that is
#	  a process which the test has put under the postmaster in its place.
#
# A "postgres" beside a copy of the supervisor's program is a script that starts this
# process, and then becomes the real one.  The process passes on what the test writes into
# a FIFO, and notes what comes.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use File::Copy qw(copy);
use PgSupervisor;
use POSIX qw(mkfifo);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $work = PostgreSQL::Test::Utils::tempdir('channel');
my $server = PostgreSQL::Test::Cluster->new('talker');
my $log = "$work/log";
my ($supervisor, $offset);

chomp(my $bin = `pg_config --bindir`);
mkdir "$work/bin" or die;
copy("$bin/pg_leader_supervisor", "$work/bin/pg_leader_supervisor") or die "copy: $!";
open my $script, '>', "$work/bin/postgres" or die;
print $script <<"EOS";
#!/usr/bin/perl
use strict;
use warnings;
my \$postmaster = \$\$;
if (\$ENV{PG_LEADER_CONTROL} && fork == 0)
{
	open my \$channel, '+<&=', \$ENV{PG_LEADER_CONTROL} or die;
	open my \$fifo, '+<', '$work/fifo' or die;
	open my \$heard, '>>', '$work/heard' or die;
	while (getppid == \$postmaster)
	{
		my \$ready = '';
		vec(\$ready, fileno \$_, 1) = 1 foreach \$channel, \$fifo;
		next unless select(\$ready, undef, undef, 0.05) > 0;
		if (vec(\$ready, fileno \$channel, 1))
		{
			last unless sysread \$channel, my \$packet, 4096;
			syswrite \$heard, unpack('H*', \$packet) . "\\n";
		}
		if (vec(\$ready, fileno \$fifo, 1))
		{
			sysread \$fifo, my \$packet, 4096;
			syswrite \$channel, \$packet;
		}
	}
	exit;
}
exec '$bin/postgres', \@ARGV;
EOS
close $script;
chmod 0755, "$work/bin/postgres", "$work/bin/pg_leader_supervisor";
mkfifo("$work/fifo", 0600) or die "mkfifo: $!";
supervised($server, $log, "$work/bin/pg_leader_supervisor");

# ---- messages, see primary/control.h and primary/primary.h ----

my $layout = 'L l  l l l L Q Q Q  Q  L C x3 L x4 Q Q l x4 Q L L  L L Z400';
my @enums = slurp_file("$FindBin::RealBin/../../primary/primary.h") =~ /typedef enum Primary(?:Action|Reason)\s*\{(.*?)\}/gs;
my (%number, %types);

push @enums, slurp_file("$FindBin::RealBin/../../primary/control.h") =~ /typedef enum ControlType\s*\{(.*?)\}/s;
foreach my $enum (@enums)
{
	my $n = 0;

	$enum =~ s{/\*.*?\*/}{}gs;
	$number{$_} = $n++ foreach $enum =~ /\b(PRIMARY_\w+)/g;
	$n = 1;
	$types{$_} = $n++ foreach $enum =~ /\bCONTROL_(\w+)/g;
}
my ($magic) = slurp_file("$FindBin::RealBin/../../primary/control.h") =~ /CONTROL_MAGIC UINT32_C\((0x[0-9A-F]+)\)/;

sub message
{
	my ($type, %of) = @_;

	return pack $layout, $of{magic} // hex $magic, $types{$type}, $number{ $of{action} // 'PRIMARY_WAIT' },
	  $number{ $of{reason} // 'PRIMARY_LEADS_HALF_REBUILT' }, $of{node} // -1, 0, 0, 0, 0, 0, (0) x 9, $of{wrote_on} // 0, 0, $of{text} // '';
}

sub report
{
	open my $fifo, '>', "$work/fifo" or die "fifo: $!";
	syswrite $fifo, shift;
	close $fifo;
	usleep(200_000);
	return;
}

# What the supervisor has said, oldest first: { type, deaths, failures, stuck, wrote_on }.
sub heard
{
	return () unless -e "$work/heard";
	return map {
		my @field = unpack $layout, pack 'H*', $_;
		{ magic => $field[0], type => $field[1], deaths => $field[10], failures => $field[12], stuck => $field[13], wrote_on => $field[19] }
	} split /\n/, slurp_file("$work/heard");
}

# restarts(NAME, CODE): what it is that restarts the server; what the next one is told first.
sub restarts
{
	my ($name, $code) = @_;
	my @before = processes();
	my $had = () = heard();

	$offset = -s $log;
	$code->();
	wait_for_log("$name: it is started again", qr/started the server as a standby/, $offset);
	ok(are_gone(@before), "$name: nothing is left of the server before");
	wait_until("$name: it answers", \&answers);
	wait_until("$name: it is told what is known of its directory", sub { my $n = () = heard(); $n > $had });
	return (heard())[$had];
}

# ---- a server that talks ----

make_member("$work/state");
$supervisor = start_and_wait('the first start');
is(length message('STOPS'), 520, 'a message is as long as in this test');
wait_until('it is told of its directory', sub { () = heard() });
is_deeply((heard())[0], { magic => hex $magic, type => $types{DIRECTORY}, deaths => 0, failures => 0, stuck => 0, wrote_on => 0 },
	'of which nothing is known');

# ---- RESTART ----

my $first = restarts('RESTART', sub {
	report(message('ORDER', action => 'PRIMARY_RESTART', reason => 'PRIMARY_DEPOSED', text => 'because of a test', wrote_on => 4711));
});
like(log_from($offset), qr/restarting the server as a standby: because of a test\n.*received immediate shutdown request.*the server has stopped/s,
	'RESTART: by an immediate stop');
is($first->{wrote_on}, 4711, 'RESTART: what was written on is remembered');
is($first->{failures}, 0, 'RESTART: this is no failure');
$first = restarts('RESTART of what does not stream', sub {
	report(message('ORDER', action => 'PRIMARY_RESTART', reason => 'PRIMARY_NOT_STREAMING', wrote_on => 5));
});
is($first->{failures}, 1, 'RESTART of what does not stream: a failure');
cmp_ok($first->{stuck}, '>', 0, 'RESTART of what does not stream: since when is known');
is($first->{wrote_on}, 5, 'RESTART of what does not stream: and what was written on');
$first = restarts('RESTART, and the postmaster hangs', sub {
	kill 'STOP', postmaster();
	report(message('ORDER', action => 'PRIMARY_RESTART', reason => 'PRIMARY_DEPOSED'));
});
like(log_from($offset), qr/killed \d+ processes of the server/, 'RESTART, and the postmaster hangs: it is said');

# ---- what is remembered of a directory ----

$first = restarts('FOLLOWED, and a crash', sub { report(message('FOLLOWED')); kill 'KILL', postmaster(); });
is_deeply([ @$first{qw(failures stuck deaths)} ], [ 0, 0, 0 ], 'FOLLOWED: failures are over');
$first = restarts('a crash while WAL is read', sub { report(message('READS_WAL', wrote_on => 6)); kill 'KILL', titled(qr/checkpointer/); });
is($first->{deaths}, 1, 'a crash while WAL is read is counted');
is($first->{wrote_on}, 6, 'what was written on is remembered without an order, too');
$first = restarts('the postmaster killed while WAL is read', sub { report(message('READS_WAL')); kill 'KILL', postmaster(); });
is($first->{deaths}, 1, 'the postmaster killed while WAL is read is not');
$first = restarts('a crash after WAL was read', sub {
	report(message('READS_WAL'));
	report(message('KNOWS_END'));
	kill 'KILL', titled(qr/checkpointer/);
});
is($first->{deaths}, 1, 'a crash after WAL was read is not');

# ---- rebuilds, and what is no message ----

# There is no marker, so nothing is changed in the directory.
restarts('CLONE', sub {
	report(message('ORDER', action => 'PRIMARY_CLONE', reason => 'PRIMARY_DIFFERS', node => 2, text => 'it is a test'));
});
like(log_from($offset), qr/stopping the server for a clone from node 2: it is a test\n.*received immediate shutdown request/s, 'CLONE: by an immediate stop');
restarts('REWIND', sub {
	report(message('ORDER', action => 'PRIMARY_REWIND', reason => 'PRIMARY_DIVERGED', node => 1, text => 'it is another test'));
});
like(log_from($offset), qr/stopping the server for a rewind from node 1: it is another test\n.*received fast shutdown request/s, 'REWIND: by a fast stop');

my $postmaster = postmaster();
$offset = -s $log;
report(message('STOPS', magic => 1));
report(substr message('STOPS'), 0, 100);
report(message('STOPS') . 'x');
report(message('ORDER', action => 'PRIMARY_OPEN'));
like(log_from($offset), qr/a message of the server is no message: $_/, "no message: $_")
  foreach 'it is of another version of pg_leader', 'it is of another length', 'a supervisor does not obey such an order';
ok(answers(), 'the server goes on');
is(postmaster(), $postmaster, 'it is the same one');

# ---- the supervisor's own end ----

# ends(NAME, ANSWER...): tests; it is told to end, and the role worker answers that.
sub ends
{
	my ($name, @answers) = @_;
	my $had = () = heard();

	$offset = -s $log;
	kill 'TERM', $supervisor;
	wait_until("$name: the worker is told", sub { my $n = () = heard(); $n > $had });
	is((heard())[$had]{type}, $types{STOPS}, "$name: that it is to stop");
	report($_) foreach @answers;
	is(exit_of($supervisor), 0, "$name: exit status 0");
	return;
}

ends('no answer');
like(log_from($offset), qr/received fast shutdown request/, 'no answer: a fast stop');
$supervisor = start_and_wait('again');
ends('it may stop', message('MAY_STOP'));
like(log_from($offset), qr/received fast shutdown request/, 'it may stop: a fast stop');
$supervisor = start_and_wait('again');
ends('handed over', message('HANDS_OVER'), message('ORDER', action => 'PRIMARY_RESTART', reason => 'PRIMARY_HANDED_OVER', text => 'it is a test'));
like(log_from($offset), qr/the server hands over to another member first\n.*stopping the server at once: it is a test\n.*received immediate shutdown request/s,
	'handed over: an immediate stop');
unlike(log_from($offset), qr/received fast shutdown request/, 'handed over: and no checkpoint');
$supervisor = start_and_wait('again');
ends('given up', message('HANDS_OVER'), message('MAY_STOP'));
like(log_from($offset), qr/the server hands over.*received fast shutdown request/s, 'given up: a fast stop');
$supervisor = start_and_wait('again');
ends('another rebuild is ordered', message('HANDS_OVER'), message('ORDER', action => 'PRIMARY_CLONE', reason => 'PRIMARY_DIFFERS', node => 2));
unlike(log_from($offset), qr/for a clone/, 'another rebuild is ordered: which is none');

done_testing();
