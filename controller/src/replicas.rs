//! Asks the pods of gateways which generations they have loaded, for as long as that is not what is wanted.

use crate::{Generations, infrastructure::READ_ONLY_PORT};
use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper_util::rt::TokioIo;
use portolan_translate::{ObjectName, edges::Replicas};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{net::TcpStream, sync::watch, task::JoinSet};

/// First pause between two rounds of questions; each further one is half as long again.
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Time that a pod has to answer.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Most bytes of an answer.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Questions that may be under way at once.
const QUESTIONS_MAX: usize = 32;

/// What a Gateway's pods are to have loaded, and which are ready.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// What is to be loaded.
    pub wanted: Generations,
    /// Addresses of the ready pods.
    pub ready: BTreeSet<IpAddr>,
}

/// Questions by Gateway.
pub type Questions = BTreeMap<ObjectName, Question>;
/// What pods answered last.
pub type Answers = HashMap<IpAddr, Generations>;

/// Whether a Gateway's pods have loaded it as it is. A pod that became ready a moment ago and was not asked yet does not
/// count beside others that were: it began with what was there then.
pub fn verdict(question: &Question, answers: &Answers) -> Replicas {
    let asked = || question.ready.iter().filter_map(|address| answers.get(address));
    let (known, loaded) = (asked().count(), asked().filter(|loaded| loaded.cover(&question.wanted)).count());
    match (question.ready.len(), known) {
        (0, _) => Replicas::Behind("no replica is ready yet".to_owned()),
        (_, 0) => Replicas::Behind("no ready replica has said yet what it has loaded".to_owned()),
        _ if known == loaded => Replicas::Current,
        _ => Replicas::Behind(format!("{loaded} of {known} ready replicas have loaded this generation")),
    }
}

/// Asks until there are no more questions.
pub async fn ask(mut questions: watch::Receiver<Arc<Questions>>, answers: watch::Sender<Arc<Answers>>) {
    let mut known = Answers::new();
    let mut pause = PAUSE_MIN;
    loop {
        let current = questions.borrow_and_update().clone();
        let ready: BTreeSet<IpAddr> = current.values().flat_map(|question| &question.ready).copied().collect();
        known.retain(|address, _| ready.contains(address));
        let open: BTreeSet<IpAddr> = current.values().flat_map(|question| open(question, &known)).collect();
        let before = known.clone();
        ask_all(&open, &mut known).await;
        if known != before {
            answers.send_replace(Arc::new(known.clone()));
        }
        let again = async {
            match open.is_empty() {
                true => std::future::pending().await,
                false => tokio::time::sleep(pause).await,
            }
        };
        tokio::select! {
            changed = questions.changed() => match changed {
                Ok(()) => pause = PAUSE_MIN,
                Err(_) => return,
            },
            () = again => pause = (pause * 3 / 2).min(PAUSE_MAX),
        }
    }
}

/// The pods of a Gateway that have not said yet that they are where they should be.
fn open<'a>(question: &'a Question, known: &'a Answers) -> impl Iterator<Item = IpAddr> + 'a {
    let behind = |address: &&IpAddr| known.get(*address).is_none_or(|loaded| !loaded.cover(&question.wanted));
    question.ready.iter().filter(behind).copied()
}

async fn ask_all(addresses: &BTreeSet<IpAddr>, known: &mut Answers) {
    let mut running = JoinSet::new();
    let take = |known: &mut Answers, done| {
        if let Some(Ok((address, Some(generations)))) = done {
            known.insert(address, generations);
        }
    };
    for address in addresses.iter().copied() {
        while running.len() >= QUESTIONS_MAX {
            take(known, running.join_next().await);
        }
        running.spawn(async move {
            let asked = tokio::time::timeout(TIMEOUT, ask_one(address)).await;
            let answer = asked.map_err(anyhow::Error::from).flatten();
            (address, answer.inspect_err(|error| tracing::debug!(%address, "not asked: {error:#}")).ok())
        });
    }
    while let Some(done) = running.join_next().await {
        take(known, Some(done));
    }
}

async fn ask_one(address: IpAddr) -> Result<Generations> {
    let stream = TcpStream::connect(SocketAddr::new(address, READ_ONLY_PORT)).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::get("/generations").header("host", "gateway").body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    anyhow::ensure!(response.status().is_success(), "answered {}", response.status());
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
    let body = body.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes();
    serde_json::from_slice(&body).context("it is no answer of a gateway")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(generation: i64) -> Generations {
        Generations { gateways: [("n/g".to_owned(), generation)].into(), ..Default::default() }
    }

    #[test]
    fn all_ready_replicas_must_have_loaded_it() {
        let [a, b, new]: [IpAddr; 3] = [[10, 0, 0, 1].into(), [10, 0, 0, 2].into(), [10, 0, 0, 3].into()];
        let mut question = Question { wanted: loaded(2), ready: BTreeSet::new() };
        let answers: Answers = [(a, loaded(2)), (b, loaded(1))].into();
        assert_eq!(verdict(&question, &answers), Replicas::Behind("no replica is ready yet".to_owned()));
        question.ready = [new].into();
        assert!(matches!(verdict(&question, &answers), Replicas::Behind(_)));
        question.ready = [a, new].into();
        assert_eq!(verdict(&question, &answers), Replicas::Current);
        question.ready = [a, b].into();
        let behind = Replicas::Behind("1 of 2 ready replicas have loaded this generation".to_owned());
        assert_eq!(verdict(&question, &answers), behind);
        assert_eq!(open(&question, &answers).collect::<Vec<_>>(), [b]);
    }
}
