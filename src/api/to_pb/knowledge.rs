//! Definitions and examples.

use super::timestamp;
use crate::domain::knowledge::{ColumnMeaning, Measure, PreferredJoin, TableMeaning, ValueAlias};
use crate::domain::{ConnectionId, Definitions, Example, FieldViolation};
use crate::knowledge::{Known, State, Verified};
use crate::pb::v1 as pb;

pub(in crate::api) fn knowledge(connection: ConnectionId, known: Known) -> pb::Knowledge {
    let Known { definitions, problems, etag, update_time, examples } = known;
    let Definitions { notes, tables, measures, joins } = definitions;
    let problem = |FieldViolation { field, description }| pb::KnowledgeProblem { field, description };
    pb::Knowledge {
        connection_id: connection.to_string(),
        notes,
        tables: tables.into_iter().map(table).collect(),
        measures: measures.into_iter().map(measure).collect(),
        joins: joins.into_iter().map(join).collect(),
        problems: problems.into_iter().map(problem).collect(),
        etag,
        update_time: update_time.map(timestamp),
        example_count: i32::try_from(examples).unwrap_or(i32::MAX),
    }
}

fn table(given: TableMeaning) -> pb::TableMeaning {
    let TableMeaning { table, description, synonyms, default_filter, columns } = given;
    let columns = columns.into_iter().map(column).collect();
    pb::TableMeaning { table, description, synonyms, default_filter, columns }
}

fn column(given: ColumnMeaning) -> pb::ColumnMeaning {
    let ColumnMeaning { column, description, synonyms, values } = given;
    let value = |ValueAlias { alias, value }| pb::ValueAlias { alias, value };
    pb::ColumnMeaning { column, description, synonyms, values: values.into_iter().map(value).collect() }
}

fn measure(given: Measure) -> pb::Measure {
    let Measure { name, synonyms, table, expression, description } = given;
    pb::Measure { name, synonyms, table, expression, description }
}

fn join(given: PreferredJoin) -> pb::PreferredJoin {
    let PreferredJoin { left, right, description } = given;
    pb::PreferredJoin { left, right, description }
}

/// The example; without an id until it is saved.
pub(in crate::api) fn example(given: Verified, saved: bool) -> pb::Example {
    let state = example_state(&given.state);
    let Verified { example, state: why } = given;
    let Example { id, question, sql, workflow, create_time, fingerprint: _ } = example;
    let problem = match why {
        State::Valid => String::new(),
        State::Stale(why) | State::Unchecked(why) => why,
    };
    pb::Example {
        id: if saved { id.to_string() } else { String::new() },
        question,
        sql,
        state: state.into(),
        problem,
        workflow_id: workflow.map(|id| id.to_string()).unwrap_or_default(),
        create_time: saved.then(|| timestamp(create_time)),
    }
}

pub(in crate::api) fn example_state(state: &State) -> pb::ExampleState {
    match state {
        State::Valid => pb::ExampleState::Valid,
        State::Stale(_) => pb::ExampleState::Stale,
        State::Unchecked(_) => pb::ExampleState::Unchecked,
    }
}
