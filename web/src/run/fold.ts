import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import type { DatabaseKind } from "../../gen/pulse/v1/connection_pb.ts";
import type { Value } from "../../gen/pulse/v1/query_pb.ts";
import {
  type Agreement, type Awaiting, type ComposerOutput, type Failure, type MapperOutput, type PlannerOutput, type Retrying, type Step, StepStatus, type TokenUsage,
  type ValidatorOutput, type WorkflowEvent, type WorkflowOptions, type WorkflowResult, WorkflowStatus,
} from "../../gen/pulse/v1/workflow_pb.ts";
import { tableName } from "./words.ts";

/** A run as its events tell it so far. The same events always give the same run. */
export interface Run {
  question: string;
  connectionId: string;
  connectionName: string;
  previousId: string;
  options?: WorkflowOptions;
  model: string;
  status: WorkflowStatus;
  /** Attempts in the order they started, then the steps to come. */
  steps: Step[];
  /** Why the composer was sent back, by the attempt that followed. */
  retries: Map<number, Retrying>;
  sql: string;
  parameters: Value[];
  dialect?: DatabaseKind;
  explanation: string;
  assumptions: string[];
  confidence?: number;
  result?: WorkflowResult;
  awaiting?: Awaiting;
  failure?: Failure;
  failedStep: string;
  cancelReason: string;
  cancelAsked: boolean;
  usage?: TokenUsage;
  startTime?: Timestamp;
  endTime?: Timestamp;
  lastSequence: bigint;
  cursor: string;
}

/** A run of which nothing is known yet. */
export const NO_RUN: Run = {
  question: "", connectionId: "", connectionName: "", previousId: "", model: "", status: WorkflowStatus.PENDING, steps: [],
  retries: new Map(), sql: "", parameters: [], explanation: "", assumptions: [], failedStep: "", cancelReason: "",
  cancelAsked: false, lastSequence: 0n, cursor: "",
};

/** The run after one more event. An event that was seen before changes nothing. */
export function apply(run: Run, event: WorkflowEvent): Run {
  if (event.sequence === 0n || event.sequence <= run.lastSequence) return run;
  const next = { ...run, lastSequence: event.sequence, cursor: event.cursor };
  const { event: what } = event;
  switch (what.case) {
    case "workflowStarted": {
      const { question, connectionId, connectionName, previousWorkflowId, options, model, steps } = what.value;
      const started = { question, connectionId, connectionName, previousId: previousWorkflowId, model, steps };
      return { ...next, ...started, ...(options && { options }), ...begun(event.createTime) };
    }
    case "stepStarted":
    case "stepCompleted":
    case "stepFailed":
      return what.value.step ? withStep(next, what.value.step) : next;
    case "retrying": {
      const retries = new Map(run.retries).set(what.value.attempt, what.value);
      return { ...next, retries, status: WorkflowStatus.RETRYING };
    }
    case "awaiting": {
      const { need } = what.value;
      if (need.case !== "approval") return { ...next, awaiting: what.value, status: WorkflowStatus.AWAITING_INPUT };
      return { ...settledOn(next, need.value.sql), awaiting: what.value, status: WorkflowStatus.AWAITING_APPROVAL };
    }
    case "resumed": {
      const { awaiting: _, ...rest } = next;
      return { ...rest, status: WorkflowStatus.RUNNING };
    }
    case "cancelRequested":
      return { ...next, cancelAsked: true };
    case "result":
      return { ...settledOn(next, what.value.sql), result: what.value };
    case "completed": {
      const { sql, parameters, confidence, usage } = what.value;
      const end = ended(settledOn(next, sql), WorkflowStatus.COMPLETED, event.createTime, usage);
      return { ...end, parameters, confidence };
    }
    case "failed": {
      const { failure, stepName, usage } = what.value;
      return { ...ended(next, WorkflowStatus.FAILED, event.createTime, usage), failedStep: stepName, ...(failure && { failure }) };
    }
    case "cancelled": {
      const { reason, usage } = what.value;
      return { ...ended(next, WorkflowStatus.CANCELLED, event.createTime, usage), cancelReason: reason };
    }
    default:
      return next;
  }
}

/** Whether nothing more will happen. */
export function isOver({ status }: { status: WorkflowStatus }): boolean {
  return [WorkflowStatus.COMPLETED, WorkflowStatus.FAILED, WorkflowStatus.CANCELLED].includes(status);
}

/** The latest output of the planner, if it is done. */
export function planOf(run: Run): PlannerOutput | undefined {
  return latest(run, (step) => (step.output.case === "planner" ? step.output.value : undefined));
}

/** The latest output of the mapper. */
export function mappingOf(run: Run): MapperOutput | undefined {
  return latest(run, (step) => (step.output.case === "mapper" ? step.output.value : undefined));
}

/** The latest verdict of the validator; of several candidates that on the one whose statement counts. */
export function verdictOf(run: Run): ValidatorOutput | undefined {
  const chosen = run.steps.findLast(({ output }) => output.case === "composer" && output.value.sql === run.sql)?.candidate;
  return latest(run, ({ output, candidate }) =>
    output.case === "validator" && (candidate === 0 || candidate === chosen) ? output.value : undefined);
}

/** How far its candidates agree, once they were executed. */
export function agreementOf(run: Run): Agreement | undefined {
  return latest(run, (step) => (step.output.case === "execution" ? step.output.value.agreement : undefined));
}

/** Names of the tables that the SQL reads: as the validator found them, else as the mapper meant them. */
export function tablesOf(run: Run): string[] {
  const found = verdictOf(run)?.tables ?? [];
  const mapping = mappingOf(run);
  const meant = [
    ...(mapping?.entities.map(({ target }) => target) ?? []),
    ...(mapping?.joinPath.flatMap(({ left, right }) => [left, right]) ?? []),
  ].filter((table) => table !== undefined);
  return [...new Set((found.length > 0 ? found : meant).map(tableName))];
}

/** The SQL that an attempt was about: what the composer proposed in the same attempt, else the latest. */
export function sqlOf(run: Run, { attempt, candidate }: Step): string {
  const composer = run.steps.findLast((step) =>
    step.name === "composer" && step.attempt === attempt && step.candidate === candidate);
  return composer?.output.case === "composer" ? composer.output.value.sql : run.sql;
}

function latest<T>(run: Run, output: (step: Step) => T | undefined): T | undefined {
  return run.steps.map(output).filter((one) => one !== undefined).at(-1);
}

/** What names an attempt within its run. */
export function keyOf(step: Step): string {
  return `${step.name}/${step.attempt}/${step.candidate}`;
}

function withStep(run: Run, step: Step): Run {
  const steps = [...run.steps];
  const same = steps.findIndex((one) => keyOf(one) === keyOf(step));
  // The step was only foreseen: its first attempt takes that place.
  const foreseen = steps.findIndex((one) => one.name === step.name && one.status === StepStatus.PENDING);
  const place = same >= 0 ? same : foreseen;
  if (place >= 0) steps[place] = step;
  else steps.splice(endOfRan(steps), 0, step);
  const next = { ...run, steps };
  if (!isOver(run)) next.status = WorkflowStatus.RUNNING;
  const { output } = step;
  // Of several candidates the first is shown until one is chosen.
  if (output.case === "composer" && (step.candidate <= 1 || run.sql === "")) return { ...next, ...proposal(output.value) };
  if (output.case === "validator" && output.value.refinedSql) return { ...next, sql: output.value.refinedSql };
  if (output.case === "schema") return { ...next, dialect: output.value.dialect };
  return next;
}

/** The run with the statement that counts, and with what its composer said of it. */
function settledOn(run: Run, sql: string): Run {
  const composed = latest(run, ({ output }) => (output.case === "composer" && output.value.sql === sql ? output.value : undefined));
  return { ...run, ...(composed ? proposal(composed) : sql && { sql }) };
}

function proposal({ sql, parameters, dialect, explanation, assumptions, confidence }: ComposerOutput) {
  return { sql, parameters, dialect, explanation, assumptions, confidence };
}

/** The place behind every step that has started. */
function endOfRan(steps: Step[]): number {
  return steps.findLastIndex(({ status }) => status !== StepStatus.PENDING && status !== StepStatus.SKIPPED) + 1;
}

function ended(run: Run, status: WorkflowStatus, endTime: Timestamp | undefined, usage: TokenUsage | undefined): Run {
  const { awaiting: _, ...rest } = run;
  const steps = run.steps.map((step) =>
    step.status === StepStatus.PENDING || step.status === StepStatus.RUNNING ? { ...step, status: StepStatus.SKIPPED } : step,
  );
  return { ...rest, steps, status, ...(endTime && { endTime }), ...(usage && { usage }) };
}

function begun(startTime: Timestamp | undefined) {
  return startTime ? { startTime } : {};
}

/** How long the run has taken, or took, in milliseconds; undefined before it started. */
export function elapsedOf(run: Run): number | undefined {
  return run.startTime && run.endTime && timestampMs(run.endTime) - timestampMs(run.startTime);
}
