//! Which certificate a server presents: by server name, then by what the client can verify. Lookup only; the index is
//! built once per configuration.

use super::{TlsConfigError, names::CertificateNames};
use hashbrown::HashMap;
use rustls::{
    SignatureScheme,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::sync::Arc;

/// Certificates by the names that they carry. The first that covers the server name is presented, else the first.
#[derive(Debug)]
pub(super) struct CertificateResolver {
    certificates: Box<[Arc<CertifiedKey>]>,
    exact: HashMap<Box<str>, Ranks>,
    /// By the suffix behind `*.`.
    wildcard: HashMap<Box<str>, Ranks>,
}

/// Positions in `certificates`, ascending.
type Ranks = Vec<usize>;

// === impl CertificateResolver ===

impl CertificateResolver {
    pub(super) fn new(certificates: &[Arc<CertifiedKey>]) -> Result<Self, TlsConfigError> {
        if certificates.is_empty() {
            return Err(TlsConfigError::NoCertificate);
        }
        let (mut exact, mut wildcard) = (HashMap::new(), HashMap::new());
        for (rank, certificate) in certificates.iter().enumerate() {
            let names = certificate.cert.first().map(CertificateNames::of).unwrap_or_default();
            for name in &names.dns {
                let (map, name): (&mut HashMap<Box<str>, Ranks>, _) = match name.strip_prefix("*.") {
                    Some(suffix) => (&mut wildcard, suffix),
                    None => (&mut exact, &**name),
                };
                map.entry(name.into()).or_default().push(rank);
            }
        }
        Ok(Self { certificates: certificates.into(), exact, wildcard })
    }

    /// The certificate for a server name (lower case). Among those that cover it, the first whose key the client can
    /// verify: so an RSA certificate may stand beside an ECDSA one.
    pub(super) fn choose(&self, server_name: Option<&str>, schemes: &[SignatureScheme]) -> &Arc<CertifiedKey> {
        let name = server_name.unwrap_or_default();
        let suffix = name.split_once('.').map_or("", |(_, suffix)| suffix);
        let exact = self.exact.get(name).map_or(&[][..], |ranks| ranks);
        let wildcard = self.wildcard.get(suffix).map_or(&[][..], |ranks| ranks);
        let usable = |rank: &&usize| self.certificates[**rank].key.choose_scheme(schemes).is_some();
        let first_usable = exact.iter().find(usable).into_iter().chain(wildcard.iter().find(usable)).min();
        let first = exact.first().into_iter().chain(wildcard.first()).min();
        &self.certificates[first_usable.or(first).copied().unwrap_or(0)]
    }
}

impl ResolvesServerCert for CertificateResolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.choose(hello.server_name(), hello.signature_schemes()).clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testing::{Authority, rsa_free_schemes};

    #[test]
    fn the_first_certificate_that_covers_the_name_is_presented_else_the_first() {
        let authority = Authority::new("root");
        let keys: Vec<_> =
            [&["default.example"][..], &["*.b.example"], &["a.b.example", "b.example"], &["A.b.example"]]
                .map(|names| authority.issue(names))
                .into();
        let resolver = CertificateResolver::new(&keys).unwrap();
        let rank = |name: Option<&str>| {
            let chosen = resolver.choose(name, rsa_free_schemes());
            keys.iter().position(|key| Arc::ptr_eq(key, chosen)).unwrap()
        };
        assert_eq!(rank(Some("a.b.example")), 1, "the wildcard comes first in order");
        assert_eq!(rank(Some("b.example")), 2);
        assert_eq!(rank(Some("x.b.example")), 1);
        assert_eq!(rank(Some("x.y.b.example")), 0);
        assert_eq!(rank(Some("default.example")), 0);
        assert_eq!(rank(None), 0);
    }

    #[test]
    fn a_certificate_that_the_client_cannot_verify_gives_way_to_one_that_it_can() {
        let authority = Authority::new("root");
        let (ecdsa, ed25519) = (authority.issue(&["a.example"]), authority.issue_ed25519(&["a.example"]));
        let resolver = CertificateResolver::new(&[ecdsa.clone(), ed25519.clone()]).unwrap();
        assert!(Arc::ptr_eq(resolver.choose(Some("a.example"), &[SignatureScheme::ED25519]), &ed25519));
        assert!(Arc::ptr_eq(resolver.choose(Some("a.example"), rsa_free_schemes()), &ecdsa));
        assert!(Arc::ptr_eq(resolver.choose(Some("a.example"), &[]), &ecdsa));
    }
}
