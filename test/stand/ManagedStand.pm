# test/stand/ManagedStand.pm
#	  Managed servers on a test stand that can be broken in more ways than by killing them.
#
# As bench/BenchManaged.pm has them, each in a network namespace of its own, all in memory, and: each
# data directory is on a small file system of its own, which can be full; the disk under pg_wal can be
# slow or hang (test/lib/disk.c); archiving can hang; and links can be cut for datagrams, for
# PostgreSQL's own connections, or for both.  Used by test/stand/managed_nemesis.

package ManagedStand;

use strict;
use warnings;

use Cwd qw(realpath);
use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/../../bench';

use BenchManaged;
use Chaos;
use Stand;
use Time::HiRes qw(sleep);

our @ISA = ('BenchManaged');

my $top = realpath(dirname(__FILE__) . '/../..');

# ms; and MB that there are for a data directory and its clone, and for logs and state files, without
# what clients write.
use constant { HEARTBEAT => 50, MIN_TIMEOUT => 200, MAX_TIMEOUT => 400, ROOM => 700, OTHER_ROOM => 500 };

# s; the longest that a member may believe in its lease is MIN_TIMEOUT less the drift.
use constant LEASE => 0.163;

# Beside stand.sh's own, so that neither undoes what the other has cut.
use constant TABLE => 'pgld_nemesis_';

use constant CONNECTIONS => 100; # initdb's; a standby that had fewer would not start

# nodes: how many; room: MB for what clients write.
sub new
{
	my ($class, %options) = @_;

	return $class->SUPER::new(stand => 1, nodes => $options{nodes}, room => $options{room}, load => 1,
		heartbeat => HEARTBEAT, min => MIN_TIMEOUT, max => MAX_TIMEOUT, conf => <<"TEXT");
archive_mode = on
shared_buffers = 16MB
max_wal_size = 96MB
min_wal_size = 32MB
checkpoint_timeout = 30s
wal_keep_size = 64MB
max_slot_wal_keep_size = 160MB
max_connections = @{[ CONNECTIONS ]}
max_worker_processes = 16
max_wal_senders = 16
max_prepared_transactions = 64
wal_receiver_timeout = 3s
wal_sender_timeout = 3s
tcp_user_timeout = 3s
log_connections = off
log_min_error_statement = panic
pg_leader.health_timeout = 1s
TEXT
}

sub data { my ($self, $id) = @_; return "$self->{dir}/disk$id/data"; }

sub make_places
{
	my ($self, %options) = @_;

	# what else the machine's disk is doing would be a fault that nobody has asked for
	$self->mount_memory($self->{dir}, OTHER_ROOM + ($options{room} // 0));
	$self->{stand}->run('make', '-s', '-C', "$top/test/stand", "BUILD=$self->{dir}/build", "$self->{dir}/build/disk.so");
	mkdir "$self->{dir}/archive" or die "$self->{dir}/archive: $!\n";
	chown Chaos::owner(), "$self->{dir}/archive";
	$self->{room} = ROOM + ($options{room} // 0);
	foreach my $id ($self->ids)
	{
		mkdir "$self->{dir}/disk$id" or die "disk$id: $!\n";
		$self->mount_memory("$self->{dir}/disk$id", $self->{room});
	}
	return;
}

sub mount_memory
{
	my ($self, $place, $room) = @_;

	$self->{stand}->run('mount', '-t', 'tmpfs', '-o', "size=${room}m,mode=755", 'tmpfs', $place);
	unshift @{ $self->{disks} }, $place;
	chown Chaos::owner(), $place;
	return;
}

# A history file of a timeline is archived by whoever made it, and by all others the same.  One
# file a server says that its archiving hangs.
sub common_settings
{
	my ($self, $id, %options) = @_;

	return $self->SUPER::common_settings($id, %options) . "archive_command = '$self->{dir}/archive.sh $self->{dir} $id %p %f'\n";
}

sub create
{
	my ($self, %options) = @_;

	$self->SUPER::create(%options);
	BenchManaged::append("$self->{dir}/archive.sh", <<'SCRIPT');
#!/bin/sh
while test -e "$1/archive_hangs$2"; do sleep 0.1; done
case $4 in
	*.history) ;;
	*) exit 0 ;;
esac
grep -q '^[0-9]' "$3" || exit 0	# no timeline, but an id that nobody uses
if test -e "$1/archive/$4"
then
	cmp -s "$3" "$1/archive/$4" || echo "node $2: another $4" >>"$1/archive/twice"
else
	cp "$3" "$1/archive/$4.$2" && mv "$1/archive/$4.$2" "$1/archive/$4"
fi
SCRIPT
	chmod 0755, "$self->{dir}/archive.sh";
	return;
}

sub environment
{
	my ($self, $id) = @_;
	return ('env', "LD_PRELOAD=$self->{dir}/build/disk.so", "PG_LEADER_TEST_DISK=$self->{dir}/disk$id.is");
}

# ---- clients ----

# On the bridge, from where all nodes are reached whatever is cut; the pid.
sub spawn_client
{
	my ($self, $output, @command) = @_;
	return BenchManaged::run_process($output, sub { setpgrp(0, 0) }, @command);
}

# ---- asking ----

# As BenchManaged's, but nobody waits for a server that stands still.
sub query
{
	my ($self, $id, $sql, $limit) = @_;
	open(my $pipe, '-|', 'sh', '-c', 'exec "$@" 2>/dev/null', 'sh', 'timeout', '-s', 'KILL', $limit // 3,
		"$self->{bin}/psql", '-XAtq', '-d', $self->conninfo($id), '-c', $sql) or die "psql: $!\n";
	my $answer = do { local $/ = undef; <$pipe> // '' };

	close $pipe;
	chomp $answer;
	return $? == 0 ? $answer : undef;
}

# New text in the logs of these nodes, from these places on, until a pattern is there: the node;
# undef: not within so many seconds.
sub wait_for_log
{
	my ($self, $seconds, $pattern, $offsets, @ids) = @_;
	my $found;

	Chaos::eventually($seconds, sub {
			($found) = grep { $self->log_size($_) > $offsets->{$_} && log_since($self->log_path($_), $offsets->{$_}) =~ $pattern } @ids;
			sleep(0.01) unless defined $found;
			return defined $found;
		});
	return $found;
}

sub log_since
{
	my ($path, $offset) = @_;

	open(my $file, '<', $path) or return '';
	seek $file, $offset, 0;
	local $/ = undef;
	return <$file> // '';
}

sub log_sizes { my ($self) = @_; return { map { ($_ => $self->log_size($_)) } $self->ids }; }

# ---- processes ----

# All processes: pid => [parent, state, name].
sub processes
{
	my %found;

	foreach my $path (glob '/proc/[0-9]*/stat')
	{
		my ($pid, $name, $state, $parent) = Chaos::slurp($path) =~ /^(\d+) \((.*)\) (\S) (\d+)/s or next;
		$found{$pid} = [ $parent, $state, $name ];
	}
	return \%found;
}

# A process and all that it has started, itself first.
sub tree
{
	my ($first) = @_;
	my $all = processes();
	my (%children, @found);

	return () unless defined $first && $all->{$first};
	push @{ $children{ $all->{$_}[0] } }, $_ foreach keys %$all;
	@found = ($first);
	for (my $i = 0; $i < @found; $i++) { push @found, @{ $children{ $found[$i] } // [] }; }
	return @found;
}

sub postmaster
{
	my ($self, $id) = @_;
	my ($pid) = Chaos::slurp($self->data($id) . '/postmaster.pid') =~ /\A(\d+)$/m;

	return defined $pid && (readlink("/proc/$pid/cwd") // '') eq $self->data($id) ? $pid : undef;
}

sub titled
{
	my ($self, $id, $title) = @_;
	return grep { Chaos::slurp("/proc/$_/cmdline") =~ $title } $self->pids($id);
}

# What is called by that name, its parent first: nothing if it does not run.
sub named
{
	my ($self, $id, $what) = @_;
	my $supervisor = $self->{supervisors}{$id};

	return grep { defined } $self->postmaster($id) if $what eq 'postmaster';
	return $self->titled($id, qr/\bpg_leader: (?!role|recorder)/) if $what eq 'worker';
	return $self->titled($id, qr/\bpg_leader: role/) if $what eq 'role';
	return grep { defined && kill(0, $_) } $supervisor if $what eq 'supervisor';
	return $self->titled($id, qr/^postgres: (?:\S+ )?client /) if $what eq 'clients';
	return tree($self->postmaster($id)) if $what eq 'server';
	my %seen;
	return grep { !$seen{$_}++ } tree($supervisor), $self->pids($id);
}

# All of a node or of its server, as if at once: nothing of it acts on the end of another part.
sub kill_at_once
{
	my ($self, $what, @ids) = @_;
	my @pids;

	for (1 .. 2)
	{
		@pids = map { $self->named($_, $what) } @ids;
		kill 'STOP', @pids;
	}
	kill 'KILL', @pids;
	return scalar @pids;
}

# ---- disks ----

# good, hung, slow or full: see test/lib/disk.c.
sub wal_disk_is
{
	my ($self, $id, $what) = @_;
	my $file = "$self->{dir}/disk$id.is";

	BenchManaged::append("$file.$$", substr $what, 0, 1);
	chmod 0644, "$file.$$";
	rename "$file.$$", $file or die "$file: $!\n";
	return;
}

# No byte more than there is.
sub fill_disk
{
	my ($self, $id) = @_;
	my ($used) = $self->{stand}->run('df', '-k', '--output=used', "$self->{dir}/disk$id") =~ /(\d+)\s*\z/;

	$self->{stand}->try_run('mount', '-o', "remount,size=${used}k", "$self->{dir}/disk$id");
	return;
}

sub empty_disk
{
	my ($self, $id) = @_;
	$self->{stand}->run('mount', '-o', "remount,size=$self->{room}m", "$self->{dir}/disk$id");
	return;
}

# ---- links ----

my %protocol = (datagrams => 'udp', streaming => 'tcp', both => '{ tcp, udp }');

# Cut links or lose packets, [from, to, percent], of one layer, until mend_links(NAME).
sub cut_links
{
	my ($self, $name, $layer, @links) = @_;
	my $rules = '';

	foreach my $link (@links)
	{
		my ($from, $to, $percent) = @$link;
		my $chance = ($percent // 100) < 100 ? "numgen random mod 100 < $percent" : '';

		$rules .= qq(  iifname "vpgldtest$from" oifname "vpgldtest$to" ip protocol $protocol{$layer} $chance drop\n);
	}
	open(my $nft, '|-', 'nft', '-f', '-') or die "nft: $!\n";
	print $nft 'table bridge ' . TABLE . "$name {\n chain forward {\n  type filter hook forward priority -100;\n$rules }\n}\n";
	close $nft or die "nft has refused $rules\n";
	return;
}

sub mend_links
{
	my ($self, $name) = @_;
	$self->{stand}->run('nft', 'delete', 'table', 'bridge', TABLE . $name);
	return;
}

# ---- the end ----

sub DESTROY
{
	my ($self) = @_;

	return if $self->{owner} != $$;
	local ($?, $!, $@);
	kill 'CONT', map { $self->named($_, 'all') } $self->ids if $self->{tcp};
	kill 'KILL', map { $self->named($_, 'all') } $self->ids if $self->{tcp};
	waitpid($_, 0) foreach values %{ $self->{supervisors} };
	$self->{supervisors} = {};
	system('umount', '--lazy', $_) foreach @{ $self->{disks} // [] };
	system('sh', '-c', "nft list tables | sed -n 's/^table bridge \\(@{[ TABLE ]}.*\\)/delete table bridge \\1/p' | nft -f -");
	$self->SUPER::DESTROY;
	return;
}

1;
