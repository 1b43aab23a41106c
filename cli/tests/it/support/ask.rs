//! One request, written in a line, and what came back.

use super::dev::Dev;
use http::Method;
use portolan_client::{
    Answer, ClientIdentity, Code, Failure, GrpcMethod, HttpVersion, Load, Options, Protocol, Request, Tally, Trust,
    run_load,
};
use portolan_dev::echo::HttpAnswer;
use std::{path::PathBuf, time::Duration};

/// A request that is being written.
pub struct Ask<'a> {
    dev: &'a Dev,
    request: Request,
    options: Options,
}

/// What came back.
#[derive(Debug)]
pub struct Reply(pub Answer);

/// The status of an answer of HTTP.
pub fn http_status(answer: &Answer) -> u16 {
    match &answer.code {
        Code::Http(status) => status.as_u16(),
        other => panic!("no HTTP answer: {other}"),
    }
}

// === impl Ask ===

impl<'a> Ask<'a> {
    pub(super) fn new(dev: &'a Dev, text: &str) -> Self {
        let (method, url) = text.split_once(' ').unwrap_or(("GET", text));
        let mut request = Request::new(url.parse().unwrap_or_else(|error| panic!("{url}: {error}")));
        request.method = Method::from_bytes(method.as_bytes()).unwrap();
        Self { dev, request, options: Options { timeout: Duration::from_secs(40), ..Options::default() } }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request.headers.append(http::HeaderName::try_from(name).unwrap(), value.parse().unwrap());
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.request.messages.push(body.into().into());
        self
    }

    pub fn version(mut self, version: HttpVersion) -> Self {
        self.request.protocol = Protocol::Http(version);
        self
    }

    pub fn http2(self) -> Self {
        self.version(HttpVersion::Http2)
    }

    pub fn grpc(mut self, method: &str) -> Self {
        self.request.protocol = Protocol::Grpc(method.parse::<GrpcMethod>().unwrap());
        self
    }

    /// From the address of a namespace's clients.
    pub fn from(mut self, namespace: &str) -> Self {
        self.options.from = Some(namespace.to_owned());
        self
    }

    pub fn trust(mut self, pem: &str) -> Self {
        self.options.trust = Trust::Pem(pem.to_owned());
        self
    }

    pub fn insecure(mut self) -> Self {
        self.options.trust = Trust::Anyone;
        self
    }

    pub fn identity(mut self, certificate: PathBuf, key: PathBuf) -> Self {
        self.options.identity = Some(ClientIdentity { certificate, key });
        self
    }

    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = timeout;
        self
    }

    /// Sends it; an answer has to come.
    pub async fn send(self) -> Reply {
        let target = self.request.target.to_string();
        Reply(self.try_send().await.unwrap_or_else(|failure| panic!("{target}: {failure}")))
    }

    /// Sends it; no answer has to come.
    pub async fn fail(self) -> Failure {
        let target = self.request.target.to_string();
        match self.try_send().await {
            Ok(answer) => panic!("{target} answered: {answer:?}"),
            Err(failure) => failure,
        }
    }

    /// Sends it.
    pub async fn try_send(self) -> Result<Answer, Failure> {
        self.dev.client(self.options).await.send(&self.request).await
    }

    /// The status that comes back.
    pub async fn status(self) -> u16 {
        self.send().await.status()
    }

    /// The request as a load, with its client.
    pub async fn load(self, count: u64, concurrency: usize) -> (portolan_client::Client, Load) {
        (self.dev.client(self.options).await, Load::new(self.request, count, concurrency))
    }

    /// Sends it many times.
    pub async fn many(self, count: u64, concurrency: usize) -> Tally {
        let (client, load) = self.load(count, concurrency).await;
        run_load(&client, &load).await
    }
}

// === impl Reply ===

impl Reply {
    pub fn status(&self) -> u16 {
        http_status(&self.0)
    }

    /// A header, or a trailer of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.0.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// All values of a header.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        self.0.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }

    pub fn trailer(&self, name: &str) -> Option<&str> {
        self.0.trailers.as_ref()?.get(name).map(|value| value.to_str().unwrap())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.messages.concat()).into_owned()
    }

    /// What the echo server says that it received.
    pub fn echo(&self) -> HttpAnswer {
        serde_json::from_str(&self.text()).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Values of a header that the echo server received.
    pub fn received(&self, name: &str) -> Vec<String> {
        self.echo().headers.get(name).cloned().unwrap_or_default()
    }

    /// Who answered.
    pub fn pod(&self) -> String {
        self.0.backend().unwrap_or_else(|| panic!("no backend in {self:?}")).pod
    }
}
