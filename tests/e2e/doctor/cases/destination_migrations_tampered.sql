-- What was applied with other contents, or is recorded and gone, nobody can go on from.
-- source:
CREATE TABLE t (id int PRIMARY KEY);
-- sync
-- finds: nothing
-- destination:
CREATE TABLE kept AS SELECT * FROM rejot_data_store.schema_migrations;
UPDATE rejot_data_store.schema_migrations SET checksum = 'x' WHERE version = 2;
-- finds:
--   error data-store-migrations, destination destination, schema rejot_data_store
-- destination:
UPDATE rejot_data_store.schema_migrations m SET checksum = k.checksum FROM kept k WHERE k.version = m.version;
-- finds: nothing
-- destination:
ALTER TABLE rejot_data_store.violation RENAME TO gone;
-- finds:
--   error data-store-migrations, destination destination, schema rejot_data_store
-- destination:
ALTER TABLE rejot_data_store.gone RENAME TO violation;
-- finds: nothing
-- sync
