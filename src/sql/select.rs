//! As much of a SELECT as it takes to say whether it asks for one row of one table.
//!
//! [`Template::pins`] is true only where the statement names the table once, in the FROM of its outermost SELECT, and the
//! WHERE there, by itself or joined by AND, equates every column of the table's key with the placeholder of that very
//! column. Then whatever the statement computes, joins and aggregates, of that table it can see the one row. In doubt
//! the answer is no.

use std::ops::Range;

use super::lexer::{Kind, Token};
use super::{Placeholder, Template};

/// A table as the catalog names it.
#[derive(Clone, Copy, Debug)]
pub struct TableRef<'a> {
    pub schema: &'a str,
    pub name: &'a str,
    /// The name alone means it, under the `search_path` that the statement is run with.
    pub by_name: bool,
}

/// What follows a table in FROM where it has no alias.
const NO_ALIAS: &[&str] = &[
    "WHERE",
    "JOIN",
    "LEFT",
    "RIGHT",
    "INNER",
    "FULL",
    "CROSS",
    "NATURAL",
    "ON",
    "USING",
    "GROUP",
    "ORDER",
    "LIMIT",
    "HAVING",
    "OFFSET",
    "FETCH",
    "FOR",
    "WINDOW",
    "UNION",
    "INTERSECT",
    "EXCEPT",
    "TABLESAMPLE",
];
const SETS: &[&str] = &["UNION", "INTERSECT", "EXCEPT"];
/// What ends a WHERE.
const BEHIND_WHERE: &[&str] = &["GROUP", "HAVING", "WINDOW", "ORDER", "LIMIT", "OFFSET", "FETCH", "FOR"];
/// Casts that leave a key what it is.
const CASTS: &[&str] =
    &["INT", "INT2", "INT4", "INT8", "INTEGER", "SMALLINT", "BIGINT", "UUID", "TEXT", "VARCHAR", "NUMERIC"];

/// A token with what it says, without the spaces.
struct Read<'a> {
    tokens: Vec<&'a Token>,
    text: &'a str,
}

impl Template {
    fn read(&self) -> Read<'_> {
        let tokens = self.tokens.iter().filter(|token| token.kind != Kind::Space).collect();
        Read { tokens, text: &self.text }
    }

    /// Returns true when of `table` the statement can see no row but that whose `key` the placeholders give.
    /// `column_of` says of which column a placeholder is.
    pub fn pins(
        &self,
        table: TableRef<'_>,
        key: &[String],
        column_of: impl Fn(&Placeholder) -> Option<String>,
    ) -> bool {
        let read = self.read();
        let refs = read.references(table);
        let [at] = refs[..] else { return false };
        read.means(at, table) && read.is_pinned(at, table, key, &column_of)
    }

    /// Returns the statement with the table, where it stands for the row whose `key` the placeholders give, in the shape of
    /// another one with the same rows: of columns that come from there the catalog knows nothing any more, which tells them
    /// from those of the table's other rows. `None` where none of the places is that row's, or more than one.
    pub fn render_apart(
        &self,
        table: TableRef<'_>,
        rows: &str,
        key: &[String],
        column_of: impl Fn(&Placeholder) -> Option<String>,
        mut with: impl FnMut(&Placeholder) -> String,
    ) -> Option<String> {
        let read = self.read();
        let refs = read.references(table).into_iter().filter(|&at| read.means(at, table));
        let pinned: Vec<usize> = refs.filter(|&at| read.is_pinned(at, table, key, &column_of)).collect();
        let [at] = pinned[..] else { return None };
        let named = matches!(read.alias(at + 1), Some(Some(_)));
        let first = if read.is_qualified(at) { at - 2 } else { at };
        let (start, end) = (read.tokens[first].start, read.tokens[at].start);
        let piece = |token: &Token| match &token.kind {
            Kind::Placeholder(placeholder) => with(placeholder),
            _ if token.start == end && named => format!("({rows})"),
            _ if token.start == end => format!("({rows}) AS {}", &self.text[token.range()]),
            _ if (start..end).contains(&token.start) => String::new(),
            _ => self.text[token.range()].to_owned(),
        };
        Some(self.tokens.iter().map(piece).collect())
    }

    /// Returns in how many places the statement names the table, or something else of its name.
    pub fn references(&self, table: TableRef<'_>) -> usize {
        self.read().references(table).len()
    }

    /// Returns true when the statement may need a column of `table`, among others by `*`, or as part of the whole row.
    pub fn mentions(&self, table: TableRef<'_>, column: &str) -> bool {
        let read = self.read();
        let name = |index: usize| read.name(index);
        let refs = read.references(table);
        let alias = refs.first().and_then(|at| read.alias(at + 1)).flatten();
        let whole = |index: usize| {
            let is_alias = alias.as_deref().is_some_and(|alias| name(index).as_deref() == Some(alias));
            is_alias && !read.symbol(index + 1, ".")
        };
        let declared = usize::from(alias.is_some());
        // Which column a name with escapes is, is not read here.
        let escaped = |index: usize| read.tokens[index].kind == Kind::Quoted && name(index).is_none();
        (0..read.tokens.len()).any(|index| {
            name(index).as_deref() == Some(column)
                || escaped(index)
                || read.symbol(index, "*")
                || read.is(index, &["NATURAL"])
        }) || refs.len() != 1
            || (0..read.tokens.len()).filter(|&index| whole(index)).count() > declared
    }

    /// Returns true when the statement names the table at all.
    pub fn names(&self, table: TableRef<'_>) -> bool {
        let read = self.read();
        read.references(table).into_iter().any(|at| read.means(at, table))
    }

    /// Renders the statement, `schema.table` as `table` alone: so it reads whatever is called that where it stands.
    pub fn render_unqualified(&self, table: TableRef<'_>, mut with: impl FnMut(&Placeholder) -> String) -> String {
        let read = self.read();
        let qualified = (2..read.tokens.len()).filter(|&at| {
            read.name(at).as_deref() == Some(table.name)
                && read.symbol(at - 1, ".")
                && read.name(at - 2).as_deref() == Some(table.schema)
                && !(at > 2 && read.symbol(at - 3, "."))
                && !read.symbol(at + 1, "(")
        });
        let cut: Vec<usize> = qualified.flat_map(|at| [read.tokens[at - 2].start, read.tokens[at - 1].start]).collect();
        let piece = |token: &Token| match &token.kind {
            Kind::Placeholder(placeholder) => with(placeholder),
            _ if cut.contains(&token.start) => String::new(),
            _ => self.text[token.range()].to_owned(),
        };
        self.tokens.iter().map(piece).collect()
    }
}

impl Read<'_> {
    fn text(&self, index: usize) -> &str {
        self.tokens.get(index).map_or("", |token| &self.text[token.range()])
    }

    fn symbol(&self, index: usize, symbol: &str) -> bool {
        self.tokens.get(index).is_some_and(|token| token.kind == Kind::Symbol) && self.text(index) == symbol
    }

    /// True for one of these keywords.
    fn is(&self, index: usize, words: &[&str]) -> bool {
        let is_word = self.tokens.get(index).is_some_and(|token| token.kind == Kind::Word);
        is_word && words.iter().any(|word| self.text(index).eq_ignore_ascii_case(word))
    }

    /// Returns the name that a token is, as the catalog has it.
    fn name(&self, index: usize) -> Option<String> {
        let text = self.text(index);
        match self.tokens.get(index)?.kind {
            Kind::Word => Some(text.to_ascii_lowercase()),
            // A name with escapes (`U&"…"`) is none of ours.
            Kind::Quoted => Some(text.strip_prefix('"')?.strip_suffix('"')?.replace("\"\"", "\"")),
            _ => None,
        }
    }

    /// Returns where the table may be meant, which is everywhere but before a dot, as a function and behind AS.
    fn references(&self, table: TableRef<'_>) -> Vec<usize> {
        let is_it = |&at: &usize| {
            if self.name(at).as_deref() != Some(table.name) || self.symbol(at + 1, ".") || self.symbol(at + 1, "(") {
                return false;
            }
            match at.checked_sub(1) {
                Some(before) if self.symbol(before, ".") => {
                    let of = before.checked_sub(1).and_then(|of| self.name(of));
                    of.as_deref() == Some(table.schema)
                }
                Some(before) => !self.is(before, &["AS"]),
                None => true,
            }
        };
        (0..self.tokens.len()).filter(is_it).collect()
    }

    /// Returns true for a reference with its schema.
    fn is_qualified(&self, at: usize) -> bool {
        at.checked_sub(1).is_some_and(|before| self.symbol(before, "."))
    }

    /// Tells whether a reference is to the table, and not to another one that the name alone means.
    fn means(&self, at: usize, table: TableRef<'_>) -> bool {
        table.by_name || self.is_qualified(at)
    }

    /// Tells whether a reference, in the FROM of the outermost SELECT, gives the one row whose `key` the placeholders give.
    fn is_pinned(
        &self,
        at: usize,
        table: TableRef<'_>,
        key: &[String],
        column_of: &impl Fn(&Placeholder) -> Option<String>,
    ) -> bool {
        let depths = self.depths();
        let top = |index: &usize| depths[*index] == 0;
        if key.is_empty() || !top(&at) || (0..depths.len()).any(|index| top(&index) && self.is(index, SETS)) {
            return false;
        }
        let Some(alias) = self.alias(at + 1) else { return false };
        let qualifier = alias.unwrap_or_else(|| table.name.to_owned());
        let Some(from) = (at..depths.len()).find(|index| top(index) && self.is(*index, &["WHERE"])) else {
            return false;
        };
        let end = (from..depths.len()).find(|index| top(index) && self.is(*index, BEHIND_WHERE));
        let mut pinned = Vec::new();
        self.conjuncts(from + 1..end.unwrap_or(depths.len()), 0, &depths, &mut |part| {
            pinned.extend(self.equated(part, &qualifier, column_of));
        });
        key.iter().all(|column| pinned.contains(column))
    }

    /// Returns how deep each token stands in brackets and CASE; a bracket itself as what it encloses.
    fn depths(&self) -> Vec<usize> {
        let mut depth: usize = 0;
        let mut depths = Vec::with_capacity(self.tokens.len());
        for index in 0..self.tokens.len() {
            let opens = self.symbol(index, "(") || self.symbol(index, "[") || self.is(index, &["CASE"]);
            let closes = self.symbol(index, ")") || self.symbol(index, "]") || self.is(index, &["END"]);
            depth += usize::from(opens);
            depths.push(depth);
            depth = depth.saturating_sub(usize::from(closes));
        }
        depths
    }

    /// Returns the alias that begins there, if there is one; `None` where the columns get other names too.
    fn alias(&self, at: usize) -> Option<Option<String>> {
        let explicit = self.is(at, &["AS"]);
        let at = at + usize::from(explicit);
        let Some(name) = self.name(at).filter(|_| explicit || !self.is(at, NO_ALIAS)) else { return Some(None) };
        if self.symbol(at + 1, "(") { None } else { Some(Some(name)) }
    }

    /// Calls `each` with the parts of a condition that all must hold; it stands `depth` brackets deep.
    fn conjuncts(&self, part: Range<usize>, depth: usize, depths: &[usize], each: &mut impl FnMut(Range<usize>)) {
        let level = |index: &usize| depths[*index] == depth;
        // Where the AND of a BETWEEN belongs is Postgres's to know.
        if part.clone().filter(level).any(|index| self.is(index, &["OR", "BETWEEN"])) {
            return;
        }
        let mut start = part.start;
        for end in part.start..=part.end {
            if end < part.end && !(level(&end) && self.is(end, &["AND"])) {
                continue;
            }
            let in_brackets = start < end && (start..end).all(|index| depths[index] > depth) && self.symbol(start, "(");
            match in_brackets {
                true => self.conjuncts(start + 1..end - 1, depth + 1, depths, each),
                false => each(start..end),
            }
            start = end + 1;
        }
    }

    /// Returns the column that a condition equates with its own placeholder.
    fn equated(
        &self,
        part: Range<usize>,
        qualifier: &str,
        column_of: &impl Fn(&Placeholder) -> Option<String>,
    ) -> Option<String> {
        let Range { start: first, end: last } = part;
        let equals = (first..last).find(|&index| self.symbol(index, "="))?;
        let column = |first: usize, last: usize| match last.checked_sub(first) {
            Some(1) => self.name(first),
            Some(3) if self.symbol(first + 1, ".") && self.name(first).as_deref() == Some(qualifier) => {
                self.name(first + 2)
            }
            _ => None,
        };
        let value = |first: usize, last: usize| {
            let Kind::Placeholder(placeholder) = &self.tokens.get(first)?.kind else { return None };
            let plain = match last.checked_sub(first) {
                Some(1) => true,
                Some(3) => self.symbol(first + 1, "::") && self.is(first + 2, CASTS),
                _ => false,
            };
            if plain { column_of(placeholder) } else { None }
        };
        let sides =
            [(column(first, equals), value(equals + 1, last)), (column(equals + 1, last), value(first, equals))];
        sides.into_iter().find_map(|(column, value)| column.filter(|column| Some(column) == value.as_ref()))
    }
}
