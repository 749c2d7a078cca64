-- Which destination a consumer writes into, by the UUID in its `rejot_data_store.store`; '' where it is not told. Two
-- deployments of one manifest read an event store apart from one another.
ALTER TABLE rejot_events.consumer ADD COLUMN destination text NOT NULL DEFAULT '';
ALTER TABLE rejot_events.consumer DROP CONSTRAINT consumer_pkey, ADD PRIMARY KEY (manifest_slug, consumer, destination);
