//! What is wrong with a text: where, what, and what to do about it.

use std::fmt;

/// A place in a file, both counted from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub line: u32,
    pub column: u32,
}

impl Place {
    /// The start of a file.
    pub const START: Place = Place { line: 1, column: 1 };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Error,
    /// Valid, and yet hardly meant.
    Warning,
}

/// The kind of a problem, for scripts. Those that ReJot has bear its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    DuplicateManifestSlug,
    ConnectionNotFound,
    ConnectionTypeMismatch,
    DuplicateDataStore,
    DataStoreNotFound,
    DataStoreMissingConfig,
    PublicSchemaNotFound,
    VersionMismatch,
    ManifestNotFound,
    DuplicatePublicSchema,
    UnusedConnection,

    /// Not YAML, not JSON, not UTF-8, or beyond a bound.
    Syntax,
    UnknownField,
    MissingField,
    DuplicateField,
    WrongType,
    BadValue,
    /// Two fields that exclude each other.
    Conflict,
    MissingVariable,
    SecretUnreadable,
    NotSupported,
    DuplicateConnection,
    DuplicateEventStore,
    DuplicateSyncService,
    EventStoreNotFound,
    MirrorCycle,
    DuplicateConsumerSchema,
    /// Two data stores would read the same slot.
    DuplicateSlot,
    /// Two consumers would write the same table.
    DuplicateDestination,
    /// A consumer would write the table that its public schema reads.
    DestinationIsSource,
    /// A public schema reads a table that its data store does not replicate.
    TableNotReplicated,
    /// Public schemas of one transform disagree about how it runs.
    TransformConflict,
    /// A name that SQL would read as another one.
    UnquotedName,
    /// `workspaces` names what can't be read.
    WorkspaceNotFound,
    /// Manifests that name each other in `workspaces`.
    WorkspaceCycle,
    /// `workspaces` names the same manifest twice.
    DuplicateWorkspace,
}

impl Code {
    /// Returns the code as scripts see it.
    pub fn as_str(self) -> &'static str {
        match self {
            Code::DuplicateManifestSlug => "DUPLICATE_MANIFEST_SLUG",
            Code::ConnectionNotFound => "CONNECTION_NOT_FOUND",
            Code::ConnectionTypeMismatch => "CONNECTION_TYPE_MISMATCH",
            Code::DuplicateDataStore => "DUPLICATE_DATA_STORE",
            Code::DataStoreNotFound => "DATA_STORE_NOT_FOUND",
            Code::DataStoreMissingConfig => "DATA_STORE_MISSING_CONFIG",
            Code::PublicSchemaNotFound => "PUBLIC_SCHEMA_NOT_FOUND",
            Code::VersionMismatch => "VERSION_MISMATCH",
            Code::ManifestNotFound => "MANIFEST_NOT_FOUND",
            Code::DuplicatePublicSchema => "DUPLICATE_PUBLIC_SCHEMA",
            Code::UnusedConnection => "UNUSED_CONNECTION",
            Code::Syntax => "SYNTAX",
            Code::UnknownField => "UNKNOWN_FIELD",
            Code::MissingField => "MISSING_FIELD",
            Code::DuplicateField => "DUPLICATE_FIELD",
            Code::WrongType => "WRONG_TYPE",
            Code::BadValue => "BAD_VALUE",
            Code::Conflict => "CONFLICT",
            Code::MissingVariable => "MISSING_VARIABLE",
            Code::SecretUnreadable => "SECRET_UNREADABLE",
            Code::NotSupported => "NOT_SUPPORTED",
            Code::DuplicateConnection => "DUPLICATE_CONNECTION",
            Code::DuplicateEventStore => "DUPLICATE_EVENT_STORE",
            Code::DuplicateSyncService => "DUPLICATE_SYNC_SERVICE",
            Code::EventStoreNotFound => "EVENT_STORE_NOT_FOUND",
            Code::MirrorCycle => "MIRROR_CYCLE",
            Code::DuplicateConsumerSchema => "DUPLICATE_CONSUMER_SCHEMA",
            Code::DuplicateSlot => "DUPLICATE_SLOT",
            Code::DuplicateDestination => "DUPLICATE_DESTINATION",
            Code::DestinationIsSource => "DESTINATION_IS_SOURCE",
            Code::TableNotReplicated => "TABLE_NOT_REPLICATED",
            Code::TransformConflict => "TRANSFORM_CONFLICT",
            Code::UnquotedName => "UNQUOTED_NAME",
            Code::WorkspaceNotFound => "WORKSPACE_NOT_FOUND",
            Code::WorkspaceCycle => "WORKSPACE_CYCLE",
            Code::DuplicateWorkspace => "DUPLICATE_WORKSPACE",
        }
    }
}

/// One thing that is wrong with a manifest or a fixture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file as it was named.
    pub file: String,
    pub at: Place,
    pub severity: Severity,
    pub code: Code,
    /// Where in it, such as `publicSchemas[0].config.component`; empty for the whole.
    pub path: String,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The line of the file, with everything masked that may be secret; `None` where it can't be told apart.
    pub excerpt: Option<Excerpt>,
}

/// A line of the file, fit for a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    pub text: String,
    /// The index in `text` of the character that the problem is at.
    pub caret: usize,
}

impl fmt::Display for Problem {
    /// Prints `file:line:column: error: message`, the line with a caret, and the hint; no newline at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{}:{}:{}: {severity}: {}", self.file, self.at.line, self.at.column, self.message)?;
        let number = self.at.line.to_string();
        if let Some(Excerpt { text, caret }) = &self.excerpt {
            let width = number.len();
            // A tab before the caret is a tab below it too, so that it stands where the terminal puts it.
            let indent: String = text.chars().take(*caret).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            write!(f, "\n  {number} | {text}\n  {:width$} | {indent}^", "")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  Hint: {hint}")?;
        }
        Ok(())
    }
}

/// All that is wrong with a manifest or a fixture, in the order of the file: at least one error, and the warnings beside it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.0 {
            writeln!(f, "{problem}")?;
        }
        let count = |severity| self.0.iter().filter(|p| p.severity == severity).count();
        let counted = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        write!(f, "{}", counted(count(Severity::Error), "error"))?;
        match count(Severity::Warning) {
            0 => Ok(()),
            n => write!(f, ", {}", counted(n, "warning")),
        }
    }
}

impl Problem {
    /// Returns true for what keeps the file from being used.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl Problems {
    /// Returns what the operator should do, which each problem says for itself.
    pub fn hint(&self) -> Option<String> {
        None
    }
}
