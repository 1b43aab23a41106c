//! The filters that need nothing but the request or response at hand: header edits, redirects, rewrites, CORS.

use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header, request, uri};
use portolan_translate::snapshot::{
    Cors, HeaderEdits, OriginMatch, PathMatch, PathModifier, Redirect, RequestView, Rewrite,
};
use std::borrow::Cow;

/// Changes headers: set, then add, then remove.
pub fn edit(headers: &mut HeaderMap, edits: &HeaderEdits) {
    for (name, value) in &edits.set {
        headers.insert(name, value.clone());
    }
    for (name, value) in &edits.add {
        headers.append(name, value.clone());
    }
    for name in &edits.remove {
        headers.remove(name);
    }
}

/// A path after a modifier. `matched` is the condition by which the rule was taken.
fn modified<'a>(path: &'a str, modifier: &'a PathModifier, matched: &PathMatch) -> Cow<'a, str> {
    match modifier {
        PathModifier::Full(full) => Cow::Borrowed(full),
        PathModifier::Prefix(prefix) => {
            let rest = match matched {
                PathMatch::Prefix(matched) => path.strip_prefix(&**matched).unwrap_or(path),
                // The API ties this modifier to prefix matches; on any other the whole path stays behind it.
                PathMatch::Exact(_) | PathMatch::Regex(_) => path,
            };
            let prefix = prefix.trim_end_matches('/');
            match (rest.is_empty(), prefix.is_empty()) {
                (true, true) => Cow::Borrowed("/"),
                (true, false) => Cow::Borrowed(prefix),
                (false, _) if rest.starts_with('/') => Cow::Owned(format!("{prefix}{rest}")),
                (false, _) => Cow::Owned(format!("{prefix}/{rest}")),
            }
        }
    }
}

/// What a redirect needs to know of the listener.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Port that the client used.
    pub port: u16,
}

/// The answer of a redirect.
pub fn redirect(
    redirect: &Redirect,
    view: &RequestView<'_>,
    matched: &PathMatch,
    arrival: Arrival<'_>,
) -> Option<Response<()>> {
    let scheme = redirect.scheme.as_deref().unwrap_or(arrival.scheme);
    let host = redirect.hostname.as_deref().unwrap_or(view.host);
    let path =
        redirect.path.as_ref().map_or(Cow::Borrowed(view.path), |modifier| modified(view.path, modifier, matched));
    // A port that is not given: the scheme's own if the scheme is given, else the listener's.
    let port = redirect.port.or_else(|| redirect.scheme.is_none().then_some(arrival.port));
    let well_known = if scheme == "https" { 443 } else { 80 };
    let mut location = format!("{scheme}://{host}");
    if let Some(port) = port.filter(|port| *port != well_known) {
        location.push_str(&format!(":{port}"));
    }
    location.push_str(&path);
    if let Some(query) = view.query {
        location.push('?');
        location.push_str(query);
    }
    let mut response = Response::new(());
    *response.status_mut() = redirect.status;
    response.headers_mut().insert(header::LOCATION, HeaderValue::try_from(location).ok()?);
    Some(response)
}

/// Changes path and host of a request. `None`: the result would be no valid target.
pub fn rewrite(head: &mut request::Parts, rewrite: &Rewrite, matched: &PathMatch) -> Option<()> {
    if let Some(hostname) = &rewrite.hostname {
        head.headers.insert(header::HOST, HeaderValue::from_str(hostname).ok()?);
        if head.uri.authority().is_some() {
            set_uri(head, Some(hostname), None)?;
        }
    }
    if let Some(modifier) = &rewrite.path {
        let path = modified(head.uri.path(), modifier, matched).into_owned();
        set_uri(head, None, Some(&path))?;
    }
    Some(())
}

/// Replaces authority or path of a request's target; the query stays.
pub fn set_uri(head: &mut request::Parts, authority: Option<&str>, path: Option<&str>) -> Option<()> {
    let mut parts = head.uri.clone().into_parts();
    if let Some(authority) = authority {
        parts.authority = Some(authority.parse().ok()?);
    }
    if let Some(path) = path {
        let target = match head.uri.query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        parts.path_and_query = Some(uri::PathAndQuery::try_from(target).ok()?);
    }
    head.uri = http::Uri::from_parts(parts).ok()?;
    Some(())
}

// === CORS ===

/// What CORS makes of a request.
pub enum CorsOutcome {
    /// It is a preflight, and this is the answer.
    Preflight(Response<()>),
    /// It goes on; the response gets these headers.
    Actual(HeaderMap),
    /// It goes on as if there were no filter: no origin, or one that is not allowed.
    Untouched,
}

/// Reads a request by the rules of <https://fetch.spec.whatwg.org/#http-cors-protocol>.
pub fn cors(cors: &Cors, method: &Method, headers: &HeaderMap) -> CorsOutcome {
    let requested = headers.get(header::ACCESS_CONTROL_REQUEST_METHOD);
    let preflight = method == Method::OPTIONS && requested.is_some() && headers.contains_key(header::ORIGIN);
    let origin = headers.get(header::ORIGIN).filter(|origin| allows_origin(cors, origin));
    let Some(origin) = origin else {
        // The browser refuses on its own when the answer allows nothing.
        return if preflight { CorsOutcome::Preflight(no_content()) } else { CorsOutcome::Untouched };
    };
    let mut out = HeaderMap::new();
    // `*` and credentials exclude each other, so the origin is named then.
    let any = cors.allow_origins.contains(&OriginMatch::Any) && !cors.allow_credentials;
    let allowed = if any { HeaderValue::from_static("*") } else { origin.clone() };
    out.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    if !any {
        out.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    if cors.allow_credentials {
        out.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    // Of use with the response itself alone; the Gateway API's conformance suite wants it on preflights too.
    let exposed = list(cors.expose_headers.as_deref(), cors.allow_credentials, None);
    exposed.and_then(|exposed| out.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed));
    if !preflight {
        return CorsOutcome::Actual(out);
    }
    let methods = list(cors.allow_methods.as_deref(), cors.allow_credentials, requested);
    methods.and_then(|methods| out.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods));
    let requested = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
    let allowed = list(cors.allow_headers.as_deref(), cors.allow_credentials, requested);
    allowed.and_then(|allowed| out.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed));
    out.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from(cors.max_age.as_secs()));
    let mut response = no_content();
    *response.headers_mut() = out;
    CorsOutcome::Preflight(response)
}

fn no_content() -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// A list for a header; everything (`None`) is `*`, or with credentials (where `*` is no wildcard) what was asked for.
fn list<T: AsRef<str>>(
    allowed: Option<&[T]>,
    credentials: bool,
    requested: Option<&HeaderValue>,
) -> Option<HeaderValue> {
    match allowed {
        None if credentials => requested.cloned(),
        None => Some(HeaderValue::from_static("*")),
        Some([]) => None,
        Some(allowed) => {
            let names: Vec<&str> = allowed.iter().map(AsRef::as_ref).collect();
            HeaderValue::try_from(names.join(", ")).ok()
        }
    }
}

fn allows_origin(cors: &Cors, origin: &HeaderValue) -> bool {
    let Ok(origin) = origin.to_str() else { return false };
    let origin = origin.to_ascii_lowercase();
    cors.allow_origins.iter().any(|allowed| match allowed {
        OriginMatch::Any => true,
        OriginMatch::Exact(exact) => **exact == *origin,
        OriginMatch::Wildcard { prefix, suffix } => {
            let label = origin.strip_prefix(&**prefix).and_then(|rest| rest.strip_suffix(&**suffix));
            label.is_some_and(|label| !label.is_empty() && !label.contains(['/', ':']))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::Arc, time::Duration};

    #[test]
    fn prefixes_are_replaced_with_one_slash_between() {
        let cases = [
            ("/foo", "/xyz", "/foo/bar", "/xyz/bar"),
            ("/foo", "/xyz/", "/foo/bar", "/xyz/bar"),
            ("/foo", "/xyz/", "/foo", "/xyz"),
            ("/foo", "/", "/foo", "/"),
            ("/foo", "/", "/foo/bar", "/bar"),
            ("/foo", "", "/foo/", "/"),
            ("", "/xyz", "/bar", "/xyz/bar"),
            ("", "/xyz", "/", "/xyz/"),
        ];
        for (matched, replacement, path, expected) in cases {
            let modifier = PathModifier::Prefix(replacement.into());
            assert_eq!(
                modified(path, &modifier, &PathMatch::Prefix(matched.into())),
                expected,
                "{matched} {replacement} {path}"
            );
        }
    }

    fn location(filter: Redirect, scheme: &str, port: u16) -> String {
        let (method, headers) = (Method::GET, HeaderMap::new());
        let view =
            RequestView { host: "a.example", path: "/p/q", query: Some("x=1"), method: &method, headers: &headers };
        let arrival = Arrival { scheme, port };
        let response = redirect(&filter, &view, &PathMatch::Prefix("/p".into()), arrival).unwrap();
        response.headers()["location"].to_str().unwrap().to_owned()
    }

    #[test]
    fn a_redirect_names_a_port_only_where_it_must() {
        let base = Redirect { scheme: None, hostname: None, path: None, port: None, status: StatusCode::FOUND };
        assert_eq!(location(base.clone(), "http", 8080), "http://a.example:8080/p/q?x=1");
        assert_eq!(location(base.clone(), "http", 80), "http://a.example/p/q?x=1");
        let https = Redirect { scheme: Some("https".into()), ..base.clone() };
        assert_eq!(location(https.clone(), "http", 8080), "https://a.example/p/q?x=1");
        assert_eq!(location(Redirect { port: Some(8443), ..https }, "http", 80), "https://a.example:8443/p/q?x=1");
        let path = Some(PathModifier::Prefix("/n".into()));
        let host = Some(Arc::from("b.example"));
        assert_eq!(location(Redirect { path, hostname: host, ..base }, "https", 443), "https://b.example/n/q?x=1");
    }

    fn filter(origins: &[OriginMatch], credentials: bool) -> Cors {
        Cors {
            allow_origins: origins.into(),
            allow_credentials: credentials,
            allow_methods: Some([Method::GET, Method::PUT].into()),
            allow_headers: None,
            expose_headers: Some(["x-a".parse().unwrap()].into()),
            max_age: Duration::from_secs(5),
        }
    }

    fn request(method: &Method, origin: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("origin", origin.parse().unwrap());
        if method == Method::OPTIONS {
            headers.insert("access-control-request-method", "PUT".parse().unwrap());
            headers.insert("access-control-request-headers", "x-b".parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_preflight_is_answered_with_what_is_allowed() {
        let wildcard = OriginMatch::Wildcard { prefix: "https://".into(), suffix: ".example.com".into() };
        let cors_filter = filter(&[wildcard], true);
        let headers = request(&Method::OPTIONS, "https://a.example.com");
        let CorsOutcome::Preflight(answer) = cors(&cors_filter, &Method::OPTIONS, &headers) else {
            panic!("no preflight")
        };
        let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(header("access-control-allow-origin").as_deref(), Some("https://a.example.com"));
        assert_eq!(header("access-control-allow-methods").as_deref(), Some("GET, PUT"));
        assert_eq!(
            header("access-control-allow-headers").as_deref(),
            Some("x-b"),
            "with credentials `*` is no wildcard"
        );
        assert_eq!(header("access-control-max-age").as_deref(), Some("5"));
        assert_eq!(header("access-control-expose-headers").as_deref(), Some("x-a"));
        let headers = request(&Method::OPTIONS, "https://evil.example");
        let CorsOutcome::Preflight(answer) = cors(&cors_filter, &Method::OPTIONS, &headers) else {
            panic!("no preflight")
        };
        assert!(answer.headers().is_empty());
    }

    #[test]
    fn an_actual_request_gets_headers_only_for_an_allowed_origin() {
        let cors_filter = filter(&[OriginMatch::Any], false);
        let CorsOutcome::Actual(out) = cors(&cors_filter, &Method::GET, &request(&Method::GET, "http://x")) else {
            panic!()
        };
        assert_eq!(
            (&out["access-control-allow-origin"], &out["access-control-expose-headers"]),
            (&HeaderValue::from_static("*"), &HeaderValue::from_static("x-a"))
        );
        let exact = filter(&[OriginMatch::Exact("http://y".into())], false);
        assert!(matches!(cors(&exact, &Method::GET, &request(&Method::GET, "http://x")), CorsOutcome::Untouched));
    }
}
