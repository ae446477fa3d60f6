import { Engine } from "../../gen/pulse/v1/workflow_pb.ts";
import { workflows } from "../api/client.ts";
import { navigate } from "../lib/router.tsx";

/** How a question is asked, beside its words. */
export interface AskOptions {
  engine: Engine;
  requireApproval: boolean;
  execute: boolean;
  /** How many statements are composed beside each other; 0 leaves it to the planner. */
  candidates: number;
}

export const DEFAULT_OPTIONS: AskOptions = { engine: Engine.AUTO, requireApproval: false, execute: true, candidates: 0 };

/** Asks, and goes to the page of the run. */
export async function ask(question: string, connectionId: string, options: AskOptions, previousWorkflowId = "") {
  const { workflow } = await workflows.startWorkflow({
    question,
    source: { case: "connectionId", value: connectionId },
    engine: options.engine,
    requireApproval: options.requireApproval,
    execute: options.execute,
    candidates: options.candidates,
    previousWorkflowId,
    // A click that is sent twice by the network starts one run.
    requestId: crypto.randomUUID(),
  });
  if (workflow) navigate(`/runs/${workflow.id}`);
}
