# test/t/023_documented.pl
#	  What users can see of pg_leader is in doc/reference.md, and says the same
#	  there: settings with their defaults, ranges and what makes a change take
#	  effect, functions with their results and rights, each column of each view,
#	  measures, and the names in the scripts' configurations.  The server is asked
#	  what there is.  Each SQL object also has a COMMENT.  Orders and reasons of
#	  managed servers are in doc/managed.md, in the words of primary/, and so are those of the fence.
#	  What doc/night.md has people look for is said by the programs.  The complaints of
#	  doc/comparison.md are in the tests that it names.
#	  The options and signals of pg_leader_supervisor are the same in its --help and its manual page.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgLeaderCluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = "$FindBin::RealBin/../..";
my $reference = PostgreSQL::Test::Utils::slurp_file("$top/doc/reference.md");
my $managed = PostgreSQL::Test::Utils::slurp_file("$top/doc/managed.md");
my $sample = PostgreSQL::Test::Utils::slurp_file("$top/config/postgresql.conf.sample");
my $cluster = PgLeaderCluster->new('documented', 1);

# section(HEADING, TEXT): what stands under it, up to the next heading of any level; of
# doc/reference.md by default.
sub section
{
	my ($heading, $text) = @_;

	return ($text // $reference) =~ /^#+ \Q$heading\E\n(.*?)(?=^#|\z)/ms ? $1 : '';
}

# rows(HEADING, TEXT): of the tables there, as rows_of().
sub rows { return rows_of(section(@_)); }

# rows_of(TEXT): of its tables { what is in backticks in the first cell => the other cells }.
sub rows_of
{
	my %found;

	foreach my $line (split /\n/, shift)
	{
		my (undef, $name, @cells) = map { s/^ +| +$//gr } split /(?<!\\)\|/, $line;

		next unless defined $name && $name =~ /^`([^`]+)`(.*)/;
		die "$1 is there twice" if $found{$1};
		$found{$1} = [ $2, @cells ];
	}
	return \%found;
}

# ask(QUERY): its rows, each as a reference to an array.
sub ask
{
	return map { [ split /\x1f/, $_, -1 ] } split /\n/,
	  $cluster->server(0)->safe_psql('postgres', shift, extra_params => [ '-F', "\x1f" ]);
}

sub names_agree
{
	my ($what, $there_are, $documented) = @_;

	return is_deeply([ sort @$documented ], [ sort @$there_are ], "$what: all are documented, and no others");
}

# A time of the document, in milliseconds, as the server counts all of ours; -1 has no unit.
sub milliseconds
{
	return -1 if $_[0] eq '-1';
	my ($number, $unit) = shift =~ /^([0-9.]+)(ms|s|min)$/ or return;

	return $number * { ms => 1, s => 1000, min => 60000 }->{$unit};
}

$cluster->start_all;
$cluster->wait_for_leader('a cluster of one');

# ---- objects ----

# The members of the extension.  Row types of views come and go with these.
my @objects = ask(<<'SQL');
SELECT d.classid::regclass, pg_describe_object(d.classid, d.objid, 0), obj_description(d.objid, d.classid::regclass::name)
FROM pg_depend d JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
WHERE e.extname = 'pg_leader' AND d.deptype = 'e' AND d.classid <> 'pg_type'::regclass
SQL
cmp_ok(scalar @objects, '>=', 28, 'the extension has its objects');
is_deeply([ map { $_->[1] } grep { $_->[0] !~ /^pg_(?:class|proc)$/ } @objects ], [],
	'of no kind that this test does not know');
is_deeply([ map { $_->[1] } grep { $_->[2] eq '' } @objects ], [], 'each has a COMMENT');
is_deeply([ ask(<<'SQL') ], [], 'and is of no type of its own');
SELECT t.typname FROM pg_depend d JOIN pg_type t ON d.classid = 'pg_type'::regclass AND d.objid = t.oid
     JOIN pg_extension e ON d.refobjid = e.oid AND e.extname = 'pg_leader'
WHERE d.deptype = 'e' AND t.typtype <> 'c' AND t.typcategory <> 'A'
SQL

# ---- functions ----

# [name, result, its arguments' names, may everyone call it]
my @functions = ask(<<'SQL');
SELECT p.proname, t.typname, array_to_string(p.proargnames, ' '), has_function_privilege('public', p.oid, 'EXECUTE')
FROM pg_depend d JOIN pg_extension e ON d.refobjid = e.oid AND e.extname = 'pg_leader'
     JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
     JOIN pg_type t ON p.prorettype = t.oid
WHERE d.deptype = 'e'
SQL
my $documented = rows('Functions');
my %function = map { /^(\w+)\((.*)\)$/ ? ($1 => [ $2, @{ $documented->{$_} } ]) : () } keys %$documented;
my @of_views = section('Functions') =~ /`(pg_leader_get_\w+)\(\)`/g;

names_agree('functions', [ map { $_->[0] } @functions ], [ keys %function, @of_views ]);
foreach (grep { $function{ $_->[0] } } @functions)
{
	my ($name, $type, $arguments, $everyone) = @$_;
	my ($signature, $mark, $returns) = @{ $function{$name} };

	is($returns, "`$type`", "$name(): what it returns");
	like($signature, qr/\b$_ \w/, "$name(): its argument $_") foreach split / /, $arguments;
	is($mark =~ /\*/ ? 'f' : 't', $everyone, "$name(): who may call it");
}

# ---- views ----

my %views;

push @{ $views{ $_->[0] } }, [ @$_[ 1, 2 ] ] foreach ask(<<'SQL');
SELECT c.relname, a.attname, t.typname
FROM pg_depend d JOIN pg_extension e ON d.refobjid = e.oid AND e.extname = 'pg_leader'
     JOIN pg_class c ON d.classid = 'pg_class'::regclass AND d.objid = c.oid
     JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 JOIN pg_type t ON a.atttypid = t.oid
WHERE d.deptype = 'e'
SQL
names_agree('views', [ keys %views ], [ $reference =~ /^### `(\w+)`$/mg ]);
foreach my $view (sort keys %views)
{
	my $columns = rows("`$view`");

	# a second table there is one of values
	delete @$columns{ grep { $columns->{$_}[1] !~ /^`/ } keys %$columns };
	names_agree("columns of $view", [ map { $_->[0] } @{ $views{$view} } ], [ keys %$columns ]);
	is_deeply({ map { $_ => $columns->{$_}[1] } keys %$columns },
		{ map { $_->[0] => "`$_->[1]`" } @{ $views{$view} } }, "columns of $view: their types");
	is($cluster->sql(0, "SELECT has_table_privilege('public', '$view', 'SELECT')"), 't', "$view: everyone may read it");
}
my $times = rows('`pg_leader_stat_times`');

# of peers, of whom there are none here, and of this member
names_agree('measures', [ 'round_trip', 'heartbeat_gap', map { $_->[0] } ask('SELECT measure FROM pg_leader_stat_times') ],
	[ grep { $times->{$_}[1] !~ /^`/ } keys %$times ]);

# ---- settings ----

my $settings = rows('Settings');
my @settings = ask(<<'SQL');
SELECT name, boot_val, coalesce(unit, ''), vartype, min_val, max_val, context
FROM pg_settings WHERE name LIKE 'pg\_leader.%'
SQL

cmp_ok(scalar @settings, '>=', 14, 'there are settings');
names_agree('settings', [ map { $_->[0] } @settings ], [ keys %$settings ]);
is_deeply([ sort(source('server/refused.c') =~ /\{\.name = "([^"]+)"/g) ], [ sort map { $_->[0] } @settings ],
	'settings: server/refused.c knows all, else a member with one that is set takes no part');
foreach (grep { $settings->{ $_->[0] } } @settings)
{
	my ($name, $value, $unit, $type, $min, $max, $context) = @$_;
	my (undef, $default, $range, $change) = @{ $settings->{$name} };

	is($change, { postmaster => 'restart', sighup => 'reload' }->{$context}, "$name: what makes a change take effect");
	$default = $default eq 'empty' ? '' : $default =~ s/`//gr;
	$default = milliseconds($default) if $unit eq 'ms';
	is($default, $value, "$name: its default");
	if ($type =~ /^(?:integer|real)$/)
	{
		my @range = split / to /, $range;

		@range = map { milliseconds($_) } @range if $unit eq 'ms';
		is_deeply(\@range, [ $min, $max ], "$name: its range");
	}
	like($sample, qr/^#?\Q$name\E = .*\(\Q$change\E\)/m, "$name: is in config/postgresql.conf.sample");
}

# ---- managed servers: orders, reasons, the fence, and settings that are refused ----

# source(FILE): of primary/ or server/.
sub source { return PostgreSQL::Test::Utils::slurp_file("$top/" . shift); }

my $describe = source('primary/describe.c');
my %action_of = source('primary/decide.c') =~ /^\t\{PRIMARY_(\w+), \w+, PRIMARY_(\w+)\},$/mg;
my %words_of = map { /\[PRIMARY_(\w+)\] = \{"(\w+)", "([^"]*)"\}/ ? ($1 => [ $2, $3 ]) : () } split /\n/, $describe;
my @actions = $describe =~ /\[PRIMARY_\w+\] = "([A-Z_]+)"/g;
my ($text_of_reasons) = $managed =~ /^## Why: reasons\n(.*)/ms;
my $reasons = rows_of($text_of_reasons // '');
my $enum = source('primary/primary.h') =~ /typedef enum PrimaryReason\n\{(.*?)PRIMARY_REASONS\n/s ? $1 : '';
my %is_refused = map { $_ => 1 } source('server/role_facts.c') =~ /\breturn PRIMARY_SETTING_(\w+);/g;
my %refusals = $describe =~ /\[PRIMARY_SETTING_(\w+)\] = "([^"]*)"/g;

cmp_ok(scalar keys %action_of, '>=', 60, 'the table of decide.c is found');
names_agree('the rows of decide.c, and the words', [ $enum =~ /\bPRIMARY_(\w+)/g ], [ keys %words_of ]);
names_agree('orders', \@actions, [ keys %{ rows('What a server is doing: orders', $managed) } ]);
names_agree('reasons', [ map { $_->[0] } values %words_of ], [ keys %$reasons ]);
foreach my $row (sort keys %action_of)
{
	my ($name, $words) = @{ $words_of{$row} // [ $row, '' ] };
	my (undef, $order, $said, $to_do) = @{ $reasons->{$name} // [] };

	is($order, "`$action_of{$row}`", "reason $name: its order");
	is($said, $words, "reason $name: its words");
	ok(($to_do // '') ne '', "reason $name: what to do");
}
my $closed = rows('When the fence is closed', $managed);
my @closed = source('primary/fence.c') =~ /\[FENCE_\w+\] = "(\w+)"/g;

cmp_ok(scalar @closed, '>=', 9, 'reasons of a closed fence are found');
names_agree('reasons of a closed fence', \@closed, [ keys %$closed ]);
is_deeply([ grep { rows('`pg_leader_fence`')->{reason}[2] !~ /`$_`/ } @closed ], [], 'the column names all of them');
delete @refusals{ grep { !$is_refused{$_} } keys %refusals };
names_agree('settings that are refused', [ values %refusals ],
	[ map { $_->[1] } values %{ rows('Settings that it refuses', $managed) } ]);

# ---- at three in the morning: what one sees there is what the programs say ----

# Of both, what stands between values: a format's are as good as "..." and numbers.
my $night = source('doc/night.md');
my $words = join "\n", map { source($_) =~ s/"\n\s*"//gr =~ s/\\"/"/gr } map { s{^\Q$top\E/}{}r } map { glob "$top/$_/*.c" } qw(tools primary server);
my $alerts = source('config/prometheus/alerts.yaml');
my @rows = grep { !/^\| you see / } $night =~ /^(\| .*)$/mg;
my @seen = map { (split /(?<!\\)\|/)[1] =~ /`([^`]+)`/g } @rows;

cmp_ok(scalar @seen, '>=', 25, 'night.md has messages');
cmp_ok(scalar @rows, '<=', 25, 'and is no longer than a night');
foreach my $message (@seen)
{
	my @missing = $message =~ /^PgLeader/ ? grep { $alerts !~ /alert: $_$/m } $message :
	  grep { index($words, $_) < 0 } grep { /\w{2}/ } map { s/^[\s()":]+|[\s()":]+$//gr } split /\.\.\./, $message;

	is("@missing", '', "night.md: $message");
}
my $tables = join '', $night, map { source("doc/$_.md") } qw(operations keep);
is_deeply([ grep { $tables !~ /\b$_\b/ } $alerts =~ /alert: (\w+)/g ], [], 'each alert is in a table');

# ---- what users of other tools complain about: each is in the test that the list names, and in no other ----

my $list = section('What users of other tools complain about', source('doc/comparison.md'));
my %shown = $list =~ /^\| (\d+) \|.*\| `([^`]+)` \|$/mg;
my %staged;

foreach my $file (map { s{^\Q$top\E/}{}r } map { glob "$top/test/$_/*.pl" } qw(t stand))
{
	push @{ $staged{$_} }, $file foreach source($file) =~ /\bcomplaint (\d+): /g;
}
is_deeply([ sort { $a <=> $b } keys %shown ], [ 1 .. 25 ], 'complaints: all 25 are in the list');
is_deeply(\%staged, { map { $_ => [ $shown{$_} ] } keys %shown }, 'complaints: each is in the test that is named');
is_deeply([ grep { !-e "$top/$_" } $list =~ /`(test[^`]+)`/g ], [], 'complaints: there are these tests');

my %of_archives = section('What users of archives complain about', source('doc/keep.md')) =~ /^\| (\d+) \|.*\| (`[^|]+`) \|$/mg;

cmp_ok(scalar keys %of_archives, '>=', 11, 'complaints about archives: a list');
foreach my $number (sort { $a <=> $b } keys %of_archives)
{
	is_deeply([ grep { source($_) !~ /\barchives $number: / } $of_archives{$number} =~ /`(test[^`]+)`/g ], [], "complaint $number about archives is in the tests that are named");
}

# ---- the supervisor: --help, the manual page, and the reference ----

sub options_in { my %all = map { $_ => 1 } shift =~ /(?<![\w-])(--?\w[\w-]*|-\?)/g; return [ sort keys %all ]; }
sub signals_in { my %all = map { $_ => 1 } shift =~ /\b(SIG\w+)/g; return [ sort keys %all ]; }

my $program = 'pg_leader_supervisor';
my ($help) = run_command([ $program, '--help' ]);
my ($version) = run_command([ $program, '--version' ]);
my ($help_options, $help_signals) = $help =~ /^Options:\n(.*?)\n\n.*^Signals:\n(.*?)\n\n/ms;
my $page = source("supervisor/$program.1") =~ s/\\-/-/gr;
my %part = $page =~ /^\.SH ([A-Z ]+)\n(.*?)(?=^\.SH |\z)/msg;
my $described = section($program);
chomp(my $mandir = `pg_config --mandir`);

cmp_ok(scalar @{ options_in($help_options // '') }, '>=', 7, 'the options of --help are found');
is_deeply(options_in($part{OPTIONS} // ''), options_in($help_options), "$program: the manual page has the options of --help");
is_deeply(options_in(join "\n", $described =~ /^\| (`-.*?) \|/mg), options_in($help_options), "$program: so has the reference");
is_deeply(signals_in(($part{SIGNALS} // '') =~ s/^\.PP.*//msr), signals_in($help_signals), "$program: the manual page has the signals of --help");
like($page, qr/^\.TH \S+ 1 "" "pg_leader @{[ $version =~ m{ (\S+)$} ]}"/m, "$program: the manual page has its version");
ok(-f "$mandir/man1/$program.1", "$program: the manual page is installed");

# ---- the scripts' configurations ----

my $names = rows('Settings of the scripts');

foreach my $file ('pg_leader.config', 'loopback.config')
{
	my @set = PostgreSQL::Test::Utils::slurp_file("$top/config/$file") =~ /^(\w+)=/mg;

	cmp_ok(scalar @set, '>=', 10, "$file has settings");
	is_deeply([ grep { !$names->{$_} } @set ], [], "$file: all are documented");
	names_agree($file, \@set, [ keys %$names ]) if $file eq 'pg_leader.config';
}

$cluster->check_history;
$cluster->stop_all;
done_testing();
