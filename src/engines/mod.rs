//! Who plays the agents' roles. Facts are handed in; nothing in here reaches a database.

pub mod openai;
//! Who plays the agents' roles: engines get facts and hand back proposals, they never see a database.

pub mod builtin;
