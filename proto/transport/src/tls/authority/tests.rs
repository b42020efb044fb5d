use std::collections::HashSet;
use std::sync::Barrier;

use super::*;
use crate::tls::{DevAuthority, hash_for_browsers};

fn new_dir() -> (tempfile::TempDir, PathBuf) {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("state/dev-ca");
    (temporary, dir)
}

#[test]
fn eight_threads_at_once_agree_on_one_authority() {
    let (_keep, dir) = new_dir();
    let start = Barrier::new(8);
    let certificates: HashSet<Vec<u8>> = std::thread::scope(|scope| {
        let open = || {
            start.wait();
            Authority::open_or_create(&dir, "CA").unwrap().certificate.to_vec()
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(certificates.len(), 1);
}

#[cfg(unix)]
#[test]
fn only_the_owner_can_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let (_keep, dir) = new_dir();
    DevAuthority::open_or_create(&dir).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&dir.join(KEY)), 0o600);
    assert_eq!(mode(&dir.join(CERTIFICATE)), 0o600);
}

#[cfg(unix)]
#[test]
fn a_directory_that_others_can_write_is_not_trusted() {
    use std::os::unix::fs::PermissionsExt;
    let (_keep, dir) = new_dir();
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(DevAuthority::open_or_create(&dir), Err(AuthorityError::Foreign { .. })));
}

#[test]
fn a_damaged_authority_is_reported_with_its_remedy_and_left_alone() {
    for (file, content) in [(CERTIFICATE, "nonsense"), (KEY, "nonsense")] {
        let (_keep, dir) = new_dir();
        DevAuthority::open_or_create(&dir).unwrap();
        std::fs::write(dir.join(file), content).unwrap();
        let error = DevAuthority::open_or_create(&dir).unwrap_err().to_string();
        assert!(error.contains(file) && error.contains("remove"), "{error}");
        assert_eq!(std::fs::read_to_string(dir.join(file)).unwrap(), content);
    }
}

#[test]
fn the_key_of_another_authority_is_refused() {
    let (_keep, dir) = new_dir();
    let (_keep, other) = new_dir();
    DevAuthority::open_or_create(&dir).unwrap();
    DevAuthority::open_or_create(&other).unwrap();
    std::fs::copy(other.join(KEY), dir.join(KEY)).unwrap();
    let error = DevAuthority::open_or_create(&dir).unwrap_err();
    assert!(matches!(error, AuthorityError::Damaged { .. }), "{error}");
}

#[test]
fn a_missing_key_is_not_replaced() {
    let (_keep, dir) = new_dir();
    DevAuthority::open_or_create(&dir).unwrap();
    std::fs::remove_file(dir.join(KEY)).unwrap();
    let error = DevAuthority::open_or_create(&dir).unwrap_err().to_string();
    assert!(error.contains("is missing"), "{error}");
}

#[test]
fn an_attempt_that_was_cut_off_is_made_again() {
    let (_keep, dir) = new_dir();
    DevAuthority::open_or_create(&dir).unwrap();
    std::fs::remove_file(dir.join(CERTIFICATE)).unwrap();
    DevAuthority::open_or_create(&dir).unwrap();
}

#[test]
fn a_leaf_names_its_gateway_and_lives_ten_days() {
    let (_keep, dir) = new_dir();
    let authority = DevAuthority::open_or_create(&dir).unwrap();
    let gateway = GatewayUri::new("realm", "hub").unwrap();
    let leaf = authority.issue(&["gateway.example".to_owned()], Some(&gateway)).unwrap();
    assert_eq!(leaf.gateway(), Some(gateway));
    assert_ne!(leaf.sha256(), authority.issue(&[], None).unwrap().sha256());
    let left = leaf.not_after().duration_since(SystemTime::now()).unwrap();
    assert!(left > 9 * DAY && left < 10 * DAY);
    assert!(leaf.renew_at() > SystemTime::now() && leaf.renew_at() < leaf.not_after());

    let (_, parsed) = X509Certificate::from_der(&leaf.chain()[0]).unwrap();
    assert_ne!(parsed.subject(), parsed.issuer());
    let usage = parsed.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.server_auth && usage.client_auth);
}

#[test]
fn browsers_take_a_leaf_by_hash_while_it_lives_two_weeks_at_most() {
    let (_keep, dir) = new_dir();
    let authority = DevAuthority::open_or_create(&dir).unwrap();
    let leaf = authority.issue(&[], None).unwrap();
    assert_eq!(hash_for_browsers(&leaf.chain()[0]), Some(leaf.sha256()));
    let long = LeafRequest { common_name: "long", names: &[], gateway: None, life: 15 * DAY };
    let long = Authority::open(&dir).unwrap().issue(&long).unwrap().identity;
    assert_eq!(hash_for_browsers(&long.chain()[0]), None);
}

#[test]
fn a_bad_name_is_refused() {
    let (_keep, dir) = new_dir();
    let authority = DevAuthority::open_or_create(&dir).unwrap();
    let error = authority.issue(&["not a name".to_owned()], None).unwrap_err();
    assert!(matches!(error, AuthorityError::BadName(_)), "{error}");
}
