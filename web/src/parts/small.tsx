import { type ReactNode, useEffect, useState } from "react";
import { span } from "../lib/format.ts";

/** A short word on a ground of its own. */
export function Badge({ tone = "plain", children }: { tone?: string; children: ReactNode }) {
  return <span className={`badge ${tone}`}>{children}</span>;
}

/** Something is on its way. */
export function Waiting({ children }: { children: ReactNode }) {
  return <p className="waiting" role="status"><span className="spinner" aria-hidden /> {children}</p>;
}

/** There is nothing, and what to do about it. */
export function Nothing({ children }: { children: ReactNode }) {
  return <div className="nothing">{children}</div>;
}

/** Time that passes, from a moment until now. */
export function Elapsed({ since }: { since: number }) {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 100);
    return () => clearInterval(timer);
  }, []);
  return <>{span(Math.max(0, now - since))}</>;
}

/** A field of a form: its name, the control, what is wrong with it, and what it is for. */
export function Field({ label, name, problem, help, children }: {
  label: string;
  name: string;
  problem?: string | undefined;
  help?: ReactNode;
  children: ReactNode;
}) {
  return (
    <div className={problem ? "field wrong" : "field"}>
      <label htmlFor={name}>{label}</label>
      {children}
      {problem && <p className="field-problem" role="alert">{problem}</p>}
      {help && !problem && <p className="field-help">{help}</p>}
    </div>
  );
}
