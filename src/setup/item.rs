//! What a rule found, and what mends it.

use std::fmt;

/// How bad it is; the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// A flow can't run, or will lose its place.
    Error,
    /// It runs, and may stop, slow the source down or fill its disk.
    Warning,
    /// It could be better.
    Advice,
}

/// How things stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Right,
    Amiss(Severity),
    /// It was amiss, and `pelton setup` has made it right.
    Changed,
    /// `pelton setup` has tried.
    Failed(String),
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The rule's name for scripts: lower case, with hyphens, and never renamed.
    pub rule: &'static str,
    /// What it is about, as people write it: `source shop`, `source shop, table public.orders`.
    pub place: String,
    pub state: State,
    /// What is, in one sentence without a full stop.
    pub what: String,
    /// Why that matters; nothing where all is right.
    pub why: Option<String>,
    /// What makes it right, in this order; SQL first where SQL can do it.
    pub mends: Vec<Mend>,
}

/// One step of what makes a thing right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mend {
    Sql(Statement),
    /// What a person does somewhere else: a console, a command line, a file, a restart.
    Step(String),
}

/// Who may run a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// A superuser, the owner of the database or the tables, or the provider's administrator.
    Admin,
    /// The role that Pelton runs as.
    Ordinary,
}

/// A statement that can be run as often as one likes: the second time it changes nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Statement {
    /// What it does and why, for whoever reviews it.
    pub comment: String,
    /// Without a semicolon at its end. Names and literals are quoted.
    pub sql: String,
    /// What a script has in its place, where the statement holds a secret.
    pub printed: Option<String>,
    pub part: Part,
    /// False for what refuses to run inside a transaction (`ALTER SYSTEM`).
    pub transactional: bool,
    /// A person is to decide: it rewrites a table, takes disk, lets the role past policies, or alters what somebody else
    /// made. The doctor's plan has it, which is read before it is run; setup shows it and runs nothing.
    pub by_person: bool,
}

impl Statement {
    /// A statement of the ordinary role that may run in a transaction.
    pub fn new(comment: impl Into<String>, sql: impl Into<String>) -> Statement {
        let (comment, sql) = (comment.into(), sql.into());
        Statement { comment, sql, printed: None, part: Part::Ordinary, transactional: true, by_person: false }
    }

    /// Leaves it to an administrator.
    #[must_use]
    pub fn by_admin(self) -> Statement {
        Statement { part: Part::Admin, ..self }
    }

    #[must_use]
    pub fn outside_a_transaction(self) -> Statement {
        Statement { transactional: false, ..self }
    }

    /// Leaves it to a person to decide.
    #[must_use]
    pub fn by_person(self) -> Statement {
        Statement { by_person: true, ..self }
    }

    /// Prints something else in its place: it holds a secret.
    #[must_use]
    pub fn printed_as(self, printed: impl Into<String>) -> Statement {
        Statement { printed: Some(printed.into()), ..self }
    }
}

impl fmt::Debug for Statement {
    /// Shows what a script would: the statement itself may hold a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Statement").field(&self.part).field(self.printed.as_ref().unwrap_or(&self.sql)).finish()
    }
}

impl Item {
    /// Something that is as it should be.
    pub fn right(rule: &'static str, place: impl Into<String>, what: impl Into<String>) -> Item {
        let (place, what) = (place.into(), what.into());
        Item { rule, place, state: State::Right, what, why: None, mends: Vec::new() }
    }

    /// Something that is not.
    pub fn amiss(
        severity: Severity,
        rule: &'static str,
        place: impl Into<String>,
        what: impl Into<String>,
        why: impl Into<String>,
    ) -> Item {
        Item { state: State::Amiss(severity), why: Some(why.into()), ..Item::right(rule, place, what) }
    }

    /// Adds what mends it.
    #[must_use]
    pub fn mend(mut self, mend: Mend) -> Item {
        self.mends.push(mend);
        self
    }

    /// Adds a statement that mends it.
    #[must_use]
    pub fn sql(self, statement: Statement) -> Item {
        self.mend(Mend::Sql(statement))
    }

    /// Adds a step that mends it.
    #[must_use]
    pub fn step(self, step: impl Into<String>) -> Item {
        self.mend(Mend::Step(step.into()))
    }

    /// Returns how bad it is, `None` where nothing is amiss.
    pub fn severity(&self) -> Option<Severity> {
        match self.state {
            State::Amiss(severity) => Some(severity),
            State::Failed(_) => Some(Severity::Error),
            State::Right | State::Changed => None,
        }
    }

    /// Has its statements run by the role itself, which may.
    #[must_use]
    pub fn by_role(mut self) -> Item {
        self.each(|statement| statement.part = Part::Ordinary);
        self
    }

    /// Leaves it to a person whether its statements are run, with what to do about that.
    #[must_use]
    pub fn by_person(mut self, step: impl Into<String>) -> Item {
        self.each(|statement| statement.by_person = true);
        self.step(step)
    }

    fn each(&mut self, change: impl Fn(&mut Statement)) {
        for mend in &mut self.mends {
            if let Mend::Sql(statement) = mend {
                change(statement);
            }
        }
    }

    /// Returns true when what mends it is for a person to decide on.
    pub fn is_by_person(&self) -> bool {
        self.statements().any(|statement| statement.by_person)
    }

    /// Returns the statements that mend it.
    pub fn statements(&self) -> impl Iterator<Item = &Statement> {
        self.mends.iter().filter_map(|mend| match mend {
            Mend::Sql(statement) => Some(statement),
            Mend::Step(_) => None,
        })
    }
}
