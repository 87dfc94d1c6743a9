# shellcheck shell=bash
#
# script/lib.sh
#	  What the scripts share: messages, the configuration, PostgreSQL's programs,
#	  the user that servers run as, and how to reach a node.
#
# Sourced by everything in script/, by test/run.sh and by the test stand; never
# run.  Sourcing it changes nothing outside the shell.  Exit statuses are the
# same everywhere: 0 done, 1 failed, 2 called or configured wrongly.

# What is set here is used by those who source it.
# shellcheck disable=SC2034

set -euo pipefail

PROGRAM=$(basename "$0")
PGLD_ROOT=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
PGLD_DEFAULT_CONFIG=$PGLD_ROOT/config/pg_leader.config

# For tar: what a build or a run has left in the tree, and git.
NOT_SOURCES=(--exclude=./.git --exclude='*.o' --exclude='*.so' --exclude='*.bc' --exclude=./build
	--exclude=./pg_leader_state --exclude=./pg_leader_supervisor --exclude=./pg_leaderctl \
	--exclude=tmp_check --exclude=./results --exclude='*~' --exclude='*.swp')

# One language for what is parsed; nothing from the caller's surroundings may
# send psql or initdb somewhere else.
export LC_ALL=C
unset PGDATA PGHOST PGHOSTADDR PGPORT PGUSER PGDATABASE PGSERVICE PGSERVICEFILE \
	PGOPTIONS PGPASSFILE PGCLIENTENCODING PGSSLMODE PGTARGETSESSIONATTRS CDPATH

# ---- messages ----

say()
{
	printf '%s\n' "$*"
}

warn()
{
	printf '%s: warning: %s\n' "$PROGRAM" "$*" >&2
}

# error MESSAGE [HINT]
error()
{
	printf '%s: %s\n' "$PROGRAM" "$1" >&2
	if [[ -n ${2:-} ]]; then
		printf 'hint: %s\n' "$2" >&2
	fi
}

# fail MESSAGE [HINT]: it did not work.
fail()
{
	error "$@"
	exit 1
}

# usage_error MESSAGE [HINT]: called or configured wrongly.
usage_error()
{
	error "$1" "${2:-$PROGRAM --help says more}"
	exit 2
}

# The argument of an option, or a usage error: option_value "$@"
option_value()
{
	[[ $# -ge 2 && -n $2 ]] || usage_error "$1 needs a value"
	printf '%s' "$2"
}

is_root()
{
	[[ $(id -u) -eq 0 ]]
}

# is_number TEXT [MIN MAX]
is_number()
{
	[[ $1 =~ ^[0-9]{1,9}$ ]] || return 1
	[[ $# -eq 1 ]] || (( 10#$1 >= $2 && 10#$1 <= $3 ))
}

# check_interval SECONDS: the argument of -i, a number that may have a fraction.
check_interval()
{
	[[ $1 =~ ^([0-9]{1,5})(\.[0-9]{1,3})?$ && ! $1 =~ ^0+(\.0+)?$ ]] ||
		usage_error "-i needs a number of seconds above 0, not \"$1\""
}

# ---- PostgreSQL's programs ----

# Sets PG_BIN to the directory of the server's programs.  In this order: what
# PG_CONFIG names, what is in PATH, Debian's PostgreSQL 15, Debian's newest.
# Returns 1, and says nothing, if there is none.
locate_postgres()
{
	local candidate
	local -a candidates=()

	if [[ -n ${PG_CONFIG:-} ]]; then
		candidates+=("$("$PG_CONFIG" --bindir 2>/dev/null || true)")
	else
		candidate=$(type -P postgres || true)
		[[ -z $candidate ]] || candidates+=("$(dirname "$candidate")")
		candidates+=(/usr/lib/postgresql/15/bin)
		while read -r candidate; do
			candidates+=("$candidate")
		done < <(printf '%s\n' /usr/lib/postgresql/*/bin | sort -t/ -k5,5 -rn)
	fi
	for candidate in "${candidates[@]}"; do
		if [[ -x $candidate/postgres && -x $candidate/pg_ctl &&
				-x $candidate/initdb && -x $candidate/psql ]]; then
			PG_BIN=$candidate
			return 0
		fi
	done
	return 1
}

# The same, and fails if there is none or if it is too old.
find_postgres()
{
	local version

	locate_postgres ||
		fail "PostgreSQL's server programs were not found${PG_CONFIG:+ where PG_CONFIG=$PG_CONFIG says}" \
			"install PostgreSQL 15 or later, or put its bin directory into PATH"
	version=$("$PG_BIN/postgres" -V | sed -E 's/^[^0-9]*([0-9]+).*/\1/')
	is_number "$version" 15 99 ||
		fail "$PG_BIN has PostgreSQL $version, and pg_leader needs 15 or later" \
			"put another PostgreSQL's bin directory first into PATH"
}

# Fails unless the module and its program are installed in that PostgreSQL.
check_installed()
{
	local library

	library=$("$PG_BIN/pg_config" --pkglibdir)/pg_leader.so
	if [[ -r $library && -x $PG_BIN/pg_leader_state && -x $PG_BIN/pg_leader_supervisor && -x $PG_BIN/pg_leaderctl ]]; then
		return
	fi
	# Where a package has put the scripts there are no sources beside them.
	[[ -e $PGLD_ROOT/Makefile ]] ||
		fail "pg_leader is not installed in $(dirname "$PG_BIN")" \
			"install its package for this PostgreSQL: postgresql-MAJOR-pg-leader"
	fail "pg_leader is not installed in $(dirname "$PG_BIN")" \
		"run \"make install\" in $PGLD_ROOT, with PG_CONFIG=$PG_BIN/pg_config"
}

# ---- the user that servers run as ----

# Sets SERVER_USER and SERVER_HOME: PGLD_USER for root, the caller else.
choose_server_user()
{
	if is_root; then
		SERVER_USER=${PGLD_USER:-postgres}
		[[ $SERVER_USER =~ ^[A-Za-z_][A-Za-z0-9_.-]*$ ]] ||
			usage_error "PGLD_USER: \"$SERVER_USER\" is no user name"
		id -u "$SERVER_USER" >/dev/null 2>&1 ||
			fail "there is no user \"$SERVER_USER\"" \
				"name another one with PGLD_USER in the configuration"
		[[ $(id -u "$SERVER_USER") -ne 0 ]] ||
			usage_error "PGLD_USER must not be root, PostgreSQL refuses to run as root"
	else
		SERVER_USER=$(id -un)
	fi
	SERVER_HOME=$(getent passwd "$SERVER_USER" | cut -d: -f6)
	SERVER_HOME=${SERVER_HOME:-/nonexistent}
}

# Become that user and this command.  setpriv, unlike runuser, leaves no process
# in between that would turn a SIGTERM into a SIGKILL two seconds later.
exec_as_server()
{
	# That user may not be allowed to stand where the caller stands.
	cd /
	if is_root; then
		exec setpriv --reuid="$(id -u "$SERVER_USER")" --regid="$(id -g "$SERVER_USER")" \
			--init-groups -- env HOME="$SERVER_HOME" USER="$SERVER_USER" \
			LOGNAME="$SERVER_USER" "$@"
	fi
	exec "$@"
}

as_server()
{
	( exec_as_server "$@" )
}

# signal_process SIGNAL PID: by the shell, for a program "kill" is not on every machine.
signal_process()
{
	# shellcheck disable=SC2016
	as_server sh -c 'kill "-$1" "$2"' sh "$1" "$2"
}

# ---- the configuration ----

# Every name that a configuration can set.
PGLD_CONFIG_NAMES="N_NODES IPv4_CLUSTER CLUSTER_NAME NETWORK MASK PGLD_UDP_PORT
	NETNS_PREFIX VETH_PREFIX BRIDGE_NAME PGLD_DB_PATHNAME_PREFIX PGLD_STATE_DIRECTORY
	PGLD_SOCKET_DIRECTORY PGLD_START_PORT PGLD_USER MIN_TIMEOUT MAX_TIMEOUT
	HEARTBEAT_TIMEOUT ENABLE_LOG PGLD_SECRET_FILE PGLD_MANAGE PGLD_REPLICATION_CONNINFO PGLD_HTTP_PORT"

config_error()
{
	usage_error "$CONFIG_FILE: $1" "${2:-config/pg_leader.config explains every line}"
}

# config_number NAME MIN MAX: the setting must be a number in that range.
config_number()
{
	is_number "${!1}" "$2" "$3" ||
		config_error "$1 must be a number from $2 to $3, not \"${!1}\""
}

# Read and check a configuration; sets its names, NODE_IDS, NODE_HOST[id],
# NODE_UDP_PORT[id], CLUSTER_LIST, SERVER_USER and SERVER_HOME.
read_config()
{
	local name text

	CONFIG_FILE=$1
	[[ -e $CONFIG_FILE ]] || usage_error "there is no configuration file \"$CONFIG_FILE\""
	[[ -f $CONFIG_FILE && -r $CONFIG_FILE ]] ||
		usage_error "the configuration \"$CONFIG_FILE\" is not a file that can be read"
	CONFIG_FILE=$(readlink -f "$CONFIG_FILE")

	# Nothing comes from the environment; an empty name is one that is not set.
	for name in $PGLD_CONFIG_NAMES; do
		unset "$name"
		printf -v "$name" '%s' ''
	done

	# Try it in a shell of its own first: there, an error in it does not end this
	# one, which can then say whose it is.  Commands in it are run all the same.
	# shellcheck disable=SC2016
	text=$(bash -euc '. "$1" >/dev/null; echo "END OF IT" >&2' bash "$CONFIG_FILE" 2>&1) || {
		text=${text%%$'\n'*}
		config_error "cannot be read as shell: ${text:-a command in it fails}"
	}
	[[ $text == *"END OF IT" ]] ||
		config_error "a command in it ends the shell, such as \"exit\"" \
			"a configuration is nothing but lines of NAME=value"
	while read -r name; do
		[[ " ${PGLD_CONFIG_NAMES//[[:space:]]/ } " == *" $name "* ]] ||
			warn "$CONFIG_FILE: there is no setting named $name"
	done < <(sed -nE 's/^[[:space:]]*([A-Za-z_][A-Za-z0-9_]*)=.*/\1/p' "$CONFIG_FILE")

	# The user first, because "~" is its home in the paths.
	# shellcheck source=/dev/null
	PGLD_USER=$(. "$CONFIG_FILE" >/dev/null; printf '%s' "$PGLD_USER")
	choose_server_user
	text=$HOME
	HOME=$SERVER_HOME
	# shellcheck source=/dev/null
	. "$CONFIG_FILE"
	HOME=$text

	check_config
}

check_config()
{
	local name

	config_number N_NODES 1 64
	check_cluster
	config_number PGLD_START_PORT 1024 65535
	(( 10#$PGLD_START_PORT + NODE_IDS[-1] <= 65535 )) ||
		config_error "PGLD_START_PORT: node ${NODE_IDS[-1]} would have port $((10#$PGLD_START_PORT + NODE_IDS[-1]))"
	if [[ -n $PGLD_HTTP_PORT ]]; then
		config_number PGLD_HTTP_PORT 1024 "$((65535 - NODE_IDS[-1]))"
	fi
	for name in PGLD_DB_PATHNAME_PREFIX PGLD_STATE_DIRECTORY PGLD_SOCKET_DIRECTORY; do
		[[ -n ${!name} ]] || config_error "$name is not set"
		[[ ${!name} == /* ]] || config_error "$name must be an absolute path, not \"${!name}\""
		[[ ${!name} != *[[:cntrl:]\"\'\\,]* ]] ||
			config_error "$name must not contain quotes, commas, backslashes or control characters"
	done
	[[ -z $PGLD_SECRET_FILE || $PGLD_SECRET_FILE == /* && $PGLD_SECRET_FILE != *[[:cntrl:]\"\'\\,]* ]] ||
		config_error "PGLD_SECRET_FILE must be an absolute path without quotes, commas or backslashes, not \"$PGLD_SECRET_FILE\""
	[[ $PGLD_DB_PATHNAME_PREFIX != */ ]] ||
		config_error "PGLD_DB_PATHNAME_PREFIX must end in the beginning of a name, such as ${PGLD_DB_PATHNAME_PREFIX}node"
	# Linux allows 107 bytes in the path of a Unix socket.
	(( ${#PGLD_SOCKET_DIRECTORY} <= 107 - 17 )) ||
		config_error "PGLD_SOCKET_DIRECTORY is too long: a Unix socket's path has at most 107 bytes" \
			"choose a shorter one"
	[[ -z $CLUSTER_NAME || $CLUSTER_NAME =~ ^[A-Za-z0-9_.-]{1,40}$ ]] ||
		config_error "CLUSTER_NAME must be 1 to 40 letters, digits, \"_\", \".\" or \"-\", not \"$CLUSTER_NAME\""
	check_timeouts
	case $PGLD_MANAGE in
		on | true | yes | 1 | '') PGLD_MANAGE=on ;;
		off | false | no | 0) PGLD_MANAGE=off ;;
		*) config_error "PGLD_MANAGE must be on or off, not \"$PGLD_MANAGE\"" ;;
	esac
	[[ $PGLD_REPLICATION_CONNINFO != *[[:cntrl:]]* ]] ||
		config_error "PGLD_REPLICATION_CONNINFO must not contain control characters"
	case $ENABLE_LOG in
		on | true | yes | 1) ENABLE_LOG=on ;;
		off | false | no | 0 | '') ENABLE_LOG=off ;;
		*) config_error "ENABLE_LOG must be on or off, not \"$ENABLE_LOG\"" ;;
	esac
	if [[ -n $MASK ]]; then
		config_number MASK 8 24
		# Others would take "024" for an octal number.
		MASK=$((10#$MASK))
	fi
}

# What is not set is left to postgresql.conf, or to the module's defaults.  The
# ranges are those of the settings that these become, see server/settings.c.
check_timeouts()
{
	[[ -z $MIN_TIMEOUT ]] || config_number MIN_TIMEOUT 5 600000
	[[ -z $MAX_TIMEOUT ]] || config_number MAX_TIMEOUT 6 600000
	[[ -z $HEARTBEAT_TIMEOUT ]] || config_number HEARTBEAT_TIMEOUT 1 60000
	[[ -z $MIN_TIMEOUT || -z $MAX_TIMEOUT ]] || (( 10#$MIN_TIMEOUT < 10#$MAX_TIMEOUT )) ||
		config_error "MIN_TIMEOUT ($MIN_TIMEOUT ms) must be less than MAX_TIMEOUT ($MAX_TIMEOUT ms)"
	[[ -z $HEARTBEAT_TIMEOUT || -z $MIN_TIMEOUT ]] ||
		(( 2 * 10#$HEARTBEAT_TIMEOUT <= 10#$MIN_TIMEOUT )) ||
		config_error "HEARTBEAT_TIMEOUT ($HEARTBEAT_TIMEOUT ms) must be at most half of MIN_TIMEOUT ($MIN_TIMEOUT ms)"
}

IPV4_NUMBER='(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])'

check_network()
{
	[[ $NETWORK =~ ^$IPV4_NUMBER(\.$IPV4_NUMBER){2}$ ]] ||
		config_error "NETWORK must be the first three parts of an IPv4 address, such as 192.168.10, not \"$NETWORK\""
}

# check_host HOST ENTRY: what looks like an IPv4 address must be that of a member.
# Names and IPv6 addresses are left to the server, which knows all about them.
check_host()
{
	[[ $1 =~ ^[0-9.]+$ ]] || return 0
	[[ $1 =~ ^$IPV4_NUMBER(\.$IPV4_NUMBER){3}$ ]] ||
		config_error "IPv4_CLUSTER: \"$1\" in \"$2\" is not an IPv4 address"
	if [[ $1 == 0.0.0.0 || $1 == 255.255.255.255 || ${1%%.*} =~ ^2(2[4-9]|3[0-9])$ ]]; then
		config_error "IPv4_CLUSTER: $1 is not the address of one member"
	fi
}

# Take IPv4_CLUSTER apart, or make it up where it is empty.
check_cluster()
{
	local entry id host port address with_ids='' count=0 addresses=' '
	local -a entries=()

	if [[ -z ${IPv4_CLUSTER//[[:space:]]/} ]]; then
		check_network
		config_number PGLD_UDP_PORT 1 65535
		for (( id = 0; id < 10#$N_NODES; id++ )); do
			IPv4_CLUSTER+="${IPv4_CLUSTER:+, }$NETWORK.$((10 + id)):$PGLD_UDP_PORT"
		done
	fi
	CLUSTER_LIST=${IPv4_CLUSTER//[[:space:]]/}
	[[ $CLUSTER_LIST != *, ]] || config_error "IPv4_CLUSTER ends in a comma, with no entry behind it"
	IFS=, read -ra entries <<<"$CLUSTER_LIST"
	(( ${#entries[@]} == 10#$N_NODES )) ||
		config_error "N_NODES is $N_NODES, but IPv4_CLUSTER has ${#entries[@]} entries"

	NODE_IDS=()
	NODE_HOST=()
	NODE_UDP_PORT=()
	[[ ${entries[0]} != *=* ]] || with_ids=yes
	for entry in "${entries[@]}"; do
		[[ $entry =~ ^(([0-9]{1,2})=)?([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})$ ]] ||
			config_error "IPv4_CLUSTER: \"$entry\" is not host:port"
		[[ ${BASH_REMATCH[1]:+yes} == "$with_ids" ]] ||
			config_error "IPv4_CLUSTER: all entries have an id, or none; see \"$entry\""
		id=${BASH_REMATCH[2]:-$count}
		host=${BASH_REMATCH[3]//[\[\]]/}
		port=${BASH_REMATCH[4]}
		id=$((10#$id))
		(( id <= 63 )) || config_error "IPv4_CLUSTER: there is no node id $id, ids are 0 to 63"
		[[ -z ${NODE_HOST[id]:-} ]] || config_error "IPv4_CLUSTER: node id $id is there twice"
		is_number "$port" 1 65535 ||
			config_error "IPv4_CLUSTER: the port of \"$entry\" must be from 1 to 65535"
		check_host "$host" "$entry"
		NODE_HOST[id]=$host
		NODE_UDP_PORT[id]=$((10#$port))
		address=${host,,}:${NODE_UDP_PORT[id]}
		[[ $addresses != *" $address "* ]] ||
			config_error "IPv4_CLUSTER: the address ${entry#*=} is there twice"
		addresses+="$address "
		count=$((count + 1))
	done
	NODE_IDS=("${!NODE_HOST[@]}")
	CLUSTER_LIST=${CLUSTER_LIST//,/, }
}

# check_node_id ID: a member of the configured cluster?
check_node_id()
{
	is_number "$1" || usage_error "\"$1\" is no node id" "the nodes are ${NODE_IDS[*]}"
	[[ -n ${NODE_HOST[10#$1]:-} ]] ||
		usage_error "there is no node $1 in $CONFIG_FILE" "the nodes are ${NODE_IDS[*]}"
}

# ---- a node ----

node_directory()
{
	printf '%s%d' "$PGLD_DB_PATHNAME_PREFIX" "$1"
}

node_log()
{
	printf '%s%d.log' "$PGLD_DB_PATHNAME_PREFIX" "$1"
}

node_state_file()
{
	printf '%s/node-%d.state' "$PGLD_STATE_DIRECTORY" "$1"
}

node_events_file()
{
	printf '%s/node-%d.events' "$PGLD_STATE_DIRECTORY" "$1"
}

# ---- managed nodes ----

# Does the elected leader become the primary?  Then each node runs under its supervisor.
is_managed()
{
	[[ $PGLD_MANAGE == on ]]
}

# The configuration of a managed node is outside its data directory, which may be replaced as
# a whole.
node_conf()
{
	printf '%s%d.conf' "$PGLD_DB_PATHNAME_PREFIX" "$1"
}

# The password of the role with which members connect to each other.
passfile()
{
	printf '%s/passfile' "$(dirname "$PGLD_DB_PATHNAME_PREFIX")"
}

# Make one up where there is none.
make_passfile()
{
	# shellcheck disable=SC2016
	as_server sh -c 'umask 077
		[ ! -e "$1" ] || exit 0
		password=$(od -An -N24 -tx1 /dev/urandom | tr -d " \n") &&
		printf "*:*:*:postgres:%s\n" "$password" >"$1.new" && mv -T -- "$1.new" "$1"' sh "$(passfile)"
}

# Holds the supervisor's process id, and is locked as long as that or what it has started runs.
node_supervisor_file()
{
	printf '%s/node-%d.supervisor' "$PGLD_STATE_DIRECTORY" "$1"
}

node_is_supervised()
{
	as_server test -e "$(node_supervisor_file "$1")" &&
		! as_server flock --nonblock --shared "$(node_supervisor_file "$1")" true
}

# remove_node ID: all files that nodelaunch.sh and the server have made; it does not
# run.  Events that could not be used are put aside as ".bad", ".bad.1" to ".bad.9".
remove_node()
{
	local state=$PGLD_STATE_DIRECTORY/node-$1

	as_server rm -rf -- "$(node_directory "$1")"{,.initdb,.pg_leader_{clone,old,old.partial,own,own.new}} "$state.diverged"
	as_server rm -f -- "$(node_log "$1")" "$(node_conf "$1")" "$(node_state_file "$1")" "$(node_events_file "$1")"{,.bad{,.{1..9}}} \
		"$state".{supervisor,held,copy,service,job,tablespaces}
}

node_port()
{
	printf '%d' "$((10#$PGLD_START_PORT + 10#$1))"
}

# ensure_directory PATH: there, and owned by the servers' user.
ensure_directory()
{
	# The command is for the shell of the other user.
	# shellcheck disable=SC2016
	as_server sh -c 'umask 077; mkdir -p -- "$1"' sh "$1" ||
		fail "user $SERVER_USER cannot make the directory $1" \
			"choose another place in $CONFIG_FILE"
	[[ $(as_server stat -L -c %U -- "$1") == "$SERVER_USER" ]] ||
		fail "the directory $1 does not belong to user $SERVER_USER"
}

# Has this node been launched before?  Whatever is left of it shows that: its member
# may have voted.
node_has_run()
{
	node_exists "$1" || as_server test -e "$(node_state_file "$1")" ||
		as_server test -e "$(node_events_file "$1")"
}

# Is the cluster to be created now?  Only if nothing is left of any node: a node that
# has lost its files must not vote a second time where the others still run.
cluster_is_new()
{
	local id

	for id in "${NODE_IDS[@]}"; do
		! node_has_run "$id" || return 1
	done
}

# The first state file of a member that has never run, see nodelaunch.sh --new.
write_first_state()
{
	local file output

	file=$(node_state_file "$1")
	output=$(as_server "$PG_BIN/pg_leader_state" --new "$file" --node-id "$1" \
		--cluster "$CLUSTER_LIST" ${CLUSTER_NAME:+--cluster-name "$CLUSTER_NAME"} 2>&1) ||
		fail "no first state file could be written: $output"
	say "node $1: wrote a first state file, $file"
}

# The same for all nodes of a new cluster, before the first one is launched: then an
# interrupted run is completed by the next one.
write_first_states()
{
	local id

	ensure_directory "$(dirname "$PGLD_DB_PATHNAME_PREFIX")"
	ensure_directory "$PGLD_STATE_DIRECTORY"
	for id in "${NODE_IDS[@]}"; do
		write_first_state "$id"
	done
}

# Has its member never had data, nor heard of a claim?  Only beside such a state file may a
# cluster be created: a member that has lost its data gets them from the leader.
node_is_blank()
{
	as_server "$PG_BIN/pg_leader_state" "$(node_state_file "$1")" 2>/dev/null | awk -F': ' '
		$1 == "system identifier" { system_id = $2 }
		$1 == "highest claimed timeline" { claim = $2 }
		$1 == "verdict" { verdict = $2 }
		END { exit !(verdict == "good" && system_id !~ /^[1-9]/ && claim !~ /^[1-9]/) }'
}

# Is there a database cluster?  (Its directory can be closed to the caller.)
node_exists()
{
	as_server test -e "$(node_directory "$1")/PG_VERSION"
}

# Does it run?  Of a managed one that is its supervisor.  pg_ctl would take for it what a killed one leaves: a
# process that has not been reaped yet, or another one that got its number.
node_running()
{
	if is_managed; then
		node_is_supervised "$1"
		return
	fi
	# shellcheck disable=SC2016
	as_server sh -c 'read -r pid <"$1/postmaster.pid" && [ "/proc/$pid/cwd" -ef "$1" ]' \
		sh "$(node_directory "$1")" 2>/dev/null
}

# Of a server that was killed: do its children, which need a moment to notice,
# still live?
node_has_children()
{
	# shellcheck disable=SC2016
	as_server sh -c '
		for process in /proc/[0-9]*; do
			[ "$process/cwd" -ef "$1" ] && grep -qx postgres "$process/comm" && exit 0
		done
		exit 1' sh "$(node_directory "$1")" 2>/dev/null
}

# Of a server that was killed: is its process a zombie, which its parent has not reaped?
# PostgreSQL does not start beside it.
node_is_zombie()
{
	# shellcheck disable=SC2016
	as_server sh -c 'read -r pid <"$1/postmaster.pid" && grep -q "^State:[[:blank:]]*Z" "/proc/$pid/status"' \
		sh "$(node_directory "$1")" 2>/dev/null
}

# wait_while COMMAND...: as long as it is true, 5 s at most; 1: it still is.
wait_while()
{
	local tries

	for (( tries = 0; tries < 50; tries++ )); do
		"$@" || return 0
		sleep 0.1
	done
	return 1
}

# A word or more about whether that node takes part: pg_leader_status.state, or
# nothing where the server or the extension cannot be asked.  A member needs a
# moment after its start, and gets 2 s.
node_state()
{
	local state='' tries

	for (( tries = 0; tries < 20; tries++ )); do
		state=$(node_psql "$1" -c 'SELECT state FROM pg_leader_status' 2>/dev/null) || return 0
		[[ $state != "taking part" ]] || break
		sleep 0.1
	done
	printf '%s' "$state"
}

# node_psql ID ARGUMENT...: psql on that node, bare output, as its superuser.
node_psql()
{
	local id=$1

	shift
	as_server env PGCONNECT_TIMEOUT=3 PGOPTIONS='-c client_min_messages=warning' \
		PGAPPNAME="$PROGRAM" "$PG_BIN/psql" -X -q -A -t -v ON_ERROR_STOP=1 \
		-h "$PGLD_SOCKET_DIRECTORY" -p "$(node_port "$id")" -U postgres -d postgres "$@"
}

# How a person reaches that node.
node_psql_command()
{
	local user=

	if is_root; then
		user="runuser -u $SERVER_USER -- "
	fi
	printf '%s%q -h %q -p %s -U postgres postgres' "$user" "$PG_BIN/psql" \
		"$PGLD_SOCKET_DIRECTORY" "$(node_port "$1")"
}

# port_taken tcp|udp HOST PORT: does somebody hold that IPv4 port of this machine?
port_taken()
{
	local kind=$1 host=$2 port address
	local -a part

	printf -v port '%04X' "$((10#$3))"
	address=$(getent ahostsv4 "$host" 2>/dev/null | awk '{ print $1; exit }') || true
	IFS=. read -ra part <<<"${address:-0.0.0.0}"
	# The kernel prints addresses as the machine's words are stored.
	printf -v address '%02X%02X%02X%02X' "${part[3]}" "${part[2]}" "${part[1]}" "${part[0]}"
	# Where there is no IPv6, the second file does not exist.
	{ cat "/proc/net/$kind" "/proc/net/${kind}6" 2>/dev/null || true; } |
		awk -v kind="$kind" -v port="$port" -v address="$address" '
			{ split($2, at, ":") }
			at[2] == port && (kind == "udp" || $4 == "0A") &&
				(at[1] == address || at[1] ~ /^0+$/) { found = 1 }
			END { exit !found }'
}

# check_ports ID: are the ports of a node that is to be launched free?
check_ports()
{
	local id=$1 hint="another program, or a node of another configuration, has it; change"

	if port_taken tcp "${NODE_HOST[id]}" "$(node_port "$id")"; then
		fail "node $id: TCP port $(node_port "$id") of ${NODE_HOST[id]} is taken" \
			"$hint PGLD_START_PORT in $CONFIG_FILE"
	fi
	if port_taken udp "${NODE_HOST[id]}" "${NODE_UDP_PORT[id]}"; then
		fail "node $id: UDP port ${NODE_UDP_PORT[id]} of ${NODE_HOST[id]} is taken" \
			"$hint IPv4_CLUSTER in $CONFIG_FILE"
	fi
}
