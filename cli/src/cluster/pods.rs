//! Asks the admin port of a gateway's pod, which listens inside the pod alone: by a forwarded port.

use super::client;
use crate::admin::{self, PORT};
use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::ListParams};
use portolan_controller::pods_of;
use portolan_source::{Kind, ObjectName, kubernetes::Selection};
use serde::de::DeserializeOwned;

/// What a ready pod of the Gateway `NAMESPACE/NAME` says at a path of its admin port.
pub async fn ask_gateway<T: DeserializeOwned>(gateway: &str, path: &str) -> Result<T> {
    let (namespace, name) = gateway.split_once('/').unwrap_or(("default", gateway));
    let client = client().await?;
    let object = ObjectName::new(namespace, name);
    let gateways = Selection::named(Kind::Gateway, &object).api(client.clone());
    if gateways.get_opt(name).await.context("cannot read the Gateway")?.is_none() {
        bail!("there is no Gateway {object} (kubectl get gateways -A)");
    }
    let api: Api<Pod> = Api::namespaced(client, namespace);
    let labels = pods_of(&object);
    let pods = api.list(&ListParams::default().labels(&labels)).await.context("cannot list the Gateway's pods")?;
    let Some(pod) = pods.items.iter().find(|pod| is_ready(pod)).and_then(|pod| pod.metadata.name.as_deref()) else {
        bail!("no pod of the Gateway {object} is ready (kubectl get pods -n {namespace} -l {labels})");
    };
    let forwarded = api.portforward(pod, &[PORT]).await;
    let mut forwarded =
        forwarded.with_context(|| format!("cannot reach the admin port of the pod {namespace}/{pod}"))?;
    let stream = forwarded.take_stream(PORT).context("the API server forwarded no port")?;
    admin::client::get_over(stream, &format!("{namespace}/{pod}"), path).await
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    pod.metadata.deletion_timestamp.is_none()
        && conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
