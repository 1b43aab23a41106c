//! What must hold of every text that is saved as a manifest, and of every save after another: no panic, problems that
//! point into the text, a translation that does not depend on the one before, and an explanation for each of its rules.

use portolan_proxy::explain::{Question, explain, rules};
use portolan_source::{Directory, Objects, Problem};
use portolan_translate::{
    Edges, Snapshot,
    edges::{GatewayAddresses, LastModule, ModuleFailure},
    snapshot::{Port, PortKind},
    translate,
};
use std::{net::Ipv4Addr, path::Path, sync::Arc};

/// Stands between a save and the next in an input.
pub const SAVED: &str = "# saved again\n";
/// Saves of one input.
const SAVES_MAX: usize = 4;
/// Ports of a snapshot that are asked after.
const PORTS_MAX: usize = 8;
/// Rules of a port that are asked after.
const RULES_MAX: usize = 8;

/// Checks a text: saves of one file, one after another. Says how many requests were explained.
pub fn check(text: &str) -> usize {
    let mut directory = Directory::new("");
    let (mut before, mut explained) = (None, 0);
    for save in text.split(SAVED).take(SAVES_MAX) {
        let loaded = directory.load_str(Path::new("/fuzzed.yaml"), save);
        loaded.problems.iter().for_each(|problem| points_into(problem, save));
        let again = directory.load_str(Path::new("/fuzzed.yaml"), save);
        assert!(Arc::ptr_eq(&loaded.objects, &again.objects), "the same text makes other objects");
        let edges = edges(&loaded.objects);
        let now = translate(&loaded.objects, &edges, before.as_ref());
        let afresh = translate(&loaded.objects, &edges, None);
        assert_eq!(now.statuses, afresh.statuses, "statuses depend on the translation before");
        let questions = questions(&now.snapshot);
        let answers = |snapshot| questions.iter().map(|question| answer(snapshot, question)).collect::<Vec<_>>();
        assert_eq!(answers(&now.snapshot), answers(&afresh.snapshot), "routes depend on the translation before");
        explained += questions.len();
        before = Some(now);
    }
    explained
}

/// A problem names a line of the text, and is told on one line.
fn points_into(problem: &Problem, text: &str) {
    let lines = text.split('\n').count() as u32 + 1;
    assert!((1..=lines).contains(&problem.line) && problem.column > 0, "{problem} is not in {lines} lines");
    assert!(!problem.to_string().contains('\n'), "a problem of several lines");
}

/// What the edges would know: an address for each Gateway, and that some modules are there, spoilt or missing.
fn edges(objects: &Objects) -> Edges {
    let assigned =
        |at: u8| GatewayAddresses { assigned: vec![Ipv4Addr::new(127, 0, 0, at).into()], ..Default::default() };
    let gateways = objects.gateways.keys().cloned().zip((1..=u8::MAX).map(assigned)).collect();
    let modules = objects.wasm_filters.iter().enumerate().map(|(at, (name, filter))| {
        let last = LastModule { digest: [8; 32], filter: filter.clone() };
        let failure = |last| Err(ModuleFailure { why: "does not compile".into(), last });
        (name.clone(), [Ok([7; 32]), failure(None), failure(Some(last))][at % 3].clone())
    });
    Edges {
        controller_name: "portolan.dev/gateway".into(),
        implicit_class: Some("portolan".into()),
        gateways,
        frontends: true,
        modules: modules.collect(),
        ..Edges::default()
    }
}

/// Requests that come close to the rules of a snapshot.
fn questions(snapshot: &Snapshot) -> Vec<Question> {
    let ports = snapshot.ports.iter().take(PORTS_MAX);
    ports.flat_map(|port| rules(port).take(RULES_MAX).map(|rule| question(port, &rule.1, &rule.3))).collect()
}

fn question(port: &Port, hostname: &str, path: &str) -> Question {
    let scheme = if matches!(port.kind, PortKind::Tls(_)) { "https" } else { "http" };
    let host = match hostname {
        "*" => port.bind.ip().to_string(),
        name => name.replace('*', "any"),
    };
    let path = path.strip_prefix("= ").unwrap_or(path).replace("/*", "/a/../b");
    let path = if path.starts_with('/') { path } else { "/".to_owned() };
    let headers =
        vec![("x-version".to_owned(), "2".to_owned()), ("content-type".to_owned(), "application/grpc".to_owned())];
    Question {
        method: if path.len().is_multiple_of(2) { "GET" } else { "POST" }.to_owned(),
        url: format!("{scheme}://{host}:{}{path}?version=2", port.bind.port()),
        headers,
        from: None,
    }
}

/// The answer as it is printed; a question may be a bad one, since names of objects went into it.
fn answer(snapshot: &Snapshot, question: &Question) -> Option<String> {
    let told = explain(snapshot, question).ok()?;
    let percent: f64 = told.backends.iter().map(|backend| backend.percent).sum();
    // Each share is rounded to a tenth.
    assert!(percent <= 100.0 + 0.05 * told.backends.len() as f64 + 0.001, "{percent} % of a rule's requests");
    assert!(told.winner.iter().all(|winner| winner.lost.is_empty()), "the winner lost");
    assert!(told.runners_up.iter().all(|other| !other.lost.is_empty()), "a rule lost for no reason");
    assert!(told.winner.is_some() || !told.outcome.is_empty(), "no rule, and nothing said of it");
    Some(serde_json::to_string(&told).expect("an explanation is plain data"))
}
