import { type Connection, DatabaseKind, type Table } from "../../gen/pulse/v1/connection_pb.ts";
import { SchemaView } from "../../gen/pulse/v1/connection_service_pb.ts";
import { connections } from "../api/client.ts";
import { useKept } from "../lib/kept.ts";
import { allPages, type Loaded, useLoad } from "../lib/load.ts";
import { navigate, useLocation } from "../lib/router.tsx";

/** Every saved connection, oldest first. */
export function useConnections(): Loaded<Connection[]> {
  return useLoad(
    (signal) =>
      allPages(async (pageToken) => {
        const { connections: items, nextPageToken } = await connections.listConnections({ pageSize: 500, pageToken }, { signal });
        return { items, nextPageToken };
      }),
    [],
  );
}

/** The connection that a page is about: what its address names, else what was chosen last, else the first. */
export function useChosen(all: Connection[] | undefined): [Connection | undefined, (id: string) => void] {
  const { path, query } = useLocation();
  const [kept, setKept] = useKept("connection", "");
  const chosen = all?.find(({ id }) => id === (query.get("connection") ?? kept)) ?? all?.[0];
  return [chosen, (id) => {
    setKept(id);
    query.delete("connection");
    query.delete("run");
    navigate(query.size > 0 ? `${path}?${query}` : path, { replace: true });
  }];
}

/** Until a schema is read. */
export const NO_TABLES: Table[] = [];

/** As many tables as completion and examples are made from. */
const ENOUGH_TABLES = 1_000;
/** As many as the explorer shows. */
const MOST_TABLES = 20_000;

/** Tables of a connection with their columns and keys, as many as completion and examples need. */
export function useSchema(id: string | undefined): Loaded<Table[]> {
  return useLoad((signal) => (id ? readSchema(id, signal, { most: ENOUGH_TABLES }) : Promise.resolve([])), [id]);
}

/** The same, all of them. */
export function useWholeSchema(id: string): Loaded<Table[]> {
  return useLoad((signal) => readSchema(id, signal), [id]);
}

/** Reads them; `refresh` reads the database's catalog again. */
export function readSchema(id: string, signal: AbortSignal, { most = MOST_TABLES, refresh = false } = {}): Promise<Table[]> {
  return allPages(async (pageToken) => {
    const request = { id, pageToken, pageSize: 1000, view: SchemaView.FULL, refresh: refresh && !pageToken };
    const { tables: items, nextPageToken } = await connections.getSchema(request, { signal });
    return { items, nextPageToken };
  }, most);
}

export const KINDS: Record<DatabaseKind, string> = {
  [DatabaseKind.UNSPECIFIED]: "Database",
  [DatabaseKind.POSTGRESQL]: "PostgreSQL",
  [DatabaseKind.MYSQL]: "MySQL / MariaDB",
  [DatabaseKind.SQLITE]: "SQLite",
};

/** Where a connection leads, in one line. */
export function addressOf({ host, port, database, username }: Connection): string {
  return host ? `${username ? `${username}@` : ""}${host}:${port}/${database}` : database;
}
