-- What was changed since a publication was dropped is in no stream; to make it anew would hide that.
-- source:
CREATE TABLE t (id int PRIMARY KEY);
-- sync
-- source:
DROP PUBLICATION pelton;
-- finds:
--   error publication, source source, publication pelton
-- source:
SELECT pg_drop_replication_slot('$slot');
-- destination:
DELETE FROM rejot_data_store.flow;
DELETE FROM rejot_data_store.backfill;
TRUNCATE t;
-- finds:
--   advice publication, source source, publication pelton
-- sync
-- finds: nothing
