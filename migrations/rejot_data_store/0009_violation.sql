-- How many public rows are not what `outputSchema` says, by field and rule. Never their values.
CREATE TABLE rejot_data_store.violation (
    manifest_slug text NOT NULL,
    source_slug text NOT NULL,
    public_schema_name text NOT NULL,
    public_schema_major_version integer NOT NULL,
    field text NOT NULL,
    rule text NOT NULL,
    -- Of the `outputSchema` under which it is counted.
    schema_digest text NOT NULL,
    -- The names of the key's columns.
    key jsonb NOT NULL,
    rows bigint NOT NULL,
    -- Where the last of them comes from, in the source's log: the commit, and the change in its transaction.
    commit_lsn pg_lsn NOT NULL,
    change bigint NOT NULL,
    first_at timestamptz NOT NULL DEFAULT now(),
    last_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (manifest_slug, source_slug, public_schema_name, public_schema_major_version, field, rule)
);
