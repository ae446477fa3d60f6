import { useEffect, useState } from "react";
import { type Workflow, WorkflowStatus } from "../../gen/pulse/v1/workflow_pb.ts";
import { workflows } from "../api/client.ts";
import { type Problem, problemOf } from "../api/problem.ts";
import { useConnections } from "../connections/directory.ts";
import { word } from "../lib/format.ts";
import { navigate, useLocation } from "../lib/router.tsx";
import { ProblemBox } from "../parts/problem.tsx";
import { RunList } from "../run/list.tsx";

const STATUSES = [
  WorkflowStatus.COMPLETED, WorkflowStatus.FAILED, WorkflowStatus.CANCELLED, WorkflowStatus.RUNNING,
  WorkflowStatus.AWAITING_INPUT, WorkflowStatus.AWAITING_APPROVAL,
];

/** Every question that was asked. */
export function HistoryPage() {
  const { query } = useLocation();
  const text = query.get("search") ?? "";
  const status = Number(query.get("status") ?? 0) as WorkflowStatus;
  const connectionId = query.get("connection") ?? "";
  const [typed, setTyped] = useState(text);
  const [problem, setProblem] = useState<Problem>();
  const { value: all } = useConnections();
  const names = new Map(all?.map(({ id, name }) => [id, name]));

  function filter(name: string, value: string) {
    const query = new URLSearchParams(location.search);
    if (value) query.set(name, value);
    else query.delete(name);
    navigate(`/history${query.size > 0 ? `?${query}` : ""}`, { replace: true });
  }

  useEffect(() => {
    if (typed === text) return;
    const timer = setTimeout(() => filter("search", typed), 250);
    return () => clearTimeout(timer);
  }, [typed, text]);

  async function remove(run: Workflow) {
    setProblem(undefined);
    try {
      await workflows.deleteWorkflow({ id: run.id });
    } catch (error) {
      setProblem(problemOf(error));
      throw error;
    }
  }

  return (
    <>
      <h1>History</h1>
      <div className="filters" role="search">
        <input type="search" aria-label="Search questions" placeholder="Search questions" value={typed} maxLength={256}
          onChange={(event) => setTyped(event.target.value)} />
        <select aria-label="Status" value={status} onChange={(event) => filter("status", event.target.value === "0" ? "" : event.target.value)}>
          <option value={0}>any status</option>
          {STATUSES.map((status) => <option key={status} value={status}>{word(WorkflowStatus[status])}</option>)}
        </select>
        <select aria-label="Database" value={connectionId} onChange={(event) => filter("connection", event.target.value)}>
          <option value="">any database</option>
          {all?.map(({ id, name }) => <option key={id} value={id}>{name}</option>)}
        </select>
      </div>
      {problem && <ProblemBox problem={problem} />}
      <RunList filter={{ text, connectionId, ...(status && { status }) }} names={names} onDelete={remove} />
    </>
  );
}
