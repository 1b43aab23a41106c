//! Asking over HTTP: a request like the client's own, to which 200 is yes and everything else no. It opens no
//! connection: it writes the question and reads the answer.

use super::{
    Decision, Effects, Unusable,
    changes::{HeaderChanges, is_ours},
    query::QueryChanges,
    seen::Seen,
};
use crate::http::{
    call::Answered,
    headers::{X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PORT, X_FORWARDED_PROTO},
    normalise,
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, header, request, uri::PathAndQuery,
};

/// The head of the question: the client's method and host, its path behind the route's prefix, and those of its headers
/// that the service may see.
pub fn question(seen: &Seen<'_>, prefix: &str, allowed: &[HeaderName]) -> Result<request::Parts, Unusable> {
    let (mut question, ()) = Request::new(()).into_parts();
    question.method = seen.head.method.clone();
    question.uri = target(prefix, &seen.head.uri).ok_or(Unusable::Path)?;
    for (name, value) in &seen.head.headers {
        if !is_ours(name) && (is_always_sent(name) || allowed.contains(name)) {
            question.headers.append(name, value.clone());
        }
    }
    // RFC 9112, 3.2: a client without a host makes a request with an empty one.
    let host = seen.head.headers.get(header::HOST).cloned().unwrap_or(HeaderValue::from_static(""));
    question.headers.insert(header::HOST, host);
    // The length is that of this request, 0 included, not that of the client's.
    question.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(seen.body.len()));
    Ok(question)
}

fn is_always_sent(name: &HeaderName) -> bool {
    [header::AUTHORIZATION, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PORT, X_FORWARDED_PROTO].contains(name)
}

/// The prefix is brought into the one form that paths have here, as the API demands of whoever uses it.
fn target(prefix: &str, uri: &Uri) -> Option<Uri> {
    let rooted = format!("/{}", prefix.trim_start_matches('/'));
    let prefix = normalise(&rooted)?;
    let target = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    Uri::try_from(format!("{}{target}", prefix.trim_end_matches('/'))).ok()
}

/// What an answer says. `copied` are the headers of it that go on to the backend; none means all.
pub fn decision(answered: Answered, copied: &[HeaderName]) -> Result<Decision, Unusable> {
    let (mut head, ()) = answered.response.into_parts();
    match head.status {
        StatusCode::OK => Ok(Decision::Allowed(Effects {
            request: copy(&head.headers, copied),
            query: QueryChanges::default(),
            response: HeaderChanges::default(),
        })),
        // A no that reads like a yes would hide from the client that nothing was done.
        status if status.is_success() => {
            tracing::debug!(%status, "an auth service said no with a status of success");
            let mut response = Response::new(());
            *response.status_mut() = StatusCode::FORBIDDEN;
            Ok(Decision::Denied { response, body: bytes::Bytes::new() })
        }
        status if status.is_informational() => Err(Unusable::Status(status.as_u16())),
        _ => {
            let ours: Vec<HeaderName> = head.headers.keys().filter(|name| is_ours(name)).cloned().collect();
            for name in ours {
                head.headers.remove(name);
            }
            Ok(Decision::Denied { response: Response::from_parts(head, ()), body: answered.body })
        }
    }
}

/// Headers of the answer go on to the backend. Those that the route names are the service's to state: what the client
/// says of them goes no further, even where the service says nothing.
fn copy(headers: &HeaderMap, copied: &[HeaderName]) -> HeaderChanges {
    let mut changes = HeaderChanges::default();
    for name in copied {
        changes.remove(name.clone());
    }
    for (name, value) in headers {
        if if copied.is_empty() { !describes_content(name) } else { copied.contains(name) } {
            changes.set(name.clone(), value.clone());
        }
    }
    changes
}

/// Whether a header describes the content of its own message, which is not copied: on the client's request it would
/// say something false about the client's body.
fn describes_content(name: &HeaderName) -> bool {
    const DESCRIBES: [HeaderName; 6] = [
        header::CONTENT_ENCODING,
        header::CONTENT_LANGUAGE,
        header::CONTENT_LENGTH,
        header::CONTENT_LOCATION,
        header::CONTENT_RANGE,
        header::CONTENT_TYPE,
    ];
    DESCRIBES.contains(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::auth::seen::testing::{head, post};
    use bytes::Bytes;

    fn names(names: &[&'static str]) -> Vec<HeaderName> {
        names.iter().map(|name| HeaderName::from_static(name)).collect()
    }

    fn asked(head: &request::Parts, body: &'static str, prefix: &str, allowed: &[&'static str]) -> request::Parts {
        let seen = Seen::new(head, Bytes::from_static(body.as_bytes()), None);
        question(&seen, prefix, &names(allowed)).unwrap()
    }

    fn answered(status: u16, fields: &[(&'static str, &'static str)], body: &'static str) -> Answered {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        for (name, value) in fields {
            response.headers_mut().append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        Answered { response, body: Bytes::from_static(body.as_bytes()), trailers: HeaderMap::new() }
    }

    #[test]
    fn the_question_carries_the_standard_headers_and_no_others() {
        let question = asked(&post(), "", "", &[]);
        assert_eq!((question.method.as_str(), question.uri.to_string()), ("POST", "/a/b?c=d".into()));
        let mut sent: Vec<String> =
            question.headers.iter().map(|(name, value)| format!("{name}={}", value.to_str().unwrap())).collect();
        sent.sort();
        assert_eq!(
            sent,
            [
                "authorization=Bearer x",
                "content-length=0",
                "host=shop.example",
                "x-forwarded-for=192.0.2.7",
                "x-forwarded-host=shop.example",
                "x-forwarded-port=8443",
                "x-forwarded-proto=https",
            ]
        );
    }

    #[test]
    fn allowed_headers_are_added_with_all_their_values() {
        let question = asked(&post(), "", "", &["x-a", "content-length", "host", "x-absent"]);
        assert_eq!(question.headers.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert!(!question.headers.contains_key("x-b") && question.headers.get_all("host").iter().count() == 1);
        assert_eq!(question.headers["content-length"], "0");
    }

    #[test]
    fn the_length_is_that_of_what_is_sent() {
        assert_eq!(asked(&post(), "hello", "", &[]).headers["content-length"], "5");
    }

    #[test]
    fn the_prefix_is_sanitised_and_put_before_the_path() {
        for (prefix, want) in [
            ("/check", "/check/a/b?c=d"),
            ("check/", "/check/a/b?c=d"),
            ("//x/./y//", "/x/y/a/b?c=d"),
            ("/x/%2e%2e/y", "/y/a/b?c=d"),
            ("/", "/a/b?c=d"),
        ] {
            assert_eq!(asked(&post(), "", prefix, &[]).uri.to_string(), want, "{prefix}");
        }
        let head = post();
        let seen = Seen::new(&head, Bytes::new(), None);
        for prefix in ["/../x", "/a b"] {
            assert_eq!(question(&seen, prefix, &[]).map(|_| ()), Err(Unusable::Path), "{prefix}");
        }
    }

    #[test]
    fn a_client_without_host_is_asked_about_all_the_same() {
        let question = asked(&head(Request::get("/")), "", "", &[]);
        assert_eq!(question.headers["host"], "");
    }

    #[test]
    fn two_hundred_allows_and_its_headers_go_on() {
        let answer = answered(
            200,
            &[("x-user", "eve"), ("x-user", "ann"), ("host", "h"), ("content-length", "3"), ("content-type", "t")],
            "yes",
        );
        let Ok(Decision::Allowed(effects)) = decision(answer, &[]) else { panic!("not allowed") };
        let mut headers = post().headers;
        headers.insert("x-user", HeaderValue::from_static("mallory"));
        effects.request.apply(&mut headers);
        assert_eq!(headers.get_all("x-user").iter().collect::<Vec<_>>(), ["eve", "ann"]);
        assert!(headers["host"] == "shop.example" && headers["content-length"] == "900");
        assert!(!headers.contains_key("content-type") && effects.response.is_empty());
    }

    #[test]
    fn what_only_the_service_may_state_cannot_be_forged_by_a_client() {
        let mut headers = post().headers;
        headers.insert("x-user", HeaderValue::from_static("mallory"));
        let answer = answered(200, &[("x-b", "new"), ("x-other", "1")], "");
        let Ok(Decision::Allowed(effects)) = decision(answer, &names(&["x-user", "x-b", "host"])) else { panic!() };
        effects.request.apply(&mut headers);
        assert!(!headers.contains_key("x-user") && !headers.contains_key("x-other"));
        assert!(headers["x-b"] == "new" && headers["host"] == "shop.example");
    }

    #[test]
    fn any_other_status_denies_with_the_services_own_answer() {
        for status in [302, 401, 403, 429, 500] {
            let fields = [("www-authenticate", "Basic"), ("transfer-encoding", "chunked"), ("content-type", "t")];
            let Ok(Decision::Denied { response, body }) = decision(answered(status, &fields, "no"), &[]) else {
                panic!("{status} allowed");
            };
            assert_eq!((response.status().as_u16(), &body[..]), (status, &b"no"[..]));
            assert!(response.headers().len() == 2 && response.headers()["www-authenticate"] == "Basic");
        }
    }

    #[test]
    fn a_no_never_reads_like_a_success() {
        for status in [201, 204, 299] {
            let Ok(Decision::Denied { response, body }) = decision(answered(status, &[], "ok"), &[]) else {
                panic!("{status} allowed");
            };
            assert!(response.status() == StatusCode::FORBIDDEN && body.is_empty());
        }
        assert!(matches!(decision(answered(101, &[], ""), &[]), Err(Unusable::Status(101))));
    }
}
