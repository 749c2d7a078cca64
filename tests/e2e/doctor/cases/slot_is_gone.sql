-- A slot that was dropped or moved has lost what flows have not read.
-- source:
CREATE TABLE t (id int PRIMARY KEY);
-- sync
-- source:
SELECT pg_drop_replication_slot('$slot');
-- finds:
--   error slot, source source, slot $slot
-- source:
INSERT INTO t VALUES (1);
SELECT pg_create_logical_replication_slot('$slot', 'pgoutput');
-- finds:
--   error slot-position, source source, slot $slot
-- destination:
DELETE FROM rejot_data_store.flow;
DELETE FROM rejot_data_store.backfill;
-- finds: nothing
