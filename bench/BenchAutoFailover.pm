# bench/BenchAutoFailover.pm
#	  Servers as BenchManaged.pm has them on a stand, run by pg_auto_failover, with its monitor in
#	  a namespace of its own: what bench/compare --until writable compares with.
#
# Debian's packages pg-auto-failover-cli and postgresql-15-auto-failover.  Nothing ever happens to
# the monitor.  pg_autoctl makes the standbys itself, by pg_basebackup.

package BenchAutoFailover;

use strict;
use warnings;

use parent -norequire, 'BenchManaged';

use Bench;
use BenchManaged;

# The monitor's settings and those of pg_autoctl that are compared.  The time for a lost primary to
# stop by itself, network_partition_timeout, has to be over before another one is promoted.
my %settings = (
	default => { monitor => {}, node => {} },
	fast => {
		monitor => {
			health_check_period => '1s', health_check_timeout => '1s', health_check_max_retries => 1, health_check_retry_delay => '500ms',
			node_considered_unhealthy_timeout => '3s', primary_demote_timeout => '5s', startup_grace_period => '3s',
		},
		node => { network_partition_timeout => 3 },
	});

sub defaults { return qw(default fast); }

sub programs { return (pg_autoctl => 'pg-auto-failover-cli'); }

sub name { return 'pg_auto_failover'; }

sub version { return Bench::first_line('pg_autoctl', '--version'); }

sub wrong { my ($text) = @_; return $settings{$text} ? undef : 'is neither "default" nor "fast"'; }

sub options { my ($text) = @_; return (settings => $settings{$text}); }

sub new
{
	my ($class, %options) = @_;
	my $self = $class->SUPER::new(%options, beside => 1);

	@{$self}{qw(chosen monitor)} = ($options{settings}, $self->{n});
	return $self;
}

sub create { return; }

sub settings { my ($self, $id, %options) = @_; return $self->common_settings($id, %options); }

# pg_autoctl, which keeps what it knows of a node in its user's directories.
sub autoctl
{
	my ($self, $id, @words) = @_;
	my $home = "$self->{dir}/home$id";

	return ('env', "PATH=$self->{bin}:$ENV{PATH}", "HOME=$home", "XDG_CONFIG_HOME=$home/config", "XDG_DATA_HOME=$home/data",
		"XDG_RUNTIME_DIR=$home/run", 'pg_autoctl', @words, '--pgdata', $self->data($id));
}

sub data { my ($self, $id) = @_; return "$self->{dir}/" . ($id == $self->{monitor} ? 'monitor' : "node$id"); }

# Run one to its end.
sub call
{
	my ($self, $id, @words) = @_;
	my $log = "$self->{dir}/autoctl$id.log";
	my $pid = $self->spawn_in_node($id, $log, $self->autoctl($id, @words));

	waitpid($pid, 0);
	die "pg_autoctl @words failed:\n" . Chaos::slurp($log) if $?;
	return;
}

sub monitor_port { my ($self) = @_; return $self->{tcp} + $self->{monitor}; }

sub start_monitor
{
	my ($self) = @_;
	my $id = $self->{monitor};

	$self->call($id, 'create', 'monitor', '--pgport', $self->monitor_port, '--pgctl', "$self->{bin}/pg_ctl", '--hostname', $self->address($id),
		'--no-ssl', '--skip-pg-hba');
	BenchManaged::append($self->data($id) . '/pg_hba.conf', "host all all @{[ Stand::NETWORK ]}.0/24 trust\n");
	BenchManaged::append($self->data($id) . '/postgresql.conf', join '', "unix_socket_directories = '$self->{dir}'\n",
		map { "pgautofailover.$_ = '$self->{chosen}{monitor}{$_}'\n" } sort keys %{ $self->{chosen}{monitor} });
	$self->start($id);
	Chaos::eventually(BenchManaged::PATIENCE, sub { defined $self->ask_monitor('SELECT 1') }) or die "the monitor does not answer\n";
	return;
}

sub ask_monitor { my ($self, $sql) = @_; return $self->query($self->{monitor}, $sql, 'pg_auto_failover'); }

sub create_node
{
	my ($self, $id) = @_;

	$self->run_as_owner('rm', '-r', "$self->{dir}/node$id") if $id != 0;
	$self->call($id, 'create', 'postgres', '--pgport', $self->{tcp} + $id, '--pgctl', "$self->{bin}/pg_ctl", '--pghost', $self->{dir},
		'--listen', $self->address($id), '--hostname', $self->address($id), '--name', "n$id", '--username', 'postgres', '--dbname', 'postgres',
		'--no-ssl', '--skip-pg-hba', '--monitor',
		"postgres://autoctl_node\@@{[ $self->address($self->{monitor}) ]}:@{[ $self->monitor_port ]}/pg_auto_failover?sslmode=disable");
	foreach my $name (sort keys %{ $self->{chosen}{node} })
	{
		$self->call($id, 'config', 'set', "timeout.$name", $self->{chosen}{node}{$name});
	}
	return;
}

# At first the monitor and the nodes are made, one after the other.
sub start
{
	my ($self, @ids) = @_;

	foreach my $id (@ids)
	{
		if (!$self->{made}{$id}++ && $id != $self->{monitor})
		{
			$self->start_monitor if $id == 0;
			$self->create_node($id);
		}
		$self->{supervisors}{$id} = $self->spawn_in_node($id, $self->log_path($id), $self->autoctl($id, 'run'));
	}
	return;
}

sub wait_for_first_primary
{
	my ($self) = @_;
	my $first;

	Chaos::eventually(BenchManaged::PATIENCE, sub { defined($first = $self->settled_primary) }) or die "pg_auto_failover has no primary\n" . $self->describe;
	return $first;
}

# The monitor has to have come to its end, too.
sub settled_primary
{
	my ($self) = @_;
	my $states = $self->ask_monitor(q(SELECT string_agg(reportedstate::text, ' ' ORDER BY reportedstate::text) FROM pgautofailover.node WHERE reportedstate = goalstate));

	return ($states // '') eq 'primary secondary secondary' ? $self->SUPER::settled_primary : undef;
}

sub switch_over
{
	my ($self) = @_;

	$self->ask_monitor(q(SELECT pgautofailover.perform_failover('default', 0))) // die "no switchover\n" . $self->describe;
	return;
}

1;
