//! Who plays the agents of a workflow, and in which order.

use std::sync::Arc;

use super::databases::Databases;
use super::dispatcher::Pace;
use super::plan::{self, Plan};
use super::steps::{Execution, LoadSchema, Validator};
use crate::agents::steps::COMPOSER;
use crate::agents::{Agent, Team};
use crate::domain::{EngineChoice, EngineName, Failure, Question, Reason, Source};

/// Who can play the agents.
pub struct Teams {
    /// Always there.
    pub builtin: Team,
    /// There when a model is configured.
    pub openai: Option<Team>,
}

/// The same, planned.
pub(super) struct Crews {
    builtin: Crew,
    openai: Option<Crew>,
}

impl Crews {
    pub(super) fn new(teams: Teams, databases: &Arc<dyn Databases>) -> Result<Self, plan::Error> {
        // What costs nothing votes beside what a model composes.
        let voter = teams.builtin.agents.iter().find(|agent| agent.name() == COMPOSER).cloned();
        let openai = teams.openai.map(|team| Crew::new(team, databases, voter)).transpose()?;
        Ok(Self { builtin: Crew::new(teams.builtin, databases, None)?, openai })
    }

    /// AUTO is the model when one is configured, otherwise builtin.
    pub(super) fn resolve(&self, choice: EngineChoice) -> Result<&Crew, Failure> {
        match choice {
            EngineChoice::Auto => Ok(self.openai.as_ref().unwrap_or(&self.builtin)),
            EngineChoice::Builtin => self.of(EngineName::Builtin),
            EngineChoice::Openai => self.of(EngineName::Openai),
        }
    }

    /// Who plays under this name.
    pub(super) fn of(&self, engine: EngineName) -> Result<&Crew, Failure> {
        let crew = match engine {
            EngineName::Builtin => Some(&self.builtin),
            EngineName::Openai => self.openai.as_ref(),
        };
        crew.ok_or_else(|| {
            let message = "engine OPENAI needs a model: set OPENAI_API_KEY, or ask with engine AUTO or BUILTIN";
            Failure::new(Reason::ModelNotConfigured, message)
        })
    }
}

/// A team with the workflow's own steps, planned.
pub(super) struct Crew {
    pub(super) engine: EngineName,
    pub(super) model: String,
    pub(super) prompt_version: String,
    with_execution: Arc<Plan>,
    without_execution: Arc<Plan>,
}

impl Crew {
    fn new(team: Team, databases: &Arc<dyn Databases>, voter: Option<Arc<dyn Agent>>) -> Result<Self, plan::Error> {
        let Team { engine, model, prompt_version, mut agents, reviewer } = team;
        agents.insert(0, Arc::new(LoadSchema) as Arc<dyn Agent>);
        agents.push(Arc::new(Validator { databases: databases.clone(), reviewer }));
        let without_execution = Arc::new(Plan::new(agents.clone())?);
        agents.push(Arc::new(Execution { databases: databases.clone(), voter }));
        let with_execution = Arc::new(Plan::new(agents)?);
        Ok(Self { engine, model, prompt_version, with_execution, without_execution })
    }

    /// A model's answers are paid for; what the built-in engine does is done again in milliseconds.
    pub(super) fn pace(&self) -> Pace {
        match self.engine {
            EngineName::Openai => Pace::Stored,
            EngineName::Builtin => Pace::Ahead,
        }
    }

    /// A schema that came with the call has no database to run anything on.
    pub(super) fn plan(&self, question: &Question) -> Arc<Plan> {
        let executes = question.options.execute && matches!(question.source, Source::Connection(_));
        if executes { self.with_execution.clone() } else { self.without_execution.clone() }
    }
}
