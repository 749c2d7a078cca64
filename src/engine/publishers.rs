//! The manifests of a process that still publish. A consumer of one may read what another one publishes, so with
//! `--until-caught-up` it goes on until all have ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;

/// One of the manifests; it publishes nothing more once this is dropped.
#[derive(Debug)]
pub struct Publisher {
    all: Arc<All>,
}

#[derive(Debug)]
struct All {
    left: AtomicUsize,
    ended: watch::Sender<bool>,
}

impl Publisher {
    /// Returns one for each of so many manifests.
    pub fn all(count: usize) -> Vec<Publisher> {
        let all = Arc::new(All { left: AtomicUsize::new(count), ended: watch::Sender::new(false) });
        (0..count).map(|_| Publisher { all: Arc::clone(&all) }).collect()
    }

    /// Returns what turns true once none of them publishes any more.
    pub fn ended(&self) -> watch::Receiver<bool> {
        self.all.ended.subscribe()
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        if self.all.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.all.ended.send_replace(true);
        }
    }
}
