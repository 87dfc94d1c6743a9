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
    Stops the stand's servers, also paused ones, ends whatever else runs in its
    namespaces, and removes what net_init.sh has made: namespaces, cables, the
    bridge and the ebtables chain.  Nothing that somebody else has made is
    touched.  The nodes' database clusters and state files stay, for the next
    time.

OPTIONS
    -c CONFIG       the configuration, $PGLD_DEFAULT_CONFIG by default
    --remove-nodes  also remove the nodes' database clusters, logs and state
                    files, so that the next start begins a new cluster
    --help          this text

EXIT STATUS
    0 nothing is left, 1 something is, 2 called or configured wrongly
TEXT
}

# A server that was paused must be able to stop, and one that lost its
# postmaster cannot be told to.
stop_servers()
{
	local id

	for id in "${NODE_IDS[@]}"; do
		if [[ -n $(node_processes "$id") ]]; then
			signal_node "$id" CONT
			stop_server "$id" &
		fi
	done
	wait
}

stop_server()
{
	"$here/../nodestop.sh" -c "$CONFIG_FILE" "$1" && return
	warn "node $1: killing what is left of its server"
	signal_node "$1" KILL
	wait_while has_processes "$1"
}

has_processes()
{
	[[ -n $(node_processes "$1") ]]
}

remove_namespace()
{
	local pids

	namespace_exists "$1" || return 0
	if namespace_works "$1"; then
		pids=$(ip netns pids "$1")
		# shellcheck disable=SC2086
		[[ -z $pids ]] || kill -KILL $pids 2>/dev/null || true
	fi
	ip netns del "$1"
}

remove_chain()
{
	chain_exists "$1" || return 0
	{
		# It hangs in FORWARD once, unless somebody has helped.
		ebtables-nft -L FORWARD | awk -v rule="-j $1" '$0 == rule { print "-D FORWARD " rule }'
		printf -- '-F %s\n-X %s\n' "$1" "$1"
	} | ebtables_batch
}

remove_network()
{
	local kind name

	# Cables first: then no process can send any more.
	while read -r kind name; do
		if [[ $kind == link ]] && link_exists "$name"; then
			ip link del "$name"
		fi
	done < <(tac "$STAND_RECORD")
	while read -r kind name; do
		case $kind in
			namespace)
				remove_namespace "$name"
				rm -f -- "$STAND_RECORDS/.launch-$name"
				;;
			chain) remove_chain "$name" ;;
		esac
	done <"$STAND_RECORD"
	rm -f -- "$STAND_RECORD"
}

# Only what nodelaunch.sh and the servers have made, by name.
remove_nodes()
{
	local id directory

	for id in "${NODE_IDS[@]}"; do
		[[ -z $(node_processes "$id") ]] || fail "node $id still runs, its files stay"
		if node_exists "$id"; then
			as_server rm -rf -- "$(node_directory "$id")"
		fi
		as_server rm -rf -- "$(node_directory "$id").initdb"
		as_server rm -f -- "$(node_log "$id")" "$(node_state_file "$id")"
	done
	for directory in "$PGLD_STATE_DIRECTORY" "$PGLD_SOCKET_DIRECTORY" "$(dirname "$PGLD_DB_PATHNAME_PREFIX")"; do
		as_server rmdir -- "$directory" 2>/dev/null || true
	done
	say "the nodes' files are removed"
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
find_postgres

mkdir -p "$STAND_RECORDS"
exec {lock}>"$STAND_RECORDS/.lock"
flock "$lock"

# Servers must not inherit the lock; none is started here.
stop_servers
if [[ -e $STAND_RECORD ]]; then
	remove_network
	say "the stand is down: namespaces, cables, the bridge $BRIDGE_NAME and its rules are gone"
else
	say "there is no stand with the bridge $BRIDGE_NAME"
fi
if [[ $remove == yes ]]; then
	remove_nodes
fi
