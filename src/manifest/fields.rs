//! The vocabulary in which a manifest is described: objects, their fields, and what a field may hold.
//!
//! One description ([`super::description::MANIFEST`]) drives the parser, the JSON Schema for editors and the reference
//! in `docs/manifest.md`, so the three can't disagree.

/// A map with known fields.
pub(crate) struct Object {
    /// Its name in the JSON Schema and the reference.
    pub name: &'static str,
    pub doc: &'static str,
    pub fields: &'static [Field],
    /// When not empty: at least one of these sets of fields must be there.
    pub any_of: &'static [&'static [&'static str]],
    pub example: &'static str,
}

pub(crate) struct Field {
    pub name: &'static str,
    /// Its first sentence stands alone: it is the hint where the field is missing.
    pub doc: &'static str,
    pub kind: Kind,
    pub required: bool,
    /// What holds where the field is left out, in words or as JSON.
    pub default: Option<&'static str>,
}

/// What a field may hold.
pub(crate) enum Kind {
    Text(Rule),
    /// One of some words.
    Choice(&'static [Choice]),
    Bool,
    /// A whole number within bounds.
    Integer {
        min: u64,
        max: u64,
    },
    /// A size in bytes, with its unit.
    Size,
    /// A time span in seconds, with its unit.
    Age,
    /// A path, relative to the manifest's folder.
    Path,
    /// The name of a table.
    Table,
    /// Text that nobody may see, or `{ file: … }`.
    Secret,
    /// A connection URL, or `{ file: … }`.
    Url,
    Object(&'static Object),
    Variant(&'static Variant),
    List(&'static Kind),
    /// Names and texts, as a transform takes them.
    Settings,
    /// A projection: names of columns, and single pairs `public name: source column`.
    Columns,
    /// JSON of any shape, taken as it is.
    Json,
}

pub(crate) struct Choice {
    pub name: &'static str,
    pub doc: &'static str,
    /// False for what is read and yet not supported.
    pub supported: bool,
}

/// Objects of which a tag field picks one.
pub(crate) struct Variant {
    pub tag: &'static str,
    pub doc: &'static str,
    pub cases: &'static [(&'static str, &'static Object)],
    /// The case where the tag is left out.
    pub default: Option<&'static str>,
}

/// What a text must look like.
pub(crate) struct Rule {
    /// Completes "expected …".
    pub expected: &'static str,
    /// The same as a regular expression for editors; [`Rule::holds`] is what decides.
    pub pattern: Option<&'static str>,
    pub holds: fn(&str) -> bool,
    /// What to do about a text that does not hold.
    pub hint: &'static str,
    /// A text that does not hold may have a secret in it, and is not shown.
    pub secret: bool,
}

impl Field {
    pub const fn new(name: &'static str, kind: Kind, doc: &'static str) -> Field {
        Field { name, doc, kind, required: false, default: None }
    }

    pub const fn required(mut self) -> Field {
        self.required = true;
        self
    }

    pub const fn or(mut self, default: &'static str) -> Field {
        self.default = Some(default);
        self
    }

    /// Returns the first sentence of the doc, without its full stop.
    pub fn summary(&self) -> &'static str {
        self.doc.split(". ").next().unwrap_or(self.doc).trim_end_matches('.')
    }
}

impl Object {
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

impl Kind {
    /// Names what is expected, for "expected …, found …".
    pub fn expected(&self) -> &'static str {
        match self {
            Kind::Text(_) => "text",
            Kind::Choice(_) => "a word",
            Kind::Bool => "`true` or `false`",
            Kind::Integer { .. } => "a whole number",
            Kind::Size => "a size such as `10GB`",
            Kind::Age => "a time span such as `30d`",
            Kind::Path => "a path",
            Kind::Table => "the name of a table",
            Kind::Secret | Kind::Url => "text or `{ file: … }`",
            Kind::Object(_) | Kind::Variant(_) => "a map",
            Kind::List(_) => "a list",
            Kind::Settings => "a map of names and texts",
            Kind::Columns => "a list of columns",
            Kind::Json => "a JSON Schema",
        }
    }
}

const fn rule(expected: &'static str, pattern: &'static str, holds: fn(&str) -> bool, hint: &'static str) -> Kind {
    Kind::Text(Rule { expected, pattern: Some(pattern), holds, hint, secret: false })
}

/// Any text.
pub(crate) const fn any_text() -> Kind {
    Kind::Text(Rule { expected: "text", pattern: None, holds: |_| true, hint: "", secret: false })
}

/// Text that is not empty.
pub(crate) const fn some_text() -> Kind {
    rule("text that is not empty", r"\S", |text| !text.trim().is_empty(), "fill it in, or leave the field out")
}

/// A name as it goes into `varchar(255)`.
pub(crate) const fn name() -> Kind {
    rule("a name of 1 to 255 characters", r"^\S(.{0,253}\S)?$", is_name, "no spaces at the ends, no line breaks")
}

/// ReJot's rule for the slug of a manifest.
pub(crate) const fn manifest_slug() -> Kind {
    let hint = "use a-z, 0-9 and `-`, such as `shop` or `@team/shop`";
    rule("a slug", r"^(@[a-z0-9-]+/([a-z0-9-]*)|[a-z0-9-]+)$", is_manifest_slug, hint)
}

/// Postgres's rule for replication slots; ReJot has the same for publications.
pub(crate) const fn slot_name() -> Kind {
    let hint = "use a-z, 0-9 and `_`, such as `pelton_shop`";
    rule("1 to 63 of a-z, 0-9 and `_`", "^[a-z0-9_]{1,63}$", is_slot_name, hint)
}

/// The address of a service.
pub(crate) const fn service_url() -> Kind {
    let hint = "write for example https://shop.example.com:3000, and a token into `token`";
    Kind::Text(Rule {
        expected: "the address of a service",
        pattern: Some(r"^(https?://[^\s@?#]+|[^\s@?#/]+:[0-9]+)$"),
        holds: is_service_url,
        hint,
        secret: true,
    })
}

fn is_service_url(text: &str) -> bool {
    text.parse::<super::service::ServiceUrl>().is_ok()
}

fn is_name(text: &str) -> bool {
    text.trim() == text && (1..=255).contains(&text.chars().count()) && !text.contains(char::is_control)
}

pub(crate) fn is_manifest_slug(text: &str) -> bool {
    let of_slug = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    match text.strip_prefix('@') {
        Some(scoped) => {
            scoped.split_once('/').is_some_and(|(scope, name)| !scope.is_empty() && of_slug(scope) && of_slug(name))
        }
        None => !text.is_empty() && of_slug(text),
    }
}

/// Returns true for what Postgres takes as the name of a replication slot.
pub(crate) fn is_slot_name(text: &str) -> bool {
    (1..=63).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Reads a size such as `10GB`, in Postgres's units: 1kB is 1,024 bytes.
pub fn size_bytes(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let factor: u64 = match unit.trim_start().to_ascii_lowercase().as_str() {
        "b" => 1,
        "kb" | "kib" => 1 << 10,
        "mb" | "mib" => 1 << 20,
        "gb" | "gib" => 1 << 30,
        "tb" | "tib" => 1 << 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor).filter(|bytes| *bytes > 0)
}

/// Reads a time span such as `30d`, in seconds.
pub fn age_seconds(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let factor: u64 = match unit.trim_start() {
        "s" => 1,
        "min" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor).filter(|seconds| *seconds <= i32::MAX as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_follow_rejots_rule() {
        for good in ["shop", "a-1", "@team/shop", "@team/", "-"] {
            assert!(is_manifest_slug(good), "{good}");
        }
        for bad in ["", "Shop", "a_b", "a/b", "@team", "@/a", "@a/b/c", "a b"] {
            assert!(!is_manifest_slug(bad), "{bad}");
        }
    }

    #[test]
    fn sizes_have_postgress_units() {
        for (text, bytes) in [("10GB", 10 << 30), ("1 kB", 1024), ("5mib", 5 << 20), ("7B", 7), ("1TB", 1 << 40)] {
            assert_eq!(size_bytes(text), Some(bytes), "{text}");
        }
        for bad in ["", "10", "GB", "0GB", "-1GB", "1.5GB", "1PB", "99999999999TB", "1 0GB"] {
            assert_eq!(size_bytes(bad), None, "{bad}");
        }
    }
}
