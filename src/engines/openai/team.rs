//! The three agents put together.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::approaches::APPROACHES;
use super::ask::{self, Asker};
use super::composer;
use super::player::Player;
use super::reviewer::{self, Reviewer};
use super::role::Role;
use crate::agents::{Agent, Team};
use crate::domain::EngineName;
use crate::engines::schema_index::Indexes;
use crate::llm::ChatModel;

/// What the model is told and how it is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// `PULSE_LLM_CALLS`.
    pub calls: Calls,
    /// `PULSE_LLM_SHARE_VALUES`: whether the model may see values of the database.
    pub share_values: bool,
    /// `PULSE_LLM_SEMANTIC_CHECK`: whether the model is asked once more what it thinks of a statement that passed.
    pub semantic_check: bool,
    /// `PULSE_LLM_SCHEMA_TOKENS`: longest description of a schema, in tokens, estimated.
    pub schema_tokens: usize,
    /// `PULSE_LLM_MAX_TOKENS`: longest answer, in tokens.
    pub answer_tokens: u32,
    /// How freely each agent answers.
    pub temperatures: Temperatures,
    /// Other models than the default one.
    pub models: Models,
}

/// How many agents one call to the model serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calls {
    /// Those that follow one another with the same model and temperature.
    Shared,
    /// One.
    PerAgent,
}

/// Models of single agents; `None` is the default one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Models {
    /// `OPENAI_MODEL_PLANNER`.
    pub planner: Option<String>,
    /// `OPENAI_MODEL_MAPPER`.
    pub mapper: Option<String>,
    /// `OPENAI_MODEL_COMPOSER`.
    pub composer: Option<String>,
}

/// Temperatures of single agents, from 0 (the likeliest answer every time) to 2.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Temperatures {
    /// `OPENAI_TEMPERATURE_PLANNER`.
    pub planner: f64,
    /// `OPENAI_TEMPERATURE_MAPPER`.
    pub mapper: f64,
    /// `OPENAI_TEMPERATURE_COMPOSER`.
    pub composer: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            calls: Calls::Shared,
            share_values: true,
            semantic_check: false,
            schema_tokens: 4_000,
            answer_tokens: 4_096,
            temperatures: Temperatures::default(),
            models: Models::default(),
        }
    }
}

impl Options {
    /// Which model answers for a role (the default one for `None`), and how freely.
    pub(super) fn voice(&self, role: Role) -> (Option<&String>, f64) {
        let Self { models, temperatures, .. } = self;
        match role {
            Role::Planner => (models.planner.as_ref(), temperatures.planner),
            Role::Mapper => (models.mapper.as_ref(), temperatures.mapper),
            Role::Composer => (models.composer.as_ref(), temperatures.composer),
        }
    }
}

/// The team that asks this model.
#[must_use]
pub fn team(chat: Arc<dyn ChatModel>, options: Options) -> Team {
    let model = chat.model().to_owned();
    let prompt_version = prompt_version();
    let asker = Arc::new(Asker { chat, options, prompt_version: prompt_version.clone(), indexes: Indexes::default() });
    let play = |role| Arc::new(Player { role, asker: asker.clone() }) as Arc<dyn Agent>;
    let agents = Role::ALL.map(play).to_vec();
    let reviewer = asker.options.semantic_check.then(|| Arc::new(Reviewer { asker: asker.clone() }) as Arc<dyn Agent>);
    Team { engine: EngineName::Openai, model, prompt_version, agents, reviewer }
}

/// Changes whenever a prompt does.
#[must_use]
pub fn prompt_version() -> String {
    let mut hash = Sha256::new();
    let dialects = [composer::SQLITE, composer::POSTGRESQL, composer::MYSQL];
    for prompt in Role::ALL
        .map(Role::rules)
        .into_iter()
        .chain([ask::SHARED, ask::DATA, reviewer::PROMPT])
        .chain(dialects)
        .chain(APPROACHES)
    {
        hash.update(prompt);
    }
    hex::encode(&hash.finalize()[..6])
}
