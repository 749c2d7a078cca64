//! Two small tables for tests that look at one thing.

use super::pair::{Flow, Pair};

/// The tables; the second one has no key.
pub const TABLES: &str = "
CREATE TABLE items (id int PRIMARY KEY, v int NOT NULL, pad text NOT NULL DEFAULT '');
CREATE TABLE notes (id int, what text);
ALTER TABLE notes REPLICA IDENTITY FULL;
";

/// Both as they are.
pub const FLOWS: &[Flow] = &[
    Flow {
        name: "items",
        config: "publicSchemaType: table, table: public.items",
        columns: "id, v, pad",
        expected: "SELECT id, v, pad FROM public.items",
    },
    Flow {
        name: "notes",
        config: "publicSchemaType: table, table: public.notes",
        columns: "id, what",
        expected: "SELECT id, what FROM public.notes",
    },
];

/// Makes a pair with both tables empty.
pub async fn pair() -> Pair {
    Pair::new(TABLES, FLOWS).await
}

impl Pair {
    /// The least checkpoint, as SQL for the destination.
    pub const CHECKPOINT: &str = "(SELECT min(lsn) FROM rejot_data_store.flow)";

    /// Waits until the server has sent everything that is in its log to whoever reads the slot.
    pub async fn wait_until_sent(&self) {
        let end = self.source.value("SELECT pg_current_wal_flush_lsn()").await;
        let sent = format!(
            "(SELECT r.sent_lsn >= '{end}' FROM pg_stat_replication r JOIN pg_replication_slots s ON s.active_pid = r.pid \
             WHERE s.slot_name = '{}')",
            self.slot()
        );
        self.source.wait_until(&sent).await;
    }

    /// Returns, as SQL, the position up to which the source may forget.
    pub fn confirmed(&self) -> String {
        format!("(SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '{}')", self.slot())
    }

    /// Ends all sessions that Pelton has at the source now: the one that holds the lock, the one that streams.
    pub async fn cut_off(&self) {
        let sessions = "SELECT pid FROM pg_stat_activity \
                        WHERE datname = current_database() AND application_name LIKE 'pelton%'";
        let pids: Vec<String> = self.source.rows(sessions).await.into_iter().filter_map(|row| row[0].clone()).collect();
        assert!(pids.len() >= 2, "it is connected");
        let pids = pids.join(", ");
        self.source.execute(&format!("SELECT pg_terminate_backend(pid) FROM unnest(ARRAY[{pids}]) AS pid")).await;
        // A process that runs connects anew at once; what matters is that these are gone.
        self.source.wait_until(&format!("NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid IN ({pids}))")).await;
    }
}
