#!/usr/bin/perl
# test/check_links.pl
#	  No link of a document leads nowhere: files and headings that are named are
#	  there, and doc/README.md names every page of doc/.
#
# usage: test/check_links.pl		prints what is broken; 1 if anything is
#
# For test/run.sh lint.  Looks at all .md files of the tree that it is in.  Links to
# other machines are not followed.

use strict;
use warnings;

use Cwd qw(realpath);
use File::Basename qw(dirname);
use File::Find qw(find);

my $top = realpath(dirname(__FILE__) . '/..');
my (%text, %anchors);
my $broken = 0;

sub complain { print "@_\n"; $broken++; return; }

# The document without code between backticks.  Indented lines stay: they may be
# those of a list.
sub without_code
{
	my $text = shift;

	$text =~ s/^ *```.*?^ *```$//msg;
	$text =~ s/``.*?``|`[^`\n]*`//sg;
	return $text;
}

# As GitHub makes them of headings: lower case, no punctuation, hyphens for spaces,
# and a number behind those that were there before.
sub anchors_of
{
	my ($text) = @_;
	my %seen;

	$text =~ s/^ *```.*?^ *```$//msg;
	foreach my $heading ($text =~ /^#+ +(.*?) *$/mg)
	{
		my $anchor = lc($heading =~ s/\[([^\]]*)\]\([^)]*\)/$1/gr);

		$anchor =~ s/[^a-z0-9_ -]//g;
		$anchor =~ s/ /-/g;
		$anchor .= "-$seen{$anchor}" if $seen{$anchor}++;
		$seen{$anchor} //= 1;
	}
	return \%seen;
}

find({
	no_chdir => 1,
	wanted => sub {
		if (-d && m{/(?:\.git|tmp_check|results|build)$}) { $File::Find::prune = 1; return; }
		return unless /\.md$/ && -f;
		open(my $file, '<', $_) or die "$_: $!\n";
		local $/ = undef;
		$text{ realpath($_) } = <$file>;
	}
}, $top);
$anchors{$_} = anchors_of($text{$_}) foreach keys %text;

my $links = 0;
my %indexed;
foreach my $path (sort keys %text)
{
	my $name = substr($path, length($top) + 1);

	foreach my $link (without_code($text{$path}) =~ /\]\(<?([^)>\s]+)>?\)/g)
	{
		my ($to, $anchor) = split /#/, $link, 2;
		my $target = $path;

		next if $link =~ /^[a-z]+:/;
		$links++;
		if ($to ne '')
		{
			$target = realpath(dirname($path) . "/$to");
			if ($to =~ m{^/} || !defined $target || !-e $target)
			{
				complain("$name: there is no $to");
				next;
			}
			complain("$name: $to is outside the tree") if index("$target/", "$top/") != 0;
			$indexed{$target} = 1 if $name eq 'doc/README.md';
		}
		next unless defined $anchor;
		if (!$anchors{$target}) { complain("$name: $link names a heading, and is no document"); }
		elsif (!$anchors{$target}{$anchor}) { complain("$name: $link: there is no such heading"); }
	}
}
foreach my $page (grep { m{^\Q$top\E/doc/[^/]+$} && !m{/README\.md$} } sort keys %text)
{
	complain('doc/README.md does not name ' . substr($page, length("$top/doc/"))) unless $indexed{$page};
}
complain('there are hardly any links here') if $links < 50;
exit($broken ? 1 : 0);
