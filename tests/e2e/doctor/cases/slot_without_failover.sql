-- Only where there is a standby that could be promoted.
-- since: 17
-- setting: max_slot_wal_keep_size = 20GB
-- source:
CREATE TABLE t (id int PRIMARY KEY);
CREATE PUBLICATION pelton FOR TABLE t;
SELECT pg_create_logical_replication_slot('$slot', 'pgoutput');
-- finds: nothing
-- source:
SELECT pg_create_physical_replication_slot('standby');
-- finds:
--   advice slot-failover, source source, slot $slot
-- source:
SELECT pg_drop_replication_slot('$slot');
SELECT pg_create_logical_replication_slot('$slot', 'pgoutput', failover => true);
-- finds: nothing
