-- One row a flow: how far it has come, who may write it, and what stopped it.
CREATE TABLE rejot_data_store.flow (
    manifest_slug text NOT NULL,
    source_slug text NOT NULL,
    flow text NOT NULL,
    public_schema_name text NOT NULL,
    public_schema_major_version integer NOT NULL,
    -- The checkpoint: every transaction of the source whose commit record lies before `lsn` is applied here.
    epoch integer NOT NULL,
    lsn pg_lsn NOT NULL,
    -- When the last applied transaction was committed at the source.
    commit_time timestamptz,
    -- The source's cluster and slot: another cluster's positions are not comparable.
    system_identifier numeric(20) NOT NULL,
    slot_name text NOT NULL,
    -- Raised by whoever takes the flow over; every transaction that writes rows checks that it is still its own.
    owner bigint NOT NULL DEFAULT 0,
    -- Whether rows that existed before the flow are still to be copied.
    backfill boolean NOT NULL,
    -- Set while the flow is stopped: what happened, and what mends it.
    problem text,
    hint text,
    rows_applied bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (manifest_slug, source_slug, flow)
);

-- How far the rows that existed before a transform's flows are copied; the document is the engine's own.
CREATE TABLE rejot_data_store.backfill (
    manifest_slug text NOT NULL,
    source_slug text NOT NULL,
    transform text NOT NULL,
    table_schema text NOT NULL,
    table_name text NOT NULL,
    progress jsonb NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (manifest_slug, source_slug, transform, table_schema, table_name)
);

-- What a transform remembers, committed with the rows that it made.
CREATE TABLE rejot_data_store.transform_state (
    manifest_slug text NOT NULL,
    source_slug text NOT NULL,
    transform text NOT NULL,
    key bytea NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (manifest_slug, source_slug, transform, key)
);

-- Which component a transform last ran as: another state version can't read its state.
CREATE TABLE rejot_data_store.transform (
    manifest_slug text NOT NULL,
    source_slug text NOT NULL,
    transform text NOT NULL,
    component_digest text,
    state_version integer NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (manifest_slug, source_slug, transform)
);
