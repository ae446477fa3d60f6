import { durationMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { useEffect, useMemo, useState } from "react";
import { Engine, type Workflow, WorkflowStatus } from "../../gen/pulse/v1/workflow_pb.ts";
import { workflows } from "../api/client.ts";
import { type Problem, problemOf, problemOfFailure } from "../api/problem.ts";
import { NO_TABLES, useSchema } from "../connections/directory.ts";
import { count, counted, percent, span } from "../lib/format.ts";
import { grpcurl } from "../lib/grpcurl.ts";
import { useLoad } from "../lib/load.ts";
import { Link } from "../lib/router.tsx";
import { CopyButton } from "../parts/copy.tsx";
import { ProblemBox } from "../parts/problem.tsx";
import { Elapsed, Waiting } from "../parts/small.tsx";
import { cellsOf } from "../result/cell.ts";
import { Result } from "../result/result.tsx";
import { truncation } from "../result/stream.ts";
import { DEFAULT_OPTIONS } from "../run/ask.ts";
import { AwaitingCard } from "../run/awaiting.tsx";
import { elapsedOf, isOver, type Run } from "../run/fold.ts";
import { useRun } from "../run/follow.ts";
import { StatusBadge } from "../run/list.tsx";
import { QuestionBox } from "../run/question.tsx";
import { Rating } from "../run/rating.tsx";
import { Receipt } from "../run/receipt.tsx";
import { SqlCard } from "../run/sql_card.tsx";
import { Steps } from "../run/steps.tsx";

/** A question on its way, and its answer. */
export function RunPage({ id }: { id: string }) {
  const { run, lostSince, problem } = useRun(id);
  const schema = useSchema(run.connectionId || undefined);
  const tables = schema.value ?? NO_TABLES;
  useEffect(() => {
    if (run.question) document.title = `${run.question} · Pulse`;
  }, [run.question]);
  if (problem && run.lastSequence === 0n) return <ProblemBox problem={problem} />;
  if (run.lastSequence === 0n) return <><Lost since={lostSince} /><Waiting>Loading the question</Waiting></>;
  return (
    <article className="run" aria-label="Question">
      <Thread previousId={run.previousId} />
      <Head id={id} run={run} />
      <Lost since={lostSince} />
      {problem && <ProblemBox problem={problem} />}
      <Answer id={id} run={run} />
      {run.awaiting && <AwaitingCard key={String(run.lastSequence)} id={id} run={run} awaiting={run.awaiting} tables={tables} />}
      {isOver(run) ? (
        <details className="steps-frame" open={run.status !== WorkflowStatus.COMPLETED}>
          <summary>{run.steps.filter((step) => step.startTime).length} steps</summary>
          <Steps run={run} />
        </details>
      ) : <Steps run={run} />}
      {run.sql && run.awaiting?.need.case !== "approval" && <SqlCard id={id} run={run} tables={tables} />}
      {run.status === WorkflowStatus.COMPLETED && <Receipt run={run} />}
      {run.status === WorkflowStatus.COMPLETED && run.sql && run.connectionId && <Rating id={id} run={run} />}
      {isOver(run) && run.connectionId && <FollowUp id={id} run={run} />}
    </article>
  );
}

function Head({ id, run }: { id: string; run: Run }) {
  const elapsed = elapsedOf(run);
  return (
    <header className="run-head">
      <h1>{run.question}</h1>
      <p className="run-facts">
        <StatusBadge status={run.status} />
        {run.connectionName && <Link to={`/connections/${run.connectionId}`}>{run.connectionName}</Link>}
        <span>{run.options?.engine === Engine.OPENAI ? run.model || "model" : "built-in engine"}</span>
        <span className="tabular">
          {elapsed !== undefined ? span(elapsed) : run.startTime && <Elapsed since={timestampMs(run.startTime)} />}
        </span>
        {run.confidence !== undefined && isOver(run) && <span>{percent(run.confidence)} sure</span>}
        <span className="grow" />
        {isOver(run)
          ? (
            <>
              <CopyButton label="Copy link" text={() => location.href} />
              <CopyButton label="Copy as grpcurl" text={() => grpcurl("WorkflowService/RunWorkflow", { question: run.question, connection_id: run.connectionId })} />
            </>
          )
          : <Stop id={id} run={run} />}
      </p>
    </header>
  );
}

function Stop({ id, run }: { id: string; run: Run }) {
  const [asked, setAsked] = useState(false);
  const [problem, setProblem] = useState<Problem>();
  async function stop() {
    setAsked(true);
    setProblem(undefined);
    try {
      await workflows.cancelWorkflow({ id, reason: "stopped in the browser" });
    } catch (error) {
      const problem = problemOf(error);
      setAsked(false);
      // It ended by itself meanwhile, which its events tell.
      if (problem.reason !== "WORKFLOW_FINISHED") setProblem(problem);
    }
  }
  return (
    <>
      <button type="button" className="danger" disabled={asked || run.cancelAsked} onClick={() => void stop()}>
        {asked || run.cancelAsked ? "Stopping…" : "Stop"}
      </button>
      {problem && <ProblemBox problem={problem} />}
    </>
  );
}

function Answer({ id, run }: { id: string; run: Run }) {
  const { result } = run;
  const table = useMemo(() => result && { columns: result.columns, rows: result.rows.map(cellsOf) }, [result]);
  if (run.status === WorkflowStatus.FAILED && run.failure) {
    return <ProblemBox problem={problemOfFailure(run.failure)} sql={run.sql} />;
  }
  if (run.status === WorkflowStatus.CANCELLED) {
    return <p className="notice" role="status">Stopped{run.cancelReason && `: ${run.cancelReason}`}.</p>;
  }
  if (!result || !table) {
    return run.status === WorkflowStatus.COMPLETED ? <p className="notice" role="status">The SQL is written and was not run, as asked.</p> : null;
  }
  return (
    <section className="card answer" aria-label="Answer">
      <p className="answer-text" aria-live="polite">{result.answerText}</p>
      {run.explanation && <p className="dim">{run.explanation}</p>}
      {run.assumptions.length > 0 && (
        <ul className="assumptions" aria-label="Assumed">
          {run.assumptions.map((assumption) => <li key={assumption}>{assumption}</li>)}
        </ul>
      )}
      <Result table={table} name={fileName(run.question)} milliseconds={result.executionTime && durationMs(result.executionTime)}
        source={run.status === WorkflowStatus.COMPLETED ? { case: "workflowId", value: id } : undefined}
        of={result.truncated ? countOf(run) : undefined}
        notice={result.truncated && (
          <>
            Only the first {counted(result.rowCount, "row")} are shown: {truncation(result.truncationReason)}.{" "}
            <Link to={`/sql?run=${id}`}>Read all of them</Link>, or download.
          </>
        )} />
    </section>
  );
}

/** How many rows the statement returned, as far as they were read. */
function countOf(run: Run): string | undefined {
  const read = run.steps.findLast(({ output }) => output.case === "execution")?.output;
  if (read?.case !== "execution") return undefined;
  return `${read.value.truncated ? "at least " : ""}${count(read.value.rowCount)}`;
}

/** A file's name from a question. */
function fileName(question: string): string {
  return question.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-").replaceAll(/^-|-$/g, "").slice(0, 60) || "result";
}

/** The connection is lost; short losses are not worth a word. */
function Lost({ since }: { since: number | undefined }) {
  const [shown, setShown] = useState(false);
  useEffect(() => {
    if (since === undefined) {
      setShown(false);
      return;
    }
    const timer = setTimeout(() => setShown(true), Math.max(0, since + 2000 - Date.now()));
    return () => clearTimeout(timer);
  }, [since]);
  return shown && since !== undefined
    ? <p className="notice lost" role="status"><span className="spinner" aria-hidden /> Connection lost <Elapsed since={since} /> ago; trying again. The run goes on without this page.</p>
    : null;
}

/** The questions that this one follows up, first one first. */
function Thread({ previousId }: { previousId: string }) {
  const { value } = useLoad((signal) => ancestors(previousId, signal), [previousId]);
  if (!value || value.length === 0) return null;
  return (
    <ol className="thread" aria-label="Earlier in this thread">
      {value.map((run) => (
        <li key={run.id}><Link to={`/runs/${run.id}`}>{run.question}</Link> <span className="dim">{run.result?.answerText}</span></li>
      ))}
    </ol>
  );
}

const LONGEST_THREAD = 20;

async function ancestors(previousId: string, signal: AbortSignal): Promise<Workflow[]> {
  const thread: Workflow[] = [];
  for (let id = previousId; id && thread.length < LONGEST_THREAD; ) {
    const workflow = await workflows.getWorkflow({ id }, { signal }).then((answer) => answer.workflow, gone);
    if (!workflow) break;
    thread.unshift(workflow);
    id = workflow.previousWorkflowId;
  }
  return thread;
}

/** An earlier question may have been deleted; the thread then begins behind it. */
function gone(error: unknown): undefined {
  if (problemOf(error).reason !== "WORKFLOW_NOT_FOUND") throw error;
}

function FollowUp({ id, run }: { id: string; run: Run }) {
  const [options, setOptions] = useState(DEFAULT_OPTIONS);
  // What has no answer cannot be followed up.
  const answered = run.status === WorkflowStatus.COMPLETED;
  return (
    <section className="follow-up" aria-label="Next question">
      <QuestionBox label={answered ? "Ask a follow-up question" : "Ask another question"} connectionId={run.connectionId}
        previousId={answered ? id : ""} options={options} onOptions={setOptions}>
        <Link to={`/?connection=${run.connectionId}&question=${encodeURIComponent(run.question)}`}>Ask again, changed</Link>
      </QuestionBox>
    </section>
  );
}
