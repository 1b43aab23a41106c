//! GRPCRoutes.

use super::{Body, Compiled, Compiler, matches, rules};
use crate::{
    conditions::Refusal,
    objects::ObjectName,
    refs::resolver::{Context, Dependencies},
    snapshot::RouteKind,
};
use portolan_crds::grpc_route::{GRPCRouteRule, GRPCRouteSpec};

/// Compiles the rules of a GRPCRoute.
pub(super) fn compile(
    spec: &GRPCRouteSpec,
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
    rule: &GRPCRouteRule,
    route: &ObjectName,
    at: usize,
    context: &Context,
    compiler: &mut Compiler<'_>,
    found: &mut Dependencies,
) -> Result<Vec<super::Ranked>, Refusal> {
    let compiled = rule.matches.iter().enumerate();
    let compiled = compiled.map(|(n, one)| matches::grpc(one, &format!("spec.rules[{at}].matches[{n}]")));
    let mut compiled = compiled.collect::<Result<Vec<_>, _>>()?;
    if compiled.is_empty() {
        compiled.push(matches::any());
    }
    let spec = rules::RuleSpec {
        kind: RouteKind::GRPCRoute,
        route,
        at,
        name: rule.name.as_deref(),
        matches: compiled,
        filters: &rule.filters,
        backend_refs: &rule.backend_refs,
        timeouts: None,
        retry: None,
        session: rule.session_persistence.as_ref(),
    };
    rules::compile(compiler, context, spec, found)
}
