//! The roles: each agent gets facts and earlier outputs, and hands back a proposal.
//!
//! An agent never touches a database or the store: what it may know is in its [`Task`], what it wants is in its
//! [`Outcome`]. So text written by a language model can only become a proposal, never an action. To add an agent:
//! one file that implements [`Agent`], and one line that registers it with the engine that has it.

mod agent;
pub mod steps;
mod task;
pub mod validator;

pub use agent::{Agent, AgentError, Outcome, Team};
pub use task::{Carried, ModelBudget, Task};
