-- Its own publication grows at the next start, unless the table was read before: then adding it would hide a gap.
-- flow: table: public.t => public.t, createTable: true
-- flow: table: public.u => public.u, createTable: true
-- source:
CREATE TABLE t (id int PRIMARY KEY);
CREATE TABLE u (id int PRIMARY KEY);
-- sync
-- finds: nothing
-- source:
ALTER PUBLICATION pelton DROP TABLE u;
-- finds:
--   error publication-tables, source source, table public.u
-- destination:
DELETE FROM rejot_data_store.flow WHERE flow = 'f1';
DELETE FROM rejot_data_store.backfill WHERE name = 'f1';
-- finds:
--   advice publication-tables, source source, table public.u
-- plan
-- finds: nothing
