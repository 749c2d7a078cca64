//! Files for tables that have everything. That they compile is shown by `tests/e2e/new.rs`, against a real database.

use super::model::row_types;
use super::{Lang, Made, Naming, difference, words};
use crate::change::ReplicaIdentity;
use crate::postgres::catalog::{
    Comparable, Generated, Key, KeyColumn, Persistence, Table, TableColumn, TableKind, TableName, TypeKind,
};

fn column(name: &str, type_oid: u32, type_name: &str, type_kind: TypeKind, not_null: bool) -> TableColumn {
    TableColumn {
        name: name.to_owned(),
        number: 1,
        type_oid,
        base_oid: type_oid,
        type_modifier: -1,
        type_name: type_name.to_owned(),
        type_kind,
        not_null,
        generated: Generated::No,
        identity: false,
        missing: None,
        comment: None,
    }
}

fn table(name: &str, columns: Vec<TableColumn>, keyed: bool) -> Table {
    let key = KeyColumn {
        column: 0,
        descending: false,
        nulls_first: false,
        collation: None,
        default_order: true,
        comparable: Comparable::ByHost,
    };
    let primary =
        Key { index: "pkey".to_owned(), primary: true, replica_identity: false, usable: true, columns: vec![key] };
    Table {
        oid: 1,
        name: TableName::new("public", name),
        kind: TableKind::Ordinary,
        persistence: Persistence::Permanent,
        identity: ReplicaIdentity::Default,
        partition_root: None,
        row_security: false,
        comment: None,
        columns,
        keys: if keyed { vec![primary] } else { vec![] },
    }
}

fn orders() -> Table {
    let mut type_ =
        column("type", 90_000, "public.order_type", TypeKind::Enum(vec!["web".into(), "in shop".into()]), true);
    type_.comment = Some("Where it was placed.\nNever changes.".to_owned());
    let columns = vec![
        column("id", 20, "bigint", TypeKind::Base, true),
        type_,
        column("Total €", 1700, "numeric(12,2)", TypeKind::Base, true),
        column("note", 25, "text", TypeKind::Base, false),
        column("doc", 3802, "jsonb", TypeKind::Base, false),
        column("tags", 1009, "text[]", TypeKind::Array("text".into()), true),
        column("during", 3904, "int4range", TypeKind::Range, false),
    ];
    table("orders", columns, true)
}

fn made() -> Made {
    let mut made = Made::default();
    made.add(&["orders".to_owned()], &["orders.note".to_owned()]).unwrap();
    made
}

#[test]
fn the_header_says_what_a_file_was_made_of() {
    let rows = row_types(&[orders()], made().large());
    for lang in Lang::ALL {
        let text = lang.rows(&rows, &made().header());
        assert_eq!(Made::of(&text), Some(made()), "{text}");
    }
    assert_eq!(Made::of("fn main() {}"), None);
}

#[test]
fn every_column_has_its_field_in_every_language() {
    let rows = row_types(&[orders()], made().large());
    let has = |lang: Lang, lines: &[&str]| {
        let text = lang.rows(&rows, &made().header());
        for line in lines {
            assert!(text.contains(line), "{lang:?} lacks {line:?}:\n{text}");
        }
    };
    has(
        Lang::Rust,
        &[
            "    #[key]\n    pub id: i64,\n    /// Where it was placed.\n    /// Never changes.\n    #[column(name = \"type\")]\n    pub type_: OrderType,",
            "    #[column(name = \"Total €\")]\n    pub total: Decimal<&'a str>,",
            "    pub note: Toasted<Option<&'a str>>,",
            "    pub tags: Toasted<Array<&'a str>>,",
            "    #[label(\"in shop\")]\n    InShop,",
        ],
    );
    has(
        Lang::Ts,
        &[
            "  id: pg.bigint.key(),",
            "  type: orderType,",
            "  \"Total €\": pg.numeric,",
            "  note: pg.text.nullable().toasted(),",
            "  tags: pg.array(pg.text).toasted(),",
            "export const orderType = pg.enumeration(\"web\", \"in shop\");",
        ],
    );
    has(
        Lang::Py,
        &[
            "    id: Key[int]",
            "    type: OrderType",
            "    total: Annotated[Decimal, Column(name=\"Total €\")]",
            "    note: Toasted[str | None]",
            "    IN_SHOP = \"in shop\"",
        ],
    );
    has(Lang::Go, &["`pelton:\"id,key\"`", "OrderTypeInShop OrderType = \"in shop\"", "pelton.Toasted[*string]"]);
    has(
        Lang::C,
        &[
            "    X(key, bigint, id) \\",
            "X(plain, numeric, total, .name = \"Total €\")",
            "X(toasted_nullable, text, note)",
        ],
    );
}

#[test]
fn a_table_without_a_key_is_only_added_to() {
    let rows = row_types(
        &[table("log", vec![column("at", 1184, "timestamp with time zone", TypeKind::Base, true)], false)],
        &[],
    );
    let naming = Naming { name: "log".to_owned(), words: words("log") };
    for (lang, expected) in [
        (Lang::Rust, "ops(insert)"),
        (Lang::Js, "ops: [\"insert\"]"),
        (Lang::Py, "ops=[Op.INSERT]"),
        (Lang::C, ".ops = PELTON_INSERTS"),
    ] {
        assert!(lang.rows(&rows, &Made::default().header()).contains(expected), "{lang:?}");
    }
    assert!(Lang::Go.transform(&rows, &naming).contains(".Ops(pelton.OpInsert)"));
}

#[test]
fn a_difference_shows_what_changed_around_it() {
    assert_eq!(
        difference("a\nb\nc\n", "a\nx\nc\n"),
        "--- as it is\n+++ as the tables are\n@@ -1,3 +1,3 @@\n a\n-b\n+x\n c\n"
    );
}
