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

/// What became of one document. Positions are those of the document's text.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    pub(crate) objects: Vec<Admitted>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) notes: Vec<(Position, String)>,
    /// Part of the document could not be attributed to any object.
    pub(crate) incomplete: bool,
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
    admission
}

impl Admission {
    fn take(&mut self, mut value: Value, places: &Places, folder: &Path) {
        let (kind, api_version) = match envelope::recognise(&value) {
            Recognised::Ours(kind, api_version) => (kind, api_version),
            Recognised::Foreign(description) => {
                self.notes.push((places.at(), format!("{description} is of no kind that Portolan reads: passed over")));
                return;
            }
            Recognised::Refused(fault) => return self.refuse_whole(fault, places),
        };
        let name = match metadata::name(&mut value, kind) {
            Ok(name) => name,
            Err(fault) => return self.refuse_whole(fault, places),
        };
        if let Some(warning) = schema::find(kind, &api_version).and_then(Schema::deprecation) {
            self.notes.push((places.at(), format!("{api_version} {} {name}: {warning}", kind.name())));
        }
        let id = ObjectId { kind: kind.name().into(), name };
        let (object, faults) = object(value, kind, &api_version, folder);
        let object = object.filter(|_| faults.is_empty());
        self.report(faults, &id, places);
        self.objects.push(Admitted { id, at: places.at(), object });
    }

    /// An object that cannot even be told from others.
    fn refuse_whole(&mut self, fault: FieldFault, places: &Places) {
        self.incomplete = true;
        self.findings.push(Finding {
            at: places.locate(&fault.path),
            id: None,
            path: fault.path,
            message: fault.message,
        });
    }

    fn report(&mut self, faults: Vec<FieldFault>, id: &ObjectId, places: &Places) {
        let more = faults.len().saturating_sub(FAULTS_MAX);
        for FieldFault { path, message } in faults.into_iter().take(FAULTS_MAX) {
            self.findings.push(Finding { at: places.locate(&path), id: Some(id.clone()), path, message });
        }
        if more > 0 {
            let message = format!("{more} more problems of this object are not shown");
            self.findings.push(Finding { at: places.at(), id: Some(id.clone()), path: Vec::new(), message });
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
