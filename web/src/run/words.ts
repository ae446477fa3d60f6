import {
  AggregateFunction, type Aggregation, type Agreement, type ColumnRef, type Filter, FilterOperator, type Join, JoinSource,
  type MappedAggregation, OrderDirection, type TableRef,
} from "../../gen/pulse/v1/workflow_pb.ts";
import type { Value } from "../../gen/pulse/v1/query_pb.ts";
import { literalOf } from "../result/cell.ts";

/** What each step is for, as people are told. Added agents go by their own name. */
const TITLES: Record<string, string> = {
  load_schema: "Read the schema",
  planner: "Understand the question",
  mapper: "Find tables and columns",
  composer: "Write the SQL",
  validator: "Check the SQL",
  execution: "Run it",
};

export function titleOf(step: string): string {
  return TITLES[step] ?? step.replaceAll("_", " ");
}

/** `2 of 3 candidates have these rows (1 and 3), the built-in engine too`. */
export function agreementInWords({ agreeingCandidates: agreeing, candidateCount, builtinAgrees }: Agreement): string {
  const numbers = agreeing.join(" and ");
  const voter = builtinAgrees === undefined ? "" : builtinAgrees ? ", the built-in engine too" : ", the built-in engine has others";
  return `${agreeing.length} of ${candidateCount} candidates ${agreeing.length === 1 ? "has" : "have"} these rows (${numbers})${voter}`;
}

/** `price > 100`, `city is one of 'Paris', 'Lyon'`. */
export function condition(column: string, operator: FilterOperator, values: Value[]): string {
  const [first = "", second = ""] = values.map(literalOf);
  const all = values.map(literalOf).join(", ");
  const what = column || "a value";
  switch (operator) {
    case FilterOperator.EQUAL: return `${what} = ${first}`;
    case FilterOperator.NOT_EQUAL: return `${what} ≠ ${first}`;
    case FilterOperator.LESS: return `${what} < ${first}`;
    case FilterOperator.LESS_OR_EQUAL: return `${what} ≤ ${first}`;
    case FilterOperator.GREATER: return `${what} > ${first}`;
    case FilterOperator.GREATER_OR_EQUAL: return `${what} ≥ ${first}`;
    case FilterOperator.BETWEEN: return `${what} from ${first} to ${second}`;
    case FilterOperator.WITHIN: return `${what} from ${first} until before ${second}`;
    case FilterOperator.IN: return `${what} is one of ${all}`;
    case FilterOperator.NOT_IN: return `${what} is none of ${all}`;
    case FilterOperator.CONTAINS: return `${what} contains ${first}`;
    case FilterOperator.STARTS_WITH: return `${what} starts with ${first}`;
    case FilterOperator.ENDS_WITH: return `${what} ends with ${first}`;
    case FilterOperator.IS_NULL: return `${what} is missing`;
    case FilterOperator.IS_NOT_NULL: return `${what} is present`;
    case FilterOperator.EXISTS: return `there is a related ${what}`;
    case FilterOperator.NOT_EXISTS: return `there is no related ${what}`;
    default: return `${what} ${all}`;
  }
}

export function filterInWords(filter: Filter): string {
  return condition(filter.column, filter.operator, filter.values);
}

const FIGURES: Record<AggregateFunction, string> = {
  [AggregateFunction.UNSPECIFIED]: "",
  [AggregateFunction.COUNT]: "number of",
  [AggregateFunction.SUM]: "sum of",
  [AggregateFunction.AVG]: "average of",
  [AggregateFunction.MIN]: "smallest",
  [AggregateFunction.MAX]: "largest",
  [AggregateFunction.OTHER]: "figure over",
};

/** `sum of amount`, `number of different customers`. */
export function figureInWords({ function: how, column, distinct }: Aggregation): string {
  return [FIGURES[how], distinct ? "different" : "", column || "rows"].filter(Boolean).join(" ");
}

export function mappedFigureInWords({ function: how, column, expression, distinct }: MappedAggregation): string {
  const what = expression || (column ? columnName(column) : "rows");
  return [FIGURES[how], distinct ? "different" : "", what].filter(Boolean).join(" ");
}

export function orderInWords(column: string, direction: OrderDirection, how: AggregateFunction): string {
  const way = direction === OrderDirection.DESCENDING ? "largest first" : "smallest first";
  return `${[FIGURES[how], column].filter(Boolean).join(" ")}, ${way}`;
}

/** `shop.customers.city`, without the schema that every SQLite file has. */
export function columnName({ schema, table, column }: ColumnRef): string {
  return [schema === "main" ? "" : schema, table, column].filter(Boolean).join(".");
}

export function tableName({ schema, table }: Pick<TableRef, "schema" | "table">): string {
  return [schema === "main" ? "" : schema, table].filter(Boolean).join(".");
}

/** `orders.customer_id = customers.id`. */
export function joinInWords({ left, leftColumns, right, rightColumns }: Join): string {
  const [from, to] = [left ? tableName(left) : "", right ? tableName(right) : ""];
  return leftColumns.map((column, index) => `${from}.${column} = ${to}.${rightColumns[index] ?? ""}`).join(" and ");
}

/** Where the knowledge of a join comes from. */
export function joinSource(source: JoinSource): string {
  switch (source) {
    case JoinSource.FOREIGN_KEY: return "foreign key";
    case JoinSource.CONFIGURED: return "configured";
    default: return "inferred";
  }
}
