//! Matches of HTTPRoutes and GRPCRoutes: what they compile to, and their precedence
//! (<https://gateway-api.sigs.k8s.io/reference/spec/#httprouterule>). The specification leaves the precedence of regular
//! expressions on paths open: here they stand after exact paths and before prefixes, the longer expression first.

use super::Rank;
use crate::{
    conditions::{Refusal, refusal},
    snapshot::{HeaderMatch, Matcher, PathMatch, QueryMatch, ValueMatch},
};
use http::{HeaderName, Method};
use portolan_crds::{
    grpc_route::{GRPCMethodMatch, GRPCRouteMatch},
    http_route::{HTTPHeaderMatch, HTTPPathMatch, HTTPRouteMatch, PathMatchType, ValueMatchType},
};
use regex::{Regex, RegexBuilder};

/// Most memory that one compiled expression may take, in bytes.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// Compiles a match of an HTTPRoute; `place` is its field.
pub(super) fn http(one: &HTTPRouteMatch, place: &str) -> Result<(Rank, Matcher), Refusal> {
    let path = path(one.path.as_ref(), place)?;
    let method = match &one.method {
        Some(name) => Some(method(name, place)?),
        None => None,
    };
    let headers = headers(&one.headers, place)?;
    let query = query(&one.query_params, place)?;
    let (class, length) = match &path {
        PathMatch::Exact(path) => (3, path.len()),
        PathMatch::Regex(regex) => (2, regex.as_str().len()),
        PathMatch::Prefix(prefix) => (1, prefix.len()),
    };
    let rank = Rank([class, count(length), u32::from(method.is_some()), count(headers.len()), count(query.len())]);
    Ok((rank, Matcher { path, method, headers, query }))
}

/// Compiles a match of a GRPCRoute; `place` is its field.
pub(super) fn grpc(one: &GRPCRouteMatch, place: &str) -> Result<(Rank, Matcher), Refusal> {
    let method = one.method.clone().unwrap_or_default();
    let path = grpc_path(&method, place)?;
    let headers = headers(&one.headers, place)?;
    let characters = |part: &Option<String>| count(part.as_ref().map_or(0, String::len));
    let rank = Rank([characters(&method.service), characters(&method.method), count(headers.len()), 0, 0]);
    Ok((rank, Matcher { path, method: None, headers, query: Box::default() }))
}

/// The match of a rule that gives none.
pub(super) fn any() -> (Rank, Matcher) {
    let path = PathMatch::Prefix("".into());
    (Rank([0; 5]), Matcher { path, method: None, headers: Box::default(), query: Box::default() })
}

fn path(path: Option<&HTTPPathMatch>, place: &str) -> Result<PathMatch, Refusal> {
    let Some(path) = path else { return Ok(PathMatch::Prefix("".into())) };
    let value = path.value.as_deref().unwrap_or("/");
    let place = format!("{place}.path.value");
    match path.kind.unwrap_or_default() {
        PathMatchType::RegularExpression => Ok(PathMatch::Regex(regex(value, &place)?)),
        _ if !value.starts_with('/') => Err(unsupported(format!("{place}: {value} does not begin with /"))),
        PathMatchType::Exact => Ok(PathMatch::Exact(value.into())),
        PathMatchType::PathPrefix => Ok(PathMatch::Prefix(value.trim_end_matches('/').into())),
    }
}

/// The path of a gRPC call is `/service/method`.
fn grpc_path(method: &GRPCMethodMatch, place: &str) -> Result<PathMatch, Refusal> {
    let part = |part: &Option<String>| part.clone().filter(|part| !part.is_empty());
    let (service, name) = (part(&method.service), part(&method.method));
    let place = format!("{place}.method");
    if method.kind == Some(ValueMatchType::RegularExpression) {
        // Each part is compiled alone as well, so that none can reach out of its group.
        for one in [&service, &name].into_iter().flatten() {
            regex(one, &place)?;
        }
        let group = |part: Option<String>| part.map_or_else(|| "[^/]+".to_owned(), |part| format!("(?:{part})"));
        let (service, name) = (group(service), group(name));
        return Ok(PathMatch::Regex(regex(&format!("/{service}/{name}"), &place)?));
    }
    match (service, name) {
        (Some(service), Some(name)) => Ok(PathMatch::Exact(format!("/{service}/{name}").into())),
        (Some(service), None) => Ok(PathMatch::Prefix(format!("/{service}").into())),
        (None, Some(name)) => Ok(PathMatch::Regex(regex(&format!("/[^/]+/{}", regex::escape(&name)), &place)?)),
        (None, None) => Ok(PathMatch::Prefix("".into())),
    }
}

fn method(name: &str, place: &str) -> Result<Method, Refusal> {
    Method::from_bytes(name.as_bytes()).map_err(|_| unsupported(format!("{place}.method: {name} is no method")))
}

/// Conditions on headers; of those with equivalent names the first counts.
fn headers(list: &[HTTPHeaderMatch], place: &str) -> Result<Box<[HeaderMatch]>, Refusal> {
    let mut headers: Vec<HeaderMatch> = Vec::with_capacity(list.len());
    for (at, header) in list.iter().enumerate() {
        let place = format!("{place}.headers[{at}]");
        let name = HeaderName::from_bytes(header.name.as_bytes())
            .map_err(|_| unsupported(format!("{place}.name: {} is no header name", header.name)))?;
        if headers.iter().all(|earlier| earlier.name != name) {
            headers.push(HeaderMatch { name, value: value(header, &place)? });
        }
    }
    Ok(headers.into())
}

/// Conditions on query parameters; of those with one name the first counts.
fn query(list: &[HTTPHeaderMatch], place: &str) -> Result<Box<[QueryMatch]>, Refusal> {
    let mut query: Vec<QueryMatch> = Vec::with_capacity(list.len());
    for (at, parameter) in list.iter().enumerate() {
        if query.iter().all(|earlier| *earlier.name != *parameter.name) {
            let place = format!("{place}.queryParams[{at}]");
            query.push(QueryMatch { name: parameter.name.as_str().into(), value: value(parameter, &place)? });
        }
    }
    Ok(query.into())
}

fn value(one: &HTTPHeaderMatch, place: &str) -> Result<ValueMatch, Refusal> {
    match one.kind.unwrap_or_default() {
        ValueMatchType::Exact => Ok(ValueMatch::Exact(one.value.as_str().into())),
        ValueMatchType::RegularExpression => Ok(ValueMatch::Regex(regex(&one.value, &format!("{place}.value"))?)),
    }
}

/// Compiles an expression that must match the whole text.
fn regex(pattern: &str, place: &str) -> Result<Regex, Refusal> {
    let build = |pattern: &str| RegexBuilder::new(pattern).size_limit(REGEX_BYTES_MAX).build();
    // Alone first: `a)|(b` would be valid between the parentheses that anchor it, and mean something else.
    build(pattern).and_then(|_| build(&format!("^(?:{pattern})$"))).map_err(|error| {
        let why = match error {
            regex::Error::CompiledTooBig(limit) => format!("takes more than {limit} bytes when compiled"),
            other => other.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned(),
        };
        unsupported(format!("{place}: {pattern} is no regular expression that can be used: {why}"))
    })
}

fn unsupported(message: String) -> Refusal {
    refusal("UnsupportedValue", message)
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path_of(json: serde_json::Value) -> Result<(Rank, Matcher), Refusal> {
        http(&serde_json::from_value(json).unwrap(), "m")
    }

    #[test]
    fn exact_beats_regex_beats_prefix() {
        let rank =
            |kind: &str, value: &str| path_of(serde_json::json!({"path": {"type": kind, "value": value}})).unwrap().0;
        assert!(rank("Exact", "/a") > rank("RegularExpression", "/a.*"));
        assert!(rank("RegularExpression", "/a") > rank("PathPrefix", "/a/long/prefix"));
        assert!(rank("PathPrefix", "/ab") > rank("PathPrefix", "/a/"));
        assert_eq!(rank("PathPrefix", "/a/"), rank("PathPrefix", "/a"));
    }

    #[test]
    fn method_beats_headers_beat_query() {
        let method = path_of(serde_json::json!({"method": "GET"})).unwrap().0;
        let headers =
            path_of(serde_json::json!({"headers": [{"name": "a", "value": "1"}, {"name": "b", "value": "1"}]}));
        let query = path_of(serde_json::json!({"queryParams": [{"name": "a", "value": "1"}]})).unwrap().0;
        let headers = headers.unwrap().0;
        assert!(method > headers && headers > query && query > path_of(serde_json::json!({})).unwrap().0);
    }

    #[test]
    fn the_first_of_equivalent_headers_counts() {
        let json = serde_json::json!({"headers": [{"name": "X-A", "value": "1"}, {"name": "x-a", "value": "2"}]});
        let (_, matcher) = path_of(json).unwrap();
        assert_eq!(matcher.headers.len(), 1);
    }

    #[test]
    fn expressions_are_anchored_and_cannot_break_out() {
        let (_, matcher) =
            path_of(serde_json::json!({"path": {"type": "RegularExpression", "value": "/a|/b"}})).unwrap();
        assert!(matcher.path.matches("/a") && matcher.path.matches("/b"));
        assert!(!matcher.path.matches("/ax") && !matcher.path.matches("x/b"));
        for bad in ["/a)|(/b", "/a(", "(?:a{1000}){1000}"] {
            let error = path_of(serde_json::json!({"path": {"type": "RegularExpression", "value": bad}})).unwrap_err();
            assert_eq!(error.reason, "UnsupportedValue", "{bad}");
            assert!(error.message.starts_with("m.path.value: "), "{}", error.message);
        }
    }

    #[test]
    fn grpc_methods_become_paths() {
        let path = |json| grpc(&serde_json::from_value(json).unwrap(), "m").unwrap().1.path;
        let both = path(serde_json::json!({"method": {"service": "a.B", "method": "C"}}));
        assert!(both.matches("/a.B/C") && !both.matches("/a.B/D"));
        let method = path(serde_json::json!({"method": {"method": "C.x"}}));
        assert!(method.matches("/a/C.x") && !method.matches("/a/Cxx") && !method.matches("/a/b/C.x"));
        let regex = path(serde_json::json!({"method": {"type": "RegularExpression", "service": "a|b"}}));
        assert!(regex.matches("/a/M") && regex.matches("/b/M") && !regex.matches("/c/M"));
    }
}
