//! Streams are few, for each has a session at its event store. Where more are asked for, they take turns.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answer::Refusal;

/// A stream that has been open for so long ends when another one is waited for.
const TURN: Duration = Duration::from_secs(5);
/// How long a stream is waited for, in the order in which they were asked for.
const WAIT: Duration = Duration::from_secs(20);

/// The streams that may be open at a time.
pub struct Turns {
    permits: Arc<Semaphore>,
    wishes: Arc<Mutex<Wishes>>,
}

#[derive(Default)]
struct Wishes {
    /// How many are waited for.
    waiting: usize,
    /// How many are about to end for that.
    ending: usize,
}

/// One that is open.
pub struct Turn {
    _permit: OwnedSemaphorePermit,
    wishes: Arc<Mutex<Wishes>>,
    began: Instant,
    over: bool,
}

impl Turns {
    /// Lets so many streams be open at a time.
    pub fn new(most: usize) -> Turns {
        Turns { permits: Arc::new(Semaphore::new(most)), wishes: Arc::default() }
    }

    /// Opens one, once there is room.
    ///
    /// # Errors
    /// There is none for long.
    pub async fn take(&self) -> Result<Turn, Refusal> {
        let waiting = Waiting::new(&self.wishes);
        let permit = tokio::time::timeout(WAIT, Arc::clone(&self.permits).acquire_owned()).await;
        drop(waiting);
        let permit = permit.map_err(|_| Refusal::busy("there are as many streams as this service opens"))?;
        let permit = permit.expect("it is never closed");
        Ok(Turn { _permit: permit, wishes: Arc::clone(&self.wishes), began: Instant::now(), over: false })
    }
}

/// Counts one that is waited for, however that ends.
struct Waiting<'a>(&'a Mutex<Wishes>);

impl<'a> Waiting<'a> {
    fn new(wishes: &'a Mutex<Wishes>) -> Waiting<'a> {
        lock(wishes).waiting += 1;
        Waiting(wishes)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        lock(self.0).waiting -= 1;
    }
}

impl Turn {
    /// Returns true once it has had its turn, and makes room for another one.
    pub fn is_over(&mut self) -> bool {
        if !self.over && self.began.elapsed() >= TURN {
            let mut wishes = lock(&self.wishes);
            self.over = wishes.ending < wishes.waiting;
            wishes.ending += usize::from(self.over);
        }
        self.over
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        lock(&self.wishes).ending -= usize::from(self.over);
    }
}

fn lock(wishes: &Mutex<Wishes>) -> std::sync::MutexGuard<'_, Wishes> {
    wishes.lock().expect("nobody panics while holding it")
}
