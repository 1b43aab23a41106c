//! The route table of one listener: which rule a request takes, in the order of precedence of the Gateway API, and why
//! the others lost. Built once by translation, never changed.

use super::{
    hosts::HostMap,
    matching::{Matcher, Mismatch, PathMatch, RequestView},
    rule::Rule,
};
use hashbrown::HashMap;
use regex::RegexSet;
use std::sync::Arc;

/// Rules by host name. Hosts rank before every other criterion, but a host none of whose rules match leaves the request
/// to less specific hosts, since precedence decides among the rules that match and nothing else.
#[derive(Clone, Debug, Default)]
pub struct RouteTable {
    hosts: HostMap<Arc<HostRoutes>>,
}

/// One match of one rule.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// When the rule applies.
    pub matcher: Matcher,
    /// What it does.
    pub rule: Arc<Rule>,
}

/// The matches of one host name in order of precedence, with an index of their paths.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostRoutes {
    candidates: Box<[Arc<Candidate>]>,
    exact: HashMap<Arc<str>, Ranks>,
    prefix: HashMap<Arc<str>, Ranks>,
    /// Elements of the longest prefix: deeper paths need not be looked up.
    prefix_depth: usize,
    regexes: Option<(RegexSet, Ranks)>,
}

/// Fewest patterns of one host name for which a set is worth its memory.
const REGEX_SET_MIN: usize = 8;

/// Positions in `candidates`, ascending.
type Ranks = Vec<u32>;

/// One candidate that `explain` looked at.
#[derive(Clone, Debug)]
pub struct Considered<'a> {
    /// The host name under which the rule stands; `None` for any.
    pub hostname: Option<super::Hostname>,
    /// The candidate.
    pub candidate: &'a Candidate,
    /// The condition that did not hold, if one did not.
    pub mismatch: Option<Mismatch<'a>>,
}

// === impl RouteTable ===

impl RouteTable {
    /// A table from candidates by host name, each list in order of precedence already.
    pub fn new(hosts: HostMap<Vec<Candidate>>) -> Self {
        let shared = |list: Vec<Candidate>| list.into_iter().map(Arc::new).collect();
        Self { hosts: hosts.map(|list| Arc::new(HostRoutes::new(shared(list)))) }
    }

    /// A table of host names that were compiled before.
    pub(crate) fn from_hosts(hosts: HostMap<Arc<HostRoutes>>) -> Self {
        Self { hosts }
    }

    /// The candidate of highest precedence whose conditions hold.
    pub fn find(&self, request: &RequestView<'_>) -> Option<&Candidate> {
        self.hosts.matching(request.host).find_map(|routes| routes.find(request))
    }

    /// Every candidate of every host name that fits, in order of precedence, with what did not hold.
    pub fn explain<'a>(&'a self, request: &RequestView<'_>) -> Vec<Considered<'a>> {
        let fitting: Vec<*const HostRoutes> = self.hosts.matching(request.host).map(Arc::as_ptr).collect();
        let mut considered = Vec::new();
        for wanted in fitting {
            let found = self.hosts.iter().find(|(_, routes)| Arc::as_ptr(routes) == wanted);
            let Some((hostname, routes)) = found else { continue };
            considered.extend(routes.candidates.iter().map(|candidate| Considered {
                hostname: hostname.clone(),
                candidate,
                mismatch: candidate.matcher.check(request).err(),
            }));
        }
        considered
    }

    /// All candidates: by host name, then in order of precedence.
    pub fn iter(&self) -> impl Iterator<Item = (Option<super::Hostname>, &Candidate)> {
        self.hosts
            .iter()
            .flat_map(|(name, routes)| routes.candidates.iter().map(move |one| (name.clone(), one.as_ref())))
    }
}

// === impl HostRoutes ===

impl HostRoutes {
    /// Indexes candidates that are in order of precedence.
    pub(crate) fn new(candidates: Vec<Arc<Candidate>>) -> Self {
        let mut routes = Self::default();
        let (mut patterns, mut pattern_ranks) = (Vec::new(), Vec::new());
        for (rank, candidate) in (0..).zip(&candidates) {
            match &candidate.matcher.path {
                PathMatch::Exact(path) => routes.exact.entry(path.clone()).or_default().push(rank),
                PathMatch::Prefix(prefix) => {
                    routes.prefix_depth = routes.prefix_depth.max(depth(prefix));
                    routes.prefix.entry(prefix.clone()).or_default().push(rank);
                }
                PathMatch::Regex(regex) => {
                    patterns.push(regex.as_str().to_owned());
                    pattern_ranks.push(rank);
                }
            }
        }
        routes.regexes = (!patterns.is_empty()).then(|| (regex_set(&patterns), pattern_ranks));
        routes.candidates = candidates.into();
        routes
    }

    fn find(&self, request: &RequestView<'_>) -> Option<&Candidate> {
        let mut best = u32::MAX;
        if let Some(ranks) = self.exact.get(request.path) {
            self.improve(&mut best, ranks, request);
        }
        if let Some((set, ranks)) = &self.regexes {
            self.improve_by_regex(&mut best, set, ranks, request);
        }
        let mut prefix = first_elements(request.path, self.prefix_depth);
        loop {
            if let Some(ranks) = self.prefix.get(prefix) {
                self.improve(&mut best, ranks, request);
            }
            match prefix.rfind('/') {
                Some(end) => prefix = &prefix[..end],
                None => break,
            }
        }
        self.candidates.get(best as usize).map(Arc::as_ref)
    }

    /// Takes the first of `ranks` whose conditions beside the path hold, if it is better than the best so far.
    fn improve(&self, best: &mut u32, ranks: &[u32], request: &RequestView<'_>) {
        let better = ranks.iter().take_while(|rank| **rank < *best);
        let holds = |rank: &&u32| self.candidates[**rank as usize].matcher.check_beyond_path(request).is_ok();
        if let Some(rank) = better.into_iter().find(holds) {
            *best = *rank;
        }
    }

    fn improve_by_regex(&self, best: &mut u32, set: &RegexSet, ranks: &[u32], request: &RequestView<'_>) {
        if ranks[0] >= *best {
            return;
        }
        if set.is_empty() {
            let better = ranks.iter().take_while(|rank| **rank < *best);
            let holds = |rank: &&u32| self.candidates[**rank as usize].matcher.check(request).is_ok();
            if let Some(rank) = better.into_iter().find(holds) {
                *best = *rank;
            }
            return;
        }
        for at in &set.matches(request.path) {
            if ranks[at] >= *best {
                return;
            }
            self.improve(best, &ranks[at..=at], request);
        }
    }
}

/// All patterns in one, or an empty set where they are tried one by one: a few are as quick alone and take half the
/// memory. (Each was compiled alone before, within the size limit that translation sets; all together may be too large
/// for the limit of a set.)
fn regex_set(patterns: &[String]) -> RegexSet {
    let set = if patterns.len() < REGEX_SET_MIN { None } else { RegexSet::new(patterns).ok() };
    set.unwrap_or_else(RegexSet::empty)
}

/// Number of elements of a prefix without its last slash.
fn depth(prefix: &str) -> usize {
    prefix.bytes().filter(|byte| *byte == b'/').count()
}

/// The path's first `count` elements, without a slash at the end.
fn first_elements(path: &str, count: usize) -> &str {
    match path.bytes().enumerate().filter(|(_, byte)| *byte == b'/').nth(count) {
        Some((end, _)) => &path[..end],
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_elements_stop_before_the_next_slash() {
        assert_eq!(first_elements("/a/b/c", 2), "/a/b");
        assert_eq!(first_elements("/a/b/c", 0), "");
        assert_eq!(first_elements("/a/b/c", 9), "/a/b/c");
        assert_eq!(first_elements("/a/", 1), "/a");
    }

    #[test]
    fn depth_counts_elements() {
        assert_eq!((depth(""), depth("/a"), depth("/a/b")), (0, 1, 2));
    }
}
