-- Which destination this is: event stores tell by it for whom they keep what is not read yet.
CREATE TABLE rejot_data_store.store (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now()
);
-- There is one.
CREATE UNIQUE INDEX ON rejot_data_store.store ((true));
INSERT INTO rejot_data_store.store DEFAULT VALUES;
