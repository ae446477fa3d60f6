//! The chat-completions API as one endpoint understands it.
//!
//! Compatible endpoints differ in three places: how an answer's form is asked for, whether a temperature may be set,
//! and what the length limit is called. Each starts with what most understand; a refusal that names the field teaches
//! the other way, once per endpoint.

use serde_json::{Value, json};

use super::chat_model::{ChatRequest, Message, OutputSchema, Role};

/// What an endpoint takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    form: Form,
    temperature: bool,
    /// Newer `OpenAI` models want `max_completion_tokens`, older and compatible ones `max_tokens`.
    max_tokens: &'static str,
}

/// How the form of an answer is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Structured outputs: the endpoint itself keeps to the schema.
    Schema,
    /// JSON mode: some JSON object; the schema stands in the conversation.
    Object,
    /// The schema stands in the conversation, nothing else helps.
    Text,
}

impl Default for Dialect {
    fn default() -> Self {
        Self { form: Form::Schema, temperature: true, max_tokens: "max_tokens" }
    }
}

impl Dialect {
    /// The dialect that avoids what a refusal complains of; `None` when that is nothing that can be avoided.
    pub fn without(self, complaint: &str) -> Option<Self> {
        let complaint = complaint.to_lowercase();
        let names = |words: &[&str]| words.iter().any(|word| complaint.contains(word));
        if self.temperature && names(&["temperature"]) {
            return Some(Self { temperature: false, ..self });
        }
        if self.max_tokens == "max_tokens" && names(&["max_completion_tokens"]) {
            return Some(Self { max_tokens: "max_completion_tokens", ..self });
        }
        let form = match self.form {
            Form::Schema => Form::Object,
            Form::Object => Form::Text,
            Form::Text => return None,
        };
        names(&["response_format", "json_schema", "json_object", "json schema"]).then_some(Self { form, ..self })
    }

    /// The request's body in this dialect.
    pub fn body(self, request: &ChatRequest, model: &str) -> Value {
        let mut messages: Vec<Value> = request.messages.iter().map(message).collect();
        if self.form != Form::Schema {
            messages.push(message(&form_in_words(&request.output)));
        }
        let mut body = json!({ "model": model, "messages": messages, "stream": false });
        body[self.max_tokens] = request.max_tokens.into();
        if self.temperature {
            body["temperature"] = request.temperature.into();
        }
        match self.form {
            Form::Schema => {
                let OutputSchema { name, schema } = &request.output;
                let form = json!({ "name": name, "strict": true, "schema": schema });
                body["response_format"] = json!({ "type": "json_schema", "json_schema": form });
            }
            Form::Object => body["response_format"] = json!({ "type": "json_object" }),
            Form::Text => {}
        }
        body
    }
}

fn message(message: &Message) -> Value {
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    };
    json!({ "role": role, "content": message.text })
}

fn form_in_words(output: &OutputSchema) -> Message {
    let OutputSchema { name, schema } = output;
    Message::system(format!("Answer with one JSON object and nothing else. Its JSON schema, named {name}: {schema}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_that_names_a_field_teaches_the_other_way_and_ends() {
        let first = Dialect::default();
        let second = first.without("Unsupported value: 'temperature' does not support 0 with this model").unwrap();
        let third = second.without("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens'").unwrap();
        let fourth = third.without("'response_format' of type json_schema is not supported").unwrap();
        let last = fourth.without("response_format is not supported").unwrap();
        assert_eq!(last.without("response_format is not supported"), None);
        assert_eq!(first.without("your prompt is too long"), None);

        let request = ChatRequest {
            model: None,
            messages: vec![Message::user("hello")],
            output: OutputSchema { name: "planner", schema: json!({}) },
            temperature: 0.0,
            max_tokens: 7,
        };
        let body = last.body(&request, "m");
        assert_eq!(body["max_completion_tokens"], 7);
        assert!(body.get("temperature").is_none() && body.get("response_format").is_none());
        assert!(body["messages"][1]["content"].as_str().unwrap().contains("named planner"));
        let body = first.body(&request, "m");
        assert_eq!(body["response_format"]["json_schema"]["strict"], true);
        assert_eq!(body["messages"].as_array().unwrap().len(), 1);
    }
}
