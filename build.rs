//! Collects the guest SDKs, which `pelton new` writes into the projects that it makes (`src/cli/new/sdk.rs`), and makes the
//! adapter that answers Go's WASI (`src/cli/build/deny.wat`) what it is in its binary form.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

const SDKS: [&str; 5] = ["rust", "js", "python", "go", "c"];

/// What a project needs of an SDK. Tests, locks and what tools leave behind it does not.
const ENDINGS: [&str; 15] =
    ["c", "cjs", "go", "h", "js", "json", "md", "mjs", "mod", "py", "rs", "toml", "ts", "typed", "wit"];
const LEFT_OUT: [&str; 9] =
    ["build", "dist", "node_modules", "package-lock.json", "target", "test", "tests", "testdata", "__pycache__"];

const ADAPTER: &str = "src/cli/build/deny.wat";

fn main() -> io::Result<()> {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    println!("cargo::rerun-if-changed={ADAPTER}");
    fs::write(out.join("deny.wasm"), wat::parse_file(ADAPTER).map_err(io::Error::other)?)?;
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("guest-sdk");
    let mut text = String::new();
    for sdk in SDKS {
        let folder = root.join(sdk);
        let mut files = Vec::new();
        collect(&folder, &mut files)?;
        files.sort();
        writeln!(text, "const {}: &[File] = &[", sdk.to_uppercase()).expect("a text takes all");
        for file in files {
            // Each file by itself: what tools and tests leave in the folders is no reason to build anew.
            println!("cargo::rerun-if-changed={}", file.display());
            let path = file.strip_prefix(&folder).expect("it is inside of the folder").display().to_string();
            let (path, file) = (path.replace('\\', "/"), file.display().to_string());
            writeln!(text, "    ({path:?}, include_bytes!({file:?})),").expect("a text takes all");
        }
        writeln!(text, "];").expect("a text takes all");
    }
    fs::write(out.join("sdk.rs"), text)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') || LEFT_OUT.contains(&name.as_str()) || name.ends_with("_test.go") {
            continue;
        }
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|ending| ENDINGS.contains(&&*ending.to_string_lossy())) {
            files.push(path);
        }
    }
    Ok(())
}
