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
    -- While rows that existed before the flow are still to be copied: the name of the backfill that it takes part in.
    backfill text,
    -- Set while the flow is stopped: what happened, and what mends it.
    problem text,
    hint text,
    rows_applied bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (manifest_slug, source_slug, flow)
);

-- How far the rows that existed before flows are copied, one row a table and one for what the tables share; the
-- documents are the engine's own.
CREATE TABLE rejot_data_store.backfill (
    manifest_slug text NOT NULL,
    source_slug text NOT NULL,
    name text NOT NULL,
    table_name text NOT NULL,
    progress jsonb NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (manifest_slug, source_slug, name, table_name)
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
