-- SPDX-License-Identifier: BSD-2-Clause
--
-- Roles with least rights: twmesh_owner (migrations and maintenance),
-- twmesh_writer (controllers), twmesh_reader (Grafana, people). They are made
-- if this user may make roles; without them everything works for the user who
-- owns the objects. They cannot log in: grant them to those who can.

DO $$
DECLARE
    r text;
BEGIN
    FOREACH r IN ARRAY ARRAY['twmesh_owner', 'twmesh_writer', 'twmesh_reader']
    LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = r);
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', r);
        EXCEPTION
        WHEN insufficient_privilege THEN
            RAISE NOTICE 'role % was not made: % may not create roles; everything works as the owner, but only the owner has access', r, current_user;
        WHEN duplicate_object OR unique_violation THEN
            NULL; -- another migration of this cluster made it just now
        END;
    END LOOP;
END $$;

REVOKE ALL ON SCHEMA twmesh_private FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA twmesh_private FROM PUBLIC;
REVOKE ALL ON SCHEMA twmesh FROM PUBLIC;

DO $$
DECLARE
    o record;
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'twmesh_reader') THEN
        GRANT USAGE ON SCHEMA twmesh TO twmesh_reader;
        GRANT SELECT ON ALL TABLES IN SCHEMA twmesh TO twmesh_reader;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'twmesh_writer') THEN
        GRANT USAGE ON SCHEMA twmesh, twmesh_private TO twmesh_writer;
        GRANT SELECT ON ALL TABLES IN SCHEMA twmesh, twmesh_private
            TO twmesh_writer;
        GRANT INSERT ON twmesh.result, twmesh.gap, twmesh.site, twmesh.node,
            twmesh.class, twmesh.epoch, twmesh.matrix_metric,
            twmesh_private.controller, twmesh_private.node_key,
            twmesh_private.pending_node, twmesh_private.node_live,
            twmesh_private.spool, twmesh_private.ledger,
            twmesh_private.put_aside, twmesh_private.path_state
            TO twmesh_writer;
        GRANT UPDATE ON twmesh.node, twmesh.class, twmesh.matrix_metric,
            twmesh_private.controller, twmesh_private.node_key,
            twmesh_private.pending_node, twmesh_private.node_live,
            twmesh_private.spool, twmesh_private.path_state
            TO twmesh_writer;
        GRANT DELETE ON twmesh.matrix_metric, twmesh_private.controller,
            twmesh_private.node_key, twmesh_private.pending_node,
            twmesh_private.put_aside, twmesh_private.path_state
            TO twmesh_writer;
        GRANT EXECUTE ON FUNCTION twmesh_private.add_partition(date),
            twmesh_private.incarnation() TO twmesh_writer;
    END IF;
    -- Owned by the role, so that anyone who is a member can migrate on. Only
    -- where this user may hand over (CREATE on the database for the role).
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'twmesh_owner') THEN
        BEGIN
            EXECUTE format('GRANT CREATE ON DATABASE %I TO twmesh_owner',
                current_database());
            IF NOT pg_has_role(current_user, 'twmesh_owner', 'MEMBER') THEN
                EXECUTE format('GRANT twmesh_owner TO %I', current_user);
            END IF;
            ALTER SCHEMA twmesh OWNER TO twmesh_owner;
            ALTER SCHEMA twmesh_private OWNER TO twmesh_owner;
            FOR o IN SELECT c.oid::regclass AS name, c.relkind
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
            ALTER DOMAIN twmesh.name OWNER TO twmesh_owner;
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE NOTICE 'the objects stay with %: they cannot be handed to twmesh_owner (%)', current_user, SQLERRM;
        END;
    END IF;
END $$;
