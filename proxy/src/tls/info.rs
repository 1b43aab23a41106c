//! What a finished handshake told: for access logs, for headers to backends, for filters. Read once per connection.

use super::{client_auth::ClientValidation, names::CertificateNames};
use rustls::ProtocolVersion;
use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use x509_parser::prelude::{FromDer, X509Certificate};

/// TLS of one connection.
#[derive(Clone, Debug)]
pub struct TlsInfo {
    /// The server name that the client asked for, in lower case.
    pub server_name: Option<Arc<str>>,
    /// What was agreed on by ALPN.
    pub alpn: Alpn,
    /// The version.
    pub version: NegotiatedVersion,
    /// The cipher suite by its IANA name, where the transport tells.
    pub cipher: Option<&'static str>,
    /// The client's certificate, if it presented one.
    pub client_certificate: Option<Arc<ClientCertificate>>,
}

/// What was agreed on by ALPN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alpn {
    /// `h2`.
    Http2,
    /// `http/1.1`.
    Http1,
    /// `h3`.
    Http3,
    /// Nothing: the client does not know ALPN, or the server offers nothing.
    None,
}

/// The version that was agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NegotiatedVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// The certificate of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The subject, as RFC 4514 writes it.
    pub subject: Box<str>,
    /// The subject alternative names.
    pub names: CertificateNames,
    /// SHA-256 of the certificate.
    pub fingerprint: [u8; 32],
    /// Whether it is valid. One that is not is worth nothing but a line in a log.
    pub verified: bool,
}

/// What a transport tells about its handshake.
pub(super) struct Handshake<'a> {
    pub(super) server_name: Option<&'a str>,
    pub(super) alpn: Option<&'a [u8]>,
    pub(super) version: NegotiatedVersion,
    pub(super) cipher: Option<&'static str>,
    pub(super) certificates: &'a [CertificateDer<'a>],
}

// === impl TlsInfo ===

impl TlsInfo {
    pub(super) fn new(handshake: Handshake<'_>, validation: Option<&ClientValidation>) -> Self {
        let chain = handshake.certificates;
        let verified = || validation.is_some_and(|validation| validation.is_valid(chain));
        Self {
            server_name: handshake.server_name.map(Into::into),
            alpn: Alpn::of(handshake.alpn),
            version: handshake.version,
            cipher: handshake.cipher,
            client_certificate: chain.first().map(|first| Arc::new(ClientCertificate::new(first, verified()))),
        }
    }
}

// === impl Alpn ===

impl Alpn {
    /// What a protocol's name stands for; unknown ones are never agreed on.
    pub fn of(protocol: Option<&[u8]>) -> Self {
        match protocol {
            Some(b"h2") => Self::Http2,
            Some(b"http/1.1") => Self::Http1,
            Some(b"h3") => Self::Http3,
            _ => Self::None,
        }
    }
}

// === impl NegotiatedVersion ===

impl NegotiatedVersion {
    /// The server's configuration knows no version below 1.2.
    pub(super) fn of(version: Option<ProtocolVersion>) -> Self {
        match version {
            Some(ProtocolVersion::TLSv1_2) => Self::Tls12,
            _ => Self::Tls13,
        }
    }

    /// `1.2` or `1.3`, the value of the attribute `tls.protocol.version`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        }
    }
}

// === impl ClientCertificate ===

impl ClientCertificate {
    fn new(certificate: &CertificateDer<'_>, verified: bool) -> Self {
        let (subject, names) = match X509Certificate::from_der(certificate) {
            Ok((_, parsed)) => (parsed.subject().to_string(), CertificateNames::of_parsed(&parsed)),
            Err(_) => Default::default(),
        };
        Self { subject: subject.into(), names, fingerprint: Sha256::digest(certificate).into(), verified }
    }
}
