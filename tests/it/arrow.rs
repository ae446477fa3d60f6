//! `StreamQuery` in ARROW format: what pyarrow reads is what typed rows say.

use std::io::Write;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_ipc::reader::StreamReader;
use pulse::pb::v1::value::Kind;
use pulse::pb::v1::{
    StreamFormat, StreamQueryRequest, StreamSummary, TruncationReason, stream_batch::Data, stream_query_response::Part,
};
use serde_json::Value as Json;
use tonic::{Code, Status};

use crate::support::calls::assert_error;
use crate::support::databases::{cells, stream_of};
use crate::support::process::python;
use crate::support::server::Server;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/read_arrow.py");

const MANY: &str = "
CREATE TABLE many (n INTEGER PRIMARY KEY, text TEXT NOT NULL, late ANY);
WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < 50000)
INSERT INTO many SELECT n, 'row ' || n, iif(n = 49999, 'late', n) FROM counted;
";

/// The pieces of an Arrow stream and its summary, or the status that ends it.
async fn stream(server: &mut Server, request: StreamQueryRequest) -> Result<(Vec<Vec<u8>>, StreamSummary), Status> {
    let request = StreamQueryRequest { format: StreamFormat::Arrow.into(), ..request };
    let mut parts = server.queries.stream_query(request).await?.into_inner();
    let Some(Part::Header(header)) = parts.message().await?.unwrap().part else { panic!("the header comes first") };
    assert_eq!(header.format(), StreamFormat::Arrow);
    let mut pieces = Vec::new();
    loop {
        match parts.message().await?.expect("a summary ends the stream").part.unwrap() {
            Part::Batch(batch) => {
                let Some(Data::ArrowIpc(piece)) = batch.data else { panic!("bytes of Arrow") };
                assert!(!piece.is_empty() && piece.len() <= 1 << 20, "{} bytes", piece.len());
                pieces.push(piece.to_vec());
            }
            Part::Summary(summary) => {
                assert!(parts.message().await?.is_none(), "nothing follows the summary");
                return Ok((pieces, summary));
            }
            Part::Header(_) => panic!("one header"),
        }
    }
}

/// What pyarrow reads from the pieces.
async fn pyarrow(pieces: &[Vec<u8>]) -> Json {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&pieces.concat()).unwrap();
    let output = python().arg(SCRIPT).arg(file.path()).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A typed cell as the script prints it.
fn shown(kind: &Kind) -> Option<String> {
    match kind.clone() {
        Kind::NullValue(_) => None,
        Kind::BoolValue(value) => Some(value.to_string()),
        Kind::Int64Value(number) => Some(number.to_string()),
        Kind::DoubleValue(number) if number.is_infinite() => Some(if number > 0.0 { "inf" } else { "-inf" }.to_owned()),
        Kind::DoubleValue(number) => Some(format!("{number:?}")),
        Kind::BytesValue(bytes) => Some(hex::encode(bytes)),
        Kind::StringValue(text)
        | Kind::DateValue(text)
        | Kind::TimeValue(text)
        | Kind::TimestampValue(text)
        | Kind::ZonedTimestampValue(text)
        | Kind::UuidValue(text)
        | Kind::JsonValue(text) => Some(text),
        other => panic!("SQLite has no {other:?}"),
    }
}

#[tokio::test]
async fn pyarrow_reads_what_rows_say() {
    let mut server = Server::start().await;
    let table = r#"
        CREATE TABLE cells (flag BOOLEAN, i INTEGER, r REAL, price DECIMAL(10,2), t TEXT, b BLOB, d DATE, tm TIME,
            ts TIMESTAMP, tz TIMESTAMP WITH TIME ZONE, u UUID, j JSON, bare, mixed, odd DATE);
        INSERT INTO cells VALUES
            (1, 9223372036854775807, 0.1, 9.99, 'Grüße', x'00ff10', '2024-02-29', '13:45:00.123456',
             '2024-02-29 13:45:00.123456', '2024-02-29 13:45:00Z', '0198c0de-0000-7000-8000-00000000abcd',
             '{"a": 1.50}', 7, 7, '2024-02-29'),
            (0, -9223372036854775808, 1.5, 10, '', x'', '0001-01-01', '00:00:00', '0001-01-01 00:00:00',
             '1969-12-31 23:59:59.999999Z', NULL, '[]', 8, 'seven', 'someday'),
            (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
            (1, 0, -9e999, -0.5, '🦀', x'07', '9999-12-31', '23:59:59.999999', '9999-12-31 23:59:59.999999',
             '9999-12-31 23:59:59Z', '00000000-0000-0000-0000-000000000000', 'null', -9, 0.5, '2024-02-30');"#;
    let id = server.database("cells", table).await;
    let sql = "SELECT *, 1 AS n, 2.5 AS n, NULL AS none, 'x' AS \"\" FROM cells";
    let rows = server.execute(&id, sql).await.unwrap();
    let (pieces, summary) = stream(&mut server, stream_of(&id, sql)).await.unwrap();
    assert_eq!((summary.row_count, summary.truncated), (4, false));

    let read = pyarrow(&pieces).await;
    let mut expected: Vec<Vec<_>> = cells(&rows).iter().map(|row| row.iter().map(shown).collect()).collect();
    // SQLite keeps a decimal without fraction as an integer; its column is one of doubles.
    assert_eq!(expected[1][3].replace("10.0".to_owned()).as_deref(), Some("10"));
    let expected = serde_json::to_value(expected).unwrap();
    for (read, expected) in read["rows"].as_array().unwrap().iter().zip(expected.as_array().unwrap()) {
        assert_eq!(read, expected);
    }
    let names: Vec<&str> = read["fields"].as_array().unwrap().iter().map(|field| field[0].as_str().unwrap()).collect();
    assert_eq!(names, rows.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>());
    let types: Vec<&str> = read["fields"].as_array().unwrap().iter().map(|field| field[1].as_str().unwrap()).collect();
    assert_eq!(types[..5], ["bool", "int64", "double", "double", "string"]);
    assert_eq!(types[5..10], ["binary", "date32[day]", "time64[us]", "timestamp[us]", "timestamp[us, tz=UTC]"]);
    assert_eq!(types[10..12], ["extension<arrow.uuid>", "extension<arrow.json>"]);
    assert_eq!(types[12..], ["int64", "string", "string", "int64", "double", "string", "string"]);
}

#[tokio::test]
async fn many_rows_come_in_many_batches() {
    let mut server = Server::start().await;
    let id = server.database("many", MANY).await;
    let (pieces, summary) = stream(&mut server, stream_of(&id, "SELECT n, text FROM many ORDER BY n")).await.unwrap();
    assert_eq!((summary.row_count, summary.truncated), (50_000, false));
    assert_eq!(summary.size_bytes, i64::try_from(pieces.concat().len()).unwrap());
    let read = pyarrow(&pieces).await;
    assert!(read["batches"].as_u64().unwrap() > 1, "{}", read["batches"]);
    let rows = read["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 50_000);
    for (number, row) in (1..).zip(rows) {
        assert_eq!(*row, serde_json::json!([number.to_string(), format!("row {number}")]));
    }
}

#[tokio::test]
async fn an_empty_result_is_a_stream_with_a_schema() {
    let mut server = Server::start().await;
    let id = server.database("many", MANY).await;
    let sql = "SELECT n, text, n + 1, n FROM many WHERE n < 0";
    let (pieces, summary) = stream(&mut server, stream_of(&id, sql)).await.unwrap();
    assert_eq!((summary.row_count, summary.size_bytes), (0, i64::try_from(pieces.concat().len()).unwrap()));
    let expected = serde_json::json!({
        "fields": [["n", "int64"], ["text", "string"], ["n + 1", "string"], ["n", "int64"]], "batches": 0, "rows": []
    });
    assert_eq!(pyarrow(&pieces).await, expected);
}

#[tokio::test]
async fn a_late_cell_that_does_not_fit_ends_the_stream() {
    let mut server = Server::start().await;
    let id = server.database("many", MANY).await;
    let refused = stream(&mut server, stream_of(&id, "SELECT n, late FROM many ORDER BY n")).await.unwrap_err();
    assert_error(&refused, Code::InvalidArgument, "FIELD_INVALID", &["format"]);
    for said in ["`late`", "49999", "CAST"] {
        assert!(refused.message().contains(said), "{said}: {}", refused.message());
    }
    // The remedy that it names helps, and the connection serves on.
    let remedy = stream_of(&id, "SELECT n, CAST(late AS TEXT) AS late FROM many ORDER BY n");
    let (_, summary) = stream(&mut server, remedy).await.unwrap();
    assert_eq!(summary.row_count, 50_000);
}

#[tokio::test]
async fn limits_and_refusals_are_those_of_rows() {
    let mut server = Server::start().await;
    let id = server.database("many", MANY).await;
    let few = StreamQueryRequest { max_rows: 3, ..stream_of(&id, "SELECT n FROM many ORDER BY n") };
    let (pieces, summary) = stream(&mut server, few).await.unwrap();
    assert_eq!((summary.row_count, summary.truncation_reason()), (3, TruncationReason::MaxRows));
    let reader = StreamReader::try_new(std::io::Cursor::new(pieces.concat()), None).unwrap();
    let batches: Vec<_> = reader.map(Result::unwrap).collect();
    assert_eq!(batches.len(), 1);
    assert_eq!(batches[0].column(0).as_primitive::<Int64Type>().values().to_vec(), [1, 2, 3]);

    let refused = stream(&mut server, stream_of(&id, "DELETE FROM many")).await.unwrap_err();
    assert_error(&refused, Code::PermissionDenied, "SQL_NOT_ALLOWED", &[]);
}
