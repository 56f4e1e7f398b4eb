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
COMMENT ON TABLE twmesh.rollup_5min IS
    'History in buckets of 5 minutes: one row per session with results in it, recomputed whole from result when those change; a partition per UTC day, kept for 90 days by default.';
COMMENT ON TABLE twmesh.rollup_1h IS
    'History in buckets of 1 hour, from the twelve of rollup_5min; a partition per month (UTC), kept for 5 years by default.';

-- Partitions --------------------------------------------------------------

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


DO $$
DECLARE
    p regclass;
BEGIN
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

-- Rights, as in 0004 ------------------------------------------------------

REVOKE ALL ON FUNCTION twmesh_private.lease_take(text, uuid, interval),
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
            twmesh_private.stored, twmesh_private.bucket TO twmesh_writer;
        GRANT UPDATE ON twmesh_private.lease, twmesh_private.bucket
            TO twmesh_writer;
        GRANT DELETE ON twmesh.rollup_5min, twmesh.rollup_1h,
            twmesh_private.stored, twmesh_private.bucket,
            twmesh_private.ledger TO twmesh_writer;
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
