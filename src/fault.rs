//! Named points at which a test kills the process, and sabotage that the tests of the promises must notice.
//!
//! `PELTON_FAULT=after-copy:3` kills the process with SIGKILL when it passes that point for the third time;
//! `PELTON_SABOTAGE=feedback` breaks one promise on purpose. Both exist only with the feature `fault-injection`, which
//! the tests switch on and no build for users does.
//!
//! Points, in the order of the line: `before-guest`, `after-guest`, `before-copy`, `after-copy`, `before-commit`,
//! `after-commit`, `before-feedback`, `after-feedback`; and `after-release`, `before-anew`, `after-anew` around the release
//! of a stopped flow and its new beginning; `before-component` and `after-component` around the record of which component a
//! transform goes on as, `before-compiled` before one that was deployed is compiled and `before-started` before it is tried out;
//! `rejot-copied` before ReJot's events are committed as a stream's own; `before-repaired` in front of the commit that brings one back. From an event store: `after-consumed`, `before-cursor`,
//! `after-cursor`; into a mirror: `before-mirrored`, `after-mirrored`. Sabotage: `order` writes a batch backwards, `ownership`
//! lets a stale owner write, `feedback` confirms what is only read, `merge` drops changes of rows that are copied already
//! while others are still being copied, `hold` forgets changes that come while their rows are being read, `bug` panics
//! where a guest would be called, `haste` gives the statements of public schemas a second.

#[cfg(feature = "fault-injection")]
mod enabled {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static FAULT: LazyLock<Option<(String, u64)>> = LazyLock::new(|| {
        let setting = std::env::var("PELTON_FAULT").ok()?;
        let (point, pass) = setting.split_once(':')?;
        Some((point.to_owned(), pass.parse().ok()?))
    });
    static SABOTAGE: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("PELTON_SABOTAGE").ok());
    static PASSED: AtomicU64 = AtomicU64::new(0);

    pub fn point(name: &str) {
        let Some((point, pass)) = &*FAULT else { return };
        if name == point && PASSED.fetch_add(1, Ordering::Relaxed) + 1 == *pass {
            // SIGKILL, as `kill -9` would: no destructor runs, no buffer is flushed.
            let me = std::process::id().to_string();
            let _ = std::process::Command::new("kill").args(["-9", &me]).status();
            std::process::abort();
        }
    }

    pub fn sabotaged(what: &str) -> bool {
        SABOTAGE.as_deref() == Some(what)
    }
}

#[cfg(feature = "fault-injection")]
pub use enabled::{point, sabotaged};

/// Marks a point at which a test may kill the process.
#[cfg(not(feature = "fault-injection"))]
#[inline(always)]
pub fn point(_name: &str) {}

/// Returns true where a test wants this promise broken.
#[cfg(not(feature = "fault-injection"))]
#[inline(always)]
pub fn sabotaged(_what: &str) -> bool {
    false
}
