//! TLSRoutes, TCPRoutes and UDPRoutes.

use super::{Body, Compiled, Compiler, rules::rule_id};
use crate::{
    conditions::refusal,
    objects::ObjectName,
    refs::{
        grants::Referrer,
        resolver::{Context, Dependencies, Purpose},
    },
    snapshot::{Backends, L4Rule, RouteKind},
};
use portolan_crds::l4_route::L4RouteSpec;
use std::sync::Arc;

/// Compiles the one rule of a route below HTTP; the API admits no second one.
pub(super) fn compile(
    kind: RouteKind,
    spec: &L4RouteSpec,
    name: &ObjectName,
    context: &Context,
    compiler: &mut Compiler<'_>,
) -> Compiled {
    let mut found = Dependencies::default();
    let [rule] = &spec.rules[..] else {
        let why = refusal(
            "UnsupportedValue",
            format!("spec.rules: exactly one rule must be given, not {}", spec.rules.len()),
        );
        let invalid = vec![(0, why)];
        return Compiled::new(Body::L4(None), invalid.len(), invalid, found);
    };
    let purpose = match kind {
        RouteKind::UDPRoute => Purpose::Udp,
        RouteKind::TLSRoute if context.terminated => Purpose::Terminated,
        _ => Purpose::Tcp,
    };
    let from = Referrer { kind: kind.as_str(), namespace: &name.namespace };
    let mut entries = Vec::with_capacity(rule.backend_refs.len());
    for (at, backend) in rule.backend_refs.iter().enumerate() {
        let place = format!("spec.rules[0].backendRefs[{at}]");
        let target = compiler.resolver.target(from, context, purpose, &backend.reference, &place, &mut found);
        entries.push((backend.weight(), target));
    }
    let id = rule_id(kind, name, 0, rule.name.as_deref());
    let compiled = Arc::new(L4Rule { id, backends: Backends::new(entries) });
    Compiled::new(Body::L4(Some(compiled)), 1, Vec::new(), found)
}
