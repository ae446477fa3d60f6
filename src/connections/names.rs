//! Names that a connection lists: functions that statements may call, and columns that agents do not see.

use std::time::Duration;

use crate::domain::{Connection, Schema};
use crate::sql::Database;

/// Longest that looking the names up may take when a database is tried.
const LOOK_UP: Duration = Duration::from_secs(3);
/// Longest part of a name that a database has, in characters.
const MAX_PART_CHARS: usize = 128;

/// What is wrong with a list of functions.
pub(super) fn functions_problem(names: &[String]) -> Option<String> {
    let wrong = listed(names.iter().filter(|name| !is_function(name)));
    let wrong = wrong.map(|names| {
        format!("{names}: no name of a function; write `name` or `schema.name`, without quotes, spaces and parentheses")
    });
    wrong.or_else(|| twice(names))
}

/// What is wrong with a list of columns.
pub(super) fn columns_problem(paths: &[String]) -> Option<String> {
    let wrong = listed(paths.iter().filter(|path| !is_column(path)));
    let wrong = wrong.map(|paths| {
        format!("{paths}: no column of a table; write `schema.table.column` or `table.column`, each column by itself and without quotes")
    });
    wrong.or_else(|| twice(paths))
}

fn is_function(name: &str) -> bool {
    let is_part = |part: &str| {
        let mut characters = part.chars();
        let inner = |one: char| one.is_alphanumeric() || one == '_' || one == '$';
        characters.next().is_some_and(|first| first.is_alphabetic() || first == '_')
            && characters.all(inner)
            && part.chars().count() <= MAX_PART_CHARS
    };
    let parts: Vec<&str> = name.split('.').collect();
    parts.len() <= 2 && parts.into_iter().all(is_part)
}

fn is_column(path: &str) -> bool {
    let is_part = |part: &str| {
        let odd = |one: char| one.is_control() || matches!(one, '"' | '`' | '[' | ']');
        !part.is_empty()
            && part != "*"
            && part.trim() == part
            && !part.contains(odd)
            && part.chars().count() <= MAX_PART_CHARS
    };
    let parts: Vec<&str> = path.split('.').collect();
    matches!(parts.len(), 2 | 3) && parts.into_iter().all(is_part)
}

/// Databases compare these names without case, and so does Pulse.
fn twice(names: &[String]) -> Option<String> {
    let mut seen = std::collections::HashSet::new();
    let repeated = listed(names.iter().filter(|name| !seen.insert(name.to_ascii_lowercase())));
    repeated.map(|names| format!("{names}: named twice; name each once, case does not count"))
}

/// The first of these names, as far as they are fit to be shown; `None` when there are none.
fn listed<'a>(names: impl Iterator<Item = &'a String>) -> Option<String> {
    const MOST: usize = 3;
    const MOST_CHARS: usize = 60;
    let names: Vec<&String> = names.collect();
    let shown = names.iter().take(MOST).map(|name| {
        let cut: String = name.chars().take(MOST_CHARS).collect();
        format!("`{}`", cut.escape_debug())
    });
    let shown = shown.collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => None,
        count if count > MOST => Some(format!("{shown} and {} more", count - MOST)),
        _ => Some(shown),
    }
}

/// Warnings about names that the database does not have. They may come later, so they are no reason to refuse.
pub(super) async fn missing(database: &Database, connection: &Connection) -> Vec<String> {
    let looked_up = tokio::time::timeout(LOOK_UP, async {
        [missing_functions(database, connection).await, missing_columns(database, connection).await]
    });
    match looked_up.await {
        Ok(found) => found.into_iter().flatten().collect(),
        Err(_elapsed) => vec![
            "whether the database has all `allowed_functions` and `excluded_columns` could not be told in time"
                .to_owned(),
        ],
    }
}

async fn missing_functions(database: &Database, connection: &Connection) -> Option<String> {
    if connection.allowed_functions.is_empty() {
        return None;
    }
    match database.missing_functions(&connection.allowed_functions).await {
        Ok(missing) => listed(missing.iter()).map(|names| {
            format!("the database has no function {names}, or its user may not call it: see `allowed_functions`")
        }),
        Err(_) => Some("whether the database has all `allowed_functions` could not be told".to_owned()),
    }
}

async fn missing_columns(database: &Database, connection: &Connection) -> Option<String> {
    if connection.excluded_columns.is_empty() {
        return None;
    }
    match database.schema().await {
        Ok(schema) => {
            listed(connection.excluded_columns.iter().filter(|path| !has_column(&schema, path))).map(|paths| {
                format!("the database has no column {paths}, or its user may not read it: see `excluded_columns`")
            })
        }
        Err(_) => Some("whether the database has all `excluded_columns` could not be told".to_owned()),
    }
}

fn has_column(schema: &Schema, path: &str) -> bool {
    schema.tables.iter().any(|table| table.named_by(path).is_some_and(|column| table.column(column).is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn functions_are_plain_names() {
        assert_eq!(functions_problem(&of(&["score", "app.score", "_f$1", "größe"])), None);
        for odd in ["", " score", "score()", "a b", "a.b.c", "a.", ".a", "1st", "\"F\"", "f;", "f\n", "*"] {
            let problem = functions_problem(&of(&["fine", odd])).unwrap();
            assert!(problem.contains("`schema.name`") && !problem.contains("fine"), "{odd:?}: {problem}");
        }
        assert!(functions_problem(&["x".repeat(129)]).is_some());
        assert!(functions_problem(&of(&["app.score", "score", "APP.Score"])).unwrap().contains("twice"));
        let many = functions_problem(&of(&["1", "2", "3", "4", "5"])).unwrap();
        assert!(many.starts_with("`1`, `2`, `3` and 2 more:"), "{many}");
    }

    #[test]
    fn columns_name_their_table() {
        assert_eq!(columns_problem(&of(&["users.email", "public.users.email", "Order Details.Unit Price"])), None);
        for odd in ["", "email", ".email", "users.", "a..b", "a.b.c.d", "users.*", "\"a\".b", "a. b", "a.b\n"] {
            let problem = columns_problem(&of(&[odd])).unwrap();
            assert!(problem.contains("`table.column`"), "{odd:?}: {problem}");
        }
        assert!(columns_problem(&of(&["users.email", "Users.EMAIL"])).unwrap().contains("twice"));
    }
}
