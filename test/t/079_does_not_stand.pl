# test/t/079_does_not_stand.pl
#	  Managed servers that take no further session, and a standby whose settings are below the
#	  primary's: they are alive, the one that could not be promoted does not stand, and says why
#	  (scenario 88).
#
# What managed mode refuses at all is in 054_refused.pl.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PgLeaderManaged;
use PgLeaderProtocol;
use PostgreSQL::Test::Utils;
use Test::More;

my $cluster = PgLeaderManaged->new('not_standing', 3, settings => { min_timeout => '300ms', max_timeout => '600ms', health_timeout => '1s' },
	conf => PgLeaderManaged::QUIET);
my ($primary, $one, $other);

sub learn_roles { ($primary, $one, $other) = $cluster->wait_for_roles; return; }

# fill(ID): all sessions that it lets in.
sub fill
{
	my $id = shift;
	my @sessions;

	do { push @sessions, PgLeaderProtocol->new($cluster->server($id)) } until $sessions[-1]->has_ended || @sessions > 100;
	like($cluster->failure($id, 'SELECT'), qr/too many clients already/, "node $id is full");
	return @sessions;
}

# set_connections(N, ID...): from their next start on.
sub set_connections { my ($n, @ids) = @_; $cluster->server($_)->append_conf('postgresql.conf', "max_connections = $n") foreach @ids; return; }

$cluster->start_all;
learn_roles();
is($cluster->sql($primary, 'CREATE TABLE told (n int)'), '', 'a table');

subtest 'too_many_clients: that is an answer, and nothing happens' => sub {
	my $term = $cluster->status($primary)->{term};
	my @sessions = map { fill($_) } $primary, $one;

	$cluster->kill_server($other);
	$cluster->wait_until('a standby comes back', sub { ($cluster->sql($other, 'SELECT status FROM pg_stat_wal_receiver') // '') eq 'streaming' });
	$sessions[0]->query('INSERT INTO told VALUES (1)')->send->gets('C');
	is(scalar(() = $sessions[0]->all('C')), 1, 'a session that is there commits');
	$cluster->stays('the primary stays what it is', 2, sub {
		my $status = $cluster->status($other);

		return $status && $status->{term} == $term && $status->{leader_id} == $primary;
	});
	$_->close foreach grep { !$_->has_ended } @sessions;
	$cluster->wait_until('there is room again', sub { ($cluster->open_primary // -1) == $primary });
	learn_roles();
	is($cluster->sql($primary, 'SELECT n FROM told'), '1', 'what was committed is there');
};

subtest 'max_connections_of_a_standby_too_low: it does not start, and says why' => sub {
	my $offset = $cluster->log_size($one);

	$cluster->stop($one);
	set_connections(20, $one);
	$cluster->start($one);
	$cluster->wait_for_log($one, qr/FATAL:  recovery aborted because of insufficient parameter settings\n.*DETAIL:  max_connections = 20 is a lower setting/, $offset);
	set_connections(30, $one);
	learn_roles();
};

subtest 'max_connections_of_a_standby_too_low: it was raised on the others: does not stand, and says why' => sub {
	my $old = $primary;
	my $offset = $cluster->log_size($one);
	my $why = qr/WARNING:  pg_leader: this server does not stand for election: its settings are below those in pg_control: raise them/;

	set_connections(40, $old, $other);
	$cluster->stop($other);
	$cluster->start($other);
	$cluster->wait_for_followers('all follow', $old);
	$cluster->hand_over($other);
	$cluster->wait_for_log($one, $why, $offset);
	like($cluster->log_of($one, $offset), qr/WARNING:  hot standby is not possible because of insufficient parameter settings\n.*DETAIL:  max_connections = 30 is a lower setting/, 'which PostgreSQL says, too');
	$cluster->wait_for_followers('it streams all the same', $other);

	$cluster->set_now($old, candidate => 'off');
	$offset = $cluster->log_size($one);
	$cluster->signal($other, 'STOP');
	$cluster->kill_server($other);
	$cluster->stays('it does not lead when nobody else could', 2, sub { !$cluster->leads($one, $old) });
	unlike($cluster->log_of($one, $offset), qr/became leader|stands for election in/, 'nor has it stood');

	set_connections(40, $one);
	$cluster->stop($one);
	$cluster->start($one);
	$cluster->wait_until('it leads once its setting is raised', sub { ($cluster->open_primary // -1) == $one });
	$cluster->signal($other, 'CONT');
	learn_roles();
	is($cluster->sql($primary, 'SELECT n FROM told'), '1', 'what was committed is there');
};

$cluster->check_timelines;
$cluster->check_history;
$cluster->stop_all;
done_testing();
