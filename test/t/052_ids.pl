# test/t/052_ids.pl
#	  Exactly the claimed timeline, whatever lies between, and what is left of promotions
#	  that came to nothing (scenarios 62 and 84).

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PgLeaderManaged;
use PostgreSQL::Test::Utils;
use Test::More;

my $cluster = PgLeaderManaged->new('ids', 3, settings => { min_timeout => '300ms', max_timeout => '600ms' },
	conf => PgLeaderManaged::QUIET);
my ($primary, $one, $other);
my $told = 0;

sub learn_roles { ($primary, $one, $other) = $cluster->wait_for_roles; return; }

sub timeline { return $cluster->role($primary)->{timeline}; }

# commit_one(): a commit.
sub commit_one { $told++; is($cluster->sql($primary, "INSERT INTO told VALUES ($told)"), '', "commit $told"); return; }

sub all_is_there
{
	is($cluster->sql($primary, 'SELECT count(*) FROM told'), $told, 'all commits are there');
	return;
}

# makes_its_claim(ID, OFFSET): tests; in its log since then, the one timeline that it has made is what it had claimed.
sub makes_its_claim
{
	my ($id, $offset) = @_;
	my ($claim) = $cluster->log_of($id, $offset) =~ /order PROMOTE: .*\n.*timeline (\d+);/;

	is_deeply([ $cluster->made($id, $offset) ], [$claim], "node $id has made exactly the timeline that it had claimed");
	return $claim;
}

# burnt_between(ID, FIRST, LAST): a test; all of these are burnt there.
sub burnt_between
{
	my ($id, $first, $last) = @_;
	my $histories = $cluster->histories($id);

	is(join(' ', map { !defined $histories->{$_} ? "$_ missing" : $histories->{$_} eq '' ? $_ : "$_ real" } $first .. $last),
		join(' ', $first .. $last), "node $id: timelines $first to $last are burnt");
	return;
}

$cluster->start_all;
learn_roles();
is($cluster->sql($primary, 'CREATE TABLE told (n int)'), '', 'a table');
commit_one();

subtest 'several claims and no promotion: those between are burnt, and all follow' => sub {
	my ($before, $leader, $claim, %offset);
	my $old = $primary;

	$cluster->wait_for_replay($primary);
	$before = timeline();

	# what is not replayed is not promoted, but claims are made
	my @startups = map { $cluster->startup($_) } $one, $other;
	kill 'STOP', @startups;
	commit_one();
	$cluster->wait_until('both have it', sub { ($cluster->sql($primary, 'SELECT bool_and(flush_lsn = pg_current_wal_insert_lsn()) FROM pg_stat_replication') // '') eq 't' });
	$cluster->signal($primary, 'QUIT');
	$cluster->wait_until('the primary is gone', sub { !$cluster->is_running($primary) });
	foreach my $round (1 .. 4)
	{
		$cluster->wait_until("leader $round has claimed", sub {
			($leader) = $cluster->leads($one, $other);
			defined $leader && ($cluster->role($leader)->{reason} // '') eq 'not_replayed';
		});
		%offset = map { $_ => $cluster->log_size($_) } $one, $other;
		last if $round == 4;
		my ($next) = grep { $_ != $leader } $one, $other;
		$cluster->transfer($leader, $next);
	}
	kill 'CONT', @startups;
	learn_roles();
	$claim = makes_its_claim($primary, $offset{$primary});
	cmp_ok($claim, '>=', $before + 4, 'there are ids between');
	burnt_between($_, $before + 1, $claim - 1) foreach $cluster->running;
	commit_one();
	$cluster->start($old);
	learn_roles();
	burnt_between($old, $before + 1, $claim - 1);
	my ($standby) = grep { $_ != $old } $one, $other;
	$cluster->stop($standby);
	$cluster->start($standby);
	learn_roles();
	all_is_there();
};

subtest 'a burnt file that a dead promoter has left' => sub {
	my $newest = timeline();
	my ($offset, $high, %offset);

	$cluster->stop($one);
	$offset = $cluster->log_size($one);
	$cluster->put_history($one, $_) foreach $newest + 1, $newest + 2;
	$cluster->start($one);
	$cluster->wait_for_log($one, qr/removed the history file of timeline @{[ $newest + 2 ]}, which is the newest and was never used/, $offset);
	learn_roles();
	is(timeline(), $newest, 'the primary is the same');

	# one that runs has it
	$high = $newest + 3;
	$cluster->wait_for_replay($primary);
	$cluster->put_history($one, $high);
	$cluster->wait_until('its member knows it', sub { $cluster->state($one)->{'highest claimed timeline'} >= $high });
	%offset = map { $_ => $cluster->log_size($_) } $cluster->ids;
	my $old = $primary;
	$cluster->signal($old, 'STOP'); # else it may be back so soon that the third is elected by its vote, which knows nothing of this
	$cluster->kill_server($old);
	$cluster->wait_until('another timeline', sub { my ($id) = grep { $_ != $old } $cluster->open_primary // $old; defined $id && $cluster->role($id)->{timeline} > $newest });
	$cluster->signal($old, 'CONT');
	learn_roles();
	cmp_ok(makes_its_claim($primary, $offset{$primary}), '>', $high, 'which is above that');
	commit_one();
	all_is_there();
};

subtest 'no record to replay: exactly the claim, and what lies between is burnt' => sub {
	my $newest = timeline();
	my ($high, $offset, $claim);
	my $old = $primary;

	$cluster->stop($_) foreach $one, $other, $primary;
	$cluster->start($one);
	$cluster->wait_until('a standby runs', sub { ($cluster->role($one)->{server} // '') eq 'standby' });
	$high = $newest + 3;
	$cluster->put_history($one, $high);
	$cluster->wait_until('its member knows a higher timeline', sub { $cluster->state($one)->{'highest claimed timeline'} >= $high });
	$offset = $cluster->log_size($old);
	$cluster->start($old);
	learn_roles();
	is($primary, $old, 'the last one to be stopped leads: it has most');
	$claim = makes_its_claim($primary, $offset);
	unlike($cluster->log_of($primary, $offset), qr/redo starts/, 'redo has not begun');
	cmp_ok($claim, '>', $high, 'the claim is above that');
	burnt_between($primary, $newest + 1, $claim - 1);
	$cluster->start($other);
	learn_roles();
	burnt_between($other, $newest + 1, $claim - 1);
	commit_one();
	all_is_there();
};

# ---- what a promotion has left that came to nothing ----

# left_over(ID, AT): a history file of a promotion of that server at AT, which came to nothing.
sub left_over
{
	my ($id, $at) = @_;
	my $newest = timeline();

	$cluster->put_history($id, $newest + 1, $cluster->histories($id)->{$newest} . "$newest\t$at\tno recovery target specified\n");
	return;
}

# A leader's history can come before its WAL is compared, and before that was found to have diverged.
foreach my $reached ('the last checkpoint', 'the point that recovery has to reach')
{
	subtest "a history file from before $reached (S9): cleaned before the start, and it follows" => sub {
		my $newest = timeline();
		my $at = $cluster->role($one)->{wal_end};
		my $offset;

		commit_one();
		$cluster->sql($primary, 'CHECKPOINT') if $reached eq 'the last checkpoint';
		$cluster->wait_for_replay($primary);
		$cluster->sql($one, 'CHECKPOINT');
		$cluster->stop($one);
		$offset = $cluster->log_size($one);
		left_over($one, $at);
		$cluster->start($one);
		$cluster->wait_for_log($one, qr/removed the history file of timeline @{[ $newest + 1 ]}, which begins before the point that this server has reached/, $offset);
		learn_roles();
		is($cluster->histories($one)->{ $newest + 1 }, undef, 'it is gone');
	};
}

subtest 'killed in its promotion, behind its history file' => sub {
	my $newest = timeline();
	my $old = $primary;
	my ($id, $file, $end);

	$cluster->set_now($other, candidate => 'off');
	$cluster->wait_for_replay($primary);
	$id = $one;
	$end = PgLeaderCluster::clock_now() + 20e6;
	$cluster->signal($primary, 'STOP'); # else it may be back, and elected, before anybody else is
	$cluster->kill_server($primary);
	while (!defined $file && PgLeaderCluster::clock_now() < $end)
	{
		($file) = grep { hex(m{([0-9A-F]{8})\.history$} ? $1 : 0) > $newest } glob $cluster->server($id)->data_dir . '/pg_wal/*.history';
		Time::HiRes::usleep(200);
	}
	$cluster->kill_server($id);
	$cluster->signal($old, 'CONT');
	ok(defined $file, 'there is a history file');
	$cluster->set_now($other, candidate => 'on');
	$primary = $cluster->wait_for_primary('one is the open primary');
	learn_roles();
	commit_one();
	all_is_there();
};

$cluster->check_timelines;
$cluster->check_history;
$cluster->stop_all;
done_testing();
