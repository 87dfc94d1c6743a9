#!/usr/bin/perl
# test/stand/frozen_disk.pl
#	  A file system that is frozen, as for a snapshot, holds up every write to it: the
#	  members whose state directory it has keep leader and term, and go on talking, also
#	  with an event that needs no save of term and vote.  Nothing of it is lost.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Stand;
use Test::More;
use Time::HiRes qw(sleep);

use constant LIMIT => 30;
use constant BOOT => 'SELECT boot FROM pg_leader_status';
use constant SENT => 'SELECT datagrams_sent FROM pg_stat_pg_leader';

my $why = Stand::missing();
foreach my $program (qw(fsfreeze mkfs.ext4 mount umount))
{
	$why //= "no program $program" if system("type $program >/dev/null 2>&1") != 0;
}
plan skip_all => $why if defined $why;

my $stand = Stand->new(nodes => 3);
my @all = $stand->ids;
my $disk = "$stand->{dir}/state";
my ($is_mounted, $is_frozen);

sub thaw { $stand->run('/sbin/fsfreeze', '--unfreeze', $disk) if $is_frozen; $is_frozen = 0; return; }

# A file system that stays frozen outlives this test and all its processes.
END
{
	local ($?, $@);
	eval { thaw(); 1; } or warn $@;
	if ($is_mounted)
	{
		eval { $stand->kill_nodes(@all); };
		system('umount', '--lazy', $disk);
	}
}

# The condition comes true in time.
sub comes_true
{
	my ($what, $condition) = @_;
	return ok(Chaos::eventually(LIMIT, $condition), $what);
}

sub log_of { my ($id) = @_; return Chaos::slurp("$stand->{dir}/node$id.log"); }

sub value { my ($id, $sql) = @_; my $rows = $stand->query($id, $sql) // return ''; return $rows->[0][0]; }

sub journal { my ($id) = @_; return scalar `'$stand->{bin}/pg_leader_state' --events '$disk/node-$id.events'`; }

# ---- all members' state on a disk of its own ----

mkdir $disk or die "$disk: $!";
open(my $image, '>', "$stand->{dir}/image") or die $!;
truncate($image, 16 << 20) or die $!;
close $image;
$stand->run('/sbin/mkfs.ext4', '-q', '-F', "$stand->{dir}/image");
my ($status, $said) = $stand->try_run('/bin/mount', '-o', 'loop', "$stand->{dir}/image", $disk);
plan skip_all => "no loop mounts here: $said" if $status != 0;
$is_mounted = 1;
chown Chaos::owner(), $disk or die $!;
chmod 0700, $disk or die $!;

$stand->launch(1, @all);
my ($leader, $term) = $stand->settled;
my ($follower) = grep { $_ != $leader } @all;
my %boot = map { $_ => value($_, BOOT) } @all;
my $asks = qr/node $follower starts a pre-vote after term $term: no heartbeat/;

# ---- frozen ----

unlike(log_of($follower), $asks, 'quiet before');
$stand->run('/sbin/fsfreeze', '--freeze', $disk);
$is_frozen = 1;
my $began = Chaos::now();
$stand->ctl("disconnect $leader $follower both");
comes_true('frozen: a follower that is cut off asks for votes, and its log says so', sub { log_of($follower) =~ $asks });
my $sent = value($follower, SENT);
comes_true('frozen: it goes on asking', sub { value($follower, SENT) > $sent + 3 });
sleep(0.02) until Chaos::now() > $began + 2;
$stand->ctl("reconnect $leader $follower both");
is(join(' ', $stand->settled), "$leader $term", 'frozen: all agree again, on the same leader in the same term');
is_deeply({ map { $_ => value($_, BOOT) } @all }, \%boot, 'frozen: nobody has started again');
unlike(journal($follower), qr/pre-candidate/, 'frozen: nothing was written indeed');

# ---- and thawed ----

thaw();
my $shown = value($follower, 'SELECT max(number) FROM pg_leader_events');
comes_true('thawed: all events are written', sub { journal($follower) =~ /^$shown\t/m });
like(journal($follower), qr/\tpre-candidate\t/, 'thawed: that of the frozen time among them');
is(join(' ', $stand->settled), "$leader $term", 'thawed: still the same leader in the same term');
done_testing();
