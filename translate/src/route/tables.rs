//! Route tables of listeners. What did not change keeps its `Arc`: the rules of a host name, and the whole table.

use super::Compiled;
use crate::snapshot::{Candidate, HostMap, HostRoutes, Hostname, L4Rule, RouteTable, TlsRoutes};
use std::{cmp::Reverse, collections::HashMap, sync::Arc};

/// A route that goes into a table, in order of age.
#[derive(Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub(crate) hosts: &'a [Option<Hostname>],
    pub(crate) compiled: &'a Arc<Compiled>,
}

/// The table of an HTTP listener with what it was made of.
#[derive(Debug)]
pub(crate) struct HttpTable {
    pub(crate) table: Arc<RouteTable>,
    hosts: HashMap<Option<Hostname>, HostEntry>,
}

#[derive(Clone, Debug)]
struct HostEntry {
    made_of: Vec<Arc<Compiled>>,
    routes: Arc<HostRoutes>,
}

/// Builds the table of a listener from its routes, which come by age.
pub(crate) fn http(last: Option<&Arc<HttpTable>>, entries: &[Entry<'_>]) -> Arc<HttpTable> {
    let mut by_host: HashMap<Option<&Hostname>, Vec<&Arc<Compiled>>> = HashMap::with_capacity(entries.len());
    for entry in entries {
        for host in entry.hosts {
            by_host.entry(host.as_ref()).or_default().push(entry.compiled);
        }
    }
    let mut changed = last.is_none_or(|last| last.hosts.len() != by_host.len());
    let mut hosts = HashMap::with_capacity(by_host.len());
    for (host, made_of) in by_host {
        let host = host.cloned();
        let before = last.and_then(|last| last.hosts.get(&host)).filter(|before| same(&before.made_of, &made_of));
        let entry = before.cloned().unwrap_or_else(|| {
            changed = true;
            HostEntry { routes: Arc::new(compile(&made_of)), made_of: made_of.into_iter().cloned().collect() }
        });
        hosts.insert(host, entry);
    }
    match last {
        Some(last) if !changed => last.clone(),
        _ => {
            let mut map = HostMap::default();
            for (host, entry) in &hosts {
                map.insert(host.as_ref(), entry.routes.clone());
            }
            Arc::new(HttpTable { table: Arc::new(RouteTable::from_hosts(map)), hosts })
        }
    }
}

fn same(before: &[Arc<Compiled>], now: &[&Arc<Compiled>]) -> bool {
    before.len() == now.len() && before.iter().zip(now).all(|(before, now)| Arc::ptr_eq(before, now))
}

/// Puts the matches of one host name in order of precedence: their rank, then age and name of the route (the order in
/// which the routes come), then the order of rules and matches within it.
fn compile(routes: &[&Arc<Compiled>]) -> HostRoutes {
    let all = routes.iter().flat_map(|compiled| compiled.matches());
    let mut ranked: Vec<_> = all.collect();
    ranked.sort_by_key(|one| Reverse(one.rank));
    let candidates: Vec<Arc<Candidate>> = ranked.into_iter().map(|one| one.candidate.clone()).collect();
    HostRoutes::new(candidates)
}

/// Rules by server name; of several routes with one name the oldest has it.
pub(crate) fn tls(last: Option<&Arc<TlsRoutes>>, entries: &[Entry<'_>]) -> Arc<TlsRoutes> {
    let mut map: TlsRoutes = HostMap::default();
    for entry in entries {
        let Some(rule) = entry.compiled.l4() else { continue };
        for host in entry.hosts {
            if map.get_exactly(host.as_ref()).is_none() {
                map.insert(host.as_ref(), rule.clone());
            }
        }
    }
    match last {
        Some(last) if last.same(&map, Arc::ptr_eq) => last.clone(),
        _ => Arc::new(map),
    }
}

/// The rule of a listener that tells no host names apart: that of the oldest route.
pub(crate) fn l4(entries: &[Entry<'_>]) -> Option<Arc<L4Rule>> {
    entries.iter().find_map(|entry| entry.compiled.l4().cloned())
}
