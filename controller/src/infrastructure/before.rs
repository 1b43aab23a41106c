//! What is looked at before an object is applied: that one of the name is not somebody else's, and that a field which is no
//! longer asked for goes to whom it is to belong to.

use super::{FIELD_MANAGER, GATEWAY_LABEL, Manifest, NAMESPACE_LABEL, OWN_LABELS, Resource};
use crate::fail_point::fail_point;
use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams},
    core::Status,
};
use portolan_crds::GATEWAY_GROUP;
use serde_json::{Value, json};

/// Our name for the count of pods that an autoscaler is to change: what one manager leaves out and nobody else has is
/// taken away, and a Deployment without a count has one pod.
const REPLICAS_MANAGER: &str = "portolan-controller-autoscaling";

/// Looks at the object that is there, if there is one. `known`: it was seen to be ours.
pub async fn look(api: &Api<DynamicObject>, manifest: &Manifest, known: bool) -> kube::Result<()> {
    let autoscaled = manifest.resource == Resource::Deployment && manifest.object["spec"]["replicas"].is_null();
    if known && !autoscaled {
        return Ok(());
    }
    let Some(object) = api.get_opt(&manifest.name).await? else { return Ok(()) };
    if !known && !is_ours(&object) && manifest.resource != Resource::ClusterRoleBinding {
        return Err(foreign());
    }
    if autoscaled && counts_pods(&object) {
        let patch = replicas_alone(manifest, &object.data["spec"]["replicas"]);
        fail_point("hand-over", "Deployment");
        let params = PatchParams::apply(REPLICAS_MANAGER).force();
        api.patch(&manifest.name, &params, &Patch::Apply(&patch)).await?;
        fail_point("handed-over", "Deployment");
    }
    Ok(())
}

/// Whether an object is one that the controller made: it belongs to a Gateway, or says of which Gateway of another
/// namespace it is a part.
pub fn is_ours(object: &DynamicObject) -> bool {
    let label = |name: &str| object.metadata.labels.as_ref().and_then(|labels| labels.get(name));
    let of_a_gateway = object.metadata.owner_references.iter().flatten().any(|owner| {
        owner.kind == "Gateway" && owner.api_version.starts_with(GATEWAY_GROUP) && owner.controller == Some(true)
    });
    let labelled = OWN_LABELS.iter().all(|(key, value)| label(key).is_some_and(|own| own == value));
    labelled && label(GATEWAY_LABEL).is_some() && (of_a_gateway || label(NAMESPACE_LABEL).is_some())
}

fn foreign() -> kube::Error {
    let message = "there is one of this name that is not this Gateway's; delete it, or name the Gateway otherwise";
    kube::Error::Api(Box::new(Status::failure(message, "Invalid").with_code(422)))
}

/// Whether the count of pods is our word alone.
fn counts_pods(object: &DynamicObject) -> bool {
    let counts = |manager: &str| {
        object.metadata.managed_fields.iter().flatten().any(|entry| {
            let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
            entry.manager.as_deref() == Some(manager)
                && fields.is_some_and(|fields| fields["f:spec"]["f:replicas"].is_object())
        })
    };
    counts(FIELD_MANAGER) && !counts(REPLICAS_MANAGER)
}

fn replicas_alone(manifest: &Manifest, replicas: &Value) -> Value {
    json!({
        "apiVersion": manifest.object["apiVersion"], "kind": manifest.object["kind"],
        "metadata": { "name": manifest.name, "namespace": manifest.namespace },
        "spec": { "replicas": replicas },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(metadata: &Value) -> DynamicObject {
        let object = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {} });
        serde_json::from_value(object).expect("it is an object")
    }

    fn labels() -> Value {
        let own = OWN_LABELS.into_iter().chain([(GATEWAY_LABEL, "web")]);
        own.map(|(key, value)| (key.to_owned(), json!(value))).collect::<serde_json::Map<_, _>>().into()
    }

    #[test]
    fn ours_is_what_belongs_to_a_gateway_and_not_what_has_its_labels() {
        let owner = |version: &str| json!([{ "apiVersion": version, "kind": "Gateway", "name": "web", "uid": "u", "controller": true }]);
        let gateways = owner("gateway.networking.k8s.io/v1");
        assert!(is_ours(&object(&json!({ "name": "a", "labels": labels(), "ownerReferences": gateways }))));
        assert!(!is_ours(&object(&json!({ "name": "a", "labels": labels() }))), "somebody copied them");
        assert!(!is_ours(&object(&json!({ "name": "a", "ownerReferences": gateways }))), "another controller's");
        let others = owner("networking.istio.io/v1");
        assert!(!is_ours(&object(&json!({ "name": "a", "labels": labels(), "ownerReferences": others }))));
        let mut elsewhere = labels();
        elsewhere[NAMESPACE_LABEL] = json!("infra");
        assert!(is_ours(&object(&json!({ "name": "a", "labels": elsewhere }))), "a Role of another namespace");
    }

    #[test]
    fn the_count_of_pods_is_handed_over_once() {
        let field = |manager: &str, fields: &Value| json!({ "manager": manager, "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": fields });
        let counts = json!({ "f:spec": { "f:replicas": {} } });
        let of = |fields: &[Value]| counts_pods(&object(&json!({ "name": "a", "managedFields": fields })));
        assert!(of(&[field(FIELD_MANAGER, &counts)]));
        assert!(!of(&[field(FIELD_MANAGER, &json!({ "f:spec": {} })), field("kube-controller-manager", &counts)]));
        assert!(!of(&[field(FIELD_MANAGER, &counts), field(REPLICAS_MANAGER, &counts)]));
    }
}
