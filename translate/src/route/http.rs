//! HTTPRoutes.

use super::{Body, Compiled, Compiler, matches, rules};
use crate::{
    conditions::Refusal,
    objects::ObjectName,
    refs::resolver::{Context, Dependencies},
    snapshot::RouteKind,
};
use portolan_crds::http_route::{HTTPRouteRule, HTTPRouteSpec};

/// Compiles the rules of an HTTPRoute.
pub(super) fn compile(
    spec: &HTTPRouteSpec,
    name: &ObjectName,
    context: &Context,
    compiler: &mut Compiler<'_>,
) -> Compiled {
    let (mut ranked, mut invalid, mut found) = (Vec::new(), Vec::new(), Dependencies::default());
    for (at, rule) in spec.rules.iter().enumerate() {
        match compile_rule(rule, name, at, context, compiler, &mut found) {
            Ok(matches) => ranked.extend(matches),
            Err(why) => invalid.push((at, why)),
        }
    }
    Compiled::new(Body::Http(ranked.into()), spec.rules.len(), invalid, found)
}

fn compile_rule(
    rule: &HTTPRouteRule,
    route: &ObjectName,
    at: usize,
    context: &Context,
    compiler: &mut Compiler<'_>,
    found: &mut Dependencies,
) -> Result<Vec<super::Ranked>, Refusal> {
    let compiled = rule.matches.iter().enumerate();
    let compiled = compiled.map(|(n, one)| matches::http(one, &format!("spec.rules[{at}].matches[{n}]")));
    let mut compiled = compiled.collect::<Result<Vec<_>, _>>()?;
    if compiled.is_empty() {
        compiled.push(matches::http(&Default::default(), "")?);
    }
    let spec = rules::RuleSpec {
        kind: RouteKind::HTTPRoute,
        route,
        at,
        name: rule.name.as_deref(),
        matches: compiled,
        filters: &rule.filters,
        backend_refs: &rule.backend_refs,
        timeouts: rule.timeouts.as_ref(),
        retry: rule.retry.as_ref(),
        session: rule.session_persistence.as_ref(),
    };
    rules::compile(compiler, context, spec, found)
}
