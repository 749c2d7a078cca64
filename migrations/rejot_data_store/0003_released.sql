-- Set once a stopped flow no longer holds the source's log back: what its checkpoint says can't be gone on from any
-- more, and it starts anew with a backfill on emptied tables.
ALTER TABLE rejot_data_store.flow ADD COLUMN released_at timestamptz;
