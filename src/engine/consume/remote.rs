//! A lane's events from a service: lines as they come, for as long as both are there.
//!
//! The service tells whole transactions in the order of their source, as an event store would, and says when it has told
//! everything that there is. What is told begins at the lane's cursors. A stream that breaks is opened again behind the last
//! event that came of it, so a transaction that takes longer than any connection lives gets to its end all the same; where that
//! does not work either, the next lane reads on from what is committed here.

use std::time::{Duration, Instant};

use hashbrown::HashMap;

use super::super::failure::EngineError;
use super::lane::{Batches, Ended, Until};
use crate::change::Position;
use crate::eventstore::{Line, Shape, Stream, Wanted};
use crate::postgres::Backoff;
use crate::service::{Behind, Lines, Service, ServiceError};

/// How long a stream is tried again that broke inside a transaction: what is written of it is open at the destination.
const INSIDE: Duration = Duration::from_secs(60);
const BACKOFF_FIRST: Duration = Duration::from_millis(200);
const BACKOFF_MOST: Duration = Duration::from_secs(3);
/// A stream that told nothing, and broke sooner, is not opened again by itself.
const SOON: Duration = Duration::from_secs(2);

/// What a service tells one lane.
pub struct Remote {
    pub manifest: String,
    pub service: Service,
    /// As they were before the lane's consumers were registered.
    pub streams: Vec<Stream>,
    /// The shapes that the lane was made for.
    pub known: HashMap<i32, Shape>,
    /// The last event that came, where more of its transaction may.
    pub inside: Option<Position>,
}

type Failed = (Option<String>, EngineError);

/// How reading a stream ended.
enum Read {
    Over(Ended),
    Broken(ServiceError),
}

impl Remote {
    /// Reads until it is asked to stop, the writer has hung up, or it has caught up.
    ///
    /// # Errors
    /// The consumer that it concerns, where it is one's own.
    pub async fn run(mut self, mut batches: Batches, until: Until) -> Result<Ended, Failed> {
        let mut backoff = Backoff::new(BACKOFF_FIRST, BACKOFF_MOST);
        // Since when there is no stream.
        let mut without = Instant::now();
        loop {
            let wanted = batches.gather.wanted();
            let behind = self.behind(&wanted);
            let opened = tokio::select! {
                opened = self.service.events(&behind, self.inside) => opened,
                () = batches.unwanted() => return Ok(Ended::Stopped),
            };
            let error = match opened {
                Ok(mut lines) => {
                    let began = Instant::now();
                    match self.read(&mut lines, &mut batches, until).await? {
                        Read::Over(ended) => return Ok(ended),
                        Read::Broken(error) => {
                            let moved = batches.gather.wanted() != wanted;
                            // Where nothing was to be told it was merely cut off.
                            let cut = matches!(error, ServiceError::Ended { .. } | ServiceError::Lost { .. });
                            if moved || (cut && began.elapsed() >= SOON) {
                                backoff.reset();
                                if moved {
                                    without = Instant::now();
                                }
                                tracing::debug!(manifest = self.manifest, %error, "opening the stream again");
                                continue;
                            }
                            error
                        }
                    }
                }
                Err(error) => error,
            };
            let inside = batches.gather.is_inside() && error.is_transient() && without.elapsed() < INSIDE;
            // Others have their turn, or what is open at the destination is worth waiting for.
            if !inside && !error.is_busy() {
                return Err(self.failed(error));
            }
            tokio::select! {
                () = tokio::time::sleep(backoff.next_wait()) => {}
                () = batches.unwanted() => return Ok(Ended::Stopped),
            }
        }
    }

    fn failed(&self, source: ServiceError) -> Failed {
        (None, EngineError::Service { manifest: self.manifest.clone(), source })
    }

    fn behind(&self, wanted: &[Wanted]) -> Vec<Behind> {
        let stream = |id: i32| self.streams.iter().find(|stream| stream.id == id).cloned();
        wanted.iter().filter_map(|one| Some(Behind { stream: stream(one.stream)?, after: one.after })).collect()
    }

    async fn read(&mut self, lines: &mut Lines, batches: &mut Batches, until: Until) -> Result<Read, Failed> {
        loop {
            loop {
                let line = match lines.line() {
                    Ok(Some(line)) => line,
                    Ok(None) => break,
                    Err(error) => return Ok(Read::Broken(error)),
                };
                let go_on = match line {
                    Line::Event(event) => {
                        self.inside = (!event.is_copied()).then_some(event.position());
                        batches.take(&event).await?
                    }
                    Line::Shape(shape) => {
                        self.is_known(&shape)?;
                        true
                    }
                    Line::End => {
                        self.inside = None;
                        let all = batches.gather.end_of_all();
                        let go_on = batches.hand_on(all).await;
                        // What the service will publish is known to nobody: what was there is all that is waited for.
                        if go_on && until != Until::Stopped {
                            return Ok(Read::Over(Ended::CaughtUp));
                        }
                        go_on
                    }
                    // They came as errors.
                    Line::Gone(..) | Line::Error(_) => true,
                };
                if !go_on {
                    return Ok(Read::Over(Ended::Stopped));
                }
            }
            let more = tokio::select! {
                more = lines.more() => more,
                () = batches.unwanted() => return Ok(Read::Over(Ended::Stopped)),
            };
            if let Err(error) = more {
                return Ok(Read::Broken(error));
            }
        }
    }

    /// Holds a shape against what the lane was made for: with another one, rows would be read wrongly.
    fn is_known(&self, shape: &Shape) -> Result<(), Failed> {
        if self.known.get(&shape.id) == Some(shape) {
            return Ok(());
        }
        let public_schema = format!("{}@{}", shape.public.name, shape.public.major);
        Err((None, EngineError::Reshaped { public_schema }))
    }
}
