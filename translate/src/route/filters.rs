//! Filters of rules and of backendRefs. One that cannot be used makes its rule invalid; one whose reference does not
//! resolve stays, and its requests are answered with 500 (a mirror is left out instead): never skipped in silence.

use super::{Compiler, headers};
use crate::{
    conditions::{Refusal, refusal, shown_kind},
    objects::ObjectName,
    refs::{
        grants::Referrer,
        resolver::{Context, Dependencies, Purpose},
    },
    snapshot::{
        Cors, ExternalAuth, ExternalAuthProtocol, Filter, Mirror, OriginMatch, PathModifier, Redirect, Rewrite,
    },
};
use http::{Method, StatusCode};
use portolan_crds::{
    PORTOLAN_GROUP,
    common::LocalObjectReference,
    http_route::{
        ExternalAuthProtocol as Protocol, HTTPCORSFilter, HTTPExternalAuthFilter, HTTPPathModifier,
        HTTPPathModifierType, HTTPRequestMirrorFilter, HTTPRequestRedirectFilter, HTTPRouteFilter,
        HTTPRouteFilterType as Kind, HTTPURLRewriteFilter,
    },
};
use std::{sync::Arc, time::Duration};

/// For how long a preflight's answer holds unless the filter says so (the specification's default).
const CORS_MAX_AGE_SECONDS: u32 = 5;

/// Where filters stand.
pub(super) struct Scope<'a> {
    pub(super) from: Referrer<'a>,
    pub(super) context: &'a Context,
    pub(super) purpose: Purpose,
    pub(super) on: On,
    /// Whether all matches of the rule are prefixes, so that a prefix can be replaced.
    pub(super) prefixes: bool,
}

/// Whose filters they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum On {
    /// A rule's.
    Rule,
    /// A backendRef's: they run once that backend is picked.
    Backend,
}

/// Compiles a list of filters; `place` is its field.
pub(super) fn compile(
    compiler: &mut Compiler<'_>,
    scope: &Scope<'_>,
    list: &[HTTPRouteFilter],
    place: &str,
    found: &mut Dependencies,
) -> Result<Box<[Filter]>, Refusal> {
    check_combination(list, scope.on, place)?;
    list.iter().enumerate().map(|(at, filter)| one(compiler, scope, filter, &format!("{place}[{at}]"), found)).collect()
}

/// Which filters may stand together: at most one of each kind but mirrors and extensions, and no rewrite with a redirect.
fn check_combination(list: &[HTTPRouteFilter], on: On, place: &str) -> Result<(), Refusal> {
    let incompatible = |why: String| Err(refusal("IncompatibleFilters", format!("{place}: {why}")));
    for (at, filter) in list.iter().enumerate() {
        let repeated = list[..at].iter().any(|earlier| earlier.kind == filter.kind);
        if repeated && !matches!(filter.kind, Kind::RequestMirror | Kind::ExtensionRef) {
            return incompatible(format!("{:?} is given more than once", filter.kind));
        }
        if on == On::Backend && matches!(filter.kind, Kind::CORS | Kind::ExternalAuth) {
            return incompatible(format!("{:?} is supported on rules alone, not on a backendRef", filter.kind));
        }
    }
    let has = |kind| list.iter().any(|filter| filter.kind == kind);
    if has(Kind::URLRewrite) && has(Kind::RequestRedirect) {
        return incompatible("URLRewrite and RequestRedirect cannot be combined".to_owned());
    }
    Ok(())
}

fn one(
    compiler: &mut Compiler<'_>,
    scope: &Scope<'_>,
    filter: &HTTPRouteFilter,
    place: &str,
    found: &mut Dependencies,
) -> Result<Filter, Refusal> {
    let absent = |field: &str| unsupported(format!("{place}.{field} must be given"));
    match filter.kind {
        Kind::RequestHeaderModifier => {
            let field = filter.request_header_modifier.as_ref().ok_or_else(|| absent("requestHeaderModifier"))?;
            headers::edits(field, &format!("{place}.requestHeaderModifier")).map(Filter::RequestHeaders)
        }
        Kind::ResponseHeaderModifier => {
            let field = filter.response_header_modifier.as_ref().ok_or_else(|| absent("responseHeaderModifier"))?;
            headers::edits(field, &format!("{place}.responseHeaderModifier")).map(Filter::ResponseHeaders)
        }
        Kind::RequestRedirect => {
            let field = filter.request_redirect.as_ref().ok_or_else(|| absent("requestRedirect"))?;
            redirect(field, scope, &format!("{place}.requestRedirect")).map(Filter::Redirect)
        }
        Kind::URLRewrite => {
            let field = filter.url_rewrite.as_ref().ok_or_else(|| absent("urlRewrite"))?;
            rewrite(field, scope, &format!("{place}.urlRewrite")).map(Filter::Rewrite)
        }
        Kind::RequestMirror => {
            let field = filter.request_mirror.as_ref().ok_or_else(|| absent("requestMirror"))?;
            mirror(compiler, scope, field, &format!("{place}.requestMirror"), found).map(Filter::Mirror)
        }
        Kind::CORS => {
            let field = filter.cors.as_ref().ok_or_else(|| absent("cors"))?;
            cors(field, &format!("{place}.cors")).map(|cors| Filter::Cors(Box::new(cors)))
        }
        Kind::ExternalAuth => {
            let field = filter.external_auth.as_ref().ok_or_else(|| absent("externalAuth"))?;
            let auth = external_auth(compiler, scope, field, &format!("{place}.externalAuth"), found)?;
            Ok(Filter::ExternalAuth(Box::new(auth)))
        }
        Kind::ExtensionRef => {
            let field = filter.extension_ref.as_ref().ok_or_else(|| absent("extensionRef"))?;
            Ok(extension(compiler, scope, field, &format!("{place}.extensionRef"), found))
        }
    }
}

fn redirect(filter: &HTTPRequestRedirectFilter, scope: &Scope<'_>, place: &str) -> Result<Redirect, Refusal> {
    let scheme: Option<Arc<str>> = match filter.scheme.as_deref().filter(|scheme| !scheme.is_empty()) {
        Some(scheme @ ("http" | "https")) => Some(scheme.into()),
        Some(other) => return Err(unsupported(format!("{place}.scheme: {other} is neither http nor https"))),
        None => None,
    };
    let code = filter.status_code.unwrap_or(302);
    let status = Some(code).filter(|code| matches!(code, 301 | 302 | 303 | 307 | 308));
    let status = status.and_then(|code| StatusCode::from_u16(code).ok());
    Ok(Redirect {
        scheme,
        hostname: filter.hostname.as_deref().filter(|name| !name.is_empty()).map(Into::into),
        path: path(filter.path.as_ref(), scope, place)?,
        port: filter.port,
        status: status.ok_or_else(|| unsupported(format!("{place}.statusCode: {code} is no redirect of the API")))?,
    })
}

fn rewrite(filter: &HTTPURLRewriteFilter, scope: &Scope<'_>, place: &str) -> Result<Rewrite, Refusal> {
    let hostname: Option<Arc<str>> = filter.hostname.as_deref().filter(|name| !name.is_empty()).map(Into::into);
    if hostname.as_ref().is_some_and(|name| http::HeaderValue::from_str(name).is_err()) {
        return Err(unsupported(format!("{place}.hostname is no host name")));
    }
    Ok(Rewrite { hostname, path: path(filter.path.as_ref(), scope, place)? })
}

fn path(modifier: Option<&HTTPPathModifier>, scope: &Scope<'_>, place: &str) -> Result<Option<PathModifier>, Refusal> {
    let Some(modifier) = modifier else { return Ok(None) };
    match (modifier.kind, &modifier.replace_full_path, &modifier.replace_prefix_match) {
        (HTTPPathModifierType::ReplaceFullPath, Some(path), _) => Ok(Some(PathModifier::Full(path.as_str().into()))),
        (HTTPPathModifierType::ReplacePrefixMatch, _, Some(_)) if !scope.prefixes => {
            let why = "replacePrefixMatch needs matches of the type PathPrefix alone";
            Err(unsupported(format!("{place}.path: {why}")))
        }
        (HTTPPathModifierType::ReplacePrefixMatch, _, Some(path)) => {
            Ok(Some(PathModifier::Prefix(path.as_str().into())))
        }
        (kind, ..) => Err(unsupported(format!("{place}.path: {kind:?} has no value"))),
    }
}

fn mirror(
    compiler: &mut Compiler<'_>,
    scope: &Scope<'_>,
    filter: &HTTPRequestMirrorFilter,
    place: &str,
    found: &mut Dependencies,
) -> Result<Mirror, Refusal> {
    let (numerator, denominator) = match (filter.fraction, filter.percent) {
        (Some(_), Some(_)) => return Err(unsupported(format!("{place}: fraction and percent cannot both be given"))),
        (Some(fraction), None) => (fraction.numerator, fraction.denominator.unwrap_or(100)),
        (None, percent) => (percent.unwrap_or(100), 100),
    };
    if denominator == 0 || numerator > denominator {
        return Err(unsupported(format!("{place}: {numerator}/{denominator} is no share between 0 and 1")));
    }
    let place = format!("{place}.backendRef");
    let target = compiler.resolver.target(scope.from, scope.context, scope.purpose, &filter.backend_ref, &place, found);
    Ok(Mirror { target, numerator, denominator })
}

fn cors(filter: &HTTPCORSFilter, place: &str) -> Result<Cors, Refusal> {
    let any = |list: &[String]| list.iter().any(|entry| entry == "*");
    let methods = |list: &[String]| -> Result<Option<Box<[Method]>>, Refusal> {
        if any(list) {
            return Ok(None);
        }
        let method = |name: &String| {
            Method::from_bytes(name.as_bytes())
                .map_err(|_| unsupported(format!("{place}.allowMethods: {name} is no method")))
        };
        list.iter().map(method).collect::<Result<_, _>>().map(Some)
    };
    let header_names = |list: &[String], field: &str| match any(list) {
        true => Ok(None),
        false => headers::names(list, &format!("{place}.{field}")).map(Some),
    };
    let origins = filter.allow_origins.iter().enumerate().map(|(at, origin)| {
        self::origin(origin).ok_or_else(|| unsupported(format!("{place}.allowOrigins[{at}]: {origin} is no origin")))
    });
    Ok(Cors {
        allow_origins: origins.collect::<Result<_, _>>()?,
        allow_credentials: filter.allow_credentials.unwrap_or(false),
        allow_methods: methods(&filter.allow_methods)?,
        allow_headers: header_names(&filter.allow_headers, "allowHeaders")?,
        expose_headers: header_names(&filter.expose_headers, "exposeHeaders")?,
        max_age: Duration::from_secs(filter.max_age.unwrap_or(CORS_MAX_AGE_SECONDS).into()),
    })
}

/// An origin as browsers write it: lower-case, and without the scheme's own port.
fn origin(text: &str) -> Option<OriginMatch> {
    if text == "*" {
        return Some(OriginMatch::Any);
    }
    let lower = text.to_ascii_lowercase();
    let (scheme, rest) = lower.split_once("://")?;
    let own_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return None,
    };
    let rest = rest.strip_suffix(own_port).unwrap_or(rest);
    match rest.split_once('*') {
        None => (!rest.is_empty()).then(|| OriginMatch::Exact(format!("{scheme}://{rest}").into())),
        Some(("", suffix)) => {
            Some(OriginMatch::Wildcard { prefix: format!("{scheme}://").into(), suffix: suffix.into() })
        }
        Some(_) => None,
    }
}

fn external_auth(
    compiler: &mut Compiler<'_>,
    scope: &Scope<'_>,
    filter: &HTTPExternalAuthFilter,
    place: &str,
    found: &mut Dependencies,
) -> Result<ExternalAuth, Refusal> {
    let purpose = match filter.protocol {
        Protocol::GRPC => Purpose::Grpc,
        Protocol::HTTP => Purpose::Http,
    };
    let target = compiler.resolver.target(
        scope.from,
        scope.context,
        purpose,
        &filter.backend_ref,
        &format!("{place}.backendRef"),
        found,
    );
    let protocol = match filter.protocol {
        Protocol::GRPC => {
            let grpc = filter.grpc.clone().unwrap_or_default();
            let allowed_headers = headers::names(&grpc.allowed_headers, &format!("{place}.grpc.allowedHeaders"))?;
            ExternalAuthProtocol::Grpc { allowed_headers }
        }
        Protocol::HTTP => {
            let http = filter.http.clone().unwrap_or_default();
            ExternalAuthProtocol::Http {
                path: http.path.trim_end_matches('/').into(),
                allowed_headers: headers::names(&http.allowed_headers, &format!("{place}.http.allowedHeaders"))?,
                allowed_response_headers: headers::names(
                    &http.allowed_response_headers,
                    &format!("{place}.http.allowedResponseHeaders"),
                )?,
            }
        }
    };
    // The API admits no more than 65535 bytes.
    let body_bytes_max = filter.forward_body.map_or(0, |body| u16::try_from(body.max_size).unwrap_or(u16::MAX));
    Ok(ExternalAuth { target, protocol, body_bytes_max })
}

fn extension(
    compiler: &Compiler<'_>,
    scope: &Scope<'_>,
    reference: &LocalObjectReference,
    place: &str,
    found: &mut Dependencies,
) -> Filter {
    let kind = shown_kind(&reference.group, &reference.kind);
    let shown = format!("{kind} {}/{}", scope.from.namespace, reference.name);
    let mut unresolved = |reason, why: String| {
        found.unresolved.push(refusal(reason, format!("{place}: {why}")));
        Filter::Unresolved { reference: shown.as_str().into(), reason: why.into() }
    };
    if (reference.group.as_str(), reference.kind.as_str()) != (PORTOLAN_GROUP, "WasmFilter") {
        return unresolved("InvalidKind", format!("{kind} is not supported, only {PORTOLAN_GROUP}/WasmFilter is"));
    }
    let name = ObjectName::new(scope.from.namespace, reference.name.as_str());
    let filter = match compiler.filters.get(&name).map(|outcome| &outcome.filter) {
        Some(Ok(filter)) => Filter::Wasm(filter.clone()),
        Some(Err(why)) => unresolved("InvalidFilter", format!("WasmFilter {name} is invalid: {}", why.message)),
        None => unresolved("FilterNotFound", format!("WasmFilter {name} does not exist")),
    };
    found.filters.push(name);
    filter
}

fn unsupported(message: String) -> Refusal {
    refusal("UnsupportedValue", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_read_as_browsers_write_them() {
        let exact = |text: &str| Some(OriginMatch::Exact(text.into()));
        let wildcard =
            |prefix: &str, suffix: &str| Some(OriginMatch::Wildcard { prefix: prefix.into(), suffix: suffix.into() });
        assert_eq!(origin("*"), Some(OriginMatch::Any));
        assert_eq!(origin("https://Example.com:443"), exact("https://example.com"));
        assert_eq!(origin("http://example.com:443"), exact("http://example.com:443"));
        assert_eq!(origin("https://*.example.com:8443"), wildcard("https://", ".example.com:8443"));
        assert_eq!(origin("https://*"), wildcard("https://", ""));
        for bad in ["example.com", "ftp://example.com", "https://", "https://a.*.com"] {
            assert_eq!(origin(bad), None, "{bad}");
        }
    }
}
