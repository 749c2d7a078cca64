//! Manifests as text, and what becomes of them.

mod cross;
mod documents;
mod fields;
mod random;
mod secrets;
mod together;
mod valid;

use std::io;
use std::path::Path;

use super::*;

/// An outside of a few variables and files.
struct Outside;

impl Environment for Outside {
    fn variable(&self, name: &str) -> Result<Option<String>, NotText> {
        Ok(match name {
            "SOURCE_URL" => Some("postgres://me:hunter2@source/shop".to_owned()),
            "WAREHOUSE_URL" => Some("postgres://me:hunter2@warehouse/shop".to_owned()),
            "PORT" => Some("6000".to_owned()),
            "WORD" => Some("hunter2".to_owned()),
            "REJOT_SYNC_SERVICE_rented" => Some("rented:4000".to_owned()),
            "PELTON_SYNC_SERVICE__TEAM_MY_SHOP" => Some("https://team/pelton".to_owned()),
            "PELTON_SYNC_SERVICE__TEAM_MY_SHOP_TOKEN_FILE" => Some("/m/pw".to_owned()),
            "PELTON_SYNC_SERVICE_WRONG" => Some("http://me:hunter2@wrong:1".to_owned()),
            _ => None,
        })
    }

    fn secret_file(&self, path: &Path) -> io::Result<String> {
        match path.to_str() {
            Some("/m/pw") => Ok("hunter2\n".to_owned()),
            Some("/m/url") => Ok("postgres://me:hunter2@source/shop\r\n".to_owned()),
            Some("/m/empty") => Ok("\n".to_owned()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

fn read(text: &str) -> Result<Manifest, Problems> {
    parse(text.as_bytes(), &Origin { file: "m.yaml".to_owned(), folder: "/m".into() }, &Outside)
}

#[track_caller]
fn valid(text: &str) -> Manifest {
    read(text).unwrap_or_else(|problems| panic!("{problems}"))
}

/// Prints every problem as `line «what stands there» CODE message`, a hint on a line of its own behind `→`.
fn problems(text: &str) -> String {
    let problems = match read(text) {
        Ok(manifest) => manifest.warnings,
        Err(problems) => problems.0,
    };
    let print = |p: &Problem| {
        let hint = p.hint.as_deref().map(|hint| format!("  → {hint}\n")).unwrap_or_default();
        let line = text.lines().nth(p.at.line as usize - 1).unwrap_or_default();
        let there: String = line.chars().skip(p.at.column as usize - 1).take_while(|c| !" ,:]}".contains(*c)).collect();
        format!("{} «{there}» {} {}\n{hint}", p.at.line, p.code.as_str(), p.message)
    };
    problems.iter().map(print).collect()
}

/// Holds the problems of a manifest against lines, each trimmed.
#[track_caller]
fn check(text: &str, expected: &str) {
    let plain = |text: &str| text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
    let found = problems(text);
    assert_eq!(plain(&found), plain(expected), "\n--- found:\n{found}");
}

/// A small valid manifest of which tests replace a piece.
const SMALL: &str = r#"slug: shop
connections:
  - slug: source
    config: { connectionType: postgres, host: db, user: me }
  - slug: warehouse
    config: { connectionType: postgres, url: "${WAREHOUSE_URL}" }
dataStores:
  - connectionSlug: source
    config: { tables: [public.orders] }
  - connectionSlug: warehouse
publicSchemas:
  - name: orders
    version: { major: 1, minor: 0 }
    source: { dataStoreSlug: source }
    config: { publicSchemaType: table, table: public.orders }
consumerSchemas:
  - name: flow
    sourceManifestSlug: shop
    publicSchema: { name: orders, majorVersion: 1 }
    config: { consumerSchemaType: table, destinationDataStoreSlug: warehouse, table: orders }
"#;

/// Replaces a piece of [`SMALL`], which must be there.
#[track_caller]
fn small(from: &str, to: &str) -> String {
    assert!(SMALL.contains(from), "{from}");
    SMALL.replacen(from, to, 1)
}

/// Checks [`SMALL`] with a piece of it replaced.
#[track_caller]
fn changed(from: &str, to: &str, expected: &str) {
    check(&small(from, to), expected);
}
