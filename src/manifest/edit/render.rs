//! Writes a value as YAML, in block or flow style, or as JSON.

use serde_json::Value;

/// Writes a value on one line.
pub fn flow(value: &Value, json: bool) -> String {
    match value {
        Value::Object(fields) if fields.is_empty() => "{}".to_owned(),
        Value::Object(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|(name, value)| format!("{}: {}", scalar(name, json), flow(value, json))).collect();
            format!("{{ {} }}", fields.join(", "))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| flow(item, json)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::String(text) => scalar(text, json),
        other => other.to_string(),
    }
}

/// Writes a value over several lines as JSON; lines behind the first one begin with `indent`.
pub fn pretty(value: &Value, indent: &str, unit: &str) -> String {
    let inner = format!("{indent}{unit}");
    let lines = |open: char, items: Vec<String>, close: char| {
        format!("{open}\n{inner}{}\n{indent}{close}", items.join(&format!(",\n{inner}")))
    };
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            let field = |(name, value): (&String, &Value)| {
                format!("{}: {}", Value::String(name.clone()), pretty(value, &inner, unit))
            };
            lines('{', fields.iter().map(field).collect(), '}')
        }
        Value::Array(items) if !items.is_empty() => {
            lines('[', items.iter().map(|item| pretty(item, &inner, unit)).collect(), ']')
        }
        other => other.to_string(),
    }
}

/// Writes a value in block style, as it stands behind `name:` or `-`: what begins on the same line begins with a space.
/// Further lines begin with `indent`.
pub fn block(value: &Value, indent: &str) -> String {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            fields.iter().map(|(name, value)| format!("\n{indent}{}", field(name, value, indent))).collect()
        }
        Value::Array(items) if !items.is_empty() => {
            items.iter().map(|item| format!("\n{indent}{}", self::item(item, indent))).collect()
        }
        Value::String(text) if is_literal(text) => {
            let lines = text.lines().map(|line| match line {
                "" => "\n".to_owned(),
                line => format!("\n{indent}{line}"),
            });
            format!(" |-{}", lines.collect::<String>())
        }
        other => format!(" {}", flow(other, false)),
    }
}

/// Writes a field of a map whose fields begin with `indent`, without that indent.
pub fn field(name: &str, value: &Value, indent: &str) -> String {
    format!("{}:{}", scalar(name, false), block(value, &format!("{indent}  ")))
}

/// Writes an item of a list whose dashes begin with `indent`, without that indent.
pub fn item(item: &Value, indent: &str) -> String {
    let inner = format!("{indent}  ");
    match item {
        // The first field stands beside the dash.
        Value::Object(fields) if !fields.is_empty() => {
            let written = block(item, &inner);
            format!("- {}", written.strip_prefix(&format!("\n{inner}")).unwrap_or(&written))
        }
        other => format!("-{}", block(other, &inner)),
    }
}

/// Text over several lines that `|-` gives back as it is.
fn is_literal(text: &str) -> bool {
    let plain = |line: &str| line.trim_end() == line && !line.chars().any(char::is_control);
    text.contains('\n') && !text.starts_with([' ', '\n']) && text.trim_end() == text && text.split('\n').all(plain)
}

fn scalar(text: &str, json: bool) -> String {
    const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_./@-".contains(c))
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    if plain && !json { text.to_owned() } else { Value::String(text.to_owned()).to_string() }
}
