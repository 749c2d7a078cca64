-- as: role
-- flow: table: s.t => public.t, createTable: true
-- source:
CREATE SCHEMA s;
CREATE TABLE s.t (id int PRIMARY KEY);
CREATE ROLE $role LOGIN REPLICATION;
GRANT SELECT ON s.t TO $role;
CREATE PUBLICATION pelton FOR TABLE s.t;
-- finds:
--   error schema-usage, source source, schema s
-- plan
-- finds: nothing
