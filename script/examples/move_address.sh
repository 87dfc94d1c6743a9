#!/bin/bash
#
# script/examples/move_address.sh
#	  An IP address that follows the lease: an example for pg_leader.notify_command.
#
# Stands alone; needs iproute2 and iputils-arping, and root or CAP_NET_ADMIN and
# CAP_NET_RAW.  Each step may be done again.  doc/notify.md says what it cannot do.

set -euo pipefail

PROGRAM=$(basename "$0")
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL=C

# No command in here may hang: nobody can end what runs as root.
LIMIT=3

usage()
{
	cat <<TEXT
NAME
    move_address.sh - give this host an IPv4 address while its server holds the lease

SYNOPSIS
    move_address.sh [--probe SECONDS] ADDRESS/PREFIX INTERFACE EVENT

DESCRIPTION
    For postgresql.conf on each member:

        pg_leader.notify_command = 'sudo -n /usr/local/sbin/move_address.sh 10.0.0.100/24 eth0 %e'

    EVENT gained_lease: asks the network whether another host still answers for the
    address, for as long as --probe says; then adds it, and tells the neighbours.
    It is also added if another host does go on answering, with a warning: that
    host may be one whose server is dead.
    EVENT lost_lease, new_leader: removes the address.  None of this is an error
    if the address is there, or is not there, already.

OPTIONS
    --probe SECONDS  a whole number from 0 to 60, 1 by default; 0: do not ask
    --help           this text

EXIT STATUS
    0 done, 1 failed, 2 called wrongly
TEXT
}

usage_error()
{
	printf '%s: %s\n' "$PROGRAM" "$1" >&2
	printf 'hint: %s --help says more\n' "$PROGRAM" >&2
	exit 2
}

is_here()
{
	[[ -n $(timeout "$LIMIT" ip -4 -o addr show dev "$interface" to "${address%/*}") ]]
}

# Until nobody answers for the address any more, or the time is over.
wait_until_free()
{
	local end=$((SECONDS + probe))

	# Exit status 0: nobody has answered; it takes a second to know.
	until timeout "$LIMIT" arping -D -q -c 1 -w 1 -I "$interface" "${address%/*}" >/dev/null; do
		if (( SECONDS >= end )); then
			printf '%s: another host still answers for %s; taken over all the same\n' \
				"$PROGRAM" "$address" >&2
			return
		fi
		sleep 0.05
	done
}

take_address()
{
	if ! is_here && (( probe > 0 )); then
		wait_until_free
	fi
	timeout "$LIMIT" ip -4 addr replace "$address" dev "$interface"
	# Not waited for: if the lease ends in that second, the address must go at once.
	timeout "$LIMIT" arping -U -q -c 2 -w 2 -I "$interface" "${address%/*}" >/dev/null 2>&1 &
}

drop_address()
{
	if is_here; then
		timeout "$LIMIT" ip -4 addr del "$address" dev "$interface"
	fi
}

probe=1
while [[ ${1:-} == -* ]]; do
	case $1 in
		--probe)
			[[ ${2:-} =~ ^[0-9]{1,2}$ ]] || usage_error "--probe needs a number of seconds"
			probe=$((10#$2))
			(( probe <= 60 )) || usage_error "--probe must be from 0 to 60"
			shift
			;;
		-h | --help) usage; exit 0 ;;
		*) usage_error "there is no option $1" ;;
	esac
	shift
done
(( $# == 3 )) || usage_error "ADDRESS/PREFIX, INTERFACE and EVENT, not $# arguments"
address=$1
interface=$2
[[ $address =~ ^[0-9]{1,3}(\.[0-9]{1,3}){3}/[0-9]{1,2}$ ]] ||
	usage_error "\"$address\" is not an IPv4 address with a prefix, such as 10.0.0.100/24"
[[ -e /sys/class/net/$interface || -n $(ip -o link show dev "$interface" 2>/dev/null) ]] ||
	usage_error "there is no network interface \"$interface\""

case $3 in
	gained_lease) take_address ;;
	lost_lease | new_leader) drop_address ;;
	*) usage_error "there is no event \"$3\"" ;;
esac
