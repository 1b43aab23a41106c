//! HTTP/3 beside HTTPS listeners: on the UDP port of the same number, with the same certificates, listeners and routes.
//! It binds no socket, and decides nothing about a request.

mod body;
mod convert;
mod exchange;
mod frames;
mod head;
mod port;
mod session;
#[cfg(test)]
mod tests;
mod transport;

pub use port::{Handle, Retiring, spawn};

use http::HeaderValue;
use portolan_translate::snapshot::{Port, PortKind, Snapshot, TlsAction, Transport};
use std::{net::SocketAddr, sync::Arc};

/// Seconds for which a client remembers that there is HTTP/3: a day.
const ALT_SVC_SECONDS: u32 = 86_400;

/// The HTTPS ports beside which HTTP/3 is served: at their `bind`, for UDP, where their Gateways have it. Not where a UDP listener has the number, be
/// it the one that is bound or the one that clients use.
pub fn h3_ports(snapshot: &Snapshot) -> Vec<Arc<Port>> {
    let udp = || snapshot.ports.iter().filter(|port| port.transport == Transport::Udp);
    let is_free =
        |port: &Port| !udp().any(|other| overlap(other.bind, port.bind) || overlap(other.declared, port.declared));
    let tcp = snapshot.ports.iter().filter(|port| port.transport == Transport::Tcp);
    tcp.filter(|port| port.http3 && has_one_tls(&port.kind) && is_free(port)).cloned().collect()
}

/// `Alt-Svc` for answers over TCP on one of the [`h3_ports`]: names the port that clients use (RFC 7838).
pub fn alt_svc(port: &Port) -> Option<HeaderValue> {
    let value = || format!("h3=\":{}\"; ma={ALT_SVC_SECONDS}", port.client_port);
    has_one_tls(&port.kind).then(value).and_then(|value| HeaderValue::try_from(value).ok())
}

/// Whether there are HTTPS listeners, which all judge client certificates alike: a QUIC endpoint has one TLS.
fn has_one_tls(kind: &PortKind) -> bool {
    let PortKind::Tls(port) = kind else { return false };
    let mut client_auths = port.listeners.iter().filter_map(|(_, listener)| match &listener.action {
        TlsAction::Http(server, _) => Some(server.client_auth.as_ref()),
        TlsAction::Terminate(..) | TlsAction::Passthrough(_) => None,
    });
    client_auths.next().is_some_and(|first| client_auths.all(|other| other == first))
}

fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let any = a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() == b.port() && a.is_ipv4() == b.is_ipv4() && (any || a.ip() == b.ip())
}
