-- How often a deployment's component was begun to be compiled without that having ended: what ends the process each time is
-- refused in the end.
ALTER TABLE rejot_data_store.deployment
    -- The deployment that they are of.
    ADD COLUMN attempts_of bigint,
    ADD COLUMN attempts integer NOT NULL DEFAULT 0;
