-- flow: table: public.t => public.t, createTable: false
-- source:
CREATE TABLE t (id int PRIMARY KEY);
-- finds:
--   error destination-table, destination destination, table public.t
-- destination:
CREATE VIEW t AS SELECT 1 AS id;
-- finds:
--   error destination-kind, destination destination, table public.t
-- destination:
DROP VIEW t;
CREATE TABLE t (id int PRIMARY KEY);
-- finds: nothing
