# test/t/084_haproxy.pl
#	  Debian's HAProxy asks the supervisors: clients get to the primary and to standbys, and
#	  none stays where it was, when the primary answers no commits any more and when it is gone.
#
# Two HAProxies: with config/haproxy.cfg, of which the addresses are exchanged, and with what
# Patroni's documentation gives for Patroni (paths, methods, checks and their times).  And a
# PgBouncer that knows of nothing but the first one.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PgBeside;
use PgLeaderManaged;
use PostgreSQL::Test::Utils;
use Test::More;

$ENV{PATH} = "$ENV{PATH}:/usr/sbin";
plan skip_all => 'HAProxy or PgBouncer is missing: script/install_deps.sh test'
  if system('{ haproxy -v && pgbouncer --version; } >/dev/null 2>&1') != 0;

my $sample = "$FindBin::RealBin/../../config/haproxy.cfg";
my $tmp = PostgreSQL::Test::Utils::tempdir('haproxy');
my $cluster = PgLeaderManaged->new('haproxy', 3, conf => "autovacuum = off\n");
my %http = map { $_ => PostgreSQL::Test::Cluster::get_free_port() } $cluster->ids;
my %bind = map { $_ => PostgreSQL::Test::Cluster::get_free_port() } qw(sample_primary sample_standbys patroni_primary patroni_standbys patroni_old bouncer);
my ($primary, @others);

# ---- HAProxy ----

sub start_proxy
{
	my ($name, $text) = @_;
	my $file = "$tmp/$name.cfg";

	append_to_file($file, $text);
	command_ok([ 'haproxy', '-c', '-f', $file ], "HAProxy accepts the configuration: $name");
	PgBeside::run("$tmp/$name.log", 'haproxy', '-db', '-f', $file);
	return;
}

sub from_sample
{
	my $text = slurp_file($sample);

	$text =~ s/^\s*(?:user|group) haproxy\n//mg;
	$text =~ s/bind :5000/bind 127.0.0.1:$bind{sample_primary}/ or die 'no port 5000';
	$text =~ s/bind :5001/bind 127.0.0.1:$bind{sample_standbys}/ or die 'no port 5001';
	$text =~ s/ port 8008//;
	foreach my $id ($cluster->ids)
	{
		my $at = '127.0.0.1:' . $cluster->server($id)->port . " port $http{$id}";

		is($text =~ s/server node$id \S+/server node$id $at/g, 2, "node $id is there");
	}
	return $text;
}

sub as_for_patroni
{
	my $servers = join '', map { sprintf "\tserver pg%d 127.0.0.1:%d maxconn 100 check port %d\n", $_, $cluster->server($_)->port, $http{$_} } $cluster->ids;
	my $text = "global\n\tmaxconn 100\n\ndefaults\n\tmode tcp\n\tretries 2\n\ttimeout client 30m\n\ttimeout connect 4s\n\ttimeout server 30m\n\ttimeout check 5s\n";
	my %asks = (patroni_primary => 'httpchk HEAD /primary', patroni_standbys => 'httpchk HEAD /replica', patroni_old => 'httpchk');

	foreach my $name (sort keys %asks)
	{
		$text .= "\nlisten $name\n\tbind 127.0.0.1:$bind{$name}\n\toption $asks{$name}\n\thttp-check expect status 200\n"
		  . "\tdefault-server inter 3s fall 3 rise 2 on-marked-down shutdown-sessions\n$servers";
	}
	return $text;
}

# ---- clients ----

sub conninfo { return "host=127.0.0.1 port=$bind{ shift() } user=app dbname=postgres connect_timeout=10"; }

# lands_at(NAME): on which node a new session there is; undef: on none.
sub lands_at
{
	my ($out, $err);

	IPC::Run::run([ 'psql', '-XAtq', '-d', conninfo(shift), '-c', 'SELECT pg_leader_node_id()' ], '<', \'', '>', \$out, '2>', \$err, IPC::Run::timeout(30));
	return $out =~ /^(\d+)$/ ? $1 : undef;
}

# session(NAME): one that stays; { in, out, err, run, node }.
sub session
{
	my $self = { in => '', out => '', err => '' };

	$self->{run} = IPC::Run::start([ 'psql', '-XAtq', '-d', conninfo(shift) ], '<', \$self->{in}, '>', \$self->{out}, '2>', \$self->{err}, IPC::Run::timeout(120));
	$self->{in} .= "SELECT pg_leader_node_id();\n";
	$self->{run}->pump until $self->{out} =~ /^(\d+)$/m || !$self->{run}->pumpable;
	($self->{node}) = $self->{out} =~ /^(\d+)$/m;
	return $self;
}

# backends(ID): how many sessions of clients are there.
sub backends { return $cluster->sql(shift, q(SELECT count(*) FROM pg_stat_activity WHERE usename = 'app')) // 0; }

sub end_session
{
	my $self = shift;

	$self->{run}->kill_kill;
	return;
}

# leads(WAY, CODE): four new sessions, one more than there are servers, land where CODE says.  An
# HAProxy that has just been started takes all servers for good.
sub leads
{
	my ($way, $code) = @_;

	foreach (1 .. 4)
	{
		my $at = lands_at($way);

		return 0 unless defined $at && $code->($at);
	}
	return 1;
}

my @to_primary = qw(sample_primary patroni_primary patroni_old bouncer);
my @to_standbys = qw(sample_standbys patroni_standbys);

# lead(NAME): tests; where the ways lead.
sub lead
{
	my $name = shift;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	foreach my $way (@to_primary)
	{
		$cluster->wait_until("$name: $way leads to the primary", sub { leads($way, sub { shift == $primary }) });
	}
	foreach my $way (@to_standbys)
	{
		$cluster->wait_until("$name: $way leads to a standby", sub { leads($way, sub { shift != $primary }) });
	}
	return;
}

# ---- the tests ----

$cluster->set($_, http_listen => "127.0.0.1:$http{$_}") foreach $cluster->ids;
$cluster->start_all;
($primary, @others) = $cluster->wait_for_roles;
is($cluster->sql($primary, 'CREATE ROLE app LOGIN; CREATE TABLE told (n int); GRANT ALL ON told TO app'), '', 'a role that is exempt from nothing');
$cluster->wait_for_replay($primary);
command_ok([ 'haproxy', '-c', '-f', $sample ], 'HAProxy accepts the sample as it is');
start_proxy('sample', from_sample());
start_proxy('patroni', as_for_patroni());
PgBeside::run_bouncer($tmp, $bind{bouncer}, "postgres = host=127.0.0.1 port=$bind{sample_primary} pool_mode=transaction");
lead('at first');

subtest 'the primary answers no commits any more, and goes on' => sub {
	my $old = $primary;
	my $worker = $cluster->worker($old);
	my @sessions = map { session($_) } @to_primary;

	is_deeply([ map { $_->{node} } @sessions ], [ ($old) x @sessions ], 'sessions through each way');

	# its lease runs out, and the others elect
	kill 'STOP', $worker;
	$cluster->wait_until('another one is the open primary', sub {
		($primary) = grep { $_ != $old && $cluster->role($_)->{is_open} } $cluster->running;
		return defined $primary;
	});
	lead('then');
	$cluster->wait_until('complaint 25: no session stays on the old primary', sub { backends($old) == 0 });
	end_session($_) foreach @sessions;
	kill 'CONT', $worker;
	$cluster->comes_back($old, $primary);
};

subtest 'the primary is gone' => sub {
	my $old = $primary;

	$cluster->kill_all($old);
	$primary = $cluster->wait_for_primary('another one is open');
	lead('then');
	$cluster->start($old);
	$cluster->comes_back($old, $primary);
	lead('and when it is back');
};

$cluster->check_timelines;
$cluster->check_history;
$cluster->stop_all;
done_testing();
