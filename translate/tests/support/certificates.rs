//! Certificates made anew for each run, so that no key lies in the repository. The dumps show names alone.

use rcgen::{CertificateParams, KeyPair};
use serde_json::Value;
use std::{collections::HashMap, sync::Mutex};

/// Certificates and keys in PEM by name.
static MADE: Mutex<Option<HashMap<String, (String, String)>>> = Mutex::new(None);

/// What a value of the form `fixture:certificate NAME` or `fixture:key NAME` stands for.
fn fixture(text: &str) -> Option<String> {
    let (kind, name) = text.strip_prefix("fixture:")?.split_once(' ')?;
    let mut made = MADE.lock().unwrap();
    let (certificate, key) = made.get_or_insert_default().entry(name.to_owned()).or_insert_with(|| pair(name));
    Some(match kind {
        "certificate" => certificate.clone(),
        "key" => key.clone(),
        other => panic!("no fixture is called {other}"),
    })
}

fn pair(name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

/// Puts fixtures in the place of the values that name them.
pub fn expand(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some(content) = fixture(text) {
                *text = content;
            }
        }
        Value::Array(list) => list.iter_mut().for_each(expand),
        Value::Object(map) => map.values_mut().for_each(expand),
        _ => {}
    }
}

/// The DNS names of a certificate.
pub fn names(der: &[u8]) -> String {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).unwrap();
    let names = certificate.subject_alternative_name().unwrap().unwrap();
    let names = names.value.general_names.iter().map(|name| name.to_string());
    names.collect::<Vec<_>>().join(" ").replace("DNSName(", "").replace(')', "")
}
