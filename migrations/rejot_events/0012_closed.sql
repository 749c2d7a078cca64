-- Nothing is added to a segment that is about to be dropped. Whoever tries is told what it would be told of one that is gone,
-- and tries again with the newest.
CREATE FUNCTION rejot_events.closed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'segment % is closed', TG_TABLE_NAME
        USING ERRCODE = 'check_violation', SCHEMA = 'rejot_events', TABLE = 'event';
END
$$;

-- Of streams that ReJot has begun: where the source's log was when they were taken over. A flow that has come so far is never
-- sent again what ReJot has stored.
ALTER TABLE rejot_events.stream ADD COLUMN taken_over_lsn pg_lsn;
