# test/t/007_state_file.pl
#	  Everything that can happen to a state file while its member is down or runs,
#	  and the others run: the member abstains until it is safe, or takes no part and says
#	  why; it never votes on a state that it cannot trust, and never takes the
#	  server down.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use File::Copy qw(copy move);
use PgLeaderCluster;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $cluster = PgLeaderCluster->new('state', 3);
my ($leader, $term, $id, $other, $file, $spare, $offset);

# ---- tools ----

# overwrite(OFFSET, BYTES): in the state file.
sub overwrite
{
	my ($position, $bytes) = @_;

	open my $handle, '+<:raw', $file or die "$file: $!";
	seek $handle, $position, 0;
	print $handle $bytes;
	close $handle or die "$file: $!";
	return;
}

# The bytes that a slot of the file begins with.
sub slot_at { return (0, 4096)[ $_[0] ]; }

# down(WHAT): stop the member, keep a copy of its file.
sub down
{
	my $what = shift;

	($leader, $term) = $cluster->wait_for_leader("$what: one leader before", $cluster->ids);
	($id, $other) = $cluster->others($leader);
	$file = $cluster->state_file($id);
	$spare = "$file.spare";
	$cluster->stop($id);
	unlink $spare;
	copy($file, $spare) or die "$file: $!";
	$cluster->forget_state($id);
	$offset = $cluster->log_size($id);
	return;
}

# takes_no_part(WHAT, PATTERN): it says so in status and log, once, with a hint,
# and the others do not care.
sub takes_no_part
{
	my ($what, $pattern) = @_;
	my ($log, $message);

	$cluster->start($id);
	$cluster->wait_until("$what: takes no part, and says why",
		sub { my $s = $cluster->status($id); $s && $s->{state} =~ /^not taking part: .*$pattern/ });
	$log = $cluster->log_of($id, $offset);
	$message = qr/WARNING:  pg_leader: this server does not take part in elections: [^\n]*$pattern[^\n]*\n[^\n]*HINT:  \S/;
	like($log, $message, "$what: the log has it, with a hint");
	is($cluster->sql($id, 'SELECT pg_leader_term(), pg_leader_leader_id(), pg_leader_is_leader()'), '||f',
		"$what: no term, no leader");
	is($cluster->sql($id, 'SELECT count(*) FROM pg_leader_peers'), 0, "$what: no peers");
	like($cluster->failure($id, 'SELECT pg_leader_admit()'),
		qr/ERROR:  this server does not take part in elections\nHINT:  /, "$what: nothing to admit");
	like($cluster->failure($id, q{SELECT pg_leader_wait_for_leader('0s')}),
		qr/DETAIL:  This server does not take part in elections: [^\n]*$pattern.*HINT:  The column "state"/s,
		"$what: no leader to wait for");
	like($cluster->sql($id, 'SELECT get_node_info()'), qr/^node $id: not taking part/, "$what: get_node_info()");
	$cluster->wait_for_leader("$what: the others have a leader", $leader, $other);
	is(scalar(() = $cluster->log_of($id, $offset) =~ /$message/g), 1, "$what: one message");
	return;
}

# joins(WHAT): once the reason has gone, without a restart.
sub joins
{
	my $what = shift;

	$cluster->wait_for_leader("$what: repaired, it joins without a restart", $cluster->ids);
	return;
}

# abstains_then_votes(WHAT, REASON): it starts, abstains, and comes back.
sub abstains_then_votes
{
	my ($what, $reason) = @_;

	$cluster->start($id);
	$cluster->wait_until("$what: stopped abstaining, after all others have answered", sub {
		my $s = $cluster->status($id);
		return $s && $s->{state} eq 'taking part' && !$s->{abstaining} &&
			grep { $_ eq 'stopped abstaining' } $cluster->reasons($id);
	});
	like($cluster->log_of($id, $offset), qr/node $id [^\n]*: (?:abstains: )?\Q$reason\E/, "$what: it had abstained, and said why");
	$cluster->wait_for_leader("$what: all agree", $cluster->ids);
	cmp_ok($cluster->status($id)->{term}, '>=', $term, "$what: the term goes on");
	$cluster->stop($id);
	is($cluster->state($id)->{verdict}, 'good', "$what: its file is good again");
	is($cluster->state($id)->{abstaining}, 'no', "$what: and says that it votes");
	$cluster->start($id);
	return;
}

$cluster->start_all;

# ---- files that cannot be used ----

down('foreign cluster');
unlink $file;
$cluster->write_first_state($id, cluster_name => 'another');
takes_no_part('foreign cluster', qr/the state file ".*" belongs to another cluster/);
move($spare, $file) or die;
joins('foreign cluster');

down("another node's file");
unlink $file;
my $directory = PostgreSQL::Test::Utils::tempdir();
$cluster->write_first_state($other, file => "$directory/node-$other.state");
move("$directory/node-$other.state", $file) or die;
takes_no_part("another node's file", qr/the state file ".*" belongs to node $other, and this is node $id/);
move($spare, $file) or die;
joins("another node's file");

down('both slots bad');
overwrite(slot_at($_) + 40, "\xff" x 8) foreach 0, 1;
takes_no_part('both slots bad', qr/is damaged: both of its records are invalid/);
move($spare, $file) or die;
joins('both slots bad');

down('truncated');
truncate $file, 5000 or die;
takes_no_part('truncated', qr/has 5000 bytes instead of 8192/);
move($spare, $file) or die;
joins('truncated');

down('empty');
truncate $file, 0 or die;
takes_no_part('empty', qr/has 0 bytes instead of 8192/);
move($spare, $file) or die;
joins('empty');

down('too long');
overwrite(8192, 'x');
takes_no_part('too long', qr/has (at least )?8193 bytes instead of 8192/);
move($spare, $file) or die;
joins('too long');

down('not a file');
unlink $file;
mkdir $file or die;
takes_no_part('not a file', qr/could not open the state file|is not a regular file/);
rmdir $file or die;
move($spare, $file) or die;
joins('not a file');

down('writable by anybody');
chmod 0666, $file or die;
takes_no_part('writable by anybody', qr/the state file ".*" can be written to by others: its permissions are 0666/);
chmod 0600, $file or die;
joins('writable by anybody');

down('directory writable by anybody');
chmod 0777, $cluster->member($id)->{state_directory} or die;
takes_no_part('directory writable by anybody', qr/the state directory ".*" can be written to by others: its permissions are 0777/);
chmod 0700, $cluster->member($id)->{state_directory} or die;
joins('directory writable by anybody');

SKIP:
{
	skip 'the superuser of the machine may do anything', 1 if $> == 0;

	down('unreadable');
	chmod 0000, $file or die;
	takes_no_part('unreadable', qr/could not open the state file .*: Permission denied/);
	chmod 0600, $file or die;
	joins('unreadable');

	# Missing, and no new one can be made.
	down('unwritable directory');
	move($file, "$directory/aside") or die;
	unlink $spare;
	chmod 0500, $cluster->member($id)->{state_directory} or die;
	takes_no_part('unwritable directory', qr/could not create the file .*: Permission denied/);
	chmod 0700, $cluster->member($id)->{state_directory} or die;
	$cluster->wait_until('unwritable directory: repaired, it makes a file, abstains and comes back',
		sub { grep { $_ eq 'stopped abstaining' } $cluster->reasons($id) });
	joins('unwritable directory');
}

down('no such directory');
$cluster->set($id, state_directory => "$directory/there/is/none");
takes_no_part('no such directory', qr{the directory ".*/there/is" does not exist});
$cluster->stop($id);
$cluster->set($id, state_directory => $cluster->member($id)->{state_directory});
$cluster->start($id);

down('a file in place of the directory');
$cluster->set($id, state_directory => $spare);
takes_no_part('a file in place of the directory', qr/Not a directory/);
$cluster->stop($id);
$cluster->set($id, state_directory => $cluster->member($id)->{state_directory});
$cluster->start($id);

# ---- states that cannot be trusted ----

down('missing');
unlink $file or die;
abstains_then_votes('missing', 'no state file was found, so one was created');

foreach my $slot (0, 1)
{
	down("slot $slot bad");
	overwrite(slot_at($slot) + 40, "\xff" x 8);
	abstains_then_votes("slot $slot bad", 'the state file was damaged');
}

# An old copy: the others remember later saves than it holds.
down('old copy');
$cluster->start($id);
$cluster->wait_for_leader('old copy: it has gone on', $cluster->ids);
$cluster->restart($id);
$cluster->wait_for_leader('old copy: and on', $cluster->ids);
my $boot = $cluster->status($id)->{boot};
$cluster->stop($id);
$offset = $cluster->log_size($id);
move($spare, $file) or die;
$cluster->forget_state($id);
abstains_then_votes('old copy', 'the state file is older than a peer remembers');
cmp_ok($cluster->status($id)->{boot}, '>', $boot, 'old copy: it goes on above what it had been');

# A copy that is one start old: the others know another start of that number.
down('twin');
$cluster->start($id);
$cluster->wait_for_leader('twin: it has gone on', $cluster->ids);
$cluster->stop($id);
$offset = $cluster->log_size($id);
move($spare, $file) or die;
$cluster->forget_state($id);
abstains_then_votes('twin', 'another server has run with this node id');

# ---- taken away while the member runs ----

# save_fails(WHAT, CODE): CODE has taken the file away; the next save notices, nothing
# that hangs on it is shown or sent, and the member comes back as one without a file.
sub save_fails
{
	my ($what, $take_away) = @_;
	my $boot;

	($leader, $term) = $cluster->wait_for_leader("$what: one leader before", $cluster->ids);
	($id) = $cluster->others($leader);
	$file = $cluster->state_file($id);
	$boot = $cluster->status($id)->{boot};
	$offset = $cluster->log_size($id);
	$take_away->($cluster->member($id)->{state_directory});
	$cluster->forget_state($id);
	$cluster->transfer($leader, $id);
	$cluster->wait_for_log($id, qr/FATAL:  pg_leader: could not save term and vote: the state file ".*" was removed, or replaced by another one/, $offset);
	$cluster->wait_until("$what: it has abstained, and does no longer", sub {
		my $s = $cluster->status($id);
		return $s && ($s->{boot} // 0) > $boot && !$s->{abstaining} &&
			$cluster->log_of($id, $offset) =~ /no state file was found, so one was created/;
	});
	unlike($cluster->log_of($id, $offset), qr/node $id became leader in term @{[ $term + 1 ]}:/, "$what: it did not lead by a vote that was not saved");
	$cluster->wait_for_leader("$what: all agree", $cluster->ids);
	ok(-e $file, "$what: it has a file again");
	return;
}

save_fails('file moved', sub { move($file, "$file.moved") or die });
save_fails('directory replaced', sub { my $in = shift; rename $in, "$in.moved" or die; mkdir $in, 0700 or die });

# ---- looked at while the member runs ----

# Status and log say what is wrong with the file, and when it is right again.
($leader, $term) = $cluster->wait_for_leader('looked at: one leader before', $cluster->ids);
($id) = $cluster->others($leader);
($file, $directory) = ($cluster->state_file($id), $cluster->member($id)->{state_directory});

sub health_becomes
{
	my ($what, $health) = @_;

	$cluster->wait_until("$what: pg_leader_status says \"$health\"", sub { my $s = $cluster->status($id); $s && $s->{state_file_health} eq $health });
	return;
}

my $sound = $cluster->status($id)->{state_file_health};
foreach my $case (
	[ 'file opened to others', 'writable by others', sub { chmod 0666, $file or die }, sub { chmod 0600, $file or die },
		qr/the state file ".*" can be written to by others: its permissions are 0666/ ],
	[ 'directory opened to others', 'writable by others', sub { chmod 0777, $directory or die }, sub { chmod 0700, $directory or die },
		qr/the state directory ".*" can be written to by others: its permissions are 0777/ ],
	[ 'moved and moved back', 'removed or replaced', sub { move($file, "$file.moved") or die }, sub { move("$file.moved", $file) or die },
		qr/the state file ".*" was removed, or replaced by another one, while it was in use/ ])
{
	my ($what, $health, $break, $mend, $pattern) = @$case;
	my $boot = $cluster->status($id)->{boot};

	$offset = $cluster->log_size($id);
	$break->();
	health_becomes($what, $health);
	$cluster->wait_for_log($id, qr/WARNING:  pg_leader: $pattern\n[^\n]*DETAIL:  \S[^\n]*\n[^\n]*HINT:  \S/, $offset);
	$mend->();
	health_becomes("$what, and mended", $sound);
	$cluster->wait_for_log($id, qr/LOG:  pg_leader: no longer: $pattern/, $offset);
	is(() = $cluster->log_of($id, $offset) =~ /WARNING:/g, 1, "$what: said once");
	is($cluster->status($id)->{boot}, $boot, "$what: it goes on");
}
$cluster->transfer($leader, $id);
is(($cluster->wait_for_leader('moved and moved back: one leader'))[0], $id, 'moved and moved back: it can save again');

# ---- all state files are lost ----

# The journals tell of the terms that were.
($leader, $term) = $cluster->wait_for_leader('all lost: one leader before', $cluster->ids);
$cluster->transfer($leader, ($cluster->others($leader))[0]);
($leader, $term) = $cluster->wait_for_leader('all lost: another leader', $cluster->ids);
cmp_ok($term, '>', 1, 'all lost: terms have gone by');
$cluster->stop($_) foreach $cluster->ids;
my %lost = map { $_ => $cluster->log_size($_) } $cluster->ids;
foreach my $member ($cluster->ids)
{
	unlink $cluster->state_file($member) or die;
	$cluster->forget_state($member);
	command_fails_like([ 'pg_leader_state', '--new', $cluster->state_file($member), '--node-id', $member, '--cluster', $cluster->{list} ],
		qr/node $member has run before: its journal of events ".*" goes up to term \d+/, "all lost: no first file for node $member");
}
$cluster->start_all;
my ($new_leader, $new_term) = $cluster->wait_for_leader('all lost: a leader again', $cluster->ids);
foreach my $member ($cluster->ids)
{
	my ($first) = $cluster->log_of($member, $lost{$member}) =~ /node $member of 3 members started in term (\d+)\n.*no state file was found, so one was created/;

	# the last to be stopped may have gone on
	cmp_ok($first // 0, '>=', $term, "all lost: node $member starts in the term of its journal, and abstains");
	cmp_ok($new_term, '>', $first // 0, "all lost: the new leader's term is above it");
}

# ---- while another one is down ----

# All others have to answer.  Until then it does not count, so there is no
# majority; pg_leader_admit() stands in for the answer that will not come.
down('missing, and not all answer');
unlink $file or die;
$cluster->stop($other);
$cluster->start($id);
$cluster->wait_until('not all answer: it abstains, and nobody leads', sub {
	my @status = map { $cluster->status($_) } $id, $leader;
	return $status[0]->{abstaining} && !grep { !$_ || $_->{is_leader} || defined $_->{leader_id} } @status;
});
$cluster->stays('not all answer: nobody will', 3,
	sub { !$cluster->leads($id, $leader) && $cluster->status($id)->{abstaining} });
is($cluster->sql($id, 'SELECT pg_leader_admit()'), '', "not all answer: pg_leader_admit()");
$cluster->wait_for_leader('admitted: one leader', $id, $leader);
ok((grep { $_ eq 'admitted by pg_leader_admit()' } $cluster->reasons($id)), 'admitted: it is on record');
ok(!$cluster->status($id)->{abstaining}, 'admitted: it stopped abstaining');
$cluster->start($other);
$cluster->wait_for_leader('admitted: all are back', $cluster->ids);

# ---- a second server with the same file ----

my $twin = PostgreSQL::Test::Cluster->new('second');
($leader, $term) = $cluster->wait_for_leader('second server: one leader before', $cluster->ids);
$twin->init_from_backup(PgLeaderCluster::template(), 'template');
$twin->append_conf('postgresql.conf', join "\n", "shared_preload_libraries = 'pg_leader'",
	"pg_leader.node_id = $leader", "pg_leader.cluster = '$cluster->{list}'",
	"pg_leader.listen_address = '127.0.0.2'", # the port is free there
	"pg_leader.state_directory = '$cluster->{members}{$leader}{state_directory}'");
$twin->start;
$cluster->wait_until('second server: takes no part, and says why', sub {
	$twin->safe_psql('postgres', 'SELECT state FROM pg_leader_status') =~
		/not taking part: another process uses the state file/;
});
$cluster->wait_for_leader('second server: the first ones do not care', $cluster->ids);
$twin->stop;

# ---- a full disk ----

SKIP:
{
	my $disk = $ENV{PG_LEADER_SMALL_DISK};

	skip 'PG_LEADER_SMALL_DISK names no small file system', 1 unless defined $disk && -w $disk;

	my $ballast = "$disk/ballast";
	my $fill = sub {
		open my $handle, '>', $ballast or die "$ballast: $!";
		1 while syswrite $handle, 'x' x 1024;
		close $handle;
	};

	down('full disk');
	$cluster->member($id)->{state_directory} = "$disk/state";
	$cluster->set($id, state_directory => "$disk/state");
	mkdir "$disk/state" or die "$disk: $!";
	$fill->();
	takes_no_part('full disk', qr/No space left on device/);
	is_deeply([ glob "$disk/state/*" ], [], 'full disk: nothing half-made is left');
	unlink $ballast;
	joins('full disk');

	# A file that is there needs no more room.
	$fill->();
	$cluster->restart($id);
	$cluster->wait_for_leader('full disk: a member that has its file takes part', $cluster->ids);
	$cluster->stop($id);
	is($cluster->state($id)->{verdict}, 'good', 'full disk: its file is good');
	unlink $ballast, glob "$disk/state/*";
	rmdir "$disk/state";
}

$cluster->check_history;
done_testing();
