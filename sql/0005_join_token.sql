-- SPDX-License-Identifier: BSD-2-Clause
--
-- Join tokens. A token is a CURVE key pair: its public key is here, its secret
-- is with whoever is to join, and nowhere else. A node connects with it, sends
-- Join with its own key and name, and comes back as itself.

CREATE TABLE twmesh_private.join_token (
    token_id     integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key          bytea NOT NULL UNIQUE CHECK (octet_length(key) = 32),
    fingerprint  text NOT NULL,
    uses_max     integer NOT NULL CHECK (uses_max BETWEEN 1 AND 100000),
    uses         integer NOT NULL DEFAULT 0
                 CHECK (uses BETWEEN 0 AND uses_max),
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    revoked_at   timestamptz,
    last_used_at timestamptz
);
COMMENT ON TABLE twmesh_private.join_token IS
    'Join tokens, those that ended too. The secret is never stored.';
COMMENT ON COLUMN twmesh_private.join_token.token_id IS 'For people.';
COMMENT ON COLUMN twmesh_private.join_token.key IS 'CURVE public key.';
COMMENT ON COLUMN twmesh_private.join_token.fingerprint IS
    'Base32 of the first 10 octets of its SHA-256.';
COMMENT ON COLUMN twmesh_private.join_token.uses_max IS
    'Nodes that it may let in.';
COMMENT ON COLUMN twmesh_private.join_token.uses IS 'Nodes that it let in.';
COMMENT ON COLUMN twmesh_private.join_token.created_at IS 'When.';
COMMENT ON COLUMN twmesh_private.join_token.expires_at IS
    'From then on it lets nobody in (database clock).';
COMMENT ON COLUMN twmesh_private.join_token.revoked_at IS
    'When the operator ended it; NULL: not revoked.';
COMMENT ON COLUMN twmesh_private.join_token.last_used_at IS
    'When it last let a node in; NULL: never.';

ALTER TABLE twmesh_private.node_key
    DROP CONSTRAINT node_key_approved_by_check,
    ADD CONSTRAINT node_key_approved_by_check
        CHECK (approved_by IN ('operator', 'first use', 'token')),
    ADD COLUMN token_id integer REFERENCES twmesh_private.join_token;
COMMENT ON COLUMN twmesh_private.node_key.approved_by IS
    'operator, token, or first use (loopback listeners only).';
COMMENT ON COLUMN twmesh_private.node_key.token_id IS
    'The join token that let it in; NULL: none did.';

CREATE VIEW twmesh.join_token AS
SELECT t.token_id, t.fingerprint,
       CASE WHEN t.revoked_at IS NOT NULL THEN 'revoked'
            WHEN t.uses >= t.uses_max THEN 'used up'
            WHEN t.expires_at <= statement_timestamp() THEN 'expired'
            ELSE 'open' END AS state,
       t.uses, t.uses_max, t.created_at, t.expires_at, t.revoked_at,
       t.last_used_at,
       ARRAY(SELECT n.name::text FROM twmesh_private.node_key k
               JOIN twmesh.node n USING (node_id)
              WHERE k.token_id = t.token_id AND n.removed_at IS NULL
              ORDER BY n.name) AS nodes
  FROM twmesh_private.join_token t;
COMMENT ON VIEW twmesh.join_token IS
    'Join tokens, without what would let anybody in.';
COMMENT ON COLUMN twmesh.join_token.token_id IS
    'For twmesh node token revoke.';
COMMENT ON COLUMN twmesh.join_token.fingerprint IS
    'Of its public key, as logs name it.';
COMMENT ON COLUMN twmesh.join_token.state IS
    'open, used up, expired or revoked.';
COMMENT ON COLUMN twmesh.join_token.uses IS 'Nodes that it let in.';
COMMENT ON COLUMN twmesh.join_token.uses_max IS 'Nodes that it may let in.';
COMMENT ON COLUMN twmesh.join_token.created_at IS 'When.';
COMMENT ON COLUMN twmesh.join_token.expires_at IS
    'From then on it lets nobody in.';
COMMENT ON COLUMN twmesh.join_token.revoked_at IS 'NULL: not revoked.';
COMMENT ON COLUMN twmesh.join_token.last_used_at IS 'NULL: never.';
COMMENT ON COLUMN twmesh.join_token.nodes IS
    'Names of the nodes that it let in and that are still in the mesh.';

CREATE FUNCTION twmesh.api_tokens() RETURNS json
LANGUAGE sql STABLE
RETURN (SELECT json_build_object('tokens', coalesce(json_agg(json_build_object(
        'token_id', token_id, 'fingerprint', fingerprint, 'state', state,
        'uses', uses, 'uses_max', uses_max,
        'created_at', twmesh.iso_utc(created_at),
        'expires_at', twmesh.iso_utc(expires_at),
        'last_used_at', twmesh.iso_utc(last_used_at),
        'nodes', array_to_json(nodes)) ORDER BY token_id), '[]'))
    FROM (SELECT * FROM twmesh.join_token ORDER BY token_id DESC
           LIMIT 1000) t);
COMMENT ON FUNCTION twmesh.api_tokens() IS
    'GET /api/v1/tokens: the newest 1,000.';

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'twmesh_reader') THEN
        GRANT SELECT ON twmesh.join_token TO twmesh_reader;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'twmesh_writer') THEN
        GRANT SELECT ON twmesh.join_token TO twmesh_writer;
        GRANT SELECT, INSERT, UPDATE ON twmesh_private.join_token
            TO twmesh_writer;
    END IF;
    -- As 0004 does for what was there then.
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'twmesh_owner')
       AND pg_get_userbyid((SELECT nspowner FROM pg_namespace
                             WHERE nspname = 'twmesh')) = 'twmesh_owner' THEN
        ALTER TABLE twmesh_private.join_token OWNER TO twmesh_owner;
        ALTER VIEW twmesh.join_token OWNER TO twmesh_owner;
        ALTER FUNCTION twmesh.api_tokens() OWNER TO twmesh_owner;
    END IF;
END $$;
