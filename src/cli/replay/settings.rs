//! What transforms are started with: settings and limits of fixtures, of the manifest, and of the command line.

use std::path::Path;
use std::sync::Arc;

use crate::change::Relation;
use crate::cli::files;
use crate::cli::report::Failure;
use crate::engine;
use crate::fixture::Fixture;
use crate::manifest::{self, Manifest, nearest};
use crate::rehearse::Setup;
use crate::wasm::{Descriptor, Limits};

/// Settings for transforms that run apart from the line.
#[derive(Clone, Debug, clap::Args)]
pub struct Given {
    /// A setting of the transform, before what the fixture or the manifest says; it can be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    setting: Vec<(String, String)>,

    /// Take settings and limits from this transform of the manifest, by a public schema of it or its component's file
    #[arg(long, value_name = "NAME")]
    transform: Option<String>,
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("a setting is written NAME=VALUE, as currency=EUR".to_owned()),
    }
}

/// The same, with what the manifest says.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    typed: Vec<(String, String)>,
    /// Of the manifest's transform.
    of_transform: Option<(Vec<(String, String)>, Limits)>,
}

impl Given {
    /// Reads what the manifest says of the transform that was named; `manifest_is_read` for something else, too.
    ///
    /// # Errors
    /// The manifest's problems, and a transform that it does not have.
    pub fn read(&self, manifest: Option<&Path>, manifest_is_read: bool) -> Result<Settings, Failure> {
        let of_transform = match &self.transform {
            Some(name) => Some(of_manifest(&files::load_one(manifest)?, name)?),
            None if manifest.is_some() && !manifest_is_read => {
                let hint = "name one of its transforms with --transform, for its settings, or leave --manifest out";
                return Err(Failure::new("nothing is asked of the manifest", Some(hint.to_owned())));
            }
            None => None,
        };
        Ok(Settings { typed: self.setting.clone(), of_transform })
    }
}

fn of_manifest(manifest: &Manifest, name: &str) -> Result<(Vec<(String, String)>, Limits), Failure> {
    let transforms = manifest.transforms();
    let names = |transform: &manifest::Transform<'_>| -> Vec<String> {
        let flows = transform.public_schemas.iter().map(|one| format!("{}@{}", one.name, one.version.major));
        let file = transform.config.component.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        flows.chain(file).collect()
    };
    let is_called = |transform: &&manifest::Transform<'_>| {
        names(transform).iter().any(|one| one == name || one.rsplit_once('@').is_some_and(|(first, _)| first == name))
    };
    let found: Vec<_> = transforms.iter().filter(is_called).collect();
    let all = |of: &mut dyn Iterator<Item = &manifest::Transform<'_>>| {
        of.map(|transform| names(transform).swap_remove(0)).collect::<Vec<_>>()
    };
    match &found[..] {
        [one] => Ok((one.config.settings.clone(), engine::limits(one.config))),
        [] => {
            let names = all(&mut transforms.iter());
            let hint = match nearest(name, names.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None if names.is_empty() => "it has no public schema with `publicSchemaType: wasm`".to_owned(),
                None => format!("it has {}", names.join(", ")),
            };
            Err(Failure::new(format!("manifest `{}` has no transform `{name}`", manifest.slug), Some(hint)))
        }
        several => {
            let hint = format!("name one of them: {}", all(&mut several.iter().copied()).join(", "));
            Err(Failure::new(format!("`{name}` names several transforms"), Some(hint)))
        }
    }
}

impl Settings {
    /// Returns what each of these transforms is started with. A setting that only one of them knows is given to that one.
    pub fn setups(&self, all: &[Descriptor], fixture: Option<&Fixture>, relations: &[Arc<Relation>]) -> Arc<[Setup]> {
        let of_fixture = fixture.map_or(&[][..], |fixture| &fixture.settings);
        let below = self.of_transform.as_ref().map_or(of_fixture, |(settings, _)| settings);
        let typed = |name: &str| self.typed.iter().any(|(other, _)| other == name);
        let below = below.iter().filter(|(name, _)| !typed(name));
        let given: Vec<(String, String)> = below.chain(&self.typed).cloned().collect();
        let setup = |descriptor: &Descriptor| {
            let knows = |descriptor: &Descriptor, name: &str| descriptor.settings.iter().any(|one| one.name == name);
            let wanted =
                |(name, _): &&(String, String)| knows(descriptor, name) || !all.iter().any(|other| knows(other, name));
            let settings = given.iter().filter(wanted).cloned().collect();
            Setup { settings, limits: self.limits(fixture), relations: relations.to_vec() }
        };
        all.iter().map(setup).collect()
    }

    fn limits(&self, fixture: Option<&Fixture>) -> Limits {
        if let Some((_, limits)) = &self.of_transform {
            return *limits;
        }
        let default = Limits::default();
        let of = |read: fn(&Fixture) -> Option<u32>| fixture.and_then(read);
        Limits {
            memory_mib: of(|fixture| fixture.memory_mib).unwrap_or(default.memory_mib),
            timeout_ms: of(|fixture| fixture.timeout_ms).unwrap_or(default.timeout_ms),
        }
    }
}
