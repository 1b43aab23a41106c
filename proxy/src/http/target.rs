//! One reading of host and path for the matcher, the filters and the backend. Pure functions over text.

use std::borrow::Cow;

/// The host of an authority: lower-case, without port and without a dot at the end. `None`: it is none.
pub fn host_of(authority: &str) -> Option<String> {
    let bytes = authority.as_bytes();
    let end = match bytes.first()? {
        b'[' => {
            let end = authority.find(']')? + 1;
            authority[1..end - 1].parse::<std::net::Ipv6Addr>().ok()?;
            end
        }
        _ => bytes.iter().position(|byte| !is_of_name(*byte)).unwrap_or(bytes.len()),
    };
    let port = match &bytes[end..] {
        [] => &[][..],
        [b':', port @ ..] => port,
        _ => return None,
    };
    let host = authority[..end].strip_suffix('.').unwrap_or(&authority[..end]);
    let valid = !host.is_empty() && port.iter().all(u8::is_ascii_digit);
    valid.then(|| host.to_ascii_lowercase())
}

/// What a host that is no IPv6 address is made of (RFC 3986, 3.2.2).
fn is_of_name(byte: u8) -> bool {
    const NAME: [bool; 256] = {
        let mut name = [false; 256];
        let mut byte = 0;
        while byte < 128 {
            name[byte] = (byte as u8).is_ascii_alphanumeric();
            byte += 1;
        }
        let others = b"-._~!$&'()*+,;=%";
        let mut at = 0;
        while at < others.len() {
            name[others[at] as usize] = true;
            at += 1;
        }
        name
    };
    NAME[usize::from(byte)]
}

/// A path with dot segments removed, repeated slashes merged and `%2e` decoded; `%2F` stays, since it does not separate.
/// `None`: the path leads above the root or does not begin with a slash.
pub fn normalise(path: &str) -> Option<Cow<'_, str>> {
    if !path.starts_with('/') {
        return None;
    }
    if is_normal(path) {
        return Some(Cow::Borrowed(path));
    }
    let mut segments: Vec<Cow<'_, str>> = Vec::new();
    let mut directory = false;
    for segment in path.split('/').skip(1) {
        let segment = decode_dots(segment);
        directory = matches!(&*segment, "" | "." | "..");
        match &*segment {
            "" | "." => {}
            ".." => {
                segments.pop()?;
            }
            _ => segments.push(segment),
        }
    }
    let mut out = String::with_capacity(path.len());
    for segment in &segments {
        out.push('/');
        out.push_str(segment);
    }
    if directory || segments.is_empty() {
        out.push('/');
    }
    Some(Cow::Owned(out))
}

/// Whether nothing in the path needs a second look.
fn is_normal(path: &str) -> bool {
    let bytes = path.as_bytes();
    !bytes.windows(2).any(|pair| matches!(pair, b"//" | b"/." | b"%2"))
}

fn decode_dots(segment: &str) -> Cow<'_, str> {
    if !segment.contains("%2") {
        return Cow::Borrowed(segment);
    }
    Cow::Owned(segment.replace("%2e", ".").replace("%2E", "."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_have_one_reading() {
        let cases = [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a//b", "/a/b"),
            ("/a/./b/../c", "/a/c"),
            ("/a/%2e%2E/b", "/b"),
            ("/a/b/..", "/a/"),
            ("/a/b/.", "/a/b/"),
            ("/a/", "/a/"),
            ("//", "/"),
            ("/a%2Fb", "/a%2Fb"),
            ("/a%2fb/../c", "/c"),
            ("/.a/..b", "/.a/..b"),
            ("/a%2eb", "/a.b"),
        ];
        for (path, expected) in cases {
            assert_eq!(normalise(path).as_deref(), Some(expected), "{path}");
        }
        for path in ["/..", "/a/../../b", "/%2e%2e/a", "a", "", "*"] {
            assert_eq!(normalise(path), None, "{path}");
        }
    }

    #[test]
    fn hosts_lose_port_case_and_last_dot() {
        let cases = [
            ("Example.COM:8080", Some("example.com")),
            ("example.com.", Some("example.com")),
            ("[::1]:80", Some("[::1]")),
            ("127.0.0.1", Some("127.0.0.1")),
            ("a:b", None),
            ("user@host", None),
            ("a b", None),
            ("a/b", None),
            ("[::1", None),
            ("[x]:80", None),
            ("", None),
            (":80", None),
        ];
        for (authority, expected) in cases {
            assert_eq!(host_of(authority).as_deref(), expected, "{authority:?}");
        }
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(path in "/[ab./%2eEF]{0,24}") {
            if let Some(once) = normalise(&path) {
                let once = once.into_owned();
                prop_assert!(once.starts_with('/') && !once.contains("//"), "{once}");
                prop_assert!(once.split('/').all(|segment| segment != "." && segment != ".."), "{once}");
            }
        }
    }
}
