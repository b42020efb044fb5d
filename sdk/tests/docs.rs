//! What is shown is true: the README's first steps are the example that compiles, and every public method has one.

use std::path::{Path, PathBuf};

#[test]
fn the_readme_shows_the_example() {
    let example = include_str!("../examples/first.rs");
    let (_, code) = example.split_once("\n\n").expect("a headline, then the code");
    let readme = include_str!("../../README.md");
    assert!(readme.contains(code.trim()), "README.md differs from sdk/examples/first.rs");
}

#[test]
fn every_public_method_has_an_example() {
    let mut missing = Vec::new();
    let mut methods = 0;
    for file in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        let text = std::fs::read_to_string(&file).expect("a source");
        let mut example = false;
        for (number, line) in text.lines().enumerate() {
            let line = line.trim_start();
            if line.starts_with("#[cfg(test)]") {
                break;
            }
            if is_public_function(line) {
                methods += 1;
                if !example {
                    missing.push(format!("{}:{}: {line}", file.display(), number + 1));
                }
            }
            match line {
                _ if line.starts_with("/// ```") => example = true,
                _ if line.starts_with("///") || line.starts_with("#[") => {}
                _ => example = false,
            }
        }
    }
    assert!(methods > 100, "{methods} were found: does this test still read the sources aright?");
    assert!(missing.is_empty(), "no example:\n{}", missing.join("\n"));
}

/// Functions for other crates; what is `pub(crate)` or a trait's is none.
fn is_public_function(line: &str) -> bool {
    ["pub fn ", "pub async fn ", "pub const fn "].iter().any(|start| line.starts_with(start))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) = entries.partition(|path| path.is_dir());
    let sources = files.into_iter().filter(|file| file.extension().is_some_and(|kind| kind == "rs"));
    sources.chain(folders.iter().flat_map(|folder| self::sources(folder))).collect()
}
