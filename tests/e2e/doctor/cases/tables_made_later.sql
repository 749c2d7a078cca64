-- Where all of a schema is published, tables that are made later must be readable too: those of each owner, and of whoever
-- may make some.
-- as: role
-- more: allTables: true
-- source:
CREATE ROLE $role LOGIN REPLICATION;
CREATE ROLE "o'wner $source";
CREATE TABLE t (id int PRIMARY KEY);
ALTER TABLE t OWNER TO "o'wner $source";
GRANT SELECT ON t TO $role;
CREATE PUBLICATION pelton FOR TABLE t;
-- finds:
--   warning default-privileges, source source, schema public
--   warning default-privileges, source source, schema public
-- plan
-- finds: nothing
