//! The controller's one loop: what is seen → translation → what is written.

use crate::{
    Context, Metrics,
    edges::{Known, edges, is_foreign, is_running, names_taken, questions},
    events::Events,
    infrastructure::{
        self, Names, Refusals, Settings, Wanted, cluster_binding, gateway_label, manifests, own_selector,
    },
    leader::{Identity, elect, step_down},
    replicas::{self, Answers, Questions},
    status,
    versions::{self, Versions},
};
use anyhow::Result;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use portolan_source::{
    Kind, ObjectName, Objects,
    kubernetes::{Complaints, Follower, ROUTING_KINDS, Selection, TroubleKind, View, follow},
};
use portolan_translate::{
    LastCertificates, Reference, Statuses, Translation, edges::ModuleOutcomes, gateway_config, references, translate,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// How often it is looked whether addresses were waited for long enough.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Loads the modules of all filters, knowing what may not be read.
pub type LoadModules = Box<dyn FnMut(&Objects, &BTreeSet<Reference>) -> ModuleOutcomes + Send>;

/// What the controller is set with.
pub struct Options {
    /// What is the same for all Gateways.
    pub settings: Settings,
    /// Who we are among several controllers; we are alone unless it is given.
    pub identity: Option<Identity>,
    /// Loads the modules of all filters.
    pub modules: LoadModules,
    /// Where it is counted what is done.
    pub metrics: Metrics,
}

/// How the controller is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Whether all that it watches was seen.
    pub complete: bool,
    /// Whether it is the one that writes.
    pub leading: bool,
}

struct Reconciler {
    options: Options,
    leading: watch::Receiver<bool>,
    health: watch::Sender<Health>,
    follower: Follower,
    answers: watch::Receiver<Arc<Answers>>,
    refusals: watch::Receiver<Arc<Refusals>>,
    versions: watch::Receiver<Option<Versions>>,
    certificates: LastCertificates,
    previous: Option<Translation>,
    /// Whether some address is waited for.
    awaiting: bool,
    questions: watch::Sender<Arc<Questions>>,
    rounds: watch::Sender<status::Round>,
    desired: watch::Sender<Arc<infrastructure::Desired>>,
    complaints: Complaints,
}

/// Runs until `ended` completes, or until another one leads in our place.
pub async fn run(
    client: Client,
    options: Options,
    health: watch::Sender<Health>,
    ended: impl Future<Output = ()>,
) -> Result<()> {
    let (lead, leading) = watch::channel(false);
    let identity = options.identity.clone();
    let election = elect(client.clone(), identity.clone(), lead);
    let mut reconciler = Reconciler::new(client.clone(), options, leading, health);
    tokio::select! {
        result = reconciler.follow() => result,
        lost = election => lost,
        () = ended => {
            step_down(client, identity).await;
            Ok(())
        }
    }
}

impl Reconciler {
    fn new(client: Client, options: Options, leading: watch::Receiver<bool>, health: watch::Sender<Health>) -> Self {
        let follower = follow(client.clone(), selections(None, &Objects::default()), true);
        let (questions, questions_asked) = watch::channel(Arc::default());
        let (answer, answers) = watch::channel(Arc::default());
        let (rounds, rounds_written) = watch::channel(status::Round::default());
        let (desired, desired_applied) = watch::channel(Arc::default());
        let (refuse, refusals) = watch::channel(Arc::default());
        let (see, versions) = watch::channel(None);
        tokio::spawn(versions::follow(client.clone(), see));
        let name = options.identity.as_ref().map(|identity| identity.name.clone());
        let events = Events::new(client.clone(), name, options.metrics.clone());
        let context = Context { client, metrics: options.metrics.clone(), events };
        tokio::spawn(replicas::ask(questions_asked, answer));
        tokio::spawn(status::write(context.clone(), rounds_written));
        tokio::spawn(infrastructure::apply(context, desired_applied, refuse));
        Self {
            options,
            leading,
            health,
            follower,
            answers,
            refusals,
            versions,
            certificates: LastCertificates::default(),
            previous: None,
            awaiting: false,
            questions,
            rounds,
            desired,
            complaints: Complaints::default(),
        }
    }

    async fn follow(&mut self) -> Result<()> {
        loop {
            let view = self.follower.views.borrow_and_update().clone();
            self.complaints.tell(&view);
            let leading = *self.leading.borrow_and_update();
            self.options.metrics.leads(leading);
            let versions = self.versions.borrow_and_update().clone();
            // What is asked for later may be long in coming: what was seen before goes on meanwhile.
            let complete = (view.complete || self.previous.is_some()) && versions.is_some();
            self.health.send_replace(Health { complete, leading });
            // Before all is known, a missing object says nothing.
            if let Some(versions) = versions.filter(|_| complete) {
                let began = Instant::now();
                let statuses = tokio::task::block_in_place(|| self.reconcile(&view, versions));
                // Who stands by asks no gateway what it has loaded, so that all seem not to be programmed.
                let said = if leading { statuses } else { Arc::default() };
                self.options.metrics.reconciled(view, said, began.elapsed());
            }
            let look_again = async {
                match self.awaiting {
                    true => tokio::time::sleep(LOOK_AGAIN).await,
                    false => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = self.follower.views.changed() => changed?,
                changed = self.answers.changed() => changed?,
                changed = self.refusals.changed() => changed?,
                changed = self.versions.changed() => changed?,
                changed = self.leading.changed() => changed?,
                () = look_again => {}
            }
        }
    }

    fn reconcile(&mut self, view: &View, versions: Versions) -> Arc<Statuses> {
        let objects = &view.objects;
        let asked = questions(objects);
        let (forbidden, now) = (view.forbidden(), Timestamp::now());
        let modules = (self.options.modules)(objects, &forbidden);
        let (answers, refusals) = (self.answers.borrow_and_update().clone(), self.refusals.borrow_and_update().clone());
        let taken = names_taken(objects);
        let known = Known { answers: &answers, refusals: &refusals, taken: &taken, forbidden, versions, now };
        let (edges, awaiting) = edges(objects, &asked, known, &mut self.certificates, modules);
        self.awaiting = awaiting;
        let translation = translate(objects, &edges, self.previous.as_ref());
        let statuses = translation.statuses.clone();
        let selections = selections(Some(&translation), objects);
        // What was just asked for is not known to be missing yet.
        let settled = selections.is_subset(&view.settled);
        self.follower.select(selections);
        if *self.leading.borrow() {
            send_if_other(&self.questions, asked);
            if settled {
                send_if_other(&self.desired, self.infrastructure(view, &translation, &taken));
                let (desired, observed) = (statuses.clone(), view.observed.clone());
                self.rounds.send_replace(status::Round { desired, observed });
            }
        }
        self.previous = Some(translation);
        statuses
    }

    /// What there is to run for all Gateways.
    fn infrastructure(
        &self,
        view: &View,
        translation: &Translation,
        taken: &BTreeMap<ObjectName, ObjectName>,
    ) -> infrastructure::Desired {
        let (objects, settings) = (&view.objects, &self.options.settings);
        let mut desired = infrastructure::Desired { complete: knows_gateways(view), ..Default::default() };
        let mut accounts = Vec::new();
        for (name, gateway) in objects.gateways.iter().filter(|(_, gateway)| !is_foreign(objects, gateway)) {
            let names = Names::of(name, &gateway.spec.gateway_class_name);
            let key = (name.namespace.to_string(), names.label.clone());
            let account = (name.namespace.to_string(), names.own);
            let ports = translation.listeners.get(name).filter(|ports| !ports.is_empty());
            let accepted = translation.statuses.gateways.get(name).is_some_and(|status| {
                status.conditions.iter().any(|condition| condition.type_ == "Accepted" && condition.status == "True")
            });
            let stands = accepted && gateway.metadata.deletion_timestamp.is_none() && !taken.contains_key(name);
            match ports.filter(|_| stands) {
                Some(ports) => {
                    let references = translation.references.get(name).cloned().unwrap_or_default();
                    let config = gateway_config(objects, name, gateway);
                    let (name, gateway, ports) = (name.clone(), gateway.clone(), ports.clone());
                    desired.manifests.extend(manifests(&Wanted { name, gateway, config, ports, references }, settings));
                    accounts.push(account);
                }
                // What is being deleted is not made anew while its parts are taken away; what is not accepted for now, or
                // has no class for now, goes on as it is.
                None => {
                    if is_running(objects, name, gateway) {
                        accounts.push(account);
                    }
                    desired.kept.insert(key);
                }
            }
        }
        let unreadable = view.unreadable.keys().filter(|object| object.kind == Kind::Gateway);
        desired.kept.extend(unreadable.map(|one| (one.name.namespace.to_string(), gateway_label(&one.name))));
        desired.manifests.push(cluster_binding(&accounts, settings));
        desired
    }
}

/// Whether all Gateways are known, and of each whether it is ours: nothing is taken away before.
fn knows_gateways(view: &View) -> bool {
    let vital = |kind| matches!(kind, Kind::Gateway | Kind::GatewayClass);
    let missing =
        view.troubles.iter().any(|(one, trouble)| vital(one.kind) && trouble.kind == TroubleKind::KindMissing);
    let unreadable = view.unreadable.keys().any(|one| one.kind == Kind::GatewayClass);
    !missing && !unreadable
}

/// Sends what is not there already.
pub(crate) fn send_if_other<T: PartialEq>(channel: &watch::Sender<Arc<T>>, now: T) {
    channel.send_if_modified(|before| {
        let other = **before != now;
        if other {
            *before = Arc::new(now);
        }
        other
    });
}

/// What is watched; Secrets and ConfigMaps only those that are referred to, by name.
fn selections(last: Option<&Translation>, objects: &Objects) -> BTreeSet<Selection> {
    let of_gateways = last.into_iter().flat_map(|last| last.references.values().flatten().cloned());
    let of_filters = objects.wasm_filters.iter().flat_map(|(name, filter)| references::of_filter(name, filter));
    let referenced = of_gateways.chain(of_filters).filter(Reference::can_exist);
    let referenced = referenced.map(|reference| Selection::referenced(&reference));
    let pods = Selection::labelled(Kind::EndpointSlice, own_selector());
    let gateways = Selection::all(Kind::Gateway);
    ROUTING_KINDS.into_iter().map(Selection::all).chain([gateways, pods]).chain(referenced).collect()
}
