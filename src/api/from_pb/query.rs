//! Requests of `QueryService`.

use super::fields::{Fields, request_key};
use crate::domain::{ConnectionId, Failure, Value, WorkflowId};
use crate::pb::v1 as pb;
use crate::pb::v1::value::Kind;
use crate::queries::{Intent, RequestedLimits, Statement};

const MAX_SQL_BYTES: usize = 32 << 10;
const MAX_PARAMETERS: usize = 1_000;
const MAX_NESTED_ARRAYS: usize = 8;

/// A statement to run for one answer.
pub(in crate::api) struct ExecuteQuery {
    pub(in crate::api) connection: ConnectionId,
    pub(in crate::api) statement: Statement,
    pub(in crate::api) limits: RequestedLimits,
    pub(in crate::api) intent: Intent,
    pub(in crate::api) validate_only: bool,
}

pub(in crate::api) fn execute_query(mut request: pb::ExecuteQueryRequest) -> Result<ExecuteQuery, Failure> {
    let mut fields = Fields::default();
    // Without `allow_write` the request id has no meaning: reads may be repeated anyway.
    let request_id = std::mem::take(&mut request.request_id);
    let key = if request.allow_write { request_key(&mut fields, request_id, &request) } else { None };
    let pb::ExecuteQueryRequest {
        connection_id,
        sql,
        parameters,
        max_rows,
        max_bytes,
        timeout,
        allow_write,
        request_id: _,
        validate_only,
    } = request;
    let intent = if allow_write { Intent::Write { request: key } } else { Intent::Read };
    let connection = fields.id("connection_id", &connection_id);
    let statement = statement(&mut fields, "", sql, parameters);
    let limits = RequestedLimits {
        max_rows: fields.limit("max_rows", max_rows.into()),
        max_bytes: fields.limit("max_bytes", max_bytes.into()),
        timeout: fields.duration("timeout", timeout),
        deadline: None,
    };
    fields.finish(connection.map(|connection| ExecuteQuery { connection, statement, limits, intent, validate_only }))
}

/// A result to stream.
pub(in crate::api) struct StreamQuery {
    pub(in crate::api) source: StreamSource,
    pub(in crate::api) format: StreamFormat,
    pub(in crate::api) limits: RequestedLimits,
}

/// What is run.
pub(in crate::api) enum StreamSource {
    Statement(ConnectionId, Statement),
    Workflow(WorkflowId),
}

/// How rows are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api) enum StreamFormat {
    Rows,
    Arrow,
}

pub(in crate::api) fn stream_query(request: pb::StreamQueryRequest) -> Result<StreamQuery, Failure> {
    use pb::stream_query_request::Source;

    let pb::StreamQueryRequest { source, format, max_rows, max_bytes, timeout } = request;
    let mut fields = Fields::default();
    let format = match fields.choice("format", format) {
        None | Some(pb::StreamFormat::Unspecified | pb::StreamFormat::Rows) => StreamFormat::Rows,
        Some(pb::StreamFormat::Arrow) => StreamFormat::Arrow,
    };
    let limits = RequestedLimits {
        max_rows: fields.limit("max_rows", max_rows),
        max_bytes: fields.limit("max_bytes", max_bytes),
        timeout: fields.duration("timeout", timeout),
        deadline: None,
    };
    let source = match source {
        Some(Source::Statement(pb::StreamStatement { connection_id, sql, parameters })) => {
            let connection = fields.id("statement.connection_id", &connection_id);
            let statement = statement(&mut fields, "statement.", sql, parameters);
            connection.map(|connection| StreamSource::Statement(connection, statement))
        }
        Some(Source::WorkflowId(id)) => fields.id("workflow_id", &id).map(StreamSource::Workflow),
        None => {
            fields.bad("source", "is required: give `statement` or `workflow_id`");
            None
        }
    };
    fields.finish(source.map(|source| StreamQuery { source, format, limits }))
}

pub(in crate::api) fn validate_query(
    request: pb::ValidateQueryRequest,
) -> Result<(ConnectionId, Statement, Intent), Failure> {
    let pb::ValidateQueryRequest { connection_id, sql, parameters, allow_write } = request;
    let mut fields = Fields::default();
    let connection = fields.id("connection_id", &connection_id);
    let statement = statement(&mut fields, "", sql, parameters);
    let intent = if allow_write { Intent::Write { request: None } } else { Intent::Read };
    fields.finish(connection.map(|connection| (connection, statement, intent)))
}

fn statement(fields: &mut Fields, prefix: &str, sql: String, parameters: Vec<pb::Value>) -> Statement {
    if parameters.len() > MAX_PARAMETERS {
        fields.bad(&format!("{prefix}parameters"), format!("must be at most {MAX_PARAMETERS}"));
    }
    let sql = fields.words(&format!("{prefix}sql"), sql, MAX_SQL_BYTES);
    let mut cells = Vec::with_capacity(parameters.len().min(MAX_PARAMETERS));
    for (index, given) in parameters.into_iter().take(MAX_PARAMETERS).enumerate() {
        cells.push(value(given, 0).unwrap_or_else(|problem| {
            fields.bad(&format!("{prefix}parameters[{index}]"), problem);
            Value::Null
        }));
    }
    Statement { sql, parameters: cells }
}

/// A bind parameter, or what is wrong with it.
fn value(given: pb::Value, depth: usize) -> Result<Value, String> {
    let pb::Value { kind } = given;
    Ok(match kind.ok_or("has no value; use null_value for NULL")? {
        Kind::NullValue(_) => Value::Null,
        Kind::BoolValue(value) => Value::Bool(value),
        Kind::Int64Value(value) => Value::Int64(value),
        Kind::Uint64Value(value) => Value::Uint64(value),
        Kind::DoubleValue(value) => Value::Double(value),
        Kind::DecimalValue(text) => Value::Decimal(decimal(text)?),
        Kind::StringValue(text) => Value::String(text),
        Kind::BytesValue(bytes) => Value::Bytes(bytes.into()),
        Kind::DateValue(text) => Value::Date(text),
        Kind::TimeValue(text) => Value::Time(text),
        Kind::TimestampValue(text) => Value::Timestamp(text),
        Kind::ZonedTimestampValue(text) => Value::TimestampTz(text),
        Kind::IntervalValue(text) => Value::Interval(text),
        Kind::UuidValue(text) => match uuid::Uuid::try_parse(&text) {
            Ok(_) => Value::Uuid(text),
            Err(_) => return Err("is not a UUID".to_owned()),
        },
        Kind::JsonValue(text) => match serde_json::from_str::<serde::de::IgnoredAny>(&text) {
            Ok(_) => Value::Json(text),
            Err(error) => return Err(format!("is not JSON: {error}")),
        },
        Kind::ArrayValue(_) if depth == MAX_NESTED_ARRAYS => {
            return Err(format!("nests arrays deeper than {MAX_NESTED_ARRAYS}"));
        }
        Kind::ArrayValue(pb::ArrayValue { values }) => {
            Value::Array(values.into_iter().map(|item| value(item, depth + 1)).collect::<Result<_, _>>()?)
        }
        Kind::OtherValue(text) => Value::Other(text),
    })
}

/// Plain notation: a sign, digits, a point; or one of PostgreSQL's three special values.
fn decimal(text: String) -> Result<String, String> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(&text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let special = matches!(text.as_str(), "NaN" | "Infinity" | "-Infinity");
    if special || (all_digits(whole) && all_digits(fraction)) {
        Ok(text)
    } else {
        Err("is not a decimal such as 12.30".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(kind: Kind) -> pb::Value {
        pb::Value { kind: Some(kind) }
    }

    #[test]
    fn a_bad_statement_is_named_with_everything_else() {
        let request = pb::ExecuteQueryRequest {
            sql: " \n".into(),
            parameters: vec![
                pb::Value::default(),
                wire(Kind::UuidValue("x".into())),
                wire(Kind::DecimalValue("1e5".into())),
            ],
            max_rows: -1,
            ..Default::default()
        };
        let Err(failure) = execute_query(request) else { panic!("accepted") };
        let names: Vec<_> = failure.violations.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(names, ["connection_id", "sql", "parameters[0]", "parameters[1]", "parameters[2]", "max_rows"]);
    }

    #[test]
    fn sql_has_a_longest_length() {
        let request = |bytes: usize| pb::ValidateQueryRequest {
            connection_id: ConnectionId::generate().to_string(),
            sql: "x".repeat(bytes),
            ..Default::default()
        };
        assert!(validate_query(request(MAX_SQL_BYTES)).is_ok());
        assert!(validate_query(request(MAX_SQL_BYTES + 1)).is_err());
    }

    #[test]
    fn decimals_are_plain() {
        for text in ["0", "-12.30", "+1", "NaN", "-Infinity", "123456789012345678901234567890.5"] {
            assert!(decimal(text.to_owned()).is_ok(), "{text}");
        }
        for text in ["", "-", ".", "1.", ".5", "1e5", "0x1", "1,5", "nan"] {
            assert!(decimal(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn arrays_nest_only_so_deep() {
        let mut nested = wire(Kind::Int64Value(1));
        for _ in 0..=MAX_NESTED_ARRAYS {
            nested = wire(Kind::ArrayValue(pb::ArrayValue { values: vec![nested] }));
        }
        assert!(value(nested, 0).is_err());
    }

    #[test]
    fn a_write_is_asked_for() {
        let request = |allow_write| pb::ExecuteQueryRequest {
            connection_id: ConnectionId::generate().to_string(),
            sql: "DELETE FROM t".into(),
            allow_write,
            request_id: "once".into(),
            ..Default::default()
        };
        let intent =
            |allow_write| execute_query(request(allow_write)).unwrap_or_else(|failure| panic!("{failure}")).intent;
        assert!(matches!(intent(true), Intent::Write { request: Some(key) } if key.id == "once"));
        assert!(matches!(intent(false), Intent::Read));
    }
}
