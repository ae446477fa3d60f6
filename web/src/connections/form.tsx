import { create } from "@bufbuild/protobuf";
import { durationFromMs, durationMs } from "@bufbuild/protobuf/wkt";
import { type FormEvent, useState } from "react";
import {
  AccessMode, type Connection, ConnectionFailureReason, type ConnectionSpec, ConnectionSpecSchema, DatabaseKind, TlsMode,
} from "../../gen/pulse/v1/connection_pb.ts";
import type { TestConnectionResponse } from "../../gen/pulse/v1/connection_service_pb.ts";
import { connections } from "../api/client.ts";
import { type Problem, problemOf } from "../api/problem.ts";
import { duration, word } from "../lib/format.ts";
import { Field } from "../parts/small.tsx";
import { ProblemBox } from "../parts/problem.tsx";

/** What the form holds: text as it is typed. */
interface Draft {
  by: "url" | "fields";
  url: string;
  name: string;
  kind: DatabaseKind;
  host: string;
  port: string;
  database: string;
  username: string;
  password: string;
  tls: TlsMode;
  caCertificate: string;
  clientCertificate: string;
  clientKey: string;
  accessMode: AccessMode;
  allowedFunctions: string;
  excludedColumns: string;
  maxRows: string;
  statementTimeout: string;
}

/** Makes a connection, or changes a saved one. */
export function ConnectionForm({ saved, onSaved }: { saved?: Connection; onSaved: (connection: Connection, warnings: string[]) => void }) {
  const initial = draftOf(saved);
  const [draft, setDraft] = useState(initial);
  const [busy, setBusy] = useState<"" | "test" | "save">("");
  const [outcome, setOutcome] = useState<TestConnectionResponse>();
  const [problem, setProblem] = useState<Problem>();
  const wrong = (name: string) => problem?.fields[name] ?? problem?.fields[`connection.${name}`];

  function text(name: keyof Draft) {
    return {
      id: name,
      value: String(draft[name]),
      onChange: (event: { target: { value: string } }) => setDraft({ ...draft, [name]: event.target.value }),
      autoComplete: "off",
      spellCheck: false,
    };
  }

  function choice(name: "kind" | "tls" | "accessMode") {
    return { id: name, value: draft[name], onChange: (event: { target: { value: string } }) => setDraft({ ...draft, [name]: Number(event.target.value) }) };
  }

  async function attempt(what: "test" | "save", action: () => Promise<void>) {
    setBusy(what);
    setProblem(undefined);
    setOutcome(undefined);
    try {
      await action();
    } catch (error) {
      setProblem(problemOf(error));
    } finally {
      setBusy("");
    }
  }

  const test = () => attempt("test", async () => {
    const { spec } = changes(draft, saved ? initial : undefined);
    setOutcome(await connections.testConnection({ id: saved?.id ?? "", connection: spec }));
  });

  const save = (skipTest: boolean) => attempt("save", async () => {
    const { spec, paths } = changes(draft, saved ? initial : undefined);
    const answer = saved
      ? await connections.updateConnection({ id: saved.id, connection: spec, updateMask: { paths }, etag: saved.etag, skipTest })
      : await connections.createConnection({ connection: spec, requestId: crypto.randomUUID(), skipTest });
    if (answer.connection) onSaved(answer.connection, answer.warnings);
  });

  function submit(event: FormEvent) {
    event.preventDefault();
    void save(false);
  }

  const isFile = draft.kind === DatabaseKind.SQLITE;
  return (
    <form className="form" onSubmit={submit} aria-label="Connection">
      <div className="switch" role="group" aria-label="Connect by">
        <button type="button" aria-pressed={draft.by === "url"} onClick={() => setDraft({ ...draft, by: "url" })}>By URL</button>
        <button type="button" aria-pressed={draft.by === "fields"} onClick={() => setDraft({ ...draft, by: "fields" })}>By fields</button>
      </div>
      {draft.by === "url" ? (
        <Field label="URL" name="url" problem={wrong("url")} help={<>
          <code>postgres://user:password@host/database</code>, <code>mysql://…</code> or <code>sqlite://file.sqlite</code>. In a password,
          {" "}<code>/ ? # @</code> are written <code>%2F %3F %23 %40</code>.
        </>}>
          <input {...text("url")} type={draft.url.includes("@") ? "password" : "text"} required={!saved}
            placeholder={saved ? "leave empty to keep what is saved" : "postgres://reader:secret@localhost/shop"} />
        </Field>
      ) : (
        <>
          <Field label="System" name="kind" problem={wrong("kind")}>
            <select {...choice("kind")} disabled={saved !== undefined}>
              <option value={DatabaseKind.POSTGRESQL}>PostgreSQL</option>
              <option value={DatabaseKind.MYSQL}>MySQL or MariaDB</option>
              <option value={DatabaseKind.SQLITE}>SQLite</option>
            </select>
          </Field>
          {!isFile && (
            <div className="row">
              <Field label="Host" name="host" problem={wrong("host")}><input {...text("host")} placeholder="localhost" /></Field>
              <Field label="Port" name="port" problem={wrong("port")}>
                <input {...text("port")} type="number" min={1} max={65535} placeholder={draft.kind === DatabaseKind.MYSQL ? "3306" : "5432"} />
              </Field>
            </div>
          )}
          <Field label={isFile ? "File" : "Database"} name="database" problem={wrong("database")}
            help={isFile ? "Within the server's folder for SQLite files." : undefined}>
            <input {...text("database")} />
          </Field>
          {!isFile && (
            <div className="row">
              <Field label="User" name="username" problem={wrong("username")} help="Best one that may only SELECT."><input {...text("username")} /></Field>
              <Field label="Password" name="password" problem={wrong("password")}>
                <input {...text("password")} type="password" autoComplete="new-password"
                  placeholder={saved?.hasPassword ? "saved; type to replace it" : ""} />
              </Field>
            </div>
          )}
        </>
      )}
      <div className="row">
        <Field label="Name" name="name" problem={wrong("name")} help="Left out, the database's own name."><input {...text("name")} maxLength={100} /></Field>
        <Field label="Statements may" name="accessMode" problem={wrong("access_mode")} help="Questions only ever read, whatever this says.">
          <select {...choice("accessMode")}>
            <option value={AccessMode.READ_ONLY}>only read</option>
            <option value={AccessMode.READ_WRITE}>read, and write where asked to</option>
            <option value={AccessMode.DDL}>also change tables, views and indexes</option>
          </select>
        </Field>
      </div>
      <details className="more">
        <summary>TLS, limits, what to hide</summary>
        {(draft.by === "url" || !isFile) && (
          <>
            <Field label="TLS" name="tls" problem={wrong("tls.mode")}>
              <select {...choice("tls")}>
                <option value={TlsMode.UNSPECIFIED}>as the URL says, else when offered</option>
                {[TlsMode.DISABLE, TlsMode.PREFER, TlsMode.REQUIRE, TlsMode.VERIFY_CA, TlsMode.VERIFY_FULL].map((mode) => (
                  <option key={mode} value={mode}>{word(TlsMode[mode])}</option>
                ))}
              </select>
            </Field>
            <Field label="Authorities (PEM)" name="caCertificate" problem={wrong("tls.ca_certificate")}><textarea {...text("caCertificate")} rows={2} /></Field>
            <Field label="Client certificate (PEM)" name="clientCertificate" problem={wrong("tls.client_certificate")}><textarea {...text("clientCertificate")} rows={2} /></Field>
            <Field label="Client key (PEM)" name="clientKey" problem={wrong("tls.client_key")}
              help={saved?.tls?.hasClientKey ? "One is saved; paste to replace it." : undefined}>
              <textarea {...text("clientKey")} rows={2} />
            </Field>
          </>
        )}
        <Field label="Functions of yours that statements may call" name="allowedFunctions" problem={wrong("allowed_functions")} help="One a line.">
          <textarea {...text("allowedFunctions")} rows={2} />
        </Field>
        <Field label="Columns hidden from questions" name="excludedColumns" problem={wrong("excluded_columns")} help="table.column or schema.table.column, one a line.">
          <textarea {...text("excludedColumns")} rows={2} />
        </Field>
        <div className="row">
          <Field label="Most rows of a result" name="maxRows" problem={wrong("limits.max_rows")}><input {...text("maxRows")} type="number" min={1} placeholder="the server's limit" /></Field>
          <Field label="Longest statement, seconds" name="statementTimeout" problem={wrong("limits.statement_timeout")}>
            <input {...text("statementTimeout")} type="number" min={0} step="any" placeholder="the server's limit" />
          </Field>
        </div>
      </details>
      {problem && <ProblemBox problem={problem} />}
      {outcome && <TestOutcome outcome={outcome} />}
      <div className="actions">
        <button type="submit" className="primary" disabled={busy !== ""}>{busy === "save" ? "Saving…" : saved ? "Save changes" : "Connect"}</button>
        <button type="button" disabled={busy !== ""} onClick={() => void test()}>{busy === "test" ? "Testing…" : "Test"}</button>
        {problem && Object.keys(problem.fields).length === 0 && (
          <button type="button" className="quiet" disabled={busy !== ""} onClick={() => void save(true)}>Save without testing</button>
        )}
      </div>
    </form>
  );
}

/** How an attempt to connect went. */
export function TestOutcome({ outcome }: { outcome: TestConnectionResponse }) {
  const { ok, failureReason, message, hint, latency, serverVersion, warnings } = outcome;
  return (
    <div className={ok ? "outcome good" : "outcome bad"} role="status">
      <p>
        <strong>{ok ? "It works." : `It does not work: ${word(ConnectionFailureReason[failureReason])}.`}</strong>{" "}
        {ok ? `${serverVersion}, in ${duration(latency)}` : message}
      </p>
      {hint && <p>{hint}</p>}
      <Warnings warnings={warnings} />
    </div>
  );
}

/** What is worth knowing although it works. */
export function Warnings({ warnings }: { warnings: string[] }) {
  return warnings.length > 0 && <ul className="warnings">{warnings.map((warning) => <li key={warning}>{warning}</li>)}</ul>;
}

function draftOf(saved: Connection | undefined): Draft {
  const { limits } = saved ?? {};
  return {
    by: saved ? "fields" : "url",
    url: "",
    name: saved?.name ?? "",
    kind: saved?.kind ?? DatabaseKind.POSTGRESQL,
    host: saved?.host ?? "",
    port: saved?.port ? String(saved.port) : "",
    database: saved?.database ?? "",
    username: saved?.username ?? "",
    password: "",
    tls: saved?.tls?.mode ?? TlsMode.UNSPECIFIED,
    caCertificate: saved?.tls?.caCertificate ?? "",
    clientCertificate: saved?.tls?.clientCertificate ?? "",
    clientKey: "",
    accessMode: saved?.accessMode ?? AccessMode.READ_ONLY,
    allowedFunctions: saved?.allowedFunctions.join("\n") ?? "",
    excludedColumns: saved?.excludedColumns.join("\n") ?? "",
    maxRows: limits?.maxRows ? String(limits.maxRows) : "",
    statementTimeout: limits?.statementTimeout ? String(durationMs(limits.statementTimeout) / 1000) : "",
  };
}

/** The field of the contract that each part of the form fills. */
const PATHS: [keyof Draft, string][] = [
  ["name", "name"], ["host", "host"], ["port", "port"], ["database", "database"], ["username", "username"], ["password", "password"],
  ["tls", "tls.mode"], ["caCertificate", "tls.ca_certificate"], ["clientCertificate", "tls.client_certificate"], ["clientKey", "tls.client_key"],
  ["accessMode", "access_mode"], ["allowedFunctions", "allowed_functions"], ["excludedColumns", "excluded_columns"],
  ["maxRows", "limits.max_rows"], ["statementTimeout", "limits.statement_timeout"],
];

/** The spec to send, and the names of the fields that differ from what is saved. */
function changes(draft: Draft, before: Draft | undefined): { spec: ConnectionSpec; paths: string[] } {
  const paths = PATHS.filter(([name]) => before && draft[name] !== before[name]).map(([, path]) => path);
  if (draft.by === "url" && draft.url) paths.push("url");
  const changed = (name: keyof Draft) => !before || draft[name] !== before[name];
  const byFields = draft.by === "fields";
  const tls = changed("tls") || changed("caCertificate") || changed("clientCertificate") || changed("clientKey");
  const limits = changed("maxRows") || changed("statementTimeout");
  const spec = create(ConnectionSpecSchema, {
    ...(draft.by === "url" && { url: draft.url.trim() }),
    ...(changed("name") && { name: draft.name }),
    ...(byFields && !before && { kind: draft.kind }),
    ...(byFields && changed("host") && { host: draft.host.trim() }),
    ...(byFields && changed("port") && { port: Number(draft.port) }),
    ...(byFields && changed("database") && { database: draft.database.trim() }),
    ...(byFields && changed("username") && { username: draft.username }),
    ...(byFields && changed("password") && { password: draft.password }),
    ...(tls && (draft.tls || draft.caCertificate || draft.clientCertificate || draft.clientKey) && {
      tls: { mode: draft.tls, caCertificate: draft.caCertificate, clientCertificate: draft.clientCertificate, clientKey: draft.clientKey },
    }),
    ...(changed("accessMode") && { accessMode: draft.accessMode }),
    ...(changed("allowedFunctions") && { allowedFunctions: lines(draft.allowedFunctions) }),
    ...(changed("excludedColumns") && { excludedColumns: lines(draft.excludedColumns) }),
    ...(limits && (draft.maxRows || draft.statementTimeout) && {
      limits: {
        maxRows: BigInt(draft.maxRows || 0),
        ...(Number(draft.statementTimeout) > 0 && { statementTimeout: durationFromMs(Number(draft.statementTimeout) * 1000) }),
      },
    }),
  });
  return { spec, paths };
}

function lines(text: string): string[] {
  return text.split("\n").map((line) => line.trim()).filter(Boolean);
}
