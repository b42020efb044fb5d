//! A Python with the packages that tests compare with, from the lock file `python/requirements.txt`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Runs a script of `python/` and reads the JSON that it prints.
pub(crate) fn json(script: &str, arguments: &[&str]) -> Value {
    let output = Command::new(python())
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(script))
        .args(arguments)
        .output()
        .expect("the environment's python runs");
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("the script prints JSON")
}

/// The interpreter; its environment is made under `target/` by the first test that asks, under a lock.
pub(crate) fn python() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(target).expect("the target directory is writable");
    let lock = File::create(target.join("python-energy.lock")).expect("the target directory is writable");
    lock.lock().expect("a file can be locked");
    let environment = target.join("python-energy");
    let (python, installed) = (environment.join("bin/python"), environment.join("installed.txt"));
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/requirements.txt");
    let wanted = std::fs::read(&requirements).expect("the lock file is there");
    if std::fs::read(&installed).ok() != Some(wanted.clone()) {
        let make = || {
            let venv = Command::new("python3").args(["-m", "venv"]).arg(&environment).status();
            venv.is_ok_and(|status| status.success())
        };
        if !make() {
            // Debian keeps venv in a package of its own; root may install it.
            let remedy = "apt-get install -y --no-install-recommends python3-venv";
            run(Command::new("apt-get").args(remedy.split(' ').skip(1)), remedy);
            assert!(make(), "python3 -m venv failed even with python3-venv");
        }
        let pip = format!("{} -m pip install -r {}", python.display(), requirements.display());
        let quiet = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
        run(Command::new(&python).args(quiet).arg(&requirements), &pip);
        std::fs::write(&installed, wanted).expect("the environment is writable");
    }
    python
}

fn run(command: &mut Command, remedy: &str) {
    let done = command.status().is_ok_and(|status| status.success());
    assert!(done, "{command:?} failed; run: {remedy}");
}
