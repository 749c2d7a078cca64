//! Texts, and what becomes of them.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn connection(slug: &str) -> Value {
    json!({ "slug": slug, "config": { "connectionType": "postgres", "url": "${URL}" } })
}

#[track_caller]
fn check(text: &str, change: Edit<'_>, expected: &str) {
    let edited = edit(text, &change).unwrap_or_else(|error| panic!("{error}: {}", error.hint()));
    assert_eq!(edited, expected, "\n--- became:\n{edited}");
}

fn push(item: Value) -> Edit<'static> {
    Edit::Push { list: "connections", item }
}

#[test]
fn items_go_behind_the_last_one_in_its_style() {
    check(
        "slug: a # mine\n\nconnections:\n  # the first\n  - slug: one   # one\n    config:\n      connectionType: in-memory # trailing\n\n  # - slug: other\n\n# stores\ndataStores: []\n",
        push(connection("two")),
        "slug: a # mine\n\nconnections:\n  # the first\n  - slug: one   # one\n    config:\n      connectionType: in-memory # trailing\n  - slug: two\n    config:\n      connectionType: postgres\n      url: \"${URL}\"\n\n  # - slug: other\n\n# stores\ndataStores: []\n",
    );
    check(
        "connections:\n- { slug: one, config: { connectionType: in-memory } } # one\nslug: a",
        push(connection("two")),
        "connections:\n- { slug: one, config: { connectionType: in-memory } } # one\n- { slug: two, config: { connectionType: postgres, url: \"${URL}\" } }\nslug: a",
    );
    check(
        "connections: [{ slug: one }] # all\r\nslug: a\r\n",
        push(json!({ "slug": "yes" })),
        "connections: [{ slug: one }, { slug: \"yes\" }] # all\r\nslug: a\r\n",
    );
    check(
        "connections:\n  - slug: one\n    note: |\n      text\n      more\n\nslug: a\n",
        push(json!({ "slug": "b", "sql": "SELECT 1,\n\n  2" })),
        "connections:\n  - slug: one\n    note: |\n      text\n      more\n  - slug: b\n    sql: |-\n      SELECT 1,\n\n        2\n\nslug: a\n",
    );
}

#[test]
fn a_list_that_is_not_there_is_made() {
    let item = json!({ "slug": "b" });
    check("slug: a\n# end\n", push(item.clone()), "slug: a\nconnections:\n  - slug: b\n# end\n");
    check("slug: a", push(item.clone()), "slug: a\nconnections:\n  - slug: b");
    check("connections: # none yet\nslug: a\n", push(item.clone()), "connections: # none yet\n  - slug: b\nslug: a\n");
    check("connections: ~ # none\nslug: a\n", push(item.clone()), "connections: [{ slug: b }] # none\nslug: a\n");
    check("connections: []\nslug: a\n", push(item.clone()), "connections: [{ slug: b }]\nslug: a\n");
    check("{\"slug\": \"a\"}", push(item.clone()), "{\"slug\": \"a\", \"connections\": [{ \"slug\": \"b\" }]}");
    check("\u{feff}slug: a\n", push(item), "\u{feff}slug: a\nconnections:\n  - slug: b\n");
}

#[test]
fn json_stays_json() {
    check(
        "{\n\t\"slug\": \"a\",\n\t\"connections\": [\n\t\t{\n\t\t\t\"slug\": \"one\"\n\t\t}\n\t]\n}\n",
        push(connection("two")),
        "{\n\t\"slug\": \"a\",\n\t\"connections\": [\n\t\t{\n\t\t\t\"slug\": \"one\"\n\t\t},\n\t\t{\n\t\t\t\"slug\": \"two\",\n\t\t\t\"config\": {\n\t\t\t\t\"connectionType\": \"postgres\",\n\t\t\t\t\"url\": \"${URL}\"\n\t\t\t}\n\t\t}\n\t]\n}\n",
    );
    check(
        "{\n  \"slug\": \"a\",\n  \"connections\": []\n}\n",
        push(json!({ "slug": "b" })),
        "{\n  \"slug\": \"a\",\n  \"connections\": [\n    {\n      \"slug\": \"b\"\n    }\n  ]\n}\n",
    );
    check(
        "{\n  \"slug\": \"a\"\n}\n",
        push(json!({ "slug": "b" })),
        "{\n  \"slug\": \"a\",\n  \"connections\": [\n    {\n      \"slug\": \"b\"\n    }\n  ]\n}\n",
    );
}

#[test]
fn items_go_and_comments_stay() {
    let remove = |index| Edit::Remove { list: "connections", index };
    let text = "connections:\n  # first\n  - slug: one\n    config: {}\n  # second\n  - slug: two\n\nslug: a\n";
    check(text, remove(0), "connections:\n  # first\n  # second\n  - slug: two\n\nslug: a\n");
    check(text, remove(1), "connections:\n  # first\n  - slug: one\n    config: {}\n  # second\n\nslug: a\n");
    check(
        "connections: # all\n  # it\n  - slug: one\nslug: a\n",
        remove(0),
        "connections: [] # all\n  # it\nslug: a\n",
    );
    check("slug: a\nconnections:\n  - slug: one\n  - slug: two", remove(1), "slug: a\nconnections:\n  - slug: one");
    check("connections: [{ slug: one }, { slug: two }]\nslug: a", remove(0), "connections: [{ slug: two }]\nslug: a");
    check("connections: [{ slug: one }, { slug: two }]\nslug: a", remove(1), "connections: [{ slug: one }]\nslug: a");
    check("{\"connections\": [\n  {\"slug\": 1}\n], \"slug\": 2}", remove(0), "{\"connections\": [], \"slug\": 2}");
    assert!(edit(text, &remove(2)).is_err());
}

#[test]
fn fields_of_an_item_change_where_they_stand() {
    let map: Path<'_> = &[Step::Field("connections"), Step::Item(0), Step::Field("config")];
    let set = |field, value| Edit::Set { map, field, value };
    let text = "connections:\n  - slug: a\n    config: # how\n      host: 'h' # the host\n      port: 1\nslug: a\n";
    check(text, set("host", json!("x y")), &text.replace("'h'", "\"x y\""));
    check(text, set("user", json!("me")), &text.replace("port: 1\n", "port: 1\n      user: me\n"));
    check(text, Edit::Unset { map, field: "port" }, &text.replace("      port: 1\n", ""));
    let flow = "connections:\n  - { slug: a, config: { host: h, port: 1 } }\nslug: a\n";
    check(flow, set("port", json!(2)), &flow.replace("port: 1", "port: 2"));
    check(flow, set("user", json!("me")), &flow.replace("port: 1", "port: 1, user: me"));
    check(flow, Edit::Unset { map, field: "host" }, &flow.replace("host: h, ", ""));
    check(flow, Edit::Unset { map, field: "port" }, &flow.replace(", port: 1", ""));
    let password = "connections:\n  - slug: a\n    config:\n      password: { file: /run/x }\n      host:\nslug: a\n";
    check(password, set("password", json!("${PW}")), &password.replace("{ file: /run/x }", "\"${PW}\""));
    check(password, set("host", json!("h")), &password.replace("host:", "host: h"));
}

#[test]
fn what_would_change_something_else_is_refused() {
    let refused = |text: &str, change: Edit<'_>| {
        let error = edit(text, &change).unwrap_err();
        assert!(matches!(error, EditError::Intricate { .. }), "{error:?}");
        assert!(!error.hint().contains("hunter2"), "{}", error.hint());
    };
    let map: Path<'_> = &[Step::Field("dataStores"), Step::Item(0)];
    let aliased = "connections:\n  - &x { slug: a, password: b }\ndataStores:\n  - *x\nslug: a\n";
    refused(aliased, Edit::Set { map, field: "password", value: json!("hunter2") });
    refused("connections: x\nslug: a\n", push(json!({ "slug": "hunter2", "connectionSlug": 1 })).clone_without_slug());
    let comments = "connections: [a, # one\n  b]\nslug: a\n";
    refused(comments, Edit::Remove { list: "connections", index: 0 });
    assert_eq!(edit("a: [", &push(json!({}))), Err(EditError::Unreadable));
}

impl Edit<'_> {
    /// An item without a name, so that the hint has nothing to say of it.
    fn clone_without_slug(self) -> Self {
        match self {
            Edit::Push { list, .. } => Edit::Push { list, item: json!({ "url": "hunter2" }) },
            other => other,
        }
    }
}

/// Lists of a manifest as people write them, in one of the styles, with comments and empty lines in between.
fn texts() -> impl Strategy<Value = String> {
    let scalar = || proptest::sample::select(vec!["x", "'y: z'", "\"é\\n\"", "12", "true", "a-b", "|\n§one\n§  two"]);
    let fields =
        || proptest::collection::vec((proptest::sample::select(vec!["config", "url", "host"]), scalar()), 0..3);
    let noise = || proptest::sample::select(vec!["", "", " # c", "\n\n", "\n  # c: [x\n", " #\n# - slug: no\n"]);
    let item = (scalar(), fields(), noise(), any::<bool>());
    let list = (0..4u8, proptest::collection::vec(item, 0..4), noise(), noise());
    let lists = proptest::collection::vec(list, 1..4);
    (lists, any::<bool>(), any::<bool>()).prop_map(|(lists, windows, last_newline)| {
        let mut text = String::from("slug: a\n");
        for (index, (style, items, before, after)) in lists.iter().enumerate() {
            text += &format!("l{index}:");
            let one_line = |scalar: &str| if scalar.starts_with('|') { "w".to_owned() } else { scalar.to_owned() };
            if items.is_empty() {
                text += ["", " []", " ~", " [ ]"][*style as usize];
            } else if *style == 0 {
                let items: Vec<String> = items.iter().map(|item| format!("{{ s: {} }}", one_line(item.0))).collect();
                text += &format!(" [{}]", items.join(", "));
            } else {
                text += before;
                let indent = if *style == 1 { "" } else { "   " };
                for (scalar, fields, noise, flow) in items {
                    if !text.ends_with('\n') {
                        text.push('\n');
                    }
                    if *flow {
                        text += &format!("{indent}- {{ s: {} }}", one_line(scalar));
                    } else {
                        let inside = |scalar: &str| scalar.replace('§', &format!("{indent}      "));
                        text += &format!("{indent}- s: {}", inside(scalar));
                        let mut names = Vec::new();
                        for (name, value) in fields.iter().filter(|(name, _)| {
                            let fresh = !names.contains(name);
                            names.push(*name);
                            fresh
                        }) {
                            text += &format!("\n{indent}  {name}: {}", inside(value));
                        }
                    }
                    if text.ends_with(['\n', ' ']) || !text.lines().last().unwrap_or_default().contains("  two") {
                        text += noise;
                    }
                }
            }
            if !text.lines().last().unwrap_or_default().contains("  two") {
                text += after;
            }
            if !text.ends_with('\n') {
                text.push('\n');
            }
        }
        if !last_newline {
            text.truncate(text.trim_end_matches('\n').len());
        }
        if windows { text.replace('\n', "\r\n") } else { text }
    })
}

/// Returns true when `longer` is `shorter` with one piece put in.
fn one_piece_more(shorter: &str, longer: &str) -> bool {
    let same = shorter.bytes().zip(longer.bytes()).take_while(|(one, other)| one == other).count();
    let behind = shorter.bytes().rev().zip(longer.bytes().rev()).take_while(|(one, other)| one == other).count();
    longer.len() >= shorter.len() && same + behind >= shorter.len()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// That the tree is right is checked by `edit` itself; here: it hardly ever gives up, and nothing else changes.
    #[test]
    fn an_edit_touches_nothing_else(text in texts(), list in 0..4usize, index in 0..3usize, kind in 0..4u8) {
        prop_assume!(read(&text).is_some());
        let name = format!("l{list}");
        let tree = to_json(&read(&text).unwrap());
        let items = tree.get(&name).and_then(Value::as_array).map_or(0, Vec::len);
        let map = [Step::Field(&name), Step::Item(index)];
        let item = json!({ "s": "new", "config": { "x": 1, "url": "a: b # c" }, "sql": "a\n b" });
        let change = match kind {
            0 => Edit::Push { list: &name, item },
            1 => Edit::Remove { list: &name, index },
            2 => Edit::Set { map: &map, field: "s", value: json!("other") },
            _ => Edit::Set { map: &map, field: "fresh", value: json!({ "a": ["b"] }) },
        };
        prop_assume!(kind == 0 || index < items);
        let edited = match edit(&text, &change) {
            Ok(edited) => edited,
            Err(error) => return Err(TestCaseError::fail(format!("{error}: {change:?}\n{text}"))),
        };
        let grows = matches!(kind, 0 | 3) && !text.contains(": ~") && !text.contains("[ ]");
        prop_assert!(!grows || one_piece_more(&text, &edited), "{text}\n---\n{edited}");
        prop_assert!(kind != 1 || items == 1 || one_piece_more(&edited, &text), "{text}\n---\n{edited}");
        let comments = |text: &str| text.matches('#').count();
        prop_assert!(kind == 2 || comments(&edited) >= comments(&text) || kind == 1, "{text}\n---\n{edited}");
        prop_assert_eq!(text.contains("\r\n"), edited.contains("\r\n"));
    }

    #[test]
    fn no_text_makes_it_panic(text in "[a-b:\\-\\[\\]{}#|&*' \"\n]{0,60}", index in 0..2usize, kind in 0..3u8) {
        let map = [Step::Field("a"), Step::Item(index)];
        let _ = edit(&text, &match kind {
            0 => Edit::Push { list: "a", item: json!({ "b": 1 }) },
            1 => Edit::Remove { list: "a", index },
            _ => Edit::Set { map: &map, field: "b", value: json!(1) },
        });
    }
}
