# test/t/092_complaints.pl
#	  What users of other tools have complained of and no other file stages: doc/comparison.md has
#	  the list, by number.
#
# One cluster.  A primary whose election worker stands still is cut off from the others, but for
# the WAL that they receive from it.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PgLeaderProtocol;
use PgLeaderRebuilt;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $cluster = PgLeaderRebuilt->rebuilt('complaints', '', min_timeout => '500ms', max_timeout => '1000ms');

my ($primary, @others);

sub learn_roles { ($primary, @others) = $cluster->wait_for_roles; return; }
sub commit_one { $cluster->commit_one($primary); return; }

# takes_over(OLD, CODE): a test; one of the others is open, and until then CODE is called again and again; its id.
sub takes_over
{
	my ($old, $meanwhile) = @_;
	my $new;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$cluster->wait_until('another one is open', sub {
		$meanwhile->() if defined $meanwhile;
		($new) = grep { $cluster->role($_)->{is_open} } $cluster->others($old);
		return defined $new;
	});
	return $new;
}

# have_all(): tests; all servers have what was answered, and nothing else.
sub have_all
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	learn_roles();
	$cluster->ends_well($others[0], $primary);
	return;
}

learn_roles();
is($cluster->sql($primary, 'CREATE TABLE told (n int); CREATE TABLE ledger (session int, n int)'), '', 'tables');
commit_one();

# ---- a primary that is cut off ----

# go_on(SESSION...): those that wait for no answer commit once more.  When one was asked for whose
# answer has come is noted.
sub go_on
{
	foreach my $session (grep { !$_->has_ended } @_)
	{
		next unless PgLeaderProtocol::wait_until(0.001, sub { $_[0]->is_answered }, $session) && $session->is_answered;
		push @{ $session->{told} }, $session->{sent_at} if $session->all('C') == 3;
		$session->query('BEGIN READ WRITE')->query("INSERT INTO ledger VALUES ($session->{number}, " . (1 + @{ $session->{told} }) . ')')->query('COMMIT')->send;
	}
	return;
}

# The first one asks for no copies, so it has nothing but its own server's word.
subtest 'an isolated primary, with sessions that go on' => sub {
	my $old = $primary;
	my $worker = $cluster->worker($old);
	my @sessions = map { PgLeaderProtocol->new($cluster->server($old)) } 1 .. 5;
	my ($new, $open_at, %there);

	@{ $sessions[$_] }{qw(number told)} = ($_, []) foreach 0 .. $#sessions;
	$sessions[0]->do('SET synchronous_commit = local');
	$cluster->wait_until('all of them commit', sub { go_on(@sessions); !grep { @{ $_->{told} } < 10 } @sessions });
	kill 'STOP', $worker;
	$new = takes_over($old, sub { go_on(@sessions) });
	$open_at = time;
	$cluster->stays('complaint 3: nothing is answered there once another one is open', 1, sub { go_on(@sessions); !grep { $_ > $open_at } map { @{ $_->{told} } } @sessions });
	$cluster->wait_until('each that commits is cut off', sub { go_on(@sessions); !grep { !$_->has_ended } @sessions });
	kill 'CONT', $worker;
	$cluster->comes_back($old, $new);
	%there = map { $_ => 1 } split /\n/, $cluster->sql($new, 'SELECT session, n FROM ledger');
	foreach my $session (@sessions[ 1 .. $#sessions ])
	{
		is(scalar(grep { !$there{"$session->{number}|$_"} } 1 .. @{ $session->{told} }), 0, "session $session->{number}: all " . @{ $session->{told} } . ' commits that it was told of are there');
	}
	have_all();
	$cluster->wait_for_same('on all servers', 'SELECT count(*), sum(n) FROM ledger');
};

# Elected, and not promoted before the startup processes go on.  A message of no transaction is WAL
# that needs no lease.
subtest 'the old primary writes on during the failover, and sends that to whoever receives' => sub {
	my $old = $primary;
	my $worker = $cluster->worker($old);
	my $writer = $cluster->titled($old, qr/background writer/); # what it wrote, one of them could have got
	my @startups = map { $cluster->startup($_) } @others;
	my %offset = map { $_ => $cluster->log_size($_) } @others;
	my ($new, $sibling);

	kill 'STOP', $writer;
	$cluster->wait_for_replay($old);
	kill 'STOP', $worker, @startups;
	$cluster->wait_until('complaint 8: another one is elected, and nobody receives from the old one', sub { $cluster->leads(@others) && !$cluster->receivers($old) });
	is($cluster->sql($old, q(SELECT count(pg_logical_emit_message(false, 'x', repeat('y', 1000))) FROM generate_series(1, 1000); SELECT pg_switch_wal() IS NULL)), "1000\nf", 'which writes on');
	kill 'CONT', @startups;
	$new = takes_over($old);
	($sibling) = grep { $_ != $new } @others;
	$cluster->comes_back($sibling, $new);
	unlike($cluster->log_of($sibling, $offset{$sibling}), qr/order (?:REWIND|CLONE)/, 'its sibling has got nothing of that, and follows as it is');
	kill 'CONT', $worker, $writer;
	$cluster->comes_back($old, $new);
	have_all();
};

# ---- nodes that fail and come back in an unlucky order ----

# list_of(ID): what pg_leaderctl says there.
sub list_of
{
	my ($out, $err) = run_command([ 'pg_leaderctl', 'list', '-t', '1', '-h', '127.0.0.1', '-p', $cluster->server(shift)->port ]);

	return $out . $err;
}

subtest 'one after the other is gone, and who has least comes back first' => sub {
	my ($old, $more, $less) = ($primary, @others);
	my $names = $cluster->sql($old, 'SHOW synchronous_standby_names');
	my $recovery;

	$cluster->stop($less);
	commit_one() foreach 1 .. 3;
	$cluster->kill_all($more);
	$cluster->wait_until('without standbys its fence is closed', sub { ($cluster->sql($old, 'SELECT is_open FROM pg_leader_fence') // '') eq 'f' });
	like($cluster->failure($old, 'BEGIN READ WRITE; INSERT INTO told VALUES (-1); COMMIT'), qr/FATAL:  pg_leader: nothing of this transaction was committed/,
		'complaint 6: without standbys no commit is answered');
	is($cluster->sql($old, 'SHOW synchronous_standby_names'), $names, 'and the names of those that it waits for are the same');
	like(list_of($old), qr/^ +$old \| .* closed for commits .*^node $old: no leader is known$/ms, 'the list says why');
	$cluster->kill_all($old);

	$cluster->start($old);
	$cluster->wait_until('the old primary answers', sub { defined($recovery = $cluster->sql($old, 'SELECT pg_is_in_recovery()')) });
	is($recovery, 't', 'complaint 17: started again, it is a standby');
	like($cluster->failure($old, 'INSERT INTO told VALUES (-1)'), qr/ERROR:  cannot execute INSERT in a read-only transaction/, 'which takes no writes');
	$cluster->kill_all($old);

	$cluster->start($less);
	$cluster->wait_until('who has least answers', sub { ($cluster->role($less)->{reason} // '') eq 'no_leader' });
	$cluster->stays('it does not lead', 1, sub { !$cluster->leads($less) });
	like(list_of($less), qr/^ +$_ \| .* down or cut off /m, "the list says that it lacks node $_") foreach $old, $more;
	$cluster->start($more);
	$primary = $cluster->wait_for_primary('two of three are enough');
	is($primary, $more, 'complaint 5: who has all that was answered leads');
	$cluster->start($old);
	have_all();
};

# ---- rewinds ----

subtest 'a rewind while the new primary has made no checkpoint' => sub {
	my $old = $primary;
	my @checkpointers = map { $cluster->titled($_, qr/\bcheckpointer\b/) } @others;
	my $offset = $cluster->log_size($old);
	my $timeline = $cluster->role($old)->{timeline};

	kill 'STOP', @checkpointers;
	$cluster->write_alone($old, 'INSERT INTO told SELECT -g FROM generate_series(1, 50) g');
	$primary = $cluster->wait_for_primary('another one is open');
	$cluster->start($old);
	$cluster->wait_until('complaint 9: a server that has diverged says so', sub { ($cluster->role($old)->{reason} // '') eq 'rewind_no_checkpoint' });
	like(list_of($primary), qr/^ +$old \| .* waiting .*^node $old: its WAL has diverged from the leader's, which has made no checkpoint/ms, 'so does the list');
	is($cluster->role($old)->{timeline}, $timeline, 'and on which timeline');
	like($cluster->role($old)->{wal_end}, qr{^[0-9A-F]+/[0-9A-F]+$}, 'its WAL ends where');
	$cluster->stays('complaint 14: it waits for the checkpoint', 1, sub { ($cluster->role($old)->{reason} // '') eq 'rewind_no_checkpoint' });
	commit_one();
	kill 'CONT', @checkpointers;
	$cluster->wait_for_line('then it is rewound, and compared again', $old, $offset, qr/is a copy of the leader's: rewound/);
	$cluster->comes_back($old, $primary);
	have_all();
};

# ---- standbys ----

subtest 'replay is paused on all that could lead' => sub {
	my $old = $primary;
	my $new;

	$cluster->sql($_, 'SELECT pg_wal_replay_pause()') foreach @others;
	$cluster->wait_until('it is', sub { !grep { $cluster->sql($_, 'SELECT pg_get_wal_replay_pause_state()') ne 'paused' } @others });
	commit_one() foreach 1 .. 3;
	is($cluster->sql($_, 'SELECT count(*) FROM told') + 3, $cluster->{told}, "node $_ has not replayed what it holds") foreach @others;
	$cluster->signal($old, 'STOP');
	$cluster->kill_server($old);
	$new = takes_over($old);
	is($cluster->sql($new, 'SELECT max(n) FROM told'), $cluster->{told}, 'complaint 22: replay goes on, and the new one has all that was answered');
	$cluster->signal($old, 'CONT');
	$cluster->sql($_, 'SELECT pg_wal_replay_resume()') foreach $cluster->others($old, $new);
	have_all();
};

subtest 'a standby whose settings lead nowhere, or are another one\'s' => sub {
	my ($one, $other) = @others;
	my $auto = 'postgresql.auto.conf';
	my $lines;

	is($cluster->sql($one, $_), '', $_) foreach "ALTER SYSTEM SET primary_conninfo = ''", "ALTER SYSTEM SET primary_slot_name = 'pg_leader_$other'";
	$cluster->sql($one, 'SELECT pg_reload_conf()');
	$cluster->wait_until('complaint 23: a standby without an upstream has one again', sub {
		($cluster->sql($one, 'SHOW primary_slot_name') // '') eq "pg_leader_$one" && $cluster->sql($one, 'SHOW primary_conninfo') =~ /application_name=pg_leader_$one\b/ });
	commit_one();
	$cluster->comes_back($one, $primary);
	$cluster->stop($one);
	unlink $cluster->directory($one) . "/$auto" or die;
	system_or_bail('cp', map { $cluster->directory($_) . "/$auto" } $other, $one);
	$cluster->start($one);
	$cluster->comes_back($one, $primary);
	$lines = slurp_file($cluster->directory($one) . "/$auto");
	like($lines, qr/application_name=pg_leader_$one\b/, 'and one with the settings of another one, its own');
	unlike($lines, qr/pg_leader_$other'/, 'and its own slot');
	ok($cluster->follows($other, $primary), 'whose receiver goes on');
	have_all();
};

subtest 'a standby that comes and goes' => sub {
	my ($one) = @others;
	my $session = PgLeaderProtocol->new($cluster->server($primary));

	foreach my $number (1 .. 5)
	{
		my $receiver;

		$cluster->wait_until('it receives', sub { defined($receiver = $cluster->receiver($one)) });
		kill $number == 1 ? 'STOP' : 'TERM', $receiver;
		$cluster->{told}++;
		$session->query("INSERT INTO told VALUES ($cluster->{told})")->send->gets('C');
		is($session->said('C'), 'C(INSERT 0 1)', "complaint 7: it does not hold up commit $cluster->{told}");
		kill 'KILL', $receiver if $number == 1;
	}
	$session->close;
	have_all();
};

$cluster->check_timelines;
$cluster->check_history;
$cluster->stop_all;
done_testing();
