import { timestampMs } from "@bufbuild/protobuf/wkt";
import { useState } from "react";
import { type Step, StepStatus } from "../../gen/pulse/v1/workflow_pb.ts";
import { problemOfFailure } from "../api/problem.ts";
import { span } from "../lib/format.ts";
import { ProblemBox } from "../parts/problem.tsx";
import { Elapsed } from "../parts/small.tsx";
import { keyOf, type Run, sqlOf } from "./fold.ts";
import { Output } from "./outputs.tsx";
import { titleOf } from "./words.ts";

/** One card for each attempt of each step, as it happens. */
export function Steps({ run }: { run: Run }) {
  return (
    <ol className="steps" aria-label="Steps">
      {run.steps.filter((step) => step.status !== StepStatus.SKIPPED || !isNeverNeeded(step)).map((step) => (
        <Card key={keyOf(step)} step={step} run={run} />
      ))}
    </ol>
  );
}

const STATES: Record<StepStatus, [style: string, word: string]> = {
  [StepStatus.UNSPECIFIED]: ["pending", ""],
  [StepStatus.PENDING]: ["pending", "to come"],
  [StepStatus.RUNNING]: ["running", "running"],
  [StepStatus.DONE]: ["done", "done"],
  [StepStatus.FAILED]: ["failed", "failed"],
  [StepStatus.SKIPPED]: ["skipped", "not run"],
};

function Card({ step, run }: { step: Step; run: Run }) {
  const [open, setOpen] = useState(false);
  const [style, word] = STATES[step.status];
  const retry = step.name === "composer" && step.attempt > 1 ? run.retries.get(step.attempt) : undefined;
  const rejected = step.output.case === "validator" && !step.output.value.isValid;
  const expandable = step.output.case !== undefined || step.failure !== undefined;
  const id = `step-${keyOf(step)}`;
  return (
    <li className={`step ${rejected ? "rejected" : style}`} data-step={step.name} data-attempt={step.attempt} data-candidate={step.candidate}>
      {retry && (
        <p className="step-retry">
          Tried again: {retry.feedback || retry.failure?.message || "the statement fell short"}
        </p>
      )}
      <button type="button" className="step-head" aria-expanded={open} aria-controls={id} disabled={!expandable}
        onClick={() => setOpen(!open)}>
        <span className="step-mark" aria-hidden />
        <span className="step-title">
          {titleOf(step.name)}
          {step.attempt > 1 && <span className="step-attempt">attempt {step.attempt}</span>}
          {step.candidate > 0 && <span className="step-attempt">candidate {step.candidate}</span>}
        </span>
        <span className="step-summary">{rejected ? "not valid: " : ""}{step.summary}</span>
        <span className="visually-hidden">{rejected ? "not valid" : word}</span>
        <span className="step-time"><Time step={step} /></span>
      </button>
      {open && (
        <div id={id} className="step-body">
          {step.failure && <ProblemBox problem={problemOfFailure(step.failure)} sql={sqlOf(run, step)} />}
          <Output step={step} />
        </div>
      )}
    </li>
  );
}

/** The true time of an attempt: from the server's clock once it ended. */
function Time({ step }: { step: Step }) {
  if (!step.startTime) return null;
  const start = timestampMs(step.startTime);
  if (step.finishTime) return <>{span(timestampMs(step.finishTime) - start)}</>;
  return step.status === StepStatus.RUNNING ? <Elapsed since={start} /> : null;
}

/** A step that was skipped from the start, because it was not asked for. */
function isNeverNeeded(step: Step): boolean {
  return !step.startTime && step.attempt <= 1 && step.status === StepStatus.SKIPPED;
}
