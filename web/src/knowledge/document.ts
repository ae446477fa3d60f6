import { create } from "@bufbuild/protobuf";
import {
  type ColumnMeaning, ColumnMeaningSchema, type Knowledge, type KnowledgeSpec, KnowledgeSpecSchema, type TableMeaning,
  TableMeaningSchema, type ValueAlias, ValueAliasSchema,
} from "../../gen/pulse/v1/knowledge_pb.ts";
import type { Table } from "../../gen/pulse/v1/connection_pb.ts";

/** What is saved, as it is edited. */
export function draftOf({ notes, tables, measures, joins }: Knowledge): KnowledgeSpec {
  return create(KnowledgeSpecSchema, { notes, tables, measures, joins });
}

/** What is to be saved: without meanings that say nothing. */
export function cleaned(draft: KnowledgeSpec): KnowledgeSpec {
  const tables = draft.tables.map((table) => ({ ...table, columns: table.columns.filter(saysSomething) }));
  return { ...draft, tables: tables.filter((table) => table.columns.length > 0 || saysSomething(table)) };
}

/** Whether anything is said of a table or a column. */
export function saysSomething(meaning: TableMeaning | ColumnMeaning): boolean {
  const more = "values" in meaning ? meaning.values.length > 0 : meaning.defaultFilter !== "" || meaning.columns.some(saysSomething);
  return meaning.description !== "" || meaning.synonyms.length > 0 || more;
}

/** What is said of a table; a blank where nothing is. */
export function meaningOf(draft: KnowledgeSpec, table: Table): TableMeaning {
  return draft.tables.find((meaning) => isOf(meaning, table)) ?? create(TableMeaningSchema, { table: nameOf(table) });
}

/** The draft with another meaning of a table. */
export function withMeaning(draft: KnowledgeSpec, table: Table, meaning: TableMeaning): KnowledgeSpec {
  const there = draft.tables.some((one) => isOf(one, table));
  const tables = there ? draft.tables.map((one) => (isOf(one, table) ? meaning : one)) : [...draft.tables, meaning];
  return { ...draft, tables };
}

/** What is said of a column; a blank where nothing is. */
export function columnOf(meaning: TableMeaning, column: string): ColumnMeaning {
  return meaning.columns.find((one) => same(one.column, column)) ?? create(ColumnMeaningSchema, { column });
}

/** The meaning with another meaning of a column. */
export function withColumn(meaning: TableMeaning, column: ColumnMeaning): TableMeaning {
  const there = meaning.columns.some((one) => same(one.column, column.column));
  const columns = there ? meaning.columns.map((one) => (same(one.column, column.column) ? column : one)) : [...meaning.columns, column];
  return { ...meaning, columns };
}

/** A table's name as knowledge spells it: with its schema, unless that is SQLite's only one. */
export function nameOf({ schema, name }: Pick<Table, "schema" | "name">): string {
  return schema && schema !== "main" ? `${schema}.${name}` : name;
}

function isOf(meaning: TableMeaning, table: Table): boolean {
  return same(meaning.table, table.name) || same(meaning.table, `${table.schema}.${table.name}`);
}

function same(left: string, right: string): boolean {
  return left.toLowerCase() === right.toLowerCase();
}

/** `price, cost` as a list, and back. */
export const words = {
  read: (text: string) => text.split(",").map((word) => word.trim()).filter(Boolean),
  write: (list: string[]) => list.join(", "),
};

/** `UK = United Kingdom` a line, and back. */
export const aliases = {
  read: (text: string): ValueAlias[] =>
    text.split("\n").flatMap((line) => {
      const [alias = "", ...value] = line.split("=");
      return alias.trim() && value.length > 0
        ? [create(ValueAliasSchema, { alias: alias.trim(), value: value.join("=").trim() })]
        : [];
    }),
  write: (list: ValueAlias[]) => list.map(({ alias, value }) => `${alias} = ${value}`).join("\n"),
};
