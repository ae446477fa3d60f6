import { useEffect, useState } from "react";
import type { WorkflowEvent } from "../../gen/pulse/v1/workflow_pb.ts";
import { workflows } from "../api/client.ts";
import { isCancelled, type Problem, problemOf } from "../api/problem.ts";
import { apply, isOver, NO_RUN, type Run } from "./fold.ts";

/** Longest silence before a watch counts as dead; the server sends a heartbeat every 15 seconds. */
const SILENCE = 40_000;
const FIRST_WAIT = 250;
const LONGEST_WAIT = 5_000;

/** A run that is being followed. */
export interface Followed {
  run: Run;
  /** Since when the server cannot be reached; it is tried again by itself. */
  lostSince?: number;
  /** Why the run cannot be followed at all. */
  problem?: Problem;
}

/** Follows a run from its first event to its last, over lost connections. */
export function useRun(id: string): Followed {
  const [followed, setFollowed] = useState<Followed>({ run: NO_RUN });
  useEffect(() => {
    const control = new AbortController();
    setFollowed({ run: NO_RUN });
    void follow(id, control.signal, setFollowed);
    return () => control.abort();
  }, [id]);
  return followed;
}

async function follow(id: string, signal: AbortSignal, tell: (followed: Followed) => void) {
  let run = NO_RUN;
  let wait = FIRST_WAIT;
  let lostSince: number | undefined;
  while (!signal.aborted && !isOver(run)) {
    try {
      for await (const event of watch(id, run, signal)) {
        if (signal.aborted) return;
        run = apply(run, event);
        wait = FIRST_WAIT;
        lostSince = undefined;
        tell({ run });
      }
      if (isOver(run)) return;
    } catch (error) {
      if (signal.aborted) return;
      const problem = problemOf(error);
      // The server's log is shorter than what was seen here: its store lost the end. What it has now counts.
      if (problem.reason === "LOG_REWOUND") run = NO_RUN;
      else if (problem.reason !== "WATCHER_TOO_SLOW" && !problem.passing && !isCancelled(error)) {
        tell({ run, problem });
        return;
      }
      wait = Math.max(wait, problem.retryAfter);
    }
    lostSince ??= Date.now();
    tell({ run, lostSince });
    await sleep(wait, signal);
    wait = Math.min(wait * 2, LONGEST_WAIT);
  }
}

/** The events after those that the run holds. A watch that falls silent is given up. */
async function* watch(id: string, run: Run, signal: AbortSignal): AsyncGenerator<WorkflowEvent> {
  const silent = new AbortController();
  let timer = setTimeout(() => silent.abort(), SILENCE);
  try {
    const request = { id, afterSequence: run.lastSequence, afterCursor: run.cursor };
    for await (const { event } of workflows.watchWorkflow(request, { signal: AbortSignal.any([signal, silent.signal]) })) {
      clearTimeout(timer);
      timer = setTimeout(() => silent.abort(), SILENCE);
      if (event) yield event;
    }
  } finally {
    clearTimeout(timer);
  }
}

/** Waits, but not longer than until the network is back or the page is looked at again. */
function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      removeEventListener("online", done);
      document.removeEventListener("visibilitychange", done);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    addEventListener("online", done);
    document.addEventListener("visibilitychange", done);
    signal.addEventListener("abort", done);
  });
}
