//! How ports and connections begin and end.

use super::support::{Site, close_code, receive, run};
use crate::Limits;
use h3::error::Code;
use http::{Request, StatusCode};
use std::{sync::atomic::Ordering::Relaxed, time::Duration};

#[test]
fn a_drain_answers_what_is_under_way_and_takes_nothing_new() {
    run(async {
        let mut site = Site::start(Limits::default()).await;
        let mut client = site.client("a.example").await;
        let idle = site.client("a.example").await;
        let mut stream = client.send(Request::get("https://a.example/slow").body(()).unwrap()).await;
        stream.finish().await.unwrap();
        site.backend.arrived.notified().await;

        site.worker.shared.drain();
        let retiring = site.handle.take().unwrap().retire();
        assert!(idle.end().await.is_h3_no_error());
        let refused = site.quic("a.example").await.unwrap_err();
        assert!(matches!(refused, quinn::ConnectionError::ConnectionClosed(_)), "{refused:?}");
        assert!(!retiring.is_ended());

        site.backend.go_on.notify_one();
        assert_eq!(stream.recv_response().await.unwrap().status(), StatusCode::OK);
        assert_eq!(receive(&mut stream).await.unwrap().0, "at last");
        assert!(client.end().await.is_h3_no_error());
        site.ended().await;
        assert!(retiring.is_ended() && retiring.resume().is_none());
    });
}

#[test]
fn a_request_that_crosses_the_goaway_is_answered() {
    run(async {
        let mut site = Site::start(Limits::default()).await;
        let mut client = site.client("a.example").await;
        assert_eq!(client.get("https://a.example/old").await.0.status(), StatusCode::FOUND);
        // Sent before the client can know that the port ends.
        let mut stream = client.send(Request::get("https://a.example/old").body(()).unwrap()).await;
        stream.finish().await.unwrap();
        let _retiring = site.handle.take().unwrap().retire();
        assert_eq!(stream.recv_response().await.unwrap().status(), StatusCode::FOUND);
        assert!(client.end().await.is_h3_no_error());
        site.ended().await;
    });
}

#[test]
fn a_port_that_comes_back_before_it_has_ended_goes_on() {
    run(async {
        let mut site = Site::start(Limits::default()).await;
        let mut client = site.client("a.example").await;
        let mut stream = client.send(Request::get("https://a.example/slow").body(()).unwrap()).await;
        stream.finish().await.unwrap();
        site.backend.arrived.notified().await;
        let retiring = site.handle.take().unwrap().retire();
        tokio::time::sleep(Duration::from_millis(20)).await;
        let handle = retiring.resume().expect("a request is under way");
        let mut other = site.client("a.example").await;
        assert_eq!(other.get("https://a.example/old").await.0.status(), StatusCode::FOUND);
        site.backend.go_on.notify_one();
        assert_eq!(stream.recv_response().await.unwrap().status(), StatusCode::OK);
        drop(handle);
    });
}

#[test]
fn a_port_that_leaves_the_snapshot_ends_its_connections() {
    run(async {
        let site = Site::start(Limits::default()).await;
        let client = site.client("a.example").await;
        site.worker.shared.publish(Default::default());
        site.handle.as_ref().unwrap().follow();
        assert!(client.end().await.is_h3_no_error());
        // The port itself stays, for when it comes back.
        while site.connections.load(Relaxed) != 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
}

#[test]
fn a_new_certificate_is_presented_to_the_next_connection() {
    run(async {
        let mut site = Site::start(Limits::default()).await;
        let mut before = site.client("a.example").await;
        site.change_certificate();
        tokio::task::yield_now().await;
        let mut after = site.client("a.example").await;
        for client in [&mut before, &mut after] {
            assert_eq!(client.get("https://a.example/old").await.0.status(), StatusCode::FOUND);
        }
    });
}

#[test]
fn connections_over_their_limit_are_refused() {
    run(async {
        let site = Site::start(Limits { connections_max: 2, ..Limits::default() }).await;
        let first = site.client("a.example").await;
        let _second = site.client("a.example").await;
        let refused = site.quic("a.example").await.unwrap_err();
        assert!(matches!(refused, quinn::ConnectionError::ConnectionClosed(_)), "{refused:?}");
        assert_eq!(site.limit("connections_max"), 1.0);
        first.connection.close(0u32.into(), b"");
        while site.connections.load(Relaxed) > 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        site.client("a.example").await;
    });
}

#[test]
fn a_connection_that_asks_nothing_is_ended_when_its_worker_says_so() {
    run(async {
        let site = Site::start(Limits::default()).await;
        let client = site.client("a.example").await;
        site.worker.watchlist.end(true);
        let error = client.connection.closed().await;
        assert_eq!(close_code(&error), Some(Code::H3_NO_ERROR.value()), "{error:?}");
    });
}
