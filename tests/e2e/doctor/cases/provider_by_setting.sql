-- A server that has Amazon's setting is taken for RDS: its knob, its reboot, its role; no ALTER SYSTEM is proposed.
-- setting: wal_level = replica
-- setting: rds.logical_replication = off
-- setting: max_slot_wal_keep_size = 20GB
-- as: role
-- source:
CREATE TABLE t (id int PRIMARY KEY);
CREATE ROLE rds_replication;
CREATE ROLE $role LOGIN;
GRANT SELECT ON t TO $role;
CREATE PUBLICATION pelton FOR TABLE t;
-- finds:
--   error wal-level, source source
--   error role-replication, source source, role $role
-- plan
-- finds:
--   error wal-level, source source
