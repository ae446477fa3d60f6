import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { TableSchema } from "../gen/pulse/v1/connection_pb.ts";
import { DataType } from "../gen/pulse/v1/query_pb.ts";
import { type WorkflowEvent, WorkflowEventSchema, StepStatus, WorkflowStatus } from "../gen/pulse/v1/workflow_pb.ts";
import { ago, counted, span } from "../src/lib/format.ts";
import { quoted } from "../src/lib/grpcurl.ts";
import { placeOf } from "../src/parts/problem.tsx";
import { agreementOf, apply, isOver, NO_RUN, type Run, sqlOf, verdictOf } from "../src/run/fold.ts";
import { examplesFor } from "../src/run/examples.ts";
import { agreementInWords } from "../src/run/words.ts";

type What = NonNullable<Parameters<typeof create<typeof WorkflowEventSchema>>[1]>["event"];

const event = (sequence: number, what: What): WorkflowEvent => create(WorkflowEventSchema, { sequence: BigInt(sequence), event: what! });
const step = (name: string, status: StepStatus, attempt = 1) => ({ name, status, attempt });
const fold = (...events: WorkflowEvent[]): Run => events.reduce(apply, NO_RUN);

describe("a run", () => {
  const started = event(1, {
    case: "workflowStarted",
    value: { question: "how many?", steps: ["planner", "composer", "validator", "execution"].map((name) => step(name, StepStatus.PENDING)) },
  });
  const composed = (sequence: number, attempt: number, sql: string) =>
    event(sequence, { case: "stepCompleted", value: { step: { ...step("composer", StepStatus.DONE, attempt), output: { case: "composer", value: { sql } } } } });
  const retrying = event(3, { case: "retrying", value: { attempt: 2, feedback: "no such column" } });

  it("shows what is to come, and what is done in its place", () => {
    const run = fold(started, event(2, { case: "stepStarted", value: { step: step("planner", StepStatus.RUNNING) } }));
    expect(run.steps.map(({ name, status }) => [name, status])).toEqual([
      ["planner", StepStatus.RUNNING], ["composer", StepStatus.PENDING], ["validator", StepStatus.PENDING], ["execution", StepStatus.PENDING],
    ]);
    expect(run.status).toBe(WorkflowStatus.RUNNING);
  });

  it("keeps each attempt apart, with the reason of the repeat", () => {
    const run = fold(started, composed(2, 1, "SELECT x"), retrying, composed(4, 2, "SELECT y"));
    expect(run.steps.filter(({ name }) => name === "composer").map(({ attempt }) => attempt)).toEqual([1, 2]);
    expect([run.retries.get(2)?.feedback, run.sql]).toEqual(["no such column", "SELECT y"]);
  });

  it("keeps candidates apart, and settles on the one that is chosen", () => {
    const of = (name: string, candidate: number, status = StepStatus.DONE) => ({ ...step(name, status), candidate });
    const composer = (candidate: number, sql: string) => event(candidate + 1, { case: "stepCompleted", value: {
      step: { ...of("composer", candidate), output: { case: "composer", value: { sql, explanation: `as ${candidate}` } } } } });
    const verdict = (candidate: number) => event(candidate + 4, { case: "stepCompleted", value: {
      step: { ...of("validator", candidate), output: { case: "validator", value: { isValid: true, feedback: `of ${candidate}` } } } } });
    const open = fold(started, composer(1, "SELECT 1"), composer(2, "SELECT 2"), composer(3, "SELECT 3"), verdict(1), verdict(2), verdict(3));
    expect(open.steps.filter(({ name }) => name === "composer").map(({ candidate }) => candidate)).toEqual([1, 2, 3]);
    expect([open.sql, sqlOf(open, open.steps.find((one) => one.name === "validator" && one.candidate === 3)!)]).toEqual(["SELECT 1", "SELECT 3"]);
    const agreement = { candidate: 2, agreeingCandidates: [2, 3], candidateCount: 3, builtinAgrees: false, confidence: 0.5 };
    const over = [
      event(8, { case: "stepCompleted", value: { step: { ...step("execution", StepStatus.DONE), output: { case: "execution", value: { agreement } } } } }),
      event(9, { case: "result", value: { sql: "SELECT 2" } }),
      event(10, { case: "completed", value: { sql: "SELECT 2", confidence: 0.5 } }),
    ].reduce(apply, open);
    expect([over.sql, over.explanation, over.confidence, verdictOf(over)?.feedback]).toEqual(["SELECT 2", "as 2", 0.5, "of 2"]);
    expect(agreementInWords(agreementOf(over)!)).toBe("2 of 3 candidates have these rows (2 and 3), the built-in engine has others");
  });

  it("counts no event twice", () => {
    const once = fold(started, composed(2, 1, "SELECT x"));
    expect(apply(once, composed(2, 1, "SELECT other"))).toBe(once);
    expect(apply(once, event(0, { case: "heartbeat", value: { lastSequence: 9n } }))).toBe(once);
  });

  it("waits for a person until one answers", () => {
    const waiting = fold(started, event(2, { case: "awaiting", value: { need: { case: "approval", value: { sql: "SELECT 1" } } } }));
    expect([waiting.status, waiting.awaiting?.need.case]).toEqual([WorkflowStatus.AWAITING_APPROVAL, "approval"]);
    const answered = apply(waiting, event(3, { case: "resumed", value: { action: { case: "approve", value: {} } } }));
    expect([answered.status, answered.awaiting]).toEqual([WorkflowStatus.RUNNING, undefined]);
  });

  it("leaves nothing running when it is over", () => {
    const run = fold(started, event(2, { case: "stepStarted", value: { step: step("planner", StepStatus.RUNNING) } }),
      event(3, { case: "cancelled", value: { reason: "enough" } }));
    expect([isOver(run), run.cancelReason]).toEqual([true, "enough"]);
    expect(new Set(run.steps.map(({ status }) => status))).toEqual(new Set([StepStatus.SKIPPED]));
  });
});

describe("examples", () => {
  it("name what the schema has, in words", () => {
    const table = (name: string, columns: [string, DataType][], references: string[] = []) => create(TableSchema, {
      schema: "main", name, kind: 1, primaryKey: ["id"],
      columns: columns.map(([name, type]) => ({ name, type })),
      foreignKeys: references.map((referencedTable) => ({ columns: [`${referencedTable}_id`], referencedTable })),
    });
    const questions = examplesFor([
      table("customers", [["id", DataType.INT64], ["name", DataType.STRING]]),
      table("sales_orders", [["id", DataType.INT64], ["customers_id", DataType.INT64], ["order_date", DataType.DATE], ["total", DataType.DECIMAL]], ["customers"]),
    ]);
    expect(questions).toContain("How many customers are there?");
    expect(questions).toContain("How many sales orders are there per month?");
    expect(questions).toContain("Which customers have no sales orders?");
    expect(examplesFor([])).toEqual([]);
    expect(examplesFor([table("<script>", [["id", DataType.INT64]])])).toEqual([]);
  });
});

describe("words", () => {
  it("say spans and numbers as people do", () => {
    expect([span(0.42), span(87.4), span(3210), span(252_000)]).toEqual(["0.4 ms", "87 ms", "3.2 s", "4 min 12 s"]);
    expect([counted(1, "row"), counted(12_345n, "row")]).toEqual(["1 row", "12,345 rows"]);
    expect([ago(0, 30_000), ago(0, 7_200_000)]).toEqual(["just now", "2 h ago"]);
  });

  it("are one word to a shell, whatever is in them", () => {
    expect(quoted("it's $HOME `x`")).toBe(String.raw`'it'\''s $HOME ${"`x`"}'`);
  });

  it("find a place that counts characters, not code units", () => {
    expect(placeOf("SELECT '🦀',\n  x", 15)).toEqual({ line: 2, column: 3, text: "  x", offset: 15 });
  });
});
