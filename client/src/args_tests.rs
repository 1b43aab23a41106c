//! What command lines mean, and which are refused.

use clap::Parser;

use super::*;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    request: RequestArgs,
}

fn args(line: &[&str]) -> RequestArgs {
    Cli::try_parse_from([&["request"], line].concat()).unwrap().request
}

fn request(line: &[&str]) -> Request {
    args(line).request(&mut &b"typed"[..]).unwrap()
}

fn refusal(line: &[&str]) -> String {
    match Cli::try_parse_from([&["request"], line].concat()) {
        Ok(cli) => cli.request.request(&mut &b""[..]).unwrap_err().to_string(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn data_makes_a_post_and_names_its_type() {
    let plain = request(&["http://a/"]);
    assert_eq!((plain.method, plain.messages.len()), (Method::GET, 0));
    let json = request(&["-d", "{\"a\":1}", "http://a/"]);
    assert_eq!(
        (json.method, &json.headers[CONTENT_TYPE]),
        (Method::POST, &HeaderValue::from_static("application/json"))
    );
    let given = request(&["-d", "-", "-H", "content-type: a/b", "PUT", "http://a/"]);
    assert_eq!((given.method, &given.headers[CONTENT_TYPE]), (Method::PUT, &HeaderValue::from_static("a/b")));
    assert_eq!(given.messages, ["typed"]);
}

#[test]
fn data_is_read_from_a_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "from a file").unwrap();
    let data = format!("@{}", file.path().display());
    assert_eq!(request(&["-d", &data, "http://a/"]).messages, ["from a file"]);
    assert!(refusal(&["-d", "@/no/such/file", "http://a/"]).contains("cannot read /no/such/file"));
}

#[test]
fn the_grpc_method_may_stand_in_three_places_but_once() {
    let method = |line: &[&str]| match request(line).protocol {
        Protocol::Grpc(method) => method.path().to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(method(&["--grpc", "http://a"]), "/portolan.echo.v1.Echo/Echo");
    assert_eq!(method(&["--grpc=a.B/C", "http://a"]), "/a.B/C");
    assert_eq!(method(&["--grpc", "a.B/C", "http://a"]), "/a.B/C");
    assert_eq!(method(&["--grpc", "http://a/a.B/C"]), "/a.B/C");
    assert!(refusal(&["--grpc=a.B/C", "http://a/a.B/C"]).contains("twice"));
    assert!(refusal(&["--grpc", "http://a/a"]).contains("not SERVICE/METHOD"));
}

#[test]
fn versions_are_chosen_and_exclude_each_other() {
    let version = |line: &[&str]| request(line).protocol;
    assert_eq!(version(&["https://a"]), Protocol::Http(HttpVersion::Negotiated));
    assert_eq!(version(&["--h2c", "http://a"]), Protocol::Http(HttpVersion::Http2));
    assert_eq!(version(&["--http3", "https://a"]), Protocol::Http(HttpVersion::Http3));
    assert!(refusal(&["--http3", "http://a"]).contains("use an https:// URL"));
    assert!(refusal(&["--http2", "--http3", "https://a"]).contains("cannot be used with"));
}

#[test]
fn what_would_be_ignored_is_refused() {
    for (line, expected) in [
        (&["-X", "GET", "POST", "http://a"][..], "given twice"),
        (&["-d", "a", "-d", "b", "http://a"], "one body"),
        (&["-H", "x: y", "tcp://a:1"], "-H goes with"),
        (&["POST", "udp://a:1"], "goes with http"),
        (&["--http3", "wss://a"], "goes with http"),
        (&["-H", "nonsense", "http://a"], "not a header"),
        (&["-H", "a\u{7f}b: c", "http://a"], "not a header"),
        (&["G E T", "http://a"], "not an HTTP method"),
        (&["CONNECT", "http://a"], "tunnel"),
        (&["--grpc", "tcp://a:1"], "gRPC needs"),
        (&["--cert", "a.pem", "https://a"], "--key"),
        (&["--sni", "b", "http://a"], "--sni goes with"),
        (&["--by-header", "x", "http://a"], "--count"),
        (&["-c", "2", "http://a"], "--count"),
        (&["-i", "-n", "2", "http://a"], "cannot be used with"),
        (&["-n", "0", "http://a"], "0"),
        (&["-n", "1", "-c", "9999", "http://a"], "9999"),
        (&["--timeout", "soon", "http://a"], "not a time"),
        (&["--resolve", "a", "http://a"], "HOST:PORT:ADDRESS"),
    ] {
        let refusal = refusal(line);
        assert!(refusal.contains(expected), "{line:?}: {refusal}");
    }
}

#[test]
fn times_have_units() {
    for (text, time) in [("2", 2000), ("0.5", 500), ("250ms", 250), ("3s", 3000), ("1m", 60_000)] {
        assert_eq!(parse_duration(text), Ok(Duration::from_millis(time)), "{text}");
    }
    for text in ["", "0", "-1", "1h", "ms", "1e400", "NaN"] {
        assert!(parse_duration(text).is_err(), "{text}");
    }
}
