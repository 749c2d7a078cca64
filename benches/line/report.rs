//! The figures, as a table and as JSON.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::site::Site;

/// One figure.
pub struct Line {
    what: String,
    by: String,
    unit: String,
    median: f64,
    all: Vec<f64>,
    /// CPU of our process, µs for each that is counted.
    cpu_us: Option<f64>,
    /// Index of the line that it is compared with.
    against: Option<usize>,
    goal: Option<Goal>,
    less_is_better: bool,
}

struct Goal {
    text: String,
    value: f64,
    /// It is stated as a ratio.
    ratio: bool,
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

impl Line {
    pub fn new(what: &str, by: &str, unit: &str, values: impl Iterator<Item = f64>) -> Line {
        let mut all: Vec<f64> = values.collect();
        Line {
            what: what.to_owned(),
            by: by.to_owned(),
            unit: unit.to_owned(),
            median: median(&mut all),
            all,
            cpu_us: None,
            against: None,
            goal: None,
            less_is_better: false,
        }
    }

    /// Compares with another line; the goal is a ratio of the two.
    pub fn against(mut self, line: usize, goal: String, value: f64) -> Line {
        self.against = Some(line);
        self.goal = Some(Goal { text: goal, value, ratio: true });
        self
    }

    /// Compares with another line; the goal is a figure of its own.
    pub fn against_fixed(mut self, line: usize, goal: String, value: f64) -> Line {
        self.against = Some(line);
        self.goal(goal, value)
    }

    pub fn goal(mut self, goal: String, value: f64) -> Line {
        self.goal = Some(Goal { text: goal, value, ratio: false });
        self
    }

    pub fn cpu(mut self, values: impl Iterator<Item = f64>) -> Line {
        self.cpu_us = Some(median(&mut values.collect::<Vec<_>>()));
        self
    }

    pub fn less_is_better(mut self) -> Line {
        self.less_is_better = true;
        self
    }
}

/// All figures of a run.
pub struct Report {
    lines: Vec<Line>,
    settings: serde_json::Value,
}

impl Report {
    pub fn new(site: &Site, rows: u64, transaction_rows: u64, rounds: usize) -> Report {
        let settings = json!({
            "postgres": site.source.major(),
            "rows": rows,
            "transaction_rows": transaction_rows,
            "rounds": rounds,
            "cpus": std::thread::available_parallelism().map_or(0, usize::from),
        });
        Report { lines: Vec::new(), settings }
    }

    /// Adds a line and returns its index.
    pub fn add(&mut self, line: Line) -> usize {
        self.lines.push(line);
        self.lines.len() - 1
    }

    /// Prints the table to stdout and writes the JSON.
    pub fn write(&self, path: Option<&Path>) {
        println!(
            "PostgreSQL {}, {} CPUs, loopback TCP, medians of {} rounds, from start to visible",
            self.settings["postgres"], self.settings["cpus"], self.settings["rounds"]
        );
        println!("| work | by | figure | ratio | goal | reached | CPU |");
        println!("|---|---|---:|---:|---|---|---:|");
        for line in &self.lines {
            let ratio = self.ratio(line).map_or("–".to_owned(), |ratio| format!("{ratio:.2}"));
            let goal = line.goal.as_ref().map_or("–", |goal| &goal.text);
            let reached = self.reached(line).map_or("–", |reached| if reached { "yes" } else { "no" });
            let cpu = line.cpu_us.map_or("–".to_owned(), |cpu| format!("{cpu:.1} µs"));
            let figure = figure(line.median);
            println!("| {} | {} | {figure} {} | {ratio} | {goal} | {reached} | {cpu} |", line.what, line.by, line.unit);
        }
        let lines: Vec<_> = self.lines.iter().map(|line| self.json(line)).collect();
        let document = json!({ "settings": self.settings, "figures": lines });
        let path = path.map_or_else(default_path, Path::to_path_buf);
        let text = serde_json::to_string_pretty(&document).expect("JSON prints");
        std::fs::write(&path, text + "\n").expect("the JSON can be written");
        eprintln!("Wrote {}.", path.display());
    }

    fn ratio(&self, line: &Line) -> Option<f64> {
        line.against.map(|other| line.median / self.lines[other].median)
    }

    fn reached(&self, line: &Line) -> Option<bool> {
        let goal = line.goal.as_ref()?;
        let value = if goal.ratio { self.ratio(line)? } else { line.median };
        Some(if line.less_is_better { value <= goal.value } else { value >= goal.value })
    }

    fn json(&self, line: &Line) -> serde_json::Value {
        json!({
            "work": line.what,
            "by": line.by,
            "unit": line.unit,
            "median": line.median,
            "all": line.all,
            "cpu_us": line.cpu_us,
            "ratio": self.ratio(line),
            "goal": line.goal.as_ref().map(|goal| &goal.text),
            "reached": self.reached(line),
        })
    }
}

fn figure(value: f64) -> String {
    if value >= 1000.0 { format!("{:.1} k", value / 1000.0) } else { format!("{value:.2}") }
}

fn default_path() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"));
    std::fs::create_dir_all(&target).expect("the target folder can be made");
    target.join("bench.json")
}
