//! Secrets: a text, or a file that holds it. Whatever is wrong with one is told without it.

use std::path::Path;

use super::fields::{Field, Kind, Object};
use super::node::{self, Node};
use super::problem::Code;
use super::scalar::resolve;
use super::shape::{Shaped, Shaper, Value, subject};
use super::url::Parts;

impl Shaper<'_> {
    /// Reads a secret: a text, or what the file that it names holds.
    pub(super) fn secret_text(&mut self, kind: &Kind, node: &Node, path: &str) -> Option<String> {
        match &node.value {
            // The name of a variable or a file tells nothing, and is what its problem is about.
            node::Value::Text(text) if is_bare_variable(text) => {}
            node::Value::Map(_) => {}
            _ => self.report.mask(node.at, node.end),
        }
        static FILE: Object = Object {
            name: "secret file",
            doc: "A secret in a file of its own.",
            fields: &[Field::new("file", Kind::Path, "The file that holds the secret; a line break at its end is cut")
                .required()],
            any_of: &[],
            example: "{ file: /run/secrets/x }",
        };
        let text = match &node.value {
            node::Value::Map(_) => {
                let shaped = self.object(&FILE, node, path);
                let file = shaped.get("file").and_then(Shaped::path_buf)?;
                self.secret_file(&file, node, path)?
            }
            // ReJot's way to say that there is none.
            node::Value::Text(text) if text.is_empty() && matches!(kind, Kind::Secret) => return Some(String::new()),
            _ => self.text(kind, node, path)?.text,
        };
        if text.is_empty() || text.contains('\0') {
            let message = format!("{}: the secret is empty or holds a NUL", subject(path));
            let hint = Some("fill it in, or leave the field out".to_owned());
            self.report.error(node.at, path, Code::BadValue, message, hint);
            return None;
        }
        Some(text)
    }

    fn secret_file(&mut self, file: &Path, node: &Node, path: &str) -> Option<String> {
        match self.environment.secret_file(file) {
            Ok(text) => {
                let cut = text.strip_suffix('\n').map(|text| text.strip_suffix('\r').unwrap_or(text));
                Some(cut.unwrap_or(&text).to_owned())
            }
            Err(error) => {
                let message = format!("{}: cannot read the secret in {}: {error}", subject(path), file.display());
                let hint = Some(
                    "relative paths begin at the manifest's folder; check that the file is there and readable"
                        .to_owned(),
                );
                self.report.error(node.at, path, Code::SecretUnreadable, message, hint);
                None
            }
        }
    }

    pub(super) fn url(&mut self, kind: &Kind, node: &Node, path: &str) -> Option<Value> {
        let text = self.secret_text(kind, node, path)?;
        Some(match Parts::from_url(&text) {
            Ok(mut parts) => {
                // `system` is no file.
                for file in [&mut parts.sslrootcert, &mut parts.sslcert, &mut parts.sslkey].into_iter().flatten() {
                    if file.as_os_str() != "system" {
                        *file = resolve(self.folder, file);
                    }
                }
                Value::Url(parts)
            }
            Err(error) => self.bad(node, path, error.to_string(), error.hint()),
        })
    }
}

/// Returns true for `${NAME}` and nothing else.
fn is_bare_variable(text: &str) -> bool {
    let name = text.strip_prefix("${").and_then(|text| text.strip_suffix('}'));
    name.is_some_and(|name| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
}
