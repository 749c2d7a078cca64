//! The files around a transform: what its language's tools want, its manifest, its README.

use crate::cli::generate::{Lang, Naming, RowType, snake};
use crate::manifest::TableName;

/// Returns the files of a project, by their paths.
pub fn files(lang: Lang, rows: &[RowType], naming: &Naming) -> Vec<(String, String)> {
    let name = &naming.name;
    let mut files = vec![
        (transform_file(lang, naming), lang.transform(rows, naming)),
        ("pelton.yaml".to_owned(), manifest(lang, rows, naming)),
        ("README.md".to_owned(), readme(lang, rows, naming)),
        (".gitignore".to_owned(), ignored(lang).to_owned()),
    ];
    let mut file = |path: &str, text: String| files.push((path.to_owned(), text));
    match lang {
        Lang::Rust => file("Cargo.toml", CARGO.replace("NAME", name)),
        Lang::Ts | Lang::Js => {
            let main = transform_file(lang, naming);
            file("package.json", PACKAGE.replace("NAME", name).replace("MAIN", &main));
            if lang == Lang::Ts {
                file("tsconfig.json", TSCONFIG.to_owned());
            }
        }
        Lang::Py => file("pyproject.toml", PYPROJECT.replace("NAME", name)),
        Lang::Go => file("go.mod", GO_MOD.replace("NAME", name)),
        Lang::C => file("compile_flags.txt", "-Ipelton-sdk\n".to_owned()),
    }
    files
}

/// The file that the author edits.
pub fn transform_file(lang: Lang, naming: &Naming) -> String {
    let module = snake(&naming.words);
    match lang {
        Lang::Rust => "src/lib.rs".to_owned(),
        Lang::Ts => "src/transform.ts".to_owned(),
        Lang::Js => "src/transform.js".to_owned(),
        Lang::Py => format!("{module}.py"),
        Lang::Go => "transform.go".to_owned(),
        Lang::C => format!("{module}.c"),
    }
}

/// The component that `pelton build` makes of the project.
fn component(lang: Lang, naming: &Naming) -> String {
    match lang {
        // Cargo calls libraries, and we C sources, by a name that is an identifier.
        Lang::Rust | Lang::C => format!("{}.wasm", snake(&naming.words)),
        Lang::Ts | Lang::Js | Lang::Py | Lang::Go => format!("{}.wasm", naming.name),
    }
}

const CARGO: &str = r#"[package]
name = "NAME"
version = "1.0.0"
edition = "2024"
publish = false

[lib]
# The component, and the same code for native tests.
crate-type = ["cdylib", "rlib"]

[dependencies]
pelton-sdk = { path = "pelton-sdk" }

# A workspace of its own: it is built for another target, with another profile.
[workspace]
exclude = ["pelton-sdk"]

[profile.release]
lto = true
codegen-units = 1
panic = "abort"
strip = "debuginfo"
"#;

const PACKAGE: &str = r#"{
  "name": "NAME",
  "version": "1.0.0",
  "private": true,
  "type": "module",
  "main": "MAIN",
  "scripts": { "test": "pelton-js test" },
  "dependencies": { "@pelton/sdk": "file:pelton-sdk" }
}
"#;

const TSCONFIG: &str = r#"{
  "compilerOptions": {
    "target": "es2023",
    "module": "nodenext",
    "strict": true,
    "noEmit": true,
    "allowImportingTsExtensions": true,
    "skipLibCheck": true
  },
  "include": ["src"]
}
"#;

const PYPROJECT: &str = r#"[project]
name = "NAME"
version = "1.0.0"
requires-python = ">=3.11"
dependencies = ["pelton-sdk"]
"#;

const GO_MOD: &str = "module NAME\n\ngo 1.24\n\nrequire github.com/pelton-dev/pelton/guest-sdk/go v0.1.0\n\n\
replace github.com/pelton-dev/pelton/guest-sdk/go => ./pelton-sdk\n";

fn ignored(lang: Lang) -> &'static str {
    match lang {
        Lang::Rust => "/target\n*.wasm\n",
        Lang::Ts | Lang::Js => "/node_modules\n*.wasm\n",
        Lang::Py => "/.venv\n__pycache__\n*.wasm\n",
        Lang::Go | Lang::C => "*.wasm\n",
    }
}

fn manifest(lang: Lang, rows: &[RowType], naming: &Naming) -> String {
    let (slug, component) = (&naming.name, component(lang, naming));
    let tables: Vec<_> = rows.iter().map(|row| yaml(&TableName::new(&*row.schema, &*row.table).to_string())).collect();
    let mut text = format!(
        r#"# What this transform reads, publishes and fills. Every field: docs/manifest.md of Pelton.
slug: {slug}
manifestVersion: 0

connections:
  - slug: source
    config: {{ connectionType: postgres, url: "${{SOURCE_URL}}" }}
  - slug: warehouse
    config: {{ connectionType: postgres, url: "${{WAREHOUSE_URL}}" }}

dataStores:
  - connectionSlug: source
    config: {{ connectionType: postgres, tables: [{}] }}
  - connectionSlug: warehouse

publicSchemas:
"#,
        tables.join(", ")
    );
    for row in rows {
        text += &format!(
            "  - name: {}\n    version: {{ major: 1, minor: 0 }}\n    source: {{ dataStoreSlug: source }}\n    \
             config: {{ publicSchemaType: wasm, component: {component} }}\n",
            yaml(&naming.schema(row))
        );
    }
    text += "\nconsumerSchemas:\n";
    for row in rows {
        let schema = naming.schema(row);
        text += &format!(
            "  - name: warehouse-{}\n    sourceManifestSlug: {slug}\n    publicSchema: {{ name: {}, majorVersion: 1 }}\n    \
             config: {{ consumerSchemaType: table, destinationDataStoreSlug: warehouse, table: public.{schema}, createTable: true }}\n",
            schema.replace('_', "-"),
            yaml(&schema)
        );
    }
    text
}

/// A scalar of YAML.
fn yaml(text: &str) -> String {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.')
        && text.starts_with(|c: char| c.is_ascii_alphabetic());
    if plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

fn readme(lang: Lang, rows: &[RowType], naming: &Naming) -> String {
    let tables: Vec<_> = rows.iter().map(|row| format!("`{}`", row.qualified())).collect();
    let (file, types) = (transform_file(lang, naming), lang.rows_file());
    let native = match lang {
        Lang::Rust => "cargo test",
        Lang::Ts | Lang::Js => "npm install && npm test",
        Lang::Py => "PYTHONPATH=pelton-sdk/src python3 -m unittest",
        Lang::Go => "go test .",
        Lang::C => "",
    };
    let mut text = format!(
        "# {}\n\nA transform for Pelton: it reads {}, and publishes what is written in `{file}`.\n\n\
         ```sh\n\
         pelton build       # makes {}\n\
         pelton test        # runs fixtures/ through it\n\
         pelton generate    # renews {types} when the tables have changed; --check in continuous integration\n\
         pelton sync        # runs pelton.yaml, with SOURCE_URL and WAREHOUSE_URL set\n\
         ```\n",
        naming.name,
        tables.join(", "),
        component(lang, naming)
    );
    if !native.is_empty() {
        text += &format!("\nTests in the language itself, with the SDK's harness, run with `{native}`.\n");
    }
    text += "\n`pelton-sdk/` is the SDK that this project was made with.\n";
    text
}
