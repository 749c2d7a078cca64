//! The password of the role: a SCRAM verifier is sent, never the password, and only where it is another one.

use tokio_postgres::Client;

use super::here::Here;
use super::item::{Item, Severity, Statement};
use super::provider::Provider;
use super::wish::{Job, RoleWish};
use crate::manifest::{PostgresConnection, SslMode};
use crate::postgres::quote::ident_for_people;
use crate::postgres::{self, ConnectError, QueryError, Session, password, quote_ident, quote_literal};

/// Returns what makes the role's password the one that is wished; `None` where none is.
///
/// # Errors
/// [`QueryError`].
pub async fn item(client: &Client, here: &Here, job: &Job) -> Result<Option<Item>, QueryError> {
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
