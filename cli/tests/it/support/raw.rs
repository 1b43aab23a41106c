//! Bytes as a hostile client sends them, and what comes back until the peer closes. Understands no HTTP.

use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Time without a byte after which a peer that keeps the connection open counts as silent.
const SILENCE: Duration = Duration::from_secs(25);

/// What a peer did in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It closed in good order.
    Closed,
    /// It reset the connection.
    Reset,
    /// It kept the connection open and said nothing more.
    Silent,
}

/// Sends bytes and reads until the peer has ended.
pub async fn exchange(address: SocketAddr, bytes: &[u8]) -> (String, End) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A peer that has answered and closed already takes no more.
    let _ = stream.write_all(bytes).await;
    rest(&mut stream).await
}

/// Reads until the peer has ended.
pub async fn rest(stream: &mut TcpStream) -> (String, End) {
    let mut read = Vec::new();
    let end = loop {
        match timeout(SILENCE, stream.read_buf(&mut read)).await {
            Ok(Ok(0)) => break End::Closed,
            Ok(Ok(_)) => {}
            Ok(Err(_)) => break End::Reset,
            Err(_) => break End::Silent,
        }
    };
    (String::from_utf8_lossy(&read).into_owned(), end)
}

/// Reads until `wanted` has come.
pub async fn until(stream: &mut TcpStream, wanted: &str) -> String {
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(wanted) {
        let more = timeout(SILENCE, stream.read_buf(&mut read)).await;
        let length = more.unwrap_or_else(|_| panic!("silent after {:?}", String::from_utf8_lossy(&read))).unwrap();
        assert!(length > 0, "closed after {:?}", String::from_utf8_lossy(&read));
    }
    String::from_utf8_lossy(&read).into_owned()
}

/// The statuses of the answers in a conversation, in order.
pub fn statuses(text: &str) -> Vec<u16> {
    let lines = text.split("HTTP/1.1 ").skip(1);
    lines.filter_map(|rest| rest.get(..3)?.parse().ok()).collect()
}
