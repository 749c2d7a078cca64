-- finds:
--   error table-missing, source source, table public.t
-- source:
CREATE TABLE t (id int PRIMARY KEY);
-- finds: nothing
