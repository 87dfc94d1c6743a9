/* pg_leader--1.0.sql */

-- complain if the script is sourced in psql instead of CREATE EXTENSION
\echo Use "CREATE EXTENSION pg_leader" to load this file. \quit

--
-- Who leads.  All of this works on hot standbys.  What a server shows is its own
-- and changes at any moment: VOLATILE.  It is all in shared memory: PARALLEL SAFE.
--

CREATE FUNCTION pg_leader_node_id()
RETURNS int4
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE;

COMMENT ON FUNCTION pg_leader_node_id() IS
'id of this member, NULL if pg_leader.node_id is not set';

CREATE FUNCTION pg_leader_term()
RETURNS int8
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE;

COMMENT ON FUNCTION pg_leader_term() IS
'term that this member is in, NULL if it does not take part in elections';

CREATE FUNCTION pg_leader_leader_id()
RETURNS int4
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE;

COMMENT ON FUNCTION pg_leader_leader_id() IS
'id of the leader as far as this member knows, NULL if it knows of none';

CREATE FUNCTION pg_leader_is_leader()
RETURNS bool
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE;

COMMENT ON FUNCTION pg_leader_is_leader() IS
'true if this member holds a valid lease now';

CREATE FUNCTION pg_leader_lease(OUT term int8, OUT remaining interval)
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE;

COMMENT ON FUNCTION pg_leader_lease() IS
'term of this member''s lease, a fencing token, and how long it still holds; NULLs without a lease';

CREATE FUNCTION get_node_info()
RETURNS text
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE;

COMMENT ON FUNCTION get_node_info() IS
'node id, role, term and leader of this member in one line';

--
-- Views
--

CREATE FUNCTION pg_leader_get_status(
    OUT state text,
    OUT node_id int4,
    OUT role text,
    OUT term int8,
    OUT leader_id int4,
    OUT leader_address text,
    OUT voted_for int4,
    OUT members int4,
    OUT quorum int4,
    OUT is_leader bool,
    OUT lease_remaining interval,
    OUT may_lead bool,
    OUT abstaining bool,
    OUT abstain_reason text,
    OUT abstain_waits_for text,
    OUT promise_remaining interval,
    OUT min_timeout interval,
    OUT max_timeout interval,
    OUT heartbeat_interval interval,
    OUT since timestamptz,
    OUT state_file text,
    OUT state_file_health text,
    OUT authentication bool,
    OUT boot int8,
    OUT refused_settings text,
    OUT paused bool)
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE;

COMMENT ON FUNCTION pg_leader_get_status() IS
'the row of the view pg_leader_status';

CREATE VIEW pg_leader_status AS
SELECT * FROM pg_leader_get_status();

COMMENT ON VIEW pg_leader_status IS
'state of this member: role, term, leader, lease, and whether it takes part';

CREATE FUNCTION pg_leader_get_peers(
    OUT node_id int4,
    OUT address text,
    OUT resolved text,
    OUT is_self bool,
    OUT is_leader bool,
    OUT last_heard interval,
    OUT round_trip interval,
    OUT term int8,
    OUT reachable bool,
    OUT abstaining bool,
    OUT may_lead bool,
    OUT list_matches bool,
    OUT version_mismatch bool,
    OUT key_id int4,
    OUT problem text,
    OUT server text,
    OUT port int4)
RETURNS SETOF record
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE ROWS 5;

COMMENT ON FUNCTION pg_leader_get_peers() IS
'the rows of the view pg_leader_peers';

CREATE VIEW pg_leader_peers AS
SELECT * FROM pg_leader_get_peers();

COMMENT ON VIEW pg_leader_peers IS
'the members of the cluster as this one sees them';

CREATE FUNCTION pg_leader_get_events(
    OUT number int8,
    OUT at timestamptz,
    OUT ago interval,
    OUT boot int8,
    OUT boot_time int8,
    OUT term int8,
    OUT role text,
    OUT leader_id int4,
    OUT lease_start int8,
    OUT lease_end int8,
    OUT reason text)
RETURNS SETOF record
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE ROWS 512;

COMMENT ON FUNCTION pg_leader_get_events() IS
'the rows of the view pg_leader_events';

CREATE VIEW pg_leader_events AS
SELECT * FROM pg_leader_get_events();

COMMENT ON VIEW pg_leader_events IS
'the last transitions of this member, also from before a restart; boot_time and leases are in microseconds since the machine started, NULL if it has started anew';

--
-- Statistics
--

CREATE FUNCTION pg_leader_get_stats(
    OUT pre_votes_started int8,
    OUT elections_started int8,
    OUT elections_won int8,
    OUT elections_lost int8,
    OUT votes_given int8,
    OUT votes_refused int8,
    OUT pre_votes_given int8,
    OUT pre_votes_refused int8,
    OUT transfers int8,
    OUT quorum_losses int8,
    OUT datagrams_received int8,
    OUT datagrams_sent int8,
    OUT datagrams_dropped int8,
    OUT send_errors int8,
    OUT receive_errors int8,
    OUT unresolved int8,
    OUT saves int8,
    OUT save_time float8,
    OUT save_time_min float8,
    OUT save_time_mean float8,
    OUT save_time_max float8,
    OUT wakeups int8,
    OUT late_wakeups int8,
    OUT loop_delay_mean float8,
    OUT loop_delay_max float8,
    OUT heartbeat_gap_mean float8,
    OUT heartbeat_gap_max float8,
    OUT close_heartbeats int8,
    OUT election_time_last float8,
    OUT election_time_max float8,
    OUT stats_reset timestamptz)
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE;

COMMENT ON FUNCTION pg_leader_get_stats() IS
'the row of the view pg_stat_pg_leader';

CREATE VIEW pg_stat_pg_leader AS
SELECT * FROM pg_leader_get_stats();

COMMENT ON VIEW pg_stat_pg_leader IS
'counters of this member since stats_reset; times in milliseconds, NULL for what has not happened';

CREATE FUNCTION pg_leader_get_stat_peers(
    OUT node_id int4,
    OUT datagrams_received int8,
    OUT datagrams_sent int8,
    OUT round_trips int8,
    OUT round_trip_min float8,
    OUT round_trip_mean float8,
    OUT round_trip_max float8,
    OUT heartbeat_gaps int8,
    OUT heartbeat_gap_mean float8,
    OUT heartbeat_gap_max float8,
    OUT close_heartbeats int8)
RETURNS SETOF record
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE ROWS 4;

COMMENT ON FUNCTION pg_leader_get_stat_peers() IS
'the rows of the view pg_leader_stat_peers';

CREATE VIEW pg_leader_stat_peers AS
SELECT * FROM pg_leader_get_stat_peers();

COMMENT ON VIEW pg_leader_stat_peers IS
'datagrams, round trips and heartbeats by peer since stats_reset; times in milliseconds';

CREATE FUNCTION pg_leader_get_stat_times(
    OUT measure text,
    OUT node_id int4,
    OUT count int8,
    OUT total float8,
    OUT min float8,
    OUT mean float8,
    OUT max float8)
RETURNS SETOF record
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE ROWS 14;

COMMENT ON FUNCTION pg_leader_get_stat_times() IS
'the rows of the view pg_leader_stat_times';

CREATE VIEW pg_leader_stat_times AS
SELECT * FROM pg_leader_get_stat_times();

COMMENT ON VIEW pg_leader_stat_times IS
'all that is timed, since stats_reset; times in milliseconds, node_id NULL for what is about this member alone';

CREATE FUNCTION pg_leader_get_stat_histogram(
    OUT measure text,
    OUT node_id int4,
    OUT lower_bound float8,
    OUT upper_bound float8,
    OUT count int8)
RETURNS SETOF record
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE ROWS 308;

COMMENT ON FUNCTION pg_leader_get_stat_histogram() IS
'the rows of the view pg_leader_stat_histogram';

CREATE VIEW pg_leader_stat_histogram AS
SELECT * FROM pg_leader_get_stat_histogram();

COMMENT ON VIEW pg_leader_stat_histogram IS
'histograms of what pg_leader_stat_times sums up: how many were at least lower_bound and below upper_bound, in milliseconds';

CREATE FUNCTION pg_leader_get_stat_messages(
    OUT type text,
    OUT received int8,
    OUT sent int8)
RETURNS SETOF record
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE ROWS 10;

COMMENT ON FUNCTION pg_leader_get_stat_messages() IS
'the rows of the view pg_leader_stat_messages';

CREATE VIEW pg_leader_stat_messages AS
SELECT * FROM pg_leader_get_stat_messages();

COMMENT ON VIEW pg_leader_stat_messages IS
'messages of the election, received and sent, by type';

CREATE FUNCTION pg_leader_get_stat_drops(
    OUT dropped_by text,
    OUT reason text,
    OUT count int8,
    OUT description text)
RETURNS SETOF record
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE ROWS 22;

COMMENT ON FUNCTION pg_leader_get_stat_drops() IS
'the rows of the view pg_leader_stat_drops';

CREATE VIEW pg_leader_stat_drops AS
SELECT * FROM pg_leader_get_stat_drops();

COMMENT ON VIEW pg_leader_stat_drops IS
'datagrams that were dropped, by the kernel, the transport or the election, and why';

CREATE FUNCTION pg_stat_pg_leader_reset()
RETURNS void
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION pg_stat_pg_leader_reset() IS
'set all counters and times of this member to zero';

CREATE FUNCTION pg_leader_get_server(
    OUT server text,
    OUT timeline int8,
    OUT wal_end pg_lsn,
    OUT is_open bool,
    OUT "order" text,
    OUT reason text,
    OUT reason_text text,
    OUT node_id int4,
    OUT since interval,
    OUT at_risk text,
    OUT without_primary interval,
    OUT lag int8,
    OUT rewinds int8,
    OUT clones int8)
RETURNS record
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE;

COMMENT ON FUNCTION pg_leader_get_server() IS
'the row of the view pg_leader_server';

CREATE VIEW pg_leader_server AS
SELECT * FROM pg_leader_get_server();

COMMENT ON VIEW pg_leader_server IS
'managed mode: what this server is, how far its WAL reaches, and what is being done with it; NULLs otherwise';

CREATE FUNCTION pg_leader_get_fence(
    OUT is_open bool,
    OUT reason text,
    OUT reason_text text,
    OUT since interval,
    OUT term int8,
    OUT waiting int4,
    OUT waited int8,
    OUT withheld int8,
    OUT commits_refused int8,
    OUT commands_refused int8,
    OUT reads_refused int8,
    OUT logins_refused int8)
RETURNS record
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE;

COMMENT ON FUNCTION pg_leader_get_fence() IS
'the row of the view pg_leader_fence';

CREATE VIEW pg_leader_fence AS
SELECT * FROM pg_leader_get_fence();

COMMENT ON VIEW pg_leader_fence IS
'managed mode: does this server answer commits, and if not, why; and what it has refused since its start; NULLs otherwise';

-- What PostgreSQL 17 has more than 15 is looked up by name.
CREATE VIEW pg_leader_slots AS
SELECT s.slot_name,
    s.slot_type AS kind,
    m.node_id,
    s.active,
    s.wal_status,
    pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                         ELSE pg_current_wal_flush_lsn() END, s.restart_lsn)::int8 AS kept_bytes,
    f.failover,
    f.synced,
    CASE WHEN m.node_id IS NOT NULL THEN coalesce(s.wal_status IN ('reserved', 'extended'), false)
         WHEN s.slot_type = 'logical' AND pg_is_in_recovery()
             THEN f.synced AND NOT s.temporary AND s.wal_status <> 'lost' AND NOT f.conflicting
    END AS ready
FROM pg_replication_slots s,
    LATERAL (SELECT CASE WHEN s.slot_type = 'physical' AND NOT s.temporary AND s.slot_name ~ '^pg_leader_([0-9]|[1-5][0-9]|6[0-3])$'
                         THEN substr(s.slot_name, 11)::int4 END) AS m (node_id),
    LATERAL (SELECT coalesce((to_jsonb(s) ->> 'failover')::bool, false),
                    coalesce((to_jsonb(s) ->> 'synced')::bool, false),
                    coalesce((to_jsonb(s) ->> 'conflicting')::bool, false)) AS f (failover, synced, conflicting);

COMMENT ON VIEW pg_leader_slots IS
'replication slots of this server: whose they are, how much WAL they keep, and whether they could be used if it became the primary now';

--
-- What changes something
--

CREATE FUNCTION pg_leader_transfer(target int4 DEFAULT NULL, wait interval DEFAULT '5s')
RETURNS int4
AS 'MODULE_PATHNAME'
LANGUAGE C CALLED ON NULL INPUT VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION pg_leader_transfer(int4, interval) IS
'hand over the leadership, by default to the most up-to-date peer; returns the id of the new leader';

CREATE FUNCTION pg_leader_switchover(target int4 DEFAULT NULL, wait interval DEFAULT '30s', slots bool DEFAULT false)
RETURNS int4
AS 'MODULE_PATHNAME'
LANGUAGE C CALLED ON NULL INPUT VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION pg_leader_switchover(int4, interval, bool) IS
'managed mode, on the primary: make another member the primary, by default the fittest, and with "slots" only once it has the logical replication slots that are to survive; returns the id of the new one, or an error that says whether this server is the primary as before';

CREATE FUNCTION pg_leader_wait_for_leader(wait interval DEFAULT '30s')
RETURNS int4
AS 'MODULE_PATHNAME'
LANGUAGE C CALLED ON NULL INPUT VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION pg_leader_wait_for_leader(interval) IS
'wait until a leader is known, and return its id';

CREATE FUNCTION pg_leader_admit()
RETURNS void
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION pg_leader_admit() IS
'let an abstaining member vote although some members will never answer it';

CREATE FUNCTION pg_leader_trust_data(wal_end pg_lsn)
RETURNS void
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION pg_leader_trust_data(pg_lsn) IS
'managed mode: go on with this member''s data, whose WAL ends there, although what was answered may be lost with the members that are gone';

CREATE FUNCTION pg_leader_slots_missing(target int4)
RETURNS text
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION pg_leader_slots_missing(int4) IS
'on the primary: why logical slots with failover could not go on on that member after a switchover; NULL: they could';

CREATE FUNCTION pg_leader_pause(wait interval DEFAULT '10s')
RETURNS void
AS 'MODULE_PATHNAME'
LANGUAGE C CALLED ON NULL INPUT VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION pg_leader_pause(interval) IS
'pause the cluster, called on the leader: no server is promoted, none is demoted because of its health, no rebuild begins';

CREATE FUNCTION pg_leader_resume(wait interval DEFAULT '10s')
RETURNS void
AS 'MODULE_PATHNAME'
LANGUAGE C CALLED ON NULL INPUT VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION pg_leader_resume(interval) IS
'end the pause of the cluster, called on the leader';

CREATE FUNCTION pg_leader_reinit()
RETURNS void
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION pg_leader_reinit() IS
'let this managed standby clone its data anew from the primary';

CREATE FUNCTION pg_leader_restart()
RETURNS void
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION pg_leader_restart() IS
'let the supervisor restart the server of this managed standby';

--
-- Privileges
--

REVOKE ALL ON FUNCTION pg_stat_pg_leader_reset() FROM PUBLIC;
REVOKE ALL ON FUNCTION pg_leader_transfer(int4, interval) FROM PUBLIC;
REVOKE ALL ON FUNCTION pg_leader_switchover(int4, interval, bool) FROM PUBLIC;
REVOKE ALL ON FUNCTION pg_leader_admit() FROM PUBLIC;
REVOKE ALL ON FUNCTION pg_leader_trust_data(pg_lsn) FROM PUBLIC;
REVOKE ALL ON FUNCTION pg_leader_slots_missing(int4) FROM PUBLIC;
REVOKE ALL ON FUNCTION pg_leader_pause(interval) FROM PUBLIC;
REVOKE ALL ON FUNCTION pg_leader_resume(interval) FROM PUBLIC;
REVOKE ALL ON FUNCTION pg_leader_reinit() FROM PUBLIC;
REVOKE ALL ON FUNCTION pg_leader_restart() FROM PUBLIC;

GRANT SELECT ON pg_leader_status, pg_leader_peers, pg_leader_events, pg_leader_server, pg_leader_fence, pg_leader_slots,
    pg_stat_pg_leader, pg_leader_stat_messages, pg_leader_stat_drops,
    pg_leader_stat_peers, pg_leader_stat_times, pg_leader_stat_histogram TO PUBLIC;
