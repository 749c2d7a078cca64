-- as: role
-- source:
CREATE TABLE t (id int PRIMARY KEY);
CREATE ROLE $role LOGIN;
GRANT SELECT ON t TO $role;
CREATE PUBLICATION pelton FOR TABLE t;
-- finds:
--   error role-replication, source source, role $role
-- plan
-- finds: nothing
