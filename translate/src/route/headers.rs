//! Header modifiers and lists of header names.

use crate::{
    conditions::{Refusal, refusal},
    snapshot::HeaderEdits,
};
use http::{HeaderName, HeaderValue};
use portolan_crds::http_route::{HTTPHeader, HTTPHeaderFilter};
use std::collections::HashSet;

/// Compiles a header modifier. Within one list the first entry of a name counts; a name in two lists is invalid
/// (<https://gateway-api.sigs.k8s.io/reference/spec/#httpheaderfilter>).
pub(super) fn edits(filter: &HTTPHeaderFilter, place: &str) -> Result<HeaderEdits, Refusal> {
    let set = pairs(&filter.set, &format!("{place}.set"))?;
    let add = pairs(&filter.add, &format!("{place}.add"))?;
    let mut remove = names(&filter.remove, &format!("{place}.remove"))?.into_vec();
    let mut unique = HashSet::new();
    remove.retain(|name| unique.insert(name.clone()));
    let mut seen = HashSet::new();
    let all = set.iter().chain(&add).map(|(name, _)| name).chain(&remove);
    for name in all {
        if !seen.insert(name) {
            return Err(unsupported(format!(
                "{place}: the header {name} is named by more than one of set, add and remove"
            )));
        }
    }
    Ok(HeaderEdits { set: set.into(), add: add.into(), remove: remove.into() })
}

fn pairs(list: &[HTTPHeader], place: &str) -> Result<Vec<(HeaderName, HeaderValue)>, Refusal> {
    let mut pairs: Vec<(HeaderName, HeaderValue)> = Vec::with_capacity(list.len());
    for (at, header) in list.iter().enumerate() {
        let name = name(&header.name, &format!("{place}[{at}].name"))?;
        let value = HeaderValue::from_str(&header.value)
            .map_err(|_| unsupported(format!("{place}[{at}].value: {:?} is no header value", header.value)))?;
        if pairs.iter().all(|(earlier, _)| *earlier != name) {
            pairs.push((name, value));
        }
    }
    Ok(pairs)
}

/// Header names.
pub(super) fn names(list: &[String], place: &str) -> Result<Box<[HeaderName]>, Refusal> {
    list.iter().enumerate().map(|(at, text)| name(text, &format!("{place}[{at}]"))).collect()
}

fn name(text: &str, place: &str) -> Result<HeaderName, Refusal> {
    HeaderName::from_bytes(text.as_bytes()).map_err(|_| unsupported(format!("{place}: {text:?} is no header name")))
}

fn unsupported(message: String) -> Refusal {
    refusal("UnsupportedValue", message)
}
