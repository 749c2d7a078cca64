-- What came of running a candidate beside the component that a transform runs as, on the same changes. Counts, and names
-- and positions of some that differ; never values of rows.
CREATE TABLE rejot_data_store.shadow (
    manifest_slug text NOT NULL,
    source_slug text NOT NULL,
    transform text NOT NULL,
    component_digest text NOT NULL,
    -- What the transform ran as meanwhile.
    beside_digest text NOT NULL,
    -- Changes that both were given, and how many of them made other rows.
    compared bigint NOT NULL DEFAULT 0,
    different bigint NOT NULL DEFAULT 0,
    -- Changes that the candidate was not given, since it could not keep up, or had failed.
    skipped bigint NOT NULL DEFAULT 0,
    samples jsonb NOT NULL DEFAULT '[]',
    -- Why it does not run, or how it failed last.
    problem text,
    hint text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (manifest_slug, source_slug, transform)
);
