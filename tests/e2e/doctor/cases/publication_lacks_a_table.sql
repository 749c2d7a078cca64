-- Somebody else's publication: Pelton leaves it as it is, so the plan adds the table.
-- flow: table: public.t => public.t, createTable: true
-- flow: table: 'public."Order"' => public.orders, createTable: true
-- source:
CREATE TABLE t (id int PRIMARY KEY);
CREATE TABLE "Order" (id int PRIMARY KEY);
CREATE PUBLICATION pelton FOR TABLE t;
-- finds:
--   error publication-tables, source source, table public."Order"
-- plan
-- finds: nothing
