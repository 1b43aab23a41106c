//! Numbers that the API leaves unbounded on one side: what is out of range is read as the nearest number in it, since the
//! API server takes such an object, and nothing that it takes may be unreadable here.

use serde::{Deserialize, Deserializer};
use serde_json::Number;

/// Reads a number.
pub(crate) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    Number::deserialize(deserializer).map(|number| saturated(&number))
}

/// Reads a number that may be absent.
pub(crate) fn option<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    Ok(Option::<Number>::deserialize(deserializer)?.as_ref().map(saturated))
}

fn saturated(number: &Number) -> u32 {
    let negative = number.as_f64().is_some_and(|number| number < 0.0);
    let exact = number.as_u64().and_then(|number| u32::try_from(number).ok());
    exact.unwrap_or(if negative { 0 } else { u32::MAX })
}

#[cfg(test)]
mod tests {
    use super::saturated;

    #[test]
    fn numbers_out_of_range_become_the_nearest_in_it() {
        for (text, expected) in
            [("0", 0), ("7", 7), ("-1", 0), ("4294967296", u32::MAX), ("1e30", u32::MAX), ("-1e30", 0)]
        {
            assert_eq!(saturated(&serde_json::from_str(text).unwrap()), expected, "{text}");
        }
    }
}
