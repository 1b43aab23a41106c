//! Remembers which Secrets held a valid certificate when, so that what was spoilt since is served on as it was.

use crate::{
    objects::{ObjectName, Store},
    refs::certificates::check_certificate,
};
use k8s_openapi::api::core::v1::Secret;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// Secrets for TLS as they are now, and as they were when they last held a valid certificate.
#[derive(Debug, Default)]
pub struct LastCertificates {
    known: HashMap<ObjectName, Known>,
}

#[derive(Debug)]
struct Known {
    now: Arc<Secret>,
    valid: Option<Arc<Secret>>,
}

// === impl LastCertificates ===

impl LastCertificates {
    /// Looks at all Secrets; returns those that hold no valid certificate now, as they were when they last did.
    pub fn look(&mut self, secrets: &Store<Secret>) -> BTreeMap<ObjectName, Arc<Secret>> {
        let mut spoilt = BTreeMap::new();
        let mut known = HashMap::new();
        for (name, secret) in secrets {
            let before = self.known.remove(name);
            let certificate = match before {
                Some(known) if Arc::ptr_eq(&known.now, secret) => known,
                before => {
                    let valid = check_certificate(secret).is_ok().then(|| secret.clone());
                    Known { now: secret.clone(), valid: valid.or(before.and_then(|before| before.valid)) }
                }
            };
            if let Some(valid) = certificate.valid.as_ref().filter(|valid| !Arc::ptr_eq(valid, secret)) {
                spoilt.insert(name.clone(), valid.clone());
            }
            known.insert(name.clone(), certificate);
        }
        self.known = known;
        spoilt
    }
}
