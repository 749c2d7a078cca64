-- A newer Pelton was here.
-- source:
CREATE TABLE t (id int PRIMARY KEY);
-- sync
-- destination:
INSERT INTO rejot_data_store.schema_migrations (version, description, checksum) VALUES (99, 'of tomorrow', 'x');
-- finds:
--   error data-store-migrations, destination destination, schema rejot_data_store
-- destination:
DELETE FROM rejot_data_store.schema_migrations WHERE version = 99;
-- finds: nothing
-- sync
