//! A host for one thread, without WebAssembly: what unit tests of transforms run against.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Bound;

use super::Entry;
use crate::error::{Error, Result};
use crate::log::{Level, Line};

#[derive(Default)]
pub struct Fake {
    pub state: BTreeMap<Vec<u8>, Vec<u8>>,
    pub lines: Vec<Line>,
    pub level: Level,
    /// The transform declares itself `stateful`; otherwise the host refuses it its state.
    pub stateful: bool,
    /// How often it was asked for values.
    pub reads: usize,
}

thread_local! {
    static FAKE: RefCell<Fake> = RefCell::default();
}

pub fn with<R>(act: impl FnOnce(&mut Fake) -> R) -> R {
    FAKE.with_borrow_mut(act)
}

pub fn enabled(level: Level) -> bool {
    with(|fake| level >= fake.level)
}

pub fn log(level: Level, message: &str, fields: &[(String, String)]) {
    with(|fake| fake.lines.push(Line { level, message: message.to_owned(), fields: fields.to_vec() }));
}

fn state<R>(act: impl FnOnce(&mut BTreeMap<Vec<u8>, Vec<u8>>) -> R) -> Result<R> {
    with(|fake| match fake.stateful {
        true => Ok(act(&mut fake.state)),
        false => {
            Err(Error::fatal("the transform uses state and does not declare it: add `stateful` to #[transform(…)]"))
        }
    })
}

pub fn get(keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>> {
    with(|fake| fake.reads += 1);
    state(|state| keys.iter().map(|key| state.get(key).cloned()).collect())
}

pub fn put(entries: &[Entry]) -> Result<()> {
    state(|state| {
        for (key, value) in entries {
            match value {
                Some(value) => state.insert(key.clone(), value.clone()),
                None => state.remove(key),
            };
        }
    })
}

pub fn scan(prefix: &[u8], after: Option<&[u8]>, limit: u32) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    state(|state| {
        let from = match after {
            Some(after) => Bound::Excluded(after),
            None => Bound::Included(prefix),
        };
        state
            .range::<[u8], _>((from, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(limit as usize)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    })
}
