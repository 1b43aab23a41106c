//! Whole handshakes between the configurations for clients and for backends.

use super::{
    testing::{Authority, self_signed},
    *,
};
use portolan_translate::{
    objects::ObjectName,
    snapshot::{
        BackendProtocol, BackendTls, ClientAuth, ClientAuthMode, Hostname, HttpListener, ListenerId, Roots,
        SubjectAltName, TlsAction, TlsListener, TlsPort, TlsServer,
    },
};
use rustls::{ClientConfig, HandshakeKind, sign::CertifiedKey};
use rustls_pki_types::ServerName;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsAcceptor, TlsConnector};

fn server(certificates: &[&Arc<CertifiedKey>], client_auth: Option<ClientAuth>) -> ServerTls {
    let certificates = certificates.iter().map(|key| (*key).clone()).collect();
    ServerTls::new(&TlsServer { certificates, client_auth, http: true }).unwrap()
}

fn client_auth(root: &Authority, mode: ClientAuthMode) -> Option<ClientAuth> {
    Some(ClientAuth { roots: vec![root.root.clone()].into(), mode })
}

fn backend(root: &CertificateDer<'static>) -> BackendTls {
    BackendTls {
        server_name: ServerName::try_from("a.site.example").unwrap(),
        roots: Roots::Certificates(vec![root.clone()].into()),
        subject_alt_names: Box::default(),
        client_certificate: None,
    }
}

/// What one connection came to: the server's view, the kind of handshake, or the client's error.
async fn connect(server: &ServerTls, client: Arc<ClientConfig>) -> Result<(TlsInfo, HandshakeKind), io::Error> {
    let (near, far) = tokio::io::duplex(64 << 10);
    let name = ServerName::try_from("a.site.example").unwrap();
    let serve = async {
        let mut stream = TlsAcceptor::from(server.config.clone()).accept(far).await?;
        stream.write_all(b"x").await?;
        stream.shutdown().await?;
        Ok::<_, io::Error>((server.info(stream.get_ref().1), stream.get_ref().1.handshake_kind().unwrap()))
    };
    let ask = async {
        let mut stream = TlsConnector::from(client).connect(name, near).await?;
        // With TLS 1.3 the server judges the client's certificate after the client is done.
        stream.read_to_end(&mut Vec::new()).await
    };
    let (served, asked) = tokio::join!(serve, ask);
    asked?;
    served
}

async fn outcome(server: &ServerTls, client: &BackendTls) -> String {
    let config = client_config(client, BackendProtocol::Http2).unwrap();
    match connect(server, config).await {
        Ok(_) => "accepted".to_owned(),
        Err(error) => describe_failure(&error),
    }
}

#[tokio::test]
async fn a_handshake_tells_name_protocol_version_and_cipher() {
    let root = Authority::new("root");
    let server = server(&[&root.issue(&["a.site.example"])], None);
    let config = client_config(&backend(&root.root), BackendProtocol::Http2).unwrap();
    let (info, _) = connect(&server, config).await.unwrap();
    assert_eq!(info.server_name.as_deref(), Some("a.site.example"));
    assert_eq!((info.alpn, info.version), (Alpn::Http2, NegotiatedVersion::Tls13));
    assert!(info.cipher.unwrap().starts_with("TLS13_AES"), "{info:?}");
    assert_eq!(info.client_certificate, None);
}

#[tokio::test]
async fn a_backend_must_have_the_name_and_the_error_says_what_it_has() {
    let root = Authority::new("root");
    let policy = backend(&root.root);
    assert_eq!(outcome(&server(&[&root.issue(&["*.site.example"])], None), &policy).await, "accepted");
    assert_eq!(
        outcome(&server(&[&root.issue(&["b.example", "10.0.0.1"])], None), &policy).await,
        "bad certificate of backend: expected name a.site.example, certificate has b.example, 10.0.0.1"
    );
}

#[tokio::test]
async fn subject_alt_names_replace_the_name_and_never_the_chain() {
    let root = Authority::new("root");
    let mut policy = backend(&root.root);
    policy.subject_alt_names =
        [SubjectAltName::Dns("B.example".into()), SubjectAltName::Uri("spiffe://x/ns/y".into())].into();
    for names in [&["b.example"][..], &["*.example"], &["spiffe://x/ns/y"]] {
        assert_eq!(outcome(&server(&[&root.issue(names)], None), &policy).await, "accepted", "{names:?}");
    }
    let refused = "bad certificate of backend: expected one of the names B.example, spiffe://x/ns/y, certificate has ";
    for names in [&["a.site.example"][..], &["spiffe://x/ns/yy"], &["a.b.example"]] {
        let result = outcome(&server(&[&root.issue(names)], None), &policy).await;
        assert_eq!(result, format!("{refused}{}", names[0]));
    }
    let stranger = Authority::new("stranger").issue(&["b.example"]);
    let result = outcome(&server(&[&stranger], None), &policy).await;
    assert!(result.ends_with("signed by none of the certificate authorities of the policy"), "{result}");
}

#[tokio::test]
async fn a_wildcard_in_the_policy_is_met_by_itself_and_by_what_it_covers() {
    let root = Authority::new("root");
    let mut policy = backend(&root.root);
    policy.subject_alt_names = [SubjectAltName::Dns("*.example".into())].into();
    for names in ["*.example", "z.example"] {
        assert_eq!(outcome(&server(&[&root.issue(&[names])], None), &policy).await, "accepted", "{names}");
    }
    assert_ne!(outcome(&server(&[&root.issue(&["example"])], None), &policy).await, "accepted");
}

#[tokio::test]
async fn a_self_signed_certificate_may_be_its_own_authority_while_it_is_valid() {
    let own = self_signed(&["a.site.example"]);
    assert_eq!(outcome(&server(&[&own], None), &backend(&own.cert[0])).await, "accepted");
    let root = Authority::new("root");
    let key = rcgen::KeyPair::generate().unwrap();
    let expired =
        root.issue_with(&["a.site.example"], key, |params| params.not_after = rcgen::date_time_ymd(2001, 1, 1));
    for policy in [backend(&expired.cert[0]), backend(&root.root)] {
        let result = outcome(&server(&[&expired], None), &policy).await;
        assert!(result.contains("expired"), "{result}");
    }
}

#[tokio::test]
async fn a_required_client_certificate_must_be_there_and_valid() {
    let (root, clients, stranger) = (Authority::new("root"), Authority::new("clients"), Authority::new("stranger"));
    let server = server(&[&root.issue(&["a.site.example"])], client_auth(&clients, ClientAuthMode::Required));
    let mut policy = backend(&root.root);
    assert!(outcome(&server, &policy).await.contains("CertificateRequired"));
    policy.client_certificate = Some(stranger.issue(&["c.example"]));
    assert!(outcome(&server, &policy).await.contains("backend ended the TLS handshake"));
    policy.client_certificate = Some(clients.issue(&["c.example", "spiffe://x/ns/y"]));
    let (info, _) = connect(&server, client_config(&policy, BackendProtocol::Http).unwrap()).await.unwrap();
    let seen = info.client_certificate.unwrap();
    assert!(seen.verified && seen.subject.contains("c.example"), "{seen:?}");
    assert_eq!(seen.names.to_string(), "c.example, spiffe://x/ns/y");
    assert_ne!(seen.fingerprint, [0; 32]);
    assert_eq!(info.alpn, Alpn::Http1);
}

#[tokio::test]
async fn insecure_fallback_serves_everybody_and_tells_valid_from_invalid() {
    let (root, clients, stranger) = (Authority::new("root"), Authority::new("clients"), Authority::new("stranger"));
    let server = server(&[&root.issue(&["a.site.example"])], client_auth(&clients, ClientAuthMode::InsecureFallback));
    let mut policy = backend(&root.root);
    let cases = [
        (None, None),
        (Some(stranger.issue(&["c.example"])), Some(false)),
        (Some(clients.issue(&["c.example"])), Some(true)),
    ];
    for (certificate, verified) in cases {
        policy.client_certificate = certificate;
        let config = client_config(&policy, BackendProtocol::Http).unwrap();
        for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let (info, kind) = connect(&server, config.clone()).await.unwrap();
            assert_eq!(kind, expected);
            assert_eq!(info.client_certificate.map(|seen| seen.verified), verified, "{kind:?}");
        }
    }
}

#[tokio::test]
async fn a_session_is_never_resumed_under_the_settings_of_another_server() {
    let (root, clients) = (Authority::new("root"), Authority::new("clients"));
    let certificate = root.issue(&["a.site.example"]);
    let (open, also_open) = (server(&[&certificate], None), server(&[&certificate], None));
    let strict = server(&[&certificate], client_auth(&clients, ClientAuthMode::Required));
    let config = client_config(&backend(&root.root), BackendProtocol::Http).unwrap();
    assert_eq!(connect(&open, config.clone()).await.unwrap().1, HandshakeKind::Full);
    assert!(connect(&strict, config.clone()).await.is_err());
    assert_eq!(connect(&also_open, config.clone()).await.unwrap().1, HandshakeKind::Full);
    assert_eq!(connect(&also_open, config).await.unwrap().1, HandshakeKind::Resumed);
}

#[test]
fn settings_that_cannot_work_are_refused_with_a_reason() {
    let nothing = TlsServer { certificates: Box::default(), client_auth: None, http: true };
    assert!(matches!(ServerTls::new(&nothing), Err(TlsConfigError::NoCertificate)));
    let garbage = BackendTls {
        roots: Roots::Certificates(vec![CertificateDer::from(vec![1, 2, 3])].into()),
        ..backend(&Authority::new("root").root)
    };
    let error = client_config(&garbage, BackendProtocol::Tcp).unwrap_err().to_string();
    assert!(error.starts_with("certificate authority number 1 cannot be read"), "{error}");
}

fn quic_port(listeners: &[(&str, Option<Arc<CertifiedKey>>)]) -> TlsPort {
    let mut port = TlsPort::default();
    for (name, certificate) in listeners {
        let owner = ObjectName { namespace: "default".into(), name: "gateway".into() };
        let id = ListenerId { owner, kind: "Gateway", name: (*name).into() };
        let hostname = Some(Hostname::new(name));
        let action = match certificate {
            None => TlsAction::Passthrough(Arc::default()),
            Some(key) => {
                let server = TlsServer { certificates: [key.clone()].into(), client_auth: None, http: true };
                let http = HttpListener { id: id.clone(), hostname: hostname.clone(), routes: Arc::default() };
                TlsAction::Http(Arc::new(server), Arc::new(http))
            }
        };
        let listener = Arc::new(TlsListener { id, hostname: hostname.clone(), action });
        port.listeners.insert(hostname.as_ref(), listener);
    }
    port
}

#[tokio::test]
async fn quic_serves_the_https_listeners_of_a_port_and_no_other_name() {
    let root = Authority::new("root");
    let port = quic_port(&[
        ("a.site.example", Some(root.issue(&["a.site.example"]))),
        ("b.site.example", Some(root.issue(&["b.site.example"]))),
        ("through.site.example", None),
    ]);
    let tls = quic_port_config(&port).unwrap().unwrap();
    let local = "127.0.0.1:0".parse().unwrap();
    let server = quinn::Endpoint::server(quinn::ServerConfig::with_crypto(tls.config.clone()), local).unwrap();
    let mut config = ClientConfig::clone(&client_config(&backend(&root.root), BackendProtocol::Tcp).unwrap());
    config.alpn_protocols = vec![b"h3".to_vec()];
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(config).unwrap();
    let mut client = quinn::Endpoint::client(local).unwrap();
    client.set_default_client_config(quinn::ClientConfig::new(Arc::new(crypto)));
    for (name, served) in [("a.site.example", true), ("b.site.example", true), ("through.site.example", false)] {
        let connecting = client.connect(server.local_addr().unwrap(), name).unwrap();
        let accept = async { server.accept().await.unwrap().await };
        let (asked, answered) = tokio::join!(connecting, accept);
        assert_eq!((asked.is_ok(), answered.is_ok()), (served, served), "{name}");
        if let Ok(connection) = answered {
            let info = tls.info(&connection);
            assert_eq!((info.server_name.as_deref(), info.alpn), (Some(name), Alpn::Http3));
        }
    }
}

#[test]
fn a_port_without_https_or_with_several_judgements_of_clients_has_no_quic() {
    assert!(quic_port_config(&quic_port(&[("a.example", None)])).unwrap().is_none());
    let root = Authority::new("root");
    let mut port = quic_port(&[("a.example", Some(root.issue(&["a.example"])))]);
    let mut listener = TlsListener::clone(port.listeners.get("a.example").unwrap());
    if let TlsAction::Http(server, _) = &mut listener.action {
        let client_auth = client_auth(&root, ClientAuthMode::Required);
        *server = Arc::new(TlsServer { certificates: server.certificates.clone(), client_auth, http: true });
    }
    port.listeners.insert(Some(&Hostname::new("b.example")), Arc::new(listener));
    assert!(quic_port_config(&port).unwrap().is_none());
}
