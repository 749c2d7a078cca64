-- A flow names the partitioned table, and its changes come under the names of partitions.
-- source:
CREATE TABLE t (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (100);
CREATE PUBLICATION pelton FOR TABLE t;
-- finds:
--   error publication-via-root, source source, table public.t
-- plan
-- finds: nothing
-- sync
