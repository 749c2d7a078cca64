//! Gathers problems, and makes the lines of the file that are shown with them fit to be shown.
//!
//! A line of a manifest may hold a password, and the problem may be just that its key is misspelt. So whoever walks
//! over the manifest marks the values that nobody may see ([`Report::mask`]): secrets, the values of unknown fields,
//! settings of transforms. What is left is cleaned of passwords in URLs and of control characters. Of a file that is
//! no YAML nothing is known, so a line is withheld when a word such as `password` is near.

use super::problem::{Code, Excerpt, Place, Problem, Problems, Severity};

/// Beyond that many nobody reads on; a broken file of some megabytes should not fill the memory.
const PROBLEMS_MAX: usize = 1000;

/// Longer lines are not shown at all: a file that is one line would be gone over once a problem.
const LINE_BYTES_MAX: usize = 4000;

/// The characters of a line that are shown.
const EXCERPT_CHARS_MAX: usize = 120;

/// The characters of a value that a message quotes.
const QUOTED_CHARS_MAX: usize = 60;

/// The problems found so far, and what may not be shown of the file.
#[derive(Default)]
pub(crate) struct Report {
    found: Vec<Found>,
    masks: Vec<(Place, Place)>,
}

struct Found {
    at: Place,
    severity: Severity,
    code: Code,
    path: String,
    message: String,
    hint: Option<String>,
}

impl Report {
    pub fn error(&mut self, at: Place, path: &str, code: Code, message: String, hint: Option<String>) {
        self.push(Found { at, severity: Severity::Error, code, path: path.to_owned(), message, hint });
    }

    pub fn warning(&mut self, at: Place, path: &str, code: Code, message: String, hint: Option<String>) {
        self.push(Found { at, severity: Severity::Warning, code, path: path.to_owned(), message, hint });
    }

    fn push(&mut self, found: Found) {
        if self.found.len() < PROBLEMS_MAX {
            self.found.push(found);
        }
    }

    /// Hides what stands between two places of the file.
    pub fn mask(&mut self, from: Place, to: Place) {
        self.masks.push((from, to));
    }

    pub fn has_errors(&self) -> bool {
        self.found.iter().any(|found| found.severity == Severity::Error)
    }

    /// Turns what was found into problems in the order of the file, each with its line.
    pub fn finish(self, file: &str, text: &str) -> Problems {
        let lines: Vec<&str> = text.lines().collect();
        let last = Place {
            line: (lines.len().max(1)) as u32,
            column: lines.last().map_or(0, |line| line.chars().count()) as u32 + 1,
        };
        let problem = |found: Found| {
            // The parser puts the end of the file on a line of its own.
            let at = if found.at.line > last.line { last } else { found.at };
            let line = lines.get(at.line as usize - 1).copied().unwrap_or_default();
            let at = Place { column: at.column.min(line.chars().count() as u32 + 1), ..at };
            let excerpt = match found.code {
                Code::Syntax if names_secret(&lines, at.line as usize) => None,
                _ if line.len() > LINE_BYTES_MAX => None,
                _ => Some(excerpt(line, at, &self.masks)),
            };
            let Found { severity, code, path, message, hint, .. } = found;
            Problem { file: file.to_owned(), at, severity, code, path, message, hint, excerpt }
        };
        let mut problems: Vec<Problem> = self.found.into_iter().map(problem).collect();
        problems.sort_by_key(|problem| problem.at);
        problems.dedup();
        Problems(problems)
    }
}

/// Returns true when a secret may be on the line or have begun on one of the lines before it.
fn names_secret(lines: &[&str], line: usize) -> bool {
    const WORDS: [&str; 7] = ["pass", "pw", "secret", "token", "key", "url", "://"];
    let near = lines.get(line.saturating_sub(4)..line.min(lines.len())).unwrap_or_default();
    near.iter().any(|line| {
        let line = line.to_lowercase();
        WORDS.iter().any(|word| line.contains(word))
    })
}

/// Makes a line fit to be shown: masked, without passwords in URLs, without control characters, not too long.
fn excerpt(line: &str, at: Place, masks: &[(Place, Place)]) -> Excerpt {
    let mut text = String::new();
    let mut caret = 0;
    let mut masked_before = false;
    let comment = comment(line, at);
    let masks: Vec<_> =
        masks.iter().chain(&comment).filter(|(from, to)| from.line <= at.line && at.line <= to.line).collect();
    for (index, c) in line.chars().enumerate() {
        let here = Place { line: at.line, column: index as u32 + 1 };
        if here.column == at.column {
            caret = text.chars().count();
        }
        let masked = masks.iter().any(|(from, to)| *from <= here && here < *to);
        match (masked, masked_before) {
            (true, true) => {}
            (true, false) => text.push('…'),
            _ => text.push(if c.is_control() && c != '\t' { '\u{fffd}' } else { c }),
        }
        masked_before = masked;
    }
    if at.column as usize > line.chars().count() {
        caret = text.chars().count();
    }
    let (text, caret) = hide_url_password(&text, caret);
    clip(text, caret)
}

/// Returns where a comment behind the caret stands: nobody knows what is in it. What looks like one inside quotes is
/// hidden too.
fn comment(line: &str, at: Place) -> Option<(Place, Place)> {
    let before = line.char_indices().nth(at.column as usize - 1).map_or(line.len(), |(index, _)| index);
    let start = before + line[before..].find(" #")? + 2;
    let column = line[..start].chars().count() as u32 + 1;
    Some((Place { line: at.line, column }, Place { line: at.line, column: u32::MAX }))
}

/// Keeps a window of a long line around the caret.
fn clip(text: String, caret: usize) -> Excerpt {
    let length = text.chars().count();
    if length <= EXCERPT_CHARS_MAX {
        return Excerpt { text, caret };
    }
    let start = caret.saturating_sub(EXCERPT_CHARS_MAX / 2).min(length - EXCERPT_CHARS_MAX);
    let window: String = text.chars().skip(start).take(EXCERPT_CHARS_MAX).collect();
    let before = if start > 0 { "…" } else { "" };
    let after = if start + EXCERPT_CHARS_MAX < length { "…" } else { "" };
    Excerpt { text: format!("{before}{window}{after}"), caret: caret - start + before.chars().count() }
}

/// Replaces what stands between `://` and the last `@` of the same word; moves the caret along.
fn hide_url_password(text: &str, caret: usize) -> (String, usize) {
    let mut hidden = String::with_capacity(text.len());
    let mut rest = text;
    let mut shown_caret = caret;
    while let Some(start) = rest.find("://") {
        let (before, url) = rest.split_at(start + 3);
        hidden.push_str(before);
        let url_end = url.find(|c: char| c.is_whitespace() || c == '"').unwrap_or(url.len());
        rest = match url[..url_end].rfind('@') {
            Some(at) => {
                let from = hidden.chars().count();
                let count = url[..at].chars().count();
                let caret_in_url = shown_caret.checked_sub(from);
                match caret_in_url {
                    Some(inside) if inside < count => shown_caret = from,
                    Some(_) => shown_caret = shown_caret + 1 - count,
                    None => {}
                }
                hidden.push('…');
                &url[at..]
            }
            None => url,
        };
    }
    hidden.push_str(rest);
    (hidden, shown_caret)
}

/// Returns a connection URL that may be shown: without user and password, and without parameters, which may repeat them.
pub fn without_password(url: &str) -> String {
    let (hidden, _) = hide_url_password(url, 0);
    match hidden.split_once('?') {
        Some((address, parameters)) if parameters.to_lowercase().contains("password") => format!("{address}?…"),
        _ => hidden,
    }
}

/// Quotes a text of the file in a message: in backticks, on one line, cut, without passwords in URLs.
pub(crate) fn quoted(text: &str) -> String {
    let (text, _) = hide_url_password(text, 0);
    let mut shown: String = text.chars().take(QUOTED_CHARS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(QUOTED_CHARS_MAX).is_some() {
        shown.push('…');
    }
    // `escape_debug` is for Rust's literals; between backticks quotes need no escape.
    format!("`{}`", shown.replace("\\\"", "\"").replace("\\'", "'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(line: u32, column: u32) -> Place {
        Place { line, column }
    }

    fn shown(line: &str, column: u32, masks: &[(Place, Place)]) -> String {
        let Excerpt { text, caret } = excerpt(line, place(1, column), masks);
        format!("{text}\n{}^", " ".repeat(caret))
    }

    #[test]
    fn masked_values_are_hidden_and_the_caret_stays_right() {
        assert_eq!(shown("pasword: hunter2 # x", 1, &[(place(1, 10), place(1, 17))]), "pasword: … #…\n^");
        assert_eq!(shown("{p: hunter2, q: 1}", 14, &[(place(1, 5), place(1, 12))]), "{p: …, q: 1}\n       ^");
        assert_eq!(shown("second line", 1, &[(place(0, 5), place(2, 1))]), "…\n^");
        assert_eq!(shown("a\u{1b}[2J: b", 99, &[]), "a\u{fffd}[2J: b\n        ^");
    }

    #[test]
    fn passwords_in_urls_are_hidden() {
        assert_eq!(shown("url: postgres://me:p@w@db/x # no", 1, &[]), "url: postgres://…@db/x #…\n^");
        assert_eq!(shown("u: a://b:c@d, v: 1", 15, &[]), "u: a://…@d, v: 1\n            ^");
        assert_eq!(quoted("postgres://me:pw@db"), "`postgres://…@db`");
    }

    #[test]
    fn long_lines_are_cut_around_the_caret() {
        let line = format!("{}here{}", "a".repeat(500), "b".repeat(500));
        let Excerpt { text, caret } = excerpt(&line, place(1, 501), &[]);
        assert_eq!(text.chars().count(), EXCERPT_CHARS_MAX + 2);
        assert_eq!(text.chars().skip(caret).take(4).collect::<String>(), "here");
    }

    #[test]
    fn messages_quote_briefly_and_on_one_line() {
        assert_eq!(quoted("a\nb\u{1b}"), "`a\\nb\\u{1b}`");
        assert_eq!(quoted(r#""My Schema""#), r#"`"My Schema"`"#);
        assert_eq!(quoted(&"x".repeat(61)).chars().count(), 63);
    }
}
