//! Makes the component of a deployment ready: compiled, described, held against what runs, started once, and its tables or
//! streams looked at. All of that changes nothing, and is done beside the transform that runs; only where none runs yet, at
//! the start of a process, is it waited for.
//!
//! What can't take over is refused, with its words. What may pass by itself (`init` asks to be called again, somebody has
//! locked a table that lacks a column) is tried a few times in some fifteen seconds, and refused then. What the source, the
//! destination or the flows have is no reason to refuse. A component that takes the process with it when it is compiled or
//! started, since memory runs out, must not do so for ever: each attempt is counted at the destination before it begins,
//! and has ended once the component is ready or has failed. A process that ends in good order takes back what it has counted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::super::Context;
use super::super::apart::Place;
use super::super::destination::connect_to_deploy;
use super::super::failure::{Chain, EngineError, Verdict};
use super::super::load;
use super::super::output;
use super::super::plan::GroupPlan;
use super::super::target;
use super::choose::{Chosen, Whose, digest, short};
use super::judge::{Candidate, judge};
use crate::change::{PublicSchema, Relation};
use crate::datastore::{self, Deployment, Scope};
use crate::eventstore::{self, Publisher};
use crate::fault;
use crate::wasm::{self, Component};

/// How often a deployment is tried that may pass by itself; the first wait doubles.
const TRIES_MAX: u32 = 5;
const WAIT_FIRST: Duration = Duration::from_secs(1);
/// How long is waited after something that is not the component's fault.
const AWAY: Duration = Duration::from_secs(5);
/// How long is waited where no other instance can be started, since so many run.
const CROWDED: Duration = Duration::from_secs(60);
/// How often a component may take the process with it before it runs.
const ATTEMPTS_MAX: i32 = 3;
/// How long a process that ends takes to take back the attempts that it has counted.
const TAKING_BACK: Duration = Duration::from_secs(3);

/// What came of the deployments that this process has seen, the newest of each transform.
#[derive(Default)]
pub struct Trials {
    all: Mutex<BTreeMap<Place, Trial>>,
    /// Attempts that this process has counted at a destination, and that have not ended.
    counted: Mutex<BTreeMap<Place, Attempt>>,
}

/// An attempt to make a component ready, as the destination has it.
#[derive(Clone)]
struct Attempt {
    group: GroupPlan,
    scope: Scope,
    transform: String,
    number: i64,
}

struct Trial {
    number: i64,
    digest: String,
    failures: u32,
    standing: Standing,
}

#[derive(Clone)]
enum Standing {
    Ready {
        component: Component,
        file_digest: Option<String>,
    },
    /// Not before then.
    Due(Instant),
    /// Not in this process: whatever it ran as, the transform could not run.
    Later,
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// To be made ready.
    Due,
    /// Ready to take over.
    Ready,
    Later,
}

impl Trial {
    /// Numbers begin anew where somebody has deleted the deployments.
    fn is_of(&self, wish: &Deployment) -> bool {
        self.number == wish.number && self.digest == wish.digest
    }
}

impl Trials {
    fn all(&self) -> MutexGuard<'_, BTreeMap<Place, Trial>> {
        self.all.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn counted(&self) -> MutexGuard<'_, BTreeMap<Place, Attempt>> {
        self.counted.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Takes note that a deployment was taken, and its attempt has ended with that.
    pub fn taken(&self, place: &Place) {
        self.counted().remove(place);
    }

    /// Takes back the attempts that have not ended, since the process ends in good order, and not for them.
    pub async fn take_back(&self, context: &Context) {
        let counted = std::mem::take(&mut *self.counted());
        let take_back = async {
            for Attempt { group, scope, transform, number } in counted.values() {
                let taken_back = async {
                    let client = connect_to_deploy(context, group).await?;
                    let taken_back = datastore::attempt_taken_back(&client, scope, transform, *number).await;
                    taken_back.map_err(|source| EngineError::DataStore { slug: group.slug.clone(), source })
                };
                if let Err(error) = taken_back.await {
                    let destination = &group.slug;
                    tracing::debug!(destination, transform, "an attempt is not taken back: {}", Chain(&error));
                }
            }
        };
        let _ = tokio::time::timeout(TAKING_BACK, take_back).await;
    }

    /// Returns how a deployment stands.
    pub fn turn(&self, place: &Place, wish: &Deployment) -> Turn {
        match self.all().get(place).filter(|trial| trial.is_of(wish)).map(|trial| &trial.standing) {
            None => Turn::Due,
            Some(Standing::Ready { .. }) => Turn::Ready,
            Some(Standing::Due(at)) if *at <= Instant::now() => Turn::Due,
            Some(Standing::Due(_) | Standing::Later) => Turn::Later,
        }
    }

    fn put(&self, place: Place, wish: &Deployment, standing: Standing) {
        let mut all = self.all();
        let failures = all.get(&place).filter(|trial| trial.is_of(wish)).map_or(0, |trial| trial.failures);
        all.insert(place, Trial { number: wish.number, digest: wish.digest.clone(), failures, standing });
    }

    /// Counts a try that failed. Returns how long to wait for the next one; `None`: there is none.
    fn failed(&self, place: &Place, wish: &Deployment) -> Option<Duration> {
        let mut all = self.all();
        let earlier = all.get(place).filter(|trial| trial.is_of(wish)).map_or(0, |trial| trial.failures);
        let wait = WAIT_FIRST * 2u32.pow(earlier.min(TRIES_MAX));
        let standing = Standing::Due(Instant::now() + wait);
        let (number, digest, failures) = (wish.number, wish.digest.clone(), earlier + 1);
        all.insert(place.clone(), Trial { number, digest, failures, standing });
        (earlier + 1 < TRIES_MAX).then_some(wait)
    }

    /// Returns the component of a deployment that is ready.
    pub fn ready(&self, whose: &Whose<'_>, wish: &Deployment) -> Option<Chosen> {
        let all = self.all();
        let trial = all.get(&whose.place()).filter(|trial| trial.is_of(wish))?;
        match &trial.standing {
            Standing::Ready { component, file_digest } => {
                Some(Chosen::deployed(component.clone(), file_digest.clone(), whose.runs_as()))
            }
            Standing::Due(_) | Standing::Later => None,
        }
    }
}

/// What a deployed component is to fit.
pub struct Surroundings<'a> {
    pub context: &'a Arc<Context>,
    pub scope: &'a Scope,
    pub group: &'a GroupPlan,
    /// The tables that are published, and what they are like.
    pub published: &'a [(String, String)],
    pub relations: &'a [Arc<Relation>],
}

impl Surroundings<'_> {
    /// Makes a deployment's component ready, unless its turn has not come. Returns true when it can take over.
    ///
    /// # Errors
    /// Something else is wrong: it is as it was before.
    pub async fn try_out(&self, whose: &Whose<'_>, wish: &Deployment) -> Result<bool, EngineError> {
        let (trials, place) = (&whose.context.trials, whose.place());
        match trials.turn(&place, wish) {
            Turn::Ready => return Ok(true),
            Turn::Later => return Ok(false),
            Turn::Due => {}
        }
        let (destination, transform, digest) = (whose.destination, &whose.transform.name, short(&wish.digest));
        tracing::info!(destination, transform, digest, "was deployed; making it ready");
        match self.made_ready(whose, wish).await {
            Ok(standing) => {
                self.attempt_ended(whose).await;
                trials.put(place, wish, standing);
                Ok(true)
            }
            Err(error) if error.is_of_component() || error.is_crowded() => {
                self.failed(whose, wish, error).await.map(|()| false)
            }
            Err(error) => {
                self.attempt_ended(whose).await;
                trials.put(place, wish, Standing::Due(Instant::now() + AWAY));
                Err(error)
            }
        }
    }

    /// Takes note that a deployment could not take over: it is refused, or tried again later.
    ///
    /// # Errors
    /// `error`, where the component is not to blame.
    pub async fn failed(&self, whose: &Whose<'_>, wish: &Deployment, error: EngineError) -> Result<(), EngineError> {
        let (trials, place) = (&whose.context.trials, whose.place());
        let (destination, transform, digest) = (whose.destination, &whose.transform.name, short(&wish.digest));
        let passes = error.verdict() == Verdict::Retry;
        self.attempt_ended(whose).await;
        if error.is_crowded() {
            trials.put(place, wish, Standing::Due(Instant::now() + CROWDED));
            let seconds = CROWDED.as_secs();
            tracing::warn!(
                destination,
                transform,
                digest,
                "can't take over yet: {}; trying again in {seconds} s",
                error.told()
            );
            return Ok(());
        }
        if !error.is_of_component() {
            let stops = error.verdict() == Verdict::Stop;
            let standing = if stops { Standing::Later } else { Standing::Due(Instant::now() + AWAY) };
            trials.put(place, wish, standing);
            return Err(error);
        }
        let (mut problem, mut hint) = (error.told(), error.hint());
        if passes {
            if let Some(wait) = trials.failed(&place, wish) {
                let seconds = wait.as_secs();
                tracing::warn!(
                    destination,
                    transform,
                    digest,
                    "can't take over yet: {problem}; trying again in {seconds} s"
                );
                return Ok(());
            }
            problem = format!("{problem}; it was tried {TRIES_MAX} times");
            hint.get_or_insert_with(|| "mend what it waits for, and deploy it again".to_owned());
        }
        let shown = hint.as_deref().unwrap_or("-");
        tracing::error!(
            destination,
            transform,
            digest,
            hint = shown,
            "the deployment is refused, and what ran goes on: {problem}"
        );
        // Where that can't be written, it is tried again, and what ran goes on all the same.
        trials.put(place, wish, Standing::Due(Instant::now() + AWAY));
        let refused = async {
            // Over a session of its own: there is a transaction, and the caller's is somebody else's too.
            let mut client = connect_to_deploy(whose.context, self.group).await?;
            let (scope, hint) = (self.scope, hint.as_deref());
            let refused =
                datastore::refuse_deployment(&mut client, scope, transform, wish.number, &problem, hint).await;
            refused.map_err(|source| EngineError::DataStore { slug: destination.to_owned(), source })
        };
        if let Err(error) = refused.await {
            tracing::warn!(destination, transform, digest, "that it is refused is not written: {}", Chain(&error));
        }
        Ok(())
    }

    /// Takes note that the attempt which this process has counted has ended, whatever came of it. Where that can't be written,
    /// it stays the one that is counted.
    async fn attempt_ended(&self, whose: &Whose<'_>) {
        let (trials, place) = (&whose.context.trials, whose.place());
        let Some(attempt) = trials.counted().get(&place).cloned() else { return };
        let Attempt { group, scope, transform, number } = &attempt;
        let ended = async {
            let client = connect_to_deploy(whose.context, group).await?;
            let ended = datastore::attempt_ended(&client, scope, transform, *number).await;
            ended.map_err(|source| EngineError::DataStore { slug: group.slug.clone(), source })
        };
        match ended.await {
            Ok(()) => trials.taken(&place),
            Err(error) => {
                let destination = &group.slug;
                tracing::debug!(destination, transform, "that an attempt has ended is not written: {}", Chain(&error));
            }
        }
    }

    async fn made_ready(&self, whose: &Whose<'_>, wish: &Deployment) -> Result<Standing, EngineError> {
        let Whose { context, config, transform, .. } = *whose;
        let (component, candidate) = self.compiled(whose, wish).await?;
        let (running, runs_as) = (whose.running().await, whose.runs_as());
        judge(&Candidate {
            transform,
            config,
            component: &component,
            running: running.as_ref().map(Component::descriptor),
            runs_as: runs_as.as_ref().filter(|runs_as| runs_as.digest != wish.digest),
            anew: whose.anew,
            published: Some(self.published),
        })?;
        starts(whose, &candidate, self.relations).await?;
        output::checks(transform, &component.descriptor().public_schemas)?;
        for flow in &transform.flows {
            let is_it = |public: &&PublicSchema| *public.name == *flow.public_schema && public.major == flow.major;
            let public = component.descriptor().public_schemas.iter().find(is_it);
            let public = public.expect("a flow's public schema was found by `judge`");
            if self.group.event_store {
                let publisher = Publisher {
                    manifest: &self.scope.manifest,
                    source: &self.scope.source,
                    public,
                    component_digest: Some(&wish.digest),
                    taken_over_at: None,
                };
                let may = eventstore::may_register(whose.client, &publisher).await;
                may.map_err(|source| EngineError::Publish { slug: whose.destination.to_owned(), source })?;
            } else {
                let (slug, connection, client) = (whose.destination, &self.group.connection, whose.client);
                let place = target::Place { context, slug, connection, client };
                place.check(&flow.name, &flow.target, public).await?;
            }
        }
        // Where that is the component, a new file is a new component from here on.
        let file_digest = load::read(config).await.ok().map(|bytes| digest(&bytes));
        Ok(Standing::Ready { component, file_digest })
    }

    /// Compiles a deployment's component; once to run, and once to be tried out, which takes nothing from those that run.
    /// From the cache of compiled code the second one comes at once.
    async fn compiled(&self, whose: &Whose<'_>, wish: &Deployment) -> Result<(Component, Component), EngineError> {
        let compiling = Compiling {
            context: self.context.clone(),
            place: whose.place(),
            attempt: Attempt {
                group: self.group.clone(),
                scope: self.scope.clone(),
                transform: whose.transform.name.clone(),
                number: wish.number,
            },
            digest: wish.digest.clone(),
            limits: load::limits(whose.config),
        };
        // These go on to their end though the run ends meanwhile: what is counted must be known here, and what is compiled is
        // not compiled again.
        let counted = tokio::spawn(compiling.clone().counted());
        counted.await.map_err(|error| EngineError::Bug(error.to_string()))??;
        if let Some(compiled) = compiling.loaded().await? {
            return Ok(compiled);
        }
        let bytes = whose.kept(&wish.digest).await?;
        let compiled = tokio::spawn(compiling.run(Arc::new(bytes)));
        compiled.await.map_err(|error| EngineError::Bug(error.to_string()))?
    }
}

/// A deployment's component that is being compiled.
#[derive(Clone)]
struct Compiling {
    context: Arc<Context>,
    place: Place,
    attempt: Attempt,
    digest: String,
    limits: wasm::Limits,
}

impl Compiling {
    async fn loaded(&self) -> Result<Option<(Component, Component)>, EngineError> {
        let to_run = self.context.components.loaded(&self.digest);
        Ok(to_run.zip(self.context.candidates().await?.loaded(&self.digest)))
    }

    /// Counts the attempt at the destination, unless this process has counted one that has not ended.
    async fn counted(self) -> Result<(), EngineError> {
        let Compiling { context, place, attempt, digest, .. } = self;
        if context.trials.counted().get(&place).is_some_and(|counted| counted.number == attempt.number) {
            return Ok(());
        }
        let Attempt { group, scope, transform, number } = &attempt;
        let mut client = connect_to_deploy(&context, group).await?;
        let attempts = datastore::attempt_begins(&mut client, scope, transform, *number).await;
        let attempts = attempts.map_err(|source| EngineError::DataStore { slug: group.slug.clone(), source })?;
        if attempts > ATTEMPTS_MAX {
            return Err(EngineError::Setup {
                what: format!(
                    "component {} was begun to be made ready {ATTEMPTS_MAX} times, and each time `pelton sync` was gone \
                     before it was",
                    short(&digest)
                ),
                hint: Some(
                    "see what ended `pelton sync`: where memory ran out, give it more, or build the component smaller; \
                     then deploy it again"
                        .to_owned(),
                ),
            });
        }
        context.trials.counted().insert(place, attempt);
        Ok(())
    }

    async fn run(self, bytes: Arc<Vec<u8>>) -> Result<(Component, Component), EngineError> {
        let Compiling { context, digest, limits, .. } = &self;
        let candidates = context.candidates().await?;
        let _alone = context.compiling.lock().await;
        if let Some(compiled) = self.loaded().await? {
            return Ok(compiled);
        }
        let name = format!("component {}", short(digest));
        fault::point("before-compiled");
        let candidate = candidates.load(&bytes, digest, name.clone(), *limits).await?;
        Ok((context.components.load(&bytes, digest, name, *limits).await?, candidate))
    }
}

/// Starts a component once: what `init` says against it is heard before anything ends.
async fn starts(whose: &Whose<'_>, candidate: &Component, relations: &[Arc<Relation>]) -> Result<(), EngineError> {
    let Whose { config, transform, .. } = *whose;
    wasm::check_instances(candidate, &transform.name, config.parallel)?;
    let options = wasm::Options {
        name: transform.name.clone(),
        settings: load::settings(candidate, config)?,
        limits: load::limits(config),
        instances: 1,
        state: candidate.descriptor().stateful.then(|| Arc::new(Nothing) as Arc<dyn wasm::StateStore>),
        relations: relations.to_vec(),
    };
    fault::point("before-started");
    wasm::Transform::start(candidate, options).await?;
    Ok(())
}

/// The state of an instance that is started to see whether it can be: no batch is given to it.
struct Nothing;

impl wasm::StateStore for Nothing {
    fn get(&self, keys: &[&[u8]]) -> Result<Vec<Option<bytes::Bytes>>, wasm::StateError> {
        Ok(vec![None; keys.len()])
    }

    fn scan(&self, _: &[u8], _: Option<&[u8]>, _: u32) -> Result<Vec<(bytes::Bytes, bytes::Bytes)>, wasm::StateError> {
        Ok(Vec::new())
    }
}
