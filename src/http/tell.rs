//! What is told of manifests and stores: `/status`, `/public-schemas`, `/streams`, `/data-store/cursors`.

use std::time::Duration;

use serde_json::{Value, json};

use super::Shared;
use super::answer::{Answer, Refusal, json as answer, with_status};
use super::cursor::transaction_id;
use super::store::{Cancel, Store, in_order};
use crate::datastore;
use crate::engine::{Chain, Plan};
use crate::eventstore::{self, Shape, Stream};
use crate::manifest::{PublicSchemaConfig, SqlOperation, SqlTransformation, nearest};
use crate::postgres::{self, Session};

/// How long a question about consumers waits for others.
const CURSORS_WAIT: Duration = Duration::from_secs(10);

/// `/status`: whether all event stores can be read, and up to where there is what.
pub async fn status(shared: &Shared) -> Answer {
    let mut all_well = true;
    let mut stores = Vec::new();
    for store in &shared.stores {
        let streams = store.streams().await;
        all_well &= streams.is_ok();
        let told = |stream: &Stream| {
            json!({
                "manifest": stream.manifest,
                "publicSchema": stream.public_schema,
                "majorVersion": stream.major,
                "last": stream.last.to_string(),
            })
        };
        stores.push(json!({
            "slug": store.slug,
            "reachable": streams.is_ok(),
            "streams": streams.iter().flatten().map(told).collect::<Value>(),
        }));
    }
    let manifests: Value = shared.manifests.iter().map(|manifest| json!({ "slug": manifest.slug })).collect();
    let told = json!({
        // As ReJot has it: whatever answers has started.
        "state": "started",
        "status": if all_well { "ok" } else { "degraded" },
        "version": env!("CARGO_PKG_VERSION"),
        "uptimeSeconds": shared.started.elapsed().as_secs(),
        "manifests": manifests,
        "eventStores": stores,
    });
    let status = if all_well { hyper::StatusCode::OK } else { hyper::StatusCode::SERVICE_UNAVAILABLE };
    with_status(status, &told)
}

/// `/public-schemas`: what the manifests publish, and the columns of what has been published.
pub async fn public_schemas(shared: &Shared) -> Result<Answer, Refusal> {
    let mut told = Vec::new();
    for manifest in &shared.manifests {
        let Some(store) = in_order(&shared.stores, Some(&manifest.slug)).into_iter().next() else { continue };
        let published = published(store).await?;
        for public in &manifest.public_schemas {
            let is_it = |(stream, _): &&(Stream, Vec<Shape>)| {
                stream.manifest == manifest.slug
                    && stream.public_schema == public.name
                    && stream.major == public.version.major as i32
            };
            let shape = published.iter().find(is_it).and_then(|(_, shapes)| shapes.first());
            let (tables, transformations) = made_of(&public.config);
            told.push(json!({
                "manifestSlug": manifest.slug,
                "name": public.name,
                "version": { "major": public.version.major, "minor": public.version.minor },
                "source": { "dataStoreSlug": public.source, "tables": tables },
                "transformations": transformations,
                "outputSchema": public.output_schema.as_ref().map_or_else(|| json!({}), |output| output.schema.clone()),
                "columns": shape.map(|shape| shape.document()["columns"].take()),
            }));
        }
    }
    Ok(answer(&Value::Array(told)))
}

/// Returns the tables that a public schema is made from, and how, as far as ReJot has words for it.
fn made_of(config: &PublicSchemaConfig) -> (Vec<String>, Value) {
    match config {
        PublicSchemaConfig::Table(projection) => (vec![projection.table.to_string()], json!([])),
        // What a component reads is its own to say.
        PublicSchemaConfig::Wasm(_) => (Vec::new(), json!([])),
        PublicSchemaConfig::Postgres(all) => {
            let mut tables: Vec<String> = all.iter().map(|one| one.table.clone()).collect();
            tables.sort();
            tables.dedup();
            let one = |one: &SqlTransformation| {
                let operation = match one.operation {
                    SqlOperation::Insert => "insert",
                    SqlOperation::Update => "update",
                    SqlOperation::Delete => "delete",
                };
                json!({ "operation": operation, "table": one.table, "sql": one.sql })
            };
            (tables, all.iter().map(one).collect())
        }
    }
}

/// `/streams`: what is in the event stores of a manifest, with all that is needed to read it.
pub async fn streams(shared: &Shared, manifest: Option<&str>) -> Result<Answer, Refusal> {
    let mut told: Vec<Value> = Vec::new();
    let mut others: Vec<String> = Vec::new();
    for store in in_order(&shared.stores, manifest) {
        let published = published(store).await?;
        let wanted = |stream: &Stream| manifest.is_none_or(|manifest| stream.manifest == manifest);
        others.extend(published.iter().map(|(stream, _)| stream.manifest.clone()));
        told.extend(published.iter().filter(|(stream, _)| wanted(stream)).map(|(stream, shapes)| {
            json!({
                "manifest": stream.manifest,
                "source": stream.source,
                "publicSchema": stream.public_schema,
                "majorVersion": stream.major,
                "last": stream.last.to_string(),
                "origin": stream.origin,
                "horizon": stream.horizon.to_string(),
                "merged": stream.merged,
                "shapes": shapes.iter().map(Shape::document).collect::<Value>(),
            })
        }));
        // What is in several stores is read in the first of them.
        if manifest.is_some() && !told.is_empty() {
            break;
        }
    }
    let served = || shared.manifests.iter().map(|manifest| manifest.slug.as_str());
    if let Some(manifest) = manifest.filter(|manifest| told.is_empty() && !served().any(|slug| slug == *manifest)) {
        let known: Vec<&str> = served().chain(others.iter().map(String::as_str)).collect();
        let hint = match nearest(manifest, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("it serves {}", served().map(|slug| format!("`{slug}`")).collect::<Vec<_>>().join(", ")),
        };
        return Err(Refusal::absent(format!("this service has nothing of manifest `{manifest}`"), hint));
    }
    Ok(answer(&json!({ "streams": told })))
}

async fn published(store: &Store) -> Result<Vec<(Stream, Vec<Shape>)>, Refusal> {
    let read = store.with(async |client| {
        let streams = store.told(client).await?;
        let ids: Vec<i32> = streams.iter().map(|stream| stream.id).collect();
        let shapes = eventstore::shapes(client, &ids, 0).await?;
        Ok((streams, shapes))
    });
    let (streams, shapes) = read.await?;
    let with_shapes = |stream: Stream| {
        let of_stream = shapes.iter().filter(|shape| shape.stream == stream.id).cloned().collect();
        (stream, of_stream)
    };
    Ok(streams.into_iter().map(with_shapes).collect())
}

/// `/data-store/cursors`: how far the manifests' own consumers are, each at its destination.
pub async fn cursors(shared: &Shared) -> Result<Answer, Refusal> {
    let mut told = Vec::new();
    // Each question has a session of its own at a destination.
    let asking = tokio::time::timeout(CURSORS_WAIT, shared.cursors.acquire()).await;
    let _asking = asking.map_err(|_| Refusal::busy("too many requests are being answered"))?;
    for manifest in &shared.manifests {
        let (plan, _) = Plan::of_what_runs(manifest);
        for reader in &plan.readers {
            let read = async {
                let client = postgres::connect(&reader.connection, &Session::destination("pelton http")).await;
                let client = client.map_err(|error| Chain(&error).to_string())?;
                let mut cancel = Cancel::of(&reader.connection, &client);
                let rows = datastore::consumers(&client, &manifest.slug).await;
                cancel.disarm();
                rows.map_err(|error| Chain(&error).to_string())
            };
            let rows = read.await.map_err(|error| {
                tracing::warn!(destination = reader.destination, "a request could not be answered: {error}");
                Refusal::later(format!("data store `{}` can't be read now", reader.destination))
            })?;
            let ours = |name: &str| reader.consumers.iter().any(|consumer| consumer.name == name);
            told.extend(rows.iter().filter(|row| ours(&row.consumer)).map(|row| {
                json!({
                    "schema": {
                        "manifest": { "slug": row.source_manifest },
                        "schema": { "name": row.public_schema, "version": { "major": row.major } },
                    },
                    "transactionId": transaction_id(row.cursor, None),
                    "manifest": { "slug": manifest.slug },
                    "consumer": row.consumer,
                    "dataStore": { "slug": reader.destination },
                })
            }));
        }
    }
    Ok(answer(&Value::Array(told)))
}
