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
               s.maintenance_since, s.maintenance_why
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
