//! Label selectors, as Kubernetes evaluates them.

use k8s_openapi::{api::core::v1::Namespace, apimachinery::pkg::apis::meta::v1::LabelSelectorRequirement};
use portolan_crds::LabelSelector;

/// The label that the API server gives to every namespace.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Whether a selector means a namespace; one without an object has the label of its name alone.
pub(crate) fn matches_namespace(selector: &LabelSelector, name: &str, object: Option<&Namespace>) -> bool {
    let labels = object.and_then(|object| object.metadata.labels.as_ref());
    let value = |key: &str| {
        let given = labels.and_then(|labels| labels.get(key)).map(String::as_str);
        given.or((key == NAME_LABEL).then_some(name))
    };
    let exact = selector.match_labels.iter().flatten().all(|(key, wanted)| value(key) == Some(wanted.as_str()));
    exact && selector.match_expressions.iter().flatten().all(|requirement| holds(requirement, value(&requirement.key)))
}

fn holds(requirement: &LabelSelectorRequirement, value: Option<&str>) -> bool {
    let listed = value.is_some_and(|value| requirement.values.iter().flatten().any(|one| one == value));
    match requirement.operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        // The API admits no other; what it means is unknown, so that it means nothing.
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(yaml: serde_json::Value) -> LabelSelector {
        serde_json::from_value(yaml).unwrap()
    }

    #[test]
    fn expressions_and_labels_must_all_hold() {
        let namespace: Namespace = serde_json::from_value(
            serde_json::json!({"metadata": {"name": "a", "labels": {"team": "x", "env": "dev"}}}),
        )
        .unwrap();
        let matches = |json| matches_namespace(&selector(json), "a", Some(&namespace));
        let expression = |key: &str, operator: &str, values: &[&str]| serde_json::json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        assert!(matches(serde_json::json!({"matchLabels": {"team": "x"}})));
        assert!(!matches(serde_json::json!({"matchLabels": {"team": "x", "env": "prod"}})));
        assert!(matches(expression("env", "In", &["dev", "test"])));
        assert!(!matches(expression("env", "NotIn", &["dev"])));
        assert!(matches(expression("absent", "NotIn", &["dev"])));
        assert!(matches(expression("team", "Exists", &[])));
        assert!(matches(expression("absent", "DoesNotExist", &[])));
        assert!(matches(serde_json::json!({})));
    }

    #[test]
    fn a_namespace_without_an_object_has_its_name_as_a_label() {
        let by_name = selector(serde_json::json!({"matchLabels": {"kubernetes.io/metadata.name": "a"}}));
        assert!(matches_namespace(&by_name, "a", None));
        assert!(!matches_namespace(&by_name, "b", None));
    }
}
