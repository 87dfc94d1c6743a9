#!/bin/bash
#
# test/mutants/on_packets.sh
#	  Plants one bug at a time in real servers, and sees whether the nemesis notices.
#
# For people: an hour is soon gone.  What the nemesis does not find may need a moment that the
# simulator can choose, and a network cannot; see run.pl --table for what that one finds.

# shellcheck source=script/lib.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../../script/lib.sh"

usage()
{
	cat <<TEXT
NAME
    on_packets.sh - plant one bug at a time in real servers, and see whether the nemesis notices

SYNOPSIS
    on_packets.sh [--minutes M] [--runs N] [--nodes N] [--seed SEED] [--table FILE] NAME...

DESCRIPTION
    NAME is a patch of test/mutants, or "none" for the code as it is.  A copy of the tree gets the
    patch, and managed servers that are built from it go through "test/run.sh nemesis", with
    another seed in each run, until something is found.  What a run finds is a violation of
    check_commits, a server that stops for good, or a cluster that does not come back; that
    too little has happened on a busy machine is nothing.

    A line for each mutant, on standard output and at the end of FILE, with tabs between: rule,
    mutant, "found" or "not found", the minutes that its runs took, the seed of the last one, and
    what was found first.  Mutants that have a line in FILE are left out, so an interrupted call
    can go on.

    Needs root, and what "test/run.sh nemesis" needs.

OPTIONS
    --minutes M   how long a run breaks things (2)
    --runs N      runs at most for a mutant (3)
    --nodes N     3 or 5 (3)
    --seed SEED   the first seed (1)
    --table FILE  where lines are kept
    --help        this text

EXIT STATUS
    0 all mutants were tried, 1 one could not be, 2 called wrongly
TEXT
}

minutes=2
runs=3
nodes=3
seed=1
table=
names=()

read_options()
{
	while (( $# > 0 )); do
		case $1 in
			-h | --help) usage; exit 0 ;;
			--minutes | --runs | --nodes | --seed)
				[[ ${2:-} =~ ^[1-9][0-9]{0,4}$ ]] || usage_error "$1 needs a number from 1 to 99999"
				printf -v "${1#--}" %s "$2"
				shift
				;;
			--table)
				[[ -n ${2:-} ]] || usage_error "--table needs a file"
				table=$(readlink -m -- "$2")
				shift
				;;
			-*) usage_error "there is no option $1" ;;
			*)
				[[ $1 == none || -f $PGLD_ROOT/test/mutants/$1.patch ]] ||
					usage_error "there is no mutant $1; test/mutants/run.pl --list shows them"
				names+=("$1")
				;;
		esac
		shift
	done
	[[ $nodes == 3 || $nodes == 5 ]] || usage_error "--nodes is 3 or 5"
	(( ${#names[@]} > 0 )) || usage_error "which mutants?  test/mutants/run.pl --list shows them"
	is_root || fail "links are cut as root only" "run it as root"
}

# What a log of the nemesis says that is no want of time or of luck.
findings()
{
	grep -E '^# (failure|violation|FAILED): ' "$1" |
		grep -vE 'failure: (check_commits:|interrupted|.* only [0-9]+ times$|only [0-9]+ timelines|open for only|only [0-9]+ commits within)' || true
}

# try NAME: sets line.  A run that did not come to the nemesis is an error.
try()
{
	local name=$1 rule=- run verdict='not found' found='' began=$SECONDS log=$scratch/log

	rm -rf -- "$scratch/tree"
	mkdir "$scratch/tree"
	tar -C "$PGLD_ROOT" "${NOT_SOURCES[@]}" -cf - . | tar -C "$scratch/tree" -xf -
	if [[ $name != none ]]; then
		patch -d "$scratch/tree" -p1 -F0 -s -i "$PGLD_ROOT/test/mutants/$name.patch" || return 1
		rule=$(sed -n 's/^Rules\{0,1\}: //p' "$PGLD_ROOT/test/mutants/$name.patch")
	fi
	for (( run = 1; run <= runs; run++ )); do
		NEMESIS_ONLY=managed NEMESIS_NODES=$nodes NEMESIS_SEED=$seed TMPDIR=$scratch \
			"$scratch/tree/test/run.sh" --no-install nemesis "$minutes" >"$log" 2>&1 </dev/null &
		child=$!
		wait "$child" || true
		child=
		grep -q '^# seed' "$log" || { tail -n 40 -- "$log" >&2; return 1; }
		found=$(findings "$log" | head -n 1)
		rm -rf -- "$scratch"/pg_leader_*
		[[ -z $found ]] || { verdict=found; break; }
		seed=$((seed + 1))
	done
	printf -v line '%s\t%s\t%s\t%d\t%d\t%s' "${rule:--}" "$name" "$verdict" $(((SECONDS - began + 30) / 60)) \
		"$((run > runs ? seed - 1 : seed))" "${found#\# }"
}

# shellcheck disable=SC2317 # by trap
clean_up()
{
	if [[ -n $child ]]; then
		kill -TERM "$child" 2>/dev/null || true
		wait "$child" || true
	fi
	rm -rf --one-file-system -- "$scratch"
}

read_options "$@"
line=
scratch=$(mktemp -d "${TMPDIR:-/tmp}/pg_leader_on_packets.XXXXXX")
chmod 755 "$scratch"
child=
trap clean_up EXIT
trap 'exit 130' INT TERM HUP
status=0
for name in "${names[@]}"; do
	if [[ -n $table && -f $table ]] && cut -f 2 -- "$table" | grep -qxF -- "$name"; then
		continue
	fi
	if ! try "$name"; then
		say "on_packets.sh: $name could not be tried" >&2
		status=1
		continue
	fi
	say "$line"
	[[ -z $table ]] || say "$line" >>"$table"
done
exit "$status"
