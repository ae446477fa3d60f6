import { Code, ConnectError } from "@connectrpc/connect";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { ErrorReason } from "../../gen/pulse/v1/error_reason_pb.ts";
import { type SqlErrorDetail, SqlErrorDetailSchema } from "../../gen/pulse/v1/query_pb.ts";
import type { Failure } from "../../gen/pulse/v1/workflow_pb.ts";

/** What went wrong, as people are told it: a status of a call and a failure of a workflow alike. */
export interface Problem {
  /** What happened. */
  message: string;
  /** What to do about it; empty when nothing helps. */
  hint: string;
  /** Why, as `ErrorReason` names it; empty when the server did not say. */
  reason: string;
  /** Variables of the message. */
  metadata: Record<string, string>;
  /** What is wrong in a form, by the field's name in the contract. */
  fields: Record<string, string>;
  /** What guard or database say about the SQL. */
  sql?: SqlErrorDetail;
  /** The failure behind this one. */
  cause?: Problem;
  /** Whether the same call may well work in a moment. */
  passing: boolean;
  /** Milliseconds to wait before; 0 when the server did not say. */
  retryAfter: number;
}

/** Why a call failed. */
export function problemOf(error: unknown): Problem {
  const status = ConnectError.from(error);
  const info = status.findDetails(ErrorInfoSchema)[0];
  const sql = status.findDetails(SqlErrorDetailSchema)[0];
  const wait = status.findDetails(RetryInfoSchema)[0]?.retryDelay;
  const violations = status.findDetails(BadRequestSchema).flatMap((detail) => detail.fieldViolations);
  const unreachable = !info && isLost(status);
  const reason = info?.reason ?? "";
  return {
    message: unreachable ? "Pulse cannot be reached." : status.rawMessage || Code[status.code],
    hint: sql?.hint || hintOf(reason, unreachable),
    reason,
    metadata: info?.metadata ?? {},
    fields: Object.fromEntries(violations.map((violation) => [violation.field, violation.description])),
    ...(sql && { sql }),
    passing: unreachable || status.code === Code.Unavailable || wait !== undefined,
    retryAfter: wait ? durationMs(wait) : 0,
  };
}

/** Why a step or a workflow failed. */
export function problemOfFailure(failure: Failure): Problem {
  return {
    message: failure.message,
    hint: failure.hint || failure.sqlError?.hint || "",
    reason: ErrorReason[failure.reason] ?? "",
    metadata: failure.metadata,
    fields: {},
    ...(failure.sqlError && { sql: failure.sqlError }),
    ...(failure.cause && { cause: problemOfFailure(failure.cause) }),
    passing: failure.retryable,
    retryAfter: 0,
  };
}

/** Whether a call failed because it was given up on this side. */
export function isCancelled(error: unknown): boolean {
  return ConnectError.from(error).code === Code.Canceled;
}

/** Whether a call never reached the server, or its answer was cut on the way. */
function isLost({ code, cause }: ConnectError): boolean {
  if (code === Code.Unavailable || code === Code.DataLoss) return true;
  // Of fetch there are TypeErrors only; a stream without its end is told as a bare text.
  return code === Code.Unknown && (cause instanceof TypeError || typeof cause === "string");
}

function hintOf(reason: string, unreachable: boolean): string {
  if (unreachable) return "Check that the server runs and that this address is right; the page tries again by itself.";
  switch (reason) {
    case "SCOPE_MISSING":
      return "Use an API key that has this scope.";
    case "NOT_IMPLEMENTED":
      return "This version of the server does not offer it.";
    case "ETAG_MISMATCH":
      return "Somebody else changed it meanwhile: load it again, then repeat your change.";
    case "STORE_UNAVAILABLE":
      return "The server's own store is away; it goes on when the store is back.";
    default:
      return "";
  }
}
