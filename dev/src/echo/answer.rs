//! What an echo pod tells: who it is, and what it received. Data only; the client side reads it with the same types.

use http::{HeaderMap, Version};
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Who answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Name of the pod.
    pub pod: String,
    /// Its namespace.
    pub namespace: String,
    /// The first Service that selects it, or `""`.
    pub service: String,
    /// Every Service that selects it, sorted.
    pub services: Vec<String>,
}

/// The JSON that answers an HTTP request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpAnswer {
    /// Who answers.
    #[serde(flatten)]
    pub identity: Identity,
    /// Request method.
    pub method: String,
    /// Path with query, as received.
    pub path: String,
    /// `Host` or `:authority`.
    pub host: String,
    /// `HTTP/1.1`, `HTTP/2.0` or `HTTP/1.0`.
    pub protocol: String,
    /// Address that the connection came from.
    pub client: String,
    /// Values of each header in order of arrival.
    pub headers: BTreeMap<String, Vec<String>>,
    /// The body as text; bytes that are no UTF-8 are replaced.
    pub body: String,
    /// Length of the whole body in bytes.
    pub body_length: u64,
    /// Whether `body` holds only the beginning.
    pub body_truncated: bool,
    /// Trailers received.
    pub trailers: BTreeMap<String, Vec<String>>,
    /// The connection's TLS, if it had any.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tls: Option<TlsInfo>,
}

/// What was negotiated on a TLS connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsInfo {
    /// Server name that the client asked for.
    pub sni: Option<String>,
    /// Protocol agreed by ALPN.
    pub alpn: Option<String>,
    /// `TLSv1_2` or `TLSv1_3`.
    pub version: Option<String>,
    /// The client's certificate, if it showed one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub client_certificate: Option<ClientCertificate>,
}

/// A certificate that a client showed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientCertificate {
    /// Subject, as `CN=name`.
    pub subject: String,
    /// Subject alternative names, as `DNS:name`, `URI:uri`, `IP:address` or `email:address`.
    pub names: Vec<String>,
}

// === impl Identity ===

impl Identity {
    /// An identity; the services are sorted.
    pub fn new(pod: impl Into<String>, namespace: impl Into<String>, mut services: Vec<String>) -> Self {
        services.sort();
        let service = services.first().cloned().unwrap_or_default();
        Self { pod: pod.into(), namespace: namespace.into(), service, services }
    }

    /// The identity as one line of JSON, as the TCP, UDP and WebSocket echoes send it.
    pub(crate) fn to_line(&self) -> String {
        serde_json::to_string(self).expect("strings and lists of strings always serialise")
    }
}

// === impl TlsInfo ===

impl TlsInfo {
    pub(crate) fn of(connection: &rustls::ServerConnection) -> Self {
        Self {
            sni: connection.server_name().map(str::to_owned),
            alpn: connection.alpn_protocol().map(|alpn| String::from_utf8_lossy(alpn).into_owned()),
            version: connection.protocol_version().and_then(|version| version.as_str()).map(str::to_owned),
            client_certificate: connection.peer_certificates().and_then(<[_]>::first).map(ClientCertificate::of),
        }
    }
}

// === impl ClientCertificate ===

impl ClientCertificate {
    fn of(der: &CertificateDer<'_>) -> Self {
        // rustls has verified it already; a certificate that this parser cannot read is shown empty.
        let Ok((_, certificate)) = X509Certificate::from_der(der) else { return Self::default() };
        let names = certificate.subject_alternative_name().ok().flatten();
        Self {
            subject: certificate.subject().to_string(),
            names: names.map(|names| names.value.general_names.iter().filter_map(name).collect()).unwrap_or_default(),
        }
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(format!("DNS:{name}")),
        GeneralName::URI(uri) => Some(format!("URI:{uri}")),
        GeneralName::RFC822Name(address) => Some(format!("email:{address}")),
        GeneralName::IPAddress(bytes) => match **bytes {
            [a, b, c, d] => Some(format!("IP:{}", std::net::Ipv4Addr::new(a, b, c, d))),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| format!("IP:{}", std::net::Ipv6Addr::from(bytes))),
        },
        _ => None,
    }
}

/// Values by name, in order of arrival.
pub(crate) fn header_values(headers: &HeaderMap) -> BTreeMap<String, Vec<String>> {
    let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        values.entry(name.as_str().to_owned()).or_default().push(value);
    }
    values
}

pub(crate) fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    }
}
