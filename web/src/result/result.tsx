import { useEffect, useMemo, useRef, useState } from "react";
import { isCancelled, type Problem, problemOf } from "../api/problem.ts";
import { count, counted, span } from "../lib/format.ts";
import { CopyButton } from "../parts/copy.tsx";
import { ProblemBox } from "../parts/problem.tsx";
import { shortTextOf, type Table } from "./cell.ts";
import { Chart } from "./chart.tsx";
import { tabbed } from "./export.ts";
import { type Shape, shapeOf, type View } from "./shape.ts";
import { download, FORMATS, type Format, save, type Source } from "./stream.ts";
import { ResultTable } from "./table.tsx";

/** Most rows put on the clipboard at once. */
const MAX_ROWS_COPIED = 10_000;

const VIEWS: Record<View, string> = {
  table: "Table", number: "Number", bar: "Bar", line: "Line", area: "Area", scatter: "Scatter",
};

/** Rows as a table or a drawing, with what can be done with them. */
export function Result({ table, of, notice, milliseconds, source, name, growing = false, chart = true }: {
  table: Table;
  /** How many rows there are, where these are not all. */
  of?: string | undefined;
  /** What is missing, and how to get it. */
  notice?: React.ReactNode;
  milliseconds?: number | undefined;
  /** What to run again for a download; without it there are none. */
  source?: Source | undefined;
  /** Name of downloaded files. */
  name: string;
  /** Whether more rows are still arriving. */
  growing?: boolean;
  /** Whether to start with a drawing where one fits. */
  chart?: boolean;
}) {
  const shape = useMemo(() => (growing ? undefined : shapeOf(table)), [table, growing]);
  const views: View[] = shape?.views ?? ["table"];
  const [chosen, setChosen] = useState<View>();
  const view = chosen && views.includes(chosen) ? chosen : chart ? (views[0] ?? "table") : "table";
  return (
    <section className="result" aria-label="Result">
      <header className="result-head">
        <p className="result-count" aria-live={growing ? "off" : "polite"}>
          <strong>{of ? `${count(table.rows.length)} of ${of} rows` : counted(table.rows.length, "row")}</strong>
          {milliseconds !== undefined && <span className="dim"> in {span(milliseconds)}</span>}
        </p>
        {views.length > 1 && (
          <div className="switch" role="group" aria-label="Show as">
            {views.map((one) => (
              <button key={one} type="button" aria-pressed={one === view} onClick={() => setChosen(one)}>{VIEWS[one]}</button>
            ))}
          </div>
        )}
        <CopyButton label="Copy" text={() => tabbed(table.columns, table.rows.slice(0, MAX_ROWS_COPIED))} />
        {source && <Downloads source={source} name={name} />}
      </header>
      {notice && <p className="notice" role="status">{notice}</p>}
      <Shown table={table} shape={shape} view={view} />
    </section>
  );
}

function Shown({ table, shape, view }: { table: Table; shape: Shape | undefined; view: View }) {
  if (table.columns.length === 0) return <p className="dim">The statement returns no columns.</p>;
  if (view === "number" && shape) return <Figures table={table} shape={shape} />;
  if (view !== "table" && view !== "number" && shape) return <Chart table={table} shape={shape} view={view} />;
  if (table.rows.length === 0) {
    return <p className="dim">No rows. Columns: {table.columns.map((column) => column.name).join(", ")}</p>;
  }
  return <ResultTable table={table} height={520} />;
}

function Figures({ table, shape }: { table: Table; shape: Shape }) {
  return (
    <dl className="figures">
      {table.columns.map((column, index) => (
        <div key={index} className={shape.y.includes(index) ? "" : "beside"}>
          <dt>{column.name}</dt>
          <dd>{figureOf(table.rows[0]?.[index] ?? null)}</dd>
        </div>
      ))}
    </dl>
  );
}

/** Digits in groups of three; what is no number stays as it is. */
export function figureOf(cell: Table["rows"][number][number]): string {
  const text = shortTextOf(cell);
  const parts = /^(-?)(\d+)(\.\d+)?$/.exec(text);
  return parts ? `${parts[1]}${parts[2]!.replaceAll(/\B(?=(\d{3})+$)/g, ",")}${parts[3] ?? ""}` : text;
}

function Downloads({ source, name }: { source: Source; name: string }) {
  const [running, setRunning] = useState<{ format: Format; control: AbortController }>();
  const [problem, setProblem] = useState<Problem>();
  const [said, setSaid] = useState("");
  const control = running?.control;
  useEffect(() => () => control?.abort(), [control]);
  const menu = useRef<HTMLDetailsElement>(null);

  async function fetchFile(format: Format) {
    menu.current?.removeAttribute("open");
    const control = new AbortController();
    setRunning({ format, control });
    setProblem(undefined);
    setSaid("");
    try {
      const { file, rows, truncated } = await download(source, format, control.signal);
      save(file, `${name}.${format}`);
      setSaid(truncated ? `The file holds the first ${counted(rows, "row")} only.` : "");
    } catch (error) {
      if (!isCancelled(error)) setProblem(problemOf(error));
    } finally {
      setRunning(undefined);
    }
  }

  if (running) {
    return (
      <button type="button" className="quiet" onClick={() => running.control.abort()}>
        <span className="spinner" aria-hidden /> Stop {FORMATS[running.format]}
      </button>
    );
  }
  return (
    <>
      <details className="menu" ref={menu}>
        <summary>Download</summary>
        <div className="menu-items">
          {(Object.keys(FORMATS) as Format[]).map((format) => (
            <button key={format} type="button" onClick={() => void fetchFile(format)}>{FORMATS[format]}</button>
          ))}
        </div>
      </details>
      {said && <span className="dim" role="status">{said}</span>}
      {problem && <ProblemBox problem={problem} />}
    </>
  );
}
