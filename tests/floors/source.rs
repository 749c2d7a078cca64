//! A source file as far as its imports go: words and punctuation, with the modules that they stand in.

use std::collections::BTreeSet;
use std::path::Path;

/// A file of `src`.
pub struct Source {
    /// Below `src`, with `/`.
    pub path: String,
    tokens: Vec<Token>,
}

struct Token {
    /// A word, `::`, or one character.
    text: String,
    /// How many inline modules it stands in.
    inside: usize,
}

/// Reads all files of `src`.
pub fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("src can be read") {
            let path = entry.expect("src can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let below = path.strip_prefix(&root).expect("it is in src").to_str().expect("names are UTF-8");
                files.push(Source::new(below, &std::fs::read_to_string(&path).expect("sources are UTF-8")));
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

impl Source {
    pub fn new(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), tokens: with_modules(words(text)) }
    }

    /// Returns the name of its module of the crate's root.
    pub fn module(&self) -> &str {
        let first = self.path.split('/').next().expect("a path has a first part");
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// Returns how many `super` lead from the file's own module to the crate's root.
    fn depth(&self) -> usize {
        let parts = self.path.split('/').count();
        if self.path.ends_with("/mod.rs") { parts - 1 } else { parts }
    }

    /// Returns the modules of the crate's root that are named, by whatever path leads there; `*` for all of them.
    pub fn crate_modules(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for at in 0..self.tokens.len() {
            if self.follows_a_path(at) {
                continue;
            }
            let behind = match self.text(at) {
                "crate" if self.text(at + 1) == "::" => at + 2,
                "super" => {
                    let supers = (0..).take_while(|n| self.text(at + 2 * n) == "super").count();
                    let root = supers == self.depth() + self.tokens[at].inside;
                    if !root || self.text(at + 2 * supers - 1) != "::" {
                        continue;
                    }
                    at + 2 * supers
                }
                _ => continue,
            };
            found.extend(self.firsts(behind));
        }
        found
    }

    /// Returns true when a path begins with a crate.
    pub fn names_crate(&self, name: &str) -> bool {
        (0..self.tokens.len()).any(|at| {
            self.text(at) == name
                && !self.follows_a_path(at)
                && (self.text(at + 1) == "::" || (at > 0 && self.text(at - 1) == "use"))
        })
    }

    /// Returns the modules of `std` that are named.
    pub fn std_modules(&self) -> BTreeSet<String> {
        let is_std = |&at: &usize| self.text(at) == "std" && self.text(at + 1) == "::" && !self.follows_a_path(at);
        (0..self.tokens.len()).filter(is_std).flat_map(|at| self.firsts(at + 2)).collect()
    }

    /// Returns the first names of what stands behind a `::`: one name, or those of a group.
    fn firsts(&self, at: usize) -> Vec<String> {
        if self.text(at) != "{" {
            return vec![self.text(at).to_owned()];
        }
        let mut firsts = Vec::new();
        let mut depth = 0;
        for at in at.. {
            match self.text(at) {
                "{" => depth += 1,
                "}" => depth -= 1,
                "" => break,
                name if depth == 1 && matches!(self.text(at - 1), "{" | ",") => firsts.push(name.to_owned()),
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
        firsts
    }

    fn text(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| &token.text)
    }

    fn follows_a_path(&self, at: usize) -> bool {
        at > 0 && self.text(at - 1) == "::" && at > 1 && is_word(self.text(at - 2))
    }
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c == '_' || c.is_alphanumeric())
}

/// Cuts a source into words, `::` and single characters; comments, strings and characters are left out.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(end) = raw_string(rest) {
            end
        } else if first == '"' {
            quoted(rest, '"')
        } else if first == '\'' && is_character(rest) {
            quoted(rest, '\'')
        } else if first == '_' || first.is_alphanumeric() {
            let end = rest.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(rest.len());
            words.push(rest[..end].to_owned());
            end
        } else {
            let end = if rest.starts_with("::") { 2 } else { first.len_utf8() };
            if !first.is_whitespace() {
                words.push(rest[..end].to_owned());
            }
            end
        };
        rest = &rest[length..];
    }
    words
}

/// Returns where `r"…"`, `r#"…"#` and their like end.
fn raw_string(text: &str) -> Option<usize> {
    let open = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = open.len() - open.trim_start_matches('#').len();
    open[hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let start = text.len() - open.len() + hashes + 1;
    Some(text[start..].find(&close).map_or(text.len(), |end| start + end + close.len()))
}

/// Returns where a quoted text ends.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Tells a character from a lifetime.
fn is_character(text: &str) -> bool {
    let mut characters = text.chars().skip(1);
    matches!((characters.next(), characters.next()), (Some('\\'), _) | (_, Some('\'')))
}

/// Notes at each word how many `mod name { … }` it stands in.
fn with_modules(words: Vec<String>) -> Vec<Token> {
    let mut open: Vec<bool> = Vec::new();
    let mut tokens: Vec<Token> = Vec::with_capacity(words.len());
    for (at, text) in words.iter().enumerate() {
        match text.as_str() {
            "{" => open.push(at >= 2 && words[at - 2] == "mod"),
            "}" => drop(open.pop()),
            _ => {}
        }
        let inside = open.iter().filter(|&&module| module).count();
        tokens.push(Token { text: text.clone(), inside });
    }
    tokens
}
