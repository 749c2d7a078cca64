//! Holds components against the manifest that names them.

use std::path::PathBuf;
use std::sync::Arc;

use super::diagnostic::{COMPONENT_MISMATCH, Diagnostic};
use crate::change::PublicSchema;
use crate::engine::{self, Chain, EngineError};
use crate::manifest::{Manifest, Place, Transform};
use crate::wasm::{self, Descriptor};

/// What came of checking one transform.
pub struct Checked {
    /// The component's file.
    pub file: PathBuf,
    /// `None` when it can't be loaded.
    pub descriptor: Option<Descriptor>,
    /// What it is, in one sentence, or everything that is wrong.
    pub told: Result<String, Vec<Diagnostic>>,
}

/// Checks a manifest's transforms, one after the other.
pub async fn transforms(host: &Arc<wasm::Host>, manifest: &Manifest) -> Vec<Checked> {
    let mut all = Vec::new();
    for transform in manifest.transforms() {
        let file = transform.config.component.clone();
        let (descriptor, told) = match engine::component(host, transform.config).await {
            Ok(component) => (Some(component.descriptor().clone()), check_transform(&component, manifest, &transform)),
            Err(error) => (None, Err(vec![About(manifest).error(transform.config.at, &error)])),
        };
        all.push(Checked { file, descriptor, told });
    }
    all
}

/// Makes the findings of one manifest.
struct About<'a>(&'a Manifest);

impl About<'_> {
    fn at(&self, at: Place, what: String, hint: Option<String>) -> Diagnostic {
        Diagnostic::error(COMPONENT_MISMATCH, self.0, Some(at), what, hint)
    }

    fn error(&self, at: Place, error: &EngineError) -> Diagnostic {
        self.at(at, Chain(error).to_string(), error.hint())
    }
}

fn check_transform(
    component: &wasm::Component,
    manifest: &Manifest,
    transform: &Transform<'_>,
) -> Result<String, Vec<Diagnostic>> {
    let (about, at) = (About(manifest), transform.config.at);
    let mut failures = Vec::new();
    if let Err(error) = engine::settings(component, transform.config) {
        failures.push(about.error(at, &error));
    }
    let descriptor = component.descriptor();
    for public in &transform.public_schemas {
        let (name, version) = (&public.name, public.version);
        let found =
            descriptor.public_schemas.iter().find(|found| *found.name == **name && found.major == version.major);
        let Some(found) = found else {
            failures.push(about.at(
                public.at,
                format!(
                    "component {} does not publish `{name}` {}.{}; it publishes {}",
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
            failures.push(about.at(
                public.at,
                format!(
                    "public schema `{name}` is {}.{} in the manifest and {}.{} in the component",
                    version.major, version.minor, found.major, found.minor
                ),
                Some(format!(
                    "write `version: {{ major: {}, minor: {} }}`, or build the component anew",
                    found.major, found.minor
                )),
            ));
        }
        if let Some(output) = &public.output_schema {
            let differences = engine::differences(&output.schema, found);
            failures.extend(differences.into_iter().map(|difference| {
                about.at(
                    output.at,
                    format!("outputSchema of `{name}`: {difference}"),
                    Some("correct `outputSchema`, or leave it out: the component says it already".to_owned()),
                )
            }));
        }
    }
    if transform.config.parallel > 1 && descriptor.whole_transactions {
        failures.push(about.at(
            at,
            "`parallel` does not go together with a transform that takes whole transactions".to_owned(),
            Some("remove `parallel`".to_owned()),
        ));
    } else if transform.config.parallel > 1 && !descriptor.parallel {
        failures.push(about.at(
            at,
            format!("transform `{}` does not allow several instances", descriptor.name),
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
