#!/bin/bash
#
# test/run.sh
#	  Run the tests: all of them, or the parts that are named.
#
# For people and for .ci/run.  Works on a copy of the tree and with a copy of
# PostgreSQL's installation, both in a temporary directory: nothing is left in
# the tree or in the system, no root is needed once the packages are there, and
# several can run at a time.
#
# A part is a function part_NAME that prints TAP or pg_regress's lines, and a
# word in PARTS.  It runs in the copy of the tree, see as_tester().

# The exit at the end makes shellcheck take functions for unreachable.
# shellcheck disable=SC2317
# shellcheck source=script/lib.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../script/lib.sh"

PARTS=(lint pure build unit unit-asan sim sim-asan explore fuzz mutants sql tap bench chaos stand nemesis)

# What can be done side by side is: compiling, checking files, runs of the simulator, test files.
JOBS=2

usage()
{
	cat <<TEXT
NAME
    run.sh - run pg_leader's tests

SYNOPSIS
    run.sh [--no-install] [--keep] [PART...]
    run.sh [--no-install] [--keep] soak [MINUTES]
    run.sh [--no-install] [--keep] nemesis [MINUTES]

DESCRIPTION
    Installs what the tests need from Debian's packages, if it is missing, and
    runs all parts, or those that are named:

    lint       formatting, static analysis, scripts, Prometheus's alerts, and
               links in the documents
    pure       raft/, node/ and primary/ compile without the backend, and raft/
               and primary/ call neither input or output nor a clock
    build      the module compiles without a warning and installs
    unit       the election, what a server should be, the state file and the network
               code by themselves
    unit-asan  the same under the address and undefined-behaviour sanitizers
    sim        clusters in simulated time under every fault: all scenarios by
               name, 10,000 random runs, and 20,000 with simulated servers
               under the members, in which no answered commit may be lost
    sim-asan   the same, with 500 random runs, and 60 with servers, under the
               sanitizers
    explore    every order of events in worlds of two and three members, as
               deep as a minute goes
    fuzz       random input for what reads datagrams, state files and member
               lists, and for the election
    mutants    one-line bugs planted in the sources: each must be noticed. Where all parts are
               run, a sixth of them, every day another one; all of them if it is named
    sql        the SQL interface, on a server of its own
    tap        elections of real servers on this machine, and what looks at them:
               notifications, checks, Prometheus's exporter; what PostgreSQL itself
               does at promotions and when a server comes back
    bench      a short run of what measures: bench/overhead, calm, scale, promote,
               writable, fence, pgbench and keep
    chaos      real servers killed in the middle of elections, and what they
               sent compared with what they kept (as root)
    stand      the test stand's scripts, and real servers in network namespaces
               whose links are cut; HAProxy, and an address that moves (as root)
    nemesis    random faults of all kinds at once on real servers for 2 minutes, and up
               to three times as long on a machine that is too busy for enough of them
               (as root): on five that only elect, while an observer asks them all
               and a checker reads what they said.  With MINUTES, two thirds of these on
               three managed ones, while clients commit, and no commit that they were
               told of may be lost

    Two are not among them:

    soak MINUTES
               goes on with random runs of the simulator from a new seed, 30 minutes
               by default
    colo       a guest under the COLO of real QEMUs, whose hosts are lost; installs
               QEMU and a kernel for the guest (as root)

    The last line is "N passed, N failed, N skipped".  With CI=true in the
    environment, a skipped test counts as failed.

OPTIONS
    --no-install  install no packages
    --keep        keep the temporary directory
    --help        this text

ENVIRONMENT
    PG_CONFIG     the PostgreSQL to test with; else as PATH says
    PROVE_TESTS   the files in test/t to run, all of them by default
    CHAOS_ROUNDS  how often servers are killed in chaos, 5 by default
    QUIET_ROUNDS  how often managed servers are killed in tap, by 059_rounds.pl: 6
                  times by default while no commit is in flight, and BUSY_ROUNDS times,
                  3 by default, while clients write; ROUNDS_SEED is its seed
    KEEP_ROUNDS   how often 093_keep.pl kills the leader of an archive, 3 by default
    NEMESIS_NODES servers that the nemesis has, 3 or 5; 5 by default, and 3 managed ones
    NEMESIS_SEED  its seed, from the clock by default; it is printed
    NEMESIS_ONLY  election or managed: all the minutes for that one; without MINUTES it
                  is election
    COLO_RUNS     how often each case of colo is run, once by default; COLO_TESTS
                  is failover or postgres, or both; COLO_CASES are those of failover
                  to run; COLO_GUEST is a directory that keeps the guest
    TMPDIR        where the temporary directory is made, /tmp by default

EXIT STATUS
    0 all passed, 1 not, 2 called wrongly
TEXT
}

# ---- where the tests run ----

# The user that tests run as: PostgreSQL refuses to run as root.
as_tester()
{
	as_server env -C "$tree" PG_CONFIG="$PG_CONFIG" PATH="$PG_BIN:$PATH" \
		TMPDIR="$scratch/tmp" "$@"
}

# The command's orphans become this process's children, and are reaped at once.
# Where PID 1 does that late or never, as in many containers, the zombie of a
# killed server looks alive to the one that is started in its place.
# shellcheck disable=SC2016
REAPER='
	my %prctl = (x86_64 => 157, aarch64 => 167, riscv64 => 167, ppc64le => 171, s390x => 172);
	chomp(my $machine = `uname -m`);
	syscall($prctl{$machine}, 36, 1, 0, 0, 0) if $prctl{$machine}; # PR_SET_CHILD_SUBREAPER
	my $child = fork // die "fork: $!";
	if (!$child) { exec @ARGV or exit 127 }
	while ((my $pid = wait) != -1)
	{
		exit($? & 127 ? 128 + ($? & 127) : $? >> 8) if $pid == $child;
	}'

make_scratch()
{
	scratch=$(mktemp -d "${TMPDIR:-/tmp}/pg_leader_test.XXXXXX")
	scratch=$(readlink -f "$scratch")
	tree=$scratch/tree
	chmod 755 "$scratch"
	mkdir "$scratch/results" "$scratch/tmp" "$tree"
	if is_root; then
		chown "$SERVER_USER": "$scratch/tmp" "$tree"
	fi
}

# What a build or a run has left in the tree does not come along.
copy_tree()
{
	tar -C "$PGLD_ROOT" "${NOT_SOURCES[@]}" --mode=u+rwX,go+rX -cf "$scratch/tree.tar" .
	as_tester tar --no-same-owner -xf - <"$scratch/tree.tar"
	rm -f -- "$scratch/tree.tar"
	( cd "$tree" && find . -type f | sed 's|^\./||' | sort ) >"$scratch/files"
}

# PostgreSQL finds its files relative to its programs, so a copy of the
# programs with links to the rest is an installation of its own.
copy_postgres()
{
	local config=$PG_BIN/pg_config copy=$scratch/postgres share library top directory file

	share=$("$config" --sharedir)
	library=$("$config" --pkglibdir)
	[[ -e $("$config" --pgxs) ]] ||
		fail "PostgreSQL's build files are missing: $("$config" --pgxs)" "install its development package"
	# What the directories' paths have in common: Debian's have just /usr.
	top=$PG_BIN
	while [[ $share/ != "$top"/* || $library/ != "$top"/* ]]; do
		top=$(dirname "$top")
	done
	top=${top%/}
	for directory in "$share" "$library"; do
		mkdir -p "$copy${directory#"$top"}"
		cp -rs "$directory/." "$copy${directory#"$top"}/"
	done
	# What programs are compiled with: its headers, and the libraries of its own
	# in what may be the system's directory of libraries.
	directory=$("$config" --includedir)
	mkdir -p "$copy$(dirname "${directory#"$top"}")"
	ln -sfn "$directory" "$copy${directory#"$top"}"
	directory=$("$config" --libdir)
	mkdir -p "$copy${directory#"$top"}"
	for file in "$directory"/libpg*.a "$directory"/libpq*; do
		if [[ -e $file ]]; then
			ln -sf "$file" "$copy${directory#"$top"}/"
		fi
	done
	mkdir -p "$copy${PG_BIN#"$top"}"
	cp "$PG_BIN"/* "$copy${PG_BIN#"$top"}/"
	# Nothing of what somebody has installed there before.
	find "$copy" -name 'pg_leader*' -delete
	if is_root; then
		chown -R "$SERVER_USER": "$copy"
	fi
	PG_BIN=$copy${PG_BIN#"$top"}
	PG_CONFIG=$PG_BIN/pg_config
	[[ $("$PG_CONFIG" --sharedir) == "$copy"/* && $("$PG_CONFIG" --pkglibdir) == "$copy"/* ]] ||
		fail "the copy of PostgreSQL in $copy does not find its own files"
}

# What a part has started, when this script is told to end in the middle of it.
end_part()
{
	local _

	kill -TERM -- "-$part_group" 2>/dev/null || return 0
	for _ in {1..100}; do
		kill -0 -- "-$part_group" 2>/dev/null || return 0
		sleep 0.2
	done
	kill -KILL -- "-$part_group" 2>/dev/null || true
}

clean_up()
{
	local pid disk

	if [[ -n $part_group ]]; then
		end_part
	fi
	# Servers that a test which died has left: those whose data are in here.
	for pid in $(pgrep -f -- "-D $scratch/" 2>/dev/null || true); do
		kill -QUIT "$pid" 2>/dev/null || true
	done
	for disk in "$scratch/small_disk" "$scratch/small_wal" "$scratch/small_data"; do
		if mountpoint -q "$disk" 2>/dev/null; then
			umount "$disk" || true
		fi
	done
	if [[ $keep == yes ]]; then
		say "kept: $scratch" >&2
	else
		rm -rf --one-file-system -- "$scratch"
	fi
}

# ---- counting ----

# count_results FILE STATUS: prints "passed failed skipped".  A part that died,
# that broke off before the tests it had announced, or that tested nothing has
# failed, whatever it printed.
count_results()
{
	awk -v status="$2" '
		# how long a file took, of prove --timer
		/^ok +[0-9]+ ms \( / { next }
		# prove, cmocka, PostgreSQL 16; a bare "ok" is the summary of prove
		/^(not )?ok +[0-9]+/ {
			done++
			if (tolower($0) ~ /# *skip/) skipped++
			else if ($1 == "ok") passed++
			else failed++
		}
		/^1\.\.0( |$)/ { skipped++ }
		# prove, of a file that skips all of its tests
		/^(\[[0-9:]+\] )?test\/[^ ]+ \.+ skipped: / { skipped++ }
		/^1\.\.[1-9][0-9]*/ { split($1, plan, /\.\./); planned += plan[2] }
		# pg_regress of PostgreSQL 15
		/^(test|    ) +[^ ]+ +\.\.\. (ok|FAILED|failed)/ {
			done++
			planned++
			if ($0 ~ /\.\.\. ok/) passed++
			else failed++
		}
		END {
			if (done != planned || (status != 0 && failed == 0) || done + skipped == 0)
				failed++
			printf "%d %d %d\n", passed, failed, skipped
		}' "$1"
}

# run_part NAME: runs it, shows what it prints, adds up.
run_part()
{
	local name=$1 status results passed failed skipped began=$SECONDS

	printf '\n# ---- %s ----\n' "$name"
	results=$scratch/results/$name
	checks=0
	# A process group of its own, and not in the foreground: a signal to this script is heeded
	# at once, and ends all of it.
	set -m
	{ set +e; ( set -e; "part_${name//-/_}" ) </dev/null 2>&1; say $? >"$scratch/status"; } | tee "$results" &
	set +m
	part_group=$(jobs -p %%)
	wait $! || true
	part_group=
	status=$(<"$scratch/status")
	read -r passed failed skipped < <(count_results "$results" "$status")
	total_passed=$((total_passed + passed))
	total_failed=$((total_failed + failed))
	total_skipped=$((total_skipped + skipped))
	printf '# %s: %d ok, %d not ok, %d left out, %d s\n' "$name" "$passed" "$failed" "$skipped" $((SECONDS - began))
	if (( failed > 0 )); then
		failed_parts+=("$name")
		show_logs
	fi
}

# The ends of the logs that changed in this run.
show_logs()
{
	local file

	find "$scratch/tmp" "$tree" -newer "$scratch/results" \( -name '*.log' -o -name regression.diffs \) \
		-size +0 -print 2>/dev/null | sort | tail -n 8 |
		while read -r file; do
			printf '# ---- the end of %s\n' "${file#"$scratch"/}"
			tail -n 25 -- "$file" | sed 's/^/#   /'
		done
	touch "$scratch/results"
}

# check NAME COMMAND...: one test of a part that is made of commands.
check()
{
	local name=$1 output=$scratch/results/check.out

	shift
	checks=$((checks + 1))
	if "$@" >"$output" 2>&1; then
		printf 'ok %d - %s\n' "$checks" "$name"
	else
		printf 'not ok %d - %s\n' "$checks" "$name"
		head -n 60 -- "$output" | sed 's/^/#   /'
	fi
}

checked()
{
	printf '1..%d\n' "$checks"
}

# ---- the parts ----

# files PATTERN: what is in the tree, by an extended regular expression.
files()
{
	grep -E "$1" "$scratch/files"
}

shell_scripts()
{
	local file

	while read -r file; do
		if [[ $file == *.sh || $(head -c 64 "$tree/$file" | head -n 1 | tr -d '\0') =~ ^#!.*(bash|/sh) ]]; then
			printf '%s\n' "$file"
		fi
	done <"$scratch/files"
}

lint_is_executable()
{
	local file status=0

	while read -r file; do
		if [[ $(head -c 2 "$tree/$file" | tr -d '\0') == '#!' ]]; then
			[[ -x $PGLD_ROOT/$file ]] || { say "$file is not executable"; status=1; }
		elif [[ -x $PGLD_ROOT/$file ]]; then
			say "$file is executable, and no script"
			status=1
		fi
	done <"$scratch/files"
	return "$status"
}

# lint_absent REGULAR-EXPRESSION FILES-PATTERN: no such line anywhere.
lint_absent()
{
	! ( cd "$tree" && files "$2" | tr '\n' '\0' | xargs -0 -r grep -nIE -e "$1" )
}

lint_ends_with_newline()
{
	local file status=0

	while read -r file; do
		if [[ -s $tree/$file && -n $(tail -c 1 "$tree/$file" | tr -d '\0') ]]; then
			say "$file: the last line has no end"
			status=1
		fi
	done < <(files '\.(c|h|sh|sql|pl|pm|md|txt|config|control|cfg|yaml)$')
	return "$status"
}

# lint_each N COMMAND [OPTION...] FILE...: the command, given at most N of the files at a time.
lint_each()
{
	local at_once=$1
	local -a command=()

	shift
	while [[ ! -e $tree/$1 ]]; do
		command+=("$1")
		shift
	done
	printf '%s\0' "$@" | as_tester xargs -0 -n "$at_once" -P "$JOBS" "${command[@]}"
}

lint_has_help()
{
	local output

	output=$(as_tester "./$1" --help) && [[ $output == NAME$'\n'*SYNOPSIS*DESCRIPTION*OPTIONS*"EXIT STATUS"* ]]
}

part_lint()
{
	local file
	local -a sources scripts

	mapfile -t sources < <(files '\.[ch]$')
	check "format of the ${#sources[@]} files of C" lint_each 20 clang-format --dry-run -Werror "${sources[@]}"
	mapfile -t sources < <(files '\.c$' | grep -vE '^(test|bench)/')
	check "cppcheck" as_tester cppcheck --quiet --std=c11 --inline-suppr --error-exitcode=1 \
		--enable=warning,performance,portability --suppress=missingIncludeSystem \
		--suppress=unknownMacro "${sources[@]}"
	mapfile -t scripts < <(shell_scripts)
	check "shellcheck of the ${#scripts[@]} scripts" lint_each 4 shellcheck -x "${scripts[@]}"
	check "Prometheus's alerts can be read" as_tester promtool check rules config/prometheus/alerts.yaml
	check "and fire when they should" as_tester promtool test rules test/prometheus/alerts_test.yaml
	for file in $(files '^config/.*\.config$'); do
		check "shellcheck of $file" as_tester shellcheck -s bash -e SC2034 "$file"
	done
	for file in "${scripts[@]}"; do
		case $file in
			script/lib.sh | script/test_stand/stand.sh | script/test_stand/show.sh) ;;
			script/* | test/run.sh | test/matrix.sh | test/package.sh | test/valgrind.sh | test/sql/run.sh | test/mutants/on_packets.sh)
				check "$file has --help" lint_has_help "$file" ;;
		esac
	done
	for file in $(files '^bench/[a-z]+$') $(files '^script/.*\.pl$') test/mutants/run.pl test/colo/make_guest \
			test/stand/check_commits test/stand/check_history test/stand/nemesis test/stand/managed_nemesis test/stand/private_network; do
		check "$file has --help" lint_has_help "$file"
	done
	mapfile -t scripts < <(cd "$tree" && files '^bench/' | xargs grep -lI '^#!/usr/bin/perl')
	check "perl compiles bench's ${#scripts[@]} programs" lint_each 1 perl -c "${scripts[@]}"
	check "what is a script is executable, and nothing else" lint_is_executable
	check "no white space at the ends of lines" lint_absent '[[:blank:]]+$' '(^|/)(Makefile|run)$|\.(c|h|sh|sql|pl|pm|md|config|control|cfg|yaml)$'
	check "every last line ends" lint_ends_with_newline
	check "no path of somebody's machine" lint_absent '/(home|work|Users)/[a-z]' '.'
	check "META.json is what PGXN wants, and agrees with the control file" as_tester test/check_meta.pl
	check "no link of the documents leads nowhere" as_tester test/check_links.pl
	check "no left-over merge" lint_absent '^(<<<<<<<|>>>>>>>) ' '.'
	checked
}

# Everything that the objects of a folder need from outside.
undefined_symbols()
{
	nm -A --undefined-only "$1"/*.o | awk '{ print $NF }' | sort -u
}

# pure_defined DIRECTORY: what one of the objects has, another may need.
pure_needs_only()
{
	local allowed=$2 symbol status=0
	local defined

	defined=" $(nm --defined-only "$1"/*.o | awk 'NF == 3 { print $3 }' | tr '\n' ' ') "
	while read -r symbol; do
		if [[ $defined != *" $symbol "* && ! $symbol =~ ^($allowed)$ ]]; then
			say "needs $symbol"
			status=1
		fi
	done < <(undefined_symbols "$1")
	return "$status"
}

pure_needs_none()
{
	! undefined_symbols "$1" | grep -xE "$2"
}

# The order is internal.h's: the files as it lists them, from the top down.
pure_calls_down_only()
{
	local order file symbol owner status=0

	mapfile -t order < <(sed -n 's/^ \*\t  \([a-z]*\)\.c\t.*/\1/p' "$tree/raft/internal.h")
	(( ${#order[@]} > 5 )) || { say "internal.h has no list of files"; return 1; }
	for file in "${order[@]}"; do
		while read -r symbol; do
			owner=$(nm -A --defined-only "$1"/*.o | awk -v symbol="$symbol" '$NF == symbol { print $1 }')
			[[ -n $owner ]] || continue
			owner=$(basename "${owner%%.o*}")
			case $(printf ' %s ' "${order[@]}") in
				*" $owner "*" $file "*) say "$file.c calls $symbol() of $owner.c"; status=1 ;;
			esac
		done < <(nm --undefined-only "$1/$file.o" | awk '{ print $NF }')
	done
	return "$status"
}

pure_primary_includes()
{
	! ( cd "$tree" && files '^primary/.*\.[ch]$' | xargs grep -nE '#[[:blank:]]*include "' ) |
		grep -vE '"(\.\./raft/(raft|message)|\.\./node/(lineage|board)|[a-z]+)\.h"$'
}

# pure_compiles COMPILER PATTERN OPTION...: into $objects, which part_pure() has.
pure_compiles()
{
	local compiler=$1 pattern=$2

	shift 2
	# shellcheck disable=SC2016
	files "$pattern" | as_tester xargs -P "$JOBS" -I '{}' sh -c 'file=$1; shift; exec "$@" -o "${file%.c}.o" "$0"' \
		'{}' "$objects/{}" "$compiler" -O2 -Wall -Wextra -Werror "$@" -c
}

part_pure()
{
	local compiler objects

	for compiler in gcc clang; do
		objects=$scratch/tmp/pure-$compiler
		as_tester mkdir -p "$objects/raft" "$objects/node" "$objects/primary"
		check "$compiler compiles raft/ and primary/ as C11" pure_compiles "$compiler" '^(raft|primary)/[^/]*\.c$' \
			-std=c11 -pedantic
		check "$compiler compiles node/ without the backend" pure_compiles "$compiler" '^node/[^/]*\.c$' \
			-std=gnu11 -DFRONTEND -isystem "$("$PG_CONFIG" --includedir-server)" -isystem "$("$PG_CONFIG" --includedir)"
	done
	objects=$scratch/tmp/pure-gcc
	local strings='mem(cpy|set|move|cmp|chr)|str(len|cmp)|v?snprintf|__assert_fail|__stack_chk_fail|_GLOBAL_OFFSET_TABLE_'
	check "raft/ needs nothing but strings and assert" pure_needs_only "$objects/raft" "$strings"
	check "primary/ needs nothing but those and histories" pure_needs_only "$objects/primary" "$strings|lineage_[a-z_]*"
	check "files of raft/ call only those below them" pure_calls_down_only "$objects/raft"
	check "node/ needs nothing of the backend" pure_needs_none "$objects/node" \
		'err(start|start_cold|finish|msg|code)|elog_.*|palloc.*|pfree|MemoryContext.*|CurrentMemoryContext|MyLatch|ProcessInterrupts'
	check "raft/ includes nothing of PostgreSQL or of node/ and server/" \
		lint_absent '#[[:blank:]]*include.*(postgres|\.\./|node/|server/)' '^raft/.*\.[ch]$'
	check "node/ includes nothing of server/ or of primary/" \
		lint_absent '#[[:blank:]]*include.*(postgres\.h|server/|primary/)' '^node/.*\.[ch]$'
	check "primary/ includes nothing but itself, raft/, histories and the board" pure_primary_includes
	checked
}

# Parts that need the module call this; it builds once.
need_build()
{
	local target

	if [[ -e $scratch/built ]]; then
		return
	fi
	for target in all install; do
		if ! as_tester make -s -j "$JOBS" WERROR=1 "$target" >"$scratch/results/make" 2>&1; then
			say "# make $target failed:"
			tail -n 40 "$scratch/results/make" | sed 's/^/#   /'
			return 1
		fi
	done
	touch "$scratch/built"
}

# Libraries that only tests load, in test/modules.
need_modules()
{
	local directory

	for directory in "$tree"/test/modules/*/; do
		if ! as_tester make -s -j "$JOBS" -C "$directory" WERROR=1 install >"$scratch/results/make" 2>&1; then
			say "# make install in ${directory#"$tree"/} failed:"
			tail -n 40 "$scratch/results/make" | sed 's/^/#   /'
			return 1
		fi
	done
}

part_build()
{
	check "builds without a warning and installs" need_build
	check "a second make has nothing to do" as_tester make -q WERROR=1
	check "pg_leader_state is installed" test -x "$PG_BIN/pg_leader_state"
	check "pg_leader_supervisor is installed" test -x "$PG_BIN/pg_leader_supervisor"
	check "pg_leaderctl is installed" test -x "$PG_BIN/pg_leaderctl"
	checked
}

# What only root can try, to be another user, is in one of them.
part_unit()
{
	local status=0

	as_tester make -s -j "$JOBS" -C test/unit all || return 1
	as_tester make -s -C test/unit check || status=1
	if is_root; then
		say "# test_sockets, as root"
		env CMOCKA_MESSAGE_OUTPUT=TAP "$tree/build/unit/test_sockets" || status=1
	fi
	return "$status"
}

part_unit_asan()
{
	as_tester make -s -j "$JOBS" -C test/unit all SANITIZE=1 &&
		as_tester env ASAN_OPTIONS=abort_on_error=0:detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1 \
			make -s -C test/unit check SANITIZE=1
}

part_sim()
{
	as_tester make -s -j "$JOBS" -C test/sim all &&
		as_tester make -s -C test/sim check RUNS=10000 JOBS="$JOBS" &&
		as_tester make -s -C test/sim servers RUNS=20000 JOBS="$JOBS"
}

part_sim_asan()
{
	as_tester make -s -j "$JOBS" -C test/sim all SANITIZE=1 &&
		as_tester env UBSAN_OPTIONS=print_stacktrace=1 \
			make -s -C test/sim check SANITIZE=1 RUNS=500 JOBS="$JOBS" &&
		as_tester env UBSAN_OPTIONS=print_stacktrace=1 \
			make -s -C test/sim servers SANITIZE=1 RUNS=60 JOBS="$JOBS"
}

# Seeds that no earlier run has had, but for chance.
part_soak()
{
	as_tester make -s -C test/sim soak SECONDS=$((minutes * 60)) FROM="$(date +%s)0000" JOBS="$JOBS"
}

part_explore()
{
	as_tester make -s -C test/explore check
}

part_fuzz()
{
	as_tester make -s -C test/fuzz check
}

part_mutants()
{
	as_tester test/mutants/run.pl ${mutants_share:+--share "$mutants_share"}
}

part_sql()
{
	need_build
	as_tester bash test/sql/run.sh
}

# small_disk DIRECTORY SIZE: a file system there that the tester can write to.
small_disk()
{
	is_root && mkdir -p "$1" &&
		mount -t tmpfs -o "size=$2,mode=700,uid=$(id -u "$SERVER_USER")" tmpfs "$1" 2>/dev/null
}

part_tap()
{
	local pgxs
	local -a tests

	need_build
	need_modules
	pgxs=$(dirname "$("$PG_CONFIG" --pgxs)")/../..
	pgxs=$(cd "$pgxs" && pwd)
	read -ra tests <<<"${PROVE_TESTS:-}"
	if (( ${#tests[@]} == 0 )); then
		mapfile -t tests < <(files '^test/t/[^/]*\.pl$')
	fi
	(( ${#tests[@]} > 0 )) || { say "there are no tests in test/t"; return 1; }
	# File systems that are soon full, where we may make them.
	if small_disk "$scratch/small_disk" 64k; then
		export PG_LEADER_SMALL_DISK=$scratch/small_disk
	fi
	if small_disk "$scratch/small_wal" 16m; then
		export PG_LEADER_SMALL_WAL=$scratch/small_wal
	fi
	if small_disk "$scratch/small_data" 700m; then
		export PG_LEADER_SMALL_DATA=$scratch/small_data
	fi
	# Names that a test can give to addresses while servers run.
	if [[ ${PGLD_PRIVATE_MOUNTS:-} == yes && -e /etc/hosts ]]; then
		cp /etc/hosts "$scratch/hosts"
		chown "$SERVER_USER": "$scratch/hosts"
		mount --bind "$scratch/hosts" /etc/hosts
		export PG_LEADER_ETC_HOSTS=$scratch/hosts
	fi
	prove_tests
}

# Two at a time, in two groups: those where a member that is held up would be another election are
# beside their like, which mostly wait.  The others are programs, files and settings, PostgreSQL
# itself, and managed servers.  014 counts the servers that run with the installed library.
# Uses what part_tap() has set.
prove_tests()
{
	local test status=0
	local -a alone=() calm=() busy=()

	for test in "${tests[@]}"; do
		case ${test##*/} in
			014_*) alone+=("$test") ;;
			007_* | 01[013]_* | 02[034]_* | 0[3-9][0-9]_*) busy+=("$test") ;;
			*) calm+=("$test") ;;
		esac
	done
	(( ${#alone[@]} == 0 )) || prove_with 1 "${alone[@]}" || status=$?
	(( ${#calm[@]} == 0 )) || prove_with "$JOBS" "${calm[@]}" || status=$?
	(( ${#busy[@]} == 0 )) || prove_with "$JOBS" "${busy[@]}" || status=$?
	return "$status"
}

# prove_with JOBS TEST...: in the environment that PGXS sets for "make installcheck".
prove_with()
{
	local jobs=$1

	shift
	as_tester env TESTDIR="$tree" TESTDATADIR="$scratch/tmp/tap" TESTLOGDIR="$scratch/tmp/tap/log" \
		PERL5LIB="$pgxs/src/test/perl:$tree/test/t" PGPORT=65432 \
		PG_REGRESS="$pgxs/src/test/regress/pg_regress" \
		perl -e "$REAPER" prove --timer -v -j "$jobs" "$@"
}

part_bench()
{
	need_build
	as_tester perl -e "$REAPER" prove --timer -v test/bench/tools.pl
}

# Not as the tester: capturing datagrams is for root.  The servers run as the
# tester all the same.
part_chaos()
{
	need_build
	env -C "$tree" PG_CONFIG="$PG_CONFIG" PATH="$PG_BIN:$PATH" TMPDIR="$scratch/tmp" \
		PGLD_USER="$SERVER_USER" perl -e "$REAPER" prove --timer -v test/chaos/kill_leader.pl \
		test/chaos/kill_everyone.pl
}

# run_on_stand COMMAND...: as root, with a network and processes of its own.
run_on_stand()
{
	env -C "$tree" PG_CONFIG="$PG_CONFIG" PATH="$PG_BIN:$PATH" TMPDIR="$scratch/tmp" \
		PGLD_USER="$SERVER_USER" test/stand/private_network "$@"
}

# prove_on_stand FILE: for prove, a file that skips all of its tests has failed; here it is
# one skipped test.
prove_on_stand()
{
	local status

	run_on_stand prove --timer -v "$1" | tee "$scratch/results/prove"
	status=${PIPESTATUS[0]}
	(( status == 0 )) || grep -q '^Result: NOTESTS$' "$scratch/results/prove"
}

# Counted as one skipped test, and as a failure in CI.
stand_is_impossible()
{
	if ! is_root; then
		say "1..0 # SKIP network namespaces need root"
	elif ! unshare --mount --net --pid --fork true 2>/dev/null; then
		say "1..0 # SKIP this machine allows no namespaces"
	else
		return 1
	fi
}

part_stand()
{
	local file status=0
	local -a tests

	! stand_is_impossible || return 0
	need_build
	as_tester make -s -C test/stand
	mapfile -t tests < <(files '^test/stand/[^/]*\.pl$')
	(( ${#tests[@]} > 0 )) || { say "there are no tests in test/stand"; return 1; }
	# Each with a network of its own: what one leaves is no other's concern.
	for file in "${tests[@]}"; do
		prove_on_stand "$file" || status=1
	done
	return "$status"
}

part_colo()
{
	local file status=0

	! stand_is_impossible || return 0
	need_build
	for file in failover postgres; do
		[[ ${COLO_TESTS:-$file} != "$file" ]] || prove_on_stand "test/colo/$file.pl" || status=1
	done
	return "$status"
}

# nemesis_with PROGRAM NODES SECONDS: one of the two.  What it writes outlives the scratch
# directory if it shows something.
nemesis_with()
{
	local output status=0

	output=$(mktemp -u "${TMPDIR:-/tmp}/pg_leader_$1.XXXXXX")
	run_on_stand "test/stand/$1" --nodes "$2" --seconds "$3" --output "$output" \
		${NEMESIS_SEED:+--seed "$NEMESIS_SEED"} || status=$?
	if (( status == 0 )); then
		rm -rf -- "$output"*
	else
		say "# what it has written is kept: $output"
	fi
	return "$status"
}

part_nemesis()
{
	local election=$((nemesis_minutes * 20)) managed=$((nemesis_minutes * 40)) status=0

	! stand_is_impossible || return 0
	case $nemesis_only in
		election) election=$((nemesis_minutes * 60)) managed=0 ;;
		managed) election=0 managed=$((nemesis_minutes * 60)) ;;
	esac
	need_build
	as_tester make -s -C test/stand
	(( election == 0 )) || nemesis_with nemesis "${NEMESIS_NODES:-5}" "$election" || status=$?
	(( managed == 0 )) || nemesis_with managed_nemesis "${NEMESIS_NODES:-3}" "$managed" || status=$?
	return "$status"
}

# ---- main ----

# The shell reads all of this before it does any: the file may change meanwhile.
{
	# What a shell starts in the background ignores SIGINT and SIGQUIT, and so would all that tests
	# start and send these.
	if [[ -z ${PGLD_DEFAULT_SIGNALS:-} ]]; then
		PGLD_DEFAULT_SIGNALS=yes exec env --default-signal=INT,QUIT "$(readlink -f "${BASH_SOURCE[0]}")" "$@"
	fi

	# With a view of the mounts of its own, where that may be had: what a test mounts
	# is seen by nobody else, and goes with it.
	if is_root && [[ -z ${PGLD_PRIVATE_MOUNTS:-} ]] &&
			unshare -m --propagation private true 2>/dev/null; then
		PGLD_PRIVATE_MOUNTS=yes exec unshare -m --propagation private \
			"$(readlink -f "${BASH_SOURCE[0]}")" "$@"
	fi

	install=yes
	keep=no
	minutes=30
	nemesis_only=${NEMESIS_ONLY:-election}
	nemesis_minutes=2
	chosen=()
	while (( $# > 0 )); do
		case $1 in
			--no-install) install=no ;;
			--keep) keep=yes ;;
			-h | --help) usage; exit 0 ;;
			-*) usage_error "there is no option $1" ;;
			soak | nemesis)
				chosen+=("$1")
				if [[ $# -gt 1 && $2 =~ ^[0-9] ]]; then
					[[ $2 =~ ^[1-9][0-9]{0,4}$ ]] ||
						usage_error "$1 for how many minutes?  \"$2\" is not a number from 1 to 99999"
					if [[ $1 == soak ]]; then minutes=$2; else nemesis_minutes=$2 nemesis_only=${NEMESIS_ONLY:-}; fi
					shift
				fi
				;;
			*)
				[[ " ${PARTS[*]} colo " == *" $1 "* ]] ||
					usage_error "there is no part \"$1\"" "the parts are ${PARTS[*]}, and colo"
				chosen+=("$1")
				;;
		esac
		shift
	done
	mutants_share=
	if (( ${#chosen[@]} == 0 )); then
		chosen=("${PARTS[@]}")
		mutants_share=$(($(date +%s) / 86400 % 6 + 1))/6
	fi

	if [[ $install == yes ]]; then
		"$PGLD_ROOT/script/install_deps.sh" test
		[[ " ${chosen[*]} " != *" colo "* ]] || "$PGLD_ROOT/script/install_deps.sh" colo
	fi
	find_postgres
	choose_server_user

	scratch=
	part_group=
	trap clean_up EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	make_scratch
	copy_postgres
	copy_tree

	total_passed=0
	total_failed=0
	total_skipped=0
	failed_parts=()
	for part in "${chosen[@]}"; do
		run_part "$part"
	done

	printf '\n'
	if (( ${#failed_parts[@]} > 0 )); then
		say "failed: ${failed_parts[*]}"
	fi
	if [[ ${CI:-} == true && $total_skipped -gt 0 ]]; then
		say "in CI nothing is skipped: $total_skipped count as failed"
		total_failed=$((total_failed + total_skipped))
		total_skipped=0
	fi
	say "$total_passed passed, $total_failed failed, $total_skipped skipped"
	(( total_failed == 0 && total_passed > 0 ))
	exit
}
