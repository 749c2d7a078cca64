//! Texts that nobody meant: the parser never panics, and always says something.

use proptest::prelude::*;

use super::*;

/// A manifest or at least one error, every problem at a place that is in the text.
fn holds(text: &str) {
    match read(text) {
        Ok(manifest) => assert!(manifest.warnings.iter().all(|problem| problem.severity == Severity::Warning)),
        Err(problems) => {
            assert!(problems.0.iter().any(|problem| problem.severity == Severity::Error), "{text:?}");
            let lines: Vec<&str> = text.strip_prefix('\u{feff}').unwrap_or(text).lines().collect();
            for problem in &problems.0 {
                let Place { line, column } = problem.at;
                let length = lines.get(line as usize - 1).map_or(0, |line| line.chars().count());
                assert!(line >= 1 && line as usize <= lines.len().max(1), "{line} of {text:?}");
                assert!(column >= 1 && column as usize <= length + 1, "{line}:{column} of {text:?}");
                assert!(!problem.message.contains("reason was not found"), "{text:?}");
                assert!(!problem.message.contains('\n'), "{problem:?}");
            }
            // Printing is part of it.
            assert!(!problems.to_string().is_empty());
        }
    }
}

/// A text of the pieces that manifests and YAML are made of.
fn pieces() -> impl Strategy<Value = String> {
    let words: Vec<String> = SMALL.split_inclusive([' ', '\n']).map(str::to_owned).collect();
    static MARKS: &[&str] = &[
        "- ", ": ", "\n", "  ", "{", "}", "[", "]", "'", "\"", "\\", "|\n", ">-\n", "&a ", "*a", "<<: ", "${", "$${",
        "? ", "!x ", "---\n", "\t", "#", "%", "\r", "\0", "é", "\u{feff}", "😀", "\u{85}", "\u{2028}",
    ];
    let piece = prop_oneof![
        4 => proptest::sample::select(words),
        3 => proptest::sample::select(MARKS).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec(piece, 0..80).prop_map(|pieces| pieces.concat())
}

/// What happens to a line of a valid manifest.
#[derive(Clone, Debug)]
enum Edit {
    Delete,
    Double,
    Swap(usize),
    Indent,
    Insert(usize, String),
    Cut(usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    let mark = proptest::sample::select(
        &["{", "}", "[", "]", ":", "'", "\"", "#", "&a ", "*a", "${X}", "~", "5", " ", "x"][..],
    );
    prop_oneof![
        Just(Edit::Delete),
        Just(Edit::Double),
        any::<usize>().prop_map(Edit::Swap),
        Just(Edit::Indent),
        (any::<usize>(), mark).prop_map(|(at, mark)| Edit::Insert(at, mark.to_owned())),
        any::<usize>().prop_map(Edit::Cut),
    ]
}

fn apply(lines: &mut Vec<String>, at: usize, edit: Edit) {
    if lines.is_empty() {
        return;
    }
    let at = at % lines.len();
    let place = |line: &str, n: usize| {
        line.char_indices().map(|(i, _)| i).nth(n % (line.chars().count() + 1)).unwrap_or(line.len())
    };
    match edit {
        Edit::Delete => drop(lines.remove(at)),
        Edit::Double => lines.insert(at, lines[at].clone()),
        Edit::Swap(other) => {
            let other = other % lines.len();
            lines.swap(at, other);
        }
        Edit::Indent => lines[at].insert(0, ' '),
        Edit::Insert(n, mark) => {
            let n = place(&lines[at], n);
            lines[at].insert_str(n, &mark);
        }
        Edit::Cut(n) => {
            let n = place(&lines[at], n);
            lines[at].truncate(n);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_a_manifest_or_has_a_problem(text in ".{0,200}") {
        holds(&text);
    }

    #[test]
    fn any_bytes_are_a_manifest_or_have_a_problem(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes, &Origin::of(Path::new("m")), &Outside);
    }

    #[test]
    fn pieces_of_yaml_are_a_manifest_or_have_a_problem(text in pieces()) {
        holds(&text);
    }

    #[test]
    fn a_manifest_with_altered_lines_is_a_manifest_or_has_a_problem(
        edits in proptest::collection::vec((any::<usize>(), edit()), 1..6),
        long in any::<bool>(),
    ) {
        let text = if long { init_text("shop") } else { SMALL.to_owned() };
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        for (at, edit) in edits {
            apply(&mut lines, at, edit);
        }
        holds(&lines.join("\n"));
    }

    #[test]
    fn any_url_is_a_connection_or_an_error(url in "(postgres://)?[a-z@:/?#%\\[\\]=&,0-9é]{0,40}") {
        let _ = PostgresConnection::from_url(&url).map_err(|error| (error.to_string(), error.hint()));
    }

    #[test]
    fn a_connection_survives_its_url(user in "\\PC{1,8}", password in "\\PC{1,8}", database in "\\PC{1,8}", port in 1u16..) {
        let encode = |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
        let url = format!("postgres://{}:{}@h:{port}/{}", encode(&user), encode(&password), encode(&database));
        let connection = PostgresConnection::from_url(&url).unwrap();
        prop_assert_eq!(connection.password.as_ref().map(Secret::reveal), Some(password.as_str()));
        prop_assert_eq!((connection.user, connection.database, connection.port), (user, database, port));
    }
}

#[test]
fn large_manifests_full_of_mistakes_are_read_quickly() {
    let started = std::time::Instant::now();
    let unknown: String = (0..50_000).map(|i| format!("field{i}: 1\n")).collect();
    holds(&format!("slug: s\n{unknown}"));
    let stores: String = (0..3000).map(|i| format!("  - connectionSlug: connection{i}\n")).collect();
    let events: String = (0..3000).map(|i| format!("  - connectionSlug: conection{i}\n")).collect();
    let connections: String =
        (0..3000).map(|i| format!("  - {{ slug: conn{i}, config: {{ connectionType: in-memory }} }}\n")).collect();
    holds(&format!("slug: s\nconnections:\n{connections}dataStores:\n{stores}eventStores:\n{events}"));
    let columns: String = (0..20_000).map(|i| format!("c{i}, ")).collect();
    let keys: String = (0..20_000).map(|i| format!("k{i}, ")).collect();
    holds(&small("table: public.orders }", &format!("table: public.orders, columns: [{columns}], key: [{keys}] }}")));
    // Generous: quadratic walks take minutes.
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}
