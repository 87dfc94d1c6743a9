# test/t/015_authentication.pl
#	  Members with a secret hear those who have it and nobody else; keys are
#	  exchanged without an election; a file that cannot be used never means "no
#	  authentication"; and no key is ever shown.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgLeaderCluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $cluster = PgLeaderCluster->new('authentication', 3, settings => \%PgLeaderCluster::STEADY);
my $directory = PostgreSQL::Test::Utils::tempdir('secrets');
my %key = map { $_ => random_key() } 1, 2, 3;
my %file = map { $_ => "$directory/secret_$_" } $cluster->ids;
my ($leader, $term, $id, $other, $offset, $log);

sub random_key
{
	open my $random, '<:raw', '/dev/urandom' or die $!;
	read($random, my $bytes, 32) == 32 or die $!;
	close $random;
	return unpack 'H*', $bytes;
}

# write_text(NODE, TEXT): its secret file.
sub write_text
{
	my ($node, $text) = @_;

	unlink $file{$node};
	PostgreSQL::Test::Utils::append_to_file($file{$node}, $text);
	chmod 0600, $file{$node} or die $!;
	return;
}

# write_keys(NODE, KEY-ID...): its secret file, with these keys in this order.
sub write_keys
{
	my ($node, @ids) = @_;

	return write_text($node, join '', "# of node $node\n", map { "$_ $key{$_}\n" } @ids);
}

# Reload and wait until the node has said so, in these words.
sub reload
{
	my ($node, $pattern) = @_;
	my $from = $cluster->log_size($node);

	$cluster->server($node)->reload;
	$cluster->wait_for_log($node, $pattern, $from);
	return;
}

# says(KEY-ID...): what the log has when these keys were taken.
sub says
{
	my ($first, $second) = @_;

	return qr/pg_leader: signing datagrams with key $first, accepting no other/ unless defined $second;
	return qr/pg_leader: signing datagrams with key $first, accepting keys $first and $second/;
}

# What node NODE has dropped for that reason.
sub dropped
{
	my ($node, $reason) = @_;

	return $cluster->sql($node, "SELECT count FROM pg_leader_stat_drops WHERE dropped_by = 'transport' AND reason = '$reason'");
}

# "1 1 2": with which keys node NODE, and those whom it hears, sign.
sub keys_seen
{
	my $node = shift;

	return $cluster->sql($node, q(SELECT string_agg(coalesce(key_id::text, '-'), ' ' ORDER BY node_id) FROM pg_leader_peers));
}

sub wait_for_keys
{
	my ($what, $expected) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	foreach my $node ($cluster->ids)
	{
		$cluster->wait_until("$what: node $node sees keys $expected", sub { keys_seen($node) eq $expected });
	}
	return;
}

sub is_authenticated { my $node = shift; return $cluster->status($node)->{authentication} ? 1 : 0; }

sub same_leader
{
	my $what = shift;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is_deeply([ $cluster->wait_for_leader("$what: all agree") ], [ $leader, $term ],
		"$what: same leader, same term");
	return;
}

# ---- off ----

$cluster->start_all;
$cluster->wait_for_leader('off: all agree');
wait_for_keys('off', '- - -');
foreach my $node ($cluster->ids)
{
	ok(!is_authenticated($node), "off: the status of node $node says so");
	unlike($cluster->log_of($node), qr/authenticated/, "off: no warning where all members are on loopback");
}

# ---- switched on while they run ----

($leader, $term) = $cluster->agreed($cluster->ids);
($id, $other) = $cluster->others($leader);
foreach my $node ($cluster->ids)
{
	write_keys($node, 1);
	$cluster->set($node, secret_file => $file{$node});
}
reload($id, says(1));
$cluster->wait_until("one has the key: node $id hears nobody", sub { dropped($id, 'not authenticated') > 0 });
$cluster->wait_until("one has the key: nobody hears node $id", sub { dropped($leader, 'unknown key') > 0 });
$cluster->wait_until("one has the key: it is not reachable", sub { !$cluster->peers($leader)->{$id}{reachable} });
is_deeply([ $cluster->agreed($leader, $other) ], [ $leader, $term ], 'one has the key: the others keep their leader');
like($cluster->log_of($id), qr/LOG:  pg_leader: dropped a datagram from the address of node [$leader$other]: not authenticated\n[^\n]*DETAIL: [^\n]*\n[^\n]*HINT:  Check that pg_leader\.secret_file holds the same keys/,
	'one has the key: the log says what to look at');

# The leader goes over to those who make a majority with it, and keeps its place.
reload($leader, says(1));
$cluster->wait_until('two have the key: they have the leader that they had',
	sub { my @agreed = $cluster->agreed($leader, $id); @agreed && "@agreed" eq "$leader $term" });
reload($other, says(1));
same_leader('on');
wait_for_keys('on', '1 1 1');
ok(is_authenticated($_), "on: the status of node $_ says so") foreach $cluster->ids;

# ---- another key under the same id ----

($id, $other) = $cluster->others($leader);
$cluster->sql($_, 'SELECT pg_stat_pg_leader_reset()') foreach $cluster->ids;
$offset = $cluster->log_size($leader);
write_text($id, "1 $key{3}\n");
reload($id, says(1));
$cluster->wait_until("wrong key: node $id hears nobody", sub { dropped($id, 'bad tag') > 0 });
$cluster->wait_until("wrong key: nobody hears node $id", sub { dropped($leader, 'bad tag') > 5 });
$cluster->wait_until('wrong key: it is not reachable', sub { !$cluster->peers($leader)->{$id}{reachable} });
$log = $cluster->log_of($leader, $offset);
is(scalar(() = $log =~ /dropped a datagram from the address of node $id: bad tag/g), 1,
	'wrong key: several datagrams make one message');
is_deeply([ $cluster->agreed($leader, $other) ], [ $leader, $term ], 'wrong key: the others keep their leader');
write_keys($id, 1);
reload($id, says(1));
same_leader('wrong key: mended');

# ---- the file is looked at while the keys of it are in use ----

my $looked = $cluster->log_size($id);
chmod 0644, $file{$id} or die $!;
$cluster->wait_for_log($id, qr/WARNING:  pg_leader: the secret file "\Q$file{$id}\E" is open to others: its permissions are 0644\n[^\n]*DETAIL:  This member goes on with the keys[^\n]*\n[^\n]*HINT:  [^\n]*exchange the key\./, $looked);
chmod 0600, $file{$id} or die $!;
$cluster->wait_for_log($id, qr/LOG:  pg_leader: no longer: the secret file "\Q$file{$id}\E" is open to others/, $looked);
same_leader('looked at');

# ---- a reload with a file that cannot be used ----

foreach my $case (
	[ 'no file', sub { unlink $file{$id} }, qr/cannot be opened: No such file/ ],
	[ 'a directory', sub { unlink $file{$id}; mkdir $file{$id} }, qr/is not a regular file/ ],
	[ 'an empty file', sub { rmdir $file{$id}; write_text($id, '') }, qr/cannot be used: there is no key in it/ ],
	[ 'open to others', sub { write_keys($id, 2); chmod 0604, $file{$id} }, qr/is open to others: its permissions are 0604/ ],
	[ 'open to the group', sub { chmod 0640, $file{$id} }, qr/is open to others: its permissions are 0640/ ],
	[ 'half a key', sub { write_text($id, "# new\n2 " . substr($key{2}, 0, 40) . "\n") }, qr/cannot be used: line 2: the key has 40 hexadecimal digits/ ],
	[ 'three keys', sub { write_keys($id, 1, 2, 3) }, qr/cannot be used: line 4: there are two keys before it already/ ])
{
	my ($what, $code, $message) = @$case;

	$offset = $cluster->log_size($id);
	$code->();
	reload($id, qr/keeping the old ones: [^\n]*$message/);
	like($cluster->log_of($id, $offset), qr/WARNING:  pg_leader: new keys are not usable, keeping the old ones: the secret file "\Q$file{$id}\E" $message[^\n]*\n[^\n]*HINT:  [^\n]*Then reload again\./,
		"$what: the keys are kept, with a hint");
	ok(is_authenticated($id), "$what: still authenticated");
	$cluster->wait_until("$what: shown",
		sub { $cluster->sql($id, 'SELECT refused_settings FROM pg_leader_status') eq 'pg_leader.secret_file' });
}
$offset = $cluster->log_size($id);
$cluster->set($id, secret_file => '/' . 'x' x 2000);
reload($id, qr/WARNING:  pg_leader: new keys are not usable, keeping the old ones: the path of the secret file is too long/);
$cluster->set($id, secret_file => $file{$id});
is($cluster->sql($id, 'SELECT key_id FROM pg_leader_peers WHERE is_self'), 1, 'bad files: the key is the one before');
write_keys($id, 1);
$cluster->server($id)->reload;
$cluster->wait_until('bad files: nothing is shown any more',
	sub { $cluster->sql($id, 'SELECT refused_settings IS NULL FROM pg_leader_status') eq 't' });
same_leader('bad files');

# ---- a start with a file that cannot be used ----

$cluster->stop($id);
write_keys($id, 1);
chmod 0644, $file{$id};
$offset = $cluster->log_size($id);
$cluster->start($id);
foreach my $case (
	[ 'open to others', sub { }, qr/is open to others: its permissions are 0644/ ],
	[ 'no file', sub { unlink $file{$id} }, qr/cannot be opened: No such file/ ],
	[ 'no key', sub { write_text($id, "# later\n") }, qr/cannot be used: there is no key in it/ ])
{
	my ($what, $code, $message) = @$case;

	$code->();
	$cluster->wait_until("start, $what: it takes no part, and says why", sub {
		my $status = $cluster->status($id);
		$status && $status->{state} =~ /^not taking part: the secret file "\Q$file{$id}\E" $message/;
	});
	ok(!$cluster->sql($id, 'SELECT datagrams_sent FROM pg_stat_pg_leader'), "start, $what: not one datagram");
}
$cluster->stays('start, no key: it stays out', 2, sub { $cluster->status($id)->{state} =~ /^not taking part/ });
is(scalar(() = $cluster->log_of($id, $offset) =~ /does not take part in elections: the secret file/g), 3,
	'start: each reason is logged once');
write_keys($id, 1);
same_leader('start: a good file is found without a reload');

# ---- an exchange of keys ----

$cluster->sql($_, 'SELECT pg_stat_pg_leader_reset()') foreach $cluster->ids;
foreach my $step ([ 1, 2 ], [ 2, 1 ], [2])
{
	my $what = 'keys ' . join ' and ', @$step;

	foreach my $node ($leader, $cluster->others($leader))
	{
		write_keys($node, @$step);
		reload($node, says(@$step));
		same_leader("$what, node $node");
	}
	wait_for_keys($what, join ' ', ($step->[0]) x 3);
}
$cluster->stays('exchanged: nobody has dropped anything for it, and nobody does', 2, sub {
	!grep { my $node = $_; grep { dropped($node, $_) != 0 } 'not authenticated', 'unknown key', 'bad tag' } $cluster->ids;
});
is($cluster->sql($leader, 'SELECT sum(elections_started + pre_votes_started) FROM pg_stat_pg_leader'), 0,
	'exchanged: without an election');
same_leader('exchanged');

# Those who have only the old key are out.
write_keys($id, 1);
reload($id, says(1));
$cluster->wait_until('old key: counted', sub { dropped($leader, 'unknown key') > 0 && dropped($id, 'unknown key') > 0 });
write_keys($id, 2);
reload($id, says(2));
same_leader('old key: exchanged');

# ---- a restart, and switching it off ----

$cluster->restart($id);
same_leader('restart with a secret');
foreach my $node ($cluster->ids)
{
	$cluster->set($node, secret_file => '');
	$cluster->server($node)->reload;
}
wait_for_keys('off again', '- - -');
ok(!is_authenticated($_), "off again: the status of node $_ says so") foreach $cluster->ids;
$cluster->wait_for_leader('off again: all agree');

# ---- members elsewhere ----

my $far = PgLeaderCluster->new('far', 1, blank => 1);
$far->{list} = '0=' . $far->address(0) . ', 1=192.0.2.1:3500';
$far->set(0, cluster => $far->{list});
$far->write_first_state(0);
$far->start(0);
$far->wait_for_log(0, qr/WARNING:  pg_leader: datagrams are not authenticated\n[^\n]*DETAIL: [^\n]*\n[^\n]*HINT:  Set pg_leader\.secret_file to a file with the same key on all members/);
$far->stop(0);
$offset = $far->log_size(0);
write_keys(0, 1);
$far->set(0, secret_file => $file{0});
$far->start(0);
$far->wait_for_log(0, says(1), $offset);
unlike($far->log_of(0, $offset), qr/not authenticated/, 'members elsewhere: no warning with a secret');
$offset = $far->log_size(0);
$far->set(0, secret_file => '');
$far->server(0)->reload;
$far->wait_for_log(0, qr/WARNING:  pg_leader: datagrams are not authenticated\n/, $offset);

# ---- nothing of a key anywhere ----

my @views = qw(pg_leader_status pg_leader_peers pg_leader_events pg_stat_pg_leader pg_leader_stat_messages
	pg_leader_stat_drops pg_leader_stat_peers pg_leader_stat_times pg_settings pg_file_settings pg_stat_activity);

foreach my $where ((map { [ $cluster, $_ ] } $cluster->ids), [ $far, 0 ])
{
	my ($members, $node) = @$where;
	my $shown = $members->log_of($node);

	$shown .= $members->sql($node, "SELECT * FROM $_") foreach @views;
	foreach my $pid ($members->processes($node))
	{
		open my $command, '<', "/proc/$pid/cmdline" or next;
		$shown .= <$command> // '';
		close $command;
	}
	cmp_ok(length $shown, '>', 10_000, "$members->{name}, node $node: all that is shown");
	foreach my $number (sort keys %key)
	{
		my $found = grep { index(lc $shown, substr($key{$number}, $_, 12)) >= 0 } 0 .. length($key{$number}) - 12;

		is($found, 0, "$members->{name}, node $node: no part of key $number in it");
	}
}

$cluster->check_history;
$far->check_history;
done_testing();
