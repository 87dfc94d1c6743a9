# test/t/013_state_program.pl
#	  pg_leader_state: prints a state file, writes a first one, and refuses
#	  everything else in words.

use strict;
use warnings;

use POSIX qw(mkfifo);
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir;
my $list = '10.0.0.1:3500, 10.0.0.2:3500, 10.0.0.3:3500';
my @new = ('--node-id', 1, '--cluster', $list);
my $file = "$dir/state/node-1.state";

program_help_ok('pg_leader_state');
program_version_ok('pg_leader_state');
program_options_handling_ok('pg_leader_state');

sub refused
{
	my ($status, $pattern, $name, @arguments) = @_;
	command_checks_all([ 'pg_leader_state', @arguments ], $status, [qr/^/], [$pattern], $name);
	return;
}

# Change one byte of the file and say what that makes of it.
sub damage
{
	my ($offset) = @_;
	open(my $handle, '+<:raw', $file) or die "$file: $!";
	seek $handle, $offset, 0;
	read $handle, my $byte, 1;
	seek $handle, $offset, 0;
	print $handle chr(ord($byte) ^ 1);
	close $handle;
	return;
}

# a first file
command_like([ 'pg_leader_state', '--new', $file, @new ],
	qr/wrote ".*node-1\.state" for node 1 of 3/, 'writes a first file');
is((stat $file)[2] & 0777, 0600, 'that only its owner may read');
is(-s $file, 8192, 'of a fixed size');
command_like([ 'pg_leader_state', $file ],
	qr/^node id: 1\n.*^verdict: good\n.*^term: 0\n.*^voted for: none\n.*^list size: 3\n.*^abstaining: no\n/ms,
	'prints it');
command_like([ 'pg_leader_state', '-h' ], qr/^Usage:$/m, '-h is --help, as in the scripts');
refused(2, qr/exists/, 'never overwrites', '--new', $file, @new);
command_like([ 'pg_leader_state', $file ], qr/^verdict: good$/m, 'and leaves what was there');

# damage
damage(20);
command_checks_all([ 'pg_leader_state', $file ], 1,
	[qr/^slot 0: bad\n.*^verdict: one slot is bad\n.*^record: slot 1\n/ms], [qr/^/],
	'one bad slot: exit status 1, and the record of the other');
damage(4096 + 20);
command_checks_all([ 'pg_leader_state', $file ], 2, [qr/^verdict: bad$/m], [qr/^/],
	'two bad slots: exit status 2');
damage(20);
damage(4096 + 20);
command_like([ 'pg_leader_state', $file ], qr/^verdict: good$/m, 'mended again');
truncate $file, 5000;
command_checks_all([ 'pg_leader_state', $file ], 2, [qr/^verdict: wrong size$/m], [qr/^/],
	'cut short: exit status 2');

# wrong arguments: nothing is written
refused(2, qr/no file given/, 'no file');
refused(2, qr/No such file/, 'a file that is not there', "$dir/none");
refused(2, qr/more than one file/, 'two files', $file, $file);
refused(2, qr/needs --node-id and --cluster/, 'no list', '--new', "$dir/node-1.state");
refused(2, qr/is not the name of node 1's state file/, 'another name',
	'--new', "$dir/node-2.state", @new);
refused(2, qr/node 7 is not in the member list/, 'not in the list',
	'--new', "$dir/node-7.state", '--node-id', 7, '--cluster', $list);
refused(2, qr/is not a node id/, 'no number',
	'--new', "$dir/node-1.state", '--node-id', 'one', '--cluster', $list);
refused(2, qr/member list is wrong/, 'a list that cannot be',
	'--new', "$dir/node-1.state", '--node-id', 1, '--cluster', '10.0.0.1, 10.0.0.2:1');
foreach my $name ('', 'x' x 64, "a\tb")
{
	refused(2, qr/name is 1 to 63 characters/, 'a name of the cluster that the server refuses',
		"--new=$dir/node-1.state", @new, '--cluster-name', $name);
}
refused(2, qr/go with --new/, 'reading with the arguments of writing', $file, @new);
refused(2, qr/no file given/, 'a first file without its name', '--new', @new);
refused(2, qr/more than one file/, 'a first file with two names', '--new=a', 'b', @new);
is_deeply([ glob "$dir/node-*" ], [], 'nothing was written');

# a journal beside it says that this member has run
sub crc32c
{
	my $crc = 0xffffffff;

	foreach my $byte (unpack 'C*', shift)
	{
		$crc ^= $byte;
		$crc = $crc >> 1 ^ ($crc & 1 ? 0x82f63b78 : 0) foreach 1 .. 8;
	}
	return $crc ^ 0xffffffff;
}

# write_journal(TERM): with one event, of the member that the state file is of.
sub write_journal
{
	my ($term) = @_;
	my ($digest) = slurp_file($file) =~ /^.{16}(.{8})/s;
	my $record = pack 'a8 N N a8 Q> Q> Q> Q> Q> Q> Q> a16 C C a154',
		'PGLDEVNT', 1, 1, $digest, 1, 1, 3, 1, 0, 0, $term, '', 0, 255, 'started';

	open(my $handle, '>:raw', "$dir/node-1.events") or die;
	print $handle $record, pack('N', crc32c($record)), "\0" x (511 * 256);
	close $handle;
	return;
}

write_journal(5);
command_like([ 'pg_leader_state', '--events', "$dir/node-1.events" ], qr/\tterm 5\t/, 'a journal');
refused(2, qr/node 1 has run before: its journal of events ".*node-1\.events" goes up to term 5\n.*hint: Start its server without a state file/s,
	'a member that has run', '--new', "$dir/node-1.state", @new);
truncate "$dir/node-1.events", 100;
refused(2, qr/the journal of events ".*" is of the wrong size\n.*hint: It may tell/s, 'a member that may have run', '--new', "$dir/node-1.state", @new);
write_journal(5);
is_deeply([ glob "$dir/node-*.state" ], [], 'nothing was written over a journal');
command_like([ 'pg_leader_state', '--new', "$dir/node-1.state", @new, '--cluster-name', 'another' ], qr/wrote/, "another cluster's journal is no evidence");
unlink "$dir/node-1.state", "$dir/node-1.events";

# events: of a journal, and of nothing else
refused(2, qr/no file given/, 'events of no file', '--events');
refused(2, qr/No such file.*hint: It is node-N\.events/s, 'events of a file that is not there', '--events', "$dir/none");
refused(2, qr/is of the wrong size/, 'events of a state file', '--events', $file);
refused(2, qr/--new and --events exclude each other/, 'events of a new file', '--new', '--events', "$dir/node-1.state", @new);

# what is no file is not read
mkfifo("$dir/fifo", 0600) or die "$dir/fifo: $!";
foreach my $other ("$dir/fifo", $dir, '/dev/zero')
{
	refused(2, qr/is not a regular file/, 'no regular file', $other);
}

# both ways of giving a value, and the longest name
command_like([ 'pg_leader_state', "--new=$dir/node-1.state", '--node-id=1', "--cluster=$list",
		'--cluster-name=' . 'x' x 63 ],
	qr/wrote ".*node-1\.state" for node 1 of 3/, 'with "="');

done_testing();
