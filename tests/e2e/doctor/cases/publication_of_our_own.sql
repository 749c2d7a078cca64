-- A source that is a destination too: what Pelton writes there must not be published.
-- source:
CREATE TABLE t (id int PRIMARY KEY);
CREATE SCHEMA rejot_data_store;
CREATE TABLE rejot_data_store.flow (id int PRIMARY KEY);
CREATE PUBLICATION pelton FOR TABLE t, rejot_data_store.flow;
-- finds:
--   warning publication-own-schemas, source source, publication pelton
-- plan
-- finds: nothing
-- source:
DROP PUBLICATION pelton;
CREATE PUBLICATION pelton FOR ALL TABLES;
-- finds:
--   warning publication-own-schemas, source source, publication pelton
