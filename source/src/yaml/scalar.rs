//! What a plain scalar means, as for kubectl: the rules of `sigs.k8s.io/yaml` (goyaml v2, then JSON), which are YAML
//! 1.1's. So `yes`, `no`, `on`, `off`, `y` and `n` are booleans, `010` is eight, and `1.0` is the integer 1.

use serde_json::{Number, Value};

const TRUE: [&str; 11] = ["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"];
const FALSE: [&str; 11] = ["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"];
const NULL: [&str; 5] = ["", "~", "null", "Null", "NULL"];
const NOT_FINITE: [&str; 12] =
    [".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF"];

/// Integers up to here are exact as floating point numbers, and Go's JSON writes them without a point.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// The types that a core tag can force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forced {
    Str,
    Bool,
    Int,
    Float,
    Null,
}

/// The value of a plain scalar without a tag.
pub(super) fn plain(text: &str) -> Result<Value, String> {
    if TRUE.contains(&text) {
        return Ok(Value::Bool(true));
    }
    if FALSE.contains(&text) {
        return Ok(Value::Bool(false));
    }
    if NULL.contains(&text) {
        return Ok(Value::Null);
    }
    if NOT_FINITE.contains(&text) {
        return Err(format!("{text} is no number that JSON has; quote it if it is a text"));
    }
    let number = match text.as_bytes().first() {
        Some(b'.') => float(text),
        Some(b'0'..=b'9' | b'+' | b'-') => number(&text.replace('_', "")),
        _ => None,
    };
    Ok(number.map_or_else(|| Value::String(text.to_owned()), Value::Number))
}

/// The value of a scalar whose tag says its type.
pub(super) fn tagged(text: &str, forced: Forced) -> Result<Value, String> {
    if forced == Forced::Str {
        return Ok(Value::String(text.to_owned()));
    }
    let value = plain(text)?;
    let fits = match forced {
        Forced::Str => true,
        Forced::Bool => value.is_boolean(),
        Forced::Int => value.is_i64() || value.is_u64(),
        Forced::Float => value.is_number(),
        Forced::Null => value.is_null(),
    };
    if fits { Ok(value) } else { Err(format!("{text:?} is not of the type that its tag says")) }
}

/// The text that a mapping's key has in JSON; `None` where it can have none (null).
pub(super) fn key(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(yes) => Some(yes.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn number(text: &str) -> Option<Number> {
    integer(text).or_else(|| if is_decimal(text) { float(text) } else { None })
}

/// An integer with Go's prefixes: 0x, 0o, 0b, and a leading zero for octal.
fn integer(text: &str) -> Option<Number> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let prefixes = [("0x", 16), ("0X", 16), ("0o", 8), ("0O", 8), ("0b", 2), ("0B", 2)];
    let prefixed = prefixes.iter().find_map(|(prefix, radix)| Some((digits.strip_prefix(prefix)?, *radix)));
    let (digits, radix) = match prefixed {
        Some(found) => found,
        None if digits.len() > 1 && digits.starts_with('0') => (&digits[1..], 8),
        None => (digits, 10),
    };
    // Rust's parser takes a sign of its own, which must not follow ours or a prefix.
    if !digits.starts_with(|first: char| first.is_ascii_hexdigit()) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if !negative {
        return Some(magnitude.into());
    }
    0_i64.checked_sub_unsigned(magnitude).map(Number::from)
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`, which keeps Rust's `inf` and `nan` out.
fn is_decimal(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).map_or((unsigned, None), |(m, e)| (m, Some(e)));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let mantissa_fits = match mantissa.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty()),
        None => digits(mantissa) && !mantissa.is_empty(),
    };
    let exponent_fits = exponent.is_none_or(|exponent| {
        let magnitude = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        digits(magnitude) && !magnitude.is_empty()
    });
    mantissa_fits && exponent_fits
}

/// A floating point number as JSON shows it: without a fraction it is an integer there.
fn float(text: &str) -> Option<Number> {
    let value: f64 = text.parse().ok().filter(|value: &f64| value.is_finite())?;
    if value.fract() == 0.0 && value.abs() <= EXACT_MAX {
        #[allow(clippy::cast_possible_truncation, reason = "whole and within what i64 and f64 both hold exactly")]
        return Some(Number::from(value as i64));
    }
    Number::from_f64(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn plain_scalars_mean_what_kubectl_reads() {
        let cases = [
            ("yes", json!(true)),
            ("No", json!(false)),
            ("on", json!(true)),
            ("OFF", json!(false)),
            ("y", json!(true)),
            ("n", json!(false)),
            ("true", json!(true)),
            ("tRue", json!("tRue")),
            ("", json!(null)),
            ("~", json!(null)),
            ("null", json!(null)),
            ("nil", json!("nil")),
            ("1", json!(1)),
            ("-1", json!(-1)),
            ("+1", json!(1)),
            ("1_000", json!(1000)),
            ("010", json!(8)),
            ("0o10", json!(8)),
            ("0x1F", json!(31)),
            ("0b101", json!(5)),
            ("-0x10", json!(-16)),
            ("08", json!(8)),
            ("0", json!(0)),
            ("1.0", json!(1)),
            ("1.5", json!(1.5)),
            (".5", json!(0.5)),
            ("1e3", json!(1000)),
            ("1.", json!(1)),
            ("1e", json!("1e")),
            ("-", json!("-")),
            (".", json!(".")),
            ("1.2.3.4", json!("1.2.3.4")),
            ("10.0.0.0/8", json!("10.0.0.0/8")),
            ("10s", json!("10s")),
            ("2001-12-14", json!("2001-12-14")),
            ("1e999", json!("1e999")),
            ("+-5", json!("+-5")),
            ("0x-1", json!("0x-1")),
            ("18446744073709551615", json!(18_446_744_073_709_551_615_u64)),
            ("inf", json!("inf")),
            ("-inf", json!("-inf")),
            ("-9223372036854775808", json!(i64::MIN)),
            ("<<", json!("<<")),
            ("64Mi", json!("64Mi")),
            ("_1", json!("_1")),
        ];
        for (text, value) in cases {
            assert_eq!(plain(text), Ok(value), "{text:?}");
        }
    }

    #[test]
    fn numbers_that_json_lacks_are_errors() {
        assert!(plain(".inf").is_err() && plain("-.Inf").is_err() && plain(".NaN").is_err());
    }

    #[test]
    fn tags_force_or_refuse_a_type() {
        assert_eq!(tagged("12", Forced::Str), Ok(json!("12")));
        assert_eq!(tagged("12", Forced::Int), Ok(json!(12)));
        assert!(
            tagged("x", Forced::Int).is_err()
                && tagged("1.5", Forced::Int).is_err()
                && tagged("1", Forced::Bool).is_err()
        );
    }

    #[test]
    fn keys_are_texts_as_in_json() {
        assert_eq!(key(&json!(true)).as_deref(), Some("true"));
        assert_eq!(key(&json!(80)).as_deref(), Some("80"));
        assert_eq!(key(&json!(null)), None);
    }
}
