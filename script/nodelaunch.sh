#!/bin/bash
#
# script/nodelaunch.sh
#	  Launch one node: a PostgreSQL server with pg_leader in it.
#
# For people and for quickstart.sh and the test stand.  Makes what is missing and
# overwrites nothing but the node's pg_leader.conf.

here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=script/lib.sh
. "$here/lib.sh"

usage()
{
	cat <<TEXT
NAME
    nodelaunch.sh - launch a node: a PostgreSQL server with pg_leader

SYNOPSIS
    nodelaunch.sh [-c CONFIG] [--foreground] [--new] NODE_ID

DESCRIPTION
    Creates the node's database cluster if there is none, writes the settings
    of the configuration into its pg_leader.conf, which postgresql.conf
    includes, starts the server, waits until it answers, and creates the
    extension in database "postgres" if this server can write.  On a node that
    runs already it applies the settings that can be applied and is done.

    A changed configuration takes effect at the next launch.  Settings of your
    own belong into postgresql.conf; they are kept.

    A server can run while its member cannot take part in elections, because of
    a damaged state file or of settings that do not go together.  Then that is
    printed, and the exit status is 1, though the server goes on running.

OPTIONS
    -c CONFIG     the configuration, $PGLD_DEFAULT_CONFIG by default
    --foreground  become the server, with its log on standard error, for use
                  under a supervisor; creates no extension
    --new         also write a first state file.  For a member that has never
                  run, of a cluster that is created now, and for nothing else: a
                  member that ran and forgot its votes, or several that join a
                  cluster that runs, can make a second leader.  Refused where anything is
                  left of the node.  Without it, a member that finds no state file
                  abstains from voting until every other member has answered
                  it, or until SELECT pg_leader_admit().
    --help        this text

EXIT STATUS
    0 the node runs, 1 it does not, or it runs without taking part in elections,
    2 called or configured wrongly
TEXT
}

# initdb beside its place and a rename: a half-made cluster is never taken for
# a whole one.
create_cluster()
{
	local data=$1 output

	if as_server test -e "$data" && ! as_server rmdir -- "$data" 2>/dev/null; then
		fail "$data is there, but it is no database cluster" \
			"move it away, or change PGLD_DB_PATHNAME_PREFIX"
	fi
	as_server rm -rf -- "$data.initdb"
	say "node $id: creating a database cluster in $data"
	output=$(as_server "$PG_BIN/initdb" -D "$data.initdb" -U postgres --no-locale \
		--encoding=UTF8 --auth-local=trust --auth-host=scram-sha-256 2>&1) ||
		fail "initdb failed: $output"
	as_server mv -T -- "$data.initdb" "$data"
}

# set_line NAME VALUE: one line of a configuration file of PostgreSQL.
set_line()
{
	printf "%s = '%s'\n" "$1" "${2//\'/\'\'}"
}

# Times without a value are left to the module's defaults.
time_line()
{
	if [[ -n $2 ]]; then
		set_line "$1" "$((10#$2))ms"
	fi
}

print_settings()
{
	cat <<TEXT
# Written by nodelaunch.sh from its configuration at each launch: do not edit.
# Your own settings belong into postgresql.conf, above the line that includes
# this file.
TEXT
	set_line shared_preload_libraries pg_leader
	set_line listen_addresses "${NODE_HOST[id]}"
	set_line port "$(node_port "$id")"
	set_line unix_socket_directories "$PGLD_SOCKET_DIRECTORY"
	set_line unix_socket_permissions 0700
	set_line cluster_name "pg_leader ${CLUSTER_NAME:+$CLUSTER_NAME }$id"
	set_line pg_leader.node_id "$id"
	set_line pg_leader.cluster "$CLUSTER_LIST"
	if [[ -n $CLUSTER_NAME ]]; then
		set_line pg_leader.cluster_name "$CLUSTER_NAME"
	fi
	set_line pg_leader.state_directory "$PGLD_STATE_DIRECTORY"
	if [[ -n $PGLD_SECRET_FILE ]]; then
		set_line pg_leader.secret_file "$PGLD_SECRET_FILE"
	fi
	time_line pg_leader.min_timeout "$MIN_TIMEOUT"
	time_line pg_leader.max_timeout "$MAX_TIMEOUT"
	time_line pg_leader.heartbeat_interval "$HEARTBEAT_TIMEOUT"
	set_line pg_leader.log_messages "$ENABLE_LOG"
}

# Sets "changed" when the file was not like this before.
write_settings()
{
	local data=$1 text before

	# Not made up here: a server with another one than its own is another server.
	as_server test -r "$data/postgresql.conf" ||
		fail "node $id: there is no $data/postgresql.conf that can be read" \
			"put it back; nodelaunch.sh only adds a line to it"
	text=$(print_settings)
	before=$(as_server cat -- "$data/pg_leader.conf" 2>/dev/null || true)
	changed=no
	if [[ $text != "$before" ]]; then
		changed=yes
		# shellcheck disable=SC2016
		printf '%s\n' "$text" |
			as_server sh -c 'umask 077; cat >"$1.new" && mv -T -- "$1.new" "$1"' sh "$data/pg_leader.conf"
	fi
	if ! as_server grep -q "^include 'pg_leader.conf'" "$data/postgresql.conf"; then
		# shellcheck disable=SC2016
		as_server sh -c 'printf "\n%s\n" "$2" >>"$1"' sh "$data/postgresql.conf" \
			"include 'pg_leader.conf'		# written by nodelaunch.sh; keep it last"
	fi
}

start_node()
{
	local data=$1 log size words

	log=$(node_log "$id")
	size=$(as_server stat -c %s -- "$log" 2>/dev/null || echo 0)
	if ! as_server "$PG_BIN/pg_ctl" -D "$data" -l "$log" -s -w -t 60 start >/dev/null 2>&1; then
		words=$(as_server tail -c "+$((size + 1))" -- "$log" 2>/dev/null | tail -n 12 || true)
		error "node $id did not start; its log, $log, says:"
		printf '%s\n' "$words" >&2
		if [[ $words == *"Cannot assign requested address"* ]]; then
			printf 'hint: %s\n' "${NODE_HOST[id]} is not an address of this machine; launch node $id where it is one, or change IPv4_CLUSTER in $CONFIG_FILE" >&2
		fi
		exit 1
	fi
	say "node $id: runs, port $(node_port "$id"), log $log"
}

# A standby gets the extension from its primary.
create_extension()
{
	local output

	if [[ $(node_psql "$id" -c 'SELECT pg_is_in_recovery()' 2>/dev/null) == f ]]; then
		output=$(node_psql "$id" -c 'CREATE EXTENSION IF NOT EXISTS pg_leader' 2>&1) ||
			warn "node $id: CREATE EXTENSION pg_leader failed: ${output%%$'\n'*}"
	fi
}

# Nothing is known of a standby whose primary has no extension: no complaint.
check_participation()
{
	local state

	state=$(node_state "$id")
	if [[ -n $state && $state != "taking part" ]]; then
		fail "node $id runs, but its member does not take part in elections: ${state#not taking part: }" \
			"its log, $(node_log "$id"), says more"
	fi
	# A library that does not know the setting says so in the log alone.
	if [[ -n $PGLD_SECRET_FILE && $state == "taking part" &&
			$(node_psql "$id" -c 'SELECT authentication FROM pg_leader_status' 2>/dev/null) == f ]]; then
		fail "node $id runs without authentication, though PGLD_SECRET_FILE is set" \
			"the pg_leader that is installed may be older than this script: run \"make install\" and restart the node"
	fi
}

report_abstaining()
{
	local rows

	rows=$(node_psql "$id" -c "SELECT abstain_reason || '; it waits for ' || abstain_waits_for
		FROM pg_leader_status WHERE abstaining" 2>/dev/null) || return 0
	if [[ -n $rows ]]; then
		warn "node $id abstains from voting: $rows"
		say "pg_leader_status shows how that goes on.  If it waits for a member that is stopped for"
		say "good, or for pg_leader_admit(), see there: SELECT pg_leader_admit() on node $id."
	fi
}

config=$PGLD_DEFAULT_CONFIG
foreground=no
new=no
id=
while (( $# > 0 )); do
	case $1 in
		-c | --config) config=$(option_value "$@"); shift ;;
		--foreground) foreground=yes ;;
		--new) new=yes ;;
		-h | --help) usage; exit 0 ;;
		-*) usage_error "there is no option $1" ;;
		*) [[ -z $id ]] || usage_error "one node at a time, not $id and $1"; id=$1 ;;
	esac
	shift
done
[[ -n $id ]] || usage_error "which node?  NODE_ID is missing"

read_config "$config"
check_node_id "$id"
id=$((10#$id))
find_postgres
check_installed

data=$(node_directory "$id")
has_state=no
if as_server test -e "$(node_state_file "$id")"; then
	has_state=yes
fi
if [[ $new == yes ]] && node_has_run "$id"; then
	fail "node $id has been launched before: it has a database cluster, a state file or events" \
		"--new is for a member that has never run; launch it without --new"
fi
if node_exists "$id" && node_running "$id"; then
	write_settings "$data"
	say "node $id: runs already, port $(node_port "$id")"
	if [[ $changed == yes ]]; then
		as_server "$PG_BIN/pg_ctl" -D "$data" -s reload
		say "node $id: its settings have changed; what needs a restart waits for the next launch"
	fi
	check_participation
	exit 0
fi
# A server that was killed a moment ago is not gone yet; what stays is for
# PostgreSQL to judge.
if node_exists "$id"; then
	wait_while node_has_children "$id" || true
	wait_while node_is_zombie "$id" ||
		warn "node $id: the process of its killed server is a zombie: its parent has not reaped it"
fi

check_ports "$id"
ensure_directory "$(dirname "$PGLD_DB_PATHNAME_PREFIX")"
ensure_directory "$PGLD_STATE_DIRECTORY"
ensure_directory "$PGLD_SOCKET_DIRECTORY"
# The state file first: an interrupted launch then needs no second --new.
if [[ $new == yes ]]; then
	write_first_state "$id"
elif [[ $has_state == no ]]; then
	warn "node $id has no state file and was not launched with --new: it abstains until every other member has answered it, or until SELECT pg_leader_admit()"
fi
if ! node_exists "$id"; then
	create_cluster "$data"
fi
write_settings "$data"

if [[ $foreground == yes ]]; then
	exec_as_server "$PG_BIN/postgres" -D "$data"
fi
start_node "$data"
create_extension
check_participation
if [[ $has_state == yes ]]; then
	report_abstaining
fi
