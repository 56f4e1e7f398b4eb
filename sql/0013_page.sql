-- SPDX-License-Identifier: BSD-2-Clause
--
-- The matrix as it is planned: its rows are the sources of a class, its columns
-- the destinations; and a sentence that speaks of the nodes of that class only,
-- of warnings, and of limits on delays.

-- As in 0011, but that only those who are in maintenance are named.
CREATE OR REPLACE VIEW twmesh.matrix_cell AS
WITH node AS MATERIALIZED (
    SELECT s.node_id, s.name, s.site, s.state, s.state_why, s.state_since,
           s.slot, s.slot_generation, s.clock_verdict, s.clock_offset_ms,
           s.maintenance_since, CASE WHEN s.maintenance_since IS NOT NULL
           THEN s.name || ': maintenance'
           || coalesce(' until ' || twmesh.utc_text(s.maintenance_until), '')
           || coalesce(': ' || nullif(s.maintenance_reason, ''), '') END
               AS maintenance_why,
           n.kind, n.mesh_mask, n.hub_mask,
           EXISTS (SELECT FROM unnest(s.addresses) a WHERE family(a) = 4) AS v4,
           EXISTS (SELECT FROM unnest(s.addresses) a WHERE family(a) = 6) AS v6
      FROM twmesh.node_status s
      JOIN twmesh.node n ON n.node_id = s.node_id
), class AS MATERIALIZED (
    SELECT c.*, make_interval(secs => (3 * c.interval_ms + c.loss_timeout_ms
                   + c.ship_spread_ms) / 1000.0 + 20) AS overdue_after,
           make_interval(secs => (3 * c.interval_ms + c.loss_timeout_ms
                   + c.ship_spread_ms) / 1000.0 + 10) AS fresh_after
      FROM twmesh.class c WHERE c.retired_at IS NULL
), fresh AS MATERIALIZED (
    SELECT coalesce(min(started_at), '-infinity') AS started_at
      FROM twmesh.controller_status WHERE alive
-- Read twice, each way by its own hash: kept once it would have no statistics,
-- and 90,000 cells would take minutes instead of a second.
), cell AS NOT MATERIALIZED (
    SELECT p.src_id, p.class_id, u.slot::integer AS slot, p.updated_at,
           p.newest_measured_at, u.generation,
           p.newest_measured_at - u.behind_us * interval '1 us' AS measured_at,
           u.state_since, u.state, u.flags, u.hops, u.sent, u.lost, u.epoch,
           CASE WHEN u.lost_undet = 0 AND u.sent > 0
                THEN (100.0 * u.lost / u.sent)::real END AS loss_pct,
           CASE WHEN u.sent > 0
                THEN (100.0 * u.lost / u.sent)::real END AS loss_max_pct,
           u.delay_ms, u.jitter_ms, u.rtt_ms, u.rtt_p99_ms, u.clock_err_ms,
           u.state_why, u.lost_undet, u.lost_bwd, u.back_delay_ms,
           u.back_jitter_ms
      FROM twmesh_private.path_state p,
           unnest(p.generation, p.behind_us, p.state_since, p.state, p.flags,
                  p.hops, p.sent, p.lost, p.lost_undet, p.epoch, p.delay_ms,
                  p.jitter_ms, p.rtt_ms, p.rtt_p99_ms, p.clock_err_ms,
                  p.state_why, p.lost_bwd, p.back_delay_ms,
                  p.back_jitter_ms) WITH ORDINALITY
           AS u (generation, behind_us, state_since, state, flags, hops, sent,
                 lost, lost_undet, epoch, delay_ms, jitter_ms, rtt_ms,
                 rtt_p99_ms, clock_err_ms, state_why, lost_bwd, back_delay_ms,
                 back_jitter_ms, slot)
     WHERE u.generation > 0 AND u.behind_us IS NOT NULL
), judged AS (
    SELECT src.node_id AS src_id, dst.node_id AS dst_id, class.class_id,
           src.name AS src, dst.name AS dst, class.name::text AS class,
           src.site AS src_site, dst.site AS dst_site,
           src.state AS src_state, src.state_why AS src_why,
           src.state_since AS src_since, dst.state AS dst_state,
           dst.state_why AS dst_why, dst.state_since AS dst_since,
           least(src.maintenance_since, dst.maintenance_since)
               AS maintenance_since,
           concat_ws('; ', src.maintenance_why, dst.maintenance_why)
               AS maintenance_why,
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
           OR (c.state IN (1, 3) AND c.newest_measured_at - c.measured_at
               > class.overdue_after) AS overdue,
           -- Three seconds without a reply, and no newer result that has some.
           coalesce(o.began_at <= statement_timestamp() - interval '3 s'
               AND NOT coalesce(c.lost < c.sent AND c.measured_at
                   - class.interval_ms * interval '1 ms' >= o.first_at, false),
               false) AS down,
           o.run_id AS open_run, o.first_at AS open_since,
           src.clock_verdict IN ('untrusted', 'inconsistent') IS TRUE
           OR dst.clock_verdict IN ('untrusted', 'inconsistent') IS TRUE
               AS convicted,
           c.lost_undet,
           -- The second witness: the way back of the destination's session,
           -- over the packets that reached the source. Ages go by the clocks'
           -- offsets as the controller sees them.
           coalesce(c.sent > 0 AND statement_timestamp() - c.measured_at
               + coalesce(src.clock_offset_ms, 0) * interval '1 ms'
               <= class.fresh_after, false) AS seen,
           coalesce(w.sent > w.lost AND statement_timestamp() - w.measured_at
               + coalesce(dst.clock_offset_ms, 0) * interval '1 ms'
               <= class.fresh_after, false) AS w_seen,
           w.measured_at AS w_measured_at, w.flags AS w_flags,
           w.epoch AS w_epoch, w.sent - w.lost + w.lost_undet AS w_sent,
           w.lost_bwd AS w_lost_min, w.lost_bwd + w.lost_undet AS w_lost,
           w.back_delay_ms AS w_delay_ms, w.back_jitter_ms AS w_jitter_ms,
           w.rtt_ms AS w_rtt_ms, w.rtt_p99_ms AS w_rtt_p99_ms,
           w.clock_err_ms AS w_clock_err_ms, class.interval_ms
      FROM node src
      CROSS JOIN node dst
      CROSS JOIN class
      CROSS JOIN fresh
      LEFT JOIN cell c ON c.src_id = src.node_id
           AND c.class_id = class.class_id AND c.slot = dst.slot
           AND c.generation = dst.slot_generation
      LEFT JOIN cell w ON w.src_id = dst.node_id
           AND w.class_id = class.class_id AND w.slot = src.slot
           AND w.generation = src.slot_generation
      LEFT JOIN twmesh_private.loss_run_open o ON o.src_id = src.node_id
           AND o.dst_id = dst.node_id AND o.class_id = class.class_id
           AND NOT o.host_limited
     WHERE src.node_id <> dst.node_id
       -- The plan: lib/bus/roster.c says the same. (A mesh's bit stands in
       -- hub_mask of its hubs; in a full mesh everyone is one.)
       AND src.kind = 'node'
       AND src.mesh_mask & dst.mesh_mask & class.mesh_mask
           & (src.hub_mask | dst.hub_mask) <> 0
), named AS (
    SELECT j.*,
           CASE WHEN maintenance_since IS NOT NULL THEN 'maintenance'
                WHEN measured_at IS NULL OR (state = 0 AND NOT down)
                THEN 'never'
                WHEN src_state IN ('stale', 'stopped') OR dst_state = 'stopped'
                     OR overdue THEN 'stale'
                WHEN state = 2 OR down THEN 'crit'
                WHEN state = 3 THEN 'warn'
                ELSE 'ok' END AS shown
      FROM judged j
), picked AS (
    SELECT n.*, seen::integer + w_seen::integer AS witnesses,
           shown = 'stale' AND w_seen AND dst_state = 'ok'
               AND src_state <> 'stopped' AS second,
           CASE WHEN (lost - lost_undet)::float8 / nullif(sent, 0)
                     > w_lost::float8 / nullif(w_sent, 0)
                THEN twmesh.losses_differ(lost - lost_undet, sent, w_lost,
                                          w_sent)
                WHEN lost::float8 / nullif(sent, 0)
                     < w_lost_min::float8 / nullif(w_sent, 0)
                THEN twmesh.losses_differ(lost, sent, w_lost_min, w_sent)
                ELSE false END AS differ
      FROM named n
)
SELECT src_id, dst_id, class_id, src, dst, class, shown AS state,
       CASE shown
            WHEN 'maintenance' THEN maintenance_since
            WHEN 'never' THEN NULL
            WHEN 'stale' THEN CASE
                 WHEN src_state IN ('stale', 'stopped') THEN src_since
                 WHEN dst_state = 'stopped' THEN dst_since
                 ELSE measured_at END
            ELSE CASE WHEN down AND state <> 2 THEN open_since
                      ELSE state_since END END AS state_since,
       CASE shown
            WHEN 'maintenance' THEN maintenance_why
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
                 || CASE WHEN second THEN '; the numbers are from '
                    || dst || '''s session' ELSE '' END
            WHEN 'crit' THEN
                 CASE WHEN dst_state = 'stale' THEN dst_why || '; ' ELSE '' END
                 || concat_ws('; ', CASE WHEN down THEN 'no reply since '
                        || twmesh.utc_text(open_since) || ' (loss run '
                        || lpad(to_hex(open_run), 16, '0') || ')' END,
                        CASE WHEN state = 2 THEN state_why END)
            ELSE coalesce(state_why, '') END AS state_why,
       CASE WHEN NOT second THEN loss_pct
            WHEN w_lost = w_lost_min THEN (100.0 * w_lost / w_sent)::real
            END AS loss_pct,
       CASE WHEN second THEN (100.0 * w_lost / w_sent)::real
            ELSE loss_max_pct END AS loss_max_pct,
       CASE WHEN second THEN w_delay_ms ELSE delay_ms END AS delay_ms,
       CASE WHEN second THEN w_jitter_ms ELSE jitter_ms END AS jitter_ms,
       CASE WHEN second THEN w_rtt_ms ELSE rtt_ms END AS rtt_ms,
       CASE WHEN second THEN w_rtt_p99_ms ELSE rtt_p99_ms END AS rtt_p99_ms,
       CASE WHEN NOT second THEN hops END AS hops,
       CASE WHEN second OR measured_at IS NOT NULL
            THEN (CASE WHEN second THEN w_flags ELSE flags END) & 96 = 96
                 AND (CASE WHEN second THEN w_clock_err_ms
                           ELSE clock_err_ms END) IS NOT NULL
                 AND NOT convicted END AS one_way_trusted,
       CASE WHEN second THEN w_clock_err_ms ELSE clock_err_ms END
            AS clock_err_ms,
       CASE WHEN second THEN w_sent ELSE sent END AS sent,
       CASE WHEN second THEN w_lost ELSE lost END AS lost,
       CASE WHEN second THEN w_measured_at ELSE measured_at END
            AS measured_at,
       CASE WHEN second OR measured_at IS NOT NULL THEN greatest(0,
            extract(epoch FROM statement_timestamp()
                - CASE WHEN second THEN w_measured_at ELSE measured_at END))
            ::double precision END AS age_s,
       CASE WHEN second THEN w_flags ELSE flags END & 16384 <> 0
            AS backfilled,
       CASE WHEN second THEN w_flags ELSE flags END & 1 <> 0 AS partial,
       CASE WHEN second THEN w_epoch ELSE epoch END AS epoch,
       src_site, dst_site, src_state, dst_state,
       CASE WHEN down THEN lpad(to_hex(open_run), 16, '0') END AS open_run,
       CASE WHEN second THEN 'destination'
            WHEN measured_at IS NOT NULL THEN 'source' END AS numbers_from,
       witnesses,
       CASE WHEN witnesses = 2
            THEN 'loss ' || to_char(100.0 * lost / sent
                 - 100.0 * w_lost / w_sent, 'FMSG990.0') || ' points'
                 || coalesce(', delay ' || to_char(
                    (delay_ms - w_delay_ms)::numeric, 'FMSG9999990.000')
                    || ' ms', '') END AS witness_gap,
       CASE WHEN witnesses < 2 THEN NULL
            WHEN NOT differ THEN 'network'
            WHEN measured_at <> w_measured_at OR (flags | w_flags) & 1 <> 0
            THEN NULL
            ELSE 'instrument at ' || CASE
                 twmesh.host_at_fault(src_id, flags, w_flags, measured_at,
                     interval_ms)::integer
                 - twmesh.host_at_fault(dst_id, w_flags, flags, measured_at,
                     interval_ms)::integer
                 WHEN 1 THEN src WHEN -1 THEN dst
                 ELSE src || ' or ' || dst END END AS witness_verdict
  FROM picked;

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
    -- Of the nodes that are in a mesh of the class; who is in maintenance is
    -- named as that only.
    SELECT count(*) AS nodes,
           count(*) FILTER (WHERE member) AS members,
           min(state_why) FILTER (WHERE state_why LIKE 'no controller%') AS why,
           array_agg(name ORDER BY name) FILTER (WHERE member
               AND state = 'stale' AND NOT maintained) AS silent,
           min(state_since) FILTER (WHERE member
               AND state = 'stale' AND NOT maintained) AS silent_since,
           array_agg(name ORDER BY name) FILTER (WHERE member
               AND state = 'stopped' AND NOT maintained) AS stopped,
           max(state_since) FILTER (WHERE member
               AND state = 'stopped' AND NOT maintained) AS stopped_since,
           array_agg(name ORDER BY name) FILTER (WHERE member
               AND state = 'never' AND NOT maintained) AS absent,
           array_agg(name ORDER BY name)
               FILTER (WHERE member AND maintained) AS maintained,
           max(maintenance_until) FILTER (WHERE member) AS maintained_until
      INTO n
      FROM (SELECT s.*, s.maintenance_since IS NOT NULL AS maintained,
                   coalesce(x.mesh_mask & k.mesh_mask <> 0, false) AS member
              FROM twmesh.node_status s
              JOIN twmesh.node x ON x.node_id = s.node_id
              LEFT JOIN twmesh.class k ON k.name = the_class
                   AND k.retired_at IS NULL) m;
    IF n.nodes = 0 THEN
        RETURN 'no nodes yet';
    ELSIF n.nodes = 1 THEN
        RETURN 'one node so far: a mesh needs two';
    END IF;
    SELECT count(*) AS directions,
           count(*) FILTER (WHERE state = 'ok') AS healthy,
           count(*) FILTER (WHERE state = 'warn') AS warn,
           count(*) FILTER (WHERE state = 'never' AND src_state <> 'never'
               AND dst_state <> 'never') AS never,
           count(*) FILTER (WHERE state = 'never' AND (src_state = 'never'
               OR dst_state = 'never')) AS waiting,
           count(*) FILTER (WHERE state = 'maintenance') AS maintained,
           count(*) FILTER (WHERE state = 'stale' AND src_state = 'stale') AS unseen,
           count(*) FILTER (WHERE state = 'stale' AND src_state <> 'stale'
               AND src_state <> 'stopped' AND dst_state <> 'stopped') AS overdue,
           count(*) FILTER (WHERE state = 'crit' AND dst_state = 'stale') AS gone,
           count(*) FILTER (WHERE measured_at IS NOT NULL) AS measured
      INTO c FROM twmesh.matrix_cell WHERE class = the_class;
    IF c.directions = 0 THEN
        RETURN CASE WHEN EXISTS (SELECT FROM twmesh.class
                         WHERE name = the_class AND retired_at IS NULL)
                    THEN 'no mesh has two nodes of this class yet'
                    ELSE 'no such class' END;
    END IF;
    IF n.why IS NOT NULL THEN
        RETURN n.why || ': none of ' || c.directions || ' directions is seen';
    END IF;
    IF c.measured = 0 THEN
        eta := twmesh.first_results_s(the_class);
        RETURN n.members || ' nodes, ' || c.directions || ' directions; '
            || coalesce('first results in about ' || eta || ' s',
                        'no results yet');
    END IF;
    -- What is in maintenance is expected to be off: no share of it is missing.
    head := CASE WHEN c.maintained = c.directions
        THEN 'all ' || c.directions || ' directions are in maintenance'
        ELSE c.healthy || ' of ' || c.directions - c.maintained
             || ' directions healthy' END;

    -- The worst: critical first, then by loss; not what a dead host explains.
    -- Over a limit on delays, or on its way back: the reason says it.
    SELECT src, dst, state, state_since, loss_max_pct, loss_pct, sent, open_run,
           CASE WHEN state_why ~ '^(RTT|jitter|one-way delay) '
                     OR (state <> 'ok' AND loss_max_pct = 0)
                THEN nullif(split_part(state_why, '; ', 1), '') END AS words
      INTO worst FROM twmesh.matrix_cell
     WHERE class = the_class AND dst_state <> 'stale'
       AND (state IN ('crit', 'warn')
            OR (state = 'ok' AND loss_max_pct > 0))
     ORDER BY state = 'crit' DESC, open_run IS NOT NULL DESC,
           state = 'warn' DESC, loss_max_pct DESC NULLS FIRST, state_since
     LIMIT 1;
    IF FOUND THEN
        part := part || ('worst: ' || worst.src || '→' || worst.dst
            || CASE WHEN worst.open_run IS NOT NULL
                    THEN ' gets no reply'
                    WHEN worst.words IS NOT NULL
                    THEN ', ' || worst.words
                    WHEN worst.loss_max_pct IS NULL
                    THEN ' cannot be sent to'
                    WHEN worst.loss_max_pct >= 100 THEN ' loses everything'
                    WHEN worst.loss_pct IS NULL
                    THEN ' loses up to '
                         || twmesh.number_text(worst.loss_max_pct) || ' %'
                    ELSE ' loses '
                         || twmesh.number_text(worst.loss_pct) || ' %' END
            || CASE WHEN worst.state <> 'ok'
                    THEN CASE WHEN worst.words IS NOT NULL AND
                                   worst.open_run IS NULL
                              THEN ', since ' ELSE ' since ' END || twmesh.utc_text(worst.state_since)
                    ELSE '' END);
    END IF;
    IF c.warn > 0 THEN
        part := part || (c.warn
            || CASE c.warn WHEN 1 THEN ' direction' ELSE ' directions' END
            || ' over a warning limit');
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
    IF c.maintained > 0 THEN
        part := part || (twmesh.words_list(n.maintained, 4)
            || CASE WHEN cardinality(n.maintained) = 1
                    THEN ' is' ELSE ' are' END || ' in maintenance'
            || CASE WHEN cardinality(n.maintained) = 1
                    THEN coalesce(' until '
                         || twmesh.utc_text(n.maintained_until), '')
                    ELSE '' END
            || ', ' || c.maintained || CASE c.maintained
               WHEN 1 THEN ' direction' ELSE ' directions' END);
    END IF;
    IF c.overdue > 0 THEN
        part := part || (c.overdue
            || CASE c.overdue WHEN 1 THEN ' direction has' ELSE ' directions have' END
            || ' overdue results');
    END IF;
    IF n.absent IS NOT NULL AND c.waiting > 0 THEN
        part := part || (twmesh.words_list(n.absent, 4)
            || CASE WHEN cardinality(n.absent) = 1 THEN ' has' ELSE ' have' END
            || ' never been in contact, ' || c.waiting
            || CASE c.waiting WHEN 1 THEN ' direction waits'
                              ELSE ' directions wait' END);
    END IF;
    IF c.never > 0 THEN
        part := part || (c.never
            || CASE c.never WHEN 1 THEN ' direction has' ELSE ' directions have' END
            || ' no result yet');
    END IF;
    RETURN array_to_string(head || part, '; ');
END $$;

CREATE OR REPLACE FUNCTION twmesh.api_matrix(the_class text DEFAULT NULL) RETURNS json
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    k text := coalesce(the_class, twmesh.default_class());
    length_s double precision;
    cells json;
    source json;
    destination json;
    summary json;
BEGIN
    SELECT interval_ms / 1000.0 INTO length_s FROM twmesh.class
     WHERE name = k AND retired_at IS NULL;
    IF NOT FOUND AND the_class IS NOT NULL THEN
        RETURN NULL;
    END IF;
    WITH pos AS MATERIALIZED (
        SELECT node_id, row_number() OVER (ORDER BY name) - 1 AS i
          FROM twmesh.node_status
    ), m AS MATERIALIZED (
        SELECT s.i AS si, d.i AS di, m.*
          FROM twmesh.matrix_cell m
          JOIN pos s ON s.node_id = m.src_id
          JOIN pos d ON d.node_id = m.dst_id
         WHERE m.class = k ORDER BY s.i, d.i
    )
    SELECT json_build_object('n', count(*),
        'src', coalesce(json_agg(si), '[]'),
        'dst', coalesce(json_agg(di), '[]'),
        'state', coalesce(json_agg(state), '[]'),
        'state_since', coalesce(json_agg(twmesh.iso_utc(state_since)), '[]'),
        'state_why', coalesce(json_agg(state_why), '[]'),
        'loss_pct', coalesce(json_agg(loss_pct), '[]'),
        'loss_max_pct', coalesce(json_agg(loss_max_pct), '[]'),
        'delay_ms', coalesce(json_agg(delay_ms), '[]'),
        'jitter_ms', coalesce(json_agg(jitter_ms), '[]'),
        'rtt_ms', coalesce(json_agg(rtt_ms), '[]'),
        'rtt_p99_ms', coalesce(json_agg(rtt_p99_ms), '[]'),
        'hops', coalesce(json_agg(hops), '[]'),
        'one_way_trusted', coalesce(json_agg(one_way_trusted), '[]'),
        'clock_err_ms', coalesce(json_agg(clock_err_ms), '[]'),
        'sent', coalesce(json_agg(sent), '[]'),
        'lost', coalesce(json_agg(lost), '[]'),
        'measured_at', coalesce(json_agg(twmesh.iso_utc(measured_at)), '[]'),
        'age_s', coalesce(json_agg(round(age_s::numeric, 1)), '[]'),
        'backfilled', coalesce(json_agg(coalesce(backfilled, false)), '[]'),
        'partial', coalesce(json_agg(coalesce(partial, false)), '[]')),
        json_build_object(
        'directions', count(*),
        'healthy', count(*) FILTER (WHERE state = 'ok'),
        'states', (SELECT coalesce(json_object_agg(state, n), '{}')
                     FROM (SELECT state, count(*) AS n FROM m GROUP BY state
                            ORDER BY state) x),
        'sentence', twmesh.mesh_sentence(k)),
        coalesce(json_agg(DISTINCT si ORDER BY si), '[]'),
        coalesce(json_agg(DISTINCT di ORDER BY di), '[]')
      INTO cells, summary, source, destination FROM m;
    RETURN json_build_object(
        'at', twmesh.iso_utc(statement_timestamp()),
        'epoch', coalesce((SELECT max(epoch) FROM twmesh.epoch), 0),
        'class', k,
        'classes', (SELECT coalesce(json_agg(name ORDER BY class_id), '[]')
                      FROM twmesh.class WHERE retired_at IS NULL),
        'interval_s', length_s,
        'first_results_s', twmesh.first_results_s(k),
        'database', json_build_object('ok', true, 'since', NULL),
        'nodes', (SELECT coalesce(json_agg(json_build_object(
                         'name', name, 'site', coalesce(site, ''),
                         'kind', kind, 'state', state,
                         'state_why', state_why)
                         ORDER BY name), '[]')
                    FROM twmesh.node_status),
        'rows', source,
        'columns', destination,
        'metrics', (SELECT coalesce(json_agg(json_build_object(
                         'name', name, 'unit', unit, 'label', label,
                         'decimals', decimals, 'help', help)
                         ORDER BY position), '[]')
                      FROM twmesh.matrix_metric),
        'cells', cells,
        'summary', summary);
END $$;
