//! HTTP/3 on one QUIC connection, by h3 over quinn. Never falls back to TCP.

use std::future::poll_fn;
use std::time::Duration;

use bytes::{Buf, Bytes};
use h3::client::{RequestStream, SendRequest};
use h3::error::{Code as H3Code, StreamError};
use h3_quinn::OpenStreams;
use http::Response;

use crate::answer::{Answer, BodyContent, Code, Link, Observer, Spoken};
use crate::client::Client;
use crate::connect::QuicConnected;
use crate::failure::{Failure, FailureKind, Fate};
use crate::http_over_tcp::{absolute, without_connection_headers};
use crate::request::Request;
use crate::target::Target;

/// How long the peer is given to hear that we leave.
const FAREWELL_MAX: Duration = Duration::from_millis(500);

/// `H3_NO_ERROR`: <https://www.rfc-editor.org/rfc/rfc9114#section-8.1>.
const NO_ERROR: u32 = 0x100;

/// An open connection.
pub(crate) struct Http3Connection {
    sender: SendRequest<OpenStreams, Bytes>,
    connection: quinn::Connection,
    endpoint: quinn::Endpoint,
    link: Link,
    target: Target,
}

// === impl Http3Connection ===

impl Http3Connection {
    pub(crate) async fn open(client: &Client, target: &Target) -> Result<Self, Failure> {
        let QuicConnected { endpoint, connection, link } = client.quic(target).await?;
        let opened = h3::client::new(h3_quinn::Connection::new(connection.clone())).await;
        let (mut driver, sender) =
            opened.map_err(|error| Failure::from_error(format!("start HTTP/3 with {}", link.peer), &error))?;
        // What ends a connection is told to the request that it fails.
        tokio::spawn(async move { poll_fn(|cx| driver.poll_close(cx)).await });
        Ok(Self { sender, connection, endpoint, link, target: target.clone() })
    }

    /// Whether the connection still stands. A GOAWAY is noticed when the next request is sent.
    pub(crate) fn is_reusable(&self) -> bool {
        self.connection.close_reason().is_none()
    }

    /// Says goodbye, so that the peer need not wait for its idle timeout.
    pub(crate) async fn close(self) {
        self.connection.close(NO_ERROR.into(), b"");
        // The peer's silence is no reason to wait longer.
        let _ = tokio::time::timeout(FAREWELL_MAX, self.endpoint.wait_idle()).await;
    }

    /// One request and its whole answer.
    pub(crate) async fn exchange(&mut self, request: &Request, observer: &mut dyn Observer) -> Result<Answer, Failure> {
        let mut head = http::Request::new(());
        *head.method_mut() = request.method.clone();
        *head.headers_mut() = without_connection_headers(&request.headers);
        *head.uri_mut() = absolute(&request.target, &request.authority(), request.target.path())
            .map_err(|error| self.described("send this host", &error))?;
        let stream = self.sender.send_request(head).await.map_err(|error| self.failed("send a request", error))?;
        let (mut upload, mut download) = stream.split();
        let body = request.body();
        let sending = async move {
            if !body.is_empty() {
                upload.send_data(body).await?;
            }
            upload.finish().await
        };
        let receiving = receive(&mut download, observer);
        tokio::pin!(sending, receiving);
        // A server may answer before it has read the body, and never read the rest: its answer decides.
        let received = tokio::select! {
            received = &mut receiving => received,
            _sent = &mut sending => receiving.await,
        };
        let (head, content, trailers) = received.map_err(|error| self.failed("get an answer", error))?;
        let content = content.finish();
        Ok(Answer {
            spoken: Spoken::Http3,
            code: Code::Http(head.status()),
            headers: head.headers().clone(),
            messages: content.messages,
            bytes: content.bytes,
            trailers,
            latency: Duration::ZERO,
            link: self.link.clone(),
        })
    }

    fn described(&self, what: &str, error: &(dyn std::error::Error + 'static)) -> Failure {
        Failure::from_error(format!("{what} to {} ({})", self.target, self.link.peer), error)
    }

    fn failed(&self, what: &str, error: StreamError) -> Failure {
        // The cause of a lost connection is known to quinn better than to h3.
        if let (StreamError::ConnectionError { .. }, Some(reason)) = (&error, self.connection.close_reason()) {
            return self.described(what, &reason);
        }
        let (kind, fate) = match &error {
            StreamError::RemoteClosing { .. } => (FailureKind::Closed, Fate::NotProcessed),
            // https://www.rfc-editor.org/rfc/rfc9114#section-4.1.1
            StreamError::RemoteTerminate { code, .. } if *code == H3Code::H3_REQUEST_REJECTED => {
                (FailureKind::Reset, Fate::NotProcessed)
            }
            StreamError::RemoteTerminate { .. } => (FailureKind::Reset, Fate::Unknown),
            StreamError::ConnectionError { .. } => (FailureKind::Closed, Fate::Unknown),
            _ => (FailureKind::Protocol, Fate::Unknown),
        };
        let attempt = format!("{what} to {} ({})", self.target, self.link.peer);
        Failure::new(kind, attempt, error.to_string()).with_fate(fate)
    }
}

type Received = (Response<()>, BodyContent, Option<http::HeaderMap>);

async fn receive<S>(
    download: &mut RequestStream<S, Bytes>,
    observer: &mut dyn Observer,
) -> Result<Received, StreamError>
where
    S: h3::quic::RecvStream,
{
    let head = download.recv_response().await?;
    observer.head(Spoken::Http3, head.status(), head.headers());
    let mut content = BodyContent::default();
    while let Some(mut piece) = download.recv_data().await? {
        let piece = piece.copy_to_bytes(piece.remaining());
        content.piece(&piece);
        observer.piece(&piece);
    }
    let trailers = download.recv_trailers().await?;
    Ok((head, content, trailers))
}
