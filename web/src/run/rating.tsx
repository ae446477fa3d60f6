import { type FormEvent, useState } from "react";
import { RatingVerdict, type Rating as Rated } from "../../gen/pulse/v1/workflow_pb.ts";
import { knowledge, workflows } from "../api/client.ts";
import { type Problem, problemOf } from "../api/problem.ts";
import { useLoad } from "../lib/load.ts";
import { Link } from "../lib/router.tsx";
import { ProblemBox } from "../parts/problem.tsx";
import type { Run } from "./fold.ts";

/** What fits into a comment, whatever its letters. */
const COMMENT_LENGTH = 340;

/** What a person thinks of an answer, and what can be made of that. */
export function Rating({ id, run }: { id: string; run: Run }) {
  const { value: rating, problem: unread, set } = useLoad<Rated | undefined>(
    (signal) => workflows.getWorkflow({ id }, { signal }).then(({ workflow }) => workflow?.rating), [id]);
  const [saving, setSaving] = useState(false);
  const [unsaved, setUnsaved] = useState<Problem>();

  async function rate(verdict: RatingVerdict, comment = "") {
    setSaving(true);
    setUnsaved(undefined);
    try {
      const { workflow } = await workflows.rateWorkflow({ id, verdict, comment });
      set(workflow?.rating);
    } catch (error) {
      setUnsaved(problemOf(error));
    } finally {
      setSaving(false);
    }
  }

  const verdict = rating?.verdict;
  const problem = unsaved ?? unread;
  const thumb = (label: string, says: RatingVerdict) => (
    <button type="button" className="quiet" aria-label={label} aria-pressed={verdict === says} disabled={saving}
      onClick={() => void rate(says)}><Thumb down={says === RatingVerdict.DOWN} /></button>
  );
  return (
    <section className="rating" aria-label="Is this right?">
      <span className="dim">Is this right?</span>
      {thumb("Yes, it is right", RatingVerdict.UP)}
      {thumb("No, it is wrong", RatingVerdict.DOWN)}
      {rating && <span className="dim" role="status">{saving ? "Saving…" : "Saved."}</span>}
      {problem && <ProblemBox problem={problem} />}
      {verdict === RatingVerdict.UP && <SaveExample workflowId={id} connectionId={run.connectionId} />}
      {verdict === RatingVerdict.DOWN && (
        <>
          <Comment key={rating?.comment} said={rating?.comment ?? ""} saving={saving} onSay={(comment) => void rate(verdict, comment)} />
          <p>
            Correct the SQL above and run it: once it is right, it can be saved as an example. What words mean can be said in{" "}
            <Link to={`/connections/${run.connectionId}/knowledge`}>what {run.connectionName || "the database"} means</Link>.
          </p>
        </>
      )}
    </section>
  );
}

/** Why an answer is wrong. */
function Comment({ said, saving, onSay }: { said: string; saving: boolean; onSay: (comment: string) => void }) {
  const [comment, setComment] = useState(said);
  function say(event: FormEvent) {
    event.preventDefault();
    onSay(comment.trim());
  }
  return (
    <form className="rating-comment" onSubmit={say}>
      <input aria-label="What is wrong (optional)" placeholder="What is wrong? (optional)" value={comment} maxLength={COMMENT_LENGTH}
        onChange={(event) => setComment(event.target.value)} />
      <button type="submit" disabled={saving || comment.trim() === said}>Save</button>
    </form>
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
