//! What one field alone can't get wrong: names that refer to nothing, names given twice, flows that would write over
//! each other. Codes are ReJot's where it has them.
//!
//! A list in which a name could not be read is never the ground for "not found": its problem is reported already.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::Hash;

use super::build::{default_name, wasm};
use super::lent::{Lent, Others};
use super::model::{Connection, ConnectionConfig, WasmConfig};
use super::nearest::nearest;
use super::problem::Code;
use super::report::{Report, quoted};
use super::shape::{Shaped, Value};
use super::table_name::TableName;

/// Reports all that is wrong between the parts of one manifest.
pub(crate) fn check(root: &Shaped, connections: &[Option<Connection>], others: Others<'_>, report: &mut Report) {
    let mut cross = Cross { root, connections, others, report };
    cross.connections();
    cross.data_stores();
    cross.event_stores();
    cross.sync_services();
    cross.public_schemas();
    cross.transforms();
    cross.consumers();
    cross.destinations();
}

struct Cross<'a> {
    root: &'a Shaped,
    connections: &'a [Option<Connection>],
    others: Others<'a>,
    report: &'a mut Report,
}

/// The database behind a connection: two slugs may name the same one.
type Database<'a> = (&'a str, u16, &'a str);

impl<'a> Cross<'a> {
    fn error(&mut self, at: &Shaped, code: Code, message: String, hint: impl Into<String>) {
        self.report.error(at.at, &at.path, code, message, Some(hint.into()));
    }

    /// Returns the names in a list; `None` when not all of them could be read.
    fn names(&self, list: &str, field: &str) -> Option<Vec<&'a str>> {
        match self.root.get(list) {
            None => Some(Vec::new()),
            Some(Shaped { value: Value::List(items), .. }) => items.iter().map(|item| item.text_of(field)).collect(),
            Some(_) => None,
        }
    }

    fn database(&self, slug: &str) -> Option<Database<'a>> {
        let own = self.connections.iter().flatten().find(|connection| connection.slug == slug);
        let connection = own.or_else(|| self.others.named(slug).map(|lent| &lent.connection).next())?;
        match &connection.config {
            ConnectionConfig::Postgres(postgres) => Some((&postgres.host, postgres.port, &postgres.database)),
            ConnectionConfig::InMemory => None,
        }
    }

    /// Reports every item whose key an earlier one has; an item without a key has its problem already.
    fn duplicates<K: Hash + Eq>(
        &mut self,
        items: &'a [Shaped],
        code: Code,
        key: impl Fn(&'a Shaped) -> Option<(K, &'a Shaped, String)>,
        hint: &str,
    ) {
        let mut lines = HashMap::new();
        for (key, at, what) in items.iter().filter_map(key) {
            if let Some(line) = lines.get(&key) {
                self.error(at, code, format!("{what} again; line {line} has it already"), hint);
            } else {
                lines.insert(key, at.at.line);
            }
        }
    }

    /// Reports a slug that no connection has.
    fn refer_to_connection(&mut self, slug: &'a Shaped) {
        let (Some(name), Some(known)) = (slug.text(), self.names("connections", "slug")) else { return };
        if known.contains(&name) {
            return;
        }
        let hint = did_you_mean(name, &known, "add it to `connections`");
        self.error(slug, Code::ConnectionNotFound, format!("there is no connection {}", quoted(name)), hint);
    }

    fn connections(&mut self) {
        let slug = |item: &'a Shaped| {
            let slug = item.get("slug")?;
            Some((slug.text()?, slug, format!("connection {}", quoted(slug.text()?))))
        };
        let items = self.root.items("connections");
        self.duplicates(items, Code::DuplicateConnection, slug, "give it a slug of its own, or remove one");
        let (Some(stores), Some(events)) =
            (self.names("dataStores", "connectionSlug"), self.names("eventStores", "connectionSlug"))
        else {
            return;
        };
        for slug in items.iter().filter_map(|item| item.get("slug")) {
            let Some(name) = slug.text().filter(|name| !stores.contains(name) && !events.contains(name)) else {
                continue;
            };
            let message = format!("no data store and no event store uses connection {}", quoted(name));
            let hint = format!("add `- connectionSlug: {name}` to `dataStores`, or remove the connection");
            self.report.warning(slug.at, &slug.path, Code::UnusedConnection, message, Some(hint));
        }
    }

    fn data_stores(&mut self) {
        let slug = |item: &'a Shaped| {
            let slug = item.get("connectionSlug")?;
            Some((slug.text()?, slug, format!("data store {}", quoted(slug.text()?))))
        };
        let items = self.root.items("dataStores");
        self.duplicates(items, Code::DuplicateDataStore, slug, "a connection is one data store; put both into one");
        for store in items {
            if let Some(slug) = store.get("connectionSlug") {
                self.refer_to_connection(slug);
            }
            self.source(store);
        }
        let manifest = self.root.text_of("slug");
        let slots = |store: &'a Shaped| {
            let slug = store.text_of("connectionSlug")?;
            let config = store.get("config")?;
            let at = config.get("slotName").unwrap_or(config);
            let name = match config.get("slotName") {
                Some(name) => name.text()?.to_owned(),
                None => default_name(manifest?),
            };
            Some((slug, name, at))
        };
        // A slot's name is taken once in a cluster, whatever the database.
        let mut taken: HashMap<(&str, u16, String), u32> = HashMap::new();
        for (slug, name, at) in items.iter().filter_map(slots) {
            let Some((host, port, _)) = self.database(slug) else { continue };
            if let Some(line) = taken.insert((host, port, name.clone()), at.at.line) {
                let message = format!("slot {} of the same server is read on line {line} already", quoted(&name));
                self.error(at, Code::DuplicateSlot, message, "give each data store a `slotName` of its own");
            }
        }
    }

    fn source(&mut self, store: &'a Shaped) {
        let Some(config) = store.get("config") else { return };
        let slug = store.text_of("connectionSlug");
        let found = self.connections.iter().flatten().find(|connection| Some(connection.slug.as_str()) == slug);
        let kind = found.map(|connection| match connection.config {
            ConnectionConfig::Postgres(_) => "postgres",
            ConnectionConfig::InMemory => "in-memory",
        });
        if let (Some(kind), Some(config_kind)) = (kind, config.text_of("connectionType"))
            && kind != config_kind
        {
            let message = format!("the connection is `{kind}`, this data store is `{config_kind}`");
            self.error(config, Code::ConnectionTypeMismatch, message, "make both the same, or remove this `config`");
        }
        let tables = config.items("tables");
        if let Some(all) = config.get("allTables").filter(|all| all.bool() == Some(true) && !tables.is_empty()) {
            let message = "`allTables` and `tables` exclude each other".to_owned();
            self.error(all, Code::Conflict, message, "remove one of them");
        }
        let name =
            |item: &'a Shaped| Some((item.table()?, item, format!("table {}", quoted(&item.table()?.to_string()))));
        self.duplicates(tables, Code::BadValue, name, "remove one");
    }

    fn event_stores(&mut self) {
        let slug = |item: &'a Shaped| {
            let slug = item.get("connectionSlug")?;
            Some((slug.text()?, slug, format!("event store {}", quoted(slug.text()?))))
        };
        let items = self.root.items("eventStores");
        self.duplicates(items, Code::DuplicateEventStore, slug, "remove one");
        for slug in items.iter().filter_map(|item| item.get("connectionSlug")) {
            self.refer_to_connection(slug);
        }
        for item in items {
            if let Some(mirrored) = item.get("mirrorOf") {
                self.refer_to_event_store(mirrored);
                self.mirrors_in_a_circle(item, mirrored);
            }
        }
    }

    fn refer_to_event_store(&mut self, slug: &'a Shaped) {
        let (Some(name), Some(known)) = (slug.text(), self.names("eventStores", "connectionSlug")) else { return };
        if !known.contains(&name) {
            let hint = did_you_mean(name, &known, "add it to `eventStores`");
            self.error(slug, Code::EventStoreNotFound, format!("there is no event store {}", quoted(name)), hint);
        }
    }

    /// Follows what an event store is a mirror of.
    fn mirrors_in_a_circle(&mut self, item: &'a Shaped, at: &'a Shaped) {
        let items = self.root.items("eventStores");
        let Some(first) = item.text_of("connectionSlug") else { return };
        let mut now = item;
        for _ in items {
            let Some(next) = now.text_of("mirrorOf") else { return };
            if next == first {
                let message = format!("event store {} would be a mirror of itself", quoted(first));
                self.error(
                    at,
                    Code::MirrorCycle,
                    message,
                    "let one of them be no mirror: that is where events come from",
                );
                return;
            }
            let Some(found) = items.iter().find(|item| item.text_of("connectionSlug") == Some(next)) else { return };
            now = found;
        }
    }

    fn sync_services(&mut self) {
        let slug = |item: &'a Shaped| {
            let slug = item.get("manifestSlug")?;
            Some((slug.text()?, slug, format!("the service of manifest {}", quoted(slug.text()?))))
        };
        let items = self.root.items("syncServices");
        self.duplicates(items, Code::DuplicateSyncService, slug, "a manifest is read at one service; remove one");
        for slug in items.iter().filter_map(|item| item.get("manifestSlug")) {
            if slug.text().is_some() && slug.text() == self.root.text_of("slug") {
                let message = format!("{} is this manifest itself", quoted(slug.text().unwrap_or_default()));
                self.error(slug, Code::BadValue, message, "name the manifest that publishes what is read there");
            }
        }
    }

    fn public_schemas(&mut self) {
        let key = |item: &'a Shaped| {
            let (name, major) = (item.get("name")?, item.get("version")?.get("major")?.integer()?);
            Some(((name.text()?, major), name, format!("public schema {} {major}", quoted(name.text()?))))
        };
        let items = self.root.items("publicSchemas");
        let hint = "consumers ask for name and major version alone; raise one, or rename it";
        self.duplicates(items, Code::DuplicatePublicSchema, key, hint);
        for schema in items {
            let Some(source) = schema.get("source").and_then(|source| source.get("dataStoreSlug")) else { continue };
            let store = self.refer_to_data_store(source);
            if store.is_some_and(|store| store.get("config").is_none()) {
                let message =
                    format!("data store {} is not read: it has no `config`", quoted(source.text().unwrap_or_default()));
                let hint = "give it `config: { connectionType: postgres }`; slot and publication are named for it then";
                self.error(source, Code::DataStoreMissingConfig, message, hint);
            }
            let Some(config) = schema.get("config") else { continue };
            self.projection(config);
            self.replicated(config, store);
        }
    }

    /// Returns the data store that a slug refers to, or reports that there is none.
    fn refer_to_data_store(&mut self, slug: &'a Shaped) -> Option<&'a Shaped> {
        let name = slug.text()?;
        let known = self.names("dataStores", "connectionSlug")?;
        let index = known.iter().position(|slug| *slug == name);
        if index.is_none() {
            let connections = self.names("connections", "slug").unwrap_or_default();
            let hint = match connections.contains(&name) {
                true => format!("the connection is there; add `- connectionSlug: {name}` to `dataStores`"),
                false => did_you_mean(name, &known, "add it to `dataStores`"),
            };
            self.error(slug, Code::DataStoreNotFound, format!("there is no data store {}", quoted(name)), hint);
        }
        self.root.items("dataStores").get(index?)
    }

    /// Reports a destination that neither this manifest has nor another one, or several others.
    fn refer_to_destination(&mut self, slug: &'a Shaped) {
        let (Some(name), Some(stores), Some(connections)) =
            (slug.text(), self.names("dataStores", "connectionSlug"), self.names("connections", "slug"))
        else {
            return;
        };
        let lent: Vec<&Lent> = self.others.named(name).collect();
        // A connection of that name is what was meant, and is not among `dataStores` yet.
        if stores.contains(&name) || connections.contains(&name) || lent.is_empty() {
            if !matches!(self.others, Others::Unread) || connections.contains(&name) {
                self.refer_to_data_store(slug);
            }
            return;
        }
        let place = |lent: &Lent| match &lent.connection.config {
            ConnectionConfig::Postgres(at) => Some((at.host.clone(), at.port, at.database.clone())),
            ConnectionConfig::InMemory => None,
        };
        if let Some(other) = lent.iter().find(|other| place(other) != place(lent[0])) {
            let (first, other) = (&lent[0].file, &other.file);
            let message = format!("data store {} is one database in {first} and another one in {other}", quoted(name));
            self.error(
                slug,
                Code::Conflict,
                message,
                "add the one that is meant to `connections` and `dataStores` here",
            );
        }
    }

    /// Checks the columns and the key of a `table` schema.
    fn projection(&mut self, config: &'a Shaped) {
        let columns = config.items("columns");
        let name = |item: &'a Shaped| match &item.value {
            Value::Column(column) => {
                Some((column.name.as_str(), item, format!("public column {}", quoted(&column.name))))
            }
            _ => None,
        };
        self.duplicates(columns, Code::BadValue, name, "give it another public name: `public name: source column`");
        let key = config.items("key");
        let of_key = |item: &'a Shaped| Some((item.text()?, item, format!("key column {}", quoted(item.text()?))));
        self.duplicates(key, Code::BadValue, of_key, "remove one");
        for (list, what) in [(config.get("columns"), "column"), (config.get("key"), "key column")] {
            if let Some(empty) = list.filter(|list| matches!(&list.value, Value::List(items) if items.is_empty())) {
                let hint = format!("name a {what}, or leave the field out");
                self.error(empty, Code::BadValue, format!("`{}` is empty", empty.path), hint);
            }
        }
        let known: Option<HashSet<&str>> = columns.iter().map(|item| name(item).map(|(name, ..)| name)).collect();
        let Some(known) = known.filter(|known| !known.is_empty()) else { return };
        for item in key {
            let Some(name) = item.text().filter(|name| !known.contains(name)) else { continue };
            let known: Vec<&str> = known.iter().copied().take(NAMES_SHOWN_MAX).collect();
            let hint = did_you_mean(name, &known, "add it to `columns`; a key names public columns");
            self.error(item, Code::BadValue, format!("key column {} is not among `columns`", quoted(name)), hint);
        }
    }

    /// Checks that the tables which a schema reads are among those of its source, where that lists any.
    fn replicated(&mut self, config: &'a Shaped, store: Option<&'a Shaped>) {
        let Some(source) = store.and_then(|store| store.get("config")) else { return };
        let listed: Option<Vec<&TableName>> = source.items("tables").iter().map(Shaped::table).collect();
        let Some(listed) = listed.filter(|listed| !listed.is_empty() && source.get("allTables").is_none()) else {
            return;
        };
        let hint = |table: &str| format!("add it to `{}.tables`: [{table}]", source.path);
        if let Some(at) = config.get("table")
            && let Some(table) = at.table().filter(|table| !listed.contains(table))
        {
            let message = format!("table {} is not among the `tables` of its data store", quoted(&table.to_string()));
            self.error(at, Code::TableNotReplicated, message, hint(&table.to_string()));
        }
        for at in config.items("transformations").iter().filter_map(|item| item.get("table")) {
            // ReJot names tables without their schema.
            if let Some(table) = at.text().filter(|table| listed.iter().all(|listed| listed.name != *table)) {
                let message = format!("table {} is not among the `tables` of its data store", quoted(table));
                self.report.warning(at.at, &at.path, Code::TableNotReplicated, message, Some(hint(table)));
            }
        }
    }

    /// Public schemas of one transform run once, so they must agree about how.
    fn transforms(&mut self) {
        let mut first: Vec<(&str, WasmConfig)> = Vec::new();
        for schema in self.root.items("publicSchemas") {
            let source = schema.get("source").and_then(|source| source.text_of("dataStoreSlug"));
            let Some(config) = schema.get("config").filter(|config| config.get("component").is_some()) else {
                continue;
            };
            let (Some(source), Some(transform)) = (source, wasm(config)) else { continue };
            let same =
                |(other, earlier): &&(&str, WasmConfig)| *other == source && earlier.is_same_transform(&transform);
            let Some((_, earlier)) = first.iter().find(same) else {
                first.push((source, transform));
                continue;
            };
            for (field, differs) in [
                ("limits", earlier.limits != transform.limits),
                ("onError", earlier.on_error != transform.on_error),
                ("parallel", earlier.parallel != transform.parallel),
                ("shadow", earlier.shadow != transform.shadow),
            ] {
                if differs {
                    let at = config.get(field).unwrap_or(config);
                    let line = earlier.at.line;
                    let message = format!("`{field}` is not what the same transform has on line {line}");
                    let hint = "public schemas with the same source, component and settings run as one; write the same in all of them";
                    self.error(at, Code::TransformConflict, message, hint);
                }
            }
        }
    }

    fn consumers(&mut self) {
        let key = |item: &'a Shaped| {
            let name = item.get("name")?;
            Some((name.text()?, name, format!("consumer schema {}", quoted(name.text()?))))
        };
        let items = self.root.items("consumerSchemas");
        self.duplicates(items, Code::DuplicateConsumerSchema, key, "give it a name of its own");
        for consumer in items {
            if let Some(slug) = consumer.get("config").and_then(|config| config.get("destinationDataStoreSlug")) {
                self.refer_to_destination(slug);
            }
            if let Some(store) = consumer.get("eventStore") {
                self.refer_to_event_store(store);
            }
            if consumer.text_of("sourceManifestSlug") == self.root.text_of("slug") {
                self.refer_to_public_schema(consumer);
            }
        }
    }

    /// Checks what a consumer of this manifest's own schemas asks for.
    fn refer_to_public_schema(&mut self, consumer: &'a Shaped) {
        let Some(reference) = consumer.get("publicSchema") else { return };
        let (Some(name), Some(major)) = (reference.get("name"), reference.get("majorVersion")) else { return };
        let (Some(wanted), Some(wanted_major)) = (name.text(), major.integer()) else { return };
        let Some(known) = self.names("publicSchemas", "name") else { return };
        let of_name = self.root.items("publicSchemas").iter().filter(|schema| schema.text_of("name") == Some(wanted));
        let majors: Option<Vec<u64>> = of_name.map(|schema| schema.get("version")?.get("major")?.integer()).collect();
        let Some(majors) = majors else { return };
        if majors.is_empty() {
            let hint = did_you_mean(wanted, &known, "add it to `publicSchemas`");
            let message = format!("there is no public schema {} in this manifest", quoted(wanted));
            self.error(name, Code::PublicSchemaNotFound, message, hint);
        } else if !majors.contains(&wanted_major) {
            let has = majors.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
            let message = format!("public schema {} has no major version {wanted_major}", quoted(wanted));
            self.error(major, Code::VersionMismatch, message, format!("it has {has}"));
        }
    }

    /// Checks that no two consumers write the same table, and none the table that it is made from.
    fn destinations(&mut self) {
        let mut written: HashMap<(Database<'a>, &'a TableName), u32> = HashMap::new();
        for consumer in self.root.items("consumerSchemas") {
            let Some(config) = consumer.get("config") else { continue };
            let (Some(slug), Some(at)) = (config.text_of("destinationDataStoreSlug"), config.get("table")) else {
                continue;
            };
            let (Some(database), Some(table)) = (self.database(slug), at.table()) else { continue };
            if let Some(line) = written.insert((database, table), at.at.line) {
                let message = format!("table {} is written on line {line} already", quoted(&table.to_string()));
                self.error(at, Code::DuplicateDestination, message, "give each consumer schema a table of its own");
            }
            if self.source_table(consumer) == Some((database, table)) {
                let message =
                    format!("table {} would be written with what is read from it", quoted(&table.to_string()));
                self.error(at, Code::DestinationIsSource, message, "write to another table, or to another database");
            }
        }
    }

    /// Returns the table that a consumer's `table` schema reads, where both are in this manifest.
    fn source_table(&self, consumer: &'a Shaped) -> Option<(Database<'a>, &'a TableName)> {
        let reference = consumer.get("publicSchema")?;
        if consumer.text_of("sourceManifestSlug") != self.root.text_of("slug") {
            return None;
        }
        let is_it = |schema: &&Shaped| {
            let major = schema.get("version").and_then(|version| version.get("major")?.integer());
            schema.text_of("name") == reference.text_of("name")
                && major == reference.get("majorVersion").and_then(Shaped::integer)
        };
        let schema = self.root.items("publicSchemas").iter().find(is_it)?;
        let database = self.database(schema.get("source")?.text_of("dataStoreSlug")?)?;
        Some((database, schema.get("config")?.get("table")?.table()?))
    }
}

/// How many of the known names a hint lists.
const NAMES_SHOWN_MAX: usize = 10;

fn did_you_mean(written: &str, known: &[&str], otherwise: &str) -> String {
    match nearest(written, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => otherwise.to_owned(),
        None => {
            let names: BTreeSet<&str> = known.iter().copied().take(NAMES_SHOWN_MAX).collect();
            let names: Vec<&str> = names.into_iter().collect();
            format!("{otherwise}; known are {}", names.join(", "))
        }
    }
}
