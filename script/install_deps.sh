#!/bin/bash
#
# script/install_deps.sh
#	  Install the Debian packages that building, running or testing needs.
#
# Called by quickstart.sh and test/run.sh; works alone as well.  Does nothing,
# and needs neither network nor rights, when nothing is missing.

here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=script/lib.sh
. "$here/lib.sh"

usage()
{
	cat <<TEXT
NAME
    install_deps.sh - install the Debian packages that pg_leader needs

SYNOPSIS
    install_deps.sh [--check] [--record FILE] run | stand | test | colo

DESCRIPTION
    "run" is what building pg_leader and running servers needs, "stand" that and
    what the test stand in script/test_stand needs, "test" all that and what the
    tests need, "colo" all that and QEMU, for a part of the tests that is not run by
    default.  Only what is missing is installed.  A PostgreSQL that PG_CONFIG
    or PATH names is used as it is; where there is none, the major that this
    Debian has is installed.

    Debian creates and starts a database cluster "main" when it installs a
    PostgreSQL server for the first time.  Nobody asked for that one here, so
    while this script installs, a file in /etc/postgresql-common/createcluster.d
    says not to; it is removed afterwards.

    HAProxy, PgBouncer, Prometheus and its exporter, which the tests run by themselves,
    are services that Debian starts when it installs them.  Those that this script
    installs are not started, neither now (by /usr/sbin/policy-rc.d, which is as
    before afterwards) nor with the machine ("update-rc.d NAME enable" undoes that).

    node-postgres, with which a test connects, is Debian's node-pg.  That needs Debian's
    nodejs: where another one is installed, "npm install --global" loads it.

OPTIONS
    --check        print what is missing, one package a line, and install nothing
    --record FILE  add the names of what was installed to FILE
    --help         this text

EXIT STATUS
    0 nothing is missing (any more), or this is no Debian, and nothing was looked at;
    1 something is; 2 called wrongly
TEXT
}

drop_in_directory=/etc/postgresql-common/createcluster.d
drop_in=$drop_in_directory/pg_leader-no-main.conf
made_directories=()
policy=/usr/sbin/policy-rc.d
policy_aside=$policy.before-pg_leader
policy_made=no
services=(haproxy pgbouncer prometheus prometheus-postgres-exporter)
node_postgres=npm:pg@8.23.1
log=

# is_installed PACKAGE: Debian's, or npm:NAME@VERSION.
is_installed()
{
	if [[ $1 == npm:* ]]; then
		npm list --global "${1#npm:}" >/dev/null 2>&1
		return
	fi
	[[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

# The major that this Debian has, or nothing before apt's first update.
offered_major()
{
	LC_ALL=C apt-cache depends postgresql 2>/dev/null |
		sed -nE 's/^ *Depends: postgresql-([0-9]+)$/\1/p' | head -n 1
}

# What PostgreSQL comes from: nothing to install for one that is not Debian's.
postgres_packages()
{
	local major

	major=$(offered_major)
	major=${major:-15}
	if locate_postgres; then
		if [[ ! $PG_BIN =~ ^/usr/lib/postgresql/([0-9]+)/bin$ ]]; then
			return
		fi
		major=${BASH_REMATCH[1]}
		if (( major < 15 )); then
			major=15
		fi
	fi
	printf '%s\n' "postgresql-$major" "postgresql-server-dev-$major"
}

# node-postgres, and what runs it: Debian's modules do not go with another nodejs than
# Debian's, which has "dfsg" in its version.
node_packages()
{
	if is_installed nodejs && [[ $(dpkg-query -W -f '${Version}' nodejs) != *dfsg* ]]; then
		printf '%s\n' "$node_postgres"
	else
		printf '%s\n' nodejs node-pg
	fi
}

wanted_packages()
{
	postgres_packages
	printf '%s\n' gcc libc6-dev libevent-dev libpq-dev make perl pkgconf
	if [[ $1 != run ]]; then
		# ebtables-nft, which the stand calls, is in iptables.
		printf '%s\n' iproute2 iptables nftables util-linux
	fi
	if [[ $1 == test || $1 == colo ]]; then
		# libclang-rt is the runtime of the fuzzer and of sanitizers; netbase is what
		# gives a bare system its /etc/hosts; bsdutils has script(1), which is a
		# terminal for programs that want one.
		printf '%s\n' clang clang-format cppcheck libclang-rt-dev libcmocka-dev libdbd-pg-perl libipc-run-perl \
			shellcheck procps bsdutils netbase patch strace e2fsprogs
		# What servers are used with: balanced, pooled, scraped, archived, and moving an address.
		printf '%s\n' "${services[@]}" pgbackrest curl sudo iputils-arping
		node_packages
	fi
	if [[ $1 == colo ]]; then
		# The guest is Debian's kernel and busybox; hosts are asked by ping.
		printf '%s\n' qemu-system-x86 qemu-utils seabios ipxe-qemu busybox-static cpio iputils-ping
	fi
}

# Sets missing: what of that list is not installed.
find_missing()
{
	local package

	missing=()
	while read -r package; do
		is_installed "$package" || missing+=("$package")
	done < <(wanted_packages "$1")
}

# Root, or a user who can become root.
privileged()
{
	if is_root; then
		"$@"
	else
		sudo -- "$@"
	fi
}

# Also when interrupted: leave nothing of this script's behind.
clean_up()
{
	local directory

	if [[ -n $log ]]; then
		rm -f -- "$log"
	fi
	if [[ -e $drop_in ]]; then
		privileged rm -f -- "$drop_in"
	fi
	if [[ $policy_made == yes ]]; then
		put_policy_back
	fi
	for directory in "${made_directories[@]}"; do
		privileged rmdir --ignore-fail-on-non-empty -- "$directory" 2>/dev/null || true
	done
}

keep_debian_from_creating_main()
{
	local directory

	for directory in "$drop_in_directory" "${drop_in_directory%/*}"; do
		if [[ ! -d $directory ]]; then
			made_directories+=("$directory")
		fi
	done
	privileged mkdir -p -- "$drop_in_directory"
	printf '%s\n' "# While pg_leader's install_deps.sh runs." "create_main_cluster = off" |
		privileged tee "$drop_in" >/dev/null
}

is_missing()
{
	[[ " ${missing[*]} " == *" $1 "* ]]
}

# What the system has instead of it is put back, also what a killed run has left.
put_policy_back()
{
	policy_made=no
	if privileged test -e "$policy_aside"; then
		privileged mv -f -- "$policy_aside" "$policy"
	elif grep -qs "pg_leader's install_deps.sh" "$policy"; then
		privileged rm -f -- "$policy"
	fi
}

keep_debian_from_starting_services()
{
	local service status wanted=no

	for service in "${services[@]}"; do
		if is_missing "$service"; then
			wanted=yes
		fi
	done
	[[ $wanted == yes ]] || return 0
	put_policy_back
	if [[ -x $policy ]]; then
		# It may say no by itself, as in most containers.
		status=0
		"$policy" "${services[0]}" start >/dev/null 2>&1 || status=$?
		if (( status == 101 )); then
			return 0
		fi
	fi
	policy_made=yes
	if [[ -e $policy ]]; then
		privileged mv -- "$policy" "$policy_aside"
	fi
	printf '%s\n' '#!/bin/sh' "# While pg_leader's install_deps.sh runs: start nothing." 'exit 101' |
		privileged tee "$policy" >/dev/null
	privileged chmod 755 "$policy"
}

# Not with the machine either.
disable_services()
{
	local service

	for service in "${services[@]}"; do
		if is_missing "$service"; then
			privileged update-rc.d "$service" disable >>"$log" 2>&1 ||
				warn "the service $service could not be disabled: it starts with the machine"
		fi
	done
}

# logged NAME COMMAND...: as root; the end of what it says is shown if it fails.
logged()
{
	local name=$1

	shift
	privileged env DEBIAN_FRONTEND=noninteractive LC_ALL=C "$@" >>"$log" 2>&1 </dev/null && return
	error "$name failed; its output ends with:"
	tail -n 20 -- "$log" >&2
	exit 1
}

apt()
{
	logged "apt-get $1" apt-get -q -y -o DPkg::Lock::Timeout=120 "$@"
}

check=no
record=
list=
while (( $# > 0 )); do
	case $1 in
		--check) check=yes ;;
		--record) record=$(option_value "$@"); shift ;;
		-h | --help) usage; exit 0 ;;
		run | stand | test | colo) list=$1 ;;
		*) usage_error "there is no \"$1\" here" ;;
	esac
	shift
done
[[ -n $list ]] || usage_error "run, stand, test or colo?"

# Elsewhere than on Debian and its kin, the caller finds out what is missing.
if ! type -P dpkg-query >/dev/null; then
	exit 0
fi

find_missing "$list"
if (( ${#missing[@]} == 0 )); then
	exit 0
fi
if [[ $check == yes ]]; then
	printf '%s\n' "${missing[@]}"
	exit 1
fi
if ! is_root && ! type -P sudo >/dev/null; then
	fail "these packages are missing, and there is no sudo to install them: ${missing[*]}" \
		"as root: apt-get install ${missing[*]}"
fi

log=$(mktemp)
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
apt update
# A system that had never looked did not know its PostgreSQL's major.
find_missing "$list"
say "installing ${missing[*]}"
if [[ " ${missing[*]}" =~ \ postgresql-[0-9]+( |$) ]]; then
	keep_debian_from_creating_main
fi
keep_debian_from_starting_services
mapfile -t from_debian < <(printf '%s\n' "${missing[@]}" | grep -v '^npm:')
if (( ${#from_debian[@]} > 0 )); then
	apt install --no-install-recommends "${from_debian[@]}"
fi
disable_services
if is_missing "$node_postgres"; then
	logged "npm install" npm install --global --ignore-scripts "${node_postgres#npm:}"
fi
if [[ -n $record ]]; then
	printf '%s\n' "${missing[@]}" >>"$record"
fi
