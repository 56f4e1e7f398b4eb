-- SPDX-License-Identifier: BSD-2-Clause
--
-- Functions: the JSON of the HTTP API (docs/CONTRACTS.md) and the sentence
-- that page, command and SQL share. They read views only, so that a reader
-- needs no rights on twmesh_private.

CREATE FUNCTION twmesh.iso_utc(t timestamptz) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN to_char(t AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');
COMMENT ON FUNCTION twmesh.iso_utc(timestamptz) IS
    'An instant as ISO 8601 in UTC with milliseconds.';

CREATE FUNCTION twmesh.number_text(v double precision) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN v > 0 AND v < 0.1 THEN 'under 0.1'
    ELSE rtrim(rtrim(to_char(v, 'FM999990.0'), '0'), '.') END;
COMMENT ON FUNCTION twmesh.number_text(double precision) IS
    'A percentage for sentences: 2, 12.5, under 0.1.';

CREATE FUNCTION twmesh.words_list(words text[], most integer) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN cardinality(words) = 1 THEN words[1]
    WHEN cardinality(words) <= most
    THEN array_to_string(words[:cardinality(words) - 1], ', ')
         || ' and ' || words[cardinality(words)]
    ELSE array_to_string(words[:most - 1], ', ') || ' and '
         || cardinality(words) - most + 1 || ' more' END;
COMMENT ON FUNCTION twmesh.words_list(text[], integer) IS
    'a, b and c; with more than `most` entries: a, b and 7 more.';

-- Seconds until the first results of a mesh that has none are to be expected:
-- the next end of an interval after the newest node came, the loss timeout,
-- the way into the database. NULL once there are some, or without two nodes.
CREATE FUNCTION twmesh.first_results_s(the_class text) RETURNS integer
LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH c AS (
        SELECT interval_ms / 1000.0 AS len,
               (loss_timeout_ms + ship_spread_ms) / 1000.0 + 1 AS after
          FROM twmesh.class
         WHERE name = the_class AND retired_at IS NULL
    ), n AS (
        SELECT count(*) AS nodes,
               extract(epoch FROM min(state_since)) + 0.5 AS since
          FROM (SELECT state_since FROM twmesh.node_status
                 WHERE state = 'ok' ORDER BY state_since LIMIT 2 OFFSET 1) s
    )
    SELECT greatest(1, ceil(ceil(n.since / c.len) * c.len + c.after
               - extract(epoch FROM statement_timestamp())))::integer
      FROM c, n
     WHERE n.nodes > 0
       AND NOT EXISTS (SELECT FROM twmesh.matrix_cell m
                        WHERE m.class = the_class
                          AND m.measured_at IS NOT NULL);
END;
COMMENT ON FUNCTION twmesh.first_results_s(text) IS
    'Seconds until the first results of a class are to be expected; NULL once there are some, or while fewer than two nodes are in contact.';

-- The sentence, from counts and the cells that need a word. `cells` are those
-- of one class, already judged.
CREATE FUNCTION twmesh.mesh_sentence(the_class text) RETURNS text
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
    SELECT src, dst, state, state_since, loss_max_pct, loss_pct, sent, state_why
      INTO worst FROM twmesh.matrix_cell
     WHERE class = the_class AND dst_state <> 'stale'
       AND (state = 'crit' OR (state = 'ok' AND loss_max_pct > 0))
     ORDER BY state = 'crit' DESC, loss_max_pct DESC NULLS FIRST, state_since
     LIMIT 1;
    IF FOUND THEN
        part := part || ('worst: ' || worst.src || '→' || worst.dst
            || CASE WHEN worst.loss_max_pct IS NULL
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
COMMENT ON FUNCTION twmesh.mesh_sentence(text) IS
    'The state of a class''s mesh in one sentence.';

CREATE FUNCTION twmesh.default_class() RETURNS text
LANGUAGE sql STABLE
RETURN (SELECT name::text FROM twmesh.class WHERE retired_at IS NULL
         ORDER BY class_id LIMIT 1);
COMMENT ON FUNCTION twmesh.default_class() IS
    'The class that is shown when none is asked for: the oldest that runs. NULL: none does.';

CREATE FUNCTION twmesh.api_matrix(the_class text DEFAULT NULL) RETURNS json
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    k text := coalesce(the_class, twmesh.default_class());
    length_s double precision;
    cells json;
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
        'sentence', twmesh.mesh_sentence(k))
      INTO cells, summary FROM m;
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
                         'state', state, 'state_why', state_why)
                         ORDER BY name), '[]')
                    FROM twmesh.node_status),
        'metrics', (SELECT coalesce(json_agg(json_build_object(
                         'name', name, 'unit', unit, 'label', label,
                         'decimals', decimals, 'help', help)
                         ORDER BY position), '[]')
                      FROM twmesh.matrix_metric),
        'cells', cells,
        'summary', summary);
END $$;
COMMENT ON FUNCTION twmesh.api_matrix(text) IS
    'GET /api/v1/matrix. NULL for an unknown class.';

CREATE FUNCTION twmesh.api_nodes() RETURNS json
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
        'approved_at', twmesh.iso_utc(approved_at)) ORDER BY name), '[]')
        FROM twmesh.node_status),
    'pending', (SELECT coalesce(json_agg(json_build_object(
        'fingerprint', fingerprint, 'address', address,
        'first_seen', twmesh.iso_utc(first_seen_at),
        'last_seen', twmesh.iso_utc(last_seen_at),
        'attempts', attempts) ORDER BY last_seen_at DESC), '[]')
        FROM twmesh.pending_node)));
COMMENT ON FUNCTION twmesh.api_nodes() IS 'GET /api/v1/nodes.';

CREATE FUNCTION twmesh.api_cell(the_src text, the_dst text, the_class text)
RETURNS json
LANGUAGE sql STABLE
RETURN (SELECT json_build_object(
        'src', src, 'dst', dst, 'class', class, 'state', state,
        'state_since', twmesh.iso_utc(state_since), 'state_why', state_why,
        'loss_pct', loss_pct, 'loss_max_pct', loss_max_pct,
        'delay_ms', delay_ms, 'jitter_ms', jitter_ms, 'rtt_ms', rtt_ms,
        'rtt_p99_ms', rtt_p99_ms, 'hops', hops,
        'one_way_trusted', one_way_trusted, 'clock_err_ms', clock_err_ms,
        'sent', sent, 'lost', lost, 'measured_at', twmesh.iso_utc(measured_at),
        'age_s', round(age_s::numeric, 1),
        'backfilled', coalesce(backfilled, false),
        'partial', coalesce(partial, false))
    FROM twmesh.matrix_cell
   WHERE src = the_src AND dst = the_dst AND class = the_class);
COMMENT ON FUNCTION twmesh.api_cell(text, text, text) IS
    'One cell of the matrix as JSON; NULL when the plan has no such pair.';

CREATE FUNCTION twmesh.api_path(the_src text, the_dst text,
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
    SELECT coalesce(json_agg(json_build_object(
        'start', twmesh.iso_utc(r.ts), 'interval_s', r.interval_ms / 1000.0,
        'scheduled', r.scheduled, 'sent', r.sent,
        'send_failed', r.send_failed, 'received', r.received, 'lost', r.lost,
        'lost_fwd', r.lost_fwd, 'lost_bwd', r.lost_bwd,
        'lost_undet', r.lost_undet, 'late', r.late,
        'duplicates', r.duplicates,
        'rtt_min', r.rtt_min_ms, 'rtt_mean', r.rtt_mean_ms,
        'rtt_max', r.rtt_max_ms, 'rtt_p50', r.rtt_p50_ms,
        'rtt_p99', r.rtt_p99_ms, 'fwd_min', r.fwd_min_ms,
        'fwd_mean', r.fwd_mean_ms, 'fwd_max', r.fwd_max_ms,
        'bwd_min', r.bwd_min_ms, 'bwd_mean', r.bwd_mean_ms,
        'bwd_max', r.bwd_max_ms, 'fwd_ipdv', r.fwd_ipdv_ms,
        'bwd_ipdv', r.bwd_ipdv_ms,
        'fwd_jitter_rfc3550', r.fwd_jitter_rfc3550_ms,
        'bwd_jitter_rfc3550', r.bwd_jitter_rfc3550_ms,
        'fwd_hops', r.fwd_hops, 'bwd_hops', r.bwd_hops,
        'clock_err', r.clock_err_ms, 'local_drops', r.local_drops,
        'flags', r.flags, 'span', r.span_ms) ORDER BY r.ts), '[]')
      INTO rows
      FROM (SELECT * FROM twmesh.result x
             WHERE x.src_id = src_no AND x.dst_id = dst_no
               AND x.class_id IN (SELECT class_id FROM twmesh.class
                                   WHERE name = k)
               AND x.ts >= statement_timestamp() - span
             ORDER BY x.ts DESC LIMIT 10000) r;
    RETURN json_build_object('src', the_src, 'dst', the_dst, 'class', k,
        'forward', forward, 'backward', twmesh.api_cell(the_dst, the_src, k),
        'results', rows);
END $$;
COMMENT ON FUNCTION twmesh.api_path(text, text, text, double precision) IS
    'GET /api/v1/path: both cells and the newest results (at most 10,000). NULL for an unknown path.';
