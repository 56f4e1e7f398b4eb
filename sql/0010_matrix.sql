-- SPDX-License-Identifier: BSD-2-Clause
--
-- The fast forms of the matrix: functions that touch one array of each row of
-- the current state, where the readable view path_matrix judges every cell.

-- What is asked for most is stored, since a million divisions cost more than
-- all the rest of an answer.
ALTER TABLE twmesh_private.path_state
    ADD loss_max_pct real[] NOT NULL DEFAULT '{}';
ALTER TABLE twmesh_private.path_state ALTER loss_max_pct SET STORAGE EXTERNAL;
COMMENT ON COLUMN twmesh_private.path_state.loss_max_pct IS
    'Per cell: 100 * lost / sent, per cent. NULL: nothing sent.';
-- Another revision, so that no controller goes on with its copy.
UPDATE twmesh_private.path_state p SET revision = revision + 1,
    loss_max_pct = coalesce((
        SELECT array_agg((100.0::float8 * u.lost / nullif(u.sent, 0))::real
                         ORDER BY u.slot)
          FROM unnest(p.lost, p.sent) WITH ORDINALITY AS u (lost, sent, slot)),
        '{}');

-- Windows are made again from rollups.
DELETE FROM twmesh_private.path_window;
ALTER TABLE twmesh_private.path_window ADD loss_max_pct real[] NOT NULL;
ALTER TABLE twmesh_private.path_window ALTER loss_max_pct SET STORAGE EXTERNAL;
COMMENT ON COLUMN twmesh_private.path_window.loss_max_pct IS
    'Per cell: 100 * lost / sent, per cent. NULL: nothing sent.';

CREATE VIEW twmesh.matrix_row AS
SELECT p.src_id, p.class_id, p.newest_measured_at, p.updated_at, p.generation,
       p.state, p.state_since, p.sent, p.lost, p.lost_undet, p.loss_max_pct,
       p.delay_ms, p.jitter_ms, p.rtt_ms, p.rtt_p99_ms, p.hops, p.clock_err_ms
  FROM twmesh_private.path_state p
  JOIN twmesh.node n ON n.node_id = p.src_id AND n.removed_at IS NULL
  JOIN twmesh.class k ON k.class_id = p.class_id AND k.retired_at IS NULL;
COMMENT ON VIEW twmesh.matrix_row IS
    'The current state as it is kept: a row per source and class, arrays over the slots of the destinations (node_status.slot). For those who read all of it; mind generation.';
DO $$
DECLARE
    d text[];
BEGIN
    FOREACH d SLICE 1 IN ARRAY ARRAY[
        ['src_id', 'Source.'],
        ['class_id', 'Class (version).'],
        ['newest_measured_at', 'End of the newest interval of any cell (the source''s clock). NULL: none yet.'],
        ['updated_at', 'Last change (database clock). NULL: none yet.'],
        ['generation', 'Per cell: slot_generation of the destination that it speaks of. A cell of another generation than node_status.slot_generation is of a removed node; 0: empty.'],
        ['state', 'Per cell, as judged from results: 0 not judged yet, 1 ok, 2 crit, 3 warn.'],
        ['state_since', 'Per cell: when the state began. NULL: no state yet.'],
        ['sent', 'Per cell: packets of the newest interval.'],
        ['lost', 'Per cell: packets lost src to dst, undetermined ones included.'],
        ['lost_undet', 'Per cell: those of them whose direction is not known.'],
        ['loss_max_pct', 'Per cell: 100 * lost / sent, per cent. NULL: nothing sent.'],
        ['delay_ms', 'Per cell: mean one-way delay, ms. NULL: nothing received.'],
        ['jitter_ms', 'Per cell: mean |IPDV| src to dst, ms (RFC 3393). NULL: no pair received.'],
        ['rtt_ms', 'Per cell: mean round trip, ms. NULL: nothing received.'],
        ['rtt_p99_ms', 'Per cell: 99th percentile of the round trip, ms. NULL: fewer than 50 samples.'],
        ['hops', 'Per cell: routers src to dst. NULL: not known.'],
        ['clock_err_ms', 'Per cell: bound of the one-way error, ms. NULL: a clock is not synchronised.']]
    LOOP
        EXECUTE format('COMMENT ON COLUMN twmesh.matrix_row.%I IS %L', d[1], d[2]);
    END LOOP;
END $$;

CREATE VIEW twmesh.matrix_window AS
SELECT p.win, p.src_id, p.class_id, p.as_of, p.generation, p.intervals,
       p.sent, p.lost, p.lost_undet, p.loss_max_pct, p.loss_runs, p.delay_ms,
       p.jitter_ms, p.rtt_ms, p.rtt_p99_ms, p.hops, p.clock_err_ms
  FROM twmesh_private.path_window p
  JOIN twmesh.node n ON n.node_id = p.src_id AND n.removed_at IS NULL
  JOIN twmesh.class k ON k.class_id = p.class_id AND k.retired_at IS NULL;
COMMENT ON VIEW twmesh.matrix_window IS
    'The matrix over the last 5 minutes, hour and day of closed buckets, as matrix_row has it for now.';
DO $$
DECLARE
    d text[];
BEGIN
    FOREACH d SLICE 1 IN ARRAY ARRAY[
        ['win', '5min, 1h or 24h.'],
        ['src_id', 'Source.'],
        ['class_id', 'Class (version).'],
        ['as_of', 'Where the window ends.'],
        ['generation', 'Per cell: slot_generation of the destination that it speaks of; 0: no results in the window.'],
        ['intervals', 'Per cell: results in it. NULL: none.'],
        ['sent', 'Per cell: packets. NULL: no results.'],
        ['lost', 'Per cell: packets lost src to dst, undetermined ones included. NULL: no results.'],
        ['lost_undet', 'Per cell: those of them whose direction is not known. NULL: no results.'],
        ['loss_max_pct', 'Per cell: 100 * lost / sent, per cent. NULL: nothing sent.'],
        ['loss_runs', 'Per cell: runs of three and more lost packets that began in it. NULL: no results.'],
        ['delay_ms', 'Per cell: mean one-way delay, ms. NULL: nothing received.'],
        ['jitter_ms', 'Per cell: mean |IPDV| src to dst, ms (RFC 3393). NULL: no pair received.'],
        ['rtt_ms', 'Per cell: mean round trip, ms. NULL: nothing received.'],
        ['rtt_p99_ms', 'Per cell: 99th percentile of the round trip from merged histograms, ms. NULL: fewer than 50 samples.'],
        ['hops', 'Per cell: routers src to dst, the last known. NULL: not known.'],
        ['clock_err_ms', 'Per cell: largest bound of the one-way error, ms. NULL: a clock was not synchronised.']]
    LOOP
        EXECUTE format('COMMENT ON COLUMN twmesh.matrix_window.%I IS %L', d[1], d[2]);
    END LOOP;
END $$;

-- Where the rows of a window are; what is not now has no state.
CREATE FUNCTION twmesh.matrix_source(the_metric text, win text) RETURNS text
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    CASE
        WHEN win = 'now' THEN RETURN 'twmesh.matrix_row';
        WHEN win NOT IN ('5min', '1h', '24h') OR win IS NULL THEN
            RAISE EXCEPTION 'win: expected now, 5min, 1h or 24h, found %',
                coalesce(quote_literal(win), 'NULL')
                USING ERRCODE = 'invalid_parameter_value';
        WHEN the_metric = 'state' THEN
            RAISE EXCEPTION 'win: expected now for the metric state, found %',
                quote_literal(win)
                USING ERRCODE = 'invalid_parameter_value';
        ELSE RETURN format('(SELECT *, as_of AS newest_measured_at
            FROM twmesh.matrix_window WHERE win = %L)', win);
    END CASE;
END $$;
COMMENT ON FUNCTION twmesh.matrix_source(text, text) IS
    'SQL of the rows of a window (now, 5min, 1h, 24h) for twmesh.matrix_expression().';

-- Which cells of an array speak of nodes that are there. One array for a class:
-- the usual row has exactly these, but for itself.
CREATE FUNCTION twmesh.matrix_generations() RETURNS integer[]
LANGUAGE sql STABLE PARALLEL SAFE
RETURN (SELECT array_agg(coalesce(n.slot_generation, 0) ORDER BY g.slot)
          FROM generate_series(1, (SELECT max(slot) FROM twmesh.node
                                    WHERE removed_at IS NULL)) g (slot)
          LEFT JOIN twmesh.node n ON n.slot = g.slot
               AND n.removed_at IS NULL);
COMMENT ON FUNCTION twmesh.matrix_generations() IS
    'slot_generation of the nodes that are there, by slot; 0: nobody. NULL: no nodes.';

-- The rest of a row once it is not as the rule has it: cells of nodes that are
-- gone, and slots beyond its end, are NULL.
CREATE FUNCTION twmesh.matrix_masked(value real[], generation integer[],
    expected integer[]) RETURNS real[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (SELECT array_agg(CASE WHEN u.g = u.e AND u.g > 0 THEN u.v END
                         ORDER BY u.slot)
          FROM unnest(value[:cardinality(expected)],
                      generation[:cardinality(expected)], expected)
               WITH ORDINALITY AS u (v, g, e, slot));
COMMENT ON FUNCTION twmesh.matrix_masked(real[], integer[], integer[]) IS
    'An array over slots without the cells that do not speak of the nodes of matrix_generations().';

CREATE FUNCTION twmesh.matrix_class(the_class text) RETURNS integer
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    k text := coalesce(the_class, twmesh.default_class());
    id integer := (SELECT class_id FROM twmesh.class
                    WHERE name = k AND retired_at IS NULL);
BEGIN
    IF id IS NULL THEN
        RAISE EXCEPTION 'class: expected % or NULL for the first, found %',
            coalesce((SELECT string_agg(quote_literal(name), ' or '
                                        ORDER BY class_id)
                        FROM twmesh.class WHERE retired_at IS NULL),
                     'nothing (no class runs)'),
            coalesce(quote_literal(k), 'NULL')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN id;
END $$;
COMMENT ON FUNCTION twmesh.matrix_class(text) IS
    'Id of the running version of a class; NULL asks for twmesh.default_class(). An error says which there are.';

-- The expression over a row of matrix_row that yields a metric as real[].
CREATE FUNCTION twmesh.matrix_expression(the_metric text) RETURNS text
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    CASE
        WHEN the_metric IN ('loss_max_pct', 'delay_ms', 'jitter_ms', 'rtt_ms',
                            'rtt_p99_ms', 'clock_err_ms')
        THEN RETURN 'r.' || the_metric;
        WHEN the_metric IN ('hops', 'state')
        THEN RETURN 'r.' || the_metric || '::real[]';
        WHEN the_metric = 'loss_pct'
        -- Mostly no loss is undetermined: then it is the other one.
        THEN RETURN 'CASE WHEN r.lost_undet = array_fill(0, ARRAY[cardinality(r.lost_undet)])
            THEN r.loss_max_pct ELSE (SELECT array_agg(CASE WHEN u.x = 0
            THEN u.v END ORDER BY u.i) FROM unnest(r.lost_undet, r.loss_max_pct)
            WITH ORDINALITY AS u (x, v, i)) END';
        ELSE
            RAISE EXCEPTION 'metric: expected loss_pct, loss_max_pct, delay_ms, jitter_ms, rtt_ms, rtt_p99_ms, hops, clock_err_ms or state, found %',
                coalesce(quote_literal(the_metric), 'NULL')
                USING ERRCODE = 'invalid_parameter_value';
    END CASE;
END $$;
COMMENT ON FUNCTION twmesh.matrix_expression(text) IS
    'SQL of a matrix metric over an alias r of twmesh.matrix_row; an error names those that there are.';

-- The same as an array over the slots of $1 = matrix_generations(), NULL where
-- there is no such node; s is the source's row of twmesh.node.
CREATE FUNCTION twmesh.matrix_value(the_metric text) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN format('CASE WHEN r.generation = $1[:s.slot - 1] || 0 || $1[s.slot + 1:]
    THEN %1$s ELSE twmesh.matrix_masked(%1$s, r.generation, $1) END',
    twmesh.matrix_expression(the_metric));
COMMENT ON FUNCTION twmesh.matrix_value(text) IS
    'SQL of a matrix metric over aliases r of twmesh.matrix_row and s of twmesh.node, without the cells of nodes that are gone; its $1 is twmesh.matrix_generations().';

CREATE FUNCTION twmesh.matrix_metric(the_metric text,
    the_class text DEFAULT NULL, win text DEFAULT 'now')
RETURNS TABLE (src text, src_slot integer, measured_at timestamptz,
               value real[])
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN QUERY EXECUTE format('
        SELECT s.name::text, s.slot, r.newest_measured_at, %s
          FROM %s r
          JOIN twmesh.node s ON s.node_id = r.src_id
         WHERE r.class_id = $2 ORDER BY s.slot',
        twmesh.matrix_value(the_metric),
        twmesh.matrix_source(the_metric, win))
        USING twmesh.matrix_generations(), twmesh.matrix_class(the_class);
END $$;
COMMENT ON FUNCTION twmesh.matrix_metric(text, text, text) IS
    'One metric of the whole matrix, a row per source: value[i] is of the direction to the node whose slot (node_status.slot) is i. NULL: nothing known, or no such node. win: now (the newest results of each session; whether they are stale is said by node_status), 5min, 1h or 24h of closed buckets.';

CREATE FUNCTION twmesh.matrix_from(the_src text, the_metric text,
    the_class text DEFAULT NULL, win text DEFAULT 'now')
RETURNS TABLE (dst text, value real)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    id integer := (SELECT node_id FROM twmesh.node
                    WHERE name = the_src AND removed_at IS NULL);
BEGIN
    IF id IS NULL THEN
        RAISE EXCEPTION 'src: expected the name of a node, found %',
            coalesce(quote_literal(the_src), 'NULL')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN QUERY EXECUTE format('
        SELECT d.name::text, u.v
          FROM %s r,
               unnest(r.generation, %s) WITH ORDINALITY AS u (g, v, slot)
          JOIN twmesh.node d ON d.slot = u.slot AND d.slot_generation = u.g
               AND d.removed_at IS NULL
         WHERE r.src_id = $1 AND r.class_id = $2 ORDER BY d.name',
        twmesh.matrix_source(the_metric, win),
        twmesh.matrix_expression(the_metric))
        USING id, twmesh.matrix_class(the_class);
END $$;
COMMENT ON FUNCTION twmesh.matrix_from(text, text, text, text) IS
    'One metric of all directions from a node.';

CREATE FUNCTION twmesh.matrix_to(the_dst text, the_metric text,
    the_class text DEFAULT NULL, win text DEFAULT 'now')
RETURNS TABLE (src text, value real)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    d record;
    place text;
BEGIN
    SELECT node_id, slot, slot_generation INTO d FROM twmesh.node
     WHERE name = the_dst AND removed_at IS NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'dst: expected the name of a node, found %',
            coalesce(quote_literal(the_dst), 'NULL')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- One element of each array; the expression is not made for all of them.
    place := CASE the_metric
        WHEN 'loss_pct'
        THEN 'CASE WHEN r.lost_undet[$2] = 0 THEN r.loss_max_pct[$2] END'
        ELSE '(r.' || regexp_replace(
            regexp_replace(twmesh.matrix_expression(the_metric), '^r\.', ''),
            '::real\[\]$', '') || '[$2])::real' END;
    RETURN QUERY EXECUTE format('
        SELECT s.name::text, CASE WHEN r.generation[$2] = $3 THEN %s END
          FROM %s r
          JOIN twmesh.node s ON s.node_id = r.src_id
         WHERE r.class_id = $4 AND r.src_id <> $1 ORDER BY s.name',
        place, twmesh.matrix_source(the_metric, win))
        USING d.node_id, d.slot, d.slot_generation,
              twmesh.matrix_class(the_class);
END $$;
COMMENT ON FUNCTION twmesh.matrix_to(text, text, text, text) IS
    'One metric of all directions to a node.';

CREATE FUNCTION twmesh.site_matrix(the_metric text,
    the_class text DEFAULT NULL, win text DEFAULT 'now')
RETURNS TABLE (src_site text, dst_site text, measured bigint, worst real,
               mean double precision, best real)
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    -- Sites by slot, looked up in an array: a join would cost as much as the
    -- rest. 0 stands for none.
    RETURN QUERY EXECUTE format('
        WITH x AS (
            SELECT coalesce(s.site_id, 0) AS src_id, $3[u.slot] AS dst_id,
                   count(u.v) AS measured, max(u.v) AS worst,
                   sum(u.v::float8) AS total, min(u.v) AS best
              FROM %s r
              JOIN twmesh.node s ON s.node_id = r.src_id
              CROSS JOIN LATERAL unnest(%s) WITH ORDINALITY AS u (v, slot)
             WHERE r.class_id = $2
             GROUP BY 1, 2)
        SELECT a.name::text, b.name::text, x.measured, x.worst,
               x.total / nullif(x.measured, 0), x.best
          FROM x
          LEFT JOIN twmesh.site a ON a.site_id = x.src_id
          LEFT JOIN twmesh.site b ON b.site_id = x.dst_id
         WHERE x.measured > 0
         ORDER BY a.name, b.name',
        twmesh.matrix_source(the_metric, win),
        twmesh.matrix_value(the_metric))
        USING twmesh.matrix_generations(), twmesh.matrix_class(the_class),
              (SELECT array_agg(coalesce(n.site_id, 0) ORDER BY g.slot)
                 FROM generate_series(1, (SELECT max(slot) FROM twmesh.node
                                  WHERE removed_at IS NULL)) g (slot)
                 LEFT JOIN twmesh.node n ON n.slot = g.slot
                      AND n.removed_at IS NULL);
END $$;
COMMENT ON FUNCTION twmesh.site_matrix(text, text, text) IS
    'One metric between sites: the number of directions that have it, its worst (largest), mean and best. Site NULL: nodes without one. Pairs without any have no row.';

CREATE FUNCTION twmesh.worst_paths(n integer DEFAULT 100,
    the_metric text DEFAULT 'loss_max_pct', the_class text DEFAULT NULL, win text DEFAULT 'now')
RETURNS TABLE (src text, dst text, value real)
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    IF n IS NULL OR n < 0 THEN
        RAISE EXCEPTION 'n: expected a number of paths from 0, found %',
            coalesce(n::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN QUERY EXECUTE format('
        SELECT w.src, d.name::text, w.v
          FROM (SELECT s.name::text AS src, u.slot, u.v
                  FROM %s r
                  JOIN twmesh.node s ON s.node_id = r.src_id
                  CROSS JOIN LATERAL unnest(%s) WITH ORDINALITY AS u (v, slot)
                 WHERE r.class_id = $2 AND u.v IS NOT NULL
                 ORDER BY u.v DESC LIMIT $3) w
          JOIN twmesh.node d ON d.slot = w.slot AND d.removed_at IS NULL
         ORDER BY w.v DESC, w.src, d.name',
        twmesh.matrix_source(the_metric, win),
        twmesh.matrix_value(the_metric))
        USING twmesh.matrix_generations(), twmesh.matrix_class(the_class), n;
END $$;
COMMENT ON FUNCTION twmesh.worst_paths(integer, text, text, text) IS
    'The n directions with the largest values of a metric, worst first.';

-- Rights, as in 0004 ------------------------------------------------------

DO $$
DECLARE
    o record;
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'twmesh_reader') THEN
        GRANT SELECT ON twmesh.matrix_row, twmesh.matrix_window TO twmesh_reader;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'twmesh_writer') THEN
        GRANT SELECT ON twmesh.matrix_row, twmesh.matrix_window TO twmesh_writer;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'twmesh_owner')
       AND pg_get_userbyid((SELECT nspowner FROM pg_namespace
                             WHERE nspname = 'twmesh')) = 'twmesh_owner' THEN
        FOR o IN SELECT format('VIEW %s', v) AS name
                   FROM unnest(ARRAY['twmesh.matrix_row', 'twmesh.matrix_window']) v
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
