/** What an example may speak of. */
export interface Known {
  connection: string;
  workflow: string;
}

/** Stands where a call changes something: which one is the reader's choice. */
const ID = "ID";

/**
 * A small request for each call, by service and method. Those that only read name what there is, so that they can be
 * sent as they are.
 */
export const EXAMPLES: Record<string, (known: Known) => object> = {
  "ConnectionService.CreateConnection": () => ({ connection: { name: "mine", url: "sqlite://mine.sqlite" }, validate_only: true }),
  "ConnectionService.GetConnection": ({ connection }) => ({ id: connection }),
  "ConnectionService.ListConnections": () => ({ page_size: 10 }),
  "ConnectionService.UpdateConnection": () => ({ id: ID, connection: { name: "renamed" }, update_mask: "name", validate_only: true }),
  "ConnectionService.DeleteConnection": () => ({ id: ID }),
  "ConnectionService.TestConnection": ({ connection }) => ({ id: connection }),
  "ConnectionService.GetSchema": ({ connection }) => ({ id: connection, view: "SCHEMA_VIEW_NAMES", page_size: 10 }),
  "QueryService.ExecuteQuery": ({ connection }) => ({ connection_id: connection, sql: "SELECT 1 AS one", max_rows: 10 }),
  "QueryService.StreamQuery": ({ connection }) => ({ statement: { connection_id: connection, sql: "SELECT 1 AS one" } }),
  "QueryService.ValidateQuery": ({ connection }) => ({ connection_id: connection, sql: "SELECT 1 AS one" }),
  "WorkflowService.StartWorkflow": ({ connection }) => ({ question: "How many customers are there?", connection_id: connection }),
  "WorkflowService.RunWorkflow": ({ connection }) => ({ question: "How many customers are there?", connection_id: connection }),
  "WorkflowService.WatchWorkflow": ({ workflow }) => ({ id: workflow, after_sequence: "0" }),
  "WorkflowService.GetWorkflow": ({ workflow }) => ({ id: workflow }),
  "WorkflowService.ListWorkflows": () => ({ page_size: 5 }),
  "WorkflowService.ListWorkflowSteps": ({ workflow }) => ({ id: workflow }),
  "WorkflowService.CancelWorkflow": () => ({ id: ID, reason: "no longer needed" }),
  "WorkflowService.ResumeWorkflow": () => ({ id: ID, answer: "after discounts" }),
  "WorkflowService.RateWorkflow": () => ({ id: ID, verdict: "RATING_VERDICT_UP" }),
  "WorkflowService.DeleteWorkflow": () => ({ id: ID }),
  "KnowledgeService.GetKnowledge": ({ connection }) => ({ connection_id: connection }),
  "KnowledgeService.UpdateKnowledge": ({ connection }) => ({
    connection_id: connection,
    knowledge: { measures: [{ name: "revenue", table: "order_items", expression: "sum(unit_price * quantity)" }] },
    validate_only: true,
  }),
  "KnowledgeService.ExportKnowledge": ({ connection }) => ({ connection_id: connection }),
  "KnowledgeService.ImportKnowledge": ({ connection }) => ({ connection_id: connection, yaml: "notes: Amounts are in euros.\n", validate_only: true }),
  "KnowledgeService.CreateExample": ({ connection }) => ({ connection_id: connection, question: "How much is one?", sql: "SELECT 1 AS one", validate_only: true }),
  "KnowledgeService.ListExamples": ({ connection }) => ({ connection_id: connection, page_size: 10 }),
  "KnowledgeService.DeleteExample": () => ({ connection_id: ID, id: ID }),
};
