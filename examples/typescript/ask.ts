/**
 * Asks Pulse a question and watches the agents.
 *
 *     npm install && npm run generate
 *     npx tsx ask.ts "How many customers do we have?"
 *
 * PULSE_SERVER is the server (http://127.0.0.1:50051), PULSE_API_KEY the key, where it wants one. In a browser use
 * createGrpcWebTransport of @connectrpc/connect-web; the rest stays the same. Exit code: 0 answered, 1 not answered, 4 the
 * call itself failed.
 */
import { ConnectError, createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { ConnectionService } from "./gen/pulse/v1/connection_service_pb.js";
import { WorkflowService } from "./gen/pulse/v1/workflow_service_pb.js";

async function ask(question: string): Promise<boolean> {
  const withKey: Interceptor = (next) => (request) => {
    const key = process.env.PULSE_API_KEY;
    if (key) request.header.set("authorization", `Bearer ${key}`);
    return next(request);
  };
  const transport = createGrpcTransport({
    baseUrl: process.env.PULSE_SERVER ?? "http://127.0.0.1:50051",
    interceptors: [withKey],
  });
  const { connections } = await createClient(ConnectionService, transport).listConnections({ name: "demo" });
  const [connection] = connections;
  if (!connection) throw new Error("no connection is named demo; start the server with `pulse serve --demo`");

  const workflows = createClient(WorkflowService, transport);
  let answered = false;
  for await (const { event } of workflows.runWorkflow({
    question,
    source: { case: "connectionId", value: connection.id },
  })) {
    switch (event?.event.case) {
      case "stepCompleted":
        console.log(event.event.value.step?.name.padEnd(12), event.event.value.step?.summary);
        break;
      case "result":
        console.log(event.event.value.sql);
        console.log(event.event.value.answerText);
        break;
      case "failed":
        console.log("failed:", event.event.value.failure?.message);
        break;
      case "completed":
        answered = true;
    }
  }
  return answered;
}

const [question] = process.argv.slice(2);
if (!question) {
  console.error('usage: npx tsx ask.ts "QUESTION"');
  process.exit(2);
}
try {
  process.exitCode = (await ask(question)) ? 0 : 1;
} catch (error) {
  console.error(ConnectError.from(error).message);
  process.exitCode = 4;
}
