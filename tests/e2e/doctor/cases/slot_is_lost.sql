-- A slot that the server is about to give up, and one that it has given up.
-- setting: max_slot_wal_keep_size = 1MB
-- source:
CREATE TABLE t (id int PRIMARY KEY);
-- sync
-- source:
DO $$ BEGIN FOR i IN 1..8 LOOP PERFORM pg_switch_wal(); PERFORM pg_logical_emit_message(false, 'x', repeat('x', 100000)); END LOOP; END $$;
-- finds:
--   error slot-unreserved, source source, slot $slot
--   warning slot-keep-size, source source
-- source:
CHECKPOINT;
-- finds:
--   error slot, source source, slot $slot
--   warning slot-keep-size, source source
-- source:
SELECT pg_drop_replication_slot('$slot');
-- destination:
DELETE FROM rejot_data_store.flow;
DELETE FROM rejot_data_store.backfill;
-- plan
-- sync
-- finds: nothing
