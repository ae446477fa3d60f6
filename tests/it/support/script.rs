//! A model that plays its agents well, for tests in which something else is the matter.

use serde_json::{Value, json};

use super::model_server::{ModelServer, Reply};
use super::server::Server;

/// Must be seen nowhere but in the `Authorization` header of the model's requests.
pub const KEY: &str = "sk-canary-7d1f09b2";

/// What is asked of the demo database, and the statement that answers it.
pub const QUESTION: &str = "How many customers do we have?";
pub const ANSWER: &str = "SELECT count(*) AS customers FROM customers";

/// A statement that would run for years.
pub const ENDLESS: &str = "SELECT count(*) FROM order_items AS a, order_items AS b, order_items AS c";

/// The agents that a model plays, in the order they run.
pub const AGENTS: [&str; 3] = ["planner", "mapper", "composer"];

/// The planner's answer to [`QUESTION`].
pub fn plan() -> Reply {
    Reply::json(json!({
        "intent": "Count the customers.",
        "entities": [{ "name": "customers", "kind": "table" }],
        "filters": [],
        "aggregations": [{ "function": "count", "column": "" }],
        "group_by": [], "order_by": [], "limit": null, "clarification": null, "confidence": 0.9
    }))
}

/// The mapper's answer.
pub fn mapping() -> Reply {
    Reply::Says(mapping_to("customers"))
}

/// A mapper's words that name this table.
pub fn mapping_to(table: &str) -> String {
    let answer = json!({
        "entities": [{ "name": "customers", "table": table, "column": null, "score": 1 }],
        "filters": [],
        "aggregations": [{ "function": "count", "table": table, "column": null, "score": 1 }],
        "group_by": [], "order_by": [], "join_path": [], "matched_values": []
    });
    answer.to_string()
}

/// A composer's answer that is this statement.
pub fn statement(sql: &str) -> Reply {
    let answer: Value = json!({
        "intent": "Count.", "columns": [], "sql": sql, "explanation": "Counts the customers.",
        "assumptions": [], "answerable": true, "reason": "", "confidence": 0.8
    });
    Reply::json(answer)
}

/// A model that answers with this statement. The agent named in `stalling` waits for [`ModelServer::release`], and
/// answers at once when it is asked again.
pub async fn model(sql: &str, stalling: Option<&str>) -> ModelServer {
    let model = ModelServer::start().await;
    for (agent, reply) in AGENTS.into_iter().zip([plan(), mapping(), statement(sql)]) {
        if stalling == Some(agent) {
            model.stall(agent);
        }
        model.on(agent, reply);
    }
    model
}

/// Flags of a server that asks this model once for each agent, so that a test can tell whose turn it is.
pub fn flags<'a>(model: &'a ModelServer, more: &[&'a str]) -> Vec<&'a str> {
    [&shared_flags(model, &["--llm-calls", "per_agent"]), more].concat()
}

/// Flags of a server that asks this model once for all agents, as is the default. A model that is held back on purpose
/// is given all the time that an exchange has.
pub fn shared_flags<'a>(model: &'a ModelServer, more: &[&'a str]) -> Vec<&'a str> {
    let own = ["--openai-base-url", model.url(), "--openai-api-key", KEY, "--llm-first-token-timeout", "60s"];
    [&own, more].concat()
}

/// A server on the demo database that asks this model.
pub async fn server(model: &ModelServer, more: &[&str]) -> Server {
    Server::demo(&flags(model, more)).await
}
