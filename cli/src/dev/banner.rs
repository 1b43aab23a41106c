//! What `dev` tells the user: listeners with their addresses and routes, what is wrong, and a command to try.

use crate::table::Table;
use portolan_proxy::explain;
use portolan_source::Loaded;
use portolan_translate::{
    Snapshot, Translation,
    snapshot::{Hostname, ParentId, Port, PortKind},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
};

/// What the user was told already.
pub struct Told {
    admin: SocketAddr,
    directory: PathBuf,
    last: Option<Arc<Loaded>>,
    /// The ports of the last table, and the table's hash: of thousands of routes it is long.
    table: Option<(Vec<Arc<Port>>, u64)>,
    greeted: bool,
}

impl Told {
    /// Nothing was told yet.
    pub fn new(admin: SocketAddr, directory: PathBuf) -> Self {
        Self { admin, directory, last: None, table: None, greeted: false }
    }

    /// Whether the files changed since the last time.
    pub fn is_new(&self, loaded: &Arc<Loaded>) -> bool {
        self.last.as_ref().is_none_or(|last| !Arc::ptr_eq(last, loaded))
    }

    /// Tells what is served now, if that changed.
    pub fn tell(&mut self, loaded: &Arc<Loaded>, translation: &Translation, notes: &BTreeSet<String>) {
        let new = self.is_new(loaded);
        self.last = Some(loaded.clone());
        let problems = problems(loaded, translation);
        let mut whole = String::new();
        if let Some(table) = self.new_table(&translation.snapshot) {
            whole.push_str(&table);
            whole.push('\n');
            notes.iter().for_each(|note| whole.push_str(&format!("note: {note}\n")));
            loaded.notes.iter().for_each(|note| whole.push_str(&format!("note: {note}\n")));
        }
        if new {
            problems.iter().for_each(|problem| whole.push_str(&format!("problem: {problem}\n")));
        }
        if !std::mem::replace(&mut self.greeted, true) {
            if let Some(line) = try_this(&translation.snapshot) {
                whole.push_str(&format!("\ntry: {line}\n"));
            }
            let directory = super::session::shown(&self.directory);
            whole.push_str(&format!("admin: http://{}  watching {directory} for changes; Ctrl-C ends\n", self.admin));
        } else if new {
            let count = problems.len();
            whole.push_str(&match count {
                0 => "reloaded: everything is accepted\n".to_owned(),
                1 => "reloaded: 1 problem, everything else is served\n".to_owned(),
                _ => format!("reloaded: {count} problems, everything else is served\n"),
            });
        }
        print!("{whole}");
        use std::io::Write;
        let _ = std::io::stdout().flush();
    }

    /// The table of listeners, if it is another than before.
    fn new_table(&mut self, snapshot: &Snapshot) -> Option<String> {
        let same = |(before, _): &(Vec<Arc<Port>>, u64)| {
            before.len() == snapshot.ports.len() && before.iter().zip(&snapshot.ports).all(|(a, b)| Arc::ptr_eq(a, b))
        };
        if self.table.as_ref().is_some_and(same) {
            return None;
        }
        let table = listeners(snapshot).to_string();
        let mut hasher = DefaultHasher::new();
        table.hash(&mut hasher);
        let before = self.table.replace((snapshot.ports.clone(), hasher.finish()));
        before.is_none_or(|(_, hash)| hash != hasher.finish()).then_some(table)
    }
}

/// What is wrong in the files and in the statuses.
pub fn problems(loaded: &Loaded, translation: &Translation) -> Vec<String> {
    let of_files = loaded.problems.iter().map(ToString::to_string);
    let of_statuses = translation.statuses.problems().map(|problem| {
        let id = portolan_source::ObjectId { kind: problem.kind.into(), name: problem.object.clone() };
        let origin = loaded.origins.get(&id).map(|origin| format!("{origin}: ")).unwrap_or_default();
        format!("{origin}{problem}")
    });
    let notes = translation.statuses.notes.iter();
    let of_notes = notes
        .filter(|note| note.severity == portolan_translate::statuses::Severity::Problem)
        .map(|note| format!("{} {}: {}", note.kind, note.object, note.message));
    of_files.chain(of_statuses).chain(of_notes).collect()
}

fn listeners(snapshot: &Snapshot) -> Table {
    let mut table = Table::new(["PARENT", "LISTENER", "ADDRESS", "PROTOCOL", "HOSTNAME", "ROUTE", "MATCH"]);
    for port in &snapshot.ports {
        let (parent, protocol) = (port.parent.to_string(), explain::protocol(port).to_owned());
        let address = if port.declared == port.bind {
            port.bind.to_string()
        } else {
            format!("{} (for {})", port.bind, port.declared.port())
        };
        let mut seen: BTreeMap<(String, String, String), Vec<String>> = BTreeMap::new();
        for (listener, hostname, rule, path) in explain::rules(port) {
            let listener = listener.rsplit(' ').next().unwrap_or_default().to_owned();
            let route = rule.split(" rule ").next().unwrap_or_default().to_owned();
            let paths = seen.entry((listener, hostname, route)).or_default();
            if !path.is_empty() && !paths.contains(&path) {
                paths.push(path);
            }
        }
        if seen.is_empty() {
            table.row([parent, String::new(), address, protocol, String::new(), "no routes".to_owned(), String::new()]);
            continue;
        }
        for ((listener, hostname, route), paths) in seen {
            let route = if route.starts_with("Service ") { "forwarded".to_owned() } else { route };
            let paths = shortened(&paths);
            table.row([parent.clone(), listener, address.clone(), protocol.clone(), hostname, route, paths]);
        }
    }
    table
}

/// The first few paths.
fn shortened(paths: &[String]) -> String {
    const SHOWN: usize = 3;
    let mut text = paths.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if paths.len() > SHOWN {
        text.push_str(&format!(" and {} more", paths.len() - SHOWN));
    }
    text
}

/// A command that gets an answer from the first HTTP route.
fn try_this(snapshot: &Snapshot) -> Option<String> {
    let gateway =
        |port: &&Arc<Port>| matches!(port.parent, ParentId::Gateway(_)) && matches!(port.kind, PortKind::Http(_));
    let port = snapshot.ports.iter().find(gateway)?;
    let (_, hostname, _, path) = explain::rules(port).next()?;
    let path = match path.split_once(' ') {
        Some(("=", exact)) => exact.to_owned(),
        Some(_) => "/".to_owned(),
        None => path.trim_end_matches('*').to_owned(),
    };
    let host = match Hostname::new(&hostname) {
        _ if hostname == "*" => String::new(),
        Hostname::Exact(name) => format!("-H 'Host: {name}' "),
        Hostname::Wildcard(suffix) => format!("-H 'Host: any.{suffix}' "),
    };
    Some(format!("curl {host}http://{}{path}", port.bind))
}
