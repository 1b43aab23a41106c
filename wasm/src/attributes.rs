//! Attributes of a stream that filters read by `get_property`, the bytes that they are shown as, and the state that
//! filters keep with a stream. Never computes an attribute: the engine knows them.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

/// What the engine knows about a stream. All of it is optional: an attribute without a value is "not found" to filters.
pub trait StreamInfo {
    /// The value of an attribute that does not follow from the heads, as it is now.
    fn attribute(&self, attribute: Attribute) -> Option<AttributeValue>;

    /// Where the filters of this stream keep state for each other and for the log.
    fn state(&self) -> &FilterState;
}

/// Attributes that the engine is asked for; the names are Envoy's, with `_` in place of `.`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is the attribute of its name")]
#[non_exhaustive]
pub enum Attribute {
    RequestProtocol,
    RequestTime,
    RequestDuration,
    RequestSize,
    RequestTotalSize,
    RequestId,
    ResponseCodeDetails,
    ResponseFlags,
    ResponseGrpcStatus,
    ResponseSize,
    ResponseTotalSize,
    ResponseBackendLatency,
    SourceAddress,
    SourcePort,
    DestinationAddress,
    DestinationPort,
    ConnectionId,
    ConnectionMtls,
    ConnectionRequestedServerName,
    ConnectionTlsVersion,
    ConnectionSubjectLocalCertificate,
    ConnectionSubjectPeerCertificate,
    ConnectionDnsSanLocalCertificate,
    ConnectionDnsSanPeerCertificate,
    ConnectionUriSanLocalCertificate,
    ConnectionUriSanPeerCertificate,
    ConnectionSha256PeerCertificateDigest,
    ConnectionTerminationDetails,
    UpstreamAddress,
    UpstreamPort,
    UpstreamLocalAddress,
    UpstreamTlsVersion,
    UpstreamSubjectLocalCertificate,
    UpstreamSubjectPeerCertificate,
    UpstreamDnsSanPeerCertificate,
    UpstreamUriSanPeerCertificate,
    UpstreamTransportFailureReason,
    UpstreamRequestAttemptCount,
    ClusterName,
    RouteName,
    ListenerName,
    NodeId,
}

/// A value, as typed as the ABI's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttributeValue {
    /// Text, as it is.
    Text(String),
    /// Bytes, as they are.
    Bytes(Bytes),
    /// 8 bytes, little endian.
    Int(i64),
    /// 8 bytes, little endian.
    Uint(u64),
    /// One byte.
    Bool(bool),
    /// Nanoseconds since 1970, 8 bytes.
    Time(SystemTime),
    /// Nanoseconds, 8 bytes.
    Duration(Duration),
}

/// Values that filters set with `set_property`, which later filters of the same stream read. Bounded.
#[derive(Debug, Default)]
pub struct FilterState {
    entries: RefCell<Vec<(Box<[u8]>, Bytes)>>,
}

/// Most bytes, paths included, that the filters of one stream may keep with it.
pub const FILTER_STATE_BYTES: usize = 64 << 10;
/// Most values that the filters of one stream may keep with it.
pub const FILTER_STATE_COUNT: usize = 64;

/// No room for another value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StateFull;

/// The attribute of this path, if the engine may know it.
pub(crate) fn attribute_of(path: &[&str]) -> Option<Attribute> {
    match path {
        ["cluster_name"] | ["xds", "cluster_name"] => Some(Attribute::ClusterName),
        ["route_name"] | ["xds", "route_name"] => Some(Attribute::RouteName),
        ["listener_name"] => Some(Attribute::ListenerName),
        ["node", "id"] | ["xds", "node", "id"] => Some(Attribute::NodeId),
        ["request", name] => request_attribute(name),
        ["response", name] => response_attribute(name),
        ["source", "address"] => Some(Attribute::SourceAddress),
        ["source", "port"] => Some(Attribute::SourcePort),
        ["destination", "address"] => Some(Attribute::DestinationAddress),
        ["destination", "port"] => Some(Attribute::DestinationPort),
        ["connection", name] => connection_attribute(name),
        ["upstream", name] => upstream_attribute(name),
        _ => None,
    }
}

fn request_attribute(name: &str) -> Option<Attribute> {
    Some(match name {
        "protocol" => Attribute::RequestProtocol,
        "time" => Attribute::RequestTime,
        "duration" => Attribute::RequestDuration,
        "size" => Attribute::RequestSize,
        "total_size" => Attribute::RequestTotalSize,
        "id" => Attribute::RequestId,
        _ => return None,
    })
}

fn response_attribute(name: &str) -> Option<Attribute> {
    Some(match name {
        "code_details" => Attribute::ResponseCodeDetails,
        "flags" => Attribute::ResponseFlags,
        "grpc_status" => Attribute::ResponseGrpcStatus,
        "size" => Attribute::ResponseSize,
        "total_size" => Attribute::ResponseTotalSize,
        "backend_latency" => Attribute::ResponseBackendLatency,
        _ => return None,
    })
}

fn connection_attribute(name: &str) -> Option<Attribute> {
    Some(match name {
        "id" => Attribute::ConnectionId,
        "mtls" => Attribute::ConnectionMtls,
        "requested_server_name" => Attribute::ConnectionRequestedServerName,
        "tls_version" => Attribute::ConnectionTlsVersion,
        "subject_local_certificate" => Attribute::ConnectionSubjectLocalCertificate,
        "subject_peer_certificate" => Attribute::ConnectionSubjectPeerCertificate,
        "dns_san_local_certificate" => Attribute::ConnectionDnsSanLocalCertificate,
        "dns_san_peer_certificate" => Attribute::ConnectionDnsSanPeerCertificate,
        "uri_san_local_certificate" => Attribute::ConnectionUriSanLocalCertificate,
        "uri_san_peer_certificate" => Attribute::ConnectionUriSanPeerCertificate,
        "sha256_peer_certificate_digest" => Attribute::ConnectionSha256PeerCertificateDigest,
        "termination_details" => Attribute::ConnectionTerminationDetails,
        _ => return None,
    })
}

fn upstream_attribute(name: &str) -> Option<Attribute> {
    Some(match name {
        "address" => Attribute::UpstreamAddress,
        "port" => Attribute::UpstreamPort,
        "local_address" => Attribute::UpstreamLocalAddress,
        "tls_version" => Attribute::UpstreamTlsVersion,
        "subject_local_certificate" => Attribute::UpstreamSubjectLocalCertificate,
        "subject_peer_certificate" => Attribute::UpstreamSubjectPeerCertificate,
        "dns_san_peer_certificate" => Attribute::UpstreamDnsSanPeerCertificate,
        "uri_san_peer_certificate" => Attribute::UpstreamUriSanPeerCertificate,
        "transport_failure_reason" => Attribute::UpstreamTransportFailureReason,
        "request_attempt_count" => Attribute::UpstreamRequestAttemptCount,
        _ => return None,
    })
}

// === impl AttributeValue ===

impl AttributeValue {
    /// Appends the bytes that a filter sees.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => out.extend_from_slice(text.as_bytes()),
            Self::Bytes(bytes) => out.extend_from_slice(bytes),
            Self::Int(value) => out.extend_from_slice(&value.to_le_bytes()),
            Self::Uint(value) => out.extend_from_slice(&value.to_le_bytes()),
            Self::Bool(value) => out.push(u8::from(*value)),
            Self::Time(time) => {
                let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
                out.extend_from_slice(&nanoseconds(since).to_le_bytes());
            }
            Self::Duration(duration) => out.extend_from_slice(&nanoseconds(*duration).to_le_bytes()),
        }
    }
}

impl From<&str> for AttributeValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<SocketAddr> for AttributeValue {
    fn from(address: SocketAddr) -> Self {
        Self::Text(address.to_string())
    }
}

/// Nanoseconds, held at the greatest that 64 bits can say.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

// === impl FilterState ===

impl FilterState {
    /// The value at `path`, its segments joined by NUL.
    pub fn value(&self, path: &[u8]) -> Option<Bytes> {
        let entries = self.entries.borrow();
        entries.iter().find(|(held, _)| **held == *path).map(|(_, value)| value.clone())
    }

    pub(crate) fn set(&self, path: &[u8], value: &[u8]) -> Result<(), StateFull> {
        let mut entries = self.entries.borrow_mut();
        let others = entries.iter().filter(|(held, _)| **held != *path);
        let (count, bytes) = others.fold((0, 0), |(n, bytes), (k, v)| (n + 1, bytes + k.len() + v.len()));
        if count >= FILTER_STATE_COUNT || bytes + path.len() + value.len() > FILTER_STATE_BYTES {
            return Err(StateFull);
        }
        let value = Bytes::copy_from_slice(value);
        match entries.iter_mut().find(|(held, _)| **held == *path) {
            Some((_, held)) => *held = value,
            None => entries.push((path.into(), value)),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_encoded_as_the_abi_says() {
        let encoded = |value: AttributeValue| {
            let mut out = Vec::new();
            value.encode(&mut out);
            out
        };
        assert_eq!(encoded("text".into()), b"text");
        assert_eq!(encoded(AttributeValue::Int(-2)), (-2i64).to_le_bytes());
        assert_eq!(encoded(AttributeValue::Bool(true)), [1]);
        assert_eq!(encoded(AttributeValue::Duration(Duration::from_micros(3))), 3000u64.to_le_bytes());
        assert_eq!(encoded(AttributeValue::Time(UNIX_EPOCH + Duration::from_nanos(5))), 5u64.to_le_bytes());
    }

    #[test]
    fn state_is_replaced_in_place_and_bounded() {
        let state = FilterState::default();
        state.set(b"a", b"1").unwrap();
        state.set(b"a", b"2").unwrap();
        assert_eq!(state.value(b"a").as_deref(), Some(&b"2"[..]));
        assert_eq!(state.set(b"big", &vec![0; FILTER_STATE_BYTES]), Err(StateFull));
        for n in 1..FILTER_STATE_COUNT {
            state.set(format!("k{n}").as_bytes(), b"").unwrap();
        }
        assert_eq!(state.set(b"one more", b""), Err(StateFull));
        assert_eq!(state.set(b"a", b"3"), Ok(()));
    }
}
