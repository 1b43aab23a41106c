//! What runs for Gateways now, as far as it is known, and what is to be done about it. Pure.

use super::{GATEWAY_LABEL, Manifest, NAMESPACE_LABEL, Resource, before::is_ours};
use kube::api::DynamicObject;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
};

/// Of a pod's template: the ServiceAccount of its tokens.
const ACCOUNT_ANNOTATION: &str = "portolan.dev/service-account";

/// An object that runs for a Gateway.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Its kind.
    pub resource: Resource,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Namespace of a Gateway, and the value of its label.
pub type GatewayKey = (String, String);

/// What there is to be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Desired {
    /// All of these.
    pub manifests: Vec<Manifest>,
    /// What runs for these Gateways (namespace, label) stays as it is: they are not accepted for now.
    pub kept: BTreeSet<GatewayKey>,
    /// Whether this is all; until then nothing is taken away.
    pub complete: bool,
}

/// An object as it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    content: Content,
    version: u64,
    gateway: GatewayKey,
    /// Whether we made it; else somebody copied our labels.
    ours: bool,
}

/// A digest of what we say about an object, or of what it is.
pub type Content = [u8; 32];

/// An object as it was applied: what was asked for, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Applied {
    asked: Content,
    became: Content,
    version: u64,
}

/// What is known.
#[derive(Debug, Default)]
pub struct Owned {
    seen: HashMap<Key, Seen>,
    applied: HashMap<Key, Applied>,
    /// Which one, of all that ever had its name, a ServiceAccount is.
    accounts: HashMap<Key, String>,
}

// === impl Owned ===

impl Owned {
    /// An object was seen.
    pub fn see(&mut self, key: Key, object: &DynamicObject) {
        let labels = object.metadata.labels.as_ref();
        let gateway = gateway_of(|name| labels?.get(name).cloned(), &key.namespace);
        self.know_account(&key, object);
        let ours = key.resource == Resource::ClusterRoleBinding || is_ours(object);
        self.seen.insert(key, Seen { content: content_of(object), version: version_of(object), gateway, ours });
    }

    /// An object is gone.
    pub fn gone(&mut self, key: &Key) {
        self.seen.remove(key);
        self.applied.remove(key);
    }

    /// Of a kind, there are these and no others.
    pub fn listed(&mut self, resource: Resource, keys: &BTreeSet<Key>) {
        let absent: Vec<_> =
            self.seen.keys().filter(|key| key.resource == resource && !keys.contains(*key)).cloned().collect();
        absent.iter().for_each(|key| self.gone(key));
    }

    /// A manifest was applied, and this came of it.
    pub fn applied(&mut self, manifest: &Manifest, result: &DynamicObject) {
        let key = Key::from(manifest);
        self.know_account(&key, result);
        let applied =
            Applied { asked: digest(&self.asked(manifest)), became: content_of(result), version: version_of(result) };
        self.applied.insert(key, applied);
    }

    /// Whether an object is known to be ours.
    pub fn knows(&self, key: &Key) -> bool {
        self.applied.contains_key(key) || self.seen.get(key).is_some_and(|seen| seen.ours)
    }

    fn know_account(&mut self, key: &Key, object: &DynamicObject) {
        if key.resource == Resource::ServiceAccount {
            self.accounts.insert(key.clone(), object.metadata.uid.clone().unwrap_or_default());
        }
    }

    /// What is asked of the API server. The tokens of pods are of one ServiceAccount, and are worth nothing once another
    /// one has its name: then there have to be new pods.
    pub fn asked<'a>(&self, manifest: &'a Manifest) -> Cow<'a, Value> {
        let account = Key { resource: Resource::ServiceAccount, ..Key::from(manifest) };
        match self.accounts.get(&account).filter(|_| manifest.resource == Resource::Deployment) {
            None => Cow::Borrowed(&manifest.object),
            Some(uid) => {
                let mut object = manifest.object.clone();
                object["spec"]["template"]["metadata"]["annotations"][ACCOUNT_ANNOTATION] = Value::String(uid.clone());
                Cow::Owned(object)
            }
        }
    }

    /// The manifests that have to be applied: new ones, changed ones, and those that somebody else changed.
    pub fn to_apply<'a>(&self, desired: &'a Desired) -> Vec<&'a Manifest> {
        let stale = |manifest: &&Manifest| {
            let key = Key::from(*manifest);
            let Some(applied) = self.applied.get(&key) else { return true };
            let drifted = |seen: &Seen| seen.version > applied.version && seen.content != applied.became;
            applied.asked != digest(&self.asked(manifest)) || self.seen.get(&key).is_some_and(drifted)
        };
        desired.manifests.iter().filter(stale).collect()
    }

    /// The objects that nobody needs any more.
    pub fn to_delete(&self, desired: &Desired) -> Vec<Key> {
        if !desired.complete {
            return Vec::new();
        }
        let wanted: BTreeSet<Key> = desired.manifests.iter().map(Key::from).collect();
        let orphans = self
            .seen
            .iter()
            .filter(|(key, seen)| seen.ours && !wanted.contains(*key) && !desired.kept.contains(&seen.gateway));
        orphans.map(|(key, _)| key.clone()).collect()
    }
}

impl From<&Manifest> for Key {
    fn from(manifest: &Manifest) -> Self {
        let Manifest { resource, namespace, name, .. } = manifest;
        Self { resource: *resource, namespace: namespace.clone(), name: name.clone() }
    }
}

impl Manifest {
    /// The Gateway for which it runs.
    pub fn gateway(&self) -> GatewayKey {
        let labels = &self.object["metadata"]["labels"];
        gateway_of(|name| labels[name].as_str().map(str::to_owned), &self.namespace)
    }
}

/// The Gateway for which an object of these labels and this namespace runs.
fn gateway_of(label: impl Fn(&str) -> Option<String>, namespace: &str) -> GatewayKey {
    let namespace = label(NAMESPACE_LABEL).unwrap_or_else(|| namespace.to_owned());
    (namespace, label(GATEWAY_LABEL).unwrap_or_default())
}

/// Versions grow, as the API server's documentation allows to rely on since 1.35 and as etcd's always did.
fn version_of(object: &DynamicObject) -> u64 {
    object.metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or_default()
}

/// What an object is, without what changes by itself.
fn content_of(object: &DynamicObject) -> Content {
    let metadata = &object.metadata;
    let mut rest: BTreeMap<&str, &Value> = BTreeMap::new();
    for (field, value) in object.data.as_object().into_iter().flatten().filter(|(field, _)| *field != "status") {
        rest.insert(field, value);
    }
    digest(&serde_json::json!([metadata.labels, metadata.annotations, metadata.owner_references, rest]))
}

/// Of a value.
pub fn digest(value: &Value) -> Content {
    Sha256::digest(value.to_string()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(version: &str, spec: &Value) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {
                "name": "g", "namespace": "n", "resourceVersion": version,
                "labels": { GATEWAY_LABEL: "g", "app.kubernetes.io/managed-by": "portolan",
                            "app.kubernetes.io/name": "portolan-gateway" },
                "ownerReferences": [{ "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "name": "g",
                                      "uid": "u", "controller": true }],
            },
            "spec": spec, "status": { "version": version },
        }))
        .expect("it is an object")
    }

    fn manifest(spec: &Value) -> Manifest {
        let (namespace, name) = ("n".to_owned(), "g".to_owned());
        Manifest { resource: Resource::Service, namespace, name, object: json!({ "spec": spec }) }
    }

    fn desired(spec: &Value) -> Desired {
        Desired { manifests: vec![manifest(spec)], complete: true, ..Desired::default() }
    }

    #[test]
    fn what_was_applied_is_left_alone_until_it_is_to_be_another_or_somebody_changes_it() {
        let mut owned = Owned::default();
        let (one, two) = (json!({ "a": 1 }), json!({ "a": 2 }));
        assert_eq!(owned.to_apply(&desired(&one)).len(), 1, "it is new");
        owned.applied(&manifest(&one), &object("7", &json!({ "a": 1, "defaulted": true })));
        let key = Key::from(&manifest(&one));
        owned.see(key.clone(), &object("6", &json!({})));
        assert!(owned.to_apply(&desired(&one)).is_empty(), "an event of before says nothing");
        owned.see(key.clone(), &object("8", &json!({ "a": 1, "defaulted": true })));
        assert!(owned.to_apply(&desired(&one)).is_empty(), "a status is no drift");
        assert_eq!(owned.to_apply(&desired(&two)).len(), 1, "it is to be another");
        owned.see(key.clone(), &object("9", &json!({ "a": 3 })));
        assert_eq!(owned.to_apply(&desired(&one)).len(), 1, "somebody changed it");
        owned.applied(&manifest(&one), &object("10", &one));
        owned.gone(&key);
        assert_eq!(owned.to_apply(&desired(&one)).len(), 1, "somebody deleted it");
    }

    #[test]
    fn another_service_account_of_the_name_makes_new_pods() {
        let mut owned = Owned::default();
        let of = |resource| Manifest { resource, object: json!({ "spec": {} }), ..manifest(&Value::Null) };
        let (account, deployment) = (of(Resource::ServiceAccount), of(Resource::Deployment));
        let with_uid = |uid: &str, version: &str| {
            let mut object = object(version, &Value::Null);
            object.metadata.uid = Some(uid.to_owned());
            object
        };
        owned.applied(&account, &with_uid("one", "1"));
        owned.applied(&deployment, &object("2", &Value::Null));
        let desired = Desired { manifests: vec![account.clone(), deployment.clone()], ..Desired::default() };
        assert!(owned.to_apply(&desired).is_empty());
        owned.see(Key::from(&account), &with_uid("two", "3"));
        assert!(owned.to_apply(&desired).contains(&&deployment));
    }

    #[test]
    fn what_no_gateway_needs_goes_once_all_gateways_are_known() {
        let mut owned = Owned::default();
        let key = Key::from(&manifest(&Value::Null));
        owned.see(key.clone(), &object("1", &Value::Null));
        let mut none = Desired::default();
        assert!(owned.to_delete(&none).is_empty(), "not all is known yet");
        none.complete = true;
        assert_eq!(owned.to_delete(&none), [key]);
        assert!(owned.to_delete(&desired(&Value::Null)).is_empty());
        let mut copied = object("2", &Value::Null);
        copied.metadata.owner_references = None;
        owned.see(Key::from(&manifest(&Value::Null)), &copied);
        assert!(owned.to_delete(&none).is_empty(), "somebody copied our labels");
        owned.see(Key::from(&manifest(&Value::Null)), &object("3", &Value::Null));
        none.kept.insert(("n".to_owned(), "g".to_owned()));
        assert!(owned.to_delete(&none).is_empty(), "its Gateway is not accepted for now");
    }
}
