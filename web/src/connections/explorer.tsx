import { useMemo, useState } from "react";
import { type Table, TableKind } from "../../gen/pulse/v1/connection_pb.ts";
import { count, counted, word } from "../lib/format.ts";
import { Badge } from "../parts/small.tsx";
import { Diagram } from "./diagram.tsx";

/** Most tables listed at once; the search finds the others. */
const MOST_LISTED = 300;

/** The tables of a database: names on one side, the chosen one with its columns and keys on the other. */
export function Explorer({ tables }: { tables: Table[] }) {
  const [text, setText] = useState("");
  const [chosenKey, setChosenKey] = useState("");
  const [view, setView] = useState<"columns" | "diagram">("columns");
  const found = useMemo(() => search(tables, text), [tables, text]);
  const chosen = tables.find((table) => keyOf(table) === chosenKey) ?? found[0];
  const schemas = new Set(tables.map(({ schema }) => schema));
  if (tables.length === 0) return <p className="dim">This database has no tables that its user may read.</p>;
  return (
    <div className="explorer">
      <nav className="explorer-list" aria-label="Tables">
        <input type="search" aria-label="Search tables and columns" placeholder={`Search ${counted(tables.length, "table")}`} value={text}
          onChange={(event) => setText(event.target.value)} />
        <ul>
          {found.slice(0, MOST_LISTED).map((table) => (
            <li key={keyOf(table)}>
              <button type="button" aria-current={table === chosen} onClick={() => setChosenKey(keyOf(table))}>
                <span>{schemas.size > 1 && <span className="dim">{table.schema}.</span>}{table.name}</span>
                {table.approximateRowCount !== undefined && <span className="dim tabular">{count(table.approximateRowCount)}</span>}
              </button>
            </li>
          ))}
        </ul>
        {found.length === 0 && <p className="dim">Nothing of that name.</p>}
        {found.length > MOST_LISTED && <p className="dim">{count(found.length - MOST_LISTED)} more: search for them.</p>}
      </nav>
      {chosen && (
        <section className="explorer-table" aria-label={`Table ${chosen.name}`}>
          <header className="card-head">
            <h2>{chosen.name}</h2>
            {chosen.kind !== TableKind.TABLE && <Badge>{word(TableKind[chosen.kind])}</Badge>}
            <span className="grow" />
            <div className="switch" role="group" aria-label="Show">
              <button type="button" aria-pressed={view === "columns"} onClick={() => setView("columns")}>Columns</button>
              <button type="button" aria-pressed={view === "diagram"} onClick={() => setView("diagram")}>Diagram</button>
            </div>
          </header>
          {chosen.comment && <p>{chosen.comment}</p>}
          {view === "columns" ? <Columns table={chosen} onGo={setChosenKey} /> : <Diagram tables={tables} chosen={chosen} onChoose={(table) => setChosenKey(keyOf(table))} />}
        </section>
      )}
    </div>
  );
}

function Columns({ table, onGo }: { table: Table; onGo: (key: string) => void }) {
  const references = (column: string) => table.foreignKeys.filter((key) => key.columns.includes(column));
  const unique = (column: string) => table.uniqueKeys.some((key) => key.columns.length === 1 && key.columns[0] === column);
  return (
    <div className="scroll" tabIndex={0} role="group" aria-label={`Columns of ${table.name}`}>
      <table className="columns">
        <thead><tr><th>Column</th><th>Type</th><th>Keys</th><th>About</th></tr></thead>
        <tbody>
          {table.columns.map((column) => (
            <tr key={column.name}>
              <th scope="row">{column.name}</th>
              <td><code>{column.declaredType}</code>{!column.nullable && <span className="dim"> not null</span>}</td>
              <td>
                {table.primaryKey.includes(column.name) && <Badge tone="key">primary key</Badge>}
                {unique(column.name) && <Badge>unique</Badge>}
                {references(column.name).map((key, index) => (
                  <button key={index} type="button" className="reference"
                    onClick={() => onGo(`${key.referencedSchema || table.schema}.${key.referencedTable}`)}>
                    → {key.referencedTable}.{key.referencedColumns[key.columns.indexOf(column.name)]}
                  </button>
                ))}
              </td>
              <td>
                {column.comment}
                {column.enumLabels.length > 0 && <span className="dim"> {column.enumLabels.join(", ")}</span>}
                {column.defaultExpression && <span className="dim"> default <code>{column.defaultExpression}</code></span>}
                {column.generated && <span className="dim"> generated</span>}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** What names a table within its database. */
export function keyOf({ schema, name }: Table): string {
  return `${schema}.${name}`;
}

function search(tables: Table[], text: string): Table[] {
  const wanted = text.trim().toLowerCase();
  if (!wanted) return tables;
  const named = tables.filter((table) => keyOf(table).toLowerCase().includes(wanted));
  const holding = tables.filter((table) => !named.includes(table) && table.columns.some(({ name }) => name.toLowerCase().includes(wanted)));
  return [...named, ...holding];
}
