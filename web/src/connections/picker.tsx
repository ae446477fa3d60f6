import { type Connection } from "../../gen/pulse/v1/connection_pb.ts";
import { KINDS } from "./directory.ts";

/** Chooses a connection. */
export function ConnectionPicker({ all, chosen, onChoose }: {
  all: Connection[];
  chosen: string;
  onChoose: (id: string) => void;
}) {
  return (
    <label className="picker">
      <span>Database</span>
      <select value={chosen} onChange={(event) => onChoose(event.target.value)}>
        {!all.some(({ id }) => id === chosen) && <option value={chosen} disabled>choose one</option>}
        {all.map(({ id, name, kind }) => <option key={id} value={id}>{name} · {KINDS[kind]}</option>)}
      </select>
    </label>
  );
}
