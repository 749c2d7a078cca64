-- Each right alone.
-- destination as: role
-- flow: table: public.t => '"S ;".t', createTable: false
-- source:
CREATE TABLE t (id int PRIMARY KEY);
-- destination:
CREATE ROLE $role LOGIN;
CREATE SCHEMA rejot_data_store;
CREATE SCHEMA "S ;";
CREATE TABLE "S ;".t (id int PRIMARY KEY);
CREATE TABLE rejot_data_store.flow_of_old (id int);
GRANT USAGE, CREATE ON SCHEMA rejot_data_store TO $role;
GRANT SELECT, INSERT, UPDATE, DELETE ON "S ;".t TO $role;
-- finds:
--   error data-store-tables, destination destination, schema rejot_data_store
--   error destination-schema-usage, destination destination, table "S ;".t
--   advice destination-privileges, destination destination, table "S ;".t
-- plan
-- finds: nothing
-- destination:
REVOKE DELETE ON "S ;".t FROM $role;
REVOKE CREATE ON SCHEMA rejot_data_store FROM $role;
-- finds:
--   error data-store, destination destination, schema rejot_data_store
--   error destination-privileges, destination destination, table "S ;".t
-- plan
-- finds: nothing
