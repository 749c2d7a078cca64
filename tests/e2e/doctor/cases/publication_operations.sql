-- source:
CREATE TABLE t (id int PRIMARY KEY);
CREATE PUBLICATION pelton FOR TABLE t WITH (publish = 'insert, update');
-- finds:
--   error publication-operations, source source, publication pelton
-- plan
-- finds: nothing
