-- SPDX-License-Identifier: BSD-2-Clause
--
-- Both witnesses of a direction, and the audit of clocks from the mesh
-- (docs/MEASUREMENT.md): the way back of each session in the state arrays;
-- what the audit found; views that say both.

-- The state arrays --------------------------------------------------------

ALTER TABLE twmesh_private.path_state
    ADD lost_bwd integer[] NOT NULL DEFAULT '{}',
    ADD back_delay_ms real[] NOT NULL DEFAULT '{}',
    ADD back_jitter_ms real[] NOT NULL DEFAULT '{}',
    ADD fwd_min_ms real[] NOT NULL DEFAULT '{}',
    ADD bwd_min_ms real[] NOT NULL DEFAULT '{}';
ALTER TABLE twmesh_private.path_state
    ALTER lost_bwd SET STORAGE EXTERNAL,
    ALTER back_delay_ms SET STORAGE EXTERNAL,
    ALTER back_jitter_ms SET STORAGE EXTERNAL,
    ALTER fwd_min_ms SET STORAGE EXTERNAL,
    ALTER bwd_min_ms SET STORAGE EXTERNAL;
-- All arrays of a row have one length; another revision, so that no
-- controller goes on with its copy.
UPDATE twmesh_private.path_state SET revision = revision + 1,
    lost_bwd = array_fill(0, ARRAY[cardinality(generation)]),
    back_delay_ms = array_fill(NULL::real, ARRAY[cardinality(generation)]),
    back_jitter_ms = array_fill(NULL::real, ARRAY[cardinality(generation)]),
    fwd_min_ms = array_fill(NULL::real, ARRAY[cardinality(generation)]),
    bwd_min_ms = array_fill(NULL::real, ARRAY[cardinality(generation)]);
COMMENT ON COLUMN twmesh_private.path_state.lost_bwd IS
    'Per cell: packets of this session lost dst to src, of the sent - lost + lost_undet that reached dst at most; lost_undet may come on top.';
COMMENT ON COLUMN twmesh_private.path_state.back_delay_ms IS
    'Per cell: mean one-way delay dst to src, ms. NULL: nothing received.';
COMMENT ON COLUMN twmesh_private.path_state.back_jitter_ms IS
    'Per cell: mean |IPDV| dst to src, ms. NULL: no pair received.';
COMMENT ON COLUMN twmesh_private.path_state.fwd_min_ms IS
    'Per cell: smallest one-way delay src to dst, ms, for the clock audit. NULL: nothing received.';
COMMENT ON COLUMN twmesh_private.path_state.bwd_min_ms IS
    'Per cell: smallest one-way delay dst to src, ms. NULL: nothing received.';

-- The audit ---------------------------------------------------------------

CREATE TABLE twmesh_private.clock_audit (
    node_id     integer PRIMARY KEY REFERENCES twmesh.node,
    verdict     text NOT NULL CHECK (verdict IN ('unknown', 'reference',
        'trusted', 'unsynchronised', 'suspect', 'untrusted', 'inconsistent')),
    lo_ms       double precision,
    hi_ms       double precision,
    estimate_ms double precision,
    audited_at  timestamptz NOT NULL
);
COMMENT ON TABLE twmesh_private.clock_audit IS
    'The newest audit of the clocks from the mesh; a row per node, none without reference nodes. Shown in twmesh.node_status.';
COMMENT ON COLUMN twmesh_private.clock_audit.node_id IS 'Node.';
COMMENT ON COLUMN twmesh_private.clock_audit.verdict IS
    'As node_status.clock_verdict.';
COMMENT ON COLUMN twmesh_private.clock_audit.lo_ms IS
    'As node_status.clock_lo_ms.';
COMMENT ON COLUMN twmesh_private.clock_audit.hi_ms IS
    'As node_status.clock_hi_ms.';
COMMENT ON COLUMN twmesh_private.clock_audit.estimate_ms IS
    'As node_status.clock_estimate_ms.';
COMMENT ON COLUMN twmesh_private.clock_audit.audited_at IS
    'When (database clock).';

CREATE OR REPLACE VIEW twmesh.node_status AS
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
       j.sessions, j.reflector_rx_drops, j.slot, j.slot_generation,
       a.verdict AS clock_verdict, a.lo_ms AS clock_lo_ms,
       a.hi_ms AS clock_hi_ms, a.estimate_ms AS clock_estimate_ms,
       a.audited_at AS clock_audited_at
  FROM judged j
  LEFT JOIN twmesh.site s USING (site_id)
  LEFT JOIN twmesh_private.node_key k ON k.node_id = j.node_id
  LEFT JOIN twmesh_private.clock_audit a ON a.node_id = j.node_id;
COMMENT ON COLUMN twmesh.node_status.clock_verdict IS
    'What the mesh knows of its clock: reference (declared good), trusted (its claim is feasible), suspect (feasible, but far off unless its paths are asymmetric), untrusted (its claim is impossible), inconsistent (impossible by itself: it stepped meanwhile), unsynchronised (it claims nothing), unknown (no chain of paths to a reference, both ways). NULL: not audited.';
COMMENT ON COLUMN twmesh.node_status.clock_lo_ms IS
    'Its clock less that of the references is at least this, ms, by proof. NULL: no bound, or not audited.';
COMMENT ON COLUMN twmesh.node_status.clock_hi_ms IS
    'And at most this, ms.';
COMMENT ON COLUMN twmesh.node_status.clock_estimate_ms IS
    'Most likely value, ms, if paths were symmetric. NULL: none, or not audited.';
COMMENT ON COLUMN twmesh.node_status.clock_audited_at IS
    'When that was found. NULL: not audited (reference_nodes in controller.conf).';

-- Witnesses ---------------------------------------------------------------

CREATE FUNCTION twmesh.losses_differ(lost_a integer, of_a integer,
    lost_b integer, of_b integer) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN abs(lost_a::float8 / of_a - lost_b::float8 / of_b)
       * least(of_a, of_b) >= 3
   AND (lost_a::float8 / of_a - lost_b::float8 / of_b) ^ 2
       > 16.0 * ((lost_a + lost_b)::float8 / (of_a + of_b))
         * (1 - (lost_a + lost_b)::float8 / (of_a + of_b))
         * (1.0 / of_a + 1.0 / of_b);
COMMENT ON FUNCTION twmesh.losses_differ(integer, integer, integer, integer) IS
    'Do two samples of one path differ by more than chance explains: at least 3 packets, and 4 standard deviations of random loss?';

CREATE FUNCTION twmesh.host_at_fault(the_node integer, its_flags integer,
    peer_flags integer, measured_at timestamptz, interval_ms integer)
RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
-- 4 host_limited, 256 host_late: of its own session. 8 reflector_restart, 512
-- dst_host_limited: of its reflector, as the other end saw it.
RETURN its_flags & 260 <> 0 OR peer_flags & 520 <> 0 OR EXISTS (
    SELECT FROM twmesh.node_host_limited h
     WHERE h.node_id = the_node
       AND h.t_from < measured_at
       AND h.t_to > measured_at - interval_ms * interval '1 ms');
COMMENT ON FUNCTION twmesh.host_at_fault(integer, integer, integer,
    timestamptz, integer) IS
    'Does anything say that this node''s host could not keep up in the interval that ended at measured_at: the flags of its own session, those of the session towards it, or node_host_limited?';

CREATE OR REPLACE VIEW twmesh.matrix_cell AS
WITH node AS MATERIALIZED (
    SELECT s.*,
           EXISTS (SELECT FROM unnest(addresses) a WHERE family(a) = 4) AS v4,
           EXISTS (SELECT FROM unnest(addresses) a WHERE family(a) = 6) AS v6
      FROM twmesh.node_status s
), class AS MATERIALIZED (
    SELECT c.*, make_interval(secs => (3 * c.interval_ms + c.loss_timeout_ms
                   + c.ship_spread_ms) / 1000.0 + 20) AS overdue_after,
           make_interval(secs => (3 * c.interval_ms + c.loss_timeout_ms
                   + c.ship_spread_ms) / 1000.0 + 10) AS fresh_after
      FROM twmesh.class c WHERE c.retired_at IS NULL
), fresh AS MATERIALIZED (
    SELECT coalesce(min(started_at), '-infinity') AS started_at
      FROM twmesh.controller_status WHERE alive
-- Read twice, each way by its own hash: kept once it would have no statistics,
-- and 90,000 cells would take minutes instead of a second.
), cell AS NOT MATERIALIZED (
    SELECT p.src_id, p.class_id, u.slot::integer AS slot, p.updated_at,
           p.newest_measured_at, u.generation,
           p.newest_measured_at - u.behind_us * interval '1 us' AS measured_at,
           u.state_since, u.state, u.flags, u.hops, u.sent, u.lost, u.epoch,
           CASE WHEN u.lost_undet = 0 AND u.sent > 0
                THEN (100.0 * u.lost / u.sent)::real END AS loss_pct,
           CASE WHEN u.sent > 0
                THEN (100.0 * u.lost / u.sent)::real END AS loss_max_pct,
           u.delay_ms, u.jitter_ms, u.rtt_ms, u.rtt_p99_ms, u.clock_err_ms,
           u.state_why, u.lost_undet, u.lost_bwd, u.back_delay_ms,
           u.back_jitter_ms
      FROM twmesh_private.path_state p,
           unnest(p.generation, p.behind_us, p.state_since, p.state, p.flags,
                  p.hops, p.sent, p.lost, p.lost_undet, p.epoch, p.delay_ms,
                  p.jitter_ms, p.rtt_ms, p.rtt_p99_ms, p.clock_err_ms,
                  p.state_why, p.lost_bwd, p.back_delay_ms,
                  p.back_jitter_ms) WITH ORDINALITY
           AS u (generation, behind_us, state_since, state, flags, hops, sent,
                 lost, lost_undet, epoch, delay_ms, jitter_ms, rtt_ms,
                 rtt_p99_ms, clock_err_ms, state_why, lost_bwd, back_delay_ms,
                 back_jitter_ms, slot)
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
               > class.overdue_after) AS overdue,
           -- Three seconds without a reply, and no newer result that has some.
           coalesce(o.began_at <= statement_timestamp() - interval '3 s'
               AND NOT coalesce(c.lost < c.sent AND c.measured_at
                   - class.interval_ms * interval '1 ms' >= o.first_at, false),
               false) AS down,
           o.run_id AS open_run, o.first_at AS open_since,
           src.clock_verdict IN ('untrusted', 'inconsistent') IS TRUE
           OR dst.clock_verdict IN ('untrusted', 'inconsistent') IS TRUE
               AS convicted,
           c.lost_undet,
           -- The second witness: the way back of the destination's session,
           -- over the packets that reached the source. Ages go by the clocks'
           -- offsets as the controller sees them.
           coalesce(c.sent > 0 AND statement_timestamp() - c.measured_at
               + coalesce(src.clock_offset_ms, 0) * interval '1 ms'
               <= class.fresh_after, false) AS seen,
           coalesce(w.sent > w.lost AND statement_timestamp() - w.measured_at
               + coalesce(dst.clock_offset_ms, 0) * interval '1 ms'
               <= class.fresh_after, false) AS w_seen,
           w.measured_at AS w_measured_at, w.flags AS w_flags,
           w.epoch AS w_epoch, w.sent - w.lost + w.lost_undet AS w_sent,
           w.lost_bwd AS w_lost_min, w.lost_bwd + w.lost_undet AS w_lost,
           w.back_delay_ms AS w_delay_ms, w.back_jitter_ms AS w_jitter_ms,
           w.rtt_ms AS w_rtt_ms, w.rtt_p99_ms AS w_rtt_p99_ms,
           w.clock_err_ms AS w_clock_err_ms, class.interval_ms
      FROM node src
      CROSS JOIN node dst
      CROSS JOIN class
      CROSS JOIN fresh
      LEFT JOIN cell c ON c.src_id = src.node_id
           AND c.class_id = class.class_id AND c.slot = dst.slot
           AND c.generation = dst.slot_generation
      LEFT JOIN cell w ON w.src_id = dst.node_id
           AND w.class_id = class.class_id AND w.slot = src.slot
           AND w.generation = src.slot_generation
      LEFT JOIN twmesh_private.loss_run_open o ON o.src_id = src.node_id
           AND o.dst_id = dst.node_id AND o.class_id = class.class_id
           AND NOT o.host_limited
     WHERE src.node_id <> dst.node_id
), named AS (
    SELECT j.*,
           CASE WHEN measured_at IS NULL OR (state = 0 AND NOT down)
                THEN 'never'
                WHEN src_state IN ('stale', 'stopped') OR dst_state = 'stopped'
                     OR overdue THEN 'stale'
                WHEN state = 2 OR down THEN 'crit'
                ELSE 'ok' END AS shown
      FROM judged j
), picked AS (
    SELECT n.*, seen::integer + w_seen::integer AS witnesses,
           shown = 'stale' AND w_seen AND dst_state = 'ok'
               AND src_state <> 'stopped' AS second,
           CASE WHEN (lost - lost_undet)::float8 / nullif(sent, 0)
                     > w_lost::float8 / nullif(w_sent, 0)
                THEN twmesh.losses_differ(lost - lost_undet, sent, w_lost,
                                          w_sent)
                WHEN lost::float8 / nullif(sent, 0)
                     < w_lost_min::float8 / nullif(w_sent, 0)
                THEN twmesh.losses_differ(lost, sent, w_lost_min, w_sent)
                ELSE false END AS differ
      FROM named n
)
SELECT src_id, dst_id, class_id, src, dst, class, shown AS state,
       CASE shown
            WHEN 'never' THEN NULL
            WHEN 'stale' THEN CASE
                 WHEN src_state IN ('stale', 'stopped') THEN src_since
                 WHEN dst_state = 'stopped' THEN dst_since
                 ELSE measured_at END
            ELSE CASE WHEN down AND state <> 2 THEN open_since
                      ELSE state_since END END AS state_since,
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
                 || CASE WHEN second THEN '; the numbers are from '
                    || dst || '''s session' ELSE '' END
            WHEN 'crit' THEN
                 CASE WHEN dst_state = 'stale' THEN dst_why || '; ' ELSE '' END
                 || concat_ws('; ', CASE WHEN down THEN 'no reply since '
                        || twmesh.utc_text(open_since) || ' (loss run '
                        || lpad(to_hex(open_run), 16, '0') || ')' END,
                        CASE WHEN state = 2 THEN state_why END)
            ELSE coalesce(state_why, '') END AS state_why,
       CASE WHEN NOT second THEN loss_pct
            WHEN w_lost = w_lost_min THEN (100.0 * w_lost / w_sent)::real
            END AS loss_pct,
       CASE WHEN second THEN (100.0 * w_lost / w_sent)::real
            ELSE loss_max_pct END AS loss_max_pct,
       CASE WHEN second THEN w_delay_ms ELSE delay_ms END AS delay_ms,
       CASE WHEN second THEN w_jitter_ms ELSE jitter_ms END AS jitter_ms,
       CASE WHEN second THEN w_rtt_ms ELSE rtt_ms END AS rtt_ms,
       CASE WHEN second THEN w_rtt_p99_ms ELSE rtt_p99_ms END AS rtt_p99_ms,
       CASE WHEN NOT second THEN hops END AS hops,
       CASE WHEN second OR measured_at IS NOT NULL
            THEN (CASE WHEN second THEN w_flags ELSE flags END) & 96 = 96
                 AND (CASE WHEN second THEN w_clock_err_ms
                           ELSE clock_err_ms END) IS NOT NULL
                 AND NOT convicted END AS one_way_trusted,
       CASE WHEN second THEN w_clock_err_ms ELSE clock_err_ms END
            AS clock_err_ms,
       CASE WHEN second THEN w_sent ELSE sent END AS sent,
       CASE WHEN second THEN w_lost ELSE lost END AS lost,
       CASE WHEN second THEN w_measured_at ELSE measured_at END
            AS measured_at,
       CASE WHEN second OR measured_at IS NOT NULL THEN greatest(0,
            extract(epoch FROM statement_timestamp()
                - CASE WHEN second THEN w_measured_at ELSE measured_at END))
            ::double precision END AS age_s,
       CASE WHEN second THEN w_flags ELSE flags END & 16384 <> 0
            AS backfilled,
       CASE WHEN second THEN w_flags ELSE flags END & 1 <> 0 AS partial,
       CASE WHEN second THEN w_epoch ELSE epoch END AS epoch,
       src_site, dst_site, src_state, dst_state,
       CASE WHEN down THEN lpad(to_hex(open_run), 16, '0') END AS open_run,
       CASE WHEN second THEN 'destination'
            WHEN measured_at IS NOT NULL THEN 'source' END AS numbers_from,
       witnesses,
       CASE WHEN witnesses = 2
            THEN 'loss ' || to_char(100.0 * lost / sent
                 - 100.0 * w_lost / w_sent, 'FMSG990.0') || ' points'
                 || coalesce(', delay ' || to_char(
                    (delay_ms - w_delay_ms)::numeric, 'FMSG9999990.000')
                    || ' ms', '') END AS witness_gap,
       CASE WHEN witnesses < 2 THEN NULL
            WHEN NOT differ THEN 'network'
            WHEN measured_at <> w_measured_at OR (flags | w_flags) & 1 <> 0
            THEN NULL
            ELSE 'instrument at ' || CASE
                 twmesh.host_at_fault(src_id, flags, w_flags, measured_at,
                     interval_ms)::integer
                 - twmesh.host_at_fault(dst_id, w_flags, flags, measured_at,
                     interval_ms)::integer
                 WHEN 1 THEN src WHEN -1 THEN dst
                 ELSE src || ' or ' || dst END END AS witness_verdict
  FROM picked;

CREATE OR REPLACE VIEW twmesh.path_matrix AS
SELECT src, dst, class, state, state_since, state_why, loss_pct, loss_max_pct,
       delay_ms, jitter_ms, rtt_ms, rtt_p99_ms, (
       SELECT t.fwd_mos FROM twmesh.class k
         JOIN twmesh.result_detail t ON t.class_id = k.class_id
        WHERE k.class_id = m.class_id AND k.codec IS NOT NULL
          AND t.src_id = m.src_id AND t.dst_id = m.dst_id
          AND t.ts = m.measured_at - k.interval_ms * interval '1 ms'
        LIMIT 1) AS mos, hops,
       one_way_trusted, clock_err_ms, witnesses, witness_gap,
       witness_verdict, sent, lost, measured_at, age_s, backfilled, epoch,
       src_site, dst_site, numbers_from
  FROM twmesh.matrix_cell m;
DO $$
DECLARE
    d text[];
    v text;
BEGIN
    FOREACH v IN ARRAY ARRAY['matrix_cell', 'path_matrix'] LOOP
        FOREACH d SLICE 1 IN ARRAY ARRAY[
            ['numbers_from', 'Whose session the numbers are of: source; destination while the state is stale because the source is silent, and the other end still sees this direction. NULL: never measured.'],
            ['witnesses', 'Sessions that saw this direction within 3 intervals and 10 s (and the time results take to come): the source''s, on its way there; the destination''s, on its way back. 0 to 2.'],
            ['witness_gap', 'The source''s loss less that of the second witness, in percentage points, undetermined ones counted; and the same of the mean delay. NULL: fewer than two witnesses.'],
            ['witness_verdict', 'network: both witnesses agree, within what chance explains. instrument at NODE (or NODE or NODE, where nothing says which): their losses differ, in the same interval. NULL: fewer than two witnesses, or they differ but speak of different intervals.'],
            ['one_way_trusted', 'Both clocks claim discipline and bound their error, and the audit of clocks found neither untrusted or inconsistent. NULL: never measured.'],
            ['hops', 'Routers src to dst. NULL: not known.']]
        LOOP
            EXECUTE format('COMMENT ON COLUMN twmesh.%I.%I IS %L', v, d[1], d[2]);
        END LOOP;
    END LOOP;
END $$;

-- JSON --------------------------------------------------------------------

CREATE OR REPLACE FUNCTION twmesh.api_nodes() RETURNS json
LANGUAGE sql STABLE
RETURN (SELECT json_build_object(
    'nodes', (SELECT coalesce(json_agg(json_build_object(
        'name', name, 'site', coalesce(site, ''), 'state', state,
        'state_why', state_why, 'last_contact_at', twmesh.iso_utc(last_contact_at),
        'addresses', (SELECT coalesce(json_agg(host(a)), '[]')
                        FROM unnest(addresses) a),
        'unconsented', (SELECT coalesce(json_agg(host(a)), '[]')
                          FROM unnest(unconsented) a),
        'reflector_port', reflector_port, 'software', software,
        'fingerprint', fingerprint, 'epoch', epoch,
        'spool_batches', spool_batches, 'spool_bytes', spool_bytes,
        'clock_offset_ms', clock_offset_ms,
        'clock_synchronised', clock_synchronised,
        'clock_max_error_ms', clock_max_error_ms, 'load1', load1,
        'rss_kib', rss_kib, 'sessions', sessions,
        'approved_at', twmesh.iso_utc(approved_at),
        'clock_verdict', clock_verdict, 'clock_lo_ms', clock_lo_ms,
        'clock_hi_ms', clock_hi_ms, 'clock_estimate_ms', clock_estimate_ms,
        'clock_audited_at', twmesh.iso_utc(clock_audited_at))
        ORDER BY name), '[]')
        FROM twmesh.node_status),
    'pending', (SELECT coalesce(json_agg(json_build_object(
        'fingerprint', fingerprint, 'address', address,
        'first_seen', twmesh.iso_utc(first_seen_at),
        'last_seen', twmesh.iso_utc(last_seen_at),
        'attempts', attempts) ORDER BY last_seen_at DESC), '[]')
        FROM twmesh.pending_node)));

CREATE OR REPLACE FUNCTION twmesh.api_cell(the_src text, the_dst text, the_class text)
RETURNS json
LANGUAGE sql STABLE
RETURN (SELECT json_build_object(
        'src', src, 'dst', dst, 'class', class, 'state', state,
        'state_since', twmesh.iso_utc(state_since), 'state_why', state_why,
        'loss_pct', loss_pct, 'loss_max_pct', loss_max_pct,
        'delay_ms', delay_ms, 'jitter_ms', jitter_ms, 'rtt_ms', rtt_ms,
        'rtt_p99_ms', rtt_p99_ms, 'hops', hops,
        'one_way_trusted', one_way_trusted, 'clock_err_ms', clock_err_ms,
        'sent', sent, 'lost', lost, 'measured_at', twmesh.iso_utc(measured_at),
        'age_s', round(age_s::numeric, 1),
        'backfilled', coalesce(backfilled, false),
        'partial', coalesce(partial, false), 'numbers_from', numbers_from,
        'witnesses', witnesses, 'witness_gap', witness_gap,
        'witness_verdict', witness_verdict)
    FROM twmesh.matrix_cell
   WHERE src = the_src AND dst = the_dst AND class = the_class);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'twmesh_writer') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON twmesh_private.clock_audit
            TO twmesh_writer;
    END IF;
    -- As 0004 does for what was there then.
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'twmesh_owner')
       AND pg_get_userbyid((SELECT nspowner FROM pg_namespace
                             WHERE nspname = 'twmesh')) = 'twmesh_owner' THEN
        ALTER TABLE twmesh_private.clock_audit OWNER TO twmesh_owner;
        ALTER FUNCTION twmesh.losses_differ(integer, integer, integer,
            integer) OWNER TO twmesh_owner;
        ALTER FUNCTION twmesh.host_at_fault(integer, integer, integer,
            timestamptz, integer) OWNER TO twmesh_owner;
    END IF;
END $$;
