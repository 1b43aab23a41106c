//! Names and labels of what runs for a Gateway.

use portolan_translate::ObjectName;
use sha2::{Digest, Sha256};
use std::net::IpAddr;

/// The Gateway's name, on all that runs for it (GEP-1762).
pub const GATEWAY_LABEL: &str = "gateway.networking.k8s.io/gateway-name";
/// The Gateway's class.
pub const CLASS_LABEL: &str = "gateway.networking.k8s.io/gateway-class-name";
/// The Gateway's namespace, where it is not the object's own.
pub const NAMESPACE_LABEL: &str = "portolan.dev/gateway-namespace";
/// On all that the controller makes.
pub const OWN_LABELS: [(&str, &str); 2] =
    [("app.kubernetes.io/managed-by", "portolan"), ("app.kubernetes.io/name", "portolan-gateway")];

/// Selects all that the controller makes.
pub fn own_selector() -> String {
    OWN_LABELS.map(|(key, value)| format!("{key}={value}")).join(",")
}
/// A label's value and a Service's name have at most so many bytes.
const NAME_BYTES_MAX: usize = 63;

/// Names of what runs for a Gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// Of the Deployment, the Service and all else in its namespace: `GATEWAY-CLASS`, as GEP-1762 recommends.
    pub own: String,
    /// The value of [`GATEWAY_LABEL`].
    pub label: String,
    /// Of the Roles in other namespaces.
    pub elsewhere: String,
}

impl Names {
    /// The names for a Gateway of a class.
    pub fn of(gateway: &ObjectName, class: &str) -> Self {
        Self {
            own: bounded(format!("{}-{class}", gateway.name)),
            label: gateway_label(gateway),
            // Its parts could be told apart in more than one way, and in another namespace there are those of many.
            elsewhere: hashed(&format!("portolan-{}-{}", gateway.namespace, gateway.name), &gateway.to_string()),
        }
    }
}

/// The value of [`GATEWAY_LABEL`] on all that runs for a Gateway.
pub fn gateway_label(gateway: &ObjectName) -> String {
    bounded(gateway.name.to_string())
}

/// Selects the pods of a Gateway.
pub fn pods_of(gateway: &ObjectName) -> String {
    format!("{GATEWAY_LABEL}={}", gateway_label(gateway))
}

impl Names {
    /// Of the Service that asks for an address.
    pub fn at(&self, address: IpAddr) -> String {
        bounded(format!("{}-{}", self.own, address.to_string().replace(['.', ':'], "-").trim_end_matches('-')))
    }
}

/// The name, with its end replaced by a hash if it is too long. Dots are no part of a Service's name.
fn bounded(name: String) -> String {
    let plain = name.replace('.', "-");
    if plain == name && name.len() <= NAME_BYTES_MAX {
        return name;
    }
    hashed(&plain, &name)
}

/// As much of a name as there is room for, and a hash of what it stands for.
fn hashed(name: &str, of: &str) -> String {
    let digest = Sha256::digest(of.as_bytes());
    let hash: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let kept: String = name.replace('.', "-").chars().take(NAME_BYTES_MAX - 9).collect();
    format!("{}-{hash}", kept.trim_end_matches('-'))
}

/// The value of [`CLASS_LABEL`].
pub fn class_label(class: &str) -> String {
    if class.len() <= NAME_BYTES_MAX { class.to_owned() } else { bounded(class.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_gep_1762() {
        let names = Names::of(&ObjectName::new("infra", "web"), "portolan");
        assert_eq!((names.own.as_str(), names.label.as_str()), ("web-portolan", "web"));
    }

    #[test]
    fn roles_of_two_gateways_never_have_one_name() {
        let of = |namespace: &str, name: &str| Names::of(&ObjectName::new(namespace, name), "portolan").elsewhere;
        assert!(of("team", "a-web").starts_with("portolan-team-a-web-"));
        assert_ne!(of("team", "a-web"), of("team-a", "web"));
    }

    #[test]
    fn a_name_that_is_too_long_or_no_service_name_stays_unique() {
        let names: Vec<_> = ["a".repeat(100), format!("{}b", "a".repeat(99)), "a.b".to_owned(), "a-b".to_owned()]
            .into_iter()
            .map(bounded)
            .collect();
        assert!(names.iter().all(|name| name.len() <= NAME_BYTES_MAX && !name.contains('.')));
        let unique: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(unique.len(), names.len());
    }
}
