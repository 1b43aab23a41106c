//! HTTP/1.1 and HTTP/2 on one connection, by hyper's connection API. Never retries, pools or follows redirects.

use bytes::Bytes;
use http::header::{CONNECTION, HOST};
use http::uri::{PathAndQuery, Uri};
use http::{HeaderMap, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::answer::{Answer, BodyContent, Code, Link, Observer, Spoken};
use crate::client::Client;
use crate::connect::Connected;
use crate::failure::{Failure, FailureKind, Fate};
use crate::request::{HttpVersion, Request};
use crate::target::Target;

/// Bytes that a peer's HTTP/2 header list may have.
const HEADER_LIST_BYTES_MAX: u32 = 256 * 1024;

/// What a connection that ends amid an answer usually means.
const ENDED: &str = "the peer gave up before its answer was complete: is this the right protocol for the port \
                     (https://, --http2)? `portolan status` shows what its backends do";

/// An open connection.
pub(crate) struct HttpConnection {
    sender: Sender,
    target: Target,
    pub(crate) link: Link,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

// === impl HttpConnection ===

impl HttpConnection {
    /// Connects, and decides by ALPN where the version is left open.
    pub(crate) async fn open(client: &Client, target: &Target, version: HttpVersion) -> Result<Self, Failure> {
        let offer: &[&str] = match version {
            HttpVersion::Http1 => &["http/1.1"],
            HttpVersion::Http2 => &["h2"],
            HttpVersion::Negotiated | HttpVersion::Http3 => &["h2", "http/1.1"],
        };
        let Connected { stream, link } = client.stream(target, offer).await?;
        let agreed = link.tls.as_ref().is_some_and(|tls| tls.alpn == "h2");
        let http2 = version == HttpVersion::Http2 || (version == HttpVersion::Negotiated && agreed);
        let stream = TokioIo::new(stream);
        let failed = |error: hyper::Error| Failure::from_error(format!("start HTTP with {}", link.peer), &error);
        let sender = if http2 {
            let (sender, driver) = http2::Builder::new(TokioExecutor::new())
                .max_header_list_size(HEADER_LIST_BYTES_MAX)
                .handshake(stream)
                .await
                .map_err(failed)?;
            // What ends a connection is told to the request that it fails.
            tokio::spawn(async move { driver.await.ok() });
            Sender::Http2(sender)
        } else {
            let (sender, driver) = http1::handshake(stream).await.map_err(failed)?;
            tokio::spawn(async move { driver.await.ok() });
            Sender::Http1(sender)
        };
        Ok(Self { sender, target: target.clone(), link })
    }

    /// Whether another request may be sent: the last answer is read, and the peer has not said goodbye.
    pub(crate) async fn is_reusable(&mut self) -> bool {
        match &mut self.sender {
            Sender::Http1(sender) => sender.ready().await.is_ok(),
            Sender::Http2(sender) => sender.ready().await.is_ok(),
        }
    }

    /// One request and its whole answer.
    pub(crate) async fn exchange(&mut self, request: &Request, observer: &mut dyn Observer) -> Result<Answer, Failure> {
        let response = self.respond(request, request.target.path(), request.body()).await?;
        let spoken = match &self.sender {
            Sender::Http1(_) => Spoken::Http1,
            Sender::Http2(_) => Spoken::Http2,
        };
        let (head, mut body) = response.into_parts();
        observer.head(spoken, head.status, &head.headers);
        let mut content = BodyContent::default();
        let mut trailers = None;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| self.failed("read the answer's body", &error))?;
            if let Some(piece) = frame.data_ref() {
                content.piece(piece);
                observer.piece(piece);
            }
            trailers = frame.into_trailers().ok().or(trailers);
        }
        let content = content.finish();
        Ok(Answer {
            spoken,
            code: Code::Http(head.status),
            headers: head.headers,
            messages: content.messages,
            bytes: content.bytes,
            trailers,
            latency: Default::default(),
            link: self.link.clone(),
        })
    }

    /// Sends a request and returns as soon as the response begins.
    pub(crate) async fn respond(
        &mut self,
        request: &Request,
        path: &PathAndQuery,
        body: Bytes,
    ) -> Result<Response<Incoming>, Failure> {
        let message = self.message(request, path, body)?;
        let outcome = match &mut self.sender {
            Sender::Http1(sender) => sender.try_send_request(message).await,
            Sender::Http2(sender) => sender.try_send_request(message).await,
        };
        outcome.map_err(|mut error: TrySendError<_>| {
            let unsent = error.take_message().is_some();
            let failure = self.failed("get an answer", &error.into_error());
            if unsent { failure.with_fate(Fate::NotProcessed) } else { failure }
        })
    }

    /// The request as hyper wants it: origin form and `Host` for HTTP/1.1, absolute form for HTTP/2.
    fn message(
        &self,
        request: &Request,
        path: &PathAndQuery,
        body: Bytes,
    ) -> Result<http::Request<Full<Bytes>>, Failure> {
        let mut headers = request.headers.clone();
        let authority = request.authority();
        let (uri, version) = match self.sender {
            Sender::Http1(_) => {
                let host = authority.parse().map_err(|error| self.failed("send this host", &error))?;
                headers.insert(HOST, host);
                (Uri::from(path.clone()), Version::HTTP_11)
            }
            Sender::Http2(_) => {
                headers.remove(HOST);
                headers.remove(CONNECTION);
                let uri = absolute(&self.target, &authority, path);
                (uri.map_err(|error| self.failed("send this host", &error))?, Version::HTTP_2)
            }
        };
        let mut message = http::Request::new(Full::new(body));
        *message.method_mut() = request.method.clone();
        *message.uri_mut() = uri;
        *message.version_mut() = version;
        *message.headers_mut() = headers;
        Ok(message)
    }

    pub(crate) fn failed(&self, what: &str, error: &(dyn std::error::Error + 'static)) -> Failure {
        let failure = Failure::from_error(format!("{what} from {} ({})", self.target, self.link.peer), error);
        failure.or_hint(|kind| matches!(kind, FailureKind::Closed | FailureKind::Reset).then(|| ENDED.to_owned()))
    }
}

/// `http(s)://authority/path`, from which HTTP/2 and HTTP/3 take their pseudo-headers.
pub(crate) fn absolute(target: &Target, authority: &str, path: &PathAndQuery) -> Result<Uri, http::Error> {
    let scheme = if target.scheme().is_tls() { "https" } else { "http" };
    Uri::builder().scheme(scheme).authority(authority).path_and_query(path.clone()).build()
}

/// Headers that HTTP/3 forbids or carries as pseudo-headers are left out.
pub(crate) fn without_connection_headers(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for name in [HOST, CONNECTION] {
        headers.remove(name);
    }
    headers
}
