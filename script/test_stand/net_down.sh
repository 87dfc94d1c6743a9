#!/bin/bash
#
# script/test_stand/net_down.sh
#	  Take the test stand down: its servers, namespaces, links and rules.
#
# For people and for the tests, as root.  The nodes' files stay, unless it is told
# to remove them.

here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=script/lib.sh
. "$here/../lib.sh"
# shellcheck source=script/test_stand/stand.sh
. "$here/stand.sh"

usage()
{
	cat <<TEXT
NAME
    net_down.sh - take the test stand down

SYNOPSIS
    net_down.sh [-c CONFIG] [--remove-nodes]

DESCRIPTION
    Stops the servers in the stand's namespaces, also paused ones, ends whatever
    else runs there, and removes what net_init.sh has made: namespaces, cables,
    the bridge and the ebtables chain.  Nothing that somebody else has made is
    touched, not even under the same name, and no server that runs elsewhere.
    The nodes' database clusters and state files stay, for the next time.

OPTIONS
    -c CONFIG       the configuration, $PGLD_DEFAULT_CONFIG by default
    --remove-nodes  also remove the nodes' database clusters, logs and state
                    files, so that the next start begins a new cluster; only
                    those of nodes that ctl.sh has started, and refused while
                    the server of one runs elsewhere than on the stand
    --help          this text

EXIT STATUS
    0 nothing is left, 1 something is, 2 called or configured wrongly
TEXT
}

# ---- servers ----

# Pids of a node's server, if that runs in the node's namespace and not elsewhere.
stand_processes()
{
	local pid

	[[ -n ${STAND_INODE[$1]:-} ]] || return 0
	for pid in $(node_processes "$1"); do
		if [[ $(stat -L -c %i "/proc/$pid/ns/net" 2>/dev/null) == "${STAND_INODE[$1]}" ]]; then
			printf '%s\n' "$pid"
		fi
	done
}

runs_on_stand()
{
	[[ -n $(stand_processes "$1") ]]
}

runs_elsewhere()
{
	[[ -n $(node_processes "$1") ]] && ! runs_on_stand "$1"
}

signal_server()
{
	local pids

	pids=$(stand_processes "$1")
	# Some may have ended by themselves.
	# shellcheck disable=SC2086
	[[ -z $pids ]] || kill "-$2" $pids 2>/dev/null || true
}

# Those of the record, which can have more than the configuration.
stop_servers()
{
	local id status=0
	local -a pids=()

	for id in "${!STAND_INODE[@]}"; do
		if runs_on_stand "$id"; then
			stop_server "$id" &
			pids+=($!)
		fi
	done
	for id in ${pids[@]+"${pids[@]}"}; do
		wait "$id" || status=1
	done
	return "$status"
}

# Who stops the others: the supervisor of a managed node, else the postmaster.
first_process()
{
	if is_managed; then
		node_supervisor "$1" || true
	else
		head -n 1 "$(node_directory "$1")/postmaster.pid" 2>/dev/null || true
	fi
}

# By signals, so that PostgreSQL's programs are not needed.  A server that was
# paused must be able to stop, and one that lost its postmaster cannot be told to.
stop_server()
{
	local first turn

	signal_server "$1" CONT
	first=$(first_process "$1")
	if [[ -n $first && $'\n'$(stand_processes "$1")$'\n' == *$'\n'"$first"$'\n'* ]]; then
		# As "pg_ctl stop -m fast" does, and as patiently.
		kill -INT "$first" 2>/dev/null || true
		for (( turn = 0; turn < 12; turn++ )); do
			if wait_while runs_on_stand "$1"; then
				say "node $1: stopped"
				return
			fi
		done
	fi
	warn "node $1: killing what is left of its server"
	for (( turn = 0; turn < 12; turn++ )); do
		signal_server "$1" KILL
		runs_on_stand "$1" || return 0
		sleep 0.2
	done
	error "node $1: processes of its server outlive SIGKILL"
	return 1
}

# ---- the network ----

# All of them: some are born while others are killed.
end_processes()
{
	local pids tries

	for (( tries = 0; tries < 50; tries++ )); do
		pids=$(ip netns pids "$1") || return 1
		[[ -n $pids ]] || return 0
		# shellcheck disable=SC2086
		kill -KILL $pids 2>/dev/null || true
		sleep 0.1
	done
	error "processes in the namespace $1 outlive SIGKILL:" "${pids//$'\n'/ }"
	return 1
}

# has_nothing KIND NAME: nothing that is to be removed has that name.
has_nothing()
{
	"$1_exists" "$2" || return 0
	is_ours "$1" "$2" && return 1
	warn "the $1 $2 is no longer the one that the stand has made, it stays"
}

remove_namespace()
{
	! has_nothing namespace "$1" || return 0
	# What a killed "ip netns add" has left cannot have processes.
	! namespace_works "$1" || end_processes "$1" || return 1
	ip netns del "$1"
}

remove_link()
{
	has_nothing link "$1" || ip link del "$1"
}

remove_chain()
{
	local hooks

	chain_exists "$1" || return 0
	{
		# It hangs in FORWARD once, unless somebody has helped.
		for (( hooks = $(count_hooks "$1"); hooks > 0; hooks-- )); do
			printf -- '-D FORWARD -j %s\n' "$1"
		done
		printf -- '-F %s\n-X %s\n' "$1" "$1"
	} | ebtables_batch
}

# What cannot be removed stays on record, for the next time.
remove_network()
{
	local line kind name
	local -a lines=()

	mapfile -t lines <"$STAND_RECORD"
	# Cables first: then no process can send any more.
	for line in "${lines[@]}"; do
		read -r kind name _ <<<"$line"
		[[ $kind != link ]] || remove_link "$name"
	done
	for line in "${lines[@]}"; do
		read -r kind name _ <<<"$line"
		case $kind in
			namespace)
				remove_namespace "$name" ||
					fail "the namespace $name stays, and what is left of the stand" "run net_down.sh again"
				rm -f -- "$STAND_RECORDS/.launch-$name"
				;;
			chain) remove_chain "$name" ;;
		esac
	done
	rm -f -- "$STAND_RECORD"
}

# ---- the nodes' files ----

# Ids of the nodes that a stand has launched, by the mark that ctl.sh leaves.
marked_nodes()
{
	local kind id directory

	while read -r kind id directory; do
		if [[ $kind == node && $directory == "$(node_directory "$id")" ]]; then
			printf '%d\n' "$id"
		fi
	done < <(as_server cat -- "$PGLD_STATE_DIRECTORY/$STAND_MARK" 2>/dev/null || true) | sort -nu
}

# Before anything is done: may the nodes' files be removed?  Sets MARKED.
check_removal()
{
	local id

	mapfile -t MARKED < <(marked_nodes)
	for id in "${NODE_IDS[@]}" ${MARKED[@]+"${MARKED[@]}"}; do
		! runs_elsewhere "$id" ||
			fail "node $id runs, and not on this stand: the nodes' files stay" "script/nodestop.sh stops it"
	done
	for id in "${NODE_IDS[@]}"; do
		[[ " ${MARKED[*]:-} " != *" $id "* ]] || continue
		if node_exists "$id" || as_server test -e "$(node_state_file "$id")"; then
			fail "node $id has files, but no stand has launched it: they stay" \
				"remove them by hand, or leave out --remove-nodes"
		fi
	done
}

# Only what nodelaunch.sh and the servers have made, by name.
remove_nodes()
{
	local id directory others base
	local -a directories

	for id in ${MARKED[@]+"${MARKED[@]}"}; do
		[[ -z $(node_processes "$id") ]] || fail "node $id still runs, its files stay"
		remove_node "$id"
	done
	# Nodes of another configuration can have their state files in the same place.
	others=$(as_server cat -- "$PGLD_STATE_DIRECTORY/$STAND_MARK" 2>/dev/null |
		grep -vxF -f <(for id in ${MARKED[@]+"${MARKED[@]}"}; do print_mark "$id"; done)) || true
	if [[ -z $others ]]; then
		as_server rm -f -- "$PGLD_STATE_DIRECTORY/$STAND_MARK" "$(passfile)"
	fi
	# The outer directory last, and it only if it can be nobody else's.
	base=$(dirname "$PGLD_DB_PATHNAME_PREFIX")
	directories=("$PGLD_STATE_DIRECTORY" "$PGLD_SOCKET_DIRECTORY" "$base")
	if [[ ${base%/*} == */pg_leader_nodes ]]; then
		directories+=("${base%/*}")
	fi
	for directory in "${directories[@]}"; do
		as_server rmdir -- "$directory" 2>/dev/null || true
	done
	if (( ${#MARKED[@]} > 0 )); then
		say "the nodes' files are removed"
	else
		say "there are no files of nodes"
	fi
}

config=$PGLD_DEFAULT_CONFIG
remove=no
while (( $# > 0 )); do
	case $1 in
		-c | --config) config=$(option_value "$@"); shift ;;
		--remove-nodes) remove=yes ;;
		-h | --help) usage; exit 0 ;;
		-*) usage_error "there is no option $1" ;;
		*) usage_error "no argument is needed, not even \"$1\"" ;;
	esac
	shift
done
read_stand_config "$config"
require_stand_tools

lock_stand

read_stand_inodes
if [[ $remove == yes ]]; then
	check_removal
fi
for id in "${NODE_IDS[@]}"; do
	! runs_elsewhere "$id" || warn "node $id runs, and not on this stand: it is left alone"
done
# Servers must not inherit the lock; none is started here.
stop_servers || fail "not all servers could be stopped, the stand stays"
if [[ -e $STAND_RECORD ]]; then
	remove_network
	say "the stand is down: namespaces, cables, the bridge $BRIDGE_NAME and its rules are gone"
else
	say "there is no stand with the bridge $BRIDGE_NAME"
fi
if [[ $remove == yes ]]; then
	remove_nodes
fi
remove_locks
