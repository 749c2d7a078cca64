//! Looks after lanes that are at work, until something makes it worth beginning anew.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_postgres::Client;

use super::super::failure::EngineError;
use super::super::upstream::Upstream;
use super::Outcome;
use super::lane::Ended;
use super::once::Run;
use super::registrar::{Heard, Registrar, is_put_off};
use crate::datastore::{self, ConsumerRow};

/// How often is looked whether somebody has changed a consumer, and whether a stream has appeared.
const WATCH: Duration = Duration::from_secs(1);

/// Lanes at work, and what is looked at meanwhile.
pub(super) struct Running<'a> {
    pub(super) run: &'a Run<'a>,
    pub(super) client: &'a Client,
    pub(super) upstream: &'a Upstream,
    /// How many streams there were when the lanes were opened.
    pub(super) streams: usize,
    /// Some consumers have none.
    pub(super) waits: bool,
}

impl Running<'_> {
    /// Waits until a lane ends, somebody changes a consumer, or a stream appears; then ends all lanes. `lanes` say whether
    /// they go on only until they have caught up, and whether several consumers share them.
    pub(super) async fn watch(
        &self,
        rows: &[ConsumerRow],
        mut registrar: Registrar<'_>,
        mut lanes: JoinSet<(bool, bool, Ended)>,
        ending: watch::Sender<bool>,
    ) -> Result<Outcome, EngineError> {
        let Running { run, client, upstream, streams, waits } = *self;
        let ours = owners(rows);
        let until = run.context.options.until_caught_up;
        let mut published = run.published.clone();
        let outcome = loop {
            let nothing_more = *published.borrow();
            let rejoins = run.standing.next();
            if lanes.is_empty() && until && rejoins.is_none() && (nothing_more || !waits) {
                // What the manifest waits for may have been published while its lanes ran.
                let (found, _) = upstream.streams().await?;
                if waits && found.len() != streams {
                    break Outcome::Changed;
                }
                break run.never_published(&found).unwrap_or(Outcome::CaughtUp);
            }
            let told = async {
                // Nothing of the channel is held on to while others are waited for.
                let _ = published.wait_for(|published| *published).await;
            };
            let rejoin = async {
                match rejoins {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(ended) = lanes.join_next(), if !lanes.is_empty() => {
                    let (live, shared, ended) = ended.map_err(|error| EngineError::Bug(error.to_string()))?;
                    match ended {
                        Ended::CaughtUp if live => break Outcome::Changed,
                        Ended::CaughtUp => {}
                        Ended::Stopped => break Outcome::Stopped,
                        Ended::Failed { consumer, error } => break Outcome::Failed { consumer, error, shared },
                    }
                }
                () = rejoin => break Outcome::Changed,
                // Told once.
                () = told, if !nothing_more => {}
                () = tokio::time::sleep(WATCH) => {
                    let rows = datastore::consumers(client, &run.context.manifest).await;
                    let rows = rows.map_err(|source| run.at_destination(source))?;
                    if let Some(consumer) = self.resumed(&rows) {
                        break Outcome::Resumed(consumer);
                    }
                    let of_ours = rows.iter().filter(|row| ours.iter().any(|(name, _)| *name == row.consumer));
                    let now: Vec<ConsumerRow> = of_ours.cloned().collect();
                    if owners(&now) != ours {
                        break Outcome::Changed;
                    }
                    if waits {
                        match upstream.streams().await {
                            Ok((found, _)) if found.len() != streams => break Outcome::Changed,
                            // Those that read go on.
                            Err(error) if lanes.is_empty() || !is_put_off(&error) => return Err(error),
                            _ => {}
                        }
                    }
                    match registrar.tick(client, upstream, now).await? {
                        None => {}
                        Some((consumer, Heard::Missed)) => {
                            let (found, _) = upstream.streams().await?;
                            break run.removed(&consumer, &found);
                        }
                        Some((consumer, Heard::Refused(error))) => {
                            break Outcome::Failed { consumer: Some(consumer), error, shared: false };
                        }
                    }
                }
            }
        };
        // The others end where they are: what they have written of a transaction is rolled back.
        let _ = ending.send(true);
        while lanes.join_next().await.is_some() {}
        if let Outcome::CaughtUp = outcome {
            registrar.last(client, upstream).await?;
        }
        Ok(outcome)
    }

    /// Returns a consumer that had stopped, and that somebody has resumed.
    fn resumed(&self, rows: &[ConsumerRow]) -> Option<String> {
        let mut stopped = self.run.standing.stopped.iter().filter(|(_, (_, recorded))| *recorded);
        let resumed = |name: &str| rows.iter().any(|row| row.consumer == name && row.problem.is_none());
        stopped.find(|(name, _)| resumed(name)).map(|(name, _)| name.clone())
    }
}

fn owners(rows: &[ConsumerRow]) -> BTreeSet<(String, i64)> {
    rows.iter().map(|row| (row.consumer.clone(), row.owner)).collect()
}
