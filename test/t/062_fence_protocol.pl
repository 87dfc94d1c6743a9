# test/t/062_fence_protocol.pl
#	  A commit whose answer would come after the lease has ended is not answered, in whatever way
#	  of the protocol the client has sent it, and whatever is in the buffer before the answer.
#
# The standbys' receivers are stopped, so that commits wait for them; then the election workers,
# so that the lease ends.  If the receivers go on after that, the copies are there and the fence
# is closed: the answer is withheld.  If they do not, the client is cut off while it waits.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PgLeaderManaged;
use PgLeaderProtocol;
use Test::More;

use constant {
	# What PostgreSQL's buffer for a client holds.
	BUFFER => 8192,

	# RowDescription of one column with the name "repeat"; what a DataRow has around its value.
	ROW_DESCRIPTION => 32,
	ROW => 11,

	# Paddings leave up to so many bytes of the buffer free, in such steps: the error and the
	# CommandComplete are in it at the longest, and a CommandComplete is longer than some steps.
	ROOM => 400,
	STEP => 4,
};

# Between the end of the lease and the end of fence_wait the receivers have to go on.
my $cluster = PgLeaderManaged->new('protocol', 3, settings => { %PgLeaderCluster::STEADY, fence_wait => '4s' }, conf => PgLeaderManaged::QUIET . q(
max_connections = 400
max_prepared_transactions = 20
));

my ($primary, $observer);

# ---- ways to commit ----

my @ways;

# A way to send a commit: the messages, each with what it says.  %n is a number of its own.
#
#	before	run by the session first
#	said	CommandCompletes and so on that may come all the same: none of them answers the commit
#	there	the words and prepared transactions that are there afterwards; default: "%n"
sub way
{
	my ($name, $messages, %options) = @_;

	push @ways, { name => $name, messages => $messages, said => '', there => '%n', number => 100 + @ways, %options };
	return;
}

my $insert = q(INSERT INTO told VALUES ('%n'));
my $prepare = q(PREPARE TRANSACTION '%n');

# What must never happen.
my $more = q(INSERT INTO told VALUES ('%n more'));

way('simple', [ [ query => $insert ] ]);
way('simple, by TCP', [ [ query => $insert ] ], host => '127.0.0.1');
way('two queries sent at once', [ [ query => $insert ], [ query => $more ] ]);
way('explicit', [ [ query => 'COMMIT' ] ], before => [ "BEGIN; $insert" ]);
way('explicit, all sent at once', [ [ query => 'BEGIN' ], [ query => $insert ], [ query => 'COMMIT' ], [ query => $more ] ], said => 'C(BEGIN) Z(T) C(INSERT 0 1) Z(T)');
way('multi-statement', [ [ query => "$insert; $insert" ] ], said => 'C(INSERT 0 1)', there => '%n %n');
way('multi-statement with BEGIN and COMMIT', [ [ query => "BEGIN; $insert; COMMIT; $more" ] ], said => 'C(BEGIN) C(INSERT 0 1)');
way('extended', [ [ extended => $insert ], ['sync'] ], said => 'C(INSERT 0 1)');
way('extended, by TCP', [ [ extended => $insert ], ['sync'] ], said => 'C(INSERT 0 1)', host => '127.0.0.1');
way('extended with Flush', [ [ extended => $insert ], ['flush'], ['sync'] ], said => 'C(INSERT 0 1)');
way('extended, explicit', [ [ extended => 'COMMIT' ], ['sync'] ], before => [ "BEGIN; $insert" ]);
way('pipeline', [ [ extended => $insert ], ['sync'], [ extended => $more ], ['sync'], [ extended => $more ], ['sync'] ], said => 'C(INSERT 0 1)');
way('pipeline with one Sync', [ [ extended => $insert ], [ extended => $insert ], ['sync'] ], said => 'C(INSERT 0 1) C(INSERT 0 1)', there => '%n %n');
way('pipeline of an explicit transaction', [ (map { [ extended => $_ ] } 'BEGIN', $insert, 'COMMIT', $more), ['sync'] ], said => 'C(BEGIN) C(INSERT 0 1)');
way('CALL with COMMIT', [ [ query => q(CALL tell('%n')) ] ]);
way('CALL with COMMIT, extended', [ [ extended => q(CALL tell('%n')) ], ['sync'] ]);
way('DO with COMMIT', [ [ query => q(DO $$BEGIN CALL tell('%n'); END$$) ] ]);
way('COPY', [ [ query => 'COPY told FROM STDIN' ], [ copy_data => "%n\n" ], ['copy_done'] ], said => 'G');
way('RETURNING', [ [ query => "$insert RETURNING word" ] ], said => 'D(%n)');
way('a function that writes', [ [ query => q(SELECT told('%n')) ] ], said => 'D(%n)');
way('a function call message', [ [ put => 'F', pack 'NnnnNNn', 957, 1, 1, 1, 4, 131072, 1 ] ], said => 'V', there => '');
way('PREPARE TRANSACTION', [ [ query => $prepare ] ], before => [ "BEGIN; $insert" ], there => 'prepared %n');
way('PREPARE TRANSACTION of nothing', [ [ query => $prepare ] ], before => ['BEGIN'], there => 'prepared %n');
way('COMMIT PREPARED', [ [ query => q(COMMIT PREPARED '%n') ] ], before => [ "BEGIN; $insert", $prepare ]);
way('ROLLBACK PREPARED', [ [ query => q(ROLLBACK PREPARED '%n') ] ], before => [ "BEGIN; $insert", $prepare ], there => '');
way('synchronous_commit = off', [ [ query => $insert ] ], before => [ 'SET synchronous_commit = off' ]);
way('synchronous_commit = local in the transaction', [ [ query => 'COMMIT' ] ], before => [ "BEGIN; $insert; SET LOCAL synchronous_commit = local" ]);
way('synchronous_commit = remote_write', [ [ query => $insert ] ], before => [ 'SET synchronous_commit = remote_write' ]);
way('synchronous_commit = remote_apply', [ [ query => $insert ] ], before => [ 'SET synchronous_commit = remote_apply' ]);

# One of them at a time: commits with notifications wait for each other.
my %notify = (
	late => { name => 'NOTIFY', messages => [ [ query => 'COMMIT' ] ], before => [ "BEGIN; NOTIFY told; $insert" ], said => '', there => '%n', number => 198 },
	cut => { name => 'pg_notify()', messages => [ [ query => "SELECT pg_notify('told', ''); $insert" ] ], said => 'D() C(SELECT 1)', there => '%n', number => 199 });

# ---- paddings ----

# ends_with(FREE, NUMBER, CHUNKS): a commit in front of which output fills the buffer so many times,
# and then leaves so many bytes of it free.
sub ends_with
{
	my ($free, $number, $chunks) = @_;
	my $rows = $chunks * BUFFER / 2048;
	my $tag = "SELECT $rows";
	my $length = BUFFER - $free - ROW_DESCRIPTION - ROW;
	my $sql = '';

	if ($chunks > 0)
	{
		$sql = sprintf q(SELECT repeat('x', %d) FROM generate_series(1, %d);), 2048 - ROW, $rows;
		$length -= ROW_DESCRIPTION + 5 + length("$tag\0");
	}
	return "$sql INSERT INTO told VALUES ('$number') RETURNING repeat('x', $length)";
}

# paddings(NUMBER, CHUNKS): ways, one for each.
sub paddings
{
	my ($number, $chunks) = @_;

	return map { { messages => [ [ query => ends_with($_ * STEP, $number, $chunks) ] ], number => $number } } 0 .. ROOM / STEP;
}

# socket_holds(): how many times PostgreSQL's buffer goes into a socket that nobody reads.
sub socket_holds
{
	my @sessions = map { PgLeaderProtocol->new($cluster->server($primary)) } 1 .. 60;
	my $pids = join ',', map { $_->pid } @sessions;
	my $ready;

	$sessions[$_ - 1]->query(sprintf q(SELECT repeat('x', %d) FROM generate_series(1, %d)), 2048 - ROW, $_ * BUFFER / 2048 - 1)->send foreach 1 .. @sessions;
	$cluster->wait_until('output has come as far as it can without being read', sub {
		$observer->value("SELECT bool_and(query <> '' AND wait_event IN ('ClientRead', 'ClientWrite')) FROM pg_stat_activity WHERE pid IN ($pids)") eq 't' });
	$ready = $observer->value("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'ClientRead' AND pid IN ($pids)");
	$_->close foreach @sessions;
	cmp_ok($ready, '<', @sessions, "a socket that nobody reads holds $ready times what PostgreSQL sends at once");
	return $ready;
}

# ---- what is done to the cluster ----

# begin(): whoever is the primary now, and somebody who looks at it.
sub begin
{
	($primary) = $cluster->wait_for_roles;
	$observer = PgLeaderProtocol->new($cluster->server($primary));
	return;
}

# own(WAY, TEXT): with its number.
sub own { my ($way, $text) = @_; return $text =~ s/%n/$way->{number}/gr; }

# sessions(WAY...): each with one that is ready to commit.
sub sessions
{
	foreach my $way (@_)
	{
		$way->{session} = PgLeaderProtocol->new($cluster->server($primary), defined $way->{host} ? (host => $way->{host}) : ());
		$way->{session}->do(own($way, $_)) foreach @{ $way->{before} // [] };
	}
	return;
}

# waiting(): how many sessions wait for copies.
sub waiting { return $observer->value(q(SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep')); }

# commit(WAY...): what they write is here, nobody else has it, and the lease has ended.
sub commit
{
	my @ways = @_;
	my $n = @ways;

	kill 'STOP', $cluster->receivers($primary);
	foreach my $way (@ways)
	{
		my $session = $way->{session};

		foreach my $message (@{ $way->{messages} })
		{
			my ($method, @values) = @$message;

			$session->$method(map { own($way, $_) } @values);
		}
		$session->send;
	}
	$cluster->wait_until("$n sessions wait for copies", sub { waiting() == $n });
	kill 'STOP', $cluster->workers;
	$cluster->wait_until('the fence is closed', sub { $observer->value('SELECT is_open FROM pg_leader_fence') eq 'f' });
	return;
}

# resume(): the lease can be had again, by whomever.
sub resume
{
	my $before = $primary;
	my $next;

	kill 'CONT', $cluster->workers;
	$next = $cluster->wait_for_primary('the fence of one is open again');
	$cluster->comes_back($before, $next) if $next != $before;
	return begin();
}

# there(WAY): its words and prepared transactions, as others see them.
sub there
{
	my $way = shift;

	return $observer->value(q(SELECT coalesce(string_agg(x, ' '), '') FROM (SELECT word FROM told UNION ALL SELECT 'prepared ' || gid FROM pg_prepared_xacts) x (x)) .
		" WHERE x ~ '\\m$way->{number}\\M'");
}

# check_there(WAYS): tests; what had its copies is there, and nothing that came after it.
sub check_there
{
	foreach my $way (@_)
	{
		is(there($way), own($way, $way->{there}), "$way->{name}: what was committed and not answered is there, and nothing more");
	}
	return;
}

# ---- the copies come when the lease has ended ----

my ($chunks, $withheld, @late, @read, @unread, @cut, $pids);

$cluster->start_all;
begin();
$observer->do($_) foreach 'CREATE TABLE told (word text)',
	q{CREATE PROCEDURE tell(n text) LANGUAGE plpgsql AS $$BEGIN FOR i IN 1 .. 3 LOOP INSERT INTO told VALUES (n || CASE WHEN i > 1 THEN ' more' ELSE '' END); COMMIT; END LOOP; END$$},
	q{CREATE FUNCTION told(n text) RETURNS text LANGUAGE sql AS $$INSERT INTO told VALUES (n) RETURNING word$$};
$chunks = socket_holds();
@read = paddings(200, 0);
@unread = paddings(300, $chunks);
@late = (@ways, $notify{late});
sessions(@late, @read, @unread);
commit(@late, @read, @unread);
kill 'CONT', $cluster->receivers($primary);
$cluster->wait_until('all have their copies', sub { waiting() == 0 });

ok(PgLeaderProtocol::answers(20, map { $_->{session} } @late, @read), 'the sessions end');
$pids = join ',', map { $_->{session}->pid } @late, @read;
$cluster->wait_until('and their processes', sub { $observer->value("SELECT count(*) FROM pg_stat_activity WHERE pid IN ($pids)") == 0 }, 20);
foreach my $way (@late)
{
	my $session = $way->{session};

	is($session->said('CDEGVZ') . $session->rest, join(' ', grep { $_ ne '' } own($way, $way->{said}), 'E(FATAL 08007) EOF'), "$way->{name}: the answer is withheld");
}
is(join("\n", grep { $_ ne 'E(FATAL 08007) EOF' } map { $_->{session}->said('CEZ') . $_->{session}->rest } @read), '', 'not a byte of it comes, whatever is in the buffer before');

$pids = join ',', map { $_->{session}->pid } @unread;
$cluster->wait_until('those whose clients do not read have ended, or can send no more', sub {
	$observer->value("SELECT count(*) FROM pg_stat_activity WHERE pid IN ($pids) AND wait_event IS DISTINCT FROM 'ClientWrite'") == 0 });
ok(PgLeaderProtocol::answers(20, map { $_->{session} } @unread), 'read at last, they end');

# The error need not come whole, nor the padding.
is(join("\n", grep { !/^(C\(SELECT \d+\) )?(E\(FATAL 08007\) )?EOF[DE]?$/ } map { $_->{session}->said('CEZ') . substr $_->{session}->rest, 0, 1 } @unread), '', 'not a byte of it comes to those either');
$withheld = $observer->value('SELECT withheld FROM pg_leader_fence');
is($withheld, @late + @read + @unread, 'each is counted');
is($observer->value('SELECT commits_refused FROM pg_leader_fence'), 0, 'and none has come to a further commit');
resume();
check_there(@late);
is($observer->value(q(SELECT string_agg(DISTINCT word || ' ' || n, ',') FROM (SELECT word, count(*) n FROM told WHERE word IN ('200', '300') GROUP BY 1) x)),
	'200 ' . @read . ',300 ' . @unread, 'so is what had paddings');

# ---- the copies do not come ----

@cut = (@ways, $notify{cut});
$_->{number} += 300 foreach @cut;
sessions(@cut);
commit(@cut);
ok(PgLeaderProtocol::answers(20, map { $_->{session} } @cut), 'the sessions are cut off');
foreach my $way (@cut)
{
	my $said = $way->{session}->said('CDEGVZ') =~ s/ ?EOF$//r;

	is(substr(own($way, $way->{said}), 0, length $said) . $way->{session}->rest, $said, "$way->{name}: no answer came");
}
is(waiting(), scalar @cut, 'the processes wait on');
is(join(', ', map { there($_) ne '' ? $_->{name} . ': ' . there($_) : () } grep { $_->{name} !~ /PREPARE/ } @cut), '', 'and nobody sees what they wrote');
kill 'CONT', $cluster->receivers($primary);
$cluster->wait_until('all have their copies', sub { waiting() == 0 });
resume();
check_there(@cut);

$cluster->stop_all;
$cluster->check_timelines;
done_testing();
