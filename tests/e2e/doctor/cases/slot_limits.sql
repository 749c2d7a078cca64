-- A limit that is too low is raised, to a day of log or 10 GB.
-- setting: max_slot_wal_keep_size = 0
-- source:
CREATE TABLE t (id int PRIMARY KEY);
-- finds:
--   error slot-keep-size, source source
-- plan
-- finds: nothing
-- source:
ALTER SYSTEM SET max_slot_wal_keep_size = '100MB';
SELECT pg_reload_conf();
-- finds:
--   warning slot-keep-size, source source
-- plan
-- finds: nothing
