//! The committed code of `src/gen` is what the `.proto` files say. `UPDATE_GENERATED=1` writes it anew.

use std::path::Path;

const FILES: [&str; 5] = ["types", "session", "message", "rpc", "mesh"];

#[test]
fn committed_code_matches_the_proto_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = FILES.map(|name| format!("macula/v1/{name}.proto"));
    let descriptors = protox::compile(files, [root]).expect("the proto files compile");
    let out = tempfile::tempdir().expect("a temporary directory");
    prost_build::Config::new()
        .bytes(["."])
        .out_dir(out.path())
        .compile_fds(descriptors)
        .expect("prost generates code");
    let fresh = std::fs::read_to_string(out.path().join("macula.v1.rs")).expect("generated file");
    let committed = root.join("src/gen/macula.v1.rs");
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::write(&committed, &fresh).expect("the generated file is writable");
    }
    let old = std::fs::read_to_string(&committed).unwrap_or_default();
    assert!(
        old == fresh,
        "src/gen is stale: run UPDATE_GENERATED=1 cargo test -p macula-proto --test generated"
    );
}
