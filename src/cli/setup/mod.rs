//! `pelton setup`: prepares databases, and reports every step.

mod jobs;
mod report;

use std::path::PathBuf;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::report::Failure;
use crate::setup::run::{Done, How};
use crate::setup::wish::{IdentityWish, Job};
use crate::setup::{self, SetupError, Severity, Stop, manifest_fragment, script};

/// Prepares databases: settings, roles, grants, publication, slot; reports every step
///
/// Works on the databases of a manifest, or without one on that of --url or of PGHOST, PGPORT, PGUSER, PGPASSWORD,
/// PGDATABASE and PGSSLMODE. Can be run as often as you like: what is right stays as it is, and nothing is dropped or
/// lowered. Exits 0 when everything is right in the end, 1 when something is missing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Passwords come from the environment or from files, never from an argument.")]
pub struct Args {
    /// The manifest [default: pelton.yaml in this folder, unless a database is named otherwise]
    #[arg(value_name = "MANIFEST", conflicts_with_all = ["url", "role", "slot", "tables", "tables_file", "schemas", "all_tables"])]
    pub manifest: Option<PathBuf>,

    /// The database, instead of a manifest; its password comes from PGPASSWORD
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,

    /// An administrator's login at the manifest's server, which may also be in PELTON_ADMIN_URL, password included
    #[arg(long, value_name = "URL", conflicts_with = "url")]
    pub admin_url: Option<String>,

    /// Only this connection of the manifest
    #[arg(long, value_name = "SLUG", conflicts_with = "url")]
    pub connection: Option<String>,

    /// The role that Pelton is to run as [default: the one that connects]
    #[arg(long)]
    pub role: Option<String>,

    /// The variable that holds the role's password
    #[arg(long, value_name = "VARIABLE", requires = "role", conflicts_with = "password_file")]
    pub password_env: Option<String>,

    /// The file that holds the role's password
    #[arg(long, value_name = "FILE", requires = "role")]
    pub password_file: Option<PathBuf>,

    /// The publication [default: pelton]; with a manifest: alter its publication even if somebody else made it
    #[arg(long, value_name = "NAME")]
    pub publication: Option<String>,

    /// The replication slot [default: pelton_ and the database]
    #[arg(long, value_name = "NAME")]
    pub slot: Option<String>,

    /// Tables to publish, as 'public.orders(id, label) WHERE (id > 100), "Sales"."Order"'; may be repeated
    #[arg(long)]
    pub tables: Vec<String>,

    /// A file with tables to publish, one a line, `#` for comments
    #[arg(long, value_name = "FILE")]
    pub tables_file: Option<PathBuf>,

    /// Publish all tables of these schemas that may be
    #[arg(long, value_delimiter = ',', conflicts_with_all = ["tables", "tables_file"])]
    pub schemas: Vec<String>,

    /// Publish all tables that may be, which is the default without a manifest
    #[arg(long, conflicts_with_all = ["tables", "tables_file", "schemas"])]
    pub all_tables: bool,

    /// Publish one more table, with REPLICA IDENTITY FULL; may be repeated
    #[arg(long, value_name = "TABLE")]
    pub add_table: Vec<String>,

    /// Publish a table no longer, and set its REPLICA IDENTITY to DEFAULT; may be repeated
    #[arg(long, value_name = "TABLE")]
    pub drop_table: Vec<String>,

    /// REPLICA IDENTITY FULL for all published tables, for those without a key, or for none
    #[arg(long, value_enum, default_value = "none", value_name = "WHICH")]
    pub replica_identity: Identity,

    /// Give new tables without a key REPLICA IDENTITY FULL, by an event trigger
    #[arg(long)]
    pub keep_replica_identity: bool,

    /// Tell the stream of ALTER TABLE, by an event trigger
    #[arg(long)]
    pub ddl_messages: bool,

    /// Hand the published tables to a group that the role and their owners are in
    #[arg(long, value_name = "NAME")]
    pub replication_group: Option<String>,

    /// Leave out the schema `pelton`: a view of the state, and procedures
    #[arg(long)]
    pub no_helpers: bool,

    /// Print the SQL, and change nothing
    #[arg(long)]
    pub print: bool,

    /// Only what needs an administrator
    #[arg(long)]
    pub as_admin: bool,

    /// Wait for the restart of the server when one is needed, then go on
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "600")]
    pub wait: Option<u64>,

    /// Try this long to reach a server
    #[arg(long, value_name = "SECONDS", default_value_t = 15)]
    pub retry: u64,
}

/// What becomes of replica identities.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Identity {
    Full,
    Keyless,
    None,
}

impl From<Identity> for IdentityWish {
    fn from(identity: Identity) -> IdentityWish {
        match identity {
            Identity::Full => IdentityWish::Full,
            Identity::Keyless => IdentityWish::Keyless,
            Identity::None => IdentityWish::Leave,
        }
    }
}

/// Prepares the databases.
///
/// # Errors
/// What keeps one from being prepared; what is wrong with single steps has been reported then.
pub async fn run(args: Args) -> Result<(), Failure> {
    let (jobs, from_manifest) = jobs::jobs(&args).await?;
    let how = How {
        print: args.print,
        as_admin: args.as_admin,
        wait: args.wait.map(Duration::from_secs),
        patience: Duration::from_secs(args.retry),
    };
    let stop = Stop::default();
    let mut failures = Vec::new();
    let mut counts = report::Counts::default();
    for job in &jobs {
        let mut tell = |item: &setup::Item| report::item(item, how.print);
        let done = match interruptible(&stop, setup::run(job, how, &stop, &mut tell)).await {
            Ok(done) => done,
            Err(SetupError::Stopped) => return Err(Failure::of(&SetupError::Stopped, SetupError::Stopped.hint())),
            Err(error) => {
                failures.push(Failure::of(&error, error.hint()));
                continue;
            }
        };
        done.items.iter().for_each(|item| counts.add(item));
        if how.print {
            print_script(job, &done, jobs.len() > 1);
        } else {
            report::connection(job, &done);
            if let Some(source) = job.source().filter(|_| !from_manifest) {
                print!("\nFor the manifest:\n\n{}", manifest_fragment::fragment(job, source));
            }
        }
    }
    if !how.print {
        println!("\n{counts}");
    }
    match (failures.is_empty(), counts.worst()) {
        (false, _) => Err(Failure::all(failures)),
        (true, Some(Severity::Error)) => Err(Failure::said()),
        _ => Ok(()),
    }
}

/// Prints one database's script. The slot comes behind the transaction that makes its publication.
fn print_script(job: &Job, done: &Done, several: bool) {
    let to = &job.connection;
    if several {
        // Read by psql as one word; what is in it can't end it.
        let field = |name: &str, value: &str| format!("{name}='{}'", value.replace('\\', "\\\\").replace('\'', "\\'"));
        let text =
            [field("host", &to.host), field("port", &to.port.to_string()), field("dbname", &to.database)].join(" ");
        println!("\\connect -reuse-previous=on '{}'", text.replace('\\', "\\\\").replace('\'', "''"));
    }
    if let Some(helpers) = &done.helpers {
        println!("{helpers}");
    }
    let part = if done.here.me == done.here.role { "" } else { " and its administrator" };
    let title = format!(
        "{}: database {} at {}, for role {}{part}; it may be run again",
        job.place, to.database, to.host, done.here.role
    );
    print!("{}", script(&title, &done.statements));
    if !done.last.is_empty() {
        print!("\n{}", script("the slot, which needs what stands above", &done.last));
    }
}

/// Runs it until it is done or a signal comes; then what is under way is cancelled.
async fn interruptible<T>(stop: &Stop, running: impl Future<Output = Result<T, SetupError>>) -> Result<T, SetupError> {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return running.await;
    };
    let mut running = std::pin::pin!(running);
    tokio::select! {
        done = &mut running => return done,
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    stop.ask().await;
    match tokio::time::timeout(Duration::from_secs(5), running).await {
        // It was done before it noticed.
        Ok(Ok(done)) => Ok(done),
        _ => Err(SetupError::Stopped),
    }
}
