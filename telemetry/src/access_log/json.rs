//! JSON objects of one line, from bytes that nobody vouches for: whatever goes in, one valid line comes out.
//! Never writes a raw control character, nor a character that turns the direction of text in a terminal.

const REPLACEMENT: &str = "\u{fffd}";

/// One object in the making.
pub(super) struct Object<'a> {
    line: &'a mut Vec<u8>,
    empty: bool,
}

impl<'a> Object<'a> {
    pub(super) fn open(line: &'a mut Vec<u8>) -> Self {
        line.push(b'{');
        Object { line, empty: true }
    }

    pub(super) fn close(self) {
        self.line.extend_from_slice(b"}\n");
    }

    /// A member whose value is text of any bytes, cut to `bytes_max`. What is not UTF-8 becomes U+FFFD.
    pub(super) fn text(&mut self, key: &str, bytes: &[u8], bytes_max: usize) {
        self.key(key);
        self.line.push(b'"');
        write_escaped(self.line, &bytes[..bytes.len().min(bytes_max)]);
        self.line.push(b'"');
    }

    /// A member whose value is known to need no escape.
    pub(super) fn plain(&mut self, key: &str, value: &[u8]) {
        debug_assert!(value.iter().all(|b| matches!(b, 0x20..=0x7e) && !matches!(b, b'"' | b'\\')));
        self.key(key);
        self.line.push(b'"');
        self.line.extend_from_slice(value);
        self.line.push(b'"');
    }

    pub(super) fn number(&mut self, key: &str, value: u64) {
        self.key(key);
        write_number(self.line, value);
    }

    /// Milliseconds with three decimals, from microseconds.
    pub(super) fn millis(&mut self, key: &str, micros: u64) {
        self.number(key, micros / 1000);
        let rest = micros % 1000;
        self.line.push(b'.');
        for divisor in [100, 10, 1] {
            self.line.push(b'0' + (rest / divisor % 10) as u8);
        }
    }

    fn key(&mut self, key: &str) {
        if !std::mem::take(&mut self.empty) {
            self.line.push(b',');
        }
        self.line.push(b'"');
        self.line.extend_from_slice(key.as_bytes());
        self.line.extend_from_slice(b"\":");
    }
}

fn write_number(line: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    line.extend_from_slice(&digits[at..]);
}

fn write_escaped(line: &mut Vec<u8>, bytes: &[u8]) {
    // Nearly all text is of this kind.
    if bytes.iter().all(|b| is_plain(*b)) {
        line.extend_from_slice(bytes);
        return;
    }
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|c| write_char(line, c));
        if !chunk.invalid().is_empty() {
            line.extend_from_slice(REPLACEMENT.as_bytes());
        }
    }
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, 0x20..=0x7e) && byte != b'"' && byte != b'\\'
}

fn write_char(line: &mut Vec<u8>, c: char) {
    match c {
        '"' => line.extend_from_slice(b"\\\""),
        '\\' => line.extend_from_slice(b"\\\\"),
        '\n' => line.extend_from_slice(b"\\n"),
        '\r' => line.extend_from_slice(b"\\r"),
        '\t' => line.extend_from_slice(b"\\t"),
        c if must_hide(c) => line.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes()),
        c => line.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

/// Control characters (C0, DEL, C1), line separators and marks of direction; all of them have four hexadecimal digits.
fn must_hide(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn object(value: &[u8], bytes_max: usize) -> Vec<u8> {
        let mut line = Vec::new();
        let mut object = Object::open(&mut line);
        object.text("a", value, bytes_max);
        object.millis("b", 1_234_567);
        object.number("c", u64::MAX);
        object.close();
        line
    }

    #[test]
    fn hostile_text_is_escaped() {
        let line = object(b"a\"b\\c\nd\re\x1b[31m\xff\x7f\xe2\x80\xae", 100);
        let line = String::from_utf8(line).unwrap();
        assert_eq!(
            line,
            "{\"a\":\"a\\\"b\\\\c\\nd\\re\\u001b[31m\u{fffd}\\u007f\\u202e\",\"b\":1234.567,\"c\":18446744073709551615}\n"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_one_line_that_parses_to_the_same_text(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            bytes_max in 0_usize..200,
        ) {
            let line = object(&bytes, bytes_max);
            prop_assert_eq!(line.iter().filter(|b| **b < 0x20).count(), 1, "only the final line feed");
            let parsed: serde_json::Value = serde_json::from_slice(&line).unwrap();
            let kept = &bytes[..bytes.len().min(bytes_max)];
            prop_assert_eq!(parsed["a"].as_str().unwrap(), String::from_utf8_lossy(kept));
        }

        #[test]
        fn milliseconds_keep_their_microseconds(micros in 0_u64..10_000_000_000) {
            let mut line = Vec::new();
            let mut object = Object::open(&mut line);
            object.millis("b", micros);
            object.close();
            let expected = format!("{{\"b\":{}.{:03}}}\n", micros / 1000, micros % 1000);
            prop_assert_eq!(String::from_utf8(line).unwrap(), expected);
        }
    }
}
