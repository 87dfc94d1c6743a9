#!/bin/bash
#
# script/quickstart.sh
#	  From a bare Debian to three servers that have a leader, and back.
#
# For people.  Everything that it does, other scripts do for it; what it has put
# where, it notes in a file beside the nodes, so that --down can take it away.

here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=script/lib.sh
. "$here/lib.sh"

usage()
{
	cat <<TEXT
NAME
    quickstart.sh - three servers on this machine that elect a leader

SYNOPSIS
    quickstart.sh [-c CONFIG]
    quickstart.sh [-c CONFIG] --down

DESCRIPTION
    Installs what is missing from Debian's packages, builds and installs
    pg_leader, launches the nodes of the configuration, waits until they have a
    leader, and prints what each of them knows.  Run again, it does only what
    is left to do.

    As root, the servers run as PGLD_USER of the configuration; an ordinary
    user runs them as himself, and is asked by sudo where root is needed: for
    packages, and to install the extension.  It builds in a directory of its
    own, so it leaves nothing in the source tree.

OPTIONS
    -c CONFIG  the configuration, config/loopback.config by default
    --down     stop the servers and remove all that was made: database
               clusters, terms and votes, logs, sockets, and the extension if
               it was installed by this script.  Debian's packages stay; it
               prints how to remove those that it had installed.
    --help     this text

EXIT STATUS
    0 done, 1 failed, 2 called or configured wrongly
TEXT
}

scratch=

clean_up()
{
	if [[ -n $scratch ]]; then
		rm -rf -- "$scratch"
	fi
}

# The note: what was built from which sources into which PostgreSQL, and which
# packages were installed.  It belongs to the servers' user, so it is read with
# suspicion.
note_file()
{
	printf '%s/quickstart.note' "$(dirname "$PGLD_DB_PATHNAME_PREFIX")"
}

# note_values NAME: the values of all its lines with that name.
note_values()
{
	as_server cat -- "$(note_file)" 2>/dev/null |
		sed -nE "s|^$1=([A-Za-z0-9_./+-]+)\$|\\1|p" || true
}

# note_set NAME VALUE...: put these in the place of what was there.
note_set()
{
	local name=$1

	shift
	# shellcheck disable=SC2016
	{
		as_server cat -- "$(note_file)" 2>/dev/null | grep -v "^$name=" || true
		if (( $# > 0 )); then
			printf "$name=%s\n" "$@"
		fi
	} | as_server sh -c 'umask 077; mkdir -p -- "${1%/*}" && cat >"$1.new" && mv -T -- "$1.new" "$1"' \
		sh "$(note_file)"
}

# ---- up ----

install_packages()
{
	"$here/install_deps.sh" --record "$scratch/packages" run
}

# What the build depends on, as one word.
source_digest()
{
	(
		cd "$PGLD_ROOT"
		"$PG_BIN/pg_config" --version --bindir
		cat Makefile ./*.control ./*.sql
		find pg_leader.c raft node server tools -name '*.[ch]' -print0 | sort -z | xargs -0 cat
	) 2>/dev/null | sha256sum | cut -d' ' -f1
}

copy_sources()
{
	mkdir "$scratch/tree"
	tar -C "$PGLD_ROOT" --exclude=./.git --exclude='*.o' --exclude='*.so' --exclude='*.bc' \
		--exclude=./pg_leader_state -cf - . | tar -C "$scratch/tree" --no-same-owner -xf -
}

# make in the copy, for the PostgreSQL that was found; its output is shown only
# if it fails.
run_make()
{
	if ! "$@" -C "$scratch/tree" PG_CONFIG="$PG_BIN/pg_config" >"$scratch/log" 2>&1; then
		error "$* failed; its output ends with:"
		tail -n 30 -- "$scratch/log" >&2
		exit 1
	fi
}

# Root where the installation's directories need it, nobody else.
installing()
{
	if is_root || [[ -w $("$PG_BIN/pg_config" --pkglibdir) && -w $PG_BIN ]]; then
		printf 'env'
	elif type -P sudo >/dev/null; then
		printf 'sudo'
	else
		fail "$(dirname "$PG_BIN") cannot be written, and there is no sudo" \
			"run this as root, or with a PostgreSQL of your own first in PATH"
	fi
}

build_and_install()
{
	local digest how ours=no

	digest=$(source_digest)
	if [[ $(note_values built) == "$digest" ]] && (check_installed) 2>/dev/null; then
		say "pg_leader is built and installed"
		return
	fi
	say "building pg_leader for $("$PG_BIN/postgres" -V)"
	copy_sources
	run_make make -s
	say "installing it in $(dirname "$PG_BIN")"
	how=$(installing)
	# Noted before, so that --down removes what an interrupt leaves; an extension
	# that somebody else has installed is not noted, and stays his.
	if [[ -n $(note_values built) ]] || ! (check_installed) 2>/dev/null; then
		ours=yes
		note_set built unfinished
	fi
	run_make "$how" make -s install
	if [[ $ours == yes ]]; then
		note_set built "$digest"
	fi
	if any_running; then
		warn "nodes that run go on with the earlier build; $here/nodestop.sh -c $CONFIG_FILE ALL and this script again change that"
	fi
}

any_running()
{
	local id

	for id in "${NODE_IDS[@]}"; do
		if node_exists "$id" && node_running "$id"; then
			return 0
		fi
	done
	return 1
}

# A node that has nothing yet is new; one that has lost something is not.
launch()
{
	local id new

	for id in "${NODE_IDS[@]}"; do
		new=--new
		if node_exists "$id" || as_server test -e "$(node_state_file "$id")"; then
			new=
		fi
		"$here/nodelaunch.sh" -c "$CONFIG_FILE" ${new:+"$new"} "$id" || exit $?
	done
}

# Until all name the same leader, and it says that it is: 30 s at most.
wait_for_leader()
{
	local until=$((SECONDS + 30)) id views

	say "waiting for a leader"
	while (( SECONDS < until )); do
		views=$(
			for id in "${NODE_IDS[@]}"; do
				node_psql "$id" -c 'SELECT coalesce(leader_id, -1) FROM pg_leader_status' 2>/dev/null || echo -1
			done | sort -u
		)
		if [[ $views =~ ^[0-9]+$ ]] &&
				[[ $(node_psql "$views" -c 'SELECT pg_leader_is_leader()' 2>/dev/null) == t ]]; then
			return
		fi
		sleep 0.2
	done
	error "the nodes have not agreed on a leader in 30 s; this is what they know:"
	print_status >&2
	say "their logs are ${PGLD_DB_PATHNAME_PREFIX}*.log" >&2
	exit 1
}

print_status()
{
	local id output row='%-5s %-14s %-5s %-7s %-9s %-6s %s\n'

	# shellcheck disable=SC2059
	{
		printf "$row" node role term leader lease port address
		for id in "${NODE_IDS[@]}"; do
			if output=$(node_psql "$id" -F ' ' -c "SELECT role, term, coalesce(leader_id::text, '-'),
					CASE WHEN is_leader THEN 'yes' ELSE '-' END FROM pg_leader_status" 2>&1); then
				# Four words of the row.
				# shellcheck disable=SC2086
				printf "$row" "$id" $output "$(node_port "$id")" "${NODE_HOST[id]}:${NODE_UDP_PORT[id]}"
			else
				printf '%-5s not reachable: %s\n' "$id" "${output%%$'\n'*}"
			fi
		done
	}
}

print_next_steps()
{
	local first=${NODE_IDS[0]} option="-c $CONFIG_FILE"

	cat <<TEXT

Look further:
    $here/watchpsql.sh $option $first
    $(node_psql_command "$first")
        SELECT * FROM pg_leader_status;
        SELECT * FROM pg_leader_peers;
Stop the leader, see another one, and bring it back:
    $here/nodestop.sh $option NODE_ID
    $here/nodelaunch.sh $option NODE_ID
Take it all down:
    $here/quickstart.sh${given_config:+ $option} --down
TEXT
}

up()
{
	local -a packages=()

	install_packages
	find_postgres
	read_config "$config"
	if [[ -s $scratch/packages ]]; then
		mapfile -t packages < <(sort -u "$scratch/packages" <(note_values package))
		note_set package "${packages[@]}"
	fi
	build_and_install
	launch
	wait_for_leader
	say ""
	print_status
	print_next_steps
}

# ---- down ----

uninstall()
{
	local how

	if [[ -z $(note_values built) ]]; then
		return
	fi
	if ! type -P make >/dev/null || [[ ! -e $(dirname "$("$PG_BIN/pg_config" --pgxs)")/pgxs.mk ]]; then
		warn "make or PostgreSQL's build files are gone: the extension stays in $(dirname "$PG_BIN")"
		return
	fi
	copy_sources
	how=$(installing)
	run_make "$how" make -s uninstall
	say "uninstalled pg_leader from $(dirname "$PG_BIN")"
}

# Only what was made, by name; directories only if that leaves them empty.
remove_files()
{
	local id base
	local -a directories

	base=$(dirname "$PGLD_DB_PATHNAME_PREFIX")
	for id in "${NODE_IDS[@]}"; do
		as_server rm -rf -- "$(node_directory "$id")" "$(node_directory "$id").initdb" \
			"$(node_log "$id")" "$(node_state_file "$id")"
	done
	as_server rm -f -- "$(note_file)"
	# The outer directory last, and it only if it can be nobody else's.
	directories=("$PGLD_STATE_DIRECTORY" "$PGLD_SOCKET_DIRECTORY" "$base")
	if [[ ${base%/*} == */pg_leader ]]; then
		directories+=("${base%/*}")
	fi
	for base in "${directories[@]}"; do
		as_server rmdir --ignore-fail-on-non-empty -- "$base" 2>/dev/null || true
	done
}

down()
{
	local -a packages

	# Nothing to read it with means nothing was launched.
	locate_postgres || fail "there is no PostgreSQL here, so nothing to take down"
	read_config "$config"
	"$here/nodestop.sh" -c "$CONFIG_FILE" ALL
	mapfile -t packages < <(note_values package)
	uninstall
	remove_files
	say "removed the nodes' files under $(dirname "$PGLD_DB_PATHNAME_PREFIX")"
	if (( ${#packages[@]} > 0 )); then
		say "Debian's packages stay.  To remove those that were installed for this:"
		say "    apt-get purge --autoremove ${packages[*]}"
	fi
}

config=$PGLD_ROOT/config/loopback.config
given_config=
action=up
while (( $# > 0 )); do
	case $1 in
		-c | --config) config=$(option_value "$@"); given_config=$config; shift ;;
		--down) action=down ;;
		-h | --help) usage; exit 0 ;;
		*) usage_error "there is no \"$1\" here" ;;
	esac
	shift
done
[[ -r $config ]] || usage_error "there is no configuration file \"$config\""

trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
scratch=$(mktemp -d)
"$action"
