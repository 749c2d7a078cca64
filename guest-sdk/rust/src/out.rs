//! Where public rows go, and the helper for the ordinary case: one public row for one source row.

use crate::change::{Change, Old};
use crate::error::{Error, Result};
use crate::model::{Op, Span};
use crate::msgpack::Writer;
use crate::public::{Public, PublicSchema};
use crate::source::SourceRow;

/// Takes the public rows that a change becomes, and knows the transaction that it belongs to.
pub struct Out {
    pub(crate) schemas: Vec<&'static PublicSchema>,
    pub(crate) rows: Writer,
    pub(crate) count: u32,
    pub(crate) source: u32,
    pub(crate) span: Option<Span>,
    /// A mistake of the author that a call without a result has found: fatal once the function returns.
    pub(crate) mistake: Option<Error>,
}

/// Room for the head of the output's array, whose length is known at the end.
const HEAD: usize = 5;

impl Out {
    pub(crate) fn new(schemas: Vec<&'static PublicSchema>, capacity: usize) -> Out {
        let mut rows = Writer { bytes: Vec::with_capacity(capacity + HEAD) };
        rows.bytes.resize(HEAD, 0);
        Out { schemas, rows, count: 0, source: 0, span: None, mistake: None }
    }

    /// Returns the number of rows and their encoding.
    pub(crate) fn finish(mut self) -> (u32, Vec<u8>) {
        self.rows.bytes[0] = 0xdd;
        self.rows.bytes[1..HEAD].copy_from_slice(&self.count.to_be_bytes());
        (self.count, self.rows.bytes)
    }

    /// Returns the source transaction of the change at hand: its xid, commit time and phase.
    pub fn span(&self) -> &Span {
        self.span.as_ref().expect("functions are called with a change, and every change has a span")
    }

    /// Publishes a row that is new (or replaces the one with its key).
    pub fn insert<P: Public>(&mut self, row: &P) {
        self.row::<P>(Op::Insert, |w| row.write(w), None);
    }

    /// Publishes the new version of a row whose key stays.
    pub fn update<P: Public>(&mut self, row: &P) {
        self.keyed::<P>(Op::Update, |w| row.write(w), None);
    }

    /// Publishes the new version of the row that had the key `old`.
    pub fn update_from<P: Public>(&mut self, old: &P::Key, row: &P) {
        let old = (row.key() != *old).then_some(old);
        self.keyed::<P>(Op::Update, |w| row.write(w), old);
    }

    /// Takes a row back.
    pub fn delete<P: Public>(&mut self, key: &P::Key) {
        self.keyed::<P>(Op::Delete, |w| P::write_deleted(key, w), None);
    }

    /// Takes all rows of a public schema back.
    pub fn truncate<P: Public>(&mut self) {
        if let Some(index) = self.index::<P>() {
            self.head(index, Op::Truncate);
            self.rows.array(0);
            self.rows.null();
        }
    }

    /// Publishes one row for each source row that `map` makes one of: the ordinary case.
    ///
    /// | change | what is published |
    /// |---|---|
    /// | insert | the row, if there is one |
    /// | update | the new row, from the old key if it changed; if there is none any more, a delete by the old key |
    /// | delete | a delete by key |
    /// | truncate | a truncate: let one table alone feed a public schema, or match on the change instead |
    ///
    /// `map` returns `Option<P>` or `Result<Option<P>>`. The source's `#[key]` must be the public row's, in type and
    /// value, for a delete brings the old key alone; where it is not, use [`map_with_key`](Out::map_with_key).
    ///
    /// # Errors
    /// What `map` returns, and [`Error::Fatal`] when the keys differ.
    pub fn map<S, P, R>(&mut self, change: Change<S>, map: impl Fn(S) -> R) -> Result<()>
    where
        S: SourceRow,
        P: Public<Key = S::Key>,
        R: Mapped<P>,
    {
        let same_key = |row: S| -> Result<Option<P>> {
            let key = row.key();
            match map(row).mapped()? {
                Some(public) if public.key() != key => Err(Error::fatal(format_args!(
                    "public schema `{}` has other keys than table {}; use map_with_key",
                    P::SCHEMA.name,
                    S::TABLE
                ))),
                public => Ok(public),
            }
        };
        self.map_with_key(change, |key| key.clone(), same_key)
    }

    /// As [`map`](Out::map), with a function that makes the public key of the source key.
    ///
    /// # Errors
    /// What `map` returns.
    pub fn map_with_key<S, P, R>(
        &mut self,
        change: Change<S>,
        key: impl Fn(&S::Key) -> P::Key,
        map: impl Fn(S) -> R,
    ) -> Result<()>
    where
        S: SourceRow,
        P: Public,
        R: Mapped<P>,
    {
        match change {
            Change::Insert(new) => {
                if let Some(row) = map(new).mapped()? {
                    self.insert(&row);
                }
            }
            Change::Update { old, new } => {
                let was = match old {
                    None => Some(key(&new.key())),
                    Some(Old::Key(old)) => Some(key(&old)),
                    // The whole old row tells whether it was published at all.
                    Some(Old::Row(old)) => map(old).mapped()?.map(|row| row.key()),
                };
                match (was, map(new).mapped()?) {
                    (Some(was), Some(row)) => self.update_from(&was, &row),
                    (Some(was), None) => self.delete::<P>(&was),
                    (None, Some(row)) => self.insert(&row),
                    (None, None) => {}
                }
            }
            Change::Delete(Old::Key(old)) => self.delete::<P>(&key(&old)),
            Change::Delete(Old::Row(old)) => {
                if let Some(row) = map(old).mapped()? {
                    self.delete::<P>(&row.key());
                }
            }
            Change::Truncate => self.truncate::<P>(),
        }
        Ok(())
    }

    fn keyed<P: Public>(&mut self, op: Op, values: impl FnOnce(&mut Writer), old: Option<&P::Key>) {
        if !P::SCHEMA.has_key() {
            let name = P::SCHEMA.name;
            self.mistake.get_or_insert(Error::fatal(format_args!(
                "public schema `{name}` has no #[key], so it is append-only: {op}s can't be published"
            )));
            return;
        }
        self.row::<P>(op, values, old);
    }

    #[inline]
    fn row<P: Public>(&mut self, op: Op, values: impl FnOnce(&mut Writer), old: Option<&P::Key>) {
        let Some(index) = self.index::<P>() else { return };
        self.head(index, op);
        self.rows.array(P::SCHEMA.columns.len());
        values(&mut self.rows);
        match old {
            None => self.rows.null(),
            Some(key) => {
                self.rows.array(P::SCHEMA.columns.iter().filter(|column| column.key).count());
                P::write_key(key, &mut self.rows);
            }
        }
    }

    #[inline]
    fn head(&mut self, index: usize, op: Op) {
        self.count += 1;
        self.rows.array(5);
        self.rows.int(index as i64);
        self.rows.int(op as i64);
        self.rows.int(i64::from(self.source));
    }

    #[inline]
    fn index<P: Public>(&mut self) -> Option<usize> {
        let wanted = P::SCHEMA;
        let same = |schema: &&PublicSchema| {
            std::ptr::eq(*schema, wanted) || (schema.name == wanted.name && schema.major == wanted.major)
        };
        let index = self.schemas.iter().position(same);
        if index.is_none() {
            self.mistake.get_or_insert(Error::fatal(format_args!(
                "the transform does not declare public schema `{}`: add its row type to `publishes(…)`",
                wanted.name
            )));
        }
        index
    }
}

/// What the function of [`Out::map`] may return.
pub trait Mapped<P> {
    fn mapped(self) -> Result<Option<P>>;
}

impl<P> Mapped<P> for Option<P> {
    fn mapped(self) -> Result<Option<P>> {
        Ok(self)
    }
}

impl<P> Mapped<P> for Result<Option<P>> {
    fn mapped(self) -> Result<Option<P>> {
        self
    }
}
