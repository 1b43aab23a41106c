//! How many connections to an address are in their handshake, as the kernel tells over netlink (`sock_diag(7)`). It
//! needs no privilege and changes nothing.

use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};
use std::{
    io,
    net::{IpAddr, SocketAddr},
};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const REQUEST_DUMP: u16 = 0x301;
const MESSAGE_ERROR: u16 = 2;
const MESSAGE_DONE: u16 = 3;
const HEADER_BYTES: usize = 16;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;
/// `TCP_SYN_RECV` and `TCP_NEW_SYN_RECV`.
const HANDSHAKE_STATES: u32 = 1 << 3 | 1 << 12;
/// Any socket, whatever its cookie.
const NO_COOKIE: [u8; 8] = [0xff; 8];
/// Where an answer has the local address, behind its header: family, state, timer, retransmissions, two ports.
const LOCAL_ADDRESS_OFFSET: usize = HEADER_BYTES + 8;
/// What the kernel puts into one datagram at most.
const ANSWER_BYTES: usize = 32 << 10;

/// Counts the handshakes.
///
/// # Errors
/// If the kernel has no `sock_diag`, or does not answer at once.
pub(super) fn count(address: SocketAddr) -> io::Result<usize> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(netlink::SOCK_DIAG))?;
    net::send(&socket, &request(address), SendFlags::empty())?;
    let mut answer = vec![0; ANSWER_BYTES];
    let mut count = 0;
    loop {
        let (length, _) = net::recv(&socket, &mut answer[..], RecvFlags::empty())?;
        for message in Messages(&answer[..length.min(ANSWER_BYTES)]) {
            match message.kind {
                MESSAGE_DONE => return Ok(count),
                MESSAGE_ERROR => return Err(io::ErrorKind::Unsupported.into()),
                SOCK_DIAG_BY_FAMILY if is_at(message.bytes, address.ip()) => count += 1,
                _ => {}
            }
        }
    }
}

/// `struct nlmsghdr` and `struct inet_diag_req_v2`.
fn request(address: SocketAddr) -> Vec<u8> {
    let family = if address.is_ipv4() { AF_INET } else { AF_INET6 };
    let mut body = vec![family, IPPROTO_TCP, 0, 0];
    body.extend(HANDSHAKE_STATES.to_ne_bytes());
    body.extend(address.port().to_be_bytes());
    body.extend([0; 2 + 16 + 16 + 4]);
    body.extend(NO_COOKIE);
    let mut message = Vec::with_capacity(HEADER_BYTES + body.len());
    message.extend(((HEADER_BYTES + body.len()) as u32).to_ne_bytes());
    message.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    message.extend(REQUEST_DUMP.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    message
}

fn is_at(message: &[u8], address: IpAddr) -> bool {
    let local = message.get(LOCAL_ADDRESS_OFFSET..LOCAL_ADDRESS_OFFSET + 16).unwrap_or(&[0; 16]);
    match address {
        address if address.is_unspecified() => true,
        IpAddr::V4(address) => local.starts_with(&address.octets()),
        IpAddr::V6(address) => local.starts_with(&address.octets()),
    }
}

struct Message<'a> {
    kind: u16,
    bytes: &'a [u8],
}

/// The messages of one datagram.
struct Messages<'a>(&'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let kind = u16::from_ne_bytes(*rest.first_chunk::<2>()?);
        let length = u32::from_ne_bytes(*length) as usize;
        if length < HEADER_BYTES {
            return None;
        }
        let bytes = self.0.get(..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Message { kind, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_connection_that_is_established_is_no_handshake() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let address = listener.local_addr().unwrap();
            let _client = TcpStream::connect(address).unwrap();
            assert_eq!(count(address).unwrap(), 0);
        }
    }

    #[test]
    fn broken_messages_end_the_walk() {
        assert!(Messages(&[1, 2, 3]).next().is_none());
        assert!(Messages(&[0; 32]).next().is_none());
        assert!(Messages(&[255; 32]).next().is_none());
    }
}
