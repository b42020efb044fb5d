//! Where there is no Node.js the dashboard is built all the same, with a page that says how to get it.

use std::path::Path;
use std::process::Command;

#[test]
fn without_node_everything_is_built_and_the_page_says_how_to_get_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = tempfile::tempdir().expect("a directory");
    // The build script itself, as cargo builds it.
    let script = out.path().join("build-script");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let built = Command::new(rustc)
        .args(["--edition", "2024", "-o"])
        .arg(&script)
        .arg(root.join("build.rs"))
        .status();
    assert!(built.expect("rustc runs").success());

    let run = Command::new(&script)
        .env_clear()
        // No program is in it.
        .env("PATH", out.path())
        .env("CARGO_MANIFEST_DIR", root)
        .env("OUT_DIR", out.path())
        .output()
        .expect("it runs");
    let told = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    assert!(told.contains("cargo::warning=the dashboard has no page: Node.js 20 or later"), "{told}");
    assert!(told.contains("cargo::rerun-if-changed=web/.missing"), "the next build tries again: {told}");

    let read = |name: &str| std::fs::read_to_string(out.path().join(name)).expect("it is written");
    let page = read("dist/index.html");
    assert!(page.contains("there is no `node`") && page.contains("apt-get install nodejs npm"), "{page}");
    assert!(!page.contains("{reason}") && !page.contains("style="), "{page}");
    let assets = read("assets.rs");
    assert!(assets.contains("HAS_PAGE: bool = false") && assets.contains("\"without-node.css\""), "{assets}");
}
