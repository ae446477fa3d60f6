//! Holds definitions and examples against a schema, the guard and the database's planner.

use std::collections::HashSet;
use std::sync::Arc;

use futures::future::try_join_all;

use crate::domain::evidence::{Evidence, GuardVerdict, NameKind, PlannerVerdict, UnknownName};
use crate::domain::knowledge::{
    Alias, ColumnMeaning, DefaultFilter, Measure, NamedMeasure, NotFound, Piece, Synonym, TableMeaning,
};
use crate::domain::outputs::ComposerOutput;
use crate::domain::{
    ColumnPath, Connection, DatabaseKind, Definitions, Facts, Failure, FieldViolation, ForeignKey, Formula, Meaning,
    Principal, Schema, Source, SqlError, Table, TablePath,
};
use crate::queries;

/// Statements that the planner is asked about at the same time.
const AT_ONCE: usize = 4;
/// How alike (0 to 1) a name must be to be called close.
const CLOSE: f64 = 0.7;

/// What of definitions holds.
#[derive(Debug, Clone)]
pub(super) struct Checked {
    /// The schema with what people say of its tables and columns as comments.
    pub(super) schema: Arc<Schema>,
    /// What is defined.
    pub(super) meaning: Meaning,
    /// What does not hold, by path.
    pub(super) problems: Vec<FieldViolation>,
}

/// A database to hold things against.
pub(super) struct Checker<'a> {
    queries: &'a queries::Service,
    who: &'a Principal,
    source: Source,
    /// The schema without the columns that are kept from engines.
    facts: Facts,
    excluded: &'a [String],
}

impl<'a> Checker<'a> {
    pub(super) fn new(
        queries: &'a queries::Service,
        who: &'a Principal,
        connection: &'a Connection,
        schema: Arc<Schema>,
    ) -> Self {
        let facts = Facts::new(schema, Arc::default(), jiff::civil::Date::default());
        Self { queries, who, source: Source::Connection(connection.id), facts, excluded: &connection.excluded_columns }
    }

    /// Looks every name up and, unless the expressions were `accepted` on this very schema before, asks the planner about
    /// them. The failure is a database that cannot be asked.
    pub(super) async fn definitions(&self, definitions: &Definitions, accepted: bool) -> Result<Checked, Failure> {
        let mut found = Lookup::new(&self.facts.schema);
        found.all(definitions);
        let Lookup { mut schema, mut meaning, mut problems, formulas, .. } = found;
        let statements: Vec<&str> = formulas.iter().map(|formula| formula.statement.as_str()).collect();
        let verdicts = if accepted { vec![Ok(()); statements.len()] } else { self.statements(&statements).await? };
        for (Candidate { field, kind, .. }, verdict) in formulas.into_iter().zip(verdicts) {
            match (verdict, kind) {
                (Err(description), _) => problems.push(FieldViolation { field, description }),
                (Ok(()), Kind::Filter(filter)) => meaning.filters.push(filter),
                (Ok(()), Kind::Measure(measure)) => meaning.measures.push(measure),
            }
        }
        meaning.notes.clone_from(&definitions.notes);
        problems.sort_by(|left, right| left.field.cmp(&right.field));
        let schema = schema.take().map_or_else(|| self.facts.schema.clone(), Arc::new);
        Ok(Checked { schema, meaning, problems })
    }

    /// Whether a statement that reads holds, or why not. The failure is a database that cannot be asked.
    pub(super) async fn statement(&self, sql: &str) -> Result<Result<(), String>, Failure> {
        let proposal = ComposerOutput {
            sql: sql.to_owned(),
            dialect: self.facts.schema.dialect,
            parameters: Vec::new(),
            explanation: String::new(),
            assumptions: Vec::new(),
            confidence: 1.0,
        };
        let evidence = self.queries.evidence(self.who, &self.source, &self.facts, &proposal).await?;
        Ok(self.verdict(&evidence))
    }

    /// The same of several, in their order.
    pub(super) async fn statements(&self, sql: &[&str]) -> Result<Vec<Result<(), String>>, Failure> {
        let mut verdicts = Vec::with_capacity(sql.len());
        for some in sql.chunks(AT_ONCE) {
            verdicts.extend(try_join_all(some.iter().map(|sql| self.statement(sql))).await?);
        }
        Ok(verdicts)
    }

    fn verdict(&self, evidence: &Evidence) -> Result<(), String> {
        match &evidence.guard {
            GuardVerdict::Allowed => {}
            GuardVerdict::NotUnderstood(error) => return Err(format!("is not understood: {}", said(error))),
            GuardVerdict::NotAllowed { error, .. } => return Err(format!("is not allowed: {}", said(error))),
        }
        let kept = evidence.unknown_names.iter().find(|name| self.is_excluded(name));
        if let Some(name) = kept {
            return Err(format!("reads `{}`, a column that this connection keeps from engines", name.name));
        }
        let PlannerVerdict::Refused(error) = &evidence.planner else { return Ok(()) };
        Err(match evidence.unknown_names.first() {
            Some(UnknownName { name, kind, nearest, .. }) => {
                let what = if *kind == NameKind::Table { "table" } else { "column" };
                format!("there is no {what} `{name}`{}", perhaps(nearest))
            }
            None => format!("the database refuses it: {}", said(error)),
        })
    }

    fn is_excluded(&self, name: &UnknownName) -> bool {
        let last = |path: &str| path.rsplit('.').next().unwrap_or(path).to_ascii_lowercase();
        name.kind == NameKind::Column && self.excluded.iter().any(|path| last(path) == last(&name.name))
    }
}

fn said(error: &SqlError) -> String {
    if error.hint.is_empty() { error.message.clone() } else { format!("{} ({})", error.message, error.hint) }
}

/// An expression whose statement the planner is yet to judge.
struct Candidate {
    field: String,
    statement: String,
    kind: Kind,
}

enum Kind {
    Filter(DefaultFilter),
    Measure(NamedMeasure),
}

/// Looks names up.
struct Lookup<'a> {
    known: &'a Schema,
    /// The schema with descriptions; `None` while there are none.
    schema: Option<Schema>,
    meaning: Meaning,
    problems: Vec<FieldViolation>,
    formulas: Vec<Candidate>,
    described: HashSet<(String, String, String)>,
}

impl<'a> Lookup<'a> {
    fn new(known: &'a Schema) -> Self {
        Self {
            known,
            schema: None,
            meaning: Meaning::default(),
            problems: Vec::new(),
            formulas: Vec::new(),
            described: HashSet::new(),
        }
    }

    fn all(&mut self, definitions: &Definitions) {
        for (place, meaning) in definitions.tables.iter().enumerate() {
            self.table(&format!("tables[{place}]"), meaning);
        }
        for (place, measure) in definitions.measures.iter().enumerate() {
            self.measure(&format!("measures[{place}]"), measure);
        }
        for (place, join) in definitions.joins.iter().enumerate() {
            let left = self.column_named(&format!("joins[{place}].left"), &join.left);
            let right = self.column_named(&format!("joins[{place}].right"), &join.right);
            let (Some(left), Some(right)) = (left, right) else { continue };
            if (&left.schema, &left.table) == (&right.schema, &right.table) {
                self.bad(
                    &format!("joins[{place}].right"),
                    "is a column of the same table; a join is between two tables",
                );
                continue;
            }
            self.declare(&left, &right);
            self.meaning.joins.push((left, right));
        }
    }

    fn bad(&mut self, field: &str, description: impl Into<String>) {
        self.problems.push(FieldViolation { field: field.to_owned(), description: description.into() });
    }

    fn table(&mut self, path: &str, meaning: &TableMeaning) {
        let Some(table) = self.table_named(&format!("{path}.table"), &meaning.table) else { return };
        if !self.described.insert((table.schema.clone(), table.name.clone(), String::new())) {
            self.bad(&format!("{path}.table"), format!("`{}` is described twice", table.name));
            return;
        }
        let named = TablePath { schema: table.schema.clone(), table: table.name.clone() };
        if !meaning.description.trim().is_empty() {
            self.described_table(&named).comment = Some(meaning.description.trim().to_owned());
        }
        let synonym = |words: &String| Synonym { words: words.clone(), table: named.clone(), column: None };
        self.meaning.synonyms.extend(meaning.synonyms.iter().map(synonym));
        for (place, column) in meaning.columns.iter().enumerate() {
            self.column(&format!("{path}.columns[{place}]"), table, &named, column);
        }
        if meaning.default_filter.trim().is_empty() {
            return;
        }
        let field = format!("{path}.default_filter");
        let Some(formula) = self.formula(&field, table, &meaning.default_filter) else { return };
        if formula.aggregates {
            self.bad(&field, "aggregates; a default filter is a condition on single rows");
            return;
        }
        let statement = format!("SELECT 1 FROM {} WHERE ({})", self.sql_name(table), meaning.default_filter.trim());
        let kind = Kind::Filter(DefaultFilter { table: named, formula });
        self.formulas.push(Candidate { field, statement, kind });
    }

    fn column(&mut self, path: &str, table: &Table, named: &TablePath, meaning: &ColumnMeaning) {
        let ColumnMeaning { column, description, synonyms, values } = meaning;
        let field = format!("{path}.column");
        let Some(known) = table.column(column) else {
            let near = nearest(column, table.columns.iter().map(|column| column.name.as_str()));
            self.bad(&field, format!("table `{}` has no column `{column}`{}", table.name, perhaps(&near)));
            return;
        };
        let name = known.name.clone();
        if !self.described.insert((named.schema.clone(), named.table.clone(), name.clone())) {
            self.bad(&field, format!("`{name}` is described twice"));
            return;
        }
        if !description.trim().is_empty() {
            let described = self.described_table(named).columns.iter_mut().find(|column| column.name == name);
            if let Some(column) = described {
                column.comment = Some(description.trim().to_owned());
            }
        }
        let synonym =
            |words: &String| Synonym { words: words.clone(), table: named.clone(), column: Some(name.clone()) };
        self.meaning.synonyms.extend(synonyms.iter().map(synonym));
        let column = || ColumnPath { schema: named.schema.clone(), table: named.table.clone(), column: name.clone() };
        let aliases =
            values.iter().map(|one| Alias { alias: one.alias.clone(), column: column(), value: one.value.clone() });
        self.meaning.aliases.extend(aliases);
    }

    fn measure(&mut self, path: &str, measure: &Measure) {
        let Measure { name, synonyms, table, expression, description } = measure;
        let Some(table) = self.table_named(&format!("{path}.table"), table) else { return };
        let field = format!("{path}.expression");
        let Some(formula) = self.formula(&field, table, expression) else { return };
        if !formula.aggregates {
            self.bad(
                &field,
                format!("does not aggregate; write what rows are made into, such as sum({})", expression.trim()),
            );
            return;
        }
        let statement = format!("SELECT ({}) FROM {}", expression.trim(), self.sql_name(table));
        let kind = Kind::Measure(NamedMeasure {
            name: name.trim().to_owned(),
            synonyms: synonyms.clone(),
            table: TablePath { schema: table.schema.clone(), table: table.name.clone() },
            formula,
            description: description.trim().to_owned(),
        });
        self.formulas.push(Candidate { field, statement, kind });
    }

    /// The expression with its columns looked up in the table.
    fn formula(&mut self, field: &str, table: &Table, text: &str) -> Option<Formula> {
        let formula = match queries::formula(text.trim(), self.known.dialect) {
            Ok(formula) => formula,
            Err(error) => {
                self.bad(field, format!("is no expression that can be used: {}", error.message));
                return None;
            }
        };
        let Formula { pieces, aggregates } = formula;
        let pieces = pieces.into_iter().map(|piece| match piece {
            Piece::Column { name, qualifier, written } => {
                let of_table = qualifier.as_deref().is_none_or(|qualifier| {
                    qualifier.eq_ignore_ascii_case(&table.name)
                        || qualifier.eq_ignore_ascii_case(&format!("{}.{}", table.schema, table.name))
                });
                match table.column(&name).filter(|_| of_table) {
                    Some(column) => Ok(Piece::Column { name: column.name.clone(), qualifier: None, written }),
                    // A word of SQL stands like a column; the planner knows those.
                    None if qualifier.is_none() && !written.starts_with(['"', '`', '[']) => Ok(Piece::Text(written)),
                    None => Err(written),
                }
            }
            text @ Piece::Text(_) => Ok(text),
        });
        match pieces.collect::<Result<Vec<_>, String>>() {
            Ok(pieces) => Some(Formula { pieces, aggregates }),
            Err(written) => {
                let near = nearest(&written, table.columns.iter().map(|column| column.name.as_str()));
                self.bad(field, format!("table `{}` has no column `{written}`{}", table.name, perhaps(&near)));
                None
            }
        }
    }

    fn table_named(&mut self, field: &str, path: &str) -> Option<&'a Table> {
        let known: &'a Schema = self.known;
        match known.table_named(path.trim()) {
            Ok(table) => Some(table),
            Err(_) if path.trim().is_empty() => None,
            Err(NotFound::Missing) => {
                let near = nearest(path, known.tables.iter().map(|table| table.name.as_str()));
                self.bad(field, format!("there is no table `{path}`{}", perhaps(&near)));
                None
            }
            Err(NotFound::Ambiguous) => {
                self.bad(field, format!("several schemas have a table `{path}`; write schema.table"));
                None
            }
        }
    }

    fn column_named(&mut self, field: &str, path: &str) -> Option<ColumnPath> {
        match self.known.column_named(path.trim()) {
            Ok(column) => Some(column),
            Err(_) if path.trim().is_empty() => None,
            Err(NotFound::Missing) => {
                let paths: Vec<String> = self
                    .known
                    .tables
                    .iter()
                    .flat_map(|table| table.columns.iter().map(|column| format!("{}.{}", table.name, column.name)))
                    .collect();
                let near = nearest(path, paths.iter().map(String::as_str));
                self.bad(field, format!("there is no column `{path}`{}; write table.column", perhaps(&near)));
                None
            }
            Err(NotFound::Ambiguous) => {
                self.bad(field, format!("several schemas have a column `{path}`; write schema.table.column"));
                None
            }
        }
    }

    /// A join that the schema does not know is as good as a foreign key from now on.
    fn declare(&mut self, left: &ColumnPath, right: &ColumnPath) {
        let path = TablePath { schema: left.schema.clone(), table: left.table.clone() };
        let key = ForeignKey {
            name: None,
            columns: vec![left.column.clone()],
            referenced_schema: right.schema.clone(),
            referenced_table: right.table.clone(),
            referenced_columns: vec![right.column.clone()],
        };
        let known = |table: &&Table| path.is(table);
        let same = |known: &ForeignKey| ForeignKey { name: None, ..known.clone() } == key;
        let declared = self.known.tables.iter().find(known).is_some_and(|table| table.foreign_keys.iter().any(same));
        if !declared {
            self.described_table(&path).foreign_keys.push(key);
        }
    }

    /// The table in the schema that is described. It is there: it was looked up in the schema that this one is a copy of.
    fn described_table(&mut self, path: &TablePath) -> &mut Table {
        let schema = self.schema.get_or_insert_with(|| self.known.clone());
        let place = schema.tables.iter().position(|table| path.is(table)).unwrap_or_default();
        &mut schema.tables[place]
    }

    fn sql_name(&self, table: &Table) -> String {
        let quote = if self.known.dialect == DatabaseKind::Mysql { '`' } else { '"' };
        let quoted = |name: &str| format!("{quote}{}{quote}", name.replace(quote, &format!("{quote}{quote}")));
        format!("{}.{}", quoted(&table.schema), quoted(&table.name))
    }
}

fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Vec<String> {
    let name = name.to_lowercase();
    let likeness = |other: &str| strsim::normalized_damerau_levenshtein(&name, &other.to_lowercase());
    let best = candidates.map(|other| (likeness(other), other)).max_by(|left, right| left.0.total_cmp(&right.0));
    best.filter(|(likeness, _)| *likeness >= CLOSE).map(|(_, other)| other.to_owned()).into_iter().collect()
}

fn perhaps(nearest: &[String]) -> String {
    if nearest.is_empty() { String::new() } else { format!("; perhaps `{}`", nearest.join("` or `")) }
}
