-- A view has no changes of its own, and a foreign table has them elsewhere.
-- flow: table: public.t => public.t, createTable: true
-- flow: table: public.f => public.f, createTable: true
-- source:
CREATE TABLE base (id int PRIMARY KEY);
CREATE VIEW t AS SELECT id FROM base;
CREATE FOREIGN DATA WRAPPER nothing;
CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing;
CREATE FOREIGN TABLE f (id int) SERVER nowhere;
-- finds:
--   error table-kind, source source, table public.t
--   error table-kind, source source, table public.f
-- source:
DROP VIEW t;
DROP FOREIGN TABLE f;
CREATE TABLE t (id int PRIMARY KEY);
CREATE TABLE f (id int PRIMARY KEY);
-- finds: nothing
