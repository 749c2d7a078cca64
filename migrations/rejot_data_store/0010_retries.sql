-- What stopped it is tried again by itself.
ALTER TABLE rejot_data_store.consumer ADD COLUMN retries boolean NOT NULL DEFAULT false;
