//! JSON → the typed object, with the path of what does not fit, and of every field that the type does not know.

use super::FieldFault;
use crate::{
    kinds::{Kind, Object, Reader},
    places::Step,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The object, unless something does not fit its type.
pub(super) fn object(value: &Value, kind: Kind, faults: &mut Vec<FieldFault>) -> Option<Object> {
    let before = faults.len();
    let object = Object::deserialize(kind, JsonReader { value, faults });
    object.filter(|_| faults.len() == before)
}

struct JsonReader<'a> {
    value: &'a Value,
    faults: &'a mut Vec<FieldFault>,
}

impl Reader for JsonReader<'_> {
    fn read<T: DeserializeOwned>(self) -> Option<T> {
        let mut track = serde_path_to_error::Track::new();
        let tracked = serde_path_to_error::Deserializer::new(self.value, &mut track);
        let faults = self.faults;
        let mut note = |path: serde_ignored::Path<'_>| {
            let path = ignored_path(&path);
            // The types of our own kinds keep neither; the envelope was checked before.
            if !matches!(path.as_slice(), [Step::Key(key)] if key == "apiVersion" || key == "kind") {
                faults.push(FieldFault::new(path, "unknown field"));
            }
        };
        // Erased, so that the two layers are compiled once and not for each of Kubernetes' hundreds of types.
        let result: Result<T, erased_serde::Error> = {
            let ignored = serde_ignored::Deserializer::new(tracked, &mut note);
            erased_serde::deserialize(&mut <dyn erased_serde::Deserializer<'_>>::erase(ignored))
        };
        match result {
            Ok(object) => Some(object),
            Err(error) => {
                let path = error_path(&track.path());
                let message = explain(&path, &error);
                faults.push(FieldFault { path, message });
                None
            }
        }
    }
}

/// What most often lies behind a boolean in a text's place.
pub(super) const BOOLEAN_HINT: &str = " (yes, no, on, off, y and n are booleans unless they are quoted)";

/// The error in words that fit the field.
fn explain(path: &[Step], error: &impl std::fmt::Display) -> String {
    let message = error.to_string();
    match path {
        [Step::Key(field), Step::Key(_)]
            if (field == "data" || field == "binaryData") && !message.starts_with("invalid type") =>
        {
            let hint = if field == "data" { "; plain text goes into stringData" } else { "" };
            format!("is no base64 ({}){hint}", message.trim_end_matches('.'))
        }
        _ if message.starts_with("invalid type: boolean") => format!("{message}{BOOLEAN_HINT}"),
        _ => message,
    }
}

fn ignored_path(path: &serde_ignored::Path<'_>) -> Vec<Step> {
    use serde_ignored::Path;
    let (mut steps, mut at) = (Vec::new(), path);
    loop {
        at = match at {
            Path::Root => break,
            Path::Seq { parent, index } => {
                steps.push(Step::Index(*index));
                parent
            }
            Path::Map { parent, key } => {
                steps.push(Step::Key(key.clone()));
                parent
            }
            Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => parent,
        };
    }
    steps.reverse();
    steps
}

fn error_path(path: &serde_path_to_error::Path) -> Vec<Step> {
    use serde_path_to_error::Segment;
    let step = |segment: &Segment| match segment {
        Segment::Seq { index } => Some(Step::Index(*index)),
        Segment::Map { key } => Some(Step::Key(key.clone())),
        Segment::Enum { .. } | Segment::Unknown => None,
    };
    path.iter().map_while(step).collect()
}
