-- as: role
-- source:
CREATE TABLE t (id int PRIMARY KEY);
CREATE ROLE $role LOGIN REPLICATION;
GRANT SELECT ON t TO $role;
CREATE PUBLICATION pelton FOR TABLE t;
ALTER ROLE $role SET wal_sender_timeout = 0;
-- finds:
--   warning sender-timeout, source source, role $role
-- plan
-- finds: nothing
-- source:
ALTER ROLE $role SET wal_sender_timeout = '5s';
-- finds:
--   warning sender-timeout, source source, role $role
-- plan
-- finds: nothing
