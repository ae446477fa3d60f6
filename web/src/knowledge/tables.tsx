import { useState } from "react";
import type { Table } from "../../gen/pulse/v1/connection_pb.ts";
import type { ColumnMeaning, KnowledgeSpec, TableMeaning } from "../../gen/pulse/v1/knowledge_pb.ts";
import { aliases, columnOf, meaningOf, nameOf, saysSomething, withColumn, withMeaning, words } from "./document.ts";

/** What tables and columns mean, a table at a time. */
export function Tables({ draft, tables, onChange }: {
  draft: KnowledgeSpec;
  tables: Table[];
  onChange: (draft: KnowledgeSpec) => void;
}) {
  const [chosen, setChosen] = useState(0);
  const table = tables[chosen];
  if (!table) return <p className="dim">This database has no tables yet.</p>;
  const meaning = meaningOf(draft, table);
  const change = (meaning: TableMeaning) => onChange(withMeaning(draft, table, meaning));
  const name = nameOf(table);
  return (
    <>
      <label className="picker">
        <span>Table</span>
        <select value={chosen} onChange={(event) => setChosen(Number(event.target.value))}>
          {tables.map((table, index) => (
            <option key={index} value={index}>{nameOf(table)}{saysSomething(meaningOf(draft, table)) ? " ✓" : ""}</option>
          ))}
        </select>
      </label>
      <div className="meaning" key={name}>
        <Labelled label="What its rows are">
          <input value={meaning.description} maxLength={1024} placeholder={table.comment}
            onChange={(event) => change({ ...meaning, description: event.target.value })} />
        </Labelled>
        <Labelled label="Other words for them, with commas between">
          <ListInput value={meaning.synonyms} form={words} onChange={(synonyms) => change({ ...meaning, synonyms })} />
        </Labelled>
        <Labelled label="What holds unless a question says otherwise">
          <input className="mono" value={meaning.defaultFilter} placeholder="status <> 'cancelled'" spellCheck={false}
            onChange={(event) => change({ ...meaning, defaultFilter: event.target.value })} />
        </Labelled>
      </div>
      <ul className="column-meanings" aria-label={`Columns of ${name}`}>
        {table.columns.map((column) => (
          <Column key={`${name}.${column.name}`} meaning={columnOf(meaning, column.name)} comment={column.comment}
            onChange={(column) => change(withColumn(meaning, column))} />
        ))}
      </ul>
    </>
  );
}

function Column({ meaning, comment, onChange }: { meaning: ColumnMeaning; comment: string; onChange: (meaning: ColumnMeaning) => void }) {
  const { column } = meaning;
  const [open, setOpen] = useState(saysSomething(meaning));
  return (
    <li>
      <details open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
        <summary><code>{column}</code> <span className="dim">{meaning.description || comment}</span></summary>
        {open && (
          <div className="meaning">
            <Labelled label={`What ${column} is`}>
              <input value={meaning.description} maxLength={1024} placeholder={comment}
                onChange={(event) => onChange({ ...meaning, description: event.target.value })} />
            </Labelled>
            <Labelled label={`Other words for ${column}`}>
              <ListInput value={meaning.synonyms} form={words} onChange={(synonyms) => onChange({ ...meaning, synonyms })} />
            </Labelled>
            <Labelled label={`Words for values of ${column}, one a line`}>
              <ListInput value={meaning.values} form={aliases} lines placeholder="UK = United Kingdom" onChange={(values) => onChange({ ...meaning, values })} />
            </Labelled>
          </div>
        )}
      </details>
    </li>
  );
}

/** A control with its name above it. */
export function Labelled({ label, children }: { label: string; children: React.ReactNode }) {
  return <label className="labelled"><span>{label}</span>{children}</label>;
}

/** A list that is written as text. What is being typed stays as it is typed. */
export function ListInput<T>({ value, form, lines = false, placeholder, onChange }: {
  value: T[];
  form: { read: (text: string) => T[]; write: (list: T[]) => string };
  lines?: boolean;
  placeholder?: string;
  onChange: (value: T[]) => void;
}) {
  const [text, setText] = useState(() => form.write(value));
  const change = (text: string) => {
    setText(text);
    onChange(form.read(text));
  };
  return lines
    ? <textarea rows={Math.max(2, text.split("\n").length)} value={text} placeholder={placeholder} onChange={(event) => change(event.target.value)} />
    : <input value={text} placeholder={placeholder} onChange={(event) => change(event.target.value)} />;
}
