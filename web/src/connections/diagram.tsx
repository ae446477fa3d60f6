import type { Table } from "../../gen/pulse/v1/connection_pb.ts";
import { keyOf } from "./explorer.tsx";

/** Schemas up to this size are drawn whole, larger ones around the chosen table. */
const MOST_WHOLE = 14;
const MOST_DRAWN = 24;
const WIDTH = 168;
const LINE = 18;
const GAP_X = 72;
const GAP_Y = 22;
/** Columns named in a box, beside the head. */
const MOST_COLUMNS = 6;

interface Box {
  table: Table;
  names: string[];
  x: number;
  y: number;
  height: number;
}

interface Edge {
  from: Box;
  to: Box;
  name: string;
}

/** Tables and the keys between them. */
export function Diagram({ tables, chosen, onChoose }: { tables: Table[]; chosen: Table; onChoose: (table: Table) => void }) {
  const { boxes, edges, width, height } = layout(tables, chosen);
  return (
    <div className="scroll diagram" tabIndex={0} role="group" aria-label={`${chosen.name} and the tables it is tied to`}>
      <svg width={width} height={height} aria-label={`Diagram of ${boxes.length} tables`} role="group">
        {edges.map(({ from, to, name }, index) => (
          <path key={index} className={from.table === chosen || to.table === chosen ? "edge near" : "edge"} d={curve(from, to)}>
            <title>{name}</title>
          </path>
        ))}
        {boxes.map(({ table, names, x, y, height }) => (
          <g key={keyOf(table)} transform={`translate(${x} ${y})`} className={table === chosen ? "box chosen" : "box"} role="button" tabIndex={0}
            onClick={() => onChoose(table)}
            onKeyDown={(event) => (event.key === "Enter" || event.key === " ") && onChoose(table)}>
            <rect width={WIDTH} height={height} rx={6} />
            <text className="box-name" x={10} y={17}>{cut(table.name)}</text>
            {names.map((name, index) => <text key={index} x={10} y={24 + LINE * (index + 0.8)}>{cut(name)}</text>)}
          </g>
        ))}
      </svg>
    </div>
  );
}

function layout(tables: Table[], chosen: Table): { boxes: Box[]; edges: Edge[]; width: number; height: number } {
  const drawn = tables.length <= MOST_WHOLE ? tables : around(tables, chosen);
  const target = (table: Table, key: Table["foreignKeys"][number]) =>
    drawn.find((other) => keyOf(other) === `${key.referencedSchema || table.schema}.${key.referencedTable}`);
  const rank = ranks(drawn, (table) => table.foreignKeys.flatMap((key) => target(table, key) ?? []).filter((other) => other !== table));
  const columns: Table[][] = [];
  for (const table of drawn) (columns[rank.get(table) ?? 0] ??= []).push(table);
  const boxes: Box[] = [];
  let height = 0;
  Array.from(columns, (column) => column ?? []).forEach((column, at) => {
    let y = 8;
    for (const table of column) {
      const names = keyColumns(table);
      const box = { table, names, x: 8 + at * (WIDTH + GAP_X), y, height: 28 + LINE * names.length };
      boxes.push(box);
      y += box.height + GAP_Y;
    }
    height = Math.max(height, y);
  });
  const boxOf = new Map(boxes.map((box) => [box.table, box]));
  const edges = boxes.flatMap((from) =>
    from.table.foreignKeys.flatMap((key) => {
      const to = boxOf.get(target(from.table, key) as Table);
      return to ? [{ from, to, name: `${from.table.name}.${key.columns.join(", ")} → ${to.table.name}.${key.referencedColumns.join(", ")}` }] : [];
    }),
  );
  return { boxes, edges, width: columns.length * (WIDTH + GAP_X) - GAP_X + 16, height };
}

/** The chosen table, what it refers to, and what refers to it. */
function around(tables: Table[], chosen: Table): Table[] {
  const refers = (from: Table, to: Table) =>
    from.foreignKeys.some((key) => key.referencedTable === to.name && (key.referencedSchema || from.schema) === to.schema);
  return [chosen, ...tables.filter((table) => table !== chosen && (refers(chosen, table) || refers(table, chosen)))].slice(0, MOST_DRAWN);
}

/** How far each table is from those that refer to nothing; a circle of references ends where it began. */
function ranks(tables: Table[], parents: (table: Table) => Table[]): Map<Table, number> {
  const rank = new Map<Table, number>();
  const visit = (table: Table, path: Set<Table>): number => {
    const known = rank.get(table);
    if (known !== undefined) return known;
    if (path.has(table)) return 0;
    const above = parents(table).map((parent) => visit(parent, new Set(path).add(table)) + 1);
    const mine = Math.min(Math.max(0, ...above), 5);
    rank.set(table, mine);
    return mine;
  };
  for (const table of tables) visit(table, new Set());
  return rank;
}

function keyColumns(table: Table): string[] {
  const keys = new Set([...table.primaryKey, ...table.foreignKeys.flatMap((key) => key.columns)]);
  const shown = [...keys].slice(0, MOST_COLUMNS);
  const rest = table.columns.length - shown.length;
  return rest > 0 ? [...shown, `+ ${rest} more`] : shown;
}

function curve(from: Box, to: Box): string {
  const [y1, y2] = [from.y + 14, to.y + 14];
  if (from === to) return `M ${from.x + WIDTH} ${y1} c 36 -6, 36 30, 0 24`;
  const [x1, x2] = from.x > to.x ? [from.x, to.x + WIDTH] : [from.x + WIDTH, to.x];
  if (from.x === to.x) return `M ${from.x} ${y1} c -40 0, -40 ${y2 - y1}, 0 ${y2 - y1}`;
  const bend = (x2 - x1) / 2;
  return `M ${x1} ${y1} c ${bend} 0, ${bend} ${y2 - y1}, ${x2 - x1} ${y2 - y1}`;
}

function cut(name: string): string {
  return name.length > 22 ? `${name.slice(0, 21)}…` : name;
}
