-- SPDX-License-Identifier: BSD-2-Clause
--
-- The mesh file (docs/SCHEMA.md, twmesh(1)): sites, nodes, targets, classes with
-- thresholds, and meshes as an operator applied them; and maintenance.
--
-- A mesh is a bit. Nodes and classes carry a mask of the meshes they are in, so
-- that whether a pair is planned is two ANDs and an OR per cell, here as in the
-- roster that nodes get. Without a mesh file all masks are 1: one full mesh.

ALTER TABLE twmesh.site
    ADD group_name twmesh.name,
    ADD planned boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN twmesh.site.group_name IS
    'Group of its nodes that name none of their own (mesh file). NULL: none.';
COMMENT ON COLUMN twmesh.site.planned IS
    'It is in the mesh file that is in force.';

ALTER TABLE twmesh.node
    ADD kind text NOT NULL DEFAULT 'node' CHECK (kind IN ('node', 'target')),
    ADD protocol text CHECK (protocol IN ('stamp', 'light')),
    ADD group_name twmesh.name,
    ADD mesh_mask bigint NOT NULL DEFAULT 1,
    ADD hub_mask bigint NOT NULL DEFAULT 1,
    ADD CHECK ((kind = 'target') = (protocol IS NOT NULL));
COMMENT ON COLUMN twmesh.node.kind IS
    'node: a host that runs twmesh; target: a reflector that someone else runs, measured but not measuring.';
COMMENT ON COLUMN twmesh.node.protocol IS
    'Of a target: stamp (RFC 8762, without TLVs) or light (TWAMP Light, RFC 5357). NULL: a node.';
COMMENT ON COLUMN twmesh.node.group_name IS
    'Its group in the mesh file, its own or its site''s. NULL: none.';
COMMENT ON COLUMN twmesh.node.mesh_mask IS
    'Bit twmesh.mesh.bit is set: it is in that mesh. 0: in none. 1 without a mesh file.';
COMMENT ON COLUMN twmesh.node.hub_mask IS
    'The same, where it measures and is measured by every other member.';

ALTER TABLE twmesh.class
    ADD interval_auto boolean NOT NULL DEFAULT false,
    ADD mesh_mask bigint NOT NULL DEFAULT 1,
    ADD hysteresis integer NOT NULL DEFAULT 2 CHECK (hysteresis BETWEEN 1 AND 100);
COMMENT ON COLUMN twmesh.class.interval_auto IS
    'interval_ms follows the number of nodes: 10 s up to 50, 60 s above.';
COMMENT ON COLUMN twmesh.class.mesh_mask IS
    'Bit twmesh.mesh.bit is set: it runs in that mesh. 1 without a mesh file.';
COMMENT ON COLUMN twmesh.class.hysteresis IS
    'Intervals in a row over a threshold (twmesh.class_threshold), or below all, that change a state.';

CREATE TABLE twmesh.mesh_file (
    epoch      bigint PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now(),
    applied_by text NOT NULL,
    content    text NOT NULL
);
COMMENT ON TABLE twmesh.mesh_file IS
    'Mesh files as they were applied; the one of the highest epoch is in force. None: the classes of the controllers'' configuration run between all nodes.';
COMMENT ON COLUMN twmesh.mesh_file.epoch IS
    'The epoch (twmesh.epoch) that it made.';
COMMENT ON COLUMN twmesh.mesh_file.applied_at IS 'When.';
COMMENT ON COLUMN twmesh.mesh_file.applied_by IS
    'User, as twmesh apply told. Text from outside.';
COMMENT ON COLUMN twmesh.mesh_file.content IS
    'The file with every default written out, without comments.';

CREATE TABLE twmesh.planned_node (
    name       twmesh.name PRIMARY KEY,
    kind       text NOT NULL CHECK (kind IN ('node', 'target')),
    protocol   text CHECK (protocol IN ('stamp', 'light')),
    address    inet,
    port       integer CHECK (port BETWEEN 1 AND 65535),
    site       twmesh.name,
    group_name twmesh.name,
    CHECK ((kind = 'target') = (protocol IS NOT NULL)
       AND (kind = 'target') = (address IS NOT NULL)
       AND (kind = 'target') = (port IS NOT NULL))
);
COMMENT ON TABLE twmesh.planned_node IS
    'What the mesh file in force says of names, whoever holds them. Empty without a mesh file.';
COMMENT ON COLUMN twmesh.planned_node.name IS 'Of a node or target.';
COMMENT ON COLUMN twmesh.planned_node.kind IS 'As twmesh.node.kind.';
COMMENT ON COLUMN twmesh.planned_node.protocol IS 'As twmesh.node.protocol.';
COMMENT ON COLUMN twmesh.planned_node.address IS
    'Where the target is. NULL: a node, which says that itself.';
COMMENT ON COLUMN twmesh.planned_node.port IS
    'UDP port of the target. NULL: a node.';
COMMENT ON COLUMN twmesh.planned_node.site IS
    'Name of its site. NULL: what the node itself says.';
COMMENT ON COLUMN twmesh.planned_node.group_name IS
    'Its own group, else its site''s. NULL: none.';

CREATE TABLE twmesh.mesh (
    mesh_id    integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       twmesh.name NOT NULL UNIQUE,
    type       text NOT NULL CHECK (type IN ('full', 'hub')),
    bit        smallint NOT NULL UNIQUE CHECK (bit BETWEEN 0 AND 61),
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE twmesh.mesh IS
    'Meshes of the mesh file in force: who measures whom. Empty without one (everyone everyone).';
COMMENT ON COLUMN twmesh.mesh.mesh_id IS 'Never reused.';
COMMENT ON COLUMN twmesh.mesh.name IS 'Unique.';
COMMENT ON COLUMN twmesh.mesh.type IS
    'full: every node every other member; hub: only pairs of which one is a hub.';
COMMENT ON COLUMN twmesh.mesh.bit IS
    'Its bit in mesh_mask and hub_mask of node and class; a mesh keeps it.';
COMMENT ON COLUMN twmesh.mesh.created_at IS 'When it was first applied.';

CREATE TABLE twmesh.mesh_member (
    mesh_id integer NOT NULL REFERENCES twmesh.mesh ON DELETE CASCADE,
    name    twmesh.name NOT NULL,
    hub     boolean NOT NULL,
    PRIMARY KEY (mesh_id, name)
);
CREATE INDEX mesh_member_name ON twmesh.mesh_member (name);
COMMENT ON TABLE twmesh.mesh_member IS
    'Members of meshes, groups and sites resolved.';
COMMENT ON COLUMN twmesh.mesh_member.mesh_id IS 'Of which mesh.';
COMMENT ON COLUMN twmesh.mesh_member.name IS 'Name of a node or target.';
COMMENT ON COLUMN twmesh.mesh_member.hub IS
    'It has sessions with every other member; always true in a full mesh.';

CREATE TABLE twmesh.mesh_class (
    mesh_id integer NOT NULL REFERENCES twmesh.mesh ON DELETE CASCADE,
    class   twmesh.name NOT NULL,
    PRIMARY KEY (mesh_id, class)
);
COMMENT ON TABLE twmesh.mesh_class IS 'Classes that run in a mesh.';
COMMENT ON COLUMN twmesh.mesh_class.mesh_id IS 'In which mesh.';
COMMENT ON COLUMN twmesh.mesh_class.class IS 'Name of the class.';

CREATE TABLE twmesh.class_threshold (
    class_id integer NOT NULL REFERENCES twmesh.class,
    level    text NOT NULL CHECK (level IN ('warn', 'crit')),
    metric   text NOT NULL
             CHECK (metric IN ('loss_pct', 'rtt_ms', 'jitter_ms', 'delay_ms')),
    over     text NOT NULL
             CHECK (over IN ('value', 'floor plus', 'floor times')),
    value    double precision NOT NULL CHECK (value > 0),
    PRIMARY KEY (class_id, level, metric),
    CHECK (metric <> 'loss_pct' OR over = 'value')
);
COMMENT ON TABLE twmesh.class_threshold IS
    'Thresholds of classes, from the mesh file; those of retired versions stay as they were.';
COMMENT ON COLUMN twmesh.class_threshold.class_id IS 'Version of the class.';
COMMENT ON COLUMN twmesh.class_threshold.level IS 'State over it: warn or crit.';
COMMENT ON COLUMN twmesh.class_threshold.metric IS
    'Column of path_matrix that is compared.';
COMMENT ON COLUMN twmesh.class_threshold.over IS
    'value: over the value; floor plus, floor times: over the path''s own median of 7 days plus, or times, the value.';
COMMENT ON COLUMN twmesh.class_threshold.value IS
    'Per cent (loss_pct), milliseconds, or a factor (floor times).';

CREATE TABLE twmesh.maintenance (
    maintenance_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node_id  integer NOT NULL REFERENCES twmesh.node,
    began_at timestamptz NOT NULL DEFAULT now(),
    until_at timestamptz,
    ended_at timestamptz,
    reason   text NOT NULL,
    set_by   text NOT NULL
);
CREATE INDEX maintenance_node_key ON twmesh.maintenance (node_id)
    WHERE ended_at IS NULL;
COMMENT ON TABLE twmesh.maintenance IS
    'Maintenance of nodes and targets (twmesh node maintenance); those that ended stay.';
COMMENT ON COLUMN twmesh.maintenance.maintenance_id IS 'In order of beginning.';
COMMENT ON COLUMN twmesh.maintenance.node_id IS 'Whose.';
COMMENT ON COLUMN twmesh.maintenance.began_at IS 'When it was switched on.';
COMMENT ON COLUMN twmesh.maintenance.until_at IS
    'It ends by itself then. NULL: when it is switched off.';
COMMENT ON COLUMN twmesh.maintenance.ended_at IS
    'Switched off, or replaced by another. NULL: not (it may be over by until_at).';
COMMENT ON COLUMN twmesh.maintenance.reason IS
    'Text of the operator; empty: none given.';
COMMENT ON COLUMN twmesh.maintenance.set_by IS
    'User, as the command told. Text from outside.';

-- Applying ----------------------------------------------------------------

-- All but classes (which the controller versions) and thresholds. The document
-- was checked by lib/svc/meshfile.c; constraints stand behind it.
CREATE FUNCTION twmesh_private.apply_mesh_file(doc jsonb) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    UPDATE twmesh.site SET planned = false, group_name = NULL
     WHERE planned AND name::text NOT IN (
           SELECT s->>'name' FROM jsonb_array_elements(doc->'sites') s);
    INSERT INTO twmesh.site AS t (name, latitude, longitude, group_name, planned)
    SELECT x.name, x.latitude, x.longitude, x.group_name, true
      FROM jsonb_to_recordset(doc->'sites') AS x (name text,
           latitude double precision, longitude double precision,
           group_name text)
        ON CONFLICT (name) DO UPDATE SET latitude = excluded.latitude,
           longitude = excluded.longitude, group_name = excluded.group_name,
           planned = true
     WHERE (t.latitude, t.longitude, t.group_name, t.planned)
           IS DISTINCT FROM (excluded.latitude, excluded.longitude,
                             excluded.group_name, true);
    DELETE FROM twmesh.planned_node;
    INSERT INTO twmesh.planned_node
           (name, kind, protocol, address, port, site, group_name)
    SELECT x.name, x.kind, x.protocol, x.address, x.port, x.site, x.group_name
      FROM jsonb_to_recordset(doc->'nodes') AS x (name text, kind text,
           protocol text, address inet, port integer, site text,
           group_name text);
    -- A mesh that stays keeps its bit, a new one gets the lowest that is free.
    DELETE FROM twmesh.mesh WHERE name::text NOT IN (
           SELECT m->>'name' FROM jsonb_array_elements(doc->'meshes') m);
    UPDATE twmesh.mesh t SET type = m->>'type'
      FROM jsonb_array_elements(doc->'meshes') m
     WHERE t.name::text = m->>'name' AND t.type <> m->>'type';
    INSERT INTO twmesh.mesh (name, type, bit)
    SELECT n.name, n.type, f.bit
      FROM (SELECT m->>'name' AS name, m->>'type' AS type,
                   row_number() OVER (ORDER BY ord) AS i
              FROM jsonb_array_elements(doc->'meshes')
                   WITH ORDINALITY AS e (m, ord)
             WHERE NOT EXISTS (SELECT FROM twmesh.mesh t
                                WHERE t.name::text = m->>'name')) n
      JOIN (SELECT g AS bit, row_number() OVER (ORDER BY g) AS i
              FROM generate_series(0, 61) g
             WHERE NOT EXISTS (SELECT FROM twmesh.mesh t WHERE t.bit = g)
           ) f USING (i);
    DELETE FROM twmesh.mesh_member;
    INSERT INTO twmesh.mesh_member (mesh_id, name, hub)
    SELECT t.mesh_id, x.name, x.hub
      FROM jsonb_array_elements(doc->'meshes') m
      JOIN twmesh.mesh t ON t.name::text = m->>'name',
           jsonb_to_recordset(m->'members') AS x (name text, hub boolean);
    DELETE FROM twmesh.mesh_class;
    INSERT INTO twmesh.mesh_class (mesh_id, class)
    SELECT t.mesh_id, c
      FROM jsonb_array_elements(doc->'meshes') m
      JOIN twmesh.mesh t ON t.name::text = m->>'name',
           jsonb_array_elements_text(m->'classes') c;
END $$;
COMMENT ON FUNCTION twmesh_private.apply_mesh_file(jsonb) IS
    'Puts sites, planned nodes and meshes of a mesh file in place of those in force.';

-- Thresholds of the running versions.
CREATE FUNCTION twmesh_private.apply_thresholds(doc jsonb) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    DELETE FROM twmesh.class_threshold t USING twmesh.class c
     WHERE c.class_id = t.class_id AND c.retired_at IS NULL;
    INSERT INTO twmesh.class_threshold (class_id, level, metric, over, value)
    SELECT c.class_id, x.level, x.metric, x.over, x.value
      FROM jsonb_to_recordset(doc->'thresholds') AS x (class text, level text,
           metric text, over text, value double precision)
      JOIN twmesh.class c ON c.name::text = x.class AND c.retired_at IS NULL;
    UPDATE twmesh.class c SET hysteresis = x.hysteresis
      FROM jsonb_to_recordset(doc->'classes')
           AS x (name text, hysteresis integer)
     WHERE c.name::text = x.name AND c.retired_at IS NULL
       AND c.hysteresis <> x.hysteresis;
END $$;
COMMENT ON FUNCTION twmesh_private.apply_thresholds(jsonb) IS
    'Puts thresholds and hysteresis of a mesh file''s classes in place of those in force.';

CREATE FUNCTION twmesh_private.plan_roster() RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    IF EXISTS (SELECT FROM twmesh.mesh_file) THEN
        -- Targets that are named no more, and names that nobody ever took.
        WITH gone AS (
            UPDATE twmesh.node n SET removed_at = now()
             WHERE n.removed_at IS NULL
               AND (n.kind = 'target' OR NOT EXISTS (
                    SELECT FROM twmesh_private.node_key k
                     WHERE k.node_id = n.node_id))
               AND NOT EXISTS (SELECT FROM twmesh.planned_node p
                                WHERE p.name = n.name AND p.kind = n.kind)
            RETURNING n.node_id)
        DELETE FROM twmesh_private.path_state s USING gone
         WHERE s.src_id = gone.node_id;
        -- Names without a node: in the matrix from now on.
        WITH want AS (
            SELECT p.name, p.kind, p.protocol,
                   row_number() OVER (ORDER BY p.name) AS i
              FROM twmesh.planned_node p
             WHERE NOT EXISTS (SELECT FROM twmesh.node n
                                WHERE n.name = p.name
                                  AND n.removed_at IS NULL)
        ), free AS (
            SELECT s, row_number() OVER (ORDER BY s) AS i
              FROM generate_series(1, 4096) s
             WHERE EXISTS (SELECT FROM want) AND NOT EXISTS (
                   SELECT FROM twmesh.node n
                    WHERE n.slot = s AND n.removed_at IS NULL)
        ), made AS (
            INSERT INTO twmesh.node
                   (name, kind, protocol, slot, slot_generation)
            SELECT w.name, w.kind, w.protocol, f.s,
                   coalesce((SELECT max(n.slot_generation) FROM twmesh.node n
                              WHERE n.slot = f.s), 0) + 1
              FROM want w JOIN free f USING (i)
            RETURNING node_id)
        INSERT INTO twmesh_private.node_live (node_id)
        SELECT node_id FROM made;
        -- What the file says of each name.
        UPDATE twmesh.node n
           SET site_id = w.site_id, group_name = w.group_name,
               protocol = w.protocol, addresses = w.addresses,
               reflector_port = w.port
          FROM (SELECT o.node_id, coalesce(s.site_id, o.site_id) AS site_id,
                       p.group_name, p.protocol,
                       CASE WHEN p.address IS NULL THEN o.addresses
                            ELSE ARRAY[p.address] END AS addresses,
                       coalesce(p.port, o.reflector_port) AS port
                  FROM twmesh.node o
                  LEFT JOIN twmesh.planned_node p ON p.name = o.name
                  LEFT JOIN twmesh.site s ON s.name = p.site
                 WHERE o.removed_at IS NULL) w
         WHERE n.node_id = w.node_id
           AND (n.site_id, n.group_name, n.protocol, n.addresses,
                n.reflector_port) IS DISTINCT FROM (w.site_id, w.group_name,
                w.protocol, w.addresses, w.port);
        -- Who is in which mesh.
        UPDATE twmesh.node n SET mesh_mask = w.mesh_mask, hub_mask = w.hub_mask
          FROM (SELECT o.node_id, coalesce(bit_or(1::bigint << m.bit), 0)
                       AS mesh_mask,
                       coalesce(bit_or(1::bigint << m.bit)
                                FILTER (WHERE b.hub), 0) AS hub_mask
                  FROM twmesh.node o
                  LEFT JOIN twmesh.mesh_member b ON b.name = o.name
                  LEFT JOIN twmesh.mesh m USING (mesh_id)
                 WHERE o.removed_at IS NULL GROUP BY o.node_id) w
         WHERE n.node_id = w.node_id
           AND (n.mesh_mask, n.hub_mask) <> (w.mesh_mask, w.hub_mask);
        UPDATE twmesh.class c SET mesh_mask = w.mesh_mask
          FROM (SELECT o.class_id, coalesce(bit_or(1::bigint << m.bit), 0)
                       AS mesh_mask
                  FROM twmesh.class o
                  LEFT JOIN twmesh.mesh_class b ON b.class = o.name
                  LEFT JOIN twmesh.mesh m USING (mesh_id)
                 WHERE o.retired_at IS NULL GROUP BY o.class_id) w
         WHERE c.class_id = w.class_id AND c.mesh_mask <> w.mesh_mask;
    END IF;
    UPDATE twmesh.class c SET interval_ms = w.ms
      FROM (SELECT CASE WHEN count(*) <= 50 THEN 10000 ELSE 60000 END AS ms
              FROM twmesh.node WHERE removed_at IS NULL) w
     WHERE c.interval_auto AND c.retired_at IS NULL AND c.interval_ms <> w.ms;
    INSERT INTO twmesh_private.path_state (src_id, class_id)
    SELECT n.node_id, c.class_id
      FROM twmesh.node n, twmesh.class c
     WHERE n.removed_at IS NULL AND n.kind = 'node'
       AND c.retired_at IS NULL AND n.mesh_mask & c.mesh_mask <> 0
        ON CONFLICT DO NOTHING;
END $$;
COMMENT ON FUNCTION twmesh_private.plan_roster() IS
    'After every change of nodes, classes or mesh file, in its transaction: rows for planned names and targets, masks, automatic intervals, a state row per source and class.';

-- Views -------------------------------------------------------------------

CREATE OR REPLACE VIEW twmesh.node_status AS
WITH ctl AS MATERIALIZED (
    SELECT coalesce(bool_or(alive), false) AS any_alive,
           max(coalesce(stopped_at, alive_at)) AS last_alive_at
      FROM twmesh.controller_status
), judged AS (
    SELECT n.node_id, n.name, n.site_id, n.slot, n.slot_generation,
           n.addresses, n.unconsented, n.reflector_port, n.software, n.facts,
           n.approved_at, n.kind, n.group_name, n.mesh_mask, l.*,
           ctl.any_alive, ctl.last_alive_at,
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
       CASE WHEN j.kind = 'target' THEN 'target'
            WHEN j.last_seen_at IS NULL THEN 'never'
            WHEN NOT j.any_alive THEN 'stale'
            WHEN j.stopped_at IS NOT NULL THEN 'stopped'
            WHEN j.silent THEN 'stale'
            ELSE 'ok' END AS state,
       CASE WHEN j.kind = 'target' THEN 'measured, does not measure'
            WHEN j.last_seen_at IS NULL AND k.node_id IS NULL
            THEN 'named by the mesh file, has not joined'
            WHEN j.last_seen_at IS NULL THEN 'no contact yet'
            WHEN NOT j.any_alive THEN 'no controller has been alive'
                 || coalesce(' since ' || twmesh.utc_text(j.last_alive_at), '')
            WHEN j.stopped_at IS NOT NULL THEN 'stopped on purpose'
            WHEN j.silent THEN 'no contact since '
                 || twmesh.utc_text(j.last_seen_at)
            WHEN j.mesh_mask = 0 THEN 'in no mesh'
            ELSE '' END AS state_why,
       CASE WHEN j.kind = 'target' OR j.last_seen_at IS NULL THEN j.approved_at
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
       a.audited_at AS clock_audited_at,
       j.kind, j.group_name::text AS group_name,
       ARRAY(SELECT m.name::text FROM twmesh.mesh m
              WHERE j.mesh_mask & (1::bigint << m.bit) <> 0
              ORDER BY m.name) AS meshes,
       t.began_at AS maintenance_since, t.until_at AS maintenance_until,
       t.reason AS maintenance_reason, t.set_by AS maintenance_by
  FROM judged j
  LEFT JOIN twmesh.site s USING (site_id)
  LEFT JOIN twmesh_private.node_key k ON k.node_id = j.node_id
  LEFT JOIN twmesh_private.clock_audit a ON a.node_id = j.node_id
  LEFT JOIN LATERAL (
       SELECT * FROM twmesh.maintenance x
        WHERE x.node_id = j.node_id AND x.ended_at IS NULL
          AND (x.until_at IS NULL OR x.until_at > statement_timestamp())
        ORDER BY x.maintenance_id DESC LIMIT 1) t ON true;
DO $$
DECLARE
    d text[];
BEGIN
    FOREACH d SLICE 1 IN ARRAY ARRAY[
        ['state', 'ok; stale (no contact for 7 s); stopped (on purpose); never (no contact yet); target (a reflector of others: it is measured, and reports nothing).'],
        ['kind', 'node or target.'],
        ['group_name', 'Group by the mesh file. NULL: none.'],
        ['meshes', 'Names of the meshes it is in; empty: none, or no mesh file.'],
        ['maintenance_since', 'Beginning of the maintenance it is in. NULL: in none.'],
        ['maintenance_until', 'When it will end by itself. NULL: not, or in none.'],
        ['maintenance_reason', 'What the operator said; may be empty. NULL: in none.'],
        ['maintenance_by', 'Who switched it on. NULL: in none.']]
    LOOP
        EXECUTE format('COMMENT ON COLUMN twmesh.node_status.%I IS %L', d[1], d[2]);
    END LOOP;
END $$;

-- The cells that know of it: 0013.

DO $$
DECLARE
    v text;
BEGIN
    FOREACH v IN ARRAY ARRAY['matrix_cell', 'path_matrix'] LOOP
        EXECUTE format('COMMENT ON COLUMN twmesh.%I.state IS %L', v,
            'maintenance, never, stale, crit or ok, in this precedence (docs/SCHEMA.md); maintenance: of the source or the destination.');
        EXECUTE format('COMMENT ON COLUMN twmesh.%I.state_since IS %L', v,
            'When the state began. NULL: never measured.');
    END LOOP;
END $$;

-- The sentence that knows of it: 0013.

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
        'clock_audited_at', twmesh.iso_utc(clock_audited_at),
        'kind', kind, 'group', coalesce(group_name, ''),
        'meshes', array_to_json(meshes),
        'maintenance', CASE WHEN maintenance_since IS NOT NULL
            THEN json_build_object(
                 'since', twmesh.iso_utc(maintenance_since),
                 'until', twmesh.iso_utc(maintenance_until),
                 'reason', maintenance_reason, 'by', maintenance_by) END)
        ORDER BY name), '[]')
        FROM twmesh.node_status),
    'pending', (SELECT coalesce(json_agg(json_build_object(
        'fingerprint', fingerprint, 'address', address,
        'first_seen', twmesh.iso_utc(first_seen_at),
        'last_seen', twmesh.iso_utc(last_seen_at),
        'attempts', attempts) ORDER BY last_seen_at DESC), '[]')
        FROM twmesh.pending_node)));

CREATE FUNCTION twmesh.api_plan() RETURNS json
LANGUAGE sql STABLE
RETURN (SELECT json_build_object(
    'epoch', coalesce((SELECT max(epoch) FROM twmesh.epoch), 0),
    'base', coalesce(f.epoch, 0),
    'applied_at', twmesh.iso_utc(f.applied_at),
    'applied_by', f.applied_by,
    'content', f.content,
    'nodes', (SELECT coalesce(json_agg(json_build_object(
        'name', n.name, 'kind', n.kind, 'site', coalesce(s.name, ''),
        'joined', k.node_id IS NOT NULL) ORDER BY n.name), '[]')
        FROM twmesh.node n
        LEFT JOIN twmesh.site s USING (site_id)
        LEFT JOIN twmesh.node_status k ON k.node_id = n.node_id
             AND k.fingerprint IS NOT NULL
       WHERE n.removed_at IS NULL),
    -- The newest version of each, the running one if there is one.
    'classes', (SELECT coalesce(json_agg(json_build_object(
        'name', c.name, 'version', c.version,
        'running', c.retired_at IS NULL, 'family', c.family, 'dscp', c.dscp,
        'size', c.size_octets, 'gap_ns', c.gap_ns, 'schedule', c.schedule,
        'flows', c.flows, 'interval_ms', c.interval_ms,
        'interval_auto', c.interval_auto,
        'loss_timeout_ms', c.loss_timeout_ms,
        'ship_spread_ms', c.ship_spread_ms, 'detail', c.detail,
        'codec', coalesce(c.codec, 'none'),
        'jitter_buffer_ms', c.jitter_buffer_ms)
        ORDER BY c.class_id), '[]')
        FROM (SELECT DISTINCT ON (name) * FROM twmesh.class
               ORDER BY name, version DESC) c))
    FROM (SELECT) one
    LEFT JOIN (SELECT * FROM twmesh.mesh_file
                ORDER BY epoch DESC LIMIT 1) f ON true);
COMMENT ON FUNCTION twmesh.api_plan() IS
    'GET /api/v1/plan: what is in force, for twmesh plan and apply.';

-- Rights ------------------------------------------------------------------

REVOKE ALL ON FUNCTION twmesh_private.apply_mesh_file(jsonb),
    twmesh_private.apply_thresholds(jsonb), twmesh_private.plan_roster()
    FROM PUBLIC;
DO $$
DECLARE
    o text;
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'twmesh_reader') THEN
        GRANT SELECT ON twmesh.mesh_file, twmesh.planned_node, twmesh.mesh,
            twmesh.mesh_member, twmesh.mesh_class, twmesh.class_threshold,
            twmesh.maintenance TO twmesh_reader;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'twmesh_writer') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON twmesh.planned_node,
            twmesh.mesh, twmesh.mesh_member, twmesh.mesh_class,
            twmesh.class_threshold TO twmesh_writer;
        GRANT SELECT, INSERT ON twmesh.mesh_file TO twmesh_writer;
        GRANT SELECT, INSERT, UPDATE ON twmesh.maintenance TO twmesh_writer;
        GRANT UPDATE ON twmesh.site TO twmesh_writer;
        GRANT EXECUTE ON FUNCTION twmesh_private.apply_mesh_file(jsonb),
            twmesh_private.apply_thresholds(jsonb),
            twmesh_private.plan_roster() TO twmesh_writer;
    END IF;
    -- As 0004 does for what was there then.
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'twmesh_owner')
       AND pg_get_userbyid((SELECT nspowner FROM pg_namespace
                             WHERE nspname = 'twmesh')) = 'twmesh_owner' THEN
        FOREACH o IN ARRAY ARRAY['mesh_file', 'planned_node', 'mesh',
            'mesh_member', 'mesh_class', 'class_threshold', 'maintenance']
        LOOP
            EXECUTE format('ALTER TABLE twmesh.%I OWNER TO twmesh_owner', o);
        END LOOP;
        ALTER FUNCTION twmesh_private.apply_mesh_file(jsonb)
            OWNER TO twmesh_owner;
        ALTER FUNCTION twmesh_private.apply_thresholds(jsonb)
            OWNER TO twmesh_owner;
        ALTER FUNCTION twmesh_private.plan_roster() OWNER TO twmesh_owner;
        ALTER FUNCTION twmesh.api_plan() OWNER TO twmesh_owner;
    END IF;
END $$;
