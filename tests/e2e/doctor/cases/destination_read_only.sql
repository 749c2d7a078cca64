-- source:
CREATE TABLE t (id int PRIMARY KEY);
-- destination as: role
-- destination:
CREATE ROLE $role LOGIN SUPERUSER;
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$;
-- finds:
--   error read-only, destination destination
-- plan
-- finds: nothing
