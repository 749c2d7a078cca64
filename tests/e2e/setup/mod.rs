//! `pelton setup`, through the program, against real servers.

mod hba;
mod identity;
mod manifests;
mod publications;
mod restarts;
mod rights;
mod roles;
mod secrets;
mod wrong;

use crate::support::{Database, Pelton};

/// A name that breaks whatever forgets to quote it.
pub const ODD: &str = "Sales ; drop";

/// Prepares `pelton setup --url …` of a database as its superuser, with more arguments.
pub fn setup(database: &Database, arguments: &[&str]) -> Pelton {
    Pelton::new(["setup", "--retry", "5", "--url", &database.url()].into_iter().chain(arguments.iter().copied()))
}

/// Runs it; it must end with `code`. Returns what it said on stdout.
#[track_caller]
pub fn ends(mut pelton: Pelton, code: i32) -> impl Future<Output = String> {
    let caller = std::panic::Location::caller();
    async move {
        let status = pelton.run().await;
        let (out, err) = (pelton.stdout(), pelton.stderr());
        assert_eq!(status.code(), Some(code), "at {caller}:\n{out}{err}");
        format!("{out}{err}")
    }
}

/// Everything that setup may change in a database, as text: equal before and after means that nothing was.
pub async fn state(database: &Database) -> String {
    let sql = "
        SELECT 'role ' || to_jsonb(a)::text FROM pg_authid a WHERE rolname !~ '^pg_' AND (OURS(rolname))
        UNION ALL SELECT 'member ' || roleid::regrole || ' ' || member::regrole FROM pg_auth_members
            WHERE (OURS(member::regrole::text))
        UNION ALL SELECT 'database ' || datname || ' ' || coalesce(datacl::text, '') FROM pg_database
            WHERE datname = current_database()
        UNION ALL SELECT 'schema ' || nspname || ' ' || nspowner::regrole || ' ' || coalesce(nspacl::text, '')
            FROM pg_namespace WHERE nspname !~ '^pg_(toast|temp)'
        UNION ALL SELECT 'table ' || oid::regclass || ' ' || relowner::regrole || relreplident::text || coalesce(relacl::text, '')
            FROM pg_class WHERE relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace,
                                                     'pg_toast'::regnamespace)
        UNION ALL SELECT 'default ' || defaclrole::regrole || ' ' || defaclnamespace || ' ' || defaclacl::text
            FROM pg_default_acl
        UNION ALL SELECT 'publication ' || to_jsonb(p)::text || coalesce(obj_description(p.oid, 'pg_publication'), '')
            FROM pg_publication p
        UNION ALL SELECT 'published ' || to_jsonb(t)::text FROM pg_publication_tables t
        UNION ALL SELECT 'trigger ' || to_jsonb(e)::text FROM pg_event_trigger e
        UNION ALL SELECT 'slot ' || slot_name || plugin FROM pg_replication_slots WHERE database = current_database()
        UNION ALL SELECT 'setting ' || name || setting FROM pg_file_settings WHERE sourcefile ~ 'auto'
        ORDER BY 1";
    // Roles of other tests are named after their databases.
    let ours = |name: &str| format!("{name} !~ 't_[0-9]+_[0-9]+_[0-9a-f]{{4}}' OR {name} ~ current_database()");
    let sql = sql.replace("OURS(rolname)", &ours("rolname"));
    let sql = sql.replace("OURS(member::regrole::text)", &ours("member::regrole::text"));
    let rows = database.rows(&sql).await;
    rows.into_iter().flatten().flatten().collect::<Vec<_>>().join("\n")
}
