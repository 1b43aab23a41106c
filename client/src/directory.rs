//! Names to addresses: what a running `dev` knows first, the system's resolver last. Never connects.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::failure::{Failure, FailureKind};
use crate::target::Target;

/// Addresses of one name that are tried in turn.
const ADDRESSES_MAX: usize = 8;

/// What a running `portolan dev` knows and the system does not.
pub trait Directory: Send + Sync {
    /// The address on which `host:port` is really served: a listener's hostname, a Service's name.
    fn resolve(&self, host: &str, port: u16) -> Option<SocketAddr>;

    /// The address from which clients of a namespace connect.
    fn source(&self, namespace: &str) -> Option<IpAddr>;

    /// The local CA, PEM.
    fn ca(&self) -> Option<String>;
}

/// A directory that knows nothing: names go to the system's resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoDirectory;

impl Directory for NoDirectory {
    fn resolve(&self, _host: &str, _port: u16) -> Option<SocketAddr> {
        None
    }

    fn source(&self, _namespace: &str) -> Option<IpAddr> {
        None
    }

    fn ca(&self) -> Option<String> {
        None
    }
}

/// One answer given on the command line: `HOST:PORT:ADDRESS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The URL's host to which it applies.
    pub host: String,
    /// The URL's port to which it applies.
    pub port: u16,
    /// The address to use instead, on the same port.
    pub address: IpAddr,
}

impl std::str::FromStr for Override {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.splitn(3, ':');
        let parsed = (|| {
            let host = parts.next().filter(|host| !host.is_empty())?.to_owned();
            let port = parts.next()?.parse().ok()?;
            let address = parts.next()?.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
            Some(Self { host, port, address })
        })();
        parsed.ok_or_else(|| format!("`{text}` is not HOST:PORT:ADDRESS, such as shop.localhost:443:127.0.0.2"))
    }
}

/// The addresses to try for `target`, in order; at least one.
pub(crate) async fn addresses(
    directory: &dyn Directory,
    overrides: &[Override],
    target: &Target,
) -> Result<Vec<SocketAddr>, Failure> {
    let (host, port) = (target.host(), target.port());
    if let Some(found) = overrides.iter().find(|o| o.port == port && o.host.eq_ignore_ascii_case(host)) {
        return Ok(vec![SocketAddr::new(found.address, port)]);
    }
    if let Some(address) = directory.resolve(host, port) {
        return Ok(vec![address]);
    }
    if let Some(ip) = target.ip() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    if is_localhost(host) {
        return Ok(vec![SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)]);
    }
    let unknown = |cause: String| {
        Failure::new(FailureKind::Resolve, format!("find the address of {host}"), cause).with_hint(
            "`portolan dev` serves no such host or Service and DNS does not know it: check the listener's hostname, \
             or say where to connect: --connect-to HOST:PORT",
        )
    };
    let found = tokio::net::lookup_host((host, port)).await.map_err(|error| unknown(error.to_string()))?;
    let found: Vec<_> = found.take(ADDRESSES_MAX).collect();
    if found.is_empty() { Err(unknown("the name has no address".to_owned())) } else { Ok(found) }
}

/// `localhost` and all names below it are this machine: <https://www.rfc-editor.org/rfc/rfc6761#section-6.3>.
fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl Directory for Fixed {
        fn resolve(&self, host: &str, port: u16) -> Option<SocketAddr> {
            (host == "shop.localhost" && port == 80).then(|| SocketAddr::from(([127, 0, 0, 7], 8080)))
        }

        fn source(&self, _namespace: &str) -> Option<IpAddr> {
            None
        }

        fn ca(&self) -> Option<String> {
            None
        }
    }

    async fn first(overrides: &[Override], url: &str) -> String {
        let target = url.parse().unwrap();
        addresses(&Fixed, overrides, &target).await.unwrap()[0].to_string()
    }

    #[tokio::test]
    async fn overrides_win_over_the_directory_which_wins_over_localhost() {
        let overrides = ["shop.localhost:80:127.0.0.9".parse().unwrap()];
        assert_eq!(first(&overrides, "http://SHOP.localhost/").await, "127.0.0.9:80");
        assert_eq!(first(&[], "http://shop.localhost/").await, "127.0.0.7:8080");
        assert_eq!(first(&[], "http://shop.localhost:81/").await, "127.0.0.1:81");
        assert_eq!(first(&[], "http://127.0.0.4:81/").await, "127.0.0.4:81");
        assert_eq!(first(&[], "http://[::1]:81/").await, "[::1]:81");
    }

    #[test]
    fn an_override_needs_host_port_and_address() {
        assert_eq!("a:1:[::1]".parse::<Override>().unwrap().address.to_string(), "::1");
        for text in ["a", "a:1", "a:x:127.0.0.1", "a:1:b", ":1:127.0.0.1"] {
            assert!(text.parse::<Override>().is_err(), "{text}");
        }
    }
}
