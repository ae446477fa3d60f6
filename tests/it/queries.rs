//! SQL on a saved connection: typed cells, limits, parameters, streams, and what the guard says.

use futures::future::join_all;
use prost::bytes::Bytes;
use pulse::pb::v1::query_service_client::QueryServiceClient;
use pulse::pb::v1::start_workflow_request::Source as StartSource;
use pulse::pb::v1::value::Kind;
use pulse::pb::v1::{
    Check, CheckKind, CheckVerdict, ConnectionSpec, DataType, DeleteConnectionRequest, ExecuteQueryRequest,
    InlineSchema, InlineTable, SqlErrorDetail, StartWorkflowRequest, StreamFormat, StreamQueryRequest, StreamSummary,
    TruncationReason, ValidateQueryRequest, ValidateQueryResponse, Value, WorkflowStatus, stream_batch,
    stream_query_request::Source, stream_query_response::Part,
};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::calls::{assert_error, connection_id, question, run, start, watch};
use crate::support::databases::{cells, statement, stream_of, value};
use crate::support::follow::{Follower, workflow};
use crate::support::process::Process;
use crate::support::script;
use crate::support::server::{Folder, Server};
use crate::support::servers::{self, READ_ONLY};

const NUMBERS: &str = "
CREATE TABLE numbers (n INTEGER PRIMARY KEY, text TEXT NOT NULL);
WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < 50000)
INSERT INTO numbers SELECT n, 'row ' || n FROM counted;
";

/// A server with a connection to fifty thousand numbered rows.
async fn numbers() -> (Server, String) {
    let mut server = Server::start().await;
    let id = server.database("numbers", NUMBERS).await;
    (server, id)
}

fn text(text: &str) -> Kind {
    Kind::StringValue(text.to_owned())
}

const NULL: Kind = Kind::NullValue(0);

/// What the guard or the database said of the statement.
fn sql_error(status: &Status) -> SqlErrorDetail {
    let details = status.get_error_details_vec();
    assert!(!details.is_empty(), "{status:?}");
    let wire: tonic_types::pb::Status = prost::Message::decode(status.details()).unwrap();
    let ours = wire.details.iter().find(|detail| detail.type_url.ends_with("/pulse.v1.SqlErrorDetail"));
    let ours = ours.unwrap_or_else(|| panic!("no SqlErrorDetail: {status:?}"));
    prost::Message::decode(&ours.value[..]).unwrap()
}

#[tokio::test]
async fn cells_keep_their_types() {
    let mut server = Server::start().await;
    let table = "
        CREATE TABLE cells (i INTEGER, r REAL, t TEXT, b BLOB, d DATE, ts TIMESTAMP, any);
        INSERT INTO cells VALUES
            (9223372036854775807, 0.1, 'Grüße', x'00ff10', '2024-02-29', '2024-02-29 13:45:00.123456', 7),
            (-9223372036854775808, 1e308, '', x'', NULL, NULL, 'seven'),
            (NULL, NULL, NULL, NULL, '0001-01-01', '9999-12-31 23:59:59', x'07');";
    let id = server.database("cells", table).await;
    let result = server.execute(&id, "SELECT i, r, t, b, d, ts, \"any\" FROM cells").await.unwrap();
    let expected = vec![
        vec![
            Kind::Int64Value(i64::MAX),
            Kind::DoubleValue(0.1),
            text("Grüße"),
            Kind::BytesValue(Bytes::from_static(&[0, 255, 16])),
            Kind::DateValue("2024-02-29".to_owned()),
            Kind::TimestampValue("2024-02-29T13:45:00.123456".to_owned()),
            Kind::Int64Value(7),
        ],
        vec![
            Kind::Int64Value(i64::MIN),
            Kind::DoubleValue(1e308),
            text(""),
            Kind::BytesValue(Bytes::new()),
            NULL,
            NULL,
            text("seven"),
        ],
        vec![
            NULL,
            NULL,
            NULL,
            NULL,
            Kind::DateValue("0001-01-01".to_owned()),
            Kind::TimestampValue("9999-12-31T23:59:59".to_owned()),
            Kind::BytesValue(Bytes::from_static(&[7])),
        ],
    ];
    assert_eq!(cells(&result), expected);
    let columns: Vec<_> = result.columns.iter().map(|one| (&*one.name, &*one.database_type, one.r#type())).collect();
    let (int, real, date) = (DataType::Int64, DataType::Double, DataType::Date);
    assert_eq!(columns[..3], [("i", "INTEGER", int), ("r", "REAL", real), ("t", "TEXT", DataType::String)]);
    assert_eq!(columns[3..5], [("b", "BLOB", DataType::Bytes), ("d", "DATE", date)]);
    assert_eq!((columns[6].0, columns[6].1), ("any", ""));
}

#[tokio::test]
async fn a_date_that_is_none_stays_what_it_is() {
    let mut server = Server::start().await;
    let table = "CREATE TABLE t (d DATE, ts TIMESTAMP); INSERT INTO t VALUES ('someday', 'soon'), (20240229, 1.5);";
    let id = server.database("dates", table).await;
    let result = server.execute(&id, "SELECT d, ts FROM t").await.unwrap();
    let expected =
        vec![vec![text("someday"), text("soon")], vec![Kind::Int64Value(20_240_229), Kind::DoubleValue(1.5)]];
    assert_eq!(cells(&result), expected);
}

#[tokio::test]
async fn an_empty_result_has_columns() {
    let (mut server, id) = numbers().await;
    let result = server.execute(&id, "SELECT n, text AS label, n + 1 FROM numbers WHERE n < 0").await.unwrap();
    let names: Vec<_> = result.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!((names[0], names[1], names.len()), ("n", "label", 3));
    assert_eq!((result.row_count, result.truncated), (0, false));
    assert!(result.execution_time.is_some() && result.execution_time_ms > 0.0);
}

#[tokio::test]
async fn rows_are_capped_and_the_cut_is_said() {
    let (mut server, id) = numbers().await;
    let sql = "SELECT n FROM numbers ORDER BY n";
    for (max_rows, rows) in [(0, 1_000), (3, 3), (20_000, 10_000)] {
        let request = ExecuteQueryRequest { max_rows, ..statement(&id, sql) };
        let result = server.queries.execute_query(request).await.unwrap().into_inner();
        assert_eq!((result.row_count, result.rows.len()), (rows, usize::try_from(rows).unwrap()));
        assert_eq!((result.truncated, result.truncation_reason()), (true, TruncationReason::MaxRows), "{max_rows}");
    }
    let exact = ExecuteQueryRequest { max_rows: 3, ..statement(&id, "SELECT n FROM numbers WHERE n <= 3") };
    let result = server.queries.execute_query(exact).await.unwrap().into_inner();
    assert_eq!((result.row_count, result.truncated), (3, false));
    assert_eq!(result.truncation_reason(), TruncationReason::Unspecified);
}

#[tokio::test]
async fn bytes_are_capped_and_the_cut_is_said() {
    let (mut server, id) = numbers().await;
    let kilobyte = "SELECT n, hex(zeroblob(500)) FROM numbers ORDER BY n";
    let request = ExecuteQueryRequest { max_bytes: 10_000, ..statement(&id, kilobyte) };
    let result = server.queries.execute_query(request).await.unwrap().into_inner();
    assert!((5..=10).contains(&result.row_count), "{}", result.row_count);
    assert_eq!((result.truncated, result.truncation_reason()), (true, TruncationReason::MaxBytes));

    let request = ExecuteQueryRequest { max_rows: 10_000, ..statement(&id, kilobyte) };
    let result = server.queries.execute_query(request).await.unwrap().into_inner();
    assert!(prost::Message::encoded_len(&result) <= 3_670_016, "a response stays below 3.5 MiB");
    assert_eq!(result.truncation_reason(), TruncationReason::MaxBytes);
}

#[tokio::test]
async fn parameters_are_bound() {
    let (mut server, id) = numbers().await;
    let run = async |server: &mut Server, sql: &str, parameters: Vec<Kind>| {
        let parameters = parameters.into_iter().map(value).collect();
        server.queries.execute_query(ExecuteQueryRequest { parameters, ..statement(&id, sql) }).await
    };
    let quoted = text("row 1' OR '1'='1");
    let kinds =
        vec![Kind::Int64Value(i64::MIN), Kind::DoubleValue(0.5), quoted, NULL, Kind::BytesValue(vec![1].into())];
    let echoed = run(&mut server, "SELECT ?, ?, ?, ?, ?", kinds.clone()).await.unwrap().into_inner();
    assert_eq!(cells(&echoed), [kinds]);
    let found = run(&mut server, "SELECT n FROM numbers WHERE text = ?", vec![text("row 42")]).await.unwrap();
    assert_eq!(cells(&found.into_inner()), [[Kind::Int64Value(42)]]);

    let too_few = run(&mut server, "SELECT ?, ?", vec![NULL]).await.unwrap_err();
    assert_eq!(too_few.code(), Code::InvalidArgument, "{too_few:?}");
    let unset = ExecuteQueryRequest { parameters: vec![Value::default()], ..statement(&id, "SELECT ?") };
    let refused = server.queries.execute_query(unset).await.unwrap_err();
    assert_error(&refused, Code::InvalidArgument, "FIELD_INVALID", &["parameters[0]"]);
}

#[tokio::test]
async fn a_slow_statement_is_stopped() {
    let (mut server, id) = numbers().await;
    let timeout = Some(prost_types::Duration { seconds: 0, nanos: 50_000_000 });
    let sql = "SELECT count(*) FROM numbers a, numbers b, numbers c WHERE a.n + b.n = c.n";
    let refused =
        server.queries.execute_query(ExecuteQueryRequest { timeout, ..statement(&id, sql) }).await.unwrap_err();
    assert_error(&refused, Code::DeadlineExceeded, "STATEMENT_TIMEOUT", &[]);
    // The connection serves the next statement.
    assert_eq!(server.execute(&id, "SELECT 1").await.unwrap().row_count, 1);
}

#[tokio::test]
async fn a_server_bounds_every_statement() {
    let mut server = Server::with(&["--statement-timeout", "50ms", "--max-statement-timeout", "50ms"]).await;
    let id = server.database("numbers", NUMBERS).await;
    let timeout = Some(prost_types::Duration { seconds: 60, nanos: 0 });
    let sql = "SELECT count(*) FROM numbers a, numbers b, numbers c WHERE a.n + b.n = c.n";
    let refused =
        server.queries.execute_query(ExecuteQueryRequest { timeout, ..statement(&id, sql) }).await.unwrap_err();
    assert_error(&refused, Code::DeadlineExceeded, "STATEMENT_TIMEOUT", &[]);
}

/// The parts of a stream: names of the columns, first cell of each row in each batch, and the summary.
async fn read(
    server: &mut Server,
    request: StreamQueryRequest,
) -> Result<(Vec<String>, Vec<Vec<Kind>>, StreamSummary), Status> {
    let mut parts = server.queries.stream_query(request).await?.into_inner();
    let Some(Part::Header(header)) = parts.message().await?.unwrap().part else { panic!("the header comes first") };
    assert_eq!(header.format(), StreamFormat::Rows);
    let mut batches = Vec::new();
    loop {
        match parts.message().await?.expect("a summary ends the stream").part.unwrap() {
            Part::Batch(batch) => {
                assert!(prost::Message::encoded_len(&batch) <= 512 * 1024, "a batch is about 256 KiB");
                let Some(stream_batch::Data::Rows(rows)) = batch.data else { panic!("typed rows") };
                batches.push(rows.rows.into_iter().map(|row| row.values[0].kind.clone().unwrap()).collect());
            }
            Part::Summary(summary) => {
                assert!(parts.message().await?.is_none(), "nothing follows the summary");
                return Ok((header.columns.into_iter().map(|column| column.name).collect(), batches, summary));
            }
            Part::Header(_) => panic!("one header"),
        }
    }
}

#[tokio::test]
async fn fifty_thousand_rows_stream_in_batches() {
    let (mut server, id) = numbers().await;
    let (columns, batches, summary) =
        read(&mut server, stream_of(&id, "SELECT n, text FROM numbers ORDER BY n")).await.unwrap();
    assert_eq!(columns, ["n", "text"]);
    assert!(batches.len() > 1, "{} batches", batches.len());
    let expected: Vec<Kind> = (1..=50_000).map(Kind::Int64Value).collect();
    assert_eq!(batches.concat(), expected);
    assert_eq!((summary.row_count, summary.truncated), (50_000, false));
    assert!(summary.size_bytes > 0 && summary.execution_time.is_some());
}

#[tokio::test]
async fn a_stream_has_limits_too() {
    let (mut server, id) = numbers().await;
    let sql = "SELECT n FROM numbers ORDER BY n";
    let few = StreamQueryRequest { max_rows: 10, ..stream_of(&id, sql) };
    let (_, batches, summary) = read(&mut server, few).await.unwrap();
    assert_eq!((batches.concat().len(), summary.row_count), (10, 10));
    assert_eq!((summary.truncated, summary.truncation_reason()), (true, TruncationReason::MaxRows));
    let small = StreamQueryRequest { max_bytes: 1_000, ..stream_of(&id, sql) };
    let (_, _, summary) = read(&mut server, small).await.unwrap();
    assert_eq!(summary.truncation_reason(), TruncationReason::MaxBytes);

    let timeout = Some(prost_types::Duration { seconds: 0, nanos: 50_000_000 });
    let slow = "SELECT count(*) FROM numbers a, numbers b, numbers c WHERE a.n + b.n = c.n";
    let refused = read(&mut server, StreamQueryRequest { timeout, ..stream_of(&id, slow) }).await.unwrap_err();
    assert_error(&refused, Code::DeadlineExceeded, "STATEMENT_TIMEOUT", &[]);
    let refused = read(&mut server, stream_of(&id, "DELETE FROM numbers")).await.unwrap_err();
    assert_error(&refused, Code::PermissionDenied, "SQL_NOT_ALLOWED", &[]);
}

// --- The rows of a workflow -----------------------------------------------------------------------------------------

fn stream_of_workflow(id: &str) -> StreamQueryRequest {
    StreamQueryRequest { source: Some(Source::WorkflowId(id.to_owned())), ..StreamQueryRequest::default() }
}

#[tokio::test]
async fn a_workflow_gives_all_its_rows() {
    let model =
        script::model("SELECT order_id, count(*) AS items FROM order_items GROUP BY order_id ORDER BY order_id", None)
            .await;
    let mut server = script::server(&model, &[]).await;
    let demo = connection_id(&server.channel, "demo").await;
    let (id, _) = run(&mut server.workflows, question(&demo, script::QUESTION)).await;
    let whole = workflow(&mut server.workflows, &id).await;
    let kept = whole.result.unwrap_or_else(|| panic!("{:?}", whole.failure));
    assert!(kept.truncated && kept.rows.len() < 1_000, "{} rows are kept", kept.rows.len());

    let (columns, batches, summary) = read(&mut server, stream_of_workflow(&id)).await.unwrap();
    assert_eq!(columns, ["order_id", "items"]);
    let orders = server.execute(&demo, "SELECT count(DISTINCT order_id) FROM order_items").await.unwrap();
    assert_eq!(cells(&orders), [[Kind::Int64Value(summary.row_count)]]);
    assert!(!summary.truncated);
    assert_eq!(batches.concat()[0], kept.rows[0].values[0].kind.clone().unwrap());
    let few = StreamQueryRequest { max_rows: 3, ..stream_of_workflow(&id) };
    let (_, _, summary) = read(&mut server, few).await.unwrap();
    assert_eq!((summary.row_count, summary.truncation_reason()), (3, TruncationReason::MaxRows));
}

#[tokio::test]
async fn a_workflow_that_was_not_to_run_can_be_run() {
    let mut server = Server::demo(&[]).await;
    let demo = connection_id(&server.channel, "demo").await;
    let ask = StartWorkflowRequest { execute: Some(false), ..question(&demo, script::QUESTION) };
    let (id, _) = run(&mut server.workflows, ask).await;
    let (_, batches, summary) = read(&mut server, stream_of_workflow(&id)).await.unwrap();
    let customers = server.execute(&demo, "SELECT count(*) FROM customers").await.unwrap();
    assert_eq!((batches.concat(), summary.row_count), (cells(&customers).concat(), 1));

    // Its connection is asked, not its memory: once that is gone, so are the rows.
    let gone = DeleteConnectionRequest { id: demo, ..DeleteConnectionRequest::default() };
    server.connections.delete_connection(gone).await.unwrap();
    let refused = read(&mut server, stream_of_workflow(&id)).await.unwrap_err();
    assert_error(&refused, Code::NotFound, "CONNECTION_NOT_FOUND", &[]);
}

#[tokio::test]
async fn a_workflow_without_sql_has_no_rows() {
    let mut server = Server::demo(&[]).await;
    let demo = connection_id(&server.channel, "demo").await;
    let planets = InlineTable {
        columns: [("id", "INTEGER"), ("name", "TEXT")].map(|(name, kind)| (name.to_owned(), kind.to_owned())).into(),
        ..InlineTable::default()
    };
    let schema = InlineSchema { tables: [("planets".to_owned(), planets)].into(), ..InlineSchema::default() };
    let inline = StartWorkflowRequest {
        source: Some(StartSource::InlineSchema(schema)),
        ..question("", "How many planets are there?")
    };
    for (request, status) in
        [(inline, WorkflowStatus::Completed), (question(&demo, "Blue yonder wherefore?"), WorkflowStatus::Failed)]
    {
        let (id, _) = run(&mut server.workflows, request).await;
        assert_eq!(workflow(&mut server.workflows, &id).await.status(), status);
        let refused = read(&mut server, stream_of_workflow(&id)).await.unwrap_err();
        assert_error(&refused, Code::FailedPrecondition, "WORKFLOW_WITHOUT_SQL", &[]);
        assert_eq!(refused.get_details_error_info().unwrap().metadata["workflow_id"], id);
    }
}

#[tokio::test]
async fn a_workflow_must_have_ended_before_its_rows_are_read() {
    let model = script::model(script::ANSWER, Some("composer")).await;
    let mut server = script::server(&model, &[]).await;
    let demo = connection_id(&server.channel, "demo").await;
    let id = start(&mut server.workflows, question(&demo, script::QUESTION)).await;
    Follower::new(&mut server.workflows, &id, 0).await.until("step_started composer").await;
    let refused = read(&mut server, stream_of_workflow(&id)).await.unwrap_err();
    assert_error(&refused, Code::FailedPrecondition, "WORKFLOW_NOT_FINISHED", &[]);
    assert_eq!(refused.get_details_error_info().unwrap().metadata["status"], "RUNNING");
    model.release("composer");
    watch(&mut server.workflows, &id, 0).await;
    assert_eq!(read(&mut server, stream_of_workflow(&id)).await.unwrap().2.row_count, 1);
}

async fn validate(server: &mut Server, id: &str, sql: &str) -> ValidateQueryResponse {
    let request =
        ValidateQueryRequest { connection_id: id.to_owned(), sql: sql.to_owned(), ..ValidateQueryRequest::default() };
    server.queries.validate_query(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn a_valid_statement_passes_every_check() {
    let (mut server, id) = numbers().await;
    let answer = validate(&mut server, &id, "SELECT n, text FROM numbers WHERE n = 1").await;
    assert!(answer.valid && answer.error.is_none(), "{answer:?}");
    let kinds: Vec<_> = answer.checks.iter().map(Check::kind).collect();
    assert_eq!(kinds, [CheckKind::Parse, CheckKind::ReadOnly, CheckKind::Schema, CheckKind::Planner]);
    assert!(answer.checks.iter().all(|check| check.verdict() == CheckVerdict::Passed), "{answer:?}");
    assert_eq!(answer.tables, ["main.numbers"]);
    assert!(answer.plan.contains("numbers"), "{}", answer.plan);
}

#[tokio::test]
async fn the_first_failed_check_says_why_and_skips_the_rest() {
    let (mut server, id) = numbers().await;
    let cases = [
        ("SELEKT n FROM numbers", CheckKind::Parse, "SqlNotUnderstood"),
        ("DELETE FROM numbers", CheckKind::ReadOnly, "SqlNotAllowed"),
        ("SELECT n FROM numbres", CheckKind::Schema, "SqlFailed"),
        ("SELECT nn FROM numbers", CheckKind::Schema, "SqlFailed"),
    ];
    for (sql, failing, reason) in cases {
        let answer = validate(&mut server, &id, sql).await;
        assert!(!answer.valid && answer.error.is_some_and(|error| !error.message.is_empty()), "{sql}");
        let mut seen = false;
        for check in &answer.checks {
            let expected = match (check.kind() == failing, seen) {
                (true, _) => CheckVerdict::Failed,
                (false, false) => CheckVerdict::Passed,
                (false, true) => CheckVerdict::Skipped,
            };
            assert_eq!(check.verdict(), expected, "{sql}: {check:?}");
            if check.kind() == failing {
                assert_eq!(format!("{:?}", check.reason()), reason, "{sql}");
            }
            seen |= check.kind() == failing;
        }
        assert!(seen, "{sql}");
    }
}

#[tokio::test]
async fn validate_only_runs_nothing() {
    let (mut server, id) = numbers().await;
    let request = ExecuteQueryRequest { validate_only: true, ..statement(&id, "SELECT n FROM numbers") };
    let answer = server.queries.execute_query(request).await.unwrap().into_inner();
    assert_eq!((answer.row_count, answer.rows.len(), answer.truncated), (0, 0, false));
    let request = ExecuteQueryRequest { validate_only: true, ..statement(&id, "SELECT nn FROM numbers") };
    assert_error(&server.queries.execute_query(request).await.unwrap_err(), Code::InvalidArgument, "SQL_FAILED", &[]);
}

#[tokio::test]
async fn a_read_that_breaks_a_domain_writes_nothing() {
    let database = servers::postgres().await.fresh_database("domain").await;
    database.admin("CREATE DOMAIN positive AS int CHECK (VALUE > 0); CREATE TABLE t (name text, amount int);").await;
    database.admin("INSERT INTO t VALUES ('a', -1);").await;
    let mut server = Server::start().await;
    let url = database.url(READ_ONLY);
    let id = server.create(ConnectionSpec { url, ..ConnectionSpec::default() }).await.unwrap().id;
    let broken = "SELECT amount::positive FROM t";
    let streamed = async {
        let mut pieces = server.queries.clone().stream_query(stream_of(&id, broken)).await?.into_inner();
        while pieces.message().await?.is_some() {}
        Ok::<_, Status>(())
    };
    let streamed = streamed.await.unwrap_err();
    for refused in [server.execute(&id, broken).await.unwrap_err(), streamed] {
        assert_error(&refused, Code::InvalidArgument, "SQL_FAILED", &[]);
        assert!(refused.message().contains("domain positive") && !refused.message().contains("write"), "{refused:?}");
        assert_eq!(sql_error(&refused).sqlstate, "23514");
    }
    // The server's hint is a sentence; ours around it ends once.
    let refused = server.execute(&id, "SELECT t.nmae FROM t").await.unwrap_err();
    assert!(refused.message().contains("Hint: ") && refused.message().ends_with('.'), "{refused:?}");
    assert!(!refused.message().contains(".."), "{refused:?}");
}

#[tokio::test]
async fn what_the_guard_cannot_parse_is_not_understood() {
    let (mut server, id) = numbers().await;
    for (sql, position) in [("SELECT n FRO numbers WHERE", 14), ("SELEKT 1", 1), ("SELECT (1", 10)] {
        let refused = server.execute(&id, sql).await.unwrap_err();
        assert_error(&refused, Code::InvalidArgument, "SQL_NOT_UNDERSTOOD", &[]);
        let detail = sql_error(&refused);
        assert!(detail.position > 0 && detail.position <= position + 12, "{sql}: {detail:?}");
        assert!(!detail.message.is_empty() && !detail.rule.is_empty(), "{sql}: {detail:?}");
    }
}

#[tokio::test]
async fn what_policy_forbids_is_not_allowed() {
    let (mut server, id) = numbers().await;
    for sql in [
        "DELETE FROM numbers",
        "INSERT INTO numbers VALUES (0, '')",
        "UPDATE numbers SET text = ''",
        "DROP TABLE numbers",
        "CREATE TABLE t (a)",
        "VACUUM",
        "ATTACH DATABASE 'other.sqlite' AS other",
        "SELECT load_extension('x')",
        "SELECT writefile('x', 'y')",
        "SELECT readfile('/etc/passwd')",
        "PRAGMA writable_schema = 1",
        "BEGIN",
        "WITH gone AS (SELECT 1) DELETE FROM numbers",
    ] {
        let refused = server.execute(&id, sql).await.unwrap_err();
        assert_error(&refused, Code::PermissionDenied, "SQL_NOT_ALLOWED", &[]);
        let detail = sql_error(&refused);
        assert!(!detail.message.is_empty() && !detail.rule.is_empty(), "{sql}: {detail:?}");
    }
}

#[tokio::test]
async fn the_database_says_what_failed() {
    let (mut server, id) = numbers().await;
    let refused = server.execute(&id, "SELECT txt FROM numbers").await.unwrap_err();
    assert_error(&refused, Code::InvalidArgument, "SQL_FAILED", &[]);
    let detail = sql_error(&refused);
    assert!(detail.sqlstate.starts_with("SQLITE_") && detail.message.contains("txt"), "{detail:?}");
    assert_eq!((detail.position, detail.rule.as_str()), (8, ""), "{detail:?}");
    assert_error(
        &server.execute(&id, "SELECT * FROM nowhere").await.unwrap_err(),
        Code::InvalidArgument,
        "SQL_FAILED",
        &[],
    );
    let at_run_time = server.execute(&id, "SELECT abs(-9223372036854775807 - 1)").await.unwrap_err();
    assert_error(&at_run_time, Code::InvalidArgument, "SQL_FAILED", &[]);
}

#[tokio::test]
async fn people_may_ask_what_tables_there_are() {
    let (mut server, id) = numbers().await;
    let tables = server.execute(&id, "SHOW TABLES").await.unwrap();
    assert_eq!(cells(&tables), [[text("numbers"), text("table")]]);
    for sql in ["DESCRIBE numbers", "SHOW COLUMNS FROM numbers"] {
        let columns = server.execute(&id, sql).await.unwrap();
        assert!(cells(&columns).iter().flatten().any(|cell| *cell == text("text")), "{sql}: {columns:?}");
    }
    assert!(server.execute(&id, "SHOW DATABASES").await.unwrap().row_count >= 1);
}

#[tokio::test]
async fn a_connection_may_lower_the_limits() {
    use pulse::pb::v1::ConnectionLimits;
    let (mut server, _) = numbers().await;
    let limits = Some(ConnectionLimits { max_rows: 5, ..ConnectionLimits::default() });
    let small = pulse::pb::v1::ConnectionSpec { limits, ..crate::support::databases::spec("small", "numbers.sqlite") };
    let id = server.create(small).await.unwrap().id;
    let request = ExecuteQueryRequest { max_rows: 100, ..statement(&id, "SELECT n FROM numbers") };
    let result = server.queries.execute_query(request).await.unwrap().into_inner();
    assert_eq!((result.row_count, result.truncation_reason()), (5, TruncationReason::MaxRows));
}

/// A call used to get one more thread of the program's own when it came while the last one on the same connection was about
/// to end: a hundred of them for sixteen connections.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn many_calls_at_once_take_no_more_threads_than_connections() {
    let folder = Folder::with_demo();
    let process = Process::serve(folder.path(), &["--demo", "--pool-size", "4"]).await;
    let demo = connection_id(&process.channel().await, "demo").await;
    let client = QueryServiceClient::new(process.channel().await);
    join_all((0..64).map(|_| async {
        for _ in 0..20 {
            let (mut client, request) = (client.clone(), statement(&demo, "SELECT count(*) FROM customers"));
            assert_eq!(client.execute_query(request).await.unwrap().into_inner().row_count, 1);
        }
    }))
    .await;
    let threads = std::fs::read_dir(format!("/proc/{}/task", process.id())).unwrap();
    // One that ends meanwhile has no name any more.
    let names = threads.filter_map(|thread| std::fs::read_to_string(thread.unwrap().path().join("comm")).ok());
    let for_files = names.filter(|name| name.trim() == "sqlite").count();
    assert!((1..=4).contains(&for_files), "{for_files} threads wait for files");
}

#[tokio::test]
async fn the_database_file_stays_as_it_was() {
    let (mut server, id) = numbers().await;
    let path = server.databases().join("numbers.sqlite");
    let before = std::fs::read(&path).unwrap();
    let listed = |server: &Server| {
        let files = std::fs::read_dir(server.databases()).unwrap().map(|entry| entry.unwrap().file_name());
        files.collect::<Vec<_>>()
    };
    for sql in [
        "SELECT count(*) FROM numbers",
        "DELETE FROM numbers",
        "UPDATE numbers SET text = '' RETURNING n",
        "SELECT txt FROM numbers",
        "PRAGMA user_version = 7",
        "ANALYZE",
        "REINDEX",
    ] {
        let _ = server.execute(&id, sql).await;
        validate(&mut server, &id, sql).await;
        let _ = read(&mut server, stream_of(&id, sql)).await;
    }
    run(&mut server.workflows, question(&id, "How many numbers are there?")).await;
    assert!(std::fs::read(&path).unwrap() == before, "the database file was written to");
    assert_eq!(listed(&server), ["numbers.sqlite"], "nothing appears beside the file");
}
