//! The role that Pelton runs as: hardened, with the right to replicate where it reads a source.
//!
//! A role that is there keeps what it has. What it lacks is added, one attribute a statement: a server refuses even to
//! repeat an attribute to one who may not give it. What it has too much is said, not taken: others may count on it.

use tokio_postgres::Client;

use super::here::Here;
use super::item::{Item, Severity, Statement};
use super::provider::Provider;
use super::sql;
use super::wish::{Job, RoleWish};
use crate::manifest::{PostgresConnection, SslMode};
use crate::postgres::quote::ident_for_people;
use crate::postgres::{self, ConnectError, QueryError, Session, password, quote_ident, quote_literal};

/// What is there of the role.
struct Found {
    login: bool,
    replication: bool,
    member: bool,
    /// `SUPERUSER`, `CREATEDB`, …
    excess: Vec<&'static str>,
}

/// Returns what the role lacks; nothing where whoever connects is the role.
///
/// # Errors
/// [`QueryError`].
pub async fn items(client: &Client, here: &Here, job: &Job) -> Result<Vec<Item>, QueryError> {
    let place = format!("{}, role {}", job.place, ident_for_people(&here.role));
    let found = find(client, here).await?;
    let mut items = Vec::new();
    let role = quote_ident(&here.role);
    match &found {
        None => {
            let exists =
                format!("EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {})", quote_literal(&here.role));
            let make =
                format!("CREATE ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS");
            items.push(
                Item::amiss(Severity::Error, "role", &place, "the role does not exist", "Pelton has to log in as it")
                    .sql(
                        Statement::new("the role, which may log in and nothing else", sql::unless(&exists, &make))
                            .by_admin(),
                    ),
            );
        }
        Some(found) if !found.login => items.push(
            Item::amiss(Severity::Error, "role", &place, "the role may not log in", "Pelton has to log in as it")
                .sql(Statement::new("the right to log in", format!("ALTER ROLE {role} LOGIN")).by_admin()),
        ),
        Some(_) => items.push(Item::right("role", &place, "the role exists and may log in")),
    }
    if job.source.is_some() {
        items.push(replication(here, &place, found.as_ref()));
    }
    let excess = found.map(|found| found.excess).unwrap_or_default();
    if !excess.is_empty() {
        let less: Vec<String> = excess.iter().map(|right| format!("NO{right}")).collect();
        let why = "whoever has the role's password has these rights too, and Pelton needs none of them";
        let what = format!("the role has {}", excess.join(", "));
        items.push(
            Item::amiss(Severity::Warning, "role-excess", &place, what, why)
                .step(format!("name a role of its own with --role, or ALTER ROLE {role} {}", less.join(" "))),
        );
    }
    Ok(items)
}

fn replication(here: &Here, place: &str, found: Option<&Found>) -> Item {
    let why = "without it no slot is made and no stream is read";
    let may = found.is_some_and(|found| found.replication || found.member);
    if may {
        return Item::right("role-replication", place, "the role may replicate");
    }
    let item = Item::amiss(Severity::Error, "role-replication", place, "the role may not replicate", why);
    here.provider.may_replicate(&here.role).into_iter().fold(item, Item::mend)
}

async fn find(client: &Client, here: &Here) -> Result<Option<Found>, QueryError> {
    let sql = "SELECT r.rolcanlogin, r.rolreplication OR r.rolsuper, r.rolsuper, r.rolcreatedb, r.rolcreaterole, \
                      EXISTS (SELECT FROM pg_catalog.pg_roles g WHERE g.rolname = 'rds_replication' \
                              AND pg_catalog.pg_has_role(r.oid, g.oid, 'member')) \
               FROM pg_catalog.pg_roles r WHERE r.rolname = $1";
    let failed = |error| QueryError::new(format!("look up the role \"{}\"", here.role), error);
    let row = client.query_opt(sql, &[&here.role]).await.map_err(failed)?;
    Ok(row.map(|row| {
        let excess = [(2, "SUPERUSER"), (3, "CREATEDB"), (4, "CREATEROLE")];
        Found {
            login: row.get(0),
            replication: row.get(1),
            member: row.get(5),
            excess: excess.iter().filter(|(at, _)| row.get(*at)).map(|(_, name)| *name).collect(),
        }
    }))
}

/// Returns what makes the role's password the one that is wished; `None` where none is.
///
/// # Errors
/// [`QueryError`].
pub async fn password_item(client: &Client, here: &Here, job: &Job) -> Result<Option<Item>, QueryError> {
    // Whoever connects as the role has its password.
    let Some(wish) = job.role.as_ref().filter(|_| here.me != here.role) else { return Ok(None) };
    let place = format!("{}, role {}", job.place, ident_for_people(&here.role));
    let Some(password) = &wish.password else {
        let why = "it can log in only where the server asks for no password, or for a certificate";
        let what = "no password was named for the new role";
        let item = Item::amiss(Severity::Warning, "role-password", place, what, why).step(format!(
            "name one with --password-env or --password-file, or in psql: \\password {}",
            quote_ident(&wish.name)
        ));
        return Ok((!here.role_exists).then_some(item));
    };
    if here.role_exists && is_set(client, here, job, wish).await? {
        return Ok(Some(Item::right("role-password", place, "the role has the password that was named")));
    }
    let why = "Pelton logs in with it";
    let item = Item::amiss(Severity::Error, "role-password", place, "the role has another password, or none", why);
    let plain = here.provider == Provider::Neon;
    if plain && job.connection.sslmode != SslMode::VerifyFull {
        return Ok(Some(item.step(
            "Neon takes a password only as it is, so it is sent only over TLS with sslmode=verify-full: connect so, or set \
             the password in Neon's console",
        )));
    }
    let text = if plain { password.reveal().to_owned() } else { password::verifier(password) };
    let role = quote_ident(&here.role);
    let set = format!("ALTER ROLE {role} PASSWORD {}", quote_literal(&text));
    let comment =
        if plain { "its password, as it is: Neon takes no verifier" } else { "its password, as a SCRAM verifier" };
    let printed = format!("\\password {role}");
    Ok(Some(item.sql(Statement::new(comment, set).by_admin().printed_as(printed))))
}

/// Finds out whether the role has that password already, so that a second run sets none.
async fn is_set(client: &Client, here: &Here, job: &Job, wish: &RoleWish) -> Result<bool, QueryError> {
    let Some(wanted) = &wish.password else { return Ok(true) };
    if here.superuser {
        let sql = "SELECT rolpassword FROM pg_catalog.pg_authid WHERE rolname = $1";
        // Hosted services deny it even to those whom they call superusers.
        if let Ok(Some(row)) = client.query_opt(sql, &[&wish.name]).await {
            let kept: Option<String> = row.get(0);
            return Ok(kept.is_some_and(|kept| password::is_verifier_of(&kept, wanted)));
        }
    }
    let to = PostgresConnection { user: wish.name.clone(), password: wish.password.clone(), ..job.connection.clone() };
    let attempt = postgres::connect(&to, &Session::destination("pelton setup")).await;
    Ok(!matches!(attempt, Err(ConnectError::WrongPassword { .. } | ConnectError::PasswordMissing { .. })))
}
