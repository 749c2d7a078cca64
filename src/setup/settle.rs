//! Runs what mends items, or notes it for a script, and tells of each how it stands.

use tokio_postgres::Client;

use super::failure::SetupError;
use super::here::Here;
use super::item::{Item, Mend, Part, Severity, State, Statement};
use super::run::Run;
use crate::postgres::QueryError;
use crate::postgres::quote::ident_for_people;

/// How many places are named of what is right.
const NAMED_MAX: usize = 8;

impl Run<'_> {
    /// Whether this run is for a part.
    pub(super) fn takes(&self, part: Part) -> bool {
        let here = &self.done.here;
        match part {
            _ if self.how.as_admin => part == Part::Admin,
            Part::Ordinary => true,
            // Somebody else than the role came, and may be the owner of the tables.
            Part::Admin => here.administrator || (here.me != here.role && !self.how.print),
        }
    }

    /// Runs what mends the items, or notes it for a script, and tells of each.
    pub(super) async fn settle(&mut self, client: &Client, items: Vec<Item>, inside: bool) -> Result<(), SetupError> {
        for item in folded(items) {
            if self.stop.is_asked() {
                return Err(SetupError::Stopped);
            }
            let statements: Vec<Statement> = item.statements().cloned().collect();
            let foreign = statements.iter().map(|statement| statement.part).find(|part| !self.takes(*part));
            match foreign {
                _ if statements.is_empty() || item.is_by_person() => self.say(item),
                Some(part) => self.leave(item, part),
                None if self.how.print => {
                    self.done.statements.extend(statements);
                    // What a script can't do is said beside it.
                    let steps: Vec<Mend> =
                        item.mends.iter().filter(|mend| matches!(mend, Mend::Step(_))).cloned().collect();
                    if !steps.is_empty() {
                        self.say(Item { state: State::Amiss(Severity::Advice), mends: steps, ..item });
                    }
                }
                None => {
                    let failed = self.execute(client, &statements, inside).await?;
                    let item = match failed {
                        None => changed(item),
                        Some(error) => refused(item, &error, &self.done.here),
                    };
                    self.say(item);
                }
            }
        }
        Ok(())
    }

    /// Runs statements; returns what the server refused.
    async fn execute(
        &self,
        client: &Client,
        statements: &[Statement],
        inside: bool,
    ) -> Result<Option<QueryError>, SetupError> {
        let control = |error| QueryError::new("run a step by itself", error);
        if inside {
            client.batch_execute("SAVEPOINT item").await.map_err(control)?;
        }
        for statement in statements {
            // A secret is kept out of the server's log too, where we may say so.
            let hush = inside && statement.printed.is_some() && self.done.here.superuser;
            if hush {
                client.batch_execute("SET LOCAL log_statement = 'none'; SET LOCAL log_min_duration_statement = -1; SET LOCAL log_min_error_statement = 'panic'").await.map_err(control)?;
            }
            if let Err(error) = client.batch_execute(&statement.sql).await {
                let error = QueryError::new(statement.comment.clone(), error);
                if self.stop.is_asked() {
                    return Err(SetupError::Stopped);
                }
                if !matches!(error, QueryError::Refused { .. }) {
                    return Err(error.into());
                }
                if inside {
                    client.batch_execute("ROLLBACK TO SAVEPOINT item").await.map_err(control)?;
                }
                return Ok(Some(error));
            }
            if hush {
                client.batch_execute("SET LOCAL log_statement TO DEFAULT; SET LOCAL log_min_duration_statement TO DEFAULT; SET LOCAL log_min_error_statement TO DEFAULT").await.map_err(control)?;
            }
        }
        if inside {
            client.batch_execute("RELEASE SAVEPOINT item").await.map_err(control)?;
        }
        Ok(None)
    }

    /// Tells of something that is for somebody else to do.
    pub(super) fn leave(&mut self, item: Item, part: Part) {
        match part {
            Part::Admin if self.how.print => {
                self.say(item.step("it is the administrator's part: `pelton setup --as-admin --print` writes it"));
            }
            Part::Admin => {
                self.say(item.step("an administrator does it, with `pelton setup --as-admin`, or with this SQL"))
            }
            Part::Ordinary if self.how.print => {}
            Part::Ordinary => {
                let what = format!("{}: left to `pelton setup` as the role itself", item.what);
                self.say(Item { state: State::Amiss(Severity::Advice), what, mends: Vec::new(), why: None, ..item });
            }
        }
    }

    pub(super) fn say(&mut self, item: Item) {
        (self.tell)(&item);
        self.done.items.push(item);
    }
}

/// A source may have thousands of tables: what is right of many of them is one line.
fn folded(items: Vec<Item>) -> Vec<Item> {
    let mut kept: Vec<(Item, Vec<String>)> = Vec::new();
    for item in items {
        let is_same =
            |other: &Item| other.state == State::Right && (other.rule, &other.what) == (item.rule, &item.what);
        let known = kept.iter_mut().find(|(other, _)| item.state == State::Right && is_same(other));
        match known {
            Some((_, places)) => places.push(item.place),
            None => kept.push((item, Vec::new())),
        }
    }
    let fold = |(item, others): (Item, Vec<String>)| {
        if others.is_empty() {
            return item;
        }
        // A place in a database begins with that one's.
        let (place, first) = item.place.split_once(", ").unwrap_or((&item.place, ""));
        let named =
            std::iter::once(first).chain(others.iter().map(|other| other.split_once(", ").map_or("", |(_, at)| at)));
        let mut named = named.take(NAMED_MAX).collect::<Vec<_>>().join(", ");
        if others.len() >= NAMED_MAX {
            named += &format!(", and {} more", others.len() + 1 - NAMED_MAX);
        }
        Item::right(item.rule, place, format!("{} ({named})", item.what))
    };
    kept.into_iter().map(fold).collect()
}

/// What was done stands in the comments of what did it.
fn changed(item: Item) -> Item {
    let mut did: Vec<&str> = item.statements().map(|statement| statement.comment.as_str()).collect();
    did.dedup();
    let what = did.join("; ");
    Item { state: State::Changed, what, ..item }
}

fn refused(item: Item, error: &QueryError, here: &Here) -> Item {
    let QueryError::Refused { source, .. } = error else { return item };
    let denied = &*source.code == "42501";
    let told = source.to_string();
    let hint = source.hint.as_ref().map(ToString::to_string);
    let item = match item.state {
        State::Amiss(Severity::Error) => Item { state: State::Failed(told.clone()), ..item },
        _ => Item { what: format!("{}: the server refuses: {told}", item.what), ..item },
    };
    let item = hint.into_iter().fold(item, Item::step);
    match &*source.code {
        "55P03" => item.step("somebody uses the table just now: run `pelton setup` again"),
        _ if denied => item.step(format!(
            "role {} may not do that: a superuser, the owner, or the provider's administrator does it, with `pelton setup --as-admin` or this SQL",
            ident_for_people(&here.me)
        )),
        _ if told.contains("plaintext password") => item.step("set the password in the provider's console"),
        _ => item,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_right_of_many_tables_is_one_line_and_what_is_amiss_is_not() {
        let item = |n: usize| Item::right("table-select", format!("source a, table t{n}"), "the role may read it");
        let bad = Item::amiss(Severity::Error, "table-select", "source a, table x", "the role may not", "so");
        let said = |items: Vec<Item>| {
            folded(items).iter().map(|item| format!("{}: {}", item.place, item.what)).collect::<Vec<_>>()
        };
        assert_eq!(said(vec![item(1)]), ["source a, table t1: the role may read it"]);
        assert_eq!(
            said(vec![item(1), bad.clone(), item(2), bad]),
            [
                "source a: the role may read it (table t1, table t2)",
                "source a, table x: the role may not",
                "source a, table x: the role may not",
            ]
        );
        let many = said((0..12).map(item).collect());
        assert!(many.len() == 1 && many[0].ends_with("table t7, and 4 more)"), "{many:?}");
    }
}
