//! Words for people on stdout: counted, and coloured where it is a terminal.

use std::io::IsTerminal;

pub const RED: &str = "\u{1b}[31m";
pub const GREEN: &str = "\u{1b}[32m";
pub const DIM: &str = "\u{1b}[2m";
const PLAIN: &str = "\u{1b}[0m";

/// Colours a text on a terminal.
pub fn coloured(colour: &str, text: &str) -> String {
    match std::io::stdout().is_terminal() {
        true => format!("{colour}{text}{PLAIN}"),
        false => text.to_owned(),
    }
}

/// Returns `1 row`, `2 rows`.
pub fn counted(count: impl TryInto<u64>, what: &str) -> String {
    let count = count.try_into().unwrap_or(u64::MAX);
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
