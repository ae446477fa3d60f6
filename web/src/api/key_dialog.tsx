import { useEffect, useRef, useState } from "react";
import { Field } from "../parts/small.tsx";
import { apiKey, enterKey } from "./key.ts";

/** Asks for an API key. */
export function KeyDialog() {
  const dialog = useRef<HTMLDialogElement>(null);
  const [key, setKey] = useState("");
  const refused = apiKey() !== "";
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} className="dialog" aria-labelledby="key-title" onCancel={(event) => event.preventDefault()}>
      <form onSubmit={(event) => {
        event.preventDefault();
        enterKey(key.trim());
      }}>
        <h2 id="key-title">This server asks for an API key</h2>
        <Field label="API key" name="key" problem={refused && !key ? "The key that was entered is not accepted." : undefined}
          help="It stays in this tab until you close it.">
          <input id="key" type="password" autoComplete="off" autoFocus required value={key} onChange={(event) => setKey(event.target.value)} />
        </Field>
        <div className="actions"><button type="submit" className="primary">Go on</button></div>
      </form>
    </dialog>
  );
}
