# test/t/027_names.pl
#	  Members by host name: a name that is not resolved yet is nobody hostile, what is
#	  wrong with a name is said, and whoever's name leads elsewhere goes there.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgLeaderCluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $hosts = $ENV{PG_LEADER_ETC_HOSTS};
my $before = defined $hosts ? slurp_file($hosts) : undef;

sub problem
{
	my ($cluster, $node, $about) = @_;
	my $peers = $cluster->peers($node) or return '(no answer)';

	return $peers->{$about}{problem} // '';
}

# What node NODE has said and counted as if somebody had been hostile; '' if nothing.
sub suspicion
{
	my ($cluster, $node) = @_;
	my @found = map { problem($cluster, $node, $_) } $cluster->ids;

	push @found, $cluster->sql($node, <<'SQL');
SELECT string_agg(reason, ',') FROM pg_leader_stat_drops WHERE count > 0
AND reason IN ('wrong source address', 'duplicate node id', 'second leader in a term')
SQL
	push @found, $cluster->log_of($node) =~ /(uses the node id of this member|same pg_leader\.node_id)/;
	return join('; ', grep { defined && $_ ne '' } @found);
}

# All members by names; each hears the others before it knows where they are.
my $cluster = PgLeaderCluster->new('localhost', 3, settings => \%PgLeaderCluster::STEADY, blank => 1);
$cluster->{list} = join ', ', map { "$_=localhost:" . $cluster->member($_)->{port} } $cluster->ids;
foreach my $id ($cluster->ids)
{
	$cluster->set($id, cluster => $cluster->{list});
	$cluster->write_first_state($id);
}
$cluster->start_all;
$cluster->wait_for_leader('by names: all have a leader');
foreach my $round (1 .. 5)
{
	my ($leader) = $cluster->agreed($cluster->ids);
	my ($follower) = $cluster->others($leader);

	$cluster->restart($follower);
	$cluster->wait_for_leader("restart $round of a follower: all have a leader");
	is(suspicion($cluster, $_), '', "restart $round of a follower: node $_ suspects nobody") foreach $cluster->ids;
}
$cluster->check_history;
$cluster->stop_all;

# Two names that lead to one address: both are in the list, one of them has it.
my $shared = PgLeaderCluster->new('shared', 3, settings => \%PgLeaderCluster::STEADY, blank => 1);
$shared->{list} = '0=' . $shared->address(0) . ', 1=' . $shared->address(1) . ', 2=localhost:' . $shared->member(1)->{port};
$shared->set($_, cluster => $shared->{list}) foreach 0, 1;
$shared->write_first_state($_) foreach 0, 1;
$shared->start(0, 1);
$shared->wait_for_leader('two entries lead to one address: the others have a leader', 0, 1);
$shared->wait_until('two entries lead to one address: shown',
	sub { problem($shared, 0, 2) eq 'its name leads to the address of node 1' });
$shared->wait_for_log(0, qr/address of node 2 \(localhost:\d+\): its name leads to the address of node 1\n.*HINT: /s);
$shared->check_history;
$shared->stop_all;

SKIP:
{
	skip 'PG_LEADER_ETC_HOSTS names no file in place of /etc/hosts', 1
		unless defined $hosts && -w $hosts;

	# known(ADDRESS...): the name that this test is about leads to all of these.
	my $cluster = PgLeaderCluster->new('moving', 3, settings => \%PgLeaderCluster::STEADY, blank => 1);
	my $port = $cluster->member(2)->{port};
	my $name = "node-2-of-$port.invalid";
	my $known = sub {
		open my $handle, '>', $hosts or die "$hosts: $!";
		print $handle $before, map { "$_ $name\n" } @_;
		close $handle;
	};

	$cluster->{list} = '0=' . $cluster->address(0) . ', 1=' . $cluster->address(1) . ", 2=$name:$port";
	foreach my $id ($cluster->ids)
	{
		$cluster->set($id, cluster => $cluster->{list});
		$cluster->write_first_state($id);
	}
	$known->('127.0.0.1');
	$cluster->start_all;
	$cluster->wait_for_leader('own name: all have a leader');

	# a name server that is wrong: the member stays where it is, and says so
	$known->('203.0.113.7');
	$cluster->wait_until('own name leads to another machine: shown', sub {
		problem($cluster, 2, 2) eq "its name leads to 203.0.113.7:$port, which is not an address of this machine";
	});
	$cluster->wait_for_leader('own name leads to another machine: all have a leader');

	# it has really moved
	my $offset = $cluster->log_size(2);
	$known->('127.0.0.2');
	$cluster->wait_for_log(2, qr/restarts to listen elsewhere: the name "\Q$name\E" of this member does not lead to 127\.0\.0\.1:$port/, $offset);
	$cluster->wait_until('own name leads elsewhere: it listens there',
		sub { ($cluster->peers(2)->{2}{resolved} // '') eq "127.0.0.2:$port" });
	$cluster->wait_for_leader('own name leads elsewhere: all have a leader');
	foreach my $id (0, 1)
	{
		is($cluster->peers($id)->{2}{resolved}, "127.0.0.2:$port", "own name leads elsewhere: node $id has followed it");
		is(suspicion($cluster, $id), '', "own name leads elsewhere: node $id suspects nobody");
	}

	# a name with two addresses of one machine: whichever the others send to is right
	$known->('127.0.0.2', '127.0.0.1');
	$cluster->wait_until('two addresses: it listens at all',
		sub { ($cluster->peers(2)->{2}{resolved} // '') eq "0.0.0.0:$port" });
	$cluster->wait_for_leader('two addresses: all have a leader');
	$cluster->restart(0);
	$cluster->wait_for_leader('two addresses: whoever looks it up anew reaches it');
	is(suspicion($cluster, $_), '', "two addresses: node $_ suspects nobody") foreach 0, 1;

	# a name server that knows nothing any more
	$known->();
	$cluster->stop(2);
	$cluster->wait_until('name gone: shown',
		sub { problem($cluster, 0, 2) =~ /^its name cannot be resolved: \S/ });
	$cluster->wait_for_log(0, qr/address of node 2 \(\Q$name\E:$port\): its name cannot be resolved: /);
	$known->('127.0.0.1');
	$cluster->wait_until('name found again: nothing is said any more', sub { problem($cluster, 0, 2) eq '' });
	$cluster->check_history;
	$cluster->stop_all;

	open my $handle, '>', $hosts or die "$hosts: $!";
	print $handle $before;
	close $handle;
}

done_testing();
