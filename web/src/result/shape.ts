import { DataType } from "../../gen/pulse/v1/query_pb.ts";
import { type Cell, isNumeric, numberOf, type Table, textOf } from "./cell.ts";

/** How a result can be looked at. */
export type View = "table" | "number" | "bar" | "line" | "area" | "scatter";

/** Which columns a drawing uses. */
export interface Shape {
  /** The views that make sense, the best one first. */
  views: View[];
  /** The column along the bottom. */
  x: number;
  /** Whether it is time, which is drawn to scale. */
  temporal: boolean;
  /** The columns drawn as figures. */
  y: number[];
}

/** Most marks that a drawing holds; more rows are left to the table. */
const MAX_BARS = 60;
const MAX_POINTS = 5_000;
const MAX_SERIES = 6;

/** What a result's columns and rows suggest. */
export function shapeOf(table: Table): Shape {
  const { columns, rows } = table;
  const numeric = columns.flatMap((_, index) => (holdsNumbers(table, index) ? [index] : []));
  const times = columns.flatMap((_, index) => (holdsTimes(table, index) ? [index] : []));
  const time = times[0];
  const figures = numeric.filter((index) => index !== time && !isKey(table, index));
  const onlyTable: Shape = { views: ["table"], x: -1, temporal: false, y: [] };
  if (rows.length === 0 || rows.length > MAX_POINTS) return onlyTable;
  if (rows.length === 1) {
    return columns.length <= 4 && numeric.length > 0 ? { ...onlyTable, views: ["number", "table"], y: numeric } : onlyTable;
  }
  if (time !== undefined && figures.length > 0) {
    const bars: View[] = rows.length <= MAX_BARS ? ["bar"] : [];
    return { views: ["line", "area", ...bars, "scatter", "table"], x: time, temporal: true, y: figures.slice(0, MAX_SERIES) };
  }
  const label = columns.findIndex((_, index) => !numeric.includes(index));
  if (label >= 0 && figures.length > 0) {
    if (rows.length > MAX_BARS || columns.length > 8) return onlyTable;
    return { views: ["bar", "line", "area", "table"], x: label, temporal: false, y: figures.slice(0, MAX_SERIES) };
  }
  if (numeric.length >= 2 && label < 0) {
    const bars: View[] = rows.length <= MAX_BARS ? ["bar"] : [];
    const [x = 0, ...y] = numeric;
    return { views: ["scatter", "line", ...bars, "table"], x, temporal: false, y: y.slice(0, MAX_SERIES) };
  }
  return onlyTable;
}

/** A moment on a scale, in milliseconds; NaN for what is none. */
export function momentOf(cell: Cell): number {
  const text = typeof cell === "number" && cell >= 1000 && cell <= 9999 ? String(cell) : cell;
  if (typeof text !== "string") return NaN;
  const parts = /^(\d{4})(?:-(\d{2})(?:-(\d{2})(?:[T ](.+))?)?)?$/.exec(text);
  if (!parts) return NaN;
  const [, year, month = "01", day = "01", clock] = parts;
  const zoned = clock && /(Z|[+-]\d\d:?\d\d)$/.test(clock) ? clock : `${clock ?? "00:00:00"}Z`;
  return Date.parse(`${year}-${month}-${day}T${zoned}`);
}

function holdsNumbers(table: Table, index: number): boolean {
  if (!isNumeric(table, index)) return false;
  return every(table, index, (cell) => typeof cell !== "string" || !Number.isNaN(numberOf(cell))) && some(table, index);
}

function holdsTimes(table: Table, index: number): boolean {
  const column = table.columns[index];
  if (!column) return false;
  const named = /(^|_)(year|month|day|date|week|quarter)s?$/i.test(column.name);
  switch (column.type) {
    case DataType.DATE:
    case DataType.TIMESTAMP:
    case DataType.ZONED_TIMESTAMP:
      return some(table, index) && every(table, index, (cell) => !Number.isNaN(momentOf(cell)));
    case DataType.STRING:
    case DataType.UNSPECIFIED:
    case DataType.OTHER:
    case DataType.INT64:
      return (
        some(table, index) &&
        every(table, index, (cell) => (typeof cell === "string" || named) && !Number.isNaN(momentOf(cell)))
      );
    default:
      return false;
  }
}

/** A column of ids says nothing as a figure. */
function isKey(table: Table, index: number): boolean {
  return /(^|_)id$/i.test(table.columns[index]?.name ?? "");
}

function every(table: Table, index: number, holds: (cell: Cell) => boolean): boolean {
  return table.rows.every((row) => row[index] === null || row[index] === undefined || holds(row[index]));
}

function some(table: Table, index: number): boolean {
  return table.rows.some((row) => row[index] !== null && row[index] !== undefined && textOf(row[index]) !== "");
}
