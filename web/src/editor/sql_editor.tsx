import { useEffect, useRef, useState } from "react";
import { DatabaseKind, type Table } from "../../gen/pulse/v1/connection_pb.ts";
import type { Problem } from "../api/problem.ts";
import type { Editor } from "./codemirror.ts";

const HOW_TO_LEAVE = "Escape, then Tab leaves the editor.";

/** An editor for SQL, loaded when it is first needed; until then the text can be read. */
export function SqlEditor({ text, label, kind, tables, problem, readOnly = false, onChange, onRun }: {
  text: string;
  label: string;
  kind: DatabaseKind | undefined;
  /** What completion offers. */
  tables: Table[];
  /** Marks its position. */
  problem?: Problem | undefined;
  readOnly?: boolean;
  onChange: (text: string) => void;
  onRun: () => void;
}) {
  const element = useRef<HTMLDivElement>(null);
  const [editor, setEditor] = useState<Editor>();
  const latest = useRef({ text, onChange, onRun });
  latest.current = { text, onChange, onRun };

  useEffect(() => {
    let made: Editor | undefined;
    let gone = false;
    void import("./codemirror.ts").then(({ createEditor }) => {
      if (gone || !element.current) return;
      made = createEditor(element.current, {
        text: latest.current.text,
        label,
        description: HOW_TO_LEAVE,
        readOnly,
        onChange: (text) => latest.current.onChange(text),
        onRun: () => latest.current.onRun(),
      });
      setEditor(made);
    });
    return () => {
      gone = true;
      made?.destroy();
      setEditor(undefined);
    };
  }, [label, readOnly]);

  useEffect(() => editor?.setText(text), [editor, text]);
  useEffect(() => editor?.setDialect(kind ?? DatabaseKind.UNSPECIFIED, tables), [editor, kind, tables]);
  useEffect(() => editor?.mark(problem?.sql?.position, problem?.message), [editor, problem]);

  return (
    <div className="editor">
      {!editor && <pre className="sql">{text || " "}</pre>}
      <div ref={element} />
      <p className="editor-hint" aria-hidden>{HOW_TO_LEAVE}</p>
    </div>
  );
}
