# test/t/016_events.pl
#	  Why did the leader change: causes in words, in SQL, in the log and in the
#	  process title; events that outlive the server, and a journal that cannot be
#	  read or is not ours.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgLeaderCluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $cluster = PgLeaderCluster->new('events', 3, settings => \%PgLeaderCluster::STEADY);
my ($leader, $term, $old, $offset, @others);

# What goes behind a silence if the machine is so busy that the worker did not run.
my $late = qr/(?:; this worker woke up \d+ ms late)?/;

# The rows of pg_leader_events, oldest first: [number, boot, term, role, leader, reason].
sub events
{
	my $id = shift;
	my $rows = $cluster->sql($id, 'SELECT number, boot, term, role, leader_id, reason FROM pg_leader_events ORDER BY number');

	return map { [ split /\|/, $_, 6 ] } split /\n/, $rows // '';
}

sub reasons_after { my ($id, $number) = @_; return map { $_->[5] } grep { $_->[0] > $number } events($id); }

sub last_number { my $id = shift; return $cluster->sql($id, 'SELECT coalesce(max(number), 0) FROM pg_leader_events'); }

sub journal { my $id = shift; return $cluster->state_file($id) =~ s/\.state$/.events/r; }

sub title
{
	my $pid = $cluster->worker(shift) // return '';

	return slurp_file("/proc/$pid/cmdline") =~ s/[\0 ]+$//r;
}

sub has_reason { my ($id, $number, $pattern) = @_; return grep { /$pattern/ } reasons_after($id, $number); }

$cluster->start_all;
($leader, $term) = $cluster->wait_for_leader('one leader to begin with');

# ---- who voted, and the title ----

like((reverse $cluster->reasons($leader))[0],
	qr/^a majority voted for this node: (?:node \d|nodes \d, \d) and itself$/, 'who voted is named');
foreach my $id ($cluster->ids)
{
	my $role = $id == $leader ? 'leader' : "follower of node $leader";

	like(title($id), qr/^postgres: .*: pg_leader: $role, term $term$/, "the title of node $id");
}

# ---- a transfer ----

@others = $cluster->others($leader);
my %before = map { $_ => last_number($_) } $cluster->ids;
($old, $offset) = ($leader, $cluster->log_size($leader));
is($cluster->sql($old, "SELECT pg_leader_transfer($others[0])"), $others[0], 'transfer: done');
($leader, $term) = $cluster->wait_for_leader('transfer: all agree');
is((reasons_after($old, $before{$old}))[0], "handed over to node $others[0] on request", 'transfer: the old leader says it');
is((reasons_after($others[0], $before{ $others[0] }))[0], "node $old hands over to this node", 'transfer: so does the new one');
like($cluster->log_of($old, $offset),
	qr/LOG:  pg_leader: node $old has no leader in term \d+: handed over to node $others[0] on request$/m,
	'transfer: the log has the same words');

# ---- quiet: nothing is logged, nothing is written ----

my %size = map { $_ => $cluster->log_size($_) } $cluster->ids;
my %number = map { $_ => last_number($_) } $cluster->ids;
my %written = map { $_ => (stat journal($_))[9] } $cluster->ids;
$cluster->stays('quiet: one leader', 3, sub { my @found = $cluster->agreed($cluster->ids); return @found && $found[0] == $leader });
foreach my $id ($cluster->ids)
{
	my $log = $cluster->log_of($id, $size{$id});

	is(() = $log =~ /pg_leader:/g, 0, "quiet: node $id logs nothing") or diag($log);
	is(last_number($id), $number{$id}, "quiet: node $id has no event");
	is((stat journal($id))[9], $written{$id}, "quiet: node $id writes no journal");
}

# ---- a leader that is killed ----

$old = $leader;
@others = $cluster->others($old);
%before = map { $_ => last_number($_) } $cluster->ids;
%size = map { $_ => $cluster->log_size($_) } $cluster->ids;
my @of_old = events($old);
$cluster->kill_all($old);
($leader, $term) = $cluster->wait_for_leader('killed: the others have a leader');
ok(has_reason($leader, $before{$leader}, qr/^no heartbeat from node $old for [1-9]\d{2,3} ms$late$/), 'killed: who was silent, and for how long')
	or diag(join "\n", reasons_after($leader, $before{$leader}));

# One line for each change of role or leader, with term and cause.
foreach my $id (@others)
{
	my (@expected, $role, $of);

	foreach my $event (grep { $_->[0] >= $before{$id} } events($id))
	{
		push @expected, $event->[5] if defined $role && "$role $of" ne "$event->[3] $event->[4]";
		($role, $of) = @$event[ 3, 4 ];
	}
	my @logged = $cluster->log_of($id, $size{$id}) =~ /LOG:  pg_leader: node $id .*?in term \d+: (.*)|LOG:  pg_leader: node $id starts a pre-vote after term \d+: (.*)/g;
	@logged = grep { defined } @logged;
	is(join("\n", @logged), join("\n", @expected), "killed: node $id logs one line for each change");
}

# ---- what it had seen is still there ----

ok(-s journal($old) == 512 * 256, 'killed: its journal has its size');
my ($printed, $errors) = run_command([ 'pg_leader_state', '--events', journal($old) ]);
is(join("\n", map { join '|', (split /\t/)[ 0, 5 + 1 ] } split /\n/, $printed), join("\n", map { join '|', @$_[ 0, 5 ] } @of_old),
	'killed: the program prints its events without a server') or diag($errors);
like((split /\n/, $printed)[0], qr/^1\t\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}\+00\tboot 1\tterm \d+\tfollower\tno leader\tstarted$/, 'killed: with time, boot, term, role and leader');
$cluster->start($old);
$cluster->wait_for_leader('killed: back again, and all agree', $cluster->ids);
my @now = events($old);
is_deeply([ @now[ 0 .. $#of_old ] ], \@of_old, 'killed: all its events are there again');
is_deeply($now[ @of_old ], [ @of_old + 1, 2, $of_old[-1][2], 'follower', '', 'started' ], 'killed: numbers go on, in another boot');
is($cluster->sql($old, 'SELECT bool_and(boot_time > 0 AND ago >= $$0$$ AND abs(extract(epoch FROM clock_timestamp() - at - ago)) < 60) FROM pg_leader_events'),
	't', 'killed: times of this start of the machine mean what they say');

# ---- the quorum is lost ----

($leader, $term) = $cluster->wait_for_leader('quorum: one leader');
@others = $cluster->others($leader);
my $from = last_number($leader);
$cluster->stop($_, 'immediate') foreach @others;
$cluster->wait_until('quorum: the leader has stepped down', sub { $cluster->status($leader)->{role} ne 'leader' });
ok(has_reason($leader, $from, qr/^lost quorum: nobody answered in the last 2000 ms$late$/), 'quorum: who answered, and in which time')
	or diag(join "\n", reasons_after($leader, $from));
$cluster->start(@others);

# ---- a leader that stood still itself ----

($leader, $term) = $cluster->wait_for_leader('stood still: one leader', $cluster->ids);
($from, $offset) = (last_number($leader), $cluster->log_size($leader));
my $worker = $cluster->worker($leader);
kill 'STOP', $worker;
my $stopped = PgLeaderCluster::clock_now();
$cluster->wait_until('stood still: longer than it may be without an answer', sub { PgLeaderCluster::clock_now() > $stopped + 2.5e6 });
kill 'CONT', $worker;
my $stood_still = qr/(?:lost quorum: nobody answered in the last 2000 ms|node \d leads|higher term \d+ seen from node \d); this worker woke up [1-9]\d{3,} ms late$/m;
$cluster->wait_until('stood still: it has stepped down, and its events say that it was this member', sub { has_reason($leader, $from, qr/^$stood_still/) });
$cluster->wait_for_log($leader, qr/pg_leader: node $leader [^\n]*: $stood_still/m, $offset);

# ---- a server that stops; a worker that is told to end ----

($leader, $term) = $cluster->wait_for_leader('stop: one leader', $cluster->ids);
$from = last_number($leader);
$cluster->wait_until('stop: somebody is fit to take over', sub {
	$cluster->sql($leader, "SELECT min(ago) > '3s' FROM pg_leader_events WHERE role = 'leader'") eq 't' });
$offset = $cluster->log_size($leader);
$cluster->restart($leader, 'fast');
like($cluster->log_of($leader, $offset), qr/pg_leader: node $leader has no leader in term $term: server is stopping: handed over to node \d$/m,
	'stop: the log says why it handed over');
$cluster->wait_for_leader('stop: back again, and all agree', $cluster->ids);
my @reasons = reasons_after($leader, $from);
like($reasons[0], qr/^server is stopping: handed over to node \d$/, 'stop: the events say it, after the restart');
is_deeply([ @reasons[ 1, 2 ] ], [ 'the worker ended: server is stopping', 'started' ], 'stop: the end and the beginning');

my $follower = ($cluster->others(($cluster->wait_for_leader('worker: one leader'))[0]))[0];
$from = last_number($follower);
my $boot = $cluster->status($follower)->{boot};
kill 'TERM', $cluster->worker($follower);
$cluster->wait_until('worker: it has started again', sub { my $s = $cluster->status($follower); $s && ($s->{boot} // 0) > $boot });
like((reasons_after($follower, $from))[0], qr/^the worker ended: process $$ sent SIGTERM to the worker$/, 'worker: who told it to end');

# ---- journals that will not do ----

sub write_journal
{
	my ($id, $bytes) = @_;

	open my $file, '>', journal($id) or die journal($id) . ": $!";
	binmode $file;
	print $file $bytes;
	close $file or die $!;
	return;
}

sub read_journal { open my $file, '<:raw', journal(shift) or die $!; local $/; return scalar <$file>; }

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

# begins_anew(WHAT, ID, PATTERN, BYTES, AS): it takes part, says why, and has kept the
# old one under its name with AS behind it.
sub begins_anew
{
	my ($what, $id, $pattern, $bytes, $as) = @_;

	$cluster->stop($id);
	write_journal($id, $bytes);
	$offset = $cluster->log_size($id);
	$cluster->start($id);
	$cluster->wait_for_leader("$what: it takes part", $cluster->ids);
	like($cluster->log_of($id, $offset), qr/WARNING:  pg_leader: the journal of events is not complete: .*$pattern/, "$what: the log says so");
	is(-s journal($id) . $as, length $bytes, "$what: the old one is kept aside");
	is((events($id))[0][0], 1, "$what: events begin anew");
	return;
}

my $whole = read_journal(0);
my $own = read_journal(1);
begins_anew('no journal', 1, 'of the wrong size', 'x' x 1000, '.bad');
begins_anew('damaged', 1, 'damaged', ('x' x length $whole), '.bad.1');
begins_anew('of another node', 1, qr/another node's/, $whole, '.bad.2');
is(-s journal(1) . '.bad', 1000, 'of another node: the first one that was kept is still there');

# one bad record costs one event
$cluster->stop(1);
my $bytes = read_journal(1);
substr($bytes, 256 + 100, 1) ^= "\1";
write_journal(1, $bytes);
$cluster->start(1);
$cluster->wait_for_leader('one bad record: it takes part', $cluster->ids);
is($cluster->sql(1, 'SELECT string_agg(number::text, $$ $$ ORDER BY number) FROM pg_leader_events WHERE number < 4'), '1 3', 'one bad record: the others are shown');
command_checks_all([ 'pg_leader_state', '--events', journal(1) ], 1, [qr/^1\t/m], [qr/damaged records in .*: 1/], 'one bad record: the program says so');

# written before the machine was started anew
$cluster->stop(1);
my $count = 0;
$bytes = join '', map {
	my $record = substr $own, 256 * $_, 256;
	if ($record !~ /^\0*$/)
	{
		$count++;
		substr($record, 80, 16) = 'another machine!';
		substr($record, 252, 4) = pack 'N', crc32c(substr $record, 0, 252);
	}
	$record;
} 0 .. 511;
write_journal(1, $bytes);
$cluster->start(1);
$cluster->wait_for_leader('machine: all agree', $cluster->ids);
is($cluster->sql(1, "SELECT count(*), count(ago), count(boot_time), count(lease_start), count(lease_end) FROM pg_leader_events WHERE number <= $count"),
	"$count|$count|0|0|0", 'machine: times of its earlier start are not shown');
is($cluster->sql(1, "SELECT count(*) > 0 AND count(*) = count(boot_time) FROM pg_leader_events WHERE number > $count"), 't', 'machine: those of this one are');

# ---- the process that writes the journal ----

sub recorder { return $cluster->titled(shift, qr/\bpg_leader recorder\b/); }

# journal_has(WHAT, ID): all events that are shown are in the journal.
sub journal_has
{
	my ($what, $id) = @_;

	$cluster->wait_until("$what: the journal has all events", sub {
		my ($out) = run_command([ 'pg_leader_state', '--events', journal($id) ]);
		return join("\n", map { join '|', (split /\t/)[ 0, 6 ] } split /\n/, $out) eq join("\n", map { join '|', @$_[ 0, 5 ] } events($id));
	});
	return;
}

# Another leader, and so events on all members.
sub new_event
{
	my $what = shift;

	($leader, $term) = $cluster->wait_for_leader("$what: one leader", $cluster->ids);
	my ($to) = $cluster->others($leader);
	is($cluster->sql($leader, "SELECT pg_leader_transfer($to)"), $to, "$what: a transfer");
	($leader, $term) = $cluster->wait_for_leader("$what: all agree on the new one", $cluster->ids);
	return;
}

# A disk that hangs: the elections go on, and what happened is written afterwards.
my $recorder = recorder(2);
kill 'STOP', $recorder;
$from = last_number(2);
new_event('held up');
cmp_ok(last_number(2), '>', $from, 'held up: events are shown');
unlike((run_command([ 'pg_leader_state', '--events', journal(2) ]))[0], qr/^@{[ $from + 1 ]}\t/m, 'held up: and not written');
kill 'CONT', $recorder;
journal_has('held up', 2);

# Told to end, it comes back and goes on.
kill 'TERM', $recorder;
$cluster->wait_until('told to end: there is another one', sub { my $pid = recorder(2); defined $pid && $pid != $recorder });
new_event('told to end');
journal_has('told to end', 2);

# A journal that is taken away is begun anew, with all that is shown.
rename journal(2), journal(2) . '.away' or die;
journal_has('taken away', 2);

# What is in its place can be no journal; it is tried again.
$offset = $cluster->log_size(2);
rename journal(2), journal(2) . '.away' or die;
mkdir journal(2) or die;
$cluster->wait_for_log(2, qr/WARNING:  pg_leader: could not write the journal of events: .*(?:Is a directory|is not a regular file)\n[^\n]*DETAIL:  It is tried again each second/, $offset);
new_event('no file');
rmdir journal(2) or die;
journal_has('no file', 2);

# ---- the title is PostgreSQL's to switch off ----

$cluster->server(1)->append_conf('postgresql.conf', 'update_process_title = off');
$cluster->restart(1);
$cluster->wait_for_leader('no titles: all agree', $cluster->ids);
unlike(title(1), qr/term/, 'no titles: none is set');
ok(defined $cluster->worker(1), 'no titles: the worker is still known by its name');

$cluster->check_history;
done_testing();
