//! The three agents that the engine plays. Each reads the question anew: the engine is deterministic, so they agree,
//! even when one of them runs again after a crash.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::ambiguity::Settled;
use super::conversation::{Turn, converse};
use super::outputs;
use super::reading::{Abstention, Lexicon, Reading};
use crate::agents::{Agent, AgentError, Outcome, Task, Team, steps};
use crate::domain::outputs::{Clarification, ComposerOutput, MapperOutput, PlannerOutput, StepOutput};
use crate::domain::{EngineName, Facts, Failure, Reason};
use crate::engines::schema_index::matched_in_words;

/// The engine's agents.
#[must_use]
pub fn team() -> Team {
    let lexicons = Arc::new(Lexicons::default());
    Team {
        engine: EngineName::Builtin,
        model: String::new(),
        reviewer: None,
        prompt_version: "3".to_owned(),
        agents: vec![
            Arc::new(Planner { lexicons: Arc::clone(&lexicons) }),
            Arc::new(Mapper { lexicons: Arc::clone(&lexicons) }),
            Arc::new(Composer { lexicons }),
        ],
    }
}

/// Lexicons of the databases asked most recently: building one is most of the work of reading a question.
#[derive(Default)]
struct Lexicons {
    recent: Mutex<Vec<(Arc<Facts>, Arc<Lexicon>)>>,
}

impl Lexicons {
    const KEPT: usize = 8;

    fn of(&self, facts: &Arc<Facts>) -> Arc<Lexicon> {
        let known = |recent: &[(Arc<Facts>, Arc<Lexicon>)]| {
            recent.iter().find(|(known, _)| same(known, facts)).map(|(_, lexicon)| Arc::clone(lexicon))
        };
        if let Some(lexicon) = known(&self.recent.lock().unwrap_or_else(PoisonError::into_inner)) {
            return lexicon;
        }
        let lexicon = Arc::new(Lexicon::new(Arc::clone(facts)));
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.insert(0, (Arc::clone(facts), Arc::clone(&lexicon)));
        recent.truncate(Self::KEPT);
        lexicon
    }

    /// What a task's question may mean, best first, and what may have to be asked about it.
    fn proposals(&self, task: &Task) -> Result<Proposals, Failure> {
        let facts = task
            .facts
            .as_ref()
            .ok_or_else(|| Failure::new(Reason::Internal, "The schema was not loaded before the question was read."))?;
        let lexicon = self.of(facts);
        let before = task.workflow.started.previous.iter().map(|turn| Turn {
            question: &turn.question,
            answers: turn.asked_back.iter().map(|back| back.answer.as_str()).collect(),
            today: turn.today,
        });
        let last = Turn {
            question: &task.question.text,
            answers: task.workflow.clarified.iter().map(|clarified| clarified.answer.as_str()).collect(),
            today: facts.today,
        };
        let settled = converse(&before.collect::<Vec<_>>(), &last, &lexicon);
        // A question that follows up means more than its words.
        let alone = task.workflow.started.previous.is_empty() && task.workflow.clarified.is_empty();
        let example = facts
            .examples
            .iter()
            .filter(|_| alone)
            .find_map(|example| Some(Proposal::Example(example.question.clone(), example.adapted_sql.clone()?)));
        let (readings, open) = match (settled, &example) {
            (Ok(Settled { readings, open }), None) => (readings, open),
            // What a person verified needs no question back.
            (Ok(Settled { readings, .. }), Some(_)) => (readings, None),
            (Err(_), Some(_)) => (Vec::new(), None),
            (Err(abstention), None) => return Err(failure(&abstention)),
        };
        let readings = readings.into_iter().map(|reading| Proposal::Reading(Box::new(reading)));
        Ok(Proposals { all: example.into_iter().chain(readings).collect(), open, lexicon })
    }
}

/// What a question may mean, best first.
struct Proposals {
    /// One at least.
    all: Vec<Proposal>,
    /// Set when the first of them is no better than others.
    open: Option<Clarification>,
    lexicon: Arc<Lexicon>,
}

/// What a question may mean.
enum Proposal {
    /// What a verified example means that differs in values at most: its question, and its SQL for this one. It is proposed
    /// first, and checked like any other statement.
    Example(String, String),
    /// What the engine reads in it.
    Reading(Box<Reading>),
}

impl Proposal {
    fn sql(&self) -> &str {
        match self {
            Self::Example(_, sql) => sql,
            Self::Reading(reading) => &reading.sql,
        }
    }

    fn planner(&self, lexicon: &Lexicon) -> PlannerOutput {
        match self {
            Self::Example(question, _) => outputs::planner_by_example(question),
            Self::Reading(reading) => outputs::planner(reading, lexicon),
        }
    }

    fn mapper(&self, lexicon: &Lexicon) -> MapperOutput {
        match self {
            Self::Example(question, _) => outputs::mapper_by_example(question),
            Self::Reading(reading) => outputs::mapper(reading, lexicon),
        }
    }

    fn composer(&self, lexicon: &Lexicon) -> ComposerOutput {
        match self {
            Self::Example(question, sql) => outputs::composer_by_example(question, sql, lexicon),
            Self::Reading(reading) => outputs::composer(reading, lexicon),
        }
    }
}

/// Whether a lexicon of the one serves the other. Each workflow has facts of its own, but values measured once are shared.
fn same(one: &Facts, other: &Facts) -> bool {
    Arc::ptr_eq(&one.values, &other.values)
        && (Arc::ptr_eq(&one.meaning, &other.meaning) || one.meaning == other.meaning)
        && one.schema.fingerprint == other.schema.fingerprint
        && one.today == other.today
}

fn failure(abstention: &Abstention) -> Failure {
    Failure::new(Reason::QuestionNotUnderstood, abstention.to_string())
}

struct Planner {
    lexicons: Arc<Lexicons>,
}

struct Mapper {
    lexicons: Arc<Lexicons>,
}

struct Composer {
    lexicons: Arc<Lexicons>,
}

#[async_trait]
impl Agent for Planner {
    fn name(&self) -> &'static str {
        steps::PLANNER
    }

    fn requires(&self) -> &'static [&'static str] {
        &[steps::LOAD_SCHEMA]
    }

    async fn run(&self, task: &Task) -> Result<Outcome, AgentError> {
        let Proposals { all, open, lexicon } = self.lexicons.proposals(task)?;
        let mut output = all[0].planner(&lexicon);
        let workflow = &task.workflow;
        output.clarification = open.filter(|_| workflow.may_ask_back());
        if !workflow.started.previous.is_empty() || !workflow.clarified.is_empty() {
            output.restatement.clone_from(&output.intent);
        }
        let summary = output.clarification.as_ref().map_or(&output.intent, |asked| &asked.question).clone();
        Ok(Outcome { summary, output: StepOutput::Planner(output), usage: None })
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
        let Proposals { all, lexicon, .. } = self.lexicons.proposals(task)?;
        let output = all[0].mapper(&lexicon);
        let is_value = |name: &str| output.matched_values.iter().any(|found| found.text == name);
        let summary = output
            .entities
            .iter()
            .filter(|entity| !is_value(&entity.name))
            .map(|entity| match &entity.column {
                Some(column) => format!("'{}' is {}.{column}", entity.name, entity.table),
                None => format!("'{}' is {}", entity.name, entity.table),
            })
            .chain(matched_in_words(&output.matched_values))
            .chain(output.definitions.iter().cloned())
            .collect::<Vec<_>>()
            .join("; ");
        Ok(Outcome { output: StepOutput::Mapper(output), summary, usage: None })
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
        let Proposals { all: proposals, lexicon, .. } = self.lexicons.proposals(task)?;
        let proposal = match &task.feedback {
            None => proposals.first(),
            // The statement fell short: the next reading, if there is one.
            Some(feedback) => {
                let tried = proposals.iter().position(|proposal| proposal.sql() == feedback.sql);
                tried.and_then(|tried| proposals.get(tried + 1))
            }
        };
        let Some(proposal) = proposal else {
            let message = "The question has no other reading than the one that was tried.";
            return Err(Failure::new(Reason::RetriesExhausted, message).into());
        };
        let output = proposal.composer(&lexicon);
        Ok(Outcome { summary: output.explanation.clone(), output: StepOutput::Composer(output), usage: None })
    }
}
