-- SPDX-License-Identifier: BSD-2-Clause
--
-- History that lasts: a lease with fencing for whoever keeps house, rollups of
-- 5 minutes and 1 hour with the counts that say when they are stale, windows
-- of the matrix, partitions that come and go, and the functions that read it.

-- The lease ---------------------------------------------------------------

CREATE TABLE twmesh_private.lease (
    name          text PRIMARY KEY,
    holder        uuid,
    fence         bigint NOT NULL DEFAULT 0,
    expires_at    timestamptz NOT NULL DEFAULT '-infinity',
    pid           integer,
    backend_start timestamptz
) WITH (fillfactor = 50);
COMMENT ON TABLE twmesh_private.lease IS
    'Who does a kind of maintenance: one controller at a time. Each of its transactions locks the row and checks holder and fence, so that one who slept past his time cannot write.';
COMMENT ON COLUMN twmesh_private.lease.name IS 'keeper: all maintenance.';
COMMENT ON COLUMN twmesh_private.lease.holder IS
    'Run of the controller (twmesh_private.controller.instance_id). NULL: nobody yet.';
COMMENT ON COLUMN twmesh_private.lease.fence IS
    'Grows whenever the lease changes hands.';
COMMENT ON COLUMN twmesh_private.lease.expires_at IS
    'Another may take it then (database clock).';
COMMENT ON COLUMN twmesh_private.lease.pid IS
    'The holder''s server process, ended when the lease is taken from it. NULL: none.';
COMMENT ON COLUMN twmesh_private.lease.backend_start IS
    'When that process began: process numbers come again. NULL: none.';
INSERT INTO twmesh_private.lease (name) VALUES ('keeper');

-- A holder that hangs in a transaction holds the row too: its server process is
-- ended, which rolls back, and the next call takes the lease.
CREATE FUNCTION twmesh_private.lease_take(the_name text, me uuid,
    ttl interval) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    l twmesh_private.lease;
    locked boolean;
BEGIN
    SELECT * INTO l FROM twmesh_private.lease WHERE name = the_name
       FOR UPDATE SKIP LOCKED;
    locked := FOUND;
    IF NOT locked THEN
        SELECT * INTO l FROM twmesh_private.lease WHERE name = the_name;
    END IF;
    IF l.name IS NULL OR l.expires_at > clock_timestamp() THEN
        RETURN NULL;
    END IF;
    BEGIN
        PERFORM pg_terminate_backend(a.pid) FROM pg_stat_activity a
          WHERE a.pid = l.pid AND a.backend_start = l.backend_start
            AND a.pid <> pg_backend_pid();
    EXCEPTION WHEN insufficient_privilege THEN
        NULL; -- its transactions fail by the fence, or by their timeout
    END;
    IF NOT locked THEN
        RETURN NULL;
    END IF;
    UPDATE twmesh_private.lease
       SET holder = me, fence = fence + 1,
           expires_at = clock_timestamp() + ttl, pid = pg_backend_pid(),
           backend_start = (SELECT a.backend_start FROM pg_stat_activity a
                             WHERE a.pid = pg_backend_pid())
     WHERE name = the_name RETURNING * INTO l;
    RETURN l.fence;
END $$;
COMMENT ON FUNCTION twmesh_private.lease_take(text, uuid, interval) IS
    'The fence when the lease is ours now; NULL while another holds it.';

-- What was stored ---------------------------------------------------------

CREATE TABLE twmesh_private.stored (
    ts        timestamptz NOT NULL,
    src_id    integer NOT NULL,
    rows      integer NOT NULL,
    revisions integer NOT NULL
) WITH (autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_scale_factor = 0,
        autovacuum_vacuum_insert_threshold = -1);
COMMENT ON TABLE twmesh_private.stored IS
    'What transactions of results stored, per 5 minutes and source: each appends, in the same transaction; the keeper adds it up in twmesh_private.bucket.';
COMMENT ON COLUMN twmesh_private.stored.ts IS
    'Begin of the 5 minutes, by the source''s clock.';
COMMENT ON COLUMN twmesh_private.stored.src_id IS 'Source.';
COMMENT ON COLUMN twmesh_private.stored.rows IS 'Rows of twmesh.result.';
COMMENT ON COLUMN twmesh_private.stored.revisions IS
    'Rows of twmesh.result that were corrected.';

CREATE TABLE twmesh_private.bucket (
    ts               timestamptz NOT NULL,
    step_s           integer NOT NULL CHECK (step_s IN (300, 3600)),
    src_id           integer NOT NULL,
    rows             bigint NOT NULL,
    revisions        bigint NOT NULL,
    rolled_rows      bigint NOT NULL DEFAULT 0,
    rolled_revisions bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (step_s, ts, src_id)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX bucket_stale ON twmesh_private.bucket (step_s, ts)
    WHERE rows <> rolled_rows OR revisions <> rolled_revisions;
COMMENT ON TABLE twmesh_private.bucket IS
    'Rollups by time and source: what there is to roll up, and what was. A rollup is stale exactly when they differ. Forgotten with the raw rows.';
COMMENT ON COLUMN twmesh_private.bucket.ts IS 'Begin of the bucket.';
COMMENT ON COLUMN twmesh_private.bucket.step_s IS
    'Its length: 300 or 3600 seconds.';
COMMENT ON COLUMN twmesh_private.bucket.src_id IS 'Source.';
COMMENT ON COLUMN twmesh_private.bucket.rows IS
    'Raw rows there are; for an hour those in its 5-minute rollups.';
COMMENT ON COLUMN twmesh_private.bucket.revisions IS
    'Corrections of them so far, in the same way.';
COMMENT ON COLUMN twmesh_private.bucket.rolled_rows IS
    'rows when it was rolled up last; 0: never.';
COMMENT ON COLUMN twmesh_private.bucket.rolled_revisions IS
    'revisions when it was rolled up last.';

-- What was stored before there were counts.
INSERT INTO twmesh_private.bucket (step_s, ts, src_id, rows, revisions)
SELECT 300, date_bin('5 minutes', ts, 'epoch'), src_id, count(*), 0
  FROM twmesh.result GROUP BY 2, 3;

-- Rollups -----------------------------------------------------------------

CREATE TABLE twmesh.rollup_5min (
    ts                    timestamptz NOT NULL,
    src_id                integer NOT NULL,
    dst_id                integer NOT NULL,
    class_id              integer NOT NULL,
    intervals             integer NOT NULL,
    host_limited          integer NOT NULL,
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
    loss_runs_1           integer NOT NULL,
    loss_runs_2           integer NOT NULL,
    loss_runs_long        integer NOT NULL,
    span_ms               real NOT NULL,
    rtt_min_ms            real,
    rtt_mean_ms           real,
    rtt_max_ms            real,
    rtt_p50_ms            real,
    rtt_p95_ms            real,
    rtt_p99_ms            real,
    fwd_min_ms            real,
    fwd_mean_ms           real,
    fwd_max_ms            real,
    bwd_min_ms            real,
    bwd_mean_ms           real,
    bwd_max_ms            real,
    fwd_ipdv_ms           real,
    bwd_ipdv_ms           real,
    fwd_ipdv_max_ms       real,
    bwd_ipdv_max_ms       real,
    fwd_jitter_rfc3550_ms real,
    bwd_jitter_rfc3550_ms real,
    clock_err_ms          real,
    fwd_hops              smallint,
    bwd_hops              smallint,
    flags                 smallint NOT NULL,
    rtt_hist              bytea,
    PRIMARY KEY (src_id, dst_id, class_id, ts)
) PARTITION BY RANGE (ts);
DO $$
DECLARE
    d text[];
BEGIN
    FOREACH d SLICE 1 IN ARRAY ARRAY[
        ['ts', 'Begin of the bucket, by the source''s clock. A result belongs to the bucket in which its interval begins.'],
        ['src_id', 'Source: it sends, and reports.'],
        ['dst_id', 'Destination: its reflector answers.'],
        ['class_id', 'Version of a class (twmesh.class).'],
        ['intervals', 'Results merged.'],
        ['host_limited', 'Those of them marked host_limited or dst_host_limited.'],
        ['scheduled', 'Send slots, packets.'],
        ['sent', 'Packets the kernel accepted.'],
        ['send_failed', 'Packets the kernel refused.'],
        ['received', 'Packets answered within the loss timeout.'],
        ['lost', 'Packets not answered in time = lost_fwd + lost_bwd + lost_undet.'],
        ['lost_fwd', 'Packets lost on the way src to dst, by fact.'],
        ['lost_bwd', 'Packets lost on the way dst to src, by fact.'],
        ['lost_undet', 'Packets lost in a direction that is not known.'],
        ['late', 'Replies after the loss timeout.'],
        ['duplicates', 'Copies beyond the first reply, packets.'],
        ['local_drops', 'Packets dropped by the source''s own socket.'],
        ['loss_runs_1', 'Losses that stand alone.'],
        ['loss_runs_2', 'Runs of two lost packets.'],
        ['loss_runs_long', 'Runs of three and more that began here, see loss_run.'],
        ['span_ms', 'Time that results really cover, ms.'],
        ['rtt_min_ms', 'Round trip, minimum, ms. NULL: nothing received.'],
        ['rtt_mean_ms', 'Mean over packets, ms. NULL: nothing received.'],
        ['rtt_max_ms', 'Maximum, ms. NULL: nothing received.'],
        ['rtt_p50_ms', 'Median from the merged histogram, ms, within 1.6 % of its distance from the minimum (see docs/SCHEMA.md). NULL: no histogram.'],
        ['rtt_p95_ms', '95th percentile, in the same way. NULL: fewer than 20 samples.'],
        ['rtt_p99_ms', '99th percentile, in the same way. NULL: fewer than 50 samples.'],
        ['fwd_min_ms', 'One-way delay src to dst, minimum, ms; contains the clock offset. NULL: nothing received.'],
        ['fwd_mean_ms', 'Mean over packets, ms. NULL: nothing received.'],
        ['fwd_max_ms', 'Maximum, ms. NULL: nothing received.'],
        ['bwd_min_ms', 'One-way delay dst to src, minimum, ms; contains the clock offset. NULL: nothing received.'],
        ['bwd_mean_ms', 'Mean over packets, ms. NULL: nothing received.'],
        ['bwd_max_ms', 'Maximum, ms. NULL: nothing received.'],
        ['fwd_ipdv_ms', 'Mean |IPDV| src to dst, ms (RFC 3393), weighted by packets received. NULL: no pair.'],
        ['bwd_ipdv_ms', 'Mean |IPDV| dst to src, ms, likewise. NULL: no pair.'],
        ['fwd_ipdv_max_ms', 'Largest mean |IPDV| of an interval src to dst, ms. NULL: no pair.'],
        ['bwd_ipdv_max_ms', 'Largest mean |IPDV| of an interval dst to src, ms. NULL: no pair.'],
        ['fwd_jitter_rfc3550_ms', 'Largest smoothed jitter src to dst at the end of an interval, ms (RFC 3550). NULL: no pair.'],
        ['bwd_jitter_rfc3550_ms', 'The same dst to src, ms. NULL: no pair.'],
        ['clock_err_ms', 'Largest bound of the error of one-way delays, ms. NULL: a clock was not synchronised in some interval.'],
        ['fwd_hops', 'Routers src to dst in the last interval that knows. NULL: none does.'],
        ['bwd_hops', 'Routers dst to src, likewise. NULL: none knows.'],
        ['flags', 'Bits of all intervals, named by twmesh.result_flags().'],
        ['rtt_hist', 'Merged histogram of round trips, as in result. NULL: none.']]
    LOOP
        EXECUTE format('COMMENT ON COLUMN twmesh.rollup_5min.%I IS %L',
            d[1], d[2]);
    END LOOP;
END $$;
CREATE TABLE twmesh.rollup_1h (LIKE twmesh.rollup_5min INCLUDING COMMENTS,
    PRIMARY KEY (src_id, dst_id, class_id, ts)) PARTITION BY RANGE (ts);
-- Rows of a bucket lie together: for windows, hours, and what is redone.
CREATE INDEX rollup_5min_brin ON twmesh.rollup_5min
    USING brin (ts, src_id) WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX rollup_1h_brin ON twmesh.rollup_1h
    USING brin (ts, src_id) WITH (pages_per_range = 32, autosummarize = on);
COMMENT ON TABLE twmesh.rollup_5min IS
    'History in buckets of 5 minutes: one row per session with results in it, recomputed whole from result when those change; a partition per UTC day, kept for 90 days by default.';
COMMENT ON TABLE twmesh.rollup_1h IS
    'History in buckets of 1 hour, from the twelve of rollup_5min; a partition per month (UTC), kept for 5 years by default.';

-- Partitions --------------------------------------------------------------

CREATE FUNCTION twmesh_private.is_large_mesh() RETURNS boolean
LANGUAGE sql STABLE
RETURN (SELECT coalesce(sum(n.n * (n.n - 1) * (86400000 / k.interval_ms)), 0)
               > 1e8
          FROM twmesh.class k,
               (SELECT count(*)::numeric AS n FROM twmesh.node
                 WHERE removed_at IS NULL) n
         WHERE k.retired_at IS NULL);
COMMENT ON FUNCTION twmesh_private.is_large_mesh() IS
    'Whether more than 100 million results a day are to be expected: then the index of an open day must not cost ingest anything.';

-- What finds a source's rows in an open day. A btree (src_id, ts) costs ingest
-- a tenth, and finds a path's last hour in 10 ms where BRIN takes 100 and more:
-- worth it but where ingest is what counts. BRIN beside it is of ts alone, or
-- the planner would take it for cheaper than the btree, and be wrong. The btree
-- goes when (src_id, dst_id, ts) is there and no late rows come any more.
CREATE FUNCTION twmesh_private.index_open_day(part text) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    large boolean := twmesh_private.is_large_mesh();
BEGIN
    EXECUTE format('CREATE INDEX %I ON twmesh.%I USING brin (%s)
        WITH (pages_per_range = 32, autosummarize = on)', part || '_brin',
        part, CASE WHEN large THEN 'ts, src_id' ELSE 'ts' END);
    IF NOT large THEN
        EXECUTE format('CREATE INDEX %I ON twmesh.%I (src_id, ts)',
            part || '_src', part);
    END IF;
END $$;
COMMENT ON FUNCTION twmesh_private.index_open_day(text) IS
    'Makes the indexes of a new partition of twmesh.result.';

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
        -- to_regclass() would answer from before the lock was had.
        CONTINUE WHEN EXISTS (SELECT FROM pg_class c
            WHERE c.relname = part
              AND c.relnamespace = 'twmesh'::regnamespace);
        EXECUTE format('CREATE TABLE twmesh.%I (LIKE twmesh.%I
            INCLUDING DEFAULTS INCLUDING COMMENTS,
            CONSTRAINT %I CHECK (ts IS NOT NULL AND ts >= %L AND ts < %L))',
            part, parent, part || '_range', lo, hi);
        EXECUTE format('COMMENT ON TABLE twmesh.%I IS %L', part,
            'Partition of twmesh.' || parent || ' for ' || day || ' UTC.');
        IF parent = 'result' THEN
            PERFORM twmesh_private.index_open_day(part);
        ELSE
            EXECUTE format('CREATE INDEX %I ON twmesh.%I
                (src_id, ts, dst_id, class_id)', part || '_key', part);
        END IF;
        EXECUTE format('ALTER TABLE twmesh.%I ATTACH PARTITION twmesh.%I
            FOR VALUES FROM (%L) TO (%L)', parent, part, lo, hi);
        EXECUTE format('ALTER TABLE twmesh.%I DROP CONSTRAINT %I',
            part, part || '_range');
        -- Controllers write the partitions of these days directly, and read
        -- them one by one for rollups.
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'twmesh_writer') THEN
            EXECUTE format('GRANT SELECT, INSERT ON twmesh.%I TO twmesh_writer',
                part);
        END IF;
        made := true;
    END LOOP;
    RETURN made;
END $$;
COMMENT ON FUNCTION twmesh_private.add_partition(date) IS
    'Makes and attaches the partitions of a UTC day; false when they are there.';


-- Indexes are the partitions' own; those there are get their btree.
DROP INDEX twmesh.result_brin;
DO $$
DECLARE
    p regclass;
    part text;
BEGIN
    FOR part IN SELECT c.relname FROM pg_inherits i
                  JOIN pg_class c ON c.oid = i.inhrelid
                 WHERE i.inhparent = 'twmesh.result'::regclass
                   AND c.relname >= 'result_' || to_char(current_date - 4, 'YYYYMMDD')
    LOOP
        PERFORM twmesh_private.index_open_day(part);
    END LOOP;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'twmesh_writer') THEN
        FOR p IN SELECT inhrelid::regclass FROM pg_inherits
                  WHERE inhparent IN ('twmesh.result'::regclass,
                                      'twmesh.result_detail'::regclass)
        LOOP
            EXECUTE format('GRANT SELECT ON %s TO twmesh_writer', p);
        END LOOP;
    END IF;
END $$;

-- As add_partition(day), with the same care: what readers hold is not touched.
CREATE FUNCTION twmesh_private.add_rollup_partition(step_s integer, day date)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '1s'
AS $$
DECLARE
    parent text := CASE step_s WHEN 300 THEN 'rollup_5min'
                               WHEN 3600 THEN 'rollup_1h' END;
    first date := CASE step_s WHEN 300 THEN day
                              ELSE date_trunc('month', day)::date END;
    past date := CASE step_s WHEN 300 THEN day + 1
                      ELSE (date_trunc('month', day) + interval '1 month')::date
                 END;
    part text := parent || '_' || to_char(day, CASE step_s
                     WHEN 300 THEN 'YYYYMMDD' ELSE 'YYYYMM' END);
    lo timestamptz := first::timestamp AT TIME ZONE 'UTC';
    hi timestamptz := past::timestamp AT TIME ZONE 'UTC';
BEGIN
    IF parent IS NULL OR day < current_date - 400 OR day > current_date + 400
    THEN
        RAISE EXCEPTION 'step % or day % is out of range', step_s, day;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('twmesh.add_partition'));
    IF EXISTS (SELECT FROM pg_class c WHERE c.relname = part
                  AND c.relnamespace = 'twmesh'::regnamespace) THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE twmesh.%I (LIKE twmesh.%I
        INCLUDING DEFAULTS INCLUDING COMMENTS INCLUDING INDEXES,
        CONSTRAINT %I CHECK (ts >= %L AND ts < %L))',
        part, parent, part || '_range', lo, hi);
    EXECUTE format('COMMENT ON TABLE twmesh.%I IS %L', part,
        'Partition of twmesh.' || parent || ' from ' || first || ' UTC.');
    EXECUTE format('ALTER TABLE twmesh.%I ATTACH PARTITION twmesh.%I
        FOR VALUES FROM (%L) TO (%L)', parent, part, lo, hi);
    EXECUTE format('ALTER TABLE twmesh.%I DROP CONSTRAINT %I',
        part, part || '_range');
    RETURN true;
END $$;
COMMENT ON FUNCTION twmesh_private.add_rollup_partition(integer, date) IS
    'Makes and attaches the partition of a UTC day (300) or month (3600); false when it is there.';

CREATE VIEW twmesh_private.leaf AS
SELECT c.relname::text AS name,
       p.relname::text AS parent,
       m.lo::timestamp AT TIME ZONE 'UTC' AS t_from,
       CASE WHEN length(m.digits) = 8 THEN m.lo + interval '1 day'
            ELSE m.lo + interval '1 month' END::timestamp
           AT TIME ZONE 'UTC' AS t_to,
       i.inhdetachpending AS pending,
       pg_has_role(c.relowner, 'USAGE')
           AND pg_has_role(p.relowner, 'USAGE') AS ours
  FROM pg_inherits i
  JOIN pg_class c ON c.oid = i.inhrelid
  JOIN pg_class p ON p.oid = i.inhparent
  CROSS JOIN LATERAL (
       SELECT d.digits, to_date(rpad(d.digits, 8, '01'), 'YYYYMMDD') AS lo
         FROM (SELECT substring(c.relname FROM '_([0-9]{8}|[0-9]{6})$')) d (digits)) m
 WHERE p.relnamespace = 'twmesh'::regnamespace AND p.relkind = 'p'
   AND c.relkind = 'r' AND m.digits IS NOT NULL;
COMMENT ON VIEW twmesh_private.leaf IS 'Partitions of the history.';
COMMENT ON COLUMN twmesh_private.leaf.name IS 'The partition, in schema twmesh.';
COMMENT ON COLUMN twmesh_private.leaf.parent IS 'Its table.';
COMMENT ON COLUMN twmesh_private.leaf.t_from IS 'Begin.';
COMMENT ON COLUMN twmesh_private.leaf.t_to IS 'End.';
COMMENT ON COLUMN twmesh_private.leaf.pending IS
    'Detaching it was begun and not finished.';
COMMENT ON COLUMN twmesh_private.leaf.ours IS
    'May this user change it? Only members of its owner.';

-- Old enough, and nothing in it waits for a rollup: then it may go.
CREATE FUNCTION twmesh_private.leaf_is_old(the_name text, keep_raw integer,
    keep_5min integer, keep_1h integer) RETURNS boolean
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coalesce(bool_or(
        l.t_to <= now() - make_interval(days => CASE l.parent
            WHEN 'rollup_5min' THEN keep_5min WHEN 'rollup_1h' THEN keep_1h
            ELSE keep_raw END)
        AND NOT EXISTS (
            SELECT FROM twmesh_private.bucket b
             WHERE b.step_s = CASE l.parent WHEN 'rollup_5min' THEN 3600
                                            WHEN 'rollup_1h' THEN 0
                                            ELSE 300 END
               AND (b.rows <> b.rolled_rows
                    OR b.revisions <> b.rolled_revisions)
               AND b.ts >= l.t_from AND b.ts < l.t_to)
        AND NOT EXISTS (
            SELECT FROM twmesh_private.stored s
             WHERE s.ts >= l.t_from AND s.ts < l.t_to)), false)
      FROM twmesh_private.leaf l WHERE l.name = the_name;
END;
COMMENT ON FUNCTION twmesh_private.leaf_is_old(text, integer, integer, integer) IS
    'Has this partition outlived its use: so many days are over, and all of it is rolled up?';

-- For a controller that is no member of the owner: DETACH without CONCURRENTLY
-- locks out everybody, and so it may wait for no longer than ingest may.
CREATE FUNCTION twmesh_private.drop_leaf(the_name text, keep_raw integer,
    keep_5min integer, keep_1h integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
AS $$
DECLARE
    p text := (SELECT parent FROM twmesh_private.leaf WHERE name = the_name);
BEGIN
    IF keep_raw < 4 OR keep_5min < keep_raw OR keep_1h < keep_5min
       OR NOT twmesh_private.leaf_is_old(the_name, keep_raw, keep_5min, keep_1h)
    THEN
        RETURN false;
    END IF;
    IF p IS NOT NULL THEN
        EXECUTE format('ALTER TABLE twmesh.%I DETACH PARTITION twmesh.%I',
            p, the_name);
    END IF;
    EXECUTE format('DROP TABLE twmesh.%I', the_name);
    RETURN true;
END $$;
COMMENT ON FUNCTION twmesh_private.drop_leaf(text, integer, integer, integer) IS
    'Drops a partition that has outlived its use; false when it has not.';

-- Windows of the matrix ---------------------------------------------------

CREATE TABLE twmesh_private.path_window (
    src_id          integer NOT NULL,
    class_id        integer NOT NULL,
    win             text NOT NULL CHECK (win IN ('5min', '1h', '24h')),
    as_of           timestamptz NOT NULL,
    input_rows      bigint NOT NULL,
    input_revisions bigint NOT NULL,
    generation      integer[] NOT NULL,
    intervals       integer[] NOT NULL,
    host_limited    integer[] NOT NULL,
    sent            integer[] NOT NULL,
    lost            integer[] NOT NULL,
    lost_undet      integer[] NOT NULL,
    lost_bwd        integer[] NOT NULL,
    loss_runs       integer[] NOT NULL,
    delay_ms        real[] NOT NULL,
    jitter_ms       real[] NOT NULL,
    rtt_ms          real[] NOT NULL,
    rtt_p99_ms      real[] NOT NULL,
    back_delay_ms   real[] NOT NULL,
    back_jitter_ms  real[] NOT NULL,
    clock_err_ms    real[] NOT NULL,
    hops            smallint[] NOT NULL,
    flags           smallint[] NOT NULL,
    PRIMARY KEY (src_id, class_id, win)
) WITH (autovacuum_vacuum_scale_factor = 0.02,
        toast.autovacuum_vacuum_scale_factor = 0.02);
DO $$
DECLARE
    d text[];
BEGIN
    FOREACH d SLICE 1 IN ARRAY ARRAY[
        ['generation', 'slot_generation of the destination it speaks of; 0: no results in the window.'],
        ['intervals', 'results in it.'],
        ['host_limited', 'those of them marked host_limited or dst_host_limited.'],
        ['sent', 'packets.'],
        ['lost', 'packets lost src to dst, undetermined ones included: the upper bound.'],
        ['lost_undet', 'those of them whose direction is not known.'],
        ['lost_bwd', 'packets lost dst to src; lost_undet may come on top.'],
        ['loss_runs', 'loss runs of three and more packets that began in it.'],
        ['delay_ms', 'mean one-way delay src to dst, ms; contains the clock offset.'],
        ['jitter_ms', 'mean |IPDV| src to dst, ms (RFC 3393).'],
        ['rtt_ms', 'mean round trip, ms.'],
        ['rtt_p99_ms', '99th percentile from merged histograms, ms; NULL below 50 samples too.'],
        ['back_delay_ms', 'mean one-way delay dst to src, ms.'],
        ['back_jitter_ms', 'mean |IPDV| dst to src, ms.'],
        ['clock_err_ms', 'largest bound of the one-way error, ms; NULL also while a clock was not synchronised.'],
        ['hops', 'routers src to dst, the last known.'],
        ['flags', 'bits of all results, named by twmesh.result_flags().']]
    LOOP
        EXECUTE format('ALTER TABLE twmesh_private.path_window
            ALTER COLUMN %I SET STORAGE EXTERNAL', d[1]);
        EXECUTE format('COMMENT ON COLUMN twmesh_private.path_window.%I IS %L',
            d[1], 'Per cell: ' || d[2] || ' NULL: not known.');
    END LOOP;
END $$;
COMMENT ON TABLE twmesh_private.path_window IS
    'The matrix over closed buckets: a row per source, class and window. Arrays are indexed by the destination''s slot, as in path_state.';
COMMENT ON COLUMN twmesh_private.path_window.src_id IS 'Source.';
COMMENT ON COLUMN twmesh_private.path_window.class_id IS 'Class (version).';
COMMENT ON COLUMN twmesh_private.path_window.win IS
    '5min: the last closed bucket of 5 minutes; 1h: the last twelve; 24h: the last 24 hours that are over.';
COMMENT ON COLUMN twmesh_private.path_window.as_of IS
    'Where the window ends.';
COMMENT ON COLUMN twmesh_private.path_window.input_rows IS
    'Results in the rollups it was made from (all classes of the source).';
COMMENT ON COLUMN twmesh_private.path_window.input_revisions IS
    'Corrections of them: when these counts differ from those of the buckets now, it is made again.';

-- Reading history ---------------------------------------------------------

CREATE FUNCTION twmesh.node_number(name text) RETURNS integer
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    no integer := (SELECT n.node_id FROM twmesh.node n
                    WHERE n.name::text = node_number.name
                    ORDER BY n.removed_at DESC NULLS FIRST, n.node_id DESC
                    LIMIT 1);
BEGIN
    IF no IS NULL THEN
        RAISE EXCEPTION 'no node is named %', coalesce(quote_literal(name), 'NULL')
            USING ERRCODE = 'no_data_found';
    END IF;
    RETURN no;
END $$;
COMMENT ON FUNCTION twmesh.node_number(text) IS
    'Id of the node of that name, else of the last one that was removed. An error when there was none.';

CREATE FUNCTION twmesh.class_numbers(name text) RETURNS integer[]
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    no integer[] := ARRAY(SELECT k.class_id FROM twmesh.class k
                           WHERE k.name::text = coalesce(class_numbers.name,
                                     twmesh.default_class())
                           ORDER BY 1);
BEGIN
    IF no = '{}' THEN
        RAISE EXCEPTION 'no class is named %', coalesce(quote_literal(name), 'NULL')
            USING ERRCODE = 'no_data_found';
    END IF;
    RETURN no;
END $$;
COMMENT ON FUNCTION twmesh.class_numbers(text) IS
    'Ids of all versions of a class; of the default class for NULL. An error when there is none.';

CREATE FUNCTION twmesh.history_since(level_s integer) RETURNS timestamptz
LANGUAGE sql STABLE
RETURN (SELECT min(to_date(rpad(substring(c.relname FROM '_([0-9]{6,8})$'),
                   8, '01'), 'YYYYMMDD')::timestamp AT TIME ZONE 'UTC')
          FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = CASE level_s
                   WHEN 300 THEN 'twmesh.rollup_5min'::regclass
                   WHEN 3600 THEN 'twmesh.rollup_1h'::regclass
                   ELSE 'twmesh.result'::regclass END);
COMMENT ON FUNCTION twmesh.history_since(integer) IS
    'Since when there is history of that level: 0 results, 300 rollup_5min, 3600 rollup_1h. NULL: none.';

-- What a path's history is read from, as the text of a query: at constant
-- times, so that only the partitions in question are planned and locked.
-- Older than the level reaches: the next coarser. Newer than it was rolled up:
-- the next finer.
CREATE FUNCTION twmesh.path_source(src_no integer, dst_no integer,
    class_nos integer[], t_from timestamptz, t_to timestamptz,
    level_s integer) RETURNS text
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    cols constant text := 'ts, scheduled, sent, send_failed, received, lost,
        lost_fwd, lost_bwd, lost_undet, late, duplicates, local_drops, span_ms,
        rtt_min_ms, rtt_mean_ms, rtt_max_ms, rtt_p50_ms, rtt_p99_ms,
        fwd_min_ms, fwd_mean_ms, fwd_max_ms, bwd_min_ms, bwd_mean_ms,
        bwd_max_ms, fwd_ipdv_ms, bwd_ipdv_ms, fwd_jitter_rfc3550_ms,
        bwd_jitter_rfc3550_ms, clock_err_ms, fwd_hops, bwd_hops, flags,
        rtt_hist, ';
    raw_cols constant text := cols || 'NULL::real AS rtt_p95_ms, 1 AS intervals,
        (flags & 516 <> 0)::integer AS host_limited,
        (SELECT sum(d.loss_runs_long)::integer FROM twmesh.result_detail d
          WHERE d.src_id = r.src_id AND d.ts = r.ts AND d.dst_id = r.dst_id
            AND d.class_id = r.class_id AND d.span_ms = r.span_ms)
        AS loss_runs_long, 0 AS level_s';
    rolled_cols constant text := cols || 'rtt_p95_ms, intervals, host_limited,
        loss_runs_long, ';
    part constant text := 'SELECT %s FROM twmesh.%I r WHERE src_id = %s
        AND dst_id = %s AND class_id = ANY (%L::integer[])
        AND ts >= %L::timestamptz AND ts < %L::timestamptz';
    raw_from timestamptz := coalesce(twmesh.history_since(0), 'infinity');
    -- Where nothing is rolled up, results take the place of the rollups.
    five_from timestamptz := least(twmesh.history_since(300), raw_from);
    -- Where each level begins and ends to be read.
    hour_a timestamptz; hour_b timestamptz;
    five_a timestamptz; five_b timestamptz;
    raw_a timestamptz;
    q text[] := '{}';
BEGIN
    -- Coarser where the level does not reach any more.
    hour_a := date_bin('1 hour', t_from, 'epoch');
    hour_b := CASE level_s WHEN 3600 THEN t_to
                           ELSE least(five_from, t_to) END;
    five_b := CASE level_s WHEN 0 THEN least(raw_from, t_to) ELSE t_to END;
    five_a := greatest(date_bin('5 minutes', t_from, 'epoch'),
                       CASE level_s WHEN 3600 THEN NULL ELSE five_from END);
    raw_a := CASE level_s WHEN 0 THEN greatest(t_from, raw_from) END;
    IF hour_a < hour_b THEN
        q := q || format(part, rolled_cols || '3600', 'rollup_1h', src_no,
                         dst_no, class_nos, hour_a, hour_b);
        IF level_s = 3600 THEN
            EXECUTE format('SELECT max(ts) + interval ''1 hour'' FROM ('
                || part || ') x', 'ts', 'rollup_1h', src_no, dst_no,
                class_nos, hour_a, hour_b) INTO five_a;
            five_a := coalesce(five_a, hour_a);
        END IF;
    END IF;
    IF five_a < five_b THEN
        q := q || format(part, rolled_cols || '300', 'rollup_5min', src_no,
                         dst_no, class_nos, five_a, five_b);
        IF level_s > 0 THEN
            EXECUTE format('SELECT max(ts) + interval ''5 minutes'' FROM ('
                || part || ') x', 'ts', 'rollup_5min', src_no, dst_no,
                class_nos, five_a, five_b) INTO raw_a;
            raw_a := coalesce(raw_a, five_a);
        END IF;
    ELSIF level_s > 0 THEN
        raw_a := five_a;
    END IF;
    IF raw_a < t_to THEN
        q := q || format(part, raw_cols, 'result', src_no, dst_no, class_nos,
                         raw_a, t_to);
    END IF;
    RETURN array_to_string(q, ' UNION ALL ');
END $$;
COMMENT ON FUNCTION twmesh.path_source(integer, integer, integer[],
    timestamptz, timestamptz, integer) IS
    'The query that path_series() and path_histogram() read: results and rollups of a path, no time twice.';

CREATE FUNCTION twmesh.history_level(step interval) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN extract(epoch FROM step) >= 3600 THEN 3600
            WHEN extract(epoch FROM step) >= 300 THEN 300 ELSE 0 END;
COMMENT ON FUNCTION twmesh.history_level(interval) IS
    'The level that serves a step: 3600 from 1 hour, 300 from 5 minutes, else 0 (results).';

-- Histograms. They are few per query: SQL is fast enough.
-- As few statements per bucket as possible: they are what it costs.
CREATE FUNCTION twmesh.hist_cells(hist bytea,
    OUT base_ns bigint, OUT bucket integer, OUT packets bigint)
RETURNS SETOF record
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    size constant integer := coalesce(octet_length(hist), 0);
    at integer := 1;
    next integer := 0;
    a bigint;
    b bigint;
    octet integer;
    shift integer;
BEGIN
    IF size < 2 OR get_byte(hist, 0) <> 1 THEN
        RETURN;
    END IF;
    a := 0;
    shift := 0;
    LOOP
        octet := get_byte(hist, at);
        at := at + 1;
        a := a | ((octet & 127)::bigint << shift);
        EXIT WHEN octet < 128 OR at >= size;
        shift := shift + 7;
    END LOOP;
    base_ns := ((a >> 1) & 9223372036854775807) # -(a & 1);
    WHILE at + 1 < size LOOP
        a := get_byte(hist, at);
        b := get_byte(hist, at + 1);
        IF a < 128 AND b < 128 THEN
            at := at + 2;
        ELSE
            shift := 0;
            a := 0;
            LOOP
                octet := get_byte(hist, at);
                at := at + 1;
                a := a | ((octet & 127)::bigint << shift);
                EXIT WHEN octet < 128 OR at >= size;
                shift := shift + 7;
            END LOOP;
            shift := 0;
            b := 0;
            WHILE at < size LOOP
                octet := get_byte(hist, at);
                at := at + 1;
                b := b | ((octet & 127)::bigint << shift);
                EXIT WHEN octet < 128;
                shift := shift + 7;
            END LOOP;
        END IF;
        EXIT WHEN a > 1888; -- malformed
        bucket := next + a;
        packets := b;
        RETURN NEXT;
        next := bucket + 1;
    END LOOP;
END $$;
COMMENT ON FUNCTION twmesh.hist_cells(bytea) IS
    'The buckets in use of a histogram, by number. None for NULL or another version.';

CREATE FUNCTION twmesh.hist_buckets(hist bytea)
RETURNS TABLE (low_ns bigint, high_ns bigint, packets bigint)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN c.bucket < 64 THEN c.base_ns + c.bucket
                ELSE c.base_ns + ((32 + (c.bucket & 31))::bigint
                                  << ((c.bucket >> 5) - 1)) END,
           CASE WHEN c.bucket < 64 THEN c.base_ns + c.bucket + 1
                ELSE c.base_ns + ((33 + (c.bucket & 31))::bigint
                                  << ((c.bucket >> 5) - 1)) END,
           c.packets
      FROM twmesh.hist_cells(hist) c;
END;
COMMENT ON FUNCTION twmesh.hist_buckets(bytea) IS
    'The buckets in use of a histogram (rtt_hist and the like): from low_ns to below high_ns, and the packets in it. None for NULL or another version.';

CREATE FUNCTION twmesh.hist_percentile_ms(hists bytea[], p double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (SELECT min(y.v) FILTER (WHERE y.upto >= ceil(y.n * p / 100)) / 1e6
          FROM (SELECT x.v, sum(x.packets) OVER (ORDER BY x.v) AS upto,
                       sum(x.packets) OVER () AS n
                  FROM (SELECT b.low_ns + (b.high_ns - b.low_ns - 1) / 2 AS v,
                               b.packets
                          FROM unnest(hists) h, twmesh.hist_buckets(h) b) x) y);
COMMENT ON FUNCTION twmesh.hist_percentile_ms(bytea[], double precision) IS
    'Nearest-rank percentile, p in (0, 100], of all packets of some histograms, ms. Within 1.6 % of its distance from the minimum of its histogram. NULL: no packets.';

CREATE FUNCTION twmesh.series_expression(metric text) RETURNS text
LANGUAGE plpgsql IMMUTABLE
AS $$
DECLARE
    p text := substring(metric FROM '^rtt_p([0-9]{2,4})_ms$');
    percent numeric;
    plain text := CASE metric
        WHEN 'rtt_ms' THEN 'rtt_mean_ms' WHEN 'delay_ms' THEN 'fwd_mean_ms'
        WHEN 'delay_min_ms' THEN 'fwd_min_ms'
        WHEN 'delay_max_ms' THEN 'fwd_max_ms'
        WHEN 'back_delay_ms' THEN 'bwd_mean_ms'
        WHEN 'jitter_ms' THEN 'fwd_ipdv_ms'
        WHEN 'back_jitter_ms' THEN 'bwd_ipdv_ms'
        WHEN 'hops' THEN 'fwd_hops' WHEN 'loss_runs' THEN 'loss_runs_long'
        ELSE metric END;
BEGIN
    IF p IS NOT NULL THEN
        -- p50, p99, p999: 50, 99, 99.9
        percent := p::numeric / 10 ^ (length(p) - 2);
        RETURN CASE WHEN p IN ('50', '95', '99') THEN format(
                'CASE WHEN count(*) = 1 AND min(%I) IS NOT NULL THEN min(%1$I)
                 WHEN sum(received) >= %s THEN twmesh.hist_percentile_ms(
                 array_agg(rtt_hist), %s) END', plain,
                CASE p WHEN '99' THEN 50 WHEN '95' THEN 20 ELSE 1 END, percent)
            ELSE format('CASE WHEN sum(received) * (100 - %s) >= 50 THEN
                 twmesh.hist_percentile_ms(array_agg(rtt_hist), %1$s) END',
                percent) END;
    END IF;
    RETURN CASE
        WHEN plain IN ('scheduled', 'sent', 'send_failed', 'received', 'lost',
            'lost_fwd', 'lost_bwd', 'lost_undet', 'late', 'duplicates',
            'local_drops', 'intervals', 'host_limited', 'loss_runs_long')
            THEN format('sum(%I)', plain)
        WHEN plain IN ('rtt_min_ms', 'fwd_min_ms', 'bwd_min_ms')
            THEN format('min(%I)', plain)
        WHEN plain IN ('rtt_max_ms', 'fwd_max_ms', 'bwd_max_ms',
            'fwd_jitter_rfc3550_ms', 'bwd_jitter_rfc3550_ms', 'fwd_hops',
            'bwd_hops', 'clock_err_ms') THEN format('max(%I)', plain)
        WHEN plain IN ('rtt_mean_ms', 'fwd_mean_ms', 'bwd_mean_ms',
            'fwd_ipdv_ms', 'bwd_ipdv_ms')
            THEN format('sum(%I::float8 * received) / nullif(sum(received)
                         FILTER (WHERE %1$I IS NOT NULL), 0)', plain)
        WHEN plain = 'loss_pct' THEN 'CASE WHEN sum(lost_undet) = 0 THEN
            100.0 * sum(lost_fwd) / nullif(sum(sent), 0) END'
        WHEN plain = 'loss_min_pct'
            THEN '100.0 * sum(lost_fwd) / nullif(sum(sent), 0)'
        WHEN plain = 'loss_max_pct'
            THEN '100.0 * sum(lost_fwd + lost_undet) / nullif(sum(sent), 0)'
        WHEN plain = 'loss_round_pct'
            THEN '100.0 * sum(lost) / nullif(sum(sent), 0)' END;
END $$;
COMMENT ON FUNCTION twmesh.series_expression(text) IS
    'How path_series() makes a metric of several rows; NULL for an unknown one.';

CREATE FUNCTION twmesh.check_series(metric text, t_from timestamptz,
    t_to timestamptz, step interval) RETURNS void
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    IF twmesh.series_expression(metric) IS NULL THEN
        RAISE EXCEPTION 'no metric is named %: see the comment of twmesh.path_series',
            coalesce(quote_literal(metric), 'NULL')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF t_from IS NULL OR t_to IS NULL OR NOT isfinite(t_from)
       OR NOT isfinite(t_to) OR t_from >= t_to THEN
        RAISE EXCEPTION 'expected t_from before t_to, found % and %',
            coalesce(t_from::text, 'NULL'), coalesce(t_to::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF extract(epoch FROM step) NOT BETWEEN 1 AND 366 * 86400 THEN
        RAISE EXCEPTION 'expected a step of 1 s to 1 year, found %', step
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
END $$;
COMMENT ON FUNCTION twmesh.check_series(text, timestamptz, timestamptz, interval) IS
    'An error, in one line, about what cannot be asked.';

CREATE FUNCTION twmesh.series_step(t_from timestamptz, t_to timestamptz)
RETURNS interval
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN NOT (isfinite(t_from) AND isfinite(t_to)) THEN NULL
            WHEN t_to - t_from <= interval '3 hours' THEN interval '10 s'
            WHEN t_to - t_from <= interval '12 hours' THEN interval '1 minute'
            WHEN t_to - t_from <= interval '4 days' THEN interval '5 minutes'
            ELSE interval '1 hour' END;
COMMENT ON FUNCTION twmesh.series_step(timestamptz, timestamptz) IS
    'A step that gives some hundred points.';

CREATE FUNCTION twmesh.path_series(src text, dst text, class text, metric text,
    t_from timestamptz, t_to timestamptz, step interval DEFAULT NULL)
RETURNS TABLE (ts timestamptz, value double precision)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    width interval := make_interval(secs => extract(epoch FROM
        coalesce(step, twmesh.series_step(t_from, t_to)))::double precision);
    source text;
BEGIN
    PERFORM twmesh.check_series(metric, t_from, t_to, width);
    source := twmesh.path_source(twmesh.node_number(src),
        twmesh.node_number(dst), twmesh.class_numbers(class), t_from, t_to,
        twmesh.history_level(width));
    IF source = '' THEN
        RETURN;
    END IF;
    RETURN QUERY EXECUTE format('SELECT date_bin(%L, ts, ''epoch''),
        (%s)::double precision FROM (%s) s GROUP BY 1 ORDER BY 1', width,
        twmesh.series_expression(metric), source);
END $$;
COMMENT ON FUNCTION twmesh.path_series(text, text, text, text, timestamptz,
    timestamptz, interval) IS
    'History of one metric of the path src to dst, for graphs: a row per step (aligned to 1970; NULL: a fitting one) that has results; none for a step without. value NULL: cannot be known. Reads results for a step below 5 minutes, rollup_5min below 1 hour, else rollup_1h, and what exists where that does not reach; give a multiple of these. class NULL: the default class. Metrics: loss_pct, loss_min_pct, loss_max_pct (src to dst; loss_pct is NULL while the direction of some losses is not known), loss_round_pct, rtt_ms, rtt_min_ms, rtt_max_ms, rtt_p50_ms, rtt_p95_ms, rtt_p99_ms, rtt_p999_ms (any rtt_pNN_ms), delay_ms, delay_min_ms, delay_max_ms, back_delay_ms, jitter_ms, back_jitter_ms, hops, clock_err_ms, loss_runs, intervals, host_limited, and the counts and numbers of twmesh.result by their names (sent, lost_undet, bwd_max_ms, ...).';

CREATE FUNCTION twmesh.path_percentile(src text, dst text, class text,
    p double precision, t_from timestamptz, t_to timestamptz)
RETURNS double precision
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    source text;
    found double precision;
BEGIN
    PERFORM twmesh.check_series('rtt_ms', t_from, t_to, '1 s');
    IF p IS NULL OR p <= 0 OR p > 100 THEN
        RAISE EXCEPTION 'expected a percentile above 0, up to 100, found %',
            coalesce(p::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    source := twmesh.path_source(twmesh.node_number(src),
        twmesh.node_number(dst), twmesh.class_numbers(class), t_from, t_to,
        CASE WHEN t_to - t_from <= interval '2 hours' THEN 0
             WHEN t_to - t_from <= interval '2 days' THEN 300 ELSE 3600 END);
    IF source <> '' THEN
        EXECUTE format('SELECT twmesh.hist_percentile_ms(array_agg(rtt_hist),
            %L) FROM (%s) s', p, source) INTO found;
    END IF;
    RETURN found;
END $$;
COMMENT ON FUNCTION twmesh.path_percentile(text, text, text, double precision,
    timestamptz, timestamptz) IS
    'Percentile, p in (0, 100], of the round trips of a path over any time, ms, from merged histograms. Above 2 hours the time is taken in whole 5 minutes, above 2 days in whole hours. NULL: no packets.';

CREATE FUNCTION twmesh.path_histogram(src text, dst text, class text,
    t_from timestamptz, t_to timestamptz, step interval DEFAULT NULL,
    bins integer DEFAULT 40)
RETURNS TABLE (ts timestamptz, low_ms double precision,
    high_ms double precision, packets bigint)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    width interval := make_interval(secs => extract(epoch FROM
        coalesce(step, twmesh.series_step(t_from, t_to)))::double precision);
    n integer := least(greatest(coalesce(bins, 40), 2), 1000);
    source text;
BEGIN
    PERFORM twmesh.check_series('rtt_ms', t_from, t_to, width);
    source := twmesh.path_source(twmesh.node_number(src),
        twmesh.node_number(dst), twmesh.class_numbers(class), t_from, t_to,
        twmesh.history_level(width));
    IF source = '' THEN
        RETURN;
    END IF;
    RETURN QUERY EXECUTE format(
        'WITH b AS MATERIALIZED (SELECT date_bin(%L, s.ts, ''epoch'') AS ts,
                (b.low_ns + (b.high_ns - b.low_ns - 1) / 2) / 1e6 AS v,
                b.packets
           FROM (%s) s, twmesh.hist_buckets(s.rtt_hist) b),
        -- The scale ends at the 99th percentile: the last bin has the rest.
        o AS (SELECT y.lo, greatest((y.hi - y.lo) / (%s - 1), 1e-6) AS w FROM (
              SELECT min(v) AS lo, min(v) FILTER (WHERE upto >= 0.99 * n) AS hi
                FROM (SELECT v, sum(packets) OVER (ORDER BY v) AS upto,
                             sum(packets) OVER () AS n FROM b) x) y)
        SELECT b.ts, (o.lo + k.k * o.w)::double precision,
               CASE WHEN k.k < %3$s - 1 THEN (o.lo + (k.k + 1) * o.w)::double precision END,
               sum(b.packets)::bigint
          FROM b CROSS JOIN o CROSS JOIN LATERAL (
               SELECT least(floor((b.v - o.lo) / o.w), %3$s - 1) AS k) k
         GROUP BY b.ts, k.k, o.lo, o.w ORDER BY b.ts, k.k', width, source, n);
END $$;
COMMENT ON FUNCTION twmesh.path_histogram(text, text, text, timestamptz,
    timestamptz, interval, integer) IS
    'Round trips of a path for a heatmap: packets per step and bin of equal width, from low_ms to below high_ms; the last bin (high_ms NULL) has what lies above the 99th percentile of the whole time. Bins without packets have no row.';

-- Rights, as in 0004 ------------------------------------------------------

REVOKE ALL ON FUNCTION twmesh_private.is_large_mesh(),
    twmesh_private.index_open_day(text), twmesh_private.lease_take(text, uuid, interval),
    twmesh_private.add_rollup_partition(integer, date),
    twmesh_private.leaf_is_old(text, integer, integer, integer),
    twmesh_private.drop_leaf(text, integer, integer, integer) FROM PUBLIC;
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
        GRANT INSERT ON twmesh.rollup_5min, twmesh.rollup_1h,
            twmesh_private.stored, twmesh_private.bucket,
            twmesh_private.path_window TO twmesh_writer;
        GRANT UPDATE ON twmesh_private.lease, twmesh_private.bucket
            TO twmesh_writer;
        GRANT DELETE ON twmesh.rollup_5min, twmesh.rollup_1h,
            twmesh_private.stored, twmesh_private.bucket,
            twmesh_private.path_window, twmesh_private.ledger
            TO twmesh_writer;
        GRANT EXECUTE ON FUNCTION
            twmesh_private.lease_take(text, uuid, interval),
            twmesh_private.add_rollup_partition(integer, date),
            twmesh_private.leaf_is_old(text, integer, integer, integer),
            twmesh_private.drop_leaf(text, integer, integer, integer)
            TO twmesh_writer;
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
