//! A lane's events from a service: lines as they come, for as long as both are there.
//!
//! The service tells whole transactions in the order of their source, as an event store would, and says when it has told
//! everything that there is. It begins at the lane's cursors, so whatever breaks, the next lane reads on from what is
//! committed here.

use hashbrown::HashMap;

use super::super::failure::EngineError;
use super::lane::{Batches, Ended, Until};
use crate::eventstore::{Line, Shape};
use crate::service::{Lines, ServiceError};

/// What a service tells one lane.
pub struct Remote {
    pub manifest: String,
    pub lines: Lines,
    /// The shapes that the lane was made for.
    pub known: HashMap<i32, Shape>,
}

type Failed = (Option<String>, EngineError);

impl Remote {
    /// Reads until it is asked to stop, the writer has hung up, or it has caught up.
    ///
    /// # Errors
    /// The consumer that it concerns, where it is one's own.
    pub async fn run(mut self, mut batches: Batches, until: Until) -> Result<Ended, Failed> {
        let manifest = self.manifest.clone();
        let failed = |source: ServiceError| (None, EngineError::Service { manifest: manifest.clone(), source });
        loop {
            while let Some(line) = self.lines.line().map_err(failed)? {
                let go_on = match line {
                    Line::Event(event) => batches.take(&event).await?,
                    Line::Shape(shape) => {
                        self.is_known(&shape)?;
                        true
                    }
                    Line::End => {
                        let all = batches.gather.end_of_all();
                        let go_on = batches.hand_on(all).await;
                        // What the service will publish is known to nobody: what was there is all that is waited for.
                        if go_on && until != Until::Stopped {
                            return Ok(Ended::CaughtUp);
                        }
                        go_on
                    }
                    // It came as an error.
                    Line::Error(_) => true,
                };
                if !go_on {
                    return Ok(Ended::Stopped);
                }
            }
            tokio::select! {
                more = self.lines.more() => more.map_err(failed)?,
                () = batches.unwanted() => return Ok(Ended::Stopped),
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
