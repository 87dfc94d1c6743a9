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
    Starts the node's supervisor, which runs its PostgreSQL server: as the
    primary if its member is elected, else as a standby of whoever is.  Writes
    the settings of the configuration into a file beside the data directory
    (node0.conf), which reads the data directory's postgresql.conf first.  Of a
    new cluster, the node with the lowest id creates the database cluster; the
    others begin with nothing, and get a copy of it once all members have been
    launched.  Lines that are missing in pg_hba.conf for the members to connect
    are added at its end.  On a node that runs already it applies the settings
    that can be applied and is done.

    With PGLD_MANAGE=off in the configuration the elected leader is nothing but
    that: each node is a server of its own, which this script starts.  Its
    settings are in pg_leader.conf of its data directory, which postgresql.conf
    includes.  For pg_leader.notify_command it needs a supervisor: --foreground.

    A changed configuration takes effect at the next launch.  Settings of your
    own belong into postgresql.conf; they are kept.

    A server can run while its member cannot take part in elections, because of
    a damaged state file or of settings that do not go together.  Then that is
    printed, and the exit status is 1, though the server goes on running.

OPTIONS
    -c CONFIG     the configuration, $PGLD_DEFAULT_CONFIG by default
    --foreground  become the supervisor, also with PGLD_MANAGE=off, with the log on
                  standard error, for use under a service manager
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

# Whoever creates a managed cluster makes up a password, with which all members connect to
# each other.
ensure_passfile()
{
	local file

	file=$(passfile)
	if [[ -n $PGLD_REPLICATION_CONNINFO ]] || as_server test -e "$file"; then
		return
	fi
	creates_cluster || fail "node $id: there is no $file, with which members connect to each other" \
		"copy it from where another node was launched, to user $SERVER_USER and mode 0600, or set PGLD_REPLICATION_CONNINFO"
	make_passfile
}

# From which hosts members connect; initdb lets in those of this machine.
print_hba()
{
	local host mask

	for host in $(printf '%s\n' "${NODE_HOST[@]}" | sort -u); do
		mask=
		case $host in
			127.* | localhost | ::1) continue ;;
			*:*) mask=/128 ;;
			*[!0-9.]*) ;;
			*) mask=/32 ;;
		esac
		printf 'host\t%s\tpostgres\t%s\tscram-sha-256\n' all "$host$mask" replication "$host$mask"
	done
}

# add_hba DIRECTORY: those that are missing there; the list of members may have grown.
add_hba()
{
	local line

	while IFS= read -r line; do
		as_server grep -qxF -e "$line" "$1/pg_hba.conf" ||
			printf '%s\n' "$line" | as_server tee -a -- "$1/pg_hba.conf" >/dev/null
	done < <(print_hba)
}

# What the first node of a managed cluster has more than another database cluster.
prepare_cluster()
{
	local data=$1 output

	add_hba "$data"
	output=$(printf 'CREATE EXTENSION pg_leader\n' |
		as_server "$PG_BIN/postgres" --single -D "$data" -c shared_preload_libraries=pg_leader postgres 2>&1) || true
	if [[ $output == *ERROR:* || $output == *FATAL:* ]]; then
		fail "CREATE EXTENSION pg_leader failed: $output"
	fi
}

# Settings of a managed node are in a file beside the data directory, which "pg_ctl start" knows nothing of: without
# these lines that would start a server of its own, on the cluster's data.
guard_cluster()
{
	as_server tee -a -- "$1/postgresql.conf" >/dev/null <<TEXT

# Written by nodelaunch.sh: without its supervisor, this server does not start.
shared_preload_libraries = 'pg_leader'
pg_leader.manage = on
TEXT
}

# initdb beside its place and a rename: a half-made cluster is never taken for
# a whole one.
create_cluster()
{
	local data=$1 output
	local -a more=()

	if as_server test -e "$data" && ! as_server rmdir -- "$data" 2>/dev/null; then
		fail "$data is there, but it is no database cluster" \
			"move it away, or change PGLD_DB_PATHNAME_PREFIX"
	fi
	as_server rm -rf -- "$data.initdb"
	say "node $id: creating a database cluster in $data"
	if is_managed; then
		more=(--data-checksums)
		if [[ -z $PGLD_REPLICATION_CONNINFO ]]; then
			# shellcheck disable=SC2016
			as_server cut -d: -f5 -- "$(passfile)" | as_server sh -c 'umask 077; cat >"$1"' sh "$(passfile).initdb"
			more+=("--pwfile=$(passfile).initdb")
		fi
	fi
	output=$(as_server "$PG_BIN/initdb" -D "$data.initdb" -U postgres --no-locale \
		--encoding=UTF8 --auth-local=trust --auth-host=scram-sha-256 "${more[@]}" 2>&1) ||
		fail "initdb failed: $output"
	as_server rm -f -- "$(passfile).initdb"
	if is_managed; then
		prepare_cluster "$data.initdb"
		guard_cluster "$data.initdb"
	fi
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

# Where the supervisor of the node answers HTTP.  The setting takes no names.
http_address()
{
	local host=${NODE_HOST[id]}

	if [[ $host == *:* ]]; then
		host="[$host]"
	elif [[ ! $host =~ ^[0-9.]+$ ]]; then
		host=0.0.0.0
	fi
	printf '%s:%s' "$host" "$((10#$PGLD_HTTP_PORT + id))"
}

# What a managed node has more.
print_managed_settings()
{
	set_line pg_leader.manage on
	set_line pg_leader.replication_conninfo "${PGLD_REPLICATION_CONNINFO:-user=postgres passfile=$(passfile)}"
	if [[ -n $PGLD_HTTP_PORT ]]; then
		set_line pg_leader.http_listen "$(http_address)"
	fi
	set_line max_wal_senders "$((2 * 10#$N_NODES + 8))"
	set_line wal_keep_size 512MB
	set_line max_slot_wal_keep_size 2GB
	set_line max_replication_slots "$((2 * 10#$N_NODES + 8))"
	set_line recovery_init_sync_method syncfs
}

print_settings()
{
	if is_managed; then
		cat <<TEXT
# Written by nodelaunch.sh from its configuration at each launch: do not edit.
# Your own settings belong into the file that is included here.
TEXT
		set_line include_if_exists "$(node_directory "$id")/postgresql.conf"
		print_managed_settings
	else
		cat <<TEXT
# Written by nodelaunch.sh from its configuration at each launch: do not edit.
# Your own settings belong into postgresql.conf, above the line that includes
# this file.
TEXT
		set_line pg_leader.manage off
	fi
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
	local data=$1 file=$1/pg_leader.conf text before

	if is_managed; then
		file=$(node_conf "$id")
	else
		check_own_settings "$data"
	fi
	text=$(print_settings)
	before=$(as_server cat -- "$file" 2>/dev/null || true)
	changed=no
	if [[ $text != "$before" ]]; then
		changed=yes
		# shellcheck disable=SC2016
		printf '%s\n' "$text" |
			as_server sh -c 'umask 077; cat >"$1.new" && mv -T -- "$1.new" "$1"' sh "$file"
	fi
	if ! is_managed && ! as_server grep -q "^include 'pg_leader.conf'" "$data/postgresql.conf"; then
		# shellcheck disable=SC2016
		as_server sh -c 'printf "\n%s\n" "$2" >>"$1"' sh "$data/postgresql.conf" \
			"include 'pg_leader.conf'		# written by nodelaunch.sh; keep it last"
	fi
}

check_own_settings()
{
	local data=$1

	# Not made up here: a server with another one than its own is another server.
	as_server test -r "$data/postgresql.conf" ||
		fail "node $id: there is no $data/postgresql.conf that can be read" \
			"put it back; nodelaunch.sh only adds a line to it"
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

supervisor_command()
{
	printf '%s\0' "$PG_BIN/pg_leader_supervisor" -D "$1"
	if is_managed; then
		printf '%s\0' -c "config_file=$(node_conf "$id")"
	fi
}

# What it has said last since then, without the date.  The log may not be there yet.
last_words()
{
	{ as_server tail -c "+$(($1 + 1))" -- "$(node_log "$id")" 2>/dev/null || true; } |
		sed -nE 's/^.* pg_leader_supervisor: (LOG|WARNING|ERROR|HINT):  //p' | tail -n 1
}

# Until the server answers, or the supervisor says what it waits for.
start_managed()
{
	local data=$1 log size words tries
	local -a command

	log=$(node_log "$id")
	size=$(as_server stat -c %s -- "$log" 2>/dev/null || echo 0)
	mapfile -d '' -t command < <(supervisor_command "$data")
	# shellcheck disable=SC2016
	as_server setsid sh -c 'log=$1; shift; exec "$@" </dev/null >>"$log" 2>&1 &' sh "$log" "${command[@]}"
	for (( tries = 0; tries < 300; tries++ )); do
		words=$(last_words "$size")
		if node_is_supervised "$id"; then
			if node_psql "$id" -c 'SELECT 1' >/dev/null 2>&1; then
				say "node $id: runs, port $(node_port "$id"), log $log"
				return
			elif [[ -n $words && $words != created* ]] && ! node_exists "$id"; then
				say "node $id: begins without data, log $log; its supervisor says: $words"
				return
			fi
		elif [[ -n $words && $words != created* ]]; then
			error "node $id did not start; its log, $log, says:"
			as_server tail -c "+$((size + 1))" -- "$log" | tail -n 12 >&2
			exit 1
		fi
		sleep 0.1
	done
	fail "node $id does not answer; its supervisor says: $words" "its log is $log"
}

# Has somebody stopped the server of a supervisor that runs, with pg_ctl?  It stays down then.
server_stays_down()
{
	[[ $(as_server grep -E 'pg_leader_supervisor: (LOG:  started|WARNING:  somebody has stopped) the server' -- "$(node_log "$id")" |
		tail -n 1) == *"stays down" ]]
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

	if is_managed && ! node_psql "$id" -c 'SELECT 1' >/dev/null 2>&1; then
		return
	fi

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

reload_node()
{
	if is_managed; then
		signal_process HUP "$(as_server cat -- "$(node_supervisor_file "$id")")"
	else
		as_server "$PG_BIN/pg_ctl" -D "$1" -s reload
	fi
}

# Does this launch create a database cluster?  Of managed nodes only the first one does, of a new cluster.
creates_cluster()
{
	! node_exists "$id" && { ! is_managed || { [[ $id -eq ${NODE_IDS[0]} ]] && node_is_blank "$id"; }; }
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
if { is_managed || node_exists "$id"; } && node_running "$id"; then
	write_settings "$data"
	if is_managed && server_stays_down; then
		fail "node $id: its supervisor runs, but somebody has stopped its server, and it stays down" \
			"stop the node with nodestop.sh, and launch it again"
	fi
	say "node $id: runs already, port $(node_port "$id")"
	if [[ $changed == yes ]]; then
		reload_node "$data"
		say "node $id: its settings have changed; what needs a restart waits for the next launch"
	fi
	check_participation
	exit 0
fi
# A server that was killed a moment ago is not gone yet; what stays is for
# PostgreSQL to judge.
if ! is_managed && node_exists "$id"; then
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
if is_managed; then
	ensure_passfile
	! node_exists "$id" || add_hba "$data"
fi
if creates_cluster; then
	create_cluster "$data"
fi
write_settings "$data"

if [[ $foreground == yes ]]; then
	mapfile -d '' -t command < <(supervisor_command "$data")
	exec_as_server "${command[@]}"
fi
if is_managed; then
	start_managed "$data"
else
	start_node "$data"
	create_extension
fi
check_participation
if [[ $has_state == yes ]]; then
	report_abstaining
fi
