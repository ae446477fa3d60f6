//! How candidates beside the first go about a statement, so that they do not all make the same mistake.

/// How freely such a candidate answers, from 0 to 2; an agent that is set to answer more freely does.
pub const TEMPERATURE: f64 = 0.7;

/// What each is told, the second candidate first; any further ones begin again.
pub const APPROACHES: [&str; 4] = [
    "Go about it like this: settle first what one row of the result stands for, and write the statement in steps, a common \
     table expression for each where that helps.",
    "Go about it like this: the plan and the mapping may be wrong. Read the question and the schema anew, decide for each \
     word of the question which column or value it means, and follow that.",
    "Go about it like this: begin with the conditions, and with what must not be counted twice; prefer subqueries with EXISTS \
     and IN over joins where a join would repeat rows.",
    "Go about it like this: think of the smallest example of data for which a careless statement is wrong (missing values, \
     ties, no partner in a join), and write the one that is right there too.",
];

/// What a candidate is told beside everything else; nothing for the first.
pub fn of(candidate: u32) -> Option<&'static str> {
    let place = usize::try_from(candidate.checked_sub(2)?).ok()?;
    APPROACHES.get(place % APPROACHES.len()).copied()
}
