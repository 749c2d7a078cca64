//! Records at destinations what became of flows that stopped, for `pelton status` and for whoever takes them over.

use tokio_postgres::Client;

use super::destination::connect;
use super::failure::{Chain, EngineError};
use super::plan::GroupPlan;
use super::{Context, Problem};
use crate::datastore::{self, Owned};

/// Records at a destination that flows no longer hold the source's log back, over a connection of its own, and returns
/// once that is durable.
///
/// # Errors
/// The destination can't be reached, or the flows are no longer ours.
pub async fn release(context: &Context, group: &GroupPlan, owned: &Owned, flows: &[String]) -> Result<(), EngineError> {
    let mut client = connect(context, &owned.scope.source, group).await?;
    let released = datastore::release(&mut client, owned, flows).await;
    released.map_err(|source| EngineError::DataStore { slug: group.slug.clone(), source })
}

/// Records over the group's own connection why flows stopped; a destination that can't be written goes without.
pub(super) async fn mark(client: &Client, owned: &Owned, flows: &[String], problem: &Problem, paused: bool) {
    let marked = datastore::mark_stopped(client, owned, flows, &problem.what, problem.hint.as_deref(), paused).await;
    if let Err(error) = marked {
        tracing::warn!("could not record the stop for `pelton status`: {}", Chain(&error));
    }
}

/// Records at a destination why flows stopped, or are `paused` until they are tried again, for `status`; over a
/// connection of its own, for the group's is gone.
///
/// A destination that can't be reached goes without.
pub async fn record_stop(
    context: &Context,
    group: &GroupPlan,
    owned: &Owned,
    flows: &[String],
    problem: &Problem,
    paused: bool,
) {
    match connect(context, &owned.scope.source, group).await {
        Ok(client) => mark(&client, owned, flows, problem, paused).await,
        Err(error) => tracing::warn!("could not record the stop for `pelton status`: {}", Chain(&error)),
    }
}
