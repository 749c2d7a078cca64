-- A partitioned table is as good as its worst partition, and that one is named.
-- source:
CREATE TABLE t (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE "T;1" PARTITION OF t FOR VALUES FROM (0) TO (100);
ALTER TABLE "T;1" REPLICA IDENTITY NOTHING;
-- finds:
--   error replica-identity, source source, table public."T;1"
-- plan
-- finds: nothing
