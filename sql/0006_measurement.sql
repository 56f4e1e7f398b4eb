-- SPDX-License-Identifier: BSD-2-Clause
--
-- The measurement engine's further numbers: details of results and of flows,
-- loss runs with their packets, times in which a node's host was at fault, and
-- results that were revised. Views and functions of 0002 and 0003 are replaced
-- where they learn of them.

-- Classes -----------------------------------------------------------------

ALTER TABLE twmesh.class
    ADD COLUMN detail boolean NOT NULL DEFAULT false,
    ADD COLUMN codec text
        CHECK (codec IN ('g711', 'g711-plc', 'g729a', 'g723.1')),
    ADD COLUMN jitter_buffer_ms integer NOT NULL DEFAULT 60
        CHECK (jitter_buffer_ms BETWEEN 0 AND 10000);
COMMENT ON COLUMN twmesh.class.detail IS
    'Nodes report percentiles and histograms of each way. May change within a version.';
COMMENT ON COLUMN twmesh.class.codec IS
    'Codec of a voice class, for R and MOS; NULL: no voice class. May change within a version.';
COMMENT ON COLUMN twmesh.class.jitter_buffer_ms IS
    'Voice: packets later than this beyond the fastest count as lost, milliseconds.';

-- History -----------------------------------------------------------------

-- No column of result: one that is NULL costs every row 8 octets.
CREATE TABLE twmesh.result_revision (
    ts         timestamptz NOT NULL,
    revised_at timestamptz NOT NULL DEFAULT now(),
    src_id     integer NOT NULL,
    dst_id     integer NOT NULL,
    class_id   integer NOT NULL,
    PRIMARY KEY (src_id, ts, dst_id, class_id)
);
COMMENT ON TABLE twmesh.result_revision IS
    'Which rows of result had lost_fwd, lost_bwd and lost_undet corrected by a later reply; for 400 days.';
COMMENT ON COLUMN twmesh.result_revision.ts IS 'Of the row.';
COMMENT ON COLUMN twmesh.result_revision.revised_at IS
    'The last time (database clock).';
COMMENT ON COLUMN twmesh.result_revision.src_id IS 'Of the row.';
COMMENT ON COLUMN twmesh.result_revision.dst_id IS 'Of the row.';
COMMENT ON COLUMN twmesh.result_revision.class_id IS 'Of the row.';

-- A row exists where there is something to say: a count that is not 0, or the
-- histograms of a class that keeps details. span_ms tells the two parts of an
-- interval apart that a restart of the source cut in two.
CREATE TABLE twmesh.result_detail (
    ts                 timestamptz NOT NULL,
    src_id             integer NOT NULL,
    dst_id             integer NOT NULL,
    class_id           integer NOT NULL,
    span_ms            real NOT NULL,
    rtt_p999_ms        real,
    fwd_p50_ms         real,
    fwd_p99_ms         real,
    bwd_p50_ms         real,
    bwd_p99_ms         real,
    fwd_ipdv_p99_ms    real,
    bwd_ipdv_p99_ms    real,
    rtt_unknown        integer,
    raw_rtt_mean_ms    real,
    reordered          integer,
    fwd_reordered      integer,
    bwd_reordered      integer,
    reorder_extent     integer,
    fwd_reorder_extent integer,
    bwd_reorder_extent integer,
    fwd_duplicates     integer,
    bwd_duplicates     integer,
    altered            integer,
    loss_runs_1        integer,
    loss_runs_2        integer,
    loss_runs_long     integer,
    fwd_dscp           smallint,
    bwd_dscp           smallint,
    fwd_ecn            smallint,
    bwd_ecn            smallint,
    fwd_remarked       integer,
    bwd_remarked       integer,
    fwd_hops_changed   integer,
    bwd_hops_changed   integer,
    send_late_p50_ms   real,
    send_late_p99_ms   real,
    send_late_max_ms   real,
    stamps             smallint,
    tx_stamps_missing  integer,
    rx_stamps_missing  integer,
    t3_uncorrected     integer,
    late_dst_host      integer,
    fwd_r              real,
    bwd_r              real,
    fwd_mos            real,
    bwd_mos            real,
    fwd_hist           bytea,
    bwd_hist           bytea
) PARTITION BY RANGE (ts);
-- A batch is one source and interval: its entries are neighbours here.
CREATE INDEX result_detail_key
    ON twmesh.result_detail (src_id, ts, dst_id, class_id);
COMMENT ON TABLE twmesh.result_detail IS
    'What few intervals have, beside their row in result; a partition per UTC day. No row: every count is 0, nothing else is known. See the view path_result.';
DO $$
DECLARE
    d text[];
    none constant text := ' NULL: not known, see docs/MEASUREMENT.md.';
BEGIN
    FOREACH d SLICE 1 IN ARRAY ARRAY[
        ['ts', 'As in result.'], ['src_id', 'As in result.'],
        ['dst_id', 'As in result.'], ['class_id', 'As in result.'],
        ['span_ms', 'As in result, milliseconds.'],
        ['rtt_p999_ms', 'Exact 99.9th percentile of the round trip, ms.' || none],
        ['fwd_p50_ms', 'Median one-way delay src to dst, ms; contains the clock offset.' || none],
        ['fwd_p99_ms', 'Its 99th percentile, ms; less fwd_min_ms it is the PDV of RFC 5481.' || none],
        ['bwd_p50_ms', 'Median one-way delay dst to src, ms; contains the clock offset.' || none],
        ['bwd_p99_ms', 'Its 99th percentile, ms.' || none],
        ['fwd_ipdv_p99_ms', '99th percentile of |IPDV| src to dst, ms.' || none],
        ['bwd_ipdv_p99_ms', '99th percentile of |IPDV| dst to src, ms.' || none],
        ['rtt_unknown', 'Packets received whose residence in the reflector is impossible.' || none],
        ['raw_rtt_mean_ms', 'Mean T4 - T1 of those, ms, time in the reflector included.' || none],
        ['reordered', 'Replies that came after one of a later packet (RFC 4737).' || none],
        ['fwd_reordered', 'Packets overtaken on the way src to dst, by fact.' || none],
        ['bwd_reordered', 'Packets overtaken on the way dst to src, by fact.' || none],
        ['reorder_extent', 'Largest reordering extent of the round trip, packets.' || none],
        ['fwd_reorder_extent', 'Largest extent src to dst, packets.' || none],
        ['bwd_reorder_extent', 'Largest extent dst to src, packets.' || none],
        ['fwd_duplicates', 'Copies made on the way src to dst, packets.' || none],
        ['bwd_duplicates', 'Copies made on the way dst to src, packets.' || none],
        ['altered', 'Replies whose T1 is not the one sent: not measured.' || none],
        ['loss_runs_1', 'Losses that stand alone.' || none],
        ['loss_runs_2', 'Runs of two lost packets.' || none],
        ['loss_runs_long', 'Runs of three and more that began here, see loss_run.' || none],
        ['fwd_dscp', 'DSCP as received at dst (the last).' || none],
        ['bwd_dscp', 'DSCP of the reply as received (the last).' || none],
        ['fwd_ecn', 'ECN as received at dst, all bits seen.' || none],
        ['bwd_ecn', 'ECN of the replies, all bits seen.' || none],
        ['fwd_remarked', 'Packets that came to dst with another DSCP than they were sent.' || none],
        ['bwd_remarked', 'Replies that came with another DSCP than they were sent.' || none],
        ['fwd_hops_changed', 'Times the number of hops src to dst changed.' || none],
        ['bwd_hops_changed', 'Times the number of hops dst to src changed.' || none],
        ['send_late_p50_ms', 'How late packets left by their schedule: median, ms.' || none],
        ['send_late_p99_ms', '99th percentile, ms.' || none],
        ['send_late_max_ms', 'Maximum, ms.' || none],
        ['stamps', 'Where the stamps came from: bits, named by twmesh.result_stamps().' || none],
        ['tx_stamps_missing', 'Packets received whose T1 is not the kernel''s.' || none],
        ['rx_stamps_missing', 'Packets received whose T4 is not the kernel''s.' || none],
        ['t3_uncorrected', 'Samples whose true T3 was never told (Follow-Up Telemetry).' || none],
        ['late_dst_host', 'Packets late only because the reflector held them.' || none],
        ['fwd_r', 'R of the E-model src to dst (ITU-T G.107).' || none],
        ['bwd_r', 'R of the E-model dst to src.' || none],
        ['fwd_mos', 'Voice quality src to dst, 1 to 4.5.' || none],
        ['bwd_mos', 'Voice quality dst to src, 1 to 4.5.' || none],
        ['fwd_hist', 'Histogram of one-way delays src to dst, as rtt_hist. NULL: none.'],
        ['bwd_hist', 'Histogram of one-way delays dst to src, as rtt_hist. NULL: none.']]
    LOOP
        EXECUTE format('COMMENT ON COLUMN twmesh.result_detail.%I IS %L',
            d[1], d[2]);
    END LOOP;
END $$;

CREATE TABLE twmesh.result_flow (
    ts          timestamptz NOT NULL,
    src_id      integer NOT NULL,
    dst_id      integer NOT NULL,
    class_id    integer NOT NULL,
    sent        integer NOT NULL,
    received    integer NOT NULL,
    lost_fwd    integer NOT NULL,
    lost_bwd    integer NOT NULL,
    lost_undet  integer NOT NULL,
    rtt_min_ms  real,
    rtt_mean_ms real,
    fwd_mean_ms real,
    bwd_mean_ms real,
    flow        smallint NOT NULL
) PARTITION BY RANGE (ts);
CREATE INDEX result_flow_key
    ON twmesh.result_flow (src_id, ts, dst_id, class_id);
COMMENT ON TABLE twmesh.result_flow IS
    'Results of the single flows (source ports) of sessions that have several, so that one bad member of an ECMP bundle shows; a partition per UTC day.';
COMMENT ON COLUMN twmesh.result_flow.ts IS 'As in result.';
COMMENT ON COLUMN twmesh.result_flow.src_id IS 'As in result.';
COMMENT ON COLUMN twmesh.result_flow.dst_id IS 'As in result.';
COMMENT ON COLUMN twmesh.result_flow.class_id IS 'As in result.';
COMMENT ON COLUMN twmesh.result_flow.sent IS 'Packets the kernel accepted.';
COMMENT ON COLUMN twmesh.result_flow.received IS
    'Packets answered within the loss timeout.';
COMMENT ON COLUMN twmesh.result_flow.lost_fwd IS
    'Packets lost src to dst, as known when the interval was closed.';
COMMENT ON COLUMN twmesh.result_flow.lost_bwd IS 'Packets lost dst to src.';
COMMENT ON COLUMN twmesh.result_flow.lost_undet IS
    'Packets lost in a direction that is not known. Not corrected by revisions.';
COMMENT ON COLUMN twmesh.result_flow.rtt_min_ms IS
    'Round trip, minimum, ms. NULL: nothing received.';
COMMENT ON COLUMN twmesh.result_flow.rtt_mean_ms IS
    'Mean, ms. NULL: nothing received.';
COMMENT ON COLUMN twmesh.result_flow.fwd_mean_ms IS
    'Mean one-way delay src to dst, ms; contains the clock offset. NULL: nothing received.';
COMMENT ON COLUMN twmesh.result_flow.bwd_mean_ms IS
    'Mean one-way delay dst to src, ms. NULL: nothing received.';
COMMENT ON COLUMN twmesh.result_flow.flow IS
    'From 0: the class''s first source port and upward.';

-- The partitions of a day belong together. A caller that must not wait behind
-- a long reader has a short lock_timeout, as here.
CREATE OR REPLACE FUNCTION twmesh_private.add_partition(day date)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '1s'
AS $$
DECLARE
    parent text;
    part text;
    made boolean := false;
    lo timestamptz := day::timestamp AT TIME ZONE 'UTC';
    hi timestamptz := (day + 1)::timestamp AT TIME ZONE 'UTC';
BEGIN
    IF day < current_date - 400 OR day > current_date + 400 THEN
        RAISE EXCEPTION 'day % is out of range', day;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('twmesh.add_partition'));
    FOREACH parent IN ARRAY ARRAY['result', 'result_detail', 'result_flow']
    LOOP
        part := parent || '_' || to_char(day, 'YYYYMMDD');
        CONTINUE WHEN to_regclass('twmesh.' || part) IS NOT NULL;
        EXECUTE format('CREATE TABLE twmesh.%I (LIKE twmesh.%I
            INCLUDING DEFAULTS INCLUDING COMMENTS,
            CONSTRAINT %I CHECK (ts IS NOT NULL AND ts >= %L AND ts < %L))',
            part, parent, part || '_range', lo, hi);
        EXECUTE format('COMMENT ON TABLE twmesh.%I IS %L', part,
            'Partition of twmesh.' || parent || ' for ' || day || ' UTC.');
        IF parent = 'result' THEN
            EXECUTE format('CREATE INDEX %I ON twmesh.%I USING brin
                (ts, src_id) WITH (pages_per_range = 32, autosummarize = on)',
                part || '_brin', part);
        ELSE
            EXECUTE format('CREATE INDEX %I ON twmesh.%I
                (src_id, ts, dst_id, class_id)', part || '_key', part);
        END IF;
        EXECUTE format('ALTER TABLE twmesh.%I ATTACH PARTITION twmesh.%I
            FOR VALUES FROM (%L) TO (%L)', parent, part, lo, hi);
        EXECUTE format('ALTER TABLE twmesh.%I DROP CONSTRAINT %I',
            part, part || '_range');
        -- Controllers write the partitions of these days directly.
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'twmesh_writer') THEN
            EXECUTE format('GRANT INSERT ON twmesh.%I TO twmesh_writer', part);
        END IF;
        made := true;
    END LOOP;
    RETURN made;
END $$;
COMMENT ON FUNCTION twmesh_private.add_partition(date) IS
    'Makes and attaches the partitions of a UTC day; false when they are there.';

-- Results of the days there are may still come with details.
SELECT twmesh_private.add_partition(to_date(substr(c.relname, 8), 'YYYYMMDD'))
  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
 WHERE i.inhparent = 'twmesh.result'::regclass
   AND c.relname ~ '^result_[0-9]{8}$';

-- Loss runs ---------------------------------------------------------------

CREATE TABLE twmesh_private.loss_run (
    src_id            integer NOT NULL,
    dst_id            integer NOT NULL,
    class_id          integer NOT NULL,
    revision          integer NOT NULL,
    run_id            bigint NOT NULL,
    first_at          timestamptz NOT NULL,
    last_at           timestamptz NOT NULL,
    before_at         timestamptz,
    after_at          timestamptz,
    lower_ms          double precision NOT NULL,
    upper_ms          double precision,
    first_seq         bigint NOT NULL,
    last_seq          bigint NOT NULL,
    recorded_at       timestamptz NOT NULL DEFAULT now(),
    lost_fwd          integer NOT NULL,
    lost_bwd          integer NOT NULL,
    lost_undet        integer NOT NULL,
    src_port          integer,
    dst_port          integer,
    first_flow        smallint NOT NULL,
    last_flow         smallint NOT NULL,
    state             smallint NOT NULL,
    reflector_restart boolean NOT NULL,
    host_limited      boolean NOT NULL,
    src_address       inet,
    dst_address       inet,
    PRIMARY KEY (src_id, dst_id, class_id, run_id)
);
CREATE INDEX loss_run_first ON twmesh_private.loss_run (first_at);
CREATE INDEX loss_run_run ON twmesh_private.loss_run (run_id);
CREATE INDEX loss_run_open_state ON twmesh_private.loss_run (recorded_at)
    WHERE state < 2;
COMMENT ON TABLE twmesh_private.loss_run IS
    'Runs of three and more lost packets of a session; kept for 400 days. See the view twmesh.loss_run.';
COMMENT ON COLUMN twmesh_private.loss_run.src_id IS 'Source: it sends, and reports.';
COMMENT ON COLUMN twmesh_private.loss_run.dst_id IS 'Destination.';
COMMENT ON COLUMN twmesh_private.loss_run.class_id IS 'Class (version).';
COMMENT ON COLUMN twmesh_private.loss_run.revision IS
    'Of the message that this row is from; a lower one changes nothing.';
COMMENT ON COLUMN twmesh_private.loss_run.run_id IS
    'Random, its 64 bits as a signed number.';
COMMENT ON COLUMN twmesh_private.loss_run.first_at IS
    'When the first lost packet was sent, by the source''s clock.';
COMMENT ON COLUMN twmesh_private.loss_run.last_at IS
    'When the last lost packet was sent.';
COMMENT ON COLUMN twmesh_private.loss_run.before_at IS
    'When the packet received last before was sent. NULL: none.';
COMMENT ON COLUMN twmesh_private.loss_run.after_at IS
    'When the packet received first after was sent. NULL: none yet.';
COMMENT ON COLUMN twmesh_private.loss_run.lower_ms IS
    'First to last lost, ms (monotonic).';
COMMENT ON COLUMN twmesh_private.loss_run.upper_ms IS
    'Received before to received after, ms. NULL: one of them is not known.';
COMMENT ON COLUMN twmesh_private.loss_run.first_seq IS
    'Sequence number of the first lost packet, of its flow.';
COMMENT ON COLUMN twmesh_private.loss_run.last_seq IS
    'Sequence number of the last lost packet, of its flow.';
COMMENT ON COLUMN twmesh_private.loss_run.recorded_at IS
    'Last message about it (database clock).';
COMMENT ON COLUMN twmesh_private.loss_run.lost_fwd IS 'Packets lost src to dst.';
COMMENT ON COLUMN twmesh_private.loss_run.lost_bwd IS 'Packets lost dst to src.';
COMMENT ON COLUMN twmesh_private.loss_run.lost_undet IS
    'Packets lost in a direction that is not known.';
COMMENT ON COLUMN twmesh_private.loss_run.src_port IS
    'UDP port of the source. NULL: not told.';
COMMENT ON COLUMN twmesh_private.loss_run.dst_port IS
    'UDP port of the destination. NULL: not told.';
COMMENT ON COLUMN twmesh_private.loss_run.first_flow IS
    'Flow of the first lost packet.';
COMMENT ON COLUMN twmesh_private.loss_run.last_flow IS
    'Flow of the last lost packet.';
COMMENT ON COLUMN twmesh_private.loss_run.state IS
    '0 open, 1 confirmed, 2 closed, 3 retracted, 4 abandoned (its source began anew and never closed it).';
COMMENT ON COLUMN twmesh_private.loss_run.reflector_restart IS
    'The reflector began anew within it.';
COMMENT ON COLUMN twmesh_private.loss_run.host_limited IS
    'The source''s own socket dropped packets: no fact about the network.';
COMMENT ON COLUMN twmesh_private.loss_run.src_address IS
    'Of the source. NULL: not told.';
COMMENT ON COLUMN twmesh_private.loss_run.dst_address IS
    'Of the destination. NULL: not told.';

-- One row per run, not per packet: 200 packets are written and deleted as one.
CREATE TABLE twmesh_private.loss_run_evidence (
    src_id        integer NOT NULL,
    dst_id        integer NOT NULL,
    class_id      integer NOT NULL,
    run_id        bigint NOT NULL,
    stored_at     timestamptz NOT NULL DEFAULT now(),
    seq           bigint[] NOT NULL,
    reflector_seq bigint[] NOT NULL,
    t1_ns         bigint[] NOT NULL,
    t2_ns         bigint[] NOT NULL,
    t3_ns         bigint[] NOT NULL,
    t4_ns         bigint[] NOT NULL,
    flow          smallint[] NOT NULL,
    fate          smallint[] NOT NULL,
    sender_ttl    smallint[] NOT NULL,
    ttl           smallint[] NOT NULL,
    tos           smallint[] NOT NULL,
    PRIMARY KEY (src_id, dst_id, class_id, run_id)
);
CREATE INDEX loss_run_evidence_stored
    ON twmesh_private.loss_run_evidence (stored_at);
COMMENT ON TABLE twmesh_private.loss_run_evidence IS
    'The packets around closed loss runs, at most 200 each, for 30 days; arrays in order of sending. See the view twmesh.loss_run_packet.';
COMMENT ON COLUMN twmesh_private.loss_run_evidence.src_id IS 'Of the run.';
COMMENT ON COLUMN twmesh_private.loss_run_evidence.dst_id IS 'Of the run.';
COMMENT ON COLUMN twmesh_private.loss_run_evidence.class_id IS 'Of the run.';
COMMENT ON COLUMN twmesh_private.loss_run_evidence.run_id IS 'Of the run.';
COMMENT ON COLUMN twmesh_private.loss_run_evidence.stored_at IS 'When.';
COMMENT ON COLUMN twmesh_private.loss_run_evidence.seq IS
    'Sequence numbers, of their flows.';
COMMENT ON COLUMN twmesh_private.loss_run_evidence.reflector_seq IS
    'The reflector''s sequence numbers. NULL: no reply.';
COMMENT ON COLUMN twmesh_private.loss_run_evidence.t1_ns IS
    'Sent, ns since 1970 by the source''s clock. NULL: not known.';
COMMENT ON COLUMN twmesh_private.loss_run_evidence.t2_ns IS
    'Received by the reflector, ns since 1970 by its clock. NULL: not known.';
COMMENT ON COLUMN twmesh_private.loss_run_evidence.t3_ns IS
    'Sent by the reflector. NULL: not known.';
COMMENT ON COLUMN twmesh_private.loss_run_evidence.t4_ns IS
    'Reply received, by the source''s clock. NULL: not known.';
COMMENT ON COLUMN twmesh_private.loss_run_evidence.flow IS 'From 0.';
COMMENT ON COLUMN twmesh_private.loss_run_evidence.fate IS
    '0 received, 1 lost src to dst, 2 lost dst to src, 3 lost, direction not known, 4 late.';
COMMENT ON COLUMN twmesh_private.loss_run_evidence.sender_ttl IS
    'TTL as received by the reflector. NULL: not known.';
COMMENT ON COLUMN twmesh_private.loss_run_evidence.ttl IS
    'TTL of the reply as received. NULL: not known.';
COMMENT ON COLUMN twmesh_private.loss_run_evidence.tos IS
    'TOS (DSCP and ECN) of the reply as received. NULL: not known.';

-- At most one per session: the newest. Small, and read for every matrix.
CREATE TABLE twmesh_private.loss_run_open (
    src_id       integer NOT NULL,
    dst_id       integer NOT NULL,
    class_id     integer NOT NULL,
    run_id       bigint NOT NULL,
    first_at     timestamptz NOT NULL,
    began_at     timestamptz NOT NULL,
    lost         integer NOT NULL,
    host_limited boolean NOT NULL,
    PRIMARY KEY (src_id, dst_id, class_id)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);
COMMENT ON TABLE twmesh_private.loss_run_open IS
    'Loss runs that are open now, by session. No reply came since they began.';
COMMENT ON COLUMN twmesh_private.loss_run_open.src_id IS 'Source.';
COMMENT ON COLUMN twmesh_private.loss_run_open.dst_id IS 'Destination.';
COMMENT ON COLUMN twmesh_private.loss_run_open.class_id IS 'Class (version).';
COMMENT ON COLUMN twmesh_private.loss_run_open.run_id IS 'As in loss_run.';
COMMENT ON COLUMN twmesh_private.loss_run_open.first_at IS
    'First lost packet, by the source''s clock.';
COMMENT ON COLUMN twmesh_private.loss_run_open.began_at IS
    'The same by the database''s clock, as far as the source''s offset is known.';
COMMENT ON COLUMN twmesh_private.loss_run_open.lost IS
    'Packets lost when it was last told.';
COMMENT ON COLUMN twmesh_private.loss_run_open.host_limited IS
    'No fact about the network: makes no cell critical.';

-- A source that died or began anew never closes its run. It is over when a
-- whole later interval of the session has replies, or its plan is gone.
CREATE FUNCTION twmesh_private.sweep_runs() RETURNS void
LANGUAGE sql
BEGIN ATOMIC
    DELETE FROM twmesh_private.loss_run_open o
     WHERE NOT EXISTS (
           SELECT FROM twmesh.node s, twmesh.node d, twmesh.class k
            WHERE s.node_id = o.src_id AND s.removed_at IS NULL
              AND d.node_id = o.dst_id AND d.removed_at IS NULL
              AND k.class_id = o.class_id AND k.retired_at IS NULL)
        OR EXISTS (
           SELECT FROM twmesh_private.path_state p, twmesh.node d, twmesh.class k
            WHERE p.src_id = o.src_id AND p.class_id = o.class_id
              AND d.node_id = o.dst_id AND k.class_id = o.class_id
              AND p.generation[d.slot] = d.slot_generation
              AND p.newest_measured_at
                  - p.behind_us[d.slot] * interval '1 us'
                  - k.interval_ms * interval '1 ms' >= o.first_at
              AND p.lost[d.slot] < p.sent[d.slot]);
    UPDATE twmesh_private.loss_run r SET state = 4
     WHERE r.state < 2 AND r.recorded_at < now() - interval '1 minute'
       AND NOT EXISTS (
           SELECT FROM twmesh_private.loss_run_open o
            WHERE o.src_id = r.src_id AND o.dst_id = r.dst_id
              AND o.class_id = r.class_id AND o.run_id = r.run_id);
END;
COMMENT ON FUNCTION twmesh_private.sweep_runs() IS
    'Ends open loss runs that nobody will close any more (state abandoned).';

-- In pieces, so that no transaction is long: called again until it is false.
CREATE FUNCTION twmesh_private.forget_old(most integer) RETURNS boolean
LANGUAGE plpgsql
AS $$
DECLARE
    n bigint;
    gone bigint := 0;
BEGIN
    DELETE FROM twmesh_private.loss_run_evidence WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM twmesh_private.loss_run_evidence
         WHERE stored_at < now() - interval '30 days' LIMIT most));
    GET DIAGNOSTICS n = ROW_COUNT;
    gone := greatest(gone, n);
    DELETE FROM twmesh.result_revision WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM twmesh.result_revision
         WHERE ts < now() - interval '400 days' LIMIT most));
    GET DIAGNOSTICS n = ROW_COUNT;
    gone := greatest(gone, n);
    DELETE FROM twmesh_private.loss_run WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM twmesh_private.loss_run
         WHERE first_at < now() - interval '400 days' LIMIT most));
    GET DIAGNOSTICS n = ROW_COUNT;
    gone := greatest(gone, n);
    DELETE FROM twmesh.node_host_limited WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM twmesh.node_host_limited
         WHERE recorded_at < now() - interval '400 days' LIMIT most));
    GET DIAGNOSTICS n = ROW_COUNT;
    gone := greatest(gone, n);
    DELETE FROM twmesh.node_host_limited WHERE ctid = ANY (ARRAY(
        SELECT h.ctid FROM (
            SELECT ctid, row_number() OVER (PARTITION BY node_id
                       ORDER BY t_from DESC) AS rank
              FROM twmesh.node_host_limited) h
         WHERE h.rank > 10000 LIMIT most));
    GET DIAGNOSTICS n = ROW_COUNT;
    gone := greatest(gone, n);
    RETURN gone >= most;
END $$;
COMMENT ON FUNCTION twmesh_private.forget_old(integer) IS
    'Deletes at most so many rows of each kind that have outlived their use; true when there may be more.';

-- Hosts -------------------------------------------------------------------

CREATE TABLE twmesh.node_host_limited (
    node_id     integer NOT NULL,
    t_from      timestamptz NOT NULL,
    t_to        timestamptz NOT NULL CHECK (t_to >= t_from),
    drops       bigint NOT NULL,
    held        bigint NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (node_id, t_from)
);
CREATE INDEX node_host_limited_recorded
    ON twmesh.node_host_limited (recorded_at);
COMMENT ON TABLE twmesh.node_host_limited IS
    'Times in which a node''s own host kept its reflector from answering in time: what others lost there then is no fact about the network. At most 10,000 per node, for 400 days.';
COMMENT ON COLUMN twmesh.node_host_limited.node_id IS 'Whose reflector.';
COMMENT ON COLUMN twmesh.node_host_limited.t_from IS
    'First packet concerned, by the node''s clock.';
COMMENT ON COLUMN twmesh.node_host_limited.t_to IS
    'When the last one was read. Grows while the trouble lasts.';
COMMENT ON COLUMN twmesh.node_host_limited.drops IS
    'Packets its socket had no room for.';
COMMENT ON COLUMN twmesh.node_host_limited.held IS
    'Packets read more than 100 ms after they arrived.';
COMMENT ON COLUMN twmesh.node_host_limited.recorded_at IS
    'When it was last told (database clock).';

ALTER TABLE twmesh_private.ledger
    ADD COLUMN revisions integer NOT NULL DEFAULT 0,
    ADD COLUMN revisions_missed integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN twmesh_private.ledger.revisions IS
    'Rows of twmesh.result that it corrected.';
COMMENT ON COLUMN twmesh_private.ledger.revisions_missed IS
    'Revisions without effect: their row was put aside, or knows as much.';

-- Views -------------------------------------------------------------------

CREATE OR REPLACE FUNCTION twmesh.result_flags(flags integer) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN array_remove(ARRAY[
    CASE WHEN flags & 1 <> 0 THEN 'partial' END,
    CASE WHEN flags & 2 <> 0 THEN 'clock_step' END,
    CASE WHEN flags & 4 <> 0 THEN 'host_limited' END,
    CASE WHEN flags & 8 <> 0 THEN 'reflector_restart' END,
    CASE WHEN flags & 16 <> 0 THEN 'stateless' END,
    CASE WHEN flags & 32 <> 0 THEN 'sync_src' END,
    CASE WHEN flags & 64 <> 0 THEN 'sync_dst' END,
    CASE WHEN flags & 128 <> 0 THEN 'unanswered' END,
    CASE WHEN flags & 256 <> 0 THEN 'host_late' END,
    CASE WHEN flags & 512 <> 0 THEN 'dst_host_limited' END,
    CASE WHEN flags & 1024 <> 0 THEN 'remarked' END,
    CASE WHEN flags & 2048 <> 0 THEN 'hops_changed' END], NULL);
COMMENT ON FUNCTION twmesh.result_flags(integer) IS
    'Names of the bits of result.flags: partial, clock_step (cut by a step of the source''s clock), host_limited (local drops or missing stamps), reflector_restart, stateless (the reflector gives no direction), sync_src and sync_dst (clock disciplined), unanswered (sending held back), host_late (the source''s own sends left late), dst_host_limited (replies late by the reflector''s own doing), remarked (DSCP changed on the way), hops_changed.';

CREATE FUNCTION twmesh.result_stamps(stamps integer) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN array_remove(ARRAY[
    CASE WHEN stamps & 1 <> 0 THEN 't1_kernel' END,
    CASE WHEN stamps & 2 <> 0 THEN 't1_user' END,
    CASE WHEN stamps & 4 <> 0 THEN 't1_nic' END,
    CASE WHEN stamps & 8 <> 0 THEN 't4_kernel' END,
    CASE WHEN stamps & 16 <> 0 THEN 't4_user' END,
    CASE WHEN stamps & 32 <> 0 THEN 't2_kernel' END,
    CASE WHEN stamps & 64 <> 0 THEN 't2_user' END,
    CASE WHEN stamps & 128 <> 0 THEN 't3_follow_up' END,
    CASE WHEN stamps & 256 <> 0 THEN 't3_user' END], NULL);
COMMENT ON FUNCTION twmesh.result_stamps(integer) IS
    'Names of the bits of stamps: where T1 (sent), T2 (received by the reflector), T3 (sent by it) and T4 (received) of an interval came from: the kernel, user space, the NIC, or Follow-Up Telemetry. Several of one T: some packets each.';
CREATE OR REPLACE VIEW twmesh.matrix_cell AS
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
               > class.overdue_after) AS overdue,
           -- Three seconds without a reply, and no newer result that has some.
           coalesce(o.began_at <= statement_timestamp() - interval '3 s'
               AND NOT coalesce(c.lost < c.sent AND c.measured_at
                   - class.interval_ms * interval '1 ms' >= o.first_at, false),
               false) AS down,
           o.run_id AS open_run, o.first_at AS open_since
      FROM node src
      CROSS JOIN node dst
      CROSS JOIN class
      CROSS JOIN fresh
      LEFT JOIN cell c ON c.src_id = src.node_id
           AND c.class_id = class.class_id AND c.slot = dst.slot
           AND c.generation = dst.slot_generation
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
            WHEN 'crit' THEN
                 CASE WHEN dst_state = 'stale' THEN dst_why || '; ' ELSE '' END
                 || concat_ws('; ', CASE WHEN down THEN 'no reply since '
                        || twmesh.utc_text(open_since) || ' (loss run '
                        || lpad(to_hex(open_run), 16, '0') || ')' END,
                        CASE WHEN state = 2 THEN state_why END)
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
       epoch, src_site, dst_site, src_state, dst_state,
       CASE WHEN down THEN lpad(to_hex(open_run), 16, '0') END AS open_run
  FROM named;
COMMENT ON COLUMN twmesh.matrix_cell.open_run IS
    'Loss run that has been open for 3 s: no reply since. NULL: none.';

CREATE OR REPLACE VIEW twmesh.path_matrix AS
SELECT src, dst, class, state, state_since, state_why, loss_pct, loss_max_pct,
       delay_ms, jitter_ms, rtt_ms, rtt_p99_ms, (
       SELECT t.fwd_mos FROM twmesh.class k
         JOIN twmesh.result_detail t ON t.class_id = k.class_id
        WHERE k.class_id = m.class_id AND k.codec IS NOT NULL
          AND t.src_id = m.src_id AND t.dst_id = m.dst_id
          AND t.ts = m.measured_at - k.interval_ms * interval '1 ms'
        LIMIT 1) AS mos, hops,
       one_way_trusted, clock_err_ms, NULL::integer AS witnesses,
       NULL::text AS witness_gap, NULL::text AS witness_verdict, sent, lost,
       measured_at, age_s, backfilled, epoch, src_site, dst_site
  FROM twmesh.matrix_cell m;
COMMENT ON COLUMN twmesh.path_matrix.mos IS
    'Voice quality, direction src to dst, 1 to 4.5. NULL: no voice class, nothing received, or the direction of some losses is not known.';

CREATE OR REPLACE VIEW twmesh.path_result AS
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
       r.rtt_hist, r.src_id, r.dst_id, r.class_id,
       (SELECT v.revised_at FROM twmesh.result_revision v
         WHERE v.src_id = r.src_id AND v.ts = r.ts AND v.dst_id = r.dst_id
           AND v.class_id = r.class_id) AS revised_at,
       CASE WHEN r.sent > 0
            THEN 100.0::real * r.lost_fwd / r.sent END AS loss_fwd_min_pct,
       CASE WHEN r.sent > 0
            THEN 100.0::real * (r.lost_fwd + r.lost_undet) / r.sent END
            AS loss_fwd_max_pct,
       CASE WHEN r.sent > r.lost_fwd
            THEN 100.0::real * r.lost_bwd / (r.sent - r.lost_fwd) END
            AS loss_bwd_min_pct,
       CASE WHEN r.sent > r.lost_fwd
            THEN 100.0::real * (r.lost_bwd + r.lost_undet)
                 / (r.sent - r.lost_fwd) END AS loss_bwd_max_pct,
       t.fwd_p99_ms - r.fwd_min_ms AS fwd_pdv_p99_ms,
       t.bwd_p99_ms - r.bwd_min_ms AS bwd_pdv_p99_ms,
       t.rtt_p999_ms, t.fwd_p50_ms, t.fwd_p99_ms, t.bwd_p50_ms, t.bwd_p99_ms,
       t.fwd_ipdv_p99_ms, t.bwd_ipdv_p99_ms,
       coalesce(t.rtt_unknown, 0) AS rtt_unknown, t.raw_rtt_mean_ms,
       coalesce(t.reordered, 0) AS reordered, t.fwd_reordered,
       t.bwd_reordered, t.reorder_extent, t.fwd_reorder_extent,
       t.bwd_reorder_extent, t.fwd_duplicates, t.bwd_duplicates,
       coalesce(t.altered, 0) AS altered,
       coalesce(t.loss_runs_1, 0) AS loss_runs_1,
       coalesce(t.loss_runs_2, 0) AS loss_runs_2,
       coalesce(t.loss_runs_long, 0) AS loss_runs_long, t.fwd_dscp,
       t.bwd_dscp, t.fwd_ecn, t.bwd_ecn, t.fwd_remarked, t.bwd_remarked,
       coalesce(t.fwd_hops_changed, 0) AS fwd_hops_changed,
       coalesce(t.bwd_hops_changed, 0) AS bwd_hops_changed,
       t.send_late_p50_ms, t.send_late_p99_ms, t.send_late_max_ms, t.stamps,
       coalesce(t.tx_stamps_missing, 0) AS tx_stamps_missing,
       coalesce(t.rx_stamps_missing, 0) AS rx_stamps_missing,
       t.t3_uncorrected, coalesce(t.late_dst_host, 0) AS late_dst_host,
       t.fwd_r, t.bwd_r, t.fwd_mos, t.bwd_mos,
       t.fwd_hist, t.bwd_hist,
       EXISTS (SELECT FROM twmesh.node_host_limited h
                WHERE h.node_id = r.dst_id
                  AND h.t_from < r.ts + r.interval_ms * interval '1 ms'
                  AND h.t_to > r.ts) AS dst_host_limited
  FROM twmesh.result r
  JOIN twmesh.node s ON s.node_id = r.src_id
  JOIN twmesh.node d ON d.node_id = r.dst_id
  JOIN twmesh.class c ON c.class_id = r.class_id
  LEFT JOIN twmesh.result_detail t ON t.src_id = r.src_id AND t.ts = r.ts
       AND t.dst_id = r.dst_id AND t.class_id = r.class_id
       AND t.span_ms = r.span_ms;
COMMENT ON COLUMN twmesh.path_result.revised_at IS
    'When the directions of its losses were corrected by a later reply; NULL: as reported at first.';
COMMENT ON COLUMN twmesh.path_result.loss_fwd_min_pct IS
    'Lower bound of the loss src to dst, %. NULL: nothing sent.';
COMMENT ON COLUMN twmesh.path_result.loss_fwd_max_pct IS
    'Upper bound: every packet lost in an unknown direction counted, %. NULL: nothing sent.';
COMMENT ON COLUMN twmesh.path_result.loss_bwd_min_pct IS
    'Lower bound of the loss dst to src, %. NULL: nothing arrived at dst.';
COMMENT ON COLUMN twmesh.path_result.loss_bwd_max_pct IS
    'Upper bound, %. NULL: nothing arrived at dst.';
COMMENT ON COLUMN twmesh.path_result.fwd_pdv_p99_ms IS
    '99th percentile of the packet delay variation src to dst (RFC 5481), ms: fwd_p99_ms - fwd_min_ms. NULL: no details, or fewer than 50 samples.';
COMMENT ON COLUMN twmesh.path_result.bwd_pdv_p99_ms IS
    'The same dst to src, ms.';
COMMENT ON COLUMN twmesh.path_result.dst_host_limited IS
    'The destination''s own host could not keep up meanwhile (node_host_limited): what was lost then is no fact about the network.';
DO $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT v.attname,
                    col_description(t.attrelid, t.attnum) AS what
               FROM pg_attribute v
               JOIN pg_attribute t ON t.attname = v.attname
                AND t.attrelid = 'twmesh.result_detail'::regclass
              WHERE v.attrelid = 'twmesh.path_result'::regclass
                AND t.attnum > 5
    LOOP
        EXECUTE format('COMMENT ON COLUMN twmesh.path_result.%I IS %L',
            r.attname, r.what);
    END LOOP;
END $$;

CREATE VIEW twmesh.path_flow AS
SELECT f.ts, s.name::text AS src, d.name::text AS dst, c.name::text AS class,
       c.version AS class_version, f.flow, f.sent, f.received, f.lost_fwd,
       f.lost_bwd, f.lost_undet, f.rtt_min_ms, f.rtt_mean_ms, f.fwd_mean_ms,
       f.bwd_mean_ms,
       CASE WHEN f.lost_undet = 0 AND f.sent > 0
            THEN 100.0::real * f.lost_fwd / f.sent END AS loss_fwd_pct,
       CASE WHEN f.lost_undet = 0 AND f.sent > f.lost_fwd
            THEN 100.0::real * f.lost_bwd / (f.sent - f.lost_fwd) END
            AS loss_bwd_pct,
       f.src_id, f.dst_id, f.class_id
  FROM twmesh.result_flow f
  JOIN twmesh.node s ON s.node_id = f.src_id
  JOIN twmesh.node d ON d.node_id = f.dst_id
  JOIN twmesh.class c ON c.class_id = f.class_id;
COMMENT ON VIEW twmesh.path_flow IS
    'History of single flows, with names: which member of an ECMP bundle loses. Restrict src and ts.';
DO $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT v.attname, coalesce(
                    col_description(t.attrelid, t.attnum),
                    col_description(p.attrelid, p.attnum)) AS what
               FROM pg_attribute v
               LEFT JOIN pg_attribute t ON t.attname = v.attname
                AND t.attrelid = 'twmesh.result_flow'::regclass
               LEFT JOIN pg_attribute p ON p.attname = v.attname
                AND p.attrelid = 'twmesh.path_result'::regclass
              WHERE v.attrelid = 'twmesh.path_flow'::regclass
    LOOP
        EXECUTE format('COMMENT ON COLUMN twmesh.path_flow.%I IS %L',
            r.attname, r.what);
    END LOOP;
END $$;

CREATE VIEW twmesh.loss_run AS
SELECT lpad(to_hex(r.run_id), 16, '0') AS run,
       s.name::text AS src, d.name::text AS dst, c.name::text AS class,
       c.version AS class_version,
       (ARRAY['open', 'confirmed', 'closed', 'retracted', 'abandoned'])
           [r.state + 1] AS state,
       r.first_at, r.last_at, r.before_at, r.after_at, r.lower_ms, r.upper_ms,
       c.gap_ns / 1e6::double precision AS resolution_ms,
       r.lost_fwd + r.lost_bwd + r.lost_undet AS lost, r.lost_fwd, r.lost_bwd,
       r.lost_undet, r.first_seq, r.last_seq, r.first_flow, r.last_flow,
       host(r.src_address) AS src_address, r.src_port,
       host(r.dst_address) AS dst_address, r.dst_port, r.reflector_restart,
       r.host_limited,
       EXISTS (SELECT FROM twmesh.node_host_limited h
                WHERE h.node_id = r.dst_id
                  AND h.t_from <= coalesce(r.after_at, r.last_at)
                  AND h.t_to >= r.first_at) AS dst_host_limited,
       coalesce((SELECT cardinality(e.seq)
          FROM twmesh_private.loss_run_evidence e
         WHERE e.src_id = r.src_id AND e.dst_id = r.dst_id
           AND e.class_id = r.class_id AND e.run_id = r.run_id), 0)
           AS packets,
       r.revision, r.recorded_at, r.run_id, r.src_id, r.dst_id, r.class_id
  FROM twmesh_private.loss_run r
  JOIN twmesh.node s ON s.node_id = r.src_id
  JOIN twmesh.node d ON d.node_id = r.dst_id
  JOIN twmesh.class c ON c.class_id = r.class_id
 WHERE r.state <> 3;
COMMENT ON VIEW twmesh.loss_run IS
    'Runs of three and more lost packets in a row (RFC 3357), without those that were retracted. A shorter outage than resolution_ms may pass unseen.';
CREATE VIEW twmesh.loss_run_packet AS
SELECT lpad(to_hex(e.run_id), 16, '0') AS run, p.position::integer AS position,
       p.seq, p.flow,
       (ARRAY['received', 'fwd', 'bwd', 'undetermined', 'late'])
           [p.fate + 1] AS fate,
       timestamptz 'epoch' + p.t1_ns / 1000 * interval '1 us' AS t1,
       timestamptz 'epoch' + p.t2_ns / 1000 * interval '1 us' AS t2,
       timestamptz 'epoch' + p.t3_ns / 1000 * interval '1 us' AS t3,
       timestamptz 'epoch' + p.t4_ns / 1000 * interval '1 us' AS t4,
       p.reflector_seq, p.sender_ttl, p.ttl, p.tos, p.t1_ns, p.t2_ns, p.t3_ns,
       p.t4_ns, e.run_id, e.src_id, e.dst_id, e.class_id
  FROM twmesh_private.loss_run_evidence e,
       unnest(e.seq, e.flow, e.fate, e.t1_ns, e.t2_ns, e.t3_ns, e.t4_ns,
              e.reflector_seq, e.sender_ttl, e.ttl, e.tos) WITH ORDINALITY
       AS p (seq, flow, fate, t1_ns, t2_ns, t3_ns, t4_ns, reflector_seq,
             sender_ttl, ttl, tos, position);
COMMENT ON VIEW twmesh.loss_run_packet IS
    'The packets around loss runs, at most 200 each, in order of sending, for 30 days. Restrict run_id (or run, which is slower).';
DO $$
DECLARE
    d text[];
BEGIN
    FOREACH d SLICE 1 IN ARRAY ARRAY[
        ['loss_run.run', 'Its id, 16 hexadecimal digits.'],
        ['loss_run.src', 'Source: it sends, and reports. Also of nodes removed since.'],
        ['loss_run.dst', 'Destination: its reflector answers.'],
        ['loss_run.class', 'Kind of traffic.'],
        ['loss_run.class_version', 'Version of its packets.'],
        ['loss_run.state', 'open (provisional), confirmed (the loss timeout has passed), closed, abandoned (its source began anew and never closed it).'],
        ['loss_run.first_at', 'When the first lost packet was sent, by the source''s clock.'],
        ['loss_run.last_at', 'When the last lost packet was sent (so far).'],
        ['loss_run.before_at', 'When the packet received last before was sent. NULL: none.'],
        ['loss_run.after_at', 'When the packet received first after was sent. NULL: none.'],
        ['loss_run.lower_ms', 'First to last lost, ms: it lasted at least so long.'],
        ['loss_run.upper_ms', 'Received before to received after, ms: it lasted at most so long. NULL: not known, or open.'],
        ['loss_run.resolution_ms', 'Mean time between packets of the class, ms.'],
        ['loss_run.lost', 'Packets = lost_fwd + lost_bwd + lost_undet.'],
        ['loss_run.lost_fwd', 'Packets lost src to dst.'],
        ['loss_run.lost_bwd', 'Packets lost dst to src.'],
        ['loss_run.lost_undet', 'Packets lost in a direction that is not known.'],
        ['loss_run.first_seq', 'Sequence number of the first lost packet, of its flow.'],
        ['loss_run.last_seq', 'Sequence number of the last lost packet, of its flow.'],
        ['loss_run.first_flow', 'Flow of the first lost packet.'],
        ['loss_run.last_flow', 'Flow of the last lost packet.'],
        ['loss_run.src_address', 'NULL: not told.'],
        ['loss_run.src_port', 'UDP. NULL: not told.'],
        ['loss_run.dst_address', 'NULL: not told.'],
        ['loss_run.dst_port', 'UDP. NULL: not told.'],
        ['loss_run.reflector_restart', 'The reflector began anew within it.'],
        ['loss_run.host_limited', 'The source''s own socket dropped packets: no fact about the network.'],
        ['loss_run.dst_host_limited', 'The destination''s host could not keep up then (node_host_limited).'],
        ['loss_run.packets', 'Packets of evidence, see loss_run_packet; 0: none, or older than 30 days.'],
        ['loss_run.revision', 'Messages about it so far.'],
        ['loss_run.recorded_at', 'Last message about it (database clock).'],
        ['loss_run.run_id', 'Its id as a signed number.'],
        ['loss_run.src_id', 'Node.'], ['loss_run.dst_id', 'Node.'],
        ['loss_run.class_id', 'Version of the class.'],
        ['loss_run_packet.run', 'Of the run, 16 hexadecimal digits.'],
        ['loss_run_packet.position', 'Order of sending, from 1.'],
        ['loss_run_packet.seq', 'Sequence number, of its flow.'],
        ['loss_run_packet.flow', 'From 0.'],
        ['loss_run_packet.fate', 'received, fwd (lost src to dst), bwd, undetermined, late.'],
        ['loss_run_packet.t1', 'Sent, by the source''s clock.'],
        ['loss_run_packet.t2', 'Received by the reflector, by its clock. NULL: not known.'],
        ['loss_run_packet.t3', 'Sent by the reflector, by its clock. NULL: not known.'],
        ['loss_run_packet.t4', 'Reply received, by the source''s clock. NULL: none.'],
        ['loss_run_packet.reflector_seq', 'The reflector''s sequence number. NULL: no reply.'],
        ['loss_run_packet.sender_ttl', 'TTL as received by the reflector. NULL: not known.'],
        ['loss_run_packet.ttl', 'TTL of the reply as received. NULL: not known.'],
        ['loss_run_packet.tos', 'TOS (DSCP and ECN) of the reply as received. NULL: not known.'],
        ['loss_run_packet.t1_ns', 't1 to the nanosecond, since 1970.'],
        ['loss_run_packet.t2_ns', 't2 to the nanosecond.'],
        ['loss_run_packet.t3_ns', 't3 to the nanosecond.'],
        ['loss_run_packet.t4_ns', 't4 to the nanosecond.'],
        ['loss_run_packet.run_id', 'Of the run, as a signed number.'],
        ['loss_run_packet.src_id', 'Node.'], ['loss_run_packet.dst_id', 'Node.'],
        ['loss_run_packet.class_id', 'Version of the class.']]
    LOOP
        EXECUTE format('COMMENT ON COLUMN twmesh.%I.%I IS %L',
            split_part(d[1], '.', 1), split_part(d[1], '.', 2), d[2]);
    END LOOP;
END $$;

-- Functions ---------------------------------------------------------------

CREATE OR REPLACE FUNCTION twmesh.mesh_sentence(the_class text) RETURNS text
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    n record;
    c record;
    worst record;
    part text[] := '{}';
    head text;
    eta integer;
BEGIN
    SELECT count(*) AS nodes,
           bool_and(state = 'stale') AND bool_or(state_why LIKE 'no controller%')
               AS no_controller,
           min(state_why) FILTER (WHERE state_why LIKE 'no controller%') AS why,
           array_agg(name ORDER BY name) FILTER (WHERE state = 'stale') AS silent,
           min(state_since) FILTER (WHERE state = 'stale') AS silent_since,
           array_agg(name ORDER BY name) FILTER (WHERE state = 'stopped') AS stopped,
           max(state_since) FILTER (WHERE state = 'stopped') AS stopped_since
      INTO n FROM twmesh.node_status;
    IF n.nodes = 0 THEN
        RETURN 'no nodes yet';
    ELSIF n.nodes = 1 THEN
        RETURN 'one node so far: a mesh needs two';
    END IF;
    SELECT count(*) AS directions,
           count(*) FILTER (WHERE state = 'ok') AS healthy,
           count(*) FILTER (WHERE state = 'never') AS never,
           count(*) FILTER (WHERE state = 'stale' AND src_state = 'stale') AS unseen,
           count(*) FILTER (WHERE state = 'stale' AND src_state <> 'stale'
               AND src_state <> 'stopped' AND dst_state <> 'stopped') AS overdue,
           count(*) FILTER (WHERE state = 'crit' AND dst_state = 'stale') AS gone,
           count(*) FILTER (WHERE state = 'crit' AND dst_state <> 'stale') AS crit,
           count(*) FILTER (WHERE measured_at IS NOT NULL) AS measured
      INTO c FROM twmesh.matrix_cell WHERE class = the_class;
    IF c.directions = 0 THEN
        RETURN 'no such class';
    END IF;
    IF n.why IS NOT NULL THEN
        RETURN n.why || ': none of ' || c.directions || ' directions is seen';
    END IF;
    IF c.measured = 0 THEN
        eta := twmesh.first_results_s(the_class);
        RETURN n.nodes || ' nodes, ' || c.directions || ' directions; '
            || coalesce('first results in about ' || eta || ' s',
                        'no results yet');
    END IF;
    head := c.healthy || ' of ' || c.directions || ' directions healthy';

    -- The worst by loss: critical first; not what a dead host explains.
    SELECT src, dst, state, state_since, loss_max_pct, loss_pct, sent, state_why,
           open_run
      INTO worst FROM twmesh.matrix_cell
     WHERE class = the_class AND dst_state <> 'stale'
       AND (state = 'crit' OR (state = 'ok' AND loss_max_pct > 0))
     ORDER BY state = 'crit' DESC, open_run IS NOT NULL DESC, loss_max_pct DESC NULLS FIRST, state_since
     LIMIT 1;
    IF FOUND THEN
        part := part || ('worst: ' || worst.src || '→' || worst.dst
            || CASE WHEN worst.open_run IS NOT NULL
                    THEN ' gets no reply'
                    WHEN worst.loss_max_pct IS NULL
                    THEN ' cannot be sent to'
                    WHEN worst.loss_max_pct >= 100 THEN ' loses everything'
                    WHEN worst.loss_pct IS NULL
                    THEN ' loses up to '
                         || twmesh.number_text(worst.loss_max_pct) || ' %'
                    ELSE ' loses '
                         || twmesh.number_text(worst.loss_pct) || ' %' END
            || CASE WHEN worst.state = 'crit'
                    THEN ' since ' || twmesh.utc_text(worst.state_since)
                    ELSE '' END);
    END IF;
    IF n.silent IS NOT NULL THEN
        part := part || (twmesh.words_list(n.silent, 4)
            || CASE WHEN cardinality(n.silent) = 1 THEN ' is' ELSE ' are' END
            || ' silent since ' || twmesh.utc_text(n.silent_since)
            || CASE WHEN c.unseen > 0
                    THEN ', ' || c.unseen || CASE c.unseen
                         WHEN 1 THEN ' direction' ELSE ' directions' END
                         || ' unseen' ELSE '' END
            || CASE WHEN c.gone > 0
                    THEN ', ' || c.gone || ' towards '
                         || CASE WHEN cardinality(n.silent) = 1
                                 THEN 'it' ELSE 'them' END || ' lost'
                    ELSE '' END);
    END IF;
    IF n.stopped IS NOT NULL THEN
        part := part || (twmesh.words_list(n.stopped, 4)
            || ' stopped on purpose at ' || twmesh.utc_text(n.stopped_since));
    END IF;
    IF c.overdue > 0 THEN
        part := part || (c.overdue
            || CASE c.overdue WHEN 1 THEN ' direction has' ELSE ' directions have' END
            || ' overdue results');
    END IF;
    IF c.never > 0 THEN
        part := part || (c.never
            || CASE c.never WHEN 1 THEN ' direction has' ELSE ' directions have' END
            || ' no result yet');
    END IF;
    RETURN array_to_string(head || part, '; ');
END $$;
CREATE OR REPLACE FUNCTION twmesh.api_path(the_src text, the_dst text,
    the_class text DEFAULT NULL, since_s double precision DEFAULT NULL)
RETURNS json
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    k text := coalesce(the_class, twmesh.default_class());
    forward json := twmesh.api_cell(the_src, the_dst, k);
    span interval := make_interval(secs =>
        least(greatest(coalesce(since_s, 3600), 0), 31 * 86400));
    src_no integer;
    dst_no integer;
    rows json;
BEGIN
    IF forward IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT node_id INTO src_no FROM twmesh.node
     WHERE name = the_src AND removed_at IS NULL;
    SELECT node_id INTO dst_no FROM twmesh.node
     WHERE name = the_dst AND removed_at IS NULL;
    SELECT coalesce(json_agg(row_to_json(x) ORDER BY x.start), '[]')
      INTO rows
      FROM (SELECT twmesh.iso_utc(r.ts) AS start,
               r.interval_ms / 1000.0 AS interval_s, r.scheduled, r.sent,
               r.send_failed, r.received, r.lost, r.lost_fwd, r.lost_bwd,
               r.lost_undet, r.late, r.duplicates, r.rtt_min_ms AS rtt_min,
               r.rtt_mean_ms AS rtt_mean, r.rtt_max_ms AS rtt_max,
               r.rtt_p50_ms AS rtt_p50, r.rtt_p99_ms AS rtt_p99,
               r.fwd_min_ms AS fwd_min, r.fwd_mean_ms AS fwd_mean,
               r.fwd_max_ms AS fwd_max, r.bwd_min_ms AS bwd_min,
               r.bwd_mean_ms AS bwd_mean, r.bwd_max_ms AS bwd_max,
               r.fwd_ipdv_ms AS fwd_ipdv, r.bwd_ipdv_ms AS bwd_ipdv,
               r.fwd_jitter_rfc3550_ms AS fwd_jitter_rfc3550,
               r.bwd_jitter_rfc3550_ms AS bwd_jitter_rfc3550, r.fwd_hops,
               r.bwd_hops, r.clock_err_ms AS clock_err, r.local_drops,
               r.flags, r.span_ms AS span, t.rtt_p999_ms AS rtt_p999,
               t.fwd_p50_ms AS fwd_p50, t.fwd_p99_ms AS fwd_p99,
               t.bwd_p50_ms AS bwd_p50, t.bwd_p99_ms AS bwd_p99,
               t.fwd_ipdv_p99_ms AS fwd_ipdv_p99,
               t.bwd_ipdv_p99_ms AS bwd_ipdv_p99,
               coalesce(t.rtt_unknown, 0) AS rtt_unknown,
               t.raw_rtt_mean_ms AS raw_rtt_mean,
               coalesce(t.reordered, 0) AS reordered, t.fwd_reordered,
               t.bwd_reordered, t.reorder_extent, t.fwd_reorder_extent,
               t.bwd_reorder_extent, t.fwd_duplicates, t.bwd_duplicates,
               coalesce(t.altered, 0) AS altered,
               coalesce(t.loss_runs_1, 0) AS loss_runs_1,
               coalesce(t.loss_runs_2, 0) AS loss_runs_2,
               coalesce(t.loss_runs_long, 0) AS loss_runs_long, t.fwd_dscp,
               t.bwd_dscp, t.fwd_ecn, t.bwd_ecn, t.fwd_remarked,
               t.bwd_remarked,
               coalesce(t.fwd_hops_changed, 0) AS fwd_hops_changed,
               coalesce(t.bwd_hops_changed, 0) AS bwd_hops_changed,
               t.send_late_p50_ms AS send_late_p50,
               t.send_late_p99_ms AS send_late_p99,
               t.send_late_max_ms AS send_late_max, t.stamps,
               coalesce(t.tx_stamps_missing, 0) AS tx_stamps_missing,
               coalesce(t.rx_stamps_missing, 0) AS rx_stamps_missing,
               t.t3_uncorrected,
               coalesce(t.late_dst_host, 0) AS late_dst_host, t.fwd_r,
               t.bwd_r, t.fwd_mos, t.bwd_mos
              FROM (SELECT * FROM twmesh.result x
                     WHERE x.src_id = src_no AND x.dst_id = dst_no
                       AND x.class_id IN (SELECT class_id FROM twmesh.class
                                           WHERE name = k)
                       AND x.ts >= statement_timestamp() - span
                     ORDER BY x.ts DESC LIMIT 10000) r
              LEFT JOIN twmesh.result_detail t ON t.src_id = src_no
                   AND t.ts >= statement_timestamp() - span AND t.ts = r.ts
                   AND t.dst_id = dst_no AND t.class_id = r.class_id
                   AND t.span_ms = r.span_ms) x;
    RETURN json_build_object('src', the_src, 'dst', the_dst, 'class', k,
        'forward', forward, 'backward', twmesh.api_cell(the_dst, the_src, k),
        'results', rows);
END $$;

CREATE FUNCTION twmesh.iso_utc_ns(ns bigint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN to_char((timestamp 'epoch' + floor(ns / 1e9) * interval '1 s'),
               'YYYY-MM-DD"T"HH24:MI:SS')
       || '.' || lpad((((ns % 1000000000) + 1000000000) % 1000000000)::text,
                      9, '0') || 'Z';
COMMENT ON FUNCTION twmesh.iso_utc_ns(bigint) IS
    'An instant, ns since 1970, as ISO 8601 in UTC with nanoseconds.';

CREATE FUNCTION twmesh.run_number(run text) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN run ~ '^[0-9a-fA-F]{16}$'
            THEN ('x' || run)::bit(64)::bigint END;
COMMENT ON FUNCTION twmesh.run_number(text) IS
    'loss_run.run_id of 16 hexadecimal digits; NULL when they are none.';

-- One run as the API shows it.
CREATE FUNCTION twmesh.api_run(r twmesh.loss_run) RETURNS json
LANGUAGE sql STABLE
RETURN json_build_object(
    'run', r.run, 'src', r.src, 'dst', r.dst, 'class', r.class,
    'class_version', r.class_version, 'state', r.state,
    'first_at', twmesh.iso_utc(r.first_at),
    'last_at', twmesh.iso_utc(r.last_at),
    'before_at', twmesh.iso_utc(r.before_at),
    'after_at', twmesh.iso_utc(r.after_at),
    'lower_ms', r.lower_ms, 'upper_ms', r.upper_ms,
    'resolution_ms', r.resolution_ms, 'lost', r.lost,
    'lost_fwd', r.lost_fwd, 'lost_bwd', r.lost_bwd,
    'lost_undet', r.lost_undet, 'first_seq', r.first_seq,
    'last_seq', r.last_seq, 'first_flow', r.first_flow,
    'last_flow', r.last_flow, 'src_address', r.src_address,
    'src_port', r.src_port, 'dst_address', r.dst_address,
    'dst_port', r.dst_port, 'reflector_restart', r.reflector_restart,
    'host_limited', r.host_limited, 'dst_host_limited', r.dst_host_limited,
    'packets', r.packets);
COMMENT ON FUNCTION twmesh.api_run(twmesh.loss_run) IS
    'A loss run as JSON, as in GET /api/v1/outages.';

CREATE FUNCTION twmesh.api_outages(the_src text DEFAULT NULL,
    the_dst text DEFAULT NULL, the_class text DEFAULT NULL,
    longer_than_ms double precision DEFAULT NULL,
    since timestamptz DEFAULT NULL, most integer DEFAULT NULL)
RETURNS json
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    start timestamptz := coalesce(since,
        statement_timestamp() - interval '1 day');
    n integer := least(greatest(coalesce(most, 100), 1), 1000);
    at_least double precision := greatest(coalesce(longer_than_ms, 0), 0);
    found json;
    total bigint;
BEGIN
    IF (the_src IS NOT NULL AND NOT EXISTS (
            SELECT FROM twmesh.node WHERE name = the_src))
       OR (the_dst IS NOT NULL AND NOT EXISTS (
            SELECT FROM twmesh.node WHERE name = the_dst))
       OR (the_class IS NOT NULL AND NOT EXISTS (
            SELECT FROM twmesh.class WHERE name = the_class)) THEN
        RETURN NULL;
    END IF;
    SELECT coalesce(json_agg(twmesh.api_run(x.r) ORDER BY (x.r).first_at DESC)
               FILTER (WHERE x.rank <= n), '[]'), count(*)
      INTO found, total
      FROM (SELECT s.r, row_number() OVER () AS rank FROM (
            SELECT r FROM twmesh.loss_run r
             WHERE (the_src IS NULL OR r.src = the_src)
               AND (the_dst IS NULL OR r.dst = the_dst)
               AND (the_class IS NULL OR r.class = the_class)
               AND (r.first_at >= start OR r.state IN ('open', 'confirmed'))
               AND coalesce(r.upper_ms, r.lower_ms) >= at_least
             ORDER BY r.first_at DESC LIMIT n + 1) s) x;
    RETURN json_build_object(
        'at', twmesh.iso_utc(statement_timestamp()),
        'since', twmesh.iso_utc(start), 'longer_than_ms', at_least,
        'limit', n, 'more', total > n, 'outages', found);
END $$;
COMMENT ON FUNCTION twmesh.api_outages(text, text, text, double precision,
    timestamptz, integer) IS
    'GET /api/v1/outages: loss runs, newest first, by their upper bound (the lower one where it is not known). Open ones whenever they began. NULL for an unknown node or class.';

CREATE FUNCTION twmesh.api_evidence(the_run text) RETURNS json
LANGUAGE sql STABLE
RETURN (SELECT json_build_object(
    'at', twmesh.iso_utc(statement_timestamp()),
    'run', twmesh.api_run(r),
    'packets', (SELECT coalesce(json_agg(json_build_object(
            'position', p.position, 'seq', p.seq, 'flow', p.flow,
            'fate', p.fate, 't1', twmesh.iso_utc_ns(p.t1_ns),
            't2', twmesh.iso_utc_ns(p.t2_ns), 't3', twmesh.iso_utc_ns(p.t3_ns),
            't4', twmesh.iso_utc_ns(p.t4_ns),
            'reflector_seq', p.reflector_seq, 'sender_ttl', p.sender_ttl,
            'ttl', p.ttl, 'tos', p.tos) ORDER BY p.position), '[]')
        FROM twmesh.loss_run_packet p
       WHERE p.run_id = r.run_id AND p.src_id = r.src_id
         AND p.dst_id = r.dst_id AND p.class_id = r.class_id))
    FROM twmesh.loss_run r
   WHERE r.run_id = twmesh.run_number(the_run)
   ORDER BY r.first_at LIMIT 1);
COMMENT ON FUNCTION twmesh.api_evidence(text) IS
    'GET /api/v1/evidence: a loss run with the packets around it. NULL for an unknown run.';

-- Rights, as in 0004 ------------------------------------------------------

REVOKE ALL ON FUNCTION twmesh_private.sweep_runs(),
    twmesh_private.forget_old(integer) FROM PUBLIC;
DO $$
DECLARE
    o record;
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'twmesh_reader') THEN
        GRANT SELECT ON ALL TABLES IN SCHEMA twmesh TO twmesh_reader;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'twmesh_writer') THEN
        GRANT SELECT ON ALL TABLES IN SCHEMA twmesh, twmesh_private
            TO twmesh_writer;
        GRANT INSERT ON twmesh.result_detail, twmesh.result_flow,
            twmesh.result_revision, twmesh.node_host_limited, twmesh_private.loss_run,
            twmesh_private.loss_run_evidence, twmesh_private.loss_run_open
            TO twmesh_writer;
        GRANT UPDATE ON twmesh.result, twmesh.result_revision,
            twmesh.node_host_limited,
            twmesh_private.ledger, twmesh_private.loss_run,
            twmesh_private.loss_run_evidence, twmesh_private.loss_run_open
            TO twmesh_writer;
        GRANT DELETE ON twmesh.result_revision, twmesh.node_host_limited,
            twmesh_private.loss_run,
            twmesh_private.loss_run_evidence, twmesh_private.loss_run_open
            TO twmesh_writer;
        GRANT EXECUTE ON FUNCTION twmesh_private.sweep_runs(),
            twmesh_private.forget_old(integer) TO twmesh_writer;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'twmesh_owner') THEN
        BEGIN
            FOR o IN SELECT c.oid::regclass AS name
                       FROM pg_class c
                      WHERE c.relnamespace IN ('twmesh'::regnamespace,
                                               'twmesh_private'::regnamespace)
                        AND c.relkind IN ('r', 'p', 'v')
            LOOP
                EXECUTE format('ALTER TABLE %s OWNER TO twmesh_owner', o.name);
            END LOOP;
            FOR o IN SELECT p.oid::regprocedure AS name FROM pg_proc p
                      WHERE p.pronamespace IN ('twmesh'::regnamespace,
                                               'twmesh_private'::regnamespace)
            LOOP
                EXECUTE format('ALTER FUNCTION %s OWNER TO twmesh_owner', o.name);
            END LOOP;
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE NOTICE 'the objects stay with %: they cannot be handed to twmesh_owner (%)', current_user, SQLERRM;
        END;
    END IF;
END $$;
