//! Our own HTTP/1.1 client: one connection, one request at a time, request and response bodies streaming both at once.
//! Smaller than a general client, and so the hot path's largest saving.

mod head;
mod transfer;

pub use transfer::{Connection, Transfer, TransferError, Tunnel};
