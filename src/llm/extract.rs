//! JSON in the words of a model: thoughts before it, a fence of code around it and words after it set aside.

use serde_json::{Map, Value};

/// Ends of the thoughts that some models speak aloud before they answer.
const ENDS_OF_THOUGHT: [&str; 4] = ["</think>", "</thinking>", "</reasoning>", "<|channel|>final"];
/// Opening braces at which an object is looked for.
const MAX_PLACES: usize = 64;

/// What follows the thoughts, when they have ended and an object may follow.
#[must_use]
pub fn after_thoughts(text: &str) -> Option<&str> {
    let ends = ENDS_OF_THOUGHT.iter().filter_map(|end| Some(text.rfind(end)? + end.len()));
    // An answer may speak of such a mark itself.
    ends.max().map(|end| &text[end..]).filter(|after| after.contains('{'))
}

/// The first whole JSON object in a text.
pub fn json_object(text: &str) -> Result<Map<String, Value>, String> {
    let text = after_thoughts(text).unwrap_or(text);
    let mut broken = None;
    for (start, _) in text.match_indices('{').take(MAX_PLACES) {
        match serde_json::Deserializer::from_str(&text[start..]).into_iter::<Map<String, Value>>().next() {
            Some(Ok(object)) => return Ok(object),
            Some(Err(error)) => broken = broken.or(Some(error)),
            None => {}
        }
    }
    Err(broken.map_or_else(
        || "the answer holds no JSON object".to_owned(),
        |error| format!("the answer is no JSON object: {error}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thoughts_fences_and_words_around_the_object_are_set_aside() {
        for text in [
            "{\"a\":1}",
            "```json\n{\"a\":1}\n```",
            "Here you are: {\"a\":1} Anything else? {\"b\":2}",
            "<think>Perhaps {\"a\":2}? No.</think>\n{\"a\":1}",
            "{so} it is: {\"a\":1}",
            "{\"a\":1}}}",
            "Thoughts without an opening mark {x}</think> ```{\"a\":1}```",
        ] {
            let found = json_object(text).map(Value::Object);
            assert_eq!(found, Ok(serde_json::json!({ "a": 1 })), "{text}");
        }
        let marked = "{\"a\":\"</think>\"}";
        assert_eq!(json_object(marked).unwrap()["a"], "</think>");
        for text in ["", "}{", "{\"a\":", "no", "<think>{\"a\":1}"] {
            let found = json_object(text);
            assert!(found.is_err() || text.starts_with("<think>"), "{text}");
        }
    }
}
