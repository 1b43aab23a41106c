//! What h3 reads and writes: quinn's streams, with every frame checked before h3 sees it, and every byte noted for the
//! worker's watch. Knows no request.
//!
//! h3-quinn cannot be used: its streams panic when they are stopped while somebody reads them, and let frames of any
//! length through.

use super::{
    convert::{closed, read_error, stream_id, varint, write_error},
    frames::{Fault, Frames, Piece},
};
use crate::watch::{Watch, Watched};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use h3::{
    error::Code,
    quic::{self, ConnectionErrorIncoming, StreamErrorIncoming, StreamId, WriteBuf},
};
use quinn::{ReadError, StoppedError, VarInt};
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::Future,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};
use tokio::io::{AsyncWrite, Empty};

/// Bytes that are read of a stream at once.
const READ_BYTES_MAX: usize = 64 << 10;

/// What a connection and its streams share.
pub struct Link {
    connection: quinn::Connection,
    head_bytes_max: usize,
    progress: RefCell<Watched<Empty>>,
    fault: Cell<Option<Fault>>,
    /// Of the request stream that was accepted last.
    stopped: Cell<Option<Stopped>>,
    /// Requests from this stream on are rejected.
    reject_from: Cell<u64>,
}

/// Ends when the client no longer wants what is sent to it (`Some`), or has received all of it.
pub type Stopped = Pin<Box<dyn Future<Output = Result<Option<VarInt>, StoppedError>>>>;

/// A connection.
pub struct Transport {
    link: Rc<Link>,
    incoming_bi: Incoming<(quinn::SendStream, quinn::RecvStream)>,
    incoming_uni: Incoming<quinn::RecvStream>,
    opener: Opener,
}

type Incoming<T> = Pin<Box<dyn Stream<Item = Result<T, quinn::ConnectionError>>>>;

/// Opens our own streams.
pub struct Opener {
    link: Rc<Link>,
    opening: Option<Opening>,
}

type Opening = Pin<Box<dyn Future<Output = Result<quinn::SendStream, quinn::ConnectionError>>>>;

/// A request's stream.
pub struct Both {
    sender: Sender,
    receiver: Receiver,
}

/// The half of a stream that is sent. One on which nothing was sent is reset when it is dropped: its end would look
/// like an answer.
pub struct Sender {
    stream: quinn::SendStream,
    writing: Option<WriteBuf<Bytes>>,
    used: bool,
    link: Rc<Link>,
}

/// The half of a stream that is received.
pub struct Receiver {
    stream: quinn::RecvStream,
    frames: Frames,
    input: Bytes,
    ready: VecDeque<Bytes>,
    link: Rc<Link>,
}

// === impl Link ===

impl Link {
    /// Beside an open connection.
    pub fn new(connection: quinn::Connection, watch: Rc<Watch>, head_bytes_max: usize) -> Rc<Self> {
        Rc::new(Self {
            connection,
            head_bytes_max,
            progress: RefCell::new(Watched::new(tokio::io::empty(), BytesMut::new(), watch)),
            fault: Cell::default(),
            stopped: Cell::default(),
            reject_from: Cell::new(u64::MAX),
        })
    }

    /// The connection.
    pub fn connection(&self) -> &quinn::Connection {
        &self.connection
    }

    /// How the stream that was accepted last is stopped.
    pub fn take_stopped(&self) -> Option<Stopped> {
        self.stopped.take()
    }

    /// Requests from this stream on are rejected: the client knows that it may try them elsewhere.
    pub fn reject_from(&self, stream: u64) {
        self.reject_from.set(stream);
    }

    /// What the client did wrong, if its frames were refused.
    pub fn fault(&self) -> Option<Fault> {
        self.fault.get()
    }

    /// Ends the connection at once.
    pub fn close(&self, code: Code, why: &str) {
        self.connection.close(varint(code.value()), why.as_bytes());
    }

    fn refuse(&self, fault: Fault) -> StreamErrorIncoming {
        self.fault.set(Some(fault));
        self.close(fault.code, fault.what);
        StreamErrorIncoming::ConnectionErrorIncoming { connection_error: closed(quinn::ConnectionError::LocallyClosed) }
    }

    /// Notes that bytes came or went. A watch notes it of the streams that it is put around; QUIC has none for the
    /// connection as a whole, so an empty one stands for it.
    fn progressed(&self) {
        let mut cx = Context::from_waker(Waker::noop());
        let _ = Pin::new(&mut *self.progress.borrow_mut()).poll_write(&mut cx, &[]);
    }
}

// === impl Transport ===

impl Transport {
    /// Reads and writes an open connection.
    pub fn new(link: Rc<Link>) -> Self {
        let bi = stream::unfold(link.connection.clone(), |connection| async move {
            Some((connection.accept_bi().await, connection))
        });
        let uni = stream::unfold(link.connection.clone(), |connection| async move {
            Some((connection.accept_uni().await, connection))
        });
        let opener = Opener { link: link.clone(), opening: None };
        Self { link, incoming_bi: Box::pin(bi), incoming_uni: Box::pin(uni), opener }
    }
}

impl quic::Connection<Bytes> for Transport {
    type RecvStream = Receiver;
    type OpenStreams = Opener;

    fn poll_accept_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Receiver, ConnectionErrorIncoming>> {
        let accepted = ready!(self.incoming_uni.poll_next_unpin(cx));
        let accepted = accepted.unwrap_or(Err(quinn::ConnectionError::LocallyClosed)).map_err(closed);
        Poll::Ready(accepted.map(|stream| Receiver::new(stream, Frames::unidirectional(), &self.link)))
    }

    fn poll_accept_bidi(&mut self, cx: &mut Context<'_>) -> Poll<Result<Both, ConnectionErrorIncoming>> {
        loop {
            let accepted = ready!(self.incoming_bi.poll_next_unpin(cx));
            let accepted = accepted.unwrap_or(Err(quinn::ConnectionError::LocallyClosed)).map_err(closed);
            let (mut sender, mut receiver) = match accepted {
                Ok(stream) => stream,
                Err(error) => return Poll::Ready(Err(error)),
            };
            if u64::from(VarInt::from(sender.id())) >= self.link.reject_from.get() {
                let rejected = varint(Code::H3_REQUEST_REJECTED.value());
                let _ = (sender.reset(rejected), receiver.stop(rejected));
                continue;
            }
            self.link.progressed();
            self.link.stopped.set(Some(Box::pin(sender.stopped())));
            let frames = Frames::request(self.link.head_bytes_max);
            let receiver = Receiver::new(receiver, frames, &self.link);
            return Poll::Ready(Ok(Both { sender: Sender::new(sender, &self.link), receiver }));
        }
    }

    fn opener(&self) -> Opener {
        Opener { link: self.link.clone(), opening: None }
    }
}

impl quic::OpenStreams<Bytes> for Transport {
    type BidiStream = Both;
    type SendStream = Sender;

    fn poll_open_bidi(&mut self, cx: &mut Context<'_>) -> Poll<Result<Both, StreamErrorIncoming>> {
        self.opener.poll_open_bidi(cx)
    }

    fn poll_open_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<Sender, StreamErrorIncoming>> {
        self.opener.poll_open_send(cx)
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.opener.close(code, reason);
    }
}

// === impl Opener ===

impl quic::OpenStreams<Bytes> for Opener {
    type BidiStream = Both;
    type SendStream = Sender;

    fn poll_open_bidi(&mut self, _cx: &mut Context<'_>) -> Poll<Result<Both, StreamErrorIncoming>> {
        Poll::Ready(Err(StreamErrorIncoming::Unknown("a server opens no request (RFC 9114, 6.1)".into())))
    }

    fn poll_open_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<Sender, StreamErrorIncoming>> {
        let opening = self.opening.get_or_insert_with(|| {
            let connection = self.link.connection.clone();
            Box::pin(async move { connection.open_uni().await })
        });
        let opened = ready!(opening.as_mut().poll(cx));
        self.opening = None;
        let lost = |error| StreamErrorIncoming::ConnectionErrorIncoming { connection_error: closed(error) };
        Poll::Ready(opened.map(|stream| Sender::new(stream, &self.link)).map_err(lost))
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.link.connection.close(varint(code.value()), reason);
    }
}

// === impl Both ===

impl quic::BidiStream<Bytes> for Both {
    type SendStream = Sender;
    type RecvStream = Receiver;

    fn split(self) -> (Sender, Receiver) {
        (self.sender, self.receiver)
    }
}

impl quic::SendStream<Bytes> for Both {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.sender.poll_ready(cx)
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        self.sender.send_data(data)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.sender.poll_finish(cx)
    }

    fn reset(&mut self, code: u64) {
        self.sender.reset(code);
    }

    fn send_id(&self) -> StreamId {
        self.sender.send_id()
    }
}

impl quic::RecvStream for Both {
    type Buf = Bytes;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        self.receiver.poll_data(cx)
    }

    fn stop_sending(&mut self, code: u64) {
        self.receiver.stop_sending(code);
    }

    fn recv_id(&self) -> StreamId {
        self.receiver.recv_id()
    }
}

// === impl Sender ===

impl Sender {
    fn new(stream: quinn::SendStream, link: &Rc<Link>) -> Self {
        Self { stream, writing: None, used: false, link: link.clone() }
    }
}

impl quic::SendStream<Bytes> for Sender {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        while let Some(writing) = self.writing.as_mut().filter(|writing| writing.has_remaining()) {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, writing.chunk())) {
                Ok(written) => writing.advance(written),
                Err(error) => return Poll::Ready(Err(write_error(error))),
            }
            self.used = true;
            self.link.progressed();
        }
        self.writing = None;
        Poll::Ready(Ok(()))
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        if self.writing.is_some() {
            // A send that was given up half-way: what follows would be read as the rest of its frame.
            return Err(StreamErrorIncoming::Unknown("the frame before was not sent to its end".into()));
        }
        self.writing = Some(data.into());
        Ok(())
    }

    fn poll_finish(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.used = true;
        Poll::Ready(self.stream.finish().map_err(|error| StreamErrorIncoming::Unknown(error.into())))
    }

    fn reset(&mut self, code: u64) {
        // It may have been reset before, or its connection be gone.
        let _ = self.stream.reset(varint(code));
    }

    fn send_id(&self) -> StreamId {
        stream_id(self.stream.id())
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if !self.used {
            let _ = self.stream.reset(varint(Code::H3_REQUEST_CANCELLED.value()));
        }
    }
}

// === impl Receiver ===

impl Receiver {
    fn new(stream: quinn::RecvStream, frames: Frames, link: &Rc<Link>) -> Self {
        Self { stream, frames, input: Bytes::new(), ready: VecDeque::new(), link: link.clone() }
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, ReadError>> {
        // The future holds nothing that the stream does not, so a new one each time goes on where the last one was.
        let read = pin!(self.stream.read_chunk(READ_BYTES_MAX, true));
        let chunk = ready!(read.poll(cx))?;
        self.link.progressed();
        Poll::Ready(Ok(chunk.map(|chunk| chunk.bytes)))
    }
}

impl quic::RecvStream for Receiver {
    type Buf = Bytes;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Poll::Ready(Ok(Some(bytes)));
            }
            match self.frames.next(&mut self.input) {
                Ok(Some(Piece::Whole(bytes))) => return Poll::Ready(Ok(Some(bytes))),
                Ok(Some(Piece::Data(header, payload))) => self.ready.extend([header, payload]),
                Ok(None) => match ready!(self.poll_chunk(cx)) {
                    Ok(Some(bytes)) => self.input = bytes,
                    Ok(None) => {
                        return Poll::Ready(match self.frames.end() {
                            Ok(()) => Ok(None),
                            Err(fault) => Err(self.link.refuse(fault)),
                        });
                    }
                    Err(error) => return Poll::Ready(Err(read_error(error))),
                },
                Err(fault) => return Poll::Ready(Err(self.link.refuse(fault))),
            }
        }
    }

    fn stop_sending(&mut self, code: u64) {
        // All may have been received already, or the connection be gone.
        let _ = self.stream.stop(varint(code));
    }

    fn recv_id(&self) -> StreamId {
        stream_id(self.stream.id())
    }
}

impl Drop for Receiver {
    /// What is left of a request that is answered is of no use (RFC 9114, 4.1).
    fn drop(&mut self) {
        let _ = self.stream.stop(varint(Code::H3_NO_ERROR.value()));
    }
}
