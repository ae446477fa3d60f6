import { useState } from "react";
import type { Connection, Table } from "../../gen/pulse/v1/connection_pb.ts";
import { type Example, ExampleState } from "../../gen/pulse/v1/knowledge_pb.ts";
import { knowledge } from "../api/client.ts";
import { type Problem, problemOf } from "../api/problem.ts";
import { SqlEditor } from "../editor/sql_editor.tsx";
import { word } from "../lib/format.ts";
import { allPages, useLoad } from "../lib/load.ts";
import { Link } from "../lib/router.tsx";
import { ProblemBox } from "../parts/problem.tsx";
import { Badge, Waiting } from "../parts/small.tsx";
import { Labelled } from "./tables.tsx";

/** Questions with the SQL that answers them, verified by a person. */
export function Examples({ connection, tables, changes, onChanged }: {
  connection: Connection;
  tables: Table[];
  /** Another number: they may have changed. */
  changes: number;
  onChanged: () => void;
}) {
  const connectionId = connection.id;
  const all = useLoad(
    (signal) => allPages(async (pageToken) => {
      const { examples: items, nextPageToken } = await knowledge.listExamples({ connectionId, pageSize: 500, pageToken }, { signal });
      return { items, nextPageToken };
    }),
    [connectionId, changes],
  );
  const [problem, setProblem] = useState<Problem>();

  async function remove({ id }: Example) {
    setProblem(undefined);
    try {
      await knowledge.deleteExample({ connectionId, id });
      all.set(all.value?.filter((one) => one.id !== id) ?? []);
      onChanged();
    } catch (error) {
      setProblem(problemOf(error));
    }
  }

  return (
    <>
      <p className="dim">They guide the engine where a question is like theirs. What it proposes passes every check all the same.</p>
      {all.problem && <ProblemBox problem={all.problem} onRetry={all.reload} />}
      {!all.value && all.loading && <Waiting>Loading</Waiting>}
      {all.value?.length === 0 && <p>None yet. Save one from an answer that is right, or write it here.</p>}
      <ul className="entries" aria-label="Examples">
        {all.value?.map((example) => (
          <li key={example.id} className="example-entry">
            <p>
              <strong>{example.question}</strong>{" "}
              {example.state !== ExampleState.VALID && <Badge tone="warn">{word(ExampleState[example.state])}</Badge>}
              {example.workflowId && <> <Link to={`/runs/${example.workflowId}`}>from this answer</Link></>}
            </p>
            {example.problem && <p className="notice">{example.problem}</p>}
            <pre>{example.sql}</pre>
            <button type="button" className="quiet" aria-label={`Delete the example “${example.question}”`} onClick={() => void remove(example)}>Delete</button>
          </li>
        ))}
      </ul>
      {problem && <ProblemBox problem={problem} />}
      <NewExample connection={connection} tables={tables} onSaved={() => {
        all.reload();
        onChanged();
      }} />
    </>
  );
}

function NewExample({ connection, tables, onSaved }: { connection: Connection; tables: Table[]; onSaved: () => void }) {
  const [open, setOpen] = useState(false);
  const [question, setQuestion] = useState("");
  const [sql, setSql] = useState("");
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem>();
  if (!open) return <button type="button" onClick={() => setOpen(true)}>Add an example</button>;

  async function save() {
    setBusy(true);
    setProblem(undefined);
    try {
      await knowledge.createExample({ connectionId: connection.id, question, sql, requestId: crypto.randomUUID() });
      setOpen(false);
      setQuestion("");
      setSql("");
      onSaved();
    } catch (error) {
      setProblem(problemOf(error));
    } finally {
      setBusy(false);
    }
  }

  return (
    <div className="new-example">
      <Labelled label="Question"><input value={question} maxLength={4096} onChange={(event) => setQuestion(event.target.value)} /></Labelled>
      <SqlEditor text={sql} label="SQL of the example" kind={connection.kind} tables={tables} problem={problem} onChange={setSql} onRun={() => void save()} />
      {problem && <ProblemBox problem={problem} sql={sql} />}
      <div className="actions">
        <button type="button" className="primary" disabled={busy || !question.trim() || !sql.trim()} onClick={() => void save()}>{busy ? "Checking…" : "Save the example"}</button>
        <button type="button" onClick={() => setOpen(false)}>Cancel</button>
      </div>
    </div>
  );
}
