//! The example's transform as a component, built once for all tests of a run.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use pelton::cli::build::build_component;
use tokio::sync::OnceCell;

/// Returns `examples/orders` as a component.
pub async fn orders_component() -> &'static Path {
    static COMPONENT: OnceCell<PathBuf> = OnceCell::const_new();
    COMPONENT.get_or_init(|| async { tokio::task::spawn_blocking(built).await.expect("the example builds") }).await
}

/// Builds it unless this run has already, which under cargo-nextest is many processes.
fn built() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let component = folder.join("orders.wasm");
    let lock = fs::File::create(folder.join("orders.lock")).expect("a lock can be made");
    lock.lock().expect("the lock can be had");
    let run = env::var("NEXTEST_RUN_ID").unwrap_or_else(|_| format!("process {}", std::process::id()));
    let made_by = folder.join("orders.run");
    if !component.exists() || fs::read_to_string(&made_by).ok().as_ref() != Some(&run) {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/orders");
        build_component(&example, Some(&component)).expect("the example builds");
        fs::write(&made_by, run).expect("a note can be left");
    }
    component
}
