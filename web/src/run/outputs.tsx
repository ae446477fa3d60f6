import { toJsonString } from "@bufbuild/protobuf";
import type { ReactNode } from "react";
import { type Check, CheckKind, CheckVerdict } from "../../gen/pulse/v1/query_pb.ts";
import {
  type ComposerOutput, EntityType, type MapperOutput, type PlannerOutput, type Step, StepSchema, type ValidatorOutput,
} from "../../gen/pulse/v1/workflow_pb.ts";
import { count, counted, duration, percent, word } from "../lib/format.ts";
import { literalOf } from "../result/cell.ts";
import {
  columnName, condition, figureInWords, agreementInWords, filterInWords, joinInWords, joinSource, mappedFigureInWords, orderInWords, tableName,
} from "./words.ts";

/** What an attempt produced, in words; the message itself below. */
export function Output({ step }: { step: Step }) {
  return (
    <div className="output">
      <Words step={step} />
      {step.modelCalls.map((call) => (
        <p key={call.id} className="dim">
          {call.model} answered in {duration(call.latency)}
          {call.attemptCount > 1 && `, sent ${call.attemptCount} times`}
          {call.usage && `, ${counted(call.usage.promptTokens, "token")} in, ${count(call.usage.completionTokens)} out`}
        </p>
      ))}
      <details className="raw">
        <summary>As JSON</summary>
        <pre tabIndex={0}>{toJsonString(StepSchema, step, { prettySpaces: 2 })}</pre>
      </details>
    </div>
  );
}

function Words({ step: { output } }: { step: Step }) {
  switch (output.case) {
    case "schema": {
      const { tableCount, columnCount, foreignKeyCount } = output.value;
      return <p>{counted(tableCount, "table")}, {counted(columnCount, "column")}, {counted(foreignKeyCount, "foreign key")}.</p>;
    }
    case "planner": return <Plan plan={output.value} />;
    case "mapper": return <Mapping mapping={output.value} />;
    case "composer": return <Composed composed={output.value} />;
    case "validator": return <Verdict verdict={output.value} />;
    case "execution": {
      const { rowCount, truncated, executionTime, columnCount, agreement } = output.value;
      return (
        <>
          <p>
            {truncated ? "At least " : ""}{counted(rowCount, "row")} of {counted(columnCount, "column")} in {duration(executionTime)}.
          </p>
          {agreement && <p>{agreementInWords(agreement)}.</p>}
        </>
      );
    }
    case "custom": return <pre tabIndex={0}>{JSON.stringify(output.value, null, 2)}</pre>;
    default: return null;
  }
}

function Plan({ plan }: { plan: PlannerOutput }) {
  return (
    <>
      {plan.restatement && <p>{plan.restatement}</p>}
      <Facts facts={[
        ["Wanted", plan.intent],
        ["About", plan.entities.map(({ name, type }) => (type ? `${name} (${word(EntityType[type])})` : name))],
        ["Figures", plan.aggregations.map(figureInWords)],
        ["Only where", plan.filters.map(filterInWords)],
        ["For each", plan.groupBy],
        ["Order", plan.orderBy.map((order) => orderInWords(order.column, order.direction, order.function))],
        ["At most", plan.limit === undefined ? "" : counted(plan.limit, "row")],
        ["Each once", plan.distinct ? "yes" : ""],
        ["Not understood", plan.unknownWords],
        ["Sure", percent(plan.confidence)],
      ]} />
    </>
  );
}

function Mapping({ mapping }: { mapping: MapperOutput }) {
  const name = (column: Parameters<typeof columnName>[0] | undefined) => (column ? columnName(column) : "");
  return (
    <Facts facts={[
      ["Means", mapping.entities.map((one) => <>{one.name} → <code>{name(one.target)}</code> <Score score={one.score} /></>)],
      ["Figures", mapping.aggregations.map((one) => <><code>{mappedFigureInWords(one)}</code> <Score score={one.score} /></>)],
      ["Only where", mapping.filters.map((one) => (
        <><code>{condition(name(one.column), one.operator, one.values)}</code> <Score score={one.score} /></>
      ))],
      ["For each", mapping.groupBy.map((one) => <><code>{name(one.column)}</code> <Score score={one.score} /></>)],
      ["Order", mapping.orderBy.map((one) => <code>{orderInWords(name(one.column), one.direction, one.function)}</code>)],
      ["Joins", mapping.joinPath.map((join) => <><code>{joinInWords(join)}</code> <em>{joinSource(join.source)}</em></>)],
      ["Found in the data", mapping.valueMatches.map((match) => (
        <>“{match.phrase}” → <code>{match.value && literalOf(match.value)}</code> in <code>{name(match.column)}</code></>
      ))],
      ["Defined", mapping.definitions],
      ["Fits nothing", mapping.unmapped],
      ["Sure", percent(mapping.confidence)],
    ]} />
  );
}

function Composed({ composed }: { composed: ComposerOutput }) {
  return (
    <>
      {composed.explanation && <p>{composed.explanation}</p>}
      <pre className="sql" tabIndex={0}>{composed.sql}</pre>
      <Facts facts={[
        ["Parameters", composed.parameters.map((value) => <code>{literalOf(value)}</code>)],
        ["Assumed", composed.assumptions],
        ["Sure", percent(composed.confidence)],
      ]} />
    </>
  );
}

function Verdict({ verdict }: { verdict: ValidatorOutput }) {
  return (
    <>
      <Checks checks={verdict.checks} />
      {verdict.refinedSql && <pre className="sql" tabIndex={0}>{verdict.refinedSql}</pre>}
      <Facts facts={[
        ["Wrong", verdict.errors],
        ["Told the composer", verdict.feedback],
        ["Reads", verdict.tables.map((table) => <code>{tableName(table)}</code>)],
        ["Expected", verdict.estimatedRowCount === undefined ? "" : counted(verdict.estimatedRowCount, "row")],
      ]} />
    </>
  );
}

const VERDICTS: Record<CheckVerdict, [string, string]> = {
  [CheckVerdict.UNSPECIFIED]: ["", ""],
  [CheckVerdict.PASSED]: ["✓", "passed"],
  [CheckVerdict.WARNING]: ["!", "doubtful"],
  [CheckVerdict.FAILED]: ["✕", "failed"],
  [CheckVerdict.SKIPPED]: ["–", "not run"],
};

const CHECKS: Record<CheckKind, string> = {
  [CheckKind.UNSPECIFIED]: "",
  [CheckKind.PARSE]: "One statement of this dialect",
  [CheckKind.READ_ONLY]: "Only reads what it may",
  [CheckKind.SCHEMA]: "Tables and columns exist",
  [CheckKind.PLANNER]: "The database's planner accepts it",
  [CheckKind.SEMANTICS]: "Says what was asked",
};

/** Checks of a statement, each with its verdict. */
export function Checks({ checks }: { checks: Check[] }) {
  return (
    <ul className="checks">
      {checks.map((check, index) => {
        const [mark, verdict] = VERDICTS[check.verdict];
        return (
          <li key={index} className={`check ${verdict.replace(" ", "-")}`}>
            <span className="mark" aria-hidden>{mark}</span>
            <span>{CHECKS[check.kind]}: {verdict}{check.detail && verdict !== "passed" && <span className="dim">. {check.detail}</span>}</span>
          </li>
        );
      })}
    </ul>
  );
}

type Fact = [name: string, said: ReactNode[] | string];

/** What is known, name by name; what is empty is left out. */
export function Facts({ facts }: { facts: Fact[] }) {
  const known = facts.filter(([, said]) => said.length > 0);
  if (known.length === 0) return null;
  return (
    <dl className="facts">
      {known.map(([name, said]) => (
        <div key={name}>
          <dt>{name}</dt>
          {(Array.isArray(said) ? said : [said]).map((one, index) => <dd key={index}>{one}</dd>)}
        </div>
      ))}
    </dl>
  );
}

function Score({ score }: { score: number }) {
  return <span className="dim">{percent(score)}</span>;
}
