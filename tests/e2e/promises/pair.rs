//! A source, a destination, and the flows between them; Postgres is the judge of whether they are equal.

use std::fmt::Write as _;
use std::path::Path;

use crate::support::{Database, Pelton, database, difference_of, orders_component};

/// A flow, and in SQL what it must come to. Its destination's table has the flow's name.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    pub name: &'static str,
    /// What stands under `config` of its public schema.
    pub config: &'static str,
    /// The destination's columns.
    pub columns: &'static str,
    /// A query at the source for exactly the rows that the destination must have.
    pub expected: &'static str,
}

/// Two databases, and what flows from one to the other.
pub struct Pair {
    pub source: Database,
    pub destination: Database,
    pub flows: &'static [Flow],
    component: &'static Path,
}

impl Pair {
    /// Makes both databases on the shared server, and `ddl` in the source.
    pub async fn new(ddl: &str, flows: &'static [Flow]) -> Pair {
        Pair::of(database().await, database().await, ddl, flows).await
    }

    /// Takes these databases, and makes `ddl` in the source.
    pub async fn of(source: Database, destination: Database, ddl: &str, flows: &'static [Flow]) -> Pair {
        source.execute(ddl).await;
        Pair { source, destination, flows, component: orders_component().await }
    }

    /// Returns the name of the slot, which is also the publication's.
    pub fn slot(&self) -> String {
        format!("pelton_{}", self.source.name())
    }

    /// Prepares `pelton COMMAND…` with the manifest of the flows.
    pub fn pelton(&self, command: &[&str]) -> Pelton {
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
        Pelton::new(command)
            .file("pelton.yaml", self.manifest())
            .file("orders.wasm", std::fs::read(self.component).expect("the component"))
            .env("XDG_CACHE_HOME", cache)
            .env("SOURCE_URL", self.source.url())
            .env("DESTINATION_URL", self.destination.url())
    }

    /// Prepares `pelton sync`.
    pub fn sync(&self) -> Pelton {
        self.pelton(&["sync"])
    }

    /// Starts `pelton sync` and waits until all rows that were there before are copied.
    pub async fn live(&self) -> Pelton {
        let mut pelton = self.sync();
        pelton.start();
        self.wait_until_live(&mut pelton).await;
        pelton
    }

    /// Waits until a process that has been started streams, and no flow copies any more.
    pub async fn wait_until_live(&self, pelton: &mut Pelton) {
        pelton.says("streaming").await;
        let live =
            format!("(SELECT count(*) FROM rejot_data_store.flow WHERE backfill IS NULL) = {}", self.flows.len());
        self.destination.wait_until(&live).await;
    }

    /// Runs `pelton sync --until-caught-up` and compares.
    ///
    /// # Errors
    /// It fails, or the destination is not what it must be.
    pub async fn catch_up(&self) -> Result<(), String> {
        self.catch_up_with(self.pelton(&["sync", "--until-caught-up"])).await
    }

    /// The same with a process that was prepared.
    pub async fn catch_up_with(&self, mut pelton: Pelton) -> Result<(), String> {
        let status = pelton.run().await;
        if !status.success() {
            return Err(format!("pelton ended ({status}):\n{}", pelton.stderr()));
        }
        self.compare().await
    }

    /// Compares all flows.
    ///
    /// # Errors
    /// The first flow that is not what it must be, and how.
    pub async fn compare(&self) -> Result<(), String> {
        for flow in self.flows {
            let actual = format!("SELECT {} FROM public.{}", flow.columns, flow.name);
            let found = difference_of(&self.source, flow.expected, &self.destination, &actual).await;
            if let Some(difference) = found {
                return Err(format!("flow {}: {difference}", flow.name));
            }
        }
        Ok(())
    }

    /// Checks that nothing is confirmed to the source that is not committed at the destination.
    ///
    /// # Errors
    /// What is.
    pub async fn check_feedback(&self) -> Result<(), String> {
        let exists = "SELECT to_regclass('rejot_data_store.flow') IS NOT NULL";
        let slot = format!(
            "SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '{}' AND confirmed_flush_lsn IS NOT NULL",
            self.slot()
        );
        // The slot first: the checkpoint may move on meanwhile, but never back.
        let confirmed = self.source.rows(&slot).await;
        let Some(confirmed) = confirmed.first().and_then(|row| row[0].clone()) else { return Ok(()) };
        if self.destination.value(exists).await != "t" {
            return Ok(());
        }
        let beyond =
            format!("SELECT flow || ' is at ' || lsn FROM rejot_data_store.flow WHERE lsn < '{confirmed}' ORDER BY 1");
        match self.destination.rows(&beyond).await.first() {
            None => Ok(()),
            Some(flow) => Err(format!("confirmed is {confirmed}, but {}", flow[0].as_deref().unwrap_or("a flow"))),
        }
    }

    /// Returns the manifest of the flows.
    pub fn manifest(&self) -> String {
        let slot = self.slot();
        let mut text = format!(
            "slug: shop
manifestVersion: 0
connections:
  - slug: source
    config: {{ connectionType: postgres, url: \"${{SOURCE_URL}}\" }}
  - slug: warehouse
    config: {{ connectionType: postgres, url: \"${{DESTINATION_URL}}\" }}
dataStores:
  - connectionSlug: source
    config: {{ connectionType: postgres, slotName: {slot}, publicationName: {slot} }}
  - connectionSlug: warehouse
publicSchemas:
"
        );
        for Flow { name, config, .. } in self.flows {
            write!(
                text,
                "  - name: {name}\n    version: {{ major: 1, minor: 0 }}\n    source: {{ dataStoreSlug: source }}\n    \
                 config: {{ {config} }}\n"
            )
            .expect("writing to a String");
        }
        text.push_str("consumerSchemas:\n");
        for Flow { name, .. } in self.flows {
            write!(
                text,
                "  - name: {name}-there
    sourceManifestSlug: shop
    publicSchema: {{ name: {name}, majorVersion: 1 }}
    config: {{ consumerSchemaType: table, destinationDataStoreSlug: warehouse, table: public.{name}, createTable: true }}\n"
            )
            .expect("writing to a String");
        }
        text
    }
}
