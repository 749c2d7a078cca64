-- One row for each consumer of an event store: its cursor, which moves in the transaction that writes its rows.
CREATE TABLE rejot_data_store.consumer (
    manifest_slug text NOT NULL,
    consumer text NOT NULL,
    source_manifest_slug text NOT NULL,
    public_schema_name text NOT NULL,
    public_schema_major_version integer NOT NULL,
    -- The position of the last event that is applied here: the next one lies behind it.
    epoch integer NOT NULL DEFAULT 0,
    commit_lsn pg_lsn NOT NULL DEFAULT '0/0',
    ordinal bigint NOT NULL DEFAULT 0,
    -- When the last applied transaction was committed at the source.
    commit_time timestamptz,
    -- Raised by whoever takes the consumer over, and by whoever pauses, rewinds or resumes it.
    owner bigint NOT NULL DEFAULT 0,
    -- Somebody paused it.
    paused boolean NOT NULL DEFAULT false,
    -- Set while it is stopped: what happened, and what mends it.
    problem text,
    hint text,
    rows_applied bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (manifest_slug, consumer)
);
