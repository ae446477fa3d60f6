import { useEffect, useState } from "react";
import { type Connection, ConnectionFailureReason } from "../../gen/pulse/v1/connection_pb.ts";
import type { TestConnectionResponse } from "../../gen/pulse/v1/connection_service_pb.ts";
import { Engine } from "../../gen/pulse/v1/workflow_pb.ts";
import { connections, workflows } from "../api/client.ts";
import type { Problem } from "../api/problem.ts";
import { KINDS, useConnections } from "../connections/directory.ts";
import { duration, word } from "../lib/format.ts";
import { useLoad } from "../lib/load.ts";
import { Link } from "../lib/router.tsx";
import { Badge, Waiting } from "../parts/small.tsx";
import { ProblemBox } from "../parts/problem.tsx";

const REFRESH = 10_000;

/** What the server says of itself without a key. */
interface Health {
  ready: boolean;
  version: string;
}

/** Whether everything works. */
export function StatusPage() {
  const health = useLoad(readHealth, []);
  const all = useConnections();
  useEffect(() => {
    const timer = setInterval(health.reload, REFRESH);
    return () => clearInterval(timer);
  }, [health.reload]);
  return (
    <>
      <h1>Status</h1>
      <section className="card" aria-label="Server">
        <h2>Server</h2>
        <dl className="facts">
          <div>
            <dt>Pulse</dt>
            <dd>
              {health.problem ? <Badge tone="bad">cannot be reached</Badge> : health.value && <Badge tone="good">runs</Badge>}{" "}
              {health.value && `version ${health.value.version}`}
            </dd>
          </div>
          <div>
            <dt>Store</dt>
            <dd>
              {health.value && !health.problem && (health.value.ready
                ? <Badge tone="good">answers</Badge>
                : <><Badge tone="bad">does not answer</Badge> or the server is stopping; what was acknowledged is kept</>)}
            </dd>
          </div>
          <div><dt>Model</dt><dd><ModelStatus connection={all.value?.[0]} /></dd></div>
        </dl>
      </section>
      <section className="card" aria-label="Databases">
        <h2>Databases</h2>
        {all.problem && <ProblemBox problem={all.problem} onRetry={all.reload} />}
        {!all.value && all.loading && <Waiting>Loading</Waiting>}
        {all.value?.length === 0 && <p className="dim">None is connected.</p>}
        <ul className="databases">
          {all.value?.map((connection) => <DatabaseStatus key={connection.id} connection={connection} />)}
        </ul>
      </section>
    </>
  );
}

async function readHealth(signal: AbortSignal): Promise<Health> {
  // Not ready is 503 with the same body.
  const response = await fetch("/health", { signal, cache: "no-store" });
  return (await response.json()) as Health;
}

/** Whether a model is configured: asked by a question that is only checked, not asked. */
function ModelStatus({ connection }: { connection: Connection | undefined }) {
  const { value, problem } = useLoad(async (signal) => {
    if (!connection) return undefined;
    const source = { case: "connectionId", value: connection.id } as const;
    const request = { question: "Is there a model?", source, engine: Engine.OPENAI, validateOnly: true };
    return (await workflows.startWorkflow(request, { signal })).workflow?.model;
  }, [connection?.id]);
  if (!connection) return <span className="dim">told once a database is connected</span>;
  if (problem?.reason === "MODEL_NOT_CONFIGURED") return <>none: the built-in engine answers</>;
  if (problem) return <ProblemBox problem={problem} />;
  return value === undefined ? <Waiting>Asking</Waiting> : <><Badge tone="good">configured</Badge> {value}</>;
}

function DatabaseStatus({ connection }: { connection: Connection }) {
  const [round, setRound] = useState(0);
  const { value, problem, loading } = useLoad<TestConnectionResponse>(
    (signal) => connections.testConnection({ id: connection.id }, { signal }), [connection.id, round],
  );
  return (
    <li>
      <Link to={`/connections/${connection.id}`}>{connection.name}</Link>
      <span className="dim">{value?.serverVersion || KINDS[connection.kind]}</span>
      <span className="grow" />
      {loading ? <span className="spinner" aria-label="testing" role="status" /> : <Outcome outcome={value} problem={problem} />}
      <button type="button" className="quiet" aria-label={`Test ${connection.name} again`} onClick={() => setRound(round + 1)}>Test</button>
    </li>
  );
}

function Outcome({ outcome, problem }: { outcome: TestConnectionResponse | undefined; problem: Problem | undefined }) {
  if (!outcome) return <Badge tone="bad">{problem?.message ?? "unknown"}</Badge>;
  if (outcome.ok) return <><span className="dim tabular">{duration(outcome.latency)}</span> <Badge tone="good">works</Badge></>;
  return <><span className="dim">{outcome.message}</span> <Badge tone="bad">{word(ConnectionFailureReason[outcome.failureReason])}</Badge></>;
}
