//! BackendTLSPolicy: how a Service is spoken to over TLS.

use crate::{
    Condition, GATEWAY_GROUP,
    common::{LocalObjectReference, ParentReference},
    resource::{constcat, resource},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

resource!(
    /// How a Service is spoken to over TLS.
    BackendTLSPolicy, "backendtlspolicies", GATEWAY_GROUP, "v1", NamespaceResourceScope, BackendTLSPolicySpec, PolicyStatus
);

/// Desired state of a BackendTLSPolicy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendTLSPolicySpec {
    /// The Services, or ports of them.
    #[serde(default)]
    pub target_refs: Vec<PolicyTargetReference>,
    /// How the backend's certificate is validated.
    pub validation: BackendTLSPolicyValidation,
    /// Options of implementations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

/// What a policy applies to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyTargetReference {
    /// API group (`""` for the core group).
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Name of one port of a Service; all unless it is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,
}

/// How a backend's certificate is validated.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendTLSPolicyValidation {
    /// ConfigMaps with the roots, key `ca.crt`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ca_certificate_refs: Vec<LocalObjectReference>,
    /// Or well-known roots.
    #[serde(rename = "wellKnownCACertificates", default, skip_serializing_if = "Option::is_none")]
    pub well_known_ca_certificates: Option<String>,
    /// SNI that is sent; the certificate's name too, unless `subjectAltNames` are given.
    pub hostname: String,
    /// Names of which the certificate must have one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subject_alt_names: Vec<SubjectAltName>,
}

/// A name that a certificate may have.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SubjectAltName {
    /// What kind of name.
    #[serde(rename = "type")]
    pub kind: SubjectAltNameType,
    /// A DNS name, with `type: Hostname`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// A URI, with `type: URI`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uri: String,
}

/// What kind of name a certificate has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SubjectAltNameType {
    /// A DNS name.
    Hostname,
    /// A URI, such as a SPIFFE id.
    URI,
}

/// Status of a policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PolicyStatus {
    /// One entry per ancestor (a Gateway) and controller.
    pub ancestors: Vec<PolicyAncestorStatus>,
}

/// What one controller says of a policy under one ancestor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyAncestorStatus {
    /// The ancestor.
    pub ancestor_ref: ParentReference,
    /// The controller that says so.
    pub controller_name: String,
    /// Accepted, ResolvedRefs.
    #[serde(default)]
    pub conditions: Vec<Condition>,
}
