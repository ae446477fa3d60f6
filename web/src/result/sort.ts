import { type Cell, isNumeric, numberOf, type Table, textOf } from "./cell.ts";

/** By which column rows are shown, and which way. */
export interface Order {
  column: number;
  descending: boolean;
}

const words = new Intl.Collator(undefined, { numeric: true });

/** The order after a click on a column's head: ascending, descending, as it came. */
export function nextOrder(order: Order | undefined, column: number): Order | undefined {
  if (order?.column !== column) return { column, descending: false };
  return order.descending ? undefined : { column, descending: true };
}

/** The numbers of the rows in the order to show them; NULL comes last either way. */
export function sorted(table: Table, order: Order | undefined): number[] {
  const numbers = table.rows.map((_, row) => row);
  if (!order) return numbers;
  const compare = isNumeric(table, order.column) ? compareNumbers : compareTexts;
  const sign = order.descending ? -1 : 1;
  return numbers.sort((a, b) => {
    const [left, right] = [table.rows[a]?.[order.column] ?? null, table.rows[b]?.[order.column] ?? null];
    if (left === null || right === null) return Number(left === null) - Number(right === null);
    return sign * compare(left, right) || a - b;
  });
}

function compareNumbers(left: Cell, right: Cell): number {
  if (typeof left === "bigint" || typeof right === "bigint") {
    const [a, b] = [left, right] as (number | bigint)[];
    return a! < b! ? -1 : Number(a! > b!);
  }
  const difference = numberOf(left) - numberOf(right);
  return Number.isNaN(difference) ? compareTexts(left, right) : difference;
}

function compareTexts(left: Cell, right: Cell): number {
  if (typeof left === "boolean" && typeof right === "boolean") return Number(left) - Number(right);
  return words.compare(textOf(left), textOf(right));
}
