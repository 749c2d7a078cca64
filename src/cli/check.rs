//! `pelton check`: what can be said of a manifest without touching a database.

use std::path::PathBuf;
use std::sync::Arc;

use super::files;
use super::report::Failure;
use crate::change::PublicSchema;
use crate::engine::{self, Chain, EngineError, Plan};
use crate::manifest::{Manifest, Transform};
use crate::wasm::{self, Descriptor};

/// Validates manifests, loads their components, and holds what those publish against the manifest
///
/// Touches no database. Exits 0 without errors, 1 with.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The manifests to check [default: pelton.yaml in this folder]
    #[arg(value_name = "MANIFEST")]
    pub manifests: Vec<PathBuf>,
}

/// Something that is wrong, and what to do about it.
pub struct Finding {
    pub what: String,
    pub hint: Option<String>,
}

/// What came of checking one transform.
pub struct Checked {
    /// The component's file.
    pub file: PathBuf,
    /// `None` when it can't be loaded.
    pub descriptor: Option<Descriptor>,
    /// What it is, in one sentence, or everything that is wrong.
    pub told: Result<String, Vec<Finding>>,
}

/// Checks manifests.
///
/// # Errors
/// Everything that is wrong.
pub async fn run(args: Args) -> Result<(), Failure> {
    let manifests = files::load_all(&args.manifests)?;
    let options = wasm::HostOptions { cache_dir: files::cache_dir() };
    let host = Arc::new(wasm::Host::new(options).map_err(|error| Failure::of(&error, error.hint()))?);
    let mut failures = Vec::new();
    for manifest in &manifests {
        if let Err(refused) = Plan::new(manifest) {
            failures.extend(refused.into_iter().map(|unsupported| {
                Failure::new(format!("{}: {}", manifest.file, unsupported.what), Some(unsupported.hint))
            }));
        }
        for checked in transforms(&host, manifest).await {
            match checked.told {
                Ok(line) => println!("{line}"),
                Err(findings) => {
                    failures.extend(findings.into_iter().map(|found| Failure::new(found.what, found.hint)))
                }
            }
        }
    }
    if !failures.is_empty() {
        return Err(Failure::all(failures));
    }
    for manifest in &manifests {
        println!(
            "{}: {} public schemas, {} consumer schemas, no problems.",
            manifest.file,
            manifest.public_schemas.len(),
            manifest.consumer_schemas.len()
        );
    }
    Ok(())
}

/// Checks a manifest's transforms, one after the other.
pub async fn transforms(host: &Arc<wasm::Host>, manifest: &Manifest) -> Vec<Checked> {
    let mut all = Vec::new();
    for transform in manifest.transforms() {
        let file = transform.config.component.clone();
        let (descriptor, told) = match engine::component(host, transform.config).await {
            Ok(component) => (Some(component.descriptor().clone()), check_transform(&component, manifest, &transform)),
            Err(error) => (None, Err(vec![Finding::of(&place(manifest, &transform), &error)])),
        };
        all.push(Checked { file, descriptor, told });
    }
    all
}

impl Finding {
    fn new(what: String, hint: Option<String>) -> Finding {
        Finding { what, hint }
    }

    fn of(place: &str, error: &EngineError) -> Finding {
        Finding::new(format!("{place}: {}", Chain(error)), error.hint())
    }
}

fn place(manifest: &Manifest, transform: &Transform<'_>) -> String {
    format!("{}:{}", manifest.file, transform.config.at.line)
}

fn check_transform(
    component: &wasm::Component,
    manifest: &Manifest,
    transform: &Transform<'_>,
) -> Result<String, Vec<Finding>> {
    let place = place(manifest, transform);
    let mut failures = Vec::new();
    if let Err(error) = engine::settings(component, transform.config) {
        failures.push(Finding::of(&place, &error));
    }
    let descriptor = component.descriptor();
    for public in &transform.public_schemas {
        let place = format!("{}:{}", manifest.file, public.at.line);
        let (name, version) = (&public.name, public.version);
        let found =
            descriptor.public_schemas.iter().find(|found| *found.name == **name && found.major == version.major);
        let Some(found) = found else {
            failures.push(Finding::new(
                format!(
                    "{place}: component {} does not publish `{name}` {}.{}; it publishes {}",
                    transform.config.component.display(),
                    version.major,
                    version.minor,
                    published(&descriptor.public_schemas)
                ),
                Some("correct `name` and `version`, or build the component anew".to_owned()),
            ));
            continue;
        };
        if found.minor != version.minor {
            failures.push(Finding::new(
                format!(
                    "{place}: public schema `{name}` is {}.{} in the manifest and {}.{} in the component",
                    version.major, version.minor, found.major, found.minor
                ),
                Some(format!(
                    "write `version: {{ major: {}, minor: {} }}`, or build the component anew",
                    found.major, found.minor
                )),
            ));
        }
        if let Some(output) = &public.output_schema {
            let differences = super::output_schema::differences(&output.schema, found);
            failures.extend(differences.into_iter().map(|difference| {
                Finding::new(
                    format!("{}:{}: outputSchema of `{name}`: {difference}", manifest.file, output.at.line),
                    Some("correct `outputSchema`, or leave it out: the component says it already".to_owned()),
                )
            }));
        }
    }
    if transform.config.parallel > 1 && descriptor.whole_transactions {
        failures.push(Finding::new(
            format!("{place}: `parallel` does not go together with a transform that takes whole transactions"),
            Some("remove `parallel`".to_owned()),
        ));
    } else if transform.config.parallel > 1 && !descriptor.parallel {
        failures.push(Finding::new(
            format!("{place}: transform `{}` does not allow several instances", descriptor.name),
            Some("remove `parallel`, or allow it in the transform's descriptor".to_owned()),
        ));
    }
    if !failures.is_empty() {
        return Err(failures);
    }
    let compiled = if component.compiled_from_cache() { "compiled before" } else { "compiled" };
    Ok(format!(
        "{}: {} {}, publishes {}; {compiled} in {} ms; imports {}.",
        transform.config.component.display(),
        descriptor.name,
        descriptor.version,
        published(&descriptor.public_schemas),
        component.compile_time().as_millis(),
        if component.imports().is_empty() { "nothing".to_owned() } else { component.imports().join(", ") },
    ))
}

fn published(schemas: &[PublicSchema]) -> String {
    if schemas.is_empty() {
        return "nothing".to_owned();
    }
    schemas.iter().map(|s| format!("`{}` {}.{}", s.name, s.major, s.minor)).collect::<Vec<_>>().join(", ")
}
