//! How far rows are copied: a bar a table on a terminal, and nothing else than the log without one.

use std::collections::HashMap;
use std::io::{self, IsTerminal, Write};
use std::sync::LazyLock;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::sync::mpsc;

use crate::engine::CopyReport;
use crate::engine::backfill::{TableStage, TableStatus};

static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// stderr for the log: a line never lands in the middle of a bar.
#[derive(Debug, Default)]
pub struct Stderr {
    line: Vec<u8>,
}

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            return Ok(());
        }
        BARS.suspend(|| io::stderr().write_all(&line))
    }
}

impl Drop for Stderr {
    fn drop(&mut self) {
        // A log line that can't be written has nowhere else to go.
        let _ = self.flush();
    }
}

/// Draws what is reported until nobody reports any more.
pub async fn show(mut reports: mpsc::UnboundedReceiver<CopyReport>) {
    let on_terminal = io::stderr().is_terminal();
    let mut bars: HashMap<(String, String, String), ProgressBar> = HashMap::new();
    while let Some(report) = reports.recv().await {
        if !on_terminal {
            continue;
        }
        for table in &report.tables {
            let key = (report.destination.clone(), report.transform.clone(), table.table.clone());
            let bar = bars.entry(key).or_insert_with(|| BARS.add(bar(&report, table)));
            bar.set_length(table.rows_estimate);
            bar.set_position(table.rows_copied);
            let left = match table.seconds_left {
                Some(seconds) if seconds >= 1.0 => format!(", {} left", time(seconds)),
                _ => String::new(),
            };
            bar.set_message(format!("{:.0} rows/s{left}", table.rows_per_second));
            if table.stage == TableStage::Done {
                bar.finish_and_clear();
            }
        }
    }
}

fn bar(report: &CopyReport, table: &TableStatus) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} {wide_bar} {human_pos}/{human_len} rows, {msg}");
    let bar = ProgressBar::new(table.rows_estimate).with_prefix(format!("{} → {}", table.table, report.destination));
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn time(seconds: f64) -> String {
    let seconds = seconds as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds:02} s"),
        (hours, minutes, _) => format!("{hours} h {minutes:02} min"),
    }
}
