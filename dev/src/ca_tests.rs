//! Tests of the local CA: what is stable, what is renewed, and what is refused.

use super::*;
use std::{fs, os::unix::fs::PermissionsExt};

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn years(years: u32) -> SystemTime {
    SystemTime::now() + DAY * 365 * years
}

#[test]
fn the_ca_and_its_certificates_are_the_same_after_reopening() {
    let state = tempfile::tempdir().unwrap();
    let first = Ca::open(state.path()).unwrap();
    let issued = first.issue(&names(&["b.example", "a.example"]), Usage::Server).unwrap();
    let again = Ca::open(state.path()).unwrap();
    assert_eq!(first.certificate_pem(), again.certificate_pem());
    assert_eq!(again.issue(&names(&["a.example", "b.example"]), Usage::Server).unwrap(), issued);
    assert_ne!(again.issue(&names(&["a.example", "b.example"]), Usage::Client).unwrap(), issued);
    assert_ne!(again.issue(&names(&["a.example"]), Usage::Server).unwrap(), issued);
}

#[test]
fn keys_are_readable_by_their_owner_alone() {
    let state = tempfile::tempdir().unwrap();
    let ca = Ca::open(state.path()).unwrap();
    ca.issue(&names(&["a"]), Usage::Server).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&state.path().join("ca")), 0o700);
    assert_eq!(mode(&state.path().join("ca/ca.key")), 0o600);
    for file in fs::read_dir(state.path().join("ca/issued")).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
    assert!(!format!("{ca:?}{:?}", ca.issue(&names(&["a"]), Usage::Server).unwrap()).contains("PRIVATE"));
}

#[test]
fn certificates_are_renewed_before_they_expire_and_the_ca_keeps_its_key() {
    let state = tempfile::tempdir().unwrap();
    let ca = Ca::open(state.path()).unwrap();
    let issued = ca.issue(&names(&["a"]), Usage::Server).unwrap();
    let in_a_year = ca.issue_at(&names(&["a"]), Usage::Server, SystemTime::now() + DAY * 366).unwrap();
    assert_eq!(in_a_year, issued);
    assert_ne!(ca.issue_at(&names(&["a"]), Usage::Server, SystemTime::now() + DAY * 370).unwrap(), issued);

    assert_eq!(Ca::open_at(state.path(), years(8)).unwrap().certificate_pem(), ca.certificate_pem());
    let renewed = Ca::open_at(state.path(), SystemTime::now() + DAY * 3400).unwrap();
    assert_ne!(renewed.certificate_pem(), ca.certificate_pem());
    assert_eq!(renewed.key_pem, ca.key_pem);
    let subject = |pem: &str| {
        let (_, pem) = parse_x509_pem(pem.as_bytes()).unwrap();
        pem.parse_x509().unwrap().subject().to_string()
    };
    assert_eq!(subject(renewed.certificate_pem()), subject(ca.certificate_pem()));
}

#[test]
fn a_damaged_ca_is_refused_and_left_alone() {
    for file in ["ca.pem", "ca.key"] {
        let state = tempfile::tempdir().unwrap();
        Ca::open(state.path()).unwrap();
        let path = state.path().join("ca").join(file);
        fs::write(&path, "rubbish").unwrap();
        let error = Ca::open(state.path()).unwrap_err().to_string();
        assert!(error.contains(file) && error.contains("damaged") && error.contains("delete the directory"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "rubbish");
    }
}

#[test]
fn a_missing_key_or_one_of_another_ca_is_damage() {
    let state = tempfile::tempdir().unwrap();
    Ca::open(state.path()).unwrap();
    let key = state.path().join("ca/ca.key");
    fs::write(&key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let error = Ca::open(state.path()).unwrap_err().to_string();
    assert!(error.contains("do not belong together"), "{error}");
    fs::remove_file(&key).unwrap();
    let error = Ca::open(state.path()).unwrap_err().to_string();
    assert!(error.contains("missing"), "{error}");
}

#[test]
fn a_damaged_certificate_is_named_with_its_remedy() {
    let state = tempfile::tempdir().unwrap();
    let ca = Ca::open(state.path()).unwrap();
    ca.issue(&names(&["a"]), Usage::Server).unwrap();
    let path = fs::read_dir(state.path().join("ca/issued")).unwrap().next().unwrap().unwrap().path();
    fs::write(&path, "rubbish").unwrap();
    let error = ca.issue(&names(&["a"]), Usage::Server).unwrap_err().to_string();
    assert!(error.contains(path.to_str().unwrap()) && error.contains("delete it"), "{error}");
}

#[test]
fn names_of_every_kind_are_issued_and_others_refused() {
    let state = tempfile::tempdir().unwrap();
    let ca = Ca::open(state.path()).unwrap();
    let good = ["*.example.com", "localhost", "127.0.0.1", "::1", "spiffe://cluster.local/ns/a/sa/b"];
    ca.issue(&names(&good), Usage::Server).unwrap();
    for bad in ["", "a..b", "a b", "ä.example", "*.*.example", "x\ny"] {
        assert!(matches!(ca.issue(&names(&[bad]), Usage::Server), Err(CaError::Name { .. })), "{bad:?}");
    }
    assert!(ca.issue(&[], Usage::Server).is_err());
}
