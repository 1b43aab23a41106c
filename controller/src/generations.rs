//! Which generations of its objects a gateway's pod has loaded: what its read-only port tells at `/generations`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Generations of objects by `namespace/name`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Generations {
    /// Publications so far.
    pub serving: u64,
    /// Of Gateways.
    pub gateways: BTreeMap<String, i64>,
    /// Of ListenerSets.
    pub listener_sets: BTreeMap<String, i64>,
}

impl Generations {
    /// The same, with the number of publications.
    #[must_use]
    pub fn serving(self, serving: u64) -> Self {
        Self { serving, ..self }
    }

    /// Whether all of `wanted` is loaded, or something newer.
    pub fn cover(&self, wanted: &Self) -> bool {
        let covers = |own: &BTreeMap<String, i64>, wanted: &BTreeMap<String, i64>| {
            wanted.iter().all(|(name, generation)| own.get(name).is_some_and(|own| own >= generation))
        };
        covers(&self.gateways, &wanted.gateways) && covers(&self.listener_sets, &wanted.listener_sets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_generation_covers_and_an_older_or_absent_one_does_not() {
        let of = |entries: &[(&str, i64)]| Generations {
            gateways: entries.iter().map(|(name, generation)| ((*name).to_owned(), *generation)).collect(),
            ..Default::default()
        };
        assert!(of(&[("n/a", 3), ("n/b", 1)]).cover(&of(&[("n/a", 2)])));
        assert!(!of(&[("n/a", 1)]).cover(&of(&[("n/a", 2)])));
        assert!(!of(&[]).cover(&of(&[("n/a", 1)])));
    }
}
