-- SPDX-License-Identifier: BSD-2-Clause
--
-- States by the limits of classes: warn beside crit, every change of a state,
-- and the usual values that limits may refer to (docs/MEASUREMENT.md).

ALTER TABLE twmesh_private.path_state
    ADD warn_streak smallint[] NOT NULL DEFAULT '{}';
ALTER TABLE twmesh_private.path_state ALTER warn_streak SET STORAGE EXTERNAL;
-- Another revision, so that no controller goes on with its copy.
UPDATE twmesh_private.path_state
   SET revision = revision + 1, warn_streak = streak;
COMMENT ON COLUMN twmesh_private.path_state.state IS
    'Per cell: 0 not judged yet, 1 ok, 2 crit, 3 warn.';
COMMENT ON COLUMN twmesh_private.path_state.streak IS
    'Per cell: intervals in a row that were not critical (positive) or were (negative), at most the class''s hysteresis.';
COMMENT ON COLUMN twmesh_private.path_state.warn_streak IS
    'Per cell: intervals in a row that were good (positive) or were not (negative), at most the class''s hysteresis.';

-- What changed ------------------------------------------------------------

CREATE TABLE twmesh_private.cell_change (
    at          timestamptz NOT NULL,
    src_id      integer NOT NULL,
    dst_id      integer NOT NULL,
    class_id    integer NOT NULL,
    from_state  smallint NOT NULL,
    to_state    smallint NOT NULL,
    why         text,
    recorded_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX cell_change_path
    ON twmesh_private.cell_change (src_id, dst_id, class_id, at);
CREATE INDEX cell_change_at ON twmesh_private.cell_change (at);
COMMENT ON TABLE twmesh_private.cell_change IS
    'Every change of a cell''s state, in the transaction of the result that made it; kept for 400 days. See the view twmesh.state_change.';
COMMENT ON COLUMN twmesh_private.cell_change.at IS
    'Start of the first interval of the new state (the source''s clock).';
COMMENT ON COLUMN twmesh_private.cell_change.src_id IS 'Source.';
COMMENT ON COLUMN twmesh_private.cell_change.dst_id IS 'Destination.';
COMMENT ON COLUMN twmesh_private.cell_change.class_id IS 'Class (version).';
COMMENT ON COLUMN twmesh_private.cell_change.from_state IS
    'As path_state.state.';
COMMENT ON COLUMN twmesh_private.cell_change.to_state IS 'As path_state.state.';
COMMENT ON COLUMN twmesh_private.cell_change.why IS
    'Why. NULL: nothing to say.';
COMMENT ON COLUMN twmesh_private.cell_change.recorded_at IS
    'When the result was stored (database clock).';

CREATE TABLE twmesh_private.node_change (
    node_id     integer NOT NULL,
    at          timestamptz NOT NULL,
    from_state  text NOT NULL,
    to_state    text NOT NULL,
    why         text,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (node_id, at, to_state)
);
CREATE INDEX node_change_at ON twmesh_private.node_change (at);
COMMENT ON TABLE twmesh_private.node_change IS
    'Every change of a node''s state as node_status has it, and of maintenance; kept for 400 days. See the view twmesh.state_change.';
COMMENT ON COLUMN twmesh_private.node_change.node_id IS 'Whose.';
COMMENT ON COLUMN twmesh_private.node_change.at IS 'When the state began.';
COMMENT ON COLUMN twmesh_private.node_change.from_state IS
    'never, ok, stale, stopped or maintenance.';
COMMENT ON COLUMN twmesh_private.node_change.to_state IS 'The same.';
COMMENT ON COLUMN twmesh_private.node_change.why IS
    'Why. NULL: nothing to say.';
COMMENT ON COLUMN twmesh_private.node_change.recorded_at IS
    'When a controller saw it (database clock).';

ALTER TABLE twmesh_private.node_live ADD noted_state text;
COMMENT ON COLUMN twmesh_private.node_live.noted_state IS
    'State of the newest row in node_change. NULL: none.';

-- Whoever asks, judges (node_status); so changes are noted by looking again.
CREATE FUNCTION twmesh_private.note_node_changes() RETURNS void
LANGUAGE sql
BEGIN ATOMIC
    WITH seen AS (
        SELECT s.node_id, s.state_since, s.state_why,
               CASE WHEN s.maintenance_since IS NOT NULL THEN 'maintenance'
                    ELSE s.state END AS state,
               s.maintenance_since, concat_ws(': ', 'maintenance'
                   || ' until ' || twmesh.utc_text(s.maintenance_until),
                   nullif(s.maintenance_reason, '')) AS maintenance_why
          FROM twmesh.node_status s WHERE s.kind = 'node'
    ), changed AS (
        UPDATE twmesh_private.node_live l SET noted_state = seen.state
          FROM seen, twmesh_private.node_live old
         WHERE l.node_id = seen.node_id AND old.node_id = l.node_id
           AND l.noted_state IS DISTINCT FROM seen.state
        RETURNING seen.*, coalesce(old.noted_state, 'never') AS from_state
    )
    INSERT INTO twmesh_private.node_change
           (node_id, at, from_state, to_state, why)
    SELECT node_id, CASE
                WHEN state = 'maintenance' THEN maintenance_since
                -- the end of one is noticed, not dated
                WHEN from_state = 'maintenance' THEN statement_timestamp()
                ELSE coalesce(state_since, statement_timestamp()) END,
           from_state, state, nullif(CASE WHEN state = 'maintenance'
                THEN maintenance_why ELSE state_why END, '')
      FROM changed WHERE from_state <> state
        ON CONFLICT DO NOTHING;
END;
COMMENT ON FUNCTION twmesh_private.note_node_changes() IS
    'Writes what changed since the last call into node_change. The controllers call it every 2 s.';

CREATE FUNCTION twmesh.state_name(state integer) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE state WHEN 1 THEN 'ok' WHEN 2 THEN 'crit' WHEN 3 THEN 'warn'
                  ELSE 'never' END;
COMMENT ON FUNCTION twmesh.state_name(integer) IS
    'Name of a state as judged from results: 0 never, 1 ok, 2 crit, 3 warn.';

CREATE VIEW twmesh.state_change AS
SELECT c.at, s.name::text AS src, d.name::text AS dst, k.name::text AS class,
       twmesh.state_name(c.from_state) AS from_state,
       twmesh.state_name(c.to_state) AS to_state, c.why, c.recorded_at,
       c.src_id, c.dst_id, c.class_id
  FROM twmesh_private.cell_change c
  JOIN twmesh.node s ON s.node_id = c.src_id
  JOIN twmesh.node d ON d.node_id = c.dst_id
  JOIN twmesh.class k ON k.class_id = c.class_id
UNION ALL
SELECT n.at, s.name::text, NULL, NULL, n.from_state, n.to_state, n.why,
       n.recorded_at, n.node_id, NULL, NULL
  FROM twmesh_private.node_change n
  JOIN twmesh.node s ON s.node_id = n.node_id;
COMMENT ON VIEW twmesh.state_change IS
    'Every change of a state: of directions by their results (ok, warn, crit), and of nodes (ok, stale, stopped, maintenance), which decide over the cells of their rows and columns.';
DO $$
DECLARE
    d text[];
BEGIN
    FOREACH d SLICE 1 IN ARRAY ARRAY[
        ['at', 'When the new state began: of a direction the start of its first interval, by the source''s clock.'],
        ['src', 'Source; or the node that changed.'],
        ['dst', 'Destination. NULL: the node''s own state changed.'],
        ['class', 'Class. NULL: the node''s own state changed.'],
        ['from_state', 'State before; never: none yet.'],
        ['to_state', 'State after.'],
        ['why', 'Why. NULL: nothing to say.'],
        ['recorded_at', 'When it was written (database clock).'],
        ['src_id', 'Id of src.'],
        ['dst_id', 'Id of dst. NULL: as dst.'],
        ['class_id', 'Id of the class''s version. NULL: as class.']]
    LOOP
        EXECUTE format('COMMENT ON COLUMN twmesh.state_change.%I IS %L', d[1], d[2]);
    END LOOP;
END $$;

CREATE FUNCTION twmesh_private.forget_changes(most integer) RETURNS boolean
LANGUAGE plpgsql
AS $$
DECLARE
    n bigint;
    gone bigint := 0;
BEGIN
    DELETE FROM twmesh_private.cell_change WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM twmesh_private.cell_change
         WHERE at < now() - interval '400 days' LIMIT most));
    GET DIAGNOSTICS n = ROW_COUNT;
    gone := greatest(gone, n);
    DELETE FROM twmesh_private.node_change WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM twmesh_private.node_change
         WHERE at < now() - interval '400 days' LIMIT most));
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN greatest(gone, n) >= most;
END $$;
COMMENT ON FUNCTION twmesh_private.forget_changes(integer) IS
    'Deletes at most so many changes of states that are older than 400 days; true: there may be more.';

-- The usual values --------------------------------------------------------

CREATE TABLE twmesh_private.path_floor (
    src_id      integer NOT NULL REFERENCES twmesh.node,
    class_id    integer NOT NULL REFERENCES twmesh.class,
    computed_at timestamptz NOT NULL,
    generation  integer[] NOT NULL,
    rtt_ms      real[] NOT NULL,
    delay_ms    real[] NOT NULL,
    jitter_ms   real[] NOT NULL,
    PRIMARY KEY (src_id, class_id)
);
COMMENT ON TABLE twmesh_private.path_floor IS
    'What is usual on each path: the median over the last 7 days. Arrays over slots, as in path_state.';
COMMENT ON COLUMN twmesh_private.path_floor.src_id IS 'Source.';
COMMENT ON COLUMN twmesh_private.path_floor.class_id IS 'Class (version).';
COMMENT ON COLUMN twmesh_private.path_floor.computed_at IS
    'When (database clock).';
COMMENT ON COLUMN twmesh_private.path_floor.generation IS
    'Per slot: slot_generation of the destination; 0: none.';
COMMENT ON COLUMN twmesh_private.path_floor.rtt_ms IS
    'Median of the mean round trips of the hours, ms. NULL: not known.';
COMMENT ON COLUMN twmesh_private.path_floor.delay_ms IS
    'The same of the mean one-way delays src to dst, ms.';
COMMENT ON COLUMN twmesh_private.path_floor.jitter_ms IS
    'The same of the mean |IPDV| src to dst, ms.';

-- Of as many sources and classes as have limits over the floor and waited for
-- an hour. A median of hourly means: an hour of outage moves it little.
CREATE FUNCTION twmesh_private.refresh_floors(most integer) RETURNS integer
LANGUAGE sql
BEGIN ATOMIC
    WITH due AS (
        SELECT p.src_id, p.class_id
          FROM twmesh_private.path_state p
          JOIN twmesh.node n ON n.node_id = p.src_id AND n.removed_at IS NULL
          LEFT JOIN twmesh_private.path_floor f
               ON f.src_id = p.src_id AND f.class_id = p.class_id
         WHERE EXISTS (SELECT FROM twmesh.class_threshold t
                        WHERE t.class_id = p.class_id AND t.over <> 'value')
           AND (f.computed_at IS NULL
                OR f.computed_at < statement_timestamp() - interval '1 hour')
         ORDER BY f.computed_at NULLS FIRST, p.src_id, p.class_id
         LIMIT most
    ), slots AS (
        SELECT g.slot, n.node_id, coalesce(n.slot_generation, 0) AS generation
          FROM generate_series(1, (SELECT max(slot) FROM twmesh.node
                                    WHERE removed_at IS NULL)) AS g (slot)
          LEFT JOIN twmesh.node n ON n.slot = g.slot AND n.removed_at IS NULL
    ), usual AS (
        SELECT due.src_id, due.class_id, r.dst_id,
               percentile_disc(0.5) WITHIN GROUP (ORDER BY r.rtt_mean_ms) AS rtt,
               percentile_disc(0.5) WITHIN GROUP (ORDER BY r.fwd_mean_ms) AS delay,
               percentile_disc(0.5) WITHIN GROUP (ORDER BY r.fwd_ipdv_ms) AS jitter
          FROM due
          JOIN twmesh.rollup_1h r ON r.src_id = due.src_id
               AND r.class_id = due.class_id
               AND r.ts >= statement_timestamp() - interval '7 days'
         GROUP BY due.src_id, due.class_id, r.dst_id
    ), written AS (
        INSERT INTO twmesh_private.path_floor (src_id, class_id, computed_at,
               generation, rtt_ms, delay_ms, jitter_ms)
        SELECT due.src_id, due.class_id, statement_timestamp(),
               array_agg(slots.generation ORDER BY slots.slot),
               array_agg(u.rtt ORDER BY slots.slot),
               array_agg(u.delay ORDER BY slots.slot),
               array_agg(u.jitter ORDER BY slots.slot)
          FROM due
         CROSS JOIN slots
          LEFT JOIN usual u ON u.src_id = due.src_id
               AND u.class_id = due.class_id AND u.dst_id = slots.node_id
         GROUP BY due.src_id, due.class_id
            ON CONFLICT (src_id, class_id) DO UPDATE
           SET computed_at = excluded.computed_at,
               generation = excluded.generation, rtt_ms = excluded.rtt_ms,
               delay_ms = excluded.delay_ms, jitter_ms = excluded.jitter_ms
        RETURNING 1
    )
    SELECT count(*)::integer FROM written;
END;
COMMENT ON FUNCTION twmesh_private.refresh_floors(integer) IS
    'Writes what is usual on the paths of at most so many sources and classes whose floors are missing or an hour old, if a limit needs them; how many they were.';

-- Views -------------------------------------------------------------------

CREATE OR REPLACE VIEW twmesh.matrix_cell AS
WITH node AS MATERIALIZED (
    SELECT s.node_id, s.name, s.site, s.state, s.state_why, s.state_since,
           s.slot, s.slot_generation, s.clock_verdict, s.clock_offset_ms,
           s.maintenance_since, s.name || ': maintenance'
           || coalesce(' until ' || twmesh.utc_text(s.maintenance_until), '')
           || coalesce(': ' || nullif(s.maintenance_reason, ''), '')
               AS maintenance_why,
           n.kind, n.mesh_mask, n.hub_mask,
           EXISTS (SELECT FROM unnest(s.addresses) a WHERE family(a) = 4) AS v4,
           EXISTS (SELECT FROM unnest(s.addresses) a WHERE family(a) = 6) AS v6
      FROM twmesh.node_status s
      JOIN twmesh.node n ON n.node_id = s.node_id
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
           least(src.maintenance_since, dst.maintenance_since)
               AS maintenance_since,
           concat_ws('; ', src.maintenance_why, dst.maintenance_why)
               AS maintenance_why,
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
           OR (c.state IN (1, 3) AND c.newest_measured_at - c.measured_at
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
       -- The plan: lib/bus/roster.c says the same. (A mesh's bit stands in
       -- hub_mask of its hubs; in a full mesh everyone is one.)
       AND src.kind = 'node'
       AND src.mesh_mask & dst.mesh_mask & class.mesh_mask
           & (src.hub_mask | dst.hub_mask) <> 0
), named AS (
    SELECT j.*,
           CASE WHEN maintenance_since IS NOT NULL THEN 'maintenance'
                WHEN measured_at IS NULL OR (state = 0 AND NOT down)
                THEN 'never'
                WHEN src_state IN ('stale', 'stopped') OR dst_state = 'stopped'
                     OR overdue THEN 'stale'
                WHEN state = 2 OR down THEN 'crit'
                WHEN state = 3 THEN 'warn'
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
            WHEN 'maintenance' THEN maintenance_since
            WHEN 'never' THEN NULL
            WHEN 'stale' THEN CASE
                 WHEN src_state IN ('stale', 'stopped') THEN src_since
                 WHEN dst_state = 'stopped' THEN dst_since
                 ELSE measured_at END
            ELSE CASE WHEN down AND state <> 2 THEN open_since
                      ELSE state_since END END AS state_since,
       CASE shown
            WHEN 'maintenance' THEN maintenance_why
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

DO $$
DECLARE
    v text;
BEGIN
    FOREACH v IN ARRAY ARRAY['matrix_cell', 'path_matrix'] LOOP
        EXECUTE format('COMMENT ON COLUMN twmesh.%I.state IS %L', v,
            'maintenance, never, stale, crit, warn or ok, in this precedence (docs/SCHEMA.md); maintenance: of the source or the destination.');
    END LOOP;
END $$;

-- Rights, as in 0004 ------------------------------------------------------

REVOKE ALL ON FUNCTION twmesh_private.note_node_changes(),
    twmesh_private.forget_changes(integer),
    twmesh_private.refresh_floors(integer) FROM PUBLIC;
DO $$
DECLARE
    o text;
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'twmesh_reader') THEN
        GRANT SELECT ON twmesh.state_change TO twmesh_reader;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'twmesh_writer') THEN
        GRANT SELECT ON twmesh.state_change TO twmesh_writer;
        GRANT SELECT, INSERT, UPDATE, DELETE ON twmesh_private.cell_change,
            twmesh_private.node_change, twmesh_private.path_floor
            TO twmesh_writer;
        GRANT EXECUTE ON FUNCTION twmesh_private.note_node_changes(),
            twmesh_private.forget_changes(integer),
            twmesh_private.refresh_floors(integer) TO twmesh_writer;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'twmesh_owner')
       AND pg_get_userbyid((SELECT nspowner FROM pg_namespace
                             WHERE nspname = 'twmesh')) = 'twmesh_owner' THEN
        FOREACH o IN ARRAY ARRAY['TABLE twmesh_private.cell_change',
            'TABLE twmesh_private.node_change', 'TABLE twmesh_private.path_floor',
            'VIEW twmesh.state_change',
            'FUNCTION twmesh_private.note_node_changes()',
            'FUNCTION twmesh_private.forget_changes(integer)',
            'FUNCTION twmesh_private.refresh_floors(integer)',
            'FUNCTION twmesh.state_name(integer)']
        LOOP
            EXECUTE format('ALTER %s OWNER TO twmesh_owner', o);
        END LOOP;
    END IF;
END $$;
