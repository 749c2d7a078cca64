//! A case of the doctor's: a file of SQL that tells what is there, what is found, and what is left once it is mended.
//!
//! ```sql
//! -- A role that may not replicate can't start a stream.        (comments are only read by people)
//! -- flow: table: public.t => public.t, createTable: true       (this one, unless others are named)
//! -- more: tables: [public.t]                                   (of the source's `config`)
//! -- as: role                                                   (the source's role; the superuser without it)
//! -- destination as: role
//! -- setting: max_wal_senders = 1                               (the source is a server of its own, with that)
//! -- since: 15                                                  (only on that version and later)
//! -- source:                                                    (SQL there, as the superuser)
//! CREATE ROLE $role LOGIN;
//! -- destination:                                               (SQL there)
//! -- finds:                                                     (what `pelton doctor` finds: all of it, in any order)
//! --   error role-replication, source, role $role
//! -- plan                                                       (its fix plan is run, twice: the second run changes nothing)
//! -- restart                                                    (the source's server)
//! -- sync                                                       (`pelton sync --until-caught-up`)
//! -- finds: nothing
//! ```
//!
//! `$role` has a name that needs quotes; `$source` is the database, `$slot` the slot. Advice that holds of every server
//! as it is out of the box is passed over unless the file speaks of it.

use std::path::PathBuf;
use std::process::Command;

use pelton::postgres::quote_ident;
use pelton::postgres::throwaway::{Server, Shutdown};
use serde_json::Value;

use crate::support::{Database, Pelton, database, database_on, server_with};

/// What a fresh server is told: see above.
const USUAL: [&str; 5] = [
    "advice slot-keep-size",
    "advice publication,",
    "advice publication-tables",
    "advice publication-younger",
    "advice role-excess",
];

pub(super) enum Step {
    Source(String),
    Destination(String),
    Finds(Vec<String>),
    Plan,
    Restart,
    Sync,
}

#[derive(Default)]
struct Case {
    flows: Vec<String>,
    more: String,
    source_role: bool,
    destination_role: bool,
    settings: Vec<(String, String)>,
    since: u32,
    steps: Vec<Step>,
}

/// Reads a file.
fn parse(text: &str) -> Case {
    let mut case = Case::default();
    for line in text.lines() {
        let directive = line.strip_prefix("-- ").unwrap_or_default().trim();
        let told = |key: &str| directive.strip_prefix(key).map(str::trim);
        if let Some(finding) = line.strip_prefix("--   ") {
            match case.steps.last_mut() {
                Some(Step::Finds(list)) => list.push(finding.trim().to_owned()),
                _ => panic!("a finding without `-- finds:`: {line}"),
            }
        } else if let Some(flow) = told("flow:") {
            case.flows.push(flow.to_owned());
        } else if let Some(more) = told("more:") {
            case.more = format!(", {more}");
        } else if told("as:").is_some() {
            case.source_role = true;
        } else if told("destination as:").is_some() {
            case.destination_role = true;
        } else if let Some(version) = told("since:") {
            case.since = version.parse().expect("a version");
        } else if let Some((name, value)) = told("setting:").and_then(|setting| setting.split_once('=')) {
            case.settings.push((name.trim().to_owned(), value.trim().to_owned()));
        } else if directive == "source:" {
            case.steps.push(Step::Source(String::new()));
        } else if directive == "destination:" {
            case.steps.push(Step::Destination(String::new()));
        } else if directive.starts_with("finds:") {
            case.steps.push(Step::Finds(Vec::new()));
        } else if directive == "plan" {
            case.steps.push(Step::Plan);
        } else if directive == "restart" {
            case.steps.push(Step::Restart);
        } else if directive == "sync" {
            case.steps.push(Step::Sync);
        } else if !line.starts_with("--") && !line.trim().is_empty() {
            match case.steps.last_mut() {
                Some(Step::Source(sql) | Step::Destination(sql)) => *sql += &format!("{line}\n"),
                _ => panic!("SQL without a place: {line}"),
            }
        }
    }
    if case.flows.is_empty() {
        case.flows.push("table: public.t => public.t, createTable: true".to_owned());
    }
    case
}

pub(super) struct Run {
    pub(super) name: &'static str,
    text: &'static str,
    case: Case,
    pub(super) source: Database,
    pub(super) destination: Database,
    server: Option<Server>,
    role: String,
}

/// Runs a case.
pub async fn run(name: &'static str, text: &'static str) {
    let Some((mut run, steps)) = begin(name, text).await else { return };
    for (number, step) in steps.iter().enumerate() {
        run.step(number, step).await;
    }
}

/// Returns a case and its steps; `None` where the server is too old for it.
pub(super) async fn begin(name: &'static str, text: &'static str) -> Option<(Run, Vec<Step>)> {
    let mut case = parse(text);
    let version = pelton::postgres::throwaway::Binaries::find(None, 14).expect("PostgreSQL is there").major();
    if version < case.since {
        eprintln!("{name}: passed over, PostgreSQL {version} is older than {}", case.since);
        return None;
    }
    let steps = std::mem::take(&mut case.steps);
    let server = match case.settings.is_empty() {
        true => None,
        false => {
            let settings = case.settings.clone();
            let with = |builder| {
                settings.into_iter().fold(builder, |b: pelton::postgres::throwaway::Builder, (k, v)| b.setting(k, v))
            };
            Some(server_with(with).await)
        }
    };
    let source = match &server {
        Some(server) => database_on(server).await,
        None => database().await,
    };
    let destination = database().await;
    let role = format!("Rôle {}", source.name());
    Some((Run { name, text, case, source, destination, server, role }, steps))
}

impl Run {
    pub(super) async fn step(&mut self, number: usize, step: &Step) {
        match step {
            Step::Source(sql) => execute(&self.source, &self.filled(sql, &quote_ident(&self.role))).await,
            Step::Destination(sql) => execute(&self.destination, &self.filled(sql, &quote_ident(&self.role))).await,
            Step::Finds(expected) => self.finds(number, expected).await,
            Step::Plan => self.plan(true).await,
            Step::Restart => {
                let server = self.server.as_mut().expect("a case with `-- setting:`");
                server.restart(Shutdown::Fast).await.expect("the server restarts");
                self.source.reconnect().await;
            }
            Step::Sync => {
                let mut pelton = Pelton::new(["sync", "--until-caught-up"]).file("pelton.yaml", self.manifest());
                assert!(pelton.run().await.success(), "{}: {}", self.name, pelton.stderr());
            }
        }
    }

    fn filled(&self, text: &str, role: &str) -> String {
        let slot = self.source.name();
        text.replace("$role", role).replace("$source", self.source.name()).replace("$slot", slot)
    }

    async fn finds(&self, number: usize, expected: &[String]) {
        let mut pelton = Pelton::new(["doctor", "--json"]).file("pelton.yaml", self.manifest());
        let status = pelton.run().await;
        let told: Value = serde_json::from_str(&pelton.stdout())
            .unwrap_or_else(|error| panic!("{}: {error}\n{}{}", self.name, pelton.stdout(), pelton.stderr()));
        let findings = told["findings"].as_array().expect("a list of findings");
        let mut found: Vec<String> = findings
            .iter()
            .map(|finding| {
                let part = |name: &str| finding[name].as_str().expect("a text").to_owned();
                assert!(!part("what").is_empty() && !part("why").is_empty(), "{finding}");
                assert!(!finding["mends"].as_array().expect("a list").is_empty(), "nothing mends it: {finding}");
                format!("{} {}, {}", part("severity"), part("rule"), part("place"))
            })
            .filter(|line| USUAL.iter().all(|usual| !line.starts_with(usual) || self.text.contains(usual)))
            .collect();
        found.sort();
        let mut expected: Vec<String> = expected.iter().map(|line| self.filled(line, &self.role)).collect();
        expected.sort();
        assert_eq!(found, expected, "{}, step {number}\n{:#}", self.name, told["findings"]);
        let errors = expected.iter().any(|line| line.starts_with("error "));
        assert_eq!(status.code(), Some(i32::from(errors)), "{}", pelton.stderr());
        assert!(!pelton.stdout().contains("s3cret"), "no password is printed");
    }

    /// Runs the fix plan as an administrator would, twice. There `must` be one.
    pub(super) async fn plan(&self, must: bool) {
        let mut pelton = Pelton::new(["doctor", "--fix-plan", "plan.sql"]).file("pelton.yaml", self.manifest());
        pelton.run().await;
        let path = |name: &str| pelton.folder().join(name);
        let one = path("plan.sql");
        let (mut plans, mut before) = (Vec::new(), Vec::new());
        for (side, database) in [("source", &self.source), ("destination", &self.destination)] {
            let own = path(&format!("plan.{side}.sql"));
            let of_one =
                one.exists() && std::fs::read_to_string(&one).expect("a plan").contains(&format!(", {side} {side}:"));
            if own.exists() {
                plans.push((own, database));
            } else if of_one {
                plans.push((one.clone(), database));
            }
        }
        assert!(!plans.is_empty() || !must, "{}: there is no plan\n{}{}", self.name, pelton.stdout(), pelton.stderr());
        for run in 0..2 {
            for (plan, database) in &plans {
                apply(plan, database).await;
            }
            let mut now = Vec::new();
            for (_, database) in &plans {
                now.push(state(database).await);
            }
            assert!(run == 0 || now == before, "{}: the second run of the plan changed something", self.name);
            before = now;
        }
    }

    pub(super) fn manifest(&self) -> String {
        let role: String = self.role.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let url = |database: &Database, as_role: bool| match as_role {
            true => database.url().replace("//postgres@", &format!("//{role}@")),
            false => database.url(),
        };
        let mut text = format!(
            "slug: case\nmanifestVersion: 0\nconnections:\n\
             \x20 - {{ slug: source, config: {{ connectionType: postgres, url: \"{}\" }} }}\n\
             \x20 - {{ slug: destination, config: {{ connectionType: postgres, url: \"{}\" }} }}\n\
             dataStores:\n\
             \x20 - {{ connectionSlug: source, config: {{ connectionType: postgres, slotName: {}, publicationName: pelton{} }} }}\n\
             \x20 - {{ connectionSlug: destination }}\npublicSchemas:\n",
            url(&self.source, self.case.source_role),
            url(&self.destination, self.case.destination_role),
            self.source.name(),
            self.case.more
        );
        let flows = self.case.flows.iter().map(|flow| flow.split_once("=>").expect("a flow is `table: … => …`"));
        for (number, (config, _)) in flows.clone().enumerate() {
            text += &format!(
                "  - name: s{number}\n    version: {{ major: 1, minor: 0 }}\n    source: {{ dataStoreSlug: source }}\n    \
                 config: {{ publicSchemaType: table, {} }}\n",
                config.trim()
            );
        }
        text += "consumerSchemas:\n";
        for (number, (_, table)) in flows.enumerate() {
            text += &format!(
                "  - name: f{number}\n    sourceManifestSlug: case\n    publicSchema: {{ name: s{number}, majorVersion: 1 }}\n    \
                 config: {{ consumerSchemaType: table, destinationDataStoreSlug: destination, table: {} }}\n",
                table.trim()
            );
        }
        text
    }
}

/// Runs statements one by one: some refuse a transaction. Each ends at the end of a line.
async fn execute(database: &Database, sql: &str) {
    for statement in sql.split(";\n") {
        database.execute(statement).await;
    }
}

/// Runs a script through psql; where there is none, its statements one by one.
async fn apply(plan: &PathBuf, database: &Database) {
    let mut psql = Command::new("psql");
    psql.args(["-X", "-q", "-f"]).arg(plan).arg(database.url());
    match psql.output() {
        Ok(done) => {
            let script = std::fs::read_to_string(plan).expect("a plan");
            let said = String::from_utf8_lossy(&done.stderr).into_owned();
            assert!(done.status.success(), "psql: {said}\n{script}");
        }
        Err(_) => {
            let script = std::fs::read_to_string(plan).expect("a plan");
            let (alone, together) = script.split_once("\nBEGIN;\n").unwrap_or((&script, ""));
            for statement in alone.split(";\n") {
                let lines = statement.lines().filter(|line| !line.starts_with('\\') && !line.starts_with("--"));
                let sql: Vec<&str> = lines.collect();
                database.execute(&sql.join("\n")).await;
            }
            database.execute(together.trim_end().trim_end_matches("COMMIT;")).await;
        }
    }
}

/// What a fix plan may change, as text.
async fn state(database: &Database) -> String {
    let sql = "\
        SELECT (SELECT string_agg(concat_ws(' ', c.oid, c.relreplident, c.relacl, c.relpersistence, c.relrowsecurity), ',' \
                                  ORDER BY c.oid) FROM pg_class c WHERE c.oid >= 16384), \
               (SELECT string_agg(concat_ws(' ', n.oid, n.nspacl), ',' ORDER BY n.oid) FROM pg_namespace n \
                 WHERE n.nspname !~ '^pg_(toast_)?temp'), \
               (SELECT string_agg(to_jsonb(p)::text, ',' ORDER BY p.oid) FROM pg_publication p), \
               (SELECT string_agg(to_jsonb(r)::text, ',' ORDER BY r.oid) FROM pg_publication_rel r), \
               (SELECT string_agg(to_jsonb(d)::text, ',' ORDER BY d.oid) FROM pg_default_acl d), \
               (SELECT string_agg(to_jsonb(s)::text, ',' ORDER BY s.setrole) FROM pg_db_role_setting s \
                 JOIN pg_database d ON d.oid = s.setdatabase OR s.setdatabase = 0 \
                 WHERE d.datname = current_database() AND s.setrole IN ( \
                     SELECT oid FROM pg_roles WHERE rolname LIKE '%' || current_database())), \
               (SELECT string_agg(to_jsonb(r)::text, ',') FROM pg_roles r WHERE rolname LIKE '%' || current_database()), \
               (SELECT datacl::text FROM pg_database WHERE datname = current_database()), \
               (SELECT string_agg(concat_ws(' ', a.attrelid, a.attname, a.atttypid, a.attnotnull, a.attidentity, a.attgenerated), \
                                  ',' ORDER BY a.attrelid, a.attnum) FROM pg_attribute a WHERE a.attrelid >= 16384)";
    format!("{:?}", database.rows(sql).await)
}
