//! Mistakes read well: each message says what to write instead.

use proc_macro2::TokenStream;
use syn::DeriveInput;

use crate::{Expansion, enumeration, public, settings, source, state_value, transform};

#[track_caller]
fn check(expand: fn(&str) -> Expansion, code: &str, message: &str) {
    let error = expand(code).expect_err("a mistake");
    assert_eq!(error.to_string(), message, "{code}");
}

fn derive(expand: fn(DeriveInput) -> Expansion, code: &str) -> Expansion {
    syn::parse_str(code).and_then(expand)
}

fn source(code: &str) -> Expansion {
    derive(source::expand, code)
}

fn public(code: &str) -> Expansion {
    derive(public::expand, code)
}

fn settings(code: &str) -> Expansion {
    derive(settings::expand, code)
}

/// The attribute's arguments stand in the first line, the item in those below.
fn on_item(code: &str) -> Expansion {
    let (arguments, item) = code.split_once('\n').expect("two parts");
    syn::parse_str(arguments).and_then(|arguments| transform::expand(arguments, item.parse::<TokenStream>()?))
}

#[test]
fn a_source_row_says_where_it_comes_from() {
    check(
        source,
        "struct Order { id: i64 }",
        "say which table its rows come from: #[source(table = \"public.orders\")]",
    );
    check(
        source,
        "#[source(tabel = \"orders\")]\nstruct Order { id: i64 }",
        "unknown option; #[source] has `table = \"schema.table\"`, `schema = \"…\"`, `ops(insert, …)` and, for logical \
         messages, `message = \"prefix\"`",
    );
    check(
        source,
        "#[source(table = \"orders\", ops(upsert))]\nstruct Order { id: i64 }",
        "unknown operation; there are insert, update, delete and truncate",
    );
    check(
        source,
        "#[source(table = \"orders\", message = \"m\")]\nstruct Order { id: i64 }",
        "a row comes from a table or from a message, not both",
    );
    check(
        source,
        "#[source(table = \".x\")]\nstruct Order { id: i64 }",
        "write `schema.table`, without quotes around the names",
    );
    check(
        source,
        "#[source(ops(insert))]\nstruct Order { id: i64 }",
        "say which table its rows come from: table = \"public.orders\"",
    );
    check(
        source,
        "#[source(table = \"a\")]\n#[source(table = \"b\")]\nstruct Order { id: i64 }",
        "a second #[source]; write one",
    );
}

#[test]
fn rows_are_structs_with_named_fields() {
    let message = "#[derive(Source)] takes a struct with named fields";
    check(source, "#[source(table = \"a\")] struct Order(i64);", message);
    check(source, "#[source(table = \"a\")] struct Order {}", message);
    check(source, "#[source(table = \"a\")] enum Order { A }", message);
    check(public, "#[public(name = \"a\")] struct Order(i64);", "#[derive(Public)] takes a struct with named fields");
    check(
        source,
        "#[source(table = \"a\")] struct Order<'a, 'b> { a: &'a str, b: &'b str }",
        "a row borrows from one batch: use one lifetime",
    );
    check(source, "#[source(table = \"a\")] struct Order<T> { a: T }", "#[derive(Source)] takes no type parameters");
    check(
        source,
        "#[source(table = \"a\")] struct Order { a: i64, #[column(name = \"a\")] b: i64 }",
        "two fields are the column `a`",
    );
    check(
        public,
        "#[public(name = \"a\")] struct Order { #[column(nane = \"x\")] a: i64 }",
        "unknown option; #[column] has `name = \"…\"` and `kind = \"…\"`",
    );
}

#[test]
fn a_public_row_has_a_name_and_a_version() {
    let message = "say which public schema its rows are of: #[public(name = \"orders\", version = \"1.0\")]";
    check(public, "struct Order { id: i64 }", message);
    check(public, "#[public(version = \"1.0\")] struct Order { id: i64 }", "name the public schema: name = \"orders\"");
    for version in ["1", "1.x", "v1.0", "-1.0"] {
        let code = format!("#[public(name = \"a\", version = \"{version}\")] struct Order {{ id: i64 }}");
        check(public, &code, "write major.minor, such as \"1.0\"");
    }
}

#[test]
fn settings_are_owned_and_consistent() {
    check(
        settings,
        "struct S { #[setting(default = \"1\")] a: Option<i64> }",
        "a setting with a default is never absent: make it a plain field",
    );
    check(settings, "struct S<'a> { a: &'a str }", "settings outlive every batch: use owned types and no parameters");
    check(
        settings,
        "struct S { #[setting(required)] a: i64 }",
        "unknown option; #[setting] has `default = \"…\"` and `name = \"…\"`",
    );
}

#[test]
fn state_and_enumerations_are_plain() {
    let state = |code: &str| derive(state_value::expand, code);
    check(state, "struct S<T> { a: T }", "state outlives every batch: use owned types and no parameters");
    let enumeration = |code: &str| derive(enumeration::expand, code);
    check(enumeration, "struct S { a: i64 }", "#[derive(Enumeration)] takes an enum");
    check(enumeration, "enum S { A(i64) }", "a label has no fields");
    check(enumeration, "enum S { InUse, #[label(\"in_use\")] Other }", "two variants have the label `in_use`");
}

#[test]
fn a_transform_takes_a_change_and_publishes_something() {
    check(
        on_item,
        "name = \"a\"\nfn orders(change: Change<Order>, out: &mut Out) -> Result<()> {}",
        "say what it publishes: #[transform(name = \"orders\", publishes(PublicOrder))]",
    );
    check(
        on_item,
        "publishes(A)\nfn orders(out: &mut Out) -> Result<()> {}",
        "write fn(change: Change<Row>, out: &mut Out), and as a third argument settings: &Settings if there are any",
    );
    check(
        on_item,
        "nome = \"a\"\nfn orders() {}",
        "unknown option; #[transform] has name = \"…\", version = \"…\", publishes(Row, …), stateful, state_version = 1, \
         parallel and whole_transactions",
    );
    check(
        on_item,
        "publishes(A)\nasync fn orders(change: Change<Order>, out: &mut Out) -> Result<()> {}",
        "a transform is called and returns: it has nothing to wait for",
    );
    check(
        on_item,
        "publishes(A)\nstruct Orders;",
        "#[transform] takes a function `fn(change: Change<Row>, out: &mut Out) -> Result<()>`, or an `impl` block with \
         one such method a table",
    );
    check(
        on_item,
        "publishes(A), parallel, whole_transactions\nfn orders(change: Change<Order>, out: &mut Out) -> Result<()> {}",
        "`parallel` and `whole_transactions` exclude each other: parallel instances see parts of a transaction",
    );
    check(
        on_item,
        "publishes(A)\nimpl S {\n    fn orders(&self, change: Change<Order>, out: &mut Out) -> Result<()> {}\n    \
         fn end_of_transaction(&self, out: &mut Out) -> Result<()> {}\n}",
        "`end_of_transaction` needs `whole_transactions`: a large transaction comes in pieces otherwise, and the last of \
         them may have no change that the transform takes",
    );
}

#[test]
fn a_transforms_methods_keep_nothing_between_batches() {
    let message = "take `&self`: an instance may be replaced between any two batches, and a batch may run twice, so what must \
                   survive goes into a `Map` of the state";
    for receiver in ["&mut self", "self", "this: &T"] {
        let code =
            format!("publishes(A)\nimpl T {{\nfn orders({receiver}, change: Change<Order>, out: &mut Out) {{}}\n}}");
        check(on_item, &code, message);
    }
    check(
        on_item,
        "publishes(A)\nimpl T {\nfn helper(&self) {}\n}",
        "no method takes a change: write fn orders(&self, change: Change<Order>, out: &mut Out) -> Result<()>",
    );
    check(on_item, "publishes(A)\nimpl Clone for T {}", "#[transform] takes an inherent impl, not one of a trait");
    check(
        on_item,
        "publishes(A)\nimpl T { fn init(&self) -> Result<Self> {} }",
        "init makes the transform: fn init(settings: Settings) -> Result<Self>",
    );
}
