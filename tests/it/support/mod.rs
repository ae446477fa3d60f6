//! What the tests share: a whole server in this process or in a child, a scripted model, real
//! database servers, and waiting on conditions.

pub mod calls;
pub mod contract;
pub mod databases;
pub mod follow;
pub mod http;
pub mod model_server;
pub mod process;
pub mod proxy;
pub mod replicas;
pub mod script;
pub mod server;
pub mod servers;
pub mod statements;
