-- What no flow reads is only published: that it can't be copied is no error yet.
-- as: role
-- more: allTables: true
-- source:
CREATE SCHEMA other;
CREATE TABLE other.u (id int PRIMARY KEY);
CREATE TABLE t (id int PRIMARY KEY);
CREATE ROLE $role LOGIN REPLICATION;
GRANT SELECT ON t TO $role;
CREATE PUBLICATION pelton FOR TABLE t;
-- finds:
--   warning schema-usage, source source, schema other
--   warning table-select, source source, table other.u
--   warning publication-tables, source source, table other.u
--   warning default-privileges, source source, schema public
--   warning default-privileges, source source, schema other
-- plan
-- finds: nothing
