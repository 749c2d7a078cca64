-- A superuser, a table with a key: `pelton sync` makes what is missing.
-- source:
CREATE TABLE t (id int PRIMARY KEY);
-- finds: nothing
-- sync
-- finds: nothing
