//! Nobody is reset when a listening socket is retired; with a plain close, somebody is.

use super::super::{Bound, Listeners};
use portolan_translate::snapshot::Transport;
use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::io::AsyncWriteExt;

/// How long a client waits for a connection; a dropped SYN is sent again after a second.
const CONNECT_TIME: Duration = Duration::from_millis(300);

fn bind(listeners: &Listeners) -> Bound {
    listeners.bind("127.0.0.1:0".parse().unwrap(), Transport::Tcp).unwrap()
}

/// What a client saw: `None` without a connection, else whether it was served.
fn ask(address: SocketAddr) -> Option<io::Result<()>> {
    let mut stream = TcpStream::connect_timeout(&address, CONNECT_TIME).ok()?;
    let mut byte = [0];
    Some(stream.write_all(b"?").and_then(|()| stream.read_exact(&mut byte)))
}

async fn answer(mut stream: tokio::net::TcpStream) {
    // The client's byte is left unread until it closes, so shut down in order rather than reset.
    let _ = stream.write_all(b"!").await;
    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
}

/// Clients that connect and ask again and again until they get no connection. Each gives the failures after a
/// connection.
fn crowd(address: SocketAddr, connected: &Arc<AtomicUsize>) -> Vec<JoinHandle<Vec<io::Error>>> {
    let client = |connected: Arc<AtomicUsize>| {
        move || {
            let mut failures = Vec::new();
            while let Some(result) = ask(address) {
                connected.fetch_add(1, Ordering::Relaxed);
                failures.extend(result.err());
            }
            failures
        }
    };
    (0..8).map(|_| thread::spawn(client(connected.clone()))).collect()
}

async fn join(clients: Vec<JoinHandle<Vec<io::Error>>>) -> Vec<io::Error> {
    let joined = tokio::task::spawn_blocking(|| clients.into_iter().map(|client| client.join().unwrap()));
    joined.await.unwrap().flatten().collect()
}

/// Connections that nobody accepts.
fn queue(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    (0..count).map(|_| TcpStream::connect(address).unwrap()).collect()
}

#[tokio::test]
async fn a_plain_close_resets_what_is_queued() {
    let bound = bind(&Listeners::new());
    let listener = bound.listener().unwrap();
    let clients = queue(bound.address(), 20);
    drop((listener, bound));
    let resets = clients.into_iter().filter(|mut client| {
        let kind = client.read(&mut [0]).map_err(|error| error.kind());
        kind == Err(io::ErrorKind::ConnectionReset)
    });
    assert_eq!(resets.count(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retiring_serves_what_is_queued_then_refuses() {
    let listeners = Listeners::new();
    let bound = bind(&listeners);
    let (address, workers) = (bound.address(), [bound.listener().unwrap(), bound.listener().unwrap()]);
    let clients = queue(address, 100);
    listeners.retire(bound).unwrap();
    let served = AtomicUsize::new(0);
    for worker in workers {
        let count = |stream, _| {
            served.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(answer(stream));
        };
        worker.retire(count).await;
    }
    assert_eq!(served.load(Ordering::Relaxed), 100);
    for mut client in clients {
        client.read_exact(&mut [0]).unwrap();
    }
    let refused = tokio::task::spawn_blocking(move || TcpStream::connect(address).unwrap_err().kind());
    assert_eq!(refused.await.unwrap(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_connection_is_reset_when_retired_under_load() {
    let listeners = Listeners::new();
    let bound = bind(&listeners);
    let listener = bound.listener().unwrap();
    let (connected, served) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let clients = crowd(bound.address(), &connected);
    let serve = |stream, _| {
        served.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(answer(stream));
    };
    while connected.load(Ordering::Relaxed) < 1000 {
        let (stream, peer) = listener.accept().await.unwrap();
        serve(stream, peer);
    }
    // Let a queue grow, then retire.
    tokio::time::sleep(Duration::from_millis(20)).await;
    listeners.retire(bound).unwrap();
    let retired = tokio::time::timeout(Duration::from_secs(30), listener.retire(serve)).await;
    retired.expect("no connection begins any more, however many try");
    let failures = join(clients).await;
    assert!(failures.is_empty(), "{} of {}: {:?}", failures.len(), connected.load(Ordering::Relaxed), failures.first());
    // More may have been served: a client may give up in the very moment in which it is connected.
    assert!(served.load(Ordering::Relaxed) >= connected.load(Ordering::Relaxed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_comes_back_while_it_is_retired_loses_nobody() {
    let listeners = Listeners::new();
    let bound = bind(&listeners);
    let address = bound.address();
    let old = bound.listener().unwrap();
    let clients = queue(address, 10);
    listeners.retire(bound).unwrap();
    let new = listeners.bind(address, Transport::Tcp).unwrap().listener().unwrap();
    old.retire(|_, _| panic!("the new listener serves the queue")).await;
    let late = tokio::task::spawn_blocking(move || ask(address).unwrap().is_ok());
    for _ in 0..11 {
        tokio::spawn(answer(new.accept().await.unwrap().0));
    }
    assert!(late.await.unwrap());
    for mut client in clients {
        client.read_exact(&mut [0]).unwrap();
    }
}
