//! Suites and predictions: JSON Lines.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::run::Error;

/// A set of questions.
#[derive(Debug, Clone, PartialEq)]
pub struct Suite {
    /// Name of the file, without its ending.
    pub name: String,
    /// The questions, in the order of the file.
    pub items: Vec<Item>,
    /// Whether any line says what is right. A question without gold SQL has no answer then.
    pub has_gold: bool,
}

impl Suite {
    /// Where the questions of each database stand.
    pub(super) fn by_database(&self) -> BTreeMap<&str, Vec<usize>> {
        let mut by_database: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, item) in self.items.iter().enumerate() {
            by_database.entry(&item.db).or_default().push(index);
        }
        by_database
    }
}

/// One question of a suite; other fields of its line are not read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Item {
    /// Unique in the suite.
    pub id: String,
    /// Name of the database, without `.sqlite`.
    pub db: String,
    /// What is asked.
    pub question: String,
    /// A correct statement, where there is one.
    #[serde(default)]
    pub gold_sql: Option<String>,
    /// Other statements that are right as well.
    #[serde(default)]
    pub gold_alt: Option<Vec<String>>,
    /// `easy`, `medium`, `hard` or `extra`.
    #[serde(default)]
    pub difficulty: Option<String>,
    /// A hint that belongs to the question: a definition, a formula.
    #[serde(default)]
    pub evidence: Option<String>,
    /// What makes the gold doubtful: figures are told with and without such questions.
    #[serde(default)]
    pub flags: Vec<String>,
    /// Whether the second state of the database counts.
    #[serde(default = "yes")]
    pub alt: bool,
}

/// One answer; no SQL is an abstention.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Prediction {
    /// The question's id.
    pub id: String,
    /// The statement.
    pub sql: Option<String>,
}

impl Suite {
    /// Reads a suite; ids must be unique.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
        let items = read(text.as_bytes())?;
        let mut lines = HashMap::new();
        for (index, item) in items.iter().enumerate() {
            if lines.insert(item.id.as_str(), index).is_some() {
                let message = format!("the id `{}` occurs twice; give each question its own", item.id);
                return Err(Error::Suite { line: index + 1, message });
            }
        }
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Self { name, has_gold: text.contains("\"gold_sql\""), items })
    }

    /// Reads somebody's answers to the suite, in the suite's order. Empty SQL, and a question without a line, is an
    /// abstention; answers to other questions do not count.
    pub fn predictions(&self, path: &Path) -> Result<Vec<Option<String>>, Error> {
        #[derive(Deserialize)]
        struct Line {
            id: String,
            #[serde(default)]
            sql: serde_json::Value,
        }
        let file = |source| Error::File { path: path.to_owned(), source };
        let mut answers = HashMap::new();
        for (index, line) in BufReader::new(File::open(path).map_err(file)?).lines().enumerate() {
            let line = line.map_err(file)?;
            if line.trim().is_empty() {
                continue;
            }
            let Line { id, sql } = serde_json::from_str(&line)
                .map_err(|source| Error::Prediction { line: index + 1, message: source.to_string() })?;
            answers.insert(id, sql.as_str().filter(|sql| !sql.trim().is_empty()).map(str::to_owned));
        }
        Ok(self.items.iter().map(|item| answers.remove(&item.id).flatten()).collect())
    }

    /// Writes answers, given in the suite's order: JSON Lines with `id` and `sql`, null for an abstention.
    pub fn write(&self, path: &Path, answers: impl IntoIterator<Item = Option<String>>) -> Result<(), Error> {
        let file = |source| Error::File { path: path.to_owned(), source };
        let lines = self.items.iter().zip(answers).map(|(item, sql)| Prediction { id: item.id.clone(), sql });
        write(BufWriter::new(File::create(path).map_err(file)?), lines).map_err(file)
    }
}

/// Where a database of a suite lies in a folder.
pub(super) fn database(folder: &Path, db: &str) -> PathBuf {
    let path = folder.join(format!("{db}.sqlite"));
    // Opening follows no links; the folder that a person names may well be one.
    path.canonicalize().unwrap_or(path)
}

/// Reads a suite's lines; blank ones do not count.
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

/// Writes predictions, a line each.
fn write(mut output: impl Write, predictions: impl IntoIterator<Item = Prediction>) -> std::io::Result<()> {
    for prediction in predictions {
        serde_json::to_writer(&mut output, &prediction)?;
        output.write_all(b"\n")?;
    }
    output.flush()
}

fn yes() -> bool {
    true
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
        write(&mut out, [Prediction { id: "a/1".to_owned(), sql: None }]).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "{\"id\":\"a/1\",\"sql\":null}\n");
    }

    #[test]
    fn a_bad_line_is_named() {
        let error = read("{\"id\":1}".as_bytes()).unwrap_err();
        assert!(error.to_string().contains("line 1"), "{error}");
        let error = read("{\"id\":\"a\",\"db\":\"../secret\",\"question\":\"?\"}".as_bytes()).unwrap_err();
        assert!(error.to_string().contains("not a path"), "{error}");
    }

    #[test]
    fn answers_are_matched_by_id() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let line = |id: &str| format!("{{\"id\":\"{id}\",\"db\":\"shop\",\"question\":\"?\"}}\n");
        let suite = Suite::load(&at("shop.jsonl", &(line("a") + &line("b") + &line("c")))).unwrap();
        assert_eq!((suite.name.as_str(), suite.has_gold), ("shop", false));
        let answers =
            at("answers.jsonl", "{\"id\":\"c\",\"sql\":\"SELECT 1\"}\n{\"id\":\"a\",\"sql\":\"  \"}\n{\"id\":\"z\"}\n");
        assert_eq!(suite.predictions(&answers).unwrap(), [None, None, Some("SELECT 1".to_owned())]);
        let twice = Suite::load(&at("twice.jsonl", &(line("a") + &line("a")))).unwrap_err();
        assert!(twice.to_string().contains("`a` occurs twice"), "{twice}");
    }
}
