# shellcheck shell=bash
#
# script/test_stand/stand.sh
#	  What the test stand's scripts share: its names, its namespaces, which links
#	  are cut or lossy, and what its nodes are doing.
#
# A stand is one bridge in this network namespace, and for each node a namespace
# of its own with one cable to that bridge.  What is cut is known to the kernel
# alone: rules in a chain named after the bridge, which comes first in ebtables'
# FORWARD.  Losses are rules of nft in the receiver's namespace.
#
# Sourced after lib.sh, never run.  Sourcing it changes nothing.

# What is set here is used by those who source it.
# shellcheck disable=SC2034

# Inside its namespace every node's end of the cable has this name.
STAND_INTERFACE=eth0
# The nft table with a node's losses, in its namespace.
STAND_TABLE=pg_leader_stand
# How the names of the stands' chains of ebtables begin.
STAND_CHAIN_PREFIX=pgld_
# Which nodes a stand has launched, beside their state files: "node ID DIRECTORY".
STAND_MARK=.stand
# What net_init.sh has made: net_down.sh removes that and nothing else.  A file for
# each stand, of lines KIND NAME [IDENTITY [NODE_ID]]; see is_ours.
STAND_RECORDS=/run/pg_leader_stand

# ---- names and checks ----

# The configuration, and what a stand wants of it.
read_stand_config()
{
	local id name

	read_config "$1"
	[[ -n $NETWORK ]] || config_error "NETWORK is not set, so this is no configuration of a test stand"
	check_network
	for name in NETNS_PREFIX VETH_PREFIX BRIDGE_NAME; do
		[[ ${!name} =~ ^[A-Za-z][A-Za-z0-9_-]{0,8}$ ]] ||
			config_error "$name must be 1 to 9 letters, digits, \"_\" or \"-\" and begin with a letter, not \"${!name}\""
	done
	[[ ! $BRIDGE_NAME =~ ^${VETH_PREFIX}[0-9]+$ ]] ||
		config_error "BRIDGE_NAME \"$BRIDGE_NAME\" is also the name of a node's cable"
	# In /proc/sys/net, these two stand for all interfaces.
	[[ ! $BRIDGE_NAME =~ ^(all|default)$ ]] ||
		config_error "BRIDGE_NAME \"$BRIDGE_NAME\" means something else to Linux"
	MASK=${MASK:-24}
	for id in "${NODE_IDS[@]}"; do
		[[ ${NODE_HOST[id]} == "$NETWORK.$((10 + id))" ]] ||
			config_error "node $id of the stand gets the address $NETWORK.$((10 + id)), but IPv4_CLUSTER says ${NODE_HOST[id]}" \
				"change NETWORK or IPv4_CLUSTER, or leave IPv4_CLUSTER empty: then it fits"
	done
	# The prefix keeps it apart from the targets of ebtables, such as "mark".
	STAND_CHAIN=$STAND_CHAIN_PREFIX$BRIDGE_NAME
	STAND_RECORD=$STAND_RECORDS/$BRIDGE_NAME
}

node_namespace()
{
	printf '%s%d' "$NETNS_PREFIX" "$1"
}

# The bridge's end of a node's cable.
node_cable()
{
	printf '%s%d' "$VETH_PREFIX" "$1"
}

# A link-layer address of the node's own, made of its IPv4 address, so that
# others can tell by it who has sent something.
node_mac()
{
	local -a part

	IFS=. read -ra part <<<"${NODE_HOST[$1]}"
	printf '02:00:%02x:%02x:%02x:%02x' "${part[@]}"
}

require_program()
{
	type -P "$1" >/dev/null ||
		fail "the program $1 was not found" "apt-get install $2, or script/install_deps.sh stand for all that the stand needs"
}

# shown_script NAME: a script of the stand, as one can type it here.
shown_script()
{
	realpath --relative-base="$PWD" -- "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/$1"
}

# The tools, and the right to use them.
require_stand_tools()
{
	is_root || fail "network namespaces and ebtables need root" "run it with sudo"
	require_program ip iproute2
	require_program nsenter util-linux
	require_program ebtables-nft iptables
	require_program ebtables-nft-restore iptables
	require_program nft nftables
}

namespace_exists()
{
	[[ -e /run/netns/$1 ]]
}

# Is it one that can be entered, and not what a killed "ip netns add" has left?
namespace_works()
{
	nsenter --net="/run/netns/$1" true 2>/dev/null
}

link_exists()
{
	# Not by /sys, which shows the namespace that it was mounted in.
	ip link show dev "$1" >/dev/null 2>&1
}

chain_exists()
{
	ebtables-nft -L "$1" >/dev/null 2>&1
}

# How often the chain hangs in FORWARD.
count_hooks()
{
	ebtables-nft -L FORWARD 2>/dev/null | grep -cxF -e "-j $1" || true
}

# Does everything that the bridge forwards pass through the chain?  A rule before
# it could accept what the chain would drop; only other stands' chains, which look
# at their own cables alone, may be there.
chain_is_hooked()
{
	ebtables-nft -L FORWARD 2>/dev/null | awk -v hook="-j $1" -v others="^-j $STAND_CHAIN_PREFIX" '
		$0 == hook && !blocked { found = 1 }
		/^-/ && $0 !~ others { blocked = 1 }
		END { exit !found }'
}

# ---- the record ----

# What tells a namespace from another one that gets its name later.  Its inode
# alone does not: the kernel gives numbers away again.
namespace_identity()
{
	stat -L -c '%i:%.9Z' "/run/netns/$1" 2>/dev/null || printf -- -
}

# The same of an interface; these numbers only rise.
link_identity()
{
	local line

	line=$(ip -o link show dev "$1" 2>/dev/null) || line=-
	printf '%s' "${line%%:*}"
}

# recorded_identity KIND NAME: "-" if there is none, because net_init.sh was
# interrupted; 1: there is no such line.
recorded_identity()
{
	awk -v kind="$1" -v name="$2" '
		$1 == kind && $2 == name { print (NF < 3 ? "-" : $3); found = 1; exit }
		END { exit !found }' "$STAND_RECORD" 2>/dev/null
}

# is_ours namespace|link NAME: is what has that name now what net_init.sh has made?
# Where it had no time to say what it made, the name counts.
is_ours()
{
	local identity

	identity=$(recorded_identity "$1" "$2") || return 1
	[[ $identity == - || $identity == "$("$1_identity" "$2")" ]]
}

# Sets STAND_INODE[id] to the inode of each node's namespace, as recorded; also of
# nodes that the configuration does not have.
read_stand_inodes()
{
	local kind name identity id

	STAND_INODE=()
	[[ -e $STAND_RECORD ]] || return 0
	while read -r kind name identity id; do
		[[ $kind == namespace && -n $id ]] || continue
		if [[ $identity == - ]] && namespace_works "$name"; then
			identity=$(namespace_identity "$name")
		fi
		STAND_INODE[id]=${identity%%:*}
	done <"$STAND_RECORD"
}

# ---- is it there? ----

# Is the whole stand there, as configured, and the same that net_init.sh has made?
stand_is_up()
{
	local kind name identity now
	local -A found=()

	[[ -e $STAND_RECORD ]] || return 1
	chain_exists "$STAND_CHAIN" && chain_is_hooked "$STAND_CHAIN" || return 1
	while read -r kind name identity; do
		found[$kind $name]=$identity
	done < <(
		ip -o link show | awk '{ sub(/[@:].*/, "", $2); print "link", $2, $1 + 0 }'
		stat -L -c 'namespace %n %i:%.9Z' /run/netns/* 2>/dev/null | sed 's|/run/netns/||'
	)
	while read -r kind name identity _; do
		[[ $kind == namespace || $kind == link ]] || continue
		now=${found[$kind $name]:-}
		[[ -n $now && ( ${identity:--} == - || $identity == "$now" ) ]] || return 1
		found[recorded $kind $name]=yes
	done <"$STAND_RECORD"
	[[ -n ${found[recorded link $BRIDGE_NAME]:-} ]] || return 1
	for name in "${NODE_IDS[@]}"; do
		[[ -n ${found[recorded link $(node_cable "$name")]:-} &&
			-n ${found[recorded namespace $(node_namespace "$name")]:-} ]] || return 1
	done
}

require_stand()
{
	local again

	again=$(shown_script net_init.sh)${1:+ -c $1}
	require_stand_tools
	if ! stand_is_up; then
		[[ ! -e $STAND_RECORD ]] || ! chain_exists "$STAND_CHAIN" || chain_is_hooked "$STAND_CHAIN" ||
			fail "the stand's chain $STAND_CHAIN is not the first in ebtables' FORWARD: cuts would cut nothing" \
				"$again mends it"
		fail "the stand is not up" "$again makes it"
	fi
}

# in_namespace ID COMMAND...
in_namespace()
{
	local id=$1

	shift
	nsenter --net="/run/netns/$(node_namespace "$id")" -- "$@"
}

# ---- links ----

# A script that changes links holds this lock until its subshell ends: what it has read
# then is still so.
lock_links()
{
	lock_file "$STAND_RECORDS/.links"
}

# One script at a time makes or removes a stand.  Nothing that is started
# meanwhile may inherit the lock.
lock_stand()
{
	lock_file "$STAND_RECORDS/.lock"
}

# lock_file FILE: makes it, and its directory.  It is removed under the lock: a script that got
# the lock of a file that is no longer there has locked nothing, and tries again.
lock_file()
{
	local lock tries

	for (( tries = 0; tries < 100; tries++ )); do
		mkdir -p "${1%/*}"
		# The directory can be removed just now.
		if { exec {lock}>"$1"; } 2>/dev/null; then
			flock "$lock"
			[[ ! /proc/self/fd/$lock -ef $1 ]] || return 0
			exec {lock}>&-
		fi
	done
	fail "$1 cannot be locked"
}

# Nothing stays of the locks where there is no stand: net_down.sh's last deed,
# because it gives up the lock that it holds.
remove_locks()
{
	local left

	left=$(ls -A "$STAND_RECORDS" 2>/dev/null) || return 0
	! grep -qvxF -e .links -e .lock <<<"$left" || return 0
	lock_links
	rm -f -- "$STAND_RECORDS/.links" "$STAND_RECORDS/.lock"
	rmdir -- "$STAND_RECORDS" 2>/dev/null || true
}

# Sets CUT[from,to] for each direction that is cut, to how many rules do it.
read_cuts()
{
	local rules line pair

	declare -gA CUT=()
	rules=$(ebtables-nft -L "$STAND_CHAIN" 2>&1) ||
		fail "ebtables does not say what is cut: ${rules%%$'\n'*}"
	while read -r line; do
		[[ $line =~ ^-i\ $VETH_PREFIX([0-9]+)\ -o\ $VETH_PREFIX([0-9]+)\ -j\ DROP ]] || continue
		pair=${BASH_REMATCH[1]},${BASH_REMATCH[2]}
		CUT[$pair]=$((${CUT[$pair]:-0} + 1))
	done <<<"$rules"
}

# Sets LOSS[from,to] to the percentage of what is lost in that direction.
read_losses()
{
	local from to line

	declare -gA LOSS=()
	for to in "${NODE_IDS[@]}"; do
		while read -r line; do
			[[ $line =~ comment\ \"from\ ([0-9]+):\ ([0-9]+)\ %\" ]] || continue
			from=${BASH_REMATCH[1]}
			LOSS[$from,$to]=${BASH_REMATCH[2]}
		done < <(in_namespace "$to" nft list table inet "$STAND_TABLE" 2>/dev/null || true)
	done
}

# Rules on standard input, in one transaction: either all of them count at the
# same instant, or none.
ebtables_batch()
{
	local output

	output=$({ echo '*filter'; cat; echo COMMIT; } | ebtables-nft-restore --noflush 2>&1) ||
		fail "ebtables refused: $output"
}

# The stand's chain.  Address resolution passes all cuts, or a one-way cut would
# become a two-way one as soon as a neighbour's entry expires.
print_chain()
{
	cat <<TEXT
:$STAND_CHAIN RETURN
-A $STAND_CHAIN -p ARP -j RETURN
-A $STAND_CHAIN -p IPv6 --ip6-proto ipv6-icmp --ip6-icmp-type 133:137/0:255 -j RETURN
TEXT
}

print_cut()
{
	printf -- '%s %s -i %s -o %s -j DROP\n' "$1" "$STAND_CHAIN" "$(node_cable "$2")" "$(node_cable "$3")"
}

# change_links cut|join FROM,TO...: all at once; those that are so already stay.
change_links()
(
	action=$1
	shift
	lock_links
	read_cuts
	for pair in "$@"; do
		if [[ $action == cut && -z ${CUT[$pair]:-} ]]; then
			# For the rest of the loop, in case that a pair is named twice.
			# shellcheck disable=SC2030
			CUT[$pair]=1
			print_cut -A "${pair%,*}" "${pair#*,}"
		elif [[ $action == join ]]; then
			for (( ; ${CUT[$pair]:-0} > 0; CUT[$pair]-- )); do
				print_cut -D "${pair%,*}" "${pair#*,}"
			done
		fi
	done | ebtables_batch
)

join_all_links()
(
	lock_links
	{
		printf -- '-F %s\n' "$STAND_CHAIN"
		print_chain | grep -v '^:'
	} | ebtables_batch
)

# print_loss FROM PERCENT.  nft refuses a comparison that is always true.
print_loss()
{
	local chance="numgen random mod 100 < $2"

	if (( $2 > 0 )); then
		(( $2 < 100 )) || chance=
		printf '  ether saddr %s %s counter drop comment "from %d: %d %%"\n' "$(node_mac "$1")" "$chance" "$1" "$2"
	fi
}

# set_loss FROM TO PERCENT: what TO receives from FROM; 0: nothing is lost.
set_loss()
(
	from=$1
	to=$2
	lock_links
	read_losses
	# shellcheck disable=SC2030
	LOSS[$from,$to]=$3
	output=$({
		printf 'add table inet %s\ndelete table inet %s\n' "$STAND_TABLE" "$STAND_TABLE"
		printf 'table inet %s {\n chain loss {\n  type filter hook input priority 0;\n' "$STAND_TABLE"
		printf '  icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept\n'
		for other in "${NODE_IDS[@]}"; do
			print_loss "$other" "${LOSS[$other,$to]:-0}"
		done
		printf ' }\n}\n'
	} | in_namespace "$to" nft -f - 2>&1) || fail "nft refused: $output"
)

clear_losses()
(
	lock_links
	for id in "${NODE_IDS[@]}"; do
		# A stand that is half there can be flushed too.
		in_namespace "$id" nft "add table inet $STAND_TABLE; delete table inet $STAND_TABLE" 2>/dev/null || true
	done
)

# ---- nodes ----

# Pids of all processes of a node, each after the one that has started it: of a managed
# one its supervisor and what that has started; of any those of its server, which stand
# in its directory.
node_processes()
{
	{
		! is_managed || supervisor_tree "$1"
		server_processes "$1"
	} | awk '!seen[$1]++'
}

# The postmaster comes first, as it is the first to have got a pid.
server_processes()
{
	local data process

	data=$(node_directory "$1")
	[[ -d $data ]] || return 0
	for process in /proc/[0-9]*; do
		if [[ $process/cwd -ef $data && $(cat "$process/comm" 2>/dev/null) == postgres ]]; then
			printf '%s\n' "${process#/proc/}"
		fi
	done | sort -n
}

supervisor_tree()
{
	local pid

	pid=$(node_supervisor "$1") || return 0
	# Some end while they are looked at.
	{ cat /proc/[0-9]*/stat 2>/dev/null || true; } | awk -v first="$pid" '
		{
			pid = $1
			# A name can have spaces in it.
			sub(/^.*\) /, "")
			if ($1 !~ /[ZX]/)
				children[$2] = children[$2] " " pid
		}
		END {
			found[n = 1] = first
			for (i = 1; i <= n; i++)
			{
				print found[i]
				count = split(children[found[i]], child, " ")
				for (j = 1; j <= count; j++)
					found[++n] = child[j]
			}
		}'
}

# The pid of a managed node's supervisor; 1: it does not run.  The file stays when it ends.
node_supervisor()
{
	local pid

	pid=$(cat "$(node_supervisor_file "$1")" 2>/dev/null) || return 1
	# Linux keeps 15 characters of a name, and no program of a process that has ended.
	[[ $(cat "/proc/${pid:-none}/comm" 2>/dev/null) == pg_leader_super && -e /proc/$pid/exe ]] || return 1
	printf '%d' "$pid"
}

# signal_node ID SIGNAL: to all processes, and to those that are born meanwhile.
signal_node()
{
	local before='' now turn

	for (( turn = 0; turn < 20; turn++ )); do
		now=$(node_processes "$1" | tr '\n' ' ')
		[[ $now != "$before" && -n $now ]] || return 0
		# Some may have ended by themselves.
		# shellcheck disable=SC2086
		kill "-$2" $now 2>/dev/null || true
		before=$now
	done
}

# The line about a node in the mark of those that a stand has launched.
print_mark()
{
	printf 'node %d %s\n' "$1" "$(node_directory "$1")"
}

# node_has_process ID STATES: in one of these states, as in a bracket expression?
node_has_process()
{
	local pid

	for pid in $(node_processes "$1"); do
		if grep -qE "^State:[[:blank:]]+[$2]" "/proc/$pid/status" 2>/dev/null; then
			return 0
		fi
	done
	return 1
}

node_is_paused()
{
	node_has_process "$1" T
}

# One word: absent, down, paused or up.  A managed node can be up without a server, and
# without data.
node_condition()
{
	if node_running "$1"; then
		node_is_paused "$1" && printf paused || printf up
	elif node_exists "$1"; then
		printf down
	else
		printf absent
	fi
}

# What a running node knows, in one line, fields separated by "|": state, role,
# term, leader, lease in ms, abstaining, age of the last change in ms, its reason.
# 1: it does not answer; then the line is what psql says.
node_row()
{
	as_server env PGCONNECT_TIMEOUT=2 PGOPTIONS='-c client_min_messages=error' PGAPPNAME="$PROGRAM" \
		timeout 3 "$PG_BIN/psql" -XqAt -F '|' \
		-h "$PGLD_SOCKET_DIRECTORY" -p "$(node_port "$1")" -U postgres -d postgres -c "
		SELECT s.state, s.role, s.term, coalesce(s.leader_id::text, '-'),
			coalesce((extract(epoch FROM s.lease_remaining) * 1000)::int::text, '-'),
			coalesce(s.abstaining, false),
			coalesce((extract(epoch FROM clock_timestamp() - e.at) * 1000)::int8, 0), coalesce(e.reason, '')
		FROM pg_leader_status s LEFT JOIN
			(SELECT at, reason FROM pg_leader_events ORDER BY number DESC LIMIT 1) e ON true" 2>&1
}

# Why a node does not answer, from what psql said: its first line, without what is
# the same for all nodes.
why_no_answer()
{
	local why=${1%%$'\n'*}

	why=${why#psql: error: }
	why=${why#connection to server on socket *failed: }
	printf '%s' "${why:-no answer within 3 s}"
}

# read_nodes: sets NODE_CONDITION[id] and NODE_ROW[id], asking all at once.  The row
# of a node that runs and does not answer is "does not answer|" and why.
read_nodes()
{
	local id line

	NODE_CONDITION=()
	NODE_ROW=()
	while IFS= read -r line; do
		id=${line%%|*}
		line=${line#*|}
		NODE_CONDITION[id]=${line%%|*}
		NODE_ROW[id]=${line#*|}
	done < <(
		for id in "${NODE_IDS[@]}"; do
			{
				condition=$(node_condition "$id")
				row=
				if [[ $condition == up ]]; then
					row=$(node_row "$id") || row="does not answer|$(why_no_answer "$row")"
				fi
				# Short enough for one write, which others do not tear.
				printf '%d|%s|%s\n' "$id" "$condition" "$row"
			} &
		done
		wait
	)
}

# Of managed nodes: sets NODE_SERVER[id] to what pg_leaderctl says of each, its fields
# separated by "|": state, timeline, lag.
read_servers()
{
	local line

	NODE_SERVER=()
	is_managed || return 0
	while IFS= read -r line; do
		NODE_SERVER[${line%%|*}]=${line#*|}
	done < <(ask_servers | awk -F '[ ]*[|][ ]*' '$1 ~ /^ *[0-9]+$/ { printf "%d|%s|%s|%s\n", $1, $4, $5, $6 }')
}

# In a namespace of the stand: whom it does not reach by its socket, it looks for at the
# address that others know.
ask_servers()
{
	local id hosts='' ports=''

	for id in "${NODE_IDS[@]}"; do
		hosts+=${hosts:+,}$PGLD_SOCKET_DIRECTORY
		ports+=${ports:+,}$(node_port "$id")
	done
	in_namespace "${NODE_IDS[0]}" setpriv --reuid="$(id -u "$SERVER_USER")" --regid="$(id -g "$SERVER_USER")" --clear-groups -- \
		timeout 5 "$PG_BIN/pg_leaderctl" list -t 1 -U postgres -h "$hosts" -p "$ports" 2>/dev/null || true
}

# The id of the node that says it has a lease; 1: there is none.
find_leader()
{
	local id

	read_nodes
	for id in "${NODE_IDS[@]}"; do
		if [[ ${NODE_ROW[id]:-} =~ ^taking\ part\|leader\|[0-9]+\|[0-9]+\|[0-9]+ ]]; then
			printf '%d' "$id"
			return 0
		fi
	done
	return 1
}
