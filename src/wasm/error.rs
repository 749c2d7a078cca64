//! What can go wrong with a guest, and what the operator should do about it.

use std::fmt;

use super::output::OutputFault;
use super::text::grouped;
use crate::lsn::Lsn;

/// A component that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum WasmError {
    #[error("`{name}` is not WebAssembly: it does not begin with the bytes of a module or component")]
    NotWebAssembly { name: String },
    #[error("`{name}` is WebAssembly as text, and only the binary format is loaded")]
    TextFormat { name: String },
    #[error("`{name}` is a core module, not a component")]
    CoreModule { name: String },
    #[error("`{name}` is not a valid component")]
    Invalid { name: String, source: Cause },
    #[error("`{name}` imports what the sandbox does not serve: {}", .imports.join(", "))]
    Imports { name: String, imports: Vec<String> },
    #[error("`{name}` is not a transform: it does not export `{export}`")]
    Export { name: String, export: String },
    #[error("`{name}` was built for another version of Pelton's interface")]
    Interface { name: String, source: Cause },
    #[error("`{name}` can't be described")]
    Describe { name: String, source: Box<GuestError> },
    #[error("`{name}` describes itself wrongly: {}", .problems.join("; "))]
    Descriptor { name: String, problems: Vec<String> },
    #[error("the WebAssembly engine can't be set up")]
    Engine { source: Cause },
    #[error("no thread can be started for {purpose}")]
    Thread { purpose: &'static str, source: std::io::Error },
}

impl WasmError {
    /// Returns what the operator should do.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            WasmError::NotWebAssembly { .. } => {
                "`component` in the manifest names the .wasm file that `pelton build` wrote"
            }
            WasmError::TextFormat { .. } => "convert it with `wasm-tools parse`",
            WasmError::CoreModule { .. } => "componentise it with `pelton build`",
            WasmError::Invalid { .. } => "build it again; wasm-tools validate says where it is broken",
            WasmError::Imports { .. } => {
                "a transform reaches no network, file or process; remove the code or the feature that needs these \
                 imports (`pelton check` lists all imports of a component)"
            }
            WasmError::Export { .. } => "build it for the world `transformer` or `typed-transformer` of transform.wit",
            WasmError::Interface { .. } => "build it again with the SDK of this version of Pelton",
            WasmError::Describe { source, .. } => return source.hint(),
            WasmError::Descriptor { .. } => "mend what `describe` returns and build the component again",
            WasmError::Engine { .. } | WasmError::Thread { .. } => "look at the limits of the process (ulimit -v, -u)",
        };
        Some(hint.to_owned())
    }
}

/// An error of the engine below, as a cause.
#[derive(Debug)]
pub struct Cause(pub(super) wasmtime::Error);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Cause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// What the host was asking of a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Instantiating it, its start functions included.
    Start,
    Describe,
    Init,
    RelationChanged {
        table: String,
    },
    Process {
        changes: usize,
    },
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Call::Start => f.write_str("while it was started"),
            Call::Describe => f.write_str("in `describe`"),
            Call::Init => f.write_str("in `init`"),
            Call::RelationChanged { table } => write!(f, "on the columns of {table}"),
            Call::Process { changes: 1 } => f.write_str("on a batch of 1 change"),
            Call::Process { changes } => write!(f, "on a batch of {} changes", grouped(*changes as u64)),
        }
    }
}

/// The change that a guest fails on. Values are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Index in the batch of the change.
    pub change: u32,
    /// How many changes from there on it may be: 1, unless the transform takes whole transactions only.
    pub count: u32,
    /// `schema.table`
    pub table: String,
    pub op: &'static str,
    pub commit_lsn: Lsn,
    /// Index of the change in its transaction.
    pub in_transaction: u64,
    /// Names of the replica identity's columns.
    pub key_columns: Vec<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.count > 1 {
            let count = grouped(self.count.into());
            return write!(f, "in one of the {count} changes of the transaction at {}", self.commit_lsn);
        }
        let (op, table, at) = (self.op, &self.table, self.commit_lsn);
        write!(f, "at the {op} on {table}, change {} of the transaction at {at}", self.in_transaction)?;
        match &self.key_columns[..] {
            [] => Ok(()),
            key => write!(f, " (key: {})", key.join(", ")),
        }
    }
}

/// A transform that did not do its work.
///
/// Row values never stand in one; what a guest says of itself (`message`) is quoted, shortened and made printable.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    #[error(
        "transform `{transform}` used {used_mib} MiB of memory {call}; its limit is {limit_mib} MiB (limits.memoryMib)"
    )]
    Memory { transform: String, used_mib: u64, limit_mib: u64, call: Call, place: Option<Box<Place>> },
    #[error("transform `{transform}` ran for {} ms {call}; limit {} ms (limits.timeoutMs)", grouped(*.ran_ms), grouped(*.limit_ms))]
    Time { transform: String, ran_ms: u64, limit_ms: u64, call: Call, place: Option<Box<Place>> },
    /// Another bound, which no setting raises.
    #[error("transform `{transform}` went over a limit {call}: {what}")]
    Limit { transform: String, what: String, call: Call, place: Option<Box<Place>> },
    /// With what it said before, line by line, and the frames of its own code.
    #[error("transform `{transform}` crashed {call}: {message}{}{}", last_words(.said), frames(.backtrace))]
    Trap {
        transform: String,
        message: String,
        said: Vec<String>,
        backtrace: Vec<String>,
        call: Call,
        place: Option<Box<Place>>,
    },
    #[error("transform `{transform}` returned a wrong result: {fault}")]
    Output { transform: String, fault: Box<OutputFault>, place: Option<Box<Place>> },
    #[error("transform `{transform}` asks to be called again in {} ms: {message}", grouped(u64::from(*.after_ms)))]
    Retryable { transform: String, message: String, after_ms: u32 },
    #[error("transform `{transform}` can't go on: {message}")]
    Fatal { transform: String, message: String },
    #[error("transform `{transform}` needs column `{column}`, which {table} does not have")]
    MissingColumn { transform: String, table: String, column: String },
    /// The source sent what can't be a value of the column's type.
    #[error("{table} holds a value in column `{column}` that is no {kind}")]
    BadValue { table: String, column: String, kind: String },
    #[error("the state of transform `{transform}` can't be read")]
    State { transform: String, source: StateError },
    /// What is written and not committed is held by the host.
    #[error(
        "transform `{transform}` wrote {mib} MiB of state that is not committed yet, up to the transaction at {commit_lsn}; \
         its limit is {limit_mib} MiB (limits.memoryMib, at least 64)"
    )]
    StateSize { transform: String, mib: u64, limit_mib: u64, commit_lsn: Lsn },
    /// Two instances wrote the same key of state in one batch.
    #[error("two parallel instances of transform `{transform}` wrote the same key of state")]
    StateConflict { transform: String },
    /// The engine's instances are all taken; nothing of the guest has run.
    #[error("transform `{transform}` can't be started: {message}")]
    Crowded { transform: String, message: String },
    #[error("transform `{transform}` can't run {instances} instances: {why}")]
    Parallel { transform: String, instances: u32, why: &'static str },
    /// It takes whole transactions, and a transaction is larger than what it can be given.
    #[error(
        "transform `{transform}` takes whole transactions, and its {} changes of the one at {commit_lsn} take {mib} MiB; \
         its limit is {limit_mib} MiB (limits.memoryMib)", grouped(*.changes)
    )]
    Transaction { transform: String, commit_lsn: Lsn, changes: u64, mib: u64, limit_mib: u64 },
    /// An earlier batch failed and was not submitted again.
    #[error("batch {id} of transform `{transform}` was not run, since batch {failed} before it failed")]
    OutOfOrder { transform: String, id: u64, failed: u64 },
    /// A bug of ours: the thread that ran the guest is gone.
    #[error("the thread of transform `{transform}` has ended")]
    Gone { transform: String },
}

/// What a [`super::StateStore`] could not do.
pub type StateError = Box<dyn std::error::Error + Send + Sync>;

impl GuestError {
    /// Returns the change that the guest failed on, where it was found.
    pub fn place(&self) -> Option<&Place> {
        match self {
            GuestError::Memory { place, .. }
            | GuestError::Time { place, .. }
            | GuestError::Limit { place, .. }
            | GuestError::Trap { place, .. }
            | GuestError::Output { place, .. } => place.as_deref(),
            _ => None,
        }
    }

    pub(super) fn set_place(&mut self, found: Place) {
        match self {
            GuestError::Memory { place, .. }
            | GuestError::Time { place, .. }
            | GuestError::Limit { place, .. }
            | GuestError::Trap { place, .. }
            | GuestError::Output { place, .. } => *place = Some(Box::new(found)),
            _ => {}
        }
    }

    /// Returns whether fewer changes at once may help, or show the one that fails.
    pub(super) fn is_of_the_guest(&self) -> bool {
        match self {
            GuestError::Memory { .. }
            | GuestError::Time { .. }
            | GuestError::Limit { .. }
            | GuestError::Trap { .. }
            | GuestError::Output { .. } => true,
            GuestError::Retryable { .. }
            | GuestError::Fatal { .. }
            | GuestError::MissingColumn { .. }
            | GuestError::BadValue { .. }
            | GuestError::State { .. }
            | GuestError::StateSize { .. }
            | GuestError::StateConflict { .. }
            | GuestError::Crowded { .. }
            | GuestError::Parallel { .. }
            | GuestError::Transaction { .. }
            | GuestError::OutOfOrder { .. }
            | GuestError::Gone { .. } => false,
        }
    }

    /// Returns what the operator should do.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            GuestError::Memory { limit_mib, .. } => {
                return Some(format!("raise limits.memoryMib above {limit_mib}, or make the transform hold less"));
            }
            GuestError::Time { limit_ms, .. } => {
                return Some(format!("raise limits.timeoutMs above {limit_ms}, or look for a loop that does not end"));
            }
            GuestError::Limit { .. } => "make the transform do less in one call",
            GuestError::Trap { .. } => "mend the transform and deploy it again; the flow goes on where it stopped",
            GuestError::Output { .. } => "hold what the transform emits against the public schema that it describes",
            GuestError::Fatal { .. } => "mend what the transform complains of, then resume the flow",
            GuestError::MissingColumn { .. } => {
                "rename the column back, or deploy a transform that does not subscribe to it"
            }
            GuestError::BadValue { .. } => {
                "the type at the source is not the built-in one that its name says; report this with the table's definition"
            }
            GuestError::StateSize { limit_mib, .. } => {
                return Some(format!(
                    "raise limits.memoryMib above {limit_mib}, or deploy a transform that remembers less of a transaction; \
                     then restart `pelton sync`"
                ));
            }
            GuestError::StateConflict { .. } => "set `parallel` to false, or keep state by the key of the changed row",
            GuestError::Crowded { .. } => "run fewer transforms, or fewer instances of them, in one process",
            GuestError::Parallel { .. } => "remove the number of instances from the manifest",
            GuestError::Transaction { mib, .. } => {
                return Some(format!(
                    "raise limits.memoryMib above {mib}, with room for what the transform makes of it, or deploy one that \
                     does without whole transactions; then restart `pelton sync`"
                ));
            }
            GuestError::Gone { .. } => "this is a bug of Pelton; please report it",
            GuestError::Retryable { .. } | GuestError::State { .. } | GuestError::OutOfOrder { .. } => return None,
        };
        Some(hint.to_owned())
    }
}

fn last_words(said: &[String]) -> String {
    match said {
        [] => String::new(),
        [first, rest @ ..] => {
            let rest: String = rest.iter().map(|line| format!("\n    {line}")).collect();
            format!("; it said: {first}{rest}")
        }
    }
}

fn frames(backtrace: &[String]) -> String {
    backtrace.iter().map(|frame| format!("\n    at {frame}")).collect()
}
