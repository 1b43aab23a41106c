//! Certificates and ClientHellos for tests.

use super::provider;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ED25519, SanType};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, SignatureScheme, crypto::aws_lc_rs::sign::any_supported_type,
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::sync::Arc;

/// A certificate authority.
pub(crate) struct Authority {
    /// Its certificate.
    pub(crate) root: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap().der().clone();
        Self { root, issuer: Issuer::new(params, key) }
    }

    /// A certificate for these names (DNS names, addresses, URIs).
    pub(crate) fn issue(&self, names: &[&str]) -> Arc<CertifiedKey> {
        self.issue_with(names, KeyPair::generate().unwrap(), |_| {})
    }

    pub(crate) fn issue_ed25519(&self, names: &[&str]) -> Arc<CertifiedKey> {
        self.issue_with(names, KeyPair::generate_for(&PKCS_ED25519).unwrap(), |_| {})
    }

    pub(crate) fn issue_with(
        &self,
        names: &[&str],
        key: KeyPair,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Arc<CertifiedKey> {
        let mut params = params(names);
        change(&mut params);
        certified(params.signed_by(&key, &self.issuer).unwrap().der().clone(), &key)
    }
}

fn params(names: &[&str]) -> CertificateParams {
    let (uris, others): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| name.contains("://"));
    let mut params = CertificateParams::new(others.into_iter().map(str::to_owned).collect::<Vec<_>>()).unwrap();
    params.subject_alt_names.extend(uris.into_iter().map(|uri| SanType::URI(uri.try_into().unwrap())));
    params.distinguished_name.push(DnType::CommonName, names.first().copied().unwrap_or("nobody"));
    params
}

fn certified(certificate: CertificateDer<'static>, key: &KeyPair) -> Arc<CertifiedKey> {
    let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    Arc::new(CertifiedKey::new(vec![certificate], any_supported_type(&private).unwrap()))
}

/// A self-signed certificate that is marked as an authority.
pub(crate) fn self_signed(names: &[&str]) -> Arc<CertifiedKey> {
    let key = KeyPair::generate().unwrap();
    let mut params = params(names);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    certified(params.self_signed(&key).unwrap().der().clone(), &key)
}

/// Schemes of a client that knows ECDSA alone.
pub(crate) fn rsa_free_schemes() -> &'static [SignatureScheme] {
    &[SignatureScheme::ECDSA_NISTP256_SHA256]
}

/// The first flight of a real client.
pub(crate) fn client_hello(name: &str, alpn: &[&[u8]]) -> Vec<u8> {
    let mut config = ClientConfig::builder_with_provider(provider().clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).unwrap();
    bytes
}
