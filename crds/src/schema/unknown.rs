//! Fields that the schema does not have. The API server drops or (as `kubectl` asks it to) refuses them; here they are
//! refused, since a field that is dropped is most often a typing error.

use super::{
    error::{FieldError, FieldErrorKind, Path},
    node::Node,
};
use serde_json::Value;

/// Reports every field of `value` that `node` does not know.
pub(crate) fn report(value: &Value, node: &Node, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let path = path.key(key);
                match node.field(key) {
                    Some(field) => report(value, field, &path, errors),
                    None if node.preserve_unknown_fields || node.is_map() => {}
                    None => errors.push(path.error(FieldErrorKind::Unknown, allowed(key, node))),
                }
            }
        }
        Value::Array(items) => {
            let Some(item) = &node.items else { return };
            for (index, value) in items.iter().enumerate() {
                report(value, item, &path.index(index), errors);
            }
        }
        _ => {}
    }
}

/// The names that there are, after the one that was probably meant.
fn allowed(key: &str, node: &Node) -> String {
    let names: Vec<&str> = node.properties.keys().map(|name| &**name).collect();
    let meant = nearest(key, names.iter().copied()).map(|name| format!("did you mean {name:?}? ")).unwrap_or_default();
    if names.is_empty() {
        "no field is allowed here".to_owned()
    } else {
        format!("{meant}allowed are {}", names.join(", "))
    }
}

/// The name that differs least from `word`, if it is near enough to have been meant.
pub(crate) fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    /// Longer words are no typing errors of ours, and the distance costs the product of both lengths.
    const WORD_CHARS_MAX: usize = 64;
    let wanted: Vec<char> = word.to_lowercase().chars().take(WORD_CHARS_MAX + 1).collect();
    if wanted.len() > WORD_CHARS_MAX {
        return None;
    }
    let near = (wanted.len() / 3).max(1);
    let measured = names.map(|name| (distance(&wanted, &name.to_lowercase().chars().collect::<Vec<_>>()), name));
    measured.min().filter(|(distance, _)| *distance <= near).map(|(_, name)| name)
}

/// Edit distance with transpositions of neighbours, one row at a time.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let substituted = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = substituted.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn the_nearest_name_is_suggested_and_a_far_one_is_not() {
        let names = ["backendRefs", "filters", "matches", "name"];
        for (word, meant) in [
            ("backendRef", Some("backendRefs")),
            ("backendrefs", Some("backendRefs")),
            ("fitlers", Some("filters")),
            ("matchs", Some("matches")),
            ("somethingElse", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, names.into_iter()), meant, "{word}");
        }
    }
}
