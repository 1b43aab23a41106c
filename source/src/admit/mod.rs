//! One document → typed objects, or what is wrong with them: what `kubectl apply` and the API server do between a
//! manifest and a stored object. Knows nothing of other documents, and touches no file.

mod envelope;
mod metadata;
mod rules;
mod schema;
mod typed;

#[cfg(test)]
mod tests;

use crate::{
    kinds::{Kind, Object},
    places::{Places, Position, Step},
    problem::ObjectId,
};
use envelope::Recognised;
use portolan_crds::schema::Schema;
use serde_json::Value;
use std::path::Path;

/// Most problems reported of one object.
pub(crate) const FAULTS_MAX: usize = 50;

/// Most problems, and most notes, reported of one document.
pub(crate) const FINDINGS_MAX: usize = 1000;

/// What became of one document. Positions are those of the document's text.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    pub(crate) objects: Vec<Admitted>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) notes: Vec<(Position, String)>,
    /// Part of the document could not be attributed to any object.
    pub(crate) incomplete: bool,
    omitted: usize,
}

/// An object that the document describes.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) id: ObjectId,
    pub(crate) at: Position,
    /// The object, unless it was refused.
    pub(crate) object: Option<Object>,
}

/// One thing that is wrong with a document.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) at: Position,
    pub(crate) id: Option<ObjectId>,
    pub(crate) path: Vec<Step>,
    pub(crate) message: String,
}

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldFault {
    pub(crate) path: Vec<Step>,
    pub(crate) message: String,
}

impl FieldFault {
    fn new(path: Vec<Step>, message: impl Into<String>) -> Self {
        Self { path, message: message.into() }
    }
}

/// Admits the objects of a document; relative file names are relative to `folder`.
pub(crate) fn admit(value: Value, places: &Places, folder: &Path) -> Admission {
    let mut admission = Admission::default();
    for (value, places) in envelope::expand_lists(value, places, &mut admission) {
        admission.take(value, places, folder);
    }
    admission.objects.shrink_to_fit();
    if admission.omitted > 0 {
        let message = format!("{} more problems and notes of this document are not shown", admission.omitted);
        admission.findings.push(Finding { at: places.at(), id: None, path: Vec::new(), message });
    }
    admission
}

impl Admission {
    /// Whether all objects were admitted and there is nothing to say about any.
    pub(crate) fn is_clean(&self) -> bool {
        let Self { objects, findings, notes, incomplete, omitted } = self;
        let admitted = objects.iter().all(|admitted| admitted.object.is_some());
        admitted && findings.is_empty() && notes.is_empty() && !incomplete && *omitted == 0
    }

    fn take(&mut self, mut value: Value, places: &Places, folder: &Path) {
        let (kind, api_version) = match envelope::recognise(&value) {
            Recognised::Ours(kind, api_version) => (kind, api_version),
            Recognised::Foreign(description) => {
                return self.note(places, format!("{description} is of no kind that Portolan reads: passed over"));
            }
            Recognised::Refused(fault) => return self.refuse_whole(fault, places),
        };
        let name = match metadata::name(&mut value, kind) {
            Ok(name) => name,
            Err(fault) => return self.refuse_whole(fault, places),
        };
        if let Some(warning) = schema::find(kind, &api_version).and_then(Schema::deprecation) {
            self.note(places, format!("{api_version} {} {name}: {warning}", kind.name()));
        }
        let id = ObjectId { kind: kind.name().into(), name };
        let (object, faults) = object(value, kind, &api_version, folder);
        let object = object.filter(|_| faults.is_empty());
        self.report(faults, &id, places);
        self.objects.push(Admitted { id, at: places.at(), object });
    }

    /// Adds what became of another part of the same text.
    pub(crate) fn extend(&mut self, other: Admission) {
        let Admission { objects, findings, notes, incomplete, omitted } = other;
        // Kept for thousands of documents of one object each: no room to grow.
        self.objects.reserve_exact(objects.len());
        self.objects.extend(objects);
        self.findings.extend(findings);
        self.notes.extend(notes);
        self.incomplete |= incomplete;
        self.omitted += omitted;
    }

    /// An object that cannot even be told from others.
    fn refuse_whole(&mut self, fault: FieldFault, places: &Places) {
        self.incomplete = true;
        self.find(None, fault, places);
    }

    fn note(&mut self, places: &Places, message: String) {
        if self.notes.len() < FINDINGS_MAX { self.notes.push((places.at(), message)) } else { self.omitted += 1 }
    }

    fn find(&mut self, id: Option<ObjectId>, fault: FieldFault, places: &Places) {
        if self.findings.len() < FINDINGS_MAX {
            let FieldFault { path, message } = fault;
            self.findings.push(Finding { at: places.locate(&path), id, path, message });
        } else {
            self.omitted += 1;
        }
    }

    fn report(&mut self, faults: Vec<FieldFault>, id: &ObjectId, places: &Places) {
        let more = faults.len().saturating_sub(FAULTS_MAX);
        for fault in faults.into_iter().take(FAULTS_MAX) {
            self.find(Some(id.clone()), fault, places);
        }
        if more > 0 {
            let message = format!("{more} more problems of this object are not shown");
            self.find(Some(id.clone()), FieldFault::new(Vec::new(), message), places);
        }
    }
}

/// The typed object and everything that is wrong with it.
fn object(mut value: Value, kind: Kind, api_version: &str, folder: &Path) -> (Option<Object>, Vec<FieldFault>) {
    let mut faults = match schema::find(kind, api_version) {
        Some(schema) => schema::admit(schema, &mut value),
        None => metadata::faults(&value, kind),
    };
    metadata::drop_server_owned(&mut value, kind);
    let mut object = None;
    // What the schema refuses, the type would refuse again in other words.
    if faults.is_empty() {
        object = typed::object(&value, kind, &mut faults);
    }
    if let Some(object) = &mut object {
        faults.extend(rules::apply(object, folder));
    }
    (object.map(|object| object.at_generation(1)), faults)
}
