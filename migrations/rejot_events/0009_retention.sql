-- Which event store this is. A stream that is mirrored remembers the stores that it came through.
CREATE TABLE rejot_events.store (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now()
);
-- There is one.
CREATE UNIQUE INDEX ON rejot_events.store ((true));
INSERT INTO rejot_events.store DEFAULT VALUES;

ALTER TABLE rejot_events.stream
    -- The same in all mirrors of a stream: positions of one origin compare with one another.
    ADD COLUMN origin uuid NOT NULL DEFAULT gen_random_uuid(),
    -- The event stores that it came through, the nearest last; none where it is published here.
    ADD COLUMN path uuid[] NOT NULL DEFAULT '{}',
    -- Up to where it is mirrored here: the position of the last event.
    ADD COLUMN mirrored_epoch integer NOT NULL DEFAULT 0,
    ADD COLUMN mirrored_lsn pg_lsn NOT NULL DEFAULT '0/0',
    ADD COLUMN mirrored_ordinal bigint NOT NULL DEFAULT 0,
    -- Events up to this position have been removed, or merged into the newest of each key.
    ADD COLUMN horizon_epoch integer NOT NULL DEFAULT 0,
    ADD COLUMN horizon_lsn pg_lsn NOT NULL DEFAULT '0/0',
    ADD COLUMN horizon_ordinal bigint NOT NULL DEFAULT 0,
    -- All of them were merged: who begins at the start gets every row.
    ADD COLUMN merged boolean NOT NULL DEFAULT true;

-- The shapes of a stream are counted, for they have other ids in a mirror.
ALTER TABLE rejot_events.shape ADD COLUMN number integer;
UPDATE rejot_events.shape AS s SET number = n.number
FROM (SELECT id, row_number() OVER (PARTITION BY stream_id ORDER BY id) AS number FROM rejot_events.shape) AS n
WHERE n.id = s.id;
ALTER TABLE rejot_events.shape ALTER COLUMN number SET NOT NULL, ADD UNIQUE (stream_id, number);

-- Segment 0 is no stretch of time: it has the newest event of each key, merged of all that were in older segments.
CREATE TABLE rejot_events.event_0 PARTITION OF rejot_events.event FOR VALUES IN (0);
-- Keys may be larger than an index takes.
CREATE INDEX event_0_key ON rejot_events.event_0 (stream_id, md5(key::text));

-- Puts documents on top of one another: the later ones' members count.
CREATE AGGREGATE rejot_events.merge(jsonb) (SFUNC = pg_catalog.jsonb_concat, STYPE = jsonb);

-- Events were removed by force that it had not read.
ALTER TABLE rejot_events.consumer ADD COLUMN missed boolean NOT NULL DEFAULT false;

-- One row for each event store that is mirrored here.
CREATE TABLE rejot_events.mirror (
    upstream uuid PRIMARY KEY,
    manifest_slug text NOT NULL,
    -- How the manifest names it.
    upstream_slug text NOT NULL,
    -- Raised by whoever takes the mirror over.
    owner bigint NOT NULL DEFAULT 0,
    events bigint NOT NULL DEFAULT 0,
    -- When the last mirrored transaction was committed at its source.
    commit_time timestamptz,
    -- Set while it is stopped: what happened, and what mends it.
    problem text,
    hint text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
