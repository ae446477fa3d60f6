//! The parts of an answer while it arrives: the objects that are fields of the outermost object.

use std::ops::Range;

use serde_json::{Map, Value};

use crate::llm;

/// Reads an answer that grows.
#[derive(Default)]
pub struct Fields {
    /// Bytes read so far; 0 until the object has begun.
    at: usize,
    depth: usize,
    in_text: bool,
    escaped: bool,
    text_start: usize,
    /// The last text of the outermost object: before a value it is the value's name.
    name: Range<usize>,
    value_start: usize,
}

impl Fields {
    /// The fields that have become complete, with their names. `answer` is all that was heard so far.
    pub fn read(&mut self, answer: &str) -> Vec<(String, Map<String, Value>)> {
        let mut complete = Vec::new();
        if self.at == 0 {
            let Some(start) = start(answer) else { return complete };
            self.at = start;
        }
        for (at, byte) in answer.bytes().enumerate().skip(self.at) {
            if let Some(field) = self.step(at, byte)
                && let (Some(name), Some(value)) = (answer.get(self.name.clone()), answer.get(field))
                && let Ok(value) = serde_json::from_str(value)
            {
                complete.push((name.to_owned(), value));
            }
        }
        self.at = answer.len();
        complete
    }

    /// One byte on; where a field ends with it, the range of its value. Bytes of longer characters are never signs of
    /// JSON.
    fn step(&mut self, at: usize, byte: u8) -> Option<Range<usize>> {
        if self.in_text {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => {
                    self.in_text = false;
                    if self.depth == 1 {
                        self.name = self.text_start..at;
                    }
                }
                _ => {}
            }
            return None;
        }
        match byte {
            b'"' => {
                self.in_text = true;
                self.text_start = at + 1;
            }
            b'{' | b'[' => {
                self.depth += 1;
                if self.depth == 2 {
                    self.value_start = at;
                }
            }
            b'}' | b']' => {
                let ends = self.depth == 2 && byte == b'}';
                self.depth = self.depth.saturating_sub(1);
                return ends.then_some(self.value_start..at + 1);
            }
            _ => {}
        }
        None
    }
}

/// Where the object begins, once that is certain: not in a model's thoughts, nor in words that lead up to it.
fn start(answer: &str) -> Option<usize> {
    let begins = answer.trim_start();
    let spoken = if begins.starts_with('<') { llm::after_thoughts(answer)? } else { begins };
    let bare = spoken.trim_start();
    let is_certain = bare.starts_with('{') || bare.starts_with("```");
    let start = answer.len() - bare.len() + bare.find('{')?;
    is_certain.then_some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every field with how much of the answer had to be heard for it.
    fn heard(answer: &str) -> Vec<(String, String, usize)> {
        let mut fields = Fields::default();
        let mut found = Vec::new();
        for end in (0..=answer.len()).filter(|end| answer.is_char_boundary(*end)) {
            for (name, value) in fields.read(&answer[..end]) {
                found.push((name, Value::Object(value).to_string(), end));
            }
        }
        found
    }

    #[test]
    fn a_field_is_there_as_soon_as_it_is_complete() {
        let answer = r#"{"planner": {"a": "}\"é{", "b": [{}]}, "note": "x", "mapper":{"c":{}} ,"list":[{"d":1}]}"#;
        let expected = [("planner", r#"{"a":"}\"é{","b":[{}]}"#), ("mapper", r#"{"c":{}}"#)];
        let found = heard(answer);
        let short: Vec<_> = found.iter().map(|(name, value, _)| (name.as_str(), value.as_str())).collect();
        assert_eq!(short, expected);
        assert_eq!(found[0].2, answer.find(", \"note").unwrap());
        for around in ["```json\n", "<think>{\"planner\":{}} perhaps</think>\n", "\n "] {
            let found = heard(&format!("{around}{answer}"));
            assert_eq!(found.len(), 2, "{around}");
            assert_eq!(found[0].1, expected[0].1);
        }
        // Whether this is a thought shows only at the end.
        assert!(heard(r#"Perhaps {"planner":{}}? No."#).is_empty());
    }
}
