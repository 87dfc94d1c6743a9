# test/t/PgLeaderProtocol.pm
#	  A client of PostgreSQL's protocol 3 that keeps every message that it gets.
#
# libpq hides what a test of answers is about: which messages came, in which order, and whether
# the connection ended after them or within one.  Nothing is sent that a test did not ask for,
# and nothing is read before it waits for it.

package PgLeaderProtocol;

use strict;
use warnings;

use Carp qw(croak);
use Errno qw(EAGAIN ECONNRESET EINTR EPIPE);
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use Time::HiRes qw(time);

# Seconds that an answer may take.
use constant LIMIT => 60;

# ---- the connection ----

# new(SERVER, OPTION => VALUE...): a session that is ready for queries, or was refused: then it
# has ended.  Trust authentication.
#
#	user		default: whoever runs the test
#	database	default: postgres
#	host		an address; default: the socket in the file system
#	from		the client's own address, with host
#	options		as in PGOPTIONS
#	parameters	of the startup packet, instead of all of these: for replication, say
sub new
{
	my ($class, $server, %options) = @_;
	my $self = bless { messages => [], input => '', output => '', ended => 0, asked => 1, to_ask => 0 }, $class;
	my %parameters = $options{parameters} ? %{ $options{parameters} } : (
		user => $options{user} // (getpwuid $<)[0],
		database => $options{database} // 'postgres',
		client_min_messages => 'notice',
		defined $options{options} ? (options => $options{options}) : ());

	$self->{socket} = defined $options{host}
		? IO::Socket::INET->new(PeerAddr => $options{host}, PeerPort => $server->port, LocalAddr => $options{from}, Proto => 'tcp')
		: IO::Socket::UNIX->new(Peer => $server->host . '/.s.PGSQL.' . $server->port);
	croak "no connection: $!" unless defined $self->{socket};
	$self->put('', pack('N', 196608) . join('', map { "$_\0$parameters{$_}\0" } sort keys %parameters) . "\0");
	$self->write;
	answers(LIMIT, $self);
	$self->{pid} = $_->{pid} foreach $self->all('K');
	return $self;
}

# The server process that serves it.
sub pid { my $self = shift; return $self->{pid}; }

sub has_ended { my $self = shift; return $self->{ended}; }

# close(): as a client that has died.
sub close { my $self = shift; CORE::close $self->{socket}; $self->{ended} = 1; return; }

# ---- what is sent: each returns the session, and send() lets it go in one piece ----

sub put
{
	my ($self, $type, $body) = @_;

	$self->{to_ask}++ if $type =~ /[QSF]/;
	$self->{output} .= $type . pack('N', 4 + length $body) . $body;
	return $self;
}

sub query { my ($self, $sql) = @_; return $self->put('Q', "$sql\0"); }

sub parse { my ($self, $sql, $name) = @_; return $self->put('P', ($name // '') . "\0$sql\0" . pack('n', 0)); }

# bind(STATEMENT, VALUE...): the portal without a name; all values as text.
sub bind
{
	my ($self, $statement, @values) = @_;

	return $self->put('B', "\0" . ($statement // '') . "\0" . pack('nn', 0, scalar @values) .
		join('', map { defined $_ ? pack('N/a*', $_) : pack('N', 0xffffffff) } @values) . pack('n', 0));
}

sub describe { my $self = shift; return $self->put('D', "P\0"); }

sub execute { my $self = shift; return $self->put('E', "\0" . pack('N', 0)); }

sub sync { my $self = shift; return $self->put('S', ''); }

sub flush { my $self = shift; return $self->put('H', ''); }

sub copy_data { my ($self, $data) = @_; return $self->put('d', $data); }

sub copy_done { my $self = shift; return $self->put('c', ''); }

# extended(SQL, VALUE...): Parse, Bind, Describe and Execute, without an end.
sub extended
{
	my ($self, $sql, @values) = @_;

	return $self->parse($sql)->bind('', @values)->describe->execute;
}

# send(): what was put.  Messages that came before are forgotten.
sub send
{
	my $self = shift;

	$self->{messages} = [];
	$self->{asked} = $self->{to_ask};
	$self->{to_ask} = 0;
	$self->{sent_at} = time;
	return $self->write;
}

# A server that has gone takes nothing.
sub write
{
	my $self = shift;

	local $SIG{PIPE} = 'IGNORE';
	while ($self->{output} ne '')
	{
		my $written = syswrite $self->{socket}, $self->{output};

		next if !defined $written && $! == EINTR;
		last unless defined $written;
		substr $self->{output}, 0, $written, '';
	}
	$self->{output} = '';
	return $self;
}

# ---- what comes ----

# answers(SECONDS, SESSION...): until each has all its answers, or has ended.  True unless one
# has neither in that time.
sub answers
{
	my ($seconds, @sessions) = @_;

	return wait_until($seconds, sub { $_[0]->is_answered }, @sessions);
}

# gets(TYPES, SECONDS): until a message of one of these types has come, or it has ended.
sub gets
{
	my ($self, $types, $seconds) = @_;

	return wait_until($seconds // LIMIT, sub { $_[0]->all($types) > 0 }, $self);
}

sub wait_until
{
	my ($seconds, $holds, @sessions) = @_;
	my $end = time + $seconds;
	my $select = IO::Select->new;
	my %by_socket;

	foreach my $session (grep { !$_->{ended} && !$holds->($_) } @sessions)
	{
		$select->add($session->{socket});
		$by_socket{ $session->{socket} } = $session;
	}
	while ($select->count)
	{
		my $left = $end - time;

		return 0 if $left <= 0;
		foreach my $socket ($select->can_read($left))
		{
			my $session = $by_socket{$socket};

			$session->receive;
			$select->remove($socket) if $session->{ended} || $holds->($session);
		}
	}
	return 1;
}

# As many times ready as it was asked to be.
sub is_answered { my $self = shift; return $self->all('Z') >= $self->{asked}; }

# What has come so far, once it can be read; a connection that was reset has ended.
sub receive
{
	my $self = shift;
	my $length = sysread $self->{socket}, $self->{input}, 65536, length $self->{input};

	if (!defined $length)
	{
		return if $! == EINTR || $! == EAGAIN;
		croak "cannot read: $!" unless $! == ECONNRESET || $! == EPIPE;
	}
	if (!$length)
	{
		$self->{ended} = 1;
		$self->{ended_at} = time;
		return;
	}
	while (length $self->{input} >= 5)
	{
		my ($type, $size) = unpack 'aN', $self->{input};

		last if length $self->{input} < 1 + $size;
		push @{ $self->{messages} }, decode($type, substr $self->{input}, 5, $size - 4);
		substr $self->{input}, 0, 1 + $size, '';
	}
	return;
}

# decode(TYPE, BODY): { type, and what it says }.
sub decode
{
	my ($type, $body) = @_;
	my %message = (type => $type);

	if ($type =~ /[EN]/)
	{
		$message{ substr $_, 0, 1 } = substr $_, 1 foreach grep { $_ ne '' } split /\0/, $body;
	}
	elsif ($type eq 'D')
	{
		my ($n, $at) = (unpack('n', $body), 2);

		foreach (1 .. $n)
		{
			my $size = unpack 'l>', substr $body, $at, 4;

			push @{ $message{values} }, $size < 0 ? undef : substr $body, $at + 4, $size;
			$at += 4 + ($size < 0 ? 0 : $size);
		}
	}
	elsif ($type eq 'A')
	{
		@message{qw(pid channel payload)} = unpack 'NZ*Z*', $body;
	}
	elsif ($type eq 'K')
	{
		@message{qw(pid key)} = unpack 'NN', $body;
	}
	elsif ($type eq 'S')
	{
		@message{qw(name value)} = unpack 'Z*Z*', $body;
	}
	else
	{
		$message{text} = unpack 'Z*', $body;
	}
	return \%message;
}

# ---- what has come ----

# all(TYPES): the messages of these types, of all without one.
sub all { my ($self, $types) = @_; return grep { !defined $types || index($types, $_->{type}) >= 0 } @{ $self->{messages} }; }

# error(): the last one, {} if there was none.
sub error { my $self = shift; return ($self->all('E'))[-1] // {}; }

# rest(): of a message that did not come whole.
sub rest { my $self = shift; return $self->{input}; }

# took(): seconds from the last send() until it ended.
sub took { my $self = shift; return $self->{ended_at} - $self->{sent_at}; }

# said(TYPES): the messages, in one line: "D(1) C(SELECT 1) Z(I)"; "EOF" if it has ended.
sub said
{
	my ($self, $types) = @_;

	return join ' ', (map { in_words($_) } $self->all($types)), $self->{ended} ? 'EOF' : ();
}

sub in_words
{
	my $message = shift;
	my $type = $message->{type};

	return "$type($message->{V} $message->{C})" if $type =~ /[EN]/;
	return 'D(' . join(',', map { $_ // '' } @{ $message->{values} // [] }) . ')' if $type eq 'D';
	return "A($message->{channel})" if $type eq 'A';
	return $type =~ /[CZ]/ ? "$type($message->{text})" : $type;
}

# do(SQL): a query of its own, and its rows.  It must not fail.
sub do
{
	my ($self, $sql) = @_;

	$self->query($sql)->send;
	answers(LIMIT, $self);
	croak "$sql: " . ($self->error->{M} // $self->said) if !$self->is_answered || $self->all('E');
	return $self->all('D');
}

# value(SQL): of one row and column.
sub value
{
	my ($self, $sql) = @_;
	my ($row) = $self->do($sql);

	return defined $row ? $row->{values}[0] : undef;
}

1;
