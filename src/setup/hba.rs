//! The lines that `pg_hba.conf` needs for the role: SCRAM, and TLS where the server has it.
//!
//! A stream of logical replication is let in by the database's own line; the word `replication` stands for physical
//! replication. Nobody can write the file over a connection, so the lines are printed, and where the server shows its
//! rules, only when none of them lets the role in.

use std::net::IpAddr;

use tokio_postgres::Client;

use super::here::Here;
use super::item::{Item, Severity};
use super::wish::Job;
use crate::postgres::QueryError;
use crate::postgres::quote::quote_ident;

/// Returns the lines, or that none is needed; nothing where a provider keeps the file.
///
/// # Errors
/// [`QueryError`].
pub async fn item(client: &Client, here: &Here, job: &Job) -> Result<Option<Item>, QueryError> {
    if !here.provider.has_superuser() || here.me == here.role {
        return Ok(None);
    }
    let place = format!("{}, pg_hba.conf", job.place);
    let what = match method(client, here).await? {
        Some(Some(method)) if method == "reject" => "a line rejects the role",
        Some(Some(method)) => {
            let what = format!("a line lets the role in from here, by {method}");
            if ["trust", "password", "md5"].contains(&method.as_str()) {
                let why = match method.as_str() {
                    "trust" => "whoever reaches the server is let in as that role, without a password",
                    _ => "the password, or what is as good as it, can be read on the way",
                };
                let item = Item::amiss(Severity::Advice, "hba", place, what, why);
                return Ok(Some(
                    item.step("use scram-sha-256 in that line, once every role that it is for has such a password"),
                ));
            }
            return Ok(Some(Item::right("hba", place, what)));
        }
        Some(None) => "no line lets the role in from here",
        None => "the server does not show its rules to this role: lines that let the role in",
    };
    let severity = if what.starts_with("the server") { Severity::Advice } else { Severity::Warning };
    let why = "the server's file decides who may connect from where; above the lines that stand there already";
    let item = Item::amiss(severity, "hba", place, what, why);
    let item = lines(here).into_iter().fold(item, Item::step);
    Ok(Some(item.step("then SELECT pg_reload_conf()")))
}

/// Returns the lines for the role, the database and the client's address.
pub fn lines(here: &Here) -> Vec<String> {
    let (database, role) = (hba_name(&here.database), hba_name(&here.role));
    let kind = if here.tls { "hostssl" } else { "host" };
    let address = here.address.as_deref().and_then(|address| address.parse::<IpAddr>().ok());
    let (v4, v6) = match address {
        Some(IpAddr::V4(v4)) => (format!("{v4}/32"), "::1/128".to_owned()),
        Some(IpAddr::V6(v6)) => ("127.0.0.1/32".to_owned(), format!("{v6}/128")),
        None => ("127.0.0.1/32".to_owned(), "::1/128".to_owned()),
    };
    vec![
        format!("local    {database}  {role}  scram-sha-256"),
        format!("{kind:7}  {database}  {role}  {v4}  scram-sha-256"),
        format!("{kind:7}  {database}  {role}  {v6}  scram-sha-256"),
    ]
}

/// Quoted wherever a word could mean something else there.
fn hba_name(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    let words = ["all", "sameuser", "samerole", "samegroup", "replication"];
    if plain && !words.contains(&name) { name.to_owned() } else { quote_ident(name) }
}

/// Returns the method of the first rule that fits the role: `None` where the rules may not be read, `Some(None)` where
/// none fits.
///
/// `samehost` and `samenet` are taken to fit: what they stand for only the server knows.
async fn method(client: &Client, here: &Here) -> Result<Option<Option<String>>, QueryError> {
    let failed = |error| QueryError::new("read the rules of pg_hba.conf", error);
    let may = "SELECT pg_catalog.has_table_privilege('pg_catalog.pg_hba_file_rules', 'SELECT') \
               AND pg_catalog.has_function_privilege('pg_catalog.pg_hba_file_rules()', 'EXECUTE')";
    if !client.query_one(may, &[]).await.map_err(failed)?.get::<_, bool>(0) {
        return Ok(None);
    }
    let sql = "\
        SELECT h.auth_method FROM pg_catalog.pg_hba_file_rules h LEFT JOIN pg_catalog.pg_roles r ON r.rolname = $1 \
        WHERE h.error IS NULL \
          AND EXISTS (SELECT FROM pg_catalog.unnest(h.database) d WHERE d IN ('all', pg_catalog.current_database()) \
               OR d = 'sameuser' AND pg_catalog.current_database() = $1 \
               OR d IN ('samerole', 'samegroup') AND r.oid IS NOT NULL \
                  AND EXISTS (SELECT FROM pg_catalog.pg_roles g WHERE g.rolname = pg_catalog.current_database() \
                              AND pg_catalog.pg_has_role(r.oid, g.oid, 'member'))) \
          AND EXISTS (SELECT FROM pg_catalog.unnest(h.user_name) u WHERE u IN ('all', $1) \
               OR pg_catalog.left(u, 1) = '+' AND r.oid IS NOT NULL \
                  AND EXISTS (SELECT FROM pg_catalog.pg_roles g WHERE g.rolname = pg_catalog.substr(u, 2) \
                              AND pg_catalog.pg_has_role(r.oid, g.oid, 'member'))) \
          AND CASE WHEN $2::text IS NULL THEN h.type = 'local' \
              ELSE h.type IN ('host', CASE WHEN $3 THEN 'hostssl' ELSE 'hostnossl' END) \
               AND CASE WHEN h.address IN ('all', 'samehost', 'samenet') THEN true \
                   WHEN h.address !~ '^[0-9a-fA-F.:]+$' OR h.address !~ '[.:]' THEN false \
                   WHEN pg_catalog.family(h.address::inet) <> pg_catalog.family($2::text::inet) THEN false \
                   ELSE (h.address::inet & h.netmask::inet) = ($2::text::inet & h.netmask::inet) END END \
        ORDER BY h.line_number LIMIT 1";
    let row = client.query_opt(sql, &[&here.role, &here.address, &here.tls]).await.map_err(failed)?;
    Ok(Some(row.map(|row| row.get(0))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::provider::Provider;

    #[test]
    fn lines_name_role_database_and_address_in_quotes_where_words_mean_something() {
        let here = Here {
            version: 15,
            version_text: "15.1".to_owned(),
            database: "all".to_owned(),
            me: "postgres".to_owned(),
            superuser: true,
            administrator: true,
            provider: Provider::SelfManaged,
            address: Some("2001:db8::7".to_owned()),
            tls: true,
            role: "Sales \"x\"".to_owned(),
            role_exists: false,
        };
        assert_eq!(
            lines(&here),
            [
                r#"local    "all"  "Sales ""x"""  scram-sha-256"#,
                r#"hostssl  "all"  "Sales ""x"""  127.0.0.1/32  scram-sha-256"#,
                r#"hostssl  "all"  "Sales ""x"""  2001:db8::7/128  scram-sha-256"#,
            ]
        );
        let here = Here { address: None, tls: false, database: "shop".to_owned(), role: "pelton".to_owned(), ..here };
        assert_eq!(lines(&here)[1], "host     shop  pelton  127.0.0.1/32  scram-sha-256");
    }
}
