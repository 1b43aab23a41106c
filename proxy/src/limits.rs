//! Every limit of the engine: name, default, unit. Each has a metric (`portolan_limit_reached_total{portolan_limit="…"}`).

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

/// A limit that cannot be set as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// There is no such limit.
    #[error("there is no limit {0:?}; there are: {names}", names = Limits::NAMES.join(", "))]
    Unknown(String),
    /// The value does not fit.
    #[error("{name} cannot be {value:?}: give {expected}")]
    Value {
        /// The limit.
        name: &'static str,
        /// The value.
        value: String,
        /// What would fit.
        expected: &'static str,
    },
}

/// A limit's type, as texts give it.
trait Setting: Sized {
    const EXPECTED: &'static str;
    fn read(text: &str) -> Option<Self>;
}

impl Setting for usize {
    const EXPECTED: &'static str = "a number, or a size with Ki, Mi or Gi";
    fn read(text: &str) -> Option<Self> {
        u64::read(text).and_then(|number| number.try_into().ok())
    }
}

impl Setting for u32 {
    const EXPECTED: &'static str = "a number below 2^32";
    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Setting for u64 {
    const EXPECTED: &'static str = usize::EXPECTED;
    fn read(text: &str) -> Option<Self> {
        let units = [("Ki", 10), ("Mi", 20), ("Gi", 30)];
        let unit = units.iter().find_map(|(suffix, shift)| Some((text.strip_suffix(suffix)?, *shift)));
        let (digits, shift) = unit.unwrap_or((text, 0));
        digits.parse::<Self>().ok()?.checked_mul(1 << shift)
    }
}

impl Setting for Duration {
    const EXPECTED: &'static str = "a duration such as 500ms, 10s or 1m";
    fn read(text: &str) -> Option<Self> {
        let number = text.find(|c: char| !c.is_ascii_digit())?;
        let value: u64 = text[..number].parse().ok()?;
        match &text[number..] {
            "ms" => Some(Self::from_millis(value)),
            "s" => Some(Self::from_secs(value)),
            "m" => Some(Self::from_secs(value.checked_mul(60)?)),
            "h" => Some(Self::from_secs(value.checked_mul(3600)?)),
            _ => None,
        }
    }
}

impl<T: Setting> Setting for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;
    fn read(text: &str) -> Option<Self> {
        if text == "none" { Some(None) } else { T::read(text).map(Some) }
    }
}

fn set<T: Setting>(name: &'static str, place: &mut T, value: &str) -> Result<(), LimitError> {
    let error = || LimitError::Value { name, value: value.to_owned(), expected: T::EXPECTED };
    *place = T::read(value).ok_or_else(error)?;
    Ok(())
}

macro_rules! settable {
    ($($name:ident),* $(,)?) => {
        impl Limits {
            /// The names of all limits.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name)),*];

            /// Sets a limit by its name.
            ///
            /// # Errors
            /// If there is no such limit, or the value does not fit.
            pub fn set(&mut self, name: &str, value: &str) -> Result<(), LimitError> {
                // Names every field, so that a new limit cannot be left out.
                let Self { $($name),* } = self;
                match name {
                    $(stringify!($name) => set(stringify!($name), $name, value),)*
                    _ => Err(LimitError::Unknown(name.to_owned())),
                }
            }
        }
    };
}

settable! {
    connections_max, header_bytes_max, headers_max, uri_bytes_max, header_timeout, body_idle_timeout,
    stream_idle_timeout, keepalive_timeout, body_bytes_max, connection_age_max, h2_streams_max, h2_pending_resets_max,
    buffer_bytes_max, connect_timeout, pool_idle_max, pool_idle_timeout, upstream_header_bytes_max,
    tunnel_idle_timeout, udp_idle_timeout, udp_sessions_max, client_hello_bytes_max, drain_timeout,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_set_by_name() {
        let mut limits = Limits::default();
        limits.set("header_timeout", "500ms").unwrap();
        limits.set("body_bytes_max", "1Mi").unwrap();
        limits.set("connection_age_max", "none").unwrap();
        assert_eq!((limits.header_timeout, limits.body_bytes_max), (Duration::from_millis(500), Some(1 << 20)));
        assert!(limits.set("nonsense", "1").unwrap_err().to_string().contains("header_timeout"));
        assert!(limits.set("header_timeout", "5").is_err() && limits.set("headers_max", "-1").is_err());
    }
}
