import { timestampMs } from "@bufbuild/protobuf/wkt";
import { CheckVerdict } from "../../gen/pulse/v1/query_pb.ts";
import { Engine } from "../../gen/pulse/v1/workflow_pb.ts";
import { count, counted, span } from "../lib/format.ts";
import { literalOf } from "../result/cell.ts";
import { agreementOf, elapsedOf, mappingOf, planOf, type Run, tablesOf, verdictOf } from "./fold.ts";
import { Checks, Facts } from "./outputs.tsx";
import { agreementInWords, columnName, condition, filterInWords, joinInWords, joinSource, titleOf } from "./words.ts";

/** How a question was answered: what was read, joined and left out and where each came from, checks, times, tokens. */
export function Receipt({ run }: { run: Run }) {
  const mapping = mappingOf(run);
  const verdict = verdictOf(run);
  const filters = mapping?.filters ?? [];
  const checks = verdict?.checks ?? [];
  const passed = checks.filter((check) => check.verdict === CheckVerdict.PASSED).length;
  const total = elapsedOf(run);
  const agreement = agreementOf(run);
  const { usage } = run;
  const matched = (column: string) => mapping?.valueMatches.find((match) => match.column && columnName(match.column) === column);
  return (
    <details className="receipt">
      <summary>
        How this was answered
        <span className="dim">
          {checks.length > 0 && `${passed} of ${checks.length} checks passed`}
          {total !== undefined && ` · ${span(total)}`}
          {usage && usage.modelCallCount > 0 && ` · ${count(usage.promptTokens + usage.completionTokens)} tokens`}
        </span>
      </summary>
      <Facts facts={[
        ["Tables", tablesOf(run).map((table) => <code>{table}</code>)],
        ["Joins", mapping?.joinPath.map((join) => (
          <><code>{joinInWords(join)}</code> <span className="dim">from {origin(joinSource(join.source))}</span></>
        )) ?? []],
        ["Filters", filters.length > 0 ? filters.map((filter) => {
          const column = filter.column ? columnName(filter.column) : "";
          const match = matched(column);
          return (
            <>
              <code>{condition(column, filter.operator, filter.values)}</code>{" "}
              <span className="dim">
                {match?.value
                  ? `from “${match.phrase}”, found in the data as ${literalOf(match.value)}`
                  : filter.phrase && `from “${filter.phrase}”`}
              </span>
            </>
          );
        }) : (planOf(run)?.filters.map(filterInWords) ?? [])],
        ["Defined", mapping?.definitions ?? []],
        ["Assumed", run.assumptions],
        ["Answered by", run.options?.engine === Engine.OPENAI ? run.model || "a language model" : "the built-in engine, no model"],
        ["Tokens", usage && usage.modelCallCount > 0
          ? `${count(usage.promptTokens)} in (${count(usage.cachedPromptTokens)} cached), ${count(usage.completionTokens)} out, in ${counted(usage.modelCallCount, "call")}`
          : ""],
        ["Candidates", agreement ? agreementInWords(agreement) : ""],
        ["Composed", run.retries.size > 0 ? counted(run.retries.size + 1, "time") : ""],
        ["Times", run.steps.flatMap((step) => step.startTime && step.finishTime
          ? [`${titleOf(step.name)}${step.attempt > 1 ? ` (attempt ${step.attempt})` : ""}${step.candidate > 0 ? ` (candidate ${step.candidate})` : ""}: ${span(timestampMs(step.finishTime) - timestampMs(step.startTime))}`]
          : [])],
      ]} />
      <Checks checks={checks} />
    </details>
  );
}

function origin(source: string): string {
  return source === "foreign key" ? "a foreign key of the database" : source === "configured" ? "the configuration" : "names and types";
}
