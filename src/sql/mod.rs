//! SQL that an author wrote into a manifest: one statement with `:name` or `$n` where values go.
//!
//! Nothing here understands SQL as a whole. [`lexer`] knows what a string, a comment and a name are, so that a placeholder
//! is found where one is and nowhere else; [`select`] reads as much of a SELECT as it takes to say whether it asks for one
//! row of one table. Everything else is Postgres's.

mod lexer;
mod select;
#[cfg(test)]
mod tests;

use lexer::{Kind, Token};

pub use select::TableRef;

/// One statement with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: String,
    /// Without a semicolon at the end.
    tokens: Vec<Token>,
}

/// Where a value goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Placeholder {
    /// `:name`
    Named(String),
    /// `$n`, from 1 on.
    Numbered(u16),
}

impl std::fmt::Display for Placeholder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Placeholder::Named(name) => write!(f, ":{name}"),
            Placeholder::Numbered(number) => write!(f, "${number}"),
        }
    }
}

/// A text that is not one statement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTemplate {
    #[error("it has no statement")]
    Empty,
    #[error("it has several statements")]
    Several,
    #[error("it has both :{name} and ${number}")]
    Mixed { name: String, number: u16 },
    #[error("{0} in it is not closed")]
    Unclosed(&'static str),
    #[error("there is no parameter ${0}")]
    Number(String),
}

impl BadTemplate {
    /// Returns what the author should do.
    pub fn hint(&self) -> String {
        match self {
            BadTemplate::Empty => "write the statement".to_owned(),
            BadTemplate::Several => {
                "write one statement: WITH x AS (INSERT … RETURNING …) INSERT …, or a function that is called by it"
                    .to_owned()
            }
            BadTemplate::Mixed { .. } => "write `:name` everywhere, or `$n` everywhere".to_owned(),
            BadTemplate::Unclosed(what) => format!("close {what}"),
            BadTemplate::Number(_) => "parameters are $1, $2 and so on".to_owned(),
        }
    }
}

impl Template {
    /// Reads a statement. A semicolon at its end is left out.
    ///
    /// # Errors
    /// It is none, or more than one, or names its values in both ways.
    pub fn parse(text: &str) -> Result<Template, BadTemplate> {
        let mut tokens = lexer::tokens(text)?;
        if let Some(end) = tokens.iter().position(|token| token.kind == Kind::Semicolon) {
            let more = tokens.split_off(end);
            if more.iter().any(|token| !matches!(token.kind, Kind::Semicolon | Kind::Space)) {
                return Err(BadTemplate::Several);
            }
        }
        if tokens.iter().all(|token| token.kind == Kind::Space) {
            return Err(BadTemplate::Empty);
        }
        let template = Template { text: text.to_owned(), tokens };
        let placeholders = template.placeholders();
        let name = placeholders.iter().find_map(|one| match one {
            Placeholder::Named(name) => Some(name.clone()),
            Placeholder::Numbered(_) => None,
        });
        let number = placeholders.iter().find_map(|one| match one {
            Placeholder::Named(_) => None,
            Placeholder::Numbered(number) => Some(*number),
        });
        match (name, number) {
            (Some(name), Some(number)) => Err(BadTemplate::Mixed { name, number }),
            _ => Ok(template),
        }
    }

    /// Returns the placeholders, each once, in the order in which they first come.
    pub fn placeholders(&self) -> Vec<Placeholder> {
        let mut all: Vec<Placeholder> = Vec::new();
        for token in &self.tokens {
            if let Kind::Placeholder(placeholder) = &token.kind
                && !all.contains(placeholder)
            {
                all.push(placeholder.clone());
            }
        }
        all
    }

    /// Returns the statement's first word, in capitals: `INSERT`.
    pub fn verb(&self) -> String {
        let first = self.tokens.iter().find(|token| !matches!(token.kind, Kind::Space | Kind::Symbol));
        first.map(|token| self.text[token.range()].to_uppercase()).unwrap_or_default()
    }

    /// Returns the statement with something in the place of each placeholder, in order.
    pub fn render(&self, mut with: impl FnMut(&Placeholder) -> String) -> String {
        let piece = |token: &Token| match &token.kind {
            Kind::Placeholder(placeholder) => with(placeholder),
            _ => self.text[token.range()].to_owned(),
        };
        self.tokens.iter().map(piece).collect()
    }
}
