-- SPDX-License-Identifier: BSD-2-Clause
--
-- Tables. Schema twmesh is the users' contract (0002 adds its views, 0003 its
-- functions); schema twmesh_private belongs to the controllers.
--
-- Conventions: units in column names; instants are timestamptz; a NULL number
-- means "cannot be known", never 0; ids are never reused.

CREATE SCHEMA twmesh_private;

COMMENT ON SCHEMA twmesh IS
    'twmesh: what users query. Names and columns are stable.';
COMMENT ON SCHEMA twmesh_private IS
    'twmesh: what the controllers keep for themselves (keys, ledger, current state). No grants to readers.';
COMMENT ON TABLE twmesh.schema_migration IS
    'Migrations that were applied (twmesh-controller --migrate).';
COMMENT ON COLUMN twmesh.schema_migration.version IS
    'Number of the file sql/NNNN_*.sql.';
COMMENT ON COLUMN twmesh.schema_migration.name IS 'Its file name.';
COMMENT ON COLUMN twmesh.schema_migration.checksum IS
    'SHA-256 of the file, hexadecimal; a file that changed afterwards is refused.';
COMMENT ON COLUMN twmesh.schema_migration.applied_at IS 'When it was committed.';

CREATE DOMAIN twmesh.name AS text
    CHECK (VALUE ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$');
COMMENT ON DOMAIN twmesh.name IS
    'Name of a node, site, class or mesh: 1 to 63 of a-z, 0-9 and ''-'', beginning and ending with a letter or digit.';

-- Who is in the mesh ------------------------------------------------------

CREATE TABLE twmesh.site (
    site_id    integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       twmesh.name NOT NULL UNIQUE,
    latitude   double precision CHECK (latitude BETWEEN -90 AND 90),
    longitude  double precision CHECK (longitude BETWEEN -180 AND 180),
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE twmesh.site IS 'Named places; a node belongs to at most one.';
COMMENT ON COLUMN twmesh.site.site_id IS 'Never reused.';
COMMENT ON COLUMN twmesh.site.name IS 'Unique.';
COMMENT ON COLUMN twmesh.site.latitude IS 'Degrees north; NULL: not known.';
COMMENT ON COLUMN twmesh.site.longitude IS 'Degrees east; NULL: not known.';
COMMENT ON COLUMN twmesh.site.created_at IS 'When it was first named.';

CREATE TABLE twmesh.node (
    node_id         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name            twmesh.name NOT NULL,
    site_id         integer REFERENCES twmesh.site,
    slot            integer NOT NULL CHECK (slot BETWEEN 1 AND 4096),
    slot_generation integer NOT NULL CHECK (slot_generation >= 1),
    addresses       inet[] NOT NULL DEFAULT '{}',
    unconsented     inet[] NOT NULL DEFAULT '{}',
    consented       inet[] NOT NULL DEFAULT '{}',
    reflector_port  integer NOT NULL DEFAULT 862
                    CHECK (reflector_port BETWEEN 1 AND 65535),
    software        text,
    facts           jsonb NOT NULL DEFAULT '{}',
    approved_at     timestamptz NOT NULL DEFAULT now(),
    removed_at      timestamptz
);
CREATE UNIQUE INDEX node_name_key ON twmesh.node (name)
    WHERE removed_at IS NULL;
CREATE UNIQUE INDEX node_slot_key ON twmesh.node (slot)
    WHERE removed_at IS NULL;
CREATE UNIQUE INDEX node_slot_generation_key
    ON twmesh.node (slot, slot_generation);
COMMENT ON TABLE twmesh.node IS
    'Nodes, those that were removed too (their history keeps its names).';
COMMENT ON COLUMN twmesh.node.node_id IS 'Never reused.';
COMMENT ON COLUMN twmesh.node.name IS 'Unique among nodes that are not removed.';
COMMENT ON COLUMN twmesh.node.site_id IS 'Its site; NULL: none.';
COMMENT ON COLUMN twmesh.node.slot IS
    'Index of this node in the arrays of the current state, from 1, dense; reused after removal.';
COMMENT ON COLUMN twmesh.node.slot_generation IS
    'Counts the holders of a slot, so that a reused slot never shows a removed node''s numbers.';
COMMENT ON COLUMN twmesh.node.addresses IS
    'Where it may be probed: observed by a controller, or consented to.';
COMMENT ON COLUMN twmesh.node.unconsented IS
    'Advertised by the node, but neither observed nor consented to: never probed.';
COMMENT ON COLUMN twmesh.node.consented IS
    'Addresses the operator agreed to on approval.';
COMMENT ON COLUMN twmesh.node.reflector_port IS 'UDP port of its reflector.';
COMMENT ON COLUMN twmesh.node.software IS
    'Version it reports. Text from outside; NULL: never connected.';
COMMENT ON COLUMN twmesh.node.facts IS
    'Host facts it reports. Text from outside.';
COMMENT ON COLUMN twmesh.node.approved_at IS 'When it was let in.';
COMMENT ON COLUMN twmesh.node.removed_at IS 'NULL: it is in the mesh.';

CREATE TABLE twmesh.class (
    class_id        integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name            twmesh.name NOT NULL,
    version         integer NOT NULL CHECK (version >= 1),
    family          integer NOT NULL CHECK (family IN (0, 4, 6)),
    dscp            integer NOT NULL CHECK (dscp BETWEEN 0 AND 63),
    size_octets     integer NOT NULL CHECK (size_octets BETWEEN 44 AND 65507),
    gap_ns          bigint NOT NULL CHECK (gap_ns > 0),
    schedule        text NOT NULL CHECK (schedule IN ('periodic', 'poisson')),
    flows           integer NOT NULL CHECK (flows BETWEEN 1 AND 64),
    interval_ms     integer NOT NULL CHECK (interval_ms > 0),
    loss_timeout_ms integer NOT NULL CHECK (loss_timeout_ms > 0),
    ship_spread_ms  integer NOT NULL CHECK (ship_spread_ms >= 0),
    created_at      timestamptz NOT NULL DEFAULT now(),
    retired_at      timestamptz,
    UNIQUE (name, version)
);
CREATE UNIQUE INDEX class_current_key ON twmesh.class (name)
    WHERE retired_at IS NULL;
COMMENT ON TABLE twmesh.class IS
    'Kinds of traffic. A class whose packets change gets a new version (and id), so that history never mixes two.';
COMMENT ON COLUMN twmesh.class.class_id IS 'Id of this version; never reused.';
COMMENT ON COLUMN twmesh.class.name IS 'The same for all versions.';
COMMENT ON COLUMN twmesh.class.version IS 'From 1.';
COMMENT ON COLUMN twmesh.class.family IS
    '4: IPv4, 6: IPv6, 0: either, IPv4 first.';
COMMENT ON COLUMN twmesh.class.dscp IS 'DiffServ code point of the packets.';
COMMENT ON COLUMN twmesh.class.size_octets IS 'UDP payload.';
COMMENT ON COLUMN twmesh.class.gap_ns IS
    'Mean time between packets of one session, nanoseconds.';
COMMENT ON COLUMN twmesh.class.schedule IS 'periodic (random phase) or poisson.';
COMMENT ON COLUMN twmesh.class.flows IS
    'Source ports that a session''s packets are spread over.';
COMMENT ON COLUMN twmesh.class.interval_ms IS
    'Length of a result; aligned to the wall clock. May change within a version.';
COMMENT ON COLUMN twmesh.class.loss_timeout_ms IS
    'A packet not answered after this is lost.';
COMMENT ON COLUMN twmesh.class.ship_spread_ms IS
    'Nodes spread the sending of results over this time.';
COMMENT ON COLUMN twmesh.class.created_at IS 'When this version came.';
COMMENT ON COLUMN twmesh.class.retired_at IS
    'NULL: it runs. Else replaced by a new version or gone from the configuration.';

CREATE TABLE twmesh.epoch (
    epoch      bigint PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now(),
    reason     text NOT NULL
);
COMMENT ON TABLE twmesh.epoch IS
    'Versions of the roster: each change of nodes or classes makes one.';
COMMENT ON COLUMN twmesh.epoch.epoch IS 'Never issued twice.';
COMMENT ON COLUMN twmesh.epoch.created_at IS 'When it came into force.';
COMMENT ON COLUMN twmesh.epoch.reason IS 'What changed.';

CREATE TABLE twmesh.matrix_metric (
    position integer PRIMARY KEY,
    name     text NOT NULL UNIQUE,
    unit     text NOT NULL,
    label    text NOT NULL,
    decimals integer NOT NULL,
    help     text NOT NULL
);
COMMENT ON TABLE twmesh.matrix_metric IS
    'Metrics of a matrix cell, as the controller knows them (written at its start).';
COMMENT ON COLUMN twmesh.matrix_metric.position IS 'Order to offer them in.';
COMMENT ON COLUMN twmesh.matrix_metric.name IS 'Column of path_matrix.';
COMMENT ON COLUMN twmesh.matrix_metric.unit IS 'Empty: none.';
COMMENT ON COLUMN twmesh.matrix_metric.label IS 'For people.';
COMMENT ON COLUMN twmesh.matrix_metric.decimals IS 'Digits worth showing.';
COMMENT ON COLUMN twmesh.matrix_metric.help IS 'One line.';

-- History -----------------------------------------------------------------

-- Plain rows, no row-level key: a batch is stored once by the ledger. Columns
-- in order of alignment: 8, 4, 2 octets, bytea last.
CREATE TABLE twmesh.result (
    ts                    timestamptz NOT NULL,
    src_id                integer NOT NULL,
    dst_id                integer NOT NULL,
    class_id              integer NOT NULL,
    epoch                 integer NOT NULL,
    interval_ms           integer NOT NULL,
    scheduled             integer NOT NULL,
    sent                  integer NOT NULL,
    send_failed           integer NOT NULL,
    received              integer NOT NULL,
    lost                  integer NOT NULL,
    lost_fwd              integer NOT NULL,
    lost_bwd              integer NOT NULL,
    lost_undet            integer NOT NULL,
    late                  integer NOT NULL,
    duplicates            integer NOT NULL,
    local_drops           integer NOT NULL,
    rtt_min_ms            real,
    rtt_mean_ms           real,
    rtt_max_ms            real,
    rtt_p50_ms            real,
    rtt_p99_ms            real,
    fwd_min_ms            real,
    fwd_mean_ms           real,
    fwd_max_ms            real,
    bwd_min_ms            real,
    bwd_mean_ms           real,
    bwd_max_ms            real,
    fwd_ipdv_ms           real,
    bwd_ipdv_ms           real,
    fwd_jitter_rfc3550_ms real,
    bwd_jitter_rfc3550_ms real,
    clock_err_ms          real,
    span_ms               real NOT NULL,
    fwd_hops              smallint,
    bwd_hops              smallint,
    flags                 smallint NOT NULL,
    rtt_hist              bytea
) PARTITION BY RANGE (ts);
-- One index of two columns: half the cost per row of two indexes, and BRIN
-- serves each column alone as well. A source's batch is contiguous.
CREATE INDEX result_brin ON twmesh.result
    USING brin (ts, src_id) WITH (pages_per_range = 32, autosummarize = on);
COMMENT ON TABLE twmesh.result IS
    'One row per session (source, destination, class) and interval; a partition per UTC day. See the view path_result for names.';
COMMENT ON COLUMN twmesh.result.ts IS
    'Start of the aligned interval, by the source''s clock.';
COMMENT ON COLUMN twmesh.result.src_id IS 'Source: it sends, and reports.';
COMMENT ON COLUMN twmesh.result.dst_id IS 'Destination: its reflector answers.';
COMMENT ON COLUMN twmesh.result.class_id IS 'Version of a class (twmesh.class).';
COMMENT ON COLUMN twmesh.result.epoch IS 'Roster in force when it was measured.';
COMMENT ON COLUMN twmesh.result.interval_ms IS
    'Nominal length of the interval, milliseconds.';
COMMENT ON COLUMN twmesh.result.scheduled IS
    'Send slots, packets; without those withheld for an unanswering address.';
COMMENT ON COLUMN twmesh.result.sent IS 'Packets the kernel accepted.';
COMMENT ON COLUMN twmesh.result.send_failed IS 'Packets the kernel refused.';
COMMENT ON COLUMN twmesh.result.received IS
    'Packets answered within the loss timeout.';
COMMENT ON COLUMN twmesh.result.lost IS
    'Packets not answered in time = lost_fwd + lost_bwd + lost_undet.';
COMMENT ON COLUMN twmesh.result.lost_fwd IS
    'Packets lost on the way src to dst, by fact.';
COMMENT ON COLUMN twmesh.result.lost_bwd IS
    'Packets lost on the way dst to src, by fact.';
COMMENT ON COLUMN twmesh.result.lost_undet IS
    'Packets lost in a direction that is not known.';
COMMENT ON COLUMN twmesh.result.late IS
    'Replies that came in this interval after the loss timeout; their packets stay lost.';
COMMENT ON COLUMN twmesh.result.duplicates IS
    'Copies beyond the first reply, packets.';
COMMENT ON COLUMN twmesh.result.local_drops IS
    'Packets dropped by the source''s own socket: the host, not the network.';
COMMENT ON COLUMN twmesh.result.rtt_min_ms IS
    'Round trip less reflector residence, minimum, ms. NULL: nothing received.';
COMMENT ON COLUMN twmesh.result.rtt_mean_ms IS 'Mean, ms. NULL: nothing received.';
COMMENT ON COLUMN twmesh.result.rtt_max_ms IS
    'Maximum, ms. NULL: nothing received.';
COMMENT ON COLUMN twmesh.result.rtt_p50_ms IS
    'Exact nearest-rank median, ms. NULL: nothing received.';
COMMENT ON COLUMN twmesh.result.rtt_p99_ms IS
    'Exact 99th percentile, ms (below 100 samples the maximum). NULL: fewer than 50 samples.';
COMMENT ON COLUMN twmesh.result.fwd_min_ms IS
    'One-way delay src to dst, minimum, ms; contains the clock offset, may be negative. NULL: nothing received.';
COMMENT ON COLUMN twmesh.result.fwd_mean_ms IS 'Mean, ms. NULL: nothing received.';
COMMENT ON COLUMN twmesh.result.fwd_max_ms IS
    'Maximum, ms. NULL: nothing received.';
COMMENT ON COLUMN twmesh.result.bwd_min_ms IS
    'One-way delay dst to src, minimum, ms; contains the clock offset. NULL: nothing received.';
COMMENT ON COLUMN twmesh.result.bwd_mean_ms IS 'Mean, ms. NULL: nothing received.';
COMMENT ON COLUMN twmesh.result.bwd_max_ms IS
    'Maximum, ms. NULL: nothing received.';
COMMENT ON COLUMN twmesh.result.fwd_ipdv_ms IS
    'Mean |IPDV| src to dst, ms (RFC 3393): the jitter shown by default. NULL: no two consecutive packets arrived.';
COMMENT ON COLUMN twmesh.result.bwd_ipdv_ms IS
    'Mean |IPDV| dst to src, ms. NULL: no two consecutive packets arrived.';
COMMENT ON COLUMN twmesh.result.fwd_jitter_rfc3550_ms IS
    'Smoothed jitter src to dst, ms (RFC 3550), carried across intervals. NULL: no pair yet.';
COMMENT ON COLUMN twmesh.result.bwd_jitter_rfc3550_ms IS
    'The same dst to src, ms. NULL: no pair yet.';
COMMENT ON COLUMN twmesh.result.clock_err_ms IS
    'Bound of the error of one-way delays, ms: both Error Estimates. NULL: a clock is not synchronised.';
COMMENT ON COLUMN twmesh.result.span_ms IS
    'Time the result really covers, ms; less than interval_ms when partial.';
COMMENT ON COLUMN twmesh.result.fwd_hops IS
    'Routers src to dst, by TTL. NULL: nothing received, or TTL not known.';
COMMENT ON COLUMN twmesh.result.bwd_hops IS
    'Routers dst to src, by TTL. NULL: nothing received.';
COMMENT ON COLUMN twmesh.result.flags IS 'Bits, named by twmesh.result_flags().';
COMMENT ON COLUMN twmesh.result.rtt_hist IS
    'Sparse log-linear histogram of round trips over their minimum (first octet: format version). NULL: nothing received.';

CREATE TABLE twmesh.gap (
    gap_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    src_id      integer NOT NULL,
    dst_id      integer,
    class_id    integer,
    t_from     timestamptz NOT NULL,
    t_to       timestamptz NOT NULL CHECK (t_to >= t_from),
    reason      text NOT NULL,
    rows        bigint,
    recorded_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX gap_src_key ON twmesh.gap (src_id, t_from);
COMMENT ON TABLE twmesh.gap IS
    'Results that are known to be missing: intervals of time, never rows per path.';
COMMENT ON COLUMN twmesh.gap.gap_id IS 'Order of recording.';
COMMENT ON COLUMN twmesh.gap.src_id IS 'Whose results are missing.';
COMMENT ON COLUMN twmesh.gap.dst_id IS 'NULL: to all destinations.';
COMMENT ON COLUMN twmesh.gap.class_id IS 'NULL: of all classes.';
COMMENT ON COLUMN twmesh.gap.t_from IS 'Start, by the source''s clock.';
COMMENT ON COLUMN twmesh.gap.t_to IS 'End.';
COMMENT ON COLUMN twmesh.gap.reason IS
    'spool_lost (the node came with a new spool), or what the node says. Text from outside.';
COMMENT ON COLUMN twmesh.gap.rows IS 'Results missing; NULL: not known.';
COMMENT ON COLUMN twmesh.gap.recorded_at IS 'When the controller learnt of it.';

-- What the controllers keep -----------------------------------------------

CREATE TABLE twmesh_private.meta (
    one               boolean PRIMARY KEY DEFAULT true CHECK (one),
    incarnation_id    uuid NOT NULL DEFAULT gen_random_uuid(),
    system_identifier bigint,
    database_oid      oid,
    incarnated_at     timestamptz NOT NULL DEFAULT now()
);
INSERT INTO twmesh_private.meta DEFAULT VALUES;
COMMENT ON TABLE twmesh_private.meta IS 'One row: this life of the database.';
COMMENT ON COLUMN twmesh_private.meta.one IS 'Holds the table to one row.';
COMMENT ON COLUMN twmesh_private.meta.incarnation_id IS
    'Random; a new one when the data is found in another cluster or database (restored from a dump).';
COMMENT ON COLUMN twmesh_private.meta.system_identifier IS
    'Of the cluster in which the data was last seen; NULL: not looked yet.';
COMMENT ON COLUMN twmesh_private.meta.database_oid IS
    'Of the database in which the data was last seen; NULL: not looked yet.';
COMMENT ON COLUMN twmesh_private.meta.incarnated_at IS
    'When this incarnation began.';

CREATE TABLE twmesh_private.controller (
    instance_id uuid PRIMARY KEY,
    host        text NOT NULL,
    pid         integer NOT NULL,
    software    text NOT NULL,
    started_at  timestamptz NOT NULL,
    alive_at    timestamptz NOT NULL,
    stopped_at  timestamptz
) WITH (fillfactor = 50);
COMMENT ON TABLE twmesh_private.controller IS
    'Runs of controllers. A node''s silence is judged only over time in which one was alive.';
COMMENT ON COLUMN twmesh_private.controller.instance_id IS 'Random, per run.';
COMMENT ON COLUMN twmesh_private.controller.host IS 'Where it runs.';
COMMENT ON COLUMN twmesh_private.controller.pid IS 'Its process there.';
COMMENT ON COLUMN twmesh_private.controller.software IS 'Version.';
COMMENT ON COLUMN twmesh_private.controller.started_at IS
    'First connected to the database (database clock).';
COMMENT ON COLUMN twmesh_private.controller.alive_at IS
    'Written every second (database clock).';
COMMENT ON COLUMN twmesh_private.controller.stopped_at IS
    'Planned stop; NULL: runs, or died.';

CREATE TABLE twmesh_private.node_key (
    key         bytea PRIMARY KEY CHECK (octet_length(key) = 32),
    node_id     integer NOT NULL REFERENCES twmesh.node,
    fingerprint text NOT NULL UNIQUE,
    approved_at timestamptz NOT NULL DEFAULT now(),
    approved_by text NOT NULL CHECK (approved_by IN ('operator', 'first use'))
);
CREATE UNIQUE INDEX node_key_node_key ON twmesh_private.node_key (node_id);
COMMENT ON TABLE twmesh_private.node_key IS
    'Which CURVE public key is which node. A removed or replaced key has no row.';
COMMENT ON COLUMN twmesh_private.node_key.key IS 'CURVE public key.';
COMMENT ON COLUMN twmesh_private.node_key.node_id IS 'The node it proves.';
COMMENT ON COLUMN twmesh_private.node_key.fingerprint IS
    'Base32 of the first 10 octets of its SHA-256.';
COMMENT ON COLUMN twmesh_private.node_key.approved_at IS 'When it was let in.';
COMMENT ON COLUMN twmesh_private.node_key.approved_by IS
    'operator, or first use (loopback listeners only).';

CREATE TABLE twmesh_private.pending_node (
    key           bytea PRIMARY KEY CHECK (octet_length(key) = 32),
    fingerprint   text NOT NULL,
    address       inet,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at  timestamptz NOT NULL DEFAULT now(),
    attempts      bigint NOT NULL DEFAULT 1
);
CREATE INDEX pending_node_seen ON twmesh_private.pending_node (last_seen_at);
COMMENT ON TABLE twmesh_private.pending_node IS
    'Unknown keys that knocked, at most 256: the longest silent goes first.';
COMMENT ON COLUMN twmesh_private.pending_node.key IS 'CURVE public key.';
COMMENT ON COLUMN twmesh_private.pending_node.fingerprint IS
    'To compare with twmesh-meshd --show-key.';
COMMENT ON COLUMN twmesh_private.pending_node.address IS
    'Last observed; NULL: not known.';
COMMENT ON COLUMN twmesh_private.pending_node.first_seen_at IS 'First knock.';
COMMENT ON COLUMN twmesh_private.pending_node.last_seen_at IS 'Last knock.';
COMMENT ON COLUMN twmesh_private.pending_node.attempts IS 'Knocks.';

CREATE TABLE twmesh_private.node_live (
    node_id            integer PRIMARY KEY REFERENCES twmesh.node,
    instance_id        uuid,
    last_seen_at       timestamptz,
    hello_at           timestamptz,
    stopped_at         timestamptz,
    stopped_reason     text,
    roster_epoch       bigint,
    spool_batches      bigint,
    spool_bytes        bigint,
    reflector_rx_drops bigint,
    clock_offset_ms    double precision,
    clock_max_error_ms double precision,
    clock_synchronised boolean,
    load1              real,
    rss_kib            bigint,
    sessions           integer
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);
COMMENT ON TABLE twmesh_private.node_live IS
    'Liveness and health, from heartbeats; one UPDATE per second for all.';
COMMENT ON COLUMN twmesh_private.node_live.node_id IS 'Whose.';
COMMENT ON COLUMN twmesh_private.node_live.instance_id IS
    'Controller that heard it last; NULL: none yet.';
COMMENT ON COLUMN twmesh_private.node_live.last_seen_at IS
    'Last heartbeat or Hello by receive time (database clock), never by the node''s clock. NULL: never.';
COMMENT ON COLUMN twmesh_private.node_live.hello_at IS
    'Last Hello; NULL: never.';
COMMENT ON COLUMN twmesh_private.node_live.stopped_at IS
    'Planned stop (Bye); NULL: not stopped.';
COMMENT ON COLUMN twmesh_private.node_live.stopped_reason IS
    'What the Bye said. Text from outside; NULL: nothing.';
COMMENT ON COLUMN twmesh_private.node_live.roster_epoch IS
    'Roster it runs; NULL: not told.';
COMMENT ON COLUMN twmesh_private.node_live.spool_batches IS
    'Batches not acknowledged yet; NULL: not told.';
COMMENT ON COLUMN twmesh_private.node_live.spool_bytes IS
    'Their size, octets; NULL: not told.';
COMMENT ON COLUMN twmesh_private.node_live.reflector_rx_drops IS
    'Packets its reflector''s socket dropped; NULL: not told.';
COMMENT ON COLUMN twmesh_private.node_live.clock_offset_ms IS
    'Its clock less the controller''s, estimated, ms; NULL: not estimated.';
COMMENT ON COLUMN twmesh_private.node_live.clock_max_error_ms IS
    'Bound its kernel claims, ms; NULL: not synchronised.';
COMMENT ON COLUMN twmesh_private.node_live.clock_synchronised IS
    'Its kernel''s claim; NULL: not told.';
COMMENT ON COLUMN twmesh_private.node_live.load1 IS
    'Load average, 1 minute; NULL: not told.';
COMMENT ON COLUMN twmesh_private.node_live.rss_kib IS
    'Resident memory of meshd, KiB; NULL: not told.';
COMMENT ON COLUMN twmesh_private.node_live.sessions IS
    'Sessions it runs; NULL: not told.';

CREATE TABLE twmesh_private.spool (
    node_id       integer NOT NULL REFERENCES twmesh.node,
    spool_id      bytea NOT NULL CHECK (octet_length(spool_id) = 16),
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    ended_at      timestamptz,
    next_seq      bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (node_id, spool_id)
);
COMMENT ON TABLE twmesh_private.spool IS 'Spools that nodes came with.';
COMMENT ON COLUMN twmesh_private.spool.node_id IS 'Whose.';
COMMENT ON COLUMN twmesh_private.spool.spool_id IS
    'Random at the spool''s creation.';
COMMENT ON COLUMN twmesh_private.spool.first_seen_at IS 'First Hello with it.';
COMMENT ON COLUMN twmesh_private.spool.ended_at IS
    'A later Hello came with another; NULL: in use.';
COMMENT ON COLUMN twmesh_private.spool.next_seq IS
    'Every batch below is in the ledger (a lower bound, moved at each Hello).';

CREATE TABLE twmesh_private.ledger (
    node_id         integer NOT NULL,
    spool_id        bytea NOT NULL CHECK (octet_length(spool_id) = 16),
    seq             bigint NOT NULL,
    digest          bytea NOT NULL CHECK (octet_length(digest) = 16),
    rows            integer NOT NULL,
    status          text NOT NULL CHECK (status IN ('stored', 'partly', 'aside')),
    clock_offset_ms double precision,
    stored_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (node_id, spool_id, seq)
);
COMMENT ON TABLE twmesh_private.ledger IS
    'Batches that were stored, written in the transaction of their rows: at least once on the wire, exactly once here.';
COMMENT ON COLUMN twmesh_private.ledger.node_id IS 'Who sent it.';
COMMENT ON COLUMN twmesh_private.ledger.spool_id IS 'From which spool.';
COMMENT ON COLUMN twmesh_private.ledger.seq IS 'Its number there, from 1.';
COMMENT ON COLUMN twmesh_private.ledger.digest IS
    'First 16 octets of SHA-256 of its body.';
COMMENT ON COLUMN twmesh_private.ledger.rows IS 'Rows stored in twmesh.result.';
COMMENT ON COLUMN twmesh_private.ledger.status IS
    'stored; partly (some rows put aside); aside (all of it).';
COMMENT ON COLUMN twmesh_private.ledger.clock_offset_ms IS
    'The node''s clock less the controller''s when it came, ms; NULL: not estimated.';
COMMENT ON COLUMN twmesh_private.ledger.stored_at IS 'When.';

CREATE TABLE twmesh_private.put_aside (
    put_aside_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node_id         integer NOT NULL,
    spool_id        bytea NOT NULL CHECK (octet_length(spool_id) = 16),
    seq             bigint NOT NULL,
    digest          bytea NOT NULL,
    rows            integer NOT NULL,
    reason          text NOT NULL,
    clock_offset_ms double precision,
    received_at     timestamptz NOT NULL DEFAULT now(),
    payload         bytea
);
CREATE INDEX put_aside_node_key
    ON twmesh_private.put_aside (node_id, put_aside_id);
COMMENT ON TABLE twmesh_private.put_aside IS
    'Batches, or rows of batches, that were not stored, with the reason; the newest 50 per node.';
COMMENT ON COLUMN twmesh_private.put_aside.put_aside_id IS 'Order of arrival.';
COMMENT ON COLUMN twmesh_private.put_aside.node_id IS 'Who sent it.';
COMMENT ON COLUMN twmesh_private.put_aside.spool_id IS 'Part of its key.';
COMMENT ON COLUMN twmesh_private.put_aside.seq IS 'Part of its key.';
COMMENT ON COLUMN twmesh_private.put_aside.digest IS 'Of the body.';
COMMENT ON COLUMN twmesh_private.put_aside.rows IS 'Rows put aside.';
COMMENT ON COLUMN twmesh_private.put_aside.reason IS 'Why, in words.';
COMMENT ON COLUMN twmesh_private.put_aside.clock_offset_ms IS
    'The node''s clock less the controller''s, ms; NULL: not estimated.';
COMMENT ON COLUMN twmesh_private.put_aside.received_at IS 'When.';
COMMENT ON COLUMN twmesh_private.put_aside.payload IS
    'The whole sealed body; NULL when over 256 KiB.';

-- Current state: one row per source and class, arrays over the slots of the
-- destinations. Upserted in the transaction of the rows. EXTERNAL: at 1,000
-- nodes compression would cost more than all the rest of the upsert.
CREATE TABLE twmesh_private.path_state (
    src_id             integer NOT NULL REFERENCES twmesh.node,
    class_id           integer NOT NULL REFERENCES twmesh.class,
    revision           bigint NOT NULL DEFAULT 0,
    updated_at         timestamptz,
    newest_measured_at timestamptz,
    generation         integer[] NOT NULL DEFAULT '{}',
    behind_us          bigint[] NOT NULL DEFAULT '{}',
    state_since        timestamptz[] NOT NULL DEFAULT '{}',
    state              smallint[] NOT NULL DEFAULT '{}',
    streak             smallint[] NOT NULL DEFAULT '{}',
    flags              smallint[] NOT NULL DEFAULT '{}',
    hops               smallint[] NOT NULL DEFAULT '{}',
    thin_lost          integer[] NOT NULL DEFAULT '{}',
    thin_sent          integer[] NOT NULL DEFAULT '{}',
    sent               integer[] NOT NULL DEFAULT '{}',
    lost               integer[] NOT NULL DEFAULT '{}',
    lost_undet         integer[] NOT NULL DEFAULT '{}',
    epoch              integer[] NOT NULL DEFAULT '{}',
    delay_ms           real[] NOT NULL DEFAULT '{}',
    jitter_ms          real[] NOT NULL DEFAULT '{}',
    rtt_ms             real[] NOT NULL DEFAULT '{}',
    rtt_p99_ms         real[] NOT NULL DEFAULT '{}',
    clock_err_ms       real[] NOT NULL DEFAULT '{}',
    state_why          text[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (src_id, class_id)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02,
        toast.autovacuum_vacuum_scale_factor = 0.02);
DO $$
DECLARE
    c name;
BEGIN
    FOR c IN SELECT attname FROM pg_attribute
             WHERE attrelid = 'twmesh_private.path_state'::regclass
               AND attnum > 0 AND attndims > 0
    LOOP
        EXECUTE format('ALTER TABLE twmesh_private.path_state
                        ALTER COLUMN %I SET STORAGE EXTERNAL', c);
    END LOOP;
END $$;
COMMENT ON TABLE twmesh_private.path_state IS
    'Current state, a row per source and class from the plan on (so that silence has a row). Arrays are indexed by the destination''s slot.';
COMMENT ON COLUMN twmesh_private.path_state.src_id IS 'Source.';
COMMENT ON COLUMN twmesh_private.path_state.class_id IS 'Class (version).';
COMMENT ON COLUMN twmesh_private.path_state.revision IS
    'Counts changes: a writer whose copy is older reads the row again.';
COMMENT ON COLUMN twmesh_private.path_state.updated_at IS
    'Last change (database clock); NULL: none yet.';
COMMENT ON COLUMN twmesh_private.path_state.newest_measured_at IS
    'End of the newest interval of any cell (the source''s clock); NULL: none yet.';
COMMENT ON COLUMN twmesh_private.path_state.generation IS
    'Per cell: slot_generation of the destination it speaks of; 0: empty.';
COMMENT ON COLUMN twmesh_private.path_state.behind_us IS
    'Per cell: newest_measured_at less the end of the interval of its newest result (the source''s clock), microseconds; 0 for all in a healthy mesh, so that it need not be written. NULL: none.';
COMMENT ON COLUMN twmesh_private.path_state.state_since IS
    'Per cell: end of the interval in which the state began. NULL: no state yet.';
COMMENT ON COLUMN twmesh_private.path_state.state IS
    'Per cell: 0 not judged yet, 1 ok, 2 crit.';
COMMENT ON COLUMN twmesh_private.path_state.streak IS
    'Per cell: good (positive) or bad (negative) intervals in a row, at most 2.';
COMMENT ON COLUMN twmesh_private.path_state.flags IS
    'Per cell: flags of the newest result; bit 14: it was back-filled.';
COMMENT ON COLUMN twmesh_private.path_state.hops IS
    'Per cell: routers src to dst. NULL: not known.';
COMMENT ON COLUMN twmesh_private.path_state.thin_lost IS
    'Per cell: packets lost in bad intervals with too few packets to judge, gathered until there are 3.';
COMMENT ON COLUMN twmesh_private.path_state.thin_sent IS
    'Per cell: packets sent in those.';
COMMENT ON COLUMN twmesh_private.path_state.sent IS 'Per cell: packets.';
COMMENT ON COLUMN twmesh_private.path_state.lost IS
    'Per cell: packets lost src to dst, undetermined ones included.';
COMMENT ON COLUMN twmesh_private.path_state.epoch IS
    'Per cell: roster in force.';
COMMENT ON COLUMN twmesh_private.path_state.lost_undet IS
    'Per cell: those of them whose direction is not known.';
COMMENT ON COLUMN twmesh_private.path_state.delay_ms IS
    'Per cell: mean one-way delay, ms. NULL: nothing received.';
COMMENT ON COLUMN twmesh_private.path_state.jitter_ms IS
    'Per cell: mean |IPDV| src to dst, ms. NULL: no pair received.';
COMMENT ON COLUMN twmesh_private.path_state.rtt_ms IS
    'Per cell: mean round trip, ms. NULL: nothing received.';
COMMENT ON COLUMN twmesh_private.path_state.rtt_p99_ms IS
    'Per cell: 99th percentile, ms. NULL: fewer than 50 samples.';
COMMENT ON COLUMN twmesh_private.path_state.clock_err_ms IS
    'Per cell: bound of the one-way error, ms. NULL: a clock is not synchronised.';
COMMENT ON COLUMN twmesh_private.path_state.state_why IS
    'Per cell: why it is in this state. NULL: nothing to say.';

-- Partitions --------------------------------------------------------------

-- CREATE … PARTITION OF takes ACCESS EXCLUSIVE on the parent and queues
-- everyone behind one long reader; ATTACH takes SHARE UPDATE EXCLUSIVE only.
-- The CHECK spares ATTACH the scan.
CREATE FUNCTION twmesh_private.add_partition(day date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '1s'
AS $$
DECLARE
    part text := 'result_' || to_char(day, 'YYYYMMDD');
    lo timestamptz := day::timestamp AT TIME ZONE 'UTC';
    hi timestamptz := (day + 1)::timestamp AT TIME ZONE 'UTC';
BEGIN
    IF day < current_date - 400 OR day > current_date + 400 THEN
        RAISE EXCEPTION 'day % is out of range', day;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('twmesh.add_partition'));
    IF to_regclass('twmesh.' || part) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE twmesh.%I (LIKE twmesh.result
        INCLUDING DEFAULTS INCLUDING COMMENTS,
        CONSTRAINT %I CHECK (ts IS NOT NULL AND ts >= %L AND ts < %L))',
        part, part || '_range', lo, hi);
    EXECUTE format('COMMENT ON TABLE twmesh.%I IS %L', part,
        'Partition of twmesh.result for ' || day || ' UTC.');
    EXECUTE format('CREATE INDEX %I ON twmesh.%I USING brin (ts, src_id)
        WITH (pages_per_range = 32, autosummarize = on)',
        part || '_brin', part);
    EXECUTE format('ALTER TABLE twmesh.result ATTACH PARTITION twmesh.%I
        FOR VALUES FROM (%L) TO (%L)', part, lo, hi);
    EXECUTE format('ALTER TABLE twmesh.%I DROP CONSTRAINT %I',
        part, part || '_range');
    -- Controllers write the partitions of these days directly.
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'twmesh_writer') THEN
        EXECUTE format('GRANT INSERT ON twmesh.%I TO twmesh_writer', part);
    END IF;
    RETURN true;
END $$;
COMMENT ON FUNCTION twmesh_private.add_partition(date) IS
    'Makes and attaches the partition of a UTC day; false when it is there.';

-- A dump restored elsewhere is another life of the data: nodes must resend
-- what its ledger lacks, and ids and epochs issued after the dump was taken
-- must not be issued again.
CREATE FUNCTION twmesh_private.incarnation() RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    sysid bigint;
    dbid oid := (SELECT oid FROM pg_database WHERE datname = current_database());
    m twmesh_private.meta;
BEGIN
    BEGIN
        sysid := (SELECT system_identifier FROM pg_control_system());
    EXCEPTION WHEN insufficient_privilege THEN
        sysid := NULL;
    END;
    SELECT * INTO m FROM twmesh_private.meta FOR UPDATE;
    IF m.database_oid IS NULL THEN
        UPDATE twmesh_private.meta
           SET system_identifier = sysid, database_oid = dbid;
    ELSIF m.database_oid <> dbid OR m.system_identifier IS DISTINCT FROM sysid
    THEN
        UPDATE twmesh_private.meta
           SET system_identifier = sysid, database_oid = dbid,
               incarnation_id = gen_random_uuid(), incarnated_at = now()
         RETURNING * INTO m;
        INSERT INTO twmesh.epoch (epoch, reason)
        SELECT max(epoch) + 1000000, 'another incarnation of the database'
          FROM twmesh.epoch HAVING count(*) > 0;
        PERFORM setval(s::regclass, nextval(s::regclass) + 10000)
           FROM unnest(ARRAY[
               pg_get_serial_sequence('twmesh.node', 'node_id'),
               pg_get_serial_sequence('twmesh.class', 'class_id')]) s;
    END IF;
    RETURN m.incarnation_id;
END $$;
COMMENT ON FUNCTION twmesh_private.incarnation() IS
    'Id of this life of the data; a new one when it is found in another cluster or database.';
