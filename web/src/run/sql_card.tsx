import { useEffect, useState } from "react";
import type { Table } from "../../gen/pulse/v1/connection_pb.ts";
import { WorkflowStatus } from "../../gen/pulse/v1/workflow_pb.ts";
import { SqlEditor } from "../editor/sql_editor.tsx";
import { literalOf } from "../result/cell.ts";
import { CopyButton } from "../parts/copy.tsx";
import { ProblemBox } from "../parts/problem.tsx";
import { Result } from "../result/result.tsx";
import { Progress, useStatement } from "../sql/statement.tsx";
import { isOver, type Run } from "./fold.ts";
import { SaveExample } from "./rating.tsx";

/** The SQL of a run: to read, to change, and to run once more. */
export function SqlCard({ id, run, tables }: { id: string; run: Run; tables: Table[] }) {
  const [sql, setSql] = useState(run.sql);
  const [touched, setTouched] = useState(false);
  const statement = useStatement();
  const edited = sql !== run.sql;
  useEffect(() => {
    if (!touched) setSql(run.sql);
  }, [run.sql, touched]);
  const runnable = isOver(run) && run.connectionId !== "";
  // Only the SQL as it was composed fits its parameters.
  const parameters = edited ? [] : run.parameters;
  const start = () => runnable && statement.start({ connectionId: run.connectionId, sql, parameters });

  return (
    <section className="card sql-card" aria-label="SQL">
      <header className="card-head">
        <h2>SQL</h2>
        <span className="grow" />
        {edited && <button type="button" className="quiet" onClick={() => { setSql(run.sql); setTouched(false); }}>Undo my edit</button>}
        <CopyButton label="Copy" text={() => sql} />
        {runnable && (statement.running
          ? <button type="button" className="danger" onClick={statement.cancel}>Stop</button>
          : <button type="button" onClick={start}>{edited ? "Run my version" : "Run again"}</button>)}
      </header>
      <SqlEditor text={sql} label="SQL of this answer" kind={run.dialect} tables={tables} problem={statement.problem} readOnly={!runnable}
        onChange={(text) => { setSql(text); setTouched(text !== run.sql); }} onRun={start} />
      {run.parameters.length > 0 && (
        <p className="dim">Parameters: {run.parameters.map((value, index) => <code key={index}>{literalOf(value)} </code>)}</p>
      )}
      {statement.problem && <ProblemBox problem={statement.problem} sql={statement.ran?.sql ?? sql} />}
      <Progress statement={statement} />
      {edited && statement.table && !statement.running && statement.ran?.sql === sql && run.status === WorkflowStatus.COMPLETED && (
        <div className="rating"><span>Is your version right?</span> <SaveExample key={sql} workflowId={id} connectionId={run.connectionId} sql={sql} /></div>
      )}
      {statement.table && statement.ran && (
        <Result table={statement.table} name="result" milliseconds={statement.milliseconds} growing={statement.running}
          notice={statement.notice} source={statement.source} />
      )}
    </section>
  );
}
