# test/t/051_by_hand.pl
#	  Promotions by hand, and a promotion that is pending when its leader is deposed
#	  (scenarios 61 and 63): refused in the startup process, or found as foreign; never
#	  open, and no timeline is made twice.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PgLeaderManaged;
use PostgreSQL::Test::Utils;
use Test::More;

my $cluster = PgLeaderManaged->new('by_hand', 3, settings => { min_timeout => '300ms', max_timeout => '600ms' },
	conf => PgLeaderManaged::QUIET);
my @by_hand;
my ($primary, $one, $other);

# promote(ID, METHOD): by hand, by "pg_ctl" or a file that was left.
sub promote
{
	my ($id, $method) = @_;
	my $data = $cluster->server($id)->data_dir;

	if ($method eq 'pg_ctl')
	{
		system 'pg_ctl', '-W', '-s', '-D', $data, 'promote';
		return;
	}
	append_to_file("$data/promote", '');
	kill 'USR1', $cluster->postmaster($id);
	return;
}

# learn_roles(): who is the primary, and who are the others.
sub learn_roles { ($primary, $one, $other) = $cluster->wait_for_roles; return; }

# is_cloned(ID, OFFSET, PRIMARY): tests; it was, since then, because what it had was foreign, and
# was not open before.
sub is_cloned
{
	my ($id, $offset, $from) = @_;
	my $log = $cluster->log_of($id, $offset);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	like($log, qr/stopping the server for a clone from node $from: it holds WAL of a timeline that nobody has authorised/, 'what it has written is foreign');
	like($log, qr/is a copy of the leader's: cloned/, 'it is cloned');
	ok(!$cluster->was_opened($id, $offset), 'it was never open');
	return;
}

# goes_on(TERM): tests that the primary has been that, all the time since.
sub goes_on
{
	my ($name, $term) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($cluster->open_primary, $primary, "$name: the primary is the same");
	is($cluster->status($primary)->{term}, $term, "$name: in the same term");
	$cluster->wait_until("$name: it takes commits", sub { defined $cluster->sql($primary, 'INSERT INTO told VALUES (1)') });
	return;
}

# ---- before the first claim ----

# Redo has not begun on a copy of a server that was stopped, so that PostgreSQL asks nobody.  Whose
# data are wanted is for a person to say.
subtest 'by hand before the first claim: nobody is open until the operator has decided' => sub {
	my $leader;

	$cluster->start(0, 1);
	$cluster->wait_until('two of three run', sub { $cluster->agreed(0, 1) });
	promote(0, 'pg_ctl');
	$cluster->wait_until('it is promoted', sub { $cluster->made(0) });
	@by_hand = [ 0, $cluster->made(0) ];
	is($by_hand[0][1], 2, 'to the next timeline');
	$cluster->start(2);
	$cluster->wait_for_leader('all agree', 0, 1, 2);
	$cluster->stays('nobody is open', 3, sub { !defined $cluster->open_primary });
	$cluster->stop(0);
	($leader) = $cluster->wait_for_leader('the other two agree', 1, 2);
	$cluster->sql($leader, 'SELECT pg_leader_admit()');
	$cluster->wait_for_primary('one of them is open');
	$cluster->start(0);
	learn_roles();
	isnt($primary, 0, 'it follows');
	unlike($cluster->log_of(0), qr/promoted to timeline 2\b/, 'it was not promoted by the election');
	is($cluster->sql($primary, 'CREATE TABLE told (n int)'), '', 'it takes commits');
};

# ---- a follower ----

subtest 'pg_promote() on a follower and on the primary: refused, nothing happens' => sub {
	my $term = $cluster->status($primary)->{term};

	like($cluster->failure($_, 'SELECT pg_promote()'), qr/ERROR:  pg_leader: this server is promoted by the election/, "refused on node $_")
		foreach $one, $primary;
	goes_on('after that', $term);
	$cluster->wait_for_followers('the others follow', $primary);
};

foreach my $method ('pg_ctl', 'a leftover promote file')
{
	subtest "$method on a follower: its server ends, and comes back as a standby" => sub {
		my $term = $cluster->status($primary)->{term};
		my $offset = $cluster->log_size($one);

		promote($one, $method);
		$cluster->wait_for_log($one, qr/FATAL:  pg_leader: promotion refused: the election has not authorised it\n.*HINT:  The elected leader is promoted/, $offset);
		goes_on('meanwhile', $term);
		$cluster->wait_for_log($one, qr/has ended with exit status 1, and is started again/, $offset);
		$cluster->wait_for_followers('it follows', $primary);
		goes_on('after that', $term);
		is_deeply([ $cluster->made($one, $offset) ], [], 'it has made no timeline');
		ok(!$cluster->was_opened($one, $offset), 'it was never open');
		ok(!-e $cluster->server($one)->data_dir . '/promote', 'no "promote" file is left');
	};
}

# ---- a leader ----

subtest 'by hand on the primary: nothing happens' => sub {
	my $term = $cluster->status($primary)->{term};
	my $offset = $cluster->log_size($primary);

	promote($primary, 'pg_ctl');
	promote($primary, 'a leftover promote file');
	goes_on('after that', $term);
	is_deeply([ $cluster->made($primary, $offset) ], [], 'it has made no timeline');
	unlink $cluster->server($primary)->data_dir . '/promote';
};

# pending(): node $one leads, with a claim that is used up, and its startup process stands still.
sub pending
{
	my ($offset, $startup, $claim);

	$cluster->set_now($other, candidate => 'off');
	$cluster->wait_for_replay($primary);
	$offset = $cluster->log_size($one);
	$startup = $cluster->startup($one);
	kill 'STOP', $startup;

	# its supervisor has it back sooner than an election may take
	$cluster->signal($primary, 'STOP');
	$cluster->kill_server($primary);
	$cluster->wait_for_log($one, qr/order WAIT: its promotion is pending/, $offset);
	$cluster->signal($primary, 'CONT');
	($claim) = $cluster->log_of($one, $offset) =~ /order PROMOTE: .*\n.*timeline (\d+);/;
	$cluster->set_now($other, candidate => 'on');
	return ($startup, $claim, $offset);
}

subtest 'by hand on a leader whose claim is used up: it makes that timeline, once' => sub {
	my ($startup, $claim, $offset) = pending();

	promote($one, 'pg_ctl');
	kill 'CONT', $startup;
	learn_roles();
	is_deeply([ $cluster->made($primary, $offset) ], [$claim], 'exactly the claim');
	promote($primary, 'pg_ctl');
	goes_on('after another one', $cluster->status($primary)->{term});
	is_deeply([ $cluster->made($primary, $offset) ], [$claim], 'it has made no other timeline');
};

# ---- deposed ----

# depose(): the election worker of node $one stands still until another member leads.
sub depose
{
	my $worker = $cluster->worker($one);

	kill 'STOP', $worker;
	$cluster->wait_until('another member leads', sub { grep { $_ != $one } $cluster->leads($primary, $other) });
	return $worker;
}

subtest 'a promotion that is pending when its leader is deposed: the server is stopped first' => sub {
	my ($startup, $claim, $offset) = pending();
	my $worker = depose();

	kill 'CONT', $worker;
	$cluster->wait_for_log($one, qr/restarting the server as a standby: it lost the leadership while its promotion was pending/, $offset);
	$cluster->wait_until('the startup process is gone', sub { PgLeaderCluster::are_gone($startup) });
	learn_roles();
	unlike($cluster->log_of($_), qr/selected new timeline ID: $claim\b/, "node $_ has not made that timeline") foreach $cluster->ids;
	cmp_ok($cluster->role($primary)->{timeline}, '>', $claim, 'the next leader has claimed another timeline');
};

subtest 'the same, and the startup process comes first: it refuses' => sub {
	my ($startup, $claim, $offset) = pending();
	my $worker = depose();

	kill 'CONT', $startup;
	$cluster->wait_for_log($one, qr/FATAL:  pg_leader: promotion refused: (there is no lease|it was authorised in another term)/, $offset);
	kill 'CONT', $worker;
	learn_roles();
	unlike($cluster->log_of($_), qr/selected new timeline ID: $claim\b/, "node $_ has not made that timeline") foreach $cluster->ids;
	cmp_ok($cluster->role($primary)->{timeline}, '>', $claim, 'the next leader has claimed another timeline');
};

# Its role worker is another process meanwhile, which cannot know what still comes of it.
subtest 'a promotion that another process has asked for: the server is stopped before the next claim' => sub {
	my ($startup, $claim, $offset) = pending();

	kill 'TERM', $cluster->role_worker($one);
	$cluster->wait_for_log($one, qr/restarting the server as a standby: it lost the leadership while its promotion was pending/, $offset);
	$cluster->wait_until('the startup process is gone', sub { PgLeaderCluster::are_gone($startup) });
	learn_roles();
	unlike($cluster->log_of($_), qr/selected new timeline ID: $claim\b/, "node $_ has not made that timeline") foreach $cluster->ids;
	cmp_ok($cluster->role($primary)->{timeline}, '>', $claim, 'the next leader has claimed another timeline');
};

# ---- without a supervisor ----

subtest 'without a supervisor' => sub {
	my $data = $cluster->server($one)->data_dir;
	my $term = $cluster->status($primary)->{term};
	my ($offset, $log);

	$cluster->stop($one);

	# what pg_ctl makes of that differs: from 17 on, a recovery target that was reached
	system 'pg_ctl', '-s', '-w', '-D', $data, '-l', "$data/../outside.log", 'start';
	is($cluster->postmaster($one), undef, 'it does not start');
	like(slurp_file("$data/../outside.log"), qr/FATAL:  pg_leader\.manage is on, and this server was not started by pg_leader_supervisor/, 'and says why');
	goes_on('after that', $term);

	# what nobody can keep anybody from
	$offset = $cluster->log_size($one);
	system_or_bail('pg_ctl', '-s', '-w', '-D', $data, '-l', $cluster->server($one)->logfile, '-o', '-c pg_leader.manage=off', 'start');
	system_or_bail('pg_ctl', '-s', '-w', '-D', $data, 'promote');
	push @by_hand, [ $one, $cluster->made($one, $offset) ];
	is($cluster->sql($one, 'SET synchronous_commit = local; CREATE TABLE wrong (n int)'), '', 'unmanaged, it can be promoted, and written to');
	system_or_bail('pg_ctl', '-s', '-w', '-D', $data, '-m', 'fast', 'stop');
	goes_on('meanwhile', $term);

	$offset = $cluster->log_size($one);
	$cluster->start($one);
	$cluster->wait_for_followers('managed again, it follows', $primary);
	is_cloned($one, $offset, $primary);
	is($cluster->sql($one, q(SELECT to_regclass('wrong') IS NULL)), 't', 'without what it has written');
	goes_on('after that', $term);
	@by_hand = grep { $_->[0] != $one || $_->[1] < 3 } @by_hand;
};

# ---- where redo has not begun ----

subtest 'by hand where redo has not begun: foreign, never open, and cloned' => sub {
	my ($offset, $foreign, $new);

	$cluster->stop($_) foreach $one, $other, $primary;
	$offset = $cluster->log_size($primary);
	$cluster->start($primary);
	$cluster->wait_until('it runs alone', sub { ($cluster->role($primary)->{server} // '') eq 'standby' });
	unlike($cluster->log_of($primary, $offset), qr/redo starts/, 'redo has not begun');
	promote($primary, 'pg_ctl');
	$cluster->wait_until('it is promoted', sub { $cluster->made($primary, $offset) });
	($foreign) = $cluster->made($primary, $offset);
	push @by_hand, [ $primary, $foreign ];
	$cluster->stays('it is not open, and does not lead', 2, sub { my $role = $cluster->role($primary); !$role->{is_open} && !$cluster->leads($primary) });

	$cluster->start($one, $other);
	$cluster->wait_until('another one is the open primary', sub { my $id = $cluster->open_primary; defined $id && $id != $primary });
	$new = $cluster->open_primary;
	$cluster->comes_back($primary, $new);
	is_cloned($primary, $offset, $new);
	isnt($cluster->role($new)->{timeline}, $foreign, 'the other one is on another timeline');
	is($cluster->sql($new, 'INSERT INTO told VALUES (2)'), '', 'which takes commits');
};

$cluster->check_timelines(@by_hand);
$cluster->check_history;
$cluster->stop_all;
done_testing();
