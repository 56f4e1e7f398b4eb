-- SPDX-License-Identifier: BSD-2-Clause
--
-- Views: the readable form. States are judged here, on reading, by the
-- database's clock, so that they are right whichever controller is asked.
--
-- Silence. Heartbeats come every 2 s and are written every second; a node
-- from which nothing was heard for 7 s is silent, which shows well within
-- 10 s. Three rules keep a restart from painting everyone:
--   1. silence counts only while some controller was alive: after a restart a
--      node has 7 s from the new controller's start;
--   2. the same after a start of the database itself;
--   3. but a node that was already silent while its last controller was alive
--      stays silent through any restart.
-- If no controller is alive, everything is stale, and says so.

CREATE FUNCTION twmesh.utc_text(t timestamptz) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN to_char(t AT TIME ZONE 'UTC',
    CASE WHEN (t AT TIME ZONE 'UTC')::date
              = (statement_timestamp() AT TIME ZONE 'UTC')::date
         THEN 'HH24:MI:SS "UTC"' ELSE 'YYYY-MM-DD HH24:MI:SS "UTC"' END);
COMMENT ON FUNCTION twmesh.utc_text(timestamptz) IS
    'An instant for sentences: 10:02:14 UTC, with the date unless it is today.';

CREATE FUNCTION twmesh.result_flags(flags integer) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN array_remove(ARRAY[
    CASE WHEN flags & 1 <> 0 THEN 'partial' END,
    CASE WHEN flags & 2 <> 0 THEN 'clock_step' END,
    CASE WHEN flags & 4 <> 0 THEN 'host_limited' END,
    CASE WHEN flags & 8 <> 0 THEN 'reflector_restart' END,
    CASE WHEN flags & 16 <> 0 THEN 'stateless' END,
    CASE WHEN flags & 32 <> 0 THEN 'sync_src' END,
    CASE WHEN flags & 64 <> 0 THEN 'sync_dst' END,
    CASE WHEN flags & 128 <> 0 THEN 'unanswered' END], NULL);
COMMENT ON FUNCTION twmesh.result_flags(integer) IS
    'Names of the bits of result.flags: partial, clock_step (cut by a step of the source''s clock), host_limited (local drops or missing stamps), reflector_restart, stateless (the reflector gives no direction), sync_src and sync_dst (clock disciplined), unanswered (sending held back).';

CREATE VIEW twmesh.controller_status AS
SELECT c.instance_id,
       c.host, c.pid, c.software, c.started_at, c.alive_at, c.stopped_at,
       c.stopped_at IS NULL
       AND statement_timestamp()
           - greatest(c.alive_at, pg_postmaster_start_time())
           <= interval '7 s' AS alive
  FROM twmesh_private.controller c;
COMMENT ON VIEW twmesh.controller_status IS
    'Runs of controllers, those that ended too.';
COMMENT ON COLUMN twmesh.controller_status.instance_id IS 'Random, per run.';
COMMENT ON COLUMN twmesh.controller_status.host IS 'Where it runs.';
COMMENT ON COLUMN twmesh.controller_status.pid IS 'Its process there.';
COMMENT ON COLUMN twmesh.controller_status.software IS 'Version.';
COMMENT ON COLUMN twmesh.controller_status.started_at IS 'Start (database clock).';
COMMENT ON COLUMN twmesh.controller_status.alive_at IS
    'Last sign of life (database clock).';
COMMENT ON COLUMN twmesh.controller_status.stopped_at IS
    'Planned stop; NULL: runs, or died.';
COMMENT ON COLUMN twmesh.controller_status.alive IS
    'Heard within 7 s (counted from the database''s start, if that is later).';

CREATE VIEW twmesh.node_status AS
WITH ctl AS MATERIALIZED (
    SELECT coalesce(bool_or(alive), false) AS any_alive,
           max(coalesce(stopped_at, alive_at)) AS last_alive_at
      FROM twmesh.controller_status
), judged AS (
    SELECT n.node_id, n.name, n.site_id, n.slot, n.slot_generation,
           n.addresses, n.unconsented, n.reflector_port, n.software, n.facts,
           n.approved_at, l.*, ctl.any_alive, ctl.last_alive_at,
           l.last_seen_at IS NOT NULL AND (
               coalesce(x.alive_at - l.last_seen_at > interval '7 s', false)
               OR statement_timestamp() - greatest(l.last_seen_at,
                      pg_postmaster_start_time(),
                      (SELECT min(y.started_at) FROM twmesh.controller_status y
                        WHERE y.alive AND y.started_at > x.alive_at))
                  > interval '7 s') AS silent
      FROM twmesh.node n
      CROSS JOIN ctl
      LEFT JOIN LATERAL (
           SELECT instance_id, last_seen_at, hello_at, stopped_at,
                  stopped_reason, roster_epoch, spool_batches, spool_bytes,
                  reflector_rx_drops, clock_offset_ms, clock_max_error_ms,
                  clock_synchronised, load1, rss_kib, sessions
             FROM twmesh_private.node_live
            WHERE node_live.node_id = n.node_id) l ON true
      LEFT JOIN twmesh_private.controller x ON x.instance_id = l.instance_id
     WHERE n.removed_at IS NULL
)
SELECT j.node_id,
       j.name::text AS name,
       s.name::text AS site,
       CASE WHEN j.last_seen_at IS NULL THEN 'never'
            WHEN NOT j.any_alive THEN 'stale'
            WHEN j.stopped_at IS NOT NULL THEN 'stopped'
            WHEN j.silent THEN 'stale'
            ELSE 'ok' END AS state,
       CASE WHEN j.last_seen_at IS NULL THEN 'no contact yet'
            WHEN NOT j.any_alive THEN 'no controller has been alive'
                 || coalesce(' since ' || twmesh.utc_text(j.last_alive_at), '')
            WHEN j.stopped_at IS NOT NULL THEN 'stopped on purpose'
            WHEN j.silent THEN 'no contact since '
                 || twmesh.utc_text(j.last_seen_at)
            ELSE '' END AS state_why,
       CASE WHEN j.last_seen_at IS NULL THEN j.approved_at
            WHEN NOT j.any_alive THEN j.last_alive_at
            WHEN j.stopped_at IS NOT NULL THEN j.stopped_at
            WHEN j.silent THEN j.last_seen_at
            ELSE j.hello_at END AS state_since,
       j.last_seen_at AS last_contact_at,
       j.stopped_at, j.stopped_reason,
       j.addresses, j.unconsented, j.reflector_port, j.software, j.facts,
       k.fingerprint, j.approved_at, j.roster_epoch AS epoch,
       j.spool_batches, j.spool_bytes, j.clock_offset_ms,
       j.clock_synchronised, j.clock_max_error_ms, j.load1, j.rss_kib,
       j.sessions, j.reflector_rx_drops, j.slot, j.slot_generation
  FROM judged j
  LEFT JOIN twmesh.site s USING (site_id)
  LEFT JOIN twmesh_private.node_key k ON k.node_id = j.node_id;
COMMENT ON VIEW twmesh.node_status IS
    'One row per node of the mesh, with its liveness and health.';
COMMENT ON COLUMN twmesh.node_status.node_id IS 'Never reused.';
COMMENT ON COLUMN twmesh.node_status.name IS 'Unique.';
COMMENT ON COLUMN twmesh.node_status.site IS 'NULL: none.';
COMMENT ON COLUMN twmesh.node_status.state IS
    'ok; stale (silent); stopped (on purpose); never (no contact yet).';
COMMENT ON COLUMN twmesh.node_status.state_why IS 'In words; empty for ok.';
COMMENT ON COLUMN twmesh.node_status.state_since IS
    'Since when: last contact, stop, approval, or for ok the last Hello.';
COMMENT ON COLUMN twmesh.node_status.last_contact_at IS
    'Last heartbeat or Hello by the database''s clock; NULL: never.';
COMMENT ON COLUMN twmesh.node_status.stopped_at IS 'NULL: not stopped.';
COMMENT ON COLUMN twmesh.node_status.stopped_reason IS
    'What its Bye said. Text from outside; NULL: nothing.';
COMMENT ON COLUMN twmesh.node_status.addresses IS 'Where it is probed.';
COMMENT ON COLUMN twmesh.node_status.unconsented IS
    'Advertised by it, but neither observed nor consented to: not probed.';
COMMENT ON COLUMN twmesh.node_status.reflector_port IS 'UDP.';
COMMENT ON COLUMN twmesh.node_status.software IS
    'Version. Text from outside; NULL: never connected.';
COMMENT ON COLUMN twmesh.node_status.facts IS 'Host facts. Text from outside.';
COMMENT ON COLUMN twmesh.node_status.fingerprint IS
    'Of its key; NULL: it has none.';
COMMENT ON COLUMN twmesh.node_status.approved_at IS 'When it was let in.';
COMMENT ON COLUMN twmesh.node_status.epoch IS
    'Roster it runs; NULL: not told.';
COMMENT ON COLUMN twmesh.node_status.spool_batches IS
    'Batches waiting on its disk; NULL: not told.';
COMMENT ON COLUMN twmesh.node_status.spool_bytes IS
    'Their size, octets; NULL: not told.';
COMMENT ON COLUMN twmesh.node_status.clock_offset_ms IS
    'Its clock less the controller''s, ms, estimated; NULL: not estimated.';
COMMENT ON COLUMN twmesh.node_status.clock_synchronised IS
    'Its kernel''s claim; NULL: not told.';
COMMENT ON COLUMN twmesh.node_status.clock_max_error_ms IS
    'Bound its kernel claims, ms; NULL: not synchronised.';
COMMENT ON COLUMN twmesh.node_status.load1 IS 'NULL: not told.';
COMMENT ON COLUMN twmesh.node_status.rss_kib IS
    'Resident memory of meshd, KiB; NULL: not told.';
COMMENT ON COLUMN twmesh.node_status.sessions IS
    'Sessions it runs; NULL: not told.';
COMMENT ON COLUMN twmesh.node_status.reflector_rx_drops IS
    'Packets its reflector''s socket dropped; NULL: not told.';
COMMENT ON COLUMN twmesh.node_status.slot IS 'Index in the state arrays.';
COMMENT ON COLUMN twmesh.node_status.slot_generation IS 'Holder of the slot.';

CREATE VIEW twmesh.pending_node AS
SELECT fingerprint, host(address) AS address, first_seen_at, last_seen_at,
       attempts
  FROM twmesh_private.pending_node;
COMMENT ON VIEW twmesh.pending_node IS
    'Unknown keys that asked to join (twmesh node approve FINGERPRINT NAME).';
COMMENT ON COLUMN twmesh.pending_node.fingerprint IS
    'Compare it with twmesh-meshd --show-key on that host.';
COMMENT ON COLUMN twmesh.pending_node.address IS 'NULL: not known.';
COMMENT ON COLUMN twmesh.pending_node.first_seen_at IS 'First knock.';
COMMENT ON COLUMN twmesh.pending_node.last_seen_at IS 'Last knock.';
COMMENT ON COLUMN twmesh.pending_node.attempts IS 'Knocks.';

-- Every planned pair: all nodes, all running classes.
CREATE VIEW twmesh.matrix_cell AS
WITH node AS MATERIALIZED (
    SELECT s.*,
           EXISTS (SELECT FROM unnest(addresses) a WHERE family(a) = 4) AS v4,
           EXISTS (SELECT FROM unnest(addresses) a WHERE family(a) = 6) AS v6
      FROM twmesh.node_status s
), class AS MATERIALIZED (
    SELECT c.*, make_interval(secs => (3 * c.interval_ms + c.loss_timeout_ms
                   + c.ship_spread_ms) / 1000.0 + 20) AS overdue_after
      FROM twmesh.class c WHERE c.retired_at IS NULL
), fresh AS MATERIALIZED (
    SELECT coalesce(min(started_at), '-infinity') AS started_at
      FROM twmesh.controller_status WHERE alive
), cell AS (
    SELECT p.src_id, p.class_id, u.slot::integer AS slot, p.updated_at,
           p.newest_measured_at, u.generation,
           p.newest_measured_at - u.behind_us * interval '1 us' AS measured_at,
           u.state_since, u.state, u.flags, u.hops, u.sent, u.lost, u.epoch,
           CASE WHEN u.lost_undet = 0 AND u.sent > 0
                THEN (100.0 * u.lost / u.sent)::real END AS loss_pct,
           CASE WHEN u.sent > 0
                THEN (100.0 * u.lost / u.sent)::real END AS loss_max_pct,
           u.delay_ms, u.jitter_ms, u.rtt_ms, u.rtt_p99_ms, u.clock_err_ms,
           u.state_why
      FROM twmesh_private.path_state p,
           unnest(p.generation, p.behind_us, p.state_since, p.state, p.flags,
                  p.hops, p.sent, p.lost, p.lost_undet, p.epoch, p.delay_ms,
                  p.jitter_ms, p.rtt_ms, p.rtt_p99_ms, p.clock_err_ms,
                  p.state_why) WITH ORDINALITY
           AS u (generation, behind_us, state_since, state, flags, hops, sent,
                 lost, lost_undet, epoch, delay_ms, jitter_ms, rtt_ms,
                 rtt_p99_ms, clock_err_ms, state_why, slot)
     WHERE u.generation > 0 AND u.behind_us IS NOT NULL
), judged AS (
    SELECT src.node_id AS src_id, dst.node_id AS dst_id, class.class_id,
           src.name AS src, dst.name AS dst, class.name::text AS class,
           src.site AS src_site, dst.site AS dst_site,
           src.state AS src_state, src.state_why AS src_why,
           src.state_since AS src_since, dst.state AS dst_state,
           dst.state_why AS dst_why, dst.state_since AS dst_since,
           CASE WHEN class.family = 4 AND NOT dst.v4
                THEN dst.name || ' has no IPv4 address'
                WHEN class.family = 6 AND NOT dst.v6
                THEN dst.name || ' has no IPv6 address'
                WHEN NOT (dst.v4 OR dst.v6)
                THEN dst.name || ' has no address' END AS no_address,
           c.measured_at, c.state_since, c.state, c.flags, c.hops, c.sent,
           c.lost, c.epoch, c.loss_pct, c.loss_max_pct, c.delay_ms,
           c.jitter_ms, c.rtt_ms, c.rtt_p99_ms, c.clock_err_ms, c.state_why,
           -- The source is in contact, but its results are not coming.
           statement_timestamp() - greatest(c.updated_at, fresh.started_at,
               pg_postmaster_start_time()) > class.overdue_after
           OR (c.state = 1 AND c.newest_measured_at - c.measured_at
               > class.overdue_after) AS overdue
      FROM node src
      CROSS JOIN node dst
      CROSS JOIN class
      CROSS JOIN fresh
      LEFT JOIN cell c ON c.src_id = src.node_id
           AND c.class_id = class.class_id AND c.slot = dst.slot
           AND c.generation = dst.slot_generation
     WHERE src.node_id <> dst.node_id
), named AS (
    SELECT j.*,
           CASE WHEN measured_at IS NULL OR state = 0 THEN 'never'
                WHEN src_state IN ('stale', 'stopped') OR dst_state = 'stopped'
                     OR overdue THEN 'stale'
                WHEN state = 2 THEN 'crit'
                ELSE 'ok' END AS shown
      FROM judged j
)
SELECT src_id, dst_id, class_id, src, dst, class, shown AS state,
       CASE shown
            WHEN 'never' THEN NULL
            WHEN 'stale' THEN CASE
                 WHEN src_state IN ('stale', 'stopped') THEN src_since
                 WHEN dst_state = 'stopped' THEN dst_since
                 ELSE measured_at END
            ELSE state_since END AS state_since,
       CASE shown
            WHEN 'never' THEN CASE
                 WHEN src_state IN ('stale', 'stopped', 'never')
                 THEN src || ': ' || src_why
                 WHEN dst_state = 'stopped' THEN dst || ': ' || dst_why
                 WHEN measured_at IS NOT NULL THEN coalesce(state_why,
                      'too few packets to judge')
                 ELSE coalesce(no_address, 'no result yet') END
            WHEN 'stale' THEN CASE
                 WHEN src_state IN ('stale', 'stopped') THEN src_why
                 WHEN dst_state = 'stopped' THEN dst_why
                 ELSE coalesce(no_address || ': ', '') || 'no result since '
                      || twmesh.utc_text(measured_at) || ', although ' || src
                      || ' is in contact' END
            WHEN 'crit' THEN
                 CASE WHEN dst_state = 'stale' THEN dst_why || '; ' ELSE '' END
                 || coalesce(state_why, '')
            ELSE coalesce(state_why, '') END AS state_why,
       loss_pct, loss_max_pct, delay_ms, jitter_ms, rtt_ms, rtt_p99_ms, hops,
       CASE WHEN measured_at IS NOT NULL
            THEN flags & 96 = 96 AND clock_err_ms IS NOT NULL END
            AS one_way_trusted,
       clock_err_ms, sent, lost, measured_at,
       CASE WHEN measured_at IS NOT NULL THEN greatest(0,
            extract(epoch FROM statement_timestamp() - measured_at))
            ::double precision END AS age_s,
       flags & 16384 <> 0 AS backfilled,
       flags & 1 <> 0 AS partial,
       epoch, src_site, dst_site, src_state, dst_state
  FROM named;
COMMENT ON VIEW twmesh.matrix_cell IS
    'path_matrix with ids and a few more columns, for programs.';
COMMENT ON COLUMN twmesh.matrix_cell.src_id IS 'Node.';
COMMENT ON COLUMN twmesh.matrix_cell.dst_id IS 'Node.';
COMMENT ON COLUMN twmesh.matrix_cell.class_id IS 'Version of the class.';
COMMENT ON COLUMN twmesh.matrix_cell.partial IS
    'The newest result covers less than its interval. NULL: never measured.';
COMMENT ON COLUMN twmesh.matrix_cell.src_state IS 'node_status.state.';
COMMENT ON COLUMN twmesh.matrix_cell.dst_state IS 'node_status.state.';

CREATE VIEW twmesh.path_matrix AS
SELECT src, dst, class, state, state_since, state_why, loss_pct, loss_max_pct,
       delay_ms, jitter_ms, rtt_ms, rtt_p99_ms, NULL::real AS mos, hops,
       one_way_trusted, clock_err_ms, NULL::integer AS witnesses,
       NULL::text AS witness_gap, NULL::text AS witness_verdict, sent, lost,
       measured_at, age_s, backfilled, epoch, src_site, dst_site
  FROM twmesh.matrix_cell;
COMMENT ON VIEW twmesh.path_matrix IS
    'The matrix now: one row per planned pair and class, the silent ones too. Numbers are those of the newest result of the source''s session, direction src to dst.';
DO $$
DECLARE
    d text[];
    v text;
BEGIN
    FOREACH v IN ARRAY ARRAY['matrix_cell', 'path_matrix'] LOOP
        FOREACH d SLICE 1 IN ARRAY ARRAY[
            ['src', 'Source: it sends, and reports.'],
            ['dst', 'Destination: its reflector answers.'],
            ['class', 'Kind of traffic.'],
            ['state', 'ok, warn, crit, stale (the source is silent, or either end stopped on purpose), never (no result yet), maintenance.'],
            ['state_since', 'When the state began: end of the interval, last contact, or stop. NULL for never.'],
            ['state_why', 'In words; empty when there is nothing to say.'],
            ['loss_pct', 'Packets lost src to dst, % of sent. NULL: nothing sent, or the direction of some losses is not known.'],
            ['loss_max_pct', 'Upper bound: losses of unknown direction counted too, %. NULL: nothing sent.'],
            ['delay_ms', 'Mean one-way delay src to dst, ms; contains the clock offset of the two ends. NULL: nothing received.'],
            ['jitter_ms', 'Mean |IPDV| src to dst, ms. NULL: no two consecutive packets arrived.'],
            ['rtt_ms', 'Mean round trip less reflector residence, ms. NULL: nothing received.'],
            ['rtt_p99_ms', 'Its 99th percentile, ms. NULL: fewer than 50 samples.'],
            ['hops', 'Routers src to dst. NULL: not known.'],
            ['one_way_trusted', 'Both clocks claim discipline and bound their error. NULL: never measured.'],
            ['clock_err_ms', 'Bound of the error of delay_ms, ms. NULL: a clock is not synchronised.'],
            ['sent', 'Packets. NULL: never measured.'],
            ['lost', 'Packets lost src to dst, those of unknown direction included. NULL: never measured.'],
            ['measured_at', 'End of the interval of these numbers, by the source''s clock. NULL: never measured.'],
            ['age_s', 'Seconds since then. NULL: never measured.'],
            ['backfilled', 'The numbers came late, from a spool. NULL: never measured.'],
            ['epoch', 'Roster in force when it was measured. NULL: never measured.'],
            ['src_site', 'NULL: none.'],
            ['dst_site', 'NULL: none.']]
        LOOP
            EXECUTE format('COMMENT ON COLUMN twmesh.%I.%I IS %L', v, d[1], d[2]);
        END LOOP;
    END LOOP;
END $$;
COMMENT ON COLUMN twmesh.path_matrix.mos IS
    'Voice quality, direction src to dst. NULL: the class is not marked as voice (none is in this version).';
COMMENT ON COLUMN twmesh.path_matrix.witnesses IS
    'Sessions that saw this direction, 0 to 2. NULL: not computed in this version.';
COMMENT ON COLUMN twmesh.path_matrix.witness_gap IS
    'How far the two witnesses differ. NULL: not computed in this version.';
COMMENT ON COLUMN twmesh.path_matrix.witness_verdict IS
    'Network or instrument. NULL: not computed in this version.';

CREATE VIEW twmesh.path_result AS
SELECT r.ts, s.name::text AS src, d.name::text AS dst, c.name::text AS class,
       c.version AS class_version, r.epoch, r.interval_ms, r.scheduled, r.sent,
       r.send_failed, r.received, r.lost, r.lost_fwd, r.lost_bwd, r.lost_undet,
       r.late, r.duplicates, r.local_drops, r.rtt_min_ms, r.rtt_mean_ms,
       r.rtt_max_ms, r.rtt_p50_ms, r.rtt_p99_ms, r.fwd_min_ms, r.fwd_mean_ms,
       r.fwd_max_ms, r.bwd_min_ms, r.bwd_mean_ms, r.bwd_max_ms, r.fwd_ipdv_ms,
       r.bwd_ipdv_ms, r.fwd_jitter_rfc3550_ms, r.bwd_jitter_rfc3550_ms,
       r.clock_err_ms, r.span_ms, r.fwd_hops, r.bwd_hops, r.flags,
       CASE WHEN r.lost_undet = 0 AND r.sent > 0
            THEN 100.0::real * r.lost_fwd / r.sent END AS loss_fwd_pct,
       CASE WHEN r.lost_undet = 0 AND r.sent > r.lost_fwd
            THEN 100.0::real * r.lost_bwd / (r.sent - r.lost_fwd) END
            AS loss_bwd_pct,
       r.rtt_hist, r.src_id, r.dst_id, r.class_id
  FROM twmesh.result r
  JOIN twmesh.node s ON s.node_id = r.src_id
  JOIN twmesh.node d ON d.node_id = r.dst_id
  JOIN twmesh.class c ON c.class_id = r.class_id;
COMMENT ON VIEW twmesh.path_result IS
    'History: every result, with names. Restrict ts, and src where possible.';
DO $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT v.attname,
                    col_description(t.attrelid, t.attnum) AS what
               FROM pg_attribute v
               JOIN pg_attribute t ON t.attname = v.attname
                AND t.attrelid = 'twmesh.result'::regclass
              WHERE v.attrelid = 'twmesh.path_result'::regclass
    LOOP
        EXECUTE format('COMMENT ON COLUMN twmesh.path_result.%I IS %L',
            r.attname, r.what);
    END LOOP;
END $$;
COMMENT ON COLUMN twmesh.path_result.src IS
    'Source: it sends, and reports. Also of nodes removed since.';
COMMENT ON COLUMN twmesh.path_result.dst IS
    'Destination: its reflector answers.';
COMMENT ON COLUMN twmesh.path_result.class IS 'Kind of traffic.';
COMMENT ON COLUMN twmesh.path_result.class_version IS
    'Version of its packets.';
COMMENT ON COLUMN twmesh.path_result.loss_fwd_pct IS
    'Loss src to dst, % of sent. NULL: nothing sent, or direction not known.';
COMMENT ON COLUMN twmesh.path_result.loss_bwd_pct IS
    'Loss dst to src, % of what arrived there. NULL: nothing arrived, or direction not known.';
