//! The quick way of a merge: where nothing is and was wrong, only the files that changed are looked at. What comes of it
//! is what comes of merging everything.

use super::{Ledger, Reading, Readings, succeed};
use crate::{
    admit::Admitted,
    problem::{ObjectId, Origin},
};
use portolan_translate::objects::Objects;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// An object as a file describes it, and where.
type Described<'a> = (&'a Admitted, Origin);

impl Ledger {
    /// Puts into service what changed. False if something is wrong, or was, or a file came or went: then nothing is
    /// done, and everything must be merged.
    pub(super) fn amend(&mut self, readings: &Readings) -> bool {
        let Some(before) = self.clean.take() else { return false };
        let Readings { files, problems, unreadable } = readings;
        let same_files = before.len() == files.len() && before.iter().zip(files).all(|(a, b)| a.file == b.file);
        if !(same_files && problems.is_empty() && unreadable.is_empty()) {
            return false;
        }
        let differing = || before.iter().zip(files).filter(|(before, now)| before.fingerprint != now.fingerprint);
        let gone: BTreeSet<&ObjectId> =
            differing().flat_map(|(before, _)| described(before)).map(|(admitted, _)| &admitted.id).collect();
        let mut now: BTreeMap<&ObjectId, Described<'_>> = BTreeMap::new();
        for (_, reading) in differing() {
            if !reading.documents.iter().all(|(_, admission)| admission.is_clean()) {
                return false;
            }
            for (admitted, origin) in described(reading) {
                let written_elsewhere = !gone.contains(&admitted.id) && self.entries.contains_key(&admitted.id);
                if written_elsewhere || now.insert(&admitted.id, (admitted, origin)).is_some() {
                    return false;
                }
            }
        }
        for id in gone.into_iter().filter(|id| !now.contains_key(id)) {
            self.remove(id);
        }
        for (admitted, origin) in now.into_values() {
            self.put(admitted, origin);
        }
        true
    }

    fn remove(&mut self, id: &ObjectId) {
        let Some(entry) = self.entries.remove(id) else { return };
        entry.served.remove(&id.name, self.objects_mut());
        Arc::make_mut(&mut self.origins).remove(id);
    }

    fn put(&mut self, Admitted { id, object, .. }: &Admitted, origin: Origin) {
        let Some(object) = object else { return };
        let before = self.entries.get(id);
        let entry = succeed(before, object, origin);
        let (same, in_place) = match before {
            Some(before) => (before.is_same(&entry), before.origin == entry.origin),
            None => (false, false),
        };
        if !same {
            entry.served.clone().store(id.name.clone(), self.objects_mut());
        }
        if !in_place {
            Arc::make_mut(&mut self.origins).insert(id.clone(), entry.origin.clone());
        }
        if !(same && in_place) {
            self.entries.insert(id.clone(), entry);
        }
    }

    fn objects_mut(&mut self) -> &mut Objects {
        Arc::make_mut(&mut self.objects)
    }
}

fn described(reading: &Reading) -> impl Iterator<Item = Described<'_>> {
    let file = &reading.file;
    reading.documents.iter().flat_map(move |(lines_before, admission)| {
        admission.objects.iter().map(move |admitted| {
            let line = admitted.at.below(*lines_before).line;
            (admitted, Origin { file: file.clone(), line })
        })
    })
}
