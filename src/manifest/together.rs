//! What manifests that run together can get wrong between them: the same slug twice, consumers of what nobody here
//! publishes, two of them writing the same table.

use std::collections::HashMap;

use super::model::{ConsumerConfig, ConsumerSchemaDef, Manifest, PublicSchemaConfig, SourceConfig, Version};
use super::nearest::nearest;
use super::problem::{Code, Place, Problem, Severity};
use super::report::quoted;
use super::service::service_variable;
use super::table_name::TableName;

/// Checks the manifests that one process runs, each of them valid by itself. Returns errors and warnings.
///
/// A consumer of a manifest that is not among them is a problem where its own has no event store: with one, its rows
/// come from there, and another process may well put them in.
pub fn check_together(manifests: &[Manifest]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut slugs: HashMap<&str, &Manifest> = HashMap::new();
    for manifest in manifests {
        if let Some(first) = slugs.insert(&manifest.slug, manifest) {
            let message = format!("the slug {} is that of {} too", quoted(&manifest.slug), first.file);
            let hint = "checkpoints are kept by slug: give each manifest one of its own";
            problems.push(problem(manifest, Place::START, Code::DuplicateManifestSlug, message, hint));
        }
    }
    for (manifest, consumer) in each(manifests, |manifest| &manifest.consumer_schemas) {
        problems.extend(source_problem(manifests, manifest, consumer));
    }
    problems.extend(published_twice(manifests));
    problems.extend(written_twice(manifests));
    problems.extend(written_as_read(manifests));
    problems.extend(names_taken(manifests));
    problems.extend(read_twice(manifests));
    problems
}

fn each<'a, T: 'a>(
    manifests: &'a [Manifest],
    items: impl Fn(&'a Manifest) -> &'a [T],
) -> impl Iterator<Item = (&'a Manifest, &'a T)> {
    manifests.iter().flat_map(move |manifest| items(manifest).iter().map(move |item| (manifest, item)))
}

fn source_problem(manifests: &[Manifest], manifest: &Manifest, consumer: &ConsumerSchemaDef) -> Option<Problem> {
    let wanted = quoted(&consumer.public_schema);
    let Some(source) = manifests.iter().find(|other| other.slug == consumer.source_manifest) else {
        if !manifest.event_stores.is_empty() || manifest.sync_service(&consumer.source_manifest).is_some() {
            return None;
        }
        let message = format!("there is no manifest {} here", quoted(&consumer.source_manifest));
        let hint = match nearest(&consumer.source_manifest, manifests.iter().map(|other| other.slug.as_str())) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!(
                "name its file beside this one, list both in the `workspaces` of a manifest, or say where its service is: `syncServices`, {}=host:port, or \
                 `--resolver localhost`",
                service_variable(&consumer.source_manifest)
            ),
        };
        return Some(problem(manifest, consumer.at, Code::ManifestNotFound, message, &hint));
    };
    if source.public_schema(&consumer.public_schema, consumer.major).is_some() {
        return None;
    }
    let of_name = source.public_schemas.iter().filter(|schema| schema.name == consumer.public_schema);
    let majors: Vec<String> = of_name.map(|schema| schema.version.major.to_string()).collect();
    if majors.is_empty() {
        let message = format!("manifest {} has no public schema {wanted}", quoted(&source.slug));
        let hint = match nearest(&consumer.public_schema, source.public_schemas.iter().map(|s| s.name.as_str())) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("add it to {}", source.file),
        };
        return Some(problem(manifest, consumer.at, Code::PublicSchemaNotFound, message, &hint));
    }
    let message = format!("public schema {wanted} has no major version {}", consumer.major);
    let hint = format!("in {} it has {}", source.file, majors.join(", "));
    Some(problem(manifest, consumer.at, Code::VersionMismatch, message, &hint))
}

/// Public schemas of one name and version in two manifests: consumers name the manifest too, people often don't.
fn published_twice(manifests: &[Manifest]) -> Vec<Problem> {
    let mut published: HashMap<(&str, Version), &Manifest> = HashMap::new();
    let mut problems = Vec::new();
    for (manifest, public) in each(manifests, |manifest| &manifest.public_schemas) {
        let first = published.insert((&public.name, public.version), manifest);
        if let Some(first) = first.filter(|first| first.slug != manifest.slug) {
            let Version { major, minor } = public.version;
            let message = format!("public schema {} {major}.{minor} is in {} too", quoted(&public.name), first.file);
            let hint =
                format!("consumers tell them apart by `sourceManifestSlug: {}`; two names are clearer", manifest.slug);
            let problem = problem(manifest, public.at, Code::DuplicatePublicSchema, message, &hint);
            problems.push(Problem { severity: Severity::Warning, ..problem });
        }
    }
    problems
}

/// Names that a consumer would take in the manifest that it runs with, and that are taken there ([`super::join`]).
fn names_taken(manifests: &[Manifest]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (manifest, consumer) in each(manifests, |manifest| &manifest.consumer_schemas) {
        let owner = manifests.iter().find(|other| other.slug == consumer.source_manifest);
        let Some(owner) = owner.filter(|owner| owner.slug != manifest.slug && manifest.event_stores.is_empty()) else {
            continue;
        };
        let (name, store) = (super::join::moved_name(manifest, &consumer.name), consumer.config.destination());
        let store = super::join::moved_name(manifest, store);
        let taken = match owner.consumer_schemas.iter().any(|other| other.name == name) {
            true => Some(("consumer schema", name)),
            false => owner.connection(&store).is_some().then_some(("connection", store)),
        };
        if let Some((what, name)) = taken {
            let message =
                format!("this consumer runs with {}, which has a {what} {} already", owner.file, quoted(&name));
            problems.push(problem(manifest, consumer.at, Code::Conflict, message, "give one of them another name"));
        }
    }
    problems
}

/// Consumers that write the table which a plain public schema of another manifest reads for them.
fn written_as_read(manifests: &[Manifest]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (manifest, consumer) in each(manifests, |manifest| &manifest.consumer_schemas) {
        let ConsumerConfig::Table(written) = &consumer.config else { continue };
        let owner = manifests.iter().find(|other| other.slug == consumer.source_manifest);
        // Within one manifest it was said already.
        let Some(owner) = owner.filter(|owner| owner.slug != manifest.slug) else { continue };
        let Some(public) = owner.public_schema(&consumer.public_schema, consumer.major) else { continue };
        let PublicSchemaConfig::Table(read) = &public.config else { continue };
        let database = |manifest: &Manifest, slug: &str| {
            let postgres = manifest.postgres(slug)?;
            Some((postgres.host.clone(), postgres.port, postgres.database.clone()))
        };
        let (from, to) = (database(owner, &public.source), database(manifest, &written.data_store));
        if from.is_some() && from == to && read.table == written.table {
            let message =
                format!("table {} would be written with what is read from it", quoted(&read.table.to_string()));
            let hint = "write to another table, or to another database";
            problems.push(problem(manifest, written.at, Code::DestinationIsSource, message, hint));
        }
    }
    problems
}

/// Two consumers of different manifests that write one table.
fn written_twice(manifests: &[Manifest]) -> Vec<Problem> {
    let mut written: HashMap<(&str, u16, &str, &TableName), &Manifest> = HashMap::new();
    let mut problems = Vec::new();
    for (manifest, consumer) in each(manifests, |manifest| &manifest.consumer_schemas) {
        let ConsumerConfig::Table(table) = &consumer.config else { continue };
        let Some(postgres) = manifest.postgres(&table.data_store) else { continue };
        let key = (postgres.host.as_str(), postgres.port, postgres.database.as_str(), &table.table);
        // Within one manifest it was said already.
        if let Some(first) = written.insert(key, manifest).filter(|first| !std::ptr::eq(*first, manifest)) {
            let message = format!("table {} is written by {} too", quoted(&table.table.to_string()), first.file);
            let hint = "give each consumer schema a table of its own";
            problems.push(problem(manifest, table.at, Code::DuplicateDestination, message, hint));
        }
    }
    problems
}

/// Two manifests that read one slot.
fn read_twice(manifests: &[Manifest]) -> Vec<Problem> {
    let mut taken: HashMap<(&str, u16, &str), &Manifest> = HashMap::new();
    let mut problems = Vec::new();
    for (manifest, store) in each(manifests, |manifest| &manifest.data_stores) {
        let (Some(SourceConfig { slot_name, .. }), Some(postgres)) = (&store.source, manifest.postgres(&store.slug))
        else {
            continue;
        };
        let first = taken.insert((&postgres.host, postgres.port, slot_name), manifest);
        if let Some(first) = first.filter(|first| !std::ptr::eq(*first, manifest)) {
            let message = format!("slot {} of the same server is read by {} too", quoted(slot_name), first.file);
            let hint = "give each data store a `slotName` of its own";
            problems.push(problem(manifest, store.at, Code::DuplicateSlot, message, hint));
        }
    }
    problems
}

fn problem(manifest: &Manifest, at: Place, code: Code, message: String, hint: &str) -> Problem {
    Problem {
        file: manifest.file.clone(),
        at,
        severity: Severity::Error,
        code,
        path: String::new(),
        message,
        hint: Some(hint.to_owned()),
        // The text of the files is no longer here.
        excerpt: None,
    }
}
