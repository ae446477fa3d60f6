import { type KeyboardEvent, useRef, useState } from "react";
import { Engine } from "../../gen/pulse/v1/workflow_pb.ts";
import { type Problem, problemOf } from "../api/problem.ts";
import { CopyButton } from "../parts/copy.tsx";
import { ProblemBox } from "../parts/problem.tsx";
import { grpcurl } from "../lib/grpcurl.ts";
import { ask, type AskOptions } from "./ask.ts";

/** The box in which a question is written. */
export function QuestionBox({ connectionId, initial = "", first = false, previousId = "", label, options, onOptions, children }: {
  connectionId: string;
  initial?: string;
  /** Whether the page is about this box. */
  first?: boolean;
  /** The run that this question follows up. */
  previousId?: string;
  label: string;
  options: AskOptions;
  onOptions: (options: AskOptions) => void;
  /** What stands beside the button. */
  children?: React.ReactNode;
}) {
  const [question, setQuestion] = useState(initial);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem>();
  const sent = useRef(false);
  const ready = question.trim() !== "" && connectionId !== "";

  async function send() {
    if (!ready || sent.current) return;
    sent.current = true;
    setBusy(true);
    setProblem(undefined);
    try {
      await ask(question.trim(), connectionId, options, previousId);
    } catch (error) {
      setProblem(problemOf(error));
    } finally {
      sent.current = false;
      setBusy(false);
    }
  }

  function keys(event: KeyboardEvent) {
    // Enter asks, with Ctrl and without; with Shift it is a new line. While a word is being composed it is the input method's.
    if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing) return;
    event.preventDefault();
    void send();
  }

  return (
    <form className="question" onSubmit={(event) => {
      event.preventDefault();
      void send();
    }}>
      <textarea autoFocus={first} rows={first ? 3 : 1} aria-label={label} placeholder={label} maxLength={4096}
        value={question} onChange={(event) => setQuestion(event.target.value)} onKeyDown={keys} />
      <div className="question-foot">
        {children}
        <OptionsMenu options={options} onOptions={onOptions} />
        <span className="grow" />
        {ready && <CopyButton label="Copy as grpcurl" text={() => grpcurlOf(question, connectionId, options, previousId)} />}
        <button type="submit" className="primary" disabled={!ready || busy} title="Ctrl+Enter">
          {busy ? "Asking…" : "Ask"} <kbd aria-hidden>Ctrl ⏎</kbd>
        </button>
      </div>
      {problem && <ProblemBox problem={problem} onRetry={() => void send()} />}
    </form>
  );
}

function OptionsMenu({ options, onOptions }: { options: AskOptions; onOptions: (options: AskOptions) => void }) {
  return (
    <details className="menu">
      <summary>Options</summary>
      <div className="menu-items options">
        <label>
          Answered by{" "}
          <select value={options.engine} onChange={(event) => onOptions({ ...options, engine: Number(event.target.value) })}>
            <option value={Engine.AUTO}>a model if there is one</option>
            <option value={Engine.OPENAI}>the model</option>
            <option value={Engine.BUILTIN}>the built-in engine</option>
          </select>
        </label>
        <label>
          Candidates{" "}
          <select value={options.candidates} title="Statements that are composed beside each other; the rows that most of them return are the answer"
            onChange={(event) => onOptions({ ...options, candidates: Number(event.target.value) })}>
            <option value={0}>as the question needs</option>
            <option value={1}>one</option>
            <option value={3}>three</option>
            <option value={5}>five</option>
          </select>
        </label>
        <label>
          <input type="checkbox" checked={options.requireApproval}
            onChange={(event) => onOptions({ ...options, requireApproval: event.target.checked })} />
          Ask me before the SQL runs
        </label>
        <label>
          <input type="checkbox" checked={!options.execute}
            onChange={(event) => onOptions({ ...options, execute: !event.target.checked })} />
          Only write the SQL
        </label>
      </div>
    </details>
  );
}

function grpcurlOf(question: string, connectionId: string, options: AskOptions, previousId: string): string {
  return grpcurl("WorkflowService/RunWorkflow", {
    question: question.trim(),
    connection_id: connectionId,
    ...(options.engine !== Engine.AUTO && { engine: `ENGINE_${Engine[options.engine]}` }),
    ...(options.requireApproval && { require_approval: true }),
    ...(!options.execute && { execute: false }),
    ...(options.candidates > 0 && { candidates: options.candidates }),
    ...(previousId && { previous_workflow_id: previousId }),
  });
}
