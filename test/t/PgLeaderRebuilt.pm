# test/t/PgLeaderRebuilt.pm
#	  A cluster of managed servers whose data directories are spoilt, and rebuilt.
#
# As PgLeaderManaged.pm, with what makes a rebuild necessary, and what has to be the case after
# it.  Each server keeps enough WAL for a rewind.

package PgLeaderRebuilt;

use strict;
use warnings;

use parent -norequire, 'PgLeaderManaged';

use PgLeaderManaged;
use PostgreSQL::Test::Utils;
use Test::More;

# rebuilt(NAME, CONF, NAME => VALUE...): three members, started; with these lines more in postgresql.conf,
# and with pg_leader.NAME.
sub rebuilt
{
	my ($class, $name, $conf, %settings) = @_;
	my $self = $class->new($name, 3, settings => { min_timeout => '300ms', max_timeout => '600ms', allow_local_commit => 'on', %settings },
		conf => PgLeaderManaged::QUIET . "wal_keep_size = 256MB\nwal_receiver_status_interval = 1s\n" . ($conf // ''));

	$self->start_all;
	return $self;
}

# commit_one(PRIMARY): a test; one more row of the table "told".
sub commit_one
{
	my ($self, $primary) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 2;
	$self->{told}++;
	is($self->sql($primary, "INSERT INTO told VALUES ($self->{told})"), '', "commit $self->{told}");
	return;
}

# ends_well(ID, PRIMARY): tests; all have what was answered and nothing else, and of the rebuild of
# that one nothing is left.
sub ends_well
{
	my ($self, $id, $primary) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$self->commit_one($primary);
	$self->wait_until('all have what was answered, and nothing else', sub {
		my %said = map { ($self->sql($_, q(SELECT string_agg(n::text, ',' ORDER BY n) FROM told)) // '' => 1) } $self->ids;

		return join(' | ', keys %said) eq join ',', 1 .. $self->{told};
	});
	$self->wait_until_clean($id);
	return;
}

sub directory { my ($self, $id) = @_; return $self->server($id)->data_dir; }

# beside(ID, WHAT): a file of the member's beside its state file.
sub beside { my ($self, $id, $what) = @_; return $self->state_file($id) =~ s/state$/$what/r; }

# leftovers(ID): the names of what a rebuild that is over must not leave.
sub leftovers
{
	my ($self, $id) = @_;
	my $directory = $self->directory($id);

	return join ' ', map { s{.*/}{}r } (grep { -e } map { $self->beside($id, $_) } qw(copy service tablespaces)),
	  glob("$directory.pg_leader*"), glob("$directory/.pg_leader*");
}

# own_files(ID): the texts of those that belong to the server.
sub own_files
{
	my ($self, $id) = @_;

	return { map { $_ => slurp_file($self->directory($id) . "/$_") } qw(postgresql.conf pg_hba.conf) };
}

# wait_for_line(NAME, ID, OFFSET, PATTERN): a test; its log, from there on.
sub wait_for_line
{
	my ($self, $name, $id, $offset, $pattern) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$self->wait_until($name, sub { $self->log_of($id, $offset) =~ $pattern });
	return;
}

# ---- what makes a rebuild necessary ----

# lose(ID): tests; its supervisor is stopped, and its data are of no use any more.
sub lose
{
	my ($self, $id) = @_;

	$self->stop($id);
	system_or_bail('sh', '-c', "cd '@{[ $self->directory($id) ]}' && rm -rf base global pg_wal/* pg_xact PG_VERSION");
	return;
}

# run_by_hand(ID, DIRECTORY, CODE): a server that nobody manages and that follows nobody, there; its
# supervisor does not run.
sub run_by_hand
{
	my ($self, $id, $directory, $code) = @_;

	system_or_bail('pg_ctl', '-s', '-D', $directory, '-w', '-l', $self->server($id)->logfile, '-o',
		'-c pg_leader.manage=off -c pg_leader.node_id=-1 -c synchronous_standby_names= -c primary_conninfo=', 'start');
	$code->();
	system_or_bail('pg_ctl', '-s', '-D', $directory, '-w', '-m', 'fast', 'stop');
	return;
}

# promote_by_hand(ID, SQL): tests; its data are whole, and foreign.
sub promote_by_hand
{
	my ($self, $id, $sql) = @_;
	my $directory = $self->directory($id);

	$self->stop($id);
	$self->run_by_hand($id, $directory, sub {
		system_or_bail('pg_ctl', '-s', '-D', $directory, '-w', 'promote');
		$self->sql($id, $sql);
	});
	return;
}

# receive_more(ID, SQL): a test; a standby that is stopped now, and has received and not replayed what
# its primary alone has written on the same timeline since.  That is a copy of it, which is gone.
sub receive_more
{
	my ($self, $id, $sql) = @_;
	my $directory = $self->directory($id);
	my $copy = "$directory.more";

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	system_or_bail('cp', '-a', $directory, $copy);
	unlink "$copy/standby.signal" or die "$copy/standby.signal: $!";
	$self->run_by_hand($id, $copy, sub { is($self->sql($id, $sql), '', 'something that is written only there') });
	system_or_bail('sh', '-c', "cp '$copy'/pg_wal/0* '$directory/pg_wal/' && rm -r '$copy'");
	return;
}

# kill_member(ID): a test; its supervisor, with which its server ends.
sub kill_member
{
	my ($self, $id) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$self->signal($id, 'KILL');
	$self->wait_until("the supervisor of node $id and its server are gone", sub { !$self->is_running($id) && !defined $self->postmaster($id) });
	return;
}

# write_alone(PRIMARY, SQL): tests; what it has written is received by nobody, and it is killed.
sub write_alone
{
	my ($self, $primary, $sql) = @_;
	my @receivers = $self->receivers($primary);

	local $Test::Builder::Level = $Test::Builder::Level + 1;

	# one that is just writing would go on to read what comes
	$self->wait_until('all have received what there is', sub {
		($self->sql($primary, 'SELECT bool_and(flush_lsn = pg_current_wal_insert_lsn()) FROM pg_stat_replication') // '') eq 't' });
	kill 'STOP', @receivers;
	is($self->sql($primary, "SET synchronous_commit = local; $sql"), '', 'something that nobody else has');
	$self->kill_member($primary);

	# what is on its way to them they must not read either
	kill 'TERM', @receivers;
	kill 'CONT', @receivers;
	return;
}

# ---- what is the case afterwards ----

# wait_for_same(NAME, QUERY): a test; all servers answer it the same.
sub wait_for_same
{
	my ($self, $name, $query) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$self->wait_until($name, sub {
		my %said = map { ($self->sql($_, $query) // "node $_ is silent" => 1) } $self->ids;

		return keys %said == 1 && join('', %said) !~ /silent/;
	});
	return;
}

# wait_until_clean(ID): a test; nothing is left of its rebuild.
sub wait_until_clean
{
	my ($self, $id) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$self->wait_until('nothing is left beside the data', sub { $self->leftovers($id) eq '' });
	return;
}

1;
