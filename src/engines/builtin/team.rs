//! The three agents: each publishes its part of the same reading, which is computed anew from the same facts.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Abstention, Lexicon, Reading, interpret};
use crate::agents::{Agent, AgentError, Outcome, Task, Team, steps};
use crate::domain::outputs::{ComposerOutput, MapperOutput, PlannerOutput, StepOutput};
use crate::domain::{EngineName, Failure, Reason};

/// The agents of the built-in engine.
#[must_use]
pub fn team() -> Team {
    Team {
        engine: EngineName::Builtin,
        model: String::new(),
        prompt_version: "1".to_owned(),
        agents: vec![Arc::new(Planner), Arc::new(Mapper), Arc::new(Composer)],
    }
}

struct Planner;
struct Mapper;
struct Composer;

#[async_trait]
impl Agent for Planner {
    fn name(&self) -> &'static str {
        steps::PLANNER
    }
    fn requires(&self) -> &'static [&'static str] {
        &[steps::LOAD_SCHEMA]
    }
    async fn run(&self, task: &Task) -> Result<Outcome, AgentError> {
        let readings = read(task)?;
        let output = PlannerOutput {
            intent: task.question.text.clone(),
            confidence: readings[0].confidence,
            ..PlannerOutput::default()
        };
        Ok(Outcome { output: StepOutput::Planner(output), summary: "Understood the question.".to_owned(), usage: None })
    }
}

#[async_trait]
impl Agent for Mapper {
    fn name(&self) -> &'static str {
        steps::MAPPER
    }
    fn requires(&self) -> &'static [&'static str] {
        &[steps::PLANNER]
    }
    async fn run(&self, task: &Task) -> Result<Outcome, AgentError> {
        read(task)?;
        let output = StepOutput::Mapper(MapperOutput::default());
        Ok(Outcome { output, summary: "Found its tables and columns.".to_owned(), usage: None })
    }
}

#[async_trait]
impl Agent for Composer {
    fn name(&self) -> &'static str {
        steps::COMPOSER
    }
    fn requires(&self) -> &'static [&'static str] {
        &[steps::MAPPER]
    }
    async fn run(&self, task: &Task) -> Result<Outcome, AgentError> {
        let readings = read(task)?;
        let tried = task.feedback.as_ref().map(|feedback| feedback.sql.as_str());
        let skip = readings.iter().position(|reading| Some(reading.sql.as_str()) == tried).map_or(0, |at| at + 1);
        let Some(reading) = readings.into_iter().nth(skip) else {
            return Err(Failure::new(Reason::RetriesExhausted, "there is no further reading of the question").into());
        };
        let dialect = task.facts.as_ref().map_or(crate::domain::DatabaseKind::Sqlite, |facts| facts.schema.dialect);
        let output = ComposerOutput {
            sql: reading.sql,
            dialect,
            parameters: Vec::new(),
            explanation: String::new(),
            assumptions: reading.assumptions,
            confidence: reading.confidence,
        };
        Ok(Outcome { output: StepOutput::Composer(output), summary: "Composed a statement.".to_owned(), usage: None })
    }
}

fn read(task: &Task) -> Result<Vec<Reading>, AgentError> {
    let facts = task.facts.clone().ok_or_else(|| Failure::new(Reason::Internal, "the schema is not loaded"))?;
    let lexicon = Lexicon::new(facts);
    interpret(&task.question.text, &lexicon).map_err(|abstention| AgentError::from(explain(&abstention)))
}

fn explain(abstention: &Abstention) -> Failure {
    match abstention {
        Abstention::Unexplained(words) => Failure::new(
            Reason::QuestionNotUnderstood,
            format!("nothing in the schema or the data explains: {}", words.join(", ")),
        ),
        Abstention::Shape(text) => Failure::new(Reason::QuestionNotUnderstood, text.clone()),
        Abstention::Ambiguous(_) => Failure::new(Reason::QuestionAmbiguous, "the question has several readings"),
        Abstention::Unsure(_) => {
            Failure::new(Reason::QuestionNotUnderstood, "no reading of the question is sure enough")
        }
    }
}
