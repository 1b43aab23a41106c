//! Routes: what their rules compile to, which listeners they attach to, and which route wins where several want the same.

pub(crate) mod attach;
pub(crate) mod exclusive;
mod filters;
mod grpc;
mod headers;
mod http;
mod l4;
mod matches;
mod rules;
pub(crate) mod tables;

pub(crate) use attach::{Attachment, Outcome, ParentOutcome, ParentTarget};

use crate::{
    conditions::Refusal,
    objects::ObjectName,
    refs::resolver::{Context, Dependencies, Resolver},
    snapshot::{Candidate, L4Rule, RouteKind},
    wasm_filters::WasmFilters,
};
use k8s_openapi::Metadata;
use portolan_crds::{
    GRPCRoute, HTTPRoute, ObjectMeta, TCPRoute, TLSRoute, UDPRoute,
    common::{GatewayDefaultScope, ParentReference},
};
use std::sync::Arc;

/// What a route compiles to in one context. Kept for as long as nothing of it changes.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) body: Body,
    /// References that do not resolve.
    pub(crate) unresolved: Option<Refusal>,
    /// Whether rules are invalid.
    pub(crate) validity: Validity,
    pub(crate) dependencies: Dependencies,
}

/// The rules of a route.
#[derive(Debug)]
pub(crate) enum Body {
    /// Of an HTTPRoute or GRPCRoute: each match of each rule, in the order of the route.
    Http(Box<[Ranked]>),
    /// Of a route below HTTP.
    L4(Option<Arc<L4Rule>>),
}

/// One match with its precedence.
#[derive(Debug)]
pub(crate) struct Ranked {
    pub(crate) rank: Rank,
    pub(crate) candidate: Arc<Candidate>,
}

/// Precedence of a match by the criteria of its kind of route, the first counting most; higher goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank([u32; 5]);

/// Whether rules of a route are invalid.
#[derive(Clone, Debug)]
pub(crate) enum Validity {
    /// All rules are valid.
    Valid,
    /// Some rules are left out.
    Partial(Refusal),
    /// No rule is valid.
    Invalid(Refusal),
}

/// Compiles rules.
pub(crate) struct Compiler<'a> {
    pub(crate) resolver: Resolver<'a>,
    pub(crate) filters: &'a WasmFilters,
}

/// A route of any kind, as attachment sees it.
pub(crate) trait Route {
    /// Its kind.
    const KIND: RouteKind;
    /// Its metadata.
    fn meta(&self) -> &ObjectMeta;
    /// The parents that it names.
    fn parents(&self) -> &[ParentReference];
    /// Whether it attaches to the default Gateways.
    fn default_gateways(&self) -> Option<GatewayDefaultScope>;
    /// Its host names.
    fn hostnames(&self) -> &[String];
    /// What its rules compile to.
    fn compile(&self, name: &ObjectName, context: &Context, compiler: &mut Compiler<'_>) -> Compiled;
}

macro_rules! route {
    ($kind:ident, |$spec:ident, $name:ident, $context:ident, $compiler:ident| $compile:expr) => {
        impl Route for $kind {
            const KIND: RouteKind = RouteKind::$kind;
            fn meta(&self) -> &ObjectMeta {
                self.metadata()
            }
            fn parents(&self) -> &[ParentReference] {
                &self.spec.parent_refs
            }
            fn default_gateways(&self) -> Option<GatewayDefaultScope> {
                self.spec.use_default_gateways
            }
            fn hostnames(&self) -> &[String] {
                &self.spec.hostnames
            }
            fn compile(&self, $name: &ObjectName, $context: &Context, $compiler: &mut Compiler<'_>) -> Compiled {
                let $spec = &self.spec;
                $compile
            }
        }
    };
}

route!(HTTPRoute, |spec, name, context, compiler| http::compile(spec, name, context, compiler));
route!(GRPCRoute, |spec, name, context, compiler| grpc::compile(spec, name, context, compiler));
route!(TLSRoute, |spec, name, context, compiler| l4::compile(Self::KIND, spec, name, context, compiler));
route!(TCPRoute, |spec, name, context, compiler| l4::compile(Self::KIND, spec, name, context, compiler));
route!(UDPRoute, |spec, name, context, compiler| l4::compile(Self::KIND, spec, name, context, compiler));

// === impl Compiled ===

impl Compiled {
    /// A compiled route from its rules, some of which may be invalid: those are left out.
    fn new(body: Body, rules: usize, invalid: Vec<(usize, Refusal)>, mut dependencies: Dependencies) -> Self {
        let unresolved = Refusal::merged(std::mem::take(&mut dependencies.unresolved));
        let dropped: Vec<_> = invalid.iter().map(|(rule, _)| rule.to_string()).collect();
        let validity = match Refusal::merged(invalid.into_iter().map(|(_, why)| why)) {
            None => Validity::Valid,
            Some(why) if dropped.len() == rules => Validity::Invalid(why),
            // The prefix is the specification's: https://gateway-api.sigs.k8s.io/reference/spec/#routeconditiontype
            Some(why) => Validity::Partial(Refusal {
                message: format!("Dropped Rule(s) {}: {}", dropped.join(", "), why.message),
                ..why
            }),
        };
        Self { body, unresolved, validity, dependencies }
    }

    /// Why the route is not accepted, whatever its parents say.
    pub(crate) fn refused(&self) -> Option<&Refusal> {
        match &self.validity {
            Validity::Invalid(why) => Some(why),
            Validity::Valid | Validity::Partial(_) => None,
        }
    }

    /// The matches of an HTTPRoute or GRPCRoute.
    pub(crate) fn matches(&self) -> &[Ranked] {
        match &self.body {
            Body::Http(matches) => matches,
            Body::L4(_) => &[],
        }
    }

    /// The rule of a route below HTTP.
    pub(crate) fn l4(&self) -> Option<&Arc<L4Rule>> {
        match &self.body {
            Body::Http(_) => None,
            Body::L4(rule) => rule.as_ref(),
        }
    }
}
