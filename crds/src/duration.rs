//! Durations as the Gateway API writes them (GEP-2257): `1h30m`, `500ms`, at most four units, none of them fractional.

use std::{fmt, str::FromStr, time};

/// A duration of GEP-2257, <https://gateway-api.sigs.k8s.io/geps/gep-2257/>.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Duration(pub time::Duration);

/// Why a text is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no duration: give one to four of h, m, s, ms, each with up to five digits, as in 1h30m or 500ms")]
pub struct DurationError(String);

impl FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || DurationError(text.to_owned());
        let mut rest = text;
        let (mut total, mut terms) = (time::Duration::ZERO, 0);
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let unit = rest[digits..].bytes().take_while(u8::is_ascii_lowercase).count();
            if !(1..=5).contains(&digits) || terms == 4 {
                return Err(error());
            }
            let number: u64 = rest[..digits].parse().map_err(|_| error())?;
            total += match &rest[digits..digits + unit] {
                "h" => time::Duration::from_secs(number * 3600),
                "m" => time::Duration::from_secs(number * 60),
                "s" => time::Duration::from_secs(number),
                "ms" => time::Duration::from_millis(number),
                _ => return Err(error()),
            };
            terms += 1;
            rest = &rest[digits + unit..];
        }
        if terms == 0 { Err(error()) } else { Ok(Self(total)) }
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.0.as_millis();
        if total == 0 {
            return f.write_str("0s");
        }
        let parts =
            [(total / 3_600_000, "h"), (total / 60_000 % 60, "m"), (total / 1000 % 60, "s"), (total % 1000, "ms")];
        parts.iter().filter(|(n, _)| *n > 0).try_for_each(|(n, unit)| write!(f, "{n}{unit}"))
    }
}

impl<'de> serde::Deserialize<'de> for Duration {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl serde::Serialize for Duration {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_gep_2257_are_read() {
        for (text, millis) in [
            ("1h", 3_600_000),
            ("1h30m", 5_400_000),
            ("500ms", 500),
            ("0s", 0),
            ("2s7ms", 2007),
            ("99999s", 99_999_000),
        ] {
            assert_eq!(text.parse::<Duration>().unwrap().0, time::Duration::from_millis(millis), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "1", "1.5h", "-1s", "s", "1d", "100000s", "1h1m1s1ms1h", "1 s", "1μs"] {
            assert!(text.parse::<Duration>().is_err(), "{text}");
        }
    }

    #[test]
    fn printing_and_reading_are_inverse() {
        for text in ["1h30m", "500ms", "0s", "1h1m1s1ms"] {
            assert_eq!(text.parse::<Duration>().unwrap().to_string(), text);
        }
    }
}
