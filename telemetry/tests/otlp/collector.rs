//! A collector in this process that keeps what it receives.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::trace::v1::Span as ProtoSpan;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

use crate::PATIENCE;

#[derive(Clone, Default)]
pub struct Collector(pub Arc<Mutex<Received>>);

#[derive(Default)]
pub struct Received {
    pub metrics: Vec<ExportMetricsServiceRequest>,
    pub spans: Vec<ExportTraceServiceRequest>,
    pub tenants: Vec<String>,
    /// Exports of spans to refuse before one is taken.
    pub refuse: usize,
}

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.0.lock().unwrap().metrics.push(request.into_inner());
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut received = self.0.lock().unwrap();
        if received.refuse > 0 {
            received.refuse -= 1;
            return Err(Status::unavailable("not yet"));
        }
        let tenant = request.metadata().get("tenant").map(|value| value.to_str().unwrap().to_owned());
        received.tenants.extend(tenant);
        received.spans.push(request.into_inner());
        Ok(Response::new(Default::default()))
    }
}

impl Collector {
    /// Serves in clear on a free port until the process ends.
    pub fn start() -> (Self, SocketAddr) {
        Self::serve(Server::builder())
    }

    /// The same over TLS.
    pub fn start_tls(identity: Identity) -> (Self, SocketAddr) {
        Self::serve(Server::builder().tls_config(ServerTlsConfig::new().identity(identity)).unwrap())
    }

    fn serve(mut server: Server) -> (Self, SocketAddr) {
        let collector = Collector::default();
        let served = collector.clone();
        let (address, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
                address.send(incoming.local_addr().unwrap()).unwrap();
                server
                    .add_service(MetricsServiceServer::new(served.clone()))
                    .add_service(TraceServiceServer::new(served))
                    .serve_with_incoming(incoming)
                    .await
                    .unwrap();
            });
        });
        let address = told.recv_timeout(PATIENCE).unwrap();
        (collector, address)
    }

    pub fn spans(&self) -> Vec<ProtoSpan> {
        let received = self.0.lock().unwrap();
        let scopes = received.spans.iter().flat_map(|request| &request.resource_spans[0].scope_spans);
        scopes.flat_map(|scope| scope.spans.clone()).collect()
    }

    pub fn metric(&self, name: &str) -> Metric {
        let received = self.0.lock().unwrap();
        let scopes = received.metrics.iter().flat_map(|request| &request.resource_metrics[0].scope_metrics);
        scopes.flat_map(|scope| &scope.metrics).rfind(|metric| metric.name == name).unwrap().clone()
    }
}
