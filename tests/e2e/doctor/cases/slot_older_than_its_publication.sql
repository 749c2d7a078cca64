-- advice publication-younger
-- setting: max_slot_wal_keep_size = 20GB
-- source:
CREATE TABLE t (id int PRIMARY KEY);
SELECT pg_create_logical_replication_slot('$slot', 'pgoutput');
CREATE PUBLICATION pelton FOR TABLE t;
-- finds:
--   advice publication-younger, source source, slot $slot
-- source:
SELECT pg_drop_replication_slot('$slot');
SELECT pg_create_logical_replication_slot('$slot', 'pgoutput');
-- finds: nothing
