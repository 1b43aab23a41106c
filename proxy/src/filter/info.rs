//! What filters can ask of a request beyond its heads.

use crate::{conn::Conn, http::headers::Forwarded, worker::RuleState};
use http::Version;
use portolan_telemetry::{HttpVersion, trace::TraceId};
use portolan_wasm::{Attribute, AttributeValue, FilterState, Latent, RequestHead, StreamInfo};
use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    time::{Instant, SystemTime},
};

/// What filters can ask of a request beyond its heads. Filled in as it becomes known.
pub struct Info {
    conn: Rc<Conn>,
    version: Version,
    start: Instant,
    trace: TraceId,
    rule: Rc<RuleState>,
    state: FilterState,
    backend: RefCell<Option<Arc<str>>>,
    endpoint: Cell<Option<SocketAddr>>,
    /// Bytes of the request's body so far.
    pub request_bytes: Cell<u64>,
    /// Bytes of the response's body so far.
    pub response_bytes: Cell<u64>,
}

impl Info {
    /// A request that has its route.
    pub fn new(conn: Rc<Conn>, version: Version, start: Instant, trace: TraceId, rule: Rc<RuleState>) -> Self {
        Self {
            conn,
            version,
            start,
            trace,
            rule,
            state: FilterState::default(),
            backend: RefCell::default(),
            endpoint: Cell::default(),
            request_bytes: Cell::default(),
            response_bytes: Cell::default(),
        }
    }

    /// The backend was picked.
    pub fn picked(&self, backend: Arc<str>) {
        *self.backend.borrow_mut() = Some(backend);
    }

    /// A try goes to an endpoint.
    pub fn tried(&self, endpoint: SocketAddr) {
        self.endpoint.set(Some(endpoint));
    }

    fn client_certificate<T>(&self, read: impl Fn(&crate::tls::ClientCertificate) -> Option<T>) -> Option<T> {
        read(self.conn.tls.as_ref()?.client_certificate.as_deref()?)
    }
}

/// The fields that tell of the client.
impl Latent for Info {
    fn count(&self, head: &RequestHead) -> usize {
        Forwarded::count(&head.headers)
    }

    fn may_be(&self, name: &[u8]) -> bool {
        Forwarded::may_be(name)
    }

    fn add(&self, head: &mut RequestHead) {
        self.conn.forwarded.apply(&mut head.headers, self.version);
    }
}

impl StreamInfo for Info {
    fn attribute(&self, attribute: Attribute) -> Option<AttributeValue> {
        let text = |text: &str| Some(AttributeValue::Text(text.to_owned()));
        let address = |address: SocketAddr| Some(AttributeValue::Text(address.to_string()));
        let port = |address: SocketAddr| Some(AttributeValue::Int(address.port().into()));
        match attribute {
            Attribute::RequestProtocol => text(HttpVersion::from(self.version).protocol()),
            Attribute::RequestTime => Some(AttributeValue::Time(SystemTime::now() - self.start.elapsed())),
            Attribute::RequestDuration => Some(AttributeValue::Duration(self.start.elapsed())),
            Attribute::RequestSize => Some(AttributeValue::Int(self.request_bytes.get() as i64)),
            Attribute::RequestId => text(std::str::from_utf8(&self.trace.hex()).ok()?),
            Attribute::ResponseSize => Some(AttributeValue::Int(self.response_bytes.get() as i64)),
            Attribute::SourceAddress => address(self.conn.peer),
            Attribute::SourcePort => port(self.conn.peer),
            Attribute::DestinationAddress => address(self.conn.local),
            Attribute::DestinationPort => port(self.conn.local),
            Attribute::ConnectionMtls => {
                Some(AttributeValue::Bool(self.client_certificate(|one| one.verified.then_some(())).is_some()))
            }
            Attribute::ConnectionRequestedServerName => text(self.conn.tls.as_ref()?.server_name.as_deref()?),
            Attribute::ConnectionTlsVersion => text(match self.conn.tls.as_ref()?.version {
                crate::tls::NegotiatedVersion::Tls12 => "TLSv1.2",
                crate::tls::NegotiatedVersion::Tls13 => "TLSv1.3",
            }),
            Attribute::ConnectionSubjectPeerCertificate => self.client_certificate(|one| text(&one.subject)),
            Attribute::ConnectionDnsSanPeerCertificate => self.client_certificate(|one| text(one.names.dns.first()?)),
            Attribute::ConnectionUriSanPeerCertificate => self.client_certificate(|one| text(one.names.uri.first()?)),
            Attribute::ConnectionSha256PeerCertificateDigest => self.client_certificate(|one| {
                Some(AttributeValue::Text(one.fingerprint.iter().map(|byte| format!("{byte:02x}")).collect()))
            }),
            Attribute::UpstreamAddress => address(self.endpoint.get()?),
            Attribute::UpstreamPort => port(self.endpoint.get()?),
            Attribute::ClusterName => text(self.backend.borrow().as_deref()?),
            Attribute::RouteName => text(&self.rule.names().route_and_rule),
            Attribute::ListenerName => text(&self.rule.names().listener),
            _ => None,
        }
    }

    fn state(&self) -> &FilterState {
        &self.state
    }
}
