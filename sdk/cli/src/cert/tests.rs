use super::*;
use crate::args::Format;
use std::path::PathBuf;

const DAYS: u32 = 30;

fn realm() -> ConnectionArgs {
    ConnectionArgs { realm: Some("example".to_owned()), ..Default::default() }
}

fn cert(command: CertCommand) -> Result<(), Error> {
    run(&command, &realm(), std::iter::empty(), Output::stdout(Format::Json))
}

/// A directory with an authority, and what to ask of it.
fn mesh() -> (tempfile::TempDir, IssueArgs) {
    let directory = tempfile::tempdir().expect("a directory");
    let ca = directory.path().join("ca");
    cert(CertCommand::Ca { dir: ca.clone() }).expect("an authority");
    let names = ["gateway-antwerp", "127.0.0.1", "localhost"].map(str::to_owned).to_vec();
    let args = IssueArgs {
        authority: ca,
        dir: directory.path().join("antwerp"),
        gateway: "be-antwerp".to_owned(),
        names,
        days: DAYS,
    };
    (directory, args)
}

fn issued(args: IssueArgs) -> Identity {
    let path = |name: &str| args.dir.join(name);
    let (certificate, key, root) = (path(CERTIFICATE), path(KEY), path(AUTHORITY));
    cert(CertCommand::Issue(args)).expect("a certificate");
    let mounted = load(Some(&certificate), Some(&key), Some(&root)).expect("files that a gateway can mount");
    assert!(mounted.roots.is_some());
    mounted.identity.expect("an identity")
}

fn again(args: &IssueArgs) -> IssueArgs {
    let IssueArgs { authority, dir, gateway, names, days } = args;
    IssueArgs {
        authority: authority.clone(),
        dir: dir.clone(),
        gateway: gateway.clone(),
        names: names.clone(),
        days: *days,
    }
}

#[test]
fn a_certificate_names_hosts_and_gateway() {
    let (_keep, args) = mesh();
    let identity = issued(args);
    assert_eq!(identity.names(), ["127.0.0.1", "gateway-antwerp", "localhost"]);
    assert_eq!(identity.gateway().expect("one").to_string(), "macula://example/gateway/be-antwerp");
    let left = identity.not_after().duration_since(SystemTime::now()).expect("it is valid");
    assert!(left > DAY * (DAYS - 1) && left <= DAY * DAYS);
}

#[test]
fn a_good_certificate_is_kept_and_another_wish_is_fulfilled() {
    let (_keep, args) = mesh();
    let first = issued(again(&args)).sha256();
    assert_eq!(issued(again(&args)).sha256(), first, "nothing has changed");
    let more = IssueArgs { names: vec!["other".to_owned()], ..again(&args) };
    let second = issued(more).sha256();
    assert_ne!(second, first, "other names");
    let shorter = IssueArgs { days: 7, names: vec!["other".to_owned()], ..again(&args) };
    assert_ne!(issued(shorter).sha256(), second, "a shorter life");
}

#[test]
fn a_certificate_of_another_authority_is_replaced() {
    let (keep, args) = mesh();
    let first = issued(again(&args)).sha256();
    let other: PathBuf = keep.path().join("other");
    cert(CertCommand::Ca { dir: other.clone() }).expect("another authority");
    assert_ne!(issued(IssueArgs { authority: other, ..args }).sha256(), first);
}

#[test]
fn a_key_without_its_certificate_is_an_attempt_that_was_cut_off() {
    let (_keep, args) = mesh();
    let first = issued(again(&args)).sha256();
    fs::write(args.dir.join(KEY), "cut off").expect("writes");
    assert_ne!(issued(args).sha256(), first);
}

#[cfg(unix)]
#[test]
fn only_the_owner_reads_the_key() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_keep, args) = mesh();
    let key = args.dir.join(KEY);
    issued(args);
    assert_eq!(fs::metadata(key).expect("a key").permissions().mode() & 0o777, 0o600);
}

#[test]
fn mistakes_are_told() {
    let (_keep, args) = mesh();
    let name = IssueArgs { names: vec!["not a name".to_owned()], ..again(&args) };
    let error = cert(CertCommand::Issue(name)).expect_err("no name").to_string();
    assert!(error.contains("neither a host name nor an IP address"), "{error}");
    let gateway = IssueArgs { gateway: "be/antwerp".to_owned(), ..again(&args) };
    assert!(matches!(cert(CertCommand::Issue(gateway)), Err(Error::Usage(_))));
    let nowhere = IssueArgs { authority: args.dir.join("nowhere"), ..args };
    let error = cert(CertCommand::Issue(nowhere)).expect_err("no authority").to_string();
    assert!(error.contains("nowhere"), "{error}");
}
