//! What rules of HTTPRoutes and GRPCRoutes share: backends, timeouts, retries, sessions.

use super::{
    Compiler, Rank, Ranked,
    filters::{self, On, Scope},
};
use crate::{
    conditions::{Refusal, refusal},
    objects::ObjectName,
    refs::{
        grants::Referrer,
        resolver::{Context, Dependencies, Purpose},
    },
    snapshot::{
        Backends, Candidate, HttpBackend, Matcher, PathMatch, Retry, RouteKind, Rule, RuleId, SessionCarrier,
        SessionPersistence, Timeouts,
    },
};
use portolan_crds::{
    common::{CookieLifetimeType, SessionPersistence as Session, SessionPersistenceType},
    http_route::{HTTPBackendRef, HTTPRouteFilter, HTTPRouteRetry, HTTPRouteTimeouts},
};
use sha2::{Digest, Sha256};
use std::{sync::Arc, time::Duration};

/// Tries after the first where the route does not say how many.
const RETRY_ATTEMPTS: u32 = 1;
/// Least time between tries where the route does not say how much.
const RETRY_BACKOFF: Duration = Duration::from_millis(25);

/// A rule of either kind.
pub(super) struct RuleSpec<'a> {
    pub(super) kind: RouteKind,
    pub(super) route: &'a ObjectName,
    pub(super) at: usize,
    pub(super) name: Option<&'a str>,
    pub(super) matches: Vec<(Rank, Matcher)>,
    pub(super) filters: &'a [HTTPRouteFilter],
    pub(super) backend_refs: &'a [HTTPBackendRef],
    pub(super) timeouts: Option<&'a HTTPRouteTimeouts>,
    pub(super) retry: Option<&'a HTTPRouteRetry>,
    pub(super) session: Option<&'a Session>,
}

/// Compiles a rule to its matches.
pub(super) fn compile(
    compiler: &mut Compiler<'_>,
    context: &Context,
    spec: RuleSpec<'_>,
    found: &mut Dependencies,
) -> Result<Vec<Ranked>, Refusal> {
    let place = format!("spec.rules[{}]", spec.at);
    let id = rule_id(spec.kind, spec.route, spec.at, spec.name);
    let purpose = if spec.kind == RouteKind::GRPCRoute { Purpose::Grpc } else { Purpose::Http };
    let mut scope = Scope {
        from: Referrer { kind: spec.kind.as_str(), namespace: &spec.route.namespace },
        context,
        purpose,
        on: On::Rule,
        prefixes: spec.matches.iter().all(|(_, matcher)| matches!(matcher.path, PathMatch::Prefix(_))),
    };
    let filters = filters::compile(compiler, &scope, spec.filters, &format!("{place}.filters"), found)?;
    scope.on = On::Backend;
    let mut entries = Vec::with_capacity(spec.backend_refs.len());
    for (at, backend) in spec.backend_refs.iter().enumerate() {
        let place = format!("{place}.backendRefs[{at}]");
        let filters = filters::compile(compiler, &scope, &backend.filters, &format!("{place}.filters"), found)?;
        let reference = &backend.backend.reference;
        let target = compiler.resolver.target(scope.from, context, purpose, reference, &place, found);
        entries.push((backend.backend.weight(), HttpBackend { target, filters }));
    }
    let session = spec.session.map(|session| self::session(session, &id, &format!("{place}.sessionPersistence")));
    let rule = Arc::new(Rule {
        id,
        filters,
        backends: Backends::new(entries),
        timeouts: timeouts(spec.timeouts),
        retry: spec.retry.and_then(retry),
        session: session.transpose()?,
    });
    let ranked = |(rank, matcher)| Ranked { rank, candidate: Arc::new(Candidate { matcher, rule: rule.clone() }) };
    Ok(spec.matches.into_iter().map(ranked).collect())
}

/// The identity of a rule.
pub(super) fn rule_id(kind: RouteKind, route: &ObjectName, at: usize, name: Option<&str>) -> RuleId {
    RuleId { kind, route: route.clone(), rule: u16::try_from(at).unwrap_or(u16::MAX), name: name.map(Into::into) }
}

/// Zero disables a timeout.
fn timeouts(timeouts: Option<&HTTPRouteTimeouts>) -> Timeouts {
    let set = |duration: Option<portolan_crds::Duration>| duration.map(|d| d.0).filter(|d| !d.is_zero());
    timeouts.map_or_else(Timeouts::default, |timeouts| Timeouts {
        request: set(timeouts.request),
        backend_request: set(timeouts.backend_request),
    })
}

fn retry(retry: &HTTPRouteRetry) -> Option<Retry> {
    let attempts = retry.attempts.unwrap_or(RETRY_ATTEMPTS);
    let mut codes = retry.codes.clone();
    codes.sort_unstable();
    codes.dedup();
    let backoff = retry.backoff.map_or(RETRY_BACKOFF, |backoff| backoff.0);
    (attempts > 0).then(|| Retry { codes: codes.into(), attempts, backoff })
}

fn session(session: &Session, id: &RuleId, place: &str) -> Result<SessionPersistence, Refusal> {
    let lifetime = session.cookie_config.as_ref().and_then(|cookie| cookie.lifetime_type);
    let carrier = match (session.kind.unwrap_or(SessionPersistenceType::Cookie), lifetime) {
        (SessionPersistenceType::Header, _) => SessionCarrier::Header,
        (SessionPersistenceType::Cookie, Some(CookieLifetimeType::Permanent)) => SessionCarrier::PermanentCookie,
        (SessionPersistenceType::Cookie, _) => SessionCarrier::SessionCookie,
    };
    let absolute_timeout = session.absolute_timeout.map(|timeout| timeout.0).filter(|timeout| !timeout.is_zero());
    if carrier == SessionCarrier::PermanentCookie && absolute_timeout.is_none() {
        let why = "absoluteTimeout must be given with a Permanent cookie";
        return Err(refusal("UnsupportedValue", format!("{place}: {why}")));
    }
    let name = session.session_name.as_deref().filter(|name| !name.is_empty());
    let name: Arc<str> = name.map_or_else(|| session_name(id), Into::into);
    // Names of cookies and of headers are both tokens (RFC 9110, 5.6.2).
    if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
        let message = format!("{place}.sessionName: {name:?} can name neither a cookie nor a header");
        return Err(refusal("UnsupportedValue", message));
    }
    Ok(SessionPersistence { name, carrier, absolute_timeout })
}

/// A name that is the same in every process and another for every rule, so that sessions of two rules do not mix.
fn session_name(id: &RuleId) -> Arc<str> {
    let digest = Sha256::digest(format!("{} {} {}", id.kind, id.route, id.rule));
    let hex: String = digest[..6].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("portolan-session-{hex}").into()
}
