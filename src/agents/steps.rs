//! Names of the steps, as they appear in events, settings and metrics.

/// Reads tables, columns, keys and value samples.
pub const LOAD_SCHEMA: &str = "load_schema";
/// Says what is asked.
pub const PLANNER: &str = "planner";
/// Ties it to real tables and columns.
pub const MAPPER: &str = "mapper";
/// Proposes a statement.
pub const COMPOSER: &str = "composer";
/// Judges it.
pub const VALIDATOR: &str = "validator";
/// Runs it.
pub const EXECUTION: &str = "execution";
