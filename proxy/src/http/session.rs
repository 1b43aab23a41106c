//! Session persistence (GEP-1619): the endpoint of a session travels with the client, as an opaque number with the time
//! at which the session began.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use portolan_translate::snapshot::{SessionCarrier, SessionPersistence};
use std::time::{Duration, SystemTime};

/// A session that a client brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// The endpoint's opaque identity.
    pub endpoint: u64,
    /// Seconds since the epoch at which the session began.
    pub began: u64,
}

impl Session {
    /// A session that begins now.
    pub fn begin(endpoint: u64, now: SystemTime) -> Self {
        Self { endpoint, began: seconds(now) }
    }

    /// The client's session, if it has one that is not over.
    pub fn read(config: &SessionPersistence, headers: &HeaderMap, now: SystemTime) -> Option<Self> {
        let session = match config.carrier {
            SessionCarrier::Header => Self::parse(headers.get(&*config.name)?.to_str().ok()?),
            SessionCarrier::SessionCookie | SessionCarrier::PermanentCookie => {
                let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
                let mut pairs =
                    cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
                Self::parse(pairs.find(|(name, _)| *name == &*config.name)?.1)
            }
        }?;
        let age = Duration::from_secs(seconds(now).saturating_sub(session.began));
        config.absolute_timeout.is_none_or(|limit| age < limit).then_some(session)
    }

    fn parse(text: &str) -> Option<Self> {
        let (endpoint, began) = text.split_once('.')?;
        Some(Self { endpoint: u64::from_str_radix(endpoint, 16).ok()?, began: u64::from_str_radix(began, 16).ok()? })
    }

    /// Gives the session to the client.
    pub fn write(&self, config: &SessionPersistence, headers: &mut HeaderMap, secure: bool) {
        let value = format!("{:016x}.{:x}", self.endpoint, self.began);
        if config.carrier == SessionCarrier::Header {
            let name = HeaderName::from_bytes(config.name.as_bytes());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(value)) {
                headers.insert(name, value);
            }
            return;
        }
        let mut cookie = format!("{}={value}; Path=/; HttpOnly; SameSite=Lax", config.name);
        if secure {
            cookie.push_str("; Secure");
        }
        if let (SessionCarrier::PermanentCookie, Some(limit)) = (config.carrier, config.absolute_timeout) {
            cookie.push_str(&format!("; Max-Age={}", limit.as_secs()));
        }
        if let Ok(cookie) = HeaderValue::try_from(cookie) {
            headers.append(header::SET_COOKIE, cookie);
        }
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(carrier: SessionCarrier, limit: Option<u64>) -> SessionPersistence {
        SessionPersistence { name: "sid".into(), carrier, absolute_timeout: limit.map(Duration::from_secs) }
    }

    #[test]
    fn a_cookie_comes_back_until_the_session_is_over() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let config = config(SessionCarrier::PermanentCookie, Some(60));
        let session = Session::begin(7, now);
        let mut response = HeaderMap::new();
        session.write(&config, &mut response, true);
        let cookie = response["set-cookie"].to_str().unwrap();
        assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=60"), "{cookie}");
        let mut request = HeaderMap::new();
        request.insert("cookie", format!("a=b; {}; c=d", cookie.split(';').next().unwrap()).parse().unwrap());
        assert_eq!(Session::read(&config, &request, now + Duration::from_secs(59)), Some(session));
        assert_eq!(Session::read(&config, &request, now + Duration::from_secs(60)), None);
    }

    #[test]
    fn a_header_carries_the_session_and_nonsense_is_no_session() {
        let (config, now) = (config(SessionCarrier::Header, None), SystemTime::now());
        let mut headers = HeaderMap::new();
        Session::begin(u64::MAX, now).write(&config, &mut headers, false);
        assert_eq!(Session::read(&config, &headers, now).unwrap().endpoint, u64::MAX);
        headers.insert("sid", "zz.1".parse().unwrap());
        assert_eq!(Session::read(&config, &headers, now), None);
    }
}
