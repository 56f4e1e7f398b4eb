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

-- The cells that know of it: 0013.

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
