#!/bin/bash
#
# script/test_stand/net_init.sh
#	  Make the network of the test stand: a namespace for each node, and a bridge.
#
# For people and for the tests, as root.  Starts no server.

here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=script/lib.sh
. "$here/../lib.sh"
# shellcheck source=script/test_stand/stand.sh
. "$here/stand.sh"

usage()
{
	cat <<TEXT
NAME
    net_init.sh - make the network of the test stand

SYNOPSIS
    net_init.sh [-c CONFIG]

DESCRIPTION
    Makes N_NODES network namespaces, each joined by a virtual cable to one
    bridge, with the addresses NETWORK.10 for node 0, NETWORK.11 for node 1 and
    so on, and an empty ebtables chain of the bridge's name, in which ctl.sh
    cuts links.  The machine itself gets no address there: nothing goes in or
    out.  What is there already is kept, so it can be run again, also after it
    was interrupted or when N_NODES has grown.

    Names that somebody else uses, and addresses that this machine has, are
    refused before anything is made.  net_down.sh removes it all.

OPTIONS
    -c CONFIG  the configuration, $PGLD_DEFAULT_CONFIG by default
    --help     this text

EXIT STATUS
    0 the stand is up, 1 it is not, 2 called or configured wrongly
TEXT
}

is_recorded()
{
	grep -qxF -- "$1" "$STAND_RECORD" 2>/dev/null
}

refuse_name()
{
	fail "there is already $1, which the test stand has not made" "change $2 in $CONFIG_FILE"
}

# Does anybody have one of our names?
check_names()
{
	local id

	! link_exists "$BRIDGE_NAME" || is_recorded "link $BRIDGE_NAME" ||
		refuse_name "an interface $BRIDGE_NAME" BRIDGE_NAME
	! chain_exists "$STAND_CHAIN" || is_recorded "chain $STAND_CHAIN" ||
		refuse_name "an ebtables chain $STAND_CHAIN" BRIDGE_NAME
	for id in "${NODE_IDS[@]}"; do
		! link_exists "$(node_cable "$id")" || is_recorded "link $(node_cable "$id")" ||
			refuse_name "an interface $(node_cable "$id")" VETH_PREFIX
		! namespace_exists "$(node_namespace "$id")" || is_recorded "namespace $(node_namespace "$id")" ||
			refuse_name "a network namespace $(node_namespace "$id")" NETNS_PREFIX
	done
}

# Does this machine have an address in the stand's network, or another stand?
check_addresses()
{
	local address interface record

	# shellcheck disable=SC2153
	while read -r interface address; do
		fail "this machine has the address $address on $interface, in the stand's network $NETWORK.0/$MASK" \
			"change NETWORK and IPv4_CLUSTER in $CONFIG_FILE"
	done < <(ip -4 -o addr show to "$NETWORK.0/$MASK" | awk '{ print $2, $4 }')
	for record in "$STAND_RECORDS"/*; do
		[[ -e $record && $record != "$STAND_RECORD" ]] || continue
		! grep -qxF "network $NETWORK.0/$MASK" "$record" ||
			fail "the stand with the bridge $(basename "$record") has the network $NETWORK.0/$MASK already" \
				"take it down, or change NETWORK and IPv4_CLUSTER in $CONFIG_FILE"
	done
}

# A stand that was made by another configuration is not reshaped.
check_record()
{
	local network cable

	[[ -e $STAND_RECORD ]] || return 0
	network=$(sed -n 's/^network //p' "$STAND_RECORD")
	[[ -z $network || $network == "$NETWORK.0/$MASK" ]] ||
		fail "the stand was made with the network $network, and $CONFIG_FILE says $NETWORK.0/$MASK" \
			"take it down with net_down.sh first"
	while read -r cable; do
		[[ $cable == "$BRIDGE_NAME" || " $(printf '%s ' "${cables[@]}")" == *" $cable "* ]] ||
			fail "the stand has $cable, which $CONFIG_FILE knows nothing of" \
				"take it down with net_down.sh first"
	done < <(sed -n 's/^link //p' "$STAND_RECORD")
}

# What is about to be made goes on record before: an interruption in between
# leaves nothing that net_down.sh would not find.
write_record()
{
	local id

	mkdir -p "$STAND_RECORDS"
	{
		printf 'network %s\nchain %s\nlink %s\n' "$NETWORK.0/$MASK" "$STAND_CHAIN" "$BRIDGE_NAME"
		for id in "${NODE_IDS[@]}"; do
			printf 'namespace %s\nlink %s\n' "$(node_namespace "$id")" "$(node_cable "$id")"
		done
	} >"$STAND_RECORDS/.new"
	mv -T "$STAND_RECORDS/.new" "$STAND_RECORD"
}

make_bridge()
{
	link_exists "$BRIDGE_NAME" || ip link add "$BRIDGE_NAME" type bridge
	# No address, not even a link-local one: the machine is no part of the stand.
	ip link set "$BRIDGE_NAME" addrgenmode none
	ip link set "$BRIDGE_NAME" up
	{
		chain_exists "$STAND_CHAIN" || print_chain
		chain_is_hooked "$STAND_CHAIN" || printf -- '-A FORWARD -j %s\n' "$STAND_CHAIN"
	} | ebtables_batch
}

make_node()
{
	local namespace cable

	namespace=$(node_namespace "$1")
	cable=$(node_cable "$1")
	if namespace_exists "$namespace" && ! namespace_works "$namespace"; then
		ip netns del "$namespace"
	fi
	namespace_exists "$namespace" || ip netns add "$namespace"
	ip -n "$namespace" link set lo up
	# A cable whose other end is gone or elsewhere is of no use.
	if ! ip -n "$namespace" link show "$STAND_INTERFACE" >/dev/null 2>&1; then
		! link_exists "$cable" || ip link del "$cable"
	fi
	link_exists "$cable" ||
		ip link add "$cable" type veth peer name "$STAND_INTERFACE" address "$(node_mac "$1")" netns "$namespace"
	ip link set "$cable" master "$BRIDGE_NAME" addrgenmode none
	ip link set "$cable" up
	ip -n "$namespace" addr replace "${NODE_HOST[$1]}/$MASK" dev "$STAND_INTERFACE"
	ip -n "$namespace" link set "$STAND_INTERFACE" up
}

config=$PGLD_DEFAULT_CONFIG
while (( $# > 0 )); do
	case $1 in
		-c | --config) config=$(option_value "$@"); shift ;;
		-h | --help) usage; exit 0 ;;
		-*) usage_error "there is no option $1" ;;
		*) usage_error "no argument is needed, not even \"$1\"" ;;
	esac
	shift
done
read_stand_config "$config"
require_stand_tools

mkdir -p "$STAND_RECORDS"
exec {lock}>"$STAND_RECORDS/.lock"
flock "$lock"

cables=()
for id in "${NODE_IDS[@]}"; do
	cables+=("$(node_cable "$id")")
done
check_record
check_names
check_addresses
was_up=no
if stand_is_up; then
	was_up=yes
fi
write_record
make_bridge
for id in "${NODE_IDS[@]}"; do
	make_node "$id"
done
stand_is_up || fail "the stand did not come up" "see ip -d link, ip netns and ebtables-nft -L"

if [[ $was_up == yes ]]; then
	say "the stand is up already: $N_NODES namespaces on the bridge $BRIDGE_NAME"
else
	say "the stand is up: $N_NODES namespaces on the bridge $BRIDGE_NAME, addresses ${NODE_HOST[NODE_IDS[0]]} to ${NODE_HOST[NODE_IDS[-1]]}"
	say "next: script/test_stand/ctl.sh start"
fi
