//! What a database's planner says of a statement.

use crate::domain::DatabaseKind;

/// A plan and what can be read from it. Nothing ran.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// In the database's own form; empty for statements that have none.
    pub text: String,
    /// Rows that the planner expects the statement to give, or to change; `None` when it does not say. Only PostgreSQL
    /// does: SQLite tells no numbers, MySQL and MariaDB those of each table and none of the result.
    pub row_count: Option<u64>,
    /// Cost in the database's own unit; `None` when the planner does not say. Again only PostgreSQL does.
    pub cost: Option<f64>,
}

impl Plan {
    pub(super) fn read(kind: DatabaseKind, text: String) -> Self {
        let node = (kind == DatabaseKind::Postgresql).then(|| text.lines().next().and_then(Node::read)).flatten();
        let Some(node) = node else { return Self { text, row_count: None, cost: None } };
        // What changes rows gives none itself; the nodes right below it say how many.
        let below = text.lines().skip(1).filter(|line| line.starts_with("  ->  ")).filter_map(Node::read);
        let row_count = if node.changes_rows { below.map(|node| node.row_count).sum() } else { node.row_count };
        Self { text, row_count: Some(row_count), cost: Some(node.cost) }
    }
}

/// A line such as `Seq Scan on stock  (cost=0.00..22.70 rows=1270 width=36)`.
struct Node {
    cost: f64,
    row_count: u64,
    changes_rows: bool,
}

impl Node {
    fn read(line: &str) -> Option<Self> {
        let (what, numbers) = line.rsplit_once("(cost=")?;
        let (_, numbers) = numbers.split_once("..")?;
        let (cost, numbers) = numbers.split_once(" rows=")?;
        let (row_count, _) = numbers.split_once(' ')?;
        let changes_rows = ["Insert on ", "Update on ", "Delete on ", "Merge on "];
        Some(Self {
            cost: cost.parse().ok()?,
            row_count: row_count.parse().ok()?,
            changes_rows: changes_rows.iter().any(|verb| what.starts_with(verb)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(kind: DatabaseKind, text: &str) -> (Option<u64>, Option<f64>) {
        let plan = Plan::read(kind, text.to_owned());
        assert_eq!(plan.text, text);
        (plan.row_count, plan.cost)
    }

    #[test]
    fn postgresql_tells_rows_and_cost() {
        let postgres = |text| numbers(DatabaseKind::Postgresql, text);
        let read = "Sort  (cost=64.10..66.65 rows=1020 width=36)\n  Sort Key: a\n  ->  Seq Scan on t  \
                    (cost=0.00..20.20 rows=1021 width=36)\n";
        assert_eq!(postgres(read), (Some(1020), Some(66.65)));
        let named = "Seq Scan on \"(cost=1..2 rows=3 \"  (cost=0.00..20.20 rows=7 width=36)\n";
        assert_eq!(postgres(named), (Some(7), Some(20.2)));
        let write = "Delete on t  (cost=0.01..28.33 rows=0 width=0)\n  CTE old\n    ->  Result  \
                     (cost=0.00..0.01 rows=9 width=4)\n  ->  Seq Scan on t  (cost=0.00..28.32 rows=6 width=6)\n";
        assert_eq!(postgres(write), (Some(6), Some(28.33)));
        assert_eq!(postgres(""), (None, None));
    }

    #[test]
    fn the_others_do_not() {
        assert_eq!(numbers(DatabaseKind::Sqlite, "SCAN t\n"), (None, None));
        let table = "id  select_type  table  rows\n1   SIMPLE       t      3\n";
        assert_eq!(numbers(DatabaseKind::Mysql, table), (None, None));
    }
}
