//! The step graph, built from what each agent requires. Pure: it knows names and order, and runs nothing.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::agents::Agent;

/// Agents in an order in which each comes after all that it requires.
#[derive(Clone)]
pub struct Plan {
    nodes: Vec<Node>,
}

#[derive(Clone)]
struct Node {
    agent: Arc<dyn Agent>,
    /// Every step that must be done before it, direct or not.
    ancestors: HashSet<&'static str>,
}

/// Why agents do not make a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Two agents have one name.
    #[error("two agents are named `{0}`")]
    DuplicateName(&'static str),
    /// An agent requires a step that nobody plays.
    #[error("agent `{step}` requires `{requirement}`, which no agent plays")]
    UnknownRequirement {
        /// Who requires it.
        step: &'static str,
        /// What is missing.
        requirement: &'static str,
    },
    /// Agents wait for each other.
    #[error("agents wait for each other: {}", .0.join(", "))]
    Cycle(Vec<&'static str>),
}

impl Plan {
    /// Orders the agents, or says why they cannot be.
    pub fn new(agents: Vec<Arc<dyn Agent>>) -> Result<Self, Error> {
        let mut names = HashSet::new();
        for agent in &agents {
            if !names.insert(agent.name()) {
                return Err(Error::DuplicateName(agent.name()));
            }
        }
        for agent in &agents {
            if let Some(requirement) = agent.requires().iter().find(|name| !names.contains(**name)) {
                return Err(Error::UnknownRequirement { step: agent.name(), requirement });
            }
        }
        let mut placed: HashMap<&'static str, HashSet<&'static str>> = HashMap::new();
        let mut nodes = Vec::with_capacity(agents.len());
        let mut waiting = agents;
        while !waiting.is_empty() {
            let is_free = |agent: &Arc<dyn Agent>| agent.requires().iter().all(|name| placed.contains_key(name));
            let (free, blocked): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_free);
            if free.is_empty() {
                return Err(Error::Cycle(blocked.iter().map(|agent| agent.name()).collect()));
            }
            for agent in free {
                let mut ancestors: HashSet<_> = agent.requires().iter().copied().collect();
                ancestors.extend(agent.requires().iter().flat_map(|name| &placed[name]).copied());
                placed.insert(agent.name(), ancestors.clone());
                nodes.push(Node { agent, ancestors });
            }
            waiting = blocked;
        }
        Ok(Self { nodes })
    }

    /// Names of the steps; each comes after all that it requires.
    pub fn steps(&self) -> impl Iterator<Item = &'static str> {
        self.nodes.iter().map(|node| node.agent.name())
    }

    /// Steps that are not finished and whose requirements all are: these can run at the same time.
    #[must_use]
    pub fn ready(&self, finished: &HashSet<&str>) -> Vec<&'static str> {
        let open = self.nodes.iter().filter(|node| !finished.contains(node.agent.name()));
        open.filter(|node| node.ancestors.iter().all(|name| finished.contains(name)))
            .map(|node| node.agent.name())
            .collect()
    }

    /// Whether `step` needs `other`, directly or through others.
    #[must_use]
    pub fn depends_on(&self, step: &str, other: &str) -> bool {
        self.node(step).is_some_and(|node| node.ancestors.contains(other))
    }

    /// Who plays a step.
    #[must_use]
    pub fn agent(&self, step: &str) -> Option<Arc<dyn Agent>> {
        self.node(step).map(|node| node.agent.clone())
    }

    fn node(&self, step: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.agent.name() == step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow::testing::Scripted;

    fn plan(edges: &[(&'static str, &'static [&'static str])]) -> Result<Plan, Error> {
        Plan::new(edges.iter().map(|(name, requires)| Scripted::agent(name, requires)).collect())
    }

    fn ready(plan: &Plan, finished: &[&str]) -> Vec<&'static str> {
        plan.ready(&finished.iter().copied().collect())
    }

    #[test]
    fn the_sides_of_a_diamond_run_together() {
        let plan =
            plan(&[("bottom", &["left", "right"]), ("right", &["top"]), ("left", &["top"]), ("top", &[])]).unwrap();
        assert_eq!(ready(&plan, &[]), ["top"]);
        assert_eq!(ready(&plan, &["top"]), ["right", "left"]);
        assert_eq!(ready(&plan, &["top", "left"]), ["right"]);
        assert_eq!(ready(&plan, &["top", "left", "right"]), ["bottom"]);
        assert!(ready(&plan, &["top", "left", "right", "bottom"]).is_empty());
        assert!(plan.depends_on("bottom", "top") && !plan.depends_on("left", "right"));
    }

    #[test]
    fn agents_that_make_no_plan_are_named() {
        let error = |edges| plan(edges).err().unwrap().to_string();
        assert_eq!(error(&[("a", &["b"])]), "agent `a` requires `b`, which no agent plays");
        assert_eq!(error(&[("a", &[]), ("a", &[])]), "two agents are named `a`");
        assert_eq!(error(&[("start", &[]), ("a", &["b"]), ("b", &["a", "start"])]), "agents wait for each other: a, b");
    }
}
