//! A transform as the host sees it, and the loop that hands it its changes.

use crate::error::{Error, Result};
use crate::model::{Context, Op, Relation, Span};
use crate::msgpack::Reader;
use crate::out::Out;
use crate::public::PublicSchema;
use crate::settings::Settings;
use crate::source::{Input, Plan, Table, malformed};
use crate::state::{self, Ahead};

/// What an author wrote. Made by `#[transform(…)]`.
pub trait Transform: Sized + 'static {
    const NAME: &'static str;
    const VERSION: &'static str;
    const PARALLEL: bool;
    const WHOLE_TRANSACTIONS: bool;
    const STATEFUL: bool;
    const STATE_VERSION: u32;
    type Settings: Settings;

    /// The public schemas, in the order of their indexes.
    fn publishes() -> Vec<&'static PublicSchema>;

    /// The functions, one a table.
    fn tables() -> Vec<Handler<Self>>;

    fn init(settings: Self::Settings, context: &Context) -> Result<Self>;

    /// Called behind the last change of a source transaction.
    fn end_of_transaction(&self, _: &mut Out) -> Result<()> {
        Ok(())
    }
}

/// A function that names the state which a change will need.
pub type ReadsAhead<T> = for<'a, 'p> fn(&T, &mut Input<'a, 'p>, &mut Ahead) -> Result<()>;

/// A table's function.
pub struct Handler<T> {
    pub table: &'static Table,
    pub run: for<'a, 'p> fn(&T, &mut Input<'a, 'p>, &mut Out) -> Result<()>,
    /// Names the state that a change will need.
    pub ahead: Option<ReadsAhead<T>>,
}

/// What comes of a batch.
#[derive(Debug, PartialEq, Eq)]
pub struct Output {
    pub count: u32,
    pub payload: Vec<u8>,
    pub rejected: Vec<Rejection>,
}

/// One change that can never be transformed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub index: u32,
    pub code: String,
    pub message: String,
}

/// Checks what only the whole transform can be wrong in; called before it is described.
///
/// # Errors
/// [`Error::Fatal`] for a table that two functions take, or a public schema that is declared twice.
pub fn check<T: Transform>() -> Result<()> {
    let tables = T::tables();
    for (i, a) in tables.iter().enumerate() {
        if tables[..i].iter().any(|b| a.table.schema == b.table.schema && a.table.name == b.table.name) {
            return Err(Error::fatal(format_args!("two functions take the changes of table {}; make it one", a.table)));
        }
    }
    let schemas = T::publishes();
    for (i, a) in schemas.iter().enumerate() {
        if schemas[..i].iter().any(|b| a.name == b.name && a.major == b.major) {
            return Err(Error::fatal(format_args!("public schema `{}` {} is declared twice", a.name, a.major)));
        }
    }
    Ok(())
}

/// A transform that runs: one instance.
pub struct Runner<T: Transform> {
    transform: T,
    handlers: Vec<Handler<T>>,
    schemas: Vec<&'static PublicSchema>,
    /// By the relation's id: its function and where its columns go.
    plans: Vec<Option<(usize, Plan)>>,
}

impl<T: Transform> Runner<T> {
    /// Starts an instance.
    ///
    /// # Errors
    /// [`Error::Fatal`] for settings or tables that do not fit, and what the author's `init` returns.
    pub fn new(context: &Context) -> Result<Runner<T>> {
        let settings = T::Settings::read(&context.settings)?;
        let transform = T::init(settings, context)?;
        let mut runner = Runner { transform, handlers: T::tables(), schemas: T::publishes(), plans: Vec::new() };
        context.relations.iter().try_for_each(|relation| runner.relation_changed(relation))?;
        Ok(runner)
    }

    /// Takes a relation that is new or was altered.
    ///
    /// # Errors
    /// [`Error::Fatal`] when its columns are not what the transform reads.
    pub fn relation_changed(&mut self, relation: &Relation) -> Result<()> {
        /// Ids are dense; one beyond this is a mistake that would only fill the memory.
        const RELATIONS_MAX: u32 = 1 << 20;
        if relation.id >= RELATIONS_MAX {
            return Err(Error::fatal(format_args!("the host numbers a relation {}; ids must be dense", relation.id)));
        }
        let is_its = |h: &Handler<T>| h.table.schema == relation.schema && h.table.name == relation.name;
        let plan = match self.handlers.iter().position(is_its) {
            Some(handler) => Some((handler, Plan::new(self.handlers[handler].table, relation)?)),
            None => None,
        };
        let id = relation.id as usize;
        if self.plans.len() <= id {
            self.plans.resize_with(id + 1, || None);
        }
        self.plans[id] = plan;
        Ok(())
    }

    /// Transforms a batch.
    ///
    /// # Errors
    /// [`Error::Retry`] and [`Error::Fatal`], of the author's functions or of a batch that can't be read; changes that
    /// are rejected alone stand in the output.
    pub fn process(&mut self, spans: Vec<Span>, count: u32, payload: &[u8]) -> Result<Output> {
        let _open = state::Open::new();
        let mut reader = Reader::new(payload);
        if reader.array().map_err(malformed)? != count {
            return Err(Error::fatal("the host's batch holds another number of changes than it says"));
        }
        if self.handlers.iter().any(|handler| handler.ahead.is_some()) {
            self.read_ahead(reader, count)?;
        }
        let mut out = Out::new(self.schemas.clone(), payload.len() + payload.len() / 4);
        let mut rejected = Vec::new();
        let mut index = 0u32;
        for span in spans {
            if span.first != index || count - index < span.count {
                return Err(Error::fatal("the spans of the host's batch do not cover its changes"));
            }
            let end = index + span.count;
            let ends_here = span.complete && span.count > 0;
            out.span = Some(span);
            while index < end {
                out.source = index;
                self.change(&mut reader, &mut out, &mut rejected)?;
                index += 1;
            }
            if ends_here {
                let (bytes, rows) = (out.rows.bytes.len(), out.count);
                let ended = self.transform.end_of_transaction(&mut out);
                settle(ended, &mut out, (bytes, rows), &mut rejected)?;
            }
        }
        if index != count || !reader.is_empty() {
            return Err(Error::fatal("the host's batch has bytes or changes beyond its end"));
        }
        state::finish()?;
        let (count, payload) = out.finish();
        Ok(Output { count, payload, rejected })
    }

    /// Reads the state that the batch's changes will need. What can't be read of a change is reported when it is
    /// transformed.
    fn read_ahead(&self, mut reader: Reader<'_>, count: u32) -> Result<()> {
        let mut ahead = Ahead::default();
        for _ in 0..count {
            let (op, handler, plan) = self.head(&mut reader)?;
            let start = reader;
            if let Some(names) = handler.ahead {
                // Where a rejected change ends is not known, nor where this one does when it is not looked at.
                let _ = names(&self.transform, &mut Input { reader: &mut reader, op, plan }, &mut ahead);
            }
            reader = start;
            reader.skip_row().and_then(|()| reader.skip_row()).map_err(malformed)?;
        }
        ahead.fetch()
    }

    /// Reads what stands before a change's rows.
    #[inline]
    fn head(&self, reader: &mut Reader<'_>) -> Result<(Op, &Handler<T>, &Plan)> {
        if reader.array().map_err(malformed)? != 4 {
            return Err(Error::fatal("a change of the host's batch does not have its four parts"));
        }
        let op = reader.index().map_err(malformed)?;
        let op = Op::of(op).ok_or_else(|| Error::fatal(format_args!("the host sent the unknown operation {op}")))?;
        let id = reader.index().map_err(malformed)?;
        match self.plans.get(id as usize) {
            Some(Some((handler, plan))) => Ok((op, &self.handlers[*handler], plan)),
            _ => Err(Error::fatal(format_args!(
                "the host sent a change of relation {id}, which it has not announced or which is not subscribed"
            ))),
        }
    }

    /// Hands one change to its function.
    #[inline]
    fn change(&self, reader: &mut Reader<'_>, out: &mut Out, rejected: &mut Vec<Rejection>) -> Result<()> {
        let (op, handler, plan) = self.head(reader)?;
        let (start, bytes, rows) = (*reader, out.rows.bytes.len(), out.count);
        let done = (handler.run)(&self.transform, &mut Input { reader, op, plan }, out);
        if matches!(done, Err(Error::Rejected { .. })) {
            // It may have ended anywhere inside of the change.
            *reader = start;
            reader.skip_row().and_then(|()| reader.skip_row()).map_err(malformed)?;
        }
        settle(done, out, (bytes, rows), rejected)
    }
}

/// Ends a function's call: a rejected change leaves no rows behind.
#[inline]
fn settle(done: Result<()>, out: &mut Out, before: (usize, u32), rejected: &mut Vec<Rejection>) -> Result<()> {
    if let Some(mistake) = out.mistake.take() {
        return Err(mistake);
    }
    match done {
        Err(Error::Rejected { code, message }) => {
            out.rows.bytes.truncate(before.0);
            out.count = before.1;
            // The end of a transaction speaks for its last change, which may have been rejected already.
            if rejected.last().is_none_or(|last| last.index != out.source) {
                rejected.push(Rejection { index: out.source, code, message });
            }
            Ok(())
        }
        other => other,
    }
}
