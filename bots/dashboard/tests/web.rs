//! The page's sources: its generated code is what the `.proto` files say, its types fit, and its own tests pass.
//!
//! `UPDATE_GENERATED=1` writes the generated code anew. It is committed, so that nobody needs a compiler of protobuf.

use prost::Message as _;
use prost_types::FileDescriptorSet;
use prost_types::compiler::{CodeGeneratorRequest, CodeGeneratorResponse};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The sources of the page; `build.rs` has installed what they use.
fn web() -> PathBuf {
    assert!(
        cortexiq_dashboard::has_page(),
        "the page was not built: install Node.js 20 or later with npm, and build again; cargo's warning says more"
    );
    Path::new(env!("CARGO_MANIFEST_DIR")).join("web")
}

#[test]
fn committed_code_matches_the_proto_files() {
    let web = web();
    let set =
        FileDescriptorSet::decode(cortexiq_proto::DESCRIPTORS).expect("the committed descriptors decode");
    let ours = |name: &&str| !name.starts_with("google/");
    let files: Vec<String> =
        set.file.iter().map(|file| file.name()).filter(ours).map(str::to_owned).collect();
    let count = files.len();
    let request = CodeGeneratorRequest {
        file_to_generate: files,
        parameter: Some("target=ts,import_extension=js".to_owned()),
        proto_file: set.file,
        compiler_version: None,
    };
    let plugin = web.join("node_modules/.bin/protoc-gen-es");
    let mut plugin =
        Command::new(plugin).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it is installed");
    let mut stdin = plugin.stdin.take().expect("it is piped");
    stdin.write_all(&request.encode_to_vec()).expect("the generator reads its request");
    drop(stdin);
    let output = plugin.wait_with_output().expect("the generator ends");
    let response = CodeGeneratorResponse::decode(&output.stdout[..]).expect("the generator answers");
    assert_eq!((response.error, response.file.len()), (None, count));
    for file in response.file {
        let path = web.join("src/gen").join(file.name());
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            std::fs::create_dir_all(path.parent().expect("it has a folder")).expect("a folder can be made");
            std::fs::write(&path, file.content()).expect("the generated file is writable");
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == file.content(),
            "{} is stale: run UPDATE_GENERATED=1 cargo test -p cortexiq-dashboard --test web",
            path.display()
        );
    }
}

#[test]
fn its_types_fit_and_its_tests_pass() {
    let mut npm = Command::new("npm");
    let output = npm.args(["test", "--silent"]).current_dir(web()).output().expect("npm runs");
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "npm test in bots/dashboard/web failed\n{out}\n{err}");
}
