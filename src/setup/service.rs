//! Services of other manifests: are they there, do they take the token, and do they have what is read?

use super::item::{Item, Severity};
use crate::engine::{Chain, Plan, UpstreamPlan};
use crate::manifest::{SyncService, nearest};
use crate::service::Service;

/// Looks at the services that a manifest's consumers read from.
pub async fn services(plan: &Plan) -> Vec<Item> {
    let mut seen: Vec<&SyncService> = Vec::new();
    let mut items = Vec::new();
    for reader in &plan.readers {
        let UpstreamPlan::Service(service) = &reader.upstream else { continue };
        if seen.contains(&service) {
            continue;
        }
        seen.push(service);
        let of_service = plan.readers.iter().filter(|other| other.store == reader.store);
        let consumers: Vec<_> = of_service.flat_map(|reader| &reader.consumers).collect();
        let place = format!("service of {}", service.manifest);
        if service.is_exposed() {
            let what = format!("{} is sent a token without encryption", service.url);
            let why = "whoever sees it pass may read what the service has";
            let item = Item::amiss(Severity::Warning, "service-encryption", place.clone(), what, why);
            items.push(
                item.step("give the service TLS (`--http-cert`, `--http-key`), and write `https://` into its url"),
            );
        }
        let streams = match Service::new(service.clone()).streams().await {
            Ok((streams, _)) => streams,
            Err(error) => {
                let why = "its consumers get nothing until then";
                let item = Item::amiss(Severity::Error, "service", place, Chain(&error).to_string(), why);
                items.push(error.hint().into_iter().fold(item, Item::step));
                continue;
            }
        };
        items.push(Item::right("service", place.clone(), format!("{} answers", service.url)));
        for consumer in consumers {
            let wanted = format!("{}@{}", consumer.public_schema, consumer.major);
            if streams.iter().any(|stream| consumer.reads(stream)) {
                let what = format!("it has what consumer `{}` reads, `{wanted}`", consumer.name);
                items.push(Item::right("service-public-schema", place.clone(), what));
                continue;
            }
            let what = format!("it has no `{wanted}`, which consumer `{}` reads", consumer.name);
            let why = "the consumer waits until it is published";
            let item = Item::amiss(Severity::Error, "service-public-schema", place.clone(), what, why);
            let known: Vec<String> =
                streams.iter().map(|stream| format!("{}@{}", stream.public_schema, stream.major)).collect();
            let hint = match nearest(&wanted, known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None if known.is_empty() => {
                    "it has published nothing yet: is the owner's `pelton sync` running?".to_owned()
                }
                None => format!("it has {}", known.join(", ")),
            };
            items.push(item.step(hint));
        }
    }
    items
}
