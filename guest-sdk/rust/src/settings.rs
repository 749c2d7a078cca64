//! Settings: what the manifest tells a transform.

use crate::error::{Error, Result};
use crate::model::Attrs;

/// One declared setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    pub name: &'static str,
    pub required: bool,
    pub default: Option<&'static str>,
    /// The field's doc comment.
    pub doc: &'static str,
}

/// A struct that the manifest's `settings` fill. Derived by `#[derive(Settings)]`.
///
/// A plain field is required, `#[setting(default = "…")]` gives it a default, an `Option` may be left out. Texts are
/// read with [`FromStr`](std::str::FromStr).
pub trait Settings: Sized {
    const SETTINGS: &'static [Setting];

    /// Reads the settings.
    ///
    /// # Errors
    /// [`Error::Fatal`] naming the setting that is missing or that can't be read.
    fn read(given: &Attrs) -> Result<Self>;
}

/// A transform without settings.
impl Settings for () {
    const SETTINGS: &'static [Setting] = &[];

    fn read(_: &Attrs) -> Result<()> {
        Ok(())
    }
}

/// Reads one setting; called by what `#[derive(Settings)]` makes.
#[doc(hidden)]
pub fn read_setting<T>(given: &Attrs, setting: &Setting, expected: Option<&str>) -> Result<Option<T>>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    let text = given.iter().find(|(name, _)| name == setting.name).map(|(_, text)| text.as_str());
    match text.or(setting.default) {
        // An error does not show the text itself: a setting may be a secret.
        Some(text) => text.parse().map(Some).map_err(|e| match expected {
            Some(expected) => Error::fatal(format_args!("setting `{}` must be {expected}", setting.name)),
            None => Error::fatal(format_args!("setting `{}` can't be read: {e}", setting.name)),
        }),
        None if setting.required => {
            Err(Error::fatal(format_args!("setting `{}` is missing: {}", setting.name, setting.doc)))
        }
        None => Ok(None),
    }
}
