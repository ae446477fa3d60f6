//! Definitions and examples as one YAML document.

use serde::{Deserialize, Serialize};

use super::complaint;
use crate::domain::knowledge::{Measure, PreferredJoin, TableMeaning};
use crate::domain::{Definitions, Failure};

/// Longest document: about 256 KiB of definitions and 1 MiB of examples, as YAML.
pub const MAX_BYTES: usize = 3 << 19;

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Document {
    #[serde(skip_serializing_if = "String::is_empty")]
    notes: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tables: Vec<TableMeaning>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    measures: Vec<Measure>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    joins: Vec<PreferredJoin>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    examples: Vec<Pair>,
}

/// An example as the document holds it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Pair {
    pub(super) question: String,
    pub(super) sql: String,
}

/// Writes the document; [`read`] gives back the same.
pub(super) fn write(definitions: Definitions, examples: Vec<Pair>) -> Result<String, Failure> {
    let Definitions { notes, tables, measures, joins } = definitions;
    let document = Document { notes, tables, measures, joins, examples };
    if document == Document::default() {
        return Ok("{}\n".to_owned());
    }
    let mut options = serde_saphyr::SerializerOptions::default();
    // Lines are as long as they are: people read SQL as it was written.
    options.folded_wrap_chars = usize::MAX;
    serde_saphyr::to_string_with_options(&document, options)
        .map_err(|error| Failure::new(crate::domain::Reason::Internal, format!("YAML cannot be written: {error}")))
}

/// Reads a document; the failure names the line.
pub(super) fn read(yaml: &str) -> Result<(Definitions, Vec<Pair>), Failure> {
    if yaml.len() > MAX_BYTES {
        let message = format!("is {} bytes long; at most {MAX_BYTES} are accepted", yaml.len());
        return Err(Failure::field("yaml", message));
    }
    let document: Document = serde_saphyr::from_str(yaml).map_err(|error| {
        let said: String = complaint::of(&error).chars().take(300).collect();
        Failure::field("yaml", format!("cannot be read: {said}"))
    })?;
    let Document { notes, tables, measures, joins, examples } = document;
    Ok((Definitions { notes, tables, measures, joins }, examples))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::knowledge::{ColumnMeaning, ValueAlias};

    #[test]
    fn what_is_written_is_read_again() {
        let hard = [
            "",
            " ",
            "no",
            "1",
            "~",
            "null",
            "- x",
            "a: b",
            "x #c",
            "'",
            "\"",
            "\\n",
            "a\n",
            "a\n\n",
            "\n",
            "  lead\nx",
            "\t",
            "é\u{1}\r\n",
            "\u{feff}x\u{2028}y",
            "<<",
            "SELECT 'a'\n  FROM t -- c\n\nWHERE x = \"y\"",
            "%d",
            "@x",
            "|",
            ">",
            "{",
            "[a]",
        ];
        let long = "word  two ".repeat(60);
        for text in hard.into_iter().chain([long.as_str()]) {
            let text = || text.to_owned();
            let column = ColumnMeaning {
                column: text(),
                description: text(),
                synonyms: vec![text(), text()],
                values: vec![ValueAlias { alias: text(), value: text() }],
            };
            let table = TableMeaning {
                table: text(),
                default_filter: text(),
                columns: vec![column],
                ..TableMeaning::default()
            };
            let measure = Measure { name: text(), expression: text(), ..Measure::default() };
            let join = PreferredJoin { left: text(), right: text(), description: text() };
            let definitions =
                Definitions { notes: text(), tables: vec![table], measures: vec![measure], joins: vec![join] };
            let examples = vec![Pair { question: text(), sql: text() }];
            let yaml = write(definitions.clone(), examples.clone()).unwrap();
            assert_eq!(read(&yaml).unwrap(), (definitions, examples), "{yaml}");
        }
        assert_eq!(write(Definitions::default(), Vec::new()).unwrap(), "{}\n");
        assert_eq!(read("{}\n").unwrap(), (Definitions::default(), Vec::new()));
    }

    #[test]
    fn what_is_no_document_is_refused_with_its_line() {
        for (yaml, expected) in [
            ("notes: [1", "line 1, column 8: a text belongs here"),
            ("nope: 1", "line 1, column 1: there is no field `nope` here; there are `notes`, `tables`"),
            ("tables:\n- table: a\n  table: b\n", "line 3, column 3: `table` is given twice"),
            ("tables:\n- tabel: a\n", "line 2, column 3: there is no field `tabel` here"),
            ("measures: revenue", "line 1, column 11: a list (a line with `- ` for each) belongs here"),
            ("tables:\n- text", "line 2, column 3: a set of fields (`name: value`) belongs here"),
            ("notes:", "line 1, column 6: there is no value"),
            ("notes: a\n---\nnotes: b", "line 3, column 1: a second document begins"),
            ("notes: a: b", "line 1, column 9: a `: ` stands in a text"),
            ("notes: 'a", "line 1, column 8: a quote begins here"),
            ("notes: a\n\ttables: b", "line 1, column 8: a tab stands where spaces belong"),
            ("tables:\n- table: a\n synonyms: b", "line 3, column 2: the line is not indented like"),
            ("tables: *a", "line 1, column 9: an alias (`*name`) has no anchor"),
            ("tables: @a", "line 1, column 9: this is not YAML: unexpected character"),
        ] {
            let failure = read(yaml).unwrap_err();
            assert_eq!(failure.violations[0].field, "yaml");
            assert!(failure.message.contains(expected), "{yaml}: {failure}");
        }
        assert!(read(&" ".repeat(MAX_BYTES + 1)).is_err());
        let bomb = "a: &a [x, x]\nb: &b [*a, *a]\nnotes: *b\n";
        assert!(read(bomb).is_err());
    }
}
