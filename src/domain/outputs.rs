//! What each step of a workflow produces: typed, serialisable, final once stored.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::connection::DatabaseKind;
use super::failure::{Failure, Reason, SqlError};
use super::schema::{ColumnPath, TablePath};
use super::value::{ResultColumn, Row, Value};

/// The output of one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepOutput {
    /// Of `load_schema`.
    Schema(SchemaOutput),
    /// Of `planner`.
    Planner(PlannerOutput),
    /// Of `mapper`.
    Mapper(MapperOutput),
    /// Of `composer`.
    Composer(ComposerOutput),
    /// Of `validator`.
    Validator(ValidatorOutput),
    /// Of `execution`.
    Execution(ExecutionOutput),
    /// Of an agent that was added without a message of its own.
    Other(serde_json::Map<String, serde_json::Value>),
}

/// What was loaded: the schema itself is read again when needed, it is not part of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaOutput {
    /// Tables and views.
    pub table_count: u32,
    /// Columns of all of them.
    pub column_count: u32,
    /// Foreign keys of all of them.
    pub foreign_key_count: u32,
    /// Columns whose distinct values were indexed.
    pub indexed_column_count: u32,
    /// Fingerprint of the schema.
    pub fingerprint: String,
    /// What statements are written in.
    pub dialect: DatabaseKind,
}

/// What the question asks for, in the question's own words.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct PlannerOutput {
    /// One sentence: what the caller wants to know.
    pub intent: String,
    /// Things the question talks about.
    pub entities: Vec<Entity>,
    /// Conditions.
    pub filters: Vec<PlannedFilter>,
    /// Computations.
    pub aggregations: Vec<PlannedAggregation>,
    /// What results are grouped by.
    pub group_by: Vec<String>,
    /// What results are sorted by.
    pub order_by: Vec<PlannedOrder>,
    /// Rows wanted, such as 5 for "top 5".
    pub limit: Option<u64>,
    /// 0 to 1.
    pub confidence: f64,
    /// Set when the question has several readings.
    pub clarification: Option<Clarification>,
    /// The question as understood, completed from what went before; empty when nothing did.
    #[serde(default)]
    pub restatement: String,
    /// How hard it is to put into SQL, where the planner says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difficulty: Option<Difficulty>,
}

/// How hard a question is to put into SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Difficulty {
    /// One way to write it.
    Easy,
    /// Easily written wrong.
    Hard,
}

/// A thing a question names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entity {
    /// As written in the question.
    pub name: String,
    /// `table`, `column`, `value`, `measure` or `unknown`.
    pub kind: String,
}

/// A condition as the question words it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedFilter {
    /// The attribute as worded.
    pub column: String,
    /// How it compares.
    pub operator: Operator,
    /// What it is compared with; two for BETWEEN, several for IN.
    pub values: Vec<Value>,
}

/// Comparison operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operator {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `BETWEEN`, both ends included.
    Between,
    /// `IN`
    In,
    /// `NOT IN`
    NotIn,
    /// `LIKE`
    Like,
    /// `NOT LIKE`
    NotLike,
    /// `IS NULL`
    IsNull,
    /// `IS NOT NULL`
    IsNotNull,
}

/// A computation as the question words it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedAggregation {
    /// Which one.
    pub function: AggregateFunction,
    /// The attribute as worded; empty for counting rows.
    pub column: String,
}

/// Aggregate functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AggregateFunction {
    /// Number of rows.
    Count,
    /// Number of different values.
    CountDistinct,
    /// Sum.
    Sum,
    /// Mean.
    Average,
    /// Smallest.
    Minimum,
    /// Largest.
    Maximum,
}

/// A sort key as the question words it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedOrder {
    /// The attribute or measure as worded.
    pub column: String,
    /// Largest first.
    pub descending: bool,
}

/// A question back to the caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clarification {
    /// What is unclear.
    pub question: String,
    /// Readings to choose from.
    pub options: Vec<String>,
}

impl Clarification {
    /// Why a workflow ends that may not ask.
    #[must_use]
    pub fn failure(&self) -> Failure {
        let Self { question, options } = self;
        let told = if options.is_empty() { String::new() } else { format!(" ({})", options.join("; ")) };
        let message = format!("The question has several readings. {question}{told} Ask again and say which.");
        let failure = Failure::new(Reason::QuestionAmbiguous, message).with("readings", options.len());
        failure.with("question", question).with("options", options.join("; "))
    }
}

/// A statement that waits for a person's word.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Approval {
    /// The statement that would run; it passed every check.
    pub sql: String,
    /// Values of its placeholders.
    pub parameters: Vec<Value>,
    /// What it computes, in plain language.
    pub explanation: String,
    /// What it reads, and what the database's planner expects of it.
    pub estimate: Estimate,
    /// What a person wrote instead and could not be run.
    pub refused: Option<RefusedEdit>,
}

/// What a statement reads, and what the database's planner expects of it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Estimate {
    /// Tables and views, in order of their names.
    pub tables: Vec<TablePath>,
    /// Rows; `None` when the planner does not say.
    pub row_count: Option<u64>,
    /// Cost in the database's own unit; `None` when the planner does not say.
    pub cost: Option<f64>,
}

/// A statement that a person wrote and that could not be run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RefusedEdit {
    /// The statement.
    pub sql: String,
    /// Why.
    pub failure: Failure,
}

/// Where the plan's words live in the schema.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct MapperOutput {
    /// Entities tied to tables or columns.
    pub entities: Vec<MappedEntity>,
    /// Conditions on real columns.
    pub filters: Vec<MappedFilter>,
    /// Computations on real columns.
    pub aggregations: Vec<MappedAggregation>,
    /// Grouping columns.
    pub group_by: Vec<ColumnPath>,
    /// Sort keys.
    pub order_by: Vec<MappedOrder>,
    /// Joins that connect the tables, in order.
    pub join_path: Vec<Join>,
    /// Words that were found in the data.
    pub matched_values: Vec<MatchedValue>,
    /// What was taken from the connection's knowledge, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub definitions: Vec<String>,
}

/// An entity and its place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MappedEntity {
    /// As written in the question.
    pub name: String,
    /// Namespace.
    pub schema: String,
    /// Table.
    pub table: String,
    /// Column; `None` when the entity is the table itself.
    pub column: Option<String>,
    /// 0 to 1.
    pub score: f64,
}

/// A condition on a real column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MappedFilter {
    /// The column.
    pub column: ColumnPath,
    /// How it compares.
    pub operator: Operator,
    /// As spelled in the data.
    pub values: Vec<Value>,
    /// 0 to 1.
    pub score: f64,
}

/// A computation on a real column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MappedAggregation {
    /// Which one.
    pub function: AggregateFunction,
    /// The column; `None` for counting rows.
    pub column: Option<ColumnPath>,
    /// 0 to 1.
    pub score: f64,
}

/// A sort key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MappedOrder {
    /// A column path or a measure such as `count(*)`, as text.
    pub expression: String,
    /// Largest first.
    pub descending: bool,
}

/// One join: `left` = `right`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    /// Referencing side.
    pub left: ColumnPath,
    /// Referenced side.
    pub right: ColumnPath,
}

/// A word of the question that is a value in the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MatchedValue {
    /// As written in the question.
    pub text: String,
    /// Where it was found.
    pub column: ColumnPath,
    /// As spelled in the data.
    pub value: String,
    /// 0 to 1; 1 is an exact match.
    pub score: f64,
}

/// A proposed statement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComposerOutput {
    /// One read-only statement.
    pub sql: String,
    /// The dialect it is written in.
    pub dialect: DatabaseKind,
    /// Values bound to its placeholders, in order.
    pub parameters: Vec<Value>,
    /// What the statement computes, in plain language.
    pub explanation: String,
    /// What was assumed where the question left it open.
    pub assumptions: Vec<String>,
    /// 0 to 1.
    pub confidence: f64,
}

/// The verdict on a proposed statement.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ValidatorOutput {
    /// Whether it may run.
    pub is_valid: bool,
    /// Each check with its verdict, in the order they were made.
    pub checks: Vec<Check>,
    /// What is wrong, a sentence each.
    pub errors: Vec<String>,
    /// What the composer is told; empty when valid.
    pub feedback: String,
    /// A corrected statement that passed the same checks, when the validator could make one.
    pub refined_sql: Option<String>,
    /// The database's own words, when it refused the statement.
    pub sql_error: Option<SqlError>,
    /// What the statement reads and may cost; logs of older versions do not say.
    #[serde(default)]
    pub estimate: Estimate,
    /// Of a valid statement: what is likely enough to be wrong that the composer may be asked once more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<String>,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Which.
    pub kind: CheckKind,
    /// How it went.
    pub verdict: Verdict,
    /// In words.
    pub detail: String,
}

/// Checks in the order they are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckKind {
    /// One statement that parses in its dialect.
    Parse,
    /// The guard's policy.
    ReadOnly,
    /// Every table and column exists.
    Schema,
    /// The database's own planner accepts it.
    Planner,
    /// Literals exist in the data; a model's opinion where one is asked for.
    Semantics,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Holds.
    Passed,
    /// Does not hold; the statement is not valid.
    Failed,
    /// Worth knowing; the statement stays valid.
    Warning,
    /// Not made, and why stands in the detail.
    Skipped,
}

/// What the database answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExecutionOutput {
    /// Rows returned by the database, up to the cap.
    pub row_count: u64,
    /// Whether it had more than the cap.
    pub truncated: bool,
    /// Time in the database, in microseconds.
    pub execution_micros: u64,
    /// The rows kept with the workflow.
    pub result: WorkflowResult,
    /// How far candidates agree, where several were executed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<Agreement>,
}

/// What came of candidates that were executed beside each other: the largest group with the same rows is the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreement {
    /// Whose statement and rows are the answer.
    pub candidate: u32,
    /// All candidates with these rows, in order of their numbers.
    pub agreeing: Vec<u32>,
    /// How many were composed.
    pub composed: u32,
    /// Whether the built-in engine came to these rows; `None` when it abstained.
    pub builtin: Option<bool>,
}

impl Agreement {
    /// Votes for these rows among all votes, 0 to 1; a candidate that could not be executed counts as one against.
    #[must_use]
    pub fn confidence(&self) -> f64 {
        let (votes, all) = (self.votes(), self.composed + u32::from(self.builtin.is_some()));
        if all == 0 { 0.0 } else { f64::from(votes) / f64::from(all) }
    }

    /// Votes for these rows, that of the built-in engine included.
    #[must_use]
    pub fn votes(&self) -> u32 {
        let agreeing = u32::try_from(self.agreeing.len()).unwrap_or(u32::MAX);
        agreeing.saturating_add(u32::from(self.builtin == Some(true)))
    }
}

/// The answer kept with a workflow: at most 200 rows and 256 KiB.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkflowResult {
    /// The statement that ran.
    pub sql: String,
    /// Columns of the result.
    pub columns: Vec<ResultColumn>,
    /// The first rows.
    pub rows: Vec<Row>,
    /// Rows the statement returned, up to the execution's own cap.
    pub row_count: u64,
    /// Whether `rows` is not the whole result.
    pub truncated: bool,
    /// The answer in a sentence, made from the rows without a model.
    pub answer_text: String,
}

/// Tokens and calls of a language model.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// The model that answered.
    pub model: String,
    /// Answered calls.
    pub calls: u32,
    /// Tokens read.
    pub prompt_tokens: u64,
    /// Of the tokens read, those that the endpoint had kept from an earlier call.
    #[serde(default)]
    pub cached_prompt_tokens: u64,
    /// Tokens written.
    pub completion_tokens: u64,
    /// The calls that served the step, the one it shares with other steps included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub served_by: Vec<ModelCall>,
}

/// One call to a language model, as far as a step knew it when it was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelCall {
    /// Unique in its workflow; the same for every step that it serves.
    pub id: String,
    /// The model that answered.
    pub model: String,
    /// Version of the prompts.
    pub prompt_version: String,
    /// Tokens read; 0 until they are known.
    pub prompt_tokens: u64,
    /// Of these, those that the endpoint had kept from an earlier call.
    pub cached_prompt_tokens: u64,
    /// Tokens written; 0 until they are known.
    pub completion_tokens: u64,
    /// How the call went, once it has ended with an answer.
    pub delivery: Option<Delivery>,
}

/// How the answer of a language model came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// How its form was asked for: `json_schema`, `tool_call`, `json_mode` or `text`.
    pub structure: String,
    /// How often it was sent until it was answered.
    pub attempts: u32,
    /// From sending to the whole answer, repeats included.
    pub latency: Duration,
    /// From sending to the first piece; unset when it came in one.
    pub time_to_first_token: Option<Duration>,
}

impl Usage {
    /// Both together.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        if !other.model.is_empty() {
            self.model = other.model;
        }
        self.calls += other.calls;
        self.prompt_tokens = self.prompt_tokens.saturating_add(other.prompt_tokens);
        self.cached_prompt_tokens = self.cached_prompt_tokens.saturating_add(other.cached_prompt_tokens);
        self.completion_tokens = self.completion_tokens.saturating_add(other.completion_tokens);
        self.served_by.extend(other.served_by);
        self
    }
}

/// What the composer is told when it tries again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Feedback {
    /// The statement that fell short.
    pub sql: String,
    /// The findings, in words.
    pub message: String,
    /// The database's own words with position and hint, when it refused.
    pub sql_error: Option<SqlError>,
}
