//! Builds the page in `web/` with Node.js and npm, and lists its files for `src/assets.rs`.
//!
//! Without Node.js, or when npm fails, the dashboard is built all the same, with a page that says what is missing; the next
//! build tries again. `CORTEXIQ_DASHBOARD_DIST` names a page that was built elsewhere.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    let root = PathBuf::from(env("CARGO_MANIFEST_DIR"));
    let out = PathBuf::from(env("OUT_DIR"));
    let (web, dist) = (root.join("web"), out.join("dist"));
    let sources = [
        "src",
        "public",
        "index.html",
        "package.json",
        "package-lock.json",
        "tsconfig.json",
        "vite.config.ts",
    ];
    for source in sources {
        println!("cargo::rerun-if-changed=web/{source}");
    }
    println!("cargo::rerun-if-changed=../../sdk/web/src");
    println!("cargo::rerun-if-changed=src/without-node.html");
    println!("cargo::rerun-if-changed=src/without-node.css");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=CORTEXIQ_DASHBOARD_DIST");

    let built = match std::env::var_os("CORTEXIQ_DASHBOARD_DIST") {
        Some(elsewhere) => Ok(PathBuf::from(elsewhere)),
        None => build(&web, &dist).map(|()| dist.clone()),
    };
    let (dist, has_page) = match built {
        Ok(dist) => (dist, true),
        Err(reason) => {
            println!("cargo::warning=the dashboard has no page: {reason}");
            // A file that is never there: the next build tries again.
            println!("cargo::rerun-if-changed=web/.missing");
            let _ = fs::remove_dir_all(&dist);
            fs::create_dir_all(&dist).expect("OUT_DIR is writable");
            let part = |name: &str| {
                fs::read_to_string(root.join("src").join(name)).expect("it is part of the crate")
            };
            let reason = reason.replace('&', "&amp;").replace('<', "&lt;");
            let page = part("without-node.html").replace("{reason}", &reason);
            for (name, text) in [("index.html", page), ("without-node.css", part("without-node.css"))] {
                fs::write(dist.join(name), text).expect("OUT_DIR is writable");
            }
            (dist, false)
        }
    };
    fs::write(out.join("assets.rs"), list(&dist, has_page)).expect("OUT_DIR is writable");
}

/// `npm ci` when the lock file has changed since the last time, and the build itself.
fn build(web: &Path, dist: &Path) -> Result<(), String> {
    let version = Command::new("node").arg("--version").output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let major =
        version.as_ref().ok().and_then(|text| text.strip_prefix('v')?.split('.').next()?.parse::<u32>().ok());
    match major {
        Some(20..) => {}
        Some(_) => {
            return Err(format!("Node.js 20 or later is needed, this is {}", version.unwrap_or_default()));
        }
        None => return Err("Node.js 20 or later with npm is needed, and there is no `node`".to_owned()),
    }
    // Builds of several profiles may run at the same time.
    let lock =
        File::create(web.join(".build.lock")).map_err(|error| format!("bots/dashboard/web: {error}"))?;
    lock.lock().map_err(|error| format!("bots/dashboard/web: {error}"))?;
    // npm writes this file last, with what it has installed.
    let modified = |name: &str| web.join(name).metadata().and_then(|data| data.modified()).ok();
    let installed = modified("node_modules/.package-lock.json");
    if installed.is_none() || modified("package-lock.json") > installed {
        run(web, "npm", &["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"])?;
    }
    let dist = dist.to_str().ok_or("OUT_DIR is no text")?;
    run(
        web,
        "node",
        &["node_modules/vite/bin/vite.js", "build", "--outDir", dist, "--emptyOutDir", "--logLevel", "error"],
    )
}

fn run(folder: &Path, program: &str, arguments: &[&str]) -> Result<(), String> {
    let line = format!("`{program} {}` in bots/dashboard/web", arguments.join(" "));
    let output = Command::new(program).args(arguments).current_dir(folder).output();
    let output = output.map_err(|error| format!("{line}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let told = [output.stderr, output.stdout].concat();
    let told = String::from_utf8_lossy(&told)
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .take(6)
        .collect::<Vec<_>>()
        .join(" | ");
    Err(format!("{line} failed: {told}"))
}

/// Rust source that holds every file of a folder; `NAME.gz` is the compressed form of `NAME`.
fn list(dist: &Path, has_page: bool) -> String {
    let mut files = Vec::new();
    collect(dist, &mut files);
    files.sort();
    let mut source = format!(
        "const HAS_PAGE: bool = {has_page};\n\
         static ASSETS: &[Asset] = &[\n"
    );
    for file in files.iter().filter(|file| file.extension().is_none_or(|extension| extension != "gz")) {
        let path = file.strip_prefix(dist).expect("it is inside").to_str().expect("vite gives plain names");
        let bytes = fs::read(file).expect("vite has just written it");
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        let tag = format!("\"{:016x}\"", hasher.finish());
        let gzip = PathBuf::from(format!("{}.gz", file.display()));
        let gzip = if gzip.exists() { format!("Some(include_bytes!({gzip:?}))") } else { "None".to_owned() };
        let _ = writeln!(
            source,
            "    Asset {{ path: {path:?}, bytes: include_bytes!({file:?}), gzip: {gzip}, tag: {tag:?} }},"
        );
    }
    source + "];\n"
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}

fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}
