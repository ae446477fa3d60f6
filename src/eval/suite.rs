//! Suites and predictions: JSON Lines.

use std::io::{BufRead, Write};

use serde::{Deserialize, Serialize};

use super::run::Error;

/// One question of a suite; other fields of its line are not read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Item {
    /// Unique in the suite.
    pub id: String,
    /// Name of the database, without `.sqlite`.
    pub db: String,
    /// What is asked.
    pub question: String,
    /// A correct statement, where there is one.
    #[serde(default)]
    pub gold_sql: Option<String>,
}

/// One answer; no SQL is an abstention.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Prediction {
    /// The question's id.
    pub id: String,
    /// The statement.
    pub sql: Option<String>,
}

/// Reads a suite; blank lines do not count.
pub(crate) fn read(input: impl BufRead) -> Result<Vec<Item>, Error> {
    let mut items = Vec::new();
    for (index, line) in input.lines().enumerate() {
        let line = line.map_err(|source| Error::Suite { line: index + 1, message: source.to_string() })?;
        if !line.trim().is_empty() {
            let item: Item = serde_json::from_str(&line)
                .map_err(|source| Error::Suite { line: index + 1, message: source.to_string() })?;
            if item.db.contains(['/', '\\']) {
                let message = "`db` is the name of a file in the folder of databases, not a path".to_owned();
                return Err(Error::Suite { line: index + 1, message });
            }
            items.push(item);
        }
    }
    Ok(items)
}

/// Writes predictions in the suite's order.
pub(crate) fn write(mut output: impl Write, predictions: &[Prediction]) -> std::io::Result<()> {
    for prediction in predictions {
        serde_json::to_writer(&mut output, prediction)?;
        output.write_all(b"\n")?;
    }
    output.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suite_is_read_and_answered_line_by_line() {
        let text = "{\"id\":\"a/1\",\"db\":\"shop\",\"question\":\"How many?\",\"gold_sql\":null}\n\n";
        let items = read(text.as_bytes()).unwrap();
        assert_eq!((items.len(), items[0].db.as_str()), (1, "shop"));
        let mut out = Vec::new();
        write(&mut out, &[Prediction { id: "a/1".to_owned(), sql: None }]).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "{\"id\":\"a/1\",\"sql\":null}\n");
    }

    #[test]
    fn a_bad_line_is_named() {
        let error = read("{\"id\":1}".as_bytes()).unwrap_err();
        assert!(error.to_string().contains("line 1"), "{error}");
        let error = read("{\"id\":\"a\",\"db\":\"../secret\",\"question\":\"?\"}".as_bytes()).unwrap_err();
        assert!(error.to_string().contains("not a path"), "{error}");
    }
}
