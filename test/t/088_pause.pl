# test/t/088_pause.pl
#	  A paused cluster: nobody is promoted and no rebuild begins, whoever fails, until it is resumed;
#	  and everybody says that it is paused.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use HTTP::Tiny;
use PgLeaderManaged;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $cluster = PgLeaderManaged->new('paused', 3, settings => {%PgLeaderCluster::STEADY});
my %port = map { $_ => PostgreSQL::Test::Cluster::get_free_port() } $cluster->ids;
my ($primary, $standby, $other, $leader, $next);

$cluster->set($_, http_listen => "127.0.0.1:$port{$_}") foreach $cluster->ids;

# ctl(ARGUMENT...): (exit status, output, errors) of pg_leaderctl, which is told of all servers.
sub ctl
{
	my ($out, $err) = ('', '');

	IPC::Run::run([ 'pg_leaderctl', @_, '-h', join(',', ('127.0.0.1') x 3), '-p', join(',', map { $cluster->server($_)->port } $cluster->ids) ],
		'>', \$out, '2>', \$err);
	return ($? >> 8, $out, $err);
}

# http(ID, PATH): the body of what its supervisor says there.
sub http { my ($id, $path) = @_; return HTTP::Tiny->new->get("http://127.0.0.1:$port{$id}$path")->{content}; }

# paused(): of those that answer, what they say, in one word for each.
sub paused { return join ' ', map { $cluster->sql($_, 'SELECT paused FROM pg_leader_status') // '?' } $cluster->running; }

# done(NAME, PATTERN, ARGUMENT...): a test; the command succeeds and says that.
sub done
{
	my ($name, $pattern, @arguments) = @_;
	my ($status, $out, $err) = ctl(@arguments);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($status, 0, $name) or diag($out . $err);
	like($out, $pattern, "$name: it says so");
	return;
}

$cluster->start_all;
($primary, $standby, $other) = $cluster->wait_for_roles;
$cluster->sql($primary, 'CREATE TABLE kept AS SELECT 1 AS i');

# ---- it is said ----

is(paused(), 'f f f', 'nobody is paused');
like($cluster->failure($standby, 'SELECT pg_leader_pause()'),
	qr/this member is not the leader\nDETAIL:  Node $primary \(.*\) leads in term \d+\.\nHINT:  Call pg_leader_pause/, 'a standby names the leader');
done('pause', qr/^The cluster is paused: no server is promoted/, 'pause');
$cluster->wait_until('all say so', sub { paused() eq 't t t' });
like((ctl('list'))[1], qr/^Cluster .* open for commits\. 3 of 3 members answer\. It is PAUSED: /, 'the list says so first of all');
like((ctl('list', '--format', 'json'))[1], qr/"paused": true/, 'in JSON, too');
is((ctl('list'))[0], 0, 'nothing is wrong with it');
like(http($_, '/patroni'), qr/"pause": true/, "and node $_ over HTTP") foreach $primary, $standby;
like(http($standby, '/cluster'), qr/, "pause": true\}$/, 'of the cluster, too');
like(http($standby, '/metrics'), qr/^pg_leader_server_cluster_is_paused\{.*\} 1$/m, 'and for Prometheus');
like($cluster->log_of($primary), qr/role ".*" called pg_leader_pause\(\)/, 'the log says who');
$cluster->sql($primary, 'INSERT INTO kept VALUES (2)');
done('a second pause', qr/^The cluster is paused/, 'pause');

# ---- no switchover ----

like((ctl('switchover'))[2], qr/error: node $primary: no switchover: the cluster is paused, and no other member would be promoted\n.*hint: Call pg_leader_resume\(\) first/, 'no switchover');
is($cluster->open_primary, $primary, 'the primary is the same');

# ---- no rebuild begins ----

my ($status, $out, $err) = ctl('reinit', $other);

is($status, 1, 'a new copy is refused');
like($cluster->failure($primary, "SELECT pg_leader_$_()"), qr/the cluster is paused, and no other member would be promoted/, "and a $_") foreach qw(transfer switchover);
like($err, qr/node $other: no rebuild begins while the cluster is paused\n.*hint: Call pg_leader_resume\(\)/, 'and why');
$cluster->stop($other);
system_or_bail('sh', '-c', "cd '" . $cluster->server($other)->data_dir . "' && rm -rf base global pg_wal pg_xact PG_VERSION");
my $offset = $cluster->log_size($other);
$cluster->start($other);
$cluster->wait_until('its supervisor says that, too', sub { http($other, '/patroni') =~ /"pause": true/ });
$cluster->wait_for_log($other, qr/the server is not started: it has no data that may be used, and no rebuild begins while the cluster is paused/, $offset);
done('resume', qr/^The cluster is not paused any more/, 'resume');
$cluster->wait_for_followers('then it is cloned', $primary);
is(paused(), 'f f f', 'nobody is paused');
unlike(http($primary, $_), qr/"pause"/, "nor at $_") foreach qw(/patroni /cluster);

# ---- nobody is promoted, whatever restarts ----

done('pause again', qr/^The cluster is paused/, 'pause');
$cluster->kill_server($primary);
$cluster->wait_until('the primary is killed: somebody leads, and waits', sub {
	($leader) = grep { ($cluster->role($_)->{reason} // '') eq 'in_pause' } $cluster->running;
	return defined $leader;
});
$cluster->wait_until('all servers run again', sub { (grep { defined $cluster->role($_)->{reason} } $cluster->ids) == 3 });
ok($cluster->stays('nobody is promoted', 3, sub { !defined $cluster->open_primary && !grep { ($_->{server} // '') eq 'primary' } map { $cluster->role($_) } $cluster->ids }), 'no primary');
is((ctl('list'))[0], 1, 'the list says that nobody is open');
$cluster->kill_all($cluster->ids);
$cluster->start_all;
$cluster->wait_until('all were killed, and somebody leads: it is still paused', sub {
	($leader) = grep { ($cluster->role($_)->{reason} // '') eq 'in_pause' } $cluster->running;
	return defined $leader && paused() eq 't t t';
});
like($cluster->role($leader)->{reason_text}, qr/^it leads, and no server is promoted while the cluster is paused/, 'in words');
done('resume at a leader in recovery', qr/^The cluster is not paused any more/, 'resume');
$next = $cluster->wait_for_primary('then there is a primary');
$cluster->wait_for_followers('that all follow', $next);
is($cluster->sql($next, 'SELECT count(*) FROM kept'), 2, 'with all data');

# ---- a wait that is too short ----

$cluster->kill_all($cluster->others($next));
like($cluster->failure($next, "SELECT pg_leader_pause('0')"), qr/not the leader|has no lease|timed out while waiting for a majority|lost the leadership/, 'without a majority it is not paused');
$cluster->start($cluster->others($next));
$cluster->wait_for_leader('one leads, when they are back, and may be paused'); # it had begun
done('the last word counts', qr/^The cluster is not paused any more/, 'resume');
$cluster->wait_until('nobody is paused', sub { paused() eq 'f f f' });
$cluster->wait_for_primary('and there is a primary');
$cluster->check_timelines;
$cluster->stop_all;
$cluster->check_history;
done_testing();
