-- flow: table: public.t, columns: [id, twice] => public.t, createTable: true
-- source:
CREATE TABLE t (id int PRIMARY KEY, n int, twice int GENERATED ALWAYS AS (n * 2) STORED);
-- finds:
--   error generated-column, source source, table public.t
-- source:
ALTER TABLE t ALTER COLUMN twice DROP EXPRESSION;
-- finds: nothing
