-- A flow names a partition, whose changes come under the name of its table.
-- flow: table: public.t1 => public.t, createTable: true
-- source:
CREATE TABLE t (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (100);
CREATE PUBLICATION pelton FOR TABLE t WITH (publish_via_partition_root);
-- finds:
--   error publication-tables, source source, table public.t1
-- source:
ALTER PUBLICATION pelton SET (publish_via_partition_root = false);
-- finds: nothing
