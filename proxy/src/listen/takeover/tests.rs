//! Two sides of a takeover in one process: what is kept is served by the new, the rest by the old, and nobody is reset.

use super::*;
use crate::listen::{Bound, Listener, Listeners};
use std::{
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};
use tokio::io::AsyncWriteExt;

fn bind(listeners: &Listeners, transport: Transport) -> Bound {
    listeners.bind("127.0.0.1:0".parse().unwrap(), transport).unwrap()
}

/// Answers every connection with a name.
async fn serve(listener: &Listener, name: u8) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let _ = stream.write_all(&[name]).await;
            let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
        });
    }
}

/// Connects again and again until told to stop; gives the answers by name.
fn crowd(address: SocketAddr, stop: &Arc<AtomicBool>, answered: &Arc<AtomicUsize>) -> Vec<thread::JoinHandle<Vec<u8>>> {
    let client = |stop: Arc<AtomicBool>, answered: Arc<AtomicUsize>| {
        move || {
            let mut names = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let mut stream = TcpStream::connect(address).expect("somebody always listens");
                let mut name = [0];
                stream.write_all(b"?").and_then(|()| stream.read_exact(&mut name)).expect("nobody is reset");
                names.extend(name);
                answered.fetch_add(1, Ordering::Relaxed);
            }
            names
        }
    };
    (0..4).map(|_| thread::spawn(client(stop.clone(), answered.clone()))).collect()
}

async fn until(answered: &AtomicUsize, count: usize) {
    let goal = answered.load(Ordering::Relaxed) + count;
    while answered.load(Ordering::Relaxed) < goal {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_takeover_under_load_loses_no_connection() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("takeover");
    let (old, new) = (Arc::new(Listeners::new()), Listeners::new());
    let bound = bind(&old, Transport::Tcp);
    let (address, worker) = (bound.address(), bound.listener().unwrap());
    let server = TakeoverServer::bind(&path).unwrap();
    let handed = tokio::spawn({
        let old = old.clone();
        async move {
            tokio::select! {
                () = server.handed_over(&old) => {}
                () = serve(&worker, b'o') => {}
            }
            old.retire(bound).unwrap();
            worker.retire(|_, _| panic!("the queue belongs to the new process")).await;
        }
    });
    let (stop, answered) = (Arc::default(), Arc::default());
    let clients = crowd(address, &stop, &answered);
    until(&answered, 200).await;

    let mut takeover = Takeover::begin(&path).await.unwrap();
    new.adopt(takeover.sockets());
    let kept = new.bind(address, Transport::Tcp).unwrap();
    let listener = kept.listener().unwrap();
    let serving = tokio::spawn(async move { serve(&listener, b'n').await });
    takeover.ready(&new).await.unwrap();
    handed.await.unwrap();
    until(&answered, 200).await;
    let _successor = TakeoverServer::bind(&path).expect("the path is free");
    stop.store(true, Ordering::Relaxed);
    let names = clients.into_iter().flat_map(|client| client.join().unwrap()).collect::<Vec<_>>();
    assert!(names.contains(&b'o') && names.contains(&b'n'));
    serving.abort();
}

#[tokio::test]
async fn sockets_of_every_kind_arrive_and_what_is_not_kept_stays_with_the_old() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("takeover");
    let (old, new) = (Arc::new(Listeners::new()), Listeners::new());
    let tcp: Vec<_> = (0..100).map(|_| bind(&old, Transport::Tcp)).collect();
    let udp = bind(&old, Transport::Udp);
    let server = TakeoverServer::bind(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let old_side = old.clone();
    let handed = tokio::spawn(async move { server.handed_over(&old_side).await });

    let mut takeover = Takeover::begin(&path).await.unwrap();
    new.adopt(takeover.sockets());
    let kept: Vec<_> = tcp[..40].iter().map(|bound| new.bind(bound.address(), Transport::Tcp).unwrap()).collect();
    let kept_udp = new.bind(udp.address(), Transport::Udp).unwrap();
    takeover.ready(&new).await.unwrap();
    handed.await.unwrap();
    let error = new.bind(tcp[40].address(), Transport::Tcp).unwrap_err();
    assert!(error.to_string().starts_with("address in use"), "left to the old process: {error}");
    let still_open: Vec<_> = old.open_sockets().iter().map(Bound::address).collect();
    assert_eq!(still_open.len(), 60);
    assert!(kept.iter().all(|bound| !still_open.contains(&bound.address())));
    std::net::UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"x", kept_udp.address()).unwrap();
    let socket = tokio::net::UdpSocket::from_std(kept_udp.udp().unwrap()).unwrap();
    assert_eq!(socket.recv_from(&mut [0; 8]).await.unwrap().0, 1);
}

#[tokio::test]
async fn a_new_process_that_dies_before_it_is_ready_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("takeover");
    let old = Arc::new(Listeners::new());
    let bound = bind(&old, Transport::Tcp);
    let server = TakeoverServer::bind(&path).unwrap();
    let old_side = old.clone();
    let handed = tokio::spawn(async move { server.handed_over(&old_side).await });
    drop(Takeover::begin(&path).await.unwrap());
    let garbage = tokio::net::UnixStream::connect(&path).await.unwrap();
    drop(garbage);
    let mut second = Takeover::begin(&path).await.unwrap();
    let sockets = second.sockets();
    assert_eq!((sockets.len(), old.open_sockets().len()), (1, 1));
    assert_eq!(sockets[0].address(), bound.address());
    assert!(!handed.is_finished());
    second.ready(&Listeners::new()).await.unwrap();
    handed.await.unwrap();
    assert_eq!(old.open_sockets().len(), 1, "the new process bound nothing, so nothing is its own");
}

#[tokio::test]
async fn a_path_that_a_killed_process_left_is_replaced_and_one_in_use_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("takeover");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let server = TakeoverServer::bind(&path).unwrap();
    assert!(matches!(TakeoverServer::bind(&path), Err(TakeoverError::AnotherRuns { .. })));
    drop(server);
    assert!(!path.exists());
    assert!(matches!(Takeover::begin(&path).await, Err(TakeoverError::Path { .. })));
}

#[tokio::test]
async fn another_version_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("takeover");
    let server = TakeoverServer::bind(&path).unwrap();
    let listeners = Listeners::new();
    let ask = async {
        let mut stream = tokio::net::UnixStream::connect(&path).await.unwrap();
        stream.write_all(b"PTLN-ASK\x09").await.unwrap();
        let mut reply = [0; 11];
        tokio::io::AsyncReadExt::read_exact(&mut stream, &mut reply).await.unwrap();
        reply
    };
    tokio::select! {
        () = server.handed_over(&listeners) => panic!("nothing was handed over"),
        reply = ask => assert_eq!(&reply, b"PTLNGIVE\x01\x00\x00"),
    }
}
