-- The durable log of public-schema events. ReJot's own table of events, where it is, keeps what it has under another name.
DO $$
BEGIN
    IF to_regclass('rejot_events.events') IS NOT NULL THEN
        ALTER TABLE rejot_events.events RENAME TO rejot_event;
    END IF;
END
$$;

-- One row for each major version of a public schema that is published here: a stream of events in the order of its source.
CREATE TABLE rejot_events.stream (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    manifest_slug text NOT NULL,
    source_slug text NOT NULL,
    public_schema_name text NOT NULL,
    public_schema_major_version integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (manifest_slug, public_schema_name, public_schema_major_version)
);

-- What the rows of a stream looked like from some event on, and which component made them.
CREATE TABLE rejot_events.shape (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream_id integer NOT NULL REFERENCES rejot_events.stream ON DELETE CASCADE,
    public_schema_minor_version integer NOT NULL,
    -- [{"name", "type", "modifier", "nullable", "key", "attrs"}, …]
    columns jsonb NOT NULL,
    attrs jsonb NOT NULL,
    -- The SHA-256 of the component; none made what is a plain projection of a table.
    component_digest text,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON rejot_events.shape (stream_id);

-- Stretches of time, each with a partition of its own.
CREATE TABLE rejot_events.segment (
    id integer PRIMARY KEY,
    began_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz
);

CREATE TABLE rejot_events.event (
    stream_id integer NOT NULL,
    -- The position: it only grows within a stream. A source whose log begins anew has another epoch.
    epoch integer NOT NULL,
    commit_lsn pg_lsn NOT NULL,
    -- The change's index in its transaction times 2^20, plus the row's index among those that the change gave rise to.
    ordinal bigint NOT NULL,
    segment integer NOT NULL,
    shape_id integer NOT NULL,
    operation text NOT NULL,
    -- 0 and NULL for rows that existed before they were published.
    xid bigint NOT NULL,
    commit_time timestamptz,
    -- The key's columns; NULL for a truncate, and where the public schema has no key.
    key jsonb,
    -- The columns; an update lacks those that it left alone, a delete has none but where there is no key.
    object jsonb,
    -- "oldKey": the former key of an update that changed it. "oldRow": the former row, where there is no key.
    -- "jsonNull": columns that hold the JSON value null, which `object` can't tell from the absence of a value.
    attributes jsonb,
    PRIMARY KEY (stream_id, epoch, commit_lsn, ordinal, segment)
) PARTITION BY LIST (segment);

INSERT INTO rejot_events.segment (id) VALUES (1);
CREATE TABLE rejot_events.event_1 PARTITION OF rejot_events.event FOR VALUES IN (1);

-- Who reads which stream, and up to where it is done: nothing behind that may be removed.
CREATE TABLE rejot_events.consumer (
    manifest_slug text NOT NULL,
    consumer text NOT NULL,
    stream_id integer NOT NULL REFERENCES rejot_events.stream ON DELETE CASCADE,
    epoch integer NOT NULL,
    commit_lsn pg_lsn NOT NULL,
    ordinal bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (manifest_slug, consumer)
);

-- All of an event in one row, for people and for SQL.
CREATE VIEW rejot_events.events AS
SELECT t.manifest_slug, t.public_schema_name, t.public_schema_major_version, s.public_schema_minor_version,
       t.source_slug, e.epoch, e.commit_lsn, e.ordinal, e.operation, e.xid, e.commit_time, e.key, e.object,
       s.component_digest, e.attributes
FROM rejot_events.event AS e
JOIN rejot_events.stream AS t ON t.id = e.stream_id
JOIN rejot_events.shape AS s ON s.id = e.shape_id;
