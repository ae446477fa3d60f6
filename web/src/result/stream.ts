import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Column, TruncationReason } from "../../gen/pulse/v1/query_pb.ts";
import { StreamFormat, type StreamQueryRequestSchema, type StreamSummary } from "../../gen/pulse/v1/query_service_pb.ts";
import { queries } from "../api/client.ts";
import { type Cell, cellsOf } from "./cell.ts";
import { csvHead, csvLine, jsonNames, jsonRow } from "./export.ts";

/** What to run: a statement on a connection, or the SQL of a workflow once more. */
export type Source = NonNullable<MessageInitShape<typeof StreamQueryRequestSchema>["source"]>;

/** Most rows that a page keeps; a download has no such bound. */
export const MAX_ROWS_SHOWN = 100_000;

/** A result while it arrives. */
export interface Arriving {
  columns: Column[];
  rows: Cell[][];
  summary?: StreamSummary;
}

/** Reads a result batch by batch; `arrived` is told of each, with all the rows so far. */
export async function readRows(source: Source, signal: AbortSignal, arrived: (so_far: Arriving) => void): Promise<Arriving> {
  const result: Arriving = { columns: [], rows: [] };
  const request = { source, format: StreamFormat.ROWS, maxRows: BigInt(MAX_ROWS_SHOWN) };
  for await (const { part } of queries.streamQuery(request, { signal })) {
    if (part.case === "header") result.columns = part.value.columns;
    if (part.case === "batch" && part.value.data.case === "rows") {
      for (const row of part.value.data.value.rows) result.rows.push(cellsOf(row));
    }
    if (part.case === "summary") result.summary = part.value;
    arrived({ ...result });
  }
  if (!result.summary) throw new Error("The result ended before it was whole. Run it again.");
  return result;
}

/** A file to download. */
export interface Download {
  file: Blob;
  rows: bigint;
  truncated: boolean;
}

/** The formats of a download, by the ending of the file's name. */
export const FORMATS = { csv: "CSV", json: "JSON", arrows: "Arrow" } as const;
export type Format = keyof typeof FORMATS;

/** Runs the source again and writes its whole result into a file. */
export async function download(source: Source, format: Format, signal: AbortSignal): Promise<Download> {
  const pieces: BlobPart[] = [];
  let columns: Column[] = [];
  let names: string[] = [];
  let summary: StreamSummary | undefined;
  let first = true;
  const asked = format === "arrows" ? StreamFormat.ARROW : StreamFormat.ROWS;
  for await (const { part } of queries.streamQuery({ source, format: asked }, { signal })) {
    if (part.case === "summary") summary = part.value;
    if (part.case === "header") {
      columns = part.value.columns;
      names = jsonNames(columns);
      if (format === "csv") pieces.push(csvHead(columns));
      if (format === "json") pieces.push("[");
    }
    if (part.case !== "batch") continue;
    const { data } = part.value;
    if (data.case === "arrowIpc") pieces.push(data.value as BlobPart);
    if (data.case !== "rows") continue;
    const rows = data.value.rows.map(cellsOf);
    if (format === "csv") pieces.push(rows.map(csvLine).join(""));
    else pieces.push(rows.map((row) => `${first && row === rows[0] ? "\n" : ",\n"}${jsonRow(names, columns, row)}`).join(""));
    first = first && rows.length === 0;
  }
  if (!summary) throw new Error("The result ended before it was whole. Try again.");
  if (format === "json") pieces.push("\n]\n");
  const types = { csv: "text/csv", json: "application/json", arrows: "application/vnd.apache.arrow.stream" };
  return { file: new Blob(pieces, { type: types[format] }), rows: summary.rowCount, truncated: summary.truncated };
}

/** Hands a file to the browser. */
export function save(file: Blob, name: string) {
  const url = URL.createObjectURL(file);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** Why a result was cut, in words. */
export function truncation(reason: TruncationReason | undefined): string {
  return reason === TruncationReason.MAX_BYTES ? "the limit of bytes was reached" : "the limit of rows was reached";
}
