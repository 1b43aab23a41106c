//! Which listener a request belongs to. The engine asks this, and so does `explain`.

use super::{FrontendRoutes, HttpListener, PortKind, TlsAction};
use std::sync::Arc;

/// Which listener a request belongs to.
#[derive(Clone, Copy, Debug)]
pub enum Belongs<'a> {
    /// This one.
    To(&'a Arc<HttpListener>),
    /// None has its host.
    Nowhere,
    /// Another one than the TLS session's: the request is misdirected (RFC 9110, 15.5.20).
    Elsewhere,
}

impl PortKind {
    /// The listener of an HTTP request for `host` (lower case, without port), inside a TLS session for `server_name`,
    /// from a client of `namespace`.
    pub fn listener(&self, server_name: Option<&str>, host: &str, namespace: &str) -> Belongs<'_> {
        match self {
            Self::Http(http) => http.listeners.get(host).map_or(Belongs::Nowhere, Belongs::To),
            Self::Tls(tls) => {
                let session = tls.listeners.get(server_name.unwrap_or_default());
                match (session, tls.listeners.get(host)) {
                    (Some(session), Some(asked)) if Arc::ptr_eq(session, asked) => match &session.action {
                        TlsAction::Http(_, listener) => Belongs::To(listener),
                        TlsAction::Terminate(..) | TlsAction::Passthrough(_) => Belongs::Nowhere,
                    },
                    (_, Some(_)) => Belongs::Elsewhere,
                    (_, None) => Belongs::Nowhere,
                }
            }
            Self::Frontend(frontend) => match frontend.routes_for(namespace) {
                FrontendRoutes::Http(listener) => Belongs::To(listener),
                FrontendRoutes::Tls(_) | FrontendRoutes::L4(_) => Belongs::Nowhere,
            },
            Self::Tcp(..) | Self::Udp(..) => Belongs::Nowhere,
        }
    }
}

impl super::Frontend {
    /// The routes of a client of `namespace`: its consumer routes if it has any, else the producer's.
    pub fn routes_for(&self, namespace: &str) -> &FrontendRoutes {
        self.consumer.get(namespace).unwrap_or(&self.producer)
    }
}
