//! Any object of the kinds that Portolan reads, typed. Takes values as [`crate::schema`] leaves them; checks no rule.

use crate::{
    BackendTLSPolicy, GRPCRoute, Gateway, GatewayClass, GatewayConfig, HTTPRoute, ListenerSet, ObjectMeta,
    ReferenceGrant, TCPRoute, TLSRoute, UDPRoute, WasmFilter, schema,
};
use serde::Serialize;
use serde_json::Value;

/// Why a value is no [`ApiObject`].
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// The kind, or this version of it, is not served.
    #[error("no kind {kind:?} in {api_version:?}")]
    Kind {
        /// `apiVersion` of the value.
        api_version: String,
        /// `kind` of the value.
        kind: String,
    },
    /// The value has another shape than the kind; one that passed its schema has not.
    #[error(transparent)]
    Shape(#[from] serde_json::Error),
}

macro_rules! objects {
    ($($kind:ident),* $(,)?) => {
        /// An object of any kind.
        #[derive(Clone, Debug, PartialEq, Serialize)]
        #[serde(untagged)]
        #[expect(missing_docs, reason = "the variants are the kinds")]
        pub enum ApiObject {
            $($kind($kind),)*
        }

        impl ApiObject {
            /// Reads an object of any served version as its kind's type, whose fields cover all versions.
            pub fn from_value(value: Value) -> Result<Self, ObjectError> {
                let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
                let (api_version, kind) = (text("apiVersion"), text("kind"));
                match schema::lookup(api_version, kind).map(|schema| schema.kind()) {
                    $(Some(stringify!($kind)) => Ok(Self::$kind(serde_json::from_value(value)?)),)*
                    _ => Err(ObjectError::Kind { api_version: api_version.to_owned(), kind: kind.to_owned() }),
                }
            }

            /// The kind's name.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Self::$kind(_) => stringify!($kind),)*
                }
            }

            /// The object's metadata.
            pub fn metadata(&self) -> &ObjectMeta {
                match self {
                    $(Self::$kind(object) => &object.metadata,)*
                }
            }

            /// The object's metadata, to complete it.
            pub fn metadata_mut(&mut self) -> &mut ObjectMeta {
                match self {
                    $(Self::$kind(object) => &mut object.metadata,)*
                }
            }
        }

        $(impl From<$kind> for ApiObject {
            fn from(object: $kind) -> Self {
                Self::$kind(object)
            }
        })*
    };
}

objects!(
    GatewayClass,
    Gateway,
    ListenerSet,
    HTTPRoute,
    GRPCRoute,
    TLSRoute,
    TCPRoute,
    UDPRoute,
    ReferenceGrant,
    BackendTLSPolicy,
    GatewayConfig,
    WasmFilter,
);
