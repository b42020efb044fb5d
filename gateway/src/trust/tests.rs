use super::*;
use macula_core::NodeId;
use macula_transport::tls::{Authority, Leaf, LeafRequest};

/// A directory with a mounted certificate and its authority.
struct Mount {
    dir: tempfile::TempDir,
}

impl Mount {
    fn new() -> Self {
        let mount = Self { dir: tempfile::tempdir().expect("a directory") };
        mount.put("first");
        mount
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn files(&self) -> CertificateFiles {
        let [cert, key, ca] = ["tls.crt", "tls.key", "ca.crt"].map(|name| self.path(name));
        CertificateFiles { cert, key, ca: Some(ca) }
    }

    /// Mounts a new certificate of the authority with this name.
    fn put(&self, authority: &str) -> Leaf {
        let authority = Authority::open_or_create(&self.path(authority), authority).expect("an authority");
        let uri = GatewayUri::new("test.realm", "a").expect("legal");
        let names = ["localhost".to_owned()];
        let life = Duration::from_secs(3600 * 24);
        let request = LeafRequest { common_name: "gateway", names: &names, gateway: Some(&uri), life };
        let leaf = authority.issue(&request).expect("a certificate");
        self.write("tls.crt", &leaf.certificate);
        self.write("tls.key", &leaf.key);
        std::fs::copy(authority.certificate_path(), self.path("ca.crt")).expect("copies");
        leaf
    }

    fn write(&self, name: &str, content: &str) {
        std::fs::write(self.path(name), content).expect("writes");
    }

    fn trust(&self) -> Trust {
        let own = Identity {
            node: NodeId([1; 16]),
            name: "a".to_owned(),
            realm: "test.realm".to_owned(),
            epoch: 1,
            advertise: Vec::new(),
        };
        Trust::establish(&own, Some(&self.files())).expect("what is mounted is good")
    }
}

fn look(trust: &Trust) -> Option<Result<(), String>> {
    let Source::Mounted(watch) = &trust.source else { panic!("it is mounted") };
    let seen = watch.borrow_mut().look()?;
    Some(seen.and_then(|mounted| trust.take_up(mounted)))
}

#[test]
fn a_changed_certificate_is_taken_up_once() {
    let mount = Mount::new();
    let trust = mount.trust();
    assert_eq!(look(&trust), None, "nothing has changed");
    let leaf = mount.put("second");
    assert_eq!(look(&trust), Some(Ok(())));
    assert_eq!(trust.slot.current().sha256(), leaf.identity.sha256());
    assert_eq!(look(&trust), None, "it is taken up already");
}

#[test]
fn the_last_good_certificate_stays_until_the_next_good_one() {
    let mount = Mount::new();
    let trust = mount.trust();
    let good = trust.slot.current().sha256();
    mount.write("tls.key", "no key");
    assert!(look(&trust).is_some_and(|outcome| outcome.is_err()));
    assert_eq!(look(&trust), None, "the same mistake is told once");
    assert_eq!(trust.slot.current().sha256(), good);
    std::fs::remove_file(mount.path("tls.crt")).expect("removes");
    assert!(look(&trust).is_some_and(|outcome| outcome.is_err()));
    assert_eq!(trust.slot.current().sha256(), good);
    let leaf = mount.put("first");
    assert_eq!(look(&trust), Some(Ok(())));
    assert_eq!(trust.slot.current().sha256(), leaf.identity.sha256());
}

#[test]
fn a_certificate_with_the_key_of_another_is_refused_at_the_start() {
    let mount = Mount::new();
    let other = Mount::new();
    std::fs::copy(other.path("tls.key"), mount.path("tls.key")).expect("copies");
    let Err(reason) = Watch::new(mount.files()).read() else { panic!("they do not fit") };
    assert!(reason.contains("tls.key"), "{reason}");
}
