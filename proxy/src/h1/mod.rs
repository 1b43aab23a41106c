//! HTTP/1.1 as bytes (RFC 9112): heads, bodies and buffers, the same for the side of clients and that of backends; and
//! the server for clients. What a request is about is decided elsewhere.

mod fields;
mod framing;
mod inbox;
mod outbox;
pub mod server;

pub use fields::{Facts, read_fields, recycle};
pub use framing::{Framing, Malformed};
pub use inbox::{BodyFault, Inbox, Part};
pub use outbox::{CHUNKED, Outbox, write_field, write_length};
