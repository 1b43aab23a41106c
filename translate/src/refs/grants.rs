//! ReferenceGrants: who may refer to objects of another namespace. Never asked where both are in one namespace.

use crate::objects::{ObjectName, Store};
use portolan_crds::{GATEWAY_GROUP, PORTOLAN_GROUP, ReferenceGrant};
use std::{collections::HashMap, sync::Arc};

/// Grants by the namespace that gives them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Grants {
    by_namespace: HashMap<Arc<str>, Vec<Arc<ReferenceGrant>>>,
}

/// An object that refers to others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Referrer<'a> {
    pub(crate) kind: &'static str,
    pub(crate) namespace: &'a str,
}

/// An object that is referred to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Referent<'a> {
    pub(crate) group: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
}

// === impl Grants ===

impl Grants {
    pub(crate) fn new(grants: &Store<ReferenceGrant>) -> Self {
        let mut by_namespace: HashMap<_, Vec<_>> = HashMap::new();
        for (name, grant) in grants {
            by_namespace.entry(name.namespace.clone()).or_default().push(grant.clone());
        }
        Self { by_namespace }
    }

    /// Whether `from` may refer to `to`: always within a namespace, else by a grant of the other namespace.
    pub(crate) fn allow(&self, from: Referrer<'_>, to: Referent<'_>) -> bool {
        from.namespace == to.namespace
            || self.by_namespace.get(to.namespace).is_some_and(|all| all.iter().any(|grant| permits(grant, from, to)))
    }
}

fn permits(grant: &ReferenceGrant, from: Referrer<'_>, to: Referent<'_>) -> bool {
    let group = from.group();
    let who = |f: &portolan_crds::reference_grant::ReferenceGrantFrom| {
        f.group == group && f.kind == from.kind && f.namespace == from.namespace
    };
    let what = |t: &portolan_crds::reference_grant::ReferenceGrantTo| {
        t.group == to.group
            && t.kind == to.kind
            && t.name.as_deref().is_none_or(|name| name.is_empty() || name == to.name)
    };
    grant.spec.from.iter().any(who) && grant.spec.to.iter().any(what)
}

// === impl Referrer ===

impl Referrer<'_> {
    fn group(&self) -> &'static str {
        if self.kind == "WasmFilter" { PORTOLAN_GROUP } else { GATEWAY_GROUP }
    }
}

// === impl Referent ===

impl<'a> Referent<'a> {
    /// An object of the core group.
    pub(crate) fn core(kind: &'static str, name: &'a ObjectName) -> Self {
        Self { group: "", kind, namespace: &name.namespace, name: &name.name }
    }

    /// What to write to people when the reference is not permitted.
    pub(crate) fn not_permitted(&self, from: Referrer<'_>) -> String {
        format!(
            "no ReferenceGrant in namespace {} lets {}s of namespace {} refer to {} {}",
            self.namespace, from.kind, from.namespace, self.kind, self.name
        )
    }
}
