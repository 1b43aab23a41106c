//! The macro that gives a kind its envelope (`apiVersion`, `kind`, `metadata`, `spec`, `status`).

/// Defines an object kind with a spec and a status, and the traits by which Kubernetes clients know it.
macro_rules! resource {
    ($(#[$doc:meta])* $kind:ident, $plural:literal, $group:expr, $version:literal, $scope:ident, $spec:ty, $status:ty) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
        pub struct $kind {
            /// Name, namespace, generation, labels and so on.
            #[serde(default)]
            pub metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
            /// The desired state.
            pub spec: $spec,
            /// The observed state, written by the controller alone.
            #[serde(default)]
            pub status: Option<$status>,
        }

        impl k8s_openapi::Resource for $kind {
            const API_VERSION: &'static str = constcat!($group, $version);
            const GROUP: &'static str = $group;
            const KIND: &'static str = stringify!($kind);
            const VERSION: &'static str = $version;
            const URL_PATH_SEGMENT: &'static str = $plural;
            type Scope = k8s_openapi::$scope;
        }

        impl k8s_openapi::Metadata for $kind {
            type Ty = k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
            fn metadata(&self) -> &Self::Ty {
                &self.metadata
            }
            fn metadata_mut(&mut self) -> &mut Self::Ty {
                &mut self.metadata
            }
        }

        impl serde::Serialize for $kind {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeStruct;
                let mut object = serializer.serialize_struct(stringify!($kind), 5)?;
                object.serialize_field("apiVersion", <Self as k8s_openapi::Resource>::API_VERSION)?;
                object.serialize_field("kind", stringify!($kind))?;
                object.serialize_field("metadata", &self.metadata)?;
                object.serialize_field("spec", &self.spec)?;
                match &self.status {
                    Some(status) => object.serialize_field("status", status)?,
                    None => object.skip_field("status")?,
                }
                object.end()
            }
        }
    };
}

/// `group/version` of the two groups that exist, since `concat!` takes literals alone.
macro_rules! constcat {
    ($group:expr, $version:literal) => {{
        const GROUP: &str = $group;
        const LENGTH: usize = GROUP.len() + 1 + $version.len();
        const BYTES: [u8; LENGTH] = {
            let (group, version) = (GROUP.as_bytes(), $version.as_bytes());
            let mut out = [b'/'; LENGTH];
            let mut at = 0;
            while at < group.len() {
                out[at] = group[at];
                at += 1;
            }
            at = 0;
            while at < version.len() {
                out[group.len() + 1 + at] = version[at];
                at += 1;
            }
            out
        };
        match std::str::from_utf8(&BYTES) {
            Ok(text) => text,
            Err(_) => panic!("group and version are ASCII"),
        }
    }};
}

pub(crate) use {constcat, resource};
