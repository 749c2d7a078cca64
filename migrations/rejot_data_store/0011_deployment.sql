-- Since when a transform runs as its component, and what it ran as before.
ALTER TABLE rejot_data_store.transform
    -- What the manifest's file held when this was recorded: while that is the component, a new file is a new component.
    ADD COLUMN file_digest text,
    -- The checkpoint at which it began: every transaction before it went through the former one.
    ADD COLUMN lsn pg_lsn,
    ADD COLUMN former_digest text,
    ADD COLUMN former_state_version integer;

-- Components that run, ran before, or are to run: another host has them from here, and a rollback.
CREATE TABLE rejot_data_store.component (
    manifest_slug text NOT NULL,
    -- SHA-256 of the bytes, in hexadecimal.
    digest text NOT NULL,
    bytes bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (manifest_slug, digest)
);

-- The newest deployment of each transform: what it is to run as, and what became of that.
CREATE TABLE rejot_data_store.deployment (
    manifest_slug text NOT NULL,
    source_slug text NOT NULL,
    transform text NOT NULL,
    component_digest text NOT NULL,
    -- A later one with the same component is another one.
    number bigint NOT NULL DEFAULT 1,
    state text NOT NULL DEFAULT 'wanted' CHECK (state IN ('wanted', 'taken', 'refused')),
    -- Where it was taken.
    lsn pg_lsn,
    -- Why it was refused, and what mends it.
    problem text,
    hint text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (manifest_slug, source_slug, transform)
);
