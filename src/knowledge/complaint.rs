//! What is wrong with a YAML document, and where, in the words of who wrote it: the parser's own speak of its insides.

use serde_saphyr::{Error, MessageFormatter, UserMessageFormatter};

/// The line and column, and what is wrong there.
pub(super) fn of(error: &Error) -> String {
    let words = words(error.without_snippet());
    match error.location() {
        Some(place) => format!("line {}, column {}: {words}", place.line(), place.column()),
        None => words,
    }
}

fn words(error: &Error) -> String {
    match error {
        Error::SerdeUnknownField { field, expected, .. } => {
            let known: Vec<_> = expected.iter().map(|name| format!("`{name}`")).collect();
            format!("there is no field `{field}` here; there are {}", known.join(", "))
        }
        Error::SerdeInvalidType { unexpected, expected, .. } => {
            format!("{} stands where {} belongs", thing(unexpected), thing(expected))
        }
        Error::Unexpected { expected, .. } => format!("{} belongs here", thing(expected)),
        Error::NullIntoString { .. } => "there is no value; write '' for an empty text".to_owned(),
        Error::DuplicateMappingKey { key: Some(key), .. } => format!("`{key}` is given twice"),
        Error::MultipleDocuments { .. } => "a second document begins; give one only".to_owned(),
        Error::Eof { .. } => "the document ends too early".to_owned(),
        Error::UnknownAnchor { .. } => "an alias (`*name`) has no anchor (`&name`) before it".to_owned(),
        Error::Budget { .. }
        | Error::AliasReplayCounterOverflow { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => "it is nested too deeply, or repeats too much".to_owned(),
        other => malformed(&UserMessageFormatter.format_message(other)),
    }
}

/// What the parser found where it could not go on, in other words where people often get there.
fn malformed(said: &str) -> String {
    let words = match said {
        said if said.contains("mapping values are not allowed") => "a `: ` stands in a text; put the text in quotes",
        said if said.contains("unclosed quote") => "a quote begins here and does not end",
        said if said.contains("found a tab") => "a tab stands where spaces belong",
        said if said.contains("did not find expected key") => "the line is not indented like those that it belongs to",
        said => return format!("this is not YAML: {}", said.rsplit_once(", ").map_or(said, |(_, found)| found)),
    };
    words.to_owned()
}

/// A kind of thing in a document, from the parser's name for it.
fn thing(name: &str) -> String {
    let plain = match name {
        "sequence" | "seq" | "a sequence" | "sequence start" => "a list (a line with `- ` for each)",
        "map" | "a map" | "mapping start" => "a set of fields (`name: value`)",
        "string" | "a string" | "scalar" | "string scalar" => "a text",
        fields if fields.starts_with("struct ") => "a set of fields (`name: value`)",
        value => return value.replacen("string ", "the text ", 1).replacen("integer ", "the number ", 1),
    };
    plain.to_owned()
}
