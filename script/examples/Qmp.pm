# script/examples/Qmp.pm
#	  QEMU's monitor protocol (QMP) on a Unix socket, for the programs beside it.
#
# Every call ends by a time that its caller sets, and dies with one line of text when
# anything is not as QMP has it.

package Qmp;

use strict;
use warnings;

use IO::Select;
use IO::Socket::UNIX;
use JSON::PP;
use Time::HiRes qw(time);

# What the second copy of a primary's disk is called, and the connection to it; doc/colo.md
# has these names as well.
use constant { REPLICATION => 'replication0', CLIENT => 'nbd0' };

my $json = JSON::PP->new->canonical;

# Connect and negotiate, before that time (seconds since 1970).
sub new
{
	my ($class, $path, $end) = @_;
	my $socket = IO::Socket::UNIX->new(Type => SOCK_STREAM) or die "no socket: $!\n";

	# A monitor has one client.  The next one is not answered, and the one after that
	# does not even get a connection: without this it would wait for ever.
	$socket->blocking(0);
	die "the path of the socket is too long: $path\n" if length $path > 107;
	$socket->connect(pack_sockaddr_un($path))
	  or die $!{EAGAIN} ? "$path is in use: a monitor has one client at a time\n" : "no QEMU at $path: $!\n";
	my $self = bless { path => $path, socket => $socket, end => $end, buffer => '', events => [], answers => {}, id => 0 }, $class;
	my $greeting = eval { $self->receive } // die is_late($@) ? no_greeting($path) . "\n" : $@;
	die "no QMP monitor at $path\n" unless exists $greeting->{QMP};
	$self->{has_oob} = grep { $_ eq 'oob' } @{ $greeting->{QMP}{capabilities} // [] };
	$self->execute('qmp_capabilities', $self->{has_oob} ? { enable => ['oob'] } : undef);
	return $self;
}

sub no_greeting { return "$_[0] does not answer: no QMP monitor, or in use by another client"; }

sub is_late { return $_[0] =~ /did not answer in time$/; }

# Until when the next calls may take.
sub set_end { my ($self, $end) = @_; $self->{end} = $end; return; }

# Wait for more to read, until that time; false: there is none.
sub wait_until
{
	my ($self, $end) = @_;
	my $rest = $end - time;

	return 1 if $self->{buffer} =~ /\n/;
	return 0 unless IO::Select->new($self->{socket})->can_read($rest > 0 ? $rest : 0);
	my $n = sysread($self->{socket}, $self->{buffer}, 65536, length $self->{buffer});
	return 1 if !defined $n && ($!{EAGAIN} || $!{EINTR});
	die "QEMU has closed the connection\n" unless $n;
	die "QEMU sends no end\n" if length $self->{buffer} > 1 << 20;
	return 1;
}

# The next object that QEMU sends; one a line.
sub receive
{
	my ($self) = @_;

	until ($self->{buffer} =~ /\n/)
	{
		die "QEMU did not answer in time\n" if time >= $self->{end} || !$self->wait_until($self->{end});
	}
	$self->{buffer} =~ s/^([^\n]*)\n//;
	my $line = $1;
	my $object = eval { $json->decode($line) };
	die "QEMU does not speak QMP: $line\n" unless ref $object eq 'HASH';
	return $object;
}

sub send_line
{
	my ($self, $line) = @_;

	while (length $line)
	{
		my $n = syswrite($self->{socket}, $line);
		if (defined $n) { substr($line, 0, $n, ''); next; }
		next if $!{EINTR};
		die "cannot write to QEMU: $!\n" unless $!{EAGAIN};
		my $rest = $self->{end} - time;
		die "QEMU did not answer in time\n"
		  if $rest <= 0 || !IO::Select->new($self->{socket})->can_write($rest);
	}
	return;
}

# Returns what the command returns.  Its id tells its answer from events, which are kept.
# A command of the human monitor that failed says so in text: any text is a failure.
sub execute
{
	my ($self, $name, $arguments) = @_;

	return $self->answer($self->ask('execute', $name, $arguments), $name, $arguments);
}

# The same for the few commands that QEMU runs out of band: also while it is stuck.
sub execute_out_of_band
{
	my ($self, $name, $arguments) = @_;

	my $how = $self->{has_oob} ? 'exec-oob' : 'execute';

	return $self->answer($self->ask($how, $name, $arguments), $name, $arguments);
}

# The two halves of it: an answer that did not come in time can be waited for later,
# without asking again.  QEMU reads nothing more when eight commands wait.
sub ask
{
	my ($self, $how, $name, $arguments) = @_;
	# Another process may go on with the connection.
	my $id = "$$-" . ++$self->{id};

	local $SIG{PIPE} = 'IGNORE';
	$self->send_line($json->encode({ $how => $name, id => $id, ($arguments ? (arguments => $arguments) : ()) }) . "\n");
	return $id;
}

sub answer
{
	my ($self, $id, $name, $arguments) = @_;

	while (1)
	{
		my $answer = delete $self->{answers}{$id} // $self->receive;
		if (exists $answer->{event}) { push @{ $self->{events} }, $answer; next; }
		if (($answer->{id} // '') ne $id) { $self->{answers}{ $answer->{id} // '' } = $answer; next; }
		die "$name: $answer->{error}{desc}\n" if exists $answer->{error};
		my $returned = $answer->{return};
		if ($name eq 'human-monitor-command' && !ref $returned && $returned =~ /\S/)
		{
			$returned =~ s/\s+/ /g;
			$returned =~ s/ $//;
			die "$arguments->{'command-line'}: $returned\n";
		}
		return $returned;
	}
}

# The events since the last call.
sub events
{
	my ($self) = @_;

	while ($self->{buffer} =~ /\n/)
	{
		my $object = $self->receive;
		push @{ $self->{events} }, $object if exists $object->{event};
	}
	return splice @{ $self->{events} };
}

# Where the second copy is a child of a quorum: references to hashes with parent, the
# quorum's node, and name, of the child within it.
sub copies
{
	my ($self) = @_;
	my $graph = $self->execute('x-debug-query-block-graph');
	my %node = map { $_->{id} => $_->{name} } @{ $graph->{nodes} };

	return map { { parent => $node{ $_->{parent} }, name => $_->{name} } }
	  grep { $node{ $_->{child} } eq REPLICATION && $_->{name} =~ /^children/ } @{ $graph->{edges} };
}

# Is there a second copy, whether it is in use or not?
sub has_copy
{
	my ($self) = @_;

	return defined $self->file_of(REPLICATION);
}

# What the connection to it is connected to: nbd://HOST:PORT/EXPORT.
sub copy_address { return $_[0]->file_of(CLIENT); }

# The file of the block node with that name; undef: there is none.
sub file_of
{
	my ($self, $name) = @_;
	my ($node) = grep { ($_->{'node-name'} // '') eq $name }
	  @{ $self->execute('query-named-block-nodes', { flat => JSON::PP::true }) };

	return $node && ($node->{file} // '');
}

1;
