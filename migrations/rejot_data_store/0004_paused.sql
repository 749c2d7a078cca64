-- What keeps a flow from running may pass: it is tried again without anybody's help.
ALTER TABLE rejot_data_store.flow ADD COLUMN paused boolean NOT NULL DEFAULT false;
