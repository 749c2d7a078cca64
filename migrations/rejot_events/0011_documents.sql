-- Documents are kept as the text that they were written as: making jsonb of each, and text of it for each reader, took half of
-- the time of publishing and reading. Whatever is written is what jsonb takes, and the view shows it as jsonb.

-- The view keeps its grants, and what depends on it, while nothing of it depends on the columns.
CREATE OR REPLACE VIEW rejot_events.events AS
SELECT t.manifest_slug, t.public_schema_name, t.public_schema_major_version, s.public_schema_minor_version,
       t.source_slug, e.epoch, e.commit_lsn, e.ordinal, e.operation, e.xid, e.commit_time, NULL::jsonb AS key,
       NULL::jsonb AS object, s.component_digest, NULL::jsonb AS attributes
FROM rejot_events.event AS e
JOIN rejot_events.stream AS t ON t.id = e.stream_id
JOIN rejot_events.shape AS s ON s.id = e.shape_id;

DROP INDEX rejot_events.event_0_key;
ALTER TABLE rejot_events.event
    ALTER COLUMN key TYPE text USING key::text,
    ALTER COLUMN object TYPE text USING object::text,
    ALTER COLUMN attributes TYPE text USING attributes::text;
-- Of merged events the key is spelt as jsonb spells it. Keys may be larger than an index takes.
CREATE INDEX event_0_key ON rejot_events.event_0 (stream_id, md5(key));

CREATE OR REPLACE VIEW rejot_events.events AS
SELECT t.manifest_slug, t.public_schema_name, t.public_schema_major_version, s.public_schema_minor_version,
       t.source_slug, e.epoch, e.commit_lsn, e.ordinal, e.operation, e.xid, e.commit_time, e.key::jsonb AS key,
       e.object::jsonb AS object, s.component_digest, e.attributes::jsonb AS attributes
FROM rejot_events.event AS e
JOIN rejot_events.stream AS t ON t.id = e.stream_id
JOIN rejot_events.shape AS s ON s.id = e.shape_id;
