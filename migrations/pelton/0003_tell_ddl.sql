-- For an event trigger ON ddl_command_end WHEN TAG IN ('ALTER TABLE'): tells whoever reads the stream what the table's
-- columns are now, by a logical message inside the same transaction, before the next change of a row (inside of a
-- subtransaction it may come right behind that). Its prefix is `pelton.ddl`; its content is JSON:
--
--   {"schema", "table", "oid", "columns": [{"name", "type", "typmod", "not_null", "key"}, …]}
--
-- `type` is as format_type prints it without its modifier, with its schema unless that is pg_catalog; `not_null` is by the
-- column or by its domain; `key` says that the column is part of the table's replica identity. Tables that inherit, and
-- partitions, are told too.
--
-- It runs with its owner's rights, for who may ALTER a table need not be able to write messages; it runs no text of
-- anybody's as SQL, and nobody can call it. It never makes an ALTER TABLE fail. To silence it, for a session, a role or a
-- database: SET pelton.ddl_messages = off.
CREATE FUNCTION pelton.tell_ddl()
RETURNS event_trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    told text[];
    message text;
BEGIN
    IF lower(coalesce(current_setting('pelton.ddl_messages', true), '')) IN ('off', 'false', 'no', '0') THEN
        RETURN;
    END IF;
    BEGIN
        WITH RECURSIVE family (oid) AS (
            SELECT d.objid FROM pg_event_trigger_ddl_commands() AS d
            WHERE d.classid = 'pg_class'::regclass AND NOT d.in_extension
            UNION
            SELECT i.inhrelid FROM pg_inherits AS i JOIN family AS f ON f.oid = i.inhparent
        )
        SELECT array_agg(jsonb_build_object(
            'schema', n.nspname, 'table', c.relname, 'oid', c.oid::bigint,
            'columns', (
                SELECT coalesce(jsonb_agg(jsonb_build_object(
                    'name', a.attname, 'type', format_type(a.atttypid, NULL), 'typmod', a.atttypmod,
                    'not_null', a.attnotnull OR t.typnotnull,
                    'key', CASE c.relreplident
                               WHEN 'f' THEN true
                               WHEN 'n' THEN false
                               ELSE EXISTS (
                                   SELECT FROM pg_index AS x
                                   WHERE x.indrelid = c.oid
                                     AND a.attnum = ANY ((x.indkey::int2[])[0:x.indnkeyatts - 1])
                                     AND CASE c.relreplident WHEN 'd' THEN x.indisprimary ELSE x.indisreplident END)
                           END) ORDER BY a.attnum), '[]')
                FROM pg_attribute AS a
                JOIN pg_type AS t ON t.oid = a.atttypid
                WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
            )::text ORDER BY c.oid)
        INTO told
        FROM (SELECT DISTINCT family.oid FROM family) AS f
        JOIN pg_class AS c ON c.oid = f.oid
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p'
          AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
          AND n.nspname NOT IN ('pelton', 'rejot_data_store', 'rejot_events');
        IF NOT (SELECT bool_and(has_function_privilege(p.oid, 'EXECUTE')) FROM pg_proc AS p
                WHERE p.proname = 'pg_logical_emit_message' AND p.pronamespace = 'pg_catalog'::regnamespace) THEN
            RAISE EXCEPTION '% may not execute pg_logical_emit_message', current_user;
        END IF;
    EXCEPTION WHEN OTHERS THEN
        RAISE WARNING 'pelton: this ALTER TABLE is not told to the stream: %', SQLERRM;
        RETURN;
    END;
    -- Not in the block above, which is a subtransaction: a message of one may be decoded behind the row that follows it.
    FOREACH message IN ARRAY coalesce(told, '{}') LOOP
        PERFORM pg_logical_emit_message(true, 'pelton.ddl', message);
    END LOOP;
END
$function$;

COMMENT ON FUNCTION pelton.tell_ddl() IS
    'Made by Pelton, for an event trigger: tells the stream the columns of an altered table.';

REVOKE ALL ON FUNCTION pelton.tell_ddl() FROM PUBLIC;
