-- The table that ReJot's version 1 makes, so that a database that ReJot prepared is taken over by going on.
CREATE TABLE rejot_data_store.public_schema_state (
    id serial PRIMARY KEY,
    manifest_slug varchar(255) NOT NULL,
    public_schema_name varchar(255) NOT NULL,
    public_schema_major_version integer NOT NULL,
    last_seen_transaction_id varchar(30),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (manifest_slug, public_schema_name, public_schema_major_version)
);
