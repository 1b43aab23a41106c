//! Where a request goes: a URL, parsed and checked once. Never resolves a name.

use std::{fmt, net::IpAddr, str::FromStr};

use http::Uri;
use http::uri::PathAndQuery;

/// What a URL's scheme says about the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `http://`
    Http,
    /// `https://`
    Https,
    /// `ws://`
    Ws,
    /// `wss://`
    Wss,
    /// `tcp://`: bytes both ways.
    Tcp,
    /// `tls://`: bytes both ways inside TLS.
    Tls,
    /// `udp://`: datagrams.
    Udp,
}

impl Scheme {
    /// Whether the conversation is inside TLS.
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Https | Self::Wss | Self::Tls)
    }

    fn default_port(self) -> Option<u16> {
        match self {
            Self::Http | Self::Ws => Some(80),
            Self::Https | Self::Wss => Some(443),
            Self::Tcp | Self::Tls | Self::Udp => None,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Ws => "ws",
            Self::Wss => "wss",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Udp => "udp",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Http, Self::Https, Self::Ws, Self::Wss, Self::Tcp, Self::Tls, Self::Udp]
            .into_iter()
            .find(|scheme| scheme.as_str().eq_ignore_ascii_case(text))
    }
}

/// A URL that this client can speak to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    scheme: Scheme,
    host: String,
    port: u16,
    path: PathAndQuery,
}

/// Why a text is no URL for this client.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The text is no URL.
    #[error("`{text}` is not a URL: {source}")]
    Syntax {
        /// The text as given.
        text: String,
        /// What the parser found.
        source: http::uri::InvalidUri,
    },
    /// The scheme is none of ours.
    #[error("`{scheme}://` is not a known scheme: use http, https, ws, wss, tcp, tls or udp")]
    Scheme {
        /// The scheme as given.
        scheme: String,
    },
    /// There is no host.
    #[error("`{text}` names no host")]
    NoHost {
        /// The text as given.
        text: String,
    },
    /// `user:password@` is not sent by this client.
    #[error("`{text}` holds credentials: give them as -H 'authorization: …' instead")]
    Credentials {
        /// The text as given.
        text: String,
    },
    /// The port is missing or out of range.
    #[error("`{text}` needs a port from 1 to 65535: {}://HOST:PORT", scheme.as_str())]
    Port {
        /// The text as given.
        text: String,
        /// Its scheme.
        scheme: Scheme,
    },
    /// Streams and datagrams have no path.
    #[error("`{text}` has a path, which {}:// cannot carry", scheme.as_str())]
    Path {
        /// The text as given.
        text: String,
        /// Its scheme.
        scheme: Scheme,
    },
}

// === impl Target ===

impl Target {
    /// What the URL's scheme says.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host, without the brackets of an IPv6 address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, the scheme's own where the URL has none.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Path and query, exactly as given: dot segments and escapes are sent as they stand.
    pub fn path(&self) -> &PathAndQuery {
        &self.path
    }

    /// The host as an address, where it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// `host` or `host:port`, as `Host` and `:authority` carry it.
    pub fn authority(&self) -> String {
        let host = self.bracketed();
        if self.scheme.default_port() == Some(self.port) { host } else { format!("{host}:{}", self.port) }
    }

    fn bracketed(&self) -> String {
        if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.authority())?;
        match self.scheme {
            Scheme::Tcp | Scheme::Tls | Scheme::Udp => Ok(()),
            _ => f.write_str(self.path.as_str()),
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    /// A URL without a scheme is `http://`.
    fn from_str(text: &str) -> Result<Self, TargetError> {
        let full = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let owned = || text.to_owned();
        let uri: Uri = full.parse().map_err(|source| TargetError::Syntax { text: owned(), source })?;
        let name = uri.scheme_str().unwrap_or_default();
        let scheme = Scheme::parse(name).ok_or_else(|| TargetError::Scheme { scheme: name.to_owned() })?;
        let authority = uri.authority().ok_or_else(|| TargetError::NoHost { text: owned() })?;
        if authority.as_str().contains('@') {
            return Err(TargetError::Credentials { text: owned() });
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(TargetError::NoHost { text: owned() });
        }
        let port = port_of(authority, scheme).ok_or_else(|| TargetError::Port { text: owned(), scheme })?;
        let path = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        if scheme.default_port().is_none() && !matches!(path.as_str(), "" | "/") {
            return Err(TargetError::Path { text: owned(), scheme });
        }
        Ok(Self { scheme, host, port, path })
    }
}

/// The port that the authority names, else the scheme's own. `None` where neither is usable.
fn port_of(authority: &http::uri::Authority, scheme: Scheme) -> Option<u16> {
    let after_host = &authority.as_str()[authority.host().len()..];
    match after_host.strip_prefix(':') {
        None | Some("") => scheme.default_port(),
        Some(digits) => digits.parse().ok().filter(|port| *port != 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Target {
        text.parse().unwrap()
    }

    #[test]
    fn scheme_and_port_have_defaults() {
        assert_eq!(target("shop.localhost/a?b=c").to_string(), "http://shop.localhost/a?b=c");
        assert_eq!(target("https://shop.localhost").port(), 443);
        assert_eq!(target("wss://shop.localhost:8443/x").authority(), "shop.localhost:8443");
        assert_eq!(target("HTTP://shop:80/").authority(), "shop");
    }

    #[test]
    fn ipv6_hosts_keep_their_brackets_on_the_wire_only() {
        let target = target("http://[::1]:8080/");
        assert_eq!(target.host(), "::1");
        assert_eq!(target.authority(), "[::1]:8080");
        assert!(target.ip().is_some());
    }

    #[test]
    fn path_tricks_are_sent_as_they_stand() {
        assert_eq!(target("http://a//b/../c/%2e%2F").path().as_str(), "//b/../c/%2e%2F");
    }

    #[test]
    fn unusable_urls_say_why() {
        for (text, expected) in [
            ("ftp://a", "not a known scheme"),
            ("tcp://a", "needs a port"),
            ("udp://a:0", "needs a port"),
            ("http://a:99999/", "needs a port"),
            ("http://me:secret@a/", "credentials"),
            ("tcp://a:1/path", "has a path"),
            ("http://", "not a URL"),
            ("http://a b/", "not a URL"),
        ] {
            let error = text.parse::<Target>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
