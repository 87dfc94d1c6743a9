#!/bin/bash
#
# script/nodestop.sh
#	  Stop nodes that nodelaunch.sh has launched.
#
# For people and for quickstart.sh and the test stand.  Removes nothing.

here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=script/lib.sh
. "$here/lib.sh"

usage()
{
	cat <<TEXT
NAME
    nodestop.sh - stop nodes

SYNOPSIS
    nodestop.sh [-c CONFIG] [-m MODE] NODE_ID... | ALL

DESCRIPTION
    Stops these nodes, or all nodes that this machine has: the supervisor, where
    there is one, with its server.  A leader hands over before it stops, except in
    mode "immediate".  A node that does not run is left alone.

OPTIONS
    -c CONFIG  the configuration, $PGLD_DEFAULT_CONFIG by default
    -m MODE    as pg_ctl's: fast (the default) or immediate; smart as well, where
               there is no supervisor
    --help     this text

EXIT STATUS
    0 none of this user's runs, 1 one could not be stopped, 2 called wrongly
TEXT
}

# The supervisor bounds how long that takes.
stop_supervised()
{
	local signal=TERM pid tries

	if ! node_is_supervised "$1"; then
		say "node $1: does not run"
		return
	fi
	if [[ $mode == smart ]]; then
		error "node $1 has a supervisor, which does not stop it smart" "the modes are fast and immediate"
		status=1
		return
	fi
	[[ $mode != immediate ]] || signal=QUIT
	pid=$(as_server cat -- "$(node_supervisor_file "$1")")
	signal_process "$signal" "$pid" 2>/dev/null || true
	for (( tries = 0; tries < 900; tries++ )); do
		if ! node_is_supervised "$1"; then
			say "node $1: stopped"
			return
		fi
		sleep 0.1
	done
	error "node $1 could not be stopped; its supervisor is process $pid, its log $(node_log "$1")"
	status=1
}

stop_node()
{
	local output

	# Without PGLD_MANAGE it has a supervisor if it was launched by --foreground.
	if is_managed || node_is_supervised "$1"; then
		stop_supervised "$1"
		return
	fi

	if ! node_exists "$1"; then
		if port_taken tcp "${NODE_HOST[$1]}" "$(node_port "$1")"; then
			say "node $1: user $SERVER_USER has no such node; somebody else listens on its TCP port $(node_port "$1")"
		else
			say "node $1: not on this machine, there is no $(node_directory "$1")"
		fi
	elif ! node_running "$1"; then
		if wait_while node_has_children "$1"; then
			say "node $1: does not run"
		else
			error "node $1 does not run, but processes of its server, which was killed, are still there"
			status=1
		fi
	elif output=$(as_server "$PG_BIN/pg_ctl" -D "$(node_directory "$1")" -s -w -t 60 -m "$mode" stop 2>&1); then
		say "node $1: stopped"
	elif ! node_running "$1" && wait_while node_has_children "$1"; then
		# It ended by itself, or somebody else was quicker.
		say "node $1: stopped"
	else
		error "node $1 could not be stopped: ${output%%$'\n'*}"
		status=1
	fi
}

config=$PGLD_DEFAULT_CONFIG
mode=fast
ids=()
while (( $# > 0 )); do
	case $1 in
		-c | --config) config=$(option_value "$@"); shift ;;
		-m | --mode) mode=$(option_value "$@"); shift ;;
		-h | --help) usage; exit 0 ;;
		-*) usage_error "there is no option $1" ;;
		*) ids+=("$1") ;;
	esac
	shift
done
[[ $mode =~ ^(smart|fast|immediate)$ ]] ||
	usage_error "there is no mode \"$mode\"" "the modes are smart, fast and immediate"
(( ${#ids[@]} > 0 )) || usage_error "which node?  NODE_ID is missing; ALL stops all of them"

read_config "$config"
[[ $mode != smart ]] || ! is_managed ||
	usage_error "a managed node is not stopped smart: that would wait for its clients" "the modes are fast and immediate"
if [[ ${ids[*]} =~ ^(ALL|all)$ ]]; then
	ids=("${NODE_IDS[@]}")
fi
for id in "${ids[@]}"; do
	check_node_id "$id"
done
find_postgres

status=0
for id in "${ids[@]}"; do
	stop_node "$((10#$id))"
done
exit "$status"
