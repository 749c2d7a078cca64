-- Sets the replica identity of the tables in some schemas, with their partitions and the tables that inherit from them,
-- wherever those are. Runs with the rights of whoever calls it, who must own the tables. All of it or nothing: it takes
-- an ACCESS EXCLUSIVE lock on each table that it changes until the transaction ends, so set lock_timeout where many
-- write.
--
--   full      REPLICA IDENTITY FULL for every table
--   keyless   FULL for tables from which an UPDATE or DELETE could not be published: no primary key, no other identity
--   default   back to the primary key, where FULL was set; a table without a primary key stays FULL while it is published
--
-- A NOTICE names each table that was changed.
CREATE PROCEDURE pelton.set_replica_identity(mode text, schemas text[])
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $procedure$
DECLARE
    absent text;
    target record;
    changed bigint := 0;
BEGIN
    IF mode IS NULL OR mode NOT IN ('full', 'keyless', 'default') THEN
        RAISE EXCEPTION 'unknown mode %', coalesce(quote_literal(mode), 'NULL')
            USING HINT = 'It is full, keyless or default.', ERRCODE = 'invalid_parameter_value';
    END IF;
    IF coalesce(cardinality(schemas), 0) = 0 THEN
        RAISE EXCEPTION 'no schema is named'
            USING HINT = 'CALL pelton.set_replica_identity(''keyless'', ARRAY[''public''])',
                  ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT string_agg(coalesce(quote_ident(name), 'NULL'), ', ') INTO absent
    FROM unnest(schemas) AS name WHERE NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = name);
    IF absent IS NOT NULL THEN
        RAISE EXCEPTION 'no such schema: %', absent
            USING HINT = 'Names are taken as they are, without quotes, upper and lower case.',
                  ERRCODE = 'invalid_schema_name';
    END IF;
    FOR target IN
        WITH RECURSIVE family (oid) AS (
            SELECT c.oid FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
            WHERE n.nspname = ANY (schemas) AND c.relkind IN ('r', 'p', 'f')
            UNION
            SELECT i.inhrelid FROM pg_inherits AS i JOIN family AS f ON f.oid = i.inhparent
        ), candidate AS (
            SELECT c.oid, n.nspname, c.relname, c.relreplident,
                   EXISTS (SELECT FROM pg_index AS x WHERE x.indrelid = c.oid AND x.indisprimary) AS has_key,
                   EXISTS (SELECT FROM pg_index AS x WHERE x.indrelid = c.oid AND x.indisreplident) AS has_index
            FROM family AS f
            JOIN pg_class AS c ON c.oid = f.oid
            JOIN pg_namespace AS n ON n.oid = c.relnamespace
            -- Ordinary and partitioned tables that are written ahead: neither temporary nor unlogged nor foreign ones.
            WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p'
              AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
              AND n.nspname NOT IN ('pelton', 'rejot_data_store', 'rejot_events')
        )
        SELECT c.nspname, c.relname,
               NOT c.has_key AND EXISTS (
                   SELECT FROM pg_publication_tables AS t
                   JOIN pg_publication AS p ON p.pubname = t.pubname
                   JOIN pg_namespace AS n ON n.nspname = t.schemaname
                   JOIN pg_class AS r ON r.relnamespace = n.oid AND r.relname = t.tablename
                   WHERE (p.pubupdate OR p.pubdelete)
                     AND (r.oid = c.oid OR r.oid IN (SELECT a.relid FROM pg_partition_ancestors(c.oid) AS a))
               ) AS needs_full
        FROM candidate AS c
        WHERE CASE mode
                  WHEN 'full' THEN c.relreplident <> 'f'
                  WHEN 'default' THEN c.relreplident = 'f'
                  -- The index of a replica identity may have been dropped: that is no identity any more.
                  ELSE NOT c.has_key AND (c.relreplident IN ('d', 'n') OR (c.relreplident = 'i' AND NOT c.has_index))
              END
        ORDER BY c.nspname, c.relname
    LOOP
        IF mode = 'default' AND target.needs_full THEN
            RAISE WARNING '%.% stays FULL: it is published and has no primary key, so its UPDATEs and DELETEs would fail',
                quote_ident(target.nspname), quote_ident(target.relname);
            CONTINUE;
        END IF;
        EXECUTE format('ALTER TABLE %I.%I REPLICA IDENTITY %s', target.nspname, target.relname,
                       CASE mode WHEN 'default' THEN 'DEFAULT' ELSE 'FULL' END);
        changed := changed + 1;
        RAISE NOTICE '%.%: REPLICA IDENTITY %', quote_ident(target.nspname), quote_ident(target.relname),
            CASE mode WHEN 'default' THEN 'DEFAULT' ELSE 'FULL' END;
    END LOOP;
    RAISE NOTICE '% tables changed', changed;
END
$procedure$;

COMMENT ON PROCEDURE pelton.set_replica_identity(text, text[]) IS
    'Made by Pelton: sets the replica identity of the tables in some schemas to full, keyless or default.';

-- For an event trigger ON ddl_command_end WHEN TAG IN ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'CREATE SCHEMA'): a
-- new table
-- without a primary key gets REPLICA IDENTITY FULL, or its UPDATEs would fail once it is published. It runs with the
-- rights of whoever makes the table, and never makes that fail.
CREATE FUNCTION pelton.keep_replica_identity()
RETURNS event_trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    made record;
BEGIN
    FOR made IN
        SELECT n.nspname, c.relname
        FROM pg_event_trigger_ddl_commands() AS d
        JOIN pg_class AS c ON c.oid = d.objid
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE d.classid = 'pg_class'::regclass AND d.command_tag IN ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO')
          AND NOT d.in_extension
          AND c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND c.relreplident = 'd'
          AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
          AND n.nspname NOT IN ('pelton', 'rejot_data_store', 'rejot_events')
          AND NOT EXISTS (SELECT FROM pg_index AS x WHERE x.indrelid = c.oid AND x.indisprimary)
    LOOP
        BEGIN
            EXECUTE format('ALTER TABLE %I.%I REPLICA IDENTITY FULL', made.nspname, made.relname);
        EXCEPTION WHEN OTHERS THEN
            RAISE WARNING 'pelton: %.% keeps its replica identity: %',
                quote_ident(made.nspname), quote_ident(made.relname), SQLERRM;
        END;
    END LOOP;
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING 'pelton: new tables keep their replica identity: %', SQLERRM;
END
$function$;

COMMENT ON FUNCTION pelton.keep_replica_identity() IS
    'Made by Pelton, for an event trigger: new tables without a primary key get REPLICA IDENTITY FULL.';
