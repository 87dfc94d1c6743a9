-- The SQL interface on a cluster of one member.
CREATE EXTENSION pg_leader;

-- A cluster of one elects itself.
SELECT pg_leader_wait_for_leader();
SELECT pg_leader_node_id(), pg_leader_leader_id(), pg_leader_is_leader(),
       pg_leader_term() > 0 AS has_term;
SELECT term = pg_leader_term() AS term_of_lease,
       remaining > '0'::interval AND remaining < '2s'::interval AS remaining_is_sane
FROM pg_leader_lease();
SELECT get_node_info() = format('node 0: leader, term %s, leader 0', pg_leader_term()) AS node_info;

-- Status
\x
SELECT state, node_id, role, leader_id, leader_address LIKE '127.0.0.1:%' AS address,
       term = pg_leader_term() AS term, voted_for, members, quorum, is_leader,
       lease_remaining > '0'::interval AS has_lease, may_lead, abstaining, abstain_reason,
       promise_remaining IS NULL OR promise_remaining <= min_timeout AS promise,
       min_timeout, max_timeout, heartbeat_interval, since <= clock_timestamp() AS since,
       state_file LIKE '%/node-0.state' AS state_file, state_file_health,
       authentication, boot >= 1 AS boot, refused_settings, paused
FROM pg_leader_status;
\x

-- What only a managed server has
SELECT count(*) AS rows, count(server) AS servers, count("order") AS orders FROM pg_leader_server;
SELECT count(*) AS rows, bool_and(f IS NULL) AS nulls FROM pg_leader_fence f;
SELECT count(*) AS slots FROM pg_leader_slots;

-- Slots, whoever made them
SELECT count(pg_create_physical_replication_slot(name, name <> 'of_somebody')) AS made FROM unnest('{pg_leader_7,of_somebody}'::text[]) name;
SELECT slot_name, kind, node_id, active, wal_status, kept_bytes >= 0 AS keeps, failover, synced, ready FROM pg_leader_slots ORDER BY 1;
SELECT count(pg_drop_replication_slot(slot_name)) AS dropped FROM pg_leader_slots;

-- Peers: only this member
SELECT node_id, address = resolved AS resolved, is_self, is_leader, last_heard, round_trip,
       term = pg_leader_term() AS term, reachable, abstaining, may_lead, list_matches,
       version_mismatch, key_id, problem, server, port = current_setting('port')::int AS port
FROM pg_leader_peers;

-- Events: it started and won, and the lease began with that.
SELECT role, leader_id, lease_start IS NOT NULL AS begins, lease_end IS NOT NULL AS ends, reason
FROM pg_leader_events ORDER BY number;
SELECT count(*) = count(DISTINCT number) AS numbered,
       bool_and(at <= clock_timestamp()) AS past,
       bool_and(ago >= '0' AND ago < '1 hour') AS ago,
       bool_and(boot = (SELECT boot FROM pg_leader_status)) AS boot,
       bool_and(boot_time > 0) AS boot_time,
       bool_and(lease_start <= boot_time) AS lease
FROM pg_leader_events;

-- Statistics
SELECT elections_started, elections_won, elections_lost, quorum_losses, transfers,
       datagrams_received, datagrams_sent, saves > 0 AS saves,
       save_time >= save_time_max AND save_time_max > 0 AS save_time,
       wakeups > 0 AS wakeups, stats_reset <= clock_timestamp() AS stats_reset
FROM pg_stat_pg_leader;
SELECT save_time_min <= save_time_mean AND save_time_mean <= save_time_max AS save_times,
       loop_delay_mean <= loop_delay_max AS loop_delays, late_wakeups <= wakeups AS late_wakeups,
       heartbeat_gap_mean, heartbeat_gap_max, close_heartbeats,
       election_time_last > 0 AND election_time_last <= election_time_max AS election_times
FROM pg_stat_pg_leader;
SELECT * FROM pg_leader_stat_messages;
SELECT dropped_by, reason, count FROM pg_leader_stat_drops;
SELECT reason FROM pg_leader_stat_drops WHERE description IS NULL;

-- What is timed, and its histograms: nothing of a peer, for there is none.
SELECT count(*) FROM pg_leader_stat_peers;
SELECT measure, node_id, count > 0 AS counted, total >= max AS total,
       min <= mean AND mean <= max AS ordered
FROM pg_leader_stat_times;
SELECT count(*) AS buckets, min(lower_bound), min(upper_bound), max(lower_bound), max(upper_bound)
FROM pg_leader_stat_histogram WHERE measure = 'save_time';
SELECT count(*) AS gaps
FROM (SELECT lower_bound, lag(upper_bound) OVER (PARTITION BY measure, node_id ORDER BY lower_bound) AS before
      FROM pg_leader_stat_histogram) AS buckets
WHERE lower_bound <> before;
SELECT h.measure, t.count = h.count AS all_are_in,
       t.min >= h.least AND t.max < h.most AS where_they_belong
FROM (SELECT measure, sum(count) AS count,
             min(lower_bound) FILTER (WHERE count > 0) AS least,
             max(upper_bound) FILTER (WHERE count > 0) AS most
      FROM pg_leader_stat_histogram GROUP BY measure) AS h
     JOIN pg_leader_stat_times t USING (measure)
WHERE h.measure <> 'loop_delay' -- goes on meanwhile
ORDER BY h.measure COLLATE "C";

SELECT pg_stat_pg_leader_reset();
SELECT elections_won, saves, save_time, save_time_min, save_time_mean, save_time_max,
       close_heartbeats, election_time_last
FROM pg_stat_pg_leader;
SELECT measure, count, total, min FROM pg_leader_stat_times WHERE measure <> 'loop_delay';
SELECT sum(count) FROM pg_leader_stat_histogram WHERE measure <> 'loop_delay';

-- Transfer: nobody to hand over to; the leader stays.
SELECT pg_leader_transfer();
SELECT pg_leader_transfer(0);
SELECT pg_leader_transfer(1);
SELECT pg_leader_transfer(-7);
SELECT pg_leader_transfer(NULL, NULL);
SELECT pg_leader_transfer(wait => '-1s');
SELECT pg_leader_is_leader();

-- Maintenance is for managed servers.
SELECT pg_leader_pause();
SELECT pg_leader_resume('0');
SELECT pg_leader_pause(NULL);
SELECT pg_leader_pause('-1s');
SELECT pg_leader_reinit();
SELECT pg_leader_restart();

-- Waiting
SELECT pg_leader_wait_for_leader('0s');
SELECT pg_leader_wait_for_leader('-1 day');
SELECT pg_leader_wait_for_leader('-178000000 years');
SELECT pg_leader_wait_for_leader('178000000 years');
SELECT pg_leader_wait_for_leader(NULL);

-- Nothing to admit, and no data
SELECT pg_leader_admit();
SELECT pg_leader_trust_data('0/1');

-- Nothing is without a word of explanation: no rows.
SELECT d.classid::regclass, d.objid
FROM pg_depend d
     JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
WHERE e.extname = 'pg_leader' AND d.deptype = 'e'
      AND d.classid IN ('pg_proc'::regclass, 'pg_class'::regclass)
      AND obj_description(d.objid, d.classid::regclass::text) IS NULL;

-- What it shows is never taken from a plan or a cache: no rows.
SELECT p.proname
FROM pg_proc p
     JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
     JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
WHERE e.extname = 'pg_leader' AND p.provolatile <> 'v';

-- It can be dropped and made again while the member leads.
DROP EXTENSION pg_leader;
CREATE EXTENSION pg_leader;
SELECT pg_leader_wait_for_leader();
DROP EXTENSION pg_leader;
