//! Suites and predictions: JSON Lines.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

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
    /// The file.
    pub path: PathBuf,
    /// What somebody should know of the file although it can be worked with.
    pub warnings: Vec<String>,
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
    /// Line of the file, counted from 1.
    #[serde(skip)]
    pub line: usize,
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
    /// The kind of question that the suite gives it.
    #[serde(default)]
    pub kind: Option<String>,
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

/// Somebody's answers to a suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Predictions {
    /// In the suite's order; `None` is an abstention.
    pub answers: Vec<Option<String>>,
    /// What somebody should know of the file although it can be worked with.
    pub warnings: Vec<String>,
}

impl Item {
    /// The gold statements, each with the field it stands in.
    pub(super) fn gold(&self) -> impl Iterator<Item = (String, &str)> {
        let others = self.gold_alt.iter().flatten().enumerate();
        let others = others.map(|(place, gold)| (format!("gold_alt[{place}]"), gold.as_str()));
        let first = self.gold_sql.iter().map(|gold| ("gold_sql".to_owned(), gold.as_str()));
        first.chain(others.filter(|_| self.gold_sql.is_some()))
    }

    /// What keeps it from being asked or scored.
    fn problem(&self) -> Option<String> {
        let empty = |text: &str| text.trim().is_empty();
        let required = [("id", &self.id), ("db", &self.db), ("question", &self.question)];
        if let Some((field, _)) = required.into_iter().find(|(_, text)| empty(text)) {
            return Some(format!("`{field}` is empty; give it a value, or leave the line out"));
        }
        if self.db.contains(['/', '\\']) {
            return Some("`db` is the name of a database, not a path".to_owned());
        }
        let (field, _) = self.gold().find(|(_, gold)| empty(gold))?;
        Some(format!(
            "`{field}` is empty; write a statement, or `\"gold_sql\": null` for a question that has no answer"
        ))
    }
}

impl Suite {
    /// Reads a suite; ids must be unique.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let Read { items, without_gold } = read(path)?;
        let has_gold = without_gold.len() < items.len();
        let mut warnings = Vec::new();
        if let (Some(first), true) = (without_gold.first(), has_gold) {
            warnings.push(format!(
                "{}: {} lines have no `gold_sql`, line {first} is the first; they count as questions without an answer: write \
                 `\"gold_sql\": null` where that is meant",
                path.display(),
                without_gold.len()
            ));
        }
        Ok(Self { name, items, has_gold, path: path.to_owned(), warnings })
    }

    /// Reads somebody's answers to the suite. A question without a line, or with empty SQL, is an abstention; a line for
    /// another question does not count.
    pub fn predictions(&self, path: &Path) -> Result<Predictions, Error> {
        let mut known: HashMap<&str, usize> = HashMap::new();
        known.extend(self.items.iter().enumerate().map(|(index, item)| (item.id.as_str(), index)));
        let mut answers = vec![None; self.items.len()];
        let (mut lines, mut unknown, mut empty) = (HashMap::new(), Vec::new(), Vec::new());
        for (line, given) in json_lines(path)? {
            let problem = |message: String| Error::Line { path: path.to_owned(), line, message };
            let id = given
                .get("id")
                .and_then(Value::as_str)
                .ok_or_else(|| problem("`id` is missing or no text; a line is {\"id\": …, \"sql\": …}".to_owned()))?;
            if let Some(first) = lines.insert(id.to_owned(), line) {
                return Err(problem(format!("`id` is `{id}`, which line {first} answers already; leave one of them")));
            }
            let sql = match given.get("sql") {
                Some(Value::Null) => None,
                Some(Value::String(sql)) if !sql.trim().is_empty() => Some(sql.clone()),
                None | Some(Value::String(_)) => {
                    empty.push(format!("line {line}"));
                    None
                }
                Some(_) => {
                    return Err(problem("`sql` is neither text nor null; write the statement as text".to_owned()));
                }
            };
            match known.get(id) {
                Some(index) => answers[*index] = sql,
                None => unknown.push(format!("`{id}` (line {line})")),
            }
        }
        let missing = self.items.iter().filter(|item| !lines.contains_key(&item.id));
        let missing: Vec<String> = missing.map(|item| format!("`{}`", item.id)).collect();
        if !lines.is_empty() && missing.len() == self.items.len() {
            let message =
                format!("no line has the `id` of a question of {}; give each its question's", self.path.display());
            return Err(Error::Line { path: path.to_owned(), line: 1, message });
        }
        let warnings = [
            (unknown, "lines are for no question of the suite and do not count; mend their `id`"),
            (empty, "lines have an empty `sql`, or none, and count as abstentions; write null where that is meant"),
            (missing, "questions have no line and count as abstentions"),
        ];
        let warnings = warnings.into_iter().filter(|(named, _)| !named.is_empty());
        let warnings =
            warnings.map(|(named, what)| format!("{}: {} {what}: {}", path.display(), named.len(), few(&named)));
        Ok(Predictions { answers, warnings: warnings.collect() })
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

/// The lines of a suite.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) items: Vec<Item>,
    /// Numbers of the lines that have no field `gold_sql`, not even null.
    pub(super) without_gold: Vec<usize>,
}

/// How many databases a folder of second states lacks of those whose questions are to be right there, and how many those
/// are.
#[must_use]
pub fn without_second_state(suite: &Suite, alt: &Path) -> (usize, usize) {
    let demanding = suite.items.iter().filter(|item| item.alt && item.gold_sql.is_some());
    let names: BTreeSet<&str> = demanding.map(|item| item.db.as_str()).collect();
    (names.iter().filter(|db| !database(alt, db).exists()).count(), names.len())
}

/// Reads a suite's lines, of which there must be one at least; ids must be unique.
pub(super) fn read(path: &Path) -> Result<Read, Error> {
    let (mut items, mut without_gold, mut lines) = (Vec::<Item>::new(), Vec::new(), HashMap::new());
    for (line, given) in json_lines(path)? {
        let problem = |message: String| Error::Line { path: path.to_owned(), line, message };
        if given.get("gold_sql").is_none() {
            without_gold.push(line);
        }
        let mut item: Item = serde_json::from_value(given).map_err(|source| {
            problem(format!("{source}; a question is {{\"id\": …, \"db\": …, \"question\": …, \"gold_sql\": …}}"))
        })?;
        item.line = line;
        if let Some(message) = item.problem() {
            return Err(problem(message));
        }
        if let Some(first) = lines.insert(item.id.clone(), line) {
            let message = format!("`id` is `{}`, which line {first} has already; give each question its own", item.id);
            return Err(problem(message));
        }
        items.push(item);
    }
    if items.is_empty() {
        let message = "the suite has no question; write one a line: {\"id\": …, \"db\": …, \"question\": …}".to_owned();
        return Err(Error::Line { path: path.to_owned(), line: 1, message });
    }
    Ok(Read { items, without_gold })
}

/// The lines of a file with their numbers, counted from 1; blank ones do not count, nor does a byte order mark.
fn json_lines(path: &Path) -> Result<Vec<(usize, Value)>, Error> {
    let text = fs::read_to_string(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
    let numbered =
        text.strip_prefix('\u{feff}').unwrap_or(&text).lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let parse = |(index, line)| {
        let problem = |source: serde_json::Error| Error::Line {
            path: path.to_owned(),
            line: index + 1,
            message: format!("not one JSON object: {source}"),
        };
        Ok((index + 1, serde_json::from_str(line).map_err(problem)?))
    };
    numbered.map(parse).collect()
}

/// The first of many names.
fn few(names: &[String]) -> String {
    const TOLD: usize = 5;
    let told = names[..names.len().min(TOLD)].join(", ");
    if names.len() > TOLD { format!("{told} and {} more", names.len() - TOLD) } else { told }
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

    struct Files(tempfile::TempDir);

    impl Files {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn at(&self, name: &str, text: &str) -> PathBuf {
            let path = self.0.path().join(name);
            fs::write(&path, text).unwrap();
            path
        }
    }

    fn line(id: &str) -> String {
        format!("{{\"id\":\"{id}\",\"db\":\"shop\",\"question\":\"?\"}}\n")
    }

    #[test]
    fn a_suite_is_read_and_answered_line_by_line() {
        let files = Files::new();
        let text = "\n{\"id\":\"a/1\",\"db\":\"shop\",\"question\":\"How many?\",\"gold_sql\":null}\n\n";
        let suite = Suite::load(&files.at("shop.jsonl", text)).unwrap();
        assert_eq!((suite.name.as_str(), suite.has_gold, suite.warnings.len()), ("shop", true, 0));
        assert_eq!((suite.items.len(), suite.items[0].db.as_str(), suite.items[0].line), (1, "shop", 2));
        let out = files.at("out.jsonl", "");
        suite.write(&out, [None]).unwrap();
        assert_eq!(fs::read_to_string(&out).unwrap(), "{\"id\":\"a/1\",\"sql\":null}\n");
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_line() {
        let files = Files::new();
        let suite = Suite::load(&files.at("shop.jsonl", &format!("\u{feff}{}", line("a")))).unwrap();
        assert_eq!((suite.items[0].id.as_str(), suite.items[0].line), ("a", 1));
        let answers = files.at("answers.jsonl", "\u{feff}{\"id\":\"a\",\"sql\":\"SELECT 1\"}\n");
        assert_eq!(suite.predictions(&answers).unwrap().answers, [Some("SELECT 1".to_owned())]);
    }

    #[test]
    fn a_suite_without_questions_is_none() {
        let files = Files::new();
        for text in ["", "\n \n", "\u{feff}"] {
            let error = Suite::load(&files.at("shop.jsonl", text)).unwrap_err().to_string();
            assert!(error.contains("shop.jsonl") && error.contains("has no question"), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_bad_line_is_named_with_its_field() {
        let files = Files::new();
        let good = line("a");
        for (bad, said) in [
            ("{\"id\":1}", "line 3: invalid type"),
            ("{\"id\":\"b\",\"db\":\"shop\"}", "line 3: missing field `question`"),
            ("[", "line 3: not one JSON object"),
            ("{\"id\":\"\",\"db\":\"shop\",\"question\":\"?\"}", "line 3: `id` is empty"),
            ("{\"id\":\"b\",\"db\":\" \",\"question\":\"?\"}", "line 3: `db` is empty"),
            ("{\"id\":\"b\",\"db\":\"shop\",\"question\":\"\"}", "line 3: `question` is empty"),
            ("{\"id\":\"b\",\"db\":\"shop\",\"question\":\"?\",\"gold_sql\":\"\"}", "line 3: `gold_sql` is empty"),
            (
                "{\"id\":\"b\",\"db\":\"shop\",\"question\":\"?\",\"gold_sql\":\"SELECT 1\",\"gold_alt\":[\" \"]}",
                "line 3: `gold_alt[0]` is empty",
            ),
            (
                "{\"id\":\"b\",\"db\":\"../secret\",\"question\":\"?\"}",
                "line 3: `db` is the name of a database, not a path",
            ),
            (good.trim(), "line 3: `id` is `a`, which line 1 has already"),
        ] {
            let error = Suite::load(&files.at("shop.jsonl", &format!("{good}\n{bad}\n"))).unwrap_err().to_string();
            assert!(error.contains("shop.jsonl") && error.contains(said), "{bad}: {error}");
        }
    }

    #[test]
    fn gold_that_was_forgotten_is_told_from_a_question_without_an_answer() {
        let files = Files::new();
        let gold = line("a").replace('}', ",\"gold_sql\":null}");
        let suite = Suite::load(&files.at("shop.jsonl", &(gold + &line("b")))).unwrap();
        assert!(suite.has_gold && suite.warnings[0].contains("1 lines have no `gold_sql`, line 2"), "{suite:?}");
        let suite = Suite::load(&files.at("shop.jsonl", &line("about gold_sql"))).unwrap();
        assert!(!suite.has_gold && suite.warnings.is_empty(), "{suite:?}");
    }

    #[test]
    fn answers_are_matched_by_id() {
        let files = Files::new();
        let suite = Suite::load(&files.at("shop.jsonl", &(line("a") + &line("b") + &line("c")))).unwrap();
        let read = |text: &str| suite.predictions(&files.at("answers.jsonl", text));
        let answers =
            "{\"id\":\"c\",\"sql\":\"SELECT 1\"}\n\n{\"id\":\"a\",\"sql\":\"  \"}\n{\"id\":\"z\",\"sql\":null}\n";
        let Predictions { answers, warnings } = read(answers).unwrap();
        assert_eq!(answers, [None, None, Some("SELECT 1".to_owned())]);
        let said = ["1 lines are for no question", "1 lines have an empty `sql`", "1 questions have no line"];
        let named = ["`z` (line 4)", "line 3", "`b`"];
        assert_eq!(warnings.len(), 3);
        for ((warning, said), named) in warnings.iter().zip(said).zip(named) {
            assert!(
                warning.contains(said) && warning.ends_with(named) && warning.contains("answers.jsonl"),
                "{warning}"
            );
        }
        let all = "{\"id\":\"a\",\"sql\":null}\n{\"id\":\"b\",\"sql\":null}\n{\"id\":\"c\",\"sql\":null}";
        assert_eq!(read(all).unwrap(), Predictions { answers: vec![None; 3], warnings: Vec::new() });
        for (text, said) in [
            ("{\"id\":\"a\",\"sql\":null}\n{\"id\":\"a\",\"sql\":null}", "line 2: `id` is `a`, which line 1 answers"),
            ("{\"id\":\"a\",\"sql\":1}", "line 1: `sql` is neither text nor null"),
            ("{\"sql\":null}", "line 1: `id` is missing"),
            ("{\"id\":\"z\",\"sql\":null}", "no line has the `id` of a question"),
            ("SELECT 1", "line 1: not one JSON object"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains("answers.jsonl") && error.contains(said), "{text}: {error}");
        }
    }
}
