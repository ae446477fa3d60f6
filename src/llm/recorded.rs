//! Answers that are kept, a file each, and given again without a model: so a change of a prompt can be told from a
//! change of the model's mood.
//!
//! A file is named after what was asked: model, temperature, conversation, and the form of the answer. It holds neither
//! keys nor the conversation.

use std::fs;
use std::io::ErrorKind as IoErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use super::chat_model::{ChatAnswer, ChatModel, ChatRequest, Delivery, Role, Structure};
use super::error::{Error, ErrorKind};
use crate::domain::outputs::Usage;

/// Text without what differs from request to request and means nothing, such as random marks.
pub type Neutral = fn(&str) -> String;

/// Characters of the request that an error shows.
const SHOWN: usize = 80;

/// A model whose answers are kept. What the transport lost is no answer; what the model said unusably is one.
pub struct Recorder {
    model: Arc<dyn ChatModel>,
    folder: PathBuf,
    neutral: Neutral,
}

/// A model that gives kept answers and asks nobody. A request without one ends in [`ErrorKind::NotRecorded`], which names
/// the file that lacks.
pub struct Recordings {
    model: String,
    folder: PathBuf,
    neutral: Neutral,
}

/// One kept answer.
#[derive(Serialize, Deserialize)]
struct Recording {
    /// For people: the model that was asked.
    model: String,
    /// For people: the form of the answer.
    output: String,
    /// What was heard, whole or not.
    text: String,
    usage: Option<Usage>,
    ending: Ending,
}

/// How an answer ended.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Ending {
    Answered {
        structure: String,
        streamed: bool,
        counted: bool,
        attempts: u32,
        latency: Duration,
        first: Option<Duration>,
    },
    Refused(String),
    Truncated,
    ContentFilter,
    OutputInvalid(String),
}

impl Recorder {
    /// Keeps the model's answers in the folder, which must exist.
    #[must_use]
    pub fn new(model: Arc<dyn ChatModel>, folder: PathBuf, neutral: Neutral) -> Self {
        Self { model, folder, neutral }
    }
}

impl Recordings {
    /// Gives the answers of the folder in the name of a model.
    #[must_use]
    pub fn new(model: String, folder: PathBuf, neutral: Neutral) -> Self {
        Self { model, folder, neutral }
    }
}

#[async_trait]
impl ChatModel for Recorder {
    async fn complete(&self, request: ChatRequest, heard: &watch::Sender<String>) -> Result<ChatAnswer, Error> {
        let key = key(&request, self.model.model(), self.neutral);
        let (model, output) = (request.model.clone(), request.output.name.clone());
        let answer = self.model.complete(request, heard).await;
        let (text, usage, ending) = match &answer {
            Ok(answer) => (answer.text.clone(), Some(answer.usage.clone()), Some(Ending::answered(answer.delivery))),
            Err(Error { kind, usage }) => (heard.borrow().clone(), usage.clone(), Ending::of_failure(kind)),
        };
        if let Some(ending) = ending {
            let model = model.unwrap_or_else(|| self.model.model().to_owned());
            let recording = Recording { model, output, text, usage, ending };
            let path = file(&self.folder, &key);
            // A few kilobytes; whoever records waits for a model far longer.
            write(&path, &recording).map_err(|error| {
                ErrorKind::Other(format!("its answer cannot be recorded in {}: {error}", file_name(&path)))
            })?;
        }
        answer
    }

    fn model(&self) -> &str {
        self.model.model()
    }
}

#[async_trait]
impl ChatModel for Recordings {
    async fn complete(&self, request: ChatRequest, heard: &watch::Sender<String>) -> Result<ChatAnswer, Error> {
        let path = file(&self.folder, &key(&request, &self.model, self.neutral));
        let lacks =
            |why: &str| ErrorKind::NotRecorded(format!("{} {why}; it asks {}", file_name(&path), shown(&request)));
        let bytes = fs::read(&path).map_err(|error| match error.kind() {
            IoErrorKind::NotFound => lacks("does not exist"),
            kind => lacks(&format!("cannot be read ({kind})")),
        })?;
        let recording: Recording = serde_json::from_slice(&bytes).map_err(|_| lacks("is not a recording"))?;
        let Recording { text, usage, ending, .. } = recording;
        heard.send_modify(|heard| heard.push_str(&text));
        match ending.told() {
            Ok(delivery) => Ok(ChatAnswer { text, usage: usage.unwrap_or_default(), delivery }),
            Err(kind) => Err(Error { kind, usage }),
        }
    }

    fn model(&self) -> &str {
        &self.model
    }
}

impl Ending {
    fn answered(delivery: Delivery) -> Self {
        let Delivery { structure, streamed, counted, time_to_first_token, latency, attempts } = delivery;
        let structure = structure.as_str().to_owned();
        Self::Answered { structure, streamed, counted, attempts, latency, first: time_to_first_token }
    }

    /// `None` where the model said nothing of its own.
    fn of_failure(kind: &ErrorKind) -> Option<Self> {
        match kind {
            ErrorKind::Refused(words) => Some(Self::Refused(words.clone())),
            ErrorKind::Truncated => Some(Self::Truncated),
            ErrorKind::ContentFilter => Some(Self::ContentFilter),
            ErrorKind::OutputInvalid(what) => Some(Self::OutputInvalid(what.clone())),
            _ => None,
        }
    }

    fn told(self) -> Result<Delivery, ErrorKind> {
        match self {
            Self::Answered { structure, streamed, counted, attempts, latency, first } => {
                let all = [Structure::JsonSchema, Structure::ToolCall, Structure::JsonMode, Structure::Text];
                let structure = all.into_iter().find(|one| one.as_str() == structure).unwrap_or(Structure::Text);
                Ok(Delivery { structure, streamed, counted, time_to_first_token: first, latency, attempts })
            }
            Self::Refused(words) => Err(ErrorKind::Refused(words)),
            Self::Truncated => Err(ErrorKind::Truncated),
            Self::ContentFilter => Err(ErrorKind::ContentFilter),
            Self::OutputInvalid(what) => Err(ErrorKind::OutputInvalid(what)),
        }
    }
}

/// What a request asks, as a name. Time and room that are left do not count: they do not change what is asked.
fn key(request: &ChatRequest, default_model: &str, neutral: Neutral) -> String {
    let messages: Vec<_> =
        request.messages.iter().map(|message| json!([speaker(message.role), message.text])).collect();
    let content = json!({
        "model": request.model.as_deref().unwrap_or(default_model),
        "temperature": request.temperature,
        "messages": messages,
        "name": request.output.name,
        "schema": request.output.schema,
    });
    hex::encode(&Sha256::digest(neutral(&content.to_string()))[..16])
}

fn speaker(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

fn file(folder: &Path, key: &str) -> PathBuf {
    folder.join(format!("{key}.json"))
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The whole file or none: a run that is stopped leaves no halves.
fn write(path: &Path, recording: &Recording) -> std::io::Result<()> {
    let random = getrandom::u64().map_err(|error| std::io::Error::other(error.to_string()))?;
    let part = path.with_extension(format!("{random:016x}.part"));
    let mut text = serde_json::to_vec_pretty(recording)?;
    text.push(b'\n');
    fs::write(&part, text)?;
    fs::rename(&part, path)
}

/// The form that is asked for, and how the words of the one who asks begin.
fn shown(request: &ChatRequest) -> String {
    let asked = request.messages.iter().rev().find(|message| message.role == Role::User);
    let words = asked.map(|message| message.text.as_str()).unwrap_or_default();
    // The question itself, where it stands in the data as JSON; otherwise the beginning.
    let words = words.split_once("\"question\":").map_or(words, |(_, question)| question);
    let words: String = words.trim_start_matches('"').chars().take(SHOWN).collect();
    format!("for `{}`: {}", request.output.name, words.replace(['\n', '\r'], " "))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::llm::{Message, OutputSchema};

    /// Says what it is told to, once.
    struct Once(Mutex<Option<Result<ChatAnswer, Error>>>);

    #[async_trait]
    impl ChatModel for Once {
        async fn complete(&self, _: ChatRequest, heard: &watch::Sender<String>) -> Result<ChatAnswer, Error> {
            let answer = self.0.lock().unwrap().take().expect("it is asked once");
            heard.send_modify(|heard| heard.push_str(answer.as_ref().map_or("hal", |answer| answer.text.as_str())));
            answer
        }

        fn model(&self) -> &'static str {
            "m"
        }
    }

    fn request(text: &str) -> ChatRequest {
        ChatRequest {
            model: None,
            messages: vec![Message::system("rules"), Message::user(text)],
            output: OutputSchema { name: "planner".to_owned(), schema: json!({}) },
            distrusted: None,
            temperature: 0.0,
            max_tokens: 10,
            time_left: None,
        }
    }

    fn answer() -> ChatAnswer {
        let usage = Usage { model: "m-2".to_owned(), calls: 1, prompt_tokens: 3, ..Usage::default() };
        let delivery = Delivery {
            structure: Structure::JsonMode,
            streamed: true,
            counted: true,
            time_to_first_token: Some(Duration::from_millis(5)),
            latency: Duration::from_millis(9),
            attempts: 2,
        };
        ChatAnswer { text: "{\"a\":1}".to_owned(), usage, delivery }
    }

    async fn replayed(folder: &Path, request: ChatRequest) -> (Result<ChatAnswer, Error>, String) {
        let (sender, heard) = watch::channel(String::new());
        let recordings = Recordings::new("m".to_owned(), folder.to_owned(), |text| text.replace("noise", ""));
        let answer = recordings.complete(request, &sender).await;
        (answer, heard.borrow().clone())
    }

    #[tokio::test]
    async fn what_was_said_is_said_again() {
        let truncated = Error { kind: ErrorKind::Truncated, usage: Some(Usage::default()) };
        for (said, text) in [(Ok(answer()), "{\"a\":1}"), (Err(truncated), "hal")] {
            let folder = tempfile::tempdir().unwrap();
            let model = Arc::new(Once(Mutex::new(Some(said.clone()))));
            let recorder = Recorder::new(model, folder.path().to_owned(), |text| text.replace("noise", ""));
            let (sender, _heard) = watch::channel(String::new());
            assert_eq!(recorder.complete(request("why noise"), &sender).await, said);
            let less =
                ChatRequest { time_left: Some(Duration::from_secs(1)), max_tokens: 7, ..request("why noisenoise") };
            assert_eq!(replayed(folder.path(), less).await, (said, text.to_owned()));
        }
    }

    #[tokio::test]
    async fn a_request_without_a_recording_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let lost = Err(ErrorKind::Unavailable("down".to_owned()).into());
        let recorder = Recorder::new(Arc::new(Once(Mutex::new(Some(lost)))), folder.path().to_owned(), str::to_owned);
        let (sender, _heard) = watch::channel(String::new());
        recorder.complete(request("why"), &sender).await.unwrap_err();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "what the transport lost is no answer");

        let lacks =
            replayed(folder.path(), request("data\n{\"question\":\"why so?\"}")).await.0.unwrap_err().to_string();
        let name = file(Path::new(""), &key(&request("data\n{\"question\":\"why so?\"}"), "m", str::to_owned));
        assert!(lacks.contains(name.to_str().unwrap()) && lacks.contains("why so?"), "{lacks}");
    }

    #[test]
    fn the_name_changes_with_what_is_asked() {
        let key = |request: &ChatRequest| key(request, "m", str::to_owned);
        let base = key(&request("why"));
        assert_eq!(base, key(&ChatRequest { model: Some("m".to_owned()), ..request("why") }));
        for other in [
            request("how"),
            ChatRequest { model: Some("n".to_owned()), ..request("why") },
            ChatRequest { temperature: 0.5, ..request("why") },
            ChatRequest { output: OutputSchema { name: "planner".to_owned(), schema: json!(1) }, ..request("why") },
        ] {
            assert_ne!(key(&other), base);
        }
    }
}
