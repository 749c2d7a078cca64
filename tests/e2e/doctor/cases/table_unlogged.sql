-- source:
CREATE UNLOGGED TABLE t (id int PRIMARY KEY);
-- finds:
--   error table-unlogged, source source, table public.t
-- plan
-- finds: nothing
