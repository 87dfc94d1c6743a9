-- Settings: what there is, what is refused, and what a reload does.
CREATE EXTENSION pg_leader;
SELECT name, vartype, unit, context, min_val, max_val, boot_val
FROM pg_settings WHERE name LIKE 'pg\_leader.%' ORDER BY name COLLATE "C";

-- Values that are wrong by themselves
ALTER SYSTEM SET pg_leader.node_id = -2;
ALTER SYSTEM SET pg_leader.node_id = 64;
ALTER SYSTEM SET pg_leader.cluster = 'a';
ALTER SYSTEM SET pg_leader.cluster = '10.0.0.1:0';
ALTER SYSTEM SET pg_leader.cluster = '10.0.0.1:65536';
ALTER SYSTEM SET pg_leader.cluster = ':3500';
ALTER SYSTEM SET pg_leader.cluster = '10.0.0.1:3500, 10.0.0.1:3500';
ALTER SYSTEM SET pg_leader.cluster = '0=10.0.0.1:3500, 0=10.0.0.2:3500';
ALTER SYSTEM SET pg_leader.cluster = '0=10.0.0.1:3500, 10.0.0.2:3500';
ALTER SYSTEM SET pg_leader.cluster = '64=10.0.0.1:3500';
ALTER SYSTEM SET pg_leader.cluster = '0.0.0.0:3500';
ALTER SYSTEM SET pg_leader.cluster_name = '';
ALTER SYSTEM SET pg_leader.cluster_name = 'a
b';
ALTER SYSTEM SET pg_leader.cluster_name = '1234567890123456789012345678901234567890123456789012345678901234';
ALTER SYSTEM SET pg_leader.listen_address = 'localhost';
ALTER SYSTEM SET pg_leader.listen_address = '10.0.0.1:3500';
ALTER SYSTEM SET pg_leader.state_directory = '';
-- PostgreSQL words this otherwise in each major.
\set VERBOSITY sqlstate
ALTER SYSTEM SET pg_leader.min_timeout = '4ms';
ALTER SYSTEM SET pg_leader.min_timeout = '11min';
ALTER SYSTEM SET pg_leader.max_timeout = '5ms';
ALTER SYSTEM SET pg_leader.heartbeat_interval = '0';
ALTER SYSTEM SET pg_leader.heartbeat_interval = '61s';
ALTER SYSTEM SET pg_leader.notify_timeout = '99ms';
ALTER SYSTEM SET pg_leader.notify_timeout = '11min';
ALTER SYSTEM SET pg_leader.clone_max_rate = 31;
ALTER SYSTEM SET pg_leader.clone_max_rate = 1048577;
ALTER SYSTEM SET pg_leader.open_timeout = '999ms';
ALTER SYSTEM SET pg_leader.open_timeout = '11min';
ALTER SYSTEM SET pg_leader.health_timeout = '999ms';
ALTER SYSTEM SET pg_leader.health_timeout = '11min';
ALTER SYSTEM SET pg_leader.fence_wait = '-2ms';
ALTER SYSTEM SET pg_leader.fence_wait = '11min';
\set VERBOSITY default
ALTER SYSTEM SET pg_leader.max_clock_drift = 0.51;
ALTER SYSTEM SET pg_leader.max_clock_drift = -0.1;
ALTER SYSTEM SET pg_leader.candidate = 'perhaps';
ALTER SYSTEM SET pg_leader.fence_exempt_roles = 'monitoring, , "Admin"';
ALTER SYSTEM SET pg_leader.fence_exempt_roles = '"Admin';
ALTER SYSTEM SET pg_leader.notify_command = 'script %p';
ALTER SYSTEM SET pg_leader.notify_command = 'script 100%';
ALTER SYSTEM SET pg_leader.notify_command = E'script %\u00e4';
ALTER SYSTEM SET pg_leader.http_listen = '127.0.0.1:80, *:80';

-- Every placeholder that there is
ALTER SYSTEM SET pg_leader.notify_command = 'script %e %t %l %a %n %%';
ALTER SYSTEM RESET pg_leader.notify_command;

-- What only a restart or a reload changes
SET pg_leader.node_id = 1;
SET pg_leader.cluster = '10.0.0.1:3500';
SET pg_leader.min_timeout = '100ms';
SET pg_leader.notify_command = 'script';
SET pg_leader.allow_local_commit = on;
SET pg_leader.no_such_setting = 1;

-- Wait until a condition holds; how long it takes does not matter.
CREATE FUNCTION wait_until(condition text) RETURNS bool LANGUAGE plpgsql AS
$$
DECLARE
    met bool;
BEGIN
    FOR i IN 1 .. 3000 LOOP
        EXECUTE 'SELECT ' || condition INTO met;
        IF met THEN
            RETURN true;
        END IF;
        PERFORM pg_sleep(0.01);
    END LOOP;
    RETURN false;
END
$$;

-- Good timeouts are taken over.
ALTER SYSTEM SET pg_leader.min_timeout = '1500ms';
ALTER SYSTEM SET pg_leader.max_timeout = '1600ms';
ALTER SYSTEM SET pg_leader.heartbeat_interval = '20ms';
SELECT pg_reload_conf();
SELECT wait_until($$ (SELECT max_timeout = '1600ms' FROM pg_leader_status) $$);
SELECT min_timeout, max_timeout, heartbeat_interval FROM pg_leader_status;

-- A combination that cannot work keeps those before; the same reload makes the
-- leader give up, which shows that it was read.
SELECT wait_until('pg_leader_is_leader()');
SELECT pg_leader_term() AS term_before \gset
ALTER SYSTEM SET pg_leader.min_timeout = '1700ms';
ALTER SYSTEM SET pg_leader.candidate = off;
SELECT pg_reload_conf();
SELECT wait_until($$ (SELECT NOT may_lead FROM pg_leader_status) $$);
SELECT min_timeout, max_timeout, heartbeat_interval, role, leader_id, is_leader, may_lead
FROM pg_leader_status;
SELECT pg_leader_wait_for_leader('100ms') IS NOT NULL;
SELECT pg_leader_transfer();

-- The record says when its lease ended.
SELECT role, lease_start IS NOT NULL AS lease_start, lease_end >= lease_start AS lease_end, reason
FROM pg_leader_events ORDER BY number DESC LIMIT 1;

-- Allowed again, it leads in a higher term.
ALTER SYSTEM RESET ALL;
SELECT pg_reload_conf();
SELECT pg_leader_wait_for_leader();
SELECT pg_leader_term() > :term_before AS higher_term, pg_leader_is_leader();
SELECT min_timeout, max_timeout, heartbeat_interval FROM pg_leader_status;

-- No two leases of this member overlap.
SELECT count(*) AS overlaps
FROM (SELECT lease_start, lag(lease_end) OVER (ORDER BY lease_end) AS lease_end_before
      FROM pg_leader_events WHERE lease_end IS NOT NULL) AS leases
WHERE lease_start < lease_end_before;

DROP FUNCTION wait_until(text);
DROP EXTENSION pg_leader;
