-- as: role
-- source:
CREATE TABLE t (id int PRIMARY KEY, v text);
CREATE ROLE $role LOGIN REPLICATION;
GRANT SELECT (id) ON t TO $role;
CREATE PUBLICATION pelton FOR TABLE t;
-- finds:
--   error table-select, source source, table public.t
-- plan
-- finds: nothing
-- source:
REVOKE SELECT ON t FROM $role;
GRANT SELECT (id, v) ON t TO $role;
-- finds: nothing
