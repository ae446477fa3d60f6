import type { DescMethod } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { useEffect, useId, useRef, useState } from "react";
import { connections, workflows } from "../api/client.ts";
import { isCancelled, type Problem, problemOf } from "../api/problem.ts";
import { counted, span } from "../lib/format.ts";
import { grpcurl } from "../lib/grpcurl.ts";
import { useLoad } from "../lib/load.ts";
import { CopyButton } from "../parts/copy.tsx";
import { ProblemBox } from "../parts/problem.tsx";
import { BodyError } from "./body.ts";
import { call } from "./call.ts";
import { isStream } from "./contract.ts";
import { EXAMPLES, type Known } from "./examples.ts";

/** Most messages of a stream that stay in sight. */
const MOST_SHOWN = 200;

interface Outcome {
  running: boolean;
  count: number;
  /** The newest messages. */
  messages: unknown[];
  milliseconds?: number;
  stopped?: boolean;
  /** What is wrong with the body; the call was not made. */
  refused?: string;
  failure?: { code: string; problem: Problem };
}

const NOTHING: Outcome = { running: false, count: 0, messages: [] };

/** Makes a call from the page. */
export function TryIt({ method }: { method: DescMethod }) {
  const known = useLoad(whatIsThere, []);
  const example = JSON.stringify(EXAMPLES[`${method.parent.name}.${method.name}`]?.(known.value ?? NOBODY) ?? {}, null, 2);
  const [written, setWritten] = useState<string>();
  const [outcome, setOutcome] = useState<Outcome>(NOTHING);
  const control = useRef<AbortController>(undefined);
  const id = useId();
  useEffect(() => () => control.current?.abort(), []);
  const body = written ?? example;

  async function send() {
    const mine = new AbortController();
    control.current?.abort();
    control.current = mine;
    const start = performance.now();
    let so_far: Outcome = { ...NOTHING, running: true };
    const tell = (more: Partial<Outcome>) => {
      so_far = { ...so_far, ...more };
      if (control.current === mine) setOutcome(so_far);
    };
    tell({});
    try {
      for await (const message of call(method, body, mine.signal)) {
        tell({ count: so_far.count + 1, messages: [...so_far.messages, message].slice(-MOST_SHOWN) });
      }
      tell({ running: false, milliseconds: performance.now() - start });
    } catch (error) {
      if (error instanceof BodyError) tell({ running: false, refused: error.message });
      else if (mine.signal.aborted || isCancelled(error)) tell({ running: false, stopped: true });
      else tell({ running: false, failure: { code: nameOf(ConnectError.from(error).code), problem: problemOf(error) } });
    }
  }

  return (
    <section className="card try" aria-label="Try it">
      <form onSubmit={(event) => {
        event.preventDefault();
        void send();
      }}>
        <header className="card-head">
          <h2><label htmlFor={id}>Try it: the request as JSON</label></h2>
          <span className="grow" />
          {written !== undefined && written !== example && <button type="button" className="quiet" onClick={() => setWritten(undefined)}>Back to the example</button>}
          <CopyButton label="Copy as grpcurl" text={() => grpcurl(`${method.parent.name}/${method.name}`, body)} />
        </header>
        <textarea id={id} className="body" spellCheck={false} autoCapitalize="off" rows={Math.min(16, Math.max(4, body.split("\n").length))}
          value={body} onChange={(event) => setWritten(event.target.value)} onKeyDown={(event) => {
            if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
            event.preventDefault();
            void send();
          }} />
        <div className="actions">
          {outcome.running
            ? <button type="button" className="danger" onClick={() => control.current?.abort()}>Stop</button>
            : <button type="submit" className="primary">Send <kbd aria-hidden>Ctrl ⏎</kbd></button>}
          <span className="dim" role="status">{toldOf(outcome, isStream(method))}</span>
        </div>
      </form>
      {outcome.refused && <p className="problem" role="alert">{outcome.refused}</p>}
      {outcome.failure && <ProblemBox problem={outcome.failure.problem} />}
      {outcome.messages.length > 0 && (
        <pre className="answer-json" tabIndex={0} aria-label="Answer">
          {outcome.messages.map((message) => JSON.stringify(message, null, 2)).join("\n")}
        </pre>
      )}
    </section>
  );
}

function toldOf({ running, count, milliseconds, stopped, failure, messages }: Outcome, streams: boolean): string {
  const so_far = streams && count > 0 ? counted(count, "message") : "";
  const cut = messages.length < count ? `, the last ${messages.length} are shown` : "";
  if (running) return so_far ? `${so_far} so far${cut}` : "Sent";
  if (stopped) return `Stopped${so_far && ` after ${so_far}`}`;
  if (failure) return [failure.code, so_far].filter(Boolean).join(", after ");
  if (milliseconds === undefined) return "";
  return `${["OK", so_far].filter(Boolean).join(", ")} in ${span(milliseconds)}${cut}`;
}

/** `INVALID_ARGUMENT`. */
function nameOf(code: Code): string {
  return Code[code].replaceAll(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase();
}

const NOBODY: Known = { connection: "ID", workflow: "ID" };

/** The first connection and the newest workflow, for examples. */
async function whatIsThere(signal: AbortSignal): Promise<Known> {
  const [saved, asked] = await Promise.all([
    connections.listConnections({ pageSize: 1 }, { signal }),
    workflows.listWorkflows({ pageSize: 1 }, { signal }),
  ]);
  return { connection: saved.connections[0]?.id ?? NOBODY.connection, workflow: asked.workflows[0]?.id ?? NOBODY.workflow };
}
