//! A worker that serves HTTP/3, a backend behind it and a client in front of it, all on one thread.

use super::{
    super::{Handle, spawn},
    backend::BackendServer,
    snapshots::{BACKENDS, snapshot},
};
use crate::{Limits, Options, Shared, tls::provider, worker::Worker};
use bytes::{Buf, Bytes};
use h3::client::{RequestStream, SendRequest};
use http::{HeaderMap, Request, Response};
use portolan_telemetry::{
    metrics::Registry,
    trace::{Sampler, SpanSink},
};
use rustls::{RootCertStore, crypto::aws_lc_rs::sign::any_supported_type, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::{
    future::poll_fn,
    net::{SocketAddr, UdpSocket},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::task::LocalSet;

/// Longer than anything here takes unless it hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub type Stream = RequestStream<h3_quinn::BidiStream<Bytes>, Bytes>;

/// A gateway with two HTTPS listeners, `a.example` and `b.example`, on one port.
pub struct Site {
    pub worker: Rc<Worker>,
    pub address: SocketAddr,
    pub connections: Arc<AtomicUsize>,
    pub backend: Rc<BackendServer>,
    pub handle: Option<Handle>,
    root: CertificateDer<'static>,
}

/// A client's connection.
pub struct Client {
    pub connection: quinn::Connection,
    pub requests: SendRequest<h3_quinn::OpenStreams, Bytes>,
    driver: tokio::task::JoinHandle<h3::error::ConnectionError>,
}

/// Runs a test on a thread such as a worker has.
pub fn run<F: Future<Output = ()>>(test: F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async { tokio::time::timeout(PATIENCE, test).await.expect("the test hangs") });
}

pub fn certificate(names: &[&str]) -> Arc<CertifiedKey> {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    Arc::new(CertifiedKey::new(vec![made.cert.der().clone()], any_supported_type(&key).unwrap()))
}

// === impl Site ===

impl Site {
    pub async fn start(limits: Limits) -> Self {
        let backend = Rc::new(BackendServer::default());
        let upstreams = [backend.clone().listen(BACKENDS[0]).await, backend.clone().listen(BACKENDS[1]).await];
        let certificate = certificate(&["a.example", "b.example"]);
        let root = certificate.cert[0].clone();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let options = Options { limits, trusted_proxies: Vec::new(), sampler: Sampler::ratio(0.0) };
        let shared = Arc::new(Shared::new(options, Registry::default(), None, SpanSink::disabled()));
        shared.publish(Arc::new(snapshot(address, upstreams, &certificate)));
        let worker = Rc::new(Worker::new(shared, 0, 1));
        let connections = Arc::new(AtomicUsize::new(0));
        let handle = spawn(worker.clone(), address, socket, connections.clone()).unwrap();
        // The port is in line with the snapshot once its task has run.
        tokio::task::yield_now().await;
        Self { worker, address, connections, backend, handle: Some(handle), root }
    }

    /// Publishes the same with another certificate; clients trust that one from now on.
    pub fn change_certificate(&mut self) {
        let certificate = certificate(&["a.example", "b.example"]);
        self.root = certificate.cert[0].clone();
        let published = self.worker.view().published.snapshot.clone();
        let upstreams = [0, 1].map(|index: usize| published.endpoints[index].list[0].address);
        self.worker.shared.publish(Arc::new(snapshot(self.address, upstreams, &certificate)));
        self.handle.as_ref().unwrap().follow();
    }

    /// Connects by QUIC alone.
    pub async fn quic(&self, server_name: &str) -> Result<quinn::Connection, quinn::ConnectionError> {
        self.quic_with(server_name, quinn::TransportConfig::default()).await
    }

    /// Connects by QUIC with settings of one's own.
    pub async fn quic_with(
        &self,
        server_name: &str,
        transport: quinn::TransportConfig,
    ) -> Result<quinn::Connection, quinn::ConnectionError> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let mut tls = rustls::ClientConfig::builder_with_provider(provider().clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"h3".to_vec()];
        let tls = quinn::crypto::rustls::QuicClientConfig::try_from(tls).unwrap();
        let mut config = quinn::ClientConfig::new(Arc::new(tls));
        config.transport_config(Arc::new(transport));
        let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        endpoint.connect_with(config, self.address, server_name).unwrap().await
    }

    pub async fn client(&self, server_name: &str) -> Client {
        let connection = self.quic(server_name).await.unwrap();
        let (mut driver, requests) = h3::client::new(h3_quinn::Connection::new(connection.clone())).await.unwrap();
        let driver = tokio::task::spawn_local(async move { poll_fn(|cx| driver.poll_close(cx)).await });
        Client { connection, requests, driver }
    }

    /// How often a limit was reached.
    pub fn limit(&self, name: &str) -> f64 {
        let text = self.worker.shared.metrics.prometheus();
        let line = text.lines().find(|line| line.contains("limit_reached") && line.contains(&format!("\"{name}\"")));
        line.map_or(0.0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }

    /// Waits until no connection is open and the port has ended.
    pub async fn ended(&self) {
        while self.connections.load(Relaxed) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

// === impl Client ===

impl Client {
    pub async fn send(&mut self, request: Request<()>) -> Stream {
        self.requests.send_request(request).await.unwrap()
    }

    /// Asks without a body.
    pub async fn get(&mut self, url: &str) -> (Response<()>, Bytes) {
        let mut stream = self.send(Request::get(url).body(()).unwrap()).await;
        stream.finish().await.unwrap();
        let response = stream.recv_response().await.unwrap();
        let (body, _) = receive(&mut stream).await.unwrap();
        (response, body)
    }

    /// Waits for the end of the connection.
    pub async fn end(self) -> h3::error::ConnectionError {
        drop(self.requests);
        self.driver.await.unwrap()
    }
}

/// Receives a body to its end.
pub async fn receive(stream: &mut Stream) -> Result<(Bytes, Option<HeaderMap>), h3::error::StreamError> {
    let mut body = Vec::new();
    while let Some(mut data) = stream.recv_data().await? {
        body.extend_from_slice(&data.copy_to_bytes(data.remaining()));
    }
    Ok((body.into(), stream.recv_trailers().await?))
}

/// The code with which the server closed a connection.
pub fn close_code(error: &quinn::ConnectionError) -> Option<u64> {
    match error {
        quinn::ConnectionError::ApplicationClosed(close) => Some(close.error_code.into_inner()),
        _ => None,
    }
}
