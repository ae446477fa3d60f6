//! The roles that a model plays, and what they have in common.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::ask::Known;
use super::call::Part;
use super::{composer, mapper, planner};
use crate::agents::steps;
use crate::domain::Failure;
use crate::domain::outputs::StepOutput;
use crate::llm::OutputSchema;

/// One of the agents, in the order in which they work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Planner,
    Mapper,
    Composer,
}

/// What came of a role.
pub enum Played {
    /// Its output, and one line about it.
    Done(StepOutput, String),
    /// It abstains; some say what they understood all the same.
    Abstained(Failure, Option<StepOutput>),
}

/// Why a part is of no use.
pub struct Unusable {
    /// What is wrong, as the model is told it.
    pub finding: String,
    /// Whether it does not even have the asked-for form.
    pub is_form: bool,
}

impl Role {
    pub const ALL: [Self; 3] = [Self::Planner, Self::Mapper, Self::Composer];

    pub fn name(self) -> &'static str {
        match self {
            Self::Planner => steps::PLANNER,
            Self::Mapper => steps::MAPPER,
            Self::Composer => steps::COMPOSER,
        }
    }

    pub fn requires(self) -> &'static [&'static str] {
        match self {
            Self::Planner => &[steps::LOAD_SCHEMA],
            Self::Mapper => &[steps::PLANNER],
            Self::Composer => &[steps::MAPPER],
        }
    }

    /// Its rules.
    pub fn rules(self) -> &'static str {
        match self {
            Self::Planner => planner::PROMPT,
            Self::Mapper => mapper::PROMPT,
            Self::Composer => composer::PROMPT,
        }
    }

    /// Reads its part of an answer.
    pub fn read(self, part: Part, known: &Known<'_>) -> Result<Played, Unusable> {
        match self {
            Self::Planner => planner::read(wire(part)?, known.task),
            Self::Mapper => mapper::read(wire(part)?, known),
            Self::Composer => composer::read(wire(part)?, known.facts),
        }
        .map_err(|finding| Unusable { finding, is_form: false })
    }

    fn schema(self) -> Value {
        match self {
            Self::Planner => planner::schema(),
            Self::Mapper => mapper::schema(),
            Self::Composer => composer::schema(),
        }
    }
}

/// The form of an answer to these roles: that of the role itself, or an object with a field for each.
pub fn form(roles: &[Role]) -> OutputSchema {
    if let [role] = roles {
        return OutputSchema { name: role.name().to_owned(), schema: role.schema() };
    }
    let names: Vec<&str> = roles.iter().map(|role| role.name()).collect();
    let properties: Map<String, Value> = roles.iter().map(|role| (role.name().to_owned(), role.schema())).collect();
    let schema =
        json!({ "type": "object", "properties": properties, "required": names, "additionalProperties": false });
    OutputSchema { name: names.join("-"), schema }
}

fn wire<Wire: DeserializeOwned>(part: Part) -> Result<Wire, Unusable> {
    serde_json::from_value(Value::Object(part)).map_err(|error| Unusable {
        finding: format!("the JSON does not have the asked-for form: {error}"),
        is_form: true,
    })
}
