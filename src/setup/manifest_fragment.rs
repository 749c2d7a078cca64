//! The part of a manifest that says what was prepared, to be pasted.

use std::fmt::Write;

use super::target::SourceTarget;
use super::wish::Job;
use crate::manifest::SslMode;
use crate::postgres::publication::Wanted;

/// Returns `connections` and `dataStores` for a source. The password is named, not told.
pub fn fragment(job: &Job, source: &SourceTarget) -> String {
    let to = &job.connection;
    let user = job.role.as_ref().map_or(&to.user, |role| &role.name);
    let mut out = String::from("connections:\n  - slug: source\n    config:\n      connectionType: postgres\n");
    let mut field = |name: &str, value: &str| writeln!(out, "      {name}: {value}").expect("writing to a String");
    field("host", &text(&to.host));
    field("port", &to.port.to_string());
    field("database", &text(&to.database));
    field("user", &text(user));
    field("password", "${PELTON_SOURCE_PASSWORD}");
    field("sslmode", ssl_mode(to.sslmode));
    for (name, path) in [("sslrootcert", &to.sslrootcert), ("sslcert", &to.sslcert), ("sslkey", &to.sslkey)] {
        if let Some(path) = path {
            field(name, &text(&path.display().to_string()));
        }
    }
    out.push_str("dataStores:\n  - connectionSlug: source\n    config:\n");
    writeln!(out, "      connectionType: postgres\n      slotName: {}", text(&source.slot))
        .expect("writing to a String");
    writeln!(out, "      publicationName: {}", text(&source.publication)).expect("writing to a String");
    let tables = source.named();
    match source.wanted {
        Wanted::Listed(_) if !tables.is_empty() => {
            out.push_str("      tables:\n");
            for table in tables {
                writeln!(out, "        - {}", text(&table.to_string())).expect("writing to a String");
            }
        }
        Wanted::All if source.asked.schemas.is_empty() => out.push_str("      allTables: true\n"),
        // The tables of some schemas are those that public schemas read.
        _ => {}
    }
    out
}

/// A string of YAML that no character in it can end, and no variable is put into.
fn text(value: &str) -> String {
    let mut out = String::from("\"");
    for c in value.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => write!(out, "\\u{:04X}", u32::from(c)).expect("writing to a String"),
            c => out.push(c),
        }
    }
    out.push('"');
    out.replace("${", "$${")
}

pub fn ssl_mode(mode: SslMode) -> &'static str {
    match mode {
        SslMode::Disable => "disable",
        SslMode::Prefer => "prefer",
        SslMode::Require => "require",
        SslMode::VerifyCa => "verify-ca",
        SslMode::VerifyFull => "verify-full",
    }
}
