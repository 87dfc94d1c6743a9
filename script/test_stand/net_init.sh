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
    so on, and an ebtables chain named pgld_BRIDGE_NAME, in which ctl.sh cuts
    links and which comes first in FORWARD.  The machine itself gets no address
    there: nothing goes in or out.  What is there already is kept, so it can be
    run again, also after it was interrupted or when N_NODES has grown.

    Names that somebody else uses, and addresses that this machine has, are
    refused before anything is made.  net_down.sh removes it all.

OPTIONS
    -c CONFIG  the configuration, $PGLD_DEFAULT_CONFIG by default
    --help     this text

EXIT STATUS
    0 the stand is up, 1 it is not, 2 called or configured wrongly
TEXT
}

refuse_name()
{
	fail "there is already $1, which the test stand has not made" "change $2 in $CONFIG_FILE"
}

# Does anybody have one of our names?
check_names()
{
	local id

	! link_exists "$BRIDGE_NAME" || is_ours link "$BRIDGE_NAME" ||
		refuse_name "an interface $BRIDGE_NAME" BRIDGE_NAME
	! chain_exists "$STAND_CHAIN" || recorded_identity chain "$STAND_CHAIN" >/dev/null ||
		refuse_name "an ebtables chain $STAND_CHAIN" BRIDGE_NAME
	for id in "${NODE_IDS[@]}"; do
		! link_exists "$(node_cable "$id")" || is_ours link "$(node_cable "$id")" ||
			refuse_name "an interface $(node_cable "$id")" VETH_PREFIX
		! namespace_exists "$(node_namespace "$id")" || is_ours namespace "$(node_namespace "$id")" ||
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

# A stand that was made by another configuration is not reshaped: what this one
# does not know would be forgotten, with all that runs in it.
check_record()
{
	local line kind name expected=$'\n'

	[[ -e $STAND_RECORD ]] || return 0
	while read -r kind name _; do
		expected+="$kind $name"$'\n'
	done < <(print_record)
	while read -r kind name _; do
		[[ $expected != *$'\n'"$kind $name"$'\n'* ]] || continue
		[[ $kind != network ]] ||
			fail "the stand was made with the network $name, and $CONFIG_FILE says $NETWORK.0/$MASK" \
				"take it down with net_down.sh first"
		fail "the stand has the $kind $name, which $CONFIG_FILE knows nothing of" \
			"take it down with net_down.sh first"
	done <"$STAND_RECORD"
}

# print_recorded made|"" KIND NAME [NODE_ID]: one line of the record.
print_recorded()
{
	local identity=-

	[[ -z $1 ]] || identity=$("$2_identity" "$3")
	printf '%s\n' "$2 $3 $identity${4:+ $4}"
}

# print_record [made]: what a stand consists of; with identities once it is made.
print_record()
{
	local id

	printf 'network %s\nchain %s\n' "$NETWORK.0/$MASK" "$STAND_CHAIN"
	print_recorded "${1:-}" link "$BRIDGE_NAME"
	for id in "${NODE_IDS[@]}"; do
		print_recorded "${1:-}" namespace "$(node_namespace "$id")" "$id"
		print_recorded "${1:-}" link "$(node_cable "$id")"
	done
}

# What is about to be made goes on record before: an interruption in between
# leaves nothing that net_down.sh would not find.
write_record()
{
	print_record "$@" >"$STAND_RECORDS/.new"
	mv -T "$STAND_RECORDS/.new" "$STAND_RECORD"
}

make_bridge()
{
	local hooks

	link_exists "$BRIDGE_NAME" || ip link add "$BRIDGE_NAME" type bridge
	# No address, not even a link-local one: the machine is no part of the stand.
	ip link set "$BRIDGE_NAME" addrgenmode none
	ip link set "$BRIDGE_NAME" up
	{
		chain_exists "$STAND_CHAIN" || print_chain
		if ! chain_is_hooked "$STAND_CHAIN"; then
			for (( hooks = $(count_hooks "$STAND_CHAIN"); hooks > 0; hooks-- )); do
				printf -- '-D FORWARD -j %s\n' "$STAND_CHAIN"
			done
			printf -- '-I FORWARD -j %s\n' "$STAND_CHAIN"
		fi
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

lock_stand

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
write_record made
stand_is_up || fail "the stand did not come up" "see ip -d link, ip netns and ebtables-nft -L"

if [[ $was_up == yes ]]; then
	say "the stand is up already: ${#NODE_IDS[@]} namespaces on the bridge $BRIDGE_NAME"
else
	say "the stand is up: ${#NODE_IDS[@]} namespaces on the bridge $BRIDGE_NAME, addresses ${NODE_HOST[NODE_IDS[0]]} to ${NODE_HOST[NODE_IDS[-1]]}"
	next=$(shown_script ctl.sh)
	if [[ $CONFIG_FILE != "$(readlink -f "$PGLD_DEFAULT_CONFIG")" ]]; then
		next+=" --config $config"
	fi
	say "next: $next start"
fi
