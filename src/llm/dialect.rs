//! The chat-completions API as one model of one endpoint understands it.
//!
//! Compatible endpoints differ in how an answer's form is asked for, what the length limit is called, and whether a
//! temperature, a stream and a count of a stream's tokens may be asked for. Each model starts with what most
//! understand; a refusal that names the field teaches the other way.

use serde_json::{Value, json};

use super::chat_model::{ChatRequest, Message, OutputSchema, Role, Structure};

/// What a model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    pub structure: Structure,
    pub streams: bool,
    /// Whether a stream's tokens may be asked for.
    counts_streams: bool,
    temperature: bool,
    /// Newer `OpenAI` models want `max_completion_tokens`, older and compatible ones `max_tokens`.
    max_tokens: &'static str,
}

impl Default for Dialect {
    fn default() -> Self {
        Self {
            structure: Structure::JsonSchema,
            streams: true,
            counts_streams: true,
            temperature: true,
            max_tokens: "max_tokens",
        }
    }
}

impl Dialect {
    /// The dialect that avoids what a refusal complains of; `None` when that is nothing that can be avoided.
    pub fn without(self, complaint: &str) -> Option<Self> {
        // A gateway that speaks of what is behind it does not speak of streaming.
        let complaint = complaint.to_lowercase().replace("upstream", "");
        let names = |words: &[&str]| words.iter().any(|word| complaint.contains(word));
        if self.temperature && names(&["temperature"]) {
            return Some(Self { temperature: false, ..self });
        }
        if self.max_tokens == "max_tokens" && names(&["max_completion_tokens"]) {
            return Some(Self { max_tokens: "max_completion_tokens", ..self });
        }
        if self.streams && self.counts_streams && names(&["stream_options", "include_usage"]) {
            return Some(Self { counts_streams: false, ..self });
        }
        let blamed: &[&str] = match self.structure {
            Structure::JsonSchema => &["response_format", "json_schema", "json schema", "grammar", "structured output"],
            Structure::ToolCall => &["tool", "function"],
            Structure::JsonMode => &["response_format", "json_object", "json mode"],
            Structure::Text => &[],
        };
        if names(blamed) {
            return self.below(self.structure);
        }
        (self.streams && names(&["stream"])).then_some(Self { streams: false, ..self })
    }

    /// The dialect that asks for less structure than this; `None` when it does already, or there is none.
    pub fn below(self, structure: Structure) -> Option<Self> {
        let next = structure.next().filter(|_| self.structure == structure)?;
        Some(Self { structure: next, ..self })
    }

    /// The request's body in this dialect.
    pub fn body(self, request: &ChatRequest, model: &str) -> Value {
        let OutputSchema { name, schema } = &request.output;
        let mut messages: Vec<Value> = request.messages.iter().map(message).collect();
        if matches!(self.structure, Structure::JsonMode | Structure::Text) {
            tell_form(&mut messages, &request.output);
        }
        let mut body = json!({ "model": model, "messages": messages, "stream": self.streams });
        if self.streams && self.counts_streams {
            body["stream_options"] = json!({ "include_usage": true });
        }
        body[self.max_tokens] = request.max_tokens.into();
        if self.temperature {
            body["temperature"] = request.temperature.into();
        }
        match self.structure {
            Structure::JsonSchema => {
                let form = json!({ "name": name, "strict": true, "schema": schema });
                body["response_format"] = json!({ "type": "json_schema", "json_schema": form });
            }
            Structure::ToolCall => {
                let function = json!({ "name": name, "description": "Gives the answer.", "parameters": schema });
                body["tools"] = json!([{ "type": "function", "function": function }]);
                body["tool_choice"] = json!({ "type": "function", "function": { "name": name } });
            }
            Structure::JsonMode => body["response_format"] = json!({ "type": "json_object" }),
            Structure::Text => {}
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

/// At the end of the user's last message: many chat templates allow a system message only at the beginning, and no two
/// messages of one speaker after each other.
fn tell_form(messages: &mut Vec<Value>, output: &OutputSchema) {
    let OutputSchema { name, schema } = output;
    let form = format!("Answer with one JSON object and nothing else. Its JSON schema, named {name}: {schema}");
    match messages.last_mut() {
        Some(last) if last["role"] == "user" => {
            let words = last["content"].as_str().unwrap_or_default();
            last["content"] = format!("{words}\n\n{form}").into();
        }
        _ => messages.push(message(&Message::user(form))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> ChatRequest {
        ChatRequest {
            model: None,
            messages: vec![Message::user("hello")],
            output: OutputSchema { name: "planner".to_owned(), schema: json!({ "type": "object" }) },
            distrusted: None,
            temperature: 0.0,
            max_tokens: 7,
            time_left: None,
        }
    }

    #[test]
    fn a_refusal_that_names_a_field_teaches_the_other_way_and_ends() {
        // Words of OpenAI, vLLM, llama.cpp, Ollama and gateways, each about what the one before left.
        let refusals = [
            "Unsupported value: 'temperature' does not support 0 with this model",
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
            "[{'type': 'extra_forbidden', 'loc': ('body', 'stream_options'), 'msg': 'Extra inputs are not permitted'}]",
            "'response_format' of type json_schema is not supported",
            "This server does not support tools. Start it with `--jinja`",
            "response_format json_object is not supported",
            "streaming is not available",
        ];
        let mut dialect = Dialect::default();
        for refusal in refusals {
            let better = dialect.without(refusal).unwrap_or_else(|| panic!("{refusal}"));
            assert_ne!(better, dialect);
            dialect = better;
        }
        for refusal in refusals {
            assert_eq!(dialect.without(refusal), None, "{refusal}");
        }
        for other in ["your prompt is too long", "upstream says no"] {
            assert_eq!(Dialect::default().without(other), None, "{other}");
        }

        let body = dialect.body(&request(), "m");
        assert_eq!((&body["max_completion_tokens"], &body["stream"]), (&json!(7), &json!(false)));
        for left_out in ["temperature", "response_format", "tools", "tool_choice", "stream_options", "max_tokens"] {
            assert!(body.get(left_out).is_none(), "{left_out}");
        }
        assert!(body["messages"][0]["content"].as_str().unwrap().contains("named planner"));
    }

    #[test]
    fn each_rung_of_the_ladder_asks_for_the_form_in_its_own_way() {
        let mut dialect = Dialect::default();
        let body = dialect.body(&request(), "m");
        assert_eq!(body["response_format"]["json_schema"]["strict"], true);
        assert_eq!(body["messages"].as_array().unwrap().len(), 1);
        dialect = dialect.below(Structure::JsonSchema).unwrap();
        let body = dialect.body(&request(), "m");
        assert_eq!(body["tools"][0]["function"]["parameters"], json!({ "type": "object" }));
        assert_eq!(body["tool_choice"]["function"]["name"], "planner");
        dialect = dialect.below(Structure::ToolCall).unwrap();
        assert_eq!(dialect.body(&request(), "m")["response_format"], json!({ "type": "json_object" }));
        assert_eq!(dialect.below(Structure::JsonSchema), None, "somebody else has learned it already");
        dialect = dialect.below(Structure::JsonMode).unwrap();
        assert_eq!(dialect.below(Structure::Text), None);
    }
}
