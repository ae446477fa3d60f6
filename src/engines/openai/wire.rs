//! What the agents' answers have in common on their way from and to the model.

use serde_json::{Map, Value as Json, json};

use super::echo::{prose, repeats_rules};
use super::fence::clean;
use crate::domain::Value;

/// Longest text taken from an answer, in characters.
const MAX_TEXT: usize = 1_000;
/// Longest list taken from an answer.
const MAX_ITEMS: usize = 100;

/// Comparison operators as the domain spells them.
pub fn operator() -> Json {
    json!({ "type": "string", "enum": [
        "equal", "not_equal", "less", "less_or_equal", "greater", "greater_or_equal", "between", "in", "not_in", "like",
        "not_like", "is_null", "is_not_null"
    ] })
}

/// Aggregate functions as the domain spells them.
pub fn function() -> Json {
    json!({ "type": "string", "enum": ["count", "count_distinct", "sum", "average", "minimum", "maximum"] })
}

/// A literal.
pub fn literal() -> Json {
    json!({ "type": ["string", "number", "boolean", "null"] })
}

/// Text.
pub fn string() -> Json {
    json!({ "type": "string" })
}

/// A number from 0 to 1.
pub fn share() -> Json {
    json!({ "type": "number", "description": "0 to 1" })
}

/// True or false.
pub fn boolean() -> Json {
    json!({ "type": "boolean" })
}

/// Text or nothing.
pub fn optional_string() -> Json {
    json!({ "type": ["string", "null"] })
}

/// A list.
#[expect(clippy::needless_pass_by_value, reason = "reads as a sentence where it is used")]
pub fn list(items: Json) -> Json {
    json!({ "type": "array", "items": items })
}

/// An object in the strict form: every property required, none besides.
pub fn object<const N: usize>(properties: [(&str, Json); N]) -> Json {
    let required: Vec<&str> = properties.iter().map(|(name, _)| *name).collect();
    let required = json!(required);
    let properties: Map<String, Json> = properties.into_iter().map(|(name, form)| (name.to_owned(), form)).collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

/// A sentence of the model, fit to be shown.
pub fn sentence(words: &str) -> String {
    prose(words, MAX_TEXT)
}

/// A word of the model or a literal, fit to be shown; one that repeats the rules is neither.
pub fn text(words: &str) -> String {
    if repeats_rules(words) { String::new() } else { clean(words.trim(), MAX_TEXT) }
}

/// A confidence or score.
pub fn unit(number: f64) -> f64 {
    if number.is_finite() { number.clamp(0.0, 1.0) } else { 0.0 }
}

/// Every item converted, or what is wrong with the first that cannot be.
pub fn each<Wire, T>(
    what: &str,
    items: Vec<Wire>,
    convert: impl FnMut(Wire) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    if items.len() > MAX_ITEMS {
        return Err(format!("{what} has more than {MAX_ITEMS} items"));
    }
    items.into_iter().map(convert).collect()
}

/// A literal of the model as a typed value.
pub fn value(literal: Json) -> Result<Value, String> {
    Ok(match literal {
        Json::Null => Value::Null,
        Json::Bool(truth) => Value::Bool(truth),
        Json::String(words) => Value::String(text(&words)),
        Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), _, _) => Value::Int64(number),
            (_, Some(number), _) => Value::Uint64(number),
            (_, _, Some(number)) => Value::Double(number),
            _ => return Err(format!("{number} is not a number that can be compared")),
        },
        Json::Array(_) | Json::Object(_) => return Err("a value is text, a number, true, false or null".to_owned()),
    })
}

/// A typed value as a literal for the model; kinds that no answer holds become their text.
pub fn literal_of(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(truth) => json!(truth),
        Value::Int64(number) => json!(number),
        Value::Uint64(number) => json!(number),
        Value::Double(number) => json!(number),
        Value::Array(items) => items.iter().map(literal_of).collect(),
        Value::Bytes(bytes) => json!(hex::encode(bytes)),
        Value::Decimal(words)
        | Value::String(words)
        | Value::Date(words)
        | Value::Time(words)
        | Value::Timestamp(words)
        | Value::TimestampTz(words)
        | Value::Interval(words)
        | Value::Uuid(words)
        | Value::Json(words)
        | Value::Other(words) => json!(text(words)),
    }
}
