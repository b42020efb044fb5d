//! The TypeScript client in `web`: its generated code is what the `.proto` files say, it compiles, and its own tests pass.
//!
//! `UPDATE_GENERATED=1` writes the generated code anew. It is committed, so that nobody needs a compiler of protobuf.

use prost::Message as _;
use prost_types::compiler::{CodeGeneratorRequest, CodeGeneratorResponse};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const FILES: [&str; 4] = ["types", "session", "message", "rpc"];

/// The folder of the client, with the tools that its lock file names installed.
fn web() -> PathBuf {
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
    // The tests run side by side; one of them installs.
    let lock = File::create(Path::new(env!("CARGO_TARGET_TMPDIR")).join("web.lock")).expect("a lock file");
    lock.lock().expect("a file can be locked");
    let version = Command::new("node").arg("--version").output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let major =
        version.as_ref().ok().and_then(|text| text.strip_prefix('v')?.split('.').next()?.parse().ok());
    assert!(
        major.is_some_and(|major: u32| major >= 20),
        "the TypeScript client needs Node.js 20 or later with npm, and `node --version` gives {version:?}"
    );
    // npm writes this file last, with what it has installed.
    let [wanted, installed] =
        ["package-lock.json", "node_modules/.package-lock.json"].map(|name| web.join(name));
    let modified = |path: &Path| path.metadata().and_then(|data| data.modified()).ok();
    if modified(&installed).is_none_or(|installed| modified(&wanted).is_some_and(|wanted| wanted > installed))
    {
        let arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
        run(Command::new("npm").args(arguments).current_dir(&web));
    }
    web
}

/// Runs a program to its end; what it printed is shown when it fails.
fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?} failed\n{out}\n{err}");
}

#[test]
fn committed_code_matches_the_proto_files() {
    let web = web();
    let protos = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto");
    let files = FILES.map(|name| format!("macula/v1/{name}.proto"));
    let descriptors = protox::compile(&files, [protos]).expect("the proto files compile");
    let request = CodeGeneratorRequest {
        file_to_generate: files.to_vec(),
        parameter: Some("target=ts,import_extension=js".to_owned()),
        proto_file: descriptors.file,
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
    assert_eq!(response.error, None);
    assert_eq!(response.file.len(), FILES.len());
    for file in response.file {
        let path = web.join("src/gen").join(file.name());
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            std::fs::create_dir_all(path.parent().expect("it has a folder")).expect("a folder can be made");
            std::fs::write(&path, file.content()).expect("the generated file is writable");
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == file.content(),
            "{} is stale: run UPDATE_GENERATED=1 cargo test -p macula-sdk --test web",
            path.display()
        );
    }
}

#[test]
fn it_compiles_and_its_tests_pass() {
    run(Command::new("npm").args(["test", "--silent"]).current_dir(web()));
}
