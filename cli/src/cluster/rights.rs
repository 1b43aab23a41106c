//! Whether the controller and the gateways have the rights that they need: the API server is asked what it would say.

use super::check::{Finding, ok, problem, warning};
use anyhow::{Context, Result};
use futures_util::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::{
    authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
    core::v1::{Pod, ServiceAccount},
};
use kube::{
    Api, Client,
    api::{ListParams, PostParams},
};
use portolan_controller::{own_selector, owned_kinds};
use portolan_source::{Kind, kubernetes::ROUTING_KINDS};
use std::collections::BTreeMap;

/// Selects the controller's pods.
const CONTROLLER: &str = "app.kubernetes.io/name=portolan-controller";
/// Questions that may be under way at once.
const QUESTIONS_MAX: usize = 16;
/// Gateways that a finding names.
const NAMED_MAX: usize = 3;

/// Something that an account has to be allowed to do in all namespaces.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    verb: &'static str,
    group: &'static str,
    resource: &'static str,
    subresource: Option<&'static str>,
}

/// What is not allowed and has to be.
pub(super) async fn findings(client: &Client) -> Vec<Finding> {
    ask(client).await.unwrap_or_else(|error| vec![cannot_ask(&error)])
}

async fn ask(client: &Client) -> Result<Vec<Finding>> {
    let mut questions = Vec::new();
    for account in controllers(client).await? {
        questions.extend(of_controller().map(|right| ("controller", account.clone(), right)));
    }
    let gateways = gateways(client).await?;
    let fine = ok(format!("the controller and {} gateways have the rights that they need", gateways.len()));
    // All have one ClusterRole: whether it is enough is asked for one of them, whether they have it for each.
    for (at, account) in gateways.into_iter().enumerate() {
        let rights = watched().take(if at == 0 { usize::MAX } else { 1 });
        questions.extend(rights.map(|right| ("gateway", account.clone(), right)));
    }
    let asked = stream::iter(questions).map(|(who, account, right)| async move {
        let allowed = allowed(client, &account, &right).await?;
        anyhow::Ok((!allowed).then_some((who, right, account)))
    });
    let answers: Vec<_> = asked.buffer_unordered(QUESTIONS_MAX).try_collect().await?;
    let mut missing: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for (who, right, account) in answers.into_iter().flatten() {
        missing.entry((who, right)).or_default().push(account);
    }
    if missing.is_empty() {
        return Ok(vec![fine]);
    }
    Ok(missing.into_iter().map(|((who, right), accounts)| denied(who, &right, accounts)).collect())
}

fn cannot_ask(error: &anyhow::Error) -> Finding {
    warning(
        format!("what the controller and the gateways may do cannot be checked: {error:#}"),
        "who asks needs the right to list Pods and ServiceAccounts, and to create SubjectAccessReviews",
    )
}

fn denied(who: &str, right: &Right, mut accounts: Vec<String>) -> Finding {
    accounts.sort();
    let Right { verb, resource, subresource, .. } = right;
    let subresource = subresource.map(|name| format!("/{name}")).unwrap_or_default();
    let more = accounts.len().saturating_sub(NAMED_MAX);
    accounts.truncate(NAMED_MAX);
    let names = accounts.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() };
    let next = format!("give the ClusterRole of the {who} its rule back: helm upgrade does");
    problem(format!("the {who} {names} may not {verb} {resource}{subresource}"), next)
}

/// The accounts of the controller's pods, as `namespace/name`.
async fn controllers(client: &Client) -> Result<Vec<String>> {
    let pods = Api::<Pod>::all(client.clone()).list(&ListParams::default().labels(CONTROLLER)).await;
    let pods = pods.context("cannot list the controller's pods")?.items.into_iter();
    let mut accounts: Vec<_> = pods
        .filter_map(|pod| Some(format!("{}/{}", pod.metadata.namespace?, pod.spec?.service_account_name?)))
        .collect();
    accounts.sort();
    accounts.dedup();
    Ok(accounts)
}

async fn gateways(client: &Client) -> Result<Vec<String>> {
    let own = ListParams::default().labels(&own_selector());
    let accounts = Api::<ServiceAccount>::all(client.clone()).list(&own).await;
    let accounts = accounts.context("cannot list the gateways' ServiceAccounts")?.items.into_iter();
    Ok(accounts.filter_map(|one| Some(format!("{}/{}", one.metadata.namespace?, one.metadata.name?))).collect())
}

/// What both watch.
fn watched() -> impl Iterator<Item = Right> {
    let kinds = ROUTING_KINDS.into_iter().chain([Kind::Gateway, Kind::EndpointSlice]);
    kinds.flat_map(|kind| {
        ["list", "watch"].map(|verb| Right { verb, group: kind.group(), resource: kind.plural(), subresource: None })
    })
}

fn of_controller() -> impl Iterator<Item = Right> {
    let statuses = super::check::KINDS.into_iter().filter(|kind| *kind != Kind::GatewayConfig).map(|kind| Right {
        verb: "patch",
        group: kind.group(),
        resource: kind.plural(),
        subresource: Some("status"),
    });
    // The one ClusterRoleBinding may be patched by its name alone.
    let owned = owned_kinds().filter(|(_, resource)| *resource != "clusterrolebindings");
    let owned = owned.flat_map(|(group, resource)| {
        ["list", "watch", "create", "patch", "delete"].map(|verb| Right { verb, group, resource, subresource: None })
    });
    let other = [
        Right {
            verb: "watch",
            group: "apiextensions.k8s.io",
            resource: "customresourcedefinitions",
            subresource: None,
        },
        Right { verb: "create", group: "events.k8s.io", resource: "events", subresource: None },
    ];
    watched().chain(statuses).chain(owned).chain(other)
}

async fn allowed(client: &Client, account: &str, right: &Right) -> kube::Result<bool> {
    let attributes = ResourceAttributes {
        verb: Some(right.verb.to_owned()),
        group: Some(right.group.to_owned()),
        resource: Some(right.resource.to_owned()),
        subresource: right.subresource.map(str::to_owned),
        ..ResourceAttributes::default()
    };
    let namespace = account.split('/').next().unwrap_or_default();
    let groups = ["system:serviceaccounts", &format!("system:serviceaccounts:{namespace}"), "system:authenticated"];
    let spec = SubjectAccessReviewSpec {
        groups: Some(groups.map(str::to_owned).to_vec()),
        user: Some(format!("system:serviceaccount:{}", account.replace('/', ":"))),
        resource_attributes: Some(attributes),
        ..SubjectAccessReviewSpec::default()
    };
    let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
    let answer = Api::<SubjectAccessReview>::all(client.clone()).create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}
