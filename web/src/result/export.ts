import { type Column, DataType } from "../../gen/pulse/v1/query_pb.ts";
import { type Cell, textOf } from "./cell.ts";

/** The first line of a CSV file. */
export function csvHead(columns: Column[]): string {
  return csvLine(columns.map((column) => column.name));
}

/** A row of a CSV file (RFC 4180). NULL is nothing at all, the empty string is `""`. */
export function csvLine(cells: Cell[]): string {
  return `${cells.map(csvField).join(",")}\r\n`;
}

function csvField(cell: Cell): string {
  if (cell === null) return "";
  const text = textOf(cell);
  return text === "" || /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** A row as a JSON object; columns that share a name are told apart by a number. */
export function jsonRow(names: string[], columns: Column[], cells: Cell[]): string {
  const fields = cells.map((cell, index) => `${JSON.stringify(names[index])}: ${json(cell, columns[index]?.type)}`);
  return `{${fields.join(", ")}}`;
}

/** Names for the fields of a JSON object: unique, never empty. */
export function jsonNames(columns: Column[]): string[] {
  const seen = new Map<string, number>();
  return columns.map((column, index) => {
    const name = column.name || `column_${index + 1}`;
    const times = (seen.get(name) ?? 0) + 1;
    seen.set(name, times);
    return times === 1 ? name : `${name}_${times}`;
  });
}

/** Numbers stay numbers, however long: JSON does not bound them. What has no JSON form is a string. */
function json(cell: Cell, type: DataType | undefined): string {
  if (cell === null || typeof cell === "boolean") return String(cell);
  if (Array.isArray(cell)) return `[${cell.map((cell) => json(cell, undefined)).join(", ")}]`;
  if (typeof cell === "bigint") return String(cell);
  if (typeof cell === "number") return Number.isFinite(cell) ? textOf(cell) : JSON.stringify(textOf(cell));
  if (typeof cell === "string" && type === DataType.JSON) return cell;
  if (typeof cell === "string" && type === DataType.DECIMAL && /^-?\d+(\.\d+)?$/.test(cell)) return cell;
  return JSON.stringify(textOf(cell));
}

/** Rows as a spreadsheet takes them from the clipboard: tabs between cells, NULL empty. */
export function tabbed(columns: Column[], rows: Cell[][]): string {
  const field = (cell: Cell) => (cell === null ? "" : textOf(cell).replaceAll(/[\t\r\n]+/g, " "));
  return [columns.map((column) => column.name), ...rows].map((cells) => cells.map(field).join("\t")).join("\n");
}
