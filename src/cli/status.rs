//! `pelton status`: how far every flow is, and what a stopped one needs.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::json;

use super::columns::{self, duration, size};
use super::consumers::{self, Found};
use super::deploy::{self, Report};
use super::files;
use super::mirrors;
use super::report::Failure;
use super::standing::{Trouble, ms_since};
use super::violations;
use crate::datastore::{self, BackfillRow, Deployed, FlowRow, Scope, ShadowRow, ViolationRow};
use crate::engine::{self, DeployTarget, GroupPlan, SourcePlan};
use crate::lsn::Lsn;
use crate::manifest::Manifest;
use crate::postgres::{self, slot};

/// Shows how far every flow is: its state, position, lag, rows, and what a stopped one needs
///
/// Asks the databases, so it works from any machine that reaches them, whether or not `pelton sync` runs.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The manifest [default: pelton.yaml in this folder]
    #[arg(value_name = "MANIFEST")]
    pub manifest: Option<PathBuf>,

    /// Print JSON, for scripts
    #[arg(long)]
    pub json: bool,
}

/// A source as it is now.
struct SourceStatus {
    slug: String,
    slot: String,
    /// What is wrong with it, or nothing.
    problem: Option<String>,
    hint: Option<String>,
    found: Option<SourceFound>,
}

struct SourceFound {
    position: Lsn,
    active: bool,
    confirmed: Option<Lsn>,
    restart: Option<Lsn>,
    wal_status: Option<String>,
}

/// A flow as it is now.
struct FlowStatus {
    flow: String,
    source: String,
    destination: String,
    state: &'static str,
    row: Option<FlowRow>,
    /// Of the tables that are being copied: name, rows copied, rows guessed.
    copied: Vec<(String, u64, u64)>,
    /// What of its public schema's rows is not what `outputSchema` says.
    violations: Vec<ViolationRow>,
    lag_bytes: Option<u64>,
    lag_ms: Option<u64>,
    problem: Option<String>,
    hint: Option<String>,
}

/// Prints the status.
///
/// # Errors
/// The manifest's problems. A database that can't be reached is part of the status, and makes the exit code 1.
pub async fn run(args: Args) -> Result<(), Failure> {
    let manifest = files::load_one(args.manifest.as_deref())?;
    let plan = consumers::plan(&manifest)?;
    let mut sources = Vec::new();
    let mut flows = Vec::new();
    let mut transforms = Vec::new();
    let components = engine::deploy_targets(&plan);
    for source in &plan.sources {
        let status = source_status(&manifest, source).await;
        for group in &source.groups {
            let kept = ask_destination(&manifest, source, group).await;
            flows.extend(group_status(source, group, &status, &kept));
            let of_group = |target: &&DeployTarget| target.source == source.slug && target.group.slug == group.slug;
            let deployed = |name: &str| kept.as_ref().ok()?.deployed.iter().find(|one| one.transform == name);
            let shadow = |target: &DeployTarget| {
                target.config.shadow.as_ref()?;
                let found = kept.as_ref().ok()?.shadows.iter().find(|one| one.transform == target.transform.name);
                Some(found.map(|one| one.found.clone()).unwrap_or_default())
            };
            let report = |target: &DeployTarget| Report {
                shadow: shadow(target),
                ..Report::new(target, deployed(&target.transform.name))
            };
            transforms.extend(components.iter().filter(of_group).map(report));
        }
        sources.push(status);
    }
    let consumers = consumers::look(&manifest, &plan).await;
    let mirrors = mirrors::look(&manifest, &plan).await;
    if args.json {
        print_json(&manifest, &sources, &flows, &transforms, &consumers, &mirrors)
    } else {
        print_text(&sources, &flows);
        if !transforms.is_empty() {
            println!();
            deploy::print_text(&transforms);
        }
        for report in &transforms {
            let name = format!("{} at {}", report.transform, report.destination);
            report.shadow_lines().iter().for_each(|line| println!("{line}"));
            report.refusal().iter().for_each(|trouble| trouble.print(&name));
        }
        if !consumers.is_empty() {
            println!();
            consumers::print(&consumers);
        }
        if !mirrors.is_empty() {
            println!();
            mirrors::print(&mirrors);
        }
    }
    let troubled = consumers.iter().any(|consumer| consumer.problem().is_some())
        || mirrors.iter().any(|mirror| mirror.problem().is_some())
        || sources.iter().any(|s| s.problem.is_some())
        || flows.iter().any(|f| f.problem.is_some());
    if troubled { Err(Failure::said()) } else { Ok(()) }
}

async fn source_status(manifest: &Manifest, source: &SourcePlan) -> SourceStatus {
    let slot = source.config.slot_name.clone();
    let mut status = SourceStatus { slug: source.slug.clone(), slot, problem: None, hint: None, found: None };
    match ask_source(manifest, source).await {
        Ok((found, unusable)) => {
            status.found = Some(found);
            (status.problem, status.hint) = unusable.map_or((None, None), |trouble| (Some(trouble.what), trouble.hint));
        }
        Err(Trouble { what, hint }) => (status.problem, status.hint) = (Some(what), hint),
    }
    status
}

/// Looks at a source and its slot; also says what keeps the slot from being read.
async fn ask_source(manifest: &Manifest, source: &SourcePlan) -> Result<(SourceFound, Option<Trouble>), Trouble> {
    let session = postgres::Session::source(format!("pelton {} status", manifest.slug));
    let client = postgres::connect(&source.connection, &session).await?;
    let row = client
        .query_one(
            "SELECT (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END)::text, \
                    current_database()::text",
            &[],
        )
        .await
        .map_err(|error| Trouble::of(&error, None))?;
    let position = row.get::<_, &str>(0).parse().map_err(|error| Trouble::of(&error, None))?;
    let name = &source.config.slot_name;
    let slot = slot::look_up(&client, name).await.map_err(|error| Trouble::of(&error, error.hint()))?;
    let Some(slot) = slot else {
        let what = format!("replication slot \"{name}\" does not exist");
        return Err(Trouble { what, hint: Some("`pelton sync` makes it, for flows that are new".to_owned()) });
    };
    let unusable = slot.usable(row.get(1)).err().map(|error| Trouble::of(&error, error.hint()));
    let found = SourceFound {
        position,
        active: slot.active_pid.is_some(),
        confirmed: slot.confirmed_flush,
        restart: slot.restart_lsn,
        wal_status: slot.wal_status.map(|status| format!("{status:?}").to_lowercase()),
    };
    Ok((found, unusable))
}

fn group_status(
    source: &SourcePlan,
    group: &GroupPlan,
    status: &SourceStatus,
    rows: &Result<Kept, Trouble>,
) -> Vec<FlowStatus> {
    let flows = group.transforms.iter().flat_map(|transform| &transform.flows);
    let status = flows.map(|flow| {
        let mut out = FlowStatus {
            flow: flow.name.clone(),
            source: source.slug.clone(),
            destination: group.slug.clone(),
            state: "unknown",
            row: None,
            copied: Vec::new(),
            violations: Vec::new(),
            lag_bytes: None,
            lag_ms: None,
            problem: None,
            hint: None,
        };
        match rows {
            Err(trouble) => (out.problem, out.hint) = (Some(trouble.what.clone()), trouble.hint.clone()),
            Ok(Kept { flows: rows, backfills, violations, .. }) => {
                match rows.iter().find(|row| row.flow == flow.name) {
                    None => out.state = "new",
                    Some(row) => {
                        out.state = match (&row.problem, row.backfill.is_some()) {
                            _ if row.released => "released",
                            (Some(_), _) if row.paused => "paused",
                            (Some(_), _) => "stopped",
                            (None, true) => "backfill",
                            (None, false) => "live",
                        };
                        out.copied = row.backfill.iter().flat_map(|name| copied(backfills, name)).collect();
                        let of_flow =
                            |one: &&ViolationRow| one.public_schema == row.public_schema && one.major == row.major;
                        out.violations = violations.iter().filter(of_flow).cloned().collect();
                        out.problem = row.problem.clone();
                        out.hint = row.hint.clone();
                        if row.released {
                            (out.problem, out.hint) = released(row);
                        } else if let Some(found) = &status.found {
                            let lag = found.position.bytes_since(row.lsn);
                            out.lag_bytes = Some(lag);
                            out.lag_ms = if lag == 0 { Some(0) } else { row.commit_time.map(ms_since) };
                        }
                        out.row = Some(row.clone());
                    }
                }
            }
        }
        out
    });
    status.collect()
}

/// Returns what became of a released flow, and what brings it back. It does not lag: the log that it would need may be gone.
fn released(row: &FlowRow) -> (Option<String>, Option<String>) {
    let mut problem = format!(
        "released: while it was stopped it held back more write-ahead log than `detachedWalMax` allows, and what changed \
         since {} may no longer be read",
        row.lsn
    );
    problem.extend(row.problem.iter().map(|stopped| format!(". It had stopped because: {stopped}")));
    let mend = row.hint.as_ref().map(|hint| format!("{hint}; ")).unwrap_or_default();
    let hint = format!("{mend}when `pelton sync` starts again, it empties the flow's table and copies it anew");
    (Some(problem), Some(hint))
}

/// What a destination keeps of a source's flows.
#[derive(Default)]
struct Kept {
    deployed: Vec<Deployed>,
    shadows: Vec<ShadowRow>,
    flows: Vec<FlowRow>,
    backfills: Vec<BackfillRow>,
    violations: Vec<ViolationRow>,
}

async fn ask_destination(manifest: &Manifest, source: &SourcePlan, group: &GroupPlan) -> Result<Kept, Trouble> {
    let session = postgres::Session::destination(format!("pelton {} status", manifest.slug));
    let client = postgres::connect(&group.connection, &session).await?;
    let scope = Scope { manifest: manifest.slug.clone(), source: source.slug.clone() };
    let flows = datastore::flows(&client, &scope).await?;
    // Without flows there may be no tables of ours at all.
    if flows.is_empty() {
        return Ok(Kept { flows, ..Kept::default() });
    }
    let backfills = datastore::backfills(&client, &scope).await?;
    let violations = datastore::violations(&client, &scope).await?;
    let deployed = datastore::deployed(&client, &scope).await?;
    let shadows = datastore::shadows(&client, &scope).await?;
    Ok(Kept { deployed, shadows, flows, backfills, violations })
}

/// Returns how far the tables of a backfill are: name, rows copied, rows guessed.
fn copied(backfills: &[BackfillRow], name: &str) -> Vec<(String, u64, u64)> {
    let number = |row: &BackfillRow, field: &str| row.progress.get(field).and_then(serde_json::Value::as_u64);
    let table = |row: &BackfillRow| {
        let rows = number(row, "rows")?;
        Some((row.table.clone(), rows, number(row, "estimate").unwrap_or(0).max(rows)))
    };
    backfills.iter().filter(|row| row.name == name).filter_map(table).collect()
}

fn print_json(
    manifest: &Manifest,
    sources: &[SourceStatus],
    flows: &[FlowStatus],
    transforms: &[Report],
    consumers: &[Found],
    mirrors: &[mirrors::Found],
) {
    let lsn = |lsn: Option<Lsn>| lsn.map(|lsn| lsn.to_string());
    let source = |s: &SourceStatus| {
        let found = s.found.as_ref();
        json!({
            "source": s.slug,
            "slot": s.slot,
            "position": lsn(found.map(|f| f.position)),
            "confirmed": lsn(found.and_then(|f| f.confirmed)),
            "retainedBytes": found.and_then(|f| Some(f.position.bytes_since(f.restart?))),
            "walStatus": found.and_then(|f| f.wal_status.clone()),
            "running": found.map(|f| f.active),
            "problem": s.problem,
            "hint": s.hint,
        })
    };
    let flow = |f: &FlowStatus| {
        json!({
            "flow": f.flow,
            "source": f.source,
            "destination": f.destination,
            "state": f.state,
            "checkpoint": lsn(f.row.as_ref().map(|row| row.lsn)),
            "lagBytes": f.lag_bytes,
            "lagMs": f.lag_ms,
            "rows": f.row.as_ref().map(|row| row.rows_applied),
            "copied": f.copied.iter().map(|(table, rows, estimate)| json!({
                "table": table, "rows": rows, "rowsEstimate": estimate,
            })).collect::<Vec<_>>(),
            "violations": violations::to_json(&f.violations),
            "problem": f.problem,
            "hint": f.hint,
        })
    };
    let status = json!({
        "manifest": manifest.slug,
        "sources": sources.iter().map(source).collect::<Vec<_>>(),
        "flows": flows.iter().map(flow).collect::<Vec<_>>(),
        "transforms": transforms.iter().map(Report::to_json).collect::<Vec<_>>(),
        "consumers": consumers.iter().map(consumers::to_json).collect::<Vec<_>>(),
        "mirrors": mirrors.iter().map(mirrors::to_json).collect::<Vec<_>>(),
    });
    println!("{status:#}");
}

fn print_text(sources: &[SourceStatus], flows: &[FlowStatus]) {
    for source in sources {
        if let Some(found) = &source.found {
            let running = if found.active { "read by a running sync" } else { "not being read" };
            let retained = found.restart.map_or(0, |restart| found.position.bytes_since(restart));
            let at = found.position;
            println!(
                "source {}: slot {} {running}, at {at}, retains {} of WAL",
                source.slug,
                source.slot,
                size(retained)
            );
        }
        if let Some(problem) = &source.problem {
            println!("source {}: {problem}", source.slug);
        }
        if let Some(hint) = &source.hint {
            println!("  Hint: {hint}");
        }
    }
    if flows.is_empty() {
        return;
    }
    println!();
    let head = ["FLOW", "TO", "STATE", "CHECKPOINT", "LAG", "BEHIND", "ROWS"].map(str::to_owned);
    let line = |f: &FlowStatus| {
        let unknown = || "-".to_owned();
        [
            f.flow.clone(),
            f.destination.clone(),
            f.state.to_owned(),
            f.row.as_ref().map_or_else(unknown, |row| row.lsn.to_string()),
            f.lag_bytes.map_or_else(unknown, size),
            f.lag_ms.map_or_else(unknown, duration),
            f.row.as_ref().map_or_else(unknown, |row| row.rows_applied.to_string()),
        ]
    };
    columns::print(std::iter::once(head).chain(flows.iter().map(line)));
    for flow in flows {
        for (table, rows, estimate) in &flow.copied {
            println!("{}: copied {rows} of about {estimate} rows of {table}", flow.flow);
        }
    }
    // Flows of one public schema into one destination share what was counted.
    let violations: BTreeSet<String> =
        flows.iter().flat_map(|f| f.violations.iter().map(|one| violations::line(&f.destination, one))).collect();
    violations.iter().for_each(|line| println!("{line}"));
    for flow in flows {
        let problem = Trouble::recorded(flow.problem.as_ref(), flow.hint.as_ref());
        problem.iter().for_each(|problem| problem.print(&flow.flow));
    }
}
