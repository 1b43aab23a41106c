//! Every limit of the engine: name, default, unit. Each has a metric (`portolan_limit_reached_total{limit="…"}`).

use std::time::Duration;

/// Limits against hostile or broken peers, and the time-outs that apply where a route sets none.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections per port and worker that are open at once; more are closed at once.
    pub connections_max: usize,
    /// Bytes of a request head (HTTP/1.1) or header list (HTTP/2, HTTP/3); more is answered with 431.
    pub header_bytes_max: usize,
    /// Number of header fields; more is answered with 431.
    pub headers_max: usize,
    /// Bytes of a request target; more is answered with 414.
    pub uri_bytes_max: usize,
    /// Time for a TLS handshake, and for the first byte of a request head to its end.
    pub header_timeout: Duration,
    /// Time between two pieces of a request body; longer is answered with 408.
    pub body_idle_timeout: Duration,
    /// Time without any byte in either direction while a request is under way.
    pub stream_idle_timeout: Duration,
    /// Time that a client's connection stays open between requests.
    pub keepalive_timeout: Duration,
    /// Bytes of a request body; more is answered with 413. `None`: no limit.
    pub body_bytes_max: Option<u64>,
    /// Age at which a client's connection is ended gracefully. `None`: never.
    pub connection_age_max: Option<Duration>,
    /// Streams that one HTTP/2 or HTTP/3 connection may have open.
    pub h2_streams_max: u32,
    /// Streams that a client may have reset before they were accepted; more ends the connection (rapid reset).
    pub h2_pending_resets_max: usize,
    /// Bytes that a retry, a mirror or an auth request may hold of a request's body.
    pub buffer_bytes_max: usize,
    /// Time to connect to an endpoint, TLS included.
    pub connect_timeout: Duration,
    /// Idle connections kept per endpoint and worker.
    pub pool_idle_max: usize,
    /// Time that an idle connection to an endpoint is kept.
    pub pool_idle_timeout: Duration,
    /// Bytes of a response head from a backend; more is answered with 502.
    pub upstream_header_bytes_max: usize,
    /// Time without a byte in either direction after which a TCP or TLS tunnel is closed.
    pub tunnel_idle_timeout: Duration,
    /// Time without a datagram after which a UDP session ends.
    pub udp_idle_timeout: Duration,
    /// UDP sessions per port; a datagram that would need one more is dropped.
    pub udp_sessions_max: usize,
    /// Bytes of a ClientHello; a longer one is closed.
    pub client_hello_bytes_max: usize,
    /// Time that requests under way are given when the process ends.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 16_384,
            header_bytes_max: 64 << 10,
            headers_max: 100,
            uri_bytes_max: 16 << 10,
            header_timeout: Duration::from_secs(10),
            body_idle_timeout: Duration::from_secs(30),
            stream_idle_timeout: Duration::from_secs(300),
            keepalive_timeout: Duration::from_secs(75),
            body_bytes_max: None,
            connection_age_max: None,
            h2_streams_max: 128,
            h2_pending_resets_max: 64,
            buffer_bytes_max: 64 << 10,
            connect_timeout: Duration::from_secs(5),
            pool_idle_max: 512,
            pool_idle_timeout: Duration::from_secs(60),
            upstream_header_bytes_max: 64 << 10,
            tunnel_idle_timeout: Duration::from_secs(3600),
            udp_idle_timeout: Duration::from_secs(60),
            udp_sessions_max: 10_000,
            client_hello_bytes_max: 16 << 10,
            drain_timeout: Duration::from_secs(30),
        }
    }
}
