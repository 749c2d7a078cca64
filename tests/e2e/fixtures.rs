//! `pelton test` on guests by hand: what must not pass for right.

use crate::guest::Guest;
use crate::support::Pelton;

const FIXTURE: &str = "tables:
  t:
    columns: { id: bigint key, v: text not null }
transactions:
  - changes:
      - insert: t
        new: { id: 1, v: a }
";

/// Runs `pelton test` on a component with a fixture; returns its exit code, what it said, and the fixture afterwards.
async fn test(guest: Guest, fixture: &str, more: &[&str]) -> (Option<i32>, String, String) {
    let arguments = [&["test", "--component", "t.wasm", "t.yaml"][..], more].concat();
    let mut pelton = Pelton::new(arguments).file("t.wasm", guest.component()).file("t.yaml", fixture);
    let code = pelton.run().await.code();
    let after = std::fs::read_to_string(pelton.folder().join("t.yaml")).unwrap();
    (code, pelton.stdout() + &pelton.stderr(), after)
}

#[tokio::test]
async fn a_crash_that_nobody_expects_is_a_failure_and_is_never_accepted() {
    let crashes = || Guest { process: "unreachable", ..Guest::default() };
    let (code, said, _) = test(crashes(), FIXTURE, &[]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("transaction 1 failed, and nothing says that it should"), "{said}");
    let (code, said, after) = test(crashes(), FIXTURE, &["--accept"]).await;
    assert_eq!((code, after.as_str()), (Some(1), FIXTURE), "{said}");
    assert!(said.contains("nothing is accepted"), "{said}");

    // Who means it writes it down.
    let expected = format!("{FIXTURE}    expect:\n      - crash: true\n        change: 1\n");
    let (code, said, after) = test(crashes(), &expected, &["--accept"]).await;
    assert_eq!((code, after), (Some(0), expected), "{said}");
}

#[tokio::test]
async fn what_comes_of_a_fixture_is_accepted_and_compared_from_then_on() {
    let (code, said, accepted) = test(Guest::default(), FIXTURE, &["--accept"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(accepted.starts_with(FIXTURE) && accepted.contains("- insert: "), "{accepted}");
    let (code, said, after) = test(Guest::default(), &accepted, &[]).await;
    assert_eq!((code, &after), (Some(0), &accepted), "{said}");
    let wrong = accepted.replacen("v: a", "v: b", 1);
    let (code, said, _) = test(Guest::default(), &wrong, &[]).await;
    assert_eq!(code, Some(1), "{said}");
}

#[tokio::test]
async fn what_is_no_transform_is_told_so() {
    // The empty component has no `describe`, nor anything else.
    let empty = b"\0asm\x0d\0\x01\0";
    let module = b"\0asm\x01\0\0\0";
    for (bytes, word) in
        [(&empty[..], "does not export"), (&module[..], "pelton build"), (b"no component", "not WebAssembly")]
    {
        let mut pelton =
            Pelton::new(["test", "--component", "t.wasm", "t.yaml"]).file("t.wasm", bytes).file("t.yaml", FIXTURE);
        assert_eq!(pelton.run().await.code(), Some(1));
        let said = pelton.stderr();
        assert!(said.contains("t.wasm") && said.contains(word) && said.contains("Hint: "), "{said}");
    }
}
