# test/t/091_list_managed.pl
#	  Managed members: three become five, and three again, by reloads, while clients write.  The
#	  primary stays the same, no session is lost, nothing that a client was told is lost, and the
#	  standby names are those of the list in force.  Then by restarts.  And two of three are lost
#	  for good: what is left goes on alone, on the word of a person.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PgLeaderManaged;
use PostgreSQL::Test::Utils;
use POSIX ();
use Test::More;
use Time::HiRes qw(time usleep);

my $cluster = PgLeaderManaged->new('change', 3, settings => { min_timeout => '300ms', max_timeout => '600ms' },
	conf => PgLeaderManaged::QUIET);
my $ledger = PostgreSQL::Test::Utils::tempdir('ledger') . '/told';
my ($primary, $writer, $list, @told);

# write_on(ID...): whoever of them is the primary, one commit after the other; what was told, and when.
sub write_on
{
	my @servers = map { $cluster->server($_) } @_;
	my $to = sprintf 'host=%s port=%s user=app dbname=postgres target_session_attrs=read-write connect_timeout=2',
	  join(',', map { $_->host } @servers), join(',', map { $_->port } @servers);
	my $pid = fork // die "fork: $!";

	return $pid if $pid != 0;
	open STDOUT, '>', '/dev/null';
	open STDERR, '>', '/dev/null';
	open my $file, '>>', $ledger or POSIX::_exit(1);
	$file->autoflush;
	for (my $n = 1; ; $n++)
	{
		printf {$file} "%d %.3f\n", $n, time if system('psql', '-X', '-q', '-d', $to, '-c', "INSERT INTO told VALUES ($n)") == 0;
		usleep(5_000);
	}
}

# told(): [number, time] of each commit that was answered.
sub told { return map { [ split / / ] } split /\n/, slurp_file($ledger); }

# reload_with(LIST, ID...): the setting, and a reload.
sub reload_with
{
	my ($new, @ids) = @_;

	foreach my $id (@ids)
	{
		$cluster->set($id, cluster => $new);
		$cluster->signal($id, 'HUP');
	}
	return;
}

# has_members(WHAT, N): waits until all that run say so.
sub has_members
{
	my ($what, $n, @ids) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$cluster->wait_until("$what: all know that $n members count",
		sub { !grep { (($cluster->status($_) // {})->{members} // 0) != $n } @ids });
	return;
}

# sessions(): pgbench's, on the primary; they end when the primary does, or one of them is cut.
sub sessions
{
	my $script = PostgreSQL::Test::Utils::tempdir('script') . '/insert';
	my $pid;

	append_to_file($script, "INSERT INTO others VALUES (1);\n\\sleep 5 ms\n");
	$pid = fork // die "fork: $!";
	return $pid if $pid != 0;
	open STDOUT, '>', '/dev/null';
	open STDERR, '>', "$script.log";
	exec 'pgbench', '-n', '-c', 4, '-T', 600, '-f', $script, '-h', $cluster->server($primary)->host, '-p', $cluster->server($primary)->port,
	  '-U', 'app', 'postgres' or POSIX::_exit(1);
}

# is_done(WHAT, SINCE, NAMES): tests; there is a primary by this list, which takes commits, and the names are the list's.
sub is_done
{
	my ($what, $since, $names) = @_;
	my ($n, $longest) = (0, 0);
	my @lost;
	my %has;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	($primary) = $cluster->wait_for_roles;
	$n = told();
	$cluster->wait_until("$what: commits are answered", sub { told() > $n + 5 });
	@told = told();
	foreach my $i (1 .. $#told)
	{
		my $gap = $told[$i][1] - $told[ $i - 1 ][1];

		$longest = $gap if $told[$i][1] > $since && $gap > $longest;
	}
	diag(sprintf '%s: %d commits were answered so far, and none for %.1f s at the longest', $what, scalar @told, $longest);
	is($cluster->sql($primary, 'SHOW synchronous_standby_names'), $names, "$what: the names are the list's");
	%has = map { $_ => 1 } split /\n/, $cluster->sql($primary, 'SELECT n FROM told');
	@lost = grep { !$has{ $_->[0] } } @told;
	is(join(' ', map { $_->[0] } @lost), '', "$what: nothing that was told is lost");
	return;
}

sub names { my ($copies, @ids) = @_; return "ANY $copies (" . join(', ', map { "\"pg_leader_$_\"" } @ids) . ')'; }

$cluster->start_all;
($primary) = $cluster->wait_for_roles;
is($cluster->sql($primary, 'CREATE TABLE told (n int); CREATE TABLE others (n int); CREATE ROLE app LOGIN; GRANT ALL ON told, others TO app'), '', 'a table');
$cluster->add($_) foreach 3, 4;
my $three = $cluster->{list};
my $five = $cluster->{list} = $cluster->list(0 .. 4);

# Without state files: their data are not trusted, and are cloned from the leader's.
$cluster->create($_)->append_conf('postgresql.conf', PgLeaderManaged::QUIET) foreach 3, 4;
append_to_file($ledger, '');
$writer = write_on(0 .. 4);
$cluster->wait_until('a client writes', sub { told() > 20 });

# ---- a reload of one ----

my $term = $cluster->status($primary)->{term};
my $first = $primary;
my $sessions = sessions();

reload_with($five, $primary);
$cluster->wait_until('a reload of one: it knows the list', sub { $cluster->sql($primary, 'SELECT count(*) FROM pg_leader_peers') == 5 });
$cluster->stays('a reload of one: nothing changes', 1, sub { $cluster->status($primary)->{members} == 3 });

# ---- three to five ----

my $since = time;

reload_with($five, $cluster->others($primary, 3, 4));
$cluster->start(3, 4);
has_members('three to five', 5, 0 .. 4);
is_done('three to five', $since, names(2, 0 .. 4));
is("$primary " . $cluster->status($primary)->{term}, "$first $term", 'three to five: the same primary, in the same term');

# ---- five to three ----

my @going = grep { $_ != $primary } 4, 3, 2;
@going = @going[ 0, 1 ];
my @staying = $cluster->others(@going);

$since = time;
$list = $cluster->list(@staying);
reload_with($list, @staying);
has_members('five to three', 3, @staying);
$cluster->stop($_) foreach @going;
delete $cluster->{members}{$_} foreach @going;
$cluster->{list} = $list;
is_done('five to three', $since, names(1, @staying));
is("$primary " . $cluster->status($primary)->{term}, "$first $term", 'five to three: the same primary, in the same term');
$cluster->wait_until('five to three: nobody speaks of the others any more', sub { $cluster->sql($primary, 'SELECT count(*) FROM pg_leader_peers') == 3 });
is(waitpid($sessions, POSIX::WNOHANG()), 0, 'and no session was lost in all that');
kill 'TERM', $sessions;
waitpid $sessions, 0;

# ---- another address for a member that counts ----

my ($standby_there) = grep { $_ != $primary } @staying;
my $wrong = $list =~ s/\b$standby_there=([^,]*):\d+/$standby_there=$1:1/r;
my $offset = $cluster->log_size($primary);

reload_with($wrong, $primary);
$cluster->wait_for_log($primary, qr/the new member list is not usable, keeping the old one: a member has another address in it/, $offset);
like($cluster->status($primary)->{refused_settings}, qr/pg_leader\.cluster/, 'another address for a member that counts is refused');
reload_with($list, $primary);
$cluster->wait_until('and taken back', sub { ($cluster->status($primary)->{refused_settings} // '') !~ /pg_leader\.cluster/ });

# ---- restarts instead of reloads ----

my ($restarted) = grep { $_ != $primary } @staying;

$cluster->stop($restarted);
$cluster->start($restarted);
$cluster->wait_until('a restarted member votes at once', sub { (($cluster->status($restarted) // {})->{abstaining} // 't') eq 'f' || defined(($cluster->status($restarted) // {})->{leader_id}) });

kill 'TERM', $writer;
waitpid $writer, 0;
@told = told();

# ---- two of three are lost for good ----

my ($left, @lost) = grep { $_ != $primary } @staying;
push @lost, $primary;
$cluster->wait_for_replay($primary);
my $was = $cluster->role($left)->{timeline};

$cluster->check_history;
$cluster->kill_all(@lost);
$cluster->stays('a majority is lost: there is no primary', 3, sub { !$cluster->role($left)->{is_open} });
like($cluster->role($left)->{wal_end}, qr{^[0-9A-F]+/[0-9A-F]+$}, 'what is left says up to where it has WAL');

# The list is what is left, and a person says what that means.
delete $cluster->{members}{$_} foreach @lost;
$cluster->{list} = $cluster->list($left);
$offset = $cluster->log_size($left);
reload_with($cluster->{list}, $left);
$cluster->wait_for_log($left, qr/its member list leaves out 2 members that count: without them nobody can be elected/, $offset);
$cluster->stays('it does not go on by itself', 2, sub { !$cluster->role($left)->{is_open} });
$cluster->wait_until('where its WAL ends is known', sub { defined $cluster->role($left)->{wal_end} });
my $end = $cluster->role($left)->{wal_end};
like($cluster->failure($left, q(SELECT pg_leader_trust_data('0/1'))), qr{ERROR:  the WAL of this member does not end at 0/1\nDETAIL:  It ends at \Q$end\E on timeline $was\.\nHINT:  Compare},
	'nor is the word of somebody who has not looked');
is($cluster->sql($left, "SELECT pg_leader_trust_data('$end')"), '', 'pg_leader_trust_data()');
is($cluster->wait_for_primary('what is left is the primary'), $left, 'which it is');
cmp_ok($cluster->role($left)->{timeline}, '>', $was, 'on a new timeline');
is($cluster->sql($left, 'SHOW synchronous_standby_names'), '', 'no other is waited for');
is($cluster->sql($left, 'INSERT INTO told VALUES (-1)'), '', 'it takes commits');
like($cluster->failure($left, q(SELECT pg_leader_trust_data(pg_current_wal_flush_lsn()))), qr/ERROR:  (?:the data of this member are not in doubt|the WAL of this member does not end)/, 'there is no doubt any more');
my %has = map { $_ => 1 } split /\n/, $cluster->sql($left, 'SELECT n FROM told');
is(join(' ', grep { !$has{$_} } map { $_->[0] } @told), '', 'and has what it had');

# And a new member at the end of the list.
$cluster->add(5);
$list = $cluster->{list} = $cluster->list($left, 5);
$cluster->create(5)->append_conf('postgresql.conf', PgLeaderManaged::QUIET);
$cluster->start(5);
reload_with($list, $left);
has_members('a new one', 2, $left, 5);
($primary, my $standby) = $cluster->wait_for_roles;
is($primary, $left, 'a new one: who has the data is the primary');
$cluster->wait_until('a new one: it has them, too', sub { ($cluster->sql(5, 'SELECT count(*) FROM told') // '') eq ($cluster->sql($primary, 'SELECT count(*) FROM told') // '-') });
like($cluster->failure($standby, q(SELECT pg_leader_trust_data('0/1'))), qr/ERROR:  node $primary is the primary\nHINT:/, 'no data are to be trusted where there is a primary');
$cluster->check_timelines;
$cluster->check_history;

# And it goes again, while it runs: one that is left alone needs no other, also after a restart.
reload_with($cluster->list($left), $left);
has_members('two to one', 1, $left);
$cluster->wait_until('two to one: nobody is waited for', sub { ($cluster->sql($left, 'SHOW synchronous_standby_names') // '-') eq '' });
is($cluster->sql($left, 'INSERT INTO told VALUES (-2)'), '', 'two to one: it takes commits');
$cluster->stop_all;
delete $cluster->{members}{5};
$cluster->start($left);
is($cluster->wait_for_primary('two to one: it is the primary again after a restart'), $left, 'two to one: alone');
is($cluster->sql($left, 'INSERT INTO told VALUES (-3)'), '', 'two to one: it takes commits again');
$cluster->stop_all;
done_testing();
