//! The three agents put together.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::ask::Asker;
use super::composer::{self, Composer};
use super::mapper::{self, Mapper};
use super::planner::{self, Planner};
use crate::agents::Team;
use crate::domain::EngineName;
use crate::llm::ChatModel;

/// What the model is told and how it is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// `PULSE_LLM_SHARE_VALUES`: whether the model may see values of the database.
    pub share_values: bool,
    /// `PULSE_LLM_SCHEMA_TOKENS`: longest description of a schema, in tokens of about four characters.
    pub schema_tokens: usize,
    /// `PULSE_LLM_MAX_TOKENS`: longest answer, in tokens.
    pub answer_tokens: u32,
    /// 0 for the likeliest answer every time.
    pub temperature: f64,
    /// Other models than the default one.
    pub models: Models,
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

impl Default for Options {
    fn default() -> Self {
        Self {
            share_values: true,
            schema_tokens: 4_000,
            answer_tokens: 4_096,
            temperature: 0.0,
            models: Models::default(),
        }
    }
}

/// The team that asks this model.
#[must_use]
pub fn team(chat: Arc<dyn ChatModel>, options: Options) -> Team {
    let model = chat.model().to_owned();
    let asker = Arc::new(Asker { chat, options });
    Team {
        engine: EngineName::Openai,
        model,
        prompt_version: prompt_version(),
        agents: vec![
            Arc::new(Planner { asker: asker.clone() }),
            Arc::new(Mapper { asker: asker.clone() }),
            Arc::new(Composer { asker }),
        ],
    }
}

/// Changes whenever a prompt does.
#[must_use]
pub fn prompt_version() -> String {
    let mut hash = Sha256::new();
    let dialects = [composer::SQLITE, composer::POSTGRESQL, composer::MYSQL];
    for prompt in [planner::PROMPT, mapper::PROMPT, composer::PROMPT].into_iter().chain(dialects) {
        hash.update(prompt);
    }
    hex::encode(&hash.finalize()[..6])
}
