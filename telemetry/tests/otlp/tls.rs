//! Collectors behind TLS: the configured roots are trusted, and nobody else's.

use http::StatusCode;
use portolan_telemetry::ResponseFlag;
use portolan_telemetry::metrics::Registry;
use portolan_telemetry::otlp::{Otlp, OtlpConfig};
use tonic::transport::Identity;

use crate::collector::Collector;
use crate::{PATIENCE, config, counted, new_trace, server_span};

/// A collector with a certificate of its own for `localhost`, and the certificate.
fn collector() -> (Collector, OtlpConfig, String) {
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let identity = Identity::from_pem(issued.cert.pem(), issued.signing_key.serialize_pem());
    let (collector, address) = Collector::start_tls(identity);
    let mut config = config(address);
    config.endpoint = format!("https://localhost:{}", address.port()).parse().unwrap();
    (collector, config, issued.cert.pem())
}

fn export_one_span(config: OtlpConfig) -> Registry {
    let registry = Registry::default();
    let otlp = Otlp::start(config, registry.clone()).unwrap();
    otlp.spans().submit(server_span(new_trace(1), &ResponseFlag::OK, StatusCode::OK));
    otlp.finish(PATIENCE);
    registry
}

#[test]
fn a_collector_of_the_configured_roots_gets_the_spans() {
    let (collector, mut config, roots) = collector();
    config.roots_pem = Some(roots);
    let registry = export_one_span(config);
    assert_eq!(collector.spans().len(), 1);
    assert_eq!(counted(&registry, "portolan.trace.spans.dropped"), 0);
}

#[test]
fn a_collector_that_the_bundled_roots_do_not_vouch_for_gets_nothing() {
    let (collector, config, _roots) = collector();
    let registry = export_one_span(config);
    assert!(collector.spans().is_empty());
    assert_eq!(counted(&registry, "portolan.trace.spans.dropped"), 1);
}
