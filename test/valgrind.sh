#!/bin/bash
#
# test/valgrind.sh
#	  Test with a PostgreSQL that checks itself, and under valgrind's memcheck.
#
# For people, before a release and after changes in how server/ uses memory: it
# compiles PostgreSQL.  In a root of its own, see debian_root.sh.

# shellcheck source=script/lib.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../script/lib.sh"
# shellcheck source=test/debian_root.sh
. "$PGLD_ROOT/test/debian_root.sh"

SUITE=bookworm
# Those that have servers enough to do and no opinion about how fast they are.
TESTS=(001_election 003_restarts 004_standbys 007_state_file 009_member_list 011_not_preloaded
	013_state_program 015_authentication)

usage()
{
	cat <<TEXT
NAME
    valgrind.sh - test pg_leader with assertions on, and under memcheck

SYNOPSIS
    valgrind.sh [--keep] [TEST...]

DESCRIPTION
    Makes a clean Debian ($SUITE) in a directory, compiles there the
    PostgreSQL of that suite from its unchanged sources with assertions and
    with what tells valgrind about its memory, and runs

    1. the unit, SQL and TAP tests with it;
    2. the SQL tests and these TAP tests with each server process under
       valgrind, with PostgreSQL's own list of what is no fault:
       ${TESTS[*]:0:4}
       ${TESTS[*]:4}, or the ones that are named.

    Any report of valgrind is a failure, whoever's it is. All is removed
    afterwards, also when interrupted.

    Needs root, debootstrap, and about $((ROOT_SIZE / 1000)) GB in TMPDIR for a while; takes about
    40 minutes, and three hours at most.  Packages and sources come from the
    mirror that this machine's apt uses.

OPTIONS
    --keep  keep the root; what valgrind wrote is in its srv/valgrind
    --help  this text

EXIT STATUS
    0 all passed, 1 not, 2 called wrongly
TEXT
}

# step NAME SECONDS net|no-net COMMAND...
step()
{
	local name=$1 log=$scratch/log status=0 began=$SECONDS

	shift
	in_root "$root" "$@" >"$log" 2>&1 || status=$?
	if (( status == 0 )); then
		report ok "$name, $((SECONDS - began)) s"
		grep -E '^[0-9]+ passed, [0-9]+ failed' "$log" | tail -n 1 | sed 's/^/# /' || true
	else
		report not-ok "$name, exit status $status"
		grep -E '^not ok' "$log" | head -n 20 | sed 's/^/#   /' || true
		tail -n 40 -- "$log" | sed 's/^/#   /'
	fi
	return "$status"
}

# Debian's own changes are left out: they would have it installed in the system's
# places.
# shellcheck disable=SC2016
BUILD='
	set -eux
	mkdir /srv/source && cd /srv/source
	tar -xf ../postgresql-*.orig.tar.* --strip-components=1
	./configure --quiet --prefix=/srv/postgresql --enable-cassert --enable-debug --enable-tap-tests \
		--with-openssl --without-readline --without-zlib CPPFLAGS=-DUSE_VALGRIND \
		CFLAGS="-Og -g -fno-omit-frame-pointer"
	make -s -j"$(nproc)"
	make -s install
	test -x /srv/postgresql/bin/postgres
	install -d -m 1777 /srv/valgrind
	cp src/tools/valgrind.supp /srv/'

# In the place of the server: the real one, under valgrind when it is to serve.
# shellcheck disable=SC2016
WRAPPER='#!/bin/bash
server=$(dirname "$(readlink -f "$0")")/postgres.real
case " $* " in
	*" -V "* | *" --version "* | *" --boot "* | *" --check "* | *" --single "* | *" -C "*) exec "$server" "$@" ;;
esac
exec valgrind --quiet --leak-check=no --trace-children=yes --track-origins=yes \
	--read-var-info=no --num-callers=25 --suppressions=/srv/valgrind.supp \
	--log-file=/srv/valgrind/%p.log "$server" "$@"'

# The reports of all processes: none may say anything, and there must be some.
# shellcheck disable=SC2016
REPORTS='
	cd /srv/valgrind
	found=$(find . -name "*.log" -size +0)
	if [ -n "$found" ]; then
		cut -d" " -f2- $found | grep -E "^[A-Z]|^   (at|by)" | head -n 100
		exit 1
	fi
	echo "$(find . -name "*.log" | wc -l) processes ran under valgrind"
	[ "$(find . -name "*.log" | wc -l)" -gt 20 ]'

run_steps()
{
	make_root "$SUITE" "$root" || return
	copy_tree "$root/srv/pg_leader"
	# shellcheck disable=SC2016
	step "installs what is needed, and loads PostgreSQL's sources" 1800 net bash -euc '
		/srv/pg_leader/script/install_deps.sh test
		apt-get -q -y install valgrind bison flex libssl-dev dpkg-dev
		sed -n "s/^deb /deb-src /p" /etc/apt/sources.list >/etc/apt/sources.list.d/source.list
		apt-get -q update
		cd /srv
		set -- /usr/lib/postgresql/*/bin/postgres
		apt-get -q source --download-only "$(dpkg-query -S "$1" | cut -d: -f1)"' || return
	step "compiles PostgreSQL with assertions" 3600 no-net bash -c "$BUILD" || return
	step "the tests pass with assertions" 3600 no-net env PG_CONFIG=/srv/postgresql/bin/pg_config \
		/srv/pg_leader/test/run.sh --no-install build unit sql tap || true
	mv "$root/srv/postgresql/bin/postgres" "$root/srv/postgresql/bin/postgres.real"
	printf '%s\n' "$WRAPPER" >"$root/srv/postgresql/bin/postgres"
	chmod 755 "$root/srv/postgresql/bin/postgres"
	step "the tests pass under valgrind" 5400 no-net env PG_CONFIG=/srv/postgresql/bin/pg_config \
		PROVE_TESTS="${TESTS[*]}" /srv/pg_leader/test/run.sh --no-install build sql tap || true
	step "valgrind has found nothing" 60 no-net bash -c "$REPORTS" || true
}

# The shell reads all of this before it does any: the file may change meanwhile.
{
	keep=no
	chosen=()
	while (( $# > 0 )); do
		case $1 in
			--keep) keep=yes ;;
			-h | --help) usage; exit 0 ;;
			-*) usage_error "there is no option $1" ;;
			*)
				[[ -e $PGLD_ROOT/test/t/$1.pl ]] ||
					usage_error "there is no test $1" "they are the files in test/t, without .pl"
				chosen+=("$1")
				;;
		esac
		shift
	done
	(( ${#chosen[@]} == 0 )) || TESTS=("${chosen[@]}")
	TESTS=("${TESTS[@]/#/test/t/}")
	TESTS=("${TESTS[@]/%/.pl}")
	need_for_roots debootstrap ip
	make_scratch pg_leader_valgrind 1
	root=$scratch/root

	run_steps || true
	finish 5
}
