-- What logical replication of this database looks like, for whoever may connect. It shows nothing that
-- pg_replication_slots, pg_publication and pg_stat_replication do not show to the same role, and runs with that role's
-- rights: the lag in milliseconds is NULL for those who are not in pg_monitor.
--
-- One row for each logical slot of this database; a single row without a slot where there is none.
CREATE VIEW pelton.status AS
SELECT
    d.datname::text AS database,
    -- Name → number of tables, partitions counted as they are published. A slot does not say which of them it reads.
    (SELECT coalesce(jsonb_object_agg(p.pubname, (SELECT count(*) FROM pg_catalog.pg_publication_tables AS t
                                                  WHERE t.pubname = p.pubname)), '{}')
     FROM pg_catalog.pg_publication AS p) AS publications,
    s.slot_name::text AS slot,
    s.plugin::text AS plugin,
    s.active,
    s.active_pid,
    -- From here on the server keeps write-ahead log for the slot.
    pg_catalog.pg_wal_lsn_diff(w.position, s.restart_lsn)::bigint AS retained_bytes,
    s.wal_status,
    -- How much may still be written before the slot may be lost; NULL without max_slot_wal_keep_size.
    s.safe_wal_size AS safe_bytes,
    s.confirmed_flush_lsn AS confirmed,
    pg_catalog.pg_wal_lsn_diff(w.position, s.confirmed_flush_lsn)::bigint AS lag_bytes,
    (extract(epoch FROM r.flush_lag) * 1000)::bigint AS lag_ms
FROM pg_catalog.pg_database AS d
CROSS JOIN (SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
                        ELSE pg_catalog.pg_current_wal_lsn() END) AS w (position)
LEFT JOIN pg_catalog.pg_replication_slots AS s ON s.slot_type = 'logical' AND s.database = d.datname
LEFT JOIN pg_catalog.pg_stat_replication AS r ON r.pid = s.active_pid
WHERE d.datname = pg_catalog.current_database();

COMMENT ON VIEW pelton.status IS 'Made by Pelton: publications, logical slots and how far their readers are.';

GRANT USAGE ON SCHEMA pelton TO PUBLIC;
GRANT SELECT ON pelton.status TO PUBLIC;
