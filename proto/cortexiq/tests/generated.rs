//! The committed code and descriptors are what the `.proto` files say.
//!
//! `UPDATE_GENERATED=1 cargo test -p cortexiq-proto` writes them anew. No system `protoc` is needed.

use std::path::{Path, PathBuf};

use protox::Compiler;

const FILES: [&str; 7] = [
    "cortexiq/v1/contract.proto",
    "cortexiq/v1/home.proto",
    "cortexiq/v1/market.proto",
    "cortexiq/v1/projections.proto",
    "cortexiq/v1/provider.proto",
    "cortexiq/v1/queries.proto",
    "cortexiq/v1/simulation.proto",
];

#[test]
fn committed_code_is_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // Comments go into the code only: the descriptors that programs carry stay small.
    let documented = compile(root, true).file_descriptor_set();
    let descriptors = compile(root, false).encode_file_descriptor_set();

    let messages: Vec<_> = documented
        .file
        .iter()
        .filter(|file| file.package() == "cortexiq.v1")
        .flat_map(|file| file.message_type.iter().map(|message| format!("    {}\n", message.name())))
        .collect();
    let payloads = format!("crate::payload::payloads! {{\n{}}}\n", messages.concat());

    let out = tempfile::tempdir().expect("a directory for generated code");
    prost_build::Config::new()
        .out_dir(out.path())
        .bytes(["."])
        .enable_type_names()
        .skip_protoc_run()
        .compile_fds(documented)
        .expect("the protos compile");
    let mut code =
        std::fs::read_to_string(out.path().join("cortexiq.v1.rs")).expect("prost writes cortexiq.v1.rs");
    code.push_str(&payloads);

    same(&root.join("src/gen/cortexiq.v1.rs"), code.as_bytes());
    same(&root.join("src/gen/descriptors.bin"), &descriptors);
}

fn compile(root: &Path, comments: bool) -> Compiler {
    let mut compiler = Compiler::new([root.to_path_buf(), shared(root)]).expect("the include paths exist");
    compiler.include_imports(true).include_source_info(comments);
    compiler.open_files(FILES).unwrap_or_else(|error| panic!("{error:?}"));
    compiler
}

/// Where `macula/v1/options.proto` lives.
fn shared(root: &Path) -> PathBuf {
    root.parent().expect("this crate lies beside macula/v1").to_path_buf()
}

fn same(path: &Path, fresh: &[u8]) {
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::write(path, fresh).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        return;
    }
    let committed = std::fs::read(path).unwrap_or_default();
    assert!(
        committed == fresh,
        "{} is out of date: run UPDATE_GENERATED=1 cargo test -p cortexiq-proto",
        path.display()
    );
}
