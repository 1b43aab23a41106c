//! What a round of writing has to do: the statuses that translation wants, beside those that were seen.

use super::merge::{Written, to_write};
use crate::events::{News, news};
use k8s_openapi::{api::core::v1::ObjectReference, jiff::Timestamp};
use portolan_source::{
    Kind, ObjectName,
    kubernetes::{Observation, Observed},
};
use portolan_translate::{Statuses, statuses::StatusMap};
use serde_json::Value;
use std::sync::Arc;

/// The statuses that are wanted, and those that are there.
#[derive(Clone, Debug, Default)]
pub struct Round {
    /// Those that are wanted.
    pub desired: Arc<Statuses>,
    /// Those that are there.
    pub observed: Arc<Observed>,
}

/// One status to write.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// Kind of the object.
    pub kind: Kind,
    /// The object.
    pub name: ObjectName,
    /// The version that it must still be at.
    pub resource_version: String,
    /// The object, among all that ever had its name.
    pub uid: String,
    /// The status; fields that are to go are null.
    pub status: Value,
    /// What it says, without the times at which that began: those are always new.
    pub said: Value,
    /// What it says that the one before did not.
    pub news: Vec<News>,
}

impl Write {
    /// The object.
    pub fn key(&self) -> (Kind, ObjectName) {
        (self.kind, self.name.clone())
    }

    /// Whether both say the same of the same version.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.resource_version == other.resource_version && self.said == other.said
    }

    /// The object, for events about it.
    pub fn object(&self) -> ObjectReference {
        let namespace = Some(self.name.namespace.to_string()).filter(|namespace| !namespace.is_empty());
        ObjectReference {
            api_version: Some(self.kind.api_version().to_owned()),
            kind: Some(self.kind.name().to_owned()),
            name: Some(self.name.name.to_string()),
            namespace,
            uid: Some(self.uid.clone()),
            ..ObjectReference::default()
        }
    }
}

impl Round {
    /// The version of an object that was seen.
    pub fn version_of(&self, key: &(Kind, ObjectName)) -> Option<&str> {
        self.observed.objects.get(key).map(|seen| seen.resource_version.as_str())
    }

    /// What has to be written: classes and Gateways first, since they are waited for.
    pub fn writes(&self, now: Timestamp) -> Vec<Write> {
        let (want, see) = (&self.desired, &self.observed.statuses);
        let mut writes = Vec::new();
        self.add(Kind::GatewayClass, &want.gateway_classes, &see.gateway_classes, now, &mut writes);
        self.add(Kind::Gateway, &want.gateways, &see.gateways, now, &mut writes);
        self.add(Kind::ListenerSet, &want.listener_sets, &see.listener_sets, now, &mut writes);
        self.add(Kind::HTTPRoute, &want.http_routes, &see.http_routes, now, &mut writes);
        self.add(Kind::GRPCRoute, &want.grpc_routes, &see.grpc_routes, now, &mut writes);
        self.add(Kind::TLSRoute, &want.tls_routes, &see.tls_routes, now, &mut writes);
        self.add(Kind::TCPRoute, &want.tcp_routes, &see.tcp_routes, now, &mut writes);
        self.add(Kind::UDPRoute, &want.udp_routes, &see.udp_routes, now, &mut writes);
        self.add(Kind::BackendTLSPolicy, &want.backend_tls_policies, &see.backend_tls_policies, now, &mut writes);
        self.add(Kind::WasmFilter, &want.wasm_filters, &see.wasm_filters, now, &mut writes);
        writes
    }

    fn add<T: Written>(
        &self,
        kind: Kind,
        want: &StatusMap<T>,
        see: &StatusMap<T>,
        now: Timestamp,
        writes: &mut Vec<Write>,
    ) {
        let unwanted = see.iter().filter(|(name, _)| !want.contains_key(*name)).map(|(name, _)| (name, None));
        for (name, desired) in want.iter().map(|(name, status)| (name, Some(&**status))).chain(unwanted) {
            let Some(Observation { resource_version, uid }) = self.observed.objects.get(&(kind, name.clone())) else {
                continue;
            };
            let before = see.get(name).map(|status| &**status);
            if let Some(status) = to_write(desired, before, now) {
                let (name, resource_version, uid) = (name.clone(), resource_version.clone(), uid.clone());
                let (news, status) = (news(before.map(T::ours).as_ref(), &status.ours()), replacing(&status, before));
                let said = untimed(status.clone());
                writes.push(Write { kind, name, resource_version, uid, status, said, news });
            }
        }
    }
}

fn untimed(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => {
            fields.remove("lastTransitionTime");
            fields.values_mut().for_each(|field| *field = untimed(field.take()));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = untimed(item.take())),
        _ => {}
    }
    value
}

/// A status as a merge patch that leaves nothing of the one before.
fn replacing<T: Written>(status: &T, before: Option<&T>) -> Value {
    let json = |status: &T| serde_json::to_value(status).unwrap_or_default();
    let mut patch = json(status);
    if let (Some(patch), Some(Value::Object(before))) = (patch.as_object_mut(), before.map(json)) {
        for (field, _) in before {
            patch.entry(field).or_insert(Value::Null);
        }
    }
    patch
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use portolan_crds::{
        Condition,
        gateway::{GatewayStatus, GatewayStatusAddress},
    };

    #[test]
    fn a_field_that_went_is_taken_away() {
        let address = GatewayStatusAddress { kind: None, value: "10.0.0.1".to_owned() };
        let before = GatewayStatus { addresses: vec![address], ..Default::default() };
        let patch = replacing(&GatewayStatus::default(), Some(&before));
        assert_eq!(patch["addresses"], Value::Null);
        assert!(patch.as_object().is_some_and(|patch| patch.contains_key("addresses")));
    }

    #[test]
    fn a_write_says_the_same_a_second_later() {
        let name = ObjectName::new("n", "g");
        let condition = Condition {
            type_: "Accepted".to_owned(),
            status: "True".to_owned(),
            reason: "Accepted".to_owned(),
            message: String::new(),
            observed_generation: None,
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
        };
        let status = GatewayStatus { conditions: vec![condition], ..Default::default() };
        let mut round = Round::default();
        let mut desired = Statuses::default();
        desired.gateways.insert(name.clone(), Arc::new(status));
        round.desired = Arc::new(desired);
        let seen = Observation { resource_version: "7".to_owned(), uid: "u".to_owned() };
        Arc::make_mut(&mut round.observed).objects.insert((Kind::Gateway, name), seen);
        let at = |second| round.writes(Timestamp::from_second(second).expect("it is a time")).remove(0);
        assert_ne!(at(1), at(2), "the times differ");
        assert!(at(1).says_the_same(&at(2)));
    }

    #[test]
    fn an_object_that_was_not_seen_is_not_written() {
        let name = ObjectName::new("n", "g");
        let mut desired = Statuses::default();
        desired
            .gateways
            .insert(name.clone(), Arc::new(GatewayStatus { attached_listener_sets: Some(1), ..Default::default() }));
        let mut round = Round { desired: Arc::new(desired), observed: Arc::default() };
        assert_eq!(round.writes(Timestamp::UNIX_EPOCH), []);
        let seen = Observation { resource_version: "7".to_owned(), uid: "u".to_owned() };
        Arc::make_mut(&mut round.observed).objects.insert((Kind::Gateway, name), seen);
        let writes = round.writes(Timestamp::UNIX_EPOCH);
        assert_eq!(writes.len(), 1);
        assert_eq!(writes[0].resource_version, "7");
    }
}
