//! Where and how to export: from the program's configuration and OpenTelemetry's environment variables
//! (<https://opentelemetry.io/docs/specs/otel/protocol/exporter/>). Reads no environment itself.

use std::fmt;
use std::time::Duration;

use http::Uri;
use tonic::metadata::{Ascii, MetadataKey, MetadataValue};

use crate::trace::SPAN_QUEUE_MAX;

const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
const METRIC_INTERVAL_DEFAULT: Duration = Duration::from_secs(60);
const SPAN_DELAY_DEFAULT: Duration = Duration::from_secs(1);
const BACKOFF_DEFAULT: Duration = Duration::from_secs(1);
const SERVICE_NAME_DEFAULT: &str = "portolan";

/// Why a configuration is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum OtlpConfigError {
    /// The endpoint is no URL.
    #[error("{name}={value:?} is no http:// or https:// URL, such as http://127.0.0.1:4317")]
    Endpoint {
        /// The variable or field.
        name: &'static str,
        /// What it holds.
        value: String,
    },
    /// The protocol is not the one there is.
    #[error("OTEL_EXPORTER_OTLP_PROTOCOL={0:?} is not supported; only grpc is")]
    Protocol(String),
    /// A header cannot be sent. Its value is not shown: it may be a secret.
    #[error("OTEL_EXPORTER_OTLP_HEADERS: {0:?} is no valid key=value")]
    Header(String),
    /// A number is none.
    #[error("{name}={value:?} is no number of milliseconds above zero")]
    Millis {
        /// The variable.
        name: &'static str,
        /// What it holds.
        value: String,
    },
    /// A resource attribute is not key=value.
    #[error("OTEL_RESOURCE_ATTRIBUTES: {0:?} is no valid key=value")]
    Resource(String),
}

/// A header that goes with every export. Its value is never printed.
#[derive(Clone)]
pub struct Header {
    pub(super) key: MetadataKey<Ascii>,
    pub(super) value: MetadataValue<Ascii>,
}

/// Where and how to export.
#[derive(Clone, Debug)]
pub struct OtlpConfig {
    /// The collector: `http://` in clear, `https://` by TLS with the bundled roots.
    pub endpoint: Uri,
    /// PEM certificates to trust instead of the bundled roots.
    pub roots_pem: Option<String>,
    /// Headers that go with every export.
    pub headers: Vec<Header>,
    /// Time for one export.
    pub timeout: Duration,
    /// Time between exports of metrics.
    pub metric_interval: Duration,
    /// Time for which spans are gathered before they are exported.
    pub span_delay: Duration,
    /// Spans that wait, at most.
    pub span_queue_max: usize,
    /// Time before an export of spans is tried again; doubled each time.
    pub backoff: Duration,
    /// Who exports: `service.name` and what else identifies this process.
    pub resource: Vec<(String, String)>,
}

// === impl OtlpConfig ===

impl OtlpConfig {
    /// The defaults, for a collector.
    #[must_use]
    pub fn new(endpoint: Uri) -> Self {
        OtlpConfig {
            endpoint,
            roots_pem: None,
            headers: Vec::new(),
            timeout: TIMEOUT_DEFAULT,
            metric_interval: METRIC_INTERVAL_DEFAULT,
            span_delay: SPAN_DELAY_DEFAULT,
            span_queue_max: SPAN_QUEUE_MAX,
            backoff: BACKOFF_DEFAULT,
            resource: vec![
                ("service.name".into(), SERVICE_NAME_DEFAULT.into()),
                ("service.version".into(), env!("CARGO_PKG_VERSION").into()),
            ],
        }
    }

    /// The configuration of an endpoint, else of `OTEL_EXPORTER_OTLP_ENDPOINT`, with what the other variables say;
    /// none if neither names an endpoint, or `OTEL_SDK_DISABLED` is true. `read` gives a variable's value.
    ///
    /// # Errors
    /// If the endpoint or a variable is not valid.
    pub fn from_env(
        endpoint: Option<&str>,
        read: impl Fn(&'static str) -> Option<String>,
    ) -> Result<Option<Self>, OtlpConfigError> {
        // An empty variable is as good as none, the specification says.
        let read = |name| read(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        if read("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let named = match endpoint {
            Some(value) => Some(("endpoint", value.to_owned())),
            None => read("OTEL_EXPORTER_OTLP_ENDPOINT").map(|value| ("OTEL_EXPORTER_OTLP_ENDPOINT", value)),
        };
        let Some((name, value)) = named else { return Ok(None) };
        if let Some(protocol) = read("OTEL_EXPORTER_OTLP_PROTOCOL").filter(|protocol| protocol != "grpc") {
            return Err(OtlpConfigError::Protocol(protocol));
        }
        let mut config = OtlpConfig::new(parse_endpoint(name, value)?);
        config.headers = read("OTEL_EXPORTER_OTLP_HEADERS").map_or(Ok(Vec::new()), |list| parse_headers(&list))?;
        if let Some(timeout) = millis("OTEL_EXPORTER_OTLP_TIMEOUT", &read)? {
            config.timeout = timeout;
        }
        if let Some(interval) = millis("OTEL_METRIC_EXPORT_INTERVAL", &read)? {
            config.metric_interval = interval;
        }
        for (key, value) in read("OTEL_RESOURCE_ATTRIBUTES").map_or(Ok(Vec::new()), |list| parse_resource(&list))? {
            config.set_resource(&key, value);
        }
        if let Some(service) = read("OTEL_SERVICE_NAME") {
            config.set_resource("service.name", service);
        }
        Ok(Some(config))
    }

    /// Sets a resource attribute.
    pub fn set_resource(&mut self, key: &str, value: String) {
        match self.resource.iter_mut().find(|(known, _)| known == key) {
            Some(pair) => pair.1 = value,
            None => self.resource.push((key.to_owned(), value)),
        }
    }
}

fn parse_endpoint(name: &'static str, value: String) -> Result<Uri, OtlpConfigError> {
    let uri: Option<Uri> = value.parse().ok();
    uri.filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some())
        .ok_or(OtlpConfigError::Endpoint { name, value })
}

fn millis(
    name: &'static str,
    read: &impl Fn(&'static str) -> Option<String>,
) -> Result<Option<Duration>, OtlpConfigError> {
    let Some(value) = read(name) else { return Ok(None) };
    match value.parse::<u64>() {
        Ok(millis) if millis > 0 => Ok(Some(Duration::from_millis(millis))),
        _ => Err(OtlpConfigError::Millis { name, value }),
    }
}

/// The key and value of each member of a list in the form of W3C baggage, percent-decoded; a member that is none is
/// the error, up to its equals sign.
fn parse_list(list: &str) -> Result<Vec<(String, String)>, String> {
    let members = list.split(',').map(str::trim).filter(|member| !member.is_empty());
    members
        .map(|member| {
            let broken = || member.split('=').next().unwrap_or_default().to_owned();
            let (key, value) = member.split_once('=').ok_or_else(broken)?;
            let key = key.trim();
            if key.is_empty() {
                return Err(broken());
            }
            Ok((key.to_owned(), percent_decoded(value.trim()).ok_or_else(broken)?))
        })
        .collect()
}

fn parse_headers(list: &str) -> Result<Vec<Header>, OtlpConfigError> {
    let pairs = parse_list(list).map_err(OtlpConfigError::Header)?;
    pairs
        .into_iter()
        .map(|(key, value)| {
            let parsed_key = MetadataKey::from_bytes(key.to_ascii_lowercase().as_bytes());
            match (parsed_key, MetadataValue::try_from(value)) {
                (Ok(key), Ok(value)) => Ok(Header { key, value }),
                _ => Err(OtlpConfigError::Header(key)),
            }
        })
        .collect()
}

fn parse_resource(list: &str) -> Result<Vec<(String, String)>, OtlpConfigError> {
    parse_list(list).map_err(OtlpConfigError::Resource)
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            decoded.push(*first);
            continue;
        }
        let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
        decoded.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &tail[2..];
    }
    String::from_utf8(decoded).ok()
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: (not shown)", self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(endpoint: Option<&str>, variables: &[(&str, &str)]) -> Result<Option<OtlpConfig>, OtlpConfigError> {
        OtlpConfig::from_env(endpoint, |name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn nothing_is_exported_unless_an_endpoint_is_named() {
        assert!(parse(None, &[("OTEL_SERVICE_NAME", "x")]).unwrap().is_none());
        assert!(parse(None, &[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]).unwrap().is_none());
        assert!(parse(Some("http://c:4317"), &[("OTEL_SDK_DISABLED", "true")]).unwrap().is_none());
    }

    #[test]
    fn the_configured_endpoint_beats_the_environments() {
        let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://env:4317")];
        assert_eq!(parse(None, &variables).unwrap().unwrap().endpoint.host(), Some("env"));
        assert_eq!(parse(Some("https://own"), &variables).unwrap().unwrap().endpoint.host(), Some("own"));
    }

    #[test]
    fn variables_are_read_as_the_specification_says() {
        let config = parse(
            Some("http://c:4317"),
            &[
                ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20x, tenant = a"),
                ("OTEL_EXPORTER_OTLP_TIMEOUT", "250"),
                ("OTEL_METRIC_EXPORT_INTERVAL", "5000"),
                ("OTEL_RESOURCE_ATTRIBUTES", "service.name=a,zone=b"),
                ("OTEL_SERVICE_NAME", "edge"),
            ],
        );
        let config = config.unwrap().unwrap();
        assert_eq!(config.headers[0].key.as_str(), "authorization");
        assert_eq!(config.headers[0].value, "Bearer x");
        assert!(!format!("{config:?}").contains("Bearer"), "a secret is not printed");
        assert_eq!((config.timeout.as_millis(), config.metric_interval.as_millis()), (250, 5000));
        assert!(config.resource.contains(&("service.name".into(), "edge".into())));
        assert!(config.resource.contains(&("zone".into(), "b".into())));
    }

    #[test]
    fn what_is_not_valid_is_named_and_not_ignored() {
        assert!(parse(Some("collector:4317"), &[]).unwrap_err().to_string().contains("collector:4317"));
        assert!(parse(Some("ftp://x"), &[]).is_err());
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "0"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a b=c"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=%zz"),
            ("OTEL_RESOURCE_ATTRIBUTES", "alone"),
        ] {
            let error = parse(Some("http://c:4317"), &[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
        let error = parse(Some("http://c:4317"), &[("OTEL_EXPORTER_OTLP_HEADERS", "a b=secret")]).unwrap_err();
        assert!(!error.to_string().contains("secret"));
    }
}
