-- A member of pg_read_all_data needs no grant of its own.
-- as: role
-- more: allTables: true
-- source:
CREATE SCHEMA s;
CREATE TABLE s.t (id int PRIMARY KEY);
CREATE TABLE t (id int PRIMARY KEY);
CREATE ROLE $role LOGIN REPLICATION;
GRANT pg_read_all_data TO $role;
CREATE PUBLICATION pelton FOR TABLE t, s.t;
-- finds: nothing
