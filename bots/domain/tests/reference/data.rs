//! The data files are what their commands write.

use crate::python;

use std::path::Path;
use std::process::Command;

#[test]
fn data_files_are_what_their_commands_write() {
    let (python, root) = (python::python(), Path::new(env!("CARGO_MANIFEST_DIR")));
    let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join("data");
    std::fs::create_dir_all(&made).expect("the target directory is writable");
    for (script, argument, files) in [
        ("load_profiles.py", made.clone(), &["h25.csv", "h0.csv"][..]),
        ("holidays_be.py", made.join("holidays.csv"), &["holidays.csv"]),
        ("municipalities.py", made.join("municipalities.csv"), &["municipalities.csv"]),
    ] {
        let output = Command::new(&python).arg(root.join("python").join(script)).arg(&argument).output();
        let output = output.expect("the environment's python runs");
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        for file in files {
            let committed =
                root.join(if script == "load_profiles.py" { "data/load" } else { "data" }).join(file);
            let read = |path: &Path| {
                std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path:?}: {error}"))
            };
            assert_eq!(read(&committed), read(&made.join(file)), "{file} is not what {script} writes");
        }
    }
}
