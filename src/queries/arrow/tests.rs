//! What a reader of the stream gets back.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float64Type, Int64Type, Time64MicrosecondType, TimestampMicrosecondType, UInt64Type,
};
use arrow_array::{Array, RecordBatch};
use arrow_ipc::reader::StreamReader;
use arrow_schema::{DataType, SchemaRef, TimeUnit};
use prost::bytes::Bytes;

use super::Encoder;
use crate::domain::{ColumnType, DatabaseKind, Failure, Reason, ResultColumn, Row, Value};

fn column(kind: ColumnType) -> ResultColumn {
    ResultColumn { name: "c".into(), database_type: String::new(), kind }
}

/// The stream of these batches, read back.
fn read(
    database: DatabaseKind,
    columns: Vec<ResultColumn>,
    batches: &[Vec<Row>],
) -> Result<(SchemaRef, Vec<RecordBatch>), Failure> {
    let mut encoder = Encoder::new(database, columns);
    let mut stream = Vec::new();
    for rows in batches {
        stream.extend(encoder.encode(&rows.clone().into())?);
    }
    stream.extend(encoder.finish()?);
    let reader = StreamReader::try_new(std::io::Cursor::new(stream.concat()), None).unwrap();
    Ok((reader.schema(), reader.map(Result::unwrap).collect()))
}

/// One column of one batch, read back.
fn one(database: DatabaseKind, column: ResultColumn, cells: Vec<Value>) -> arrow_array::ArrayRef {
    let rows: Vec<Row> = cells.into_iter().map(|cell| vec![cell]).collect();
    let (_, batches) = read(database, vec![column], &[rows]).unwrap();
    batches[0].column(0).clone()
}

fn postgresql(kind: ColumnType, cells: Vec<Value>) -> arrow_array::ArrayRef {
    one(DatabaseKind::Postgresql, column(kind), cells)
}

fn sqlite(kind: ColumnType, cells: Vec<Value>) -> arrow_array::ArrayRef {
    one(DatabaseKind::Sqlite, column(kind), cells)
}

fn string(text: &str) -> Value {
    Value::String(text.to_owned())
}

/// The type of the column and its cells as text.
fn texts(array: &dyn Array) -> Vec<Option<&str>> {
    array.as_string::<i32>().iter().collect()
}

#[test]
fn numbers_are_exact_at_their_extremes() {
    let integers = postgresql(ColumnType::Integer, vec![Value::Int64(i64::MIN), Value::Null, Value::Int64(i64::MAX)]);
    let read: Vec<_> = integers.as_primitive::<Int64Type>().iter().collect();
    assert_eq!(read, [Some(i64::MIN), None, Some(i64::MAX)]);

    let unsigned = one(DatabaseKind::Mysql, column(ColumnType::Unsigned), vec![Value::Uint64(u64::MAX)]);
    assert_eq!(unsigned.as_primitive::<UInt64Type>().value(0), u64::MAX);

    let doubles = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.1 + 0.2, f64::MIN_POSITIVE, f64::MAX];
    let array = postgresql(ColumnType::Float, doubles.map(Value::Double).to_vec());
    let read = array.as_primitive::<Float64Type>().values().to_vec();
    assert_eq!(read.iter().map(|one| one.to_bits()).collect::<Vec<_>>(), doubles.map(f64::to_bits));
}

#[test]
fn decimals_keep_every_digit() {
    let declared = ResultColumn { database_type: "numeric(38,2)".into(), ..column(ColumnType::Decimal) };
    let largest = format!("{}.99", "9".repeat(36));
    let cells = ["-12.30", "0.00", "7", &largest, &format!("-{largest}")].map(|text| Value::Decimal(text.to_owned()));
    let array = one(DatabaseKind::Postgresql, declared.clone(), cells.to_vec());
    assert_eq!(array.data_type(), &DataType::Decimal128(38, 2));
    let most = 10_i128.pow(38) - 1;
    assert_eq!(array.as_primitive::<Decimal128Type>().values().to_vec(), [-1230, 0, 700, most, -most]);

    // More than the type holds, and without a declared scale: text.
    let cells = vec![Value::Decimal("1.50".into()), Value::Decimal("NaN".into()), Value::Decimal("0.123".into())];
    for column in [declared, column(ColumnType::Decimal)] {
        let array = one(DatabaseKind::Postgresql, column, cells.clone());
        assert_eq!(texts(&array), [Some("1.50"), Some("NaN"), Some("0.123")]);
    }
}

#[test]
fn moments_are_never_shifted() {
    let date = |text: &str| Value::Date(text.to_owned());
    let array = postgresql(ColumnType::Date, vec![date("1969-12-31"), date("0001-01-01"), date("9999-12-31")]);
    assert_eq!(array.as_primitive::<Date32Type>().values().to_vec(), [-1, -719_162, 2_932_896]);

    let times = vec![Value::Time("00:00:00".into()), Value::Time("23:59:59.999999".into())];
    let array = postgresql(ColumnType::Time, times);
    assert_eq!(array.as_primitive::<Time64MicrosecondType>().values().to_vec(), [0, 86_399_999_999]);

    let before = vec![Value::Timestamp("1969-12-31T23:59:59.999999".into())];
    let array = postgresql(ColumnType::Timestamp, before);
    assert_eq!(array.data_type(), &DataType::Timestamp(TimeUnit::Microsecond, None));
    assert_eq!(array.as_primitive::<TimestampMicrosecondType>().value(0), -1);

    let zoned = ["1970-01-01T00:00:00Z", "1970-01-01T02:00:00+02:00", "1969-12-31T18:30:00-05:30"];
    let array = postgresql(ColumnType::TimestampTz, zoned.map(|text| Value::TimestampTz(text.to_owned())).to_vec());
    assert_eq!(array.data_type(), &DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())));
    assert_eq!(array.as_primitive::<TimestampMicrosecondType>().values().to_vec(), [0, 0, 0]);
}

#[test]
fn moments_that_arrow_has_no_number_for_are_text() {
    for (kind, cells) in [
        (ColumnType::Date, vec![Value::Date("2024-02-29".into()), Value::Date("infinity".into())]),
        (ColumnType::Date, vec![Value::Date("0000-00-00".into()), Value::Date("2024-00-10".into())]),
        (ColumnType::Time, vec![Value::Time("24:00:00".into()), Value::Time("13:45:00+02:00".into())]),
        (ColumnType::Time, vec![Value::Time("-838:59:59".into()), Value::Time("00:00:00.0000001".into())]),
        (ColumnType::Timestamp, vec![Value::Timestamp("-infinity".into()), Value::Null]),
        (ColumnType::Timestamp, vec![Value::Date("2024-02-29".into()), Value::Timestamp("2024-02-29T00:00".into())]),
        (ColumnType::Interval, vec![Value::Interval("P1Y2M3DT4H5M6.789S".into())]),
    ] {
        let expected: Vec<Option<String>> = cells
            .iter()
            .map(|cell| match cell {
                Value::Date(text) | Value::Time(text) | Value::Timestamp(text) | Value::Interval(text) => {
                    Some(text.clone())
                }
                _ => None,
            })
            .collect();
        let array = postgresql(kind, cells);
        assert_eq!(texts(&array), expected.iter().map(Option::as_deref).collect::<Vec<_>>());
    }
}

#[test]
fn text_bytes_and_the_rest_arrive_as_they_are() {
    let array = postgresql(ColumnType::Text, vec![string("Grüße"), string(""), Value::Null]);
    assert_eq!(texts(&array), [Some("Grüße"), Some(""), None]);
    let array = postgresql(ColumnType::Bytes, vec![Value::Bytes(vec![0, 255]), Value::Null, Value::Bytes(vec![])]);
    assert_eq!(array.as_binary::<i32>().iter().collect::<Vec<_>>(), [Some(&[0, 255][..]), None, Some(&[])]);
    let array = postgresql(ColumnType::Other, vec![Value::Other("[1,5)".into())]);
    assert_eq!(texts(&array), [Some("[1,5)")]);
    let array = postgresql(ColumnType::Boolean, vec![Value::Bool(true), Value::Null, Value::Bool(false)]);
    assert_eq!(array.as_boolean().iter().collect::<Vec<_>>(), [Some(true), None, Some(false)]);

    let uuid = "0198c0de-0000-7000-8000-00000000abcd";
    let array = postgresql(ColumnType::Uuid, vec![Value::Uuid(uuid.into()), Value::Null]);
    assert_eq!(hex::encode(array.as_fixed_size_binary().value(0)), uuid.replace('-', ""));
    assert!(array.is_null(1));
    // 16 bytes would not say that it was written large.
    let large = vec![Value::Uuid(uuid.to_uppercase())];
    assert_eq!(texts(&sqlite(ColumnType::Uuid, large)), [Some(&*uuid.to_uppercase())]);
}

#[test]
fn json_stays_the_text_it_is() {
    let text = "{\"a\": 1.50, \"a\":null}";
    let (schema, batches) = read(
        DatabaseKind::Postgresql,
        vec![column(ColumnType::Json)],
        &[vec![vec![Value::Json(text.into())], vec![Value::Null]]],
    )
    .unwrap();
    assert_eq!(schema.field(0).metadata()["ARROW:extension:name"], "arrow.json");
    assert_eq!(texts(batches[0].column(0)), [Some(text), None]);
    // What is no JSON must not be called so.
    let rows = vec![vec![Value::Json("{}".into())], vec![string("{a:1}")]];
    let (schema, _) = read(DatabaseKind::Sqlite, vec![column(ColumnType::Json)], &[rows]).unwrap();
    assert!(!schema.field(0).metadata().contains_key("ARROW:extension:name"));
}

#[test]
fn arrays_are_json_that_no_reader_rounds() {
    let items = vec![
        Value::Null,
        Value::Int64(i64::MAX),
        Value::Double(0.5),
        Value::Double(f64::NAN),
        Value::Decimal("12.30".into()),
        string("a\"\\\n"),
        Value::Bytes(vec![0, 255]),
        Value::Bool(true),
        Value::Json("{\"a\": 1}".into()),
        Value::Array(vec![Value::Date("2024-02-29".into()), Value::Array(vec![])]),
    ];
    let array = postgresql(ColumnType::Array, vec![Value::Array(items), Value::Array(vec![])]);
    let expected = concat!(
        r#"[null,9223372036854775807,0.5,"NaN","12.30","a\"\\\n","00ff",true,{"a": 1},"#,
        r#"["2024-02-29",[]]]"#
    );
    assert_eq!(texts(&array), [Some(expected), Some("[]")]);
    assert!(serde_json::from_str::<serde_json::Value>(expected).is_ok());
}

#[test]
fn cells_of_any_type_decide_for_a_column_without_one() {
    for (cells, expected) in [
        (vec![Value::Int64(1), Value::Null], DataType::Int64),
        (vec![Value::Int64(1), Value::Double(1.5)], DataType::Float64),
        // 2^53 + 1 is no double.
        (vec![Value::Int64((1 << 53) + 1), Value::Double(1.5)], DataType::Utf8),
        (vec![Value::Int64(7), string("seven")], DataType::Utf8),
        (vec![Value::Int64(7), string("seven"), Value::Bytes(vec![7])], DataType::Binary),
        (vec![Value::Uint64(u64::MAX), Value::Int64(0)], DataType::UInt64),
        (vec![Value::Uint64(u64::MAX), Value::Int64(-1)], DataType::Utf8),
        (vec![Value::Null, Value::Null], DataType::Utf8),
        (vec![], DataType::Utf8),
    ] {
        assert_eq!(sqlite(ColumnType::Other, cells.clone()).data_type(), &expected, "{cells:?}");
    }
    let mixed = sqlite(ColumnType::Other, vec![Value::Int64(i64::MIN), Value::Double(1e300), string("x")]);
    assert_eq!(texts(&mixed), [Some("-9223372036854775808"), Some("1e300"), Some("x")]);
    let mixed = sqlite(ColumnType::Boolean, vec![Value::Bool(true), Value::Int64(2)]);
    assert_eq!(mixed.as_primitive::<Int64Type>().values().to_vec(), [1, 2]);
}

#[test]
fn a_later_cell_that_does_not_fit_is_named() {
    let first = || vec![vec![Value::Int64(1)], vec![Value::Null]];
    let column = ResultColumn { name: "count".into(), ..column(ColumnType::Integer) };
    for cell in [string("secret"), Value::Double(1.5), Value::Uint64(u64::MAX), Value::Bytes(vec![1])] {
        let batches = [first(), vec![vec![Value::Int64(2)], vec![cell.clone()]]];
        let failure = read(DatabaseKind::Sqlite, vec![column.clone()], &batches).unwrap_err();
        assert_eq!(failure.reason, Reason::FieldInvalid, "{cell:?}");
        assert_eq!(failure.violations[0].field, "format");
        assert_eq!((failure.metadata["column"].as_str(), failure.metadata["row"].as_str()), ("count", "4"));
        for said in ["`count`", "row 4", "Int64", "CAST", "ROWS"] {
            assert!(failure.message.contains(said), "{said}: {failure}");
        }
        assert!(!failure.message.contains("secret"), "the data stays out of messages");
    }
}

#[test]
fn later_cells_may_be_narrower_than_the_column() {
    let batches = [vec![vec![Value::Double(1.5)]], vec![vec![Value::Int64(2)], vec![Value::Null]]];
    let (_, read_back) = read(DatabaseKind::Sqlite, vec![column(ColumnType::Decimal)], &batches).unwrap();
    assert_eq!(read_back[1].column(0).as_primitive::<Float64Type>().iter().collect::<Vec<_>>(), [Some(2.0), None]);
    let batches = [vec![vec![Value::Null]], vec![vec![Value::Int64(2)], vec![string("two")]]];
    let (_, read_back) = read(DatabaseKind::Sqlite, vec![column(ColumnType::Other)], &batches).unwrap();
    assert_eq!(texts(read_back[1].column(0)), [Some("2"), Some("two")]);
}

#[test]
fn names_may_repeat_and_be_empty_and_rows_may_be_none() {
    let named = |name: &str| ResultColumn { name: name.to_owned(), ..column(ColumnType::Integer) };
    let columns = || vec![named("n"), named("n"), named("")];
    let (schema, batches) = read(DatabaseKind::Sqlite, columns(), &[]).unwrap();
    assert_eq!(schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>(), ["n", "n", ""]);
    assert!(batches.is_empty() && schema.fields().iter().all(|field| field.data_type() == &DataType::Int64));
    let row = vec![Value::Int64(1), Value::Int64(2), Value::Int64(3)];
    let (_, batches) = read(DatabaseKind::Sqlite, columns(), &[vec![row]]).unwrap();
    assert_eq!((batches[0].num_rows(), batches[0].num_columns()), (1, 3));
}

#[test]
fn a_long_batch_is_cut_into_pieces() {
    let mut encoder = Encoder::new(DatabaseKind::Sqlite, vec![column(ColumnType::Text)]);
    let rows: Vec<Row> = (0..5).map(|_| vec![Value::String("x".repeat(700_000))]).collect();
    let mut pieces = encoder.encode(&rows.into()).unwrap();
    let sizes: Vec<usize> = pieces.iter().map(Bytes::len).collect();
    assert!(sizes.len() == 4 && sizes[..3].iter().all(|&size| size == 1 << 20), "{sizes:?}");
    pieces.extend(encoder.finish().unwrap());
    let reader = StreamReader::try_new(std::io::Cursor::new(pieces.concat()), None).unwrap();
    assert_eq!(reader.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 5);
}
