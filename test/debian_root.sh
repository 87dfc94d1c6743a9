# shellcheck shell=bash
#
# test/debian_root.sh
#	  Roots: small Debian systems in directories, of any suite, to test in.
#
# Sourced by matrix.sh, package.sh and valgrind.sh, after script/lib.sh; never run.
# Everything runs with mounts and processes of its own, so that nothing of it
# shows outside and nothing outlives whoever started it, however that ends.
# What stays is the scratch directory, which remove_scratch() takes away.

# What has to be free for one root with everything in it, in megabytes.
ROOT_SIZE=4000

scratch=
contained_pid=
number=0
passed=0
failed=0

# report ok|not-ok TEXT: one result.
report()
{
	number=$((number + 1))
	if [[ $1 == ok ]]; then
		passed=$((passed + 1))
		say "ok $number - $2"
	else
		failed=$((failed + 1))
		say "not ok $number - $2"
	fi
}

# finish LEAST: say what came of it, and exit.  A run with fewer results broke off, and
# is not one that passed.
finish()
{
	(( number >= $1 || failed > 0 )) || failed=$((failed + 1))
	say "1..$number"
	say "$passed passed, $failed failed, 0 skipped"
	exit "$((failed > 0))"
}

# need_for_roots PROGRAM...: root, namespaces, these programs.
need_for_roots()
{
	local program

	is_root || fail "this makes Debian systems in directories, for which it must be root"
	for program in "$@"; do
		type -P "$program" >/dev/null ||
			fail "there is no $program here" "apt-get install ${program/#ip/iproute2}"
	done
	unshare --mount --pid --fork true 2>/dev/null ||
		fail "this machine allows no namespaces of mounts and processes"
}

# make_scratch DIRECTORY-NAME ROOTS: a place for so many roots at a time.
make_scratch()
{
	local free needed=$((ROOT_SIZE * $2))

	free=$(df --output=avail -m "${TMPDIR:-/tmp}" | tail -n 1)
	(( free > needed )) ||
		fail "${TMPDIR:-/tmp} has $((free)) MB left, and this needs $needed MB" \
			"name another place with TMPDIR"
	scratch=$(mktemp -d "${TMPDIR:-/tmp}/$1.XXXXXX")
	scratch=$(readlink -f "$scratch")
	chmod 755 "$scratch"
	trap remove_scratch EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
}

remove_scratch()
{
	if [[ -n $contained_pid ]]; then
		kill -KILL "$contained_pid" 2>/dev/null || true
		wait "$contained_pid" 2>/dev/null || true
	fi
	if [[ -z $scratch ]]; then
		return
	fi
	if [[ ${keep:-no} == yes ]]; then
		say "kept: $scratch" >&2
	else
		# What was killed a moment ago may still be writing.
		wait_while has_processes "$scratch" || true
		rm -rf --one-file-system -- "$scratch"
	fi
}

# has_processes DIRECTORY: does anything run whose root is in there?
has_processes()
{
	local root directory

	for root in /proc/[0-9]*/root; do
		for directory in "$1"/*/; do
			if [[ $root/ -ef $directory ]]; then
				return 0
			fi
		done
	done
	return 1
}

# contained SECONDS net|no-net COMMAND...: with mounts and processes of its own,
# and without a network but its own loopback if so said.  Killed after that time,
# and when this shell ends.
contained()
{
	local seconds=$1 status=0
	local -a namespaces=()

	[[ $2 == net ]] || namespaces=(--net)
	shift 2
	# In the background, because a trap has to wait for what is in the foreground.
	setpriv --pdeathsig KILL timeout --signal KILL "$seconds" setpriv --pdeathsig KILL \
		unshare --mount --propagation private "${namespaces[@]}" --pid --fork --kill-child --mount-proc \
		"$@" </dev/null &
	contained_pid=$!
	wait "$contained_pid" || status=$?
	contained_pid=
	return "$status"
}

# in_root ROOT SECONDS net|no-net COMMAND...: the same in a root.
in_root()
{
	local root=$1 seconds=$2 net=$3

	shift 3
	# shellcheck disable=SC2016
	contained "$seconds" "$net" bash -euc '
		root=$1 net=$2
		shift 2
		[ "$net" = net ] || ip link set lo up
		# Itself a mount, so that mounts can be made private inside as well.
		mount --bind "$root" "$root"
		mount -t proc proc "$root/proc"
		mkdir -p "$root/dev/pts" "$root/dev/shm"
		mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
		mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
		# Not by chroot alone: who is in one may make no user namespaces, which tests do.
		cd "$root"
		pivot_root . .
		umount -l .
		exec chroot . env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
			DEBIAN_FRONTEND=noninteractive "$@"' bash "$root" "$net" "$@"
}

# The mirror that this machine's own apt uses: no other one is asked.
debian_mirror()
{
	local mirror

	# shellcheck disable=SC2016
	mirror=$(apt-get indextargets --format '$(ORIGIN) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
		awk '$1 == "Debian" && $2 == "main" && $3 !~ /security/ { print $3; exit }')
	[[ -n $mirror ]] ||
		fail "this machine's apt knows no mirror of Debian" "its lists may be missing: apt-get update"
	printf '%s' "$mirror"
}

# make_root SUITE DIRECTORY: a minimal system whose apt can install.
make_root()
{
	local suite=$1 root=$2 mirror log=$2.log

	mirror=$(debian_mirror)
	if ! contained 1200 net debootstrap --variant=minbase "$suite" "$root" "$mirror" >"$log" 2>&1; then
		error "debootstrap of $suite failed; its output has these warnings and ends with:"
		{ grep -E '^[EW]:' "$log" | head -n 10; tail -n 10 -- "$log"; } >&2
		return 1
	fi
	# The release files of unstable are past their date where mirrors are copied rarely.
	cat >"$root/etc/apt/apt.conf.d/90test" <<-'TEXT'
		Acquire::Check-Valid-Until "false";
		Acquire::Languages "none";
		APT::Install-Recommends "false";
	TEXT
	apt-config dump Acquire::http Acquire::https >>"$root/etc/apt/apt.conf.d/90test"
	# Nobody needs this system after a power failure.
	echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/90test"
	# Installing a server starts none.
	printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
	chmod 755 "$root/usr/sbin/policy-rc.d"
	cp -L /etc/resolv.conf "$root/etc/resolv.conf"
	in_root "$root" 300 net apt-get -q update >>"$log" 2>&1 || {
		error "apt-get update failed in $suite; its output ends with:"
		tail -n 20 -- "$log" >&2
		return 1
	}
}

# copy_tree DIRECTORY: the sources, without what a build has left.
copy_tree()
{
	mkdir -p "$1"
	tar -C "$PGLD_ROOT" "${NOT_SOURCES[@]}" --mode=u+rwX,go+rX -cf - . |
		tar -C "$1" --no-same-owner -xf -
}
