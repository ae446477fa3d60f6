import { type Column, DataType, type Row, type Value } from "../../gen/pulse/v1/query_pb.ts";
import { word } from "../lib/format.ts";

/**
 * A value as the page keeps it: small, so that 100,000 rows fit, and exact. Integers that JavaScript's numbers cannot
 * hold are bigints, decimals and moments are text as the database gave it.
 */
export type Cell = null | boolean | number | bigint | string | Uint8Array | Cell[];

/** A result in the page. */
export interface Table {
  columns: Column[];
  rows: Cell[][];
}

/** The cells of a row. */
export function cellsOf(row: Row): Cell[] {
  return row.values.map(cellOf);
}

/** The cell for a value. */
export function cellOf(value: Value): Cell {
  switch (value.kind.case) {
    case undefined:
    case "nullValue":
      return null;
    case "int64Value":
    case "uint64Value": {
      const number = Number(value.kind.value);
      return Number.isSafeInteger(number) ? number : value.kind.value;
    }
    case "arrayValue":
      return value.kind.value.values.map(cellOf);
    default:
      return value.kind.value;
  }
}

/** The cell in full, as text. */
export function textOf(cell: Cell): string {
  if (cell === null) return "NULL";
  if (typeof cell === "string") return cell;
  if (cell instanceof Uint8Array) return `\\x${hex(cell)}`;
  if (Array.isArray(cell)) return `{${cell.map(textOf).join(", ")}}`;
  if (Object.is(cell, -0)) return "-0";
  return String(cell);
}

/** The cell in one line that a table can show. */
export function shortTextOf(cell: Cell): string {
  if (cell instanceof Uint8Array && cell.length > 24) {
    return `\\x${hex(cell.subarray(0, 24))}… (${cell.length} bytes)`;
  }
  const text = textOf(cell);
  const cut = text.length > 300 ? `${text.slice(0, 300)}…` : text;
  return cut.replaceAll(/\s/g, " ");
}

/** A value as SQL would write it, for sentences about conditions. */
export function literalOf(value: Value): string {
  const cell = cellOf(value);
  return typeof cell === "string" && value.kind.case !== "decimalValue" ? `'${cell}'` : textOf(cell);
}

/** Whether a column holds numbers, which are aligned to the right and can be drawn. */
export function isNumeric(table: Table, index: number): boolean {
  switch (table.columns[index]?.type) {
    case DataType.INT64:
    case DataType.UINT64:
    case DataType.DOUBLE:
    case DataType.DECIMAL:
      return true;
    // What SQLite computes has no type of its own: its cells tell, as far as a sample does.
    case DataType.UNSPECIFIED:
    case DataType.OTHER: {
      const cells = sample(table.rows).map((row) => row[index]).filter((cell) => cell !== null && cell !== undefined);
      return cells.length > 0 && cells.every((cell) => typeof cell === "number" || typeof cell === "bigint");
    }
    default:
      return false;
  }
}

/** At most 200 rows from all over a result. */
export function sample<T>(rows: T[]): T[] {
  const step = Math.max(1, Math.ceil(rows.length / 200));
  return step === 1 ? rows : rows.filter((_, row) => row % step === 0);
}

/** The database's name for a column's type; what Pulse knows of it where it has none. */
export function typeName(column: Column): string {
  const known = column.type !== DataType.OTHER && column.type !== DataType.UNSPECIFIED;
  return column.databaseType || (known ? word(DataType[column.type]) : "");
}

/** The number to draw or to sort by; NaN for what is none. */
export function numberOf(cell: Cell): number {
  switch (typeof cell) {
    case "number":
      return cell;
    case "bigint":
      return Number(cell);
    case "string":
      return /^[+-]?(\d|\.\d)/.test(cell) ? Number(cell) : NaN;
    default:
      return NaN;
  }
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
