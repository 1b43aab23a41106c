//! The exporter's thread: metrics at an interval, spans as they come. Each has one export under way at most.
//! Metrics are cumulative, so one that failed is made good by the next; spans are tried again a few times, then dropped.

use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::resource::v1::Resource;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};

use super::config::OtlpConfig;
use super::{encode, metrics, spans};
use crate::attributes::Labels;
use crate::metrics::{Counter, Registry, WorkerId, names};
use crate::trace::{Span, SpanReceiver, SpanSink};

/// Spans a request.
const SPANS_MAX: usize = 512;
/// Tries of an export of spans.
const TRIES_MAX: u32 = 4;
/// Memory outside the workers' own that the exporter counts in.
const WORKER: WorkerId = WorkerId(u16::MAX);

/// Why nothing is exported.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// The endpoint cannot be used.
    #[error("cannot export to {endpoint}: {source}")]
    Endpoint {
        /// The collector.
        endpoint: String,
        /// Why.
        source: tonic::transport::Error,
    },
    /// The thread cannot be started.
    #[error("cannot start the exporter's thread: {0}")]
    Thread(std::io::Error),
}

/// The exporter, for whoever started it.
#[derive(Debug)]
pub struct Otlp {
    sink: SpanSink,
    stop: watch::Sender<bool>,
    done: mpsc::Receiver<()>,
    thread: JoinHandle<()>,
}

type Client = InterceptedService<Channel, Headers>;

/// Adds the configured headers to each export.
#[derive(Clone)]
struct Headers(std::sync::Arc<[super::Header]>);

/// What both kinds of export need.
struct Exporter {
    config: OtlpConfig,
    resource: Resource,
    service: Client,
    stop: watch::Receiver<bool>,
}

/// Whether the collector took the last export; its changes are logged, each once.
struct Reach {
    signal: &'static str,
    failures: Counter,
    up: Option<bool>,
}

// === impl Otlp ===

impl Otlp {
    /// Starts the thread. Does not wait for the collector, which may come and go.
    ///
    /// # Errors
    /// If the endpoint's TLS cannot be set up or the thread not be started.
    pub fn start(config: OtlpConfig, registry: Registry) -> Result<Self, OtlpError> {
        let worker = registry.worker(WORKER);
        let (sink, queue) =
            SpanSink::open(config.span_queue_max, worker.handle(&names::SPANS_DROPPED, &Labels::none()));
        let endpoint = endpoint(&config)
            .map_err(|source| OtlpError::Endpoint { endpoint: config.endpoint.to_string(), source })?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(OtlpError::Thread)?;
        let (stop, stopped) = watch::channel(false);
        let (finished, done) = mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("portolan-otlp".into())
            .spawn(move || {
                runtime.block_on(run(config, endpoint, registry, queue, stopped));
                // Whoever waits may have given up.
                let _ = finished.try_send(());
            })
            .map_err(OtlpError::Thread)?;
        Ok(Otlp { sink, stop, done, thread })
    }

    /// Where workers hand their spans over.
    #[must_use]
    pub fn spans(&self) -> SpanSink {
        self.sink.clone()
    }

    /// Exports what is queued and the last metrics, for as long as `within` allows, and ends the thread. A collector
    /// that does not answer leaves the thread to end with the process.
    pub fn finish(self, within: Duration) {
        self.stop.send_replace(true);
        if self.done.recv_timeout(within).is_err() {
            tracing::warn!("the last metrics and spans were not exported in time");
            return;
        }
        if self.thread.join().is_err() {
            tracing::error!("the exporter's thread panicked");
        }
    }
}

fn endpoint(config: &OtlpConfig) -> Result<Endpoint, tonic::transport::Error> {
    let endpoint = Endpoint::from(config.endpoint.clone()).timeout(config.timeout).connect_timeout(config.timeout);
    if config.endpoint.scheme_str() != Some("https") {
        return Ok(endpoint);
    }
    let tls = match &config.roots_pem {
        Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
        None => ClientTlsConfig::new().trust_anchors(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    };
    endpoint.tls_config(tls)
}

async fn run(
    config: OtlpConfig,
    endpoint: Endpoint,
    registry: Registry,
    queue: SpanReceiver,
    stop: watch::Receiver<bool>,
) {
    let headers = Headers(config.headers.clone().into());
    let exporter = Exporter {
        resource: encode::resource(&config.resource),
        service: InterceptedService::new(endpoint.connect_lazy(), headers),
        config,
        stop,
    };
    tokio::join!(exporter.export_metrics(&registry), exporter.export_spans(&registry, queue));
}

// === impl Exporter ===

impl Exporter {
    async fn export_metrics(&self, registry: &Registry) {
        let mut client = MetricsServiceClient::new(self.service.clone());
        let mut reach = Reach::new("metrics", registry);
        let mut ticks = interval(self.config.metric_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick is immediate, and there is nothing to say yet.
        ticks.tick().await;
        loop {
            let stopping = tokio::select! {
                _ = ticks.tick() => false,
                () = self.stopped() => true,
            };
            for request in metrics::requests(&registry.snapshot(), &self.resource) {
                let result = self.bounded(client.export(request)).await;
                let rejected = result.as_ref().ok().and_then(|response| response.partial_success.as_ref());
                if let Some(rejected) = rejected.filter(|partial| partial.rejected_data_points > 0) {
                    tracing::debug!(points = rejected.rejected_data_points, why = rejected.error_message, "rejected");
                }
                reach.note(result.map(drop));
                if reach.up == Some(false) {
                    break;
                }
            }
            if stopping {
                return;
            }
        }
    }

    async fn export_spans(&self, registry: &Registry, mut queue: SpanReceiver) {
        let mut client = TraceServiceClient::new(self.service.clone());
        let mut reach = Reach::new("spans", registry);
        let dropped = registry.worker(WORKER).handle(&names::SPANS_DROPPED, &Labels::none());
        loop {
            let mut batch = Vec::with_capacity(SPANS_MAX);
            tokio::select! {
                received = queue.recv_many(&mut batch, SPANS_MAX) => if received == 0 { return },
                () = self.stopped() => {}
            }
            // While this sleeps no worker has to wake this thread: spans gather.
            tokio::select! {
                () = sleep(self.config.span_delay) => {}
                () = self.stopped() => {}
            }
            let stopping = self.is_stopping();
            loop {
                while batch.len() < SPANS_MAX
                    && let Ok(span) = queue.try_recv()
                {
                    batch.push(span);
                }
                let full = batch.len() == SPANS_MAX;
                self.export_batch(&mut client, &mut reach, &dropped, std::mem::take(&mut batch)).await;
                if !full {
                    break;
                }
            }
            if stopping {
                return;
            }
        }
    }

    async fn export_batch(
        &self,
        client: &mut TraceServiceClient<Client>,
        reach: &mut Reach,
        dropped: &Counter,
        batch: Vec<Span>,
    ) {
        let spans = batch.len() as u64;
        if spans == 0 {
            return;
        }
        let request = spans::request(batch, &self.resource);
        let mut backoff = self.config.backoff;
        for tries_left in (0..TRIES_MAX).rev() {
            let result = self.bounded(client.export(request.clone())).await;
            let rejected = result.as_ref().ok().and_then(|response| response.partial_success.as_ref());
            dropped.add(rejected.map_or(0, |partial| u64::try_from(partial.rejected_spans).unwrap_or(0)));
            let retry = result.as_ref().is_err_and(is_transient) && tries_left > 0 && !self.is_stopping();
            let failed = result.is_err();
            reach.note(result.map(drop));
            if !retry {
                dropped.add(if failed { spans } else { 0 });
                return;
            }
            tokio::select! {
                () = sleep(backoff) => {}
                () = self.stopped() => {}
            }
            backoff = backoff.saturating_mul(2);
        }
    }

    async fn bounded<T>(&self, export: impl Future<Output = Result<tonic::Response<T>, Status>>) -> Result<T, Status> {
        match timeout(self.config.timeout, export).await {
            Ok(result) => result.map(tonic::Response::into_inner),
            Err(_) => Err(Status::deadline_exceeded("the collector did not answer in time")),
        }
    }

    /// Whether the exporter is to stop, because it was told to or because whoever could tell it is gone.
    fn is_stopping(&self) -> bool {
        *self.stop.borrow() || self.stop.has_changed().is_err()
    }

    /// Ends when the exporter is to stop.
    async fn stopped(&self) {
        let _ = self.stop.clone().wait_for(|stop| *stop).await;
    }
}

/// The codes after which OTLP lets a client try again
/// (<https://opentelemetry.io/docs/specs/otlp/#failures>).
fn is_transient(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss
    )
}

// === impl Headers ===

impl tonic::service::Interceptor for Headers {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        for header in self.0.iter() {
            request.metadata_mut().insert(header.key.clone(), header.value.clone());
        }
        Ok(request)
    }
}

// === impl Reach ===

impl Reach {
    fn new(signal: &'static str, registry: &Registry) -> Self {
        let labels = Labels::new([("signal", signal.into())]);
        Reach { signal, failures: registry.worker(WORKER).handle(&names::OTLP_EXPORT_FAILURES, &labels), up: None }
    }

    fn note(&mut self, result: Result<(), Status>) {
        match result {
            Ok(()) => {
                if self.up == Some(false) {
                    tracing::info!(signal = self.signal, "the OTLP collector takes exports again");
                }
                self.up = Some(true);
            }
            Err(status) => {
                self.failures.add(1);
                if self.up != Some(false) {
                    tracing::warn!(
                        signal = self.signal,
                        code = ?status.code(),
                        why = status.message(),
                        "the OTLP collector does not take exports; what it misses is dropped and counted"
                    );
                }
                self.up = Some(false);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    use super::*;

    /// Counts log events.
    struct Events(Arc<AtomicUsize>);

    impl Subscriber for Events {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, _: &Event<'_>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn a_collector_that_stays_away_is_logged_once_and_again_when_it_is_back() {
        let logged = Arc::new(AtomicUsize::new(0));
        let mut reach = Reach::new("spans", &Registry::default());
        let mut after = |result: Result<(), Status>| {
            reach.note(result);
            logged.load(Ordering::Relaxed)
        };
        tracing::subscriber::with_default(Events(logged.clone()), || {
            assert_eq!(after(Ok(())), 0, "that all is well is not worth a line");
            assert_eq!(after(Err(Status::unavailable("away"))), 1);
            assert_eq!(after(Err(Status::unavailable("away"))), 1);
            assert_eq!(after(Err(Status::deadline_exceeded("late"))), 1);
            assert_eq!(after(Ok(())), 2);
            assert_eq!(after(Ok(())), 2);
            assert_eq!(after(Err(Status::unavailable("away"))), 3);
        });
    }
}
