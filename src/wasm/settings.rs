//! A manifest's settings held against those that a transform knows.

use std::fmt;

use super::Descriptor;

/// What is wrong with a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingProblem {
    Missing { name: String, doc: String },
    Unknown { name: String, nearest: Option<String> },
}

impl fmt::Display for SettingProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SettingProblem::Missing { name, doc } if doc.is_empty() => write!(f, "setting `{name}` is required"),
            SettingProblem::Missing { name, doc } => write!(f, "setting `{name}` is required: {doc}"),
            SettingProblem::Unknown { name, nearest: Some(nearest) } => {
                write!(f, "the transform knows no setting `{name}`; did you mean `{nearest}`?")
            }
            SettingProblem::Unknown { name, nearest: None } => write!(f, "the transform knows no setting `{name}`"),
        }
    }
}

/// Returns the settings that a transform is started with, defaults filled in, in the descriptor's order.
///
/// # Errors
/// All problems at once: what is required and absent, and what the transform does not know.
pub fn check_settings(
    descriptor: &Descriptor,
    given: &[(String, String)],
) -> Result<Vec<(String, String)>, Vec<SettingProblem>> {
    let mut effective = Vec::with_capacity(descriptor.settings.len());
    let mut problems = Vec::new();
    for setting in &descriptor.settings {
        let value = given.iter().find(|(name, _)| *name == setting.name).map(|(_, value)| value);
        match value.or(setting.default.as_ref()) {
            Some(value) => effective.push((setting.name.clone(), value.clone())),
            None if setting.required => {
                problems.push(SettingProblem::Missing { name: setting.name.clone(), doc: setting.doc.clone() });
            }
            None => {}
        }
    }
    for (name, _) in given {
        if !descriptor.settings.iter().any(|setting| setting.name == *name) {
            let names = descriptor.settings.iter().map(|setting| &setting.name[..]);
            problems.push(SettingProblem::Unknown { name: name.clone(), nearest: nearest(name, names) });
        }
    }
    if problems.is_empty() { Ok(effective) } else { Err(problems) }
}

fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    known
        .map(|candidate| (strsim::osa_distance(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().max(name.len()) / 3)
        .min()
        .map(|(_, candidate)| candidate.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::{Encoding, Setting};
    use super::*;

    fn check(given: &[(&str, &str)]) -> String {
        let setting = |name: &str, required, default: Option<&str>, doc: &str| Setting {
            name: name.into(),
            required,
            default: default.map(Into::into),
            doc: doc.into(),
        };
        let descriptor = Descriptor {
            name: "orders".into(),
            version: "1".into(),
            encoding: Encoding::MessagePack,
            subscriptions: vec![],
            public_schemas: vec![],
            settings: vec![
                setting("currency", true, None, "an ISO 4217 code"),
                setting("rounding", true, Some("even"), ""),
                setting("note", false, None, ""),
            ],
            parallel: false,
            whole_transactions: false,
            stateful: false,
            state_version: 0,
            attrs: vec![],
        };
        let given: Vec<_> = given.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
        match check_settings(&descriptor, &given) {
            Ok(settings) => settings.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join(" "),
            Err(problems) => problems.iter().map(|p| p.to_string()).collect::<Vec<_>>().join("; "),
        }
    }

    #[test]
    fn settings_are_filled_in_and_all_problems_are_named() {
        assert_eq!(check(&[("currency", "EUR")]), "currency=EUR rounding=even");
        assert_eq!(check(&[("note", "x"), ("currency", "EUR"), ("rounding", "up")]), "currency=EUR rounding=up note=x");
        assert_eq!(
            check(&[("curency", "EUR"), ("whatever", "1")]),
            "setting `currency` is required: an ISO 4217 code; the transform knows no setting `curency`; \
             did you mean `currency`?; the transform knows no setting `whatever`"
        );
    }
}
