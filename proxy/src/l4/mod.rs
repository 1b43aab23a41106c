//! Bytes and datagrams between a client and an endpoint, as they are: TCP and TLS tunnels, upgraded connections, UDP
//! sessions. It picks no endpoint and looks into nothing.

mod buffers;
mod copy;
mod count;
mod session;
mod udp;

pub use copy::{Counters, End, Side, copy_both};
pub use count::Count;
pub use udp::{PickEndpoint, UdpControl, UdpCounters, UdpPort, UdpSettings};
