#!/bin/bash
#
# test/package.sh
#	  Build the Debian packages, and try them out on a clean Debian.
#
# For people, after a change of debian/, of the Makefile's install or of what the
# scripts find relative to themselves.  Two roots, see debian_root.sh: one builds,
# the other one has never seen a compiler.

# shellcheck source=script/lib.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../script/lib.sh"
# shellcheck source=test/debian_root.sh
. "$PGLD_ROOT/test/debian_root.sh"

usage()
{
	cat <<TEXT
NAME
    package.sh - test pg_leader's Debian packages

SYNOPSIS
    package.sh [--keep] [--output DIRECTORY] [SUITE]

DESCRIPTION
    In a clean Debian in a directory (bookworm if no suite is named) it builds
    the packages with dpkg-buildpackage, looks at them with lintian and runs
    the SQL tests against them.  In a second one, without a compiler, it
    installs them, runs the quick start, a cluster of servers that Debian's own
    tools manage, and one in managed mode, as doc/debian.md says, and purges
    them again.  All that
    is removed afterwards, also when interrupted.

    Needs root, debootstrap, and about $((2 * ROOT_SIZE / 1000)) GB in TMPDIR for a while; takes about
    10 minutes.  Packages come from the mirror that this machine's apt uses.

OPTIONS
    --keep              keep the roots
    --output DIRECTORY  also put the packages there
    --help              this text

EXIT STATUS
    0 all passed, 1 not, 2 called wrongly
TEXT
}

# check NAME ROOT SECONDS net|no-net COMMAND...: one test.
check()
{
	local name=$1 log=$scratch/log status=0

	shift
	in_root "$@" >"$log" 2>&1 || status=$?
	if (( status == 0 )); then
		report ok "$name"
	else
		report not-ok "$name, exit status $status"
		tail -n 60 -- "$log" | sed 's/^/#   /'
	fi
	return "$status"
}

# For what depends on it, a step that failed is the last one.
run_checks()
{
	local build=$scratch/build clean=$scratch/clean

	make_root "$suite" "$clean" || return
	# What Debian's minimal images leave out is not to be tested: documentation.
	cp -a "$clean" "$build"
	copy_tree "$build/srv/pg_leader"
	check "what building needs can be installed" "$build" 1800 net bash -euc '
		apt-get -q -y install build-essential fakeroot lintian util-linux
		cd /srv/pg_leader
		apt-get -q -y build-dep ./' || return
	# debian/control names the majors of the suite that it was made for.
	check "the packages are built, and the unit tests pass" "$build" 1800 no-net bash -euc '
		cd /srv/pg_leader
		pg_buildext checkcontrol || PG_UPDATECONTROL=yes pg_buildext updatecontrol
		dpkg-buildpackage -us -uc -b' || return
	check "lintian finds nothing" "$build" 600 no-net bash -euc '
		lintian --allow-root --fail-on error,warning --info /srv/*.changes' || true
	check "the SQL tests pass against the installed files" "$build" 1200 net bash -euc '
		cd /srv
		apt-get -q -y install ./postgresql-*-pg-leader_*.deb
		cd pg_leader
		debian/tests/installcheck' || true
	# shellcheck disable=SC2016
	check "systemd finds nothing wrong with the unit" "$build" 600 net bash -euc '
		apt-get -q -y install systemd /srv/pg-leader-common_*.deb
		major=$(find /usr/lib/postgresql -mindepth 1 -maxdepth 1 -printf "%f\n")
		said=$(systemd-analyze verify --man=no "pg_leader@$major-main.service" 2>&1) || true
		echo "$said"
		[ -z "$said" ]' || true

	mkdir "$clean/srv/packages"
	cp "$build"/srv/*.deb "$clean/srv/packages"
	rm -f -- "$clean"/srv/packages/*-dbgsym_*
	if [[ -n $output ]]; then
		cp "$clean"/srv/packages/*.deb "$output"
	fi
	cp "$PGLD_ROOT"/test/{package_installed.sh,check_links.pl} "$clean/srv/"
	check "they can be installed" "$clean" 1800 net bash -euc '
		apt-get -q -y install /srv/packages/*.deb' || return
	check "the documents lie where their links say" "$clean" 60 no-net \
		/srv/package_installed.sh documents || true
	check "no compiler and no make came along" "$clean" 60 no-net bash -euc '
		! type gcc cc make' || true
	check "the quick start runs, and takes itself down" "$clean" 300 no-net \
		/srv/package_installed.sh quickstart || true
	check "servers of Debian's tools elect, hand over, and vote on after an upgrade" "$clean" 300 no-net \
		/srv/package_installed.sh clusters || true
	check "the unit's command runs one of them, which Debian's tools then leave alone" "$clean" 300 no-net \
		/srv/package_installed.sh service || true
	check "purging leaves nothing behind" "$clean" 300 no-net \
		/srv/package_installed.sh purge || true
}

# The shell reads all of this before it does any: the file may change meanwhile.
{
	keep=no
	suite=bookworm
	output=
	while (( $# > 0 )); do
		case $1 in
			--keep) keep=yes ;;
			--output) output=$(option_value "$@"); shift ;;
			-h | --help) usage; exit 0 ;;
			-*) usage_error "there is no option $1" ;;
			*) [[ $1 =~ ^[a-z]+$ ]] || usage_error "\"$1\" is no suite of Debian"; suite=$1 ;;
		esac
		shift
	done
	[[ -z $output || -d $output ]] || usage_error "there is no directory \"$output\""
	need_for_roots debootstrap ip
	make_scratch pg_leader_package 2

	run_checks || true
	finish 12
}
