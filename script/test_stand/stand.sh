# shellcheck shell=bash
#
# script/test_stand/stand.sh
#	  What the test stand's scripts share: its names, its namespaces, which links
#	  are cut or lossy, and what its nodes are doing.
#
# A stand is one bridge in this network namespace, and for each node a namespace
# of its own with one cable to that bridge.  What is cut is known to the kernel
# alone: rules in a chain of the bridge's name, which hangs in ebtables' FORWARD.
# Losses are rules of nft in the receiver's namespace.
#
# Sourced after lib.sh, never run.  Sourcing it changes nothing.

# What is set here is used by those who source it.
# shellcheck disable=SC2034

# Inside its namespace every node's end of the cable has this name.
STAND_INTERFACE=eth0
# The nft table with a node's losses, in its namespace.
STAND_TABLE=pg_leader_stand
# What net_init.sh has made, by name: net_down.sh removes that and nothing else.
STAND_RECORDS=/run/pg_leader_stand

# ---- names and checks ----

# The configuration, and what a stand wants of it.
read_stand_config()
{
	local id name

	read_config "$1"
	check_network
	for name in NETNS_PREFIX VETH_PREFIX BRIDGE_NAME; do
		[[ ${!name} =~ ^[A-Za-z][A-Za-z0-9_-]{0,8}$ ]] ||
			config_error "$name must be 1 to 9 letters, digits, \"_\" or \"-\" and begin with a letter, not \"${!name}\""
	done
	[[ ! $BRIDGE_NAME =~ ^${VETH_PREFIX}[0-9]+$ ]] ||
		config_error "BRIDGE_NAME \"$BRIDGE_NAME\" is also the name of a node's cable"
	[[ ! $BRIDGE_NAME =~ ^(INPUT|OUTPUT|FORWARD|ACCEPT|DROP|CONTINUE|RETURN)$ ]] ||
		config_error "BRIDGE_NAME \"$BRIDGE_NAME\" means something else to ebtables"
	MASK=${MASK:-24}
	for id in "${NODE_IDS[@]}"; do
		[[ ${NODE_HOST[id]} == "$NETWORK.$((10 + id))" ]] ||
			config_error "node $id of the stand gets the address $NETWORK.$((10 + id)), but IPv4_CLUSTER says ${NODE_HOST[id]}" \
				"change NETWORK or IPv4_CLUSTER, or leave IPv4_CLUSTER empty: then it fits"
	done
	STAND_CHAIN=$BRIDGE_NAME
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
	type -P "$1" >/dev/null || fail "the program $1 was not found" "apt-get install $2"
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

# Is the whole stand there, as configured?
stand_is_up()
{
	local id links

	[[ -e $STAND_RECORD ]] || return 1
	chain_exists "$STAND_CHAIN" || return 1
	links=" $(ip -o link show | awk '{ sub(/[@:].*/, "", $2); printf "%s ", $2 }')"
	[[ $links == *" $BRIDGE_NAME "* ]] || return 1
	for id in "${NODE_IDS[@]}"; do
		[[ $links == *" $(node_cable "$id") "* ]] || return 1
		namespace_exists "$(node_namespace "$id")" || return 1
	done
}

require_stand()
{
	require_stand_tools
	stand_is_up ||
		fail "the stand is not up" "script/test_stand/net_init.sh${1:+ -c $1} makes it"
}

# in_namespace ID COMMAND...
in_namespace()
{
	local id=$1

	shift
	nsenter --net="/run/netns/$(node_namespace "$id")" -- "$@"
}

# ---- links ----

# Sets CUT[from,to] for each direction that is cut.
read_cuts()
{
	local line from to

	declare -gA CUT=()
	while read -r line; do
		[[ $line =~ ^-i\ $VETH_PREFIX([0-9]+)\ -o\ $VETH_PREFIX([0-9]+)\ -j\ DROP ]] || continue
		from=${BASH_REMATCH[1]}
		to=${BASH_REMATCH[2]}
		CUT[$from,$to]=1
	done < <(ebtables-nft -L "$STAND_CHAIN")
}

# Sets LOSS[from,to] to the percentage of what is lost in that direction.
read_losses()
{
	local from to line

	declare -gA LOSS=()
	for to in "${NODE_IDS[@]}"; do
		while read -r line; do
			[[ $line =~ random\ mod\ 100\ \<\ ([0-9]+)\ .*comment\ \"from\ ([0-9]+)\" ]] || continue
			from=${BASH_REMATCH[2]}
			LOSS[$from,$to]=${BASH_REMATCH[1]}
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
{
	local action=$1 pair

	shift
	read_cuts
	for pair in "$@"; do
		if [[ $action == cut && -z ${CUT[$pair]:-} ]]; then
			# For the rest of the loop, in case that a pair is named twice.
			# shellcheck disable=SC2030
			CUT[$pair]=1
			print_cut -A "${pair%,*}" "${pair#*,}"
		elif [[ $action == join && -n ${CUT[$pair]:-} ]]; then
			unset "CUT[$pair]"
			print_cut -D "${pair%,*}" "${pair#*,}"
		fi
	done | ebtables_batch
}

join_all_links()
{
	{
		printf -- '-F %s\n' "$STAND_CHAIN"
		print_chain | grep -v '^:'
	} | ebtables_batch
}

# set_loss FROM TO PERCENT: what TO receives from FROM; 0: nothing is lost.
set_loss()
{
	local from=$1 to=$2 percent=$3 other output

	read_losses
	LOSS[$from,$to]=$percent
	output=$({
		printf 'add table inet %s\ndelete table inet %s\n' "$STAND_TABLE" "$STAND_TABLE"
		printf 'table inet %s {\n chain loss {\n  type filter hook input priority 0;\n' "$STAND_TABLE"
		printf '  icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept\n'
		for other in "${NODE_IDS[@]}"; do
			(( ${LOSS[$other,$to]:-0} == 0 )) ||
				printf '  ether saddr %s numgen random mod 100 < %d counter drop comment "from %d"\n' \
					"$(node_mac "$other")" "${LOSS[$other,$to]}" "$other"
		done
		printf ' }\n}\n'
	} | in_namespace "$to" nft -f - 2>&1) || fail "nft refused: $output"
}

clear_losses()
{
	local id

	for id in "${NODE_IDS[@]}"; do
		# A stand that is half there can be flushed too.
		in_namespace "$id" nft "add table inet $STAND_TABLE; delete table inet $STAND_TABLE" 2>/dev/null || true
	done
}

# ---- nodes ----

# Pids of all processes of a node's server: those that stand in its directory.
# The postmaster comes last, as it is the first to have got a pid.
node_processes()
{
	local data process

	data=$(node_directory "$1")
	[[ -d $data ]] || return 0
	for process in /proc/[0-9]*; do
		if [[ $process/cwd -ef $data && $(cat "$process/comm" 2>/dev/null) == postgres ]]; then
			printf '%s\n' "${process#/proc/}"
		fi
	done | sort -rn
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

node_is_paused()
{
	local pid

	for pid in $(node_processes "$1"); do
		if grep -q '^State:[[:blank:]]*T' "/proc/$pid/status" 2>/dev/null; then
			return 0
		fi
	done
	return 1
}

# One word: absent, down, paused or up.
node_condition()
{
	if ! node_exists "$1"; then
		printf absent
	elif ! node_running "$1"; then
		printf down
	elif node_is_paused "$1"; then
		printf paused
	else
		printf up
	fi
}

# What a running node knows, in one line, fields separated by "|": state, role,
# term, leader, lease in ms, abstaining, age of the last change in ms, its reason.
node_row()
{
	as_server env PGCONNECT_TIMEOUT=2 PGAPPNAME="$PROGRAM" timeout 3 "$PG_BIN/psql" -XqAt -F '|' \
		-h "$PGLD_SOCKET_DIRECTORY" -p "$(node_port "$1")" -U postgres -d postgres -c "
		SELECT s.state, s.role, s.term, coalesce(s.leader_id::text, '-'),
			coalesce((extract(epoch FROM s.lease_remaining) * 1000)::int::text, '-'),
			coalesce(s.abstaining, false),
			coalesce((extract(epoch FROM clock_timestamp() - e.at) * 1000)::int8, 0), coalesce(e.reason, '')
		FROM pg_leader_status s LEFT JOIN
			(SELECT at, reason FROM pg_leader_events ORDER BY number DESC LIMIT 1) e ON true" 2>/dev/null
}

# read_nodes: sets NODE_CONDITION[id] and NODE_ROW[id], asking all at once.
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
					row=$(node_row "$id") || row=
				fi
				# Short enough for one write, which others do not tear.
				printf '%d|%s|%s\n' "$id" "$condition" "$row"
			} &
		done
		wait
	)
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

# ---- what people see ----

# Colours on a terminal only, and not against the user's wish (no-color.org).
# Lines are as wide as the terminal, or 79 columns.
choose_colours()
{
	WIDTH=79
	RED='' GREEN='' YELLOW='' BOLD='' DIM='' PLAIN=''
	if [[ -t 1 && -z ${NO_COLOR:-} && ${TERM:-dumb} != dumb ]]; then
		RED=$'\033[31m' GREEN=$'\033[32m' YELLOW=$'\033[33m'
		BOLD=$'\033[1m' DIM=$'\033[2m' PLAIN=$'\033[0m'
	fi
	if [[ -t 1 ]]; then
		WIDTH=$(tput cols 2>/dev/null || echo 80)
		WIDTH=$((WIDTH < 79 ? 78 : WIDTH - 1))
	fi
}

# 340 ms, 12.3 s, 5 min, 3 h
format_age()
{
	if (( $1 < 1000 )); then
		printf '%d ms' "$1"
	elif (( $1 < 100000 )); then
		printf '%d.%d s' "$(($1 / 1000))" "$(($1 % 1000 / 100))"
	elif (( $1 < 6000000 )); then
		printf '%d min' "$(($1 / 60000))"
	else
		printf '%d h' "$(($1 / 3600000))"
	fi
}

# One line for a node, from what read_nodes has found.
print_node_row()
{
	local id=$1 condition=${NODE_CONDITION[$1]:-down} colour='' state='' role='' term='' leader='' lease='' abstains='' age='' reason=''

	IFS='|' read -r state role term leader lease abstains age reason <<<"${NODE_ROW[id]:-}" || true
	if [[ $condition != up ]]; then
		printf '%s%-4d %-7s%s\n' "$DIM" "$id" "$condition" "$PLAIN"
	elif [[ -z $state ]]; then
		printf '%s%-4d %-7s does not answer%s\n' "$YELLOW" "$id" up "$PLAIN"
	elif [[ $state != "taking part" ]]; then
		printf '%s%-4d %-7s %.*s%s\n' "$YELLOW" "$id" up "$((WIDTH - 13))" "$state" "$PLAIN"
	else
		[[ $abstains == f ]] || role="$role*"
		if [[ $lease != - ]]; then
			colour=$GREEN
			lease+=" ms"
		elif [[ $role != follower ]]; then
			colour=$YELLOW
		fi
		reason="$(format_age "$age") ago: $reason"
		printf '%s%-4d %-7s %-14s %-6s %-6s %-7s%s %.*s\n' "$colour" "$id" up "$role" "$term" \
			"$leader" "$lease" "$PLAIN" "$((WIDTH - 50))" "$reason"
	fi
}

print_nodes()
{
	local id

	printf '%s%-4s %-7s %-14s %-6s %-6s %-7s %s%s\n' "$BOLD" node server role term leader lease "last change" "$PLAIN"
	for id in "${NODE_IDS[@]}"; do
		print_node_row "$id"
	done
	if [[ ${NODE_ROW[*]} == *'|t|'* ]]; then
		printf '* abstains from voting\n'
	fi
}

# Rows send, columns receive: "." whole, "x" cut, a number: per cent lost.
# shellcheck disable=SC2031
print_links()
{
	local from to cell

	if (( ${#CUT[@]} + ${#LOSS[@]} == 0 )); then
		printf 'all links are whole\n'
		return
	fi
	printf '%sfrom\\to%s' "$BOLD" "$PLAIN"
	for to in "${NODE_IDS[@]}"; do
		printf ' %3d' "$to"
	done
	printf '   x cut, a number: per cent lost\n'
	for from in "${NODE_IDS[@]}"; do
		printf '%7d' "$from"
		for to in "${NODE_IDS[@]}"; do
			cell="$DIM   .$PLAIN"
			if [[ $from == "$to" ]]; then
				cell='    '
			elif [[ -n ${CUT[$from,$to]:-} ]]; then
				cell="$RED   x$PLAIN"
			elif [[ -n ${LOSS[$from,$to]:-} ]]; then
				printf -v cell '%s%4d%s' "$YELLOW" "${LOSS[$from,$to]}" "$PLAIN"
			fi
			printf '%s' "$cell"
		done
		printf '\n'
	done
}
