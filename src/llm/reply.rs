//! What an endpoint replies, whole or in pieces, read without believing that it keeps to the API.

use serde::Deserialize;
use serde_json::Value;

use super::error::{Error, ErrorKind};
use crate::domain::outputs::Usage;

/// Longest model name kept from a reply, in bytes.
const MAX_MODEL_BYTES: usize = 128;
/// Most tokens that one call can have taken.
const MAX_TOKENS: u64 = 1 << 40;

/// A reply as far as it has come.
#[derive(Debug, Default)]
pub struct Reply {
    /// The answer: its words, or the arguments of the function it calls.
    text: String,
    model: Option<String>,
    refusal: String,
    finish_reason: Option<String>,
    tokens: Option<Spent>,
    /// The function that it calls.
    function: Option<String>,
    /// Whether there was any answer.
    chosen: bool,
}

impl Reply {
    /// Reads one more piece (or the whole, which has the same shape) and returns what it adds to the answer; what the
    /// endpoint complains of in the middle is the error.
    pub fn take(&mut self, piece: Value) -> Result<&str, Broken> {
        if let Some(error) = piece.get("error").filter(|error| !error.is_null()) {
            return Err(Broken::Error(error.clone()));
        }
        let Ok(Piece { model, choices, usage }) = serde_json::from_value(piece) else { return Err(Broken::Unknown) };
        let known = self.text.len();
        self.model = self.model.take().or(model.filter(|name| !name.is_empty() && name.len() <= MAX_MODEL_BYTES));
        self.tokens = usage.as_ref().and_then(Spent::of).or(self.tokens.take());
        let first = choices.unwrap_or_default().into_iter().find(|choice| choice.index == 0);
        if let Some(Choice { said, finish_reason, .. }) = first {
            let said = said.unwrap_or_default();
            self.chosen = true;
            self.finish_reason = finish_reason.or(self.finish_reason.take());
            self.text.push_str(&said.content.map(words).unwrap_or_default());
            self.refusal.push_str(&said.refusal.unwrap_or_default());
            for Call { index, function } in said.tool_calls.unwrap_or_default() {
                if index == 0 {
                    self.function = self.function.take().or(function.name.filter(|name| !name.is_empty()));
                    self.text.push_str(&function.arguments.map(words).unwrap_or_default());
                }
            }
        }
        Ok(&self.text[known..])
    }

    /// Whether the endpoint said that the answer is complete.
    pub fn is_finished(&self) -> bool {
        self.finish_reason.is_some()
    }

    /// Whether the endpoint said how many tokens it took.
    pub fn is_counted(&self) -> bool {
        self.tokens.is_some()
    }

    /// The answer to a request for `model` that offered the function `offered`, or why it is of no use.
    pub fn answer(self, model: &str, offered: &str) -> Result<(String, Usage), Error> {
        let tokens = self.tokens.unwrap_or_default();
        let usage = Usage {
            model: self.model.unwrap_or_else(|| model.to_owned()),
            calls: 1,
            prompt_tokens: tokens.prompt,
            cached_prompt_tokens: tokens.cached,
            completion_tokens: tokens.completion,
            served_by: Vec::new(),
        };
        let invalid = |what: String| Err(ErrorKind::OutputInvalid(what));
        let refusal = self.refusal.trim();
        let kind = match (self.finish_reason.as_deref(), self.function) {
            _ if !self.chosen => invalid("it holds no answer".to_owned()),
            _ if !refusal.is_empty() => Err(ErrorKind::Refused(refusal.to_owned())),
            (Some("length"), _) => Err(ErrorKind::Truncated),
            (Some("content_filter"), _) => Err(ErrorKind::ContentFilter),
            (_, Some(function)) if function != offered => {
                invalid("it calls a function that was not offered".to_owned())
            }
            _ if self.text.trim().is_empty() => invalid("the answer is empty".to_owned()),
            _ => Ok(()),
        };
        match kind {
            Ok(()) => Ok((self.text, usage)),
            Err(kind) => Err(Error { kind, usage: Some(usage) }),
        }
    }
}

/// Why a reply cannot be read on.
#[derive(Debug)]
pub enum Broken {
    /// It is not a chat completion.
    Unknown,
    /// The endpoint's own error, in place of an answer or in the middle of one.
    Error(Value),
}

/// The parts of a completion, or of a piece of one, that count; endpoints leave out or add others.
#[derive(Deserialize)]
struct Piece {
    #[serde(default)]
    model: Option<String>,
    choices: Option<Vec<Choice>>,
    #[serde(default)]
    usage: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: u32,
    #[serde(alias = "message", rename = "delta")]
    said: Option<Said>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Said {
    content: Option<Value>,
    refusal: Option<String>,
    tool_calls: Option<Vec<Call>>,
}

#[derive(Deserialize)]
struct Call {
    #[serde(default)]
    index: u32,
    #[serde(default)]
    function: Function,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Function {
    name: Option<String>,
    arguments: Option<Value>,
}

/// What a call took, as far as the endpoint says.
#[derive(Debug, Default)]
struct Spent {
    prompt: u64,
    cached: u64,
    completion: u64,
}

impl Spent {
    /// A number that cannot be one, such as -1, says nothing; the answer beside it is worth the same.
    fn of(usage: &Value) -> Option<Self> {
        let count = |path| usage.pointer(path).and_then(Value::as_u64).filter(|count| *count <= MAX_TOKENS);
        let (prompt, completion) = (count("/prompt_tokens"), count("/completion_tokens"));
        prompt.or(completion)?;
        Some(Self {
            prompt: prompt.unwrap_or_default(),
            cached: count("/prompt_tokens_details/cached_tokens").unwrap_or_default(),
            completion: completion.unwrap_or_default(),
        })
    }
}

/// Text; a list of parts, of which those that are no text (a model's thoughts) do not count; or arguments as an object.
fn words(content: Value) -> String {
    match content {
        Value::String(text) => text,
        Value::Null => String::new(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(pieces: Vec<Value>) -> Result<String, ErrorKind> {
        let mut reply = Reply::default();
        for piece in pieces {
            reply.take(piece).map_err(|_| ErrorKind::Other("broken".to_owned()))?;
        }
        reply.answer("m", "planner").map(|(text, _)| text).map_err(|error| error.kind)
    }

    #[test]
    fn whole_and_in_pieces_is_the_same() {
        let call = |arguments: Value| json!({ "function": { "name": "planner", "arguments": arguments } });
        let whole = |message: Value| vec![json!({ "choices": [{ "message": message, "finish_reason": "stop" }] })];
        let piece = |delta: Value| json!({ "choices": [{ "index": 0, "delta": delta }] });
        for pieces in [
            whole(json!({ "content": "{}" })),
            whole(json!({ "content": [{ "type": "thinking", "thinking": [] }, { "type": "text", "text": "{}" }] })),
            whole(json!({ "content": null, "tool_calls": [call(json!("{}"))] })),
            whole(json!({ "content": "", "tool_calls": [call(json!({}))] })),
            vec![
                piece(json!({ "role": "assistant", "content": "" })),
                piece(json!({ "content": "{" })),
                json!({ "choices": [{ "index": 1, "delta": { "content": "other" } }] }),
                piece(json!({ "content": "}" })),
                json!({ "choices": [], "usage": { "prompt_tokens": 1 } }),
            ],
            vec![
                piece(json!({ "tool_calls": [{ "index": 0, "function": { "name": "planner", "arguments": "" } }] })),
                piece(json!({ "tool_calls": [{ "index": 0, "function": { "arguments": "{" } }] })),
                piece(json!({ "tool_calls": [{ "index": 0, "function": { "name": null, "arguments": "}" } }] })),
                piece(json!({ "tool_calls": [{ "index": 1, "function": { "name": "drop", "arguments": "x" } }] })),
            ],
        ] {
            assert_eq!(read(pieces.clone()), Ok("{}".to_owned()), "{pieces:?}");
        }
        let foreign = json!({ "tool_calls": [{ "function": { "name": "http_get", "arguments": "{}" } }] });
        assert!(matches!(read(whole(foreign)), Err(ErrorKind::OutputInvalid(what)) if what.contains("not offered")));
    }

    #[test]
    fn a_count_that_is_none_costs_no_answer() {
        let counts = |usage: Value| {
            let mut reply = Reply::default();
            let message = json!({ "content": "{}" });
            let whole = json!({ "choices": [{ "message": message, "finish_reason": "stop" }], "usage": usage });
            reply.take(whole).unwrap();
            let counted = reply.is_counted();
            let (text, usage) = reply.answer("m", "planner").unwrap();
            assert_eq!(text, "{}");
            (counted, usage.prompt_tokens, usage.cached_prompt_tokens, usage.completion_tokens)
        };
        let details = json!({ "cached_tokens": 2 });
        let usual = json!({ "prompt_tokens": 5, "completion_tokens": 3, "prompt_tokens_details": details });
        assert_eq!(counts(usual), (true, 5, 2, 3));
        assert_eq!(counts(json!({ "prompt_tokens": -5, "completion_tokens": 3 })), (true, 0, 0, 3));
        assert_eq!(counts(json!({ "prompt_tokens": 5, "prompt_tokens_details": [] })), (true, 5, 0, 0));
        for nonsense in [
            json!({ "prompt_tokens": -1, "completion_tokens": -1 }),
            json!({ "prompt_tokens": u64::MAX, "completion_tokens": 0.5 }),
            json!({ "prompt_tokens": "many" }),
            json!("many"),
            json!([]),
        ] {
            assert_eq!(counts(nonsense.clone()), (false, 0, 0, 0), "{nonsense}");
        }
    }
}
