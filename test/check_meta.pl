#!/usr/bin/perl
# test/check_meta.pl
#	  Is META.json what PGXN's specification 1.0.0 wants, and does it agree with
#	  the control file?
#
# usage: test/check_meta.pl [DIRECTORY]		prints what is wrong; 1 if anything is
#
# For test/run.sh lint.  Debian has no validator for it; these are the rules for
# the keys that META.json uses, and a key that is not known here is an error.

use strict;
use warnings;

use JSON::PP ();

my $directory = $ARGV[0] // '.';
my @wrong;

# ---- what the specification calls a term, a version, and so on ----

my $semver = qr/^(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*)){2}(?:-[0-9A-Za-z][0-9A-Za-z.-]*)?$/;
my $term = qr{^[^\s/\\[:cntrl:]]{2,}$};

sub wrong
{
	my ($where, $what) = @_;
	push @wrong, "META.json: $where $what";
	return;
}

sub is_string
{
	my ($where, $value) = @_;
	wrong($where, 'is no text') if !defined $value || ref $value || $value eq '';
	return;
}

sub is_like
{
	my ($pattern, $what) = @_;
	return sub {
		my ($where, $value) = @_;
		wrong($where, "is no $what") if !defined $value || ref $value || $value !~ $pattern;
		return;
	};
}

sub is_uri
{
	my ($where, $value) = @_;
	is_like(qr{^https?://[^\s/]+\S*$}, 'address')->($where, $value);
	return;
}

sub is_file
{
	my ($where, $value) = @_;
	is_string($where, $value);
	wrong($where, "names $value, which does not exist")
	  if defined $value && !ref $value && !-f "$directory/$value";
	return;
}

# A list, or one element without the list around it.
sub is_list_of
{
	my ($check) = @_;
	return sub {
		my ($where, $value) = @_;
		my @elements = ref $value eq 'ARRAY' ? @$value : ($value);
		wrong($where, 'is empty') unless @elements;
		$check->($where, $_) foreach @elements;
		return;
	};
}

# An object with any keys like that, and at least one.
sub is_map_of
{
	my ($key, $check) = @_;
	return sub {
		my ($where, $value) = @_;
		return wrong($where, 'is no object') if ref $value ne 'HASH';
		wrong($where, 'is empty') unless %$value;
		foreach my $name (sort keys %$value)
		{
			wrong($where, "must not have a key \"$name\"") if $name !~ $key;
			$check->("$where.$name", $value->{$name});
		}
		return;
	};
}

# An object with these keys; those with a "!" must be there.
sub is_object
{
	my (%keys) = @_;
	return sub {
		my ($where, $value) = @_;
		return wrong($where, 'is no object') if ref $value ne 'HASH';
		foreach my $key (map { s/!$//r } grep { /!$/ } sort keys %keys)
		{
			wrong($where, "has no \"$key\"") unless exists $value->{$key};
		}
		foreach my $key (sort keys %$value)
		{
			my $check = $keys{$key} // $keys{"$key!"};
			next if $key =~ /^x_/i;
			if ($check) { $check->("$where.$key", $value->{$key}); }
			else { wrong($where, "has a key \"$key\", which the specification does not know"); }
		}
		return;
	};
}

my $license = is_map_of(qr/\S/, \&is_uri);
my $requirement = is_map_of($term, is_like(qr/^(?:0|(?:[<>=!]=?\s*)?\d+\.\d+\.\d+.*)$/, 'range of versions'));
my $relations = is_object(map { $_ => $requirement } qw(requires recommends suggests conflicts));
my $meta = is_object(
	'name!' => is_like($term, 'name'),
	'version!' => is_like($semver, 'semantic version'),
	'abstract!' => \&is_string,
	'maintainer!' => is_list_of(\&is_string),
	'license!' => sub {
		my ($where, $value) = @_;
		ref $value eq 'HASH' ? $license->($where, $value)
		  : is_list_of(is_like(qr/^[a-z_0-9]+$/, 'known licence'))->($where, $value);
		return;
	},
	'provides!' => is_map_of($term, is_object(
		'file!' => \&is_file,
		'version!' => is_like($semver, 'semantic version'),
		'abstract' => \&is_string,
		'docfile' => \&is_file)),
	'meta-spec!' => is_object(
		'version!' => is_like(qr/^1\.0\.\d+$/, 'version 1.0 of the specification'),
		'url' => \&is_uri),
	'description' => \&is_string,
	'generated_by' => \&is_string,
	'tags' => is_list_of(is_like(qr{^[^/\\[:cntrl:]]{2,255}$}, 'tag')),
	'release_status' => is_like(qr/^(?:stable|testing|unstable)$/, 'status'),
	'prereqs' => is_object(map { $_ => $relations } qw(configure build test runtime develop)),
	'no_index' => is_object(map { $_ => is_list_of(\&is_string) } qw(file directory)),
	'resources' => is_object(
		homepage => \&is_uri,
		bugtracker => is_object(web => \&is_uri, mailto => is_like(qr/@/, 'mail address')),
		repository => is_object(web => \&is_uri, url => \&is_string, type => is_like(qr/^[a-z]+$/, 'type'))));

# ---- the file, and what it must agree with ----

sub slurp
{
	my ($name) = @_;
	open(my $file, '<', "$directory/$name") or die "$0: $directory/$name: $!\n";
	local $/;
	return scalar <$file>;
}

my $data = eval { JSON::PP->new->utf8->decode(slurp('META.json')) }
  or die "META.json is no JSON: $@";
$meta->('it', $data);

my ($default) = slurp('pg_leader.control') =~ /^default_version\s*=\s*'([^']*)'/m
  or die "$0: pg_leader.control has no default_version\n";
my $provided = ref $data eq 'HASH' && ref $data->{provides} eq 'HASH' ? $data->{provides}{pg_leader} : undef;
if (ref $provided eq 'HASH')
{
	foreach my $version ($data->{version} // '', $provided->{version} // '')
	{
		wrong('a version', "$version is not the control file's, $default")
		  if "$version." !~ /^\Q$default\E\./;
	}
	wrong('provides.pg_leader.file', "is not that of version $default")
	  if ($provided->{file} // '') ne "pg_leader--$default.sql";
}
else { wrong('provides', 'does not have pg_leader'); }

print "$_\n" foreach @wrong;
exit(@wrong ? 1 : 0);
