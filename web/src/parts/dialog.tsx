import { type ReactNode, useEffect, useRef } from "react";

/** A question that has to be answered before anything else. Escape is no. */
export function Confirm({ title, children, action, busy, onConfirm, onClose }: {
  title: string;
  children: ReactNode;
  action: string;
  busy?: boolean;
  onConfirm: () => void;
  onClose: () => void;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} className="dialog" aria-labelledby="confirm-title" onClose={onClose}>
      <h2 id="confirm-title">{title}</h2>
      {children}
      <div className="actions">
        <button type="button" autoFocus onClick={() => dialog.current?.close()}>Keep</button>
        <button type="button" className="danger" disabled={busy} onClick={onConfirm}>{action}</button>
      </div>
    </dialog>
  );
}
