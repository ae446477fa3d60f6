import { create } from "@bufbuild/protobuf";
import type { Table } from "../../gen/pulse/v1/connection_pb.ts";
import { type KnowledgeSpec, type Measure, MeasureSchema, type PreferredJoin, PreferredJoinSchema } from "../../gen/pulse/v1/knowledge_pb.ts";
import { nameOf, words } from "./document.ts";
import { Labelled, ListInput } from "./tables.tsx";

interface Props {
  draft: KnowledgeSpec;
  tables: Table[];
  onChange: (draft: KnowledgeSpec) => void;
}

/** Figures that have a name. */
export function Measures({ draft, tables, onChange }: Props) {
  const set = (measures: Measure[]) => onChange({ ...draft, measures });
  const first = tables[0];
  return (
    <>
      <ul className="entries" aria-label="Measures">
        {draft.measures.map((measure, index) => {
          const change = (more: Partial<Measure>) => set(draft.measures.map((one, at) => (at === index ? { ...one, ...more } : one)));
          const names = tables.map(nameOf);
          return (
            <li key={index} className="entry" aria-label={measure.name || "A new measure"}>
              <Labelled label="Name"><input value={measure.name} maxLength={100} placeholder="revenue" onChange={(event) => change({ name: event.target.value })} /></Labelled>
              <Labelled label="Other words for it"><ListInput value={measure.synonyms} form={words} placeholder="turnover, sales" onChange={(synonyms) => change({ synonyms })} /></Labelled>
              <Labelled label="Table">
                <select value={measure.table} onChange={(event) => change({ table: event.target.value })}>
                  {!names.includes(measure.table) && <option>{measure.table}</option>}
                  {names.map((name) => <option key={name}>{name}</option>)}
                </select>
              </Labelled>
              <Labelled label="How it is computed">
                <input className="mono" value={measure.expression} placeholder="sum(unit_price * quantity)" spellCheck={false} onChange={(event) => change({ expression: event.target.value })} />
              </Labelled>
              <Labelled label="What it says and does not say">
                <input value={measure.description} maxLength={1024} onChange={(event) => change({ description: event.target.value })} />
              </Labelled>
              <Remove what={`the measure ${measure.name}`} onRemove={() => set(draft.measures.filter((_, at) => at !== index))} />
            </li>
          );
        })}
      </ul>
      <button type="button" onClick={() => set([...draft.measures, create(MeasureSchema, { table: first ? nameOf(first) : "" })])}>Add a measure</button>
    </>
  );
}

/** How tables join where the schema does not say, or says it in several ways. */
export function Joins({ draft, tables, onChange }: Props) {
  const set = (joins: PreferredJoin[]) => onChange({ ...draft, joins });
  const columns = tables.flatMap((table) => table.columns.map((column) => `${nameOf(table)}.${column.name}`));
  return (
    <>
      <datalist id="known-columns">{columns.slice(0, 2_000).map((column) => <option key={column} value={column} />)}</datalist>
      <ul className="entries" aria-label="Joins">
        {draft.joins.map((join, index) => {
          const change = (more: Partial<PreferredJoin>) => set(draft.joins.map((one, at) => (at === index ? { ...one, ...more } : one)));
          return (
            <li key={index} className="entry">
              <Labelled label="This column"><input className="mono" list="known-columns" value={join.left} placeholder="orders.customer_id" onChange={(event) => change({ left: event.target.value })} /></Labelled>
              <Labelled label="refers to"><input className="mono" list="known-columns" value={join.right} placeholder="customers.id" onChange={(event) => change({ right: event.target.value })} /></Labelled>
              <Labelled label="What it says"><input value={join.description} maxLength={1024} onChange={(event) => change({ description: event.target.value })} /></Labelled>
              <Remove what={`the join of ${join.left}`} onRemove={() => set(draft.joins.filter((_, at) => at !== index))} />
            </li>
          );
        })}
      </ul>
      <button type="button" onClick={() => set([...draft.joins, create(PreferredJoinSchema)])}>Add a join</button>
    </>
  );
}

function Remove({ what, onRemove }: { what: string; onRemove: () => void }) {
  return <button type="button" className="quiet" aria-label={`Remove ${what}`} onClick={onRemove}>Remove</button>;
}
