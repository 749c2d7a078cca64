-- All that keeps rows out is found at once, and mended by one plan.
-- flow: table: public.t => public.t, createTable: false
-- source:
CREATE TABLE t ("I;d" int8 PRIMARY KEY, v text, n int, g int, i int, price numeric(10,4));
-- destination:
CREATE TABLE t ("I;d" int4, n smallint, g int GENERATED ALWAYS AS (1) STORED, i int GENERATED ALWAYS AS IDENTITY,
                price numeric(10,2), needed text NOT NULL);
-- finds:
--   error destination-key, destination destination, table public.t
--   error destination-column-type, destination destination, table public.t
--   error destination-column-missing, destination destination, table public.t
--   error destination-column-type, destination destination, table public.t
--   error destination-column-generated, destination destination, table public.t
--   error destination-column-generated, destination destination, table public.t
--   error destination-column-type, destination destination, table public.t
--   error destination-column-required, destination destination, table public.t
-- plan
-- finds: nothing
-- source:
INSERT INTO t VALUES (1, 'a', 70000, 2, 3, 1.2345);
-- sync
