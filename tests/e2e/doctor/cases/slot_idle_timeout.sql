-- since: 18
-- setting: idle_replication_slot_timeout = 1h
-- setting: max_slot_wal_keep_size = 20GB
-- source:
CREATE TABLE t (id int PRIMARY KEY);
-- finds:
--   warning slot-idle-timeout, source source
-- plan
-- finds: nothing
