-- destination as: role
-- flow: table: public.t => public.t, createTable: false
-- source:
CREATE TABLE t (id int PRIMARY KEY, v text);
-- destination:
CREATE ROLE $role LOGIN;
CREATE TABLE t (id int PRIMARY KEY, v text);
-- finds:
--   error data-store, destination destination, schema rejot_data_store
--   error destination-privileges, destination destination, table public.t
-- plan
-- finds: nothing
-- sync
-- finds: nothing
