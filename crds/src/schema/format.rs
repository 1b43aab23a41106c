//! The `format` keyword. Kubernetes checks those formats that it knows and ignores `int32` and `int64`; the schemas here
//! use no others, and a format that is not listed fails the parse of its schema.

use serde::Deserialize;
use std::net::IpAddr;

/// What a text must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum Format {
    /// For readers; ranges are said by `minimum` and `maximum`.
    #[serde(rename = "int32")]
    Int32,
    /// For readers; ranges are said by `minimum` and `maximum`.
    #[serde(rename = "int64")]
    Int64,
    /// An IPv4 address; Kubernetes takes an IPv6 address that ends like one as well.
    #[serde(rename = "ipv4")]
    Ipv4,
    /// An IPv6 address.
    #[serde(rename = "ipv6")]
    Ipv6,
    /// A date and time of RFC 3339.
    #[serde(rename = "date-time")]
    DateTime,
}

impl Format {
    pub(crate) fn matches(self, text: &str) -> bool {
        let address = || text.parse::<IpAddr>().is_ok();
        match self {
            Self::Int32 | Self::Int64 => true,
            Self::Ipv4 => text.contains('.') && address(),
            Self::Ipv6 => text.contains(':') && address(),
            Self::DateTime => is_date_time(text),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::DateTime => "date-time (such as 2006-01-02T15:04:05Z)",
        }
    }
}

/// A timestamp reads more than RFC 3339 (a space for the `T`, for instance), so the separators are checked beforehand.
fn is_date_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let separated = bytes.len() >= 20 && matches!(bytes[10], b'T' | b't') && bytes[4] == b'-' && bytes[13] == b':';
    separated && text.parse::<k8s_openapi::jiff::Timestamp>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::Format;

    #[test]
    fn formats_accept_what_kubernetes_accepts() {
        for (format, text, expected) in [
            (Format::Ipv4, "10.0.0.1", true),
            (Format::Ipv4, "10.0.0", false),
            (Format::Ipv4, "256.1.1.1", false),
            (Format::Ipv4, "::1", false),
            (Format::Ipv6, "::1", true),
            (Format::Ipv6, "2001:db8::1", true),
            (Format::Ipv6, "1:2:3", false),
            (Format::DateTime, "2024-02-29T23:59:59Z", true),
            (Format::DateTime, "2024-02-29T23:59:59.123+02:00", true),
            (Format::DateTime, "2023-02-29T23:59:59Z", false),
            (Format::DateTime, "2024-02-29 23:59:59Z", false),
            (Format::DateTime, "2024-02-29", false),
            (Format::DateTime, "", false),
        ] {
            assert_eq!(format.matches(text), expected, "{format:?} {text:?}");
        }
    }
}
