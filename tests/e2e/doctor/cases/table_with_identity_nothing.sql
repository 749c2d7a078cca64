-- source:
CREATE TABLE t (id int PRIMARY KEY);
ALTER TABLE t REPLICA IDENTITY NOTHING;
-- finds:
--   error replica-identity, source source, table public.t
-- plan
-- finds: nothing
