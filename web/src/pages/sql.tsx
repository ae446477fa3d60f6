import { useEffect, useState } from "react";
import { AccessMode } from "../../gen/pulse/v1/connection_pb.ts";
import type { ValidateQueryResponse } from "../../gen/pulse/v1/query_service_pb.ts";
import { queries, workflows } from "../api/client.ts";
import { type Problem, problemOf } from "../api/problem.ts";
import { NO_TABLES, useChosen, useConnections, useSchema } from "../connections/directory.ts";
import { ConnectionPicker } from "../connections/picker.tsx";
import { SqlEditor } from "../editor/sql_editor.tsx";
import { ago, counted } from "../lib/format.ts";
import { grpcurl } from "../lib/grpcurl.ts";
import { useKept } from "../lib/kept.ts";
import { useLoad } from "../lib/load.ts";
import { Link, useLocation } from "../lib/router.tsx";
import { CopyButton } from "../parts/copy.tsx";
import { ProblemBox } from "../parts/problem.tsx";
import { Nothing, Waiting } from "../parts/small.tsx";
import { Result } from "../result/result.tsx";
import { Checks } from "../run/outputs.tsx";
import { Progress, useStatement } from "../sql/statement.tsx";

/** A statement that was run in this browser. */
interface Past {
  sql: string;
  connectionId: string;
  at: number;
}

const MOST_PAST = 50;

/** SQL of one's own. */
export function SqlPage() {
  const { query } = useLocation();
  const { value: all, problem, loading, reload } = useConnections();
  const [named, choose] = useChosen(all);
  const [sql, setSql] = useKept("sql", "");
  const [past, setPast] = useKept<Past[]>("statements", []);
  const [write, setWrite] = useState(false);
  const [checked, setChecked] = useState<ValidateQueryResponse>();
  const [refused, setRefused] = useState<Problem>();
  const statement = useStatement();
  const runId = query.get("run") ?? "";
  // The SQL of a question, with all of its rows.
  const asked = useLoad(async (signal) => (runId ? (await workflows.getWorkflow({ id: runId }, { signal })).workflow : undefined), [runId]);
  const chosen = all?.find(({ id }) => id === asked.value?.connectionId) ?? named;
  const schema = useSchema(chosen?.id);
  useEffect(() => {
    if (!asked.value) return;
    setSql(asked.value.sql);
    statement.start({ workflowId: asked.value.id, sql: asked.value.sql });
  }, [asked.value]);

  function change(sql: string) {
    setSql(sql);
    // It is no longer the SQL of the question, and a reload must not bring that back.
    if (chosen && asked.value && sql !== asked.value.sql) choose(chosen.id);
  }

  if (problem && !all) return <ProblemBox problem={problem} onRetry={reload} />;
  if (!all) return loading ? <Waiting>Loading databases</Waiting> : null;
  if (!chosen) {
    return <Nothing><p>No database is connected yet.</p><Link to="/connections/new" className="button primary">Connect a database</Link></Nothing>;
  }
  const mayWrite = chosen.accessMode !== AccessMode.READ_ONLY;

  function run() {
    if (!chosen || !sql.trim()) return;
    setChecked(undefined);
    setRefused(undefined);
    setPast([{ sql, connectionId: chosen.id, at: Date.now() }, ...past.filter((one) => one.sql !== sql || one.connectionId !== chosen.id)].slice(0, MOST_PAST));
    statement.start({ connectionId: chosen.id, sql, write: mayWrite && write });
  }

  async function check() {
    if (!chosen || !sql.trim()) return;
    setChecked(undefined);
    setRefused(undefined);
    try {
      setChecked(await queries.validateQuery({ connectionId: chosen.id, sql, allowWrite: mayWrite && write }));
    } catch (error) {
      setRefused(problemOf(error));
    }
  }

  return (
    <>
      <header className="page-head">
        <h1>SQL</h1>
        <span className="grow" />
        <ConnectionPicker all={all} chosen={chosen.id} onChoose={choose} />
      </header>
      <section className="card sql-card" aria-label="Statement">
        <SqlEditor text={sql} label="SQL statement" kind={chosen.kind} tables={schema.value ?? NO_TABLES} problem={statement.problem} onChange={change} onRun={run} />
        <div className="actions">
          {statement.running
            ? <button type="button" className="danger" onClick={statement.cancel}>Stop</button>
            : <button type="button" className="primary" disabled={!sql.trim()} onClick={run}>Run <kbd aria-hidden>Ctrl ⏎</kbd></button>}
          <button type="button" disabled={!sql.trim()} onClick={() => void check()}>Check</button>
          {mayWrite && (
            <label><input type="checkbox" checked={write} onChange={(event) => setWrite(event.target.checked)} /> Let it write</label>
          )}
          <span className="grow" />
          <CopyButton label="Copy as grpcurl" text={() => grpcurl("QueryService/ExecuteQuery", { connection_id: chosen.id, sql, ...(mayWrite && write && { allow_write: true }) })} />
        </div>
      </section>
      {schema.problem && <ProblemBox problem={schema.problem} onRetry={schema.reload} />}
      {refused && <ProblemBox problem={refused} sql={sql} />}
      {checked && <Checked answer={checked} />}
      {statement.problem && <ProblemBox problem={statement.problem} sql={statement.ran?.sql ?? sql} />}
      <Progress statement={statement} />
      {statement.table && (
        <section className="card">
          <Result table={statement.table} name="result" milliseconds={statement.milliseconds} growing={statement.running} chart={false}
            notice={statement.notice} source={statement.source} />
        </section>
      )}
      {past.length > 0 && (
        <details className="past">
          <summary>{counted(past.length, "statement")} run in this browser</summary>
          <ul className="runs">
            {past.map((one) => (
              <li key={one.at}>
                <button type="button" className="run-link" onClick={() => { setSql(one.sql); choose(one.connectionId); }}><code>{one.sql}</code></button>
                <span className="run-side dim">{ago(one.at)}</span>
              </li>
            ))}
          </ul>
          <button type="button" className="quiet" onClick={() => setPast([])}>Forget them</button>
        </details>
      )}
    </>
  );
}

function Checked({ answer }: { answer: ValidateQueryResponse }) {
  const { valid, checks, tables, estimatedRowCount, plan } = answer;
  return (
    <section className="card" aria-label="Checks">
      <p role="status"><strong>{valid ? "It would run." : "It would be refused."}</strong></p>
      <Checks checks={checks} />
      <p className="dim">
        {tables.length > 0 && `Touches ${tables.join(", ")}. `}
        {estimatedRowCount !== undefined && `About ${counted(estimatedRowCount, "row")}.`}
      </p>
      {plan && <details><summary>Plan</summary><pre tabIndex={0}>{plan}</pre></details>}
    </section>
  );
}
