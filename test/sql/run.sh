#!/bin/bash
#
# Run the SQL tests (pg_regress) against a server of their own: one member that
# is a whole cluster, preloading the installed pg_leader.
#
# Needs "make install" before.  As root it switches to an unprivileged user,
# because initdb and postgres refuse to run as root.  Leaves nothing behind but,
# when a test fails, regression.diffs and results/ in the current directory.

set -euo pipefail

usage() {
	cat <<'USAGE'
NAME
    run.sh - test the SQL interface on a server of its own

SYNOPSIS
    test/sql/run.sh [TEST...]

DESCRIPTION
    Runs the named tests of test/sql with pg_regress, all by default, against a
    server that preloads the installed pg_leader: a member that is a whole cluster.
    "make check-sql" is the same.  As root it switches to another user.

    When a test fails, regression.diffs and results/ are left in the current
    directory.

OPTIONS
    --help          this text

ENVIRONMENT
    PG_CONFIG       the PostgreSQL to test with, where pg_leader is installed
    PGLD_TEST_USER  whom the server runs as when root calls this; postgres

EXIT STATUS
    0 all passed, anything else: not
USAGE
}

if [[ ${1:-} == --help || ${1:-} == -h ]]; then
	usage
	exit 0
fi

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
pg_config=${PG_CONFIG:-pg_config}
bindir=$("$pg_config" --bindir)
pg_regress=$(dirname "$("$pg_config" --pgxs)")/../test/regress/pg_regress

tests=("$@")
if [[ ${#tests[@]} -eq 0 ]]; then
	for file in "$here"/*.sql; do
		tests+=("$(basename "$file" .sql)")
	done
fi

if [[ ! -e $("$pg_config" --pkglibdir)/pg_leader.so ]]; then
	echo "pg_leader is not installed for $bindir: run \"make install\" first" >&2
	exit 1
fi
if [[ ! -x $pg_regress ]]; then
	echo "pg_regress is not at $pg_regress: install postgresql-server-dev" >&2
	exit 1
fi

as_user=()
if [[ $(id -u) -eq 0 ]]; then
	as_user=(runuser -u "${PGLD_TEST_USER:-postgres}" --)
fi

work=$(mktemp -d /tmp/pg_leader_sql.XXXXXX)

# shellcheck disable=SC2317 # called by the trap
clean_up() {
	if [[ -e $work/data/postmaster.pid ]]; then
		"${as_user[@]}" "$bindir/pg_ctl" -D "$work/data" -m immediate -w stop >/dev/null 2>&1 || true
	fi
	rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

# Two ports that are free now: for datagrams, and for the socket's name.
free_port() {
	perl -MIO::Socket::INET -e '
		my $s = IO::Socket::INET->new(LocalAddr => "127.0.0.1", Proto => $ARGV[0],
			($ARGV[0] eq "tcp" ? (Listen => 1) : ())) or die "no free port: $@\n";
		print $s->sockport' "$1"
}
udp_port=$(free_port udp)
sql_port=$(free_port tcp)

# The user may not be able to read the source tree.
mkdir "$work/input" "$work/output"
cp -r "$here" "$here/../expected" "$work/input/"
if [[ ${#as_user[@]} -gt 0 ]]; then
	chown -R "${PGLD_TEST_USER:-postgres}" "$work"
fi
cd "$work"

"${as_user[@]}" "$bindir/initdb" -D "$work/data" -A trust -N --no-locale -E UTF8 \
	-U regress_admin >/dev/null
"${as_user[@]}" mkdir -m 700 "$work/state"
"${as_user[@]}" "$bindir/pg_leader_state" --new "$work/state/node-0.state" --node-id 0 \
	--cluster "127.0.0.1:$udp_port" >/dev/null
"${as_user[@]}" tee -a "$work/data/postgresql.conf" >/dev/null <<CONF
listen_addresses = ''
unix_socket_directories = '$work'
port = $sql_port
fsync = off
shared_preload_libraries = 'pg_leader'
pg_leader.node_id = 0
pg_leader.cluster = '127.0.0.1:$udp_port'
pg_leader.state_directory = '$work/state'
# long enough that a busy machine lets no lease run out between two statements
pg_leader.min_timeout = '2s'
pg_leader.max_timeout = '2100ms'
CONF

if ! "${as_user[@]}" "$bindir/pg_ctl" -D "$work/data" -l "$work/log" -w start >/dev/null; then
	cat "$work/log" >&2
	exit 1
fi

status=0
"${as_user[@]}" "$pg_regress" --use-existing --bindir="$bindir" --host="$work" \
	--port="$sql_port" --user=regress_admin --dbname=postgres \
	--inputdir="$work/input" --outputdir="$work/output" "${tests[@]}" || status=$?

failed=0
for name in "${tests[@]}"; do
	if ! [[ -e $work/output/results/$name.out ]] ||
		grep -q "^diff .*/$name\.out" "$work/output/regression.diffs" 2>/dev/null; then
		failed=$((failed + 1))
	fi
done
if [[ $status -ne 0 ]]; then
	if [[ -s $work/output/regression.diffs ]]; then
		cat "$work/output/regression.diffs"
		cp -r "$work/output/regression.diffs" "$work/output/results" "$OLDPWD/" || true
	fi
	echo "--- the end of the server's log"
	tail -n 20 "$work/log"
	if [[ $failed -eq 0 ]]; then
		failed=1
	fi
fi
echo "$((${#tests[@]} - failed)) passed, $failed failed, 0 skipped"
exit "$status"
