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
    quickstart.sh - a primary and two standbys on this machine that look after
    themselves

SYNOPSIS
    quickstart.sh [-c CONFIG]
    quickstart.sh [-c CONFIG] --down

DESCRIPTION
    Installs what is missing from Debian's packages, builds and installs
    pg_leader, launches the nodes of the configuration, waits until one of them is
    the primary and the others follow it, and prints what each of them is.  Run
    again, it does only what is left to do.  With PGLD_MANAGE=off in the
    configuration they elect a leader, and nothing follows from that.

    As root, the servers run as PGLD_USER of the configuration; an ordinary
    user runs them under that account, and sudo asks where root is needed: for
    packages, and to install the extension.  It builds in a directory of its
    own, so it leaves nothing in the source tree.

    Installed by a package, where there are no sources, it builds and installs
    nothing.

    Where pg_leader is installed already, it is left alone if it is the same as
    what was built; another one is replaced, which is said.

OPTIONS
    -c CONFIG  the configuration, config/loopback.config by default
    --down     stop the servers and remove all that was made: database
               clusters, terms and votes, logs, sockets, and the extension if
               it was installed by this script.  In the place of another one
               it stays, for that one cannot be brought back; and while other
               servers run with it.  Debian's packages stay; it prints how to
               remove those that it had installed.
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

# The note.  It belongs to the servers' user, so it is read with suspicion.
#
#	built=DIGEST		the sources of what this script has installed where none was
#	replaced=DIGEST		the same, where another one was
#	found=DIGEST		the same, of what somebody else had installed
#	installed=DIGEST	the installed files, when they were the same as those sources
#	package=NAME		a package that was installed
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

# A package that was installed has brought the module along: nothing to build.
has_sources()
{
	[[ -e $PGLD_ROOT/Makefile ]]
}

install_packages()
{
	has_sources || return 0
	"$here/install_deps.sh" --record "$scratch/packages" run
}

# The nodes' files need a place: better found out before anything is built.
check_place()
{
	local place

	place=$(dirname "$PGLD_DB_PATHNAME_PREFIX")
	# The command is for the shell of the other user.
	# shellcheck disable=SC2016
	as_server sh -c 'while ! test -e "$1"; do set -- "$(dirname -- "$1")"; done; test -d "$1" && test -w "$1"' \
		sh "$place" ||
		fail "user $SERVER_USER cannot make files in $place" \
			"name another place in a copy of $CONFIG_FILE, see PGLD_DB_PATHNAME_PREFIX there"
}

# Nor need ports that are taken wait for the build.
check_all_ports()
{
	local id

	cluster_is_new || return 0
	for id in "${NODE_IDS[@]}"; do
		check_ports "$id"
	done
}

# What the build depends on, as one word.
source_digest()
{
	(
		cd "$PGLD_ROOT"
		"$PG_BIN/pg_config" --version --bindir
		cat Makefile ./*.control ./*.sql
		find pg_leader.c raft node primary server supervisor tools -name '*.[ch]' -print0 | sort -z | xargs -0 cat
	) 2>/dev/null | sha256sum | cut -d' ' -f1
}

copy_sources()
{
	mkdir "$scratch/tree"
	tar -C "$PGLD_ROOT" "${NOT_SOURCES[@]}" -cf - . | tar -C "$scratch/tree" --no-same-owner -xf -
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

# Each file that "make install" installs, and its place: "source|place" a line.
installed_files()
{
	local library extension file

	library=$("$PG_BIN/pg_config" --pkglibdir)
	extension=$("$PG_BIN/pg_config" --sharedir)/extension
	printf '%s\n' "pg_leader.so|$library/pg_leader.so" "pg_leader_state|$PG_BIN/pg_leader_state" \
		"pg_leader_supervisor|$PG_BIN/pg_leader_supervisor" "pg_leaderctl|$PG_BIN/pg_leaderctl"
	for file in "$PGLD_ROOT"/pg_leader.control "$PGLD_ROOT"/pg_leader--*.sql; do
		printf '%s\n' "${file##*/}|$extension/${file##*/}"
	done
}

# As one word; the word of other files if one is missing.
installed_digest()
{
	installed_files | cut -d'|' -f2 | tr '\n' '\0' | xargs -0 cat 2>/dev/null |
		sha256sum | cut -d' ' -f1
}

# Is what is installed the same as what was built?  Programs are compared without
# what names the directory that they were built in.
is_same_as_installed()
{
	local source place

	while IFS='|' read -r source place; do
		[[ -r $place ]] || return 1
		if cmp -s -- "$scratch/tree/$source" "$place"; then
			continue
		fi
		strip -R .note.gnu.build-id -o "$scratch/ours" "$scratch/tree/$source" 2>/dev/null &&
			strip -R .note.gnu.build-id -o "$scratch/theirs" "$place" 2>/dev/null &&
			cmp -s -- "$scratch/ours" "$scratch/theirs" || return 1
	done < <(installed_files)
}

# Whose is what is installed: built (by this script), replaced (the same, where
# another one was) or found (somebody else's).
owner()
{
	if [[ -n $(note_values built) ]] || ! (check_installed) 2>/dev/null; then
		printf 'built'
	elif [[ -n $(note_values replaced) && $(note_values installed) == "$(installed_digest)" ]]; then
		printf 'replaced'
	else
		printf 'found'
	fi
}

build_and_install()
{
	local digest how owner

	if ! has_sources; then
		check_installed
		say "pg_leader is installed in $(dirname "$PG_BIN")"
		return
	fi
	digest=$(source_digest)
	owner=$(owner)
	if [[ $(note_values "$owner") == "$digest" && $(note_values installed) == "$(installed_digest)" ]]; then
		say "pg_leader is built and installed"
		return
	fi
	say "building pg_leader for $("$PG_BIN/postgres" -V)"
	copy_sources
	run_make make -s
	if is_same_as_installed; then
		say "it is installed in $(dirname "$PG_BIN") already"
	else
		if [[ $owner == found ]]; then
			warn "another pg_leader, not this script's, is installed there: it has to be replaced, and --down will not bring it back"
		fi
		how=$(installing)
		say "installing it in $(dirname "$PG_BIN")"
		if [[ $owner == found ]]; then
			owner=replaced
			note_set found
		fi
		# Noted before, so that --down knows what an interrupt leaves.
		note_set "$owner" unfinished
		run_make "$how" make -s install
		if any_running; then
			warn "nodes that run go on with the earlier build; nodestop.sh -c $CONFIG_FILE ALL and this script again change that"
		fi
	fi
	note_set "$owner" "$digest"
	note_set installed "$(installed_digest)"
}

any_running()
{
	local id

	for id in "${NODE_IDS[@]}"; do
		if { is_managed || node_exists "$id"; } && node_running "$id"; then
			return 0
		fi
	done
	return 1
}

launch()
{
	local id

	if cluster_is_new; then
		write_first_states
	fi
	for id in "${NODE_IDS[@]}"; do
		"$here/nodelaunch.sh" -c "$CONFIG_FILE" "$id" || exit $?
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

# Until one of them is an open primary and all others stream from it: 60 s at most.
# Sets "primary".
wait_for_primary()
{
	local until=$((SECONDS + 60)) id

	say "waiting for a primary and $((10#$N_NODES - 1)) standbys"
	while (( SECONDS < until )); do
		for id in "${NODE_IDS[@]}"; do
			if [[ $(node_psql "$id" -c "SELECT is_open AND (SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND application_name ~ '^pg_leader_[0-9]+\$') = $((10#$N_NODES - 1)) FROM pg_leader_server" 2>/dev/null) == t ]]; then
				primary=$id
				return
			fi
		done
		sleep 0.2
	done
	error "there is no primary that all others follow after 60 s; this is what they are:"
	print_status >&2
	say "their logs are ${PGLD_DB_PATHNAME_PREFIX}*.log; run this again to wait on, or with --down to remove them" >&2
	exit 1
}

# All nodes; clients add target_session_attrs, with which libpq takes the one that takes commits.
connection_string()
{
	local id hosts='' ports=''

	for id in "${NODE_IDS[@]}"; do
		hosts+=${hosts:+,}${NODE_HOST[id]}
		ports+=${ports:+,}$(node_port "$id")
	done
	printf 'host=%s port=%s user=postgres passfile=%s' "$hosts" "$ports" "$(passfile)"
}

# Its exit status says whether all is well, which the caller knows.
print_managed_status()
{
	as_server "$PG_BIN/pg_leaderctl" list "$(connection_string)" || true
}

print_status()
{
	local id output row='%-5s %-14s %-5s %-7s %-9s %-6s %s\n'

	if is_managed; then
		print_managed_status
		return
	fi
	# shellcheck disable=SC2059
	{
		printf "$row" node role term leader lease port address
		for id in "${NODE_IDS[@]}"; do
			if ! output=$(node_psql "$id" -c "SELECT CASE WHEN state <> 'taking part' THEN state
					ELSE concat_ws(' ', 'row:', role, term, coalesce(leader_id::text, '-'),
						CASE WHEN is_leader THEN 'yes' ELSE '-' END) END FROM pg_leader_status" 2>&1); then
				printf '%-5s not reachable: %s\n' "$id" "${output%%$'\n'*}"
			elif [[ $output == row:* ]]; then
				# Four words of the row.
				# shellcheck disable=SC2086
				printf "$row" "$id" ${output#row: } "$(node_port "$id")" "${NODE_HOST[id]}:${NODE_UDP_PORT[id]}"
			else
				printf '%-5s %s\n' "$id" "$output"
			fi
		done
	}
}

print_managed_next_steps()
{
	local option directory user='' primary=$1

	printf -v option -- '-c %q' "$CONFIG_FILE"
	printf -v directory '%q' "$here"
	if is_root; then
		user="runuser -u $SERVER_USER -- "
	fi
	cat <<TEXT

For clients, of whichever node is the primary:
    $user$PG_BIN/psql "$(connection_string) target_session_attrs=read-write"
See what they are, and what has happened:
    $user$PG_BIN/pg_leaderctl list "$(connection_string)"
    $user$PG_BIN/pg_leaderctl events "$(connection_string)"
Kill the primary, and look again: another one has taken its place, and it comes back:
    kill -9 \$(head -n 1 $(node_directory "$primary")/postmaster.pid)
Stop a node, and bring it back:
    $directory/nodestop.sh $option NODE_ID
    $directory/nodelaunch.sh $option NODE_ID
Take it all down:
    $directory/quickstart.sh${given_config:+ $option} --down
TEXT
}

print_next_steps()
{
	local first=${NODE_IDS[0]} option directory

	if is_managed; then
		print_managed_next_steps "$primary"
		return
	fi

	# As a shell wants to read them.
	printf -v option -- '-c %q' "$CONFIG_FILE"
	printf -v directory '%q' "$here"
	cat <<TEXT

Look further:
    $directory/watchpsql.sh $option $first
    $(node_psql_command "$first")
        SELECT * FROM pg_leader_status;
        SELECT * FROM pg_leader_peers;
Stop the leader, see another one, and bring it back:
    $directory/nodestop.sh $option NODE_ID
    $directory/nodelaunch.sh $option NODE_ID
Take it all down:
    $directory/quickstart.sh${given_config:+ $option} --down
TEXT
}

up()
{
	local -a packages=()

	install_packages
	find_postgres
	read_config "$config"
	check_place
	check_all_ports
	if [[ -s $scratch/packages ]]; then
		mapfile -t packages < <(sort -u "$scratch/packages" <(note_values package))
		note_set package "${packages[@]}"
	fi
	build_and_install
	launch
	if is_managed; then
		wait_for_primary
	else
		wait_for_leader
	fi
	say ""
	print_status
	print_next_steps
}

# ---- down ----

is_own_node()
{
	local id

	for id in "${NODE_IDS[@]}"; do
		[[ ! /proc/$1/cwd -ef $(node_directory "$id") ]] || return 0
	done
	return 1
}

# Pids of servers, other than the nodes, that have loaded the library.  Root sees
# everybody's: users_of_library "$(installing)"
users_of_library()
{
	local library pid parent
	local -A pids=()

	library=$(readlink -f "$("$PG_BIN/pg_config" --pkglibdir)")/pg_leader.so
	while read -r pid; do
		# A node that has been stopped may need a moment to vanish.
		is_own_node "$pid" || pids[$pid]=yes
	done < <("$1" grep -lsF -- " $library" /proc/[0-9]*/maps | cut -d/ -f3)
	for pid in "${!pids[@]}"; do
		parent=$(sed -n 's/^PPid:[[:blank:]]*//p' "/proc/$pid/status" 2>/dev/null) || continue
		# One process stands for all of a server.
		[[ -n ${pids[${parent:-0}]:-} ]] || printf '%s\n' "$pid"
	done | sort -n
}

uninstall()
{
	local how users

	if [[ -n $(note_values replaced) ]]; then
		warn "the pg_leader in $(dirname "$PG_BIN") stays: it is in the place of another one, which cannot be brought back"
	fi
	if [[ -z $(note_values built) ]]; then
		return
	fi
	if ! type -P make >/dev/null || [[ ! -e $(dirname "$("$PG_BIN/pg_config" --pgxs)")/pgxs.mk ]]; then
		warn "make or PostgreSQL's build files are gone: the extension stays in $(dirname "$PG_BIN")"
		return
	fi
	how=$(installing)
	users=$(users_of_library "$how")
	if [[ -n $users ]]; then
		warn "the extension stays in $(dirname "$PG_BIN"): servers that are not the quick start's run with it (PIDs ${users//$'\n'/, }); \"make uninstall\" removes it"
		return
	fi
	copy_sources
	run_make "$how" make -s uninstall
	say "uninstalled pg_leader from $(dirname "$PG_BIN")"
}

# Is there anything that up() makes?
is_anything_there()
{
	local id

	for id in "${NODE_IDS[@]}"; do
		if node_has_run "$id" || as_server test -e "$(node_directory "$id").initdb" ||
				as_server test -e "$(node_log "$id")"; then
			return 0
		fi
	done
	as_server test -e "$(note_file)"
}

# Only what was made, by name; directories only if that leaves them empty.
remove_files()
{
	local id base
	local -a directories

	base=$(dirname "$PGLD_DB_PATHNAME_PREFIX")
	for id in "${NODE_IDS[@]}"; do
		remove_node "$id"
		# Only a server that was killed leaves these.
		as_server rm -f -- "$PGLD_SOCKET_DIRECTORY/.s.PGSQL.$(node_port "$id")" \
			"$PGLD_SOCKET_DIRECTORY/.s.PGSQL.$(node_port "$id").lock"
	done
	as_server rm -f -- "$(note_file)" "$(passfile)"
	# The outer directory last, and it only if it can be nobody else's.
	directories=("$PGLD_STATE_DIRECTORY" "$PGLD_SOCKET_DIRECTORY" "$base")
	if [[ ${base%/*} == */pg_leader_nodes ]]; then
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
	if ! is_anything_there; then
		say "there is nothing of user $SERVER_USER to take down"
		return
	fi
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
trap 'error "interrupted: run this again to go on, or with --down to remove what was made"; exit 130' INT
trap 'exit 143' TERM HUP
scratch=$(mktemp -d)
"$action"
