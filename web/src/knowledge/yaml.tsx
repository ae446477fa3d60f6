import { useRef, useState } from "react";
import { knowledge } from "../api/client.ts";
import { type Problem, problemOf } from "../api/problem.ts";
import { Confirm } from "../parts/dialog.tsx";
import { ProblemBox } from "../parts/problem.tsx";
import { save } from "../result/stream.ts";

/** All of it as one document: to keep in a repository, or for another connection. */
export function Document({ connectionId, name, onImported }: { connectionId: string; name: string; onImported: () => void }) {
  const [yaml, setYaml] = useState<string>();
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem>();
  const file = useRef<HTMLInputElement>(null);

  async function trying(act: () => Promise<void>) {
    setBusy(true);
    setProblem(undefined);
    try {
      await act();
    } catch (error) {
      setProblem(problemOf(error));
    } finally {
      setBusy(false);
    }
  }

  const write = () => trying(async () => {
    const { yaml } = await knowledge.exportKnowledge({ connectionId });
    save(new Blob([yaml], { type: "application/yaml" }), `${name}.knowledge.yaml`);
  });
  const read = () => trying(async () => {
    await knowledge.importKnowledge({ connectionId, yaml: yaml ?? "" });
    setYaml(undefined);
    onImported();
  });

  return (
    <>
      <div className="actions">
        <button type="button" disabled={busy} onClick={() => void write()}>Export as YAML</button>
        <button type="button" disabled={busy} onClick={() => file.current?.click()}>Import YAML…</button>
        <input ref={file} type="file" hidden accept=".yaml,.yml" aria-label="YAML document" onChange={(event) => {
          const [chosen] = event.target.files ?? [];
          event.target.value = "";
          void chosen?.text().then(setYaml);
        }} />
      </div>
      {problem && yaml === undefined && <ProblemBox problem={problem} />}
      {yaml !== undefined && (
        <Confirm title="Import this document?" action="Import" busy={busy} onConfirm={() => void read()} onClose={() => setYaml(undefined)}>
          <p>It replaces the knowledge and the examples of this connection. What does not hold for the schema is refused, and then nothing changes.</p>
          {problem && <ProblemBox problem={problem} />}
        </Confirm>
      )}
    </>
  );
}
