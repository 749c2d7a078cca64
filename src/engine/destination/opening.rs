//! One transform of a group is opened: as which component, if it is one, and at which points its flows are.
//!
//! What the source and the flows have is looked at first: it is the same for every component. Then a deployed one is opened,
//! where it is ready to take over, and what is recorded, where it is not, or can't be opened in spite of that.

use std::sync::Arc;
use std::sync::atomic::AtomicI32;

use tokio_postgres::Client;

use crate::datastore::{self, BackfillRow, DataStoreError, Deployed, Deployment, Owned, StateTable};
use crate::manifest::WasmConfig;
use crate::sink::Writer as Writes;

use super::super::Context;
use super::super::deploy::{self, Chosen, Surroundings, Whose};
use super::super::failure::{Chain, EngineError};
use super::super::plan::{GroupPlan, TransformKind, TransformPlan};
use super::super::prepare::Source;
use super::super::rejot::Left;
use super::super::shadow::{self, Beside};
use super::super::transform::Running;
use super::flows::{Together, anew, together};
use super::part::Part;

/// A group that is being opened, as its transforms see it.
pub struct Opening<'a> {
    pub context: &'a Arc<Context>,
    pub client: &'a mut Client,
    pub plan: &'a GroupPlan,
    pub source: &'a Source,
    pub owned: &'a Owned,
    pub start: &'a datastore::Start,
    pub segment: Option<&'a Arc<AtomicI32>>,
    pub left: &'a Left,
    pub saved: &'a [BackfillRow],
    /// The index of the first of the transform's tables.
    pub first_table: usize,
}

/// For each point at which flows of a transform are, what runs it, and what writes its rows.
pub type Opened = (Vec<Running>, Vec<Writes>);

/// A transform that is being opened.
#[derive(Clone, Copy)]
struct Of<'a> {
    transform: &'a TransformPlan,
    /// Its flows, by where they are.
    together: &'a [Together<'a>],
    /// It was released, and begins anew.
    anew: bool,
}

impl Opening<'_> {
    fn data_store(&self, source: DataStoreError) -> EngineError {
        EngineError::DataStore { slug: self.plan.slug.clone(), source }
    }

    /// Opens a transform.
    ///
    /// # Errors
    /// It can't run, or the destination can't be used.
    pub async fn open(&mut self, transform: &TransformPlan) -> Result<Opened, EngineError> {
        let owned = self.owned;
        let anew = anew(transform, &owned.flows, self.source, self.start)?;
        let together = together(transform, anew.as_ref().unwrap_or(&owned.flows));
        let of = Of { transform, together: &together, anew: anew.is_some() };
        self.check(of).await?;
        let TransformKind::Wasm(config) = &transform.kind else { return self.parts(of, None).await };
        let deployed = datastore::deployed(self.client, &owned.scope).await.map_err(|error| self.data_store(error))?;
        let deployed = deployed.into_iter().find(|one| one.transform == transform.name);
        let deployed = deployed.as_ref();
        if let Some(wish) = deployed.and_then(Deployed::wish)
            && let Some(opened) = self.wanted(of, config, deployed, wish).await?
        {
            return Ok(opened);
        }
        let chosen = deploy::choose(&self.whose(of, config, deployed)).await?;
        chosen.tell_of_file(&self.plan.slug, &transform.name);
        self.component(of, config, &chosen).await
    }

    /// Looks at what is the same whatever the transform runs as: whether its flows can go on from where they are.
    async fn check(&self, of: Of<'_>) -> Result<(), EngineError> {
        let Opening { source, owned, .. } = *self;
        for part in of.together {
            for row in &part.rows {
                source.check_checkpoint(row)?;
                source.check_branch(row).await?;
            }
            if !of.anew && part.rows.iter().any(|row| row.timeline != Some(source.timeline)) {
                let flows: Vec<String> = part.rows.iter().map(|row| row.flow.clone()).collect();
                let put = datastore::put_timeline(self.client, owned, &flows, source.timeline).await;
                put.map_err(|error| self.data_store(error))?;
            }
        }
        Ok(())
    }

    fn whose<'a>(&'a self, of: Of<'a>, config: &'a WasmConfig, deployed: Option<&'a Deployed>) -> Whose<'a> {
        let Opening { context, client, plan, .. } = self;
        let Of { transform, anew, .. } = of;
        Whose { context, client, destination: &plan.slug, transform, config, deployed, anew }
    }

    /// Opens a transform as the component that somebody deployed, if that is ready; `None`: it goes on as what it ran as.
    async fn wanted(
        &mut self,
        of: Of<'_>,
        config: &WasmConfig,
        deployed: Option<&Deployed>,
        wish: &Deployment,
    ) -> Result<Option<Opened>, EngineError> {
        let Opening { context, plan: group, source, owned, .. } = *self;
        let (published, relations) = (&source.tables[..], &source.relations()[..]);
        let surroundings = Surroundings { context, scope: &owned.scope, group, published, relations };
        let ready = {
            let whose = self.whose(of, config, deployed);
            // Where it runs already, it is made ready beside it; and so it is where that may end the process once more.
            if !whose.has_begun() && wish.attempts == 0 {
                // What keeps it from being tried out keeps nobody from going on as what is recorded.
                if let Err(error) = surroundings.try_out(&whose, wish).await {
                    let (destination, transform) = (&group.slug, &of.transform.name);
                    tracing::warn!(destination, transform, "a deployment is tried out later: {}", Chain(&error));
                }
            }
            context.trials.ready(&whose, wish)
        };
        let Some(chosen) = ready else { return Ok(None) };
        match self.component(of, config, &chosen).await {
            Ok(opened) => Ok(Some(opened)),
            Err(error) => surroundings.failed(&self.whose(of, config, deployed), wish, error).await.map(|()| None),
        }
    }

    /// Opens a transform as a component, and records that it goes on as that.
    async fn component(&mut self, of: Of<'_>, config: &WasmConfig, chosen: &Chosen) -> Result<Opened, EngineError> {
        let Opening { context, plan, source, owned, .. } = *self;
        let Of { transform, together, .. } = of;
        let (mut parts, writers) = self.parts(of, Some(chosen)).await?;
        if let Some(from) = together.iter().map(|part| part.from).min() {
            chosen.begin(context, self.client, &plan.slug, owned, &transform.name, from).await?;
        }
        // Flows that are not at the same point have an instance each; one is enough to compare with.
        if let Some(part) = parts.first_mut() {
            let state = StateTable { scope: owned.scope.clone(), transform: transform.name.clone() };
            part.shadow = shadow::open(Beside {
                context: context.clone(),
                group: plan.clone(),
                config: config.clone(),
                running: chosen.component.clone(),
                state,
                relations: source.relations(),
            })
            .await;
        }
        Ok((parts, writers))
    }

    async fn parts(&mut self, of: Of<'_>, chosen: Option<&Chosen>) -> Result<Opened, EngineError> {
        let Opening { context, plan, source, owned, start, segment, left, saved, first_table, .. } = *self;
        let Of { transform, together, anew } = of;
        let mut parts = Vec::new();
        let mut writers = Vec::new();
        for part in together {
            let opening = Part {
                context,
                client: self.client,
                group: plan,
                source,
                transform,
                chosen,
                owned,
                start,
                anew,
                segment,
                left,
            };
            let first_table = if plan.event_store { 0 } else { first_table + writers.len() };
            let (running, more) = opening.open(part, together.len(), first_table, saved).await?;
            parts.push(running);
            writers.extend(more);
        }
        Ok((parts, writers))
    }
}
