use proptest::prelude::*;

use super::lexer::{self, Kind};
use super::{BadTemplate, Placeholder, TableRef, Template};

/// The placeholders of a statement, in order, as often as they come.
fn placeholders(sql: &str) -> String {
    let template = Template::parse(sql).unwrap();
    let mut found = Vec::new();
    template.render(|placeholder| {
        found.push(placeholder.to_string());
        String::new()
    });
    found.join(" ")
}

#[test]
fn placeholders_are_found_where_they_are_and_nowhere_else() {
    let check = |sql: &str, expected: &str| assert_eq!(placeholders(sql), expected, "{sql}");
    check("INSERT INTO t VALUES (:id, :full_name) ON CONFLICT (id) DO UPDATE SET a = :id", ":id :full_name :id");
    check("INSERT INTO t VALUES ($1, $22)", "$1 $22");
    check("SELECT :id::int, ':no', E'\\':no', e'a''\\\\' || :yes", ":id :yes");
    check("SELECT U&'\\00e9:no' UESCAPE '!', \"a:no\", U&\"b:no\", b'1', x'1f', N':no'", "");
    check("SELECT $$:no $1$$, $a$ $$ :no $a$ || :yes, $é$:no$é$", ":yes");
    check("SELECT E'a''\\':no', \"a\"\":no\", :a$b$:no$b$", ":a");
    check("SELECT a$1, b$c:yes -- :no $1\n, /* :no /* $2 */ :no */ :more", ":yes :more");
    check(
        "SELECT a[1:n], a[:n], (a)[lo:hi], a[1][2:n], a[(:yes)], ARRAY[:a, :b], ARRAY[[:c], [:d]]",
        ":yes :a :b :c :d",
    );
    check("SELECT f(x := :yes, y => :more), now()::text, 1.5e-3, 1..2", ":yes :more");
    check("SELECT a ? 'b', a->>:key, :Été, :a1_b", ":key :Été :a1_b");
    check("SELECT :a:b", ":a :b");
    check("SELECT ':x', 'it''s :no', :yes;  -- done", ":yes");
}

#[test]
fn what_is_no_statement_is_said() {
    let check = |sql: &str, expected: BadTemplate| assert_eq!(Template::parse(sql), Err(expected), "{sql}");
    check("", BadTemplate::Empty);
    check(" -- nothing\n ;", BadTemplate::Empty);
    check("SELECT 1; SELECT 2", BadTemplate::Several);
    check("SELECT :a, $1", BadTemplate::Mixed { name: "a".to_owned(), number: 1 });
    check("SELECT 'a", BadTemplate::Unclosed("a string"));
    check("SELECT E'a\\'", BadTemplate::Unclosed("a string"));
    check("SELECT $x$ $$ $y$", BadTemplate::Unclosed("a dollar-quoted string"));
    check("SELECT /* /* */", BadTemplate::Unclosed("a comment"));
    check("SELECT \"a", BadTemplate::Unclosed("a quoted name"));
    check("SELECT $0", BadTemplate::Number("0".to_owned()));
    check("SELECT $99999", BadTemplate::Number("99999".to_owned()));
    assert_eq!(Template::parse("/* a */ ( insert into t values (1)) ; -- b").unwrap().verb(), "INSERT");
}

fn pins(sql: &str, key: &str) -> bool {
    let key: Vec<String> = key.split(' ').map(str::to_owned).collect();
    let table = TableRef { schema: "public", name: "account", by_name: true };
    let column_of = |placeholder: &Placeholder| match placeholder {
        Placeholder::Named(name) => Some(name.clone()),
        Placeholder::Numbered(number) => key.get(usize::from(*number) - 1).cloned(),
    };
    Template::parse(sql).unwrap().pins(table, &key, column_of)
}

#[test]
fn one_row_of_the_table_is_asked_for() {
    for sql in [
        "SELECT id, email FROM account WHERE id = :id",
        "select id from Public.\"account\" where public.account.x > 1 and id = $1;",
        "SELECT a.id, a.first || ' ' || a.last AS name FROM account a WHERE a.id = :id",
        "SELECT a.* FROM account AS a WHERE (:id = a.id AND a.x IS NOT NULL)",
        "SELECT a.id, (SELECT array_agg(e.email) FROM emails e WHERE e.account_id = a.id) FROM account a WHERE a.id = :id",
        "SELECT a.id FROM account a LEFT JOIN address ad ON ad.account_id = a.id OR x WHERE a.id = :id::bigint AND (b OR c) GROUP BY 1",
        "SELECT CASE WHEN a OR b THEN 1 END FROM account WHERE CASE WHEN a OR b THEN c END AND ((id = :id)) ORDER BY 1",
        "WITH x AS (SELECT 1) SELECT * FROM x, account WHERE account.id = :id",
    ] {
        assert!(pins(sql, "id"), "{sql}");
    }
    assert!(pins("SELECT 1 FROM account WHERE b = $2 AND a = $1", "a b"));
}

#[test]
fn more_of_the_table_may_be_seen() {
    for sql in [
        "SELECT id FROM account",
        "SELECT :id AS id",
        "SELECT id FROM account WHERE id = :id OR parent = :id",
        "SELECT id FROM account WHERE parent = :id",
        "SELECT id FROM account WHERE id = :parent",
        "SELECT id FROM account WHERE id >= :id",
        "SELECT id FROM account WHERE NOT id = :id",
        "SELECT id FROM account WHERE (id = :id) IS NOT TRUE",
        "SELECT id FROM account WHERE x BETWEEN 1 AND id = :id",
        "SELECT id FROM account WHERE id = :id::date",
        "SELECT id FROM account WHERE id = :id + 1",
        "SELECT id FROM account a WHERE account.id = :id",
        "SELECT a.id FROM account a JOIN account b ON b.parent = a.id WHERE a.id = :id",
        "SELECT id, (SELECT count(*) FROM account) FROM account WHERE id = :id",
        "SELECT id FROM (SELECT * FROM account WHERE id = :id) x WHERE id = :id",
        "SELECT id FROM account WHERE id = :id UNION SELECT id FROM account_2",
        "SELECT x FROM account a(x, id) WHERE id = :id",
        "SELECT id FROM other WHERE id = :id AND id IN (SELECT id FROM account WHERE id = :id)",
        "SELECT id FROM other.account WHERE id = :id",
    ] {
        assert!(!pins(sql, "id"), "{sql}");
    }
    assert!(!pins("SELECT 1 FROM account WHERE a = $1", "a b"));
}

#[test]
fn a_name_alone_may_mean_another_table() {
    let check = |sql: &str, pins: bool, names: bool| {
        let table = TableRef { schema: "public", name: "account", by_name: false };
        let template = Template::parse(sql).unwrap();
        assert_eq!(template.pins(table, &["id".to_owned()], |_| Some("id".to_owned())), pins, "{sql}");
        assert_eq!(template.names(table), names, "{sql}");
    };
    check("SELECT id FROM account WHERE id = :id", false, false);
    check("SELECT id FROM public.account WHERE id = :id", true, true);
    check("SELECT a.id FROM public.account a JOIN account b USING (id) WHERE a.id = :id", false, true);
}

#[test]
fn the_row_that_changed_is_told_from_the_tables_others() {
    let check = |sql: &str, expected: Option<&str>| {
        let table = TableRef { schema: "public", name: "account", by_name: true };
        let column_of = |placeholder: &Placeholder| placeholder.to_string().strip_prefix(':').map(str::to_owned);
        let template = Template::parse(sql).unwrap();
        let apart = template.render_apart(table, "ROWS", &["id".to_owned()], column_of, |_| "1".to_owned());
        assert_eq!(apart.as_deref(), expected, "{sql}");
    };
    check(
        "SELECT b.id FROM account a JOIN account b ON b.id = a.parent WHERE a.id = :id",
        Some("SELECT b.id FROM (ROWS) a JOIN account b ON b.id = a.parent WHERE a.id = 1"),
    );
    check(
        "SELECT b.id FROM account b, public.\"account\" WHERE account.id = :id",
        Some("SELECT b.id FROM account b, (ROWS) AS \"account\" WHERE account.id = 1"),
    );
    check("SELECT b.id FROM account a JOIN account b ON b.id = a.parent WHERE b.parent = :id", None);
    check("SELECT a.id FROM account a JOIN account b ON true WHERE a.id = :id AND b.id = :id", None);
}

#[test]
fn the_table_is_named_without_its_schema() {
    let table = TableRef { schema: "My s", name: "account", by_name: true };
    let template = Template::parse(
        "SELECT \"My s\".account.id, 'My s.account', x.\"My s\".account FROM \"My s\" . account WHERE id = :id",
    );
    let expected = "SELECT account.id, 'My s.account', x.\"My s\".account FROM   account WHERE id = 1";
    assert_eq!(template.unwrap().render_unqualified(table, |_| "1".to_owned()), expected);
}

#[test]
fn columns_are_mentioned_by_name_and_by_star() {
    let check = |sql: &str, expected: bool| {
        let table = TableRef { schema: "public", name: "account", by_name: true };
        assert_eq!(Template::parse(sql).unwrap().mentions(table, "bio"), expected, "{sql}");
    };
    check("SELECT id FROM account WHERE id = :id", false);
    check("SELECT id, lower(BIO) FROM account WHERE id = :id", true);
    check("SELECT a.\"bio\" FROM account a WHERE a.id = :id", true);
    check("SELECT * FROM account WHERE id = :id", true);
    check("SELECT to_json(a) FROM account a WHERE a.id = :id", true);
    check("SELECT to_json(account) FROM account WHERE id = :id", true);
    check("SELECT a.id FROM account a WHERE a.id = :id", false);
    check("SELECT 'bio', :bio FROM account a WHERE a.id = :id", false);
    check("SELECT a.U&\"b\\0069o\" FROM account a WHERE a.id = :id", true);
    check("SELECT a.\"b\"\"io\" FROM account a WHERE a.id = :id", false);
}

/// A piece of SQL that hides a placeholder, or does not.
fn piece() -> impl Strategy<Value = (String, bool)> {
    prop_oneof![
        "[a-z ]{0,8}".prop_map(|text| (format!("'{text} :p $1'"), false)),
        "[a-z]{0,3}".prop_map(|tag| (format!("$z{tag}$ :p ' \" $$ $z{tag}$"), false)),
        Just(("\"a\"\":p\"".to_owned(), false)),
        Just(("/* :p /* ' */ */".to_owned(), false)),
        Just(("-- ' :p\n".to_owned(), false)),
        Just(("E'\\':p'".to_owned(), false)),
        Just(("x[1:p]".to_owned(), false)),
        Just(("x::p".to_owned(), false)),
        Just((":p".to_owned(), true)),
        Just((":p::int".to_owned(), true)),
        Just(("ARRAY[:p]".to_owned(), true)),
        Just(("(x + 1.5e2)".to_owned(), false)),
    ]
}

proptest! {
    #[test]
    fn any_mixture_shows_its_placeholders_alone(pieces in prop::collection::vec(piece(), 1..12)) {
        let sql: Vec<&str> = pieces.iter().map(|(sql, _)| sql.as_str()).collect();
        let sql = format!("SELECT {}", sql.join(" , "));
        let expected = pieces.iter().filter(|(_, is)| *is).count();
        let mut found = 0;
        Template::parse(&sql).unwrap().render(|_| { found += 1; String::new() });
        prop_assert_eq!(found, expected, "{}", sql);
    }

    #[test]
    fn tokens_are_all_of_the_text(text in "(?s)[a-z$:'\"\\[\\]()/*=.;1-9 \n\\\\éE-]{0,60}") {
        if let Ok(tokens) = lexer::tokens(&text) {
            let joined: String = tokens.iter().map(|token| &text[token.range()]).collect();
            prop_assert_eq!(joined, text.clone());
            let named = tokens.iter().all(|token| !matches!(&token.kind, Kind::Placeholder(Placeholder::Named(name)) if name.is_empty()));
            prop_assert!(named);
        }
        if let Ok(template) = Template::parse(&text) {
            let table = TableRef { schema: "a", name: "b", by_name: true };
            template.pins(table, &["c".to_owned()], |_| Some("c".to_owned()));
            template.mentions(table, "c");
            template.render_unqualified(table, ToString::to_string);
        }
    }
}
