-- Rows of tables that inherit don't come with their parent.
-- source:
CREATE TABLE t (id int PRIMARY KEY);
CREATE TABLE child (PRIMARY KEY (id)) INHERITS (t);
CREATE PUBLICATION pelton FOR TABLE ONLY t;
-- finds:
--   warning table-inherited, source source, table public.t
-- source:
ALTER PUBLICATION pelton ADD TABLE child;
-- finds: nothing
