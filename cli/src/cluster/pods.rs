//! Asks the admin port of a gateway's pod, which listens inside the pod alone: by a forwarded port.

use super::client;
use crate::admin::{self, PORT};
use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::ListParams};
use portolan_controller::pods_of;
use portolan_source::{Kind, ObjectName, kubernetes::Selection};
use serde::de::DeserializeOwned;
use std::fmt;

/// A ready pod of a Gateway.
pub struct Replica {
    pods: Api<Pod>,
    namespace: String,
    name: String,
    /// How many pods of the Gateway are ready, this one included.
    ready: usize,
}

impl Replica {
    /// One of the Gateway `NAMESPACE/NAME`.
    pub async fn of(gateway: &str) -> Result<Self> {
        let (namespace, name) = gateway.split_once('/').unwrap_or(("default", gateway));
        let client = client().await?;
        let object = ObjectName::new(namespace, name);
        let gateways = Selection::named(Kind::Gateway, &object).api(client.clone());
        if gateways.get_opt(name).await.context("cannot read the Gateway")?.is_none() {
            bail!("there is no Gateway {object} (kubectl get gateways -A)");
        }
        let pods: Api<Pod> = Api::namespaced(client, namespace);
        let labels = pods_of(&object);
        let all = pods.list(&ListParams::default().labels(&labels)).await.context("cannot list the Gateway's pods")?;
        let ready: Vec<_> = all.items.into_iter().filter(is_ready).filter_map(|pod| pod.metadata.name).collect();
        let Some(name) = ready.first().cloned() else {
            bail!("no pod of the Gateway {object} is ready (kubectl get pods -n {namespace} -l {labels})");
        };
        Ok(Self { pods, namespace: namespace.to_owned(), name, ready: ready.len() })
    }

    /// Its namespace and name.
    pub fn name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// What it says at a path of its admin port.
    pub async fn ask<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let pod = self.name();
        let forwarded = self.pods.portforward(&self.name, &[PORT]).await;
        let mut forwarded = forwarded.with_context(|| format!("cannot reach the admin port of the pod {pod}"))?;
        let stream = forwarded.take_stream(PORT).context("the API server forwarded no port")?;
        admin::client::get_over(stream, &pod, path).await
    }
}

impl fmt::Display for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())?;
        if self.ready > 1 { write!(f, ", one of {} that are ready", self.ready) } else { Ok(()) }
    }
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    pod.metadata.deletion_timestamp.is_none()
        && conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
