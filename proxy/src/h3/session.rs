//! One QUIC connection: its requests side by side, and its end, with which no request that was taken is lost.

use super::{
    exchange::{Exchange, Tally},
    transport::{Link, Transport},
};
use crate::{conn::Conn, watch::Command};
use bytes::Bytes;
use h3::{
    error::{Code, ConnectionError},
    server::{Connection, RequestResolver},
};
use std::{
    future::{pending, poll_fn},
    pin::Pin,
    rc::Rc,
    task::Poll,
    time::Duration,
};
use tokio::{task::JoinSet, time::Sleep};

/// Time in which requests may still come after the client was told to send none, beside two round trips.
const FAREWELL: Duration = Duration::from_millis(200);
/// Requests without a complete head after which a connection is ended: h3 remembers each of them.
const HEADLESS_MAX: usize = 4096;
/// Requests that a first GOAWAY still allows: all of them (RFC 9114, 5.2).
const ANY_NUMBER: usize = usize::MAX;

/// A connection with its requests.
pub struct Session {
    conn: Rc<Conn>,
    link: Rc<Link>,
    h3: Connection<Transport, Bytes>,
    requests: JoinSet<()>,
    tally: Tally,
    phase: Phase,
    last: Option<u64>,
}

/// How far a connection is on its way to its end.
enum Phase {
    Open,
    /// The client knows that it is to send nothing more; what it sent before it knew is still taken.
    Leaving(Pin<Box<Sleep>>),
    /// Nothing more is taken.
    Left,
}

/// What comes next.
enum Next {
    GoOn,
    End,
    Abort(&'static str),
}

// === impl Session ===

impl Session {
    /// Begins HTTP/3 on a QUIC connection. `None`: the client went away, or does not let it begin.
    pub async fn begin(conn: Rc<Conn>, link: Rc<Link>) -> Option<Self> {
        let limits = &conn.worker.shared.limits;
        let mut builder = h3::server::builder();
        builder.max_field_section_size(limits.header_bytes_max as u64).send_grease(false);
        let begun = tokio::time::timeout(limits.header_timeout, builder.build(Transport::new(link.clone()))).await;
        match begun {
            Ok(Ok(h3)) => {
                let (requests, tally) = (JoinSet::new(), Tally::default());
                Some(Self { conn, link, h3, requests, tally, phase: Phase::Open, last: None })
            }
            Ok(Err(error)) => {
                tracing::debug!(peer = %conn.peer, %error, "HTTP/3 did not begin");
                None
            }
            Err(_) => {
                conn.worker.limit_reached("header_timeout");
                link.close(Code::H3_EXCESSIVE_LOAD, "HTTP/3 did not begin in time");
                None
            }
        }
    }

    /// Serves requests until the connection ends.
    pub async fn run(mut self) {
        loop {
            match self.step().await {
                Next::GoOn if matches!(self.phase, Phase::Left) && self.requests.is_empty() => break,
                Next::GoOn => {}
                Next::End => break,
                Next::Abort(limit) => {
                    self.conn.worker.limit_reached(limit);
                    return self.link.close(Code::H3_EXCESSIVE_LOAD, limit);
                }
            }
        }
        self.link.close(Code::H3_NO_ERROR, "");
    }

    /// Waits for what happens next, and does what it asks for.
    async fn step(&mut self) -> Next {
        let (watch, phase) = (&self.conn.watch, &mut self.phase);
        let told = poll_fn(|cx| match watch.poll_command(cx) {
            Command::None => Poll::Pending,
            command => Poll::Ready(command),
        });
        let farewell = async {
            match phase {
                Phase::Leaving(sleep) => sleep.await,
                Phase::Open | Phase::Left => pending().await,
            }
        };
        tokio::select! {
            biased;
            command = told => match command.limit() {
                Some(limit) => Next::Abort(limit),
                None => self.leave().await,
            },
            Some(_) = self.requests.join_next(), if !self.requests.is_empty() => self.request_ended().await,
            () = farewell => self.refuse_more().await,
            accepted = self.h3.accept() => match accepted {
                Ok(Some(resolver)) => self.begin_request(resolver),
                // The client has said that it will send nothing more, and everything is answered.
                Ok(None) => Next::End,
                Err(error) => self.failed(&error),
            },
        }
    }

    async fn request_ended(&mut self) -> Next {
        let limits = &self.conn.worker.shared.limits;
        // All that the client may have open, given up at once, is no attack.
        if self.tally.given_up() > limits.h2_pending_resets_max + limits.h2_streams_max as usize {
            return Next::Abort("h2_pending_resets_max");
        }
        if self.tally.headless() > HEADLESS_MAX { self.leave().await } else { Next::GoOn }
    }

    fn begin_request(&mut self, resolver: RequestResolver<Transport, Bytes>) -> Next {
        let Some(stopped) = self.link.take_stopped() else { return Next::GoOn };
        self.last = Some(resolver.frame_stream.id().into_inner());
        let exchange = Exchange::new(self.conn.clone(), stopped, self.tally.clone());
        self.requests.spawn_local(exchange.serve(resolver));
        Next::GoOn
    }

    /// Tells the client to send nothing more. What is already on its way is still taken (RFC 9114, 5.2).
    async fn leave(&mut self) -> Next {
        if matches!(self.phase, Phase::Open) {
            let round_trips = self.link.connection().rtt() * 2;
            self.phase = Phase::Leaving(Box::pin(tokio::time::sleep(FAREWELL + round_trips)));
            if self.last.is_none() {
                self.link.reject_from(0);
            }
            // If it cannot be told, the connection is broken, which the next event says too.
            let _ = self.h3.shutdown(ANY_NUMBER).await;
        }
        Next::GoOn
    }

    /// Tells the client which request was the last that is taken, and rejects what comes behind it.
    async fn refuse_more(&mut self) -> Next {
        self.phase = Phase::Left;
        // Ids of requests are four apart.
        self.link.reject_from(self.last.map_or(0, |last| last + 4));
        let _ = self.h3.shutdown(1).await;
        Next::GoOn
    }

    fn failed(&self, error: &ConnectionError) -> Next {
        let worker = &self.conn.worker;
        match (self.link.fault(), error) {
            (Some(fault), _) => {
                worker.limit_reached(fault.limit);
                tracing::debug!(peer = %self.conn.peer, fault = fault.what, "a client broke HTTP/3");
            }
            (None, ConnectionError::Local { .. }) => {
                worker.limit_reached("malformed_http");
                tracing::debug!(peer = %self.conn.peer, %error, "a client broke HTTP/3");
            }
            (None, _) => tracing::debug!(peer = %self.conn.peer, %error, "a client's connection ended"),
        }
        Next::End
    }
}
