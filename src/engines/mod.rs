//! Who plays the agents' roles: engines get facts and hand back proposals, they never see a database.

pub mod builtin;
