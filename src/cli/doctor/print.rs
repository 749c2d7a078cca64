//! What the doctor says: for people the worst first, for scripts everything.

use serde_json::{Value, json};

use super::look::Report;
use crate::setup::{Item, Mend, Part, Severity};

/// Prints what is amiss, the worst first, and how much was looked at.
pub fn text(report: &Report) {
    let mut amiss = findings(report);
    amiss.sort_by_key(|(severity, _)| *severity);
    for (severity, item) in &amiss {
        println!("{} [{}] {}: {}", word(*severity), item.rule, item.place, item.what);
        if let Some(why) = &item.why {
            println!("  Why: {why}");
        }
        for mend in &item.mends {
            match mend {
                Mend::Sql(statement) => {
                    let by = if statement.part == Part::Admin { ", as an administrator" } else { "" };
                    let sql = statement.printed.as_ref().unwrap_or(&statement.sql);
                    println!("  Mend (SQL{by}): {}", indented(sql));
                }
                Mend::Step(step) => println!("  Mend: {step}"),
            }
        }
        println!();
    }
    for server in &report.servers {
        let is_provider = |item: &&Item| item.rule == "provider";
        if let Some(item) = server.items.iter().find(is_provider) {
            println!("{}: {}", item.place, item.what);
        }
    }
    let count = |wanted: Severity, one: &str, many: &str| {
        let count = amiss.iter().filter(|(severity, _)| *severity == wanted).count();
        format!("{count} {}", if count == 1 { one } else { many })
    };
    let right = report.items().filter(|item| item.severity().is_none()).count();
    println!(
        "{}, {}, {}; {right} checks found nothing amiss.",
        count(Severity::Error, "error", "errors"),
        count(Severity::Warning, "warning", "warnings"),
        count(Severity::Advice, "piece of advice", "pieces of advice")
    );
}

/// Prints one object: `findings`, `right`, `servers`.
pub fn json(report: &Report) {
    let mut amiss = findings(report);
    amiss.sort_by_key(|(severity, _)| *severity);
    let findings: Vec<Value> = amiss
        .iter()
        .map(|(severity, item)| {
            json!({
                "rule": item.rule,
                "severity": word(*severity).to_lowercase(),
                "place": item.place,
                "what": item.what,
                "why": item.why,
                "mends": item.mends.iter().map(mend).collect::<Vec<_>>(),
            })
        })
        .collect();
    let right = report.items().filter(|item| item.severity().is_none());
    let right: Vec<Value> =
        right.map(|item| json!({ "rule": item.rule, "place": item.place, "what": item.what })).collect();
    let servers: Vec<Value> = report
        .servers
        .iter()
        .map(|server| {
            let found = server.facts.as_ref();
            let source = found.and_then(|found| found.source.as_ref());
            json!({
                "place": server.target.place(),
                "connection": server.target.connection.to_string(),
                "reached": found.is_some(),
                "provider": found.map(|found| found.provider.name()),
                "version": found.map(|found| found.server.version_text.clone()),
                "role": found.map(|found| found.role.name.clone()),
                "walBytesPerSecond": source.and_then(|source| source.wal.rate()).map(f64::round),
                "retainedBytes": source.and_then(|source| source.retained()),
            })
        })
        .collect();
    println!("{:#}", json!({ "findings": findings, "right": right, "servers": servers }));
}

fn findings(report: &Report) -> Vec<(Severity, &Item)> {
    report.items().filter_map(|item| Some((item.severity()?, item))).collect()
}

fn mend(mend: &Mend) -> Value {
    match mend {
        Mend::Step(step) => json!({ "step": step }),
        Mend::Sql(statement) => json!({
            "sql": statement.printed.as_ref().unwrap_or(&statement.sql),
            "part": match statement.part { Part::Admin => "admin", Part::Ordinary => "ordinary" },
            "comment": statement.comment,
            "bySetup": !statement.by_person,
        }),
    }
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "Error",
        Severity::Warning => "Warning",
        Severity::Advice => "Advice",
    }
}

/// A statement of several lines, below its first one.
fn indented(sql: &str) -> String {
    sql.replace('\n', "\n    ")
}
