//! HTTP/3 against a server of quinn and h3.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use portolan_client::{FailureKind, HttpVersion, Load, Options, Protocol, Request, Spoken, run_load};
use quinn::crypto::rustls::QuicServerConfig;

use crate::certificates::Authority;
use crate::servers::{Names, request};

/// Answers each request with its own body, after who it is.
fn serve(authority: &Authority) -> SocketAddr {
    let tls = authority.server("shop.localhost", &["h3"]);
    let config = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
    let endpoint = quinn::Endpoint::server(config, SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = endpoint.local_addr().unwrap();
    tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            tokio::spawn(async move {
                let Ok(connection) = incoming.await else { return };
                let connection = h3_quinn::Connection::new(connection);
                let mut connection = h3::server::Connection::new(connection).await.unwrap();
                while let Ok(Some(resolver)) = connection.accept().await {
                    let (request, stream) = resolver.resolve_request().await.unwrap();
                    tokio::spawn(answer(request, stream));
                }
            });
        }
    });
    address
}

async fn answer(request: http::Request<()>, mut stream: h3::server::RequestStream<h3_quinn::BidiStream<Bytes>, Bytes>) {
    let mut body = Vec::new();
    while let Some(mut piece) = stream.recv_data().await.unwrap() {
        body.extend_from_slice(&piece.copy_to_bytes(piece.remaining()));
    }
    let authority = request.uri().authority().unwrap().to_string();
    let text = serde_json::json!({ "pod": "quic-0", "authority": authority, "length": body.len() }).to_string();
    stream.send_response(http::Response::new(())).await.unwrap();
    stream.send_data(text.into()).await.unwrap();
    stream.finish().await.unwrap();
}

fn asked() -> Request {
    let mut asked = request("https://shop.localhost/");
    asked.protocol = Protocol::Http(HttpVersion::Http3);
    asked
}

#[tokio::test]
async fn a_body_goes_up_and_an_answer_comes_down() {
    let authority = Authority::new();
    let client = Names::one("shop.localhost", 443, serve(&authority)).with_ca(&authority.pem).client();
    let mut asked = asked();
    asked.messages = vec![Bytes::from(vec![b'x'; 300_000])];
    let answer = client.send(&asked).await.unwrap();
    let seen: serde_json::Value = serde_json::from_slice(&answer.messages[0]).unwrap();
    assert_eq!((&seen["authority"], &seen["length"]), (&"shop.localhost".into(), &300_000.into()));
    assert_eq!(answer.spoken, Spoken::Http3);
    let tls = answer.link.tls.unwrap();
    assert_eq!((tls.alpn.as_str(), tls.certificates.len()), ("h3", 1));
}

#[tokio::test]
async fn requests_of_a_slot_share_one_connection() {
    let authority = Authority::new();
    let client = Names::one("shop.localhost", 443, serve(&authority)).with_ca(&authority.pem).client();
    let tally = run_load(&client, &Load::new(asked(), 60, 3)).await;
    assert_eq!((tally.failed(), tally.status(200), tally.pod("quic-0")), (0, 60, 60), "{tally:?}");
    assert_eq!(tally.connections, 3);
}

#[tokio::test]
async fn an_untrusted_certificate_says_so_over_quic_too() {
    let authority = Authority::new();
    let names = Names::one("shop.localhost", 443, serve(&authority));
    let failure = names.clone().client().send(&asked()).await.unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Certificate, "{failure}");
    assert!(failure.hint().unwrap().contains("--print-ca"), "{failure:?}");

    let misnamed = Options { sni: Some("other.localhost".into()), ..Options::default() };
    let failure = names.with_ca(&authority.pem).client_with(misnamed).send(&asked()).await.unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Certificate, "{failure}");
    assert!(failure.hint().unwrap().contains("--sni"), "{failure:?}");
}

#[tokio::test]
async fn a_port_without_quic_is_named_as_the_cause() {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let options = Options { timeout: Duration::from_millis(50), ..Options::default() };
    let names = Names::one("shop.localhost", 443, silent.local_addr().unwrap());
    let failure = names.client_with(options).send(&asked()).await.unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Timeout);
    assert!(failure.hint().unwrap().contains("HTTPS listener"), "{failure:?}");
}
