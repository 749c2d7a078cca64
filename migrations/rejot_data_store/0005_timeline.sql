-- The timeline of the source's log that `lsn` lies on: after a promotion, what was applied behind the point at which the
-- new timeline left it never happened there. Not known of flows from before.
ALTER TABLE rejot_data_store.flow ADD COLUMN timeline integer;
