-- A role that may log in, and nothing else; the plan gives it what it lacks, and no more.
-- as: role
-- source:
CREATE SCHEMA "Sales ; drop";
CREATE TABLE "Sales ; drop"."Ünï"  (id int PRIMARY KEY, "a""b" text);
INSERT INTO "Sales ; drop"."Ünï" VALUES (1, 'x');
CREATE ROLE $role LOGIN;
-- flow: table: '"Sales ; drop"."Ünï"' => public.t, createTable: true
-- finds:
--   error schema-usage, source source, schema Sales ; drop
--   error table-select, source source, table "Sales ; drop"."Ünï"
--   error publication, source source, publication pelton
--   error role-replication, source source, role $role
-- plan
-- finds: nothing
-- sync
-- finds: nothing
