import { useEffect, useState } from "react";
import type { KnowledgeSpec } from "../../gen/pulse/v1/knowledge_pb.ts";
import { connections, knowledge } from "../api/client.ts";
import { type Problem, problemOf } from "../api/problem.ts";
import { useWholeSchema } from "../connections/directory.ts";
import { cleaned, draftOf } from "../knowledge/document.ts";
import { Examples } from "../knowledge/examples.tsx";
import { Joins, Measures } from "../knowledge/measures.tsx";
import { Tables } from "../knowledge/tables.tsx";
import { Document } from "../knowledge/yaml.tsx";
import { useLoad } from "../lib/load.ts";
import { Link } from "../lib/router.tsx";
import { ProblemBox } from "../parts/problem.tsx";
import { Waiting } from "../parts/small.tsx";

/** What people know of a connection's database. */
export function KnowledgePage({ id }: { id: string }) {
  const [changes, setChanges] = useState(0);
  const connection = useLoad(async (signal) => (await connections.getConnection({ id }, { signal })).connection, [id]);
  const schema = useWholeSchema(id);
  const saved = useLoad(async (signal) => (await knowledge.getKnowledge({ connectionId: id }, { signal })).knowledge, [id, changes]);
  const name = connection.value?.name;
  useEffect(() => {
    if (name) document.title = `What ${name} means · Pulse`;
  }, [name]);
  const problem = connection.problem ?? saved.problem ?? schema.problem;
  if (problem) {
    return <ProblemBox problem={problem} onRetry={() => {
      for (const load of [connection, saved, schema]) load.reload();
    }} />;
  }
  if (!connection.value || !saved.value || !schema.value) return <Waiting>Loading</Waiting>;
  const changed = () => setChanges(changes + 1);
  return (
    <>
      <header className="page-head">
        <h1>What {name} means</h1>
        <span className="grow" />
        <Link to={`/connections/${id}`} className="button">Tables</Link>
        <Link to={`/?connection=${id}`} className="button">Ask</Link>
      </header>
      <p>What people mean by their words, which the schema does not say. Answers use it; every statement passes the same checks.</p>
      {saved.value.problems.length > 0 && (
        <div className="notice" role="status">
          <p>Some of it does not hold for the schema as it is now, and is not used:</p>
          <ul>{saved.value.problems.map(({ field, description }) => <li key={field}><code>{field}</code> {description}</li>)}</ul>
        </div>
      )}
      <Meaning key={saved.value.etag} id={id} etag={saved.value.etag} initial={draftOf(saved.value)} tables={schema.value} onSaved={changed} />
      <section className="card" aria-label="Verified examples">
        <h2>Verified examples</h2>
        <Examples connection={connection.value} tables={schema.value} changes={changes} onChanged={changed} />
      </section>
      <section className="card" aria-label="As a document">
        <h2>As a document</h2>
        <Document connectionId={id} name={name ?? "pulse"} onImported={changed} />
      </section>
    </>
  );
}

function Meaning({ id, etag, initial, tables, onSaved }: {
  id: string;
  etag: string;
  initial: KnowledgeSpec;
  tables: Parameters<typeof Tables>[0]["tables"];
  onSaved: () => void;
}) {
  const [draft, setDraft] = useState(initial);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem>();
  const [round, setRound] = useState(0);
  const changed = draft !== initial;

  async function save() {
    setBusy(true);
    setProblem(undefined);
    try {
      const updateMask = { paths: ["notes", "tables", "measures", "joins"] };
      await knowledge.updateKnowledge({ connectionId: id, knowledge: cleaned(draft), updateMask, etag });
      onSaved();
    } catch (error) {
      setProblem(problemOf(error));
    } finally {
      setBusy(false);
    }
  }

  return (
    <form className="card knowledge" aria-label="Meaning" onSubmit={(event) => {
      event.preventDefault();
      void save();
    }}>
      <div key={round}>
        <h2><label htmlFor="notes">Conventions</label></h2>
        <textarea id="notes" rows={3} value={draft.notes} placeholder="Amounts are in euros; a year starts in April."
          onChange={(event) => setDraft({ ...draft, notes: event.target.value })} />
        <p className="dim">A model reads them; the built-in engine does not.</p>
        <h2>Measures</h2>
        <Measures draft={draft} tables={tables} onChange={setDraft} />
        <h2>Tables and columns</h2>
        <Tables draft={draft} tables={tables} onChange={setDraft} />
        <h2>Joins</h2>
        <Joins draft={draft} tables={tables} onChange={setDraft} />
      </div>
      {problem && <ProblemBox problem={problem} />}
      <div className="actions">
        <button type="submit" className="primary" disabled={!changed || busy}>{busy ? "Checking…" : "Save"}</button>
        {changed && <button type="button" onClick={() => { setDraft(initial); setRound(round + 1); }}>Undo</button>}
        {!changed && <span className="dim">Saved as it stands here.</span>}
      </div>
    </form>
  );
}
