#!/bin/bash
#
# script/watchpsql.sh
#	  Watch what one node knows: its id, role, term, leader and lease, and what its server is.
#
# For people, and with --once for scripts.  Only reads, through psql.

here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=script/lib.sh
. "$here/lib.sh"

usage()
{
	cat <<TEXT
NAME
    watchpsql.sh - watch what a node knows about the election

SYNOPSIS
    watchpsql.sh [-c CONFIG] [-i SECONDS] [--once] NODE_ID

DESCRIPTION
    Prints the node's id, role, term, the leader that it knows, and how long
    its lease still runs ("-": it has none), again and again until it is
    interrupted.  Of a managed node also what its server is, whether it takes commits
    (open), on which timeline it is and where its WAL ends.  On a terminal a line is refreshed in place, and a new one is
    begun when role, term or leader change; elsewhere every reading is a line.
    A node that goes down is waited for, and of a member that does not take
    part in elections the reason is printed.

    Members can differ for a moment in whom they take for the leader; what
    counts is that only one has a lease.

OPTIONS
    -c CONFIG   the configuration, $PGLD_DEFAULT_CONFIG by default
    -i SECONDS  time between two readings, 0.5 by default
    --once      one reading, without a heading
    --help      this text

EXIT STATUS
    with --once: 0 the node answered, 1 it did not; 2 called wrongly
TEXT
}

query="SELECT pg_leader_status.node_id, role, term, coalesce(leader_id::text, '-'),
	coalesce((extract(epoch FROM lease_remaining) * 1000)::int || ' ms', '-'),
	CASE WHEN abstaining THEN 'abstains: ' || coalesce(abstain_reason, 'yes') ELSE '' END,
	coalesce(server || CASE WHEN is_open THEN ' open' WHEN server = 'primary' THEN ' closed' ELSE ' ' || lower(\"order\") END
		|| '  timeline ' || timeline || '  WAL ' || wal_end, CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE '' END),
	CASE WHEN state = 'taking part' THEN '' ELSE state END
	FROM pg_leader_status LEFT JOIN pg_leader_server ON true"

# Turns what psql said into one line.
explain_failure()
{
	local text=$1

	case $text in
		*'relation "pg_leader_status" does not exist'*)
			printf 'node %d: database "postgres" has no extension pg_leader; CREATE EXTENSION pg_leader' "$id"
			;;
		*shared_preload_libraries*)
			printf 'node %d: pg_leader is not in shared_preload_libraries; set it and restart the server' "$id"
			;;
		*'failed: No such file or directory'* | *'failed: Connection refused'*)
			printf 'node %d: not reachable: no server of user %s runs' "$id" "$SERVER_USER"
			;;
		*)
			# The cause is at the end of psql's first line.
			text=${text%%$'\n'*}
			text=${text#psql: error: }
			printf 'node %d: not reachable: %s' "$id" "${text##*failed: }"
			;;
	esac
}

# Sets "line", and "key", which is the same as long as nothing has happened.
read_node()
{
	local output node role term leader lease abstains standby state

	if output=$(node_psql "$id" -F '|' -c "$query" 2>&1) && [[ -n $output ]]; then
		IFS='|' read -r node role term leader lease abstains standby state <<<"$output"
		printf -v line 'node %s  %-13s  term %s  leader %s  lease %s' \
			"$node" "$role" "$term" "$leader" "$lease"
		if [[ -n $state ]]; then
			line="node $id  $state"
		fi
		line+="${standby:+  $standby}${abstains:+  $abstains}"
		key="$node $role $term $leader $abstains $state"
		return 0
	fi
	line=$(explain_failure "${output:-no answer}")
	key=$line
	return 1
}

watch_node()
{
	local before=

	if [[ ! -t 1 ]]; then
		while :; do
			read_node || true
			printf '%s  %s\n' "$(date +%T)" "$line"
			sleep "$interval"
		done
	fi
	trap 'printf "\n"; exit 0' INT TERM
	say "every $interval s; Ctrl-C ends it"
	while :; do
		read_node || true
		if [[ -n $before && $key != "$before" ]]; then
			printf '\n'
		fi
		before=$key
		# Back to the line's beginning, write it, erase what is left of it.
		printf '\r%s  %.*s\033[K' "$(date +%T)" "$(( $(tput cols 2>/dev/null || echo 80) - 11 ))" "$line"
		sleep "$interval"
	done
}

config=$PGLD_DEFAULT_CONFIG
interval=0.5
once=no
id=
while (( $# > 0 )); do
	case $1 in
		-c | --config) config=$(option_value "$@"); shift ;;
		-i | --interval) interval=$(option_value "$@"); shift ;;
		--once) once=yes ;;
		-h | --help) usage; exit 0 ;;
		-*) usage_error "there is no option $1" ;;
		*) [[ -z $id ]] || usage_error "one node at a time, not $id and $1"; id=$1 ;;
	esac
	shift
done
[[ -n $id ]] || usage_error "which node?  NODE_ID is missing"
check_interval "$interval"

read_config "$config"
check_node_id "$id"
id=$((10#$id))
find_postgres

if [[ $once == yes ]]; then
	status=0
	read_node || status=1
	say "$line"
	exit "$status"
fi
watch_node
