//! Foreign programs that tests drive. What is missing is installed where that is allowed; elsewhere the test fails
//! with the line to run.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A Python that has these packages, installed once for all tests.
pub(crate) fn python(packages: &[&str]) -> PathBuf {
    let (target, _lock) = (target(), lock("python"));
    let venv = target.join("python");
    let python = venv.join("bin/python");
    let done = venv.join(packages.join("+"));
    if !done.exists() {
        let make =
            || Command::new("python3").args(["-m", "venv"]).arg(&venv).status().is_ok_and(|s| s.success());
        if !make() {
            // Debian keeps venv in a package of its own.
            apt_install("python3-venv");
            assert!(make(), "python3 -m venv failed even with python3-venv");
        }
        let pip = format!("{} -m pip install {}", python.display(), packages.join(" "));
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(packages), &pip);
        File::create(&done).expect("the environment is writable");
    }
    python
}

/// A program of Debian's package.
pub(crate) fn debian_program(program: &str, package: &str) {
    let _lock = lock("apt");
    let found = || Command::new(program).arg("-V").output().is_ok();
    if !found() {
        apt_install(package);
        assert!(found(), "{package} brings {program}");
    }
}

/// A Chromium.
pub(crate) fn chromium() -> PathBuf {
    let _lock = lock("apt");
    let found = || {
        ["/usr/bin/chromium", "/usr/bin/chromium-browser"].map(PathBuf::from).into_iter().find(|p| p.exists())
    };
    found().unwrap_or_else(|| {
        apt_install("chromium");
        found().expect("Debian's chromium is at /usr/bin/chromium")
    })
}

/// The modules that the lock file in `tests/<folder>` names, installed once for all tests.
pub(crate) fn node_modules(folder: &str) -> PathBuf {
    install_modules(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder), folder)
}

/// The client for browsers in `sdk/web`, compiled: a folder with its modules in `dist` and those it uses in
/// `node_modules`.
pub(crate) fn web_client() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/web");
    let modules = install_modules(&source, "web-client");
    let folder = modules.parent().expect("it has a parent").to_owned();
    let _lock = lock("web-client");
    for file in ["tsconfig.json", "tsconfig.build.json"] {
        std::fs::copy(source.join(file), folder.join(file)).expect("the target directory is writable");
    }
    let _ = std::fs::remove_dir_all(folder.join("src"));
    copy_all(&source.join("src"), &folder.join("src"));
    let mut compiler = Command::new(modules.join(".bin/tsc"));
    run(compiler.args(["-p", "tsconfig.build.json"]).current_dir(&folder), "cd sdk/web && npm run build");
    folder
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("the target directory is writable");
    for entry in std::fs::read_dir(from).expect("the sources are there") {
        let path = entry.expect("a folder can be listed").path();
        let to = to.join(path.file_name().expect("it is in a folder"));
        if path.is_dir() {
            copy_all(&path, &to);
        } else {
            std::fs::copy(&path, &to).expect("the target directory is writable");
        }
    }
}

fn install_modules(source: &Path, name: &str) -> PathBuf {
    let (target, _lock) = (target().join(name), lock("apt"));
    if !Command::new("npm").arg("--version").output().is_ok_and(|output| output.status.success()) {
        apt_install("nodejs npm");
    }
    std::fs::create_dir_all(&target).expect("the target directory is writable");
    let read = |dir: &Path| std::fs::read(dir.join("package-lock.json")).unwrap_or_default();
    let done = target.join("done");
    if read(source) != read(&target) || !done.exists() {
        for file in ["package.json", "package-lock.json"] {
            std::fs::copy(source.join(file), target.join(file)).expect("the target directory is writable");
        }
        let remedy = format!("cd {} && npm ci", target.display());
        let mut npm = Command::new("npm");
        run(
            npm.args(["ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&target),
            &remedy,
        );
        File::create(&done).expect("the target directory is writable");
    }
    target.join("node_modules")
}

fn apt_install(packages: &str) {
    let install = format!("apt-get install -y --no-install-recommends {packages}");
    // A fresh machine has no lists of packages yet.
    let script = format!("{install} || (apt-get update && {install})");
    run(Command::new("sh").args(["-c", &script]).env("DEBIAN_FRONTEND", "noninteractive"), &install);
}

/// Runs a program; fails with the line that a user may run instead.
fn run(command: &mut Command, remedy: &str) {
    // What it prints is of interest only when it fails.
    let output = command.output();
    let done = output.as_ref().is_ok_and(|output| output.status.success());
    assert!(done, "run: {remedy}\n{command:?} failed: {output:?}");
}

fn target() -> PathBuf {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(&target).expect("the target directory is writable");
    target
}

/// Only one test installs at a time, until the file is closed.
fn lock(name: &str) -> File {
    let lock = File::create(target().join(format!("{name}.lock"))).expect("the target directory is writable");
    lock.lock().expect("a file can be locked");
    lock
}
