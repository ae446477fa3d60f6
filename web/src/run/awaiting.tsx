import { useState } from "react";
import type { Table } from "../../gen/pulse/v1/connection_pb.ts";
import type { Awaiting } from "../../gen/pulse/v1/workflow_pb.ts";
import type { ResumeWorkflowRequest } from "../../gen/pulse/v1/workflow_service_pb.ts";
import { workflows } from "../api/client.ts";
import { type Problem, problemOf } from "../api/problem.ts";
import { SqlEditor } from "../editor/sql_editor.tsx";
import { counted } from "../lib/format.ts";
import { ProblemBox } from "../parts/problem.tsx";
import type { Run } from "./fold.ts";
import { tableName } from "./words.ts";

type Action = ResumeWorkflowRequest["action"];

/** What a run waits for, and the answers to it. */
export function AwaitingCard({ id, run, awaiting, tables }: { id: string; run: Run; awaiting: Awaiting; tables: Table[] }) {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem>();

  async function resume(action: Action) {
    setBusy(true);
    setProblem(undefined);
    try {
      // What was seen is what is answered: had something else happened meanwhile, the server would refuse.
      await workflows.resumeWorkflow({ id, action, expectedSequence: run.lastSequence, requestId: crypto.randomUUID() });
    } catch (error) {
      setProblem(problemOf(error));
    } finally {
      setBusy(false);
    }
  }

  const { need } = awaiting;
  return (
    <section className="card awaiting" aria-label="Your answer is needed">
      {need.case === "clarification" && <Clarify clarification={need.value} busy={busy} onAnswer={resume} />}
      {need.case === "approval" && <Approve approval={need.value} run={run} tables={tables} busy={busy} onAnswer={resume} />}
      {problem && <ProblemBox problem={problem} sql={run.sql} />}
    </section>
  );
}

type Needed<Case> = Extract<Awaiting["need"], { case: Case }> extends { value: infer Value } ? Value : never;

function Clarify({ clarification, busy, onAnswer }: {
  clarification: Needed<"clarification">;
  busy: boolean;
  onAnswer: (action: Action) => void;
}) {
  const [words, setWords] = useState("");
  return (
    <>
      <h2>{clarification.question}</h2>
      <div className="choices">
        {clarification.options.map(({ answer, description }) => (
          <button key={answer} type="button" className="choice" disabled={busy} onClick={() => onAnswer({ case: "answer", value: answer })}>
            <strong>{answer}</strong>
            {description && <span className="dim">{description}</span>}
          </button>
        ))}
      </div>
      <form className="inline" onSubmit={(event) => {
        event.preventDefault();
        if (words.trim()) onAnswer({ case: "answer", value: words });
      }}>
        <input aria-label="Another answer" placeholder="Or in your own words" value={words} onChange={(event) => setWords(event.target.value)} />
        <button type="submit" disabled={busy || !words.trim()}>Answer</button>
      </form>
    </>
  );
}

function Approve({ approval, run, tables, busy, onAnswer }: {
  approval: Needed<"approval">;
  run: Run;
  tables: Table[];
  busy: boolean;
  onAnswer: (action: Action) => void;
}) {
  // What was refused is what its writer goes on with.
  const [sql, setSql] = useState(approval.refusedSql || approval.sql);
  const [reason, setReason] = useState<string>();
  const edited = sql !== approval.sql;
  const approve = () => onAnswer(edited ? { case: "editedSql", value: sql } : { case: "approve", value: { $typeName: "pulse.v1.Approve" } });
  return (
    <>
      <h2>May this run?</h2>
      {approval.refusal && <p role="alert">Your version did not run: {approval.refusal.message}</p>}
      {approval.explanation && <p>{approval.explanation}</p>}
      <SqlEditor text={sql} label="SQL to approve" kind={run.dialect} tables={tables} onChange={setSql} onRun={approve} />
      <p className="dim">
        Reads {approval.tables.map(tableName).join(", ") || "no table"}
        {approval.estimatedRowCount !== undefined && `, about ${counted(approval.estimatedRowCount, "row")}`}.
      </p>
      <div className="actions">
        <button type="button" className="primary" disabled={busy} onClick={approve}>{edited ? "Run my version" : "Approve"}</button>
        {edited && <button type="button" onClick={() => setSql(approval.sql)}>Undo my edit</button>}
        {reason === undefined
          ? <button type="button" className="danger" disabled={busy} onClick={() => setReason("")}>Reject…</button>
          : (
            <form className="inline" onSubmit={(event) => {
              event.preventDefault();
              onAnswer({ case: "reject", value: { $typeName: "pulse.v1.Reject", reason } });
            }}>
              <input autoFocus aria-label="Why it is rejected" placeholder="Why? (may be left out)" value={reason} onChange={(event) => setReason(event.target.value)} />
              <button type="submit" className="danger" disabled={busy}>Reject</button>
            </form>
          )}
      </div>
    </>
  );
}
