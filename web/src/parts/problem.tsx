import type { Problem } from "../api/problem.ts";

/** What went wrong, where in the SQL, and what to do. */
export function ProblemBox({ problem, sql, onRetry }: { problem: Problem; sql?: string; onRetry?: () => void }) {
  const fields = Object.entries(problem.fields);
  return (
    <div className="problem" role="alert">
      <p className="problem-message">{fields.length > 1 ? "Some fields are not right yet:" : problem.message}</p>
      {problem.sql && problem.sql.message !== problem.message && <p>{problem.sql.message}</p>}
      {problem.sql && sql && problem.sql.position > 0 && <Position sql={sql} position={problem.sql.position} />}
      {fields.length > 1 && <ul>{fields.map(([field, text]) => <li key={field}><code>{field}</code> {text}</li>)}</ul>}
      {problem.cause && problem.cause.message !== problem.message && (
        <p className="problem-cause">Behind it: {problem.cause.message}</p>
      )}
      {problem.hint && <p className="problem-hint">{problem.hint}</p>}
      <p className="problem-foot">
        {problem.reason && <code>{problem.reason}</code>}
        {problem.sql?.sqlstate && <code>{problem.sql.sqlstate}</code>}
        {problem.sql?.rule && <code>{problem.sql.rule}</code>}
        {onRetry && <button type="button" className="quiet" onClick={onRetry}>Try again</button>}
      </p>
    </div>
  );
}

/** The line of the SQL that is wrong, with a mark below the place. */
function Position({ sql, position }: { sql: string; position: number }) {
  const { line, column, text } = placeOf(sql, position);
  return (
    <figure className="position">
      <figcaption>Line {line}, column {column}</figcaption>
      <pre>{text}{"\n"}<span aria-hidden>{" ".repeat(column - 1)}▲</span></pre>
    </figure>
  );
}

/** Where a position lies that counts characters from 1, as people count. */
export function placeOf(sql: string, position: number): { line: number; column: number; text: string; offset: number } {
  const before = Array.from(sql).slice(0, position - 1).join("");
  const start = before.lastIndexOf("\n") + 1;
  const text = sql.slice(start).split("\n", 1)[0] ?? "";
  return {
    line: before.split("\n").length,
    column: Array.from(before.slice(start)).length + 1,
    text,
    offset: before.length,
  };
}
