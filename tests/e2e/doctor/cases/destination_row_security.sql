-- destination as: role
-- source:
CREATE TABLE t (id int PRIMARY KEY);
-- destination:
CREATE ROLE $role LOGIN;
CREATE SCHEMA rejot_data_store AUTHORIZATION $role;
CREATE TABLE t (id int PRIMARY KEY);
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON t TO $role;
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
-- finds:
--   warning row-security, destination destination, table public.t
-- plan
-- finds: nothing
