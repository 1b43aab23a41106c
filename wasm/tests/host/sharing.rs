//! What instances share over workers, and what comes to the root context.

use std::sync::Arc;
use std::time::Duration;

use crate::assert_matches;
use crate::support::{Worker, limits, probe, request, run, settle};
use portolan_wasm::{EndOfStream, MetricValue, Outcome, Shared};

async fn ask(worker: &Worker, action: &str) {
    let outcome = worker.open().request_headers(&mut request(action), EndOfStream::Yes).await;
    assert_matches!(outcome, Outcome::Continue);
}

#[test]
fn shared_data_is_swapped_across_workers() {
    run(async {
        let shared = Arc::new(Shared::default());
        let first = Worker::sharing(probe(), "", limits(), shared.clone());
        let second = Worker::sharing(probe(), "", limits(), shared);
        ask(&first, "shared").await;
        ask(&second, "shared").await;
        assert!(first.logged("shared 1 Ok(()) stale Err(CasMismatch)"), "{:?}", first.logs());
        assert!(second.logged("shared 2 Ok(()) stale Err(CasMismatch)"), "{:?}", second.logs());
    });
}

#[test]
fn metrics_add_up_across_workers() {
    run(async {
        let shared = Arc::new(Shared::default());
        for _ in 0..2 {
            let worker = Worker::sharing(probe(), "", limits(), shared.clone());
            ask(&worker, "metrics").await;
            assert!(
                worker.logs().iter().any(|line| line.starts_with("metrics true") && line.contains("Err(BadArgument)"))
            );
        }
        let metrics = shared.metrics();
        let value = |name: &str| metrics.iter().find(|metric| metric.name == name).map(|metric| metric.value.clone());
        assert_eq!(value("probe_total"), Some(MetricValue::Counter(10)));
        assert_eq!(value("probe_level"), Some(MetricValue::Gauge(4)));
        let buckets = vec![(127, 2)];
        assert_eq!(value("probe_sizes"), Some(MetricValue::Histogram { buckets, sum: 200, count: 2 }));
    });
}

#[test]
fn ticks_come_until_the_filter_ends_them() {
    run(async {
        let worker = Worker::new(probe(), "tick", limits());
        worker.plugin.start().unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        let ticks = worker.logs().iter().filter(|line| line.starts_with("tick")).count();
        assert_eq!(ticks, 2, "{:?}", worker.logs());
    });
}

#[test]
fn ticks_end_with_the_plugin() {
    run(async {
        let worker = Worker::new(probe(), "tick", limits());
        worker.plugin.start().unwrap();
        let host = worker.host.clone();
        drop(worker);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!host.logs.borrow().iter().any(|line| line.starts_with("tick")));
        assert_eq!(std::rc::Rc::strong_count(&host), 1, "no task holds on to what has ended");
    });
}

#[test]
fn an_item_in_a_queue_reaches_a_worker_that_registered_it() {
    run(async {
        let shared = Arc::new(Shared::default());
        let consumer = Worker::sharing(probe(), "queue", limits(), shared.clone());
        consumer.plugin.start().unwrap();
        settle().await;
        let producer = Worker::sharing(probe(), "", limits(), shared);
        ask(&producer, "enqueue").await;
        settle().await;
        assert!(producer.logged("enqueue Ok(())"), "{:?}", producer.logs());
        assert!(consumer.logged("queue job"), "{:?}", consumer.logs());
    });
}

#[test]
fn two_thousand_reloads_leave_nothing_behind() {
    run(async {
        let shared = Arc::new(Shared::default());
        for _ in 0..2000 {
            let worker = Worker::sharing(probe(), "queue", limits(), shared.clone());
            ask(&worker, "").await;
            let host = worker.host.clone();
            drop(worker);
            settle().await;
            assert_eq!(std::rc::Rc::strong_count(&host), 1);
        }
    });
}
