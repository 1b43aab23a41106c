//! Events that tell what became of an object: `kubectl describe` shows them. They say what a status says, at the time
//! when it begins to be so.

use crate::Metrics;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use portolan_crds::Condition;
use portolan_translate::statuses::{Conditioned, is_problem};
use std::{collections::HashMap, time::Duration};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};

/// Events that wait to be sent; there are no more of them until some were.
const WAITING_MAX: usize = 256;
/// Time between two events, at least.
const PACE: Duration = Duration::from_millis(50);
/// Notes that are remembered, so that what is told again is counted and is no event of its own.
const NOTES_MAX: usize = 512;
/// The API admits no longer note.
const NOTE_BYTES_MAX: usize = 1000;

/// Something that became of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct News {
    part: String,
    condition: Condition,
}

/// Takes events for sending.
#[derive(Clone, Debug)]
pub struct Events {
    waiting: mpsc::Sender<(ObjectReference, News)>,
    metrics: Metrics,
}

/// What a status says that it did not say before: what is wrong, and what no longer is.
pub fn news<T: Conditioned>(before: Option<&T>, now: &T) -> Vec<News> {
    let was = |part, condition: &Condition| {
        let mut all = before.into_iter().flat_map(T::conditions);
        all.find(|(before, old)| *before == part && old.type_ == condition.type_).map(|(_, old)| old)
    };
    let worth_telling = now.conditions().filter(|(part, condition)| match was(*part, condition) {
        Some(old) if (&old.status, &old.reason) == (&condition.status, &condition.reason) => false,
        Some(old) => is_problem(condition) || is_problem(old),
        None => is_problem(condition),
    });
    let told = worth_telling.map(|(part, condition)| News { part: part.to_string(), condition: condition.clone() });
    told.chain(gone(before, now)).collect()
}

/// What was wrong with a part that is still there, and is said of it no longer.
fn gone<T: Conditioned>(before: Option<&T>, now: &T) -> Vec<News> {
    let mut all = Vec::new();
    for (part, old) in before.into_iter().flat_map(T::conditions).filter(|(_, old)| is_problem(old)) {
        let mut left = now.conditions().filter(|(other, _)| *other == part).peekable();
        if left.peek().is_some() && !left.any(|(_, condition)| condition.type_ == old.type_) {
            let status = if old.status == "True" { "False" } else { "True" }.to_owned();
            let (reason, message) = ("Resolved".to_owned(), String::new());
            all.push(News { part: part.to_string(), condition: Condition { status, reason, message, ..old.clone() } });
        }
    }
    all
}

impl Events {
    /// Sends what it is given, in the background.
    pub fn new(client: Client, instance: Option<String>, metrics: Metrics) -> Self {
        let (waiting, taken) = mpsc::channel(WAITING_MAX);
        tokio::spawn(send(client, instance, taken, metrics.clone()));
        Self { waiting, metrics }
    }

    /// Tells of an object, unless there is too much to tell already.
    pub fn tell(&self, object: &ObjectReference, news: Vec<News>) {
        for one in news {
            if self.waiting.try_send((object.clone(), one)).is_err() {
                self.metrics.event_dropped();
                tracing::debug!(object = object.name, "an event is left out: there are too many");
            }
        }
    }
}

async fn send(
    client: Client,
    instance: Option<String>,
    mut waiting: mpsc::Receiver<(ObjectReference, News)>,
    metrics: Metrics,
) {
    let reporter = Reporter { controller: crate::CONTROLLER_NAME.to_owned(), instance };
    // A recorder counts what has the same reason, whatever is said of it: there is one for each thing that is said.
    let mut recorders: HashMap<Option<String>, Recorder> = HashMap::new();
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while let Some((object, news)) = waiting.recv().await {
        pace.tick().await;
        let event = news.event();
        if recorders.len() >= NOTES_MAX {
            recorders.clear();
        }
        let recorder = recorders.entry(event.note.clone());
        let recorder = recorder.or_insert_with(|| Recorder::new(client.clone(), reporter.clone()));
        if let Err(error) = recorder.publish(&event, &object).await {
            metrics.event_dropped();
            tracing::debug!(object = object.name, "an event is not sent: {error}");
        }
    }
}

impl News {
    fn event(&self) -> Event {
        let Self { part, condition } = self;
        let part = part.trim_start_matches(", ");
        let about = if part.is_empty() { String::new() } else { format!("{part}: ") };
        let mut note = format!("{about}{}={} {}", condition.type_, condition.status, condition.message);
        note.truncate(note.floor_char_boundary(NOTE_BYTES_MAX));
        // What takes a moment by its nature is no warning.
        let soon = ["Pending", "AddressNotAssigned"].contains(&condition.reason.as_str());
        let type_ = if is_problem(condition) && !soon { EventType::Warning } else { EventType::Normal };
        Event {
            type_,
            reason: condition.reason.clone(),
            note: Some(note.trim_end().to_owned()),
            action: condition.type_.clone(),
            secondary: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
    use portolan_crds::gateway::GatewayStatus;

    fn status(programmed: &str, reason: &str) -> GatewayStatus {
        let condition = Condition {
            type_: "Programmed".to_owned(),
            status: programmed.to_owned(),
            reason: reason.to_owned(),
            message: "why".to_owned(),
            observed_generation: None,
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
        };
        GatewayStatus { conditions: vec![condition], ..GatewayStatus::default() }
    }

    fn told(before: &GatewayStatus, now: &GatewayStatus) -> Vec<(String, bool)> {
        let events = news(Some(before), now);
        let events = events.iter().map(News::event);
        events.map(|event| (event.reason, matches!(event.type_, EventType::Warning))).collect()
    }

    #[test]
    fn what_becomes_wrong_and_what_becomes_right_again_is_told_once() {
        let (new, pending) = (status("Unknown", "Pending"), status("False", "AddressNotAssigned"));
        let (good, bad) = (status("True", "Programmed"), status("False", "Invalid"));
        assert_eq!(told(&new, &good), [], "nothing was wrong");
        assert_eq!(told(&new, &pending), [("AddressNotAssigned".to_owned(), false)]);
        assert_eq!(told(&pending, &good), [("Programmed".to_owned(), false)]);
        assert_eq!(told(&good, &bad), [("Invalid".to_owned(), true)]);
        assert_eq!(told(&bad, &bad), []);
        assert_eq!(news(Some(&good), &bad)[0].event().note.as_deref(), Some("Programmed=False why"));
    }

    #[test]
    fn what_is_said_no_longer_is_told_too() {
        let mut before = status("True", "Programmed");
        let partly = Condition { type_: "PartiallyInvalid".to_owned(), ..before.conditions[0].clone() };
        before.conditions.push(partly);
        let now = status("True", "Programmed");
        assert_eq!(told(&before, &now), [("Resolved".to_owned(), false)]);
        assert_eq!(news(Some(&before), &now)[0].event().note.as_deref(), Some("PartiallyInvalid=False"));
    }

    #[test]
    fn a_note_is_cut_to_what_the_api_admits() {
        let mut long = status("False", "Invalid");
        long.conditions[0].message = "ü".repeat(2000);
        let note = news(None, &long)[0].event().note.expect("it says why");
        assert!((NOTE_BYTES_MAX - 1..=NOTE_BYTES_MAX).contains(&note.len()));
    }
}
