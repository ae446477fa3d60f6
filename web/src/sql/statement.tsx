import { durationMs } from "@bufbuild/protobuf/wkt";
import { useEffect, useRef, useState } from "react";
import type { Value } from "../../gen/pulse/v1/query_pb.ts";
import { queries } from "../api/client.ts";
import { isCancelled, type Problem, problemOf } from "../api/problem.ts";
import { counted, span } from "../lib/format.ts";
import { Elapsed } from "../parts/small.tsx";
import { cellsOf, type Table } from "../result/cell.ts";
import { type Arriving, MAX_ROWS_SHOWN, readRows, type Source, truncation } from "../result/stream.ts";

/** How often a growing result is drawn, in milliseconds. */
const REDRAW = 120;

/** What can be run. */
export type Runnable =
  | { connectionId: string; sql: string; parameters?: Value[]; write?: boolean }
  | { workflowId: string; sql: string };

/** A statement and what became of it. */
export interface Statement {
  running: boolean;
  /** What was run last. */
  ran?: Runnable;
  since: number;
  table?: Table;
  problem?: Problem;
  milliseconds?: number;
  /** Rows that a write changed. */
  affected?: bigint;
  notice?: string;
  /** How to run it again for a download. */
  source?: Source;
  stopped?: boolean;
}

/** Runs one statement at a time; its rows are shown as they arrive. */
export function useStatement() {
  const [state, setState] = useState<Statement>({ running: false, since: 0 });
  const control = useRef<AbortController>(undefined);
  useEffect(() => () => control.current?.abort(), []);

  async function start(what: Runnable) {
    control.current?.abort();
    const mine = new AbortController();
    control.current = mine;
    const begin: Statement = { running: true, ran: what, since: Date.now() };
    setState(begin);
    const tell = (state: Statement) => !mine.signal.aborted && setState(state);
    try {
      tell({ ...begin, running: false, ...(await ran(what, mine.signal, (so_far) => tell({ ...begin, ...so_far }))) });
    } catch (error) {
      if (mine.signal.aborted || isCancelled(error)) return;
      setState({ ...begin, running: false, problem: problemOf(error) });
    }
  }

  function cancel() {
    control.current?.abort();
    // What came so far stays, unless it is nothing.
    setState(({ table, ...state }) => ({ ...state, running: false, stopped: true, ...(table?.rows.length && { table }) }));
  }

  return { ...state, start: (what: Runnable) => void start(what), cancel };
}

async function ran(what: Runnable, signal: AbortSignal, tell: (so_far: Partial<Statement>) => void): Promise<Partial<Statement>> {
  if ("connectionId" in what && what.write) return written(what.connectionId, what.sql, signal);
  const source: Source = "workflowId" in what
    ? { case: "workflowId", value: what.workflowId }
    : { case: "statement", value: { connectionId: what.connectionId, sql: what.sql, parameters: what.parameters ?? [] } };
  let drawn = 0;
  const arrived = ({ columns, rows }: Arriving) => {
    if (Date.now() - drawn < REDRAW || columns.length === 0) return;
    drawn = Date.now();
    tell({ table: { columns, rows } });
  };
  const { columns, rows, summary } = await readRows(source, signal, arrived);
  const notices = [...(summary?.warnings ?? [])];
  if (summary?.truncated) {
    const shown = rows.length >= MAX_ROWS_SHOWN ? `Only the first ${counted(rows.length, "row")} are shown` : "The result was cut";
    notices.unshift(`${shown}: ${truncation(summary.truncationReason)}. A download holds more.`);
  }
  return {
    table: { columns, rows },
    source,
    ...(summary?.executionTime && { milliseconds: durationMs(summary.executionTime) }),
    ...(notices.length > 0 && { notice: notices.join(" ") }),
  };
}

/** A write is one call with an id of its own, so that the network cannot make it happen twice. */
async function written(connectionId: string, sql: string, signal: AbortSignal): Promise<Partial<Statement>> {
  const request = { connectionId, sql, allowWrite: true, requestId: crypto.randomUUID() };
  const answer = await queries.executeQuery(request, { signal });
  return {
    ...(answer.columns.length > 0 && { table: { columns: answer.columns, rows: answer.rows.map(cellsOf) } }),
    ...(answer.affectedRowCount !== undefined && { affected: answer.affectedRowCount }),
    milliseconds: answer.executionTimeMs,
    ...(answer.warnings.length > 0 && { notice: answer.warnings.join(" ") }),
  };
}

/** How a statement is doing, in a line. */
export function Progress({ statement }: { statement: Statement }) {
  const { running, since, table, affected, milliseconds, stopped } = statement;
  if (running) {
    return (
      <p className="waiting" role="status">
        <span className="spinner" aria-hidden /> Running <Elapsed since={since} />
        {table && `, ${counted(table.rows.length, "row")} so far`}
      </p>
    );
  }
  if (stopped && statement.ran && "write" in statement.ran && statement.ran.write) {
    return <p className="notice" role="status">Stopped; whether it was written is not known. Look at the data.</p>;
  }
  if (stopped) return <p className="notice" role="status">Stopped{table && ` after ${counted(table.rows.length, "row")}`}.</p>;
  if (affected !== undefined) {
    return <p className="notice" role="status">{counted(affected, "row")} changed in {span(milliseconds ?? 0)}.</p>;
  }
  return null;
}
