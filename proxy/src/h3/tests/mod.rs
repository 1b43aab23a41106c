//! HTTP/3 over real sockets, asked by another implementation of its client side, and by hand where that is too polite.

mod backend;
mod hostile;
mod life;
mod requests;
mod snapshots;
mod support;

use super::{alt_svc, h3_ports};
use portolan_translate::{
    Snapshot,
    snapshot::{
        ClientAuth, ClientAuthMode, Hostname, HttpPort, ListenerId, Port, PortKind, TlsAction, TlsListener, TlsPort,
        TlsServer, Transport,
    },
};
use snapshots::{port, tls_listener};
use std::sync::Arc;
use support::certificate;

fn https_port(bind: &str) -> Port {
    let mut tls = TlsPort::default();
    let listener = tls_listener("a.example", &certificate(&["a.example"]));
    tls.listeners.insert(Some(&Hostname::new("a.example")), listener);
    port(bind.parse().unwrap(), Transport::Tcp, PortKind::Tls(Arc::new(tls)))
}

fn udp_port(bind: &str) -> Port {
    let id = ListenerId { owner: portolan_translate::ObjectName::new("d", "g"), kind: "Gateway", name: "udp".into() };
    port(bind.parse().unwrap(), Transport::Udp, PortKind::Udp(id, None))
}

fn served(ports: Vec<Port>) -> Vec<String> {
    let snapshot = Snapshot { ports: ports.into_iter().map(Arc::new).collect(), ..Snapshot::default() };
    h3_ports(&snapshot).iter().map(|port| port.bind.to_string()).collect()
}

#[test]
fn http3_is_served_beside_https_alone() {
    let http = port("10.0.0.1:80".parse().unwrap(), Transport::Tcp, PortKind::Http(Arc::new(HttpPort::default())));
    assert!(alt_svc(&http).is_none());
    assert_eq!(alt_svc(&https_port("10.0.0.1:8443")).unwrap(), "h3=\":443\"; ma=86400");
    assert_eq!(served(vec![http, https_port("10.0.0.1:8443")]), ["10.0.0.1:8443"]);
}

#[test]
fn a_udp_listener_of_the_number_keeps_http3_away() {
    let https = || https_port("10.0.0.1:443");
    for taken in ["10.0.0.1:443", "0.0.0.0:443"] {
        assert_eq!(served(vec![https(), udp_port(taken)]), [""; 0], "{taken}");
    }
    for free in ["10.0.0.1:53", "10.0.0.2:443", "[::]:443"] {
        assert_eq!(served(vec![https(), udp_port(free)]), ["10.0.0.1:443"], "{free}");
    }
    // Clients use the number that is declared, wherever the listener is bound.
    let moved = Port { bind: "10.0.0.1:9000".parse().unwrap(), ..udp_port("10.0.0.1:443") };
    assert_eq!(served(vec![https(), moved]), [""; 0]);
}

#[test]
fn listeners_that_judge_client_certificates_differently_are_left_to_tcp() {
    let PortKind::Tls(tls) = https_port("10.0.0.1:443").kind else { unreachable!() };
    let mut tls = TlsPort::clone(&tls);
    let TlsAction::Http(_, http) = &tls.listeners.get("a.example").unwrap().action else { unreachable!() };
    let certificates = [certificate(&["b.example"])].into();
    let client_auth = ClientAuth { roots: Arc::default(), mode: ClientAuthMode::Required };
    let server = TlsServer { certificates, client_auth: Some(client_auth), http: true };
    let action = TlsAction::Http(Arc::new(server), http.clone());
    let hostname = Hostname::new("b.example");
    let listener = TlsListener { id: http.id.clone(), hostname: Some(hostname.clone()), action };
    tls.listeners.insert(Some(&hostname), Arc::new(listener));
    let port = Port { kind: PortKind::Tls(Arc::new(tls)), ..https_port("10.0.0.1:443") };
    assert!(alt_svc(&port).is_none());
    assert_eq!(served(vec![port]), [""; 0]);
}
