//! Results of statements.

use prost::Message;
use prost::bytes::Bytes;

use crate::domain::{Batch, ResultColumn, SqlError};
use crate::pb::v1 as pb;
use crate::pb::v1::stream_query_response::Part;
use crate::queries::{Plan, QueryResult, StreamSummary, Truncation, Validation};

use super::failure::sql_error;
use super::outputs::checks;
use super::rows;
use super::value::{columns, count, duration, long_count};

pub(in crate::api) fn query_result(given: QueryResult) -> pb::ExecuteQueryResponse {
    let QueryResult { columns: header, rows: cells, row_count, truncated, execution_time, affected_rows } = given;
    pb::ExecuteQueryResponse {
        columns: columns(header),
        rows: rows::rows(&cells),
        row_count: count(row_count),
        truncated: truncated.is_some(),
        truncation_reason: truncation(truncated).into(),
        execution_time: Some(duration(execution_time)),
        execution_time_ms: execution_time.as_secs_f64() * 1_000.0,
        affected_row_count: affected_rows.map(long_count),
        warnings: Vec::new(),
    }
}

fn truncation(given: Option<Truncation>) -> pb::TruncationReason {
    match given {
        None => pb::TruncationReason::Unspecified,
        Some(Truncation::Rows) => pb::TruncationReason::MaxRows,
        Some(Truncation::Bytes) => pb::TruncationReason::MaxBytes,
    }
}

/// The first piece of a stream.
pub(in crate::api) fn header(given: Vec<ResultColumn>, format: pb::StreamFormat) -> pb::StreamQueryResponse {
    let header = pb::StreamHeader { columns: columns(given), format: format.into() };
    pb::StreamQueryResponse { part: Some(Part::Header(header)) }
}

/// Some rows, and how many bytes they take.
pub(in crate::api) fn batch(given: &Batch) -> (pb::StreamQueryResponse, usize) {
    let batch = pb::StreamBatch { data: Some(pb::stream_batch::Data::Rows(rows::batch(given))) };
    let bytes = batch.encoded_len();
    (pb::StreamQueryResponse { part: Some(Part::Batch(batch)) }, bytes)
}

/// The next bytes of an Arrow stream, and how many they are.
pub(in crate::api) fn arrow(piece: Bytes) -> (pb::StreamQueryResponse, usize) {
    let bytes = piece.len();
    let batch = pb::StreamBatch { data: Some(pb::stream_batch::Data::ArrowIpc(piece)) };
    (pb::StreamQueryResponse { part: Some(Part::Batch(batch)) }, bytes)
}

/// The last piece of a stream; `size_bytes` is what the batches or the Arrow stream took on the wire.
pub(in crate::api) fn summary(given: StreamSummary, size_bytes: usize) -> pb::StreamQueryResponse {
    let StreamSummary { row_count, size_bytes: _, truncated, execution_time } = given;
    let summary = pb::StreamSummary {
        row_count: long_count(row_count),
        size_bytes: long_count(size_bytes),
        truncated: truncated.is_some(),
        truncation_reason: truncation(truncated).into(),
        execution_time: Some(duration(execution_time)),
        warnings: Vec::new(),
    };
    pb::StreamQueryResponse { part: Some(Part::Summary(summary)) }
}

pub(in crate::api) fn validation(given: Validation) -> pb::ValidateQueryResponse {
    let Validation { checks: made, refusal, tables, plan } = given;
    let Plan { text, columns: header, row_count, cost } = plan;
    let error = refusal.map(|refusal| {
        let rule = refusal.metadata.get("rule").map_or("", String::as_str);
        let in_words = || SqlError { message: refusal.message.clone(), ..SqlError::default() };
        sql_error(&refusal.sql.clone().unwrap_or_else(in_words), rule)
    });
    pb::ValidateQueryResponse {
        valid: error.is_none(),
        checks: checks(made, error.as_ref()),
        error,
        columns: columns(header),
        tables,
        plan: text,
        estimated_row_count: row_count.map(long_count),
        estimated_cost: cost,
    }
}
