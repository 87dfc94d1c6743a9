-- Everyone may look, superusers and those they grant it to may change.
CREATE EXTENSION pg_leader;
CREATE ROLE regress_leader_plain;
CREATE ROLE regress_leader_monitor IN ROLE pg_monitor;
SELECT pg_leader_wait_for_leader();

SET ROLE regress_leader_plain;
SELECT pg_leader_node_id(), pg_leader_leader_id(), pg_leader_is_leader();
SELECT term > 0 AS lease FROM pg_leader_lease();
SELECT pg_leader_wait_for_leader();
SELECT get_node_info() LIKE 'node 0: leader, term %' AS node_info;
SELECT node_id, role FROM pg_leader_status;
SELECT count(*) FROM pg_leader_peers;
SELECT count(*) FROM pg_leader_server;
SELECT count(*) FROM pg_leader_fence;
SELECT count(*) FROM pg_leader_slots;
SELECT count(*) > 0 AS events FROM pg_leader_events;
SELECT count(*) FROM pg_stat_pg_leader;
SELECT count(*) > 0 AS messages FROM pg_leader_stat_messages;
SELECT count(*) > 0 AS drops FROM pg_leader_stat_drops;
SELECT count(*) FROM pg_leader_stat_peers;
SELECT count(*) > 0 AS times FROM pg_leader_stat_times;
SELECT count(*) > 0 AS histogram FROM pg_leader_stat_histogram;

-- where files are is not for everyone, nor how members connect to each other
SELECT state_file FROM pg_leader_status;
SELECT count(*) AS conninfo FROM pg_settings WHERE name = 'pg_leader.replication_conninfo';

SELECT pg_leader_transfer();
SELECT pg_leader_admit();
SELECT pg_leader_pause();
SELECT pg_leader_resume();
SELECT pg_leader_reinit();
SELECT pg_leader_restart();
SELECT pg_stat_pg_leader_reset();
ALTER SYSTEM SET pg_leader.candidate = off;
SET pg_leader.candidate = off;
RESET ROLE;

SET ROLE regress_leader_monitor;
SELECT state_file LIKE '%/node-0.state' AS state_file FROM pg_leader_status;
SELECT count(*) AS conninfo FROM pg_settings WHERE name = 'pg_leader.replication_conninfo';
SELECT c.relname AS not_readable
FROM pg_class c JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
WHERE d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pg_leader') AND NOT has_table_privilege(c.oid, 'SELECT');
SELECT p.oid::regprocedure AS for_superusers
FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
WHERE d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pg_leader') AND NOT has_function_privilege(p.oid, 'EXECUTE')
ORDER BY p.proname;
SELECT count(*) > 0 AS events FROM pg_leader_events;
SELECT pg_stat_pg_leader_reset();
RESET ROLE;

-- A grant is enough.
GRANT EXECUTE ON FUNCTION pg_stat_pg_leader_reset() TO regress_leader_plain;
GRANT EXECUTE ON FUNCTION pg_leader_transfer(int4, interval) TO regress_leader_plain;
GRANT EXECUTE ON FUNCTION pg_leader_admit() TO regress_leader_plain;
GRANT EXECUTE ON FUNCTION pg_leader_pause(interval), pg_leader_resume(interval), pg_leader_reinit(), pg_leader_restart() TO regress_leader_plain;
SET ROLE regress_leader_plain;
SELECT pg_stat_pg_leader_reset();
SELECT pg_leader_transfer();
SELECT pg_leader_admit();
SELECT pg_leader_pause();
SELECT pg_leader_resume();
SELECT pg_leader_reinit();
SELECT pg_leader_restart();
RESET ROLE;

DROP EXTENSION pg_leader;
DROP ROLE regress_leader_plain, regress_leader_monitor;
