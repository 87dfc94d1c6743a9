#!/usr/bin/perl
# script/examples/colo_start.pl
#	  Bring up COLO between two QEMUs, in the order that it needs: an example.
#
# Asks both what is done already, and does the rest.  doc/colo.md says how the QEMUs
# are started.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Getopt::Long qw(GetOptions :config no_ignore_case bundling);
use JSON::PP;
use Qmp;
use Shell;
use Time::HiRes qw(setitimer sleep time ITIMER_REAL);

my $usage = <<'TEXT';
NAME
    colo_start.pl - bring up COLO between two QEMUs

SYNOPSIS
    colo_start.pl --release COMMAND [OPTION...]
                  PRIMARY_SOCKET SECONDARY_SOCKET SECONDARY_HOST

DESCRIPTION
    The sockets are QMP monitors, of which the other host's can be brought here by
    ssh -L; SECONDARY_HOST is the name or address under which the primary's QEMU
    reaches the secondary's.  The guest must be stopped, and both disks must be the
    same.  In this order:

    1. secondary: export its disk by the NBD server
    2. primary: add that as a second copy of its disk
    3. primary: migrate with x-colo, and wait until both say that COLO runs

    The other way round, writes would be lost or the guest would hang.  What has been
    done is left as it is, so this can be run again, also after it was interrupted.
    If COLO runs already, nothing is done.

OPTIONS
    --disk ID            the primary's disk, a quorum; colo-disk0
    --secondary-disk ID  what the secondary exports; parent0
    --nbd-port PORT      of the secondary; 9999
    --migrate-port PORT  of the secondary's -incoming; 9998
    --release COMMAND    run before 3; must end with exit status 0.  It gives back what a
                         failover has taken, see --take of colo_failover.pl
    --no-release         nothing has to be given back
    --checkpoint MS      time between checkpoints, if none is needed earlier; 2000
    -t SECONDS           give up after this time; 120.  A --release that still runs is killed
    --help               this text

EXIT STATUS
    0 COLO runs, 1 not, 2 called wrongly
TEXT

sub usage_error
{
	print STDERR "colo_start.pl: @_\nhint: colo_start.pl --help says more\n";
	exit 2;
}

my %option = ('disk' => 'colo-disk0', 'secondary-disk' => 'parent0', 'nbd-port' => 9999, 'migrate-port' => 9998, 'checkpoint' => 2000, 't' => 120);
my ($primary, $secondary, $host, $end);

sub fail
{
	my ($message, $hint) = @_;

	print STDERR "colo_start.pl: $message\n", defined $hint ? "hint: $hint\n" : ();
	exit 1;
}

sub done { print "@_\n"; return; }

# The side's state: mode of COLO, and what the guest does.
sub state_of
{
	my ($qmp) = @_;
	my $colo = $qmp->execute('query-colo-status');

	return ($colo->{mode} // 'none', $colo->{'last-mode'} // 'none', $qmp->execute('query-status')->{status});
}

sub colo_runs
{
	return (state_of($primary))[0] eq 'primary' && (state_of($secondary))[0] eq 'secondary';
}

sub migration_status { return $_[0]->execute('query-migrate')->{status} // 'none'; }

sub check_order
{
	my ($first_mode, undef, $first) = state_of($primary);
	my ($second_mode, undef, $second) = state_of($secondary);
	my $hint = 'PRIMARY_SOCKET comes first';

	fail('the sockets are swapped: COLO runs, and the first one is the secondary\'s', $hint)
	  if $first_mode eq 'secondary' || $second_mode eq 'primary';
	fail("the sockets are swapped: the first QEMU waits for a guest, as a secondary does, and the second one is \"$second\"", $hint)
	  if $first eq 'inmigrate' && $second ne 'inmigrate';
	fail('both QEMUs wait for a guest: neither is a primary', 'start the primary without -incoming') if $first eq 'inmigrate';
	return;
}

# Is a migration under way?  Then all that comes before it is done.
sub is_under_way { return migration_status($primary) =~ /^(setup|active|device|pre-switchover|colo)$/; }

# Are these two QEMUs what COLO can begin with?
sub check_state
{
	my (undef, $last, $status) = state_of($primary);

	fail("the primary has been through a failover already (last mode \"$last\")", 'start both QEMUs anew')
	  if $last ne 'none';
	fail("the primary's guest is running, so the disks can differ", 'send "stop", copy the disk, start the secondary, and run this again')
	  if $status eq 'running';
	fail("the primary's guest is neither stopped nor new, it is \"$status\"") unless $status =~ /^(paused|prelaunch|postmigrate)$/;
	fail('the last migration of the primary is over without COLO', 'end both QEMUs and start them anew') if $status eq 'postmigrate';

	(undef, $last, $status) = state_of($secondary);
	fail("the secondary has been through a failover already (last mode \"$last\")", 'start it anew, with -incoming') if $last ne 'none';
	fail("the secondary does not wait for a guest, it is \"$status\"", 'start it with -incoming') unless $status eq 'inmigrate';
	return;
}

my $stop_server = 'send "nbd-server-stop" to the secondary, and run this again';

sub export_disk
{
	my $name = $option{'secondary-disk'};
	my $address = { type => 'inet', data => { host => '0.0.0.0', port => "$option{'nbd-port'}" } };

	if (grep { $_->{id} eq $name && !$_->{'shutting-down'} } @{ $secondary->execute('query-block-exports') })
	{
		return done("secondary: $name is exported");
	}
	# QEMU does not say at which port.
	eval { $secondary->execute('nbd-server-start', { addr => $address }); 1 }
	  or $@ =~ /already running/ ? fail('the secondary has an NBD server already, perhaps at another port', $stop_server) : die $@;
	$secondary->execute('nbd-server-add', { device => $name, writable => JSON::PP::true });
	return done("secondary: exports $name at port $option{'nbd-port'}");
}

sub attach_disk
{
	my $wanted = "nbd://$host:$option{'nbd-port'}/$option{'secondary-disk'}";

	if ($primary->has_copy)
	{
		my $found = $primary->copy_address // 'nothing';

		fail('the primary has ' . Qmp::REPLICATION . " from an earlier run, connected to $found, not to $wanted",
			'use the host, port and disk of that run, or end both QEMUs and start them anew') if $found ne $wanted;
		done('primary: ' . Qmp::REPLICATION . ' is there');
	}
	else
	{
		eval { $primary->execute('blockdev-add', {
			driver => 'replication', mode => 'primary', 'node-name' => Qmp::REPLICATION,
			file => { driver => 'nbd', 'node-name' => Qmp::CLIENT, export => $option{'secondary-disk'},
				server => { type => 'inet', host => $host, port => "$option{'nbd-port'}" } } }); 1 }
		  or do { chomp(my $words = $@); fail($words, "if an earlier run had another --nbd-port: $stop_server"); };
		done('primary: ' . Qmp::REPLICATION . ' is connected');
	}
	return done("primary: $option{disk} has two copies") if $primary->copies;
	$primary->execute('x-blockdev-change', { parent => $option{disk}, node => Qmp::REPLICATION });
	return done("primary: $option{disk} has two copies now");
}

sub migrate
{
	$primary->execute('migrate-set-capabilities', { capabilities => [ { capability => 'x-colo', state => JSON::PP::true } ] });
	$primary->execute('migrate-set-parameters', { 'x-checkpoint-delay' => 0 + $option{checkpoint}, 'max-bandwidth' => 1 << 30 });
	$primary->execute('migrate', { uri => "tcp:$host:$option{'migrate-port'}" });
	return done('primary: migrates');
}

# Neither side can be told to go on now, for COLO does not run.
sub release
{
	return unless defined $option{release};
	my $is_late = 0;
	local $SIG{ALRM} = sub { $is_late = 1; Shell::end(); };

	setitimer(ITIMER_REAL, $end > time ? $end - time : 0.001);
	my $status = Shell::run($option{release});
	setitimer(ITIMER_REAL, 0);
	fail("\"$option{release}\" " . ($is_late ? 'did not end in time' : Shell::status_words($status)), 'nothing was migrated; run this again when it works')
	  if $status != 0;
	return done('what the last failover took is given back');
}

# Is the secondary, which is not in COLO yet, what the primary, which is, has migrated to?
# That one has received something.
sub check_peer
{
	fail('the secondary has gone on alone', 'end the primary, and start both anew') if (state_of($secondary))[1] ne 'none';
	fail('the primary is in COLO, but not with this secondary, which waits for a guest',
		'if its own secondary is no more, let the primary go on alone: colo_failover.pl; then start both anew')
	  if migration_status($secondary) eq 'none';
	return;
}

sub wait_for_colo
{
	until (colo_runs())
	{
		my $status = migration_status($primary);

		check_peer() if $status eq 'colo';
		if ($status =~ /^(failed|cancelled|completed)$/)
		{
			my $words = $primary->execute('query-migrate')->{'error-desc'};
			fail("the migration has ended, \"$status\"" . (defined $words ? ": $words" : ''), 'end the secondary, start it anew, and run this again');
		}
		fail("COLO does not run after $option{t} s; the migration is \"$status\"", 'run this again to go on waiting') if time > $end - 1;
		sleep 0.1;
	}
	return done('COLO runs');
}

my $help;
$SIG{__WARN__} = sub { chomp(my $text = shift); usage_error($text); };
GetOptions(\%option, 'disk=s', 'secondary-disk=s', 'nbd-port=i', 'migrate-port=i', 'release=s', 'no-release', 'checkpoint=i', 't=f', 'help' => \$help);
delete $SIG{__WARN__};
if ($help) { print $usage; exit 0; }
usage_error('PRIMARY_SOCKET, SECONDARY_SOCKET and SECONDARY_HOST, not ' . @ARGV . ' arguments') if @ARGV != 3;
foreach my $name (qw(nbd-port migrate-port)) { usage_error("--$name: $option{$name} is no port") if $option{$name} < 1 || $option{$name} > 65535; }
usage_error('-t must be above 0') if $option{t} <= 0;
usage_error('--checkpoint must be above 0') if $option{checkpoint} <= 0;
usage_error('the two sockets are the same') if $ARGV[0] eq $ARGV[1];
usage_error('--release COMMAND, or --no-release if nothing has to be given back') if defined $option{release} == defined $option{'no-release'};
usage_error('--release: the command is empty') if defined $option{release} && $option{release} !~ /\S/;
$host = $ARGV[2];
$end = time + $option{t};
eval {
	$primary = Qmp->new($ARGV[0], $end);
	$secondary = Qmp->new($ARGV[1], $end);
	check_order();
	if (colo_runs())
	{
		done('COLO runs already');
		exit 0;
	}
	if (is_under_way()) { done('primary: migrates already'); }
	else
	{
		check_state();
		export_disk();
		attach_disk();
		release();
		migrate();
	}
	wait_for_colo();
	1;
} or do { chomp(my $words = $@); fail($words); };
