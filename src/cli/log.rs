//! Where the log goes: stderr, as lines for people or as JSON.

use std::io::IsTerminal;

use tracing::Metadata;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::progress;

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One line an event, coloured on a terminal
    Text,
    /// One JSON object a line
    Json,
}

/// Starts the log. `PELTON_LOG` takes what `RUST_LOG` does elsewhere, such as `debug` or `pelton::engine=trace`.
///
/// # Errors
/// The filter is not one.
pub fn start(format: LogFormat) -> Result<(), String> {
    let filter = match std::env::var("PELTON_LOG") {
        Ok(text) if !text.is_empty() => {
            EnvFilter::try_new(&text).map_err(|error| format!("PELTON_LOG={text}: {error}"))?
        }
        _ => EnvFilter::new("info"),
    };
    let log = tracing_subscriber::registry().with(filter).with(filter_fn(keeps_rows_back));
    let lines = tracing_subscriber::fmt::layer().with_writer(progress::Stderr::default).with_target(false);
    match format {
        LogFormat::Text => log.with(lines.with_ansi(std::io::stderr().is_terminal())).init(),
        LogFormat::Json => log.with(lines.json().flatten_event(true)).init(),
    }
    Ok(())
}

/// Whatever the filter asks for: the database client logs what servers note, and a trigger may note a row; below `info`
/// it logs statements with their parameters, and what transforms remember of rows is among those.
fn keeps_rows_back(line: &Metadata<'_>) -> bool {
    !line.target().starts_with("tokio_postgres") || *line.level() <= LevelFilter::WARN
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn statements_of_the_database_client_are_never_logged() {
        struct Count(&'static AtomicUsize);
        impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Count {
            fn on_event(&self, _: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        static SEEN: AtomicUsize = AtomicUsize::new(0);
        let everything = EnvFilter::new("trace,tokio_postgres::query=trace");
        let log = tracing_subscriber::registry().with(everything).with(filter_fn(keeps_rows_back)).with(Count(&SEEN));
        tracing::subscriber::with_default(log, || {
            tracing::debug!(target: "tokio_postgres::query", "executing statement s0 with parameters: [\"secret\"]");
            tracing::trace!(target: "tokio_postgres::prepare", "preparing");
            assert_eq!(SEEN.load(Ordering::Relaxed), 0);
            tracing::info!(target: "tokio_postgres::connection", "NOTICE: a trigger's, which quotes a row");
            assert_eq!(SEEN.load(Ordering::Relaxed), 0);
            tracing::warn!(target: "tokio_postgres::connection", "of the client's own");
            tracing::debug!(target: "pelton::engine", "ours");
            assert_eq!(SEEN.load(Ordering::Relaxed), 2);
        });
    }
}
