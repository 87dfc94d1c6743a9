# bench/BenchManaged.pm
#	  Managed servers on this machine, for bench/promote, bench/writable and bench/compare, which
#	  make their primary fail again and again, and for bench/fence.
#
# Servers are run by their supervisors, in a directory of their own that goes with the object.
# What they do is known from their logs, all on one clock.

package BenchManaged;

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../test/chaos", "$FindBin::RealBin/../test/stand";

use Bench;
use Chaos;
use File::Path qw(remove_tree);
use File::Temp qw(tempdir);
use Measure ();
use POSIX ();
use Stand;
use Time::HiRes qw(sleep);
use Time::Local qw(timegm);

# Nobody waits longer than this for anything, in seconds.
use constant PATIENCE => 120;

# What bench/compare asks of each system: its settings, as HEARTBEAT/MIN-MAX in ms, and the
# programs that it needs, with Debian's packages.
sub defaults { return ('50/200-400', '20/40-80'); }

sub programs { return (pg_leader_supervisor => undef); }

sub name { return 'pg_leader'; }

sub version { return Bench::commit(); }

# undef, or what is wrong with that word.
sub wrong { my ($text) = @_; return Measure::timings($text) ? undef : 'is not HEARTBEAT/MIN-MAX in ms'; }

sub options { my ($text) = @_; return %{ Measure::timings($text) }; }

# With initdb, and as many members as servers; none runs.  Options:
#
#	nodes					servers, 3 by default
#	heartbeat, min, max		timeouts in ms
#	conf					more lines for postgresql.conf
#	under					what postgres is to run under: a function that is called with the
#							directory and returns the program and its options
#	tmp						where the directory is made; TMPDIR by default
#	stand					each server is in a network namespace of its own, on a test stand
#	beside					further namespaces on that stand, after those of the servers
sub new
{
	my ($class, %options) = @_;
	my $self = bless { n => $options{nodes} // 3, load => $options{load}, owner => $$, supervisors => {} }, $class;

	if ($options{stand})
	{
		my $missing = Stand::missing();

		die "no test stand is possible here: $missing\n" if defined $missing;
		$self->{stand} = Stand->new(nodes => $self->{n} + ($options{beside} // 0));
		$self->{stand}->join_bridge;
	}
	$self->{dir} = tempdir("pg_leader_${FindBin::Script}_XXXXXX", defined $options{tmp} ? (DIR => $options{tmp}) : (TMPDIR => 1));
	chmod 0755, $self->{dir};
	chown Chaos::owner(), $self->{dir};
	chomp($self->{bin} = `\${PG_CONFIG:-pg_config} --bindir`);
	$self->{tcp} = Chaos::free_row($self->{n} + ($options{beside} // 0));
	$self->make_places(%options);
	$self->run_as_owner("$self->{bin}/initdb", '-D', $self->data(0), '-U', 'postgres', '-A', 'trust', '--no-instructions');
	append($self->data(0) . '/pg_hba.conf', join '', map { "host $_ all @{[ Stand::NETWORK ]}.0/24 trust\n" } qw(all replication)) if $options{stand};
	$self->run_as_owner('cp', '-a', $self->data(0), $self->data($_)) foreach 1 .. $self->{n} - 1;
	$self->create(%options);
	append($self->data($_) . '/postgresql.conf', $self->settings($_, %options)) foreach $self->ids;
	$self->{server_bin} = defined $options{under} ? $self->wrap($options{under}->($self->{dir})) : $self->{bin};
	return $self;
}

sub create
{
	my ($self) = @_;

	$self->{list} = join ', ', map { $self->address($_) . ':' . Chaos::free_port('udp') } $self->ids;
	foreach my $id ($self->ids)
	{
		$self->run_as_owner('mkdir', "$self->{dir}/state$id");
		$self->run_as_owner("$self->{bin}/pg_leader_state", '--new', "$self->{dir}/state$id/node-$id.state", '--node-id', $id, '--cluster', $self->{list});
	}
	return;
}

# A directory of programs whose postgres runs the real one under another program, unless
# it is only asked for a setting: the supervisor does not wait long for that.
sub wrap
{
	my ($self, @under) = @_;
	my $bin = "$self->{dir}/bin";

	$self->run_as_owner('mkdir', $bin);
	$self->run_as_owner('cp', "$self->{bin}/pg_leader_supervisor", $bin);
	append("$bin/postgres", <<"SCRIPT");
#!/bin/sh
case " \$* " in *" -C "*) exec '$self->{bin}/postgres' "\$@" ;; esac
exec @under '$self->{bin}/postgres' "\$@"
SCRIPT
	chmod 0755, "$bin/postgres";
	return $bin;
}

# What test/stand/ManagedStand.pm has otherwise: where data directories are, what has to be there
# before, and words before a supervisor's command.
sub data { my ($self, $id) = @_; return "$self->{dir}/node$id"; }
sub make_places { return; }
sub environment { return; }

sub ids { my ($self) = @_; return 0 .. $self->{n} - 1; }

sub address { my ($self, $id) = @_; return $self->{stand} ? $self->{stand}->address($id) : '127.0.0.1'; }

# Attempts of clients that fail are not logged: that would be thousands of lines.
sub settings
{
	my ($self, $id, %options) = @_;

	return $self->common_settings($id, %options) . <<"TEXT";
shared_preload_libraries = 'pg_leader'
pg_leader.node_id = $id
pg_leader.cluster = '$self->{list}'
pg_leader.state_directory = '$self->{dir}/state$id'
pg_leader.manage = on
pg_leader.replication_conninfo = 'user=postgres'
pg_leader.heartbeat_interval = $options{heartbeat}ms
pg_leader.min_timeout = $options{min}ms
pg_leader.max_timeout = $options{max}ms
TEXT
}

sub common_settings
{
	my ($self, $id, %options) = @_;

	return <<"TEXT" . ($options{conf} // '');
port = @{[ $self->{tcp} + $id ]}
listen_addresses = '@{[ $self->address($id) ]}'
unix_socket_directories = '$self->{dir}'
recovery_init_sync_method = syncfs
wal_log_hints = on
autovacuum = off
checkpoint_timeout = 1h
log_checkpoints = off
log_min_messages = log
log_line_prefix = '%m [%p] '
log_timezone = UTC
TEXT
}

sub append
{
	my ($path, $text) = @_;

	open(my $file, '>>', $path) or die "$path: $!\n";
	print $file $text;
	close $file or die "$path: $!\n";
	return;
}

# ---- processes ----

# Run as the servers' user, output to a file; the pid.
sub spawn
{
	my ($self, $output, @command) = @_;
	my ($uid, $gid) = Chaos::owner();

	return run_process($output, sub {
			return if $> != 0;
			$) = "$gid $gid"; ## no critic
			POSIX::setgid($gid);
			POSIX::setuid($uid);
		}, @command);
}

# The same in a node's network, which only root can enter.
sub spawn_in_node
{
	my ($self, $id, $output, @command) = @_;

	return $self->{stand} ? run_process($output, sub { }, $self->{stand}->in_node($id), @command) : $self->spawn($output, @command);
}

sub run_process
{
	my ($output, $become, @command) = @_;
	my $pid = fork() // die "fork: $!\n";

	return $pid if $pid != 0;
	open(STDIN, '<', '/dev/null');
	open(STDOUT, '>>', $output) or POSIX::_exit(126);
	open(STDERR, '>&', \*STDOUT);
	chdir '/' if $> == 0;
	$become->();
	exec @command or POSIX::_exit(127);
}

sub run_as_owner
{
	my ($self, @command) = @_;
	my $pid = $self->spawn("$self->{dir}/setup.log", @command);

	waitpid($pid, 0);
	die "@command failed:\n" . Chaos::slurp("$self->{dir}/setup.log") if $?;
	return 1;
}

sub start
{
	my ($self, @ids) = @_;

	$self->{supervisors}{$_} = $self->spawn_in_node($_, $self->log_path($_), $self->environment($_), "$self->{server_bin}/pg_leader_supervisor", '-D', $self->data($_)) foreach @ids;
	return;
}

sub stop
{
	my ($self, @ids) = @_;
	my @pids = grep { defined } map { delete $self->{supervisors}{$_} } @ids;

	kill 'TERM', @pids;
	waitpid($_, 0) foreach @pids;
	return;
}

# All of a server at once, as in a power failure; its supervisor starts it again.
sub kill_server
{
	my ($self, $id) = @_;
	my ($postmaster) = Chaos::slurp($self->data($id) . '/postmaster.pid') =~ /\A(\d+)$/m or die "node $id does not run\n";
	my @pids = $self->pids($id);

	kill 'STOP', $postmaster;
	kill 'STOP', @pids;
	kill 'KILL', @pids;
	return;
}

# The same, with its supervisor: nothing of that machine is left.
sub kill_all
{
	my ($self, $id) = @_;
	my $pid = delete $self->{supervisors}{$id};
	my @pids = $self->pids($id);

	kill 'STOP', $pid, @pids;
	kill 'KILL', $pid, @pids, $self->pids($id);
	waitpid($pid, 0);
	return;
}

# Does it stream, as an open primary sees it?
sub follows
{
	my ($self, $id) = @_;

	return grep { ($self->query($_, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND application_name = 'pg_leader_$id'") // '') eq '1' } $self->ids;
}

sub pids
{
	my ($self, $id) = @_;
	my $data = $self->data($id);

	return map { m{^/proc/(\d+)} && (readlink($_) // '') eq $data ? $1 : () } glob '/proc/[0-9]*/cwd';
}

# All processes in a node's namespace, whatever they are: the machine, so to say.
sub machine_pids
{
	my ($self, $id) = @_;
	my $inode = (stat "/run/netns/pgldtest$id")[1];

	return map { m{^/proc/(\d+)/} && (readlink($_) // '') eq "net:[$inode]" ? $1 : () } glob '/proc/[0-9]*/ns/net';
}

# That machine stands still; nothing of it can act on anything from then on.
sub freeze_machine
{
	my ($self, $id) = @_;

	Chaos::eventually(PATIENCE, sub {
			my @going_on = grep { Stand::goes_on($_) } $self->machine_pids($id);
			kill 'STOP', @going_on;
			return !@going_on;
		}) or die "processes of node $id go on in spite of SIGSTOP\n";
	return;
}

sub thaw_machine { my ($self, $id) = @_; kill 'CONT', $self->machine_pids($id); return; }

sub kill_machine
{
	my ($self, $id) = @_;

	$self->freeze_machine($id);
	kill 'KILL', $self->machine_pids($id);
	Chaos::eventually(PATIENCE, sub { waitpid($_, POSIX::WNOHANG()) foreach $self->children($id); return !$self->machine_pids($id) })
	  or die "processes of node $id do not end\n";
	delete $self->{supervisors}{$id};
	return;
}

# The processes of a node that this one has started.
sub children { my ($self, $id) = @_; return grep { defined } $self->{supervisors}{$id}; }

# The process of the election worker.
sub worker
{
	my ($self, $id) = @_;
	my ($pid) = grep { Chaos::slurp("/proc/$_/cmdline") =~ /\bpg_leader: (?!role|recorder)/ } $self->pids($id);

	return $pid // die "node $id has no election worker\n" . $self->describe;
}

sub DESTROY
{
	my ($self) = @_;

	return if $self->{owner} != $$;
	local ($?, $!, $@);
	my @pids = map { $self->children($_) } keys %{ $self->{supervisors} };
	kill 'QUIT', @pids;
	kill 'KILL', map { $self->machine_pids($_) } $self->{stand} ? $self->{stand}->ids : ();
	waitpid($_, 0) foreach @pids;
	delete $self->{stand};
	remove_tree($self->{dir});
	return;
}

# ---- asking ----

# As the members do, who may always log in; a client by that role gets a read-only session where the fence is closed.
sub conninfo
{
	my ($self, $id, $role, $database) = @_;

	return "host=$self->{dir} port=@{[ $self->{tcp} + $id ]} user=@{[ $role // 'postgres' ]} dbname=@{[ $database // 'postgres' ]}";
}

# Rows of a query, columns separated by "|"; undef: no answer.
sub query
{
	my ($self, $id, $sql, $database) = @_;
	open(my $pipe, '-|', 'sh', '-c', 'exec "$@" 2>/dev/null', 'sh', "$self->{bin}/psql", '-XAtq', '-d', $self->conninfo($id, 'postgres', $database), '-c', $sql) or die "psql: $!\n";
	my $answer = do { local $/ = undef; <$pipe> // '' };

	close $pipe;
	chomp $answer;
	return $? == 0 ? $answer : undef;
}

sub log_path { my ($self, $id) = @_; return "$self->{dir}/node$id.log"; }

sub log_size { my ($self, $id) = @_; return -s $self->log_path($id) // 0; }

# Lines from there on that begin with a time: [us since 1970, text].
sub log_lines
{
	my ($self, $id, $from) = @_;
	my @lines;

	open(my $file, '<', $self->log_path($id)) or return;
	seek $file, $from, 0;
	while (my $line = <$file>)
	{
		next unless $line =~ /^(\d+)-(\d+)-(\d+) (\d+):(\d+):(\d+)\.(\d{3}) UTC \[\d+\] (?:\S+ )?[A-Z]+:  (.*)/;
		push @lines, [ timegm($6, $5, $4, $3, $2 - 1, $1) * 1e6 + $7 * 1e3, $8 ];
	}
	return @lines;
}

# ---- until all is well ----

# The id of the open primary that all others stream from, and that has made its checkpoint; undef.
# Under load they need not have all of it.
sub calm_primary
{
	my ($self) = @_;
	my $behind = $self->{load} ? 1 << 20 : 0;

	foreach my $id ($self->ids)
	{
		my $answer = $self->query($id, qq(SELECT s.is_open AND c.timeline_id = s.timeline, (SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = 'quorum' AND pg_wal_lsn_diff(pg_current_wal_flush_lsn(), flush_lsn) <= $behind) FROM pg_leader_server s, pg_control_checkpoint() c WHERE NOT pg_is_in_recovery()));

		return $id if ($answer // '') eq 't|' . ($self->{n} - 1);
	}
	return;
}

# The primary that all others stream from, one of them synchronously, by its own view alone: of
# whatever system.  Whether it is open is not asked.
sub settled_primary
{
	my ($self) = @_;

	foreach my $id ($self->ids)
	{
		my $answer = $self->query($id, q(SELECT count(*), bool_or(sync_state IN ('sync', 'quorum')) FROM pg_stat_replication WHERE state = 'streaming' AND pg_wal_lsn_diff(pg_current_wal_flush_lsn(), flush_lsn) <= 1 << 20 AND NOT pg_is_in_recovery()));

		return $id if ($answer // '') eq $self->{n} - 1 . '|t';
	}
	return;
}

sub open_primary
{
	my ($self) = @_;
	my ($primary) = grep { ($self->query($_, 'SELECT is_open FROM pg_leader_server') // '') eq 't' } $self->ids;

	return $primary;
}

# The id of the first primary; the extension is created in it.
sub wait_for_first_primary
{
	my ($self) = @_;
	my $first = Chaos::eventually(PATIENCE, sub {
			my ($id) = grep { ($self->query($_, 'SELECT pg_is_in_recovery()') // '') eq 'f' } $self->ids;
			return defined $id ? [$id] : undef;
		}) or die "no server becomes the primary\n" . $self->describe;
	Chaos::eventually(PATIENCE, sub { defined $self->query($first->[0], 'CREATE EXTENSION IF NOT EXISTS pg_leader') })
	  or die "the new primary takes no commits\n" . $self->describe;
	return $first->[0];
}

sub switch_over
{
	my ($self, $primary) = @_;

	return $self->query($primary, 'SELECT pg_leader_switchover()') // die "no switchover\n" . $self->describe;
}

# How often a supervisor has rebuilt its server's data directory.
sub rebuilds
{
	my ($self) = @_;
	return scalar grep { $_->[1] =~ /^stopping the server for a (rewind|clone)/ } map { $self->log_lines($_, 0) } $self->ids;
}

sub wait_until_calm
{
	my ($self) = @_;
	my $primary;

	Chaos::eventually(PATIENCE, sub {
			$primary = $self->calm_primary;
			return 1 if defined $primary;
			sleep(0.1);
			return 0;
		}) or die "no open primary that the others stream from within @{[ PATIENCE ]} s\n" . $self->describe;
	return $primary;
}

sub describe
{
	my ($self) = @_;
	return join '', map { my @lines = $self->log_lines($_, 0); map { "node: $_->[1]\n" } @lines[ ($#lines > 15 ? $#lines - 15 : 0) .. $#lines ] } $self->ids;
}

1;
