//! Why a request got no answer: a kind to count by, what was attempted, and what to try next. Never prints.

use std::{error::Error, io};

use serde::Serialize;

/// The causes that a tally keeps apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The host has no address.
    Resolve,
    /// The source address cannot be used.
    Source,
    /// Nothing listens there.
    Refused,
    /// There is no way there.
    Unreachable,
    /// The peer reset the connection or the stream.
    Reset,
    /// The peer closed before its answer was complete.
    Closed,
    /// No complete answer in time.
    Timeout,
    /// The server's certificate is not trusted, or ours was refused.
    Certificate,
    /// The TLS handshake failed otherwise.
    Tls,
    /// The peer does not speak the protocol.
    Protocol,
    /// Anything else that the operating system reports.
    Io,
}

impl FailureKind {
    /// The name under which tables and JSON show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Source => "source",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Reset => "reset",
            Self::Closed => "closed",
            Self::Timeout => "timeout",
            Self::Certificate => "certificate",
            Self::Tls => "tls",
            Self::Protocol => "protocol",
            Self::Io => "io",
        }
    }
}

/// What is known about a failed request's fate at the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It may have been processed.
    Unknown,
    /// It was never written, or the server said that it did not process it: sending it again is safe.
    NotProcessed,
}

/// A request that got no answer.
#[derive(Clone, Debug, thiserror::Error)]
#[error("cannot {attempt}: {cause}")]
pub struct Failure {
    kind: FailureKind,
    attempt: String,
    cause: String,
    hint: Option<String>,
    fate: Fate,
}

// === impl Failure ===

impl Failure {
    pub(crate) fn new(kind: FailureKind, attempt: impl Into<String>, cause: impl Into<String>) -> Self {
        Self { kind, attempt: attempt.into(), cause: cause.into(), hint: None, fate: Fate::Unknown }
    }

    /// Reads kind, cause and advice out of an error's chain.
    pub(crate) fn from_error(attempt: impl Into<String>, error: &(dyn Error + 'static)) -> Self {
        let mut failure = Self::new(FailureKind::Io, attempt, chain_text(error));
        for cause in chain(error) {
            let Some(reading) = read(cause) else { continue };
            failure.kind = reading.kind;
            failure.hint = reading.hint.map(str::to_owned).or(failure.hint);
            failure.fate = reading.fate;
        }
        failure
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Gives advice only where the cause itself gave none.
    pub(crate) fn or_hint(mut self, hint: impl FnOnce(FailureKind) -> Option<String>) -> Self {
        if self.hint.is_none() {
            self.hint = hint(self.kind);
        }
        self
    }

    pub(crate) fn with_fate(mut self, fate: Fate) -> Self {
        self.fate = fate;
        self
    }

    /// What to count it as.
    pub fn kind(&self) -> FailureKind {
        self.kind
    }

    /// The likely cause and the next step, where there is one to name.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Whether the request may have been processed.
    pub fn fate(&self) -> Fate {
        self.fate
    }
}

// === reading errors ===

/// What one error of a chain says.
struct Reading {
    kind: FailureKind,
    hint: Option<&'static str>,
    fate: Fate,
}

impl From<FailureKind> for Reading {
    fn from(kind: FailureKind) -> Self {
        Self { kind, hint: None, fate: Fate::Unknown }
    }
}

/// All causes, outermost first.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| cause(*error))
}

/// An `io::Error` hides the error inside it from `source`, so it is opened by hand.
fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>() {
        Some(io) => io.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => error.source(),
    }
}

/// The chain as one line, without what an outer error already said.
fn chain_text(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for cause in chain(error) {
        let part = cause.to_string();
        if text.is_empty() {
            text = part;
        } else if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
    }
    text
}

fn read(cause: &(dyn Error + 'static)) -> Option<Reading> {
    if let Some(error) = cause.downcast_ref::<io::Error>() {
        return read_io(error);
    }
    if let Some(error) = cause.downcast_ref::<rustls::Error>() {
        return Some(read_tls(error));
    }
    if let Some(error) = cause.downcast_ref::<h2::Error>() {
        return Some(read_h2(error));
    }
    if let Some(error) = cause.downcast_ref::<hyper::Error>() {
        return read_hyper(error);
    }
    if let Some(error) = cause.downcast_ref::<quinn::ConnectionError>() {
        return Some(read_quic(error));
    }
    None
}

fn read_io(error: &io::Error) -> Option<Reading> {
    let kind = match error.kind() {
        io::ErrorKind::ConnectionRefused => FailureKind::Refused,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
            FailureKind::Reset
        }
        io::ErrorKind::UnexpectedEof | io::ErrorKind::NotConnected => FailureKind::Closed,
        io::ErrorKind::TimedOut => FailureKind::Timeout,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => FailureKind::Unreachable,
        io::ErrorKind::AddrNotAvailable => FailureKind::Source,
        _ => return None,
    };
    Some(kind.into())
}

const TRUST: &str = "trust the local CA: `portolan dev --print-ca > ca.pem`, then --ca ca.pem; -k skips the check";
const NAMES: &str = "the certificate covers other names: use one of its hosts in the URL, or --sni NAME";
const OWN_CERTIFICATE: &str = "the server wants another client certificate: --cert FILE --key FILE";
const NO_TLS: &str = "this port does not speak TLS: try http:// (ws://, tcp://)";
const NO_NAME: &str = "no TLS listener serves this server name: check the listener's hostname, or --sni NAME";

fn read_tls(error: &rustls::Error) -> Reading {
    use rustls::{AlertDescription as Alert, CertificateError, Error as Tls};
    let (kind, hint) = match error {
        Tls::InvalidCertificate(cause) => (
            FailureKind::Certificate,
            match cause {
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Some(NAMES),
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    Some("the server's certificate has expired: renew it, or -k to skip the check")
                }
                _ => Some(TRUST),
            },
        ),
        Tls::InvalidMessage(_) => (FailureKind::Tls, Some(NO_TLS)),
        Tls::AlertReceived(alert) => match alert {
            Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnknownCA
            | Alert::CertificateUnknown
            | Alert::CertificateExpired
            | Alert::CertificateRevoked => (FailureKind::Certificate, Some(OWN_CERTIFICATE)),
            Alert::UnrecognisedName => (FailureKind::Tls, Some(NO_NAME)),
            Alert::NoApplicationProtocol => {
                (FailureKind::Tls, Some("the listener does not offer this protocol: try --http1 or --http2"))
            }
            _ => (FailureKind::Tls, None),
        },
        _ => (FailureKind::Tls, None),
    };
    Reading { kind, hint, fate: Fate::Unknown }
}

fn read_h2(error: &h2::Error) -> Reading {
    if let Some(reading) = error.get_io().and_then(read_io) {
        return reading;
    }
    // Streams above a GOAWAY's last one, and refused ones, were not processed:
    // https://www.rfc-editor.org/rfc/rfc9113#section-8.7
    let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    let drained = error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR);
    let kind = match () {
        () if error.is_reset() => FailureKind::Reset,
        () if error.is_go_away() && error.is_remote() => FailureKind::Closed,
        () => FailureKind::Protocol,
    };
    let fate = if refused || drained { Fate::NotProcessed } else { Fate::Unknown };
    Reading { kind, hint: None, fate }
}

fn read_hyper(error: &hyper::Error) -> Option<Reading> {
    if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        Some(FailureKind::Closed.into())
    } else if error.is_parse() {
        Some(Reading {
            kind: FailureKind::Protocol,
            hint: Some("the peer did not answer in HTTP: is this the right port, and is it https:// or --http2?"),
            fate: Fate::Unknown,
        })
    } else {
        None
    }
}

/// Alerts travel over QUIC as 0x100 + alert: <https://www.rfc-editor.org/rfc/rfc9001#section-4.8>.
const QUIC_ALERT: u64 = 0x100;

fn read_quic(error: &quinn::ConnectionError) -> Reading {
    use quinn::ConnectionError as Quic;
    let (kind, hint) = match error {
        Quic::TimedOut => (FailureKind::Timeout, Some(crate::connect::NO_QUIC)),
        Quic::Reset => (FailureKind::Reset, None),
        Quic::ApplicationClosed(_) | Quic::LocallyClosed => (FailureKind::Closed, None),
        Quic::TransportError(error) => return read_quic_code(u64::from(error.code), &error.reason),
        Quic::ConnectionClosed(close) => return read_quic_code(u64::from(close.error_code), ""),
        Quic::VersionMismatch | Quic::CidsExhausted => (FailureKind::Protocol, None),
    };
    Reading { kind, hint, fate: Fate::Unknown }
}

/// `reason` is set where the alert is ours.
fn read_quic_code(code: u64, reason: &str) -> Reading {
    let Some(alert) = code.checked_sub(QUIC_ALERT).and_then(|alert| u8::try_from(alert).ok()) else {
        return FailureKind::Protocol.into();
    };
    if reason.contains("certificate") {
        let hint = if reason.contains("not valid for name") { NAMES } else { TRUST };
        return Reading { kind: FailureKind::Certificate, hint: Some(hint), fate: Fate::Unknown };
    }
    read_tls(&rustls::Error::AlertReceived(alert.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_inside_an_io_error_are_found() {
        let inner = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let error = io::Error::new(io::ErrorKind::InvalidData, inner);
        let failure = Failure::from_error("start TLS", &error);
        assert_eq!(failure.kind(), FailureKind::Certificate);
        assert!(failure.hint().unwrap().contains("--print-ca"));
        assert_eq!(failure.to_string(), "cannot start TLS: invalid peer certificate: UnknownIssuer");
    }

    #[test]
    fn refused_streams_are_known_not_to_be_processed() {
        let refused = Failure::from_error("send", &h2::Error::from(h2::Reason::REFUSED_STREAM));
        assert_eq!(refused.kind(), FailureKind::Protocol, "a library error, not a reset by the peer");
        assert_eq!(refused.fate(), Fate::Unknown);
    }

    #[test]
    fn a_reset_is_not_a_refusal() {
        for (io_kind, kind) in [
            (io::ErrorKind::ConnectionReset, FailureKind::Reset),
            (io::ErrorKind::ConnectionRefused, FailureKind::Refused),
            (io::ErrorKind::UnexpectedEof, FailureKind::Closed),
            (io::ErrorKind::PermissionDenied, FailureKind::Io),
        ] {
            assert_eq!(Failure::from_error("send", &io::Error::from(io_kind)).kind(), kind);
        }
    }
}
