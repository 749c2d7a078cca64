//! Where the log goes: stderr, as lines for people or as JSON.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

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
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(progress::Stderr::default).with_target(false);
    match format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
}
