-- A column that a flow names, and one that tells rows apart: both are added, and the row filter stays.
-- since: 15
-- flow: table: public.t, columns: [id, "b'c"] => public.t, createTable: true
-- flow: table: public.u => public.u, createTable: true
-- source:
CREATE TABLE t (id int PRIMARY KEY, a int, "b'c" int);
CREATE TABLE u (id int PRIMARY KEY, a int);
CREATE PUBLICATION pelton FOR TABLE t (id, a) WHERE (id > 0), u (a);
-- finds:
--   advice publication-row-filter, source source, table public.t
--   error publication-columns, source source, table public.t
--   error publication-columns, source source, table public.u
-- plan
-- finds:
--   advice publication-row-filter, source source, table public.t
