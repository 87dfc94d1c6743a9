#!/bin/bash
#
# script/examples/move_address.sh
#	  An IP address that follows the lease: an example for pg_leader.notify_command.
#
# Stands alone; needs iproute2, iputils-arping and util-linux, and root or
# CAP_NET_ADMIN and CAP_NET_RAW.  Each step may be done again.  doc/notify.md says
# what it cannot do.
#
# Through sudo, the supervisor cannot end a gained_lease whose lease is over, and after
# a while runs lost_lease beside it.  So each run writes down that it is the newest;
# a gained_lease that is not any more adds nothing.

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
    host may be one whose supervisor is dead.  Nothing is added if another run for the
    same address has begun meanwhile.
    EVENT lost_lease, new_leader: removes the address.  None of this is an error
    if the address is there, or is not there, already.

OPTIONS
    --probe SECONDS  a whole number from 0 to 5, 1 by default; 0: do not ask
    --help           this text

FILES
    /run/pg_leader_address/ (not as root: /tmp/pg_leader_address.UID/) has, for each
    address, a lock and which run was the last.

EXIT STATUS
    0 done, 1 failed, 2 called wrongly
TEXT
}

fail()
{
	printf '%s: %s\n' "$PROGRAM" "$1" >&2
	exit 1
}

usage_error()
{
	printf '%s: %s\n' "$PROGRAM" "$1" >&2
	printf 'hint: %s --help says more\n' "$PROGRAM" >&2
	exit 2
}

# open_files: the directory must be this user's alone, wherever it is.
open_files()
{
	local directory=/run/pg_leader_address key

	(( EUID == 0 )) || directory=/tmp/pg_leader_address.$EUID
	mkdir -m 700 "$directory" 2>/dev/null || true
	[[ -d $directory && ! -L $directory && -O $directory ]] || fail "$directory is not this user's own directory"
	# Hosts that share it, as network namespaces do, are told apart.
	key=$(stat -Lc %i /proc/self/ns/net)_${interface}_${address%/*}
	newest_file=$directory/$key.newest
	exec 9>>"$directory/$key.lock"
}

begin_run()
{
	this_run=$$.$(date +%s.%N)
	printf '%s\n' "$this_run" >"$newest_file.$$"
	mv -f -- "$newest_file.$$" "$newest_file"
}

is_newest()
{
	[[ $(cat -- "$newest_file") == "$this_run" ]]
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
		is_newest || return 0
		if (( SECONDS >= end )); then
			printf '%s: another host answers for %s, or arping failed; taken over all the same\n' \
				"$PROGRAM" "$address" >&2
			return 0
		fi
		sleep 0.05
	done
}

# The probe without the lock: lost_lease must not wait for it.
take_address()
{
	if ! is_here && (( probe > 0 )); then
		wait_until_free
	fi
	flock -w "$LIMIT" 9 || fail "another run for $address holds the lock"
	if ! is_newest; then
		printf '%s: another run for %s has begun meanwhile; not taken\n' "$PROGRAM" "$address" >&2
		return 0
	fi
	timeout "$LIMIT" ip -4 addr replace "$address" dev "$interface"
	flock -u 9
	# Not waited for: if the lease ends in that second, the address must go at once.
	timeout "$LIMIT" arping -U -q -c 2 -w 2 -I "$interface" "${address%/*}" >/dev/null 2>&1 9>&- &
}

# Has been written down as the newest already: what waits for the lock adds nothing.
drop_address()
{
	# Longer than anybody should hold it; and better dropped beside it than kept.
	flock -w $((LIMIT + 1)) 9 ||
		printf '%s: another run for %s holds the lock; not waited for\n' "$PROGRAM" "$address" >&2
	if is_here; then
		timeout "$LIMIT" ip -4 addr del "$address" dev "$interface"
	fi
}

# is_address TEXT: IPv4 with a prefix, each number in its range.
is_address()
{
	local number

	[[ $1 =~ ^[0-9]{1,3}(\.[0-9]{1,3}){3}/[0-9]{1,2}$ ]] || return 1
	for number in ${1//[.\/]/ }; do
		(( 10#$number <= 255 )) || return 1
	done
	(( 10#${1#*/} <= 32 ))
}

probe=1
while [[ ${1:-} == -* ]]; do
	case $1 in
		--probe)
			[[ ${2:-} =~ ^[0-9]{1,2}$ ]] || usage_error "--probe needs a number of seconds"
			probe=$((10#$2))
			(( probe <= 5 )) || usage_error "--probe must be from 0 to 5"
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
is_address "$address" ||
	usage_error "\"$address\" is not an IPv4 address with a prefix, such as 10.0.0.100/24"
[[ $interface != */* && -e /sys/class/net/$interface || -n $(ip -o link show dev "$interface" 2>/dev/null) ]] ||
	usage_error "there is no network interface \"$interface\""

[[ $3 =~ ^(gained_lease|lost_lease|new_leader)$ ]] || usage_error "there is no event \"$3\""

open_files
begin_run
case $3 in
	gained_lease) take_address ;;
	*) drop_address ;;
esac
