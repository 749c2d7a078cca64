-- What is recorded of every PostgreSQL version. Each statement ends with a line that ends with a semicolon and is run
-- alone. Lines of comment that mean something:
--   -- session N     the statements from here on run on connection N (1 or 2)
--   -- from N        the next statement runs from PostgreSQL N on

-- Replica identities: key, index, full, and none with inserts alone.
CREATE TABLE by_key (id bigint PRIMARY KEY, name text, amount numeric(10, 2), done boolean);
CREATE TABLE by_two_keys (a integer, b text, note text, PRIMARY KEY (b, a));
CREATE TABLE by_index (id integer, code text NOT NULL, note text);
CREATE UNIQUE INDEX by_index_code ON by_index (code);
ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_code;
CREATE TABLE by_row (a integer, b text);
ALTER TABLE by_row REPLICA IDENTITY FULL;
CREATE TABLE by_nothing (a integer);
ALTER TABLE by_nothing REPLICA IDENTITY NOTHING;

INSERT INTO by_key VALUES (1, 'one', 1.50, true), (2, NULL, NULL, NULL), (3, '', 'NaN', false);
UPDATE by_key SET name = 'two' WHERE id = 2;
UPDATE by_key SET id = 20, name = 'twenty' WHERE id = 2;
UPDATE by_key SET id = id WHERE id = 1;
DELETE FROM by_key WHERE id IN (1, 20);

INSERT INTO by_two_keys VALUES (1, 'x', 'first'), (2, 'y', 'second');
UPDATE by_two_keys SET a = 10 WHERE b = 'x';
UPDATE by_two_keys SET note = NULL;
DELETE FROM by_two_keys WHERE a = 10;

INSERT INTO by_index VALUES (1, 'a', 'first'), (2, 'b', 'second');
UPDATE by_index SET note = 'same key';
UPDATE by_index SET code = 'c' WHERE id = 1;
DELETE FROM by_index WHERE id = 2;

INSERT INTO by_row VALUES (1, 'a'), (2, NULL), (2, NULL);
UPDATE by_row SET b = 'z' WHERE a = 1;
UPDATE by_row SET a = 3 WHERE a = 2;
DELETE FROM by_row WHERE a = 1;

INSERT INTO by_nothing VALUES (1), (NULL);

-- The identity changes between rows of one transaction.
BEGIN;
INSERT INTO by_key VALUES (4, 'four', 4, true);
UPDATE by_key SET name = 'before' WHERE id = 4;
ALTER TABLE by_key REPLICA IDENTITY FULL;
UPDATE by_key SET name = 'under full' WHERE id = 4;
ALTER TABLE by_key REPLICA IDENTITY DEFAULT;
UPDATE by_key SET id = 5 WHERE id = 4;
COMMIT;

-- TOAST: stored outside, left alone, changed, and as a part of old rows.
CREATE TABLE toasted (id integer PRIMARY KEY, body text, note text);
ALTER TABLE toasted ALTER body SET STORAGE EXTERNAL;
INSERT INTO toasted VALUES (1, repeat('t', 2100), 'a'), (2, 'short', 'b');
UPDATE toasted SET note = 'left alone';
UPDATE toasted SET id = 3 WHERE id = 1;
UPDATE toasted SET body = repeat('u', 2100) WHERE id = 3;
ALTER TABLE toasted REPLICA IDENTITY FULL;
UPDATE toasted SET note = 'under full' WHERE id = 3;
DELETE FROM toasted;

-- Truncates.
CREATE TABLE parent (id serial PRIMARY KEY);
CREATE TABLE child (id integer PRIMARY KEY, parent integer REFERENCES parent);
INSERT INTO parent DEFAULT VALUES;
INSERT INTO child VALUES (1, 1);
TRUNCATE by_row;
TRUNCATE by_row, by_nothing, by_index;
TRUNCATE parent CASCADE;
TRUNCATE parent, child, by_key RESTART IDENTITY CASCADE;
TRUNCATE child RESTART IDENTITY;

-- Logical messages: in and out of transactions, empty, with bytes that are no text, of a transaction that rolls back.
SELECT pg_logical_emit_message(true, 'outbox', 'in a transaction');
SELECT pg_logical_emit_message(false, 'outbox', 'on its own');
SELECT pg_logical_emit_message(true, '', '\x00ff00'::bytea);
SELECT pg_logical_emit_message(false, 'grüße', '');
BEGIN;
INSERT INTO by_key VALUES (6, 'with a message', 6, true);
SELECT pg_logical_emit_message(true, 'outbox', 'beside a row');
SELECT pg_logical_emit_message(false, 'outbox', 'ahead of its transaction');
COMMIT;
BEGIN;
SELECT pg_logical_emit_message(true, 'outbox', 'never seen');
SELECT pg_logical_emit_message(false, 'outbox', 'seen all the same');
ROLLBACK;

-- Types that are not built in.
CREATE TYPE mood AS ENUM ('sad', 'ok', 'it''s "great"');
CREATE DOMAIN email AS text CHECK (VALUE LIKE '%@%');
CREATE DOMAIN small AS integer;
CREATE DOMAIN moods AS mood[];
CREATE TYPE pair AS (a integer, b text);
CREATE TYPE floatrange AS RANGE (subtype = float8);
CREATE SCHEMA "Odd ""Schema""";
CREATE TYPE "Odd ""Schema"""."User Type" AS ENUM ('x');
CREATE TABLE custom (id small PRIMARY KEY, m mood, ms mood[], e email, es email[], dm moods, p pair, ps pair[], f floatrange, fs floatmultirange, o "Odd ""Schema"""."User Type", i information_schema.sql_identifier);
INSERT INTO custom VALUES (1, 'ok', '{sad,NULL,"it''s \"great\""}', 'a@b', '{a@b}', '{ok}', '(1,"x,y")', '{"(1,)"}', '[0.5,1)', '{[0,1),[2,3)}', 'x', 'name');
UPDATE custom SET m = 'sad';
INSERT INTO custom (id) VALUES (2);
ALTER TYPE mood RENAME TO feeling;
UPDATE custom SET m = 'ok' WHERE id = 1;
ALTER TYPE feeling ADD VALUE 'new';
UPDATE custom SET m = 'new' WHERE id = 1;
DELETE FROM custom;

-- Built-in types, with edge values.
CREATE TABLE built_in (id integer PRIMARY KEY, b boolean, i2 smallint, i8 bigint, f4 real, f8 double precision, n numeric, t text, vc varchar(5), c char(5), nm name, ch "char", by bytea, u uuid, j json, jb jsonb, jp jsonpath, d date, ti time, tz timetz, ts timestamp(3), tstz timestamptz, iv interval, mo money, bt bit(3), vb varbit, ine inet, ci cidr, ma macaddr, ma8 macaddr8, po point, li line, ls lseg, bo box, pa path, pg polygon, ce circle, tv tsvector, tq tsquery, x xml, l pg_lsn, o oid, rc regclass, ir int4range, im int4multirange, ia integer[], ta text[], na numeric[], ba bytea[], tia timestamptz[], iv2 int2vector, sn pg_snapshot);
INSERT INTO built_in VALUES (1, true, 32767, -9223372036854775808, 'NaN', '-Infinity', '-123456789012345678901234567890.0987654321', 'grüße ☃', 'abc', 'ab', 'name', 'x', '\x00ff', '00000000-0000-0000-0000-00000000000f', '{"a": 1, "a": 12345678901234567890}', '{"b": [1, null]}', '$.a', '4713-01-01 BC', '24:00', '12:00:00.5+14', '294276-12-31 23:59:59.999', 'infinity', '-1 year 2 days -03:00:00.000001', '-12.34', B'101', B'', '::1/64', '10.0.0.0/8', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', '(1,2)', '{1,2,3}', '[(0,0),(1,1)]', '(1,1),(0,0)', '[(0,0),(1,1)]', '((0,0),(1,1),(1,0))', '<(0,0),1>', 'a:1A b', 'a & !b', '<a/>', '16/B374D848', 4294967295, 'pg_class', '[1,5)', '{[1,2),[4,5)}', '{{1,2},{NULL,4}}', '{a,"b,c",NULL,""}', '{NaN,1.10}', '{"\\x00"}', '{-infinity}', '1 2 3', '10:20:10,14');
INSERT INTO built_in (id) VALUES (2);
DELETE FROM built_in;

-- Names that need quotes, and a table without columns.
CREATE TABLE "Odd ""Schema"""."Table.with dots" ("Id" integer PRIMARY KEY, "sélect ""x""" text);
INSERT INTO "Odd ""Schema"""."Table.with dots" VALUES (1, 'a');
UPDATE "Odd ""Schema"""."Table.with dots" SET "Id" = 2;
CREATE TABLE no_columns ();
INSERT INTO no_columns DEFAULT VALUES;
TRUNCATE no_columns;

-- Tables are altered between and inside transactions.
CREATE TABLE altered (id integer PRIMARY KEY, a text, b integer);
INSERT INTO altered VALUES (1, 'a', 1);
ALTER TABLE altered ADD c text DEFAULT 'c';
UPDATE altered SET b = 2;
BEGIN;
ALTER TABLE altered DROP a;
INSERT INTO altered VALUES (2, 2, 'x');
ALTER TABLE altered RENAME b TO bb;
UPDATE altered SET bb = 3 WHERE id = 2;
ALTER TABLE altered ALTER bb TYPE text;
UPDATE altered SET bb = 'four' WHERE id = 2;
ALTER TABLE altered RENAME TO altered_twice;
DELETE FROM altered_twice WHERE id = 2;
COMMIT;
BEGIN;
ALTER TABLE altered_twice ADD d integer;
INSERT INTO altered_twice VALUES (3, '3', 'c', 3);
ROLLBACK;
INSERT INTO altered_twice VALUES (4, '4', 'c');
ALTER TABLE altered_twice SET SCHEMA "Odd ""Schema""";
DELETE FROM "Odd ""Schema""".altered_twice;
DROP TABLE "Odd ""Schema""".altered_twice;
CREATE TABLE altered (id integer PRIMARY KEY);
INSERT INTO altered VALUES (1);
CREATE TABLE generated (id integer PRIMARY KEY, a integer, doubled integer GENERATED ALWAYS AS (a * 2) STORED);
INSERT INTO generated VALUES (1, 21);

-- Savepoints and rollbacks.
BEGIN;
INSERT INTO by_key VALUES (7, 'stays', 7, true);
SAVEPOINT one;
INSERT INTO by_key VALUES (8, 'goes', 8, true);
ROLLBACK TO one;
SAVEPOINT two;
INSERT INTO by_key VALUES (9, 'stays too', 9, true);
RELEASE two;
COMMIT;
BEGIN;
DELETE FROM by_key;
ROLLBACK;

-- Two transactions at once: they come whole, in the order of their commits.
BEGIN;
INSERT INTO by_key VALUES (30, 'begun first', 1, true);
-- session 2
BEGIN;
INSERT INTO by_key VALUES (31, 'begun second', 2, true);
-- session 1
INSERT INTO by_row VALUES (30, 'committed last');
-- session 2
COMMIT;
-- session 1
COMMIT;

-- A replication origin.
SELECT pg_replication_origin_create('upstream');
SELECT pg_replication_origin_session_setup('upstream');
BEGIN;
SELECT pg_replication_origin_xact_setup('16/B374D848', '2024-02-29 12:34:56.789012+00');
INSERT INTO by_key VALUES (10, 'from elsewhere', 10, true);
COMMIT;
SELECT pg_replication_origin_session_reset();

-- Partitions, as themselves and through their root; column lists and row filters.
CREATE TABLE parts (id integer, region text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE parts_eu PARTITION OF parts FOR VALUES IN ('eu');
CREATE TABLE parts_us (region text, id integer, PRIMARY KEY (id, region));
ALTER TABLE parts ATTACH PARTITION parts_us FOR VALUES IN ('us');
ALTER PUBLICATION narrow ADD TABLE parts;
CREATE TABLE listed (id integer PRIMARY KEY, shown text, hidden text);
-- from 15
ALTER PUBLICATION narrow ADD TABLE listed (id, shown) WHERE (id > 10);
INSERT INTO parts VALUES (1, 'eu'), (2, 'us');
UPDATE parts SET id = 3 WHERE id = 2;
UPDATE parts SET region = 'us' WHERE id = 1;
TRUNCATE parts;
INSERT INTO listed VALUES (1, 'a', 'b'), (11, 'c', 'd');
UPDATE listed SET hidden = 'e';
UPDATE listed SET id = id + 5;
UPDATE listed SET id = id + 5;
UPDATE listed SET id = id - 20;
DELETE FROM listed;
-- The root is FULL, its partition is not: an old row comes that says it is whole and holds the key alone.
CREATE TABLE mixed (id integer PRIMARY KEY, note text) PARTITION BY RANGE (id);
CREATE TABLE mixed_1 PARTITION OF mixed FOR VALUES FROM (0) TO (10);
ALTER TABLE mixed REPLICA IDENTITY FULL;
ALTER PUBLICATION narrow ADD TABLE mixed;
INSERT INTO mixed VALUES (1, 'a note');
UPDATE mixed SET note = 'same key';
UPDATE mixed SET id = 2;
DELETE FROM mixed;
-- The filter turns an update into an insert, and leaves out what the update left alone.
CREATE TABLE filtered (id integer PRIMARY KEY, body text);
ALTER TABLE filtered ALTER body SET STORAGE EXTERNAL;
-- from 15
ALTER PUBLICATION narrow ADD TABLE filtered WHERE (id > 10);
INSERT INTO filtered VALUES (1, repeat('f', 2100));
UPDATE filtered SET id = 11;
DELETE FROM filtered;
-- from 18
ALTER PUBLICATION narrow SET (publish_generated_columns = stored);
-- from 18
ALTER PUBLICATION narrow ADD TABLE generated;
INSERT INTO generated VALUES (2, 4);
