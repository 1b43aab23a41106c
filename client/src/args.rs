//! The command line of `portolan request`, and what it means. Reads the files that `-d` names, and sends nothing.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use clap::{Args, ValueEnum};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::client::Options;
use crate::directory::Override;
use crate::load::CONCURRENCY_MAX;
use crate::request::{GrpcMethod, HttpVersion, Protocol, Request};
use crate::target::{Target, TargetError};
use crate::tls::{ClientIdentity, Trust};

/// Bytes that one `-d` may hold.
pub const DATA_BYTES_MAX: u64 = 64 << 20;

/// What `--help` says below the options.
pub const AFTER_HELP: &str = "\
Schemes: http, https, ws, wss, tcp, tls, udp. A URL without a scheme is http.

Exit codes:
  0   every request got an answer
  1   a request got none: refused, reset, timed out, untrusted certificate
  2   the command line makes no sense
  22  with --fail: an answer had a status of 400 or more, or a gRPC status other than OK

Examples:
  portolan request http://shop.localhost:8080/cart
  portolan request -n 1000 -c 8 http://shop.localhost:8080/
  portolan request --http3 https://shop.localhost:8443/
  portolan request --grpc -d hello http://echo.localhost:8080
  portolan request --grpc -d '{\"message\": \"tick\", \"count\": 3}' \\
      portolan.echo.v1.Echo/ServerStream http://echo.localhost:8080
  portolan request -d hello ws://shop.localhost:8080/chat
  portolan request --from checkout http://stock.warehouse/";

/// Send a request to what `portolan dev` serves, or many, and see who answers.
#[derive(Args, Clone, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct RequestArgs {
    /// Where to, and with which method: GET, or POST where there is data. With --grpc, SERVICE/METHOD may stand there
    #[arg(required = true, num_args = 1..=2, value_name = "[METHOD] URL")]
    pub words: Vec<String>,

    /// The method
    #[arg(short = 'X', long = "request", value_name = "METHOD")]
    pub method: Option<String>,

    /// A request header; `host` replaces the authority. May be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub headers: Vec<String>,

    /// What to send: text, @FILE, or - for standard input. Repeated, it is one more message (gRPC, WebSocket, UDP) or
    /// line (TCP)
    #[arg(short = 'd', long = "data", value_name = "DATA|@FILE|-", allow_hyphen_values = true)]
    pub data: Vec<String>,

    /// How many requests to send; prints a tally instead of the answer
    #[arg(short = 'n', long = "count", value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,

    /// Requests in flight, each on a kept connection of its own
    #[arg(short = 'c', long, value_name = "CONCURRENCY", default_value_t = 1, requires = "count",
          value_parser = clap::value_parser!(u16).range(1..=CONCURRENCY_MAX as i64))]
    pub concurrency: u16,

    /// Also tally the answers by this response header
    #[arg(long, value_name = "HEADER", requires = "count")]
    pub by_header: Option<HeaderName>,

    /// Speak HTTP/1.1
    #[arg(long = "http1", group = "http_version")]
    pub http1: bool,

    /// Speak HTTP/2; without TLS by prior knowledge
    #[arg(long = "http2", visible_alias = "h2c", group = "http_version")]
    pub http2: bool,

    /// Speak HTTP/3
    #[arg(long = "http3", group = "http_version")]
    pub http3: bool,

    /// Call a gRPC method, with each -d as one message
    #[arg(long, group = "http_version", value_name = "SERVICE/METHOD", num_args = 0..=1, require_equals = true, default_missing_value = GrpcMethod::ECHO)]
    pub grpc: Option<String>,

    /// Show status and headers of the answer too
    #[arg(short = 'i', long = "include", conflicts_with = "count")]
    pub include: bool,

    /// Show the connection used, on standard error
    #[arg(short = 'v', long, conflicts_with = "count")]
    pub verbose: bool,

    /// How to print
    #[arg(short = 'o', long = "output", value_name = "FORMAT", default_value = "text")]
    pub output: Format,

    /// Trust the certificates of this PEM file, and no others
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,

    /// Accept any server certificate
    #[arg(short = 'k', long, conflicts_with = "ca")]
    pub insecure: bool,

    /// Our certificate chain, PEM
    #[arg(long, value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,

    /// The key of our certificate, PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,

    /// The TLS server name to ask for, instead of the URL's host
    #[arg(long, value_name = "NAME")]
    pub sni: Option<String>,

    /// Connect there, whatever the URL says
    #[arg(long, value_name = "HOST:PORT")]
    pub connect_to: Option<String>,

    /// The address of a host and port of the URL. May be repeated
    #[arg(long = "resolve", value_name = "HOST:PORT:ADDRESS")]
    pub overrides: Vec<Override>,

    /// Connect as a client of this namespace
    #[arg(long, value_name = "NAMESPACE")]
    pub from: Option<String>,

    /// How long one request may take, connecting included: seconds, or with a unit (500ms, 2s, 1m)
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    pub timeout: Duration,

    /// Exit with 22 on a status of 400 or more
    #[arg(long)]
    pub fail: bool,
}

/// How to print answers and tallies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Why a command line makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// The URL.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// A word that contradicts another, or cannot be read.
    #[error("{0}")]
    Argument(String),
    /// A file named by `-d`.
    #[error("cannot read {name}: {cause}")]
    Data {
        /// File name, or `standard input`.
        name: String,
        /// Why not.
        cause: std::io::Error,
    },
}

impl RequestArgs {
    /// The request that these arguments describe.
    pub fn request(&self, stdin: &mut dyn Read) -> Result<Request, UsageError> {
        let (word, url) = match self.words.as_slice() {
            [url] => (None, url),
            [word, url] => (Some(word.as_str()), url),
            _ => return Err(argument("give a URL, or METHOD URL")),
        };
        let mut request = Request::new(url.parse()?);
        request.headers = self.headers()?;
        self.refuse_tls_only(&request.target)?;
        request.messages = self.messages(request.protocol == Protocol::Stream, stdin)?;
        if let Some(grpc) = &self.grpc {
            return self.grpc_call(request, grpc, word);
        }
        match &mut request.protocol {
            Protocol::Http(version) => *version = self.version(),
            _ => self.refuse_http_only(word)?,
        }
        if let Protocol::Http(version) = request.protocol {
            if version == HttpVersion::Http3 && !request.target.scheme().is_tls() {
                return Err(argument("HTTP/3 is always inside TLS: use an https:// URL"));
            }
            self.complete_http(&mut request, word)?;
        }
        Ok(request)
    }

    /// The client settings that these arguments describe.
    pub fn options(&self) -> Result<Options, UsageError> {
        let trust = match (&self.ca, self.insecure) {
            (_, true) => Trust::Anyone,
            (Some(file), false) => Trust::File(file.clone()),
            (None, false) => Trust::Known,
        };
        let identity = match (&self.cert, &self.key) {
            (Some(certificate), Some(key)) => {
                Some(ClientIdentity { certificate: certificate.clone(), key: key.clone() })
            }
            _ => None,
        };
        let instead = |text: &String| format!("tcp://{text}").parse::<Target>();
        Ok(Options {
            trust,
            identity,
            sni: self.sni.clone(),
            connect_to: self.connect_to.as_ref().map(instead).transpose()?,
            overrides: self.overrides.clone(),
            from: self.from.clone(),
            timeout: self.timeout,
        })
    }

    fn version(&self) -> HttpVersion {
        match (self.http1, self.http2, self.http3) {
            (true, _, _) => HttpVersion::Http1,
            (_, true, _) => HttpVersion::Http2,
            (_, _, true) => HttpVersion::Http3,
            _ => HttpVersion::Negotiated,
        }
    }

    fn headers(&self) -> Result<HeaderMap, UsageError> {
        let mut headers = HeaderMap::new();
        for text in &self.headers {
            let wrong = || argument(format!("`{text}` is not a header: -H 'name: value'"));
            let (name, value) = text.split_once(':').ok_or_else(wrong)?;
            let name: HeaderName = name.trim().parse().map_err(|_| wrong())?;
            let value = HeaderValue::from_bytes(value.trim().as_bytes()).map_err(|_| wrong())?;
            headers.append(name, value);
        }
        Ok(headers)
    }

    fn messages(&self, lines: bool, stdin: &mut dyn Read) -> Result<Vec<Bytes>, UsageError> {
        self.data
            .iter()
            .map(|data| match data.strip_prefix('@') {
                Some("-") => read("standard input", stdin),
                Some(file) => {
                    let open = std::fs::File::open(Path::new(file));
                    let failed = |cause| UsageError::Data { name: file.to_owned(), cause };
                    read(file, &mut open.map_err(failed)?)
                }
                None if data == "-" => read("standard input", stdin),
                // What is typed for a stream is a line; files are sent as they are.
                None if lines => Ok(format!("{data}\n").into()),
                None => Ok(Bytes::copy_from_slice(data.as_bytes())),
            })
            .collect()
    }

    fn complete_http(&self, request: &mut Request, word: Option<&str>) -> Result<(), UsageError> {
        if request.messages.len() > 1 {
            return Err(argument("an HTTP request has one body: give -d once"));
        }
        let method = match (&self.method, word) {
            (Some(_), Some(_)) => return Err(argument("the method is given twice: -X METHOD or METHOD URL")),
            (Some(method), None) => Some(method.as_str()),
            (None, word) => word,
        };
        request.method = match method {
            Some(text) => text.parse().map_err(|_| argument(format!("`{text}` is not an HTTP method")))?,
            None if request.messages.is_empty() => Method::GET,
            None => Method::POST,
        };
        if request.method == Method::CONNECT {
            return Err(argument("CONNECT asks for a tunnel, which this client does not use: try tcp://HOST:PORT"));
        }
        if let Some(body) = request.messages.first()
            && !request.headers.contains_key(CONTENT_TYPE)
        {
            request.headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(body)));
        }
        Ok(())
    }

    fn grpc_call(&self, mut request: Request, grpc: &str, word: Option<&str>) -> Result<Request, UsageError> {
        if !matches!(request.protocol, Protocol::Http(_)) {
            return Err(argument("gRPC needs an http:// or https:// URL"));
        }
        if self.method.is_some() {
            return Err(argument("-X does not go with --grpc: calls are always POST"));
        }
        let path = request.target.path().path();
        let in_url = (path != "/").then_some(path);
        let in_option = (grpc != GrpcMethod::ECHO).then_some(grpc);
        let named: Vec<_> = [in_option, word, in_url].into_iter().flatten().collect();
        let method = match named.as_slice() {
            [] => GrpcMethod::ECHO,
            [one] => one,
            _ => return Err(argument(format!("the gRPC method is given twice: {}", named.join(" and ")))),
        };
        request.protocol = Protocol::Grpc(method.parse().map_err(UsageError::Argument)?);
        Ok(request)
    }

    /// A server name or certificate that would never be shown is refused rather than ignored.
    fn refuse_tls_only(&self, target: &Target) -> Result<(), UsageError> {
        let given = [(self.sni.is_some(), "--sni"), (self.cert.is_some(), "--cert")];
        match given.iter().find(|(given, _)| *given && !target.scheme().is_tls()) {
            Some((_, option)) => Err(argument(format!("{option} goes with https, wss and tls only"))),
            None => Ok(()),
        }
    }

    /// Options of HTTP alone are refused for other protocols rather than ignored.
    fn refuse_http_only(&self, word: Option<&str>) -> Result<(), UsageError> {
        if word.is_some() || self.method.is_some() || self.version() != HttpVersion::Negotiated {
            return Err(argument("a method or a version of HTTP goes with http:// and https:// only"));
        }
        let has_headers = self.words.last().is_some_and(|url| url.starts_with("ws"));
        if !self.headers.is_empty() && !has_headers {
            return Err(argument("-H goes with http, https, ws and wss only"));
        }
        Ok(())
    }
}

fn argument(text: impl Into<String>) -> UsageError {
    UsageError::Argument(text.into())
}

fn read(name: &str, from: &mut dyn Read) -> Result<Bytes, UsageError> {
    let failed = |cause| UsageError::Data { name: name.to_owned(), cause };
    let mut bytes = Vec::new();
    from.take(DATA_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > DATA_BYTES_MAX {
        return Err(argument(format!("{name} holds more than {DATA_BYTES_MAX} bytes")));
    }
    Ok(bytes.into())
}

fn content_type(body: &[u8]) -> &'static str {
    if serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok() {
        "application/json"
    } else if std::str::from_utf8(body).is_ok() {
        "text/plain; charset=utf-8"
    } else {
        "application/octet-stream"
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a time: seconds, or a number with ms, s or m");
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: f64 = number.trim().parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "ms" => number / 1000.0,
        "" | "s" => number,
        "m" => number * 60.0,
        _ => return Err(wrong()),
    };
    Duration::try_from_secs_f64(seconds).ok().filter(|time| !time.is_zero()).ok_or_else(wrong)
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
