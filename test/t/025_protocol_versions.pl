# test/t/025_protocol_versions.pl
#	  Three servers get a program that speaks a newer version of the datagram, one
#	  after the other: there is a leader all the time, members of both versions elect
#	  when the leader is killed, and when all have it they speak the newer one.  Then
#	  one of them goes back.
#
# The newer program is this one with the number raised.  What a member says to
# another is read on that one's port while it is stopped.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use IO::Select;
use IO::Socket::INET;
use PgLeaderCluster;
use PgLeaderUpgrade;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'the installation of PostgreSQL cannot be copied; run this by test/run.sh'
  unless PgLeaderUpgrade::is_possible();

my ($old_version) = PgLeaderUpgrade::slurp("$PgLeaderUpgrade::TREE/raft/message.h") =~ /^#define MESSAGE_VERSION\s+(\d+)/m
  or die 'there is no MESSAGE_VERSION';
my $new_version = $old_version + 1;
my $new_tree = PgLeaderUpgrade::build('newer', sub {
	PgLeaderUpgrade::edit('raft/message.h', sub {
		s/^(#define MESSAGE_VERSION\s+)\d+/$1$new_version/m;
		s/^(#define MESSAGE_OLDEST\s+)\d+/$1$old_version/m;
	});
});
my %installations = map { $_ => PgLeaderUpgrade::installation("node_$_") } 0 .. 2;
PgLeaderUpgrade::install($PgLeaderUpgrade::TREE, $_) foreach values %installations;

my $secret = PostgreSQL::Test::Utils::tempdir('secret') . '/secret';
append_to_file($secret, '1 ' . join('', map { sprintf '%02x', $_ * 7 } 1 .. 32) . "\n");
chmod 0600, $secret or die $!;
my $cluster = PgLeaderCluster->new('versions', 3, installations => \%installations,
	settings => { %PgLeaderCluster::STEADY, secret_file => $secret });
my ($min_timeout, $max_timeout) = (1000, 2000);

use constant GREETING => 1;
use constant HEARTBEAT => 8;

# heard_by(ID): what the others say to a node that is stopped, until the leader has sent
# a heartbeat and both a greeting: { "heartbeat" or "greeting from ID" => "version+newer
# versions that it understands" }.
sub heard_by
{
	my $id = shift;
	my ($port) = $cluster->address($id) =~ /:(\d+)$/;
	my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Proto => 'udp') or die $@;
	my $end = PgLeaderCluster::clock_now() + 1e6 * PgLeaderCluster::LIMIT;
	my %heard;

	while (keys %heard < 3 && PgLeaderCluster::clock_now() < $end)
	{
		IO::Select->new($socket)->can_read(1) or next;
		defined recv($socket, my $datagram, 1024, 0) or next;
		my ($version, $type, undef, $flags, $sender) = unpack 'x4 C C C C x16 N', $datagram;
		my $what = $type == HEARTBEAT ? 'heartbeat' : $type == GREETING ? "greeting from $sender" : next;
		$heard{$what} = "$version+" . ($flags >> 4);
	}
	close $socket;
	return \%heard;
}

# Nobody has a problem with anybody, nor has had to drop anything for its version.
sub all_understand
{
	my $what = shift;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	foreach my $id ($cluster->ids)
	{
		my $peers = $cluster->peers($id);
		my $dropped = $cluster->sql($id, "SELECT count FROM pg_leader_stat_drops WHERE reason = 'other version'");

		is(join('; ', map { $peers->{$_}{problem} // () } sort keys %$peers), '', "$what: node $id has no problem");
		is(scalar(grep { $peers->{$_}{version_mismatch} } keys %$peers), 0, "$what: node $id: no version_mismatch");
		is($dropped, 0, "$what: node $id has dropped nothing for its version");
	}
	return;
}

$cluster->start_all;
my ($leader, $term) = $cluster->wait_for_leader('three members of the older version: one leader');
my ($first, $second) = $cluster->others($leader);
my $third = $leader;
my $history = PgLeaderUpgrade::watch($cluster, nodes => 3, min_timeout_us => 1000 * $min_timeout, max_timeout_us => 1000 * $max_timeout);
my $from = PgLeaderCluster::clock_now();
my $heard;

# install_and_restart(TREE, ID): what the others say to it meanwhile is in $heard.
sub install_and_restart
{
	my ($tree, $id) = @_;
	my @before = $cluster->agreed($cluster->ids);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	PgLeaderUpgrade::restart($cluster, $history, $id, sub {
		$heard = heard_by($id);
		PgLeaderUpgrade::install($tree, $installations{$id});
	});
	is_deeply([ $cluster->agreed($cluster->ids) ], \@before, "node $id has another version: leader and term are the same");
	return;
}

# ---- the first: a leader of the older version ----

install_and_restart($new_tree, $first);
is($heard->{heartbeat}, "$old_version+0", 'the older version says that there is no newer one');
all_understand('one of three is newer');

# ---- a newer and an older member elect ----

my $killed = PgLeaderCluster::clock_now();
PgLeaderUpgrade::record($history, 'fault', "kill $third");
$cluster->kill_all($third);
($leader, $term) = $cluster->wait_for_leader('the leader is killed: a newer and an older member elect', $first, $second);
my $elected = PgLeaderCluster::clock_now();
$cluster->start($third);
PgLeaderUpgrade::record($history, 'mend', "kill $third");
PgLeaderUpgrade::wait_until_back($cluster, $third);
all_understand('it is back');

# ---- the second: a leader of the newer version ----

($leader, $term) = PgLeaderUpgrade::transfer($cluster, $history, $leader, $first) if $leader != $first;
install_and_restart($new_tree, $second);
is($heard->{heartbeat}, "$old_version+1", 'the newer leader speaks the older version to the older member');
is($heard->{"greeting from $leader"}, "$old_version+1", 'and greets it in that');
is($heard->{"greeting from $third"}, "$old_version+0", 'the older one knows no other');
all_understand('two of three are newer');
($leader, $term) = PgLeaderUpgrade::transfer($cluster, $history, $leader, $third);
($leader, $term) = PgLeaderUpgrade::transfer($cluster, $history, $leader, $first);

# ---- the third ----

install_and_restart($new_tree, $third);
is($heard->{heartbeat}, "$old_version+1", 'the newer leader still speaks the older version to the last older member');
all_understand('all are newer');
PgLeaderUpgrade::restart($cluster, $history, $second, sub { $heard = heard_by($second) });
is($heard->{heartbeat}, "$new_version+0", 'all are newer: they speak the newer version');
is($heard->{"greeting from $_"}, "$old_version+1", "but node $_ still greets in the oldest") foreach $first, $third;
all_understand('all are newer, and one was restarted');
($leader, $term) = PgLeaderUpgrade::transfer($cluster, $history, $leader, $second);

# ---- one goes back ----

install_and_restart($PgLeaderUpgrade::TREE, $third);
is($heard->{heartbeat}, "$new_version+0", 'they spoke the newer version to the one that goes back');
PgLeaderUpgrade::restart($cluster, $history, $third, sub { $heard = heard_by($third) });
is($heard->{heartbeat}, "$old_version+1", 'then the older one again');
($leader, $term) = PgLeaderUpgrade::transfer($cluster, $history, $leader, $third);
foreach my $id ($cluster->ids)
{
	$cluster->wait_until("one has gone back: node $id has no problem",
		sub { my $peers = $cluster->peers($id); !grep { defined $peers->{$_}{problem} || $peers->{$_}{version_mismatch} } keys %$peers });
}

my $to = PgLeaderCluster::clock_now();
PgLeaderUpgrade::watched($history);
foreach my $window ([ $from, $killed, PgLeaderUpgrade::NO_FAILOVER, 'before the leader was killed' ],
	[ $killed, $elected, 2 * $max_timeout + $min_timeout, 'when the leader was killed' ],
	[ $elected, $to, PgLeaderUpgrade::NO_FAILOVER, 'after that' ])
{
	my ($begin, $end, $bound, $when) = @$window;
	my $longest = PgLeaderUpgrade::longest_without($history, $begin, $end);

	cmp_ok($longest, '<', $bound, "$when: longest time without a leader: $longest ms");
}

$cluster->check_history;
done_testing();
