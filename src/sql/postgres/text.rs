//! Cells as PostgreSQL prints them.

use super::binary::widened;
use super::calendar::Interval;
use super::types::{Form, Scalar};
use crate::domain::Value;

/// The value of a cell. Text that does not have its type's form stays what it is, and what is not UTF-8 is bytes.
pub(super) fn value(bytes: &[u8], form: &Form) -> Value {
    match form {
        Form::Scalar(kind) => scalar(bytes, *kind),
        Form::Array { element, delimiter } => {
            array(bytes, *element, *delimiter).unwrap_or_else(|| scalar(bytes, Scalar::Other))
        }
    }
}

fn scalar(bytes: &[u8], kind: Scalar) -> Value {
    let Ok(text) = std::str::from_utf8(bytes) else { return Value::Bytes(bytes.to_vec()) };
    let typed = match kind {
        Scalar::Bool => Some(Value::Bool(text == "t")),
        Scalar::Bytes => text.strip_prefix("\\x").and_then(|digits| hex::decode(digits).ok()).map(Value::Bytes),
        Scalar::Int2 | Scalar::Int4 | Scalar::Int8 | Scalar::Oid => text.parse().ok().map(Value::Int64),
        Scalar::Float4 => text.parse().ok().map(widened).map(Value::Double),
        Scalar::Float8 => text.parse().ok().map(Value::Double),
        Scalar::Numeric => Some(Value::Decimal(text.to_owned())),
        Scalar::Text => Some(Value::String(text.to_owned())),
        Scalar::Json | Scalar::Jsonb => Some(Value::Json(text.to_owned())),
        Scalar::Date => Some(Value::Date(text.to_owned())),
        Scalar::Time => Some(Value::Time(text.to_owned())),
        Scalar::TimeTz => Some(Value::Time(with_full_offset(text))),
        Scalar::Timestamp => Some(Value::Timestamp(text.replacen(' ', "T", 1))),
        Scalar::TimestampTz => Some(Value::TimestampTz(instant(text))),
        Scalar::Interval => Interval::parse(text).map(|interval| Value::Interval(interval.iso())),
        Scalar::Uuid => Some(Value::Uuid(text.to_owned())),
        Scalar::Other => None,
    };
    typed.unwrap_or_else(|| Value::Other(text.to_owned()))
}

/// `2024-02-29 13:45:00+00` as RFC 3339 writes it; the session's zone is UTC.
fn instant(text: &str) -> String {
    let (text, era) = text.strip_suffix(" BC").map_or((text, ""), |text| (text, " BC"));
    match text.split_once(' ') {
        Some((date, time)) => match time.strip_suffix("+00") {
            Some(time) => format!("{date}T{time}Z{era}"),
            None => format!("{date}T{}{era}", with_full_offset(time)),
        },
        // infinity
        None => text.to_owned(),
    }
}

/// `13:45:00+02:00` for `13:45:00+02`.
fn with_full_offset(time: &str) -> String {
    match time.rfind(['+', '-']) {
        Some(at) if !time[at..].contains(':') => format!("{time}:00"),
        _ => time.to_owned(),
    }
}

/// `{1,NULL,"a b"}`, nested for several dimensions, perhaps with bounds before it: `[2:3]={1,2}`
/// (<https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO>).
fn array(text: &[u8], element: Scalar, delimiter: u8) -> Option<Value> {
    if delimiter == b' ' {
        let words = text.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        return Some(Value::Array(words.map(|word| scalar(word, element)).collect()));
    }
    let bounds = if text.starts_with(b"[") { text.iter().position(|byte| *byte == b'=')? + 1 } else { 0 };
    let mut reader = Reader { rest: &text[bounds..], element, delimiter };
    let value = reader.array()?;
    reader.rest.is_empty().then_some(value)
}

struct Reader<'a> {
    rest: &'a [u8],
    element: Scalar,
    delimiter: u8,
}

impl Reader<'_> {
    fn array(&mut self) -> Option<Value> {
        self.rest = self.rest.strip_prefix(b"{")?;
        let mut items = Vec::new();
        if let Some(rest) = self.rest.strip_prefix(b"}") {
            self.rest = rest;
            return Some(Value::Array(items));
        }
        loop {
            items.push(self.item()?);
            let (next, rest) = self.rest.split_first()?;
            self.rest = rest;
            match *next {
                b'}' => return Some(Value::Array(items)),
                next if next == self.delimiter => {}
                _ => return None,
            }
        }
    }

    fn item(&mut self) -> Option<Value> {
        match self.rest.first()? {
            b'{' => self.array(),
            b'"' => self.quoted().map(|text| scalar(&text, self.element)),
            _ => {
                let end = self.rest.iter().position(|byte| *byte == b'}' || *byte == self.delimiter)?;
                let (word, rest) = self.rest.split_at(end);
                self.rest = rest;
                Some(if word == b"NULL" { Value::Null } else { scalar(word, self.element) })
            }
        }
    }

    fn quoted(&mut self) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        let mut bytes = self.rest.iter().enumerate().skip(1);
        while let Some((at, byte)) = bytes.next() {
            match byte {
                b'\\' => text.push(*bytes.next()?.1),
                b'"' => {
                    self.rest = &self.rest[at + 1..];
                    return Some(text);
                }
                byte => text.push(*byte),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(text: &str) -> Option<Value> {
        array(text.as_bytes(), Scalar::Text, b',')
    }

    fn text(text: &str) -> Value {
        Value::String(text.to_owned())
    }

    #[test]
    fn arrays_nest_and_quote() {
        assert_eq!(strings("{}"), Some(Value::Array(vec![])));
        assert_eq!(strings("{a,NULL,\"NULL\"}"), Some(Value::Array(vec![text("a"), Value::Null, text("NULL")])));
        assert_eq!(strings(r#"{"a \"b\" \\ , }"}"#), Some(Value::Array(vec![text("a \"b\" \\ , }")])));
        let row = |items: [i64; 2]| Value::Array(items.map(Value::Int64).to_vec());
        let nested = Some(Value::Array(vec![row([1, 2]), row([3, 4])]));
        assert_eq!(array(b"[0:1][1:2]={{1,2},{3,4}}", Scalar::Int4, b','), nested);
        let boxes = array(b"{(2,2),(1,1);(4,4),(3,3)}", Scalar::Other, b';');
        assert_eq!(
            boxes,
            Some(Value::Array(vec![Value::Other("(2,2),(1,1)".into()), Value::Other("(4,4),(3,3)".into())]))
        );
        for broken in ["", "{", "{a", "{\"a}", "{a}}", "a"] {
            assert_eq!(strings(broken), None, "{broken}");
        }
    }

    #[test]
    fn moments_are_iso() {
        for (given, kind, expected) in [
            ("2024-02-29 13:45:00.5", Scalar::Timestamp, Value::Timestamp("2024-02-29T13:45:00.5".into())),
            ("2024-02-29 13:45:00+00", Scalar::TimestampTz, Value::TimestampTz("2024-02-29T13:45:00Z".into())),
            ("0044-03-15 00:00:00+00 BC", Scalar::TimestampTz, Value::TimestampTz("0044-03-15T00:00:00Z BC".into())),
            ("infinity", Scalar::TimestampTz, Value::TimestampTz("infinity".into())),
            ("13:45:00+02", Scalar::TimeTz, Value::Time("13:45:00+02:00".into())),
            ("13:45:00-05:30", Scalar::TimeTz, Value::Time("13:45:00-05:30".into())),
            ("1 mon -1 days", Scalar::Interval, Value::Interval("P1M-1D".into())),
            ("\\x00ff", Scalar::Bytes, Value::Bytes(vec![0, 255])),
            ("$1,000.00", Scalar::Other, Value::Other("$1,000.00".into())),
        ] {
            assert_eq!(scalar(given.as_bytes(), kind), expected, "{given}");
        }
    }
}
