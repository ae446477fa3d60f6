import { useEffect, useState } from "react";

/** Puts a text on the clipboard; false where the browser does not allow it. */
export async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

/** A button that copies, and says whether it did. */
export function CopyButton({ text, label }: { text: () => string; label: string }) {
  const [outcome, setOutcome] = useState("");
  useEffect(() => {
    if (!outcome) return;
    const timer = setTimeout(() => setOutcome(""), 2000);
    return () => clearTimeout(timer);
  }, [outcome]);
  const press = async () => setOutcome((await copy(text())) ? "Copied" : "Not allowed here");
  return (
    <button type="button" className="quiet" onClick={() => void press()}>
      <span aria-live="polite">{outcome || label}</span>
    </button>
  );
}
