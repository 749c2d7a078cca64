//! Where a Rust transform panicked is told with file and line of its source, by `pelton sync` and by `pelton status`.

use std::path::Path;

use pelton::cli::build::build_component;

use crate::flows_setup::{Flow, Line};
use crate::support::Pelton;

#[tokio::test]
async fn file_and_line_of_a_panic_reach_whoever_runs_it_and_whoever_asks_later() {
    const GUEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/guests/fickle");
    let source = std::fs::read_to_string(Path::new(GUEST).join("src/lib.rs")).expect("the guest's source");
    let number = source.lines().position(|line| line.contains("panic!(\"told to panic\")")).expect("it panics") + 1;
    let out = tempfile::tempdir().expect("a folder");
    let component = out.path().join("fickle.wasm");
    let built = tokio::task::spawn_blocking({
        let component = component.clone();
        move || build_component(Path::new(GUEST), Some(&component))
    });
    built.await.expect("it is built").expect("the guest builds");

    let line = Line::new().await;
    line.source("CREATE TABLE public.orders_to_fail (id bigint PRIMARY KEY, act text NOT NULL)").await;
    let done = format!("publicSchemaType: wasm, component: {}", component.display());
    let manifest = line.manifest(&[Flow::new("done", &done).into("done", "createTable: true")]);
    line.catch_up(&manifest).await;
    line.source("INSERT INTO orders_to_fail VALUES (1, 'secret panic-free act'), (2, 'panic')").await;
    let place = format!("src/lib.rs:{number}:");
    let said = line.stop(&manifest).await;
    let stopped = said.lines().skip_while(|line| !line.contains("stopped: ")).collect::<Vec<_>>().join("\n");
    assert!(stopped.contains(&place) && stopped.contains("told to panic"), "{said}");
    let mut status = Pelton::new(["status"]).file("pelton.yaml", &manifest);
    status.run().await;
    assert!(
        status.stdout().contains(&place) && status.stdout().contains("public.orders_to_fail"),
        "{}",
        status.stdout()
    );
    assert!(!said.contains("secret") && !status.stdout().contains("secret"), "{said}");
}
