//! `apiVersion` and `kind`: which objects a document holds (lists expanded), and whether they are ours to read.

use super::{Admission, FieldFault, schema};
use crate::{
    kinds::Kind,
    places::{Places, keys},
};
use portolan_crds::schema::known_groups;
use serde_json::Value;

/// Most levels of lists in lists.
const LIST_DEPTH_MAX: usize = 4;
/// The Gateway API's group for kinds that are not stable yet; none is read so far.
const GATEWAY_EXPERIMENTAL_GROUP: &str = "gateway.networking.x-k8s.io";

/// Kubernetes' own kinds in the groups of which Portolan reads some; another kind there is a typing error.
const BUILT_IN: [(&str, &[&str]); 3] = [
    (
        "",
        &[
            "Binding",
            "ComponentStatus",
            "ConfigMap",
            "Endpoints",
            "Event",
            "LimitRange",
            "Namespace",
            "Node",
            "PersistentVolume",
            "PersistentVolumeClaim",
            "Pod",
            "PodTemplate",
            "ReplicationController",
            "ResourceQuota",
            "Secret",
            "Service",
            "ServiceAccount",
        ],
    ),
    ("apps", &["ControllerRevision", "DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"]),
    ("discovery.k8s.io", &["EndpointSlice"]),
];

/// What an object's `apiVersion` and `kind` say.
#[derive(Debug)]
pub(super) enum Recognised {
    /// A kind that we read, in a version that is served.
    Ours(Kind, String),
    /// Somebody else's; with a description.
    Foreign(String),
    /// No object of any kind that there is.
    Refused(FieldFault),
}

/// The document's object, or the items if it is a list.
pub(super) fn expand_lists<'p>(
    value: Value,
    places: &'p Places,
    admission: &mut Admission,
) -> Vec<(Value, &'p Places)> {
    let (mut objects, mut pending) = (Vec::new(), vec![(value, places, 0)]);
    while let Some((mut value, places, depth)) = pending.pop() {
        let Some(item_type) = list_item_type(&value) else {
            objects.push((value, places));
            continue;
        };
        if depth == LIST_DEPTH_MAX {
            admission.refuse_whole(
                FieldFault::new(Vec::new(), format!("more than {LIST_DEPTH_MAX} lists in each other")),
                places,
            );
            continue;
        }
        let unknown = value.as_object().into_iter().flat_map(|list| list.keys());
        for key in unknown.filter(|key| !matches!(key.as_str(), "apiVersion" | "kind" | "metadata" | "items")) {
            admission.refuse_whole(FieldFault::new(keys(&[key]), "unknown field of a list"), places);
        }
        let Some(Value::Array(items)) = value.get_mut("items").map(Value::take) else { continue };
        let item_places = places.field("items");
        let typed = |(index, mut item): (usize, Value)| {
            inherit_type(&mut item, item_type.as_ref());
            (item, item_places.and_then(|places| places.item(index)).unwrap_or(places), depth + 1)
        };
        // Reversed, since the last that is pushed is the first that is popped.
        pending.extend(items.into_iter().enumerate().map(typed).rev());
    }
    objects
}

/// For a list (a kind that ends in `List`, with items): the type that its items have if they do not say, which is
/// nothing for the plain `List`.
#[allow(clippy::option_option, reason = "no list, a list of anything, a list of one type")]
fn list_item_type(value: &Value) -> Option<Option<(String, String)>> {
    value.get("items")?.as_array()?;
    let kind = value.get("kind")?.as_str()?.strip_suffix("List")?;
    let api_version = value.get("apiVersion")?.as_str()?;
    Some((!kind.is_empty()).then(|| (api_version.to_owned(), kind.to_owned())))
}

fn inherit_type(item: &mut Value, item_type: Option<&(String, String)>) {
    let (Some(item), Some((api_version, kind))) = (item.as_object_mut(), item_type) else { return };
    if !item.contains_key("apiVersion") && !item.contains_key("kind") {
        item.insert("apiVersion".to_owned(), Value::String(api_version.clone()));
        item.insert("kind".to_owned(), Value::String(kind.clone()));
    }
}

/// Which kind an object is of.
pub(super) fn recognise(value: &Value) -> Recognised {
    let Some(object) = value.as_object() else {
        return Recognised::Refused(FieldFault::new(
            Vec::new(),
            "a Kubernetes object is expected: a mapping with apiVersion, kind and metadata",
        ));
    };
    let text = |field: &str| match object.get(field) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text.as_str()),
        Some(Value::String(_) | Value::Null) | None => {
            Err(FieldFault::new(keys(&[field]), "required: say what kind of object this is"))
        }
        Some(_) => Err(FieldFault::new(keys(&[field]), "must be a text")),
    };
    match (text("apiVersion"), text("kind")) {
        (Ok(api_version), Ok(kind)) => by_type(api_version, kind),
        (Err(fault), _) | (_, Err(fault)) => Recognised::Refused(fault),
    }
}

fn by_type(api_version: &str, name: &str) -> Recognised {
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    let refused = |field: &str, message: String| Recognised::Refused(FieldFault::new(keys(&[field]), message));
    if let Some(kind) = Kind::find(group, name) {
        if schema::is_served(kind, api_version) {
            return Recognised::Ours(kind, api_version.to_owned());
        }
        return refused(
            "apiVersion",
            format!("{api_version} is no version of {name} that is served: use {}", schema::served(kind)),
        );
    }
    if group == GATEWAY_EXPERIMENTAL_GROUP {
        return refused("kind", format!("kinds of {group} ({name}) are not supported yet"));
    }
    let built_in = BUILT_IN.iter().find(|(built_in, _)| *built_in == group).map(|(_, kinds)| *kinds);
    if built_in.is_some_and(|kinds| kinds.contains(&name)) || (built_in.is_none() && !known_groups().contains(&group)) {
        return Recognised::Foreign(format!("{api_version} {name}"));
    }
    if let Some(kind) = Kind::ALL.iter().find(|kind| kind.name() == name) {
        return refused("apiVersion", format!("there is no {name} in {api_version}: use {}", schema::served(*kind)));
    }
    let ours = || Kind::ALL.iter().filter(|kind| kind.group() == group).map(|kind| kind.name());
    let known: Vec<&str> = built_in.map_or_else(|| ours().collect(), <[&str]>::to_vec);
    let meant = known.iter().find(|known| known.eq_ignore_ascii_case(name) || name.strip_suffix('s') == Some(known));
    let hint = meant.map(|meant| format!("did you mean {meant}? ")).unwrap_or_default();
    refused("kind", format!("there is no kind {name} in {api_version}: {hint}known are {}", known.join(", ")))
}
