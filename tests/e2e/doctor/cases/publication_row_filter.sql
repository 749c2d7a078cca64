-- since: 15
-- source:
CREATE TABLE t (id int PRIMARY KEY);
CREATE PUBLICATION pelton FOR TABLE t WHERE (id > 10);
-- finds:
--   advice publication-row-filter, source source, table public.t
-- source:
BEGIN; ALTER PUBLICATION pelton DROP TABLE t; ALTER PUBLICATION pelton ADD TABLE ONLY t; COMMIT;
-- finds: nothing
