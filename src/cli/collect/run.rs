//! Runs the files: a small script in their own language imports them and writes down what they export.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

use super::super::report::Failure;
use super::found::{Schema, schemas};

const NODE: &str = include_str!("collect.mjs");
const PYTHON: &str = include_str!("collect.py");

/// Importing a module is quick; one that takes longer has begun to serve.
const TIME_MAX: Duration = Duration::from_secs(120);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Language {
    Node,
    Python,
}

/// Returns the schemas that the files define, in their order.
pub async fn all(files: &[PathBuf]) -> Result<Vec<Schema>, Failure> {
    let languages = files.iter().map(|file| language(file)).collect::<Result<Vec<_>, _>>()?;
    let mut found = vec![Vec::new(); files.len()];
    for wanted in [Language::Node, Language::Python] {
        let indexes: Vec<usize> = (0..files.len()).filter(|&index| languages[index] == wanted).collect();
        if indexes.is_empty() {
            continue;
        }
        let mine: Vec<&PathBuf> = indexes.iter().map(|&index| &files[index]).collect();
        for (index, values) in indexes.iter().zip(run(wanted, &mine).await?) {
            found[*index] = schemas(&files[*index], &values);
        }
    }
    for (file, found) in files.iter().zip(&found) {
        if found.is_empty() {
            eprintln!("Warning: {} exports no schema; of JavaScript and TypeScript, exports are read", file.display());
        }
    }
    Ok(found.into_iter().flatten().collect())
}

fn language(file: &Path) -> Result<Language, Failure> {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("ts" | "mts" | "cts" | "tsx" | "js" | "mjs" | "cjs") => Ok(Language::Node),
        Some("py") => Ok(Language::Python),
        _ => {
            let what = format!("{} is neither TypeScript, JavaScript nor Python", file.display());
            Err(Failure::new(what, Some("name files that end in .ts, .mts, .js, .mjs, .cjs or .py".to_owned())))
        }
    }
}

/// Runs files of one language, and returns what each of them exports.
async fn run(language: Language, files: &[&PathBuf]) -> Result<Vec<Vec<Value>>, Failure> {
    let failed = |error: std::io::Error| Failure::of(&error, None);
    let folder = tempfile::tempdir().map_err(failed)?;
    let (program, script, text) = match language {
        Language::Node => ("node", folder.path().join("collect.mjs"), NODE),
        Language::Python => ("python3", folder.path().join("collect.py"), PYTHON),
    };
    std::fs::write(&script, text).map_err(failed)?;
    let out = folder.path().join("found.json");
    let mut command = Command::new(program);
    if language == Language::Node {
        // That it reads TypeScript is news to nobody here.
        command.env("NODE_NO_WARNINGS", "1");
    }
    for file in files {
        if !file.is_file() {
            let hint = "name files, relative to this folder".to_owned();
            return Err(Failure::new(format!("there is no file {}", file.display()), Some(hint)));
        }
    }
    let absolute = files.iter().map(std::path::absolute).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    command.arg(&script).arg(&out).args(absolute).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| {
        let hint = format!("install {program}, or write the schemas into the manifest by hand");
        Failure::new(format!("{program} can't be started: {error}"), Some(hint))
    })?;
    let Ok(ended) = tokio::time::timeout(TIME_MAX, child.wait()).await else {
        let hint = "a file that defines schemas must not start anything when it is imported".to_owned();
        return Err(Failure::new(format!("{program} did not end within {} s", TIME_MAX.as_secs()), Some(hint)));
    };
    let status = ended.map_err(failed)?;
    let written = std::fs::read(&out).ok().and_then(|bytes| serde_json::from_slice::<Vec<Value>>(&bytes).ok());
    let Some(results) = written.filter(|results| results.len() == files.len()) else {
        let hint = "what it said stands above".to_owned();
        return Err(Failure::new(format!("{program} ended with {status} and without a result"), Some(hint)));
    };
    let mut failures = Vec::new();
    let mut all = Vec::new();
    for (file, result) in files.iter().zip(results) {
        if let Some(error) = result["error"].as_str() {
            let hint = match result["needsTypes"].as_bool() {
                Some(true) => "use Node 22.15 or newer, or `npm install --save-dev esbuild` in the project",
                _ => "run the file by itself to see where; packages that it imports must be installed",
            };
            failures.push(Failure::new(format!("{}: {error}", file.display()), Some(hint.to_owned())));
        }
        all.push(result["values"].as_array().cloned().unwrap_or_default());
    }
    if failures.is_empty() { Ok(all) } else { Err(Failure::all(failures)) }
}
