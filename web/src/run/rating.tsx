import { useState } from "react";
import { knowledge } from "../api/client.ts";
import { type Problem, problemOf } from "../api/problem.ts";
import { Link } from "../lib/router.tsx";
import { ProblemBox } from "../parts/problem.tsx";
import type { Run } from "./fold.ts";

/** What a person thinks of an answer, and what can be made of that. */
export function Rating({ id, run }: { id: string; run: Run }) {
  const [right, setRight] = useState<boolean>();
  return (
    <section className="rating" aria-label="Is this right?">
      <span className="dim">Is this right?</span>
      <button type="button" className="quiet" aria-label="Yes, it is right" aria-pressed={right === true} onClick={() => setRight(true)}><Thumb /></button>
      <button type="button" className="quiet" aria-label="No, it is wrong" aria-pressed={right === false} onClick={() => setRight(false)}><Thumb down /></button>
      {right === true && <SaveExample workflowId={id} connectionId={run.connectionId} />}
      {right === false && (
        <p>
          Correct the SQL below and run it: once it is right, it can be saved as an example. What words mean can be said in{" "}
          <Link to={`/connections/${run.connectionId}/knowledge`}>what {run.connectionName || "the database"} means</Link>.
        </p>
      )}
    </section>
  );
}

/** Drawn, because not every system has a glyph for it. */
function Thumb({ down = false }: { down?: boolean }) {
  return (
    <svg width={18} height={18} viewBox="0 0 24 24" fill="none" stroke="currentColor" strokeWidth={1.8} strokeLinejoin="round" aria-hidden>
      <path transform={down ? "rotate(180 12 12)" : undefined}
        d="M3.5 10.5h4v9.5h-4zM7.5 11l4-7.5c1.5 0 2.6 1.1 2.3 2.7L13.2 9.5h5.3c1.4 0 2.3 1.2 2 2.5l-1.4 6.3c-.2 1-1.1 1.7-2.1 1.7H7.5" />
    </svg>
  );
}

/** Makes an example of a run, with its SQL or with what a person made of that. */
export function SaveExample({ workflowId, connectionId, sql = "" }: { workflowId: string; connectionId: string; sql?: string }) {
  const [state, setState] = useState<"" | "saving" | "saved">("");
  const [problem, setProblem] = useState<Problem>();

  async function save() {
    setState("saving");
    setProblem(undefined);
    try {
      await knowledge.createExample({ connectionId, workflowId, sql, requestId: crypto.randomUUID() });
      setState("saved");
    } catch (error) {
      setState("");
      setProblem(problemOf(error));
    }
  }

  if (state === "saved") {
    return <p role="status">Saved. It guides questions like this one; <Link to={`/connections/${connectionId}/knowledge`}>all examples</Link>.</p>;
  }
  return (
    <>
      <button type="button" disabled={state === "saving"} onClick={() => void save()}>{state === "saving" ? "Checking…" : "Save as verified example"}</button>
      {problem && <ProblemBox problem={problem} sql={sql} />}
    </>
  );
}
