-- as: role
-- source:
CREATE TABLE t (id int PRIMARY KEY);
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
CREATE ROLE $role LOGIN REPLICATION;
GRANT SELECT ON t TO $role;
CREATE PUBLICATION pelton FOR TABLE t;
-- finds:
--   error row-security, source source, table public.t
-- plan
-- finds: nothing
