# test/t/PgFacts.pm
#	  Servers without pg_leader, for the tests of what PostgreSQL itself does.
#
# A server whose data directory is taken away and replaced by another one: so few
# servers are enough for many situations, and initdb runs once.  Waiting is
# polling for a condition, with a limit far above what a healthy machine needs; a
# limit that is hit ends the test.

package PgFacts;

use strict;
use warnings;

use parent 'PostgreSQL::Test::Cluster';

use Carp qw(croak);
use IO::Select;
use IO::Socket::UNIX;
use PgQuery qw(answer_of look_until);
use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;

# Seconds that a condition may take to come true.
use constant LIMIT => 60;

$PostgreSQL::Test::Utils::timeout_default = LIMIT;

# Nothing happens by the clock: what a server writes is what the test made it write.
# Small segments are copied fast.
use constant SETTINGS => q(
autovacuum = off
bgwriter_delay = 10s
bgwriter_lru_maxpages = 0
checkpoint_timeout = 1h
log_statement = none
max_connections = 10
min_wal_size = 2MB
shared_buffers = 4MB
wal_keep_size = 64MB
wal_log_hints = off
wal_retrieve_retry_interval = 100ms
);

my $images = 0;
my %proxies;

# first_image(SETTINGS, SQL): a data directory to begin with, with the table told(word).
sub first_image
{
	my ($class, $settings, $sql) = @_;
	my $server = $class->new('first');

	$server->init(allows_streaming => 1, extra => [ '--data-checksums', '--wal-segsize=1' ]);
	$server->append_conf('postgresql.conf', SETTINGS . $settings);
	$server->start;
	$server->safe_psql('postgres', "CREATE TABLE told (word text); $sql");
	$server->stop;
	return $server->image;
}

# ---- the data directory ----

# image(): a copy of it as it is, also of a server that runs and has nothing to do,
# which is what a kill would leave.
sub image
{
	my $self = shift;
	my $directory = PostgreSQL::Test::Utils::tempdir('image_' . ++$images);

	system_or_bail('cp', '-a', $self->data_dir . '/.', $directory);
	unlink "$directory/postmaster.pid";
	return $directory;
}

# place(IMAGE, UPSTREAM): its data directory is that, as a standby of UPSTREAM; of nobody
# if that is ''; as a primary if there is none.
sub place
{
	my ($self, $image, $upstream) = @_;

	$self->stop('immediate') if defined $self->{_pid};
	system_or_bail('rm', '-rf', $self->data_dir);
	system_or_bail('cp', '-a', $image, $self->data_dir);
	$self->configure($upstream);
	return;
}

# configure(UPSTREAM): whatever server's the settings in the directory were.
sub configure
{
	my ($self, $upstream) = @_;

	$self->append_conf('postgresql.conf', 'port = ' . $self->port);
	$self->append_conf('postgresql.conf', "unix_socket_directories = '" . $self->host . "'");
	$self->append_conf('postgresql.conf', "synchronous_standby_names = ''");
	unlink $self->path('standby.signal');
	$self->be_standby_of($upstream) if defined $upstream;
	return;
}

sub be_standby_of
{
	my ($self, $upstream) = @_;
	my $conninfo = ref $upstream ? $upstream->connstr : $upstream;

	$self->append_conf('postgresql.conf', "primary_conninfo = '$conninfo'");
	$self->put('standby.signal', '');
	return;
}

sub path { my ($self, $name) = @_; return $self->data_dir . "/$name"; }

# put(NAME, CONTENTS): a file in it, whole.
sub put
{
	my ($self, $name, $contents) = @_;

	open my $file, '>:raw', $self->path("$name.new") or die "$name: $!";
	print $file $contents;
	close $file or die "$name: $!";
	rename $self->path("$name.new"), $self->path($name) or die "$name: $!";
	return;
}

sub get { my ($self, $name) = @_; return PostgreSQL::Test::Utils::slurp_file($self->path($name)); }

sub has { my ($self, $name) = @_; return -e $self->path($name) ? 1 : 0; }

# history_name(TIMELINE): in the data directory.
sub history_name { return sprintf 'pg_wal/%08X.history', $_[0]; }

# histories(): the timelines that it has history files of.
sub histories
{
	my $self = shift;

	return join ' ', sort { $a <=> $b } map { m{/([0-9A-F]{8})\.history$} ? hex $1 : () } glob $self->path('pg_wal/*.history');
}

# control(): what pg_controldata prints, { name => value }.
sub control
{
	my $self = shift;
	my ($out, $err);

	IPC::Run::run([ 'pg_controldata', $self->data_dir ], '>', \$out, '2>', \$err) or die $err;
	return { map { /^([^:]+):\s+(.*)$/ ? ($1 => $2) : () } split /\n/, $out };
}

sub control_state { return $_[0]->control->{'Database cluster state'}; }

sub minimum_recovery_end { return $_[0]->control->{'Minimum recovery ending location'}; }

sub control_timeline { return $_[0]->control->{"Latest checkpoint's TimeLineID"}; }

# end_of_wal(TIMELINE, FROM): where the last whole record ends that begins at FROM or later.
sub end_of_wal
{
	my ($self, $timeline, $from) = @_;
	my ($out, $err);

	IPC::Run::run([ 'pg_waldump', '-q', '-p', $self->path('pg_wal'), '-t', $timeline, '-s', $from ], '>', \$out, '2>', \$err);
	$err =~ /invalid record length at ([0-9A-F]+\/[0-9A-F]+): (?:wanted|expected at least) 24, got 0/ or croak "no end of WAL: $err";
	return $1;
}

# ---- starting and stopping ----

# begin(): start it, and do not wait until it answers.
sub begin
{
	my $self = shift;

	append_to_file($self->logfile, ''); # until() reads it before the server has made it
	$self->{from} = -s $self->logfile;
	local %ENV = $self->_get_env(PGAPPNAME => undef);
	system_or_bail('pg_ctl', '-W', '-D', $self->data_dir, '-l', $self->logfile, '-o', '--cluster-name=' . $self->name, 'start');
	$self->until('it has started', sub { -s $self->path('postmaster.pid') || $self->log =~ /database system is shut down|aborting startup/ });
	$self->_update_pid(-1);
	return;
}

sub start
{
	my ($self, @options) = @_;

	$self->{from} = -s $self->logfile // 0;
	return $self->SUPER::start(@options);
}

# ended(): wait until a server that ends by itself has done so.
sub ended
{
	my $self = shift;

	$self->until('it has ended', sub { !-e $self->path('postmaster.pid') && $self->log =~ /database system is shut down/ });
	$self->{_pid} = undef;
	return;
}

# kill_all(): every process of it at the same moment.
sub kill_all
{
	my $self = shift;
	my @pids = ($self->{_pid});

	# A postmaster that stands still starts no further children.
	kill 'STOP', @pids;
	push @pids, split ' ', `ps -o pid= --ppid $pids[0]`;
	kill 'STOP', @pids;
	kill 'KILL', @pids;
	$self->{_pid} = undef;
	$self->until('all its processes are gone', sub { !grep { -d "/proc/$_" } @pids });
	return;
}

# promoted(): promote it; its timeline, once the checkpoint after that is done, so that
# nothing but the test writes WAL.
sub promoted
{
	my $self = shift;
	my $timeline;

	$self->promote;
	$timeline = hex substr $self->ask('SELECT pg_walfile_name(pg_current_wal_lsn())'), 0, 8;
	$self->until('the checkpoint on the new timeline', sub { $self->ask('SELECT timeline_id FROM pg_control_checkpoint()') == $timeline });
	return $timeline;
}

# follow(UPSTREAM): from now on, without a restart; nobody if that is ''.
sub follow
{
	my ($self, $upstream) = @_;

	$self->be_standby_of($upstream);
	$self->reload;
	return;
}

# cut(): stop its receiver.
sub cut
{
	my $self = shift;

	$self->follow('');
	$self->until('the receiver has stopped', sub { $self->receiver eq '' });
	return;
}

# ---- asking ----

# ask(QUERY): the result; what fails ends the test.
sub ask
{
	my ($self, $query) = @_;

	return answer_of($self, $query) // croak $self->name . ": $query: " . ($DBI::errstr // 'psql failed');
}

# try(QUERY): the result, undef if there was an error.
sub try { my ($self, $query) = @_; return answer_of($self, $query); }

# receiver(): "PID STATUS TIMELINE" of the receiver that runs, '' if there is none.
sub receiver
{
	return $_[0]->ask(q{SELECT pid || ' ' || status || ' ' || coalesce(received_tli, 0) FROM pg_stat_wal_receiver});
}

sub written { return $_[0]->ask('SELECT pg_current_wal_insert_lsn()'); }

sub flushed { return $_[0]->ask('SELECT pg_current_wal_flush_lsn()'); }

sub replayed { return $_[0]->ask('SELECT pg_last_wal_replay_lsn()'); }

sub received { return $_[0]->ask('SELECT pg_last_wal_receive_lsn()'); }

# position("1/2A"): as a number, to compare.
sub position { my ($high, $low) = split m{/}, $_[0]; return hex($high) * 2**32 + hex $low; }

# words(): all that it has been told, undef if it does not answer.
sub words { return $_[0]->try('SELECT word FROM told ORDER BY word'); }

sub knows { my ($self, $word) = @_; return ($self->try("SELECT count(*) FROM told WHERE word = '$word'") // 0) > 0; }

# tell(WORD): a commit.
sub tell { my ($self, $word) = @_; $self->ask("INSERT INTO told VALUES ('$word')"); return; }

# ---- the log ----

# mark(): the log is read from here on; the start of the server does that as well.
sub mark { my $self = shift; $self->{from} = -s $self->logfile // 0; return; }

sub log { my $self = shift; return PostgreSQL::Test::Utils::slurp_file($self->logfile, $self->{from} // 0); }

# times(PATTERN): how often the log has said that since the mark.
sub times { my ($self, $pattern) = @_; return scalar(() = $self->log =~ /$pattern/g); }

# ---- waiting ----

# until(WHAT, CODE): returns what CODE returned in the end; ends the test otherwise.
sub until
{
	my ($self, $what, $code) = @_;
	my $result = look_until($code, LIMIT);

	return $result if $result;
	diag($self->name . ", the end of its log:\n" . substr $self->log, -3000);
	croak $self->name . ": gave up waiting: $what";
}

# says(PATTERN, TIMES): a test that passes when the log says so, so often.
sub says
{
	my ($self, $pattern, $times) = @_;
	my $words = "$pattern" =~ s/^\(\?\^[a-z]*:(.*)\)$/$1/rs;

	$times //= 1;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$self->until("it logs $words", sub { $self->times($pattern) >= $times });
	pass($self->name . " logs: $words" . ($times > 1 ? ", $times times" : ''));
	return;
}

# crashes(): one of its backends is killed, and the postmaster goes on; until it answers again.
sub crashes
{
	my $self = shift;
	my $postmaster = $self->get('postmaster.pid') =~ s/\n.*//rs;
	my $run = IPC::Run::start([ 'psql', '-X', '-d', $self->connstr('postgres'), '-c', 'SELECT pg_sleep(600)' ], '>&', \my $out);
	my $pid = $self->until('there is a session', sub { $run->pump_nb; $self->ask(q{SELECT pid FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)'}) });

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$self->mark;
	kill 'KILL', $pid;
	$run->finish;
	$self->says(qr/all server processes terminated; reinitializing/);
	$self->until('it answers', sub { $self->try('SELECT 1') });
	is($self->get('postmaster.pid') =~ s/\n.*//rs, $postmaster, 'the postmaster is the same');
	return;
}

# caught_up(UPSTREAM): it has replayed all that UPSTREAM has written.
sub caught_up
{
	my ($self, $upstream) = @_;
	my $end = position($upstream->written);

	$self->until('it has caught up', sub { my $at = $self->try('SELECT pg_last_wal_replay_lsn()'); $at && position($at) >= $end });
	return;
}

# ---- commits that wait for standbys ----

# waits_for(NAMES): these are synchronous_standby_names from now on; '' is nobody.
sub waits_for
{
	my ($self, $names) = @_;

	my $change = $names eq '' ? 'RESET synchronous_standby_names' : "SET synchronous_standby_names = '$names'";

	$self->ask($_) foreach "ALTER SYSTEM $change", 'SELECT pg_reload_conf()';
	$self->until('sessions see the names', sub { $self->ask('SHOW synchronous_standby_names') eq $names });
	return;
}

# waiting(): how many commits wait.
sub waiting { return $_[0]->ask(q{SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'}); }

# waiting_commit(WORD): a commit that waits: IPC::Run's handle of its psql, and a reference
# to what that says.
sub waiting_commit
{
	my ($self, $word) = @_;
	my $out = '';
	my $run = IPC::Run::start([ 'psql', '-X', '-d', $self->connstr('postgres'), '-c', "INSERT INTO told VALUES ('$word')" ], '>&', \$out);

	$self->until('a commit waits', sub { $run->pump_nb; $self->waiting == 1 });
	return ($run, \$out);
}

# ---- between a server and its clients ----

# proxy(CODE): a directory with a socket of the same port, behind which is the server.
# Before it passes bytes on it calls CODE with the directory, whether they come from the
# client, and the bytes.  Returns the directory and the process that does this.
sub proxy
{
	my ($self, $code) = @_;
	my $directory = PostgreSQL::Test::Utils::tempdir_short();
	my $name = '.s.PGSQL.' . $self->port;
	my $listener = IO::Socket::UNIX->new(Local => "$directory/$name", Listen => 5) or die "socket: $!";
	my $child = fork // die "fork: $!";

	if ($child)
	{
		$proxies{$child} = 1;
		$listener->close;
		return ($directory, $child);
	}
	%proxies = ();
	local $SIG{PIPE} = 'IGNORE';
	my $select = IO::Select->new($listener);
	my (%other_end, %is_client);

	while (my @ready = $select->can_read)
	{
		foreach my $from (@ready)
		{
			if ($from == $listener)
			{
				my $client = $listener->accept;
				my $upstream = IO::Socket::UNIX->new(Peer => $self->host . "/$name") or next;
				@other_end{ $client, $upstream } = ($upstream, $client);
				$is_client{$client} = 1;
				$select->add($client, $upstream);
			}
			elsif (my $to = $other_end{$from})
			{
				if (sysread($from, my $data, 8192))
				{
					$code->($directory, $is_client{$from}, $data);
					syswrite $to, $data;
					next;
				}
				$select->remove($from, $to);
				delete @other_end{ $from, $to };
				delete @is_client{ $from, $to };
				$_->close foreach $from, $to;
			}
		}
	}
	POSIX::_exit(0);
}

sub end_proxy { kill 'KILL', $_[0]; waitpid $_[0], 0; delete $proxies{ $_[0] }; return; }

# Also those of a test that dies, one that was stopped included.
END { kill 'KILL', keys %proxies; }

# ---- streaming ----

my $told = 0;

# streams_from(LEADER): tests that pass when what LEADER is told now arrives, and
# both then hold the same.
sub streams_from
{
	my ($self, $leader) = @_;
	my $word = 'told ' . ++$told . ' to ' . $leader->name;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$leader->tell($word);
	$self->until("\"$word\" arrives", sub { $self->knows($word) });
	pass($self->name . ' streams from ' . $leader->name);
	is($self->words, $leader->words, $self->name . ' holds the same as ' . $leader->name);
	return;
}

# never_streams_from(LEADER, PATTERN): tests that pass when the log repeats that reason,
# and what LEADER was told before that does not arrive.
sub never_streams_from
{
	my ($self, $leader, $pattern) = @_;
	my $word = 'told ' . ++$told . ' to ' . $leader->name;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$leader->tell($word);
	$self->mark unless $self->times($pattern) == 0;
	$self->says($pattern, 4);
	ok(!$self->knows($word), $self->name . ' does not get what ' . $leader->name . ' writes');
	return;
}

# ---- pg_rewind ----

# rewind(SOURCE, OPTION...): (exit status, what it said).  From the directory of a source that
# is stopped.
sub rewind
{
	my ($self, $source, @options) = @_;
	my @from = defined $source->{_pid} ? ('--source-server', $source->connstr('postgres')) : ('--source-pgdata', $source->data_dir);
	my $out;

	IPC::Run::run([ 'pg_rewind', '--no-sync', '-D', $self->data_dir, @from, @options ], '>&', \$out);
	my $status = $? >> 8;
	print map { "# pg_rewind: $_\n" } split /\n/, $out;
	return ($status, $out);
}

# rewinds(SOURCE, STATUS, PATTERN, NAME, OPTION...): a test of both.
sub rewinds
{
	my ($self, $source, $status, $pattern, $name, @options) = @_;
	my ($got, $out) = $self->rewind($source, @options);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($got, $status, "pg_rewind, $name: exit status $status");
	like($out, $pattern, "pg_rewind, $name: says so");
	return;
}

1;
