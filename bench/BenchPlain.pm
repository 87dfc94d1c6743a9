# bench/BenchPlain.pm
#	  Servers as BenchManaged.pm has them, of PostgreSQL alone: what bench/fence compares
#	  with.
#
# Node 0 is the primary, the others stream from it.  The library is not loaded.  Everything
# else is set as in managed mode, synchronous replication included.

package BenchPlain;

use strict;
use warnings;

use parent -norequire, 'BenchManaged';

use BenchManaged;

sub create
{
	my ($self) = @_;

	BenchManaged::append("$self->{dir}/node$_/standby.signal", '') foreach grep { $_ != 0 } $self->ids;
	return;
}

sub settings
{
	my ($self, $id, %options) = @_;
	my $names = join ', ', map { "pg_leader_$_" } $self->ids;
	my $conninfo = "user=postgres host=127.0.0.1 port=$self->{tcp} application_name=pg_leader_$id";

	return $self->common_settings($id, %options)
	  . ($self->{n} > 1 ? "synchronous_standby_names = 'ANY @{[ int($self->{n} / 2) ]} ($names)'\n" : '')
	  . ($id != 0 ? "primary_conninfo = '$conninfo'\n" : '');
}

# Without a supervisor, each postmaster stands in its place.
sub start
{
	my ($self, @ids) = @_;

	$self->{supervisors}{$_} = $self->spawn($self->log_path($_), "$self->{server_bin}/postgres", '-D', "$self->{dir}/node$_") foreach @ids;
	return;
}

sub wait_for_first_primary
{
	my ($self) = @_;

	Chaos::eventually(BenchManaged::PATIENCE, sub { ($self->query(0, 'SELECT pg_is_in_recovery()') // '') eq 'f' })
	  or die "the server without the library does not start\n" . $self->describe;
	return 0;
}

sub calm_primary
{
	my ($self) = @_;
	my $answer = $self->query(0, q(SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = 'quorum' AND flush_lsn = pg_current_wal_flush_lsn()));

	return ($answer // '') eq $self->{n} - 1 ? 0 : undef;
}

1;
