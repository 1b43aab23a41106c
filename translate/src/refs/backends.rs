//! The backends of a snapshot: slots that stay where they are for as long as a backend is in use. Never their endpoints.

use super::policies::{Policies, PolicyEffect};
use crate::{
    objects::ObjectName,
    snapshot::{Backend, BackendIndex, BackendKey, BackendTls},
};
use k8s_openapi::api::core::v1::Service;
use rustls::sign::CertifiedKey;
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

/// Slots of backends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Backends {
    index: HashMap<BackendKey, BackendIndex>,
    slots: Vec<Option<Arc<Backend>>>,
    free: BTreeSet<u32>,
}

// === impl Backends ===

impl Backends {
    /// The slot of a backend, made if there is none. Its TLS is filled in by [`Self::settle`].
    pub(crate) fn intern(&mut self, key: BackendKey) -> BackendIndex {
        if let Some(index) = self.index.get(&key) {
            return *index;
        }
        let backend = Some(Arc::new(Backend { key: key.clone(), tls: None }));
        let index = match self.free.pop_first() {
            Some(slot) => {
                self.slots[slot as usize] = backend;
                BackendIndex(slot)
            }
            None => {
                let slot = u32::try_from(self.slots.len()).expect("fewer backends than 2^32, each takes memory");
                self.slots.push(backend);
                BackendIndex(slot)
            }
        };
        self.index.insert(key, index);
        index
    }

    /// Frees the slots that are not in use, and gives those in use the TLS of now.
    pub(crate) fn settle(&mut self, used: &[bool], tls: impl Fn(&BackendKey) -> Option<Arc<BackendTls>>) {
        for (at, slot) in self.slots.iter_mut().enumerate() {
            let Some(backend) = slot else { continue };
            if !used.get(at).copied().unwrap_or_default() {
                self.index.remove(&backend.key);
                self.free.insert(u32::try_from(at).expect("slots are counted in u32"));
                *slot = None;
                continue;
            }
            let now = tls(&backend.key);
            let same = match (&now, &backend.tls) {
                (Some(now), Some(before)) => Arc::ptr_eq(now, before),
                (None, None) => true,
                _ => false,
            };
            if !same {
                *slot = Some(Arc::new(Backend { key: backend.key.clone(), tls: now }));
            }
        }
        while self.slots.last().is_some_and(Option::is_none) {
            self.slots.pop();
            self.free.remove(&u32::try_from(self.slots.len()).expect("slots are counted in u32"));
        }
    }

    /// The slots.
    pub(crate) fn slots(&self) -> &[Option<Arc<Backend>>] {
        &self.slots
    }
}

/// The TLS settings of backends: of policies, with the certificates that Gateways present. Kept from translation to
/// translation so that a backend whose TLS did not change keeps its `Arc`, and with it the connections of the engine.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClientTls {
    by_parts: HashMap<(usize, usize), WithCertificate>,
}

/// A policy's TLS with a certificate, and the two parts that it was made of.
#[derive(Clone, Debug)]
struct WithCertificate {
    parts: (Arc<BackendTls>, Arc<CertifiedKey>),
    tls: Arc<BackendTls>,
}

impl ClientTls {
    /// The TLS of a backend.
    pub(crate) fn of(
        &self,
        key: &BackendKey,
        policies: &Policies,
        service: Option<&Service>,
        certificate: Option<&Arc<CertifiedKey>>,
        next: &mut ClientTls,
    ) -> Option<Arc<BackendTls>> {
        if !key.protocol.may_use_tls() {
            return None;
        }
        let PolicyEffect::Tls(tls) = policies.effect(&key.service, port_name(service?, key.port)) else { return None };
        let (Some(_), Some(certificate)) = (&key.client, certificate) else { return Some(tls.clone()) };
        let parts = (Arc::as_ptr(tls) as usize, Arc::as_ptr(certificate) as usize);
        let entry = next.by_parts.entry(parts).or_insert_with(|| match self.by_parts.get(&parts) {
            // The entry holds both parts, so that an address cannot have been given to another object meanwhile.
            Some(before) => before.clone(),
            None => {
                let with = BackendTls { client_certificate: Some(certificate.clone()), ..BackendTls::clone(tls) };
                WithCertificate { parts: (tls.clone(), certificate.clone()), tls: Arc::new(with) }
            }
        });
        debug_assert!(Arc::ptr_eq(&entry.parts.0, tls) && Arc::ptr_eq(&entry.parts.1, certificate));
        Some(entry.tls.clone())
    }
}

/// The name of a Service's port.
pub(crate) fn port_name(service: &Service, number: u16) -> Option<&str> {
    let ports = service.spec.as_ref()?.ports.as_ref()?;
    ports.iter().find(|port| port.port == i32::from(number))?.name.as_deref()
}

impl crate::snapshot::BackendProtocol {
    /// Whether a BackendTLSPolicy applies.
    pub(crate) fn may_use_tls(self) -> bool {
        matches!(self, Self::Http | Self::Http2 | Self::WebSocket | Self::Tls)
    }
}

/// A Service's name and one of its ports, as people write it.
pub(crate) fn shown(service: &ObjectName, port: u16) -> String {
    format!("Service {service} port {port}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::BackendProtocol;

    fn key(port: u16) -> BackendKey {
        BackendKey { service: ObjectName::new("n", "s"), port, client: None, protocol: BackendProtocol::Http }
    }

    #[test]
    fn slots_stay_and_freed_ones_are_used_again() {
        let mut backends = Backends::default();
        let slots: Vec<_> = (1..=3).map(|port| backends.intern(key(port)).0).collect();
        assert_eq!(slots, [0, 1, 2]);
        assert_eq!(backends.intern(key(2)).0, 1);
        backends.settle(&[true, false, true], |_| None);
        assert!(backends.slots()[1].is_none());
        assert_eq!(backends.intern(key(3)).0, 2);
        assert_eq!(backends.intern(key(4)).0, 1);
        backends.settle(&[true], |_| None);
        assert_eq!(backends.slots().len(), 1);
        assert_eq!(backends.intern(key(5)).0, 1);
    }
}
