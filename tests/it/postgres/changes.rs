//! Tables that change under statements that a session has prepared.

use pulse::domain::Value;
use pulse::sql::Limits;

use super::{executed, guarded, one_connection, opened, streamed};
use crate::support::servers;

/// The statement is prepared both ways, the table changes, and the next run sees what is there now.
#[tokio::test]
async fn the_next_run_has_the_new_shape() {
    let home = servers::postgres().await.fresh_database("changes").await;
    home.admin("CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, 'x');").await;
    let database = opened(&home, one_connection());
    let all = guarded("SELECT * FROM t");
    let shape = async |expected: &[(&str, &str)], row: &[Value]| {
        for result in [executed(&database, &all, &[]).await, streamed(&database, &all, &[]).await] {
            let (columns, rows) = result.unwrap();
            let columns: Vec<_> =
                columns.iter().map(|column| (column.name.as_str(), column.database_type.as_str())).collect();
            assert_eq!((columns.as_slice(), rows.as_slice()), (expected, [row.to_vec()].as_slice()));
        }
    };
    let text = |text: &str| Value::String(text.to_owned());
    shape(&[("a", "integer"), ("b", "text")], &[Value::Int64(1), text("x")]).await;
    home.admin("ALTER TABLE t ADD COLUMN c date DEFAULT '2024-02-29';").await;
    let date = Value::Date("2024-02-29".into());
    shape(&[("a", "integer"), ("b", "text"), ("c", "date")], &[Value::Int64(1), text("x"), date.clone()]).await;
    home.admin("ALTER TABLE t DROP COLUMN a;").await;
    shape(&[("b", "text"), ("c", "date")], &[text("x"), date.clone()]).await;
    home.admin("ALTER TABLE t RENAME COLUMN b TO d;").await;
    shape(&[("d", "text"), ("c", "date")], &[text("x"), date.clone()]).await;
    // From a type that is read as binary to one that is not, and on to one that the driver does not know.
    home.admin("ALTER TABLE t ALTER COLUMN d TYPE inet USING '10.0.0.1'::inet;").await;
    shape(&[("d", "inet"), ("c", "date")], &[Value::Other("10.0.0.1".into()), date.clone()]).await;
    home.admin("ALTER TABLE t ALTER COLUMN d TYPE int4multirange USING '{[1,2)}'::int4multirange;").await;
    shape(&[("d", "int4multirange"), ("c", "date")], &[Value::Other("{[1,2)}".into()), date.clone()]).await;
    home.admin("ALTER TABLE t ALTER COLUMN d TYPE int USING 7;").await;
    shape(&[("d", "integer"), ("c", "date")], &[Value::Int64(7), date]).await;
    home.admin("DROP TABLE t; CREATE TABLE t (z bool); INSERT INTO t VALUES (true);").await;
    shape(&[("z", "boolean")], &[Value::Bool(true)]).await;
}

/// The same when only the streamed way has prepared it, and when there is no row that would show it.
#[tokio::test]
async fn streams_have_the_new_shape_too() {
    let home = servers::postgres().await.fresh_database("changes").await;
    home.admin("CREATE TABLE t (a int);").await;
    let database = opened(&home, one_connection());
    let all = guarded("SELECT * FROM t");
    let names = async || {
        let (columns, rows) = streamed(&database, &all, &[]).await.unwrap();
        (
            columns.into_iter().map(|column| format!("{} {}", column.name, column.database_type)).collect::<Vec<_>>(),
            rows,
        )
    };
    assert_eq!(names().await, (vec!["a integer".to_owned()], vec![]));
    home.admin("ALTER TABLE t ADD COLUMN b text;").await;
    assert_eq!(names().await, (vec!["a integer".to_owned(), "b text".to_owned()], vec![]));
    home.admin("ALTER TABLE t DROP COLUMN a; INSERT INTO t VALUES ('x');").await;
    assert_eq!(names().await, (vec!["b text".to_owned()], vec![vec![Value::String("x".into())]]));
    home.admin("ALTER TABLE t ALTER COLUMN b TYPE int USING 7;").await;
    assert_eq!(names().await, (vec!["b integer".to_owned()], vec![vec![Value::Int64(7)]]));
}

/// An enum that is dropped and made again is another type with the same name.
#[tokio::test]
async fn types_that_are_made_anew_are_read_anew() {
    let home = servers::postgres().await.fresh_database("types").await;
    let database = opened(&home, one_connection());
    for (kind, value, expected) in [
        ("ENUM ('a', 'b')", "'a'", Value::String("a".into())),
        ("(n int)", "'(1)'", Value::Other("(1)".into())),
        ("RANGE (subtype = int)", "'[1,2)'", Value::Other("[1,2)".into())),
        ("ENUM ('b', 'c')", "'c'", Value::String("c".into())),
    ] {
        home.admin(&format!("DROP VIEW IF EXISTS v; DROP TYPE IF EXISTS thing; CREATE TYPE thing AS {kind}; CREATE VIEW v AS SELECT {value}::thing AS v;")).await;
        let sql = guarded("SELECT v FROM v");
        assert_eq!(executed(&database, &sql, &[]).await.unwrap().1, [[expected.clone()]], "{kind}");
        assert_eq!(streamed(&database, &sql, &[]).await.unwrap().1, [[expected]], "{kind}");
    }
}

/// More statements than a session keeps prepared.
#[tokio::test]
async fn many_statements_pass_through_one_session() {
    let home = servers::postgres().await.fresh_database("prepared").await;
    let database = opened(&home, one_connection());
    for number in 0..200 {
        let sql = guarded(&format!("SELECT {number} + $1::int"));
        let result = database.execute(&sql, &[Value::Int64(1)], Limits::default()).await.unwrap();
        assert_eq!(result.rows.to_rows(), [[Value::Int64(number + 1)]]);
        let multirange = guarded(&format!("SELECT '{{}}'::int4multirange, {number}"));
        assert_eq!(executed(&database, &multirange, &[]).await.unwrap().1[0][1], Value::Int64(number));
    }
}
