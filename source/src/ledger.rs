//! What is in service: merges what the files say with what they said before. Unchanged objects keep their allocation,
//! changed ones their count of generations, and what cannot be read now keeps its last good version.

mod amend;

use crate::{
    admit::Admitted,
    kinds::Object,
    places::FieldPath,
    problem::{Effect, Note, ObjectId, Origin, Problem},
    reading::Documents,
};
use portolan_translate::objects::Objects;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

/// What one file says now.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) file: Arc<Path>,
    pub(crate) documents: Documents,
    /// Equal for the same documents in the same places.
    pub(crate) fingerprint: [u8; 32],
}

/// Everything that the files say now.
#[derive(Default)]
pub(crate) struct Readings {
    pub(crate) files: Vec<Reading>,
    /// Problems of files rather than of objects.
    pub(crate) problems: Vec<Problem>,
    /// Files and directories of which a part could not be read.
    pub(crate) unreadable: BTreeSet<PathBuf>,
}

/// What a merge says beyond the objects.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) problems: Vec<Problem>,
    pub(crate) notes: Vec<Note>,
}

/// The objects in service, each with its history.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: BTreeMap<ObjectId, Entry>,
    /// The objects in service. The same allocation for as long as none changes.
    objects: Arc<Objects>,
    /// Where each of them was written.
    origins: Arc<BTreeMap<ObjectId, Origin>>,
    /// What the files said last, if nothing was wrong with it.
    clean: Option<Vec<Reading>>,
}

#[derive(Clone, Debug)]
struct Entry {
    /// The object as it was admitted.
    source: Object,
    /// The same at its generation.
    served: Object,
    origin: Origin,
}

impl Entry {
    fn is_same(&self, other: &Entry) -> bool {
        self.served.is_same(&other.served)
    }
}

impl Ledger {
    /// Puts into service what the files say now.
    pub(crate) fn merge(&mut self, readings: Readings) -> Report {
        if self.amend(&readings) {
            self.clean = Some(readings.files);
            return Report::default();
        }
        let mut merge = Merge { before: std::mem::take(&mut self.entries), ..Merge::default() };
        merge.report.problems = readings.problems;
        merge.unreadable = readings.unreadable;
        for reading in &readings.files {
            merge.take_file(reading);
        }
        let is_clean = merge.is_clean();
        merge.keep_refused();
        merge.keep_unreadable();
        let Merge { before, next, mut report, .. } = merge;
        report.problems.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        let same = |(id, entry): (&ObjectId, &Entry)| before.get(id).is_some_and(|before| before.is_same(entry));
        let changed = before.len() != next.len() || !next.iter().all(same);
        self.entries = next;
        self.clean = is_clean.then_some(readings.files);
        self.origins = Arc::new(self.entries.iter().map(|(id, entry)| (id.clone(), entry.origin.clone())).collect());
        if changed {
            self.objects = Arc::default();
            let objects = Arc::make_mut(&mut self.objects);
            self.entries.iter().for_each(|(id, entry)| entry.served.clone().store(id.name.clone(), objects));
        }
        report
    }

    /// The next merge looks at everything.
    #[cfg(test)]
    pub(crate) fn forget_clean(&mut self) {
        self.clean = None;
    }

    /// The objects in service; the same allocation for as long as none changes.
    pub(crate) fn objects(&self) -> &Arc<Objects> {
        &self.objects
    }

    /// Where each object in service was written.
    pub(crate) fn origins(&self) -> &Arc<BTreeMap<ObjectId, Origin>> {
        &self.origins
    }
}

#[derive(Default)]
struct Merge {
    before: BTreeMap<ObjectId, Entry>,
    next: BTreeMap<ObjectId, Entry>,
    refused: BTreeMap<ObjectId, Origin>,
    unreadable: BTreeSet<PathBuf>,
    report: Report,
}

impl Merge {
    fn take_file(&mut self, reading: &Reading) {
        for (lines_before, admission) in reading.documents.iter() {
            for admitted in &admission.objects {
                let at = admitted.at.below(*lines_before);
                self.take_object(admitted, Origin { file: reading.file.clone(), line: at.line }, at.column);
            }
            self.report.problems.extend(admission.findings.iter().map(|finding| {
                let mut problem =
                    Problem::of_file(&reading.file, finding.at.below(*lines_before), finding.message.clone());
                problem.object.clone_from(&finding.id);
                problem.field = FieldPath(&finding.path).to_string();
                problem
            }));
            self.report.notes.extend(admission.notes.iter().map(|(at, message)| Note {
                file: reading.file.to_path_buf(),
                line: at.below(*lines_before).line,
                message: message.clone(),
            }));
            if admission.incomplete {
                self.unreadable.insert(reading.file.to_path_buf());
            }
        }
    }

    fn take_object(&mut self, admitted: &Admitted, origin: Origin, column: u32) {
        let Some(object) = &admitted.object else {
            self.refused.entry(admitted.id.clone()).or_insert(origin);
            return;
        };
        if let Some(first) = self.next.get(&admitted.id) {
            let at = crate::places::Position { line: origin.line, column };
            let mut problem =
                Problem::of_file(&origin.file, at, format!("is written at {} before, which counts", first.origin));
            problem.object = Some(admitted.id.clone());
            self.report.problems.push(problem);
            return;
        }
        let entry = succeed(self.before.get(&admitted.id), object, origin);
        self.next.insert(admitted.id.clone(), entry);
    }

    /// Whether nothing was wrong, and nothing worth a note.
    fn is_clean(&self) -> bool {
        let Report { problems, notes } = &self.report;
        problems.is_empty() && notes.is_empty() && self.refused.is_empty() && self.unreadable.is_empty()
    }

    /// An object that is refused now stays as it was, as in a cluster whose API server refuses a change.
    fn keep_refused(&mut self) {
        let mut kept = BTreeSet::new();
        for (id, origin) in std::mem::take(&mut self.refused) {
            let Some(before) = self.before.get(&id).filter(|_| !self.next.contains_key(&id)) else { continue };
            self.next.insert(id.clone(), Entry { origin, ..before.clone() });
            kept.insert(id);
        }
        self.last_good_serves(|problem| problem.object.as_ref().is_some_and(|id| kept.contains(id)));
    }

    /// What an unreadable file held before stays, unless it is written elsewhere now.
    fn keep_unreadable(&mut self) {
        let mut kept = BTreeSet::new();
        for (id, before) in &self.before {
            let unreadable = before.origin.file.ancestors().find(|place| self.unreadable.contains(*place));
            let Some(place) = unreadable.filter(|_| !self.next.contains_key(id)) else { continue };
            self.next.insert(id.clone(), before.clone());
            kept.insert(place.to_owned());
        }
        self.last_good_serves(|problem| problem.object.is_none() && kept.contains(&problem.file));
    }

    fn last_good_serves(&mut self, of: impl Fn(&Problem) -> bool) {
        for problem in self.report.problems.iter_mut().filter(|problem| of(problem)) {
            problem.effect = Effect::LastGoodServes;
        }
    }
}

/// The entry of an object after the one before it.
fn succeed(before: Option<&Entry>, object: &Object, origin: Origin) -> Entry {
    let source = object.clone();
    let Some(before) = before else { return Entry { served: source.clone(), source, origin } };
    if before.source.is_same(object) || before.source == *object {
        return Entry { origin, ..before.clone() };
    }
    let generation = before.served.metadata().generation.unwrap_or(1);
    let same_spec = before.source.differs_in_metadata_alone(object);
    let served = source.clone().at_generation(if same_spec { generation } else { generation.saturating_add(1) });
    Entry { source, served, origin }
}
