#!/bin/bash
#
# test/package_installed.sh
#	  What package.sh tries out where the packages are installed.
#
# usage: package_installed.sh documents | quickstart | clusters | service | purge
#
# Runs inside a root, as root, and knows nothing of the sources.

set -euo pipefail

tools=/usr/share/pg-leader
major=$(find /usr/lib/postgresql -mindepth 1 -maxdepth 1 -printf '%f\n')

# must TEXT COMMAND...
must()
{
	local text=$1

	shift
	"$@" || { echo "FAILED: $text" >&2; exit 1; }
}

# sql PORT QUERY
sql()
{
	runuser -u postgres -- psql -XAtq -v ON_ERROR_STOP=1 -p "$1" -d postgres -c "$2"
}

# check_links.pl looks at the tree that it is in.
try_documents()
{
	local documents

	for documents in /usr/share/doc/*pg-leader*; do
		rm -rf /srv/documents
		cp -r "$documents" /srv/documents
		cp /srv/check_links.pl /srv/documents/test/
		must "the links of $documents" perl /srv/documents/test/check_links.pl
	done
}

try_quickstart()
{
	local output

	output=$("$tools/script/quickstart.sh")
	echo "$output"
	must "it says that nothing has to be built" grep -q "pg_leader is installed in" <<<"$output"
	must "one of three is the primary" test "$(grep -cE '^ +[0-2] .* primary .* open for commits ' <<<"$output")" = 1
	must "two of three follow" test "$(grep -cE '^ +[0-2] .* standby .* streaming from node ' <<<"$output")" = 2
	"$tools/script/watchpsql.sh" -c "$tools/config/loopback.config" --once 0
	"$tools/script/quickstart.sh" --down
	must "it leaves nothing" test ! -e /var/lib/postgresql/pg_leader_nodes
	must "it leaves the package's files" test -e "/usr/lib/postgresql/$major/lib/pg_leader.so"
}

# The settings of one member, as doc/debian.md says.
settings()
{
	cat <<-TEXT
		shared_preload_libraries = 'pg_leader'
		pg_leader.node_id = $1
		pg_leader.cluster = '127.0.0.1:3500, 127.0.0.1:3501, 127.0.0.1:3502'
		pg_leader.state_directory = '/var/lib/postgresql/pg_leader'
	TEXT
}

# Three clusters stand for one on each of three machines.
try_clusters()
{
	local id leader target

	pg_dropcluster --stop "$major" main 2>/dev/null || true
	install -d -o postgres -g postgres -m 700 /var/lib/postgresql/pg_leader
	for id in 0 1 2; do
		pg_createcluster -p $((5432 + id)) "$major" "node$id"
		settings "$id" | runuser -u postgres -- tee "/etc/postgresql/$major/node$id/conf.d/pg_leader.conf" >/dev/null
		runuser -u postgres -- "/usr/lib/postgresql/$major/bin/pg_leader_state" \
			--new "/var/lib/postgresql/pg_leader/node-$id.state" --node-id "$id" \
			--cluster '127.0.0.1:3500, 127.0.0.1:3501, 127.0.0.1:3502'
	done
	for id in 0 1 2; do
		pg_ctlcluster --skip-systemctl-redirect "$major" "node$id" start
		sql $((5432 + id)) 'CREATE EXTENSION pg_leader'
	done
	leader=$(sql 5432 'SELECT pg_leader_wait_for_leader()')
	target=$(((leader + 1) % 3))
	must "the leader hands over to node $target" test \
		"$(sql $((5432 + leader)) "SELECT pg_leader_transfer($target)")" = "$target"

	# An upgrade of the package restarts nothing: that is up to the administrator.
	leader=$(sql 5432 'SELECT term FROM pg_leader_status')
	dpkg -i /srv/packages/*.deb
	must "installing again leaves servers and leader alone" test \
		"$(sql 5432 'SELECT term FROM pg_leader_status')" = "$leader"
	pg_ctlcluster --skip-systemctl-redirect "$major" node0 restart
	sql 5432 'SELECT pg_leader_wait_for_leader()'
	must "a member that was restarted votes" test \
		"$(sql 5432 'SELECT abstaining FROM pg_leader_status')" = f
	for id in 0 1 2; do
		pg_dropcluster --stop "$major" "node$id"
		# What pg_dropcluster did not make, it leaves.
		rm -rf "/etc/postgresql/$major/node$id"
	done
	rm -r /var/lib/postgresql/pg_leader
}

# lists CLUSTER STATUS: does pg_lsclusters say so?
lists()
{
	pg_lsclusters -h | grep -qE "^$major +$1 +[0-9]+ +$2 "
}

# What systemd would run; there is none here.
try_service()
{
	local command i name=$major-managed pid

	install -d -o postgres -g postgres -m 700 /var/lib/postgresql/pg_leader
	pg_createcluster -p 5432 "$major" managed
	{ settings 0; echo "pg_leader.manage = on"; } |
		runuser -u postgres -- tee "/etc/postgresql/$major/managed/conf.d/pg_leader.conf" >/dev/null
	runuser -u postgres -- "/usr/lib/postgresql/$major/bin/pg_leader_state" \
		--new /var/lib/postgresql/pg_leader/node-0.state --node-id 0 \
		--cluster '127.0.0.1:3500, 127.0.0.1:3501, 127.0.0.1:3502'
	echo disabled >"/etc/postgresql/$major/managed/start.conf"

	command=$(sed -n 's/^ExecStart=//p' "$(dpkg -L pg-leader-common | grep '/pg_leader@\.service$')")
	command=${command//%i/$name}
	command=${command//%%/%}
	command=${command//\$\$/\$}
	setpriv --reuid postgres --regid postgres --init-groups sh -c "exec $command" &
	pid=$!
	for (( i = 0; i < 300; i++ )); do
		! lists managed online,recovery || break
		sleep 0.1
	done
	must "the server runs" lists managed online,recovery
	must "its supervisor is what systemd would have started" grep -q pg_leader_supervisor "/proc/$pid/cmdline"
	must "pg_ctlcluster does not restart it" grep -q 'Cluster is disabled' \
		<<<"$(pg_ctlcluster --skip-systemctl-redirect "$major" managed restart 2>&1)"
	must "it still runs" lists managed online,recovery
	kill -TERM "$pid"
	must "its supervisor ends" wait "$pid"
	must "with the server" lists managed down,recovery
	pg_dropcluster "$major" managed
	rm -rf "/etc/postgresql/$major/managed" /var/lib/postgresql/pg_leader
}

try_purge()
{
	local left

	dpkg --purge pg-leader-tools pg-leader-common "postgresql-$major-pg-leader"
	left=$(find /etc /usr /var -xdev \( -iname '*pg_leader*' -o -iname '*pg-leader*' \) \
		! -path '/var/lib/apt/*' ! -path '/var/cache/*')
	must "no file is left: $left" test -z "$left"
	must "the server is still there" test -x "/usr/lib/postgresql/$major/bin/postgres"
}

case ${1:-} in
	documents | quickstart | clusters | service | purge) "try_$1" ;;
	*) sed -n '3,8s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
