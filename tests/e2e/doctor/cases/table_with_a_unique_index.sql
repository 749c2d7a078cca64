-- source:
CREATE TABLE t (id int NOT NULL);
CREATE UNIQUE INDEX "The Index" ON t (id);
-- finds:
--   error replica-identity, source source, table public.t
-- plan
-- finds: nothing
-- source:
DROP INDEX "The Index";
-- finds:
--   error replica-identity, source source, table public.t
-- plan
-- finds:
--   advice table-without-key, source source, table public.t
