//! Follows a cluster: a task for each selection, and one that puts together what they see.

use super::{
    selection::Selection,
    state::{State, View},
    trouble::{Trouble, TroubleKind},
};
use futures_util::StreamExt;
use kube::{
    Client,
    api::DynamicObject,
    runtime::watcher::{self, Event},
};
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    task::AbortHandle,
};

/// Events that may wait for being put together; a watch that brings more of them is read more slowly.
const EVENTS_MAX: usize = 1024;
/// First pause after a failure; each further one is twice as long.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// Longest pause after a failure.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// How long a single object that is forbidden is waited for: a right is often granted a moment after it is needed.
const FORBIDDEN_WAIT: Duration = Duration::from_secs(5);
/// Longest pause meanwhile.
const FORBIDDEN_PAUSE_MAX: Duration = Duration::from_millis(250);
/// How long a single object is waited for that the API server cannot give for another reason.
const TROUBLED_WAIT: Duration = Duration::from_secs(30);

/// Says what is watched, and shows what is there. Dropped, it ends the watches.
pub struct Follower {
    wanted: watch::Sender<BTreeSet<Selection>>,
    /// What is there; the first view is of a cluster of which nothing was seen yet.
    pub views: watch::Receiver<Arc<View>>,
}

/// What a selection's task saw.
enum Seen {
    Event(Box<Event<DynamicObject>>),
    Trouble(Trouble),
    /// It was waited for long enough.
    Late,
}

/// Follows the selections; statuses are kept if they are asked for.
pub fn follow(client: Client, selections: BTreeSet<Selection>, with_statuses: bool) -> Follower {
    let (wanted, wanted_changes) = watch::channel(selections);
    let (publish, views) = watch::channel(Arc::default());
    tokio::spawn(gather(client, State::new(with_statuses), wanted_changes, publish));
    Follower { wanted, views }
}

impl Follower {
    /// From now on these are watched.
    pub fn select(&self, selections: BTreeSet<Selection>) {
        self.wanted.send_if_modified(|wanted| {
            let other = *wanted != selections;
            *wanted = selections;
            other
        });
    }
}

/// Puts together what the tasks see until nobody looks any more.
async fn gather(
    client: Client,
    mut state: State,
    mut wanted: watch::Receiver<BTreeSet<Selection>>,
    publish: watch::Sender<Arc<View>>,
) {
    let (send, mut events) = mpsc::channel::<(Selection, Seen)>(EVENTS_MAX);
    let mut tasks = Tasks { client, send, running: HashMap::new() };
    wanted.mark_changed();
    loop {
        tokio::select! {
            changed = wanted.changed() => {
                if changed.is_err() { return }
                let (new, gone) = state.select(&wanted.borrow_and_update());
                gone.iter().for_each(|selection| tasks.end(selection));
                new.into_iter().for_each(|selection| tasks.start(selection));
            }
            Some((selection, seen)) = events.recv() => {
                take(&mut state, &selection, seen);
                // One view for all that came meanwhile.
                while let Ok((selection, seen)) = events.try_recv() {
                    take(&mut state, &selection, seen);
                }
            }
            () = publish.closed() => return,
        }
        publish.send_replace(Arc::new(state.view()));
    }
}

fn take(state: &mut State, selection: &Selection, seen: Seen) {
    match seen {
        Seen::Event(event) => state.apply(selection, *event),
        Seen::Trouble(trouble) => state.trouble(selection, trouble),
        Seen::Late => state.give_up_waiting(selection),
    }
}

/// The tasks that watch.
struct Tasks {
    client: Client,
    send: mpsc::Sender<(Selection, Seen)>,
    running: HashMap<Selection, AbortHandle>,
}

impl Tasks {
    fn start(&mut self, selection: Selection) {
        let task = tokio::spawn(watch_one(self.client.clone(), selection.clone(), self.send.clone()));
        self.running.insert(selection, task.abort_handle());
    }

    fn end(&mut self, selection: &Selection) {
        self.running.remove(selection).inspect(AbortHandle::abort);
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.running.values().for_each(AbortHandle::abort);
    }
}

/// Watches one selection for ever; after a failure, again after a pause.
async fn watch_one(client: Client, selection: Selection, send: mpsc::Sender<(Selection, Seen)>) {
    let mut stream = Box::pin(watcher::watcher(selection.api(client), selection.watcher_config()));
    let mut pause = PAUSE_MIN;
    let mut waited = Duration::ZERO;
    while let Some(next) = stream.next().await {
        let seen = match next {
            // A listing begins with the word that it does, whether or not it succeeds.
            Ok(event) => {
                if !matches!(event, Event::Init) {
                    (pause, waited) = (PAUSE_MIN, Duration::ZERO);
                }
                Seen::Event(Box::new(event))
            }
            Err(error) => {
                let trouble = Trouble::of(&error);
                tracing::debug!(%selection, %trouble, "a watch failed");
                let forbidden = trouble.kind == TroubleKind::Forbidden && selection.name.is_some();
                let patience = if forbidden { FORBIDDEN_WAIT } else { TROUBLED_WAIT };
                if send.send((selection.clone(), Seen::Trouble(trouble))).await.is_err() {
                    return;
                }
                tokio::time::sleep(pause).await;
                waited += pause;
                let longest = if forbidden && waited < patience { FORBIDDEN_PAUSE_MAX } else { PAUSE_MAX };
                pause = (pause * 2).min(longest);
                // Without a whole kind nothing is complete; without one Secret the rest is.
                if selection.name.is_none() || waited < patience {
                    continue;
                }
                Seen::Late
            }
        };
        if send.send((selection.clone(), seen)).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::Kind;
    use http::{Request, Response};
    use kube::client::Body;
    use portolan_translate::{ObjectName, Reference};
    use std::convert::Infallible;
    use tokio::time::Instant;

    /// A client of an API server that has no object, and answers with a status where a path has a word.
    fn client(word: &'static str, status: u16) -> Client {
        let answer = move |request: Request<Body>| async move {
            let uri = request.uri().to_string();
            if uri.contains(word) {
                let body = format!(r#"{{"kind": "Status", "code": {status}, "message": "no", "status": "Failure"}}"#);
                let response = Response::builder().status(status).body(Body::from(body.into_bytes()));
                return Ok::<_, Infallible>(response.expect("it is a response"));
            }
            if uri.contains("watch=") {
                std::future::pending::<()>().await;
            }
            let body = r#"{"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": []}"#;
            Ok(Response::new(Body::from(body.as_bytes().to_vec())))
        };
        Client::new(tower::service_fn(answer), "default")
    }

    /// How long it takes until a view is complete, and that view; nothing if it takes longer than an hour.
    async fn complete(client: Client) -> Option<(Duration, Arc<View>)> {
        let secret = Selection::named(Kind::Secret, &ObjectName::new("n", "s"));
        let mut follower = follow(client, [Selection::all(Kind::HTTPRoute), secret].into(), false);
        let began = Instant::now();
        let view = tokio::time::timeout(Duration::from_secs(3600), follower.views.wait_for(|view| view.complete)).await;
        Some((began.elapsed(), view.ok()?.expect("it is followed").clone()))
    }

    #[tokio::test(start_paused = true)]
    async fn one_object_that_the_api_server_cannot_give_is_not_waited_for_for_ever() {
        let secret = Reference::Secret(ObjectName::new("n", "s"));
        for (status, least) in [(403, FORBIDDEN_WAIT), (400, TROUBLED_WAIT), (500, TROUBLED_WAIT)] {
            let (waited, view) = complete(client("/secrets", status)).await.expect("it is complete");
            assert!(waited >= least && waited < least + 2 * PAUSE_MAX, "{status}: {waited:?}");
            assert_eq!(view.forbidden(), [secret.clone()].into(), "{status}: nobody knows whether it exists");
        }
        let (waited, view) = complete(client("/nothing", 500)).await.expect("it is complete");
        assert!(waited < Duration::from_secs(1) && view.forbidden().is_empty(), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_whole_kind_nothing_is_complete() {
        assert!(complete(client("/httproutes", 500)).await.is_none());
    }
}
