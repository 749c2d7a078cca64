//! Who runs the server, and that provider's words for a setting, a restart and a right.
//!
//! One table recognises them, the strongest sign first: a setting that only one of them has, a function, a role, the
//! host's name. `version()` says nothing: nearly all of them print what plain Postgres prints.

use super::{Mend, Statement};
use crate::postgres::{quote_ident, quote_literal};

/// Who runs a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Provider {
    Rds,
    Aurora,
    CloudSql,
    Azure,
    Supabase,
    Neon,
    Railway,
    Crunchy,
    #[default]
    SelfManaged,
}

/// What a server shows of who runs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signs {
    /// The host as the connection names it.
    pub host: String,
    /// Those of [`SETTINGS`] that have a value.
    pub settings: Vec<String>,
    /// Those of [`FUNCTIONS`] that exist.
    pub functions: Vec<String>,
    /// Those of [`ROLES`] that exist.
    pub roles: Vec<String>,
}

#[derive(Clone, Copy)]
enum Sign {
    Setting(&'static str),
    Function(&'static str),
    Role(&'static str),
    /// The end of the host's name.
    Host(&'static str),
}

/// The first that fits counts. Settings stand with their full names: placeholders are not listed by the server.
const RULES: &[(Provider, Sign)] = &[
    (Provider::Aurora, Sign::Function("aurora_version")),
    (Provider::Aurora, Sign::Setting("rds.logical_wal_cache")),
    (Provider::Rds, Sign::Setting("rds.logical_replication")),
    (Provider::Rds, Sign::Setting("rds.extensions")),
    (Provider::Rds, Sign::Setting("rds.superuser_variables")),
    (Provider::CloudSql, Sign::Setting("cloudsql.logical_decoding")),
    (Provider::CloudSql, Sign::Setting("cloudsql.iam_authentication")),
    (Provider::Azure, Sign::Setting("azure.extensions")),
    (Provider::Neon, Sign::Setting("neon.timeline_id")),
    (Provider::Neon, Sign::Setting("neon.tenant_id")),
    (Provider::Supabase, Sign::Setting("supautils.privileged_role")),
    (Provider::Rds, Sign::Role("rds_superuser")),
    (Provider::CloudSql, Sign::Role("cloudsqlsuperuser")),
    (Provider::Azure, Sign::Role("azure_pg_admin")),
    (Provider::Neon, Sign::Role("neon_superuser")),
    (Provider::Supabase, Sign::Role("supabase_admin")),
    (Provider::Crunchy, Sign::Role("crunchy_superuser")),
    (Provider::Crunchy, Sign::Role("crunchy_replication")),
    (Provider::Rds, Sign::Host(".rds.amazonaws.com")),
    (Provider::Rds, Sign::Host(".rds.amazonaws.com.cn")),
    (Provider::CloudSql, Sign::Host(".sql.goog")),
    (Provider::Azure, Sign::Host(".postgres.database.azure.com")),
    (Provider::Supabase, Sign::Host(".supabase.co")),
    (Provider::Supabase, Sign::Host(".pooler.supabase.com")),
    (Provider::Neon, Sign::Host(".neon.tech")),
    (Provider::Railway, Sign::Host(".railway.internal")),
    (Provider::Railway, Sign::Host(".rlwy.net")),
    (Provider::Railway, Sign::Host(".railway.app")),
    (Provider::Crunchy, Sign::Host(".db.postgresbridge.com")),
];

impl Signs {
    /// Returns what the host's name alone says, for a server that can't be asked.
    pub fn of_host(host: &str) -> Signs {
        Signs { host: host.to_owned(), ..Signs::default() }
    }

    /// Returns the settings, functions and roles to look for.
    pub fn wanted() -> [Vec<&'static str>; 3] {
        let of = |pick: fn(Sign) -> Option<&'static str>| RULES.iter().filter_map(|(_, sign)| pick(*sign)).collect();
        [
            of(|sign| if let Sign::Setting(name) = sign { Some(name) } else { None }),
            of(|sign| if let Sign::Function(name) = sign { Some(name) } else { None }),
            of(|sign| if let Sign::Role(name) = sign { Some(name) } else { None }),
        ]
    }
}

/// Returns whose server it is.
pub fn recognise(signs: &Signs) -> Provider {
    let host = signs.host.to_ascii_lowercase();
    let host = host.trim_end_matches('.');
    let has = |names: &[String], name: &str| names.iter().any(|one| one == name);
    let fits = |sign: Sign| match sign {
        Sign::Setting(name) => has(&signs.settings, name),
        Sign::Function(name) => has(&signs.functions, name),
        Sign::Role(name) => has(&signs.roles, name),
        Sign::Host(end) => host.ends_with(end),
    };
    RULES.iter().find(|(_, sign)| fits(*sign)).map_or(Provider::SelfManaged, |(provider, _)| *provider)
}

impl Provider {
    /// Returns the name that people know it by.
    pub fn name(self) -> &'static str {
        match self {
            Provider::Rds => "Amazon RDS",
            Provider::Aurora => "Amazon Aurora",
            Provider::CloudSql => "Google Cloud SQL",
            Provider::Azure => "Azure Database for PostgreSQL",
            Provider::Supabase => "Supabase",
            Provider::Neon => "Neon",
            Provider::Railway => "Railway",
            Provider::Crunchy => "Crunchy Bridge",
            Provider::SelfManaged => "self-managed",
        }
    }

    /// Returns true where a superuser of yours may ALTER SYSTEM.
    pub fn has_superuser(self) -> bool {
        matches!(self, Provider::Railway | Provider::SelfManaged)
    }

    /// Returns what turns logical decoding on, restart included.
    pub fn wal_level(self) -> Vec<Mend> {
        let step = |text: &str| Mend::Step(text.to_owned());
        match self {
            Provider::Rds => vec![
                step(
                    "set rds.logical_replication = 1 in the instance's DB parameter group (of a Multi-AZ DB cluster: in \
                     its DB cluster parameter group); a default group can't be changed, make one of your own",
                ),
                step(
                    "aws rds reboot-db-instance --db-instance-identifier … (of a Multi-AZ DB cluster: aws rds \
                     reboot-db-cluster --db-cluster-identifier …)",
                ),
            ],
            Provider::Aurora => vec![
                step("set rds.logical_replication = 1 in the DB cluster parameter group (not the DB parameter group)"),
                step("aws rds reboot-db-instance --db-instance-identifier … of the writer"),
            ],
            Provider::CloudSql => vec![step(
                "gcloud sql instances patch … --database-flags=cloudsql.logical_decoding=on (this replaces all flags: name \
                 the others too); the instance restarts by itself",
            )],
            Provider::Azure => vec![
                step(
                    "az postgres flexible-server parameter set --resource-group … --server-name … --name wal_level --value \
                     logical",
                ),
                step("az postgres flexible-server restart --resource-group … --name …"),
            ],
            Provider::Supabase => {
                vec![step("it is logical on every project of Supabase: restore the default, or ask its support")]
            }
            Provider::Neon => vec![step(
                "turn on Logical Replication in the project's settings (it can't be turned off again); all computes \
                 restart by themselves",
            )],
            Provider::Crunchy => vec![step("it is logical on every cluster of Crunchy Bridge: ask its support")],
            Provider::Railway | Provider::SelfManaged => alter_system(self, "wal_level", "logical", true),
        }
    }

    /// Returns how the server is restarted.
    pub fn restart(self) -> String {
        match self {
            Provider::Rds | Provider::Aurora => "reboot it: aws rds reboot-db-instance --db-instance-identifier …",
            Provider::CloudSql => "gcloud sql instances restart …",
            Provider::Azure => "az postgres flexible-server restart --resource-group … --name …",
            Provider::Supabase => "restart the project in its settings",
            Provider::Neon => "restart the compute in Neon's console",
            Provider::Crunchy => "restart the cluster in the dashboard",
            Provider::Railway => "restart the deployment: its menu, Restart, or `railway redeploy --service Postgres`",
            Provider::SelfManaged => {
                "restart the server: `sudo systemctl restart postgresql@17-main` (Debian), `sudo systemctl restart \
                 postgresql-17` (Red Hat), `docker restart …`, `patronictl restart …`"
            }
        }
        .to_owned()
    }

    /// Returns what gives a setting a value.
    pub fn set(self, name: &'static str, value: &str, restart: bool) -> Vec<Mend> {
        let step = match self {
            Provider::Railway | Provider::SelfManaged => return alter_system(self, name, value, restart),
            Provider::Rds => format!(
                "set {name} = {value} in the instance's DB parameter group (of a Multi-AZ DB cluster: in its DB cluster \
                 parameter group)"
            ),
            Provider::Aurora => format!("set {name} = {value} in the DB cluster parameter group"),
            Provider::CloudSql => format!(
                "gcloud sql instances patch … --database-flags={name}={value} (this replaces all flags: name the others too)"
            ),
            Provider::Azure => format!(
                "az postgres flexible-server parameter set --resource-group … --server-name … --name {name} --value {value}"
            ),
            Provider::Supabase => {
                format!("supabase --experimental --project-ref … postgres-config update --config {name}={value}")
            }
            Provider::Neon | Provider::Crunchy => {
                format!("set {name} = {value}, as far as {} lets you; else ask its support", self.name())
            }
        };
        let restarts = restart && !matches!(self, Provider::CloudSql);
        [Some(step), restarts.then(|| self.restart())].into_iter().flatten().map(Mend::Step).collect()
    }

    /// Returns what gives a role the right to replicate.
    pub fn may_replicate(self, role: &str) -> Vec<Mend> {
        let role = quote_ident(role);
        let sql = |sql: String| {
            vec![Mend::Sql(
                Statement::new("lets the role read the write-ahead log: a stream and its slot", sql).by_admin(),
            )]
        };
        match self {
            Provider::Rds | Provider::Aurora => sql(format!("GRANT rds_replication TO {role}")),
            Provider::Neon => {
                vec![Mend::Step(
                    "make the role in Neon's console, by its CLI or its API: such roles may replicate".to_owned(),
                )]
            }
            _ => sql(format!("ALTER ROLE {role} REPLICATION")),
        }
    }

    /// Returns true where `max_slot_wal_keep_size` is yours to set.
    pub fn limits_slots(self) -> bool {
        !matches!(self, Provider::CloudSql | Provider::Azure)
    }
}

fn alter_system(provider: Provider, name: &'static str, value: &str, restart: bool) -> Vec<Mend> {
    let alone =
        |comment: String, sql: String| Mend::Sql(Statement::new(comment, sql).by_admin().outside_a_transaction());
    let set = format!("ALTER SYSTEM SET {name} = {}", quote_literal(value));
    let mut mends = vec![
        alone(format!("{name} = {value}{}", if restart { ", from the next restart on" } else { "" }), set),
        // Each by itself, however many settings there are: it has to come behind its own.
        alone(format!("{name}: the server reads what was set"), "SELECT pg_catalog.pg_reload_conf()".to_owned()),
    ];
    mends.extend(restart.then(|| Mend::Step(provider.restart())));
    mends
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_is_known_by_its_strongest_sign() {
        let check = |host: &str, setting: &str, function: &str, role: &str, expected: &str| {
            let list = |name: &str| if name.is_empty() { Vec::new() } else { vec![name.to_owned()] };
            let signs =
                Signs { host: host.to_owned(), settings: list(setting), functions: list(function), roles: list(role) };
            assert_eq!(recognise(&signs).name(), expected, "{signs:?}");
        };
        check("db.example.com", "", "", "", "self-managed");
        check("shop.abc.eu-west-1.rds.amazonaws.com", "", "", "", "Amazon RDS");
        check("SHOP.abc.eu-west-1.RDS.amazonaws.com.", "", "", "", "Amazon RDS");
        check("shop.abc.cn-north-1.rds.amazonaws.com.cn", "", "", "", "Amazon RDS");
        check("10.0.0.1", "rds.logical_replication", "", "", "Amazon RDS");
        check("10.0.0.1", "rds.logical_replication", "aurora_version", "rds_superuser", "Amazon Aurora");
        check("127.0.0.1", "cloudsql.logical_decoding", "", "", "Google Cloud SQL");
        check("127.0.0.1", "", "", "cloudsqlsuperuser", "Google Cloud SQL");
        check("shop.postgres.database.azure.com", "", "", "", "Azure Database for PostgreSQL");
        check("db.abcdef.supabase.co", "", "", "", "Supabase");
        check("aws-0-eu-central-1.pooler.supabase.com", "", "", "", "Supabase");
        check("ep-cool-rain-123.eu-central-1.aws.neon.tech", "", "", "", "Neon");
        check("postgres.railway.internal", "", "", "", "Railway");
        check("roundhouse.proxy.rlwy.net", "", "", "", "Railway");
        check("p.abc.db.postgresbridge.com", "", "", "", "Crunchy Bridge");
        check("10.0.0.1", "", "", "crunchy_superuser", "Crunchy Bridge");
        // A tunnel may end at any name: what the server itself shows is stronger.
        check("shop.postgres.database.azure.com", "neon.timeline_id", "", "", "Neon");
        check("not-rds.amazonaws.com.example.org", "", "", "", "self-managed");
    }

    #[test]
    fn every_provider_says_what_turns_decoding_on_and_only_a_superuser_of_yours_gets_sql() {
        use Provider::*;
        for provider in [Rds, Aurora, CloudSql, Azure, Supabase, Neon, Railway, Crunchy, SelfManaged] {
            let mends = provider.wal_level();
            let sql = mends.iter().filter(|mend| matches!(mend, Mend::Sql(_))).count();
            assert_eq!(sql > 0, provider.has_superuser(), "{provider:?}");
            assert!(!provider.restart().is_empty() && !mends.is_empty());
            assert!(!provider.set("max_wal_senders", "20", true).is_empty());
            let right = format!("{:?}", provider.may_replicate("a\"b"));
            assert_eq!(right.contains("rds_replication"), matches!(provider, Rds | Aurora), "{right}");
        }
    }
}
