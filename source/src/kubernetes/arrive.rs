//! An object as the API server sends it → the typed object, without what nobody reads: most of an object's bytes are
//! managed fields, annotations and statuses.

use crate::kinds::{Kind, Object, Reader};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::DynamicObject;
use portolan_crds::PORTOLAN_GROUP;
use portolan_translate::ObjectName;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// An object that arrived.
pub(super) struct Arrived {
    pub(super) name: ObjectName,
    pub(super) object: Object,
    /// Its status as it was sent.
    pub(super) status: Option<Value>,
    pub(super) resource_version: String,
}

/// The name of an object.
pub(super) fn name(metadata: &ObjectMeta) -> ObjectName {
    ObjectName::new(metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
}

/// Reads an object; else says what is wrong with it.
pub(super) fn arrive(kind: Kind, object: DynamicObject) -> Result<Arrived, String> {
    let DynamicObject { metadata, mut data, .. } = object;
    let name = name(&metadata);
    let resource_version = metadata.resource_version.clone().unwrap_or_default();
    let fields = data.as_object_mut();
    // The addresses of a Service stand in its status alone.
    let status = fields.filter(|_| kind != Kind::Service).and_then(|fields| fields.remove("status"));
    let object = read(kind, &data)?.with_metadata(pruned(metadata));
    Ok(Arrived { name, object, status, resource_version })
}

/// What is read of metadata.
fn pruned(metadata: ObjectMeta) -> ObjectMeta {
    let own = |key: &str| key.split('/').next().is_some_and(|domain| domain == PORTOLAN_GROUP);
    let annotations = metadata.annotations.map(|mut annotations| {
        annotations.retain(|key, _| own(key));
        annotations
    });
    ObjectMeta {
        annotations: annotations.filter(|annotations| !annotations.is_empty()),
        creation_timestamp: metadata.creation_timestamp,
        deletion_timestamp: metadata.deletion_timestamp,
        finalizers: metadata.finalizers,
        generation: metadata.generation,
        labels: metadata.labels,
        name: metadata.name,
        namespace: metadata.namespace,
        uid: metadata.uid,
        ..ObjectMeta::default()
    }
}

fn read(kind: Kind, value: &Value) -> Result<Object, String> {
    let mut error = String::new();
    Object::deserialize(kind, JsonReader { value, error: &mut error }).ok_or(error)
}

struct JsonReader<'a> {
    value: &'a Value,
    error: &'a mut String,
}

impl Reader for JsonReader<'_> {
    fn read<T: DeserializeOwned>(self) -> Option<T> {
        let mut track = serde_path_to_error::Track::new();
        let tracked = serde_path_to_error::Deserializer::new(self.value, &mut track);
        let erased = erased_serde::deserialize(&mut <dyn erased_serde::Deserializer<'_>>::erase(tracked));
        erased.map_err(|error: erased_serde::Error| *self.error = format!("{}: {error}", track.path())).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> DynamicObject {
        serde_json::from_value(value).expect("it is an object")
    }

    #[test]
    fn what_nobody_reads_is_dropped() {
        let arrived = arrive(
            Kind::HTTPRoute,
            object(json!({
                "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
                "metadata": {
                    "name": "r", "namespace": "n", "resourceVersion": "7", "generation": 3, "uid": "u",
                    "labels": {"l": "1"},
                    "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "portolan.dev/x": "1"},
                    "managedFields": [{"manager": "kubectl"}],
                },
                "spec": {"hostnames": ["a.example"]},
                "status": {"parents": []},
            })),
        );
        let Ok(Arrived { name, object: Object::HTTPRoute(route), status, resource_version }) = arrived else {
            panic!("it is a route")
        };
        assert_eq!((name.to_string().as_str(), resource_version.as_str()), ("n/r", "7"));
        assert_eq!(status, Some(json!({"parents": []})));
        assert!(route.status.is_none() && route.metadata.managed_fields.is_none());
        assert_eq!(route.metadata.annotations.as_ref().map(|all| all.len()), Some(1));
        assert_eq!(route.metadata.resource_version, None, "a change of status alone is no change");
        assert_eq!((route.metadata.generation, route.metadata.labels.is_some()), (Some(3), true));
        assert_eq!(route.spec.hostnames, ["a.example"]);
    }

    #[test]
    fn a_services_status_holds_its_addresses() {
        let arrived = arrive(
            Kind::Service,
            object(json!({
                "apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "n"},
                "spec": {}, "status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}},
            })),
        );
        let Ok(Arrived { object: Object::Service(service), .. }) = arrived else { panic!("it is a Service") };
        let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
        assert_eq!(balancer.and_then(|one| one.ingress.as_ref()).map(Vec::len), Some(1));
    }

    #[test]
    fn what_is_wrong_with_an_object_is_said_with_its_field() {
        let arrived = arrive(
            Kind::HTTPRoute,
            object(json!({
                "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
                "metadata": {"name": "r", "namespace": "n"},
                "spec": {"hostnames": "a.example"},
            })),
        );
        let error = arrived.err().expect("it is no route");
        assert!(error.starts_with("spec.hostnames: invalid type: string"), "{error}");
    }
}
