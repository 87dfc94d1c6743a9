# bench/BenchPatroni.pm
#	  Servers as BenchManaged.pm has them on a stand, run by Patroni, with a member of etcd
#	  beside each: what bench/compare --until writable compares with.
#
# Debian's packages patroni and etcd-server.  Patroni's settings are its defaults, but for those
# that are compared, synchronous_mode and use_pg_rewind.  It takes over the data directories that
# are there: it starts each as a standby, and promotes the one that gets the lock.

package BenchPatroni;

use strict;
use warnings;

use parent -norequire, 'BenchManaged';

use Bench;
use BenchManaged;
use HTTP::Tiny;
use JSON::PP;

use constant { REST => 8008, ETCD_CLIENTS => 2379, ETCD_PEERS => 2380 };

# What it is called with: ttl/loop_wait/retry_timeout, s.  The second one is the least that its
# documentation (4.1.4) admits.
sub defaults { return ('30/10/10', '20/1/3'); }

sub programs { return (patroni => 'patroni', etcd => 'etcd-server'); }

sub name { return 'Patroni'; }

sub version { return Bench::first_line('patroni', '--version') . ', ' . Bench::first_line('etcd', '--version'); }

# undef, or what is wrong with that word.
sub wrong
{
	my ($text) = @_;

	return $text =~ m{^\d{1,4}/\d{1,4}/\d{1,4}$} ? undef : 'is not ttl/loop_wait/retry_timeout in seconds';
}

sub options { my ($text) = @_; return (patroni => [ split m{/}, $text ]); }

sub new
{
	my ($class, %options) = @_;
	my $self = $class->SUPER::new(%options);

	@{$self}{qw(ttl loop_wait retry_timeout)} = @{ $options{patroni} };
	$self->write_file($_) foreach $self->ids;
	return $self;
}

sub create { return; }

sub settings { my ($self, $id, %options) = @_; return $self->common_settings($id, %options); }

sub write_file
{
	my ($self, $id) = @_;
	my $address = $self->address($id);
	my $hosts = join ', ', map { '"' . $self->address($_) . ':' . ETCD_CLIENTS . '"' } $self->ids;

	BenchManaged::append("$self->{dir}/patroni$id.yml", <<"TEXT");
scope: bench
name: n$id
restapi:
  listen: $address:@{[ REST ]}
  connect_address: $address:@{[ REST ]}
etcd3:
  hosts: [$hosts]
postgresql:
  listen: $address:@{[ $self->{tcp} + $id ]}
  connect_address: $address:@{[ $self->{tcp} + $id ]}
  data_dir: $self->{dir}/node$id
  bin_dir: $self->{bin}
  use_unix_socket: true
  pgpass: $self->{dir}/pgpass$id
  parameters:
    unix_socket_directories: $self->{dir}
  authentication:
    superuser: {username: postgres}
    replication: {username: postgres}
    rewind: {username: postgres}
TEXT
	return;
}

sub peer { my ($self, $id) = @_; return 'http://' . $self->address($id) . ':' . ETCD_PEERS; }

sub start
{
	my ($self, @ids) = @_;

	foreach my $id (@ids)
	{
		my $clients = 'http://' . $self->address($id) . ':' . ETCD_CLIENTS;

		$self->{etcd}{$id} = $self->spawn_in_node($id, "$self->{dir}/etcd$id.log", 'etcd', '--name', "n$id", '--data-dir', "$self->{dir}/etcd$id",
			'--listen-peer-urls', $self->peer($id), '--initial-advertise-peer-urls', $self->peer($id),
			'--listen-client-urls', $clients, '--advertise-client-urls', $clients,
			'--initial-cluster', join(',', map { "n$_=" . $self->peer($_) } $self->ids));
		$self->{supervisors}{$id} = $self->spawn_in_node($id, $self->log_path($id), 'patroni', "$self->{dir}/patroni$id.yml");
	}
	return;
}

sub children { my ($self, $id) = @_; return grep { defined } $self->{supervisors}{$id}, $self->{etcd}{$id}; }

# Its HTTP interface: true if that was done.
sub ask
{
	my ($self, $id, $method, $path, $content) = @_;
	my $answer = HTTP::Tiny->new(timeout => 60)
	  ->request($method, 'http://' . $self->address($id) . ':' . REST . "/$path", { content => encode_json($content) });

	$self->{said} = "$answer->{status} $answer->{content}";
	return $answer->{success};
}

# The settings are the cluster's: they are in etcd.
sub wait_for_first_primary
{
	my ($self) = @_;
	my $settings = {
		(map { $_ => 0 + $self->{$_} } qw(ttl loop_wait retry_timeout)),
		synchronous_mode => JSON::PP::true,
		postgresql => { use_pg_rewind => JSON::PP::true },
	};
	my $first;

	Chaos::eventually(BenchManaged::PATIENCE, sub {
			($first) = grep { ($self->query($_, 'SELECT pg_is_in_recovery()') // '') eq 'f' } $self->ids;
			return defined $first && $self->ask($first, 'PATCH', 'config', $settings);
		}) or die "Patroni has no primary, or does not take its settings\n" . $self->describe;
	return $first;
}

# The standby is of Patroni's choice, among those that are synchronous.
sub switch_over
{
	my ($self, $primary) = @_;

	$self->ask($primary, 'POST', 'switchover', { leader => "n$primary" }) or die "no switchover: $self->{said}\n";
	return;
}

1;
