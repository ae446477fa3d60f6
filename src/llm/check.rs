//! What a configured endpoint can do, found out by asking it, and said in words.

use std::fmt;

use serde_json::{Value, json};
use tokio::sync::watch;

use super::chat_model::{ChatAnswer, ChatModel as _, ChatRequest, Message, OutputSchema, Structure};
use super::error::{Error, ErrorKind};
use super::extract::json_object;
use super::openai::OpenAi;

/// Names of other models that are suggested for one that is not there.
const SUGGESTIONS: usize = 5;
/// Longest answer: enough for a model that thinks first.
const MAX_TOKENS: u32 = 2_048;

/// What was found out of one model, a line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    lines: Vec<(&'static str, String)>,
    usable: bool,
}

impl Report {
    /// Whether questions can be answered with it.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.usable
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, words) in &self.lines {
            writeln!(formatter, "{:<12} {words}", format!("{what}:"))?;
        }
        Ok(())
    }
}

/// Asks a model (the default one for `None`) a small question for JSON, twice when the first answer taught that it
/// needs another form. `has_key` says whether a key is configured.
pub async fn check(endpoint: &OpenAi, model: Option<&str>, has_key: bool) -> Report {
    let name = model.unwrap_or(endpoint.model()).to_owned();
    let mut answer = ask(endpoint, model, None).await;
    while let Ok(Answered { answer: told, fits: false }) = &answer {
        let distrusted = told.delivery.structure;
        if distrusted == Structure::Text {
            break;
        }
        answer = ask(endpoint, model, Some(distrusted)).await;
    }
    let mut lines = vec![("Model", name.clone())];
    match answer {
        Ok(Answered { answer, fits }) => {
            lines.extend(abilities(&answer, fits, has_key, &name));
            Report { lines, usable: fits }
        }
        Err(error) => {
            lines.extend(troubles(endpoint, &error.kind, has_key, &name).await);
            Report { lines, usable: false }
        }
    }
}

struct Answered {
    answer: ChatAnswer,
    /// Whether it has the asked-for form.
    fits: bool,
}

async fn ask(endpoint: &OpenAi, model: Option<&str>, distrusted: Option<Structure>) -> Result<Answered, Error> {
    let request = ChatRequest {
        model: model.map(str::to_owned),
        messages: vec![
            Message::system("You add numbers and answer with one JSON object that has the single field `sum`."),
            Message::user("What is 17 + 25?"),
        ],
        output: OutputSchema {
            name: "sum".to_owned(),
            schema: json!({
                "type": "object", "properties": { "sum": { "type": "integer" } }, "required": ["sum"],
                "additionalProperties": false
            }),
        },
        distrusted,
        temperature: 0.0,
        max_tokens: MAX_TOKENS,
        time_left: None,
    };
    let answer = endpoint.complete(request, &watch::Sender::default()).await?;
    let fits = json_object(&answer.text).is_ok_and(|object| object.get("sum").is_some_and(Value::is_i64));
    Ok(Answered { answer, fits })
}

fn abilities(answer: &ChatAnswer, fits: bool, has_key: bool, asked: &str) -> Vec<(&'static str, String)> {
    let ChatAnswer { usage, delivery, .. } = answer;
    let known = if usage.model == asked { "known".to_owned() } else { format!("known; {} answers", usage.model) };
    let structure = match (fits, delivery.structure) {
        (false, _) => {
            "none: not even asked in words does the model answer with the JSON object that it is asked for. \
                       Choose another OPENAI_MODEL"
        }
        (_, Structure::JsonSchema) => "JSON schema (json_schema): asked for at the endpoint itself",
        (_, Structure::ToolCall) => "tool call (tool_call): JSON schemas are refused or not kept to",
        (_, Structure::JsonMode) => "JSON mode (json_mode): no schemas and no tools; the schema is told in words",
        (_, Structure::Text) => "in words (text): neither schemas, tools nor JSON mode",
    };
    let streaming = if delivery.streamed {
        "yes: the steps of a shared call arrive one by one"
    } else {
        "no: the steps of a shared call arrive together"
    };
    let counted = if delivery.counted {
        format!("reported: {} tokens read, {} written", usage.prompt_tokens, usage.completion_tokens)
    } else {
        "not reported: tokens will be counted as 0".to_owned()
    };
    let latency = match delivery.time_to_first_token {
        Some(first) => format!("first token after {} ms, ", first.as_millis()),
        None => String::new(),
    };
    vec![
        ("Reachable", "yes".to_owned()),
        ("Key", if has_key { "accepted" } else { "none set, none needed" }.to_owned()),
        ("Known", known),
        ("Structure", structure.to_owned()),
        ("Streaming", streaming.to_owned()),
        ("Usage", counted),
        ("Latency", format!("{latency}whole answer after {} ms", delivery.latency.as_millis())),
    ]
}

/// What is known by how the question failed.
async fn troubles(endpoint: &OpenAi, kind: &ErrorKind, has_key: bool, name: &str) -> Vec<(&'static str, String)> {
    let reachable = ("Reachable", "yes".to_owned());
    match kind {
        ErrorKind::Unavailable(why) => {
            vec![("Reachable", format!("no: {why}. Check OPENAI_BASE_URL and that the endpoint is up"))]
        }
        ErrorKind::Timeout(limit) => vec![(
            "Reachable",
            format!("too slow: no answer within {} s. Raise PULSE_LLM_TIMEOUT", limit.as_secs_f32()),
        )],
        ErrorKind::Silence(limit) => vec![(
            "Reachable",
            format!("too slow: silent for {} s. Raise PULSE_LLM_FIRST_TOKEN_TIMEOUT", limit.as_secs_f32()),
        )],
        ErrorKind::Auth if has_key => {
            vec![reachable, ("Key", "refused: set OPENAI_API_KEY to a valid key that may use this model".to_owned())]
        }
        ErrorKind::Auth => vec![reachable, ("Key", "needed: set OPENAI_API_KEY".to_owned())],
        ErrorKind::QuotaExhausted => {
            vec![reachable, ("Key", "its account has no quota left: add credit at the provider".to_owned())]
        }
        ErrorKind::ModelUnknown => {
            let known = nearest(name, endpoint.models().await.unwrap_or_default());
            let served = match known.as_slice() {
                [] => {
                    "Check OPENAI_MODEL, and that OPENAI_BASE_URL is the base address, usually ending in /v1".to_owned()
                }
                known => format!("Set OPENAI_MODEL to one that is served, such as {}", known.join(", ")),
            };
            vec![reachable, ("Known", format!("no such model or path. {served}"))]
        }
        other => vec![reachable, ("Answer", format!("none: {other}"))],
    }
}

/// The most alike of the known names, best first (Jaro-Winkler).
fn nearest(name: &str, mut known: Vec<String>) -> Vec<String> {
    let alike = |known: &String| strsim::jaro_winkler(name, known);
    known.sort_by(|left, right| alike(right).total_cmp(&alike(left)));
    known.truncate(SUGGESTIONS);
    known
}
