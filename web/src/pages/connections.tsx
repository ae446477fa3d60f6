import { useEffect, useState } from "react";
import { AccessMode, type Connection } from "../../gen/pulse/v1/connection_pb.ts";
import type { TestConnectionResponse } from "../../gen/pulse/v1/connection_service_pb.ts";
import { connections } from "../api/client.ts";
import { type Problem, problemOf } from "../api/problem.ts";
import { addressOf, KINDS, readSchema, useConnections, useWholeSchema } from "../connections/directory.ts";
import { Explorer } from "../connections/explorer.tsx";
import { ConnectionForm, TestOutcome, Warnings } from "../connections/form.tsx";
import { word } from "../lib/format.ts";
import { useLoad } from "../lib/load.ts";
import { Link, navigate } from "../lib/router.tsx";
import { Confirm } from "../parts/dialog.tsx";
import { ProblemBox } from "../parts/problem.tsx";
import { Badge, Nothing, Waiting } from "../parts/small.tsx";

/** Every connection. */
export function ConnectionsPage() {
  const { value: all, problem, loading, reload } = useConnections();
  return (
    <>
      <header className="page-head">
        <h1>Connections</h1>
        <span className="grow" />
        <Link to="/connections/new" className="button primary">Connect a database</Link>
      </header>
      {problem && <ProblemBox problem={problem} onRetry={reload} />}
      {!all && loading && <Waiting>Loading</Waiting>}
      {all?.length === 0 && <Nothing><p>No database is connected yet.</p></Nothing>}
      <ul className="connections">
        {all?.map((connection) => (
          <li key={connection.id}>
            <Link to={`/connections/${connection.id}`} className="connection">
              <span className="connection-name">{connection.name}</span>
              <span className="dim">{KINDS[connection.kind]}</span>
              <span className="dim address">{addressOf(connection)}</span>
              <AccessBadge connection={connection} />
            </Link>
          </li>
        ))}
      </ul>
    </>
  );
}

/** A new connection. */
export function NewConnectionPage() {
  const [made, setMade] = useState<{ connection: Connection; warnings: string[] }>();
  if (made) {
    return (
      <>
        <h1>{made.connection.name} is connected</h1>
        <Warnings warnings={made.warnings} />
        <div className="actions">
          <Link to={`/?connection=${made.connection.id}`} className="button primary">Ask it something</Link>
          <Link to={`/connections/${made.connection.id}`} className="button">Look at its tables</Link>
        </div>
      </>
    );
  }
  return (
    <>
      <h1>Connect a database</h1>
      <ConnectionForm onSaved={(connection, warnings) => setMade({ connection, warnings })} />
    </>
  );
}

/** One connection: its tables, its settings, and whether it works. */
export function ConnectionPage({ id }: { id: string }) {
  const { value: connection, problem, reload, set } = useLoad(
    async (signal) => (await connections.getConnection({ id }, { signal })).connection, [id],
  );
  const schema = useWholeSchema(id);
  const [editing, setEditing] = useState(false);
  const [warnings, setWarnings] = useState<string[]>([]);
  useEffect(() => {
    if (connection) document.title = `${connection.name} · Pulse`;
  }, [connection]);
  if (problem) return <ProblemBox problem={problem} onRetry={reload} />;
  if (!connection) return <Waiting>Loading</Waiting>;
  return (
    <>
      <header className="page-head">
        <h1>{connection.name}</h1>
        <AccessBadge connection={connection} />
        <span className="dim address">{KINDS[connection.kind]} · {addressOf(connection)}</span>
        <span className="grow" />
        <Link to={`/?connection=${id}`} className="button">Ask</Link>
        <Link to={`/sql?connection=${id}`} className="button">SQL</Link>
        <Link to={`/connections/${id}/knowledge`} className="button">Knowledge</Link>
        <button type="button" aria-expanded={editing} onClick={() => setEditing(!editing)}>{editing ? "Close" : "Edit"}</button>
        <Delete connection={connection} />
      </header>
      <Test id={id} />
      <Warnings warnings={warnings} />
      {editing && (
        <section className="card" aria-label="Edit">
          <ConnectionForm key={connection.etag} saved={connection} onSaved={(connection, warnings) => {
            set(connection);
            setWarnings(warnings);
            setEditing(false);
            schema.reload();
          }} />
        </section>
      )}
      <section className="card" aria-label="Schema">
        {schema.problem && <ProblemBox problem={schema.problem} onRetry={schema.reload} />}
        {!schema.value && schema.loading && <Waiting>Reading the schema</Waiting>}
        {schema.value && <Explorer tables={schema.value} />}
        {schema.value && <Refresh id={id} onRead={schema.set} />}
      </section>
    </>
  );
}

function Refresh({ id, onRead }: { id: string; onRead: (tables: Awaited<ReturnType<typeof readSchema>>) => void }) {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem>();
  async function refresh() {
    setBusy(true);
    setProblem(undefined);
    try {
      onRead(await readSchema(id, new AbortController().signal, { refresh: true }));
    } catch (error) {
      setProblem(problemOf(error));
    } finally {
      setBusy(false);
    }
  }
  return (
    <p>
      <button type="button" className="quiet" disabled={busy} onClick={() => void refresh()}>{busy ? "Reading…" : "Read the schema again"}</button>
      {problem && <ProblemBox problem={problem} />}
    </p>
  );
}

function Test({ id }: { id: string }) {
  const [outcome, setOutcome] = useState<TestConnectionResponse>();
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem>();
  async function test() {
    setBusy(true);
    setOutcome(undefined);
    setProblem(undefined);
    try {
      setOutcome(await connections.testConnection({ id }));
    } catch (error) {
      setProblem(problemOf(error));
    } finally {
      setBusy(false);
    }
  }
  return (
    <div className="test">
      <button type="button" disabled={busy} onClick={() => void test()}>{busy ? "Testing…" : "Test"}</button>
      {outcome && <TestOutcome outcome={outcome} />}
      {problem && <ProblemBox problem={problem} />}
    </div>
  );
}

function Delete({ connection }: { connection: Connection }) {
  const [open, setOpen] = useState(false);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem>();
  async function remove() {
    setBusy(true);
    setProblem(undefined);
    try {
      await connections.deleteConnection({ id: connection.id, etag: connection.etag });
      navigate("/connections");
    } catch (error) {
      setProblem(problemOf(error));
      setBusy(false);
    }
  }
  return (
    <>
      <button type="button" className="danger" onClick={() => setOpen(true)}>Delete</button>
      {open && (
        <Confirm title={`Delete ${connection.name}?`} action="Delete" busy={busy} onConfirm={() => void remove()} onClose={() => setOpen(false)}>
          <p>Questions that run on it are stopped. The database itself stays as it is, and so does the history.</p>
          {problem && <ProblemBox problem={problem} />}
        </Confirm>
      )}
    </>
  );
}

function AccessBadge({ connection: { accessMode } }: { connection: Connection }) {
  return <Badge tone={accessMode === AccessMode.READ_ONLY ? "good" : "warn"}>{word(AccessMode[accessMode])}</Badge>;
}
