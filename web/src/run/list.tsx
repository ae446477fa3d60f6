import { timestampMs } from "@bufbuild/protobuf/wkt";
import { useEffect, useRef, useState } from "react";
import { type Workflow, WorkflowStatus } from "../../gen/pulse/v1/workflow_pb.ts";
import { workflows } from "../api/client.ts";
import { isCancelled, type Problem, problemOf } from "../api/problem.ts";
import { ago, word } from "../lib/format.ts";
import { Link } from "../lib/router.tsx";
import { Badge, Waiting } from "../parts/small.tsx";
import { ProblemBox } from "../parts/problem.tsx";

/** Which runs to list. */
export interface RunFilter {
  text?: string;
  status?: WorkflowStatus;
  connectionId?: string;
}

const PAGE = 50;
/** Most calls of a search that is not told to go on; each looks at some hundred runs. */
const CALLS_AT_ONCE = 20;

/** Runs, newest first, in pages. */
export function RunList({ filter, limit, heading, onDelete, names }: {
  filter: RunFilter;
  /** Most runs to show; more are shown on demand when it is left out. */
  limit?: number;
  /** Shown above when there are any. */
  heading?: string;
  onDelete?: (run: Workflow) => Promise<void>;
  /** Names of connections by id. */
  names?: Map<string, string>;
}) {
  const { runs, more, problem, loading, loadMore, remove } = useRuns(filter, limit);
  if (problem && runs.length === 0) return <ProblemBox problem={problem} />;
  const wait = <Waiting>{filter.text ? "Searching" : "Loading"}</Waiting>;
  if (runs.length === 0 && (loading || limit || !more)) return loading ? wait : limit ? null : <p className="dim">No questions.</p>;
  return (
    <>
      {heading && <h2>{heading}</h2>}
      {runs.length === 0 && <p className="dim">Nothing found so far.</p>}
      <ul className="runs">
        {runs.map((run) => (
          <li key={run.id}>
            <Link to={`/runs/${run.id}`} className="run-link">
              <span className="run-question">{run.question}</span>
              <span className="run-answer">{run.result?.answerText || run.failure?.message}</span>
            </Link>
            <span className="run-side">
              {names?.get(run.connectionId) && <span className="dim">{names.get(run.connectionId)}</span>}
              {run.createTime && <span className="dim">{ago(timestampMs(run.createTime))}</span>}
              <StatusBadge status={run.status} />
              {onDelete && (
                <button type="button" className="quiet" aria-label={`Delete “${run.question}”`}
                  onClick={() => void onDelete(run).then(() => remove(run.id), () => undefined)}>
                  Delete
                </button>
              )}
            </span>
          </li>
        ))}
      </ul>
      {problem && <ProblemBox problem={problem} />}
      {loading ? wait : more && !limit && <button type="button" onClick={loadMore}>Show more</button>}
    </>
  );
}

const TONES: Partial<Record<WorkflowStatus, string>> = {
  [WorkflowStatus.COMPLETED]: "good",
  [WorkflowStatus.FAILED]: "bad",
  [WorkflowStatus.RUNNING]: "busy",
  [WorkflowStatus.RETRYING]: "busy",
  [WorkflowStatus.AWAITING_INPUT]: "warn",
  [WorkflowStatus.AWAITING_APPROVAL]: "warn",
};

export function StatusBadge({ status }: { status: WorkflowStatus }) {
  return <Badge tone={TONES[status] ?? "plain"}>{word(WorkflowStatus[status])}</Badge>;
}

function useRuns(filter: RunFilter, limit = PAGE) {
  const [state, setState] = useState<{ runs: Workflow[]; token: string; problem?: Problem; loading: boolean }>({
    runs: [], token: "", loading: true,
  });
  const control = useRef<AbortController>(undefined);
  const { text = "", status, connectionId = "" } = filter;

  async function load(token: string, before: Workflow[]) {
    const mine = new AbortController();
    control.current?.abort();
    control.current = mine;
    setState({ runs: before, token, loading: true });
    const filter = { connectionId, questionContains: text, ...(status && { status }) };
    try {
      // A search may find little or nothing in one call and still have more to look at.
      for (let calls = 0, wanted = limit; calls < CALLS_AT_ONCE && wanted > 0 && (calls === 0 || token); calls += 1) {
        const page = await workflows.listWorkflows({ ...filter, pageSize: wanted, pageToken: token }, { signal: mine.signal });
        if (mine.signal.aborted) return;
        wanted -= page.workflows.length;
        token = page.nextPageToken;
        setState(({ runs }) => ({ runs: [...runs, ...page.workflows], token, loading: true }));
      }
      setState((state) => ({ ...state, loading: false }));
    } catch (error) {
      if (mine.signal.aborted || isCancelled(error)) return;
      setState(({ runs }) => ({ runs, token, problem: problemOf(error), loading: false }));
    }
  }

  useEffect(() => {
    void load("", []);
    return () => control.current?.abort();
  }, [text, status, connectionId, limit]);

  return {
    ...state,
    more: state.token !== "",
    loadMore: () => void load(state.token, state.runs),
    remove: (id: string) => setState((state) => ({ ...state, runs: state.runs.filter((run) => run.id !== id) })),
  };
}
