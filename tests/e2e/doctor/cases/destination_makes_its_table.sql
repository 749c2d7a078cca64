-- `createTable` takes CREATE on the schema, or on the database for a schema that is missing.
-- destination as: role
-- flow: table: public.t => public.t, createTable: true
-- flow: table: public.u => '"New ; one".u', createTable: true
-- source:
CREATE TABLE t (id int PRIMARY KEY);
CREATE TABLE u (id int PRIMARY KEY);
-- destination:
CREATE ROLE $role LOGIN;
CREATE SCHEMA rejot_data_store AUTHORIZATION $role;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
-- finds:
--   error destination-schema-create, destination destination, schema public
--   error destination-schema-create, destination destination, schema New ; one
-- plan
-- finds: nothing
-- sync
-- finds: nothing
