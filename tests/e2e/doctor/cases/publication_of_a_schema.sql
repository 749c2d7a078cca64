-- A publication of a whole schema: what is made there later must be readable, and our own schema leaves it.
-- since: 15
-- as: role
-- flow: table: s.t => public.t, createTable: true
-- source:
CREATE SCHEMA s;
CREATE SCHEMA pelton;
CREATE TABLE s.t (id int PRIMARY KEY);
CREATE TABLE pelton.status (id int PRIMARY KEY);
CREATE ROLE $role LOGIN REPLICATION;
GRANT USAGE ON SCHEMA s TO $role;
GRANT SELECT ON s.t TO $role;
CREATE PUBLICATION pelton FOR TABLES IN SCHEMA s, pelton;
-- finds:
--   warning default-privileges, source source, schema s
--   warning publication-own-schemas, source source, publication pelton
-- plan
-- finds: nothing
