import { Code, ConnectError, createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { ConnectionService } from "../../gen/pulse/v1/connection_service_pb.ts";
import { KnowledgeService } from "../../gen/pulse/v1/knowledge_service_pb.ts";
import { QueryService } from "../../gen/pulse/v1/query_service_pb.ts";
import { WorkflowService } from "../../gen/pulse/v1/workflow_service_pb.ts";
import { apiKey, refuseKey } from "./key.ts";

/** Sends the key that was entered, and asks for one when the server wants it. */
const withKey: Interceptor = (next) => async (request) => {
  const key = apiKey();
  if (key) request.header.set("authorization", `Bearer ${key}`);
  try {
    return await next(request);
  } catch (error) {
    if (ConnectError.from(error).code === Code.Unauthenticated) refuseKey(key);
    throw error;
  }
};

/** How calls reach the server. */
export const transport = createGrpcWebTransport({ baseUrl: location.origin, interceptors: [withKey] });

/** Saved databases. */
export const connections = createClient(ConnectionService, transport);
/** What people know of a database. */
export const knowledge = createClient(KnowledgeService, transport);
/** SQL. */
export const queries = createClient(QueryService, transport);
/** Questions. */
export const workflows = createClient(WorkflowService, transport);
