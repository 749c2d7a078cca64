-- Published by somebody else, so the application's updates fail today; FULL mends that, a key is better.
-- source:
CREATE TABLE t (id int);
CREATE PUBLICATION pelton FOR TABLE t;
-- finds:
--   error replica-identity, source source, table public.t
-- plan
-- finds:
--   advice table-without-key, source source, table public.t
-- source:
ALTER TABLE t ADD PRIMARY KEY (id), REPLICA IDENTITY DEFAULT;
-- finds: nothing
