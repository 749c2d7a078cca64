-- source:
CREATE TABLE t (id int PRIMARY KEY);
SELECT pg_create_logical_replication_slot('$slot', 'test_decoding');
-- finds:
--   error slot, source source, slot $slot
-- source:
SELECT pg_drop_replication_slot('$slot');
SELECT pg_create_physical_replication_slot('$slot');
-- finds:
--   error slot, source source, slot $slot
-- source:
SELECT pg_drop_replication_slot('$slot');
SELECT pg_create_logical_replication_slot('$slot', 'pgoutput', false, true);
-- finds:
--   error slot, source source, slot $slot
-- source:
SELECT pg_drop_replication_slot('$slot');
-- finds: nothing
