import { type Table, type TableColumn, TableKind } from "../../gen/pulse/v1/connection_pb.ts";
import { DataType } from "../../gen/pulse/v1/query_pb.ts";

const MOST = 6;

/** Questions that fit a schema: made from the names of its largest tables, their dates, groups and references. */
export function examplesFor(tables: Table[]): string[] {
  const known = tables.filter((table) => table.kind === TableKind.TABLE && table.columns.length > 0 && isPlain(table.name));
  const bySize = [...known].sort((a, b) => Number((b.approximateRowCount ?? 0n) - (a.approximateRowCount ?? 0n)));
  const things = bySize.filter((table) => !isLink(table));
  const questions: string[] = [];
  const ask = (question: string) => !questions.includes(question) && questions.push(question);

  const people = things.find((table) => referencesTo(known, table) > 0) ?? things[0];
  if (people) ask(`How many ${words(people.name)} are there?`);
  for (const table of things) {
    const dates = table.columns.filter(({ type }) => [DataType.DATE, DataType.TIMESTAMP, DataType.ZONED_TIMESTAMP].includes(type));
    if (dates.length === 1 && questions.length < 2) ask(`How many ${words(table.name)} are there per month?`);
  }
  for (const table of things) {
    const group = table.columns.find((column) => isGroup(table, column));
    if (group && questions.length < 4) ask(`How many ${words(table.name)} are there for each ${words(group.name)}?`);
  }
  for (const table of things) {
    const figure = table.columns.find((column) => isFigure(table, column));
    const name = table.columns.find(({ name }) => /(^|_)(name|title)$/i.test(name));
    if (figure && name && questions.length < 5) ask(`Which 5 ${words(table.name)} have the highest ${words(figure.name)}?`);
    else if (figure && questions.length < 5) ask(`What is the average ${words(figure.name)} of ${words(table.name)}?`);
  }
  for (const table of things) {
    const parent = table.foreignKeys.map((key) => known.find(({ name }) => name === key.referencedTable)).find((one) => one && one !== table);
    if (parent && questions.length < MOST) ask(`Which ${words(parent.name)} have no ${words(table.name)}?`);
  }
  return questions.slice(0, MOST);
}

function words(name: string): string {
  return name.replaceAll("_", " ").replaceAll(/([a-z])([A-Z])/g, "$1 $2").toLowerCase();
}

/** Whether a name can stand in a sentence. */
function isPlain(name: string): boolean {
  return /^[a-z][a-z0-9_]{1,40}$/i.test(name);
}

/** A table that only ties others together. */
function isLink(table: Table): boolean {
  return table.primaryKey.length > 1 && table.foreignKeys.length > 1;
}

function referencesTo(tables: Table[], table: Table): number {
  return tables.filter((other) => other.foreignKeys.some((key) => key.referencedTable === table.name)).length;
}

function isKey(table: Table, { name }: TableColumn): boolean {
  return table.primaryKey.includes(name) || table.foreignKeys.some((key) => key.columns.includes(name)) || /(^|_)id$/i.test(name);
}

function isFigure(table: Table, column: TableColumn): boolean {
  return [DataType.INT64, DataType.DECIMAL, DataType.DOUBLE].includes(column.type) && !isKey(table, column) && isPlain(column.name);
}

function isGroup(table: Table, column: TableColumn): boolean {
  const named = /(^|_)(status|type|kind|category|department|country|city|method|carrier|state|region|genre)$/i.test(column.name);
  return (named || column.enumLabels.length > 0) && !isKey(table, column);
}
