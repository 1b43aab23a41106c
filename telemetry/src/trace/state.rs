//! The syntax of `tracestate` (<https://www.w3.org/TR/trace-context/#tracestate-header>). Members are passed on as they
//! came, never read and never added to.

use http::{HeaderMap, HeaderValue};

use super::context::TRACESTATE;

const MEMBERS_MAX: usize = 32;
/// Longer lists are dropped; the recommendation asks to propagate at least 512 bytes.
const BYTES_MAX: usize = 4096;
const KEY_BYTES_MAX: usize = 256;
const VALUE_BYTES_MAX: usize = 256;

/// Whether the `tracestate` of a request may be passed on, over all its header lines.
pub(super) fn is_valid(headers: &HeaderMap) -> bool {
    let lines = || headers.get_all(TRACESTATE).iter().map(HeaderValue::as_bytes);
    if lines().map(<[u8]>::len).sum::<usize>() > BYTES_MAX {
        return false;
    }
    let mut keys: Vec<&[u8]> = Vec::new();
    for member in lines().flat_map(|line| line.split(|b| *b == b',')).map(trim).filter(|member| !member.is_empty()) {
        let Some(equals) = member.iter().position(|b| *b == b'=') else { return false };
        let (key, value) = (&member[..equals], &member[equals + 1..]);
        if !is_key(key) || !is_value(value) || keys.contains(&key) || keys.len() == MEMBERS_MAX {
            return false;
        }
        keys.push(key);
    }
    true
}

/// The list in one line, for a span.
pub(super) fn joined(headers: &HeaderMap) -> String {
    let lines: Vec<&str> = headers.get_all(TRACESTATE).iter().filter_map(|line| line.to_str().ok()).collect();
    lines.join(",")
}

fn trim(member: &[u8]) -> &[u8] {
    member.trim_ascii()
}

fn is_key(key: &[u8]) -> bool {
    let simple = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-' | b'*' | b'/');
    let mut parts = key.split(|b| *b == b'@');
    let (first, system) = (parts.next().unwrap_or_default(), parts.next());
    let starts_well = first.first().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    key.len() <= KEY_BYTES_MAX
        && starts_well
        && first.iter().all(simple)
        && system.is_none_or(|system| !system.is_empty() && system.iter().all(simple))
        && parts.next().is_none()
}

fn is_value(value: &[u8]) -> bool {
    (1..=VALUE_BYTES_MAX).contains(&value.len())
        && value.iter().all(|b| matches!(b, 0x20..=0x7e) && !matches!(b, b',' | b'='))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid(lines: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(TRACESTATE, HeaderValue::from_str(line).unwrap());
        }
        is_valid(&headers)
    }

    #[test]
    fn lists_of_the_recommendation_are_valid() {
        assert!(valid(&[]));
        assert!(valid(&["rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"]));
        assert!(valid(&["a=1 ,\t b=2,,", "tenant@vendor=x y"]));
        assert!(valid(&[""]));
    }

    #[test]
    fn broken_lists_are_not() {
        for line in ["a", "=1", "A=1", "a=", "a=1,a=2", "a=b=c", "a@@b=1", "@a=1", "-a=1", "a@=1"] {
            assert!(!valid(&[line]), "{line}");
        }
        let many: Vec<String> = (0..33).map(|i| format!("k{i}=v")).collect();
        assert!(!valid(&[&many.join(",")]));
        assert!(valid(&[&many[..32].join(",")]));
        assert!(!valid(&[&format!("a={}", "x".repeat(257))]));
    }
}
