//! TLS, with certificates of the local CA.

use super::*;
use crate::ca::{Ca, Issued, Usage};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsConnector, client::TlsStream};

struct Pki {
    roots: Arc<RootCertStore>,
    ca_pem: String,
    server: Issued,
    client: Issued,
    _state: tempfile::TempDir,
}

impl Pki {
    fn new() -> Self {
        let state = tempfile::tempdir().unwrap();
        let ca = Ca::open(state.path()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.certificate_pem().as_bytes()).unwrap()).unwrap();
        let issue = |names: &[&str], usage| ca.issue(&names.iter().map(|n| n.to_string()).collect::<Vec<_>>(), usage);
        Self {
            roots: Arc::new(roots),
            ca_pem: ca.certificate_pem().to_owned(),
            server: issue(&["echo.test"], Usage::Server).unwrap(),
            client: issue(&["spiffe://cluster.local/ns/a/sa/b", "gateway", "127.0.0.1"], Usage::Client).unwrap(),
            _state: state,
        }
    }

    fn server(&self) -> Arc<ServerConfig> {
        server_config(&self.server, Some(&self.ca_pem)).unwrap()
    }

    fn client(&self, has_certificate: bool, alpn: &[&str]) -> TlsConnector {
        let config = ClientConfig::builder().with_root_certificates(Arc::clone(&self.roots));
        let (chain, key) = pair(&self.client);
        let mut config = if has_certificate {
            config.with_client_auth_cert(chain, key).unwrap()
        } else {
            config.with_no_client_auth()
        };
        config.alpn_protocols = alpn.iter().map(|alpn| alpn.as_bytes().to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }
}

fn pair(issued: &Issued) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = CertificateDer::pem_slice_iter(issued.certificate_pem.as_bytes());
    (chain.map(Result::unwrap).collect(), PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).unwrap())
}

async fn tls(connector: TlsConnector, address: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
    connector.connect(ServerName::try_from("echo.test").unwrap(), connect(address).await).await
}

fn start_tls(pki: &Pki, protocol: EchoProtocol) -> (EchoPod, SocketAddr) {
    let pod = EchoPod::start(EchoSpec { tls: Some(pki.server()), ..spec(protocol) }).unwrap();
    let address = pod.bound()[&PortKey::tcp(PORT)];
    (pod, address)
}

#[tokio::test]
async fn the_answer_tells_server_name_protocol_and_client_certificate() {
    let pki = Pki::new();
    for protocol in [EchoProtocol::Auto, EchoProtocol::Http, EchoProtocol::Tls] {
        let (_pod, address) = start_tls(&pki, protocol);
        let mut h2 = Client::h2(tls(pki.client(true, &["h2"]), address).await.unwrap()).await;
        let answer = json(h2.get("/").await.unwrap()).await;
        assert_eq!(answer.protocol, "HTTP/2.0");
        let info = answer.tls.unwrap();
        assert_eq!((info.sni.as_deref(), info.alpn.as_deref()), (Some("echo.test"), Some("h2")));
        assert_eq!(info.version.as_deref(), Some("TLSv1_3"));
        let certificate = info.client_certificate.unwrap();
        assert_eq!(certificate.subject, "CN=spiffe://cluster.local/ns/a/sa/b");
        let names = ["IP:127.0.0.1", "DNS:gateway", "URI:spiffe://cluster.local/ns/a/sa/b"];
        assert_eq!(certificate.names, names);

        let mut h1 = Client::h1(tls(pki.client(true, &["http/1.1"]), address).await.unwrap()).await;
        let answer = json(h1.get("/").await.unwrap()).await;
        assert_eq!((answer.protocol.as_str(), answer.tls.unwrap().alpn.as_deref()), ("HTTP/1.1", Some("http/1.1")));

        // The same port without TLS.
        let mut plain = Client::h1(connect(address).await).await;
        assert_eq!(json(plain.get("/").await.unwrap()).await.tls, None);
    }
}

#[tokio::test]
async fn a_client_without_the_certificate_that_is_demanded_is_refused() {
    let pki = Pki::new();
    let (_pod, address) = start_tls(&pki, EchoProtocol::Http);
    let mut stream = tls(pki.client(false, &[]), address).await.unwrap();
    // In TLS 1.3 the client learns of it with the first bytes that it reads.
    let error = stream.read(&mut [0]).await.unwrap_err();
    assert!(error.to_string().contains("CertificateRequired"), "{error}");
}

#[tokio::test]
async fn what_is_no_http_comes_back_through_tls() {
    let pki = Pki::new();
    let (_pod, address) = start_tls(&pki, EchoProtocol::Tls);
    let mut stream = tls(pki.client(true, &[]), address).await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    let mut back = [0; 5];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"hello");
}

#[tokio::test]
async fn a_certificate_is_replaced_without_a_restart() {
    let pki = Pki::new();
    let (pod, address) = start(EchoProtocol::Auto);
    assert!(tls(pki.client(true, &[]), address).await.is_err());
    pod.set_tls(Some(pki.server()));
    assert!(tls(pki.client(true, &[]), address).await.is_ok());
}

#[test]
fn a_certificate_that_is_none_is_an_error() {
    let pki = Pki::new();
    let rubbish = Issued { certificate_pem: "rubbish".into(), key_pem: "rubbish".into() };
    assert!(matches!(server_config(&rubbish, None), Err(TlsError::Pem(_))));
    let mixed = Issued { key_pem: pki.client.key_pem.clone(), ..pki.server.clone() };
    assert!(matches!(server_config(&mixed, None), Err(TlsError::Certificate(_))));
    assert!(matches!(server_config(&pki.server, Some("no CA")), Err(TlsError::Verifier(_))));
}
