-- SPDX-License-Identifier: BSD-2-Clause
--
-- The mesh at another time, what changed between two times, what is missing,
-- and where routes changed their length. All from what is kept anyway.

CREATE FUNCTION twmesh.window_from(win text, t timestamptz) RETURNS timestamptz
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    CASE win
        WHEN '5min' THEN RETURN date_bin('5 minutes', t, 'epoch');
        WHEN '1h' THEN RETURN date_bin('5 minutes', t, 'epoch')
                              - interval '55 minutes';
        WHEN '24h' THEN RETURN date_bin('1 hour', t, 'epoch')
                               - interval '23 hours';
        ELSE
            RAISE EXCEPTION 'win: expected 5min, 1h or 24h, found %',
                coalesce(quote_literal(win), 'NULL')
                USING ERRCODE = 'invalid_parameter_value';
    END CASE;
END $$;
COMMENT ON FUNCTION twmesh.window_from(text, timestamptz) IS
    'Where the window begins whose last bucket (5 minutes; of 24h an hour) holds t.';

CREATE FUNCTION twmesh.mesh_at(t timestamptz, win text DEFAULT '5min',
    the_class text DEFAULT NULL)
RETURNS TABLE (src text, dst text, class text, t_from timestamptz,
               intervals bigint, sent bigint, lost bigint, loss_max_pct real,
               loss_runs bigint, delay_ms double precision,
               jitter_ms double precision, rtt_ms double precision,
               rtt_max_ms real, rtt_p99_worst_ms real, src_id integer,
               dst_id integer, class_id integer)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    since timestamptz := twmesh.window_from(win, t);
    classes integer[] := twmesh.class_numbers(the_class);
BEGIN
    RETURN QUERY EXECUTE format('
        SELECT s.name::text, d.name::text, k.name::text, $1, x.intervals,
               x.sent, x.lost, (100.0 * x.lost / nullif(x.sent, 0))::real,
               x.loss_runs, x.delay / nullif(x.received, 0),
               x.jitter / nullif(x.received, 0),
               x.rtt / nullif(x.received, 0), x.rtt_max, x.rtt_p99,
               x.src_id, x.dst_id, x.class_id
          FROM (SELECT r.src_id, r.dst_id, r.class_id,
                       sum(r.intervals)::bigint AS intervals,
                       sum(r.sent)::bigint AS sent,
                       sum(r.lost_fwd + r.lost_undet)::bigint AS lost,
                       sum(r.loss_runs_long)::bigint AS loss_runs,
                       sum(r.received) FILTER (WHERE r.rtt_mean_ms IS NOT NULL)
                           ::float8 AS received,
                       sum(r.fwd_mean_ms::float8 * r.received) AS delay,
                       sum(r.fwd_ipdv_ms::float8 * r.received) AS jitter,
                       sum(r.rtt_mean_ms::float8 * r.received) AS rtt,
                       max(r.rtt_max_ms) AS rtt_max,
                       max(r.rtt_p99_ms) AS rtt_p99
                  FROM twmesh.%I r
                 WHERE r.ts >= $1 AND r.ts <= $2 AND r.class_id = ANY ($3)
                 GROUP BY r.src_id, r.dst_id, r.class_id) x
          JOIN twmesh.node s ON s.node_id = x.src_id
          JOIN twmesh.node d ON d.node_id = x.dst_id
          JOIN twmesh.class k ON k.class_id = x.class_id',
        CASE win WHEN '24h' THEN 'rollup_1h' ELSE 'rollup_5min' END)
        USING since, t, classes;
END $$;
COMMENT ON FUNCTION twmesh.mesh_at(timestamptz, text, text) IS
    'The mesh as it was: a row per direction with results in the window (5min, 1h or 24h) whose last bucket holds t, from rollups: what is not rolled up yet (some 10 minutes) is not there. Means are weighted by packets; rtt_p99_worst_ms is the largest 99th percentile of a bucket (of a path over any time: path_percentile). NULL: nothing received.';

CREATE FUNCTION twmesh.mesh_diff(t1 timestamptz, t2 timestamptz,
    win text DEFAULT '1h', min_effect_ms double precision DEFAULT 1,
    the_class text DEFAULT NULL)
RETURNS TABLE (src text, dst text, class text, changed text,
               loss_1_pct real, loss_2_pct real, rtt_1_ms double precision,
               rtt_2_ms double precision, rtt_change_ms double precision,
               jitter_1_ms double precision, jitter_2_ms double precision)
LANGUAGE sql STABLE
AS $$
    SELECT x.*
      FROM (SELECT coalesce(a.src, b.src), coalesce(a.dst, b.dst),
                   coalesce(a.class, b.class),
                   CASE WHEN a.src IS NULL THEN 'new'
                        WHEN b.src IS NULL THEN 'gone'
                        ELSE nullif(concat_ws(', ',
                            CASE WHEN a.sent > 0 AND b.sent > 0
                                  AND twmesh.losses_differ(a.lost::integer,
                                      a.sent::integer, b.lost::integer,
                                      b.sent::integer)
                                 THEN CASE WHEN b.loss_max_pct > a.loss_max_pct
                                      THEN 'more loss' ELSE 'less loss' END END,
                            CASE WHEN b.rtt_ms - a.rtt_ms >= min_effect_ms
                                 THEN 'slower'
                                 WHEN a.rtt_ms - b.rtt_ms >= min_effect_ms
                                 THEN 'faster' END), '') END AS changed,
                   a.loss_max_pct, b.loss_max_pct, a.rtt_ms, b.rtt_ms,
                   b.rtt_ms - a.rtt_ms, a.jitter_ms, b.jitter_ms
              FROM twmesh.mesh_at(t1, win, the_class) a
              FULL JOIN twmesh.mesh_at(t2, win, the_class) b
                   USING (src_id, dst_id, class_id)) x
     WHERE x.changed IS NOT NULL
$$;
COMMENT ON FUNCTION twmesh.mesh_diff(timestamptz, timestamptz, text,
    double precision, text) IS
    'What differs between the windows at t1 and t2 (mesh_at): directions that are new or gone, whose losses differ by more than chance explains (3 packets and 4 standard deviations), or whose mean round trip changed by at least min_effect_ms.';

-- Which results there should be, and which there are --------------------------

CREATE FUNCTION twmesh.coverage_between(t_from timestamptz, t_to timestamptz)
RETURNS TABLE (ts timestamptz, src text, class text, destinations bigint,
               expected bigint, stored bigint, missing bigint,
               gap_ms bigint, gap_reasons text)
LANGUAGE sql STABLE
AS $$
    WITH planned AS (
        SELECT h.ts, s.node_id AS src_id, s.name AS src, k.name AS class,
               count(*) AS destinations, max(k.interval_ms) AS interval_ms
          FROM generate_series(date_bin('1 hour', t_from, 'epoch'),
                               t_to - interval '1 hour', '1 hour') AS h (ts)
          JOIN twmesh.node s ON s.approved_at <= h.ts AND s.kind = 'node'
               AND coalesce(s.removed_at, 'infinity') > h.ts + interval '1 hour'
          JOIN twmesh.node d ON d.approved_at <= h.ts
               AND coalesce(d.removed_at, 'infinity') > h.ts + interval '1 hour'
               AND d.node_id <> s.node_id
          JOIN twmesh.class k ON k.created_at <= h.ts
               AND coalesce(k.retired_at, 'infinity') > h.ts + interval '1 hour'
               AND s.mesh_mask & d.mesh_mask & k.mesh_mask
                   & (s.hub_mask | d.hub_mask) <> 0
         GROUP BY h.ts, s.node_id, s.name, k.name
    ), there AS (
        SELECT r.ts, r.src_id, k.name AS class,
               sum(r.intervals)::bigint AS stored
          FROM twmesh.rollup_1h r JOIN twmesh.class k USING (class_id)
         WHERE r.ts >= date_bin('1 hour', t_from, 'epoch')
           AND r.ts <= t_to - interval '1 hour'
         GROUP BY r.ts, r.src_id, k.name
    )
    SELECT p.ts, p.src::text, p.class::text, p.destinations,
           p.destinations * (3600000 / p.interval_ms),
           coalesce(t.stored, 0),
           greatest(0, p.destinations * (3600000 / p.interval_ms)
                       - coalesce(t.stored, 0)),
           coalesce(g.ms, 0), g.reasons
      FROM planned p
      LEFT JOIN there t ON t.ts = p.ts AND t.src_id = p.src_id
           AND t.class = p.class
      LEFT JOIN LATERAL (
           SELECT (sum(extract(epoch FROM least(g.t_to, p.ts + interval '1 hour')
                       - greatest(g.t_from, p.ts))) * 1000)::bigint AS ms,
                  string_agg(DISTINCT g.reason, '; ') AS reasons
             FROM twmesh.gap g
             LEFT JOIN twmesh.class gk ON gk.class_id = g.class_id
            WHERE g.src_id = p.src_id
              AND g.t_from < p.ts + interval '1 hour' AND g.t_to > p.ts
              AND (g.class_id IS NULL OR gk.name = p.class)) g ON true
$$;
COMMENT ON FUNCTION twmesh.coverage_between(timestamptz, timestamptz) IS
    'Per whole hour, source and class: results that the plan as it is now asks for, results that are stored, and how much of the hour lies in recorded gaps (twmesh.gap), with their reasons. Hours in which a node or class came or went are not counted. The last hour is complete some minutes after its end.';

CREATE VIEW twmesh.coverage AS
SELECT * FROM twmesh.coverage_between(statement_timestamp() - interval '1 day',
                                      statement_timestamp());
COMMENT ON VIEW twmesh.coverage IS
    'coverage_between() of the last 24 hours.';

CREATE VIEW twmesh.hop_change AS
SELECT r.ts, s.name::text AS src, d.name::text AS dst, k.name::text AS class,
       r.fwd_hops, r.bwd_hops, t.fwd_hops_changed, t.bwd_hops_changed,
       r.src_id, r.dst_id, r.class_id
  FROM twmesh.result_detail t
  JOIN twmesh.result r ON r.src_id = t.src_id AND r.ts = t.ts
       AND r.dst_id = t.dst_id AND r.class_id = t.class_id
       AND r.span_ms = t.span_ms
  JOIN twmesh.node s ON s.node_id = r.src_id
  JOIN twmesh.node d ON d.node_id = r.dst_id
  JOIN twmesh.class k ON k.class_id = r.class_id
 WHERE t.fwd_hops_changed > 0 OR t.bwd_hops_changed > 0;
COMMENT ON VIEW twmesh.hop_change IS
    'Results within which the number of routers on a way changed: a route changed.';
DO $$
DECLARE
    d text[];
BEGIN
    FOREACH d SLICE 1 IN ARRAY ARRAY[
        ['coverage', 'ts', 'Start of the hour.'],
        ['coverage', 'src', 'Source.'],
        ['coverage', 'class', 'Class.'],
        ['coverage', 'destinations', 'Nodes it measures by the plan.'],
        ['coverage', 'expected', 'Results that the plan asks for.'],
        ['coverage', 'stored', 'Results that are stored.'],
        ['coverage', 'missing', 'expected less stored, at least 0.'],
        ['coverage', 'gap_ms', 'Time of the hour that lies in recorded gaps, ms.'],
        ['coverage', 'gap_reasons', 'Why. NULL: no gap is recorded.'],
        ['hop_change', 'ts', 'Start of the interval, by the source''s clock.'],
        ['hop_change', 'src', 'Source.'],
        ['hop_change', 'dst', 'Destination.'],
        ['hop_change', 'class', 'Class.'],
        ['hop_change', 'fwd_hops', 'Routers src to dst at its end. NULL: not known.'],
        ['hop_change', 'bwd_hops', 'Routers dst to src at its end. NULL: not known.'],
        ['hop_change', 'fwd_hops_changed', 'Times the number src to dst changed in it. NULL: not known.'],
        ['hop_change', 'bwd_hops_changed', 'Times the number dst to src changed in it. NULL: not known.'],
        ['hop_change', 'src_id', 'Id of the source.'],
        ['hop_change', 'dst_id', 'Id of the destination.'],
        ['hop_change', 'class_id', 'Id of the class''s version.']]
    LOOP
        EXECUTE format('COMMENT ON COLUMN twmesh.%I.%I IS %L', d[1], d[2], d[3]);
    END LOOP;
END $$;

-- How much it takes --------------------------------------------------------

CREATE FUNCTION twmesh.db_size(keep_raw_days integer DEFAULT 7,
    keep_5min_days integer DEFAULT 90, keep_1h_days integer DEFAULT 1826)
RETURNS TABLE (level text, partitions bigint, rows bigint, heap_bytes bigint,
               index_bytes bigint, bytes_per_row double precision,
               measured boolean, planned_rows_per_day bigint,
               keep_days integer, projected_bytes bigint)
LANGUAGE sql STABLE
AS $$
    WITH pairs AS (
        SELECT k.interval_ms, k.detail, count(*) AS n
          FROM twmesh.class k
          JOIN twmesh.node s ON s.removed_at IS NULL AND s.kind = 'node'
          JOIN twmesh.node d ON d.removed_at IS NULL AND d.node_id <> s.node_id
               AND s.mesh_mask & d.mesh_mask & k.mesh_mask
                   & (s.hub_mask | d.hub_mask) <> 0
         WHERE k.retired_at IS NULL
         GROUP BY k.class_id, k.interval_ms, k.detail
    ), plan AS (
        SELECT coalesce(sum(n * 86400000 / interval_ms), 0)::bigint AS raw,
               coalesce(sum(n * 86400000 / interval_ms)
                        FILTER (WHERE detail), 0)::bigint AS details,
               coalesce(sum(n), 0)::bigint AS sessions
          FROM pairs
    ), want AS (
        -- Octets per row with indexes, as measured, where there are none.
        SELECT v.* FROM plan, LATERAL (VALUES
               (1, 'result', plan.raw, keep_raw_days, 240.0::float8),
               (2, 'result_detail', plan.details, keep_raw_days, 420.0),
               (3, 'rollup_5min', plan.sessions * 288, keep_5min_days, 373.0),
               (4, 'rollup_1h', plan.sessions * 24, keep_1h_days, 331.0))
               AS v (place, level, per_day, days, usual)
    ), have AS (
        SELECT w.place, count(c.oid) AS partitions,
               coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint AS rows,
               coalesce(sum(pg_table_size(c.oid)), 0)::bigint AS heap,
               coalesce(sum(pg_indexes_size(c.oid)), 0)::bigint AS index
          FROM want w
          LEFT JOIN pg_inherits i
               ON i.inhparent = to_regclass('twmesh.' || w.level)
          LEFT JOIN pg_class c ON c.oid = i.inhrelid
         GROUP BY w.place
    )
    SELECT w.level, h.partitions, h.rows, h.heap, h.index, x.per_row,
           h.rows >= 100000, w.per_day, w.days,
           (x.per_row * w.per_day * w.days)::bigint
      FROM want w JOIN have h USING (place)
     CROSS JOIN LATERAL (SELECT CASE WHEN h.rows >= 100000
                THEN (h.heap + h.index)::float8 / h.rows
                ELSE w.usual END AS per_row) x
     ORDER BY w.place
$$;
COMMENT ON FUNCTION twmesh.db_size(integer, integer, integer) IS
    'Size of the history by level, now (rows as of the last ANALYZE) and as the plan in force will fill it when results are kept for so many days: octets per row with indexes as they are now (measured), or a usual value below 100,000 rows.';

CREATE FUNCTION twmesh.api_db_size(keep_raw_days integer,
    keep_5min_days integer, keep_1h_days integer) RETURNS json
LANGUAGE sql STABLE
AS $$
    SELECT json_build_object(
        'at', twmesh.iso_utc(statement_timestamp()),
        'database_bytes', pg_database_size(current_database()),
        'levels', json_agg(json_build_object(
            'level', d.level, 'partitions', d.partitions, 'rows', d.rows,
            'heap_bytes', d.heap_bytes, 'index_bytes', d.index_bytes,
            'bytes_per_row', round(d.bytes_per_row), 'measured', d.measured,
            'planned_rows_per_day', d.planned_rows_per_day,
            'keep_days', d.keep_days,
            'projected_bytes', d.projected_bytes)),
        'projected_bytes', sum(d.projected_bytes)::bigint)
      FROM twmesh.db_size(keep_raw_days, keep_5min_days, keep_1h_days) d
$$;
COMMENT ON FUNCTION twmesh.api_db_size(integer, integer, integer) IS
    'GET /api/v1/db/size: db_size() as JSON, and the sums.';

-- Rights, as in 0004 ------------------------------------------------------

DO $$
DECLARE
    o record;
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'twmesh_reader') THEN
        GRANT SELECT ON twmesh.coverage, twmesh.hop_change TO twmesh_reader;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'twmesh_writer') THEN
        GRANT SELECT ON twmesh.coverage, twmesh.hop_change TO twmesh_writer;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'twmesh_owner')
       AND pg_get_userbyid((SELECT nspowner FROM pg_namespace
                             WHERE nspname = 'twmesh')) = 'twmesh_owner' THEN
        FOR o IN SELECT format('VIEW %s', v) AS name
                   FROM unnest(ARRAY['twmesh.coverage', 'twmesh.hop_change']) v
                 UNION ALL
                 SELECT format('FUNCTION %s', p.oid::regprocedure)
                   FROM pg_proc p
                  WHERE p.pronamespace = 'twmesh'::regnamespace
                    AND pg_get_userbyid(p.proowner) <> 'twmesh_owner'
        LOOP
            EXECUTE format('ALTER %s OWNER TO twmesh_owner', o.name);
        END LOOP;
    END IF;
END $$;
