-- source:
CREATE TABLE t (id int PRIMARY KEY DEFERRABLE);
-- finds:
--   error replica-identity, source source, table public.t
-- plan
-- finds:
--   advice table-without-key, source source, table public.t
