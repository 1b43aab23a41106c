//! HTTP/1.1 and HTTP/2, plain and inside TLS, and what failures say.

use std::time::Duration;

use portolan_client::{Answer, ClientIdentity, Code, FailureKind, HttpVersion, Options, Protocol, Spoken, Trust};
use serde_json::Value;

use crate::certificates::Authority;
use crate::servers::{Names, echo, listener, nobody, request, serve};

fn json(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.messages[0]).unwrap()
}

#[tokio::test]
async fn a_name_of_the_directory_is_reached_and_told_to_the_server() {
    let address = serve(None, echo).await;
    let client = Names::one("shop.example", 80, address).client();
    let mut asked = request("http://shop.example/a/../b?c=%2F");
    asked.messages = vec!["hello".into()];
    asked.method = http::Method::PUT;
    let answer = client.send(&asked).await.unwrap();
    let seen = json(&answer);
    assert_eq!(seen["host"], "shop.example");
    assert_eq!(seen["path"], "/a/../b?c=%2F");
    assert_eq!((&seen["method"], &seen["body"]), (&"PUT".into(), &"hello".into()));
    assert_eq!(answer.backend().unwrap().pod, "echo-0");
    assert_eq!((answer.spoken, answer.link.peer), (Spoken::Http1, address));
    assert_eq!(answer.headers["x-echo"], "yes");
}

#[tokio::test]
async fn a_host_header_replaces_the_authority_in_both_versions() {
    let address = serve(None, echo).await;
    for version in [HttpVersion::Http1, HttpVersion::Http2] {
        let mut asked = request(&format!("http://{address}/"));
        asked.protocol = Protocol::Http(version);
        asked.headers.insert("host", "other.example".parse().unwrap());
        let answer = Names::default().client().send(&asked).await.unwrap();
        assert_eq!(json(&answer)["host"], "other.example", "{version:?}");
    }
}

#[tokio::test]
async fn each_version_is_spoken_with_and_without_tls() {
    let authority = Authority::new();
    let plain = serve(None, echo).await;
    let both = serve(Some(authority.server("shop.localhost", &["h2", "http/1.1"])), echo).await;
    let old = serve(Some(authority.server("shop.localhost", &["http/1.1"])), echo).await;
    for (scheme, address, version, spoken) in [
        ("http", plain, HttpVersion::Negotiated, Spoken::Http1),
        ("http", plain, HttpVersion::Http1, Spoken::Http1),
        ("http", plain, HttpVersion::Http2, Spoken::Http2),
        ("https", both, HttpVersion::Negotiated, Spoken::Http2),
        ("https", both, HttpVersion::Http1, Spoken::Http1),
        ("https", both, HttpVersion::Http2, Spoken::Http2),
        ("https", old, HttpVersion::Negotiated, Spoken::Http1),
    ] {
        let client = Names::one("shop.localhost", 8443, address).with_ca(&authority.pem).client();
        let mut asked = request(&format!("{scheme}://shop.localhost:8443/"));
        asked.protocol = Protocol::Http(version);
        let answer = client.send(&asked).await.unwrap();
        assert_eq!(answer.spoken, spoken, "{scheme} {version:?}");
        assert_eq!(json(&answer)["version"], if spoken == Spoken::Http1 { "HTTP/1.1" } else { "HTTP/2.0" });
        assert_eq!(answer.link.tls.is_some(), scheme == "https");
    }
}

#[tokio::test]
async fn a_listener_without_the_asked_version_is_named_as_the_cause() {
    let authority = Authority::new();
    let old = serve(Some(authority.server("shop.localhost", &["http/1.1"])), echo).await;
    let client = Names::one("shop.localhost", 443, old).with_ca(&authority.pem).client();
    let mut asked = request("https://shop.localhost/");
    asked.protocol = Protocol::Http(HttpVersion::Http2);
    let failure = client.send(&asked).await.unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Tls, "{failure}");
    assert!(failure.hint().unwrap().contains("does not offer this protocol"), "{failure:?}");
}

#[tokio::test]
async fn untrusted_and_misnamed_certificates_fail_with_the_next_step() {
    let authority = Authority::new();
    let address = serve(Some(authority.server("shop.localhost", &[])), echo).await;
    let names = Names::one("shop.localhost", 443, address);

    let failure = names.clone().client().send(&request("https://shop.localhost/")).await.unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Certificate);
    assert!(failure.hint().unwrap().contains("--print-ca"), "{failure:?}");

    let trusting = names.clone().with_ca(&authority.pem);
    let failure = trusting.clone().client().send(&request(&format!("https://{address}/"))).await.unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Certificate);
    assert!(failure.hint().unwrap().contains("--sni"), "{failure:?}");

    let named = Options { sni: Some("shop.localhost".into()), ..Options::default() };
    let answer = trusting.client_with(named).send(&request(&format!("https://{address}/"))).await.unwrap();
    assert_eq!(answer.link.tls.unwrap().certificates.len(), 1);

    let careless = Options { trust: Trust::Anyone, ..Options::default() };
    names.client_with(careless).send(&request("https://shop.localhost/")).await.unwrap();
}

#[tokio::test]
async fn the_ca_given_replaces_what_is_known() {
    let (known, given) = (Authority::new(), Authority::new());
    let address = serve(Some(known.server("shop.localhost", &[])), echo).await;
    let names = Names::one("shop.localhost", 443, address).with_ca(&known.pem);
    let strict = Options { trust: Trust::Pem(given.pem.clone()), ..Options::default() };
    let failure = names.client_with(strict).send(&request("https://shop.localhost/")).await.unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Certificate);
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_it_is_asked_for() {
    let authority = Authority::new();
    let config = authority.server_for_known_clients("shop.localhost", &["http/1.1"]);
    let address = serve(Some(config), echo).await;
    let names = Names::one("shop.localhost", 443, address).with_ca(&authority.pem);

    let failure = names.clone().client().send(&request("https://shop.localhost/")).await.unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Certificate, "{failure}");
    assert!(failure.hint().unwrap().contains("--cert"), "{failure:?}");

    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = authority.leaf("me").save(&directory);
    let known = Options { identity: Some(ClientIdentity { certificate, key }), ..Options::default() };
    names.client_with(known).send(&request("https://shop.localhost/")).await.unwrap();
}

#[tokio::test]
async fn speaking_the_wrong_protocol_is_recognised() {
    let authority = Authority::new();
    let plain = serve(None, echo).await;
    let failure = Names::default().client().send(&request(&format!("https://{plain}/"))).await.unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Tls, "{failure}");
    assert!(failure.hint().unwrap().contains("http://"), "{failure:?}");

    let tls = serve(Some(authority.server("shop.localhost", &[])), echo).await;
    let failure = Names::default().client().send(&request(&format!("http://{tls}/"))).await.unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Protocol, "{failure}");
    assert!(failure.hint().unwrap().contains("https://"), "{failure:?}");
}

#[tokio::test]
async fn a_refused_connection_asks_whether_dev_runs() {
    let (_held, address) = nobody();
    let failure = Names::default().client().send(&request(&format!("http://{address}/"))).await.unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Refused);
    assert!(failure.hint().unwrap().contains(&format!("nothing listens on {address}: is `portolan dev` running?")));
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_a_timeout() {
    let (silent, address) = listener().await;
    let options = Options { timeout: Duration::from_millis(50), ..Options::default() };
    let failure =
        Names::default().client_with(options).send(&request(&format!("http://{address}/"))).await.unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Timeout);
    drop(silent);
}

/// Only Linux has all of 127.0.0.0/8 without further ado.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_namespace_connects_from_its_own_address() {
    let address = serve(None, echo).await;
    let names = Names { sources: [("checkout".to_owned(), [127, 9, 0, 1].into())].into(), ..Names::default() };
    let options = Options { from: Some("checkout".into()), ..Options::default() };
    let answer = names.clone().client_with(options).send(&request(&format!("http://{address}/"))).await.unwrap();
    assert_eq!(json(&answer)["client"], "127.9.0.1");

    let unknown = Options { from: Some("nowhere".into()), ..Options::default() };
    let error = portolan_client::Client::new(std::sync::Arc::new(names), unknown).err().unwrap();
    assert!(error.to_string().contains("namespace `nowhere`"));
}

#[tokio::test]
async fn connect_to_leaves_the_url_as_the_server_sees_it() {
    let address = serve(None, echo).await;
    let instead = format!("tcp://{address}").parse().unwrap();
    let options = Options { connect_to: Some(instead), ..Options::default() };
    let answer = Names::default().client_with(options).send(&request("http://no.such.name.invalid/")).await.unwrap();
    assert_eq!(answer.code, Code::Http(http::StatusCode::OK));
    assert_eq!(json(&answer)["host"], "no.such.name.invalid");
}
