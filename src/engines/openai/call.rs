//! One call to the model, which answers one role or several, one after the other.

use std::collections::HashMap;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::{Map, Value};
use tokio::sync::watch;

use super::fields::Fields;
use super::role::Role;
use crate::domain::outputs::{Delivery, ModelCall, Usage};
use crate::llm::{self, ChatAnswer, ChatModel, ChatRequest, Error, ErrorKind, Structure, json_object};

/// Longest part of a bad answer that is shown to the model again, in characters.
const MAX_REPEATED: usize = 8_000;

/// The answer to one role.
pub type Part = Map<String, Value>;

/// A call that is under way, or has ended with parts that nobody has asked for yet. Dropping it aborts it.
pub struct Call {
    /// What steps are told of it.
    record: ModelCall,
    /// Who is answered, in this order.
    roles: Vec<Role>,
    answering: BoxFuture<'static, Result<ChatAnswer, Error>>,
    heard: watch::Receiver<String>,
    fields: Fields,
    /// Parts that are complete, by the name of their role.
    parts: HashMap<String, Part>,
    end: Option<End>,
    /// Whether a step was told that there was this call.
    counted: bool,
    /// What it took, until a step was told.
    usage: Option<Usage>,
}

/// How a call ended.
struct End {
    /// The structure that was asked for, when there was an answer.
    structure: Option<Structure>,
    failure: Option<Error>,
}

/// An answer that is of no use.
pub struct Miss {
    pub kind: ErrorKind,
    /// What the model is told when asking again may help.
    pub finding: Option<String>,
    /// What it said.
    pub said: Option<String>,
    /// The structure that was asked for, where the endpoint itself should have kept to it.
    pub broken_promise: Option<Structure>,
}

impl Call {
    /// Asks; nothing is sent before somebody waits for a part.
    pub fn new(
        id: String,
        prompt_version: String,
        chat: Arc<dyn ChatModel>,
        request: ChatRequest,
        roles: Vec<Role>,
    ) -> Self {
        let record = ModelCall {
            id,
            model: request.model.clone().unwrap_or_else(|| chat.model().to_owned()),
            prompt_version,
            prompt_tokens: 0,
            cached_prompt_tokens: 0,
            completion_tokens: 0,
            delivery: None,
        };
        let (sender, heard) = watch::channel(String::new());
        let answering = async move { chat.complete(request, &sender).await }.boxed();
        let (fields, parts) = (Fields::default(), HashMap::new());
        Self { record, roles, answering, heard, fields, parts, end: None, counted: false, usage: None }
    }

    /// Whether others are answered after this role.
    pub fn goes_on_after(&self, role: Role) -> bool {
        self.roles.iter().any(|one| *one > role)
    }

    /// Whether this role is answered and those before it were.
    pub fn serves(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// The part of a role as soon as it is complete; of the last role at the end of the call, when it is certain that
    /// the answer is whole.
    pub async fn part(&mut self, role: Role) -> Result<Part, Miss> {
        if self.roles.len() == 1 {
            self.finish().await;
            return self.outcome(role).and_then(|()| self.whole(role));
        }
        while self.end.is_none() {
            if self.goes_on_after(role)
                && let Some(part) = self.parts.remove(role.name())
            {
                return Ok(part);
            }
            tokio::select! {
                biased;
                Ok(()) = self.heard.changed() => self.read(),
                answer = &mut self.answering => self.ended(answer),
            }
        }
        match self.parts.remove(role.name()) {
            Some(part) if self.goes_on_after(role) => Ok(part),
            Some(part) => self.outcome(role).map(|()| part),
            None => {
                self.outcome(role)?;
                let whole = self.whole(role)?.remove(role.name());
                let finding = || format!("the JSON object has no object `{}`", role.name());
                let part = whole.and_then(|part| if let Value::Object(part) = part { Some(part) } else { None });
                part.ok_or_else(|| self.miss(role, finding(), Structure::promises_form))
            }
        }
    }

    /// Hears the rest, so that its cost is known.
    pub async fn finish(&mut self) {
        if self.end.is_none() {
            let answer = (&mut self.answering).await;
            self.ended(answer);
        }
    }

    /// What the call took that no step was told yet: the call itself with the first step that it served, its tokens
    /// with the one at which they became known. So sums are right.
    pub fn cost(&mut self, served: bool) -> Usage {
        let answered = served || self.usage.is_some();
        let calls = u32::from(answered && !self.counted);
        self.counted |= answered;
        let known = self.usage.take().unwrap_or_else(|| Usage { model: self.record.model.clone(), ..Usage::default() });
        let served_by = if answered { vec![self.record.clone()] } else { Vec::new() };
        Usage { calls, served_by, ..known }
    }

    /// A part does not say what it should.
    pub fn miss(&self, role: Role, finding: String, promised: impl Fn(Structure) -> bool) -> Miss {
        let structure = self.end.as_ref().and_then(|end| end.structure);
        Miss {
            kind: ErrorKind::OutputInvalid(finding.clone()),
            finding: Some(finding),
            said: Some(self.said(role)),
            broken_promise: structure.filter(|structure| promised(*structure)),
        }
    }

    fn read(&mut self) {
        let heard = self.heard.borrow_and_update();
        self.parts.extend(self.fields.read(&heard));
    }

    fn ended(&mut self, answer: Result<ChatAnswer, Error>) {
        self.read();
        let end = match answer {
            Ok(answer) => {
                self.spent(answer.usage);
                self.record.delivery = Some(told(&answer.delivery));
                End { structure: Some(answer.delivery.structure), failure: None }
            }
            Err(error) => {
                if let Some(usage) = error.usage.clone() {
                    self.spent(usage);
                }
                End { structure: None, failure: Some(error) }
            }
        };
        self.end = Some(end);
    }

    fn spent(&mut self, usage: Usage) {
        self.record.model.clone_from(&usage.model);
        self.record.prompt_tokens = usage.prompt_tokens;
        self.record.cached_prompt_tokens = usage.cached_prompt_tokens;
        self.record.completion_tokens = usage.completion_tokens;
        self.usage = Some(usage);
    }

    /// Whether the call ended well, or what is to be done about it.
    fn outcome(&self, role: Role) -> Result<(), Miss> {
        let Some(Error { kind, usage }) = self.end.as_ref().and_then(|end| end.failure.as_ref()) else { return Ok(()) };
        let broke_off =
            matches!(kind, ErrorKind::Unavailable(_) | ErrorKind::Timeout(_)) && !self.heard.borrow().is_empty();
        let finding = match kind {
            ErrorKind::Truncated => Some("the answer was too long and was cut: be brief".to_owned()),
            // Only where the model itself answered: a reply that is no completion will not be one the next time.
            ErrorKind::OutputInvalid(what) if usage.is_some() => Some(what.clone()),
            _ if broke_off => Some(format!("it broke off before the end of `{}`", role.name())),
            _ => None,
        };
        Err(Miss { kind: kind.clone(), finding, said: None, broken_promise: None })
    }

    fn whole(&self, role: Role) -> Result<Part, Miss> {
        json_object(&self.heard.borrow()).map_err(|finding| self.miss(role, finding, Structure::promises_object))
    }

    /// What was said for this role and those after it, as far as it is known; otherwise all.
    fn said(&self, role: Role) -> String {
        let heard = self.heard.borrow();
        let said = match json_object(&heard) {
            Ok(mut whole) if self.roles.len() > 1 => {
                whole.retain(|name, _| self.roles.iter().any(|one| *one >= role && one.name() == name));
                Value::Object(whole).to_string()
            }
            _ => heard.clone(),
        };
        said.chars().take(MAX_REPEATED).collect()
    }
}

/// How the answer came, as it is kept.
pub fn told(delivery: &llm::Delivery) -> Delivery {
    Delivery {
        structure: delivery.structure.as_str().to_owned(),
        attempts: delivery.attempts,
        latency: delivery.latency,
        time_to_first_token: delivery.time_to_first_token,
    }
}
