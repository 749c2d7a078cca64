//! The tree: what is read of YAML and JSON, and what is refused.

use super::*;

/// Prints the tree as JSON, or the problems.
fn read_text(text: &str) -> String {
    let mut report = Report::default();
    let node = read(text, false, &mut report);
    let problems = report.finish("m", text).0;
    match node {
        Some(node) if problems.is_empty() => to_json(&node).to_string(),
        _ => problems.iter().map(|p| format!("{}:{} {}\n", p.at.line, p.at.column, p.message)).collect(),
    }
}

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(read_text(text), expected, "{text}");
}

#[test]
fn yaml_and_json_give_the_same_tree() {
    let expected = r#"{"a":[1,-2,"x",true,null],"b":{"c":"d: e"}}"#;
    check("a: [1, -2, x, true, ~]\nb:\n  c: 'd: e'\n", expected);
    check("{\n\t\"a\":\t[1, -2, \"x\", true, null],\n\t\"b\": {\"c\": \"d: e\"}\n}\n", expected);
    check("{\"smile\": \"\\ud83d\\ude00\\/\"}", r#"{"smile":"😀/"}"#);
}

#[test]
fn plain_scalars_follow_the_core_schema() {
    check("[1, 0x1F, 0o17, 1.5, 1e3, 007]", "[1,31,15,1.5,1000.0,7]");
    check("['1', \"true\", !!str 5, yes, 1.2.3, 1_000, inf]", r#"["1","true","5","yes","1.2.3","1_000","inf"]"#);
}

#[test]
fn aliases_and_merges_repeat_what_they_name() {
    check("a: &x {b: 1, c: 2}\nd: *x\n", r#"{"a":{"b":1,"c":2},"d":{"b":1,"c":2}}"#);
    check("a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}\n", r#"{"a":{"b":1,"c":2},"d":{"c":3,"b":1}}"#);
    check("a: &x {b: 1}\nd: {<<: [*x, {b: 2, e: 4}]}\n", r#"{"a":{"b":1},"d":{"b":1,"e":4}}"#);
    check("a: {<<: 1}", "1:9 expected a map, found a number\n");
}

#[test]
fn what_is_no_tree_is_refused_at_its_place() {
    check("a: 1\na: 2\n", "2:1 `a` stands here a second time\n");
    check("a: 1\n---\nb: 2\n", "2:1 a second YAML document begins here\n");
    check("a: &x [1, *x]", "1:11 this alias lies inside of what it stands for\n");
    check("a: *x", "1:4 this is not valid YAML: while parsing node, found unknown anchor\n");
    check("? [a]\n: b", "1:3 the name of a field is a list\n");
    check("a: !foo 1", "1:4 the tag `!foo` has no meaning here\n");
    check("a: \"b\n", "1:4 this is not valid YAML: while scanning a quoted scalar, found unexpected end of stream\n");
    check("k: [a,", "1:7 this is not valid YAML: while parsing a node, did not find expected node content\n");
    check("", "");
}

#[test]
fn hints_say_what_is_most_often_behind_it() {
    let hint = |text: &str| {
        let mut report = Report::default();
        assert!(read(text, false, &mut report).is_none());
        report.finish("m", text).0.remove(0).hint.unwrap()
    };
    assert!(hint("a: {b: ${C}}").contains("\"${NAME}\""), "{}", hint("a: {b: ${C}}"));
    assert!(hint("a:\n\t- b\n").contains("no tabs"));
    assert!(hint("a: b: c").contains("`: `"));
}

#[test]
fn bombs_are_refused_quickly() {
    let mut aliases = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..20 {
        aliases += &format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 10].join(", "));
    }
    assert!(read_text(&aliases).contains("more than 200000 values"));
    let merges: String = (1..40).fold("a0: &a0 {x: 1}\n".to_owned(), |text, i| {
        text + &format!("a{i}: &a{i} {{<<: [{}], k{i}: *a{}}}\n", vec![format!("*a{}", i - 1); 10].join(", "), i - 1)
    });
    assert!(read_text(&merges).contains("more than"), "{}", read_text(&merges));
    assert_eq!(read_text(&"[".repeat(100_000)), "1:256 values are nested too deep\n");
    let keys: String = (0..90_000).map(|i| format!("k{i}: 1\n")).collect();
    assert!(read_text(&keys).starts_with("{\"k0\":1,"));
    for deep in ["[".repeat(100), "- ".repeat(100_000), "{a: ".repeat(100), "? ".repeat(100_000)] {
        assert!(read_text(&deep).contains("nested "), "{}", read_text(&deep));
    }
    let nested: String = (0..60).map(|i| format!("&a{i} [")).collect();
    assert!(
        read_text(&format!("{nested}{}{}", "x,".repeat(10_000), "]".repeat(60))).contains("more than 200000 values")
    );
    let stairs: String =
        (1..200).fold("a0: &a0 [x]\n".to_owned(), |text, i| text + &format!("a{i}: &a{i} [*a{}]\n", i - 1));
    assert!(read_text(&stairs).contains("nested more than 64 deep"));
}
