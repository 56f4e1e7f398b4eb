-- SPDX-License-Identifier: BSD-2-Clause
--
-- Incidents: what explains the critical directions of a class, in few words.
-- Greedy set cover over lines of the matrix. A line is a column (a node as
-- receiver) or a row (a node as sender); every candidate is a set of lines of
-- one side, so that a cell is explained when its row or its column is, and
-- each line is looked through at most once.

-- What is critical --------------------------------------------------------

-- array_positions() first: a row of 1,000 cells has few critical ones, and
-- unnesting all of them costs four times as much. trim_array(x, 0) fetches an
-- array once where subscripts would fetch it for each cell.
CREATE VIEW twmesh.critical_cell AS
SELECT p.src_id, p.class_id, u.slot, x.generation[u.slot] AS dst_generation,
       x.state_since[u.slot] AS since
  FROM twmesh_private.path_state p
 CROSS JOIN LATERAL (SELECT trim_array(p.generation, 0) AS generation,
                            trim_array(p.state_since, 0) AS state_since
                     OFFSET 0) x
 CROSS JOIN LATERAL unnest(array_positions(p.state, 2::smallint)) AS u (slot)
 WHERE 2 = ANY (p.state) AND x.generation[u.slot] > 0
UNION ALL
-- Three seconds without a reply, and no newer result that has some; as
-- matrix_cell has it.
SELECT p.src_id, p.class_id, u.slot, u.generation, u.first_at
  FROM (SELECT o.src_id, o.class_id, array_agg(d.slot) AS slot,
               array_agg(d.slot_generation) AS generation,
               array_agg(o.first_at) AS first_at
          FROM twmesh_private.loss_run_open o
          JOIN twmesh.node d ON d.node_id = o.dst_id AND d.removed_at IS NULL
         WHERE NOT o.host_limited
           AND o.began_at <= statement_timestamp() - interval '3 s'
         GROUP BY o.src_id, o.class_id) r
  JOIN twmesh.class k ON k.class_id = r.class_id
  JOIN twmesh_private.path_state p
       ON p.src_id = r.src_id AND p.class_id = r.class_id
 CROSS JOIN LATERAL (SELECT trim_array(p.generation, 0) AS generation,
                            trim_array(p.state, 0) AS state,
                            trim_array(p.behind_us, 0) AS behind_us,
                            trim_array(p.sent, 0) AS sent,
                            trim_array(p.lost, 0) AS lost OFFSET 0) x
 CROSS JOIN LATERAL unnest(r.slot, r.generation, r.first_at)
       AS u (slot, generation, first_at)
 WHERE x.generation[u.slot] = u.generation AND x.state[u.slot] <> 2
   AND x.behind_us[u.slot] IS NOT NULL
   AND NOT (x.state[u.slot] IN (1, 3) AND x.behind_us[u.slot] / 1000.0
       > 3 * k.interval_ms + k.loss_timeout_ms + k.ship_spread_ms + 20000)
   AND NOT (x.lost[u.slot] < x.sent[u.slot] AND p.newest_measured_at
       - x.behind_us[u.slot] * interval '1 us'
       - k.interval_ms * interval '1 ms' >= u.first_at);
COMMENT ON VIEW twmesh.critical_cell IS
    'Directions that are critical by their results or by a loss run that has been open for 3 s. For programs: whether the source is silent or in maintenance is not asked (incident_node() does); mind dst_generation.';
DO $$
DECLARE
    d text[];
BEGIN
    FOREACH d SLICE 1 IN ARRAY ARRAY[
        ['src_id', 'Source.'],
        ['class_id', 'Class (version).'],
        ['slot', 'Slot of the destination (node_status.slot).'],
        ['dst_generation', 'slot_generation of the destination; another than node_status.slot_generation: of a removed node.'],
        ['since', 'Since when it is critical (the source''s clock).']]
    LOOP
        EXECUTE format('COMMENT ON COLUMN twmesh.critical_cell.%I IS %L', d[1], d[2]);
    END LOOP;
END $$;

-- Who can be measured -----------------------------------------------------

CREATE FUNCTION twmesh.incident_node(the_class_id integer)
RETURNS TABLE (slot integer, node_id integer, generation integer, name text,
               site text, group_name text, mesh_mask bigint, hub_mask bigint,
               silent boolean, sends boolean, receives boolean)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT s.slot, s.node_id, s.slot_generation, s.name, s.site,
           coalesce(s.group_name, i.group_name::text),
           n.mesh_mask & k.mesh_mask, n.hub_mask, s.state = 'stale',
           coalesce(s.kind = 'node' AND s.state = 'ok'
               AND s.maintenance_since IS NULL
               AND r.newest_measured_at IS NOT NULL
               -- its results are coming, as matrix_cell has it
               AND statement_timestamp() - greatest(r.updated_at,
                   fresh.started_at, pg_postmaster_start_time())
                   <= make_interval(secs => (3 * k.interval_ms
                      + k.loss_timeout_ms + k.ship_spread_ms) / 1000.0 + 20),
               false),
           s.state IN ('ok', 'stale', 'target')
               AND s.maintenance_since IS NULL
               AND EXISTS (SELECT FROM unnest(s.addresses) a
                            WHERE k.family IN (0, family(a)))
      FROM twmesh.class k
     CROSS JOIN (SELECT coalesce(min(started_at), '-infinity') AS started_at
                   FROM twmesh.controller_status WHERE alive) fresh
     CROSS JOIN twmesh.node_status s
      JOIN twmesh.node n ON n.node_id = s.node_id
      LEFT JOIN twmesh.site i ON i.site_id = n.site_id
      LEFT JOIN twmesh.matrix_row r ON r.src_id = s.node_id
           AND r.class_id = k.class_id
     WHERE k.class_id = the_class_id AND s.slot IS NOT NULL;
END;
COMMENT ON FUNCTION twmesh.incident_node(integer) IS
    'Nodes as incident_now() sees them. sends: in contact, in no maintenance, and its results of this class are coming; receives: not stopped, in no maintenance, and it has an address of the class''s family. mesh_mask: of the meshes with this class. Nobody knows directions of others.';

-- Lines 1..N are columns (receivers, by slot), N+1..2N rows (senders).
CREATE FUNCTION twmesh.incident_line(the_class_id integer)
RETURNS TABLE (line integer, side integer, slot integer, node_id integer,
               generation integer, name text, site text, group_name text,
               mesh_mask bigint, hub_mask bigint, silent boolean, usable boolean,
               of_cells integer)
LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH node AS MATERIALIZED (
        SELECT * FROM twmesh.incident_node(the_class_id)
    ), kind AS MATERIALIZED ( -- nodes that the plan does not tell apart
        SELECT mesh_mask, hub_mask, count(*) FILTER (WHERE sends) AS senders,
               count(*) FILTER (WHERE receives) AS receivers
          FROM node GROUP BY mesh_mask, hub_mask
    )
    SELECT g.line, g.side, g.slot, n.node_id, n.generation, n.name, n.site,
           n.group_name, coalesce(n.mesh_mask, 0), coalesce(n.hub_mask, 0),
           coalesce(n.silent AND g.side = 0, false),
           coalesce(CASE g.side WHEN 0 THEN n.receives ELSE n.sends END, false),
           CASE WHEN CASE g.side WHEN 0 THEN n.receives ELSE n.sends END
                THEN coalesce((SELECT sum(CASE g.side WHEN 0 THEN k.senders
                                          ELSE k.receivers END)
                       FROM kind k
                      WHERE k.mesh_mask & n.mesh_mask
                            & (k.hub_mask | n.hub_mask) <> 0), 0)::integer
                     -- but itself
                     - (n.sends AND n.receives
                        AND n.mesh_mask & n.hub_mask <> 0)::integer
                ELSE 0 END
      FROM (SELECT side * top.slot + s AS line, side, s AS slot
              FROM (SELECT max(slot) AS slot FROM node) top
             CROSS JOIN generate_series(0, 1) side
             CROSS JOIN generate_series(1, top.slot) s) g
      LEFT JOIN node n ON n.slot = g.slot
     ORDER BY g.line;
END;
COMMENT ON FUNCTION twmesh.incident_line(integer) IS
    'The lines of a class''s matrix for incident_now(): columns (side 0, receivers), then rows (side 1, senders), each by slot. of_cells: planned directions of the line that can be measured. NULL: no node has that slot.';

CREATE FUNCTION twmesh.incident_cause(kind text, name text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE kind
    WHEN 'silent' THEN name || ', which is silent,'
    WHEN 'receiver' THEN name || ' as receiver'
    WHEN 'sender' THEN name || ' as sender'
    WHEN 'site_receiver' THEN 'site ' || name || ' as receiver'
    WHEN 'site_sender' THEN 'site ' || name || ' as sender'
    WHEN 'group_receiver' THEN 'group ' || name || ' as receiver'
    WHEN 'group_sender' THEN 'group ' || name || ' as sender'
    WHEN 'mesh' THEN 'the whole mesh'
    ELSE name END;
COMMENT ON FUNCTION twmesh.incident_cause(text, text) IS
    'The cause of an incident in words, for sentences: lon1 as receiver.';

CREATE FUNCTION twmesh.incident_text(kind text, name text, cells integer,
    of_cells integer) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE kind
    WHEN 'direction' THEN name || ' is critical'
    WHEN 'others' THEN cells || CASE cells WHEN 1
         THEN ' more critical direction' ELSE ' more critical directions' END
         || ' without a common cause'
    ELSE cells || ' critical directions explained by '
         || rtrim(twmesh.incident_cause(kind, name), ',') || ', of '
         || of_cells || ' measured' END;
COMMENT ON FUNCTION twmesh.incident_text(text, text, integer, integer) IS
    'An incident in a sentence, without instants, so that it stays true.';

-- The best candidate: arrays over lines in, at most a row out.
CREATE FUNCTION twmesh.incident_best(names text[], sites text[],
    groups text[], silent boolean[], n integer[], rest integer[],
    c integer[], of_cells integer[])
RETURNS TABLE (rank integer, side integer, label text, critical bigint,
               measured bigint)
LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH line AS MATERIALIZED (
        SELECT u.*, (u.i > cardinality(names) / 2)::integer AS side
          FROM unnest(names, sites, groups, silent, n, rest, c, of_cells)
               WITH ORDINALITY
               AS u (name, site, grp, silent, n, rest, c, m, i)
         WHERE u.m > 0
    ), whole AS (
        SELECT sum(l.n) AS n, sum(l.rest) AS rest, sum(l.c) AS c, sum(l.m) AS m
          FROM line l WHERE l.side = 0
    ), candidate AS (
        SELECT CASE WHEN l.silent THEN 0 ELSE 1 END AS rank, l.side, l.name,
               l.n::bigint AS n, l.rest::bigint AS rest, l.c::bigint AS c,
               l.m::bigint AS m
          FROM line l WHERE l.n > 1
        UNION ALL
        SELECT 2, l.side, l.site, sum(l.n), sum(l.rest), sum(l.c), sum(l.m)
          FROM line l WHERE l.site IS NOT NULL GROUP BY l.side, l.site
        UNION ALL
        SELECT 3, l.side, l.grp, sum(l.n), sum(l.rest), sum(l.c), sum(l.m)
          FROM line l WHERE l.grp IS NOT NULL GROUP BY l.side, l.grp
        UNION ALL
        SELECT 4, 0, 'mesh', w.n, w.rest, w.c, w.m FROM whole w
    )
    SELECT x.rank, x.side, x.name, x.c, x.m
      FROM candidate x, whole w
     -- 60 % of its cells, and of those that nothing explains yet: else a row
     -- through six dead columns of ten would be a cause of the seventh cell
     WHERE x.n > 1 AND 5 * x.c >= 3 * x.m AND 5 * x.n >= 3 * x.rest
       -- a site or group that is everyone is the mesh
       AND (x.rank NOT IN (2, 3) OR x.m < w.m)
     ORDER BY x.n * (x.c::float8 / x.m) DESC, x.rank, x.side, x.name
     LIMIT 1;
END;
COMMENT ON FUNCTION twmesh.incident_best(text[], text[], text[], boolean[],
    integer[], integer[], integer[], integer[]) IS
    'For incident_now(): the candidate that explains most, from arrays over incident_line(): n critical and rest measurable cells that nothing explains yet, c and of_cells the same of all. rank: 0 silent node, 1 node, 2 site, 3 group, 4 mesh.';

CREATE FUNCTION twmesh.incident_now(the_class text DEFAULT NULL)
RETURNS TABLE (kind text, name text, since timestamptz, cells integer,
               of_cells integer, confidence real, sentence text)
LANGUAGE plpgsql STABLE
AS $$
#variable_conflict use_column
DECLARE
    most_causes CONSTANT integer := 50;
    most_single CONSTANT integer := 20;
    id CONSTANT integer := twmesh.matrix_class(the_class);
    names text[]; sites text[]; groups text[]; mute boolean[];
    mask bigint[]; hub bigint[]; usable boolean[]; generations integer[];
    n integer[]; rest integer[]; c integer[]; m integer[];
    srcs integer[]; dsts integer[]; at timestamptz[]; -- of the critical cells
    first_edge integer[]; other integer[]; -- by line; then `at` is, too
    covered boolean[];
    fresh integer[]; -- lines that the newest cause covers
    half integer; k integer; i integer; j integer;
    best record;
BEGIN
    SELECT array_agg(l.name ORDER BY l.line), array_agg(l.site ORDER BY l.line),
           array_agg(l.group_name ORDER BY l.line),
           array_agg(l.silent ORDER BY l.line),
           array_agg(l.mesh_mask ORDER BY l.line),
           array_agg(l.hub_mask ORDER BY l.line),
           array_agg(l.usable ORDER BY l.line),
           array_agg(l.generation ORDER BY l.line),
           array_agg(l.of_cells ORDER BY l.line), count(*) / 2
      INTO names, sites, groups, mute, mask, hub, usable,
           generations, m, half
      FROM twmesh.incident_line(id) l;
    IF half = 0 THEN
        RETURN;
    END IF;

    -- Counts first: when it is the whole mesh, nothing else needs a million
    -- cells. Lines are looked up in arrays, and the cells are an array too:
    -- the planner knows nothing of their number and would choose badly.
    WITH x AS MATERIALIZED (
        SELECT * FROM twmesh.critical_cell WHERE class_id = id
    ), cell AS MATERIALIZED (
        SELECT x.slot AS d, half + s.slot AS s, x.since
          FROM x
          JOIN twmesh.node s ON s.node_id = x.src_id AND s.removed_at IS NULL
         WHERE x.slot <= half AND s.slot <= half
           AND usable[x.slot] AND usable[half + s.slot]
           AND generations[x.slot] = x.dst_generation
           AND mask[x.slot] & mask[s.slot] & (hub[x.slot] | hub[s.slot]) <> 0
    ), per_line AS (
        SELECT d AS line, count(*)::integer AS n FROM cell GROUP BY d
        UNION ALL SELECT s, count(*)::integer FROM cell GROUP BY s
    )
    SELECT (SELECT array_agg(coalesce(p.n, 0) ORDER BY g)
              FROM generate_series(1, 2 * half) g
              LEFT JOIN per_line p ON p.line = g),
           array_agg(x.d), array_agg(x.s), array_agg(x.since), min(x.since)
      INTO c, dsts, srcs, at, since
      FROM cell x;
    IF dsts IS NULL THEN
        RETURN;
    END IF;
    SELECT * INTO best FROM twmesh.incident_best(names, sites, groups, mute,
        c, m, c, m);
    IF best.rank = 4 THEN
        kind := 'mesh';
        name := 'mesh';
        cells := best.critical;
        of_cells := best.measured;
        confidence := best.critical::float8 / best.measured;
        sentence := twmesh.incident_text(kind, name, cells, of_cells);
        RETURN NEXT;
        RETURN;
    END IF;

    -- Every critical cell twice: in its column and in its row.
    WITH edge AS MATERIALIZED (
        SELECT d AS a, s AS b, since FROM unnest(dsts, srcs, at) u (d, s, since)
        UNION ALL
        SELECT s, d, since FROM unnest(dsts, srcs, at) u (d, s, since)
    )
    SELECT array_agg(e.b), array_agg(e.since)
      INTO other, at
      FROM (SELECT * FROM edge ORDER BY a) e;
    first_edge := ARRAY(SELECT (1 + sum(u.n) OVER (ORDER BY u.line) - u.n)
                          ::integer FROM unnest(c) WITH ORDINALITY AS u (n, line)
                         ORDER BY u.line);
    n := c;
    rest := m;
    covered := array_fill(false, ARRAY[2 * half]);

    FOR round IN 1..most_causes LOOP
        SELECT * INTO best FROM twmesh.incident_best(names, sites, groups,
            mute, n, rest, c, m);
        EXIT WHEN best.rank IS NULL;
        fresh := ARRAY(SELECT u.line::integer
                         FROM unnest(names, sites, groups, covered, m)
                              WITH ORDINALITY
                              AS u (name, site, grp, covered, m, line)
                        WHERE NOT u.covered AND u.m > 0
                          AND (u.line > half)::integer = best.side
                          AND CASE best.rank WHEN 2 THEN u.site = best.label
                              WHEN 3 THEN u.grp = best.label
                              WHEN 4 THEN true
                              ELSE u.name = best.label END);
        cells := 0;
        since := NULL;
        FOREACH i IN ARRAY fresh LOOP
            FOR k IN first_edge[i]..first_edge[i] + c[i] - 1 LOOP
                j := other[k];
                CONTINUE WHEN covered[j];
                n[j] := n[j] - 1;
                cells := cells + 1;
                IF since IS NULL OR at[k] < since THEN
                    since := at[k];
                END IF;
            END LOOP;
            covered[i] := true;
            n[i] := 0;
        END LOOP;
        -- What the crossing lines can still be measured by.
        rest := ARRAY(SELECT CASE WHEN u.covered OR u.m = 0 THEN 0
                WHEN (u.line > half)::integer = best.side THEN u.rest
                ELSE u.rest - (SELECT count(*)::integer FROM unnest(fresh) f
                     WHERE (f - 1) % half <> (u.line - 1) % half
                       AND mask[f] & u.of_mask & (hub[f] | u.of_hub) <> 0) END
            FROM unnest(rest, covered, mask, hub, m) WITH ORDINALITY
                 AS u (rest, covered, of_mask, of_hub, m, line)
           ORDER BY u.line);
        kind := CASE best.rank WHEN 0 THEN 'silent' WHEN 4 THEN 'mesh'
            ELSE CASE best.rank WHEN 2 THEN 'site_' WHEN 3 THEN 'group_'
                 ELSE '' END || CASE best.side WHEN 0 THEN 'receiver'
                 ELSE 'sender' END END;
        name := best.label;
        of_cells := best.measured;
        confidence := best.critical::float8 / best.measured;
        sentence := twmesh.incident_text(kind, name, cells, of_cells);
        RETURN NEXT;
    END LOOP;

    -- What is left, the oldest by themselves.
    RETURN QUERY
    WITH alone AS (
        SELECT row_number() OVER (ORDER BY e.since, e.b, l.line) AS i,
               e.b AS src, l.line AS dst, e.since
          FROM unnest(n, first_edge, c) WITH ORDINALITY
               AS l (n, first_edge, c, line)
         CROSS JOIN LATERAL unnest(
               other[l.first_edge:l.first_edge + l.c - 1],
               at[l.first_edge:l.first_edge + l.c - 1]) AS e (b, since)
         WHERE l.line <= half AND l.n > 0 AND NOT covered[e.b]
    ), told AS (
        SELECT CASE WHEN a.i <= most_single THEN 'direction'
                    ELSE 'others' END AS kind,
               -- 100,000 subscripts of a text array take a second
               CASE WHEN a.i <= most_single
                    THEN names[a.src] || '→' || names[a.dst]
                    ELSE 'others' END AS name,
               min(a.since) AS since, count(*)::integer AS cells, min(a.i) AS i
          FROM alone a GROUP BY 1, 2
    )
    SELECT t.kind, t.name, t.since, t.cells,
           CASE t.kind WHEN 'direction' THEN 1 END,
           CASE t.kind WHEN 'direction' THEN 1::real END,
           twmesh.incident_text(t.kind, t.name, t.cells, NULL)
      FROM told t ORDER BY t.i;
END $$;
COMMENT ON FUNCTION twmesh.incident_now(text) IS
    'What explains the critical directions of a class (NULL: the first) now, most first: kind silent (a node without contact: the directions to it), receiver, sender, site_receiver, site_sender, group_receiver, group_sender or mesh, each with at least two critical directions that nothing before it explains, and 60 % of those that can be measured critical; then direction (single ones, at most 20, the oldest) and others. since: the earliest of its directions. cells: the directions it explains; their sum is the number of critical ones. of_cells: those of its set that can be measured. confidence: the share of them that is critical, 0 to 1. of_cells and confidence NULL: others.';

-- What was ----------------------------------------------------------------

CREATE TABLE twmesh.incident (
    incident_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    class_id    integer NOT NULL REFERENCES twmesh.class,
    kind        text NOT NULL CHECK (kind IN ('silent', 'receiver', 'sender',
                'site_receiver', 'site_sender', 'group_receiver',
                'group_sender', 'mesh', 'direction', 'others')),
    name        text NOT NULL,
    started_at  timestamptz NOT NULL,
    ended_at    timestamptz,
    cells       integer NOT NULL,
    cells_max   integer NOT NULL,
    of_cells    integer,
    confidence  real,
    sentence    text NOT NULL,
    noticed_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL
);
CREATE UNIQUE INDEX incident_open ON twmesh.incident (class_id, kind, name)
    WHERE ended_at IS NULL;
CREATE INDEX incident_ended ON twmesh.incident (ended_at);
COMMENT ON TABLE twmesh.incident IS
    'Incidents: what explains critical directions, from when to when. The keeper looks every 5 s; kept for 400 days. What is seen again within 15 s is the same one.';
DO $$
DECLARE
    d text[];
BEGIN
    FOREACH d SLICE 1 IN ARRAY ARRAY[
        ['incident_id', 'Never used again.'],
        ['class_id', 'Class (version).'],
        ['kind', 'silent (a node without contact: the directions to it), receiver, sender (a node), site_receiver, site_sender, group_receiver, group_sender, mesh, direction (a single one), others (single ones beyond 20).'],
        ['name', 'Of the node, site or group; ams1→fra1 of a direction; mesh and others as the kind.'],
        ['started_at', 'The earliest instant since when one of its directions is critical (the source''s clock), but no later than noticed_at.'],
        ['ended_at', 'When it was seen for the last time (database clock). NULL: it lasts, or was seen less than 15 s ago.'],
        ['cells', 'Critical directions that it explains and nothing before it does. 0: not seen the last time, about to end. Once it has ended: the last number seen.'],
        ['cells_max', 'The largest of these numbers.'],
        ['of_cells', 'Directions of its set that could be measured when it was last seen. NULL: others.'],
        ['confidence', 'Share of them that was critical, 0.6 to 1; 1 of a direction. NULL: others.'],
        ['sentence', 'The same in words, without instants.'],
        ['noticed_at', 'When it was seen first (database clock).'],
        ['updated_at', 'When it was seen last (database clock).']]
    LOOP
        EXECUTE format('COMMENT ON COLUMN twmesh.incident.%I IS %L', d[1], d[2]);
    END LOOP;
END $$;

CREATE FUNCTION twmesh_private.note_incidents() RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    k record;
    look CONSTANT timestamptz := statement_timestamp();
BEGIN
    FOR k IN SELECT class_id, name FROM twmesh.class
              WHERE retired_at IS NULL ORDER BY class_id LOOP
        INSERT INTO twmesh.incident AS i (class_id, kind, name, started_at,
               cells, cells_max, of_cells, confidence, sentence, noticed_at,
               updated_at)
        SELECT k.class_id, x.kind, x.name, least(x.since, look), x.cells,
               x.cells, x.of_cells, x.confidence, x.sentence, look, look
          FROM twmesh.incident_now(k.name) x
            ON CONFLICT (class_id, kind, name) WHERE ended_at IS NULL
            DO UPDATE SET cells = excluded.cells,
               cells_max = greatest(i.cells_max, excluded.cells),
               of_cells = excluded.of_cells, confidence = excluded.confidence,
               sentence = excluded.sentence, updated_at = look,
               started_at = least(i.started_at, excluded.started_at);
    END LOOP;
    UPDATE twmesh.incident SET ended_at = updated_at
     WHERE ended_at IS NULL AND updated_at < look - interval '15 s';
    UPDATE twmesh.incident SET cells = 0
     WHERE ended_at IS NULL AND updated_at < look AND cells > 0;
END $$;
COMMENT ON FUNCTION twmesh_private.note_incidents() IS
    'Looks for incidents of every class that runs: opens, goes on with and ends rows of twmesh.incident. The keeper calls it every 5 s.';

CREATE OR REPLACE FUNCTION twmesh_private.forget_changes(most integer)
RETURNS boolean
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
    gone := greatest(gone, n);
    DELETE FROM twmesh.incident WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM twmesh.incident
         WHERE ended_at < now() - interval '400 days' LIMIT most));
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN greatest(gone, n) >= most;
END $$;
COMMENT ON FUNCTION twmesh_private.forget_changes(integer) IS
    'Deletes at most so many changes of states, and incidents, that are older than 400 days; true: there may be more.';

-- In words ----------------------------------------------------------------

CREATE FUNCTION twmesh.incident_sentence(the_class text DEFAULT NULL)
RETURNS text
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    id CONSTANT integer := twmesh.matrix_class(the_class);
    total bigint;
    head text;
    causes text[];
    single text[];
    cause_n bigint;
    more bigint;
    single_n bigint;
BEGIN
    SELECT 'no controller has been alive' || coalesce(' since '
           || twmesh.utc_text(max(coalesce(stopped_at, alive_at))), '')
           || ': critical directions are not known' INTO head
      FROM twmesh.controller_status HAVING NOT coalesce(bool_or(alive), false);
    IF head IS NOT NULL THEN
        RETURN head;
    END IF;
    WITH o AS (
        SELECT i.*, i.kind NOT IN ('direction', 'others') AS cause,
               row_number() OVER (PARTITION BY i.kind IN ('direction',
                   'others') ORDER BY i.kind = 'others', i.cells DESC,
                   i.started_at, i.name) AS place,
               ' since ' || twmesh.utc_text(i.started_at) AS since
          FROM twmesh.incident i
         WHERE i.class_id = id AND i.ended_at IS NULL AND i.cells > 0
    )
    SELECT coalesce(sum(cells), 0),
           array_agg(cells || CASE place WHEN 1 THEN ' explained by '
                         ELSE ' by ' END
                     || twmesh.incident_cause(kind, name) || since
                     ORDER BY place) FILTER (WHERE cause AND place <= 4),
           coalesce(sum(cells) FILTER (WHERE cause AND place > 4), 0),
           count(*) FILTER (WHERE cause AND place > 4),
           array_agg(name || since ORDER BY place)
               FILTER (WHERE kind = 'direction' AND place <= 3),
           coalesce(sum(cells) FILTER (WHERE NOT cause), 0)
      INTO total, causes, more, cause_n, single, single_n
      FROM o;
    IF total = 0 THEN
        RETURN 'no critical directions';
    END IF;
    IF cause_n > 0 THEN
        causes := causes || (more || ' by ' || cause_n || ' more');
    END IF;
    IF single_n > 0 THEN
        single := single || CASE WHEN single_n > cardinality(single)
            THEN ARRAY['and ' || single_n - cardinality(single) || ' more']
            ELSE '{}' END;
        causes := causes || (CASE WHEN causes IS NULL THEN ''
            WHEN single_n = 1 THEN '1 other: '
            ELSE single_n || ' others: ' END
            || array_to_string(single, ', '));
    END IF;
    RETURN total || CASE total WHEN 1 THEN ' critical direction: '
        ELSE ' critical directions: ' END || array_to_string(causes, ', ');
END $$;
COMMENT ON FUNCTION twmesh.incident_sentence(text) IS
    'All open incidents of a class (NULL: the first) in one sentence, as of the keeper''s last look (every 5 s).';

CREATE FUNCTION twmesh.api_incidents(the_class text DEFAULT NULL,
    since timestamptz DEFAULT NULL, most integer DEFAULT NULL) RETURNS json
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    start timestamptz := coalesce(since,
        statement_timestamp() - interval '1 day');
    n integer := least(greatest(coalesce(most, 100), 1), 1000);
    found json;
    total bigint;
BEGIN
    IF the_class IS NOT NULL AND NOT EXISTS (
            SELECT FROM twmesh.class WHERE name = the_class) THEN
        RETURN NULL;
    END IF;
    SELECT coalesce(json_agg(json_build_object('incident', x.incident_id,
               'class', x.class, 'kind', x.kind, 'name', x.name,
               'started_at', twmesh.iso_utc(x.started_at),
               'ended_at', twmesh.iso_utc(x.ended_at), 'cells', x.cells,
               'cells_max', x.cells_max, 'of_cells', x.of_cells,
               'confidence', x.confidence, 'sentence', x.sentence)
               ORDER BY x.place) FILTER (WHERE x.place <= n), '[]'), count(*)
      INTO found, total
      FROM (SELECT i.*, k.name::text AS class, row_number() OVER (
                   ORDER BY i.ended_at IS NULL DESC, i.started_at DESC,
                            i.cells DESC, i.incident_id) AS place
              FROM twmesh.incident i
              JOIN twmesh.class k ON k.class_id = i.class_id
             WHERE (i.ended_at IS NULL OR i.ended_at >= start)
               AND (the_class IS NULL OR k.name = the_class)
             ORDER BY place LIMIT n + 1) x;
    RETURN json_build_object(
        'at', twmesh.iso_utc(statement_timestamp()),
        'since', twmesh.iso_utc(start), 'limit', n, 'more', total > n,
        'classes', (SELECT coalesce(json_agg(json_build_object(
                'class', k.name, 'sentence', twmesh.incident_sentence(k.name))
                ORDER BY k.class_id), '[]') FROM twmesh.class k
             WHERE k.retired_at IS NULL
               AND (the_class IS NULL OR k.name = the_class)),
        'incidents', found);
END $$;
COMMENT ON FUNCTION twmesh.api_incidents(text, timestamptz, integer) IS
    'GET /api/v1/incidents: those that last, then those that ended since (default: a day ago), newest first, with the sentence of each class that runs. NULL for an unknown class.';

-- Rights, as in 0004 ------------------------------------------------------

REVOKE ALL ON FUNCTION twmesh_private.note_incidents() FROM PUBLIC;
DO $$
DECLARE
    o text;
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'twmesh_reader') THEN
        -- 0010 forgot its two views.
        GRANT SELECT ON twmesh.incident, twmesh.critical_cell,
            twmesh.matrix_row, twmesh.matrix_window TO twmesh_reader;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'twmesh_writer') THEN
        GRANT SELECT ON twmesh.critical_cell, twmesh.matrix_row,
            twmesh.matrix_window TO twmesh_writer;
        GRANT SELECT, INSERT, UPDATE, DELETE ON twmesh.incident
            TO twmesh_writer;
        GRANT EXECUTE ON FUNCTION twmesh_private.note_incidents()
            TO twmesh_writer;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'twmesh_owner')
       AND pg_get_userbyid((SELECT nspowner FROM pg_namespace
                             WHERE nspname = 'twmesh')) = 'twmesh_owner' THEN
        FOREACH o IN ARRAY ARRAY['TABLE twmesh.incident',
            'VIEW twmesh.critical_cell',
            'FUNCTION twmesh.incident_node(integer)',
            'FUNCTION twmesh.incident_line(integer)',
            'FUNCTION twmesh.incident_cause(text, text)',
            'FUNCTION twmesh.incident_text(text, text, integer, integer)',
            'FUNCTION twmesh.incident_best(text[], text[], text[], boolean[], integer[], integer[], integer[], integer[])',
            'FUNCTION twmesh.incident_now(text)',
            'FUNCTION twmesh_private.note_incidents()',
            'FUNCTION twmesh.incident_sentence(text)',
            'FUNCTION twmesh.api_incidents(text, timestamptz, integer)']
        LOOP
            EXECUTE format('ALTER %s OWNER TO twmesh_owner', o);
        END LOOP;
    END IF;
END $$;
