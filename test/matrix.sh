#!/bin/bash
#
# test/matrix.sh
#	  Build and test with the PostgreSQL of several Debian suites.
#
# For people, before a release and after a change of server/: it takes long and
# loads packages.  Each suite is a root of its own, see debian_root.sh, in which
# test/run.sh does the testing.

# shellcheck source=script/lib.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../script/lib.sh"
# shellcheck source=test/debian_root.sh
. "$PGLD_ROOT/test/debian_root.sh"

SUITES=(bookworm trixie sid experimental)
PARTS=(build pure unit sql tap)

usage()
{
	cat <<TEXT
NAME
    matrix.sh - test pg_leader with several versions of PostgreSQL

SYNOPSIS
    matrix.sh [--keep] [--parts "PART..."] [SUITE...]

DESCRIPTION
    Makes a clean Debian of each suite in a directory (bookworm, which has
    PostgreSQL 15, trixie with 17, sid with the newest, and experimental, which
    may have the next one, if none is named), installs there what script/install_deps.sh says, builds with warnings as
    errors with gcc and with clang, and runs parts of test/run.sh
    (${PARTS[*]}, if not said otherwise), with no network but a loopback of
    its own.  All that is removed afterwards, also when interrupted.

    Needs root, debootstrap, and about $((ROOT_SIZE / 1000)) GB in TMPDIR for a while; takes about
    10 minutes a suite, and an hour at most.  Packages come from the mirror
    that this machine's apt uses.

OPTIONS
    --keep           keep the roots
    --parts PARTS    the parts of test/run.sh to run
    --help           this text

ENVIRONMENT
    PROVE_TESTS  the files in test/t to run, all of them by default

EXIT STATUS
    0 all passed, 1 not, 2 called wrongly
TEXT
}

# step NAME SECONDS net|no-net COMMAND...: in $root, with its output in $log.
step()
{
	local name=$1 began=$SECONDS status=0

	shift
	log=$root.${name%% *}.log
	in_root "$root" "$@" >"$log" 2>&1 || status=$?
	if (( status == 0 )); then
		report ok "$suite: $name, $((SECONDS - began)) s"
	else
		report not-ok "$suite: $name, exit status $status"
		grep -E '^not ok|^#   Failed|error:|^failed:' "$log" | head -n 40 | sed 's/^/#   /' || true
		tail -n 25 -- "$log" | sed 's/^/#   /'
	fi
	return "$status"
}

# Experimental has few packages, for a system that is sid otherwise; its PostgreSQL is
# then the newest one there, which is the one that is tested.
# shellcheck disable=SC2016
ADD_EXPERIMENTAL='
	sed "s/ sid / experimental /" /etc/apt/sources.list >/etc/apt/sources.list.d/experimental.list
	apt-get -q update
	major=$(apt-cache search --names-only "^postgresql-server-dev-[0-9]+\$" |
		sed -E "s/^postgresql-server-dev-([0-9]+) .*/\1/" | sort -n | tail -n 1)
	mkdir -p /etc/postgresql-common/createcluster.d
	echo "create_main_cluster = off" >/etc/postgresql-common/createcluster.d/test.conf
	apt-get -q -y install -t experimental "postgresql-$major" "postgresql-server-dev-$major"'

# test_suite SUITE: as far as it goes.  Adds the majors to $majors.
test_suite()
{
	local suite=$1 root=$scratch/$1 log words major

	say "# ---- $suite ----"
	if ! make_root "${suite/#experimental/sid}" "$root"; then
		report not-ok "$suite: makes a root"
		return
	fi
	copy_tree "$root/srv/pg_leader"
	step "installs what is needed" 1800 net /srv/pg_leader/script/install_deps.sh test || return 0
	if [[ $suite == experimental ]]; then
		step "adds its PostgreSQL to sid" 1800 net bash -euc "$ADD_EXPERIMENTAL" || return 0
	fi
	# shellcheck disable=SC2016
	words=$(in_root "$root" 60 no-net bash -c '
		set -- /usr/lib/postgresql/*/bin
		echo "$("${!#}/postgres" -V | cut -d" " -f3), gcc $(gcc -dumpfullversion), clang $(clang -dumpversion)"')
	say "# $suite: PostgreSQL $words"
	major=${words%%[!0-9]*}
	[[ $majors == *" $major "* ]] || majors+="$major "
	# What Debian's PostgreSQL was built with is for gcc.
	# shellcheck disable=SC2016
	step "clang builds it without a warning" 600 no-net bash -c '
		cp -r /srv/pg_leader /srv/clang && cd /srv/clang &&
		set -- /usr/lib/postgresql/*/bin &&
		make -s WERROR=1 CC=clang PG_CONFIG="${!#}/pg_config" \
			COPT="-Wno-unknown-warning-option -Wno-ignored-optimization-argument -Wno-ignored-attributes"' || true
	step "tests pass: ${PARTS[*]}" 3600 no-net env CI=true PROVE_TESTS="${PROVE_TESTS:-}" \
		/srv/pg_leader/test/run.sh --no-install "${PARTS[@]}" || true
	say "# $suite: $(grep -E '^[0-9]+ passed, [0-9]+ failed' "$log" | tail -n 1)"
	if [[ $keep == no ]]; then
		rm -rf --one-file-system -- "$root"
	fi
}

# The shell reads all of this before it does any: the file may change meanwhile.
{
	keep=no
	suites=()
	while (( $# > 0 )); do
		case $1 in
			--keep) keep=yes ;;
			--parts) read -ra PARTS <<<"$(option_value "$@")"; shift ;;
			-h | --help) usage; exit 0 ;;
			-*) usage_error "there is no option $1" ;;
			*) [[ $1 =~ ^[a-z]+$ ]] || usage_error "\"$1\" is no suite of Debian"; suites+=("$1") ;;
		esac
		shift
	done
	(( ${#suites[@]} > 0 )) || suites=("${SUITES[@]}")
	need_for_roots debootstrap ip
	make_scratch pg_leader_matrix "$([[ $keep == yes ]] && echo "${#suites[@]}" || echo 1)"

	majors=' '
	for suite in "${suites[@]}"; do
		test_suite "$suite"
	done
	for (( major = 15; major <= 19; major++ )); do
		[[ $majors == *" $major "* ]] || say "# PostgreSQL $major: in none of ${suites[*]}, so not tested here"
	done
	finish 1
}
