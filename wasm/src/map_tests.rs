//! Tests of the maps that a filter sees.

use super::*;
use http::Uri;

const MOST: usize = 8;

fn request() -> RequestHead {
    let mut headers = HeaderMap::new();
    headers.append("accept", HeaderValue::from_static("a"));
    headers.append("accept", HeaderValue::from_static("b"));
    RequestHead::new(Method::POST, Uri::from_static("https://shop.example/cart?x=1"), headers)
}

fn read(map: &MapRef<'_>, name: &str) -> Option<String> {
    let mut out = Vec::new();
    map.read(name.as_bytes(), &mut out).then(|| String::from_utf8(out).unwrap())
}

#[test]
fn pseudo_headers_and_the_host_alias_are_read_from_the_head() {
    let head = request();
    let map = MapRef::Request(&head);
    assert_eq!(read(&map, ":method").as_deref(), Some("POST"));
    assert_eq!(read(&map, ":path").as_deref(), Some("/cart?x=1"));
    assert_eq!(read(&map, ":scheme").as_deref(), Some("https"));
    assert_eq!(read(&map, ":authority").as_deref(), Some("shop.example"));
    assert_eq!(read(&map, "Host").as_deref(), Some("shop.example"));
    assert_eq!(read(&map, ":status"), None);
}

#[test]
fn repeated_values_are_joined_and_cookies_by_a_semicolon() {
    let mut head = request();
    head.headers.append(COOKIE, HeaderValue::from_static("a=1"));
    head.headers.append(COOKIE, HeaderValue::from_static("b=2"));
    let map = MapRef::Request(&head);
    assert_eq!(read(&map, "Accept").as_deref(), Some("a, b"));
    assert_eq!(read(&map, "cookie").as_deref(), Some("a=1; b=2"));
}

#[test]
fn values_that_are_no_text_are_read_as_replacement_characters() {
    let mut head = request();
    head.headers.insert("x-bytes", HeaderValue::from_bytes(b"a\xff").unwrap());
    assert_eq!(read(&MapRef::Request(&head), "x-bytes").as_deref(), Some("a\u{fffd}"));
}

#[test]
fn pairs_and_len_agree_and_hide_the_host() {
    let head = request();
    let map = MapRef::Request(&head);
    let pairs = map.pairs();
    assert_eq!(pairs.len(), map.len());
    assert!(!pairs.iter().any(|(name, _)| &name[..] == b"host"));
    assert_eq!(&pairs[0].0[..], b":authority");
}

#[test]
fn writes_reach_the_typed_head_and_bad_ones_change_nothing() {
    let mut head = request();
    let mut map = MapMut::Request(&mut head);
    assert_eq!(map.write(Write::Add, b":path", b"/new?q", MOST), Ok(()));
    assert_eq!(map.write(Write::Replace, b"host", b"other:81", MOST), Ok(()));
    for (name, value) in [
        (&b":path"[..], &b"no slash"[..]),
        (b":path", b"http://evil/"),
        (b":method", b"G T"),
        (b":status", b"200"),
        (b":unknown", b"x"),
        (b"bad name", b"x"),
        (b"x-split", b"a\r\nb: c"),
    ] {
        assert_eq!(map.write(Write::Replace, name, value, MOST), Err(MapError::Invalid), "{name:?}");
    }
    assert_eq!(head.path.as_str(), "/new?q");
    assert_eq!(head.authority(), Some("other:81"));
}

#[test]
fn status_is_parsed() {
    let mut head = ResponseHead::default();
    let mut map = MapMut::Response(&mut head);
    assert_eq!(map.write(Write::Replace, b":status", b"abc", MOST), Err(MapError::Invalid));
    assert_eq!(map.write(Write::Replace, b":status", b"418", MOST), Ok(()));
    assert_eq!(head.status, StatusCode::IM_A_TEAPOT);
}

#[test]
fn a_full_map_takes_no_new_header_but_replaces_one() {
    let mut headers = HeaderMap::new();
    headers.insert("a", HeaderValue::from_static("1"));
    let mut map = MapMut::Plain(&mut headers);
    assert_eq!(map.write(Write::Add, b"b", b"2", 1), Err(MapError::Full));
    assert_eq!(map.write(Write::Replace, b"a", b"3", 1), Ok(()));
    assert_eq!(headers["a"], "3");
}

#[test]
fn pseudo_headers_cannot_be_removed_and_unknown_names_are_no_error() {
    let mut head = request();
    let mut map = MapMut::Request(&mut head);
    assert_eq!(map.remove(b":path"), Err(MapError::Invalid));
    assert_eq!(map.remove(b"bad name"), Ok(()));
    assert_eq!(map.remove(b"ACCEPT"), Ok(()));
    assert_eq!(head.headers.keys().collect::<Vec<_>>(), ["host"]);
}

#[test]
fn set_pairs_replaces_all_or_nothing_and_keeps_absent_pseudo_headers() {
    let mut head = request();
    let mut map = MapMut::Request(&mut head);
    assert_eq!(map.set_pairs(&[(b"ok", b"1"), (b"not ok", b"2")], MOST), Err(MapError::Invalid));
    assert_eq!(map.set_pairs(&[(b":path", b"/p"), (b"x", b"1"), (b"x", b"2")], MOST), Ok(()));
    assert_eq!(head.path.as_str(), "/p");
    assert_eq!(head.method, Method::POST);
    assert_eq!(head.headers.get_all("x").iter().count(), 2);
    assert!(!head.headers.contains_key("accept"));
}
