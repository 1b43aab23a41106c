//! The names that a certificate carries, and which host names a name of a certificate covers (RFC 6125). It trusts
//! nothing and verifies no signature.

use rustls_pki_types::CertificateDer;
use std::{fmt, net::IpAddr};
use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer, X509Certificate},
};

/// The subject alternative names of a certificate. The subject's common name is none (RFC 6125, section 6.4.4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateNames {
    /// DNS names in lower case; some may be wildcards.
    pub dns: Box<[Box<str>]>,
    /// URIs.
    pub uri: Box<[Box<str>]>,
    /// Addresses.
    pub ip: Box<[IpAddr]>,
}

// === impl CertificateNames ===

impl CertificateNames {
    /// Reads the names; a certificate that cannot be read has none.
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        X509Certificate::from_der(certificate).map(|(_, parsed)| Self::of_parsed(&parsed)).unwrap_or_default()
    }

    pub(super) fn of_parsed(certificate: &X509Certificate<'_>) -> Self {
        let (mut dns, mut uri, mut ip) = (Vec::new(), Vec::new(), Vec::new());
        let Ok(Some(extension)) = certificate.subject_alternative_name() else { return Self::default() };
        for name in &extension.value.general_names {
            match name {
                GeneralName::DNSName(name) => dns.push(name.to_ascii_lowercase().into()),
                GeneralName::URI(name) => uri.push((*name).into()),
                GeneralName::IPAddress(octets) => ip.extend(address(octets)),
                _ => {}
            }
        }
        Self { dns: dns.into(), uri: uri.into(), ip: ip.into() }
    }
}

impl fmt::Display for CertificateNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts = self.dns.iter().chain(&self.uri).map(ToString::to_string);
        let all: Vec<_> = texts.chain(self.ip.iter().map(ToString::to_string)).collect();
        if all.is_empty() { f.write_str("no names") } else { f.write_str(&all.join(", ")) }
    }
}

/// Whether a DNS name of a certificate, which may be a wildcard for one label, covers a host name. Both lower case.
/// <https://www.rfc-editor.org/rfc/rfc6125#section-6.4.3>
pub(super) fn covers(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix("*.") {
        None => pattern == host,
        Some(suffix) => host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == suffix),
    }
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(octets).map(IpAddr::from).or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testing::Authority;

    #[test]
    fn a_wildcard_covers_exactly_one_label() {
        assert!(covers("a.example", "a.example") && covers("*.example", "a.example"));
        assert!(!covers("*.example", "a.b.example") && !covers("*.example", "example") && !covers("*.example", "*"));
        assert!(!covers("*.example", ".example") && !covers("a.example", "b.example"));
    }

    #[test]
    fn names_of_every_kind_are_read() {
        let key = Authority::new("root").issue(&["A.example", "*.b.example", "10.0.0.1", "spiffe://cluster/ns/x"]);
        let names = CertificateNames::of(&key.cert[0]);
        assert_eq!(names.to_string(), "a.example, *.b.example, spiffe://cluster/ns/x, 10.0.0.1");
        assert_eq!(CertificateNames::of(&CertificateDer::from(vec![1, 2, 3])).to_string(), "no names");
    }
}
