//! Tunnels between in-memory streams (with paused time) and, for resets, real sockets.

use super::*;
use crate::l4::buffers;
use std::{future::Future, rc::Rc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, LocalSet},
};

const IDLE: Duration = Duration::from_secs(100);

/// A tunnel under way: its client, its upstream, its bytes, its end.
struct Tunnel {
    client: DuplexStream,
    upstream: DuplexStream,
    counters: Rc<Counters>,
    end: JoinHandle<End>,
}

fn tunnel(first: &[u8], capacity: usize) -> Tunnel {
    let ((client, near), (far, upstream)) = (duplex(capacity), duplex(capacity));
    let (counters, first) = (Rc::new(Counters::default()), BytesMut::from(first));
    let seen = counters.clone();
    let end = tokio::task::spawn_local(async move { copy_both(near, far, first, IDLE, &seen).await });
    Tunnel { client, upstream, counters, end }
}

async fn locally<T>(work: impl Future<Output = T>) -> T {
    LocalSet::new().run_until(work).await
}

#[tokio::test(start_paused = true)]
async fn first_bytes_come_first_and_half_closes_are_passed_on() {
    locally(async {
        let mut tunnel = tunnel(b"hello ", 64);
        tunnel.client.write_all(b"world").await.unwrap();
        tunnel.client.shutdown().await.unwrap();
        let mut seen = String::new();
        tunnel.upstream.read_to_string(&mut seen).await.unwrap();
        assert_eq!(seen, "hello world");
        assert_eq!(tunnel.counters.to_upstream.get(), 11, "counted while it runs");
        tunnel.upstream.write_all(b"bye").await.unwrap();
        drop(tunnel.upstream);
        seen.clear();
        tunnel.client.read_to_string(&mut seen).await.unwrap();
        assert_eq!((seen.as_str(), tunnel.counters.to_client.get()), ("bye", 3));
        assert!(matches!(tunnel.end.await.unwrap(), End::Finished { first: Side::Client }));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn large_transfers_both_ways_through_small_pipes_arrive_whole() {
    locally(async {
        let Tunnel { client, upstream, counters, end } = tunnel(b"", 1000);
        let data: Vec<u8> = (0..1_000_000u32).map(|number| (number % 251) as u8).collect();
        let exchange = |stream: DuplexStream| {
            let data = data.clone();
            async move {
                let (mut reader, mut writer) = tokio::io::split(stream);
                let write = async {
                    writer.write_all(&data).await.unwrap();
                    writer.shutdown().await.unwrap();
                };
                let mut received = Vec::new();
                let ((), read) = tokio::join!(write, reader.read_to_end(&mut received));
                read.unwrap();
                received == data
            }
        };
        assert_eq!(tokio::join!(exchange(client), exchange(upstream)), (true, true));
        assert_eq!((counters.to_upstream.get(), counters.to_client.get()), (1_000_000, 1_000_000));
        assert!(matches!(end.await.unwrap(), End::Finished { .. }));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_without_traffic_ends_after_the_idle_time_and_not_before() {
    locally(async {
        let mut tunnel = tunnel(b"", 64);
        let begin = Instant::now();
        for _ in 0..5 {
            tokio::time::sleep(IDLE - Duration::from_secs(1)).await;
            tunnel.client.write_all(b"x").await.unwrap();
            tunnel.upstream.read_u8().await.unwrap();
        }
        let active = begin.elapsed();
        assert!(matches!((&mut tunnel.end).await.unwrap(), End::Idle));
        let idle = begin.elapsed() - active;
        assert!(idle >= IDLE && idle <= IDLE + IDLE / IDLE_CHECKS, "{idle:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_does_not_read_holds_the_writer_back_and_is_idle_too() {
    locally(async {
        let mut tunnel = tunnel(b"", 1 << 10);
        let sent = async {
            let mut sent = 0;
            while tokio::time::timeout(Duration::from_secs(1), tunnel.client.write_all(&[0; 512])).await.is_ok() {
                sent += 512;
            }
            sent
        };
        assert!(sent.await <= BUFFER_BYTES + (3 << 10));
        assert!(matches!(tunnel.end.await.unwrap(), End::Idle));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_that_waits_holds_no_buffer() {
    locally(async {
        let mut tunnels: Vec<_> = (0..5).map(|_| tunnel(b"", 64)).collect();
        for tunnel in &mut tunnels {
            tunnel.client.write_all(b"x").await.unwrap();
            tunnel.upstream.read_u8().await.unwrap();
        }
        assert!((1..=2).contains(&buffers::free()), "{} buffers for ten directions", buffers::free());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn dropping_a_tunnel_closes_both_ends() {
    locally(async {
        let mut tunnel = tunnel(b"", 64);
        tokio::task::yield_now().await;
        tunnel.end.abort();
        assert_eq!(tunnel.client.read(&mut [0]).await.unwrap(), 0);
        assert_eq!(tunnel.upstream.read(&mut [0]).await.unwrap(), 0);
    })
    .await;
}

async fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (near.unwrap(), far.unwrap().0)
}

#[tokio::test]
async fn the_side_that_resets_is_named() {
    for side in [Side::Client, Side::Upstream] {
        let ((client, near), (far, upstream)) = (connected().await, connected().await);
        let (resets, _stays) = if side == Side::Client { (client, upstream) } else { (upstream, client) };
        socket2::SockRef::from(&resets).set_linger(Some(Duration::ZERO)).unwrap();
        drop(resets);
        let end = copy_both(near, far, BytesMut::new(), IDLE, &Counters::default()).await;
        let End::Failed { side: failed, source } = end else { panic!("{end:?}") };
        assert_eq!((failed, source.kind()), (side, io::ErrorKind::ConnectionReset));
    }
}
